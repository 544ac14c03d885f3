//! The binary as a Collector: configurations from files, what is wrong with them, and reloads.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http;
use crate::otlp::one_span;
use crate::process::{Finished, Process, run, wait_until};
use crate::server::spanfall;

/// A configuration file, and the process that runs it.
struct Collector {
    folder: TempDir,
    process: Process,
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("collector.yaml")
}

/// `spanfall serve` with a file and assignments. Own metrics are not what these tests look at.
fn serve(path: &Path, sets: &[&str]) -> Command {
    let mut command = spanfall();
    command.arg("serve").arg("--config").arg(path);
    for set in sets.iter().chain(&["service.telemetry.metrics.level=none"]) {
        command.args(["--set", set]);
    }
    command
}

impl Collector {
    fn start(text: &str) -> Self {
        Self::start_with(text, &[])
    }

    fn start_with(text: &str, sets: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::write(file(&folder), text).expect("a configuration");
        let mut process = Process::start(&mut serve(&file(&folder), sets));
        process.wait_for("that it is ready", |text| text.contains("is ready").then_some(()));
        Self { folder, process }
    }

    /// Where it listens, by the title in the banner.
    fn address(&mut self, title: &str) -> String {
        let address = |text: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(title))?;
            let address = line.trim().trim_start_matches("http://").split('/').next()?;
            Some(address.replace("localhost", "127.0.0.1"))
        };
        self.process.wait_for(title, address)
    }

    /// Writes another configuration.
    fn write(&self, text: &str) {
        // As editors do: whole, under another name, and then renamed.
        let next = self.folder.path().join("next.yaml");
        std::fs::write(&next, text).expect("a configuration");
        std::fs::rename(&next, file(&self.folder)).expect("renaming");
    }

    fn wait_for_line(&mut self, text: &str) {
        let text = text.to_owned();
        self.process.wait_for(&text.clone(), move |all| all.contains(&text).then_some(()));
    }

    fn stop(mut self) -> String {
        self.process.signal(Signal::TERM);
        let status = self.process.wait();
        assert_eq!(status.code(), Some(0), "{}", self.process.output());
        self.process.output()
    }
}

fn export(address: &str, id: u128) -> u16 {
    let url = format!("http://{address}/v1/traces");
    let headers = [("content-type", "application/x-protobuf")];
    http::request("POST", &url, &headers, Some(&one_span(id))).status
}

/// What the tutorials of 2021 to 2023 say, as it stands.
const TUTORIAL: &str = "\
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 0.0.0.0:4317
      http:
        endpoint: 0.0.0.0:4318
processors:
  batch:
    timeout: 1s
    send_batch_size: 1024
  resource:
    attributes:
      - key: environment
        value: production
        action: upsert
  probabilistic_sampler:
    sampling_percentage: 10
exporters:
  jaeger:
    endpoint: jaeger:14250
    tls:
      insecure: true
  otlp/tempo:
    endpoint: tempo:4317
    tls:
      insecure: true
  logging:
    loglevel: info
service:
  telemetry:
    metrics:
      address: 0.0.0.0:8888
  pipelines:
    traces:
      receivers: [otlp]
      processors: [batch, resource, probabilistic_sampler]
      exporters: [jaeger, otlp/tempo, logging]
";

#[test]
fn an_old_tutorial_runs_as_it_stands() {
    // But for the ports, which another test may have.
    let sets = [
        "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0",
        "receivers.otlp.protocols.http.endpoint=127.0.0.1:0",
    ];
    let mut collector = Collector::start_with(TUTORIAL, &sets);
    let otlp = collector.address("OTLP/HTTP");
    for id in 1..=200 {
        assert_eq!(export(&otlp, id), 200);
    }
    // Some 20 of them are in the sample and shown by `logging`.
    collector.wait_for_line("Traces");
    let output = collector.stop();
    for (old, today) in [
        ("exporters: \"logging\" is called", "debug"),
        ("exporters: \"otlp\" is called", "otlp_grpc/tempo"),
        ("exporters::jaeger", "otlp_grpc"),
        ("'loglevel' is deprecated", "verbosity"),
        ("'metrics.address'", "readers"),
    ] {
        assert_eq!(output.matches(old).count(), 1, "{old}: {output}");
        let (_, rest) = output.split_once(old).unwrap_or_default();
        let warning = rest.split("\n\n").next().unwrap_or_default();
        assert!(warning.contains(today), "{old}: {warning}");
    }
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let folder = TempDir::new().expect("a temporary folder");
    let text = "\
receivers:
  otlp:
    protocols: {grpc: {endpont: localhost:4317}}
  prometheus: {}
processors:
  batch: {timeout: 5 parsecs}
exporters:
  debgu:
service:
  pipelines:
    traces: {receivers: [otlp, zipkn], processors: [batch], exporters: [debgu]}
";
    std::fs::write(file(&folder), text).expect("a configuration");
    let mut command = spanfall();
    command.arg("validate").arg("--config").arg(file(&folder));
    let Finished { code, stdout, stderr } = run(&mut command, b"");
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    let path = file(&folder).display().to_string();
    for (place, parts) in [
        ("3:24", ["has invalid keys: endpont", "did you mean `endpoint`?"]),
        ("4:3", ["unknown type: \"prometheus\"", "Spanfall does not"]),
        ("6:20", ["unknown unit", "200ms"]),
        ("8:3", ["unknown type: \"debgu\"", "did you mean `debug`?"]),
        ("11:32", ["receiver \"zipkn\" which is not configured", ""]),
    ] {
        let place = format!("--> {path}:{place}\n");
        let own = stderr.split("\n\n").find(|one| one.contains(&place));
        let own = own.unwrap_or_else(|| panic!("{place} is not in {stderr}"));
        for part in parts {
            assert!(own.contains(part), "{part} is not in {own}");
        }
        assert!(own.contains('^'), "{own}");
    }
    // The same for `serve`, which does not start, and for machines.
    let Finished { code, stderr: served, .. } = run(&mut serve(&file(&folder), &[]), b"");
    assert_eq!(code, Some(1));
    assert!(served.contains("debgu") && served.contains("endpont"), "{served}");
    let Finished { code, stdout, .. } = run(command.args(["--format", "json"]), b"");
    assert_eq!(code, Some(1));
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert_eq!(lines.len(), 5, "{stdout}");
}

