//! Any request to any endpoint is answered without a panic and without a fault of the server; errors
//! come in the shape of the API that was asked.
//!
//! An input is three bytes, which choose endpoint, method and headers, and then lines: what stands
//! for `{}` in the path, the query string, and a body to the end.

#![no_main]

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use api::{Access, Api};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use libfuzzer_sys::fuzz_target;
use model::SpanBatch;
use serde_json::Value;
use store::{Engine, Options, Store};
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// When the requests come, in nanoseconds since the epoch.
const NOW: u64 = 1_700_000_000_000_000_000;

/// Who answers a path, which decides the shape of errors.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    V1,
    JaegerLegacy,
    JaegerV3,
    Prometheus,
    Tempo,
    Zipkin,
    /// gRPC on Jaeger's port, and on Tempo's.
    JaegerGrpc,
    TempoGrpc,
    Ui,
}

/// Every endpoint but `POST /api/v1/sample`, which fills the store.
const ENDPOINTS: &[(Of, &str)] = &[
    (Of::V1, "/api/v1/services"),
    (Of::V1, "/api/v1/operations"),
    (Of::V1, "/api/v1/attributes"),
    (Of::V1, "/api/v1/attributes/values"),
    (Of::V1, "/api/v1/traces"),
    (Of::V1, "/api/v1/traces/{}"),
    (Of::V1, "/api/v1/series"),
    (Of::V1, "/api/v1/query"),
    (Of::V1, "/api/v1/status"),
    (Of::V1, "/api/v1/openapi.json"),
    (Of::V1, "/api/v1/{}"),
    (Of::JaegerLegacy, "/api/services"),
    (Of::JaegerLegacy, "/api/services/{}/operations"),
    (Of::JaegerLegacy, "/api/operations"),
    (Of::JaegerLegacy, "/api/traces"),
    (Of::JaegerLegacy, "/api/traces/{}"),
    (Of::JaegerLegacy, "/api/archive/{}"),
    (Of::JaegerLegacy, "/api/transform"),
    (Of::JaegerLegacy, "/api/dependencies"),
    (Of::JaegerLegacy, "/api/metrics/latencies"),
    (Of::JaegerLegacy, "/api/metrics/calls"),
    (Of::JaegerLegacy, "/api/metrics/errors"),
    (Of::JaegerLegacy, "/api/metrics/minstep"),
    (Of::JaegerV3, "/api/v3/services"),
    (Of::JaegerV3, "/api/v3/operations"),
    (Of::JaegerV3, "/api/v3/traces"),
    (Of::JaegerV3, "/api/v3/traces/{}"),
    (Of::JaegerV3, "/api/v3/trace-summaries"),
    (Of::JaegerV3, "/api/v3/spans"),
    (Of::JaegerV3, "/api/v3/dependencies"),
    (Of::JaegerV3, "/api/v3/capabilities"),
    (Of::Prometheus, "/prometheus/api/v1/query"),
    (Of::Prometheus, "/prometheus/api/v1/query_range"),
    (Of::Prometheus, "/prometheus/api/v1/series"),
    (Of::Prometheus, "/prometheus/api/v1/labels"),
    (Of::Prometheus, "/prometheus/api/v1/label/{}/values"),
    (Of::Prometheus, "/prometheus/api/v1/metadata"),
    (Of::Prometheus, "/prometheus/api/v1/query_exemplars"),
    (Of::Prometheus, "/prometheus/api/v1/format_query"),
    (Of::Prometheus, "/prometheus/api/v1/{}"),
    (Of::Tempo, "/ready"),
    (Of::Tempo, "/api/echo"),
    (Of::Tempo, "/api/status/buildinfo"),
    (Of::Tempo, "/api/traces/{}"),
    (Of::Tempo, "/api/v2/traces/{}"),
    (Of::Tempo, "/api/search"),
    (Of::Tempo, "/api/search/tags"),
    (Of::Tempo, "/api/v2/search/tags"),
    (Of::Tempo, "/api/search/tag/{}/values"),
    (Of::Tempo, "/api/v2/search/tag/{}/values"),
    (Of::Tempo, "/api/metrics/query_range"),
    (Of::Tempo, "/api/metrics/query"),
    (Of::Tempo, "/{}"),
    (Of::Zipkin, "/api/v2/services"),
    (Of::Zipkin, "/api/v2/spans"),
    (Of::Zipkin, "/api/v2/remoteServices"),
    (Of::Zipkin, "/api/v2/autocompleteKeys"),
    (Of::Zipkin, "/api/v2/autocompleteValues"),
    (Of::Zipkin, "/api/v2/traces"),
    (Of::Zipkin, "/api/v2/trace/{}"),
    (Of::Zipkin, "/api/v2/traceMany"),
    (Of::Zipkin, "/api/v2/dependencies"),
    (Of::Zipkin, "/zipkin/config.json"),
    (Of::Zipkin, "/health"),
    (Of::Zipkin, "/info"),
    (Of::Zipkin, "/{}"),
    (Of::JaegerGrpc, "/jaeger.api_v2.QueryService/GetTrace"),
    (Of::JaegerGrpc, "/jaeger.api_v2.QueryService/FindTraces"),
    (Of::JaegerGrpc, "/jaeger.api_v2.QueryService/GetOperations"),
    (Of::JaegerGrpc, "/jaeger.api_v2.QueryService/GetDependencies"),
    (Of::JaegerGrpc, "/jaeger.api_v3.QueryService/GetTrace"),
    (Of::JaegerGrpc, "/jaeger.api_v3.QueryService/FindTraces"),
    (Of::JaegerGrpc, "/jaeger.api_v3.QueryService/FindSpans"),
    (Of::JaegerGrpc, "/jaeger.api_v3.QueryService/FindTraceSummaries"),
    (Of::JaegerGrpc, "/jaeger.api_v3.QueryService/GetOperations"),
    (Of::JaegerGrpc, "/jaeger.api_v3.QueryService/GetDependencies"),
    (Of::TempoGrpc, "/tempopb.StreamingQuerier/Search"),
    (Of::TempoGrpc, "/tempopb.StreamingQuerier/SearchTags"),
    (Of::TempoGrpc, "/tempopb.StreamingQuerier/SearchTagsV2"),
    (Of::TempoGrpc, "/tempopb.StreamingQuerier/SearchTagValues"),
    (Of::TempoGrpc, "/tempopb.StreamingQuerier/SearchTagValuesV2"),
    (Of::TempoGrpc, "/tempopb.StreamingQuerier/MetricsQueryRange"),
    (Of::TempoGrpc, "/tempopb.StreamingQuerier/MetricsQueryInstant"),
    (Of::Ui, "/{}"),
    (Of::Ui, "/trace/{}"),
    (Of::Tempo, "/status/services"),
];

