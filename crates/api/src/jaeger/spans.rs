//! A search for spans rather than traces (api_v3 `FindSpans`): newest first, as they were sent.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use model::{Span, SpanBatch, SpanId, TraceId, TracesEncoder};
use store::SpanFilter;

use super::ask::CANDIDATES_MAX;
use super::candidates::Finder;
use super::filter::Predicate;
use super::matching::{Residual, matching};
use super::problem::Problem;
use super::traces::{ANSWER_BYTES_MAX, blocking};
use super::v3_search::malformed;
use crate::Api;

/// The most spans of a page.
pub(super) const PAGE_MAX: usize = 1_000;

/// The spans of a page when no size is given.
const PAGE_DEFAULT: usize = 100;

/// The stretch of time that is looked at first: most pages are filled by it.
const FIRST_STRETCH_NANO: u64 = 60_000_000_000;

/// How many traces are read for one page; what lies behind them is the next page's.
const READ_MAX: usize = 20_000;

/// What is searched for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SpanSearch {
    pub(super) filter: Option<Predicate>,
    pub(super) start_unix_nano: u64,
    /// Spans start before this.
    pub(super) end_unix_nano: u64,
    pub(super) limit: usize,
    pub(super) after: Option<SpanRank>,
}

/// The place of a span in the order of results: newest start first, then by trace and span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SpanRank(Reverse<u64>, TraceId, SpanId);

impl SpanRank {
    fn of(span: &Span) -> Self {
        Self(Reverse(span.start_unix_nano), span.trace_id, span.span_id)
    }

    /// Behind every span that starts at that time.
    fn behind(start_unix_nano: u64) -> Self {
        Self(Reverse(start_unix_nano), TraceId([0xff; 16]), SpanId([0xff; 8]))
    }

    /// The token of the page behind it.
    pub(super) fn token(&self) -> String {
        format!("{:016x}{}{}", self.0.0, self.1, self.2)
    }

    /// What a token stands for; nothing for an empty one.
    pub(super) fn of_token(text: &str) -> Result<Option<Self>, Problem> {
        if text.is_empty() {
            return Ok(None);
        }
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to).filter(|_| text.len() == 64)?;
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            u128::from_str_radix(digits, 16).ok().filter(|_| is_hex)
        };
        let wrong = || malformed("query.pagination.pageToken", "it is no token of this search");
        let (Some(start), Some(trace), Some(span)) =
            (number(0, 16), number(16, 48), number(48, 64))
        else {
            return Err(wrong());
        };
        let span = SpanId((span as u64).to_be_bytes());
        Ok(Some(Self(Reverse(start as u64), TraceId(trace.to_be_bytes()), span)))
    }
}

/// The size of a page, from what was asked. 0 is not set: who asks for the next page over gRPC by
/// its token alone sends it (RFC 0016, section 6).
pub(super) fn page_size(asked: Option<u64>) -> Result<usize, Problem> {
    let name = "query.pagination.pageSize";
    match asked {
        None | Some(0) => Ok(PAGE_DEFAULT),
        Some(asked) => usize::try_from(asked)
            .ok()
            .filter(|&asked| asked <= PAGE_MAX)
            .ok_or_else(|| malformed(name, format!("it must be at most {PAGE_MAX}"))),
    }
}

/// A page of spans.
pub(super) struct SpanPage {
    /// Encoded `TracesData` messages, in the order of the spans.
    pub(super) parts: Vec<Bytes>,
    /// Where the next page starts.
    pub(super) next: Option<SpanRank>,
    /// Some were left out.
    pub(super) partial: bool,
}

impl SpanSearch {
    /// Searches backwards, a longer stretch of time at each step, until the page is full. Parts of
    /// the answer have about `part_bytes`.
    pub(super) async fn find(self, api: &Arc<Api>, part_bytes: usize) -> Result<SpanPage, Problem> {
        self.find_within(api, part_bytes, ANSWER_BYTES_MAX).await
    }

