//! `opentelemetry-otlp`, by way of `apps/shop.rs`.

use std::process::Command;

use super::{Shop, checkout, has, made_by};
use crate::otlp::CLIENT;
use crate::process::Process;
use crate::server::Server;

struct Rust {
    exporter: &'static str,
}

impl Shop for Rust {
    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sdk-app"));
        command.arg(role).env("SDK_APP_EXPORTER", self.exporter);
        command
    }

    fn end(&self, service: &mut Process) {
        service.close_stdin();
    }
}

fn check(shop: &Rust, endpoint: &str, server: &Server) {
    let found = checkout(shop, server, endpoint);
    assert_eq!(found.spans.len(), 4, "{:#?}", found.spans);
    let [root, client, backend] = found.chain();
    assert_eq!(root.name, "GET /checkout/:order");
    has(root, &[("http.route", "/checkout/:order"), ("http.response.status_code", "200")]);
    assert!(client.attributes["url.full"].ends_with("/stock/42"), "{client:#?}");
    let query = found.below(backend, "backend", CLIENT);
    assert_eq!((query.name.as_str(), query.status), ("SELECT stock", 2));
    has(query, &[("db.system.name", "postgresql"), ("db.response.returned_rows", "1")]);
    assert_eq!(query.events, ["row"]);
    for span in &found.spans {
        assert_eq!(span.scope, "shop.rs");
        made_by(span, "rust");
    }
}

#[test]
fn rust_sends_over_grpc() {
    let server = Server::start();
    check(&Rust { exporter: "grpc" }, &format!("http://{}", server.at.otlp_grpc), &server);
}

#[test]
fn rust_sends_over_http() {
    let server = Server::start();
    check(&Rust { exporter: "http" }, &format!("http://{}", server.at.otlp_http), &server);
}
