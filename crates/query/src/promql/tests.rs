//! Queries over a handful of spans, with answers worked out by hand. What the store would count
//! is counted here, span by span.
//!
//! Times are seconds since the epoch. `shop` serves GET every 10 seconds from 10 to 600, in 100
//! ms; and POST every 60 seconds from 60 to 600, in 1 s, with status error. `cart` makes a call
//! `add` every 60 seconds from 30 to 570, in 3 ms, with status ok. In the service graph the user
//! calls `shop` with every GET, and `shop` calls `cart` with every `add`: 150 ms at the server, 250
//! ms at the client; those at 30 and 330 fail.

use std::sync::atomic::AtomicBool;

use store::{
    Cells, ConnectionType, ServiceGraphSeries, ServiceRow, SpanMetricsSeries, TraceMetricsFamily,
    TraceMetricsRequest, TraceMetricsSet,
};

use super::counted::Counts;
use super::demand::Demands;
use super::value::BYTES_MAX;
use super::*;

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

struct Span {
    service: &'static str,
    name: &'static str,
    kind: i32,
    status: i32,
    end: u64,
    duration: u64,
}

struct Call {
    client: &'static str,
    server: &'static str,
    connection_type: ConnectionType,
    end: u64,
    failed: bool,
    server_duration: Option<u64>,
    client_duration: Option<u64>,
}

fn spans() -> Vec<Span> {
    let span = |service, name, kind, status, end, duration| Span {
        service,
        name,
        kind,
        status,
        end: end * SECOND,
        duration: duration * MS,
    };
    let gets = (1..=60).map(|at| span("shop", "GET", 2, 0, at * 10, 100));
    let posts = (1..=10).map(|at| span("shop", "POST", 2, 2, at * 60, 1000));
    let adds = (0..10).map(|at| span("cart", "add", 3, 1, 30 + at * 60, 3));
    gets.chain(posts).chain(adds).collect()
}

fn calls() -> Vec<Call> {
    let visits = (1..=60).map(|at| Call {
        client: "user",
        server: "shop",
        connection_type: ConnectionType::VirtualNode,
        end: at * 10 * SECOND,
        failed: false,
        server_duration: Some(100 * MS),
        client_duration: None,
    });
    let adds = (0..10).map(|at| Call {
        client: "shop",
        server: "cart",
        connection_type: ConnectionType::Direct,
        end: (30 + at * 60) * SECOND,
        failed: at % 5 == 0,
        server_duration: Some(150 * MS),
        client_duration: Some(250 * MS),
    });
    visits.chain(adds).collect()
}

fn services() -> Vec<ServiceRow> {
    ["cart", "shop"]
        .map(|name| ServiceRow { name: name.to_owned(), span_count: 1, error_count: 0 })
        .to_vec()
}

/// The cell that a time counts in.
fn cell(request: &TraceMetricsRequest, end: u64) -> Option<u32> {
    let place = request.edges.windows(2).position(|cell| cell[0] < end && end <= cell[1])?;
    Some(place as u32)
}

fn cells(request: &TraceMetricsRequest, durations: &[(u64, u64)]) -> Cells {
    let mut cells = Cells::default();
    for at in 0..request.edges.len() as u32 {
        let mut buckets = vec![0; request.bounds.len() + 1];
        let mut sum = 0;
        for (_, duration) in durations.iter().filter(|(end, _)| cell(request, *end) == Some(at)) {
            sum += duration;
            buckets[request.bounds.partition_point(|bound| bound < duration)] += 1;
        }
        if buckets.iter().any(|count| *count > 0) {
            cells.push(at, sum, &buckets);
        }
    }
    cells
}

/// What the store would count.
fn count(request: Option<TraceMetricsRequest>) -> Counts {
    let Some(request) = request else { return Counts::default() };
    assert!((2..=22_003).contains(&request.edges.len()));
    assert!(request.edges.is_sorted() && request.bounds.is_sorted());
    let wanted = |name: &str| {
        request.services.as_ref().is_none_or(|names| names.iter().any(|known| known == name))
    };
    let mut set = TraceMetricsSet::default();
    if request.family == TraceMetricsFamily::SpanMetrics {
        let key = |span: &Span| {
            let name = request.by.name.then_some(span.name);
            let kind = request.by.kind.then_some(span.kind);
            (span.service, name, kind, request.by.status.then_some(span.status))
        };
        let spans = spans();
        let keys: std::collections::BTreeSet<_> =
            spans.iter().filter(|span| wanted(span.service)).map(key).collect();
        for (service, name, kind, status) in keys {
            let of = spans.iter().filter(|span| key(span) == (service, name, kind, status));
            let durations: Vec<_> = of.map(|span| (span.end, span.duration)).collect();
            let cells = cells(&request, &durations);
            let (service, name) = (service.to_owned(), name.map(str::to_owned));
            set.spans.push(SpanMetricsSeries { service, name, kind, status, cells });
        }
        set.spans.retain(|series| !series.cells.is_empty());
    } else {
        for pair in [("shop", "cart"), ("user", "shop")] {
            let of = || calls().into_iter().filter(move |call| (call.client, call.server) == pair);
            if !wanted(pair.0) && !wanted(pair.1) {
                continue;
            }
            let ends = |failed: bool| {
                let mut all = vec![0; request.edges.len() - 1];
                for call in of().filter(|call| call.failed || !failed) {
                    cell(&request, call.end).into_iter().for_each(|at| all[at as usize] += 1);
                }
                all
            };
            let durations = |of: Vec<(u64, Option<u64>)>| {
                let known = of.into_iter().filter_map(|(end, duration)| Some((end, duration?)));
                cells(&request, &known.collect::<Vec<_>>())
            };
            set.edges.push(ServiceGraphSeries {
                client: pair.0.to_owned(),
                server: pair.1.to_owned(),
                connection_type: of().next().unwrap().connection_type,
                calls: ends(false),
                failed: ends(true),
                server_durations: durations(
                    of().map(|call| (call.end, call.server_duration)).collect(),
                ),
                client_durations: durations(
                    of().map(|call| (call.end, call.client_duration)).collect(),
                ),
            });
        }
        set.edges.retain(|series| series.calls.iter().any(|count| *count > 0));
    }
    Counts { edges: request.edges, bounds: request.bounds, set }
}

