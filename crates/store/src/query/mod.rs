//! TraceQL on the embedded engine: columns decide which traces are candidates, and candidates are
//! judged whole.
//!
//! Filters run over a slab of rows, column by column and of texts each distinct one once
//! (`filter`); spansets and pipelines run trace by trace on what the filters left (`spansets`);
//! `find` brings the newest results together, `measure` counts spans over time. A trace whose
//! spans lie in several pieces is first put together in memory, so that late spans never make a
//! result wrong.

mod budget;
mod cells;
mod choices;
mod compare;
mod exemplars;
mod filter;
mod find;
mod groups;
mod lanes;
mod mask;
mod measure;
mod probe;
mod prune;
mod seam;
mod slab;
mod spansets;
mod structure;
mod telling;
mod trace_metrics;
mod value;
mod values;
mod weights;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use traceql::{Field, Intrinsic, Pipeline, SpansetExpr, Stage};

use crate::columns::Table;
use crate::piece::{Damaged, Piece};

pub(crate) use choices::{names, values as choices};
pub(crate) use exemplars::thin_series;
pub(crate) use find::find;
pub(crate) use measure::measure;
pub(crate) use probe::Probe;
pub(crate) use seam::KeptSeams;
pub(crate) use telling::Teller;
pub(crate) use trace_metrics::trace_metrics;

/// Why a query ended without an answer.
#[derive(Debug)]
pub(crate) enum Stop {
    Damaged(Damaged),
    /// The query asks what cannot be answered, in words for its author.
    Refused(String),
    /// Nobody waits for the answer any more, or its time is over.
    Cancelled,
}

impl From<Damaged> for Stop {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged)
    }
}

/// Whether somebody still waits, and how long the query may take.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel {
    is_gone: Arc<AtomicBool>,
    until: Option<Instant>,
}

impl Cancel {
    /// The same for a part of the query that ends at this time.
    pub(crate) fn until(&self, until: Option<Instant>) -> Self {
        Self { is_gone: self.is_gone.clone(), until }
    }

    /// Nobody waits any more.
    pub(crate) fn cancel(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), Stop> {
        if self.is_set() { Err(Stop::Cancelled) } else { Ok(()) }
    }

    /// Whether the query is to end without an answer.
    fn is_set(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
            || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Rows of a piece that are read together: row groups, joined where a trace goes on from one to
/// the next.
fn slabs(piece: &dyn Piece) -> Result<Vec<Range<usize>>, Damaged> {
    let groups = piece.groups(Table::Spans)?;
    if groups.len() <= 1 {
        return Ok(groups);
    }
    let table = piece.index()?;
    let mut slabs: Vec<Range<usize>> = Vec::new();
    for group in groups {
        let starts_trace = table.first_row.binary_search(&(group.start as u32)).is_ok();
        match slabs.last_mut() {
            Some(last) if !starts_trace => last.end = group.end,
            _ => slabs.push(group),
        }
    }
    Ok(slabs)
}

/// The answers for all items, computed on as many threads as there are cores.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return done };
            done.push((at, work(item)));
        }
    };
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut all = run();
        for other in others {
            match other.join() {
                Ok(more) => all.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, answer)| answer).collect()
}

/// Adds items to one state per core.
fn in_parallel_into<T: Sync, S: Send>(
    items: &[T],
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) + Sync,
) -> Vec<S> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let workers: Vec<()> = vec![(); cores.min(items.len()).max(1)];
    in_parallel(&workers, |()| {
        let mut state = state();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(&mut state, item);
        }
        state
    })
}

/// Whether each span can be judged by what it carries itself, wherever the rest of its trace is.
fn is_local(pipeline: &Pipeline) -> bool {
    let mut local = true;
    pipeline.visit(&mut |field| local &= !needs_trace(field));
    local
        && pipeline.stages.iter().enumerate().all(|(at, stage)| match stage {
            Stage::Spansets(SpansetExpr::Filter(_)) => true,
            Stage::Select(_) | Stage::Coalesce => at > 0,
            Stage::Spansets(_) | Stage::Filter(_) | Stage::By(_) => false,
        })
}

/// Whether a field depends on other spans of the trace.
fn needs_trace(field: &Field) -> bool {
    match field {
        Field::Attribute(attribute) => attribute.parent,
        Field::Intrinsic(intrinsic) => matches!(
            intrinsic,
            Intrinsic::TraceDuration
                | Intrinsic::RootName
                | Intrinsic::RootServiceName
                | Intrinsic::ChildCount
                | Intrinsic::NestedSetLeft
                | Intrinsic::NestedSetRight
                | Intrinsic::NestedSetParent
                | Intrinsic::Parent
        ),
    }
}
