//! The values of an expression at some rows, computed one by one: what is not decided by columns
//! at once, and what results show.

use traceql::{Field, FieldExpr, Intrinsic, Kind, Scope, Static, Status};

use super::filter::{Domain, clamp, filter, filter_leaf, is_single, scope_value};
use super::mask::Mask;
use super::slab::{NONE, Rows, Slab};
use super::structure::{Bounds, nested_set};
use super::value::{Val, attribute_at, id_text};
use crate::columns::name;
use crate::piece::Damaged;

/// The values of an expression at these rows, ascending, of a domain.
pub(super) fn values(
    slab: &Slab<'_>,
    expr: &FieldExpr,
    domain: Domain,
    rows: &[u32],
) -> Result<Vec<Val>, Damaged> {
    match expr {
        FieldExpr::Static(value) => Ok(vec![Val::One(value.clone()); rows.len()]),
        FieldExpr::Field(field) => field_values(slab, field, domain, rows),
        FieldExpr::Negate(inner) => {
            let inner = values(slab, inner, domain, rows)?.into_iter();
            let negated = |value: Val| number(value.one().and_then(Static::negated));
            Ok(inner.map(negated).collect())
        }
        FieldExpr::Arithmetic { op, left, right } => {
            let left = values(slab, left, domain, rows)?.into_iter();
            let right = values(slab, right, domain, rows)?;
            let apply = |(left, right): (Val, Val)| {
                let both = left.one().zip(right.one());
                number(both.and_then(|(left, right)| left.arithmetic(*op, right)))
            };
            Ok(left.zip(right).map(apply).collect())
        }
        // What is true or false, of the same event or link if it is a single condition.
        condition => {
            let own = domain != Domain::Spans && is_single(condition);
            let owners = &domain.rows(slab)?.owners;
            let place = |row: u32| match domain {
                Domain::Events | Domain::Links if !own => owners[row as usize] as usize,
                _ => row as usize,
            };
            let mut alive = Mask::none(if own { owners.len() } else { slab.len() });
            rows.iter().for_each(|&row| alive.set(place(row)));
            let holds = match own {
                true => filter_leaf(slab, condition, domain, &alive)?,
                false => filter(slab, condition, &alive)?,
            };
            Ok(rows.iter().map(|&row| truth(holds.get(place(row)))).collect())
        }
    }
}

fn truth(value: bool) -> Val {
    Val::One(Static::Bool(value))
}

fn number(value: Option<Static>) -> Val {
    value.map_or(Val::NIL, Val::One)
}

/// The values of a field.
pub(super) fn field_values(
    slab: &Slab<'_>,
    field: &Field,
    domain: Domain,
    rows: &[u32],
) -> Result<Vec<Val>, Damaged> {
    let own = Domain::of(field);
    if domain != Domain::Spans && own != domain {
        let owners = &domain.rows(slab)?.owners;
        let spans: Vec<u32> = rows.iter().map(|&row| owners[row as usize]).collect();
        return field_values(slab, field, Domain::Spans, &spans);
    }
    if own != domain {
        return collected(slab, field, own, rows);
    }
    match field {
        Field::Attribute(attribute) if attribute.parent => {
            let own = Field::Attribute(traceql::Attribute { parent: false, ..attribute.clone() });
            let parents = slab.parents()?;
            let known: Vec<u32> =
                rows.iter().map(|&row| parents[row as usize]).filter(|&row| row != NONE).collect();
            let mut found = field_values(slab, &own, domain, &known)?.into_iter();
            let value = |&row: &u32| match parents[row as usize] {
                NONE => Val::NIL,
                _ => found.next().unwrap_or(Val::NIL),
            };
            Ok(rows.iter().map(value).collect())
        }
        Field::Attribute(attribute) => {
            let key = &attribute.name;
            match attribute.scope {
                Scope::Span => attribute_values(&slab.spans, key, rows),
                Scope::Event => attribute_values(slab.events()?, key, rows),
                Scope::Link => attribute_values(slab.links()?, key, rows),
                Scope::Resource | Scope::Instrumentation => {
                    scope_values(slab, rows, |row| scope_value(row, attribute.scope, key))
                }
                Scope::Any => anywhere(slab, key, rows),
            }
        }
        Field::Intrinsic(intrinsic) => intrinsic_values(slab, *intrinsic, rows),
    }
}

