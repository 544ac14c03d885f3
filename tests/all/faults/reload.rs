//! Reloads under load.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use tempfile::TempDir;

use super::proxy::Fault;
use super::{
    Collector, Config, Heard, Ledger, backend, call, export_to, next_trace, post, trace, wait_for,
};
use crate::process::wait_until;

impl Collector {
    /// Takes over another configuration.
    pub(super) fn reload(&mut self, folder: &Path, config: &Config) {
        let count = |text: &str| text.matches("the new configuration is in force").count();
        let before = count(&self.process.output());
        // As editors do: whole, under another name, and then renamed.
        let next = folder.join("next.yaml");
        std::fs::write(&next, config.text()).expect("a configuration");
        std::fs::rename(&next, folder.join("collector.yaml")).expect("renaming");
        self.process.signal(Signal::HUP);
        self.process.wait_for("the new configuration", |text| (count(text) > before).then_some(()));
    }

    /// Where OTLP is by the last line of the log that says it: over HTTP and gRPC.
    fn ports(&self) -> [String; 2] {
        let output = self.process.output();
        ["otlp_http=", "otlp_grpc="].map(|name| {
            let told = output.lines().rev().find_map(|line| line.split(name).nth(1));
            let told = told.and_then(|rest| rest.split_whitespace().next());
            told.expect("where it listens").to_owned()
        })
    }
}

#[test]
fn under_load_nothing_is_lost() {
    let folder = TempDir::new().expect("a temporary folder");
    let (backend, proxy) = backend("otlp_http", Fault::None);
    let to = proxy.address.to_string();
    let exporter = |timeout: &str| {
        export_to("otlp_http", &to, "{queue_size: 100000}")
            .replace("timeout: 1s", &format!("timeout: {timeout}"))
    };
    let first = Config {
        processors: vec![
            ("attributes", "{actions: [{key: seen, value: 1, action: upsert}]}".to_owned()),
            ("batch", "{timeout: 100ms, send_batch_size: 100}".to_owned()),
        ],
        exporters: vec![("otlp_http", exporter("1s"))],
        ..Config::default()
    };
    let mut steps = vec![first.clone()];
    let mut change = |name: &'static str, change: &dyn Fn(&mut Config)| {
        let mut next = steps.last().expect("the first").clone();
        change(&mut next);
        steps.push(next);
        name
    };
    let names = [
        change("a processor", &|config| {
            config.processors[0].1 = config.processors[0].1.replace("value: 1", "value: 2");
        }),
        change("batch", &|config| {
            config.processors[1].1 = "{timeout: 50ms, send_batch_size: 200}".to_owned();
        }),
        change("the exporter", &|config| config.exporters[0].1 = exporter("2s")),
        change("the receiver, and with it its ports", &|config| {
            config.http = ", max_request_body_size: 1000000";
        }),
        change("batch is gone", &|config| drop(config.processors.pop())),
        change("a queue on disk", &|config| {
            config.storage = Some(folder.path().join("queues"));
            config.exporters[0].1 = export_to(
                "otlp_http",
                &to,
                "{queue_size: 100000, num_consumers: 2, storage: file_storage}",
            );
        }),
        change("the exporter with a queue on disk", &|config| {
            config.exporters[0].1 = config.exporters[0].1.replace("num_consumers: 2, ", "");
        }),
        change("a queue in memory again", &|config| config.exporters[0].1 = exporter("1s")),
        change("batch is back, and the exporter has another name", &|config| {
            config.processors.push(("batch", "{timeout: 50ms}".to_owned()));
            config.exporters[0].0 = "otlp_http/new";
        }),
        change("everything", &|config| *config = first.clone()),
    ];
    let mut collector = Collector::start(folder.path(), &steps[0]);
    let ledger = Ledger::default();
    let ports = Mutex::new(collector.ports());
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        type Send = fn(&str, &[u8]) -> Heard;
        for (at, send) in [post as Send, call as Send].into_iter().enumerate() {
            let (ports, ledger, ended) = (&ports, &ledger, &ended);
            scope.spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let port = ports.lock().expect("ports")[at].clone();
                    let id = next_trace();
                    ledger.note(id, send(&port, &trace(id)));
                }
            });
        }
        // Also when an assertion fails, or the scope would wait for ever.
        let _end = OnDrop(|| ended.store(true, Ordering::Relaxed));
        for (name, config) in names.iter().zip(&steps[1..]) {
            let before = ledger.taken().len();
            wait_until(&format!("load before {name}"), || {
                // Told in the log a little after the rest.
                *ports.lock().expect("ports") = collector.ports();
                (ledger.taken().len() > before + 20).then_some(())
            });
            collector.reload(folder.path(), config);
        }
        let before = ledger.taken().len();
        wait_until("load at the end", || {
            *ports.lock().expect("ports") = collector.ports();
            (ledger.taken().len() > before + 20).then_some(())
        });
    });
    wait_for(&backend, &ledger.taken());
    let output = collector.stop();
    assert!(!output.contains("are dropped") && !output.contains("are lost"), "{output}");
    println!("{} requests through {} reloads", ledger.taken().len(), names.len());
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The address of the backend was wrong and is put right: what waits for the wrong one is not lost.
#[test]
fn what_waits_goes_where_the_exporter_now_leads() {
    for (kind, storage) in
        [("otlp_http", ""), ("otlp_grpc", ""), ("otlp_http", ", storage: file_storage")]
    {
        let folder = TempDir::new().expect("a temporary folder");
        let (backend, proxy) = backend(kind, Fault::None);
        let (_nowhere, wrong) = super::backend(kind, Fault::Refused);
        let config = |to: &str| Config {
            exporters: vec![(kind, export_to(kind, to, &format!("{{queue_size: 100{storage}}}")))],
            storage: (!storage.is_empty()).then(|| folder.path().join("queues")),
            ..Config::default()
        };
        let mut collector = Collector::start(folder.path(), &config(&wrong.address.to_string()));
        let ledger = Ledger::default();
        for _ in 0..10 {
            assert_eq!(collector.send(&ledger), [Heard::Taken; 2]);
        }
        collector.reload(folder.path(), &config(&proxy.address.to_string()));
        wait_for(&backend, &ledger.taken());
    }
}
