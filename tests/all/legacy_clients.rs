//! Clients made for Jaeger and Zipkin, as they come, into the receivers `jaeger` and `zipkin`; and
//! the exporters of these names into a second process.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, encode};
use crate::otlp::{CLIENT, SERVER, Span, spans};
use crate::process::{Process, run, wait_until};
use crate::server::spanfall;
use crate::tools;

/// What a process with a store takes.
const RECEIVERS: &str = "\
receivers:
  jaeger:
    protocols:
      grpc: {endpoint: '127.0.0.1:0'}
      thrift_http: {endpoint: '127.0.0.1:0'}
      thrift_compact: {endpoint: '127.0.0.1:0'}
      thrift_binary: {endpoint: '127.0.0.1:0'}
  zipkin: {endpoint: '127.0.0.1:0'}
";

/// The binary with a configuration.
struct Collector {
    process: Process,
    _folder: TempDir,
}

impl Collector {
    fn start(text: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("collector.yaml");
        std::fs::write(&file, text).expect("a configuration");
        let mut command = spanfall();
        command.current_dir(folder.path()).arg("serve").arg("--config").arg(file);
        command.args(["--set", "service.telemetry.metrics.level=none"]);
        let mut process = Process::start(&mut command);
        process.wait_for("that it is ready", |text| text.contains("is ready").then_some(()));
        Self { process, _folder: folder }
    }

    /// All of Jaeger's and Zipkin's protocols, and the store.
    fn with_store() -> Self {
        Self::start(&format!(
            "\
{RECEIVERS}exporters: {{spanfall: {{data_dir: data}}}}
extensions:
  spanfall_query:
    endpoint: 127.0.0.1:0
    tempo: {{enabled: false}}
    jaeger_grpc: {{enabled: false}}
service:
  extensions: [spanfall_query]
  pipelines: {{traces: {{receivers: [jaeger, zipkin], exporters: [spanfall]}}}}
"
        ))
    }

    /// Sends all that comes to another process.
    fn leading_to(exporter: &str) -> Self {
        Self::start(&format!(
            "\
{RECEIVERS}exporters: {{{exporter}}}
service: {{pipelines: {{traces: {{receivers: [jaeger, zipkin], exporters: [{}]}}}}}}
",
            exporter.split(':').next().unwrap_or_default()
        ))
    }

    /// Where it listens, by the title in the banner.
    fn address(&mut self, title: &str) -> String {
        self.process.wait_for(title, |text| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(title))?;
            let address = line.trim().trim_start_matches("http://").split('/').next()?;
            Some(address.to_owned())
        })
    }

    fn get(&mut self, path: &str) -> Value {
        let ui = self.address("web UI and API");
        http::get(&format!("http://{ui}/api/v1{path}")).ok().json()
    }

    /// The trace that a client sent, found by service, operation and tag.
    fn trace(&mut self, service: &str) -> Vec<Span> {
        let query = format!(
            r#"{{ resource.service.name = "{service}" && name = "charge" && span.card = "visa" }}"#
        );
        let path = format!("/query?q={}", encode(&query));
        let id = wait_until(&format!("the trace of {service}"), || {
            let page = self.get(&path);
            let id = page["traces"].as_array()?.first()?["trace_id"].as_str()?;
            Some(id.to_owned())
        });
        wait_until(&format!("both spans of {service}"), || {
            let all = spans(&self.get(&format!("/traces/{id}")));
            (all.len() == 2).then_some(all)
        })
    }
}

/// A client, and where it sends to by the title in the banner.
struct Client {
    name: &'static str,
    is_node: bool,
    to: &'static str,
}

const fn python(name: &'static str, to: &'static str) -> Client {
    Client { name, is_node: false, to }
}

const fn node(name: &'static str, to: &'static str) -> Client {
    Client { name, is_node: true, to }
}

const CLIENTS: [Client; 15] = [
    python("jaeger-client", "receiver jaeger thrift_compact"),
    python("opentelemetry-jaeger:udp", "receiver jaeger thrift_compact"),
    python("opentelemetry-jaeger:http", "receiver jaeger thrift_http"),
    python("opentelemetry-jaeger:grpc", "receiver jaeger grpc"),
    python("opentelemetry-zipkin:v1", "receiver zipkin"),
    python("opentelemetry-zipkin:v2", "receiver zipkin"),
    python("opentelemetry-zipkin:protobuf", "receiver zipkin"),
    python("py_zipkin:V1_THRIFT", "receiver zipkin"),
    python("py_zipkin:V1_JSON", "receiver zipkin"),
    python("py_zipkin:V2_JSON", "receiver zipkin"),
    python("py_zipkin:V2_PROTO3", "receiver zipkin"),
    node("jaeger-client:udp", "receiver jaeger thrift_binary"),
    node("jaeger-client:http", "receiver jaeger thrift_http"),
    node("zipkin:v1", "receiver zipkin"),
    node("zipkin:v2", "receiver zipkin"),
];

