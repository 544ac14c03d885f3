//! The receiver `jaeger` over real sockets, in each of its protocols.

use std::net::SocketAddr;
use std::sync::Arc;

use formats::jaeger::{
    otlp_to_post_spans, otlp_to_thrift_batches, otlp_to_thrift_messages, post_spans_to_otlp,
};
use formats::thrift::{Protocol, Writer};
use http::Method;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use pipeline::receivers::ByteBudget;
use prost::Message;
use tokio::net::UdpSocket;

use crate::grpc::framed;
use crate::http_client::{Answer, Client, build, send};
use crate::http_status::{Compress, gzip, zlib, zstd};
use crate::raw::Raw;
use crate::receivers_support::{Receiver, batch, core, diagnosed, request};
use crate::support::{Behaviour, PATIENCE, refusals, until};

const POST_SPANS: &str = "/jaeger.api_v2.CollectorService/PostSpans";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const THRIFT: &str = "application/x-thrift";

/// All protocols, on free ports.
const ALL: &str = "jaeger: {protocols: {
    grpc: {endpoint: '127.0.0.1:0'}, thrift_http: {endpoint: '127.0.0.1:0'},
    thrift_compact: {endpoint: '127.0.0.1:0'}, thrift_binary: {endpoint: '127.0.0.1:0'}}}";

const UDP: [(&str, &str, Protocol); 2] = [
    ("thrift_compact", "udp_thrift_compact", Protocol::Compact),
    ("thrift_binary", "udp_thrift_binary", Protocol::Binary),
];

fn post_spans(spans: usize) -> Vec<u8> {
    otlp_to_post_spans(&batch(spans)).remove(0).to_vec()
}

fn thrift(spans: usize) -> Vec<u8> {
    otlp_to_thrift_batches(&batch(spans), Protocol::Binary).remove(0)
}

fn message(spans: usize, protocol: Protocol) -> Vec<u8> {
    otlp_to_thrift_messages(&batch(spans), protocol).remove(0)
}

/// A batch whose spans have no ids, which none may be without.
fn invalid(spans: usize, valid: usize) -> Vec<u8> {
    let mut writer = Writer::new(Protocol::Binary);
    writer.structure(|batch| {
        batch.struct_field(1, |process| process.binary_field(1, b"shop"));
        let ids: Vec<i64> = (0..spans).map(|_| 0).chain((0..valid).map(|_| 9)).collect();
        batch.structs_field(2, &ids, |span, id| {
            span.i64_field(1, *id);
            span.i64_field(2, 0);
            span.i64_field(3, *id);
            span.i64_field(4, 0);
            span.binary_field(5, b"get");
            span.i32_field(7, 1);
            span.i64_field(8, 1_000_000);
            span.i64_field(9, 1000);
        });
    });
    writer.finish()
}

async fn call(at: SocketAddr, path: &str, more: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
    headers.extend_from_slice(more);
    let request = build(Method::POST, path, &headers, body);
    Client::http2(at).await.send(request).await
}

fn grpc_status(answer: &Answer) -> String {
    let all = answer.trailers.as_ref().unwrap_or(&answer.headers);
    all["grpc-status"].to_str().unwrap().to_owned()
}

async fn post(at: SocketAddr, content_type: &str, more: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut headers = vec![("content-type", content_type)];
    headers.extend_from_slice(more);
    send(at, build(Method::POST, "/api/traces?format=jaeger.thrift", &headers, body)).await
}

async fn datagram(to: SocketAddr, bytes: &[u8]) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(socket.send_to(bytes, to).await.unwrap(), bytes.len());
}

