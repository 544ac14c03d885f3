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

/// Some spans of a batch as a batch of their own. The numbers are ascending.
fn some_of(batch: &Arc<SpanBatch>, spans: &[u32]) -> Result<Arc<SpanBatch>, Refusal> {
    if spans.len() == batch.len() {
        return Ok(batch.clone());
    }
    let some = SpanBatch::decode(batch.encoded_some(spans));
    some.map(Arc::new).map_err(|error| Refusal::Internal { reason: error.to_string() })
}
