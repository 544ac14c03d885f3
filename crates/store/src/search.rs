//! Searches over all pieces: traces newest first, and spans over time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use model::{TraceId, status_code};
use parking_lot::Mutex;

use crate::columns::{Table, name};
use crate::piece::{Damaged, Piece};
use crate::query::{KeptSeams, Probe};
use crate::scan::{Scan, duration, start, start_bounds};
use crate::trace;
use crate::types::{
    Position, SearchPage, SearchRequest, Series, SeriesBy, SeriesRequest, SeriesSet, SpanFilter,
    TraceSummary,
};

/// The pieces of the store at one moment, and those that turned out to be damaged.
pub(crate) struct View {
    pub(crate) pieces: Vec<Arc<dyn Piece>>,
    /// The name of the one that takes new spans: under this name it will not be seen again, unless
    /// nothing comes.
    pub(crate) open: Option<String>,
    pub(crate) damaged: Vec<Damaged>,
    /// Blocks or parts of the log were set aside before.
    pub(crate) lacks_blocks: bool,
    /// Traces that lie in several pieces, put together for the queries to come.
    pub(crate) seams: Arc<Mutex<KeptSeams>>,
    /// What the query takes that it is for.
    pub(crate) probe: Arc<Probe>,
    /// What a search does between two parts of its work: it may wait for others.
    pub(crate) pause: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl View {
    /// A view of one of its pieces alone.
    pub(crate) fn of_piece(&self, piece: &Arc<dyn Piece>) -> Self {
        Self {
            pieces: vec![piece.clone()],
            open: None,
            damaged: Vec::new(),
            lacks_blocks: false,
            seams: Arc::default(),
            probe: self.probe.clone(),
            pause: None,
        }
    }

    /// The same pieces, with notes of its own.
    pub(crate) fn beside(&self) -> Self {
        Self {
            pieces: self.pieces.clone(),
            open: self.open.clone(),
            damaged: Vec::new(),
            lacks_blocks: self.lacks_blocks,
            seams: self.seams.clone(),
            probe: self.probe.clone(),
            pause: self.pause.clone(),
        }
    }

    /// Notes what another view of the same pieces found damaged.
    pub(crate) fn take_notes(&mut self, other: &mut Self) {
        for damaged in other.damaged.drain(..) {
            self.note::<()>(Err(damaged));
        }
    }

    /// Lets others go first, if a search has had its time.
    pub(crate) fn pause(&self) {
        if let Some(pause) = &self.pause {
            pause();
        }
    }

    /// Whether a damaged block is left out, whoever noticed it first.
    pub(crate) fn is_partial(&self) -> bool {
        self.lacks_blocks || !self.damaged.is_empty()
    }

    /// The answer about a piece, or nothing and a note when it is damaged.
    pub(crate) fn note<T>(&mut self, answer: Result<T, Damaged>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(damaged) => {
                self.pieces.retain(|piece| piece.id() != damaged.block);
                self.damaged.push(damaged);
                None
            }
        }
    }

    /// The parts of a trace, from every piece that has some.
    fn parts(&mut self, id: TraceId) -> Vec<TraceSummary> {
        let mut parts = Vec::new();
        for piece in self.pieces.clone() {
            if !piece.may_hold(id) {
                continue;
            }
            // Few of the pieces whose filter says that they may have it really do.
            let part = piece.index().and_then(|index| match index.find(id) {
                Some(at) => Ok(Some(piece.traces()?.summary(at))),
                None => Ok(None),
            });
            parts.extend(self.note(part).flatten());
        }
        parts
    }

    /// A trace's row; `None` when no piece has it.
    pub(crate) fn summary(&mut self, id: TraceId) -> Option<TraceSummary> {
        let mut parts = self.parts(id);
        if parts.len() > 1 { trace::summary(self, id) } else { parts.pop() }
    }

    /// The true start of a trace of which one piece has a part that starts at `start`.
    fn start(&mut self, id: TraceId, part: &Arc<dyn Piece>, start: u64) -> u64 {
        let mut earliest = start;
        for piece in self.pieces.clone() {
            if piece.id() == part.id() || !piece.may_hold(id) {
                continue;
            }
            let other = piece.index().map(|index| index.find(id).map(|at| index.start[at]));
            if let Some(other) = self.note(other).flatten() {
                earliest = match (earliest, other) {
                    (0, other) => other,
                    (earliest, 0) => earliest,
                    (earliest, other) => earliest.min(other),
                };
            }
        }
        earliest
    }
}

/// The order of results: newest start first, then by id.
type Rank = (std::cmp::Reverse<u64>, u128);

fn rank(start: u64, id: TraceId) -> Rank {
    (std::cmp::Reverse(start), id.to_number())
}

