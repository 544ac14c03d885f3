//! What an expression needs to be counted: one request of each family for all of its selectors.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use store::{ServiceRow, SpanMetricsBy, Store, TraceMetricsFamily, TraceMetricsRequest};

use super::counted::{Counted, Counts};
use super::error::PromqlError;
use super::metrics::Metric;
use super::tree::{Aggregate, Aggregator, Grouping, Node, Selector};
use super::value::Grid;

/// The most instants that counters are read at, as the store bounds them: both ends of a range at
/// each of as many steps as a query may have, and the beginning of all.
pub(super) const EDGES_MAX: usize = 22_003;

const ALL: SpanMetricsBy = SpanMetricsBy { name: true, kind: true, status: true };

/// What is needed of a family.
#[derive(Debug, Default)]
struct Demand {
    edges: BTreeSet<u64>,
    bounds: BTreeSet<u64>,
    by: SpanMetricsBy,
    /// Services by name; all of them with `None`.
    services: Option<BTreeSet<String>>,
    is_wanted: bool,
}

/// What is needed of all families of metrics.
#[derive(Debug, Default)]
pub struct Demands {
    spans: Demand,
    graph: Demand,
}

/// What is known when needs are looked for.
#[derive(Debug, Clone, Copy)]
struct Known<'a> {
    services: &'a [ServiceRow],
    stop: &'a AtomicBool,
}

/// Whether an expression has conditions on services that the small table of them can answer.
pub(super) fn names_services(node: &Node) -> bool {
    let mut found = false;
    each_selector(node, &mut |selector| {
        let labels = selector.metrics.iter().map(|metric| metric.service_label);
        let labels: BTreeSet<&str> = labels.filter(|label| !label.is_empty()).collect();
        found |= selector.matchers.iter().any(|matcher| labels.contains(matcher.name.as_str()));
    });
    found
}

/// Shows all selectors of an expression.
pub(super) fn each_selector(node: &Node, see: &mut impl FnMut(&Selector)) {
    match node {
        Node::Number(_) | Node::Text(_) | Node::Time => {}
        Node::Selector(selector) => see(selector),
        Node::Increase(increase) => see(&increase.selector),
        Node::Window(window) => each_selector(&window.inner, see),
        Node::Over(_, window, parameter) => {
            each_selector(&window.inner, see);
            parameter.iter().for_each(|node| each_selector(node, see));
        }
        Node::Negate(inner) => each_selector(inner, see),
        Node::Aggregate(aggregate) => {
            aggregate.parameter.iter().for_each(|node| each_selector(node, see));
            each_selector(&aggregate.inner, see);
        }
        Node::Binary(binary) => {
            each_selector(&binary.left, see);
            each_selector(&binary.right, see);
        }
        Node::Call(_, nodes) => nodes.iter().for_each(|node| each_selector(node, see)),
    }
}

impl Demands {
    /// Adds what an expression needs over a grid. `services` are those that there are. Ends soon
    /// after `stop` is set.
    pub(super) fn add(
        &mut self,
        node: &Node,
        grid: Grid,
        services: &[ServiceRow],
        stop: &AtomicBool,
    ) -> Result<(), PromqlError> {
        self.node(node, grid, ALL, Known { services, stop })
    }