fn demands(plan: &Plan) -> Result<Demands, PromqlError> {
    plan.demands(&services(), &AtomicBool::new(false))
}

fn asked(query: &str, grid: Grid, is_instant: bool) -> Result<Answer, PromqlError> {
    let plan = Plan::of(query, grid, is_instant)?;
    let (spans, graph) = demands(&plan)?.requests();
    let counted = Counted { spans: count(spans), graph: count(graph) };
    plan.evaluate(&counted, &AtomicBool::new(false))
}

/// Rounded, so that sums in another order are the same.
fn number(value: f64) -> String {
    number_text((value * 1e9).round() / 1e9)
}

fn shown(answer: Answer) -> Vec<String> {
    let line = |series: &AnsweredSeries, with_time: bool| {
        let points: Vec<String> = series
            .points
            .iter()
            .map(|(time, value)| match with_time {
                true => format!("{}@{}", number(*value), *time as f64 / 1000.0),
                false => number(*value),
            })
            .collect();
        format!("{} {}", series.labels, points.join(" "))
    };
    match answer {
        Answer::Scalar(_, value) => vec![number(value)],
        Answer::Text(_, text) => vec![format!("{text:?}")],
        Answer::Vector(all) => all.iter().map(|series| line(series, false)).collect(),
        Answer::Matrix(all) => all.iter().map(|series| line(series, true)).collect(),
    }
}

/// Asks at 600 seconds.
fn now(query: &str) -> Vec<String> {
    let answer = asked(query, Grid::instant(600_000), true);
    shown(answer.unwrap_or_else(|error| panic!("{query}: {error}")))
}

/// Asks at 300, 400, 500 and 600 seconds.
fn over(query: &str) -> Vec<String> {
    let grid = Grid { start_ms: 300_000, step_ms: 100_000, count: 4 };
    shown(asked(query, grid, false).unwrap_or_else(|error| panic!("{query}: {error}")))
}

fn check(ask: fn(&str) -> Vec<String>, cases: &[(&str, &[&str])]) {
    for (query, expected) in cases {
        assert_eq!(ask(query), *expected, "{query}");
    }
}

const CALLS: &str = "traces_spanmetrics_calls_total";

#[test]
fn what_needs_no_series() {
    check(
        now,
        &[
            ("1+1", &["2"]),
            ("2 ^ 3 ^ 2 - 7 % 4", &["509"]),
            ("-2 * (3 > bool 2)", &["-2"]),
            ("'text'", &["\"text\""]),
            ("time()", &["600"]),
            ("pi() > bool 3", &["1"]),
            ("vector(4) / 0", &["{} +Inf"]),
            ("scalar(vector(3)) atan2 0", &["1.570796327"]),
            ("minute()", &["{} 10"]),
            ("hour(vector(86399))", &["{} 23"]),
            ("up", &[]),
            ("absent(up{job=\"a\", env=~\"b.*\"})", &["{job=\"a\"} 1"]),
            ("absent_over_time(up{job=\"a\"}[5m])", &["{job=\"a\"} 1"]),
            ("count(up) or vector(0)", &["{} 0"]),
            ("sgn(vector(-3))", &["{} -1"]),
            ("clamp(vector(7), 1, 5) + clamp_min(vector(7), 9)", &["{} 14"]),
            ("clamp(vector(7), 5, 1)", &[]),
            ("round(vector(2.26), 0.5)", &["{} 2.5"]),
            ("day_of_week(vector(0))", &["{} 4"]),
            ("label_replace(vector(1), 'a', 'b$1', '', '.*')", &["{a=\"b\"} 1"]),
        ],
    );
    check(over, &[("time()", &["{} 300@300 400@400 500@500 600@600"])]);
}

