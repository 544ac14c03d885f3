//! Metrics of traces: a slab of whole traces is counted at a time, and what was counted is added
//! to what the others have.
//!
//! Traces that lie in several pieces are put together first (`seam`), so that a span that was sent
//! twice counts once, and a call is found wherever its two spans are.

mod graph;
mod spans;
mod tally;

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;

use self::tally::{Key, Totals};
use super::seam::{PASS_SPANS, Passes};
use super::slab::{Slab, once};
use super::{Cancel, Stop, in_parallel, slabs};
use crate::column::Column;
use crate::columns::name;
use crate::piece::{Damaged, Piece};
use crate::scan::duration;
use crate::search::View;
use crate::trace_metrics::{TraceMetricsFamily, TraceMetricsRequest, TraceMetricsSet};

/// Answers a request for metrics.
pub(crate) fn trace_metrics(
    view: &mut View,
    request: &TraceMetricsRequest,
    cancel: &Cancel,
) -> Result<TraceMetricsSet, Stop> {
    if let Some(reason) = request.refusal() {
        return Err(Stop::Refused(reason));
    }
    let mut set = TraceMetricsSet::default();
    match request.family {
        TraceMetricsFamily::SpanMetrics => {
            let totals = Totals::new(spans::width(request), spans::SERIES_BYTES);
            each_slab(view, request, cancel, &totals, |slab, traces| {
                spans::count(slab, traces, request, &totals)
            })?;
            set.spans = spans::series(&totals.finish());
        }
        TraceMetricsFamily::ServiceGraph => {
            let totals = Totals::new(graph::width(request), graph::series_bytes(request));
            each_slab(view, request, cancel, &totals, |slab, traces| {
                graph::count(slab, traces, request, &totals)
            })?;
            set.edges = graph::series(&totals.finish(), request);
        }
    }
    set.partial = view.is_partial();
    Ok(set)
}

/// Counts every slab in which spans may end in a cell, on as many threads as there are cores.
fn each_slab<K: Key + Send>(
    view: &mut View,
    request: &TraceMetricsRequest,
    cancel: &Cancel,
    totals: &Totals<K>,
    count: impl Fn(&Slab<'_>, &Traces<'_>) -> Result<(), Stop> + Sync,
) -> Result<(), Stop> {
    let grid = Grid { edges: &request.edges };
    let mut passes = match request.family {
        // A span that was sent twice ends at the same time in both places.
        TraceMetricsFamily::SpanMetrics => {
            Passes::of_doubles(view, |piece| grid.may_touch(piece), cancel, PASS_SPANS)?
        }
        TraceMetricsFamily::ServiceGraph => Passes::of_all(view, cancel, PASS_SPANS)?,
    };
    let probe = view.probe.clone();
    while let Some(pass) = passes.next(view, cancel)? {
        let mut work: Vec<(Arc<dyn Piece>, Range<usize>)> = Vec::new();
        for piece in &pass.pieces {
            cancel.check()?;
            let rows = view.note(grid.slabs(piece.as_ref())).unwrap_or_default();
            work.extend(rows.into_iter().map(|rows| (piece.clone(), rows)));
        }
        let done = in_parallel(&work, |(piece, rows)| {
            cancel.check()?;
            totals.check()?;
            let slab = Slab::new(piece.as_ref(), rows.clone(), &probe)?;
            let apart = pass.apart(piece.as_ref());
            let odd = piece.start_ranges().overlap(0, 0);
            count(&slab, &Traces { grid, apart, odd })
        });
        for done in done {
            match done {
                Ok(()) => {}
                Err(Stop::Damaged(damaged)) => drop(view.note::<()>(Err(damaged))),
                Err(stop) => return Err(stop),
            }
        }
    }
    Ok(())
}

/// The cells of time.
#[derive(Clone, Copy)]
struct Grid<'a> {
    /// At least two, ascending.
    edges: &'a [u64],
}