/// For each span the values of all its events or links.
fn collected(
    slab: &Slab<'_>,
    field: &Field,
    domain: Domain,
    rows: &[u32],
) -> Result<Vec<Val>, Damaged> {
    let owners = &domain.rows(slab)?.owners;
    let mut out = Vec::with_capacity(rows.len());
    for &row in rows {
        let start = owners.partition_point(|&owner| owner < row);
        let end = owners.partition_point(|&owner| owner <= row);
        let all: Vec<u32> = (start as u32..end as u32).collect();
        out.push(joined(field_values(slab, field, domain, &all)?));
    }
    Ok(out)
}

/// The values of all events or links of a span as one value.
fn joined(each: Vec<Val>) -> Val {
    let mut list = Vec::new();
    let mut empty = Val::NIL;
    for value in each {
        match value {
            Val::One(Static::Nil) => {}
            Val::One(value) => list.push(value),
            Val::List(values) => {
                empty = Val::List(Vec::new());
                list.extend(values);
            }
            Val::Other if empty.is_nil() => empty = Val::Other,
            Val::Other => {}
        }
    }
    match list.len() {
        0 => empty,
        1 => Val::One(list.remove(0)),
        _ => Val::List(list),
    }
}

fn attribute_values(rows_of: &Rows<'_>, key: &str, rows: &[u32]) -> Result<Vec<Val>, Damaged> {
    let mut out = vec![Val::NIL; rows.len()];
    for (value_type, column) in rows_of.attribute(key, None)? {
        for (value, &row) in out.iter_mut().zip(rows) {
            if let Some(place) = column.place(row as usize) {
                *value = attribute_at(value_type, column.values(), place);
            }
        }
    }
    let extra = rows_of.extra(key)?;
    if !extra.is_empty() {
        for (value, row) in out.iter_mut().zip(rows).filter(|(value, _)| value.is_nil()) {
            let first = extra.partition_point(|(of, _)| of < row);
            if let Some((_, found)) = extra.get(first).filter(|(of, _)| of == row) {
                *value = found.clone();
            }
        }
    }
    Ok(out)
}

fn scope_values(
    slab: &Slab<'_>,
    rows: &[u32],
    value: impl Fn(&crate::scopes::ScopeRow) -> Val,
) -> Result<Vec<Val>, Damaged> {
    let by_scope: Vec<Val> = slab.scopes.iter().map(|row| value(row)).collect();
    let numbers = slab.required(name::SCOPE)?;
    let of = |&row: &u32| by_scope.get(numbers.int32s()[row as usize] as usize).cloned();
    Ok(rows.iter().map(|row| of(row).unwrap_or(Val::NIL)).collect())
}

fn anywhere(slab: &Slab<'_>, key: &str, rows: &[u32]) -> Result<Vec<Val>, Damaged> {
    let mut out = vec![Val::NIL; rows.len()];
    for scope in [Scope::Span, Scope::Resource, Scope::Event, Scope::Link, Scope::Instrumentation] {
        let missing: Vec<usize> = (0..out.len()).filter(|&at| out[at].is_nil()).collect();
        if missing.is_empty() {
            break;
        }
        let name = key.to_owned();
        let field = Field::Attribute(traceql::Attribute { scope, parent: false, name });
        let wanted: Vec<u32> = missing.iter().map(|&at| rows[at]).collect();
        let found = field_values(slab, &field, Domain::Spans, &wanted)?;
        missing.into_iter().zip(found).for_each(|(at, value)| out[at] = value);
    }
    Ok(out)
}