#[test]
fn selectors_and_their_labels() {
    check(
        now,
        &[
            (
                CALLS,
                &[
                    "traces_spanmetrics_calls_total{service=\"cart\", \
                     span_kind=\"SPAN_KIND_CLIENT\", span_name=\"add\", \
                     status_code=\"STATUS_CODE_OK\"} 10",
                    "traces_spanmetrics_calls_total{service=\"shop\", \
                     span_kind=\"SPAN_KIND_SERVER\", span_name=\"GET\", \
                     status_code=\"STATUS_CODE_UNSET\"} 60",
                    "traces_spanmetrics_calls_total{service=\"shop\", \
                     span_kind=\"SPAN_KIND_SERVER\", span_name=\"POST\", \
                     status_code=\"STATUS_CODE_ERROR\"} 10",
                ],
            ),
            (
                "sum by (service_name) (traces_span_metrics_calls_total{service_name!=\"cart\"})",
                &["{service_name=\"shop\"} 70"],
            ),
            (
                "sum by (span_name) (traces_spanmetrics_calls_total{service=~\"sh.*\", \
                 status_code!~\".*ERROR\"})",
                &["{span_name=\"GET\"} 60"],
            ),
            ("sum(traces_spanmetrics_calls_total{service=~\"sho\"})", &[]),
            ("sum(traces_spanmetrics_calls_total{span_name=\"GET\", other=\"\"})", &["{} 60"]),
            ("sum(traces_spanmetrics_calls_total{service=\"nobody\"})", &[]),
            (
                "traces_spanmetrics_latency_sum{span_name=\"POST\"} / on () \
                 traces_span_metrics_duration_milliseconds_sum{span_name=\"POST\"}",
                &["{} 0.001"],
            ),
            (
                "{__name__=~\"traces_service_graph_request_.*total\", client=\"shop\"}",
                &[
                    "traces_service_graph_request_failed_total{client=\"shop\", server=\"cart\"} 2",
                    "traces_service_graph_request_total{client=\"shop\", server=\"cart\"} 10",
                ],
            ),
            (
                "traces_service_graph_request_total{connection_type=\"virtual_node\"}",
                &["traces_service_graph_request_total{client=\"user\", \
                     connection_type=\"virtual_node\", server=\"shop\"} 60"],
            ),
            // Who never failed has no series, and who is virtual no durations.
            ("count(traces_service_graph_request_failed_total)", &["{} 1"]),
            ("sum(traces_service_graph_request_client_seconds_count)", &["{} 10"]),
            ("sum(traces_service_graph_request_server_seconds_sum)", &["{} 7.5"]),
            (
                "traces_service_graph_request_server_seconds_bucket{server=\"cart\", \
                 le=~\"0.[12]|.Inf\"}",
                &[
                    "traces_service_graph_request_server_seconds_bucket{client=\"shop\", \
                     le=\"+Inf\", server=\"cart\"} 10",
                    "traces_service_graph_request_server_seconds_bucket{client=\"shop\", \
                     le=\"0.1\", server=\"cart\"} 0",
                    "traces_service_graph_request_server_seconds_bucket{client=\"shop\", \
                     le=\"0.2\", server=\"cart\"} 10",
                ],
            ),
        ],
    );
}

#[test]
fn times_and_ranges() {
    check(
        now,
        &[
            // (300, 600]: 30 GET; at 300 itself it is not.
            (
                "rate(traces_spanmetrics_calls_total{span_name=\"GET\"}[5m]) * 300",
                &["{service=\"shop\", span_kind=\"SPAN_KIND_SERVER\", span_name=\"GET\", \
                 status_code=\"STATUS_CODE_UNSET\"} 30"],
            ),
            ("sum(increase(traces_spanmetrics_calls_total[9s]))", &["{} 2"]),
            ("sum(increase(traces_spanmetrics_calls_total[9s] offset 1s))", &[]),
            ("sum(increase(traces_spanmetrics_calls_total[10s] offset 10m))", &[]),
            ("sum(delta(traces_spanmetrics_calls_total[1h]))", &["{} 80"]),
            ("sum(traces_spanmetrics_calls_total offset 5m)", &["{} 40"]),
            ("sum(traces_spanmetrics_calls_total @ 120)", &["{} 16"]),
            ("sum(traces_spanmetrics_calls_total @ 120 offset -1m)", &["{} 24"]),
            ("sum(traces_spanmetrics_calls_total @ 5)", &[]),
            ("sum(traces_spanmetrics_calls_total offset 1d)", &[]),
            ("timestamp(sum(traces_spanmetrics_calls_total))", &["{} 600"]),
            (
                "timestamp(traces_service_graph_request_failed_total offset 1m)",
                &["{client=\"shop\", server=\"cart\"} 540"],
            ),
        ],
    );
    check(
        over,
        &[
            (
                "sum by (span_name) (rate(traces_spanmetrics_calls_total[100s])) * 100",
                &[
                    // 240, 300; 360; 420, 480; 540, 600 of POST; 210, 270; 330, 390; 450; 510, 570.
                    "{span_name=\"GET\"} 10@300 10@400 10@500 10@600",
                    "{span_name=\"POST\"} 2@300 1@400 2@500 2@600",
                    "{span_name=\"add\"} 2@300 2@400 1@500 2@600",
                ],
            ),
            (
                "traces_service_graph_request_failed_total",
                &["traces_service_graph_request_failed_total{client=\"shop\", server=\"cart\"} \
                   1@300 2@400 2@500 2@600"],
            ),
            // A series is there when it counts something in any of the ranges.
            (
                "increase(traces_service_graph_request_failed_total[100s])",
                &["{client=\"shop\", server=\"cart\"} 0@300 1@400 0@500 0@600"],
            ),
            (
                "sum(increase(traces_spanmetrics_calls_total[1m] @ end()))",
                &["{} 8@300 8@400 8@500 8@600"],
            ),
            ("sum(traces_spanmetrics_calls_total @ start())", &["{} 40@300 40@400 40@500 40@600"]),
            // A series begins with its first span.
            ("sum(traces_spanmetrics_calls_total offset 350s)", &["{} 6@400 20@500 33@600"]),
        ],
    );
}

