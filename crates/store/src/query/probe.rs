//! What a query takes, told while it runs: the time of each step, the columns and bytes that are
//! read, and what is passed over and why.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Cancel;
use crate::columns::{Table, parse_attribute_column};
use crate::files::bytes_read;
use crate::types::{QueryStats, QueryStep, ReadColumn, StepTime, ValueType};

/// A query's own account. Threads of the query share it.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    inner: Mutex<Inner>,
    /// Whether somebody waits for the query.
    pub(super) cancel: Cancel,
}

#[derive(Debug, Default)]
struct Inner {
    steps: [Clock; QueryStep::ALL.len()],
    columns: BTreeMap<(Table, String), Read>,
    bytes: u64,
}

/// The time of a step that several threads may be at.
#[derive(Debug, Default, Clone, Copy)]
struct Clock {
    threads: u32,
    since: Option<Instant>,
    /// While at least one thread was at it.
    wall: Duration,
    /// Of all threads together.
    work: Duration,
}

#[derive(Debug, Default, Clone, Copy)]
struct Read {
    rows: u64,
    bytes: u64,
}

impl Probe {
    pub(crate) fn of(cancel: &Cancel) -> Self {
        Self { inner: Mutex::default(), cancel: cancel.clone() }
    }

    /// Does the work of a step. A step within another counts as a part of the outer one.
    pub(super) fn step<R>(&self, step: QueryStep, work: impl FnOnce() -> R) -> R {
        if IN_STEP.with(Cell::get) {
            return work();
        }
        let _entered = Entered::new(self, step);
        work()
    }

    /// Reads a column and notes it.
    pub(super) fn reading<R>(
        &self,
        table: Table,
        column: &str,
        rows: usize,
        read: impl FnOnce() -> R,
    ) -> R {
        let before = bytes_read();
        let answer = read();
        let bytes = bytes_read() - before;
        let mut inner = self.inner.lock();
        let entry = match inner.columns.get_mut(&(table, column.to_owned())) {
            Some(entry) => entry,
            None => inner.columns.entry((table, column.to_owned())).or_default(),
        };
        entry.rows += rows as u64;
        entry.bytes += bytes;
        // A step counts what is read in it.
        if !IN_STEP.with(Cell::get) {
            inner.bytes += bytes;
        }
        answer
    }

    /// Completes what is told of a query with what was noted here.
    pub(super) fn tell(&self, stats: &mut QueryStats) {
        let inner = self.inner.lock();
        stats.bytes_read = inner.bytes;
        let told = |(step, clock): (QueryStep, &Clock)| StepTime {
            step,
            wall_nano: clock.wall.as_nanos() as u64,
            work_nano: clock.work.as_nanos() as u64,
        };
        let steps = QueryStep::ALL.into_iter().zip(&inner.steps);
        stats.steps = steps.filter(|(_, clock)| clock.work > Duration::ZERO).map(told).collect();
        let mut columns: BTreeMap<String, ReadColumn> = BTreeMap::new();
        for ((table, column), read) in &inner.columns {
            let name = shown(*table, column);
            let told = columns
                .entry(name.clone())
                .or_insert_with(|| ReadColumn { name, ..ReadColumn::default() });
            told.rows += read.rows;
            told.bytes += read.bytes;
        }
        stats.columns = columns.into_values().collect();
    }
}

thread_local! {
    static IN_STEP: Cell<bool> = const { Cell::new(false) };
}

/// A thread at a step.
struct Entered<'p> {
    probe: &'p Probe,
    step: QueryStep,
    since: Instant,
    bytes: u64,
}

impl<'p> Entered<'p> {
    fn new(probe: &'p Probe, step: QueryStep) -> Self {
        let since = Instant::now();
        IN_STEP.with(|is_in| is_in.set(true));
        let clock = &mut probe.inner.lock().steps[step as usize];
        clock.threads += 1;
        clock.since.get_or_insert(since);
        Self { probe, step, since, bytes: bytes_read() }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        IN_STEP.with(|is_in| is_in.set(false));
        let mut inner = self.probe.inner.lock();
        inner.bytes += bytes_read() - self.bytes;
        let clock = &mut inner.steps[self.step as usize];
        clock.work += now.saturating_duration_since(self.since);
        clock.threads -= 1;
        if clock.threads == 0
            && let Some(since) = clock.since.take()
        {
            clock.wall += now.saturating_duration_since(since);
        }
    }
}

/// A column as its table and name, an attribute as queries name it; `.*` stands for the attributes
/// that have no column of their own.
fn shown(table: Table, column: &str) -> String {
    let level = match table {
        Table::Spans | Table::SpansRest => "span",
        Table::Events | Table::EventsRest => "event",
        Table::Links | Table::LinksRest => "link",
    };
    if table.rest() == table {
        return format!("{level}.*");
    }
    match parse_attribute_column(column) {
        Some((ValueType::String, key)) => format!("{level}.{key}"),
        Some((value_type, key)) => format!("{level}.{key} ({})", value_type.name()),
        None => format!("{level}:{column}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(stats: &QueryStats, step: QueryStep) -> Option<StepTime> {
        stats.steps.iter().copied().find(|time| time.step == step)
    }

    #[test]
    fn wall_is_the_time_that_any_thread_is_at_a_step() {
        let probe = Probe::default();
        let first = Entered::new(&probe, QueryStep::Filter);
        let second = Entered::new(&probe, QueryStep::Filter);
        probe.step(QueryStep::Seams, || {});
        while second.since.elapsed() < Duration::from_millis(2) {}
        drop(first);
        while second.since.elapsed() < Duration::from_millis(3) {}
        drop(second);
        let mut stats = QueryStats::default();
        probe.tell(&mut stats);
        let filter = time(&stats, QueryStep::Filter).unwrap();
        assert!(filter.wall_nano >= 3_000_000 && filter.work_nano >= 5_000_000, "{filter:?}");
        assert!(filter.work_nano > filter.wall_nano && filter.work_nano <= 2 * filter.wall_nano);
        assert!(time(&stats, QueryStep::Seams).is_none());
    }

    #[test]
    fn columns_are_named_as_queries_name_them() {
        for (table, column, name) in [
            (Table::Spans, "status_code", "span:status_code"),
            (Table::Spans, "attr.string.http.route", "span.http.route"),
            (Table::Spans, "attr.int.n", "span.n (int)"),
            (Table::Events, "attr.string.a", "event.a"),
            (Table::Links, "trace_id", "link:trace_id"),
            (Table::SpansRest, "key", "span.*"),
            (Table::EventsRest, "string", "event.*"),
        ] {
            assert_eq!(shown(table, column), name);
        }
        let probe = Probe::default();
        for rows in [3, 4] {
            probe.reading(Table::Spans, "kind", rows, || ());
        }
        let mut stats = QueryStats::default();
        probe.tell(&mut stats);
        let kind = ReadColumn { name: "span:kind".to_owned(), rows: 7, bytes: 0 };
        assert_eq!(stats.columns, [kind]);
    }

    #[test]
    fn bytes_of_columns_are_among_all_that_are_read() {
        let probe = Probe::default();
        let read =
            |bytes| probe.reading(Table::Spans, "kind", 1, || crate::files::note_read(bytes));
        read(5);
        probe.step(QueryStep::Count, || read(7));
        probe.step(QueryStep::Prune, || crate::files::note_read(100));
        let mut stats = QueryStats::default();
        probe.tell(&mut stats);
        assert_eq!((stats.columns[0].bytes, stats.bytes_read), (12, 112));
    }
}
