//! Metrics: every span that a pipeline leaves, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use store::{MeasureRequest, Measured, MeasuredSeries};
use traceql::{
    Attribute, Field, Intrinsic, MetricsFunction, OverTime, Scope, SpansetExpr, Stage, Static,
};

use super::values::{At, Value, is_number};
use super::{Judge, Oracle};
use crate::sent::Sent;

/// A span that is counted: its interval, the values by which it is grouped, and the number that
/// is measured.
struct Counted<'a> {
    sent: &'a Sent,
    interval: usize,
    key: Vec<Static>,
    number: f64,
}

/// The series, by their labels and without exemplars.
pub fn measure(held: &[Sent], request: &MeasureRequest) -> Vec<MeasuredSeries> {
    let mut series = match &request.leaf.function {
        MetricsFunction::Compare { top_n, .. } => compared(held, request, *top_n as usize),
        _ => measured(held, request),
    };
    series.sort_by_cached_key(|series| format!("{:?}", series.labels));
    series
}

fn measured(held: &[Sent], request: &MeasureRequest) -> Vec<MeasuredSeries> {
    let leaf = &request.leaf;
    let mut groups: BTreeMap<String, Vec<Counted<'_>>> = BTreeMap::new();
    for counted in counted(held, request) {
        groups.entry(format!("{:?}", counted.key)).or_default().push(counted);
    }
    let scale = scale(&leaf.function);
    let mut out = Vec::new();
    for group in groups.into_values() {
        let in_interval = |interval: usize| -> Vec<f64> {
            let some = group.iter().filter(|counted| counted.interval == interval);
            some.map(|counted| counted.number).collect()
        };
        let each = |value: &dyn Fn(Vec<f64>) -> f64| -> Vec<f64> {
            (0..request.steps).map(|interval| value(in_interval(interval))).collect()
        };
        let labels = labels(request, &group[0].key);
        let mut push = |extra: Option<(&str, f64)>, values: Vec<f64>| {
            let mut labels = labels.clone();
            if let Some((name, value)) = extra {
                labels.retain(|(name, _)| name != "__name__");
                labels.push((name.to_owned(), Static::Float(value)));
            }
            out.push(MeasuredSeries { labels, values, exemplars: Vec::new() });
        };
        match &leaf.function {
            MetricsFunction::Rate => {
                let seconds = request.step_nano as f64 / 1e9;
                push(None, each(&|numbers| numbers.len() as f64 / seconds));
            }
            MetricsFunction::CountOverTime => push(None, each(&|numbers| numbers.len() as f64)),
            MetricsFunction::OverTime(over, _) => push(
                None,
                each(&|numbers| {
                    let sum: f64 = numbers.iter().sum();
                    let value = match over {
                        _ if numbers.is_empty() => f64::NAN,
                        OverTime::Min => numbers.iter().copied().reduce(f64::min).unwrap(),
                        OverTime::Max => numbers.iter().copied().reduce(f64::max).unwrap(),
                        OverTime::Avg => sum / numbers.len() as f64,
                        OverTime::Sum => sum,
                    };
                    value * scale
                }),
            ),
            MetricsFunction::Quantile { quantiles, .. } => {
                for &part in quantiles {
                    push(Some(("p", part)), each(&|numbers| quantile(&numbers, part) * scale));
                }
            }
            MetricsFunction::Histogram(_) => {
                let buckets: BTreeSet<i32> = group.iter().map(|of| bucket(of.number)).collect();
                for wanted in buckets {
                    let count = |numbers: Vec<f64>| {
                        numbers.into_iter().filter(|&number| bucket(number) == wanted).count()
                    };
                    let bound = f64::from(wanted).exp2() * scale;
                    push(Some(("__bucket", bound)), each(&|numbers| count(numbers) as f64));
                }
            }
            MetricsFunction::Compare { .. } => unreachable!(),
        }
    }
    out
}

