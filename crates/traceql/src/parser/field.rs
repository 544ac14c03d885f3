//! Expressions over one span.

use super::{Failure, Parsed, Parser};
use crate::ast::{
    ArithmeticOp, CompareOp, Field, FieldExpr, Intrinsic, Kind, Scope, Static, Status,
};
use crate::check::{self, Part, Problem, Type};
use crate::fold;
use crate::lexer::TokenKind;
use crate::pattern::{PATTERNS_MAX, Pattern};
use crate::suggest::did_you_mean;

/// How tightly operators bind, loosest first. The table holds for expressions over spans, over
/// spansets and over series alike.
pub(super) mod level {
    pub(in crate::parser) const LOGIC: u8 = 1;
    pub(in crate::parser) const COMPARE: u8 = 2;
    pub(in crate::parser) const SUM: u8 = 3;
    pub(in crate::parser) const NOT: u8 = 4;
    pub(in crate::parser) const PRODUCT: u8 = 5;
    pub(in crate::parser) const POWER: u8 = 6;
    pub(in crate::parser) const NEGATE: u8 = 7;
}

/// An operator between two values of a span.
#[derive(Clone, Copy)]
enum Op {
    Logic { all: bool },
    Compare(CompareOp),
    Match { negated: bool },
    Arithmetic(ArithmeticOp),
}

impl Op {
    fn of(sign: &str) -> Option<Self> {
        Some(match sign {
            "&&" => Self::Logic { all: true },
            "||" => Self::Logic { all: false },
            "=~" => Self::Match { negated: false },
            "!~" => Self::Match { negated: true },
            _ => match compare_op(sign) {
                Some(op) => Self::Compare(op),
                None => Self::Arithmetic(arithmetic_op(sign)?),
            },
        })
    }

    fn level(self) -> u8 {
        match self {
            Self::Logic { .. } => level::LOGIC,
            Self::Compare(_) | Self::Match { .. } => level::COMPARE,
            Self::Arithmetic(op) => arithmetic_level(op),
        }
    }
}

pub(super) fn compare_op(sign: &str) -> Option<CompareOp> {
    CompareOp::ALL.into_iter().find(|op| op.symbol() == sign)
}

pub(super) fn arithmetic_op(sign: &str) -> Option<ArithmeticOp> {
    ArithmeticOp::ALL.into_iter().find(|op| op.symbol() == sign)
}

pub(super) fn arithmetic_level(op: ArithmeticOp) -> u8 {
    match op {
        ArithmeticOp::Add | ArithmeticOp::Subtract => level::SUM,
        ArithmeticOp::Multiply | ArithmeticOp::Divide | ArithmeticOp::Modulo => level::PRODUCT,
        ArithmeticOp::Power => level::POWER,
    }
}

/// The level from which the right side of an operator binds more tightly: `^` takes its own.
pub(super) fn right_level(level: u8) -> u8 {
    if level == self::level::POWER { level } else { level + 1 }
}

/// What could begin a value.
const OPERAND: [&str; 3] = ["an attribute such as .name", "an intrinsic", "a value"];

