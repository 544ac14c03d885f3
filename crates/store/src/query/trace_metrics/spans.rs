//! Span metrics: every span, by service and what else is asked.

use super::tally::{self, Durations, Local, Tally, Totals};
use super::{Services, Times, Traces};
use crate::columns::name;
use crate::query::Stop;
use crate::query::slab::Slab;
use crate::trace_metrics::{Cells, SpanMetricsSeries, TraceMetricsRequest};

/// Service, name, kind and status.
pub(super) type Key = (String, Option<String>, Option<i32>, Option<i32>);

impl tally::Key for Key {
    fn text_bytes(&self) -> usize {
        self.0.len() + self.1.as_ref().map_or(0, String::len)
    }
}

/// Bytes that a series takes beside its cells and texts, about.
pub(super) const SERIES_BYTES: usize = 512;

/// How many numbers a cell has.
pub(super) fn width(request: &TraceMetricsRequest) -> usize {
    Durations { bounds: &request.bounds }.width()
}

/// Counts the spans of a slab.
pub(super) fn count(
    slab: &Slab<'_>,
    traces: &Traces<'_>,
    request: &TraceMetricsRequest,
    totals: &Totals<Key>,
) -> Result<(), Stop> {
    let is_wanted: Vec<bool> =
        slab.scopes.iter().map(|scope| request.asks_for(scope.service())).collect();
    if !is_wanted.contains(&true) {
        return Ok(());
    }
    let (by, durations) = (request.by, Durations { bounds: &request.bounds });
    let services = Services::of(slab)?;
    let times = Times::of(slab)?;
    let column = |asked: bool, name| asked.then(|| slab.required(name)).transpose();
    let names = column(by.name, name::NAME)?;
    let names = names.as_ref().and_then(|names| names.codes());
    let kinds = column(by.kind, name::KIND)?;
    let kinds = kinds.as_ref().map(|kinds| kinds.int32s());
    let statuses = column(by.status, name::STATUS)?;
    let statuses = statuses.as_ref().map(|statuses| statuses.int32s());
    let called = |(service, name, kind, status): (u32, u32, i32, i32)| {
        let name = names.filter(|_| by.name).map_or("", |(_, texts)| texts.text(name));
        (
            services.name(service).to_owned(),
            by.name.then(|| name.to_owned()),
            by.kind.then_some(kind),
            by.status.then_some(status),
        )
    };
    let mut local = Local::new(width(request));
    for trace in traces.of(slab) {
        let shared = traces.cell(slab, trace);
        for row in slab.trace_rows(trace) {
            let service = services.number(row)?;
            if !is_wanted[service as usize] {
                continue;
            }
            let Some(cell) = times.cell(traces, trace, shared, row)? else { continue };
            let name = names.map_or(0, |(codes, _)| codes[row]);
            let kind = kinds.map_or(0, |kinds| kinds[row]);
            let status = statuses.map_or(0, |statuses| statuses[row]);
            let numbers = local.cell((service, name, kind, status), cell);
            durations.add(numbers, times.duration(row));
            // A trace may have any number of spans.
            if local.is_full() {
                totals.add(&mut local, called)?;
            }
        }
    }
    totals.add(&mut local, called)
}

/// The series of what was counted.
pub(super) fn series(tally: &Tally<Key>) -> Vec<SpanMetricsSeries> {
    let mut all = Vec::new();
    tally.each(|(service, name, kind, status), numbers| {
        let mut cells = Cells::default();
        numbers.for_each(|(cell, numbers)| cells.push(cell, numbers[0], &numbers[1..]));
        let (service, name) = (service.clone(), name.clone());
        all.push(SpanMetricsSeries { service, name, kind: *kind, status: *status, cells });
    });
    all
}
