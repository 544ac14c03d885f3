//! The files of a queue on disk: a log in segments.
//!
//! Records are appended to the newest segment and marked done in place, in any order. A segment
//! whose records are all done is deleted. So that a record that is stuck in retries does not keep
//! a segment of done ones alive, room is made, when it is short, by writing what is left of
//! segments that are at least half done once more at the end. That bounds the files by
//! `disk_bytes_max`, of which about half can always be in use, and frees at least a byte for every byte
//! that it copies.
//!
//! What is not done is delivered again after a restart, at least once: a record may have been sent
//! without its mark. A record at the very end that is not whole was being written when the process
//! ended: it was not acknowledged, and is removed. Others that are torn or damaged are left out and
//! counted; where a header is gone, by what records of this queue hold on average.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::frame::{DONE, HEADER_BYTES, Header};
use super::scan::{Scanned, read_payload, scan};
use crate::Encoded;
use crate::exporters::settings::{PersistentSettings, Sizer};
use crate::private;

const SUFFIX: &str = ".queue";

/// A segment is a sixteenth of all, within these bounds.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

/// Writes bytes at an offset. Tests put a full disk in its place.
pub(super) type WriteAt = Box<dyn Fn(&File, &[u8], u64) -> io::Result<()> + Send + Sync>;

/// Why there is no queue.
#[derive(Debug, thiserror::Error)]
pub(in crate::exporters) enum OpenError {
    #[error("another process or exporter uses the queue in {}", .0.display())]
    Locked(PathBuf),
    #[error("the queue in {} cannot be opened: {error}", .folder.display())]
    Io { folder: PathBuf, error: io::Error },
}

/// Why a record was not written.
#[derive(Debug)]
pub(super) enum WriteError {
    Full,
    TooLarge,
    Closed,
    Io(io::Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A queue's files and what is in them.
pub(super) struct DiskQueue {
    folder: PathBuf,
    fsync: bool,
    bytes_max: u64,
    segment_bytes: u64,
    sizer: Sizer,
    size_max: u64,
    write_at: WriteAt,
    lock: File,
    /// Items that the last process had, and that are damaged; about.
    pub(super) damaged_items: u64,
    /// Held while a disk is waited for: never to be taken on a thread of the runtime's.
    state: Mutex<State>,
    /// What nobody has taken yet. Apart from the state, as it is looked at by who must not wait.
    waiting: Mutex<VecDeque<u64>>,
}

#[derive(Default)]
struct State {
    segments: BTreeMap<u64, Segment>,
    /// The one that is written to.
    active: Option<u64>,
    next_segment: u64,
    /// What is not done, by its number; that is in the order of arrival.
    entries: BTreeMap<u64, Entry>,
    next_entry: u64,
    /// Of the entries, in the sizer's unit.
    size: u64,
    disk_bytes: u64,
    closed: bool,
}

struct Segment {
    file: Arc<File>,
    path: PathBuf,
    bytes: u64,
    live: u64,
    live_bytes: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    segment: u64,
    offset: u64,
    header: Header,
}

/// A record, to be read without holding up others.
pub(super) struct Found {
    pub(super) items: u64,
    file: Arc<File>,
    offset: u64,
    header: Header,
}

impl Found {
    /// Its content, unless it is damaged.
    pub(super) fn read(&self) -> io::Result<Option<Bytes>> {
        read_payload(&self.file, self.offset, self.header)
    }
}

/// What lies in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) records: u64,
    /// In the sizer's unit.
    pub(super) size: u64,
    /// Of the files.
    pub(super) disk_bytes: u64,
}

impl DiskQueue {
    pub(super) fn open(
        settings: &PersistentSettings,
        sizer: Sizer,
        size_max: u64,
    ) -> Result<Self, OpenError> {
        Self::open_with(
            settings,
            sizer,
            size_max,
            Box::new(|file, bytes, at| file.write_all_at(bytes, at)),
        )
    }

