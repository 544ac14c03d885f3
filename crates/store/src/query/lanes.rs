//! A value per row of a slab, as numbers: groups, intervals of time, measured values.

use std::ops::Range;
use std::sync::Arc;

use traceql::{Attribute, Field, Intrinsic, Scope, Static};

use super::filter::{Domain, scope_value};
use super::groups::Distinct;
use super::mask::Mask;
use super::slab::Slab;
use super::value::{Val, attribute_at};
use super::values::{field_values, kind, status};
use crate::column::{Column, Values};
use crate::columns::{Table, name};
use crate::parquet_file::Numbering;
use crate::piece::Damaged;
use crate::spare;
use crate::texts::Texts;
use crate::types::ValueType;

/// The code of a span attribute's rows that do not have it.
const NIL: u32 = 0;

/// A number per row that stands for a value.
pub(super) struct Coded {
    pub(super) codes: Vec<u32>,
    pub(super) legend: Legend,
}

impl Coded {
    fn constant(rows: usize, value: Static) -> Self {
        Self { codes: zeros(rows), legend: Legend::of(vec![value]) }
    }

    /// By scope, by trace or by another number that rows share.
    fn shared(of_row: impl ExactSizeIterator<Item = u32>, legend: Legend) -> Self {
        let mut codes = spare::take(of_row.len());
        codes.extend(of_row);
        Self { codes, legend }
    }

    /// Puts texts at the rows that have one.
    fn put_texts(&mut self, column: &Column) {
        let Some((codes, texts)) = column.codes() else { return };
        let first = self.legend.len() as u32;
        self.legend.push(Meanings::Texts(texts.clone()));
        column.rows_present().zip(codes).for_each(|(row, &code)| self.codes[row] = first + code);
    }

    /// Puts numbers, by their bits, at the rows that have one and are alive.
    fn put_numbers(
        &mut self,
        column: &Column,
        bits: impl Iterator<Item = u64>,
        alive: &Mask,
        value: impl Fn(u64) -> Static,
    ) {
        let first = self.legend.len() as u32;
        let mut known = Numbering::default();
        for (row, bits) in column.rows_present().zip(bits).filter(|(row, _)| alive.get(*row)) {
            self.codes[row] = first + known.code(bits);
        }
        let values = known.keys().iter().map(|&bits| value(bits));
        self.legend.push(Meanings::Values(values.collect()));
    }
}

impl Drop for Coded {
    fn drop(&mut self) {
        spare::give(std::mem::take(&mut self.codes));
    }
}

/// What codes stand for. Texts stay where they are: of very many few may be asked for.
#[derive(Default)]
pub(super) struct Legend {
    /// One behind the other.
    parts: Vec<Meanings>,
    len: usize,
}

enum Meanings {
    Values(Vec<Static>),
    Texts(Arc<Texts>),
}

impl Meanings {
    fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Texts(texts) => texts.len(),
        }
    }
}

impl Legend {
    fn of(values: Vec<Static>) -> Self {
        let mut legend = Self::default();
        legend.push(Meanings::Values(values));
        legend
    }

    fn texts(texts: Arc<Texts>) -> Self {
        let mut legend = Self::default();
        legend.push(Meanings::Texts(texts));
        legend
    }

    fn push(&mut self, part: Meanings) {
        self.len += part.len();
        self.parts.push(part);
    }

    fn append(&mut self, other: Self) {
        other.parts.into_iter().for_each(|part| self.push(part));
    }

    /// How many codes there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn place(&self, code: u32) -> Option<(&Meanings, usize)> {
        let mut at = code as usize;
        for part in &self.parts {
            if at < part.len() {
                return Some((part, at));
            }
            at -= part.len();
        }
        None
    }

    /// The value of a code; nil of one that there is not.
    pub(super) fn value(&self, code: u32) -> Static {
        match self.place(code) {
            Some((Meanings::Values(values), at)) => values[at].clone(),
            Some((Meanings::Texts(texts), at)) => Static::String(texts.text(at as u32).to_owned()),
            None => Static::Nil,
        }
    }

    /// Whether a code stands for no value.
    pub(super) fn is_nil(&self, code: u32) -> bool {
        match self.place(code) {
            Some((Meanings::Values(values), at)) => values[at] == Static::Nil,
            Some((Meanings::Texts(_), _)) => false,
            None => true,
        }
    }
}

fn zeros(count: usize) -> Vec<u32> {
    let mut zeros = spare::take(count);
    zeros.resize(count, 0);
    zeros
}

fn numbers_of(column: &Column) -> impl ExactSizeIterator<Item = u32> + '_ {
    column.int32s().iter().map(|&number| number as u32)
}

