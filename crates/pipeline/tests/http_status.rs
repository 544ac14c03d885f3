//! The specification's statuses, row by row, in both encodings.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::Method;

use crate::http_client::{Answer, Client, JSON, PROTOBUF, build, post, send};
use crate::support::{Behaviour, Server, count, json, protobuf, refusals};

pub type Compress = fn(&[u8]) -> Vec<u8>;

pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub fn raw_deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A block.
fn snappy(data: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(data).unwrap()
}

pub fn snappy_framed(data: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(data).unwrap();
    encoder.into_inner().unwrap()
}

fn lz4(data: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).unwrap()
}

/// Bodies in one of the encodings.
fn bodies(content_type: &str) -> impl Fn(usize, usize) -> Vec<u8> + use<> {
    if content_type.starts_with(JSON) { json } else { protobuf }
}

#[tokio::test]
async fn successes() {
    for (content_type, answered) in [
        (PROTOBUF, PROTOBUF),
        ("Application/X-Protobuf", PROTOBUF),
        ("application/protobuf", "application/protobuf"),
        (JSON, JSON),
        ("application/json; charset=utf-8", JSON),
        ("application/json;charset=UTF-8", JSON),
    ] {
        let body = bodies(answered);
        // Valid spans, invalid spans, batches that the consumer must see.
        for (valid, invalid, taken) in [(3, 0, &[3][..]), (3, 2, &[3]), (0, 2, &[]), (0, 0, &[])] {
            let server = Server::http().await;
            let answer = send(server.addr, post(content_type, body(valid, invalid))).await;
            let row = format!("{content_type}, {valid} and {invalid}");
            assert_eq!(answer.status, 200, "{row}: {:?}", answer.body);
            assert_eq!(answer.header("content-type"), answered, "{row}");
            assert_eq!(server.consumer.taken(), taken, "{row}");
            match answer.partial_success() {
                None => assert_eq!(invalid, 0, "{row}"),
                Some((spans, reason)) => {
                    assert_eq!(spans, invalid as i64, "{row}");
                    assert!(reason.contains("trace id"), "{row}: {reason}");
                }
            }
            assert_eq!(count(&server.counters.http.accepted_spans), valid as u64, "{row}");
            assert_eq!(count(&server.counters.http.rejected_spans), invalid as u64, "{row}");
            assert_eq!(server.budget.used(), 0, "{row}");
        }
    }
}

#[tokio::test]
async fn an_empty_body_is_an_empty_request() {
    let server = Server::http().await;
    let answer = send(server.addr, post(PROTOBUF, "")).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(send(server.addr, post(JSON, "{}")).await.body, "{}");
    assert_eq!(server.consumer.calls(), 0);
}

