//! Zipkin's v2 spans in protobuf.
//!
//! Source: `zipkin.proto` of Zipkin's interface definitions. Read where the bytes lie, into what
//! the JSON is read into.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::wire::{
    Field, Reader, WireError, put_bytes_field, put_bytes_unless_empty, put_fixed64_field,
    put_message, put_varint_unless_zero,
};
use model::{SpanBatch, SpanId, TraceId};

use super::encode::span_with;
use super::span::{Annotation, Endpoint, Kind, Span, TagKey, TagValue};

/// Kinds by their numbers, counted from 1.
const KINDS: [Kind; 4] = [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer];

/// Why a message is no span.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// What breaks the message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// What breaks this span alone.
    #[error("{0}")]
    Span(String),
}

/// How many tags and annotations a span has.
pub(super) fn elements(message: &[u8]) -> Result<usize, WireError> {
    let mut count = 0;
    let mut reader = Reader::new(message);
    while let Some((number, _)) = reader.next_field()? {
        count += usize::from(matches!(number, 10 | 11));
    }
    Ok(count)
}

/// A message `Span`.
pub(super) fn span(message: &[u8]) -> Result<Span<'_>, Fault> {
    let mut span = Span::default();
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next_field()? {
        match (number, field) {
            (1, Field::Bytes(id)) => span.trace_id = hex("trace id", id, &[8, 16])?,
            (2, Field::Bytes([])) => {}
            (2, Field::Bytes(id)) => span.parent_id = Some(hex("parent id", id, &[8])?),
            (3, Field::Bytes(id)) => span.id = hex("id", id, &[8])?,
            (4, Field::Varint(kind)) => {
                let place = usize::try_from(kind).ok().and_then(|kind| kind.checked_sub(1));
                span.kind = place.and_then(|place| KINDS.get(place).copied());
            }
            (5, Field::Bytes(name)) => span.name = some(text(name)?),
            (6, Field::Fixed64(micros)) => span.timestamp = Some(micros).filter(|it| *it > 0),
            (7, Field::Varint(micros)) => span.duration = Some(micros).filter(|it| *it > 0),
            (8, Field::Bytes(message)) => span.local_endpoint = Some(endpoint(message)?),
            (9, Field::Bytes(message)) => span.remote_endpoint = Some(endpoint(message)?),
            (10, Field::Bytes(message)) => span.annotations.push(annotation(message)?),
            (11, Field::Bytes(message)) => {
                let (key, value) = tag(message)?;
                span.tags.insert(key, value);
            }
            (12, Field::Varint(debug)) => span.debug = debug != 0,
            (13, Field::Varint(shared)) => span.shared = shared != 0,
            (1..=13, _) => return Err(WireError::Mismatch(number).into()),
            _ => {}
        }
    }
    Ok(span)
}

fn text(bytes: &[u8]) -> Result<Cow<'_, str>, Fault> {
    let text = std::str::from_utf8(bytes);
    text.map(Cow::Borrowed).map_err(|_| Fault::Span("a span's text is not valid UTF-8".to_owned()))
}

fn some(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then_some(text)
}

fn hex(what: &str, id: &[u8], lengths: &[usize]) -> Result<Cow<'static, str>, Fault> {
    if !lengths.contains(&id.len()) {
        return Err(Fault::Span(format!("a span's {what} has {} bytes", id.len())));
    }
    Ok(Cow::Owned(id.iter().map(|byte| format!("{byte:02x}")).collect()))
}

fn endpoint(message: &[u8]) -> Result<Endpoint<'_>, Fault> {
    let mut endpoint = Endpoint::default();
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next_field()? {
        match (number, field) {
            (1, Field::Bytes(name)) => endpoint.service_name = some(text(name)?),
            (2, Field::Bytes(ip)) => {
                let ip: Option<[u8; 4]> = ip.try_into().ok();
                endpoint.ipv4 = ip.map(|ip| Cow::Owned(Ipv4Addr::from(ip).to_string()));
            }
            (3, Field::Bytes(ip)) => {
                let ip: Option<[u8; 16]> = ip.try_into().ok();
                endpoint.ipv6 = ip.map(|ip| Cow::Owned(Ipv6Addr::from(ip).to_string()));
            }
            (4, Field::Varint(port)) => {
                endpoint.port = Some(port).filter(|port| (1..=0xffff).contains(port));
            }
            (1..=4, _) => return Err(WireError::Mismatch(number).into()),
            _ => {}
        }
    }
    Ok(endpoint)
}

