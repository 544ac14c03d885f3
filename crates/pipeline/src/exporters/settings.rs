//! What can be set on a sender, as plain values with the Collector's defaults.

use std::path::PathBuf;
use std::time::Duration;

use crate::telemetry::OwnTraces;

/// Settings that every exporter has (the Collector's `exporterhelper`).
#[derive(Debug, Clone, PartialEq)]
pub struct SenderSettings {
    /// How long one attempt may take; zero is without end. Default 5 s.
    pub timeout: Duration,
    /// `retry_on_failure`.
    pub retry: RetrySettings,
    /// `sending_queue`.
    pub queue: QueueSettings,
    /// Where attempts leave spans. Default nowhere.
    pub own_traces: OwnTraces,
}

impl Default for SenderSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            retry: RetrySettings::default(),
            queue: QueueSettings::default(),
            own_traces: OwnTraces::default(),
        }
    }
}

/// `retry_on_failure`: exponential backoff.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetrySettings {
    /// Default true.
    pub enabled: bool,
    /// The first wait. Default 5 s.
    pub initial_interval: Duration,
    /// A wait is drawn from its interval times 1 ± this; 0 to 1. Default 0.5.
    pub randomization_factor: f64,
    /// By which the interval grows from wait to wait. Default 1.5.
    pub multiplier: f64,
    /// The largest interval, before the draw. Default 30 s.
    pub max_interval: Duration,
    /// No attempt begins later than this after the first; zero is for ever. When it is not set,
    /// 300 s, but for ever in front of a queue on disk, which is there to outlast a backend that
    /// is down for hours; the Collector drops after 300 s there, too.
    pub max_elapsed_time: Option<Duration>,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time: None,
        }
    }
}

/// `max_elapsed_time` in front of a queue in memory or none.
const ELAPSED_MAX_DEFAULT: Duration = Duration::from_secs(300);

impl SenderSettings {
    /// How long retries may go on; zero is for ever.
    pub(super) fn elapsed_max(&self) -> Duration {
        let is_on_disk = self.queue.enabled && self.queue.storage.is_some();
        let default = if is_on_disk { Duration::ZERO } else { ELAPSED_MAX_DEFAULT };
        self.retry.max_elapsed_time.unwrap_or(default)
    }
}

/// What a queue's size is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sizer {
    /// Requests as they came.
    #[default]
    Requests,
    /// Spans, data points or log records.
    Items,
    /// Encoded bytes.
    Bytes,
}

impl Sizer {
    pub(super) fn size(self, items: u64, bytes: usize) -> u64 {
        match self {
            Self::Requests => 1,
            Self::Items => items,
            Self::Bytes => bytes as u64,
        }
    }
}

/// `sending_queue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// Without a queue, who sends waits for the result of the export and its retries. Default true.
    pub enabled: bool,
    /// Exports at a time. Default 10.
    pub num_consumers: usize,
    /// Bound on what is queued and being exported, in the sizer's unit. Default 1,000.
    pub queue_size: u64,
    /// Default requests.
    pub sizer: Sizer,
    /// Who sends waits for the result although there is a queue. Default false.
    pub wait_for_result: bool,
    /// A full queue makes who sends wait, instead of refusing. Default false.
    pub block_on_overflow: bool,
    /// Bound on a memory queue's bytes, besides `queue_size`: requests have no size of their own.
    /// Default 256 MiB.
    pub memory_bytes_max: u64,
    /// A queue on disk, instead of one in memory. Default none.
    pub storage: Option<PersistentSettings>,
    /// Requests are joined before they are exported. Default none.
    pub batch: Option<BatchSettings>,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            num_consumers: 10,
            queue_size: 1000,
            sizer: Sizer::Requests,
            wait_for_result: false,
            block_on_overflow: false,
            memory_bytes_max: 256 << 20,
            storage: None,
            batch: None,
        }
    }
}

/// Where a queue lies on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersistentSettings {
    /// A folder of its own for each sender; made if it is not there.
    pub folder: PathBuf,
    /// Makes a request durable before it is acknowledged, so that it outlives a power cut and not
    /// only the process. Default false.
    pub fsync: bool,
    /// Bound on the files' bytes, besides `queue_size`. Default 2 GiB.
    pub disk_bytes_max: u64,
}

impl PersistentSettings {
    /// The defaults, in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), fsync: false, disk_bytes_max: 2 << 30 }
    }
}

/// `sending_queue.batch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSettings {
    /// How long a batch waits to reach `min_size`. Default 200 ms.
    pub flush_timeout: Duration,
    /// A batch of this size or more is exported at once. Default 8,192.
    pub min_size: u64,
    /// No batch is larger; 0 is without bound. Requests are cut only when one alone is larger, and
    /// only traces can be cut. Default 0.
    pub max_size: u64,
    /// Items or bytes. Default items.
    pub sizer: Sizer,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            flush_timeout: Duration::from_millis(200),
            min_size: 8192,
            max_size: 0,
            sizer: Sizer::Items,
        }
    }
}
