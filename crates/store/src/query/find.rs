//! Searches: the newest traces for which a pipeline leaves spans.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use model::{SpanId, TraceId};
use traceql::{Field, Pipeline, Static};

use super::filter::Domain;
use super::mask::Mask;
use super::seam::{Seam, SharedTraces, traces_together};
use super::slab::Slab;
use super::spansets::{Spanset, Spansets, refusal};
use super::value::Val;
use super::values::field_values;
use super::{Cancel, Stop, in_parallel, is_local, slabs};
use crate::columns::name;
use crate::piece::{Damaged, Piece};
use crate::search::View;
use crate::types::{
    FindRequest, FoundPage, FoundSpan, FoundSpanset, FoundTrace, Position, QueryStats,
};

/// Slabs that are looked at between two looks at whether it is enough.
const WAVE: usize = 4;

/// Rows of a piece that are read together.
type Slabs = (Arc<dyn Piece>, Range<usize>);

/// Newest first, then by id.
type Rank = (Reverse<u64>, u128);

fn rank(start: u64, id: u128) -> Rank {
    (Reverse(start), id)
}

/// A trace with results, and where it lies. What is told of it is read when it is among the newest.
struct Hit {
    rank: Rank,
    piece: Arc<dyn Piece>,
    /// Its rows in the piece.
    rows: Range<usize>,
    /// Rows counted from its first.
    spansets: Vec<Spanset>,
}

/// What a slab has to say.
enum Answer {
    Hit(Hit),
    /// A trace that has spans elsewhere, too, and has not been judged.
    Shared(u128),
}

/// Answers a search. Nothing in it depends on how the spans lie in the store.
pub(crate) fn find(
    view: &mut View,
    request: &FindRequest,
    cancel: &Cancel,
    mut progress: Option<&mut dyn FnMut(FoundPage)>,
) -> Result<FoundPage, Stop> {
    if let Some(refusal) = refusal(&request.pipeline) {
        return Err(refusal);
    }
    let mut stats = QueryStats::default();
    let wanted = request.limit.saturating_add(1);
    let after = request
        .after
        .map(|Position { start_unix_nano, trace_id }| rank(start_unix_nano, trace_id.to_number()));
    let latest = |piece: &Arc<dyn Piece>| piece.start_ranges().latest().unwrap_or(0);
    let local = is_local(&request.pipeline);
    let seam = if local { Seam::default() } else { Seam::of(view, cancel)? };
    let mut pieces = view.pieces.clone();
    pieces.extend(seam.pieces.iter().cloned());
    stats.pieces = pieces.len() as u64;

    let (inside, outside): (Vec<_>, Vec<_>) = pieces
        .into_iter()
        .filter_map(|piece| Some((view.note(piece_in_range(piece.as_ref(), request))?, piece)))
        .partition(|(is_inside, _)| *is_inside);
    // Traces may reach into the range of time by their parts in other pieces; the seam has them
    // whole.
    let reaching = match local && !outside.is_empty() {
        true => reaching(view, request, cancel)?,
        false => Vec::new(),
    };
    let mut work: Vec<Slabs> = Vec::new();
    for (is_inside, piece) in inside.into_iter().chain(outside) {
        let rows = match is_inside {
            true => slabs(piece.as_ref()),
            false => slabs_of(piece.as_ref(), &reaching),
        };
        let rows = view.note(rows).unwrap_or_default();
        stats.pieces_skipped += u64::from(rows.is_empty());
        work.extend(rows.into_iter().map(|rows| (piece.clone(), rows)));
    }
    work.sort_by_key(|(piece, _)| Reverse(latest(piece)));

    let mut best: BTreeMap<Rank, Hit> = BTreeMap::new();
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
        let wave: Vec<&Slabs> =
            work[at..].iter().take(WAVE).filter(|(piece, _)| !behind(piece)).collect();
        at += WAVE;
        let answers = in_parallel(&wave, |(piece, rows)| {
            let shared = seam.apart(piece.as_ref());
            let apart = |id: u128| match local {
                true => is_elsewhere(&view.pieces, piece.as_ref(), id),
                false => shared.binary_search(&id).is_ok(),
            };
            look(piece, rows.clone(), request, local, &apart, bound, after)
        });
        for answer in answers {
            let (answers, more) = match answer {
                Ok(answer) => answer,
                Err(Stop::Damaged(damaged)) => {
                    view.note::<()>(Err(damaged));
                    continue;
                }
                Err(stop) => return Err(stop),
            };
            stats.add(&more);
            for answer in answers {
                let hit = match answer {
                    Answer::Hit(hit) => hit,
                    Answer::Shared(id) if !seen.insert(id) => continue,
                    Answer::Shared(id) => {
                        cancel.check()?;
                        // Putting it together reads all of its spans; where it ranks is known.
                        let last = best.last_key_value().map(|(last, _)| *last);
                        let last = last.filter(|_| best.len() >= wanted);
                        let (start, _) = times(view, id);
                        if start > 0 && last.is_some_and(|last| rank(start, id) > last) {
                            continue;
                        }
                        match together(view, request, id)? {
                            Some(hit) => hit,
                            None => continue,
                        }
                    }
                };
                if after.is_none_or(|after| hit.rank > after) {
                    best.insert(hit.rank, hit);
                    if best.len() > wanted {
                        best.pop_last();
                    }
                }
            }
        }
        if let Some(progress) = progress.as_mut().filter(|_| at < work.len()) {
            let traces = told(view, request, best.values());
            progress(FoundPage { traces, more: true, partial: view.is_partial(), stats });
        }
    }
    let more = best.len() > request.limit;
    let traces = told(view, request, best.values());
    Ok(FoundPage { traces, more, partial: view.is_partial(), stats })
}

