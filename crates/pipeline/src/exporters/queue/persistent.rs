//! The queue on disk, for asynchronous callers: whatever may wait for the disk runs on threads that
//! may block, so that a slow one holds up those who use it and nobody else.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};

use super::disk::{DiskQueue, OpenError, WriteError};
use super::{Part, Place, PushError, Ticket, Waiter};
use crate::Encoded;
use crate::exporters::counters::{ExporterCounters, FailReason};
use crate::exporters::settings::{PersistentSettings, QueueSettings};

/// First in, first out, but for what is sent again after a restart. What was taken stays on disk
/// until its [`Ticket`] says that it is done.
pub(in crate::exporters) struct PersistentQueue {
    disk: DiskQueue,
    counters: Arc<ExporterCounters>,
    waiters: Mutex<HashMap<u64, Waiter>>,
    /// One writes at a time: those that wait their turn take no thread.
    turn: Arc<Semaphore>,
    /// Records that are done and not marked so yet.
    finished: Mutex<Vec<u64>>,
    /// Why the last write failed, until one succeeds or room comes free.
    broken: Mutex<Option<String>>,
    /// Held by who marks them.
    marking: Mutex<()>,
    /// Takes nothing more.
    closed: AtomicBool,
    /// Nobody will take what is in it.
    released: AtomicBool,
    pushed: Notify,
    freed: Notify,
}

impl PersistentQueue {
    pub(in crate::exporters) async fn open(
        storage: &PersistentSettings,
        settings: &QueueSettings,
        counters: Arc<ExporterCounters>,
    ) -> Result<Arc<Self>, OpenError> {
        let (storage, sizer, size_max) = (storage.clone(), settings.sizer, settings.queue_size);
        let folder = storage.folder.clone();
        let opened =
            tokio::task::spawn_blocking(move || DiskQueue::open(&storage, sizer, size_max)).await;
        let disk = opened
            .map_err(|error| OpenError::Io { folder, error: std::io::Error::other(error) })??;
        Ok(Self::of(disk, counters))
    }

    fn of(disk: DiskQueue, counters: Arc<ExporterCounters>) -> Arc<Self> {
        let queue = Self {
            disk,
            counters,
            waiters: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            finished: Mutex::default(),
            broken: Mutex::default(),
            marking: Mutex::default(),
            closed: AtomicBool::new(false),
            released: AtomicBool::new(false),
            pushed: Notify::new(),
            freed: Notify::new(),
        };
        let dropped = queue.disk.damaged_items;
        if dropped > 0 {
            tracing::error!(
                dropped,
                "records of the queue on disk are damaged: about so many items"
            );
            queue.counters.fail(FailReason::Damaged, dropped);
        }
        queue.gauge();
        Arc::new(queue)
    }

    /// Why it cannot be written, if it cannot. Does not wait for the disk.
    pub(in crate::exporters) fn problem(&self) -> Option<String> {
        self.broken.lock().clone()
    }

    fn gauge(&self) {
        let held = self.disk.held();
        self.counters.queue_size.store(held.size, Ordering::Relaxed);
        self.counters.queue_bytes.store(held.disk_bytes, Ordering::Relaxed);
    }

