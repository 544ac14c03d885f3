//! api_v3 over HTTP.

use serde_json::{Value, json};

use crate::Bench;

const RANGE: &str =
    "query.startTimeMin=2020-01-01T00:00:00Z&query.startTimeMax=2030-01-01T00:00:00Z";
const OLD: &str = "00000000000000000000000000000010";
const NEW: &str = "00000000000000000000000000000020";

fn spans(result: &Value) -> Vec<&Value> {
    let mut all = Vec::new();
    for resource in result["result"]["resourceSpans"].as_array().expect("resources") {
        for scope in resource["scopeSpans"].as_array().expect("scopes") {
            all.extend(scope["spans"].as_array().expect("spans"));
        }
    }
    all
}

#[tokio::test]
async fn services_operations_dependencies() {
    let bench = Bench::filled().await;
    assert_eq!(bench.json("/api/v3/services").await, json!({ "services": ["cart", "web"] }));
    let operation = |name: &str, kind: &str| json!({ "name": name, "spanKind": kind });
    assert_eq!(
        bench.json("/api/v3/operations?service=cart").await,
        json!({ "operations": [operation("GET /cart", "server"), operation("load", "internal")] })
    );
    for name in ["spanKind", "span_kind"] {
        assert_eq!(
            bench.json(&format!("/api/v3/operations?service=cart&{name}=server")).await,
            json!({ "operations": [operation("GET /cart", "server")] })
        );
    }
    let range = "startTime=2020-01-01T00:00:00Z&endTime=2030-01-01T00:00:00Z";
    assert_eq!(
        bench.json(&format!("/api/v3/dependencies?{range}")).await,
        json!({ "dependencies": [{ "parent": "web", "child": "cart", "callCount": "2" }] })
    );
    let search = &bench.json("/api/v3/capabilities").await["search"];
    for (name, value) in [
        ("withoutServiceName", true),
        ("sameSpanConjunction", true),
        ("paginated", true),
        ("spanSearch", true),
        ("spanSorting", false),
    ] {
        assert_eq!(search[name], value, "{name}");
    }
    assert_eq!(search["filter"]["levels"], json!(["span", "resource", "scope", "event", "link"]));
    assert_eq!(search["filter"]["operators"].as_array().map(Vec::len), Some(16));
}

#[tokio::test]
async fn a_trace_is_otlp() {
    let bench = Bench::filled().await;
    for path in ["/api/v3/traces/10", &format!("/api/v3/traces/{OLD}?rawTraces=true")] {
        let result = bench.json(path).await;
        let spans = spans(&result);
        assert_eq!(spans.len(), 3);
        let server = spans.iter().find(|span| span["spanId"] == "0000000000000002").unwrap();
        assert_eq!((&server["traceId"], &server["kind"]), (&json!(OLD), &json!(2)));
        assert_eq!(server["status"]["code"], 2);
        assert_eq!(server["startTimeUnixNano"], "1699999998010000000");
    }
}

#[tokio::test]
async fn searches_by_url_and_by_body_find_the_same() {
    let bench = Bench::filled().await;
    let table = [
        ("", json!({}), vec![NEW, OLD]),
        // What proxies and browsers add, and what is no parameter of a search, means nothing.
        ("&_=1700000000&query=&utm_source=x&traceparent=00-1", json!({}), vec![NEW, OLD]),
        ("&query.serviceName=web", json!({ "serviceName": "web" }), vec![NEW, OLD]),
        ("&query.service_name=none", json!({ "service_name": "none" }), vec![]),
        ("&query.operationName=load", json!({ "operationName": "load" }), vec![NEW, OLD]),
        ("&query.searchDepth=1", json!({ "searchDepth": 1 }), vec![NEW]),
        ("&query.num_traces=1", json!({ "search_depth": "1" }), vec![NEW]),
        ("&query.durationMin=101ms", json!({ "durationMin": "0.101s" }), vec![]),
        (
            "&query.attributes=%7B%22error%22%3A%22true%22%7D",
            json!({ "attributes": { "error": "true" } }),
            vec![OLD],
        ),
        (
            "&query.attributes=%7B%22span.kind%22%3A%22client%22%7D&query.rawTraces=true",
            json!({ "attributes": { "span.kind": "client" }, "rawTraces": true }),
            vec![NEW, OLD],
        ),
    ];
    for (query, fields, expected) in table {
        let mut body = json!({ "query": {
            "startTimeMin": "2020-01-01T00:00:00Z", "startTimeMax": "2030-01-01T00:00:00Z" } });
        body["query"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let by_url = bench.json(&format!("/api/v3/trace-summaries?{RANGE}{query}")).await;
        let by_body = bench.post("/api/v3/trace-summaries", &body.to_string()).await.json();
        assert_eq!(by_url, by_body, "{query}");
        let rows = by_url["summaries"].as_array().unwrap().iter();
        let found: Vec<&str> = rows.map(|row| row["traceId"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{query}");
        if expected.is_empty() {
            continue;
        }
        let by_url = bench.json(&format!("/api/v3/traces?{RANGE}{query}")).await;
        let by_body = bench.post("/api/v3/traces", &body.to_string()).await.json();
        assert_eq!(by_url, by_body, "{query}");
        assert_eq!(spans(&by_url).len(), 3 * expected.len(), "{query}");
    }
}

#[tokio::test]
async fn summaries_tell_what_a_list_shows() {
    let bench = Bench::filled().await;
    let found = bench.json(&format!("/api/v3/trace-summaries?{RANGE}")).await;
    let service = |name: &str, spans: u64, errors: u64| json!({ "name": name, "spanCount": spans, "errorSpanCount": errors });
    assert_eq!(
        found["summaries"][1],
        json!({
            "traceId": OLD,
            "rootServiceName": "web",
            "rootOperationName": "GET",
            "minStartTimeUnixNano": "1699999998000000000",
            "maxEndTimeUnixNano": "1699999998100000000",
            "spanCount": 3,
            "errorSpanCount": 1,
            "orphanSpanCount": 0,
            "services": [service("cart", 2, 1), service("web", 1, 0)],
        })
    );
    assert_eq!(found.get("nextPageToken"), None);
}

#[tokio::test]
async fn summaries_come_page_by_page() {
    let bench = Bench::filled().await;
    let path = format!("/api/v3/trace-summaries?{RANGE}&query.pagination.pageSize=1");
    let first = bench.json(&path).await;
    assert_eq!(first["summaries"][0]["traceId"], NEW);
    let token = first["nextPageToken"].as_str().expect("a token");
    let second = bench.json(&format!("{path}&query.pagination.pageToken={token}")).await;
    assert_eq!(second["summaries"][0]["traceId"], OLD);
    assert_eq!(second.get("nextPageToken"), None);
    for size in [json!(1), json!("1")] {
        let body = json!({ "query": {
            "startTimeMin": "2020-01-01T00:00:00Z", "startTimeMax": "2030-01-01T00:00:00Z",
            "pagination": { "page_size": size, "page_token": token } } });
        let posted = bench.post("/api/v3/trace-summaries", &body.to_string()).await.json();
        assert_eq!(posted, second, "{size}");
    }
}
