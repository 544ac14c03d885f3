//! `+ - * /` between series, and between series and a number.

use std::collections::HashMap;

use store::MeasuredSeries;
use traceql::Static;

use super::{NAME_LABEL, key};

/// Computes every point anew.
pub(super) fn with_scalar(
    mut series: Vec<MeasuredSeries>,
    name: impl Fn() -> String,
    apply: impl Fn(f64) -> f64,
) -> Vec<MeasuredSeries> {
    for series in &mut series {
        series.values.iter_mut().for_each(|value| *value = apply(*value));
        rename(series, &name);
    }
    series
}

/// Joins the points of series with equal labels; a side that is one series without labels meets
/// every series of the other. What has no partner is no value.
pub(super) fn joined(
    left: Vec<MeasuredSeries>,
    right: Vec<MeasuredSeries>,
    name: impl Fn() -> String,
    apply: impl Fn(f64, f64) -> f64,
) -> Vec<MeasuredSeries> {
    let values = |one: &MeasuredSeries, other: &MeasuredSeries| -> Vec<f64> {
        one.values.iter().zip(&other.values).map(|(one, other)| apply(*one, *other)).collect()
    };
    let mut joined = Vec::new();
    match (only(&left), only(&right)) {
        (Some(one), None) => {
            joined.extend(right.iter().map(|series| (series, values(one, series))));
        }
        (None, Some(one)) => {
            joined.extend(left.iter().map(|series| (series, values(series, one))));
        }
        _ => {
            let partners: HashMap<String, &MeasuredSeries> =
                right.iter().map(|series| (key(&series.labels), series)).collect();
            for series in &left {
                if let Some(partner) = partners.get(&key(&series.labels)) {
                    joined.push((series, values(series, partner)));
                }
            }
        }
    }
    let result = joined.into_iter().map(|(series, values)| {
        let mut result = MeasuredSeries { values, ..series.clone() };
        rename(&mut result, &name);
        result
    });
    result.collect()
}

/// The series of a side that has no labels.
fn only(side: &[MeasuredSeries]) -> Option<&MeasuredSeries> {
    match side {
        [one] if one.labels.iter().all(|(label, _)| label == NAME_LABEL) => Some(one),
        _ => None,
    }
}

/// What is computed is no longer what the function gave: neither its name nor the values of its
/// exemplars hold.
fn rename(series: &mut MeasuredSeries, name: &impl Fn() -> String) {
    series.labels.retain(|(label, _)| label != NAME_LABEL);
    if series.labels.is_empty() {
        series.labels.push((NAME_LABEL.to_owned(), Static::String(name())));
    }
    series.exemplars.iter_mut().for_each(|exemplar| exemplar.value = f64::NAN);
}

#[cfg(test)]
mod tests {
    use super::super::tests::{series, shown};
    use super::*;

    #[test]
    fn partners_have_the_same_labels() {
        let name = |value: &str| series(&[(NAME_LABEL, value)], &[2.0, f64::NAN]);
        let by = |value: &str, point: f64| series(&[("a", value)], &[point, 1.0]);
        let divide = |left: Vec<MeasuredSeries>, right: Vec<MeasuredSeries>| {
            let apply = |left, right| traceql::MathOp::Divide.apply(left, right);
            shown(&joined(left, right, || "both".to_owned(), apply))
        };
        for (left, right, expected) in [
            (vec![name("rate")], vec![name("count_over_time")], vec!["__name__=both: 1 NaN"]),
            (vec![by("x", 1.0), by("y", 4.0)], vec![by("y", 2.0)], vec!["a=y: 2 1"]),
            (vec![by("x", 1.0)], vec![by("y", 2.0)], vec![]),
            (vec![by("x", 1.0), by("y", 0.0)], vec![name("r")], vec!["a=x: 0.5 NaN", "a=y: 0 NaN"]),
            (vec![name("r")], vec![by("x", 1.0), by("y", 0.0)], vec!["a=x: 2 NaN", "a=y: NaN NaN"]),
            (vec![name("r")], vec![], vec![]),
            (vec![], vec![], vec![]),
        ] {
            assert_eq!(divide(left.clone(), right.clone()), expected, "{left:?} / {right:?}");
        }
    }
}
