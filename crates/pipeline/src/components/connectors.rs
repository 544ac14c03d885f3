//! Connectors.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::{Id, PipelineId, Reader, Signal};
use ottl::Context;

use super::statements::{condition, error_mode};
use crate::component::{ConnectorPlan, Plan, Stage, Surroundings};
use crate::connectors::count::{Count, Counted, Settings as CountSettings};
use crate::connectors::exceptions::{self, Dimensions, Exceptions, default_dimensions};
use crate::connectors::failover::Failover;
use crate::connectors::round_robin::RoundRobin;
use crate::connectors::routing::{Asked, Route, Routing};
use crate::consumer::Consumer;
use crate::flow::{FanOut, Slot};
use crate::graph::Registry;
use crate::processors::statements::{Counters, ErrorMode};

pub(super) fn register(registry: &mut Registry) {
    registry.add_connector("forward", |_| Arc::new(Forward));
    registry.add_connector("round_robin", |_| Arc::new(RoundRobinPlan));
    registry.add_connector("failover", |reader| Arc::new(failover(reader)));
    registry.add_connector("routing", |reader| Arc::new(routing(reader)));
    registry.add_connector("count", |reader| Arc::new(count(reader)));
    registry.add_connector("exceptions", |reader| Arc::new(exceptions(reader)));
}

/// The pipelines of a signal, as one consumer; `None` when there are none.
fn of_signal(to: &[(PipelineId, Slot)], signal: Signal) -> Option<Arc<dyn Consumer>> {
    let own = to.iter().filter(|(id, _)| id.signal == signal);
    let own: Vec<_> = own.map(|(_, slot)| Arc::new(slot.clone()) as Arc<dyn Consumer>).collect();
    (!own.is_empty()).then(|| FanOut::of(own))
}

/// The pipelines that settings name, as one consumer.
fn named(to: &[(PipelineId, Slot)], wanted: &[PipelineId]) -> Result<Arc<dyn Consumer>, String> {
    let mut own: Vec<Arc<dyn Consumer>> = Vec::new();
    for id in wanted {
        let found = to.iter().find(|(known, _)| known == id);
        let (_, slot) = found.ok_or_else(|| {
            format!("the pipeline {id} does not name this connector among its receivers")
        })?;
        own.push(Arc::new(slot.clone()));
    }
    Ok(FanOut::of(own))
}

/// A list of pipelines' names.
fn pipelines(reader: &mut Reader<'_, '_>, key: &'static str) -> Vec<PipelineId> {
    let ids = reader
        .field(key)
        .parsed_list(|text| PipelineId::parse(text).map_err(|error| (error, None)));
    ids.unwrap_or_default()
}

struct Forward;

impl Plan for Forward {}

#[async_trait]
impl ConnectorPlan for Forward {
    async fn start(
        &self,
        _: &Id,
        _: &Surroundings,
        to: Vec<(PipelineId, Slot)>,
    ) -> Result<Stage, String> {
        let to = to.into_iter().map(|(_, slot)| Arc::new(slot) as Arc<dyn Consumer>);
        Ok(Stage::still(FanOut::of(to.collect())))
    }
}

struct RoundRobinPlan;

impl Plan for RoundRobinPlan {}

#[async_trait]
impl ConnectorPlan for RoundRobinPlan {
    async fn start(
        &self,
        _: &Id,
        _: &Surroundings,
        to: Vec<(PipelineId, Slot)>,
    ) -> Result<Stage, String> {
        let to = to.into_iter().map(|(_, slot)| Arc::new(slot) as Arc<dyn Consumer>);
        Ok(Stage::still(Arc::new(RoundRobin::new(to.collect()))))
    }
}

struct FailoverPlan {
    levels: Vec<Vec<PipelineId>>,
    retry_interval: Duration,
}

