//! `ExportTraceServiceRequest` and `TracesData` (the same fields) into a [`SpanBatch`].
//!
//! What breaks the framing refuses the request; what breaks one span (an id that is zero or of the
//! wrong length, text that is not UTF-8) leaves out that span alone and is counted.

use bytes::Bytes;

use crate::batch::{
    Attribute, Event, Link, Rejection, Resource, Scope, Span, SpanBatch, Text, Value,
};
use crate::wire::{Field, Reader, WireError};
use crate::{SpanId, TraceId};

/// How deep arrays and maps may lie in each other. The encoders of SDKs cannot make more than a
/// handful; protobuf implementations refuse 100.
pub const VALUE_DEPTH_MAX: usize = 64;

/// The most resources, scopes, spans, attributes, events and links of a request together: what 64
/// MiB of ordinary spans hold. Empty elements take two bytes each to send and far more to keep.
pub const ELEMENTS_MAX: usize = 2 * 1024 * 1024;

/// The most attributes, events and links of one span together; a span with more is left out.
pub const SPAN_ELEMENTS_MAX: usize = 128 * 1024;

/// Why bytes are no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes break the protobuf format.
    #[error("not an OTLP trace request: {error} at byte {position} of {message}")]
    Wire {
        /// What is wrong.
        error: WireError,
        /// The message inside which it is.
        message: &'static str,
        /// The position in that message.
        position: usize,
    },
    /// More than 4 GiB.
    #[error("a request of {0} bytes is too large; the most is 4 GiB")]
    TooLarge(usize),
    /// Arrays and maps in each other, too deep.
    #[error("an attribute's value is nested deeper than {VALUE_DEPTH_MAX} levels")]
    TooDeep,
    /// Elements without content would take many times the memory of the request.
    #[error(
        "more than {ELEMENTS_MAX} spans, attributes, events and links in one request; send smaller batches"
    )]
    TooMany,
}

impl SpanBatch {
    /// Decodes a request. Keeps `bytes`; allocates for the whole batch, not per attribute.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        // Half, so that the arena has room under the same 32-bit offsets.
        if bytes.len() > u32::MAX as usize / 2 {
            return Err(DecodeError::TooLarge(bytes.len()));
        }
        let mut decoder = Decoder::new(&bytes);
        decoder.request()?;
        let Decoder { mut batch, .. } = decoder;
        batch.bytes = bytes;
        Ok(batch)
    }
}

/// Why a single span is left out.
enum Fault {
    Id { what: &'static str, length: usize, wanted: usize },
    ZeroId(&'static str),
    Utf8(&'static str),
    TooLarge,
}

impl Fault {
    fn describe(&self) -> String {
        match self {
            Self::Id { what, length, wanted } => format!(
                "a span's {what} has {length} bytes, not {wanted} (in JSON: {} hexadecimal digits)",
                2 * wanted
            ),
            Self::ZeroId(what) => format!("a span's {what} is missing or all zeros"),
            Self::Utf8(what) => format!("a span's {what} is not valid UTF-8"),
            Self::TooLarge => {
                format!("a span has more than {SPAN_ELEMENTS_MAX} attributes, events and links")
            }
        }
    }
}

struct Decoder<'a> {
    all: &'a [u8],
    batch: SpanBatch,
    /// Of the span, resource or scope at hand.
    fault: Option<Fault>,
    events: Vec<&'a [u8]>,
    links: Vec<&'a [u8]>,
}

/// A reader and the name of its message, for errors.
struct Message<'a> {
    reader: Reader<'a>,
    name: &'static str,
}

impl<'a> Message<'a> {
    fn new(name: &'static str, bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes), name }
    }

    #[inline]
    fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, DecodeError> {
        self.reader.next_field().map_err(|error| self.error(error))
    }

    fn error(&self, error: WireError) -> DecodeError {
        DecodeError::Wire { error, message: self.name, position: self.reader.position() }
    }

    fn mismatch(&self, number: u32) -> DecodeError {
        self.error(WireError::Mismatch(number))
    }
}

/// The content of a field of the expected wire type, or an error from this function.
macro_rules! expect {
    ($message:ident, $number:ident, $field:ident, $variant:ident) => {
        match $field {
            Field::$variant(value) => value,
            _ => return Err($message.mismatch($number)),
        }
    };
}

impl<'a> Decoder<'a> {
    fn new(all: &'a [u8]) -> Self {
        // A span with its attributes is rarely under 200 bytes; the guess saves regrowth.
        let spans = all.len() / 256 + 1;
        let batch = SpanBatch {
            spans: Vec::with_capacity(spans),
            attributes: Vec::with_capacity(spans * 12),
            ..SpanBatch::default()
        };
        Self { all, batch, fault: None, events: Vec::new(), links: Vec::new() }
    }

