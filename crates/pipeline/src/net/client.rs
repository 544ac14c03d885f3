//! The HTTP client of all exporters: HTTP/1.1 and HTTP/2, connections kept and shared. Proxies are
//! not supported.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, USER_AGENT};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::compression::Compression;
use super::connector::{Connector, Target};
use super::headers::Headers;
use super::parts::Parts;
use super::tls::{ClientTls, TlsClientSettings, TlsError, explain, explain_words};
use super::user_info;
use crate::telemetry::traceparent;

/// What requests call themselves.
const AGENT: &str = concat!("Spanfall/", env!("CARGO_PKG_VERSION"));

/// Adds to a request what proves who sends it (the Collector's `auth.authenticator`).
pub trait ClientAuth: Send + Sync + fmt::Debug + 'static {
    /// The header, now: a token may change while the process runs.
    ///
    /// # Errors
    /// What is missing, such as a file that cannot be read.
    fn header(&self) -> Result<(HeaderName, HeaderValue), String>;
}

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1, or over TLS what the server prefers.
    #[default]
    Auto,
    /// HTTP/2, with prior knowledge where there is no TLS.
    Http2,
}

/// What a client's settings have in common, whichever the protocol.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// TLS.
    pub tls: TlsClientSettings,
    /// Sent with every request.
    pub headers: Headers,
    /// How requests are compressed. Default gzip.
    pub compression: Compression,
    /// For the name, TCP and TLS together. Default 10 s; an attempt's timeout ends it, too.
    pub connect_timeout: Duration,
    /// How long a connection is kept that nothing uses (`idle_conn_timeout`); zero is for as long
    /// as the other end keeps it. Default 90 s.
    pub idle_timeout: Duration,
    /// How many of them (`max_idle_conns_per_host`). Default 100.
    pub idle_connections_max: usize,
    /// Pings on HTTP/2.
    pub keepalive: KeepaliveSettings,
    /// What gRPC calls the server: in `:authority`, and over TLS where
    /// [`TlsClientSettings::server_name_override`] says nothing else. Default: the endpoint.
    pub authority: Option<Authority>,
    /// Default none.
    pub auth: Option<Arc<dyn ClientAuth>>,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            tls: TlsClientSettings::default(),
            headers: Headers::default(),
            compression: Compression::default(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(90),
            idle_connections_max: 100,
            keepalive: KeepaliveSettings::default(),
            authority: None,
            auth: None,
        }
    }
}

/// `keepalive`: finds connections whose other end has gone without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepaliveSettings {
    /// How long nothing may come before a ping is sent; zero is never. Default 10 s.
    pub time: Duration,
    /// How long a ping may stay unanswered. Default 10 s.
    pub timeout: Duration,
    /// Pings without requests under way. Default false.
    pub permit_without_stream: bool,
}

impl Default for KeepaliveSettings {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            permit_without_stream: false,
        }
    }
}

/// A request to send.
pub(crate) struct Outgoing {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// Written one behind the other.
    pub(crate) body: Vec<Bytes>,
    /// More of an answer is not read.
    pub(crate) answer_bytes_max: usize,
}

/// An answer, whole or as much of it as is wanted.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What came behind the body.
    pub trailers: HeaderMap,
}

/// Why there is no answer. The request may have arrived all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct SendError {
    pub(crate) reason: String,
}

/// Sends requests over connections that it keeps.
pub struct HttpClient {
    client: Client<Connector, Parts>,
    headers: HeaderMap,
    auth: Option<Arc<dyn ClientAuth>>,
}

impl HttpClient {
    /// A client. Nothing is connected before it is needed.
    ///
    /// # Errors
    /// TLS files that cannot be read or do not fit.
    pub fn new(settings: &ClientSettings, protocol: Protocol) -> Result<Self, TlsError> {
        Self::to(None, settings, protocol)
    }

    /// The same, with all connections to one place, whatever the requests' URLs say.
    pub(crate) fn to(
        target: Option<Target>,
        settings: &ClientSettings,
        protocol: Protocol,
    ) -> Result<Self, TlsError> {
        let protocols: &[&str] = match protocol {
            Protocol::Auto => &["h2", "http/1.1"],
            Protocol::Http2 => &["h2"],
        };
        let tls = Arc::new(ClientTls::new(settings.tls.clone(), protocols)?);
        let connector = Connector::new(target, tls, settings.connect_timeout);
        let keepalive = settings.keepalive;
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout((!settings.idle_timeout.is_zero()).then_some(settings.idle_timeout))
            .pool_max_idle_per_host(settings.idle_connections_max)
            .http2_only(protocol == Protocol::Http2)
            .http2_keep_alive_interval((!keepalive.time.is_zero()).then_some(keepalive.time))
            .http2_keep_alive_timeout(keepalive.timeout)
            .http2_keep_alive_while_idle(keepalive.permit_without_stream);
        let mut headers = settings.headers.map().clone();
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        Ok(Self { client: builder.build(connector), headers, auth: settings.auth.clone() })
    }

    /// Posts a request and reads its answer. Has no timeout of its own but for connecting.
    pub(crate) async fn post(&self, outgoing: Outgoing) -> Result<Answer, SendError> {
        let Outgoing { uri, headers, body, answer_bytes_max } = outgoing;
        let mut request = Request::new(Parts::new(body));
        *request.method_mut() = Method::POST;
        let (uri, user) = user_info::split(uri);
        *request.uri_mut() = uri;
        for (name, value) in &self.headers {
            // What a protocol needs is not the configuration's to change.
            if !headers.contains_key(name) && name != CONTENT_LENGTH {
                request.headers_mut().append(name, value.clone());
            }
        }
        request.headers_mut().extend(headers);
        if let Some(user) = user {
            request.headers_mut().entry(AUTHORIZATION).or_insert(user);
        }
        if let Some(context) = traceparent() {
            request.headers_mut().insert("traceparent", context);
        }
        if let Some(auth) = &self.auth {
            let (name, mut value) = auth.header().map_err(|reason| SendError { reason })?;
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        let answer = self.client.request(request).await.map_err(|error| broken(&error))?;
        let (parts, mut body) = answer.into_parts();
        let mut read = BytesMut::new();
        let mut trailers = HeaderMap::new();
        while let Some(frame) = body.frame().await {
            match frame.map_err(|error| broken(&error))?.into_data() {
                Ok(data) => {
                    let room = answer_bytes_max - read.len();
                    read.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        break;
                    }
                }
                Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body: read.freeze(), trailers })
    }
}

/// What broke, down to the system's word for it, which hyper's own words leave out.
fn broken(error: &(dyn Error + 'static)) -> SendError {
    if let Some(reason) = explain(error) {
        return SendError { reason };
    }
    let mut reason = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let words = source.to_string();
        if !reason.ends_with(&words) {
            reason = format!("{reason}: {words}");
        }
        next = source.source();
    }
    SendError { reason: explain_words(&reason).unwrap_or(reason) }
}
