//! Functions of histograms in buckets, as Prometheus computes them of classic ones.

use std::collections::HashMap;

use super::error::PromqlError;
use super::value::{ABSENT, Budget, Grid, Labels, METRIC_NAME, Vector, is_absent};

/// The upper bound of a bucket, and how many lie below.
type Bucket = (f64, f64);

/// Makes one series of the buckets of each histogram.
pub(super) fn evaluate(
    vector: Vector,
    function: impl Fn(&mut Vec<Bucket>, usize) -> f64,
    grid: Grid,
    budget: &Budget,
) -> Result<Vector, PromqlError> {
    let mut groups: HashMap<Labels, Vec<(f64, usize)>> = HashMap::new();
    for (at, series) in vector.series.iter().enumerate() {
        // Series that are no buckets are passed over.
        let Ok(bound) = series.labels.get("le").parse::<f64>() else { continue };
        let labels = series.labels.filtered(|name| name != "le" && name != METRIC_NAME);
        groups.entry(labels).or_default().push((bound, at));
    }
    let mut answer = budget.vector();
    let mut buckets = Vec::new();
    for (labels, members) in groups {
        budget.take(&mut answer, &labels, grid.count)?;
        let values = (0..grid.count).map(|step| {
            buckets.clear();
            let counts = members.iter().map(|&(bound, at)| (bound, vector.series[at].values[step]));
            buckets.extend(counts.filter(|(_, count)| !is_absent(*count)));
            if buckets.is_empty() { ABSENT } else { function(&mut buckets, step) }
        });
        let values = values.collect();
        answer.series.push(super::value::Series { labels, values });
    }
    answer.settle()?;
    Ok(answer)
}

/// Puts buckets in order, joins those of one bound and makes counts rise; `None` where the last is
/// not that of all, or nothing is counted.
fn ordered(buckets: &mut Vec<Bucket>) -> Option<f64> {
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    buckets.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    let mut most = 0.0;
    for bucket in buckets.iter_mut() {
        most = f64::max(most, bucket.1);
        bucket.1 = most;
    }
    let (bound, all) = *buckets.last()?;
    (bound == f64::INFINITY && buckets.len() > 1 && all > 0.0).then_some(all)
}

/// `histogram_quantile`: even spread within a bucket.
pub(super) fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    let Some(all) = ordered(buckets) else { return f64::NAN };
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let rank = q * all;
    let last = buckets.len() - 1;
    let at = buckets[..last].partition_point(|(_, count)| *count < rank);
    if at == last {
        // Beyond the last bound nothing is known but that bound.
        return buckets[last - 1].0;
    }
    let (bound, count) = buckets[at];
    if at == 0 && bound <= 0.0 {
        return bound;
    }
    let (from, below) = match at.checked_sub(1) {
        Some(before) => buckets[before],
        None => (0.0, 0.0),
    };
    from + (bound - from) * ((rank - below) / (count - below))
}

/// `histogram_fraction`: the share between two values.
pub(super) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    let Some(all) = ordered(buckets) else { return f64::NAN };
    if lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let below = |value: f64| {
        let at = buckets.partition_point(|(bound, _)| *bound < value);
        let Some(&(bound, count)) = buckets.get(at) else { return all };
        let (from, before) = match at.checked_sub(1) {
            Some(before) => buckets[before],
            None => (if bound > 0.0 { 0.0 } else { f64::NEG_INFINITY }, 0.0),
        };
        if value <= from {
            before
        } else if bound.is_infinite() || from.is_infinite() {
            // Nothing is known of the spread in a bucket without end.
            if value == bound { count } else { before }
        } else {
            before + (count - before) * (value - from) / (bound - from)
        }
    };
    (below(upper) - below(lower)) / all
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles() {
        let latency = vec![(0.1, 10.0), (0.2, 30.0), (0.4, 40.0), (INF, 50.0)];
        for (q, expected) in [
            (0.0, 0.0),
            (0.1, 0.05),
            (0.2, 0.1),
            (0.4, 0.15),
            (0.6, 0.2),
            (0.7, 0.3),
            (0.8, 0.4),
            (0.9, 0.4),
            (1.0, 0.4),
            (-0.1, -INF),
            (1.1, INF),
        ] {
            let found = quantile(q, &mut latency.clone());
            assert!(found == expected || (found - expected).abs() < 1e-12, "{q}: {found}");
        }
        assert!(quantile(f64::NAN, &mut latency.clone()).is_nan());
        for odd in [vec![], vec![(INF, 5.0)], vec![(1.0, 0.0), (INF, 0.0)], vec![(1.0, 5.0)]] {
            assert!(quantile(0.5, &mut odd.clone()).is_nan(), "{odd:?}");
        }
        // Out of order, twice the same bound, and a count that falls.
        let mut odd = vec![(INF, 8.0), (2.0, 5.0), (1.0, 4.0), (1.0, 4.0)];
        assert_eq!(quantile(0.5, &mut odd), 0.5);
    }

    #[test]
    fn fractions() {
        let latency = vec![(0.1, 10.0), (0.2, 30.0), (0.4, 40.0), (INF, 50.0)];
        for (lower, upper, expected) in [
            (0.0, 0.1, 0.2),
            (0.0, 0.15, 0.4),
            (0.15, 0.3, 0.3),
            (0.2, 0.1, 0.0),
            (0.0, INF, 1.0),
            (-1.0, 1.0, 0.8),
            (0.4, INF, 0.2),
        ] {
            let found = fraction(lower, upper, &mut latency.clone());
            assert!((found - expected).abs() < 1e-12, "{lower} {upper}: {found}");
        }
    }
}
