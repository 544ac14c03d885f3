//! Searches: the newest traces for which a pipeline leaves spans.
//!
//! Pieces are opened newest first, and no further than results need. Traces in several pieces come
//! last, when it is known which of them can still be among the newest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use model::{SpanId, TraceId};
use traceql::{Field, Pipeline, Static};

use super::budget::{Budget, Share};
use super::filter::Domain;
use super::groups::value_bytes;
use super::mask::Mask;
use super::probe::Probe;
use super::prune::{Unread, Verdict};
use super::seam::{Seam, SharedTraces, Times, narrow, traces_together};
use super::slab::Slab;
use super::spansets::{Spanset, Spansets, refusal};
use super::telling::{TOLD_BYTES_MAX, Teller};
use super::value::Val;
use super::values::field_values;
use super::{Cancel, Stop, in_parallel, is_local, slabs};
use crate::columns::{Table, name};
use crate::piece::{Damaged, Piece};
use crate::search::View;
use crate::types::{
    FindRequest, FoundPage, FoundSpan, FoundSpanset, FoundTrace, Position, Progress, QueryStats,
    QueryStep,
};

/// What a search may hold in memory of its results: those that it has found, and its answer.
const RESULT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Slabs that are looked at between two looks at whether it is enough.
const WAVE: usize = 4;

/// Pieces that are opened at once.
const OPENED: usize = 4;

/// Traces of several pieces that are put together between two looks at whether it is enough: few
/// at first, as the newest are mostly enough.
const JOINED: Range<usize> = 32..2048;

/// So many traces of several pieces are first asked whether they have what filters look for.
const NARROWED_MIN: usize = 64;

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
    /// The piece was put together for queries; it is not the store's.
    is_joined: bool,
}

impl Hit {
    /// What it takes in memory beside its piece, about.
    fn bytes(&self) -> usize {
        let set = |set: &Spanset| {
            let named = |(name, value): &(String, Static)| name.len() + value_bytes(value);
            let attributes: usize = set.attributes.iter().map(named).sum();
            size_of::<Spanset>() + size_of_val(&*set.rows) + attributes
        };
        size_of::<(Rank, Self)>() + self.spansets.iter().map(set).sum::<usize>()
    }
}

/// What a slab has to say.
enum Answer {
    Hit(Hit),
    /// A trace that has spans elsewhere, too, and has not been judged.
    Shared(u128),
}

/// The newest hits so far.
struct Best {
    hits: BTreeMap<Rank, Hit>,
    wanted: usize,
    after: Option<Rank>,
    /// Pieces that were put together, by where they are: how many hits lie in each, and its bytes.
    joined: HashMap<*const (), (usize, usize)>,
    share: Share,
}

impl Best {
    fn add(&mut self, hit: Hit) -> Result<(), Stop> {
        if self.after.is_some_and(|after| hit.rank <= after) {
            return Ok(());
        }
        let mut bytes = self.share.bytes() + hit.bytes() + self.holds(&hit);
        let same = self.hits.insert(hit.rank, hit);
        let last = match self.hits.len() > self.wanted {
            true => self.hits.pop_last().map(|(_, hit)| hit),
            false => None,
        };
        for gone in same.into_iter().chain(last) {
            bytes = bytes.saturating_sub(gone.bytes() + self.releases(&gone));
        }
        match self.share.set(bytes) {
            true => Ok(()),
            false => Err(too_much()),
        }
    }

    /// The bytes of a hit's piece, if it is the first to keep it in memory.
    fn holds(&mut self, hit: &Hit) -> usize {
        let Some(memory) = hit.piece.memory().filter(|_| hit.is_joined) else { return 0 };
        let entry = self.joined.entry(Arc::as_ptr(&hit.piece).cast()).or_default();
        entry.0 += 1;
        if entry.0 > 1 {
            return 0;
        }
        entry.1 = memory.bytes();
        entry.1
    }

    /// The bytes of a hit's piece, if it was the last to keep it in memory.
    fn releases(&mut self, hit: &Hit) -> usize {
        let place = Arc::as_ptr(&hit.piece).cast();
        let Some((hits, bytes)) = self.joined.get_mut(&place) else { return 0 };
        *hits -= 1;
        let (is_last, bytes) = (*hits == 0, *bytes);
        if !is_last {
            return 0;
        }
        self.joined.remove(&place);
        bytes
    }

