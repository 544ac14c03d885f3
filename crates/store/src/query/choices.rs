//! What the author of a query can choose from: names of attributes that spans have, and the values
//! of a field.
//!
//! Of all spans the small tables of the pieces tell it; of those that a pipeline leaves, columns do.

use std::collections::HashSet;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use traceql::{Attribute, Field, Pipeline, Scope, Static};

use super::filter::Domain;
use super::groups::Distinct;
use super::lanes::{Window, coded, intervals};
use super::mask::Mask;
use super::measure::spans;
use super::seam::Seam;
use super::slab::{Rows, Slab};
use super::spansets::refusal;
use super::value::Val;
use super::values::field_values;
use super::{Cancel, Stop, in_parallel_into, is_local, needs_trace, slabs};
use crate::catalog::Catalogs;
use crate::columns::{Table, name, parse_attribute_column};
use crate::piece::{Damaged, Piece};
use crate::search::View;
use crate::types::{ChoiceRequest, FieldValues, Level, NameSet, ValueRow, ValueType};

/// The most names of one level that are told.
const NAMES_MAX: usize = 10_000;

/// The most values that are counted, of those that appear first.
const VALUES_MAX: usize = 100_000;

/// Names of attributes by level.
pub(crate) fn names(
    view: &mut View,
    request: &ChoiceRequest,
    cancel: &Cancel,
) -> Result<NameSet, Stop> {
    let mut all = NameSet::default();
    match &request.pipeline {
        None => {
            let rows = catalogs(view, &request.starts).attributes();
            all.names.extend(rows.into_iter().map(|row| (row.level, row.key)));
        }
        Some(pipeline) => {
            let parts =
                scan(view, pipeline, &request.starts, true, cancel, Names::default, Names::add)?;
            for (level, keys) in
                parts.into_iter().flat_map(|part| Level::ALL.into_iter().zip(part.0))
            {
                all.names.extend(keys.into_iter().map(|key| (level, key)));
            }
        }
    }
    all.partial = view.is_partial();
    Ok(all)
}

/// Values of a field, most frequent first.
pub(crate) fn values(
    view: &mut View,
    request: &ChoiceRequest,
    field: &Field,
    limit: usize,
    cancel: &Cancel,
) -> Result<FieldValues, Stop> {
    let mut values = match (&request.pipeline, field) {
        (None, Field::Attribute(attribute)) if !attribute.parent => {
            let level = level(attribute.scope);
            let list = catalogs(view, &request.starts);
            let list = list.attribute_values(level, &attribute.name, limit);
            list.values.into_iter().filter_map(of_row).collect()
        }
        (pipeline, field) => {
            let all = Pipeline { stages: Vec::new() };
            let pipeline = pipeline.as_ref().unwrap_or(&all);
            let local = !needs_trace(field);
            let add =
                |values: &mut Values, slab: &Slab<'_>, rows: &Mask| values.add(slab, field, rows);
            let parts = scan(view, pipeline, &request.starts, local, cancel, Values::default, add)?;
            let mut sum = Values::default();
            parts.into_iter().for_each(|part| sum.join(part));
            sum.sorted()
        }
    };
    if let Field::Intrinsic(_) = field {
        // A span without a message has the empty one.
        values.retain(|(value, _)| *value != Static::String(String::new()));
    }
    values.truncate(limit);
    Ok(FieldValues { values, partial: view.is_partial() })
}

/// The small tables of the pieces that have spans of a range.
fn catalogs(view: &mut View, starts: &RangeInclusive<u64>) -> Catalogs {
    let mut pieces = view.pieces.clone();
    pieces.retain(|piece| piece.start_ranges().overlap(*starts.start(), *starts.end()));
    Catalogs(pieces.iter().filter_map(|piece| view.note(piece.catalog())).collect())
}

fn level(scope: Scope) -> Option<Level> {
    match scope {
        Scope::Any => None,
        Scope::Span => Some(Level::Span),
        Scope::Resource => Some(Level::Resource),
        Scope::Event => Some(Level::Event),
        Scope::Link => Some(Level::Link),
        Scope::Instrumentation => Some(Level::Scope),
    }
}

