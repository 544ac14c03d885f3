//! The Collector's exporterhelper: queue, retries and timeout around an [`Export`].

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::counters::{ExporterCounters, FailReason, add};
use super::queue::{Gather, Group, MemoryQueue, OpenError, PersistentQueue, PushError, Queue};
use super::rarely::{Rarely, Sum};
use super::retry::Backoff;
use super::settings::SenderSettings;
use super::{Export, ExportError};
use crate::{Consumer, Encoded, Refusal, Request, Signal};

/// The delay asked of who met a full queue.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The delay asked of who met a full disk.
const DISK_RETRY_AFTER: Duration = Duration::from_secs(10);

/// No other side makes us wait longer: a slip in its answer would hold up a consumer for ever.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(3600);

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

struct Inner {
    name: String,
    signal: Signal,
    settings: SenderSettings,
    export: Arc<dyn Export>,
    counters: Arc<ExporterCounters>,
    /// No attempt begins any more.
    winding_down: CancellationToken,
    /// Attempts under way end.
    cut: CancellationToken,
    tasks: TaskTracker,
    log: Log,
}

/// What is logged for single requests.
#[derive(Default)]
struct Log {
    dropped: Rarely,
    retried: Rarely,
    rejected: Rarely,
    not_queued: Rarely,
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

/// How the attempts for a group ended.
enum Outcome {
    Sent {
        rejected: u64,
    },
    Failed {
        reason: FailReason,
        why: String,
        after: Option<Duration>,
    },
    /// Attempts would go on, had it not to end.
    Stopped {
        why: String,
    },
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
        };
        Self { inner: Arc::new(inner), state: Mutex::new(State::New) }
    }

    /// What it counts.
    pub fn counters(&self) -> &Arc<ExporterCounters> {
        &self.inner.counters
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
        inner.tasks.close();
        if timeout_at(deadline, inner.tasks.wait()).await.is_err() {
            inner.winding_down.cancel();
            inner.cut.cancel();
            inner.tasks.wait().await;
        }
        if let Some(sum) = inner.log.dropped.rest() {
            inner.log_dropped(sum, "various", "further ones, of the last second");
        }
        let Some((queue, gather)) = running.queue else {
            return Left::default();
        };
        gather.abandon().await;
        if let Queue::Persistent(queue) = queue {
            queue.unlock();
            return Left { dropped: 0, stored: queue.records() };
        }
        let dropped = inner.counters.snapshot().failed_for(FailReason::Shutdown);
        if dropped > 0 {
            tracing::error!(
                exporter = inner.name,
                dropped,
                "the time for shutdown is up: {} in the queue are lost",
                inner.signal.items(),
            );
        }
        Left { dropped, stored: 0 }
    }

    /// As [`Consumer::consume`], for what is encoded already.
    pub(super) async fn send(&self, data: Encoded) -> Result<(), Refusal> {
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
            let outcome = inner.deliver(&data).await;
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

fn unavailable(reason: &str) -> Refusal {
    Refusal::Unavailable { reason: reason.to_owned(), retry_after: BUSY_RETRY_AFTER }
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

impl Inner {
    /// Takes nothing more. Attempts go on for what a memory queue holds, and for nothing else.
    fn wind_down(&self, running: &Running) {
        if let Some((queue, _)) = &running.queue {
            queue.close();
        }
        if !matches!(running.queue, Some((Queue::Memory(_), _))) {
            self.winding_down.cancel();
        }
    }

    fn not_queued(&self, error: PushError, items: u64) -> Refusal {
        let name = &self.name;
        add(&self.counters.enqueue_failed, items);
        if let Some(Sum { requests, items }) = self.log.not_queued.add(items) {
            tracing::warn!(
                exporter = name,
                requests,
                refused = items,
                reason = ?error,
                "the sending queue refuses {}",
                self.signal.items(),
            );
        }
        match error {
            PushError::Full => Refusal::Exhausted {
                reason: format!("the sending queue of exporter {name} is full"),
                retry_after: BUSY_RETRY_AFTER,
            },
            PushError::TooLarge => Refusal::Invalid {
                reason: format!(
                    "the request is larger than the whole sending queue of exporter {name}"
                ),
            },
            PushError::Closed => unavailable("the exporter is shutting down"),
            PushError::Disk(reason) => Refusal::Unavailable {
                reason: format!("the queue of exporter {name} cannot be written: {reason}"),
                retry_after: DISK_RETRY_AFTER,
            },
        }
    }

    /// What each of the consumers of the queue does.
    async fn work(self: Arc<Self>, gather: Arc<Gather>) {
        loop {
            let group = tokio::select! {
                biased;
                () = self.winding_down.cancelled() => return,
                group = gather.next() => group,
            };
            let Some(Group { data, of }) = group else {
                return;
            };
            let outcome = self.deliver(&data).await;
            if let Outcome::Stopped { .. } = outcome {
                // Dropping the tickets counts or keeps what they stand for.
                return;
            }
            let result = self.conclude(&outcome, data.items, false);
            for (ticket, items) in of {
                ticket.settle(items, result.clone());
            }
        }
    }

    /// Attempts until one succeeds or none can.
    async fn deliver(&self, data: &Encoded) -> Outcome {
        add(&self.counters.in_flight, 1);
        let _done = OnDrop(|| {
            self.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        });
        let retry = self.settings.retry;
        let mut backoff = Backoff::new(retry);
        let begun = Instant::now();
        loop {
            let attempt = tokio::select! {
                biased;
                attempt = self.attempt(data) => attempt,
                () = self.cut.cancelled() => {
                    return Outcome::Stopped { why: "the time for shutdown is up".to_owned() };
                }
            };
            let (why, after) = match attempt {
                Ok(Ok(())) => return Outcome::Sent { rejected: 0 },
                Ok(Err(ExportError::Partial { rejected, reason })) => {
                    if let Some(Sum { requests, items }) = self.log.rejected.add(rejected) {
                        tracing::warn!(
                            exporter = self.name,
                            requests,
                            rejected = items,
                            reason,
                            "the other side took a request in part"
                        );
                    }
                    return Outcome::Sent { rejected: rejected.min(data.items) };
                }
                Ok(Err(ExportError::Permanent { reason: why })) => {
                    return Outcome::Failed { reason: FailReason::Permanent, why, after: None };
                }
                Err(_) => {
                    let why = "the exporter panicked".to_owned();
                    return Outcome::Failed { reason: FailReason::Panicked, why, after: None };
                }
                Ok(Err(ExportError::Retryable { reason, after })) => (reason, after),
            };
            if !retry.enabled {
                return Outcome::Failed { reason: FailReason::RetriesEnded, why, after };
            }
            let asked = after.unwrap_or_default().min(ASKED_WAIT_MAX);
            let wait = backoff.next().max(asked);
            let elapsed_max = self.settings.elapsed_max();
            if !elapsed_max.is_zero() && begun.elapsed() + wait > elapsed_max {
                return Outcome::Failed { reason: FailReason::RetriesEnded, why, after };
            }
            if self.winding_down.is_cancelled() {
                return Outcome::Stopped { why };
            }
            if let Some(Sum { requests, .. }) = self.log.retried.add(data.items) {
                tracing::info!(
                    exporter = self.name,
                    attempts = requests,
                    error = why,
                    wait_seconds = wait.as_secs_f64(),
                    "an export failed and will be tried again"
                );
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = self.winding_down.cancelled() => return Outcome::Stopped { why },
            }
            add(&self.counters.retries, 1);
        }
    }

    /// One attempt; the outer error is a panic.
    async fn attempt(
        &self,
        data: &Encoded,
    ) -> Result<Result<(), ExportError>, Box<dyn Any + Send>> {
        let export = unpanicked(self.export.export(self.signal, data));
        let limit = self.settings.timeout;
        if limit.is_zero() {
            return export.await;
        }
        match timeout(limit, export).await {
            Ok(result) => result,
            Err(_) => {
                let seconds = limit.as_secs_f64();
                Ok(Err(ExportError::retryable(format!("no answer came within {seconds} s"))))
            }
        }
    }

    fn log_dropped(&self, sum: Sum, reason: &str, error: &str) {
        tracing::error!(
            exporter = self.name,
            requests = sum.requests,
            dropped = sum.items,
            reason,
            error,
            "{} are dropped",
            self.signal.items(),
        );
    }

    /// Counts and logs an outcome, and says it to who waits.
    fn conclude(&self, outcome: &Outcome, items: u64, direct: bool) -> Result<(), Refusal> {
        let (reason, why, after) = match outcome {
            Outcome::Sent { rejected } => {
                add(&self.counters.sent, items - rejected);
                add(&self.counters.rejected, *rejected);
                return Ok(());
            }
            Outcome::Failed { reason, why, after } => (*reason, why, *after),
            Outcome::Stopped { why } => (FailReason::RetriesEnded, why, None),
        };
        let lost = reason != FailReason::RetriesEnded || !direct;
        self.counters.fail(if lost { reason } else { FailReason::Returned }, items);
        if lost && let Some(sum) = self.log.dropped.add(items) {
            self.log_dropped(sum, reason.name(), why);
        }
        let reason_for = format!("exporter {}: {why}", self.name);
        Err(match reason {
            FailReason::Permanent => Refusal::Invalid { reason: reason_for },
            FailReason::Panicked => Refusal::Internal { reason: reason_for },
            _ => Refusal::Unavailable {
                reason: reason_for,
                retry_after: after
                    .map_or(self.settings.retry.initial_interval, |asked| asked.min(ASKED_WAIT_MAX))
                    .max(BUSY_RETRY_AFTER),
            },
        })
    }
}

/// The output of a future, or what it panicked with.
async fn unpanicked<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|context| {
        // After a panic the future is not polled again.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