/// An exemplar that is no span of its series, in words.
pub fn stray_exemplar(
    held: &[Sent],
    request: &MeasureRequest,
    measured: &Measured,
) -> Option<String> {
    let counted = counted(held, request);
    let scale = scale(&request.leaf.function);
    for series in &measured.series {
        // As text, in which NaN equals itself.
        let spelled: Vec<String> = series.labels.iter().map(|label| format!("{label:?}")).collect();
        for exemplar in &series.exemplars {
            let fits = |counted: &Counted<'_>| {
                let span = &counted.sent.span;
                // Quantiles and buckets have labels more.
                labels(request, &counted.key)
                    .iter()
                    .all(|label| label.0 == "__name__" || spelled.contains(&format!("{label:?}")))
                    && counted.sent.trace() == exemplar.trace_id
                    && span.span_id == exemplar.span_id.0
                    && span.start_time_unix_nano == exemplar.start_unix_nano
                    && (counted.number * scale == exemplar.value || counted.number.is_nan())
            };
            if !counted.iter().any(fits) {
                return Some(format!("{exemplar:?} of {:?}", series.labels));
            }
        }
    }
    None
}

/// Durations are told in seconds.
fn scale(function: &MetricsFunction) -> f64 {
    let (MetricsFunction::OverTime(_, field)
    | MetricsFunction::Quantile { field, .. }
    | MetricsFunction::Histogram(field)) = function
    else {
        return 1.0;
    };
    let durations = [Intrinsic::Duration, Intrinsic::TraceDuration, Intrinsic::EventTimeSinceStart];
    let is_duration = durations.iter().any(|of| *field == Field::Intrinsic(*of));
    if is_duration { 1e-9 } else { 1.0 }
}

fn labels(request: &MeasureRequest, key: &[Static]) -> Vec<(String, Static)> {
    let by = &request.leaf.by;
    if by.is_empty() {
        let name = Static::String(request.leaf.function.name().to_owned());
        return vec![("__name__".to_owned(), name)];
    }
    if key.iter().all(|value| *value == Static::Nil) {
        return vec![(by[0].to_string(), Static::String("nil".to_owned()))];
    }
    let all = by.iter().zip(key);
    let known = all.filter(|(_, value)| **value != Static::Nil);
    known.map(|(field, value)| (field.to_string(), value.clone())).collect()
}

/// The power of two at which the number's bucket ends; less than two has none.
fn bucket(number: f64) -> i32 {
    let whole = number.min(9.2e18) as u128;
    (1..64).find(|&power| whole <= 1 << power).unwrap()
}

fn quantile(numbers: &[f64], part: f64) -> f64 {
    let mut buckets: Vec<i32> = numbers.iter().map(|&number| bucket(number)).collect();
    buckets.sort_unstable();
    let wanted = part * buckets.len() as f64;
    for &at in &buckets {
        let below = buckets.iter().filter(|&&other| other < at).count() as f64;
        let upto = buckets.iter().filter(|&&other| other <= at).count() as f64;
        if upto >= wanted {
            let share = (wanted - below) / (upto - below);
            return (f64::from(at) - 1.0 + share).exp2();
        }
    }
    f64::NAN
}

fn judges(held: &[Sent]) -> Vec<Judge<'_>> {
    Oracle(held).traces().into_iter().map(|trace| Judge::of(held, trace)).collect()
}

/// The interval in which a span starts: open at its start, closed at its end.
fn interval(sent: &Sent, request: &MeasureRequest) -> Option<usize> {
    let time = u128::from(sent.span.start_time_unix_nano);
    (0..request.steps).find(|&at| {
        let start =
            u128::from(request.start_unix_nano) + u128::from(request.step_nano) * at as u128;
        start < time && time <= start + u128::from(request.step_nano)
    })
}

/// One value, or none.
fn single(value: Value) -> Static {
    match value {
        Value::One(value) => value,
        Value::Many(list) if list.len() == 1 => list[0].clone(),
        Value::Many(_) | Value::Odd | Value::Missing => Static::Nil,
    }
}

impl<'a> Judge<'a> {
    /// The spans that a pipeline leaves and that start in an interval.
    fn left(&self, request: &MeasureRequest) -> Vec<(usize, usize)> {
        let sets = self.pipeline(&request.leaf.pipeline, None);
        let spans: BTreeSet<usize> = sets.into_iter().flat_map(|set| set.spans).collect();
        let timed = |at: usize| Some((at, interval(self.spans[at], request)?));
        spans.into_iter().filter_map(timed).collect()
    }

