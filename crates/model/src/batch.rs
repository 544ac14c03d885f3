//! [`SpanBatch`]: a request's own bytes and a flat index over them.
//!
//! Spans, attributes, events and links lie in one vector each; text is a range into the bytes, so
//! that decoding allocates per batch and not per attribute.

use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;

use crate::{SpanId, TraceId};

/// The values of `Span.SpanKind` (`trace.proto`).
pub mod kind {
    /// Not stated.
    pub const UNSPECIFIED: i32 = 0;
    /// An operation inside the application.
    pub const INTERNAL: i32 = 1;
    /// Handles a request from outside.
    pub const SERVER: i32 = 2;
    /// Makes a request.
    pub const CLIENT: i32 = 3;
    /// Hands a message over.
    pub const PRODUCER: i32 = 4;
    /// Takes a message.
    pub const CONSUMER: i32 = 5;

    /// The lower-case name, as APIs and output spell it; "unspecified" for unknown numbers.
    pub fn name(kind: i32) -> &'static str {
        match kind {
            INTERNAL => "internal",
            SERVER => "server",
            CLIENT => "client",
            PRODUCER => "producer",
            CONSUMER => "consumer",
            _ => "unspecified",
        }
    }
}

/// The values of `Status.StatusCode` (`trace.proto`).
pub mod status_code {
    /// The default.
    pub const UNSET: i32 = 0;
    /// Declared a success by the application.
    pub const OK: i32 = 1;
    /// An error.
    pub const ERROR: i32 = 2;
}

/// A range of a batch's bytes; [`SpanBatch::bytes_of`] gives the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Text {
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

impl Text {
    /// No bytes.
    pub const EMPTY: Self = Self { offset: 0, length: 0 };

    /// Length in bytes.
    pub fn len(self) -> usize {
        self.length as usize
    }

    /// True when there are no bytes.
    pub fn is_empty(self) -> bool {
        self.length == 0
    }
}

/// An attribute's value (`common.proto`, `AnyValue`).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Value {
    /// No value.
    #[default]
    Empty,
    /// Text, valid UTF-8.
    String(Text),
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Bytes.
    Bytes(Text),
    /// An array: the bytes of its `ArrayValue` message, checked.
    Array(Text),
    /// A map: the bytes of its `KeyValueList` message, checked.
    KeyValueList(Text),
}

/// A key and its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attribute {
    /// The key, valid UTF-8.
    pub key: Text,
    /// The value.
    pub value: Value,
}

/// What sent the spans.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resource {
    pub(crate) attributes: (u32, u32),
    /// Attributes that the sender left out.
    pub dropped_attributes_count: u32,
    /// Schema of the resource, a URL.
    pub schema_url: Text,
    /// The bytes of the whole `Resource` message, as it came.
    pub message: Text,
    pub(crate) edited: bool,
}

/// The instrumentation that made the spans, under one resource.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope {
    /// Index into [`SpanBatch::resources`].
    pub resource: u32,
    /// Name of the instrumentation.
    pub name: Text,
    /// Version of the instrumentation.
    pub version: Text,
    pub(crate) attributes: (u32, u32),
    /// Attributes that the sender left out.
    pub dropped_attributes_count: u32,
    /// Schema of the spans, a URL.
    pub schema_url: Text,
    /// The bytes of the whole `InstrumentationScope` message, as it came.
    pub message: Text,
    pub(crate) edited: bool,
}

/// One span. Times are nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    /// The trace; never zero.
    pub trace_id: TraceId,
    /// The span; never zero.
    pub span_id: SpanId,
    /// The parent; zero for a root.
    pub parent_span_id: SpanId,
    /// Start, as sent; may be 0 or absurd.
    pub start_unix_nano: u64,
    /// End, as sent; may be before the start.
    pub end_unix_nano: u64,
    /// Name of the operation.
    pub name: Text,
    /// W3C tracestate.
    pub trace_state: Text,
    /// A number of [`kind`], or one not yet known.
    pub kind: i32,
    /// A number of [`status_code`], or one not yet known.
    pub status_code: i32,
    /// The status' message.
    pub status_message: Text,
    /// W3C flags and the "is remote" bits.
    pub flags: u32,
    /// Attributes that the sender left out.
    pub dropped_attributes_count: u32,
    /// Events that the sender left out.
    pub dropped_events_count: u32,
    /// Links that the sender left out.
    pub dropped_links_count: u32,
    /// Index into [`SpanBatch::scopes`].
    pub scope: u32,
    pub(crate) attributes: (u32, u32),
    pub(crate) events: (u32, u32),
    pub(crate) links: (u32, u32),
    /// The bytes of the whole `Span` message, as it came.
    pub(crate) message: Text,
    /// Differs from `message` by more than `appended` says.
    pub(crate) edited: bool,
    /// The last so many attributes are not in `message`; says nothing once it was edited.
    pub(crate) appended: u16,
}

impl Span {
    /// End minus start; 0 when the end is before the start.
    pub fn duration_nano(&self) -> u64 {
        self.end_unix_nano.saturating_sub(self.start_unix_nano)
    }