#[tokio::test]
async fn content_codings() {
    let server = Server::http().await;
    for content_type in [PROTOBUF, JSON] {
        let plain = bodies(content_type)(2, 0);
        let twice = [gzip(&plain[..10]), gzip(&plain[10..])].concat();
        let frames = [zstd(&plain[..10]), zstd(&plain[10..])].concat();
        for (coding, body, expected) in [
            ("identity", plain.clone(), 200),
            ("gzip", gzip(&plain), 200),
            ("GZIP", gzip(&plain), 200),
            ("x-gzip", gzip(&plain), 200),
            ("gzip", twice, 200),
            ("deflate", zlib(&plain), 200),
            ("deflate", raw_deflate(&plain), 200),
            ("zstd", zstd(&plain), 200),
            ("zstd", frames, 200),
            ("snappy", snappy(&plain), 200),
            // Of Collectors that are older.
            ("snappy", snappy_framed(&plain), 200),
            ("x-snappy-framed", snappy_framed(&plain), 200),
            ("lz4", lz4(&plain), 200),
            ("gzip, identity", gzip(&plain), 200),
            ("br", plain.clone(), 415),
            ("gzip, gzip", gzip(&gzip(&plain)), 415),
            ("gzip", plain.clone(), 400),
            ("gzip", gzip(&plain)[..30].to_vec(), 400),
            ("gzip", b"".to_vec(), 400),
            ("deflate", zlib(&plain)[..20].to_vec(), 400),
            ("deflate", raw_deflate(&plain)[..20].to_vec(), 400),
            ("deflate", [zlib(&plain), b"more".to_vec()].concat(), 400),
            ("zstd", plain.clone(), 400),
            ("zstd", zstd(&plain)[..20].to_vec(), 400),
            ("snappy", snappy(&plain)[..20].to_vec(), 400),
            ("snappy", b"".to_vec(), 400),
            ("x-snappy-framed", snappy(&plain), 400),
            ("x-snappy-framed", snappy_framed(&plain)[..20].to_vec(), 400),
            ("lz4", plain.clone(), 400),
            ("lz4", lz4(&plain)[..20].to_vec(), 400),
        ] {
            let headers = [("content-type", content_type), ("content-encoding", coding)];
            let request = build(Method::POST, "/v1/traces", &headers, body);
            let answer = send(server.addr, request).await;
            let row = format!("{content_type} {coding}: {:?}", answer.body);
            assert_eq!(answer.status, expected, "{row}");
            assert_eq!(answer.header("content-type"), content_type, "{row}");
            if expected != 200 {
                assert_eq!(answer.rpc_status().code, 3, "{row}");
            }
            if expected == 415 {
                let all = "gzip, deflate, zstd, snappy, x-snappy-framed, lz4, identity";
                assert_eq!(answer.header("accept-encoding"), all, "{row}");
                assert!(answer.rpc_status().message.contains(all), "{row}");
            }
        }
    }
    assert_eq!(server.consumer.taken(), vec![2; 28]);
    assert_eq!(server.budget.used(), 0);
}

#[tokio::test]
async fn two_content_encoding_headers_are_two_codings() {
    let server = Server::http().await;
    let headers =
        [("content-type", PROTOBUF), ("content-encoding", "gzip"), ("content-encoding", "gzip")];
    let body = gzip(&gzip(&protobuf(1, 0)));
    let answer = send(server.addr, build(Method::POST, "/v1/traces", &headers, body)).await;
    assert_eq!(answer.status, 415);
}

#[tokio::test]
async fn refusals_before_the_body() {
    let server = Server::http().await;
    let traces = "/v1/traces";
    for (method, path, content_type, status, answered, says) in [
        (Method::GET, traces, None, 405, JSON, "POST"),
        (Method::GET, traces, Some(PROTOBUF), 405, PROTOBUF, "POST"),
        (Method::PUT, traces, Some(JSON), 405, JSON, "POST"),
        (Method::DELETE, traces, Some(PROTOBUF), 405, PROTOBUF, "POST"),
        (Method::POST, traces, None, 415, JSON, "application/x-protobuf"),
        (Method::POST, traces, Some("text/plain"), 415, JSON, "application/json"),
        (Method::POST, traces, Some("application/jsonp"), 415, JSON, "application/json"),
        (Method::POST, traces, Some(""), 415, JSON, "application/json"),
        (Method::POST, "/v1/metrics", Some(PROTOBUF), 404, PROTOBUF, "traces only"),
        (Method::POST, "/v1/logs", Some(JSON), 404, JSON, "traces only"),
        (Method::POST, "/v1development/profiles", Some(JSON), 404, JSON, "traces only"),
        (Method::POST, "/v1/traces/", Some(JSON), 404, JSON, "/v1/traces"),
        (Method::POST, "/", Some(PROTOBUF), 404, PROTOBUF, "/v1/traces"),
        (Method::GET, "/", None, 404, JSON, "/v1/traces"),
    ] {
        let headers: Vec<_> =
            content_type.map(|value| ("content-type", value)).into_iter().collect();
        let answer = send(server.addr, build(method.clone(), path, &headers, protobuf(1, 0))).await;
        let row = format!("{method} {path} {content_type:?}");
        assert_eq!(answer.status, status, "{row}");
        assert_eq!(answer.header("content-type"), answered, "{row}");
        let message = answer.rpc_status().message;
        assert!(message.contains(says), "{row}: {message}");
        assert_eq!(answer.header("allow"), if status == 405 { "POST" } else { "" }, "{row}");
    }
    assert_eq!(server.consumer.calls(), 0);
}

