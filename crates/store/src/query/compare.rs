//! `compare()`: which values the attributes of selected spans have, and those of the others.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::AddAssign;
use std::sync::Arc;

use hashbrown::HashMap;
use traceql::{Attribute, Field, Intrinsic, Scope, Static};

use super::budget::{Budget, Share};
use super::filter::scope_value;
use super::groups::{Distinct, value_bytes};
use super::lanes::coded;
use super::mask::Mask;
use super::measure::Rows;
use super::slab::Slab;
use crate::columns::{Table, name, parse_attribute_column};
use crate::piece::Damaged;
use crate::types::MeasuredSeries;

/// An attribute with more values is not told value by value.
const VALUES_MAX: usize = 10_000;

/// The name under which a group says which spans it counts.
const TYPE: &str = "__meta_type";

const TYPES: [&str; 2] = ["baseline", "selection"];

/// What a value takes in memory beside itself, about.
const VALUE_BYTES: usize = 96;

/// What a series takes beside its values and texts, about.
const SERIES_BYTES: usize = 256;

/// The spans of both sides by attribute, value and interval.
#[derive(Debug)]
pub(super) struct Compared {
    steps: usize,
    /// By the attribute's name: the others and the selection.
    fields: HashMap<String, [Side; 2]>,
    share: Share,
    /// There is no more room.
    overflown: bool,
}

/// The intervals that have spans, ascending, and how many, or what they weigh.
type Spans = Vec<(u32, u64)>;

/// Spans of one side that have an attribute.
#[derive(Debug)]
struct Side {
    /// By interval.
    totals: Vec<u64>,
    values: Distinct,
    /// Of each value.
    spans: Vec<Spans>,
    /// There are too many values to tell them.
    overflown: bool,
    /// What the values take, about.
    bytes: usize,
}

impl Side {
    fn new(steps: usize) -> Self {
        let (values, spans) = Default::default();
        Self { totals: vec![0; steps], values, spans, overflown: false, bytes: 0 }
    }

    /// The number of a value; `None` when there are too many to tell them.
    fn number(&mut self, value: &Static) -> Option<usize> {
        if self.overflown {
            return None;
        }
        let number = self.values.number_of(value);
        if number >= VALUES_MAX {
            self.overflow();
            return None;
        }
        if number == self.spans.len() {
            self.spans.push(Vec::new());
            self.bytes += VALUE_BYTES + value_bytes(value);
        }
        Some(number)
    }

    /// Adds spans of a value by its number.
    fn add(&mut self, number: Option<usize>, interval: usize, spans: u64) {
        self.totals[interval] += spans;
        let Some(of_value) = number.and_then(|number| self.spans.get_mut(number)) else { return };
        match of_value.binary_search_by_key(&(interval as u32), |(at, _)| *at) {
            Ok(at) => of_value[at].1 += spans,
            Err(at) => {
                of_value.insert(at, (interval as u32, spans));
                self.bytes += size_of::<(u32, u64)>();
            }
        }
    }

    fn overflow(&mut self) {
        *self = Self { totals: std::mem::take(&mut self.totals), overflown: true, ..Self::new(0) };
    }

    fn join(&mut self, other: Self) {
        if other.overflown {
            self.overflow();
            self.totals.iter_mut().zip(other.totals).for_each(|(sum, more)| *sum += more);
            return;
        }
        for (key, spans) in other.values.keys.iter().zip(other.spans) {
            let number = self.number(&key[0]);
            for (interval, spans) in spans {
                self.add(number, interval as usize, spans);
            }
        }
    }
}

impl Compared {
    /// Takes what it needs from a budget.
    pub(super) fn new(steps: usize, budget: &Arc<Budget>) -> Self {
        Self { steps, fields: HashMap::new(), share: budget.share(), overflown: false }
    }

