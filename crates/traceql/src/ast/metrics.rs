//! Series over time, and hints.

use super::{CompareOp, Field, FieldExpr, Pipeline, Static};

/// Series, and what is done with them.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricsQuery {
    /// `{ … } | rate() by(…)`.
    Leaf(MetricsLeaf),
    /// A constant; only ever a side of [`MetricsQuery::Binary`].
    Scalar(f64),
    /// `(…) / (…)`: series of equal labels, one with the other.
    Binary {
        /// The operator.
        op: MathOp,
        /// Left of the operator.
        left: Box<MetricsQuery>,
        /// Right of the operator.
        right: Box<MetricsQuery>,
    },
    /// `… | topk(n)`: the `n` greatest at every time.
    TopK {
        /// At least 1.
        n: u64,
        /// Of which series.
        inner: Box<MetricsQuery>,
    },
    /// `… | bottomk(n)`: the `n` least at every time.
    BottomK {
        /// At least 1.
        n: u64,
        /// Of which series.
        inner: Box<MetricsQuery>,
    },
    /// `… > 10`: the points for which this holds.
    Filter {
        /// The operator.
        op: CompareOp,
        /// What points are compared to; a duration is in seconds.
        value: f64,
        /// Of which series.
        inner: Box<MetricsQuery>,
    },
}

/// A pipeline whose spans are counted over time.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsLeaf {
    /// Where spans come from.
    pub pipeline: Pipeline,
    /// What is computed of them.
    pub function: MetricsFunction,
    /// What has a series each; empty for one series.
    pub by: Vec<Field>,
}

/// What is computed per step and group.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricsFunction {
    /// `rate()`: spans a second.
    Rate,
    /// `count_over_time()`: spans.
    CountOverTime,
    /// `min_over_time(field)` and its kin.
    OverTime(OverTime, Field),
    /// `quantile_over_time(field, q, …)`.
    Quantile {
        /// Of what.
        field: Field,
        /// At least one, each from 0 to 1.
        quantiles: Vec<f64>,
    },
    /// `histogram_over_time(field)`.
    Histogram(Field),
    /// `compare({ selection }, top_n, start, end)`: attribute values of the selected spans against
    /// those of the others.
    Compare {
        /// Which spans are the selection.
        selection: FieldExpr,
        /// Values kept per attribute, 1 to 1000.
        top_n: u64,
        /// The selection's spans start at the first of these times or later, and before the second,
        /// nanoseconds since the epoch; `None` is any time.
        range: Option<(i64, i64)>,
    },
}

/// The aggregations over a field's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OverTime {
    /// `min_over_time`.
    Min,
    /// `max_over_time`.
    Max,
    /// `avg_over_time`.
    Avg,
    /// `sum_over_time`.
    Sum,
}

impl OverTime {
    /// All.
    pub const ALL: [Self; 4] = [Self::Min, Self::Max, Self::Avg, Self::Sum];

    /// The function's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Min => "min_over_time",
            Self::Max => "max_over_time",
            Self::Avg => "avg_over_time",
            Self::Sum => "sum_over_time",
        }
    }
}

impl MetricsFunction {
    /// The function's name, which is the name of a series without labels.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::CountOverTime => "count_over_time",
            Self::OverTime(function, _) => function.name(),
            Self::Quantile { .. } => "quantile_over_time",
            Self::Histogram(_) => "histogram_over_time",
            Self::Compare { .. } => "compare",
        }
    }
}

/// The operators between series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MathOp {
    /// `+`.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
    /// `/`; by zero is no value.
    Divide,
}

impl MathOp {
    /// All.
    pub const ALL: [Self; 4] = [Self::Add, Self::Subtract, Self::Multiply, Self::Divide];

    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }

    /// The operation on two points; division by zero is NaN.
    pub fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide if right == 0.0 => f64::NAN,
            Self::Divide => left / right,
        }
    }
}

/// `with(…)`: advice that a query carries. Results do not depend on it but for what it names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hints {
    /// `most_recent`: the newest traces.
    pub most_recent: Option<bool>,
    /// `exemplars`: whether, or how many.
    pub exemplars: Option<Exemplars>,
    /// `sample`: may metrics be computed of a part of the spans.
    pub sample: Option<Sampling>,
    /// `span_sample`: the part of spans to use.
    pub span_sample: Option<f64>,
    /// `trace_sample`: the part of traces to use.
    pub trace_sample: Option<f64>,
    /// `extrapolate`: weigh spans by what their trace state says of sampling.
    pub extrapolate: Option<bool>,
    /// Names that the language does not know, and values that say nothing: they have no effect.
    pub ignored: Vec<(String, Static)>,
}

/// The value of `exemplars`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exemplars {
    /// With the default number of exemplars, or without any.
    Switch(bool),
    /// At most so many.
    Count(u64),
}

/// The value of `sample`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// As much as the engine thinks right, or none.
    Switch(bool),
    /// This part, more than 0 and at most 1.
    Part(f64),
}
