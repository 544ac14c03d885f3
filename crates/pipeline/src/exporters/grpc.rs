//! A gRPC client: unary calls, framed here over HTTP/2, so that a message goes out in the parts that
//! it lies in.
//!
//! Source: gRPC, "PROTOCOL-HTTP2", "Compression", "HTTP to gRPC Status Code Mapping".

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Uri};

use super::otlp::EndpointError;
use super::otlp::answer::{rpc_status, words};
use super::post::no_port;
use crate::net::{
    Algorithm, Answer, ClientSettings, Compression, HttpClient, Outgoing, Protocol, Target,
    compress,
};

/// Of answers (OTLP specification, "OTLP/gRPC Response"); others' are smaller.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A flag and four bytes of length before every message.
const PREFIX_BYTES: usize = 5;

/// Calls the methods of one server.
pub(super) struct GrpcClient {
    client: HttpClient,
    scheme: Scheme,
    authority: Authority,
    compression: Compression,
    /// What the server calls that compression.
    encoding: Option<HeaderValue>,
}

/// Why a call gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallError {
    /// The request could not be made: it never can.
    Unsendable(String),
    /// No answer came, or one that no server of gRPC gave, as proxies and restarts make them.
    Broken(String),
    /// A server that speaks no gRPC.
    NotGrpc(String),
    /// A status other than OK.
    Status {
        /// `google.rpc.Code`.
        code: u32,
        /// The delay of its `RetryInfo`.
        after: Option<Duration>,
        /// What it says, for the log.
        reason: String,
    },
}

impl GrpcClient {
    /// A client of `host:port` or a URL. Nothing is connected yet.
    pub(super) fn new(endpoint: &str, settings: &ClientSettings) -> Result<Self, EndpointError> {
        let (scheme, mut authority, mut target) = address(endpoint, settings.tls.insecure)?;
        if let Some(own) = &settings.authority {
            target = target.or_else(|| Some(Target::Tcp(authority.clone())));
            authority = renamed(&authority, own);
        }
        let mut compression = settings.compression;
        let encoding = match compression.algorithm {
            Algorithm::Zlib => Some("deflate"),
            Algorithm::Snappy => {
                // What Go's plugin for gRPC means by it.
                compression.algorithm = Algorithm::SnappyFramed;
                Some("snappy")
            }
            other => other.name(),
        };
        let encoding = encoding.map(HeaderValue::from_static);
        let client = HttpClient::to(target, settings, Protocol::Http2)?;
        Ok(Self { client, scheme, authority, compression, encoding })
    }

