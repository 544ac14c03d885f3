//! Which metric comes from where: one table.

use store::TraceMetricsFamily::{self, ServiceGraph, SpanMetrics};

/// What of the counted is a metric's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Spans, or calls.
    Calls,
    /// Calls that failed.
    Failed,
    /// A value of a histogram of durations.
    Durations(End, Value),
}

/// Whose durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Those of a span, or of the server of a call.
    Server,
    /// Those of the client of a call.
    Client,
}

/// A value of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// One series for each bound, that of the label `le`.
    Bucket,
    /// Durations added up.
    Sum,
    /// How many.
    Count,
}

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) family: TraceMetricsFamily,
    pub(super) part: Part,
    /// The label of the service; empty where there is none.
    pub(super) service_label: &'static str,
    /// Bounds of buckets in nanoseconds.
    pub(super) bounds: &'static [u64],
    /// The unit of durations in nanoseconds.
    pub(super) unit_nano: u64,
    help: &'static str,
}

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Tempo's metrics generator, span metrics: 2 ms, twice as much each, 14 of them.
static TEMPO_SPANS: [u64; 14] = doubled(2 * MS);

/// Tempo's metrics generator, service graphs: 100 ms, twice as much each, 8 of them.
static TEMPO_GRAPH: [u64; 8] = doubled(100 * MS);

/// The Collector's connector span_metrics.
static COLLECTOR: [u64; 16] = [
    2 * MS,
    4 * MS,
    6 * MS,
    8 * MS,
    10 * MS,
    50 * MS,
    100 * MS,
    200 * MS,
    400 * MS,
    800 * MS,
    1000 * MS,
    1400 * MS,
    2000 * MS,
    5000 * MS,
    10_000 * MS,
    15_000 * MS,
];

const fn doubled<const N: usize>(first: u64) -> [u64; N] {
    let mut bounds = [first; N];
    let mut at = 1;
    while at < N {
        bounds[at] = bounds[at - 1] * 2;
        at += 1;
    }
    bounds
}

const BUCKET: Part = Part::Durations(End::Server, Value::Bucket);
const SUM: Part = Part::Durations(End::Server, Value::Sum);
const COUNT: Part = Part::Durations(End::Server, Value::Count);
const CLIENT_BUCKET: Part = Part::Durations(End::Client, Value::Bucket);
const CLIENT_SUM: Part = Part::Durations(End::Client, Value::Sum);
const CLIENT_COUNT: Part = Part::Durations(End::Client, Value::Count);

const SPANS: &str = "Spans that ended.";
const LATENCY: &str = "Durations of spans.";
const CALLS: &str = "Calls between services.";
const FAILED: &str = "Calls between services of which a span has status error.";
const SERVER: &str = "Durations of calls between services, as the server's span has them.";
const CLIENT: &str = "Durations of calls between services, as the client's span has them.";

/// Names, labels and bounds are those of Tempo's metrics generator and of the Collector's
/// connector span_metrics, whose unit is either. The Collector's connector service_graph has the
/// names of Tempo's.
#[rustfmt::skip]
pub(super) static METRICS: [Metric; 19] = [
    metric("traces_spanmetrics_calls_total", SpanMetrics, Part::Calls, "service", &[], SECOND, SPANS),
    metric("traces_spanmetrics_latency_bucket", SpanMetrics, BUCKET, "service", &TEMPO_SPANS, SECOND, LATENCY),
    metric("traces_spanmetrics_latency_sum", SpanMetrics, SUM, "service", &[], SECOND, LATENCY),
    metric("traces_spanmetrics_latency_count", SpanMetrics, COUNT, "service", &[], SECOND, LATENCY),
    metric("traces_span_metrics_calls_total", SpanMetrics, Part::Calls, "service_name", &[], SECOND, SPANS),
    metric("traces_span_metrics_duration_milliseconds_bucket", SpanMetrics, BUCKET, "service_name", &COLLECTOR, MS, LATENCY),
    metric("traces_span_metrics_duration_milliseconds_sum", SpanMetrics, SUM, "service_name", &[], MS, LATENCY),
    metric("traces_span_metrics_duration_milliseconds_count", SpanMetrics, COUNT, "service_name", &[], MS, LATENCY),
    metric("traces_span_metrics_duration_seconds_bucket", SpanMetrics, BUCKET, "service_name", &COLLECTOR, SECOND, LATENCY),
    metric("traces_span_metrics_duration_seconds_sum", SpanMetrics, SUM, "service_name", &[], SECOND, LATENCY),
    metric("traces_span_metrics_duration_seconds_count", SpanMetrics, COUNT, "service_name", &[], SECOND, LATENCY),
    metric("traces_service_graph_request_total", ServiceGraph, Part::Calls, "", &[], SECOND, CALLS),
    metric("traces_service_graph_request_failed_total", ServiceGraph, Part::Failed, "", &[], SECOND, FAILED),
    metric("traces_service_graph_request_server_seconds_bucket", ServiceGraph, BUCKET, "", &TEMPO_GRAPH, SECOND, SERVER),
    metric("traces_service_graph_request_server_seconds_sum", ServiceGraph, SUM, "", &[], SECOND, SERVER),
    metric("traces_service_graph_request_server_seconds_count", ServiceGraph, COUNT, "", &[], SECOND, SERVER),
    metric("traces_service_graph_request_client_seconds_bucket", ServiceGraph, CLIENT_BUCKET, "", &TEMPO_GRAPH, SECOND, CLIENT),
    metric("traces_service_graph_request_client_seconds_sum", ServiceGraph, CLIENT_SUM, "", &[], SECOND, CLIENT),
    metric("traces_service_graph_request_client_seconds_count", ServiceGraph, CLIENT_COUNT, "", &[], SECOND, CLIENT),
];