#[test]
fn flags_beside_a_configuration_are_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    std::fs::write(file(&folder), TUTORIAL).expect("a configuration");
    let mut command = serve(&file(&folder), &[]);
    let Finished { code, stderr, .. } = run(command.args(["--data-dir", "x"]), b"");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--data-dir means nothing beside --config"), "{stderr}");
}

#[test]
fn what_plain_serve_runs_can_be_printed_and_run() {
    let Finished { code, stdout, stderr } = run(spanfall().arg("print-config"), b"");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let folder = TempDir::new().expect("a temporary folder");
    std::fs::write(file(&folder), &stdout).expect("a configuration");
    let mut command = spanfall();
    let finished = run(command.arg("validate").arg("--config").arg(file(&folder)), b"");
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    // A secret is not printed unless asked for.
    let with_token = |mode: &str| {
        let mut command = spanfall();
        command.args(["print-config", "--set", "extensions.spanfall_query.token=s3cret"]);
        run(command.args(["--mode", mode]), b"").stdout
    };
    assert!(!with_token("redacted").contains("s3cret"));
    assert!(with_token("unredacted").contains("s3cret"));
}

const PLAIN: &str = "\
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
exporters: {debug: {verbosity: basic}}
extensions: {health_check: {endpoint: '127.0.0.1:0'}}
service:
  extensions: [health_check]
  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}
";

#[test]
fn a_changed_file_is_taken_over_and_the_receiver_stays() {
    let mut collector = Collector::start(PLAIN);
    let otlp = collector.address("OTLP/HTTP");
    assert_eq!(export(&otlp, 1), 200);
    collector.wait_for_line("\"spans\": 1");
    collector.write(&PLAIN.replace("basic", "detailed"));
    collector.wait_for_line("the new configuration is in force");
    // On the same port, of which nobody would know had it changed.
    assert_eq!(export(&otlp, 2), 200);
    collector.wait_for_line("Trace ID       : 00000000000000000000000000000002");
    let output = collector.stop();
    let line = output.lines().find(|line| line.contains("in force")).unwrap_or_default();
    assert!(line.contains("exporters::debug") && !line.contains("otlp"), "{line}");
}

#[test]
fn another_log_holds_at_once() {
    let mut collector = Collector::start(PLAIN);
    let log = collector.folder.path().join("log.json");
    let with = |logs: &str| {
        PLAIN.replace("service:\n", &format!("service:\n  telemetry: {{logs: {{{logs}}}}}\n"))
    };
    let json =
        with(&format!("encoding: json, output_paths: [{log:?}], initial_fields: {{zone: a}}"));
    collector.write(&json);
    collector.process.signal(Signal::HUP);
    let lines = |wanted: &str| {
        wait_until(wanted, || {
            let text = std::fs::read_to_string(&log).ok()?;
            let line = text.lines().find(|line| line.contains(wanted))?;
            Some(serde_json::from_str::<Value>(line).expect("a line of JSON"))
        })
    };
    let line = lines("the new configuration is in force");
    assert_eq!((&line["level"], &line["zone"]), (&"INFO".into(), &"a".into()), "{line}");
    // A file that cannot be opened changes nothing of it.
    collector.write(&with("output_paths: [/no/such/folder/log]"));
    collector.process.signal(Signal::HUP);
    let line = lines("the log stays as it was");
    assert!(line.to_string().contains("/no/such/folder/log"), "{line}");
    // Less of it, and for people again.
    let spans = collector.folder.path().join("spans.json");
    let quiet = with("level: error")
        .replace("debug: {verbosity: basic}", &format!("file: {{path: {spans:?}}}"))
        .replace("[debug]", "[file]");
    collector.write(&quiet);
    collector.process.signal(Signal::HUP);
    wait_until("the other exporter", || spans.exists().then_some(()));
    collector.write(&quiet.replace("path", "pth"));
    collector.process.signal(Signal::HUP);
    collector.wait_for_line("ERROR spanfall::serve: the new configuration has errors");
    assert!(!collector.stop().contains("is in force"));
}

