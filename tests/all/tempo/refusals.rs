//! What is refused and how, and the streaming service beside HTTP.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::{get, list, loaded};
use crate::http::{self, encode};
use crate::otlp::one_span;
use crate::process::run;
use crate::server::Server;
use crate::tools;

#[test]
fn what_is_wrong_is_told_and_where() {
    let (server, id) = loaded();
    let query = |path: &str, text: &str| format!("{path}?q={}", encode(text));
    let search = |text: &str| query("/api/search", text);
    let range = |text: &str| query("/api/metrics/query_range", text);
    for (path, said) in [
        (search("{ status = }"), "parse error at line 1, col 12: "),
        (search("{ duration >\n durations }"), "parse error at line 2, col 2: "),
        (search("{ 1 + 1 }"), "line 1, col "),
        (search("{} | rate()"), "/api/metrics/query_range"),
        (range("{}"), "/api/search"),
        (range("{} | rate("), "parse error at line 1, col "),
        (range("{} | rate()") + "&step=1ms&since=10h", "invalid step: "),
        (range("{} | rate()") + "&step=soon", "invalid step: "),
        (range("{} | rate()") + "&start=200&end=100", "invalid start: "),
        (range("{} | rate()") + "&exemplars=many", "invalid exemplars: "),
        ("/api/metrics/query".to_owned(), "invalid q: "),
        ("/api/search?limit=0".to_owned(), "invalid limit: "),
        ("/api/search?limit=-1".to_owned(), "invalid limit: "),
        ("/api/search?spss=1000".to_owned(), "invalid spss: "),
        ("/api/search?start=yesterday".to_owned(), "invalid start: "),
        ("/api/search?end=1e99".to_owned(), "invalid end: "),
        ("/api/search?minDuration=10".to_owned(), "invalid minDuration: "),
        ("/api/search?tags=nothing".to_owned(), "invalid tags: "),
        ("/api/search?tags=a%3Db&q=%7B%7D".to_owned(), "invalid tags: "),
        ("/api/search?cursor=x".to_owned(), "invalid cursor: "),
        ("/api/traces/xyz".to_owned(), "invalid trace id: "),
        ("/api/v2/traces/xyz".to_owned(), "invalid trace id: "),
        (format!("/api/v2/traces/{id}0"), "invalid trace id: "),
        (format!("/api/v2/traces/{id}?start=x"), "invalid start: "),
        ("/api/search/tags?scope=planet".to_owned(), "invalid scope: "),
        ("/api/v2/search/tags?limit=x".to_owned(), "invalid limit: "),
        ("/api/v2/search/tag/resource./values".to_owned(), "parse error at line 1, col "),
        ("/api/v2/search/tag/name/values?start=x".to_owned(), "invalid start: "),
        ("/api/search/tag/name/values?limit=x".to_owned(), "invalid limit: "),
    ] {
        let answer = get(&server, &path, "*/*");
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert!(answer.header("content-type").starts_with("text/plain"), "{path}");
        assert!(answer.text().contains(said), "{path}: {}", answer.text());
        let answer = get(&server, &path, "application/json").json();
        assert!(answer["error"].is_string() && answer["parameter"].is_string(), "{path}: {answer}");
    }
    let misspelt = get(&server, &search("{ status = }"), "application/json").json();
    assert_eq!((&misspelt["line"], &misspelt["column"]), (&json!(1), &json!(12)), "{misspelt}");
    assert!(list(&misspelt["expected"]).len() > 1, "{misspelt}");
    let caret = misspelt["caret"].as_str().expect("a caret");
    assert!(caret.starts_with("{ status = }\n           ^ expected "), "{caret}");

    assert_eq!(get(&server, "/api/nope", "*/*").status, 404);
    let url = format!("http://{}/api/search", server.at.tempo);
    assert_eq!(http::request("PUT", &url, &[], Some(b"")).status, 405);
}

/// What the client in Python saw.
fn client(server: &Server, token: &[&str]) -> Value {
    let mut command = Command::new(tools::python().join("python"));
    command.arg(tools::folder().join("apps/tempo_client.py")).arg(&server.at.tempo).args(token);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*").env("no_proxy", "*");
    let finished = run(&mut command, b"");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

#[test]
fn the_streaming_service_says_what_http_says() {
    let (server, _) = loaded();
    let found = client(&server, &[]);
    assert_eq!(list(&found["services"]).len(), 7, "{}", found["services"]);
    assert_eq!(list(&found["health"][0]["traces"]).len(), 1);
    // A stream tells piece by piece what HTTP tells at once.
    let messages = list(&found["search"]);
    let mut streamed: Vec<Value> = Vec::new();
    for message in messages {
        for trace in message["traces"].as_array().into_iter().flatten() {
            streamed.retain(|known| known["traceID"] != trace["traceID"]);
            streamed.push(trace.clone());
        }
    }
    let ids = |traces: &[Value]| -> BTreeSet<String> {
        traces.iter().map(|trace| trace["traceID"].to_string()).collect()
    };
    let at_once = list(&found["search_http"]["traces"]);
    assert_eq!(at_once.len(), 5);
    assert!(ids(&streamed).is_superset(&ids(at_once)), "{streamed:?}");
    let last = &messages[messages.len() - 1]["metrics"];
    assert_eq!(last["completedJobs"], last["totalJobs"]);
    assert_eq!(list(&found["search_tags"][0]["traces"]).len(), 2);
    for call in ["tags", "tags_v2", "values", "values_v2"] {
        assert_eq!(found[call][0], found[format!("{call}_http")], "{call}");
        assert_eq!(list(&found[call]).len(), 1, "{call}");
    }
    for call in ["range", "instant"] {
        let streamed = list(&found[call][0]["series"]);
        assert_eq!(streamed.len(), list(&found[format!("{call}_http")]["series"]).len(), "{call}");
        assert!(streamed.len() > 5, "{call}");
    }
    for (call, column) in [("misspelt", 12), ("metrics_misspelt", 6)] {
        assert_eq!(found[call]["code"], "INVALID_ARGUMENT", "{}", found[call]);
        let details = found[call]["details"].as_str().expect("details");
        let spot = format!("\n{}^", " ".repeat(column - 1));
        assert!(
            details.contains(&format!("col {column}: ")) && details.contains(&spot),
            "{details}"
        );
    }
}

#[test]
fn the_token_is_asked_for_over_http_and_grpc() {
    let server = Server::start_with(&["--listen", "0.0.0.0", "--token", "s3cret"]);
    server.export(&one_span(7)).ok();
    for path in ["/api/echo", "/api/search", "/api/traces/7", "/api/nope"] {
        let answer = get(&server, path, "*/*");
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{path}");
    }
    assert_eq!(get(&server, "/ready", "*/*").status, 200);
    let grpc = [("content-type", "application/grpc")];
    let url = format!("http://{}/tempopb.StreamingQuerier/Search", server.at.tempo);
    let refused = http::request("POST", &url, &grpc, Some(b"\0\0\0\0\0"));
    assert_eq!(refused.header("grpc-status"), "16", "{refused:?}");
    let found = client(&server, &["s3cret"]);
    assert_eq!(list(&found["health"][0]["traces"]).len(), 1);

    let local = Server::start();
    let url = format!("http://{}/api/echo", local.at.tempo);
    let answer = http::request("GET", &url, &[("host", "evil.example")], None);
    assert_eq!(answer.status, 403, "another site's name for this machine");
}
