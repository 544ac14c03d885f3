//! Metrics: the spans that a pipeline leaves, counted by group over time.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{SpanId, TraceId};
use traceql::{Field, FieldExpr, MetricsFunction, Pipeline, SpansetExpr, Stage, Static};

use super::compare::compare;
use super::filter::filter;
use super::groups::{Groups, Sums, quantile};
use super::lanes::{Coded, NO, coded, intervals, numbers};
use super::mask::Mask;
use super::seam::Seam;
use super::slab::Slab;
use super::spansets::{Spansets, refusal};
use super::{Cancel, Stop, in_parallel_into, is_local, slabs};
use crate::columns::name;
use crate::piece::{Damaged, Piece};
use crate::search::View;
use crate::types::{MeasureRequest, Measured, MeasuredSeries, MeasuredSpan, QueryStats};

/// What the series of a query may take in memory.
const SERIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Counters that a slab is counted into before its groups are looked up.
const COUNTS_MAX: usize = 1 << 20;

/// Sums of some spans, and a few of the spans themselves.
struct Part {
    groups: Groups,
    /// By group and interval.
    exemplars: Vec<(usize, u32, MeasuredSpan)>,
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
    let local = is_local(&request.leaf.pipeline);
    let seam = if local { Seam::default() } else { Seam::of(view) };
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
            let apart: &[u128] = if seam.has(piece.as_ref()) { &[] } else { &seam.ids };
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
fn spans(slab: &Slab<'_>, pipeline: &Pipeline, shared: &[u128]) -> Result<Mask, Stop> {
    if is_local(pipeline) {
        // One filter after the other, whatever their traces.
        let mut mask = Mask::all(slab.len());
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
        if shared.binary_search(&slab.table.ids[trace]).is_err() {
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
    let intervals = intervals(slab, rows, start, step, steps)?;
    if let MetricsFunction::Compare { selection, range, .. } = &request.leaf.function {
        let selected = filter(slab, selection, rows)?;
        compare(slab, rows, &selected, *range, &intervals, &mut part.groups)?;
        return Ok(());
    }
    let measured = match &request.leaf.function {
        MetricsFunction::OverTime(_, field)
        | MetricsFunction::Quantile { field, .. }
        | MetricsFunction::Histogram(field) => Some(numbers(slab, field, rows)?),
        _ => None,
    };
    part.durations |= measured.as_ref().is_some_and(|numbers| numbers.durations);
    let (group_of, keys) = group(slab, &request.leaf.by, rows)?;
    let mut numbers_of: Vec<u32> = vec![NO; keys.len()];
    let sums = part.groups.sums;
    let mut picked: HashMap<(usize, u32), u32> = HashMap::new();
    if sums == Sums::Count && request.exemplars_max == 0 && keys.len() * steps <= COUNTS_MAX {
        let mut counts = vec![0u32; keys.len() * steps];
        let mut add = |row: usize, local: usize| {
            // Compared instead of looked up: what is in no interval is behind all of them.
            let interval = intervals[row] as usize;
            if interval < steps {
                counts[local * steps + interval] += 1;
            }
        };
        match (&group_of, rows.is_full()) {
            (None, true) => (0..slab.len()).for_each(|row| add(row, 0)),
            (None, false) => rows.iter().for_each(|row| add(row, 0)),
            (Some(of), true) => {
                of.iter().enumerate().for_each(|(row, &local)| add(row, local as usize));
            }
            (Some(of), false) => rows.iter().for_each(|row| add(row, of[row] as usize)),
        }
        for (local, counts) in counts.chunks(steps).enumerate() {
            if counts.iter().any(|&count| count > 0) {
                let group = part.groups.number(keys[local].clone());
                for (step, &count) in counts.iter().enumerate() {
                    part.groups.cell_mut(group, step)[0] += f64::from(count);
                }
            }
        }
        return Ok(());
    }
    for row in rows.iter() {
        let interval = intervals[row];
        if interval == NO {
            continue;
        }
        let local = group_of.as_ref().map_or(0, |of| of[row]) as usize;
        let value = match &measured {
            None => f64::NAN,
            Some(numbers) if numbers.values[row].is_nan() => continue,
            Some(numbers) => numbers.values[row],
        };
        if numbers_of[local] == NO {
            numbers_of[local] = part.groups.number(keys[local].clone()) as u32;
        }
        let group = numbers_of[local] as usize;
        sums.add(part.groups.cell_mut(group, interval as usize), value);
        if picked.len() < request.exemplars_max {
            picked.entry((group, interval)).or_insert(row as u32);
        }
    }
    if !picked.is_empty() {
        let ids = slab.required(name::SPAN_ID)?;
        for ((group, interval), row) in picked {
            let row = row as usize;
            let scale = if part.durations { 1e-9 } else { 1.0 };
            let value = measured.as_ref().map_or(f64::NAN, |numbers| numbers.values[row] * scale);
            let trace = slab.trace_of()[row] as usize;
            let span = MeasuredSpan {
                trace_id: TraceId::from_number(slab.table.ids[trace]),
                span_id: SpanId::from_number(ids.id8_at(row)),
                start_unix_nano: slab.start(row)?,
                value,
            };
            part.exemplars.push((group, interval, span));
        }
    }
    Ok(())
}

/// The number of each row's group, unless there is one alone; and the values of each group.
type Grouping = (Option<Vec<u32>>, Vec<Vec<Static>>);

/// The group of each row, and the values that tell groups. Without fields there is one group.
fn group(slab: &Slab<'_>, by: &[Field], rows: &Mask) -> Result<Grouping, Damaged> {
    let mut lanes = by.iter().map(|field| coded(slab, field, rows));
    let Some(first) = lanes.next() else { return Ok((None, vec![Vec::new()])) };
    let Coded { mut codes, values } = first?;
    let mut keys: Vec<Vec<Static>> = values.into_iter().map(|value| vec![value]).collect();
    for lane in lanes {
        let lane = lane?;
        let width = lane.values.len();
        let mut joined: Vec<Vec<Static>> = Vec::new();
        let mut join = |a: u32, b: u32| {
            let mut key = keys[a as usize].clone();
            key.push(lane.values[b as usize].clone());
            joined.push(key);
            joined.len() as u32 - 1
        };
        if keys.len().saturating_mul(width) <= 1 << 20 {
            let mut known = vec![NO; keys.len() * width];
            for row in rows.iter() {
                let (a, b) = (codes[row], lane.codes[row]);
                let slot = &mut known[a as usize * width + b as usize];
                if *slot == NO {
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
    }
    Ok((Some(codes), keys))
}

impl Part {
    fn new(request: &MeasureRequest) -> Self {
        Self {
            groups: Groups::new(Sums::of(&request.leaf.function), request.steps),
            exemplars: Vec::new(),
            durations: false,
        }
    }

    /// Whether it has become too large.
    fn check(&self) -> Result<(), Stop> {
        let groups = self.groups.keys.len();
        if groups.saturating_mul(self.groups.group_bytes()) <= SERIES_BYTES_MAX {
            return Ok(());
        }
        Err(Stop::Refused(format!(
            "the query has more than {groups} series, which take more than {} MiB: group by \
             fields with fewer values, or ask for a longer step",
            SERIES_BYTES_MAX >> 20
        )))
    }

    fn join(&mut self, other: Self) -> Result<(), Stop> {
        if self.groups.keys.is_empty() {
            *self = other;
            return Ok(());
        }
        self.groups.join(&other.groups);
        for (group, interval, span) in other.exemplars {
            let group = self.groups.number(other.groups.keys[group].clone());
            self.exemplars.push((group, interval, span));
        }
        self.durations |= other.durations;
        self.check()
    }

    /// The series, by their labels.
    fn series(mut self, request: &MeasureRequest) -> Vec<MeasuredSeries> {
        let function = &request.leaf.function;
        if let MetricsFunction::Compare { top_n, .. } = function {
            return super::compare::series(&self.groups, *top_n as usize);
        }
        let scale = if self.durations { 1e-9 } else { 1.0 };
        let step_seconds = request.step_nano as f64 / 1e9;
        self.exemplars.sort_by_key(|(_, interval, span)| (*interval, span.start_unix_nano));
        let quota = (request.exemplars_max / self.groups.keys.len().max(1)).max(1);
        let mut out = Vec::new();
        for (group, key) in self.groups.keys.iter().enumerate() {
            let labels = labels(function, &request.leaf.by, key);
            let cells = || (0..self.groups.steps).map(|step| self.groups.cell(group, step));
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
                    push(None, cells().map(|cell| cell[0] / step_seconds).collect());
                }
                MetricsFunction::CountOverTime => {
                    push(None, cells().map(|cell| cell[0]).collect());
                }
                MetricsFunction::OverTime(over, _) => {
                    let value = |cell: &[f64]| match over {
                        _ if cell[0] == 0.0 => f64::NAN,
                        traceql::OverTime::Avg => cell[1] / cell[0] * scale,
                        _ => cell[1] * scale,
                    };
                    push(None, cells().map(value).collect());
                }
                MetricsFunction::Quantile { quantiles, .. } => {
                    for &part in quantiles {
                        let values = cells().map(|cell| quantile(cell, part) * scale).collect();
                        push(Some(("p", part)), values);
                    }
                }
                MetricsFunction::Histogram(_) => {
                    for bucket in 0..self.groups.sums.width() {
                        let values: Vec<f64> = cells().map(|cell| cell[bucket]).collect();
                        if values.iter().any(|&count| count > 0.0) {
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
