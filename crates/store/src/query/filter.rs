//! Which rows of a slab meet an expression: a column at a time, and of texts each distinct one
//! once.

use traceql::{CompareOp, Field, FieldExpr, Intrinsic, Scope, Static};

use super::mask::Mask;
use super::slab::{NONE, Rows, Slab};
use super::structure::nested_set;
use super::value::{Test, Val, as_id, compare, id_text, of_attribute};
use super::values::values;
use crate::column::{Column, Values};
use crate::columns::{Table, attribute_column, name};
use crate::piece::Damaged;
use crate::scopes::ScopeRow;
use crate::types::ValueType;

/// What an expression is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    Spans,
    Events,
    Links,
}

impl Domain {
    pub(super) fn rows<'s, 'a>(self, slab: &'s Slab<'a>) -> Result<&'s Rows<'a>, Damaged> {
        match self {
            Self::Spans => Ok(&slab.spans),
            Self::Events => slab.events(),
            Self::Links => slab.links(),
        }
    }

    /// The domain that a field has of its own, of those that a span has several of.
    pub(super) fn of(field: &Field) -> Self {
        match field {
            Field::Attribute(attribute) if attribute.parent => Self::Spans,
            Field::Attribute(attribute) => match attribute.scope {
                Scope::Event => Self::Events,
                Scope::Link => Self::Links,
                _ => Self::Spans,
            },
            Field::Intrinsic(Intrinsic::EventName | Intrinsic::EventTimeSinceStart) => Self::Events,
            Field::Intrinsic(Intrinsic::LinkTraceId | Intrinsic::LinkSpanId) => Self::Links,
            Field::Intrinsic(_) => Self::Spans,
        }
    }

    /// Events if the expression names any of them, else links if it names any.
    fn of_expr(expr: &FieldExpr) -> Self {
        let mut domain = Self::Spans;
        expr.visit(&mut |field| match Self::of(field) {
            Self::Events => domain = Self::Events,
            Self::Links if domain == Self::Spans => domain = Self::Links,
            Self::Links | Self::Spans => {}
        });
        domain
    }
}

/// The spans among `alive` that meet the expression.
///
/// An expression about events holds when there is an event for which it holds; of the parts of an
/// `&&` that name events all have to hold for the same event. The same goes for links.
pub(super) fn filter(slab: &Slab<'_>, expr: &FieldExpr, alive: &Mask) -> Result<Mask, Damaged> {
    filter_in(slab, expr, Domain::Spans, alive)
}

fn filter_in(
    slab: &Slab<'_>,
    expr: &FieldExpr,
    domain: Domain,
    alive: &Mask,
) -> Result<Mask, Damaged> {
    if alive.is_empty() {
        return Ok(Mask::none(alive.len()));
    }
    match expr {
        FieldExpr::Static(Static::Bool(true)) => Ok(alive.clone()),
        FieldExpr::Static(_) => Ok(Mask::none(alive.len())),
        FieldExpr::All(list) if domain == Domain::Spans => {
            let of =
                |wanted: Domain| list.iter().filter(move |expr| Domain::of_expr(expr) == wanted);
            let mut plain: Vec<&FieldExpr> = of(Domain::Spans).collect();
            plain.sort_by_key(|expr| cost(expr));
            let mut mask = alive.clone();
            for expr in plain {
                mask = filter_in(slab, expr, domain, &mask)?;
            }
            for domain in [Domain::Events, Domain::Links] {
                let several: Vec<&FieldExpr> = of(domain).collect();
                if !several.is_empty() {
                    mask = exists(slab, &several, domain, &mask)?;
                }
            }
            Ok(mask)
        }
        FieldExpr::All(list) => {
            let mut mask = alive.clone();
            for expr in list {
                mask = filter_in(slab, expr, domain, &mask)?;
            }
            Ok(mask)
        }
        FieldExpr::Any(list) => {
            let mut out = Mask::none(alive.len());
            let mut rest = alive.clone();
            for expr in list {
                let more = filter_in(slab, expr, domain, &rest)?;
                rest.minus(&more);
                out.or(&more);
            }
            Ok(out)
        }
        FieldExpr::Not(inner) => {
            let mut out = alive.clone();
            out.minus(&filter_in(slab, inner, domain, alive)?);
            Ok(out)
        }
        leaf => {
            let own = Domain::of_expr(leaf);
            if domain == Domain::Spans && own != Domain::Spans {
                return exists(slab, &[leaf], own, alive);
            }
            filter_leaf(slab, leaf, domain, alive)
        }
    }
}

