//! The trait by which the parts of a pipeline hand data on.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::data::Request;

/// What takes data: the store, a queue, or a processor in front of them.
#[async_trait]
pub trait Consumer: Send + Sync + 'static {
    /// Takes a request, which holds at least one item. `Ok` means that the data is as safe as what
    /// lies behind promises (a store: logged; a queue: in it); only then does a receiver tell its
    /// client so.
    ///
    /// Receivers run it in a task of its own: a client that goes away does not cancel it, and a
    /// panic in it is answered as an internal error.
    async fn consume(&self, request: Request) -> Result<(), Refusal>;

    /// The same for a request that comes again, perhaps less some of its batches, until nobody asks
    /// it to: who has taken it is not asked another time. Whoever hands a request on as it is, or
    /// changed, hands this on, too; whoever divides it does not.
    async fn offer(&self, request: Request, _taken: &Taken) -> Result<(), Refusal> {
        self.consume(request).await
    }
}

/// Who has answered a request that comes again for good, and how.
#[derive(Debug, Default)]
pub struct Taken {
    answers: Mutex<HashMap<(u64, usize), Result<(), Refusal>>>,
}

impl Taken {
    /// What one of several said: the number of the place where ways part, and of the way.
    pub(crate) fn answer(&self, place: u64, way: usize) -> Option<Result<(), Refusal>> {
        self.answers.lock().get(&(place, way)).cloned()
    }

    /// Keeps an answer, unless it asks to come again.
    pub(crate) fn keep(&self, place: u64, way: usize, answer: &Result<(), Refusal>) {
        if !answer.as_ref().is_err_and(Refusal::is_retryable) {
            self.answers.lock().insert((place, way), answer.clone());
        }
    }
}

/// Why a request was not taken. The first two ask the client to come again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Memory pressure or a full queue. HTTP 429; gRPC `RESOURCE_EXHAUSTED` with `RetryInfo`.
    #[error("{reason}")]
    Exhausted {
        /// What is exhausted, for the client's log.
        reason: String,
        /// How long the client should wait.
        retry_after: Duration,
    },
    /// A full disk, a backend that is down, or draining. HTTP 503; gRPC `UNAVAILABLE` with
    /// `RetryInfo`.
    #[error("{reason}")]
    Unavailable {
        /// What is unavailable, for the client's log.
        reason: String,
        /// How long the client should wait.
        retry_after: Duration,
    },
    /// The data is bad and will stay so. HTTP 400; gRPC `INVALID_ARGUMENT`.
    #[error("{reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// A fault of this side that coming again would not mend. HTTP 500; gRPC `INTERNAL`.
    #[error("{reason}")]
    Internal {
        /// What went wrong.
        reason: String,
    },
}

impl Refusal {
    /// Whether the same data may be taken later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Exhausted { .. } | Self::Unavailable { .. })
    }

    /// The worse of two, for a client that hears one word of several consumers: to come again
    /// comes first, because then nothing is lost.
    pub fn or(self, other: Self) -> Self {
        if self.is_retryable() || !other.is_retryable() { self } else { other }
    }
}
