//! The configurations in `examples/collector`, old tutorials among them: what is said of each, and
//! that it runs. And `docs/collector.md`, as far as it is about the binary's own components.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http;
use crate::otlp::one_span;
use crate::process::{Process, run, wait_until};
use crate::server::spanfall;

const DOCS: &str = include_str!("../../docs/collector.md");

/// A file, and what is to be said of it.
struct Example {
    file: &'static str,
    /// How messages begin, in the order of their places: `warning: …`, `error: …`.
    said: &'static [&'static str],
    /// Where ports are to be replaced, if it can start without other servers.
    ports: Option<&'static [&'static str]>,
}

const GRPC: &str = "receivers.otlp.protocols.grpc";
const HTTP: &str = "receivers.otlp.protocols.http";
const HEALTH: &str = "extensions.health_check";
const UI: &str = "extensions.spanfall_query";

/// Files that need Kafka say so of their health, and are not started.
const EXAMPLES: &[Example] = &[
    Example { file: "agent.yaml", said: &[], ports: Some(&[GRPC, HTTP, HEALTH]) },
    Example { file: "balancing-tier-1.yaml", said: &[], ports: Some(&[GRPC, HTTP, HEALTH]) },
    Example {
        file: "balancing-tier-2.yaml",
        said: &[],
        ports: Some(&[
            GRPC,
            HEALTH,
            UI,
            "extensions.spanfall_query.tempo",
            "extensions.spanfall_query.jaeger_grpc",
        ]),
    },
    Example {
        file: "gateway.yaml",
        said: &[],
        ports: Some(&[GRPC, HTTP, HEALTH, UI, "extensions.spanfall_query.tempo"]),
    },
    Example {
        file: "jaeger.yaml",
        said: &[],
        ports: Some(&[
            GRPC,
            HTTP,
            "receivers.jaeger.protocols.grpc",
            "receivers.jaeger.protocols.thrift_http",
            "receivers.jaeger.protocols.thrift_compact",
            "receivers.jaeger.protocols.thrift_binary",
            "receivers.zipkin",
            HEALTH,
            UI,
            "extensions.spanfall_query.tempo",
            "extensions.spanfall_query.jaeger_grpc",
        ]),
    },
    Example { file: "kafka-consumer.yaml", said: &[], ports: None },
    Example { file: "kafka-producer.yaml", said: &[], ports: Some(&[GRPC, HTTP, HEALTH]) },
    Example {
        file: "old-filter.yaml",
        said: &[
            "warning: processors::filter: 'spans' is deprecated",
            "warning: processors::probabilistic_sampler: 'attribute_source' is for logs",
            "warning: extensions::memory_ballast: the extension \"memory_ballast\" was removed",
        ],
        ports: Some(&[GRPC, HEALTH]),
    },
    Example {
        file: "old-jaeger-insecure.yaml",
        said: &[
            "warning: exporters::jaeger: the exporter \"jaeger\" was removed",
            "warning: exporters::jaeger: 'insecure' is deprecated",
        ],
        ports: Some(&[GRPC, HTTP]),
    },
    Example {
        file: "old-jaeger.yaml",
        said: &[
            "warning: exporters::jaeger: the exporter \"jaeger\" was removed",
            "warning: exporters: \"otlp\" is called \"otlp_grpc\" today",
            "warning: exporters: \"logging\" is called \"debug\" today",
            "warning: exporters::logging: 'loglevel' is deprecated",
        ],
        ports: Some(&[GRPC, HTTP]),
    },
    Example {
        file: "old-kafka.yaml",
        said: &[
            "warning: receivers::kafka: 'topic' is deprecated",
            "warning: receivers::kafka: 'encoding' is deprecated",
            "warning: receivers::kafka: 'auth.plain_text' is deprecated",
            "warning: receivers::kafka: 'auth.tls' is deprecated",
            "warning: exporters::kafka: 'topic' is deprecated",
            "warning: exporters::kafka: 'encoding' is deprecated",
            "warning: exporters::kafka: 'auth.plain_text' is deprecated",
        ],
        ports: None,
    },
    Example {
        file: "old-logging.yaml",
        said: &[
            "warning: exporters: \"logging\" is called \"debug\" today",
            "warning: exporters::logging: 'loglevel' is deprecated",
        ],
        ports: Some(&[GRPC, HTTP]),
    },
    Example {
        file: "old-metrics-address.yaml",
        said: &["warning: service::telemetry: 'metrics.address' is deprecated"],
        ports: Some(&[GRPC]),
    },
    Example {
        file: "old-names.yaml",
        said: &[
            "warning: receivers: \"otlpjsonfile\" is called \"otlp_json_file\" today",
            "warning: processors: \"resourcedetection\" is called \"resource_detection\" today",
            "warning: processors: \"group_by_trace\" is called \"groupbytrace\" today",
            "warning: connectors: \"roundrobin\" is called \"round_robin\" today",
            "warning: exporters: \"otlp\" is called \"otlp_grpc\" today",
            "warning: exporters: \"otlphttp\" is called \"otlp_http\" today",
            "warning: exporters: \"loadbalancing\" is called \"load_balancing\" today",
            "warning: extensions: \"healthcheckv2\" is called \"health_check\" today",
            "warning: extensions: \"bearertoken\" is called \"bearertokenauth\" today",
        ],
        ports: Some(&[GRPC, "extensions.healthcheckv2.http"]),
    },
    Example {
        file: "old-processors.yaml",
        said: &[
            "error: 'processors' unknown type: \"spanmetrics\"",
            "error: 'processors' unknown type: \"servicegraph\"",
            "error: 'processors' unknown type: \"routing\"",
        ],
        ports: None,
    },
    Example {
        file: "old-protocols.yaml",
        said: &[
            "error: 'receivers' unknown type: \"opencensus\"",
            "error: 'receivers' unknown type: \"sapm\"",
            "error: 'exporters' unknown type: \"opencensus\"",
            "error: 'exporters' unknown type: \"jaeger_thrift\"",
        ],
        ports: None,
    },
    Example {
        file: "old-queue.yaml",
        said: &[
            "warning: exporters: \"otlp\" is called \"otlp_grpc\" today",
            "warning: exporters::otlp: 'batcher' is deprecated",
            "warning: exporters::otlp: 'sending_queue.blocking' is called 'block_on_overflow' today",
        ],
        ports: Some(&[GRPC]),
    },
    // Started by a test of its own.
    Example {
        file: "production.yaml",
        said: &["warning: exporters::jaeger: the exporter \"jaeger\" was removed"],
        ports: None,
    },
    Example { file: "redaction.yaml", said: &[], ports: Some(&[GRPC, HTTP, HEALTH]) },
];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/collector")
}

