//! Exemplars: stored spans that stand for the buckets of a query's histograms.
//!
//! A generator of metrics keeps the newest span of each bucket at a scrape. Here nothing is
//! scraped: the store measures durations over the range with TraceQL and tells some spans of every
//! series, spread over their durations and over the range. Conditions on labels that the store can
//! judge go to it; all of them are judged again on the labels that come out.

use std::collections::BTreeMap;

use store::{MeasureRequest, MeasuredSeries, MeasuredSpan, Store, TraceMetricsFamily};
use traceql::{
    Attribute, CompareOp, Field, FieldExpr, Intrinsic, Kind, MetricsFunction, MetricsLeaf, Mode,
    OverTime, Pattern, Pipeline, Relation, Scope, SpansetExpr, Stage, Static, Status,
};

use super::browse::Range;
use super::counted::{kind_name, status_name};
use super::demand::each_selector;
use super::error::PromqlError;
use super::lower::Lowering;
use super::matchers::Matcher;
use super::metrics::{End, Metric, Part, Value};
use super::syntax;
use super::tree::Selector;
use super::value::{Grid, Labels, METRIC_NAME};
use crate::metrics::shares;

/// The most selectors of a query.
const SELECTORS_MAX: usize = 32;

/// The most spans that one measurement tells.
const SPANS_MAX: usize = 500;

/// The most exemplars of an answer.
const EXEMPLARS_MAX: usize = 1_000;

/// How many are found for one of an answer, at most, so that every series has its share.
const HELD: usize = 8;

/// Intervals of the range: a span of each is told, where there is room.
const INTERVALS: u64 = 240;

/// How long before the range spans are looked for.
const LEAD_NANO: u64 = 60_000_000_000;

const MILLI_NANO: u64 = 1_000_000;

/// What to look for.
#[derive(Debug)]
pub struct Exemplars {
    looks: Vec<Look>,
}

/// A measurement, and the metrics whose exemplars it has.
#[derive(Debug)]
struct Look {
    leaf: MetricsLeaf,
    metrics: Vec<&'static Metric>,
    matchers: Vec<Matcher>,
    calls: Calls,
}

/// Which calls of the service graph a measurement sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calls {
    /// None: it sees spans.
    None,
    /// Those between two services.
    Direct,
    /// Messages from a producer to a consumer.
    Messaging,
    /// Those of roots, which the user calls.
    OfUser,
}

/// Exemplars of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarSeries {
    /// The labels of the series, the metric's name and its bucket among them.
    pub labels: Labels,
    /// In order of time.
    pub exemplars: Vec<Exemplar>,
}

/// A span that stands for others.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Its ids, under the names that the metric's generator gives them.
    pub labels: Labels,
    /// Its duration, in the unit of the metric.
    pub value: f64,
    /// When it ended, milliseconds since the epoch.
    pub time_ms: i64,
}

/// The answer.
#[derive(Debug, Default, PartialEq)]
pub struct FoundExemplars {
    /// By labels.
    pub series: Vec<ExemplarSeries>,
    /// A damaged block is left out.
    pub partial: bool,
}

impl Exemplars {
    /// Understands a query: exemplars are those of all series that it names, whatever it computes
    /// of them and to which time it looks.
    ///
    /// # Errors
    /// What is wrong with it, and where; more than 32 selectors.
    pub fn of(text: &str) -> Result<Self, PromqlError> {
        let node = Lowering { text, grid: Grid::instant(0) }.node(&syntax::parse(text)?)?;
        let (mut looks, mut selectors) = (Vec::new(), 0);
        each_selector(&node, &mut |selector| {
            selectors += 1;
            if selectors <= SELECTORS_MAX {
                looks.extend(looks_of(selector));
            }
        });
        match selectors > SELECTORS_MAX {
            true => Err(PromqlError::query(format!(
                "the query has {selectors} selectors; exemplars are told of {SELECTORS_MAX}"
            ))),
            false => Ok(Self { looks }),
        }
    }

