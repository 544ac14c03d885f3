//! gRPC's failures: codes, details, limits.

use std::sync::Arc;
use std::time::Duration;

use pipeline::receivers::{ByteBudget, ServerSettings};
use prost::Message;
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::grpc::{EXPORT, call, client, framed};
use crate::http_client::{PROTOBUF, post, send};
use crate::http_status::{Compress, gzip, snappy_framed, zlib, zstd};
use crate::support::{
    Behaviour, Server, Status, count, padded, protobuf, refusals, request, until,
};

#[tokio::test]
async fn what_the_consumer_refuses() {
    let server = Server::grpc().await;
    let mut client = client(&server).await;
    for (refusal, _, code, delay) in refusals() {
        server.consumer.behave(Behaviour::Refuse(refusal));
        let status = client.export(request(2, 1)).await.unwrap_err();
        assert_eq!((status.code() as i32, status.message()), (code, "the reason"));
        let details = Status::decode(status.details()).unwrap();
        assert_eq!(details.retry_delay(), delay);
        if code != 13 {
            assert_eq!((details.code, &details.message[..]), (code, "the reason"));
        }
    }
    assert_eq!(count(&server.counters.grpc.refused_spans), 8);
    assert_eq!(count(&server.counters.grpc.rejected_spans), 0);
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_connection_lives() {
    let server = Server::grpc().await;
    let mut client = client(&server).await;
    server.consumer.behave(Behaviour::Panic);
    assert_eq!(client.export(request(1, 0)).await.unwrap_err().code(), Code::Internal);
    server.consumer.behave(Behaviour::Accept);
    client.export(request(1, 0)).await.unwrap();
    assert_eq!(count(&server.counters.grpc.panicked_requests), 1);
}

#[tokio::test]
async fn calls_by_hand() {
    let server = Server::grpc().await;
    let good = protobuf(1, 0);
    for (name, path, headers, body, code, says) in [
        ("bad data", EXPORT, ("x", ""), framed(0, b"\x0a\xff"), "3", "OTLP"),
        ("no message", EXPORT, ("x", ""), vec![], "3", "no message"),
        ("a cut message", EXPORT, ("x", ""), framed(0, &good)[..9].to_vec(), "3", "early"),
        (
            "two messages",
            EXPORT,
            ("x", ""),
            [framed(0, &good), framed(0, &good)].concat(),
            "3",
            "more than one",
        ),
        ("an odd flag", EXPORT, ("x", ""), framed(2, &good), "3", "flag"),
        ("a flag alone", EXPORT, ("x", ""), framed(1, &gzip(&good)), "13", "grpc-encoding"),
        ("unknown coding", EXPORT, ("grpc-encoding", "br"), framed(1, &good), "12", "br"),
        ("corrupt gzip", EXPORT, ("grpc-encoding", "gzip"), framed(1, &good), "3", "gzip"),
        ("corrupt zstd", EXPORT, ("grpc-encoding", "zstd"), framed(1, &good), "3", "zstd"),
        (
            "metrics",
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            ("x", ""),
            framed(0, b""),
            "12",
            "traces only",
        ),
        (
            "logs",
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            ("x", ""),
            framed(0, b""),
            "12",
            "traces only",
        ),
        ("another method", "/a.B/C", ("x", ""), framed(0, b""), "12", "/a.B/C"),
    ] {
        let answer = call(&server, path, &[headers], body).await;
        assert_eq!((answer.status, answer.header("grpc-status")), (200, code), "{name}");
        let message = answer.header("grpc-message");
        let message = message.replace("%20", " ").replace("%2F", "/");
        assert!(message.contains(says), "{name}: {message}");
        assert_eq!(answer.header("grpc-accept-encoding"), "identity,gzip,deflate,zstd,snappy");
        assert!(answer.body.is_empty() && answer.trailers.is_none(), "{name}");
    }
    assert_eq!(server.consumer.calls(), 0);
    let body = framed(1, &zlib(&good));
    let answer = call(&server, EXPORT, &[("grpc-encoding", "deflate")], body).await;
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn otlp_http_on_the_grpc_port_is_told_so() {
    let server = Server::grpc().await;
    let answer = send(server.addr, post(PROTOBUF, protobuf(1, 0))).await;
    assert_eq!(answer.status, 415);
    assert!(answer.rpc_status().message.contains("4318"));
    let answer = send(server.addr, post("application/grpc", framed(0, b""))).await;
    assert_eq!(answer.status, 505, "gRPC over HTTP/1.1");
}

#[tokio::test]
async fn request_bytes_max() {
    for limit in [100_000, 1_500_000] {
        let server = Server::grpc_limited(limit).await;
        for (coding, compress) in [
            ("identity", <[u8]>::to_vec as Compress),
            ("gzip", gzip),
            ("zstd", zstd),
            ("snappy", snappy_framed),
        ] {
            let flag = u8::from(coding != "identity");
            for (plain, fits) in [
                (padded(limit), true),
                (padded(limit + 1), false),
                // A bomb, once compressed.
                (vec![0; 64 << 20], false),
            ] {
                let body = framed(flag, &compress(&plain));
                let answer = call(&server, EXPORT, &[("grpc-encoding", coding)], body).await;
                let row = format!("{coding} {limit} {}", plain.len());
                if fits {
                    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0", "{row}");
                } else {
                    assert_eq!(answer.header("grpc-status"), "8", "{row}");
                    // Without RetryInfo, so that it is not sent again.
                    assert_eq!(answer.header("grpc-status-details-bin"), "", "{row}");
                }
            }
        }
        assert_eq!(count(&server.counters.grpc.oversize_requests), 8);
        assert_eq!(server.budget.used(), 0);
    }
}

#[tokio::test]
async fn an_oversized_message_from_the_generated_client() {
    let server = Server::grpc_limited(100_000).await;
    for coding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let mut client = client(&server).await;
        if let Some(coding) = coding {
            client = client.send_compressed(coding);
        }
        let status = client.export(request(10_000, 0)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{coding:?}: {status:?}");
        assert!(status.message().contains("100000"), "{coding:?}: {status:?}");
        assert!(status.details().is_empty(), "{coding:?}");
        client.export(request(1, 0)).await.expect("the connection lives");
    }
}

#[tokio::test]
async fn bytes_in_flight() {
    let settings = ServerSettings {
        busy_retry_after: Duration::from_millis(1500),
        ..ServerSettings::default()
    };
    let server = Arc::new(Server::grpc_with(settings, ByteBudget::new(100_000)).await);
    server.consumer.behave(Behaviour::Wait);
    let held: Vec<_> = (0..2)
        .map(|_| {
            let body = framed(0, &padded(30_000));
            let server = Arc::clone(&server);
            tokio::spawn(async move { call(&server, EXPORT, &[], body).await })
        })
        .collect();
    until("both are held", || server.consumer.calls() == 2).await;
    let left = 100_000 - server.budget.used();
    assert!((39_000..40_000).contains(&left), "{left}");
    let body = framed(0, &padded(left - 4));
    let answer = call(&server, EXPORT, &[], body).await;
    assert_eq!(answer.header("grpc-status"), "8");

    let mut other = client(&server).await;
    let status = other.export(request(1200, 0)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let details = Status::decode(status.details()).unwrap();
    assert_eq!(details.retry_delay(), Some(Duration::from_millis(1500)));
    assert_eq!(count(&server.counters.grpc.busy_requests), 2);

    server.consumer.release(2);
    for call in held {
        assert_eq!(call.await.unwrap().trailers.unwrap()["grpc-status"], "0");
    }
    assert_eq!(server.budget.used(), 0);
}
