//! Spans to several endpoints, those that belong together to the same one.
//!
//! Each endpoint has a [`Sender`] of its own, with queue and retries. When endpoints come or go,
//! about that share of the keys moves to others; spans of a trace that are under way then may end
//! up on both sides. What is in the queue of an endpoint that went away is sent to those that the
//! ring names now.

mod key;
mod resolver;
mod ring;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use model::SpanBatch;
use parking_lot::RwLock;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::otlp::EndpointError;
use super::{Export, ExporterSnapshot, FailReason, Left, Sender, SenderSettings};
use crate::{Consumer, Data, Encoded, Refusal, Request, Signal};

pub use key::RoutingKey;
pub use resolver::Resolver;
use resolver::with_port;
use ring::Ring;

/// How long attempts to an endpoint that went away may still take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Between attempts to find a new place for what an endpoint left behind.
const MOVE_PAUSE: Duration = Duration::from_secs(1);

/// Makes an exporter for an endpoint, `host:port`.
pub type MakeExport =
    dyn Fn(&str) -> Result<Arc<dyn Export>, EndpointError> + Send + Sync + 'static;

/// Settings of the exporter `load_balancing`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadBalancingSettings {
    /// Default trace id.
    pub routing_key: RoutingKey,
    /// Where endpoints come from.
    pub resolver: Resolver,
    /// Timeout, retries and queue of each endpoint. A queue on disk gets a folder for each.
    pub sender: SenderSettings,
}

/// Exports each span to the endpoint that it belongs to.
pub struct LoadBalancer {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    settings: LoadBalancingSettings,
    make: Box<MakeExport>,
    now: RwLock<Arc<Now>>,
    /// Counters of senders that are no more.
    gone: RwLock<ExporterSnapshot>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The endpoints at a moment.
#[derive(Default)]
struct Now {
    ring: Ring,
    /// In the order of the ring's endpoints; `None` where there could be no sender.
    senders: Vec<Option<Arc<Sender>>>,
}

impl LoadBalancer {
    /// A load balancer. Takes nothing before [`Self::start`].
    pub fn new(
        name: impl Into<String>,
        settings: LoadBalancingSettings,
        make: Box<MakeExport>,
    ) -> Self {
        let shared = Shared {
            name: name.into(),
            settings,
            make,
            now: RwLock::default(),
            gone: RwLock::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Asks for the endpoints and goes on asking. When there is no answer yet, requests are
    /// refused as unavailable until there is one.
    pub async fn start(&self) {
        self.shared.refresh().await;
        let Some(interval) = self.shared.settings.resolver.interval() else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = shared.stop.cancelled() => return,
                    () = sleep(interval) => shared.refresh().await,
                }
            }
        });
    }

    /// Ends all senders, as [`Sender::shutdown`].
    pub async fn shutdown(&self, deadline: Instant) -> Left {
        let shared = &self.shared;
        shared.stop.cancel();
        shared.tasks.close();
        let now = std::mem::take(&mut *shared.now.write());
        let ended = now.senders.iter().flatten().map(|sender| shared.end(sender, deadline));
        let left = join_all(ended).await;
        // Those whose endpoints went away before.
        let _ = tokio::time::timeout_at(deadline, shared.tasks.wait()).await;
        left.into_iter().fold(Left::default(), |sum, one| Left {
            dropped: sum.dropped + one.dropped,
            stored: sum.stored + one.stored,
        })
    }

    /// The sum over all endpoints, also those that are no more.
    pub fn snapshot(&self) -> ExporterSnapshot {
        let now = Arc::clone(&self.shared.now.read());
        let senders = now.senders.iter().flatten();
        let gone = *self.shared.gone.read();
        senders.fold(gone, |sum, sender| sum.plus(&sender.counters().snapshot()))
    }

    /// Each endpoint's own.
    pub fn endpoints(&self) -> BTreeMap<String, ExporterSnapshot> {
        let now = Arc::clone(&self.shared.now.read());
        let both = now.ring.endpoints().iter().zip(&now.senders);
        both.filter_map(|(endpoint, sender)| {
            Some((endpoint.clone(), sender.as_ref()?.counters().snapshot()))
        })
        .collect()
    }
}

