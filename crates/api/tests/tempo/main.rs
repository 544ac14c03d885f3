//! Tempo's query API over HTTP against a store: every endpoint, field by field as strict clients
//! decode it, and what it says when it cannot answer.

mod language;
mod refusals;
mod suite;
mod tags;

// The fixed traces of the store's suite.
#[path = "../../../store/tests/all/sent.rs"]
#[allow(dead_code, reason = "the store's tests use more of it")]
mod sent;
#[path = "../../../store/tests/all/traceql_traces.rs"]
mod traceql_traces;

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

/// When the tests are, in seconds since the epoch: on a whole minute.
const NOW: u64 = 1_700_000_040;
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
    body: Bytes,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    fn json(&self) -> Value {
        assert_eq!(
            (self.status, self.kind.as_str()),
            (StatusCode::OK, "application/json"),
            "{self:?}"
        );
        serde_json::from_str(self.text()).expect("JSON")
    }
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let options = Options::new(folder.path().join("data"));
        let engine = Arc::new(Engine::open(options, |_, _| {}).expect("a store"));
        let router = api::tempo::router(Api {
            store: engine.clone(),
            access: Access::default(),
            listeners: Arc::new(Vec::new),
            started: Instant::now(),
            clock: Arc::new(|| NOW * 1000 * MS),
            clock_skew_max_nano: 0,
        });
        Self { engine, router, _folder: folder }
    }

    /// With one trace of two services.
    async fn filled() -> Self {
        let bench = Self::new();
        bench.store(&checkout()).await;
        bench
    }

    async fn store(&self, otlp: &Value) {
        let bytes = model::json::decode(otlp.to_string().as_bytes()).expect("OTLP");
        let batch = SpanBatch::decode(Bytes::from(bytes)).expect("OTLP");
        assert_eq!(batch.rejection().spans, 0);
        self.engine.append(batch).await.expect("stored");
    }

    async fn ask(&self, path: &str, accept: &str) -> Answer {
        let request = Request::get(path).header("accept", accept).body(Body::empty());
        let response = self.router.clone().oneshot(request.expect("one")).await.expect("an answer");
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let (status, kind) = (response.status(), kind.unwrap_or_default().to_owned());
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        Answer { status, kind, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(path, "*/*").await
    }

    async fn json(&self, path: &str) -> Value {
        self.get(path).await.json()
    }
}

