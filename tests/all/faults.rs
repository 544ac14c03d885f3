//! The Collector among backends that fail: what was acknowledged arrives at least once, counted by
//! id, and what does not is refused with a hint when to come again, or counted by its reason.
//!
//! Collector and backends are processes of the real binary. Between them stands a [`Proxy`].

mod delivery;
mod disk;
mod fan_out;
mod proxy;
mod refuser;
mod reload;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use model::{SpanBatch, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use rustix::process::Signal;

use crate::http;
use crate::otlp::{Small, now, request};
use crate::process::{Process, wait_until};
use crate::server::{Server, spanfall};
use proxy::{Fault, Proxy};

/// The spans of a request, which are a trace.
const SPANS: u64 = 5;

/// Tests run side by side, and so may the senders of one.
static NEXT_TRACE: AtomicU64 = AtomicU64::new(1);

fn next_trace() -> u128 {
    u128::from(NEXT_TRACE.fetch_add(1, Ordering::Relaxed))
}

/// Some spans of a trace, by their numbers.
fn spans_named(trace_id: u128, numbers: RangeInclusive<u64>, name: &str) -> Vec<u8> {
    let span = |number| Small {
        trace_id,
        span_id: number,
        parent_id: number - 1,
        name: name.to_owned(),
        start: now(),
        duration_nano: 1000,
    };
    request("faults", &numbers.map(span).collect::<Vec<_>>())
}

fn trace(id: u128) -> Vec<u8> {
    spans_named(id, 1..=SPANS, "step")
}

/// What a sender hears.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Heard {
    Taken,
    /// To come again, with a hint when.
    Later,
    /// Nothing: the process is gone, or its port.
    Nothing,
}

/// Sends over HTTP; panics when the answer is neither.
fn post(address: &str, body: &[u8]) -> Heard {
    let url = format!("http://{address}/v1/traces");
    let headers = [("content-type", "application/x-protobuf")];
    let Ok(answer) = http::send("POST", &url, &headers, Some(body)) else {
        return Heard::Nothing;
    };
    match answer.status {
        200 => Heard::Taken,
        429 | 503 => {
            let hint = answer.header("retry-after");
            assert!(hint.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{answer:?}");
            Heard::Later
        }
        _ => panic!("{answer:?}"),
    }
}

/// Sends over gRPC; panics when the answer is neither.
fn call(address: &str, body: &[u8]) -> Heard {
    let body = ExportTraceServiceRequest::decode(body).expect("an own request");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let Ok(mut client) = TraceServiceClient::connect(format!("http://{address}")).await else {
            return Heard::Nothing;
        };
        let Err(status) = client.export(body).await else { return Heard::Taken };
        match status.code() {
            tonic::Code::ResourceExhausted | tonic::Code::Unavailable
                if !status.details().is_empty() =>
            {
                Heard::Later
            }
            // The connection ended, in tonic's words.
            tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled => {
                Heard::Nothing
            }
            tonic::Code::Internal if status.message().contains("h2 protocol error") => {
                Heard::Nothing
            }
            _ => panic!("{status:?}"),
        }
    })
}

/// What was sent, by what was heard.
#[derive(Default)]
struct Ledger {
    taken: Mutex<Vec<u128>>,
    later: AtomicU64,
}

impl Ledger {
    fn note(&self, id: u128, heard: Heard) -> Heard {
        match heard {
            Heard::Taken => self.taken.lock().expect("a ledger").push(id),
            Heard::Later => drop(self.later.fetch_add(1, Ordering::Relaxed)),
            Heard::Nothing => {}
        }
        heard
    }

    fn taken(&self) -> Vec<u128> {
        self.taken.lock().expect("a ledger").clone()
    }

    fn taken_spans(&self) -> u64 {
        self.taken().len() as u64 * SPANS
    }

    fn later_spans(&self) -> u64 {
        self.later.load(Ordering::Relaxed) * SPANS
    }
}

