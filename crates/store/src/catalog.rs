//! The small tables: services, operations, attribute names and their frequent values.
//!
//! Every piece has its own, counted when it is written; the store's are their sum, so that they
//! need no scan and outlive no data.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{Attribute, SpanBatch, Value, status_code};
use serde::{Deserialize, Serialize};

use crate::column::{Column, Values as Packed};
use crate::columns::{Table, name, parse_attribute_column};
use crate::piece::TableBatch;
use crate::scopes::ScopeRow;
use crate::texts::Texts;
use crate::types::{AttributeRow, Level, OperationRow, ServiceRow, ValueList, ValueRow, ValueType};

/// The most operations of a piece; a service without bound on its names must not grow the tables.
const OPERATIONS_MAX: usize = 10_000;

/// The most values of an attribute that are counted while a piece is written.
const VALUES_COUNTED_MAX: usize = 1_000;

/// Rows with more distinct texts than this are counted by a sample.
const DISTINCT_MAX: usize = 4 * 1024;

/// The texts of a column when they are not those that come with it.
pub(crate) type TextsOf<'a> = dyn Fn(&str) -> Option<&'a Texts> + 'a;

/// How many rows the sample has.
const SAMPLE_ROWS: usize = 2 * 1024;

/// The most values of an attribute that are kept.
const VALUES_KEPT_MAX: usize = 200;

/// The most attribute names of a piece.
const ATTRIBUTES_MAX: usize = 10_000;

/// Longer texts are not offered as values.
const VALUE_BYTES_MAX: usize = 256;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    spans: u64,
    errors: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.spans += other.spans;
        self.errors += other.errors;
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Values {
    count: u64,
    values: HashMap<String, u64>,
    /// Values were left out.
    incomplete: bool,
}

impl Values {
    fn add(&mut self, value: &str, count: u64) {
        if let Some(known) = self.values.get_mut(value) {
            *known += count;
        } else if self.values.len() < VALUES_COUNTED_MAX && value.len() <= VALUE_BYTES_MAX {
            self.values.insert(value.to_owned(), count);
        } else {
            self.incomplete = true;
        }
    }
}

/// The small tables of a piece.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    /// By service, name and kind.
    operations: BTreeMap<(String, String, i32), Counts>,
    services: BTreeMap<String, Counts>,
    attributes: BTreeMap<(u8, String, u8), Values>,
}

impl Catalog {
    /// The small tables of one piece's tables, in the order of [`Table::ALL`].
    pub(crate) fn of_tables(tables: &[TableBatch; 6], scopes: &[Arc<ScopeRow>]) -> Self {
        let mut catalog = Self::default();
        for (table, batch) in Table::ALL.into_iter().zip(tables) {
            catalog.add(table, batch, scopes, &|_| None);
        }
        catalog
    }

    /// Counts some rows of a table.
    pub(crate) fn add(
        &mut self,
        table: Table,
        batch: &TableBatch,
        scopes: &[Arc<ScopeRow>],
        texts: &TextsOf<'_>,
    ) {
        match table {
            Table::Spans => {
                self.add_spans(batch, scopes, texts);
                self.add_columns(Level::Span, batch, texts);
            }
            Table::Events => self.add_columns(Level::Event, batch, texts),
            Table::Links => self.add_columns(Level::Link, batch, texts),
            Table::SpansRest => self.add_rest(Level::Span, batch, texts),
            Table::EventsRest => self.add_rest(Level::Event, batch, texts),
            Table::LinksRest => self.add_rest(Level::Link, batch, texts),
        }
    }

