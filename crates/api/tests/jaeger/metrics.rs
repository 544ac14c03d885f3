//! Service performance, on numbers that can be checked by hand.

use serde_json::{Value, json};

use crate::{Bench, MS, NOW};

fn values(family: &Value, series: usize) -> Vec<Value> {
    let points = family["metrics"][series]["metricPoints"].as_array().expect("points").iter();
    points.map(|point| point["gaugeValue"]["doubleValue"].clone()).collect()
}

/// Steps and windows of a second over the last three.
const WINDOW: &str = "lookback=2000&step=1000&ratePer=1000";

#[tokio::test]
async fn calls_errors_and_latencies() {
    // Servers of `cart`: one that failed 1.99 s ago, one 0.99 s ago; both of 80 ms.
    let bench = Bench::filled().await;
    let get = async |name: &str, more: &str| {
        bench.json(&format!("/api/metrics/{name}?service=cart&{WINDOW}{more}")).await
    };
    let calls = get("calls", "").await;
    assert_eq!(calls["name"], "service_call_rate");
    assert_eq!(
        (&calls["type"], &calls["help"]),
        (&json!("GAUGE"), &json!("calls/sec, grouped by service"))
    );
    assert_eq!(calls["metrics"][0]["labels"], json!([{ "name": "service_name", "value": "cart" }]));
    // The window of a point ends at it.
    assert_eq!(values(&calls, 0), [json!(0.0), json!(1.0), json!(1.0)]);
    let times: Vec<&Value> = calls["metrics"][0]["metricPoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| &point["timestamp"])
        .collect();
    assert_eq!(times, ["2023-11-14T22:13:18Z", "2023-11-14T22:13:19Z", "2023-11-14T22:13:20Z"]);

    let errors = get("errors", "").await;
    assert_eq!(errors["name"], "service_error_rate");
    assert_eq!(values(&errors, 0), [json!("NaN"), json!(1.0), json!(0.0)]);

    let latencies = get("latencies", "&quantile=0.5").await;
    assert_eq!(latencies["name"], "service_latencies");
    assert_eq!(latencies["help"], "0.5th quantile latency, grouped by service");
    let found = values(&latencies, 0);
    assert_eq!(found[0], "NaN");
    for value in &found[1..] {
        let value = value.as_f64().unwrap();
        assert!((value - 80.0).abs() < 80.0 / 32.0, "{value}");
    }
    // Two seconds' window: both calls, one of which failed.
    let wide = "service=cart&lookback=1&step=1000&ratePer=2000";
    let errors = bench.json(&format!("/api/metrics/errors?{wide}")).await;
    assert_eq!(values(&errors, 0), [json!(0.5)]);
}

#[tokio::test]
async fn services_kinds_and_operations_are_told_apart() {
    let bench = Bench::filled().await;
    let path = format!(
        "/api/metrics/calls?service=web&service=cart&{WINDOW}&spanKind=client&spanKind=internal\
         &groupByOperation=true"
    );
    let calls = bench.json(&path).await;
    assert_eq!(calls["name"], "service_operation_call_rate");
    let labels: Vec<&Value> =
        calls["metrics"].as_array().unwrap().iter().map(|metric| &metric["labels"]).collect();
    let label = |service: &str, operation: &str| {
        json!([{ "name": "service_name", "value": service },
               { "name": "operation", "value": operation }])
    };
    assert_eq!(labels, [&label("cart", "load"), &label("web", "GET")]);
    // Spans that serve are what is counted when nothing is said.
    let none = bench.json(&format!("/api/metrics/calls?service=web&{WINDOW}")).await;
    assert_eq!(none["metrics"], json!([]));
    let end = NOW / MS - 1500;
    let past = bench.json(&format!("/api/metrics/calls?service=cart&{WINDOW}&endTs={end}")).await;
    assert_eq!(values(&past, 0), [json!(0.0), json!(0.0), json!(1.0)]);
    assert_eq!(bench.json("/api/metrics/minstep").await["data"], 1);
}
