//! OTLP/gRPC: a unary call for each request.
//!
//! Source: gRPC, "PROTOCOL-HTTP2", "Compression", "HTTP to gRPC Status Code Mapping".

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Uri};

use super::EndpointError;
use super::answer::{partial_success, rpc_status, words};
use crate::exporters::{Export, ExportError};
use crate::net::{
    Algorithm, Answer, ClientSettings, Compression, HttpClient, Outgoing, Protocol, compress,
};
use crate::{Encoded, Signal};

/// Of answers (OTLP specification, "OTLP/gRPC Response").
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A flag and four bytes of length before every message.
const PREFIX_BYTES: usize = 5;

/// Settings of the exporter `otlp`.
#[derive(Debug, Clone, Default)]
pub struct OtlpGrpcSettings {
    /// `host:port`, with TLS unless `tls.insecure`; or a URL, whose scheme decides. One connection
    /// is made to one of the name's addresses; `balancer_name` has no effect.
    pub endpoint: String,
    /// Connections, TLS, headers, compression: gzip, zstd or none.
    pub client: ClientSettings,
}

/// Exports over OTLP/gRPC.
pub struct OtlpGrpc {
    client: HttpClient,
    scheme: Scheme,
    authority: Authority,
    compression: Compression,
}

impl OtlpGrpc {
    /// An exporter. Nothing is connected yet.
    ///
    /// # Errors
    /// An endpoint that is no address; TLS files that do not fit.
    pub fn new(settings: &OtlpGrpcSettings) -> Result<Self, EndpointError> {
        let (scheme, authority) = address(&settings.endpoint, settings.client.tls.insecure)?;
        let mut compression = settings.client.compression;
        if compression.algorithm == Algorithm::Zlib {
            // What gRPC calls it.
            compression.algorithm = Algorithm::Deflate;
        }
        let client = HttpClient::new(&settings.client, Protocol::Http2)?;
        Ok(Self { client, scheme, authority, compression })
    }

    async fn frame(&self, encoded: &Encoded) -> std::io::Result<Vec<Bytes>> {
        let (flag, message) = if self.compression.algorithm == Algorithm::None {
            (0, encoded.parts.clone())
        } else {
            (1, vec![compress(self.compression, &encoded.parts).await?])
        };
        let length: usize = message.iter().map(Bytes::len).sum();
        let length = u32::try_from(length).map_err(std::io::Error::other)?;
        let mut framed = Vec::with_capacity(message.len() + 1);
        let mut prefix = vec![flag];
        prefix.extend_from_slice(&length.to_be_bytes());
        framed.push(Bytes::from(prefix));
        framed.extend(message);
        Ok(framed)
    }

    fn uri(&self, signal: Signal) -> Result<Uri, http::Error> {
        let path = match signal {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        };
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(PathAndQuery::from_static(path))
            .build()
    }
}

/// `host:port` or a URL; gRPC's own `dns:///host:port` as well.
fn address(endpoint: &str, insecure: bool) -> Result<(Scheme, Authority), EndpointError> {
    let plain = if insecure { Scheme::HTTP } else { Scheme::HTTPS };
    let (scheme, rest) = match endpoint.split_once("://") {
        Some(("http", rest)) => (Scheme::HTTP, rest),
        Some(("https", rest)) => (Scheme::HTTPS, rest),
        Some(("dns", rest)) => (plain, rest.trim_start_matches('/')),
        Some(_) => {
            let reason = "it begins with something else than http://, https:// or dns:///";
            return Err(malformed(endpoint, reason));
        }
        None => (plain, endpoint),
    };
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() {
        return Err(EndpointError::Missing);
    }
    if rest.contains('/') {
        return Err(malformed(endpoint, "gRPC has no paths of its own"));
    }
    let authority: Authority = rest
        .parse()
        .map_err(|error: http::uri::InvalidUri| malformed(endpoint, &error.to_string()))?;
    if authority.port_u16().is_none() {
        return Err(malformed(endpoint, "the port is missing, usually 4317"));
    }
    Ok((scheme, authority))
}

fn malformed(endpoint: &str, reason: &str) -> EndpointError {
    EndpointError::Malformed { endpoint: endpoint.to_owned(), reason: reason.to_owned() }
}

