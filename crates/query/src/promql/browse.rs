//! Which series there are, and which labels they have.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use promql_parser::parser::Expr;
use store::ServiceRow;

use super::Planned;
use super::counted::Counted;
use super::demand::{Demands, names_services};
use super::error::PromqlError;
use super::eval::Evaluation;
use super::lower::Lowering;
use super::metrics::{METRICS, Metric, Part};
use super::syntax;
use super::tree::{Aggregate, Aggregator, Grouping, Increase, Node, Selector, Shift};
use super::value::{Budget, Grid, Labels, METRIC_NAME, Vector};

/// The most selectors of a request.
const SELECTORS_MAX: usize = 32;

/// Times to look at, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub start_ms: i64,
    /// The last.
    pub end_ms: i64,
}

/// What is to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// The labels of series.
    Series,
    /// Names of labels.
    Names,
    /// Values of a label.
    Values(String),
}

/// What was found, in order and none twice.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The labels of series.
    Series(Vec<Labels>),
    /// Names or values.
    Texts(Vec<String>),
}

/// A look at series that count something in a range.
#[derive(Debug)]
pub struct Browse {
    listed: Listed,
    /// What may count something, of one metric each where values are listed.
    nodes: Vec<Node>,
    metrics: Vec<&'static Metric>,
    grid: Grid,
    /// What there is whether it counts something or not.
    known: BTreeSet<String>,
}

impl Browse {
    /// Understands what series to look at, from selectors as the parameter `match[]` has them; at
    /// most 32. Without any, all names of labels and of metrics are listed, whether they count
    /// something or not.
    ///
    /// # Errors
    /// What is wrong, and where; what is more than a selector; too many of them.
    pub fn of<'a>(
        listed: Listed,
        texts: impl Iterator<Item = &'a str>,
        range: Range,
    ) -> Result<Self, PromqlError> {
        let selectors = selectors(texts)?;
        let mut browse = Self {
            nodes: Vec::new(),
            metrics: Vec::new(),
            grid: Grid::instant(range.end_ms),
            known: BTreeSet::new(),
            listed,
        };
        match (&browse.listed, selectors.is_empty()) {
            (Listed::Names, true) => {
                let labels = METRICS.iter().flat_map(|metric| metric.labels());
                browse.known = labels.chain([METRIC_NAME]).map(str::to_owned).collect();
            }
            (Listed::Values(label), true) if label == METRIC_NAME => {
                browse.known = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
            }
            (Listed::Values(label), is_any) => {
                let selectors = if is_any { vec![having(label)] } else { selectors };
                let is_name = label == METRIC_NAME;
                let each = selectors.iter().flat_map(|selector| {
                    selector.metrics.iter().map(move |metric| (*metric, selector))
                });
                for (metric, selector) in each {
                    if is_name || metric.labels().contains(&label.as_str()) {
                        let one = Selector { metrics: vec![metric], ..selector.clone() };
                        // Added up by the label, so that no other has to be told apart.
                        let sum = counter(one, range).map(|node| sum_by(label, node));
                        browse.metrics.extend(sum.is_some().then_some(metric));
                        browse.nodes.extend(sum);
                    }
                }
            }
            _ => {
                let nodes = selectors.into_iter().filter_map(|selector| counter(selector, range));
                browse.nodes = nodes.collect();
            }
        }
        Ok(browse)
    }

    /// What there is. Ends soon after `stop` is set.
    ///
    /// # Errors
    /// Too many series.
    pub fn found(&self, counted: &Counted, stop: &AtomicBool) -> Result<Found, PromqlError> {
        let evaluation = Evaluation { counted, budget: Budget::new(stop) };
        match &self.listed {
            Listed::Series => self.series(&evaluation),
            Listed::Names => self.names(&evaluation),
            Listed::Values(label) => self.values(label, &evaluation),
        }
    }

    fn series(&self, evaluation: &Evaluation) -> Result<Found, PromqlError> {
        let mut all = evaluation.budget.vector();
        for node in &self.nodes {
            all.absorb(self.increases(node, evaluation)?);
        }
        let labels: BTreeSet<Labels> = all.series.drain(..).map(|series| series.labels).collect();
        Ok(Found::Series(labels.into_iter().collect()))
    }

    fn names(&self, evaluation: &Evaluation) -> Result<Found, PromqlError> {
        let mut names = self.known.clone();
        for node in &self.nodes {
            for series in &self.increases(node, evaluation)?.series {
                let new = series.labels.iter().map(|(name, _)| name);
                let new: Vec<&str> = new.filter(|name| !names.contains(*name)).collect();
                names.extend(new.into_iter().map(str::to_owned));
            }
        }
        Ok(Found::Texts(names.into_iter().collect()))
    }

    fn values(&self, label: &str, evaluation: &Evaluation) -> Result<Found, PromqlError> {
        let mut values = self.known.clone();
        for (metric, sum) in self.metrics.iter().zip(&self.nodes) {
            for series in &evaluation.vector(sum, self.grid)?.series {
                let is_name = label == METRIC_NAME;
                let value = if is_name { metric.name } else { series.labels.get(label) };
                if !values.contains(value) {
                    values.insert(value.to_owned());
                }
            }
        }
        values.remove("");
        Ok(Found::Texts(values.into_iter().collect()))
    }

    /// Series with the names of their metrics, which an expression would not leave them.
    fn increases(&self, node: &Node, evaluation: &Evaluation) -> Result<Vector, PromqlError> {
        match node {
            Node::Increase(increase) => {
                evaluation.counted.increases(increase, self.grid, &evaluation.budget)
            }
            _ => Ok(evaluation.budget.vector()),
        }
    }
}