    /// True when the status says error.
    pub fn is_error(&self) -> bool {
        self.status_code == status_code::ERROR
    }
}

/// Something that happened during a span.
#[derive(Debug, Clone, Copy, Default)]
pub struct Event {
    /// When, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What.
    pub name: Text,
    pub(crate) attributes: (u32, u32),
    /// Attributes that the sender left out.
    pub dropped_attributes_count: u32,
}

/// A reference to another span.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link {
    /// The other span's trace; zero when the sender gave none.
    pub trace_id: TraceId,
    /// The other span; zero when the sender gave none.
    pub span_id: SpanId,
    /// The other span's tracestate.
    pub trace_state: Text,
    pub(crate) attributes: (u32, u32),
    /// Attributes that the sender left out.
    pub dropped_attributes_count: u32,
    /// The other span's flags.
    pub flags: u32,
}

/// Spans of a request that were left out, and why the first of them was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejection {
    /// How many spans.
    pub spans: u64,
    /// What is wrong with the first; empty when `spans` is 0.
    pub reason: String,
}

/// How many added texts are looked through for one that is added again.
pub(crate) const RECENT_TEXTS: usize = 8;

/// The spans of one request.
#[derive(Debug, Clone, Default)]
pub struct SpanBatch {
    pub(crate) bytes: Bytes,
    /// Text that is not in the request as one piece. Offsets continue those of `bytes`.
    pub(crate) arena: Vec<u8>,
    /// Of the short texts that edits added, the last ones: span after span gets the same.
    pub(crate) recent: [Text; RECENT_TEXTS],
    pub(crate) resources: Vec<Resource>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) spans: Vec<Span>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) events: Vec<Event>,
    pub(crate) links: Vec<Link>,
    pub(crate) rejection: Rejection,
    /// Differs from `bytes`.
    pub(crate) edited: bool,
    /// What it was encoded to since the last edit.
    pub(crate) encoded: OnceLock<Bytes>,
}

impl SpanBatch {
    /// The request's bytes, as they came. [`Self::encoded`] has what was edited since.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The resources.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The scopes, each under one resource.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// The spans, in the order of the request.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// True when no span is left.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How many spans.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The spans that were left out.
    pub fn rejection(&self) -> &Rejection {
        &self.rejection
    }

    /// Bytes of memory that the index takes, on top of [`Self::bytes`].
    pub fn index_bytes(&self) -> usize {
        size_of_val(&self.arena[..])
            + size_of_val(&self.resources[..])
            + size_of_val(&self.scopes[..])
            + size_of_val(&self.spans[..])
            + size_of_val(&self.attributes[..])
            + size_of_val(&self.events[..])
            + size_of_val(&self.links[..])
    }

    /// The bytes of a range.
    #[inline]
    pub fn bytes_of(&self, text: Text) -> &[u8] {
        let start = text.offset as usize;
        let end = start + text.length as usize;
        if end <= self.bytes.len() {
            &self.bytes[start..end]
        } else {
            let base = self.bytes.len();
            &self.arena[start - base..end - base]
        }
    }

    /// The text of a range that the decoder checked to be UTF-8.
    pub fn text(&self, text: Text) -> &str {
        std::str::from_utf8(self.bytes_of(text)).unwrap_or_default()
    }

    /// A resource's attributes.
    pub fn resource_attributes(&self, resource: &Resource) -> &[Attribute] {
        &self.attributes[range(resource.attributes)]
    }

    /// A scope's attributes.
    pub fn scope_attributes(&self, scope: &Scope) -> &[Attribute] {
        &self.attributes[range(scope.attributes)]
    }

    /// A span's attributes.
    #[inline]
    pub fn span_attributes(&self, span: &Span) -> &[Attribute] {
        &self.attributes[range(span.attributes)]
    }

    /// A span's events.
    #[inline]
    pub fn span_events(&self, span: &Span) -> &[Event] {
        &self.events[range(span.events)]
    }

    /// A span's links.
    #[inline]
    pub fn span_links(&self, span: &Span) -> &[Link] {
        &self.links[range(span.links)]
    }

    /// An event's attributes.
    pub fn event_attributes(&self, event: &Event) -> &[Attribute] {
        &self.attributes[range(event.attributes)]
    }

    /// A link's attributes.
    pub fn link_attributes(&self, link: &Link) -> &[Attribute] {
        &self.attributes[range(link.attributes)]
    }

    /// The scope of a span and its resource.
    pub fn origin(&self, span: &Span) -> (&Scope, &Resource) {
        let scope = &self.scopes[span.scope as usize];
        (scope, &self.resources[scope.resource as usize])
    }

    /// The resource's `service.name`; empty when it has none.
    pub fn service_name(&self, resource: &Resource) -> &str {
        self.resource_attributes(resource)
            .iter()
            .find_map(|attribute| match attribute.value {
                Value::String(name) if self.bytes_of(attribute.key) == b"service.name" => {
                    Some(self.text(name))
                }
                _ => None,
            })
            .unwrap_or_default()
    }
}

fn range((start, end): (u32, u32)) -> Range<usize> {
    start as usize..end as usize
}
