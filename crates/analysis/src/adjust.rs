//! A trace as Jaeger shows it: ids that are unique, attributes in order, clocks set right as far as
//! allowed, and what was found said in the span attribute `@jaeger@warnings`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use model::wire::{Field, Reader, put_bytes_field, put_fixed32_field, put_fixed64_field};
use model::wire::{put_bytes_unless_empty, put_message, put_varint_field, put_varint_unless_zero};
use model::{Attribute, Event, Link, Resource, Span, SpanBatch, SpanId, TracesEncoder, Value};
use model::{encode_any_value, encode_key_value, json, kind};

use crate::skew::{self, Timed};

const WARNINGS: &[u8] = b"@jaeger@warnings";

/// Attributes of the instrumentation that belong to the resource.
const LIBRARY: [&str; 5] = [
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
    "telemetry.distro.name",
    "telemetry.distro.version",
];

/// Attributes that old senders gave as a number of 32 bits.
const ADDRESSES: [&[u8]; 2] = [b"ip", b"peer.ipv4"];

/// The trace, adjusted; clocks by at most `skew_max_nano`, with 0 not at all.
pub fn adjust(batch: &SpanBatch, skew_max_nano: u64) -> SpanBatch {
    let ids = unique_ids(batch.spans());
    let hosts: Vec<Cow<'_, str>> =
        batch.resources().iter().map(|resource| host(batch, resource)).collect();
    let timed: Vec<Timed<'_>> = batch
        .spans()
        .iter()
        .zip(&ids)
        .map(|(span, &(id, parent))| Timed {
            id,
            parent,
            start_unix_nano: span.start_unix_nano,
            end_unix_nano: span.end_unix_nano,
            host: &hosts[batch.scopes()[span.scope as usize].resource as usize],
        })
        .collect();
    let adjusted = skew::adjust(&timed, skew_max_nano);
    let mut edits: Vec<Edit> = ids
        .into_iter()
        .zip(adjusted)
        .map(|((id, parent), skew)| Edit {
            id,
            parent,
            shift_nano: skew.shift_nano,
            warnings: skew.warnings,
            moved: Vec::new(),
        })
        .collect();
    let moved = move_library_attributes(batch, &mut edits);
    let resources: Vec<Vec<u8>> = batch
        .resources()
        .iter()
        .zip(moved)
        .map(|(resource, moved)| resource_message(batch, resource, &moved))
        .collect();

    let mut encoder = TracesEncoder::new();
    let mut places: Vec<Option<(usize, usize)>> = vec![None; batch.scopes().len()];
    for (span, edit) in batch.spans().iter().zip(&edits) {
        let place = *places[span.scope as usize].get_or_insert_with(|| {
            let (scope, resource) = batch.origin(span);
            let sorted = sorted(batch, batch.scope_attributes(scope));
            let message = with_attributes(batch, batch.bytes_of(scope.message), 3, &sorted);
            encoder.origin(
                &resources[scope.resource as usize],
                batch.bytes_of(resource.schema_url),
                &message,
                batch.bytes_of(scope.schema_url),
            )
        });
        encoder.span(place, |out| put_span(out, batch, span, edit));
    }
    // Beyond the limits of a request the trace stays as it is.
    SpanBatch::decode(Bytes::from(encoder.finish())).unwrap_or_else(|_| batch.clone())
}

/// What changes of a span.
struct Edit {
    id: SpanId,
    parent: SpanId,
    shift_nano: i64,
    warnings: Vec<String>,
    /// Attributes that the resource has instead.
    moved: Vec<&'static str>,
}

/// What tells a resource's host from others.
fn host<'a>(batch: &'a SpanBatch, resource: &Resource) -> Cow<'a, str> {
    let find = |key: &str| {
        let mut attributes = batch.resource_attributes(resource).iter();
        attributes.find(|attribute| batch.bytes_of(attribute.key) == key.as_bytes())
    };
    let text = |attribute: &Attribute| match attribute.value {
        Value::String(text) => Cow::Borrowed(batch.text(text)),
        _ => Cow::Borrowed(""),
    };
    if let Some(id) = find("host.id") {
        return text(id);
    }
    match find("host.ip").map(|attribute| attribute.value) {
        Some(Value::String(address)) => return Cow::Borrowed(batch.text(address)),
        Some(Value::Array(message)) => {
            if let Some(first) = first_text(batch.bytes_of(message)) {
                return first.into();
            }
        }
        _ => {}
    }
    find("host.name").map(text).unwrap_or_default()
}

/// The first value of an `ArrayValue`, when it is text.
fn first_text(message: &[u8]) -> Option<String> {
    let Ok(Some((1, Field::Bytes(value)))) = Reader::new(message).next_field() else { return None };
    match Reader::new(value).next_field() {
        Ok(Some((1, Field::Bytes(text)))) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => Some(String::new()),
    }
}

