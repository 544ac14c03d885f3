//! Spans as `ExportTraceServiceRequest` (opentelemetry-proto, `trace.proto`).

use std::sync::Arc;

use model::encode_key_value;
use model::wire::{
    put_bytes_field, put_bytes_unless_empty, put_fixed32_field, put_fixed64_field, put_message,
    put_varint_field,
};

use super::tracer::Ended;
use crate::Encoded;
use crate::telemetry::otlp::SCOPE;

/// `Status.STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

/// `SpanFlags`: sampled; whether the parent came from elsewhere is known; it did.
const SAMPLED: u32 = 1;
const KNOWS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// A request of spans, under an encoded resource.
pub(super) fn encode(resource: &[u8], spans: &[Arc<Ended>]) -> Encoded {
    let mut out = Vec::with_capacity(spans.len() * 200 + resource.len());
    put_message(&mut out, 1, |out| {
        put_bytes_field(out, 1, resource);
        put_message(out, 2, |out| {
            put_message(out, 1, |out| {
                put_bytes_field(out, 1, SCOPE.as_bytes());
                put_bytes_field(out, 2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for span in spans {
                put_message(out, 2, |out| put_span(out, span));
            }
        });
    });
    Encoded { parts: vec![out.into()], items: spans.len() as u64 }
}

fn put_span(out: &mut Vec<u8>, span: &Ended) {
    put_bytes_field(out, 1, &span.context.trace_id);
    put_bytes_field(out, 2, &span.context.span_id);
    if let Some(parent) = &span.parent {
        put_bytes_field(out, 4, &parent.span_id);
    }
    put_bytes_field(out, 5, span.name.as_bytes());
    put_varint_field(out, 6, span.kind as u64);
    put_fixed64_field(out, 7, span.start);
    put_fixed64_field(out, 8, span.end);
    for (key, value) in &span.attributes {
        encode_key_value(out, 9, key.as_bytes(), |out| value.put(out));
    }
    if let Some(error) = &span.error {
        put_message(out, 15, |out| {
            put_bytes_unless_empty(out, 2, error.as_bytes());
            put_varint_field(out, 3, ERROR);
        });
    }
    let is_remote = span.parent.as_ref().is_some_and(|parent| parent.is_remote);
    let remote = if is_remote { IS_REMOTE } else { 0 };
    put_fixed32_field(out, 16, SAMPLED | KNOWS_REMOTE | remote);
}