    fn add_spans(&mut self, batch: &TableBatch, scopes: &[Arc<ScopeRow>], texts: &TextsOf<'_>) {
        let (Some(scope), Some(names), Some(kinds), Some(status)) = (
            batch.column(name::SCOPE),
            batch.column(name::NAME),
            batch.column(name::KIND),
            batch.column(name::STATUS),
        ) else {
            return;
        };
        let Some((names, own)) = names.codes() else { return };
        let texts = texts(name::NAME).unwrap_or(own);
        let mut counts: HashMap<(i32, u32, i32), Counts, foldhash::fast::RandomState> =
            HashMap::default();
        let rows = scope.int32s().iter().zip(names).zip(kinds.int32s()).zip(status.int32s());
        for (((&scope, &name), &kind), &status) in rows {
            let counts = counts.entry((scope, name, kind)).or_default();
            counts.spans += 1;
            counts.errors += u64::from(status == status_code::ERROR);
        }
        let mut by_scope: BTreeMap<i32, u64> = BTreeMap::new();
        for ((scope, name, kind), counts) in counts {
            *by_scope.entry(scope).or_default() += counts.spans;
            let service = scopes[scope as usize].service().to_owned();
            self.services.entry(service.clone()).or_default().add(counts);
            self.add_operation((service, texts.text(name).to_owned(), kind), counts);
        }
        for (scope, spans) in by_scope {
            let row = &scopes[scope as usize];
            let batch = row.batch();
            self.add_list(Level::Resource, batch, batch.resource_attributes(row.resource()), spans);
            self.add_list(Level::Scope, batch, batch.scope_attributes(row.scope()), spans);
        }
    }

    fn add_operation(&mut self, key: (String, String, i32), counts: Counts) {
        if let Some(known) = self.operations.get_mut(&key) {
            known.add(counts);
        } else if self.operations.len() < OPERATIONS_MAX {
            self.operations.insert(key, counts);
        }
    }

    fn add_list(&mut self, level: Level, batch: &SpanBatch, list: &[Attribute], spans: u64) {
        for attribute in list {
            let (value_type, text) = match attribute.value {
                Value::String(text) => (ValueType::String, Some(batch.text(text).to_owned())),
                Value::Int(value) => (ValueType::Int, Some(value.to_string())),
                Value::Double(value) => (ValueType::Double, Some(value.to_string())),
                Value::Bool(value) => (ValueType::Bool, Some(value.to_string())),
                Value::Bytes(_) => (ValueType::Bytes, None),
                Value::Array(_) | Value::KeyValueList(_) | Value::Empty => (ValueType::Any, None),
            };
            let key = batch.text(attribute.key);
            if let Some(values) = self.values(level, key, value_type) {
                values.count += spans;
                match text {
                    Some(text) => values.add(&text, spans),
                    None => values.incomplete = true,
                }
            }
        }
    }

