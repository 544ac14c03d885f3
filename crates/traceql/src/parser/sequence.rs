//! Stages between `|`, and the operators between what stands in parentheses.
//!
//! A parenthesis may hold spansets, a pipeline, a number or a metrics query; which of them is known
//! at its end. So there is one grammar of terms, and operators look at what they are given.

use super::field::{arithmetic_level, arithmetic_op, compare_op, level, right_level};
use super::metrics::{function_names, is_function};
use super::spanset::SpansetOp;
use super::{Failure, Parsed, Parser};
use crate::ast::{
    AggregateFunction, CompareOp, MathOp, MetricsQuery, Pipeline, Scalar, SpansetExpr, Stage,
};
use crate::suggest::did_you_mean;

/// What an expression outside of braces is.
#[derive(Debug)]
pub(super) enum Term {
    Spansets {
        expr: SpansetExpr,
        shape: Shape,
    },
    /// More than spansets, such as a filter of whole spansets.
    Pipeline(Pipeline),
    /// Not folded yet: integers are divided differently between series.
    Scalar {
        expr: Scalar,
        /// `({ … } | count())`.
        of_pipeline: bool,
    },
    Metrics(Box<MetricsQuery>),
}

/// Which operands may stand beside spansets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `{ … }`: another such or one in parentheses.
    Bare,
    /// In parentheses or negated: any.
    Wrapped,
    /// A pipeline in parentheses: what is in parentheses too.
    Pipeline,
}

/// A term, where it is and how deep its tree is.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) term: Term,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) depth: usize,
}

impl Item {
    fn noun(&self) -> &'static str {
        match self.term {
            Term::Spansets { .. } => "spansets",
            Term::Pipeline(_) => "a comparison",
            Term::Scalar { .. } => "a number",
            Term::Metrics(_) => "a metrics query",
        }
    }
}

/// Where two operands meet, and how deep their trees are.
#[derive(Clone, Copy)]
pub(super) struct Joint {
    pub(super) start: usize,
    pub(super) left_end: usize,
    pub(super) right_start: usize,
    pub(super) end: usize,
    pub(super) left_depth: usize,
    pub(super) right_depth: usize,
}

impl Joint {
    pub(super) fn below(&self) -> usize {
        self.left_depth.max(self.right_depth)
    }
}

/// How tightly an operator between terms binds.
fn operator_level(sign: &str) -> Option<u8> {
    match (SpansetOp::of(sign), arithmetic_op(sign)) {
        (Some(SpansetOp::And | SpansetOp::Or), _) => Some(level::LOGIC),
        (Some(SpansetOp::Structural(..)), _) => Some(level::COMPARE),
        (None, Some(op)) => Some(arithmetic_level(op)),
        (None, None) => compare_op(sign).map(|_| level::COMPARE),
    }
}

/// What could begin a query or follow `|`.
const STAGE: [&str; 2] = ["{", "a function such as count() or rate()"];

