//! From the parser's tree to that which is evaluated; what is not served is refused here.

use std::time::{Duration, SystemTime};

use promql_parser::parser::token::*;
use promql_parser::parser::{
    AggregateExpr, AtModifier, BinaryExpr, Call as ParsedCall, Expr, LabelModifier, Offset,
    SubqueryExpr, VectorMatchCardinality, VectorSelector,
};

use super::calls;
use super::error::PromqlError;
use super::matchers::{Matcher, whole};
use super::metrics::METRICS;
use super::syntax::error_at_word;
use super::tree::{
    Aggregate, Aggregator, Binary, Call, Grouping, Increase, Node, Operator, OverTime, Selector,
    Shift, Side, Window,
};
use super::value::{Grid, METRIC_NAME};

/// How far apart the values of a selector's range are: as if it had been scraped. Functions that
/// only need what happened in a range do not look at them.
pub(super) const SCRAPE_MS: i64 = 15_000;

/// The step of a subquery that has none.
const SUBQUERY_STEP_MS: i64 = 60_000;

/// What is needed to understand an expression.
#[derive(Clone, Copy)]
pub(super) struct Lowering<'a> {
    /// The query's text, for the places of errors.
    pub(super) text: &'a str,
    /// The steps of the query.
    pub(super) grid: Grid,
}

