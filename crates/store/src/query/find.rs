//! Searches: the newest traces for which a pipeline leaves spans.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use model::{SpanId, TraceId};
use traceql::{Field, FieldExpr, Pipeline, SpansetExpr, Stage, Static};

use super::filter::Domain;
use super::mask::Mask;
use super::slab::Slab;
use super::spansets::{Spanset, Spansets};
use super::value::Val;
use super::values::field_values;
use super::{Cancel, Stop, in_parallel, is_local, slabs};
use crate::builder::ChunkBuilder;
use crate::columns::name;
use crate::memory::MemoryPiece;
use crate::piece::{Damaged, Piece};
use crate::scopes::ScopePool;
use crate::search::View;
use crate::trace;
use crate::types::{
    FindRequest, FoundPage, FoundSpan, FoundSpanset, FoundTrace, Position, QueryStats,
};

/// Slabs that are looked at between two looks at whether it is enough.
const WAVE: usize = 4;

/// Newest first, then by id.
type Rank = (Reverse<u64>, u128);

fn rank(start: u64, id: u128) -> Rank {
    (Reverse(start), id)
}

/// What a slab has to say.
enum Hit {
    Found(Box<FoundTrace>),
    /// A trace that has spans elsewhere, too.
    Shared(u128),
}

/// Answers a search. Nothing in it depends on how the spans lie in the store.
pub(crate) fn find(
    view: &mut View,
    request: &FindRequest,
    cancel: &Cancel,
    progress: &mut dyn FnMut(&[FoundTrace], &QueryStats),
) -> Result<FoundPage, Stop> {
    let mut stats = QueryStats::default();
    let wanted = request.limit.saturating_add(1);
    let after = request
        .after
        .map(|Position { start_unix_nano, trace_id }| rank(start_unix_nano, trace_id.to_number()));
    let latest = |piece: &Arc<dyn Piece>| piece.start_ranges().latest().unwrap_or(0);
    let mut pieces = view.pieces.clone();
    pieces.sort_by_key(|piece| Reverse(latest(piece)));
    stats.pieces = pieces.len() as u64;
    let shared = if is_local(&request.pipeline) { None } else { Some(view.shared_traces()) };

    let mut work: Vec<(Arc<dyn Piece>, Range<usize>)> = Vec::new();
    for piece in pieces {
        match piece_in_range(piece.as_ref(), request) {
            Ok(true) => {
                let rows = view.note(slabs(piece.as_ref())).unwrap_or_default();
                work.extend(rows.into_iter().map(|rows| (piece.clone(), rows)));
            }
            Ok(false) => stats.pieces_skipped += 1,
            Err(damaged) => drop(view.note::<()>(Err(damaged))),
        }
    }

    let mut best: BTreeMap<Rank, FoundTrace> = BTreeMap::new();
    let mut seen: HashSet<u128> = HashSet::new();
    let mut at = 0;
    while at < work.len() {
        cancel.check()?;
        let bound = (best.len() >= wanted).then(|| best.last_key_value().map(|(rank, _)| *rank));
        let bound = bound.flatten();
        let behind = |piece: &Arc<dyn Piece>| {
            bound.is_some_and(|(Reverse(start), _)| latest(piece) < start)
                && !piece.start_ranges().overlap(0, 0)
        };
        let wave: Vec<&(Arc<dyn Piece>, Range<usize>)> =
            work[at..].iter().take(WAVE).filter(|(piece, _)| !behind(piece)).collect();
        at += WAVE;
        let answers = in_parallel(&wave, |(piece, rows)| {
            let others = |id: u128| match &shared {
                Some(shared) => shared.binary_search(&id).is_ok(),
                None => is_elsewhere(&view.pieces, piece.as_ref(), id),
            };
            look(piece.as_ref(), rows.clone(), request, shared.is_some(), &others, bound, after)
        });
        for answer in answers {
            let hits = match answer {
                Ok((hits, more)) => {
                    stats.add(&more);
                    hits
                }
                Err(Stop::Damaged(damaged)) => {
                    view.note::<()>(Err(damaged));
                    continue;
                }
                Err(stop) => return Err(stop),
            };
            for hit in hits {
                let found = match hit {
                    Hit::Found(found) => *found,
                    Hit::Shared(id) => {
                        if !seen.insert(id) {
                            continue;
                        }
                        match together(view, request, TraceId::from_number(id))? {
                            Some(found) => found,
                            None => continue,
                        }
                    }
                };
                let summary = &found.summary;
                let place = rank(summary.start_unix_nano, summary.trace_id.to_number());
                if after.is_none_or(|after| place > after) {
                    best.insert(place, found);
                    if best.len() > wanted {
                        best.pop_last();
                    }
                }
            }
        }
        if at < work.len() {
            let now: Vec<FoundTrace> = best.values().take(request.limit).cloned().collect();
            progress(&now, &stats);
        }
    }
    let more = best.len() > request.limit;
    let traces = best.into_values().take(request.limit).collect();
    Ok(FoundPage { traces, more, partial: view.is_partial(), stats })
}

