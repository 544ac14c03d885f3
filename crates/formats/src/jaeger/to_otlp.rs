//! Jaeger to OTLP.

use std::collections::HashMap;

use model::wire::{
    put_bytes_field, put_bytes_unless_empty, put_fixed32_field, put_fixed64_field, put_message,
    put_varint_field, put_varint_unless_zero,
};
use model::{encode_key_value, kind, status_code};

use super::proto::{Batch, KeyValue, Log, Process, Span, SpanRef, SpanRefType, ValueType};
use super::time::{plus, unix_nano};
use super::{
    CHILD_OF, ERROR, EVENT, FOLLOWS_FROM, NO_SERVICE, REF_TYPE, SAMPLED, SCOPE_NAME, SCOPE_VERSION,
    SERVICE_NAME, SPAN_KIND, STATUS_CODE, STATUS_DESCRIPTION, TRACE_STATE, WARNINGS,
};
use crate::groups::{Groups, ResourceAt};
use crate::payload::Sink;

const HTTP_STATUS_CODE: &str = "http.status_code";
const HTTP_STATUS_MESSAGE: &str = "http.status_message";

/// The batches as an `ExportTraceServiceRequest`. Ids are passed on as they are, so that its decoder
/// is the one that judges them.
pub fn to_otlp(batches: &[Batch]) -> Vec<u8> {
    let mut groups = Groups::default();
    for batch in batches {
        let shared = groups.resource(&resource(batch.process.as_ref()));
        for span in &batch.spans {
            add(&mut groups, shared, span);
        }
    }
    groups.finish()
}

fn add(groups: &mut Groups, shared: ResourceAt, span: &Span) {
    let own = span.process.as_ref().map(|process| resource(Some(process)));
    let place = own.map_or(shared, |own| groups.resource(&own));
    let mut tags = Tags::of(&span.tags);
    let scope = scope(&mut tags);
    put_message(groups.spans(place, &scope), 2, |out| put_span(out, span, tags));
}

/// Adds a span to what a payload becomes, under its own process or else a shared resource. One
/// that has no id is left out and counted.
pub(super) fn take(sink: &mut Sink, shared: ResourceAt, span: &Span) {
    if let Some(fault) = id_fault(span) {
        return sink.leave_out(fault);
    }
    add(&mut sink.groups, shared, span);
    sink.spans += 1;
}

fn id_fault(span: &Span) -> Option<String> {
    for (what, id) in [("trace id", &span.trace_id), ("span id", &span.span_id)] {
        if is_zero(id) {
            return Some(format!("a span's {what} is missing or all zeros"));
        }
    }
    let own = ("", &span.trace_id, &span.span_id);
    let others =
        span.references.iter().map(|other| ("reference's ", &other.trace_id, &other.span_id));
    std::iter::once(own).chain(others).find_map(|(of, trace_id, span_id)| {
        match (trace_id.len(), span_id.len()) {
            (0 | 8 | 16, 0 | 8) => None,
            (0 | 8 | 16, length) => Some(format!("a span's {of}span id has {length} bytes")),
            (length, _) => Some(format!("a span's {of}trace id has {length} bytes")),
        }
    })
}

fn is_zero(id: &[u8]) -> bool {
    id.iter().all(|&byte| byte == 0)
}

/// Tags with distinct keys, the last value of each, in order of first appearance.
struct Tags<'a> {
    list: Vec<Option<&'a KeyValue>>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Tags<'a> {
    fn of(tags: &'a [KeyValue]) -> Self {
        let mut distinct = Self { list: Vec::new(), places: HashMap::with_capacity(tags.len()) };
        for tag in tags {
            let next = distinct.list.len();
            let place = *distinct.places.entry(&tag.key).or_insert(next);
            match distinct.list.get_mut(place) {
                Some(known) => *known = Some(tag),
                None => distinct.list.push(Some(tag)),
            }
        }
        distinct
    }

    fn get(&self, key: &str) -> Option<&'a KeyValue> {
        self.places.get(key).and_then(|&place| self.list[place])
    }

    fn take(&mut self, key: &str) -> Option<&'a KeyValue> {
        self.places.remove(key).and_then(|place| self.list[place].take())
    }

    fn put(&self, out: &mut Vec<u8>, number: u32) {
        for tag in self.list.iter().flatten() {
            put_tag(out, number, &tag.key, tag);
        }
    }
}

