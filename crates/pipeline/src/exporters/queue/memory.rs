//! The queue in memory: bounded in its own unit and in bytes.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Part, Place, PushError, Ticket, Waiter};
use crate::Encoded;
use crate::exporters::counters::{ExporterCounters, FailReason};
use crate::exporters::settings::{QueueSettings, Sizer};

/// What an entry takes besides its bytes, about.
const ENTRY_BYTES: u64 = 256;

/// First in, first out. What was taken keeps its room until its [`Ticket`] is dropped.
pub(in crate::exporters) struct MemoryQueue {
    sizer: Sizer,
    size_max: u64,
    bytes_max: u64,
    counters: Arc<ExporterCounters>,
    state: Mutex<State>,
    pushed: Notify,
    freed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Part>,
    size: u64,
    bytes: u64,
    closed: bool,
}

impl MemoryQueue {
    pub(in crate::exporters) fn new(
        settings: &QueueSettings,
        counters: Arc<ExporterCounters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            sizer: settings.sizer,
            size_max: settings.queue_size,
            bytes_max: settings.memory_bytes_max,
            counters,
            state: Mutex::default(),
            pushed: Notify::new(),
            freed: Notify::new(),
        })
    }

    pub(super) async fn push(
        self: &Arc<Self>,
        data: Encoded,
        waiter: Option<Waiter>,
        block: bool,
    ) -> Result<(), PushError> {
        let size = self.sizer.size(data.items, data.len());
        let bytes = data.len() as u64 + ENTRY_BYTES;
        if size > self.size_max || bytes > self.bytes_max {
            return Err(PushError::TooLarge);
        }
        loop {
            let mut freed = pin!(self.freed.notified());
            // From here on no notice is missed.
            freed.as_mut().enable();
            match self.admit(size, bytes) {
                Ok(()) => break,
                Err(PushError::Full) if block => freed.await,
                Err(error) => return Err(error),
            }
        }
        let place = Place::Memory { queue: Arc::clone(self), size, bytes };
        let ticket = Ticket::new(place, data.items, waiter);
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            // It was never in the queue: who sends is told.
            ticket.settle(data.items, Ok(()));
            return Err(PushError::Closed);
        }
        state.waiting.push_back(Part { data, ticket });
        drop(state);
        self.pushed.notify_one();
        Ok(())
    }

    fn admit(&self, size: u64, bytes: u64) -> Result<(), PushError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(PushError::Closed);
        }
        let (new_size, new_bytes) = (state.size + size, state.bytes + bytes);
        if new_size > self.size_max || new_bytes > self.bytes_max {
            return Err(PushError::Full);
        }
        (state.size, state.bytes) = (new_size, new_bytes);
        self.gauge(&state);
        Ok(())
    }

    fn gauge(&self, state: &State) {
        self.counters.queue_size.store(state.size, Ordering::Relaxed);
        self.counters.queue_bytes.store(state.bytes, Ordering::Relaxed);
    }

    /// Gives room back. Items whose fate is open are lost with the process.
    pub(super) fn leave(&self, size: u64, bytes: u64, open_items: u64) {
        let mut state = self.state.lock();
        state.size = state.size.saturating_sub(size);
        state.bytes = state.bytes.saturating_sub(bytes);
        self.gauge(&state);
        drop(state);
        if open_items > 0 {
            self.counters.fail(FailReason::Shutdown, open_items);
        }
        self.freed.notify_waiters();
    }

    pub(super) async fn ready(&self) -> bool {
        loop {
            let mut pushed = pin!(self.pushed.notified());
            pushed.as_mut().enable();
            {
                let state = self.state.lock();
                if !state.waiting.is_empty() {
                    return true;
                }
                if state.closed {
                    return false;
                }
            }
            pushed.await;
        }
    }

    pub(super) fn pop(&self) -> Option<Part> {
        self.state.lock().waiting.pop_front()
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.pushed.notify_one();
        self.freed.notify_waiters();
    }
}
