//! A receiver with a consumer that does as told, requests to send it, and messages to read answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pipeline::receivers::otlp::{GrpcReceiver, GrpcSettings, HttpReceiver, HttpSettings};
use pipeline::receivers::{ByteBudget, Drained, ReceiverCounters, ServerSettings};
use pipeline::{Consumer, Refusal, Request};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes, shorter than a person's patience.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub enum Behaviour {
    Accept,
    Refuse(Refusal),
    Panic,
    /// Accept once [`Recorder::release`] is called.
    Wait,
}

/// Records batch sizes.
pub struct Recorder {
    behaviour: Mutex<Behaviour>,
    taken: Mutex<Vec<usize>>,
    content: Mutex<Vec<Bytes>>,
    calls: AtomicU64,
    gate: Semaphore,
}

impl Recorder {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            behaviour: Mutex::new(Behaviour::Accept),
            taken: Mutex::default(),
            content: Mutex::default(),
            calls: AtomicU64::new(0),
            gate: Semaphore::new(0),
        })
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// Sizes of the batches accepted.
    pub fn taken(&self) -> Vec<usize> {
        self.taken.lock().unwrap().clone()
    }

    /// The requests accepted.
    pub fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let content = self.content.lock().unwrap();
        content.iter().map(|bytes| Message::decode(bytes.clone()).unwrap()).collect()
    }

    /// Spans of the requests accepted.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests().into_iter();
        let resources = requests.flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn release(&self, requests: usize) {
        self.gate.add_permits(requests);
    }
}

#[async_trait::async_trait]
impl Consumer for Recorder {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let behaviour = self.behaviour.lock().unwrap().clone();
        match behaviour {
            Behaviour::Accept => {}
            Behaviour::Refuse(refusal) => return Err(refusal),
            Behaviour::Panic => panic!("as the test wants"),
            Behaviour::Wait => self.gate.acquire().await.unwrap().forget(),
        }
        self.taken.lock().unwrap().push(request.data.items() as usize);
        self.content.lock().unwrap().push(request.data.encoded().joined());
        Ok(())
    }
}

/// A running receiver.
pub struct Server {
    pub addr: SocketAddr,
    pub consumer: Arc<Recorder>,
    pub counters: Arc<ReceiverCounters>,
    pub budget: ByteBudget,
    pub shutdown: CancellationToken,
    pub running: JoinHandle<Drained>,
}

impl Server {
    pub async fn http() -> Self {
        Self::http_with(HttpSettings::default(), ByteBudget::default()).await
    }

    /// OTLP/HTTP that takes requests of so many bytes.
    pub async fn http_limited(request_bytes_max: usize) -> Self {
        let server = ServerSettings { request_bytes_max, ..ServerSettings::default() };
        let settings = HttpSettings { server, ..HttpSettings::default() };
        Self::http_with(settings, ByteBudget::default()).await
    }

    pub async fn http_with(settings: HttpSettings, budget: ByteBudget) -> Self {
        let start = Start::new(budget).await;
        let (budget, counters) = (start.budget.clone(), Arc::clone(&start.counters));
        let consumer: Arc<dyn Consumer> = start.consumer.clone();
        let receiver = HttpReceiver::new(start.listener, settings, budget, consumer, counters);
        let addr = receiver.local_addr().unwrap().tcp().unwrap();
        let running = tokio::spawn(receiver.run(start.shutdown.clone()));
        Self {
            addr,
            consumer: start.consumer,
            counters: start.counters,
            budget: start.budget,
            shutdown: start.shutdown,
            running,
        }
    }

    pub async fn grpc() -> Self {
        Self::grpc_with(ServerSettings::default(), ByteBudget::default()).await
    }

    /// OTLP/gRPC that takes messages of so many bytes.
    pub async fn grpc_limited(request_bytes_max: usize) -> Self {
        let server = ServerSettings { request_bytes_max, ..ServerSettings::default() };
        Self::grpc_with(server, ByteBudget::default()).await
    }

