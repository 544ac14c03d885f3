//! Zipkin's query API against a store: what it answers, and what it says when it cannot.

mod faults;
mod search;

use std::sync::Arc;
use std::time::Instant;

use api::{Access, Api};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use formats::zipkin::{TagTypes, to_otlp};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use model::SpanBatch;
use serde_json::{Value, json};
use store::{Engine, Options, Store};
use tempfile::TempDir;
use tower::ServiceExt;

/// When the tests are, in milliseconds since the epoch.
const NOW_MS: u64 = 1_700_000_000_000;

/// A store of its own with the API in front.
struct Bench {
    engine: Arc<Engine>,
    router: Router,
    _folder: TempDir,
}

/// An answer with its whole body.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    kind: String,
    partial: bool,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(
            (self.status, self.kind.as_str()),
            (StatusCode::OK, "application/json"),
            "{self:?}"
        );
        serde_json::from_str(&self.text).expect("JSON")
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(Access::default())
    }

    fn with(access: Access) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let options = Options::new(folder.path().join("data"));
        let engine = Arc::new(Engine::open(options, |_, _| {}).expect("a store"));
        let router = api::zipkin::router(Api {
            store: engine.clone(),
            access,
            listeners: Arc::new(Vec::new),
            started: Instant::now(),
            clock: Arc::new(|| NOW_MS * 1_000_000),
            clock_skew_max_nano: 0,
        });
        Self { engine, router, _folder: folder }
    }

    /// Stores spans that are given in Zipkin's JSON.
    async fn store(&self, spans: &Value) {
        let bytes = to_otlp(spans.to_string().as_bytes(), TagTypes::Text).expect("spans");
        let batch = SpanBatch::decode(Bytes::from(bytes)).expect("OTLP");
        self.engine.append(batch).await.expect("stored");
    }

    async fn request(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (kind, partial) = (header("content-type"), header("spanfall-partial") == "true");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        Answer { status, kind, partial, text: String::from_utf8(body.to_vec()).expect("UTF-8") }
    }

    async fn get(&self, path: &str) -> Answer {
        self.request(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    async fn json(&self, path: &str) -> Value {
        self.get(path).await.json()
    }
}

/// A span, `age_ms` before now.
fn span(trace: u64, id: u64, service: &str, name: &str, age_ms: u64, more: Value) -> Value {
    let mut span = json!({
        "traceId": format!("{trace:032x}"), "id": format!("{id:016x}"), "name": name,
        "timestamp": (NOW_MS - age_ms) * 1000, "duration": 1000,
        "localEndpoint": { "serviceName": service },
    });
    span.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    span
}

#[tokio::test]
async fn an_empty_store_has_empty_lists() {
    let bench = Bench::new();
    for path in [
        "/api/v2/services",
        "/api/v2/spans?serviceName=a",
        "/api/v2/remoteServices?serviceName=a",
        "/api/v2/traces",
        "/api/v2/traces?serviceName=a&annotationQuery=error",
        "/api/v2/traces?remoteServiceName=a",
        "/api/v2/autocompleteValues?key=a",
        "/api/v2/traceMany?traceIds=1,2",
        "/api/v2/dependencies?endTs=1700000000000",
        "/zipkin/api/v2/services",
    ] {
        assert_eq!(bench.json(path).await, json!([]), "{path}");
    }
    assert_eq!(bench.json("/api/v2/autocompleteKeys").await, json!(["otel.status_code"]));
}

#[tokio::test]
async fn names() {
    let bench = Bench::new();
    let called = |key: &str, value: &str| json!({ "kind": "CLIENT", "tags": { (key): value } });
    bench
        .store(&json!([
            span(1, 1, "Web", "get /", 10, json!({ "kind": "SERVER", "tags": { "env": "prod" } })),
            span(1, 2, "Web", "query", 10, called("db.name", "orders")),
            span(1, 3, "Web", "call", 10, json!({
                "kind": "CLIENT", "remoteEndpoint": { "serviceName": "cart" },
                "tags": { "server.address": "not-a-service", "http.status_code": "200" },
            })),
            span(1, 4, "Web", "send", 10, called("network.peer.address", "10.0.0.1")),
            span(1, 5, "cart", "get", 10, called("peer.service", "redis")),
            span(1, 6, "cart", "get", 10, json!({ "kind": "SERVER", "tags": { "server.address": "me" } })),
            { "traceId": "2", "id": "1", "timestamp": NOW_MS * 1000 },
        ]))
        .await;
    for (path, expected) in [
        ("services", json!(["Web", "cart", "unknown_service"])),
        ("spans?serviceName=Web", json!(["call", "get /", "query", "send"])),
        ("spans?serviceName=web", json!(["call", "get /", "query", "send"])),
        ("spans?serviceName=cart", json!(["get"])),
        ("spans?serviceName=unknown_service", json!([])),
        ("spans?serviceName=nobody", json!([])),
        ("remoteServices?serviceName=WEB", json!(["cart", "orders"])),
        ("remoteServices?serviceName=cart", json!(["redis"])),
        ("remoteServices?serviceName=nobody", json!([])),
        (
            "autocompleteKeys",
            json!([
                "db.name",
                "env",
                "http.status_code",
                "network.peer.address",
                "otel.status_code",
                "peer.service",
                "server.address"
            ]),
        ),
        ("autocompleteValues?key=env", json!(["prod"])),
        ("autocompleteValues?key=otel.status_code", json!(["ERROR", "OK"])),
        ("autocompleteValues?key=nothing", json!([])),
    ] {
        assert_eq!(bench.json(&format!("/api/v2/{path}")).await, expected, "{path}");
        assert_eq!(bench.json(&format!("/zipkin/api/v2/{path}")).await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_rare_remote_service_is_found_behind_many_traces() {
    let bench = Bench::new();
    let calls = |to: &str| json!({ "kind": "CLIENT", "tags": { "server.address": to } });
    let mut spans: Vec<Value> =
        (1..=120).map(|trace| span(trace, 1, "web", "call", trace, calls("often"))).collect();
    spans.push(span(500, 1, "web", "call", 5_000, calls("rarely")));
    spans.push(span(501, 1, "other", "call", 5_000, calls("by-others")));
    bench.store(&Value::from(spans)).await;
    let names = bench.json("/api/v2/remoteServices?serviceName=web").await;
    assert_eq!(names, json!(["often", "rarely"]));
}

#[tokio::test]
async fn a_trace_by_its_id() {
    let bench = Bench::new();
    let root = span(0xabc, 1, "web", "get", 20, json!({ "kind": "SERVER" }));
    let child = span(0xabc, 2, "web", "query", 10, json!({ "parentId": format!("{:016x}", 1) }));
    bench.store(&json!([root, child, span(7, 1, "web", "other", 5, json!({}))])).await;
    for id in ["abc", "0abc", "ABC", &format!("{:032x}", 0xabc)] {
        assert_eq!(bench.json(&format!("/api/v2/trace/{id}")).await, json!([root, child]), "{id}");
    }
    let many = bench.json("/api/v2/traceMany?traceIds=7,fff,abc").await;
    assert_eq!(many, json!([[span(7, 1, "web", "other", 5, json!({}))], [root, child]]));
    let missing = bench.get("/api/v2/trace/fff").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(
        (missing.text.as_str(), missing.kind.as_str()),
        ("fff not found", "text/plain; charset=utf-8")
    );
}

#[tokio::test]
async fn a_large_trace_comes_whole() {
    let bench = Bench::new();
    let spans: Vec<Value> = (1..=3000)
        .map(|id| {
            span(1, id, "web", "step", 10_000 - id, json!({ "tags": { "n": id.to_string() } }))
        })
        .collect();
    bench.store(&Value::from(spans.clone())).await;
    assert_eq!(bench.json("/api/v2/trace/1").await, Value::from(spans.clone()));
    assert_eq!(bench.json("/api/v2/traces").await, json!([spans]));
}

#[tokio::test]
async fn about_the_server() {
    let bench = Bench::new();
    let up = json!({ "status": "UP" });
    let health =
        json!({ "status": "UP", "zipkin": { "status": "UP", "details": { "Spanfall": up } } });
    assert_eq!(bench.json("/health").await, health);
    assert_eq!(bench.json("/info").await["zipkin"]["server"], "spanfall");
    assert_eq!(bench.json("/zipkin/config.json").await["searchEnabled"], true);
}

#[tokio::test]
async fn dependencies() {
    let bench = Bench::new();
    let below = |parent: u64, more: Value| {
        let mut child = json!({ "kind": "SERVER", "parentId": format!("{parent:016x}") });
        child.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        child
    };
    bench
        .store(&json!([
            span(1, 1, "web", "get", 20, json!({ "kind": "SERVER" })),
            span(1, 2, "cart", "get", 15, below(1, json!({}))),
            span(1, 3, "cart", "get", 10, below(1, json!({ "tags": { "error": "" } }))),
            span(1, 4, "db", "get", 10, below(3, json!({}))),
            span(2, 1, "web", "get", 90_000_000, json!({ "kind": "SERVER" })),
            span(2, 2, "old", "get", 89_999_999, below(1, json!({}))),
        ]))
        .await;
    let web = json!({ "parent": "web", "child": "cart", "callCount": 2, "errorCount": 1 });
    let cart = json!({ "parent": "cart", "child": "db", "callCount": 1 });
    let old = json!({ "parent": "web", "child": "old", "callCount": 1 });
    for (query, expected) in [
        (format!("endTs={NOW_MS}"), json!([cart, web])),
        (format!("endTs={NOW_MS}&lookback=100000000"), json!([cart, web, old])),
        (format!("endTs={}&lookback=1000", NOW_MS - 50), json!([])),
    ] {
        let path = format!("/api/v2/dependencies?{query}");
        assert_eq!(bench.json(&path).await, expected, "{query}");
    }
}
