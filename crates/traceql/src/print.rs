//! Text of a tree. Operands that are more than one name or constant are put in parentheses, so that
//! the text has one reading without the table of precedences.

use std::fmt::{self, Display, Formatter};

use crate::ast::*;
use crate::lexer::{duration_text, ends_name, quoted};
use crate::pattern::Pattern;

type Result = fmt::Result;

/// Parts with something between them.
fn join<T: Display>(f: &mut Formatter<'_>, parts: &[T], between: &str) -> Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        write!(f, "{part}")?;
    }
    Ok(())
}

/// A part, in parentheses if asked for.
struct Wrapped<'a, T>(&'a T, bool);

impl<T: Display> Display for Wrapped<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.1 { write!(f, "({})", self.0) } else { write!(f, "{}", self.0) }
    }
}

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.kind {
            QueryKind::Search(pipeline) => write!(f, "{pipeline}")?,
            QueryKind::Metrics(metrics) => write!(f, "{metrics}")?,
        }
        write!(f, "{}", self.hints)
    }
}

impl Display for Pipeline {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        join(f, &self.stages, " | ")
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Spansets(expr) => write!(f, "{expr}"),
            Self::Filter(filter) => write!(f, "{filter}"),
            Self::By(expr) => write!(f, "by({expr})"),
            Self::Coalesce => f.write_str("coalesce()"),
            Self::Select(fields) => {
                f.write_str("select(")?;
                join(f, fields, ", ")?;
                f.write_str(")")
            }
        }
    }
}

impl SpansetExpr {
    /// Whether a pipeline is an operand here; beside it a filter has to be in parentheses.
    fn has_pipeline(&self) -> bool {
        match self {
            Self::Filter(_) | Self::Not(_) => false,
            Self::And(all) | Self::Or(all) => all.iter().any(Self::has_pipeline),
            Self::Structural { left, right, .. } => left.has_pipeline() || right.has_pipeline(),
            Self::Pipeline(_) => true,
        }
    }

    fn operand(&self, beside_pipeline: bool) -> Wrapped<'_, Self> {
        let wrap = match self {
            Self::Filter(_) => beside_pipeline,
            Self::Not(_) | Self::Pipeline(_) => false,
            _ => true,
        };
        Wrapped(self, wrap)
    }
}

impl Display for SpansetExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let beside = self.has_pipeline();
        match self {
            Self::Filter(expr) => write!(f, "{{ {expr} }}"),
            Self::And(all) | Self::Or(all) => {
                let all: Vec<_> = all.iter().map(|expr| expr.operand(beside)).collect();
                join(f, &all, if matches!(self, Self::And(_)) { " && " } else { " || " })
            }
            Self::Structural { relation, mode, left, right } => {
                let (left, right) = (left.operand(beside), right.operand(beside));
                write!(f, "{left} {}{} {right}", mode.prefix(), relation.symbol())
            }
            Self::Not(inner) => write!(f, "!{}", inner.operand(false)),
            Self::Pipeline(pipeline) => write!(f, "({pipeline})"),
        }
    }
}

impl Display for ScalarFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} {} {}", self.left.operand(), self.op.symbol(), self.right.operand())
    }
}

impl Scalar {
    fn operand(&self) -> Wrapped<'_, Self> {
        Wrapped(self, matches!(self, Self::Arithmetic { .. } | Self::Negate(_)))
    }
}

impl Display for Scalar {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Static(value) => write!(f, "{value}"),
            Self::Aggregate(aggregate) => write!(f, "{aggregate}"),
            Self::Arithmetic { op, left, right } => {
                write!(f, "{} {} {}", left.operand(), op.symbol(), right.operand())
            }
            Self::Negate(inner) => write!(f, "-{}", inner.operand()),
        }
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.expr {
            Some(expr) => write!(f, "{}({expr})", self.function.name()),
            None => write!(f, "{}()", self.function.name()),
        }
    }
}

impl FieldExpr {
    fn operand(&self) -> Wrapped<'_, Self> {
        Wrapped(self, !matches!(self, Self::Static(_) | Self::Field(_)))
    }
}

impl Display for FieldExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Static(value) => write!(f, "{value}"),
            Self::Field(field) => write!(f, "{field}"),
            Self::All(all) | Self::Any(all) => {
                let between = if matches!(self, Self::All(_)) { " && " } else { " || " };
                join(f, &all.iter().map(Self::operand).collect::<Vec<_>>(), between)
            }
            Self::Compare { op, left, right } => {
                write!(f, "{} {} {}", left.operand(), op.symbol(), right.operand())
            }
            Self::Matches { value, pattern, negated } => {
                let op = if *negated { "!~" } else { "=~" };
                write!(f, "{} {op} {pattern}", value.operand())
            }
            Self::Exists { value, negated } => {
                write!(f, "{} {} nil", value.operand(), if *negated { "=" } else { "!=" })
            }
            Self::Arithmetic { op, left, right } => {
                write!(f, "{} {} {}", left.operand(), op.symbol(), right.operand())
            }
            Self::Negate(inner) => write!(f, "-{}", inner.operand()),
            Self::Not(inner) => write!(f, "!{}", inner.operand()),
        }
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&quoted(self.as_str()))
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Attribute(attribute) => write!(f, "{attribute}"),
            Self::Intrinsic(intrinsic) => f.write_str(intrinsic.name()),
        }
    }
}