/// What is told of the newest hits.
fn told<'h>(
    view: &mut View,
    request: &FindRequest,
    hits: impl Iterator<Item = &'h Hit>,
) -> Vec<FoundTrace> {
    let fields = shown_fields(&request.pipeline);
    let told = hits.take(request.limit).map(|hit| view.note(result(hit, request, &fields)));
    told.flatten().collect()
}

/// Whether a trace with a span in the piece may touch the range of time.
fn piece_in_range(piece: &dyn Piece, request: &FindRequest) -> Result<bool, Damaged> {
    let (first, last) = request.bounds();
    let ranges = piece.start_ranges();
    Ok(ranges.overlap(0, last)
        && (ranges.overlap(first, u64::MAX) || piece.traces()?.end.iter().any(|&end| end >= first)))
}

/// The traces in several pieces that touch the range of time, by whichever part; ascending.
fn reaching(view: &mut View, request: &FindRequest, cancel: &Cancel) -> Result<Vec<u128>, Stop> {
    let mut ids = SharedTraces::of(view, cancel)?.ids();
    ids.retain(|&id| {
        let (start, end) = times(view, id);
        request.trace_fits(start, end)
    });
    Ok(ids)
}

/// When a trace starts, 0 if that is unknown, and when it ends, by all of its parts.
fn times(view: &View, id: u128) -> (u64, u64) {
    let id = TraceId::from_number(id);
    let (mut start, mut end) = (0, 0);
    for piece in view.pieces.iter().filter(|piece| piece.may_hold(id)) {
        let Ok(table) = piece.traces() else { continue };
        if let Some(at) = table.find(id) {
            start = earliest(start, table.start[at]);
            end = end.max(table.end[at]);
        }
    }
    (start, end)
}

/// The earlier of two starts, of which 0 is none.
fn earliest(a: u64, b: u64) -> u64 {
    if a == 0 || b == 0 { a.max(b) } else { a.min(b) }
}

/// The slabs of a piece that hold any of these traces.
fn slabs_of(piece: &dyn Piece, traces: &[u128]) -> Result<Vec<Range<usize>>, Damaged> {
    if !traces.iter().any(|&id| piece.may_hold(TraceId::from_number(id))) {
        return Ok(Vec::new());
    }
    let table = piece.traces()?;
    let mut slabs = slabs(piece)?;
    slabs.retain(|rows| {
        let place = |row: usize| table.first_row.partition_point(|&first| (first as usize) < row);
        let ids = &table.ids[place(rows.start)..place(rows.end)];
        ids.iter().any(|id| traces.binary_search(id).is_ok())
    });
    Ok(slabs)
}

fn is_elsewhere(pieces: &[Arc<dyn Piece>], piece: &dyn Piece, id: u128) -> bool {
    let id = TraceId::from_number(id);
    pieces.iter().any(|other| {
        other.id() != piece.id()
            && other.may_hold(id)
            && other.traces().is_ok_and(|table| table.find(id).is_some())
    })
}

