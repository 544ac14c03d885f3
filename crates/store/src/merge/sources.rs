//! The rows that a stretch of traces has in each piece, and what decides where they go.

use std::cmp::Ordering;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef};

use crate::columns::name;
use crate::gather::Place;
use crate::piece::{Damaged, TableBatch};
use crate::summary::SpanFacts;

/// A row on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct MergeRow {
    pub(super) piece: u32,
    /// In the piece.
    pub(super) row: u32,
    pub(super) place: Place,
    pub(super) kind: i32,
    pub(super) facts: SpanFacts,
}

impl MergeRow {
    pub(super) fn key(&self) -> (u64, u64, u64, i32, i32) {
        (self.facts.start, self.facts.span_id, self.facts.end, self.kind, self.facts.scope)
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

    pub(super) fn columns(&self, column: &str) -> Vec<Option<ArrayRef>> {
        self.batches.iter().map(|batch| batch.column(column).cloned()).collect()
    }

    /// The batch that holds a piece's row, and the row in it.
    pub(super) fn place(&self, piece: usize, row: usize) -> Place {
        let batches = self.pieces[piece].clone();
        let at = self.decoded[batches.clone()].partition_point(|batch| batch.first <= row);
        let source = batches.start + at.saturating_sub(1);
        (source as u32, (row - self.decoded[source].first) as u32)
    }

    pub(super) fn span_id(&self, (source, row): Place) -> u64 {
        id_at(&self.decoded[source as usize].span_id, row as usize)
    }

    pub(super) fn row(&self, piece: usize, row: usize, trace_start: u64) -> MergeRow {
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

    pub(super) fn name(&self, (source, row): Place) -> &str {
        let names = self.decoded[source as usize].name.as_dictionary::<Int32Type>();
        names.values().as_string::<i32>().value(names.keys().value(row as usize) as usize)
    }

    /// Equal spans are the same, sent twice.
    pub(super) fn compare(&self, a: &MergeRow, b: &MergeRow) -> Ordering {
        let names = || self.name(a.place).cmp(self.name(b.place));
        a.key().cmp(&b.key()).then_with(names)
    }
}

fn id_at(array: &ArrayRef, row: usize) -> u64 {
    let bytes = array.as_fixed_size_binary().value(row);
    bytes.try_into().map_or(0, u64::from_be_bytes)
}
