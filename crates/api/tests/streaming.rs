//! Answers that come in parts, and clients that go away before the last: whatever was asked of the
//! store for them ends with them, on every API.

use std::sync::Arc;
use std::time::Instant;

use api::{Access, Api};
use axum::Router;
use axum::body::Body;
use http::Request;
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

/// A store that answers no question about spans, ever.
struct Endless(UnboundedSender<Event>);

struct Question(UnboundedSender<Event>);

impl Drop for Question {
    fn drop(&mut self) {
        self.0.send(Event::Ended).expect("the test listens");
    }
}

impl Endless {
    async fn ask<T>(&self) -> T {
        self.0.send(Event::Asked).expect("the test listens");
        let _question = Question(self.0.clone());
        std::future::pending().await
    }
}

#[tonic::async_trait]
impl Store for Endless {
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
        self.ask().await
    }

    async fn measure(
        &self,
        _: MeasureRequest,
        _: Option<Watcher<Measured>>,
    ) -> Result<Measured, QueryError> {
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
        Ok(vec![web])
    }

    async fn operations(&self, _: Option<String>) -> Result<Vec<OperationRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn attributes(&self) -> Result<Vec<AttributeRow>, ReadError> {
        Ok(Vec::new())
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

#[tokio::test]
async fn what_is_asked_for_a_client_ends_with_it() {
    let (sender, mut events) = unbounded_channel();
    let api = api_of(Arc::new(Endless(sender)));
    let (own, tempo) = (api::router(api.clone()), api::tempo::router(api.clone()));
    let (zipkin, jaeger) =
        (api::zipkin::router(api.clone()), api::grpc_router(Arc::new(api)).await);
    let id = "0123456789abcdef0123456789abcdef";
    let rate = "%7B%7D%7Crate()";
    let calls = "traces_spanmetrics_calls_total";
    for (router, path) in [
        (&own, "/api/v1/query?q=%7B%7D".to_owned()),
        (&own, "/api/v1/query?q=%7B%7D&stream=true".to_owned()),
        (&own, format!("/api/v1/query?q={rate}")),
        (&own, format!("/api/v1/query?q={rate}&stream=true")),
        (&own, "/api/v1/traces".to_owned()),
        (&own, "/api/v1/series".to_owned()),
        (&own, format!("/api/v1/traces/{id}")),
        (&own, "/api/traces?service=web".to_owned()),
        (&own, format!("/api/traces/{id}")),
        (&own, "/api/dependencies?endTs=1700000000000".to_owned()),
        (&own, "/api/metrics/calls?service=web".to_owned()),
        (&own, format!("/api/v3/traces/{id}")),
        (&own, format!("/prometheus/api/v1/query?query={calls}")),
        (&own, format!("/prometheus/api/v1/query_range?query={calls}&start=1&end=9&step=1")),
        (&tempo, "/api/search".to_owned()),
        (&tempo, format!("/api/metrics/query_range?q={rate}")),
        (&tempo, format!("/api/metrics/query?q={rate}")),
        (&tempo, "/api/v2/search/tags?q=%7Bkind=server%7D".to_owned()),
        (&tempo, "/api/v2/search/tag/.a/values?q=%7Bkind=server%7D".to_owned()),
        (&tempo, format!("/api/v2/traces/{id}")),
        (&tempo, format!("/prometheus/api/v1/query?query={calls}")),
        (&zipkin, "/api/v2/traces?serviceName=web".to_owned()),
        (&zipkin, format!("/api/v2/trace/{id}")),
        (&zipkin, "/api/v2/dependencies?endTs=1700000000000".to_owned()),
    ] {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        goes_away(router, &mut events, request).await;
    }
    // Field 1 of each is the query, of the last a message with the service as its field 1.
    for (router, path, message) in [
        (&tempo, "/tempopb.StreamingQuerier/Search", &b""[..]),
        (&tempo, "/tempopb.StreamingQuerier/MetricsQueryRange", b"\x0a\x0b{} | rate()"),
        (&tempo, "/tempopb.StreamingQuerier/MetricsQueryInstant", b"\x0a\x0b{} | rate()"),
        (&jaeger, "/jaeger.api_v2.QueryService/FindTraces", b"\x0a\x05\x0a\x03web"),
    ] {
        let mut frame = vec![0, 0, 0, 0, message.len() as u8];
        frame.extend_from_slice(message);
        let request = Request::post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::from(frame));
        goes_away(router, &mut events, request.expect("a request")).await;
    }
}
