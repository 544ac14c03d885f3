//! Spansets and stages.

use store::{FindRequest, FoundSpan, FoundSpanset};
use traceql::{
    Aggregate, AggregateFunction, ArithmeticOp, Field, FieldExpr, Mode, Pipeline, Relation, Scalar,
    SpansetExpr, Stage, Static,
};

use super::values::{At, Value, compare_one, is_number};
use super::{Judge, Set, duration, number};

impl Judge<'_> {
    /// The spans of an expression; `within` is all that there is of the trace.
    fn spansets(&self, expr: &SpansetExpr, within: &[usize]) -> Vec<usize> {
        let mut all: Vec<usize> = match expr {
            SpansetExpr::Filter(condition) => {
                within.iter().copied().filter(|&span| self.holds(span, condition)).collect()
            }
            SpansetExpr::And(parts) => {
                let sides: Vec<(bool, Vec<usize>)> = parts
                    .iter()
                    .map(|part| (matches!(part, SpansetExpr::Not(_)), self.spansets(part, within)))
                    .collect();
                let all_nots = sides.iter().all(|(not, _)| *not);
                match sides.iter().any(|(_, spans)| spans.is_empty()) {
                    true => Vec::new(),
                    false => sides
                        .into_iter()
                        .filter(|(not, _)| all_nots || !not)
                        .flat_map(|(_, spans)| spans)
                        .collect(),
                }
            }
            SpansetExpr::Or(parts) => {
                parts.iter().flat_map(|part| self.spansets(part, within)).collect()
            }
            SpansetExpr::Not(inner) => match self.spansets(inner, within).is_empty() {
                true => within.to_vec(),
                false => Vec::new(),
            },
            SpansetExpr::Pipeline(pipeline) => {
                let sets = self.pipeline(pipeline, Some(within));
                sets.into_iter().flat_map(|set| set.spans).collect()
            }
            SpansetExpr::Structural { relation, mode, left, right } => {
                let left = self.spansets(left, within);
                let right = self.spansets(right, within);
                let has =
                    |span: usize, others: &[usize], relates: &dyn Fn(usize, usize) -> bool| {
                        others.iter().any(|&other| relates(other, span))
                    };
                let forth = |left: usize, right: usize| self.relates(*relation, left, right);
                let back = |right: usize, left: usize| self.relates(*relation, left, right);
                let matched = right.iter().copied().filter(|&span| has(span, &left, &forth));
                match mode {
                    Mode::Plain => matched.collect(),
                    Mode::Not => {
                        right.iter().copied().filter(|&span| !has(span, &left, &forth)).collect()
                    }
                    Mode::Union => matched
                        .chain(left.iter().copied().filter(|&span| has(span, &right, &back)))
                        .collect(),
                }
            }
        };
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether `left relation right`.
    fn relates(&self, relation: Relation, left: usize, right: usize) -> bool {
        match relation {
            Relation::Child => self.parent(right) == Some(left),
            Relation::Parent => self.parent(left) == Some(right),
            Relation::Descendant => self.ancestors(right).contains(&left),
            Relation::Ancestor => self.ancestors(left).contains(&right),
            Relation::Sibling => self.siblings(left, right),
        }
    }

    pub(super) fn pipeline(&self, pipeline: &Pipeline, within: Option<&[usize]>) -> Vec<Set> {
        let spans = within.map_or_else(|| (0..self.spans.len()).collect(), <[usize]>::to_vec);
        let mut sets = vec![Set { spans, attributes: Vec::new() }];
        for stage in &pipeline.stages {
            let mut next = Vec::new();
            for mut set in sets {
                match stage {
                    // Parentheses around all that there is change nothing.
                    Stage::Spansets(SpansetExpr::Pipeline(inner)) => {
                        for mut more in self.pipeline(inner, Some(&set.spans)) {
                            more.attributes.splice(0..0, set.attributes.clone());
                            next.push(more);
                        }
                    }
                    Stage::Spansets(expr) => {
                        next.push(Set { spans: self.spansets(expr, &set.spans), ..set });
                    }
                    Stage::Filter(filter) => {
                        let left = self.scalar(&filter.left, &mut set);
                        let right = self.scalar(&filter.right, &mut set);
                        let both = left.zip(right);
                        if both.is_some_and(|(left, right)| compare_one(&left, filter.op, &right)) {
                            next.push(set);
                        }
                    }
                    Stage::By(expr) => next.extend(self.groups(expr, &set)),
                    Stage::Coalesce | Stage::Select(_) => next.push(set),
                }
            }
            if *stage == Stage::Coalesce {
                let mut spans: Vec<usize> = next.into_iter().flat_map(|set| set.spans).collect();
                spans.sort_unstable();
                next = vec![Set { spans, attributes: Vec::new() }];
            }
            next.retain(|set| !set.spans.is_empty());
            sets = next;
        }
        sets
    }

    fn groups(&self, expr: &FieldExpr, set: &Set) -> Vec<Set> {
        let mut groups: Vec<(String, Set)> = Vec::new();
        for &span in &set.spans {
            let key = match self.value(span, At::Span, expr) {
                Value::One(value) => value,
                Value::Many(list) if list.len() == 1 => list[0].clone(),
                _ => Static::Nil,
            };
            let spelled = format!("{key:?}");
            match groups.iter_mut().find(|(of, _)| *of == spelled) {
                Some((_, group)) => group.spans.push(span),
                None => {
                    let mut attributes = set.attributes.clone();
                    attributes.push((format!("by({expr})"), key));
                    groups.push((spelled, Set { spans: vec![span], attributes }));
                }
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    fn scalar(&self, scalar: &Scalar, set: &mut Set) -> Option<Static> {
        match scalar {
            Scalar::Static(value) => Some(value.clone()),
            Scalar::Negate(inner) => self.scalar(inner, set)?.negated(),
            Scalar::Arithmetic { op, left, right } => {
                let left = self.scalar(left, set);
                let right = self.scalar(right, set);
                left?.arithmetic(*op, &right?)
            }
            Scalar::Aggregate(aggregate) => {
                let value = self.aggregate(aggregate, &set.spans)?;
                let name = aggregate.to_string();
                set.attributes.retain(|(of, _)| *of != name);
                set.attributes.push((name, value.clone()));
                Some(value)
            }
        }
    }

    fn aggregate(&self, aggregate: &Aggregate, spans: &[usize]) -> Option<Static> {
        let Some(expr) = &aggregate.expr else { return Some(Static::Int(spans.len() as i64)) };
        let numbers: Vec<Static> = spans
            .iter()
            .filter_map(|&span| self.value(span, At::Span, expr).one().cloned())
            .filter(|value| is_number(value).is_some_and(|number| !number.is_nan()))
            .collect();
        let mut result = numbers.first()?.clone();
        for next in &numbers[1..] {
            let (best, this) = (is_number(&result)?, is_number(next)?);
            match aggregate.function {
                AggregateFunction::Min if this < best => result = next.clone(),
                AggregateFunction::Max if this > best => result = next.clone(),
                AggregateFunction::Sum | AggregateFunction::Avg => {
                    result = result.arithmetic(ArithmeticOp::Add, next)?;
                }
                _ => {}
            }
        }
        if aggregate.function == AggregateFunction::Avg {
            let mean = is_number(&result)? / numbers.len() as f64;
            let durations = numbers.iter().all(|value| matches!(value, Static::Duration(_)));
            return Some(if durations {
                Static::Duration(mean as i64)
            } else {
                Static::Float(mean)
            });
        }
        Some(result)
    }

    pub(super) fn told(&self, set: &Set, request: &FindRequest) -> FoundSpanset {
        let mut fields: Vec<Field> = Vec::new();
        request.pipeline.visit(&mut |field| {
            if !fields.contains(field) {
                fields.push(field.clone());
            }
        });
        let told = |&at: &usize| {
            let span = &self.spans[at].span;
            let values = |field: &Field| match self.field(at, At::Span, field) {
                Value::One(value) => Some((field.clone(), vec![value])),
                Value::Many(list) => Some((field.clone(), list)),
                Value::Missing | Value::Odd => None,
            };
            FoundSpan {
                span_id: model::SpanId::from_number(number(&span.span_id) as u64),
                name: span.name.clone(),
                start_unix_nano: span.start_time_unix_nano,
                duration_nano: duration(self.spans[at]),
                fields: fields.iter().filter_map(values).collect(),
            }
        };
        FoundSpanset {
            matched: set.spans.len() as u64,
            attributes: set.attributes.clone(),
            spans: set.spans.iter().take(request.spans_per_spanset).map(told).collect(),
        }
    }
}
