//! PromQL over metrics of traces: what a query needs is counted by the store, in one request for
//! each family of metrics, and everything else is computed here, in memory.
//!
//! Counters are exact. `rate(x[5m])` is what ended in the five minutes before a step, divided by
//! 300 seconds; nothing is scraped and nothing extrapolated. What a counter stands at is how much
//! it counted since the beginning of what is stored. Functions that look at single values of a
//! range see one every 15 seconds.
//!
//! [`Plan::of`] understands a query, [`Demands::count`] asks the store for what it needs, and
//! [`Plan::evaluate`] computes. [`Browse`] does the same for names of series and of labels. All but
//! the counting may take seconds of a processor's time and does not wait for anything.

mod aggregate;
mod binary;
mod browse;
mod calls;
mod counted;
mod demand;
mod error;
mod eval;
mod exemplars;
mod histogram;
mod lower;
mod matchers;
mod metrics;
mod over_time;
mod relabel;
mod syntax;
mod tokens;
mod tree;
mod value;

#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicBool;

use store::ServiceRow;

pub use aggregate::number_text;
pub use browse::{Browse, Found, Listed, Range};
pub use counted::Counted;
pub use demand::Demands;
pub use error::{PromqlError, PromqlFault};
pub use exemplars::{Exemplar, ExemplarSeries, Exemplars, FoundExemplars};
pub use metrics::{Description, descriptions};
pub use value::{Grid, Labels, METRIC_NAME};

use eval::{Evaluation, Value};
use lower::Lowering;
use tree::{Aggregator, Call, Node};
use value::{Budget, Vector, is_absent};

/// The most steps of a query, as in Prometheus.
pub const STEPS_MAX: usize = 11_000;

/// What is understood, and needs something to be counted before it has an answer.
pub trait Planned: Send + 'static {
    /// Whether it has to be known which services there are.
    fn names_services(&self) -> bool;

    /// What has to be counted; `services` are those that there are. Ends soon after `stop` is set.
    ///
    /// # Errors
    /// Too many instants.
    fn demands(&self, services: &[ServiceRow], stop: &AtomicBool) -> Result<Demands, PromqlError>;
}

/// A query that is understood.
#[derive(Debug)]
pub struct Plan {
    root: Node,
    grid: Grid,
    is_instant: bool,
}

/// A series of an answer: times in milliseconds since the epoch, and values.
#[derive(Debug, Clone, PartialEq)]
pub struct AnsweredSeries {
    /// Its labels, the metric's name among them.
    pub labels: Labels,
    /// Its points, in order of time.
    pub points: Vec<(i64, f64)>,
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A number, of a query for one instant.
    Scalar(i64, f64),
    /// A text, of a query for one instant.
    Text(i64, String),
    /// Series with one point each.
    Vector(Vec<AnsweredSeries>),
    /// Series with points over time.
    Matrix(Vec<AnsweredSeries>),
}

impl Plan {
    /// Understands a query for the steps of a grid, or for one instant.
    ///
    /// # Errors
    /// What is wrong with the query and where, or what of it is not served.
    pub fn of(text: &str, grid: Grid, is_instant: bool) -> Result<Self, PromqlError> {
        let root = Lowering { text, grid }.node(&syntax::parse(text)?)?;
        if !is_instant && matches!(root, Node::Text(_) | Node::Window(_)) {
            let kind = if matches!(root, Node::Text(_)) { "string" } else { "range vector" };
            return Err(PromqlError::query(format!(
                "invalid expression type \"{kind}\" for range query, must be Scalar or instant \
                 Vector"
            )));
        }
        Ok(Self { root, grid, is_instant })
    }

    /// Computes the answer. Ends soon after `stop` is set.
    ///
    /// # Errors
    /// Series that do not fit each other, and too many of them.
    pub fn evaluate(&self, counted: &Counted, stop: &AtomicBool) -> Result<Answer, PromqlError> {
        let evaluation = Evaluation { counted, budget: Budget::new(stop) };
        let grid = self.grid;
        if let Node::Window(window) = &self.root {
            let (instants, vector) = evaluation.window(window, grid)?;
            return Ok(Answer::Matrix(answered(vector, instants, true)));
        }
        match evaluation.value(&self.root, grid)? {
            Value::Text(text) => Ok(Answer::Text(grid.start_ms, text)),
            Value::Scalar(numbers) if self.is_instant => {
                Ok(Answer::Scalar(grid.start_ms, numbers.first().copied().unwrap_or(f64::NAN)))
            }
            Value::Scalar(numbers) => {
                let points = grid.times().zip(numbers).collect();
                Ok(Answer::Matrix(vec![AnsweredSeries { labels: Labels::default(), points }]))
            }
            Value::Vector(vector) if self.is_instant => {
                Ok(Answer::Vector(answered(vector, grid, !is_ordered(&self.root))))
            }
            Value::Vector(vector) => Ok(Answer::Matrix(answered(vector, grid, true))),
        }
    }
}

impl Planned for Plan {
    fn names_services(&self) -> bool {
        demand::names_services(&self.root)
    }

    fn demands(&self, services: &[ServiceRow], stop: &AtomicBool) -> Result<Demands, PromqlError> {
        let mut demands = Demands::default();
        demands.add(&self.root, self.grid, services, stop)?;
        Ok(demands)
    }
}

/// A query as people lay it out.
///
/// # Errors
/// What is wrong with it, and where.
pub fn formatted(text: &str) -> Result<String, PromqlError> {
    syntax::parse(text).map(|expr| expr.prettify())
}

/// A duration in milliseconds: seconds as a number, or as in PromQL, such as `1h30m`. `None` for
/// what is neither, below zero, or longer than a hundred years.
pub fn duration_ms(text: &str) -> Option<i64> {
    const SECONDS_MAX: f64 = 100.0 * 365.0 * 24.0 * 3600.0;
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => promql_parser::util::parse_duration(text).ok()?.as_secs_f64(),
    };
    (0.0..=SECONDS_MAX).contains(&seconds).then(|| (seconds * 1000.0).round() as i64)
}

/// Whether the order of an instant's series means something.
fn is_ordered(node: &Node) -> bool {
    match node {
        Node::Call(call, _) => matches!(call, Call::Sort { .. } | Call::SortByLabel { .. }),
        Node::Aggregate(node) => {
            matches!(node.operator, Aggregator::TopK | Aggregator::BottomK)
        }
        _ => false,
    }
}

fn answered(mut vector: Vector, grid: Grid, sorted: bool) -> Vec<AnsweredSeries> {
    if sorted {
        vector.series.sort_by(|one, other| one.labels.cmp(&other.labels));
    }
    let answered = vector.series.drain(..).map(|series| AnsweredSeries {
        labels: series.labels,
        points: grid.times().zip(series.values).filter(|(_, value)| !is_absent(*value)).collect(),
    });
    answered.filter(|series| !series.points.is_empty()).collect()
}
