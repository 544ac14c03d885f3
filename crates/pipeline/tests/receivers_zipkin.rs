//! The receiver `zipkin` over real sockets, in each of its encodings.

use std::net::SocketAddr;
use std::sync::Arc;

use formats::zipkin::{otlp_to_proto, write_json};
use http::Method;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use pipeline::receivers::ByteBudget;

use crate::http_client::{Answer, Client, build, send};
use crate::http_status::{Compress, gzip, raw_deflate, zlib, zstd};
use crate::raw::Raw;
use crate::receivers_support::{Receiver, batch, core, diagnosed, request};
use crate::support::{Behaviour, PATIENCE, refusals, until};

const SETTINGS: &str = "zipkin: {endpoint: '127.0.0.1:0'}";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const THRIFT: &str = "application/x-thrift";
const V1: &str = "/api/v1/spans";
const V2: &str = "/api/v2/spans";

fn json(spans: usize) -> Vec<u8> {
    let mut out = Vec::new();
    write_json(&mut out, &batch(spans));
    out
}

fn proto(spans: usize) -> Vec<u8> {
    otlp_to_proto(&batch(spans), "unknown")
}

const V1_JSON: &str = r#"[{"traceId":"7","id":"5","name":"get","timestamp":1000000,"duration":1000,
    "annotations":[{"timestamp":1000000,"value":"sr","endpoint":{"serviceName":"shop"}},
                   {"timestamp":1001000,"value":"ss","endpoint":{"serviceName":"shop"}}],
    "binaryAnnotations":[{"key":"items","value":"12","endpoint":{"serviceName":"shop"}}]}]"#;

/// A list of one span, from `zipkinCore.thrift`: trace id 7, name "get", id 5, timestamp 1 s,
/// duration 1 ms, and a binary annotation "lc" that tells its service.
fn v1_thrift() -> Vec<u8> {
    let mut out = b"\x0c\0\0\0\x01".to_vec();
    let i64_field = |out: &mut Vec<u8>, id: u8, value: i64| {
        out.extend_from_slice(&[10, 0, id]);
        out.extend_from_slice(&value.to_be_bytes());
    };
    i64_field(&mut out, 1, 7);
    out.extend_from_slice(b"\x0b\0\x03\0\0\0\x03get");
    i64_field(&mut out, 4, 5);
    out.extend_from_slice(b"\x0f\0\x08\x0c\0\0\0\x01");
    out.extend_from_slice(b"\x0b\0\x01\0\0\0\x02lc\x0b\0\x02\0\0\0\x03job\x08\0\x03\0\0\0\x06");
    out.extend_from_slice(b"\x0c\0\x04\x0b\0\x03\0\0\0\x04shop\0\0");
    i64_field(&mut out, 10, 1_000_000);
    i64_field(&mut out, 11, 1000);
    out.push(0);
    out
}

async fn post(
    at: SocketAddr,
    path: &str,
    content_type: &str,
    more: &[(&str, &str)],
    body: impl Into<bytes::Bytes>,
) -> Answer {
    let mut headers = vec![("content-type", content_type)];
    headers.extend_from_slice(more);
    headers.retain(|(_, value)| !value.is_empty());
    send(at, build(Method::POST, path, &headers, body)).await
}

