//! Who may ask: tokens on public addresses, no other sites on private ones, browsers' spans.

use std::io::Write;

use tempfile::{NamedTempFile, TempDir};

use crate::http::{self, Answer};
use crate::otlp::one_span;
use crate::process::run;
use crate::server::{Server, serve};

/// A path of the API with a token, if any.
fn ask(server: &Server, path: &str, token: Option<&str>) -> Answer {
    let authorization = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> =
        authorization.iter().map(|text| ("authorization", text.as_str())).collect();
    http::request("GET", &format!("{}{path}", server.url()), &headers, None)
}

#[test]
fn a_public_address_needs_a_token() {
    let folder = TempDir::new().expect("a temporary folder");
    let data_dir = folder.path().join("data");
    let finished = run(serve(&data_dir).args(["--listen", "0.0.0.0"]), b"");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for way_out in ["--token-file", "--insecure-public", "0.0.0.0"] {
        assert!(finished.stderr.contains(way_out), "{way_out} is not in {}", finished.stderr);
    }
    assert!(!data_dir.exists(), "nothing was made");
}

#[test]
fn a_token_is_asked_for() {
    let mut file = NamedTempFile::new().expect("a temporary file");
    writeln!(file, "s3cret").expect("writing a token");
    let path = file.path().to_str().expect("a path in UTF-8");
    let server = Server::start_with(&["--listen", "0.0.0.0", "--token-file", path]);
    for path in ["/api/v1/services", "/api/v1/traces", "/api/v1/status", "/api/v1/no-such-path"] {
        for wrong in [None, Some(""), Some("S3cret"), Some("s3cret2"), Some("s3cre")] {
            let answer = ask(&server, path, wrong);
            assert_eq!(answer.status, 401, "{path} with {wrong:?}: {}", answer.text());
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            assert!(answer.json()["error"].is_string());
        }
    }
    let sample = format!("{}/api/v1/sample", server.url());
    assert_eq!(http::request("POST", &sample, &[], Some(b"")).status, 401);
    ask(&server, "/api/v1/services", Some("s3cret")).ok();
    // A public address has public names, and the UI's files hold no data.
    let host = [("host", "spans.example"), ("authorization", "Bearer s3cret")];
    http::request("GET", &format!("{}/api/v1/services", server.url()), &host, None).ok();
    ask(&server, "/", None).ok();
    // Receivers are for everyone.
    server.export(&one_span(7)).ok();

    let client = |token: &str| {
        let mut command = server.client(&["search", "--json"]);
        run(command.env("SPANFALL_TOKEN", token), b"")
    };
    let found = client("s3cret");
    assert_eq!((found.code, found.stdout.lines().count()), (Some(0), 1), "{found:?}");
    let refused = client("wrong");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("token"), "{}", refused.stderr);
    assert!(!server.process.output().contains("s3cret"), "the token is in the log");
}

#[test]
fn insecure_public_is_obeyed() {
    let server = Server::start_with(&["--listen", "0.0.0.0", "--insecure-public"]);
    server.api("/services").ok();
}

#[test]
fn other_names_for_this_machine_are_refused() {
    let server = Server::start();
    let with_host = |host: &str, path: &str| {
        http::request("GET", &format!("{}{path}", server.url()), &[("host", host)], None)
    };
    for host in ["evil.example", "evil.example:16686", "localhost.evil.example"] {
        for path in ["/api/v1/services", "/api/v1/status", "/"] {
            let answer = with_host(host, path);
            assert_eq!(answer.status, 403, "{host} {path}: {}", answer.text());
        }
    }
    for host in ["localhost", "localhost:1234", "127.0.0.1:16686", "[::1]:80"] {
        with_host(host, "/api/v1/services").ok();
    }
}

#[test]
fn other_sites_change_nothing() {
    let server = Server::start();
    let url = format!("{}/api/v1/sample", server.url());
    let post = |origin: &str| http::request("POST", &url, &[("origin", origin)], Some(b""));
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(post(origin).status, 403, "{origin}");
    }
    assert_eq!(server.json("/status")["span_count"], 0);
    post(&server.url()).ok();
}

#[test]
fn browsers_may_send_spans() {
    let server = Server::start_with(&["--cors-allowed-origin", "https://shop.example"]);
    let url = format!("http://{}/v1/traces", server.at.otlp_http);
    let preflight = |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type"),
        ];
        http::request("OPTIONS", &url, &headers, None)
    };
    for origin in ["https://shop.example", "http://localhost:3000"] {
        let answer = preflight(origin);
        assert!((200..300).contains(&answer.status), "{origin}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert!(answer.header("access-control-allow-methods").contains("POST"), "{answer:?}");
        let headers = answer.header("access-control-allow-headers").to_ascii_lowercase();
        assert!(headers.contains("content-type"), "{answer:?}");
        let headers = [("origin", origin), ("content-type", "application/x-protobuf")];
        let sent = http::request("POST", &url, &headers, Some(&one_span(1))).ok();
        assert_eq!(sent.header("access-control-allow-origin"), origin);
    }
    let refused = preflight("https://evil.example");
    assert_eq!(refused.header("access-control-allow-origin"), "", "{refused:?}");
}
