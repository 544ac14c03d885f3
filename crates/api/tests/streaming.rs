//! Answers that come in parts, clients that go away before the last, and stores that are closed
//! before there is one, on every API.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use api::{Access, Api};
use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use model::{SpanBatch, TraceId};
use serde_json::{Value, json};
use store::*;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower::ServiceExt;

/// What happens to a question.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Asked,
    Ended,
}

/// A store without spans of its own.
enum Mute {
    /// It answers no question about spans, ever.
    Endless(UnboundedSender<Event>),
    /// It is being closed.
    Closed,
    /// It finds much, at once.
    Rich,
}

const RICH: usize = 1_000;

fn much_found() -> FoundPage {
    let summary = TraceSummary {
        trace_id: TraceId::from_number(1),
        root_service: "web".to_owned(),
        root_name: "GET".to_owned(),
        start_unix_nano: 1,
        duration_nano: 1,
        span_count: 1,
        error_count: 0,
        services: Vec::new(),
        missing_root: false,
        orphan_count: 0,
    };
    let trace = FoundTrace { summary, spansets: Vec::new() };
    FoundPage { traces: vec![trace; RICH], ..FoundPage::default() }
}

fn much_measured(steps: usize) -> Measured {
    let label = ("name".to_owned(), traceql::Static::String("GET".to_owned()));
    let series =
        MeasuredSeries { labels: vec![label], values: vec![1.0; steps], exemplars: Vec::new() };
    Measured { series: vec![series; RICH], ..Measured::default() }
}

struct Question(UnboundedSender<Event>);

impl Drop for Question {
    fn drop(&mut self) {
        self.0.send(Event::Ended).expect("the test listens");
    }
}

impl Mute {
    async fn ask<T, E: From<ReadError>>(&self) -> Result<T, E> {
        let Self::Endless(events) = self else { return Err(ReadError::Closed.into()) };
        events.send(Event::Asked).expect("the test listens");
        let _question = Question(events.clone());
        std::future::pending().await
    }

    fn names<T>(&self, names: Vec<T>) -> Result<Vec<T>, ReadError> {
        if matches!(self, Self::Closed) { Err(ReadError::Closed) } else { Ok(names) }
    }
}

#[tonic::async_trait]
impl Store for Mute {
    async fn append(&self, _: SpanBatch) -> Result<(), AppendError> {
        Ok(())
    }

    async fn trace(&self, _: TraceId) -> Result<TraceRead, ReadError> {
        self.ask().await
    }

    async fn search(&self, _: SearchRequest) -> Result<SearchPage, ReadError> {
        self.ask().await
    }

    async fn find(
        &self,
        _: FindRequest,
        _: Option<Watcher<FoundPage>>,
    ) -> Result<FoundPage, QueryError> {
        if matches!(self, Self::Rich) {
            return Ok(much_found());
        }
        self.ask().await
    }

    async fn measure(
        &self,
        request: MeasureRequest,
        _: Option<Watcher<Measured>>,
    ) -> Result<Measured, QueryError> {
        if matches!(self, Self::Rich) {
            return Ok(much_measured(request.steps));
        }
        self.ask().await
    }

    async fn series(&self, _: SeriesRequest) -> Result<SeriesSet, ReadError> {
        self.ask().await
    }

    async fn edges(&self, _: EdgeRequest) -> Result<EdgeSet, ReadError> {
        self.ask().await
    }

    async fn red(&self, _: RedRequest) -> Result<RedSet, ReadError> {
        self.ask().await
    }

    async fn trace_metrics(&self, _: TraceMetricsRequest) -> Result<TraceMetricsSet, QueryError> {
        self.ask().await
    }

    async fn summaries(&self, _: Vec<TraceId>) -> Result<Vec<TraceSummary>, ReadError> {
        self.ask().await
    }

    async fn services(&self) -> Result<Vec<ServiceRow>, ReadError> {
        let web = ServiceRow { name: "web".to_owned(), span_count: 1, error_count: 0 };
        self.names(vec![web])
    }

    async fn operations(&self, _: Option<String>) -> Result<Vec<OperationRow>, ReadError> {
        self.names(Vec::new())
    }

    async fn attributes(&self) -> Result<Vec<AttributeRow>, ReadError> {
        self.names(Vec::new())
    }

    async fn attribute_values(
        &self,
        _: Option<Level>,
        _: String,
        _: usize,
    ) -> Result<ValueList, ReadError> {
        self.ask().await
    }

    async fn names(&self, _: ChoiceRequest) -> Result<NameSet, QueryError> {
        self.ask().await
    }

    async fn field_values(
        &self,
        _: ChoiceRequest,
        _: traceql::Field,
        _: usize,
    ) -> Result<FieldValues, QueryError> {
        self.ask().await
    }

    fn status(&self) -> StoreStatus {
        StoreStatus::default()
    }

    fn health(&self) -> Health {
        Health { problems: Vec::new() }
    }
}

