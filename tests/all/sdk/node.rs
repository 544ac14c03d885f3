//! Express under `@opentelemetry/auto-instrumentations-node`.

use std::process::Command;

use super::{Shop, checkout, has, made_by};
use crate::otlp::Span;
use crate::server::Server;
use crate::tools;

struct Node {
    /// Nothing leaves the SDK's choice.
    protocol: Option<&'static str>,
}

impl Shop for Node {
    fn command(&self, role: &str) -> Command {
        let mut command = tools::node();
        command.args(["--require", "@opentelemetry/auto-instrumentations-node/register"]);
        command.arg(tools::folder().join("apps/shop.cjs")).arg(role);
        if let Some(protocol) = self.protocol {
            command.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        }
        command
    }
}

fn check(shop: &Node, server: &Server, endpoint: &str) {
    let found = checkout(shop, server, endpoint);
    let [root, client, backend] = found.chain();
    assert_eq!(root.name, "GET /checkout/:order");
    assert_eq!(client.name, "GET");
    assert_eq!(backend.name, "GET /stock/:order");
    for span in [root, client, backend] {
        assert_eq!(span.scope, "@opentelemetry/instrumentation-http");
    }
    has(root, &[("http.route", "/checkout/:order")]);
    for service in ["frontend", "backend"] {
        let scope = "@opentelemetry/instrumentation-express";
        let by_express = |span: &&Span| span.service == service && span.scope == scope;
        assert!(found.spans.iter().any(|span| by_express(&span)), "{:#?}", found.spans);
    }
    found.spans.iter().for_each(|span| made_by(span, "nodejs"));
}

#[test]
fn node_sends_protobuf_over_http_by_default() {
    let server = Server::start();
    check(&Node { protocol: None }, &server, &format!("http://{}", server.at.otlp_http));
}

#[test]
fn node_sends_json() {
    let server = Server::start();
    let shop = Node { protocol: Some("http/json") };
    check(&shop, &server, &format!("http://{}", server.at.otlp_http));
}

#[test]
fn node_sends_over_grpc() {
    let server = Server::start();
    check(&Node { protocol: Some("grpc") }, &server, &format!("http://{}", server.at.otlp_grpc));
}
