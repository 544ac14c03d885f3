//! Shutdown: nothing new, everything begun is finished, and an end to waiting.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pipeline::receivers::otlp::HttpSettings;
use pipeline::receivers::{ByteBudget, Drained, ServerSettings};
use tokio::net::TcpStream;

use crate::grpc::client;
use crate::http_client::{Client, PROTOBUF, post, send};
use crate::raw::Raw;
use crate::support::{Behaviour, PATIENCE, Server, protobuf, request, until};

async fn drained(server: Server) -> Drained {
    tokio::time::timeout(PATIENCE, server.running).await.expect("an end").unwrap()
}

/// Waits until connecting fails.
async fn refusing(server: &Server) {
    let connect = async { while TcpStream::connect(server.addr).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, connect).await.expect("new connections refused");
}

#[tokio::test]
async fn a_request_in_flight_over_http_completes() {
    let server = Server::http().await;
    server.consumer.behave(Behaviour::Wait);
    let held = tokio::spawn(send(server.addr, post(PROTOBUF, protobuf(1, 0))));
    until("it is with the consumer", || server.consumer.calls() == 1).await;
    server.shutdown.cancel();
    refusing(&server).await;
    server.consumer.release(1);
    assert_eq!(held.await.unwrap().status, 200);
    assert_eq!(drained(server).await, Drained { abandoned: 0 });
}

#[tokio::test]
async fn a_request_in_flight_over_grpc_completes() {
    let server = Server::grpc().await;
    server.consumer.behave(Behaviour::Wait);
    let mut client = client(&server).await;
    let held = tokio::spawn(async move { client.export(request(1, 0)).await });
    until("it is with the consumer", || server.consumer.calls() == 1).await;
    server.shutdown.cancel();
    refusing(&server).await;
    server.consumer.release(1);
    held.await.unwrap().unwrap();
    assert_eq!(drained(server).await, Drained { abandoned: 0 });
}

#[tokio::test]
async fn idle_connections_are_no_reason_to_wait() {
    let server = Server::http().await;
    let mut clients = [Client::http1(server.addr).await, Client::http2(server.addr).await];
    for client in &mut clients {
        assert_eq!(client.send(post(PROTOBUF, protobuf(1, 0))).await.status, 200);
    }
    let silent = Raw::connect(server.addr).await;
    let open = || server.counters.http.connections.open.load(Ordering::Relaxed);
    until("all are open", || open() == 3).await;
    server.shutdown.cancel();
    assert_eq!(drained(server).await, Drained { abandoned: 0 });
    silent.closed().await;
}

#[tokio::test]
async fn drain_timeout() {
    let server =
        ServerSettings { drain_timeout: Duration::from_millis(50), ..ServerSettings::default() };
    let settings = HttpSettings { server, ..HttpSettings::default() };
    let server = Server::http_with(settings, ByteBudget::default()).await;
    server.consumer.behave(Behaviour::Wait);
    let mut raw = Raw::connect(server.addr).await;
    let body = protobuf(1, 0);
    raw.head(&format!("Content-Length: {}\r\n", body.len())).await;
    raw.write(body).await;
    until("it is with the consumer", || server.consumer.calls() == 1).await;
    server.shutdown.cancel();
    assert_eq!(drained(server).await, Drained { abandoned: 2 }, "a connection and its batch");
    raw.closed().await;
}

#[tokio::test]
async fn a_batch_whose_client_has_gone_is_waited_for() {
    let server = Server::http().await;
    server.consumer.behave(Behaviour::Wait);
    let mut client = Client::http2(server.addr).await;
    let request = tokio::spawn(async move { client.send(post(PROTOBUF, protobuf(1, 0))).await });
    until("it is with the consumer", || server.consumer.calls() == 1).await;
    request.abort();
    server.shutdown.cancel();
    let open = || server.counters.http.connections.open.load(Ordering::Relaxed);
    until("the connection is gone", || open() == 0).await;
    // Room for the receiver to end, if it were going to.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(!server.running.is_finished());
    let consumer = Arc::clone(&server.consumer);
    consumer.release(1);
    assert_eq!(drained(server).await, Drained { abandoned: 0 });
    assert_eq!(consumer.taken(), [1]);
}
