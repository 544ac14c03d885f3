//! What TraceQL must answer: docs/traceql.md word by word, a span at a time, with loops in loops and
//! nothing clever.

mod conditions;
mod metrics;
mod stages;
mod values;

use std::cmp::Reverse;

use model::TraceId;
use store::{FindRequest, FoundTrace};
use traceql::Static;

pub use metrics::{measure, stray_exemplar};

use crate::oracle::Oracle;
use crate::sent::Sent;

/// All that a search finds, newest first.
pub fn find(held: &[Sent], request: &FindRequest) -> Vec<FoundTrace> {
    let oracle = Oracle(held);
    let mut found = Vec::new();
    for trace in oracle.traces() {
        let summary = oracle.summary(trace);
        let (start, duration) = (summary.start_unix_nano, summary.duration_nano);
        let fits = request.start_unix_nano.is_none_or(|from| start + duration >= from)
            && request.end_unix_nano.is_none_or(|to| start < to)
            && request.duration_min_nano.is_none_or(|least| duration >= least)
            && request.duration_max_nano.is_none_or(|most| duration <= most);
        let judge = Judge::of(held, trace);
        let sets = if fits { judge.pipeline(&request.pipeline, None) } else { Vec::new() };
        if !sets.is_empty() {
            let spansets = sets.iter().map(|set| judge.told(set, request)).collect();
            found.push(FoundTrace { summary, spansets });
        }
    }
    found.sort_by_key(|found| {
        (Reverse(found.summary.start_unix_nano), found.summary.trace_id.to_number())
    });
    found
}

struct Set {
    /// Places in the trace, ascending.
    spans: Vec<usize>,
    attributes: Vec<(String, Static)>,
}

/// One trace, its spans by start.
struct Judge<'a> {
    spans: Vec<&'a Sent>,
    parents: Vec<Option<usize>>,
    /// Left, right and parent of every span.
    nested_set: Vec<(i64, i64, i64)>,
    trace_id: u128,
    duration: i64,
    root_name: String,
    root_service: String,
}

fn number(id: &[u8]) -> u128 {
    id.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

impl<'a> Judge<'a> {
    fn of(held: &'a [Sent], trace: TraceId) -> Self {
        let summary = Oracle(held).summary(trace);
        let mut spans: Vec<&Sent> = held.iter().filter(|sent| sent.trace() == trace).collect();
        spans.sort_by_key(|sent| {
            let span = &sent.span;
            let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
            (start, number(&span.span_id), end, span.kind)
        });
        let mut judge = Self {
            parents: Vec::new(),
            nested_set: Vec::new(),
            spans,
            trace_id: trace.to_number(),
            duration: summary.duration_nano as i64,
            root_name: summary.root_name,
            root_service: summary.root_service,
        };
        judge.parents = (0..judge.spans.len()).map(|at| judge.find_parent(at)).collect();
        judge.nested_set = judge.number();
        judge
    }
}

impl Judge<'_> {
    fn sent(&self, at: usize) -> &Sent {
        self.spans[at]
    }

    /// Ids may be shared: what a server does is below the server, and what calls a server is the
    /// client.
    fn find_parent(&self, at: usize) -> Option<usize> {
        let span = &self.spans[at].span;
        let wanted = number(&span.parent_span_id);
        let all: Vec<usize> = (0..self.spans.len())
            .filter(|&other| other != at && wanted != 0)
            .filter(|&other| number(&self.spans[other].span.span_id) == wanted)
            .collect();
        let kinds = if [2, 5].contains(&span.kind) { [3, 4] } else { [2, 5] };
        let fitting = |other: &&usize| kinds.contains(&self.spans[**other].span.kind);
        all.iter().find(fitting).or(all.first()).copied()
    }

    fn parent(&self, at: usize) -> Option<usize> {
        self.parents[at]
    }

    fn ancestors(&self, at: usize) -> Vec<usize> {
        let mut above = Vec::new();
        let mut next = self.parent(at);
        while let Some(span) = next.filter(|span| !above.contains(span)) {
            above.push(span);
            next = self.parent(span);
        }
        above
    }

    fn siblings(&self, one: usize, other: usize) -> bool {
        let parent = |at: usize| number(&self.spans[at].span.parent_span_id);
        one != other
            && parent(one) != 0
            && match (self.parent(one), self.parent(other)) {
                (None, None) => parent(one) == parent(other),
                (one, other) => one == other,
            }
    }

    fn number(&self) -> Vec<(i64, i64, i64)> {
        fn visit(
            judge: &Judge<'_>,
            at: usize,
            above: i64,
            next: &mut i64,
            bounds: &mut Vec<(i64, i64, i64)>,
        ) {
            bounds[at] = (*next, 0, above);
            *next += 1;
            for below in 0..judge.spans.len() {
                if judge.parent(below) == Some(at) && bounds[below].0 == 0 {
                    visit(judge, below, bounds[at].0, next, bounds);
                }
            }
            bounds[at].1 = *next;
            *next += 1;
        }
        let mut bounds = vec![(0, 0, 0); self.spans.len()];
        let mut next = 1;
        for circles in [false, true] {
            for at in 0..self.spans.len() {
                if bounds[at].0 == 0 && (circles || self.parent(at).is_none()) {
                    visit(self, at, -1, &mut next, &mut bounds);
                }
            }
        }
        bounds
    }
}

/// 0 for an end before the start.
fn duration(sent: &Sent) -> u64 {
    let span = &sent.span;
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    match end.wrapping_sub(start) {
        // An end 2^63 nanoseconds before the start, or more, counts as one behind it.
        nanos if nanos < 1 << 63 => nanos,
        _ => end.saturating_sub(start),
    }
}
