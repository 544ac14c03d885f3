//! Constant parts of expressions become constants.

use crate::ast::{ArithmeticOp, CompareOp, FieldExpr, Scalar, Static};
use crate::pattern::Pattern;

/// What a constant computation gives, if it is a number that can be written.
fn finite(value: Option<Static>) -> Option<Static> {
    value.filter(|value| value.number().is_some_and(f64::is_finite))
}

fn constants<'a>(left: &'a FieldExpr, right: &'a FieldExpr) -> Option<(&'a Static, &'a Static)> {
    match (left, right) {
        (FieldExpr::Static(left), FieldExpr::Static(right)) => Some((left, right)),
        _ => None,
    }
}

pub(crate) fn arithmetic(op: ArithmeticOp, left: FieldExpr, right: FieldExpr) -> FieldExpr {
    let folded = constants(&left, &right).and_then(|(left, right)| left.arithmetic(op, right));
    match finite(folded) {
        Some(value) => FieldExpr::Static(value),
        None => FieldExpr::Arithmetic { op, left: Box::new(left), right: Box::new(right) },
    }
}

pub(crate) fn compare(op: CompareOp, left: FieldExpr, right: FieldExpr) -> FieldExpr {
    match constants(&left, &right) {
        Some((left, right)) => FieldExpr::Static(Static::Bool(left.compare(op, right))),
        None => FieldExpr::Compare { op, left: Box::new(left), right: Box::new(right) },
    }
}

pub(crate) fn matches(value: FieldExpr, pattern: Pattern, negated: bool) -> FieldExpr {
    match value {
        FieldExpr::Static(Static::String(text)) => {
            FieldExpr::Static(Static::Bool(pattern.is_match(&text) != negated))
        }
        value => FieldExpr::Matches { value: Box::new(value), pattern, negated },
    }
}

pub(crate) fn negate(inner: FieldExpr) -> FieldExpr {
    match &inner {
        FieldExpr::Static(value) => match finite(value.negated()) {
            Some(value) => FieldExpr::Static(value),
            None => FieldExpr::Negate(Box::new(inner)),
        },
        _ => FieldExpr::Negate(Box::new(inner)),
    }
}

pub(crate) fn not(inner: FieldExpr) -> FieldExpr {
    match inner {
        FieldExpr::Static(Static::Bool(value)) => FieldExpr::Static(Static::Bool(!value)),
        inner => FieldExpr::Not(Box::new(inner)),
    }
}

/// `&&` or `||`. Chains of one operator are one list, whatever their parentheses.
pub(crate) fn logic(all: bool, left: FieldExpr, right: FieldExpr) -> FieldExpr {
    if let Some((Static::Bool(left), Static::Bool(right))) = constants(&left, &right) {
        let value = if all { *left && *right } else { *left || *right };
        return FieldExpr::Static(Static::Bool(value));
    }
    let mut list = match (all, left) {
        (true, FieldExpr::All(list)) | (false, FieldExpr::Any(list)) => list,
        (_, left) => vec![left],
    };
    match (all, right) {
        (true, FieldExpr::All(more)) | (false, FieldExpr::Any(more)) => list.extend(more),
        (_, right) => list.push(right),
    }
    if all { FieldExpr::All(list) } else { FieldExpr::Any(list) }
}

pub(crate) fn scalar(scalar: Scalar) -> Scalar {
    match scalar {
        Scalar::Arithmetic { op, left, right } => {
            let (left, right) = (self::scalar(*left), self::scalar(*right));
            let folded = match (&left, &right) {
                (Scalar::Static(left), Scalar::Static(right)) => left.arithmetic(op, right),
                _ => None,
            };
            match finite(folded) {
                Some(value) => Scalar::Static(value),
                None => Scalar::Arithmetic { op, left: Box::new(left), right: Box::new(right) },
            }
        }
        Scalar::Negate(inner) => match self::scalar(*inner) {
            Scalar::Static(value) => match finite(value.negated()) {
                Some(value) => Scalar::Static(value),
                None => Scalar::Negate(Box::new(Scalar::Static(value))),
            },
            inner => Scalar::Negate(Box::new(inner)),
        },
        scalar => scalar,
    }
}