fn failover(reader: &mut Reader<'_, '_>) -> FailoverPlan {
    let mut levels = Vec::new();
    let nodes = reader.field("priority_levels").required().nodes().unwrap_or_default();
    for node in nodes {
        let texts = node.as_list().unwrap_or_default().iter().filter_map(config::Node::as_text);
        let ids: Result<Vec<PipelineId>, String> = texts.map(PipelineId::parse).collect();
        match ids {
            Ok(ids) if !ids.is_empty() => levels.push(ids),
            Ok(_) => {
                let message = "every level is a list of pipelines, such as [traces/first]";
                reader.fault("priority_levels", message);
            }
            Err(error) => reader.fault("priority_levels", &error),
        }
    }
    let retry_interval = reader.field("retry_interval").duration();
    if retry_interval.is_some_and(|interval| interval.is_zero()) {
        reader.fault("retry_interval", "must be greater than zero");
    }
    // How it probes is of no matter to who waits no longer than for one answer.
    reader.field("retry_gap").duration();
    reader.field("max_retries").int::<u32>(0..=u32::MAX);
    reader.field("sending_queue").node();
    FailoverPlan { levels, retry_interval: retry_interval.unwrap_or(Duration::from_secs(600)) }
}

impl Plan for FailoverPlan {
    fn leads_to(&self) -> Vec<PipelineId> {
        self.levels.iter().flatten().cloned().collect()
    }
}

#[async_trait]
impl ConnectorPlan for FailoverPlan {
    async fn start(
        &self,
        _: &Id,
        _: &Surroundings,
        to: Vec<(PipelineId, Slot)>,
    ) -> Result<Stage, String> {
        let levels = self.levels.iter().map(|level| named(&to, level));
        let levels = levels.collect::<Result<Vec<_>, _>>()?;
        Ok(Stage::still(Arc::new(Failover::new(levels, self.retry_interval))))
    }
}

