//! The open end of the head: spans appended row by row into growing columns, and frozen into a
//! sorted [`MemoryPiece`].
//!
//! Attribute columns are sparse (row and value), so that a span costs what it carries, however
//! many keys its neighbours use.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, FixedSizeBinaryArray, Float64Array, Int32Array,
    Int64Array, StringArray, UInt32Array,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use hashbrown::HashTable;
use model::{Attribute, SpanBatch, Value, encode_any_value};

use crate::columns::{attribute_column, name};
use crate::memory::MemoryPiece;
use crate::piece::{StartRanges, TableBatch};
use crate::scopes::{ScopeList, ScopePool};
use crate::summary::{SpanFacts, TraceTableBuilder};
use crate::types::ValueType;

/// A column that at least one in so many rows has is dense, the others go to the rest table.
const DENSE_SHARE: usize = 100;

/// The most attribute columns of a table in memory.
const DENSE_COLUMNS_MAX: usize = 128;

/// Distinct texts, numbered in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    table: HashTable<i32>,
    bytes: Vec<u8>,
    /// One entry more than texts.
    offsets: Vec<i32>,
    hasher: foldhash::fast::FixedState,
}

impl Interner {
    pub(crate) fn get(&self, number: i32) -> &[u8] {
        let number = number as usize;
        &self.bytes[self.offsets[number] as usize..self.offsets[number + 1] as usize]
    }

    #[inline]
    pub(crate) fn intern(&mut self, text: &[u8]) -> i32 {
        use std::hash::BuildHasher;
        let Self { table, bytes, offsets, hasher } = self;
        let at = |number: i32| {
            let number = number as usize;
            offsets[number] as usize..offsets[number + 1] as usize
        };
        let hash = hasher.hash_one(text);
        if let Some(&number) = table.find(hash, |&number| &bytes[at(number)] == text) {
            return number;
        }
        if offsets.is_empty() {
            offsets.push(0);
        }
        let number = (offsets.len() - 1) as i32;
        bytes.extend_from_slice(text);
        offsets.push(bytes.len() as i32);
        table.insert_unique(hash, number, |&number| {
            let number = number as usize;
            hasher.hash_one(&bytes[offsets[number] as usize..offsets[number + 1] as usize])
        });
        number
    }

    /// The texts as an Arrow array. They came from checked UTF-8.
    pub(crate) fn values(&self) -> StringArray {
        let offsets = if self.offsets.is_empty() { vec![0] } else { self.offsets.clone() };
        StringArray::new(
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Buffer::from_slice_ref(&self.bytes),
            None,
        )
    }
}

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

/// A text column from codes into distinct texts.
pub(crate) fn dictionary(keys: Int32Array, values: StringArray) -> ArrayRef {
    Arc::new(DictionaryArray::new(keys, Arc::new(values)))
}

/// An attribute that has no column.
struct RestRow<'a> {
    row: u32,
    column: &'a Column,
    at: usize,
}

/// The attributes of the rows of one table.
#[derive(Debug, Default)]
struct Attributes {
    columns: Vec<Column>,
    index: HashTable<u32>,
    /// For each column the one that last came after it: spans of one kind repeat their order.
    next: Vec<u32>,
    /// A key twice in one row, against the specification; kept all the same.
    repeated: Vec<Column>,
    hasher: foldhash::fast::FixedState,
}

