//! Jaeger's query APIs of the binary, asked as Grafana's data source, Kiali and Jaeger's own UI ask
//! them over HTTP, and over gRPC by a client made from the interfaces that Jaeger publishes.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::http::{self, Answer, encode};
use crate::otlp::{now, spans};
use crate::process::run;
use crate::server::Server;
use crate::tools;

const HOUR_MICROS: u64 = 3_600_000_000;

fn get(server: &Server, path: &str) -> Answer {
    http::get(&format!("{}/api{path}", server.url()))
}

/// What the envelope of the legacy API holds.
fn data(server: &Server, path: &str) -> Value {
    let mut envelope = get(server, path).ok().json();
    assert_eq!(envelope["errors"], Value::Null, "{path}");
    for number in ["total", "limit", "offset"] {
        assert!(envelope[number].is_u64(), "{path}: {number}");
    }
    envelope["data"].take()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().map(|text| text.as_str().expect("a text")).collect()
}

/// A server with the sample trace, and that trace's id.
fn with_sample(arguments: &[&str], headers: &[(&str, &str)]) -> (Server, String) {
    let server = Server::start_with(arguments);
    let url = format!("{}/api/v1/sample", server.url());
    let sample = http::request("POST", &url, headers, Some(b"")).ok().json();
    let id = sample["trace_id"].as_str().expect("an id").to_owned();
    (server, id)
}

/// Every field that the clients read of a trace, as they read it.
fn is_a_trace(trace: &Value, id: &str) {
    assert_eq!(trace["traceID"], id);
    let processes = trace["processes"].as_object().expect("processes");
    let mut span_ids = BTreeSet::new();
    for span in list(&trace["spans"]) {
        assert_eq!(span["traceID"], id);
        span_ids.insert(span["spanID"].as_str().expect("an id"));
        assert!(span["operationName"].is_string(), "{span}");
        assert!(span["startTime"].as_u64() > Some(1_000_000_000_000_000), "{span}");
        assert!(span["duration"].is_u64() && span["logs"].is_array(), "{span}");
        assert!(span["warnings"].is_null() || span["warnings"].is_array(), "{span}");
        let process = &processes[span["processID"].as_str().expect("a process")];
        assert!(process["serviceName"].is_string() && process["tags"].is_array(), "{process}");
        for tag in list(&span["tags"]) {
            let known = ["string", "bool", "int64", "float64", "binary"];
            assert!(known.contains(&tag["type"].as_str().expect("a type")), "{tag}");
            assert!(tag["key"].is_string() && !tag["value"].is_null(), "{tag}");
        }
        for log in list(&span["logs"]) {
            assert!(log["timestamp"].is_u64() && log["fields"].is_array(), "{log}");
        }
    }
    for span in list(&trace["spans"]) {
        for reference in list(&span["references"]) {
            let kind = reference["refType"].as_str().expect("a type");
            assert!(["CHILD_OF", "FOLLOWS_FROM"].contains(&kind), "{reference}");
            if kind == "CHILD_OF" {
                assert!(span_ids.contains(reference["spanID"].as_str().expect("an id")), "{span}");
            }
        }
    }
}

#[test]
fn grafanas_data_source() {
    let (server, id) = with_sample(&[], &[]);
    // Its test, then the editor's lists.
    let services = data(&server, "/services");
    assert!(texts(&services).contains(&"frontend"), "{services}");
    let operations = data(&server, "/services/frontend/operations");
    assert!(texts(&operations).contains(&"POST /checkout"), "{operations}");
    // A search of its form, with and without everything.
    let (start, end) = (now() / 1000 - HOUR_MICROS, now() / 1000 + HOUR_MICROS);
    let tags = encode(&json!({ "http.request.method": "POST" }).to_string());
    for query in [
        format!("service=frontend&start={start}&end={end}&lookback=custom&limit=20"),
        format!(
            "service=frontend&operation={}&tags={tags}&minDuration=1ms&maxDuration=1h&limit=20\
             &start={start}&end={end}&lookback=custom",
            encode("POST /checkout")
        ),
    ] {
        let found = data(&server, &format!("/traces?{query}"));
        assert_eq!(list(&found).len(), 1, "{query}");
        is_a_trace(&found[0], &id);
    }
    // A trace by its id, within the dashboard's time and without.
    for query in ["", &format!("?start={start}&end={end}")] {
        is_a_trace(&data(&server, &format!("/traces/{id}{query}"))[0], &id);
    }
    // The graph of services.
    let links = data(&server, &format!("/dependencies?endTs={}&lookback=7200000", end / 1000));
    let link = |link: &Value| link["parent"] == "frontend" && link["child"] == "checkout";
    assert!(list(&links).iter().any(link), "{links}");
    assert!(list(&links).iter().all(|link| link["callCount"].as_u64() > Some(0)), "{links}");
    // The paths that its switch to the newer API moves.
    let services = get(&server, "/v3/services").ok().json();
    assert!(texts(&services["services"]).contains(&"frontend"));
    let operations = get(&server, "/v3/operations?service=frontend").ok().json();
    assert!(list(&operations["operations"]).iter().any(|one| one["name"] == "POST /checkout"));
    let trace = get(&server, &format!("/v3/traces/{id}")).ok().json();
    let own = server.json(&format!("/traces/{id}"));
    assert_eq!(spans(&trace["result"]).len(), spans(&own).len());
    // What it shows of an error.
    let answer = get(&server, "/traces/99");
    assert_eq!(
        (answer.status, &answer.json()["errors"][0]["msg"]),
        (404, &json!("trace not found"))
    );
}

