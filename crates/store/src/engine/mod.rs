//! The embedded engine: one folder, one process.
//!
//! Four threads work behind it: the writer (log and head), the syncer (durability of the log), the
//! sealer (chunks of the head into larger pieces, a full head into a block) and the compactor (blocks
//! into larger ones, retention).

mod compactor;
mod open;
mod sealer;
mod state;
mod turns;
mod workers;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use model::{SpanBatch, TraceId};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::Store;
use crate::block::Cache;
use crate::catalog::Catalogs;
use crate::edges::{self, EdgeRequest, EdgeSet};
use crate::files::folder_bytes;
use crate::piece::{Damaged, Piece};
use crate::query::{self, Cancel, KeptSeams, Probe, Stop, Teller};
use crate::search::{self, View};
use crate::spm::{self, RedRequest, RedSet};
use crate::trace;
use crate::trace_metrics::{TraceMetricsRequest, TraceMetricsSet};
use crate::types::{
    AppendError, AttributeRow, ChoiceRequest, FieldValues, FindRequest, FoundPage, Health, Level,
    MeasureRequest, Measured, NameSet, OperationRow, QueryError, ReadError, SearchPage,
    SearchRequest, SeriesRequest, SeriesSet, ServiceRow, StoreStatus, TraceRead, TraceSummary,
    ValueList, Watcher,
};

pub use open::OpenError;
use state::State;
use turns::Turns;
use workers::Workers;
use writer::Command;

/// How often a query that is watched tells how far it is.
const TELL_EVERY: Duration = Duration::from_millis(300);

/// When an acknowledged span is safe from loss of power. A killed process loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// The log is made durable this often.
    Interval(Duration),
    /// Before every acknowledgement.
    Always,
}

/// How much disk the engine may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DiskLimit {
    /// So many bytes.
    Bytes(u64),
    /// A share, from 0 to 1, of what is free at the start and what the data folder holds by then.
    ShareOfFree(f64),
}

/// How the engine works. [`Options::new`] has the defaults.
#[derive(Clone)]
pub struct Options {
    /// The data folder; made when missing.
    pub data_dir: PathBuf,
    /// Durability of the log.
    pub sync: SyncPolicy,
    /// How long spans are kept, by the time they came.
    pub retention: Duration,
    /// How much disk blocks and log may take.
    pub disk_limit: DiskLimit,
    /// Spans in the head before it is sealed.
    pub head_spans_max: usize,
    /// Bytes of memory that the head takes before it is sealed. As much again may wait to be sealed.
    pub head_bytes_max: usize,
    /// Bytes of the head's requests in the log before it is sealed.
    pub head_log_bytes_max: usize,
    /// How long the head may wait to be sealed.
    pub head_age_max: Duration,
    /// Rows of the head that are sorted and frozen together.
    pub chunk_rows: usize,
    /// A block that has half as many spans is not merged any more.
    pub block_spans_max: u64,
    /// Blocks of like size that are merged together.
    pub merge_blocks: usize,
    /// Bytes of decoded parts of blocks that are kept in memory.
    pub cache_bytes: usize,
    /// Bytes of requests that wait for the writer.
    pub queue_bytes_max: usize,
    /// How long a request waits for room in the queue before it is refused.
    pub queue_wait: Duration,
    /// Queries that run at once: more would only take memory, and time from those who send.
    pub queries_max: usize,
    /// Bytes that must stay free on the disk, so that sealing has room; at most a twentieth of
    /// the disk.
    pub disk_reserve_bytes: u64,
    /// Bytes free for us on the disk of a folder; all of them when it does not tell.
    pub free_bytes: Arc<dyn Fn(&Path) -> u64 + Send + Sync>,
    /// Nanoseconds since the Unix epoch.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Options {
    /// The defaults, for a data folder.
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            sync: SyncPolicy::Interval(Duration::from_millis(200)),
            retention: Duration::from_secs(14 * 24 * 3600),
            disk_limit: DiskLimit::ShareOfFree(0.8),
            head_spans_max: 500_000,
            head_bytes_max: 160 * 1024 * 1024,
            head_log_bytes_max: 512 * 1024 * 1024,
            head_age_max: Duration::from_secs(15 * 60),
            chunk_rows: 8 * 1024,
            block_spans_max: 1_000_000,
            merge_blocks: 6,
            cache_bytes: 192 * 1024 * 1024,
            queue_bytes_max: 64 * 1024 * 1024,
            queue_wait: Duration::from_secs(2),
            queries_max: std::thread::available_parallelism().map_or(1, usize::from),
            disk_reserve_bytes: 64 * 1024 * 1024,
            free_bytes: Arc::new(|folder| {
                rustix::fs::statvfs(folder)
                    .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
            }),
            clock: Arc::new(|| {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                now.map_or(0, |now| now.as_nanos() as u64)
            }),
        }
    }
}

