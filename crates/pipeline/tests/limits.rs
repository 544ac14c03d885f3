//! Every limit at its edge.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use hyper::body::{Body, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::SpanBatch;
use pipeline::receivers::otlp::HttpSettings;
use pipeline::receivers::{ByteBudget, ServerSettings};
use tokio::net::TcpStream;

use crate::http_client::{Client, JSON, PROTOBUF, build, post, send};
use crate::http_status::{Compress, gzip, raw_deflate, zlib, zstd};
use crate::raw::Raw;
use crate::support::{Behaviour, PATIENCE, Server, count, crowded, json, padded, protobuf, until};

/// One that stays inline and one that goes to the blocking pool.
const LIMITS: [usize; 2] = [100_000, 1_500_000];

const CODINGS: [(&str, Compress); 4] =
    [("gzip", gzip), ("deflate", zlib), ("deflate", raw_deflate), ("zstd", zstd)];

fn with_server(server: ServerSettings) -> HttpSettings {
    HttpSettings { server, ..HttpSettings::default() }
}

#[tokio::test]
async fn request_bytes_max_as_sent() {
    for limit in LIMITS {
        let server = Server::http_limited(limit).await;
        let spaces = |bytes: usize| {
            let mut body = json(1, 0);
            body.resize(bytes, b' ');
            body
        };
        for (content_type, body) in
            [(PROTOBUF, padded as fn(usize) -> Vec<u8>), (JSON, spaces as fn(usize) -> Vec<u8>)]
        {
            let answer = send(server.addr, post(content_type, body(limit))).await;
            assert_eq!(answer.status, 200, "{content_type} {limit}");
            let answer = send(server.addr, post(content_type, body(limit + 1))).await;
            assert_eq!(answer.status, 413, "{content_type} {limit}");
            assert_eq!(answer.header("content-type"), content_type);
            let status = answer.rpc_status();
            assert_eq!(status.code, 8);
            assert!(status.message.contains(&limit.to_string()), "{}", status.message);
        }
        assert_eq!(count(&server.counters.http.oversize_requests), 2);
        assert_eq!(server.budget.used(), 0);
    }
}

#[tokio::test]
async fn request_bytes_max_holds_without_a_content_length() {
    let server = Server::http_limited(100_000).await;
    for (bytes, status) in [(100_000, 200), (100_001, 413)] {
        let mut raw = Raw::connect(server.addr).await;
        raw.head("Transfer-Encoding: chunked\r\n").await;
        for chunk in padded(bytes).chunks(30_000) {
            raw.write(format!("{:x}\r\n", chunk.len())).await;
            raw.write(chunk).await;
            raw.write("\r\n").await;
        }
        raw.write("0\r\n\r\n").await;
        assert_eq!(raw.status().await, status);
    }
}

#[tokio::test]
async fn request_bytes_max_after_decompression() {
    for limit in LIMITS {
        let server = Server::http_limited(limit).await;
        for (coding, compress) in CODINGS {
            let headers = [("content-type", PROTOBUF), ("content-encoding", coding)];
            for (plain, status) in [
                (padded(limit), 200),
                (padded(limit + 1), 413),
                // A bomb: a thousandth of its content, and as much again of the limit.
                (vec![0; 64 << 20], 413),
            ] {
                let request = build(Method::POST, "/v1/traces", &headers, compress(&plain));
                let answer = send(server.addr, request).await;
                let row = format!("{coding} {limit} {}", plain.len());
                assert_eq!(answer.status, status, "{row}: {:?}", answer.body);
                if status == 413 {
                    assert_eq!(answer.rpc_status().code, 8, "{row}");
                }
            }
        }
        assert_eq!(server.budget.used(), 0);
    }
}

#[tokio::test]
async fn decompression_counts_against_the_budget() {
    // Too little for the bomb, were it allowed to grow to the limit.
    let settings = with_server(ServerSettings::default());
    let server = Server::http_with(settings, ByteBudget::new(1 << 20)).await;
    for (coding, compress) in CODINGS {
        let headers = [("content-type", PROTOBUF), ("content-encoding", coding)];
        let bomb = compress(&vec![0; 64 << 20]);
        let answer = send(server.addr, build(Method::POST, "/v1/traces", &headers, bomb)).await;
        assert_eq!(answer.status, 413, "{coding}");
        assert!(answer.rpc_status().message.contains("524288"), "half of the budget");
    }
    assert_eq!(server.budget.used(), 0);
}

