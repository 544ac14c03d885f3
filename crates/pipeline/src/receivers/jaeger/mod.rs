//! Jaeger: what its clients, agents and collectors send. gRPC (`jaeger.api_v2.CollectorService`,
//! usually port 14250), Thrift over HTTP (`POST /api/traces`, 14268), Thrift over UDP, compact
//! (6831) and binary (6832), as an agent takes it.
//!
//! Differences to the Collector:
//!
//! - What the pipeline refuses is answered over HTTP with 429 or 503 and `Retry-After` where it may
//!   be taken later; the Collector has 500 for all of it. A body over the limit is 413. Over gRPC
//!   the statuses are those of OTLP/gRPC, with `RetryInfo`.
//! - A span that is invalid is left out, counted and told in the log, as the protocols have no way
//!   to say so. When all of a request are, it is answered with 400 or `INVALID_ARGUMENT`.
//! - Sampling strategies are not served here.

mod udp;

use std::io;
use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use tokio_util::sync::CancellationToken;

use super::foreign::Foreign;
use super::front::media_type;
use super::otlp::grpc::GrpcService;
use super::otlp::intake::{Encoding, Intake};
use super::otlp::{GrpcReceiver, GrpcSettings, HttpSettings};
use super::plain_http::{PlainHttp, Route, Router};
use super::{Address, ByteBudget, Drained, Listener, ReceiverCounters};
use crate::Consumer;

pub use formats::thrift::Protocol;
pub use udp::{UdpReceiver, UdpSettings};

static COLLECTOR_SERVICE: GrpcService = GrpcService {
    name: "jaeger.api_v2.CollectorService",
    method: "/jaeger.api_v2.CollectorService/PostSpans",
    encoding: Encoding::Foreign(Foreign::JaegerPostSpans),
    // A `PostSpansResponse` has no fields.
    response: |_| Vec::new(),
    port: "this port takes Jaeger's spans over gRPC; Thrift over HTTP has one of its own, usually \
           14268",
};

/// Jaeger over gRPC: serves as [`GrpcReceiver`] does.
pub fn grpc_receiver(
    listener: impl Into<Listener>,
    settings: GrpcSettings,
    budget: ByteBudget,
    consumer: Arc<dyn Consumer>,
    counters: Arc<ReceiverCounters>,
) -> GrpcReceiver {
    GrpcReceiver::serving(&COLLECTOR_SERVICE, listener, settings, budget, consumer, counters)
}

/// Jaeger's Thrift over HTTP.
pub struct ThriftHttpReceiver {
    server: PlainHttp<Traces>,
}

impl ThriftHttpReceiver {
    /// A receiver on a listener that is bound already. Nothing is accepted before [`Self::run`].
    /// [`HttpSettings::traces_path`] is not looked at. Counts as [`ReceiverCounters::http`].
    pub fn new(
        listener: impl Into<Listener>,
        settings: HttpSettings,
        budget: ByteBudget,
        consumer: Arc<dyn Consumer>,
        counters: &ReceiverCounters,
    ) -> Self {
        let counters = Arc::clone(&counters.http);
        let router = Traces { intake: Intake::new(&settings.server, budget, consumer, counters) };
        Self { server: PlainHttp { listener: listener.into(), settings, router } }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.server.local_addr()
    }

    /// Serves until `shutdown` is cancelled; then stops accepting, lets requests in flight finish
    /// for up to [`ServerSettings::drain_timeout`](super::ServerSettings), and returns.
    pub async fn run(self, shutdown: CancellationToken) -> Drained {
        self.server.run(shutdown).await
    }
}

const PATH: &str = "/api/traces";

/// `POST /api/traces`: one batch in Thrift's binary protocol.
struct Traces {
    intake: Arc<Intake>,
}

impl Router for Traces {
    fn route(&self, request: &Parts) -> Result<Route, (StatusCode, String)> {
        let path = request.uri.path();
        if path != PATH {
            let message = format!("there is nothing at {path}; Jaeger's batches go to {PATH}");
            return Err((StatusCode::NOT_FOUND, message));
        }
        let media = media_type(&request.headers).unwrap_or_default();
        let is = |name: &&str| media.eq_ignore_ascii_case(name);
        let known = ["application/x-thrift", "application/vnd.apache.thrift.binary"];
        if request.method == http::Method::POST && !known.iter().any(is) {
            let message = format!("the content type must be one of {}", known.join(", "));
            // 415 would be right; this is what Jaeger's collector answers, and its clients know.
            return Err((StatusCode::BAD_REQUEST, message));
        }
        let encoding = Encoding::Foreign(Foreign::JaegerBatch);
        Ok(Route { intake: Arc::clone(&self.intake), encoding })
    }

    fn intake(&self) -> &Intake {
        &self.intake
    }
}