#[test]
fn values_of_a_range() {
    check(
        now,
        &[
            // Every 15 seconds, at 555, 570, 585, 600: 55, 57, 58, 60.
            (
                "traces_spanmetrics_calls_total{span_name=\"GET\"}[1m]",
                &["traces_spanmetrics_calls_total{service=\"shop\", \
                   span_kind=\"SPAN_KIND_SERVER\", span_name=\"GET\", \
                   status_code=\"STATUS_CODE_UNSET\"} 55@555 57@570 58@585 60@600"],
            ),
            ("sum(irate(traces_spanmetrics_calls_total{span_name=\"GET\"}[1m])) * 15", &["{} 2"]),
            ("sum(idelta(traces_spanmetrics_calls_total{span_name=\"GET\"}[1m]))", &["{} 2"]),
            ("sum(changes(traces_spanmetrics_calls_total{span_name=\"POST\"}[1m]))", &["{} 1"]),
            ("sum(resets(traces_spanmetrics_calls_total[10m]))", &["{} 0"]),
            (
                "sum(avg_over_time(traces_spanmetrics_calls_total{span_name=\"GET\"}[1m]))",
                &["{} 57.5"],
            ),
            (
                "sum(last_over_time(traces_spanmetrics_calls_total{span_name=\"GET\"}[1m]))",
                &["{} 60"],
            ),
            ("count_over_time(sum(traces_spanmetrics_calls_total)[5m:])", &["{} 5"]),
            // At 420, 480, 540, 600: 42, 48, 54, 60 GET.
            (
                "max_over_time(sum(traces_spanmetrics_calls_total{span_name=\"GET\"})[4m:1m]) - \
                 min_over_time(sum(traces_spanmetrics_calls_total{span_name=\"GET\"})[4m:1m])",
                &["{} 18"],
            ),
            (
                "quantile_over_time(0.5, \
                 sum(traces_spanmetrics_calls_total{span_name=\"GET\"})[4m:1m])",
                &["{} 51"],
            ),
            (
                "stddev_over_time(sum(traces_spanmetrics_calls_total{span_name=\"GET\"})[2m:1m])",
                &["{} 3"],
            ),
            ("sum_over_time(sum(increase(traces_spanmetrics_calls_total[1m]))[5m:1m])", &["{} 40"]),
            // From 420 to 600 18 more; the range goes on for another minute at the start.
            ("increase(sum(traces_spanmetrics_calls_total{span_name=\"GET\"})[4m:1m])", &["{} 24"]),
            ("absent_over_time(sum(up)[5m:])", &["{} 1"]),
            ("present_over_time(sum(traces_spanmetrics_calls_total)[5m:])", &["{} 1"]),
            (
                "sum(traces_spanmetrics_calls_total)[30s:10s] offset 1m",
                &["{} 69@520 70@530 72@540"],
            ),
        ],
    );
    check(
        over,
        &[(
            "max_over_time(sum(increase(traces_spanmetrics_calls_total[10s]))[100s:10s])",
            &["{} 2@300 2@400 2@500 2@600"],
        )],
    );
}

