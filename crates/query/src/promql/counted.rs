//! From what the store counted to series of metrics.

use store::{
    Cells, ConnectionType, ServiceGraphSeries, SpanMetricsSeries, TraceMetricsFamily,
    TraceMetricsSet,
};

use super::demand::edge;
use super::error::PromqlError;
use super::metrics::{End, Metric, Part, Value};
use super::tree::{Increase, Selector};
use super::value::{ABSENT, Budget, Grid, Labels, METRIC_NAME, Vector};

/// What was counted of a family.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) edges: Vec<u64>,
    pub(super) bounds: Vec<u64>,
    pub(super) set: TraceMetricsSet,
}

/// What was counted for a query.
#[derive(Debug, Default)]
pub struct Counted {
    pub(super) spans: Counts,
    pub(super) graph: Counts,
}

impl Counted {
    /// Whether a damaged block was left out.
    pub fn is_partial(&self) -> bool {
        self.spans.set.partial || self.graph.set.partial
    }

    fn of(&self, family: TraceMetricsFamily) -> &Counts {
        match family {
            TraceMetricsFamily::SpanMetrics => &self.spans,
            TraceMetricsFamily::ServiceGraph => &self.graph,
        }
    }

    /// What counters stood at, at each time of a grid.
    pub(super) fn instants(
        &self,
        selector: &Selector,
        grid: Grid,
        budget: &Budget,
    ) -> Result<Vector, PromqlError> {
        let windows = |counts: &Counts| {
            grid.times().map(|time| (counts.place(0), counts.place(edge(time)))).collect()
        };
        let value = |counted: u64, unit: f64| counted as f64 / unit;
        self.select(selector, windows, value, true, budget)
    }

    /// By how much counters rose in a range before each time of a grid.
    pub(super) fn increases(
        &self,
        increase: &Increase,
        grid: Grid,
        budget: &Budget,
    ) -> Result<Vector, PromqlError> {
        let windows = |counts: &Counts| {
            let from = |time: i64| edge(time.saturating_sub(increase.range_ms));
            let times = grid.times();
            times.map(|time| (counts.place(from(time)), counts.place(edge(time)))).collect()
        };
        let seconds = if increase.per_second { increase.range_ms as f64 / 1000.0 } else { 1.0 };
        let value = |counted: u64, unit: f64| counted as f64 / unit / seconds;
        self.select(&increase.selector, windows, value, false, budget)
    }

    /// All series that a selector lets through. Those that count nothing in any of the windows are
    /// not there; of `sparse` ones neither are single values.
    fn select(
        &self,
        selector: &Selector,
        windows: impl Fn(&Counts) -> Vec<(usize, usize)>,
        value: impl Fn(u64, f64) -> f64,
        sparse: bool,
        budget: &Budget,
    ) -> Result<Vector, PromqlError> {
        let mut vector = budget.vector();
        for metric in selector.metrics.iter().copied() {
            let counts = self.of(metric.family);
            let windows = windows(counts);
            let rows = counts.set.spans.iter().map(Row::Span);
            for row in rows.chain(counts.set.edges.iter().map(Row::Call)) {
                budget.go_on()?;
                let Some(mut labels) = row.labels(metric) else { continue };
                let meet = |labels: &Labels, of_buckets: bool| {
                    let matchers = selector.matchers.iter();
                    matchers
                        .filter(|matcher| (matcher.name == "le") == of_buckets)
                        .all(|matcher| matcher.matches(labels.get(&matcher.name)))
                };
                let is_bucket = metric.has_buckets();
                if !meet(&labels, false) || !(is_bucket || meet(&labels, true)) {
                    continue;
                }
                let exists = running(counts, |rises| row.count(metric.part, rises));
                let is_there = |&(from, to): &(usize, usize)| risen(&exists, from, to) > 0;
                if !windows.iter().any(is_there) {
                    continue;
                }
                let mut add = |labels: Labels, standing: &[u64], unit: f64| {
                    budget.take(&mut vector, &labels, windows.len())?;
                    let values = windows.iter().map(|window| match sparse && !is_there(window) {
                        true => ABSENT,
                        false => value(risen(standing, window.0, window.1), unit),
                    });
                    let values = values.collect();
                    vector.series.push(super::value::Series { labels, values });
                    Ok::<_, PromqlError>(())
                };
                let unit = metric.unit_nano as f64;
                match metric.part {
                    Part::Durations(end, Value::Bucket) => {
                        for (le, most) in counts.buckets(metric) {
                            labels.set("le", le);
                            if meet(&labels, true) {
                                let standing = running(counts, |rises| row.below(end, most, rises));
                                add(labels.clone(), &standing, 1.0)?;
                            }
                        }
                    }
                    Part::Durations(end, Value::Sum) => {
                        let standing = running(counts, |rises| row.sum(end, rises));
                        add(labels, &standing, unit)?;
                    }
                    _ => add(labels, &exists, 1.0)?,
                }
            }
        }
        vector.settle()?;
        Ok(vector)
    }
}