const fn metric(
    name: &'static str,
    family: TraceMetricsFamily,
    part: Part,
    service_label: &'static str,
    bounds: &'static [u64],
    unit_nano: u64,
    help: &'static str,
) -> Metric {
    Metric { name, family, part, service_label, bounds, unit_nano, help }
}

impl Metric {
    /// The names of its labels, those of buckets included.
    pub(super) fn labels(&self) -> Vec<&'static str> {
        let mut labels = match self.family {
            SpanMetrics => vec![self.service_label, "span_kind", "span_name", "status_code"],
            ServiceGraph => vec!["client", "connection_type", "server"],
        };
        if self.has_buckets() {
            labels.push("le");
        }
        labels
    }

    /// Whether it has a series for each bucket.
    pub(super) fn has_buckets(&self) -> bool {
        matches!(self.part, Part::Durations(_, Value::Bucket))
    }

    /// The value of `le` of a bucket.
    pub(super) fn bound(&self, bound_nano: u64) -> String {
        (bound_nano as f64 / self.unit_nano as f64).to_string()
    }
}

/// What a metric is, as Prometheus tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Its name; of a histogram, what its three metrics begin with.
    pub name: &'static str,
    /// `counter` or `histogram`.
    pub kind: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// `seconds`, `milliseconds`, or nothing.
    pub unit: &'static str,
}

/// Descriptions of all metrics.
pub fn descriptions() -> Vec<Description> {
    let of = |metric: &Metric| match metric.part {
        Part::Calls | Part::Failed => {
            Some(Description { name: metric.name, kind: "counter", help: metric.help, unit: "" })
        }
        Part::Durations(_, Value::Count) => {
            let name = metric.name.strip_suffix("_count").unwrap_or(metric.name);
            let unit = if metric.unit_nano == MS { "milliseconds" } else { "seconds" };
            Some(Description { name, kind: "histogram", help: metric.help, unit })
        }
        Part::Durations(..) => None,
    };
    METRICS.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_generators() {
        let bounds = |name: &str| {
            let metric = METRICS.iter().find(|metric| metric.name == name).unwrap();
            metric.bounds.iter().map(|bound| metric.bound(*bound)).collect::<Vec<_>>().join(" ")
        };
        for (name, expected) in [
            (
                "traces_spanmetrics_latency_bucket",
                "0.002 0.004 0.008 0.016 0.032 0.064 0.128 0.256 0.512 1.024 2.048 4.096 8.192 \
                 16.384",
            ),
            (
                "traces_service_graph_request_client_seconds_bucket",
                "0.1 0.2 0.4 0.8 1.6 3.2 6.4 12.8",
            ),
            (
                "traces_span_metrics_duration_milliseconds_bucket",
                "2 4 6 8 10 50 100 200 400 800 1000 1400 2000 5000 10000 15000",
            ),
            (
                "traces_span_metrics_duration_seconds_bucket",
                "0.002 0.004 0.006 0.008 0.01 0.05 0.1 0.2 0.4 0.8 1 1.4 2 5 10 15",
            ),
        ] {
            assert_eq!(bounds(name), expected, "{name}");
        }
    }

    #[test]
    fn histograms_are_told_once() {
        let told: Vec<_> = descriptions().into_iter().map(|one| (one.name, one.kind)).collect();
        assert_eq!(
            told,
            [
                ("traces_spanmetrics_calls_total", "counter"),
                ("traces_spanmetrics_latency", "histogram"),
                ("traces_span_metrics_calls_total", "counter"),
                ("traces_span_metrics_duration_milliseconds", "histogram"),
                ("traces_span_metrics_duration_seconds", "histogram"),
                ("traces_service_graph_request_total", "counter"),
                ("traces_service_graph_request_failed_total", "counter"),
                ("traces_service_graph_request_server_seconds", "histogram"),
                ("traces_service_graph_request_client_seconds", "histogram"),
            ]
        );
    }
}