impl Lowering<'_> {
    /// An expression of any type.
    pub(super) fn node(&self, expr: &Expr) -> Result<Node, PromqlError> {
        match expr {
            Expr::NumberLiteral(number) => Ok(Node::Number(number.val)),
            Expr::StringLiteral(text) => Ok(Node::Text(text.val.clone())),
            Expr::Paren(paren) => self.node(&paren.expr),
            Expr::Unary(unary) => Ok(Node::Negate(Box::new(self.node(&unary.expr)?))),
            Expr::VectorSelector(selector) => Ok(Node::Selector(self.selector(selector)?)),
            Expr::MatrixSelector(_) | Expr::Subquery(_) => {
                Ok(Node::Window(Box::new(self.window(expr)?)))
            }
            Expr::Call(call) => self.call(call),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Binary(binary) => self.binary(binary),
            Expr::Extension(_) => Err(PromqlError::query("extensions are not served")),
        }
    }

    fn selector(&self, parsed: &VectorSelector) -> Result<Selector, PromqlError> {
        if !parsed.matchers.or_matchers.is_empty() {
            return Err(error_at_word(self.text, "or", "label matchers cannot be joined by or"));
        }
        let mut matchers = Vec::new();
        for matcher in &parsed.matchers.matchers {
            matchers.push(Matcher::of(matcher)?);
        }
        matchers.extend(parsed.name.as_deref().map(Matcher::name_is));
        let shift = self.shift(parsed.offset.as_ref(), parsed.at.as_ref())?;
        Ok(Selector { metrics: metrics_of(&matchers), matchers, shift })
    }

    fn shift(
        &self,
        offset: Option<&Offset>,
        at: Option<&AtModifier>,
    ) -> Result<Shift, PromqlError> {
        let offset_ms = match offset {
            None => 0,
            Some(Offset::Pos(back)) => milliseconds(*back)?,
            Some(Offset::Neg(ahead)) => -milliseconds(*ahead)?,
        };
        let at_ms = match at {
            None => None,
            Some(AtModifier::Start) => Some(self.grid.start_ms),
            Some(AtModifier::End) => Some(self.grid.last()),
            Some(AtModifier::At(time)) => Some(since_epoch(*time)?),
        };
        Ok(Shift { offset_ms, at_ms })
    }

    /// A range vector.
    fn window(&self, expr: &Expr) -> Result<Window, PromqlError> {
        match expr {
            Expr::Paren(paren) => self.window(&paren.expr),
            Expr::Subquery(subquery) => self.subquery(subquery),
            Expr::MatrixSelector(matrix) => {
                let mut selector = self.selector(&matrix.vs)?;
                let shift = std::mem::take(&mut selector.shift);
                let range_ms = length(matrix.range)?;
                Ok(Window { inner: Node::Selector(selector), range_ms, step_ms: SCRAPE_MS, shift })
            }
            _ => Err(PromqlError::query("expected a range vector")),
        }
    }

    fn subquery(&self, subquery: &SubqueryExpr) -> Result<Window, PromqlError> {
        Ok(Window {
            inner: self.node(&subquery.expr)?,
            range_ms: length(subquery.range)?,
            step_ms: subquery.step.map_or(Ok(SUBQUERY_STEP_MS), length)?,
            shift: self.shift(subquery.offset.as_ref(), subquery.at.as_ref())?,
        })
    }

    fn call(&self, call: &ParsedCall) -> Result<Node, PromqlError> {
        let name = call.func.name;
        let args: Vec<&Expr> = call.args.args.iter().map(AsRef::as_ref).collect();
        if let Some(function) = over_time(name) {
            return self.over(function, &args);
        }
        let call = match (name, args.as_slice()) {
            ("time", _) => return Ok(Node::Time),
            ("pi", _) => return Ok(Node::Number(std::f64::consts::PI)),
            ("label_replace", [_, target, replacement, source, regex]) => Call::LabelReplace {
                target: self.label(name, target)?,
                replacement: self.literal(name, replacement)?,
                source: self.literal(name, source)?,
                regex: whole(&self.literal(name, regex)?)?,
            },
            ("label_join", [_, target, separator, sources @ ..]) => Call::LabelJoin {
                target: self.label(name, target)?,
                separator: self.literal(name, separator)?,
                sources: self.literals(name, sources)?,
            },
            ("sort_by_label" | "sort_by_label_desc", [_, labels @ ..]) => Call::SortByLabel {
                labels: self.literals(name, labels)?,
                descending: name == "sort_by_label_desc",
            },
            _ => calls::of_name(name).ok_or_else(|| {
                error_at_word(self.text, name, format!("the function {name} is not served"))
            })?,
        };
        let mut nodes = Vec::with_capacity(args.len());
        for (arg, wanted) in args.iter().zip(&call_types(name, args.len())) {
            if let Some(wants_scalar) = wanted {
                nodes.push(self.typed(name, arg, *wants_scalar)?);
            }
        }
        if nodes.is_empty() && matches!(call, Call::Calendar(_)) {
            nodes.push(Node::Call(Call::Vector, vec![Node::Time]));
        }
        if matches!(call, Call::Map1(_)) && name == "round" && nodes.len() == 1 {
            nodes.push(Node::Number(1.0));
        }
        Ok(Node::Call(call, nodes))
    }

    /// An argument that is a number, or an instant vector.
    fn typed(&self, name: &str, arg: &Expr, wants_scalar: bool) -> Result<Node, PromqlError> {
        let node = self.node(arg)?;
        if node.is_scalar() == wants_scalar && !matches!(node, Node::Text(_) | Node::Window(_)) {
            return Ok(node);
        }
        let wanted = if wants_scalar { "scalar" } else { "instant vector" };
        let problem = format!("expected type {wanted} in call to '{name}'");
        Err(error_at_word(self.text, name, problem))
    }

    fn over(&self, function: OverTime, args: &[&Expr]) -> Result<Node, PromqlError> {
        let (parameter, matrix) = match args {
            [matrix] => (None, matrix),
            [parameter, matrix] => {
                (Some(self.typed("quantile_over_time", parameter, true)?), matrix)
            }
            _ => return Err(PromqlError::query("expected a range vector")),
        };
        let window = self.window(matrix)?;
        let counted = matches!(function, OverTime::Rate | OverTime::Increase | OverTime::Delta);
        match window {
            Window { inner: Node::Selector(mut selector), range_ms, shift, .. }
                if counted && !is_subquery(matrix) =>
            {
                selector.shift = shift;
                let per_second = function == OverTime::Rate;
                Ok(Node::Increase(Increase { selector, range_ms, per_second }))
            }
            window => Ok(Node::Over(function, Box::new(window), parameter.map(Box::new))),
        }
    }

    /// A text that stands in the query.
    fn literal(&self, name: &str, expr: &Expr) -> Result<String, PromqlError> {
        match expr {
            Expr::StringLiteral(text) => Ok(text.val.clone()),
            Expr::Paren(paren) => self.literal(name, &paren.expr),
            _ => Err(error_at_word(self.text, name, format!("{name} takes texts in quotes"))),
        }
    }

    fn literals(&self, name: &str, exprs: &[&Expr]) -> Result<Vec<String>, PromqlError> {
        exprs.iter().map(|expr| self.literal(name, expr)).collect()
    }

    /// A label that a function sets.
    fn label(&self, name: &str, expr: &Expr) -> Result<String, PromqlError> {
        let label = self.literal(name, expr)?;
        match label.is_empty() {
            true => Err(error_at_word(self.text, name, "invalid destination label name: \"\"")),
            false => Ok(label),
        }
    }

    fn aggregate(&self, parsed: &AggregateExpr) -> Result<Node, PromqlError> {
        let word = parsed.op.to_string();
        let operator = match parsed.op.id() {
            T_SUM => Aggregator::Sum,
            T_MIN => Aggregator::Min,
            T_MAX => Aggregator::Max,
            T_AVG => Aggregator::Avg,
            T_COUNT => Aggregator::Count,
            T_GROUP => Aggregator::Group,
            T_STDDEV => Aggregator::Stddev,
            T_STDVAR => Aggregator::Stdvar,
            T_TOPK => Aggregator::TopK,
            T_BOTTOMK => Aggregator::BottomK,
            T_LIMITK => Aggregator::LimitK,
            T_QUANTILE => Aggregator::Quantile,
            T_COUNT_VALUES => Aggregator::CountValues,
            _ => {
                let problem = format!("the aggregation {word} is not served");
                return Err(error_at_word(self.text, &word, problem));
            }
        };
        let parameter = match (&parsed.param, operator) {
            (None, _) => None,
            (Some(label), Aggregator::CountValues) => Some(Node::Text(self.label(&word, label)?)),
            (Some(number), _) => Some(self.typed(&word, number, true)?),
        };
        Ok(Node::Aggregate(Box::new(Aggregate {
            operator,
            grouping: grouping(parsed.modifier.as_ref(), true),
            parameter,
            inner: self.node(&parsed.expr)?,
        })))
    }

    fn binary(&self, parsed: &BinaryExpr) -> Result<Node, PromqlError> {
        let Some(operator) = operator(parsed.op.id()) else {
            let word = parsed.op.to_string();
            let problem = format!("the operator {word} is not served");
            return Err(error_at_word(self.text, &word, problem));
        };
        let modifier = parsed.modifier.clone().unwrap_or_default();
        if modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some() {
            let word = ["fill", "fill_left", "fill_right"];
            let word = word.into_iter().find(|word| self.text.contains(word)).unwrap_or("fill");
            return Err(error_at_word(self.text, word, "the modifier fill is not served"));
        }
        let (many, included) = match &modifier.card {
            VectorMatchCardinality::ManyToOne(labels) => (Side::Left, labels.labels.clone()),
            VectorMatchCardinality::OneToMany(labels) => (Side::Right, labels.labels.clone()),
            _ => (Side::Both, Vec::new()),
        };
        Ok(Node::Binary(Box::new(Binary {
            operator,
            left: self.node(&parsed.lhs)?,
            right: self.node(&parsed.rhs)?,
            as_bool: modifier.return_bool,
            on: grouping(modifier.matching.as_ref(), false),
            many,
            included,
        })))
    }
}

