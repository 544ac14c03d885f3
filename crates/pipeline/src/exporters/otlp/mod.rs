//! OTLP to another server, over gRPC and HTTP.
//!
//! Source: opentelemetry-proto, `docs/specification.md`, "Failures", "Throttling", "Partial Success".

pub(super) mod answer;
mod grpc;
mod http;

pub use grpc::{OtlpGrpc, OtlpGrpcSettings};
pub use http::{HttpEncoding, OtlpHttp, OtlpHttpSettings};

use crate::net::TlsError;

/// Why an exporter cannot be made of its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// None is set.
    #[error("no endpoint is set")]
    Missing,
    /// It is not an address.
    #[error("the endpoint {endpoint:?} is not an address: {reason}")]
    Malformed {
        /// As given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}
