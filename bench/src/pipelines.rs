//! Pipelines of the Collector: what it costs to receive, change and hand on.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::load::{self, Protocol, Sent, Tally};
use crate::row;
use crate::server::Server;
use crate::sink::Sink;

/// How fast the steady load is, and how long it lasts.
const STEADY_SPANS_A_SECOND: usize = 10_000;
const STEADY_SECONDS: usize = 20;

/// How long what was acknowledged may take to arrive behind a batch.
const ARRIVAL: Duration = Duration::from_secs(30);

const ATTRIBUTE: &str =
    "attributes: {actions: [{key: deployment.zone, value: eu-1, action: insert}]}";

const FOUR: &str = "\
attributes: {actions: [{key: deployment.zone, value: eu-1, action: insert}]}
  filter: {traces: {span: ['attributes[\"http.route\"] == \"/healthz\"']}}
  transform: {trace_statements: ['set(span.attributes[\"team\"], \"shop\") where span.kind == SPAN_KIND_SERVER']}
  redaction: {allow_all_keys: true, blocked_values: ['4[0-9]{12}(?:[0-9]{3})?', '[a-z0-9.]+@[a-z0-9.]+']}";

/// A pipeline to be measured.
struct Case {
    name: &'static str,
    protocol: Protocol,
    /// Definitions of processors, in the order in which they run.
    processors: &'static str,
    /// Whether it hands on over HTTP, or to nothing.
    hands_on: bool,
}

const CASES: [Case; 5] = [
    Case { name: "HTTP to nothing", protocol: Protocol::Http, processors: "", hands_on: false },
    Case { name: "gRPC to nothing", protocol: Protocol::Grpc, processors: "", hands_on: false },
    Case {
        name: "HTTP, batch, OTLP/HTTP",
        protocol: Protocol::Http,
        processors: "batch:",
        hands_on: true,
    },
    Case {
        name: "the same and one attribute added",
        protocol: Protocol::Http,
        processors: ATTRIBUTE,
        hands_on: true,
    },
    Case {
        name: "attributes, filter, transform, redaction",
        protocol: Protocol::Http,
        processors: FOUR,
        hands_on: true,
    },
];

/// Measures every pipeline with so many spans.
pub fn measure(
    binary: &Path,
    folder: &Path,
    spans: usize,
    batch: usize,
    connections: usize,
) -> anyhow::Result<()> {
    println!("\npipelines, {spans} spans each, server CPU in seconds a million spans");
    for case in &CASES {
        let sink = Sink::start()?;
        let server = Server::start_collector(binary, folder, &configuration(case, &sink))?;
        let idle = server.usage()?;
        let started = Instant::now();
        let (sent, tally) = load::send(&server.target(case.protocol), spans, batch, connections)?;
        let taken = started.elapsed().as_secs_f64();
        if case.hands_on {
            sink.wait_for(tally, ARRIVAL)?;
        } else {
            let accepted = server.accepted_spans()?;
            anyhow::ensure!(accepted == sent.spans as u64, "{accepted} of {} arrived", sent.spans);
        }
        let used = server.usage()?;
        let cpu = used.cpu_seconds - idle.cpu_seconds;
        row(case.name, cpu / (sent.spans as f64 / 1e6), "CPU s a million");
        row("  one core's worth", sent.spans as f64 / cpu, "spans/s");
        row("  as it was sent", sent.spans as f64 / taken, "spans/s");
        row("  memory idle", idle.now_bytes as f64 / 1e6, "MB");
        row("  memory at the most", used.peak_bytes as f64 / 1e6, "MB");
        server.stop()?;
    }
    steady(binary, folder)
}

/// A load that real services make, all day.
fn steady(binary: &Path, folder: &Path) -> anyhow::Result<()> {
    let case = &CASES[2];
    let sink = Sink::start()?;
    let server = Server::start_collector(binary, folder, &configuration(case, &sink))?;
    let before = server.usage()?.cpu_seconds;
    let pace = STEADY_SPANS_A_SECOND;
    let (sent, tally): (Sent, Tally) =
        load::steady(&server.target(case.protocol), pace, STEADY_SECONDS, 512)?;
    let share = (server.usage()?.cpu_seconds - before) / STEADY_SECONDS as f64 * 100.0;
    sink.wait_for(tally, ARRIVAL)?;
    anyhow::ensure!(sent.spans > 0, "nothing was sent");
    row("10,000 spans/s through batch to OTLP/HTTP", share, "% of a core");
    server.stop()
}

fn configuration(case: &Case, sink: &Sink) -> String {
    let names: Vec<&str> = case
        .processors
        .lines()
        .filter_map(|line| line.trim().split_once(':').map(|(name, _)| name))
        .filter(|name| !name.is_empty())
        .collect();
    let (exporter, names) = match case.hands_on {
        // A batch is behind what changes spans, as people have it.
        true => (
            "otlp_http",
            names.into_iter().filter(|name| *name != "batch").chain(["batch"]).collect(),
        ),
        false => ("nop", names),
    };
    let batch = if case.processors.starts_with("batch") { "" } else { "batch:" };
    let url = sink.url();
    format!(
        "\
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '127.0.0.1:0'}}}}}}}}
processors:
  {processors}
  {batch}
exporters:
  nop:
  otlp_http: {{endpoint: '{url}', compression: none}}
service:
  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [{names}], exporters: [{exporter}]}}}}
",
        processors = case.processors,
        names = names.join(", "),
    )
}
