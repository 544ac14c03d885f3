//! The tree that is planned and evaluated: what is served of PromQL, with all constants known.

use regex::Regex;

use super::matchers::Matcher;
use super::metrics::Metric;
use super::value::Grid;

/// An expression.
#[derive(Debug)]
pub(super) enum Node {
    Number(f64),
    Text(String),
    /// `time()`.
    Time,
    Selector(Selector),
    /// A range vector: only whole queries are one, and arguments of functions.
    Window(Box<Window>),
    /// `rate`, `increase` or `delta` of a selector, counted.
    Increase(Increase),
    Over(OverTime, Box<Window>, Option<Box<Node>>),
    Negate(Box<Node>),
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Call(Call, Vec<Node>),
}

impl Node {
    /// Whether it is a number for each step, without labels.
    pub(super) fn is_scalar(&self) -> bool {
        match self {
            Self::Number(_) | Self::Time => true,
            Self::Negate(inner) => inner.is_scalar(),
            Self::Binary(binary) => binary.left.is_scalar() && binary.right.is_scalar(),
            Self::Call(call, _) => matches!(call, Call::Scalar),
            _ => false,
        }
    }
}

/// To which time an expression looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) offset_ms: i64,
    /// A fixed time, whatever the step.
    pub(super) at_ms: Option<i64>,
}

impl Shift {
    /// The times that are looked at from a grid; one alone where they are all the same.
    pub(super) fn apply(self, grid: Grid) -> Grid {
        let from = self.at_ms.map_or(grid, Grid::instant);
        Grid { start_ms: from.start_ms.saturating_sub(self.offset_ms), ..from }
    }
}

/// Series of metrics whose labels meet conditions.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    pub(super) metrics: Vec<&'static Metric>,
    pub(super) matchers: Vec<Matcher>,
    pub(super) shift: Shift,
}

/// What happened in a range before each step.
#[derive(Debug)]
pub(super) struct Increase {
    pub(super) selector: Selector,
    pub(super) range_ms: i64,
    pub(super) per_second: bool,
}

/// Values of an expression at multiples of `step_ms`, those in a range before each step.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) inner: Node,
    pub(super) range_ms: i64,
    pub(super) step_ms: i64,
    pub(super) shift: Shift,
}

impl Window {
    /// The instants of all ranges together, and none twice.
    pub(super) fn instants(&self, grid: Grid) -> Grid {
        let seen = self.shift.apply(grid);
        let first = seen.start_ms.saturating_sub(self.range_ms).div_euclid(self.step_ms) + 1;
        let last = seen.last().div_euclid(self.step_ms);
        let count = usize::try_from(last - first + 1).unwrap_or(0);
        Grid { start_ms: first.saturating_mul(self.step_ms), step_ms: self.step_ms, count }
    }
}

/// Functions of range vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OverTime {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Resets,
    Changes,
    Avg,
    Min,
    Max,
    Sum,
    Count,
    Quantile,
    Stddev,
    Stdvar,
    Last,
    Present,
    Absent,
}

/// `by` or `without` these labels.
#[derive(Debug, Clone, Default)]
pub(super) struct Grouping {
    /// Whether the labels stay, rather than go.
    pub(super) by: bool,
    pub(super) labels: Vec<String>,
}

impl Grouping {
    pub(super) fn keeps(&self, label: &str) -> bool {
        self.labels.iter().any(|known| known == label) == self.by
    }
}

/// Aggregation operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregator {
    Sum,
    Min,
    Max,
    Avg,
    Count,
    Group,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    LimitK,
    Quantile,
    CountValues,
}

#[derive(Debug)]
pub(super) struct Aggregate {
    pub(super) operator: Aggregator,
    pub(super) grouping: Grouping,
    pub(super) parameter: Option<Node>,
    pub(super) inner: Node,
}

/// Operators between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    And,
    Or,
    Unless,
}

impl Operator {
    /// What an operator that computes makes of two numbers; what compares makes 0 or 1.
    pub(super) fn apply(self, left: f64, right: f64) -> f64 {
        let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Modulo => left % right,
            Self::Power => left.powf(right),
            Self::Atan2 => left.atan2(right),
            Self::Equal => truth(left == right),
            Self::NotEqual => truth(left != right),
            Self::Greater => truth(left > right),
            Self::Less => truth(left < right),
            Self::GreaterOrEqual => truth(left >= right),
            Self::LessOrEqual => truth(left <= right),
            Self::And | Self::Or | Self::Unless => f64::NAN,
        }
    }

    pub(super) fn compares(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Greater
                | Self::Less
                | Self::GreaterOrEqual
                | Self::LessOrEqual
        )
    }

    pub(super) fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// How many series of each side a pair may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// One of either.
    Both,
    /// Many on the left: `group_left`.
    Left,
    /// Many on the right: `group_right`.
    Right,
}

#[derive(Debug)]
pub(super) struct Binary {
    pub(super) operator: Operator,
    pub(super) left: Node,
    pub(super) right: Node,
    /// Comparisons answer 0 or 1, rather than leave out.
    pub(super) as_bool: bool,
    /// Which labels make a pair.
    pub(super) on: Grouping,
    pub(super) many: Side,
    /// Labels that the many get from the one.
    pub(super) included: Vec<String>,
}

/// Functions of instant vectors and numbers.
#[derive(Debug)]
pub(super) enum Call {
    /// Value by value.
    Map(fn(f64) -> f64),
    /// The same with a number, or two.
    Map1(fn(f64, f64) -> f64),
    Map2(fn(f64, f64, f64) -> f64),
    /// Parts of a value as a time, in seconds since the epoch.
    Calendar(fn(&jiff::Zoned) -> f64),
    Timestamp,
    Absent,
    Scalar,
    Vector,
    /// Order counts in answers for one instant.
    Sort {
        descending: bool,
    },
    SortByLabel {
        labels: Vec<String>,
        descending: bool,
    },
    LabelReplace {
        target: String,
        replacement: String,
        source: String,
        regex: Regex,
    },
    LabelJoin {
        target: String,
        separator: String,
        sources: Vec<String>,
    },
    HistogramQuantile,
    HistogramFraction,
}
