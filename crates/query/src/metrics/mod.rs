//! Whole metrics queries of TraceQL: which intervals they cover, what the store counts for each of
//! their parts, and what is computed of that.
//!
//! The store runs first stages (`{ … } | rate() by(…)`); ranking, filters and arithmetic between
//! series happen here, on series that fit in memory.

mod intervals;
mod math;
mod stages;

use std::sync::Arc;

use store::{
    MeasureRequest, Measured, MeasuredSeries, Progress, QueryError, QueryStats, Store, Watch,
    Watcher,
};
use traceql::{Exemplars, Hints, MetricsLeaf, MetricsQuery, Static};

pub use intervals::{INTERVALS_MAX, Intervals};

/// The most exemplars of an answer, and how many there are unless told otherwise.
pub const EXEMPLARS_MAX: usize = 100;

/// The most exemplars that the store is asked for where what follows leaves out points, and their
/// exemplars with them.
const EXEMPLARS_HELD: usize = 4_096;

/// The label of a series that has no other.
pub const NAME_LABEL: &str = "__name__";

/// The answer to a metrics query.
#[derive(Debug, Clone, Default)]
pub struct MetricsAnswer {
    /// The series, each with a point at least.
    pub series: Vec<MeasuredSeries>,
    /// A damaged block is left out.
    pub partial: bool,
    /// What it took.
    pub stats: QueryStats,
}

/// The most points of an answer: a hundred megabytes of JSON.
const POINTS_MAX: usize = 2_000_000;

/// Runs a query over some intervals, with at most `exemplars_max` exemplars; `extrapolate` is that
/// of [`MeasureRequest`]. `watcher` is told how far it is and, of a query with one first stage, the
/// series so far. Dropping the future ends it.
///
/// # Errors
/// What the store refuses, in words for the query's author.
pub async fn run(
    store: &dyn Store,
    query: &MetricsQuery,
    intervals: &Intervals,
    exemplars_max: usize,
    extrapolate: bool,
    watcher: Option<Watcher<MetricsAnswer>>,
) -> Result<MetricsAnswer, QueryError> {
    let mut leaves = Vec::new();
    collect(query, &mut leaves);
    let mut answer = MetricsAnswer::default();
    let mut measured = Vec::with_capacity(leaves.len());
    let count = leaves.len();
    let exemplars_held = match query {
        MetricsQuery::Leaf(_) => exemplars_max,
        _ if exemplars_max == 0 => 0,
        _ => EXEMPLARS_HELD.max(exemplars_max),
    };
    for (at, leaf) in leaves.into_iter().enumerate() {
        let request = MeasureRequest {
            leaf: leaf.clone(),
            start_unix_nano: intervals.start_unix_nano,
            step_nano: intervals.step_nano,
            steps: intervals.count,
            exemplars_max: exemplars_held,
            extrapolate,
        };
        let watcher = watcher.clone().map(|to| -> Watcher<Measured> {
            Arc::new(Leaf { query: query.clone(), intervals: *intervals, place: (at, count), to })
        });
        let part = store.measure(request, watcher).await?;
        answer.partial |= part.partial;
        answer.stats.add(&part.stats);
        let points = part.series.len().saturating_mul(intervals.count);
        if points > POINTS_MAX {
            return Err(QueryError::Refused(format!(
                "the query has {} series of {} points, and an answer has at most {POINTS_MAX} \
                 points: group by fields with fewer values, or ask for a longer step",
                part.series.len(),
                intervals.count
            )));
        }
        measured.push(part.series);
    }
    let series = compute(query, &mut measured.into_iter());
    answer.series = settled(series, intervals, exemplars_max);
    Ok(answer)
}

/// Watches one of the first stages for someone who waits for the whole query.
struct Leaf {
    query: MetricsQuery,
    intervals: Intervals,
    /// Which of how many it is.
    place: (usize, usize),
    to: Watcher<MetricsAnswer>,
}

impl Watch<Measured> for Leaf {
    fn is_free(&self) -> bool {
        self.to.is_free()
    }

    fn tell(&self, progress: Progress<Measured>) {
        let Progress { so_far, spans_done, spans_all } = progress;
        let (at, count) = self.place;
        let points = so_far.series.len().saturating_mul(self.intervals.count);
        // What is computed of series that are not all there would be wrong.
        let series = match count == 1 && points <= POINTS_MAX {
            true => settled(
                compute(&self.query, &mut std::iter::once(so_far.series)),
                &self.intervals,
                0,
            ),
            false => Vec::new(),
        };
        let so_far = MetricsAnswer { series, partial: so_far.partial, stats: so_far.stats };
        // Each stage looks at the same spans, or nearly.
        self.to.tell(Progress {
            so_far,
            spans_done: spans_all.saturating_mul(at as u64).saturating_add(spans_done),
            spans_all: spans_all.saturating_mul(count as u64),
        });
    }
}

