//! Finds files, reads on where each was, and hands over its lines one by one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::lines::{self, Line, Part, ReadError};
use super::mark::{FileId, Mark};
use super::positions::{Kept, Positions};
use super::{FileCounters, FileSettings, StartAt};
use crate::Refusal;
use crate::exporters::rarely::Rarely;
use crate::receivers::TransportCounters;
use crate::receivers::body::BodyError;
use crate::receivers::otlp::fault::Fault;
use crate::receivers::otlp::intake::{Decoded, Encoding, Intake, Message};

/// Files that are followed. More are left, and told in the log.
const FILES_MAX: usize = 10_000;

/// Marks of files that are gone, by which they and their copies are known again.
const GONE_MAX: usize = 1000;

/// How long a file that is gone is held open at its end, as who writes it may have more to say.
const GONE_TIME: Duration = Duration::from_secs(5);

/// How long to wait when there is no memory for a line.
const BUSY_WAIT: Duration = Duration::from_millis(100);

/// A pipeline that refuses is asked again after its own delay, within these bounds.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));

/// How often places are kept while a part of a file is taken.
const SAVE_INTERVAL: Duration = Duration::from_millis(200);

/// Between lines of one kind in the log.
const LINE_PAUSE: Duration = Duration::from_secs(5);

/// The receiver is to stop.
struct Stopped;

/// One file.
struct Followed {
    path: PathBuf,
    /// Open, unless too many are.
    file: Option<File>,
    mark: Mark,
    /// Length and time of the last write when it was last looked at.
    seen: Option<(u64, SystemTime)>,
    /// The length at which there is nothing more to do.
    settled: Option<u64>,
    /// A last line without its end: the length then, and since when.
    unfinished: Option<(u64, Instant)>,
    /// Since when no pattern finds it.
    gone: Option<Instant>,
}

pub(super) struct Follower {
    settings: FileSettings,
    include: Vec<String>,
    line_max: usize,
    intake: Arc<Intake>,
    counters: Arc<FileCounters>,
    positions: Option<Positions>,
    /// Whether files that are there have never been looked at.
    is_new: bool,
    followed: BTreeMap<FileId, Followed>,
    gone: VecDeque<Mark>,
    open_files: usize,
    /// There is something to keep.
    changed: bool,
    /// When places were kept.
    saved: Instant,
    log: Log,
}

struct Log {
    bad_line: Rarely,
    left_out: Rarely,
    refused: Rarely,
    waiting: Rarely,
    disk: Rarely,
    too_many: Rarely,
}

impl Follower {
    pub(super) fn new(
        settings: FileSettings,
        intake: Arc<Intake>,
        counters: Arc<FileCounters>,
        positions: Option<Positions>,
        kept: Option<Kept>,
    ) -> Self {
        let include: Vec<String> =
            settings.include.iter().map(|glob| glob.text().to_owned()).collect();
        let is_new = kept.as_ref().is_none_or(|kept| kept.include != include);
        let rarely = || Rarely::every(LINE_PAUSE);
        Self {
            include,
            line_max: intake.limits().bytes_max,
            settings,
            intake,
            counters,
            positions,
            is_new,
            followed: BTreeMap::new(),
            gone: kept.map(|kept| kept.marks.into()).unwrap_or_default(),
            open_files: 0,
            // The patterns, at least.
            changed: true,
            saved: Instant::now(),
            log: Log {
                bad_line: rarely(),
                left_out: rarely(),
                refused: rarely(),
                waiting: rarely(),
                disk: rarely(),
                too_many: rarely(),
            },
        }
    }