impl Parser<'_> {
    /// An expression of operators that bind at least so tightly.
    pub(super) fn field(&mut self, least: u8) -> Parsed<Part> {
        self.enter()?;
        let mut left = self.field_prefix()?;
        while let Some(op) = Op::of(self.sign()).filter(|op| op.level() >= least) {
            self.advance();
            let right = self.field(right_level(op.level()))?;
            left = self.field_join(op, left, right)?;
        }
        self.leave();
        Ok(left)
    }

    fn field_prefix(&mut self) -> Parsed<Part> {
        let start = self.start();
        match self.sign() {
            "!" => {
                self.advance();
                let inner = self.field(level::NOT)?;
                self.field_not(start, inner)
            }
            "-" => {
                self.advance();
                if let Some(value) = self.negative()? {
                    return Ok(self.constant_part(start, value));
                }
                let inner = self.field(level::NEGATE)?;
                self.field_negate(start, inner)
            }
            "(" => {
                self.advance();
                let mut inner = self.field(0)?;
                self.expect(")")?;
                (inner.start, inner.end) = (start, self.end());
                Ok(inner)
            }
            _ => self.field_leaf(start),
        }
    }

    fn field_not(&mut self, start: usize, inner: Part) -> Parsed<Part> {
        self.note(inner.require(Type::Bool, "!"));
        let depth = self.above(inner.depth, start)?;
        Ok(Part { expr: fold::not(inner.expr), start, depth, ..inner })
    }

    fn field_negate(&mut self, start: usize, inner: Part) -> Parsed<Part> {
        self.note(inner.require(Type::Number, "-"));
        let depth = self.above(inner.depth, start)?;
        Ok(Part { expr: fold::negate(inner.expr), start, depth, ..inner })
    }

    fn field_leaf(&mut self, start: usize) -> Parsed<Part> {
        if let Some(value) = self.constant_token()? {
            return Ok(self.constant_part(start, value));
        }
        let field = self.name()?;
        let kind = check::field_type(&field);
        Ok(Part { expr: FieldExpr::Field(field), kind, start, end: self.end(), depth: 1 })
    }

    fn constant_part(&self, start: usize, value: Static) -> Part {
        let kind = check::static_type(&value);
        Part { expr: FieldExpr::Static(value), kind, start, end: self.end(), depth: 1 }
    }

    fn field_join(&mut self, op: Op, left: Part, right: Part) -> Parsed<Part> {
        let (start, end) = (left.start, right.end);
        // A chain of one operator is one node, however long.
        let flat = |part: &Part| {
            let chained = match op {
                Op::Logic { all: true } => matches!(part.expr, FieldExpr::All(_)),
                Op::Logic { all: false } => matches!(part.expr, FieldExpr::Any(_)),
                _ => false,
            };
            part.depth - usize::from(chained)
        };
        let depth = self.above(flat(&left).max(flat(&right)), start)?;
        let mut kind = Type::Bool;
        let checked = match op {
            Op::Logic { all } => {
                let symbol = if all { "&&" } else { "||" };
                let check = left.require(Type::Bool, symbol);
                check
                    .and_then(|()| right.require(Type::Bool, symbol))
                    .map(|()| fold::logic(all, left.expr, right.expr))
            }
            Op::Compare(op) => compare(op, left, right),
            Op::Match { negated } => self.matches(left, &right, negated),
            Op::Arithmetic(op) => {
                kind = if left.kind == Type::Any { right.kind } else { left.kind };
                check::arithmetic(op, &left, &right)
                    .inspect_err(|_| kind = Type::Number)
                    .map(|()| fold::arithmetic(op, left.expr, right.expr))
            }
        };
        // What stands in for an expression that means nothing is never seen.
        let expr = checked.unwrap_or_else(|problem| {
            self.note(Err(problem));
            FieldExpr::Static(Static::Bool(true))
        });
        Ok(Part { expr, kind, start, end, depth })
    }

    fn matches(&mut self, left: Part, right: &Part, negated: bool) -> Result<FieldExpr, Problem> {
        let symbol = if negated { "!~" } else { "=~" };
        let problem = |message| Err(Problem::new(right.start, right.end, message));
        let FieldExpr::Static(Static::String(text)) = &right.expr else {
            return problem(format!("the right side of {symbol} is a pattern in quotes"));
        };
        left.require(Type::String, symbol)?;
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            return problem(format!("a query has at most {PATTERNS_MAX} patterns"));
        }
        match Pattern::new(text) {
            Ok(pattern) => Ok(fold::matches(left.expr, pattern, negated)),
            Err(why) => problem(format!("this is no regular expression: {why}")),
        }
    }

    /// The constant that the next token is, which it takes; signs are not its concern.
    pub(super) fn constant_token(&mut self) -> Parsed<Option<Static>> {
        let value = match &self.token().kind {
            TokenKind::String(text) => Static::String(text.clone()),
            TokenKind::Float(value) => Static::Float(*value),
            TokenKind::Int(value) => match i64::try_from(*value) {
                Ok(value) => Static::Int(value),
                Err(_) => return Err(self.too_great("integer")),
            },
            TokenKind::Duration(value) => match i64::try_from(*value) {
                Ok(value) => Static::Duration(value),
                Err(_) => return Err(self.too_great("duration")),
            },
            TokenKind::Word => match named_constant(self.word()) {
                Some(value) => value,
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(value))
    }

    fn too_great(&self, what: &str) -> Failure {
        let token = self.token();
        self.error(token.start, token.end, format!("this is beyond the greatest {what}"))
    }

    /// The number after a minus, negated, if there is one, which it takes.
    pub(super) fn negative(&mut self) -> Parsed<Option<Static>> {
        let value = match self.token().kind {
            TokenKind::Int(value) => Static::Int(0i64.wrapping_sub_unsigned(value)),
            TokenKind::Duration(value) => Static::Duration(0i64.wrapping_sub_unsigned(value)),
            TokenKind::Float(value) => Static::Float(-value),
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(value))
    }

    /// An attribute or intrinsic.
    pub(super) fn name(&mut self) -> Parsed<Field> {
        let token = self.token().clone();
        match token.kind {
            TokenKind::Field(field) => {
                self.advance();
                Ok(field)
            }
            TokenKind::Word => {
                let word = self.word();
                // The second spellings of scoped names have a colon and are other tokens.
                match Intrinsic::from_name(word) {
                    Some(intrinsic) => {
                        self.advance();
                        Ok(Field::Intrinsic(intrinsic))
                    }
                    None => Err(self.error(token.start, token.end, unknown(word))),
                }
            }
            _ => Err(self.unexpected(&OPERAND)),
        }
    }
}