impl Drop for LoadBalancer {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    async fn refresh(self: &Arc<Self>) {
        match self.settings.resolver.resolve().await {
            Ok(endpoints) => self.apply(endpoints).await,
            Err(error) => {
                tracing::warn!(exporter = self.name, %error, "the endpoints could not be resolved");
            }
        }
    }

    /// Makes and ends senders where the endpoints changed.
    async fn apply(self: &Arc<Self>, endpoints: Vec<String>) {
        let ring = Ring::new(endpoints);
        let before = Arc::clone(&self.now.read());
        let complete = before.senders.iter().all(Option::is_some);
        if ring == before.ring && complete || self.stop.is_cancelled() {
            return;
        }
        let known: BTreeMap<&String, &Option<Arc<Sender>>> =
            before.ring.endpoints().iter().zip(&before.senders).collect();
        let mut senders = Vec::new();
        for endpoint in ring.endpoints() {
            senders.push(match known.get(endpoint) {
                Some(Some(sender)) => Some(Arc::clone(sender)),
                _ => self.begin(endpoint).await,
            });
        }
        let stays = |endpoint| ring.endpoints().contains(endpoint);
        let left: Vec<Arc<Sender>> = known
            .into_iter()
            .filter(|(endpoint, _)| !stays(endpoint))
            .filter_map(|(_, sender)| sender.clone())
            .collect();
        tracing::info!(exporter = self.name, endpoints = ?ring.endpoints(), "the endpoints changed");
        *self.now.write() = Arc::new(Now { ring, senders });
        for sender in left {
            let shared = Arc::clone(self);
            self.tasks.spawn(async move { shared.leave(&sender).await });
        }
    }

    async fn begin(&self, endpoint: &str) -> Option<Arc<Sender>> {
        let address = with_port(endpoint);
        let failed = |error: &dyn std::error::Error| {
            tracing::error!(exporter = self.name, endpoint, %error, "an endpoint cannot be used");
        };
        let export = (self.make)(&address).inspect_err(|error| failed(error)).ok()?;
        let mut settings = self.settings.sender.clone();
        if let Some(storage) = &mut settings.queue.storage {
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
            storage.folder.push(address.chars().map(plain).collect::<String>());
        }
        let name = format!("{}/{address}", self.name);
        let sender = Arc::new(Sender::new(name, Signal::Traces, settings, export));
        sender.start().await.inspect_err(|error| failed(error)).ok()?;
        Some(sender)
    }

    /// Sends to others what an endpoint that went away has not taken.
    async fn leave(&self, sender: &Sender) {
        for group in sender.withdraw(Instant::now() + LEAVE_TIMEOUT).await {
            let result = loop {
                match self.consume_encoded(&group.data).await {
                    Err(refusal) if refusal.is_retryable() => {
                        tokio::select! {
                            () = sleep(MOVE_PAUSE) => {}
                            () = self.stop.cancelled() => break None,
                        }
                    }
                    result => break Some(result),
                }
            };
            // To drop it counts it, or keeps it on disk.
            if let Some(result) = result {
                if let Err(refusal) = &result {
                    let dropped = group.data.items;
                    sender.counters().fail(FailReason::Permanent, dropped);
                    tracing::error!(exporter = self.name, dropped, %refusal, "spans are dropped");
                }
                group.settle(result);
            }
        }
        self.keep_counts(sender);
    }

    async fn consume_encoded(&self, encoded: &Encoded) -> Result<(), Refusal> {
        let decoded =
            encoded.parts.iter().map(|part| SpanBatch::decode(part.clone()).map(Arc::new));
        let batches = decoded.collect::<Result<Vec<_>, _>>().map_err(|error| {
            Refusal::Internal { reason: format!("spans of a queue cannot be read: {error}") }
        })?;
        self.consume(&Data::Traces(batches)).await
    }

