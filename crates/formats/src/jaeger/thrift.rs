//! Jaeger's spans in Thrift: what agents sent over UDP and clients over HTTP.
//!
//! Source: `jaeger.thrift` and `agent.thrift` of Jaeger's interface definitions. Spans become
//! the messages of protobuf one at a time, so that there is one mapping to OTLP.

use model::SpanBatch;
use prost_types::{Duration, Timestamp};

use super::from_otlp::batches;
use super::proto::{Batch, KeyValue, Log, Process, Span, SpanRef, SpanRefType, ValueType};
use super::time::unix_nano;
use super::to_otlp::{resource, take};
use crate::payload::{Converted, FormatError, Limits, Sink};
use crate::thrift::{Kind, MessageKind, Protocol, Reader, Writer};

const EMIT_BATCH: &str = "emitBatch";

/// Tags of one process, or tags, logs and references of one span, counted.
struct Count {
    elements: usize,
    most: usize,
}

impl Count {
    fn new(limits: Limits) -> Self {
        Self { elements: 0, most: limits.span_elements_max }
    }

    /// Counts one more; false when it is not to be kept.
    fn one(&mut self) -> bool {
        self.elements += 1;
        self.elements <= self.most
    }
}

/// A `Batch` as an `ExportTraceServiceRequest`: the body of `POST /api/traces`. What follows the
/// batch is not looked at.
pub fn thrift_batch_to_otlp(
    bytes: &[u8],
    protocol: Protocol,
    limits: Limits,
) -> Result<Converted, FormatError> {
    batch(&mut Reader::new(bytes, protocol, limits.elements_max), limits)
}

/// A call of `Agent.emitBatch`, as an agent is sent in a datagram.
pub fn thrift_message_to_otlp(
    bytes: &[u8],
    protocol: Protocol,
    limits: Limits,
) -> Result<Converted, FormatError> {
    let mut reader = Reader::new(bytes, protocol, limits.elements_max);
    let message = reader.message()?;
    if message.name != EMIT_BATCH.as_bytes() {
        let name: String = String::from_utf8_lossy(message.name).chars().take(40).collect();
        return Err(FormatError::new(format!("the method {name:?} is not {EMIT_BATCH}"), 0));
    }
    if !matches!(message.kind, MessageKind::Call | MessageKind::Oneway) {
        return Err(FormatError::new("the message is no call", 0));
    }
    let mut converted = None;
    reader.structure(|reader, field| match (field.id, field.kind) {
        (1, Kind::Struct) => {
            converted = Some(batch(reader, limits)?);
            Ok(())
        }
        _ => reader.skip(field.kind),
    })?;
    converted.ok_or_else(|| reader.error("the call has no batch"))
}

fn batch(reader: &mut Reader<'_>, limits: Limits) -> Result<Converted, FormatError> {
    let mut owner = None;
    let mut spans = None;
    reader.structure(|reader, field| match (field.id, field.kind) {
        (1, Kind::Struct) => {
            owner = Some(process(reader, limits)?);
            Ok(())
        }
        // The process may come after them.
        (2, Kind::List) => {
            spans = Some(reader.clone());
            reader.skip(Kind::List)
        }
        _ => reader.skip(field.kind),
    })?;
    let (Some(owner), Some(mut spans)) = (owner, spans) else {
        return Err(reader.error("a batch without its process or its spans"));
    };
    let mut sink = Sink::new(limits);
    let shared = sink.groups.resource(&resource(Some(&owner)));
    spans.elements(Kind::Struct, |reader| {
        let position = reader.position();
        let mut count = Count::new(limits);
        let span = span(reader, &mut count)?;
        if sink.has_room(count.elements, position)? {
            take(&mut sink, shared, &span);
        }
        Ok(())
    })?;
    Ok(sink.finish())
}

fn process(reader: &mut Reader<'_>, limits: Limits) -> Result<Process, FormatError> {
    let mut process = Process::default();
    let mut count = Count::new(limits);
    reader.structure(|reader, field| match (field.id, field.kind) {
        (1, Kind::Binary) => text(reader).map(|name| process.service_name = name),
        (2, Kind::List) => tags(reader, &mut process.tags, &mut count),
        _ => reader.skip(field.kind),
    })?;
    if count.elements > count.most {
        return Err(reader.error(format!("a process has more than {} tags", count.most)));
    }
    Ok(process)
}