/// Answers a search.
pub(crate) fn search(view: &mut View, request: &SearchRequest) -> SearchPage {
    let wanted = request.limit.saturating_add(1);
    let after =
        request.after.map(|Position { start_unix_nano, trace_id }| rank(start_unix_nano, trace_id));
    let mut pieces = view.pieces.clone();
    let latest = |piece: &Arc<dyn Piece>| piece.start_ranges().latest().unwrap_or(0);
    pieces.sort_by_key(|piece| std::cmp::Reverse(latest(piece)));

    let mut best: BTreeSet<Rank> = BTreeSet::new();
    let mut seen: HashSet<u128> = HashSet::new();
    for piece in &pieces {
        view.pause();
        let last = (best.len() >= wanted).then(|| best.last().copied()).flatten();
        let behind = last.is_some_and(|(std::cmp::Reverse(start), _)| latest(piece) < start);
        if behind && !view.note(has_unknown_starts(piece.as_ref())).unwrap_or_default() {
            continue;
        }
        let Some(mut matched) = view.note(matching_traces(piece.as_ref(), &request.filter)) else {
            continue;
        };
        // A part whose spans all start at 0 says nothing of where its trace ranks: it goes first.
        // Any other part may start later than the rest of its trace, never earlier.
        matched.sort_unstable_by_key(|&(start, id)| {
            (start > 0, rank(start, TraceId::from_number(id)))
        });
        for (start, id) in matched {
            let last = (best.len() >= wanted).then(|| best.last().copied()).flatten();
            let behind = last.is_some_and(|last| rank(start, TraceId::from_number(id)) > last);
            if behind && start > 0 {
                break;
            }
            if !seen.insert(id) {
                continue;
            }
            let id = TraceId::from_number(id);
            let place = rank(view.start(id, piece, start), id);
            if after.is_none_or(|after| place > after) {
                best.insert(place);
                if best.len() > wanted {
                    best.pop_last();
                }
            }
        }
    }
    let more = best.len() > request.limit;
    let traces = best
        .into_iter()
        .take(request.limit)
        .filter_map(|(_, id)| view.summary(TraceId::from_number(id)))
        .collect();
    SearchPage { traces, more, partial: view.is_partial() }
}

/// Whether some traces of a piece have spans with start 0 alone, which say nothing of where the
/// trace ranks.
fn has_unknown_starts(piece: &dyn Piece) -> Result<bool, Damaged> {
    Ok(piece.start_ranges().overlap(0, 0) && piece.index()?.start.contains(&0))
}

/// The traces of a piece of which a span matches: start of the part and id.
fn matching_traces(piece: &dyn Piece, filter: &SpanFilter) -> Result<Vec<(u64, u128)>, Damaged> {
    let (first, last) = start_bounds(filter);
    if !piece.start_ranges().overlap(first, last) {
        return Ok(Vec::new());
    }
    let by_span = filter.operation.is_some()
        || !filter.attributes.is_empty()
        || filter.status.is_some()
        || filter.duration_min_nano.is_some()
        || filter.duration_max_nano.is_some();
    let mut found = Vec::new();
    let mut decided: Vec<bool> = Vec::new();
    if !by_span {
        // The trace's own row decides, unless only some of its spans are in the range of time.
        let traces = piece.traces()?;
        decided.resize(traces.len(), false);
        let service = filter.service.as_deref();
        let number = service
            .map(|service| traces.texts.iter().map(|text| text == service).collect::<Vec<bool>>());
        // Starts of 0, which the trace's start passes over.
        let zeros = piece.start_ranges().overlap(0, 0);
        for (trace, decided) in decided.iter_mut().enumerate() {
            let has_service = number.as_ref().is_none_or(|fits| {
                traces.services_of(trace).any(|at| fits[traces.services[at] as usize])
            });
            let inside =
                traces.start[trace] >= first && traces.end[trace] <= last && !(zeros && first > 0);
            let outside = traces.start[trace] > last && !(zeros && first == 0);
            *decided = !has_service || inside || outside;
            if has_service && inside {
                found.push((traces.start[trace], traces.ids[trace]));
            }
        }
        if decided.iter().all(|decided| *decided) {
            return Ok(found);
        }
    }
    let Some(scan) = Scan::new(piece, filter)? else { return Ok(found) };
    for (group, rows) in scan.groups()? {
        if !by_span {
            let traces = scan.traces()?;
            let first = traces.trace_of_row(rows.start as u32);
            let last = traces.trace_of_row(rows.end.saturating_sub(1) as u32);
            if decided[first..=last].iter().all(|decided| *decided) {
                continue;
            }
        }
        // Where nothing is found the traces need not be known.
        let matched = scan.rows(group, rows)?;
        if matched.is_empty() {
            continue;
        }
        let traces = scan.traces()?;
        decided.resize(traces.len(), false);
        for row in matched {
            let trace = traces.trace_of_row(row);
            if !std::mem::replace(&mut decided[trace], true) {
                found.push((traces.start[trace], traces.ids[trace]));
            }
        }
    }
    Ok(found)
}