    pub async fn grpc_with(server: ServerSettings, budget: ByteBudget) -> Self {
        let start = Start::new(budget).await;
        let (budget, counters) = (start.budget.clone(), Arc::clone(&start.counters));
        let consumer: Arc<dyn Consumer> = start.consumer.clone();
        let settings = GrpcSettings { server };
        let receiver = GrpcReceiver::new(start.listener, settings, budget, consumer, counters);
        let addr = receiver.local_addr().unwrap().tcp().unwrap();
        let running = tokio::spawn(receiver.run(start.shutdown.clone()));
        Self {
            addr,
            consumer: start.consumer,
            counters: start.counters,
            budget: start.budget,
            shutdown: start.shutdown,
            running,
        }
    }
}

struct Start {
    listener: TcpListener,
    consumer: Arc<Recorder>,
    counters: Arc<ReceiverCounters>,
    budget: ByteBudget,
    shutdown: CancellationToken,
}

impl Start {
    async fn new(budget: ByteBudget) -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            consumer: Recorder::new(),
            counters: Arc::default(),
            budget,
            shutdown: CancellationToken::new(),
        }
    }
}

/// Waits until the condition holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, poll).await.is_ok(), "never: {what}");
}

pub fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// A request of so many valid spans and so many whose trace id is all zeros.
pub fn request(valid: usize, invalid: usize) -> ExportTraceServiceRequest {
    let span = |index: usize, trace_id: [u8; 16]| Span {
        trace_id: trace_id.to_vec(),
        span_id: (index as u64 + 1).to_be_bytes().to_vec(),
        name: format!("span {index}"),
        ..Span::default()
    };
    let spans = (0..valid)
        .map(|index| span(index, [1; 16]))
        .chain((0..invalid).map(|index| span(index, [0; 16])))
        .collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

pub fn protobuf(valid: usize, invalid: usize) -> Vec<u8> {
    request(valid, invalid).encode_to_vec()
}

/// The same in OTLP JSON.
pub fn json(valid: usize, invalid: usize) -> Vec<u8> {
    let span = |index: usize, trace_id: &str| {
        format!(r#"{{"traceId":"{trace_id}","spanId":"{:016x}","name":"x"}}"#, index + 1)
    };
    let spans: Vec<String> = (0..valid)
        .map(|index| span(index, &"01".repeat(16)))
        .chain((0..invalid).map(|index| span(index, &"00".repeat(16))))
        .collect();
    let spans = spans.join(",");
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#).into_bytes()
}

/// A span with so many attributes of which each is an empty message: two bytes to send.
pub fn crowded(attributes: usize) -> Vec<u8> {
    let mut request = request(1, 0);
    let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
    span.attributes = vec![KeyValue::default(); attributes];
    request.encode_to_vec()
}

/// A valid request of exactly so many bytes: an unknown field fills it up.
pub fn padded(bytes: usize) -> Vec<u8> {
    let mut out = protobuf(1, 0);
    // A tag of two bytes and a length of three, which reaches to 2 MiB.
    let fill = bytes - out.len() - 5;
    assert!((1 << 14..1 << 21).contains(&fill), "{bytes}");
    out.extend_from_slice(&[0xfa, 0x7f]);
    out.extend_from_slice(&[fill as u8 | 0x80, (fill >> 7) as u8 | 0x80, (fill >> 14) as u8]);
    out.resize(bytes, 0);
    out
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProtoDuration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Status {
    /// The delay of the `RetryInfo` among the details.
    pub fn retry_delay(&self) -> Option<Duration> {
        let url = "type.googleapis.com/google.rpc.RetryInfo";
        let any = self.details.iter().find(|any| any.type_url == url)?;
        let delay = RetryInfo::decode(&any.value[..]).unwrap().retry_delay.unwrap();
        Some(Duration::new(delay.seconds as u64, delay.nanos as u32))
    }
}

/// Every refusal, with the HTTP status, the gRPC code and the delay that must come of it.
pub fn refusals() -> Vec<(Refusal, u16, i32, Option<Duration>)> {
    let reason = || "the reason".to_owned();
    let retry_after = Duration::from_millis(2500);
    vec![
        (Refusal::Exhausted { reason: reason(), retry_after }, 429, 8, Some(retry_after)),
        (Refusal::Unavailable { reason: reason(), retry_after }, 503, 14, Some(retry_after)),
        (Refusal::Invalid { reason: reason() }, 400, 3, None),
        (Refusal::Internal { reason: reason() }, 500, 13, None),
    ]
}