#[async_trait]
impl Export for OtlpGrpc {
    async fn export(&self, signal: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        let body = self.frame(encoded).await;
        let body = body.map_err(|error| ExportError::permanent(error.to_string()))?;
        let uri = self.uri(signal).map_err(|error| ExportError::permanent(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
        if let Some(name) = self.compression.algorithm.name() {
            headers.insert("grpc-encoding", HeaderValue::from_static(name));
        }
        let outgoing = Outgoing { uri, headers, body, answer_bytes_max: ANSWER_BYTES_MAX };
        let answer = self.client.post(outgoing).await;
        judge(&answer.map_err(|error| ExportError::retryable(error.reason))?)
    }
}

fn judge(answer: &Answer) -> Result<(), ExportError> {
    let header = |name: &str| answer.trailers.get(name).or_else(|| answer.headers.get(name));
    let Some(status) = header("grpc-status") else {
        return Err(not_grpc(answer));
    };
    // What is no number is as good as unknown.
    let code = status.to_str().ok().and_then(|code| code.parse().ok()).unwrap_or(2u32);
    if code == 0 {
        let message = answer.body.get(PREFIX_BYTES..).unwrap_or_default();
        return match partial_success(message) {
            Some((rejected, reason)) => Err(ExportError::Partial { rejected, reason }),
            None => Ok(()),
        };
    }
    let details = header("grpc-status-details-bin").and_then(|value| {
        let text = value.to_str().ok()?.trim_end_matches('=');
        STANDARD_NO_PAD.decode(text).ok()
    });
    let after = details.and_then(|details| rpc_status(&details).1);
    let said = header("grpc-message").map(|text| unescaped(text.as_bytes())).unwrap_or_default();
    let name = CODES.get(code as usize).copied().unwrap_or("an unknown code");
    Err(verdict(code, after, format!("the server answered {name}: {said}")))
}

/// The names of `google.rpc.Code`.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// OTLP specification, "Failures": which codes are worth another attempt.
fn verdict(code: u32, after: Option<Duration>, reason: String) -> ExportError {
    match (code, after) {
        (1 | 4 | 10 | 11 | 14 | 15, after) | (8, after @ Some(_)) => {
            ExportError::Retryable { reason, after }
        }
        _ => ExportError::Permanent { reason },
    }
}

/// An answer without a gRPC status: a proxy's, or one that broke off.
fn not_grpc(answer: &Answer) -> ExportError {
    let said = words(&answer.body);
    let reason = format!("the server answered HTTP {} without gRPC: {said}", answer.status);
    match answer.status.as_u16() {
        // 200 breaks off between headers and trailers.
        200 | 429 | 502 | 503 | 504 => ExportError::retryable(reason),
        _ => ExportError::Permanent { reason },
    }
}

/// Undoes the percent-encoding of `grpc-message`.
fn unescaped(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = match (byte, tail) {
            (b'%', [a, b, ..]) => {
                let hex = [*a, *b];
                std::str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok())
            }
            _ => None,
        };
        out.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    words(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (endpoint, insecure, expected) in [
            ("tempo:4317", false, Ok("https tempo:4317")),
            ("tempo:4317", true, Ok("http tempo:4317")),
            ("http://tempo:4317", false, Ok("http tempo:4317")),
            ("https://tempo:4317/", true, Ok("https tempo:4317")),
            ("dns:///tempo:4317", true, Ok("http tempo:4317")),
            ("[::1]:4317", true, Ok("http [::1]:4317")),
            ("tempo", true, Err("the port is missing")),
            ("http://tempo:4317/x", true, Err("paths")),
            ("unix:///tmp/x", true, Err("something else")),
            ("a b:1", true, Err("not an address")),
            ("", true, Err("no endpoint")),
        ] {
            match (address(endpoint, insecure), expected) {
                (Ok((scheme, authority)), Ok(expected)) => {
                    assert_eq!(format!("{scheme} {authority}"), expected, "{endpoint}");
                }
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{endpoint}: {error}");
                }
                (got, _) => panic!("{endpoint}: {got:?}"),
            }
        }
    }

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

    #[test]
    fn messages_are_unescaped() {
        for (text, plain) in [("a%20b", "a b"), ("100%", "100%"), ("%zz%41", "%zzA"), ("%0a", "")] {
            assert_eq!(unescaped(text.as_bytes()), plain, "{text}");
        }
    }
}
