//! `topk`, `bottomk` and comparisons: which points stay.

use std::cmp::Ordering;

use store::MeasuredSeries;
use traceql::CompareOp;

use super::key;

/// The `n` greatest points of every interval.
pub(super) fn top(series: Vec<MeasuredSeries>, n: u64) -> Vec<MeasuredSeries> {
    ranked(series, n, |one, other| other.total_cmp(&one))
}

/// The `n` least points of every interval.
pub(super) fn bottom(series: Vec<MeasuredSeries>, n: u64) -> Vec<MeasuredSeries> {
    ranked(series, n, |one, other| one.total_cmp(&other))
}

/// The points for which a comparison holds.
pub(super) fn filter(
    mut series: Vec<MeasuredSeries>,
    op: CompareOp,
    than: f64,
) -> Vec<MeasuredSeries> {
    for value in series.iter_mut().flat_map(|series| series.values.iter_mut()) {
        let holds = (*value).partial_cmp(&than).is_some_and(|ordering| op.holds(ordering));
        *value = if holds { *value } else { f64::NAN };
    }
    without_empty(series)
}

/// Keeps the first `n` points of every interval in an order, equal ones in that of their labels.
fn ranked(
    mut series: Vec<MeasuredSeries>,
    n: u64,
    order: impl Fn(f64, f64) -> Ordering,
) -> Vec<MeasuredSeries> {
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    if series.len() > n {
        series.sort_by_cached_key(|series| key(&series.labels));
        let intervals = series.iter().map(|series| series.values.len()).max().unwrap_or(0);
        let mut ranks: Vec<(usize, f64)> = Vec::with_capacity(series.len());
        for at in 0..intervals {
            ranks.clear();
            let points = series.iter().map(|series| series.values.get(at).copied());
            let points = points.map(|point| point.unwrap_or(f64::NAN)).enumerate();
            ranks.extend(points.filter(|(_, point)| !point.is_nan()));
            // Stable, so that labels decide between equals. 0 and -0 are equal.
            ranks.sort_by(|(_, one), (_, other)| order(one + 0.0, other + 0.0));
            for (place, _) in ranks.iter().skip(n) {
                series[*place].values[at] = f64::NAN;
            }
        }
    }
    without_empty(series)
}

fn without_empty(mut series: Vec<MeasuredSeries>) -> Vec<MeasuredSeries> {
    series.retain(|series| series.values.iter().any(|value| !value.is_nan()));
    series
}

#[cfg(test)]
mod tests {
    use super::super::tests::{series, shown};
    use super::*;

    const NAN: f64 = f64::NAN;

    fn three() -> Vec<MeasuredSeries> {
        vec![
            series(&[("a", "z")], &[1.0, 5.0, NAN]),
            series(&[("a", "x")], &[1.0, 2.0, NAN]),
            series(&[("a", "y")], &[0.0, 9.0, NAN]),
        ]
    }

    #[test]
    fn ranks_are_of_every_interval() {
        for (n, greatest, least) in [
            (1, vec!["a=x: 1 NaN NaN", "a=y: NaN 9 NaN"], vec!["a=x: NaN 2 NaN", "a=y: 0 NaN NaN"]),
            (
                2,
                vec!["a=x: 1 NaN NaN", "a=y: NaN 9 NaN", "a=z: 1 5 NaN"],
                vec!["a=x: 1 2 NaN", "a=y: 0 NaN NaN", "a=z: NaN 5 NaN"],
            ),
        ] {
            assert_eq!(shown(&top(three(), n)), greatest, "top {n}");
            assert_eq!(shown(&bottom(three(), n)), least, "bottom {n}");
        }
        for n in [3, u64::MAX] {
            assert_eq!(shown(&top(three(), n)), shown(&three()), "{n}");
        }
    }

    #[test]
    fn points_that_fail_are_no_values() {
        for (op, expected) in [
            (CompareOp::Greater, vec!["a=z: NaN 5 NaN", "a=y: NaN 9 NaN"]),
            (CompareOp::LessOrEqual, vec!["a=z: 1 NaN NaN", "a=x: 1 2 NaN", "a=y: 0 NaN NaN"]),
            (CompareOp::Equal, vec!["a=x: NaN 2 NaN"]),
            (CompareOp::NotEqual, vec!["a=z: 1 5 NaN", "a=x: 1 NaN NaN", "a=y: 0 9 NaN"]),
        ] {
            assert_eq!(shown(&filter(three(), op, 2.0)), expected, "{op:?}");
        }
    }
}