/// Metrics of which the matchers may select something.
fn metrics_of(matchers: &[Matcher]) -> Vec<&'static super::metrics::Metric> {
    let names: Vec<_> = matchers.iter().filter(|matcher| matcher.name == METRIC_NAME).collect();
    METRICS
        .iter()
        .filter(|metric| names.iter().all(|matcher| matcher.matches(metric.name)))
        .collect()
}

fn is_subquery(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(paren) => is_subquery(&paren.expr),
        other => matches!(other, Expr::Subquery(_)),
    }
}

/// Without a modifier an aggregation is `by ()`, a pair `ignoring ()`.
fn grouping(modifier: Option<&LabelModifier>, by: bool) -> Grouping {
    match modifier {
        Some(LabelModifier::Include(labels)) => {
            Grouping { by: true, labels: labels.labels.clone() }
        }
        Some(LabelModifier::Exclude(labels)) => {
            let mut labels = labels.labels.clone();
            labels.push(METRIC_NAME.to_owned());
            Grouping { by: false, labels }
        }
        None if by => Grouping { by, labels: Vec::new() },
        None => Grouping { by, labels: vec![METRIC_NAME.to_owned()] },
    }
}

fn operator(id: TokenId) -> Option<Operator> {
    Some(match id {
        T_ADD => Operator::Add,
        T_SUB => Operator::Subtract,
        T_MUL => Operator::Multiply,
        T_DIV => Operator::Divide,
        T_MOD => Operator::Modulo,
        T_POW => Operator::Power,
        T_ATAN2 => Operator::Atan2,
        T_EQLC => Operator::Equal,
        T_NEQ => Operator::NotEqual,
        T_GTR => Operator::Greater,
        T_LSS => Operator::Less,
        T_GTE => Operator::GreaterOrEqual,
        T_LTE => Operator::LessOrEqual,
        T_LAND => Operator::And,
        T_LOR => Operator::Or,
        T_LUNLESS => Operator::Unless,
        _ => return None,
    })
}