    pub(super) async fn push(
        self: &Arc<Self>,
        data: Encoded,
        waiter: Option<Waiter>,
        block: bool,
    ) -> Result<(), PushError> {
        let mut waiter = waiter;
        loop {
            let mut freed = pin!(self.freed.notified());
            // From here on no notice is missed.
            freed.as_mut().enable();
            // It is never closed.
            let turn = Arc::clone(&self.turn).acquire_owned().await;
            if self.closed.load(Ordering::Acquire) {
                return Err(PushError::Closed);
            }
            let (queue, copy) = (Arc::clone(self), data.clone());
            let pushed = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                queue.push_here(&copy, waiter)
            })
            .await;
            match pushed {
                Ok(Ok(())) => return Ok(()),
                Ok(Err((PushError::Full, unused))) if block => {
                    waiter = unused;
                    freed.await;
                }
                Ok(Err((error, _))) => return Err(error),
                Err(error) => return Err(PushError::Disk(error.to_string())),
            }
        }
    }

    /// All in one, so that who sends can go away without leaving a record that nobody takes.
    fn push_here(
        &self,
        data: &Encoded,
        waiter: Option<Waiter>,
    ) -> Result<(), (PushError, Option<Waiter>)> {
        let id = match self.disk.push(data) {
            Ok(id) => id,
            Err(WriteError::Full) => return Err((PushError::Full, waiter)),
            Err(WriteError::TooLarge) => return Err((PushError::TooLarge, waiter)),
            Err(WriteError::Closed) => return Err((PushError::Closed, waiter)),
            Err(WriteError::Io(error)) => {
                *self.broken.lock() = Some(error.to_string());
                return Err((PushError::Disk(error.to_string()), waiter));
            }
        };
        *self.broken.lock() = None;
        if let Some(waiter) = waiter {
            self.waiters.lock().insert(id, waiter);
            // Then nobody would ever answer.
            if self.released.load(Ordering::Acquire) {
                self.waiters.lock().remove(&id);
            }
        }
        self.disk.publish(id);
        self.gauge();
        self.pushed.notify_one();
        Ok(())
    }

    pub(super) async fn ready(&self) -> bool {
        loop {
            let mut pushed = pin!(self.pushed.notified());
            pushed.as_mut().enable();
            if self.closed.load(Ordering::Acquire) {
                return false;
            }
            if self.disk.has_waiting() {
                return true;
            }
            pushed.await;
        }
    }

    /// The oldest that is whole. Dropped while it reads, it puts the record back. One that cannot be
    /// read for now stays on disk for the next start.
    pub(super) async fn pop(self: &Arc<Self>) -> Option<Part> {
        loop {
            let id = self.disk.take()?;
            let back = OnDrop(|| self.disk.put_back(id));
            let queue = Arc::clone(self);
            let read = tokio::task::spawn_blocking(move || {
                queue.disk.find(id).map(|found| (found.items, found.read()))
            });
            let read = read.await;
            if read.as_ref().is_err_and(tokio::task::JoinError::is_cancelled) {
                // The runtime ends.
                return None;
            }
            std::mem::forget(back);
            let waiter = self.waiters.lock().remove(&id);
            let (items, payload) = match read {
                Ok(Some(read)) => read,
                // It was done, which nobody knows of who has not taken it.
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(%error, "reading the queue on disk met a bug");
                    continue;
                }
            };
            let reason = match payload {
                Ok(Some(payload)) => {
                    let place = Place::Persistent { queue: Arc::clone(self), id };
                    let data = Encoded { parts: vec![payload], items };
                    return Some(Part { data, ticket: Ticket::new(place, items, waiter) });
                }
                Ok(None) => "its checksum is another".to_owned(),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => error.to_string(),
                Err(error) => {
                    tracing::error!(items, %error, "a record of the queue on disk cannot be read");
                    continue;
                }
            };
            tracing::error!(dropped = items, reason, "a record of the queue on disk is damaged");
            self.counters.fail(FailReason::Damaged, items);
            self.leave(id, 0);
        }
    }

    /// A request is done, unless some of its items are not: then it stays for the next start. Does
    /// not wait for the disk; a record whose mark is not made in time is sent again.
    pub(super) fn leave(self: &Arc<Self>, id: u64, open_items: u64) {
        if open_items > 0 {
            return;
        }
        let is_first = {
            let mut finished = self.finished.lock();
            finished.push(id);
            finished.len() == 1
        };
        // Whoever comes behind the first finds somebody under way who will mark both.
        if is_first && let Ok(runtime) = Handle::try_current() {
            let queue = Arc::clone(self);
            runtime.spawn_blocking(move || queue.mark());
        }
    }

    /// Marks what is done.
    fn mark(&self) {
        let _marking = self.marking.lock();
        let finished = std::mem::take(&mut *self.finished.lock());
        if finished.is_empty() {
            return;
        }
        let before = self.disk.held().disk_bytes;
        for id in finished {
            self.disk.done(id);
        }
        // Who asks for health before sending anything must not wait for a write for ever.
        if self.disk.held().disk_bytes < before {
            *self.broken.lock() = None;
        }
        self.gauge();
        self.freed.notify_waiters();
    }

    /// Requests in it.
    pub(in crate::exporters) async fn records(self: &Arc<Self>) -> u64 {
        let queue = Arc::clone(self);
        let records = tokio::task::spawn_blocking(move || {
            queue.mark();
            queue.disk.held().records
        });
        records.await.unwrap_or_default()
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.pushed.notify_one();
        self.freed.notify_waiters();
    }

    /// Lets another have the files. Who waits for the result of what is left is told to come again.
    pub(in crate::exporters) async fn unlock(self: &Arc<Self>) {
        self.released.store(true, Ordering::Release);
        self.waiters.lock().clear();
        let queue = Arc::clone(self);
        let unlocked = tokio::task::spawn_blocking(move || {
            queue.mark();
            queue.disk.close();
        });
        if let Err(error) = unlocked.await {
            tracing::warn!(%error, "a queue on disk could not be closed");
        }
    }
}

impl Drop for PersistentQueue {
    /// What was done when there was no runtime any more.
    fn drop(&mut self) {
        self.mark();
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
#[path = "persistent_tests.rs"]
mod tests;