/// What the threads and the callers share.
pub(crate) struct Shared {
    options: Options,
    state: Mutex<State>,
    /// Signalled when chunks can be merged, a head waits to be sealed, was sealed, or the engine
    /// stops.
    changed: parking_lot::Condvar,
    workers: Workers,
    cache: Arc<Cache>,
    /// Traces that lie in several pieces.
    seams: Arc<Mutex<KeptSeams>>,
    stopping: AtomicBool,
    disk_limit_bytes: u64,
}

impl Shared {
    fn now(&self) -> u64 {
        (self.options.clock)()
    }

    /// Bytes free for us on the disk of the data folder.
    fn free_bytes(&self) -> u64 {
        (self.options.free_bytes)(&self.options.data_dir)
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Tells all threads to end. Under the lock, so that none of them is between its look at the
    /// flag and its wait.
    fn stop(&self) {
        let state = self.state.lock();
        self.stopping.store(true, Ordering::Relaxed);
        drop(state);
        self.changed.notify_all();
    }

    /// Adds requests to the head, with the times they came at.
    fn append<'b>(&self, requests: impl IntoIterator<Item = (u64, &'b SpanBatch)>) {
        let mut state = self.state.lock();
        let mut to_merge = false;
        for (received, batch) in requests {
            to_merge |= state.append(batch, received, self.options.chunk_rows);
        }
        drop(state);
        if to_merge {
            self.changed.notify_all();
        }
    }

    /// The pieces at this moment. Spans that were acknowledged are all there.
    fn view(&self) -> View {
        let mut state = self.state.lock();
        let lacks_blocks = state.damaged_blocks + state.damaged_log > 0;
        View {
            pieces: state.pieces(),
            open: state.open_piece(),
            damaged: Vec::new(),
            lacks_blocks,
            seams: self.seams.clone(),
            probe: Arc::default(),
            pause: None,
        }
    }

    /// Sets aside the blocks that a query found damaged, if they are.
    fn report(&self, damaged: &[Damaged]) {
        // A query that outlives its store may meet what another store has made of the folder.
        if self.stopping.load(Ordering::Relaxed) {
            return;
        }
        for Damaged { block, reason } in damaged {
            let Some(block) = self.state.lock().block(block) else { continue };
            match block.damage() {
                Some(found) => self.set_aside(block.as_ref(), &found),
                // A fault of the moment, such as too many open files.
                None => tracing::error!(block = block.id(), reason, "a block could not be read"),
            }
        }
    }

    fn set_aside(&self, block: &crate::block::Block, reason: &str) {
        if !self.state.lock().remove_block(block.id()) {
            return;
        }
        let target = self.damaged_dir().join(block.id());
        let moved = std::fs::create_dir_all(self.damaged_dir())
            .and_then(|()| std::fs::rename(block.folder(), &target));
        let spans = block.meta().span_count;
        let target = target.display();
        match moved {
            Ok(()) => tracing::error!(reason, spans, "damaged block set aside in {target}"),
            Err(error) => tracing::error!(reason, spans, %error, "damaged block left in place"),
        }
        block.forget();
        self.state.lock().damaged_blocks += 1;
    }

    fn damaged_dir(&self) -> PathBuf {
        self.options.data_dir.join("damaged")
    }

    fn log_dir(&self) -> PathBuf {
        self.options.data_dir.join("log")
    }

    fn blocks_dir(&self) -> PathBuf {
        self.options.data_dir.join("blocks")
    }

    fn temporary_dir(&self) -> PathBuf {
        self.options.data_dir.join("tmp")
    }
}

/// The most spans that a search may ask for (traces by spans of each) to be one that mostly takes
/// milliseconds.
const QUICK_SPANS_MAX: usize = 10_000;

/// A store in a folder of this machine.
pub struct Engine {
    shared: Arc<Shared>,
    commands: std::sync::mpsc::Sender<Command>,
    /// Permits are KiB of requests on their way to the writer.
    queue: Arc<Semaphore>,
    /// Of queries; the others wait.
    turns: Turns,
    /// The same for reads that take milliseconds, so that they do not wait behind long queries.
    reads: Arc<Semaphore>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// Held for its lock.
    _lock: std::fs::File,
}

