//! From the receivers into the store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::SpanBatch;
use pipeline::{Consumer, Data, Refusal, Request};
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
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let Data::Traces(batches) = request.data else {
            let reason = "the store takes traces only".to_owned();
            return Err(Refusal::Invalid { reason });
        };
        for batch in batches {
            // Its own bytes go into the log, so they must be what it holds.
            let batch = if batch.is_edited() {
                let edited = SpanBatch::decode(batch.encoded());
                edited.map_err(|error| Refusal::Internal { reason: error.to_string() })?
            } else {
                Arc::unwrap_or_clone(batch)
            };
            if !batch.is_empty() {
                self.store.append(batch).await.map_err(refusal)?;
            }
        }
        Ok(())
    }
}

fn refusal(error: AppendError) -> Refusal {
    let reason = error.to_string();
    match error {
        AppendError::Busy => Refusal::Exhausted { reason, retry_after: Duration::from_secs(1) },
        AppendError::DiskFull { .. } => {
            Refusal::Unavailable { reason, retry_after: Duration::from_secs(10) }
        }
        AppendError::Log { .. } | AppendError::Closed => {
            Refusal::Unavailable { reason, retry_after: Duration::from_secs(5) }
        }
    }
}