/// Cheap and selective conditions first.
fn cost(expr: &FieldExpr) -> u32 {
    let field = |field: &Field| match field {
        Field::Intrinsic(
            Intrinsic::TraceId
            | Intrinsic::RootName
            | Intrinsic::RootServiceName
            | Intrinsic::TraceDuration,
        ) => 0,
        Field::Intrinsic(Intrinsic::Status | Intrinsic::Kind) => 1,
        Field::Attribute(attribute) if attribute.parent => 9,
        Field::Attribute(attribute) => match attribute.scope {
            Scope::Resource | Scope::Instrumentation => 1,
            Scope::Span => 4,
            _ => 6,
        },
        Field::Intrinsic(Intrinsic::Name) => 2,
        Field::Intrinsic(Intrinsic::Duration) => 3,
        Field::Intrinsic(_) => 8,
    };
    let mut most = match expr {
        FieldExpr::Matches { .. } => 5,
        _ => 0,
    };
    expr.visit(&mut |of| most = most.max(field(of)));
    most
}

/// The spans that have an event, or a link, for which all of these hold.
fn exists(
    slab: &Slab<'_>,
    exprs: &[&FieldExpr],
    domain: Domain,
    alive: &Mask,
) -> Result<Mask, Damaged> {
    let mut out = Mask::none(alive.len());
    if alive.is_empty() {
        return Ok(out);
    }
    let rows = domain.rows(slab)?;
    let mut inner = Mask::none(rows.len());
    for (row, &owner) in rows.owners.iter().enumerate() {
        if alive.get(owner as usize) {
            inner.set(row);
        }
    }
    for expr in exprs {
        inner = filter_in(slab, expr, domain, &inner)?;
    }
    inner.iter().for_each(|row| out.set(rows.owners[row] as usize));
    Ok(out)
}

fn filter_leaf(
    slab: &Slab<'_>,
    expr: &FieldExpr,
    domain: Domain,
    alive: &Mask,
) -> Result<Mask, Damaged> {
    match expr {
        FieldExpr::Field(field) => test_field(slab, field, Test::True, domain, alive),
        FieldExpr::Exists { value, negated } => {
            let there = match &**value {
                FieldExpr::Field(field) => test_field(slab, field, Test::Exists, domain, alive)?,
                other => generic(slab, other, domain, alive, |value| !value.is_nil())?,
            };
            if !negated {
                return Ok(there);
            }
            let mut out = alive.clone();
            out.minus(&there);
            Ok(out)
        }
        FieldExpr::Matches { value, pattern, negated } => {
            let test = Test::Matches(pattern, *negated);
            match &**value {
                FieldExpr::Field(field) => test_field(slab, field, test, domain, alive),
                other => generic(slab, other, domain, alive, |value| test.val(value)),
            }
        }
        FieldExpr::Compare { op, left, right } => match (&**left, &**right) {
            (FieldExpr::Field(field), FieldExpr::Static(value)) => {
                test_field(slab, field, Test::Compare(*op, value), domain, alive)
            }
            (FieldExpr::Static(value), FieldExpr::Field(field)) => {
                test_field(slab, field, Test::Compare(op.flipped(), value), domain, alive)
            }
            _ => {
                let rows: Vec<u32> = alive.iter().map(|row| row as u32).collect();
                let left = values(slab, left, domain, &rows)?;
                let right = values(slab, right, domain, &rows)?;
                let mut out = Mask::none(alive.len());
                for ((row, left), right) in rows.iter().zip(&left).zip(&right) {
                    if compare(left, *op, right) {
                        out.set(*row as usize);
                    }
                }
                Ok(out)
            }
        },
        other => generic(slab, other, domain, alive, |value| Test::True.val(value)),
    }
}

