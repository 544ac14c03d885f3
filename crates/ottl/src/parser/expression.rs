//! Expressions: values, and what is true or false.

use super::{Parsed, Parser, VALUE};
use crate::compare::CompareOp;
use crate::error::ErrorKind;
use crate::eval::constants;
use crate::lexer::{Token, TokenKind};
use crate::math::{self, MathOp};
use crate::tree::{Expr, Node, Test};
use crate::value::{Kind, Value};

const COMPARISON: &str = "a comparison such as ==";

/// How tightly operators bind.
mod level {
    pub(super) const OR: u8 = 1;
    pub(super) const AND: u8 = 2;
    pub(super) const COMPARE: u8 = 3;
    pub(super) const ADD: u8 = 4;
    pub(super) const MULTIPLY: u8 = 5;
}

/// Part of a text as a tree.
struct Part {
    item: Item,
    start: usize,
    end: usize,
    /// How deep the tree is.
    depth: usize,
}

enum Item {
    Value(Node),
    Test(Test),
}

impl Parser<'_> {
    /// A boolean expression.
    pub(super) fn test(&mut self) -> Parsed<Test> {
        let part = self.expression(level::OR)?;
        // It is the last of every text. What cannot follow it comes before what it means.
        if self.token().kind != TokenKind::End || self.broken.is_some() {
            let expected = match part.item {
                Item::Value(Node { expr: Expr::Path(_) | Expr::Math { .. }, .. }) => COMPARISON,
                _ => "the end",
            };
            return Err(self.unexpected(&[expected]));
        }
        Ok(self.as_test(part)?.0)
    }

    /// A part as something that is true or false, and its depth.
    fn as_test(&mut self, part: Part) -> Parsed<(Test, usize)> {
        let Part { item, start, end, depth } = part;
        let node = match item {
            Item::Test(test) => return Ok((test, depth)),
            Item::Value(node) => node,
        };
        if self.sign() == "=" {
            return Err(self.unexpected(&[COMPARISON]));
        }
        match (&node.expr, node.kind()) {
            (Expr::Literal(Value::Bool(value)), _) => Ok((Test::Constant(*value), depth)),
            (Expr::Call(..), None | Some(Kind::Bool)) => Ok((Test::Value(node), depth)),
            (Expr::Path(_), _) => {
                let path = self.text.get(start..end).unwrap_or_default();
                let advice = format!("compare it to something, such as {path} == true");
                self.invalid(start, end, format!("a path alone is no condition; {advice}"))
            }
            (_, kind) => {
                let noun = kind.map_or("a number", Kind::noun);
                let advice = "compare it to something";
                self.invalid(
                    start,
                    end,
                    format!("a condition is true or false, not {noun}; {advice}"),
                )
            }
        }
    }

    /// A part as a value, and its depth.
    fn as_value(&self, part: Part) -> Parsed<(Node, usize)> {
        match part.item {
            Item::Value(node) => Ok((node, part.depth)),
            Item::Test(_) => {
                let message = "this is true or false, and no value to work with";
                self.invalid(part.start, part.end, message)
            }
        }
    }

    /// A value, with operators between numbers.
    pub(super) fn value(&mut self) -> Parsed<(Node, usize)> {
        let part = self.expression(level::ADD)?;
        self.as_value(part)
    }

    /// An expression of operators that bind at least so tightly.
    fn expression(&mut self, least: u8) -> Parsed<Part> {
        self.enter()?;
        let mut left = self.operand()?;
        loop {
            let level = self.operator_level();
            let Some(level) = level.filter(|level| *level >= least) else {
                self.leave();
                return Ok(left);
            };
            let operator = if self.word().is_empty() { self.sign() } else { self.word() };
            self.advance();
            let right = self.expression(level + 1)?;
            left = self.combine(operator, left, right)?;
        }
    }

    fn operator_level(&self) -> Option<u8> {
        match (self.word(), self.sign()) {
            ("or", _) => Some(level::OR),
            ("and", _) => Some(level::AND),
            (_, "==" | "!=" | "<" | "<=" | ">" | ">=") => Some(level::COMPARE),
            (_, "+" | "-") => Some(level::ADD),
            (_, "*" | "/") => Some(level::MULTIPLY),
            _ => None,
        }
    }

    /// `left operator right`.
    fn combine(&mut self, operator: &str, left: Part, right: Part) -> Parsed<Part> {
        let (start, end) = (left.start, right.end);
        if operator == "and" || operator == "or" {
            return self.join(operator == "and", left, right);
        }
        let ((left, left_depth), (right, right_depth)) =
            (self.as_value(left)?, self.as_value(right)?);
        let depth = self.above(left_depth.max(right_depth), start)?;
        if let Some(op) = CompareOp::of(operator) {
            let item = Item::Test(Test::Compare { op, left, right });
            return Ok(Part { item, start, end, depth });
        }
        let Some(op) = MathOp::of(operator) else { return Err(self.unexpected(&[])) };
        for side in [&left, &right] {
            if let Some(kind) = side.kind().filter(|kind| !math::takes(*kind)) {
                let message = format!("{operator} takes numbers and times, not {}", kind.noun());
                return self.invalid(side.start as usize, side.end as usize, message);
            }
        }
        let expr = Expr::Math { op, left: Box::new(left), right: Box::new(right) };
        let node = self.folded(Node::new(expr, start, end))?;
        Ok(Part { item: Item::Value(node), start, end, depth })
    }

    /// Chains of one operator are one list.
    fn join(&mut self, and: bool, left: Part, right: Part) -> Parsed<Part> {
        let (start, end) = (left.start, right.end);
        let chained = |test: &Test| match test {
            Test::And(_) => and,
            Test::Or(_) => !and,
            _ => false,
        };
        let ((left, left_depth), (right, right_depth)) =
            (self.as_test(left)?, self.as_test(right)?);
        let left_depth = left_depth - usize::from(chained(&left));
        let depth = self.above(left_depth.max(right_depth), start)?;
        let mut tests = match left {
            Test::And(tests) if and => tests,
            Test::Or(tests) if !and => tests,
            left => vec![left],
        };
        tests.push(right);
        let test = if and { Test::And(tests) } else { Test::Or(tests) };
        Ok(Part { item: Item::Test(test), start, end, depth })
    }

    /// A node whose parts are all literals becomes one.
    pub(super) fn folded(&self, node: Node) -> Parsed<Node> {
        let literal = |node: &Node| node.literal().is_some();
        let constant = match &node.expr {
            Expr::List(nodes) => nodes.iter().all(literal),
            Expr::Map(entries) => entries.iter().all(|(_, node)| literal(node)),
            Expr::Math { left, right, .. } => literal(left) && literal(right),
            Expr::Negate(node) => literal(node),
            Expr::Call(converter, call) => converter.is_pure && call.is_constant(),
            Expr::Literal(_) | Expr::Path(_) => false,
        };
        if !constant {
            return Ok(node);
        }
        let value = match node.eval(&constants()) {
            Ok(value) => value.into_owned(),
            Err(fault) => {
                return self.invalid(fault.start as usize, fault.end as usize, fault.message);
            }
        };
        Ok(Node { expr: Expr::Literal(value), ..node })
    }

    fn operand(&mut self) -> Parsed<Part> {
        let start = self.start();
        match (self.word(), self.sign()) {
            ("not", _) => {
                self.advance();
                let inner = self.expression(level::COMPARE)?;
                let end = inner.end;
                let (test, depth) = self.as_test(inner)?;
                let depth = self.above(depth, start)?;
                Ok(Part { item: Item::Test(Test::Not(Box::new(test))), start, end, depth })
            }
            (_, sign @ ("-" | "+")) => {
                self.advance();
                self.signed(sign == "-", start)
            }
            (_, "(") => {
                self.advance();
                let inner = self.expression(level::OR)?;
                self.expect(")")?;
                // An `and` in parentheses is not part of the chain around it, but may well be.
                Ok(Part { start, end: self.end(), ..inner })
            }
            _ => {
                let (expr, depth) = self.single(start)?;
                let node = self.folded(Node::new(expr, start, self.end()))?;
                Ok(Part { item: Item::Value(node), start, end: self.end(), depth })
            }
        }
    }

    /// What follows a sign.
    fn signed(&mut self, negative: bool, start: usize) -> Parsed<Part> {
        if let TokenKind::Int(value) = self.token().kind
            && negative
        {
            self.advance();
            // The least integer is one more than the greatest, negated.
            let value = Value::Int(0i64.wrapping_sub_unsigned(value));
            let node = Node::new(Expr::Literal(value), start, self.end());
            return Ok(Part { item: Item::Value(node), start, end: self.end(), depth: 1 });
        }
        self.enter()?;
        let inner = self.operand()?;
        self.leave();
        let end = inner.end;
        let (node, depth) = self.as_value(inner)?;
        if let Some(kind) = node.kind().filter(|kind| !matches!(kind, Kind::Int | Kind::Double)) {
            let message = format!("a sign goes before a number, not {}", kind.noun());
            return self.invalid(node.start as usize, node.end as usize, message);
        }
        let depth = self.above(depth, start)?;
        let node = match negative {
            true => self.folded(Node::new(Expr::Negate(Box::new(node)), start, end))?,
            false => node,
        };
        Ok(Part { item: Item::Value(node), start, end, depth })
    }

    /// What no operator is in, and its depth.
    fn single(&mut self, start: usize) -> Parsed<(Expr, usize)> {
        let literal = |value| Ok((Expr::Literal(value), 1));
        match &self.token().kind {
            TokenKind::String(text) => {
                let value = Value::from(text.clone());
                self.advance();
                literal(value)
            }
            TokenKind::Bytes(bytes) => {
                let value = Value::Bytes(bytes.clone().into());
                self.advance();
                literal(value)
            }
            TokenKind::Float(value) => {
                let value = Value::Double(*value);
                self.advance();
                literal(value)
            }
            TokenKind::Int(value) => {
                let Ok(value) = i64::try_from(*value) else {
                    let end = self.token().end;
                    let message = format!("{value} is beyond the greatest integer");
                    return self.fail(ErrorKind::Parse, start, end, message);
                };
                self.advance();
                literal(Value::Int(value))
            }
            TokenKind::Sign("[") => self.list(),
            TokenKind::Sign("{") => self.map(),
            TokenKind::Word => self.named(),
            _ => Err(self.unexpected(&[VALUE])),
        }
    }

    fn list(&mut self) -> Parsed<(Expr, usize)> {
        let start = self.start();
        self.advance();
        let (mut nodes, mut depth) = (Vec::new(), 0);
        if !self.take("]") {
            loop {
                let (node, below) = self.value()?;
                nodes.push(node);
                depth = depth.max(below);
                if self.take("]") {
                    break;
                }
                if !self.take(",") {
                    return Err(self.unexpected(&[",", "]"]));
                }
            }
        }
        Ok((Expr::List(nodes), self.above(depth, start)?))
    }

    fn map(&mut self) -> Parsed<(Expr, usize)> {
        let start = self.start();
        self.advance();
        let (mut entries, mut depth): (Vec<(String, Node)>, usize) = (Vec::new(), 0);
        if !self.take("}") {
            loop {
                let Token { kind: TokenKind::String(key), start, end } = self.token().clone()
                else {
                    return Err(self.unexpected(&["a key in quotes"]));
                };
                if entries.iter().any(|(other, _)| *other == key) {
                    return self.invalid(start, end, "the map has this key twice");
                }
                self.advance();
                self.expect(":")?;
                let (node, below) = self.value()?;
                entries.push((key, node));
                depth = depth.max(below);
                if self.take("}") {
                    break;
                }
                if !self.take(",") {
                    return Err(self.unexpected(&[",", "}"]));
                }
            }
        }
        Ok((Expr::Map(entries), self.above(depth, start)?))
    }
}
