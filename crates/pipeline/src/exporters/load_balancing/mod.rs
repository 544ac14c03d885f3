//! Spans to several endpoints, those that belong together to the same one.
//!
//! Each endpoint has a [`Sender`] of its own, with queue and retries. When endpoints come or go,
//! about that share of the keys moves to others; spans of a trace that are under way then may end
//! up on both sides. What is in the queue of an endpoint that went away is sent to those that the
//! ring names now, also where it went away while the process did not run. When it comes back before
//! all of its queue on disk is moved, it gets the rest.

mod key;
mod resolver;
mod ring;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use model::SpanBatch;
use parking_lot::RwLock;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::counters::ExporterCounters;
use super::otlp::EndpointError;
use super::unsent::Unsent;
use super::{Export, ExporterSnapshot, FailReason, Left, Sender, SenderSettings};
use crate::consumer::Taken;
use crate::flow::{all, place};
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
    /// Held while a queue's folder is begun or taken away.
    folders: tokio::sync::Mutex<()>,
    /// Whether queues of endpoints of old were looked for.
    searched: AtomicBool,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The endpoints at a moment.
#[derive(Default)]
struct Now {
    /// Tells it from those before.
    place: u64,
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
            folders: tokio::sync::Mutex::default(),
            searched: AtomicBool::new(false),
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
        self.end(None, deadline).await
    }

    /// Ends all senders, as [`Sender::give_way`].
    pub async fn give_way(&self, to: &Arc<dyn Consumer>, deadline: Instant) -> Left {
        self.end(Some(to), deadline).await
    }

    async fn end(&self, to: Option<&Arc<dyn Consumer>>, deadline: Instant) -> Left {
        let shared = &self.shared;
        shared.stop.cancel();
        shared.tasks.close();
        let now = std::mem::take(&mut *shared.now.write());
        let ended = now.senders.iter().flatten().map(|sender| shared.end(sender, to, deadline));
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

    /// What keeps endpoints' senders from taking more.
    pub fn problem(&self) -> Option<String> {
        let now = Arc::clone(&self.shared.now.read());
        let both = now.ring.endpoints().iter().zip(&now.senders);
        let problems: Vec<String> = both
            .filter_map(|(endpoint, sender)| {
                sender.as_ref()?.problem().map(|problem| format!("{endpoint}: {problem}"))
            })
            .collect();
        (!problems.is_empty()).then(|| problems.join("; "))
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
        let left: Vec<(String, Arc<Sender>)> = known
            .into_iter()
            .filter(|(endpoint, _)| !stays(endpoint))
            .filter_map(|(endpoint, sender)| Some((folder_name(endpoint), sender.clone()?)))
            .collect();
        tracing::info!(exporter = self.name, endpoints = ?ring.endpoints(), "the endpoints changed");
        *self.now.write() = Arc::new(Now { place: place(), ring, senders });
        for (name, sender) in left {
            let shared = Arc::clone(self);
            self.tasks.spawn(async move { shared.leave(&name, &sender).await });
        }
        if !self.searched.swap(true, Ordering::AcqRel) {
            self.adopt().await;
        }
    }

    /// Queues on disk of endpoints that went away while the process did not run.
    async fn adopt(self: &Arc<Self>) {
        let Some(storage) = &self.settings.sender.queue.storage else { return };
        let Ok(mut entries) = tokio::fs::read_dir(&storage.folder).await else { return };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let is_folder = entry.file_type().await.is_ok_and(|kind| kind.is_dir());
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if !is_folder || self.wants(&name) {
                continue;
            }
            let mut storage = storage.clone();
            storage.folder = entry.path();
            let counters = Arc::<ExporterCounters>::default();
            match Unsent::open(&storage, Signal::Traces, counters.clone()).await {
                Ok(unsent) => {
                    let shared = Arc::clone(self);
                    self.tasks.spawn(async move {
                        shared.place_anew(&name, unsent, &counters).await;
                        shared.keep_counts(&counters);
                    });
                }
                Err(error) => {
                    tracing::warn!(exporter = self.name, %error, "a queue of old is left alone");
                }
            }
        }
    }

    /// Whether an endpoint of now has this folder.
    fn wants(&self, folder: &str) -> bool {
        let now = Arc::clone(&self.now.read());
        now.ring.endpoints().iter().any(|endpoint| folder_name(endpoint) == folder)
    }

    fn folder(&self, name: &str) -> Option<PathBuf> {
        let storage = self.settings.sender.queue.storage.as_ref()?;
        Some(storage.folder.join(name))
    }

    async fn begin(&self, endpoint: &str) -> Option<Arc<Sender>> {
        let address = with_port(endpoint);
        let failed = |error: &dyn std::error::Error| {
            tracing::error!(exporter = self.name, endpoint, %error, "an endpoint cannot be used");
        };
        let export = (self.make)(&address).inspect_err(|error| failed(error)).ok()?;
        let mut settings = self.settings.sender.clone();
        if let Some(storage) = &mut settings.queue.storage {
            storage.folder.push(folder_name(endpoint));
        }
        let name = format!("{}/{address}", self.name);
        let sender = Arc::new(Sender::new(name, Signal::Traces, settings, export));
        let _folder = self.folders.lock().await;
        sender.start().await.inspect_err(|error| failed(error)).ok()?;
        Some(sender)
    }

    /// Sends to others what an endpoint that went away has not taken.
    async fn leave(&self, name: &str, sender: &Sender) {
        let unsent = sender.withdraw(Instant::now() + LEAVE_TIMEOUT).await;
        self.place_anew(name, unsent, sender.counters()).await;
        self.keep_counts(sender.counters());
    }

    async fn place_anew(&self, name: &str, mut unsent: Unsent, counters: &ExporterCounters) {
        // On disk, an endpoint that is back has its queue there, but not before this one lets go.
        let is_on_disk = self.settings.sender.queue.storage.is_some();
        let ends = || self.stop.is_cancelled() || is_on_disk && self.wants(name);
        'groups: while !ends() {
            let Some(group) = unsent.next().await else { break };
            let taken = Taken::default();
            let result = loop {
                match self.consume_encoded(&group.data, &taken).await {
                    Err(refusal) if refusal.is_retryable() => {
                        tokio::select! {
                            () = sleep(MOVE_PAUSE) => {}
                            () = self.stop.cancelled() => {}
                        }
                        if ends() {
                            break 'groups;
                        }
                    }
                    result => break result,
                }
            };
            if let Err(refusal) = &result {
                let dropped = group.data.items;
                counters.fail(FailReason::Permanent, dropped);
                tracing::error!(exporter = self.name, dropped, %refusal, "spans are dropped");
            }
            group.settle(result);
        }
        let _folder = self.folders.lock().await;
        if unsent.stored().await == 0
            && !self.wants(name)
            && let Some(folder) = self.folder(name)
            && let Err(error) = tokio::fs::remove_dir_all(&folder).await
        {
            let path = folder.display();
            tracing::warn!(exporter = self.name, %path, %error, "an empty queue stays");
        }
        unsent.release().await;
    }

    async fn consume_encoded(&self, encoded: &Encoded, taken: &Taken) -> Result<(), Refusal> {
        let decoded =
            encoded.parts.iter().map(|part| SpanBatch::decode(part.clone()).map(Arc::new));
        let batches = decoded.collect::<Result<Vec<_>, _>>().map_err(|error| {
            Refusal::Internal { reason: format!("spans of a queue cannot be read: {error}") }
        })?;
        self.offer(&Data::Traces(batches), taken).await
    }

    async fn offer(&self, data: &Data, taken: &Taken) -> Result<(), Refusal> {
        let now = Arc::clone(&self.now.read());
        let split = self.split(&now, data)?;
        let own = now.senders.iter().zip(split).enumerate();
        let asked =
            own.filter(|(_, (_, encoded))| encoded.items > 0).map(|(way, (sender, encoded))| {
                let place = now.place;
                async move {
                    if let Some(answer) = taken.answer(place, way) {
                        return answer;
                    }
                    let answer = match sender {
                        Some(sender) => sender.send(encoded).await,
                        None => Err(nowhere(&self.name)),
                    };
                    taken.keep(place, way, &answer);
                    answer
                }
            });
        all(join_all(asked).await)
    }

    async fn end(
        &self,
        sender: &Sender,
        to: Option<&Arc<dyn Consumer>>,
        deadline: Instant,
    ) -> Left {
        let left = match to {
            Some(to) => sender.give_way(to, deadline).await,
            None => sender.shutdown(deadline).await,
        };
        self.keep_counts(sender.counters());
        left
    }

    /// Counters do not fall when an endpoint goes.
    fn keep_counts(&self, counters: &ExporterCounters) {
        let last = ExporterSnapshot {
            in_flight: 0,
            queue_size: 0,
            queue_bytes: 0,
            queue_capacity: 0,
            ..counters.snapshot()
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

/// An endpoint's own among the folders of queues.
fn folder_name(endpoint: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
    with_port(endpoint).chars().map(plain).collect()
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
        self.shared.offer(&request.data, &Taken::default()).await
    }

    async fn offer(&self, request: Request, taken: &Taken) -> Result<(), Refusal> {
        self.shared.offer(&request.data, taken).await
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