impl Engine {
    /// Opens the folder, recovers what the log holds and starts the threads. `progress` is told
    /// how many log bytes of how many were read.
    pub fn open(options: Options, progress: impl Fn(u64, u64)) -> Result<Self, OpenError> {
        open::open(options, &progress)
    }

    /// Seals the head, if it has spans, and waits until no block waits to be sealed or merged.
    pub fn settle(&self) {
        let (reply, done) = std::sync::mpsc::channel();
        if self.commands.send(Command::Seal { reply }).is_ok() {
            // An error means that the writer is gone, and with it what could be waited for.
            let _ = done.recv();
        }
        compactor::wait_until_idle(&self.shared);
    }

    /// Stops the threads. The log keeps what is in the head.
    pub fn close(&self) {
        self.shared.stop();
        // An error means that the writer has stopped already.
        let _ = self.commands.send(Command::Stop);
        for thread in self.threads.lock().drain(..) {
            // A panic was noted by the worker's own guard.
            let _ = thread.join();
        }
    }

    /// A query, which may take long.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut View) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let turn = self.turns.ordinary().await;
        self.in_turn(turn, work).await
    }

    /// A search, which mostly does not.
    async fn searching<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut View) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let turn = Arc::new(self.turns.search().await);
        let runtime = tokio::runtime::Handle::current();
        let paused = turn.clone();
        let pause: Arc<dyn Fn() + Send + Sync> = Arc::new(move || paused.pause(&runtime));
        self.in_turn(turn, move |view| {
            view.pause = Some(pause);
            work(view)
        })
        .await
    }

    /// A read of one trace, or of the small tables.
    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut View) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let turn = self.reads.clone().acquire_owned().await;
        self.in_turn(turn, work).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        turn: impl Send + 'static,
        work: impl FnOnce(&mut View) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let shared = self.shared.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let mut view = shared.view();
            let answer = work(&mut view);
            shared.report(&view.damaged);
            answer
        });
        task.await.map_err(|error| ReadError::Failed(error.to_string()))
    }

    /// Runs a query that ends when nobody waits for it any more; `is_search` says that it mostly
    /// takes milliseconds.
    async fn query<T: Send + 'static>(
        &self,
        is_search: bool,
        work: impl FnOnce(&mut View, &Cancel) -> Result<T, Stop> + Send + 'static,
    ) -> Result<T, QueryError> {
        let waiting = Waiting::default();
        let work = probed(work, waiting.0.clone());
        let answer = if is_search { self.searching(work).await } else { self.blocking(work).await };
        answered(answer)
    }

    /// Runs a query that counts. One that takes too long for the turn of short ones is begun anew in
    /// an ordinary one: those that wait hold nothing.
    async fn measuring<T: Send + 'static>(
        &self,
        work: impl Fn(&mut View, &Cancel) -> Result<T, Stop> + Clone + Send + 'static,
    ) -> Result<T, QueryError> {
        let waiting = Waiting::default();
        let (turn, until) = self.turns.measure().await;
        let short = probed(work.clone(), waiting.0.until(until));
        let mut answer = self.in_turn(turn, short).await;
        if until.is_some() && matches!(answer, Ok(Err(Stop::Cancelled))) {
            answer = self.blocking(probed(work, waiting.0.clone())).await;
        }
        answered(answer)
    }

    async fn catalog<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Catalogs) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        self.reading(move |view| {
            let pieces = view.pieces.clone().into_iter();
            let catalogs = pieces.filter_map(|piece| view.note(piece.catalog())).collect();
            read(&Catalogs(catalogs))
        })
        .await
    }
}

/// Somebody waits for the answer, until this is dropped.
#[derive(Default)]
struct Waiting(Cancel);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The work of a query that notes what it takes and ends when it is told to.
fn probed<T>(
    work: impl FnOnce(&mut View, &Cancel) -> Result<T, Stop>,
    cancel: Cancel,
) -> impl FnOnce(&mut View) -> Result<T, Stop> {
    move |view| {
        view.probe = Arc::new(Probe::of(&cancel));
        work(view, &cancel)
    }
}

