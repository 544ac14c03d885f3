//! A value per row of a slab, as numbers: groups, intervals of time, measured values.

use traceql::{Attribute, Field, Intrinsic, Scope, Static};

use super::filter::{Domain, scope_value};
use super::mask::Mask;
use super::slab::Slab;
use super::value::{Val, attribute_at};
use super::values::{field_values, kind, status};
use crate::column::{Column, Values};
use crate::columns::{Table, name};
use crate::piece::Damaged;
use crate::types::ValueType;

/// No interval, no code.
pub(super) const NO: u32 = u32::MAX;

/// A number per row that stands for a value.
pub(super) struct Coded {
    pub(super) codes: Vec<u32>,
    pub(super) values: Vec<Static>,
}

impl Coded {
    fn constant(rows: usize, value: Static) -> Self {
        Self { codes: vec![0; rows], values: vec![value] }
    }

    /// By scope, by trace or by another number that rows share.
    fn shared(of_row: impl Iterator<Item = u32>, values: Vec<Static>) -> Self {
        Self { codes: of_row.collect(), values }
    }
}

fn numbers_of(column: &Column) -> impl Iterator<Item = u32> + '_ {
    column.int32s().iter().map(|&number| number as u32)
}

/// The values of a field by which spans are grouped; rows that are not alive may have any.
pub(super) fn coded(slab: &Slab<'_>, field: &Field, alive: &Mask) -> Result<Coded, Damaged> {
    match field {
        Field::Attribute(attribute) if !attribute.parent => match attribute.scope {
            Scope::Resource | Scope::Instrumentation => {
                let value = |row: &std::sync::Arc<_>| {
                    scope_value(row, attribute.scope, &attribute.name).single()
                };
                let values = slab.scopes.iter().map(value).collect();
                let scopes = slab.required(name::SCOPE)?;
                Ok(Coded::shared(numbers_of(&scopes), values))
            }
            Scope::Span => span_attribute(slab, &attribute.name, alive),
            // Of the span, else of its resource.
            Scope::Any => {
                let of = |scope| Attribute { scope, ..attribute.clone() };
                let mut own = coded(slab, &Field::Attribute(of(Scope::Span)), alive)?;
                let resource = coded(slab, &Field::Attribute(of(Scope::Resource)), alive)?;
                let first = own.values.len() as u32;
                own.values.extend(resource.values);
                let nil: Vec<bool> = own.values.iter().map(|value| *value == Static::Nil).collect();
                for (code, other) in own.codes.iter_mut().zip(resource.codes) {
                    if nil[*code as usize] {
                        *code = first + other;
                    }
                }
                Ok(own)
            }
            Scope::Event | Scope::Link => generic(slab, field, alive),
        },
        Field::Intrinsic(Intrinsic::Name) => {
            let names = slab.required(name::NAME)?;
            let Some((codes, texts)) = names.codes() else {
                return Ok(Coded::constant(slab.len(), Static::Nil));
            };
            let texts = (0..texts.len() as u32).map(|code| texts.text(code).to_owned());
            Ok(Coded { codes: codes.to_vec(), values: texts.map(Static::String).collect() })
        }
        Field::Intrinsic(Intrinsic::Status | Intrinsic::Kind) => {
            let (column, of) = match field {
                Field::Intrinsic(Intrinsic::Kind) => (name::KIND, kind as fn(i32) -> Static),
                _ => (name::STATUS, status as fn(i32) -> Static),
            };
            let column = slab.required(column)?;
            let values: Vec<Static> = (0..6).map(of).chain([Static::Nil]).collect();
            let other = values.len() as u32 - 1;
            Ok(Coded::shared(numbers_of(&column).map(|number| number.min(other)), values))
        }
        Field::Intrinsic(Intrinsic::RootName | Intrinsic::RootServiceName) => {
            let table = &slab.table;
            let of_trace = match field {
                Field::Intrinsic(Intrinsic::RootName) => &table.root_name,
                _ => &table.root_service,
            };
            let values = table.texts.iter().cloned().map(Static::String).collect();
            let of_row = slab.trace_of().iter().map(|&trace| of_trace[trace as usize]);
            Ok(Coded::shared(of_row, values))
        }
        _ => generic(slab, field, alive),
    }
}