fn annotation(message: &[u8]) -> Result<Annotation<'_>, Fault> {
    let mut annotation = Annotation::default();
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next_field()? {
        match (number, field) {
            (1, Field::Fixed64(micros)) => annotation.timestamp = Some(micros),
            (2, Field::Bytes(value)) => annotation.value = text(value)?,
            (1..=2, _) => return Err(WireError::Mismatch(number).into()),
            _ => {}
        }
    }
    Ok(annotation)
}

fn tag(message: &[u8]) -> Result<(TagKey<'_>, TagValue<'_>), Fault> {
    let (mut key, mut value) = (TagKey::default(), TagValue::default());
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next_field()? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => key.0 = text(bytes)?,
            (2, Field::Bytes(bytes)) => value.0 = text(bytes)?,
            (1..=2, _) => return Err(WireError::Mismatch(number).into()),
            _ => {}
        }
    }
    Ok((key, value))
}

/// The spans of a batch as `ListOfSpans`. Those whose resource names no service get this one.
pub fn otlp_to_proto(batch: &SpanBatch, default_service_name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for span in batch.spans() {
        put_message(&mut out, 1, |out| {
            put_span(out, &span_with(batch, span, default_service_name))
        });
    }
    out
}

fn put_span(out: &mut Vec<u8>, span: &Span<'_>) {
    let id = |text: &str| text.parse::<SpanId>().unwrap_or_default().0;
    put_bytes_field(out, 1, &span.trace_id.parse::<TraceId>().unwrap_or_default().0);
    if let Some(parent) = &span.parent_id {
        put_bytes_field(out, 2, &id(parent));
    }
    put_bytes_field(out, 3, &id(&span.id));
    let place = span.kind.and_then(|kind| KINDS.iter().position(|known| *known == kind));
    put_varint_unless_zero(out, 4, place.map_or(0, |place| place as u64 + 1));
    put_bytes_unless_empty(out, 5, span.name.as_deref().unwrap_or_default().as_bytes());
    if let Some(micros) = span.timestamp {
        put_fixed64_field(out, 6, micros);
    }
    put_varint_unless_zero(out, 7, span.duration.unwrap_or(0));
    for (number, endpoint) in [(8, &span.local_endpoint), (9, &span.remote_endpoint)] {
        if let Some(endpoint) = endpoint {
            put_message(out, number, |out| put_endpoint(out, endpoint));
        }
    }
    for annotation in &span.annotations {
        put_message(out, 10, |out| {
            put_fixed64_field(out, 1, annotation.timestamp.unwrap_or(0));
            put_bytes_unless_empty(out, 2, annotation.value.as_bytes());
        });
    }
    for (key, value) in &span.tags {
        put_message(out, 11, |out| {
            put_bytes_unless_empty(out, 1, key.0.as_bytes());
            put_bytes_unless_empty(out, 2, value.0.as_bytes());
        });
    }
    put_varint_unless_zero(out, 12, u64::from(span.debug));
    put_varint_unless_zero(out, 13, u64::from(span.shared));
}

fn put_endpoint(out: &mut Vec<u8>, endpoint: &Endpoint<'_>) {
    let name = endpoint.service_name.as_deref().unwrap_or_default();
    put_bytes_unless_empty(out, 1, name.as_bytes());
    for ip in [&endpoint.ipv4, &endpoint.ipv6].into_iter().flatten() {
        match ip.parse() {
            Ok(IpAddr::V4(ip)) => put_bytes_field(out, 2, &ip.octets()),
            Ok(IpAddr::V6(ip)) => put_bytes_field(out, 3, &ip.octets()),
            Err(_) => {}
        }
    }
    put_varint_unless_zero(out, 4, endpoint.port.unwrap_or(0));
}
