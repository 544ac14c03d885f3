//! Several pieces into one block: sealing merges the chunks of a head, compaction merges blocks.
//!
//! Goes through the traces in order of their ids, a stretch at a time, so that memory holds a few
//! rows of every piece whatever their size. A trace that lies in several pieces comes together
//! here, a span that came twice is written once, and the trace's row is computed anew.

mod columns;
mod owned;
mod sources;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array};

use crate::block::{BlockFacts, BlockMeta, BlockWriter, Forward};
use crate::builder::unresolved_parents;
use crate::catalog::Catalog;
use crate::columns::{Table, data_type, name, parse_attribute_column};
use crate::gather::{Place, gather};
use crate::piece::{Damaged, Piece, TableBatch};
use crate::scopes::ScopeList;
use crate::summary::{SpanFacts, TraceTable, TraceTableBuilder};
use crate::texts::{Interner, dictionary};

use columns::Columns;
use owned::Owned;
use sources::{MergeRow, Sources};

/// Rows that are merged at a time, unless one trace has more.
const BATCH_ROWS: usize = 16 * 1024;

/// Why a merge did not finish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("{0}")]
    Write(Box<dyn std::error::Error + Send + Sync>),
    #[error("stopped")]
    Stopped,
}

/// Writes the spans of all pieces as one block into `folder`. `stopped` is asked now and then.
pub(crate) fn merge(
    pieces: &[Arc<dyn Piece>],
    folder: PathBuf,
    facts: BlockFacts,
    zstd_level: i32,
    stopped: &dyn Fn() -> bool,
) -> Result<BlockMeta, MergeError> {
    let columns = Columns::of(pieces)?;
    let writer = BlockWriter::create(folder, columns.kept.clone(), zstd_level);
    let mut merger = Merger::new(pieces, columns, writer.map_err(MergeError::Write)?)?;
    for stretch in stretches(&merger.traces) {
        if stopped() {
            return Err(MergeError::Stopped);
        }
        merger.stretch(&stretch)?;
    }
    let Merger { writer, table, scopes, catalog, .. } = merger;
    writer.finish(&table.finish(), scopes.rows(), &catalog, facts).map_err(MergeError::Write)
}

/// A trace's part in a piece.
#[derive(Debug, Clone, Copy)]
struct Part {
    trace: u128,
    piece: u32,
    ordinal: u32,
}

/// The parts of all traces in order, cut into stretches of about [`BATCH_ROWS`] rows.
fn stretches(tables: &[Arc<TraceTable>]) -> Vec<Vec<Part>> {
    let mut parts: Vec<Part> = tables
        .iter()
        .enumerate()
        .flat_map(|(piece, table)| {
            table.ids.iter().enumerate().map(move |(ordinal, &trace)| Part {
                trace,
                piece: piece as u32,
                ordinal: ordinal as u32,
            })
        })
        .collect();
    // Stable, and quick on runs that are sorted already.
    parts.sort_by_key(|part| part.trace);
    let mut all = Vec::new();
    let mut stretch: Vec<Part> = Vec::new();
    let mut rows = 0;
    for group in parts.chunk_by(|a, b| a.trace == b.trace) {
        let more: usize = group
            .iter()
            .map(|part| tables[part.piece as usize].rows(part.ordinal as usize).len())
            .sum();
        if rows > 0 && rows + more > BATCH_ROWS {
            all.push(std::mem::take(&mut stretch));
            rows = 0;
        }
        rows += more;
        stretch.extend_from_slice(group);
    }
    if !stretch.is_empty() {
        all.push(stretch);
    }
    all
}

struct Input {
    spans: Forward,
    /// Events, links and the three rest tables, in the order of [`Table::ALL`] from the second.
    owned: [Owned; 5],
    /// The numbers of its scopes in the result.
    scopes: Vec<i32>,
}

struct Merger {
    inputs: Vec<Input>,
    traces: Vec<Arc<TraceTable>>,
    columns: Columns,
    writer: BlockWriter,
    table: TraceTableBuilder,
    scopes: ScopeList,
    catalog: Catalog,
    /// Values of demoted columns that wait for the other rest rows of their stretch.
    pending: [Vec<TableBatch>; 3],
    span_rows: usize,
    event_rows: usize,
    link_rows: usize,
}

