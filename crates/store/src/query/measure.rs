//! Metrics: the spans that a pipeline leaves, counted by group over time.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hashbrown::HashMap;
use model::{SpanId, TraceId};
use parking_lot::Mutex;
use traceql::{
    Field, FieldExpr, MetricsFunction, MetricsLeaf, OverTime, Pipeline, SpansetExpr, Stage, Static,
};

use super::budget::Budget;
use super::compare::{Compared, compare};
use super::exemplars::{Exemplar, Picker, class, limit, thin};
use super::filter::filter;
use super::find::possible_slabs;
use super::groups::{Groups, Sums, bucket, bucket_of_float, buckets_of, quantile};
use super::lanes::{Legend, Numbers, Run, Window, coded, intervals, numbers};
use super::mask::Mask;
use super::seam::{PASS_SPANS, Passes};
use super::slab::Slab;
use super::spansets::{Spansets, refusal};
use super::telling::{TOLD_BYTES_MAX, Teller};
use super::weights::{ONE, weights};
use super::{Cancel, Stop, in_parallel, is_local, needs_trace, slabs};
use crate::columns::name;
use crate::piece::{Damaged, Piece};
use crate::search::View;
use crate::spare;
use crate::types::{
    MeasureRequest, Measured, MeasuredSeries, MeasuredSpan, Progress, QueryStats, QueryStep,
};

/// What the series of a query may take in memory, those that every thread counts together; as they
/// are told they may take twice as much.
const SERIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A name and its value.
type Label = (String, Static);

/// Pairs of values that are looked up by place.
const PAIRS_MAX: usize = 1 << 20;

/// Sums of some spans, and a few of the spans themselves.
struct Part {
    groups: Groups,
    compared: Compared,
    exemplars: Vec<Exemplar>,
    /// Values are durations.
    durations: bool,
}

/// What a thread counted.
struct Counted {
    part: Part,
    /// The slabs of the part, by their places.
    slabs: Vec<usize>,
    stats: QueryStats,
    damaged: Vec<Damaged>,
}

impl Counted {
    fn into(part: Part) -> Self {
        let (slabs, stats, damaged) = Default::default();
        Self { part, slabs, stats, damaged }
    }
}

/// Answers a metrics query.
pub(crate) fn measure(
    view: &mut View,
    request: &MeasureRequest,
    cancel: &Cancel,
    teller: Option<&Teller<Measured>>,
) -> Result<Measured, Stop> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    measure_within(
        view,
        request,
        cancel,
        teller,
        &Budget::of(SERIES_BYTES_MAX),
        threads,
        PASS_SPANS,
    )
}