/// The rows whose value passes, by computing it for each.
fn generic(
    slab: &Slab<'_>,
    expr: &FieldExpr,
    domain: Domain,
    alive: &Mask,
    passes: impl Fn(&Val) -> bool,
) -> Result<Mask, Damaged> {
    let rows: Vec<u32> = alive.iter().map(|row| row as u32).collect();
    let computed = values(slab, expr, domain, &rows)?;
    let mut out = Mask::none(alive.len());
    for (row, value) in rows.iter().zip(&computed) {
        if passes(value) {
            out.set(*row as usize);
        }
    }
    Ok(out)
}

fn test_field(
    slab: &Slab<'_>,
    field: &Field,
    test: Test<'_>,
    domain: Domain,
    alive: &Mask,
) -> Result<Mask, Damaged> {
    if domain != Domain::Spans && Domain::of(field) != domain {
        // A value of the span that owns the event or link.
        let owners = &domain.rows(slab)?.owners;
        let mut spans = Mask::none(slab.len());
        alive.iter().for_each(|row| spans.set(owners[row] as usize));
        let leaf = Domain::of(field);
        let spans = match leaf {
            Domain::Spans => test_field(slab, field, test, Domain::Spans, &spans)?,
            _ => exists_value(slab, field, test, leaf, &spans)?,
        };
        return Ok(alive.filtered(|row| spans.get(owners[row] as usize)));
    }
    match field {
        Field::Attribute(attribute) if attribute.parent => {
            let parents = slab.parents()?;
            let mut wanted = Mask::none(slab.len());
            let known = |row: &usize| parents[*row] != NONE;
            alive.iter().filter(known).for_each(|row| wanted.set(parents[row] as usize));
            let own = traceql::Attribute { parent: false, ..attribute.clone() };
            let holds = test_field(slab, &Field::Attribute(own), test, domain, &wanted)?;
            Ok(alive.filtered(|row| parents[row] != NONE && holds.get(parents[row] as usize)))
        }
        Field::Attribute(attribute) => {
            let key = &attribute.name;
            match attribute.scope {
                Scope::Span => test_attribute(&slab.spans, key, test, alive),
                Scope::Event => test_attribute(slab.events()?, key, test, alive),
                Scope::Link => test_attribute(slab.links()?, key, test, alive),
                Scope::Resource | Scope::Instrumentation => {
                    let holds = |row: &ScopeRow| test.val(&scope_value(row, attribute.scope, key));
                    test_scopes(slab, holds, alive)
                }
                Scope::Any => test_anywhere(slab, key, test, alive),
            }
        }
        Field::Intrinsic(intrinsic) => test_intrinsic(slab, *intrinsic, test, alive),
    }
}

/// The spans that have an event, or a link, whose field passes.
fn exists_value(
    slab: &Slab<'_>,
    field: &Field,
    test: Test<'_>,
    domain: Domain,
    alive: &Mask,
) -> Result<Mask, Damaged> {
    let rows = domain.rows(slab)?;
    let mut inner = Mask::none(rows.len());
    for (row, &owner) in rows.owners.iter().enumerate() {
        if alive.get(owner as usize) {
            inner.set(row);
        }
    }
    let inner = test_field(slab, field, test, domain, &inner)?;
    let mut out = Mask::none(alive.len());
    inner.iter().for_each(|row| out.set(rows.owners[row] as usize));
    Ok(out)
}

/// An attribute of a table's rows.
fn test_attribute(
    rows: &Rows<'_>,
    key: &str,
    test: Test<'_>,
    alive: &Mask,
) -> Result<Mask, Damaged> {
    let mut out = Mask::none(alive.len());
    for (value_type, column) in rows.attribute(key, test.equal_text())? {
        test.column(value_type, &column, |row| out.set(row));
    }
    for (row, value) in rows.extra(key)?.iter() {
        if test.val(value) {
            out.set(*row as usize);
        }
    }
    out.and(alive);
    Ok(out)
}

