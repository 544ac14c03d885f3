//! Expressions over the spansets of a trace.

use super::sequence::{Item, Joint, Shape, Term};
use super::{Failure, Parsed, Parser};
use crate::ast::{FieldExpr, Mode, Relation, SpansetExpr, Static};

/// An operator between spansets.
#[derive(Clone, Copy)]
pub(super) enum SpansetOp {
    And,
    Or,
    Structural(Relation, Mode),
}

impl SpansetOp {
    pub(super) fn of(sign: &str) -> Option<Self> {
        match sign {
            "&&" => return Some(Self::And),
            "||" => return Some(Self::Or),
            _ => {}
        }
        let mode = Mode::ALL.into_iter().rev().find(|mode| sign.starts_with(mode.prefix()))?;
        let symbol = &sign[mode.prefix().len()..];
        let relation = Relation::ALL.into_iter().find(|relation| relation.symbol() == symbol)?;
        Some(Self::Structural(relation, mode))
    }
}

impl Parser<'_> {
    /// `{ … }` and the depth of what is in it.
    pub(super) fn spanset_filter(&mut self) -> Parsed<(FieldExpr, usize)> {
        self.expect("{")?;
        if self.take("}") {
            return Ok((FieldExpr::Static(Static::Bool(true)), 1));
        }
        let part = self.filter_part()?;
        self.expect("}")?;
        Ok((part.expr, part.depth))
    }

    pub(super) fn spanset_join(
        &mut self,
        op: SpansetOp,
        (left, left_shape): (SpansetExpr, Shape),
        (right, right_shape): (SpansetExpr, Shape),
        at: Joint,
    ) -> Parsed<Item> {
        let shape = match (left_shape, right_shape) {
            (Shape::Bare, Shape::Pipeline) => return Err(self.bare_operand(at.start, at.left_end)),
            (Shape::Pipeline, Shape::Bare) => return Err(self.bare_operand(at.right_start, at.end)),
            (Shape::Pipeline, _) | (_, Shape::Pipeline) => Shape::Pipeline,
            (Shape::Bare, _) | (_, Shape::Bare) => Shape::Bare,
            (Shape::Wrapped, Shape::Wrapped) => Shape::Wrapped,
        };
        let flat = |depth: usize, expr: &SpansetExpr| {
            let chained = match op {
                SpansetOp::And => matches!(expr, SpansetExpr::And(_)),
                SpansetOp::Or => matches!(expr, SpansetExpr::Or(_)),
                SpansetOp::Structural(..) => false,
            };
            depth - usize::from(chained)
        };
        let below = flat(at.left_depth, &left).max(flat(at.right_depth, &right));
        let depth = self.above(below, at.start)?;
        let expr = match op {
            SpansetOp::And | SpansetOp::Or => chain(op, left, right),
            SpansetOp::Structural(relation, mode) => SpansetExpr::Structural {
                relation,
                mode,
                left: Box::new(left),
                right: Box::new(right),
            },
        };
        Ok(Item { term: Term::Spansets { expr, shape }, start: at.start, end: at.end, depth })
    }

    fn bare_operand(&self, start: usize, end: usize) -> Failure {
        let message = "beside a pipeline in parentheses this has to be in parentheses too";
        self.error(start, end, message)
    }
}

/// Chains of one operator are one list, whatever their parentheses.
fn chain(op: SpansetOp, left: SpansetExpr, right: SpansetExpr) -> SpansetExpr {
    let and = matches!(op, SpansetOp::And);
    let mut list = match (and, left) {
        (true, SpansetExpr::And(list)) | (false, SpansetExpr::Or(list)) => list,
        (_, left) => vec![left],
    };
    match (and, right) {
        (true, SpansetExpr::And(more)) | (false, SpansetExpr::Or(more)) => list.extend(more),
        (_, right) => list.push(right),
    }
    if and { SpansetExpr::And(list) } else { SpansetExpr::Or(list) }
}
