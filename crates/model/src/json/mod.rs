//! OTLP JSON, to and from the protobuf bytes of the same message, so that
//! [`SpanBatch::decode`](crate::SpanBatch::decode) is the only decoder of spans.
//!
//! Source: OTLP specification, "JSON Protobuf Encoding", on top of protobuf's "ProtoJSON format":
//! ids are hexadecimal, enumerations are numbers, 64-bit integers are strings, names are
//! lowerCamelCase and unknown fields are ignored.

mod decode;
mod encode;
mod lexer;
mod number;
mod plain;
mod schema;
mod status;
mod write;

pub use decode::{JsonError, decode};
pub use encode::{encode, encode_proto};
pub use plain::{any_value_text, value_text};
pub use status::{export_response_json, rpc_status_json};
pub use write::put_json_string;