#[tokio::test]
async fn every_protocol_brings_the_same_spans() {
    let expected = core(&[request(0, 3)]);
    let receiver = Receiver::of(ALL).await;
    let answer = call(receiver.at("grpc"), POST_SPANS, &[], framed(0, &post_spans(3))).await;
    assert_eq!((grpc_status(&answer).as_str(), &answer.body[..]), ("0", &framed(0, b"")[..]));
    let mapped = post_spans_to_otlp(&post_spans(3), formats::Limits::default()).unwrap();
    let mapped = ExportTraceServiceRequest::decode(mapped.otlp).unwrap();
    assert_eq!(receiver.consumer.requests(), [mapped], "all that the mapping gives");

    let answer = post(receiver.at("thrift_http"), THRIFT, &[], thrift(3)).await;
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    for (name, _, protocol) in UDP {
        let before = receiver.consumer.calls();
        datagram(receiver.at(name), &message(3, protocol)).await;
        until(name, || receiver.consumer.requests().len() as u64 > before).await;
    }
    let requests = receiver.consumer.requests();
    assert_eq!(requests.len(), 4);
    for one in &requests {
        assert_eq!(core(std::slice::from_ref(one)), expected);
    }
    for transport in ["grpc", "collector_http", "udp_thrift_compact", "udp_thrift_binary"] {
        until(transport, || receiver.spans(transport) == [3, 0, 0]).await;
    }
}

/// Written down from the documentation of Thrift's compact protocol and Jaeger's `agent.thrift`.
#[tokio::test]
async fn a_datagram_by_hand() {
    let mut bytes = b"\x82\x81\x00\x09emitBatch".to_vec();
    // Arguments, batch, process, its name; the spans, of which there is one.
    bytes.extend_from_slice(b"\x1c\x1c\x18\x04shop\x00\x19\x1c");
    bytes.extend_from_slice(b"\x16\x02\x16\x00\x16\x04\x16\x00\x18\x03get\x25\x02");
    bytes.extend_from_slice(b"\x16\x80\x89\x7a\x16\xd0\x0f\x00\x00\x00");
    let receiver = Receiver::of(ALL).await;
    datagram(receiver.at("thrift_compact"), &bytes).await;
    until("it came", || receiver.consumer.calls() == 1).await;
    until("it was taken", || !receiver.consumer.spans().is_empty()).await;
    let expected = (
        "get".to_owned(),
        1u128.to_be_bytes().to_vec(),
        2u64.to_be_bytes().to_vec(),
        1_000_000_000,
        1_001_000_000,
        "shop".to_owned(),
    );
    assert_eq!(core(&receiver.consumer.requests()), [expected]);
}

#[tokio::test]
async fn compressions() {
    let receiver = Receiver::of(ALL).await;
    let codings: [(&str, Compress); 3] = [("gzip", gzip), ("deflate", zlib), ("zstd", zstd)];
    for (name, compress) in codings {
        let body = compress(&thrift(2));
        let answer =
            post(receiver.at("thrift_http"), THRIFT, &[("content-encoding", name)], body).await;
        assert_eq!(answer.status, 202, "{name}");
        let body = framed(1, &compress(&post_spans(2)));
        let answer = call(receiver.at("grpc"), POST_SPANS, &[("grpc-encoding", name)], body).await;
        assert_eq!(grpc_status(&answer), "0", "{name}");
    }
    assert_eq!(receiver.spans("grpc"), [6, 0, 0]);
    assert_eq!(receiver.spans("collector_http"), [6, 0, 0]);
    let at = receiver.at("thrift_http");
    for (name, body, status) in [
        ("br", thrift(1), 415),
        ("gzip", thrift(1), 400),
        ("gzip", gzip(&thrift(1))[..20].to_vec(), 400),
    ] {
        let answer = post(at, THRIFT, &[("content-encoding", name)], body).await;
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
}

#[tokio::test]
async fn what_is_no_batch_is_refused() {
    let receiver = Receiver::of(ALL).await;
    let at = receiver.at("thrift_http");
    for (method, path, content_type, body, status, says) in [
        (Method::POST, "/api/traces", "text/plain", thrift(1), 400, "application/x-thrift"),
        (Method::POST, "/api/traces", THRIFT, b"\xff\xff".to_vec(), 400, "byte"),
        (Method::POST, "/api/traces", THRIFT, thrift(3)[..60].to_vec(), 400, "byte"),
        (Method::POST, "/api/traces", THRIFT, invalid(2, 0), 400, "all 2 spans are invalid"),
        (Method::POST, "/api/spans", THRIFT, thrift(1), 404, "/api/traces"),
        (Method::GET, "/api/traces", "", Vec::new(), 405, "POST"),
    ] {
        let headers = [("content-type", content_type)];
        let answer = send(at, build(method, path, &headers, body)).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{path} {text}");
        assert!(text.contains(says), "{text}");
        assert_eq!(answer.header("allow"), if status == 405 { "POST" } else { "" });
    }
    // The name that was registered for Thrift later.
    let answer = post(at, "application/vnd.apache.thrift.binary", &[], thrift(1)).await;
    assert_eq!(answer.status, 202);
    // What can be taken is, as nobody can be told of a part.
    assert_eq!(post(at, THRIFT, &[], invalid(2, 1)).await.status, 202);
    assert_eq!(receiver.spans("collector_http"), [2, 0, 4]);
    assert_eq!(receiver.failed("collector_http", "undecodable"), 3);

    let at = receiver.at("grpc");
    for (path, body, expected) in [
        (POST_SPANS, framed(0, b"\x0a\xff"), "3"),
        (POST_SPANS, b"\0\0".to_vec(), "3"),
        ("/jaeger.api_v2.SamplingManager/GetSamplingStrategy", framed(0, b""), "12"),
        (HEALTH, framed(0, b"\x0a\x20jaeger.api_v2.CollectorService"), "3"),
        (HEALTH, framed(0, b"\x0a\x1fjaeger.api_v2.CollectorService2"), "5"),
        (HEALTH, framed(0, b"\x0a\x1ejaeger.api_v2.CollectorService"), "0"),
    ] {
        assert_eq!(grpc_status(&call(at, path, &[], body).await), expected, "{path}");
    }
    let answer = send(at, build(Method::POST, "/", &[("content-type", THRIFT)], "")).await;
    assert_eq!(answer.status, 415);
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains("14268"), "{text}");
    assert_eq!(receiver.consumer.calls(), 2);
}