    /// What ranks behind this is not wanted.
    fn bound(&self) -> Option<Rank> {
        let last = self.hits.last_key_value().map(|(rank, _)| *rank);
        last.filter(|_| self.hits.len() >= self.wanted)
    }
}

fn too_much() -> Stop {
    Stop::Refused(format!(
        "the results of the search take more than {} MiB: ask for fewer traces (limit), or for \
         fewer spans of each (spss in Tempo's API, spans in Spanfall's); a cursor gives the next \
         page",
        RESULT_BYTES_MAX >> 20
    ))
}

fn latest(piece: &Arc<dyn Piece>) -> u64 {
    piece.start_ranges().latest().unwrap_or(0)
}

/// Whether all of a piece ranks behind.
fn is_behind(piece: &Arc<dyn Piece>, bound: Option<Rank>) -> bool {
    bound.is_some_and(|(Reverse(start), _)| latest(piece) < start)
        && !piece.start_ranges().overlap(0, 0)
}

/// Answers a search. Nothing in it depends on how the spans lie in the store.
pub(crate) fn find(
    view: &mut View,
    request: &FindRequest,
    cancel: &Cancel,
    teller: Option<&Teller<FoundPage>>,
) -> Result<FoundPage, Stop> {
    find_within(view, request, cancel, teller, &Budget::of(RESULT_BYTES_MAX))
}

fn find_within(
    view: &mut View,
    request: &FindRequest,
    cancel: &Cancel,
    teller: Option<&Teller<FoundPage>>,
    budget: &Arc<Budget>,
) -> Result<FoundPage, Stop> {
    if let Some(refusal) = refusal(&request.pipeline) {
        return Err(refusal);
    }
    let probe = view.probe.clone();
    let after = request
        .after
        .map(|Position { start_unix_nano, trace_id }| rank(start_unix_nano, trace_id.to_number()));
    let mut best = Best {
        hits: BTreeMap::new(),
        wanted: request.limit.saturating_add(1),
        after,
        joined: HashMap::new(),
        share: budget.share(),
    };
    let mut stats = QueryStats::default();
    let local = is_local(&request.pipeline);
    // Of a query that judges spans by themselves a trace in several pieces is looked for when one of
    // its parts has a result; of others all of them are left for the end.
    let shared = match local {
        true => None,
        false => Some(probe.step(QueryStep::Seams, || SharedTraces::of(view, cancel))?),
    };
    let of_blocks = match local {
        true => probe.step(QueryStep::Seams, || SharedTraces::of_blocks(view, cancel))?,
        false => Arc::default(),
    };
    let mut queue = probe.step(QueryStep::Plan, || Queue::of(view, request, local, cancel))?;
    stats.pieces = view.pieces.len() as u64;
    stats.pieces_skipped = stats.pieces.saturating_sub(queue.unopened.len() as u64);
    let pieces = view.pieces.clone();
    let spans_all = queue.spans();

    let mut seen: HashSet<u128> = HashSet::new();
    loop {
        view.pause();
        cancel.check()?;
        let bound = best.bound();
        let wave = queue.wave(view, request, bound, &mut stats);
        if wave.is_empty() {
            match queue.is_empty() {
                true => break,
                false => continue,
            }
        }
        let answers = in_parallel(&wave, |(piece, rows)| {
            let apart = |id: u128| match &shared {
                None => is_elsewhere(&pieces, &of_blocks, piece.as_ref(), id),
                Some(shared) => shared.all.binary_search(&id).is_ok(),
            };
            look(piece, rows.clone(), request, local, &apart, bound, after, &probe)
        });
        for answer in answers {
            for answer in noted(view, answer, &mut stats)? {
                let hit = match answer {
                    Answer::Hit(hit) => Some(hit),
                    Answer::Shared(id) if !seen.insert(id) => None,
                    Answer::Shared(id) => {
                        cancel.check()?;
                        // Putting it together reads all of its spans; where it ranks is known.
                        let (start, _) = super::seam::times(view, id);
                        let bound = best.bound();
                        if start > 0 && bound.is_some_and(|last| rank(start, id) > last) {
                            continue;
                        }
                        stats.traces_joined += 1;
                        probe.step(QueryStep::Seams, || together(view, request, id))?
                    }
                };
                hit.map_or(Ok(()), |hit| best.add(hit))?;
            }
        }
        if let Some(teller) = teller.filter(|teller| !queue.is_empty() && teller.is_due()) {
            let spans_done = spans_all.saturating_sub(queue.spans());
            let so_far = page_so_far(view, request, &best, &stats, cancel)?;
            teller.tell(Progress { so_far, spans_done, spans_all });
        }
    }
    if let Some(shared) = &shared {
        // Those without a start rank behind all others.
        let since = best.bound().map_or(0, |(Reverse(start), _)| start);
        let times = probe.step(QueryStep::Seams, || shared.times(view, since));
        let mut tell = |view: &mut View, best: &Best, stats: &QueryStats| {
            if let Some(teller) = teller.filter(|teller| teller.is_due()) {
                let so_far = page_so_far(view, request, best, stats, cancel)?;
                teller.tell(Progress { so_far, spans_done: spans_all, spans_all });
            }
            Ok(())
        };
        find_shared(view, request, shared, times, &mut best, &mut stats, cancel, &mut tell)?;
    }
    cancel.check()?;
    let more = best.hits.len() > request.limit;
    let traces = told(view, request, best.hits.values(), budget.share(), cancel)?;
    probe.tell(&mut stats);
    Ok(FoundPage { traces, more, partial: view.is_partial(), stats })
}