fn answered<T>(answer: Result<Result<T, Stop>, ReadError>) -> Result<T, QueryError> {
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Stop::Refused(reason))) => Err(QueryError::Refused(reason)),
        Ok(Err(Stop::Damaged(damaged))) => Err(QueryError::Failed(damaged.to_string())),
        Ok(Err(Stop::Cancelled)) => Err(QueryError::Failed("it was cancelled".to_owned())),
        Err(error) => Err(error.into()),
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Store for Engine {
    async fn append(&self, batch: SpanBatch) -> Result<(), AppendError> {
        if batch.is_empty() {
            return Ok(());
        }
        let most = open::queue_permits(&self.shared.options);
        let permits = (batch.bytes().len() / 1024 + 1).min(most) as u32;
        let queue = self.queue.clone().acquire_many_owned(permits);
        let permit = tokio::time::timeout(self.shared.options.queue_wait, queue)
            .await
            .map_err(|_| AppendError::Busy)?
            .map_err(|_| AppendError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Append { batch, reply, _permit: permit };
        self.commands.send(command).map_err(|_| AppendError::Closed)?;
        answer.await.map_err(|_| AppendError::Closed)?
    }

    async fn trace(&self, id: TraceId) -> Result<TraceRead, ReadError> {
        self.reading(move |view| trace::read(view, id)).await
    }

    async fn search(&self, request: SearchRequest) -> Result<SearchPage, ReadError> {
        self.searching(move |view| search::search(view, &request)).await
    }

    async fn find(
        &self,
        request: FindRequest,
        watcher: Option<Watcher<FoundPage>>,
    ) -> Result<FoundPage, QueryError> {
        // Telling so many spans takes long, however soon they are found.
        let spans = request.limit.saturating_mul(request.spans_per_spanset.max(1));
        self.query(spans <= QUICK_SPANS_MAX, move |view, cancel| {
            // The first results are news at once.
            let teller = watcher.map(|to| Teller::new(to, Duration::ZERO, TELL_EVERY));
            query::find(view, &request, cancel, teller.as_ref())
        })
        .await
    }

    async fn measure(
        &self,
        request: MeasureRequest,
        watcher: Option<Watcher<Measured>>,
    ) -> Result<Measured, QueryError> {
        self.measuring(move |view, cancel| {
            let teller = watcher.clone().map(|to| Teller::new(to, TELL_EVERY, TELL_EVERY));
            query::measure(view, &request, cancel, teller.as_ref())
        })
        .await
    }

    async fn series(&self, request: SeriesRequest) -> Result<SeriesSet, ReadError> {
        self.blocking(move |view| search::series(view, &request)).await
    }

    async fn edges(&self, request: EdgeRequest) -> Result<EdgeSet, ReadError> {
        self.blocking(move |view| edges::edges(view, &request)).await
    }

    async fn red(&self, request: RedRequest) -> Result<RedSet, ReadError> {
        self.blocking(move |view| spm::red(view, &request)).await
    }

    async fn trace_metrics(
        &self,
        request: TraceMetricsRequest,
    ) -> Result<TraceMetricsSet, QueryError> {
        self.measuring(move |view, cancel| query::trace_metrics(view, &request, cancel)).await
    }

    async fn summaries(&self, ids: Vec<TraceId>) -> Result<Vec<TraceSummary>, ReadError> {
        self.reading(move |view| ids.into_iter().filter_map(|id| view.summary(id)).collect()).await
    }

    async fn services(&self) -> Result<Vec<ServiceRow>, ReadError> {
        self.catalog(Catalogs::services).await
    }

    async fn operations(&self, service: Option<String>) -> Result<Vec<OperationRow>, ReadError> {
        self.catalog(move |catalogs| catalogs.operations(service.as_deref())).await
    }

    async fn attributes(&self) -> Result<Vec<AttributeRow>, ReadError> {
        self.catalog(Catalogs::attributes).await
    }

    async fn attribute_values(
        &self,
        level: Option<Level>,
        key: String,
        limit: usize,
    ) -> Result<ValueList, ReadError> {
        self.catalog(move |catalogs| catalogs.attribute_values(level, &key, limit)).await
    }

    async fn names(&self, request: ChoiceRequest) -> Result<NameSet, QueryError> {
        self.query(true, move |view, cancel| query::names(view, &request, cancel)).await
    }

    async fn field_values(
        &self,
        request: ChoiceRequest,
        field: traceql::Field,
        limit: usize,
    ) -> Result<FieldValues, QueryError> {
        self.query(true, move |view, cancel| query::choices(view, &request, &field, limit, cancel))
            .await
    }

    fn status(&self) -> StoreStatus {
        let state = self.shared.state.lock();
        StoreStatus {
            span_count: state.span_count(),
            head_span_count: state.head_span_count(),
            block_count: state.blocks().len() as u64,
            damaged_block_count: state.damaged_blocks,
            damaged_log_count: state.damaged_log,
            disk_bytes: state.block_bytes() + folder_bytes(&self.shared.log_dir()),
            disk_limit_bytes: self.shared.disk_limit_bytes,
            retention: self.shared.options.retention,
        }
    }

    fn health(&self) -> Health {
        Health { problems: self.shared.workers.problems() }
    }
}
