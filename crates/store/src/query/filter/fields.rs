//! Which rows pass a test of one field.

use traceql::{Field, Scope};

use super::Domain;
use super::intrinsics::test_intrinsic;
use crate::columns::{Table, attribute_column, name};
use crate::piece::Damaged;
use crate::query::mask::Mask;
use crate::query::slab::{NONE, Rows, Slab};
use crate::query::value::{Test, Val, of_attribute};
use crate::scopes::ScopeRow;
use crate::types::ValueType;

pub(super) fn test_field(
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
pub(in crate::query) fn scope_value(row: &ScopeRow, scope: Scope, key: &str) -> Val {
    let batch = row.batch();
    let list = match scope {
        Scope::Resource => batch.resource_attributes(row.resource()),
        _ => batch.scope_attributes(row.scope()),
    };
    let found = list.iter().find(|attribute| batch.bytes_of(attribute.key) == key.as_bytes());
    found.map_or(Val::NIL, |attribute| of_attribute(batch, attribute))
}

pub(super) fn test_scopes(
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
