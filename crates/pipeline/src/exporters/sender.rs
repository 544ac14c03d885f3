//! The Collector's exporterhelper: queue, retries and timeout around an [`Export`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use model::SpanBatch;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Export;
use super::counters::{ExporterCounters, FailReason};
use super::delivery::{Inner, Log, unavailable};
use super::queue::{Gather, MemoryQueue, OpenError, PersistentQueue, Queue};
use super::rarely::Sum;
use super::settings::SenderSettings;
use super::unsent::Unsent;
use crate::consumer::Taken;
use crate::telemetry;
use crate::{Consumer, Data, Encoded, Refusal, Request, Signal};

/// Between offers of what another is to take.
const GIVE_PAUSE: Duration = Duration::from_millis(50);

/// One exporter for one signal. Takes nothing before [`Self::start`].
pub struct Sender {
    inner: Arc<Inner>,
    state: Mutex<State>,
}

enum State {
    New,
    Running(Running),
    Stopped,
}

#[derive(Clone)]
struct Running {
    /// `None` without a queue.
    queue: Option<(Queue, Arc<Gather>)>,
}

/// Why a sender cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It was started or shut down before.
    #[error("{name}: the exporter was started before")]
    Again {
        /// Whose.
        name: String,
    },
    /// The queue on disk cannot be opened.
    #[error("exporter {name}: {reason}")]
    Storage {
        /// Whose.
        name: String,
        /// Why.
        reason: String,
    },
}

/// What is left after shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// Items lost: they were in a memory queue when the time was up.
    pub dropped: u64,
    /// Requests on disk, for the next start.
    pub stored: u64,
}

impl Sender {
    /// A sender for an exporter, which logs under a name such as `otlp/tempo`.
    pub fn new(
        name: impl Into<String>,
        signal: Signal,
        settings: SenderSettings,
        export: Arc<dyn Export>,
    ) -> Self {
        let counters = Arc::<ExporterCounters>::default();
        if settings.queue.enabled {
            counters.queue_capacity.store(settings.queue.queue_size, Ordering::Relaxed);
        }
        let inner = Inner {
            name: name.into(),
            signal,
            settings,
            export,
            counters,
            winding_down: CancellationToken::new(),
            cut: CancellationToken::new(),
            tasks: TaskTracker::new(),
            log: Log::default(),
            withdrawn: Mutex::default(),
        };
        Self { inner: Arc::new(inner), state: Mutex::new(State::New) }
    }

    /// What it counts.
    pub fn counters(&self) -> &Arc<ExporterCounters> {
        &self.inner.counters
    }

    /// What keeps it from taking more: a queue on disk that cannot be written. Does not wait.
    pub fn problem(&self) -> Option<String> {
        let State::Running(Running { queue: Some((Queue::Persistent(queue), _)) }) =
            &*self.state.lock()
        else {
            return None;
        };
        let items = self.inner.signal.items();
        queue.problem().map(|why| format!("its queue of {items} on disk cannot be written: {why}"))
    }

    /// Opens the queue and begins to export.
    ///
    /// # Errors
    /// When it was started before, or its queue on disk is in use or cannot be read.
    pub async fn start(&self) -> Result<(), StartError> {
        let inner = &self.inner;
        let again = || StartError::Again { name: inner.name.clone() };
        if !matches!(*self.state.lock(), State::New) {
            return Err(again());
        }
        let settings = &inner.settings.queue;
        let counters = Arc::clone(&inner.counters);
        let queue = match &settings.storage {
            _ if !settings.enabled => None,
            None => Some(Queue::Memory(MemoryQueue::new(settings, counters))),
            Some(storage) => {
                let opened = PersistentQueue::open(storage, settings, counters).await;
                let opened = opened.map_err(|error: OpenError| StartError::Storage {
                    name: inner.name.clone(),
                    reason: error.to_string(),
                })?;
                Some(Queue::Persistent(opened))
            }
        };
        let queue = queue.map(|queue| {
            let gather = Gather::new(queue.clone(), inner.signal, settings.batch.clone());
            (queue, Arc::new(gather))
        });
        let mut state = self.state.lock();
        if !matches!(*state, State::New) {
            return Err(again());
        }
        if let Some((_, gather)) = &queue {
            for _ in 0..settings.num_consumers.max(1) {
                inner.tasks.spawn(Arc::clone(inner).work(Arc::clone(gather)));
            }
        }
        *state = State::Running(Running { queue });
        Ok(())
    }

