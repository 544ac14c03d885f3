//! Jaeger's query APIs over HTTP against a store: what they answer, and what they say when they
//! cannot.

mod errors;
mod filter;
mod metrics;
mod spans;
mod v3;

use std::sync::Arc;
use std::time::Instant;

use api::{Access, Api};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use model::SpanBatch;
use serde_json::{Value, json};
use store::{Engine, Options, Store};
use tempfile::TempDir;
use tower::ServiceExt;

/// When the tests are, in nanoseconds since the epoch.
const NOW: u64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;

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
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert_eq!(self.kind, "application/json", "{self:?}");
        serde_json::from_str(&self.text).expect("JSON")
    }
}

impl Bench {
    fn new() -> Self {
        Self::with_skew(0)
    }

    fn with_skew(clock_skew_max_nano: u64) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let options = Options::new(folder.path().join("data"));
        let engine = Arc::new(Engine::open(options, |_, _| {}).expect("a store"));
        let router = api::router(Api {
            store: engine.clone(),
            access: Access::default(),
            listeners: Arc::new(Vec::new),
            started: Instant::now(),
            clock: Arc::new(|| NOW),
            clock_skew_max_nano,
        });
        Self { engine, router, _folder: folder }
    }

    /// A store with two traces of three services.
    async fn filled() -> Self {
        let bench = Self::new();
        bench.store(&shop(0x10, 2)).await;
        bench.store(&shop(0x20, 1)).await;
        bench
    }

    async fn store(&self, otlp: &Value) {
        let bytes = model::json::decode(otlp.to_string().as_bytes()).expect("OTLP");
        let batch = SpanBatch::decode(Bytes::from(bytes)).expect("OTLP");
        assert_eq!(batch.rejection().spans, 0);
        self.engine.append(batch).await.expect("stored");
    }

    async fn request(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let (status, kind) = (response.status(), kind.unwrap_or_default().to_owned());
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        Answer { status, kind, text: String::from_utf8(body.to_vec()).expect("UTF-8") }
    }

    async fn get(&self, path: &str) -> Answer {
        self.request(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.request(Request::post(path).body(Body::from(body.to_owned())).expect("one")).await
    }

    async fn json(&self, path: &str) -> Value {
        self.get(path).await.json()
    }

    /// What the envelope holds.
    async fn data(&self, path: &str) -> Value {
        let mut envelope = self.json(path).await;
        let rest = json!({ "limit": envelope["limit"], "offset": envelope["offset"],
                           "errors": envelope["errors"] });
        assert_eq!(rest, json!({ "limit": 0, "offset": 0, "errors": null }), "{path}");
        envelope["data"].take()
    }
}

/// A trace, some seconds old: a client in `web`, its server in `cart` which fails on trace 0x10, and
/// an internal span of `cart`; each on a host of its own.
fn shop(trace: u64, age_seconds: u64) -> Value {
    let start = NOW - age_seconds * 1000 * MS;
    let span = |id: u64, parent: u64, name: &str, kind: i32, from: u64, length: u64| {
        json!({
            "traceId": format!("{trace:032x}"),
            "spanId": format!("{id:016x}"),
            "parentSpanId": if parent == 0 { String::new() } else { format!("{parent:016x}") },
            "name": name,
            "kind": kind,
            "startTimeUnixNano": (start + from * MS).to_string(),
            "endTimeUnixNano": (start + (from + length) * MS).to_string(),
        })
    };
    let resource = |service: &str, spans: Vec<Value>| {
        json!({
            "resource": { "attributes": [
                { "key": "service.name", "value": { "stringValue": service } },
                { "key": "host.name", "value": { "stringValue": format!("{service}-1") } },
            ] },
            "scopeSpans": [{ "scope": { "name": format!("{service}.lib") }, "spans": spans }],
        })
    };
    let mut server = span(2, 1, "GET /cart", 2, 10, 80);
    server["attributes"] = json!([{ "key": "http.status_code", "value": { "intValue": "500" } }]);
    if trace == 0x10 {
        server["status"] = json!({ "code": 2, "message": "no stock" });
        server["events"] = json!([{ "timeUnixNano": (start + 20 * MS).to_string(),
                                    "name": "exception" }]);
    }
    json!({ "resourceSpans": [
        resource("web", vec![span(1, 0, "GET", 3, 0, 100)]),
        resource("cart", vec![server, span(3, 2, "load", 1, 20, 30)]),
    ] })
}

fn ids(traces: &Value) -> Vec<&str> {
    let traces = traces.as_array().expect("a list").iter();
    traces.map(|trace| trace["traceID"].as_str().expect("an id")).collect()
}

const OLD: &str = "0000000000000010";
const NEW: &str = "0000000000000020";