/// The binary with what the examples take from their surroundings.
fn command(state: &Path) -> std::process::Command {
    let mut command = spanfall();
    command.env("STATE_DIRECTORY", state);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    for (name, content) in [
        ("TOKENS", "only-a-test\n".to_owned()),
        ("TLS_CERT", made.cert.pem()),
        ("TLS_KEY", made.signing_key.serialize_pem()),
        ("KAFKA_CA", made.cert.pem()),
    ] {
        let file = state.join(name);
        std::fs::write(&file, content).expect("a file that an example names");
        command.env(name, file);
    }
    for name in ["KAFKA_PASSWORD", "BACKEND_PASSWORD", "UI_TOKEN"] {
        command.env(name, "only-a-test");
    }
    command
}

/// What `validate` says, as `severity: message`.
fn said(command: &mut std::process::Command) -> (Option<i32>, Vec<String>) {
    let finished = run(command.args(["--format", "json"]), b"");
    let line = |line: &str| {
        let one: Value = serde_json::from_str(line).expect(line);
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        format!("{}: {}", text("severity"), text("message"))
    };
    (finished.code, finished.stdout.lines().map(line).collect())
}

#[test]
fn every_example_is_in_the_table() {
    let files = std::fs::read_dir(examples()).expect("examples/collector");
    let files: BTreeSet<String> = files
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    let table: BTreeSet<String> = EXAMPLES.iter().map(|own| own.file.to_owned()).collect();
    assert_eq!(files, table);
    // Who reads there is told which ones must fail, and of no others.
    let readme = std::fs::read_to_string(examples().join("README.md")).expect("its README");
    for Example { file, said, .. } in EXAMPLES {
        let fails = said.iter().any(|one| one.starts_with("error"));
        assert_eq!(readme.contains(&format!("| [{file}]")), fails, "{file}");
    }
}

