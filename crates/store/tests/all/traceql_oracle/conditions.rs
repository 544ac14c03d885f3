//! What stands in braces.

use traceql::{Field, FieldExpr, Intrinsic, Scope, Static};

use super::Judge;
use super::values::{At, Value, compare, compare_id};

fn digits_of_id(field: &Field) -> Option<usize> {
    match field {
        Field::Intrinsic(Intrinsic::TraceId | Intrinsic::LinkTraceId) => Some(32),
        Field::Intrinsic(Intrinsic::SpanId | Intrinsic::ParentId | Intrinsic::LinkSpanId) => {
            Some(16)
        }
        _ => None,
    }
}

fn is_of_events(field: &Field) -> bool {
    match field {
        Field::Attribute(attribute) => attribute.scope == Scope::Event,
        Field::Intrinsic(of) => {
            matches!(of, Intrinsic::EventName | Intrinsic::EventTimeSinceStart)
        }
    }
}

fn is_of_links(field: &Field) -> bool {
    match field {
        Field::Attribute(attribute) => attribute.scope == Scope::Link,
        Field::Intrinsic(of) => matches!(of, Intrinsic::LinkTraceId | Intrinsic::LinkSpanId),
    }
}

fn names(expr: &FieldExpr, what: fn(&Field) -> bool) -> bool {
    let mut named = false;
    expr.visit(&mut |field| named |= what(field));
    named
}

fn is_joint(expr: &FieldExpr) -> bool {
    matches!(expr, FieldExpr::All(_) | FieldExpr::Any(_) | FieldExpr::Not(_))
}

