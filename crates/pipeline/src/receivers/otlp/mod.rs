//! OTLP for traces over gRPC and HTTP.
//!
//! Source for every status, header and rule: opentelemetry-proto, `docs/specification.md`. Where it
//! leaves a choice:
//!
//! - Errors carry a `google.rpc.Status` in the request's own encoding, and in JSON where that
//!   encoding is unknown, because a person will read it.
//! - Spans that are invalid one by one are left out and reported as partial success, even when that
//!   is all of them.
//! - Metrics and logs are refused with a message that says so.
//!
//! gRPC is framed here and not by a library: `tonic` 0.14 answers an oversized message with
//! `OUT_OF_RANGE`, which OTLP clients retry for ever, allocates what a message announces before it
//! has come, and decompresses where it cannot be counted against the budget.

pub(super) mod fault;
pub(super) mod grpc;
mod grpc_frame;
mod grpc_status;
pub(super) mod http;
pub(super) mod intake;
pub(super) mod status;

pub use grpc::{GrpcReceiver, GrpcSettings};
pub use http::{HttpReceiver, HttpSettings};