    /// Whether it would take too many bytes.
    pub(super) fn overflown(&self) -> bool {
        self.overflown
    }

    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.share.bytes()
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.fields.values().flatten().map(|side| side.spans.len()).sum()
    }

    /// What the series will take in memory, about.
    pub(super) fn series_bytes(&self, top_n: usize) -> usize {
        let each = self.steps * size_of::<f64>() + SERIES_BYTES;
        let of_side = |side: &Side| {
            // The values that are told, and the total, and what says that they are too many.
            let series = side.spans.len().min(top_n) + 2;
            series.saturating_mul(each).saturating_add(side.bytes)
        };
        self.fields.values().flatten().map(of_side).fold(0, usize::saturating_add)
    }

    /// Which sides of an attribute have too many values to tell them.
    fn untold(&self, field: &Field) -> [bool; 2] {
        self.fields.get(&field.to_string()).map_or([false; 2], |sides| {
            let [baseline, selection] = sides;
            [baseline.overflown, selection.overflown]
        })
    }

    /// Lets something be added to the sides of an attribute, unless they have become too large.
    fn add(&mut self, field: &Field, add: impl FnOnce(&mut [Side; 2])) {
        if self.overflown {
            return;
        }
        let (name, steps) = (field.to_string(), self.steps);
        let bytes = |sides: &[Side; 2]| sides.iter().map(|side| side.bytes).sum::<usize>();
        let (sides, before) = match self.fields.entry(name) {
            hashbrown::hash_map::Entry::Occupied(entry) => {
                let sides = entry.into_mut();
                let before = bytes(sides);
                (sides, before)
            }
            hashbrown::hash_map::Entry::Vacant(entry) => {
                let own = entry.key().len() + 2 * (steps * size_of::<u64>() + VALUE_BYTES);
                if !self.share.set(self.share.bytes() + own) {
                    self.overflown = true;
                    return;
                }
                (entry.insert([Side::new(steps), Side::new(steps)]), 0)
            }
        };
        add(sides);
        let all = self.share.bytes() + bytes(sides);
        self.overflown = !self.share.set(all - before);
    }

    /// Adds up with the same of other spans.
    pub(super) fn join(&mut self, other: Self) {
        self.share.absorb(other.share);
        self.overflown |= other.overflown;
        for (field, [baseline, selection]) in other.fields {
            match self.fields.entry(field) {
                hashbrown::hash_map::Entry::Vacant(entry) => {
                    entry.insert([baseline, selection]);
                }
                hashbrown::hash_map::Entry::Occupied(mut entry) => {
                    let sides = entry.get_mut();
                    sides[0].join(baseline);
                    sides[1].join(selection);
                }
            }
        }
        let own = |name: &String| name.len() + 2 * (self.steps * size_of::<u64>() + VALUE_BYTES);
        let of_names: usize = self.fields.keys().map(own).sum();
        let of_values: usize = self.fields.values().flatten().map(|side| side.bytes).sum();
        self.overflown |= !self.share.set(of_names + of_values);
    }

    /// The most frequent values of every attribute on both sides, and the totals; `one` is how much
    /// a span counts that stands for itself.
    pub(super) fn series(self, top_n: usize, one: f64) -> Vec<MeasuredSeries> {
        let mut out = Vec::new();
        for (attribute, sides) in self.fields {
            for (side, name) in sides.into_iter().zip(TYPES) {
                if side.totals.iter().all(|&spans| spans == 0) {
                    continue;
                }
                let mut push = |side: String, value: Static, values: Vec<f64>| {
                    let labels =
                        vec![(TYPE.to_owned(), Static::String(side)), (attribute.clone(), value)];
                    out.push(MeasuredSeries { labels, values, exemplars: Vec::new() });
                };
                let totals = side.totals.iter().map(|&spans| spans as f64 / one).collect();
                push(format!("{name}_total"), Static::Nil, totals);
                if side.overflown {
                    push(name.to_owned(), Static::Nil, vec![0.0; self.steps]);
                    let text = Static::String("__too_many_values__".to_owned());
                    if let Some(series) = out.last_mut() {
                        series.labels.push(("__meta_error".to_owned(), text));
                    }
                    continue;
                }
                let values = side.values.into_values().into_iter().zip(side.spans);
                let mut values: Vec<(Static, Spans)> = values.collect();
                values.sort_by_cached_key(|(value, spans)| {
                    let total: u64 = spans.iter().map(|(_, spans)| spans).sum();
                    (Reverse(total), format!("{value:?}"))
                });
                for (value, spans) in values.into_iter().take(top_n) {
                    let mut points = vec![0.0; self.steps];
                    for (at, spans) in spans {
                        points[at as usize] = spans as f64 / one;
                    }
                    push(name.to_owned(), value, points);
                }
            }
        }
        out.sort_by_cached_key(|series| format!("{:?}", series.labels));
        out
    }
}

/// A place that no span counts at, and the code of what does not count.
const NOWHERE: u32 = u32::MAX;

/// Where the spans of a slab count: a place for each interval of either side.
struct Places<'a> {
    /// The first interval.
    first: usize,
    /// How many there are.
    count: usize,
    of_row: Vec<u32>,
    /// What each row counts; one where there are none.
    weights: Option<&'a [u32]>,
}

