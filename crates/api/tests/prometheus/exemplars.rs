//! Exemplars are spans that are stored.

use serde_json::{Value, json};

use super::{Bench, NOW, encode};

fn path(query: &str, start: u64, end: u64) -> String {
    format!("/api/v1/query_exemplars?query={}&start={start}&end={end}", encode(query))
}

/// Names of series, and of each exemplar the age of its trace in minutes, its value and the age of
/// its end in seconds.
async fn told(bench: &Bench, path: &str) -> Vec<(Value, Vec<(u64, String, u64)>)> {
    let mut data = bench.get(path).await.data();
    let series = data.as_array_mut().expect("a list").iter_mut();
    let one = |exemplar: &Value| {
        let labels = exemplar["labels"].as_object().expect("labels");
        assert_eq!(labels.len(), 2, "{exemplar}");
        let id = labels.get("traceID").or(labels.get("trace_id")).expect("a trace");
        let id = u64::from_str_radix(id.as_str().expect("a text"), 16).expect("digits");
        let value = exemplar["value"].as_str().expect("a text").to_owned();
        let time = exemplar["timestamp"].as_f64().expect("seconds");
        (id - 0x10, value, NOW - time as u64)
    };
    series
        .map(|series| {
            let exemplars = series["exemplars"].as_array().expect("a list");
            let exemplars = exemplars.iter().map(one).collect();
            (series["seriesLabels"].take(), exemplars)
        })
        .collect()
}

#[tokio::test]
async fn exemplars_of_the_queries_that_panels_send() {
    let bench = Bench::filled().await;
    let all = |value: &str| -> Vec<(u64, String, u64)> {
        (0..10).rev().map(|age| (age, value.to_owned(), age * 60)).collect()
    };
    let some = |ages: &[u64], value: &str| -> Vec<(u64, String, u64)> {
        ages.iter().map(|age| (*age, value.to_owned(), age * 60)).collect()
    };
    let cart = |name: &str, service: &str, status: &str, le: &str| {
        json!({ "__name__": name, service: "cart", "span_kind": "SPAN_KIND_SERVER",
                "span_name": "GET /cart", "status_code": status, "le": le })
    };
    let tempo = "traces_spanmetrics_latency_bucket";
    let collector = "traces_span_metrics_duration_milliseconds_bucket";
    let seconds = "traces_span_metrics_duration_seconds_bucket";
    let graph = "traces_service_graph_request_server_seconds_bucket";
    let (unset, error) = ("STATUS_CODE_UNSET", "STATUS_CODE_ERROR");
    let ok: Vec<u64> = vec![9, 8, 7, 6, 4, 3, 2, 1];
    for (query, expected) in [
        // As Grafana sends a panel's query, whatever it computes.
        (
            format!(
                "histogram_quantile(.9, sum(rate({tempo}{{span_name=\"GET /cart\", \
                 status_code=\"{error}\"}}[5m])) by (le))"
            ),
            vec![(cart(tempo, "service", error, "0.128"), some(&[5, 0], "0.1"))],
        ),
        (
            format!("{collector}{{service_name=~\"c.*\", span_kind=\"SPAN_KIND_SERVER\"}}"),
            vec![
                (cart(collector, "service_name", error, "100"), some(&[5, 0], "100")),
                (cart(collector, "service_name", unset, "100"), some(&ok, "100")),
            ],
        ),
        // The bucket that a span is in, and no other.
        (
            format!("{seconds}{{status_code!=\"{unset}\", le=\"0.1\"}} offset 1h"),
            vec![(cart(seconds, "service_name", error, "0.1"), some(&[5, 0], "0.1"))],
        ),
        (format!("{tempo}{{span_name=\"GET /cart\", le=\"0.256\"}}"), vec![]),
        (format!("{tempo}{{span_kind=\"SPAN_KIND_CONSUMER\"}}"), vec![]),
        (format!("{tempo}{{service!~\"web|cart\"}}"), vec![]),
        (format!("{tempo}{{service=\"nobody\"}}"), vec![]),
        (format!("{tempo}{{job=\"x\"}}"), vec![]),
        (format!("{tempo}{{service_name=\"web\"}}"), vec![]),
        // The same series from two selectors.
        (
            format!(
                "{tempo}{{span_name=\"SELECT\"}} / {tempo}{{service=\"cart\", \
                 span_kind=\"SPAN_KIND_CLIENT\"}}"
            ),
            vec![(
                json!({ "__name__": tempo, "service": "cart", "span_kind": "SPAN_KIND_CLIENT",
                        "span_name": "SELECT", "status_code": unset, "le": "0.004" }),
                all("0.003"),
            )],
        ),
        (
            format!("{graph}{{server=\"cart\"}}"),
            vec![(
                json!({ "__name__": graph, "client": "web", "server": "cart", "le": "0.1" }),
                all("0.1"),
            )],
        ),
        (
            format!("rate({graph}{{client=\"user\"}}[1m])"),
            vec![(
                json!({ "__name__": graph, "client": "user", "server": "web",
                        "connection_type": "virtual_node", "le": "0.4" }),
                all("0.25"),
            )],
        ),
        // Only buckets have exemplars.
        ("traces_spanmetrics_calls_total".to_owned(), vec![]),
        ("traces_spanmetrics_latency_sum + vector(1)".to_owned(), vec![]),
        ("up".to_owned(), vec![]),
        ("1".to_owned(), vec![]),
    ] {
        assert_eq!(told(&bench, &path(&query, NOW - 3600, NOW)).await, expected, "{query}");
    }
}