    /// Calls a method with a message, and gives the message of its answer.
    pub(super) async fn call(
        &self,
        method: &'static str,
        message: &[Bytes],
    ) -> Result<Bytes, CallError> {
        let body = self.frame(message).await;
        let body = body.map_err(|error| CallError::Unsendable(error.to_string()))?;
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(PathAndQuery::from_static(method))
            .build()
            .map_err(|error| CallError::Unsendable(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
        if let Some(name) = &self.encoding {
            headers.insert("grpc-encoding", name.clone());
        }
        let outgoing = Outgoing { uri, headers, body, answer_bytes_max: ANSWER_BYTES_MAX };
        let answer = self.client.post(outgoing).await;
        judge(&answer.map_err(|error| CallError::Broken(error.reason))?)
    }

    async fn frame(&self, parts: &[Bytes]) -> std::io::Result<Vec<Bytes>> {
        let (flag, message) = if self.compression.algorithm == Algorithm::None {
            (0, parts.to_vec())
        } else {
            (1, vec![compress(self.compression, parts).await?])
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
}

/// A server's own name instead of its address, with the user of that.
fn renamed(address: &Authority, own: &Authority) -> Authority {
    let user = address.as_str().rsplit_once('@').map(|(user, _)| format!("{user}@{own}"));
    user.and_then(|both| both.parse().ok()).unwrap_or_else(|| own.clone())
}

/// `host:port` or a URL; gRPC's own `dns:///host:port`, `unix:path` and `unix:///path` as well
/// ("gRPC Name Resolution"), and `passthrough:///host:port` of Go's. Sockets are a target of their
/// own.
pub(super) fn address(
    endpoint: &str,
    insecure: bool,
) -> Result<(Scheme, Authority, Option<Target>), EndpointError> {
    let plain = if insecure { Scheme::HTTP } else { Scheme::HTTPS };
    if let Some(path) = endpoint.strip_prefix("unix:") {
        let path = match path.strip_prefix("//") {
            Some(path) if !path.starts_with('/') => {
                return Err(malformed(endpoint, "a path after unix:// begins with a slash"));
            }
            Some(path) => path,
            None => path,
        };
        if path.is_empty() {
            return Err(malformed(endpoint, "the path of the socket is missing"));
        }
        let target = Some(Target::Unix(path.into()));
        // As gRPC's own clients call a server that they reach over a socket.
        return Ok((plain, Authority::from_static("localhost"), target));
    }
    let (scheme, rest) = match endpoint.split_once("://") {
        Some(("http", rest)) => (Scheme::HTTP, rest),
        Some(("https", rest)) => (Scheme::HTTPS, rest),
        Some(("dns" | "passthrough", rest)) => (plain, rest.trim_start_matches('/')),
        Some(_) => {
            let reason = "it begins with something else than http://, https://, dns:/// or unix:";
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
    if let Some(port) = no_port(&authority) {
        return Err(malformed(endpoint, &format!("{port:?} is no port")));
    }
    if authority.port_u16().is_none() {
        return Err(malformed(endpoint, "the port is missing"));
    }
    Ok((scheme, authority, None))
}

fn malformed(endpoint: &str, reason: &str) -> EndpointError {
    EndpointError::Malformed { endpoint: endpoint.to_owned(), reason: reason.to_owned() }
}

fn judge(answer: &Answer) -> Result<Bytes, CallError> {
    let header = |name: &str| answer.trailers.get(name).or_else(|| answer.headers.get(name));
    let Some(status) = header("grpc-status") else {
        return Err(not_grpc(answer));
    };
    // What is no number is as good as unknown.
    let code = status.to_str().ok().and_then(|code| code.parse().ok()).unwrap_or(2u32);
    if code == 0 {
        let message = answer.body.len().min(PREFIX_BYTES);
        return Ok(answer.body.slice(message..));
    }
    let details = header("grpc-status-details-bin").and_then(|value| {
        let text = value.to_str().ok()?.trim_end_matches('=');
        STANDARD_NO_PAD.decode(text).ok()
    });
    let after = details.and_then(|details| rpc_status(&details).1);
    let said = header("grpc-message").map(|text| unescaped(text.as_bytes())).unwrap_or_default();
    let name = CODES.get(code as usize).copied().unwrap_or("an unknown code");
    Err(CallError::Status { code, after, reason: format!("the server answered {name}: {said}") })
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

/// An answer without a gRPC status: a proxy's, or one that broke off.
fn not_grpc(answer: &Answer) -> CallError {
    let said = words(&answer.body);
    let reason = format!("the server answered HTTP {} without gRPC: {said}", answer.status);
    match answer.status.as_u16() {
        // 200 breaks off between headers and trailers.
        200 | 429 | 502 | 503 | 504 => CallError::Broken(reason),
        _ => CallError::NotGrpc(reason),
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
            ("passthrough:///tempo:4317", true, Ok("http tempo:4317")),
            ("[::1]:4317", true, Ok("http [::1]:4317")),
            ("tempo", true, Err("the port is missing")),
            ("tempo:", true, Err("the port is missing")),
            ("tempo:None", true, Err("\"None\" is no port")),
            ("me:pw@[::1]:65536", true, Err("\"65536\" is no port")),
            ("http://tempo:4317/x", true, Err("paths")),
            ("unix:///tmp/x", true, Ok("http localhost, connected to /tmp/x")),
            ("unix:x.sock", false, Ok("https localhost, connected to x.sock")),
            ("unix://tmp/x", true, Err("begins with a slash")),
            ("unix:", true, Err("the path of the socket is missing")),
            ("ftp://tempo:1", true, Err("something else")),
            ("a b:1", true, Err("not an address")),
            ("", true, Err("no endpoint")),
        ] {
            match (address(endpoint, insecure), expected) {
                (Ok((scheme, authority, target)), Ok(expected)) => {
                    let target = match target {
                        Some(Target::Unix(path)) => format!(", connected to {}", path.display()),
                        Some(Target::Tcp(_)) | None => String::new(),
                    };
                    assert_eq!(format!("{scheme} {authority}{target}"), expected, "{endpoint}");
                }
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{endpoint}: {error}");
                }
                (got, _) => panic!("{endpoint}: {got:?}"),
            }
        }
    }

    #[test]
    fn another_name_keeps_the_user() {
        let own = Authority::from_static("tempo.internal");
        for (address, expected) in
            [("a:1", "tempo.internal"), ("me:pw@a:1", "me:pw@tempo.internal")]
        {
            assert_eq!(renamed(&Authority::from_static(address), &own), expected);
        }
    }

    #[test]
    fn messages_are_unescaped() {
        for (text, plain) in [("a%20b", "a b"), ("100%", "100%"), ("%zz%41", "%zzA"), ("%0a", "")] {
            assert_eq!(unescaped(text.as_bytes()), plain, "{text}");
        }
    }
}
