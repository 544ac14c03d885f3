//! The writer: the only thread that writes the log and adds to the head, so that both have one
//! order.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::SpanBatch;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Shared, SyncPolicy};
use crate::log::Segment;
use crate::types::AppendError;

/// The most requests that are written to the log at once.
const GROUP_MAX: usize = 64;

/// How often the head's age and the disk's free space are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What the writer is asked.
#[expect(clippy::large_enum_variant, reason = "nearly every command is an append")]
pub(crate) enum Command {
    Append {
        batch: SpanBatch,
        reply: oneshot::Sender<Result<(), AppendError>>,
        /// Room in the queue, given back when the command is done with.
        _permit: OwnedSemaphorePermit,
    },
    /// Hand the head to the sealer now.
    Seal {
        reply: Sender<()>,
    },
    Stop,
}

struct Request {
    batch: SpanBatch,
    reply: oneshot::Sender<Result<(), AppendError>>,
    _permit: OwnedSemaphorePermit,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    segment: Segment,
    /// The syncer's handle to the open segment, and whether it has something to do.
    sync: Arc<SyncSlot>,
    looked: Instant,
    disk_free: u64,
    /// Why the log takes nothing: its file was deleted, or the next one could not be made.
    stuck: Option<AppendError>,
}

/// What the syncer makes durable next.
#[derive(Default)]
pub(crate) struct SyncSlot {
    pub(crate) file: parking_lot::Mutex<Option<std::fs::File>>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        commands: Receiver<Command>,
        segment: Segment,
        sync: Arc<SyncSlot>,
    ) -> Self {
        let disk_free = shared.free_bytes();
        Self { shared, commands, segment, sync, looked: Instant::now(), disk_free, stuck: None }
    }

    pub(crate) fn run(mut self) {
        loop {
            let mut stop = false;
            let mut group: Vec<Request> = Vec::new();
            let mut seals: Vec<Sender<()>> = Vec::new();
            let mut next = match self.commands.recv_timeout(LOOK_INTERVAL) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Command::Stop),
            };
            while let Some(command) = next.take() {
                match command {
                    Command::Append { batch, reply, _permit } => {
                        group.push(Request { batch, reply, _permit });
                    }
                    Command::Seal { reply } => seals.push(reply),
                    Command::Stop => stop = true,
                }
                if group.len() < GROUP_MAX && !stop {
                    next = self.commands.try_recv().ok();
                }
            }
            if !group.is_empty() {
                self.append(group);
            }
            if self.looked.elapsed() >= LOOK_INTERVAL {
                self.looked = Instant::now();
                self.look_at_disk();
            }
            if !seals.is_empty() || self.stuck.is_some() || self.head_is_full() {
                self.seal();
            }
            for reply in seals {
                // Whoever asked may have gone.
                let _ = reply.send(());
            }
            if stop {
                if let Err(error) = self.segment.sync() {
                    tracing::error!(%error, "the log could not be made durable at the end");
                }
                return;
            }
        }
    }

    fn append(&mut self, group: Vec<Request>) {
        let received = self.shared.now();
        let records: Vec<(u64, Bytes)> =
            group.iter().map(|request| (received, request.batch.bytes().clone())).collect();
        if let Err(error) = self.log(&records) {
            let name = if matches!(error, AppendError::DiskFull { .. }) { "disk" } else { "log" };
            self.shared.workers.set_problem(name, error.to_string());
            // A client that gave up waiting needs no answer.
            group.into_iter().for_each(|request| drop(request.reply.send(Err(error.clone()))));
            return;
        }
        self.shared.workers.clear_problem("log");
        self.shared.workers.clear_problem("disk");
        self.shared.append(group.iter().map(|request| (received, &request.batch)));
        group.into_iter().for_each(|request| drop(request.reply.send(Ok(()))));
    }

    fn log(&mut self, records: &[(u64, Bytes)]) -> Result<(), AppendError> {
        if let Some(error) = &self.stuck {
            return Err(error.clone());
        }
        let bytes: u64 = records.iter().map(|(_, payload)| payload.len() as u64).sum();
        let needed = self.shared.options.disk_reserve_bytes.saturating_add(bytes);
        if self.disk_free < needed {
            self.disk_free = self.shared.free_bytes();
        }
        if self.disk_free < needed {
            return Err(self.reserve_is_touched());
        }
        self.disk_free -= bytes;
        self.segment.append(records).map_err(|error| self.refusal(&error))?;
        match self.shared.options.sync {
            SyncPolicy::Always => self.segment.sync().map_err(|error| self.refusal(&error)),
            SyncPolicy::Interval(_) => {
                let mut file = self.sync.file.lock();
                if file.is_none() {
                    *file = Some(self.segment.handle().map_err(|error| self.refusal(&error))?);
                }
                Ok(())
            }
        }
    }

    /// Ready again as soon as there is room: whoever routes by readiness sends nothing until then.
    fn look_at_disk(&mut self) {
        self.disk_free = self.shared.free_bytes();
        if self.disk_free < self.shared.options.disk_reserve_bytes {
            self.shared.workers.set_problem("disk", self.reserve_is_touched().to_string());
        } else {
            self.shared.workers.clear_problem("disk");
        }
        // What is written to a deleted file is gone with the process.
        if self.stuck.is_none() && !self.segment.is_linked() {
            let reason = "the log was deleted while it was in use".to_owned();
            self.get_stuck(&io::Error::new(io::ErrorKind::NotFound, reason));
        }
    }

    fn get_stuck(&mut self, error: &io::Error) {
        let error = self.refusal(error);
        self.shared.workers.set_problem("log", error.to_string());
        self.stuck = Some(error);
    }

    fn reserve_is_touched(&self) -> AppendError {
        AppendError::DiskFull {
            path: self.shared.options.data_dir.display().to_string(),
            reason: format!(
                "{} MiB are free, {} MiB are kept for sealing",
                self.disk_free >> 20,
                self.shared.options.disk_reserve_bytes >> 20
            ),
        }
    }

    fn refusal(&self, error: &io::Error) -> AppendError {
        let reason = error.to_string();
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        if full.contains(&error.kind()) {
            let path = self.shared.options.data_dir.display().to_string();
            return AppendError::DiskFull { path, reason };
        }
        AppendError::Log { path: self.shared.log_dir().display().to_string(), reason }
    }

    fn head_is_full(&self) -> bool {
        let state = self.shared.state.lock();
        let (head, options) = (state.head(), &self.shared.options);
        let age = self.shared.now().saturating_sub(head.received_min);
        head.spans > 0
            && (head.spans >= options.head_spans_max
                || head.bytes >= options.head_bytes_max
                || head.log_bytes >= options.head_log_bytes_max
                || u128::from(age) >= options.head_age_max.as_nanos())
    }

    /// Hands the head to the sealer. Waits for the head before it, which holds back whoever sends.
    fn seal(&mut self) {
        let mut state = self.shared.state.lock();
        while state.sealing.is_some() {
            if self.shared.stopping() {
                return;
            }
            self.shared.changed.wait_for(&mut state, LOOK_INTERVAL);
        }
        if state.head().spans == 0 && self.stuck.is_none() {
            return;
        }
        let number = self.segment.number();
        // The spans of a head never share a segment with those of the next.
        match Segment::create(&self.shared.log_dir(), number + 1) {
            Ok(segment) => {
                if let Err(error) = self.segment.sync() {
                    tracing::warn!(%error, "a finished log segment could not be made durable");
                }
                *self.sync.file.lock() = None;
                self.segment = segment;
                if state.head().spans > 0 {
                    state.begin_sealing(number);
                }
                drop(state);
                if self.stuck.take().is_some() {
                    self.shared.workers.clear_problem("log");
                }
                self.shared.changed.notify_all();
            }
            Err(error) => {
                drop(state);
                self.get_stuck(&error);
            }
        }
    }
}

/// Makes the log durable as often as the policy says.
pub(crate) fn sync_loop(shared: &Shared, slot: &SyncSlot, interval: Duration) {
    while !shared.stopping() {
        {
            let mut state = shared.state.lock();
            if shared.stopping() {
                return;
            }
            // Wakes early only to stop.
            shared.changed.wait_for(&mut state, interval);
        }
        let file = slot.file.lock().take();
        let Some(file) = file else { continue };
        match file.sync_data() {
            Ok(()) => shared.workers.clear_problem("sync"),
            Err(error) => {
                *slot.file.lock() = Some(file);
                let path = shared.log_dir();
                let problem = format!("the log in {} is not durable: {error}", path.display());
                shared.workers.set_problem("sync", problem);
            }
        }
    }
}