#[tokio::test]
async fn exemplars_end_in_the_range() {
    let bench = Bench::filled().await;
    let query = "traces_spanmetrics_latency_bucket{span_name=\"GET /cart\"}";
    for (start, end, expected) in [
        (NOW - 120, NOW - 60, vec![2, 1]),
        (NOW - 119, NOW - 61, vec![]),
        (NOW - 60, NOW - 60, vec![1]),
        (NOW - 1000, NOW, vec![9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        (NOW + 1, NOW + 3600, vec![]),
    ] {
        let found = told(&bench, &path(query, start, end)).await;
        let ages = found.iter().flat_map(|(_, exemplars)| exemplars.iter().map(|one| one.0));
        let mut ages: Vec<u64> = ages.collect();
        ages.sort_by_key(|age| std::cmp::Reverse(*age));
        assert_eq!(ages, expected, "{start} to {end}");
    }
    let form = format!("query={}&start={}&end={NOW}", encode(query), NOW - 120);
    let kind = "application/x-www-form-urlencoded";
    let posted = bench.post("/api/v1/query_exemplars", kind, &form).await.data();
    assert_eq!(posted, bench.get(&path(query, NOW - 120, NOW)).await.data());
    // Of all times, a few.
    let whole = bench.get(&format!("/api/v1/query_exemplars?query={}", encode(query))).await;
    assert!(whole.data().as_array().is_some_and(|series| !series.is_empty()), "{whole:?}");
}

#[tokio::test]
async fn slow_spans_are_among_the_exemplars() {
    let bench = Bench::new();
    let span = |at: u64, milliseconds: u64| {
        let start = (NOW - 600) * 1_000 + at * 500;
        json!({ "traceId": format!("{:032x}", at * 100_000 + milliseconds), "name": "work",
                "spanId": format!("{:016x}", at + 1), "kind": 2,
                "startTimeUnixNano": (start * 1_000_000).to_string(),
                "endTimeUnixNano": ((start + milliseconds) * 1_000_000).to_string() })
    };
    let quick = (0..1_000).map(|at| span(at, 5));
    let spans: Vec<Value> = quick.chain([300, 600, 900].map(|at| span(at, 10_000))).collect();
    let name = json!({ "key": "service.name", "value": { "stringValue": "mixed" } });
    bench
        .store(&json!({ "resourceSpans": [{ "resource": { "attributes": [name] },
                                            "scopeSpans": [{ "spans": spans }] }] }))
        .await;
    let count = async |le: &str| {
        let query = format!("traces_spanmetrics_latency_bucket{{service=\"mixed\"{le}}}");
        let answer = bench.get(&path(&query, NOW - 600, NOW)).await.data();
        let series = answer.as_array().expect("a list").iter();
        series.map(|one| one["exemplars"].as_array().map_or(0, Vec::len)).collect::<Vec<_>>()
    };
    let slow = count(", le=\"16.384\"").await;
    assert!(slow.len() == 1 && slow[0] > 0, "{slow:?}");
    assert_eq!(count("").await.len(), 2);
}

#[tokio::test]
async fn what_is_wrong_with_a_query_for_exemplars_is_told() {
    let bench = Bench::new();
    let many = ["up"; 33].join(" + ");
    for (path, text) in [
        (path("", 0, 1), "invalid parameter \"query\": it is missing"),
        (path("sum(", 0, 1), "invalid parameter \"query\": "),
        (path("deriv(up[5m])", 0, 1), "invalid parameter \"query\": 1:1: parse error: the "),
        (path(&many, 0, 1), "invalid parameter \"query\": the query has 33 selectors"),
        (path("up", 2, 1), "invalid parameter \"end\": end timestamp must not be before"),
    ] {
        let (status, kind, found) = bench.get(&path).await.error();
        assert_eq!((status, kind.as_str()), (400, "bad_data"), "{path}: {found}");
        assert!(found.starts_with(text), "{path}: {found}");
    }
}
