//! OTLP/gRPC: a unary call for each request.

use std::time::Duration;

use async_trait::async_trait;

use super::EndpointError;
use super::answer::partial_success;
use crate::exporters::grpc::{CallError, GrpcClient};
use crate::exporters::{Export, ExportError};
use crate::net::ClientSettings;
use crate::{Encoded, Signal};

/// Settings of the exporter `otlp`.
#[derive(Debug, Clone, Default)]
pub struct OtlpGrpcSettings {
    /// `host:port`, with TLS unless `tls.insecure`; or a URL, whose scheme decides; or `unix:` and
    /// the path of a socket. One connection is made to one of the name's addresses;
    /// `balancer_name` has no effect.
    pub endpoint: String,
    /// Connections, TLS, headers, compression: framed Snappy and LZ4 have no name in gRPC, which
    /// means frames where it says Snappy.
    pub client: ClientSettings,
}

/// Exports over OTLP/gRPC.
pub struct OtlpGrpc {
    client: GrpcClient,
}

impl OtlpGrpc {
    /// An exporter. Nothing is connected yet.
    ///
    /// # Errors
    /// An endpoint that is no address; TLS files that do not fit.
    pub fn new(settings: &OtlpGrpcSettings) -> Result<Self, EndpointError> {
        Ok(Self { client: GrpcClient::new(&settings.endpoint, &settings.client)? })
    }
}

#[async_trait]
impl Export for OtlpGrpc {
    async fn export(&self, signal: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        let method = match signal {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        };
        match self.client.call(method, &encoded.parts).await {
            Ok(answer) => match partial_success(&answer) {
                Some((rejected, reason)) => Err(ExportError::Partial { rejected, reason }),
                None => Ok(()),
            },
            Err(CallError::Unsendable(reason) | CallError::NotGrpc(reason)) => {
                Err(ExportError::Permanent { reason })
            }
            Err(CallError::Broken(reason)) => Err(ExportError::retryable(reason)),
            Err(CallError::Status { code, after, reason }) => Err(verdict(code, after, reason)),
        }
    }
}

/// OTLP specification, "Failures": which codes are worth another attempt.
fn verdict(code: u32, after: Option<Duration>, reason: String) -> ExportError {
    match (code, after) {
        (1 | 4 | 10 | 11 | 14 | 15, after) | (8, after @ Some(_)) => {
            ExportError::Retryable { reason, after }
        }
        _ => ExportError::Permanent { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_codes_of_the_specification_are_retried() {
        let second = Some(Duration::from_secs(1));
        for code in 1..20 {
            for after in [None, second] {
                let retried = matches!(
                    verdict(code, after, String::new()),
                    ExportError::Retryable { after: kept, .. } if kept == after
                );
                let expected =
                    [1, 4, 10, 11, 14, 15].contains(&code) || (code == 8 && after == second);
                assert_eq!(retried, expected, "{code} {after:?}");
            }
        }
    }
}
