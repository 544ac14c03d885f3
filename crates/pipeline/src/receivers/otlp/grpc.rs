//! OTLP/gRPC: `TraceService/Export`, and the standard health check.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, request::Parts};
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use model::Rejection;
use model::wire::{Field, Reader, put_varint_field};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::Fault;
use super::grpc_frame::{
    ACCEPTED, GRPC_ACCEPT_ENCODING, GRPC_ENCODING, frame, request_coding, unframe,
};
use super::grpc_status::trailers_only;
use super::intake::{Encoding, Intake, Message};
use super::status::{Code, RpcStatus};
use crate::receivers::body::{Framing, discard};
use crate::receivers::server::{Handler, serve};
use crate::receivers::{
    Address, ByteBudget, ConnectionCounters, Drained, Listener, ReceiverCounters, ServerSettings,
};
use crate::{Client, Consumer};

/// A service whose one method takes spans.
pub(crate) struct GrpcService {
    pub(crate) name: &'static str,
    /// The method's path.
    pub(crate) method: &'static str,
    pub(crate) encoding: Encoding,
    /// What is answered, and how that says what was left out.
    pub(crate) response: fn(&Rejection) -> Vec<u8>,
    /// What the port takes, for those who send something else.
    pub(crate) port: &'static str,
}

static TRACE_SERVICE: GrpcService = GrpcService {
    name: "opentelemetry.proto.collector.trace.v1.TraceService",
    method: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    encoding: Encoding::Protobuf,
    response: model::export_response,
    port: "this port takes OTLP/gRPC; OTLP/HTTP has one of its own, usually 4318",
};

const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// `HealthCheckResponse.ServingStatus`.
const HEALTH_SERVING: u64 = 1;

/// Settings of OTLP/gRPC.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrpcSettings {
    /// Limits and timeouts.
    pub server: ServerSettings,
}

/// OTLP over gRPC, on HTTP/2 by prior knowledge. The usual port is 4317.
pub struct GrpcReceiver {
    listener: Listener,
    settings: GrpcSettings,
    intake: Arc<Intake>,
    service: &'static GrpcService,
}

impl GrpcReceiver {
    /// A receiver on a listener that is bound already. Nothing is accepted before [`Self::run`].
    pub fn new(
        listener: impl Into<Listener>,
        settings: GrpcSettings,
        budget: ByteBudget,
        consumer: Arc<dyn Consumer>,
        counters: Arc<ReceiverCounters>,
    ) -> Self {
        Self::serving(&TRACE_SERVICE, listener, settings, budget, consumer, counters)
    }

    /// The same for another service.
    pub(crate) fn serving(
        service: &'static GrpcService,
        listener: impl Into<Listener>,
        settings: GrpcSettings,
        budget: ByteBudget,
        consumer: Arc<dyn Consumer>,
        counters: Arc<ReceiverCounters>,
    ) -> Self {
        let counters = Arc::clone(&counters.grpc);
        let intake = Intake::new(&settings.server, budget, consumer, counters);
        Self { listener: listener.into(), settings, intake, service }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is cancelled; then stops accepting, lets requests in flight finish
    /// for up to [`ServerSettings::drain_timeout`], and returns.
    pub async fn run(self, shutdown: CancellationToken) -> Drained {
        let Self { listener, settings, intake, service } = self;
        let service = Arc::new(Service { intake, service });
        serve(listener, &settings.server, service, shutdown).await
    }
}

struct Service {
    intake: Arc<Intake>,
    service: &'static GrpcService,
}

/// A message with trailers, or nothing: an error's stream ends with its headers.
type AnswerBody =
    Either<WithTrailers<Full<Bytes>, Ready<Option<Result<HeaderMap, Infallible>>>>, Full<Bytes>>;
type Answer = Response<AnswerBody>;

impl Handler for Service {
    type Body = AnswerBody;

    async fn handle(self: Arc<Self>, request: Request<Incoming>, client: Arc<Client>) -> Answer {
        let (parts, mut body) = request.into_parts();
        if let Some(answer) = not_grpc(&parts, self.service.port) {
            discard(&parts, body, self.intake.limits());
            return answer.map(Either::Right);
        }
        let result = match parts.uri.path() {
            path if path == self.service.method => self.export(&parts, &client, &mut body).await,
            HEALTH_CHECK => self.health(&mut body).await,
            path => Err(unknown(path)),
        };
        let mut answer = match result {
            Ok(message) => success(&message, &parts.headers),
            Err(status) => trailers_only(&status).map(Either::Right),
        };
        answer.headers_mut().insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
        answer
    }

