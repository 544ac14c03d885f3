//! Made up, found, drawn, exported, imported: the commands against real servers.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::otlp::{Span, spans};
use crate::process::{Finished, run};
use crate::server::Server;

/// Runs a command that must succeed.
fn spanfall(server: &Server, arguments: &[&str]) -> Finished {
    let finished = run(&mut server.client(arguments), b"");
    assert_eq!(finished.code, Some(0), "spanfall {arguments:?}: {finished:?}");
    finished
}

/// A server with some 2,000 made-up spans, and how many: loadgen sends whole traces.
fn loaded() -> (Server, u64) {
    let server = Server::start();
    let finished = spanfall(&server, &["loadgen", "--spans", "2000", "--seed", "1"]);
    let count = server.json("/status")["span_count"].as_u64().expect("a count");
    assert!((2000..2400).contains(&count), "{count}");
    let [thousands, rest] = [count / 1000, count % 1000];
    let shown = format!("{thousands},{rest:03} spans");
    assert!(finished.stdout.contains(&shown), "{shown} is not in {}", finished.stdout);
    (server, count)
}

/// What search lists, newest first.
fn listed(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let arguments: Vec<&str> = [&["search", "--json"], arguments].concat();
    let lines = spanfall(server, &arguments).stdout;
    lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn made_up_spans_are_found_and_drawn() {
    let (server, count) = loaded();
    let all = listed(&server, &["--all"]);
    let counted: u64 = all.iter().filter_map(|trace| trace["span_count"].as_u64()).sum();
    assert_eq!(counted, count);
    for trace in &all {
        assert_eq!(trace["missing_root"], false, "{trace}");
        assert_eq!(trace["orphan_count"], 0, "{trace}");
    }
    assert_eq!(listed(&server, &["--limit", "3"]), all[..3]);
    let starts: Vec<u64> = all
        .iter()
        .map(|trace| {
            trace["start_unix_nano"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
        })
        .collect();
    assert!(starts.is_sorted_by(|a, b| a >= b), "newest first");

    // Services of the list and of the search are the same.
    let service = all[0]["services"][0]["name"].as_str().expect("a service");
    let of_service = listed(&server, &["--all", "--service", service]);
    let names = |trace: &&Value| {
        trace["services"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == service))
    };
    assert_eq!(of_service.len(), all.iter().filter(names).count());
    assert!(!of_service.is_empty() && of_service.len() < all.len());
    assert!(listed(&server, &["--service", "no such service"]).is_empty());
    let table = spanfall(&server, &["search", "--limit", "5"]);
    assert_eq!(table.stdout.lines().count(), 6, "{}", table.stdout);

    let id = all[0]["trace_id"].as_str().expect("an id");
    let spans = spans(&server.json(&format!("/traces/{id}")));
    let drawn = spanfall(&server, &["trace", id]).stdout;
    for span in &spans {
        assert!(drawn.contains(&span.name), "{} is not in {drawn}", span.name);
    }
    assert!(drawn.contains(id), "{drawn}");
    let json = spanfall(&server, &["trace", id, "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).expect("OTLP JSON");
    assert_eq!(sorted(&crate::otlp::spans(&json)), sorted(&spans));

    let unknown = run(&mut server.client(&["trace", "abc"]), b"");
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.stderr.contains("hint: "), "{}", unknown.stderr);
}

fn sorted(spans: &[Span]) -> BTreeSet<String> {
    spans.iter().map(|span| format!("{span:?}")).collect()
}

/// All spans of an export, each with its resource and scope, as sortable text.
fn exported(server: &Server) -> BTreeSet<String> {
    let lines = spanfall(server, &["export", "--format", "jsonl"]).stdout;
    let mut all = BTreeSet::new();
    for line in lines.lines() {
        let document: Value = serde_json::from_str(line).expect("a line of JSON");
        for resource in document["resourceSpans"].as_array().expect("resourceSpans") {
            for scope in resource["scopeSpans"].as_array().expect("scopeSpans") {
                for span in scope["spans"].as_array().expect("spans") {
                    let origin = [
                        &resource["resource"],
                        &resource["schemaUrl"],
                        &scope["scope"],
                        &scope["schemaUrl"],
                    ];
                    let is_new = all.insert(format!("{span} {origin:?}"));
                    assert!(is_new, "twice in an export: {span}");
                }
            }
        }
    }
    all
}

#[test]
fn an_export_imported_elsewhere_is_the_same() {
    let (first, _) = loaded();
    let sample = format!("{}/api/v1/sample", first.url());
    crate::http::request("POST", &sample, &[], Some(b"")).ok();
    let expected = exported(&first);
    assert!(expected.len() > 2000);
    let folder = TempDir::new().expect("a temporary folder");
    for format in ["json", "jsonl", "protobuf"] {
        let file = folder.path().join(format);
        let path = file.to_str().expect("a path in UTF-8");
        spanfall(&first, &["export", "--format", format, "--output", path]);
        let second = Server::start();
        let finished = spanfall(&second, &["import", path]);
        let count = expected.len();
        let said = finished.stdout.replace(',', "");
        assert!(said.contains(&format!("imported {count} spans")), "{said}");
        let again = exported(&second);
        let differs: Vec<_> = expected.symmetric_difference(&again).take(2).collect();
        assert!(differs.is_empty(), "{format}: {differs:#?}");
    }
}

#[test]
fn bad_lines_are_counted_and_the_rest_is_imported() {
    let good = |id: u32| {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{id:032x}","spanId":"{id:016x}","name":"n"}}]}}]}}]}}"#
        )
    };
    let lines = [&good(1), "{ not json", &good(2), r#"{"resourceSpans": 7}"#, &good(3), ""];
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("mixed.jsonl");
    std::fs::write(&file, lines.join("\n")).expect("a file");
    let server = Server::start();
    let finished = import(&server, &file);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let output = format!("{}{}", finished.stdout, finished.stderr);
    assert!(output.contains("imported 3 spans"), "{output}");
    for line in ["2", "4"] {
        assert!(
            output.contains(&format!("line {line}")) || output.contains(&format!(":{line}")),
            "{output}"
        );
    }
    assert_eq!(server.json("/status")["span_count"], 3);

    let missing = import(&server, &folder.path().join("missing.jsonl"));
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(
        format!("{}{}", missing.stdout, missing.stderr).contains("missing.jsonl"),
        "{missing:?}"
    );
}

fn import(server: &Server, file: &Path) -> Finished {
    run(server.client(&["import"]).arg(file), b"")
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let server = Server::start();
    for arguments in
        [&["search"][..], &["trace", "abc"], &["export"], &["loadgen", "--spans", "10"]]
    {
        let mut command = server.client(arguments);
        command.env("SPANFALL_SERVER", "http://127.0.0.1:9");
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        let finished = run(&mut command, b"");
        assert_eq!(finished.code, Some(1), "{arguments:?}: {finished:?}");
        assert!(finished.stderr.contains("127.0.0.1:9"), "{arguments:?}: {}", finished.stderr);
    }
}
