//! Traces that may be meant, newest first, out of several searches of the store at once.

use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};

use model::TraceId;
use store::{Position, ReadError, SearchRequest, SpanFilter, Store};

/// The traces of all that meet one of several filters, each once.
pub(super) struct Candidates<'a> {
    store: &'a dyn Store,
    page: usize,
    sources: Vec<Source>,
    seen: HashSet<TraceId>,
    /// A damaged block was left out.
    pub(super) damaged: bool,
}

struct Source {
    filter: SpanFilter,
    waiting: VecDeque<Position>,
    after: Option<Position>,
    has_more: bool,
}

impl<'a> Candidates<'a> {
    /// `page` traces are asked for at a time.
    pub(super) fn new(store: &'a dyn Store, filters: Vec<SpanFilter>, page: usize) -> Self {
        let source =
            |filter| Source { filter, waiting: VecDeque::new(), after: None, has_more: true };
        let sources = filters.into_iter().map(source).collect();
        Self { store, page, sources, seen: HashSet::new(), damaged: false }
    }

    /// The next trace, which is no newer than those before.
    pub(super) async fn next(&mut self) -> Result<Option<TraceId>, ReadError> {
        loop {
            for source in &mut self.sources {
                while source.waiting.is_empty() && source.has_more {
                    let request = SearchRequest {
                        filter: source.filter.clone(),
                        limit: self.page,
                        after: source.after,
                    };
                    let page = self.store.search(request).await?;
                    self.damaged |= page.partial;
                    source.waiting.extend(page.traces.iter().map(|trace| Position {
                        start_unix_nano: trace.start_unix_nano,
                        trace_id: trace.trace_id,
                    }));
                    source.after = source.waiting.back().copied();
                    source.has_more = page.more && source.after.is_some();
                }
            }
            let heads = self.sources.iter_mut().filter(|source| !source.waiting.is_empty());
            let newest = heads.min_by_key(|source| {
                source.waiting.front().map(|at| (Reverse(at.start_unix_nano), at.trace_id))
            });
            let Some(at) = newest.and_then(|source| source.waiting.pop_front()) else {
                return Ok(None);
            };
            if self.seen.insert(at.trace_id) {
                return Ok(Some(at.trace_id));
            }
        }
    }
}