/// Asks, goes away when the store was asked, and sees that the store is left alone.
async fn goes_away(router: &Router, events: &mut UnboundedReceiver<Event>, request: Request<Body>) {
    let asked = request.uri().to_string();
    let router = router.clone();
    let mut answer = Box::pin(async move {
        let answer = router.oneshot(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        // What is streamed is asked for as it is read.
        (parts, body.collect().await.expect("a body").to_bytes())
    });
    tokio::select! {
        (parts, body) = &mut answer => panic!("{asked}: {parts:?} {body:?}"),
        event = events.recv() => assert_eq!(event, Some(Event::Asked), "{asked}"),
    }
    drop(answer);
    assert_eq!(events.recv().await, Some(Event::Ended), "{asked}");
    assert!(events.try_recv().is_err(), "{asked}");
}

fn api_of(store: Arc<dyn Store>) -> Api {
    Api {
        store,
        access: Access::default(),
        listeners: Arc::new(Vec::new),
        started: Instant::now(),
        clock: Arc::new(|| 1_700_000_000_000_000_000),
        clock_skew_max_nano: 0,
    }
}

/// A request of one span.
fn one(number: u64) -> SpanBatch {
    let span = json!({
        "traceId": format!("{number:032x}"), "spanId": format!("{number:016x}"), "name": "one",
        "startTimeUnixNano": number.to_string(), "endTimeUnixNano": number.to_string(),
    });
    let otlp = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span] }] }] });
    let bytes = model::json::decode(otlp.to_string().as_bytes()).expect("OTLP");
    SpanBatch::decode(bytes.into()).expect("OTLP")
}

#[tokio::test]
async fn a_search_tells_what_it_has_found_so_far() {
    let folder = TempDir::new().expect("a folder");
    // Each span is a piece, and eight at the most are one. More pieces than are looked at together
    // are left.
    let options = Options { chunk_rows: 1, ..Options::new(folder.path().join("data")) };
    let engine = Arc::new(Engine::open(options, |_, _| {}).expect("a store"));
    for number in 1..=79 {
        engine.append(one(number)).await.expect("stored");
    }
    let router = api::router(api_of(engine));
    let ask = async |path: &str| -> Vec<Value> {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = router.clone().oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        let text = std::str::from_utf8(&body).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let path = "/api/v1/query?limit=1000&q=%7Bname=`one`%7D".replace('`', "%60");
    let lines = ask(&format!("{path}&stream=true")).await;
    let (last, before) = lines.split_last().expect("lines");
    assert_eq!(ask(&path).await, std::slice::from_ref(last));
    let found = |line: &Value| line["traces"].as_array().map_or(0, Vec::len);
    assert_eq!((found(last), &last["partial"]), (79, &Value::Bool(false)));
    assert!(!before.is_empty());
    for line in before {
        let share = line["progress"].as_f64().expect("a share");
        assert!(share > 0.0 && share < 1.0 && line["partial"] == true, "{line}");
        assert!(found(line) > 0 && found(line) < 79, "{line}");
        // The newest first, all of them.
        let newest = last["traces"].as_array().expect("traces").iter().take(found(line));
        assert!(line["traces"].as_array().expect("traces").iter().eq(newest), "{line}");
    }
}

/// Every API over one store.
struct Routers {
    own: Router,
    tempo: Router,
    zipkin: Router,
    jaeger: Router,
}

impl Routers {
    async fn of(store: Mute) -> Self {
        let api = api_of(Arc::new(store));
        Self {
            own: api::router(api.clone()),
            tempo: api::tempo::router(api.clone()),
            zipkin: api::zipkin::router(api.clone()),
            jaeger: api::grpc_router(Arc::new(api)).await,
        }
    }

    /// What is asked about spans with GET.
    fn gets(&self) -> Vec<(&Router, String)> {
        let Self { own, tempo, zipkin, .. } = self;
        let id = "0123456789abcdef0123456789abcdef";
        let rate = "%7B%7D%7Crate()";
        let calls = "traces_spanmetrics_calls_total";
        vec![
            (own, "/api/v1/query?q=%7B%7D".to_owned()),
            (own, "/api/v1/query?q=%7B%7D&stream=true".to_owned()),
            (own, format!("/api/v1/query?q={rate}")),
            (own, format!("/api/v1/query?q={rate}&stream=true")),
            (own, "/api/v1/traces".to_owned()),
            (own, "/api/v1/series".to_owned()),
            (own, format!("/api/v1/traces/{id}")),
            (own, "/api/traces?service=web".to_owned()),
            (own, format!("/api/traces/{id}")),
            (own, "/api/dependencies?endTs=1700000000000".to_owned()),
            (own, "/api/metrics/calls?service=web".to_owned()),
            (own, format!("/api/v3/traces/{id}")),
            (own, format!("/prometheus/api/v1/query?query={calls}")),
            (own, format!("/prometheus/api/v1/query_range?query={calls}&start=1&end=9&step=1")),
            (tempo, "/api/search".to_owned()),
            (tempo, format!("/api/metrics/query_range?q={rate}")),
            (tempo, format!("/api/metrics/query?q={rate}")),
            (tempo, "/api/v2/search/tags?q=%7Bkind=server%7D".to_owned()),
            (tempo, "/api/v2/search/tag/.a/values?q=%7Bkind=server%7D".to_owned()),
            (tempo, format!("/api/v2/traces/{id}")),
            (tempo, format!("/prometheus/api/v1/query?query={calls}")),
            (zipkin, "/api/v2/traces?serviceName=web".to_owned()),
            (zipkin, format!("/api/v2/trace/{id}")),
            (zipkin, "/api/v2/dependencies?endTs=1700000000000".to_owned()),
        ]
    }

    /// What is asked over gRPC. Field 1 of each message is the query, of the last a message with the
    /// service as its field 1.
    fn calls(&self) -> Vec<(&Router, Request<Body>)> {
        let Self { tempo, jaeger, .. } = self;
        [
            (tempo, "/tempopb.StreamingQuerier/Search", &b""[..]),
            (tempo, "/tempopb.StreamingQuerier/MetricsQueryRange", b"\x0a\x0b{} | rate()"),
            (tempo, "/tempopb.StreamingQuerier/MetricsQueryInstant", b"\x0a\x0b{} | rate()"),
            (jaeger, "/jaeger.api_v2.QueryService/FindTraces", b"\x0a\x05\x0a\x03web"),
        ]
        .map(|(router, path, message)| (router, call(path, message)))
        .into()
    }
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}

fn call(path: &str, message: &[u8]) -> Request<Body> {
    let mut frame = vec![0, 0, 0, 0, message.len() as u8];
    frame.extend_from_slice(message);
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::from(frame));
    request.expect("a request")
}

