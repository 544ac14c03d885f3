//! What the store looks for: in TraceQL, what every span that meets a predicate meets.

use traceql::{
    Attribute, CompareOp, Field as QueryField, FieldExpr, Intrinsic, Kind, Pattern, Scope, Static,
    Status,
};

use super::field::{Field, FieldKind};
use super::{Constant, Level, Operand, Predicate, Reference};

/// An expression that holds for every span that meets a predicate, and one that holds for none
/// but those.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::jaeger) struct Bounds {
    pub(in crate::jaeger) over: FieldExpr,
    under: FieldExpr,
}

impl Bounds {
    pub(in crate::jaeger) fn of(predicate: &Predicate) -> Self {
        let each = |list: &[Predicate]| -> (Vec<FieldExpr>, Vec<FieldExpr>) {
            let inner = list.iter().map(Self::of);
            inner.map(|bounds| (bounds.over, bounds.under)).unzip()
        };
        match predicate {
            Predicate::All(list) => {
                let (over, under) = each(list);
                Self { over: all(over), under: all(under) }
            }
            Predicate::Any(list) => {
                let (over, under) = each(list);
                Self { over: any(over), under: any(under) }
            }
            Predicate::Not(inner) => {
                let Self { over, under } = Self::of(inner);
                Self { over: not(under), under: not(over) }
            }
            // What holds for the one holds for some; what is never the case is not so for the one.
            Predicate::Some(_, inner) => Self::over(Self::of(inner).over),
            leaf => leaf_bounds(leaf),
        }
    }

    fn exact(expr: FieldExpr) -> Self {
        Self { over: expr.clone(), under: expr }
    }

    fn over(expr: FieldExpr) -> Self {
        Self { over: expr, under: truth(false) }
    }
}

fn truth(truth: bool) -> FieldExpr {
    FieldExpr::Static(Static::Bool(truth))
}

fn any(mut list: Vec<FieldExpr>) -> FieldExpr {
    // An event's condition inside looks for an event of its own.
    while list.len() < 2 {
        list.push(truth(false));
    }
    FieldExpr::Any(list)
}

fn all(mut list: Vec<FieldExpr>) -> FieldExpr {
    match list.len() {
        1 => list.remove(0),
        0 => truth(true),
        _ => FieldExpr::All(list),
    }
}

fn not(inner: FieldExpr) -> FieldExpr {
    FieldExpr::Not(Box::new(inner))
}

fn leaf_bounds(leaf: &Predicate) -> Bounds {
    match leaf {
        Predicate::Compare { op, left, right } => match (left, right) {
            (Operand::Reference(reference), Operand::Constant(constant)) => {
                compared(reference, *op, constant)
            }
            (Operand::Constant(constant), Operand::Reference(reference)) => {
                compared(reference, op.flipped(), constant)
            }
            _ => Bounds::over(truth(true)),
        },
        Predicate::In { value, list, negated: false } => {
            let each = list.iter().map(|one| compared(value, CompareOp::Equal, one).over);
            Bounds::over(any(each.collect()))
        }
        Predicate::Matches(Reference::Attribute { level, key }, pattern) => {
            let at = |scope: Scope| matches(attribute(scope, key), pattern);
            Bounds::over(any(scopes(*level).iter().map(|scope| at(*scope)).collect()))
        }
        Predicate::Matches(Reference::Field(field), pattern) => {
            let known = text_field(*field).filter(|_| field.kind() == FieldKind::Text);
            Bounds::over(known.map_or(truth(true), |of| any(vec![matches(of, pattern)])))
        }
        Predicate::Exists(Reference::Attribute { level, key })
        | Predicate::In { value: Reference::Attribute { level, key }, .. }
        | Predicate::Words { value: Reference::Attribute { level, key }, .. } => {
            Bounds::over(exists(*level, key))
        }
        _ => Bounds::over(truth(true)),
    }
}

fn matches(value: QueryField, pattern: &Pattern) -> FieldExpr {
    let value = Box::new(FieldExpr::Field(value));
    FieldExpr::Matches { value, pattern: pattern.clone(), negated: false }
}

fn compared(reference: &Reference, op: CompareOp, constant: &Constant) -> Bounds {
    match reference {
        Reference::Attribute { level, key } if op == CompareOp::NotEqual => {
            Bounds::over(exists(*level, key))
        }
        Reference::Attribute { level, key } => {
            let values = statics(constant, op);
            let at = |scope: &Scope| {
                let field = attribute(*scope, key);
                values.iter().map(move |value| compare(field.clone(), op, value.clone()))
            };
            Bounds::over(any(scopes(*level).iter().flat_map(at).collect()))
        }
        Reference::Field(field) => of_field(*field, op, constant),
    }
}