impl Merger {
    fn new(
        pieces: &[Arc<dyn Piece>],
        columns: Columns,
        writer: BlockWriter,
    ) -> Result<Self, MergeError> {
        let mut scopes = ScopeList::default();
        let mut inputs = Vec::new();
        let mut traces = Vec::new();
        for piece in pieces {
            let numbers = piece.scopes()?.iter().map(|row| scopes.number(row)).collect();
            let owned = |table| Ok::<_, Damaged>(Owned::new(piece.stream(table)?));
            inputs.push(Input {
                spans: Forward::new(piece.stream(Table::Spans)?),
                owned: [
                    owned(Table::Events)?,
                    owned(Table::Links)?,
                    owned(Table::SpansRest)?,
                    owned(Table::EventsRest)?,
                    owned(Table::LinksRest)?,
                ],
                scopes: numbers,
            });
            traces.push(piece.traces()?);
        }
        let mut table = TraceTableBuilder::new();
        for scope in scopes.rows() {
            table.add_scope(scope.service());
        }
        Ok(Self {
            inputs,
            traces,
            columns,
            writer,
            table,
            scopes,
            catalog: Catalog::default(),
            pending: Default::default(),
            span_rows: 0,
            event_rows: 0,
            link_rows: 0,
        })
    }

    /// Merges the traces of these parts.
    fn stretch(&mut self, parts: &[Part]) -> Result<(), MergeError> {
        let mut ranges: Vec<Range<usize>> = vec![0..0; self.inputs.len()];
        for part in parts {
            let rows = self.traces[part.piece as usize].rows(part.ordinal as usize);
            let range = &mut ranges[part.piece as usize];
            *range = if range.start == range.end { rows } else { range.start..rows.end };
        }
        let mut sources = Sources::default();
        for (input, range) in self.inputs.iter_mut().zip(&ranges) {
            let batches =
                if range.is_empty() { Vec::new() } else { input.spans.take(range.clone())? };
            sources.add(batches, range.clone(), &input.scopes)?;
        }

        // Where each output row comes from, and where each input row goes.
        let mut order: Vec<Place> = Vec::new();
        let mut facts: Vec<SpanFacts> = Vec::new();
        let mut distances: Vec<i32> = Vec::new();
        let mut starts: Vec<u64> = Vec::new();
        let mut goes: Vec<Vec<u32>> =
            ranges.iter().map(|range| vec![u32::MAX; range.len()]).collect();
        let mut rows: Vec<MergeRow> = Vec::new();
        for group in parts.chunk_by(|a, b| a.trace == b.trace) {
            rows.clear();
            for part in group {
                let piece = part.piece as usize;
                let table = &self.traces[piece];
                let trace_start = table.start[part.ordinal as usize];
                for row in table.rows(part.ordinal as usize) {
                    rows.push(sources.row(piece, row, trace_start));
                }
            }
            if group.len() > 1 {
                rows.sort_by(|a, b| sources.compare(a, b));
                rows.dedup_by(|later, earlier| sources.compare(later, earlier).is_eq());
            }
            let first = facts.len();
            for row in &rows {
                goes[row.piece as usize][row.row as usize - ranges[row.piece as usize].start] =
                    (self.span_rows + order.len()) as u32;
                order.push(row.place);
                facts.push(row.facts);
            }
            let spans = &facts[first..];
            self.table
                .add(group[0].trace, spans, &mut distances, |at| sources.name(rows[at].place));
            let start = spans.iter().map(|span| span.start).filter(|&start| start > 0).min();
            starts.resize(facts.len(), start.unwrap_or(0));
        }

        let batch = self.spans_batch(&sources, &order, &facts, &distances, &starts);
        self.write_spans(batch, &sources, &order)?;
        self.write_owned(&ranges, &goes)?;
        self.span_rows += order.len();
        Ok(())
    }