#[tokio::test]
async fn decompressed_bytes_are_held_until_the_consumer_answers() {
    for limit in LIMITS {
        let server = Server::http_limited(limit).await;
        server.consumer.behave(Behaviour::Wait);
        let headers = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
        let request = build(Method::POST, "/v1/traces", &headers, gzip(&padded(limit)));
        let held = tokio::spawn(send(server.addr, request));
        until("it is held", || server.consumer.calls() == 1).await;
        assert!((limit..=2 * limit).contains(&server.budget.used()));
        server.consumer.release(1);
        assert_eq!(held.await.unwrap().status, 200);
        assert_eq!(server.budget.used(), 0);
    }
}

#[tokio::test]
async fn a_zstd_window_is_not_allocated_as_announced() {
    let server = Server::http().await;
    let headers = [("content-type", PROTOBUF), ("content-encoding", "zstd")];
    // Magic, no flags, a window of 2^31 bytes, then a raw last block of one byte.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x09, 0x00, 0x00, 0x0a];
    let request = build(Method::POST, "/v1/traces", &headers, frame.to_vec());
    assert_eq!(send(server.addr, request).await.status, 400);
}

#[tokio::test]
async fn bytes_in_flight() {
    let settings = with_server(ServerSettings {
        busy_retry_after: Duration::from_millis(1500),
        ..ServerSettings::default()
    });
    let server = Server::http_with(settings, ByteBudget::new(100_000)).await;
    server.consumer.behave(Behaviour::Wait);
    let held: Vec<_> =
        (0..2).map(|_| tokio::spawn(send(server.addr, post(PROTOBUF, padded(40_000))))).collect();
    until("both are held", || server.consumer.calls() == 2).await;
    let index = SpanBatch::decode(padded(40_000).into()).unwrap().index_bytes();
    assert_eq!(server.budget.used(), 2 * (40_000 + index));

    let answer = send(server.addr, post(PROTOBUF, padded(20_001))).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "2"));
    assert_eq!(answer.rpc_status().code, 8);
    assert_eq!(answer.rpc_status().retry_delay(), Some(Duration::from_millis(1500)));
    assert_eq!(count(&server.counters.http.busy_requests), 1);

    // What is left of the budget can be used to the last byte.
    let left = 100_000 - server.budget.used() - index;
    let edge = tokio::spawn(send(server.addr, post(PROTOBUF, padded(left))));
    until("the third is held", || server.consumer.calls() == 3).await;
    server.consumer.release(3);
    for request in held.into_iter().chain([edge]) {
        assert_eq!(request.await.unwrap().status, 200);
    }
    server.consumer.behave(Behaviour::Accept);
    assert_eq!(server.budget.used(), 0);
    assert_eq!(send(server.addr, post(PROTOBUF, padded(20_001))).await.status, 200);
}

