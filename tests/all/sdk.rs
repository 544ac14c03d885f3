//! Stock SDKs, as they come: two processes, one trace.
//!
//! Only `OTEL_SERVICE_NAME` and `OTEL_EXPORTER_OTLP_ENDPOINT` are set, the latter because a test's
//! server is not at the default ports; where a test asks for another protocol than the SDK's own,
//! `OTEL_EXPORTER_OTLP_PROTOCOL` too.

mod node;
mod python;
mod rust;

use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::http;
use crate::otlp::{CLIENT, SERVER, Span, spans};
use crate::process::{Process, wait_until};
use crate::server::Server;

pub use python::Python;

/// How a pair of services is run.
pub trait Shop {
    /// The command that runs `frontend` or `backend`.
    fn command(&self, role: &str) -> Command;

    /// Tells a service to end in order, so that its SDK sends what it holds.
    fn end(&self, service: &mut Process) {
        service.signal(Signal::TERM);
    }
}

/// A trace that came by way of an SDK.
pub struct Found {
    /// Its id.
    pub id: String,
    /// Its spans.
    pub spans: Vec<Span>,
}

/// Sends one request through both services and gives the trace of it.
pub fn checkout(shop: &dyn Shop, server: &Server, endpoint: &str) -> Found {
    let start = |role: &str, arguments: &[&str]| {
        let mut command = shop.command(role);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OTEL_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).env("OTEL_SERVICE_NAME", role);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        // What a caller's environment routes elsewhere stays here.
        command.env("NO_PROXY", "*").env("no_proxy", "*");
        let mut process = Process::start(&mut command);
        let port: String = process.wait_for("where it listens", |text| {
            let line = text.lines().find_map(|line| line.strip_prefix("listening on "))?;
            text.contains(&format!("{line}\n")).then(|| line.trim().to_owned())
        });
        (process, format!("http://127.0.0.1:{port}"))
    };
    let (mut backend, backend_url) = start("backend", &[]);
    let (mut frontend, frontend_url) = start("frontend", &[&backend_url]);
    let answer = http::get(&format!("{frontend_url}/checkout/42")).ok();
    assert_eq!(answer.json(), serde_json::json!({ "stock": 84 }));

    for service in [&mut frontend, &mut backend] {
        shop.end(service);
        service.wait();
    }
    wait_until("the trace of both services", || {
        let page = server.json("/traces?service=frontend&limit=10");
        let trace = page["traces"].as_array()?.iter().find(|trace| has_both(trace))?;
        let id = trace["trace_id"].as_str()?.to_owned();
        let spans = spans(&server.json(&format!("/traces/{id}")));
        assert_eq!(trace["span_count"], spans.len());
        assert_eq!(trace["missing_root"], false);
        assert_eq!(trace["orphan_count"], 0);
        Some(Found { id, spans })
    })
}

/// Whether a summary names both services.
fn has_both(trace: &Value) -> bool {
    let names: Vec<&str> = trace["services"]
        .as_array()
        .map(|services| services.iter().filter_map(|service| service["name"].as_str()).collect())
        .unwrap_or_default();
    names == ["backend", "frontend"] || names == ["frontend", "backend"]
}

impl Found {
    /// The span below this one, or below its internal spans, of a service and a kind.
    fn below<'a>(&'a self, parent: &Span, service: &str, kind: i64) -> &'a Span {
        let mut parents = vec![parent.id.clone()];
        while let Some(parent) = parents.pop() {
            for span in self.spans.iter().filter(|span| span.parent == parent) {
                if span.service == service && span.kind == kind {
                    return span;
                }
                // Middleware comes between.
                if span.kind == 1 && span.service == service {
                    parents.push(span.id.clone());
                }
            }
        }
        panic!("no span of {service}, kind {kind}, below {parent:#?} in {:#?}", self.spans)
    }

    /// The chain that every shop has: the frontend's SERVER and CLIENT, the backend's SERVER.
    fn chain(&self) -> [&Span; 3] {
        let roots: Vec<&Span> = self.spans.iter().filter(|span| span.parent.is_empty()).collect();
        let [root] = roots[..] else { panic!("{} roots in {:#?}", roots.len(), self.spans) };
        assert_eq!((root.service.as_str(), root.kind), ("frontend", SERVER), "{root:#?}");
        let client = self.below(root, "frontend", CLIENT);
        let server = self.below(client, "backend", SERVER);
        assert!(root.duration_nano >= client.duration_nano, "{root:#?} {client:#?}");
        [root, client, server]
    }
}

/// Asserts that a span has these attributes.
fn has(span: &Span, attributes: &[(&str, &str)]) {
    for (key, value) in attributes {
        assert_eq!(
            span.attributes.get(*key).map(String::as_str),
            Some(*value),
            "{key} of {span:#?}"
        );
    }
}

/// Asserts that the resource says which SDK made a span.
fn made_by(span: &Span, language: &str) {
    for (key, value) in
        [("telemetry.sdk.name", "opentelemetry"), ("telemetry.sdk.language", language)]
    {
        assert_eq!(span.resource.get(key).map(String::as_str), Some(value), "{key} of {span:#?}");
    }
}
