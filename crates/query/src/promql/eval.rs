//! Expressions over all steps of a grid at a time.

use super::aggregate;
use super::binary;
use super::calls::calendar;
use super::counted::Counted;
use super::error::PromqlError;
use super::histogram;
use super::over_time;
use super::relabel;
use super::tree::{Call, Node, Operator, Selector, Window};
use super::value::{ABSENT, Budget, Grid, Labels, METRIC_NAME, Series, Vector, is_absent};

/// What an expression is worth.
pub(super) enum Value {
    /// A number for each step.
    Scalar(Vec<f64>),
    Vector(Vector),
    Text(String),
}

/// What expressions are evaluated with.
pub(super) struct Evaluation<'a> {
    pub(super) counted: &'a Counted,
    pub(super) budget: Budget<'a>,
}

impl Evaluation<'_> {
    /// The value of an expression over a grid.
    pub(super) fn value(&self, node: &Node, grid: Grid) -> Result<Value, PromqlError> {
        match node {
            Node::Text(text) => Ok(Value::Text(text.clone())),
            node if node.is_scalar() => self.scalar(node, grid).map(Value::Scalar),
            node => self.vector(node, grid).map(Value::Vector),
        }
    }

    /// The numbers of an expression that is one for each step.
    pub(super) fn scalar(&self, node: &Node, grid: Grid) -> Result<Vec<f64>, PromqlError> {
        match node {
            Node::Number(number) => Ok(vec![*number; grid.count]),
            Node::Time => Ok(grid.times().map(|time| time as f64 / 1000.0).collect()),
            Node::Negate(inner) => {
                let mut numbers = self.scalar(inner, grid)?;
                numbers.iter_mut().for_each(|number| *number = -*number);
                Ok(numbers)
            }
            Node::Binary(binary) => {
                self.scalars(binary.operator, &binary.left, &binary.right, grid)
            }
            Node::Call(Call::Scalar, nodes) => self.only(nodes, grid),
            _ => Err(PromqlError::query("expected type scalar")),
        }
    }

    fn scalars(
        &self,
        operator: Operator,
        left: &Node,
        right: &Node,
        grid: Grid,
    ) -> Result<Vec<f64>, PromqlError> {
        let (mut left, right) = (self.scalar(left, grid)?, self.scalar(right, grid)?);
        let pairs = left.iter_mut().zip(right);
        pairs.for_each(|(left, right)| *left = operator.apply(*left, right));
        Ok(left)
    }

    /// The value of the only series at each step; NaN where there is another number of them.
    fn only(&self, nodes: &[Node], grid: Grid) -> Result<Vec<f64>, PromqlError> {
        let vector = self.first(nodes, grid)?;
        let at = |step: usize| {
            let mut values = present(&vector, step);
            match (values.next(), values.next()) {
                (Some((_, value)), None) => value,
                _ => f64::NAN,
            }
        };
        Ok((0..grid.count).map(at).collect())
    }

    /// The series of an expression.
    pub(super) fn vector(&self, node: &Node, grid: Grid) -> Result<Vector, PromqlError> {
        match node {
            Node::Selector(selector) => {
                let seen = selector.shift.apply(grid);
                let vector = self.counted.instants(selector, seen, &self.budget)?;
                self.spread(vector, seen, grid)
            }
            Node::Increase(increase) => {
                let seen = increase.selector.shift.apply(grid);
                let mut vector = self.counted.increases(increase, seen, &self.budget)?;
                drop_name(&mut vector)?;
                self.spread(vector, seen, grid)
            }
            Node::Window(_) | Node::Text(_) => {
                Err(PromqlError::query("expected type instant vector"))
            }
            Node::Over(function, window, parameter) => {
                let parameter = match parameter {
                    Some(parameter) => self.scalar(parameter, grid)?,
                    None => Vec::new(),
                };
                let (instants, inner) = self.window(window, grid)?;
                let seen = window.shift.apply(grid);
                let vector = over_time::evaluate(
                    *function,
                    window,
                    instants,
                    &inner,
                    seen,
                    &parameter,
                    &self.budget,
                )?;
                self.spread(vector, seen, grid)
            }
            Node::Negate(inner) => {
                let mut vector = self.vector(inner, grid)?;
                map(&mut vector, |value, _| -value)?;
                Ok(vector)
            }
            Node::Aggregate(node) => {
                let parameter = match &node.parameter {
                    Some(Node::Text(_)) | None => Vec::new(),
                    Some(parameter) => self.scalar(parameter, grid)?,
                };
                let inner = self.vector(&node.inner, grid)?;
                aggregate::evaluate(node, inner, &parameter, grid, &self.budget)
            }
            Node::Binary(node) => self.binary(node, grid),
            Node::Call(call, nodes) => self.call(call, nodes, grid),
            scalar => {
                let values = self.scalar(scalar, grid)?;
                let mut vector = self.budget.vector();
                self.budget.push(&mut vector, Labels::default(), values)?;
                Ok(vector)
            }
        }
    }

    fn binary(&self, node: &super::tree::Binary, grid: Grid) -> Result<Vector, PromqlError> {
        match (node.left.is_scalar(), node.right.is_scalar()) {
            (true, _) => {
                let scalar = self.scalar(&node.left, grid)?;
                let vector = self.vector(&node.right, grid)?;
                binary::with_scalar(node, vector, |step, value| (scalar[step], value))
            }
            (_, true) => {
                let scalar = self.scalar(&node.right, grid)?;
                let vector = self.vector(&node.left, grid)?;
                binary::with_scalar(node, vector, |step, value| (value, scalar[step]))
            }
            _ => {
                let left = self.vector(&node.left, grid)?;
                let right = self.vector(&node.right, grid)?;
                binary::evaluate(node, left, right, grid, &self.budget)
            }
        }
    }

    /// The values of a window's expression at all instants that any step looks at.
    pub(super) fn window(
        &self,
        window: &Window,
        grid: Grid,
    ) -> Result<(Grid, Vector), PromqlError> {
        let instants = window.instants(grid);
        let inner = match instants.count {
            0 => self.budget.vector(),
            _ => self.vector(&window.inner, instants)?,
        };
        Ok((instants, inner))
    }

    /// Repeats what was evaluated at one instant for all steps.
    fn spread(&self, mut vector: Vector, seen: Grid, grid: Grid) -> Result<Vector, PromqlError> {
        if seen.count == grid.count {
            return Ok(vector);
        }
        let mut spread = self.budget.vector();
        for series in vector.series.drain(..) {
            let value = series.values.first().copied().unwrap_or(ABSENT);
            self.budget.push(&mut spread, series.labels, vec![value; grid.count])?;
        }
        Ok(spread)
    }

    fn first(&self, nodes: &[Node], grid: Grid) -> Result<Vector, PromqlError> {
        match nodes.first() {
            Some(node) => self.vector(node, grid),
            None => Err(PromqlError::query("an argument is missing")),
        }
    }

    /// Arguments behind the first, numbers all of them.
    fn numbers(&self, nodes: &[Node], grid: Grid) -> Result<Vec<Vec<f64>>, PromqlError> {
        nodes.iter().filter(|node| node.is_scalar()).map(|node| self.scalar(node, grid)).collect()
    }

    fn call(&self, call: &Call, nodes: &[Node], grid: Grid) -> Result<Vector, PromqlError> {
        let numbers = self.numbers(nodes, grid)?;
        let number = |at: usize, step: usize| {
            numbers.get(at).and_then(|numbers| numbers.get(step)).copied().unwrap_or(f64::NAN)
        };
        let vector = match nodes.iter().find(|node| !node.is_scalar()) {
            Some(node) => self.vector(node, grid)?,
            None => self.budget.vector(),
        };
        self.apply(call, nodes, vector, number, grid)
    }

    fn apply(
        &self,
        call: &Call,
        nodes: &[Node],
        mut vector: Vector,
        number: impl Fn(usize, usize) -> f64,
        grid: Grid,
    ) -> Result<Vector, PromqlError> {
        match call {
            Call::Map(function) => map(&mut vector, |value, _| function(value))?,
            Call::Map1(function) => {
                map(&mut vector, |value, step| function(value, number(0, step)))?;
            }
            Call::Map2(function) => {
                let two = |value, step| function(value, number(0, step), number(1, step));
                map(&mut vector, two)?;
            }
            Call::Calendar(part) => map(&mut vector, |value, _| calendar(value, *part))?,
            Call::Timestamp => {
                let seen = match nodes.first() {
                    Some(Node::Selector(selector)) => selector.shift.apply(grid),
                    _ => grid,
                };
                let time = |step: usize| seen.time(step.min(seen.count - 1)) as f64 / 1000.0;
                map(&mut vector, |_, step| time(step))?;
            }
            Call::Absent => return self.absent(nodes, &vector, grid),
            Call::Vector => {
                let values = (0..grid.count).map(|step| number(0, step)).collect();
                self.budget.push(&mut vector, Labels::default(), values)?;
            }
            Call::Sort { descending } => relabel::sort(&mut vector, *descending),
            Call::SortByLabel { labels, descending } => {
                relabel::sort_by_label(&mut vector, labels, *descending);
            }
            Call::LabelReplace { target, replacement, source, regex } => {
                relabel::replace(&mut vector, target, replacement, source, regex, &self.budget)?;
            }
            Call::LabelJoin { target, separator, sources } => {
                relabel::join(&mut vector, target, separator, sources, &self.budget)?;
            }
            Call::HistogramQuantile => {
                let of = |buckets: &mut Vec<_>, step| histogram::quantile(number(0, step), buckets);
                return histogram::evaluate(vector, of, grid, &self.budget);
            }
            Call::HistogramFraction => {
                let of = |buckets: &mut Vec<_>, step| {
                    histogram::fraction(number(0, step), number(1, step), buckets)
                };
                return histogram::evaluate(vector, of, grid, &self.budget);
            }
            Call::Scalar => return Err(PromqlError::query("expected type instant vector")),
        }
        Ok(vector)
    }

    fn absent(&self, nodes: &[Node], vector: &Vector, grid: Grid) -> Result<Vector, PromqlError> {
        let labels = match nodes.first() {
            Some(Node::Selector(selector)) => labels_of_absent(selector),
            _ => Labels::default(),
        };
        let at = |step| if present(vector, step).next().is_some() { ABSENT } else { 1.0 };
        let values = (0..grid.count).map(at).collect();
        let mut absent = self.budget.vector();
        self.budget.push(&mut absent, labels, values)?;
        absent.settle()?;
        Ok(absent)
    }
}

