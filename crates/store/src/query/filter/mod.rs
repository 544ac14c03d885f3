//! Which rows of a slab meet an expression: a column at a time, and of texts each distinct one
//! once.

mod fields;
mod intrinsics;

use traceql::{Field, FieldExpr, Intrinsic, Scope, Static};

use super::mask::Mask;
use super::slab::{Rows, Slab};
use super::value::{Test, Val, compare};
use super::values::values;
use crate::piece::Damaged;

pub(super) use fields::scope_value;
use fields::test_field;
pub(super) use intrinsics::clamp;

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

    /// What a part of an `&&` is asked of: of events if it names any of them, else of links if it
    /// names any; of the span if it is not a single condition.
    fn of_part(expr: &FieldExpr) -> Self {
        let mut domain = Self::Spans;
        if !is_single(expr) {
            return domain;
        }
        expr.visit(&mut |field| match Self::of(field) {
            Self::Events => domain = Self::Events,
            Self::Links if domain == Self::Spans => domain = Self::Links,
            Self::Links | Self::Spans => {}
        });
        domain
    }
}

/// Whether it is a condition without others inside.
pub(super) fn is_single(expr: &FieldExpr) -> bool {
    !matches!(expr, FieldExpr::All(_) | FieldExpr::Any(_) | FieldExpr::Not(_))
}

/// The spans among `alive` that meet the expression.
///
/// A condition on events holds when there is an event for which it holds. Those joined by one `&&`
/// have to hold for the same event; what is below an `||` or `!` looks for an event of its own. The
/// same goes for links.
pub(super) fn filter(slab: &Slab<'_>, expr: &FieldExpr, alive: &Mask) -> Result<Mask, Damaged> {
    // A query that nobody waits for any more, or whose time is over, may have thousands of conditions
    // left. What it finds from now on is wrong: who looks at it checks `cancel` before it is told.
    if alive.is_empty() || slab.probe.cancel.is_set() {
        return Ok(Mask::none(alive.len()));
    }
    match expr {
        FieldExpr::Static(Static::Bool(true)) => Ok(alive.clone()),
        FieldExpr::Static(_) => Ok(Mask::none(alive.len())),
        FieldExpr::All(list) => {
            let of = |wanted: Domain| {
                let own = move |expr: &&FieldExpr| Domain::of_part(expr) == wanted;
                list.iter().filter(own).collect::<Vec<_>>()
            };
            let mut plain = of(Domain::Spans);
            plain.sort_by_key(|expr| cost(expr));
            let mut mask = alive.clone();
            for expr in plain {
                mask = filter(slab, expr, &mask)?;
            }
            for domain in [Domain::Events, Domain::Links] {
                let joined = of(domain);
                if !joined.is_empty() {
                    mask = exists(slab, &joined, domain, &mask)?;
                }
            }
            Ok(mask)
        }
        FieldExpr::Any(list) => {
            let mut out = Mask::none(alive.len());
            let mut rest = alive.clone();
            for expr in list {
                let more = filter(slab, expr, &rest)?;
                rest.minus(&more);
                out.or(&more);
            }
            Ok(out)
        }
        FieldExpr::Not(inner) => {
            let mut out = alive.clone();
            out.minus(&filter(slab, inner, alive)?);
            Ok(out)
        }
        leaf => match Domain::of_part(leaf) {
            Domain::Spans => filter_leaf(slab, leaf, Domain::Spans, alive),
            domain => exists(slab, &[leaf], domain, alive),
        },
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
        inner = filter_leaf(slab, expr, domain, &inner)?;
    }
    inner.iter().for_each(|row| out.set(rows.owners[row] as usize));
    Ok(out)
}

/// The rows of a domain for which a single condition holds.
pub(super) fn filter_leaf(
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