/// A row of the table; conditions are read again at every start, because they belong to one.
struct RouteSettings {
    context: RouteContext,
    text: String,
    pipelines: Vec<PipelineId>,
    copies: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum RouteContext {
    Request,
    Ottl(Context),
}

struct RoutingPlan {
    table: Vec<RouteSettings>,
    default: Vec<PipelineId>,
    error_mode: ErrorMode,
}

/// `request["name"] == "value"`, or `!=`.
fn request_condition(text: &str) -> Option<Asked> {
    let (left, right, equal) = match (text.split_once("=="), text.split_once("!=")) {
        (Some((left, right)), _) => (left, right, true),
        (None, Some((left, right))) => (left, right, false),
        (None, None) => return None,
    };
    let name = left.trim().strip_prefix("request[\"")?.strip_suffix("\"]")?;
    let value = right.trim().strip_prefix('"')?.strip_suffix('"')?;
    Some(Asked::Header { name: name.to_owned(), value: value.to_owned(), equal })
}

fn asked(context: RouteContext, text: &str) -> Result<Asked, (String, Option<String>)> {
    match context {
        RouteContext::Ottl(context) => Ok(Asked::Ottl(context, condition(text, context)?)),
        RouteContext::Request => request_condition(text).ok_or_else(|| {
            let message = format!(
                "condition must have format 'request[\"<name>\"] <comparator> <value>': {text:?}"
            );
            (message, None)
        }),
    }
}

/// The condition of a statement of old, `route() where …`.
fn old_condition(statement: &str) -> Option<String> {
    match statement.trim().strip_prefix("route()")?.trim() {
        "" => Some("true".to_owned()),
        rest => Some(rest.strip_prefix("where")?.trim().to_owned()),
    }
}

/// Of what a condition is that does not say so: of what its paths begin with, or of resources.
fn context_of(text: &str) -> RouteContext {
    match ottl::infer_context(&[text]) {
        Ok(context) if context <= Context::Span => RouteContext::Ottl(context),
        _ => RouteContext::Ottl(Context::Resource),
    }
}

fn routing(reader: &mut Reader<'_, '_>) -> RoutingPlan {
    let table = reader.field("table").required().list_of(|reader| {
        let context = reader.field("context").choice(&[
            ("request", RouteContext::Request),
            ("resource", RouteContext::Ottl(Context::Resource)),
            ("scope", RouteContext::Ottl(Context::Scope)),
            ("span", RouteContext::Ottl(Context::Span)),
            // Paths of the Collector itself, which every context has.
            ("otelcol", RouteContext::Ottl(Context::Resource)),
        ]);
        let condition = reader.field("condition").string();
        let statement = reader.field("statement").string();
        let key =
            if condition.is_none() && statement.is_some() { "statement" } else { "condition" };
        if condition.is_some() && statement.is_some() {
            reader.fault("statement", "and 'condition' say the same: keep one of them");
        }
        let text = match (condition, statement) {
            (Some(condition), _) => condition,
            (None, Some(statement)) => old_condition(&statement).unwrap_or_else(|| {
                let message = "a statement is `route() where`, and a condition behind it";
                reader.fault("statement", message);
                "true".to_owned()
            }),
            (None, None) => String::new(),
        };
        let context = context.unwrap_or_else(|| context_of(&text));
        if text.is_empty() {
            reader.fault("condition", "either 'condition' or 'statement' must be provided");
        } else if let Err((message, help)) = asked(context, &text) {
            let message = help.map_or(message.clone(), |help| format!("{message}\n{help}"));
            reader.fault(key, &message);
        }
        let pipelines = pipelines(reader, "pipelines");
        if pipelines.is_empty() {
            reader.fault("pipelines", "invalid route: no pipelines defined");
        }
        let copies = reader.field("action").choice(&[("move", false), ("copy", true)]);
        RouteSettings { context, text, pipelines, copies: copies.unwrap_or_default() }
    });
    let table = table.unwrap_or_default();
    if table.is_empty() && reader.has("table") {
        reader.fault("table", "invalid routing table: the routing table is empty");
    }
    let default = pipelines(reader, "default_pipelines");
    reader.removed("match_once", "leave it out: the first row that matches has the data");
    RoutingPlan { table, default, error_mode: error_mode(reader).unwrap_or_default() }
}

impl Plan for RoutingPlan {
    fn leads_to(&self) -> Vec<PipelineId> {
        let rows = self.table.iter().flat_map(|row| &row.pipelines);
        rows.chain(&self.default).cloned().collect()
    }
}

#[async_trait]
impl ConnectorPlan for RoutingPlan {
    async fn start(
        &self,
        id: &Id,
        _: &Surroundings,
        to: Vec<(PipelineId, Slot)>,
    ) -> Result<Stage, String> {
        let mut routes = Vec::new();
        for row in &self.table {
            let asked = asked(row.context, &row.text).map_err(|(message, _)| message)?;
            routes.push(Route { asked, to: named(&to, &row.pipelines)?, copies: row.copies });
        }
        let default = match &self.default[..] {
            [] => None,
            default => Some(named(&to, default)?),
        };
        let counters = Counters::of(format!("connectors::{id}"));
        let routing = Routing::new(routes, default, self.error_mode, counters);
        Ok(Stage::still(Arc::new(routing)))
    }
}

/// A metric as it is written.
struct CountedText {
    name: String,
    description: String,
    conditions: Vec<String>,
    attributes: Dimensions,
}

struct CountPlan {
    spans: Option<Vec<CountedText>>,
    events: Option<Vec<CountedText>>,
}

fn counted(
    reader: &mut Reader<'_, '_>,
    key: &'static str,
    context: Context,
) -> Option<Vec<CountedText>> {
    reader
        .field(key)
        .map_of(|name, reader| {
            let description = reader.field("description").string().unwrap_or_default();
            let conditions = reader
                .field("conditions")
                .parsed_list(|text| condition(text, context).map(|_| text.to_owned()));
            let attributes = reader.field("attributes").list_of(|reader| {
                let key = reader.field("key").required().string().unwrap_or_default();
                let default =
                    reader.field("default_value").node().and_then(super::selection::literal);
                (key, default.map(|literal| literal.text()))
            });
            CountedText {
                name: name.to_owned(),
                description,
                conditions: conditions.unwrap_or_default(),
                attributes: attributes.unwrap_or_default(),
            }
        })
        .map(|all| all.into_iter().map(|(_, counted)| counted).collect())
}

fn count(reader: &mut Reader<'_, '_>) -> CountPlan {
    let plan = CountPlan {
        spans: counted(reader, "spans", Context::Span),
        events: counted(reader, "spanevents", Context::SpanEvent),
    };
    for key in ["metrics", "datapoints", "logs", "profiles"] {
        reader.refused(key, "this connector counts only spans and their events");
    }
    plan
}

impl Plan for CountPlan {}

#[async_trait]
impl ConnectorPlan for CountPlan {
    async fn start(
        &self,
        id: &Id,
        _: &Surroundings,
        to: Vec<(PipelineId, Slot)>,
    ) -> Result<Stage, String> {
        let next = of_signal(&to, Signal::Metrics).ok_or("it leads to no pipeline of metrics")?;
        let defaults = CountSettings::all();
        let parse = |texts: &Option<Vec<CountedText>>, all: Vec<Counted>, context| match texts {
            None => Ok(all),
            Some(texts) => texts
                .iter()
                .map(|text| {
                    let conditions = text.conditions.iter().map(|text| condition(text, context));
                    Ok(Counted {
                        name: text.name.clone(),
                        description: text.description.clone(),
                        conditions: conditions
                            .collect::<Result<_, _>>()
                            .map_err(|(message, _): (String, _)| message)?,
                        attributes: text.attributes.clone(),
                    })
                })
                .collect::<Result<Vec<Counted>, String>>(),
        };
        let (spans, events) = match (&self.spans, &self.events) {
            (None, None) => (defaults.spans, defaults.events),
            // Who names one of them wants that one.
            (spans, events) => (
                parse(spans, Vec::new(), Context::Span)?,
                parse(events, Vec::new(), Context::SpanEvent)?,
            ),
        };
        let settings = CountSettings { spans, events };
        let counters = Counters::of(format!("connectors::{id}"));
        Ok(Stage::still(Arc::new(Count::new(settings, next, counters))))
    }
}

struct ExceptionsPlan(Dimensions);

fn exceptions(reader: &mut Reader<'_, '_>) -> ExceptionsPlan {
    let dimensions = reader.field("dimensions").list_of(|reader| {
        let name = reader.field("name").required().string().unwrap_or_default();
        (name, reader.field("default").string())
    });
    // Exemplars point at traces, which the logs do as well.
    reader.field("exemplars").section(|reader| {
        reader.field("enabled").bool();
        reader.field("max_per_data_point").int::<u32>(0..=u32::MAX);
    });
    let mut all = default_dimensions();
    for dimension in dimensions.unwrap_or_default() {
        let is_known = exceptions::OWN_LABELS.contains(&dimension.0.as_str());
        if !is_known && !all.iter().any(|(own, _)| *own == dimension.0) {
            all.push(dimension);
        }
    }
    ExceptionsPlan(all)
}

impl Plan for ExceptionsPlan {}

#[async_trait]
impl ConnectorPlan for ExceptionsPlan {
    async fn start(
        &self,
        _: &Id,
        _: &Surroundings,
        to: Vec<(PipelineId, Slot)>,
    ) -> Result<Stage, String> {
        let metrics = of_signal(&to, Signal::Metrics);
        let logs = of_signal(&to, Signal::Logs);
        Ok(Stage::still(Arc::new(Exceptions::new(self.0.clone(), metrics, logs))))
    }
}