#[test]
fn aggregations() {
    let three = "sum by (span_name) (traces_spanmetrics_calls_total)";
    let cases: &[(&str, &[&str])] = &[
        ("sum(X)", &["{} 80"]),
        ("min(X) + max(X) * 100", &["{} 6010"]),
        ("avg(X)", &["{} 26.666666667"]),
        ("count(X) + group(X)", &["{} 4"]),
        ("stdvar(X)", &["{} 555.555555556"]),
        ("stddev(X)", &["{} 23.57022604"]),
        ("quantile(0.5, X)", &["{} 10"]),
        ("topk(1, X)", &["{span_name=\"GET\"} 60"]),
        ("topk(2, X)", &["{span_name=\"GET\"} 60", "{span_name=\"POST\"} 10"]),
        ("bottomk(1, X)", &["{span_name=\"POST\"} 10"]),
        ("limitk(1, X)", &["{span_name=\"GET\"} 60"]),
        ("topk(0, X)", &[]),
        ("count_values('n', X)", &["{n=\"10\"} 2", "{n=\"60\"} 1"]),
        (
            "sort_desc(X + on (span_name) X)",
            &["{span_name=\"GET\"} 120", "{span_name=\"POST\"} 20", "{span_name=\"add\"} 20"],
        ),
        (
            "sort(X)",
            &["{span_name=\"POST\"} 10", "{span_name=\"add\"} 10", "{span_name=\"GET\"} 60"],
        ),
        (
            "sort_by_label_desc(X, 'span_name')",
            &["{span_name=\"add\"} 10", "{span_name=\"POST\"} 10", "{span_name=\"GET\"} 60"],
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(now(&query.replace('X', three)), *expected, "{query}");
    }
    check(
        now,
        &[
            (
                "sum without (span_name, span_kind, status_code) (traces_spanmetrics_calls_total)",
                &["{service=\"cart\"} 10", "{service=\"shop\"} 70"],
            ),
            (
                "count by (service) (traces_spanmetrics_calls_total)",
                &["{service=\"cart\"} 1", "{service=\"shop\"} 2"],
            ),
        ],
    );
    check(
        over,
        &[(
            "topk(1, sum by (span_name) (increase(traces_spanmetrics_calls_total{span_name!=\"GET\"}\
             [100s])))",
            &["{span_name=\"POST\"} 2@300 2@500 2@600", "{span_name=\"add\"} 2@400"],
        )],
    );
}

#[test]
fn operators_between_series() {
    let all = "sum by (service) (traces_spanmetrics_calls_total)";
    let errors = "sum by (service) (traces_spanmetrics_calls_total{status_code=~\".*ERROR\"})";
    let by_name = "sum by (service, span_name) (traces_spanmetrics_calls_total)";
    let cases: &[(&str, &[&str])] = &[
        ("E / A", &["{service=\"shop\"} 0.142857143"]),
        ("A - 5", &["{service=\"cart\"} 5", "{service=\"shop\"} 65"]),
        ("100 - A > 50", &["{service=\"cart\"} 90"]),
        ("50 < A", &["{service=\"shop\"} 70"]),
        ("A > bool 50", &["{service=\"cart\"} 0", "{service=\"shop\"} 1"]),
        ("A > E", &["{service=\"shop\"} 70"]),
        ("E >= bool A", &["{service=\"shop\"} 0"]),
        ("A and E", &["{service=\"shop\"} 70"]),
        ("A unless E", &["{service=\"cart\"} 10"]),
        ("E or A", &["{service=\"cart\"} 10", "{service=\"shop\"} 10"]),
        ("-E", &["{service=\"shop\"} -10"]),
        (
            "N / on (service) group_left A * 7",
            &[
                "{service=\"cart\", span_name=\"add\"} 7",
                "{service=\"shop\", span_name=\"GET\"} 6",
                "{service=\"shop\", span_name=\"POST\"} 1",
            ],
        ),
        (
            "A - ignoring (span_name) group_right N",
            &[
                "{service=\"cart\", span_name=\"add\"} 0",
                "{service=\"shop\", span_name=\"GET\"} 10",
                "{service=\"shop\", span_name=\"POST\"} 60",
            ],
        ),
        (
            "A * on (service) group_left (team) label_replace(E, 'team', 'x', '', '')",
            &["{service=\"shop\", team=\"x\"} 700"],
        ),
        (
            "label_join(E, 'both', '-', 'service', 'none', 'service')",
            &["{both=\"shop--shop\", service=\"shop\"} 10"],
        ),
        (
            "label_replace(A, 'first', '$1', 'service', '(.).*')",
            &["{first=\"c\", service=\"cart\"} 10", "{first=\"s\", service=\"shop\"} 70"],
        ),
        ("sum(abs(A - 20))", &["{} 60"]),
        ("scalar(E) + scalar(A)", &["NaN"]),
    ];
    for (query, expected) in cases {
        let query = query.replace('A', all).replace('E', errors);
        let query = query.replace("N /", &format!("{by_name} /"));
        let query = query.replace("group_right N", &format!("group_right {by_name}"));
        assert_eq!(now(&query), *expected, "{query}");
    }
}

#[test]
fn histograms() {
    check(
        now,
        &[
            // 60 at 0.1 in (0.064, 0.128], 10 at 1 in (0.512, 1.024].
            (
                "histogram_quantile(.9, sum(rate(traces_spanmetrics_latency_bucket{\
                 service=\"shop\"}[10m])) by (le))",
                &["{} 0.6656"],
            ),
            (
                "histogram_quantile(.5, sum(increase(\
                 traces_span_metrics_duration_milliseconds_bucket{service_name=\"shop\"}[10m])) \
                 by (le, service_name))",
                &["{service_name=\"shop\"} 79.166666667"],
            ),
            (
                "histogram_fraction(0, 0.128, sum by (le) (traces_spanmetrics_latency_bucket{\
                 service=\"shop\"})) * 70",
                &["{} 60"],
            ),
            (
                "histogram_quantile(1, traces_service_graph_request_client_seconds_bucket)",
                &["{client=\"shop\", server=\"cart\"} 0.4"],
            ),
            (
                "sum(rate(traces_spanmetrics_latency_sum[10m])) / \
                 sum(rate(traces_spanmetrics_latency_count[10m]))",
                &["{} 0.200375"],
            ),
        ],
    );
}

/// As Grafana writes them for the service graph and the table above it, of the last ten minutes.
#[test]
fn what_grafanas_service_graph_asks() {
    check(
        now,
        &[
            (
                "sum by (client, server, connection_type) \
                 (rate(traces_service_graph_request_total{}[600s])) * 600",
                &[
                    "{client=\"shop\", server=\"cart\"} 10",
                    "{client=\"user\", connection_type=\"virtual_node\", server=\"shop\"} 60",
                ],
            ),
            (
                "sum by (client, server) (rate(traces_service_graph_request_total[600s]))",
                &[
                    "{client=\"shop\", server=\"cart\"} 0.016666667",
                    "{client=\"user\", server=\"shop\"} 0.1",
                ],
            ),
            (
                "sum by (client, server) \
                 (increase(traces_service_graph_request_failed_total{server=\"cart\"}[600s]))",
                &["{client=\"shop\", server=\"cart\"} 2"],
            ),
            (
                "sum(rate(traces_service_graph_request_server_seconds_sum{client=~\"shop|user\"}\
                 [600s])) by (client, server) / \
                 sum(rate(traces_service_graph_request_total[600s])) by (client, server)",
                &[
                    "{client=\"shop\", server=\"cart\"} 0.15",
                    "{client=\"user\", server=\"shop\"} 0.1",
                ],
            ),
            (
                "histogram_quantile(0.9, sum(rate(\
                 traces_service_graph_request_server_seconds_bucket[600s])) by (le, client, \
                 server))",
                &[
                    "{client=\"shop\", server=\"cart\"} 0.19",
                    "{client=\"user\", server=\"shop\"} 0.09",
                ],
            ),
            (
                "topk(5, sum(rate(traces_spanmetrics_calls_total{\
                 span_kind=\"SPAN_KIND_SERVER\"}[600s])) by (span_name))",
                &["{span_name=\"GET\"} 0.1", "{span_name=\"POST\"} 0.016666667"],
            ),
            (
                "topk(5, sum(rate(traces_spanmetrics_calls_total{\
                 status_code=\"STATUS_CODE_ERROR\",span_name=~\"GET|POST\"}[600s])) by \
                 (span_name))",
                &["{span_name=\"POST\"} 0.016666667"],
            ),
            (
                "histogram_quantile(.9, sum(rate(traces_spanmetrics_latency_bucket{\
                 status_code=\"STATUS_CODE_ERROR\",span_name=~\"GET|POST\"}[600s])) by (le))",
                &["{} 0.9728"],
            ),
        ],
    );
}

#[test]
fn what_is_refused() {
    for (query, expected) in [
        ("deriv(up[5m])", "1:1: parse error: the function deriv is not served"),
        (
            "1 + predict_linear(up[5m], 3)",
            "1:5: parse error: the function predict_linear is not served",
        ),
        ("limit_ratio(0.5, up)", "1:1: parse error: the aggregation limit_ratio is not served"),
        ("up + fill(0) up", "1:6: parse error: the modifier fill is not served"),
        ("up{a=\"1\" or b=\"2\"}", "1:10: parse error: label matchers cannot be joined by or"),
        ("limitk('a', up)", "1:1: parse error: expected type scalar in call to 'limitk'"),
        ("exp(Inf)", "1:1: parse error: expected type instant vector in call to 'exp'"),
        (
            "label_replace(up, 'a', up, 'b', 'c')",
            "1:1: parse error: expected type string in call to function 'label_replace', got \
             instant vector",
        ),
        (
            "sum without (span_name) (traces_spanmetrics_calls_total) + on (service) \
             sum by (service, span_name) (traces_spanmetrics_calls_total)",
            "found duplicate series for the match group {service=\"shop\"} on the right hand-side \
             of the operation: [{service=\"shop\", span_name=\"GET\"}, {service=\"shop\", \
             span_name=\"POST\"}]; many-to-many matching not allowed: matching labels must be \
             unique on one side",
        ),
        (
            "sum by (service, span_name) (traces_spanmetrics_calls_total) + on (service) \
             sum by (service) (traces_spanmetrics_calls_total)",
            "multiple matches for labels {service=\"shop\"}: [{service=\"shop\", \
             span_name=\"GET\"}, {service=\"shop\", span_name=\"POST\"}]; many-to-one matching \
             must be explicit (group_left/group_right)",
        ),
        (
            "{__name__=~\"traces_service_graph_request_.*total\", client=\"shop\"} * 2",
            "vector cannot contain metrics with the same labelset: {client=\"shop\", \
             server=\"cart\"}",
        ),
        (
            "sum(rate(up[1d])[2w:1m])",
            "1:20: parse error: expected type instant vector in aggregation expression, got range \
             vector",
        ),
        (
            "sum_over_time(sum(up)[3w:1m])",
            "the query needs the counters at 30240 instants or more; they are read at 22003 at \
             the most. Ask for a longer step or a shorter time, or make the ranges in brackets \
             multiples of the step",
        ),
    ] {
        let told = asked(query, Grid::instant(600_000_000), true);
        assert_eq!(told.expect_err(query).to_string(), expected, "{query}");
    }
    let grid = Grid { start_ms: 300_000, step_ms: 100_000, count: 4 };
    let told = asked("up[5m]", grid, false).expect_err("a range of ranges");
    assert!(told.to_string().starts_with("invalid expression type \"range vector\""), "{told}");
}

/// What is added up is not told apart, and services are named as far as they can be.
#[test]
fn the_store_is_asked_for_no_more_than_is_needed() {
    let requests = |query: &str| {
        let grid = Grid { start_ms: 300_000, step_ms: 60_000, count: 6 };
        let plan = Plan::of(query, grid, false).unwrap();
        demands(&plan).unwrap().requests()
    };
    let by = |query: &str| {
        let by = requests(query).0.unwrap().by;
        (by.name, by.kind, by.status)
    };
    for (query, expected) in [
        ("sum(rate(X[5m]))", (false, false, false)),
        ("sum by (service) (X)", (false, false, false)),
        ("sum by (span_name) (rate(X{status_code=~\".*ERROR\"}[5m]))", (true, false, true)),
        ("sum without (span_name) (rate(X[5m]))", (false, true, true)),
        ("sum(irate(X[5m]))", (true, true, true)),
        ("max(rate(X[5m]))", (true, true, true)),
        ("sum(rate(X[5m])) / sum by (span_kind) (X)", (false, true, false)),
        ("sum(sqrt(rate(X[5m])))", (true, true, true)),
    ] {
        assert_eq!(by(&query.replace('X', CALLS)), expected, "{query}");
    }
    let named = |query: &str| requests(query).0.map(|request| request.services);
    let some = |name: &str| Some(Some(vec![name.to_owned()]));
    for (query, expected) in [
        ("X", Some(None)),
        ("X{service=\"shop\"}", some("shop")),
        ("X{service!=\"shop\"}", some("cart")),
        ("X{service=~\"shop|cart\"}", Some(None)),
        ("X{service=\"shop\"} / X", Some(None)),
        ("X{service=\"shop\"} / X{service=\"shop\",span_name=\"b\"}", some("shop")),
        ("X{service=\"nobody\"}", None),
        ("traces_service_graph_request_total", None),
    ] {
        assert_eq!(named(&query.replace('X', CALLS)), expected, "{query}");
    }
    let graph = requests("traces_service_graph_request_total{server=\"mysql\"}").1.unwrap();
    assert_eq!(graph.services, Some(vec!["mysql".to_owned()]));
    // Five minutes before each of six minutes: eleven edges, one request.
    let (spans, graph) = requests(&format!("rate({CALLS}[5m]) + rate({CALLS}[1m])"));
    assert_eq!((spans.unwrap().edges.len(), graph), (11, None));
    let (spans, _) = requests(
        "histogram_quantile(1, rate(traces_spanmetrics_latency_bucket[5m])) / \
         histogram_quantile(1, rate(traces_span_metrics_duration_seconds_bucket[5m]))",
    );
    // 2, 4 and 8 ms are bounds of both.
    assert_eq!(spans.unwrap().bounds.len(), 14 + 16 - 3);
}

#[test]
fn an_evaluation_ends_and_has_a_bound() {
    let plan = Plan::of(CALLS, Grid::instant(600_000), true).unwrap();
    let counted = Counted { spans: count(demands(&plan).unwrap().requests().0), ..<_>::default() };
    let stopped = plan.evaluate(&counted, &AtomicBool::new(true)).unwrap_err();
    assert_eq!(stopped.fault, PromqlFault::Stopped);

    // A series of 11,000 steps takes 88 kB.
    let grid = Grid { start_ms: 600_000, step_ms: 1000, count: 11_000 };
    let many = BYTES_MAX / (grid.count * 8);
    let mut set = TraceMetricsSet::default();
    for at in 0..many {
        let mut cells = Cells::default();
        cells.push(0, 1, &[1]);
        let service = format!("service-{at}");
        set.spans.push(SpanMetricsSeries { service, name: None, kind: None, status: None, cells });
    }
    let plan = Plan::of(CALLS, grid, false).unwrap();
    let edges = demands(&plan).unwrap().requests().0.unwrap().edges;
    let counted = Counted { spans: Counts { edges, bounds: Vec::new(), set }, ..<_>::default() };
    let told = plan.evaluate(&counted, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(told.fault, PromqlFault::Execution);
    assert!(told.message.contains("more than 256 MiB"), "{told}");
}

/// Every query of one range is answered at as many steps as a query may have.
#[test]
fn as_many_steps_as_are_promised() {
    let grid = Grid { start_ms: 100_000_000, step_ms: 1000, count: STEPS_MAX + 1 };
    for (query, edges) in [
        (CALLS.to_owned(), STEPS_MAX + 2),
        (format!("rate({CALLS}[5m])"), STEPS_MAX + 1 + 300),
        (format!("rate({CALLS}[1500ms])"), 2 * STEPS_MAX + 2),
        (format!("rate({CALLS}[1500ms]) / {CALLS}"), 2 * STEPS_MAX + 3),
    ] {
        let plan = Plan::of(&query, grid, false).unwrap();
        let (spans, _) =
            demands(&plan).unwrap_or_else(|error| panic!("{query}: {error}")).requests();
        let request = spans.unwrap();
        assert_eq!(request.edges.len(), edges, "{query}");
        assert!(request.edges.len() <= super::demand::EDGES_MAX);
    }
    let plan = Plan::of(&format!("rate({CALLS}[1500ms]) / rate({CALLS}[1700ms])"), grid, false);
    assert!(demands(&plan.unwrap()).is_err());
}

/// Each doubles the label of the one before.
#[test]
fn labels_do_not_grow_without_bound() {
    let doubled = |times: usize| {
        let inner = "label_replace(vector(1), 'a', '0123456789abcdef', '', '')";
        let around = ", 'a', '$1$1', 'a', '(.*)')".repeat(times);
        format!("{}{inner}{around}", "label_replace(".repeat(times))
    };
    let length = |query: &str| match asked(query, Grid::instant(0), true).unwrap() {
        Answer::Vector(all) => all[0].labels.get("a").len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(length(&doubled(12)), 64 << 10);
    let joined =
        |times: usize| format!("label_join({}, 'a', ''{})", doubled(8), ", 'a'".repeat(times));
    assert_eq!(length(&joined(16)), 64 << 10);
    // In one replacement, too: 10,000 times 64 KiB.
    let many = "$1".repeat(10_000);
    let at_once = format!("label_replace({}, 'a', '{many}', 'a', '(.*)')", doubled(12));
    for query in [doubled(13), doubled(40), joined(17), at_once] {
        let told = asked(&query, Grid::instant(0), true).unwrap_err();
        assert_eq!(told.fault, PromqlFault::Execution, "{told}");
        assert_eq!(told.to_string(), "the label a would have more than 64 KiB");
    }
}

/// What was counted of so many services at one edge.
fn of_services(count: usize) -> Counted {
    let service = |at: usize| {
        let mut cells = Cells::default();
        cells.push(0, 1, &[1 + (at as u64 * 7919) % 101]);
        let service = format!("service-{at:06}");
        SpanMetricsSeries { service, name: None, kind: None, status: None, cells }
    };
    let spans = (0..count).map(service).collect();
    let set = TraceMetricsSet { spans, ..<_>::default() };
    let edges = vec![0, 600 * SECOND];
    Counted { spans: Counts { edges, bounds: Vec::new(), set }, ..<_>::default() }
}

#[test]
fn texts_of_labels_have_a_bound_together() {
    let counted = of_services(6000);
    let replace = |label: &str| format!("label_replace({CALLS}, 'a', '{label}', '', '')");
    let asked = |query: &str| {
        let plan = Plan::of(query, Grid::instant(600_000), true).unwrap();
        plan.evaluate(&counted, &AtomicBool::new(false))
    };
    assert!(asked(&replace("a")).is_ok());
    let told = asked(&replace(&"a".repeat(50_000))).unwrap_err();
    assert_eq!(told.fault, PromqlFault::Execution);
    assert!(told.message.contains("more than 256 MiB"), "{told}");
}

/// Ranks of many groups are found without looking through all of them for each.
#[test]
fn the_first_of_many_groups() {
    let counted = of_services(60_000);
    for operator in ["topk", "bottomk", "limitk"] {
        let query = format!("{operator} by (service) (1, {CALLS})");
        let plan = Plan::of(&query, Grid::instant(600_000), true).unwrap();
        let answer = plan.evaluate(&counted, &AtomicBool::new(false)).unwrap();
        let Answer::Vector(all) = answer else { panic!("{query}") };
        assert_eq!(all.len(), 60_000, "{query}");
    }
}

/// As deep as a query may be, on the stack of a thread that evaluates.
#[test]
fn the_deepest_query_is_answered() {
    for query in [
        format!("{}vector(1){}", "abs(".repeat(198), ")".repeat(198)),
        format!("{}vector(1)", "1 + ".repeat(199)),
        format!("{}vector(1)", "-".repeat(199)),
        format!("{}1{}", "(".repeat(200), ")".repeat(200)),
    ] {
        let told = std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || now(&query))
            .unwrap()
            .join();
        assert!(told.is_ok_and(|lines| lines.len() == 1));
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn scalar(&mut self) -> String {
        self.one(&["1", "0.5", "-2", "NaN", "Inf", "time()", "scalar(up)", "1e300"]).to_owned()
    }

    fn vector(&mut self, depth: usize) -> String {
        let selector = "traces_spanmetrics_calls_total";
        if depth == 0 {
            let of = self.one(&["{}", "{span_name=~\"G.*\"}", "{service!=\"cart\"}"]);
            let more = self.one(&["", " offset 1m", " @ 300", " offset -5m", " @ end()"]);
            let bucket = "traces_span_metrics_duration_seconds_bucket";
            return format!("{}{of}{more}", self.one(&[selector, bucket]));
        }
        let inner = self.vector(depth - 1);
        let scalar = self.scalar();
        match self.below(9) {
            0 => {
                let function = self.one(&[
                    "rate",
                    "increase",
                    "irate",
                    "resets",
                    "changes",
                    "stddev_over_time",
                    "last_over_time",
                    "absent_over_time",
                    "idelta",
                ]);
                let range = self.one(&["[1m]", "[100s:]", "[1m:7s] offset 3s", "[1ms:1ms]"]);
                let inner = if depth == 1 { inner } else { format!("({inner})") };
                format!("{function}({inner}{range})")
            }
            1 => format!("quantile_over_time({scalar}, ({inner})[2m:30s])"),
            2 => {
                let operator = self.one(&["sum", "max", "avg", "stddev", "group", "count"]);
                let by = self.one(&["", "by (service)", "without (span_name, le)", "by (le)"]);
                format!("{operator} {by} ({inner})")
            }
            3 => {
                let operator = self.one(&["topk", "bottomk", "limitk", "quantile"]);
                format!("{operator}({scalar}, {inner})")
            }
            4 => {
                let other = self.vector(depth - 1);
                let operator = self.one(&[
                    "+",
                    "/ on (service)",
                    "> bool",
                    "and",
                    "or",
                    "unless on (le)",
                    "^",
                    "%",
                    "!= ignoring (le)",
                    "* on (service) group_left (le)",
                    "- on () group_right",
                ]);
                format!("({inner}) {operator} ({other})")
            }
            5 => format!("({inner}) {} {scalar}", self.one(&["*", "-", "> ", "== bool", "atan2"])),
            6 => format!("histogram_quantile({scalar}, {inner})"),
            7 => {
                let function =
                    self.one(&["abs", "sgn", "hour", "timestamp", "sort", "absent", "-"]);
                format!("{function}({inner})")
            }
            _ => format!("label_replace({inner}, \"le\", \"$1\", \"span_name\", \"(.)(.*)\")"),
        }
    }
}

/// Any query has an answer or an error, and the same one each time.
#[test]
fn odd_queries_do_no_harm() {
    let mut dice = Dice(1);
    let mut answered = 0;
    for _ in 0..500 {
        let depth = dice.below(4);
        let query = dice.vector(depth);
        let grid = Grid { start_ms: 120_000, step_ms: 77_000, count: 1 + dice.below(3) };
        let is_instant = grid.count == 1;
        let told = asked(&query, grid, is_instant);
        answered += usize::from(told.is_ok());
        let again = asked(&query, grid, is_instant);
        let shown = |told: Result<Answer, PromqlError>| told.map(shown).map_err(|_| ());
        assert_eq!(shown(told), shown(again), "{query}");
    }
    assert!(answered > 150, "{answered}");
    let words = [
        "up",
        "rate",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "5m",
        "1e300",
        "0",
        "0x1F",
        ":",
        "offset",
        "-",
        "@",
        "start()",
        "by",
        "on",
        "group_left",
        "or",
        "==",
        "bool",
        "\"a\"",
        "'b\\",
        "=~",
        "!",
        "=",
        ",",
        "sum",
        "count_values",
        "1h9999999999s",
        "#c\n",
        "é",
        "Inf",
        "NaN",
        "^",
        "\u{0}",
    ];
    for _ in 0..2000 {
        let text: Vec<&str> = (0..1 + dice.below(8)).map(|_| dice.one(&words)).collect();
        drop(Plan::of(&text.join(dice.one(&["", " "])), Grid::instant(0), true));
    }
}