    fn connections(&self) -> &ConnectionCounters {
        &self.intake.counters().connections
    }

    fn tasks(&self) -> &TaskTracker {
        &self.intake.tasks
    }
}

impl Service {
    async fn export(
        &self,
        request: &Parts,
        connection: &Arc<Client>,
        body: &mut Incoming,
    ) -> Result<Vec<u8>, RpcStatus> {
        let client = self.intake.identify(request, connection).await;
        let client = client.map_err(|fault| self.fault(&fault))?;
        let coding = request_coding(&request.headers)?;
        let collected = self.intake.collect(body, Framing::Grpc).await;
        let (bytes, reservation) = collected.map_err(|fault| self.fault(&fault))?;
        let (bytes, coding) = unframe(bytes, coding)?;
        let encoding = self.service.encoding;
        let message = Message { encoding, coding, client, bytes, reservation };
        let rejection = self.intake.take(message).await.map_err(|fault| self.fault(&fault))?;
        Ok((self.service.response)(&rejection))
    }

    fn fault(&self, fault: &Fault) -> RpcStatus {
        fault.count(self.intake.counters());
        fault.verdict(self.intake.busy_retry_after).1
    }

    /// `grpc.health.v1.Health/Check` (grpc-proto, `health.proto`). There is no `NOT_SERVING`: a
    /// receiver that drains takes no new call.
    async fn health(&self, body: &mut Incoming) -> Result<Vec<u8>, RpcStatus> {
        let collected = self.intake.collect(body, Framing::Grpc).await;
        let (bytes, _reservation) = collected.map_err(|fault| self.fault(&fault))?;
        let (request, _) = unframe(bytes, None)?;
        let mut reader = Reader::new(&request);
        let mut service = &b""[..];
        while let Some((number, field)) = reader
            .next_field()
            .map_err(|error| RpcStatus::new(Code::InvalidArgument, error.to_string()))?
        {
            if let (1, Field::Bytes(name)) = (number, field) {
                service = name;
            }
        }
        if !service.is_empty() && service != self.service.name.as_bytes() {
            return Err(RpcStatus::new(Code::NotFound, "there is no such service"));
        }
        let mut out = Vec::new();
        put_varint_field(&mut out, 1, HEALTH_SERVING);
        Ok(out)
    }
}

fn success(message: &[u8], request: &HeaderMap) -> Answer {
    let (framed, coding) = frame(message, request);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(framed).with_trailers(ready(Some(Ok(trailers))));
    let mut answer = Response::new(Either::Left(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if let Some(coding) = coding {
        answer.headers_mut().insert(GRPC_ENCODING, HeaderValue::from_static(coding));
    }
    answer
}

fn unknown(path: &str) -> RpcStatus {
    let message = if path.starts_with("/opentelemetry.proto.collector.")
        && !path.starts_with("/opentelemetry.proto.collector.trace.")
    {
        "Spanfall takes traces only".to_owned()
    } else {
        format!("there is no method {path}")
    };
    RpcStatus::new(Code::Unimplemented, message)
}

/// The plain HTTP answer to what is not gRPC, most often OTLP/HTTP on the wrong port.
fn not_grpc(request: &Parts, port: &str) -> Option<Response<Full<Bytes>>> {
    let media = request.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let media = media.split(|&byte| byte == b';').next().unwrap_or(media).trim_ascii();
    let is_grpc = media == b"application/grpc" || media == b"application/grpc+proto";
    let (http, message) = if !is_grpc {
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, port)
    } else if request.version != Version::HTTP_2 {
        (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2")
    } else if request.method != http::Method::POST {
        (StatusCode::METHOD_NOT_ALLOWED, "gRPC needs POST")
    } else {
        return None;
    };
    let status = RpcStatus::new(Code::InvalidArgument, message);
    let mut answer = Response::new(Full::from(status.to_json()));
    *answer.status_mut() = http;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Some(answer)
}