fn measure_within(
    view: &mut View,
    request: &MeasureRequest,
    cancel: &Cancel,
    teller: Option<&Teller<Measured>>,
    budget: &Arc<Budget>,
    threads: usize,
    spans_max: usize,
) -> Result<Measured, Stop> {
    if let Some(refusal) = refusal(&request.leaf.pipeline) {
        return Err(refusal);
    }
    let length = request.step_nano.saturating_mul(request.steps as u64);
    let last = request.start_unix_nano.saturating_add(length);
    let first = request.start_unix_nano.saturating_add(1);
    let probe = view.probe.clone();
    let pipeline = &request.leaf.pipeline;
    let is_inside = |piece: &dyn Piece| piece.start_ranges().overlap(first, last);
    // Whatever is counted: a span that was sent twice may lie in two pieces.
    let mut passes = probe.step(QueryStep::Seams, || match is_local_leaf(&request.leaf) {
        // Both start at the same time.
        true => Passes::of_doubles(view, is_inside, cancel, spans_max),
        false => Passes::of_pipeline(view, pipeline, cancel, spans_max),
    })?;
    let mut stats = QueryStats::default();
    let mut counted = Counted::into(Part::new(request, budget));
    while let Some(pass) = probe.step(QueryStep::Seams, || passes.next(view, cancel))? {
        let mut pieces = pass.pieces.clone();
        stats.pieces += pieces.len() as u64;
        stats.pieces_skipped += pieces.len() as u64;
        pieces.retain(|piece| is_inside(piece.as_ref()));
        stats.pieces_skipped -= pieces.len() as u64;
        let opened = in_parallel(&pieces, |piece| {
            let mut stats = QueryStats::default();
            let open = || possible_slabs(piece.as_ref(), pipeline, &mut stats, slabs);
            Ok::<_, Damaged>((probe.step(QueryStep::Prune, open)?, stats))
        });
        let mut work: Vec<(Arc<dyn Piece>, Range<usize>)> = Vec::new();
        for (piece, opened) in pieces.into_iter().zip(opened) {
            let Some((rows, more)) = view.note(opened) else { continue };
            stats.add(&more);
            work.extend(rows.into_iter().map(|rows| (piece.clone(), rows)));
        }
        let count_slab = |counted: &mut Counted, at: usize| {
            cancel.check()?;
            let (piece, rows) = &work[at];
            let slab =
                probe.step(QueryStep::Prune, || Slab::new(piece.as_ref(), rows.clone(), &probe))?;
            let rows = spans(&slab, pipeline, pass.apart(piece.as_ref()))?;
            let counting = || count(&slab, request, &rows, &mut counted.part);
            probe.step(QueryStep::Count, counting)?;
            counted.slabs.push(at);
            counted.stats.slabs += 1;
            counted.stats.spans += slab.len() as u64;
            counted.stats.traces += slab.traces.len() as u64;
            Ok(())
        };
        let spans: u64 = work.iter().map(|(_, rows)| rows.len() as u64).sum();
        let spans_all = counted.stats.spans + spans + passes.spans_left();
        let partial = view.is_partial();
        let telling = teller.map(|teller| Telling { teller, request, spans_all, partial });
        counted = count_all(work.len(), count_slab, request, budget, threads, counted, telling)?;
        cancel.check()?;
        for damaged in counted.damaged.drain(..) {
            view.note::<()>(Err(damaged));
        }
    }
    stats.add(&counted.stats);
    if counted.part.series_bytes(request) > budget.bytes_max().saturating_mul(2) {
        return Err(counted.part.too_much());
    }
    let series = probe.step(QueryStep::Answer, || counted.part.series(request));
    probe.tell(&mut stats);
    Ok(Measured { series, partial: view.is_partial(), stats })
}

/// How what was counted so far is told: when it is time all threads bring together what they have.
#[derive(Clone, Copy)]
struct Telling<'t> {
    teller: &'t Teller<Measured>,
    request: &'t MeasureRequest,
    spans_all: u64,
    partial: bool,
}

impl Telling<'_> {
    fn tell(&self, part: &Part, took: &QueryStats) {
        let series = part.series_so_far(self.request);
        let so_far = Measured { series, partial: self.partial, stats: took.clone() };
        let (spans_done, spans_all) = (took.spans, self.spans_all);
        self.teller.tell(Progress { so_far, spans_done, spans_all });
    }
}

