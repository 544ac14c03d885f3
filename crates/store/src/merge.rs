//! Several pieces into one block: sealing merges the chunks of a head, compaction merges blocks.
//!
//! Goes through the traces in order of their ids, a stretch at a time, so that memory holds a few
//! rows of every piece whatever their size. A trace that lies in several pieces comes together
//! here, a span that came twice is written once, and the trace's row is computed anew.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array};

use crate::block::{BlockFacts, BlockMeta, BlockWriter, Forward, TableColumns};
use crate::builder::{Interner, dictionary, unresolved_parents};
use crate::catalog::Catalog;
use crate::columns::{Table, data_type, name, parse_attribute_column, required};
use crate::gather::{Place, gather};
use crate::piece::{Damaged, Piece, TableBatch, TableStream};
use crate::scopes::ScopeList;
use crate::summary::{SpanFacts, TraceTable, TraceTableBuilder};
use crate::types::ValueType;

/// Rows that are merged at a time, unless one trace has more.
const BATCH_ROWS: usize = 16 * 1024;

/// The most attribute columns of a table in a block.
const ATTRIBUTE_COLUMNS_MAX: usize = 256;

/// An attribute that fewer than one in so many rows have goes to the rest table.
const DENSE_SHARE: u64 = 500;

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

/// Which columns the block will have.
struct Columns {
    kept: TableColumns,
    /// Attribute columns that go to the rest tables, for spans, events and links.
    demoted: [Vec<String>; 3],
}

impl Columns {
    fn of(pieces: &[Arc<dyn Piece>]) -> Result<Self, MergeError> {
        let mut kept = TableColumns::default();
        let mut demoted: [Vec<String>; 3] = Default::default();
        for table in [Table::Spans, Table::Events, Table::Links] {
            let mut counts: HashMap<String, u64> = HashMap::new();
            for piece in pieces {
                for (column, count) in piece.attribute_counts(table)? {
                    *counts.entry(column).or_default() += count;
                }
            }
            let rows: usize = pieces.iter().map(|piece| piece.row_count(table)).sum();
            let union = union_of_columns(pieces, table)?;
            let (mut attributes, own): (Vec<String>, Vec<String>) =
                union.into_iter().partition(|column| parse_attribute_column(column).is_some());
            let count = |column: &String| counts.get(column).copied().unwrap_or(0);
            attributes.sort_by_key(|column| std::cmp::Reverse(count(column)));
            let dense = attributes
                .iter()
                .take(ATTRIBUTE_COLUMNS_MAX)
                .take_while(|column| count(column) * DENSE_SHARE >= rows as u64)
                .count();
            demoted[table as usize] = attributes.split_off(dense);
            attributes.sort();

            let columns = &mut kept[table as usize];
            columns.extend(required(table).iter().map(|column| (*column).to_owned()));
            columns.extend(
                own.into_iter().filter(|column| !required(table).contains(&column.as_str())),
            );
            columns.extend(attributes);

            let rest = table.rest();
            let mut value_types = union_of_columns(pieces, rest)?;
            value_types.retain(|column| ValueType::from_name(column).is_some());
            value_types.extend(
                demoted[table as usize]
                    .iter()
                    .filter_map(|column| parse_attribute_column(column))
                    .map(|(value_type, _)| value_type.name().to_owned()),
            );
            let columns = &mut kept[rest as usize];
            columns.extend(required(rest).iter().map(|column| (*column).to_owned()));
            columns.extend(value_types);
        }
        Ok(Self { kept, demoted })
    }
}

