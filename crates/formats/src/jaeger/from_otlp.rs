//! OTLP to Jaeger.

use model::{Attribute, Event, Link, Resource, Span, SpanBatch, Value, json, kind, status_code};

use super::proto::{self, KeyValue, SpanRef, SpanRefType, ValueType};
use super::time::{duration, timestamp};
use super::{
    CHILD_OF, ERROR, EVENT, NO_SERVICE, REF_TYPE, SAMPLED, SCOPE_NAME, SCOPE_VERSION, SERVICE_NAME,
    SPAN_KIND, STATUS_CODE, STATUS_DESCRIPTION, TRACE_STATE, WARNINGS,
};

/// A batch for every resource that has spans, in order of appearance.
pub fn batches(batch: &SpanBatch) -> Vec<proto::Batch> {
    let mut found: Vec<Option<proto::Batch>> = vec![None; batch.resources().len()];
    let mut order = Vec::new();
    for each in batch.spans() {
        let at = batch.scopes()[each.scope as usize].resource as usize;
        let of = found[at].get_or_insert_with(|| {
            order.push(at);
            let process = process(batch, &batch.resources()[at]);
            proto::Batch { spans: Vec::new(), process: Some(process) }
        });
        of.spans.push(span(batch, each));
    }
    order.into_iter().filter_map(|at| found[at].take()).collect()
}

/// A resource as a process.
pub fn process(batch: &SpanBatch, resource: &Resource) -> proto::Process {
    let attributes = batch.resource_attributes(resource);
    if attributes.is_empty() {
        return proto::Process { service_name: NO_SERVICE.to_owned(), tags: Vec::new() };
    }
    let is_name = |attribute: &&Attribute| batch.bytes_of(attribute.key) == SERVICE_NAME.as_bytes();
    proto::Process {
        service_name: batch.service_name(resource).to_owned(),
        tags: attributes
            .iter()
            .filter(|attribute| !is_name(attribute))
            .map(|attribute| tag(batch, attribute))
            .collect(),
    }
}

/// A span, without its process.
pub fn span(batch: &SpanBatch, span: &Span) -> proto::Span {
    proto::Span {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        operation_name: batch.text(span.name).to_owned(),
        references: references(batch, span),
        flags: span.flags & SAMPLED,
        start_time: Some(timestamp(span.start_unix_nano)),
        duration: Some(duration(span.start_unix_nano, span.end_unix_nano)),
        tags: span_tags(batch, span),
        logs: batch.span_events(span).iter().map(|event| log(batch, event)).collect(),
        process: None,
        process_id: String::new(),
        warnings: warnings(batch, span),
    }
}

fn text_tag(key: &str, value: impl Into<String>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        v_type: ValueType::String as i32,
        v_str: value.into(),
        ..KeyValue::default()
    }
}

fn tag(batch: &SpanBatch, attribute: &Attribute) -> KeyValue {
    let key = batch.text(attribute.key);
    let typed = |v_type: ValueType| KeyValue {
        key: key.to_owned(),
        v_type: v_type as i32,
        ..KeyValue::default()
    };
    match attribute.value {
        Value::Bool(value) => KeyValue { v_bool: value, ..typed(ValueType::Bool) },
        Value::Int(value) => KeyValue { v_int64: value, ..typed(ValueType::Int64) },
        Value::Double(value) => KeyValue { v_float64: value, ..typed(ValueType::Float64) },
        Value::Bytes(bytes) => {
            KeyValue { v_binary: batch.bytes_of(bytes).to_vec(), ..typed(ValueType::Binary) }
        }
        value @ (Value::Empty | Value::String(_) | Value::Array(_) | Value::KeyValueList(_)) => {
            text_tag(key, json::value_text(batch, value))
        }
    }
}

