//! Which spans of a piece meet a filter, a row group at a time and a column at a time.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use model::{Attribute, SpanBatch, Value};

use crate::column::{Column, Values};
use crate::columns::{Table, attribute_column, name};
use crate::piece::{Damaged, Piece};
use crate::scopes::ScopeRow;
use crate::summary::TraceIndex;
use crate::types::{AttributeCondition, Level, SpanFilter, ValueType};

/// A value as text, and as what it spells.
struct Wanted<'a> {
    text: &'a str,
    int: Option<i64>,
    double: Option<f64>,
    truth: Option<bool>,
}

impl<'a> Wanted<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, int: text.parse().ok(), double: text.parse().ok(), truth: text.parse().ok() }
    }

    /// Value types that could be equal to it.
    fn types(&self) -> impl Iterator<Item = ValueType> {
        [
            Some(ValueType::String),
            self.int.map(|_| ValueType::Int),
            self.double.map(|_| ValueType::Double),
            self.truth.map(|_| ValueType::Bool),
        ]
        .into_iter()
        .flatten()
    }

    fn equals(&self, batch: &SpanBatch, attribute: &Attribute) -> bool {
        match attribute.value {
            Value::String(text) => batch.bytes_of(text) == self.text.as_bytes(),
            Value::Int(value) => self.int == Some(value),
            Value::Double(value) => self.double == Some(value),
            Value::Bool(value) => self.truth == Some(value),
            Value::Empty | Value::Bytes(_) | Value::Array(_) | Value::KeyValueList(_) => false,
        }
    }

    /// Calls `hit` with every row whose value is equal.
    fn rows(&self, column: &Column, hit: impl FnMut(usize)) {
        match column.values() {
            Values::Codes(..) => rows_of_text(column, self.text, hit),
            Values::Int64(values) => equal_rows(column, values, self.int, hit),
            Values::Double(values) => equal_rows(column, values, self.double, hit),
            Values::Bool(values) => equal_rows(column, values, self.truth, hit),
            Values::Int32(_) | Values::Id8(_) | Values::Id16(_) => {}
        }
    }
}

fn equal_rows<T: PartialEq>(
    column: &Column,
    values: &[T],
    wanted: Option<T>,
    mut hit: impl FnMut(usize),
) {
    let Some(wanted) = wanted else { return };
    for (row, value) in column.rows_present().zip(values) {
        if *value == wanted {
            hit(row);
        }
    }
}

/// Calls `hit` with every row whose text is this one.
fn rows_of_text(column: &Column, text: &str, mut hit: impl FnMut(usize)) {
    let Some((codes, texts)) = column.codes() else { return };
    // Usually one code; several where pages without a dictionary follow each other.
    let wanted: Vec<u32> =
        (0..texts.len() as u32).filter(|&code| texts.get(code) == text.as_bytes()).collect();
    match wanted[..] {
        [] => {}
        [wanted] => equal_rows(column, codes, Some(wanted), hit),
        _ => {
            let is_wanted: Vec<bool> = {
                let mut is_wanted = vec![false; texts.len()];
                wanted.iter().for_each(|&code| is_wanted[code as usize] = true);
                is_wanted
            };
            for (row, &code) in column.rows_present().zip(codes) {
                if is_wanted[code as usize] {
                    hit(row);
                }
            }
        }
    }
}

/// An attribute condition in the light of one piece.
struct Prepared<'a> {
    wanted: Wanted<'a>,
    /// Whether the condition holds for all spans of a scope.
    scopes: Vec<bool>,
    /// Columns of the spans table to look into.
    columns: Vec<(String, ValueType)>,
    /// Spans for which it holds by an event, a link or an attribute without a column; ascending.
    rows: Vec<u32>,
}

/// A filter in the light of one piece.
pub(crate) struct Scan<'a> {
    piece: &'a dyn Piece,
    filter: &'a SpanFilter,
    /// Read when a row is asked for its start.
    traces: OnceCell<Arc<TraceIndex>>,
    scopes: Arc<Vec<Arc<ScopeRow>>>,
    /// Whether the service fits, by scope.
    services: Vec<bool>,
    conditions: Vec<Prepared<'a>>,
    /// Starts must be compared row by row.
    compare_starts: bool,
}

