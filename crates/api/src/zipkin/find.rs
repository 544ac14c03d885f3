//! Finding the traces that a query means.

use formats::zipkin::span_of;
use model::SpanBatch;
use store::Store;

use super::answer::{Fault, Partial};
use super::candidates::Candidates;
use super::query::{Progress, TraceQuery};
use super::sources::sources;

/// The most traces that are read for one request to see whether they are meant.
const READ_MAX: usize = 5_000;

/// The most bytes of spans that one answer is made of; the first trace is taken whatever its size.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Traces to answer with.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) traces: Vec<SpanBatch>,
    pub(super) partial: Partial,
    bytes: usize,
}

impl Kept {
    /// Keeps a trace; false when there is no room for it.
    pub(super) fn add(&mut self, spans: SpanBatch) -> bool {
        self.bytes += spans.bytes().len();
        if !self.traces.is_empty() && self.bytes > ANSWER_BYTES_MAX {
            self.partial.limited = Some("the answer is as large as answers may be");
            return false;
        }
        self.traces.push(spans);
        true
    }
}

/// The newest traces that are meant. Where a limit ends the search, what is missing is older than
/// what is there.
pub(super) async fn find(store: &dyn Store, query: &TraceQuery) -> Result<Kept, Fault> {
    let mut kept = Kept::default();
    let Some(sources) = sources(store, query).await? else { return Ok(kept) };
    let page = if sources.are_exact { query.limit } else { query.limit.saturating_mul(2) };
    let mut candidates = Candidates::new(store, sources.filters, page.clamp(20, 500));
    let mut reads = 0;
    while kept.traces.len() < query.limit {
        let Some(id) = candidates.next().await? else { break };
        if reads == READ_MAX && !sources.are_exact {
            kept.partial.limited = Some("older traces were not looked at");
            break;
        }
        reads += 1;
        let read = store.trace(id).await?;
        kept.partial.damaged |= read.partial;
        let Some(spans) = read.spans else { continue };
        if (sources.are_exact || is_meant(query, &spans)) && !kept.add(spans) {
            break;
        }
    }
    kept.partial.damaged |= candidates.damaged;
    Ok(kept)
}

fn is_meant(query: &TraceQuery, batch: &SpanBatch) -> bool {
    let mut progress = Progress::new(query);
    batch.spans().iter().any(|span| {
        progress.see(&span_of(batch, span));
        progress.is_met()
    })
}
