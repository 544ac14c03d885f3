//! Files of OTLP JSON, one `TracesData` a line, as the exporter `file` writes them; followed as they
//! grow.
//!
//! A line's place is remembered once the pipeline has taken its spans; when the pipeline refuses
//! them for now, reading waits. With a `storage` the places outlive the process: after an orderly
//! end nothing is read twice, after a kill at most what was taken in the last 200 ms. Nothing is
//! left out either way.
//!
//! A file is known by its inode, and by the first bytes and the last that were read of it. So it is
//! followed when it is renamed, a copy of it goes on where the original was, and one that was
//! emptied or written anew begins anew. A file that is renamed or removed out of the patterns'
//! sight is read to its end first, as long as no more than `max_concurrent_files` are open.
//!
//! Differences to the Collector:
//!
//! - A line that the pipeline refuses for now is tried again, for as long as it takes; the Collector
//!   drops it.
//! - `max_log_size` is 64 MiB if it is not set, where the Collector has 1 MiB, which a batch of 8,192
//!   spans oversteps. A longer line is left out as a whole and not cut into pieces.
//! - A last line without its end is taken after `force_flush_period` only if it is whole JSON;
//!   otherwise it waits for its end.
//! - `start_at: end` is for files that are there when the receiver first runs. Those that came while
//!   it was down are read from their beginning, if it has a `storage`.
//! - `encoding` is UTF-8, as JSON is. Compressed files, `header`, `delete_after_read`,
//!   `ordering_criteria` and patterns for the ends of lines are not supported.
//! - Nothing is added to spans: the keys `include_file_*` have no effect, as they were made for logs.

mod follow;
mod glob;
mod lines;
mod mark;
mod positions;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::otlp::intake::Intake;
use super::{ByteBudget, ServerSettings, TransportCounters};
use crate::Consumer;
use crate::exporters::PersistentSettings;
use follow::Follower;
use positions::Positions;

pub use glob::Glob;

/// Where a file is read from that is there when the receiver first runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// All of it.
    Beginning,
    /// Only what is added.
    #[default]
    End,
}

/// Settings of the file receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    /// The files to read.
    pub include: Vec<Glob>,
    /// Of these, those to leave.
    pub exclude: Vec<Glob>,
    /// Default the end.
    pub start_at: StartAt,
    /// How often files are looked for, and at. Default 200 ms.
    pub poll_interval: Duration,
    /// Reads all files over and over again, for tests. Default false.
    pub replay: bool,
    /// Longest line in bytes. Default 64 MiB; an eighth of the budget at most.
    pub line_bytes_max: usize,
    /// First bytes by which a file is known. Default 1,000.
    pub fingerprint_bytes: usize,
    /// Files that may be open at once. Default 1,024.
    pub open_files_max: usize,
    /// How long a last line without its end is left alone; zero is for ever. Default 500 ms.
    pub flush_period: Duration,
    /// Files that were not written to for so long are left. Default none.
    pub older_than: Option<Duration>,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            start_at: StartAt::default(),
            poll_interval: Duration::from_millis(200),
            replay: false,
            line_bytes_max: 64 << 20,
            fingerprint_bytes: 1000,
            open_files_max: 1024,
            flush_period: Duration::from_millis(500),
            older_than: None,
        }
    }
}

/// What a file receiver counts.
#[derive(Debug, Default)]
pub struct FileCounters {
    /// `transport="file"`; a line is a request.
    pub lines: Arc<TransportCounters>,
    /// Files that are open now.
    pub open_files: AtomicU64,
}

/// Follows files in a thread of its own.
pub struct FileReceiver {
    follower: Follower,
}

impl FileReceiver {
    /// A receiver that has read nothing yet, with a folder to keep its places in, if any. Reads from
    /// the disk: not for an asynchronous task.
    ///
    /// # Errors
    ///
    /// What is wrong with the folder.
    pub fn open(
        settings: FileSettings,
        storage: Option<PersistentSettings>,
        budget: ByteBudget,
        consumer: Arc<dyn Consumer>,
        counters: Arc<FileCounters>,
    ) -> Result<Self, String> {
        let (positions, kept) = match storage.filter(|_| !settings.replay) {
            Some(storage) => {
                let (positions, kept) = Positions::open(storage)?;
                (Some(positions), kept)
            }
            None => (None, None),
        };
        let request_bytes_max = settings.line_bytes_max.min(budget.bytes_max() / 8);
        let server = ServerSettings { request_bytes_max, ..ServerSettings::default() };
        let intake = Intake::new(&server, budget, consumer, Arc::clone(&counters.lines));
        Ok(Self { follower: Follower::new(settings, intake, counters, positions, kept) })
    }

    /// Reads until `shutdown` is cancelled, then ends with the line that the pipeline has. Must be
    /// called within a runtime, which has to live until then.
    ///
    /// # Errors
    ///
    /// When there can be no thread.
    pub fn run(
        self,
        shutdown: CancellationToken,
    ) -> Result<impl Future<Output = ()> + Send + 'static, std::io::Error> {
        let runtime = tokio::runtime::Handle::current();
        let (done, end) = tokio::sync::oneshot::channel::<()>();
        thread::Builder::new().name("otlp_json_file".to_owned()).spawn(move || {
            // Dropped with the thread, however it ends.
            let _done = done;
            self.follower.run(&runtime, &shutdown);
        })?;
        Ok(async {
            let _ = end.await;
        })
    }
}