impl Planned for Browse {
    fn names_services(&self) -> bool {
        self.nodes.iter().any(names_services)
    }

    fn demands(&self, services: &[ServiceRow], stop: &AtomicBool) -> Result<Demands, PromqlError> {
        let mut demands = Demands::default();
        for node in &self.nodes {
            demands.add(node, self.grid, services, stop)?;
        }
        Ok(demands)
    }
}

/// Understands selectors.
fn selectors<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<Selector>, PromqlError> {
    let grid = Grid::instant(0);
    let (mut selectors, mut regexes) = (Vec::new(), 0);
    for text in texts {
        if selectors.len() == SELECTORS_MAX {
            let problem = format!("there are more than {SELECTORS_MAX} selectors");
            return Err(PromqlError::query(problem));
        }
        let expr = syntax::parse(text)?;
        let Expr::VectorSelector(_) = &expr else {
            let problem = format!("{text:?} is more than a selector of series");
            return Err(PromqlError::query(problem));
        };
        if let Node::Selector(selector) = (Lowering { text, grid }).node(&expr)? {
            regexes += selector.matchers.iter().filter(|matcher| matcher.is_regex()).count();
            selectors.push(selector);
        }
        if regexes > syntax::REGEXES_MAX {
            return Err(syntax::too_many_regexes());
        }
    }
    Ok(selectors)
}

/// As few metrics as have all values of a label.
fn having(label: &str) -> Selector {
    let suffices = |metric: &&Metric| metric.part == Part::Calls || label == "le";
    let metrics = METRICS.iter().filter(suffices).collect();
    Selector { metrics, matchers: Vec::new(), shift: Shift::default() }
}

/// What a selector counts in a range, its start included; `None` for an empty range.
fn counter(selector: Selector, range: Range) -> Option<Node> {
    let start_ms = range.start_ms.max(0).saturating_sub(1);
    let range_ms = range.end_ms.checked_sub(start_ms).filter(|length| *length > 0)?;
    let selector = Selector { shift: Shift::default(), ..selector };
    Some(Node::Increase(Increase { selector, range_ms, per_second: false }))
}

fn sum_by(label: &str, inner: Node) -> Node {
    let grouping = Grouping { by: true, labels: vec![label.to_owned()] };
    let operator = Aggregator::Sum;
    Node::Aggregate(Box::new(Aggregate { operator, grouping, parameter: None, inner }))
}
