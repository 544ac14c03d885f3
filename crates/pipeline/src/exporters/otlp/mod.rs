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

/// What is wrong with a server of gRPC, `host:port` or a URL. Words that can follow a key's name;
/// the endpoint, which may hold a password, is not in them.
pub(crate) fn check_address(endpoint: &str) -> Result<(), String> {
    super::grpc::address(endpoint, false).map(drop).map_err(in_settings)
}

/// The same of a URL of HTTP.
pub(crate) fn check_url(endpoint: &str) -> Result<(), String> {
    super::post::url(endpoint).map(drop).map_err(in_settings)
}

fn in_settings(error: EndpointError) -> String {
    match error {
        EndpointError::Malformed { reason, .. } => format!("is not an address: {reason}"),
        EndpointError::Missing => "is not an address: the host is missing".to_owned(),
        EndpointError::Tls(error) => error.to_string(),
    }
}
