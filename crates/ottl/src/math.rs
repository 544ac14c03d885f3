//! Arithmetic. Integers wrap as Go's do; with a float on one side both are floats.

use std::borrow::Cow;

use crate::value::{Kind, Value};

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MathOp {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl MathOp {
    pub(crate) fn of(sign: &str) -> Option<Self> {
        Some(match sign {
            "+" => Self::Add,
            "-" => Self::Subtract,
            "*" => Self::Multiply,
            "/" => Self::Divide,
            _ => return None,
        })
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }
}

type Outcome = Result<Value<'static>, Cow<'static, str>>;

/// `left op right`.
pub(crate) fn calculate(op: MathOp, left: &Value<'_>, right: &Value<'_>) -> Outcome {
    use MathOp::{Add, Subtract};
    use Value::{Double, Duration, Int, Time};
    Ok(match (left, right, op) {
        (Int(left), Int(right), op) => Int(integers(op, *left, *right)?),
        (Int(left), Double(right), op) => Double(floats(op, *left as f64, *right)?),
        (Double(left), Int(right), op) => Double(floats(op, *left, *right as f64)?),
        (Double(left), Double(right), op) => Double(floats(op, *left, *right)?),
        (Time(left), Duration(right), Add) => Time(left.saturating_add(*right)),
        (Duration(left), Time(right), Add) => Time(left.saturating_add(*right)),
        (Time(left), Duration(right), Subtract) => Time(left.saturating_sub(*right)),
        (Time(left), Time(right), Subtract) => Duration(left.saturating_sub(*right)),
        (Duration(left), Duration(right), Add) => Duration(left.wrapping_add(*right)),
        (Duration(left), Duration(right), Subtract) => Duration(left.wrapping_sub(*right)),
        _ => {
            let (left, right, symbol) = (left.kind().noun(), right.kind().noun(), op.symbol());
            return Err(format!("{symbol} does not go between {left} and {right}").into());
        }
    })
}

/// `-value`.
pub(crate) fn negate(value: &Value<'_>) -> Outcome {
    match value {
        Value::Int(value) => Ok(Value::Int(value.wrapping_neg())),
        Value::Double(value) => Ok(Value::Double(-value)),
        other => Err(format!("- takes a number, not {}", other.kind().noun()).into()),
    }
}

/// Whether an operand of this kind can be calculated with.
pub(crate) fn takes(kind: Kind) -> bool {
    matches!(kind, Kind::Int | Kind::Double | Kind::Time | Kind::Duration)
}

fn integers(op: MathOp, left: i64, right: i64) -> Result<i64, &'static str> {
    match op {
        MathOp::Add => Ok(left.wrapping_add(right)),
        MathOp::Subtract => Ok(left.wrapping_sub(right)),
        MathOp::Multiply => Ok(left.wrapping_mul(right)),
        MathOp::Divide if right == 0 => Err("division by zero"),
        MathOp::Divide => Ok(left.wrapping_div(right)),
    }
}

fn floats(op: MathOp, left: f64, right: f64) -> Result<f64, &'static str> {
    match op {
        MathOp::Add => Ok(left + right),
        MathOp::Subtract => Ok(left - right),
        MathOp::Multiply => Ok(left * right),
        MathOp::Divide if right == 0.0 => Err("division by zero"),
        MathOp::Divide => Ok(left / right),
    }
}
