//! A column in memory: which rows have a value, and the values of those alone.
//!
//! Most columns of a wide table are null in most rows, so that only what is there is kept, read
//! and written. Parquet keeps the same two parts in its pages.

use std::ops::Range;
use std::sync::Arc;

use crate::bits::Bits;
use crate::gather::{Dictionary, Part, gather};
use crate::texts::Texts;

/// Rows of one column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    rows: usize,
    /// Which rows have a value; `None` when all have one.
    present: Option<Arc<Bits>>,
    /// As many as rows that have one.
    values: Arc<Values>,
}

/// The values that are there, in the order of their rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// Text or bytes: the number of each among distinct ones.
    Codes(Vec<u32>, Arc<Texts>),
    /// Also counts without sign, as the same bits.
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
    /// Span ids.
    Id8(Vec<u64>),
    /// Trace ids.
    Id16(Vec<u128>),
}

impl Values {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Codes(values, _) => values.len(),
            Self::Int32(values) => values.len(),
            Self::Int64(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Id8(values) => values.len(),
            Self::Id16(values) => values.len(),
        }
    }

    fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::Codes(values, texts) => Self::Codes(values[range].to_vec(), texts.clone()),
            Self::Int32(values) => Self::Int32(values[range].to_vec()),
            Self::Int64(values) => Self::Int64(values[range].to_vec()),
            Self::Double(values) => Self::Double(values[range].to_vec()),
            Self::Bool(values) => Self::Bool(values[range].to_vec()),
            Self::Id8(values) => Self::Id8(values[range].to_vec()),
            Self::Id16(values) => Self::Id16(values[range].to_vec()),
        }
    }
}

impl Column {
    /// A value for every row.
    pub(crate) fn full(values: Values) -> Self {
        Self { rows: values.len(), present: None, values: Arc::new(values) }
    }

    /// Values for the rows whose bit is set, as many as there are such bits.
    pub(crate) fn sparse(present: Bits, values: Values) -> Self {
        debug_assert_eq!(present.ones(), values.len());
        if present.ones() == present.len() {
            return Self::full(values);
        }
        Self { rows: present.len(), present: Some(Arc::new(present)), values: Arc::new(values) }
    }

    /// Values for these rows, ascending, of so many.
    pub(crate) fn of_rows(rows: impl Iterator<Item = u32>, len: usize, values: Values) -> Self {
        let mut words = vec![0u64; len.div_ceil(64)];
        for row in rows {
            words[row as usize / 64] |= 1 << (row % 64);
        }
        Self::sparse(Bits::new(words, len), values)
    }

    /// Columns one behind the other; `None` of none. Texts are numbered anew where there are
    /// several.
    pub(crate) fn concat(mut parts: Vec<Self>) -> Option<Self> {
        if parts.len() <= 1 {
            return parts.pop();
        }
        let rows: usize = parts.iter().map(Self::len).sum();
        let goes: Vec<u32> = (0..rows as u32).collect();
        let mut first = 0;
        let parts: Vec<Part<'_>> = parts
            .iter()
            .map(|column| {
                first += column.len();
                Part { column, goes: &goes[first - column.len()..first] }
            })
            .collect();
        let mut dictionary = Dictionary::default();
        let joined = gather(&parts, rows, &mut dictionary);
        let joined = joined.unwrap_or_else(|| {
            let none = parts[0].column.values.slice(0..0);
            Self::sparse(Bits::new(Vec::new(), rows), none)
        });
        Some(match &*joined.values {
            Values::Codes(codes, _) => {
                let texts = Arc::new(dictionary.texts().clone());
                let values = Arc::new(Values::Codes(codes.clone(), texts));
                Self { values, ..joined }
            }
            _ => joined,
        })
    }