/// What a slab answered, added to what the query took; nothing of a damaged block.
fn noted(
    view: &mut View,
    answer: Result<(Vec<Answer>, QueryStats), Stop>,
    stats: &mut QueryStats,
) -> Result<Vec<Answer>, Stop> {
    match answer {
        Ok((answers, more)) => {
            stats.add(&more);
            Ok(answers)
        }
        Err(Stop::Damaged(damaged)) => {
            view.note::<()>(Err(damaged));
            Ok(Vec::new())
        }
        Err(stop) => Err(stop),
    }
}

/// The page as it is now; without traces where they are too many to be told again and again.
fn page_so_far(
    view: &mut View,
    request: &FindRequest,
    best: &Best,
    stats: &QueryStats,
    cancel: &Cancel,
) -> Result<FoundPage, Stop> {
    let share = Budget::of(TOLD_BYTES_MAX).share();
    let traces = match told(view, request, best.hits.values(), share, cancel) {
        Err(Stop::Cancelled) => return Err(Stop::Cancelled),
        told => told.unwrap_or_default(),
    };
    Ok(FoundPage { traces, more: true, partial: view.is_partial(), stats: stats.clone() })
}

/// Judges the traces that lie in several pieces, newest first, as long as they can be among the
/// newest results.
#[allow(clippy::too_many_arguments)]
fn find_shared(
    view: &mut View,
    request: &FindRequest,
    shared: &SharedTraces,
    times: Vec<(u128, Times)>,
    best: &mut Best,
    stats: &mut QueryStats,
    cancel: &Cancel,
    tell: &mut dyn FnMut(&mut View, &Best, &QueryStats) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let probe = view.probe.clone();
    let after = best.after;
    let fits = |&(id, (start, end)): &(u128, Times)| {
        request.trace_fits(start, end) && after.is_none_or(|after| rank(start, id) > after)
    };
    let mut order: Vec<Rank> =
        times.iter().filter(|trace| fits(trace)).map(|&(id, (start, _))| rank(start, id)).collect();
    order.sort_unstable();
    let cut = |order: &mut Vec<Rank>, bound: Option<Rank>| {
        order.truncate(bound.map_or(order.len(), |last| order.partition_point(|of| *of <= last)));
    };
    cut(&mut order, best.bound());
    if order.len() > NARROWED_MIN {
        let mut ids: Vec<u128> = order.iter().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        let pipeline = &request.pipeline;
        let few = probe.step(QueryStep::Seams, || narrow(view, pipeline, &ids, cancel))?;
        order.retain(|(_, id)| few.binary_search(id).is_ok());
    }
    let (mut at, mut size) = (0, JOINED.start);
    while at < order.len() {
        view.pause();
        cancel.check()?;
        let some = &order[at..order.len().min(at + size)];
        at += some.len();
        size = (size * 2).min(JOINED.end);
        let mut ids: Vec<u128> = some.iter().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        stats.traces_joined += ids.len() as u64;
        let seam = probe.step(QueryStep::Seams, || Seam::of_some(view, shared, &ids, cancel))?;
        stats.pieces += seam.pieces.len() as u64;
        let bound = best.bound();
        let answers = in_parallel(&seam.pieces, |piece| {
            let later = seam.apart(piece.as_ref());
            let apart = |id: u128| later.binary_search(&id).is_ok();
            let rows = 0..piece.span_count();
            look(piece, rows, request, false, &apart, bound, after, &probe)
        });
        for answer in answers {
            for answer in noted(view, answer, stats)? {
                if let Answer::Hit(hit) = answer {
                    best.add(Hit { is_joined: true, ..hit })?;
                }
            }
        }
        cut(&mut order, best.bound());
        tell(view, best, stats)?;
    }
    Ok(())
}