/// How many spans of a trace a backend has.
fn spans_at(backend: &Server, id: u128) -> usize {
    let url = format!("{}/api/v1/traces/{}", backend.url(), TraceId::from_number(id));
    let answer = http::request("GET", &url, &[("accept", "application/x-protobuf")], None);
    if answer.status == 404 {
        return 0;
    }
    let batch = SpanBatch::decode(Bytes::from(answer.ok().body)).expect("protobuf of the API");
    let mut ids: Vec<_> = batch.spans().iter().map(|span| span.span_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

/// Waits until a backend has all spans of these traces.
fn wait_for(backend: &Server, ids: &[u128]) {
    let mut missing = ids.to_vec();
    wait_until(&format!("{} traces at the backend", ids.len()), || {
        while let Some(&id) = missing.last() {
            if spans_at(backend, id) as u64 != SPANS {
                return None;
            }
            missing.pop();
        }
        Some(())
    });
}

/// A configuration: OTLP, processors, exporters.
#[derive(Clone, Default)]
struct Config {
    /// Keys of the HTTP protocol besides `endpoint`.
    http: &'static str,
    /// Ids and settings.
    processors: Vec<(&'static str, String)>,
    exporters: Vec<(&'static str, String)>,
    /// The folder of `file_storage`.
    storage: Option<PathBuf>,
}

impl Config {
    fn text(&self) -> String {
        let section = |name: &str, all: &[(&str, String)]| {
            let lines = all.iter().map(|(id, settings)| format!("  {id}: {settings}\n"));
            format!("{name}:\n{}", lines.collect::<String>())
        };
        let ids = |all: &[(&'static str, String)]| -> Vec<&str> {
            all.iter().map(|(id, _)| *id).collect()
        };
        let mut text = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, \
             http: {{endpoint: '127.0.0.1:0'{}}}}}}}}}\n",
            self.http
        );
        text += &section("processors", &self.processors);
        text += &section("exporters", &self.exporters);
        if let Some(folder) = &self.storage {
            text += &format!(
                "extensions: {{file_storage: {{directory: {folder:?}, create_directory: true}}}}\n"
            );
        }
        let extensions = self.storage.iter().map(|_| "file_storage").collect::<Vec<_>>();
        text += &format!(
            "service:\n  extensions: {extensions:?}\n  telemetry: {{metrics: {{readers: [{{pull: \
             {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}}}\n  pipelines: \
             {{traces: {{receivers: [otlp], processors: {:?}, exporters: {:?}}}}}\n",
            ids(&self.processors),
            ids(&self.exporters),
        );
        text
    }
}

/// An exporter's settings: attempts of a second, again and again until they succeed.
fn export_to(kind: &str, address: &str, queue: &str) -> String {
    let scheme = if kind.starts_with("otlp_http") { "http://" } else { "" };
    format!(
        "{{endpoint: '{scheme}{address}', tls: {{insecure: true}}, timeout: 1s, \
         retry_on_failure: {{initial_interval: 20ms, max_interval: 100ms, max_elapsed_time: 0s}}, \
         sending_queue: {queue}}}"
    )
}

/// The binary with a configuration.
struct Collector {
    process: Process,
    http: String,
    grpc: String,
    metrics: String,
}

impl Collector {
    /// Starts on `collector.yaml` of a folder.
    fn start(folder: &Path, config: &Config) -> Self {
        Self::run(Self::command(folder, config))
    }

    fn command(folder: &Path, config: &Config) -> std::process::Command {
        let file = folder.join("collector.yaml");
        std::fs::write(&file, config.text()).expect("a configuration");
        let mut command = spanfall();
        command.arg("serve").arg("--config").arg(file);
        command
    }

    fn run(mut command: std::process::Command) -> Self {
        let mut process = Process::start(&mut command);
        let [http, grpc, metrics] = process.wait_for("where it listens", |text| {
            text.contains("Send the first span").then_some(())?;
            let address = |title: &str| {
                let line = text.lines().find_map(|line| line.trim().strip_prefix(title))?;
                let address = line.trim().trim_start_matches("http://").split('/').next()?;
                Some(address.to_owned())
            };
            Some([address("OTLP/HTTP")?, address("OTLP/gRPC")?, address("own metrics")?])
        });
        Self { process, http, grpc, metrics }
    }

    /// The sum of a metric's series that have all of these labels.
    fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let text = http::get(&format!("http://{}/metrics", self.metrics)).ok().text();
        let own = |line: &&str| {
            let of = line.split(['{', ' ']).next().unwrap_or_default();
            of.trim_end_matches("_total") == name && labels.iter().all(|label| line.contains(label))
        };
        let value =
            |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        text.lines().filter(own).filter_map(value).sum::<f64>() as u64
    }

    fn wait_for_metric(&self, name: &str, labels: &[&str], value: u64) {
        wait_until(&format!("{name} = {value}"), || {
            (self.metric(name, labels) == value).then_some(())
        });
    }

    /// Sends a trace of its own in each of the two ways.
    fn send(&self, ledger: &Ledger) -> [Heard; 2] {
        let (one, other) = (next_trace(), next_trace());
        [
            ledger.note(one, post(&self.http, &trace(one))),
            ledger.note(other, call(&self.grpc, &trace(other))),
        ]
    }

    /// Ends in order; gives what it printed.
    fn stop(mut self) -> String {
        self.process.signal(Signal::TERM);
        let status = self.process.wait();
        assert_eq!(status.code(), Some(0), "{}", self.process.output());
        self.process.output()
    }
}

/// Bytes of the files below a folder.
fn disk_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>());
    let bytes = |entry: &std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        metadata => metadata.map_or(0, |metadata| metadata.len()),
    };
    entries.unwrap_or_default().iter().map(bytes).sum()
}

/// Where an exporter sends to, by its protocol.
fn port<'a>(backend: &'a Server, kind: &str) -> &'a str {
    if kind.starts_with("otlp_http") { &backend.at.otlp_http } else { &backend.at.otlp_grpc }
}

/// A backend and the proxy in front of it.
fn backend(kind: &str, fault: Fault) -> (Server, Proxy) {
    let backend = Server::start();
    let proxy = Proxy::start(port(&backend, kind), fault);
    (backend, proxy)
}
