//! The exporter `jaeger` against a server that decodes what arrives, and answers as told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use formats::jaeger::post_spans_to_otlp;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use pipeline::exporters::jaeger::{Jaeger, JaegerSettings};
use pipeline::exporters::{Export, ExportError, FailReason, QueueSettings};
use pipeline::net::{
    Algorithm, ClientSettings, Headers, Pem, ServerTls, TlsClientSettings, TlsServerSettings,
};
use pipeline::receivers::{ConnectionCounters, Handler, ServerSettings, serve};
use pipeline::{Client, Consumer, Encoded, Request, Signal};
use prost::Message;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::components::{House, diagnosed};
use crate::exporters_otlp::{eager, plain};
use crate::exporters_sender::started;
use crate::exporters_tls::Authority;
use crate::support::{PATIENCE, protobuf, until};

pub type Body = BoxBody<Bytes, Infallible>;
type Reply = Box<dyn FnOnce() -> Response<Body> + Send>;

/// A server that keeps what arrives, and takes everything once it has given the answers it was told.
pub struct Stub {
    pub addr: SocketAddr,
    desk: Arc<Desk>,
    stop: CancellationToken,
}

struct Desk {
    seen: Mutex<Vec<(Parts, Bytes)>>,
    replies: Mutex<VecDeque<Reply>>,
    taken: fn() -> Response<Body>,
    connections: ConnectionCounters,
    tasks: TaskTracker,
}

impl Handler for Desk {
    type Body = Body;

    async fn handle(
        self: Arc<Self>,
        request: http::Request<hyper::body::Incoming>,
        _: Arc<Client>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        self.seen.lock().unwrap().push((parts, body));
        let reply = self.replies.lock().unwrap().pop_front();
        reply.map_or_else(self.taken, |reply| reply())
    }

    fn connections(&self) -> &ConnectionCounters {
        &self.connections
    }

    fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Stub {
    pub async fn new(taken: fn() -> Response<Body>) -> Self {
        Self::with_tls(taken, None).await
    }

    pub async fn with_tls(taken: fn() -> Response<Body>, tls: Option<ServerTls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let desk = Arc::new(Desk {
            seen: Mutex::default(),
            replies: Mutex::default(),
            taken,
            connections: ConnectionCounters::default(),
            tasks: TaskTracker::new(),
        });
        let stop = CancellationToken::new();
        let own = Self { addr, desk: desk.clone(), stop: stop.clone() };
        let settings = ServerSettings { tls, ..ServerSettings::default() };
        tokio::spawn(async move { serve(listener, &settings, desk, stop).await });
        own
    }

    pub fn reply(&self, reply: impl FnOnce() -> Response<Body> + Send + 'static) {
        self.desk.replies.lock().unwrap().push_back(Box::new(reply));
    }

    pub fn seen(&self) -> Vec<(Parts, Bytes)> {
        self.desk.seen.lock().unwrap().clone()
    }
}

/// A certificate for localhost, and who trusts it.
pub fn tls() -> (Option<ServerTls>, TlsClientSettings) {
    let authority = Authority::new();
    let (cert, key) = authority.issue("localhost");
    let server = TlsServerSettings {
        cert: Some(Pem::Text(cert)),
        key: Some(Pem::Text(key)),
        ..TlsServerSettings::default()
    };
    let ca = Some(Pem::Text(authority.pem.clone()));
    let client = TlsClientSettings { ca, ..TlsClientSettings::default() };
    (Some(ServerTls::new(server).unwrap()), client)
}

fn body(bytes: &'static [u8]) -> Body {
    Full::new(Bytes::from_static(bytes)).boxed()
}

/// An answer of HTTP.
pub fn http(
    status: u16,
    headers: &[(&'static str, &'static str)],
    text: &'static str,
) -> Response<Body> {
    let mut response = Response::new(body(text.as_bytes()));
    *response.status_mut() = status.try_into().unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    response
}

/// `PostSpansResponse`, which is empty, and the status behind it.
pub fn taken() -> Response<Body> {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let message = Full::new(Bytes::from_static(&[0; 5]));
    let message = message.with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(message.boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// A status without a message, in the headers alone.
fn refused(code: &'static str) -> impl FnOnce() -> Response<Body> {
    let headers = [
        ("content-type", "application/grpc"),
        ("grpc-status", code),
        ("grpc-message", "so%20what"),
    ];
    move || http(200, &headers, "")
}

pub fn own(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

pub fn text(key: &str, value: &str) -> KeyValue {
    own(key, Value::StringValue(value.to_owned()))
}

/// Spans of a service, with what both formats carry.
pub fn service(name: &str, spans: u8) -> ResourceSpans {
    let span = |index: u8| Span {
        trace_id: vec![7; 16],
        span_id: vec![name.len() as u8, 0, 0, 0, 0, 0, 0, index + 1],
        parent_span_id: if index == 0 {
            vec![]
        } else {
            vec![name.len() as u8, 0, 0, 0, 0, 0, 0, 1]
        },
        name: format!("operation {index}"),
        kind: if index == 0 { 2 } else { 3 },
        start_time_unix_nano: 1_581_452_772_000_321_000 + u64::from(index),
        end_time_unix_nano: 1_581_452_772_000_654_000 + u64::from(index),
        attributes: vec![text("color", "blue"), own("weight", Value::IntValue(7))],
        events: vec![Event {
            name: "woke up".to_owned(),
            time_unix_nano: 1_581_452_772_000_400_000,
            attributes: vec![text("why", "noise")],
            ..Event::default()
        }],
        status: Some(match index {
            1 => Status { code: 2, message: "broken".to_owned() },
            _ => Status::default(),
        }),
        ..Span::default()
    };
    let scope = InstrumentationScope {
        name: "lib".to_owned(),
        version: "1".to_owned(),
        ..Default::default()
    };
    let scope_spans = vec![ScopeSpans {
        scope: Some(scope),
        spans: (0..spans).map(span).collect(),
        ..Default::default()
    }];
    let resource = Resource {
        attributes: vec![text("service.name", name), text("zone", "a")],
        ..Default::default()
    };
    ResourceSpans { resource: Some(resource), scope_spans, ..Default::default() }
}

pub fn encoded(services: &[ResourceSpans]) -> Encoded {
    let items = services.iter().map(|one| one.scope_spans[0].spans.len() as u64).sum();
    let part = |one: &ResourceSpans| {
        let request = ExportTraceServiceRequest { resource_spans: vec![one.clone()] };
        Bytes::from(request.encode_to_vec())
    };
    Encoded { parts: services.iter().map(part).collect(), items }
}

fn exporter(addr: SocketAddr, client: ClientSettings) -> Jaeger {
    Jaeger::new(&JaegerSettings { endpoint: addr.to_string(), client }).unwrap()
}

async fn export(exporter: &dyn Export, encoded: &Encoded) -> Result<(), ExportError> {
    let export = exporter.export(Signal::Traces, encoded);
    tokio::time::timeout(PATIENCE, export).await.expect("an answer in time")
}

/// The message behind its prefix, decompressed as the flag and the header say.
fn unframed(parts: &Parts, body: &Bytes) -> Vec<u8> {
    let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
    let message = &body[5..];
    assert_eq!(message.len(), length);
    let encoding = parts.headers.get("grpc-encoding").map(|it| it.to_str().unwrap());
    let mut out = Vec::new();
    match (body[0], encoding) {
        (0, None) => out.extend_from_slice(message),
        (1, Some("gzip")) => {
            flate2::read::GzDecoder::new(message).read_to_end(&mut out).unwrap();
        }
        (1, Some("zstd")) => out = zstd::decode_all(message).unwrap(),
        other => panic!("{other:?}"),
    }
    out
}

/// What a stub got, as OTLP, by the name of the service.
fn services(stub: &Stub) -> Vec<ResourceSpans> {
    let mut all: Vec<ResourceSpans> = Vec::new();
    for (parts, body) in stub.seen() {
        let message = unframed(&parts, &body);
        let converted = post_spans_to_otlp(&message, Default::default()).unwrap();
        assert_eq!(converted.rejection.spans, 0);
        all.extend(ExportTraceServiceRequest::decode(converted.otlp).unwrap().resource_spans);
    }
    all.sort_by_key(|one| format!("{:?}", one.resource));
    all
}

#[tokio::test]
async fn spans_arrive_as_they_were() {
    for algorithm in [Algorithm::None, Algorithm::Gzip, Algorithm::Zstd] {
        let stub = Stub::new(taken).await;
        let mut headers = Headers::default();
        headers.add("x-tenant", "us").unwrap();
        let exporter = exporter(stub.addr, ClientSettings { headers, ..plain(algorithm) });
        let sent = [service("cart", 3), service("shop", 2)];
        export(&exporter, &encoded(&sent)).await.unwrap();
        let mut expected = sent.to_vec();
        // A status that says nothing is none.
        for span in expected.iter_mut().flat_map(|one| &mut one.scope_spans[0].spans) {
            span.status = span.status.take().filter(|status| status.code != 0);
        }
        let found = services(&stub);
        assert_eq!(found, expected, "{algorithm:?}");
        for (parts, _) in stub.seen() {
            assert_eq!(parts.uri.path(), "/jaeger.api_v2.CollectorService/PostSpans");
            assert_eq!(parts.headers["content-type"], "application/grpc");
            assert_eq!(parts.headers["x-tenant"], "us");
        }
        assert_eq!(stub.seen().len(), 2, "a call for each resource");
    }
}

#[tokio::test]
async fn a_busy_or_broken_jaeger_is_asked_again_until_it_takes_all() {
    let stub = Stub::new(taken).await;
    // A full queue says RESOURCE_EXHAUSTED, without a delay.
    for code in ["8", "14", "2", "13"] {
        stub.reply(refused(code));
    }
    stub.reply(|| http(503, &[], "a proxy"));
    let export = Arc::new(exporter(stub.addr, plain(Algorithm::None)));
    let sender = started(eager(QueueSettings::default()), export).await;
    let batch = model::SpanBatch::decode(encoded(&[service("cart", 3)]).joined()).unwrap();
    sender.consume(Request::traces(batch)).await.unwrap();
    until("three spans are sent", || sender.counters().snapshot().sent == 3).await;
    let counted = sender.counters().snapshot();
    assert_eq!((counted.retries, counted.send_failed()), (5, 0));
    assert_eq!(stub.seen().len(), 6);
}

#[tokio::test]
async fn what_jaeger_will_never_take_is_counted() {
    let stub = Stub::new(taken).await;
    let exporter = Arc::new(exporter(stub.addr, plain(Algorithm::None)));
    let both = encoded(&[service("cart", 3), service("shop", 3)]);
    stub.reply(refused("3"));
    let error = export(&*exporter, &both).await.unwrap_err();
    let reason = "the server answered INVALID_ARGUMENT: so what".to_owned();
    assert_eq!(error, ExportError::Partial { rejected: 3, reason });

    stub.reply(refused("3"));
    stub.reply(refused("14"));
    let error = export(&*exporter, &both).await.unwrap_err();
    assert!(matches!(error, ExportError::Retryable { .. }), "nothing that may be taken is lost");

    let sender = started(eager(QueueSettings::default()), exporter.clone()).await;
    stub.reply(refused("12"));
    let batch = model::SpanBatch::decode(protobuf(4, 0).into()).unwrap();
    sender.consume(Request::traces(batch)).await.unwrap();
    let failed = || sender.counters().snapshot().failed_for(FailReason::Permanent);
    until("four spans are dropped", || failed() == 4).await;
    assert_eq!(sender.counters().snapshot().retries, 0);

    let metrics = exporter.export(Signal::Metrics, &both).await.unwrap_err();
    assert!(matches!(metrics, ExportError::Permanent { .. }), "{metrics}");
    // What has no trace id cannot be sent: it is counted, and the others go.
    let some = Encoded { parts: vec![protobuf(2, 1).into()], items: 3 };
    let error = export(&*exporter, &some).await.unwrap_err();
    assert!(matches!(error, ExportError::Partial { rejected: 1, .. }), "{error}");
}

#[tokio::test]
async fn tls_is_the_default() {
    let (server, tls) = tls();
    let stub = Stub::with_tls(taken, server).await;
    let endpoint = format!("localhost:{}", stub.addr.port());
    let client = ClientSettings { tls, ..plain(Algorithm::None) };
    let trusting = Jaeger::new(&JaegerSettings { endpoint: endpoint.clone(), client }).unwrap();
    export(&trusting, &encoded(&[service("cart", 1)])).await.unwrap();
    assert_eq!(stub.seen().len(), 1);
    let client = ClientSettings { tls: TlsClientSettings::default(), ..plain(Algorithm::None) };
    let wary = Jaeger::new(&JaegerSettings { endpoint, client }).unwrap();
    assert!(export(&wary, &encoded(&[service("cart", 1)])).await.is_err());
    assert_eq!(stub.seen().len(), 1);
}

fn config(exporter: &str) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  {exporter}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [{}]}}}}}}
",
        exporter.split(':').next().unwrap()
    )
}