/// What is still to be looked at, newest pieces first.
struct Queue {
    /// Pieces, and whether they may touch the range of time themselves.
    unopened: VecDeque<(Arc<dyn Piece>, bool)>,
    opened: VecDeque<Slabs>,
    /// Traces that touch the range of time by a part in another piece, ascending.
    reaching: Vec<u128>,
}

/// Slabs of a piece, and what was left out of it.
struct Opened {
    slabs: Vec<Slabs>,
    stats: QueryStats,
}

impl Queue {
    fn of(
        view: &mut View,
        request: &FindRequest,
        local: bool,
        cancel: &Cancel,
    ) -> Result<Self, Stop> {
        let mut unopened: Vec<(Arc<dyn Piece>, bool)> = Vec::new();
        let mut is_any_outside = false;
        for piece in view.pieces.clone() {
            let Some(is_inside) = view.note(piece_in_range(piece.as_ref(), request)) else {
                continue;
            };
            is_any_outside |= !is_inside;
            if is_inside || local {
                unopened.push((piece, is_inside));
            }
        }
        // Traces may reach into the range of time by their parts in other pieces. Of queries that
        // judge traces whole those come last.
        let reaching = match local && is_any_outside {
            true => reaching(view, request, cancel)?,
            false => Vec::new(),
        };
        unopened.retain(|(piece, is_inside)| {
            *is_inside || reaching.iter().any(|&id| piece.may_hold(TraceId::from_number(id)))
        });
        unopened.sort_by_key(|(piece, _)| Reverse(latest(piece)));
        Ok(Self { unopened: unopened.into(), opened: VecDeque::new(), reaching })
    }

    fn is_empty(&self) -> bool {
        self.unopened.is_empty() && self.opened.is_empty()
    }

    /// Spans that have not been looked at.
    fn spans(&self) -> u64 {
        let unopened = self.unopened.iter().map(|(piece, _)| piece.span_count());
        let opened = self.opened.iter().map(|(_, rows)| rows.len());
        unopened.chain(opened).map(|spans| spans as u64).sum()
    }

    /// The next slabs; none at the end, or where the pieces that were opened have none.
    fn wave(
        &mut self,
        view: &mut View,
        request: &FindRequest,
        bound: Option<Rank>,
        stats: &mut QueryStats,
    ) -> Vec<Slabs> {
        self.opened.retain(|(piece, _)| !is_behind(piece, bound));
        let before = self.unopened.len();
        self.unopened.retain(|(piece, _)| !is_behind(piece, bound));
        stats.pieces_behind += (before - self.unopened.len()) as u64;
        let probe = view.probe.clone();
        if self.opened.len() < WAVE && !self.unopened.is_empty() {
            let next: Vec<_> = self.unopened.drain(..self.unopened.len().min(OPENED)).collect();
            let opened = in_parallel(&next, |(piece, is_inside)| {
                probe.step(QueryStep::Prune, || self.open(piece, *is_inside, &request.pipeline))
            });
            for opened in opened {
                if let Some(Opened { slabs, stats: more }) = view.note(opened) {
                    self.opened.extend(slabs);
                    stats.add(&more);
                }
            }
        }
        self.opened.drain(..self.opened.len().min(WAVE)).collect()
    }