/// Whether spans count as many as they stand for.
pub fn extrapolates(hints: &Hints) -> bool {
    hints.extrapolate == Some(true)
}

/// How many exemplars to return: the hint comes before the parameter.
pub fn exemplars_max(hints: &Hints, parameter: Option<usize>) -> usize {
    let wanted = match hints.exemplars {
        Some(Exemplars::Switch(true)) => EXEMPLARS_MAX,
        Some(Exemplars::Switch(false)) => 0,
        Some(Exemplars::Count(count)) => usize::try_from(count).unwrap_or(usize::MAX),
        None => parameter.unwrap_or(EXEMPLARS_MAX),
    };
    wanted.min(EXEMPLARS_MAX)
}

/// First stages from left to right.
fn collect<'a>(query: &'a MetricsQuery, leaves: &mut Vec<&'a MetricsLeaf>) {
    match query {
        MetricsQuery::Leaf(leaf) => leaves.push(leaf),
        MetricsQuery::Scalar(_) => {}
        MetricsQuery::Binary { left, right, .. } => {
            collect(left, leaves);
            collect(right, leaves);
        }
        MetricsQuery::TopK { inner, .. }
        | MetricsQuery::BottomK { inner, .. }
        | MetricsQuery::Filter { inner, .. } => collect(inner, leaves),
    }
}

/// What follows the first stages, whose series come in the order of [`collect`].
fn compute(
    query: &MetricsQuery,
    measured: &mut impl Iterator<Item = Vec<MeasuredSeries>>,
) -> Vec<MeasuredSeries> {
    match query {
        MetricsQuery::Leaf(_) => measured.next().unwrap_or_default(),
        // The language has no constant on its own.
        MetricsQuery::Scalar(_) => Vec::new(),
        MetricsQuery::Binary { op, left, right } => {
            let name = || query.to_string();
            match (left.as_ref(), right.as_ref()) {
                (MetricsQuery::Scalar(left), right) => {
                    let series = compute(right, measured);
                    math::with_scalar(series, name, |value| op.apply(*left, value))
                }
                (left, MetricsQuery::Scalar(right)) => {
                    let series = compute(left, measured);
                    math::with_scalar(series, name, |value| op.apply(value, *right))
                }
                (left, right) => {
                    let left = compute(left, measured);
                    let right = compute(right, measured);
                    math::joined(left, right, name, |left, right| op.apply(left, right))
                }
            }
        }
        MetricsQuery::TopK { n, inner } => stages::top(compute(inner, measured), *n),
        MetricsQuery::BottomK { n, inner } => stages::bottom(compute(inner, measured), *n),
        MetricsQuery::Filter { op, value, inner } => {
            stages::filter(compute(inner, measured), *op, *value)
        }
    }
}

/// How much of some room each of many has that want so much: as much as every other, unless it wants
/// less.
pub(crate) fn shares(wanted: &[usize], mut room: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&at| wanted[at]);
    let mut shares = vec![0; wanted.len()];
    for (done, at) in order.into_iter().enumerate() {
        shares[at] = wanted[at].min(room.div_ceil(wanted.len() - done));
        room -= shares[at];
    }
    shares
}

/// Series without a point, and exemplars where their series has none, are left out. What there may
/// be of exemplars is shared among the series.
fn settled(
    mut series: Vec<MeasuredSeries>,
    intervals: &Intervals,
    exemplars_max: usize,
) -> Vec<MeasuredSeries> {
    series.retain(|series| series.values.iter().any(|value| !value.is_nan()));
    for series in &mut series {
        let values = &series.values;
        let has_point = |time: u64| {
            let value = intervals.index(time).and_then(|at| values.get(at));
            value.is_some_and(|value| !value.is_nan())
        };
        series.exemplars.retain(|exemplar| has_point(exemplar.start_unix_nano));
    }
    let counts: Vec<usize> = series.iter().map(|series| series.exemplars.len()).collect();
    for (series, share) in series.iter_mut().zip(shares(&counts, exemplars_max)) {
        series.thin_exemplars(share);
    }
    series
}

