//! Metrics: the spans that a pipeline leaves, counted by group over time.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{SpanId, TraceId};
use traceql::{Field, FieldExpr, MetricsFunction, OverTime, Pipeline, SpansetExpr, Stage, Static};

use super::compare::{Compared, compare};
use super::filter::filter;
use super::groups::{Groups, Sums, bucket, bucket_of_float, quantile};
use super::lanes::{Numbers, Run, Window, coded, intervals, numbers};
use super::mask::Mask;
use super::seam::Seam;
use super::slab::Slab;
use super::spansets::{Spansets, refusal};
use super::{Cancel, Stop, in_parallel_into, is_local, slabs};
use crate::columns::name;
use crate::piece::{Damaged, Piece};
use crate::search::View;
use crate::spare;
use crate::types::{MeasureRequest, Measured, MeasuredSeries, MeasuredSpan, QueryStats};

/// What the series of a query may take in memory.
const SERIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Pairs of values that are looked up by place.
const PAIRS_MAX: usize = 1 << 20;

/// Sums of some spans, and a few of the spans themselves.
struct Part {
    groups: Groups,
    compared: Compared,
    /// By group and interval.
    exemplars: Vec<(usize, usize, MeasuredSpan)>,
    /// Values are durations.
    durations: bool,
}

/// What a thread counted.
struct Counted {
    part: Part,
    stats: QueryStats,
    damaged: Vec<Damaged>,
    stop: Option<Stop>,
}

/// Answers a metrics query.
pub(crate) fn measure(
    view: &mut View,
    request: &MeasureRequest,
    cancel: &Cancel,
) -> Result<Measured, Stop> {
    if let Some(refusal) = refusal(&request.leaf.pipeline) {
        return Err(refusal);
    }
    // Whatever is counted: a span that was sent twice may lie in two pieces.
    let seam = Seam::of(view);
    let mut pieces = view.pieces.clone();
    pieces.extend(seam.pieces.iter().cloned());
    let length = request.step_nano.saturating_mul(request.steps as u64);
    let last = request.start_unix_nano.saturating_add(length);
    let mut stats = QueryStats { pieces: pieces.len() as u64, ..QueryStats::default() };
    let mut work: Vec<(Arc<dyn Piece>, Range<usize>)> = Vec::new();
    for piece in pieces {
        if !piece.start_ranges().overlap(request.start_unix_nano.saturating_add(1), last) {
            stats.pieces_skipped += 1;
            continue;
        }
        let rows = view.note(slabs(piece.as_ref())).unwrap_or_default();
        work.extend(rows.into_iter().map(|rows| (piece.clone(), rows)));
    }
    let none = || Counted {
        part: Part::new(request),
        stats: QueryStats::default(),
        damaged: Vec::new(),
        stop: None,
    };
    let counted = in_parallel_into(&work, none, |counted, (piece, rows)| {
        if counted.stop.is_some() {
            return;
        }
        let mut run = || {
            cancel.check()?;
            let slab = Slab::new(piece.as_ref(), rows.clone())?;
            let apart = seam.apart(piece.as_ref());
            let rows = spans(&slab, &request.leaf.pipeline, apart)?;
            count(&slab, request, &rows, &mut counted.part)?;
            counted.stats.slabs += 1;
            counted.stats.spans += slab.len() as u64;
            counted.stats.traces += slab.traces.len() as u64;
            counted.part.check()
        };
        match run() {
            Ok(()) => {}
            Err(Stop::Damaged(damaged)) => counted.damaged.push(damaged),
            Err(stop) => counted.stop = Some(stop),
        }
    });
    let mut all = Part::new(request);
    for counted in counted {
        if let Some(stop) = counted.stop {
            return Err(stop);
        }
        for damaged in counted.damaged {
            view.note::<()>(Err(damaged));
        }
        stats.add(&counted.stats);
        all.join(counted.part)?;
    }
    Ok(Measured { series: all.series(request), partial: view.is_partial(), stats })
}

