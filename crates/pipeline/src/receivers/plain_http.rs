//! Spans over HTTP for protocols whose answers are a status and a line of text: Jaeger's Thrift and
//! Zipkin's.
//!
//! 202 is success. What is refused is answered with the same statuses as OTLP/HTTP, with
//! `Retry-After` where coming again may help. There is no partial success: spans that are invalid
//! are left out, counted and told in the log; when that is all of them, the answer is 400.

use std::io;
use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::{Framing, discard};
use super::cors::is_preflight;
use super::front::{Answer, Front, empty};
use super::inflate::Coding;
use super::otlp::HttpSettings;
use super::otlp::fault::Fault;
use super::otlp::http::whole_seconds;
use super::otlp::intake::{Encoding, Intake, Message};
use super::server::{Handler, serve};
use super::{Address, ConnectionCounters, Drained, Listener};
use crate::Client;

/// What a request is taken for.
pub(super) struct Route {
    pub(super) intake: Arc<Intake>,
    pub(super) encoding: Encoding,
}

/// Tells what a request is by its path and content type.
pub(super) trait Router: Send + Sync + 'static {
    /// A status and a reason where it is nothing that is taken.
    fn route(&self, request: &Parts) -> Result<Route, (StatusCode, String)>;

    /// Whose connections and tasks are all routes'.
    fn intake(&self) -> &Intake;
}

/// A server that is bound and serves nothing yet.
pub(super) struct PlainHttp<R> {
    pub(super) listener: Listener,
    pub(super) settings: HttpSettings,
    pub(super) router: R,
}

impl<R: Router> PlainHttp<R> {
    pub(super) fn local_addr(&self) -> io::Result<Address> {
        self.listener.local_addr()
    }

    pub(super) async fn run(self, shutdown: CancellationToken) -> Drained {
        let Self { listener, settings, router } = self;
        let service = Arc::new(Service { front: Front::new(&settings), router });
        serve(listener, &settings.server, service, shutdown).await
    }
}

struct Service<R> {
    front: Front,
    router: R,
}

impl<R: Router> Handler for Service<R> {
    type Body = Full<bytes::Bytes>;

    async fn handle(self: Arc<Self>, request: Request<Incoming>, client: Arc<Client>) -> Answer {
        let (parts, mut body) = request.into_parts();
        let mut answer = match self.admit(&parts) {
            Ok((route, coding)) => match take(&route, coding, &parts, &client, &mut body).await {
                Ok(()) => empty(StatusCode::ACCEPTED),
                Err(fault) => refusal(&route.intake, &fault),
            },
            Err(answer) => *answer,
        };
        if !body.is_end_stream() && answer.status() != StatusCode::REQUEST_TIMEOUT {
            discard(&parts, body, self.router.intake().limits());
        }
        self.front.finish(&parts, &mut answer);
        answer
    }

    fn connections(&self) -> &ConnectionCounters {
        &self.router.intake().counters().connections
    }

    fn tasks(&self) -> &TaskTracker {
        &self.router.intake().tasks
    }
}

impl<R: Router> Service<R> {
    /// What the request line and headers say; an answer where that is enough for one.
    fn admit(&self, request: &Parts) -> Result<(Route, Option<Coding>), Box<Answer>> {
        let refuse = |status, message: &str| Err(Box::new(text(status, message)));
        if is_preflight(request) {
            return match self.front.preflight(request) {
                Some(answer) => Err(Box::new(answer)),
                None => refuse(
                    StatusCode::FORBIDDEN,
                    "this origin is not among the receiver's allowed origins (CORS)",
                ),
            };
        }
        let route = match self.router.route(request) {
            Ok(route) => route,
            Err((status, message)) => return refuse(status, &message),
        };
        if request.method != Method::POST {
            let mut answer = match request.method == Method::OPTIONS {
                true => empty(StatusCode::NO_CONTENT),
                false => text(
                    StatusCode::METHOD_NOT_ALLOWED,
                    &format!("{} is not supported, POST is", request.method),
                ),
            };
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Err(Box::new(answer));
        }
        match self.front.coding(&request.headers) {
            Some(coding) => Ok((route, coding)),
            None => {
                let refuse = |words: String| text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &words);
                Err(Box::new(self.front.refuse_coding(refuse)))
            }
        }
    }
}

async fn take(
    route: &Route,
    coding: Option<Coding>,
    request: &Parts,
    connection: &Arc<Client>,
    body: &mut Incoming,
) -> Result<(), Fault> {
    let client = route.intake.identify(request, connection).await?;
    let (bytes, reservation) = route.intake.collect(body, Framing::Bare).await?;
    let encoding = route.encoding;
    let message = Message { encoding, coding, client, bytes, reservation };
    route.intake.take(message).await.map(|_| ())
}

fn refusal(intake: &Intake, fault: &Fault) -> Answer {
    fault.count(intake.counters());
    let (http, status) = fault.verdict(intake.busy_retry_after);
    let mut answer = text(http, &status.message);
    if let Some(delay) = status.retry_after() {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
    }
    if let (Fault::Unauthenticated(_), Some(challenge)) = (fault, intake.challenge()) {
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    answer
}

/// A status and a line. It may quote what was sent, so that no browser must take it for a page.
fn text(http: StatusCode, message: &str) -> Answer {
    let mut answer = Answer::new(Full::from(format!("{message}\n")));
    *answer.status_mut() = http;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}
