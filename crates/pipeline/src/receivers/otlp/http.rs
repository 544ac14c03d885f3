//! OTLP/HTTP: `POST /v1/traces`, protobuf or JSON.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use model::Rejection;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::Fault;
use super::grpc_status;
use super::intake::{Encoding, Intake, Message};
use super::status::{Code, RpcStatus};
use crate::net::Headers;
use crate::receivers::body::{Framing, discard};
use crate::receivers::cors::is_preflight;
use crate::receivers::front::{Answer, Front, empty, media_type};
use crate::receivers::inflate::Coding;
use crate::receivers::server::{Handler, serve};
use crate::receivers::{
    Address, ByteBudget, ConnectionCounters, CorsSettings, Drained, Listener, ReceiverCounters,
    ServerSettings,
};
use crate::{Client, Consumer};

/// Settings of OTLP/HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Limits and timeouts.
    pub server: ServerSettings,
    /// Which web pages may send.
    pub cors: CorsSettings,
    /// The path that takes traces. Default `/v1/traces`.
    pub traces_path: String,
    /// Added to every answer. Default none.
    pub response_headers: Headers,
    /// The codings that bodies may come in, besides none, by their names in `Content-Encoding`.
    /// Default all that there are.
    pub codings: Option<Vec<String>>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            server: ServerSettings::default(),
            cors: CorsSettings::default(),
            traces_path: "/v1/traces".to_owned(),
            response_headers: Headers::default(),
            codings: None,
        }
    }
}

/// OTLP over HTTP/1.1, and over HTTP/2 by prior knowledge. The usual port is 4318.
pub struct HttpReceiver {
    listener: Listener,
    settings: HttpSettings,
    intake: Arc<Intake>,
}

impl HttpReceiver {
    /// A receiver on a listener that is bound already. Nothing is accepted before [`Self::run`].
    pub fn new(
        listener: impl Into<Listener>,
        settings: HttpSettings,
        budget: ByteBudget,
        consumer: Arc<dyn Consumer>,
        counters: Arc<ReceiverCounters>,
    ) -> Self {
        let intake = Intake::new(&settings.server, budget, consumer, Arc::clone(&counters.http));
        Self { listener: listener.into(), settings, intake }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is cancelled; then stops accepting, lets requests in flight finish
    /// for up to [`ServerSettings::drain_timeout`], and returns.
    pub async fn run(self, shutdown: CancellationToken) -> Drained {
        let Self { listener, settings, intake } = self;
        let service = Arc::new(Service {
            intake,
            front: Front::new(&settings),
            traces_path: settings.traces_path,
        });
        serve(listener, &settings.server, service, shutdown).await
    }
}

struct Service {
    intake: Arc<Intake>,
    front: Front,
    traces_path: String,
}

impl Handler for Service {
    type Body = Full<Bytes>;

    async fn handle(self: Arc<Self>, request: Request<Incoming>, client: Arc<Client>) -> Answer {
        let (parts, mut body) = request.into_parts();
        let mut answer = match self.admit(&parts) {
            Ok(shape) => match self.export(shape, &parts, &client, &mut body).await {
                Ok(rejection) => shape.format.success(&rejection),
                Err(fault) => self.fault(shape.format, &fault),
            },
            Err(answer) => *answer,
        };
        if !body.is_end_stream() && answer.status() != StatusCode::REQUEST_TIMEOUT {
            discard(&parts, body, self.intake.limits());
        }
        self.front.finish(&parts, &mut answer);
        answer
    }

    fn connections(&self) -> &ConnectionCounters {
        &self.intake.counters().connections
    }

