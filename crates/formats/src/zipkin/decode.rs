//! Zipkin to OTLP.

use std::collections::BTreeSet;

use model::wire::{
    put_bytes_field, put_bytes_unless_empty, put_fixed64_field, put_message, put_varint_field,
    put_varint_unless_zero,
};
use model::{SpanId, TraceId, encode_key_value, kind, status_code};
use serde_json::Value as Json;

use super::span::{Annotation, Kind, Span};
use super::tags::{LINKS_MAX, key};
use super::{annotation, endpoint, origin};
use crate::groups::Groups;
use crate::payload::Sink;

/// Why a list of spans is not one.
#[derive(Debug, thiserror::Error)]
pub enum ZipkinError {
    /// The text is no JSON, or a field has the wrong type.
    #[error("not a list of Zipkin v2 spans: {0}")]
    Json(#[from] serde_json::Error),
    /// A value cannot be.
    #[error("span {index}, {field}: {problem}")]
    Span {
        /// Which span, counted from 0.
        index: usize,
        /// Which of its fields.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// What the texts of tags become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TagTypes {
    /// Texts, as they are.
    #[default]
    Text,
    /// Numbers and booleans where the text spells one.
    Parsed,
}

/// The protobuf bytes of `TracesData` for a JSON list of spans, all of which must be right. Without
/// bounds: for what is trusted.
pub fn to_otlp(json: &[u8], types: TagTypes) -> Result<Vec<u8>, ZipkinError> {
    let spans: Vec<Span<'_>> = serde_json::from_slice(json)?;
    let mut groups = Groups::default();
    for (index, span) in spans.into_iter().enumerate() {
        let fixed = Fixed::of(&span).map_err(|(field, problem)| ZipkinError::Span {
            index,
            field,
            problem,
        })?;
        add(&mut groups, &fixed, span, types, &BTreeSet::new());
    }
    Ok(groups.finish())
}

/// Adds a span to what a payload becomes. Some tags may be known to spell numbers or booleans. A
/// span with a value that cannot be is left out and counted.
pub(super) fn take(sink: &mut Sink, span: Span<'_>, types: TagTypes, typed: &BTreeSet<String>) {
    let fixed = match Fixed::of(&span) {
        Ok(fixed) => fixed,
        Err((field, problem)) => return sink.leave_out(format!("a span's {field}: {problem}")),
    };
    add(&mut sink.groups, &fixed, span, types, typed);
    sink.spans += 1;
}

fn add(
    groups: &mut Groups,
    fixed: &Fixed,
    mut span: Span<'_>,
    types: TagTypes,
    typed: &BTreeSet<String>,
) {
    let (resource, scope) = origin::take(&mut span);
    let place = groups.resource(&resource);
    let spans = groups.spans(place, &scope);
    put_message(spans, 2, |out| put_span(out, fixed, span, types, typed));
}

/// The fields of a span that may be wrong.
struct Fixed {
    trace_id: TraceId,
    span_id: SpanId,
    parent_id: SpanId,
    start_unix_nano: u64,
    end_unix_nano: u64,
    events_unix_nano: Vec<u64>,
}

type Fault = (&'static str, String);

impl Fixed {
    fn of(span: &Span<'_>) -> Result<Self, Fault> {
        let trace_id: TraceId = id("traceId", &span.trace_id)?;
        let span_id: SpanId = id("id", &span.id)?;
        for (field, is_none) in [("traceId", trace_id.is_none()), ("id", span_id.is_none())] {
            if is_none {
                return Err((field, "all zeros mean no id".to_owned()));
            }
        }
        let parent_id = span.parent_id.as_deref().filter(|text| !text.is_empty());
        let parent_id = parent_id.map_or(Ok(SpanId::NONE), |text| id("parentId", text))?;
        let start_unix_nano = nanos("timestamp", span.timestamp.unwrap_or(0))?;
        let duration = nanos("duration", span.duration.unwrap_or(0))?;
        let end = start_unix_nano.checked_add(duration);
        let time = |annotation: &Annotation<'_>| {
            nanos("annotations, timestamp", annotation.timestamp.unwrap_or(0))
        };
        Ok(Self {
            trace_id,
            span_id,
            // A span is no parent of its own: old clients write so at a root.
            parent_id: if parent_id == span_id { SpanId::NONE } else { parent_id },
            start_unix_nano,
            end_unix_nano: end.ok_or_else(|| out_of_range("duration"))?,
            events_unix_nano: span.annotations.iter().map(time).collect::<Result<_, _>>()?,
        })
    }
}

fn id<T: std::str::FromStr<Err = model::IdError>>(
    field: &'static str,
    text: &str,
) -> Result<T, Fault> {
    text.parse().map_err(|error: model::IdError| (field, format!("{text:?}: {error}")))
}

fn nanos(field: &'static str, micros: u64) -> Result<u64, Fault> {
    micros.checked_mul(1000).ok_or_else(|| out_of_range(field))
}

fn out_of_range(field: &'static str) -> Fault {
    (field, "microseconds beyond the year 2554 cannot be kept".to_owned())
}

fn put_span(
    out: &mut Vec<u8>,
    fixed: &Fixed,
    mut span: Span<'_>,
    types: TagTypes,
    typed: &BTreeSet<String>,
) {
    put_bytes_field(out, 1, &fixed.trace_id.0);
    put_bytes_field(out, 2, &fixed.span_id.0);
    if let Some(state) = span.tags.remove(key::TRACE_STATE) {
        put_bytes_unless_empty(out, 3, state.0.as_bytes());
    }
    if !fixed.parent_id.is_none() {
        put_bytes_field(out, 4, &fixed.parent_id.0);
    }
    put_bytes_unless_empty(out, 5, span.name.as_deref().unwrap_or_default().as_bytes());
    put_varint_unless_zero(out, 6, take_kind(&mut span) as u64);
    put_fixed64_field(out, 7, fixed.start_unix_nano);
    put_fixed64_field(out, 8, fixed.end_unix_nano);
    let (status, message) = take_status(&mut span);
    put_links(out, &mut span);
    for (number, key) in
        [(10, key::DROPPED_ATTRIBUTES), (12, key::DROPPED_EVENTS), (14, key::DROPPED_LINKS)]
    {
        if let Some(count) = span.tag(key).and_then(|count| count.parse::<u32>().ok()) {
            span.tags.remove(key);
            put_varint_unless_zero(out, number, u64::from(count));
        }
    }
    put_attributes(out, &span, types, typed);
    for (event, &time) in span.annotations.iter().zip(&fixed.events_unix_nano) {
        let parts = annotation::parts(&event.value);
        put_message(out, 11, |out| {
            put_fixed64_field(out, 1, time);
            put_bytes_unless_empty(out, 2, parts.name.as_bytes());
            put_json_attributes(out, 3, &parts.attributes);
            put_varint_unless_zero(out, 4, u64::from(parts.dropped));
        });
    }
    if status != status_code::UNSET {
        put_message(out, 15, |out| {
            put_bytes_unless_empty(out, 2, message.as_bytes());
            put_varint_field(out, 3, status as u64);
        });
    }
}

fn take_kind(span: &mut Span<'_>) -> i32 {
    match span.kind {
        Some(Kind::Client) => kind::CLIENT,
        Some(Kind::Server) => kind::SERVER,
        Some(Kind::Producer) => kind::PRODUCER,
        Some(Kind::Consumer) => kind::CONSUMER,
        None if span.tag(key::SPAN_KIND) == Some("internal") => {
            span.tags.remove(key::SPAN_KIND);
            kind::INTERNAL
        }
        None if span.tag(key::LOCAL_COMPONENT).is_some() => kind::INTERNAL,
        None => kind::UNSPECIFIED,
    }
}

/// The status' code and message. In Zipkin a span has failed when it has the tag `error`.
fn take_status(span: &mut Span<'_>) -> (i32, String) {
    let code = span
        .tag(key::STATUS_CODE)
        .map(|code| code.trim_start_matches("STATUS_CODE_").to_ascii_uppercase());
    let mut status = status_code::UNSET;
    let mut message = String::new();
    if let Some(known) = code.and_then(|code| match code.as_str() {
        "UNSET" => Some(status_code::UNSET),
        "OK" => Some(status_code::OK),
        "ERROR" => Some(status_code::ERROR),
        _ => None,
    }) {
        status = known;
        span.tags.remove(key::STATUS_CODE);
        let description = span.tags.remove(key::STATUS_DESCRIPTION);
        message = description.map(|text| text.0.into_owned()).unwrap_or_default();
    }
    let error = span.tag(key::ERROR).filter(|error| *error != "false").map(str::to_owned);
    if let Some(error) = error
        && status != status_code::OK
    {
        status = status_code::ERROR;
        let says_nothing = error.is_empty() || error == "true";
        if message.is_empty() && !says_nothing {
            message.clone_from(&error);
        }
        if says_nothing || error == message {
            span.tags.remove(key::ERROR);
        }
    }
    (status, message)
}

fn put_links(out: &mut Vec<u8>, span: &mut Span<'_>) {
    for at in 0..LINKS_MAX {
        let tag = format!("{}{at}", key::LINK_PREFIX);
        let Some(text) = span.tag(&tag) else { break };
        // What is no link stays a tag.
        if put_link(out, text).is_some() {
            span.tags.remove(tag.as_str());
        }
    }
}

fn put_link(out: &mut Vec<u8>, text: &str) -> Option<()> {
    let (trace_id, rest) = text.split_once('|')?;
    let (span_id, rest) = rest.split_once('|')?;
    // A tracestate has no bar (W3C Trace Context, section 3.3).
    let (state, rest) = rest.split_once('|')?;
    let (attributes, dropped) = rest.rsplit_once('|')?;
    let trace_id: TraceId = trace_id.parse().ok()?;
    let span_id: SpanId = span_id.parse().ok()?;
    let attributes = annotation::object(attributes)?;
    let dropped: u32 = dropped.parse().ok()?;
    put_message(out, 13, |out| {
        put_bytes_field(out, 1, &trace_id.0);
        put_bytes_field(out, 2, &span_id.0);
        put_bytes_unless_empty(out, 3, state.as_bytes());
        put_json_attributes(out, 4, &attributes);
        put_varint_unless_zero(out, 5, u64::from(dropped));
    });
    Some(())
}

fn put_attributes(out: &mut Vec<u8>, span: &Span<'_>, types: TagTypes, typed: &BTreeSet<String>) {
    for (key, value) in &span.tags {
        let types = if typed.contains(&*key.0) { TagTypes::Parsed } else { types };
        encode_key_value(out, 9, key.0.as_bytes(), |out| put_tag(out, &value.0, types));
    }
    for (key, value) in endpoint::attributes(span) {
        encode_key_value(out, 9, key.as_bytes(), |out| put_json(out, &value, 0));
    }
    for (key, is_set) in [
        (key::START_ABSENT, span.timestamp.is_none()),
        (key::DEBUG, span.debug),
        (key::SHARED, span.shared),
    ] {
        if is_set {
            encode_key_value(out, 9, key.as_bytes(), |out| put_varint_field(out, 2, 1));
        }
    }
}

/// Appends the `AnyValue` of a tag.
fn put_tag(out: &mut Vec<u8>, text: &str, types: TagTypes) {
    if types == TagTypes::Parsed {
        if let Ok(number) = text.parse::<i64>() {
            return put_varint_field(out, 3, number as u64);
        }
        if let Ok(number) = text.parse::<f64>() {
            return put_fixed64_field(out, 4, number.to_bits());
        }
        if let "true" | "True" | "TRUE" | "false" | "False" | "FALSE" = text {
            return put_varint_field(out, 2, u64::from(text.starts_with(['t', 'T'])));
        }
    }
    put_bytes_field(out, 1, text.as_bytes());
}

fn put_json_attributes(out: &mut Vec<u8>, number: u32, attributes: &[(String, Json)]) {
    for (key, value) in attributes {
        encode_key_value(out, number, key.as_bytes(), |out| put_json(out, value, 0));
    }
}

/// Appends the `AnyValue` of a JSON value. What is nested deeper than spans may carry becomes
/// text.
fn put_json(out: &mut Vec<u8>, value: &Json, depth: usize) {
    // Two levels of messages for each of JSON's.
    let too_deep = 2 * (depth + 1) >= model::VALUE_DEPTH_MAX;
    match value {
        Json::Null => {}
        Json::String(text) => put_bytes_field(out, 1, text.as_bytes()),
        Json::Bool(value) => put_varint_field(out, 2, u64::from(*value)),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => put_varint_field(out, 3, whole as u64),
            None => put_fixed64_field(out, 4, number.as_f64().unwrap_or(f64::NAN).to_bits()),
        },
        nested if too_deep => put_bytes_field(out, 1, nested.to_string().as_bytes()),
        Json::Array(values) => put_message(out, 5, |out| {
            for value in values {
                put_message(out, 1, |out| put_json(out, value, depth + 1));
            }
        }),
        Json::Object(fields) => put_message(out, 6, |out| {
            for (key, value) in fields {
                encode_key_value(out, 1, key.as_bytes(), |out| put_json(out, value, depth + 1));
            }
        }),
    }
}