/// What a missing series would be called: the labels of which a selector names the value.
pub(super) fn labels_of_absent(selector: &Selector) -> Labels {
    let mut labels = Labels::default();
    for matcher in selector.matchers.iter().filter(|matcher| matcher.name != METRIC_NAME) {
        let alone = selector.matchers.iter().filter(|other| other.name == matcher.name).count();
        if let (Some(value), 1) = (matcher.only(), alone) {
            labels.set(&matcher.name, value);
        }
    }
    labels
}

/// The series that have a value at a step, and the value.
pub(super) fn present(vector: &Vector, step: usize) -> impl Iterator<Item = (&Series, f64)> {
    vector.series.iter().filter_map(move |series| {
        let value = series.values.get(step).copied()?;
        (!is_absent(value)).then_some((series, value))
    })
}

/// Changes every value. The name of the metric is then none any more.
pub(super) fn map(
    vector: &mut Vector,
    function: impl Fn(f64, usize) -> f64,
) -> Result<(), PromqlError> {
    for series in &mut vector.series {
        for (step, value) in series.values.iter_mut().enumerate() {
            if !is_absent(*value) {
                *value = function(*value, step);
            }
        }
    }
    drop_name(vector)
}

pub(super) fn drop_name(vector: &mut Vector) -> Result<(), PromqlError> {
    for series in &mut vector.series {
        series.labels = std::mem::take(&mut series.labels).without_name();
    }
    vector.settle()
}
