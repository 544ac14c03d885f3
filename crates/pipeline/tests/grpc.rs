//! gRPC as the generated client sees it: successes, compression, health.

use http::Method;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;

use crate::http_client::{Answer, Client, build};
use crate::support::{Behaviour, Server, count, protobuf, request, until};

pub const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

pub async fn client(server: &Server) -> TraceServiceClient<Channel> {
    TraceServiceClient::connect(format!("http://{}", server.addr)).await.unwrap()
}

/// A call by hand.
pub async fn call(server: &Server, path: &str, more: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
    headers.extend_from_slice(more);
    let request = build(Method::POST, path, &headers, body);
    Client::http2(server.addr).await.send(request).await
}

pub fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut out = vec![flag];
    out.extend_from_slice(&(message.len() as u32).to_be_bytes());
    out.extend_from_slice(message);
    out
}

#[tokio::test]
async fn successes() {
    for coding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        for (valid, invalid, taken) in [(3, 0, &[3][..]), (3, 2, &[3]), (0, 2, &[]), (0, 0, &[])] {
            let server = Server::grpc().await;
            let mut client = client(&server).await;
            if let Some(coding) = coding {
                client = client.send_compressed(coding).accept_compressed(coding);
            }
            let response = client.export(request(valid, invalid)).await.unwrap().into_inner();
            let row = format!("{coding:?}, {valid} and {invalid}");
            match response.partial_success {
                None => assert_eq!(invalid, 0, "{row}"),
                Some(partial) => {
                    assert_eq!(partial.rejected_spans, invalid as i64, "{row}");
                    assert!(partial.error_message.contains("trace id"), "{row}");
                }
            }
            assert_eq!(server.consumer.taken(), taken, "{row}");
            assert_eq!(count(&server.counters.grpc.accepted_spans), valid as u64, "{row}");
            assert_eq!(count(&server.counters.grpc.rejected_spans), invalid as u64, "{row}");
            assert_eq!(server.budget.used(), 0, "{row}");
        }
    }
}

#[tokio::test]
async fn calls_are_concurrent_on_one_connection() {
    let server = Server::grpc().await;
    server.consumer.behave(Behaviour::Wait);
    let client = client(&server).await;
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.export(request(1, 0)).await })
        })
        .collect();
    until("all are with the consumer", || server.consumer.calls() == 10).await;
    assert_eq!(count(&server.counters.grpc.connections.open), 1);
    server.consumer.release(10);
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_form_of_an_answer() {
    let server = Server::grpc().await;
    for (accept, invalid, coding) in [
        ("", 0, ""),
        ("gzip", 0, ""),
        ("", 1, ""),
        ("gzip", 1, "gzip"),
        ("snappy, zstd,gzip", 1, "zstd"),
        ("identity", 1, ""),
    ] {
        let headers = [("grpc-accept-encoding", accept)];
        let answer = call(&server, EXPORT, &headers, framed(0, &protobuf(1, invalid))).await;
        let row = format!("{accept} {invalid}");
        assert_eq!(answer.status, 200, "{row}");
        assert_eq!(answer.header("content-type"), "application/grpc", "{row}");
        assert_eq!(
            answer.header("grpc-accept-encoding"),
            "identity,gzip,deflate,zstd,snappy",
            "{row}"
        );
        assert_eq!(answer.header("grpc-encoding"), coding, "{row}");
        assert_eq!(answer.body[0], u8::from(!coding.is_empty()), "{row}");
        assert_eq!(answer.trailers.as_ref().unwrap()["grpc-status"], "0", "{row}");
    }
}

#[tokio::test]
async fn health() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Check {
        #[prost(string, tag = "1")]
        service: String,
    }
    let server = Server::grpc().await;
    for (service, serving) in [
        ("", true),
        ("opentelemetry.proto.collector.trace.v1.TraceService", true),
        ("opentelemetry.proto.collector.logs.v1.LogsService", false),
    ] {
        let check = Check { service: service.to_owned() }.encode_to_vec();
        let answer = call(&server, HEALTH, &[], framed(0, &check)).await;
        if serving {
            assert_eq!(&answer.body[..], framed(0, &[8, 1]), "{service}");
        } else {
            assert_eq!(answer.header("grpc-status"), "5", "{service}");
        }
    }
}