#[tokio::test]
async fn what_the_pipeline_refuses() {
    let receiver = Receiver::of(ALL).await;
    let mut refused = 0;
    for (refusal, status, code, delay) in refusals() {
        receiver.consumer.behave(Behaviour::Refuse(refusal));
        let answer = post(receiver.at("thrift_http"), THRIFT, &[], thrift(2)).await;
        assert_eq!((answer.status, &answer.body[..]), (status, &b"the reason\n"[..]));
        assert_eq!(answer.header("retry-after"), if delay.is_some() { "3" } else { "" });
        let answer = call(receiver.at("grpc"), POST_SPANS, &[], framed(0, &post_spans(2))).await;
        assert_eq!(grpc_status(&answer), code.to_string());
        let details = answer.headers.contains_key("grpc-status-details-bin");
        assert!(details || delay.is_none(), "the delay");
        refused += 2;
        for (name, transport, protocol) in UDP {
            datagram(receiver.at(name), &message(2, protocol)).await;
            until(name, || receiver.spans(transport) == [0, refused, 0]).await;
        }
        assert_eq!(receiver.spans("collector_http"), [0, refused, 0]);
        assert_eq!(receiver.spans("grpc"), [0, refused, 0]);
    }
    receiver.consumer.behave(Behaviour::Panic);
    assert_eq!(post(receiver.at("thrift_http"), THRIFT, &[], thrift(1)).await.status, 500);
    datagram(receiver.at("thrift_compact"), &message(1, Protocol::Compact)).await;
    until("counted", || receiver.failed("udp_thrift_compact", "panicked") == 1).await;
    receiver.consumer.behave(Behaviour::Accept);
    datagram(receiver.at("thrift_compact"), &message(1, Protocol::Compact)).await;
    until("it goes on", || receiver.spans("udp_thrift_compact")[0] == 1).await;
}