impl Attributes {
    fn append(&mut self, row: u32, batch: &SpanBatch, attributes: &[Attribute]) {
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
    fn freeze(&self, places: &[u32], rows: usize) -> (Vec<(String, ArrayRef)>, TableBatch) {
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

/// A column that few rows have, of the main tables' own fields.
#[derive(Debug, Default)]
struct Rare<T> {
    entries: Vec<(u32, T)>,
}

impl Rare<u32> {
    fn push_unless_zero(&mut self, row: u32, value: u32) {
        if value != 0 {
            self.entries.push((row, value));
        }
    }

    /// `None` when no row has it.
    fn freeze(&self, places: &[u32], rows: usize) -> Option<ArrayRef> {
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
struct RareText {
    codes: Rare<i32>,
    texts: Interner,
}

impl RareText {
    fn push_unless_empty(&mut self, row: u32, text: &[u8]) {
        if !text.is_empty() {
            self.codes.entries.push((row, self.texts.intern(text)));
        }
    }

    fn freeze(&self, places: &[u32], rows: usize) -> Option<ArrayRef> {
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
struct Texts {
    codes: Vec<i32>,
    texts: Interner,
}

impl Texts {
    fn push(&mut self, text: &[u8]) {
        let code = self.texts.intern(text);
        self.codes.push(code);
    }

    fn freeze(&self, order: &[u32]) -> ArrayRef {
        let keys = order.iter().map(|&row| self.codes[row as usize]);
        dictionary(Int32Array::from_iter_values(keys), self.texts.values())
    }
}

#[derive(Debug, Default)]
struct Events {
    owner: Vec<u32>,
    time: Vec<u64>,
    name: Texts,
    dropped: Rare<u32>,
    attributes: Attributes,
}

#[derive(Debug, Default)]
struct Links {
    owner: Vec<u32>,
    trace: Vec<[u8; 16]>,
    span: Vec<[u8; 8]>,
    trace_state: RareText,
    flags: Rare<u32>,
    dropped: Rare<u32>,
    attributes: Attributes,
}

/// What makes two arrivals the same span: sent twice, stored once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    trace: u128,
    start: u64,
    span: u64,
    end: u64,
    kind: i32,
    scope: i32,
    name: i32,
}

/// Spans in the order they came.
#[derive(Debug, Default)]
pub(crate) struct ChunkBuilder {
    identity: Vec<Identity>,
    parent: Vec<u64>,
    status: Vec<i32>,
    names: Interner,
    status_message: RareText,
    trace_state: RareText,
    flags: Rare<u32>,
    dropped_attributes: Rare<u32>,
    dropped_events: Rare<u32>,
    dropped_links: Rare<u32>,
    attributes: Attributes,
    events: Events,
    links: Links,
    scopes: ScopeList,
    start_ranges: StartRanges,
    /// Bytes of the requests that the rows came in.
    bytes: usize,
}

impl ChunkBuilder {
    pub(crate) fn len(&self) -> usize {
        self.identity.len()
    }

    /// Bytes of the requests that the rows came in.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a request's spans, which came at that time.
    pub(crate) fn append(
        &mut self,
        batch: &SpanBatch,
        received_unix_nano: u64,
        pool: &mut ScopePool,
    ) {
        self.bytes += batch.bytes().len();
        let scopes: Vec<i32> = batch
            .scopes()
            .iter()
            .map(|scope| match pool.row(batch, scope) {
                Some(row) => self.scopes.number(&row),
                // Only of a scope all whose spans were left out.
                None => 0,
            })
            .collect();
        for span in batch.spans() {
            let row = self.identity.len() as u32;
            self.identity.push(Identity {
                trace: span.trace_id.to_number(),
                start: span.start_unix_nano,
                span: span.span_id.to_number(),
                end: span.end_unix_nano,
                kind: span.kind,
                scope: scopes[span.scope as usize],
                name: self.names.intern(batch.bytes_of(span.name)),
            });
            self.start_ranges.add(span.start_unix_nano, received_unix_nano);
            self.parent.push(span.parent_span_id.to_number());
            self.status.push(span.status_code);
            self.status_message.push_unless_empty(row, batch.bytes_of(span.status_message));
            self.trace_state.push_unless_empty(row, batch.bytes_of(span.trace_state));
            self.flags.push_unless_zero(row, span.flags);
            self.dropped_attributes.push_unless_zero(row, span.dropped_attributes_count);
            self.dropped_events.push_unless_zero(row, span.dropped_events_count);
            self.dropped_links.push_unless_zero(row, span.dropped_links_count);
            self.attributes.append(row, batch, batch.span_attributes(span));
            for event in batch.span_events(span) {
                let at = self.events.owner.len() as u32;
                self.events.owner.push(row);
                self.events.time.push(event.time_unix_nano);
                self.events.name.push(batch.bytes_of(event.name));
                self.events.dropped.push_unless_zero(at, event.dropped_attributes_count);
                self.events.attributes.append(at, batch, batch.event_attributes(event));
            }
            for link in batch.span_links(span) {
                let at = self.links.owner.len() as u32;
                self.links.owner.push(row);
                self.links.trace.push(link.trace_id.0);
                self.links.span.push(link.span_id.0);
                self.links.trace_state.push_unless_empty(at, batch.bytes_of(link.trace_state));
                self.links.flags.push_unless_zero(at, link.flags);
                self.links.dropped.push_unless_zero(at, link.dropped_attributes_count);
                self.links.attributes.append(at, batch, batch.link_attributes(link));
            }
        }
    }

    /// The rows so far as a piece, sorted, each span once.
    pub(crate) fn freeze(&self, id: String) -> MemoryPiece {
        let mut order: Vec<u32> = (0..self.identity.len() as u32).collect();
        order.sort_unstable_by_key(|&row| (self.identity[row as usize], row));
        order.dedup_by_key(|row| self.identity[*row as usize]);
        let mut places = vec![u32::MAX; self.identity.len()];
        for (place, &row) in order.iter().enumerate() {
            places[row as usize] = place as u32;
        }
        let rows = order.len();

        let mut traces = TraceTableBuilder::new();
        for scope in self.scopes.rows() {
            traces.add_scope(scope.service());
        }
        let mut distances = Vec::with_capacity(rows);
        let mut starts = Vec::with_capacity(rows);
        let mut facts = Vec::new();
        for group in order.chunk_by(|a, b| self.trace(*a) == self.trace(*b)) {
            facts.clear();
            facts.extend(group.iter().map(|&row| self.facts(row as usize)));
            traces.add(self.trace(group[0]), &facts, &mut distances, |at| {
                let name = self.identity[group[at] as usize].name;
                std::str::from_utf8(self.names.get(name)).unwrap_or_default()
            });
            let start = facts.iter().map(|span| span.start).filter(|&start| start > 0).min();
            starts.resize(starts.len() + group.len(), start.unwrap_or(0));
        }
        let traces = traces.finish();

        let spans = self.spans_table(&order, &places, &distances, &starts);
        let (events, events_rest) = self.events_table(&places);
        let (links, links_rest) = self.links_table(&places);
        let (spans, spans_rest) = spans;
        let tables = [spans, events, links, spans_rest, events_rest, links_rest];
        let scopes = self.scopes.rows().to_vec();
        MemoryPiece::new(id, tables, traces, scopes, self.start_ranges)
    }

    fn trace(&self, row: u32) -> u128 {
        self.identity[row as usize].trace
    }

    fn facts(&self, row: usize) -> SpanFacts {
        let identity = &self.identity[row];
        SpanFacts {
            span_id: identity.span,
            parent_id: self.parent[row],
            start: identity.start,
            end: identity.end,
            status: self.status[row],
            scope: identity.scope,
        }
    }

    fn spans_table(
        &self,
        order: &[u32],
        places: &[u32],
        distances: &[i32],
        starts: &[u64],
    ) -> (TableBatch, TableBatch) {
        let rows = order.len();
        let identities = || order.iter().map(|&row| &self.identity[row as usize]);
        let ints = |get: &dyn Fn(&Identity) -> i32| -> ArrayRef {
            Arc::new(Int32Array::from_iter_values(identities().map(get)))
        };
        let start = identities()
            .zip(starts)
            .map(|(identity, &start)| identity.start.wrapping_sub(start) as i64);
        let duration =
            identities().map(|identity| identity.end.wrapping_sub(identity.start) as i64);
        let status = order.iter().map(|&row| self.status[row as usize]);
        let mut columns: Vec<(String, ArrayRef)> = vec![
            (
                name::TRACE_ID.to_owned(),
                fixed_bytes(identities().map(|identity| identity.trace.to_be_bytes())),
            ),
            (
                name::SPAN_ID.to_owned(),
                fixed_bytes(identities().map(|identity| identity.span.to_be_bytes())),
            ),
            (
                name::PARENT_DISTANCE.to_owned(),
                Arc::new(Int32Array::from_iter_values(distances.iter().copied())),
            ),
            (name::START.to_owned(), Arc::new(Int64Array::from_iter_values(start))),
            (name::DURATION.to_owned(), Arc::new(Int64Array::from_iter_values(duration))),
            (
                name::NAME.to_owned(),
                dictionary(
                    Int32Array::from_iter_values(identities().map(|identity| identity.name)),
                    self.names.values(),
                ),
            ),
            (name::KIND.to_owned(), ints(&|identity| identity.kind)),
            (name::STATUS.to_owned(), Arc::new(Int32Array::from_iter_values(status))),
            (name::SCOPE.to_owned(), ints(&|identity| identity.scope)),
        ];
        let parents: Vec<u64> = order.iter().map(|&row| self.parent[row as usize]).collect();
        columns.extend(unresolved_parents(&parents, distances));
        let rare = [
            (name::STATUS_MESSAGE, self.status_message.freeze(places, rows)),
            (name::TRACE_STATE, self.trace_state.freeze(places, rows)),
            (name::FLAGS, self.flags.freeze(places, rows)),
            (name::DROPPED_ATTRIBUTES, self.dropped_attributes.freeze(places, rows)),
            (name::DROPPED_EVENTS, self.dropped_events.freeze(places, rows)),
            (name::DROPPED_LINKS, self.dropped_links.freeze(places, rows)),
        ];
        push_present(&mut columns, rare);
        let (attributes, rest) = self.attributes.freeze(places, rows);
        columns.extend(attributes);
        (TableBatch { rows, columns }, rest)
    }

    fn events_table(&self, span_places: &[u32]) -> (TableBatch, TableBatch) {
        let (order, places) = order_by_owner(&self.events.owner, span_places);
        if order.is_empty() {
            return Default::default();
        }
        let owner = |&at: &u32| self.events.owner[at as usize] as usize;
        let times = order.iter().map(|at| {
            let start = self.identity[owner(at)].start;
            self.events.time[*at as usize].wrapping_sub(start) as i64
        });
        let mut columns: Vec<(String, ArrayRef)> = vec![
            (name::ROW.to_owned(), owner_rows(&order, &self.events.owner, span_places)),
            (name::TIME.to_owned(), Arc::new(Int64Array::from_iter_values(times))),
            (name::NAME.to_owned(), self.events.name.freeze(&order)),
        ];
        let dropped = self.events.dropped.freeze(&places, order.len());
        push_present(&mut columns, [(name::DROPPED_ATTRIBUTES, dropped)]);
        let (attributes, rest) = self.events.attributes.freeze(&places, order.len());
        columns.extend(attributes);
        (TableBatch { rows: order.len(), columns }, rest)
    }

    fn links_table(&self, span_places: &[u32]) -> (TableBatch, TableBatch) {
        let (order, places) = order_by_owner(&self.links.owner, span_places);
        if order.is_empty() {
            return Default::default();
        }
        let rows = order.len();
        let mut columns: Vec<(String, ArrayRef)> = vec![
            (name::ROW.to_owned(), owner_rows(&order, &self.links.owner, span_places)),
            (
                name::TRACE_ID.to_owned(),
                fixed_bytes(order.iter().map(|&at| self.links.trace[at as usize])),
            ),
            (
                name::SPAN_ID.to_owned(),
                fixed_bytes(order.iter().map(|&at| self.links.span[at as usize])),
            ),
        ];
        let rare = [
            (name::TRACE_STATE, self.links.trace_state.freeze(&places, rows)),
            (name::FLAGS, self.links.flags.freeze(&places, rows)),
            (name::DROPPED_ATTRIBUTES, self.links.dropped.freeze(&places, rows)),
        ];
        push_present(&mut columns, rare);
        let (attributes, rest) = self.links.attributes.freeze(&places, rows);
        columns.extend(attributes);
        (TableBatch { rows, columns }, rest)
    }
}

fn push_present<const N: usize>(
    columns: &mut Vec<(String, ArrayRef)>,
    optional: [(&str, Option<ArrayRef>); N],
) {
    for (column, array) in optional {
        if let Some(array) = array {
            columns.push((column.to_owned(), array));
        }
    }
}

/// The column of parents that are not among the rows; `None` when all are.
pub(crate) fn unresolved_parents(parents: &[u64], distances: &[i32]) -> Option<(String, ArrayRef)> {
    let unresolved = |at: usize| parents[at] != 0 && distances[at] == 0;
    if !(0..parents.len()).any(unresolved) {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(parents.len());
    let mut bytes = Vec::with_capacity(parents.len() * 8);
    for (at, parent) in parents.iter().enumerate() {
        valid.append(unresolved(at));
        bytes.extend_from_slice(&parent.to_be_bytes());
    }
    let nulls = NullBuffer::new(valid.finish());
    let array = FixedSizeBinaryArray::new(8, Buffer::from(bytes), Some(nulls));
    Some((name::PARENT_SPAN_ID.to_owned(), Arc::new(array)))
}

pub(crate) fn fixed_bytes<const N: usize>(values: impl Iterator<Item = [u8; N]>) -> ArrayRef {
    let mut bytes = Vec::with_capacity(values.size_hint().0 * N);
    for value in values {
        bytes.extend_from_slice(&value);
    }
    Arc::new(FixedSizeBinaryArray::new(N as i32, Buffer::from(bytes), None))
}

/// Rows in the order of their owners' new places, without those whose owner is gone; and the new
/// place of each row.
fn order_by_owner(owner: &[u32], owner_places: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let place_of_owner = |at: u32| owner_places[owner[at as usize] as usize];
    let mut order: Vec<u32> =
        (0..owner.len() as u32).filter(|&at| place_of_owner(at) != u32::MAX).collect();
    order.sort_by_key(|&at| place_of_owner(at));
    let mut places = vec![u32::MAX; owner.len()];
    for (place, &at) in order.iter().enumerate() {
        places[at as usize] = place as u32;
    }
    (order, places)
}

fn owner_rows(order: &[u32], owner: &[u32], owner_places: &[u32]) -> ArrayRef {
    let rows = order.iter().map(|&at| owner_places[owner[at as usize] as usize] as i32);
    Arc::new(Int32Array::from_iter_values(rows))
}