#[test]
fn ports_are_exchanged_between_a_receiver_and_an_extension() {
    let mut collector = Collector::start(PLAIN);
    let (otlp, health) = (collector.address("OTLP/HTTP"), collector.address("health"));
    let exchanged = PLAIN.replacen("127.0.0.1:0", &health, 1).replacen("127.0.0.1:0", &otlp, 1);
    collector.write(&exchanged);
    collector.process.signal(Signal::HUP);
    collector.wait_for_line("the new configuration is in force");
    assert_eq!(export(&health, 1), 200);
    http::get(&format!("http://{otlp}/")).ok();
    collector.stop();
}

#[test]
fn a_bad_file_changes_nothing_and_is_reported() {
    let mut collector = Collector::start(PLAIN);
    let (otlp, health) = (collector.address("OTLP/HTTP"), collector.address("health"));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address").to_string();
    for (text, told) in [
        (PLAIN.replace("verbosity", "verbostiy"), "did you mean `verbosity`?".to_owned()),
        ("receivers: [".to_owned(), "the old one stays in force".to_owned()),
        // Well written, and it cannot run.
        (PLAIN.replacen("127.0.0.1:0", &taken, 1), format!("cannot listen on {taken}")),
    ] {
        collector.write(&text);
        collector.process.signal(Signal::HUP);
        collector.wait_for_line(&told);
        wait_until("health after a bad file", || {
            let answer = http::send("GET", &format!("http://{health}/"), &[], None).ok()?;
            (answer.status == 200).then_some(())
        });
        // A receiver that had to be started again has its port again, if it named one; this one
        // asked for any.
        let otlp = last_address(&collector, &otlp);
        assert_eq!(export(&otlp, 7), 200, "{}", collector.process.output());
    }
    collector.stop();
}

/// Where OTLP/HTTP is by the log.
fn last_address(collector: &Collector, first: &str) -> String {
    let output = collector.process.output();
    let told = output.lines().rev().find_map(|line| line.split("otlp_http=").nth(1));
    told.and_then(|rest| rest.split_whitespace().next()).unwrap_or(first).to_owned()
}

#[test]
fn the_store_answers_for_what_pipelines_bring() {
    let folder = TempDir::new().expect("a temporary folder");
    let data = folder.path().join("data");
    let text = format!(
        "\
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
processors:
  attributes: {{actions: [{{key: seen.by, value: spanfall, action: insert}}]}}
exporters: {{spanfall/main: {{data_dir: {data:?}, retention: 3d}}}}
extensions:
  spanfall_query:
    store: spanfall/main
    endpoint: 127.0.0.1:0
    tempo: {{enabled: false}}
    jaeger_grpc: {{endpoint: '127.0.0.1:0'}}
service:
  extensions: [spanfall_query]
  pipelines:
    traces: {{receivers: [otlp], processors: [attributes], exporters: [spanfall/main]}}
"
    );
    let mut collector = Collector::start(&text);
    let (otlp, ui) = (collector.address("OTLP/HTTP"), collector.address("web UI and API"));
    assert_eq!(export(&otlp, 5), 200);
    let query = "/api/v1/query?q=%7Bspan.seen.by%3D%22spanfall%22%7D";
    let found = http::get(&format!("http://{ui}{query}")).ok().text();
    assert!(found.contains("00000000000000000000000000000005"), "{found}");
    // A setting of the store changes: it is opened anew, and answers again on the same ports.
    collector.write(&text.replace("3d", "5d"));
    collector.wait_for_line("the new configuration is in force");
    let found = wait_until("the store's answer", || {
        let answer = http::send("GET", &format!("http://{ui}{query}"), &[], None).ok()?;
        (answer.status == 200).then(|| answer.text())
    });
    assert!(found.contains("00000000000000000000000000000005"), "{found}");
    let status = http::get(&format!("http://{ui}/api/v1/status")).ok().json();
    assert_eq!(status["retention_seconds"], 5 * 24 * 3600, "{status}");
    let output = collector.stop();
    assert!(!output.contains("Tempo API"), "{output}");
}

#[test]
fn a_query_without_its_store_is_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    let text = PLAIN.replace(
        "extensions: {health_check: {endpoint: '127.0.0.1:0'}}",
        "extensions: {health_check: , spanfall_query: }",
    );
    let text = text.replace("extensions: [health_check]", "extensions: [spanfall_query]");
    std::fs::write(file(&folder), &text).expect("a configuration");
    let mut command = spanfall();
    let finished = run(command.arg("validate").arg("--config").arg(file(&folder)), b"");
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("no pipeline has it"), "{}", finished.stderr);
}