fn compare(op: CompareOp, left: Part, right: Part) -> Result<FieldExpr, Problem> {
    let equality = matches!(op, CompareOp::Equal | CompareOp::NotEqual);
    if !equality || (!left.is_nil() && !right.is_nil()) || (left.is_nil() && right.is_nil()) {
        check::compare(op, &left, &right)?;
        return Ok(fold::compare(op, left.expr, right.expr));
    }
    let value = if left.is_nil() { right } else { left };
    let negated = op == CompareOp::Equal;
    check::exists(&value, negated)?;
    Ok(FieldExpr::Exists { value: Box::new(value.expr), negated })
}

fn named_constant(word: &str) -> Option<Static> {
    let status = || Status::ALL.into_iter().find(|status| status.name() == word);
    let kind = || Kind::ALL.into_iter().find(|kind| kind.name() == word);
    Some(match word {
        "true" => Static::Bool(true),
        "false" => Static::Bool(false),
        "nil" => Static::Nil,
        "minInt" => Static::Int(i64::MIN),
        "maxInt" => Static::Int(i64::MAX),
        _ => return status().map(Static::Status).or_else(|| kind().map(Static::Kind)),
    })
}

fn unknown(word: &str) -> String {
    let intrinsics = Intrinsic::ALL.iter().map(|intrinsic| intrinsic.name());
    let constants = ["true", "false", "nil", "minInt", "maxInt"];
    let statuses = Status::ALL.map(Status::name);
    let kinds = Kind::ALL.map(Kind::name);
    let names = intrinsics.filter(|name| !name.contains(':'));
    match did_you_mean(word, names.chain(constants).chain(statuses).chain(kinds)) {
        Some(name) => {
            format!("unknown name {word}; did you mean {name}, or .{word} for an attribute?")
        }
        None if Scope::NAMED.iter().any(|scope| scope.name() == word) => {
            format!("{word} is a scope; a name follows it, such as {word}.name")
        }
        None => format!("unknown name {word}; an attribute is written .{word}, text in quotes"),
    }
}
