//! One exporter, and all that can go wrong with its backend.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tonic::Code;

use super::proxy::Fault;
use super::refuser::Refuser;
use super::{Collector, Config, Heard, Ledger, SPANS, backend, export_to, port, wait_for};
use crate::process::wait_until;

/// More than the time that an attempt has.
const ATTEMPT: Duration = Duration::from_millis(1200);

/// Requests that a queue may hold.
const QUEUE_SIZE: u64 = 8;

const BUSY: &str =
    "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
const BAD: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nno!";
/// Said to be a success, and ends before its body does.
const HEADERS_ONLY: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 10\r\n\r\n";

/// What both protocols have to live with.
const FAULTS: [Fault; 6] = [
    Fault::Reset,
    Fault::Silent,
    Fault::Deaf,
    // Each attempt has a second.
    Fault::Late(Duration::from_secs(3)),
    Fault::Cut(60),
    Fault::CutAndReset(0),
];

/// Until it is down no longer, the queue fills and senders are told to come again; through all
/// other faults, what was acknowledged arrives.
fn outlives_all(kind: &'static str, is_on_disk: bool) {
    let folder = TempDir::new().expect("a temporary folder");
    let (backend, proxy) = backend(kind, Fault::Refused);
    let storage = if is_on_disk { ", storage: file_storage" } else { "" };
    let queue = format!("{{queue_size: {QUEUE_SIZE}, num_consumers: 2{storage}}}");
    let config = Config {
        exporters: vec![(kind, export_to(kind, &proxy.address.to_string(), &queue))],
        storage: is_on_disk.then(|| folder.path().join("queues")),
        ..Config::default()
    };
    let mut collector = Collector::start(folder.path(), &config);
    let ledger = Ledger::default();

    // Down: as much is taken as the queue holds, and not one more.
    for _ in 0..QUEUE_SIZE / 2 {
        assert_eq!(collector.send(&ledger), [Heard::Taken; 2]);
    }
    for _ in 0..3 {
        assert_eq!(collector.send(&ledger), [Heard::Later; 2]);
    }
    for (metric, expected) in [
        ("otelcol_receiver_accepted_spans", QUEUE_SIZE * SPANS),
        ("otelcol_receiver_refused_spans", ledger.later_spans()),
        ("otelcol_exporter_enqueue_failed_spans", ledger.later_spans()),
        ("otelcol_exporter_send_failed_spans", 0),
        ("otelcol_exporter_sent_spans", 0),
        ("otelcol_exporter_queue_size", QUEUE_SIZE),
        ("otelcol_exporter_queue_capacity", QUEUE_SIZE),
    ] {
        assert_eq!(collector.metric(metric, &[]), expected, "{metric}");
    }
    if is_on_disk {
        collector.process.kill();
        collector = Collector::start(folder.path(), &config);
        // It counts anew, what is there is still there, and is still as much as there may be.
        collector.wait_for_metric("otelcol_exporter_queue_size", &[], QUEUE_SIZE);
        assert_eq!(collector.send(&ledger), [Heard::Later; 2]);
    }
    proxy.set(Fault::None);
    wait_for(&backend, &ledger.taken());

    let own: &[Fault] = match kind {
        "otlp_http" => &[Fault::Says(BUSY), Fault::Says(HEADERS_ONLY)],
        _ => &[],
    };
    for &fault in FAULTS.iter().chain(own) {
        collector.wait_for_metric("otelcol_exporter_queue_size", &[], 0);
        proxy.set(fault);
        let begun = Instant::now();
        assert_eq!(collector.send(&ledger), [Heard::Taken; 2], "{fault:?}");
        if matches!(fault, Fault::Silent | Fault::Deaf | Fault::Late(_)) {
            proxy.wait_until_met(1);
            wait_until("the end of an attempt", || (begun.elapsed() > ATTEMPT).then_some(()));
        } else {
            // Each of the requests has an attempt behind it, and one another.
            proxy.wait_until_met(3);
        }
        proxy.set(Fault::None);
        wait_for(&backend, &ledger.taken());
    }
    if kind == "otlp_grpc" {
        for (code, again) in [(Code::Unavailable, false), (Code::ResourceExhausted, true)] {
            let refuser = Refuser::start(code, again);
            proxy.lead_to(&refuser.address);
            assert_eq!(collector.send(&ledger), [Heard::Taken; 2], "{code:?}");
            proxy.lead_to(port(&backend, kind));
            wait_for(&backend, &ledger.taken());
        }
    }
    collector.wait_for_metric("otelcol_exporter_queue_size", &[], 0);
    collector.wait_for_metric("otelcol_exporter_sent_spans", &[], ledger.taken_spans());
    assert_eq!(collector.metric("otelcol_exporter_send_failed_spans", &[]), 0);

    // What the backend will never take is given up: counted by its reason, and logged.
    let refuser = Refuser::start(Code::InvalidArgument, false);
    match kind {
        "otlp_http" => proxy.set(Fault::Says(BAD)),
        _ => proxy.lead_to(&refuser.address),
    }
    assert_eq!(collector.send(&Ledger::default()), [Heard::Taken; 2]);
    let permanent = ["reason=\"permanent\""];
    collector.wait_for_metric("spanfall_exporter_dropped_items", &permanent, 2 * SPANS);
    assert_eq!(collector.metric("otelcol_exporter_send_failed_spans", &[]), 2 * SPANS);
    assert_eq!(collector.metric("otelcol_exporter_sent_spans", &[]), ledger.taken_spans());
    collector.wait_for_metric("otelcol_exporter_queue_size", &[], 0);
    let output = collector.stop();
    assert!(output.contains("spans are dropped"), "{output}");
}

#[test]
fn http_with_a_queue_in_memory() {
    outlives_all("otlp_http", false);
}

#[test]
fn http_with_a_queue_on_disk() {
    outlives_all("otlp_http", true);
}

#[test]
fn grpc_with_a_queue_in_memory() {
    outlives_all("otlp_grpc", false);
}

#[test]
fn grpc_with_a_queue_on_disk() {
    outlives_all("otlp_grpc", true);
}

/// Without a queue the sender hears what the backend said, and has its spans still.
#[test]
fn without_a_queue_the_sender_hears_it() {
    for kind in ["otlp_http", "otlp_grpc"] {
        let folder = TempDir::new().expect("a temporary folder");
        let (backend, proxy) = backend(kind, Fault::Reset);
        let to = proxy.address.to_string();
        let settings = export_to(kind, &to, "{enabled: false}");
        let settings =
            settings.replace("retry_on_failure: {", "retry_on_failure: {enabled: false, ");
        let config = Config { exporters: vec![(kind, settings)], ..Config::default() };
        let collector = Collector::start(folder.path(), &config);
        let ledger = Ledger::default();
        for fault in [Fault::Refused, Fault::Reset, Fault::Silent, Fault::CutAndReset(0)] {
            proxy.set(fault);
            assert_eq!(collector.send(&ledger), [Heard::Later; 2], "{kind} {fault:?}");
        }
        proxy.set(Fault::None);
        assert_eq!(collector.send(&ledger), [Heard::Taken; 2]);
        wait_for(&backend, &ledger.taken());
        let returned = ["reason=\"returned\""];
        let count = collector.metric("spanfall_exporter_dropped_items", &returned);
        assert_eq!(count, ledger.later_spans(), "{kind}");
        let refused = collector.metric("otelcol_receiver_refused_spans", &[]);
        assert_eq!(refused, ledger.later_spans(), "{kind}");
    }
}
