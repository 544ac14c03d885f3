//! Aggregation operators.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::error::PromqlError;
use super::tree::{Aggregate, Aggregator, Node};
use super::value::{ABSENT, Budget, Grid, Labels, Series, Vector, is_absent};

/// Aggregates series by their labels.
pub(super) fn evaluate(
    node: &Aggregate,
    inner: Vector,
    parameter: &[f64],
    grid: Grid,
    budget: &Budget,
) -> Result<Vector, PromqlError> {
    let groups = grouped(node, &inner);
    match node.operator {
        Aggregator::TopK | Aggregator::BottomK | Aggregator::LimitK => {
            ranked(node.operator, inner, &groups, parameter, grid, budget)
        }
        Aggregator::CountValues => count_values(node, &inner, &groups, grid, budget),
        operator => {
            let mut answer = budget.vector();
            let mut values = Vec::new();
            for (labels, members) in groups {
                budget.take(&mut answer, &labels, grid.count)?;
                let at = |step: usize| {
                    values.clear();
                    let all = members.iter().map(|member| inner.series[*member].values[step]);
                    values.extend(all.filter(|value| !is_absent(*value)));
                    let parameter = parameter.get(step).copied().unwrap_or(f64::NAN);
                    if values.is_empty() { ABSENT } else { total(operator, &mut values, parameter) }
                };
                let values = (0..grid.count).map(at).collect();
                answer.series.push(Series { labels, values });
            }
            answer.settle()?;
            Ok(answer)
        }
    }
}

/// The series of each group, in the order of their first.
fn grouped(node: &Aggregate, inner: &Vector) -> Vec<(Labels, Vec<usize>)> {
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<(Labels, Vec<usize>)> = Vec::new();
    for (at, series) in inner.series.iter().enumerate() {
        let labels = series.labels.filtered(|name| node.grouping.keeps(name));
        match places.entry(labels) {
            Entry::Occupied(place) => groups[*place.get()].1.push(at),
            Entry::Vacant(place) => {
                groups.push((place.key().clone(), vec![at]));
                place.insert(groups.len() - 1);
            }
        }
    }
    groups
}

/// One value of several, of which there is one at least.
fn total(operator: Aggregator, values: &mut [f64], parameter: f64) -> f64 {
    let count = values.len() as f64;
    match operator {
        Aggregator::Sum => values.iter().sum(),
        Aggregator::Avg => values.iter().sum::<f64>() / count,
        Aggregator::Min => values.iter().copied().fold(f64::NAN, f64::min),
        Aggregator::Max => values.iter().copied().fold(f64::NAN, f64::max),
        Aggregator::Count => count,
        Aggregator::Group => 1.0,
        Aggregator::Stdvar => variance(values.iter().copied()),
        Aggregator::Stddev => variance(values.iter().copied()).sqrt(),
        Aggregator::Quantile => quantile(parameter, values),
        Aggregator::TopK | Aggregator::BottomK | Aggregator::LimitK | Aggregator::CountValues => {
            ABSENT
        }
    }
}

/// The variance of a population.
pub(super) fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let from = value - mean;
        mean += from / count;
        squares += from * (value - mean);
    }
    squares / count
}