#[tokio::test]
async fn every_encoding_at_every_path() {
    for (path, content_type, body, transport) in [
        (V2, JSON, json(3), "http_v2_json"),
        (V2, "application/json; charset=utf-8", json(3), "http_v2_json"),
        (V2, "text/plain", json(3), "http_v2_json"),
        (V2, "", json(3), "http_v2_json"),
        ("/zipkin/api/v2/spans", JSON, json(3), "http_v2_json"),
        ("/", JSON, json(3), "http_v2_json"),
        (V2, PROTOBUF, proto(3), "http_v2_proto"),
        (V2, "Application/X-Protobuf", proto(3), "http_v2_proto"),
    ] {
        let receiver = Receiver::of(SETTINGS).await;
        let answer = post(receiver.at(""), path, content_type, &[], body).await;
        let row = format!("{path} {content_type}");
        assert_eq!((answer.status, answer.body.len()), (202, 0), "{row}");
        assert_eq!(core(&receiver.consumer.requests()), core(&[request(0, 3)]), "{row}");
        assert_eq!(receiver.spans(transport), [3, 0, 0], "{row}");
    }
    let expected = (
        "get".to_owned(),
        7u128.to_be_bytes().to_vec(),
        5u64.to_be_bytes().to_vec(),
        1_000_000_000,
        1_001_000_000,
        "shop".to_owned(),
    );
    for (path, content_type, body, transport) in [
        (V1, JSON, V1_JSON.into(), "http_v1_json"),
        ("/prefix/api/v1/spans", JSON, V1_JSON.into(), "http_v1_json"),
        (V1, THRIFT, v1_thrift(), "http_v1_thrift"),
    ] {
        let receiver = Receiver::of(SETTINGS).await;
        let answer = post(receiver.at(""), path, content_type, &[], body).await;
        let row = format!("{path} {content_type}");
        assert_eq!(answer.status, 202, "{row} {:?}", answer.body);
        assert_eq!(
            core(&receiver.consumer.requests())[..],
            *std::slice::from_ref(&expected),
            "{row}"
        );
        assert_eq!(receiver.spans(transport), [1, 0, 0], "{row}");
    }
}

#[tokio::test]
async fn tags_are_text_unless_asked_otherwise() {
    let span = r#"[{"traceId":"7","id":"5","tags":{"items":"12","fresh":"true","name":"x"}}]"#;
    let text = |text: &str| Value::StringValue(text.to_owned());
    for (parse, expected) in [
        (false, [("fresh", text("true")), ("items", text("12")), ("name", text("x"))]),
        (
            true,
            [
                ("fresh", Value::BoolValue(true)),
                ("items", Value::IntValue(12)),
                ("name", text("x")),
            ],
        ),
    ] {
        let settings = format!("zipkin: {{endpoint: '127.0.0.1:0', parse_string_tags: {parse}}}");
        let receiver = Receiver::of(&settings).await;
        assert_eq!(post(receiver.at(""), V2, JSON, &[], span).await.status, 202);
        let attributes = receiver.consumer.spans().remove(0).attributes;
        for (key, value) in expected {
            let found = attributes.iter().find(|own| own.key == key).unwrap();
            assert_eq!(found.value.clone().unwrap().value, Some(value), "{parse} {key}");
        }
    }
}

#[tokio::test]
async fn compressions() {
    let receiver = Receiver::of(SETTINGS).await;
    let at = receiver.at("");
    let codings: [(&str, Compress); 4] =
        [("gzip", gzip), ("deflate", zlib), ("deflate", raw_deflate), ("zstd", zstd)];
    for (name, compress) in codings {
        for (content_type, body) in [(JSON, json(2)), (PROTOBUF, proto(2))] {
            let headers = [("content-encoding", name)];
            let answer = post(at, V2, content_type, &headers, compress(&body)).await;
            assert_eq!(answer.status, 202, "{name} {content_type}");
        }
    }
    assert_eq!(receiver.spans("http_v2_json"), [8, 0, 0]);
    for (name, body, status) in
        [("br", json(1), 415), ("gzip", json(1), 400), ("gzip", gzip(&json(1))[..20].to_vec(), 400)]
    {
        let answer = post(at, V2, JSON, &[("content-encoding", name)], body).await;
        assert_eq!(answer.status, status, "{name}");
    }
}