    fn values(&mut self, level: Level, key: &str, value_type: ValueType) -> Option<&mut Values> {
        let full = self.attributes.len() >= ATTRIBUTES_MAX;
        let id = (level as u8, key.to_owned(), value_type as u8);
        match self.attributes.entry(id) {
            std::collections::btree_map::Entry::Occupied(entry) => Some(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(_) if full => None,
            std::collections::btree_map::Entry::Vacant(entry) => {
                Some(entry.insert(Values::default()))
            }
        }
    }

    fn add_columns(&mut self, level: Level, batch: &TableBatch, texts: &TextsOf<'_>) {
        for (name, column) in &batch.columns {
            if let Some((value_type, key)) = parse_attribute_column(name) {
                self.add_column(level, key, value_type, column, texts(name));
            }
        }
    }

    fn add_column(
        &mut self,
        level: Level,
        key: &str,
        value_type: ValueType,
        column: &Column,
        texts: Option<&Texts>,
    ) {
        let present = column.values().len();
        if present == 0 {
            return;
        }
        let Some(values) = self.values(level, key, value_type) else { return };
        values.count += present as u64;
        match (column.values(), value_type) {
            (Packed::Codes(codes, own), ValueType::String) => {
                count_texts(values, codes, texts.unwrap_or(own));
            }
            (Packed::Int64(numbers), _) => {
                count_values(values, numbers.iter().copied(), |number| number.to_string());
            }
            (Packed::Double(numbers), _) => {
                count_values(values, numbers.iter().map(|number| number.to_bits()), |bits| {
                    f64::from_bits(bits).to_string()
                });
            }
            (Packed::Bool(truths), _) => {
                count_values(values, truths.iter().copied(), |truth| truth.to_string());
            }
            _ => values.incomplete = true,
        }
    }

    fn add_rest(&mut self, level: Level, batch: &TableBatch, texts: &TextsOf<'_>) {
        let Some((keys, own)) = batch.column(name::KEY).and_then(Column::codes) else { return };
        let key_texts = texts(name::KEY).unwrap_or(own);
        for value_type in ValueType::ALL {
            let Some(column) = batch.column(value_type.name()) else { continue };
            let value_texts = texts(value_type.name());
            for (at, row) in column.rows_present().enumerate() {
                let key = key_texts.text(keys[row]);
                let Some(values) = self.values(level, key, value_type) else { continue };
                values.count += 1;
                match (column.values(), value_type) {
                    (Packed::Codes(codes, own), ValueType::String) => {
                        values.add(value_texts.unwrap_or(own).text(codes[at]), 1);
                    }
                    (Packed::Int64(numbers), _) => values.add(&numbers[at].to_string(), 1),
                    (Packed::Double(numbers), _) => values.add(&numbers[at].to_string(), 1),
                    (Packed::Bool(truths), _) => values.add(&truths[at].to_string(), 1),
                    _ => values.incomplete = true,
                }
            }
        }
    }

    pub(crate) fn attributes(&self) -> Vec<AttributeRow> {
        self.attributes
            .iter()
            .filter_map(|((level, key, value_type), values)| {
                Some(AttributeRow {
                    level: *Level::ALL.get(*level as usize)?,
                    key: key.clone(),
                    value_type: *ValueType::ALL.get(*value_type as usize)?,
                    count: values.count,
                })
            })
            .collect()
    }

    pub(crate) fn to_stored(&self) -> StoredCatalog {
        StoredCatalog {
            services: self.services.iter().map(|(name, &counts)| (name.clone(), counts)).collect(),
            operations: self
                .operations
                .iter()
                .map(|((service, name, kind), &counts)| {
                    (service.clone(), name.clone(), *kind, counts)
                })
                .collect(),
            attributes: self
                .attributes
                .iter()
                .map(|((level, key, value_type), values)| {
                    let mut kept: Vec<(String, u64)> = values
                        .values
                        .iter()
                        .map(|(value, &count)| (value.clone(), count))
                        .collect();
                    kept.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
                    let complete = !values.incomplete && kept.len() <= VALUES_KEPT_MAX;
                    kept.truncate(VALUES_KEPT_MAX);
                    StoredAttribute {
                        level: *level,
                        key: key.clone(),
                        value_type: *value_type,
                        count: values.count,
                        values: kept,
                        complete,
                    }
                })
                .collect(),
        }
    }

    pub(crate) fn from_stored(stored: StoredCatalog) -> Self {
        let mut catalog = Self::default();
        catalog.services.extend(stored.services);
        for (service, name, kind, counts) in stored.operations {
            catalog.operations.insert((service, name, kind), counts);
        }
        for attribute in stored.attributes {
            let id = (attribute.level, attribute.key, attribute.value_type);
            let values = Values {
                count: attribute.count,
                values: attribute.values.into_iter().collect(),
                incomplete: !attribute.complete,
            };
            catalog.attributes.insert(id, values);
        }
        catalog
    }
}

/// The catalogs of all pieces. Only what is asked for is added up: the rest is much more.
pub(crate) struct Catalogs(pub(crate) Vec<Arc<Catalog>>);

impl Catalogs {
    pub(crate) fn services(&self) -> Vec<ServiceRow> {
        let mut sum: BTreeMap<&str, Counts> = BTreeMap::new();
        for (service, &counts) in self.0.iter().flat_map(|catalog| &catalog.services) {
            sum.entry(service).or_default().add(counts);
        }
        let row = |(name, counts): (&str, Counts)| ServiceRow {
            name: name.to_owned(),
            span_count: counts.spans,
            error_count: counts.errors,
        };
        sum.into_iter().map(row).collect()
    }

    pub(crate) fn operations(&self, service: Option<&str>) -> Vec<OperationRow> {
        let mut sum: BTreeMap<&(String, String, i32), Counts> = BTreeMap::new();
        for (key, &counts) in self.0.iter().flat_map(|catalog| &catalog.operations) {
            if service.is_some_and(|service| service != key.0) {
                continue;
            }
            if let Some(known) = sum.get_mut(key) {
                known.add(counts);
            } else if sum.len() < OPERATIONS_MAX {
                sum.insert(key, counts);
            }
        }
        let row =
            |((service, name, kind), counts): (&(String, String, i32), Counts)| OperationRow {
                service: service.clone(),
                name: name.clone(),
                kind: *kind,
                span_count: counts.spans,
                error_count: counts.errors,
            };
        sum.into_iter().map(row).collect()
    }

