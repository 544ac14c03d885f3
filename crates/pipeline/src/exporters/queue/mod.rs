//! What lies between those who send and those who export.

mod disk;
mod frame;
mod gather;
mod memory;
mod persistent;
mod scan;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::telemetry::{self, SpanContext};
use crate::{Encoded, Refusal};

pub(super) use disk::OpenError;
pub(super) use gather::{Gather, Group};
pub(super) use memory::MemoryQueue;
pub(super) use persistent::PersistentQueue;

/// How who sends hears of the result, where it waits for it.
pub(super) type Waiter = oneshot::Sender<Result<(), Refusal>>;

/// Why a queue did not take a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PushError {
    /// There will be room.
    Full,
    /// It is larger than the whole queue.
    TooLarge,
    /// It takes nothing more.
    Closed,
    /// The disk is full or broken.
    Disk(String),
}

/// A queue of either kind.
#[derive(Clone)]
pub(super) enum Queue {
    Memory(Arc<MemoryQueue>),
    Persistent(Arc<PersistentQueue>),
}

impl Queue {
    /// Adds a request; waits for room if told so.
    pub(super) async fn push(
        &self,
        data: Encoded,
        waiter: Option<Waiter>,
        block: bool,
    ) -> Result<(), PushError> {
        match self {
            Self::Memory(queue) => queue.push(data, waiter, block).await,
            Self::Persistent(queue) => queue.push(data, waiter, block).await,
        }
    }

    /// Waits until there is something to take; false at the end. Can be dropped while it waits.
    async fn ready(&self) -> bool {
        match self {
            Self::Memory(queue) => queue.ready().await,
            Self::Persistent(queue) => queue.ready().await,
        }
    }

    /// Takes the oldest, if it is still there.
    async fn pop(&self) -> Option<Part> {
        match self {
            Self::Memory(queue) => queue.pop(),
            Self::Persistent(queue) => queue.pop().await,
        }
    }

    /// Takes nothing more. What is in it can still be taken out of one in memory.
    pub(super) fn close(&self) {
        match self {
            Self::Memory(queue) => queue.close(),
            Self::Persistent(queue) => queue.close(),
        }
    }
}

/// A request on its way out of the queue, or a piece of one that was cut.
pub(super) struct Part {
    pub(super) data: Encoded,
    pub(super) ticket: Arc<Ticket>,
}

/// A request's place in its queue, given back when all of its parts are dropped.
pub(super) struct Ticket {
    place: Place,
    fate: Mutex<Fate>,
    /// The span that it was pushed under.
    parent: Option<SpanContext>,
}

/// What becomes of a request.
struct Fate {
    /// Items of which it is not known yet.
    open: u64,
    refused: Option<Refusal>,
    waiter: Option<Waiter>,
}

enum Place {
    Memory { queue: Arc<MemoryQueue>, size: u64, bytes: u64 },
    Persistent { queue: Arc<PersistentQueue>, id: u64 },
}

impl Ticket {
    fn new(place: Place, items: u64, waiter: Option<Waiter>) -> Arc<Self> {
        let fate = Mutex::new(Fate { open: items, refused: None, waiter });
        Arc::new(Self { place, fate, parent: telemetry::context() })
    }

    /// So many of its items were sent or given up.
    pub(super) fn settle(&self, items: u64, result: Result<(), Refusal>) {
        let mut fate = self.fate.lock();
        fate.open = fate.open.saturating_sub(items);
        if let Err(refusal) = result {
            fate.refused = Some(match fate.refused.take() {
                Some(first) => first.or(refusal),
                None => refusal,
            });
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let fate = self.fate.get_mut();
        match &self.place {
            Place::Memory { queue, size, bytes } => queue.leave(*size, *bytes, fate.open),
            Place::Persistent { queue, id } => queue.leave(*id, fate.open),
        }
        let result = match fate.refused.take() {
            None if fate.open > 0 => Err(Refusal::Unavailable {
                reason: "the exporter is shutting down".to_owned(),
                retry_after: std::time::Duration::from_secs(1),
            }),
            None => Ok(()),
            Some(refusal) => Err(refusal),
        };
        if let Some(waiter) = fate.waiter.take() {
            // Who sent it may be gone.
            let _ = waiter.send(result);
        }
    }
}
