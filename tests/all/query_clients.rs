//! What clients of the query APIs do beside asking: they go away before the answer, and they send
//! headers of their own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::http::{self, encode};
use crate::otlp::{Small, now, request};
use crate::process::{run, wait_until};
use crate::server::Server;

/// A query that counts for a minute and more: its patterns can neither be told by their texts nor
/// run as an automaton that fits in memory.
fn endless() -> String {
    let pattern = |n: usize| format!("name =~ `.*[a-m].{{40,80}}[n-z]{{30}}{n}`");
    let patterns: Vec<String> = (0..100).map(pattern).collect();
    format!("{{ {} }} | rate()", patterns.join(" || "))
}

/// Names for it, of letters in no order.
fn send_long_names(server: &Server) {
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + (state >> 33) as u8 % 26)
    };
    let span = |trace_id| Small {
        trace_id,
        span_id: 1,
        parent_id: 0,
        name: (0..2048).map(|_| letter()).collect(),
        start: now(),
        duration_nano: 1,
    };
    let spans: Vec<Small> = (1..=400).map(span).collect();
    server.export(&request("long", &spans)).ok();
}

/// Asks and does not wait.
fn ask(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("a request");
    stream
}

#[test]
fn who_closes_the_connection_leaves_the_turn_to_others() {
    let server = Server::start();
    send_long_names(&server);
    let (long, short) = (encode(&endless()), encode("{} | rate()"));
    let short = format!("/api/v1/query?q={short}");
    let turns = std::thread::available_parallelism().map_or(1, usize::from);
    for (address, path) in [
        (&server.at.ui, format!("/api/v1/query?q={long}")),
        (&server.at.ui, format!("/api/v1/query?stream=true&q={long}")),
        (&server.at.tempo, format!("/api/metrics/query_range?q={long}")),
    ] {
        let clients: Vec<TcpStream> = (0..3 * turns).map(|_| ask(address, &path)).collect();
        // They have all turns when another query gets none.
        wait_until("all turns taken", || {
            let mut stream = ask(&server.at.ui, &short);
            stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
            stream.read(&mut [0]).is_err().then_some(())
        });
        drop(clients);
        http::get(&format!("{}{short}", server.url())).ok();
    }
}

/// Ticks of processor time that a process has taken; 100 are a second (proc(5)).
#[cfg(target_os = "linux")]
fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("its numbers");
    let (_, fields) = stat.rsplit_once(')').expect("its name");
    let number = |field: &str| field.parse::<u64>().expect("a number");
    fields.split_whitespace().skip(11).take(2).map(number).sum()
}

/// One that takes longer than an end may take: it is told that it has no answer.
#[cfg(target_os = "linux")]
#[test]
fn an_end_waits_for_no_endless_query_and_says_so() {
    let mut server = Server::start();
    send_long_names(&server);
    let path = format!("/api/v1/query?q={}", encode(&endless()));
    let before = ticks(server.process.id());
    let mut client = ask(&server.at.ui, &path);
    wait_until("a query at work", || (ticks(server.process.id()) > before + 50).then_some(()));
    server.process.signal(rustix::process::Signal::TERM);
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("the store is being closed"), "{answer}");
    let status = server.process.wait();
    let output = server.process.output();
    assert_eq!(status.code(), Some(0), "{output}");
    assert!(!output.contains("still running") && !output.contains("in flight"), "{output}");
}

/// What Grafana adds to the requests of its data sources, and what tells tenants of other servers
/// apart.
const HEADERS: [(&str, &str); 12] = [
    ("user-agent", "Grafana/12.1.0"),
    ("x-grafana-org-id", "1"),
    ("x-grafana-user", "admin"),
    ("x-grafana-device-id", "0123456789abcdef"),
    ("x-grafana-from-expr", "true"),
    ("x-datasource-uid", "tempo"),
    ("x-dashboard-uid", "abc"),
    ("x-panel-id", "7"),
    ("x-query-group-id", "0f0f"),
    ("x-plugin-id", "grafana-exploretraces-app"),
    ("x-scope-orgid", "tenant-1"),
    ("x-query-tags", "Source=grafana,Feature=explore"),
];

#[test]
fn headers_of_grafana_mean_nothing() {
    let server = Server::start();
    let mut load = server.client(&["loadgen", "--spans", "1500", "--seed", "3"]);
    assert_eq!(run(&mut load, b"").code, Some(0));
    let id = server.json("/traces?limit=1")["traces"][0]["trace_id"].clone();
    let id = id.as_str().expect("an id");
    let (find, count) = (encode("{ status = error }"), encode("{} | count_over_time()"));
    let calls = encode("traces_service_graph_request_total");
    // Times that stay the same.
    let (end, start) = (now() / 1_000_000_000 + 60, now() / 1_000_000_000 - 3600);
    let tempo = |path: String| format!("http://{}{path}", server.at.tempo);
    let ui = |path: String| format!("{}{path}", server.url());
    for url in [
        tempo("/api/echo".to_owned()),
        tempo("/api/status/buildinfo".to_owned()),
        tempo(format!("/api/v2/traces/{id}")),
        tempo(format!("/api/search?q={find}&start={start}&end={end}")),
        tempo("/api/v2/search/tags".to_owned()),
        tempo("/api/v2/search/tag/resource.service.name/values".to_owned()),
        tempo(format!("/api/metrics/query_range?q={count}&start={start}&end={end}&step=60s")),
        tempo(format!("/api/metrics/query_range?q={count}&start={start}&end={start}")),
        ui("/api/services".to_owned()),
        ui(format!("/api/traces/{id}")),
        ui("/api/traces?service=frontend&limit=5".to_owned()),
        ui(format!("/prometheus/api/v1/query?query={calls}&time={end}")),
        ui(format!("/api/v1/query?q={find}&start={start}000000000&end={end}000000000")),
        format!("http://{}/api/v2/services", server.at.zipkin),
    ] {
        let plain = http::get(&url);
        let with = http::request("GET", &url, &HEADERS, None);
        assert_eq!((with.status, with.text()), (plain.status, plain.text()), "{url}");
        assert_eq!(plain.status == 400, url.contains(&format!("end={start}")), "{plain:?}");
        assert!(plain.status == 200 || plain.status == 400, "{url}: {plain:?}");
    }
}
