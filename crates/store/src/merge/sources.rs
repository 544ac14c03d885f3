//! The rows that a stretch of traces has in each piece, and what decides where they go.

use std::cmp::Ordering;
use std::ops::Range;

use crate::column::Column;
use crate::columns::name;
use crate::gather::Part;
use crate::piece::{Damaged, TableBatch};
use crate::summary::SpanFacts;

/// A row of a batch: which batch, which row.
pub(super) type Place = (u32, u32);

/// A row on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct MergeRow {
    pub(super) piece: u32,
    /// In the piece.
    pub(super) row: u32,
    pub(super) place: Place,
    pub(super) facts: SpanFacts,
}

impl MergeRow {
    pub(super) fn key(&self) -> (u64, u64, u64, i32, i32) {
        (self.facts.start, self.facts.span_id, self.facts.end, self.facts.kind, self.facts.scope)
    }
}

/// The rows of a stretch, piece by piece.
#[derive(Default)]
pub(super) struct Sources {
    batches: Vec<TableBatch>,
    decoded: Vec<Decoded>,
    /// For each piece its batches.
    pieces: Vec<Range<usize>>,
}

/// The columns that decide where a row goes.
struct Decoded {
    piece: usize,
    /// Row in the piece of the first row.
    first: usize,
    span_id: Column,
    parent_distance: Column,
    parent_span_id: Option<Column>,
    start: Column,
    duration: Column,
    kind: Column,
    status: Column,
    name: Column,
    scopes: Vec<i32>,
}

impl Sources {
    pub(super) fn add(
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
            let column = |name: &str| {
                let whole = batch.column(name).filter(|column| column.present().is_none());
                whole.cloned().ok_or_else(missing)
            };
            let numbers = column(name::SCOPE)?;
            let scopes: Option<Vec<i32>> = numbers
                .int32s()
                .iter()
                .map(|&number| scopes.get(number as usize).copied())
                .collect();
            self.decoded.push(Decoded {
                piece: self.pieces.len(),
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

    /// The parts of a column. `goes` has for each piece the new rows of the range of it that is
    /// here.
    pub(super) fn parts<'a>(
        &'a self,
        column: &str,
        ranges: &[Range<usize>],
        goes: &'a [Vec<u32>],
    ) -> Vec<Part<'a>> {
        let part = |(batch, decoded): (&'a TableBatch, &Decoded)| {
            let first = decoded.first - ranges[decoded.piece].start;
            let goes = &goes[decoded.piece][first..first + batch.rows];
            Some(Part { column: batch.column(column)?, goes })
        };
        self.batches.iter().zip(&self.decoded).filter_map(part).collect()
    }

    /// The batch that holds a piece's row, and the row in it.
    pub(super) fn place(&self, piece: usize, row: usize) -> Place {
        let batches = self.pieces[piece].clone();
        let at = self.decoded[batches.clone()].partition_point(|batch| batch.first <= row);
        let source = batches.start + at.saturating_sub(1);
        (source as u32, (row - self.decoded[source].first) as u32)
    }

    pub(super) fn span_id(&self, (source, row): Place) -> u64 {
        self.decoded[source as usize].span_id.id8s()[row as usize]
    }

    pub(super) fn row(&self, piece: usize, row: usize, trace_start: u64) -> MergeRow {
        let place = self.place(piece, row);
        let source = &self.decoded[place.0 as usize];
        let at = place.1 as usize;
        let distance = source.parent_distance.int32s()[at];
        let parent_id = if distance != 0 {
            self.span_id(self.place(piece, (row as i64 - i64::from(distance)) as usize))
        } else {
            source.parent_span_id.as_ref().map_or(0, |parents| parents.id8_at(at))
        };
        let start = trace_start.wrapping_add(source.start.int64s()[at] as u64);
        let facts = SpanFacts {
            span_id: source.span_id.id8s()[at],
            parent_id,
            start,
            end: start.wrapping_add(source.duration.int64s()[at] as u64),
            kind: source.kind.int32s()[at],
            status: source.status.int32s()[at],
            scope: source.scopes[at],
        };
        MergeRow { piece: piece as u32, row: row as u32, place, facts }
    }

    pub(super) fn name(&self, (source, row): Place) -> &str {
        self.decoded[source as usize].name.text_at(row as usize)
    }

    /// Equal spans are the same, sent twice.
    pub(super) fn compare(&self, a: &MergeRow, b: &MergeRow) -> Ordering {
        let names = || self.name(a.place).cmp(self.name(b.place));
        a.key().cmp(&b.key()).then_with(names)
    }
}
