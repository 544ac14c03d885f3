//! Rows of several columns of one name into one column, in a new order.

use std::sync::Arc;

use crate::column::{Column, Placed, Values};
use crate::texts::{Interner, Texts};

/// A column, and where its rows go.
pub(crate) struct Part<'a> {
    pub(crate) column: &'a Column,
    /// The new row of each row; [`GONE`] for those that are left out.
    pub(crate) goes: &'a [u32],
}

/// The place of a row that is left out.
pub(crate) const GONE: u32 = u32::MAX;

const UNSET: u32 = u32::MAX;

/// Distinct texts of a column that is put together from others.
#[derive(Default)]
pub(crate) struct Dictionary {
    texts: Interner,
    /// Numbers in others' texts to numbers here.
    known: Vec<(Arc<Texts>, Vec<u32>)>,
}

impl Dictionary {
    pub(crate) fn texts(&self) -> &Texts {
        self.texts.texts()
    }

    /// The index of the table of numbers for those texts.
    fn table(&mut self, texts: &Arc<Texts>) -> usize {
        let same = |(known, _): &(Arc<Texts>, _)| Arc::ptr_eq(known, texts);
        self.known.iter().position(same).unwrap_or_else(|| {
            self.known.push((texts.clone(), vec![UNSET; texts.len()]));
            self.known.len() - 1
        })
    }

    #[inline]
    fn translate(&mut self, table: usize, number: u32) -> u32 {
        let (texts, numbers) = &mut self.known[table];
        let known = &mut numbers[number as usize];
        if *known == UNSET {
            *known = self.texts.intern(texts.get(number));
        }
        *known
    }
}

/// The column of so many rows that the parts make up; `None` when no row has a value. The codes of
/// text are numbers in `dictionary`, not in the texts that come with the column.
pub(crate) fn gather(
    parts: &[Part<'_>],
    rows: usize,
    dictionary: &mut Dictionary,
) -> Option<Column> {
    let first = parts.first()?;
    let column = match first.column.values() {
        Values::Codes(..) => {
            let mut out = Placed::new(rows, value_count(parts));
            for part in parts {
                let Some((codes, texts)) = part.column.codes() else { continue };
                // Texts that are met once need no table.
                let table = (codes.len() != texts.len() || texts.len() <= 1024)
                    .then(|| dictionary.table(texts));
                each(part, codes, |to, code| {
                    let code = match table {
                        Some(table) => dictionary.translate(table, code),
                        None => dictionary.texts.intern(texts.get(code)),
                    };
                    out.put(to, code);
                });
            }
            out.column(|codes| Values::Codes(codes, Arc::default()))
        }
        Values::Int32(_) => place(parts, rows, |values| match values {
            Values::Int32(values) => Some(values),
            _ => None,
        })
        .column(Values::Int32),
        Values::Int64(_) => place(parts, rows, |values| match values {
            Values::Int64(values) => Some(values),
            _ => None,
        })
        .column(Values::Int64),
        Values::Double(_) => place(parts, rows, |values| match values {
            Values::Double(values) => Some(values),
            _ => None,
        })
        .column(Values::Double),
        Values::Bool(_) => place(parts, rows, |values| match values {
            Values::Bool(values) => Some(values),
            _ => None,
        })
        .column(Values::Bool),
        Values::Id8(_) => place(parts, rows, |values| match values {
            Values::Id8(values) => Some(values),
            _ => None,
        })
        .column(Values::Id8),
        Values::Id16(_) => place(parts, rows, |values| match values {
            Values::Id16(values) => Some(values),
            _ => None,
        })
        .column(Values::Id16),
    };
    (column.values().len() > 0).then_some(column)
}

/// How many values the parts have, with those that are left out.
fn value_count(parts: &[Part<'_>]) -> usize {
    parts.iter().map(|part| part.column.values().len()).sum()
}

fn place<'a, T: Copy + Default + 'a>(
    parts: &[Part<'a>],
    rows: usize,
    get: impl Fn(&'a Values) -> Option<&'a Vec<T>>,
) -> Placed<T> {
    let mut out = Placed::new(rows, value_count(parts));
    for part in parts {
        if let Some(values) = get(part.column.values()) {
            each(part, values, |to, value| out.put(to, value));
        }
    }
    out
}

/// Calls `put` with every value that stays and its new row.
#[inline]
fn each<T: Copy>(part: &Part<'_>, values: &[T], mut put: impl FnMut(usize, T)) {
    let mut at = |row: usize, value: T| {
        let to = part.goes[row];
        if to != GONE {
            put(to as usize, value);
        }
    };
    match part.column.present() {
        None => values.iter().enumerate().for_each(|(row, &value)| at(row, value)),
        Some(bits) => bits.iter().zip(values).for_each(|(row, &value)| at(row, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(values: &[Option<&str>]) -> Column {
        let mut texts = Interner::default();
        let rows = (0..values.len() as u32).filter(|&row| values[row as usize].is_some());
        let codes = values.iter().flatten().map(|value| texts.intern(value.as_bytes())).collect();
        let texts = Arc::new(texts.texts().clone());
        Column::of_rows(rows, values.len(), Values::Codes(codes, texts))
    }

    fn read(column: &Column, dictionary: &Dictionary) -> Vec<Option<String>> {
        let (codes, _) = column.codes().unwrap();
        let text = |at: usize| dictionary.texts().text(codes[at]).to_owned();
        (0..column.len()).map(|row| column.place(row).map(text)).collect()
    }

    #[test]
    fn texts_of_several_columns_get_one_numbering() {
        let (one, two) = (words(&[Some("a"), None, Some("b")]), words(&[Some("b"), Some("c")]));
        let parts = [
            Part { column: &one, goes: &[5, 3, GONE] },
            Part { column: &two, goes: &[0, 2] },
            Part { column: &one, goes: &[GONE, GONE, 1] },
        ];
        let mut dictionary = Dictionary::default();
        let gathered = gather(&parts, 6, &mut dictionary).unwrap();
        let expected = [Some("b"), Some("b"), Some("c"), None, None, Some("a")];
        assert_eq!(read(&gathered, &dictionary), expected.map(|text| text.map(str::to_owned)));
        assert_eq!(dictionary.texts().len(), 3);
        assert_eq!(dictionary.known.len(), 2, "slices of one dictionary share its table");
    }

    #[test]
    fn numbers_come_in_the_order_of_their_new_rows() {
        let column = Column::of_rows([1, 2].into_iter(), 4, Values::Int64(vec![10, 20]));
        let parts = [Part { column: &column, goes: &[0, 2, 1, 3] }];
        let gathered = gather(&parts, 4, &mut Dictionary::default()).unwrap();
        assert_eq!(gathered.int64s(), [20, 10]);
        assert_eq!(gathered.rows_present().collect::<Vec<_>>(), [1, 2]);
        assert!(
            gather(
                &[Part { column: &column, goes: &[0, GONE, GONE, 1] }],
                2,
                &mut Dictionary::default()
            )
            .is_none()
        );
    }
}