impl<'a> Places<'a> {
    fn of(slab: &Slab<'_>, rows: &Rows<'_>, chosen: &Mask, weights: Option<&'a [u32]>) -> Self {
        let (mut first, mut last) = (usize::MAX, 0);
        rows.each(|_, interval| {
            (first, last) = (first.min(interval), last.max(interval));
        });
        let mut of_row = vec![NOWHERE; slab.len()];
        if first > last {
            return Self { first: 0, count: 0, of_row, weights };
        }
        rows.each(|row, interval| {
            of_row[row] = 2 * (interval - first) as u32 + u32::from(chosen.get(row));
        });
        Self { first, count: 2 * (last + 1 - first), of_row, weights }
    }

    /// The number of spans of each code at each place, by code.
    fn count(&self, code_of: impl Fn(usize, u32) -> u32, codes: usize) -> Vec<(u32, u32, u64)> {
        match self.weights {
            None => self.added(code_of, |_| 1_u32, codes),
            Some(weights) => self.added(code_of, |row| u64::from(weights[row]), codes),
        }
    }

    /// What the spans of each code count at each place, by code. A slab's own number fits in 32
    /// bits, which halves the memory that is written to; weights need more.
    fn added<N: Copy + Default + PartialEq + AddAssign + Into<u64>>(
        &self,
        code_of: impl Fn(usize, u32) -> u32,
        weight: impl Fn(usize) -> N,
        codes: usize,
    ) -> Vec<(u32, u32, u64)> {
        let at = self.of_row.iter().enumerate().filter(|(_, place)| **place != NOWHERE);
        let at = at.map(|(row, &place)| (code_of(row, place), place, weight(row)));
        let at = at.filter(|(code, _, _)| *code != NOWHERE);
        if codes * self.count <= 4 * self.of_row.len() {
            let mut counts = vec![N::default(); codes * self.count];
            at.for_each(|(code, place, spans)| {
                counts[code as usize * self.count + place as usize] += spans;
            });
            let of_code = counts.chunks(self.count.max(1)).zip(0..);
            let all =
                of_code.flat_map(|(of, code)| (0..).zip(of).map(move |(at, n)| (code, at, *n)));
            let some = all.filter(|(_, _, spans)| *spans != N::default());
            return some.map(|(code, place, spans)| (code, place, spans.into())).collect();
        }
        let mut all: Vec<(u32, u32, N)> = at.collect();
        all.sort_unstable_by_key(|(code, place, _)| (*code, *place));
        let runs = all.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1));
        let sum = |run: &[(u32, u32, N)]| run.iter().map(|(_, _, spans)| (*spans).into()).sum();
        runs.map(|run| (run[0].0, run[0].1, sum(run))).collect()
    }

    /// Adds what was counted of some values.
    fn add(
        &self,
        to: &mut [Side; 2],
        counts: &[(u32, u32, u64)],
        value_of: impl Fn(u32) -> Static,
    ) {
        for of_code in counts.chunk_by(|(one, _, _), (other, _, _)| one == other) {
            let value = value_of(of_code[0].0);
            if value == Static::Nil {
                continue;
            }
            let mut numbers = [None; 2];
            for &(_, place, spans) in of_code {
                let (side, interval) = (place as usize % 2, self.first + place as usize / 2);
                let number = numbers[side].get_or_insert_with(|| to[side].number(&value));
                to[side].add(*number, interval, spans);
            }
        }
    }
}

