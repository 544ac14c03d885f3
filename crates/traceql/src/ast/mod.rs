//! The tree of a query. Every part prints as text that parses back to the same part.

mod field;
mod metrics;
mod value;
mod visit;

pub use field::{Attribute, CompareOp, Field, FieldExpr, Intrinsic, Scope};
pub use metrics::{
    Exemplars, Hints, MathOp, MetricsFunction, MetricsLeaf, MetricsQuery, OverTime, Sampling,
};
pub use value::{ArithmeticOp, Kind, Static, Status};

/// A query: what to find or compute, and advice on how.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// What is asked.
    pub kind: QueryKind,
    /// `with(…)`.
    pub hints: Hints,
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryKind {
    /// Spansets of traces.
    Search(Pipeline),
    /// Series over time.
    Metrics(MetricsQuery),
}

/// Stages joined by `|`, of which each takes the spansets that the one before it leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// At least one.
    pub stages: Vec<Stage>,
}

/// A stage of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// `{ … }` and what joins such filters.
    Spansets(SpansetExpr),
    /// `count() > 2`: keeps or drops whole spansets.
    Filter(ScalarFilter),
    /// `by(expr)`: splits each spanset by a value.
    By(FieldExpr),
    /// `coalesce()`: one spanset again.
    Coalesce,
    /// `select(a, b)`: values to return with the spans; at least one.
    Select(Vec<Field>),
}

/// Which spans of one trace.
#[derive(Debug, Clone, PartialEq)]
pub enum SpansetExpr {
    /// `{ expr }`; `{}` is `{ true }`.
    Filter(FieldExpr),
    /// `A && B && …`, at least two: the spans of all, if all have some. A [`SpansetExpr::Not`]
    /// among them is a condition and contributes no spans, unless all are.
    And(Vec<SpansetExpr>),
    /// `A || B || …`, at least two: the spans of all.
    Or(Vec<SpansetExpr>),
    /// `A > B` and its kin: spans of `right` by their relation to spans of `left`.
    Structural {
        /// How a span of `right` has to lie to one of `left`.
        relation: Relation,
        /// Whether such a partner has to exist, and whose spans result.
        mode: Mode,
        /// The partners.
        left: Box<SpansetExpr>,
        /// The spans that result.
        right: Box<SpansetExpr>,
    },
    /// `!A`: every span of the trace if `A` has none, else no span.
    Not(Box<SpansetExpr>),
    /// `({ … } | count() > 2)`: what a whole pipeline leaves.
    Pipeline(Pipeline),
}

/// What a span on the right of a structural operator is to one on the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// `>`: its direct child.
    Child,
    /// `>>`: below it.
    Descendant,
    /// `<`: its direct parent.
    Parent,
    /// `<<`: above it.
    Ancestor,
    /// `~`: another child of the same parent.
    Sibling,
}

/// The form of a structural operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// `>`: spans of the right side that have a partner on the left.
    Plain,
    /// `!>`: spans of the right side that have none.
    Not,
    /// `&>`: spans of both sides that have a partner on the other.
    Union,
}

impl Relation {
    /// All, in the order of the language's description.
    pub const ALL: [Self; 5] =
        [Self::Child, Self::Descendant, Self::Parent, Self::Ancestor, Self::Sibling];

    /// The operator, without the mark of a mode.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Child => ">",
            Self::Descendant => ">>",
            Self::Parent => "<",
            Self::Ancestor => "<<",
            Self::Sibling => "~",
        }
    }
}

impl Mode {
    /// All.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Not, Self::Union];

    /// What stands in front of the relation.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Not => "!",
            Self::Union => "&",
        }
    }
}

/// `left op right` over values of a whole spanset; at least one side has an aggregate.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalarFilter {
    /// Left of the operator.
    pub left: Scalar,
    /// The operator.
    pub op: CompareOp,
    /// Right of the operator.
    pub right: Scalar,
}

/// A number computed from a spanset.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// An integer, a float or a duration.
    Static(Static),
    /// `avg(duration)`.
    Aggregate(Aggregate),
    /// `left op right`.
    Arithmetic {
        /// The operator.
        op: ArithmeticOp,
        /// Left of the operator.
        left: Box<Scalar>,
        /// Right of the operator.
        right: Box<Scalar>,
    },
    /// `-inner`.
    Negate(Box<Scalar>),
}

/// A function over the spans of a spanset. Prints as the name of the attribute that a filter adds
/// to the spanset: `count()`, `avg(duration)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The function.
    pub function: AggregateFunction,
    /// What is aggregated; `None` for `count` alone.
    pub expr: Option<FieldExpr>,
}

/// The functions over spansets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// The number of spans.
    Count,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The mean, a float.
    Avg,
    /// The sum.
    Sum,
}

impl AggregateFunction {
    /// All.
    pub const ALL: [Self; 5] = [Self::Count, Self::Min, Self::Max, Self::Avg, Self::Sum];

    /// The function's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Avg => "avg",
            Self::Sum => "sum",
        }
    }
}
