//! Several exporters and several backends.

use rustix::process::Signal;
use tempfile::TempDir;

use super::proxy::{Fault, Proxy};
use super::{
    Collector, Config, Heard, Ledger, SPANS, backend, call, export_to, next_trace, post, spans_at,
    spans_named, wait_for,
};
use crate::process::wait_until;
use crate::server::Server;

/// One exporter's backend says nothing, and its queue is full: the other gets everything, also what
/// the sender is told to send again.
#[test]
fn a_dead_exporter_does_not_hold_up_the_other() {
    let folder = TempDir::new().expect("a temporary folder");
    let (living, to_living) = backend("otlp_http", Fault::None);
    let (dead, to_dead) = backend("otlp_grpc", Fault::Deaf);
    let config = Config {
        exporters: vec![
            ("otlp_grpc", export_to("otlp_grpc", &to_dead.address.to_string(), "{queue_size: 6}")),
            ("otlp_http", export_to("otlp_http", &to_living.address.to_string(), "{}")),
        ],
        ..Config::default()
    };
    let collector = Collector::start(folder.path(), &config);
    let ledger = Ledger::default();
    for _ in 0..3 {
        assert_eq!(collector.send(&ledger), [Heard::Taken; 2]);
    }
    wait_for(&living, &ledger.taken());
    let mut refused = Vec::new();
    for _ in 0..20 {
        let id = next_trace();
        assert_eq!(ledger.note(id, post(&collector.http, &super::trace(id))), Heard::Later);
        refused.push(id);
    }
    wait_for(&living, &refused);
    assert_eq!(spans_at(&dead, ledger.taken()[0]), 0);
    to_dead.set(Fault::None);
    wait_for(&dead, &ledger.taken());
    // As SDKs do.
    for &id in &refused {
        wait_until("room", || {
            (post(&collector.http, &super::trace(id)) == Heard::Taken).then_some(())
        });
    }
    wait_for(&dead, &refused);
    for (exporter, failed) in [("otlp_http", 0), ("otlp_grpc", 20 * SPANS)] {
        let labels = [&*format!("exporter=\"{exporter}\"")];
        let count = collector.metric("otelcol_exporter_enqueue_failed_spans", &labels);
        assert!(count >= failed && (failed > 0 || count == 0), "{exporter}: {count}");
        assert_eq!(collector.metric("otelcol_exporter_send_failed_spans", &labels), 0);
    }
}

/// Behind `batch`, too: what is acknowledged comes to the living one while the dead one is dead.
#[test]
fn a_dead_exporter_behind_batch() {
    let folder = TempDir::new().expect("a temporary folder");
    let (living, to_living) = backend("otlp_http", Fault::None);
    let (dead, to_dead) = backend("otlp_grpc", Fault::Deaf);
    let config = Config {
        processors: vec![("batch", "{timeout: 50ms, send_batch_size: 10}".to_owned())],
        exporters: vec![
            ("otlp_grpc", export_to("otlp_grpc", &to_dead.address.to_string(), "{queue_size: 2}")),
            ("otlp_http", export_to("otlp_http", &to_living.address.to_string(), "{}")),
        ],
        ..Config::default()
    };
    let collector = Collector::start(folder.path(), &config);
    let ledger = Ledger::default();
    for _ in 0..20 {
        collector.send(&ledger);
    }
    assert!(ledger.taken().len() > 2, "{} were acknowledged", ledger.taken().len());
    wait_for(&living, &ledger.taken());
    to_dead.set(Fault::None);
    wait_for(&dead, &ledger.taken());
}

/// SIGTERM while `batch` would wait for long, and the queue in memory has a backend to go to.
#[test]
fn what_is_held_leaves_before_the_end() {
    for kind in ["otlp_http", "otlp_grpc"] {
        let folder = TempDir::new().expect("a temporary folder");
        let (backend, proxy) = backend(kind, Fault::None);
        let config = Config {
            processors: vec![("batch", "{timeout: 1h, send_batch_size: 100000}".to_owned())],
            exporters: vec![(kind, export_to(kind, &proxy.address.to_string(), "{}"))],
            ..Config::default()
        };
        let collector = Collector::start(folder.path(), &config);
        let ledger = Ledger::default();
        for _ in 0..10 {
            assert_eq!(collector.send(&ledger), [Heard::Taken; 2]);
        }
        assert_eq!(spans_at(&backend, ledger.taken()[0]), 0);
        collector.stop();
        wait_for(&backend, &ledger.taken());
    }
}

