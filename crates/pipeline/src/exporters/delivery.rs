//! Attempts until data is taken or given up, what is counted and logged of them.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::counters::{ExporterCounters, FailReason, add};
use super::queue::{Gather, Group, PushError};
use super::rarely::{Rarely, Sum};
use super::retry::Backoff;
use super::settings::SenderSettings;
use super::{Export, ExportError};
use crate::panics::unpanicked;
use crate::telemetry::{self, Kind, SpanContext};
use crate::{Encoded, Refusal, Signal};

/// The delay asked of who met a full queue.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The delay asked of who met a full disk.
const DISK_RETRY_AFTER: Duration = Duration::from_secs(10);

/// No other side makes us wait longer: a slip in its answer would hold up a consumer for ever.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(3600);

/// What a sender and its consumers of the queue share.
pub(super) struct Inner {
    pub(super) name: String,
    pub(super) signal: Signal,
    pub(super) settings: SenderSettings,
    pub(super) export: Arc<dyn Export>,
    pub(super) counters: Arc<ExporterCounters>,
    /// No attempt begins any more.
    pub(super) winding_down: CancellationToken,
    /// Attempts under way end.
    pub(super) cut: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) log: Log,
    /// Where groups go whose attempts were stopped, when they are withdrawn.
    pub(super) withdrawn: Mutex<Option<Vec<Group>>>,
}

/// What is logged for single requests.
#[derive(Default)]
pub(super) struct Log {
    pub(super) dropped: Rarely,
    retried: Rarely,
    rejected: Rarely,
    not_queued: Rarely,
}

/// How the attempts for a group ended.
pub(super) enum Outcome {
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

pub(super) fn unavailable(reason: &str) -> Refusal {
    Refusal::Unavailable { reason: reason.to_owned(), retry_after: BUSY_RETRY_AFTER }
}

impl Inner {
    /// Waits for the attempts under way, until the deadline.
    pub(super) async fn ended(&self, deadline: Instant) {
        self.tasks.close();
        if timeout_at(deadline, self.tasks.wait()).await.is_err() {
            self.winding_down.cancel();
            self.cut.cancel();
            self.tasks.wait().await;
        }
    }

    pub(super) fn not_queued(&self, error: PushError, items: u64) -> Refusal {
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
    pub(super) async fn work(self: Arc<Self>, gather: Arc<Gather>) {
        while !self.winding_down.is_cancelled() {
            // Not to be dropped half-way: it may have taken some. The queue is closed before all
            // winds down, so that this comes to an end.
            let Some(group) = gather.next().await else {
                return;
            };
            let outcome = if self.winding_down.is_cancelled() {
                Outcome::Stopped { why: "the exporter is shutting down".to_owned() }
            } else {
                self.deliver(&group.data, group.parent()).await
            };
            if let Outcome::Stopped { .. } = outcome {
                if let Some(withdrawn) = &mut *self.withdrawn.lock() {
                    withdrawn.push(group);
                }
                // To drop it counts it, or keeps it on disk.
                return;
            }
            // Who waits for the result is told, and has it still.
            let queue = &self.settings.queue;
            let is_told = queue.wait_for_result && queue.storage.is_none();
            let result = self.conclude(&outcome, group.data.items, is_told);
            group.settle(result);
        }
    }

    /// Attempts until one succeeds or none can; under a span of its own, if anybody wants it.
    pub(super) async fn deliver(&self, data: &Encoded, parent: Option<SpanContext>) -> Outcome {
        let Some(tracer) = self.settings.own_traces.tracer() else {
            return self.attempts(data).await;
        };
        let name = format!("exporter/{}/{}", self.name, self.signal).into();
        let mut span = tracer.begin(&name, Kind::Client, parent);
        let outcome = Box::pin(span.context().scope(self.attempts(data))).await;
        let [sent, failed] = telemetry::sent(self.signal);
        let left = match &outcome {
            Outcome::Sent { rejected } => *rejected,
            Outcome::Failed { why, .. } | Outcome::Stopped { why } => {
                span.fail(why);
                data.items
            }
        };
        span.set(sent, data.items - left);
        span.set(failed, left);
        outcome
    }

    async fn attempts(&self, data: &Encoded) -> Outcome {
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

    pub(super) fn log_dropped(&self, sum: Sum, reason: &str, error: &str) {
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
    pub(super) fn conclude(
        &self,
        outcome: &Outcome,
        items: u64,
        direct: bool,
    ) -> Result<(), Refusal> {
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

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