impl Counts {
    /// The number of an edge.
    fn place(&self, edge: u64) -> usize {
        self.edges.partition_point(|known| *known < edge)
    }

    /// The label of each bucket of a metric, and how many of the counted buckets it has.
    fn buckets(&self, metric: &Metric) -> impl Iterator<Item = (String, usize)> {
        let bounded = metric.bounds.iter().map(|bound| {
            (metric.bound(*bound), self.bounds.partition_point(|known| known <= bound))
        });
        bounded.chain(std::iter::once(("+Inf".to_owned(), self.bounds.len() + 1)))
    }
}

/// What a counter stood at, at each edge, from how much it rises in each cell.
fn running(counts: &Counts, rise: impl FnOnce(&mut [u64])) -> Vec<u64> {
    let mut standing = vec![0; counts.edges.len().max(1)];
    rise(&mut standing[1..]);
    let mut sum = 0_u64;
    for value in &mut standing {
        sum = sum.saturating_add(*value);
        *value = sum;
    }
    standing
}

fn risen(standing: &[u64], from: usize, to: usize) -> u64 {
    let at = |place: usize| standing.get(place).or(standing.last()).copied().unwrap_or(0);
    at(to).saturating_sub(at(from))
}

/// A series of the store's.
enum Row<'a> {
    Span(&'a SpanMetricsSeries),
    Call(&'a ServiceGraphSeries),
}

impl Row<'_> {
    /// The labels in a metric but for that of buckets; `None` where it is none of the metric's.
    fn labels(&self, metric: &Metric) -> Option<Labels> {
        let mut labels = Labels::from([(METRIC_NAME, metric.name)]);
        match self {
            Self::Span(span) => {
                // The Collector leaves out spans whose service is not known.
                if span.service.is_empty() && metric.service_label == "service_name" {
                    return None;
                }
                labels.set(metric.service_label, span.service.as_str());
                labels.set("span_name", span.name.as_deref().unwrap_or_default());
                labels.set("span_kind", span.kind.map(kind_name).unwrap_or_default());
                labels.set("status_code", span.status.map(status_name).unwrap_or_default());
            }
            Self::Call(call) => {
                labels.set("client", call.client.as_str());
                labels.set("server", call.server.as_str());
                labels.set("connection_type", ConnectionType::label(call.connection_type));
            }
        }
        Some(labels)
    }

    fn durations(&self, end: End) -> &Cells {
        match (self, end) {
            (Self::Span(span), _) => &span.cells,
            (Self::Call(call), End::Server) => &call.server_durations,
            (Self::Call(call), End::Client) => &call.client_durations,
        }
    }

    /// How often what a part counts happened.
    fn count(&self, part: Part, rises: &mut [u64]) {
        let whole = |cells: &[u64], rises: &mut [u64]| {
            cells.iter().zip(rises).for_each(|(cell, rise)| *rise = *cell);
        };
        match (self, part) {
            (Self::Call(call), Part::Calls) => whole(&call.calls, rises),
            (Self::Call(call), Part::Failed) => whole(&call.failed, rises),
            (_, Part::Durations(end, _)) => self.below(end, usize::MAX, rises),
            (Self::Span(_), _) => self.below(End::Server, usize::MAX, rises),
        }
    }

    /// Durations in the first buckets.
    fn below(&self, end: End, buckets: usize, rises: &mut [u64]) {
        for (at, cell) in self.durations(end).iter() {
            if let Some(rise) = rises.get_mut(at) {
                *rise = cell.buckets.iter().take(buckets).sum();
            }
        }
    }

    fn sum(&self, end: End, rises: &mut [u64]) {
        for (at, cell) in self.durations(end).iter() {
            if let Some(rise) = rises.get_mut(at) {
                *rise = cell.sum_nanos;
            }
        }
    }
}

/// The name of a span's kind, as in OTLP; the number of one that has none.
pub(super) fn kind_name(kind: i32) -> String {
    let name = match kind {
        model::kind::UNSPECIFIED => "UNSPECIFIED",
        model::kind::INTERNAL => "INTERNAL",
        model::kind::SERVER => "SERVER",
        model::kind::CLIENT => "CLIENT",
        model::kind::PRODUCER => "PRODUCER",
        model::kind::CONSUMER => "CONSUMER",
        other => return other.to_string(),
    };
    format!("SPAN_KIND_{name}")
}

/// The name of a status code, likewise.
pub(super) fn status_name(status: i32) -> String {
    let name = match status {
        model::status_code::UNSET => "UNSET",
        model::status_code::OK => "OK",
        model::status_code::ERROR => "ERROR",
        other => return other.to_string(),
    };
    format!("STATUS_CODE_{name}")
}
