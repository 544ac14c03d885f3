//! Which series there are, and which labels they have.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use promql_parser::parser::Expr;
use store::Store;

use super::counted::Counted;
use super::demand::Demands;
use super::error::PromqlError;
use super::eval::Evaluation;
use super::lower::Lowering;
use super::metrics::{METRICS, Metric, Part};
use super::syntax;
use super::tree::{Aggregate, Aggregator, Grouping, Increase, Node, Selector};
use super::value::{Budget, Grid, Labels, METRIC_NAME};

/// Times to look at, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub start_ms: i64,
    /// The last.
    pub end_ms: i64,
}

/// Series selectors, as the parameter `match[]` has them.
#[derive(Debug)]
pub struct Selectors(Vec<Selector>);

impl Selectors {
    /// Understands some of them.
    ///
    /// # Errors
    /// What is wrong, and where; what is more than a selector.
    pub fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, PromqlError> {
        let grid = Grid::instant(0);
        let mut selectors = Vec::new();
        for text in texts {
            match (syntax::parse(text)?, Lowering { text, grid }) {
                (expr @ Expr::VectorSelector(_), lowering) => {
                    if let Node::Selector(selector) = lowering.node(&expr)? {
                        selectors.push(selector);
                    }
                }
                _ => {
                    let problem = format!("{text:?} is more than a selector of series");
                    return Err(PromqlError::query(problem));
                }
            }
        }
        Ok(Self(selectors))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As few metrics as have all values of a label.
    fn having(label: &str) -> Self {
        let suffices = |metric: &&Metric| metric.part == Part::Calls || label == "le";
        let metrics = METRICS.iter().filter(suffices).collect();
        Self(vec![Selector { metrics, matchers: Vec::new(), shift: Default::default() }])
    }
}

/// The labels of all series that count something in a range, in order, and whether a damaged block
/// was left out.
///
/// # Errors
/// Too many series, and what the store refuses.
pub async fn series(
    store: &dyn Store,
    selectors: Selectors,
    range: Range,
) -> Result<(Vec<Labels>, bool), PromqlError> {
    let Some((nodes, grid)) = counters(selectors, range) else { return Ok((Vec::new(), false)) };
    let counted = count(store, &nodes, grid).await?;
    let stop = AtomicBool::new(false);
    let budget = Budget::new(&stop);
    let mut found = BTreeSet::new();
    for node in &nodes {
        let Node::Increase(increase) = node else { continue };
        let mut vector = counted.increases(increase, grid, &budget)?;
        found.extend(vector.series.drain(..).map(|series| series.labels));
    }
    Ok((found.into_iter().collect(), counted.is_partial()))
}

/// The names of labels of series that count something in a range; of all there may be without
/// selectors.
///
/// # Errors
/// As [`series`].
pub async fn label_names(
    store: &dyn Store,
    selectors: Selectors,
    range: Range,
) -> Result<(Vec<String>, bool), PromqlError> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    if selectors.is_empty() {
        names.insert(METRIC_NAME.to_owned());
        let labels = METRICS.iter().flat_map(|metric| metric.labels());
        names.extend(labels.map(str::to_owned));
        return Ok((names.into_iter().collect(), false));
    }
    let (found, partial) = series(store, selectors, range).await?;
    names.extend(found.iter().flat_map(Labels::iter).map(|(name, _)| name.to_owned()));
    Ok((names.into_iter().collect(), partial))
}

/// The values of a label in series that count something in a range. Without selectors all metrics
/// are named, whether they count something or not.
///
/// # Errors
/// As [`series`].
pub async fn label_values(
    store: &dyn Store,
    label: &str,
    selectors: Selectors,
    range: Range,
) -> Result<(Vec<String>, bool), PromqlError> {
    if selectors.is_empty() && label == METRIC_NAME {
        let names: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        return Ok((names.into_iter().map(str::to_owned).collect(), false));
    }
    let selectors = if selectors.is_empty() { Selectors::having(label) } else { selectors };
    let is_name = label == METRIC_NAME;
    let mut metrics = Vec::new();
    for selector in selectors.0 {
        for metric in selector.metrics.iter().copied() {
            if is_name || metric.labels().contains(&label) {
                metrics.push((metric, Selector { metrics: vec![metric], ..selector.clone() }));
            }
        }
    }
    let (metrics, selectors): (Vec<_>, Vec<_>) = metrics.into_iter().unzip();
    let Some((nodes, grid)) = counters(Selectors(selectors), range) else {
        return Ok((Vec::new(), false));
    };
    // Added up by the label, so that no other has to be told apart.
    let sums: Vec<Node> = nodes.into_iter().map(|node| sum_by(label, node)).collect();
    let counted = count(store, &sums, grid).await?;
    let stop = AtomicBool::new(false);
    let evaluation = Evaluation { counted: &counted, budget: Budget::new(&stop) };
    let mut values = BTreeSet::new();
    for (metric, sum) in metrics.into_iter().zip(&sums) {
        for series in &evaluation.vector(sum, grid)?.series {
            let value = if is_name { metric.name } else { series.labels.get(label) };
            values.insert(value.to_owned());
        }
    }
    values.remove("");
    Ok((values.into_iter().collect(), counted.is_partial()))
}

fn sum_by(label: &str, inner: Node) -> Node {
    let grouping = Grouping { by: true, labels: vec![label.to_owned()] };
    let operator = Aggregator::Sum;
    Node::Aggregate(Box::new(Aggregate { operator, grouping, parameter: None, inner }))
}

/// Has the store count what expressions need.
async fn count(store: &dyn Store, nodes: &[Node], grid: Grid) -> Result<Counted, PromqlError> {
    let services = store.services().await.map_err(|error| PromqlError::store(error.to_string()))?;
    let mut demands = Demands::default();
    for node in nodes {
        demands.add(node, grid, &services)?;
    }
    demands.count(store).await
}

/// What each selector counts in a range, its start included; `None` for an empty range.
fn counters(selectors: Selectors, range: Range) -> Option<(Vec<Node>, Grid)> {
    let start_ms = range.start_ms.max(0).saturating_sub(1);
    let range_ms = range.end_ms.checked_sub(start_ms).filter(|length| *length > 0)?;
    let increases = selectors.0.into_iter().map(|selector| {
        let selector = Selector { shift: Default::default(), ..selector };
        Node::Increase(Increase { selector, range_ms, per_second: false })
    });
    Some((increases.collect(), Grid::instant(range.end_ms)))
}