fn intrinsic_values(
    slab: &Slab<'_>,
    intrinsic: Intrinsic,
    rows: &[u32],
) -> Result<Vec<Val>, Damaged> {
    let table = &slab.table;
    let of_trace = |value: &dyn Fn(usize) -> Static| {
        let traces = slab.trace_of();
        rows.iter().map(|&row| Val::One(value(traces[row as usize] as usize))).collect()
    };
    let each = |value: &dyn Fn(usize) -> Static| {
        Ok(rows.iter().map(|&row| Val::One(value(row as usize))).collect())
    };
    match intrinsic {
        Intrinsic::TraceId => Ok(of_trace(&|trace| Static::String(id_text(table.ids[trace], 32)))),
        Intrinsic::TraceDuration => Ok(of_trace(&|trace| {
            Static::Duration(clamp(table.end[trace].saturating_sub(table.start[trace])))
        })),
        Intrinsic::RootName | Intrinsic::RootServiceName => {
            let facts = slab.facts()?;
            let texts = match intrinsic {
                Intrinsic::RootName => &facts.root_name,
                _ => &facts.root_service,
            };
            Ok(of_trace(&|trace| Static::String(facts.texts[texts[trace] as usize].clone())))
        }
        Intrinsic::SpanId => {
            let ids = slab.required(name::SPAN_ID)?;
            each(&|row| Static::String(id_text(ids.id8_at(row).into(), 16)))
        }
        Intrinsic::ParentId => {
            let id = |&row: &u32| {
                let id = slab.parent_id(row as usize)?;
                Ok(Val::One(Static::String(id_text(id.into(), 16))))
            };
            rows.iter().map(id).collect()
        }
        Intrinsic::Duration => {
            let durations = slab.durations()?;
            each(&|row| Static::Duration(durations.int64_at(row).max(0)))
        }
        Intrinsic::Name => {
            let names = slab.required(name::NAME)?;
            each(&|row| Static::String(names.text_at(row).to_owned()))
        }
        Intrinsic::Kind => {
            let kinds = slab.required(name::KIND)?;
            each(&|row| kind(kinds.int32_at(row)))
        }
        Intrinsic::Status => {
            let codes = slab.required(name::STATUS)?;
            each(&|row| status(codes.int32_at(row)))
        }
        Intrinsic::StatusMessage => {
            let texts = slab.spans.column(name::STATUS_MESSAGE)?;
            let text = |row| texts.as_ref().map_or("", |texts| texts.text_at(row)).to_owned();
            each(&|row| Static::String(text(row)))
        }
        Intrinsic::ChildCount => {
            let mut counts = vec![0i64; slab.len()];
            for &parent in slab.parents()?.iter().filter(|&&parent| parent != NONE) {
                counts[parent as usize] += 1;
            }
            each(&|row| Static::Int(counts[row]))
        }
        Intrinsic::InstrumentationName => scope_values(slab, rows, |row| {
            Val::One(Static::String(row.batch().text(row.scope().name).to_owned()))
        }),
        Intrinsic::InstrumentationVersion => scope_values(slab, rows, |row| {
            Val::One(Static::String(row.batch().text(row.scope().version).to_owned()))
        }),
        Intrinsic::NestedSetLeft | Intrinsic::NestedSetRight | Intrinsic::NestedSetParent => {
            let mut known: Option<(usize, Vec<Bounds>)> = None;
            let mut out = Vec::with_capacity(rows.len());
            for &row in rows {
                let trace = slab.trace_of()[row as usize] as usize;
                if known.as_ref().is_none_or(|(of, _)| *of != trace) {
                    known = Some((trace, nested_set(slab, trace)?));
                }
                let at = row as usize - slab.trace_rows(trace).start;
                let bounds = known.as_ref().map_or((0, 0, 0), |(_, bounds)| bounds[at]);
                out.push(Val::One(Static::Int(match intrinsic {
                    Intrinsic::NestedSetLeft => bounds.0,
                    Intrinsic::NestedSetRight => bounds.1,
                    _ => bounds.2,
                })));
            }
            Ok(out)
        }
        Intrinsic::Parent => {
            let parents = slab.parents()?;
            let there = |row: usize| parents[row] != NONE;
            each(&|row| if there(row) { Static::Bool(true) } else { Static::Nil })
        }
        Intrinsic::EventName => {
            let names = slab.events()?.column(name::NAME)?;
            let text = |row| names.as_ref().map_or("", |names| names.text_at(row)).to_owned();
            each(&|row| Static::String(text(row)))
        }
        Intrinsic::EventTimeSinceStart => {
            let times = slab.events()?.column(name::TIME)?;
            each(&|row| Static::Duration(times.as_ref().map_or(0, |times| times.int64_at(row))))
        }
        Intrinsic::LinkTraceId => {
            let ids = slab.links()?.column(name::TRACE_ID)?;
            let id = |row| ids.as_ref().map_or(0, |ids| ids.id16_at(row));
            each(&|row| Static::String(id_text(id(row), 32)))
        }
        Intrinsic::LinkSpanId => {
            let ids = slab.links()?.column(name::SPAN_ID)?;
            let id = |row| ids.as_ref().map_or(0, |ids| ids.id8_at(row));
            each(&|row| Static::String(id_text(id(row).into(), 16)))
        }
    }
}

/// A kind by its number (OTLP `SpanKind`); nil for a number that means none.
pub(super) fn kind(number: i32) -> Static {
    usize::try_from(number)
        .ok()
        .and_then(|number| Kind::ALL.get(number))
        .map_or(Static::Nil, |kind| Static::Kind(*kind))
}

/// A status by its code (OTLP `StatusCode`); nil for a code that means none.
pub(super) fn status(code: i32) -> Static {
    usize::try_from(code)
        .ok()
        .and_then(|code| Status::ALL.get(code))
        .map_or(Static::Nil, |status| Static::Status(*status))
}
