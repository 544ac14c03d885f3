//! Metrics queries: the function after a pipeline, what follows it, and arithmetic between series.

use super::sequence::{Item, Joint, Term};
use super::{Parsed, Parser};
use crate::ast::{
    ArithmeticOp, Field, Intrinsic, MathOp, MetricsFunction, MetricsLeaf, MetricsQuery, OverTime,
    Pipeline, Scalar, Static,
};
use crate::check::Problem;
use crate::error::ErrorKind;
use crate::lexer::TokenKind;
use crate::parser::field::{compare_op, level};

/// The most labels of a series. Quantiles and histograms have one of their own.
const LABELS_MAX: usize = 5;

/// The most values that `compare` keeps of an attribute, and how many it keeps unasked.
const TOP_MAX: u64 = 1000;
const TOP_DEFAULT: u64 = 10;

const OTHER_FUNCTIONS: [&str; 5] =
    ["rate", "count_over_time", "quantile_over_time", "histogram_over_time", "compare"];

pub(super) fn function_names() -> impl Iterator<Item = &'static str> {
    OTHER_FUNCTIONS.into_iter().chain(OverTime::ALL.map(OverTime::name))
}

pub(super) fn is_function(word: &str) -> bool {
    function_names().any(|name| name == word)
}

impl Parser<'_> {
    /// The function that is next, over the spans of a pipeline, and what follows it.
    pub(super) fn metrics_leaf(
        &mut self,
        pipeline: Pipeline,
        start: usize,
        depth: usize,
    ) -> Parsed<Item> {
        let (function, below) = self.metrics_function()?;
        let depth = self.above(depth.max(below), start)?;
        let mut by = Vec::new();
        if !matches!(function, MetricsFunction::Compare { .. }) && self.function() == "by" {
            let by_start = self.start();
            self.advance();
            by = self.names("by()")?;
            let own = match function {
                MetricsFunction::Quantile { .. } | MetricsFunction::Histogram(_) => 1,
                _ => 0,
            };
            if by.len() + own > LABELS_MAX {
                let (name, most) = (function.name(), LABELS_MAX - own);
                let message = format!("{name}() has at most {most} labels, not {}", by.len());
                self.note_at(by_start, self.end(), message);
            }
        }
        let leaf = MetricsQuery::Leaf(MetricsLeaf { pipeline, function, by });
        self.second_stages(Item {
            term: Term::Metrics(Box::new(leaf)),
            start,
            end: self.end(),
            depth,
        })
    }

    fn metrics_function(&mut self) -> Parsed<(MetricsFunction, usize)> {
        let word = self.word();
        self.advance();
        self.expect("(")?;
        let mut depth = 1;
        let function = match word {
            "rate" => MetricsFunction::Rate,
            "count_over_time" => MetricsFunction::CountOverTime,
            "histogram_over_time" => MetricsFunction::Histogram(self.value_name(word)?),
            "quantile_over_time" => {
                let field = self.value_name(word)?;
                let mut quantiles = Vec::new();
                self.expect(",")?;
                loop {
                    quantiles.push(self.quantile()?);
                    if !self.take(",") {
                        break;
                    }
                }
                MetricsFunction::Quantile { field, quantiles }
            }
            "compare" => {
                let (selection, below) = self.spanset_filter()?;
                depth = below;
                let top_n = if self.take(",") { self.top_n()? } else { TOP_DEFAULT };
                let range = if self.take(",") { self.compare_range()? } else { None };
                MetricsFunction::Compare { selection, top_n, range }
            }
            _ => {
                let function = OverTime::ALL.into_iter().find(|one| one.name() == word);
                let function = function.unwrap_or(OverTime::Min);
                MetricsFunction::OverTime(function, self.value_name(word)?)
            }
        };
        self.expect(")")?;
        Ok((function, depth))
    }

    /// The field that a function aggregates.
    fn value_name(&mut self, function: &str) -> Parsed<Field> {
        let start = self.start();
        let field = self.name()?;
        self.check_readable(&field, start, &format!("{function}()"));
        Ok(field)
    }

    /// A list of fields in parentheses.
    pub(super) fn names(&mut self, what: &str) -> Parsed<Vec<Field>> {
        self.expect("(")?;
        let mut names = Vec::new();
        loop {
            let start = self.start();
            let name = self.name()?;
            self.check_readable(&name, start, what);
            names.push(name);
            if self.take(")") {
                return Ok(names);
            }
            if !self.take(",") {
                return Err(self.unexpected(&[",", ")"]));
            }
        }
    }

    /// The parent span as such has no value.
    fn check_readable(&mut self, field: &Field, start: usize, what: &str) {
        if *field == Field::Intrinsic(Intrinsic::Parent) {
            let message =
                format!("{what} takes no span; the parent's attributes are written parent.name");
            let problem = Problem::new(start, self.end(), message);
            self.note(Err(Problem { kind: ErrorKind::Unsupported, ..problem }));
        }
    }

    fn quantile(&mut self) -> Parsed<f64> {
        let start = self.start();
        let negative = self.take("-");
        let value = match self.token().kind {
            TokenKind::Int(value) => value as f64,
            TokenKind::Float(value) => value,
            _ => return Err(self.unexpected(&["a quantile from 0 to 1"])),
        };
        self.advance();
        if !(0.0..=1.0).contains(&value) || (negative && value != 0.0) {
            self.note_at(start, self.end(), "a quantile is from 0 to 1");
        }
        Ok(value)
    }

    /// An integer and whether it is below zero.
    fn integer(&mut self, what: &str) -> Parsed<i64> {
        let negative = self.take("-");
        match self.token().kind {
            TokenKind::Int(value) => {
                self.advance();
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                Ok(if negative { -value } else { value })
            }
            _ => Err(self.unexpected(&[what])),
        }
    }

    fn top_n(&mut self) -> Parsed<u64> {
        let start = self.start();
        let value = self.integer("a number of values")?;
        let count = u64::try_from(value).unwrap_or(0);
        if count == 0 || count > TOP_MAX {
            self.note_at(start, self.end(), format!("compare() keeps 1 to {TOP_MAX} values"));
        }
        Ok(count)
    }

    /// `start, end`; both zero is no range.
    fn compare_range(&mut self) -> Parsed<Option<(i64, i64)>> {
        let at = self.start();
        let start = self.integer("a start in nanoseconds")?;
        self.expect(",")?;
        let end = self.integer("an end in nanoseconds")?;
        if (start, end) == (0, 0) {
            return Ok(None);
        }
        if start <= 0 || end <= start {
            let message = "the selection's range has a positive start and a later end";
            self.note_at(at, self.end(), message);
        }
        Ok(Some((start, end)))
    }

    /// `| topk(n)`, `| bottomk(n)` and comparisons with a number.
    pub(super) fn second_stages(&mut self, mut item: Item) -> Parsed<Item> {
        loop {
            let Term::Metrics(inner) = item.term else {
                return Ok(item);
            };
            let inner_end = item.end;
            let query = if let Some(op) = compare_op(self.sign()) {
                self.advance();
                let value = self.expression(level::SUM)?;
                let Term::Scalar { expr, .. } = value.term else {
                    return Err(self.unexpected_at(value.start, value.end, &["a number"]));
                };
                let value = self.metrics_value(&expr, value.start, value.end)?;
                self.note_comparison(&inner, item.start, inner_end);
                MetricsQuery::Filter { op, value, inner }
            } else if self.take("|") {
                let top = match self.function() {
                    "topk" => true,
                    "bottomk" => false,
                    _ => return Err(self.unexpected(&["topk()", "bottomk()"])),
                };
                self.advance();
                self.advance();
                let start = self.start();
                let n = self.integer("a number of series")?;
                if n < 1 {
                    self.note_at(start, self.end(), "this keeps at least 1 series");
                }
                self.expect(")")?;
                self.note_comparison(&inner, item.start, inner_end);
                let n = u64::try_from(n).unwrap_or(1);
                if top {
                    MetricsQuery::TopK { n, inner }
                } else {
                    MetricsQuery::BottomK { n, inner }
                }
            } else {
                return Ok(Item { term: Term::Metrics(inner), ..item });
            };
            let depth = self.above(item.depth, item.start)?;
            item = Item { term: Term::Metrics(Box::new(query)), end: self.end(), depth, ..item };
        }
    }

    /// `left op right` between series, or a series and a number.
    pub(super) fn metrics_join(
        &mut self,
        op: MathOp,
        left: Term,
        right: Term,
        at: Joint,
    ) -> Parsed<Item> {
        let depth = self.above(at.below(), at.start)?;
        let mut side = |term: Term, start, end| match term {
            Term::Metrics(query) => {
                self.note_comparison(&query, start, end);
                Ok(query)
            }
            Term::Scalar { expr, .. } => match expr {
                Scalar::Static(Static::Duration(_)) => {
                    let message = "series are not computed with durations; write seconds";
                    Err(self.error(start, end, message))
                }
                expr => {
                    let value = self.metrics_value(&expr, start, end)?;
                    Ok(Box::new(MetricsQuery::Scalar(value)))
                }
            },
            Term::Spansets { .. } | Term::Pipeline(_) => {
                Err(self.unexpected_at(start, end, &["a metrics query"]))
            }
        };
        let left = side(left, at.start, at.left_end)?;
        let right = side(right, at.right_start, at.end)?;
        let term = Term::Metrics(Box::new(MetricsQuery::Binary { op, left, right }));
        Ok(Item { term, start: at.start, end: at.end, depth })
    }

    /// The number that points are compared to or computed with. A duration is in seconds.
    pub(super) fn metrics_value(&self, expr: &Scalar, start: usize, end: usize) -> Parsed<f64> {
        let value = match expr {
            Scalar::Static(Static::Duration(nanos)) => Ok(*nanos as f64 / 1e9),
            expr => constant(expr),
        };
        match value {
            Ok(value) if value.is_finite() => Ok(value),
            Ok(_) => Err(self.error(start, end, "this constant is no finite number")),
            Err(message) => Err(self.error(start, end, message)),
        }
    }

    /// What `compare` gives are no series to compute with.
    pub(super) fn note_comparison(&mut self, query: &MetricsQuery, start: usize, end: usize) {
        if let MetricsQuery::Leaf(leaf) = query
            && matches!(leaf.function, MetricsFunction::Compare { .. })
        {
            self.note_at(start, end, "nothing can follow compare(), nor be computed with it");
        }
    }
}

/// A constant between series, in floats: `1 / 2` is a half.
fn constant(expr: &Scalar) -> Result<f64, &'static str> {
    match expr {
        Scalar::Static(Static::Int(value)) => Ok(*value as f64),
        Scalar::Static(Static::Float(value)) => Ok(*value),
        Scalar::Static(Static::Duration(_)) => Err("series are not computed with durations"),
        Scalar::Static(_) => Err("series are computed with numbers alone"),
        Scalar::Aggregate(_) => Err("an aggregate of spansets does not go with series"),
        Scalar::Negate(inner) => constant(inner).map(|value| -value),
        Scalar::Arithmetic { op, left, right } => {
            let (left, right) = (constant(left)?, constant(right)?);
            let op = match op {
                ArithmeticOp::Add => MathOp::Add,
                ArithmeticOp::Subtract => MathOp::Subtract,
                ArithmeticOp::Multiply => MathOp::Multiply,
                ArithmeticOp::Divide => MathOp::Divide,
                ArithmeticOp::Modulo | ArithmeticOp::Power => {
                    return Err("between series there are only + - * and /");
                }
            };
            Ok(op.apply(left, right))
        }
    }
}
