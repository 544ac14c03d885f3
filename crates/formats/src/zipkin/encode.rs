//! OTLP to Zipkin.

use std::borrow::Cow;

use model::json::value_text;
use model::{Attribute, Link, SpanBatch, Value, kind, status_code};

use super::span::{Annotation, Kind, Span};
use super::tags::key;
use super::{annotation, endpoint};

/// The service of spans whose resource names none (OpenTelemetry, "Resource SDK").
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// The service that Zipkin shows for a `service.name`, which may be empty.
pub fn service_name(name: &str) -> &str {
    if name.is_empty() { UNKNOWN_SERVICE } else { name }
}

/// Appends the spans of a batch as a JSON array, a span at a time.
pub fn write_json(out: &mut Vec<u8>, batch: &SpanBatch) {
    write_json_with(out, batch, UNKNOWN_SERVICE);
}

/// As [`write_json`]; spans whose resource names no service get this one.
pub fn write_json_with(out: &mut Vec<u8>, batch: &SpanBatch, default_service_name: &str) {
    out.push(b'[');
    for (at, span) in batch.spans().iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        // Neither texts nor numbers can fail, and memory does not.
        let _ = serde_json::to_writer(&mut *out, &span_with(batch, span, default_service_name));
    }
    out.push(b']');
}

/// A span as Zipkin has it.
pub fn span_of<'a>(batch: &'a SpanBatch, source: &model::Span) -> Span<'a> {
    span_with(batch, source, UNKNOWN_SERVICE)
}

/// As [`span_of`]; a span whose resource names no service gets this one.
pub(super) fn span_with<'a>(
    batch: &'a SpanBatch,
    source: &model::Span,
    default_service_name: &'a str,
) -> Span<'a> {
    let (scope, resource) = batch.origin(source);
    let mut span = Span {
        trace_id: Cow::Owned(source.trace_id.to_string()),
        id: Cow::Owned(source.span_id.to_string()),
        parent_id: (!source.parent_span_id.is_none())
            .then(|| Cow::Owned(source.parent_span_id.to_string())),
        kind: kind_of(source.kind),
        name: text(batch, source.name),
        timestamp: (source.start_unix_nano > 0).then_some(source.start_unix_nano / 1000),
        duration: duration_micros(source.duration_nano()),
        ..Span::default()
    };
    // The closest to the span wins.
    add_attributes(&mut span, batch, batch.span_attributes(source));
    add_attributes(&mut span, batch, batch.scope_attributes(scope));
    let service = match batch.service_name(resource) {
        "" => default_service_name,
        known => known,
    };
    add_attributes(&mut span, batch, batch.resource_attributes(resource));
    span.tags.remove(key::SERVICE_NAME);
    span.tags.remove(key::START_ABSENT);
    span.debug = is_true(span.tags.remove(key::DEBUG).map(|value| value.0));
    span.shared = is_true(span.tags.remove(key::SHARED).map(|value| value.0));
    span.local_endpoint = Some(endpoint::local(&span, Cow::Borrowed(service)));
    span.remote_endpoint = endpoint::remote(&span);

    for (key, value) in [(key::SCOPE_NAME, scope.name), (key::SCOPE_VERSION, scope.version)] {
        if let Some(value) = text(batch, value) {
            span.set_tag(key, value);
        }
    }
    if let Some(state) = text(batch, source.trace_state) {
        span.set_tag(key::TRACE_STATE, state);
    }
    if source.kind == kind::INTERNAL {
        span.set_tag(key::SPAN_KIND, Cow::Borrowed("internal"));
    }
    for (key, count) in [
        (key::DROPPED_ATTRIBUTES, source.dropped_attributes_count),
        (key::DROPPED_EVENTS, source.dropped_events_count),
        (key::DROPPED_LINKS, source.dropped_links_count),
    ] {
        if count > 0 {
            span.set_tag(key, Cow::Owned(count.to_string()));
        }
    }
    set_status(&mut span, batch, source);
    for (at, link) in batch.span_links(source).iter().enumerate() {
        let value = Cow::Owned(link_text(batch, link));
        span.add_tag(Cow::Owned(format!("{}{at}", key::LINK_PREFIX)), value);
    }
    let annotation = |event: &model::Event| Annotation {
        timestamp: Some(event.time_unix_nano / 1000),
        value: Cow::Owned(annotation::text(batch, event)),
    };
    span.annotations = batch.span_events(source).iter().map(annotation).collect();
    span
}

/// A duration in whole microseconds; Zipkin rounds up what is shorter than one, and has no zero.
fn duration_micros(nanos: u64) -> Option<u64> {
    (nanos > 0).then_some((nanos / 1000).max(1))
}

fn kind_of(number: i32) -> Option<Kind> {
    match number {
        kind::CLIENT => Some(Kind::Client),
        kind::SERVER => Some(Kind::Server),
        kind::PRODUCER => Some(Kind::Producer),
        kind::CONSUMER => Some(Kind::Consumer),
        _ => None,
    }
}

fn text(batch: &SpanBatch, text: model::Text) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then(|| Cow::Borrowed(batch.text(text)))
}

fn is_true(value: Option<Cow<'_, str>>) -> bool {
    value.is_some_and(|value| value == "true")
}

fn add_attributes<'a>(span: &mut Span<'a>, batch: &'a SpanBatch, attributes: &[Attribute]) {
    for attribute in attributes {
        let value = match attribute.value {
            Value::String(text) => Cow::Borrowed(batch.text(text)),
            value => Cow::Owned(value_text(batch, value)),
        };
        span.add_tag(Cow::Borrowed(batch.text(attribute.key)), value);
    }
}

/// The specification's section "Status".
fn set_status<'a>(span: &mut Span<'a>, batch: &'a SpanBatch, source: &model::Span) {
    let name = match source.status_code {
        status_code::OK => "OK",
        status_code::ERROR => "ERROR",
        _ => "",
    };
    if !name.is_empty() {
        span.set_tag(key::STATUS_CODE, Cow::Borrowed(name));
    }
    if source.is_error() {
        match text(batch, source.status_message) {
            Some(message) => span.set_tag(key::ERROR, message),
            None if span.tag(key::ERROR).is_none_or(|text| text == "false") => {
                span.set_tag(key::ERROR, Cow::Borrowed(""));
            }
            None => {}
        }
    } else if span.tag(key::ERROR) == Some("false") {
        // Zipkin takes every span that has this tag for failed.
        span.tags.remove(key::ERROR);
    }
}

fn link_text(batch: &SpanBatch, link: &Link) -> String {
    let mut out = format!("{}|{}|{}|", link.trace_id, link.span_id, batch.text(link.trace_state));
    annotation::put_object(&mut out, batch, batch.link_attributes(link));
    out.push_str(&format!("|{}", link.dropped_attributes_count));
    out
}
