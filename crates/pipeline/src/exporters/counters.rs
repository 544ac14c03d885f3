//! What a sender counts. The binary exposes it under the Collector's names.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why items did not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailReason {
    /// The other side will never take them.
    Permanent,
    /// `max_elapsed_time` passed, or retries are off.
    RetriesEnded,
    /// Without a queue: they were given back to who sent them, who may come again.
    Returned,
    /// They were in a memory queue when the time for shutdown had passed.
    Shutdown,
    /// A record on disk was damaged.
    Damaged,
    /// The exporter panicked.
    Panicked,
}

impl FailReason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Permanent,
        Self::RetriesEnded,
        Self::Returned,
        Self::Shutdown,
        Self::Damaged,
        Self::Panicked,
    ];

    /// Its name as the value of a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::RetriesEnded => "retries_ended",
            Self::Returned => "returned",
            Self::Shutdown => "shutdown",
            Self::Damaged => "damaged",
            Self::Panicked => "panicked",
        }
    }
}

/// Counters of one exporter and signal. Items are spans, data points or log records.
#[derive(Debug, Default)]
pub struct ExporterCounters {
    pub(super) sent: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) failed: [AtomicU64; FailReason::ALL.len()],
    pub(super) enqueue_failed: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) in_flight: AtomicU64,
    pub(super) queue_size: AtomicU64,
    pub(super) queue_bytes: AtomicU64,
    pub(super) queue_capacity: AtomicU64,
}

/// The counters at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExporterSnapshot {
    /// Items taken by the other side: `otelcol_exporter_sent_<items>`.
    pub sent: u64,
    /// Items that the other side rejected in a partial success.
    pub rejected: u64,
    /// Items that did not leave, in the order of [`FailReason::ALL`]; their sum is
    /// `otelcol_exporter_send_failed_<items>`.
    pub failed: [u64; FailReason::ALL.len()],
    /// Items that the queue refused: `otelcol_exporter_enqueue_failed_<items>`.
    pub enqueue_failed: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Exports now under way, waits between attempts included.
    pub in_flight: u64,
    /// `otelcol_exporter_queue_size`, in the queue's unit. What is being exported counts.
    pub queue_size: u64,
    /// Bytes that the queue takes, in memory or on disk.
    pub queue_bytes: u64,
    /// `otelcol_exporter_queue_capacity`, in the queue's unit.
    pub queue_capacity: u64,
}

impl ExporterSnapshot {
    /// Items that did not leave, for whatever reason.
    pub fn send_failed(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Those of one reason.
    pub fn failed_for(&self, reason: FailReason) -> u64 {
        self.failed[reason as usize]
    }
}

impl ExporterCounters {
    /// All of them, read one after the other.
    pub fn snapshot(&self) -> ExporterSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ExporterSnapshot {
            sent: read(&self.sent),
            rejected: read(&self.rejected),
            failed: std::array::from_fn(|at| read(&self.failed[at])),
            enqueue_failed: read(&self.enqueue_failed),
            retries: read(&self.retries),
            in_flight: read(&self.in_flight),
            queue_size: read(&self.queue_size),
            queue_bytes: read(&self.queue_bytes),
            queue_capacity: read(&self.queue_capacity),
        }
    }

    pub(super) fn fail(&self, reason: FailReason, items: u64) {
        add(&self.failed[reason as usize], items);
    }
}

pub(super) fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}
