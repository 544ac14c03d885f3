//! Which rows pass a test of what every span has.

use traceql::{CompareOp, Field, FieldExpr, Intrinsic, Static};

use super::Domain;
use super::fields::test_scopes;
use crate::column::{Column, Values};
use crate::columns::name;
use crate::piece::Damaged;
use crate::query::mask::Mask;
use crate::query::slab::{NONE, Slab};
use crate::query::structure::nested_set;
use crate::query::value::{Test, as_id, id_text};
use crate::query::values::{kind, status, values};
use crate::scopes::ScopeRow;
use crate::types::ValueType;

pub(super) fn test_intrinsic(
    slab: &Slab<'_>,
    intrinsic: Intrinsic,
    test: Test<'_>,
    alive: &Mask,
) -> Result<Mask, Damaged> {
    let of_traces = |value: &dyn Fn(usize) -> Static| {
        let mut mask = slab.rows_of_traces(|trace| test.one(&value(trace)));
        mask.and(alive);
        mask
    };
    let table = &slab.table;
    match intrinsic {
        Intrinsic::TraceId => Ok(with_id(test, 32, |test| {
            let mut mask = slab
                .rows_of_traces(|trace| test.one(&Static::String(id_text(table.ids[trace], 32))));
            mask.and(alive);
            mask
        })),
        Intrinsic::TraceDuration => Ok(of_traces(&|trace| {
            Static::Duration(clamp(table.end[trace].saturating_sub(table.start[trace])))
        })),
        Intrinsic::RootName | Intrinsic::RootServiceName => {
            let facts = slab.facts()?;
            let codes = match intrinsic {
                Intrinsic::RootName => &facts.root_name,
                _ => &facts.root_service,
            };
            let test_text = |text: &String| test.one(&Static::String(text.clone()));
            let holds: Vec<bool> = facts.texts.iter().map(test_text).collect();
            let mut mask = slab.rows_of_traces(|trace| holds[codes[trace] as usize]);
            mask.and(alive);
            Ok(mask)
        }
        Intrinsic::SpanId => {
            let ids = slab.required(name::SPAN_ID)?;
            let ids = ids.id8s();
            Ok(with_id(test, 16, |test| {
                alive.filtered(|row| test.one(&Static::String(id_text(ids[row].into(), 16))))
            }))
        }
        Intrinsic::Duration => {
            let column = slab.durations()?;
            Ok(durations(&column, test, alive))
        }
        Intrinsic::Name => {
            let mut out = Mask::none(alive.len());
            let skip = match test.equal_text() {
                Some(text) => !slab.spans.may_contain(name::NAME, text)?,
                None => false,
            };
            if !skip {
                let column = slab.required(name::NAME)?;
                test.column(ValueType::String, &column, |row| out.set(row));
                out.and(alive);
            }
            Ok(out)
        }
        Intrinsic::StatusMessage => {
            let mut out = match test.one(&Static::String(String::new())) {
                true => alive.clone(),
                false => Mask::none(alive.len()),
            };
            if let Some(column) = slab.spans.column(name::STATUS_MESSAGE)? {
                let mut there = Mask::none(alive.len());
                column.rows_present().for_each(|row| there.set(row));
                out.minus(&there);
                test.column(ValueType::String, &column, |row| out.set(row));
                out.and(alive);
            }
            Ok(out)
        }
        Intrinsic::Kind | Intrinsic::Status => {
            let (column, of) = match intrinsic {
                Intrinsic::Kind => (slab.required(name::KIND)?, kind as fn(i32) -> _),
                _ => (slab.required(name::STATUS)?, status as fn(i32) -> _),
            };
            let holds: Vec<bool> = (0..8).map(|number| test.one(&of(number))).collect();
            let other = test.one(&of(-1));
            let numbers = column.int32s();
            let fits = |row: usize| holds.get(numbers[row] as usize).copied().unwrap_or(other);
            Ok(alive.filtered(fits))
        }
        Intrinsic::InstrumentationName | Intrinsic::InstrumentationVersion => {
            let text = |row: &ScopeRow| match intrinsic {
                Intrinsic::InstrumentationName => row.batch().text(row.scope().name).to_owned(),
                _ => row.batch().text(row.scope().version).to_owned(),
            };
            test_scopes(slab, |row| test.one(&Static::String(text(row))), alive)
        }
        Intrinsic::Parent => {
            let parents = slab.parents()?;
            Ok(match test {
                Test::Exists => alive.filtered(|row| parents[row] != NONE),
                _ => Mask::none(alive.len()),
            })
        }
        Intrinsic::NestedSetParent if is_root_test(test) => {
            let parents = slab.parents()?;
            let mut out = alive.filtered(|row| parents[row] == NONE);
            // Circles have no root, one of their spans stands in for it. Each has a span before
            // its parent, which is rare.
            for trace in slab.traces.clone() {
                let rows = slab.trace_rows(trace);
                if rows.clone().any(|row| parents[row] != NONE && parents[row] as usize >= row) {
                    for (at, (_, _, parent)) in nested_set(slab, trace)?.iter().enumerate() {
                        if *parent < 0 && alive.get(rows.start + at) {
                            out.set(rows.start + at);
                        }
                    }
                }
            }
            Ok(out)
        }
        Intrinsic::EventName => {
            let mut out = Mask::none(alive.len());
            if let Some(column) = slab.events()?.column(name::NAME)? {
                test.column(ValueType::String, &column, |row| out.set(row));
                out.and(alive);
            }
            Ok(out)
        }
        Intrinsic::ParentId
        | Intrinsic::ChildCount
        | Intrinsic::NestedSetLeft
        | Intrinsic::NestedSetRight
        | Intrinsic::NestedSetParent
        | Intrinsic::EventTimeSinceStart
        | Intrinsic::LinkTraceId
        | Intrinsic::LinkSpanId => {
            let digits = if intrinsic == Intrinsic::LinkTraceId { 32 } else { 16 };
            let field = FieldExpr::Field(Field::Intrinsic(intrinsic));
            let domain = Domain::of(&Field::Intrinsic(intrinsic));
            let rows: Vec<u32> = alive.iter().map(|row| row as u32).collect();
            let computed = values(slab, &field, domain, &rows)?;
            Ok(with_id(test, digits, |test| {
                let mut out = Mask::none(alive.len());
                for (row, value) in rows.iter().zip(&computed) {
                    if test.val(value) {
                        out.set(*row as usize);
                    }
                }
                out
            }))
        }
    }
}