/// A quantile, between two values in proportion. Sorts the values.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|one, other| {
        // NaN is the least.
        other.is_nan().cmp(&one.is_nan()).then(one.total_cmp(other))
    });
    let rank = q * (values.len() - 1) as f64;
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// `topk`, `bottomk` and `limitk`: at each step the first of each group stay.
fn ranked(
    operator: Aggregator,
    mut inner: Vector,
    groups: &[(Labels, Vec<usize>)],
    parameter: &[f64],
    grid: Grid,
    budget: &Budget,
) -> Result<Vector, PromqlError> {
    let mut ranks: Vec<(usize, f64)> = Vec::new();
    let mut order: Vec<usize> = Vec::new();
    for (_, members) in groups {
        let mut members = members.clone();
        members.sort_by(|one, other| inner.series[*one].labels.cmp(&inner.series[*other].labels));
        for step in 0..grid.count {
            budget.go_on()?;
            let k = parameter.get(step).copied().unwrap_or(0.0);
            if k.is_nan() {
                return Err(PromqlError::execution("the number of series to keep is NaN"));
            }
            ranks.clear();
            let all = members.iter().map(|member| (*member, inner.series[*member].values[step]));
            ranks.extend(all.filter(|(_, value)| !is_absent(*value)));
            // Stable, so that labels decide between equals. NaN comes last.
            if operator != Aggregator::LimitK {
                ranks.sort_by(|(_, one), (_, other)| {
                    let order = match operator {
                        Aggregator::TopK => other.partial_cmp(one),
                        _ => one.partial_cmp(other),
                    };
                    let order = order.unwrap_or(std::cmp::Ordering::Equal);
                    one.is_nan().cmp(&other.is_nan()).then(order)
                });
            }
            let kept = k.max(0.0) as usize;
            if step == 0 {
                order.extend(ranks.iter().take(kept).map(|(member, _)| *member));
            }
            for (member, _) in ranks.iter().skip(kept) {
                inner.series[*member].values[step] = ABSENT;
            }
        }
    }
    if grid.count == 1 {
        let mut places = vec![usize::MAX; inner.series.len()];
        for (place, member) in order.into_iter().enumerate() {
            places[member] = place;
        }
        let mut series: Vec<(usize, Series)> =
            places.into_iter().zip(inner.series.drain(..)).collect();
        series.sort_by_key(|(place, _)| *place);
        inner.series.extend(series.into_iter().map(|(_, series)| series));
    }
    inner.settle()?;
    Ok(inner)
}

/// `count_values`: how many series have each value, which becomes a label.
fn count_values(
    node: &Aggregate,
    inner: &Vector,
    groups: &[(Labels, Vec<usize>)],
    grid: Grid,
    budget: &Budget,
) -> Result<Vector, PromqlError> {
    let Some(Node::Text(label)) = &node.parameter else {
        return Err(PromqlError::query("count_values takes the name of a label"));
    };
    let mut answer = budget.vector();
    for (labels, members) in groups {
        budget.go_on()?;
        let mut places: HashMap<u64, usize> = HashMap::new();
        for step in 0..grid.count {
            for member in members {
                let value = inner.series[*member].values[step];
                if is_absent(value) {
                    continue;
                }
                let place = match places.entry(value.to_bits()) {
                    Entry::Occupied(place) => *place.get(),
                    Entry::Vacant(place) => {
                        let mut labels = labels.clone();
                        labels.set(label, number_text(value));
                        budget.push(&mut answer, labels, vec![ABSENT; grid.count])?;
                        *place.insert(answer.series.len() - 1)
                    }
                };
                let count = &mut answer.series[place].values[step];
                *count = if is_absent(*count) { 1.0 } else { *count + 1.0 };
            }
        }
    }
    answer.settle()?;
    Ok(answer)
}

/// A number as Prometheus writes it: without an exponent unless it is very small or large.
pub fn number_text(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else if value != 0.0 && !(1e-6..1e21).contains(&value.abs()) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::super::tree::Grouping;
    use super::*;

    #[test]
    fn quantiles_lie_between() {
        for (q, expected) in
            [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0), (0.1, 1.3), (-1.0, f64::NEG_INFINITY)]
        {
            let found = quantile(q, &mut [4.0, 1.0, 3.0, 2.0]);
            assert!(found == expected || (found - expected).abs() < 1e-12, "{q}: {found}");
        }
    }

    #[test]
    fn what_is_ranked_or_counted_ends_when_told() {
        let (go_on, stop) = (AtomicBool::new(false), AtomicBool::new(true));
        let grouping = Grouping { by: true, labels: Vec::new() };
        for operator in [Aggregator::TopK, Aggregator::LimitK, Aggregator::CountValues] {
            let asked = |budget: &Budget| {
                let mut inner = budget.vector();
                Budget::new(&go_on).push(&mut inner, Labels::default(), vec![1.0]).unwrap();
                let (grouping, parameter) = (grouping.clone(), Some(Node::Text("n".to_owned())));
                let node = Aggregate { operator, grouping, parameter, inner: Node::Time };
                evaluate(&node, inner, &[1.0], Grid::instant(0), budget)
            };
            assert!(asked(&Budget::new(&go_on)).is_ok());
            assert_eq!(asked(&Budget::new(&stop)).unwrap_err(), PromqlError::stopped());
        }
    }

    #[test]
    fn numbers_as_text() {
        for (value, text) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (-3.0, "-3"),
            (1e20, "100000000000000000000"),
            (1e21, "1e21"),
            (1e-7, "1e-7"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number_text(value), text);
        }
    }
}