    /// Ends it. A memory queue is emptied until the deadline, and what is left then is lost and
    /// counted. A queue on disk keeps all; attempts under way may finish until the deadline.
    pub async fn shutdown(&self, deadline: Instant) -> Left {
        let inner = &self.inner;
        let State::Running(running) = std::mem::replace(&mut *self.state.lock(), State::Stopped)
        else {
            return Left::default();
        };
        inner.wind_down(&running);
        inner.ended(deadline).await;
        if let Some(sum) = inner.log.dropped.rest() {
            inner.log_dropped(sum, "various", "further ones, of the last second");
        }
        let Some((queue, gather)) = running.queue else {
            return Left::default();
        };
        if let Queue::Persistent(queue) = queue {
            queue.unlock().await;
            let stored = queue.records().await;
            inner.log_left(0, stored);
            return Left { dropped: 0, stored };
        }
        while gather.next_left().await.is_some() {}
        let dropped = inner.counters.snapshot().failed_for(FailReason::Shutdown);
        inner.log_left(dropped, 0);
        Left { dropped, stored: 0 }
    }

    /// Ends it, and hands what it has not sent to who stands in its place: as much as that one takes
    /// until the deadline. The rest is as after [`Self::shutdown`].
    pub async fn give_way(&self, to: &Arc<dyn Consumer>, deadline: Instant) -> Left {
        let inner = &self.inner;
        // Attempts under way have half of the time.
        let half = deadline.saturating_duration_since(Instant::now()) / 2;
        let mut unsent = self.withdraw(Instant::now() + half).await;
        let (mut given, mut refused) = (0, None);
        while let Some(group) = unsent.next().await {
            let items = group.data.items;
            match give(to, inner.signal, &group.data, deadline).await {
                Err(refusal) if refusal.is_retryable() => {
                    // The group is dropped, which counts it or leaves it on disk, where the rest is.
                    refused = Some(refusal);
                    if unsent.stored().await > 0 {
                        break;
                    }
                }
                result => {
                    given += items;
                    if let Err(refusal) = &result {
                        inner.counters.fail(FailReason::Permanent, items);
                        inner.log_dropped(
                            Sum { requests: 1, items },
                            "permanent",
                            &refusal.to_string(),
                        );
                    }
                    group.settle(result);
                }
            }
        }
        if let Some(refusal) = refused {
            tracing::warn!(exporter = inner.name, %refusal, "who takes its place takes no more");
        }
        if given > 0 {
            tracing::info!(exporter = inner.name, given, "what waited is with who takes its place");
        }
        let dropped = inner.counters.snapshot().failed_for(FailReason::Shutdown);
        let stored = unsent.stored().await;
        unsent.release().await;
        inner.log_left(dropped, stored);
        Left { dropped, stored }
    }

    /// Ends it like shutdown, and gives back what it has not sent, to be sent elsewhere.
    pub(super) async fn withdraw(&self, deadline: Instant) -> Unsent {
        let inner = &self.inner;
        let State::Running(running) = std::mem::replace(&mut *self.state.lock(), State::Stopped)
        else {
            return Unsent::default();
        };
        *inner.withdrawn.lock() = Some(Vec::new());
        inner.wind_down(&running);
        inner.winding_down.cancel();
        inner.ended(deadline).await;
        let stopped = inner.withdrawn.lock().take().unwrap_or_default();
        Unsent::new(stopped, running.queue)
    }

