//! Spansets: what the stages of a pipeline make of a trace's spans.
//!
//! First the filters of the first stage run over all rows and tell which traces can have a result
//! at all; only those are then judged, each whole.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use traceql::{
    Aggregate, AggregateFunction, CompareOp, FieldExpr, Mode, Pipeline, Scalar, SpansetExpr, Stage,
    Static,
};

use super::Stop;
use super::filter::{Domain, filter};
use super::groups::Distinct;
use super::mask::Mask;
use super::slab::Slab;
use super::structure::{inverse, partners};
use super::value::Val;
use super::values::values;
use crate::piece::Damaged;

/// Some spans of one trace.
#[derive(Debug, Clone)]
pub(super) struct Spanset {
    /// Rows of the slab, ascending; never empty.
    pub(super) rows: Vec<u32>,
    /// What stages said of it: `by(…)` and aggregates, by their text.
    pub(super) attributes: Vec<(String, Static)>,
}

/// A pipeline at work on a slab.
pub(super) struct Spansets<'s, 'a> {
    slab: &'s Slab<'a>,
    /// Rows for which a filter holds, as far as was asked.
    masks: RefCell<HashMap<*const FieldExpr, Rc<Mask>>>,
}

impl<'s, 'a> Spansets<'s, 'a> {
    pub(super) fn new(slab: &'s Slab<'a>) -> Self {
        Self { slab, masks: RefCell::default() }
    }

    /// The traces, by their place in the slab, that may have a result: no other one has.
    pub(super) fn candidates(&self, pipeline: &Pipeline, alive: &Mask) -> Result<Mask, Damaged> {
        match pipeline.stages.first() {
            Some(Stage::Spansets(expr)) => self.possible(expr, alive),
            _ => Ok(alive.clone()),
        }
    }

    fn possible(&self, expr: &SpansetExpr, alive: &Mask) -> Result<Mask, Damaged> {
        match expr {
            SpansetExpr::Filter(filter) => self.hold(filter, alive),
            SpansetExpr::And(list) => {
                let mut left = alive.clone();
                let (nots, rest): (Vec<_>, Vec<_>) =
                    list.iter().partition(|expr| matches!(expr, SpansetExpr::Not(_)));
                for expr in rest.into_iter().chain(nots) {
                    left = self.possible(expr, &left)?;
                }
                Ok(left)
            }
            SpansetExpr::Or(list) => {
                let mut any = Mask::none(alive.len());
                for expr in list {
                    any.or(&self.possible(expr, alive)?);
                }
                Ok(any)
            }
            SpansetExpr::Structural { mode, left, right, .. } => {
                let first = self.possible(right, alive)?;
                let both = self.possible(left, &first)?;
                Ok(if *mode == Mode::Not { first } else { both })
            }
            SpansetExpr::Not(inner) => {
                self.possible(inner, alive)?;
                Ok(alive.clone())
            }
            SpansetExpr::Pipeline(pipeline) => self.candidates(pipeline, alive),
        }
    }

    /// The traces with a span for which the filter holds, of those alive. Keeps the rows.
    pub(super) fn hold(&self, expr: &FieldExpr, alive: &Mask) -> Result<Mask, Damaged> {
        let slab = self.slab;
        let first = slab.traces.start;
        let rows = match (expr, alive.is_full()) {
            (FieldExpr::Static(_), _) | (_, true) => Mask::all(slab.len()),
            _ => slab.rows_of_traces(|trace| alive.get(trace - first)),
        };
        let mask = filter(slab, expr, &rows)?;
        if mask.is_full() {
            self.masks.borrow_mut().insert(std::ptr::from_ref(expr), Rc::new(mask));
            return Ok(alive.clone());
        }
        let mut traces = Mask::none(alive.len());
        let of = slab.trace_of();
        mask.iter().for_each(|row| traces.set(of[row] as usize - first));
        traces.and(alive);
        let mut masks = self.masks.borrow_mut();
        match masks.get_mut(&std::ptr::from_ref(expr)) {
            Some(known) => Rc::make_mut(known).or(&mask),
            None => drop(masks.insert(std::ptr::from_ref(expr), Rc::new(mask))),
        }
        Ok(traces)
    }

    fn mask(&self, expr: &FieldExpr) -> Result<Rc<Mask>, Damaged> {
        if let Some(mask) = self.masks.borrow().get(&std::ptr::from_ref(expr)) {
            return Ok(mask.clone());
        }
        // Of a later stage: few traces come so far, but their rows may be anywhere.
        let mask = Rc::new(filter(self.slab, expr, &Mask::all(self.slab.len()))?);
        self.masks.borrow_mut().insert(std::ptr::from_ref(expr), mask.clone());
        Ok(mask)
    }

    /// The spansets that a pipeline leaves of a trace, by its place in the table.
    pub(super) fn run(&self, pipeline: &Pipeline, trace: usize) -> Result<Vec<Spanset>, Stop> {
        let rows = self.slab.trace_rows(trace);
        self.stages(&pipeline.stages, rows.start as u32..rows.end as u32, None)
    }