/// The rows that a pipeline leaves, of traces that lie here alone.
pub(super) fn spans(slab: &Slab<'_>, pipeline: &Pipeline, shared: &[u128]) -> Result<Mask, Stop> {
    let is_shared = |trace: usize| shared.binary_search(&slab.table.ids[trace]).is_ok();
    if is_local(pipeline) {
        // One filter after the other, whatever their traces.
        let mut mask = Mask::all(slab.len());
        if !shared.is_empty() {
            mask.minus(&slab.rows_of_traces(is_shared));
        }
        for stage in &pipeline.stages {
            if let Stage::Spansets(SpansetExpr::Filter(expr)) = stage {
                mask = match expr {
                    FieldExpr::Static(Static::Bool(true)) => mask,
                    expr => filter(slab, expr, &mask)?,
                };
            }
        }
        return Ok(mask);
    }
    let first = slab.traces.start;
    let mut alive = Mask::none(slab.traces.len());
    for trace in slab.traces.clone() {
        if !is_shared(trace) {
            alive.set(trace - first);
        }
    }
    let spansets = Spansets::new(slab);
    let mut mask = Mask::none(slab.len());
    for at in spansets.candidates(pipeline, &alive)?.iter() {
        for set in spansets.run(pipeline, first + at)? {
            set.rows.iter().for_each(|&row| mask.set(row as usize));
        }
    }
    Ok(mask)
}

/// Adds the rows of a slab.
fn count(
    slab: &Slab<'_>,
    request: &MeasureRequest,
    rows: &Mask,
    part: &mut Part,
) -> Result<(), Stop> {
    if rows.is_empty() {
        return Ok(());
    }
    let (start, step, steps) = (request.start_unix_nano, request.step_nano, request.steps);
    let runs = intervals(slab, rows, Window { start, step, steps })?;
    let rows = Rows { alive: rows, all: rows.is_full(), runs: &runs };
    if let MetricsFunction::Compare { selection, range, .. } = &request.leaf.function {
        let selected = filter(slab, selection, rows.alive)?;
        compare(slab, &rows, &selected, *range, &mut part.compared)?;
        return Ok(());
    }
    let measured = match &request.leaf.function {
        MetricsFunction::OverTime(_, field)
        | MetricsFunction::Quantile { field, .. }
        | MetricsFunction::Histogram(field) => Some(numbers(slab, field, rows.alive)?),
        _ => None,
    };
    part.durations |= measured.as_ref().is_some_and(Numbers::are_durations);
    let mut local = Local::of(slab, &request.leaf.by, rows.alive)?;
    let groups = &mut part.groups;
    match (groups.sums, &measured) {
        (Sums::Count, _) | (_, None) if local.codes.is_none() => {
            for run in &runs {
                let spans = rows.count(run);
                if spans > 0 {
                    let group = local.group(0, groups);
                    groups.count(group, run.interval, 0, spans as u32);
                }
            }
        }
        (Sums::Count, _) | (_, None) => rows.each(|row, interval| {
            let group = local.group(row, groups);
            groups.count(group, interval, 0, 1);
        }),
        (Sums::Value(function), Some(numbers)) => rows.each(|row, interval| {
            let value = numbers.at(row);
            if !value.is_nan() {
                let group = local.group(row, groups);
                groups.value(function, group, interval, value);
            }
        }),
        (Sums::Histogram, Some(Numbers::Nanos(column))) => {
            let nanos = column.int64s();
            let buckets = |row: usize| bucket(nanos[row]);
            histogram(&rows, buckets, &mut local, groups);
        }
        (Sums::Histogram, Some(Numbers::Floats { values, .. })) => {
            let buckets = |row: usize| bucket_of_float(values[row]);
            histogram(&rows, buckets, &mut local, groups);
        }
    }
    if request.exemplars_max == 0 {
        return Ok(());
    }
    let sums = groups.sums;
    let is_counted = |row: usize| match &measured {
        Some(numbers) if sums == Sums::Histogram => bucket_of_float(numbers.at(row)).is_some(),
        Some(numbers) => !numbers.at(row).is_nan(),
        None => true,
    };
    let mut picked: HashMap<(usize, usize), usize> = HashMap::new();
    rows.each(|row, interval| {
        if picked.len() < request.exemplars_max && is_counted(row) {
            picked.entry((local.group(row, groups), interval)).or_insert(row);
        }
    });
    let ids = slab.required(name::SPAN_ID)?;
    for ((group, interval), row) in picked {
        let scale = if part.durations { 1e-9 } else { 1.0 };
        let value = measured.as_ref().map_or(f64::NAN, |numbers| numbers.at(row) * scale);
        let trace = slab.trace_of()[row] as usize;
        let span = MeasuredSpan {
            trace_id: TraceId::from_number(slab.table.ids[trace]),
            span_id: SpanId::from_number(ids.id8_at(row)),
            start_unix_nano: slab.start(row)?,
            value,
        };
        part.exemplars.push((group, interval, span));
    }
    Ok(())
}

/// Counts rows by bucket.
fn histogram(
    rows: &Rows<'_>,
    bucket_of: impl Fn(usize) -> Option<usize>,
    local: &mut Local,
    groups: &mut Groups,
) {
    rows.each(|row, interval| {
        if let Some(bucket) = bucket_of(row) {
            let group = local.group(row, groups);
            groups.count(group, interval, bucket, 1);
        }
    });
}

