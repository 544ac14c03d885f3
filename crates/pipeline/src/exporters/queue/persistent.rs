//! The queue on disk, for asynchronous callers.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

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
    closed: AtomicBool,
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
        let queue = Self {
            disk,
            counters,
            waiters: Mutex::default(),
            closed: AtomicBool::new(false),
            pushed: Notify::new(),
            freed: Notify::new(),
        };
        queue.gauge();
        Ok(Arc::new(queue))
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
            if self.closed.load(Ordering::Acquire) {
                return Err(PushError::Closed);
            }
            let (queue, copy) = (Arc::clone(self), data.clone());
            let pushed = tokio::task::spawn_blocking(move || queue.push_here(&copy, waiter)).await;
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
                return Err((PushError::Disk(error.to_string()), waiter));
            }
        };
        if let Some(waiter) = waiter {
            self.waiters.lock().insert(id, waiter);
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
            let found = self.disk.take()?;
            let (id, items) = (found.id, found.items);
            let back = OnDrop(|| self.disk.put_back(id));
            let read = tokio::task::spawn_blocking(move || found.read()).await;
            if read.as_ref().is_err_and(tokio::task::JoinError::is_cancelled) {
                // The runtime ends.
                return None;
            }
            std::mem::forget(back);
            let waiter = self.waiters.lock().remove(&id);
            let reason = match read {
                Ok(Ok(Some(payload))) => {
                    let place = Place::Persistent { queue: Arc::clone(self), id };
                    let data = Encoded { parts: vec![payload], items };
                    return Some(Part { data, ticket: Ticket::new(place, items, waiter) });
                }
                Ok(Ok(None)) => "its checksum is another".to_owned(),
                Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => error.to_string(),
                Ok(Err(error)) => {
                    tracing::error!(items, %error, "a record of the queue on disk cannot be read");
                    continue;
                }
                Err(error) => {
                    tracing::error!(items, %error, "reading the queue on disk met a bug");
                    continue;
                }
            };
            tracing::error!(dropped = items, reason, "a record of the queue on disk is damaged");
            self.counters.fail(FailReason::Damaged, items);
            self.leave(id, 0);
        }
    }

    /// A request is done, unless some of its items are not: then it stays for the next start.
    pub(super) fn leave(&self, id: u64, open_items: u64) {
        if open_items > 0 {
            return;
        }
        // A byte written to the page cache, and now and then a file deleted. Not worth a thread.
        self.disk.done(id);
        self.gauge();
        self.freed.notify_waiters();
    }

    /// Requests in it.
    pub(in crate::exporters) fn records(&self) -> u64 {
        self.disk.held().records
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.pushed.notify_one();
        self.freed.notify_waiters();
    }

    /// Lets another have the files.
    pub(in crate::exporters) fn unlock(&self) {
        self.disk.close();
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