/// Adds the rows' values by side, attribute and value; a row counts one, or what it weighs. The
/// spans of the selection start in the range, which is open at its end, as Tempo has it
/// (`MetricsCompare.isSelection`).
pub(super) fn compare(
    slab: &Slab<'_>,
    rows: &Rows<'_>,
    selected: &Mask,
    range: Option<(i64, i64)>,
    weights: Option<&[u32]>,
    to: &mut Compared,
) -> Result<(), Damaged> {
    let mut chosen = selected.clone();
    if let Some((start, end)) = range {
        let mut outside = Mask::none(slab.len());
        for row in selected.iter() {
            let time = i64::try_from(slab.start(row)?).unwrap_or(i64::MAX);
            if time < start || time >= end {
                outside.set(row);
            }
        }
        chosen.minus(&outside);
    }
    let places = Places::of(slab, rows, &chosen, weights);
    if places.count == 0 {
        return Ok(());
    }
    for field in fields_of_spans(slab)? {
        if to.overflown() {
            return Ok(());
        }
        let lane = coded(slab, &field, rows.alive)?;
        let untold = to.untold(&field);
        // By side, with the code 0 for all values that are not told.
        let of_code = |code: u32| match lane.legend.is_nil(code) {
            true => [NOWHERE; 2],
            false => untold.map(|untold| if untold { 0 } else { code + 1 }),
        };
        let of_code: Vec<[u32; 2]> = (0..lane.legend.len() as u32).map(of_code).collect();
        let code = |row: usize, place: u32| of_code[lane.codes[row] as usize][place as usize % 2];
        let codes = if untold == [true; 2] { 1 } else { of_code.len() + 1 };
        let counts = places.count(code, codes);
        let value = |code: u32| match code.checked_sub(1) {
            Some(code) => lane.legend.value(code),
            // Any is as good as the other.
            None => Static::Bool(true),
        };
        to.add(&field, |sides| places.add(sides, &counts, value));
    }
    // Spans of a scope have the same resource.
    let scopes = slab.required(name::SCOPE)?;
    let scopes = scopes.int32s();
    let counts = places.count(|row, _| scopes[row] as u32, slab.scopes.len());
    for key in resource_keys(slab) {
        let value = |scope| scope_value(scope, Scope::Resource, &key).single();
        let values: Vec<Static> = slab.scopes.iter().map(|scope| value(scope)).collect();
        let name = key.clone();
        let field = Field::Attribute(Attribute { scope: Scope::Resource, parent: false, name });
        to.add(&field, |sides| places.add(sides, &counts, |code| values[code as usize].clone()));
    }
    Ok(())
}

/// What spans of the slab could differ in, but for their resources.
fn fields_of_spans(slab: &Slab<'_>) -> Result<HashSet<Field>, Damaged> {
    let intrinsics = [
        Intrinsic::Name,
        Intrinsic::Kind,
        Intrinsic::Status,
        Intrinsic::StatusMessage,
        Intrinsic::RootName,
        Intrinsic::RootServiceName,
    ];
    let mut fields: HashSet<Field> = intrinsics.map(Field::Intrinsic).into();
    let columns = slab.piece.columns(Table::Spans)?;
    let keys = columns.iter().filter_map(|column| parse_attribute_column(column));
    let keys = keys.map(|(_, key)| key.to_owned()).chain(slab.spans.rest_keys()?);
    fields.extend(
        keys.map(|name| Field::Attribute(Attribute { scope: Scope::Span, parent: false, name })),
    );
    Ok(fields)
}

fn resource_keys(slab: &Slab<'_>) -> HashSet<String> {
    let mut keys = HashSet::new();
    for row in slab.scopes.iter() {
        let batch = row.batch();
        for attribute in batch.resource_attributes(row.resource()) {
            let key = batch.text(attribute.key);
            if !keys.contains(key) {
                keys.insert(key.to_owned());
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Field {
        let name = name.to_owned();
        Field::Attribute(Attribute { scope: Scope::Span, parent: false, name })
    }

    /// Counts spans of a text on one side.
    fn add(to: &mut Compared, name: &str, text: &str) {
        let value = Static::String(text.to_owned());
        to.add(&field(name), |sides| {
            let number = sides[0].number(&value);
            sides[0].add(number, 0, 1);
        });
    }

    #[test]
    fn what_is_compared_has_one_bound_for_all_threads() {
        let long = |at: usize| format!("{at}{}", "x".repeat(8 * 1024));
        let budget = Budget::of(64 * 1024);
        let mut all = [Compared::new(2, &budget), Compared::new(2, &budget)];
        for at in 0..6 {
            add(&mut all[at % 2], "a", &long(at));
        }
        assert!(all.iter().all(|of| !of.overflown() && of.bytes() > 3 * 8 * 1024));
        // What two threads have is less once it is together.
        let [mut one, mut other] = all;
        add(&mut other, "a", &long(0));
        let both = one.bytes() + other.bytes();
        one.join(other);
        assert!(!one.overflown() && one.bytes() + 8 * 1024 < both, "{} {both}", one.bytes());
        add(&mut one, "a", &long(6));
        add(&mut one, "a", &long(7));
        assert!(one.overflown());
        // A field takes room for every interval before it has a value.
        let mut wide = Compared::new(5_000, &Budget::of(64 * 1024));
        add(&mut wide, "a", "");
        assert!(wide.overflown() && wide.fields.is_empty());
    }
}