/// Counts slabs by their places and adds them to what was counted, on several threads as long as what each counts for itself has room
/// beside the others. A thread that finds none gives up its slabs, which are counted in the end,
/// into what all others have: a query is refused when its own series do not fit.
fn count_all(
    slabs: usize,
    count_slab: impl Fn(&mut Counted, usize) -> Result<(), Stop> + Sync,
    request: &MeasureRequest,
    budget: &Arc<Budget>,
    threads: usize,
    before: Counted,
    telling: Option<Telling<'_>>,
) -> Result<Counted, Stop> {
    // Of what is counted at the same time, one half is for what was counted before.
    let part_bytes_max = budget.bytes_max() / (2 * threads.max(1));
    let all = Mutex::new(before.part);
    let (next, is_stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let again: Mutex<Vec<usize>> = Mutex::default();
    // Where memory is short nothing is told any more.
    let is_roomy = || again.lock().is_empty();
    let work = |counted: &mut Counted, telling: Option<Telling<'_>>| {
        while !is_stopped.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= slabs {
                break;
            }
            match count_slab(counted, at) {
                Ok(()) => {}
                Err(Stop::Damaged(damaged)) => counted.damaged.push(damaged),
                Err(stop) => return Err(stop),
            }
            if counted.part.is_overflown() {
                again.lock().append(&mut counted.slabs);
                counted.part = Part::new(request, budget);
                return Ok(false);
            }
            if counted.part.bytes() > part_bytes_max {
                let part = std::mem::replace(&mut counted.part, Part::new(request, budget));
                all.lock().join(part, request.exemplars_max)?;
                counted.slabs.clear();
            }
            if telling.is_some_and(|telling| telling.teller.is_due()) {
                break;
            }
        }
        Ok(true)
    };
    let workers = vec![(); threads.min(slabs).max(1)];
    let (mut stats, mut damaged) = (before.stats, Vec::new());
    loop {
        let telling = telling.filter(|_| is_roomy());
        let parts = in_parallel(&workers, |()| {
            let mut counted = Counted::into(Part::new(request, budget));
            let done = work(&mut counted, telling);
            if done.is_err() {
                is_stopped.store(true, Ordering::Relaxed);
            }
            done.map(|goes_on| (counted, goes_on))
        });
        let mut goes_on = false;
        for part in parts {
            let (part, has_room) = part?;
            goes_on |= has_room;
            stats.add(&part.stats);
            damaged.extend(part.damaged);
            all.lock().join(part.part, request.exemplars_max)?;
        }
        if !goes_on || next.load(Ordering::Relaxed) >= slabs {
            break;
        }
        if let Some(telling) = telling {
            telling.tell(&all.lock(), &stats);
        }
    }
    let mut all = Counted { stats, damaged, ..Counted::into(all.into_inner()) };
    // Where all threads have given up, there are slabs that nobody took.
    let left = next.into_inner().min(slabs)..slabs;
    for at in again.into_inner().into_iter().chain(left) {
        match count_slab(&mut all, at) {
            Ok(()) => all.part.check()?,
            Err(Stop::Damaged(damaged)) => all.damaged.push(damaged),
            Err(stop) => return Err(stop),
        }
    }
    Ok(all)
}

/// Whether each span can be counted by what it carries itself, wherever the rest of its trace is.
fn is_local_leaf(leaf: &MetricsLeaf) -> bool {
    let is_own = match &leaf.function {
        MetricsFunction::Rate | MetricsFunction::CountOverTime => true,
        MetricsFunction::OverTime(_, field)
        | MetricsFunction::Quantile { field, .. }
        | MetricsFunction::Histogram(field) => !needs_trace(field),
        // The roots of traces are compared, too.
        MetricsFunction::Compare { .. } => false,
    };
    is_own && is_local(&leaf.pipeline) && !leaf.by.iter().any(needs_trace)
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
                    expr => slab.probe.step(QueryStep::Filter, || filter(slab, expr, &mask))?,
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
    let candidates =
        slab.probe.step(QueryStep::Filter, || spansets.candidates(pipeline, &alive))?;
    slab.probe.step(QueryStep::Judge, || {
        for at in candidates.iter() {
            for set in spansets.run(pipeline, first + at)? {
                set.rows.iter().for_each(|&row| mask.set(row as usize));
            }
        }
        Ok::<_, Stop>(())
    })?;
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
    let weights = match request.extrapolate {
        true => Some(weights(slab)?.unwrap_or_else(|| vec![ONE; slab.len()])),
        false => None,
    };
    if let MetricsFunction::Compare { selection, range, .. } = &request.leaf.function {
        let selected = filter(slab, selection, rows.alive)?;
        compare(slab, &rows, &selected, *range, weights.as_deref(), &mut part.compared)?;
        return Ok(());
    }
    let measured = match &request.leaf.function {
        MetricsFunction::OverTime(_, field)
        | MetricsFunction::Quantile { field, .. }
        | MetricsFunction::Histogram(field) => Some(numbers(slab, field, rows.alive)?),
        _ => None,
    };
    part.durations |= measured.as_ref().is_some_and(Numbers::are_durations);
    let mut local = Local::of(slab, &request.leaf.by, &rows)?;
    let groups = &mut part.groups;
    if let Some(weights) = weights {
        rows.each(|row, interval| {
            weighed((row, interval), weights[row], measured.as_ref(), &mut local, groups);
        });
        return pick(slab, request, &rows, measured.as_ref(), &mut local, part);
    }
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
        (Sums::Count, _) | (_, None) => tally(&rows, 1, |_| Some(0), &mut local, groups),
        (Sums::Value(function), Some(numbers)) => rows.each(|row, interval| {
            let value = numbers.at(row);
            if !value.is_nan() {
                let group = local.group(row, groups);
                groups.value(function, group, interval, value);
            }
        }),
        (Sums::Histogram, Some(Numbers::Nanos(column))) => {
            let nanos = column.int64s();
            let width = buckets_of(nanos.iter().copied());
            tally(&rows, width, |row| bucket(nanos[row]), &mut local, groups);
        }
        (Sums::Histogram, Some(Numbers::Floats { values, .. })) => {
            let width = buckets_of(values.iter().map(|&value| value as i64));
            tally(&rows, width, |row| bucket_of_float(values[row]), &mut local, groups);
        }
    }
    pick(slab, request, &rows, measured.as_ref(), &mut local, part)
}