    /// The range of a slice of the request. Every slice that the readers give is one.
    fn range(&self, slice: &[u8]) -> Text {
        let offset = slice.as_ptr() as usize - self.all.as_ptr() as usize;
        Text { offset: offset as u32, length: slice.len() as u32 }
    }

    /// The range of a text; notes a fault when it is not UTF-8.
    #[inline]
    fn utf8(&mut self, slice: &[u8], what: &'static str) -> Text {
        if !slice.is_ascii() && simdutf8::basic::from_utf8(slice).is_err() {
            self.fault.get_or_insert(Fault::Utf8(what));
        }
        self.range(slice)
    }

    fn request(&mut self) -> Result<(), DecodeError> {
        let mut message = Message::new("ExportTraceServiceRequest", self.all);
        while let Some((number, field)) = message.next()? {
            if number == 1 {
                let bytes = expect!(message, number, field, Bytes);
                self.resource_spans(bytes)?;
            }
        }
        Ok(())
    }

    fn resource_spans(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let index = self.batch.resources.len() as u32;
        let first_span = self.batch.spans.len();
        self.batch.resources.push(Resource::default());
        self.bound()?;
        let mut resource = Resource::default();
        self.fault = None;
        let mut fault = None;
        let mut message = Message::new("ResourceSpans", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = expect!(message, number, field, Bytes);
                    resource.message = self.joined(resource.message, bytes);
                    self.resource(bytes, &mut resource)?;
                    fault = fault.or(self.fault.take());
                }
                2 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.scope_spans(bytes, index)?;
                }
                3 => {
                    let bytes = expect!(message, number, field, Bytes);
                    resource.schema_url = self.utf8(bytes, "resource schema URL");
                    fault = fault.or(self.fault.take());
                }
                _ => {}
            }
        }
        self.batch.resources[index as usize] = resource;
        self.leave_out_from(first_span, fault);
        Ok(())
    }

    /// A message that came in several fields is their concatenation (protobuf, "Last One Wins").
    fn joined(&mut self, before: Text, bytes: &[u8]) -> Text {
        if before.is_empty() {
            return self.range(bytes);
        }
        let base = self.all.len() as u32;
        let start = self.batch.arena.len();
        if before.offset >= base {
            let from = (before.offset - base) as usize;
            self.batch.arena.extend_from_within(from..from + before.len());
        } else {
            let from = before.offset as usize;
            self.batch.arena.extend_from_slice(&self.all[from..from + before.len()]);
        }
        self.batch.arena.extend_from_slice(bytes);
        Text { offset: base + start as u32, length: (self.batch.arena.len() - start) as u32 }
    }

    fn resource(&mut self, bytes: &'a [u8], resource: &mut Resource) -> Result<(), DecodeError> {
        let start = self.continue_attributes(resource.attributes);
        let mut message = Message::new("Resource", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.attribute(bytes, "resource attribute")?;
                }
                2 => {
                    resource.dropped_attributes_count =
                        expect!(message, number, field, Varint) as u32;
                }
                3 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.check_entity_ref(bytes)?;
                }
                _ => {}
            }
        }
        resource.attributes = self.attributes_since(start);
        Ok(())
    }

    /// Kept as part of the resource's message, which everything that writes it may trust.
    fn check_entity_ref(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let mut message = Message::new("EntityRef", bytes);
        while let Some((number, field)) = message.next()? {
            if let 1..=4 = number {
                let bytes = expect!(message, number, field, Bytes);
                self.utf8(bytes, "resource entity");
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, bytes: &'a [u8], resource: u32) -> Result<(), DecodeError> {
        let index = self.batch.scopes.len() as u32;
        let first_span = self.batch.spans.len();
        self.batch.scopes.push(Scope::default());
        self.bound()?;
        let mut scope = Scope { resource, ..Scope::default() };
        let mut fault = None;
        let mut message = Message::new("ScopeSpans", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = expect!(message, number, field, Bytes);
                    scope.message = self.joined(scope.message, bytes);
                    self.scope(bytes, &mut scope)?;
                    fault = fault.or(self.fault.take());
                }
                2 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.span(bytes, index)?;
                }
                3 => {
                    let bytes = expect!(message, number, field, Bytes);
                    scope.schema_url = self.utf8(bytes, "scope schema URL");
                    fault = fault.or(self.fault.take());
                }
                _ => {}
            }
        }
        self.batch.scopes[index as usize] = scope;
        self.leave_out_from(first_span, fault);
        Ok(())
    }

    fn scope(&mut self, bytes: &'a [u8], scope: &mut Scope) -> Result<(), DecodeError> {
        let start = self.continue_attributes(scope.attributes);
        let mut message = Message::new("InstrumentationScope", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = expect!(message, number, field, Bytes);
                    scope.name = self.utf8(bytes, "scope name");
                }
                2 => {
                    let bytes = expect!(message, number, field, Bytes);
                    scope.version = self.utf8(bytes, "scope version");
                }
                3 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.attribute(bytes, "scope attribute")?;
                }
                4 => {
                    scope.dropped_attributes_count = expect!(message, number, field, Varint) as u32;
                }
                _ => {}
            }
        }
        scope.attributes = self.attributes_since(start);
        Ok(())
    }

    fn span(&mut self, bytes: &'a [u8], scope: u32) -> Result<(), DecodeError> {
        let attributes_before = self.batch.attributes.len();
        let events_before = self.batch.events.len();
        let links_before = self.batch.links.len();
        self.fault = None;
        let mut span = Span { scope, ..Span::default() };
        let mut message = Message::new("Span", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = expect!(message, number, field, Bytes);
                    span.trace_id = self.trace_id(bytes, "trace id");
                }
                2 => {
                    let bytes = expect!(message, number, field, Bytes);
                    span.span_id = self.span_id(bytes, "span id");
                }
                3 => {
                    let bytes = expect!(message, number, field, Bytes);
                    span.trace_state = self.utf8(bytes, "trace state");
                }
                4 => {
                    let bytes = expect!(message, number, field, Bytes);
                    span.parent_span_id = self.span_id(bytes, "parent span id");
                }
                5 => {
                    let bytes = expect!(message, number, field, Bytes);
                    span.name = self.utf8(bytes, "name");
                }
                6 => span.kind = expect!(message, number, field, Varint) as i32,
                7 => span.start_unix_nano = expect!(message, number, field, Fixed64),
                8 => span.end_unix_nano = expect!(message, number, field, Fixed64),
                9 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.attribute(bytes, "attribute")?;
                }
                10 => {
                    span.dropped_attributes_count = expect!(message, number, field, Varint) as u32;
                }
                // Walked after the span, so that the span's own attributes are one range.
                11 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.events.push(bytes);
                    self.bound()?;
                }
                12 => span.dropped_events_count = expect!(message, number, field, Varint) as u32,
                13 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.links.push(bytes);
                    self.bound()?;
                }
                14 => span.dropped_links_count = expect!(message, number, field, Varint) as u32,
                15 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.status(bytes, &mut span)?;
                }
                16 => span.flags = expect!(message, number, field, Fixed32),
                _ => {}
            }
        }
        span.attributes = self.attributes_since(attributes_before);
        for bytes in std::mem::take(&mut self.events) {
            self.event(bytes)?;
        }
        span.events = (events_before as u32, self.batch.events.len() as u32);
        for bytes in std::mem::take(&mut self.links) {
            self.link(bytes)?;
        }
        span.links = (links_before as u32, self.batch.links.len() as u32);

        let elements = (self.batch.attributes.len() - attributes_before)
            + (self.batch.events.len() - events_before)
            + (self.batch.links.len() - links_before);
        if elements > SPAN_ELEMENTS_MAX {
            self.fault.get_or_insert(Fault::TooLarge);
        }
        if self.fault.is_none() {
            if span.trace_id.is_none() {
                self.fault = Some(Fault::ZeroId("trace id"));
            } else if span.span_id.is_none() {
                self.fault = Some(Fault::ZeroId("span id"));
            }
        }
        match self.fault.take() {
            None => {
                self.batch.spans.push(span);
                self.bound()?;
            }
            Some(fault) => {
                self.batch.attributes.truncate(attributes_before);
                self.batch.events.truncate(events_before);
                self.batch.links.truncate(links_before);
                reject(&mut self.batch.rejection, 1, &fault);
            }
        }
        Ok(())
    }

    fn status(&mut self, bytes: &'a [u8], span: &mut Span) -> Result<(), DecodeError> {
        let mut message = Message::new("Status", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                2 => {
                    let bytes = expect!(message, number, field, Bytes);
                    span.status_message = self.utf8(bytes, "status message");
                }
                3 => span.status_code = expect!(message, number, field, Varint) as i32,
                _ => {}
            }
        }
        Ok(())
    }

    fn event(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let start = self.batch.attributes.len();
        let mut event = Event::default();
        let mut message = Message::new("Span.Event", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => event.time_unix_nano = expect!(message, number, field, Fixed64),
                2 => {
                    let bytes = expect!(message, number, field, Bytes);
                    event.name = self.utf8(bytes, "event name");
                }
                3 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.attribute(bytes, "event attribute")?;
                }
                4 => {
                    event.dropped_attributes_count = expect!(message, number, field, Varint) as u32;
                }
                _ => {}
            }
        }
        event.attributes = self.attributes_since(start);
        self.batch.events.push(event);
        Ok(())
    }

    fn link(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let start = self.batch.attributes.len();
        let mut link = Link::default();
        let mut message = Message::new("Span.Link", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = expect!(message, number, field, Bytes);
                    link.trace_id = self.trace_id(bytes, "link's trace id");
                }
                2 => {
                    let bytes = expect!(message, number, field, Bytes);
                    link.span_id = self.span_id(bytes, "link's span id");
                }
                3 => {
                    let bytes = expect!(message, number, field, Bytes);
                    link.trace_state = self.utf8(bytes, "link's trace state");
                }
                4 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.attribute(bytes, "link attribute")?;
                }
                5 => {
                    link.dropped_attributes_count = expect!(message, number, field, Varint) as u32;
                }
                6 => link.flags = expect!(message, number, field, Fixed32),
                _ => {}
            }
        }
        link.attributes = self.attributes_since(start);
        self.batch.links.push(link);
        Ok(())
    }

    fn trace_id(&mut self, bytes: &[u8], what: &'static str) -> TraceId {
        TraceId::from_slice(bytes).unwrap_or_else(|| self.bad_id(bytes, what, 16, TraceId::NONE))
    }

    fn span_id(&mut self, bytes: &[u8], what: &'static str) -> SpanId {
        SpanId::from_slice(bytes).unwrap_or_else(|| self.bad_id(bytes, what, 8, SpanId::NONE))
    }

    /// No bytes at all is proto3's way to leave a field out; any other length is a fault.
    fn bad_id<T>(&mut self, bytes: &[u8], what: &'static str, wanted: usize, none: T) -> T {
        if !bytes.is_empty() {
            self.fault.get_or_insert(Fault::Id { what, length: bytes.len(), wanted });
        }
        none
    }

    #[inline]
    fn attribute(&mut self, bytes: &'a [u8], what: &'static str) -> Result<(), DecodeError> {
        match self.plain_attribute(bytes) {
            Some(attribute) => {
                self.batch.attributes.push(attribute);
                Ok(())
            }
            None => self.any_attribute(bytes, what),
        }
    }

    /// A `KeyValue` as encoders write nearly all of them: an ASCII key, then a string, boolean,
    /// integer or double, each length one byte. `None` for all others, right or wrong.
    #[inline]
    fn plain_attribute(&self, bytes: &'a [u8]) -> Option<Attribute> {
        let [0x0a, length, rest @ ..] = bytes else { return None };
        let (key, rest) = rest.split_at_checked(usize::from(*length))?;
        let [0x12, length, value @ ..] = rest else { return None };
        if value.len() != usize::from(*length) || value.len() >= 0x80 || key.len() >= 0x80 {
            return None;
        }
        let value = match value {
            [0x0a, length, text @ ..] => {
                if text.len() != usize::from(*length) || !text.is_ascii() {
                    return None;
                }
                Value::String(self.range(text))
            }
            [0x10, truth @ (0 | 1)] => Value::Bool(*truth == 1),
            [0x18, low] if *low < 0x80 => Value::Int(i64::from(*low)),
            [0x18, low, high] if *low >= 0x80 && *high < 0x80 => {
                Value::Int(i64::from(*low & 0x7f) | i64::from(*high) << 7)
            }
            [0x21, double @ ..] => Value::Double(f64::from_le_bytes(double.try_into().ok()?)),
            _ => return None,
        };
        key.is_ascii().then(|| Attribute { key: self.range(key), value })
    }

    fn any_attribute(&mut self, bytes: &'a [u8], what: &'static str) -> Result<(), DecodeError> {
        let mut attribute = Attribute { key: Text::EMPTY, value: Value::Empty };
        let mut message = Message::new("KeyValue", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = expect!(message, number, field, Bytes);
                    attribute.key = self.utf8(bytes, what);
                }
                2 => {
                    let bytes = expect!(message, number, field, Bytes);
                    attribute.value = self.value(bytes, what, 0)?;
                }
                _ => {}
            }
        }
        self.batch.attributes.push(attribute);
        // What takes few bytes comes this way; the plain ones are bounded by theirs.
        self.bound()
    }

    #[inline]
    fn value(
        &mut self,
        bytes: &'a [u8],
        what: &'static str,
        depth: usize,
    ) -> Result<Value, DecodeError> {
        let mut value = Value::Empty;
        let mut message = Message::new("AnyValue", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = expect!(message, number, field, Bytes);
                    value = Value::String(self.utf8(bytes, what));
                }
                2 => value = Value::Bool(expect!(message, number, field, Varint) != 0),
                3 => value = Value::Int(expect!(message, number, field, Varint) as i64),
                4 => {
                    value = Value::Double(f64::from_bits(expect!(message, number, field, Fixed64)))
                }
                5 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.check_array(bytes, what, depth + 1)?;
                    value = Value::Array(self.range(bytes));
                }
                6 => {
                    let bytes = expect!(message, number, field, Bytes);
                    self.check_key_values(bytes, what, depth + 1)?;
                    value = Value::KeyValueList(self.range(bytes));
                }
                7 => {
                    let bytes = expect!(message, number, field, Bytes);
                    value = Value::Bytes(self.range(bytes));
                }
                _ => {}
            }
        }
        Ok(value)
    }

    fn check_array(
        &mut self,
        bytes: &'a [u8],
        what: &'static str,
        depth: usize,
    ) -> Result<(), DecodeError> {
        if depth > VALUE_DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        let mut message = Message::new("ArrayValue", bytes);
        while let Some((number, field)) = message.next()? {
            if number == 1 {
                let bytes = expect!(message, number, field, Bytes);
                self.value(bytes, what, depth)?;
            }
        }
        Ok(())
    }

    fn check_key_values(
        &mut self,
        bytes: &'a [u8],
        what: &'static str,
        depth: usize,
    ) -> Result<(), DecodeError> {
        if depth > VALUE_DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        let mut message = Message::new("KeyValueList", bytes);
        while let Some((number, field)) = message.next()? {
            if number != 1 {
                continue;
            }
            let bytes = expect!(message, number, field, Bytes);
            let mut entry = Message::new("KeyValue", bytes);
            while let Some((number, field)) = entry.next()? {
                match number {
                    1 => {
                        let bytes = expect!(entry, number, field, Bytes);
                        self.utf8(bytes, what);
                    }
                    2 => {
                        let bytes = expect!(entry, number, field, Bytes);
                        self.value(bytes, what, depth)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Where the attributes of a message start that goes on after other content; what it had so
    /// far is copied behind the rest, to stay one range.
    fn continue_attributes(&mut self, so_far: (u32, u32)) -> usize {
        let start = self.batch.attributes.len();
        self.batch.attributes.extend_from_within(so_far.0 as usize..so_far.1 as usize);
        start
    }

    /// Counts a span, or a resource or scope, whose messages may be empty and so without bound.
    fn bound(&self) -> Result<(), DecodeError> {
        let SpanBatch { resources, scopes, spans, attributes, events, links, .. } = &self.batch;
        let waiting = self.events.len() + self.links.len();
        let owners = resources.len() + scopes.len() + spans.len();
        if owners + attributes.len() + events.len() + links.len() + waiting > ELEMENTS_MAX {
            return Err(DecodeError::TooMany);
        }
        Ok(())
    }

    fn attributes_since(&self, start: usize) -> (u32, u32) {
        (start as u32, self.batch.attributes.len() as u32)
    }

    /// Leaves out all spans of a resource or scope that has a fault itself.
    fn leave_out_from(&mut self, first_span: usize, fault: Option<Fault>) {
        if let Some(fault) = fault {
            let spans = self.batch.spans.len() - first_span;
            self.batch.spans.truncate(first_span);
            if spans > 0 {
                reject(&mut self.batch.rejection, spans as u64, &fault);
            }
        }
    }
}

fn reject(rejection: &mut Rejection, spans: u64, fault: &Fault) {
    if rejection.spans == 0 {
        rejection.reason = fault.describe();
    }
    rejection.spans += spans;
}