/// Text, as far as the tag is one.
fn text(tag: &KeyValue) -> &str {
    &tag.v_str
}

fn put_tag(out: &mut Vec<u8>, number: u32, key: &str, tag: &KeyValue) {
    encode_key_value(out, number, key.as_bytes(), |out| match ValueType::try_from(tag.v_type) {
        Ok(ValueType::String) => put_bytes_field(out, 1, tag.v_str.as_bytes()),
        Ok(ValueType::Bool) => put_varint_field(out, 2, u64::from(tag.v_bool)),
        Ok(ValueType::Int64) => put_varint_field(out, 3, tag.v_int64 as u64),
        Ok(ValueType::Float64) => put_fixed64_field(out, 4, tag.v_float64.to_bits()),
        Ok(ValueType::Binary) => put_bytes_field(out, 7, &tag.v_binary),
        Err(_) => {
            let unknown = format!("<Unknown Jaeger TagType \"{}\">", tag.v_type);
            put_bytes_field(out, 1, unknown.as_bytes());
        }
    });
}

fn put_text(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    encode_key_value(out, number, key.as_bytes(), |out| put_bytes_field(out, 1, value.as_bytes()));
}

/// The `Resource` message of a process.
pub(super) fn resource(process: Option<&Process>) -> Vec<u8> {
    let mut out = Vec::new();
    let Some(process) = process.filter(|process| process.service_name != NO_SERVICE) else {
        return out;
    };
    let mut tags = Tags::of(&process.tags);
    if !process.service_name.is_empty() && tags.get(SERVICE_NAME).is_none() {
        put_text(&mut out, 1, SERVICE_NAME, &process.service_name);
    }
    let host = if tags.get("host.name").is_none() { tags.take("hostname") } else { None };
    let has_exporter = tags.get("opencensus.exporterversion").is_some();
    let version = if has_exporter { None } else { tags.take("jaeger.version") };
    tags.put(&mut out, 1);
    if let Some(host) = host {
        put_tag(&mut out, 1, "host.name", host);
    }
    if let Some(version) = version {
        let version = format!("Jaeger-{}", text(version));
        put_text(&mut out, 1, "opencensus.exporterversion", &version);
    }
    out
}

/// The `InstrumentationScope` message of a span's tags, which it takes.
fn scope(tags: &mut Tags<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let Some(name) = tags.take(SCOPE_NAME) else { return out };
    put_bytes_unless_empty(&mut out, 1, text(name).as_bytes());
    if let Some(version) = tags.take(SCOPE_VERSION) {
        put_bytes_unless_empty(&mut out, 2, text(version).as_bytes());
    }
    out
}

/// Ids of 64 bits are the end of those of 128.
fn put_trace_id(out: &mut Vec<u8>, number: u32, id: &[u8]) {
    match id.len() {
        8 => put_bytes_field(out, number, &[&[0; 8], id].concat()),
        _ => put_bytes_field(out, number, id),
    }
}

fn put_span(out: &mut Vec<u8>, span: &Span, mut tags: Tags<'_>) {
    let parent = parent(span);
    let kind = tags.take(SPAN_KIND).map_or(kind::UNSPECIFIED, |tag| kind_of(text(tag)));
    let (code, message) = status(&mut tags, kind);
    let trace_state = tags.take(TRACE_STATE).map_or("", text);
    let start = span.start_time.as_ref().map_or(0, unix_nano);
    let end = span.duration.as_ref().map_or(start, |duration| plus(start, duration));

    put_trace_id(out, 1, &span.trace_id);
    put_bytes_field(out, 2, &span.span_id);
    put_bytes_unless_empty(out, 3, trace_state.as_bytes());
    if let Some(parent) = parent {
        put_bytes_field(out, 4, &parent.span_id);
    }
    put_bytes_unless_empty(out, 5, span.operation_name.as_bytes());
    put_varint_unless_zero(out, 6, kind as u64);
    put_fixed64_field(out, 7, start);
    put_fixed64_field(out, 8, end);
    tags.put(out, 9);
    if !span.warnings.is_empty() {
        encode_key_value(out, 9, WARNINGS.as_bytes(), |out| {
            put_message(out, 5, |out| {
                for warning in &span.warnings {
                    put_message(out, 1, |out| put_bytes_field(out, 1, warning.as_bytes()));
                }
            });
        });
    }
    for log in &span.logs {
        put_message(out, 11, |out| put_event(out, log));
    }
    for reference in &span.references {
        let is_parent = parent.is_some_and(|parent| parent.span_id == reference.span_id)
            && reference.ref_type == SpanRefType::ChildOf as i32;
        if !is_parent {
            put_message(out, 13, |out| put_link(out, reference));
        }
    }
    if code != status_code::UNSET || !message.is_empty() {
        put_message(out, 15, |out| {
            put_bytes_unless_empty(out, 2, message.as_bytes());
            put_varint_unless_zero(out, 3, code as u64);
        });
    }
    if span.flags & SAMPLED != 0 {
        put_fixed32_field(out, 16, SAMPLED);
    }
}