fn union_of_columns(pieces: &[Arc<dyn Piece>], table: Table) -> Result<BTreeSet<String>, Damaged> {
    let mut union = BTreeSet::new();
    for piece in pieces {
        union.extend(piece.columns(table)?);
    }
    Ok(union)
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

/// A row on its way.
#[derive(Debug, Clone, Copy)]
struct MergeRow {
    piece: u32,
    /// In the piece.
    row: u32,
    place: Place,
    kind: i32,
    facts: SpanFacts,
}

impl MergeRow {
    fn key(&self) -> (u64, u64, u64, i32, i32) {
        (self.facts.start, self.facts.span_id, self.facts.end, self.kind, self.facts.scope)
    }
}

/// The rows of a stretch, piece by piece.
#[derive(Default)]
struct Sources {
    batches: Vec<TableBatch>,
    decoded: Vec<Decoded>,
    /// For each piece its batches.
    pieces: Vec<Range<usize>>,
}

/// The columns that decide where a row goes.
struct Decoded {
    /// Row in the piece of the first row.
    first: usize,
    span_id: ArrayRef,
    parent_distance: ArrayRef,
    parent_span_id: Option<ArrayRef>,
    start: ArrayRef,
    duration: ArrayRef,
    kind: ArrayRef,
    status: ArrayRef,
    name: ArrayRef,
    scopes: Vec<i32>,
}

impl Sources {
    fn add(
        &mut self,
        batches: Vec<TableBatch>,
        rows: Range<usize>,
        scopes: &[i32],
    ) -> Result<(), Damaged> {
        let before = self.batches.len();
        let mut first = rows.start;
        for batch in batches {
            let missing =
                || Damaged { block: String::new(), reason: "its spans lack columns".to_owned() };
            let column = |name: &str| batch.column(name).cloned().ok_or_else(missing);
            let numbers = column(name::SCOPE)?;
            let scopes: Option<Vec<i32>> = numbers
                .as_primitive::<Int32Type>()
                .values()
                .iter()
                .map(|&number| scopes.get(number as usize).copied())
                .collect();
            self.decoded.push(Decoded {
                first,
                span_id: column(name::SPAN_ID)?,
                parent_distance: column(name::PARENT_DISTANCE)?,
                parent_span_id: batch.column(name::PARENT_SPAN_ID).cloned(),
                start: column(name::START)?,
                duration: column(name::DURATION)?,
                kind: column(name::KIND)?,
                status: column(name::STATUS)?,
                name: column(name::NAME)?,
                scopes: scopes.ok_or_else(missing)?,
            });
            first += batch.rows;
            self.batches.push(batch);
        }
        self.pieces.push(before..self.batches.len());
        Ok(())
    }

    fn columns(&self, column: &str) -> Vec<Option<ArrayRef>> {
        self.batches.iter().map(|batch| batch.column(column).cloned()).collect()
    }

    /// The batch that holds a piece's row, and the row in it.
    fn place(&self, piece: usize, row: usize) -> Place {
        let batches = self.pieces[piece].clone();
        let at = self.decoded[batches.clone()].partition_point(|batch| batch.first <= row);
        let source = batches.start + at.saturating_sub(1);
        (source as u32, (row - self.decoded[source].first) as u32)
    }

    fn span_id(&self, (source, row): Place) -> u64 {
        id_at(&self.decoded[source as usize].span_id, row as usize)
    }

    fn row(&self, piece: usize, row: usize, trace_start: u64) -> MergeRow {
        let place = self.place(piece, row);
        let source = &self.decoded[place.0 as usize];
        let at = place.1 as usize;
        let int = |array: &ArrayRef| array.as_primitive::<Int32Type>().value(at);
        let long = |array: &ArrayRef| array.as_primitive::<Int64Type>().value(at);
        let distance = int(&source.parent_distance);
        let parent_id = if distance != 0 {
            self.span_id(self.place(piece, (row as i64 - i64::from(distance)) as usize))
        } else {
            match &source.parent_span_id {
                Some(parents) if parents.is_valid(at) => id_at(parents, at),
                _ => 0,
            }
        };
        let start = trace_start.wrapping_add(long(&source.start) as u64);
        let facts = SpanFacts {
            span_id: self.span_id(place),
            parent_id,
            start,
            end: start.wrapping_add(long(&source.duration) as u64),
            status: int(&source.status),
            scope: source.scopes[at],
        };
        MergeRow { piece: piece as u32, row: row as u32, place, kind: int(&source.kind), facts }
    }

    fn name(&self, (source, row): Place) -> &str {
        let names = self.decoded[source as usize].name.as_dictionary::<Int32Type>();
        names.values().as_string::<i32>().value(names.keys().value(row as usize) as usize)
    }

    /// Equal spans are the same, sent twice.
    fn compare(&self, a: &MergeRow, b: &MergeRow) -> Ordering {
        let names = || self.name(a.place).cmp(self.name(b.place));
        a.key().cmp(&b.key()).then_with(names)
    }
}

fn id_at(array: &ArrayRef, row: usize) -> u64 {
    let bytes = array.as_fixed_size_binary().value(row);
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

/// The rows of a table that belong to owners, front to back.
struct Owned {
    stream: Box<dyn TableStream>,
    held: Option<TableBatch>,
    /// Rows given so far.
    given: usize,
}

impl Owned {
    fn new(stream: Box<dyn TableStream>) -> Self {
        Self { stream, held: None, given: 0 }
    }

    /// All rows whose owner is before `owner_end` and that were not given yet, and the number of
    /// the first of them.
    fn take(&mut self, owner_end: usize) -> Result<(usize, Vec<TableBatch>), Damaged> {
        let first = self.given;
        let mut taken = Vec::new();
        loop {
            let batch = match self.held.take() {
                Some(batch) => batch,
                None => match self.stream.next()? {
                    Some(batch) => batch,
                    None => break,
                },
            };
            let Some(rows) = batch.column(name::ROW).cloned() else { continue };
            let owners = rows.as_primitive::<Int32Type>().values();
            let count = owners.partition_point(|&owner| (owner as usize) < owner_end);
            if count > 0 {
                taken.push(batch.slice(0..count));
                self.given += count;
            }
            if count < batch.rows {
                self.held = Some(batch.slice(count..batch.rows));
                break;
            }
        }
        Ok((first, taken))
    }
}