fn span(reader: &mut Reader<'_>, count: &mut Count) -> Result<Span, FormatError> {
    let mut span = Span::default();
    let (mut low, mut high, mut parent) = (0, 0, 0);
    reader.structure(|reader, field| match (field.id, field.kind) {
        (1, Kind::I64) => reader.i64().map(|value| low = value),
        (2, Kind::I64) => reader.i64().map(|value| high = value),
        (3, Kind::I64) => reader.i64().map(|id| span.span_id = id.to_be_bytes().to_vec()),
        (4, Kind::I64) => reader.i64().map(|id| parent = id),
        (5, Kind::Binary) => text(reader).map(|name| span.operation_name = name),
        (6, Kind::List) => reader.elements(Kind::Struct, |reader| {
            keep(&mut span.references, count.one(), reader, reference)
        }),
        (7, Kind::I32) => reader.i32().map(|flags| span.flags = flags as u32),
        (8, Kind::I64) => reader.i64().map(|micros| span.start_time = Some(time(micros))),
        (9, Kind::I64) => reader.i64().map(|micros| span.duration = Some(length(micros))),
        (10, Kind::List) => tags(reader, &mut span.tags, count),
        (11, Kind::List) => reader.elements(Kind::Struct, |reader| {
            let is_kept = count.one();
            keep(&mut span.logs, is_kept, reader, |reader| log(reader, count))
        }),
        _ => reader.skip(field.kind),
    })?;
    span.trace_id = trace_id(high, low);
    if parent != 0 {
        // It counts before what references say.
        let parent = SpanRef {
            trace_id: span.trace_id.clone(),
            span_id: parent.to_be_bytes().to_vec(),
            ref_type: SpanRefType::ChildOf as i32,
        };
        span.references.insert(0, parent);
    }
    Ok(span)
}

/// Reads an element of a list, and keeps it where there is room.
fn keep<'a, T>(
    list: &mut Vec<T>,
    is_kept: bool,
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, FormatError>,
) -> Result<(), FormatError> {
    if !is_kept {
        return reader.skip(Kind::Struct);
    }
    list.push(read(reader)?);
    Ok(())
}

fn reference(reader: &mut Reader<'_>) -> Result<SpanRef, FormatError> {
    let mut reference = SpanRef::default();
    let (mut low, mut high) = (0, 0);
    reader.structure(|reader, field| match (field.id, field.kind) {
        (1, Kind::I32) => reader.i32().map(|number| reference.ref_type = number),
        (2, Kind::I64) => reader.i64().map(|value| low = value),
        (3, Kind::I64) => reader.i64().map(|value| high = value),
        (4, Kind::I64) => reader.i64().map(|id| reference.span_id = id.to_be_bytes().to_vec()),
        _ => reader.skip(field.kind),
    })?;
    reference.trace_id = trace_id(high, low);
    Ok(reference)
}

fn log(reader: &mut Reader<'_>, count: &mut Count) -> Result<Log, FormatError> {
    let mut log = Log::default();
    reader.structure(|reader, field| match (field.id, field.kind) {
        (1, Kind::I64) => reader.i64().map(|micros| log.timestamp = Some(time(micros))),
        (2, Kind::List) => tags(reader, &mut log.fields, count),
        _ => reader.skip(field.kind),
    })?;
    Ok(log)
}

fn tags(
    reader: &mut Reader<'_>,
    out: &mut Vec<KeyValue>,
    count: &mut Count,
) -> Result<(), FormatError> {
    reader.elements(Kind::Struct, |reader| keep(out, count.one(), reader, tag))
}

fn tag(reader: &mut Reader<'_>) -> Result<KeyValue, FormatError> {
    let mut tag = KeyValue::default();
    reader.structure(|reader, field| match (field.id, field.kind) {
        (1, Kind::Binary) => text(reader).map(|key| tag.key = key),
        (2, Kind::I32) => reader.i32().map(|number| tag.v_type = value_type(number)),
        (3, Kind::Binary) => text(reader).map(|value| tag.v_str = value),
        (4, Kind::Double) => reader.double().map(|value| tag.v_float64 = value),
        (5, Kind::Bool) => reader.bool().map(|value| tag.v_bool = value),
        (6, Kind::I64) => reader.i64().map(|value| tag.v_int64 = value),
        (7, Kind::Binary) => reader.binary().map(|bytes| tag.v_binary = bytes.to_vec()),
        _ => reader.skip(field.kind),
    })?;
    Ok(tag)
}

/// Types of tags by their number in Thrift.
const TAG_TYPES: [ValueType; 5] =
    [ValueType::String, ValueType::Float64, ValueType::Bool, ValueType::Int64, ValueType::Binary];

/// What neither knows keeps its number.
fn value_type(number: i32) -> i32 {
    let known = usize::try_from(number).ok().and_then(|at| TAG_TYPES.get(at));
    known.map_or(number, |known| *known as i32)
}