/// Counts a row of an interval as so many 4096ths of a span.
fn weighed(
    (row, interval): (usize, usize),
    weight: u32,
    measured: Option<&Numbers>,
    local: &mut Local,
    groups: &mut Groups,
) {
    match (groups.sums, measured) {
        (Sums::Count, _) | (_, None) => {
            let group = local.group(row, groups);
            groups.count(group, interval, 0, weight);
        }
        (Sums::Value(function), Some(numbers)) => {
            let value = numbers.at(row);
            if value.is_nan() {
                return;
            }
            let value = match function {
                OverTime::Min | OverTime::Max => value,
                OverTime::Avg | OverTime::Sum => value * f64::from(weight) / f64::from(ONE),
            };
            let group = local.group(row, groups);
            groups.values(function, group, interval, value, weight);
        }
        (Sums::Histogram, Some(numbers)) => {
            let bucket = match numbers {
                Numbers::Nanos(column) => bucket(column.int64s()[row]),
                Numbers::Floats { values, .. } => bucket_of_float(values[row]),
            };
            if let Some(bucket) = bucket {
                let group = local.group(row, groups);
                groups.count(group, interval, bucket, weight);
            }
        }
    }
}

/// Picks spans of a slab that stand for those that were counted.
fn pick(
    slab: &Slab<'_>,
    request: &MeasureRequest,
    rows: &Rows<'_>,
    measured: Option<&Numbers>,
    local: &mut Local,
    part: &mut Part,
) -> Result<(), Stop> {
    if request.exemplars_max == 0 {
        return Ok(());
    }
    let groups = &mut part.groups;
    let is_histogram = measured.is_some() && groups.sums == Sums::Histogram;
    let value = |row: usize| measured.map_or(f64::NAN, |numbers| numbers.at(row));
    let is_counted = |value: f64| match measured {
        Some(_) if is_histogram => bucket_of_float(value).is_some(),
        Some(_) => !value.is_nan(),
        None => true,
    };
    let mut picker = Picker::new(local.numbers.len(), request.exemplars_max);
    let codes = local.codes.as_deref();
    rows.each(|row, interval| {
        let value = value(row);
        if is_counted(value) {
            let group = codes.map_or(0, |codes| codes[row]) as usize;
            picker.add((row, group, interval), value, class(value, is_histogram));
        }
    });
    let ids = slab.required(name::SPAN_ID)?;
    let scale = if part.durations { 1e-9 } else { 1.0 };
    for (row, group, interval) in picker.picked() {
        let value = value(row);
        let trace = slab.trace_of()[row] as usize;
        let span = MeasuredSpan {
            trace_id: TraceId::from_number(slab.table.ids[trace]),
            span_id: SpanId::from_number(ids.id8_at(row)),
            start_unix_nano: slab.start(row)?,
            value: value * scale,
        };
        let (group, class) = (local.number(group, groups), class(value, is_histogram));
        part.exemplars.push(Exemplar { group, interval, class, span });
    }
    limit(&mut part.exemplars, request.exemplars_max);
    Ok(())
}

