//! A piece in memory: a frozen chunk of the head, or several that were merged.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use model::TraceId;

use crate::catalog::Catalog;
use crate::column::{Column, Values};
use crate::columns::{Table, name, parse_attribute_column};
use crate::piece::{Damaged, Piece, StartRanges, TableBatch, TableStream};
use crate::scopes::ScopeRow;
use crate::summary::{TraceIndex, TraceTable};

/// Columns in memory.
#[derive(Debug)]
pub(crate) struct MemoryPiece {
    id: String,
    /// In the order of [`Table::ALL`].
    tables: [TableBatch; 6],
    traces: Arc<TraceTable>,
    scopes: Arc<Vec<Arc<ScopeRow>>>,
    /// Counted when first asked for.
    catalog: OnceLock<Arc<Catalog>>,
    start_ranges: StartRanges,
}

impl MemoryPiece {
    /// `tables` are in the order of [`Table::ALL`].
    pub(crate) fn new(
        id: String,
        tables: [TableBatch; 6],
        traces: TraceTable,
        scopes: Vec<Arc<ScopeRow>>,
        start_ranges: StartRanges,
    ) -> Self {
        Self {
            id,
            tables,
            traces: Arc::new(traces),
            scopes: Arc::new(scopes),
            catalog: OnceLock::new(),
            start_ranges,
        }
    }

    /// What it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let columns = self.tables.iter().flat_map(|table| &table.columns);
        let columns: usize = columns.map(|(name, column)| name.len() + column.bytes()).sum();
        let texts: usize = self.traces.texts.iter().map(|text| text.len() + 24).sum();
        let scopes: usize = self.scopes.iter().map(|scope| scope.bytes()).sum();
        columns + scopes + self.traces.len() * 64 + self.traces.services.len() * 12 + texts
    }

    fn table(&self, table: Table) -> &TableBatch {
        &self.tables[table as usize]
    }

    /// Some of its traces, by their places in the trace table, ascending, as a piece to be merged:
    /// texts keep their numbers, and starts may be told wider than they are.
    pub(crate) fn of_traces(&self, traces: &[usize]) -> Self {
        let mut spans: Vec<Range<usize>> = Vec::new();
        for &trace in traces {
            let rows = self.traces.rows(trace);
            match spans.last_mut() {
                Some(last) if last.end == rows.start => last.end = rows.end,
                _ => spans.push(rows),
            }
        }
        let (events, links) = (self.owned(Table::Events, &spans), self.owned(Table::Links, &spans));
        let rest = |table, owners: &[Range<usize>]| self.owned(table, owners).0;
        let tables = [
            pick(self.table(Table::Spans), &spans),
            events.0,
            links.0,
            rest(Table::SpansRest, &spans),
            rest(Table::EventsRest, &events.1),
            rest(Table::LinksRest, &links.1),
        ];
        Self {
            id: format!("{} in part", self.id),
            tables,
            traces: Arc::new(self.traces.pick(traces)),
            scopes: self.scopes.clone(),
            catalog: OnceLock::new(),
            start_ranges: self.start_ranges,
        }
    }

    /// The rows that belong to ranges of owners, whose numbers become those behind each other, and
    /// which rows they were.
    fn owned(&self, table: Table, owners: &[Range<usize>]) -> (TableBatch, Vec<Range<usize>>) {
        let table = self.table(table);
        let Some(all) = table.column(name::ROW).map(Column::int32s) else {
            return Default::default();
        };
        let place = |owner: usize| all.partition_point(|&of| (of as usize) < owner);
        let mut rows: Vec<Range<usize>> = Vec::with_capacity(owners.len());
        let mut numbers: Vec<i32> = Vec::new();
        let mut first = 0;
        for range in owners {
            let some = place(range.start)..place(range.end);
            let number = |of: &i32| (*of as usize - range.start + first) as i32;
            numbers.extend(all[some.clone()].iter().map(number));
            rows.push(some);
            first += range.len();
        }
        let mut picked = pick(table, &rows);
        for (column, values) in &mut picked.columns {
            if **column == *name::ROW {
                *values = Column::full(Values::Int32(std::mem::take(&mut numbers)));
            }
        }
        (picked, rows)
    }
}

/// The rows of some ranges, one behind the other, without columns that none of them has a value of.
fn pick(table: &TableBatch, ranges: &[Range<usize>]) -> TableBatch {
    let rows = ranges.iter().map(ExactSizeIterator::len).sum();
    let picked = table.columns.iter().map(|(name, column)| (name.clone(), column.pick(ranges)));
    let columns = picked.filter(|(_, column)| column.values().len() > 0).collect();
    TableBatch { rows, columns }
}

impl Piece for MemoryPiece {
    fn id(&self) -> &str {
        &self.id
    }

    fn memory(&self) -> Option<&MemoryPiece> {
        Some(self)
    }

    fn start_ranges(&self) -> StartRanges {
        self.start_ranges
    }

    fn may_hold(&self, trace: TraceId) -> bool {
        self.traces.find(trace).is_some()
    }

    fn row_count(&self, table: Table) -> usize {
        self.table(table).rows
    }

    fn columns(&self, table: Table) -> Result<Vec<String>, Damaged> {
        Ok(self.table(table).columns.iter().map(|(name, _)| name.to_string()).collect())
    }

    fn has_column(&self, table: Table, column: &str) -> Result<bool, Damaged> {
        Ok(self.table(table).column(column).is_some())
    }

    fn attribute_counts(&self, table: Table) -> Result<Vec<(String, u64)>, Damaged> {
        Ok(self
            .table(table)
            .columns
            .iter()
            .filter(|(name, _)| parse_attribute_column(name).is_some())
            .map(|(name, column)| (name.to_string(), column.values().len() as u64))
            .collect())
    }

    fn groups(&self, table: Table) -> Result<Vec<Range<usize>>, Damaged> {
        let rows = self.row_count(table);
        Ok(if rows == 0 { Vec::new() } else { std::iter::once(0..rows).collect() })
    }

    fn may_contain(&self, _: Table, _: usize, _: &str, _: &str) -> bool {
        true
    }

    fn read(
        &self,
        table: Table,
        rows: Range<usize>,
        columns: &[&str],
    ) -> Result<Vec<Option<Column>>, Damaged> {
        let table = self.table(table);
        Ok(columns
            .iter()
            .map(|name| table.column(name).map(|column| column.slice(rows.clone())))
            .collect())
    }

    fn stream(&self, table: Table) -> Result<Box<dyn TableStream>, Damaged> {
        let table = self.table(table);
        Ok(Box::new(Whole((table.rows > 0).then(|| table.clone()))))
    }

    fn index(&self) -> Result<Arc<TraceIndex>, Damaged> {
        Ok(self.traces.index.clone())
    }

    fn traces(&self) -> Result<Arc<TraceTable>, Damaged> {
        Ok(self.traces.clone())
    }

    fn scopes(&self) -> Result<Arc<Vec<Arc<ScopeRow>>>, Damaged> {
        Ok(self.scopes.clone())
    }

    fn catalog(&self) -> Result<Arc<Catalog>, Damaged> {
        let count = || Arc::new(Catalog::of_tables(&self.tables, &self.scopes));
        Ok(self.catalog.get_or_init(count).clone())
    }
}

/// A table in one batch.
struct Whole(Option<TableBatch>);

impl TableStream for Whole {
    fn next(&mut self) -> Result<Option<TableBatch>, Damaged> {
        Ok(self.0.take())
    }
}
