//! What exporters over HTTP share: a compressed `POST`, URLs, the delay that an answer asks for.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri};

use super::ExportError;
use super::otlp::EndpointError;
use super::otlp::answer::retry_after;
use crate::net::{
    Algorithm, Answer, ClientSettings, Compression, HttpClient, Outgoing, Protocol, TlsError,
    compress,
};

/// More of an answer is not read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Posts bodies, compressed.
pub(super) struct Post {
    client: HttpClient,
    compression: Compression,
}

impl Post {
    /// Nothing is connected yet.
    pub(super) fn new(settings: &ClientSettings) -> Result<Self, TlsError> {
        let client = HttpClient::new(settings, Protocol::Auto)?;
        Ok(Self { client, compression: settings.compression })
    }

    /// Posts a body in parts. Every answer is one, whatever its status.
    pub(super) async fn post(
        &self,
        uri: Uri,
        media: &'static str,
        mut body: Vec<Bytes>,
    ) -> Result<Answer, ExportError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(ACCEPT, HeaderValue::from_static(media));
        if let Some(name) = self.compression.algorithm.name() {
            let compressed = compress(self.compression, &body).await;
            let compressed =
                compressed.map_err(|error| ExportError::retryable(error.to_string()))?;
            body = vec![compressed];
            let coding = match self.compression.algorithm {
                // The same bytes, under the name that HTTP has for them.
                Algorithm::Zlib => "deflate",
                _ => name,
            };
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        let outgoing = Outgoing { uri, headers, body, answer_bytes_max: ANSWER_BYTES_MAX };
        let answer = self.client.post(outgoing).await;
        answer.map_err(|error| ExportError::retryable(error.reason))
    }
}

/// `Retry-After` of an answer.
pub(super) fn asked_wait(answer: &Answer) -> Option<Duration> {
    let value = answer.headers.get(RETRY_AFTER)?.to_str().ok()?;
    retry_after(value, SystemTime::now())
}

/// A whole URL.
pub(super) fn url(text: &str) -> Result<Uri, EndpointError> {
    let malformed = |reason: &str| EndpointError::Malformed {
        endpoint: text.to_owned(),
        reason: reason.to_owned(),
    };
    let uri: Uri =
        text.parse().map_err(|error: http::uri::InvalidUri| malformed(&error.to_string()))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(malformed("it has to begin with http:// or https://"));
    }
    match uri.authority().and_then(no_port) {
        Some(port) => Err(malformed(&format!("{port:?} is no port"))),
        None => Ok(uri),
    }
}

/// What stands in the place of a port and is none: connections would go to the scheme's own.
pub(super) fn no_port(authority: &Authority) -> Option<&str> {
    let (_, address) = authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()));
    let port = address.strip_prefix(authority.host())?.strip_prefix(':')?;
    (!port.is_empty() && authority.port_u16().is_none()).then_some(port)
}