impl Grid<'_> {
    /// The cell of a time; `None` outside of all.
    fn cell(self, time: u64) -> Option<u32> {
        let behind = self.edges.partition_point(|&edge| edge < time);
        if behind == self.edges.len() {
            return None;
        }
        // What happened at 0 belongs to all that came before.
        if time == 0 && self.edges[0] == 0 {
            Some(0)
        } else {
            behind.checked_sub(1).map(|at| at as u32)
        }
    }

    /// Whether something between these times may be in a cell.
    fn overlaps(self, first: u64, last: u64) -> bool {
        let (start, end) = self.bounds();
        first <= end && last >= start
    }

    /// The first and the last time that is in a cell.
    fn bounds(self) -> (u64, u64) {
        let start = self.edges.first().copied().unwrap_or(0);
        let end = self.edges.last().copied().unwrap_or(0);
        (if start == 0 { 0 } else { start + 1 }, end)
    }

    /// Whether spans of a piece may end in a cell. One that cannot be read is found to be damaged
    /// when it is counted.
    fn may_touch(self, piece: &dyn Piece) -> bool {
        let (first, last) = self.bounds();
        piece.start_ranges().overlap(0, last)
            && (first == 0 || piece.latest_end().is_ok_and(|end| end >= first))
    }

    /// The slabs of a piece in which spans may end in a cell.
    fn slabs(self, piece: &dyn Piece) -> Result<Vec<Range<usize>>, Damaged> {
        let (first, last) = self.bounds();
        let starts = piece.start_ranges();
        if !starts.overlap(0, last) || (first > 0 && piece.latest_end()? < first) {
            return Ok(Vec::new());
        }
        let mut slabs = slabs(piece)?;
        if starts.inside(first, last) {
            return Ok(slabs);
        }
        let table = piece.index()?;
        let odd = starts.overlap(0, 0);
        slabs.retain(|rows| {
            let first = table.trace_of_row(rows.start as u32);
            let last = table.trace_of_row(rows.end.saturating_sub(1) as u32);
            let start = |at: usize| if odd { 0 } else { table.start[at] };
            (first..=last).any(|at| self.overlaps(start(at), table.end[at]))
        });
        Ok(slabs)
    }
}

/// Which traces of a slab count, and when.
struct Traces<'a> {
    grid: Grid<'a>,
    /// Traces that are counted elsewhere, ascending.
    apart: &'a [u128],
    /// Some spans may start at 0, of which the table of traces tells nothing.
    odd: bool,
}

impl Traces<'_> {
    /// The traces that count here and may touch a cell.
    fn of<'s>(&'s self, slab: &'s Slab<'_>) -> impl Iterator<Item = usize> + 's {
        slab.traces.clone().filter(|&trace| {
            let first = if self.odd { 0 } else { slab.table.start[trace] };
            self.grid.overlaps(first, slab.table.end[trace])
                && self.apart.binary_search(&slab.table.ids[trace]).is_err()
        })
    }

    /// The cell in which all spans of a trace end, if it is one.
    fn cell(&self, slab: &Slab<'_>, trace: usize) -> Option<u32> {
        if self.odd {
            return None;
        }
        let (first, last) = (slab.table.start[trace], slab.table.end[trace]);
        self.grid.cell(first).filter(|&cell| self.grid.cell(last) == Some(cell))
    }
}

/// How long the spans of a slab take, and when they end.
struct Times<'s, 'p> {
    slab: &'s Slab<'p>,
    starts: OnceCell<Column>,
    durations: Column,
}

impl<'s, 'p> Times<'s, 'p> {
    fn of(slab: &'s Slab<'p>) -> Result<Self, Damaged> {
        let durations = slab.required(name::DURATION)?;
        Ok(Self { slab, starts: OnceCell::new(), durations })
    }

    fn duration(&self, row: usize) -> u64 {
        duration(self.durations.int64_at(row))
    }

    /// The cell in which a span of a trace ends; `shared` is that of all its spans if it is one.
    #[inline]
    fn cell(
        &self,
        traces: &Traces<'_>,
        trace: usize,
        shared: Option<u32>,
        row: usize,
    ) -> Result<Option<u32>, Damaged> {
        match shared {
            None => Ok(traces.grid.cell(self.end(trace, row)?)),
            shared => Ok(shared),
        }
    }

    /// When a span of a trace ends. Starts are read when this is first asked.
    fn end(&self, trace: usize, row: usize) -> Result<u64, Damaged> {
        let starts = once(&self.starts, || self.slab.required(name::START))?;
        let start = self.slab.table.start[trace].wrapping_add(starts.int64_at(row) as u64);
        // Beyond the end of time lies only an end before the start.
        Ok(start.checked_add(self.duration(row)).unwrap_or(start))
    }
}

/// The services of a slab's scopes: each by the number of the first scope that has it.
struct Services<'s, 'p> {
    of_scope: Vec<u32>,
    slab: &'s Slab<'p>,
    scopes: Column,
}

impl<'s, 'p> Services<'s, 'p> {
    fn of(slab: &'s Slab<'p>) -> Result<Self, Damaged> {
        let mut first: HashMap<&str, u32> = HashMap::new();
        let scopes = slab.scopes.iter().enumerate();
        let of_scope =
            scopes.map(|(at, scope)| *first.entry(scope.service()).or_insert(at as u32)).collect();
        Ok(Self { of_scope, slab, scopes: slab.required(name::SCOPE)? })
    }

    /// The number of a span's service.
    fn number(&self, row: usize) -> Result<u32, Damaged> {
        let number = self.of_scope.get(self.scopes.int32_at(row) as usize).copied();
        number.ok_or_else(|| Damaged {
            block: self.slab.piece.id().to_owned(),
            reason: "a span names a scope that is not there".to_owned(),
        })
    }

    /// Numbers of services are below this.
    fn end(&self) -> u32 {
        self.of_scope.len() as u32
    }

    /// The name that a number stands for.
    fn name(&self, number: u32) -> &str {
        self.slab.scopes.get(number as usize).map_or("", |scope| scope.service())
    }
}
