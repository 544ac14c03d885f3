//! Flask, requests and SQLAlchemy under `opentelemetry-instrument`.

use std::path::PathBuf;
use std::process::Command;

use super::{Shop, checkout, has, made_by};
use crate::otlp::CLIENT;
use crate::server::Server;
use crate::tools;

/// The Python shop.
pub struct Python {
    /// Nothing leaves the SDK's choice.
    pub protocol: Option<&'static str>,
}

impl Shop for Python {
    fn command(&self, role: &str) -> Command {
        let scripts: PathBuf = tools::python();
        let mut command = Command::new(scripts.join("opentelemetry-instrument"));
        command.arg(scripts.join("python")).arg(tools::folder().join("apps/shop.py")).arg(role);
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(protocol) = self.protocol {
            command.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        }
        command
    }
}

fn check(shop: &Python, server: &Server, endpoint: &str) {
    let found = checkout(shop, server, endpoint);
    let [root, client, backend] = found.chain();
    assert_eq!(root.name, "GET /checkout/<int:order>");
    assert_eq!(root.scope, "opentelemetry.instrumentation.flask");
    has(
        root,
        &[
            ("http.method", "GET"),
            ("http.route", "/checkout/<int:order>"),
            ("http.status_code", "200"),
        ],
    );
    assert_eq!(client.scope, "opentelemetry.instrumentation.requests");
    has(client, &[("http.method", "GET"), ("http.status_code", "200")]);
    assert_eq!(backend.name, "GET /stock/<int:order>");
    has(backend, &[("http.target", "/stock/42")]);

    let queries = found.spans.iter().filter(|span| span.attributes.contains_key("db.statement"));
    let queries: Vec<_> = queries.collect();
    let [query] = queries[..] else { panic!("{} queries in {:#?}", queries.len(), found.spans) };
    assert_eq!((query.kind, &query.parent), (CLIENT, &backend.id), "{query:#?}");
    assert_eq!(query.scope, "opentelemetry.instrumentation.sqlalchemy");
    has(query, &[("db.system", "sqlite"), ("db.statement", "SELECT ? * 2 AS stock")]);
    found.spans.iter().for_each(|span| made_by(span, "python"));
}

#[test]
fn python_sends_over_grpc_by_default() {
    let server = Server::start();
    check(&Python { protocol: None }, &server, &format!("http://{}", server.at.otlp_grpc));
}

#[test]
fn python_sends_over_http() {
    let server = Server::start();
    let shop = Python { protocol: Some("http/protobuf") };
    check(&shop, &server, &format!("http://{}", server.at.otlp_http));
}