#[tokio::test]
async fn an_empty_store_has_empty_lists() {
    let bench = Bench::new();
    for path in [
        "/api/services",
        "/api/services/a/operations",
        "/api/operations?service=a",
        "/api/traces?service=a",
        "/api/dependencies",
    ] {
        assert_eq!(bench.data(path).await, json!([]), "{path}");
    }
}

#[tokio::test]
async fn services_and_operations() {
    let bench = Bench::filled().await;
    let answer = bench.json("/api/services").await;
    assert_eq!(answer["data"], json!(["cart", "web"]));
    assert_eq!(answer["total"], 2);
    assert_eq!(bench.data("/api/services/cart/operations").await, json!(["GET /cart", "load"]));
    let operation = |name: &str, kind: &str| json!({ "name": name, "spanKind": kind });
    let all = json!([operation("GET /cart", "server"), operation("load", "internal")]);
    assert_eq!(bench.data("/api/operations?service=cart").await, all);
    let servers = bench.data("/api/operations?service=cart&spanKind=server").await;
    assert_eq!(servers, json!([operation("GET /cart", "server")]));
}

#[tokio::test]
async fn names_escaped_once_and_twice_are_found() {
    let bench = Bench::new();
    for name in ["a b", "a+b/ü", "50%"] {
        let mut otlp = shop(0x30, 1);
        let service = &mut otlp["resourceSpans"][0]["resource"]["attributes"][0]["value"];
        service["stringValue"] = json!(name);
        bench.store(&otlp).await;
    }
    for path in ["a%20b", "a+b", "a%252Bb%252F%25C3%25BC", "a%2Bb%2F%C3%BC", "50%25", "50%2525"] {
        let path = format!("/api/services/{path}/operations");
        assert_eq!(bench.data(&path).await, json!(["GET"]), "{path}");
    }
}

#[tokio::test]
async fn a_service_without_a_name_can_be_asked_for() {
    let bench = Bench::new();
    let mut otlp = shop(0x30, 1);
    otlp["resourceSpans"][0]["resource"] = json!({});
    bench.store(&otlp).await;
    let name = "missing-service-name";
    assert_eq!(bench.data("/api/services").await, json!(["cart", name]));
    let traces = bench.data(&format!("/api/traces?service={name}")).await;
    assert_eq!(traces[0]["processes"]["p1"]["serviceName"], name);
    let operations = bench.data(&format!("/api/services/{name}/operations")).await;
    assert_eq!(operations, json!(["GET"]));
    let links = bench.data(&format!("/api/dependencies?service={name}")).await;
    assert_eq!(links, json!([{ "parent": name, "child": "cart", "callCount": 1 }]));
}

#[tokio::test]
async fn searches() {
    let bench = Bench::filled().await;
    let micros = |ns: u64| ns / 1000;
    let start_of_old = micros(NOW - 2000 * MS);
    let table: [(String, &[&str]); 28] = [
        ("service=web".into(), &[NEW, OLD]),
        ("service=web&limit=1".into(), &[NEW]),
        ("service=none".into(), &[]),
        ("service=cart&operation=load".into(), &[NEW, OLD]),
        ("service=web&operation=load".into(), &[]),
        ("service=cart&tags=%7B%22error%22%3A%22true%22%7D".into(), &[OLD]),
        ("service=cart&tag=error:false".into(), &[NEW, OLD]),
        ("service=cart&operation=GET%20/cart&tag=error:false".into(), &[NEW]),
        ("service=cart&tag=otel.status_code:ERROR".into(), &[OLD]),
        ("service=cart&tag=http.status_code:500".into(), &[NEW, OLD]),
        ("service=cart&tag=http.status_code:50".into(), &[]),
        ("service=cart&tag=host.name:cart-1".into(), &[NEW, OLD]),
        ("service=cart&tag=resource.host.name:cart-1".into(), &[NEW, OLD]),
        ("service=cart&tag=span.kind:server".into(), &[NEW, OLD]),
        ("service=cart&tag=span.kind:client".into(), &[]),
        ("service=web&tag=span.kind:client&limit=1".into(), &[NEW]),
        ("service=cart&tag=otel.scope.name:cart.lib".into(), &[NEW, OLD]),
        ("service=cart&tag=otel.status_description:no%20stock".into(), &[OLD]),
        ("service=cart&tag=event:exception".into(), &[OLD]),
        // Every tag on the same span.
        ("service=cart&tag=span.kind:internal&tag=http.status_code:500".into(), &[]),
        ("service=cart&tag=error:true&tag=span.kind:server".into(), &[OLD]),
        ("service=cart&minDuration=80ms".into(), &[NEW, OLD]),
        ("service=cart&minDuration=80.1ms".into(), &[]),
        ("service=cart&minDuration=1us&maxDuration=30ms".into(), &[NEW, OLD]),
        (format!("service=web&start={start_of_old}&end={start_of_old}"), &[OLD]),
        (format!("service=web&start=0&end={}", start_of_old - 1), &[]),
        (format!("service=web&start={}", start_of_old + 1), &[NEW]),
        ("service=web&lookback=1h&maxDuration=&minDuration=&unknown=1".into(), &[NEW, OLD]),
    ];
    for (query, expected) in table {
        let found = bench.data(&format!("/api/traces?{query}")).await;
        assert_eq!(ids(&found), expected, "{query}");
    }
}