    pub(super) fn open_with(
        settings: &PersistentSettings,
        sizer: Sizer,
        size_max: u64,
        write_at: WriteAt,
    ) -> Result<Self, OpenError> {
        let folder = settings.folder.clone();
        let failed = |error| OpenError::Io { folder: folder.clone(), error };
        private::create_dir_all(&folder).map_err(failed)?;
        let lock = private::create(&folder.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(folder)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let bytes_max = settings.disk_bytes_max;
        let segment_bytes =
            (bytes_max / 16).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX).min(bytes_max / 4);
        let mut state = State::default();
        let damaged_items = state.recover(&folder, sizer).map_err(failed)?;
        let waiting = state.entries.keys().copied().collect();
        Ok(Self {
            fsync: settings.fsync,
            bytes_max,
            segment_bytes,
            sizer,
            size_max,
            write_at,
            lock,
            damaged_items,
            state: Mutex::new(state),
            waiting: Mutex::new(waiting),
            folder,
        })
    }

    /// Writes a record. It is not taken before [`Self::publish`].
    pub(super) fn push(&self, data: &Encoded) -> Result<u64, WriteError> {
        let length = u32::try_from(data.len()).map_err(|_| WriteError::TooLarge)?;
        let payload_crc = data.parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        let header = Header { done: false, length, items: data.items, payload_crc };
        let size = size(self.sizer, header);
        // Half a segment stays free for what is written once more.
        let push_max = self.bytes_max - self.segment_bytes / 2;
        if header.record_bytes() > push_max || size > self.size_max {
            return Err(WriteError::TooLarge);
        }
        let mut state = self.state.lock();
        if state.closed {
            return Err(WriteError::Closed);
        }
        if state.size + size > self.size_max {
            return Err(WriteError::Full);
        }
        while state.disk_bytes + header.record_bytes() > push_max {
            if !self.rewrite_one(&mut state)? {
                return Err(WriteError::Full);
            }
        }
        let (segment, offset) = self.append(&mut state, header, &data.parts)?;
        let id = state.next_entry;
        state.next_entry += 1;
        state.entries.insert(id, Entry { segment, offset, header });
        state.size += size;
        Ok(id)
    }

    /// Lets a record be taken. Does not wait for the disk.
    pub(super) fn publish(&self, id: u64) {
        self.waiting.lock().push_back(id);
    }

    /// Lets a record be taken again, before all others. Does not wait for the disk.
    pub(super) fn put_back(&self, id: u64) {
        self.waiting.lock().push_front(id);
    }

    /// Does not wait for the disk.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.lock().is_empty()
    }

    /// Takes the oldest. Does not wait for the disk.
    pub(super) fn take(&self) -> Option<u64> {
        self.waiting.lock().pop_front()
    }

    /// Where a record lies; nowhere once it is done.
    pub(super) fn find(&self, id: u64) -> Option<Found> {
        let state = self.state.lock();
        let &Entry { segment, offset, header } = state.entries.get(&id)?;
        let file = Arc::clone(&state.segments.get(&segment)?.file);
        Some(Found { items: header.items, file, offset, header })
    }

    /// A record need not be kept any longer.
    pub(super) fn done(&self, id: u64) {
        let mut state = self.state.lock();
        let Some(entry) = state.entries.remove(&id) else {
            return;
        };
        state.size = state.size.saturating_sub(size(self.sizer, entry.header));
        self.unlink(&mut state, entry);
    }

    pub(super) fn held(&self) -> Held {
        let state = self.state.lock();
        Held { records: state.entries.len() as u64, size: state.size, disk_bytes: state.disk_bytes }
    }