/// `nestedSetParent < 0` or `= -1`, as people ask for roots.
fn is_root_test(test: Test<'_>) -> bool {
    matches!(
        test,
        Test::Compare(CompareOp::Less, Static::Int(0))
            | Test::Compare(CompareOp::Equal | CompareOp::LessOrEqual, Static::Int(-1))
    )
}

/// Calls with the test as it applies to ids of so many digits.
fn with_id(test: Test<'_>, digits: usize, holds: impl FnOnce(Test<'_>) -> Mask) -> Mask {
    match test {
        Test::Compare(op, Static::String(text)) => {
            let text = Static::String(as_id(text, digits).into_owned());
            holds(Test::Compare(op, &text))
        }
        other => holds(other),
    }
}

fn durations(column: &Column, test: Test<'_>, alive: &Mask) -> Mask {
    let Values::Int64(values) = column.values() else { return Mask::none(alive.len()) };
    match test {
        Test::Compare(op, Static::Duration(wanted) | Static::Int(wanted)) => {
            let wanted = *wanted;
            alive.filtered(|row| op.holds(values[row].max(0).cmp(&wanted)))
        }
        _ => alive.filtered(|row| test.one(&Static::Duration(values[row].max(0)))),
    }
}

/// Nanoseconds as a duration of the language.
pub(in crate::query) fn clamp(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}