impl<'a> Scan<'a> {
    /// `None` when no span of the piece can match.
    pub(crate) fn new(
        piece: &'a dyn Piece,
        filter: &'a SpanFilter,
    ) -> Result<Option<Self>, Damaged> {
        let (first, last) = start_bounds(filter);
        if !piece.start_ranges().overlap(first, last) {
            return Ok(None);
        }
        let scopes = piece.scopes()?;
        let services: Vec<bool> = scopes
            .iter()
            .map(|row| filter.service.as_ref().is_none_or(|service| service == row.service()))
            .collect();
        if !services.contains(&true) {
            return Ok(None);
        }
        let mut conditions = Vec::new();
        for condition in &filter.attributes {
            match prepare(piece, &scopes, condition)? {
                Some(prepared) => conditions.push(prepared),
                None => return Ok(None),
            }
        }
        Ok(Some(Self {
            piece,
            filter,
            traces: OnceCell::new(),
            scopes,
            services,
            conditions,
            compare_starts: !piece.start_ranges().inside(first, last),
        }))
    }

    pub(crate) fn scopes(&self) -> &Arc<Vec<Arc<ScopeRow>>> {
        &self.scopes
    }

    /// The row groups, by number and rows.
    pub(crate) fn groups(&self) -> Result<impl Iterator<Item = (usize, Range<usize>)>, Damaged> {
        Ok(self.piece.groups(Table::Spans)?.into_iter().enumerate())
    }

    /// The rows of a group that match, ascending, as rows of the piece.
    pub(crate) fn rows(&self, group: usize, rows: Range<usize>) -> Result<Vec<u32>, Damaged> {
        if !self.group_may_match(group) {
            return Ok(Vec::new());
        }
        let mut mask = Mask { bits: vec![true; rows.len()], left: rows.len() };
        let needs_scope = self.services.contains(&false)
            || self.conditions.iter().any(|condition| condition.scopes.contains(&true));
        let read = |column: &str| -> Result<Option<Column>, Damaged> {
            Ok(self.piece.read(Table::Spans, rows.clone(), &[column])?.pop().flatten())
        };
        let scope = if needs_scope { read(name::SCOPE)? } else { None };
        if let (Some(scope), true) = (&scope, self.services.contains(&false)) {
            let scope = scope.int32s();
            mask.keep(|row| self.services[scope[row] as usize]);
        }
        if let Some(status) = self.filter.status {
            let column = if mask.left > 0 { read(name::STATUS)? } else { None };
            if let Some(column) = column {
                let column = column.int32s();
                mask.keep(|row| column[row] == status);
            }
        }
        if let Some(operation) = &self.filter.operation {
            let column = if mask.left > 0 { read(name::NAME)? } else { None };
            if let Some(column) = column {
                let mut hits = vec![false; rows.len()];
                rows_of_text(&column, operation, |row| hits[row] = true);
                mask.keep(|row| hits[row]);
            }
        }
        for condition in &self.conditions {
            if mask.left == 0 {
                break;
            }
            let mut hits = vec![false; rows.len()];
            for (column, _) in &condition.columns {
                if let Some(column) = read(column)? {
                    condition.wanted.rows(&column, |row| hits[row] = true);
                }
            }
            let from = condition.rows.partition_point(|&row| (row as usize) < rows.start);
            for &row in condition.rows[from..].iter().take_while(|&&row| (row as usize) < rows.end)
            {
                hits[row as usize - rows.start] = true;
            }
            match &scope {
                Some(scope) if condition.scopes.contains(&true) => {
                    let scope = scope.int32s();
                    mask.keep(|row| hits[row] || condition.scopes[scope[row] as usize]);
                }
                _ => mask.keep(|row| hits[row]),
            }
        }
        let (shortest, longest) = (self.filter.duration_min_nano, self.filter.duration_max_nano);
        if shortest.is_some() || longest.is_some() {
            let column = if mask.left > 0 { read(name::DURATION)? } else { None };
            if let Some(column) = column {
                let column = column.int64s();
                let range = shortest.unwrap_or(0)..=longest.unwrap_or(u64::MAX);
                // Starts are needed for those below zero alone.
                let is_odd = column.iter().any(|difference| *difference < 0);
                match if is_odd { read(name::START)? } else { None } {
                    None => mask.keep(|row| range.contains(&duration(column[row]))),
                    Some(starts) => {
                        let (starts, traces) = (starts.int64s(), self.traces()?);
                        mask.keep(|row| {
                            let start = start(traces, (rows.start + row) as u32, starts[row]);
                            range.contains(&length(start, column[row]))
                        });
                    }
                }
            }
        }
        let mut matched: Vec<u32> = mask
            .bits
            .iter()
            .enumerate()
            .filter(|(_, bit)| **bit)
            .map(|(row, _)| (rows.start + row) as u32)
            .collect();
        if self.compare_starts && !matched.is_empty() {
            let (first, last) = start_bounds(self.filter);
            if let Some(starts) = read(name::START)? {
                let (starts, traces) = (starts.int64s(), self.traces()?);
                matched.retain(|&row| {
                    let offset = starts[row as usize - rows.start];
                    (first..=last).contains(&start(traces, row, offset))
                });
            }
        }
        Ok(matched)
    }