/// Text; what is not UTF-8 of it is replaced, as Jaeger does.
fn text(reader: &mut Reader<'_>) -> Result<String, FormatError> {
    reader.binary().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn trace_id(high: i64, low: i64) -> Vec<u8> {
    [high.to_be_bytes(), low.to_be_bytes()].concat()
}

const MICROS: i64 = 1_000_000;

fn time(micros: i64) -> Timestamp {
    let (seconds, rest) = (micros.div_euclid(MICROS), micros.rem_euclid(MICROS));
    Timestamp { seconds, nanos: rest as i32 * 1000 }
}

fn length(micros: i64) -> Duration {
    Duration { seconds: micros / MICROS, nanos: (micros % MICROS) as i32 * 1000 }
}

/// A Thrift `Batch` for every resource that has spans, for `POST /api/traces`. Times become
/// microseconds; Thrift has no place for warnings.
pub fn otlp_to_thrift_batches(batch: &SpanBatch, protocol: Protocol) -> Vec<Vec<u8>> {
    batches(batch)
        .iter()
        .map(|batch| {
            let mut writer = Writer::new(protocol);
            writer.structure(|writer| put_batch(writer, batch));
            writer.finish()
        })
        .collect()
}

/// The calls of `Agent.emitBatch` that carry the batches of [`otlp_to_thrift_batches`].
pub fn otlp_to_thrift_messages(batch: &SpanBatch, protocol: Protocol) -> Vec<Vec<u8>> {
    batches(batch)
        .iter()
        .map(|batch| {
            let mut writer = Writer::new(protocol);
            writer.message(EMIT_BATCH, MessageKind::Oneway, 0);
            writer.structure(|writer| writer.struct_field(1, |writer| put_batch(writer, batch)));
            writer.finish()
        })
        .collect()
}

fn put_batch(writer: &mut Writer, batch: &Batch) {
    writer.struct_field(1, |writer| {
        let process = batch.process.as_ref();
        let name = process.map_or("", |process| &process.service_name);
        writer.binary_field(1, name.as_bytes());
        let tags = process.map_or(&[][..], |process| &process.tags);
        if !tags.is_empty() {
            writer.structs_field(2, tags, put_tag);
        }
    });
    writer.structs_field(2, &batch.spans, put_span);
}

fn put_span(writer: &mut Writer, span: &Span) {
    let [high, low] = halves(&span.trace_id);
    let start = span.start_time.as_ref().map_or(0, micros);
    let parent = span.references.iter().find(|reference| is_parent(span, reference));
    writer.i64_field(1, low);
    writer.i64_field(2, high);
    writer.i64_field(3, number(&span.span_id));
    writer.i64_field(4, parent.map_or(0, |parent| number(&parent.span_id)));
    writer.binary_field(5, span.operation_name.as_bytes());
    if !span.references.is_empty() {
        writer.structs_field(6, &span.references, put_reference);
    }
    writer.i32_field(7, span.flags as i32);
    writer.i64_field(8, start);
    writer.i64_field(9, span.duration.as_ref().map_or(0, length_micros));
    if !span.tags.is_empty() {
        writer.structs_field(10, &span.tags, put_tag);
    }
    if !span.logs.is_empty() {
        writer.structs_field(11, &span.logs, |writer, log| {
            writer.i64_field(1, log.timestamp.as_ref().map_or(0, micros));
            writer.structs_field(2, &log.fields, put_tag);
        });
    }
}

fn is_parent(span: &Span, reference: &SpanRef) -> bool {
    reference.ref_type == SpanRefType::ChildOf as i32 && reference.trace_id == span.trace_id
}

fn put_reference(writer: &mut Writer, reference: &SpanRef) {
    let [high, low] = halves(&reference.trace_id);
    writer.i32_field(1, reference.ref_type);
    writer.i64_field(2, low);
    writer.i64_field(3, high);
    writer.i64_field(4, number(&reference.span_id));
}

fn put_tag(writer: &mut Writer, tag: &KeyValue) {
    let v_type = ValueType::try_from(tag.v_type).unwrap_or(ValueType::String);
    let number = TAG_TYPES.iter().position(|known| *known == v_type).unwrap_or_default();
    writer.binary_field(1, tag.key.as_bytes());
    writer.i32_field(2, number as i32);
    match v_type {
        ValueType::String => writer.binary_field(3, tag.v_str.as_bytes()),
        ValueType::Float64 => writer.double_field(4, tag.v_float64),
        ValueType::Bool => writer.bool_field(5, tag.v_bool),
        ValueType::Int64 => writer.i64_field(6, tag.v_int64),
        ValueType::Binary => writer.binary_field(7, &tag.v_binary),
    }
}

fn micros(time: &Timestamp) -> i64 {
    i64::try_from(unix_nano(time) / 1000).unwrap_or(i64::MAX)
}

fn length_micros(duration: &Duration) -> i64 {
    duration.seconds.saturating_mul(MICROS).saturating_add(i64::from(duration.nanos) / 1000)
}

/// The number of an id of eight bytes; 0 for what is none.
fn number(id: &[u8]) -> i64 {
    id.try_into().map_or(0, i64::from_be_bytes)
}

fn halves(trace_id: &[u8]) -> [i64; 2] {
    trace_id.split_at_checked(8).map_or([0; 2], |(high, low)| [number(high), number(low)])
}
