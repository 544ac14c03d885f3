//! The web UI of the real server in Chromium.

use std::collections::HashMap;

use serde_json::Value;

use crate::http;
use crate::otlp::{Small, Span, now, request, spans};
use crate::process::run;
use crate::sdk::{Python, checkout};
use crate::server::Server;
use crate::tools;

/// What `visit.mjs` saw.
fn visit(kind: &str, url: &str) -> Value {
    let mut command = tools::node();
    command.arg("browser/visit.mjs").args([kind, url]).env("CHROMIUM", tools::chromium());
    let finished = run(&mut command, b"");
    assert_eq!(finished.code, Some(0), "{}\n{}", finished.stdout, finished.stderr);
    let seen: Value = serde_json::from_str(&finished.stdout).expect("JSON of visit.mjs");
    assert_eq!(seen["complaints"], serde_json::json!([]), "the browser complained");
    seen["result"].clone()
}

/// A span's level, counted from 1 at the root.
fn level(spans: &HashMap<&str, &Span>, span: &Span) -> usize {
    spans.get(span.parent.as_str()).map_or(1, |parent| level(spans, parent) + 1)
}

/// Asserts that the rows are the trace, all of it.
fn rows_are(rows: &Value, spans: &[Span]) {
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), spans.len(), "{rows:#?}");
    let by_id: HashMap<&str, &Span> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    // The rows above a row that are one level less: its parent is the last of them.
    let mut path: Vec<&str> = Vec::new();
    for row in rows {
        let id = row["id"].as_str().expect("an id");
        let span = by_id[id];
        assert_eq!(row["service"], span.service.as_str(), "{row}");
        assert_eq!(row["name"], span.name.as_str(), "{row}");
        assert_eq!(row["durationNano"], span.duration_nano.to_string(), "{row}");
        assert_eq!(row["level"], level(&by_id, span), "{row}");
        let shown = row["duration"].as_str().unwrap_or_default();
        assert!(shown_matches(shown, span.duration_nano), "{shown} for {} ns", span.duration_nano);
        path.truncate(level(&by_id, span) - 1);
        assert_eq!(path.last().copied().unwrap_or_default(), span.parent, "{row}");
        path.push(id);
    }
}

/// Whether a duration as people read it says what it should, to the digits that it shows.
fn shown_matches(shown: &str, nanos: u64) -> bool {
    let unit_at = shown.find(|c: char| !c.is_ascii_digit() && !".,".contains(c));
    let (number, unit) = shown.split_at(unit_at.unwrap_or(shown.len()));
    let scale = match unit.trim() {
        "ns" => 1.0,
        "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return false,
    };
    let Ok(value) = number.replace(',', "").parse::<f64>() else { return false };
    let digits = number.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let last_digit = scale * 10f64.powi(-i32::try_from(digits).unwrap_or(0));
    (value * scale - nanos as f64).abs() <= last_digit
}

#[test]
fn the_page_of_an_sdks_trace_shows_what_the_api_says() {
    let server = Server::start();
    let shop = Python { protocol: None };
    let found = checkout(&shop, &server, &format!("http://{}", server.at.otlp_grpc));
    let seen = visit("trace", &format!("{}/trace/{}", server.url(), found.id));
    rows_are(&seen["waterfall"], &found.spans);
    // The panel of the last row, which is in the backend.
    let panel = seen["panel"].as_str().unwrap_or_default();
    assert!(panel.contains("backend"), "{panel}");
    let results = seen["results"].as_array().expect("results");
    assert!(results.contains(&Value::from(found.id)), "{results:?}");
}

#[test]
fn the_empty_page_makes_a_sample_trace() {
    let server = Server::start();
    let seen = visit("sample", &server.url());
    assert_eq!(seen["languages"].as_array().map(Vec::len), Some(5), "{seen}");
    let text = seen["text"].as_str().unwrap_or_default();
    let port = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
    for address in [&server.at.otlp_grpc, &server.at.otlp_http] {
        assert!(text.contains(&port(address)), "{address} is not in {text}");
    }
    let id = seen["url"].as_str().and_then(|url| url.split("/trace/").nth(1)).expect("a trace");
    let id = &id[..32];
    let spans = spans(&server.json(&format!("/traces/{id}")));
    let rows = seen["waterfall"].as_array().expect("rows");
    // Rows that the window has no room for are not drawn.
    assert!((20..=spans.len()).contains(&rows.len()), "{} of {}", rows.len(), spans.len());
    assert_eq!(rows[0]["level"], 1);
}

/// Spans of the long trace.
const LONG: u64 = 10_000;

#[test]
fn a_trace_of_ten_thousand_spans_opens_and_scrolls() {
    let server = Server::start();
    let trace_id = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
    let start = now() - 60_000_000_000;
    let all: Vec<Small> = (1..=LONG)
        .map(|number| Small {
            trace_id,
            span_id: number,
            // Ten children each: a tree of five levels.
            parent_id: if number == 1 { 0 } else { (number - 2) / 10 + 1 },
            name: format!("step {number}"),
            start: start + number * 1_000_000,
            duration_nano: (LONG + 1 - number) * 1_000_000,
        })
        .collect();
    for part in all.chunks(1000) {
        server.export(&request("long", part)).ok();
    }
    let seen = visit("long", &format!("{}/trace/{trace_id:032x}", server.url()));
    assert_eq!(seen["count"], LONG);
    let ids = |place: &str| -> Vec<String> {
        let rows = seen[place].as_array().expect("rows");
        assert!((20..=200).contains(&rows.len()), "{} rows drawn at the {place}", rows.len());
        rows.iter().map(|row| row["id"].to_string()).collect()
    };
    let (top, middle, end) = (ids("top"), ids("middle"), ids("end"));
    assert!(top.iter().all(|id| !middle.contains(id) && !end.contains(id)));
    assert!(middle.iter().all(|id| !end.contains(id)));
    let last = seen["end"].as_array().and_then(|rows| rows.last()).expect("a last row");
    assert_eq!(last["index"], LONG + 1, "{last}");
    let most = seen["mostRows"].as_u64().expect("a count");
    assert!((20..=200).contains(&most), "{most} rows drawn at once while it scrolled");
    http::get(&server.url()).ok();
}