#[test]
fn settings_are_read_and_wrong_ones_named() {
    let today = "warning: exporters::jaeger: the exporter \"jaeger\" was removed";
    for (settings, parts) in [
        ("jaeger: {endpoint: 'jaeger:14250', tls: {insecure: true}}", &[today][..]),
        (
            "jaeger: {endpoint: 'jaeger:14250', timeout: 3s, compression: gzip, headers: {a: b}, \
             sending_queue: {queue_size: 5}, retry_on_failure: {enabled: false}, \
             keepalive: {time: 20s}, balancer_name: round_robin, wait_for_ready: true}",
            &[today],
        ),
        (
            "jaeger: {endpoint: 'jaeger:14250', insecure: true, ca_file: /ca.pem}",
            &[
                today,
                "warning: exporters::jaeger: 'insecure' is deprecated",
                "warning: exporters::jaeger: 'ca_file' is deprecated",
                "error: exporters::jaeger: 'ca_file' cannot be read",
            ],
        ),
        ("jaeger: {}", &[today, "error: exporters::jaeger: 'endpoint' must be specified"]),
        (
            "jaeger: {endpoint: 'jaeger:14250', tsl: {}}",
            &[today, "error: exporters::jaeger: has invalid keys: tsl"],
        ),
    ] {
        let found = diagnosed(&config(settings));
        assert_eq!(found.len(), parts.len(), "{settings}: {found:#?}");
        for part in parts {
            assert!(
                found.iter().any(|line| line.starts_with(part)),
                "{settings}: {part}: {found:#?}"
            );
        }
    }
}

#[tokio::test]
async fn the_configuration_of_old_tutorials_runs() {
    let stub = Stub::new(taken).await;
    let settings = format!("jaeger: {{endpoint: '{}', tls: {{insecure: true}}}}", stub.addr);
    let mut house = House::of(&config(&settings)).await;
    house.post_spans(3).await;
    let arrived =
        || services(&stub).iter().map(|one| one.scope_spans[0].spans.len()).sum::<usize>();
    until("three spans arrive", || arrived() == 3).await;
    let sent = || {
        let samples = house.telemetry.collect();
        let found = samples.iter().find(|it| it.name == "otelcol_exporter_sent_spans");
        found.map(|found| (found.labels.clone(), found.value))
    };
    let expected = Some((vec![("exporter", "jaeger".to_owned())], 3.0));
    until("three spans are counted", || sent() == expected).await;
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), house.graph.stop()).await, Ok(0));
}