fn span_tags(batch: &SpanBatch, span: &Span) -> Vec<KeyValue> {
    let (scope, _) = batch.origin(span);
    let own = batch.span_attributes(span);
    let mut tags = Vec::with_capacity(own.len() + 4);
    for (key, text) in [(SCOPE_NAME, scope.name), (SCOPE_VERSION, scope.version)] {
        if !text.is_empty() {
            tags.push(text_tag(key, batch.text(text)));
        }
    }
    let carried = own.iter().filter(|attribute| !is_warnings(batch, attribute));
    tags.extend(carried.map(|attribute| tag(batch, attribute)));
    if (kind::INTERNAL..=kind::CONSUMER).contains(&span.kind) {
        tags.push(text_tag(SPAN_KIND, kind::name(span.kind)));
    }
    match span.status_code {
        status_code::OK => tags.push(text_tag(STATUS_CODE, "OK")),
        status_code::ERROR => {
            tags.push(text_tag(STATUS_CODE, "ERROR"));
            tags.push(KeyValue {
                key: ERROR.to_owned(),
                v_type: ValueType::Bool as i32,
                v_bool: true,
                ..KeyValue::default()
            });
        }
        _ => {}
    }
    if !span.status_message.is_empty() {
        tags.push(text_tag(STATUS_DESCRIPTION, batch.text(span.status_message)));
    }
    if !span.trace_state.is_empty() {
        tags.push(text_tag(TRACE_STATE, batch.text(span.trace_state)));
    }
    tags
}

fn is_warnings(batch: &SpanBatch, attribute: &Attribute) -> bool {
    matches!(attribute.value, Value::Array(_))
        && batch.bytes_of(attribute.key) == WARNINGS.as_bytes()
}

fn warnings(batch: &SpanBatch, span: &Span) -> Vec<String> {
    let attributes = batch.span_attributes(span).iter();
    let carried = attributes.filter(|attribute| is_warnings(batch, attribute));
    carried
        .filter_map(|attribute| match attribute.value {
            Value::Array(message) => Some(batch.bytes_of(message)),
            _ => None,
        })
        .flat_map(texts_of_array)
        .collect()
}

/// The texts of an `ArrayValue`, which the decoder has checked.
fn texts_of_array(message: &[u8]) -> Vec<String> {
    use model::wire::{Field, Reader};
    let mut texts = Vec::new();
    let mut values = Reader::new(message);
    while let Ok(Some((number, field))) = values.next_field() {
        let (1, Field::Bytes(value)) = (number, field) else { continue };
        let mut value = Reader::new(value);
        while let Ok(Some((number, field))) = value.next_field() {
            if let (1, Field::Bytes(text)) = (number, field) {
                texts.push(String::from_utf8_lossy(text).into_owned());
            }
        }
    }
    texts
}

fn log(batch: &SpanBatch, event: &Event) -> proto::Log {
    let attributes = batch.event_attributes(event);
    let mut fields = Vec::with_capacity(attributes.len() + 1);
    let is_named = |attribute: &Attribute| batch.bytes_of(attribute.key) == EVENT.as_bytes();
    if !event.name.is_empty() && !attributes.iter().any(is_named) {
        fields.push(text_tag(EVENT, batch.text(event.name)));
    }
    fields.extend(attributes.iter().map(|attribute| tag(batch, attribute)));
    proto::Log { timestamp: Some(timestamp(event.time_unix_nano)), fields }
}

/// The parent first, then the links. A link to the parent tells the type of its reference.
fn references(batch: &SpanBatch, span: &Span) -> Vec<SpanRef> {
    let links = batch.span_links(span);
    let has_parent = !span.parent_span_id.is_none();
    let mut references = Vec::with_capacity(links.len() + usize::from(has_parent));
    if has_parent {
        references.push(SpanRef {
            trace_id: span.trace_id.0.to_vec(),
            span_id: span.parent_span_id.0.to_vec(),
            ref_type: SpanRefType::ChildOf as i32,
        });
    }
    for link in links {
        let ref_type = ref_type(batch, link) as i32;
        if has_parent && link.trace_id == span.trace_id && link.span_id == span.parent_span_id {
            references[0].ref_type = ref_type;
            continue;
        }
        references.push(SpanRef {
            trace_id: link.trace_id.0.to_vec(),
            span_id: link.span_id.0.to_vec(),
            ref_type,
        });
    }
    references
}

fn ref_type(batch: &SpanBatch, link: &Link) -> SpanRefType {
    let said = batch
        .link_attributes(link)
        .iter()
        .find(|attribute| batch.bytes_of(attribute.key) == REF_TYPE.as_bytes());
    match said.map(|attribute| attribute.value) {
        Some(Value::String(text)) if batch.text(text) == CHILD_OF => SpanRefType::ChildOf,
        _ => SpanRefType::FollowsFrom,
    }
}
