//! Prometheus' query API over HTTP against a store: what it answers, and what it says when it
//! cannot.

mod exemplars;
mod refusals;

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

/// A store of its own with the API in front, on the port of the UI and on that of Tempo.
struct Bench {
    engine: Arc<Engine>,
    ui: Router,
    tempo: Router,
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
        assert_eq!(self.kind, "application/json", "{self:?}");
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// What a success holds.
    fn data(&self) -> Value {
        let mut answer = self.json();
        assert_eq!(
            (self.status, &answer["status"]),
            (StatusCode::OK, &json!("success")),
            "{self:?}"
        );
        assert_eq!(answer["warnings"], Value::Null, "{self:?}");
        answer["data"].take()
    }

    /// Status, kind and text of an error.
    fn error(&self) -> (u16, String, String) {
        let answer = self.json();
        assert_eq!(answer["status"], "error", "{self:?}");
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        (self.status.as_u16(), text("errorType"), text("error"))
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
        let api = Api {
            store: engine.clone(),
            access,
            listeners: Arc::new(Vec::new),
            started: Instant::now(),
            clock: Arc::new(|| NOW * 1000 * MS),
            clock_skew_max_nano: 0,
        };
        let (ui, tempo) = (api::router(api.clone()), api::tempo::router(api));
        Self { engine, ui, tempo, _folder: folder }
    }

    /// Ten traces, one a minute: `web` calls `cart`, which asks the database `stock`; every fifth
    /// fails in `cart`.
    async fn filled() -> Self {
        let bench = Self::new();
        for age in 0..10 {
            bench.store(&checkout(0x10 + age, NOW - age * 60, age % 5 == 0)).await;
        }
        bench
    }

    async fn store(&self, otlp: &Value) {
        let bytes = model::json::decode(otlp.to_string().as_bytes()).expect("OTLP");
        let batch = SpanBatch::decode(Bytes::from(bytes)).expect("OTLP");
        assert_eq!(batch.rejection().spans, 0);
        self.engine.append(batch).await.expect("stored");
    }

    async fn request(&self, router: &Router, request: Request<Body>) -> Answer {
        let response = router.clone().oneshot(request).await.expect("an answer");
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let (status, kind) = (response.status(), kind.unwrap_or_default().to_owned());
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        Answer { status, kind, text: String::from_utf8(body.to_vec()).expect("UTF-8") }
    }

    /// Asks on one port, and sees that the other says the same.
    async fn get(&self, path: &str) -> Answer {
        let asked = || Request::get(format!("/prometheus{path}")).body(Body::empty()).expect("one");
        let answer = self.request(&self.ui, asked()).await;
        let other = self.request(&self.tempo, asked()).await;
        assert_eq!((answer.status, &answer.text), (other.status, &other.text), "{path}");
        answer
    }

    async fn post(&self, path: &str, kind: &str, form: &str) -> Answer {
        let request = Request::post(format!("/prometheus{path}")).header("content-type", kind);
        self.request(&self.ui, request.body(Body::from(form.to_owned())).expect("one")).await
    }

    async fn query(&self, query: &str) -> Value {
        self.get(&format!("/api/v1/query?query={}", encode(query))).await.data()
    }

    /// Names of series and values of an instant query.
    async fn values(&self, query: &str) -> Vec<(Value, String)> {
        let mut data = self.query(query).await;
        assert_eq!(data["resultType"], "vector", "{query}");
        let series = data["result"].as_array_mut().expect("a list").iter_mut();
        let series = series.map(|series| {
            assert_eq!(series["value"][0], json!(NOW), "{query}");
            let value = series["value"][1].as_str().expect("a text").to_owned();
            (series["metric"].take(), value)
        });
        series.collect()
    }
}

