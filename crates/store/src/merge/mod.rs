//! Several pieces into one: sealing merges the pieces of a head into a block, compaction merges
//! blocks, and chunks are merged in memory.
//!
//! Goes through the traces in order of their ids, into a block a stretch at a time, so that memory
//! holds a few rows of every piece whatever their size. A trace that lies in several pieces comes
//! together here, a span that came twice is written once, and the trace's row is computed anew.

mod columns;
mod owned;
mod sink;
mod sources;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::block::{BlockFacts, BlockMeta, Forward};
use crate::builder::unresolved_parents;
use crate::column::{Column, Values};
use crate::columns::{Table, name, parse_attribute_column};
use crate::gather::{Dictionary, GONE, Part, gather};
use crate::memory::MemoryPiece;
use crate::piece::{Damaged, Piece, StartRanges, TableBatch};
use crate::scopes::ScopeList;
use crate::summary::{SpanFacts, TraceIndex, TraceTableBuilder};
use crate::texts::Texts;

use columns::{Columns, Limits};
use owned::Owned;
use sink::{BlockSink, MemorySink, Sink};
use sources::{MergeRow, Sources};

/// Rows that are merged into a block at a time, unless one trace has more.
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
    let columns = Columns::of(pieces, Limits::BLOCK)?;
    let sink = BlockSink::create(folder, columns.kept.clone(), zstd_level)?;
    let mut merger = Merger::new(pieces, columns, sink)?;
    for stretch in stretches(&merger.traces, BATCH_ROWS) {
        if stopped() {
            return Err(MergeError::Stopped);
        }
        merger.stretch(&stretch)?;
    }
    let Merger { sink, table, scopes, .. } = merger;
    sink.finish(&table.finish(), scopes.rows(), facts)
}

/// The spans of all pieces as one in memory. Takes what the pieces take once more for as long as it
/// lasts, so that they are to be few.
pub(crate) fn merge_in_memory(
    id: String,
    pieces: &[Arc<dyn Piece>],
) -> Result<MemoryPiece, MergeError> {
    merge_in_memory_with(id, pieces, Limits::MEMORY)
}

fn merge_in_memory_with(
    id: String,
    pieces: &[Arc<dyn Piece>],
    limits: Limits,
) -> Result<MemoryPiece, MergeError> {
    let columns = Columns::of(pieces, limits)?;
    let sink = MemorySink::new(columns.kept.clone());
    let mut merger = Merger::new(pieces, columns, sink)?;
    for stretch in stretches(&merger.traces, usize::MAX) {
        merger.stretch(&stretch)?;
    }
    let Merger { sink, table, scopes, .. } = merger;
    let mut start_ranges = StartRanges::default();
    pieces.iter().for_each(|piece| start_ranges.join(&piece.start_ranges()));
    Ok(sink.finish(id, table.finish(), scopes.rows().to_vec(), start_ranges))
}

/// A trace's part in a piece.
#[derive(Debug, Clone, Copy)]
struct TracePart {
    trace: u128,
    piece: u32,
    ordinal: u32,
}

