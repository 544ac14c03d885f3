//! What receivers take: lists of spans in each of Zipkin's encodings, one span at a time.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use model::wire::{Field, Reader, WireError};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use super::decode::{TagTypes, take};
use super::proto::{self, Fault};
use super::span::Span;
use super::v1::{SpanV1, halves};
use super::v1_thrift;
use crate::payload::{Converted, FormatError, Limits, Sink, json_error};
use crate::thrift::{self, Kind, Protocol};

/// A JSON list of v2 spans as an `ExportTraceServiceRequest`.
pub fn json_to_otlp(
    text: &[u8],
    types: TagTypes,
    limits: Limits,
) -> Result<Converted, FormatError> {
    let mut sink = Sink::new(limits);
    each_in_json(text, |span: Span<'_>| {
        if sink.has_room(span.annotations.len() + span.tags.len(), 0)? {
            take(&mut sink, span, types, &BTreeSet::new());
        }
        Ok(())
    })?;
    Ok(sink.finish())
}

/// A JSON list of v1 spans, alike.
pub fn v1_json_to_otlp(
    text: &[u8],
    types: TagTypes,
    limits: Limits,
) -> Result<Converted, FormatError> {
    let mut sink = Sink::new(limits);
    each_in_json(text, |span: SpanV1<'_>| {
        let elements = span.annotations.len() + span.binary_annotations.len();
        if sink.has_room(elements, 0)? {
            take_v1(&mut sink, span, types);
        }
        Ok(())
    })?;
    Ok(sink.finish())
}

/// A Thrift list of v1 spans, alike. What follows the list is not looked at.
pub fn v1_thrift_to_otlp(
    bytes: &[u8],
    types: TagTypes,
    limits: Limits,
) -> Result<Converted, FormatError> {
    let mut reader = thrift::Reader::new(bytes, Protocol::Binary, limits.elements_max);
    let mut sink = Sink::new(limits);
    reader.elements(Kind::Struct, |reader| {
        let position = reader.position();
        let (span, elements) = v1_thrift::span(reader, limits.span_elements_max)?;
        if sink.has_room(elements, position)? {
            take_v1(&mut sink, span, types);
        }
        Ok(())
    })?;
    Ok(sink.finish())
}

/// A protobuf `ListOfSpans`, alike.
pub fn proto_to_otlp(
    bytes: &[u8],
    types: TagTypes,
    limits: Limits,
) -> Result<Converted, FormatError> {
    let broken = |error: WireError, position| {
        FormatError::new(format!("not a list of Zipkin spans: {error}"), position)
    };
    let mut sink = Sink::new(limits);
    let mut reader = Reader::new(bytes);
    loop {
        let position = reader.position();
        let message = match reader.next_field() {
            Ok(None) => return Ok(sink.finish()),
            Ok(Some((1, Field::Bytes(message)))) => message,
            Ok(Some((1, _))) => return Err(broken(WireError::Mismatch(1), position)),
            Ok(Some(_)) => continue,
            Err(error) => return Err(broken(error, position)),
        };
        let elements = proto::elements(message).map_err(|error| broken(error, position))?;
        if !sink.has_room(elements, position)? {
            continue;
        }
        match proto::span(message) {
            Ok(span) => take(&mut sink, span, types, &BTreeSet::new()),
            Err(Fault::Span(reason)) => sink.leave_out(reason),
            Err(Fault::Wire(error)) => return Err(broken(error, position)),
        }
    }
}

fn take_v1(sink: &mut Sink, span: SpanV1<'_>, types: TagTypes) {
    for half in halves(span) {
        take(sink, half.span, types, &half.typed);
    }
}

/// Hands over the elements of a JSON list, one at a time.
fn each_in_json<'a, T: Deserialize<'a>>(
    text: &'a [u8],
    take: impl FnMut(T) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let each = Each { take, element: PhantomData };
    let read = each.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| json_error(text, &error))
}

struct Each<F, T> {
    take: F,
    element: PhantomData<T>,
}

impl<'a, F, T> DeserializeSeed<'a> for Each<F, T>
where
    F: FnMut(T) -> Result<(), FormatError>,
    T: Deserialize<'a>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a, F, T> Visitor<'a> for Each<F, T>
where
    F: FnMut(T) -> Result<(), FormatError>,
    T: Deserialize<'a>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Zipkin spans")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(each) = list.next_element()? {
            // Where the parser is tells the place.
            (self.take)(each).map_err(|error| A::Error::custom(error.what))?;
        }
        Ok(())
    }
}