    fn open(
        &self,
        piece: &Arc<dyn Piece>,
        is_inside: bool,
        pipeline: &Pipeline,
    ) -> Result<Opened, Damaged> {
        let mut stats = QueryStats::default();
        let slabs =
            possible_slabs(piece.as_ref(), pipeline, &mut stats, |piece| match is_inside {
                true => slabs(piece),
                false => slabs_of(piece, &self.reaching),
            })?;
        let slabs = slabs.into_iter().map(|rows| (piece.clone(), rows)).collect();
        Ok(Opened { slabs, stats })
    }
}

/// The slabs of a piece that may have spans of which a pipeline leaves some, the others counted.
pub(super) fn possible_slabs(
    piece: &dyn Piece,
    pipeline: &Pipeline,
    stats: &mut QueryStats,
    slabs: impl FnOnce(&dyn Piece) -> Result<Vec<Range<usize>>, Damaged>,
) -> Result<Vec<Range<usize>>, Damaged> {
    let mut is_possible = |rows: Range<usize>, groups: usize| {
        let verdict = Unread { piece, rows }.pipeline(pipeline)?;
        match verdict {
            Verdict::Possible => {}
            Verdict::NotByStatistics => stats.slabs_skipped_by_statistics += groups as u64,
            Verdict::NotByFilters => stats.slabs_skipped_by_filters += groups as u64,
        }
        Ok::<_, Damaged>(verdict == Verdict::Possible)
    };
    // Of all at once first: then the index of traces, which tells where slabs end, is not read.
    if !is_possible(0..piece.span_count(), piece.groups(Table::Spans)?.len())? {
        return Ok(Vec::new());
    }
    let slabs = slabs(piece)?;
    if slabs.len() < 2 {
        return Ok(slabs);
    }
    let mut possible = Vec::with_capacity(slabs.len());
    for rows in slabs {
        if is_possible(rows.clone(), 1)? {
            possible.push(rows);
        }
    }
    Ok(possible)
}

/// What is told of the newest hits, as far as a share of memory allows. Where they are many this
/// takes longer than finding them, so that it gives way, and ends with the query, between any two.
fn told<'h>(
    view: &mut View,
    request: &FindRequest,
    hits: impl Iterator<Item = &'h Hit>,
    mut share: Share,
    cancel: &Cancel,
) -> Result<Vec<FoundTrace>, Stop> {
    let fields = shown_fields(&request.pipeline);
    let probe = view.probe.clone();
    let mut told = Vec::new();
    for hit in hits.take(request.limit) {
        view.pause();
        cancel.check()?;
        let trace = probe.step(QueryStep::Answer, || result(hit, request, &fields, &probe));
        let Some(trace) = view.note(trace) else { continue };
        if !share.set(share.bytes() + told_bytes(&trace)) {
            return Err(too_much());
        }
        told.push(trace);
    }
    Ok(told)
}

/// What a result takes in memory, about.
fn told_bytes(trace: &FoundTrace) -> usize {
    let summary = &trace.summary;
    let services = summary.services.iter().map(|share| size_of_val(share) + share.name.len());
    let texts = summary.root_service.len() + summary.root_name.len();
    let named = |(name, value): &(String, Static)| name.len() + value_bytes(value);
    let field = |(field, values): &(Field, Vec<Static>)| {
        let name = match field {
            Field::Attribute(attribute) => attribute.name.len(),
            Field::Intrinsic(_) => 0,
        };
        size_of::<(Field, Vec<Static>)>() + name + values.iter().map(value_bytes).sum::<usize>()
    };
    let span = |span: &FoundSpan| {
        size_of_val(span) + span.name.len() + span.fields.iter().map(field).sum::<usize>()
    };
    let spanset = |set: &FoundSpanset| {
        let attributes: usize = set.attributes.iter().map(named).sum();
        size_of_val(set) + attributes + set.spans.iter().map(span).sum::<usize>()
    };
    let spansets: usize = trace.spansets.iter().map(spanset).sum();
    size_of_val(trace) + texts + services.sum::<usize>() + spansets
}

/// Whether a trace with a span in the piece may touch the range of time.
fn piece_in_range(piece: &dyn Piece, request: &FindRequest) -> Result<bool, Damaged> {
    let (first, last) = request.bounds();
    let ranges = piece.start_ranges();
    Ok(ranges.overlap(0, last) && (ranges.overlap(first, u64::MAX) || piece.latest_end()? >= first))
}