/// The web shop's checkout, ten seconds ago: `web` calls `cart`, which fails.
fn checkout() -> Value {
    let start = (NOW - 10) * 1000 * MS;
    json!({ "resourceSpans": [
        {
            "resource": { "attributes": [text("service.name", "web"), text("host.name", "a")] },
            "scopeSpans": [{
                "scope": { "name": "http", "version": "1.2", "attributes": [text("lib", "x")] },
                "spans": [{
                    "traceId": format!("{:032x}", 0xabc), "spanId": format!("{:016x}", 1),
                    "name": "/checkout", "kind": 2,
                    "startTimeUnixNano": start.to_string(),
                    "endTimeUnixNano": (start + 250 * MS).to_string(),
                    "attributes": [
                        text("http.route", "/checkout"),
                        { "key": "http.status_code", "value": { "intValue": "500" } },
                        { "key": "share", "value": { "doubleValue": 0.5 } },
                        { "key": "retry", "value": { "boolValue": true } },
                    ],
                }],
            }],
        },
        {
            "resource": { "attributes": [text("service.name", "cart")] },
            "scopeSpans": [{ "spans": [{
                "traceId": format!("{:032x}", 0xabc), "spanId": format!("{:016x}", 2),
                "parentSpanId": format!("{:016x}", 1),
                "name": "charge", "kind": 3, "status": { "code": 2, "message": "no money" },
                "startTimeUnixNano": (start + 50 * MS).to_string(),
                "endTimeUnixNano": (start + 150 * MS).to_string(),
                "attributes": [text("card", "nil")],
                "events": [
                    { "name": "exception", "timeUnixNano": (start + 60 * MS).to_string(),
                      "attributes": [text("exception.type", "Timeout")] },
                    { "name": "exception", "timeUnixNano": (start + 90 * MS).to_string(),
                      "attributes": [text("exception.type", "Broke")] },
                ],
                "links": [{
                    "traceId": format!("{:032x}", 0xdef), "spanId": format!("{:016x}", 9),
                    "attributes": [text("why", "batch")],
                }],
            }] }],
        },
    ] })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[tokio::test]
async fn about_the_server() {
    let bench = Bench::new();
    assert_eq!(bench.get("/api/echo").await.text(), "echo");
    assert_eq!(bench.get("/ready").await.text(), "ready\n");
    let info = bench.json("/api/status/buildinfo").await;
    let mut names: Vec<_> = info.as_object().expect("an object").keys().collect();
    names.sort();
    assert_eq!(names, ["branch", "buildDate", "buildUser", "goVersion", "revision", "version"]);
    let version = bench.get("/status/version").await;
    assert!(version.text().contains("version 3.1.0"), "{version:?}");
    let services = bench.get("/status/services").await;
    assert_eq!((services.status, services.text()), (StatusCode::OK, "store: Running\n"));
}

/// Kiali (`tracing/tempo`) lists the traces of a service by the spans that it selects of them.
#[tokio::test]
async fn what_kiali_asks() {
    let bench = Bench::filled().await;
    let tags = bench.json("/api/search/tags").await;
    assert!(tags["tagNames"].as_array().is_some_and(|names| names.contains(&json!("host.name"))));
    let query = encode(
        "{ .service.name = \"cart\"  && .card = \"nil\"  } && {  } | select(status, .service_name, \
         .node_id, .component, .upstream_cluster, .http.method, .response_flags, \
         resource.hostname, name)",
    );
    let path = format!("/api/search?start=1700000000&end=1700000040&q={query}&spss=10&limit=20");
    let found = bench.ask(&path, "application/json").await.json();
    let set = &found["traces"][0]["spanSet"];
    assert_eq!(set["matched"], 2);
    for span in set["spans"].as_array().expect("spans") {
        let attributes = span["attributes"].as_array().expect("attributes");
        for key in ["service.name", "status"] {
            assert!(attributes.iter().any(|attribute| attribute["key"] == key), "{key}: {span}");
        }
    }
    let id = found["traces"][0]["traceID"].as_str().expect("an id");
    let trace = bench.ask(&format!("/api/traces/{id}"), "application/json").await.json();
    for batch in trace["batches"].as_array().expect("batches") {
        assert_eq!(batch["resource"]["attributes"][0]["key"], "service.name");
        assert!(batch["scopeSpans"][0]["spans"][0]["spanId"].is_string());
    }
}

#[tokio::test]
async fn a_trace_by_its_id() {
    let bench = Bench::filled().await;
    let (v1, v2) = (bench.json("/api/traces/abc").await, bench.json("/api/v2/traces/abc").await);
    assert_eq!(v2, json!({ "trace": { "resourceSpans": v1["batches"] }, "metrics": {} }));
    assert_eq!(v1["batches"].as_array().map(Vec::len), Some(2));
    let proto = bench.ask("/api/traces/abc", "application/protobuf").await;
    assert_eq!((proto.status, proto.kind.as_str()), (StatusCode::OK, "application/protobuf"));
    let batch = SpanBatch::decode(proto.body.clone()).expect("OTLP");
    assert_eq!(batch.len(), 2);
    // Field 1 of the second version's message is the first's; field 2 says nothing.
    let answer = bench.ask("/api/v2/traces/abc", "application/protobuf").await.body;
    assert!(answer.starts_with(b"\x0a") && answer.ends_with(b"\x12\x00"));
    assert!(answer.windows(proto.body.len()).any(|part| part == proto.body));
    // Times are hints where to look, and a trace is found wherever it is.
    for path in ["/api/traces/abc?start=1&end=2", "/api/v2/traces/0ABC?start=1700000000"] {
        assert_eq!(bench.get(path).await.status, StatusCode::OK, "{path}");
    }

    let unknown = bench.get("/api/traces/1234").await;
    assert_eq!((unknown.status, unknown.text()), (StatusCode::NOT_FOUND, "trace not found"));
    assert!(unknown.kind.starts_with("text/plain"), "{unknown:?}");
    let empty = json!({ "trace": {}, "metrics": {} });
    assert_eq!(bench.json("/api/v2/traces/1234").await, empty);
    let empty = bench.ask("/api/v2/traces/1234", "application/protobuf").await;
    assert_eq!((empty.status, &empty.body[..]), (StatusCode::OK, &b"\x0a\x00\x12\x00"[..]));
}

#[tokio::test]
async fn a_search_field_by_field() {
    let bench = Bench::filled().await;
    let start = (NOW - 10) * 1000 * MS;
    let set = json!({
        "spans": [{
            "spanID": "0000000000000002",
            "name": "charge",
            "startTimeUnixNano": (start + 50 * MS).to_string(),
            "durationNanos": "100000000",
            "attributes": [
                { "key": "status", "value": { "stringValue": "error" } },
                { "key": "service.name", "value": { "stringValue": "cart" } },
            ],
        }],
        "matched": 1,
    });
    let trace = json!({
        "traceID": format!("{:032x}", 0xabc),
        "rootServiceName": "web",
        "rootTraceName": "/checkout",
        "startTimeUnixNano": start.to_string(),
        "durationMs": 250,
        "spanSet": set,
        "spanSets": [set],
        "serviceStats": { "cart": { "spanCount": 1, "errorCount": 1 }, "web": { "spanCount": 1 } },
    });
    let query = encode("{ status = error } | select(resource.service.name)");
    let found = bench.json(&format!("/api/search?q={query}")).await;
    assert_eq!(found["traces"], json!([trace]));
    let metrics = json!({
        "inspectedTraces": 1, "totalBlocks": 1, "completedJobs": 1, "totalJobs": 1,
        "inspectedSpans": "2",
    });
    assert_eq!(found["metrics"], metrics);
    let count = async |parameters: &str| {
        let found = bench.json(&format!("/api/search?{parameters}")).await;
        found["traces"].as_array().expect("a list").len()
    };
    for (parameters, expected) in [
        ("", 1),
        ("q=", 1),
        ("tags=service.name%3Dcart", 1),
        ("tags=service.name%3Dcart%20http.route%3D%22%2Fcheckout%22", 0),
        ("tags=http.status_code%3D500", 1),
        ("minDuration=250ms&maxDuration=250ms", 1),
        ("minDuration=251ms", 0),
        ("maxDuration=249ms", 0),
        ("start=1700000029&end=1700000031", 1),
        ("start=1700000032", 0),
        ("end=1700000030", 0),
        ("end=1700000030.1", 1),
        ("start=1700000030000000000&end=1700000031000000000", 1),
        ("start=2023-11-14T22:13:00Z&end=now", 1),
        ("start=-1h", 1),
        ("start=0&end=0", 1),
        ("limit=1&spss=100&unknown=1", 1),
        // Of what comes twice the first counts, as in Tempo.
        ("limit=1&limit=x", 1),
    ] {
        assert_eq!(count(parameters).await, expected, "{parameters}");
    }
}

#[tokio::test]
async fn metrics_field_by_field() {
    let bench = Bench::filled().await;
    let label = json!({ "key": "resource.service.name", "value": { "stringValue": "cart" } });
    let metrics = json!({
        "inspectedTraces": 1, "totalBlocks": 1, "completedJobs": 1, "totalJobs": 1,
        "inspectedSpans": "2",
    });
    let query = encode("{ status = error } | count_over_time() by(resource.service.name)");
    let range = format!("/api/metrics/query_range?q={query}&start=1700000000&end=1700000040");
    let sample = json!({ "timestampMs": "1700000040000", "value": 1.0 });
    let zero = json!({ "timestampMs": "1700000020000", "value": 0.0 });
    let exemplar = json!({
        "labels": [
            { "key": "trace:id", "value": { "stringValue": format!("{:032x}", 0xabc) } },
            { "key": "span:id", "value": { "stringValue": format!("{:016x}", 2) } },
        ],
        "value": 1.0,
        "timestampMs": "1700000030050",
    });
    let first = json!({ "timestampMs": "1700000000000", "value": 0.0 });
    // What is not set is as many as there may be, and so is 0.
    for (more, exemplars) in [
        ("&step=20", json!([exemplar])),
        ("&step=20s&exemplars=0", json!([exemplar])),
        ("&step=20.0&exemplars=7", json!([exemplar])),
    ] {
        let series =
            json!({ "labels": [label], "samples": [first, zero, sample], "exemplars": exemplars });
        let expected = json!({ "series": [series], "metrics": metrics });
        assert_eq!(bench.json(&format!("{range}{more}")).await, expected, "{more}");
    }
    // As Grafana asks for one value, and under the other name of the query.
    for name in ["q", "query"] {
        let path = format!("/api/metrics/query?{name}={query}&start=1700000000&end=1700000040");
        let series = json!([{ "labels": [label], "value": 1.0 }]);
        assert_eq!(bench.json(&path).await, json!({ "series": series, "metrics": metrics }));
    }
    let two = encode("{} | rate() by(span:name)");
    let cut = bench.json(&format!("/api/metrics/query_range?q={two}&maxSeries=1")).await;
    assert_eq!(
        (&cut["status"], &cut["message"]),
        (&json!("PARTIAL"), &json!("there are more than 1 series"))
    );
    assert_eq!(cut["series"].as_array().map(Vec::len), Some(1));
}

/// A span whose clock went wrong has the largest duration that its field carries.
#[tokio::test]
async fn durations_beyond_2_63_nanoseconds() {
    let bench = Bench::new();
    let far = u64::MAX;
    for (trace, start, end) in
        [(1, 5, far), (2, 1 << 63, far), (3, 0, 1 << 63), (4, 2 << 40, 1 << 40), (5, far, far - 9)]
    {
        let (start, end): (u64, u64) = (start, end);
        bench
            .store(&json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [{
                "traceId": format!("{trace:032x}"), "spanId": format!("{trace:016x}"), "name": "a",
                "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end.to_string(),
            }] }] }] }))
            .await;
    }
    let search = |query: &str| format!("/api/search?q={}", encode(query));
    let found = bench.json(&search("{}")).await;
    let mut told: Vec<(String, String, Value)> = found["traces"]
        .as_array()
        .expect("traces")
        .iter()
        .map(|trace| {
            let span = &trace["spanSets"][0]["spans"][0];
            let nanos = span["durationNanos"].as_str().unwrap_or("0").to_owned();
            (
                trace["traceID"].as_str().expect("an id").to_owned(),
                nanos,
                trace["durationMs"].clone(),
            )
        })
        .collect();
    told.sort_by_key(|(id, ..)| id.clone());
    let most = json!(u32::MAX);
    let expected = [
        (1, (far - 5).to_string(), most.clone()),
        (2, (far >> 1).to_string(), most.clone()),
        (3, (1_u64 << 63).to_string(), most),
        (4, "0".to_owned(), Value::Null),
        (5, "0".to_owned(), Value::Null),
    ];
    assert_eq!(told, expected.map(|(id, nanos, ms)| (format!("{id:032x}"), nanos, ms)));
    for (query, expected) in [
        ("{ duration > 106751d }", 3),
        ("{ duration = 9223372036854775807ns }", 3),
        ("{ duration < 1ns }", 2),
        ("{ traceDuration > 1h }", 3),
    ] {
        let found = bench.json(&search(query)).await;
        let count = found["traces"].as_array().map_or(0, Vec::len);
        assert_eq!(count, expected, "{query}: {found}");
    }
    let path = format!(
        "/api/metrics/query?start=0&end=10000000000000000000&q={}",
        encode("{} | max_over_time(duration)")
    );
    let found = bench.json(&path).await;
    assert_eq!(found["series"][0]["value"], json!(i64::MAX as f64 * 1e-9), "{found}");
    for query in ["{} | histogram_over_time(duration)", "{} | quantile_over_time(duration, 1)"] {
        let path =
            format!("/api/metrics/query?start=0&end=10000000000000000000&q={}", encode(query));
        assert!(bench.json(&path).await["series"].is_array(), "{query}");
    }
}

/// What the store's fixed traces are written in.
mod bench {
    pub use crate::suite::{NOW, SECOND};
}
