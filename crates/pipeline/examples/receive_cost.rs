//! What receiving and decoding cost: CPU seconds of the server per million spans.
//!
//! ```text
//! cargo run --release -p pipeline --example receive_cost -- http|grpc [requests] [gzip]
//! ```
//!
//! Starts itself a second time as the client, so that only the server's time is counted.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::SpanBatch;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pipeline::receivers::otlp::{GrpcReceiver, GrpcSettings, HttpReceiver, HttpSettings};
use pipeline::receivers::{ByteBudget, ReceiverCounters};
use pipeline::{Consumer, Refusal, Request};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

// What the binary uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPANS: usize = 512;
const CONNECTIONS: usize = 4;

struct Nothing;

#[async_trait::async_trait]
impl Consumer for Nothing {
    async fn consume(&self, _: Request) -> Result<(), Refusal> {
        Ok(())
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let transport = arguments.first().map_or("http", String::as_str);
    let requests = arguments.get(1).map_or(8000, |count| count.parse().expect("a number"));
    let gzip = arguments.get(2).is_some_and(|coding| coding == "gzip");
    match arguments.get(3) {
        Some(addr) => send(transport, requests, gzip, addr.parse().expect("an address")).await,
        None => serve(transport, requests, gzip).await,
    }
}

async fn serve(transport: &str, requests: usize, gzip: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address").to_string();
    let counters = Arc::new(ReceiverCounters::default());
    let (budget, counted) = (ByteBudget::default(), Arc::clone(&counters));
    if transport == "grpc" {
        let settings = GrpcSettings::default();
        let receiver = GrpcReceiver::new(listener, settings, budget, Arc::new(Nothing), counted);
        tokio::spawn(receiver.run(CancellationToken::new()));
    } else {
        let settings = HttpSettings::default();
        let receiver = HttpReceiver::new(listener, settings, budget, Arc::new(Nothing), counted);
        tokio::spawn(receiver.run(CancellationToken::new()));
    }
    let before = cpu_seconds();
    let coding = if gzip { "gzip" } else { "identity" };
    let mut client = Command::new(std::env::current_exe().expect("this program"))
        .args([transport, &requests.to_string(), coding, &addr])
        .stdin(Stdio::null())
        .spawn()
        .expect("a client");
    let waited = tokio::task::spawn_blocking(move || client.wait());
    assert!(waited.await.expect("no panic").expect("a status").success());
    let after = cpu_seconds();
    let counters = if transport == "grpc" { &counters.grpc } else { &counters.http };
    let spans = counters.accepted_spans.load(Ordering::Relaxed);
    assert_eq!(spans, (requests * SPANS) as u64);
    let cost = |index: usize| (after[index] - before[index]) * 1e6 / spans as f64;
    let (user, system) = (cost(0), cost(1));
    let sum = user + system;
    let decoding = decoding_cost();
    println!("{transport} {coding}: {sum:.3} CPU s per million spans");
    println!("of which user time: {user:.3}; decoding alone, in a loop: {decoding:.3}");
}

/// CPU seconds per million spans of `SpanBatch::decode`, which is no business of this crate.
fn decoding_cost() -> f64 {
    const ROUNDS: usize = 4000;
    let message = bytes::Bytes::from(request().encode_to_vec());
    let [before, _] = cpu_seconds();
    for _ in 0..ROUNDS {
        let batch = SpanBatch::decode(std::hint::black_box(message.clone())).expect("a request");
        std::hint::black_box(batch);
    }
    let [after, _] = cpu_seconds();
    (after - before) * 1e6 / (ROUNDS * SPANS) as f64
}

/// User and system time of this process, counted in the kernel's ticks of 10 ms.
fn cpu_seconds() -> [f64; 2] {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split(' ').collect();
    let seconds = |index: usize| fields[index].parse::<f64>().expect("a number") / 100.0;
    [seconds(12), seconds(13)]
}

async fn send(transport: &str, requests: usize, gzip: bool, addr: SocketAddr) {
    let mut message = request().encode_to_vec();
    eprintln!("{} bytes a request", message.len());
    if gzip {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&message).expect("memory");
        message = encoder.finish().expect("memory");
    }
    let grpc = transport == "grpc";
    let (content_type, coding, path) = if grpc {
        let mut framed = vec![u8::from(gzip)];
        framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
        framed.append(&mut message);
        message = framed;
        let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        ("application/grpc", "grpc-encoding", path)
    } else {
        ("application/x-protobuf", "content-encoding", "/v1/traces")
    };
    let body = bytes::Bytes::from(message);
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|index| {
            let body = body.clone();
            let requests = (requests + index) / CONNECTIONS;
            tokio::spawn(async move {
                let io = TokioIo::new(TcpStream::connect(addr).await.expect("a connection"));
                let build = || {
                    http::Request::post(format!("http://{addr}{path}"))
                        .header("content-type", content_type)
                        .header(coding, if gzip { "gzip" } else { "identity" })
                        .body(Full::new(body.clone()))
                        .expect("a request")
                };
                if grpc {
                    let handshake = http2::handshake(TokioExecutor::new(), io).await;
                    let (mut sender, connection) = handshake.expect("HTTP/2");
                    tokio::spawn(connection);
                    for _ in 0..requests {
                        let answer = sender.send_request(build()).await.expect("an answer");
                        answer.into_body().collect().await.expect("a whole answer");
                    }
                } else {
                    let (mut sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
                    tokio::spawn(connection);
                    for _ in 0..requests {
                        let answer = sender.send_request(build()).await.expect("an answer");
                        assert_eq!(answer.status(), 200);
                        answer.into_body().collect().await.expect("a whole answer");
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("no panic");
    }
}

/// 512 spans of 12 attributes, about 200 KB.
fn request() -> ExportTraceServiceRequest {
    let attribute = |index: usize, span: usize| KeyValue {
        key: format!("attribute.{index:02}"),
        value: Some(AnyValue {
            value: Some(match index % 3 {
                0 => any_value::Value::IntValue((span * index) as i64),
                _ => any_value::Value::StringValue(format!("value {}", span % 50)),
            }),
        }),
        ..KeyValue::default()
    };
    let span = |index: usize| Span {
        trace_id: ((index as u128 / 8 + 1) << 64).to_be_bytes().to_vec(),
        span_id: (index as u64 + 1).to_be_bytes().to_vec(),
        parent_span_id: (index as u64 / 2 + 1).to_be_bytes().to_vec(),
        name: format!("GET /products/{}", index % 20),
        kind: 2,
        start_time_unix_nano: 1_760_000_000_000_000_000,
        end_time_unix_nano: 1_760_000_000_001_000_000,
        attributes: (0..12).map(|attribute_index| attribute(attribute_index, index)).collect(),
        ..Span::default()
    };
    let spans = (0..SPANS).map(span).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}