    fn spans_batch(
        &self,
        sources: &Sources,
        order: &[Place],
        facts: &[SpanFacts],
        distances: &[i32],
        starts: &[u64],
    ) -> TableBatch {
        let parents: Vec<u64> = facts.iter().map(|span| span.parent_id).collect();
        let unresolved = unresolved_parents(&parents, distances);
        let columns = self.columns.kept[Table::Spans as usize].iter().filter_map(|column| {
            let array: ArrayRef = match column.as_str() {
                name::PARENT_DISTANCE => Arc::new(Int32Array::from(distances.to_vec())),
                name::SCOPE => {
                    Arc::new(Int32Array::from_iter_values(facts.iter().map(|span| span.scope)))
                }
                name::START => Arc::new(Int64Array::from_iter_values(
                    facts
                        .iter()
                        .zip(starts)
                        .map(|(span, &start)| span.start.wrapping_sub(start) as i64),
                )),
                name::PARENT_SPAN_ID => unresolved.as_ref()?.1.clone(),
                _ => gather(&data_type(column), &sources.columns(column), order),
            };
            Some((column.clone(), array))
        });
        TableBatch { rows: order.len(), columns: columns.collect() }
    }

    fn write_spans(
        &mut self,
        batch: TableBatch,
        sources: &Sources,
        order: &[Place],
    ) -> Result<(), MergeError> {
        self.catalog.add(Table::Spans, &batch, self.scopes.rows());
        self.writer.write(Table::Spans, &batch).map_err(MergeError::Write)?;
        let demoted = self.columns.demoted[Table::Spans as usize]
            .iter()
            .map(|column| {
                (column.clone(), gather(&data_type(column), &sources.columns(column), order))
            })
            .collect();
        let demoted = TableBatch { rows: order.len(), columns: demoted };
        self.demote(Table::Spans, &demoted, self.span_rows);
        Ok(())
    }

    /// Keeps the values of columns that the block does not have, until the rest rows are written.
    fn demote(&mut self, table: Table, batch: &TableBatch, first_row: usize) {
        for (column, array) in &batch.columns {
            let Some((value_type, key)) = parse_attribute_column(column) else { continue };
            let rows: Vec<u32> =
                (0..array.len() as u32).filter(|&row| array.is_valid(row as usize)).collect();
            if rows.is_empty() {
                continue;
            }
            let places: Vec<Place> = rows.iter().map(|&row| (0, row)).collect();
            let values = gather(array.data_type(), &[Some(array.clone())], &places);
            let mut keys = Interner::default();
            let code = keys.intern(key.as_bytes());
            let owners = rows.iter().map(|&row| first_row as i32 + row as i32);
            let rest = TableBatch {
                rows: rows.len(),
                columns: vec![
                    (name::ROW.to_owned(), Arc::new(Int32Array::from_iter_values(owners))),
                    (
                        name::KEY.to_owned(),
                        dictionary(vec![code; rows.len()].into(), keys.values()),
                    ),
                    (value_type.name().to_owned(), values),
                ],
            };
            self.pending[table as usize].push(rest);
        }
    }

    fn write(&mut self, table: Table, batch: TableBatch) -> Result<(), MergeError> {
        self.catalog.add(table, &batch, self.scopes.rows());
        self.writer.write(table, &batch).map_err(MergeError::Write)
    }

    /// Events, links and attributes without a column, of the spans of a stretch.
    fn write_owned(
        &mut self,
        ranges: &[Range<usize>],
        span_goes: &[Vec<u32>],
    ) -> Result<(), MergeError> {
        let spans: Vec<(Range<usize>, &[u32])> =
            ranges.iter().cloned().zip(span_goes.iter().map(Vec::as_slice)).collect();
        for (table, slot, rest_slot) in [(Table::Events, 0, 3), (Table::Links, 1, 4)] {
            let first = match table {
                Table::Events => self.event_rows,
                _ => self.link_rows,
            };
            let (batch, demoted, goes) = self.owned(table, slot, &spans, first)?;
            let written = batch.rows;
            self.write(table, batch)?;
            self.demote(table, &demoted, first);
            match table {
                Table::Events => self.event_rows += written,
                _ => self.link_rows += written,
            }
            let owners: Vec<(Range<usize>, &[u32])> =
                goes.iter().map(|(range, goes)| (range.clone(), goes.as_slice())).collect();
            let (rest, _, _) = self.owned(table.rest(), rest_slot, &owners, 0)?;
            self.write(table.rest(), rest)?;
        }
        let (rest, _, _) = self.owned(Table::SpansRest, 2, &spans, 0)?;
        self.write(Table::SpansRest, rest)
    }