    /// What it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let values = match &*self.values {
            Values::Codes(codes, texts) => codes.len() * 4 + texts.byte_len() + texts.len() * 4,
            Values::Int32(values) => values.len() * 4,
            Values::Bool(values) => values.len(),
            Values::Int64(values) => values.len() * 8,
            Values::Double(values) => values.len() * 8,
            Values::Id8(values) => values.len() * 8,
            Values::Id16(values) => values.len() * 16,
        };
        values + self.present.as_ref().map_or(0, |bits| bits.len() / 7) + 128
    }

    /// Rows, with a value or without.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// `None` when all rows have a value.
    pub(crate) fn present(&self) -> Option<&Bits> {
        self.present.as_deref()
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// The place of a row's value among the values; `None` when it has none.
    #[inline]
    pub(crate) fn place(&self, row: usize) -> Option<usize> {
        match &self.present {
            None => Some(row),
            Some(bits) => bits.get(row).then(|| bits.rank(row)),
        }
    }

    /// The rows that have a value, ascending: the row of each value.
    pub(crate) fn rows_present(&self) -> impl Iterator<Item = usize> + '_ {
        let all = if self.present.is_none() { 0..self.rows } else { 0..0 };
        all.chain(self.present.iter().flat_map(|bits| bits.iter()))
    }

    pub(crate) fn slice(&self, rows: Range<usize>) -> Self {
        if rows == (0..self.rows) {
            return self.clone();
        }
        match &self.present {
            None => Self::full(self.values.slice(rows)),
            Some(bits) => {
                let values = self.values.slice(bits.rank(rows.start)..bits.rank(rows.end));
                Self::sparse(bits.slice(rows), values)
            }
        }
    }

    /// The values of a column of this kind; none of another kind.
    pub(crate) fn int32s(&self) -> &[i32] {
        match &*self.values {
            Values::Int32(values) => values,
            _ => &[],
        }
    }

    pub(crate) fn int64s(&self) -> &[i64] {
        match &*self.values {
            Values::Int64(values) => values,
            _ => &[],
        }
    }

    pub(crate) fn id8s(&self) -> &[u64] {
        match &*self.values {
            Values::Id8(values) => values,
            _ => &[],
        }
    }

    /// A row's trace id; 0 when it has none.
    pub(crate) fn id16_at(&self, row: usize) -> u128 {
        match &*self.values {
            Values::Id16(values) => self.place(row).map_or(0, |at| values[at]),
            _ => 0,
        }
    }

    /// Codes and what they stand for, of text and bytes.
    pub(crate) fn codes(&self) -> Option<(&[u32], &Arc<Texts>)> {
        match &*self.values {
            Values::Codes(codes, texts) => Some((codes, texts)),
            _ => None,
        }
    }

    /// A row's text or bytes.
    pub(crate) fn bytes_at(&self, row: usize) -> Option<&[u8]> {
        let (codes, texts) = self.codes()?;
        Some(texts.get(codes[self.place(row)?]))
    }

    /// A row's text; empty when it has none.
    pub(crate) fn text_at(&self, row: usize) -> &str {
        self.bytes_at(row).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// A row's number of 32 bits; 0 when it has none.
    pub(crate) fn int32_at(&self, row: usize) -> i32 {
        self.place(row).and_then(|at| self.int32s().get(at).copied()).unwrap_or(0)
    }

    /// A row's number of 64 bits; 0 when it has none.
    pub(crate) fn int64_at(&self, row: usize) -> i64 {
        self.place(row).and_then(|at| self.int64s().get(at).copied()).unwrap_or(0)
    }

    /// A row's span id; 0 when it has none.
    pub(crate) fn id8_at(&self, row: usize) -> u64 {
        self.place(row).and_then(|at| self.id8s().get(at).copied()).unwrap_or(0)
    }
}

/// Values put at rows in any order, at most one at each.
pub(crate) struct Placed<T> {
    words: Vec<u64>,
    slots: Vec<T>,
}

impl<T: Copy + Default> Placed<T> {
    pub(crate) fn new(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(64)], slots: vec![T::default(); rows] }
    }

    #[inline]
    pub(crate) fn put(&mut self, row: usize, value: T) {
        self.slots[row] = value;
        self.words[row / 64] |= 1 << (row % 64);
    }

    /// The rows that have a value, and the values in their order.
    pub(crate) fn finish(self) -> (Bits, Vec<T>) {
        let bits = Bits::new(self.words, self.slots.len());
        if bits.ones() == self.slots.len() {
            return (bits, self.slots);
        }
        let values = bits.iter().map(|row| self.slots[row]).collect();
        (bits, values)
    }

    /// As a column.
    pub(crate) fn column(self, values: impl FnOnce(Vec<T>) -> Values) -> Column {
        let (bits, packed) = self.finish();
        Column::sparse(bits, values(packed))
    }
}