#[test]
fn examples_are_told_what_is_old() {
    let state = TempDir::new().expect("a temporary folder");
    for Example { file, said: expected, .. } in EXAMPLES {
        let mut command = command(state.path());
        command.arg("validate").arg("--config").arg(examples().join(file));
        let (code, said) = said(&mut command);
        let fails = expected.iter().any(|one| one.starts_with("error"));
        assert_eq!(code, Some(i32::from(fails)), "{file}: {said:#?}");
        let is_so = said.len() == expected.len()
            && said.iter().zip(*expected).all(|(said, expected)| said.starts_with(expected));
        assert!(is_so, "{file}: {said:#?} instead of {expected:#?}");
    }
}

/// An address in the banner, by its title.
fn address(process: &mut Process, title: &'static str) -> String {
    process.wait_for(title, |text| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(title))?;
        let address = line.trim().trim_start_matches("http://").split('/').next()?;
        Some(address.replace("localhost", "127.0.0.1"))
    })
}

fn wait_for_health(health: &str) {
    wait_until("health", || {
        let answer = http::send("GET", &format!("http://{health}/status"), &[], None).ok()?;
        (answer.status == 200).then_some(())
    });
}

#[test]
fn examples_start_and_are_well() {
    for Example { file, ports, .. } in EXAMPLES {
        let Some(ports) = ports else { continue };
        let state = TempDir::new().expect("a temporary folder");
        let mut command = command(state.path());
        command.arg("serve").arg("--config").arg(examples().join(file));
        let mut sets: Vec<String> =
            ports.iter().map(|port| format!("{port}.endpoint=127.0.0.1:0")).collect();
        if *file == "old-metrics-address.yaml" {
            sets.push("service.telemetry.metrics.address=127.0.0.1:0".to_owned());
        } else {
            sets.push("service.telemetry.metrics.level=none".to_owned());
        }
        if !ports.iter().any(|port| port.contains("health")) {
            sets.push(format!("{HEALTH}.endpoint=127.0.0.1:0"));
            sets.push("service.extensions=[health_check]".to_owned());
        }
        for set in &sets {
            command.args(["--set", set]);
        }
        let mut process = Process::start(&mut command);
        wait_for_health(&address(&mut process, "health"));
        if *file == "old-metrics-address.yaml" {
            let metrics = address(&mut process, "own metrics");
            let text = http::get(&format!("http://{metrics}/metrics")).ok().text();
            assert!(text.contains("otelcol_process_uptime_seconds_total"), "{text}");
        }
        process.signal(Signal::TERM);
        assert_eq!(process.wait().code(), Some(0), "{file}: {}", process.output());
    }
}

/// All components in one process, but for Kafka's, which wants brokers, and TLS, which wants
/// certificates.
#[test]
fn every_component_runs_in_one_process() {
    let state = TempDir::new().expect("a temporary folder");
    let mut command = command(state.path());
    command.arg("serve").arg("--config").arg(examples().join("production.yaml"));
    for set in [
        // An empty section wipes the one before, TLS with it.
        "receivers.otlp.protocols.grpc=",
        "receivers.otlp.protocols.http=",
        "extensions.spanfall_query=",
        "extensions.spanfall_query.token=only-a-test",
        "service.pipelines.traces/in.receivers=[otlp, jaeger, zipkin, otlp_json_file]",
        "service.pipelines.traces/important.exporters=[failover, load_balancing]",
        "service.telemetry.metrics.readers=[{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]",
    ] {
        command.args(["--set", set]);
    }
    for port in [
        GRPC,
        HTTP,
        "receivers.jaeger.protocols.grpc",
        "receivers.jaeger.protocols.thrift_http",
        "receivers.jaeger.protocols.thrift_compact",
        "receivers.jaeger.protocols.thrift_binary",
        "receivers.zipkin",
        HEALTH,
        "extensions.pprof",
        "extensions.zpages",
        UI,
        "extensions.spanfall_query.tempo",
        "extensions.spanfall_query.jaeger_grpc",
    ] {
        command.args(["--set", &format!("{port}.endpoint=127.0.0.1:0")]);
    }
    let mut process = Process::start(&mut command);
    wait_for_health(&address(&mut process, "health"));

    let otlp = address(&mut process, "OTLP/HTTP");
    let headers = [("content-type", "application/x-protobuf")];
    let url = format!("http://{otlp}/v1/traces");
    http::request("POST", &url, &headers, Some(&one_span(7))).ok();
    let ui = address(&mut process, "web UI and API");
    let headers = [("authorization", "Bearer only-a-test")];
    let url = format!("http://{ui}/api/v1/traces/{:032x}", 7);
    let stored = http::request("GET", &url, &headers, None).ok().text();
    // What the processor `resource` adds.
    assert!(stored.contains("deployment.environment.name"), "{stored}");

    let metrics = address(&mut process, "own metrics");
    let text = http::get(&format!("http://{metrics}/metrics")).ok().text();
    let families = text.lines().filter(|line| line.starts_with("# TYPE "));
    assert!(families.count() > 30, "{text}");
}