impl Client {
    fn service(&self) -> String {
        let language = if self.is_node { "node" } else { "python" };
        format!("{language}-{}", self.name).replace(':', "-").to_lowercase()
    }

    /// Sends its trace.
    fn send(&self, to: &mut Collector) {
        let mut command = if self.is_node {
            let mut command = tools::legacy_node();
            command.arg("clients.cjs");
            command
        } else {
            let mut command = Command::new(tools::legacy_python());
            command.arg(tools::folder().join("apps/legacy/clients.py"));
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            command
        };
        command.env("NO_PROXY", "*").env("no_proxy", "*");
        command.args([self.name, &to.address(self.to), &self.service()]);
        let finished = run(&mut command, b"");
        assert_eq!(finished.code, Some(0), "{}: {finished:?}", self.name);
    }

    /// Asserts that this is what it sent.
    fn sent(&self, spans: &[Span]) {
        let name = self.name;
        let named = |wanted: &str| {
            let found = spans.iter().find(|span| span.name == wanted);
            found.unwrap_or_else(|| panic!("{name}: no {wanted} in {spans:#?}"))
        };
        let (checkout, charge) = (named("checkout"), named("charge"));
        assert_eq!((checkout.parent.as_str(), &charge.parent), ("", &checkout.id), "{name}");
        let kinds = match name {
            // It leaves the kind out.
            "opentelemetry-zipkin:v1" => [charge.kind, checkout.kind],
            _ => [CLIENT, SERVER],
        };
        assert_eq!([charge.kind, checkout.kind], kinds, "{name}: {spans:#?}");
        for (span, key, value) in [(checkout, "order", "42"), (charge, "card", "visa")] {
            // Every number of Node.js is a double.
            let found = span.attributes.get(key).map(|value| value.trim_end_matches(".0"));
            assert_eq!(found, Some(value), "{name}: {span:#?}");
            assert_eq!(span.service, self.service(), "{name}");
        }
        let event = match name.split(':').next() {
            // Zipkin's annotations are text, which OpenTelemetry fills with JSON.
            Some("opentelemetry-zipkin") => r#"{"paid": {}}"#,
            // A field `message` is no name of an event.
            Some("opentelemetry-jaeger") => "",
            _ => "paid",
        };
        assert_eq!(charge.events, [event], "{name}");
        let is_error = name.starts_with("opentelemetry-");
        assert_eq!(charge.status, if is_error { 2 } else { 0 }, "{name}: {charge:#?}");
    }
}

#[test]
fn their_spans_are_stored_and_found() {
    let mut collector = Collector::with_store();
    for client in &CLIENTS {
        client.send(&mut collector);
        client.sent(&collector.trace(&client.service()));
    }
    let output = collector.process.output();
    assert!(!output.contains("dropped"), "{output}");
}

/// What came in either form leaves in either form, and is the same at the other end.
#[test]
fn they_go_on_to_a_second_process() {
    let mut store = Collector::with_store();
    let (jaeger, zipkin) =
        (store.address("receiver jaeger grpc"), store.address("receiver zipkin"));
    let clients: Vec<&Client> = CLIENTS
        .iter()
        .filter(|client| ["opentelemetry-jaeger:grpc", "py_zipkin:V2_JSON"].contains(&client.name))
        .collect();
    for exporter in [
        format!("jaeger: {{endpoint: '{jaeger}', tls: {{insecure: true}}}}"),
        format!("zipkin: {{endpoint: 'http://{zipkin}/api/v2/spans'}}"),
        format!("zipkin: {{endpoint: 'http://{zipkin}/api/v2/spans', format: proto}}"),
    ] {
        for client in &clients {
            let before = store.count(&client.service());
            let mut first = Collector::leading_to(&exporter);
            client.send(&mut first);
            wait_until(&format!("{} by way of {exporter}", client.name), || {
                (store.count(&client.service()) > before).then_some(())
            });
            client.sent(&store.trace(&client.service()));
        }
    }
}

impl Collector {
    /// Traces of a service.
    fn count(&mut self, service: &str) -> usize {
        let page = self.get(&format!("/traces?service={}&limit=100", encode(service)));
        page["traces"].as_array().map_or(0, Vec::len)
    }
}
