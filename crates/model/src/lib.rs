//! Spans as OTLP carries them: ids, attribute values, batches of spans, the tree of a trace.
//!
//! Owns the decoding and encoding of `ExportTraceServiceRequest` and `TracesData` (protobuf and
//! OTLP JSON) and the flat [`SpanBatch`] that every other crate passes along. Knows nothing of
//! servers, storage or asynchronous code.
//!
//! Source for every field and rule: opentelemetry-proto 1.9, `trace/v1/trace.proto` and the OTLP
//! specification.

mod batch;
mod decode;
mod edit;
mod encode;
mod ids;
pub mod json;
mod request;
mod status;
pub mod tree;
pub mod wire;

pub use batch::{
    Attribute, Event, Link, Rejection, Resource, Scope, Span, SpanBatch, Text, Value, kind,
    status_code,
};
pub use decode::{
    DecodeError, ELEMENTS_MAX, SHARED_RESOURCE_BYTES_MAX, SPAN_ELEMENTS_MAX, VALUE_DEPTH_MAX,
};
pub use edit::{EditError, Owner};
pub use encode::{TracesEncoder, encode_any_value, encode_key_value};
pub use ids::{IdError, SpanId, TraceId};
pub use status::{export_response, rpc_status};