#[tokio::test]
async fn limits() {
    let settings = "jaeger: {protocols: {
        grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 1},
        thrift_http: {endpoint: '127.0.0.1:0', max_request_body_size: 1000},
        thrift_compact: {endpoint: '127.0.0.1:0', max_packet_size: 1000}}}";
    let receiver = Receiver::of(settings).await;
    let (small, large) = (thrift(2), thrift(100));
    assert!(small.len() < 1000 && large.len() > 1000 && gzip(&large).len() < 1000);
    let at = receiver.at("thrift_http");
    assert_eq!(post(at, THRIFT, &[], small).await.status, 202);
    assert_eq!(post(at, THRIFT, &[], large.clone()).await.status, 413);
    let answer = post(at, THRIFT, &[("content-encoding", "gzip")], gzip(&large)).await;
    assert_eq!(answer.status, 413, "what it inflates to");
    assert_eq!(receiver.failed("collector_http", "oversize"), 2);
    let body = framed(0, &post_spans(15_000));
    assert!(body.len() > 1 << 20);
    assert_eq!(grpc_status(&call(receiver.at("grpc"), POST_SPANS, &[], body).await), "8");

    let at = receiver.at("thrift_compact");
    for spans in [100, 2] {
        datagram(at, &message(spans, Protocol::Compact)).await;
    }
    until("the smaller came", || receiver.spans("udp_thrift_compact") == [2, 0, 0]).await;
    assert_eq!(receiver.failed("udp_thrift_compact", "oversize"), 1);
}

#[tokio::test]
async fn garbage_in_datagrams_does_no_harm() {
    let receiver = Receiver::of(ALL).await;
    let mut sent = [0; 2];
    for (index, (name, transport, protocol)) in UDP.into_iter().enumerate() {
        let (at, whole) = (receiver.at(name), message(2, protocol));
        let mut bad: Vec<Vec<u8>> = vec![b"".to_vec(), b"\0".to_vec(), vec![0xff; 2000]];
        bad.extend((1..whole.len()).step_by(7).map(|length| whole[..length].to_vec()));
        // The other port's protocol.
        bad.push(message(2, UDP[1 - index].2));
        for bytes in &bad {
            datagram(at, bytes).await;
            sent[index] += 1;
            // Never more than the kernel holds.
            until(name, || receiver.failed(transport, "undecodable") == sent[index]).await;
        }
        datagram(at, &whole).await;
        until("it goes on", || receiver.spans(transport) == [2, 0, 0]).await;
    }
    assert_eq!(receiver.house.graph.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn a_full_queue_drops_and_counts() {
    let settings = "jaeger: {protocols: {thrift_compact: {
        endpoint: '127.0.0.1:0', queue_size: 2, workers: 1, socket_buffer_size: 1000000}}}";
    let receiver = Receiver::of(settings).await;
    let (at, transport) = (receiver.at("thrift_compact"), "udp_thrift_compact");
    receiver.consumer.behave(Behaviour::Wait);
    datagram(at, &message(1, Protocol::Compact)).await;
    until("one is with the pipeline", || receiver.consumer.calls() == 1).await;
    for _ in 0..5 {
        datagram(at, &message(1, Protocol::Compact)).await;
    }
    until("three are dropped", || receiver.failed(transport, "queue_full") == 3).await;
    // At the end those that wait are taken still.
    let consumer = Arc::clone(&receiver.consumer);
    let stop = tokio::spawn(receiver.stop());
    consumer.release(3);
    tokio::time::timeout(PATIENCE, stop).await.unwrap().unwrap();
    assert_eq!(consumer.taken(), [1, 1, 1]);
}

#[tokio::test]
async fn datagrams_without_memory_are_dropped_and_counted() {
    let packet = message(50, Protocol::Compact);
    let budget = ByteBudget::new(packet.len() - 1);
    let settings = "jaeger: {protocols: {thrift_compact: {endpoint: '127.0.0.1:0'}}}";
    let receiver = Receiver::with(settings, "{}", budget.clone()).await;
    datagram(receiver.at("thrift_compact"), &packet).await;
    until("counted", || receiver.failed("udp_thrift_compact", "busy") == 1).await;
    assert_eq!((receiver.consumer.calls(), budget.used()), (0, 0));
}

#[tokio::test]
async fn at_the_end_requests_in_flight_are_answered() {
    let receiver = Receiver::of(ALL).await;
    let consumer = Arc::clone(&receiver.consumer);
    consumer.behave(Behaviour::Wait);
    let (http, grpc) = (receiver.at("thrift_http"), receiver.at("grpc"));
    let posted = tokio::spawn(async move { post(http, THRIFT, &[], thrift(1)).await.status });
    let called = tokio::spawn(async move {
        grpc_status(&call(grpc, POST_SPANS, &[], framed(0, &post_spans(1))).await)
    });
    datagram(receiver.at("thrift_binary"), &message(1, Protocol::Binary)).await;
    until("all are with the pipeline", || consumer.calls() == 3).await;
    let stop = tokio::spawn(receiver.stop());
    let closed = async { while tokio::net::TcpStream::connect(http).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, closed).await.expect("new connections refused");
    consumer.release(3);
    assert_eq!((posted.await.unwrap(), called.await.unwrap().as_str()), (202, "0"));
    tokio::time::timeout(PATIENCE, stop).await.unwrap().unwrap();
    assert_eq!(consumer.taken(), [1, 1, 1]);
}

