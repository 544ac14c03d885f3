//! Load, read back with the decoder of the product.

// Each test binary uses its part of this.
#![allow(dead_code)]

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use loadgen::{COMPLETE_AFTER_SPANS, Generator, Options};
use model::{Span, SpanBatch, TraceId, Value};

pub const NOW_UNIX_NANO: u64 = 1_700_000_000_000_000_000;
pub const INTERVAL_NANO: u64 = 10_000_000;

pub fn decode(bytes: &[u8]) -> SpanBatch {
    let batch = SpanBatch::decode(Bytes::copy_from_slice(bytes)).expect("a request");
    assert_eq!(batch.rejection().spans, 0, "{}", batch.rejection().reason);
    batch
}

/// Requests of a generator, a regular time apart.
pub fn requests(options: Options, count: usize, spans: usize) -> Vec<SpanBatch> {
    let mut generator = Generator::new(options);
    let mut out = Vec::new();
    (0..count as u64)
        .map(|index| {
            generator.request(spans, NOW_UNIX_NANO + index * INTERVAL_NANO, &mut out);
            decode(&out)
        })
        .collect()
}

/// The load that the figures are about: 512-span requests, over 100,000 spans.
pub fn load() -> Vec<SpanBatch> {
    requests(Options::default(), 200, 512)
}

pub fn spans(batches: &[SpanBatch]) -> impl Iterator<Item = (&SpanBatch, &Span)> {
    batches.iter().flat_map(|batch| batch.spans().iter().map(move |span| (batch, span)))
}

pub fn attribute<'a>(batch: &'a SpanBatch, span: &Span, key: &str) -> Option<&'a Value> {
    let mut attributes = batch.span_attributes(span).iter();
    attributes.find(|it| batch.text(it.key) == key).map(|it| &it.value)
}

/// Spans by trace; only traces that the cut at either end cannot have halved.
pub fn whole_traces(batches: &[SpanBatch]) -> HashMap<TraceId, Vec<(&SpanBatch, &Span)>> {
    let mut traces: HashMap<TraceId, Vec<_>> = HashMap::new();
    let mut sure = HashSet::new();
    let total = spans(batches).count();
    for (index, (batch, span)) in spans(batches).enumerate() {
        traces.entry(span.trace_id).or_default().push((batch, span));
        if index + COMPLETE_AFTER_SPANS < total {
            sure.insert(span.trace_id);
        }
    }
    traces.retain(|id, _| sure.contains(id));
    assert!(traces.len() > 4000, "{} traces", traces.len());
    traces
}
