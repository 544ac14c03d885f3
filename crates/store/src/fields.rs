//! Columns of the open end of the head for a span's own fields: those that few rows have, and text.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, UInt32Array};

use crate::texts::{Interner, dictionary};

/// A column that few rows have, of the main tables' own fields.
#[derive(Debug, Default)]
pub(crate) struct Rare<T> {
    entries: Vec<(u32, T)>,
}

impl Rare<u32> {
    pub(crate) fn push_unless_zero(&mut self, row: u32, value: u32) {
        if value != 0 {
            self.entries.push((row, value));
        }
    }

    /// `None` when no row has it.
    pub(crate) fn freeze(&self, places: &[u32], rows: usize) -> Option<ArrayRef> {
        if self.entries.is_empty() {
            return None;
        }
        let mut dense = vec![None; rows];
        for &(row, value) in &self.entries {
            if let Some(place) = dense.get_mut(places[row as usize] as usize) {
                *place = Some(value);
            }
        }
        Some(Arc::new(UInt32Array::from(dense)))
    }
}

#[derive(Debug, Default)]
pub(crate) struct RareText {
    codes: Rare<i32>,
    texts: Interner,
}

impl RareText {
    pub(crate) fn push_unless_empty(&mut self, row: u32, text: &[u8]) {
        if !text.is_empty() {
            self.codes.entries.push((row, self.texts.intern(text)));
        }
    }

    pub(crate) fn freeze(&self, places: &[u32], rows: usize) -> Option<ArrayRef> {
        if self.codes.entries.is_empty() {
            return None;
        }
        let mut dense = vec![None; rows];
        for &(row, code) in &self.codes.entries {
            if let Some(place) = dense.get_mut(places[row as usize] as usize) {
                *place = Some(code);
            }
        }
        Some(dictionary(Int32Array::from(dense), self.texts.values()))
    }
}

/// Text that every row has.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    codes: Vec<i32>,
    texts: Interner,
}

impl Texts {
    pub(crate) fn push(&mut self, text: &[u8]) {
        let code = self.texts.intern(text);
        self.codes.push(code);
    }

    pub(crate) fn freeze(&self, order: &[u32]) -> ArrayRef {
        let keys = order.iter().map(|&row| self.codes[row as usize]);
        dictionary(Int32Array::from_iter_values(keys), self.texts.values())
    }
}
