//! The port where metrics are read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Telemetry;
use super::text::{Format, Style};
use crate::Client;
use crate::receivers::{ConnectionCounters, Drained, Handler, ServerSettings, serve};

/// Those who read metrics are few.
const CONNECTIONS_MAX: usize = 32;

/// How long a connection may stay idle or be about its head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams of one connection.
const STREAMS_MAX: u32 = 4;

/// Answers `GET /metrics` until it is told to stop.
pub(super) struct MetricsServer {
    listener: TcpListener,
    answers: Arc<Answers>,
}

impl MetricsServer {
    /// Nothing is accepted before [`Self::run`].
    pub(super) fn new(listener: TcpListener, telemetry: Telemetry, style: Style) -> Self {
        let (connections, tasks) = (ConnectionCounters::default(), TaskTracker::new());
        Self { listener, answers: Arc::new(Answers { telemetry, style, connections, tasks }) }
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(super) async fn run(self, stop: CancellationToken) -> Drained {
        let settings = ServerSettings {
            connections_max: CONNECTIONS_MAX,
            head_timeout: HEAD_TIMEOUT,
            concurrent_streams_max: STREAMS_MAX,
            answers_half_closed: false,
            drain_timeout: Duration::from_secs(1),
            ..ServerSettings::default()
        };
        serve(self.listener, &settings, self.answers, stop).await
    }
}

struct Answers {
    telemetry: Telemetry,
    style: Style,
    connections: ConnectionCounters,
    tasks: TaskTracker,
}

impl Handler for Answers {
    type Body = Full<Bytes>;

    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        _: Arc<Client>,
    ) -> Response<Self::Body> {
        let plain = "text/plain; charset=utf-8";
        let (status, media, text) = match (request.uri().path(), request.method()) {
            ("/metrics", &Method::GET | &Method::HEAD) => {
                let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
                let format = Format::accepted(accept.unwrap_or_default());
                let text = self.style.write(format, &self.telemetry.collect());
                (StatusCode::OK, format.content_type(), text)
            }
            ("/metrics", _) => (StatusCode::METHOD_NOT_ALLOWED, plain, String::new()),
            _ => (StatusCode::NOT_FOUND, plain, "metrics are at /metrics\n".to_owned()),
        };
        let mut answer = Response::new(Full::from(text));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        answer
    }

    fn connections(&self) -> &ConnectionCounters {
        &self.connections
    }

    fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }
}
