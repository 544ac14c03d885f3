//! Which operands an operator takes.
//!
//! Types are known of constants and intrinsics. An attribute may be anything, so that it goes with
//! everything and only its span tells.

use crate::ast::{ArithmeticOp, CompareOp, Field, FieldExpr, Intrinsic, Scope, Static};
use crate::error::ErrorKind;

/// What is known of an expression before there is a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// An attribute's.
    Any,
    Nil,
    String,
    /// Integers, floats and durations, which mix.
    Number,
    Bool,
    Status,
    Kind,
    /// The intrinsic `parent`, which can only be there or not.
    Parent,
}

impl Type {
    fn noun(self) -> &'static str {
        match self {
            Self::Any => "an attribute",
            Self::Nil => "nil",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::Status => "a status",
            Self::Kind => "a kind",
            Self::Parent => "a span",
        }
    }

    pub(crate) fn is(self, other: Self) -> bool {
        self == Self::Any || self == other
    }
}

/// Part of a query's text as a tree, with what its surroundings have to know of it.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) expr: FieldExpr,
    pub(crate) kind: Type,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// How deep the tree is.
    pub(crate) depth: usize,
}

/// What is wrong and between which bytes.
pub(crate) struct Problem {
    pub(crate) kind: ErrorKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(start: usize, end: usize, message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Validation, start, end, message: message.into() }
    }
}

type Checked = Result<(), Problem>;

pub(crate) fn static_type(value: &Static) -> Type {
    match value {
        Static::Nil => Type::Nil,
        Static::String(_) => Type::String,
        Static::Int(_) | Static::Float(_) | Static::Duration(_) => Type::Number,
        Static::Bool(_) => Type::Bool,
        Static::Status(_) => Type::Status,
        Static::Kind(_) => Type::Kind,
    }
}

pub(crate) fn field_type(field: &Field) -> Type {
    use Intrinsic as I;
    match field {
        Field::Attribute(_) => Type::Any,
        Field::Intrinsic(intrinsic) => match intrinsic {
            I::TraceId | I::RootName | I::RootServiceName | I::SpanId | I::ParentId => Type::String,
            I::Name | I::StatusMessage | I::EventName | I::LinkTraceId => Type::String,
            I::LinkSpanId | I::InstrumentationName | I::InstrumentationVersion => Type::String,
            I::TraceDuration | I::Duration | I::ChildCount | I::EventTimeSinceStart => Type::Number,
            I::NestedSetLeft | I::NestedSetRight | I::NestedSetParent => Type::Number,
            I::Kind => Type::Kind,
            I::Status => Type::Status,
            I::Parent => Type::Parent,
        },
    }
}

impl Part {
    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.start, self.end, message)
    }

    pub(crate) fn is_nil(&self) -> bool {
        matches!(self.expr, FieldExpr::Static(Static::Nil))
    }

    /// `what` takes an operand of this type.
    pub(crate) fn require(&self, wanted: Type, what: &str) -> Checked {
        if self.kind.is(wanted) {
            return Ok(());
        }
        if self.kind == Type::Parent {
            return Err(self.unsupported_parent());
        }
        Err(self.problem(format!("{what} takes {}, not {}", wanted.noun(), self.kind.noun())))
    }

    fn unsupported_parent(&self) -> Problem {
        let message =
            "the parent span is only compared to nil; its attributes are written parent.name";
        Problem { kind: ErrorKind::Unsupported, ..self.problem(message) }
    }

    /// What stands in braces is true or false.
    pub(crate) fn require_filter(&self) -> Checked {
        match self.kind {
            Type::Any | Type::Bool => Ok(()),
            Type::Parent => Err(self.unsupported_parent()),
            Type::Nil => Err(self.problem("a filter is true or false, not nil")),
            other => {
                let what = other.noun();
                Err(self.problem(format!(
                    "a filter is true or false, and this is {what}; compare it to something"
                )))
            }
        }
    }

    /// `what` is about spans, so that it has to read something of them.
    pub(crate) fn require_span(&self, what: &str) -> Checked {
        let (mut read, mut parent) = (false, false);
        self.expr.visit(&mut |field| {
            read = true;
            parent |= *field == Field::Intrinsic(Intrinsic::Parent);
        });
        match read {
            true if parent && matches!(self.expr, FieldExpr::Field(_)) => {
                Err(self.unsupported_parent())
            }
            true => Ok(()),
            false => {
                Err(self.problem(format!("{what} needs an attribute or intrinsic of the span")))
            }
        }
    }
}

pub(crate) fn compare(op: CompareOp, left: &Part, right: &Part) -> Checked {
    let symbol = op.symbol();
    for side in [left, right] {
        if side.kind == Type::Parent {
            return Err(side.unsupported_parent());
        }
    }
    if !left.kind.is(right.kind) && !right.kind.is(left.kind) {
        let name = match (left.kind, right.kind, &right.expr, &left.expr) {
            (
                Type::Status | Type::Kind,
                Type::String,
                FieldExpr::Static(Static::String(name)),
                _,
            )
            | (
                Type::String,
                Type::Status | Type::Kind,
                _,
                FieldExpr::Static(Static::String(name)),
            ) => {
                format!("; {} is written without quotes, such as {name}", {
                    if left.kind == Type::String { right.kind.noun() } else { left.kind.noun() }
                })
            }
            _ => String::new(),
        };
        return Err(Problem::new(
            left.start,
            right.end,
            format!("{} cannot be compared to {}{name}", left.kind.noun(), right.kind.noun()),
        ));
    }
    let ordered = !matches!(op, CompareOp::Equal | CompareOp::NotEqual);
    for side in [left, right] {
        if ordered && !matches!(side.kind, Type::Any | Type::String | Type::Number) {
            let message = format!("{} has no order; {symbol} needs one", side.kind.noun());
            return Err(side.problem(message));
        }
    }
    Ok(())
}

/// `value = nil` (`negated`) or `value != nil`.
pub(crate) fn exists(value: &Part, negated: bool) -> Checked {
    match &value.expr {
        FieldExpr::Static(_) => Err(value.problem("a constant is never nil")),
        FieldExpr::Field(Field::Intrinsic(Intrinsic::Parent)) => Ok(()),
        FieldExpr::Field(Field::Intrinsic(intrinsic)) if negated => {
            Err(value.problem(format!("{intrinsic} is never nil: every span has it")))
        }
        FieldExpr::Field(Field::Attribute(attribute))
            if negated
                && attribute.scope == Scope::Resource
                && !attribute.parent
                && attribute.name == "service.name" =>
        {
            Err(value.problem("resource.service.name is never nil: every span has a service"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn arithmetic(op: ArithmeticOp, left: &Part, right: &Part) -> Checked {
    left.require(Type::Number, op.symbol())?;
    right.require(Type::Number, op.symbol())
}
