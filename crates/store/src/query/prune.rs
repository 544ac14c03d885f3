//! Rows that need not be read: what a piece says of itself without its columns (scopes, which
//! columns there are, Bloom filters and dictionaries) tells that no span there can meet a query.
//!
//! It says the same as the filters (`filter`) would, for less.

use std::ops::Range;

use traceql::{Field, FieldExpr, Intrinsic, Mode, Pipeline, Scope, SpansetExpr, Stage};

use super::filter::scope_value;
use super::value::Test;
use crate::columns::{Table, attribute_column, name};
use crate::piece::{Damaged, Piece};
use crate::scopes::ScopeRow;
use crate::types::ValueType;

/// Whether rows can have a result, and what tells that they cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Possible,
    /// No scope or column of the piece fits.
    NotByStatistics,
    /// A Bloom filter or a dictionary lacks a text.
    NotByFilters,
}

use Verdict::{NotByFilters, NotByStatistics, Possible};

impl Verdict {
    /// Of two things that are both needed.
    fn and(self, other: impl FnOnce() -> Result<Self, Damaged>) -> Result<Self, Damaged> {
        if self == Possible { other() } else { Ok(self) }
    }

    /// Of two things either of which is enough.
    fn or(self, other: impl FnOnce() -> Result<Self, Damaged>) -> Result<Self, Damaged> {
        if self == Possible {
            return Ok(self);
        }
        Ok(match (self, other()?) {
            (_, Possible) => Possible,
            (NotByStatistics, NotByStatistics) => NotByStatistics,
            _ => NotByFilters,
        })
    }
}

/// Rows of a piece, whole traces, before they are read.
pub(super) struct Unread<'p> {
    pub(super) piece: &'p dyn Piece,
    pub(super) rows: Range<usize>,
}

impl Unread<'_> {
    /// Whether a pipeline may leave spans of these rows alone.
    pub(super) fn pipeline(&self, pipeline: &Pipeline) -> Result<Verdict, Damaged> {
        match pipeline.stages.first() {
            Some(Stage::Spansets(expr)) => self.spansets(expr),
            _ => Ok(Possible),
        }
    }

    fn spansets(&self, expr: &SpansetExpr) -> Result<Verdict, Damaged> {
        match expr {
            SpansetExpr::Filter(filter) => self.filter(filter),
            SpansetExpr::And(list) => {
                list.iter().try_fold(Possible, |all, expr| all.and(|| self.spansets(expr)))
            }
            SpansetExpr::Or(list) => {
                let Some((first, rest)) = list.split_first() else { return Ok(Possible) };
                let first = self.spansets(first)?;
                rest.iter().try_fold(first, |any, expr| any.or(|| self.spansets(expr)))
            }
            SpansetExpr::Structural { mode, left, right, .. } => {
                let right = self.spansets(right)?;
                if *mode == Mode::Not { Ok(right) } else { right.and(|| self.spansets(left)) }
            }
            SpansetExpr::Not(_) => Ok(Possible),
            SpansetExpr::Pipeline(pipeline) => self.pipeline(pipeline),
        }
    }

    /// Whether a filter may hold for one of the spans.
    pub(super) fn filter(&self, expr: &FieldExpr) -> Result<Verdict, Damaged> {
        match expr {
            FieldExpr::All(list) => {
                list.iter().try_fold(Possible, |all, expr| all.and(|| self.filter(expr)))
            }
            FieldExpr::Any(list) => {
                let Some((first, rest)) = list.split_first() else { return Ok(Possible) };
                let first = self.filter(first)?;
                rest.iter().try_fold(first, |any, expr| any.or(|| self.filter(expr)))
            }
            FieldExpr::Field(field) => self.field(field, Test::True),
            FieldExpr::Exists { value, negated: false } => match &**value {
                FieldExpr::Field(field) => self.field(field, Test::Exists),
                _ => Ok(Possible),
            },
            FieldExpr::Matches { value, pattern, negated } => match &**value {
                FieldExpr::Field(field) => self.field(field, Test::Matches(pattern, *negated)),
                _ => Ok(Possible),
            },
            FieldExpr::Compare { op, left, right } => match (&**left, &**right) {
                (FieldExpr::Field(field), FieldExpr::Static(value)) => {
                    self.field(field, Test::Compare(*op, value))
                }
                (FieldExpr::Static(value), FieldExpr::Field(field)) => {
                    self.field(field, Test::Compare(op.flipped(), value))
                }
                _ => Ok(Possible),
            },
            _ => Ok(Possible),
        }
    }

    fn field(&self, field: &Field, test: Test<'_>) -> Result<Verdict, Damaged> {
        let Field::Attribute(attribute) = field else {
            return match (field, test.equal_text()) {
                (Field::Intrinsic(Intrinsic::Name), Some(text)) => {
                    let may = self.may_contain(Table::Spans, name::NAME, text)?;
                    Ok(if may { Possible } else { NotByFilters })
                }
                _ => Ok(Possible),
            };
        };
        let key = &attribute.name;
        match attribute.scope {
            _ if attribute.parent => Ok(Possible),
            Scope::Span => self.attribute(Table::Spans, key, test),
            Scope::Event => self.attribute(Table::Events, key, test),
            Scope::Link => self.attribute(Table::Links, key, test),
            Scope::Resource | Scope::Instrumentation => self.scopes(attribute.scope, key, test),
            Scope::Any => self
                .scopes(Scope::Resource, key, test)?
                .or(|| self.scopes(Scope::Instrumentation, key, test))?
                .or(|| self.attribute(Table::Spans, key, test))?
                .or(|| self.attribute(Table::Events, key, test))?
                .or(|| self.attribute(Table::Links, key, test)),
        }
    }

    fn scopes(&self, scope: Scope, key: &str, test: Test<'_>) -> Result<Verdict, Damaged> {
        let holds = |row: &ScopeRow| test.val(&scope_value(row, scope, key));
        let any = self.piece.scopes()?.iter().any(|row| holds(row));
        Ok(if any { Possible } else { NotByStatistics })
    }

    /// No test holds for what a row does not have.
    fn attribute(&self, table: Table, key: &str, test: Test<'_>) -> Result<Verdict, Damaged> {
        if self.piece.row_count(table) == 0 {
            return Ok(NotByStatistics);
        }
        let mut verdict = NotByStatistics;
        for (group, _) in self.piece.groups(table.rest())?.iter().enumerate() {
            if self.piece.may_contain(table.rest(), group, name::KEY, key) {
                return Ok(Possible);
            }
        }
        for value_type in ValueType::ALL {
            let column = attribute_column(value_type, key);
            if !self.piece.has_column(table, &column)? {
                continue;
            }
            match (value_type, test.equal_text()) {
                (_, None) | (ValueType::Any, _) => return Ok(Possible),
                (ValueType::String, Some(text)) => {
                    if self.may_contain(table, &column, text)? {
                        return Ok(Possible);
                    }
                    verdict = NotByFilters;
                }
                // Other types are not equal to a text.
                _ => {}
            }
        }
        Ok(verdict)
    }

    /// Of tables but that of spans all rows are meant: whose they are would have to be read.
    fn may_contain(&self, table: Table, column: &str, text: &str) -> Result<bool, Damaged> {
        let groups = self.piece.groups(table)?;
        Ok(groups.into_iter().enumerate().any(|(group, rows)| {
            let is_meant =
                table != Table::Spans || (rows.start < self.rows.end && rows.end > self.rows.start);
            is_meant && self.piece.may_contain(table, group, column, text)
        }))
    }
}
