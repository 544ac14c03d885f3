//! From the receivers into the store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::SpanBatch;
use pipeline::{Consumer, Refusal};
use store::{AppendError, Store};

/// Hands every batch to the store.
pub(super) struct StoreConsumer {
    store: Arc<dyn Store>,
}

impl StoreConsumer {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Consumer for StoreConsumer {
    async fn consume(&self, batch: SpanBatch) -> Result<(), Refusal> {
        self.store.append(batch).await.map_err(|error| {
            let reason = error.to_string();
            match error {
                AppendError::Busy => {
                    Refusal::Exhausted { reason, retry_after: Duration::from_secs(1) }
                }
                AppendError::DiskFull { .. } => {
                    Refusal::Unavailable { reason, retry_after: Duration::from_secs(10) }
                }
                AppendError::Log { .. } | AppendError::Closed => {
                    Refusal::Unavailable { reason, retry_after: Duration::from_secs(5) }
                }
            }
        })
    }
}