/// Two backends behind `load_balancing`.
struct Pair {
    folder: TempDir,
    backends: [Server; 2],
    proxies: [Proxy; 2],
    data: TempDir,
}

impl Pair {
    fn start() -> Self {
        let data = TempDir::new().expect("a temporary folder");
        let backends = ["a", "b"].map(|name| Server::on(&data.path().join(name)));
        let proxies = [0, 1].map(|at| Proxy::start(&backends[at].at.otlp_grpc, Fault::None));
        Self { folder: TempDir::new().expect("a temporary folder"), backends, proxies, data }
    }

    /// The configuration with the first so many of them.
    fn config(&self, count: usize) -> Config {
        let hosts: Vec<_> =
            self.proxies[..count].iter().map(|proxy| proxy.address.to_string()).collect();
        let settings = format!(
            "{{routing_key: traceID, protocol: {{otlp: {{tls: {{insecure: true}}, timeout: 1s}}}}, \
             resolver: {{static: {{hostnames: {hosts:?}}}}}, \
             retry_on_failure: {{initial_interval: 20ms, max_interval: 100ms, max_elapsed_time: 0s}}, \
             sending_queue: {{queue_size: 1000, storage: file_storage}}}}"
        );
        Config {
            exporters: vec![("load_balancing", settings)],
            storage: Some(self.folder.path().join("queues")),
            ..Config::default()
        }
    }

    /// Which of them have a trace whole, once at least one has.
    fn homes(&self, id: u128) -> [bool; 2] {
        wait_until("a trace at one of two", || {
            let spans = [0, 1].map(|at| spans_at(&self.backends[at], id) as u64);
            let whole = spans.map(|spans| spans == SPANS);
            (whole.contains(&true)).then(|| {
                assert!(spans.contains(&0), "{id} is at both: {spans:?}");
                whole
            })
        })
    }
}

/// Traces whose spans come in two requests, in two ways.
fn send_in_two(collector: &Collector, count: usize) -> Vec<u128> {
    let ids: Vec<u128> = (0..count).map(|_| next_trace()).collect();
    for &id in &ids {
        let parts = [spans_named(id, 1..=3, "first"), spans_named(id, 4..=SPANS, "then")];
        assert_eq!(post(&collector.http, &parts[0]), Heard::Taken);
        assert_eq!(call(&collector.grpc, &parts[1]), Heard::Taken);
    }
    ids
}

#[test]
fn load_balancing_keeps_traces_together_and_outlives_a_backend() {
    let mut pair = Pair::start();
    let collector = Collector::start(pair.folder.path(), &pair.config(2));
    let ids = send_in_two(&collector, 20);
    let homes: Vec<_> = ids.iter().map(|&id| pair.homes(id)).collect();
    for at in [0, 1] {
        assert!(homes.iter().any(|home| home[at]), "nothing went to backend {at}: {homes:?}");
    }
    // One ends, and comes back on another port: what it is to have waits, the other gets its own.
    pair.backends[1].process.signal(Signal::KILL);
    pair.backends[1].process.wait();
    // Another test's server may be given the port.
    pair.proxies[1].set(Fault::Refused);
    let more = send_in_two(&collector, 20);
    pair.backends[1] = Server::on(&pair.data.path().join("b"));
    assert!(more.iter().any(|&id| spans_at(&pair.backends[1], id) == 0));
    pair.proxies[1].lead_to(&pair.backends[1].at.otlp_grpc);
    pair.proxies[1].set(Fault::None);
    for &id in &more {
        pair.homes(id);
    }
    collector.wait_for_metric("otelcol_exporter_queue_size", &[], 0);
    let sent = collector.metric("otelcol_exporter_sent_spans", &[]);
    assert_eq!(sent, 40 * SPANS);
    assert_eq!(collector.metric("otelcol_exporter_send_failed_spans", &[]), 0);
}

#[test]
fn what_waited_for_a_backend_that_left_goes_to_the_others() {
    let pair = Pair::start();
    pair.proxies[1].set(Fault::Refused);
    let mut collector = Collector::start(pair.folder.path(), &pair.config(2));
    let ids = send_in_two(&collector, 20);
    wait_until("what is the first one's", || {
        ids.iter().any(|&id| spans_at(&pair.backends[0], id) > 0).then_some(())
    });
    assert!(collector.metric("otelcol_exporter_queue_size", &[]) > 0);
    collector.reload(pair.folder.path(), &pair.config(1));
    wait_for(&pair.backends[0], &ids);
}