const METHODS: [&str; 8] = ["GET", "GET", "GET", "GET", "POST", "POST", "HEAD", "DELETE"];

/// Headers that change what an answer looks like or whether there is one, a bit each.
const HEADERS: [(&str, &str); 6] = [
    ("accept", "application/json"),
    ("accept", "application/protobuf"),
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("origin", "http://elsewhere.example"),
    ("host", "localhost:16686"),
];

/// The APIs over a store with some traces.
struct Server {
    runtime: Runtime,
    main: Router,
    tempo: Router,
    zipkin: Router,
    grpc: Router,
}

impl Server {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        // libFuzzer ends without running destructors: the folder stays until the system clears it.
        let folder = tempfile::tempdir().expect("a folder").keep();
        let engine = Engine::open(Options::new(folder.join("data")), |_, _| {}).expect("a store");
        let engine = Arc::new(engine);
        let odd = include_bytes!("../seeds/otlp_json/full.json");
        let odd = model::json::decode(odd).expect("OTLP JSON");
        let traces = [
            loadgen::sample_trace(1, NOW - 5_000_000_000),
            loadgen::sample_trace(2, NOW - 60_000_000_000),
            odd,
        ];
        for trace in traces {
            let batch = SpanBatch::decode(Bytes::from(trace)).expect("OTLP");
            runtime.block_on(engine.append(batch)).expect("stored");
        }
        let api = Api {
            store: engine,
            access: Access::default(),
            listeners: Arc::new(Vec::new),
            started: Instant::now(),
            clock: Arc::new(|| NOW),
            clock_skew_max_nano: 0,
        };
        let grpc = runtime.block_on(api::grpc_router(Arc::new(api.clone())));
        Self {
            main: api::router(api.clone()),
            tempo: api::tempo::router(api.clone()),
            zipkin: api::zipkin::router(api),
            grpc,
            runtime,
        }
    }

    fn ask(&self, of: Of, request: Request<Body>) -> (StatusCode, String, Bytes) {
        let router = match of {
            Of::V1 | Of::JaegerLegacy | Of::JaegerV3 | Of::Prometheus | Of::Ui => &self.main,
            Of::Tempo | Of::TempoGrpc => &self.tempo,
            Of::Zipkin => &self.zipkin,
            Of::JaegerGrpc => &self.grpc,
        };
        self.runtime.block_on(async {
            let answer: Response<Body> = router.clone().oneshot(request).await.expect("an answer");
            let (parts, body) = answer.into_parts();
            let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok());
            let kind = kind.unwrap_or_default().to_owned();
            // A stream may end early with a status of its own.
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            (parts.status, kind, body)
        })
    }
}

