//! Comparison: of numbers by their value, of other kinds each with its own, and nil with nil.
//! Whatever cannot be compared is different, and neither less nor more.

use std::cmp::Ordering;

use crate::value::Value;

/// A comparison's operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompareOp {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl CompareOp {
    pub(crate) fn of(sign: &str) -> Option<Self> {
        Some(match sign {
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterEqual,
            _ => return None,
        })
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterEqual => order.is_ge(),
        }
    }
}

/// Whether `left op right`.
pub(crate) fn compare(op: CompareOp, left: &Value<'_>, right: &Value<'_>) -> bool {
    match (op, left, right) {
        // The usual case first: texts of different lengths need not be read.
        (CompareOp::Equal, Value::String(left), Value::String(right)) => left == right,
        (CompareOp::NotEqual, Value::String(left), Value::String(right)) => left != right,
        (
            CompareOp::Equal | CompareOp::NotEqual,
            Value::List(_) | Value::Map(_),
            Value::List(_) | Value::Map(_),
        ) => equal(left, right) == (op == CompareOp::Equal),
        _ => match order(left, right) {
            Some(order) => op.holds(order),
            None => op == CompareOp::NotEqual,
        },
    }
}

pub(crate) fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| equal(l, r))
        }
        (Value::Map(left), Value::Map(right)) => {
            let same = |(key, value): &(_, Value<'_>)| {
                right.iter().any(|(other, right)| other == key && equal(value, right))
            };
            left.len() == right.len() && left.iter().all(same)
        }
        _ => order(left, right) == Some(Ordering::Equal),
    }
}

fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Nil, Value::Nil) => Some(Ordering::Equal),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Double(right)) => (*left as f64).partial_cmp(right),
        (Value::Double(left), Value::Int(right)) => left.partial_cmp(&(*right as f64)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        (Value::Time(left), Value::Time(right)) => Some(left.cmp(right)),
        (Value::Duration(left), Value::Duration(right)) => Some(left.cmp(right)),
        _ => None,
    }
}
