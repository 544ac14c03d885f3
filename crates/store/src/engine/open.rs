//! Opening a data folder: lock, format, blocks, log, threads.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use model::SpanBatch;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::state::State;
use super::turns::Turns;
use super::workers::Workers;
use super::writer::{SyncSlot, Writer, sync_loop};
use super::{DiskLimit, Engine, Options, Shared, SyncPolicy, compactor, sealer};
use crate::block::{Block, BlockMeta, Cache, FORMAT_VERSION, META_FILE};
use crate::files::{folder_bytes, sync_folder};
use crate::log::{self, Segment};

/// Requests that are decoded and wait to be added while a log is read.
const BATCHES_AHEAD: usize = 16;

/// Why a data folder was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{path} is in use by another Spanfall; stop it, or choose another folder")]
    InUse {
        /// The data folder.
        path: PathBuf,
    },
    /// Something else has the name of the data folder, or of a folder in it.
    #[error("{path} is not a folder; choose another")]
    NotAFolder {
        /// What is no folder.
        path: PathBuf,
    },
    /// A folder has the name of a segment of the log.
    #[error(
        "{path} is a folder, and a file of the log belongs in its place; move it out of the data folder"
    )]
    StrayFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Made by another version.
    #[error(
        "{path} cannot be read: {reason}; use the version of Spanfall that wrote it, or another folder"
    )]
    Format {
        /// The folder at fault.
        path: PathBuf,
        /// What is different.
        reason: String,
    },
    /// The system refused.
    #[error("{path} cannot be used: {error}; check its permissions, or choose another folder")]
    Io {
        /// The file or folder at fault.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The reserve is never more than this part of the whole disk.
const DISK_RESERVE_PART: u64 = 20;

/// What the file that marks a data folder says.
fn format_line() -> String {
    format!("spanfall data, format {FORMAT_VERSION}\n")
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + '_ {
    move |error| OpenError::Io { path: path.to_owned(), error }
}

pub(crate) fn open(mut options: Options, progress: &dyn Fn(u64, u64)) -> Result<Engine, OpenError> {
    let data_dir = options.data_dir.clone();
    make_folder(&data_dir)?;
    let lock = lock(&data_dir)?;
    check_format(&data_dir)?;
    for folder in ["log", "blocks", "tmp"] {
        let path = data_dir.join(folder);
        if folder == "tmp" && path.exists() {
            std::fs::remove_dir_all(&path).map_err(at(&path))?;
        }
        make_folder(&path)?;
    }
    refuse_stray_folders(&data_dir.join("log"))?;
    let used = folder_bytes(&data_dir);
    // On a small disk the reserve is a small part of it.
    if let Ok(disk) = rustix::fs::statvfs(&data_dir) {
        let part = disk.f_blocks.saturating_mul(disk.f_frsize) / DISK_RESERVE_PART;
        options.disk_reserve_bytes = options.disk_reserve_bytes.min(part);
    }
    let cache = Arc::new(Cache::new(options.cache_bytes));
    let mut shared = Shared {
        options,
        state: Mutex::new(State::default()),
        changed: parking_lot::Condvar::new(),
        workers: Workers::default(),
        cache,
        seams: Arc::default(),
        stopping: AtomicBool::new(false),
        disk_limit_bytes: 0,
    };
    shared.disk_limit_bytes = match shared.options.disk_limit {
        DiskLimit::Bytes(bytes) => bytes,
        DiskLimit::ShareOfFree(share) => {
            let free = shared.free_bytes();
            (free.saturating_add(used) as f64 * share) as u64
        }
    };
    let shared = Arc::new(shared);

    let through = load_blocks(&shared)?;
    sealer::remove_log(&shared, through);

    let (commands, receiver) = std::sync::mpsc::channel();
    let queue = Arc::new(Semaphore::new(queue_permits(&shared.options)));
    let mut threads = vec![spawn(&shared, "sealer", {
        let shared = shared.clone();
        move || sealer::run(&shared)
    })?];
    let segment = match recover_log(&shared, through, progress) {
        Ok(segment) => segment,
        Err(error) => {
            // The sealer lets go of the folder before the lock does.
            shared.stop();
            threads.into_iter().for_each(|thread| drop(thread.join()));
            return Err(error);
        }
    };
    threads.push(spawn(&shared, "compactor", {
        let shared = shared.clone();
        move || compactor::run(&shared)
    })?);
    let slot = Arc::new(SyncSlot::default());
    if let SyncPolicy::Interval(interval) = shared.options.sync {
        let (shared_too, slot) = (shared.clone(), slot.clone());
        threads
            .push(spawn(&shared, "log syncer", move || sync_loop(&shared_too, &slot, interval))?);
    }
    let writer = Writer::new(shared.clone(), receiver, segment, slot);
    threads.push(spawn(&shared, "log writer", move || writer.run())?);
    let queries_max = shared.options.queries_max.max(1);
    let (turns, reads) = (Turns::new(queries_max), Arc::new(Semaphore::new(queries_max)));
    let threads = Mutex::new(threads);
    Ok(Engine { shared, commands, queue, turns, reads, threads, _lock: lock })
}

/// Room for requests on their way to the writer, in KiB.
pub(crate) fn queue_permits(options: &Options) -> usize {
    (options.queue_bytes_max / 1024).clamp(1, Semaphore::MAX_PERMITS)
}

fn spawn(
    shared: &Arc<Shared>,
    name: &'static str,
    life: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, OpenError> {
    let data_dir = shared.options.data_dir.clone();
    let shared = shared.clone();
    // Named, so that an operator sees in `top -H` which worker is busy.
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread
        .spawn(move || shared.workers.live(name, || shared.stopping(), life))
        .map_err(|error| OpenError::Io { path: data_dir, error })
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    if path.exists() && !path.is_dir() {
        return Err(OpenError::NotAFolder { path: path.to_owned() });
    }
    std::fs::create_dir_all(path).map_err(at(path))
}

fn refuse_stray_folders(log_dir: &Path) -> Result<(), OpenError> {
    let segments = log::segments(log_dir).map_err(at(log_dir))?;
    match segments.into_iter().find(|(_, path)| path.is_dir()) {
        Some((_, path)) => Err(OpenError::StrayFolder { path }),
        None => Ok(()),
    }
}

fn lock(data_dir: &Path) -> Result<File, OpenError> {
    let path = data_dir.join("LOCK");
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { path: data_dir.to_owned() }),
        Err(error) => Err(OpenError::Io { path, error: error.into() }),
    }
}