    /// Has the store look for them; at most 1,000. Dropping the future ends that.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn find(
        &self,
        store: &dyn Store,
        range: Range,
    ) -> Result<FoundExemplars, PromqlError> {
        let mut found = FoundExemplars::default();
        let mut all: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        let mut room = EXEMPLARS_MAX * HELD;
        for look in &self.looks {
            let Some(request) = request(&look.leaf, range) else { break };
            if room == 0 {
                break;
            }
            let measured = store.measure(request, None).await?;
            found.partial |= measured.partial;
            for series in &measured.series {
                for (labels, exemplar) in look.exemplars(series, range) {
                    let known = all.entry(labels).or_default();
                    // Two selectors may name the same series.
                    if room > 0 && !known.contains(&exemplar) {
                        known.push(exemplar);
                        room -= 1;
                    }
                }
            }
        }
        let counts: Vec<usize> = all.values().map(Vec::len).collect();
        let shares = shares(&counts, EXEMPLARS_MAX);
        let series = all.into_iter().zip(shares).filter(|(_, share)| *share > 0);
        found.series = series
            .map(|((labels, mut exemplars), share)| {
                exemplars.sort_by_key(|exemplar| exemplar.time_ms);
                // A series is one bucket: what is left is spread over time.
                let count = exemplars.len();
                let places = (0..share).map(|at| at * count / share);
                let exemplars = places.filter_map(|at| exemplars.get(at).cloned()).collect();
                ExemplarSeries { labels, exemplars }
            })
            .collect();
        Ok(found)
    }
}

/// The measurements that a selector needs.
fn looks_of(selector: &Selector) -> Vec<Look> {
    let mut looks: Vec<Look> = Vec::new();
    let of_buckets = |metric: &&&Metric| {
        matches!(metric.part, Part::Durations(End::Server, Value::Bucket))
            && has_labels_of(metric, &selector.matchers)
    };
    for metric in selector.metrics.iter().filter(of_buckets).copied() {
        let same = looks.iter_mut().filter(|look| {
            let other = look.metrics.first();
            other.is_some_and(|other| other.service_label == metric.service_label)
        });
        let mut is_seen = false;
        for look in same {
            look.metrics.push(metric);
            is_seen = true;
        }
        if is_seen {
            continue;
        }
        let kinds = match metric.family {
            TraceMetricsFamily::SpanMetrics => &[Calls::None][..],
            TraceMetricsFamily::ServiceGraph => &[Calls::Direct, Calls::Messaging, Calls::OfUser],
        };
        looks.extend(kinds.iter().map(|calls| Look {
            leaf: leaf(metric, &selector.matchers, *calls),
            metrics: vec![metric],
            matchers: selector.matchers.clone(),
            calls: *calls,
        }));
    }
    looks
}

/// Whether the series of a metric can meet conditions on labels that it does not have.
fn has_labels_of(metric: &Metric, matchers: &[Matcher]) -> bool {
    let labels = metric.labels();
    matchers.iter().all(|matcher| {
        matcher.name == METRIC_NAME
            || labels.contains(&matcher.name.as_str())
            || matcher.matches("")
    })
}

/// A request for spans that may end in a range; `None` if it ends before 1970. Spans are measured
/// at their start: those of more than a minute that start before the range are not seen.
fn request(leaf: &MetricsLeaf, range: Range) -> Option<MeasureRequest> {
    let nanos = |ms: i64| u64::try_from(ms).ok().map(|ms| ms.saturating_mul(MILLI_NANO));
    let start_unix_nano = nanos(range.start_ms).unwrap_or(0).saturating_sub(LEAD_NANO);
    let end_unix_nano = nanos(range.end_ms)?;
    let length = end_unix_nano.saturating_sub(start_unix_nano);
    let step_nano = length.div_ceil(INTERVALS).max(1);
    let steps = usize::try_from(length.div_ceil(step_nano).max(1)).ok()?;
    let leaf = leaf.clone();
    Some(MeasureRequest {
        leaf,
        start_unix_nano,
        step_nano,
        steps,
        exemplars_max: SPANS_MAX,
        extrapolate: false,
    })
}