/// Whether a trace with a span in the piece may touch the range of time.
fn piece_in_range(piece: &dyn Piece, request: &FindRequest) -> Result<bool, Damaged> {
    let (first, last) = request.bounds();
    let ranges = piece.start_ranges();
    Ok(ranges.overlap(0, last)
        && (ranges.overlap(first, u64::MAX) || piece.traces()?.end.iter().any(|&end| end >= first)))
}

fn is_elsewhere(pieces: &[Arc<dyn Piece>], piece: &dyn Piece, id: u128) -> bool {
    let id = TraceId::from_number(id);
    pieces.iter().any(|other| {
        other.id() != piece.id()
            && other.may_hold(id)
            && other.traces().is_ok_and(|table| table.find(id).is_some())
    })
}

/// The newest results of a slab, and the traces that have to be put together first.
fn look(
    piece: &dyn Piece,
    rows: Range<usize>,
    request: &FindRequest,
    judge_whole: bool,
    elsewhere: &dyn Fn(u128) -> bool,
    bound: Option<Rank>,
    after: Option<Rank>,
) -> Result<(Vec<Hit>, QueryStats), Stop> {
    let slab = Slab::new(piece, rows)?;
    let spansets = Spansets::new(&slab);
    let table = slab.table.clone();
    let first = slab.traces.start;
    let mut alive = Mask::none(slab.traces.len());
    let mut shared = Mask::none(slab.traces.len());
    for trace in slab.traces.clone() {
        if judge_whole && elsewhere(table.ids[trace]) {
            shared.set(trace - first);
        } else if !judge_whole || request.trace_fits(table.start[trace], table.end[trace]) {
            alive.set(trace - first);
        }
    }
    let mut candidates = spansets.candidates(&request.pipeline, &alive)?;
    if !shared.is_empty() {
        // Any of its filters may hold in this part and the others elsewhere.
        candidates.or(&possible_parts(&spansets, &request.pipeline, &shared)?);
    }
    let mut order: Vec<(bool, Rank, usize)> = candidates
        .iter()
        .map(|at| {
            let (start, id) = (table.start[first + at], table.ids[first + at]);
            // A part that starts at 0 says nothing of where its trace ranks: it goes first.
            (start > 0, rank(start, id), first + at)
        })
        .collect();
    order.sort_unstable();
    let stats = QueryStats {
        spans: slab.len() as u64,
        traces: slab.traces.len() as u64,
        slabs: 1,
        candidates: order.len() as u64,
        ..QueryStats::default()
    };
    let wanted = request.limit.saturating_add(1);
    let mut hits = Vec::new();
    let mut found = 0;
    for (known, place, trace) in order {
        let behind = known && bound.is_some_and(|bound| place > bound);
        if found >= wanted || behind {
            break;
        }
        let id = table.ids[trace];
        if shared.get(trace - first) || (!judge_whole && elsewhere(id)) {
            hits.push(Hit::Shared(id));
            continue;
        }
        if !request.trace_fits(table.start[trace], table.end[trace])
            || after.is_some_and(|after| place <= after)
        {
            continue;
        }
        let sets = spansets.run(&request.pipeline, trace)?;
        if !sets.is_empty() {
            hits.push(Hit::Found(Box::new(result(&slab, request, trace, sets)?)));
            found += 1;
        }
    }
    Ok((hits, stats))
}

/// The traces, of those, for which any filter of the first stage holds in this slab; all when it
/// has none that could tell.
fn possible_parts(
    spansets: &Spansets<'_, '_>,
    pipeline: &Pipeline,
    shared: &Mask,
) -> Result<Mask, Damaged> {
    let mut filters = Vec::new();
    let decided = match pipeline.stages.first() {
        Some(Stage::Spansets(expr)) => collect(expr, &mut filters),
        _ => false,
    };
    let trace_wide = |expr: &&FieldExpr| {
        let mut wide = false;
        expr.visit(&mut |field| wide |= super::needs_trace(field));
        wide
    };
    if !decided || filters.iter().any(trace_wide) {
        return Ok(shared.clone());
    }
    let mut out = Mask::none(shared.len());
    for filter in filters {
        out.or(&spansets.hold(filter, shared)?);
    }
    Ok(out)
}