impl Display for Attribute {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(if self.parent { "parent" } else { "" })?;
        let scope = self.scope.name();
        let dot = if self.parent && !scope.is_empty() { "." } else { "" };
        write!(f, "{dot}{scope}.")?;
        // A digit would make a float of the dot; a scope's name after `parent.` a scope.
        let scope_like = |name: &str| name.starts_with("span.") || name.starts_with("resource.");
        let ambiguous = match (self.scope, self.parent) {
            (Scope::Any, false) => self.name.starts_with(|c: char| c.is_ascii_digit()),
            (Scope::Any, true) => scope_like(&self.name),
            _ => false,
        };
        if !ambiguous && !self.name.contains(|c: char| ends_name(c) || c == '"') {
            return f.write_str(&self.name);
        }
        let escaped = self.name.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "\"{escaped}\"")
    }
}

impl Display for Intrinsic {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.name())
    }
}

impl Display for Static {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::String(text) => f.write_str(&quoted(text)),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Duration(nanos) => f.write_str(&duration_text(*nanos)),
            Self::Status(status) => f.write_str(status.name()),
            Self::Kind(kind) => f.write_str(kind.name()),
        }
    }
}

impl Display for MetricsQuery {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let operand = |query| Wrapped(query, !matches!(query, Self::Scalar(_)));
        match self {
            Self::Leaf(leaf) => write!(f, "{leaf}"),
            Self::Scalar(value) => write!(f, "{}", Number(*value)),
            Self::Binary { op, left, right } => {
                write!(f, "{} {} {}", operand(left), op.symbol(), operand(right))
            }
            Self::TopK { n, inner } => write!(f, "{inner} | topk({n})"),
            Self::BottomK { n, inner } => write!(f, "{inner} | bottomk({n})"),
            Self::Filter { op, value, inner } => {
                write!(f, "{inner} {} {}", op.symbol(), Number(*value))
            }
        }
    }
}

/// A number without a needless `.0`.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let text = format!("{:?}", self.0);
        f.write_str(text.strip_suffix(".0").unwrap_or(&text))
    }
}

impl Display for MetricsLeaf {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} | {}", self.pipeline, self.function)?;
        if self.by.is_empty() {
            return Ok(());
        }
        f.write_str(" by(")?;
        join(f, &self.by, ", ")?;
        f.write_str(")")
    }
}

impl Display for MetricsFunction {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}(", self.name())?;
        match self {
            Self::Rate | Self::CountOverTime => {}
            Self::OverTime(_, field) | Self::Histogram(field) => write!(f, "{field}")?,
            Self::Quantile { field, quantiles } => {
                write!(f, "{field}")?;
                for quantile in quantiles {
                    write!(f, ", {}", Number(*quantile))?;
                }
            }
            Self::Compare { selection, top_n, range } => {
                write!(f, "{{ {selection} }}, {top_n}")?;
                if let Some((start, end)) = range {
                    write!(f, ", {start}, {end}")?;
                }
            }
        }
        f.write_str(")")
    }
}

impl Display for Hints {
    /// With a space in front, so that it follows a query; nothing for no hints.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut hints = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            hints.extend(value.map(|value| format!("{name}={value}")));
        };
        add("most_recent", self.most_recent.map(|on| on.to_string()));
        add(
            "exemplars",
            self.exemplars.map(|value| match value {
                Exemplars::Switch(on) => on.to_string(),
                Exemplars::Count(count) => count.to_string(),
            }),
        );
        add(
            "sample",
            self.sample.map(|value| match value {
                Sampling::Switch(on) => on.to_string(),
                Sampling::Part(part) => Number(part).to_string(),
            }),
        );
        add("span_sample", self.span_sample.map(|part| Number(part).to_string()));
        add("trace_sample", self.trace_sample.map(|part| Number(part).to_string()));
        add("extrapolate", self.extrapolate.map(|on| on.to_string()));
        for (name, value) in &self.ignored {
            add(name, Some(value.to_string()));
        }
        if hints.is_empty() {
            return Ok(());
        }
        write!(f, " with({})", hints.join(", "))
    }
}