impl Judge<'_> {
    pub(super) fn value(&self, span: usize, at: At, expr: &FieldExpr) -> Value {
        match expr {
            FieldExpr::Static(value) => Value::One(value.clone()),
            FieldExpr::Field(field) => self.field(span, at, field),
            FieldExpr::Arithmetic { op, left, right } => {
                let (left, right) = (self.value(span, at, left), self.value(span, at, right));
                let both = left.one().zip(right.one());
                let result = both.and_then(|(left, right)| left.arithmetic(*op, right));
                result.map_or(Value::Missing, Value::One)
            }
            FieldExpr::Negate(inner) => {
                let inner = self.value(span, at, inner);
                let result = inner.one().and_then(Static::negated);
                result.map_or(Value::Missing, Value::One)
            }
            condition if is_joint(condition) => {
                Value::One(Static::Bool(self.holds(span, condition)))
            }
            condition => Value::One(Static::Bool(self.holds_at(span, at, condition))),
        }
    }

    /// A condition on a span.
    pub(super) fn holds(&self, span: usize, expr: &FieldExpr) -> bool {
        match expr {
            FieldExpr::All(parts) => {
                let sent = &self.sent(span).span;
                let (own, shared): (Vec<&FieldExpr>, Vec<&FieldExpr>) =
                    parts.iter().partition(|part| {
                        is_joint(part) || !(names(part, is_of_events) || names(part, is_of_links))
                    });
                let (events, links): (Vec<&FieldExpr>, Vec<&FieldExpr>) =
                    shared.into_iter().partition(|part| names(part, is_of_events));
                own.iter().all(|part| self.holds(span, part))
                    && (events.is_empty()
                        || (0..sent.events.len()).any(|event| {
                            events.iter().all(|part| self.holds_at(span, At::Event(event), part))
                        }))
                    && (links.is_empty()
                        || (0..sent.links.len()).any(|link| {
                            links.iter().all(|part| self.holds_at(span, At::Link(link), part))
                        }))
            }
            FieldExpr::Any(parts) => parts.iter().any(|part| self.holds(span, part)),
            FieldExpr::Not(inner) => !self.holds(span, inner),
            leaf => self.leaf_holds(span, leaf),
        }
    }

    /// A condition without `&&`, `||` and `!`.
    fn leaf_holds(&self, span: usize, leaf: &FieldExpr) -> bool {
        let sent = &self.sent(span).span;
        if let Some((holder, leaf)) = self.elsewhere(span, leaf) {
            return holder.is_some_and(|holder| self.leaf_holds(holder, &leaf));
        }
        if names(leaf, is_of_events) {
            (0..sent.events.len()).any(|event| self.holds_at(span, At::Event(event), leaf))
        } else if names(leaf, is_of_links) {
            (0..sent.links.len()).any(|link| self.holds_at(span, At::Link(link), leaf))
        } else {
            self.holds_at(span, At::Span, leaf)
        }
    }

    /// A test of one attribute whose place has to be found first: which span it is of and the test
    /// with the place. Questions for existence and computations are answered without.
    fn elsewhere(&self, span: usize, leaf: &FieldExpr) -> Option<(Option<usize>, FieldExpr)> {
        let put = |expr: &FieldExpr| match expr {
            FieldExpr::Field(Field::Attribute(of)) if of.parent || of.scope == Scope::Any => {
                let holder = if of.parent { self.parent(span) } else { Some(span) };
                let scope = holder.and_then(|holder| self.level(holder, of.scope, &of.name));
                let of = traceql::Attribute {
                    scope: scope.unwrap_or(Scope::Span),
                    parent: false,
                    name: of.name.clone(),
                };
                Some((holder, Box::new(FieldExpr::Field(Field::Attribute(of)))))
            }
            _ => None,
        };
        match leaf {
            FieldExpr::Field(_) => put(leaf).map(|(holder, field)| (holder, *field)),
            FieldExpr::Matches { value, pattern, negated } => put(value).map(|(holder, value)| {
                let (pattern, negated) = (pattern.clone(), *negated);
                (holder, FieldExpr::Matches { value, pattern, negated })
            }),
            FieldExpr::Compare { op, left, right } => match (&**left, &**right) {
                (_, FieldExpr::Static(_)) => put(left).map(|(holder, left)| {
                    (holder, FieldExpr::Compare { op: *op, left, right: right.clone() })
                }),
                (FieldExpr::Static(_), _) => put(right).map(|(holder, right)| {
                    (holder, FieldExpr::Compare { op: *op, left: left.clone(), right })
                }),
                _ => None,
            },
            _ => None,
        }
    }

    fn holds_at(&self, span: usize, at: At, leaf: &FieldExpr) -> bool {
        let is_true = |value: &Static| *value == Static::Bool(true);
        match leaf {
            FieldExpr::Compare { op, left, right } => match (&**left, &**right) {
                (FieldExpr::Field(id), FieldExpr::Static(Static::String(text)))
                    if digits_of_id(id).is_some() =>
                {
                    let digits = digits_of_id(id).unwrap();
                    compare_id(&self.field(span, at, id), *op, text, digits)
                }
                (FieldExpr::Static(Static::String(text)), FieldExpr::Field(id))
                    if digits_of_id(id).is_some() =>
                {
                    let digits = digits_of_id(id).unwrap();
                    compare_id(&self.field(span, at, id), op.flipped(), text, digits)
                }
                _ => compare(&self.value(span, at, left), *op, &self.value(span, at, right)),
            },
            FieldExpr::Matches { value, pattern, negated } => {
                let fits = |value: &Static| match value {
                    Static::String(text) => Some(pattern.is_match(text)),
                    _ => None,
                };
                match self.value(span, at, value) {
                    Value::One(value) => fits(&value) == Some(!negated),
                    Value::Many(list) if *negated => {
                        !list.iter().any(|value| fits(value) == Some(true))
                    }
                    Value::Many(list) => list.iter().any(|value| fits(value) == Some(true)),
                    Value::Missing | Value::Odd => false,
                }
            }
            FieldExpr::Exists { value, negated } => {
                let missing = matches!(self.value(span, at, value), Value::Missing);
                missing == *negated
            }
            other => match self.value(span, at, other) {
                Value::One(value) => is_true(&value),
                Value::Many(list) => list.iter().any(is_true),
                Value::Missing | Value::Odd => false,
            },
        }
    }
}
