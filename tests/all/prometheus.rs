//! Prometheus' query API of the binary, asked as Grafana's data source and a library for Python
//! ask it.

use std::process::Command;

use serde_json::{Value, json};

use crate::http::{self, Answer, encode};
use crate::otlp::now;
use crate::process::run;
use crate::server::Server;
use crate::tools;

const MS: u64 = 1_000_000;

/// A server with three traces that ended just now: the client `web` calls the server `cart`, which
/// fails on the first.
fn loaded() -> Server {
    let server = Server::start();
    send(&server);
    server
}

fn send(server: &Server) {
    let end = now() - 1000 * MS;
    for trace in 1..=3_u64 {
        let span = |id: u64, parent: &str, name: &str, kind: u8, length: u64, status: u8| {
            json!({
                "traceId": format!("{trace:032x}"),
                "spanId": format!("{id:016x}"),
                "parentSpanId": parent,
                "name": name,
                "kind": kind,
                "startTimeUnixNano": (end - length * MS).to_string(),
                "endTimeUnixNano": end.to_string(),
                "status": { "code": status },
            })
        };
        let resource = |service: &str, span: Value| {
            let name = json!({ "key": "service.name", "value": { "stringValue": service } });
            json!({ "resource": { "attributes": [name] }, "scopeSpans": [{ "spans": [span] }] })
        };
        let failed = if trace == 1 { 2 } else { 0 };
        let body = json!({ "resourceSpans": [
            resource("web", span(1, "", "GET", 3, 250, 0)),
            resource("cart", span(2, "0000000000000001", "GET /cart", 2, 100, failed)),
        ] });
        let url = format!("http://{}/v1/traces", server.at.otlp_http);
        let kind = [("content-type", "application/json")];
        http::request("POST", &url, &kind, Some(body.to_string().as_bytes())).ok();
    }
}

fn get(server: &Server, path: &str) -> Value {
    let asked = |port: &str| http::get(&format!("http://{port}/prometheus{path}")).ok().json();
    let answer = asked(&server.at.ui);
    assert_eq!(answer["status"], "success", "{path}: {answer}");
    // The other port says the same, but for the time of an instant query.
    let other = asked(&server.at.tempo);
    assert_eq!(answer["data"]["resultType"], other["data"]["resultType"], "{path}");
    answer["data"].clone()
}

/// Labels and values of an instant query.
fn values(server: &Server, query: &str) -> Vec<(Value, String)> {
    let data = get(server, &format!("/api/v1/query?query={}", encode(query)));
    let series = data["result"].as_array().unwrap_or_else(|| panic!("{query}: {data}"));
    let value = |series: &Value| series["value"][1].as_str().expect("a text").to_owned();
    series.iter().map(|series| (series["metric"].clone(), value(series))).collect()
}

#[test]
fn what_grafanas_service_graph_asks() {
    let server = loaded();
    assert_eq!(get(&server, "/api/v1/query?query=1%2B1")["result"][1], "2");
    for (query, expected) in [
        (
            "sum by (client, server) (increase(traces_service_graph_request_total[3600s]))",
            vec![(json!({ "client": "web", "server": "cart" }), "3")],
        ),
        (
            "sum by (client, server) (increase(traces_service_graph_request_failed_total[3600s]))",
            vec![(json!({ "client": "web", "server": "cart" }), "1")],
        ),
        (
            "round(sum(rate(traces_service_graph_request_server_seconds_sum{server=\"cart\"}[3600s])) \
             by (client, server) / sum(rate(traces_service_graph_request_total[3600s])) \
             by (client, server), 0.001)",
            vec![(json!({ "client": "web", "server": "cart" }), "0.1")],
        ),
        (
            "topk(5, sum(increase(traces_spanmetrics_calls_total{span_kind=\"SPAN_KIND_SERVER\"}\
             [3600s])) by (span_name))",
            vec![(json!({ "span_name": "GET /cart" }), "3")],
        ),
        (
            "sum(increase(traces_spanmetrics_calls_total{status_code=\"STATUS_CODE_ERROR\"}\
             [3600s])) by (span_name)",
            vec![(json!({ "span_name": "GET /cart" }), "1")],
        ),
        (
            "histogram_quantile(.5, sum(rate(traces_spanmetrics_latency_bucket{\
             span_name=~\"GET /cart\"}[3600s])) by (le))",
            vec![(json!({}), "0.096")],
        ),
        (
            "sum by (service_name) (traces_span_metrics_duration_milliseconds_sum)",
            vec![
                (json!({ "service_name": "cart" }), "300"),
                (json!({ "service_name": "web" }), "750"),
            ],
        ),
    ] {
        let shown: Vec<_> = values(&server, query);
        let expected: Vec<_> =
            expected.into_iter().map(|(labels, value)| (labels, value.to_owned())).collect();
        assert_eq!(shown, expected, "{query}");
    }
    let end = now() / (1000 * MS);
    let path = format!(
        "/api/v1/query_range?query={}&start={}&end={end}&step=15",
        encode("sum(increase(traces_spanmetrics_calls_total[1h]))"),
        end - 30
    );
    let data = get(&server, &path);
    let points = data["result"][0]["values"].as_array().expect("points").clone();
    assert_eq!((points.len(), &points[2][1]), (3, &json!("6")), "{data}");
}

#[test]
fn what_is_wrong_is_told() {
    let server = loaded();
    for port in [&server.at.ui, &server.at.tempo] {
        let ask = |query: &str| {
            http::get(&format!("http://{port}/prometheus/api/v1/query?query={}", encode(query)))
        };
        let told = |answer: Answer| (answer.status, answer.json()["error"].clone());
        let text = "invalid parameter \"query\": 1:9: parse error: unclosed left parenthesis";
        assert_eq!(told(ask("sum(rate")), (400, json!(text)));
        let (status, text) = told(ask("sum_over_time(sum(traces_spanmetrics_calls_total)[2w:1s])"));
        assert_eq!(status, 422, "{text}");
    }
}

/// What the client in Python saw.
fn client(url: &str, token: &[&str]) -> Value {
    let mut command = Command::new(tools::python().join("python"));
    command.arg(tools::folder().join("apps/prometheus_client.py")).arg(url).args(token);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*").env("no_proxy", "*");
    let finished = run(&mut command, b"");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).expect("JSON")
}

#[test]
fn a_client_in_python() {
    let server = Server::start_with(&["--token", "secret"]);
    send(&server);
    for port in [&server.at.ui, &server.at.tempo] {
        let found = client(&format!("http://{port}/prometheus"), &["secret"]);
        assert_eq!(found["connected"], true);
        assert_eq!(found["services"], json!(["cart", "web"]));
        assert_eq!(found["metrics"].as_array().map(Vec::len), Some(19));
        assert!(found["labels"].as_array().is_some_and(|labels| labels.contains(&json!("le"))));
        let names: Vec<_> = found["current"].as_array().expect("series").iter().collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(found["instant"][0]["metric"], json!({ "client": "web", "server": "cart" }));
        assert_eq!(found["instant"][0]["value"][1], "3");
        assert_eq!(found["range"][0]["values"].as_array().map(Vec::len), Some(3));
        assert_eq!(found["samples"].as_array().map(Vec::len), Some(2), "{found}");
        let wrong = found["wrong"].as_str().expect("an error");
        assert!(wrong.contains("1:5: parse error: expected type range vector"), "{wrong}");
    }
}