    /// Takes nothing more, and lets another process have it.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "a queue could not be unlocked");
        }
    }

    /// Takes a record out of its segment, and deletes the segment with its last.
    fn unlink(&self, state: &mut State, entry: Entry) {
        let is_active = state.active == Some(entry.segment);
        let Some(segment) = state.segments.get_mut(&entry.segment) else {
            return;
        };
        segment.live = segment.live.saturating_sub(1);
        segment.live_bytes = segment.live_bytes.saturating_sub(entry.header.record_bytes());
        // A small one goes on: a file for every request of a quiet queue would cost more.
        if segment.live == 0 && (!is_active || segment.bytes > self.segment_bytes / 4) {
            state.delete(entry.segment);
        } else if let Err(error) = segment.file.write_all_at(&[DONE], entry.offset) {
            tracing::warn!(%error, "a record could not be marked done: it may be sent twice");
        }
    }

    /// Appends a record to the active segment, or a new one. After an error all is as before.
    fn append(&self, state: &mut State, header: Header, parts: &[Bytes]) -> io::Result<(u64, u64)> {
        let record_bytes = header.record_bytes();
        let full = |segment: &Segment| {
            segment.bytes > 0 && segment.bytes + record_bytes > self.segment_bytes
        };
        let active = state.active.filter(|number| !state.segments.get(number).is_none_or(full));
        let number = match active {
            Some(number) => number,
            None => {
                state.seal();
                self.new_segment(state)?
            }
        };
        let Some(segment) = state.segments.get_mut(&number) else {
            return Err(io::Error::other("the active segment is gone"));
        };
        let offset = segment.bytes;
        let written = self.write(&segment.file, offset, header, parts);
        if let Err(error) = written {
            // What was written of it would only take room.
            if segment.file.set_len(offset).is_err() {
                let bytes = segment.file.metadata().map_or(offset, |meta| meta.len());
                state.disk_bytes += bytes.saturating_sub(offset);
                segment.bytes = bytes;
                state.seal();
            }
            return Err(error);
        }
        segment.bytes += record_bytes;
        segment.live += 1;
        segment.live_bytes += record_bytes;
        state.disk_bytes += record_bytes;
        Ok((number, offset))
    }

    fn write(&self, file: &File, offset: u64, header: Header, parts: &[Bytes]) -> io::Result<()> {
        (self.write_at)(file, &header.encode(), offset)?;
        let mut at = offset + HEADER_BYTES as u64;
        for part in parts {
            (self.write_at)(file, part, at)?;
            at += part.len() as u64;
        }
        if self.fsync { file.sync_data() } else { Ok(()) }
    }

    fn new_segment(&self, state: &mut State) -> io::Result<u64> {
        let number = state.next_segment;
        let path = self.folder.join(format!("{number:016x}{SUFFIX}"));
        let file = private::options().read(true).write(true).create_new(true).open(&path)?;
        if self.fsync {
            File::open(&self.folder)?.sync_all()?;
        }
        state.next_segment += 1;
        let segment = Segment { file: Arc::new(file), path, bytes: 0, live: 0, live_bytes: 0 };
        state.segments.insert(number, segment);
        state.active = Some(number);
        Ok(number)
    }

    /// Writes what is left of a segment once more and deletes it. False if none is half done.
    fn rewrite_one(&self, state: &mut State) -> io::Result<bool> {
        let sparse = state
            .segments
            .iter()
            .filter(|(_, segment)| segment.bytes > 0 && segment.live_bytes * 2 <= segment.bytes)
            .min_by_key(|(_, segment)| segment.live_bytes)
            .map(|(&number, _)| number);
        let Some(number) = sparse else {
            return Ok(false);
        };
        if state.active == Some(number) {
            state.active = None;
        }
        let left: Vec<(u64, Entry)> = state
            .entries
            .iter()
            .filter(|(_, entry)| entry.segment == number)
            .map(|(&id, &entry)| (id, entry))
            .collect();
        for (id, entry) in left {
            let Some(segment) = state.segments.get(&number) else {
                break;
            };
            // A damaged one goes along as it is; who takes it finds out and counts it.
            let mut payload = vec![0; entry.header.length as usize];
            segment.file.read_exact_at(&mut payload, entry.offset + HEADER_BYTES as u64)?;
            let (segment, offset) = self.append(state, entry.header, &[payload.into()])?;
            state.entries.insert(id, Entry { segment, offset, header: entry.header });
            self.unlink(state, entry);
        }
        // It is still there when nothing was left.
        state.delete(number);
        Ok(true)
    }
}

