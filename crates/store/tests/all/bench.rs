//! An engine in a folder of its own, with limits small enough to meet all of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::{SpanBatch, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use store::{AppendError, DiskLimit, Engine, OpenError, Options, Store, SyncPolicy};

use crate::canonical::{assert_same, by_trace};

/// Noon of 15 January 2027, when nothing else is said.
pub const NOW: u64 = 1_800_014_400_000_000_000;

pub const SECOND: u64 = 1_000_000_000;

pub const HOUR: u64 = 3_600 * SECOND;

/// A clock that moves only when told to.
#[derive(Clone)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    pub fn at(now: u64) -> Self {
        Self(Arc::new(AtomicU64::new(now)))
    }

    pub fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    pub fn reader(&self) -> Arc<dyn Fn() -> u64 + Send + Sync> {
        let now = self.0.clone();
        Arc::new(move || now.load(Ordering::Relaxed))
    }
}

/// Options that merge two blocks at once and take no time for granted.
pub fn options(folder: &Path, clock: &Clock) -> Options {
    Options {
        sync: SyncPolicy::Interval(Duration::from_secs(3600)),
        retention: Duration::from_secs(14 * 24 * 3600),
        disk_limit: DiskLimit::Bytes(u64::MAX),
        head_age_max: Duration::from_secs(u64::MAX / 4),
        merge_blocks: 2,
        disk_reserve_bytes: 0,
        clock: clock.reader(),
        ..Options::new(folder.to_owned())
    }
}

/// An engine that can be closed, opened again and copied.
pub struct Bench {
    root: tempfile::TempDir,
    pub clock: Clock,
    bend: Box<dyn Fn(&mut Options) + Send + Sync>,
    engine: Option<Engine>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// `bend` changes the options, at every opening.
    pub fn with(bend: impl Fn(&mut Options) + Send + Sync + 'static) -> Self {
        let mut bench = Self::closed(bend);
        bench.open();
        bench
    }

    pub fn closed(bend: impl Fn(&mut Options) + Send + Sync + 'static) -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            clock: Clock::at(NOW),
            bend: Box::new(bend),
            engine: None,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_time()
                .build()
                .unwrap(),
        }
    }

    pub fn folder(&self) -> PathBuf {
        self.root.path().join("data")
    }

    pub fn options_for(&self, folder: &Path) -> Options {
        let mut options = options(folder, &self.clock);
        (self.bend)(&mut options);
        options
    }

    pub fn try_open(&self, folder: &Path) -> Result<Engine, OpenError> {
        Engine::open(self.options_for(folder), |_, _| {})
    }

    pub fn open(&mut self) {
        self.engine = Some(self.try_open(&self.folder()).unwrap());
    }

    pub fn close(&mut self) {
        self.engine = None;
    }

    pub fn reopen(&mut self) {
        self.close();
        self.open();
    }

    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    pub fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    pub fn try_append(&self, request: &ExportTraceServiceRequest) -> Result<(), AppendError> {
        self.wait(self.engine().append(batch(request)))
    }

    pub fn append(&self, request: &ExportTraceServiceRequest) {
        self.try_append(request).unwrap();
    }

    pub fn settle(&self) {
        self.engine().settle();
    }

    /// All spans of some traces. Reads say that they are partial while a block or a part of the log
    /// is set aside, and only then.
    pub fn traces(&self, ids: impl IntoIterator<Item = TraceId>) -> ExportTraceServiceRequest {
        let mut all = ExportTraceServiceRequest::default();
        for id in ids {
            let read = self.wait(self.engine().trace(id)).unwrap();
            let is_set_aside = self.engine().status().is_partial();
            assert_eq!(read.partial, is_set_aside, "trace {id}");
            let spans = read.spans.map_or_else(Default::default, |spans| decoded(&spans));
            all.resource_spans.extend(spans.resource_spans);
        }
        all
    }

    /// The store has these spans, each once, and no others of their traces.
    pub fn assert_holds(&self, what: &str, expected: &ExportTraceServiceRequest) {
        let ids = by_trace(expected).into_keys();
        assert_same(what, &self.traces(ids), expected);
    }
    /// A bench whose folder is a copy of another's.
    pub fn of_copy(folder: &Path, bend: impl Fn(&mut Options) + Send + Sync + 'static) -> Self {
        let mut bench = Self::closed(bend);
        copy_folder(folder, &bench.folder());
        bench.open();
        bench
    }
}

pub fn batch(request: &ExportTraceServiceRequest) -> SpanBatch {
    let batch = SpanBatch::decode(Bytes::from(request.encode_to_vec())).unwrap();
    assert_eq!(batch.rejection().spans, 0, "{}", batch.rejection().reason);
    batch
}

pub fn decoded(spans: &SpanBatch) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(&spans.bytes()[..]).unwrap()
}

/// Waits until something is so, and panics when that takes absurdly long.
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::yield_now();
    }
}

pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The folders of a data folder's blocks, by name.
pub fn block_folders(data: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
    };
    let mut all: Vec<PathBuf> =
        list(&data.join("blocks")).iter().flat_map(|day| list(day)).collect();
    all.sort();
    all
}

/// The files of a folder, by name.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}