fn over_time(name: &str) -> Option<OverTime> {
    Some(match name {
        "rate" => OverTime::Rate,
        "increase" => OverTime::Increase,
        "delta" => OverTime::Delta,
        "irate" => OverTime::Irate,
        "idelta" => OverTime::Idelta,
        "resets" => OverTime::Resets,
        "changes" => OverTime::Changes,
        "avg_over_time" => OverTime::Avg,
        "min_over_time" => OverTime::Min,
        "max_over_time" => OverTime::Max,
        "sum_over_time" => OverTime::Sum,
        "count_over_time" => OverTime::Count,
        "quantile_over_time" => OverTime::Quantile,
        "stddev_over_time" => OverTime::Stddev,
        "stdvar_over_time" => OverTime::Stdvar,
        "last_over_time" => OverTime::Last,
        "present_over_time" => OverTime::Present,
        "absent_over_time" => OverTime::Absent,
        _ => return None,
    })
}

/// Of each argument whether it is a number; `None` for texts, which the call itself holds.
fn call_types(name: &str, count: usize) -> Vec<Option<bool>> {
    let mut types = match name {
        "histogram_quantile" => vec![Some(true), Some(false)],
        "histogram_fraction" => vec![Some(true), Some(true), Some(false)],
        "vector" => vec![Some(true)],
        "label_replace" | "label_join" | "sort_by_label" | "sort_by_label_desc" => {
            vec![Some(false)]
        }
        _ => vec![Some(false), Some(true), Some(true)],
    };
    if matches!(name, "label_replace" | "label_join" | "sort_by_label" | "sort_by_label_desc") {
        types.resize(count, None);
    }
    types
}

fn milliseconds(duration: Duration) -> Result<i64, PromqlError> {
    i64::try_from(duration.as_millis())
        .map_err(|_| PromqlError::query("a duration is out of bounds"))
}

/// A range or a step.
fn length(duration: Duration) -> Result<i64, PromqlError> {
    match milliseconds(duration)? {
        0 => Err(PromqlError::query("durations must be at least a millisecond")),
        length => Ok(length),
    }
}

fn since_epoch(time: SystemTime) -> Result<i64, PromqlError> {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => milliseconds(after),
        Err(before) => Ok(-milliseconds(before.duration())?),
    }
}
