//! The fields that a filter may name.

use super::Level;

macro_rules! fields {
    ($($variant:ident $level:ident $name:literal $kind:ident,)*) => {
        /// A value that the data model has by itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::jaeger) enum Field {
            $($variant,)*
        }

        impl Field {
            pub(super) const ALL: &[Self] = &[$(Self::$variant,)*];

            pub(super) fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level,)* }
            }

            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub(super) fn kind(self) -> FieldKind {
                match self { $(Self::$variant => FieldKind::$kind,)* }
            }
        }
    };
}

fields! {
    TraceId Span "traceID" TraceId,
    SpanId Span "spanID" SpanId,
    ParentSpanId Span "parentSpanID" SpanId,
    TraceState Span "traceState" Text,
    Name Span "name" Text,
    Kind Span "kind" Kind,
    StartTime Span "startTime" Instant,
    EndTime Span "endTime" Instant,
    Status Span "status" Status,
    StatusMessage Span "statusMessage" Text,
    Duration Span "duration" Duration,
    Service Resource "service" Text,
    ResourceSchemaUrl Resource "schemaURL" Text,
    ScopeName Scope "name" Text,
    ScopeVersion Scope "version" Text,
    ScopeSchemaUrl Scope "schemaURL" Text,
    EventName Event "name" Text,
    EventTime Event "time" Instant,
    EventTimeSinceStart Event "timeSinceStart" Duration,
    LinkTraceId Link "traceID" TraceId,
    LinkSpanId Link "spanID" SpanId,
    LinkTraceState Link "traceState" Text,
}

impl Field {
    pub(super) fn of(level: Level, name: &str) -> Option<Self> {
        let named = |field: &&Self| field.level() == level && field.name() == name;
        Self::ALL.iter().find(named).copied()
    }
}

/// What a field's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    Text,
    /// 32 hexadecimal digits.
    TraceId,
    /// 16 of them.
    SpanId,
    /// One of a few words, without order.
    Kind,
    Status,
    Duration,
    Instant,
}

impl FieldKind {
    /// The words that it takes.
    pub(super) fn words(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Kind => {
                Some(&["unspecified", "internal", "server", "client", "producer", "consumer"])
            }
            Self::Status => Some(&["unset", "ok", "error"]),
            _ => None,
        }
    }

    /// What only compares with its own kind.
    pub(super) fn domain(self) -> &'static str {
        match self {
            Self::Text | Self::TraceId | Self::SpanId => "text",
            Self::Kind => "span kind",
            Self::Status => "status",
            Self::Duration => "duration",
            Self::Instant => "time",
        }
    }
}