fn of_field(field: Field, op: CompareOp, constant: &Constant) -> Bounds {
    let intrinsic = |of: Intrinsic| QueryField::Intrinsic(of);
    match (field, constant) {
        // Kinds and codes to come have no name of their own: they are none of the named ones.
        (Field::Kind, Constant::Text(word)) => {
            let found = Kind::ALL.into_iter().find(|kind| kind.name() == word);
            let value = found.filter(|kind| *kind != Kind::Unspecified).map(Static::Kind);
            of_word(Intrinsic::Kind, op, value)
        }
        (Field::Status, Constant::Text(word)) => {
            let found = Status::ALL.into_iter().find(|status| status.name() == word);
            let value = found.filter(|status| *status != Status::Unset).map(Static::Status);
            of_word(Intrinsic::Status, op, value)
        }
        (Field::Name, Constant::Text(text)) => {
            let value = Static::String(text.clone());
            Bounds::exact(compare(intrinsic(Intrinsic::Name), op, value))
        }
        (Field::Duration, Constant::Duration(nanos)) => match i64::try_from(*nanos) {
            Ok(nanos) => {
                let value = Static::Duration(nanos);
                Bounds::over(compare(intrinsic(Intrinsic::Duration), op, value))
            }
            Err(_) => Bounds::over(truth(true)),
        },
        (_, Constant::Text(text)) if op != CompareOp::NotEqual => {
            let value = Static::String(text.clone());
            let found = text_field(field).map(|of| any(vec![compare(of, op, value)]));
            Bounds::over(found.unwrap_or(truth(true)))
        }
        _ => Bounds::over(truth(true)),
    }
}

fn of_word(intrinsic: Intrinsic, op: CompareOp, value: Option<Static>) -> Bounds {
    let Some(value) = value else { return Bounds::over(truth(true)) };
    let is = compare(QueryField::Intrinsic(intrinsic), CompareOp::Equal, value);
    Bounds::exact(if op == CompareOp::Equal { is } else { not(is) })
}

/// The field of TraceQL with the same texts.
fn text_field(field: Field) -> Option<QueryField> {
    Some(QueryField::Intrinsic(match field {
        Field::TraceId => Intrinsic::TraceId,
        Field::SpanId => Intrinsic::SpanId,
        Field::ParentSpanId => Intrinsic::ParentId,
        Field::Name => Intrinsic::Name,
        Field::StatusMessage => Intrinsic::StatusMessage,
        Field::ScopeName => Intrinsic::InstrumentationName,
        Field::ScopeVersion => Intrinsic::InstrumentationVersion,
        Field::EventName => Intrinsic::EventName,
        Field::LinkTraceId => Intrinsic::LinkTraceId,
        Field::LinkSpanId => Intrinsic::LinkSpanId,
        Field::Service => return Some(attribute(Scope::Resource, "service.name")),
        _ => return None,
    }))
}

/// What a constant may be equal to, or be compared with in order.
fn statics(constant: &Constant, op: CompareOp) -> Vec<Static> {
    match constant {
        Constant::Any(text) if op == CompareOp::Equal => equal_text(text),
        Constant::Any(text) => {
            let mut values = vec![Static::String(text.clone())];
            let int = text.parse().ok().map(Static::Int);
            values.extend(int.or_else(|| text.parse().ok().map(Static::Float)));
            values
        }
        Constant::Text(text) => vec![Static::String(text.clone())],
        Constant::Int(number) => vec![Static::Int(*number)],
        Constant::Double(number) => vec![Static::Float(*number)],
        Constant::Bool(truth) => vec![Static::Bool(*truth)],
        // Beside fields only.
        Constant::Duration(_) | Constant::Instant(_) => Vec::new(),
    }
}

/// What is the same as a text: the text, and the number or truth that it spells.
pub(in crate::jaeger) fn equal_text(text: &str) -> Vec<Static> {
    let mut values = vec![Static::String(text.to_owned())];
    let int = text.parse().ok().map(Static::Int);
    values.extend(int.or_else(|| text.parse().ok().map(Static::Float)));
    values.extend(text.parse().ok().map(Static::Bool));
    values
}

/// That an attribute of any of these scopes is one of these values.
pub(in crate::jaeger) fn anywhere(scopes: &[Scope], key: &str, values: &[Static]) -> FieldExpr {
    let at = |scope: &Scope| {
        let field = attribute(*scope, key);
        values.iter().map(move |value| compare(field.clone(), CompareOp::Equal, value.clone()))
    };
    any(scopes.iter().flat_map(at).collect())
}

fn exists(level: Option<Level>, key: &str) -> FieldExpr {
    let at = |scope: &Scope| FieldExpr::Exists {
        value: Box::new(FieldExpr::Field(attribute(*scope, key))),
        negated: false,
    };
    any(scopes(level).iter().map(at).collect())
}

/// `field op value`.
pub(in crate::jaeger) fn compare(field: QueryField, op: CompareOp, value: Static) -> FieldExpr {
    let (left, right) = (FieldExpr::Field(field), FieldExpr::Static(value));
    FieldExpr::Compare { op, left: Box::new(left), right: Box::new(right) }
}

/// An attribute of a scope.
pub(in crate::jaeger) fn attribute(scope: Scope, key: &str) -> QueryField {
    QueryField::Attribute(Attribute { scope, parent: false, name: key.to_owned() })
}

fn scopes(level: Option<Level>) -> &'static [Scope] {
    match level {
        None => &[Scope::Span, Scope::Resource],
        Some(Level::Span) => &[Scope::Span],
        Some(Level::Resource) => &[Scope::Resource],
        Some(Level::Scope) => &[Scope::Instrumentation],
        Some(Level::Event) => &[Scope::Event],
        Some(Level::Link) => &[Scope::Link],
    }
}
