//! Constants, and the arithmetic and comparisons that constants and spans' values share.

use std::cmp::Ordering;

use super::field::CompareOp;

/// A constant, or a value of a span in the language's terms.
#[derive(Debug, Clone, PartialEq)]
pub enum Static {
    /// No value.
    Nil,
    /// Text.
    String(String),
    /// An integer.
    Int(i64),
    /// A number that is perhaps none.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// Nanoseconds.
    Duration(i64),
    /// A span's status.
    Status(Status),
    /// A span's kind.
    Kind(Kind),
}

/// A span's status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// `unset`.
    Unset,
    /// `ok`.
    Ok,
    /// `error`.
    Error,
}

/// A span's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `unspecified`.
    Unspecified,
    /// `internal`.
    Internal,
    /// `server`.
    Server,
    /// `client`.
    Client,
    /// `producer`.
    Producer,
    /// `consumer`.
    Consumer,
}

impl Status {
    /// All.
    pub const ALL: [Self; 3] = [Self::Unset, Self::Ok, Self::Error];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

impl Kind {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::Unspecified,
        Self::Internal,
        Self::Server,
        Self::Client,
        Self::Producer,
        Self::Consumer,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// `+ - * / % ^`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArithmeticOp {
    /// `+`.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
    /// `/`; truncates between integers.
    Divide,
    /// `%`: what is left of a division, with the sign of the left side.
    Modulo,
    /// `^`: left to the power of right.
    Power,
}

impl ArithmeticOp {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Add, Self::Subtract, Self::Multiply, Self::Divide, Self::Modulo, Self::Power];

    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "^",
        }
    }

    fn float(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Modulo => left % right,
            Self::Power => left.powf(right),
        }
    }

    /// `None` where the result is no integer of 64 bits.
    fn int(self, left: i64, right: i64) -> Option<i64> {
        match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide => left.checked_div(right),
            Self::Modulo => Some(left.wrapping_rem(right)),
            Self::Power => match left {
                0 | 1 if right >= 0 => Some(if right == 0 { 1 } else { left }),
                -1 => Some(if right % 2 == 0 { 1 } else { -1 }),
                _ => left.checked_pow(u32::try_from(right).ok()?),
            },
        }
    }
}

impl Static {
    /// The number that this is; a duration counts nanoseconds.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(value) | Self::Duration(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// `self op right`. `None` where a side is no number and for an integer divided by the integer
    /// zero. Integers stay integers while they fit, durations stay durations under `+`, `-` and
    /// multiplication by an integer; all else is a float.
    pub fn arithmetic(&self, op: ArithmeticOp, right: &Self) -> Option<Self> {
        use ArithmeticOp::{Add, Divide, Modulo, Multiply, Subtract};
        if matches!((op, self, right), (Divide | Modulo, Self::Int(_), Self::Int(0))) {
            return None;
        }
        let exact = match (self, right) {
            (Self::Int(left), Self::Int(right)) => op.int(*left, *right).map(Self::Int),
            (Self::Duration(left), Self::Duration(right)) if matches!(op, Add | Subtract) => {
                op.int(*left, *right).map(Self::Duration)
            }
            (Self::Duration(left), Self::Int(right)) | (Self::Int(left), Self::Duration(right))
                if op == Multiply =>
            {
                op.int(*left, *right).map(Self::Duration)
            }
            _ => None,
        };
        match exact {
            Some(exact) => Some(exact),
            None => Some(Self::Float(op.float(self.number()?, right.number()?))),
        }
    }

    /// `-self`; `None` for what is no number.
    pub fn negated(&self) -> Option<Self> {
        Some(match self {
            Self::Int(value) => match value.checked_neg() {
                Some(value) => Self::Int(value),
                None => Self::Float(-(*value as f64)),
            },
            Self::Duration(value) => match value.checked_neg() {
                Some(value) => Self::Duration(value),
                None => Self::Float(-(*value as f64)),
            },
            Self::Float(value) => Self::Float(-value),
            _ => return None,
        })
    }

    /// Whether `self op right` holds. False for types that do not go together, for nil, for NaN
    /// and for an operator that the type does not have, whatever the operator.
    pub fn compare(&self, op: CompareOp, right: &Self) -> bool {
        let equality = matches!(op, CompareOp::Equal | CompareOp::NotEqual);
        let same =
            |same: bool| equality.then_some(if same { Ordering::Equal } else { Ordering::Less });
        let ordering = match (self, right) {
            (Self::String(left), Self::String(right)) => {
                Some(left.as_bytes().cmp(right.as_bytes()))
            }
            (Self::Int(left) | Self::Duration(left), Self::Int(right) | Self::Duration(right)) => {
                Some(left.cmp(right))
            }
            (Self::Bool(left), Self::Bool(right)) => same(left == right),
            (Self::Status(left), Self::Status(right)) => same(left == right),
            (Self::Kind(left), Self::Kind(right)) => same(left == right),
            _ => match (self.number(), right.number()) {
                (Some(left), Some(right)) => left.partial_cmp(&right),
                _ => None,
            },
        };
        ordering.is_some_and(|ordering| op.holds(ordering))
    }
}