#[tokio::test]
async fn what_is_asked_for_a_client_ends_with_it() {
    let (sender, mut events) = unbounded_channel();
    let routers = Routers::of(Mute::Endless(sender)).await;
    for (router, path) in routers.gets() {
        goes_away(router, &mut events, get(&path)).await;
    }
    for (router, request) in routers.calls() {
        goes_away(router, &mut events, request).await;
    }
}

/// On the one thread of this test another task has its turn only if the answer, which takes
/// milliseconds, is made elsewhere.
#[tokio::test]
async fn answers_are_made_away_from_the_threads_that_carry_requests() {
    let routers = Routers::of(Mute::Rich).await;
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = turns.clone();
    tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    tokio::task::yield_now().await;
    for (router, path) in [
        (&routers.own, "/api/v1/query?q=%7B%7D"),
        (&routers.own, "/api/v1/query?q=%7B%7D%7Crate()"),
        (&routers.tempo, "/api/search"),
        (&routers.tempo, "/api/metrics/query_range?q=%7B%7D%7Crate()"),
        (&routers.tempo, "/api/metrics/query?q=%7B%7D%7Crate()"),
    ] {
        let before = turns.load(Ordering::Relaxed);
        let answer = router.clone().oneshot(get(path)).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(turns.load(Ordering::Relaxed) > before, "{path}");
    }
}

#[tokio::test]
async fn while_a_store_is_closed_clients_are_told_to_ask_again() {
    let routers = Routers::of(Mute::Closed).await;
    let names = [
        (&routers.own, "/api/v1/services"),
        (&routers.own, "/api/v1/operations"),
        (&routers.own, "/api/v1/attributes"),
        (&routers.own, "/api/v1/attributes/values?key=a"),
        (&routers.own, "/api/services"),
        (&routers.own, "/api/v3/services"),
        (&routers.own, "/prometheus/api/v1/query_exemplars?query=CALLS&start=1&end=2"),
        (&routers.zipkin, "/api/v2/services"),
    ];
    let buckets = "traces_spanmetrics_latency_bucket";
    let names = names.map(|(router, path)| (router, path.replace("CALLS", buckets)));
    for (router, path) in routers.gets().into_iter().chain(names) {
        let answer = router.clone().oneshot(get(&path)).await.expect("an answer");
        assert_eq!(answer.status(), 503, "{path}");
        assert_eq!(answer.headers()["retry-after"], "1", "{path}");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        let text = std::str::from_utf8(&body).expect("UTF-8");
        assert!(
            text.contains("the store is being closed; ask again in a second"),
            "{path}: {text}"
        );
    }
    let services = call("/jaeger.api_v3.QueryService/GetServices", b"");
    for (router, request) in routers.calls().into_iter().chain([(&routers.jaeger, services)]) {
        let asked = request.uri().to_string();
        let answer = router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let trailers = body.collect().await.expect("a body").trailers().cloned();
        let trailers = trailers.filter(|trailers| !trailers.is_empty()).unwrap_or(parts.headers);
        assert_eq!(trailers["grpc-status"], "14", "{asked}: {trailers:?}");
    }
}
