//! Zipkin's query API of the binary, asked as Zipkin's UI and Grafana's data source ask it.
//!
//! No registry has a client of this API: the libraries that bear Zipkin's name send spans. So the
//! requests here are those two programs', and what is checked is what they read.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::http::{self, Answer, encode};
use crate::otlp::{now, one_span};
use crate::process::run;
use crate::server::Server;

fn get(server: &Server, path: &str) -> Answer {
    http::get(&format!("http://{}{path}", server.at.zipkin))
}

fn json(server: &Server, path: &str) -> Value {
    get(server, path).ok().json()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

/// A server with the sample trace, and that trace's id.
fn with_sample() -> (Server, String) {
    let server = Server::start();
    let sample = http::request("POST", &format!("{}/api/v1/sample", server.url()), &[], Some(b""));
    let id = sample.ok().json()["trace_id"].as_str().expect("an id").to_owned();
    (server, id)
}

/// Every field that the two clients read, as they read it.
fn is_a_span(span: &Value) {
    let hexadecimal = |name: &str, length: usize| {
        let id = span[name].as_str().unwrap_or_else(|| panic!("{name} of {span}"));
        let good = id.len() == length && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(good, "{name} of {span}");
    };
    hexadecimal("traceId", 32);
    hexadecimal("id", 16);
    if !span["parentId"].is_null() {
        hexadecimal("parentId", 16);
    }
    assert!(span["name"].is_string() && span["timestamp"].as_u64() > Some(1_000_000_000_000_000));
    assert!(span["duration"].as_u64() > Some(0), "{span}");
    assert!(span["localEndpoint"]["serviceName"].is_string(), "{span}");
    let kinds = ["CLIENT", "SERVER", "PRODUCER", "CONSUMER"];
    assert!(span["kind"].as_str().is_none_or(|kind| kinds.contains(&kind)), "{span}");
    for value in span["tags"].as_object().into_iter().flat_map(|tags| tags.values()) {
        assert!(value.is_string(), "{span}");
    }
    for annotation in span["annotations"].as_array().into_iter().flatten() {
        assert!(annotation["timestamp"].is_u64() && annotation["value"].is_string(), "{span}");
    }
}

#[test]
fn grafana_goes_from_services_to_a_trace() {
    let (server, id) = with_sample();
    // The test of the data source, which is its list of services as well.
    let services = texts(&json(&server, "/api/v2/services"));
    assert!(services.contains(&"frontend".to_owned()), "{services:?}");
    let spans = texts(&json(&server, "/api/v2/spans?serviceName=frontend"));
    let mut seen = BTreeSet::new();
    for span in &spans {
        let query = format!("serviceName=frontend&spanName={}", encode(span));
        for trace in list(&json(&server, &format!("/api/v2/traces?{query}"))) {
            // It names a trace after its root.
            let root = list(trace).iter().find(|span| span["parentId"].is_null()).expect("a root");
            assert!(root["duration"].is_u64());
            seen.insert(root["traceId"].as_str().expect("an id").to_owned());
        }
    }
    assert_eq!(seen, BTreeSet::from([id.clone()]), "{spans:?}");
    let trace = json(&server, &format!("/api/v2/trace/{id}"));
    let ours = server.json("/traces")["traces"][0]["span_count"].clone();
    assert_eq!(list(&trace).len() as u64, ours.as_u64().expect("a count"));
    list(&trace).iter().for_each(is_a_span);
    assert!(list(&trace).iter().any(|span| span["tags"].get("error").is_some()));
    assert!(list(&trace).iter().any(|span| span["remoteEndpoint"]["serviceName"].is_string()));
    assert!(list(&trace).iter().any(|span| !span["annotations"].is_null()));
}

#[test]
fn zipkins_ui_discovers_traces() {
    let (server, id) = with_sample();
    // Behind a proxy everything lies under /zipkin.
    assert!(json(&server, "/zipkin/config.json")["queryLimit"].is_u64());
    for base in ["/api/v2", "/zipkin/api/v2"] {
        let ask = |path: &str| json(&server, &format!("{base}{path}"));
        let keys = texts(&ask("/autocompleteKeys"));
        assert!(keys.iter().any(|key| key == "rpc.method"), "{keys:?}");
        let values = texts(&ask("/autocompleteValues?key=rpc.method"));
        assert!(values.contains(&"Place".to_owned()), "{values:?}");
        let remote = texts(&ask("/remoteServices?serviceName=frontend"));
        assert!(remote.contains(&"checkout".to_owned()), "{remote:?}");

        let end = now() / 1_000_000 + 60_000;
        let window = format!("endTs={end}&lookback=900000&limit=10");
        let tags = encode("rpc.method=Place and order.id");
        for (query, found) in [
            ("", true),
            ("&serviceName=frontend&remoteServiceName=checkout", true),
            ("&serviceName=frontend&remoteServiceName=frontend", false),
            ("&annotationQuery=error", true),
            (&format!("&serviceName=checkout&annotationQuery={tags}"), true),
            (&format!("&serviceName=frontend&annotationQuery={tags}"), false),
            ("&minDuration=200000&maxDuration=20000000", true),
            ("&minDuration=60000000", false),
        ] {
            let answer = ask(&format!("/traces?{window}{query}"));
            let ids: Vec<_> =
                list(&answer).iter().map(|trace| trace[0]["traceId"].clone()).collect();
            let expected = if found { vec![Value::from(id.as_str())] } else { Vec::new() };
            assert_eq!(ids, expected, "{base} {query}");
        }
        let links = ask(&format!("/dependencies?endTs={end}&lookback=900000"));
        let called = |link: &Value| link["parent"] == "frontend" && link["child"] == "checkout";
        let link = list(&links).iter().find(|link| called(link)).expect("a link");
        assert!(link["callCount"].as_u64() > Some(0), "{links}");
        let many = ask(&format!("/traceMany?traceIds={id},fff"));
        assert_eq!(list(&many).len(), 1);
    }
    assert_eq!(json(&server, "/health")["status"], "UP");
}

#[test]
fn what_is_wrong_is_told_as_text() {
    let server = Server::start();
    for (path, status, word) in [
        ("/api/v2/traces?limit=many", 400, "limit"),
        ("/api/v2/traces?maxDuration=7", 400, "minDuration"),
        ("/api/v2/traces?annotationQuery=%3D", 400, "annotationQuery"),
        ("/api/v2/trace/nothing", 400, "'n'"),
        ("/api/v2/trace/1234", 404, "1234 not found"),
        ("/api/v2/spans", 400, "serviceName"),
        ("/api/v2/dependencies", 400, "endTs"),
        ("/api/v3/spans", 404, "/api/v3/spans"),
    ] {
        let answer = get(&server, path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.header("content-type").starts_with("text/plain"), "{path}: {answer:?}");
        assert!(answer.text().contains(word), "{path}: {}", answer.text());
    }
    let url = format!("http://{}/api/v2/spans", server.at.zipkin);
    assert_eq!(http::request("POST", &url, &[], Some(b"[]")).status, 405);
}

#[test]
fn who_may_ask() {
    let server = Server::start();
    let url = format!("http://{}/api/v2/services", server.at.zipkin);
    assert_eq!(http::request("GET", &url, &[("host", "evil.example")], None).status, 403);
    let server = Server::start_with(&["--listen", "0.0.0.0", "--token", "s3cret"]);
    server.export(&one_span(1)).ok();
    for path in ["/api/v2/services", "/zipkin/api/v2/services", "/api/v2/trace/1"] {
        let url = format!("http://{}{path}", server.at.zipkin);
        assert_eq!(http::get(&url).status, 401, "{path}");
        let token = [("authorization", "Bearer s3cret")];
        http::request("GET", &url, &token, None).ok();
    }
}

#[test]
fn what_loadgen_makes_is_found() {
    let server = Server::start();
    let mut load = server.client(&["loadgen", "--spans", "2000", "--seed", "5"]);
    assert_eq!(run(&mut load, b"").code, Some(0));
    let services = texts(&json(&server, "/api/v2/services"));
    let ours = server.json("/services");
    let ours = list(&ours["services"]).iter().map(|row| row["name"].as_str().expect("a name"));
    let services: BTreeSet<_> = services.iter().map(String::as_str).collect();
    assert_eq!(services, ours.collect());
    let end = now() / 1_000_000 + 3_600_000;
    let traces =
        json(&server, &format!("/api/v2/traces?endTs={end}&lookback=864000000&limit=2000"));
    let count: usize = list(&traces).iter().map(|trace| list(trace).len()).sum();
    assert_eq!(count as u64, server.json("/status")["span_count"].as_u64().expect("a count"));
    list(&traces).iter().flat_map(list).for_each(is_a_span);
}