/// Durations of the spans that a metric counts.
fn leaf(metric: &Metric, matchers: &[Matcher], calls: Calls) -> MetricsLeaf {
    let kinds = |kinds: &[Kind]| {
        let is = |kind: &Kind| equal(intrinsic(Intrinsic::Kind), Static::Kind(*kind));
        match kinds {
            [kind] => is(kind),
            kinds => FieldExpr::Any(kinds.iter().map(is).collect()),
        }
    };
    let given = |label: &str, field: Field| {
        let of_label = matchers.iter().filter(|matcher| matcher.name == label);
        of_label.filter_map(|matcher| condition(matcher, &field)).collect::<Vec<_>>()
    };
    let all = |mut conditions: Vec<FieldExpr>| match conditions.len() {
        0 => SpansetExpr::Filter(FieldExpr::Static(Static::Bool(true))),
        1 => SpansetExpr::Filter(conditions.remove(0)),
        _ => SpansetExpr::Filter(FieldExpr::All(conditions)),
    };
    let between = |from: &[Kind], to: &[Kind]| {
        let mut clients = given("client", service(false));
        clients.push(kinds(from));
        let mut servers = given("server", service(false));
        servers.push(kinds(to));
        SpansetExpr::Structural {
            relation: Relation::Child,
            mode: Mode::Plain,
            left: Box::new(all(clients)),
            right: Box::new(all(servers)),
        }
    };
    let (spans, by) = match calls {
        Calls::None => {
            let mut conditions = given(metric.service_label, service(false));
            conditions.extend(given("span_name", Field::Intrinsic(Intrinsic::Name)));
            conditions.extend(given("span_kind", Field::Intrinsic(Intrinsic::Kind)));
            conditions.extend(given("status_code", Field::Intrinsic(Intrinsic::Status)));
            let of_span = [Intrinsic::Name, Intrinsic::Kind, Intrinsic::Status];
            let by = std::iter::once(service(false)).chain(of_span.map(Field::Intrinsic));
            (all(conditions), by.collect())
        }
        Calls::Direct => {
            let ways = [
                between(&[Kind::Client], &[Kind::Server, Kind::Consumer]),
                between(&[Kind::Producer], &[Kind::Server]),
            ];
            (SpansetExpr::Or(ways.to_vec()), vec![service(true), service(false)])
        }
        Calls::Messaging => {
            let spans = between(&[Kind::Producer], &[Kind::Consumer]);
            (spans, vec![service(true), service(false)])
        }
        Calls::OfUser => {
            let mut servers = given("server", service(false));
            servers.push(kinds(&[Kind::Server]));
            servers.push(equal(intrinsic(Intrinsic::ParentId), Static::String(String::new())));
            (all(servers), vec![service(false)])
        }
    };
    MetricsLeaf {
        pipeline: Pipeline { stages: vec![Stage::Spansets(spans)] },
        function: MetricsFunction::OverTime(OverTime::Max, Field::Intrinsic(Intrinsic::Duration)),
        by,
    }
}

fn service(parent: bool) -> Field {
    let name = "service.name".to_owned();
    Field::Attribute(Attribute { scope: Scope::Resource, parent, name })
}

fn intrinsic(intrinsic: Intrinsic) -> FieldExpr {
    FieldExpr::Field(Field::Intrinsic(intrinsic))
}

fn equal(left: FieldExpr, right: Static) -> FieldExpr {
    compare(left, CompareOp::Equal, right)
}

fn compare(left: FieldExpr, op: CompareOp, right: Static) -> FieldExpr {
    FieldExpr::Compare { op, left: Box::new(left), right: Box::new(FieldExpr::Static(right)) }
}

/// A condition on a label as one on a field; `None` where it says something else of spans that
/// have no such field, or cannot be said.
fn condition(matcher: &Matcher, field: &Field) -> Option<FieldExpr> {
    let of_field = FieldExpr::Field(field.clone());
    let value = |text: &str| match field {
        Field::Intrinsic(Intrinsic::Kind) => {
            Kind::ALL.into_iter().find(|kind| kind_text(*kind) == text).map(Static::Kind)
        }
        Field::Intrinsic(Intrinsic::Status) => {
            Status::ALL.into_iter().find(|status| status_text(*status) == text).map(Static::Status)
        }
        _ => Some(Static::String(text.to_owned())),
    };
    let is_text = matches!(field, Field::Attribute(_) | Field::Intrinsic(Intrinsic::Name));
    if let Some(text) = matcher.only().filter(|text| !text.is_empty()) {
        return Some(equal(of_field, value(text)?));
    }
    if let Some(text) = matcher.all_but()
        && matches!(field, Field::Intrinsic(_))
    {
        return Some(compare(of_field, CompareOp::NotEqual, value(text)?));
    }
    let pattern = matcher.pattern().filter(|_| is_text && !matcher.matches(""))?;
    let pattern = Pattern::new(pattern).ok()?;
    Some(FieldExpr::Matches { value: Box::new(of_field), pattern, negated: false })
}

