//! Names of tags, and which of them are a resource's attributes.

/// Names of tags that stand for something other than an attribute of the span.
pub mod key {
    /// `OK` or `ERROR`; absent when the status is unset.
    pub const STATUS_CODE: &str = "otel.status_code";
    /// The status' message, as the Collector writes it.
    pub const STATUS_DESCRIPTION: &str = "otel.status_description";
    /// Present on every failed span: the status' message, or empty.
    pub const ERROR: &str = "error";
    /// Name of the instrumentation.
    pub const SCOPE_NAME: &str = "otel.scope.name";
    /// Version of the instrumentation.
    pub const SCOPE_VERSION: &str = "otel.scope.version";
    /// What [`SCOPE_NAME`] was called before.
    pub const LIBRARY_NAME: &str = "otel.library.name";
    /// What [`SCOPE_VERSION`] was called before.
    pub const LIBRARY_VERSION: &str = "otel.library.version";
    /// Attributes that the sender left out.
    pub const DROPPED_ATTRIBUTES: &str = "otel.dropped_attributes_count";
    /// Events that the sender left out.
    pub const DROPPED_EVENTS: &str = "otel.dropped_events_count";
    /// Links that the sender left out.
    pub const DROPPED_LINKS: &str = "otel.dropped_links_count";
    /// The W3C tracestate.
    pub const TRACE_STATE: &str = "w3c.tracestate";
    /// `internal` for the one kind that Zipkin has no word for.
    pub const SPAN_KIND: &str = "span.kind";
    /// Links, numbered from 0: `trace id|span id|tracestate|attributes as JSON|left out`.
    pub const LINK_PREFIX: &str = "otlp.link.";
    /// An attribute: Zipkin gave no timestamp, and the start is 0.
    pub const START_ABSENT: &str = "otel.zipkin.absentField.startTime";
    /// An attribute: the span's `debug`.
    pub const DEBUG: &str = "zipkin.debug";
    /// An attribute: the span's `shared`.
    pub const SHARED: &str = "zipkin.shared";
    /// The resource's attribute that is `localEndpoint.serviceName`.
    pub const SERVICE_NAME: &str = "service.name";
    /// Zipkin v1's "local component": an operation inside the application.
    pub const LOCAL_COMPONENT: &str = "lc";
}

/// The most links of a span that are read out of tags.
pub(crate) const LINKS_MAX: usize = 128;

/// Beginnings of the names of resource attributes (OpenTelemetry semantic conventions,
/// "Resource").
const RESOURCE_PREFIXES: [&str; 15] = [
    "service.",
    "telemetry.sdk.",
    "telemetry.distro.",
    "host.",
    "os.",
    "process.",
    "container.",
    "k8s.",
    "cloud.",
    "deployment.",
    "device.",
    "webengine.",
    "aws.ecs.",
    "aws.eks.",
    "aws.log.",
];

/// Those that begin as attributes of spans do.
const RESOURCE_KEYS: [&str; 6] = [
    "faas.name",
    "faas.id",
    "faas.version",
    "faas.instance",
    "faas.max_memory",
    "telemetry.auto.version",
];

/// Whether a tag says something of who recorded the span.
pub(crate) fn is_of_resource(tag: &str) -> bool {
    RESOURCE_PREFIXES.iter().any(|prefix| tag.starts_with(prefix)) || RESOURCE_KEYS.contains(&tag)
}
