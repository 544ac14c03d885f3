//! A column in memory: which rows have a value, and the values of those alone.
//!
//! Most columns of a wide table are null in most rows, so that only what is there is kept, read
//! and written. Parquet keeps the same two parts in its pages.

use std::ops::Range;
use std::sync::Arc;

use crate::bits::Bits;
use crate::gather::{Dictionary, Part, gather};
use crate::spare;
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

    fn pick(&self, ranges: &[Range<usize>]) -> Self {
        fn some<T: Copy>(values: &[T], ranges: &[Range<usize>]) -> Vec<T> {
            let mut picked = Vec::with_capacity(ranges.iter().map(ExactSizeIterator::len).sum());
            ranges.iter().for_each(|range| picked.extend_from_slice(&values[range.clone()]));
            picked
        }
        match self {
            Self::Codes(values, texts) => Self::Codes(some(values, ranges), texts.clone()),
            Self::Int32(values) => Self::Int32(some(values, ranges)),
            Self::Int64(values) => Self::Int64(some(values, ranges)),
            Self::Double(values) => Self::Double(some(values, ranges)),
            Self::Bool(values) => Self::Bool(some(values, ranges)),
            Self::Id8(values) => Self::Id8(some(values, ranges)),
            Self::Id16(values) => Self::Id16(some(values, ranges)),
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
            let none = parts[0].column.values.pick(&[]);
            Self::sparse(Bits::new(Vec::new(), rows), none)
        });
        Some(joined.with_texts(&dictionary))
    }

    /// The same with the texts that its codes are numbers in, where it has codes.
    pub(crate) fn with_texts(self, dictionary: &Dictionary) -> Self {
        match Arc::unwrap_or_clone(self.values) {
            Values::Codes(codes, _) => {
                let texts = Arc::new(dictionary.texts().clone());
                Self { values: Arc::new(Values::Codes(codes, texts)), ..self }
            }
            values => Self { values: Arc::new(values), ..self },
        }
    }

    /// The rows of some ranges, one behind the other. Texts keep their numbers.
    pub(crate) fn pick(&self, ranges: &[Range<usize>]) -> Self {
        let Some(bits) = &self.present else { return Self::full(self.values.pick(ranges)) };
        let places: Vec<Range<usize>> = ranges
            .iter()
            .map(|rows| bits.rank(rows.start)..bits.rank(rows.end))
            .filter(|places| !places.is_empty())
            .collect();
        Self::sparse(bits.pick(ranges), self.values.pick(&places))
    }

    /// Gives its vector to the next that this thread reads, unless somebody else has it, too.
    pub(crate) fn reuse(self) {
        match Arc::into_inner(self.values) {
            Some(Values::Codes(values, _)) => spare::give(values),
            Some(Values::Int32(values)) => spare::give(values),
            Some(Values::Int64(values)) => spare::give(values),
            Some(Values::Double(values)) => spare::give(values),
            _ => {}
        }
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
            None => Self::full(self.values.pick(std::slice::from_ref(&rows))),
            Some(bits) => {
                let places = bits.rank(rows.start)..bits.rank(rows.end);
                let values = self.values.pick(std::slice::from_ref(&places));
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
    rows: usize,
    values: Placing<T>,
}

enum Placing<T> {
    /// A slot for every row.
    Dense(Vec<T>),
    /// Rows and values, where slots would be empty for the most part: they take memory that the
    /// system has to clear first, column by column.
    Sparse(Vec<(u32, T)>),
}

/// Of so many rows one has a value, at least, where every row gets a slot.
const SLOTS_SHARE: usize = 4;

impl<T: Copy + Default> Placed<T> {
    /// At most so many values for so many rows.
    pub(crate) fn new(rows: usize, values_max: usize) -> Self {
        let values = match values_max.saturating_mul(SLOTS_SHARE) < rows {
            true => Placing::Sparse(Vec::with_capacity(values_max)),
            false => Placing::Dense(vec![T::default(); rows]),
        };
        Self { words: vec![0; rows.div_ceil(64)], rows, values }
    }

    #[inline]
    pub(crate) fn put(&mut self, row: usize, value: T) {
        match &mut self.values {
            Placing::Dense(slots) => slots[row] = value,
            Placing::Sparse(values) => values.push((row as u32, value)),
        }
        self.words[row / 64] |= 1 << (row % 64);
    }

    /// The rows that have a value, and the values in their order.
    fn finish(self) -> (Bits, Vec<T>) {
        let bits = Bits::new(self.words, self.rows);
        let values = match self.values {
            Placing::Dense(slots) if bits.ones() == slots.len() => slots,
            Placing::Dense(slots) => bits.iter().map(|row| slots[row]).collect(),
            Placing::Sparse(placed) => {
                let mut values = vec![T::default(); bits.ones()];
                placed.into_iter().for_each(|(row, value)| values[bits.rank(row as usize)] = value);
                values
            }
        };
        (bits, values)
    }

    /// As a column.
    pub(crate) fn column(self, values: impl FnOnce(Vec<T>) -> Values) -> Column {
        let (bits, packed) = self.finish();
        Column::sparse(bits, values(packed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_the_order_of_their_rows_whether_few_or_many() {
        for rows in [0usize, 1, 64, 100] {
            for step in [1, 3, 4, 5, 64] {
                let placed = (0..rows).step_by(step);
                let mut out = Placed::new(rows, placed.len());
                placed.clone().rev().for_each(|row| out.put(row, row as i64));
                let column = out.column(Values::Int64);
                assert_eq!(column.len(), rows);
                assert!(column.rows_present().eq(placed.clone()), "{rows} by {step}");
                assert!(column.int64s().iter().map(|&row| row as usize).eq(placed));
            }
        }
    }
}