/// The newest results of a slab, and the traces that have to be put together first. `apart` are
/// traces that are not judged by what is here.
fn look(
    piece: &Arc<dyn Piece>,
    rows: Range<usize>,
    request: &FindRequest,
    local: bool,
    apart: &dyn Fn(u128) -> bool,
    bound: Option<Rank>,
    after: Option<Rank>,
) -> Result<(Vec<Answer>, QueryStats), Stop> {
    let slab = Slab::new(piece.as_ref(), rows)?;
    let spansets = Spansets::new(&slab);
    let table = slab.table.clone();
    let first = slab.traces.start;
    let mut alive = Mask::none(slab.traces.len());
    for trace in slab.traces.clone() {
        // Of a trace that is not here alone neither the times nor the rest are known.
        let fits = || request.trace_fits(table.start[trace], table.end[trace]);
        if local || (fits() && !apart(table.ids[trace])) {
            alive.set(trace - first);
        }
    }
    let candidates = spansets.candidates(&request.pipeline, &alive)?;
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
    let mut answers = Vec::new();
    let mut found = 0;
    for (known, rank, trace) in order {
        let behind = known && bound.is_some_and(|bound| rank > bound);
        if found >= wanted || behind {
            break;
        }
        let id = table.ids[trace];
        if local && apart(id) {
            answers.push(Answer::Shared(id));
            continue;
        }
        if !request.trace_fits(table.start[trace], table.end[trace])
            || after.is_some_and(|after| rank <= after)
        {
            continue;
        }
        let spansets = spansets.run(&request.pipeline, trace)?;
        if !spansets.is_empty() {
            let offset = slab.trace_rows(trace).start as u32;
            answers.push(Answer::Hit(hit(piece, rank, table.rows(trace), spansets, offset)));
            found += 1;
        }
    }
    Ok((answers, stats))
}

fn hit(
    piece: &Arc<dyn Piece>,
    rank: Rank,
    rows: Range<usize>,
    mut spansets: Vec<Spanset>,
    offset: u32,
) -> Hit {
    for row in spansets.iter_mut().flat_map(|set| &mut set.rows) {
        *row -= offset;
    }
    Hit { rank, piece: piece.clone(), rows, spansets }
}

/// The result for a trace that lies in several pieces.
fn together(view: &mut View, request: &FindRequest, id: u128) -> Result<Option<Hit>, Stop> {
    let Some(whole) = traces_together(view, &[id]) else { return Ok(None) };
    let piece: Arc<dyn Piece> = Arc::new(whole);
    let slab = Slab::new(piece.as_ref(), 0..piece.span_count())?;
    let (start, end) = (slab.table.start[0], slab.table.end[0]);
    if !request.trace_fits(start, end) {
        return Ok(None);
    }
    let spansets = Spansets::new(&slab).run(&request.pipeline, 0)?;
    let hit = || hit(&piece, rank(start, id), 0..piece.span_count(), spansets.clone(), 0);
    Ok((!spansets.is_empty()).then(hit))
}

/// What is told of a trace.
fn result(hit: &Hit, request: &FindRequest, fields: &[Field]) -> Result<FoundTrace, Damaged> {
    let slab = Slab::new(hit.piece.as_ref(), hit.rows.clone())?;
    let ids = slab.required(name::SPAN_ID)?;
    let names = slab.required(name::NAME)?;
    let durations = slab.required(name::DURATION)?;
    let mut told = Vec::with_capacity(hit.spansets.len());
    for set in &hit.spansets {
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
        for field in fields {
            let values = field_values(&slab, field, Domain::Spans, rows)?;
            for (span, value) in spans.iter_mut().zip(values) {
                let values = match value {
                    Val::One(Static::Nil) | Val::Other => continue,
                    Val::One(value) => vec![value],
                    Val::List(list) => list,
                };
                span.fields.push((field.clone(), values));
            }
        }
        let attributes = set.attributes.clone();
        told.push(FoundSpanset { matched: set.rows.len() as u64, attributes, spans });
    }
    Ok(FoundTrace { summary: slab.table.summary(slab.traces.start), spansets: told })
}

/// The fields that results show: those that the query names.
fn shown_fields(pipeline: &Pipeline) -> Vec<Field> {
    let mut fields = Vec::new();
    pipeline.visit(&mut |field| {
        if !fields.contains(field) {
            fields.push(field.clone());
        }
    });
    fields
}
