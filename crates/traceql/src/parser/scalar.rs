//! Aggregates over spansets, and arithmetic and comparisons of them.

use super::sequence::{Item, Joint, Term};
use super::{Failure, Parsed, Parser};
use crate::ast::{
    Aggregate, AggregateFunction, CompareOp, Pipeline, Scalar, ScalarFilter, Stage, Static,
};
use crate::check::{Problem, Type, static_type};
use crate::error::ErrorKind;
use crate::fold;

impl Parser<'_> {
    /// `avg(duration)`, if an aggregate is next.
    pub(super) fn aggregate(&mut self) -> Parsed<Option<Item>> {
        let word = self.function();
        let Some(function) = AggregateFunction::ALL.into_iter().find(|one| one.name() == word)
        else {
            return Ok(None);
        };
        let start = self.start();
        self.advance();
        self.advance();
        let (expr, depth) = if function == AggregateFunction::Count {
            (None, 1)
        } else {
            let part = self.field(0)?;
            let what = format!("{word}()");
            self.note(part.require(Type::Number, &what));
            self.note(part.require_span(&what));
            (Some(part.expr), self.above(part.depth, part.start)?)
        };
        self.expect(")")?;
        let expr = Scalar::Aggregate(Aggregate { function, expr });
        let term = Term::Scalar { expr, of_pipeline: false };
        Ok(Some(Item { term, start, end: self.end(), depth }))
    }

    /// `left op right` between scalars: a filter of spansets.
    pub(super) fn scalar_filter(
        &mut self,
        op: CompareOp,
        left: Scalar,
        right: Scalar,
        of_pipeline: bool,
        at: Joint,
    ) -> Parsed<Item> {
        let depth = self.above(at.below(), at.start)?;
        if of_pipeline {
            let message = "aggregates of pipelines in parentheses are not compared; write { … } | count() > 1";
            let problem = Problem::new(at.start, at.end, message);
            self.note(Err(Problem { kind: ErrorKind::Unsupported, ..problem }));
        } else if !left.has_aggregate() && !right.has_aggregate() {
            let message = "this compares constants; one side needs an aggregate";
            self.note_at(at.start, at.end, message);
        }
        let (left, right) = (fold::scalar(left), fold::scalar(right));
        let filter = Stage::Filter(ScalarFilter { left, op, right });
        let term = Term::Pipeline(Pipeline { stages: vec![filter] });
        Ok(Item { term, start: at.start, end: at.end, depth })
    }

    /// A number or an error that says what is none.
    pub(super) fn scalar_constant(&mut self, value: Static, start: usize) -> Item {
        let end = self.end();
        if static_type(&value) != Type::Number {
            self.note_at(
                start,
                end,
                format!("{value} is no number; aggregates are compared to numbers"),
            );
        }
        let term = Term::Scalar { expr: Scalar::Static(value), of_pipeline: false };
        Item { term, start, end, depth: 1 }
    }

    /// A query ends after a number or an aggregate.
    pub(super) fn lone_scalar(&mut self) -> Failure {
        self.unexpected(&["a comparison such as > 2"])
    }
}