/// The parts of all traces in order, cut into stretches of at most so many rows, or of one trace.
fn stretches(tables: &[Arc<TraceIndex>], rows_max: usize) -> Vec<Vec<TracePart>> {
    let mut parts: Vec<TracePart> = tables
        .iter()
        .enumerate()
        .flat_map(|(piece, table)| {
            table.ids.iter().enumerate().map(move |(ordinal, &trace)| TracePart {
                trace,
                piece: piece as u32,
                ordinal: ordinal as u32,
            })
        })
        .collect();
    // Stable, and quick on runs that are sorted already.
    parts.sort_by_key(|part| part.trace);
    let mut all = Vec::new();
    let mut stretch: Vec<TracePart> = Vec::new();
    let mut rows = 0;
    for group in parts.chunk_by(|a, b| a.trace == b.trace) {
        let more: usize = group
            .iter()
            .map(|part| tables[part.piece as usize].rows(part.ordinal as usize).len())
            .sum();
        if rows > 0 && rows + more > rows_max {
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

struct Merger<S> {
    inputs: Vec<Input>,
    traces: Vec<Arc<TraceIndex>>,
    columns: Columns,
    sink: S,
    table: TraceTableBuilder,
    scopes: ScopeList,
    /// Values of demoted columns that wait for the other rest rows of their stretch.
    pending: [Vec<TableBatch>; 3],
    span_rows: usize,
    event_rows: usize,
    link_rows: usize,
}

impl<S: Sink> Merger<S> {
    fn new(pieces: &[Arc<dyn Piece>], columns: Columns, sink: S) -> Result<Self, MergeError> {
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
            traces.push(piece.index()?);
        }
        let mut table = TraceTableBuilder::new();
        for scope in scopes.rows() {
            table.add_scope(scope.service());
        }
        Ok(Self {
            inputs,
            traces,
            columns,
            sink,
            table,
            scopes,
            pending: Default::default(),
            span_rows: 0,
            event_rows: 0,
            link_rows: 0,
        })
    }

    /// Merges the traces of these parts.
    fn stretch(&mut self, parts: &[TracePart]) -> Result<(), MergeError> {
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

        // Where each input row goes, counted from the stretch's first row.
        let mut facts: Vec<SpanFacts> = Vec::new();
        let mut distances: Vec<i32> = Vec::new();
        let mut starts: Vec<u64> = Vec::new();
        let mut goes: Vec<Vec<u32>> = ranges.iter().map(|range| vec![GONE; range.len()]).collect();
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
                let from = row.row as usize - ranges[row.piece as usize].start;
                goes[row.piece as usize][from] = facts.len() as u32;
                facts.push(row.facts);
            }
            let spans = &facts[first..];
            self.table
                .add(group[0].trace, spans, &mut distances, |at| sources.name(rows[at].place));
            let start = spans.iter().map(|span| span.start).filter(|&start| start > 0).min();
            starts.resize(facts.len(), start.unwrap_or(0));
        }

        self.write_spans(&sources, &ranges, &goes, &facts, &distances, &starts)?;
        self.write_owned(&ranges, &goes)?;
        self.span_rows += facts.len();
        Ok(())
    }

    fn write_spans(
        &mut self,
        sources: &Sources,
        ranges: &[Range<usize>],
        goes: &[Vec<u32>],
        facts: &[SpanFacts],
        distances: &[i32],
        starts: &[u64],
    ) -> Result<(), MergeError> {
        let rows = facts.len();
        let parents: Vec<u64> = facts.iter().map(|span| span.parent_id).collect();
        let mut unresolved = unresolved_parents(&parents, distances);
        let mut columns = Vec::new();
        for (place, column) in self.columns.kept[Table::Spans as usize].iter().enumerate() {
            let values = match &**column {
                name::PARENT_DISTANCE => Some(Column::full(Values::Int32(distances.to_vec()))),
                name::SCOPE => {
                    let scopes = facts.iter().map(|span| span.scope).collect();
                    Some(Column::full(Values::Int32(scopes)))
                }
                name::START => {
                    let offset =
                        |(span, &start): (&SpanFacts, &u64)| span.start.wrapping_sub(start) as i64;
                    let offsets = facts.iter().zip(starts).map(offset).collect();
                    Some(Column::full(Values::Int64(offsets)))
                }
                name::PARENT_SPAN_ID => unresolved.take(),
                _ => {
                    let parts = sources.parts(column, ranges, goes);
                    gather(&parts, rows, self.sink.dictionary(Table::Spans, place))
                }
            };
            columns.extend(values.map(|values| (column.clone(), values)));
        }
        self.write(Table::Spans, TableBatch { rows, columns })?;
        for column in &self.columns.demoted[Table::Spans as usize] {
            let parts = sources.parts(column, ranges, goes);
            let rest = demoted(column, &parts, rows, self.span_rows);
            self.pending[Table::Spans as usize].extend(rest);
        }
        Ok(())
    }

    fn write(&mut self, table: Table, batch: TableBatch) -> Result<(), MergeError> {
        if batch.rows == 0 {
            return Ok(());
        }
        self.sink.write(table, batch, self.scopes.rows())
    }

    /// Events, links and attributes without a column, of the spans of a stretch.
    fn write_owned(
        &mut self,
        ranges: &[Range<usize>],
        span_goes: &[Vec<u32>],
    ) -> Result<(), MergeError> {
        let spans = Owners { ranges, goes: span_goes, first: self.span_rows };
        for (table, slot, rest_slot) in [(Table::Events, 0, 3), (Table::Links, 1, 4)] {
            let first = match table {
                Table::Events => self.event_rows,
                _ => self.link_rows,
            };
            let rows = self.rows_of(table, slot, &spans)?;
            match table {
                Table::Events => self.event_rows += rows.count,
                _ => self.link_rows += rows.count,
            }
            self.write_rows(table, &rows, first)?;
            let owners = Owners { ranges: &rows.piece_ranges, goes: &rows.piece_goes, first };
            let rest = self.rows_of(table.rest(), rest_slot, &owners)?;
            self.write_rows(table.rest(), &rest, 0)?;
        }
        let rest = self.rows_of(Table::SpansRest, 2, &spans)?;
        self.write_rows(Table::SpansRest, &rest, 0)
    }

    /// The rows of an owned table that belong to these owners, and where they go.
    fn rows_of(
        &mut self,
        table: Table,
        slot: usize,
        owners: &Owners<'_>,
    ) -> Result<OwnedRows, MergeError> {
        let mut rows = OwnedRows::default();
        // New owner, batch, row in it, piece, row among the piece's taken rows.
        let mut entries: Vec<(u32, u32, u32, u32, u32)> = Vec::new();
        for (piece, (range, owner_goes)) in owners.ranges.iter().zip(owners.goes).enumerate() {
            let owned = &mut self.inputs[piece].owned[slot];
            let (start, taken) = owned.take(range.end)?;
            let mut count = 0;
            for batch in taken {
                let Some(numbers) = batch.column(name::ROW) else { continue };
                for (row, &owner) in numbers.int32s().iter().enumerate() {
                    let goes = (owner as usize)
                        .checked_sub(range.start)
                        .and_then(|at| owner_goes.get(at).copied())
                        .unwrap_or(GONE);
                    if goes != GONE {
                        let new_owner = owners.first as u32 + goes;
                        let batch = rows.batches.len() as u32;
                        entries.push((new_owner, batch, row as u32, piece as u32, count));
                    }
                    count += 1;
                }
                rows.batches.push(batch);
            }
            rows.piece_ranges.push(start..start + count as usize);
            rows.piece_goes.push(vec![GONE; count as usize]);
        }
        if table.rest() == table {
            for batch in std::mem::take(&mut self.pending[table as usize - 3]) {
                let Some(numbers) = batch.column(name::ROW) else { continue };
                let at = rows.batches.len() as u32;
                let numbers = numbers.int32s().iter().enumerate();
                entries.extend(
                    numbers.map(|(row, &owner)| (owner as u32, at, row as u32, u32::MAX, 0)),
                );
                rows.batches.push(batch);
            }
        }
        entries.sort_by_key(|entry| entry.0);
        rows.batch_goes = rows.batches.iter().map(|batch| vec![GONE; batch.rows]).collect();
        for (at, &(_, batch, row, piece, piece_row)) in entries.iter().enumerate() {
            rows.batch_goes[batch as usize][row as usize] = at as u32;
            if let Some(goes) = rows.piece_goes.get_mut(piece as usize) {
                goes[piece_row as usize] = at as u32;
            }
        }
        rows.owners = entries.iter().map(|entry| entry.0 as i32).collect();
        rows.count = entries.len();
        Ok(rows)
    }

    /// Writes them; `first` is the number of the first.
    fn write_rows(
        &mut self,
        table: Table,
        rows: &OwnedRows,
        first: usize,
    ) -> Result<(), MergeError> {
        if rows.count == 0 {
            return Ok(());
        }
        let mut columns =
            vec![(name::ROW.into(), Column::full(Values::Int32(rows.owners.clone())))];
        for (place, column) in self.columns.kept[table as usize].iter().enumerate() {
            if **column != *name::ROW {
                let dictionary = self.sink.dictionary(table, place);
                let values = gather(&rows.parts(column), rows.count, dictionary);
                columns.extend(values.map(|values| (column.clone(), values)));
            }
        }
        self.write(table, TableBatch { rows: rows.count, columns })?;
        if table.rest() != table {
            for column in &self.columns.demoted[table as usize] {
                let rest = demoted(column, &rows.parts(column), rows.count, first);
                self.pending[table as usize].extend(rest);
            }
        }
        Ok(())
    }
}