impl Parser<'_> {
    /// Stages up to something that is no `|`.
    pub(super) fn sequence(&mut self) -> Parsed<Item> {
        let mut before =
            Before { start: self.start(), stages: Vec::new(), depth: 0, closed: false };
        loop {
            let end = match self.own_stage(&mut before)? {
                Own::None => {
                    let item = self.expression(0)?;
                    self.add(&mut before, item)?
                }
                Own::Stage => None,
                Own::End(item) => Some(item),
            };
            if let Some(item) = end {
                return Ok(*item);
            }
            if self.sign() != "|" {
                return Ok(before.into_item(self.end()));
            }
            if before.closed {
                return Err(self.unexpected(&["the end of the query"]));
            }
            self.advance();
        }
    }

    /// Takes what an operator could join as the next stage, or as all that there is.
    fn add(&mut self, before: &mut Before, item: Item) -> Parsed<Option<Box<Item>>> {
        let first = before.stages.is_empty();
        before.depth = before.depth.max(item.depth);
        match item.term {
            Term::Spansets { shape: Shape::Pipeline, .. } if !first => {
                let message = "a pipeline in parentheses only stands at the start";
                Err(self.error(item.start, item.end, message))
            }
            Term::Spansets { .. } if first && self.sign() != "|" => {
                // Alone it keeps its shape.
                Ok(Some(item.into()))
            }
            Term::Spansets { expr, shape } => {
                before.closed = shape == Shape::Pipeline;
                before.stages.push(Stage::Spansets(expr));
                Ok(None)
            }
            Term::Pipeline(pipeline) => {
                before.stages.extend(pipeline.stages);
                Ok(None)
            }
            Term::Metrics(_) if first => self.second_stages(item).map(|item| Some(item.into())),
            Term::Metrics(_) => {
                let message = "metrics queries in parentheses only stand at the start";
                Err(self.error(item.start, item.end, message))
            }
            Term::Scalar { .. } if self.sign() == "|" => Err(self.lone_scalar()),
            Term::Scalar { expr, of_pipeline } => {
                let term = Term::Scalar { expr, of_pipeline: of_pipeline || !first };
                let (start, depth) = (before.start, before.depth);
                Ok(Some(Item { term, start, end: self.end(), depth }.into()))
            }
        }
    }

    /// A stage that begins with its own name.
    fn own_stage(&mut self, before: &mut Before) -> Parsed<Own> {
        let first = before.stages.is_empty();
        let (stage, depth) = match self.function() {
            "by" => {
                self.advance();
                self.advance();
                let part = self.field(0)?;
                self.note(part.require_span("by()"));
                self.expect(")")?;
                let depth = self.above(part.depth, part.start)?;
                (Stage::By(part.expr), depth)
            }
            "coalesce" if !first => {
                self.advance();
                self.advance();
                self.expect(")")?;
                (Stage::Coalesce, 1)
            }
            "select" => {
                self.advance();
                (Stage::Select(self.names("select()")?), 1)
            }
            name if is_function(name) && first => return Err(self.unexpected(&["{"])),
            name if is_function(name) => {
                let depth = self.above(before.depth, before.start)?;
                let pipeline = Pipeline { stages: std::mem::take(&mut before.stages) };
                let item = self.metrics_leaf(pipeline, before.start, depth)?;
                return Ok(Own::End(item.into()));
            }
            _ => return Ok(Own::None),
        };
        before.stages.push(stage);
        before.depth = before.depth.max(depth);
        Ok(Own::Stage)
    }

    /// An expression of operators that bind at least so tightly.
    pub(super) fn expression(&mut self, least: u8) -> Parsed<Item> {
        self.enter()?;
        let mut left = self.operand()?;
        loop {
            let sign = self.sign();
            let Some(level) = operator_level(sign).filter(|level| *level >= least) else {
                self.leave();
                return Ok(left);
            };
            let at = (self.start(), self.token().end);
            self.advance();
            let right = self.expression(right_level(level))?;
            left = self.combine(sign, at, left, right)?;
        }
    }

    fn operand(&mut self) -> Parsed<Item> {
        let start = self.start();
        match self.sign() {
            "!" => {
                self.advance();
                let inner = self.expression(level::NOT)?;
                self.not(start, inner)
            }
            "-" => {
                self.advance();
                if let Some(value) = self.negative()? {
                    return Ok(self.scalar_constant(value, start));
                }
                let inner = self.expression(level::NEGATE)?;
                self.negate(start, inner)
            }
            "(" => {
                self.advance();
                let inner = self.sequence()?;
                self.expect(")")?;
                self.wrapped(start, inner)
            }
            _ => self.leaf(start),
        }
    }

    fn not(&mut self, start: usize, inner: Item) -> Parsed<Item> {
        let Term::Spansets { expr, .. } = inner.term else {
            return Err(self.unexpected_at(inner.start, inner.end, &["{ or ( after !"]));
        };
        let depth = self.above(inner.depth, start)?;
        let expr = SpansetExpr::Not(Box::new(expr));
        let term = Term::Spansets { expr, shape: Shape::Wrapped };
        Ok(Item { term, start, end: inner.end, depth })
    }

    fn negate(&mut self, start: usize, inner: Item) -> Parsed<Item> {
        let Term::Scalar { expr, of_pipeline } = inner.term else {
            return Err(self.unexpected_at(inner.start, inner.end, &["a number after -"]));
        };
        let depth = self.above(inner.depth, start)?;
        let term = Term::Scalar { expr: Scalar::Negate(Box::new(expr)), of_pipeline };
        Ok(Item { term, start, end: inner.end, depth })
    }

    /// What stood in parentheses.
    fn wrapped(&mut self, start: usize, inner: Item) -> Parsed<Item> {
        let mut depth = inner.depth;
        let term = match inner.term {
            Term::Spansets { expr, shape: Shape::Bare } => {
                Term::Spansets { expr, shape: Shape::Wrapped }
            }
            Term::Pipeline(pipeline) => {
                depth = self.above(depth, start)?;
                let expr = SpansetExpr::Pipeline(pipeline);
                Term::Spansets { expr, shape: Shape::Pipeline }
            }
            term => term,
        };
        Ok(Item { term, start, end: self.end(), depth })
    }

    /// What no operator is in.
    fn leaf(&mut self, start: usize) -> Parsed<Item> {
        if self.sign() == "{" {
            let (expr, below) = self.spanset_filter()?;
            let depth = self.above(below, start)?;
            let term = Term::Spansets { expr: SpansetExpr::Filter(expr), shape: Shape::Bare };
            return Ok(Item { term, start, end: self.end(), depth });
        }
        if let Some(item) = self.aggregate()? {
            return Ok(item);
        }
        match self.constant_token()? {
            Some(value) => Ok(self.scalar_constant(value, start)),
            None => Err(self.no_stage()),
        }
    }

    /// `left sign right`; `at` is where the sign is.
    fn combine(
        &mut self,
        sign: &'static str,
        at: (usize, usize),
        left: Item,
        right: Item,
    ) -> Parsed<Item> {
        let joint = Joint {
            start: left.start,
            left_end: left.end,
            right_start: right.start,
            end: right.end,
            left_depth: left.depth,
            right_depth: right.depth,
        };
        let nouns = (left.noun(), right.noun());
        let compare = compare_op(sign);
        match (left.term, right.term) {
            (
                Term::Spansets { expr: left, shape: left_shape },
                Term::Spansets { expr: right, shape: right_shape },
            ) => {
                if let Some(op) = SpansetOp::of(sign) {
                    return self.spanset_join(op, (left, left_shape), (right, right_shape), joint);
                }
            }
            (
                Term::Scalar { expr: left, of_pipeline: left_of },
                Term::Scalar { expr: right, of_pipeline: right_of },
            ) => {
                let of_pipeline = left_of || right_of;
                if let Some(op) = arithmetic_op(sign) {
                    let depth = self.above(joint.below(), joint.start)?;
                    let (left, right) = (Box::new(left), Box::new(right));
                    let expr = Scalar::Arithmetic { op, left, right };
                    let term = Term::Scalar { expr, of_pipeline };
                    return Ok(Item { term, start: joint.start, end: joint.end, depth });
                }
                if let Some(op) = compare {
                    return self.scalar_filter(op, left, right, of_pipeline, joint);
                }
            }
            (Term::Metrics(inner), Term::Scalar { expr, .. }) if compare.is_some() => {
                let value = self.metrics_value(&expr, joint.right_start, joint.end)?;
                let depth = self.above(joint.below(), joint.start)?;
                self.note_comparison(&inner, joint.start, joint.left_end);
                let op = compare.unwrap_or(CompareOp::Equal);
                let query = MetricsQuery::Filter { op, value, inner };
                let term = Term::Metrics(Box::new(query));
                return Ok(Item { term, start: joint.start, end: joint.end, depth });
            }
            (left @ (Term::Metrics(_) | Term::Scalar { .. }), right @ Term::Metrics(_))
            | (left @ Term::Metrics(_), right @ Term::Scalar { .. }) => {
                if let Some(op) = MathOp::ALL.into_iter().find(|op| op.symbol() == sign) {
                    return self.metrics_join(op, left, right, joint);
                }
            }
            _ => {}
        }
        let message = format!("{sign} cannot join {} and {}", nouns.0, nouns.1);
        Err(self.error(at.0, at.1, message))
    }

    /// What is next begins no stage.
    fn no_stage(&mut self) -> Failure {
        let token = self.token().clone();
        let word = self.word();
        if word.is_empty() {
            return self.unexpected(&STAGE);
        }
        let aggregates = AggregateFunction::ALL.map(AggregateFunction::name);
        let names = aggregates.into_iter().chain(["by", "coalesce", "select", "topk", "bottomk"]);
        let message = match did_you_mean(word, names.chain(function_names())) {
            Some(name) if name == word => return self.unexpected(&STAGE),
            Some(name) => format!("unknown function {word}; did you mean {name}()?"),
            None => format!("unknown function {word}"),
        };
        let mut error = self.error(token.start, token.end, message);
        error.expected = STAGE.map(str::to_owned).to_vec();
        error
    }
}

/// The stages so far.
struct Before {
    start: usize,
    stages: Vec<Stage>,
    depth: usize,
    /// A pipeline in parentheses, which no stage follows.
    closed: bool,
}

impl Before {
    fn into_item(self, end: usize) -> Item {
        let term = Term::Pipeline(Pipeline { stages: self.stages });
        Item { term, start: self.start, end, depth: self.depth }
    }
}

/// What a stage that begins with its own name is.
enum Own {
    /// None such is next.
    None,
    Stage,
    /// A metrics function, after which no stage comes.
    End(Box<Item>),
}