fn kind_text(kind: Kind) -> String {
    kind_name(match kind {
        Kind::Unspecified => model::kind::UNSPECIFIED,
        Kind::Internal => model::kind::INTERNAL,
        Kind::Server => model::kind::SERVER,
        Kind::Client => model::kind::CLIENT,
        Kind::Producer => model::kind::PRODUCER,
        Kind::Consumer => model::kind::CONSUMER,
    })
}

fn status_text(status: Status) -> String {
    status_name(match status {
        Status::Unset => model::status_code::UNSET,
        Status::Ok => model::status_code::OK,
        Status::Error => model::status_code::ERROR,
    })
}

impl Look {
    /// The exemplars of a measured series, those that ended in a range, with the labels of theirs.
    fn exemplars(&self, series: &MeasuredSeries, range: Range) -> Vec<(Labels, Exemplar)> {
        let mut found = Vec::new();
        for metric in &self.metrics {
            let Some(labels) = self.labels(metric, series) else { continue };
            for span in &series.exemplars {
                let nanos = (span.value * 1e9).round().max(0.0) as u64;
                let end = span.start_unix_nano.saturating_add(nanos) / MILLI_NANO;
                let time_ms = i64::try_from(end).unwrap_or(i64::MAX);
                if !(range.start_ms..=range.end_ms).contains(&time_ms) {
                    continue;
                }
                let mut labels = labels.clone();
                let bound = metric.bounds.iter().find(|bound| nanos <= **bound);
                labels.set("le", bound.map_or("+Inf".to_owned(), |bound| metric.bound(*bound)));
                if self.matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name))) {
                    let value = nanos as f64 / metric.unit_nano as f64;
                    found.push((labels, Exemplar { labels: ids(metric, span), value, time_ms }));
                }
            }
        }
        found
    }

    /// The labels in a metric but for the bucket; `None` where it has no such series.
    fn labels(&self, metric: &Metric, series: &MeasuredSeries) -> Option<Labels> {
        let value = |name: &str| {
            let found = series.labels.iter().find(|(label, _)| label == name);
            found.map(|(_, value)| value)
        };
        let text = |name: &str| match value(name) {
            Some(Static::Nil) | None => String::new(),
            Some(value) => crate::static_text(value),
        };
        let service = text("resource.service.name");
        let mut labels = Labels::from([(METRIC_NAME, metric.name)]);
        match self.calls {
            Calls::None => {
                // The Collector leaves out spans whose service is not known.
                if service.is_empty() && metric.service_label == "service_name" {
                    return None;
                }
                labels.set(metric.service_label, service);
                labels.set("span_name", text("name"));
                if let Some(Static::Kind(kind)) = value("kind") {
                    labels.set("span_kind", kind_text(*kind));
                }
                if let Some(Static::Status(status)) = value("status") {
                    labels.set("status_code", status_text(*status));
                }
            }
            Calls::Direct | Calls::Messaging => {
                labels.set("client", text("parent.resource.service.name"));
                labels.set("server", service);
                if self.calls == Calls::Messaging {
                    labels.set("connection_type", "messaging_system");
                }
            }
            Calls::OfUser => {
                labels.set("client", "user");
                labels.set("server", service);
                labels.set("connection_type", "virtual_node");
            }
        }
        Some(labels)
    }
}

/// A span's ids: Tempo's generator and the Collector call them differently.
fn ids(metric: &Metric, span: &MeasuredSpan) -> Labels {
    let (trace, id) = match metric.service_label {
        "service_name" => ("trace_id", "span_id"),
        _ => ("traceID", "spanID"),
    };
    let mut labels = Labels::default();
    labels.set(trace, span.trace_id.to_string());
    labels.set(id, span.span_id.to_string());
    labels
}