    /// The rows of an owned table whose owners are in these ranges; the values of its demoted
    /// columns; and for each piece which of its rows they were and where they went.
    #[allow(clippy::type_complexity)]
    fn owned(
        &mut self,
        table: Table,
        slot: usize,
        owners: &[(Range<usize>, &[u32])],
        first: usize,
    ) -> Result<(TableBatch, TableBatch, Vec<(Range<usize>, Vec<u32>)>), MergeError> {
        let mut batches: Vec<TableBatch> = Vec::new();
        // New owner, source batch, row in it, piece, row among the piece's taken rows.
        let mut entries: Vec<(u32, Place, u32, u32)> = Vec::new();
        let mut goes: Vec<(Range<usize>, Vec<u32>)> = Vec::new();
        for (piece, (range, owner_goes)) in owners.iter().enumerate() {
            let owned = &mut self.inputs[piece].owned[slot];
            let (start, taken) = owned.take(range.end)?;
            let mut count = 0;
            for batch in taken {
                let Some(rows) = batch.column(name::ROW) else { continue };
                for (row, &owner) in rows.as_primitive::<Int32Type>().values().iter().enumerate() {
                    let new_owner = (owner as usize)
                        .checked_sub(range.start)
                        .and_then(|at| owner_goes.get(at).copied())
                        .unwrap_or(u32::MAX);
                    if new_owner != u32::MAX {
                        let place = (batches.len() as u32, row as u32);
                        entries.push((new_owner, place, piece as u32, count));
                    }
                    count += 1;
                }
                batches.push(batch);
            }
            goes.push((start..start + count as usize, vec![u32::MAX; count as usize]));
        }
        if table.rest() == table {
            for batch in std::mem::take(&mut self.pending[table as usize - 3]) {
                let Some(rows) = batch.column(name::ROW) else { continue };
                for (row, &owner) in rows.as_primitive::<Int32Type>().values().iter().enumerate() {
                    entries.push((owner as u32, (batches.len() as u32, row as u32), u32::MAX, 0));
                }
                batches.push(batch);
            }
        }
        entries.sort_by_key(|entry| entry.0);
        for (at, &(_, _, piece, row)) in entries.iter().enumerate() {
            if let Some((_, goes)) = goes.get_mut(piece as usize) {
                goes[row as usize] = (first + at) as u32;
            }
        }
        let order: Vec<Place> = entries.iter().map(|entry| entry.1).collect();
        let pick = |column: &String| -> (String, ArrayRef) {
            let sources: Vec<Option<ArrayRef>> =
                batches.iter().map(|batch| batch.column(column).cloned()).collect();
            (column.clone(), gather(&data_type(column), &sources, &order))
        };
        let rows = order.len();
        if rows == 0 {
            return Ok((TableBatch::default(), TableBatch::default(), goes));
        }
        let mut columns: Vec<(String, ArrayRef)> = vec![(
            name::ROW.to_owned(),
            Arc::new(Int32Array::from_iter_values(entries.iter().map(|entry| entry.0 as i32))),
        )];
        let kept = self.columns.kept[table as usize].iter().filter(|column| *column != name::ROW);
        columns.extend(kept.map(pick));
        let demoted = match table {
            Table::Events | Table::Links => &self.columns.demoted[table as usize][..],
            _ => &[],
        };
        let demoted = TableBatch { rows, columns: demoted.iter().map(pick).collect() };
        Ok((TableBatch { rows, columns }, demoted, goes))
    }
}
