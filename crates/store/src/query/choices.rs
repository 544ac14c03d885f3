//! What the author of a query can choose from: names of attributes that spans have, and the values
//! of a field.
//!
//! Of all spans the small tables of the pieces tell it; of those that a pipeline leaves, columns do.

use std::collections::{BTreeSet, HashSet};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use traceql::{Attribute, Field, Pipeline, Scope, Static};

use super::budget::{Budget, Share};
use super::filter::Domain;
use super::groups::Distinct;
use super::lanes::{Window, coded, intervals};
use super::mask::Mask;
use super::measure::spans;
use super::seam::{PASS_SPANS, Passes};
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

/// What the names that a query finds may take in memory, about, those of all threads together;
/// those that appear later are left out.
const NAMES_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a name takes beside its text, about.
const NAME_BYTES: usize = 48;

/// What the values of a field may take in memory, about, those of all threads together; those that
/// appear later are left out.
const VALUES_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a value takes beside its text, about.
const VALUE_BYTES: usize = 128;

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
            let budget = Budget::of(NAMES_BYTES_MAX);
            let none = || Names::new(&budget);
            let parts = scan(view, pipeline, &request.starts, true, cancel, none, Names::add)?;
            for (level, keys) in
                parts.into_iter().flat_map(|part| Level::ALL.into_iter().zip(part.levels))
            {
                all.names.extend(keys.into_iter().map(|key| (level, key)));
            }
        }
    }
    limit(&mut all.names);
    all.partial = view.is_partial();
    Ok(all)
}

