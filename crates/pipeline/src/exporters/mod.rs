//! How data leaves: exporters, one module per protocol, and the queue and retries in front of each.
//!
//! An exporter is an [`Export`]: one attempt to hand a request to whom it speaks with. A [`Sender`]
//! makes a [`Consumer`](crate::Consumer) of it, with the Collector's `timeout`, `retry_on_failure`
//! and `sending_queue`.

mod counters;
pub mod debug;
mod delivery;
pub mod file;
mod grpc;
pub mod jaeger;
pub mod kafka;
pub mod load_balancing;
pub mod nop;
pub mod otlp;
mod post;
mod queue;
pub(crate) mod rarely;
pub(crate) mod retry;
mod sender;
mod settings;
pub(crate) mod time;
mod translate;
mod unsent;
pub mod zipkin;

use std::time::Duration;

use async_trait::async_trait;

use crate::{Encoded, Signal};

pub use counters::{ExporterCounters, ExporterSnapshot, FailReason};
pub use nop::Nop;
pub use sender::{Left, Sender, StartError};
pub use settings::{
    BatchSettings, PersistentSettings, QueueSettings, RetrySettings, SenderSettings, Sizer,
};

/// One attempt to hand data on.
#[async_trait]
pub trait Export: Send + Sync + 'static {
    /// Hands on an encoded request. Must be safe to drop at any await: an attempt that takes too
    /// long is dropped and made again.
    ///
    /// # Errors
    /// [`ExportError::Partial`] is a success for all but the rejected items.
    async fn export(&self, signal: Signal, encoded: &Encoded) -> Result<(), ExportError>;
}

/// How an attempt ended that was no full success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The same data will never be taken.
    #[error("{reason}")]
    Permanent {
        /// Why, for the log.
        reason: String,
    },
    /// The same data may be taken later.
    #[error("{reason}")]
    Retryable {
        /// Why, for the log.
        reason: String,
        /// How long the other side asks to wait, if it says so.
        after: Option<Duration>,
    },
    /// Some items were rejected for good, the others were taken (OTLP, "Partial Success").
    #[error("{rejected} items were rejected: {reason}")]
    Partial {
        /// How many; 0 with a reason is a warning.
        rejected: u64,
        /// Why, for the log.
        reason: String,
    },
}

impl ExportError {
    pub(crate) fn permanent(reason: impl Into<String>) -> Self {
        Self::Permanent { reason: reason.into() }
    }

    pub(crate) fn retryable(reason: impl Into<String>) -> Self {
        Self::Retryable { reason: reason.into(), after: None }
    }
}
