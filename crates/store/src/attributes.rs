//! The attributes of the open end of the head: sparse typed columns, a row and a value for each
//! attribute, made dense or left to the rest table when a chunk is frozen.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use hashbrown::HashTable;
use model::{Attribute, SpanBatch, Value, encode_any_value};

use crate::columns::{attribute_column, name};
use crate::piece::TableBatch;
use crate::texts::{Interner, dictionary};
use crate::types::ValueType;

/// A column that at least one in so many rows has is dense, the others go to the rest table.
const DENSE_SHARE: usize = 100;

/// The most attribute columns of a table in memory.
const DENSE_COLUMNS_MAX: usize = 128;

/// The values of a sparse column.
#[derive(Debug)]
enum Values {
    String { codes: Vec<i32>, texts: Interner },
    Int(Vec<i64>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
    Bytes(Vec<Vec<u8>>),
}

#[derive(Debug)]
struct Column {
    key: Box<[u8]>,
    value_type: ValueType,
    rows: Vec<u32>,
    values: Values,
}

impl Column {
    fn new(key: &[u8], value_type: ValueType) -> Self {
        let values = match value_type {
            ValueType::String => Values::String { codes: Vec::new(), texts: Interner::default() },
            ValueType::Int => Values::Int(Vec::new()),
            ValueType::Double => Values::Double(Vec::new()),
            ValueType::Bool => Values::Bool(Vec::new()),
            ValueType::Bytes | ValueType::Any => Values::Bytes(Vec::new()),
        };
        Self { key: key.into(), value_type, rows: Vec::new(), values }
    }

    fn push(&mut self, row: u32, batch: &SpanBatch, value: Value) {
        self.rows.push(row);
        match (&mut self.values, value) {
            (Values::String { codes, texts }, Value::String(text)) => {
                codes.push(texts.intern(batch.bytes_of(text)));
            }
            (Values::Int(values), Value::Int(value)) => values.push(value),
            (Values::Double(values), Value::Double(value)) => values.push(value),
            (Values::Bool(values), Value::Bool(value)) => values.push(value),
            (Values::Bytes(values), Value::Bytes(bytes)) => {
                values.push(batch.bytes_of(bytes).to_vec());
            }
            (Values::Bytes(values), other) => {
                let mut message = Vec::new();
                encode_any_value(&mut message, batch, other);
                values.push(message);
            }
            (_, _) => unreachable!("a column takes values of its own type"),
        }
    }

    fn key(&self) -> &str {
        std::str::from_utf8(&self.key).unwrap_or_default()
    }

    /// The dense array; `places` are the new rows of `rows`, `u32::MAX` for those that are gone.
    fn dense(&self, places: &[u32], rows: usize) -> ArrayRef {
        let mut valid = BooleanBufferBuilder::new(rows);
        valid.append_n(rows, false);
        let present = |valid: &mut BooleanBufferBuilder| {
            let pairs: Vec<(usize, usize)> = self
                .rows
                .iter()
                .enumerate()
                .filter(|&(_, &row)| places[row as usize] != u32::MAX)
                .map(|(at, &row)| (at, places[row as usize] as usize))
                .collect();
            for &(_, place) in &pairs {
                valid.set_bit(place, true);
            }
            pairs
        };
        let pairs = present(&mut valid);
        let nulls = if pairs.len() == rows { None } else { Some(NullBuffer::new(valid.finish())) };
        fn scatter<T: Copy + Default>(
            pairs: &[(usize, usize)],
            rows: usize,
            values: &[T],
        ) -> Vec<T> {
            let mut out = vec![T::default(); rows];
            for &(at, place) in pairs {
                out[place] = values[at];
            }
            out
        }
        match &self.values {
            Values::String { codes, texts } => {
                let keys = Int32Array::new(scatter(&pairs, rows, codes).into(), nulls);
                dictionary(keys, texts.values())
            }
            Values::Int(values) => {
                Arc::new(Int64Array::new(scatter(&pairs, rows, values).into(), nulls))
            }
            Values::Double(values) => {
                Arc::new(Float64Array::new(scatter(&pairs, rows, values).into(), nulls))
            }
            Values::Bool(values) => {
                Arc::new(BooleanArray::new(scatter(&pairs, rows, values).into(), nulls))
            }
            Values::Bytes(values) => {
                let mut at_place = vec![None; rows];
                for (at, place) in pairs {
                    at_place[place] = Some(&values[at]);
                }
                let mut builder = BinaryBuilder::new();
                for value in at_place {
                    builder.append_option(value);
                }
                Arc::new(builder.finish())
            }
        }
    }
}
/// An attribute that has no column.
struct RestRow<'a> {
    row: u32,
    column: &'a Column,
    at: usize,
}