/// A value of the small tables as one of the language, which knows neither bytes nor lists.
fn of_row(row: ValueRow) -> Option<(Static, u64)> {
    let value = match row.value_type {
        ValueType::String => Static::String(row.value),
        ValueType::Int => Static::Int(row.value.parse().ok()?),
        ValueType::Double => Static::Float(row.value.parse().ok()?),
        ValueType::Bool => Static::Bool(row.value.parse().ok()?),
        ValueType::Bytes | ValueType::Any => return None,
    };
    Some((value, row.count))
}

/// Shows every slab and the rows of it that a pipeline leaves to one state per core. `local` says
/// that what is looked at does not depend on other spans of a trace.
fn scan<S: Send>(
    view: &mut View,
    pipeline: &Pipeline,
    starts: &RangeInclusive<u64>,
    local: bool,
    cancel: &Cancel,
    state: impl Fn() -> S + Sync,
    add: impl Fn(&mut S, &Slab<'_>, &Mask) -> Result<(), Damaged> + Sync,
) -> Result<Vec<S>, Stop> {
    if let Some(refusal) = refusal(pipeline) {
        return Err(refusal);
    }
    let seam = if local && is_local(pipeline) { Seam::default() } else { Seam::of(view) };
    let mut pieces = view.pieces.clone();
    pieces.extend(seam.pieces.iter().cloned());
    let mut work: Vec<(Arc<dyn Piece>, Range<usize>)> = Vec::new();
    for piece in pieces {
        if piece.start_ranges().overlap(*starts.start(), *starts.end()) {
            let rows = view.note(slabs(piece.as_ref())).unwrap_or_default();
            work.extend(rows.into_iter().map(|rows| (piece.clone(), rows)));
        }
    }
    let none = || (state(), Vec::new(), None);
    let parts = in_parallel_into(&work, none, |(state, damaged, stop), (piece, rows)| {
        if stop.is_some() {
            return;
        }
        let mut run = || {
            cancel.check()?;
            let slab = Slab::new(piece.as_ref(), rows.clone())?;
            let rows = spans(&slab, pipeline, seam.apart(piece.as_ref()))?;
            let rows = within(&slab, rows, starts)?;
            if !rows.is_empty() {
                add(state, &slab, &rows)?;
            }
            Ok(())
        };
        match run() {
            Ok(()) => {}
            Err(Stop::Damaged(found)) => damaged.push(found),
            Err(other) => *stop = Some(other),
        }
    });
    let mut states = Vec::with_capacity(parts.len());
    for (state, damaged, stop) in parts {
        if let Some(stop) = stop {
            return Err(stop);
        }
        for damaged in damaged {
            view.note::<()>(Err(damaged));
        }
        states.push(state);
    }
    Ok(states)
}

/// The rows that start in a range.
fn within(slab: &Slab<'_>, rows: Mask, starts: &RangeInclusive<u64>) -> Result<Mask, Damaged> {
    let (first, last) = (*starts.start(), *starts.end());
    if rows.is_empty() || slab.piece.start_ranges().inside(first, last) {
        return Ok(rows);
    }
    // A window is open at its start.
    let start = first.saturating_sub(1);
    let window = Window { start, step: last.saturating_sub(start).max(1), steps: 1 };
    let mut mask = Mask::none(rows.len());
    for run in intervals(slab, &rows, window)? {
        rows.iter_in(run.rows).for_each(|row| mask.set(row));
    }
    Ok(mask)
}

/// Names by level, in the order of [`Level::ALL`].
#[derive(Default)]
struct Names([HashSet<String>; Level::ALL.len()]);

impl Names {
    fn add(&mut self, slab: &Slab<'_>, rows: &Mask) -> Result<(), Damaged> {
        self.of_table(slab, Table::Spans, &slab.spans, |row| rows.get(row))?;
        for (table, of) in [(Table::Events, slab.events()?), (Table::Links, slab.links()?)] {
            self.of_table(slab, table, of, |row| rows.get(of.owners[row] as usize))?;
        }
        let scopes = slab.required(name::SCOPE)?;
        let used: HashSet<i32> = rows.iter().map(|row| scopes.int32s()[row]).collect();
        for row in used.iter().filter_map(|&scope| slab.scopes.get(scope as usize)) {
            let batch = row.batch();
            for (level, list) in [
                (Level::Resource, batch.resource_attributes(row.resource())),
                (Level::Scope, batch.scope_attributes(row.scope())),
            ] {
                list.iter().for_each(|attribute| self.insert(level, batch.text(attribute.key)));
            }
        }
        Ok(())
    }

    /// Adds the names of a table's rows for which this holds. A column whose name is known is not
    /// read.
    fn of_table(
        &mut self,
        slab: &Slab<'_>,
        table: Table,
        rows: &Rows<'_>,
        holds: impl Fn(usize) -> bool,
    ) -> Result<(), Damaged> {
        let Some(level) = table.level().filter(|_| rows.len() > 0) else { return Ok(()) };
        for column in slab.piece.columns(table)? {
            let Some((_, key)) = parse_attribute_column(&column) else { continue };
            if self.0[level as usize].contains(key) {
                continue;
            }
            let values = rows.column(&column)?;
            if values.is_some_and(|values| values.rows_present().any(&holds)) {
                self.insert(level, key);
            }
        }
        for key in rows.rest_keys_where(holds)? {
            self.insert(level, &key);
        }
        Ok(())
    }

    fn insert(&mut self, level: Level, key: &str) {
        let known = &mut self.0[level as usize];
        if known.len() < NAMES_MAX && !known.contains(key) {
            known.insert(key.to_owned());
        }
    }
}

/// Values and how many spans have each.
#[derive(Default)]
struct Values {
    values: Distinct,
    spans: Vec<u64>,
}

impl Values {
    fn add(&mut self, slab: &Slab<'_>, field: &Field, rows: &Mask) -> Result<(), Damaged> {
        match field {
            // Wherever it is, even where another level has it, too.
            Field::Attribute(attribute) if attribute.scope == Scope::Any && !attribute.parent => {
                use Scope::{Event, Instrumentation, Link, Resource, Span};
                for scope in [Span, Resource, Event, Link, Instrumentation] {
                    let of_scope = Attribute { scope, ..attribute.clone() };
                    self.add(slab, &Field::Attribute(of_scope), rows)?;
                }
            }
            field if Domain::of(field) == Domain::Spans => {
                let coded = coded(slab, field, rows)?;
                let mut spans = vec![0; coded.values.len()];
                rows.iter().for_each(|row| spans[coded.codes[row] as usize] += 1);
                for (value, spans) in coded.values.iter().zip(spans) {
                    self.count(value, spans);
                }
            }
            field => {
                let rows: Vec<u32> = rows.iter().map(|row| row as u32).collect();
                for value in field_values(slab, field, Domain::Spans, &rows)? {
                    match value {
                        Val::One(value) => self.count(&value, 1),
                        Val::List(list) => list.iter().for_each(|value| self.count(value, 1)),
                        Val::Other => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, value: &Static, spans: u64) {
        if *value == Static::Nil || spans == 0 || self.spans.len() >= VALUES_MAX {
            return;
        }
        let number = self.values.number_of(value);
        if number == self.spans.len() {
            self.spans.push(0);
        }
        self.spans[number] += spans;
    }

    fn join(&mut self, other: Self) {
        for (value, spans) in other.values.into_values().iter().zip(other.spans) {
            self.count(value, spans);
        }
    }

    /// Most frequent first, equally frequent ones in an order of their own.
    fn sorted(self) -> Vec<(Static, u64)> {
        let mut all: Vec<_> = self.values.into_values().into_iter().zip(self.spans).collect();
        all.sort_by_cached_key(|(value, spans)| (std::cmp::Reverse(*spans), format!("{value:?}")));
        all
    }
}