    fn stages(
        &self,
        stages: &[Stage],
        trace: std::ops::Range<u32>,
        universe: Option<&[u32]>,
    ) -> Result<Vec<Spanset>, Stop> {
        let mut sets: Option<Vec<Spanset>> =
            universe.map(|rows| vec![Spanset { rows: rows.to_vec(), attributes: Vec::new() }]);
        for stage in stages {
            let whole = || Spanset { rows: trace.clone().collect(), attributes: Vec::new() };
            let mut next = match (sets.take(), stage) {
                // Parentheses around a whole pipeline change nothing.
                (None, Stage::Spansets(SpansetExpr::Pipeline(inner))) => {
                    self.stages(&inner.stages, trace.clone(), None)?
                }
                (None, Stage::Spansets(expr)) => {
                    let rows = self.rows(expr, &trace, None)?;
                    vec![Spanset { rows, attributes: Vec::new() }]
                }
                (input, stage) => {
                    self.stage(stage, &trace, input.unwrap_or_else(|| vec![whole()]))?
                }
            };
            next.retain(|set| !set.rows.is_empty());
            let is_end = next.is_empty();
            sets = Some(next);
            if is_end {
                break;
            }
        }
        Ok(sets.unwrap_or_default())
    }

    fn stage(
        &self,
        stage: &Stage,
        trace: &std::ops::Range<u32>,
        input: Vec<Spanset>,
    ) -> Result<Vec<Spanset>, Stop> {
        let mut out = Vec::new();
        match stage {
            Stage::Spansets(expr) => {
                for set in input {
                    let rows = self.rows(expr, trace, Some(&set.rows))?;
                    out.push(Spanset { rows, ..set });
                }
            }
            Stage::Filter(filter) => {
                for mut set in input {
                    let left = self.scalar(&filter.left, &mut set)?;
                    let right = self.scalar(&filter.right, &mut set)?;
                    if let (Some(left), Some(right)) = (left, right)
                        && left.compare(filter.op, &right)
                    {
                        out.push(set);
                    }
                }
            }
            Stage::By(expr) => {
                let name = format!("by({expr})");
                for set in input {
                    let mut keys = Distinct::default();
                    let mut groups: Vec<Vec<u32>> = Vec::new();
                    let of_rows = values(self.slab, expr, Domain::Spans, &set.rows)?;
                    for (&row, key) in set.rows.iter().zip(of_rows) {
                        let group = keys.number_of(&key.single());
                        if group == groups.len() {
                            groups.push(Vec::new());
                        }
                        groups[group].push(row);
                    }
                    for (key, rows) in keys.into_values().into_iter().zip(groups) {
                        let mut attributes = set.attributes.clone();
                        attributes.push((name.clone(), key));
                        out.push(Spanset { rows, attributes });
                    }
                }
            }
            Stage::Coalesce => {
                let mut rows: Vec<u32> = input.into_iter().flat_map(|set| set.rows).collect();
                rows.sort_unstable();
                rows.dedup();
                out.push(Spanset { rows, attributes: Vec::new() });
            }
            // The values are read with the results.
            Stage::Select(_) => return Ok(input),
        }
        Ok(out)
    }

    /// The spans of a trace, or of those of it in `universe`, that an expression gives; ascending.
    fn rows(
        &self,
        expr: &SpansetExpr,
        trace: &std::ops::Range<u32>,
        universe: Option<&[u32]>,
    ) -> Result<Vec<u32>, Stop> {
        let all = || universe.map_or_else(|| trace.clone().collect(), <[u32]>::to_vec);
        match expr {
            SpansetExpr::Filter(expr) => {
                let mask = self.mask(expr)?;
                Ok(match universe {
                    None => mask
                        .iter_in(trace.start as usize..trace.end as usize)
                        .map(|row| row as u32)
                        .collect(),
                    Some(rows) => {
                        rows.iter().copied().filter(|&row| mask.get(row as usize)).collect()
                    }
                })
            }
            SpansetExpr::And(list) => {
                let mut rows = Vec::new();
                let mut conditions_only = true;
                for expr in list {
                    if let SpansetExpr::Not(inner) = expr {
                        if !self.rows(inner, trace, universe)?.is_empty() {
                            return Ok(Vec::new());
                        }
                        continue;
                    }
                    conditions_only = false;
                    let more = self.rows(expr, trace, universe)?;
                    if more.is_empty() {
                        return Ok(Vec::new());
                    }
                    rows.extend(more);
                }
                if conditions_only {
                    return Ok(all());
                }
                Ok(sorted(rows))
            }
            SpansetExpr::Or(list) => {
                let mut rows = Vec::new();
                for expr in list {
                    rows.extend(self.rows(expr, trace, universe)?);
                }
                Ok(sorted(rows))
            }
            SpansetExpr::Structural { relation, mode, left, right } => {
                let right = self.rows(right, trace, universe)?;
                if right.is_empty() {
                    return Ok(right);
                }
                let left = self.rows(left, trace, universe)?;
                let slab = self.slab;
                let found = partners(slab, *relation, &left, &right)?;
                Ok(match mode {
                    Mode::Plain => found,
                    Mode::Not => {
                        right.into_iter().filter(|row| found.binary_search(row).is_err()).collect()
                    }
                    Mode::Union => {
                        let mut rows = partners(slab, inverse(*relation), &right, &left)?;
                        rows.extend(found);
                        sorted(rows)
                    }
                })
            }
            SpansetExpr::Not(inner) => {
                let there = !self.rows(inner, trace, universe)?.is_empty();
                Ok(if there { Vec::new() } else { all() })
            }
            SpansetExpr::Pipeline(pipeline) => {
                let sets = self.stages(&pipeline.stages, trace.clone(), universe)?;
                Ok(sorted(sets.into_iter().flat_map(|set| set.rows).collect()))
            }
        }
    }

