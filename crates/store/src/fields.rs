//! Columns of the open end of the head for a span's own fields: those that few rows have, and text.

use std::sync::Arc;

use crate::column::{Column, Placed, Values};
use crate::texts::Interner;

/// A column that few rows have, of the main tables' own fields.
#[derive(Debug, Default)]
pub(crate) struct Rare<T> {
    entries: Vec<(u32, T)>,
}

impl<T: Copy + Default> Rare<T> {
    /// The values at their rows' new places; `None` when no row has one.
    fn placed(&self, places: &[u32], rows: usize) -> Option<Placed<T>> {
        if self.entries.is_empty() {
            return None;
        }
        let mut placed = Placed::new(rows, self.entries.len());
        for &(row, value) in &self.entries {
            let place = places[row as usize] as usize;
            if place < rows {
                placed.put(place, value);
            }
        }
        Some(placed)
    }
}

impl Rare<u32> {
    pub(crate) fn push_unless_zero(&mut self, row: u32, value: u32) {
        if value != 0 {
            self.entries.push((row, value));
        }
    }

    /// `None` when no row has it.
    pub(crate) fn freeze(&self, places: &[u32], rows: usize) -> Option<Column> {
        let same_bits = |values: Vec<u32>| values.into_iter().map(|value| value as i32).collect();
        Some(self.placed(places, rows)?.column(|values| Values::Int32(same_bits(values))))
    }
}

#[derive(Debug, Default)]
pub(crate) struct RareText {
    codes: Rare<u32>,
    texts: Interner,
}

impl RareText {
    pub(crate) fn push_unless_empty(&mut self, row: u32, text: &[u8]) {
        if !text.is_empty() {
            self.codes.entries.push((row, self.texts.intern(text)));
        }
    }

    pub(crate) fn freeze(&self, places: &[u32], rows: usize) -> Option<Column> {
        let placed = self.codes.placed(places, rows)?;
        let texts = Arc::new(self.texts.texts().clone());
        Some(placed.column(|codes| Values::Codes(codes, texts)))
    }
}

/// Text that every row has.
#[derive(Debug, Default)]
pub(crate) struct FullText {
    codes: Vec<u32>,
    texts: Interner,
}

impl FullText {
    pub(crate) fn push(&mut self, text: &[u8]) {
        let code = self.texts.intern(text);
        self.codes.push(code);
    }

    pub(crate) fn freeze(&self, order: &[u32]) -> Column {
        let codes = order.iter().map(|&row| self.codes[row as usize]).collect();
        Column::full(Values::Codes(codes, Arc::new(self.texts.texts().clone())))
    }
}
