//! Jaeger: its spans in protobuf, Thrift and JSON, and the mapping to and from OTLP.
//!
//! Every encoding is read into and written from the messages of protobuf, so that there is one
//! mapping.
//!
//! The mapping is that of the OpenTelemetry specification ("OpenTelemetry to Jaeger
//! Transformation") and, where that is silent, what the Collector does.

mod from_otlp;
mod ids;
mod json;
mod json_span;
mod messages;
mod thrift;
mod time;
mod to_otlp;

/// The messages of `jaeger.api_v2`, made from `proto/model.proto`.
#[allow(missing_docs, clippy::all)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/jaeger.api_v2.rs"));
}

pub use from_otlp::{batches, process, span};
pub use ids::{IdTextError, parse_span_id, parse_trace_id, trace_id_text};
pub use json::put_trace;
pub use json_span::{json_span_to_otlp, otlp_to_json_spans};
pub use messages::{
    otlp_to_post_spans, otlp_to_proto_batches, otlp_to_proto_spans, post_spans_to_otlp,
    proto_batch_to_otlp, proto_span_to_otlp,
};
pub use thrift::{
    otlp_to_thrift_batches, otlp_to_thrift_messages, thrift_batch_to_otlp, thrift_message_to_otlp,
};
pub use time::{duration, timestamp, unix_nano};
pub use to_otlp::to_otlp;

/// What Jaeger calls the service of a resource that does not name one.
pub const MISSING_SERVICE: &str = "missing-service-name";

/// The service of a resource without attributes, in the mapping.
pub const NO_SERVICE: &str = "OTLPResourceNoServiceName";

/// The span attribute that carries Jaeger's warnings in OTLP: an array of texts.
pub const WARNINGS: &str = "@jaeger@warnings";

const SERVICE_NAME: &str = "service.name";
const SCOPE_NAME: &str = "otel.scope.name";
const SCOPE_VERSION: &str = "otel.scope.version";
const SPAN_KIND: &str = "span.kind";
const STATUS_CODE: &str = "otel.status_code";
const STATUS_DESCRIPTION: &str = "otel.status_description";
const ERROR: &str = "error";
const TRACE_STATE: &str = "w3c.tracestate";
const EVENT: &str = "event";
const REF_TYPE: &str = "opentracing.ref_type";
const CHILD_OF: &str = "child_of";
const FOLLOWS_FROM: &str = "follows_from";

/// The bit that both formats' flags share: the span was sampled.
const SAMPLED: u32 = 1;
