//! The messages of `ExportTraceServiceRequest` as one table, which reader and writer both walk.
//!
//! Source: opentelemetry-proto 1.9, `trace.proto`, `common.proto`, `resource.proto`; names in
//! JSON by the "JSON Protobuf Encoding" section of the OTLP specification. Fields that only the
//! profiles signal uses (`key_strindex`, `string_value_strindex`) are unknown here.

/// A message and its fields, in the order in which encoders usually write them.
pub(super) struct Message {
    /// The name in the `.proto` file, for errors.
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
    /// One level of an attribute's nested value, which [`crate::VALUE_DEPTH_MAX`] bounds.
    pub(super) nests: bool,
    /// All fields are members of one `oneof`: the last that is there counts, default or not.
    pub(super) one_of: bool,
}

/// A field of a message.
pub(super) struct Field {
    pub(super) number: u32,
    /// The lowerCamelCase name, which OTLP JSON uses.
    pub(super) json: &'static str,
    /// That name as the writer needs it, in one piece: `,"name":`.
    pub(super) opening: &'static str,
    /// The name in the `.proto` file, which protobuf's JSON readers accept as well.
    proto: &'static str,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
    /// Written even when it has its default value, which is an empty list or 0 of 64 bits.
    pub(super) always: bool,
}

/// What a field holds, on the wire and in JSON.
pub(super) enum Kind {
    Message(&'static Message),
    /// `string`.
    Text,
    /// `bytes` that are an id: hexadecimal in JSON.
    Id,
    /// `bytes`: base64 in JSON.
    Bytes,
    /// `bool`.
    Bool,
    /// `fixed64`: a string in JSON.
    Fixed64,
    /// `int64`: a string in JSON.
    Int64,
    /// `fixed32`.
    Fixed32,
    /// `uint32`.
    Uint32,
    /// `double`.
    Double,
    /// An enumeration: its number in JSON.
    Enum(&'static Enum),
}

/// An enumeration; a name's place is its number.
pub(super) struct Enum {
    /// For errors: "a span kind".
    pub(super) what: &'static str,
    pub(super) names: &'static [&'static str],
}

impl Message {
    /// The field with a JSON or proto name. `hint` is where to look first: senders keep one order.
    pub(super) fn by_name(&self, name: &str, hint: &mut usize) -> Option<&'static Field> {
        self.find(hint, |field| field.json == name || field.proto == name)
    }

    /// The field with a number; `hint` as above.
    pub(super) fn by_number(&self, number: u32, hint: &mut usize) -> Option<&'static Field> {
        self.find(hint, |field| field.number == number)
    }

    fn find(&self, hint: &mut usize, is: impl Fn(&Field) -> bool) -> Option<&'static Field> {
        let (before, after) = self.fields.split_at((*hint).min(self.fields.len()));
        let found = after
            .iter()
            .position(&is)
            .map(|place| place + before.len())
            .or_else(|| before.iter().position(&is))?;
        // Not the one after: on the wire a repeated field is most often followed by itself.
        *hint = found;
        Some(&self.fields[found])
    }
}

macro_rules! field {
    ($number:literal, $json:literal, $proto:literal, $kind:expr) => {
        Field {
            number: $number,
            json: $json,
            opening: concat!(",\"", $json, "\":"),
            proto: $proto,
            kind: $kind,
            repeated: false,
            always: false,
        }
    };
}

const fn repeated(field: Field) -> Field {
    Field { repeated: true, ..field }
}

const fn always(field: Field) -> Field {
    Field { always: true, ..field }
}

const fn message(name: &'static str, fields: &'static [Field]) -> Message {
    Message { name, fields, nests: false, one_of: false }
}

static KIND: Enum = Enum {
    what: "a span kind",
    names: &[
        "SPAN_KIND_UNSPECIFIED",
        "SPAN_KIND_INTERNAL",
        "SPAN_KIND_SERVER",
        "SPAN_KIND_CLIENT",
        "SPAN_KIND_PRODUCER",
        "SPAN_KIND_CONSUMER",
    ],
};

static STATUS_CODE: Enum = Enum {
    what: "a status code",
    names: &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"],
};

/// `ExportTraceServiceRequest`, and `TracesData` too.
pub(super) static REQUEST: Message = message(
    "ExportTraceServiceRequest",
    &[always(repeated(field!(
        1,
        "resourceSpans",
        "resource_spans",
        Kind::Message(&RESOURCE_SPANS)
    )))],
);

static RESOURCE_SPANS: Message = message(
    "ResourceSpans",
    &[
        field!(1, "resource", "resource", Kind::Message(&RESOURCE)),
        repeated(field!(2, "scopeSpans", "scope_spans", Kind::Message(&SCOPE_SPANS))),
        field!(3, "schemaUrl", "schema_url", Kind::Text),
    ],
);