    /// The same, with pages that end behind the trace with which their spans have more than
    /// `bytes_max`, unless they are full before.
    pub(super) async fn find_within(
        self,
        api: &Arc<Api>,
        part_bytes: usize,
        bytes_max: usize,
    ) -> Result<SpanPage, Problem> {
        let wanted = self.limit.saturating_add(1);
        let mut found: BTreeSet<SpanRank> = BTreeSet::new();
        let (mut partial, mut read) = (false, 0);
        let mut stopped_at = None;
        let mut end = match self.after {
            Some(SpanRank(Reverse(start), ..)) => self.end_unix_nano.min(start.saturating_add(1)),
            None => self.end_unix_nano,
        };
        let mut stretch = FIRST_STRETCH_NANO;
        while end > self.start_unix_nano && found.len() < wanted {
            let start = end.saturating_sub(stretch).max(self.start_unix_nano);
            let filter = SpanFilter {
                start_min_unix_nano: Some(start),
                start_max_unix_nano: Some(end),
                ..SpanFilter::default()
            };
            let residual: Vec<Residual> =
                self.filter.iter().cloned().map(Residual::Filter).collect();
            let finder = Finder::new(filter.clone(), &residual);
            let page = finder.page(&*api.store, None, CANDIDATES_MAX).await?;
            if page.more && end - start > 1 {
                stretch = ((end - start) / 8).max(1);
                continue;
            }
            partial |= page.more || page.partial;
            read += page.traces.len();
            let conditions = Arc::new((filter, residual));
            for summary in page.traces {
                let Some(spans) = api.store.trace(summary.trace_id).await?.spans else { continue };
                let (conditions, after) = (conditions.clone(), self.after);
                let ranks = blocking(move || {
                    let (filter, residual) = &*conditions;
                    let ranks = matching(&spans, filter, residual).map(SpanRank::of);
                    let mut ranks: Vec<SpanRank> =
                        ranks.filter(|rank| after.is_none_or(|after| *rank > after)).collect();
                    ranks.sort_unstable();
                    ranks.truncate(wanted);
                    ranks
                });
                found.extend(ranks.await?);
                while found.len() > wanted {
                    found.pop_last();
                }
            }
            end = start;
            stretch = (stretch.saturating_mul(4)).max(1);
            if read > READ_MAX && end > self.start_unix_nano && found.len() < wanted {
                stopped_at = Some(SpanRank::behind(end));
                break;
            }
        }
        let mut ranks: Vec<SpanRank> = found.into_iter().collect();
        let is_full = ranks.len() > self.limit;
        ranks.truncate(self.limit);
        let mut next = if is_full { ranks.last().copied() } else { stopped_at };
        let Copied { batches, cut, partial: lacks } =
            copied(api, &ranks, self.filter, bytes_max).await?;
        if let Some(cut) = cut {
            next = ranks.iter().copied().take_while(|rank| *rank < cut).last();
        }
        let parts = blocking(move || encoded(&batches, cut, part_bytes)).await?;
        Ok(SpanPage { parts, next, partial: partial | lacks })
    }
}

/// The spans of these ranks, and where the page ends before its last rank.
struct Copied {
    /// Of each trace the spans that are wanted, in the order of results.
    batches: Vec<SpanBatch>,
    /// A page that would be too large: spans from here on are the next page's.
    cut: Option<SpanRank>,
    /// Some are missing.
    partial: bool,
}

/// Reads traces one after the other and keeps of each what is wanted, about `bytes_max` bytes.
/// Several spans of one rank, as a client and a server that share their id, come together.
async fn copied(
    api: &Arc<Api>,
    ranks: &[SpanRank],
    filter: Option<Predicate>,
    bytes_max: usize,
) -> Result<Copied, Problem> {
    let wanted: Arc<HashSet<SpanRank>> = Arc::new(ranks.iter().copied().collect());
    let filter = Arc::new(filter);
    let mut known: HashSet<TraceId> = HashSet::new();
    let (mut copied, mut bytes) = (Copied { batches: Vec::new(), cut: None, partial: false }, 0);
    // A trace is read at its first span, so that all before the first that is not read are there.
    for rank in ranks {
        if !known.insert(rank.1) {
            continue;
        }
        if bytes > bytes_max {
            copied.cut = Some(*rank);
            break;
        }
        let read = api.store.trace(rank.1).await?;
        copied.partial |= read.partial;
        let Some(spans) = read.spans else { continue };
        let (wanted, filter) = (wanted.clone(), filter.clone());
        let batch = blocking(move || of_trace(&spans, &wanted, filter.as_ref().as_ref())).await??;
        bytes += batch.bytes().len();
        copied.batches.push(batch);
    }
    Ok(copied)
}