/// Id and parent of each span. Where the two sides of a call share an id, as Zipkin has them, the
/// server's side gets one of its own, below the client's.
fn unique_ids(spans: &[Span]) -> Vec<(SpanId, SpanId)> {
    let used: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
    let clients: HashSet<SpanId> =
        spans.iter().filter(|span| span.kind == kind::CLIENT).map(|span| span.span_id).collect();
    let mut last = 0u64;
    let mut new_ids: HashMap<SpanId, SpanId> = HashMap::new();
    let mut ids: Vec<(SpanId, SpanId)> = spans
        .iter()
        .map(|span| {
            if span.kind != kind::SERVER || !clients.contains(&span.span_id) {
                return (span.span_id, span.parent_span_id);
            }
            // There are fewer spans than ids, so that one is free.
            last += 1;
            while used.contains(&SpanId::from_number(last)) {
                last += 1;
            }
            let id = SpanId::from_number(last);
            new_ids.insert(span.span_id, id);
            (id, span.span_id)
        })
        .collect();
    for (id, parent) in &mut ids {
        if let Some(new) = new_ids.get(parent)
            && new != id
        {
            *parent = *new;
        }
    }
    ids
}

/// The attributes that each resource gets from its spans.
fn move_library_attributes(batch: &SpanBatch, edits: &mut [Edit]) -> Vec<Vec<Attribute>> {
    let mut moved: Vec<Vec<Attribute>> = vec![Vec::new(); batch.resources().len()];
    for (span, edit) in batch.spans().iter().zip(edits) {
        let (scope, resource) = batch.origin(span);
        let own = &mut moved[scope.resource as usize];
        for attribute in batch.span_attributes(span) {
            let key = batch.bytes_of(attribute.key);
            let Some(name) = LIBRARY.into_iter().find(|name| name.as_bytes() == key) else {
                continue;
            };
            let mut known = batch.resource_attributes(resource).iter().chain(own.iter());
            let known = known.find(|known| batch.bytes_of(known.key) == key);
            match (known.map(|known| known.value), attribute.value) {
                (None, _) => own.push(*attribute),
                (Some(Value::String(known)), Value::String(said))
                    if batch.bytes_of(known) == batch.bytes_of(said) => {}
                _ => {
                    edit.warnings.push(format!(
                        "conflicting values between Span and Resource for attribute {name}"
                    ));
                    continue;
                }
            }
            edit.moved.push(name);
        }
    }
    moved
}

fn resource_message(batch: &SpanBatch, resource: &Resource, moved: &[Attribute]) -> Vec<u8> {
    let mut attributes = batch.resource_attributes(resource).to_vec();
    attributes.extend(moved);
    let sorted = sorted(batch, &attributes);
    with_attributes(batch, batch.bytes_of(resource.message), 1, &sorted)
}

fn sorted(batch: &SpanBatch, attributes: &[Attribute]) -> Vec<Attribute> {
    let mut sorted = attributes.to_vec();
    sorted.sort_by(|a, b| batch.bytes_of(a.key).cmp(batch.bytes_of(b.key)));
    sorted
}

/// A message with other attributes, which are its field `number`.
fn with_attributes(
    batch: &SpanBatch,
    message: &[u8],
    number: u32,
    attributes: &[Attribute],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for attribute in attributes {
        put_attribute(&mut out, number, batch, attribute);
    }
    let mut reader = Reader::new(message);
    while let Ok(Some((of, field))) = reader.next_field() {
        match field {
            _ if of == number => {}
            Field::Varint(value) => put_varint_field(&mut out, of, value),
            Field::Fixed64(value) => put_fixed64_field(&mut out, of, value),
            Field::Fixed32(value) => put_fixed32_field(&mut out, of, value),
            Field::Bytes(bytes) => put_bytes_field(&mut out, of, bytes),
        }
    }
    out
}

fn put_attribute(out: &mut Vec<u8>, number: u32, batch: &SpanBatch, attribute: &Attribute) {
    let key = batch.bytes_of(attribute.key);
    let address = match attribute.value {
        Value::Int(value) if ADDRESSES.contains(&key) => Some(value as u32),
        Value::Double(value) if ADDRESSES.contains(&key) => Some(value as i64 as u32),
        _ => None,
    };
    encode_key_value(out, number, key, |out| match address {
        Some(address) => {
            let dotted = std::net::Ipv4Addr::from(address).to_string();
            put_bytes_field(out, 1, dotted.as_bytes());
        }
        None => encode_any_value(out, batch, attribute.value),
    });
}