    /// A number of a spanset; `None` when no span of it has a value. Aggregates are noted among
    /// the attributes.
    fn scalar(&self, scalar: &Scalar, set: &mut Spanset) -> Result<Option<Static>, Stop> {
        Ok(match scalar {
            Scalar::Static(value) => Some(value.clone()),
            Scalar::Negate(inner) => self.scalar(inner, set)?.and_then(|value| value.negated()),
            Scalar::Arithmetic { op, left, right } => {
                let left = self.scalar(left, set)?;
                let right = self.scalar(right, set)?;
                left.zip(right).and_then(|(left, right)| left.arithmetic(*op, &right))
            }
            Scalar::Aggregate(aggregate) => {
                let value = self.aggregate(aggregate, &set.rows)?;
                if let Some(value) = &value {
                    let name = aggregate.to_string();
                    set.attributes.retain(|(of, _)| *of != name);
                    set.attributes.push((name, value.clone()));
                }
                value
            }
        })
    }

    fn aggregate(&self, aggregate: &Aggregate, rows: &[u32]) -> Result<Option<Static>, Stop> {
        let Some(expr) = &aggregate.expr else { return Ok(Some(Static::Int(rows.len() as i64))) };
        let computed = values(self.slab, expr, Domain::Spans, rows)?;
        let is_number = |value: &Val| value.number().is_some_and(|number| !number.is_nan());
        let numbers = computed.into_iter().filter(is_number);
        let numbers: Vec<Static> = numbers.map(Val::single).collect();
        Ok(fold(aggregate.function, &numbers))
    }
}

/// A function over numbers; `None` of none.
fn fold(function: AggregateFunction, numbers: &[Static]) -> Option<Static> {
    let pick = |op: CompareOp| {
        let better =
            |best: Static, next: &Static| if next.compare(op, &best) { next.clone() } else { best };
        let (first, rest) = numbers.split_first()?;
        Some(rest.iter().fold(first.clone(), better))
    };
    let sum = || {
        let (first, rest) = numbers.split_first()?;
        rest.iter()
            .try_fold(first.clone(), |sum, next| sum.arithmetic(traceql::ArithmeticOp::Add, next))
    };
    match function {
        AggregateFunction::Count => Some(Static::Int(numbers.len() as i64)),
        AggregateFunction::Min => pick(CompareOp::Less),
        AggregateFunction::Max => pick(CompareOp::Greater),
        AggregateFunction::Sum => sum(),
        AggregateFunction::Avg => {
            let mean = sum()?.number()? / numbers.len() as f64;
            let durations = numbers.iter().all(|number| matches!(number, Static::Duration(_)));
            Some(if durations { Static::Duration(mean as i64) } else { Static::Float(mean) })
        }
    }
}

fn sorted(mut rows: Vec<u32>) -> Vec<u32> {
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// Why a pipeline has no answer, whatever there is in the store.
pub(super) fn refusal(pipeline: &Pipeline) -> Option<Stop> {
    let of_stage = |stage: &Stage| match stage {
        Stage::Spansets(expr) => splits_beside_structure(expr),
        _ => false,
    };
    pipeline.stages.iter().any(of_stage).then(|| {
        Stop::Refused(
            "a structural operator needs one spanset on each side, and by() makes several: \
             join them by coalesce()"
                .to_owned(),
        )
    })
}

/// Whether a side of a structural operator may be several spansets.
fn splits_beside_structure(expr: &SpansetExpr) -> bool {
    match expr {
        SpansetExpr::Filter(_) => false,
        SpansetExpr::And(all) | SpansetExpr::Or(all) => all.iter().any(splits_beside_structure),
        SpansetExpr::Not(inner) => splits_beside_structure(inner),
        SpansetExpr::Pipeline(pipeline) => refusal(pipeline).is_some(),
        SpansetExpr::Structural { left, right, .. } => [left, right].into_iter().any(|side| {
            let splits = |pipeline: &Pipeline| {
                let last = pipeline
                    .stages
                    .iter()
                    .rfind(|stage| matches!(stage, Stage::By(_) | Stage::Coalesce));
                matches!(last, Some(Stage::By(_)))
            };
            matches!(&**side, SpansetExpr::Pipeline(pipeline) if splits(pipeline))
                || splits_beside_structure(side)
        }),
    }
}