    async fn consume(&self, data: &Data) -> Result<(), Refusal> {
        let now = Arc::clone(&self.now.read());
        let split = self.split(&now, data)?;
        let asked = now.senders.iter().zip(split).filter(|(_, encoded)| encoded.items > 0).map(
            |(sender, encoded)| async move {
                match sender {
                    Some(sender) => sender.send(encoded).await,
                    None => Err(nowhere(&self.name)),
                }
            },
        );
        let refused = join_all(asked).await.into_iter().filter_map(Result::err);
        refused.reduce(Refusal::or).map_or(Ok(()), Err)
    }

    async fn end(&self, sender: &Sender, deadline: Instant) -> Left {
        let left = sender.shutdown(deadline).await;
        self.keep_counts(sender);
        left
    }

    /// Counters do not fall when an endpoint goes.
    fn keep_counts(&self, sender: &Sender) {
        let last = ExporterSnapshot {
            in_flight: 0,
            queue_size: 0,
            queue_bytes: 0,
            queue_capacity: 0,
            ..sender.counters().snapshot()
        };
        let mut gone = self.gone.write();
        *gone = gone.plus(&last);
    }

    /// A request's spans by endpoint. A batch that belongs to one endpoint is not encoded anew.
    fn split(&self, now: &Now, data: &Data) -> Result<Vec<Encoded>, Refusal> {
        let Data::Traces(batches) = data else {
            let reason = format!("{} is an exporter of traces, not {}", self.name, data.signal());
            return Err(Refusal::Internal { reason });
        };
        let mut encoded = vec![Encoded::default(); now.senders.len()];
        let mut key = Vec::new();
        for batch in batches {
            let mut spans: Vec<Vec<u32>> = vec![Vec::new(); now.senders.len()];
            let mut last: Option<(Vec<u8>, usize)> = None;
            for (at, span) in (0..).zip(batch.spans()) {
                self.settings.routing_key.put(&mut key, batch, span);
                let endpoint = match &last {
                    // Neighbours mostly belong together.
                    Some((before, endpoint)) if *before == key => *endpoint,
                    _ => {
                        let found = now.ring.find(&key).ok_or_else(|| nowhere(&self.name))?;
                        last = Some((key.clone(), found));
                        found
                    }
                };
                spans[endpoint].push(at);
            }
            for (spans, encoded) in spans.iter().zip(&mut encoded) {
                if !spans.is_empty() {
                    let whole = spans.len() == batch.len();
                    let part = if whole { batch.encoded() } else { batch.encoded_some(spans) };
                    encoded.parts.push(part);
                    encoded.items += spans.len() as u64;
                }
            }
        }
        Ok(encoded)
    }
}

fn nowhere(name: &str) -> Refusal {
    Refusal::Unavailable {
        reason: format!("exporter {name} knows no endpoint that takes these spans"),
        retry_after: Duration::from_secs(5),
    }
}

#[async_trait]
impl Consumer for LoadBalancer {
    /// What one endpoint refuses, others may have taken: coming again sends it twice to those.
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        self.shared.consume(&request.data).await
    }
}

impl ExporterSnapshot {
    fn plus(&self, other: &Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            rejected: self.rejected + other.rejected,
            failed: std::array::from_fn::<_, { FailReason::ALL.len() }, _>(|at| {
                self.failed[at] + other.failed[at]
            }),
            enqueue_failed: self.enqueue_failed + other.enqueue_failed,
            retries: self.retries + other.retries,
            in_flight: self.in_flight + other.in_flight,
            queue_size: self.queue_size + other.queue_size,
            queue_bytes: self.queue_bytes + other.queue_bytes,
            queue_capacity: self.queue_capacity + other.queue_capacity,
        }
    }
}

#[cfg(test)]
mod tests;