/// The rows of a slab that are counted.
pub(super) struct Rows<'a> {
    pub(super) alive: &'a Mask,
    /// All rows are alive.
    all: bool,
    runs: &'a [Run],
}

impl Rows<'_> {
    /// Calls `add` with every row and its interval.
    #[inline]
    pub(super) fn each(&self, mut add: impl FnMut(usize, usize)) {
        for run in self.runs {
            if self.all {
                run.rows.clone().for_each(|row| add(row, run.interval));
            } else {
                self.alive.iter_in(run.rows.clone()).for_each(|row| add(row, run.interval));
            }
        }
    }

    /// The rows of a run.
    fn count(&self, run: &Run) -> usize {
        if self.all { run.rows.len() } else { self.alive.iter_in(run.rows.clone()).count() }
    }
}

/// No group yet.
const NONE: u32 = u32::MAX;

/// The groups of a slab's rows.
struct Local {
    /// The values of each field.
    values: Vec<Vec<Static>>,
    /// Of each row the place of its group among those of the slab; `None` where there is one alone.
    codes: Option<Vec<u32>>,
    /// Of each group the code of its value in each field, one group behind the other.
    keys: Vec<u32>,
    /// The groups' numbers among those of all slabs.
    numbers: Vec<u32>,
}

impl Local {
    fn of(slab: &Slab<'_>, by: &[Field], rows: &Mask) -> Result<Self, Damaged> {
        let mut lanes = by.iter().map(|field| coded(slab, field, rows));
        let Some(first) = lanes.next() else {
            return Ok(Self {
                values: Vec::new(),
                codes: None,
                keys: Vec::new(),
                numbers: vec![NONE],
            });
        };
        let mut first = first?;
        let mut codes = std::mem::take(&mut first.codes);
        let values = std::mem::take(&mut first.values);
        let mut count = values.len();
        let mut keys: Vec<u32> = (0..count as u32).collect();
        let mut values = vec![values];
        for lane in lanes {
            let mut lane = lane?;
            let (fields, width) = (values.len(), lane.values.len());
            let mut joined: Vec<u32> = Vec::new();
            count = 0;
            let mut join = |a: u32, b: u32| {
                let first = a as usize * fields;
                joined.extend_from_slice(&keys[first..first + fields]);
                joined.push(b);
                count += 1;
                count as u32 - 1
            };
            let known_max = (keys.len() / fields).saturating_mul(width);
            if known_max <= PAIRS_MAX {
                let mut known = vec![NONE; known_max];
                for row in rows.iter() {
                    let (a, b) = (codes[row], lane.codes[row]);
                    let slot = &mut known[a as usize * width + b as usize];
                    if *slot == NONE {
                        *slot = join(a, b);
                    }
                    codes[row] = *slot;
                }
            } else {
                let mut known: HashMap<(u32, u32), u32> = HashMap::new();
                for row in rows.iter() {
                    let (a, b) = (codes[row], lane.codes[row]);
                    codes[row] = *known.entry((a, b)).or_insert_with(|| join(a, b));
                }
            }
            keys = joined;
            values.push(std::mem::take(&mut lane.values));
        }
        Ok(Self { values, codes: Some(codes), keys, numbers: vec![NONE; count] })
    }

    /// The number of a row's group.
    #[inline]
    fn group(&mut self, row: usize, groups: &mut Groups) -> usize {
        let local = self.codes.as_ref().map_or(0, |codes| codes[row]) as usize;
        match self.numbers[local] {
            NONE => self.look_up(local, groups),
            number => number as usize,
        }
    }

    #[cold]
    fn look_up(&mut self, local: usize, groups: &mut Groups) -> usize {
        let fields = self.values.len();
        let key = &self.keys[local * fields..(local + 1) * fields];
        let key = key.iter().zip(&self.values).map(|(&code, values)| &values[code as usize]);
        let number = groups.number(key);
        self.numbers[local] = number as u32;
        number
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.codes.take().into_iter().for_each(spare::give);
    }
}

impl Part {
    fn new(request: &MeasureRequest) -> Self {
        Self {
            groups: Groups::new(Sums::of(&request.leaf.function), request.steps, SERIES_BYTES_MAX),
            compared: Compared::new(request.steps),
            exemplars: Vec::new(),
            durations: false,
        }
    }

    /// Whether it has become too large.
    fn check(&self) -> Result<(), Stop> {
        if !self.groups.overflown() && self.compared.bytes() <= SERIES_BYTES_MAX {
            return Ok(());
        }
        let groups = self.groups.keys().len() + self.compared.len();
        Err(Stop::Refused(format!(
            "the query has more than {groups} series, which take more than {} MiB: group by \
             fields with fewer values, or ask for a longer step",
            SERIES_BYTES_MAX >> 20
        )))
    }