/// Cells of a slab's own counts: as many as a core's cache holds beside the columns.
const TALLY_CELLS_MAX: usize = 128 * 1024;

/// Counts rows by group, interval and bucket, of which there are `width`. A slab has few intervals
/// and groups: they are counted side by side first, where the cells of all of the time would be far
/// from each other.
fn tally(
    rows: &Rows<'_>,
    width: usize,
    bucket_of: impl Fn(usize) -> Option<usize>,
    local: &mut Local,
    groups: &mut Groups,
) {
    let mut intervals: Vec<usize> = rows.runs.iter().map(|run| run.interval).collect();
    intervals.sort_unstable();
    intervals.dedup();
    let known = local.numbers.len();
    let cells = known.saturating_mul(intervals.len()).saturating_mul(width);
    let spans: usize = rows.runs.iter().map(|run| run.rows.len()).sum();
    if cells > TALLY_CELLS_MAX || cells > spans {
        rows.each(|row, interval| {
            if let Some(bucket) = bucket_of(row) {
                let group = local.group(row, groups);
                groups.count(group, interval, bucket, 1);
            }
        });
        return;
    }
    let mut counts: Vec<u32> = spare::take(cells);
    counts.resize(cells, 0);
    for run in rows.runs {
        let slot = intervals.partition_point(|&interval| interval < run.interval) * known;
        let codes = local.codes.as_deref();
        let mut add = |row: usize| {
            if let Some(bucket) = bucket_of(row) {
                let group = slot + codes.map_or(0, |codes| codes[row]) as usize;
                counts[group * width + bucket] += 1;
            }
        };
        if rows.all {
            run.rows.clone().for_each(add);
        } else {
            rows.alive.iter_in(run.rows.clone()).for_each(&mut add);
        }
    }
    for (at, counts) in counts.chunks_exact(width).enumerate() {
        let (slot, code) = (at / known, at % known);
        for (bucket, &spans) in counts.iter().enumerate().filter(|(_, spans)| **spans > 0) {
            let group = local.number(code, groups);
            groups.count(group, intervals[slot], bucket, spans);
        }
    }
    spare::give(counts);
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

    /// Puts the number of its pair in the place of each row's first code.
    fn pairs(&self, first: &mut [u32], second: &[u32], mut number: impl FnMut(u32, u32) -> u32) {
        if self.all {
            let rows = first.iter_mut().zip(second);
            rows.for_each(|(first, &second)| *first = number(*first, second));
        } else {
            self.alive.iter().for_each(|row| first[row] = number(first[row], second[row]));
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
    /// The values of each field by code.
    legends: Vec<Legend>,
    /// Of each row the place of its group among those of the slab; `None` where there is one alone.
    codes: Option<Vec<u32>>,
    /// Of each group the code of its value in each field, one group behind the other.
    keys: Vec<u32>,
    /// The groups' numbers among those of all slabs.
    numbers: Vec<u32>,
}

impl Local {
    fn of(slab: &Slab<'_>, by: &[Field], rows: &Rows<'_>) -> Result<Self, Damaged> {
        let mut lanes = by.iter().map(|field| coded(slab, field, rows.alive));
        let Some(first) = lanes.next() else {
            return Ok(Self {
                legends: Vec::new(),
                codes: None,
                keys: Vec::new(),
                numbers: vec![NONE],
            });
        };
        let mut first = first?;
        let mut codes = std::mem::take(&mut first.codes);
        let legend = std::mem::take(&mut first.legend);
        let mut count = legend.len();
        let mut keys: Vec<u32> = (0..count as u32).collect();
        let mut legends = vec![legend];
        for lane in lanes {
            let mut lane = lane?;
            let (fields, width) = (legends.len(), lane.legend.len());
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
                rows.pairs(&mut codes, &lane.codes, |a, b| {
                    let slot = &mut known[a as usize * width + b as usize];
                    if *slot == NONE {
                        *slot = join(a, b);
                    }
                    *slot
                });
            } else {
                let mut known: HashMap<(u32, u32), u32> = HashMap::new();
                rows.pairs(&mut codes, &lane.codes, |a, b| {
                    *known.entry((a, b)).or_insert_with(|| join(a, b))
                });
            }
            keys = joined;
            legends.push(std::mem::take(&mut lane.legend));
        }
        Ok(Self { legends, codes: Some(codes), keys, numbers: vec![NONE; count] })
    }

    /// The number of a row's group.
    #[inline]
    fn group(&mut self, row: usize, groups: &mut Groups) -> usize {
        let local = self.codes.as_ref().map_or(0, |codes| codes[row]) as usize;
        self.number(local, groups)
    }

    /// The number of a group by its place among those of the slab.
    fn number(&mut self, local: usize, groups: &mut Groups) -> usize {
        match self.numbers[local] {
            NONE => self.look_up(local, groups),
            number => number as usize,
        }
    }

    #[cold]
    fn look_up(&mut self, local: usize, groups: &mut Groups) -> usize {
        let fields = self.legends.len();
        let key = &self.keys[local * fields..(local + 1) * fields];
        let key = key.iter().zip(&self.legends).map(|(&code, legend)| legend.value(code));
        let number = groups.number(key.collect::<Vec<_>>().iter());
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
    fn new(request: &MeasureRequest, budget: &Arc<Budget>) -> Self {
        Self {
            groups: Groups::new(Sums::of(&request.leaf.function), request.steps, budget),
            compared: Compared::new(request.steps, budget),
            exemplars: Vec::new(),
            durations: false,
        }
    }

    /// What it takes in memory, about.
    fn bytes(&self) -> usize {
        self.groups.bytes() + self.compared.bytes()
    }

    /// Whether there was no room for it; what was counted since is wrong.
    fn is_overflown(&self) -> bool {
        self.groups.overflown() || self.compared.overflown()
    }

    fn check(&self) -> Result<(), Stop> {
        if self.is_overflown() { Err(self.too_much()) } else { Ok(()) }
    }

    /// What the series take in memory, about: it may be more than what was counted of them.
    fn series_bytes(&self, request: &MeasureRequest) -> usize {
        let each = match &request.leaf.function {
            MetricsFunction::Compare { top_n, .. } => {
                return self.compared.series_bytes(*top_n as usize);
            }
            MetricsFunction::Quantile { quantiles, .. } => quantiles.len(),
            MetricsFunction::Histogram(_) => self.groups.buckets().len(),
            _ => 1,
        };
        // What says which function, quantile or bucket it is, is a label, too.
        let names = request.leaf.by.iter().map(|field| field.to_string().len());
        let labels: usize = names.chain([0]).map(|name| size_of::<Label>() + name).sum();
        let own = size_of::<MeasuredSeries>() + request.steps * size_of::<f64>();
        // Labels are twice in memory while the series are sorted.
        (self.groups.keys().len().saturating_mul(own + 2 * labels))
            .saturating_add(2 * self.groups.key_bytes())
            .saturating_mul(each)
    }

    fn too_much(&self) -> Stop {
        let groups = self.groups.keys().len() + self.compared.len();
        Stop::Refused(format!(
            "the query has {groups} series or more, which take more than {} MiB: group by fields \
             with fewer values, or ask for a longer step",
            SERIES_BYTES_MAX >> 20
        ))
    }

    fn join(&mut self, other: Self, exemplars_max: usize) -> Result<(), Stop> {
        self.compared.join(other.compared);
        if self.groups.keys().is_empty() {
            (self.groups, self.exemplars, self.durations) =
                (other.groups, other.exemplars, other.durations);
            return self.check();
        }
        let numbers = self.groups.join(other.groups);
        for exemplar in other.exemplars {
            if let Some(&group) = numbers.get(exemplar.group) {
                self.exemplars.push(Exemplar { group, ..exemplar });
            }
        }
        self.durations |= other.durations;
        limit(&mut self.exemplars, exemplars_max);
        self.check()
    }

    /// The series, by their labels.
    fn series(mut self, request: &MeasureRequest) -> Vec<MeasuredSeries> {
        let one = if request.extrapolate { f64::from(ONE) } else { 1.0 };
        if let MetricsFunction::Compare { top_n, .. } = &request.leaf.function {
            return self.compared.series(*top_n as usize, one);
        }
        let mut exemplars = std::mem::take(&mut self.exemplars);
        thin(&mut exemplars, request.exemplars_max);
        self.grouped(request, exemplars)
    }

    /// The series as they are now, without exemplars; none where they are not to be told before the
    /// end.
    fn series_so_far(&self, request: &MeasureRequest) -> Vec<MeasuredSeries> {
        // A comparison tells the most frequent values, which may be others in the end.
        match self.bytes().max(self.series_bytes(request)) <= TOLD_BYTES_MAX {
            true => self.grouped(request, Vec::new()),
            false => Vec::new(),
        }
    }

    fn grouped(&self, request: &MeasureRequest, exemplars: Vec<Exemplar>) -> Vec<MeasuredSeries> {
        let function = &request.leaf.function;
        let scale = if self.durations { 1e-9 } else { 1.0 };
        let step_seconds = request.step_nano as f64 / 1e9;
        let mut exemplars = exemplars.into_iter().peekable();
        let mut out = Vec::new();
        for (group, key) in self.groups.keys().iter().enumerate() {
            let labels = labels(function, &request.leaf.by, key);
            let steps = 0..self.groups.steps;
            let one = if request.extrapolate { f64::from(ONE) } else { 1.0 };
            let spans = |step| self.groups.spans(group, step) as f64 / one;
            let first = out.len();
            let mut buckets: Vec<usize> = Vec::new();
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
                            steps.clone().map(|step| spans(step) as f64 / one).collect();
                        if values.iter().any(|&spans| spans > 0.0) {
                            push(Some(("__bucket", (bucket as f64).exp2() * scale)), values);
                            buckets.push(bucket);
                        }
                    }
                }
                MetricsFunction::Compare { .. } => {}
            }
            while let Some(exemplar) = exemplars.next_if(|of| of.group == group) {
                let place = match function {
                    // The bucket that it is in.
                    MetricsFunction::Histogram(_) => {
                        buckets.iter().position(|&bucket| bucket == usize::from(exemplar.class))
                    }
                    // The least quantile that is not below it, or else the greatest there is.
                    MetricsFunction::Quantile { .. } => {
                        let of = |series: &MeasuredSeries| {
                            series.values.get(exemplar.interval).copied().unwrap_or(f64::NAN)
                        };
                        let all = || out[first..].iter().map(of).enumerate();
                        let above = all().filter(|(_, value)| *value >= exemplar.span.value);
                        let above = above.min_by(|one, other| one.1.total_cmp(&other.1));
                        let last = || all().max_by(|one, other| one.1.total_cmp(&other.1));
                        above.or_else(last).map(|(place, _)| place)
                    }
                    _ => Some(0),
                };
                if let Some(series) = place.and_then(|place| out.get_mut(first + place)) {
                    series.exemplars.push(exemplar.span);
                }
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

#[cfg(test)]
mod tests;