static RESOURCE: Message = message(
    "Resource",
    &[
        repeated(field!(1, "attributes", "attributes", Kind::Message(&KEY_VALUE))),
        field!(2, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32),
        repeated(field!(3, "entityRefs", "entity_refs", Kind::Message(&ENTITY_REF))),
    ],
);

static ENTITY_REF: Message = message(
    "EntityRef",
    &[
        field!(1, "schemaUrl", "schema_url", Kind::Text),
        field!(2, "type", "type", Kind::Text),
        repeated(field!(3, "idKeys", "id_keys", Kind::Text)),
        repeated(field!(4, "descriptionKeys", "description_keys", Kind::Text)),
    ],
);

static SCOPE_SPANS: Message = message(
    "ScopeSpans",
    &[
        field!(1, "scope", "scope", Kind::Message(&SCOPE)),
        repeated(field!(2, "spans", "spans", Kind::Message(&SPAN))),
        field!(3, "schemaUrl", "schema_url", Kind::Text),
    ],
);

static SCOPE: Message = message(
    "InstrumentationScope",
    &[
        field!(1, "name", "name", Kind::Text),
        field!(2, "version", "version", Kind::Text),
        repeated(field!(3, "attributes", "attributes", Kind::Message(&KEY_VALUE))),
        field!(4, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32),
    ],
);

static SPAN: Message = message(
    "Span",
    &[
        field!(1, "traceId", "trace_id", Kind::Id),
        field!(2, "spanId", "span_id", Kind::Id),
        field!(3, "traceState", "trace_state", Kind::Text),
        field!(4, "parentSpanId", "parent_span_id", Kind::Id),
        field!(5, "name", "name", Kind::Text),
        field!(6, "kind", "kind", Kind::Enum(&KIND)),
        always(field!(7, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64)),
        always(field!(8, "endTimeUnixNano", "end_time_unix_nano", Kind::Fixed64)),
        repeated(field!(9, "attributes", "attributes", Kind::Message(&KEY_VALUE))),
        field!(10, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32),
        repeated(field!(11, "events", "events", Kind::Message(&EVENT))),
        field!(12, "droppedEventsCount", "dropped_events_count", Kind::Uint32),
        repeated(field!(13, "links", "links", Kind::Message(&LINK))),
        field!(14, "droppedLinksCount", "dropped_links_count", Kind::Uint32),
        field!(15, "status", "status", Kind::Message(&STATUS)),
        field!(16, "flags", "flags", Kind::Fixed32),
    ],
);

static EVENT: Message = message(
    "Span.Event",
    &[
        field!(1, "timeUnixNano", "time_unix_nano", Kind::Fixed64),
        field!(2, "name", "name", Kind::Text),
        repeated(field!(3, "attributes", "attributes", Kind::Message(&KEY_VALUE))),
        field!(4, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32),
    ],
);

static LINK: Message = message(
    "Span.Link",
    &[
        field!(1, "traceId", "trace_id", Kind::Id),
        field!(2, "spanId", "span_id", Kind::Id),
        field!(3, "traceState", "trace_state", Kind::Text),
        repeated(field!(4, "attributes", "attributes", Kind::Message(&KEY_VALUE))),
        field!(5, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32),
        field!(6, "flags", "flags", Kind::Fixed32),
    ],
);

static STATUS: Message = message(
    "Status",
    &[
        field!(2, "message", "message", Kind::Text),
        field!(3, "code", "code", Kind::Enum(&STATUS_CODE)),
    ],
);

static KEY_VALUE: Message = message(
    "KeyValue",
    &[field!(1, "key", "key", Kind::Text), field!(2, "value", "value", Kind::Message(&ANY_VALUE))],
);

static ANY_VALUE: Message = Message {
    one_of: true,
    ..message(
        "AnyValue",
        &[
            field!(1, "stringValue", "string_value", Kind::Text),
            field!(2, "boolValue", "bool_value", Kind::Bool),
            field!(3, "intValue", "int_value", Kind::Int64),
            field!(4, "doubleValue", "double_value", Kind::Double),
            field!(5, "arrayValue", "array_value", Kind::Message(&ARRAY_VALUE)),
            field!(6, "kvlistValue", "kvlist_value", Kind::Message(&KEY_VALUE_LIST)),
            field!(7, "bytesValue", "bytes_value", Kind::Bytes),
        ],
    )
};

static ARRAY_VALUE: Message = Message {
    nests: true,
    ..message("ArrayValue", &[repeated(field!(1, "values", "values", Kind::Message(&ANY_VALUE)))])
};

static KEY_VALUE_LIST: Message = Message {
    nests: true,
    ..message("KeyValueList", &[repeated(field!(1, "values", "values", Kind::Message(&KEY_VALUE)))])
};
