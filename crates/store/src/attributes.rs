//! The attributes of the open end of the head: typed columns that hold a row and a value for each
//! attribute, sorted when a chunk is frozen.

use std::sync::Arc;

use hashbrown::HashTable;
use model::{Attribute, SpanBatch, Value, encode_any_value};

use crate::column::{Column, Placed, Values};
use crate::columns::{attribute_column, name};
use crate::piece::TableBatch;
use crate::texts::Interner;
use crate::types::ValueType;

/// The most attribute columns of a table in memory; those of the rarest keys go to the rest table.
pub(crate) const COLUMNS_MAX: usize = 1024;

/// The values of a growing column.
#[derive(Debug)]
enum Growing {
    Codes(Vec<u32>, Interner),
    Int(Vec<i64>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
}

#[derive(Debug)]
struct GrowingColumn {
    key: Box<[u8]>,
    value_type: ValueType,
    rows: Vec<u32>,
    values: Growing,
}

impl GrowingColumn {
    fn new(key: &[u8], value_type: ValueType) -> Self {
        let values = match value_type {
            ValueType::Int => Growing::Int(Vec::new()),
            ValueType::Double => Growing::Double(Vec::new()),
            ValueType::Bool => Growing::Bool(Vec::new()),
            ValueType::String | ValueType::Bytes | ValueType::Any => {
                Growing::Codes(Vec::new(), Interner::default())
            }
        };
        Self { key: key.into(), value_type, rows: Vec::new(), values }
    }

    fn push(&mut self, row: u32, batch: &SpanBatch, value: Value) {
        self.rows.push(row);
        match (&mut self.values, value) {
            (Growing::Codes(codes, texts), Value::String(text)) => {
                codes.push(texts.intern(batch.bytes_of(text)));
            }
            (Growing::Codes(codes, texts), Value::Bytes(bytes)) => {
                codes.push(texts.intern(batch.bytes_of(bytes)));
            }
            (Growing::Codes(codes, texts), other) => {
                let mut message = Vec::new();
                encode_any_value(&mut message, batch, other);
                codes.push(texts.intern(&message));
            }
            (Growing::Int(values), Value::Int(value)) => values.push(value),
            (Growing::Double(values), Value::Double(value)) => values.push(value),
            (Growing::Bool(values), Value::Bool(value)) => values.push(value),
            (_, _) => unreachable!("a column takes values of its own type"),
        }
    }

    fn key(&self) -> &str {
        std::str::from_utf8(&self.key).unwrap_or_default()
    }

    /// The column; `places` are the new rows of its rows, `u32::MAX` for those that are gone.
    fn freeze(&self, places: &[u32], rows: usize) -> Column {
        let of_rows = self.rows.iter().map(|&row| places[row as usize]);
        match &self.values {
            Growing::Codes(codes, texts) => {
                let texts = Arc::new(texts.texts().clone());
                placed(of_rows, codes, rows).column(|codes| Values::Codes(codes, texts))
            }
            Growing::Int(values) => placed(of_rows, values, rows).column(Values::Int64),
            Growing::Double(values) => placed(of_rows, values, rows).column(Values::Double),
            Growing::Bool(values) => placed(of_rows, values, rows).column(Values::Bool),
        }
    }
}

fn placed<T: Copy + Default>(
    places: impl Iterator<Item = u32>,
    values: &[T],
    rows: usize,
) -> Placed<T> {
    let mut placed = Placed::new(rows, values.len());
    for (place, &value) in places.zip(values) {
        if place != u32::MAX {
            placed.put(place as usize, value);
        }
    }
    placed
}

/// An attribute that has no column.
struct RestRow<'a> {
    row: u32,
    column: &'a GrowingColumn,
    at: usize,
}

/// The attributes of the rows of one table.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    columns: Vec<GrowingColumn>,
    index: HashTable<u32>,
    /// For each column the one that last came after it: spans of one kind repeat their order.
    next: Vec<u32>,
    /// A key twice in one row, against the specification; kept all the same.
    repeated: Vec<GrowingColumn>,
    repeated_index: hashbrown::HashMap<(Box<[u8]>, ValueType), usize>,
    hasher: foldhash::fast::FixedState,
}

impl Attributes {
    pub(crate) fn append(&mut self, row: u32, batch: &SpanBatch, attributes: &[Attribute]) {
        let mut before = u32::MAX;
        for attribute in attributes {
            let key = batch.bytes_of(attribute.key);
            let value_type = value_type(attribute.value);
            let guess = self.next.get(before as usize).copied().unwrap_or(0);
            let column = match self.columns.get(guess as usize) {
                Some(column) if column.value_type == value_type && *column.key == *key => guess,
                _ => self.column(key, value_type),
            };
            if let Some(next) = self.next.get_mut(before as usize) {
                *next = column;
            }
            before = column;
            let column = &mut self.columns[column as usize];
            if column.rows.last() == Some(&row) {
                let Self { repeated, repeated_index, .. } = self;
                let place = *repeated_index.entry((key.into(), value_type)).or_insert_with(|| {
                    repeated.push(GrowingColumn::new(key, value_type));
                    repeated.len() - 1
                });
                repeated[place].push(row, batch, attribute.value);
            } else {
                column.push(row, batch, attribute.value);
            }
        }
    }