fn span_attribute(slab: &Slab<'_>, key: &str, alive: &Mask) -> Result<Coded, Damaged> {
    if !slab.spans.extra(key)?.is_empty() {
        let attribute = Attribute { scope: Scope::Span, parent: false, name: key.to_owned() };
        return generic(slab, &Field::Attribute(attribute), alive);
    }
    let mut out = Coded::constant(slab.len(), Static::Nil);
    for (value_type, column) in slab.spans.attribute(key, None)? {
        let first = out.values.len() as u32;
        if let (ValueType::String, Some((codes, texts))) = (value_type, column.codes()) {
            let texts = (0..texts.len() as u32).map(|code| texts.text(code).to_owned());
            out.values.extend(texts.map(Static::String));
            for (row, &code) in column.rows_present().zip(codes) {
                out.codes[row] = first + code;
            }
            continue;
        }
        let mut known: hashbrown::HashMap<String, u32> = hashbrown::HashMap::new();
        for (at, row) in column.rows_present().enumerate() {
            let value = attribute_at(value_type, column.values(), at).single();
            out.codes[row] = *known.entry(value.to_string()).or_insert_with(|| {
                out.values.push(value);
                out.values.len() as u32 - 1
            });
        }
    }
    Ok(out)
}

fn generic(slab: &Slab<'_>, field: &Field, alive: &Mask) -> Result<Coded, Damaged> {
    let rows: Vec<u32> = alive.iter().map(|row| row as u32).collect();
    let mut out = Coded::constant(slab.len(), Static::Nil);
    let mut known: hashbrown::HashMap<String, u32> = hashbrown::HashMap::new();
    for (row, value) in rows.iter().zip(field_values(slab, field, Domain::Spans, &rows)?) {
        let value = value.single();
        if value != Static::Nil {
            out.codes[*row as usize] = *known.entry(value.to_string()).or_insert_with(|| {
                out.values.push(value);
                out.values.len() as u32 - 1
            });
        }
    }
    Ok(out)
}

/// The interval of each row that is alive, [`NO`] for those outside of all. An interval holds its
/// end and not its start.
pub(super) fn intervals(
    slab: &Slab<'_>,
    alive: &Mask,
    start: u64,
    step: u64,
    steps: usize,
) -> Result<Vec<u32>, Damaged> {
    let of = |time: u64| match time.checked_sub(start) {
        None | Some(0) => NO,
        Some(since) => u32::try_from((since - 1) / step).unwrap_or(NO),
    };
    let cut = |interval: u32| if (interval as usize) < steps { interval } else { NO };
    let mut out = vec![NO; slab.len()];
    let odd = slab.piece.start_ranges().overlap(0, 0);
    let mut offsets = None;
    for trace in slab.traces.clone() {
        let (first, last) = (slab.table.start[trace], slab.table.end[trace]);
        let rows = slab.trace_rows(trace);
        let interval = of(first);
        if !odd && interval == of(last) && first > start {
            out[rows].fill(cut(interval));
            continue;
        }
        let offsets = match &offsets {
            Some(offsets) => offsets,
            None => offsets.insert(slab.required(name::START)?),
        };
        for row in rows {
            if alive.get(row) {
                out[row] = cut(of(first.wrapping_add(offsets.int64s()[row] as u64)));
            }
        }
    }
    Ok(out)
}

/// A field's numbers.
pub(super) struct Numbers {
    /// NaN where there is none.
    pub(super) values: Vec<f64>,
    /// They are durations in nanoseconds.
    pub(super) durations: bool,
}

/// The numbers of a field at the rows that are alive.
pub(super) fn numbers(slab: &Slab<'_>, field: &Field, alive: &Mask) -> Result<Numbers, Damaged> {
    if let Field::Intrinsic(Intrinsic::Duration) = field {
        let column = slab.required(name::DURATION)?;
        let values = column.int64s().iter().map(|&nanos| nanos.max(0) as f64).collect();
        return Ok(Numbers { values, durations: true });
    }
    let mut out = Numbers { values: vec![f64::NAN; slab.len()], durations: false };
    if let Field::Attribute(Attribute { scope: Scope::Span, parent: false, name }) = field
        && slab.piece.row_count(Table::SpansRest) == 0
    {
        for (_, column) in slab.spans.attribute(name, None)? {
            let rows = column.rows_present();
            match column.values() {
                Values::Int64(values) => {
                    rows.zip(values).for_each(|(row, &value)| out.values[row] = value as f64);
                }
                Values::Double(values) => {
                    rows.zip(values).for_each(|(row, &value)| out.values[row] = value);
                }
                _ => {}
            }
        }
        return Ok(out);
    }
    let rows: Vec<u32> = alive.iter().map(|row| row as u32).collect();
    for (row, value) in rows.iter().zip(field_values(slab, field, Domain::Spans, &rows)?) {
        out.durations |= matches!(value, Val::One(Static::Duration(_)));
        out.values[*row as usize] = value.number().unwrap_or(f64::NAN);
    }
    Ok(out)
}
