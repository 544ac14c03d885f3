//! `spanfall query`: TraceQL on the command line.

use serde_json::Value;

use crate::process::{Finished, run};
use crate::server::Server;

fn loaded() -> Server {
    let server = Server::start();
    let mut load = server.client(&["loadgen", "--spans", "1500", "--seed", "3"]);
    assert_eq!(run(&mut load, b"").code, Some(0));
    server
}

fn ask(server: &Server, arguments: &[&str]) -> Finished {
    let mut all = vec!["query"];
    all.extend(arguments);
    run(&mut server.client(&all), b"")
}

fn asked(server: &Server, arguments: &[&str]) -> Finished {
    let finished = ask(server, arguments);
    assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
    finished
}

#[test]
fn traces_are_listed_page_by_page() {
    let server = loaded();
    let found = asked(&server, &["{ kind = server }", "-n", "3", "--since", "1h", "--explain"]);
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", found.stdout);
    assert!(lines[0].starts_with("START") && lines[1].contains(": "), "{}", found.stdout);
    assert!(found.stderr.contains("looked at ") && found.stderr.contains("--limit gives more"));
    let told = ["looked at ", "not read: ", "  STEP ", "  filter ", "  COLUMN ", "  span:kind "];
    assert!(told.iter().all(|told| found.stderr.contains(told)), "{}", found.stderr);
    assert!(!found.stderr.contains("span.http"), "{}", found.stderr);
    assert_eq!(asked(&server, &["{}"]).stdout.lines().count(), 21);

    let all = asked(&server, &["{}", "-n", "5000", "--json"]);
    let ids: Vec<String> = all
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["trace_id"].to_string())
        .collect();
    let mut distinct = ids.clone();
    distinct.sort();
    distinct.dedup();
    assert!(ids.len() > 50 && distinct.len() == ids.len(), "{} of {}", distinct.len(), ids.len());

    let drawn = asked(&server, &["{ kind = server }", "-n", "1", "--waterfall"]);
    assert!(drawn.stdout.contains("\ntrace ") && drawn.stdout.contains('█'), "{}", drawn.stdout);
    let none = asked(&server, &["{ .no = `such` }", "--start", "-1h", "--end", "now"]);
    assert!(none.stdout.is_empty() && none.stderr.contains("no traces"), "{none:?}");
}

#[test]
fn series_are_drawn() {
    let server = loaded();
    let one = asked(&server, &["{} | rate()", "--since", "10m", "--step", "30s", "--explain"]);
    let lines: Vec<&str> = one.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0]), (11, "rate"), "{}", one.stdout);
    assert!(one.stdout.contains('█') && lines[9].contains('└') && lines[10].contains("T"));
    let several = asked(&server, &["{} | count_over_time() by(resource.service.name) | topk(3)"]);
    assert!(several.stdout.contains("resource.service.name=frontend"), "{}", several.stdout);
    let json = asked(&server, &["{} | count_over_time()", "--json", "--step", "1h"]);
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let values = json["series"][0]["values"].as_array().expect("values");
    let total: f64 = values.iter().filter_map(Value::as_f64).sum();
    assert_eq!(total, server.json("/status")["span_count"].as_f64().expect("a count"));
    assert!(asked(&server, &["{ .no = `such` } | rate()"]).stderr.contains("no series"));
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    let server = Server::start();
    let wrong = ask(&server, &["{ status = }"]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""), "{wrong:?}");
    let lines: Vec<&str> = wrong.stderr.lines().collect();
    assert!(lines[0].starts_with("error: parse error at line 1, col 12: "), "{}", wrong.stderr);
    assert_eq!(lines[1], "  { status = }");
    assert!(lines[2].starts_with("             ^ expected "), "{}", wrong.stderr);
    for (arguments, code, said) in [
        (&["{} | rate()", "--step", "1ms", "--since", "10h"][..], 1, "error: --step: "),
        (&["{} | rate()", "-n", "5"], 1, "error: --limit: this is for searches, and this query"),
        (&["{}", "--step", "1m"], 1, "error: --step: "),
        (&[""], 1, "error: the argument TRACEQL: write a TraceQL query"),
        // What needs no look at the query is wrong usage.
        (&["{}", "--start", "soon"], 2, "--start"),
    ] {
        let wrong = ask(&server, arguments);
        assert_eq!(wrong.code, Some(code), "{arguments:?}: {wrong:?}");
        assert!(wrong.stderr.contains(said), "{arguments:?}: {}", wrong.stderr);
    }
}