/// A trace that ends at a time, in seconds since the epoch.
fn checkout(trace: u64, end: u64, fails: bool) -> Value {
    let end = end * 1000 * MS;
    let span = |id: u64, parent: u64, name: &str, kind: i32, length: u64| {
        json!({
            "traceId": format!("{trace:032x}"),
            "spanId": format!("{id:016x}"),
            "parentSpanId": if parent == 0 { String::new() } else { format!("{parent:016x}") },
            "name": name,
            "kind": kind,
            "startTimeUnixNano": (end - length * MS).to_string(),
            "endTimeUnixNano": end.to_string(),
        })
    };
    let resource = |service: &str, spans: Vec<Value>| {
        json!({
            "resource": { "attributes": [
                { "key": "service.name", "value": { "stringValue": service } },
            ] },
            "scopeSpans": [{ "spans": spans }],
        })
    };
    let mut server = span(3, 2, "GET /cart", 2, 100);
    if fails {
        server["status"] = json!({ "code": 2 });
    }
    let mut query = span(4, 3, "SELECT", 3, 3);
    query["attributes"] = json!([{ "key": "db.name", "value": { "stringValue": "stock" } }]);
    json!({ "resourceSpans": [
        resource("web", vec![span(1, 0, "/checkout", 2, 250), span(2, 1, "GET", 3, 150)]),
        resource("cart", vec![server, query]),
    ] })
}

fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[tokio::test]
async fn the_data_source_is_healthy() {
    let bench = Bench::new();
    assert_eq!(bench.query("1+1").await, json!({ "resultType": "scalar", "result": [NOW, "2"] }));
    let info = bench.get("/api/v1/status/buildinfo").await.data();
    assert!(info["version"].as_str().is_some_and(|version| version.starts_with("3.")), "{info}");
    for path in ["", "/", "/-/healthy", "/-/ready"] {
        assert_eq!(bench.get(path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(bench.get("/api/v1/rules").await.data(), json!({ "groups": [] }));
    assert_eq!(bench.get("/api/v1/alerts").await.data(), json!({ "alerts": [] }));
    // What is not there has no series and is no error.
    for query in
        ["up", "traces_spanmetrics_calls_total", "rate(traces_spanmetrics_calls_total[5m])"]
    {
        let empty = json!({ "resultType": "vector", "result": [] });
        assert_eq!(bench.query(query).await, empty, "{query}");
    }
}

#[tokio::test]
async fn instant_queries() {
    let bench = Bench::filled().await;
    for (query, expected) in [
        (
            "sum by (service, span_name, span_kind) (traces_spanmetrics_calls_total)",
            vec![
                (
                    json!({ "service": "cart", "span_kind": "SPAN_KIND_CLIENT",
                         "span_name": "SELECT" }),
                    "10",
                ),
                (
                    json!({ "service": "cart", "span_kind": "SPAN_KIND_SERVER",
                         "span_name": "GET /cart" }),
                    "10",
                ),
                (
                    json!({ "service": "web", "span_kind": "SPAN_KIND_CLIENT",
                         "span_name": "GET" }),
                    "10",
                ),
                (
                    json!({ "service": "web", "span_kind": "SPAN_KIND_SERVER",
                         "span_name": "/checkout" }),
                    "10",
                ),
            ],
        ),
        (
            "traces_span_metrics_calls_total{status_code=\"STATUS_CODE_ERROR\"}",
            vec![(
                json!({ "__name__": "traces_span_metrics_calls_total", "service_name": "cart",
                          "span_kind": "SPAN_KIND_SERVER", "span_name": "GET /cart",
                          "status_code": "STATUS_CODE_ERROR" }),
                "2",
            )],
        ),
        // The newest ends now, and the fifth before it 5 minutes ago, which is not in the range.
        (
            "sum(increase(traces_spanmetrics_calls_total{service=\"web\"}[5m]))",
            vec![(json!({}), "10")],
        ),
        (
            "sum by (client, server, connection_type) \
             (rate(traces_service_graph_request_total[10m])) * 600",
            vec![
                (
                    json!({ "client": "cart", "connection_type": "database", "server": "stock" }),
                    "10",
                ),
                (
                    json!({ "client": "user", "connection_type": "virtual_node", "server": "web" }),
                    "10",
                ),
                (json!({ "client": "web", "server": "cart" }), "10"),
            ],
        ),
        (
            "traces_service_graph_request_failed_total{server=\"cart\"}",
            vec![(
                json!({ "__name__": "traces_service_graph_request_failed_total",
                          "client": "web", "server": "cart" }),
                "2",
            )],
        ),
        (
            "sum by (server) (traces_service_graph_request_client_seconds_sum)",
            vec![(json!({ "server": "cart" }), "1.5"), (json!({ "server": "stock" }), "0.03")],
        ),
        (
            "histogram_quantile(.5, sum by (le) (traces_spanmetrics_latency_bucket{\
             span_name=\"GET /cart\"}))",
            vec![(json!({}), "0.096")],
        ),
    ] {
        let found = bench.values(query).await;
        let expected: Vec<_> =
            expected.into_iter().map(|(labels, value)| (labels, value.to_owned())).collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn range_queries() {
    let bench = Bench::filled().await;
    let query = encode("sum by (service) (increase(traces_spanmetrics_calls_total[1m]))");
    let expected = json!({ "resultType": "matrix", "result": [
        { "metric": { "service": "cart" },
          "values": [[NOW - 120, "2"], [NOW - 60, "2"], [NOW, "2"]] },
        { "metric": { "service": "web" },
          "values": [[NOW - 120, "2"], [NOW - 60, "2"], [NOW, "2"]] },
    ] });
    // Times in seconds and as people write them, steps as numbers and durations.
    for times in [
        format!("start={}&end={NOW}&step=60", NOW - 120),
        format!("start={}.000&end={NOW}.9&step=1m", NOW - 120),
        "start=2023-11-14T22:12:00Z&end=2023-11-14T22:14:00Z&step=60.0&timeout=30s".to_owned(),
    ] {
        let answer = bench.get(&format!("/api/v1/query_range?query={query}&{times}")).await;
        assert_eq!(answer.data(), expected, "{times}");
    }
    let form = format!("query={query}&start={}&end={NOW}&step=60", NOW - 120);
    let kind = "application/x-www-form-urlencoded";
    assert_eq!(bench.post("/api/v1/query_range", kind, &form).await.data(), expected);
    // As many steps as there may be.
    let query = encode("sum(rate(traces_spanmetrics_calls_total[1500ms]))");
    let times = format!("start={}&end={NOW}&step=1", NOW - 11_000);
    let data = bench.get(&format!("/api/v1/query_range?query={query}&{times}")).await.data();
    assert_eq!(data["result"][0]["values"].as_array().map(Vec::len), Some(11_001));
    // Part of a second.
    let path = format!("/api/v1/query_range?query=time()&start={}.25&end={NOW}&step=0.5", NOW - 1);
    let values =
        json!([[NOW as f64 - 0.75, "1700000039.25"], [NOW as f64 - 0.25, "1700000039.75"]]);
    assert_eq!(
        bench.get(&path).await.data()["result"],
        json!([{ "metric": {}, "values": values }])
    );
}

#[tokio::test]
async fn a_form_as_people_type_it() {
    let bench = Bench::filled().await;
    let form = "query=sum(traces_spanmetrics_calls_total{service=\"web\"} > 5)";
    let answer = bench.post("/api/v1/query", "application/x-www-form-urlencoded", form).await;
    assert_eq!(answer.data()["result"][0]["value"][1], "20");
}

#[tokio::test]
async fn whole_range_vectors_and_texts() {
    let bench = Bench::filled().await;
    let query = "traces_service_graph_request_total{server=\"cart\"}[45s]";
    let values = json!([[NOW - 30, "9"], [NOW - 15, "9"], [NOW, "10"]]);
    let data = bench.query(query).await;
    assert_eq!((&data["resultType"], &data["result"][0]["values"]), (&json!("matrix"), &values));
    let text = json!({ "resultType": "string", "result": [NOW, "a \"text\""] });
    assert_eq!(bench.query("'a \"text\"'").await, text);
}

#[tokio::test]
async fn labels_and_series() {
    let bench = Bench::filled().await;
    let calls = encode("traces_spanmetrics_calls_total");
    let failed = encode("traces_spanmetrics_calls_total{status_code=\"STATUS_CODE_ERROR\"}");
    let graph = encode("{__name__=~\"traces_service_graph_request_total\"}");
    let old = format!("start={}&end={}", NOW - 3600, NOW - 1800);
    for (path, expected) in [
        (
            "/api/v1/labels".to_owned(),
            json!([
                "__name__",
                "client",
                "connection_type",
                "le",
                "server",
                "service",
                "service_name",
                "span_kind",
                "span_name",
                "status_code"
            ]),
        ),
        (
            format!("/api/v1/labels?match[]={calls}"),
            json!(["__name__", "service", "span_kind", "span_name", "status_code"]),
        ),
        (format!("/api/v1/labels?match[]={calls}&{old}"), json!([])),
        ("/api/v1/label/service/values".to_owned(), json!(["cart", "web"])),
        ("/api/v1/label/service_name/values?limit=2".to_owned(), json!(["cart", "web"])),
        (format!("/api/v1/label/service/values?match[]={failed}"), json!(["cart"])),
        (format!("/api/v1/label/service/values?{old}"), json!([])),
        (
            format!("/api/v1/label/span_name/values?match[]={calls}"),
            json!(["/checkout", "GET", "GET /cart", "SELECT"]),
        ),
        ("/api/v1/label/client/values".to_owned(), json!(["cart", "user", "web"])),
        ("/api/v1/label/server/values".to_owned(), json!(["cart", "stock", "web"])),
        ("/api/v1/label/job/values".to_owned(), json!([])),
        (
            format!("/api/v1/label/__name__/values?match[]={failed}&match[]={graph}"),
            json!(["traces_service_graph_request_total", "traces_spanmetrics_calls_total"]),
        ),
        (
            format!("/api/v1/series?match[]={failed}&start={}", NOW - 60),
            json!([{ "__name__": "traces_spanmetrics_calls_total", "service": "cart",
                     "span_kind": "SPAN_KIND_SERVER", "span_name": "GET /cart",
                     "status_code": "STATUS_CODE_ERROR" }]),
        ),
    ] {
        assert_eq!(bench.get(&path).await.data(), expected, "{path}");
    }
    // All names, for the metrics browser.
    let names = bench.get("/api/v1/label/__name__/values").await.data();
    assert_eq!(names.as_array().map(Vec::len), Some(19));
    let les = bench.get("/api/v1/label/le/values?match[]=traces_spanmetrics_latency_bucket").await;
    assert_eq!(les.data().as_array().map(Vec::len), Some(15));
    // Forms do as well, and what is cut off is said.
    let kind = "application/x-www-form-urlencoded";
    let form = format!("match[]={calls}&limit=1");
    let answer = bench.post("/api/v1/series", kind, &form).await.json();
    assert_eq!(answer["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["warnings"], json!(["results truncated due to limit"]));
    let answer = bench.get(&format!("/api/v1/query?query={calls}&limit=2")).await.json();
    assert_eq!(answer["data"]["result"].as_array().map(Vec::len), Some(2));
    assert_eq!(answer["warnings"], json!(["results truncated due to limit"]));
}

#[tokio::test]
async fn metadata_and_format() {
    let bench = Bench::new();
    let all = bench.get("/api/v1/metadata").await.data();
    assert_eq!(all.as_object().map(serde_json::Map::len), Some(9));
    let one = bench.get("/api/v1/metadata?metric=traces_spanmetrics_latency").await.data();
    let told = json!([{ "type": "histogram", "help": "Durations of spans.", "unit": "seconds" }]);
    assert_eq!(one, json!({ "traces_spanmetrics_latency": told }));
    let path = format!("/api/v1/format_query?query={}", encode("sum(rate(a [5m]))by(b)"));
    assert_eq!(bench.get(&path).await.data(), "sum by (b) (rate(a[5m]))");
}