/// An id of 128 bits that has only 64, as those.
fn short(id: &[u8]) -> &[u8] {
    match id.split_at_checked(8) {
        Some((high, low)) if low.len() == 8 && is_zero(high) => low,
        _ => id,
    }
}

/// The first span of the same trace that this one is a child of, or else follows from.
fn parent(span: &Span) -> Option<&SpanRef> {
    let near = || {
        let is_here = |other: &&SpanRef| short(&other.trace_id) == short(&span.trace_id);
        let here = span.references.iter().filter(is_here);
        here.filter(|other| !is_zero(&other.span_id))
    };
    near().find(|other| other.ref_type == SpanRefType::ChildOf as i32).or_else(|| near().next())
}

fn kind_of(name: &str) -> i32 {
    let known = kind::INTERNAL..=kind::CONSUMER;
    known.into_iter().find(|&kind| kind::name(kind) == name).unwrap_or(kind::UNSPECIFIED)
}

/// Status and its message, from the tags that say it; the response of HTTP where none does.
fn status<'a>(tags: &mut Tags<'a>, kind: i32) -> (i32, &'a str) {
    let is_bool = |tag: &&KeyValue| tag.v_type == ValueType::Bool as i32;
    let failed = tags.get(ERROR).filter(is_bool).is_some_and(|tag| tag.v_bool);
    if failed {
        tags.take(ERROR);
        tags.take(STATUS_CODE);
        let said = tags.take(STATUS_DESCRIPTION).or_else(|| tags.get(HTTP_STATUS_MESSAGE));
        return (status_code::ERROR, said.map_or("", text));
    }
    if let Some(code) = tags.take(STATUS_CODE) {
        let code = match text(code).to_ascii_uppercase().as_str() {
            "OK" => status_code::OK,
            "ERROR" => status_code::ERROR,
            _ => status_code::UNSET,
        };
        return (code, tags.take(STATUS_DESCRIPTION).map_or("", text));
    }
    let number = tags.get(HTTP_STATUS_CODE).and_then(|tag| match ValueType::try_from(tag.v_type) {
        Ok(ValueType::Int64) => Some(tag.v_int64),
        Ok(ValueType::String) => tag.v_str.parse().ok(),
        _ => None,
    });
    // What a server was asked wrongly is no error of its own (semantic conventions for HTTP).
    let is_error = match number {
        None | Some(100..=399) => false,
        Some(400..=499) => kind != kind::SERVER,
        Some(_) => true,
    };
    match is_error {
        true => (status_code::ERROR, tags.get(HTTP_STATUS_MESSAGE).map_or("", text)),
        false => (status_code::UNSET, ""),
    }
}

fn put_event(out: &mut Vec<u8>, log: &Log) {
    put_fixed64_field(out, 1, log.timestamp.as_ref().map_or(0, unix_nano));
    let mut fields = Tags::of(&log.fields);
    let is_text = |tag: &KeyValue| tag.v_type == ValueType::String as i32;
    if fields.get(EVENT).is_some_and(is_text)
        && let Some(name) = fields.take(EVENT)
    {
        put_bytes_unless_empty(out, 2, text(name).as_bytes());
    }
    fields.put(out, 3);
}

fn put_link(out: &mut Vec<u8>, reference: &SpanRef) {
    put_trace_id(out, 1, &reference.trace_id);
    put_bytes_field(out, 2, &reference.span_id);
    let is_child = reference.ref_type == SpanRefType::ChildOf as i32;
    put_text(out, 4, REF_TYPE, if is_child { CHILD_OF } else { FOLLOWS_FROM });
}
