//! Operators between two expressions one of which is series.

use std::collections::HashMap;

use super::error::PromqlError;
use super::eval::drop_name;
use super::tree::{Binary, Operator, Side};
use super::value::{ABSENT, Budget, Grid, Labels, METRIC_NAME, Series, Vector, is_absent};

/// Between series and a number; `pair` puts the two in order.
pub(super) fn with_scalar(
    node: &Binary,
    mut vector: Vector,
    pair: impl Fn(usize, f64) -> (f64, f64),
) -> Result<Vector, PromqlError> {
    let filters = node.operator.compares() && !node.as_bool;
    for series in &mut vector.series {
        for (step, value) in series.values.iter_mut().enumerate() {
            if is_absent(*value) {
                continue;
            }
            let (left, right) = pair(step, *value);
            let result = node.operator.apply(left, right);
            *value = match filters {
                true if result == 0.0 => ABSENT,
                true => *value,
                false => result,
            };
        }
    }
    match filters {
        true => vector.settle()?,
        false => drop_name(&mut vector)?,
    }
    Ok(vector)
}

/// Between series and series.
pub(super) fn evaluate(
    node: &Binary,
    left: Vector,
    right: Vector,
    grid: Grid,
    budget: &Budget,
) -> Result<Vector, PromqlError> {
    match node.operator {
        operator if operator.is_set() => set(node, left, right, grid),
        _ => paired(node, &left, &right, grid, budget),
    }
}

/// Series by the labels that make pairs.
fn by_signature<'a>(node: &Binary, vector: &'a Vector) -> HashMap<Labels, Vec<&'a Series>> {
    let mut groups: HashMap<Labels, Vec<&Series>> = HashMap::new();
    for series in &vector.series {
        groups.entry(signature(node, series)).or_default().push(series);
    }
    groups
}

fn signature(node: &Binary, series: &Series) -> Labels {
    series.labels.filtered(|name| node.on.keeps(name))
}

/// `and`, `or`, `unless`.
fn set(
    node: &Binary,
    mut left: Vector,
    mut right: Vector,
    grid: Grid,
) -> Result<Vector, PromqlError> {
    // Of `or` the right loses what the left has, of others the left what the right has, or not.
    let (kept, other) = match node.operator {
        Operator::Or => (&mut right, &left),
        _ => (&mut left, &right),
    };
    let mut there: HashMap<Labels, Vec<bool>> = HashMap::new();
    for series in &other.series {
        let steps = there.entry(signature(node, series)).or_insert_with(|| vec![false; grid.count]);
        for (is_there, value) in steps.iter_mut().zip(&series.values) {
            *is_there |= !is_absent(*value);
        }
    }
    let wanted = node.operator == Operator::And;
    for series in &mut kept.series {
        let steps = there.get(&signature(node, series));
        for (step, value) in series.values.iter_mut().enumerate() {
            let is_there = steps.is_some_and(|steps| steps[step]);
            if is_there != wanted {
                *value = ABSENT;
            }
        }
    }
    let mut answer = left;
    if node.operator == Operator::Or {
        answer.absorb(right);
    }
    answer.settle()?;
    Ok(answer)
}

/// Arithmetic and comparisons: each of the many with the one of the same labels.
fn paired(
    node: &Binary,
    left: &Vector,
    right: &Vector,
    grid: Grid,
    budget: &Budget,
) -> Result<Vector, PromqlError> {
    let (many, one) = if node.many == Side::Right { (right, left) } else { (left, right) };
    let ones = by_signature(node, one);
    for series in ones.values() {
        let side = if node.many == Side::Right { "left" } else { "right" };
        alone(node, series, grid, |signature, pair| {
            format!(
                "found duplicate series for the match group {signature} on the {side} hand-side \
                 of the operation: {pair}; many-to-many matching not allowed: matching labels \
                 must be unique on one side"
            )
        })?;
    }
    let mut answer = budget.vector();
    for (signature, manies) in by_signature(node, many) {
        let Some(ones) = ones.get(&signature) else { continue };
        if node.many == Side::Both {
            let pairs: Vec<Series> = manies.iter().map(|series| matched(series, ones)).collect();
            alone(node, &pairs.iter().collect::<Vec<_>>(), grid, |signature, pair| {
                format!(
                    "multiple matches for labels {signature}: {pair}; many-to-one matching must \
                     be explicit (group_left/group_right)"
                )
            })?;
        }
        for series in manies {
            for one in ones {
                let labels = labels(node, series, one);
                budget.take(&mut answer, &labels, grid.count)?;
                let values = series.values.iter().zip(&one.values);
                let values = values.map(|(many, one)| result(node, *many, *one)).collect();
                answer.series.push(Series { labels, values });
            }
        }
    }
    answer.settle().map_err(|_| {
        let text = "multiple matches for labels: grouping labels must ensure unique matches";
        PromqlError::execution(text)
    })?;
    Ok(answer)
}

/// A series without the values that have no other side.
fn matched(series: &Series, ones: &[&Series]) -> Series {
    let mut series = series.clone();
    for (step, value) in series.values.iter_mut().enumerate() {
        if ones.iter().all(|one| is_absent(one.values[step])) {
            *value = ABSENT;
        }
    }
    series
}

/// Refuses series of which two have a value at one step.
fn alone(
    node: &Binary,
    group: &[&Series],
    grid: Grid,
    problem: impl Fn(&Labels, String) -> String,
) -> Result<(), PromqlError> {
    if group.len() < 2 {
        return Ok(());
    }
    for step in 0..grid.count {
        let mut there = group.iter().filter(|series| !is_absent(series.values[step]));
        if let (Some(first), Some(second)) = (there.next(), there.next()) {
            let mut pair = [&first.labels, &second.labels];
            pair.sort();
            let pair = format!("[{}, {}]", pair[0], pair[1]);
            return Err(PromqlError::execution(problem(&signature(node, first), pair)));
        }
    }
    Ok(())
}

fn result(node: &Binary, many: f64, one: f64) -> f64 {
    if is_absent(many) || is_absent(one) {
        return ABSENT;
    }
    let (left, right) = if node.many == Side::Right { (one, many) } else { (many, one) };
    let result = node.operator.apply(left, right);
    match node.operator.compares() && !node.as_bool {
        true if result == 0.0 => ABSENT,
        true => left,
        false => result,
    }
}

/// The labels of a result: those of the many, or of a pair those that make it.
fn labels(node: &Binary, many: &Series, one: &Series) -> Labels {
    let mut labels = many.labels.clone();
    if !node.operator.compares() || node.as_bool {
        labels.set(METRIC_NAME, "");
    }
    if node.many == Side::Both {
        let on = &node.on;
        labels = labels.filtered(|name| on.keeps(name) || (!on.by && name == METRIC_NAME));
    }
    for label in &node.included {
        labels.set(label, one.labels.get(label));
    }
    labels
}
