//! Paths: which field of which item a text names, resolved when it is parsed.

use std::fmt;

use crate::value::Kind;

/// What a statement is run on. Each sees its own fields and those of the contexts before it: a
/// span's statement reads and writes its resource, and no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// `resource.…`.
    Resource,
    /// `scope.…` or `instrumentation_scope.…`.
    Scope,
    /// `span.…`.
    Span,
    /// `spanevent.…`.
    SpanEvent,
}

impl Context {
    /// From the outermost to the innermost.
    pub const ALL: [Self; 4] = [Self::Resource, Self::Scope, Self::Span, Self::SpanEvent];

    /// As paths and configurations write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Scope => "scope",
            Self::Span => "span",
            Self::SpanEvent => "spanevent",
        }
    }

    /// The context of a name, `instrumentation_scope` included.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "instrumentation_scope" => Some(Self::Scope),
            name => Self::ALL.into_iter().find(|context| context.name() == name),
        }
    }
}

/// A field of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ResourceField {
    Attributes,
    DroppedAttributesCount,
    SchemaUrl,
}

/// A field of an instrumentation scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ScopeField {
    Name,
    Version,
    Attributes,
    DroppedAttributesCount,
    SchemaUrl,
}

/// A field of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum SpanField {
    Attributes,
    Name,
    /// The number of the OTLP enumeration.
    Kind,
    /// `Unspecified`, `Internal`, `Server`, `Client`, `Producer` or `Consumer`.
    KindString,
    /// `SPAN_KIND_SERVER` and so on.
    KindDeprecatedString,
    /// 16 bytes.
    TraceId,
    /// 32 hexadecimal digits, lower case.
    TraceIdString,
    /// 8 bytes.
    SpanId,
    /// 16 hexadecimal digits, lower case.
    SpanIdString,
    /// 8 bytes, all zero or none for a root.
    ParentSpanId,
    /// 16 hexadecimal digits, lower case; empty for a root.
    ParentSpanIdString,
    /// The whole text, or with one key the value of a member.
    TraceState,
    /// The number of the OTLP enumeration.
    StatusCode,
    StatusMessage,
    StartTime,
    /// An integer.
    StartTimeUnixNano,
    EndTime,
    /// An integer.
    EndTimeUnixNano,
    /// A list of maps, only read.
    Events,
    /// A list of maps, only read.
    Links,
    DroppedAttributesCount,
    DroppedEventsCount,
    DroppedLinksCount,
    Flags,
}

/// A field of a span's event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum EventField {
    Name,
    Time,
    /// An integer.
    TimeUnixNano,
    Attributes,
    DroppedAttributesCount,
    /// Its place among the span's events, from 0; only read.
    EventIndex,
}

/// What is known of the client that sent the item; only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientField {
    /// `otelcol.client.addr`: its address without the port.
    Address,
    /// `otelcol.client.metadata`: headers, each a list of texts.
    Metadata,
    /// `otelcol.client.auth.attributes`.
    AuthAttributes,
    /// `otelcol.grpc.metadata`: headers, each a list of texts.
    GrpcMetadata,
}

/// A field that a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// Of the resource.
    Resource(ResourceField),
    /// Of the instrumentation scope.
    Scope(ScopeField),
    /// Of the span.
    Span(SpanField),
    /// Of the span's event.
    Event(EventField),
    /// Of the client.
    Client(ClientField),
    /// The map in which statements keep things for those after them. The evaluator has it: no
    /// target is ever asked for it.
    Cache,
}

/// A step into a map or list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// `["name"]`.
    Name(String),
    /// `[0]`.
    Index(usize),
}