    /// The piece's traces.
    pub(crate) fn traces(&self) -> Result<&Arc<TraceIndex>, Damaged> {
        if self.traces.get().is_none() {
            // Empty as it was just found.
            let _ = self.traces.set(self.piece.index()?);
        }
        let unread =
            || Damaged { block: self.piece.id().to_owned(), reason: "not read".to_owned() };
        self.traces.get().ok_or_else(unread)
    }

    fn group_may_match(&self, group: usize) -> bool {
        let contains =
            |column: &str, text: &str| self.piece.may_contain(Table::Spans, group, column, text);
        if self.filter.operation.as_ref().is_some_and(|name| !contains(name::NAME, name)) {
            return false;
        }
        self.conditions.iter().all(|condition| {
            condition.scopes.contains(&true)
                || !condition.rows.is_empty()
                || condition.columns.iter().any(|(column, value_type)| {
                    *value_type != ValueType::String || contains(column, condition.wanted.text)
                })
        })
    }
}

/// A span's start from its row and what its column says.
pub(crate) fn start(traces: &TraceIndex, row: u32, offset: i64) -> u64 {
    traces.start[traces.trace_of_row(row)].wrapping_add(offset as u64)
}

struct Mask {
    bits: Vec<bool>,
    left: usize,
}

impl Mask {
    fn keep(&mut self, fits: impl Fn(usize) -> bool) {
        let mut left = 0;
        for (row, bit) in self.bits.iter_mut().enumerate() {
            *bit = *bit && fits(row);
            left += usize::from(*bit);
        }
        self.left = left;
    }
}

/// How long a span takes, from its start and the stored difference to its end. A difference below
/// zero is that of an end before the start, and the span takes 0; unless the start is too early for
/// that: then the end is 2^63 nanoseconds (292 years) behind it, or more. An end so much before the
/// start counts like one behind it.
pub(crate) fn length(start: u64, difference: i64) -> u64 {
    match u64::try_from(difference) {
        Ok(nanos) => nanos,
        Err(_) if start < difference.unsigned_abs() => difference as u64,
        Err(_) => 0,
    }
}

/// A duration as sums of many see it: an end before the start counts as 0. So does one 2^63
/// nanoseconds behind it, which would drown all others.
pub(crate) fn duration(nanos: i64) -> u64 {
    nanos.max(0) as u64
}