/// All files of Rust below a folder.
fn sources(folder: &Path, out: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn every_metric_in_the_sources_is_described() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut texts = Vec::new();
    sources(&crates.join("pipeline/src"), &mut texts);
    sources(&crates.join("spanfall/src"), &mut texts);
    let is_name = |text: &&str| {
        let starts = text.starts_with("otelcol_") || text.starts_with("spanfall_");
        starts && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let names: BTreeSet<&str> =
        texts.iter().flat_map(|text| text.split('"')).filter(is_name).collect();
    // An extension.
    let metrics = names.into_iter().filter(|name| *name != "spanfall_query");
    // Those of the other signals stand beside.
    let spans = metrics
        .map(|name| name.replace("_metric_points", "_spans").replace("_log_records", "_spans"));
    let spans: BTreeSet<String> = spans.collect();
    assert!(spans.len() > 40, "{spans:?}");
    for name in spans {
        let name = name.strip_suffix("_total").unwrap_or(&name);
        assert!(DOCS.contains(&format!("`{name}`")), "{name} is not in docs/collector.md");
    }
}

/// As `docs_test.rs` of `pipeline` does for all others.
#[test]
fn keys_of_the_binary_s_own_components_are_described() {
    let config = "\
yaml:{exporters: {spanfall: {zzq: 1}}, extensions: {spanfall_query: {zzq: 1, \
tempo: {zzq: 1}, jaeger_grpc: {zzq: 1}, zipkin: {zzq: 1}}}}";
    let finished = run(spanfall().args(["validate", "--format", "json", "--config", config]), b"");
    let mut places = 0;
    for line in finished.stdout.lines() {
        let one: Value = serde_json::from_str(line).expect(line);
        let message = one["message"].as_str().unwrap_or_default();
        let Some(place) = message.strip_suffix("has invalid keys: zzq") else { continue };
        let help = one["help"].as_str().unwrap_or_default();
        let keys = help.strip_prefix("valid keys are ").expect("a list of keys");
        places += 1;
        let headings: &[&str] = match place.starts_with("exporters") {
            true => &["### Exporter `spanfall`"],
            false => &["### Extension `spanfall_query`", "### Query ports"],
        };
        let part = |heading: &&str| DOCS.split(heading).nth(1)?.split("\n#").next();
        let text: String = headings.iter().filter_map(part).collect();
        for key in keys.split(", ") {
            assert!(text.contains(&format!("`{key}`")), "{place}{key} is not in docs/collector.md");
        }
    }
    assert_eq!(places, 5, "{}", finished.stdout);
}

#[test]
fn the_error_in_the_docs_is_what_is_said() {
    let folder = TempDir::new().expect("a temporary folder");
    let text = "\
receivers:
  otlp:
    protocols:
      grpc:
      http:

exporters:
  debug:
    verbostiy: detailed

service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [debug]
";
    std::fs::write(folder.path().join("collector.yaml"), text).expect("a configuration");
    let mut command = spanfall();
    command.args(["validate", "--config", "collector.yaml"]).current_dir(folder.path());
    let stderr = run(&mut command, b"").stderr;
    assert!(DOCS.contains(&format!("```\n{}\n```", stderr.trim_end())), "{stderr}");
}