/// Elements without content: a small body whose index is large.
#[tokio::test]
async fn the_index_of_a_request_counts_against_the_budget() {
    let body = crowded(60_000);
    let index = SpanBatch::decode(body.clone().into()).unwrap().index_bytes();
    assert!(index > 10 * body.len(), "{index} for {}", body.len());
    let gzipped = gzip(&body);
    let headers = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
    let request = || build(Method::POST, "/v1/traces", &headers, gzipped.clone());

    // Room for two, and not for a third.
    let bytes_max = 2 * (body.len() + index) + index;
    let server = Server::http_with(HttpSettings::default(), ByteBudget::new(bytes_max)).await;
    server.consumer.behave(Behaviour::Wait);
    let held: Vec<_> = (0..2).map(|_| tokio::spawn(send(server.addr, request()))).collect();
    until("both are held", || server.consumer.calls() == 2).await;
    assert!(server.budget.used() >= 2 * (body.len() + index));
    let answer = send(server.addr, request()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
    server.consumer.release(2);
    for request in held {
        assert_eq!(request.await.unwrap().status, 200);
    }
    assert_eq!(server.budget.used(), 0);

    // Never any room: to come again would not help.
    let server = Server::http_with(HttpSettings::default(), ByteBudget::new(index)).await;
    let answer = send(server.addr, request()).await;
    assert_eq!(answer.status, 413);
    let message = answer.rpc_status().message;
    assert!(message.contains(&index.to_string()), "{message}");
    assert_eq!((server.consumer.calls(), server.budget.used()), (0, 0));
}

#[tokio::test]
async fn an_announcement_alone_blocks_nobody() {
    let server = Server::http_with(HttpSettings::default(), ByteBudget::new(100_000)).await;
    let mut raw = Raw::connect(server.addr).await;
    raw.head("Content-Length: 50000\r\n").await;
    raw.write([0; 10]).await;
    until("its first bytes are read", || server.budget.used() > 0).await;
    assert!(server.budget.used() < 1000);
    assert_eq!(send(server.addr, post(PROTOBUF, padded(50_000))).await.status, 200);
}

#[tokio::test]
async fn body_timeout() {
    let server =
        ServerSettings { body_timeout: Duration::from_millis(50), ..ServerSettings::default() };
    let server = Server::http_with(with_server(server), ByteBudget::default()).await;
    let mut raw = Raw::connect(server.addr).await;
    raw.head("Content-Length: 1000\r\n").await;
    raw.write([0; 10]).await;
    assert_eq!(raw.status().await, 408);
    raw.closed().await;
    assert_eq!(count(&server.counters.http.slow_requests), 1);
    assert_eq!(server.budget.used(), 0);
}

/// One frame, then nothing for ever.
struct Stalled(Option<Bytes>);

impl Body for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => Poll::Pending,
        }
    }
}

#[tokio::test]
async fn body_timeout_of_grpc() {
    let server =
        ServerSettings { body_timeout: Duration::from_millis(50), ..ServerSettings::default() };
    let server = Server::grpc_with(server, ByteBudget::default()).await;
    let io = TokioIo::new(TcpStream::connect(server.addr).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::post("http://x/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            .header("content-type", "application/grpc")
            .body(Stalled(Some(Bytes::from_static(b"\0\0\0\0\x10abc"))))
            .unwrap();
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
    let answer = answer.expect("an answer in time").unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
    assert_eq!(count(&server.counters.grpc.slow_requests), 1);
}

#[tokio::test]
async fn head_timeout() {
    let server =
        ServerSettings { head_timeout: Duration::from_millis(50), ..ServerSettings::default() };
    let server = Server::http_with(with_server(server), ByteBudget::default()).await;
    for begin in ["", "P", "POST /v1/traces HTTP/1.1\r\nHost:", "PRI * HTT"] {
        let mut raw = Raw::connect(server.addr).await;
        raw.write(begin).await;
        raw.closed().await;
    }
    // Idle after a request.
    let mut raw = Raw::connect(server.addr).await;
    raw.head("Content-Length: 0\r\n").await;
    assert_eq!(raw.status().await, 200);
    raw.closed().await;
    until("all are closed", || count(&server.counters.http.connections.open) == 0).await;
}

#[tokio::test]
async fn connections_max() {
    let server = ServerSettings { connections_max: 1, ..ServerSettings::default() };
    let server = Server::http_with(with_server(server), ByteBudget::default()).await;
    let mut first = Client::http1(server.addr).await;
    assert_eq!(first.send(post(PROTOBUF, protobuf(1, 0))).await.status, 200);
    // Told without having asked, and closed.
    for refused in 1..=3 {
        let mut second = Raw::connect(server.addr).await;
        assert_eq!(second.status().await, 503);
        second.closed().await;
        assert_eq!(count(&server.counters.http.connections.refused), refused);
    }
    assert_eq!(first.send(post(PROTOBUF, protobuf(1, 0))).await.status, 200);
    assert_eq!(count(&server.counters.http.connections.open), 1);
    drop(first);
    until("there is room", || count(&server.counters.http.connections.open) == 0).await;
    assert_eq!(send(server.addr, post(PROTOBUF, protobuf(1, 0))).await.status, 200);
}