/// The value of an attribute of a resource or instrumentation scope.
pub(super) fn scope_value(row: &ScopeRow, scope: Scope, key: &str) -> Val {
    let batch = row.batch();
    let list = match scope {
        Scope::Resource => batch.resource_attributes(row.resource()),
        _ => batch.scope_attributes(row.scope()),
    };
    let found = list.iter().find(|attribute| batch.bytes_of(attribute.key) == key.as_bytes());
    found.map_or(Val::NIL, |attribute| of_attribute(batch, attribute))
}

fn test_scopes(
    slab: &Slab<'_>,
    holds: impl Fn(&ScopeRow) -> bool,
    alive: &Mask,
) -> Result<Mask, Damaged> {
    let holds: Vec<bool> = slab.scopes.iter().map(|row| holds(row)).collect();
    if !holds.contains(&true) {
        return Ok(Mask::none(alive.len()));
    }
    if !holds.contains(&false) {
        return Ok(alive.clone());
    }
    let column = slab.required(name::SCOPE)?;
    let numbers = column.int32s();
    Ok(alive.filtered(|row| holds.get(numbers[row] as usize) == Some(&true)))
}

/// `.key`: of the first level that has it.
fn test_anywhere(
    slab: &Slab<'_>,
    key: &str,
    test: Test<'_>,
    alive: &Mask,
) -> Result<Mask, Damaged> {
    let in_scopes =
        |scope: Scope| slab.scopes.iter().any(|row| !scope_value(row, scope, key).is_nil());
    let in_table = |table: Table| -> Result<bool, Damaged> {
        let rest = slab.piece.row_count(table.rest()) > 0;
        let mut there = rest;
        for value_type in ValueType::ALL {
            there = there || slab.piece.has_column(table, &attribute_column(value_type, key))?;
        }
        Ok(there)
    };
    let mut levels = vec![Scope::Span];
    levels.extend(in_scopes(Scope::Resource).then_some(Scope::Resource));
    levels.extend(in_table(Table::Events)?.then_some(Scope::Event));
    levels.extend(in_table(Table::Links)?.then_some(Scope::Link));
    levels.extend(in_scopes(Scope::Instrumentation).then_some(Scope::Instrumentation));
    let mut out = Mask::none(alive.len());
    let mut rest = alive.clone();
    for (at, &scope) in levels.iter().enumerate() {
        let name = key.to_owned();
        let field = Field::Attribute(traceql::Attribute { scope, parent: false, name });
        let of = |test: Test<'_>, rest: &Mask| match Domain::of(&field) {
            Domain::Spans => test_field(slab, &field, test, Domain::Spans, rest),
            domain => exists_value(slab, &field, test, domain, rest),
        };
        out.or(&of(test, &rest)?);
        if at + 1 < levels.len() {
            rest.minus(&of(Test::Exists, &rest)?);
        }
    }
    Ok(out)
}

fn test_intrinsic(
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
            let codes = match intrinsic {
                Intrinsic::RootName => &table.root_name,
                _ => &table.root_service,
            };
            let test_text = |text: &String| test.one(&Static::String(text.clone()));
            let holds: Vec<bool> = table.texts.iter().map(test_text).collect();
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
            let column = slab.required(name::DURATION)?;
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
                Intrinsic::Kind => {
                    (slab.required(name::KIND)?, super::values::kind as fn(i32) -> _)
                }
                _ => (slab.required(name::STATUS)?, super::values::status as fn(i32) -> _),
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
            // Circles have no root; their first span stands in for one.
            for trace in slab.traces.clone() {
                let rows = slab.trace_rows(trace);
                if rows.clone().all(|row| parents[row] != NONE) {
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
pub(super) fn clamp(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}
