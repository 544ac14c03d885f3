//! Queues on disk: kills at any instant, full disks, bounds.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::proxy::Fault;
use super::{
    Collector, Config, Heard, Ledger, SPANS, backend, call, disk_bytes, export_to, next_trace,
    post, spans_named, trace, wait_for,
};
use crate::crash::seed;
use crate::process::wait_until;

/// Sends in both ways until the process is gone.
fn send_until_gone(collector: &Collector, ledger: &Ledger, gone: &AtomicBool) {
    std::thread::scope(|scope| {
        type Send = fn(&str, &[u8]) -> Heard;
        for (send, to) in [(post as Send, &collector.http), (call as Send, &collector.grpc)] {
            scope.spawn(move || {
                while !gone.load(Ordering::Relaxed) {
                    let id = next_trace();
                    if ledger.note(id, send(to, &trace(id))) == Heard::Nothing {
                        return;
                    }
                }
            });
        }
    });
}

fn survives_kills(kind: &'static str, with_batch: bool) {
    const ROUNDS: u32 = 6;
    let mut rng = StdRng::seed_from_u64(seed());
    let folder = TempDir::new().expect("a temporary folder");
    let (backend, proxy) = backend(kind, Fault::Refused);
    let queue = "{queue_size: 100000, storage: file_storage}";
    let batch = ("batch", "{timeout: 200ms, send_batch_size: 50}".to_owned());
    let config = Config {
        processors: with_batch.then_some(batch).into_iter().collect(),
        exporters: vec![(kind, export_to(kind, &proxy.address.to_string(), queue))],
        storage: Some(folder.path().join("queues")),
        ..Config::default()
    };
    let ledger = Ledger::default();
    for round in 0..ROUNDS {
        // Down for good at first; then there, hard to reach or gone.
        let faults = [Fault::None, Fault::Refused, Fault::CutAndReset(0)];
        let fault = if round < 2 { Fault::Refused } else { faults[rng.random_range(0..3)] };
        proxy.set(fault);
        let mut collector = Collector::start(folder.path(), &config);
        let enough = ledger.taken().len() + rng.random_range(1..60);
        let after = Duration::from_micros(rng.random_range(0..3000));
        let gone = AtomicBool::new(false);
        let id = collector.process.id();
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| send_until_gone(&collector, &ledger, &gone));
            wait_until("acknowledgements", || {
                (ledger.taken().len() >= enough || sending.is_finished()).then_some(())
            });
            // The instant is the test's subject, no condition.
            std::thread::sleep(after);
            let pid = rustix::process::Pid::from_raw(id.cast_signed()).expect("a process id");
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it lives");
            gone.store(true, Ordering::Relaxed);
        });
        collector.process.kill();
    }
    assert_eq!(ledger.later_spans(), 0, "there was room for all");
    proxy.set(Fault::None);
    let collector = Collector::start(folder.path(), &config);
    wait_for(&backend, &ledger.taken());
    collector.wait_for_metric("otelcol_exporter_queue_size", &[], 0);
    assert_eq!(collector.metric("otelcol_exporter_send_failed_spans", &[]), 0);
    collector.stop();
    println!("{} requests survived {ROUNDS} kills", ledger.taken().len());
    // Half a segment at the most.
    assert!(disk_bytes(&folder.path().join("queues")) < 8 << 20);
}

#[test]
fn kills_over_http() {
    survives_kills("otlp_http", false);
}

#[test]
fn kills_over_grpc() {
    survives_kills("otlp_grpc", false);
}

#[test]
fn kills_with_batch_in_front() {
    survives_kills("otlp_http", true);
}

/// A request of more than 20,000 bytes.
fn large(id: u128) -> Vec<u8> {
    spans_named(id, 1..=SPANS, &"x".repeat(4000))
}

/// While the backend is down the files grow to their bound, and senders are told to come again.
#[test]
fn the_files_have_a_bound() {
    const BOUND: u64 = 300_000;
    let folder = TempDir::new().expect("a temporary folder");
    let (backend, proxy) = backend("otlp_http", Fault::Refused);
    let queue = format!("{{sizer: bytes, queue_size: {BOUND}, storage: file_storage}}");
    let queues = folder.path().join("queues");
    let config = Config {
        exporters: vec![("otlp_http", export_to("otlp_http", &proxy.address.to_string(), &queue))],
        storage: Some(queues.clone()),
        ..Config::default()
    };
    let ledger = Ledger::default();
    let mut heard = Vec::new();
    for start in 0..3 {
        let mut collector = Collector::start(folder.path(), &config);
        for _ in 0..20 {
            let id = next_trace();
            heard.push(ledger.note(id, post(&collector.http, &large(id))));
        }
        assert_eq!(heard.last(), Some(&Heard::Later), "start {start}");
        let bytes = disk_bytes(&queues);
        assert!(bytes <= BOUND + BOUND / 10, "{bytes} bytes, start {start}");
        collector.process.kill();
    }
    assert!(ledger.taken().len() >= 10, "{heard:?}");
    let collector = Collector::start(folder.path(), &config);
    proxy.set(Fault::None);
    wait_for(&backend, &ledger.taken());
    let again = Ledger::default();
    collector.wait_for_metric("otelcol_exporter_queue_size", &[], 0);
    assert_eq!(collector.send(&again), [Heard::Taken; 2]);
    wait_for(&backend, &again.taken());
}

/// A full disk under the queue: refused with a hint, nothing lost, and it goes on by itself.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    use crate::disk_full::{fill, on_small_disk};

    let folder = TempDir::new().expect("a temporary folder");
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).expect("a mount point");
    let (backend, proxy) = backend("otlp_grpc", Fault::Refused);
    let queue = "{queue_size: 100000, storage: file_storage}";
    let config = Config {
        exporters: vec![("otlp_grpc", export_to("otlp_grpc", &proxy.address.to_string(), queue))],
        storage: Some(disk.join("queues")),
        ..Config::default()
    };
    let command = Collector::command(folder.path(), &config);
    let collector = Collector::run(on_small_disk(&disk, &command));
    // The disk as the process sees it.
    let root = format!("/proc/{}/root", collector.process.id());
    let seen = Path::new(&root).join(disk.strip_prefix("/").expect("an absolute path"));
    let ledger = Ledger::default();
    for _ in 0..5 {
        assert_eq!(collector.send(&ledger), [Heard::Taken; 2]);
    }
    let filler = seen.join("filler");
    fill(&filler);
    // What is left of the last page may take one more of small ones, but none of these.
    for _ in 0..3 {
        let id = next_trace();
        assert_eq!(ledger.note(id, post(&collector.http, &large(id))), Heard::Later);
    }
    let refused = collector.metric("otelcol_receiver_refused_spans", &[]);
    assert_eq!(refused, ledger.later_spans());
    assert_eq!(collector.metric("otelcol_exporter_enqueue_failed_spans", &[]), refused);
    // With a disk that is full, what is on it leaves it.
    proxy.set(Fault::None);
    wait_for(&backend, &ledger.taken());
    collector.wait_for_metric("otelcol_exporter_queue_size", &[], 0);
    proxy.set(Fault::Refused);
    std::fs::remove_file(&filler).expect("making room");
    for _ in 0..5 {
        assert_eq!(collector.send(&ledger), [Heard::Taken; 2]);
    }
    proxy.set(Fault::None);
    wait_for(&backend, &ledger.taken());
    let sent = collector.metric("otelcol_exporter_sent_spans", &[]);
    assert!(sent <= ledger.taken_spans());
    assert_eq!(collector.metric("otelcol_exporter_send_failed_spans", &[]), 0);
}