#[tokio::test]
async fn who_may_not_send_is_told_before_the_body() {
    let settings = "jaeger: {protocols: {
        grpc: {endpoint: '127.0.0.1:0', auth: {authenticator: basicauth}},
        thrift_http: {endpoint: '127.0.0.1:0', auth: {authenticator: basicauth},
            response_headers: {X-Served-By: us}, cors: {allowed_origins: ['https://a.example']}}}}";
    let extensions = "{basicauth: {htpasswd: {inline: 'anna:hunter2'}}}";
    let receiver = Receiver::with(settings, extensions, ByteBudget::default()).await;
    let at = receiver.at("thrift_http");
    let mut raw = Raw::connect(at).await;
    raw.write(
        "POST /api/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-thrift\r\n\
               content-length: 1000000\r\n\r\n",
    )
    .await;
    assert_eq!(raw.status().await, 401);
    let right = ("authorization", "Basic YW5uYTpodW50ZXIy");
    let answer = post(at, THRIFT, &[right, ("origin", "https://a.example")], thrift(1)).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("x-served-by"), "us");
    assert_eq!(answer.header("access-control-allow-origin"), "https://a.example");
    let answer = post(at, THRIFT, &[], thrift(1)).await;
    assert_eq!((answer.status, answer.header("www-authenticate").is_empty()), (401, false));
    for (more, expected) in [(&[][..], "16"), (&[right], "0")] {
        let answer = call(receiver.at("grpc"), POST_SPANS, more, framed(0, &post_spans(1))).await;
        assert_eq!(grpc_status(&answer), expected);
    }
    assert_eq!(receiver.failed("collector_http", "unauthenticated"), 2);
}

#[test]
fn settings() {
    for (settings, says) in [
        ("jaeger:", "must specify at least one protocol when using the Jaeger receiver"),
        ("jaeger: {protocols: {}}", "must specify at least one protocol"),
        ("jaeger: {protocols: {grcp: }}", "grcp"),
        (
            "jaeger: {protocols: {grpc: }, remote_sampling: {endpoint: a}}",
            "has invalid keys: remote_sampling",
        ),
        ("jaeger: {protocols: {grpc: {endpoint: 'a'}}}", "missing port in address"),
        (
            "jaeger: {protocols: {thrift_compact: {endpoint: 'a:1'}, thrift_binary: {endpoint: 'a:1'}}}",
            "the endpoint a:1 twice",
        ),
        ("jaeger: {protocols: {thrift_compact: {queue_size: 0}}}", "queue_size"),
        ("jaeger: {protocols: {thrift_binary: {workers: -1}}}", "workers"),
        ("jaeger: {protocols: {thrift_binary: {max_packet_size: 0}}}", "max_packet_size"),
        ("jaeger: {protocols: {thrift_binary: {socket_buffer_size: x}}}", "socket_buffer_size"),
        ("jaeger: {protocols: {thrift_http: {traces_url_path: /x}}}", "traces_url_path"),
    ] {
        let told = diagnosed(settings);
        assert!(told.contains(says), "{settings}: {told}");
    }
    for settings in [
        "jaeger: {protocols: {grpc: }}",
        "jaeger: {protocols: {grpc: , thrift_http: , thrift_compact: , thrift_binary: }}",
        // TCP and UDP have ports of their own.
        "jaeger: {protocols: {grpc: {endpoint: 'a:1'}, thrift_compact: {endpoint: 'a:1'}}}",
        "jaeger/two: {protocols: {thrift_compact: {queue_size: 5000, workers: 20, socket_buffer_size: 8388608, max_packet_size: 65000}}}",
    ] {
        assert_eq!(diagnosed(settings), "", "{settings}");
    }
}