/// The first and the last start that a filter allows.
pub(crate) fn start_bounds(filter: &SpanFilter) -> (u64, u64) {
    let first = filter.start_min_unix_nano.unwrap_or(0);
    match filter.start_max_unix_nano {
        None => (first, u64::MAX),
        Some(0) => (1, 0),
        Some(end) => (first, end - 1),
    }
}

/// `None` when the condition can hold for no span of the piece.
fn prepare<'a>(
    piece: &dyn Piece,
    scopes: &[Arc<ScopeRow>],
    condition: &'a AttributeCondition,
) -> Result<Option<Prepared<'a>>, Damaged> {
    let wanted = Wanted::of(&condition.value);
    let at = |level: Level| condition.level.is_none_or(|wanted| wanted == level);
    let scope_fits = |row: &Arc<ScopeRow>| {
        let batch = row.batch();
        let has = |list: &[Attribute]| {
            list.iter().any(|attribute| {
                batch.bytes_of(attribute.key) == condition.key.as_bytes()
                    && wanted.equals(batch, attribute)
            })
        };
        (at(Level::Resource) && has(batch.resource_attributes(row.resource())))
            || (at(Level::Scope) && has(batch.scope_attributes(row.scope())))
    };
    let scopes: Vec<bool> = scopes.iter().map(scope_fits).collect();
    let mut columns = Vec::new();
    let mut rows: Vec<u32> = Vec::new();
    if at(Level::Span) {
        for value_type in wanted.types() {
            let column = attribute_column(value_type, &condition.key);
            if piece.has_column(Table::Spans, &column)? {
                columns.push((column, value_type));
            }
        }
        rows.extend(rest_rows(piece, Table::SpansRest, &condition.key, &wanted)?);
    }
    for (level, table) in [(Level::Event, Table::Events), (Level::Link, Table::Links)] {
        if !at(level) || piece.row_count(table) == 0 {
            continue;
        }
        let mut owned = rest_rows(piece, table.rest(), &condition.key, &wanted)?;
        for value_type in wanted.types() {
            let column = attribute_column(value_type, &condition.key);
            if !piece.has_column(table, &column)? {
                continue;
            }
            for (group, range) in piece.groups(table)?.into_iter().enumerate() {
                if value_type == ValueType::String
                    && !piece.may_contain(table, group, &column, wanted.text)
                {
                    continue;
                }
                let values = piece.read(table, range.clone(), &[&column])?.pop().flatten();
                if let Some(values) = values {
                    wanted.rows(&values, |row| owned.push((range.start + row) as u32));
                }
            }
        }
        if !owned.is_empty() {
            let owners = piece.owners(table)?;
            rows.extend(owned.iter().filter_map(|&row| owners.get(row as usize)));
        }
    }
    rows.sort_unstable();
    rows.dedup();
    let possible = scopes.contains(&true) || !columns.is_empty() || !rows.is_empty();
    Ok(possible.then_some(Prepared { wanted, scopes, columns, rows }))
}

/// The owners in a rest table for which an attribute has a value.
fn rest_rows(
    piece: &dyn Piece,
    table: Table,
    key: &str,
    wanted: &Wanted<'_>,
) -> Result<Vec<u32>, Damaged> {
    let mut found = Vec::new();
    for (group, range) in piece.groups(table)?.into_iter().enumerate() {
        if !piece.may_contain(table, group, name::KEY, key) {
            continue;
        }
        let keys = piece.read(table, range.clone(), &[name::KEY])?.pop().flatten();
        let Some(keys) = keys else { continue };
        let mut has_key = vec![false; range.len()];
        rows_of_text(&keys, key, |row| has_key[row] = true);
        if !has_key.contains(&true) {
            continue;
        }
        let owners = piece.owners(table)?;
        for value_type in wanted.types() {
            let values = piece.read(table, range.clone(), &[value_type.name()])?.pop().flatten();
            if let Some(values) = values {
                wanted.rows(&values, |row| {
                    if has_key[row] {
                        found.extend(owners.get(range.start + row));
                    }
                });
            }
        }
    }
    Ok(found)
}
