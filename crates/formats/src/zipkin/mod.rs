//! Zipkin's spans, to and from OTLP: v2 as JSON and protobuf, both ways; v1 as JSON and Thrift, read.
//!
//! Every encoding is read into a v2 span, so that there is one mapping.
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
mod proto;
mod receive;
mod span;
mod tags;
mod v1;
mod v1_thrift;

pub use decode::{TagTypes, ZipkinError, to_otlp};
pub use encode::{UNKNOWN_SERVICE, service_name, span_of, write_json, write_json_with};
pub use endpoint::{NAME_KEYS, PEER_SERVICE};
pub use proto::otlp_to_proto;
pub use receive::{json_to_otlp, proto_to_otlp, v1_json_to_otlp, v1_thrift_to_otlp};
pub use span::{Annotation, Endpoint, Kind, Span, TagKey, TagValue};
pub use tags::key;