/// The filters of an expression; false when a trace may have results without any of them.
fn collect<'q>(expr: &'q SpansetExpr, filters: &mut Vec<&'q FieldExpr>) -> bool {
    match expr {
        SpansetExpr::Filter(filter) => {
            filters.push(filter);
            true
        }
        SpansetExpr::And(list) => {
            // One part that decides is enough; the others may be conditions that are not met.
            let mut decided = false;
            list.iter().for_each(|expr| decided |= collect(expr, filters));
            decided
        }
        SpansetExpr::Or(list) => {
            let mut decided = true;
            list.iter().for_each(|expr| decided &= collect(expr, filters));
            decided
        }
        SpansetExpr::Structural { left, right, .. } => {
            let decided = collect(right, filters);
            collect(left, filters);
            decided
        }
        SpansetExpr::Not(_) => false,
        SpansetExpr::Pipeline(pipeline) => match pipeline.stages.first() {
            Some(Stage::Spansets(expr)) => collect(expr, filters),
            _ => false,
        },
    }
}

/// The result for a trace that lies in several pieces.
fn together(
    view: &mut View,
    request: &FindRequest,
    id: TraceId,
) -> Result<Option<FoundTrace>, Stop> {
    let Some(whole) = whole_trace(view, id) else { return Ok(None) };
    let slab = Slab::new(&whole, 0..whole.span_count())?;
    let trace = slab.traces.start;
    let fits = request.trace_fits(slab.table.start[trace], slab.table.end[trace]);
    if !fits {
        return Ok(None);
    }
    let sets = Spansets::new(&slab).run(&request.pipeline, trace)?;
    if sets.is_empty() { Ok(None) } else { Ok(Some(result(&slab, request, trace, sets)?)) }
}

/// A trace from all pieces as a piece of its own.
pub(super) fn whole_trace(view: &mut View, id: TraceId) -> Option<MemoryPiece> {
    let spans = trace::read(view, id).spans?;
    let mut chunk = ChunkBuilder::default();
    chunk.append(&spans, 0, &mut ScopePool::default());
    Some(chunk.freeze(format!("trace {id}")))
}

/// A trace's spansets as they are told.
fn result(
    slab: &Slab<'_>,
    request: &FindRequest,
    trace: usize,
    sets: Vec<Spanset>,
) -> Result<FoundTrace, Damaged> {
    let mut fields: Vec<&Field> = Vec::new();
    let shown = shown_fields(&request.pipeline);
    for field in &shown {
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    let ids = slab.required(name::SPAN_ID)?;
    let names = slab.required(name::NAME)?;
    let durations = slab.required(name::DURATION)?;
    let mut told = Vec::with_capacity(sets.len());
    for set in sets {
        let matched = set.rows.len() as u64;
        // The earliest spans: rows are in the order of their starts.
        let rows = &set.rows[..set.rows.len().min(request.spans_per_spanset)];
        let mut spans: Vec<FoundSpan> = Vec::with_capacity(rows.len());
        for &row in rows {
            let at = row as usize;
            spans.push(FoundSpan {
                span_id: SpanId::from_number(ids.id8_at(at)),
                name: names.text_at(at).to_owned(),
                start_unix_nano: slab.start(at)?,
                duration_nano: durations.int64_at(at).max(0) as u64,
                fields: Vec::new(),
            });
        }
        for &field in &fields {
            let values = field_values(slab, field, Domain::Spans, rows)?;
            for (span, value) in spans.iter_mut().zip(values) {
                let values = match value {
                    Val::One(Static::Nil) | Val::Other => continue,
                    Val::One(value) => vec![value],
                    Val::List(list) => list,
                };
                span.fields.push((field.clone(), values));
            }
        }
        told.push(FoundSpanset { matched, attributes: set.attributes, spans });
    }
    Ok(FoundTrace { summary: slab.table.summary(trace), spansets: told })
}

/// The fields that results show: those that the query names.
fn shown_fields(pipeline: &Pipeline) -> Vec<Field> {
    let mut fields = Vec::new();
    pipeline.visit(&mut |field| fields.push(field.clone()));
    fields
}