    fn join(&mut self, other: Self) -> Result<(), Stop> {
        self.compared.join(other.compared);
        if self.groups.keys().is_empty() {
            (self.groups, self.exemplars, self.durations) =
                (other.groups, other.exemplars, other.durations);
            return self.check();
        }
        self.groups.join(&other.groups);
        for (group, interval, span) in other.exemplars {
            let group = self.groups.number(other.groups.keys()[group].iter());
            self.exemplars.push((group, interval, span));
        }
        self.durations |= other.durations;
        self.check()
    }

    /// The series, by their labels.
    fn series(mut self, request: &MeasureRequest) -> Vec<MeasuredSeries> {
        let function = &request.leaf.function;
        if let MetricsFunction::Compare { top_n, .. } = function {
            return self.compared.series(*top_n as usize);
        }
        let scale = if self.durations { 1e-9 } else { 1.0 };
        let step_seconds = request.step_nano as f64 / 1e9;
        self.exemplars.sort_by_key(|(_, interval, span)| (*interval, span.start_unix_nano));
        let quota = (request.exemplars_max / self.groups.keys().len().max(1)).max(1);
        let mut out = Vec::new();
        for (group, key) in self.groups.keys().iter().enumerate() {
            let labels = labels(function, &request.leaf.by, key);
            let steps = 0..self.groups.steps;
            let spans = |step| self.groups.spans(group, step) as f64;
            let first = out.len();
            let mut push = |extra: Option<(&str, f64)>, values: Vec<f64>| {
                let mut labels = labels.clone();
                if let Some((name, value)) = extra {
                    labels.retain(|(name, _)| name != "__name__");
                    labels.push((name.to_owned(), Static::Float(value)));
                }
                out.push(MeasuredSeries { labels, values, exemplars: Vec::new() });
            };
            match function {
                MetricsFunction::Rate => {
                    push(None, steps.map(|step| spans(step) / step_seconds).collect());
                }
                MetricsFunction::CountOverTime => push(None, steps.map(spans).collect()),
                MetricsFunction::OverTime(over, _) => {
                    let value = |step| match spans(step) {
                        0.0 => f64::NAN,
                        spans if *over == OverTime::Avg => {
                            self.groups.summed(group, step) / spans * scale
                        }
                        _ => self.groups.summed(group, step) * scale,
                    };
                    push(None, steps.map(value).collect());
                }
                MetricsFunction::Quantile { quantiles, .. } => {
                    let first = self.groups.buckets().start;
                    for &part in quantiles {
                        let value = |step| quantile(first, self.groups.counts(group, step), part);
                        let values = steps.clone().map(|step| value(step) * scale).collect();
                        push(Some(("p", part)), values);
                    }
                }
                MetricsFunction::Histogram(_) => {
                    for (at, bucket) in self.groups.buckets().enumerate() {
                        let spans = |step| self.groups.counts(group, step).nth(at).unwrap_or(0);
                        let values: Vec<f64> =
                            steps.clone().map(|step| spans(step) as f64).collect();
                        if values.iter().any(|&spans| spans > 0.0) {
                            push(Some(("__bucket", (bucket as f64).exp2() * scale)), values);
                        }
                    }
                }
                MetricsFunction::Compare { .. } => {}
            }
            let mine = self.exemplars.iter().filter(|(of, _, _)| *of == group);
            let mine: Vec<&MeasuredSpan> = mine.map(|(_, _, span)| span).collect();
            let stride = mine.len().div_ceil(quota).max(1);
            if let Some(series) = out.get_mut(first) {
                series.exemplars = mine.into_iter().step_by(stride).cloned().collect();
            }
        }
        out.sort_by_cached_key(|series| format!("{:?}", series.labels));
        out
    }
}

/// The labels of a group: without fields the function's name, nil values left out unless all are
/// nil.
fn labels(function: &MetricsFunction, by: &[Field], key: &[Static]) -> Vec<(String, Static)> {
    if by.is_empty() {
        return vec![("__name__".to_owned(), Static::String(function.name().to_owned()))];
    }
    let mut labels: Vec<(String, Static)> = by
        .iter()
        .zip(key)
        .filter(|(_, value)| **value != Static::Nil)
        .map(|(field, value)| (field.to_string(), value.clone()))
        .collect();
    if labels.is_empty() {
        labels.push((by[0].to_string(), Static::String("nil".to_owned())));
    }
    labels
}