    pub(super) fn run(mut self, runtime: &Handle, stop: &CancellationToken) {
        loop {
            self.look();
            let looked = Instant::now();
            let more = loop {
                let progress = self.read_all(runtime, stop);
                self.save(None);
                match progress {
                    Ok(true) if looked.elapsed() < self.settings.poll_interval => {}
                    Ok(more) => break more,
                    Err(Stopped) => return self.counters.open_files.store(0, Ordering::Relaxed),
                }
            };
            let wait = if more { Duration::ZERO } else { self.settings.poll_interval };
            if !more && self.settings.replay {
                self.rewind();
            }
            if pause(runtime, stop, wait).is_err() {
                return self.counters.open_files.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Finds files, and out which they are.
    fn look(&mut self) {
        let mut paths = BTreeSet::new();
        for glob in &self.settings.include {
            if !glob.find(&mut paths, FILES_MAX) && self.log.too_many.add(1).is_some() {
                let pattern = glob.text();
                tracing::warn!(pattern, "more than {FILES_MAX} files; not all are read");
            }
        }
        paths.retain(|path| !self.settings.exclude.iter().any(|glob| glob.matches(path)));
        let mut present = BTreeSet::new();
        for path in paths {
            match self.look_at(&path) {
                Ok(Some(id)) => {
                    present.insert(id);
                }
                Ok(None) => {}
                // It went away in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.tell(&path, &error),
            }
        }
        if present.is_empty() && self.is_new {
            tracing::warn!(include = ?self.include, "no files match yet");
        }
        self.is_new = false;
        for (id, followed) in &mut self.followed {
            match present.contains(id) {
                true => followed.gone = None,
                false => _ = followed.gone.get_or_insert_with(Instant::now),
            }
        }
        self.retire();
    }

    /// Follows a file, unless it is too old.
    fn look_at(&mut self, path: &Path) -> io::Result<Option<FileId>> {
        let metadata = fs::metadata(path)?;
        let seen = (metadata.len(), metadata.modified()?);
        let id = id_of(&metadata);
        if let Some(followed) = self.followed.get_mut(&id) {
            if followed.path != path {
                followed.path = path.to_owned();
            }
            if followed.seen.replace(seen) != Some(seen) {
                followed.settled = None;
            }
            return Ok(Some(id));
        }
        let age = |time: SystemTime| time.elapsed().unwrap_or_default();
        if self.settings.older_than.is_some_and(|bound| age(seen.1) > bound) {
            return Ok(None);
        }
        if self.followed.len() >= FILES_MAX {
            if self.log.too_many.add(1).is_some() {
                tracing::warn!("more than {FILES_MAX} files; not all are read");
            }
            return Ok(None);
        }
        let file = File::open(path)?;
        // Another may lie there by now.
        let id = id_of(&file.metadata()?);
        let mark = self.mark_of(id, &file)?;
        let mut followed = Followed {
            path: path.to_owned(),
            file: Some(file),
            mark,
            seen: None,
            settled: None,
            unfinished: None,
            gone: None,
        };
        self.open_files += 1;
        self.spare(&mut followed);
        self.followed.insert(id, followed);
        self.changed = true;
        Ok(Some(id))
    }

    /// How far a file was read that is not followed: it, or what it is a copy of.
    fn mark_of(&mut self, id: FileId, file: &File) -> io::Result<Mark> {
        if self.settings.replay {
            return Ok(Mark::new(id));
        }
        let mut found = None;
        let is_it = |mark: &&Mark| mark.file == id;
        let others = self.gone.iter().rev().filter(|mark| !is_it(mark));
        let followed = self.followed.values().map(|followed| &followed.mark);
        let others = others.chain(followed).filter(|mark| mark.offset > 0);
        for mark in self.gone.iter().filter(is_it).chain(others) {
            if mark.fits(file)? {
                found = Some(mark.clone());
                break;
            }
        }
        self.gone.retain(|mark| mark.file != id);
        Ok(match found {
            Some(mark) => mark.of(id),
            None if self.is_new && self.settings.start_at == StartAt::End => {
                Mark::at_end(id, file, self.settings.fingerprint_bytes)?
            }
            None => Mark::new(id),
        })
    }

    /// Lets go of files that are gone and read.
    fn retire(&mut self) {
        let gone: Vec<FileId> = self
            .followed
            .iter()
            .filter(|(_, followed)| followed.is_over())
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            let Some(followed) = self.followed.remove(&id) else { continue };
            if followed.unfinished.is_some() {
                TransportCounters::add(&self.intake.counters().undecodable_requests, 1);
                self.bad_line(&followed.path, followed.mark.offset, "it has no end");
            }
            if followed.mark.offset > 0 {
                self.gone.push_back(followed.mark);
            }
            self.changed = true;
        }
        let too_many = self.gone.len().saturating_sub(GONE_MAX);
        self.gone.drain(..too_many);
        self.open_files = self.followed.values().filter(|followed| followed.file.is_some()).count();
        self.gauge();
    }

    /// Closes a file if too many are open. One that is gone could not be opened again.
    fn spare(&mut self, followed: &mut Followed) {
        let is_over = self.open_files > self.settings.open_files_max;
        if is_over && followed.gone.is_none() && followed.file.take().is_some() {
            self.open_files -= 1;
        }
        self.gauge();
    }

    fn gauge(&self) {
        self.counters.open_files.store(self.open_files as u64, Ordering::Relaxed);
    }

    /// Reads a part of each file; true if there may be more.
    fn read_all(&mut self, runtime: &Handle, stop: &CancellationToken) -> Result<bool, Stopped> {
        let ids: Vec<FileId> = self.followed.keys().copied().collect();
        let mut more = false;
        for id in ids {
            let Some(mut followed) = self.followed.remove(&id) else { continue };
            let was_closed = followed.file.is_none();
            let result = self.read(&mut followed, runtime, stop);
            self.open_files += usize::from(was_closed && followed.file.is_some());
            self.spare(&mut followed);
            let path = followed.path.clone();
            self.followed.insert(id, followed);
            match result {
                Ok(Ok(is_more)) => more |= is_more,
                Ok(Err(error)) => self.tell(&path, &error),
                Err(Stopped) => return Err(Stopped),
            }
            if stop.is_cancelled() {
                return Err(Stopped);
            }
        }
        Ok(more)
    }

    /// Reads a part of a file.
    fn read(
        &mut self,
        followed: &mut Followed,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<io::Result<bool>, Stopped> {
        let is_closed = followed.file.is_none();
        if is_closed && followed.seen.is_some_and(|(length, _)| followed.settled == Some(length)) {
            return Ok(Ok(false));
        }
        let length = match followed.open().and_then(|file| file.metadata()) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(false)),
            Err(error) => return Ok(Err(error)),
        };
        if followed.settled == Some(length) {
            return Ok(Ok(false));
        }
        if let Err(error) = self.renew(followed) {
            return Ok(Err(error));
        }
        let before = followed.mark.offset;
        let result = self.read_on(followed, length, runtime, stop);
        if followed.mark.offset != before {
            self.changed = true;
        }
        result
    }

    /// Begins anew with a file that is no longer what was read.
    fn renew(&mut self, followed: &mut Followed) -> io::Result<()> {
        followed.open()?;
        let Followed { file: Some(file), mark, .. } = &*followed else { return Ok(()) };
        if mark.fits(file)? {
            return Ok(());
        }
        tracing::info!(path = %followed.path.display(), "a file was emptied or written anew");
        let new = Mark::new(followed.mark.file);
        let old = std::mem::replace(&mut followed.mark, new);
        followed.unfinished = None;
        self.changed = true;
        if old.offset > 0 {
            self.gone.push_back(old);
        }
        Ok(())
    }

    fn read_on(
        &mut self,
        followed: &mut Followed,
        length: u64,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<io::Result<bool>, Stopped> {
        let Some(file) = &followed.file else { return Ok(Ok(false)) };
        let mut reservation = self.intake.reservation();
        let Mark { offset, skipping, .. } = followed.mark;
        let head_max = self.settings.fingerprint_bytes;
        match lines::read(file, offset, skipping, self.line_max, &mut reservation) {
            Ok(Part::Lines(lines)) => {
                followed.unfinished = None;
                for line in lines {
                    self.take(followed, &line, runtime, stop)?;
                    followed.mark.advance(&line.bytes, head_max);
                    followed.mark.advance(b"\n", head_max);
                    self.changed = true;
                    if self.saved.elapsed() >= SAVE_INTERVAL {
                        self.save(Some(&followed.mark));
                    }
                }
                Ok(Ok(true))
            }
            Ok(Part::TooLong { to, ended }) => {
                if !skipping {
                    let counters = self.intake.counters();
                    TransportCounters::add(&counters.oversize_requests, 1);
                    let why = format!("it is longer than the limit of {} bytes", self.line_max);
                    self.bad_line(&followed.path, offset, &why);
                }
                followed.mark.skipping = !ended;
                Ok(followed.mark.pass(file, to, head_max).map(|()| true))
            }
            Ok(Part::End { rest: None }) => {
                followed.settled = Some(length);
                Ok(Ok(false))
            }
            Ok(Part::End { rest: Some(line) }) => {
                self.unfinished(followed, line, runtime, stop)?;
                Ok(Ok(false))
            }
            Err(ReadError::Io(error)) => Ok(Err(error)),
            Err(ReadError::Busy) => {
                TransportCounters::add(&self.intake.counters().busy_requests, 1);
                pause(runtime, stop, BUSY_WAIT)?;
                Ok(Ok(true))
            }
        }
    }

    /// A last line without its end: taken once it has been so for a while, if it is whole.
    fn unfinished(
        &mut self,
        followed: &mut Followed,
        line: Line,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let end = line.at.end;
        let since = match followed.unfinished {
            Some((length, since)) if length == end => since,
            _ => Instant::now(),
        };
        followed.unfinished = Some((end, since));
        let is_gone = followed.gone.is_some();
        let period = self.settings.flush_period;
        if !is_gone && (period.is_zero() || since.elapsed() < period) {
            if period.is_zero() {
                followed.settled = Some(end);
            }
            return Ok(());
        }
        followed.settled = Some(end);
        if model::json::decode(&line.bytes).is_ok() {
            self.take(followed, &line, runtime, stop)?;
            followed.mark.advance(&line.bytes, self.settings.fingerprint_bytes);
            followed.unfinished = None;
        }
        Ok(())
    }

    /// Hands a line over; returns once the pipeline has taken it, or never will.
    fn take(
        &mut self,
        followed: &Followed,
        line: &Line,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        if line.bytes.trim_ascii().is_empty() {
            return Ok(());
        }
        let Some(decoded) = self.decode(followed, line, runtime, stop)? else { return Ok(()) };
        let Decoded { batch, rejection, _reservation } = decoded;
        if !batch.is_empty() {
            self.offer(followed, line, Arc::new(batch), runtime, stop)?;
        }
        if rejection.spans > 0 {
            TransportCounters::add(&self.intake.counters().rejected_spans, rejection.spans);
            if let Some(sum) = self.log.left_out.add(rejection.spans) {
                let (path, offset) = (followed.path.display(), line.at.start);
                let (spans, reason) = (sum.items, &rejection.reason);
                tracing::warn!(%path, offset, spans, reason, "invalid spans were left out");
            }
        }
        Ok(())
    }

    fn decode(
        &self,
        followed: &Followed,
        line: &Line,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<Option<Decoded>, Stopped> {
        loop {
            if stop.is_cancelled() {
                return Err(Stopped);
            }
            let message = Message {
                encoding: Encoding::Json,
                coding: None,
                client: Arc::default(),
                bytes: line.bytes.clone(),
                // The line itself is covered by that of the part.
                reservation: self.intake.reservation(),
            };
            match runtime.block_on(self.intake.decode(message)) {
                Ok(decoded) => return Ok(Some(decoded)),
                Err(Fault::Body(BodyError::Busy)) => {
                    TransportCounters::add(&self.intake.counters().busy_requests, 1);
                    pause(runtime, stop, BUSY_WAIT)?;
                }
                // The runtime ends.
                Err(Fault::Panicked) if stop.is_cancelled() => return Err(Stopped),
                Err(fault) => {
                    fault.count(self.intake.counters());
                    self.bad_line(&followed.path, line.at.start, &fault.to_string());
                    return Ok(None);
                }
            }
        }
    }

    fn offer(
        &mut self,
        followed: &Followed,
        line: &Line,
        batch: Arc<model::SpanBatch>,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let spans = batch.len() as u64;
        loop {
            let refusal = match runtime.block_on(self.intake.offer(Arc::clone(&batch))) {
                Ok(()) => {
                    TransportCounters::add(&self.intake.counters().accepted_spans, spans);
                    return Ok(());
                }
                Err(refusal) => refusal,
            };
            let (path, offset) = (followed.path.display(), line.at.start);
            match &refusal {
                Refusal::Exhausted { retry_after, .. }
                | Refusal::Unavailable { retry_after, .. } => {
                    if self.log.waiting.add(spans).is_some() {
                        tracing::warn!(%path, offset, "waiting for the pipeline: {refusal}");
                    }
                    // It may take long.
                    self.save(Some(&followed.mark));
                    let (least, most) = RETRY_WAIT;
                    pause(runtime, stop, (*retry_after).clamp(least, most))?;
                }
                Refusal::Invalid { .. } | Refusal::Internal { .. } => {
                    TransportCounters::add(&self.intake.counters().refused_spans, spans);
                    if let Some(sum) = self.log.refused.add(spans) {
                        let spans = sum.items;
                        tracing::warn!(%path, offset, spans, "spans were refused: {refusal}");
                    }
                    return Ok(());
                }
            }
        }
    }

    fn bad_line(&self, path: &Path, offset: u64, why: &str) {
        if let Some(sum) = self.log.bad_line.add(1) {
            let (path, lines) = (path.display(), sum.requests);
            tracing::warn!(%path, offset, lines, "a line was left out: {why}");
        }
    }

    fn tell(&self, path: &Path, error: &io::Error) {
        if self.log.disk.add(1).is_some() {
            tracing::warn!(path = %path.display(), %error, "a file cannot be read");
        }
    }

    /// All files from their beginnings.
    fn rewind(&mut self) {
        for (id, followed) in &mut self.followed {
            followed.mark = Mark::new(*id);
            followed.settled = None;
            followed.unfinished = None;
        }
    }

    /// Keeps all places, with that of the file that is being read.
    fn save(&mut self, reading: Option<&Mark>) {
        self.saved = Instant::now();
        let Some(positions) = self.positions.as_ref().filter(|_| self.changed) else { return };
        let followed = self.followed.values().map(|followed| &followed.mark);
        let marks = self.gone.iter().chain(followed).chain(reading);
        match positions.save(marks, &self.include) {
            Ok(()) => self.changed = false,
            Err(error) => {
                if self.log.disk.add(1).is_some() {
                    tracing::warn!(%error, "the places of files cannot be kept");
                }
            }
        }
    }
}

impl Followed {
    /// The file, opened again if it was closed.
    fn open(&mut self) -> io::Result<&File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = File::open(&self.path)?;
                if id_of(&file.metadata()?) != self.mark.file {
                    return Err(io::ErrorKind::NotFound.into());
                }
                file
            }
        };
        Ok(self.file.insert(file))
    }

    /// It is gone, and there is nothing more of it.
    fn is_over(&self) -> bool {
        let Some(gone) = self.gone else { return false };
        let Some(file) = &self.file else { return true };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let is_read = self.settled == Some(length) || length <= self.mark.offset;
        is_read && gone.elapsed() >= GONE_TIME
    }
}

fn id_of(metadata: &Metadata) -> FileId {
    FileId { device: metadata.dev(), inode: metadata.ino() }
}

/// Waits, unless the receiver is to stop.
fn pause(runtime: &Handle, stop: &CancellationToken, time: Duration) -> Result<(), Stopped> {
    if !time.is_zero() {
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = tokio::time::sleep(time) => {}
            }
        });
    }
    if stop.is_cancelled() { Err(Stopped) } else { Ok(()) }
}