/// The values of a field by which spans are grouped; rows that are not alive may have any.
pub(super) fn coded(slab: &Slab<'_>, field: &Field, alive: &Mask) -> Result<Coded, Damaged> {
    match field {
        Field::Attribute(attribute) if !attribute.parent => match attribute.scope {
            Scope::Resource | Scope::Instrumentation => {
                // Scopes are more than what they have in common.
                let mut known = Distinct::default();
                let value = |row: &Arc<_>| {
                    let value = scope_value(row, attribute.scope, &attribute.name).single();
                    known.number_of(&value) as u32
                };
                let of_scope: Vec<u32> = slab.scopes.iter().map(value).collect();
                let scopes = slab.required(name::SCOPE)?;
                let of_row = scopes.int32s().iter().map(|&scope| of_scope[scope as usize]);
                Ok(Coded::shared(of_row, Legend::of(known.into_values())))
            }
            Scope::Span => span_attribute(slab, &attribute.name, alive),
            // Of the span, else of its resource.
            Scope::Any => {
                let of = |scope| Attribute { scope, ..attribute.clone() };
                let mut own = coded(slab, &Field::Attribute(of(Scope::Span)), alive)?;
                let mut resource = coded(slab, &Field::Attribute(of(Scope::Resource)), alive)?;
                let first = own.legend.len() as u32;
                let nil: Vec<bool> = (0..first).map(|code| own.legend.is_nil(code)).collect();
                for (code, other) in own.codes.iter_mut().zip(&resource.codes) {
                    if nil[*code as usize] {
                        *code = first + other;
                    }
                }
                own.legend.append(std::mem::take(&mut resource.legend));
                Ok(own)
            }
            Scope::Event | Scope::Link => generic(slab, field, alive),
        },
        Field::Intrinsic(Intrinsic::Name) => {
            let names = slab.required(name::NAME)?;
            let Some((codes, texts)) = names.codes() else {
                return Ok(Coded::constant(slab.len(), Static::Nil));
            };
            Ok(Coded::shared(codes.iter().copied(), Legend::texts(texts.clone())))
        }
        Field::Intrinsic(Intrinsic::StatusMessage) => {
            let mut out = Coded::constant(slab.len(), Static::String(String::new()));
            if let Some(texts) = slab.spans.column(name::STATUS_MESSAGE)? {
                out.put_texts(&texts);
            }
            Ok(out)
        }
        Field::Intrinsic(Intrinsic::Status | Intrinsic::Kind) => {
            let (column, of) = match field {
                Field::Intrinsic(Intrinsic::Kind) => (name::KIND, kind as fn(i32) -> Static),
                _ => (name::STATUS, status as fn(i32) -> Static),
            };
            let column = slab.required(column)?;
            let values: Vec<Static> = (0..6).map(of).chain([Static::Nil]).collect();
            let other = values.len() as u32 - 1;
            let of_row = numbers_of(&column).map(|number| number.min(other));
            Ok(Coded::shared(of_row, Legend::of(values)))
        }
        Field::Intrinsic(Intrinsic::RootName | Intrinsic::RootServiceName) => {
            let table = slab.facts()?;
            let of_trace = match field {
                Field::Intrinsic(Intrinsic::RootName) => &table.root_name,
                _ => &table.root_service,
            };
            let values = table.texts.iter().cloned().map(Static::String).collect();
            let of_row = slab.trace_of().iter().map(|&trace| of_trace[trace as usize]);
            Ok(Coded::shared(of_row, Legend::of(values)))
        }
        _ => generic(slab, field, alive),
    }
}

/// As one by one (`values`): where a span has the key more than once, a column comes before what
/// has none.
fn span_attribute(slab: &Slab<'_>, key: &str, alive: &Mask) -> Result<Coded, Damaged> {
    let mut out = Coded::constant(slab.len(), Static::Nil);
    for (value_type, column) in slab.spans.attribute(key, None)? {
        match (value_type, column.values()) {
            (ValueType::String, _) => out.put_texts(&column),
            (_, Values::Int64(values)) => {
                let bits = values.iter().map(|&value| value as u64);
                out.put_numbers(&column, bits, alive, |bits| Static::Int(bits as i64));
            }
            (_, Values::Double(values)) => {
                let bits = values.iter().map(|value| value.to_bits());
                out.put_numbers(&column, bits, alive, |bits| Static::Float(f64::from_bits(bits)));
            }
            (_, values) => {
                let first = out.legend.len() as u32;
                let mut known = Distinct::default();
                let rows = column.rows_present().enumerate().filter(|&(_, row)| alive.get(row));
                for (at, row) in rows {
                    let value = attribute_at(value_type, values, at).single();
                    out.codes[row] = first + known.number_of(&value) as u32;
                }
                out.legend.push(Meanings::Values(known.into_values()));
            }
        }
    }
    let first = out.legend.len() as u32;
    let mut known = Distinct::default();
    for (row, value) in slab.spans.extra(key)?.iter() {
        let code = &mut out.codes[*row as usize];
        if *code == NIL && alive.get(*row as usize) {
            *code = first + known.number_of(&value.clone().single()) as u32;
        }
    }
    out.legend.push(Meanings::Values(known.into_values()));
    Ok(out)
}

