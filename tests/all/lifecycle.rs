//! A server's life: what it says of itself, and how it ends.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::http;
use crate::otlp::{Small, now, one_span, request};
use crate::server::{Server, serve};

#[test]
fn status_and_banner_agree() {
    let server = Server::start();
    let status = server.json("/status");
    for (name, address) in [
        ("otlp_grpc", &server.at.otlp_grpc),
        ("otlp_http", &server.at.otlp_http),
        ("ui", &server.at.ui),
        ("jaeger_grpc", &server.at.jaeger_grpc),
        ("zipkin", &server.at.zipkin),
        ("tempo", &server.at.tempo),
        ("health", &server.at.health),
        ("metrics", &server.at.metrics),
    ] {
        let listeners = status["listeners"].as_array().expect("listeners");
        let listener = listeners.iter().find(|listener| listener["name"] == name);
        let listener = listener.unwrap_or_else(|| panic!("{name} is not in {status}"));
        assert_eq!(listener["address"], address.as_str());
    }
}

#[test]
fn health_answers_on_both_paths() {
    let server = Server::start();
    for path in ["/", "/status"] {
        let answer = http::get(&format!("http://{}{path}", server.at.health)).ok();
        let answer = answer.json();
        assert_eq!(answer["status"], "Server available", "{answer}");
        assert_eq!(answer["problems"], serde_json::json!([]), "{answer}");
    }
    assert_eq!(http::get(&format!("http://{}/nope", server.at.health)).status, 404);
}

#[test]
fn metrics_count_spans() {
    let server = Server::start();
    let metric = |transport: &str| {
        let text = http::get(&format!("http://{}/metrics", server.at.metrics)).ok().text();
        let name = "otelcol_receiver_accepted_spans_total";
        let line = format!("{name}{{receiver=\"otlp\",transport=\"{transport}\"}} ");
        let value = text.lines().find_map(|text| text.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("{line} is not in {text}")).to_owned()
    };
    assert_eq!((metric("http"), metric("grpc")), ("0".to_owned(), "0".to_owned()));
    let spans: Vec<Small> = (1..=37)
        .map(|span_id| Small {
            trace_id: 1,
            span_id,
            parent_id: 0,
            name: "x".to_owned(),
            start: now(),
            duration_nano: 1,
        })
        .collect();
    server.export(&request("x", &spans)).ok();
    server.export(&one_span(2)).ok();
    assert_eq!((metric("http"), metric("grpc")), ("38".to_owned(), "0".to_owned()));
}

/// Sends half of a request, then the signal, then the other half.
fn drains(signal: Signal) {
    let mut server = Server::start();
    let body = one_span(9);
    let mut stream = TcpStream::connect(&server.at.otlp_http).expect("a connection");
    let (first, second) = body.split_at(10);
    write!(
        stream,
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
         content-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .expect("sending a head");
    // The server asks for the body: the request is in its hands.
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).expect("100 Continue");
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(first).expect("sending");
    server.process.signal(signal);
    server.process.wait_for("that it stops", |text| text.contains("Stopping").then_some(()));
    stream.write_all(second).expect("sending the rest");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("an answer");
    assert!(rest.starts_with("HTTP/1.1 200"), "{rest}");
    let status = server.process.wait();
    assert_eq!(status.code(), Some(0), "{}", server.process.output());
}

#[test]
fn sigterm_drains_and_exits_0() {
    drains(Signal::TERM);
}

#[test]
fn sigint_drains_and_exits_0() {
    drains(Signal::INT);
}

#[test]
fn idle_connections_hold_up_nothing() {
    let server = Server::start();
    let idle: Vec<TcpStream> =
        [&server.at.otlp_http, &server.at.otlp_grpc, &server.at.ui, &server.at.health]
            .into_iter()
            .map(|address| TcpStream::connect(address).expect("a connection"))
            .collect();
    // Keep-alive ones, too.
    server.json("/status");
    let output = server.stop();
    assert!(!output.contains("still in flight"), "they were waited for: {output}");
    drop(idle);
}

/// The command in a shell that lets it open so many files.
fn with_open_files(limit: u32, command: &Command) -> Command {
    let mut inside = Command::new("sh");
    inside.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]);
    inside.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    inside
}

#[test]
fn idle_connections_leave_room_for_health_and_the_store() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let data_dir: &Path = &folder.path().join("data");
    let server = Server::run(with_open_files(160, &serve(data_dir)));
    // Far more than the process may open, and each refused one is told so.
    let mut refused = BTreeMap::new();
    let mut idle = Vec::new();
    for (name, address) in [
        ("ui", &server.at.ui),
        ("otlp_http", &server.at.otlp_http),
        ("otlp_grpc", &server.at.otlp_grpc),
    ] {
        for _ in 0..100 {
            idle.push(TcpStream::connect(address).expect("a connection"));
        }
        let mut last = TcpStream::connect(address).expect("a connection");
        let mut answer = Vec::new();
        last.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{name}: {answer}");
        refused.insert(name, 101);
    }
    server.wait_for_health(200);
    let metrics = http::get(&format!("http://{}/metrics", server.at.metrics)).ok().text();
    for (name, sent) in refused {
        let line = match name.strip_prefix("otlp_") {
            None => format!("spanfall_refused_connections_total{{listener=\"{name}\"}} "),
            Some(transport) => format!(
                "spanfall_receiver_refused_connections_total\
                 {{receiver=\"otlp\",transport=\"{transport}\"}} "
            ),
        };
        let value = metrics.lines().find_map(|text| text.strip_prefix(&line));
        let value: u32 = value.and_then(|value| value.parse().ok()).expect("a counter");
        assert!((1..sent).contains(&value), "{name}: {value} of {sent}");
    }
    drop(idle);
    // There is room again as soon as the server has seen them go.
    crate::process::wait_until("room for a request", || {
        let url = format!("http://{}/v1/traces", server.at.otlp_http);
        let headers = [("content-type", "application/x-protobuf")];
        let answer = http::send("POST", &url, &headers, Some(&one_span(1))).ok()?;
        (answer.status == 200).then_some(())
    });
    crate::process::wait_until("the span", || {
        let url = format!("{}/api/v1/traces/{:032x}", server.url(), 1);
        (http::send("GET", &url, &[], None).ok()?.status == 200).then_some(())
    });
}

/// A sender that closes its side after the request still waits for the answer.
#[test]
fn a_half_closed_connection_is_answered() {
    let server = Server::start();
    let request = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\n\
                   content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let mut stream = TcpStream::connect(&server.at.otlp_http).expect("a connection");
    stream.write_all(request.as_bytes()).expect("sending");
    stream.shutdown(std::net::Shutdown::Write).expect("closing one side");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{request}: {answer}");
}
