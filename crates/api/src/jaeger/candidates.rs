//! Traces that may be what a search asks for. The store finds them by its columns; whether one of
//! their spans meets all of the search is seen on the spans.

use std::cmp::Reverse;

use store::{
    AttributeCondition, FindRequest, Level, Position, SearchRequest, SpanFilter, Store,
    TraceSummary,
};
use traceql::{
    CompareOp, Field, FieldExpr, Intrinsic, Kind, Pipeline, Scope, SpansetExpr, Stage, Static,
    Status,
};

use super::filter::{Bounds, anywhere, attribute, compare, equal_text};
use super::matching::Residual;
use super::problem::Problem;

/// A page of traces, newest first.
pub(super) struct Candidates {
    pub(super) traces: Vec<TraceSummary>,
    pub(super) more: bool,
    pub(super) partial: bool,
}

/// Conditions in the form that the store looks for.
pub(super) struct Finder {
    pipeline: Pipeline,
    filter: SpanFilter,
}

impl Finder {
    /// Finds every trace of which a span meets the filter and all the rest, and perhaps others.
    ///
    /// Of a key that a resource or scope has twice, against the specification, the store knows the
    /// first value only.
    pub(super) fn new(filter: SpanFilter, residual: &[Residual]) -> Self {
        let mut all = of_filter(&filter);
        all.extend(residual.iter().map(of_residual));
        let expr = match all.len() {
            0 | 1 => all.pop().unwrap_or(FieldExpr::Static(Static::Bool(true))),
            _ => FieldExpr::All(all),
        };
        let stages = vec![Stage::Spansets(SpansetExpr::Filter(expr))];
        Self { pipeline: Pipeline { stages }, filter }
    }

    /// The first traces behind a position.
    pub(super) async fn page(
        &self,
        store: &dyn Store,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Candidates, Problem> {
        let request = FindRequest {
            pipeline: self.pipeline.clone(),
            start_unix_nano: self.filter.start_min_unix_nano,
            end_unix_nano: self.filter.start_max_unix_nano,
            duration_min_nano: None,
            duration_max_nano: None,
            limit,
            spans_per_spanset: 0,
            after,
        };
        let found = store.find(request, None).await?;
        let mut page = Candidates {
            traces: found.traces.into_iter().map(|trace| trace.summary).collect(),
            more: found.more,
            partial: found.partial,
        };
        let is_from_zero = self.filter.start_min_unix_nano.unwrap_or(0) == 0;
        if is_from_zero && self.filter.start_max_unix_nano.is_some() {
            self.add_unknown_starts(store, &mut page, after, limit).await?;
        }
        Ok(page)
    }

    /// Adds traces with a span that starts at 0, which is before any end; the trace's own start is
    /// that of the others and may be behind it.
    async fn add_unknown_starts(
        &self,
        store: &dyn Store,
        page: &mut Candidates,
        after: Option<Position>,
        limit: usize,
    ) -> Result<(), Problem> {
        let filter = SpanFilter { start_max_unix_nano: Some(1), ..self.filter.clone() };
        let found = store.search(SearchRequest { filter, limit, after }).await?;
        page.partial |= found.partial;
        page.more |= found.more;
        page.traces.extend(found.traces);
        page.traces.sort_by_key(|trace| (Reverse(trace.start_unix_nano), trace.trace_id));
        page.traces.dedup_by_key(|trace| trace.trace_id);
        page.more |= page.traces.len() > limit;
        page.traces.truncate(limit);
        Ok(())
    }
}

fn of_filter(filter: &SpanFilter) -> Vec<FieldExpr> {
    let mut all = Vec::new();
    if let Some(service) = &filter.service {
        let name = attribute(Scope::Resource, "service.name");
        let text = Static::String(service.clone());
        all.push(match service.is_empty() {
            true => FieldExpr::Not(Box::new(compare(name, CompareOp::NotEqual, text))),
            false => compare(name, CompareOp::Equal, text),
        });
    }
    if let Some(operation) = &filter.operation {
        all.push(intrinsic(Intrinsic::Name, Static::String(operation.clone())));
    }
    match filter.status {
        Some(model::status_code::ERROR) => all.push(status(CompareOp::Equal, Status::Error)),
        Some(model::status_code::OK) => all.push(status(CompareOp::Equal, Status::Ok)),
        Some(_) => all.push(status(CompareOp::Equal, Status::Unset)),
        None => {}
    }
    let bounds = [
        (CompareOp::GreaterOrEqual, filter.duration_min_nano),
        (CompareOp::LessOrEqual, filter.duration_max_nano),
    ];
    for (op, nanos) in bounds {
        if let Some(nanos) = nanos {
            let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
            all.push(compare(Field::Intrinsic(Intrinsic::Duration), op, Static::Duration(nanos)));
        }
    }
    all.extend(filter.attributes.iter().map(tag));
    all
}

/// A tag, at any level or at one.
fn tag(condition: &AttributeCondition) -> FieldExpr {
    let scopes = match condition.level {
        None => &Scope::NAMED[..],
        Some(Level::Span) => &[Scope::Span],
        Some(Level::Resource) => &[Scope::Resource],
        Some(Level::Scope) => &[Scope::Instrumentation],
        Some(Level::Event) => &[Scope::Event],
        Some(Level::Link) => &[Scope::Link],
    };
    anywhere(scopes, &condition.key, &equal_text(&condition.value))
}

fn of_residual(residual: &Residual) -> FieldExpr {
    let text = |text: &String| Static::String(text.clone());
    match residual {
        // Not as `!=`: codes to come are none that TraceQL knows.
        Residual::NoError => FieldExpr::Not(Box::new(status(CompareOp::Equal, Status::Error))),
        Residual::Kind(kind) => {
            let kind = usize::try_from(*kind).ok().and_then(|kind| Kind::ALL.get(kind));
            let kind = kind.map(|kind| intrinsic(Intrinsic::Kind, Static::Kind(*kind)));
            kind.unwrap_or(FieldExpr::Static(Static::Bool(false)))
        }
        Residual::StatusMessage(value) => intrinsic(Intrinsic::StatusMessage, text(value)),
        Residual::ScopeName(value) => intrinsic(Intrinsic::InstrumentationName, text(value)),
        Residual::ScopeVersion(value) => intrinsic(Intrinsic::InstrumentationVersion, text(value)),
        // No column is asked for it.
        Residual::TraceState(_) => FieldExpr::Static(Static::Bool(true)),
        Residual::Event(value) => FieldExpr::Any(vec![
            intrinsic(Intrinsic::EventName, text(value)),
            anywhere(&Scope::NAMED, "event", &equal_text(value)),
        ]),
        Residual::Filter(predicate) => Bounds::of(predicate).over,
        Residual::Never => FieldExpr::Static(Static::Bool(false)),
    }
}

fn status(op: CompareOp, status: Status) -> FieldExpr {
    compare(Field::Intrinsic(Intrinsic::Status), op, Static::Status(status))
}

fn intrinsic(of: Intrinsic, value: Static) -> FieldExpr {
    compare(Field::Intrinsic(of), CompareOp::Equal, value)
}
