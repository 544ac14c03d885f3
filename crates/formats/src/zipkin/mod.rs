//! Zipkin's v2 JSON spans, to and from OTLP.
//!
//! To Zipkin: the OpenTelemetry specification, "OpenTelemetry to Zipkin Transformation". Where it
//! leaves a field open (links, tracestate, the kind internal) this writes the tags that the
//! OpenTelemetry Collector writes, so that nothing is lost. From Zipkin: the Collector's
//! translation. Field by field: Zipkin's `zipkin2-api.yaml`.

mod annotation;
mod decode;
mod encode;
mod endpoint;
mod origin;
mod span;
mod tags;

pub use decode::{TagTypes, ZipkinError, to_otlp};
pub use encode::{UNKNOWN_SERVICE, service_name, span_of, write_json};
pub use endpoint::{NAME_KEYS, PEER_SERVICE};
pub use span::{Annotation, Endpoint, Kind, Span, TagKey, TagValue};
pub use tags::key;