/// The attributes of the rows of one table.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    columns: Vec<Column>,
    index: HashTable<u32>,
    /// For each column the one that last came after it: spans of one kind repeat their order.
    next: Vec<u32>,
    /// A key twice in one row, against the specification; kept all the same.
    repeated: Vec<Column>,
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
                let mut again = Column::new(key, value_type);
                again.push(row, batch, attribute.value);
                self.repeated.push(again);
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
        columns.push(Column::new(key, value_type));
        next.push(0);
        index.insert_unique(hash, at, |&at| {
            let column = &columns[at as usize];
            hasher.hash_one((&*column.key, column.value_type))
        });
        at
    }

    /// The dense columns, and a table of what is left. `rows` is the number of new rows.
    pub(crate) fn freeze(
        &self,
        places: &[u32],
        rows: usize,
    ) -> (Vec<(String, ArrayRef)>, TableBatch) {
        let mut order: Vec<&Column> = self.columns.iter().collect();
        order.sort_by_key(|column| std::cmp::Reverse(column.rows.len()));
        let dense = order
            .iter()
            .take(DENSE_COLUMNS_MAX)
            .take_while(|column| column.rows.len() * DENSE_SHARE >= rows)
            .count();
        let mut arrays: Vec<(String, ArrayRef)> = order[..dense]
            .iter()
            .map(|column| {
                let column_name = attribute_column(column.value_type, column.key());
                (column_name, column.dense(places, rows))
            })
            .collect();
        arrays.sort_by(|a, b| a.0.cmp(&b.0));

        let mut rest: Vec<RestRow<'_>> = Vec::new();
        for &column in order[dense..].iter().chain(&self.repeated.iter().collect::<Vec<_>>()) {
            for (at, &row) in column.rows.iter().enumerate() {
                let place = places[row as usize];
                if place != u32::MAX {
                    rest.push(RestRow { row: place, column, at });
                }
            }
        }
        rest.sort_by_key(|entry| entry.row);
        (arrays, rest_table(&rest))
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
    let rows = Int32Array::from_iter_values(rest.iter().map(|entry| entry.row as i32));
    let mut keys = Interner::default();
    let codes: Vec<i32> = rest.iter().map(|entry| keys.intern(&entry.column.key)).collect();
    let mut columns: Vec<(String, ArrayRef)> = vec![
        (name::ROW.to_owned(), Arc::new(rows)),
        (name::KEY.to_owned(), dictionary(codes.into(), keys.values())),
    ];
    for value_type in ValueType::ALL {
        let of_type = |entry: &RestRow<'_>| entry.column.value_type == value_type;
        if !rest.iter().any(of_type) {
            continue;
        }
        let pick = rest.iter().map(|entry| of_type(entry).then_some(entry));
        let array: ArrayRef = match value_type {
            ValueType::String => {
                let mut texts = Interner::default();
                let codes: Int32Array = pick
                    .map(|entry| match entry.map(|entry| (&entry.column.values, entry.at)) {
                        Some((Values::String { codes, texts: own }, at)) => {
                            Some(texts.intern(own.get(codes[at])))
                        }
                        _ => None,
                    })
                    .collect();
                dictionary(codes, texts.values())
            }
            ValueType::Int => Arc::new(Int64Array::from_iter(pick.map(|entry| {
                match entry.map(|entry| (&entry.column.values, entry.at)) {
                    Some((Values::Int(values), at)) => Some(values[at]),
                    _ => None,
                }
            }))),
            ValueType::Double => Arc::new(Float64Array::from_iter(pick.map(|entry| {
                match entry.map(|entry| (&entry.column.values, entry.at)) {
                    Some((Values::Double(values), at)) => Some(values[at]),
                    _ => None,
                }
            }))),
            ValueType::Bool => Arc::new(BooleanArray::from_iter(pick.map(|entry| {
                match entry.map(|entry| (&entry.column.values, entry.at)) {
                    Some((Values::Bool(values), at)) => Some(values[at]),
                    _ => None,
                }
            }))),
            ValueType::Bytes | ValueType::Any => {
                let mut builder = BinaryBuilder::new();
                for entry in pick {
                    builder.append_option(
                        match entry.map(|entry| (&entry.column.values, entry.at)) {
                            Some((Values::Bytes(values), at)) => Some(&values[at]),
                            _ => None,
                        },
                    );
                }
                Arc::new(builder.finish())
            }
        };
        columns.push((value_type.name().to_owned(), array));
    }
    TableBatch { rows: rest.len(), columns }
}
