//! Functions of range vectors, on values at the instants of a window.

use super::aggregate::{quantile, variance};
use super::error::PromqlError;
use super::eval::labels_of_absent;
use super::tree::{Node, OverTime, Window};
use super::value::{ABSENT, Budget, Grid, Labels, Series, Vector, is_absent};

/// A time in milliseconds and a value.
type Sample = (i64, f64);

/// Evaluates a function over the range before each time that is `seen`. `inner` has the values at
/// `instants`.
pub(super) fn evaluate(
    function: OverTime,
    window: &Window,
    instants: Grid,
    inner: &Vector,
    seen: Grid,
    parameter: &[f64],
    budget: &Budget,
) -> Result<Vector, PromqlError> {
    let mut answer = budget.vector();
    let mut samples: Vec<Sample> = Vec::new();
    for series in &inner.series {
        let labels = match function {
            OverTime::Last => series.labels.clone(),
            _ => series.labels.clone().without_name(),
        };
        budget.take(&mut answer, &labels, seen.count)?;
        let mut values = Vec::with_capacity(seen.count);
        for (step, time) in seen.times().enumerate() {
            budget.go_on()?;
            samples.clear();
            samples.extend(in_range(series, instants, window.range_ms, time));
            let parameter = parameter.get(step).copied().unwrap_or(f64::NAN);
            values.push(match samples.is_empty() {
                true => ABSENT,
                false => over(function, &samples, time, window.range_ms, parameter),
            });
        }
        answer.series.push(Series { labels, values });
    }
    match function {
        OverTime::Absent => absent(&window.inner, &answer, seen, budget),
        _ => answer.settle().map(|()| answer),
    }
}

/// The values in a range that ends at a time, its start not included.
fn in_range(
    series: &Series,
    instants: Grid,
    range_ms: i64,
    time: i64,
) -> impl Iterator<Item = Sample> {
    let place = |time: i64| {
        let steps = time.saturating_sub(instants.start_ms).div_euclid(instants.step_ms);
        usize::try_from(steps.saturating_add(1)).unwrap_or(0).min(series.values.len())
    };
    let (from, to) = (place(time.saturating_sub(range_ms)), place(time));
    let values = series.values.get(from..to).unwrap_or_default();
    values
        .iter()
        .enumerate()
        .map(move |(at, value)| (instants.time(from + at), *value))
        .filter(|(_, value)| !is_absent(*value))
}

fn absent(
    inner: &Node,
    found: &Vector,
    seen: Grid,
    budget: &Budget,
) -> Result<Vector, PromqlError> {
    let labels = match inner {
        Node::Selector(selector) => labels_of_absent(selector),
        _ => Labels::default(),
    };
    let is_there = |step: usize| found.series.iter().any(|series| !is_absent(series.values[step]));
    let values = (0..seen.count).map(|step| if is_there(step) { ABSENT } else { 1.0 }).collect();
    let mut answer = budget.vector();
    budget.push(&mut answer, labels, values)?;
    answer.settle()?;
    Ok(answer)
}

/// What a function makes of samples, of which there is one at least.
fn over(function: OverTime, samples: &[Sample], time: i64, range_ms: i64, parameter: f64) -> f64 {
    let values = || samples.iter().map(|(_, value)| *value);
    let count = samples.len() as f64;
    match function {
        OverTime::Rate => risen(samples, time, range_ms, true) / (range_ms as f64 / 1000.0),
        OverTime::Increase => risen(samples, time, range_ms, true),
        OverTime::Delta => risen(samples, time, range_ms, false),
        OverTime::Irate => last_two(samples, true),
        OverTime::Idelta => last_two(samples, false),
        OverTime::Resets => pairs(samples, |before, after| after < before),
        OverTime::Changes => {
            pairs(samples, |before, after| before != after && !(before.is_nan() && after.is_nan()))
        }
        OverTime::Avg => values().sum::<f64>() / count,
        OverTime::Sum => values().sum(),
        OverTime::Min => values().fold(f64::NAN, f64::min),
        OverTime::Max => values().fold(f64::NAN, f64::max),
        OverTime::Count => count,
        OverTime::Quantile => quantile(parameter, &mut values().collect::<Vec<_>>()),
        OverTime::Stdvar => variance(values()),
        OverTime::Stddev => variance(values()).sqrt(),
        OverTime::Last => values().next_back().unwrap_or(ABSENT),
        OverTime::Present | OverTime::Absent => 1.0,
    }
}

fn pairs(samples: &[Sample], meets: impl Fn(f64, f64) -> bool) -> f64 {
    samples.windows(2).filter(|pair| meets(pair[0].1, pair[1].1)).count() as f64
}

/// The difference of the last two values; of a counter by second.
fn last_two(samples: &[Sample], is_counter: bool) -> f64 {
    let [.., (from, before), (to, after)] = samples else { return ABSENT };
    let rise = if is_counter && after < before { *after } else { after - before };
    if is_counter { rise / ((to - from) as f64 / 1000.0) } else { rise }
}

/// By how much values rose in a range, as Prometheus estimates it: the ends of the range are
/// looked through to if the first and the last value are near them.
fn risen(samples: &[Sample], time: i64, range_ms: i64, is_counter: bool) -> f64 {
    let [(first_time, first), .., (last_time, last)] = samples else { return ABSENT };
    let mut rise = last - first;
    if is_counter {
        let resets = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1);
        rise += resets.map(|pair| pair[0].1).sum::<f64>();
    }
    let sampled = (last_time - first_time) as f64;
    let between = sampled / (samples.len() - 1) as f64;
    let near = |gap: f64| if gap >= between * 1.1 { between / 2.0 } else { gap };
    let mut before = near((first_time - time.saturating_sub(range_ms)) as f64);
    if is_counter && rise > 0.0 && *first >= 0.0 {
        // No counter was ever below zero.
        before = before.min(sampled * (first / rise));
    }
    let after = near((time - last_time) as f64);
    rise * ((sampled + before + after) / sampled)
}
