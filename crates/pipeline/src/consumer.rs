//! The trait that every receiver hands batches to.

use std::time::Duration;

use async_trait::async_trait;
use model::SpanBatch;

/// What takes batches from a receiver: the store, or the first stage in front of it.
#[async_trait]
pub trait Consumer: Send + Sync + 'static {
    /// Takes a batch, which holds at least one span. `Ok` means that the spans are safe by the
    /// store's rules; only then does the receiver tell its client so.
    ///
    /// Runs in a task of its own: a client that goes away does not cancel it, and a panic in it is
    /// answered as an internal error.
    async fn consume(&self, batch: SpanBatch) -> Result<(), Refusal>;
}

/// Why a batch was not taken. The first two ask the client to come again.
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
    /// A full disk, or draining. HTTP 503; gRPC `UNAVAILABLE` with `RetryInfo`.
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