fuzz_target!(|input: &[u8]| {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let [endpoint, method, headers, rest @ ..] = input else { return };
    let (of, path) = ENDPOINTS[usize::from(*endpoint) % ENDPOINTS.len()];
    let mut lines = rest.splitn(3, |&byte| byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (segment, query, body) = (line(), line(), line());

    let is_grpc = matches!(of, Of::JaegerGrpc | Of::TempoGrpc);
    let method = if is_grpc { "POST" } else { METHODS[usize::from(*method) % METHODS.len()] };
    let uri =
        format!("{}?{}", path.replace("{}", &sendable(segment, b"/")), sendable(query, b"?/"));
    let mut request = Request::builder().method(method).uri(&uri);
    let mut body = body.to_vec();
    if is_grpc {
        request = request.header("content-type", "application/grpc").header("te", "trailers");
        let length = (body.len() as u32).to_be_bytes();
        body.splice(..0, [0].into_iter().chain(length));
    } else {
        for (bit, (name, value)) in HEADERS.iter().enumerate() {
            if headers & (1 << bit) != 0 {
                request = request.header(*name, *value);
            }
        }
    }
    // What is no URL gets no further than the connection.
    let Ok(request) = request.body(Body::from(body)) else { return };
    let (status, kind, body) = SERVER.get_or_init(Server::start).ask(of, request);

    let archive = uri.starts_with("/api/archive/") && status == StatusCode::INTERNAL_SERVER_ERROR;
    assert!(!status.is_server_error() || archive, "{status}: {body:?}");
    if method == "HEAD" || is_grpc {
        return;
    }
    if kind.starts_with("application/json") {
        assert!(serde_json::from_slice::<Value>(&body).is_ok(), "{status}: {body:?}");
    }
    if status.is_client_error() {
        assert!(has_shape(of, status, &kind, &body), "{uri} {status} {kind}: {body:?}");
    }
});

/// Bytes as a client puts them into a URL. Percent signs stay, so that escapes can be wrong.
fn sendable(bytes: &[u8], more: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        let plain = byte.is_ascii_alphanumeric() || b"%&=+-._~:,;@!$'()*".contains(&byte);
        match plain || more.contains(&byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Whether an error is what the clients of an API read.
fn has_shape(of: Of, status: StatusCode, kind: &str, body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let json = serde_json::from_str::<Value>(text).unwrap_or_default();
    let code = Value::from(status.as_u16());
    let is_own = json["error"].is_string() && kind == "application/json";
    match of {
        // The method is wrong, a page of another site asks, or the path is none.
        _ if [403, 404, 405].contains(&status.as_u16()) && body.is_empty() => true,
        _ if status == StatusCode::FORBIDDEN => !text.is_empty(),
        Of::V1 => is_own,
        Of::JaegerLegacy => json["errors"][0]["code"] == code || is_own,
        Of::JaegerV3 => json["error"]["httpCode"] == code || (code == 404 && is_own),
        Of::Prometheus => json["status"] == "error" && json["error"].is_string(),
        Of::Tempo => (kind == "application/json") == json["error"].is_string() && !text.is_empty(),
        Of::Zipkin => kind.starts_with("text/plain") && !text.is_empty(),
        Of::JaegerGrpc | Of::TempoGrpc | Of::Ui => true,
    }
}
