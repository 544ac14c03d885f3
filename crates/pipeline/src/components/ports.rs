//! A receiver that runs: its ports, what they count, and how they end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use config::Id;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::component::{Running, Surroundings};
use crate::receivers::{Address, Drained, TransportCounters};
use crate::telemetry::{MetricKind, Metrics, Sample};

/// What there is about a transport besides spans and requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Connections.
    Connected,
    /// Datagrams, which nobody waits for.
    Datagrams,
    /// Nothing: another transport of the same port counts its connections.
    Shared,
    /// Nothing: they are files.
    Files,
}

struct Transport {
    label: &'static str,
    counters: Arc<TransportCounters>,
    link: Link,
}

/// Serves a port, and ends with how many items are lost.
type Server = Pin<Box<dyn Future<Output = u64> + Send>>;

/// Ports on the way to [`Ports::start`]. Nothing is accepted before: all of them are sure to start.
pub(super) struct Ports {
    id: Id,
    /// Ends them.
    pub(super) stop: CancellationToken,
    addresses: Vec<(&'static str, Address)>,
    transports: Vec<Transport>,
    servers: Vec<Server>,
}

impl Ports {
    pub(super) fn new(id: &Id) -> Self {
        Self {
            id: id.clone(),
            stop: CancellationToken::new(),
            addresses: Vec::new(),
            transports: Vec::new(),
            servers: Vec::new(),
        }
    }

    /// What is counted as this transport.
    pub(super) fn transport(
        &mut self,
        label: &'static str,
        counters: &Arc<TransportCounters>,
        link: Link,
    ) {
        self.transports.push(Transport { label, counters: Arc::clone(counters), link });
    }

    /// Will serve a port; the server ends with how many items are lost.
    pub(super) fn serve(
        &mut self,
        name: &'static str,
        address: Address,
        server: impl Future<Output = u64> + Send + 'static,
    ) {
        self.addresses.push((name, address));
        self.servers.push(Box::pin(server));
    }

    /// The same of a server of connections. What is lost of requests that it abandons: nothing, as
    /// nobody was told that they were taken.
    pub(super) fn serve_requests<F>(
        &mut self,
        name: &'static str,
        address: io::Result<Address>,
        run: impl FnOnce(CancellationToken) -> F,
    ) -> Result<(), String>
    where
        F: Future<Output = Drained> + Send + 'static,
    {
        let address = address.map_err(|error| error.to_string())?;
        let server = run(self.stop.clone());
        self.serve(name, address, async {
            server.await;
            0
        });
        Ok(())
    }

    /// They run.
    pub(super) fn start(self, around: &Surroundings) -> Arc<dyn Running> {
        let Self { id, stop, addresses, transports, servers } = self;
        let mut serving = JoinSet::new();
        servers.into_iter().for_each(|server| drop(serving.spawn(server)));
        let running = Arc::new(Served {
            id,
            stop,
            addresses,
            transports,
            serving: Mutex::new(serving),
            ended: AtomicBool::new(false),
        });
        let metrics: Arc<dyn Metrics> = running.clone();
        around.telemetry.add(&metrics);
        running
    }
}

struct Served {
    id: Id,
    stop: CancellationToken,
    addresses: Vec<(&'static str, Address)>,
    transports: Vec<Transport>,
    serving: Mutex<JoinSet<u64>>,
    /// A port has died.
    ended: AtomicBool,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Running for Served {
    /// Requests in flight are answered; what is left of them at the deadline was not acknowledged,
    /// so that nothing is lost by it but datagrams.
    async fn stop(&self, deadline: Instant) -> u64 {
        self.stop.cancel();
        let mut serving = std::mem::take(&mut *self.serving.lock());
        let mut lost = 0;
        let drained = async {
            while let Some(ended) = serving.join_next().await {
                lost += ended.unwrap_or_default();
            }
        };
        if tokio::time::timeout_at(deadline, drained).await.is_err() {
            serving.detach_all();
            tracing::warn!(receiver = %self.id, "requests were still in flight at the deadline");
        }
        lost
    }

    fn problem(&self) -> Option<String> {
        let mut serving = self.serving.lock();
        if serving.try_join_next().is_some() && !self.stop.is_cancelled() {
            self.ended.store(true, Ordering::Relaxed);
        }
        let ended = self.ended.load(Ordering::Relaxed);
        ended.then(|| "it has stopped to listen".to_owned())
    }

    fn addresses(&self) -> Vec<(&'static str, Address)> {
        self.addresses.clone()
    }
}

impl Metrics for Served {
    fn collect(&self, out: &mut Vec<Sample>) {
        for Transport { label, counters, link } in &self.transports {
            samples(out, &self.id, label, counters, *link);
        }
    }
}

/// What a transport counts, under the Collector's names.
pub(super) fn samples(
    out: &mut Vec<Sample>,
    id: &Id,
    transport: &'static str,
    counters: &TransportCounters,
    link: Link,
) {
    let labels = || vec![("receiver", id.to_string()), ("transport", transport.to_owned())];
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    let spans = [
        ("otelcol_receiver_accepted_spans", "Spans taken", &counters.accepted_spans),
        (
            "otelcol_receiver_refused_spans",
            "Spans that the pipeline did not take",
            &counters.refused_spans,
        ),
        (
            "otelcol_receiver_failed_spans",
            "Spans left out because they are invalid",
            &counters.rejected_spans,
        ),
    ];
    for (name, help, counter) in spans {
        let kind = MetricKind::Counter;
        out.push(Sample { name, help, kind, labels: labels(), value: read(counter) });
    }
    let reasons = [
        ("oversize", &counters.oversize_requests),
        ("busy", &counters.busy_requests),
        ("undecodable", &counters.undecodable_requests),
        ("panicked", &counters.panicked_requests),
        ("slow", &counters.slow_requests),
        ("unauthenticated", &counters.unauthenticated_requests),
        ("queue_full", &counters.dropped_requests),
    ];
    let is_here = |reason: &str| match reason {
        "slow" | "unauthenticated" => !matches!(link, Link::Datagrams | Link::Files),
        "queue_full" => link == Link::Datagrams,
        _ => true,
    };
    for (reason, counter) in reasons.into_iter().filter(|(reason, _)| is_here(reason)) {
        let mut labels = labels();
        labels.push(("reason", reason.to_owned()));
        out.push(Sample {
            name: "spanfall_receiver_failed_requests",
            help: "Requests that never reached the pipeline, by reason",
            kind: MetricKind::Counter,
            labels,
            value: read(counter),
        });
    }
    if link != Link::Connected {
        return;
    }
    out.push(Sample {
        name: "spanfall_receiver_open_connections",
        help: "Connections that are open",
        kind: MetricKind::Gauge,
        labels: labels(),
        value: read(&counters.connections.open),
    });
    out.push(Sample {
        name: "spanfall_receiver_refused_connections",
        help: "Connections turned away because as many were open as may be",
        kind: MetricKind::Counter,
        labels: labels(),
        value: read(&counters.connections.refused),
    });
}