/// What tells a series from others, as text to sort and compare by. The name of the function is
/// not part of it.
fn key(labels: &[(String, Static)]) -> String {
    let mut key = String::new();
    for (label, value) in labels.iter().filter(|(label, _)| label != NAME_LABEL) {
        key.push_str(label);
        key.push('\0');
        key.push_str(&crate::static_text(value));
        key.push('\0');
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn series(labels: &[(&str, &str)], values: &[f64]) -> MeasuredSeries {
        let label = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), Static::String((*value).to_owned()))
        };
        MeasuredSeries {
            labels: labels.iter().map(label).collect(),
            values: values.to_vec(),
            exemplars: Vec::new(),
        }
    }

    /// Series as `a=b: 1 NaN`, a line each.
    pub(super) fn shown(series: &[MeasuredSeries]) -> Vec<String> {
        let one = |series: &MeasuredSeries| {
            let labels: Vec<String> = series
                .labels
                .iter()
                .map(|(label, value)| format!("{label}={}", crate::static_text(value)))
                .collect();
            let values: Vec<String> = series.values.iter().map(f64::to_string).collect();
            format!("{}: {}", labels.join(","), values.join(" "))
        };
        series.iter().map(one).collect()
    }

    fn computed(query: &str, measured: Vec<Vec<MeasuredSeries>>) -> Vec<String> {
        let query = traceql::parse(query).unwrap();
        let traceql::QueryKind::Metrics(query) = query.kind else { panic!("no metrics query") };
        let intervals = Intervals { start_unix_nano: 0, step_nano: 10, count: 3 };
        shown(&settled(compute(&query, &mut measured.into_iter()), &intervals, 100))
    }

    #[test]
    fn whole_queries() {
        let by = |values: &[(&str, [f64; 3])]| -> Vec<MeasuredSeries> {
            values.iter().map(|(name, values)| series(&[("a", name)], values)).collect()
        };
        let errors = by(&[("x", [1.0, 0.0, 2.0]), ("y", [3.0, 3.0, 0.0])]);
        let all = by(&[("x", [4.0, 0.0, 4.0]), ("y", [3.0, 6.0, 1.0]), ("z", [1.0, 1.0, 1.0])]);
        let one = |values| vec![series(&[(NAME_LABEL, "rate")], values)];
        for (query, measured, expected) in [
            ("{} | rate() by(.a)", vec![errors.clone()], vec!["a=x: 1 0 2", "a=y: 3 3 0"]),
            (
                "100 * ({ status = error } | rate() by(.a)) / ({} | rate() by(.a))",
                vec![errors.clone(), all.clone()],
                vec!["a=x: 25 NaN 50", "a=y: 100 50 0"],
            ),
            (
                "{} | rate() by(.a) | topk(1)",
                vec![all.clone()],
                vec!["a=x: 4 NaN 4", "a=y: NaN 6 NaN"],
            ),
            ("{} | rate() by(.a) | topk(1) > 5", vec![all.clone()], vec!["a=y: NaN 6 NaN"]),
            ("({} | rate() by(.a) > 3) * 2 != 8", vec![all.clone()], vec!["a=y: NaN 12 NaN"]),
            (
                "({} | rate()) - ({} | rate() by(.a))",
                vec![one(&[10.0, 10.0, 10.0]), errors.clone()],
                vec!["a=x: 9 10 8", "a=y: 7 7 10"],
            ),
            ("({} | rate()) / 0", vec![one(&[1.0, 2.0, 3.0])], vec![]),
        ] {
            assert_eq!(computed(query, measured), expected, "{query}");
        }
    }

    #[test]
    fn a_computed_series_without_labels_is_named_for_what_it_is() {
        let one = |name, value| vec![series(&[(NAME_LABEL, name)], &[value])];
        let query = "({} | rate()) / ({} | count_over_time())";
        let shown = computed(query, vec![one("rate", 1.0), one("count_over_time", 2.0)]);
        assert_eq!(shown.len(), 1);
        assert!(shown[0].starts_with("__name__=(") && shown[0].ends_with(": 0.5"), "{shown:?}");
    }

    #[test]
    fn what_is_told_before_the_end_is_computed_like_the_end() {
        let told = |query: &str, place| {
            let query = traceql::parse(query).unwrap();
            let traceql::QueryKind::Metrics(query) = query.kind else { panic!("no metrics query") };
            let (to, from) = std::sync::mpsc::channel();
            struct To(std::sync::mpsc::Sender<Progress<MetricsAnswer>>);
            impl Watch<MetricsAnswer> for To {
                fn is_free(&self) -> bool {
                    true
                }
                fn tell(&self, progress: Progress<MetricsAnswer>) {
                    self.0.send(progress).unwrap();
                }
            }
            let intervals = Intervals { start_unix_nano: 0, step_nano: 10, count: 2 };
            let leaf = Leaf { query, intervals, place, to: Arc::new(To(to)) };
            let of = |name: &str, values: &[f64]| series(&[("a", name)], values);
            let series = vec![of("x", &[1.0, 5.0]), of("y", &[2.0, 3.0])];
            let so_far = Measured { series, ..Measured::default() };
            leaf.tell(Progress { so_far, spans_done: 50, spans_all: 100 });
            let told = from.recv().unwrap();
            (shown(&told.so_far.series), told.share())
        };
        for (query, place, series, share) in [
            ("{} | rate() by(.a)", (0, 1), vec!["a=x: 1 5", "a=y: 2 3"], 0.5),
            ("{} | rate() by(.a) | topk(1)", (0, 1), vec!["a=x: NaN 5", "a=y: 2 NaN"], 0.5),
            ("({} | rate() by(.a)) * 2 > 9", (0, 1), vec!["a=x: NaN 10"], 0.5),
            ("({} | rate() by(.a)) / ({} | rate() by(.a))", (0, 2), vec![], 0.25),
            ("({} | rate() by(.a)) / ({} | rate() by(.a))", (1, 2), vec![], 0.75),
        ] {
            let (told, of) = told(query, place);
            let told: Vec<&str> = told.iter().map(String::as_str).collect();
            assert_eq!((told, of), (series, share), "{query}");
        }
    }

    #[test]
    fn exemplars_need_their_point() {
        let mut measured = series(&[("a", "x")], &[1.0, 5.0]);
        measured.exemplars = [5, 15, 20, 25]
            .map(|start_unix_nano| store::MeasuredSpan {
                trace_id: model::TraceId([1; 16]),
                span_id: model::SpanId([1; 8]),
                start_unix_nano,
                value: f64::NAN,
            })
            .to_vec();
        let intervals = Intervals { start_unix_nano: 0, step_nano: 10, count: 2 };
        let kept = |series, max| -> Vec<u64> {
            let settled = settled(vec![series], &intervals, max);
            settled[0].exemplars.iter().map(|exemplar| exemplar.start_unix_nano).collect()
        };
        assert_eq!(kept(measured.clone(), 100), [5, 15, 20]);
        assert_eq!(kept(measured.clone(), 1), [5]);
        measured.values[0] = f64::NAN;
        assert_eq!(kept(measured, 100), [15, 20]);
    }

    #[test]
    fn every_series_that_is_left_has_exemplars() {
        // Five series, each the greatest for one interval alone.
        let measured = |at: usize| {
            let values: Vec<f64> = (0..5).map(|other| f64::from(u8::from(other == at))).collect();
            let mut series = series(&[("a", &at.to_string())], &values);
            let span = |start_unix_nano| store::MeasuredSpan {
                trace_id: model::TraceId([1; 16]),
                span_id: model::SpanId([1; 8]),
                start_unix_nano,
                value: if start_unix_nano % 10 == 3 { 9.0 } else { 1.0 },
            };
            series.exemplars = (1..=50).map(span).collect();
            series
        };
        let series = stages::top((0..5).map(measured).collect(), 1);
        let intervals = Intervals { start_unix_nano: 0, step_nano: 10, count: 5 };
        for (max, expected) in [(100, [10; 5]), (12, [3, 3, 2, 2, 2]), (3, [1, 1, 1, 0, 0])] {
            let settled = settled(series.clone(), &intervals, max);
            let mut counts: Vec<_> = settled.iter().map(|of| of.exemplars.len()).collect();
            counts.sort_by_key(|count| std::cmp::Reverse(*count));
            assert_eq!(counts, expected, "{max}");
            let has_greatest = |of: &MeasuredSeries| of.exemplars.iter().any(|of| of.value == 9.0);
            assert!(settled.iter().all(|of| of.exemplars.is_empty() || has_greatest(of)));
        }
    }

    #[test]
    fn the_hint_on_exemplars_comes_first() {
        for (hint, parameter, expected) in [
            ("", None, 100),
            ("", Some(7), 7),
            ("", Some(1000), 100),
            (" with(exemplars=false)", Some(7), 0),
            (" with(exemplars=true)", Some(7), 100),
            (" with(exemplars=3)", None, 3),
        ] {
            let query = traceql::parse(&format!("{{}} | rate(){hint}")).unwrap();
            assert_eq!(exemplars_max(&query.hints, parameter), expected, "{hint} {parameter:?}");
        }
    }
}