    fn tasks(&self) -> &TaskTracker {
        &self.intake.tasks
    }
}

/// How a request's body is to be read and answered.
#[derive(Debug, Clone, Copy)]
struct Shape {
    format: Format,
    coding: Option<Coding>,
}

impl Service {
    /// What the request line and headers say; an answer where that is enough for one.
    fn admit(&self, request: &Parts) -> Result<Shape, Box<Answer>> {
        let format = Format::of(&request.headers);
        let refuse = |http, code, message: String| {
            Box::new(format.unwrap_or(Format::Json).status(http, &RpcStatus::new(code, message)))
        };
        let path = request.uri.path();
        if is_grpc(&request.headers) {
            let message = "this port takes OTLP/HTTP; OTLP/gRPC has one of its own, usually 4317";
            let status = RpcStatus::new(Code::Unimplemented, message);
            return Err(Box::new(grpc_status::trailers_only(&status)));
        }
        if path != self.traces_path {
            let message = match path {
                "/v1/metrics" | "/v1/logs" | "/v1development/profiles" => {
                    format!("Spanfall takes traces only, at {}", self.traces_path)
                }
                _ => format!("there is nothing at {path}; traces go to {}", self.traces_path),
            };
            return Err(refuse(StatusCode::NOT_FOUND, Code::Unimplemented, message));
        }
        if is_preflight(request) {
            let message = "this origin is not among the receiver's allowed origins (CORS)";
            return Err(match self.front.preflight(request) {
                Some(answer) => Box::new(answer),
                None => refuse(StatusCode::FORBIDDEN, Code::PermissionDenied, message.to_owned()),
            });
        }
        if request.method != Method::POST {
            let mut answer = if request.method == Method::OPTIONS {
                Box::new(empty(StatusCode::NO_CONTENT))
            } else {
                let message = format!("{} is not supported, POST is", request.method);
                refuse(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, message)
            };
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Err(answer);
        }
        let Some(format) = format else {
            let message = "the content type must be application/x-protobuf or application/json";
            let http = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(refuse(http, Code::InvalidArgument, message.to_owned()));
        };
        match self.front.coding(&request.headers) {
            Some(coding) => Ok(Shape { format, coding }),
            None => {
                let http = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                let refuse = |words| *refuse(http, Code::InvalidArgument, words);
                Err(Box::new(self.front.refuse_coding(refuse)))
            }
        }
    }

    async fn export(
        &self,
        shape: Shape,
        request: &Parts,
        connection: &Arc<Client>,
        body: &mut Incoming,
    ) -> Result<Rejection, Fault> {
        let client = self.intake.identify(request, connection).await?;
        let (bytes, reservation) = self.intake.collect(body, Framing::Bare).await?;
        let encoding = match shape.format {
            Format::XProtobuf | Format::Protobuf => Encoding::Protobuf,
            Format::Json => Encoding::Json,
        };
        let coding = shape.coding;
        self.intake.take(Message { encoding, coding, client, bytes, reservation }).await
    }

    fn fault(&self, format: Format, fault: &Fault) -> Answer {
        fault.count(self.intake.counters());
        let (http, status) = fault.verdict(self.intake.busy_retry_after);
        let mut answer = format.status(http, &status);
        if let Some(delay) = status.retry_after() {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
        }
        if let (Fault::Unauthenticated(_), Some(challenge)) = (fault, self.intake.challenge()) {
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

/// The content type of a request and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    XProtobuf,
    /// The name that IANA registered later, which some senders use.
    Protobuf,
    Json,
}

impl Format {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let media = media_type(headers)?;
        [Self::XProtobuf, Self::Protobuf, Self::Json]
            .into_iter()
            .find(|format| media.eq_ignore_ascii_case(format.name()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::XProtobuf => "application/x-protobuf",
            Self::Protobuf => "application/protobuf",
            Self::Json => "application/json",
        }
    }

    fn success(self, rejection: &Rejection) -> Answer {
        self.answer(
            StatusCode::OK,
            match self {
                Self::XProtobuf | Self::Protobuf => model::export_response(rejection).into(),
                Self::Json => model::json::export_response_json(rejection).into(),
            },
        )
    }

    fn status(self, http: StatusCode, status: &RpcStatus) -> Answer {
        self.answer(
            http,
            match self {
                Self::XProtobuf | Self::Protobuf => status.to_protobuf().into(),
                Self::Json => status.to_json().into(),
            },
        )
    }

    fn answer(self, http: StatusCode, body: Bytes) -> Answer {
        let mut answer = Response::new(Full::new(body));
        *answer.status_mut() = http;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.name()));
        answer
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media| media.starts_with("application/grpc"))
}

/// `Retry-After` knows whole seconds only; 0 would invite the client back at once.
pub(in crate::receivers) fn whole_seconds(delay: Duration) -> u64 {
    (delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).max(1)
}
