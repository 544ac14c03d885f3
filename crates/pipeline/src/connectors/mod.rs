//! Connectors: what ends a pipeline and begins others.

pub mod count;
pub mod exceptions;
pub mod failover;
mod otlp_metrics;
pub mod round_robin;
pub mod routing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use model::SpanBatch;

use crate::consumer::Refusal;

/// Bytes that a connector makes of a request at the most, beside as many as that has itself: the
/// name of a span with many small events is there for each of them.
const MADE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// About what a text that is kept takes beside its bytes.
const TEXT_BYTES: usize = 64;

/// Bytes that may still be made of a request.
struct Room(usize);

impl Room {
    fn of(batches: &[Arc<SpanBatch>]) -> Self {
        let own: usize = batches.iter().map(|batch| batch.bytes().len()).sum();
        Self(MADE_BYTES_MAX + own)
    }

    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let rest = self.0.checked_sub(bytes).ok_or_else(|| {
            let most = MADE_BYTES_MAX >> 20;
            let reason = format!("a connector would make more than {most} MiB of one request");
            Refusal::Invalid { reason }
        })?;
        self.0 = rest;
        Ok(())
    }
}

/// Some spans of a batch as a batch of their own. The numbers are ascending.
fn some_of(batch: &Arc<SpanBatch>, spans: &[u32]) -> Result<Arc<SpanBatch>, Refusal> {
    if spans.len() == batch.len() {
        return Ok(batch.clone());
    }
    let some = SpanBatch::decode(batch.encoded_some(spans));
    some.map(Arc::new).map_err(|error| Refusal::Internal { reason: error.to_string() })
}