    pub(crate) fn attributes(&self) -> Vec<AttributeRow> {
        let mut sum: BTreeMap<&(u8, String, u8), u64> = BTreeMap::new();
        for (key, values) in self.0.iter().flat_map(|catalog| &catalog.attributes) {
            *sum.entry(key).or_default() += values.count;
        }
        let row = |((level, key, value_type), count): (&(u8, String, u8), u64)| {
            Some(AttributeRow {
                level: *Level::ALL.get(*level as usize)?,
                key: key.clone(),
                value_type: *ValueType::ALL.get(*value_type as usize)?,
                count,
            })
        };
        sum.into_iter().filter_map(row).collect()
    }

    pub(crate) fn attribute_values(
        &self,
        level: Option<Level>,
        key: &str,
        limit: usize,
    ) -> ValueList {
        let mut rows: BTreeMap<(String, u8), u64> = BTreeMap::new();
        let mut complete = true;
        for of_level in Level::ALL {
            if level.is_some_and(|level| level != of_level) {
                continue;
            }
            for value_type in ValueType::ALL {
                let id = (of_level as u8, key.to_owned(), value_type as u8);
                let mut sum = Values::default();
                for values in self.0.iter().filter_map(|catalog| catalog.attributes.get(&id)) {
                    sum.incomplete |= values.incomplete;
                    values.values.iter().for_each(|(value, &count)| sum.add(value, count));
                }
                complete &= !sum.incomplete;
                for (value, count) in sum.values {
                    *rows.entry((value, value_type as u8)).or_default() += count;
                }
            }
        }
        let row = |((value, value_type), count): ((String, u8), u64)| {
            let value_type = *ValueType::ALL.get(value_type as usize)?;
            Some(ValueRow { value, value_type, count })
        };
        let mut values: Vec<ValueRow> = rows.into_iter().filter_map(row).collect();
        values.sort_by_key(|row| std::cmp::Reverse(row.count));
        complete &= values.len() <= limit;
        values.truncate(limit);
        ValueList { values, complete }
    }
}

/// Where nearly every row differs no value is frequent: a sample shows those that are, if any, and
/// the counts stay lower bounds.
fn count_texts(values: &mut Values, codes: &[u32], texts: &Texts) {
    if texts.len() <= DISTINCT_MAX {
        let mut counts = vec![0u64; texts.len()];
        codes.iter().for_each(|&code| counts[code as usize] += 1);
        for (code, count) in counts.into_iter().enumerate().filter(|&(_, count)| count > 0) {
            values.add(texts.text(code as u32), count);
        }
    } else {
        values.incomplete = true;
        let mut sample = codes[..codes.len().min(SAMPLE_ROWS)].to_vec();
        sample.sort_unstable();
        for run in sample.chunk_by(|a, b| a == b) {
            values.add(texts.text(run[0]), run.len() as u64);
        }
    }
}

/// Counts before spelling out, and gives up on columns where nearly every row differs.
fn count_values<T: std::hash::Hash + Eq + Copy>(
    values: &mut Values,
    items: impl Iterator<Item = T>,
    spell: impl Fn(T) -> String,
) {
    let mut counts: HashMap<T, u64, foldhash::fast::RandomState> = HashMap::default();
    for item in items {
        if let Some(count) = counts.get_mut(&item) {
            *count += 1;
        } else if counts.len() < VALUES_COUNTED_MAX {
            counts.insert(item, 1);
        } else {
            values.incomplete = true;
        }
    }
    for (item, count) in counts {
        values.add(&spell(item), count);
    }
}

/// A catalog as a block's file holds it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredCatalog {
    services: Vec<(String, Counts)>,
    operations: Vec<(String, String, i32, Counts)>,
    attributes: Vec<StoredAttribute>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredAttribute {
    level: u8,
    key: String,
    value_type: u8,
    count: u64,
    values: Vec<(String, u64)>,
    complete: bool,
}