impl State {
    /// Ends the active segment.
    fn seal(&mut self) {
        if let Some(number) = self.active.take()
            && self.segments.get(&number).is_some_and(|segment| segment.live == 0)
        {
            self.delete(number);
        }
    }

    fn delete(&mut self, number: u64) {
        let Some(segment) = self.segments.remove(&number) else {
            return;
        };
        if self.active == Some(number) {
            self.active = None;
        }
        self.disk_bytes = self.disk_bytes.saturating_sub(segment.bytes);
        if let Err(error) = fs::remove_file(&segment.path) {
            tracing::warn!(path = %segment.path.display(), %error, "a segment could not be deleted");
        }
    }

    /// Finds what the last process left; tells how many items are damaged, about.
    fn recover(&mut self, folder: &Path, sizer: Sizer) -> io::Result<u64> {
        let mut damage = Damage::default();
        let mut numbers = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            let number = number.and_then(|number| u64::from_str_radix(number, 16).ok());
            // Nobody writes so many; there has to be a next one.
            if let Some(number) = number.filter(|&number| number < u64::MAX) {
                numbers.push((number, folder.join(name)));
            }
        }
        numbers.sort();
        let newest = numbers.last().map(|&(number, _)| number);
        for (number, path) in numbers {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let mut bytes = file.metadata()?.len();
            let mut scanned = scan(&file, bytes)?;
            if let Some(at) = scanned.unfinished.filter(|_| newest == Some(number)) {
                // Whoever sent it was told nothing, and sends it again.
                tracing::info!(
                    path = %path.display(),
                    bytes = bytes - at,
                    "the last process ended while it wrote a record; its beginning is removed"
                );
                file.set_len(at)?;
                bytes = at;
                scanned = scan(&file, bytes)?;
            }
            damage.add(&scanned);
            if scanned.damaged_bytes > 0 {
                tracing::warn!(
                    path = %path.display(),
                    damaged_bytes = scanned.damaged_bytes,
                    "a segment of the queue is damaged or was cut off; what is whole is kept"
                );
            }
            let pending = scanned.records.into_iter().filter(|(_, header)| !header.done);
            let mut segment = Segment { file: Arc::new(file), path, bytes, live: 0, live_bytes: 0 };
            for (offset, header) in pending {
                segment.live += 1;
                segment.live_bytes += header.record_bytes();
                self.size += size(sizer, header);
                self.entries.insert(self.next_entry, Entry { segment: number, offset, header });
                self.next_entry += 1;
            }
            self.next_segment = number + 1;
            self.disk_bytes += bytes;
            let live = segment.live;
            self.segments.insert(number, segment);
            if live == 0 {
                self.delete(number);
            }
        }
        Ok(damage.items())
    }
}

/// Sums over all segments.
#[derive(Default)]
struct Damage {
    record_bytes: u64,
    record_items: u64,
    unknown_bytes: u64,
    cut_items: u64,
}

impl Damage {
    fn add(&mut self, scanned: &Scanned) {
        for (_, header) in &scanned.records {
            self.record_bytes = self.record_bytes.saturating_add(header.record_bytes());
            self.record_items = self.record_items.saturating_add(header.items);
        }
        self.unknown_bytes = self.unknown_bytes.saturating_add(scanned.unknown_bytes);
        self.cut_items = self.cut_items.saturating_add(scanned.cut_items);
    }

    /// Where no header tells how many there were, as many as so many bytes of whole records hold;
    /// one at the least, so that no damage goes without a count.
    fn items(&self) -> u64 {
        let whole = u128::from(self.unknown_bytes) * u128::from(self.record_items);
        let unknown = whole.div_ceil(u128::from(self.record_bytes.max(1)));
        let unknown = u64::try_from(unknown).unwrap_or(u64::MAX);
        self.cut_items.saturating_add(unknown.max(u64::from(self.unknown_bytes > 0)))
    }
}

fn size(sizer: Sizer, header: Header) -> u64 {
    sizer.size(header.items, header.length as usize)
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