/// Counts spans over time.
pub(crate) fn series(view: &mut View, request: &SeriesRequest) -> SeriesSet {
    // `None` behind the end of time.
    let length = request.step_nano.checked_mul(request.steps as u64);
    let end = length.and_then(|length| request.start_unix_nano.checked_add(length));
    let filter = SpanFilter {
        start_min_unix_nano: Some(request.start_unix_nano),
        start_max_unix_nano: end,
        ..request.filter.clone()
    };
    let most = request.series_max.max(1).saturating_mul(4);
    let mut all = match count_series(view, request, &filter, &|_| true, most) {
        Some(all) => all,
        // So many names that only those with the most spans may take room.
        None => {
            let mut totals: HashMap<String, u64> = HashMap::new();
            for piece in view.pieces.clone() {
                let counted = each_span(piece.as_ref(), &filter, request.by, |name, _| {
                    match totals.get_mut(name) {
                        Some(total) => *total += 1,
                        None => drop(totals.insert(name.to_owned(), 1)),
                    }
                    true
                });
                view.note(counted);
            }
            let mut names: Vec<(String, u64)> = totals.into_iter().collect();
            names.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            names.truncate(request.series_max);
            let kept: HashSet<String> = names.into_iter().map(|(name, _)| name).collect();
            count_series(view, request, &filter, &|name| kept.contains(name), usize::MAX)
                .unwrap_or_default()
        }
    };
    all.sort_by(|a, b| {
        let total = |series: &Series| series.spans.iter().sum::<u64>();
        total(b).cmp(&total(a)).then_with(|| a.name.cmp(&b.name))
    });
    all.truncate(request.series_max);
    SeriesSet { series: all, partial: view.is_partial() }
}

/// Counts spans into one series per name that is wanted; `None` when there are more than `most`.
fn count_series(
    view: &mut View,
    request: &SeriesRequest,
    filter: &SpanFilter,
    wanted: &dyn Fn(&str) -> bool,
    most: usize,
) -> Option<Vec<Series>> {
    let mut all: Vec<Series> = Vec::new();
    let mut places: HashMap<String, Option<usize>> = HashMap::new();
    for piece in view.pieces.clone() {
        let counted = each_span(piece.as_ref(), filter, request.by, |name, span| {
            let place = match places.get(name) {
                Some(place) => *place,
                None => {
                    let place = wanted(name).then(|| {
                        all.push(Series {
                            name: request.by.map(|_| name.to_owned()),
                            spans: vec![0; request.steps],
                            errors: vec![0; request.steps],
                            duration_sum_nano: vec![0; request.steps],
                        });
                        all.len() - 1
                    });
                    places.insert(name.to_owned(), place);
                    place
                }
            };
            let Some(place) = place else { return true };
            let step = ((span.start - request.start_unix_nano) / request.step_nano) as usize;
            let series = &mut all[place];
            series.spans[step] += 1;
            series.errors[step] += u64::from(span.error);
            let sum = &mut series.duration_sum_nano[step];
            *sum = sum.saturating_add(span.duration);
            all.len() <= most
        });
        view.note(counted);
        if all.len() > most {
            return None;
        }
    }
    Some(all)
}

/// What a series counts of a span.
struct CountedSpan {
    start: u64,
    duration: u64,
    error: bool,
}

/// Calls `count` with every span that meets the filter and the name of its series, until it says
/// that it is enough.
fn each_span(
    piece: &dyn Piece,
    filter: &SpanFilter,
    by: Option<SeriesBy>,
    mut count: impl FnMut(&str, CountedSpan) -> bool,
) -> Result<(), Damaged> {
    let Some(scan) = Scan::new(piece, filter)? else { return Ok(()) };
    for (group, rows) in scan.groups()? {
        let matched = scan.rows(group, rows.clone())?;
        if matched.is_empty() {
            continue;
        }
        let columns = [name::START, name::DURATION, name::STATUS, name::SCOPE, name::NAME];
        let read = piece.read(Table::Spans, rows.clone(), &columns)?;
        let [Some(starts), Some(length), Some(status), Some(scope), Some(names)] = &read[..] else {
            continue;
        };
        let (starts, length) = (starts.int64s(), length.int64s());
        let traces = scan.traces()?;
        let (status, scope) = (status.int32s(), scope.int32s());
        for row in matched {
            let at = row as usize - rows.start;
            let name = match by {
                None => "",
                Some(SeriesBy::Service) => scan.scopes()[scope[at] as usize].service(),
                Some(SeriesBy::Operation) => names.text_at(at),
            };
            let span = CountedSpan {
                start: start(traces, row, starts[at]),
                duration: duration(length[at]),
                error: status[at] == status_code::ERROR,
            };
            if !count(name, span) {
                return Ok(());
            }
        }
    }
    Ok(())
}
