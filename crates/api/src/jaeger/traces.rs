//! Traces as they were sent or, unless raw ones are asked for, adjusted.

use std::pin::pin;
use std::sync::Arc;

use analysis::adjust::adjust;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use http::HeaderValue;
use model::{SpanBatch, TraceId};

use super::problem::Problem;
use crate::Api;
use crate::apart::apart;

/// The header of an answer that lacks what a damaged block held.
pub(super) const PARTIAL: &str = "spanfall-partial";

/// Bytes of spans that one answer is made of, about; what follows is left out.
pub(super) const ANSWER_BYTES_MAX: usize = 128 << 20;

/// Traces that are read ahead of what is written.
const AHEAD: usize = 4;

/// What the store has of a trace.
pub(super) struct Loaded {
    pub(super) id: TraceId,
    /// `None` when no span of it is stored.
    pub(super) spans: Option<SpanBatch>,
    /// A damaged block was left out.
    pub(super) partial: bool,
}

/// A trace by its id.
pub(super) async fn load(api: &Api, id: TraceId, raw: bool) -> Result<Loaded, Problem> {
    let read = api.store.trace(id).await?;
    let spans = match read.spans {
        Some(spans) if !raw => {
            let max = api.clock_skew_max_nano;
            Some(blocking(move || adjust(&spans, max)).await?)
        }
        other => other,
    };
    Ok(Loaded { id, spans, partial: read.partial })
}

/// Several traces, in order; the first ones when they are too large together.
pub(super) async fn load_all(
    api: &Arc<Api>,
    ids: impl IntoIterator<Item = TraceId>,
    raw: bool,
) -> Result<Vec<Loaded>, Problem> {
    let ids: Vec<TraceId> = ids.into_iter().collect();
    let loads = ids.into_iter().map(|id| load(api, id, raw));
    let mut loads = pin!(stream::iter(loads).buffered(AHEAD));
    let (mut all, mut bytes): (Vec<Loaded>, usize) = (Vec::new(), 0);
    while let Some(loaded) = loads.next().await {
        let mut loaded = loaded?;
        bytes += loaded.spans.as_ref().map_or(0, |spans| spans.bytes().len());
        let is_full = bytes > ANSWER_BYTES_MAX;
        loaded.partial |= is_full;
        all.push(loaded);
        if is_full {
            break;
        }
    }
    Ok(all)
}

/// Work that may take long for a large trace, away from those who answer requests.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    Ok(apart(work).await?)
}

/// The answer, which says so when a damaged block was left out.
pub(super) fn marked(mut answer: Response, partial: bool) -> Response {
    if partial {
        answer.headers_mut().insert(PARTIAL, HeaderValue::from_static("true"));
    }
    answer
}
