//! Zipkin: lists of spans over HTTP, v1 and v2.
//!
//! As in the Collector, a path that contains `api/v1/spans` is v1, and every other is v2; the
//! content type tells Thrift (`application/x-thrift`) and protobuf (`application/x-protobuf`) from
//! JSON, which is what anything else is read as. 202 is success, as Zipkin's own collector answers.
//!
//! Differences to the Collector:
//!
//! - What the pipeline refuses is answered with 429 or 503 and `Retry-After` where it may be taken
//!   later, and with 500 only where something is broken; the Collector has 500 for all of it.
//! - A body over the limit is 413, an unknown `Content-Encoding` 415, another method than POST 405.
//! - A span that is invalid is left out, counted and told in the log, and the others are taken; the
//!   Collector refuses all. When all are invalid the answer is 400.
//! - The reason is in the answer's body, in words.
//! - Bodies come in zstd, too.

use std::io;
use std::sync::Arc;

use formats::zipkin::TagTypes;
use http::StatusCode;
use http::request::Parts;
use tokio_util::sync::CancellationToken;

use super::foreign::{Foreign, ZipkinEncoding};
use super::front::media_type;
use super::otlp::HttpSettings;
use super::otlp::intake::{Encoding, Intake};
use super::plain_http::{PlainHttp, Route, Router};
use super::{Address, ByteBudget, Drained, Listener, TransportCounters};
use crate::Consumer;

/// Settings of the Zipkin receiver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ZipkinSettings {
    /// The server's. [`HttpSettings::traces_path`] is not looked at.
    pub http: HttpSettings,
    /// Makes numbers and booleans of tags that spell one. Default false.
    pub parse_string_tags: bool,
}

/// What a Zipkin receiver counts, apart by what was sent; connections are all with `v2_json`.
#[derive(Debug, Default)]
pub struct ZipkinCounters {
    /// `transport="http_v1_json"`.
    pub v1_json: Arc<TransportCounters>,
    /// `transport="http_v1_thrift"`.
    pub v1_thrift: Arc<TransportCounters>,
    /// `transport="http_v2_json"`.
    pub v2_json: Arc<TransportCounters>,
    /// `transport="http_v2_proto"`.
    pub v2_proto: Arc<TransportCounters>,
}

/// Zipkin's spans over HTTP. The usual port is 9411.
pub struct ZipkinReceiver {
    server: PlainHttp<Routes>,
}

impl ZipkinReceiver {
    /// A receiver on a listener that is bound already. Nothing is accepted before [`Self::run`].
    pub fn new(
        listener: impl Into<Listener>,
        settings: ZipkinSettings,
        budget: ByteBudget,
        consumer: Arc<dyn Consumer>,
        counters: &ZipkinCounters,
    ) -> Self {
        let ZipkinSettings { http: settings, parse_string_tags } = settings;
        let v2_json =
            Intake::new(&settings.server, budget, consumer, Arc::clone(&counters.v2_json));
        let router = Routes {
            types: if parse_string_tags { TagTypes::Parsed } else { TagTypes::Text },
            v1_json: v2_json.counting(Arc::clone(&counters.v1_json)),
            v1_thrift: v2_json.counting(Arc::clone(&counters.v1_thrift)),
            v2_proto: v2_json.counting(Arc::clone(&counters.v2_proto)),
            v2_json,
        };
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

struct Routes {
    types: TagTypes,
    v1_json: Arc<Intake>,
    v1_thrift: Arc<Intake>,
    v2_json: Arc<Intake>,
    v2_proto: Arc<Intake>,
}

impl Router for Routes {
    fn route(&self, request: &Parts) -> Result<Route, (StatusCode, String)> {
        let media = media_type(&request.headers).unwrap_or_default();
        let is = |name: &str| media.eq_ignore_ascii_case(name);
        let (intake, encoding) = match request.uri.path().contains("api/v1/spans") {
            true if is("application/x-thrift") => (&self.v1_thrift, ZipkinEncoding::V1Thrift),
            true => (&self.v1_json, ZipkinEncoding::V1Json),
            false if is("application/x-protobuf") => (&self.v2_proto, ZipkinEncoding::V2Proto),
            false => (&self.v2_json, ZipkinEncoding::V2Json),
        };
        let encoding = Encoding::Foreign(Foreign::Zipkin(encoding, self.types));
        Ok(Route { intake: Arc::clone(intake), encoding })
    }

    fn intake(&self) -> &Intake {
        &self.v2_json
    }
}