    fn column(&mut self, key: &[u8], value_type: ValueType) -> u32 {
        use std::hash::BuildHasher;
        let Self { columns, index, next, hasher, .. } = self;
        let hash = hasher.hash_one((key, value_type));
        let same = |&at: &u32| {
            let column = &columns[at as usize];
            column.value_type == value_type && *column.key == *key
        };
        if let Some(&at) = index.find(hash, same) {
            return at;
        }
        let at = columns.len() as u32;
        columns.push(GrowingColumn::new(key, value_type));
        next.push(0);
        index.insert_unique(hash, at, |&at| {
            let column = &columns[at as usize];
            hasher.hash_one((&*column.key, column.value_type))
        });
        at
    }

    /// The columns, and a table of what has none. `rows` is the number of new rows.
    pub(crate) fn freeze(
        &self,
        places: &[u32],
        rows: usize,
    ) -> (Vec<(Arc<str>, Column)>, TableBatch) {
        let mut order: Vec<&GrowingColumn> = self.columns.iter().collect();
        let own = order.len().min(COLUMNS_MAX);
        if own < order.len() {
            order.sort_by_key(|column| std::cmp::Reverse(column.rows.len()));
        }
        let mut columns: Vec<(Arc<str>, Column)> = order[..own]
            .iter()
            .map(|column| {
                let column_name = attribute_column(column.value_type, column.key());
                (column_name.into(), column.freeze(places, rows))
            })
            .collect();
        columns.sort_by(|a, b| a.0.cmp(&b.0));

        let mut rest: Vec<RestRow<'_>> = Vec::new();
        for column in order[own..].iter().copied().chain(&self.repeated) {
            for (at, &row) in column.rows.iter().enumerate() {
                let place = places[row as usize];
                if place != u32::MAX {
                    rest.push(RestRow { row: place, column, at });
                }
            }
        }
        rest.sort_by_key(|entry| entry.row);
        (columns, rest_table(&rest))
    }
}

fn value_type(value: Value) -> ValueType {
    match value {
        Value::String(_) => ValueType::String,
        Value::Int(_) => ValueType::Int,
        Value::Double(_) => ValueType::Double,
        Value::Bool(_) => ValueType::Bool,
        Value::Bytes(_) => ValueType::Bytes,
        Value::Array(_) | Value::KeyValueList(_) | Value::Empty => ValueType::Any,
    }
}

fn rest_table(rest: &[RestRow<'_>]) -> TableBatch {
    if rest.is_empty() {
        return TableBatch::default();
    }
    let owners = rest.iter().map(|entry| entry.row as i32).collect();
    let mut keys = Interner::default();
    let codes = rest.iter().map(|entry| keys.intern(&entry.column.key)).collect();
    let keys = Arc::new(keys.texts().clone());
    let mut columns: Vec<(Arc<str>, Column)> = vec![
        (name::ROW.into(), Column::full(Values::Int32(owners))),
        (name::KEY.into(), Column::full(Values::Codes(codes, keys))),
    ];
    for value_type in ValueType::ALL {
        let entries: Vec<(usize, &RestRow<'_>)> = rest
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.column.value_type == value_type)
            .collect();
        if entries.is_empty() {
            continue;
        }
        let rows = entries.iter().map(|&(row, _)| row as u32);
        let column = Column::of_rows(rows, rest.len(), rest_values(value_type, &entries));
        columns.push((value_type.name().into(), column));
    }
    TableBatch { rows: rest.len(), columns }
}

/// The values of entries of one type.
fn rest_values(value_type: ValueType, entries: &[(usize, &RestRow<'_>)]) -> Values {
    fn pick<T>(
        entries: &[(usize, &RestRow<'_>)],
        get: impl Fn(&Growing, usize) -> Option<T>,
    ) -> Vec<T> {
        entries.iter().filter_map(|(_, entry)| get(&entry.column.values, entry.at)).collect()
    }
    match value_type {
        ValueType::Int => Values::Int64(pick(entries, |values, at| match values {
            Growing::Int(values) => Some(values[at]),
            _ => None,
        })),
        ValueType::Double => Values::Double(pick(entries, |values, at| match values {
            Growing::Double(values) => Some(values[at]),
            _ => None,
        })),
        ValueType::Bool => Values::Bool(pick(entries, |values, at| match values {
            Growing::Bool(values) => Some(values[at]),
            _ => None,
        })),
        ValueType::String | ValueType::Bytes | ValueType::Any => {
            let mut texts = Interner::default();
            let codes = entries
                .iter()
                .filter_map(|(_, entry)| match &entry.column.values {
                    Growing::Codes(codes, own) => Some(texts.intern(own.get(codes[entry.at]))),
                    _ => None,
                })
                .collect();
            Values::Codes(codes, Arc::new(texts.texts().clone()))
        }
    }
}
