//! Connections that are kept, shared, broken off and refused.

use crate::http_client::{Client, JSON, PROTOBUF, post, send};
use crate::raw::Raw;
use crate::support::{Behaviour, Server, count, json, padded, protobuf, until};

#[tokio::test]
async fn two_requests_on_one_connection() {
    let server = Server::http().await;
    for mut client in [Client::http1(server.addr).await, Client::http2(server.addr).await] {
        assert_eq!(client.send(post(PROTOBUF, protobuf(1, 0))).await.status, 200);
        assert_eq!(client.send(post(JSON, "{")).await.status, 400);
        assert_eq!(client.send(post(JSON, json(2, 0))).await.status, 200);
    }
    assert_eq!(server.consumer.taken(), [1, 2, 1, 2]);
}

#[tokio::test]
async fn http2_requests_are_concurrent() {
    let server = Server::http().await;
    server.consumer.behave(Behaviour::Wait);
    let Client::Http2(sender) = Client::http2(server.addr).await else { unreachable!() };
    let requests: Vec<_> = (0..10)
        .map(|_| {
            let mut client = Client::Http2(sender.clone());
            tokio::spawn(async move { client.send(post(PROTOBUF, protobuf(1, 0))).await.status })
        })
        .collect();
    until("all are with the consumer", || server.consumer.calls() == 10).await;
    assert_eq!(count(&server.counters.http.connections.open), 1);
    server.consumer.release(10);
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_disconnect_inside_a_body_harms_nothing() {
    let server = Server::http().await;
    for framing in ["Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut raw = Raw::connect(server.addr).await;
        raw.head(framing).await;
        raw.write("a\r\n12345678\r\n").await;
        until("it has begun", || server.budget.used() > 0).await;
        drop(raw);
        until("it is gone", || count(&server.counters.http.connections.open) == 0).await;
        until("its bytes are given back", || server.budget.used() == 0).await;
    }
    assert_eq!(send(server.addr, post(PROTOBUF, protobuf(1, 0))).await.status, 200);
    assert_eq!(server.consumer.calls(), 1);
}

#[tokio::test]
async fn a_disconnect_does_not_stop_the_consumer() {
    let server = Server::http().await;
    server.consumer.behave(Behaviour::Wait);
    let mut client = Client::http2(server.addr).await;
    let request = tokio::spawn(async move { client.send(post(PROTOBUF, protobuf(3, 0))).await });
    until("the consumer has it", || server.consumer.calls() == 1).await;
    request.abort();
    until("the client is gone", || count(&server.counters.http.connections.open) == 0).await;
    server.consumer.release(1);
    until("the consumer is done", || server.consumer.taken() == [3]).await;
    until("the spans are counted", || count(&server.counters.http.accepted_spans) == 3).await;
}

/// As some clients do: the request, the end of their side, then waiting for the answer.
#[tokio::test]
async fn a_client_that_has_closed_its_side_gets_its_answer() {
    let server = Server::http().await;
    server.consumer.behave(Behaviour::Wait);
    let mut raw = Raw::connect(server.addr).await;
    let body = protobuf(2, 0);
    raw.head(&format!("Content-Length: {}\r\n", body.len())).await;
    raw.write(body).await;
    raw.close_own_side().await;
    until("the consumer has it", || server.consumer.calls() == 1).await;
    server.consumer.release(1);
    assert_eq!(raw.status().await, 200);
    raw.closed().await;
}

#[tokio::test]
async fn a_refused_body_is_read_so_that_the_answer_arrives() {
    // More than the kernel's buffers hold: this client writes all before it reads.
    let server = Server::http_limited(8 << 20).await;
    let mut raw = Raw::connect(server.addr).await;
    let length = 12 << 20;
    raw.head(&format!("Content-Length: {length}\r\n")).await;
    raw.write(vec![0; length]).await;
    assert_eq!(raw.status().await, 413);
    // And the connection is as good as before.
    let body = protobuf(1, 0);
    raw.head(&format!("Content-Length: {}\r\n", body.len())).await;
    raw.write(body).await;
    assert_eq!(raw.status().await, 200);
}

#[tokio::test]
async fn expect_continue() {
    let server = Server::http_limited(100_000).await;
    let mut raw = Raw::connect(server.addr).await;
    raw.head("Expect: 100-continue\r\nContent-Length: 20000\r\n").await;
    assert_eq!(raw.status().await, 100);
    raw.write(padded(20_000)).await;
    assert_eq!(raw.status().await, 200);

    raw.head("Expect: 100-continue\r\nContent-Length: 100001\r\n").await;
    assert_eq!(raw.status().await, 413, "without asking for the body");
    assert_eq!(server.consumer.calls(), 1);
}