#[test]
fn kiali() {
    let (server, id) = with_sample(&[], &[]);
    assert!(!list(&data(&server, "/services")).is_empty());
    let start = now() / 1000 - HOUR_MICROS;
    let end = now() / 1000 + HOUR_MICROS;
    let all = format!("/traces?service=frontend&start={start}&end={end}&limit=100");
    is_a_trace(&data(&server, &all)[0], &id);
    // Errors of a service, then by a duration.
    let failed = encode(&json!({ "error": "true" }).to_string());
    let path = format!("/traces?service=payment&start={start}&end={end}&tags={failed}&limit=100");
    assert_eq!(list(&data(&server, &path)).len(), 1);
    // Those of one kind of span, which no column of Jaeger's own has.
    let kind = encode(&json!({ "span.kind": "server", "error": "false" }).to_string());
    let path = format!("/traces?service=frontend&start={start}&end={end}&tags={kind}&limit=100");
    assert_eq!(list(&data(&server, &path)).len(), 1);
    let path = format!("/traces?service=frontend&start={start}&minDuration=100h&limit=100");
    assert_eq!(data(&server, &path), json!([]));
    is_a_trace(&data(&server, &format!("/traces/{id}"))[0], &id);
}

#[test]
fn jaegers_own_ui() {
    let (server, id) = with_sample(&[], &[]);
    let end = now() / 1000 + HOUR_MICROS;
    let start = end - 2 * HOUR_MICROS;
    // Search as older versions have it.
    let operations = data(&server, "/operations?service=frontend");
    let operation = json!({ "name": "POST /checkout", "spanKind": "server" });
    assert!(list(&operations).contains(&operation), "{operations}");
    let path = format!(
        "/traces?end={end}&limit=20&lookback=1h&maxDuration&minDuration&service=frontend\
         &start={start}"
    );
    is_a_trace(&data(&server, &path)[0], &id);
    // Two traces to be compared, one of them gone.
    let both = get(&server, &format!("/traces?traceID={id}&traceID=1f")).ok().json();
    assert_eq!(list(&both["data"]).len(), 1);
    assert_eq!(both["errors"][0]["traceID"], "000000000000001f");
    // The trace page, and its two kinds of JSON.
    for query in ["", "?prettyPrint=true", "?raw=true&prettyPrint=true"] {
        is_a_trace(&data(&server, &format!("/traces/{id}{query}"))[0], &id);
    }
    let archive =
        http::request("POST", &format!("{}/api/archive/{id}", server.url()), &[], Some(b""));
    assert_eq!(archive.status, 500);
    // System architecture: a week.
    let links = data(&server, &format!("/dependencies?endTs={}&lookback=604800000", end / 1000));
    assert!(list(&links).len() > 3, "{links}");
    // Monitor.
    let common = format!(
        "service=frontend&endTs={}&lookback=3600000&step=60000&ratePer=600000&spanKind=server",
        end / 1000 - 3_500_000
    );
    for (path, name) in [
        (format!("latencies?quantile=0.95&{common}"), "service_latencies"),
        (format!("calls?{common}"), "service_call_rate"),
        (format!("errors?{common}"), "service_error_rate"),
        (
            format!("latencies?quantile=0.95&groupByOperation=true&{common}"),
            "service_operation_latencies",
        ),
        (format!("calls?groupByOperation=true&{common}"), "service_operation_call_rate"),
        (format!("errors?groupByOperation=true&{common}"), "service_operation_error_rate"),
    ] {
        let family = get(&server, &format!("/metrics/{path}")).ok().json();
        assert_eq!((&family["name"], &family["type"]), (&json!(name), &json!("GAUGE")), "{path}");
        let metric = &family["metrics"][0];
        assert_eq!(metric["labels"][0], json!({ "name": "service_name", "value": "frontend" }));
        assert_eq!(list(&metric["metricPoints"]).len(), 61, "{path}");
        let is_number = |point: &Value| point["gaugeValue"]["doubleValue"].is_f64();
        assert!(list(&metric["metricPoints"]).iter().any(is_number), "{family}");
    }
    // Search as newer versions have it.
    let range =
        "query.startTimeMin=2001-01-01T00:00:00.000Z&query.startTimeMax=2200-01-01T00:00:00Z";
    let path =
        format!("/v3/trace-summaries?query.serviceName=frontend&{range}&query.searchDepth=20");
    let summaries = get(&server, &path).ok().json();
    let summary = &summaries["summaries"][0];
    assert_eq!(summary["traceId"], id);
    assert_eq!(summary["rootOperationName"], "POST /checkout");
}