/// Leaves the first names of each level.
fn limit(names: &mut BTreeSet<(Level, String)>) {
    let mut told = [0; Level::ALL.len()];
    names.retain(|(level, _)| {
        told[*level as usize] += 1;
        told[*level as usize] <= NAMES_MAX
    });
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
            let budget = Budget::of(VALUES_BYTES_MAX);
            let none = || Values::new(&budget);
            let parts = scan(view, pipeline, &request.starts, local, cancel, none, add)?;
            let sum = parts.into_iter().reduce(Values::joined);
            sum.map_or_else(Vec::new, Values::sorted)
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
    let mut passes = match local && is_local(pipeline) {
        true => Passes::of_pieces(view),
        false => Passes::of_pipeline(view, pipeline, cancel, PASS_SPANS)?,
    };
    let (probe, pause) = (view.probe.clone(), view.pause.clone());
    let mut states = Vec::new();
    while let Some(pass) = passes.next(view, cancel)? {
        let mut work: Vec<(Arc<dyn Piece>, Range<usize>)> = Vec::new();
        for piece in &pass.pieces {
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
                if let Some(pause) = &pause {
                    pause();
                }
                cancel.check()?;
                let slab = Slab::new(piece.as_ref(), rows.clone(), &probe)?;
                let rows = spans(&slab, pipeline, pass.apart(piece.as_ref()))?;
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
        for (state, damaged, stop) in parts {
            if let Some(stop) = stop {
                return Err(stop);
            }
            for damaged in damaged {
                view.note::<()>(Err(damaged));
            }
            states.push(state);
        }
    }
    Ok(states)
}

/// The rows that start in a range.
fn within(slab: &Slab<'_>, rows: Mask, starts: &RangeInclusive<u64>) -> Result<Mask, Damaged> {
    let (first, last) = (*starts.start(), *starts.end());
    if rows.is_empty() || slab.piece.start_ranges().inside(first, last) {
        return Ok(rows);
    }
    let mut mask = Mask::none(rows.len());
    if first == 0 && slab.piece.start_ranges().overlap(0, 0) {
        for row in rows.iter() {
            if slab.start(row)? <= last {
                mask.set(row);
            }
        }
        return Ok(mask);
    }
    // A window is open at its start.
    let start = first.saturating_sub(1);
    let window = Window { start, step: last.saturating_sub(start).max(1), steps: 1 };
    for run in intervals(slab, &rows, window)? {
        rows.iter_in(run.rows).for_each(|row| mask.set(row));
    }
    Ok(mask)
}

/// Names of attributes.
struct Names {
    /// In the order of [`Level::ALL`].
    levels: [HashSet<String>; Level::ALL.len()],
    share: Share,
}

impl Names {
    fn new(budget: &Arc<Budget>) -> Self {
        Self { levels: Default::default(), share: budget.share() }
    }

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
            if self.levels[level as usize].contains(key) {
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
        let known = &mut self.levels[level as usize];
        if known.len() < NAMES_MAX
            && !known.contains(key)
            && self.share.set(self.share.bytes() + NAME_BYTES + key.len())
        {
            known.insert(key.to_owned());
        }
    }
}

/// Values and how many spans, events or links have each.
struct Values {
    values: Distinct,
    spans: Vec<u64>,
    share: Share,
}

impl Values {
    fn new(budget: &Arc<Budget>) -> Self {
        Self { values: Distinct::default(), spans: Vec::new(), share: budget.share() }
    }

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
                let mut spans = vec![0; coded.legend.len()];
                rows.iter().for_each(|row| spans[coded.codes[row] as usize] += 1);
                for (code, spans) in (0..).zip(spans).filter(|(_, spans)| *spans > 0) {
                    self.count(&coded.legend.value(code), spans);
                }
            }
            field => {
                // All events or links of the spans at once.
                let domain = Domain::of(field);
                let owners = domain.rows(slab)?.owners.iter().zip(0..);
                let owned = owners.filter(|(owner, _)| rows.get(**owner as usize));
                let owned: Vec<u32> = owned.map(|(_, row)| row).collect();
                for value in field_values(slab, field, domain, &owned)? {
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
        if *value == Static::Nil || spans == 0 {
            return;
        }
        if !self.values.knows(value) && !self.has_room(value) {
            return;
        }
        let number = self.values.number_of(value);
        if number == self.spans.len() {
            self.spans.push(0);
        }
        self.spans[number] += spans;
    }

    /// Takes what one more value needs, if it is there.
    fn has_room(&mut self, value: &Static) -> bool {
        let text = if let Static::String(text) = value { text.len() } else { 0 };
        self.share.set(self.share.bytes() + VALUE_BYTES + text)
    }

    fn joined(mut self, other: Self) -> Self {
        // Its values are given up one by one.
        drop(other.share);
        for (value, spans) in other.values.into_values().into_iter().zip(other.spans) {
            self.count(&value, spans);
        }
        self
    }

    /// Most frequent first, equally frequent ones in an order of their own.
    fn sorted(self) -> Vec<(Static, u64)> {
        let mut all: Vec<_> = self.values.into_values().into_iter().zip(self.spans).collect();
        all.sort_by_cached_key(|(value, spans)| (std::cmp::Reverse(*spans), format!("{value:?}")));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(at: usize, bytes: usize) -> Static {
        Static::String(format!("{at}{}", "x".repeat(bytes)))
    }

    #[test]
    fn values_have_a_bound_of_bytes_for_all_threads() {
        let budget = Budget::of(64 * 1024);
        let (mut one, mut other) = (Values::new(&budget), Values::new(&budget));
        for at in 0..20 {
            one.count(&text(at, 4_000), 1);
            other.count(&text(at, 4_000), 1);
        }
        let held = [one.spans.len(), other.spans.len()];
        assert!(held.iter().sum::<usize>() < 17 && held.iter().all(|&held| held > 6), "{held:?}");
        // Those that are known count on, and two threads' values have room together.
        one.count(&text(0, 4_000), 5);
        let told = one.joined(other).sorted();
        assert_eq!(told.len(), held[0].max(held[1]));
        assert_eq!(told[0], (text(0, 4_000), 7));
    }

    #[test]
    fn looking_for_names_and_values_gives_way_between_slabs() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        use super::super::seam::tests::{piece, view_of};

        let pauses = Arc::new(AtomicUsize::new(0));
        let count = pauses.clone();
        let pause = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        let pieces = (1..=3).map(|at| piece(&format!("{at}"), 2, at)).collect();
        let mut view = View { pause: Some(Arc::new(pause)), ..view_of(pieces) };
        let pipeline = Some(Pipeline { stages: Vec::new() });
        let request = ChoiceRequest { pipeline, starts: 0..=u64::MAX };
        names(&mut view, &request, &Cancel::default()).unwrap();
        assert_eq!(pauses.swap(0, Ordering::Relaxed), 3);
        let name = Field::Intrinsic(traceql::Intrinsic::Name);
        values(&mut view, &request, &name, 9, &Cancel::default()).unwrap();
        assert_eq!(pauses.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn names_have_a_bound_of_bytes() {
        let mut names = Names::new(&Budget::of(64 * 1024));
        for at in 0..20 {
            names.insert(Level::Span, &format!("{at}{}", "x".repeat(8_000)));
        }
        assert_eq!(names.levels[Level::Span as usize].len(), 8);
    }

    #[test]
    fn names_of_a_level_are_limited_wherever_they_come_from() {
        let names = |level| (0..NAMES_MAX + 5).map(move |at| (level, format!("{at:05}")));
        let mut all: BTreeSet<_> = names(Level::Span).chain(names(Level::Event)).collect();
        all.insert((Level::Link, "one".to_owned()));
        limit(&mut all);
        let of = |level| all.iter().filter(|(of, _)| *of == level).count();
        assert_eq!([Level::Span, Level::Event, Level::Link].map(of), [NAMES_MAX, NAMES_MAX, 1]);
        assert!(all.contains(&(Level::Span, "00000".to_owned())));
    }
}