fn generic(slab: &Slab<'_>, field: &Field, alive: &Mask) -> Result<Coded, Damaged> {
    let rows: Vec<u32> = alive.iter().map(|row| row as u32).collect();
    let mut known = Distinct::default();
    known.number_of(&Static::Nil);
    let mut codes = zeros(slab.len());
    for (row, value) in rows.iter().zip(field_values(slab, field, Domain::Spans, &rows)?) {
        codes[*row as usize] = known.number_of(&value.single()) as u32;
    }
    Ok(Coded { codes, legend: Legend::of(known.into_values()) })
}

/// Intervals of time that follow each other. One holds its end and not its start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) step: u64,
    pub(super) steps: usize,
}

impl Window {
    /// The interval that holds a time and the last time in it; `None` outside of all.
    fn interval(&self, time: u64) -> Option<(usize, u64)> {
        let since = time.checked_sub(self.start)?.checked_sub(1)?;
        let interval = since / self.step;
        if interval >= self.steps as u64 {
            return None;
        }
        let last = self.start.saturating_add((interval + 1).saturating_mul(self.step));
        Some((interval as usize, last))
    }
}

/// Rows that follow each other and start in the same interval.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) rows: Range<usize>,
    pub(super) interval: usize,
}

/// The rows that start in some interval, ascending; among them all of those that are alive.
pub(super) fn intervals(
    slab: &Slab<'_>,
    alive: &Mask,
    window: Window,
) -> Result<Vec<Run>, Damaged> {
    let mut runs: Vec<Run> = Vec::new();
    let mut add = |rows: Range<usize>, interval: usize| match runs.last_mut() {
        Some(run) if run.interval == interval && run.rows.end == rows.start => {
            run.rows.end = rows.end;
        }
        _ => runs.push(Run { rows, interval }),
    };
    let odd = slab.piece.start_ranges().overlap(0, 0);
    let mut offsets = None;
    for trace in slab.traces.clone() {
        let (first, last) = (slab.table.start[trace], slab.table.end[trace]);
        let rows = slab.trace_rows(trace);
        if !odd {
            match window.interval(first) {
                Some((interval, until)) if last <= until => {
                    add(rows, interval);
                    continue;
                }
                None if first > window.start || last <= window.start => continue,
                _ => {}
            }
        }
        if alive.iter_in(rows.clone()).next().is_none() {
            continue;
        }
        let offsets = match &offsets {
            Some(offsets) => offsets,
            None => offsets.insert(slab.required(name::START)?),
        };
        // Starts mostly ascend, so that the next is mostly in the interval of the one before.
        let mut known = (0, 0..0);
        for (row, &offset) in rows.clone().zip(&offsets.int64s()[rows]) {
            let time = first.wrapping_add(offset as u64);
            if !known.1.contains(&time) {
                let Some((interval, until)) = window.interval(time) else { continue };
                known = (interval, time..until.saturating_add(1));
            }
            add(row..row + 1, known.0);
        }
    }
    Ok(runs)
}

/// A field's numbers.
pub(super) enum Numbers {
    /// Durations in nanoseconds, of every row.
    Nanos(Column),
    /// NaN where there is none.
    Floats {
        values: Vec<f64>,
        /// They are durations in nanoseconds.
        durations: bool,
    },
}

impl Numbers {
    /// Whether they are durations in nanoseconds.
    pub(super) fn are_durations(&self) -> bool {
        matches!(self, Self::Nanos(_) | Self::Floats { durations: true, .. })
    }

    /// The number at a row; NaN where there is none.
    pub(super) fn at(&self, row: usize) -> f64 {
        match self {
            Self::Nanos(column) => column.int64_at(row).max(0) as f64,
            Self::Floats { values, .. } => values[row],
        }
    }
}

/// The numbers of a field at the rows that are alive.
pub(super) fn numbers(slab: &Slab<'_>, field: &Field, alive: &Mask) -> Result<Numbers, Damaged> {
    if let Field::Intrinsic(Intrinsic::Duration) = field {
        return Ok(Numbers::Nanos(slab.durations()?));
    }
    let mut numbers = vec![f64::NAN; slab.len()];
    if let Field::Attribute(Attribute { scope: Scope::Span, parent: false, name }) = field
        && slab.piece.row_count(Table::SpansRest) == 0
    {
        for (_, column) in slab.spans.attribute(name, None)? {
            let rows = column.rows_present();
            match column.values() {
                Values::Int64(values) => {
                    rows.zip(values).for_each(|(row, &value)| numbers[row] = value as f64);
                }
                Values::Double(values) => {
                    rows.zip(values).for_each(|(row, &value)| numbers[row] = value);
                }
                _ => {}
            }
        }
        return Ok(Numbers::Floats { values: numbers, durations: false });
    }
    let rows: Vec<u32> = alive.iter().map(|row| row as u32).collect();
    let mut durations = false;
    for (row, value) in rows.iter().zip(field_values(slab, field, Domain::Spans, &rows)?) {
        durations |= matches!(value, Val::One(Static::Duration(_)));
        numbers[*row as usize] = value.number().unwrap_or(f64::NAN);
    }
    Ok(Numbers::Floats { values: numbers, durations })
}