    /// Has the store count it, in one request for each family of metrics. Dropping the future ends
    /// that.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn count(self, store: &dyn Store) -> Result<Counted, PromqlError> {
        let (spans, graph) = self.requests();
        Ok(Counted { spans: counts(store, spans).await?, graph: counts(store, graph).await? })
    }

    /// The requests for span metrics and for the service graph.
    pub(super) fn requests(self) -> (Option<TraceMetricsRequest>, Option<TraceMetricsRequest>) {
        let spans = self.spans.request(TraceMetricsFamily::SpanMetrics);
        (spans, self.graph.request(TraceMetricsFamily::ServiceGraph))
    }

    fn node(
        &mut self,
        node: &Node,
        grid: Grid,
        by: SpanMetricsBy,
        known: Known<'_>,
    ) -> Result<(), PromqlError> {
        match node {
            Node::Number(_) | Node::Text(_) | Node::Time => Ok(()),
            Node::Selector(selector) => {
                let seen = selector.shift.apply(grid);
                self.selector(selector, std::iter::once(0).chain(seen.times()), by, known)
            }
            Node::Increase(increase) => {
                let seen = increase.selector.shift.apply(grid);
                let times = seen.times();
                let edges = times.flat_map(|time| [time.saturating_sub(increase.range_ms), time]);
                self.selector(&increase.selector, edges, by, known)
            }
            Node::Window(window) | Node::Over(_, window, None) => {
                self.window(&window.inner, window.instants(grid), known)
            }
            Node::Over(_, window, Some(parameter)) => {
                self.node(parameter, grid, ALL, known)?;
                self.window(&window.inner, window.instants(grid), known)
            }
            Node::Negate(inner) => self.node(inner, grid, ALL, known),
            Node::Aggregate(aggregate) => {
                if let Some(parameter) = &aggregate.parameter {
                    self.node(parameter, grid, ALL, known)?;
                }
                self.node(&aggregate.inner, grid, told_apart(aggregate), known)
            }
            Node::Binary(binary) => {
                self.node(&binary.left, grid, ALL, known)?;
                self.node(&binary.right, grid, ALL, known)
            }
            Node::Call(_, nodes) => {
                nodes.iter().try_for_each(|node| self.node(node, grid, ALL, known))
            }
        }
    }

    fn window(
        &mut self,
        inner: &Node,
        instants: Grid,
        known: Known<'_>,
    ) -> Result<(), PromqlError> {
        match instants.count {
            0 => Ok(()),
            count if count > EDGES_MAX => Err(too_many(count)),
            _ => self.node(inner, instants, ALL, known),
        }
    }

    fn selector(
        &mut self,
        selector: &Selector,
        times: impl Iterator<Item = i64>,
        by: SpanMetricsBy,
        known: Known<'_>,
    ) -> Result<(), PromqlError> {
        let edges: Vec<u64> = times.map(edge).collect();
        for metric in &selector.metrics {
            if known.stop.load(Ordering::Relaxed) {
                return Err(PromqlError::stopped());
            }
            let demand = match metric.family {
                TraceMetricsFamily::SpanMetrics => &mut self.spans,
                TraceMetricsFamily::ServiceGraph => &mut self.graph,
            };
            let named = named(metric, selector, known.services);
            if named.as_ref().is_some_and(BTreeSet::is_empty) {
                continue;
            }
            demand.services = match (demand.services.take(), named) {
                (_, first) if !demand.is_wanted => first,
                (Some(some), Some(more)) => Some(&some | &more),
                _ => None,
            };
            demand.is_wanted = true;
            demand.edges.extend(&edges);
            demand.bounds.extend(metric.bounds);
            let of = |label: &str| selector.matchers.iter().any(|matcher| matcher.name == label);
            demand.by.name |= by.name || of("span_name");
            demand.by.kind |= by.kind || of("span_kind");
            demand.by.status |= by.status || of("status_code");
            if demand.edges.len() > EDGES_MAX {
                return Err(too_many(demand.edges.len()));
            }
        }
        Ok(())
    }
}

impl Demand {
    /// The request to the store; `None` where nothing can have been counted.
    fn request(self, family: TraceMetricsFamily) -> Option<TraceMetricsRequest> {
        (self.is_wanted && self.edges.len() > 1).then(|| TraceMetricsRequest {
            family,
            services: self.services.map(|names| names.into_iter().collect()),
            edges: self.edges.into_iter().collect(),
            bounds: self.bounds.into_iter().collect(),
            by: self.by,
        })
    }
}

/// A time as the store counts it: nanoseconds since the epoch, and no time before that.
pub(super) fn edge(time_ms: i64) -> u64 {
    u64::try_from(time_ms).unwrap_or(0).saturating_mul(1_000_000)
}

fn too_many(count: usize) -> PromqlError {
    PromqlError::execution(format!(
        "the query needs the counters at {count} instants or more; they are read at {EDGES_MAX} \
         at the most. Ask for a longer step or a shorter time, or make the ranges in brackets \
         multiples of the step"
    ))
}

/// Which labels have to be told apart below an aggregation: sums of counters may be counted
/// together.
fn told_apart(aggregate: &Aggregate) -> SpanMetricsBy {
    let is_counter = matches!(aggregate.inner, Node::Selector(_) | Node::Increase(_));
    if aggregate.operator != Aggregator::Sum || !is_counter {
        return ALL;
    }
    let grouping: &Grouping = &aggregate.grouping;
    SpanMetricsBy {
        name: grouping.keeps("span_name"),
        kind: grouping.keeps("span_kind"),
        status: grouping.keeps("status_code"),
    }
}

/// The services that a selector lets through; `None` for all of them. The ends of calls may have
/// sent no spans, so that the table of services says nothing of them: an end is known when it is
/// named outright.
fn named(
    metric: &Metric,
    selector: &Selector,
    services: &[ServiceRow],
) -> Option<BTreeSet<String>> {
    let label = metric.service_label;
    if label.is_empty() {
        let ends = selector.matchers.iter().filter(|one| matches!(&*one.name, "client" | "server"));
        let end = ends.filter_map(|matcher| matcher.only()).find(|end| !end.is_empty());
        return end.map(|end| BTreeSet::from([end.to_owned()]));
    }
    let matchers: Vec<_> =
        selector.matchers.iter().filter(|matcher| matcher.name == label).collect();
    if matchers.is_empty() {
        return None;
    }
    let let_through = services
        .iter()
        .filter(|service| matchers.iter().all(|matcher| matcher.matches(&service.name)));
    let names: BTreeSet<String> = let_through.map(|service| service.name.clone()).collect();
    (names.len() < services.len() || services.is_empty()).then_some(names)
}

async fn counts(
    store: &dyn Store,
    request: Option<TraceMetricsRequest>,
) -> Result<Counts, PromqlError> {
    let Some(request) = request else { return Ok(Counts::default()) };
    let (edges, bounds) = (request.edges.clone(), request.bounds.clone());
    let set = store.trace_metrics(request).await?;
    Ok(Counts { edges, bounds, set })
}