#[tokio::test]
async fn head_and_options_have_no_body() {
    let server = Server::http().await;
    for (method, status) in [(Method::HEAD, 405), (Method::OPTIONS, 204)] {
        let answer = send(server.addr, build(method, "/v1/traces", &[], "")).await;
        assert_eq!((answer.status, answer.header("allow")), (status, "POST"));
        assert!(answer.body.is_empty());
    }
}

#[tokio::test]
async fn grpc_on_the_http_port_is_told_so() {
    let server = Server::http().await;
    let mut client = Client::http2(server.addr).await;
    let answer = client.send(post("application/grpc", &b"\0\0\0\0\0"[..])).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "12"));
    assert!(answer.header("grpc-message").contains("4317"));
}

#[tokio::test]
async fn bad_data() {
    let server = Server::http().await;
    for (content_type, body) in [
        (PROTOBUF, &b"\x0a\xff"[..]),
        (PROTOBUF, b"{}"),
        (JSON, b"{"),
        (JSON, b"\x0a\x00"),
        (JSON, b""),
    ] {
        let answer = send(server.addr, post(content_type, body)).await;
        assert_eq!(answer.status, 400, "{body:?}");
        assert_eq!(answer.header("content-type"), content_type);
        assert_eq!(answer.rpc_status().code, 3);
        assert!(!answer.rpc_status().message.is_empty());
        // The specification asks for a BadRequest among the details.
        let text = String::from_utf8_lossy(&answer.body);
        assert!(text.contains("type.googleapis.com/google.rpc.BadRequest"), "{text}");
    }
    assert_eq!(count(&server.counters.http.undecodable_requests), 5);
    assert_eq!(server.consumer.calls(), 0);
}

#[tokio::test]
async fn what_the_consumer_refuses() {
    let server = Server::http().await;
    for content_type in [PROTOBUF, JSON] {
        for (refusal, status, code, delay) in refusals() {
            server.consumer.behave(Behaviour::Refuse(refusal));
            let answer = send(server.addr, post(content_type, bodies(content_type)(2, 1))).await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("content-type"), content_type);
            // 2.5 s in whole seconds, upwards.
            assert_eq!(answer.header("retry-after"), if delay.is_some() { "3" } else { "" });
            let rpc_status = answer.rpc_status();
            assert_eq!((rpc_status.code, &rpc_status.message[..]), (code, "the reason"));
            if content_type == PROTOBUF {
                assert_eq!(rpc_status.retry_delay(), delay);
            } else if delay.is_some() {
                let text = String::from_utf8_lossy(&answer.body);
                assert!(text.contains(r#""retryDelay":"2.500000000s""#), "{text}");
            }
        }
    }
    assert_eq!(count(&server.counters.http.refused_spans), 16);
    // They will come again and must not be counted twice.
    assert_eq!(count(&server.counters.http.rejected_spans), 0);
}

#[tokio::test]
async fn a_delay_under_a_second_still_asks_for_one() {
    let server = Server::http().await;
    let retry_after = std::time::Duration::ZERO;
    let refusal = pipeline::Refusal::Exhausted { reason: "full".into(), retry_after };
    server.consumer.behave(Behaviour::Refuse(refusal));
    let answer: Answer = send(server.addr, post(PROTOBUF, protobuf(1, 0))).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_connection_lives() {
    let server = Server::http().await;
    for mut client in [Client::http1(server.addr).await, Client::http2(server.addr).await] {
        server.consumer.behave(Behaviour::Panic);
        let answer = client.send(post(PROTOBUF, protobuf(1, 0))).await;
        assert_eq!((answer.status, answer.rpc_status().code), (500, 13));
        server.consumer.behave(Behaviour::Accept);
        assert_eq!(client.send(post(PROTOBUF, protobuf(1, 0))).await.status, 200);
    }
    assert_eq!(count(&server.counters.http.panicked_requests), 2);
}
