//! Zipkin's v1 spans in Thrift.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::span::{Endpoint, TagValue};
use super::v1::{AnnotationV1, BinaryAnnotation, SpanV1};
use crate::payload::FormatError;
use crate::thrift::{Kind, Reader};

/// The next span, and how many annotations it has; no more than so many are kept.
pub(super) fn span<'a>(
    reader: &mut Reader<'a>,
    most: usize,
) -> Result<(SpanV1<'a>, usize), FormatError> {
    let mut span = SpanV1::default();
    let (mut low, mut high) = (0, 0);
    let mut count = 0;
    reader.structure(|reader, field| match (field.id, field.kind) {
        (1, Kind::I64) => reader.i64().map(|value| low = value),
        (3, Kind::Binary) => text(reader).map(|name| span.name = Some(name)),
        (4, Kind::I64) => reader.i64().map(|id| span.id = hex(id)),
        (5, Kind::I64) => reader.i64().map(|id| span.parent_id = Some(hex(id))),
        (6, Kind::List) => reader.elements(Kind::Struct, |reader| {
            count += 1;
            if count > most {
                return reader.skip(Kind::Struct);
            }
            span.annotations.push(annotation(reader)?);
            Ok(())
        }),
        (8, Kind::List) => reader.elements(Kind::Struct, |reader| {
            count += 1;
            if count > most {
                return reader.skip(Kind::Struct);
            }
            span.binary_annotations.push(binary_annotation(reader)?);
            Ok(())
        }),
        (9, Kind::Bool) => reader.bool().map(|debug| span.debug = debug),
        (10, Kind::I64) => reader.i64().map(|micros| span.timestamp = positive(micros)),
        (11, Kind::I64) => reader.i64().map(|micros| span.duration = positive(micros)),
        (12, Kind::I64) => reader.i64().map(|value| high = value),
        _ => reader.skip(field.kind),
    })?;
    span.trace_id = Cow::Owned(format!("{high:016x}{low:016x}"));
    Ok((span, count))
}

fn annotation<'a>(reader: &mut Reader<'a>) -> Result<AnnotationV1<'a>, FormatError> {
    let mut annotation = AnnotationV1::default();
    reader.structure(|reader, field| match (field.id, field.kind) {
        (1, Kind::I64) => reader.i64().map(|micros| annotation.timestamp = positive(micros)),
        (2, Kind::Binary) => text(reader).map(|value| annotation.value = value),
        (3, Kind::Struct) => endpoint(reader).map(|host| annotation.endpoint = Some(host)),
        _ => reader.skip(field.kind),
    })?;
    Ok(annotation)
}

fn binary_annotation<'a>(reader: &mut Reader<'a>) -> Result<BinaryAnnotation<'a>, FormatError> {
    let mut annotation = BinaryAnnotation::default();
    let mut value: &[u8] = &[];
    let mut number = STRING;
    reader.structure(|reader, field| match (field.id, field.kind) {
        (1, Kind::Binary) => text(reader).map(|key| annotation.key = key),
        (2, Kind::Binary) => reader.binary().map(|bytes| value = bytes),
        (3, Kind::I32) => reader.i32().map(|kind| number = kind),
        (4, Kind::Struct) => endpoint(reader).map(|host| annotation.endpoint = Some(host)),
        _ => reader.skip(field.kind),
    })?;
    let typed = typed_text(number, value);
    annotation.is_typed = typed.is_some();
    let plain = || match number {
        STRING => String::from_utf8_lossy(value),
        _ => Cow::Owned(STANDARD.encode(value)),
    };
    annotation.value = TagValue(typed.map_or_else(plain, Cow::Owned));
    Ok(annotation)
}

const STRING: i32 = 6;

/// The text of a value that is a number or a boolean and has its length (`AnnotationType`).
fn typed_text(number: i32, value: &[u8]) -> Option<String> {
    Some(match number {
        0 => (value == [1]).to_string(),
        2 => i16::from_be_bytes(value.try_into().ok()?).to_string(),
        3 => i32::from_be_bytes(value.try_into().ok()?).to_string(),
        4 => i64::from_be_bytes(value.try_into().ok()?).to_string(),
        5 => format!("{:?}", f64::from_be_bytes(value.try_into().ok()?)),
        _ => return None,
    })
}

fn endpoint<'a>(reader: &mut Reader<'a>) -> Result<Endpoint<'a>, FormatError> {
    let mut endpoint = Endpoint::default();
    reader.structure(|reader, field| match (field.id, field.kind) {
        (1, Kind::I32) => reader.i32().map(|bits| {
            let address = Ipv4Addr::from_bits(bits as u32);
            endpoint.ipv4 = (bits != 0).then(|| Cow::Owned(address.to_string()));
        }),
        // The port has no sign.
        (2, Kind::I16) => reader.i16().map(|port| {
            endpoint.port = Some(u64::from(port as u16)).filter(|port| *port > 0);
        }),
        (3, Kind::Binary) => text(reader).map(|name| {
            endpoint.service_name = Some(name).filter(|name| !name.is_empty());
        }),
        (4, Kind::Binary) => reader.binary().map(|bytes| {
            let address: Option<[u8; 16]> = bytes.try_into().ok();
            endpoint.ipv6 = address.map(|address| Cow::Owned(Ipv6Addr::from(address).to_string()));
        }),
        _ => reader.skip(field.kind),
    })?;
    Ok(endpoint)
}

/// Text; what is not UTF-8 of it is replaced.
fn text<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, FormatError> {
    reader.binary().map(String::from_utf8_lossy)
}

fn hex(id: i64) -> Cow<'static, str> {
    Cow::Owned(format!("{id:016x}"))
}

fn positive(micros: i64) -> Option<u64> {
    u64::try_from(micros).ok().filter(|micros| *micros > 0)
}