/// A list of attributes that are no addresses, by key.
fn put_attributes(out: &mut Vec<u8>, number: u32, batch: &SpanBatch, attributes: &[Attribute]) {
    for attribute in sorted(batch, attributes) {
        encode_key_value(out, number, batch.bytes_of(attribute.key), |out| {
            encode_any_value(out, batch, attribute.value);
        });
    }
}

fn put_span(out: &mut Vec<u8>, batch: &SpanBatch, span: &Span, edit: &Edit) {
    let shifted = |nanos: u64| nanos.saturating_add_signed(edit.shift_nano);
    put_bytes_field(out, 1, &span.trace_id.0);
    put_bytes_field(out, 2, &edit.id.0);
    put_bytes_unless_empty(out, 3, batch.bytes_of(span.trace_state));
    if !edit.parent.is_none() {
        put_bytes_field(out, 4, &edit.parent.0);
    }
    put_bytes_unless_empty(out, 5, batch.bytes_of(span.name));
    put_varint_unless_zero(out, 6, span.kind as u64);
    put_fixed64_field(out, 7, shifted(span.start_unix_nano));
    put_fixed64_field(out, 8, shifted(span.end_unix_nano));
    let (links, empty): (Vec<&Link>, Vec<&Link>) =
        batch.span_links(span).iter().partition(|link| !link.trace_id.is_none());
    let mut warnings: Vec<&str> = edit.warnings.iter().map(String::as_str).collect();
    warnings.extend(empty.iter().map(|_| "Invalid span link removed"));
    put_span_attributes(out, batch, span, edit, &warnings);
    put_varint_unless_zero(out, 10, u64::from(span.dropped_attributes_count));
    let mut events: Vec<&Event> = batch.span_events(span).iter().collect();
    // In the order in which they happened. Jaeger 2.20 has them in that of their names, which is a
    // fault that it has mended since (issue 9212).
    events.sort_by_key(|event| event.time_unix_nano);
    for event in events {
        put_message(out, 11, |out| {
            put_fixed64_field(out, 1, shifted(event.time_unix_nano));
            put_bytes_unless_empty(out, 2, batch.bytes_of(event.name));
            put_attributes(out, 3, batch, batch.event_attributes(event));
            put_varint_unless_zero(out, 4, u64::from(event.dropped_attributes_count));
        });
    }
    put_varint_unless_zero(out, 12, u64::from(span.dropped_events_count));
    for link in links {
        put_message(out, 13, |out| put_link(out, batch, link));
    }
    put_varint_unless_zero(out, 14, u64::from(span.dropped_links_count));
    if span.status_code != 0 || !span.status_message.is_empty() {
        put_message(out, 15, |out| {
            put_bytes_unless_empty(out, 2, batch.bytes_of(span.status_message));
            put_varint_unless_zero(out, 3, span.status_code as u64);
        });
    }
    if span.flags != 0 {
        put_fixed32_field(out, 16, span.flags);
    }
}

fn put_span_attributes(
    out: &mut Vec<u8>,
    batch: &SpanBatch,
    span: &Span,
    edit: &Edit,
    warnings: &[&str],
) {
    let mut before: Option<Value> = None;
    for attribute in sorted(batch, batch.span_attributes(span)) {
        let key = batch.bytes_of(attribute.key);
        if edit.moved.iter().any(|name| name.as_bytes() == key) {
            continue;
        }
        if key == WARNINGS && !warnings.is_empty() && before.is_none() {
            before = Some(attribute.value);
            continue;
        }
        put_attribute(out, 9, batch, &attribute);
    }
    if warnings.is_empty() {
        return;
    }
    let put = |out: &mut Vec<u8>, text: &str| {
        put_message(out, 1, |out| put_bytes_field(out, 1, text.as_bytes()));
    };
    encode_key_value(out, 9, WARNINGS, |out| {
        put_message(out, 5, |out| {
            match before {
                Some(Value::Array(message)) => out.extend_from_slice(batch.bytes_of(message)),
                Some(value) => put(out, &json::value_text(batch, value)),
                None => {}
            }
            warnings.iter().for_each(|text| put(out, text));
        });
    });
}

fn put_link(out: &mut Vec<u8>, batch: &SpanBatch, link: &Link) {
    put_bytes_field(out, 1, &link.trace_id.0);
    if !link.span_id.is_none() {
        put_bytes_field(out, 2, &link.span_id.0);
    }
    put_bytes_unless_empty(out, 3, batch.bytes_of(link.trace_state));
    put_attributes(out, 4, batch, batch.link_attributes(link));
    put_varint_unless_zero(out, 5, u64::from(link.dropped_attributes_count));
    if link.flags != 0 {
        put_fixed32_field(out, 6, link.flags);
    }
}