fn check_format(data_dir: &Path) -> Result<(), OpenError> {
    let path = data_dir.join("FORMAT");
    let content = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        content => content.map_err(at(&path))?,
    };
    let ours = format_line();
    let reason = match std::str::from_utf8(&content) {
        // Loss of power at the first start can leave the name without the content. Blocks and log
        // come after both.
        Ok("") if !has_spans(data_dir)? => return write_format(data_dir, &path),
        Ok("") => format!(
            "it has blocks or a log, but its file FORMAT, which says {:?}, is missing or empty",
            ours.trim()
        ),
        Ok(line) if line == ours => return Ok(()),
        Ok(line) => format!("it holds {:?}, this program reads {:?}", line.trim(), ours.trim()),
        Err(_) => format!(
            "its file FORMAT is not text, and says {:?} where Spanfall wrote the folder",
            ours.trim()
        ),
    };
    Err(OpenError::Format { path: data_dir.to_owned(), reason })
}

/// Whether blocks or log have anything in them.
fn has_spans(data_dir: &Path) -> Result<bool, OpenError> {
    for folder in ["log", "blocks"] {
        let path = data_dir.join(folder);
        if path.is_dir() && std::fs::read_dir(&path).map_err(at(&path))?.next().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn write_format(data_dir: &Path, path: &Path) -> Result<(), OpenError> {
    std::fs::write(path, format_line())
        .and_then(|()| File::open(path)?.sync_all())
        .and_then(|()| sync_folder(data_dir))
        .map_err(at(path))
}

/// Opens the blocks; returns the last log segment whose spans are in them. A block that cannot be
/// opened vouches neither for log segments nor for the blocks that it was to replace.
fn load_blocks(shared: &Arc<Shared>) -> Result<u64, OpenError> {
    // What was set aside before still lacks in every answer, until someone takes it away.
    let damaged_dir = shared.damaged_dir();
    if damaged_dir.exists() {
        let tails = log::tails(&damaged_dir).map_err(at(&damaged_dir))?;
        let mut state = shared.state.lock();
        state.damaged_blocks = entries(&damaged_dir)?.len() as u64;
        state.damaged_log = tails;
    }
    let mut blocks: Vec<Block> = Vec::new();
    let mut broken: Vec<(PathBuf, String)> = Vec::new();
    let blocks_dir = shared.blocks_dir();
    for day in entries(&blocks_dir)? {
        for folder in entries(&day)? {
            let meta = match BlockMeta::read(&folder) {
                Ok(meta) => meta,
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    return Err(OpenError::Format { path: folder, reason: error.to_string() });
                }
                Err(error) => {
                    broken.push((folder, format!("{META_FILE}: {error}")));
                    continue;
                }
            };
            match Block::open(&folder, meta, shared.cache.clone()) {
                Ok(block) => blocks.push(block),
                Err(damaged) => broken.push((folder, damaged.reason)),
            }
        }
    }
    let through = blocks.iter().map(|block| block.meta().log_through).max().unwrap_or(0);
    let replaced: HashSet<String> =
        blocks.iter().flat_map(|block| block.meta().replaces.iter().cloned()).collect();
    // The process ended between writing a merged block and deleting those that it replaces.
    let remove = |folder: &Path| std::fs::remove_dir_all(folder).map_err(at(folder));
    for (folder, reason) in broken {
        // A block's folder has its name.
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if replaced.contains(name) {
            remove(&folder)?;
        } else {
            set_aside(shared, &folder, &reason);
        }
    }
    for block in blocks {
        if replaced.contains(&block.meta().id) {
            remove(block.folder())?;
        } else {
            shared.state.lock().add_block(Arc::new(block));
        }
    }
    Ok(through)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if path.is_dir() {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

fn set_aside(shared: &Shared, folder: &Path, reason: &str) {
    let target = shared.damaged_dir().join(folder.file_name().unwrap_or_default());
    let moved = std::fs::create_dir_all(shared.damaged_dir())
        .and_then(|()| std::fs::rename(folder, &target));
    tracing::error!(
        block = %folder.display(),
        reason,
        moved = moved.is_ok(),
        "damaged block set aside in {}",
        target.display()
    );
    shared.state.lock().damaged_blocks += 1;
}

/// Puts the spans of the log into the head and starts the next segment.
fn recover_log(
    shared: &Arc<Shared>,
    through: u64,
    progress: &dyn Fn(u64, u64),
) -> Result<Segment, OpenError> {
    let log_dir = shared.log_dir();
    let segments = log::segments(&log_dir).map_err(at(&log_dir))?;
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let total: u64 = segments.iter().map(|(_, path)| size(path)).sum();
    let mut read = 0;
    let mut last = through;
    let newest = segments.last().cloned();
    for (number, path) in segments {
        // A segment is a head of its own: two may be left, of one that was being sealed and of
        // the one that filled meanwhile.
        wait_and_seal_if_full(shared, last);
        read += size(&path);
        let repair = read_segment(shared, &path).map_err(|error| match error.kind() {
            io::ErrorKind::Unsupported => {
                OpenError::Format { path: path.clone(), reason: error.to_string() }
            }
            _ => OpenError::Io { path: path.clone(), error },
        })?;
        if let Some(log::Repair { damage, kept, lost }) = repair {
            let path = path.display();
            match kept {
                Some(kept) => {
                    let kept = kept.display();
                    tracing::error!(%path, "{damage}; the log was cut there, the rest is in {kept}");
                    shared.state.lock().damaged_log += u64::from(lost);
                }
                None => tracing::warn!(%path, "{damage}; it is an empty file"),
            }
        }
        last = last.max(number);
        progress(read, total);
    }
    match (Segment::create(&log_dir, last + 1), newest) {
        // A full disk must not keep the stored spans from being read; the writer sees to the rest.
        (Err(error), Some((number, path))) if error.kind() == io::ErrorKind::StorageFull => {
            tracing::warn!(path = %log_dir.display(), "the disk is full; spans are refused for now");
            let started = log_dir.join(log::file_name(last + 1));
            if let Err(error) = std::fs::remove_file(&started) {
                tracing::debug!(%error, "nothing of the next segment was left");
            }
            Segment::resume(&path, number).map_err(at(&path))
        }
        (segment, _) => segment.map_err(at(&log_dir)),
    }
}

/// Puts a segment's spans into the head: one thread decodes, another adds.
fn read_segment(shared: &Arc<Shared>, path: &Path) -> io::Result<Option<log::Repair>> {
    std::thread::scope(|scope| {
        let (decoded, waiting) = std::sync::mpsc::sync_channel::<(u64, SpanBatch)>(BATCHES_AHEAD);
        scope.spawn(move || {
            for (received, batch) in waiting {
                shared.append([(received, &batch)]);
            }
        });
        log::recover(path, &shared.damaged_dir(), |received, payload| {
            match SpanBatch::decode(payload) {
                // The other thread ends when this one lets go of the channel.
                Ok(batch) => drop(decoded.send((received, batch))),
                Err(error) => tracing::error!(%error, "a log record is no OTLP request"),
            }
        })
    })
}

fn wait_and_seal_if_full(shared: &Shared, through: u64) {
    let mut state = shared.state.lock();
    if state.head().spans < shared.options.head_spans_max / 2 {
        return;
    }
    while state.sealing.is_some() && !shared.stopping() {
        shared.changed.wait(&mut state);
    }
    state.begin_sealing(through);
    drop(state);
    shared.changed.notify_all();
}