/// What the client in Python saw.
fn client(server: &Server, id: &str, token: &[&str]) -> Value {
    let mut command = Command::new(tools::python().join("python"));
    command.arg(tools::folder().join("apps/jaeger_client.py")).arg(tools::jaeger_interfaces());
    command.arg(&server.at.jaeger_grpc).args([id, "frontend"]).args(token);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*").env("no_proxy", "*");
    let finished = run(&mut command, b"");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

#[test]
fn a_client_of_the_published_interfaces() {
    let (server, id) = with_sample(&[], &[]);
    let found = client(&server, &id, &[]);
    let own = spans(&server.json(&format!("/traces/{id}"))).len();

    let v2 = &found["v2"];
    assert!(texts(&v2["services"][0]["services"]).contains(&"frontend"));
    assert!(texts(&v2["operations"][0]["operationNames"]).contains(&"POST /checkout"));
    let servers = &v2["servers"][0]["operations"];
    assert_eq!(servers, &json!([{ "name": "POST /checkout", "spanKind": "server" }]));
    for call in ["trace", "find", "tagged", "failed"] {
        let spans: Vec<&Value> =
            list(&v2[call]).iter().flat_map(|chunk| list(&chunk["spans"])).collect();
        assert_eq!(spans.len(), own, "{call}");
        for span in spans {
            assert!(span["process"]["serviceName"].is_string(), "{span}");
            assert!(span["startTime"].is_string() && span["duration"].is_string(), "{span}");
        }
    }
    let v3 = &found["v3"];
    assert!(texts(&v3["services"][0]["services"]).contains(&"frontend"));
    let kinds: BTreeSet<&str> = list(&v3["operations"][0]["operations"])
        .iter()
        .map(|operation| operation["spanKind"].as_str().expect("a kind"))
        .collect();
    assert_eq!(kinds, BTreeSet::from(["client", "internal", "server"]));
    for call in ["trace", "raw", "find", "filtered"] {
        let parts = list(&v3[call]).iter();
        assert_eq!(parts.map(|part| spans(part).len()).sum::<usize>(), own, "{call}");
    }
    let of_span = |call: &str| {
        let parts = list(&v3[call]).iter();
        parts.flat_map(|part| spans(&part["spans"])).map(|span| span.name).collect::<Vec<String>>()
    };
    assert_eq!(of_span("spans"), ["POST /checkout"]);
    assert_eq!(of_span("span_page").len(), 1);
    assert!(v3["span_page"][0]["nextPageToken"].is_string(), "{}", v3["span_page"]);
    let search = &v3["capabilities"][0]["search"];
    assert_eq!((&search["spanSearch"], &search["paginated"]), (&json!(true), &json!(true)));
    assert!(texts(&search["filter"]["operators"]).contains(&"fulltext"), "{search}");
    for call in ["summaries", "page"] {
        let summary = &v3[call][0]["summaries"][0];
        assert_eq!(summary["traceId"], id, "{call}");
        assert_eq!(summary["spanCount"], own);
    }
    for version in [v2, v3] {
        let links = list(&version["dependencies"][0]["dependencies"]);
        let called = |link: &Value| {
            link["parent"] == "frontend" && link["child"] == "checkout" && link["callCount"] == "1"
        };
        assert!(links.iter().any(called), "{links:?}");
    }
    for (version, call, code, said) in [
        (v2, "unknown", "NOT_FOUND", "trace not found"),
        (v2, "no_id", "INVALID_ARGUMENT", "uninitialized TraceID"),
        (v2, "short_id", "INVALID_ARGUMENT", "invalid length for TraceID: 2 bytes"),
        (v2, "no_query", "INVALID_ARGUMENT", "missing query"),
        (v2, "no_range", "INVALID_ARGUMENT", "StartTime and EndTime must be initialized"),
        (v2, "archive", "INTERNAL", "archive storage was not configured"),
        (v3, "unknown", "NOT_FOUND", "trace not found"),
        (v3, "bad_id", "INVALID_ARGUMENT", "malformed parameter trace_id"),
        (v3, "no_range", "INVALID_ARGUMENT", "are required"),
        (v2, "no_service", "INVALID_ARGUMENT", "malformed parameter service: name the service"),
        (v3, "no_service", "INVALID_ARGUMENT", "malformed parameter service: name the service"),
        (v3, "bad_kind", "INVALID_ARGUMENT", "unsupported span kind: 'x'"),
        (v3, "filter", "INVALID_ARGUMENT", "query.filter: eq takes two arguments, not 0"),
        (v3, "deep", "INVALID_ARGUMENT", "calls nest more than 20 deep"),
        (v3, "sorted", "INVALID_ARGUMENT", "no other order is served"),
    ] {
        let refused = &version[call];
        assert_eq!(refused["code"], code, "{call}: {refused}");
        assert!(refused["message"].as_str().expect("words").contains(said), "{call}: {refused}");
    }
    let reflection = &found["reflection"];
    for service in
        ["jaeger.api_v2.QueryService", "jaeger.api_v3.QueryService", "jaeger.api_v3.Capabilities"]
    {
        assert!(texts(&reflection["services"]).contains(&service), "{reflection}");
        assert_eq!(found["health"][service], "SERVING");
    }
    assert!(texts(&reflection["methods"]).contains(&"FindTraceSummaries"), "{reflection}");
    assert!(texts(&reflection["span"]).contains(&"start_time_unix_nano"), "{reflection}");
    assert_eq!(found["health"]["all"], "SERVING");
}

#[test]
fn the_token_guards_both_transports() {
    let authorization = [("authorization", "Bearer s3cret")];
    let (server, id) = with_sample(&["--listen", "0.0.0.0", "--token", "s3cret"], &authorization);
    for path in ["/services", "/traces/1", "/v3/services", "/metrics/calls?service=a"] {
        assert_eq!(get(&server, path).status, 401, "{path}");
        let url = format!("{}/api{path}", server.url());
        let status = http::request("GET", &url, &authorization, None).status;
        assert!([200, 404].contains(&status), "{path}: {status}");
    }
    for token in [&[][..], &["wrong"]] {
        let refused = client(&server, &id, token);
        for (version, call) in [("v2", "services"), ("v3", "find")] {
            assert_eq!(refused[version][call]["code"], "UNAUTHENTICATED", "{token:?}");
        }
        assert_eq!(refused["reflection"]["code"], "UNAUTHENTICATED");
    }
    let found = client(&server, &id, &["s3cret"]);
    assert!(texts(&found["v2"]["services"][0]["services"]).contains(&"frontend"));
    assert_eq!(found["health"]["all"], "SERVING");
}

#[test]
fn clocks_are_set_right_when_asked() {
    // The sample's hosts agree; this one is told apart by its own, 10 s behind.
    let server = Server::start_with(&["--max-clock-skew-adjust", "1m"]);
    let start = now();
    let span = |id: &str, parent: &str, from: u64, length: u64| {
        json!({ "traceId": "5b8efff798038103d269b633813fc60c", "spanId": id,
                "parentSpanId": parent, "name": "call", "kind": 2,
                "startTimeUnixNano": from.to_string(),
                "endTimeUnixNano": (from + length).to_string() })
    };
    let resource = |host: &str, span: Value| {
        json!({ "resource": { "attributes": [
                    { "key": "service.name", "value": { "stringValue": host } },
                    { "key": "host.name", "value": { "stringValue": host } } ] },
                "scopeSpans": [{ "spans": [span] }] })
    };
    let second = 1_000_000_000;
    let request = json!({ "resourceSpans": [
        resource("a", span("0000000000000001", "", start, 2 * second)),
        resource("b", span("0000000000000002", "0000000000000001", start - 10 * second, second)),
    ] });
    let url = format!("http://{}/v1/traces", server.at.otlp_http);
    let body = request.to_string();
    let headers = [("content-type", "application/json")];
    http::request("POST", &url, &headers, Some(body.as_bytes())).ok();
    let id = "5b8efff798038103d269b633813fc60c";
    let child = |query: &str| {
        let trace = data(&server, &format!("/traces/{id}{query}"));
        let spans = list(&trace[0]["spans"]).to_vec();
        spans.into_iter().find(|span| span["spanID"] == "0000000000000002").expect("the child")
    };
    let adjusted = child("");
    assert_eq!(adjusted["startTime"], (start + second / 2) / 1000);
    assert_eq!(adjusted["warnings"], json!(["This span's timestamps were adjusted by 10.5s"]));
    let raw = child("?raw=true");
    assert_eq!(raw["startTime"], (start - 10 * second) / 1000);
    assert_eq!(raw["warnings"], Value::Null);
}