#[tokio::test]
async fn what_is_no_list_of_spans_is_refused_in_words() {
    let receiver = Receiver::of(SETTINGS).await;
    let at = receiver.at("");
    for (path, content_type, body, says) in [
        (V2, JSON, &b""[..], "byte"),
        (V2, JSON, b"{}", "a list of Zipkin spans"),
        (V2, JSON, b"[{\"traceId\":\"7\",\"id\":\"5\"}", "byte"),
        (V2, JSON, b"[{\"traceId\":\"x\",\"id\":\"5\"}]", "all 1 spans are invalid"),
        (V2, JSON, b"[{\"traceId\":\"0\",\"id\":\"5\"},{}]", "all 2 spans are invalid"),
        (V2, PROTOBUF, b"\x0a\xff", "not a list of Zipkin spans"),
        (V1, JSON, b"[1]", "byte"),
        (V1, THRIFT, b"\x0c\xff\xff\xff\xff", "byte"),
        (V1, THRIFT, b"", "byte"),
    ] {
        let answer = post(at, path, content_type, &[], body).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 400, "{path} {content_type} {body:?}");
        assert!(text.contains(says) && text.ends_with('\n'), "{text}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
    assert_eq!(receiver.consumer.calls(), 0);
    // Nothing to take, and nothing wrong with it; a part that is right.
    assert_eq!(post(at, V2, JSON, &[], "[]").await.status, 202);
    assert_eq!(post(at, V2, PROTOBUF, &[], "").await.status, 202);
    assert_eq!(receiver.consumer.calls(), 0);
    let half = r#"[{"traceId":"x","id":"5"},{"traceId":"7","id":"5","name":"a"}]"#;
    assert_eq!(post(at, V2, JSON, &[], half).await.status, 202);
    assert_eq!(receiver.names(), ["a"]);
    assert_eq!(receiver.spans("http_v2_json"), [1, 0, 4]);
    assert_eq!(receiver.failed("http_v2_json", "undecodable"), 5);
    assert_eq!(receiver.failed("http_v1_thrift", "undecodable"), 2);
    for (method, status) in [(Method::GET, 405), (Method::PUT, 405), (Method::OPTIONS, 204)] {
        let answer = send(at, build(method, V2, &[], "")).await;
        assert_eq!((answer.status, answer.header("allow")), (status, "POST"));
    }
}

#[tokio::test]
async fn what_the_pipeline_refuses() {
    let receiver = Receiver::of(SETTINGS).await;
    let at = receiver.at("");
    for (refusal, status, _, delay) in refusals() {
        receiver.consumer.behave(Behaviour::Refuse(refusal));
        for (path, content_type, body) in [
            (V2, JSON, json(1)),
            (V2, PROTOBUF, proto(1)),
            (V1, JSON, V1_JSON.into()),
            (V1, THRIFT, v1_thrift()),
        ] {
            let answer = post(at, path, content_type, &[], body).await;
            assert_eq!((answer.status, &answer.body[..]), (status, &b"the reason\n"[..]));
            assert_eq!(answer.header("retry-after"), if delay.is_some() { "3" } else { "" });
        }
    }
    for transport in ["http_v2_json", "http_v2_proto", "http_v1_json", "http_v1_thrift"] {
        assert_eq!(receiver.spans(transport), [0, 4, 0], "{transport}");
    }
    receiver.consumer.behave(Behaviour::Panic);
    assert_eq!(post(at, V2, JSON, &[], json(1)).await.status, 500);
}

#[tokio::test]
async fn limits_and_the_budget() {
    let budget = ByteBudget::new(100_000);
    let settings = "zipkin: {endpoint: '127.0.0.1:0', max_request_body_size: 2000}";
    let receiver = Receiver::with(settings, "{}", budget.clone()).await;
    let (at, large) = (receiver.at(""), json(100));
    assert!(large.len() > 2000 && gzip(&large).len() < 2000);
    assert_eq!(post(at, V2, JSON, &[], large.clone()).await.status, 413);
    let answer = post(at, V2, JSON, &[("content-encoding", "gzip")], gzip(&large)).await;
    assert_eq!(answer.status, 413, "what it inflates to");
    assert_eq!(receiver.failed("http_v2_json", "oversize"), 2);
    // What is with the pipeline takes its part.
    receiver.consumer.behave(Behaviour::Wait);
    let held = tokio::spawn(async move { post(at, V2, JSON, &[], json(2)).await.status });
    until("it is with the pipeline", || receiver.consumer.calls() == 1).await;
    assert!(budget.used() > 0);
    receiver.consumer.release(1);
    assert_eq!(held.await.unwrap(), 202);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn http2_half_closed_connections_and_the_end() {
    let receiver = Receiver::of(SETTINGS).await;
    let (at, consumer) = (receiver.at(""), Arc::clone(&receiver.consumer));
    let request = build(Method::POST, V2, &[("content-type", PROTOBUF)], proto(1));
    assert_eq!(Client::http2(at).await.send(request).await.status, 202);
    let body = json(1);
    let head = format!("POST {V2} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut raw = Raw::connect(at).await;
    raw.write([head.into_bytes(), body].concat()).await;
    raw.close_own_side().await;
    assert_eq!(raw.status().await, 202);

    consumer.behave(Behaviour::Wait);
    let held = tokio::spawn(async move { post(at, V2, JSON, &[], json(1)).await.status });
    until("it is with the pipeline", || consumer.calls() == 3).await;
    let stop = tokio::spawn(receiver.stop());
    let closed = async { while tokio::net::TcpStream::connect(at).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, closed).await.expect("new connections refused");
    consumer.release(1);
    assert_eq!(held.await.unwrap(), 202);
    tokio::time::timeout(PATIENCE, stop).await.unwrap().unwrap();
    assert_eq!(consumer.taken(), [1, 1, 1]);
}

#[tokio::test]
async fn pages_and_senders_that_may() {
    let settings = "zipkin: {endpoint: '127.0.0.1:0', auth: {authenticator: basicauth},
        cors: {allowed_origins: ['https://a.example']}, compression_algorithms: [gzip]}";
    let extensions = "{basicauth: {htpasswd: {inline: 'anna:hunter2'}}}";
    let receiver = Receiver::with(settings, extensions, ByteBudget::default()).await;
    let at = receiver.at("");
    let right = ("authorization", "Basic YW5uYTpodW50ZXIy");
    let answer = post(at, V2, JSON, &[], json(1)).await;
    assert_eq!((answer.status, answer.header("www-authenticate").is_empty()), (401, false));
    assert_eq!(post(at, V2, JSON, &[right], json(1)).await.status, 202);
    let zstd = [right, ("content-encoding", "zstd")];
    assert_eq!(post(at, V2, JSON, &zstd, zstd_of(&json(1))).await.status, 415);
    for (origin, status) in [("https://a.example", 204), ("https://b.example", 403)] {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let answer = send(at, build(Method::OPTIONS, V2, &headers, "")).await;
        assert_eq!(answer.status, status);
        let allowed = if status == 204 { origin } else { "" };
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
    }
    assert_eq!(receiver.failed("http_v2_json", "unauthenticated"), 1);
}

fn zstd_of(data: &[u8]) -> Vec<u8> {
    zstd(data)
}

#[test]
fn settings() {
    for settings in [
        "zipkin:",
        "zipkin: {endpoint: '0.0.0.0:9411', parse_string_tags: true}",
        "zipkin: {max_request_body_size: 1000, include_metadata: true, read_timeout: 1s, cors: {allowed_origins: ['*']}}",
    ] {
        assert_eq!(diagnosed(settings), "", "{settings}");
    }
    for (settings, says) in [
        ("zipkin: {endpoint: 9411}", "endpoint"),
        ("zipkin: {parse_strings: true}", "parse_strings"),
        ("zipkin: {parse_string_tags: maybe}", "parse_string_tags"),
        ("zipkin: {tls: {}}", "cert_file"),
        ("zipkin: {traces_url_path: /x}", "traces_url_path"),
    ] {
        let told = diagnosed(settings);
        assert!(told.contains(says), "{settings}: {told}");
    }
}