    /// As [`Consumer::consume`], for what is encoded already.
    pub(crate) async fn send(&self, data: Encoded) -> Result<(), Refusal> {
        let inner = &self.inner;
        let running = match &*self.state.lock() {
            State::Running(running) => running.clone(),
            State::New => return Err(unavailable("the exporter has not started")),
            State::Stopped => return Err(unavailable("the exporter is shutting down")),
        };
        if data.items == 0 {
            return Ok(());
        }
        let Some((queue, _)) = running.queue else {
            // Waited for at shutdown.
            let _task = inner.tasks.token();
            let outcome = inner.deliver(&data, telemetry::context()).await;
            return inner.conclude(&outcome, data.items, true);
        };
        let settings = &inner.settings.queue;
        let (waiter, result) = if settings.wait_for_result {
            let (waiter, result) = oneshot::channel();
            (Some(waiter), Some(result))
        } else {
            (None, None)
        };
        let items = data.items;
        if let Err(error) = queue.push(data, waiter, settings.block_on_overflow).await {
            return Err(inner.not_queued(error, items));
        }
        match result {
            None => Ok(()),
            Some(result) => result.await.unwrap_or_else(|_| Err(unavailable("the export ended"))),
        }
    }
}

#[async_trait]
impl Consumer for Sender {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let inner = &self.inner;
        let signal = request.data.signal();
        if signal != inner.signal {
            let reason = format!("{} is an exporter of {}, not {signal}", inner.name, inner.signal);
            return Err(Refusal::Internal { reason });
        }
        let data = request.data.encoded();
        drop(request);
        self.send(data).await
    }
}

impl Drop for Sender {
    /// Without shutdown, what is in a memory queue is still sent, for as long as the runtime goes
    /// on.
    fn drop(&mut self) {
        if let State::Running(running) = self.state.get_mut() {
            self.inner.wind_down(running);
        }
    }
}

/// Offers what is encoded to another until it is taken, refused for good, or the time is up.
async fn give(
    to: &Arc<dyn Consumer>,
    signal: Signal,
    encoded: &Encoded,
    deadline: Instant,
) -> Result<(), Refusal> {
    let data = match signal {
        Signal::Metrics => Data::Metrics(encoded.clone()),
        Signal::Logs => Data::Logs(encoded.clone()),
        Signal::Traces => {
            let parts = encoded.parts.iter();
            let batches = parts.map(|part| SpanBatch::decode(part.clone()).map(Arc::new));
            let batches = batches.collect::<Result<_, _>>();
            Data::Traces(batches.map_err(|error| Refusal::Internal { reason: error.to_string() })?)
        }
    };
    let request = Request { data, client: Arc::default() };
    let taken = Taken::default();
    loop {
        let result = to.offer(request.clone(), &taken).await;
        let again = result.as_ref().is_err_and(Refusal::is_retryable);
        if !again || Instant::now() + GIVE_PAUSE > deadline {
            return result;
        }
        sleep(GIVE_PAUSE).await;
    }
}

impl Inner {
    /// Tells what is left at the end.
    fn log_left(&self, dropped: u64, stored: u64) {
        let items = self.signal.items();
        if dropped > 0 {
            let exporter = &self.name;
            tracing::error!(
                exporter,
                dropped,
                "the time for shutdown is up: {items} in the queue are lost"
            );
        }
        if stored > 0 {
            tracing::info!(exporter = self.name, requests = stored, "its queue stays on disk");
        }
    }

    /// Takes nothing more. Attempts go on for what a memory queue holds, and for nothing else.
    fn wind_down(&self, running: &Running) {
        if let Some((queue, _)) = &running.queue {
            queue.close();
        }
        if !matches!(running.queue, Some((Queue::Memory(_), _))) {
            self.winding_down.cancel();
        }
    }
}