/// The owners of rows: for each piece which of its rows, and where they go.
struct Owners<'a> {
    ranges: &'a [Range<usize>],
    /// Counted from `first`.
    goes: &'a [Vec<u32>],
    first: usize,
}

/// Rows of an owned table, and where they go, counted from the first of them.
#[derive(Default)]
struct OwnedRows {
    count: usize,
    /// The new owner of each new row.
    owners: Vec<i32>,
    batches: Vec<TableBatch>,
    batch_goes: Vec<Vec<u32>>,
    piece_ranges: Vec<Range<usize>>,
    piece_goes: Vec<Vec<u32>>,
}

impl OwnedRows {
    fn parts(&self, column: &str) -> Vec<Part<'_>> {
        let batches = self.batches.iter().zip(&self.batch_goes);
        batches
            .filter_map(|(batch, goes)| Some(Part { column: batch.column(column)?, goes }))
            .collect()
    }
}

/// The values of a column that the merged piece does not have, as rows of the rest table. `first` is the
/// number of the owners' first row.
fn demoted(column: &str, parts: &[Part<'_>], rows: usize, first: usize) -> Option<TableBatch> {
    let (value_type, key) = parse_attribute_column(column)?;
    let mut dictionary = Dictionary::default();
    let gathered = gather(parts, rows, &mut dictionary)?;
    let owners: Vec<i32> = gathered.rows_present().map(|row| (first + row) as i32).collect();
    let values = match gathered.values() {
        Values::Codes(codes, _) => {
            Values::Codes(codes.clone(), Arc::new(dictionary.texts().clone()))
        }
        other => other.clone(),
    };
    let mut keys = Texts::default();
    keys.push(key.as_bytes());
    let rows = owners.len();
    Some(TableBatch {
        rows,
        columns: vec![
            (name::ROW.into(), Column::full(Values::Int32(owners))),
            (name::KEY.into(), Column::full(Values::Codes(vec![0; rows], Arc::new(keys)))),
            (value_type.name().into(), Column::full(values)),
        ],
    })
}