/// The spans of a trace that are wanted.
fn of_trace(
    batch: &SpanBatch,
    wanted: &HashSet<SpanRank>,
    filter: Option<&Predicate>,
) -> Result<SpanBatch, Problem> {
    let is_one = |span: &&Span| {
        wanted.contains(&SpanRank::of(span)) && filter.is_none_or(|one| one.holds(batch, span))
    };
    let mut spans: Vec<&Span> = batch.spans().iter().filter(is_one).collect();
    spans.sort_by_key(|span| SpanRank::of(span));
    let mut encoder = TracesEncoder::new();
    spans.iter().for_each(|span| encoder.span_of(batch, span));
    let bytes = Bytes::from(encoder.finish());
    SpanBatch::decode(bytes).map_err(|error| Problem::internal(error.to_string()))
}

/// Spans in their order, in messages of about `part_bytes`.
fn encoded(batches: &[SpanBatch], cut: Option<SpanRank>, part_bytes: usize) -> Vec<Bytes> {
    let all = batches.iter().flat_map(|batch| batch.spans().iter().map(move |span| (batch, span)));
    let is_in_page =
        |(_, span): &(&SpanBatch, &Span)| cut.is_none_or(|cut| SpanRank::of(span) < cut);
    let mut spans: Vec<(&SpanBatch, &Span)> = all.filter(is_in_page).collect();
    spans.sort_by_key(|(_, span)| SpanRank::of(span));
    let mut parts = Vec::new();
    let mut part: Vec<u8> = Vec::new();
    // Spans of one scope that follow one another share it: the order stays.
    let same = |a: &(&SpanBatch, &Span), b: &(&SpanBatch, &Span)| {
        std::ptr::eq(a.0, b.0) && a.1.scope == b.1.scope
    };
    for run in spans.chunk_by(same) {
        let mut encoder = TracesEncoder::new();
        run.iter().for_each(|(batch, span)| encoder.span_of(batch, span));
        part.extend_from_slice(&encoder.finish());
        if part.len() >= part_bytes {
            parts.push(Bytes::from(std::mem::take(&mut part)));
        }
    }
    if !part.is_empty() {
        parts.push(Bytes::from(part));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_they_were_written() {
        let rank = SpanRank(Reverse(u64::MAX - 5), TraceId([7; 16]), SpanId([9; 8]));
        assert_eq!(SpanRank::of_token(&rank.token()), Ok(Some(rank)));
        assert_eq!(SpanRank::of_token(""), Ok(None));
        let signed = format!("+{}", "0".repeat(63));
        for wrong in ["x", "00", &"é".repeat(32), &"0".repeat(65), &signed] {
            assert!(SpanRank::of_token(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pages_have_a_size() {
        for unset in [None, Some(0)] {
            assert_eq!(page_size(unset), Ok(PAGE_DEFAULT));
        }
        assert_eq!(page_size(Some(PAGE_MAX as u64)), Ok(PAGE_MAX));
        assert!(page_size(Some(PAGE_MAX as u64 + 1)).is_err());
    }

    #[test]
    fn newest_first_then_by_id() {
        let rank = |start, trace: u8, span: u8| {
            SpanRank(Reverse(start), TraceId([trace; 16]), SpanId([span; 8]))
        };
        let order = [rank(9, 2, 2), rank(8, 1, 1), rank(8, 1, 2), rank(8, 2, 1), rank(7, 1, 1)];
        assert!(order.is_sorted());
        assert!(order[3] < SpanRank::behind(8) && SpanRank::behind(8) < order[4]);
    }
}