#[tokio::test]
async fn traces_by_id() {
    let bench = Bench::filled().await;
    for id in ["10", OLD, "00000000000000000000000000000010", "AAAAAAAAAAAAAAAAAAAAEA=="] {
        let found = bench.data(&format!("/api/traces/{id}")).await;
        assert_eq!(ids(&found), [OLD], "{id}");
        assert_eq!(found[0]["spans"].as_array().map(Vec::len), Some(3));
    }
    let answer = bench.json("/api/traces?traceID=10&traceID=99&traceID=20").await;
    assert_eq!(ids(&answer["data"]), [OLD, NEW]);
    let missing = json!([{ "msg": "trace not found", "traceID": "0000000000000099" }]);
    assert_eq!(answer["errors"], missing);

    let plain = bench.get("/api/traces/10?prettyPrint=false").await;
    let pretty = bench.get("/api/traces/10?prettyPrint=true").await;
    assert!(pretty.text.starts_with("{\n    \"data\": [\n        {\n"), "{}", pretty.text);
    assert_eq!(plain.json(), pretty.json());
}

#[tokio::test]
async fn clocks_are_set_right_as_far_as_allowed_and_raw_is_as_sent() {
    // The server of `cart` is ten seconds behind.
    let mut otlp = shop(0x10, 60);
    for at in 0..2 {
        let span = &mut otlp["resourceSpans"][1]["scopeSpans"][0]["spans"][at];
        for field in ["startTimeUnixNano", "endTimeUnixNano"] {
            let time: u64 = span[field].as_str().unwrap().parse().unwrap();
            span[field] = json!((time - 10_000 * MS).to_string());
        }
    }
    let start = |trace: &Value, id: &str| {
        let spans = trace[0]["spans"].as_array().unwrap();
        let span = spans.iter().find(|span| span["spanID"] == *id).unwrap();
        (span["startTime"].as_u64().unwrap(), span["warnings"].clone())
    };
    let sent = (NOW - 60_000 * MS - 9_990 * MS) / 1000;
    for (max, by, warning) in [
        (0, 0, "clock skew adjustment disabled; not applying calculated delta of 10s"),
        (
            1_000 * MS,
            0,
            "max clock skew adjustment delta of 1s exceeded; not applying calculated delta of 10s",
        ),
        (10_000 * MS, 10_000_000, "This span's timestamps were adjusted by 10s"),
    ] {
        let bench = Bench::with_skew(max);
        bench.store(&otlp).await;
        let trace = bench.data("/api/traces/10").await;
        assert_eq!(start(&trace, "0000000000000002"), (sent + by, json!([warning])));
        assert_eq!(start(&trace, "0000000000000003"), (sent + 10_000 + by, json!([warning])));
        let raw = bench.data("/api/traces/10?raw=true").await;
        assert_eq!(start(&raw, "0000000000000002"), (sent, Value::Null));
        let v3 = bench.json("/api/v3/traces/10").await.to_string();
        let raw = bench.json("/api/v3/traces/10?rawTraces=true").await.to_string();
        assert!(v3.contains(warning) && !raw.contains(warning));
    }
}

#[tokio::test]
async fn dependencies() {
    let bench = Bench::filled().await;
    let link = |count: u64| json!([{ "parent": "web", "child": "cart", "callCount": count }]);
    assert_eq!(bench.data("/api/dependencies").await, link(2));
    assert_eq!(bench.data("/api/dependencies?lookback=1500").await, link(1));
    let end = NOW / MS - 1500;
    assert_eq!(bench.data(&format!("/api/dependencies?endTs={end}")).await, link(1));
    assert_eq!(bench.data("/api/dependencies?service=web").await, link(2));
    assert_eq!(bench.data("/api/dependencies?service=other").await, json!([]));
}

#[tokio::test]
async fn otlp_is_turned_into_jaegers_json() {
    let bench = Bench::new();
    let mut otlp = shop(0x10, 1);
    let other = shop(0x20, 1)["resourceSpans"].as_array().unwrap().clone();
    otlp["resourceSpans"].as_array_mut().unwrap().extend(other);
    let found = bench.post("/api/transform", &otlp.to_string()).await.json();
    assert_eq!(ids(&found["data"]), [OLD, NEW]);
    assert_eq!(found["data"][0]["spans"].as_array().map(Vec::len), Some(3));
    for wrong in ["", "[]", "{\"resourceSpans\":5}"] {
        let answer = bench.post("/api/transform", wrong).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert!(answer.text.contains("cannot read OTLP JSON"), "{answer:?}");
    }
}