/// The traces in several pieces that touch the range of time, by whichever part; ascending.
fn reaching(view: &mut View, request: &FindRequest, cancel: &Cancel) -> Result<Vec<u128>, Stop> {
    let times = SharedTraces::of(view, cancel)?.times(view, 0);
    let fits = |(_, (start, end)): &(u128, Times)| request.trace_fits(*start, *end);
    Ok(times.into_iter().filter(fits).map(|(id, _)| id).collect())
}

/// The slabs of a piece that hold any of these traces.
fn slabs_of(piece: &dyn Piece, traces: &[u128]) -> Result<Vec<Range<usize>>, Damaged> {
    let table = piece.index()?;
    let mut slabs = slabs(piece)?;
    slabs.retain(|rows| {
        let place = |row: usize| table.first_row.partition_point(|&first| (first as usize) < row);
        let ids = &table.ids[place(rows.start)..place(rows.end)];
        ids.iter().any(|id| traces.binary_search(id).is_ok())
    });
    Ok(slabs)
}

/// Whether a trace of a piece has spans in another one. `of_blocks` are those of several blocks.
fn is_elsewhere(
    pieces: &[Arc<dyn Piece>],
    of_blocks: &[u128],
    piece: &dyn Piece,
    id: u128,
) -> bool {
    let is_block = |piece: &dyn Piece| piece.memory().is_none();
    if is_block(piece) && of_blocks.binary_search(&id).is_ok() {
        return true;
    }
    let id = TraceId::from_number(id);
    pieces.iter().any(|other| {
        other.id() != piece.id()
            && !(is_block(piece) && is_block(other.as_ref()))
            && other.may_hold(id)
            && other.index().is_ok_and(|index| index.find(id).is_some())
    })
}

/// The newest results of a slab, and the traces that have to be put together first. `apart` are
/// traces that are not judged by what is here.
#[allow(clippy::too_many_arguments)]
fn look(
    piece: &Arc<dyn Piece>,
    rows: Range<usize>,
    request: &FindRequest,
    local: bool,
    apart: &dyn Fn(u128) -> bool,
    bound: Option<Rank>,
    after: Option<Rank>,
    probe: &Probe,
) -> Result<(Vec<Answer>, QueryStats), Stop> {
    let slab = probe.step(QueryStep::Prune, || Slab::new(piece.as_ref(), rows, probe))?;
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
    let candidates =
        probe.step(QueryStep::Filter, || spansets.candidates(&request.pipeline, &alive))?;
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
    let judge = || {
        for (known, rank, trace) in order {
            let behind = known && bound.is_some_and(|bound| rank > bound);
            if found >= wanted || behind {
                break;
            }
            probe.cancel.check()?;
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
        Ok::<_, Stop>(())
    };
    probe.step(QueryStep::Judge, judge)?;
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
    Hit { rank, piece: piece.clone(), rows, spansets, is_joined: false }
}

/// The result for a trace that lies in several pieces.
fn together(view: &mut View, request: &FindRequest, id: u128) -> Result<Option<Hit>, Stop> {
    let Some(whole) = traces_together(view, &[id]) else { return Ok(None) };
    let piece: Arc<dyn Piece> = Arc::new(whole);
    let probe = view.probe.clone();
    let slab = Slab::new(piece.as_ref(), 0..piece.span_count(), &probe)?;
    let (start, end) = (slab.table.start[0], slab.table.end[0]);
    if !request.trace_fits(start, end) {
        return Ok(None);
    }
    let spansets = Spansets::new(&slab).run(&request.pipeline, 0)?;
    if spansets.is_empty() {
        return Ok(None);
    }
    let hit = hit(&piece, rank(start, id), 0..piece.span_count(), spansets, 0);
    Ok(Some(Hit { is_joined: true, ..hit }))
}

/// What is told of a trace.
fn result(
    hit: &Hit,
    request: &FindRequest,
    fields: &[Field],
    probe: &Probe,
) -> Result<FoundTrace, Damaged> {
    let slab = Slab::new(hit.piece.as_ref(), hit.rows.clone(), probe)?;
    let ids = slab.required(name::SPAN_ID)?;
    let names = slab.required(name::NAME)?;
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
                duration_nano: slab.duration(at)?,
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
    Ok(FoundTrace { summary: slab.facts()?.summary(slab.traces.start), spansets: told })
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

#[cfg(test)]
mod tests;