/// A field, and the keys into what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The field.
    pub field: Field,
    /// The steps into it, from the outside.
    pub keys: Vec<Key>,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = ENTRIES.iter().find(|entry| entry.field == self.field);
        match entry {
            Some(Entry { owner: Owner::Of(context), name, .. }) => {
                write!(f, "{}.{name}", context.name())?;
            }
            Some(Entry { owner: Owner::Client, name, .. }) => write!(f, "otelcol.{name}")?,
            None => f.write_str("cache")?,
        }
        for key in &self.keys {
            match key {
                Key::Name(name) => write!(f, "[{name:?}]")?,
                Key::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Whose a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Of(Context),
    /// `otelcol`, seen from everywhere.
    Client,
}

/// What may be done with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A row of the table of fields.
pub(crate) struct Entry {
    pub(crate) owner: Owner,
    /// What follows the owner's name and a dot.
    pub(crate) name: &'static str,
    pub(crate) field: Field,
    pub(crate) kind: Kind,
    pub(crate) access: Access,
    /// How many keys it takes.
    pub(crate) keys_max: usize,
}

/// The most keys of a path into maps, for every one may make a map in the one before.
const ANY: usize = 64;

const fn row(
    owner: Owner,
    name: &'static str,
    field: Field,
    kind: Kind,
    access: Access,
    keys_max: usize,
) -> Entry {
    Entry { owner, name, field, kind, access, keys_max }
}

const fn resource(name: &'static str, field: ResourceField, kind: Kind, keys: usize) -> Entry {
    row(Owner::Of(Context::Resource), name, Field::Resource(field), kind, Access::Write, keys)
}

const fn scope(name: &'static str, field: ScopeField, kind: Kind, keys: usize) -> Entry {
    row(Owner::Of(Context::Scope), name, Field::Scope(field), kind, Access::Write, keys)
}

const fn span(name: &'static str, field: SpanField, kind: Kind, keys: usize) -> Entry {
    let access = match field {
        SpanField::Events | SpanField::Links => Access::Read,
        _ => Access::Write,
    };
    row(Owner::Of(Context::Span), name, Field::Span(field), kind, access, keys)
}

const fn event(name: &'static str, field: EventField, kind: Kind, keys: usize) -> Entry {
    let access = match field {
        EventField::EventIndex => Access::Read,
        _ => Access::Write,
    };
    row(Owner::Of(Context::SpanEvent), name, Field::Event(field), kind, access, keys)
}

const fn client(name: &'static str, field: ClientField, kind: Kind, keys: usize) -> Entry {
    row(Owner::Client, name, Field::Client(field), kind, Access::Read, keys)
}

/// Every field except the caches.
static ENTRIES: &[Entry] = &[
    resource("attributes", ResourceField::Attributes, Kind::Map, ANY),
    resource("dropped_attributes_count", ResourceField::DroppedAttributesCount, Kind::Int, 0),
    resource("schema_url", ResourceField::SchemaUrl, Kind::String, 0),
    scope("name", ScopeField::Name, Kind::String, 0),
    scope("version", ScopeField::Version, Kind::String, 0),
    scope("attributes", ScopeField::Attributes, Kind::Map, ANY),
    scope("dropped_attributes_count", ScopeField::DroppedAttributesCount, Kind::Int, 0),
    scope("schema_url", ScopeField::SchemaUrl, Kind::String, 0),
    span("attributes", SpanField::Attributes, Kind::Map, ANY),
    span("name", SpanField::Name, Kind::String, 0),
    span("kind", SpanField::Kind, Kind::Int, 0),
    span("kind.string", SpanField::KindString, Kind::String, 0),
    span("kind.deprecated_string", SpanField::KindDeprecatedString, Kind::String, 0),
    span("trace_id", SpanField::TraceId, Kind::Bytes, 0),
    span("trace_id.string", SpanField::TraceIdString, Kind::String, 0),
    span("span_id", SpanField::SpanId, Kind::Bytes, 0),
    span("span_id.string", SpanField::SpanIdString, Kind::String, 0),
    span("parent_span_id", SpanField::ParentSpanId, Kind::Bytes, 0),
    span("parent_span_id.string", SpanField::ParentSpanIdString, Kind::String, 0),
    span("trace_state", SpanField::TraceState, Kind::String, 1),
    span("status.code", SpanField::StatusCode, Kind::Int, 0),
    span("status.message", SpanField::StatusMessage, Kind::String, 0),
    span("start_time", SpanField::StartTime, Kind::Time, 0),
    span("start_time_unix_nano", SpanField::StartTimeUnixNano, Kind::Int, 0),
    span("end_time", SpanField::EndTime, Kind::Time, 0),
    span("end_time_unix_nano", SpanField::EndTimeUnixNano, Kind::Int, 0),
    span("events", SpanField::Events, Kind::List, 0),
    span("links", SpanField::Links, Kind::List, 0),
    span("dropped_attributes_count", SpanField::DroppedAttributesCount, Kind::Int, 0),
    span("dropped_events_count", SpanField::DroppedEventsCount, Kind::Int, 0),
    span("dropped_links_count", SpanField::DroppedLinksCount, Kind::Int, 0),
    span("flags", SpanField::Flags, Kind::Int, 0),
    event("name", EventField::Name, Kind::String, 0),
    event("time", EventField::Time, Kind::Time, 0),
    event("time_unix_nano", EventField::TimeUnixNano, Kind::Int, 0),
    event("attributes", EventField::Attributes, Kind::Map, ANY),
    event("dropped_attributes_count", EventField::DroppedAttributesCount, Kind::Int, 0),
    event("event_index", EventField::EventIndex, Kind::Int, 0),
    client("client.addr", ClientField::Address, Kind::String, 0),
    client("client.metadata", ClientField::Metadata, Kind::Map, 2),
    client("client.auth.attributes", ClientField::AuthAttributes, Kind::Map, 2),
    client("grpc.metadata", ClientField::GrpcMetadata, Kind::Map, 2),
];

static CACHE: Entry =
    row(Owner::Of(Context::Resource), "cache", Field::Cache, Kind::Map, Access::Write, ANY);

/// The field of an owner's name; of caches, only that of the statement's own context is there.
pub(crate) fn find(owner: Owner, name: &str, statement: Context) -> Option<&'static Entry> {
    if name == CACHE.name && owner == Owner::Of(statement) {
        return Some(&CACHE);
    }
    ENTRIES.iter().find(|entry| entry.owner == owner && entry.name == name)
}

/// The names of an owner's fields.
pub(crate) fn names(owner: Owner) -> impl Iterator<Item = &'static str> {
    let own = ENTRIES.iter().filter(move |entry| entry.owner == owner).map(|entry| entry.name);
    own.chain(matches!(owner, Owner::Of(_)).then_some(CACHE.name))
}

impl Path {
    /// The field's row of the table.
    fn entry(&self) -> &'static Entry {
        ENTRIES.iter().find(|entry| entry.field == self.field).unwrap_or(&CACHE)
    }

    /// The kind of what is there, as far as it is always the same.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let entry = self.entry();
        (self.keys.is_empty() || entry.keys_max == 1).then_some(entry.kind)
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.entry().access == Access::Write
    }
}