    /// `.x` is of the span, else of its resource.
    fn grouped(&self, at: usize, field: &Field) -> Static {
        if let Field::Attribute(Attribute { scope: Scope::Any, parent: false, name }) = field {
            let of = |scope| Attribute { scope, parent: false, name: name.clone() };
            let value = |scope| single(self.field(at, At::Span, &Field::Attribute(of(scope))));
            return match value(Scope::Span) {
                Static::Nil => value(Scope::Resource),
                value => value,
            };
        }
        single(self.field(at, At::Span, field))
    }
}

fn counted<'a>(held: &'a [Sent], request: &MeasureRequest) -> Vec<Counted<'a>> {
    let mut all = Vec::new();
    for judge in judges(held) {
        for (at, interval) in judge.left(request) {
            let number_of = |field: &Field| {
                let value = judge.field(at, At::Span, field);
                value.one().and_then(is_number).filter(|number| !number.is_nan())
            };
            let number = match &request.leaf.function {
                MetricsFunction::OverTime(_, field) => number_of(field),
                MetricsFunction::Quantile { field, .. } | MetricsFunction::Histogram(field) => {
                    number_of(field).filter(|&number| number >= 2.0)
                }
                _ => Some(f64::NAN),
            };
            let key = request.leaf.by.iter().map(|field| judge.grouped(at, field)).collect();
            if let Some(number) = number {
                all.push(Counted { sent: judge.spans[at], interval, key, number });
            }
        }
    }
    all
}

fn compared(held: &[Sent], request: &MeasureRequest, top_n: usize) -> Vec<MeasuredSeries> {
    let MetricsFunction::Compare { selection, range, .. } = &request.leaf.function else {
        unreachable!()
    };
    let mut spans: BTreeMap<(String, &str), Vec<(Static, usize)>> = BTreeMap::new();
    for judge in judges(held) {
        for (at, interval) in judge.left(request) {
            let sent = judge.spans[at];
            let start = sent.span.start_time_unix_nano as i64;
            let in_range = range.is_none_or(|(from, to)| from <= start && start < to);
            // A stage of its own: the selection looks at this span.
            let selection = SpansetExpr::Filter(selection.clone());
            let stages = vec![Stage::Spansets(selection)];
            let selected = judge.pipeline(&traceql::Pipeline { stages }, Some(&[at]));
            let side = if in_range && !selected.is_empty() { "selection" } else { "baseline" };
            let mut fields: BTreeMap<String, Field> = BTreeMap::new();
            let mut add = |field: Field| fields.insert(field.to_string(), field);
            for intrinsic in [
                Intrinsic::Name,
                Intrinsic::Kind,
                Intrinsic::Status,
                Intrinsic::StatusMessage,
                Intrinsic::RootName,
                Intrinsic::RootServiceName,
            ] {
                add(Field::Intrinsic(intrinsic));
            }
            for (scope, list) in
                [(Scope::Span, &sent.span.attributes), (Scope::Resource, &sent.resource.attributes)]
            {
                for attribute in list {
                    let name = attribute.key.clone();
                    add(Field::Attribute(Attribute { scope, parent: false, name }));
                }
            }
            for (name, field) in fields {
                let value = single(judge.field(at, At::Span, &field));
                if value != Static::Nil {
                    spans.entry((name, side)).or_default().push((value, interval));
                }
            }
        }
    }
    let mut out = Vec::new();
    for ((field, side), spans) in spans {
        let mut push = |side: &str, value: &Static, wanted: &dyn Fn(&Static) -> bool| {
            let mut values = vec![0.0; request.steps];
            for (value, interval) in &spans {
                values[*interval] += if wanted(value) { 1.0 } else { 0.0 };
            }
            let side = Static::String(side.to_owned());
            let labels = vec![("__meta_type".to_owned(), side), (field.clone(), value.clone())];
            out.push(MeasuredSeries { labels, values, exemplars: Vec::new() });
        };
        push(&format!("{side}_total"), &Static::Nil, &|_| true);
        let mut counts: BTreeMap<String, (usize, &Static)> = BTreeMap::new();
        for (value, _) in &spans {
            counts.entry(format!("{value:?}")).or_insert((0, value)).0 += 1;
        }
        let mut counts: Vec<(usize, &Static)> = counts.into_values().collect();
        counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        for (_, value) in counts.into_iter().take(top_n) {
            let spelled = format!("{value:?}");
            push(side, value, &|other| format!("{other:?}") == spelled);
        }
    }
    out
}
