//! Jaeger's protobuf as bytes: batches as collectors take them, single spans as Kafka carries
//! them.
//!
//! A message is walked first and its spans are decoded one at a time, so that elements are counted
//! before anything is kept for them.

use bytes::Bytes;
use model::SpanBatch;
use model::wire::{Field, Reader, WireError, put_bytes_field};
use prost::Message;

use super::from_otlp::{batches, process, span};
use super::proto::{Process, Span};
use super::to_otlp::{resource, take};
use crate::payload::{Converted, FormatError, Limits, Sink};

/// A `PostSpansRequest` of `CollectorService` as an `ExportTraceServiceRequest`.
pub fn post_spans_to_otlp(bytes: &[u8], limits: Limits) -> Result<Converted, FormatError> {
    let mut batch = None;
    each_message(bytes, 0, |number, content, position| {
        if number == 1 {
            batch = Some((content, position));
        }
        Ok(())
    })?;
    let (batch, position) = batch.unwrap_or_default();
    batch_at(batch, position, limits)
}

/// A `Batch` as an `ExportTraceServiceRequest`.
pub fn proto_batch_to_otlp(bytes: &[u8], limits: Limits) -> Result<Converted, FormatError> {
    batch_at(bytes, 0, limits)
}

fn batch_at(bytes: &[u8], start: usize, limits: Limits) -> Result<Converted, FormatError> {
    let mut owner = None;
    each_message(bytes, start, |number, content, position| {
        if number == 2 {
            owner = Some((content, position));
        }
        Ok(())
    })?;
    let owner = owner.map(|(content, position)| decode_process(content, position, limits));
    let mut sink = Sink::new(limits);
    let shared = sink.groups.resource(&resource(owner.transpose()?.as_ref()));
    each_message(bytes, start, |number, content, position| {
        if number == 1 && has_room(&mut sink, content, position)? {
            match Span::decode(content) {
                Ok(span) => take(&mut sink, shared, &span),
                Err(error) => sink.leave_out(format!("a span is none of Jaeger's: {error}")),
            }
        }
        Ok(())
    })?;
    Ok(sink.finish())
}

/// A `Span` with its process as an `ExportTraceServiceRequest`: a message of Kafka in the encoding
/// `jaeger_proto`.
pub fn proto_span_to_otlp(bytes: &[u8], limits: Limits) -> Result<Converted, FormatError> {
    let mut sink = Sink::new(limits);
    if has_room(&mut sink, bytes, 0)? {
        let span = Span::decode(bytes).map_err(|error| broken(&error, 0))?;
        let shared = sink.groups.resource(&resource(None));
        take(&mut sink, shared, &span);
    }
    Ok(sink.finish())
}

/// Hands over the number, content and place of each field that is a message.
fn each_message<'a>(
    bytes: &'a [u8],
    start: usize,
    mut take: impl FnMut(u32, &'a [u8], usize) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let mut reader = Reader::new(bytes);
    loop {
        let at = start + reader.position();
        match reader.next_field() {
            Ok(None) => return Ok(()),
            Ok(Some((number, Field::Bytes(content)))) => take(number, content, at)?,
            Ok(Some((number @ 1..=2, _))) => return Err(broken(&WireError::Mismatch(number), at)),
            Ok(Some(_)) => {}
            Err(error) => return Err(broken(&error, at)),
        }
    }
}

fn broken(error: &dyn std::fmt::Display, position: usize) -> FormatError {
    FormatError::new(format!("not spans of Jaeger: {error}"), position)
}

/// False where the span has too much in it.
fn has_room(sink: &mut Sink, span: &[u8], position: usize) -> Result<bool, FormatError> {
    // References, tags, logs, warnings, and those that logs and the process have.
    let elements = elements(span, &[4, 8, 11, 12], &[(11, 2), (10, 2)]);
    sink.has_room(elements.map_err(|error| broken(&error, position))?, position)
}

fn decode_process(bytes: &[u8], position: usize, limits: Limits) -> Result<Process, FormatError> {
    let tags = elements(bytes, &[2], &[]).map_err(|error| broken(&error, position))?;
    if tags > limits.span_elements_max {
        let most = limits.span_elements_max;
        return Err(FormatError::new(format!("a process has more than {most} tags"), position));
    }
    Process::decode(bytes).map_err(|error| broken(&error, position))
}

/// How many fields a message has of some numbers, and its messages of theirs.
fn elements(bytes: &[u8], own: &[u32], inner: &[(u32, u32)]) -> Result<usize, WireError> {
    let mut count = 0;
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next_field()? {
        count += usize::from(own.contains(&number));
        let of_inner = inner.iter().find(|(outer, _)| *outer == number);
        if let (Some((_, number)), Field::Bytes(content)) = (of_inner, field) {
            count += elements(content, &[*number], &[])?;
        }
    }
    Ok(count)
}

/// A `Batch` for every resource that has spans.
pub fn otlp_to_proto_batches(batch: &SpanBatch) -> Vec<Bytes> {
    batches(batch).iter().map(|batch| batch.encode_to_vec().into()).collect()
}

/// A `PostSpansRequest` for every resource that has spans.
pub fn otlp_to_post_spans(batch: &SpanBatch) -> Vec<Bytes> {
    let request = |batch: Bytes| {
        let mut out = Vec::with_capacity(batch.len() + 6);
        put_bytes_field(&mut out, 1, &batch);
        out.into()
    };
    otlp_to_proto_batches(batch).into_iter().map(request).collect()
}

/// A `Span` with its process for every span, in their order: the messages of Kafka in the encoding
/// `jaeger_proto`.
pub fn otlp_to_proto_spans(batch: &SpanBatch) -> Vec<Bytes> {
    whole_spans(batch).map(|span| span.encode_to_vec().into()).collect()
}

/// Every span with its process, in their order.
pub(super) fn whole_spans(batch: &SpanBatch) -> impl Iterator<Item = Span> + '_ {
    batch.spans().iter().map(|each| {
        let (_, resource) = batch.origin(each);
        Span { process: Some(process(batch, resource)), ..span(batch, each) }
    })
}
