//! Jaeger's query services over gRPC, with reflection and health, on a port of their own.

mod v2;
mod v3;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::{Buf, BufMut, Bytes};
use http::StatusCode;
use model::{SpanBatch, TraceId};
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, skip_field};
use prost_types::{Duration, Timestamp};
use tonic::Status;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::metadata::MetadataValue;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;

use super::problem::Problem;
use super::traces::{Loaded, PARTIAL};
use crate::Api;
use crate::access::refusal;
use crate::waiting::Room;

/// The messages and services of `jaeger.api_v2`.
#[allow(missing_docs, clippy::all)]
pub(crate) mod api_v2 {
    tonic::include_proto!("jaeger.api_v2");
}

/// The messages and services of `jaeger.api_v3`.
#[allow(missing_docs, clippy::all)]
pub(crate) mod api_v3 {
    tonic::include_proto!("jaeger.api_v3");
}

/// The messages of structured filters.
#[allow(missing_docs, clippy::all)]
pub(crate) mod expression {
    pub(crate) mod v1 {
        tonic::include_proto!("jaeger.expression.v1");
    }
}

/// What reflection tells.
const SERVICES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/services.bin"));

/// About how many bytes of spans go into one message: clients take 4 MiB by default.
const MESSAGE_BYTES: usize = 1 << 20;

/// The services, guarded as the HTTP API is.
pub async fn router(api: Arc<Api>) -> Router {
    let v2 = v2::Service { api: api.clone() };
    let v2 = api_v2::query_service_server::QueryServiceServer::new(v2)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd);
    let v3 = v3::Service { api: api.clone() };
    let capabilities = api_v3::capabilities_server::CapabilitiesServer::new(v3.clone());
    let v3 = api_v3::query_service_server::QueryServiceServer::new(v3)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd);
    let (reporter, health) = tonic_health::server::health_reporter();
    for name in [name_of(&v2), name_of(&v3), name_of(&capabilities)] {
        reporter.set_service_status(name, ServingStatus::Serving).await;
    }
    let mut routes = Routes::new(v2).add_service(v3).add_service(capabilities).add_service(health);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(SERVICES)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Both speak of the same; older clients know the one, newer ones the other.
    if let (Ok(v1), Ok(v1alpha)) = (reflection().build_v1(), reflection().build_v1alpha()) {
        routes = routes.add_service(v1).add_service(v1alpha);
    }
    routes.into_axum_router().layer(axum::middleware::from_fn_with_state(api, guard))
}

fn name_of<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

/// Refuses who may not ask, in the words of gRPC.
async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match refusal(&api.access, &request, true) {
        Some((StatusCode::UNAUTHORIZED, text)) => Status::unauthenticated(text).into_http(),
        Some((_, text)) => Status::permission_denied(text).into_http(),
        None => next.run(request).await,
    }
}

/// An encoded `opentelemetry.proto.trace.v1.TracesData`: spans are encoded already.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TracesData(pub(crate) Bytes);

impl prost::Message for TracesData {
    fn encode_raw(&self, out: &mut impl BufMut) {
        out.put_slice(&self.0);
    }

    /// No request has one.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        bytes: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, tag, bytes, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// How many spans go into one message of about [`MESSAGE_BYTES`].
fn spans_of_message(spans: &SpanBatch) -> usize {
    let bytes = spans.bytes().len().max(1);
    (spans.len() * MESSAGE_BYTES / bytes).max(1)
}

/// Messages that are made as the client takes them.
type Messages<T> = Box<dyn Iterator<Item = Result<T, Status>> + Send>;

/// A trace as messages that a client takes.
fn messages(spans: SpanBatch) -> Messages<TracesData> {
    if spans.bytes().len() <= MESSAGE_BYTES {
        return Box::new(std::iter::once(Ok(TracesData(spans.bytes().clone()))));
    }
    let size = spans_of_message(&spans);
    Box::new((0..spans.len()).step_by(size).map(move |from| {
        let some: Vec<u32> = (from..spans.len()).take(size).map(|at| at as u32).collect();
        Ok(TracesData(spans.encoded_some(&some)))
    }))
}

/// What is left of a trace that may be gone since it was found.
fn left<T: Send + 'static>(
    loaded: Result<Loaded, Status>,
    messages: impl FnOnce(SpanBatch) -> Messages<T>,
) -> Messages<T> {
    let kept = loaded.and_then(|loaded| match loaded.spans {
        Some(spans) => held(spans.bytes().len(), || messages(spans)),
        None => Ok(Box::new(std::iter::empty()) as _),
    });
    kept.unwrap_or_else(|status| Box::new(std::iter::once(Err(status))))
}

/// Messages made from so many bytes, which wait with the answers of all other APIs.
fn held<T: Send + 'static>(
    bytes: usize,
    messages: impl FnOnce() -> Messages<T>,
) -> Result<Messages<T>, Status> {
    let room = Room::take(bytes).ok_or_else(|| Status::from(Problem::busy()))?;
    Ok(Box::new(room.held_by(messages())))
}

/// A trace that may be gone since it was found.
async fn load(api: Arc<Api>, id: TraceId, raw: bool) -> Result<Loaded, Status> {
    Ok(super::traces::load(&api, id, raw).await?)
}

/// The answer, which says so when a damaged block was left out.
fn marked<T>(answer: T, partial: bool) -> tonic::Response<T> {
    let mut answer = tonic::Response::new(answer);
    if partial {
        answer.metadata_mut().insert(PARTIAL, MetadataValue::from_static("true"));
    }
    answer
}

/// A time; `None` of none and of what other languages write for none, which is before 1970.
fn time(time: Option<Timestamp>) -> Option<u64> {
    time.filter(|time| time.seconds >= 0).map(|time| formats::jaeger::unix_nano(&time))
}

/// A duration; `None` of none and of 0.
fn length(name: &str, length: Option<Duration>) -> Result<Option<u64>, Problem> {
    let Some(length) = length else { return Ok(None) };
    let nanos = i128::from(length.seconds) * 1_000_000_000 + i128::from(length.nanos);
    match u64::try_from(nanos) {
        Ok(0) => Ok(None),
        Ok(nanos) => Ok(Some(nanos)),
        Err(_) => Err(Problem::bad(format!("query.{name} is negative or out of range"))),
    }
}

/// How deep to search, as it was given.
fn depth(depth: i32) -> Result<Option<u64>, Problem> {
    u64::try_from(depth)
        .map(Some)
        .map_err(|_| Problem::bad("query.search_depth must not be negative"))
}

/// A name that is given.
fn given(name: String) -> Option<String> {
    Some(name).filter(|name| !name.is_empty())
}

/// The service whose operations are asked for. The published interface says that it is required;
/// over HTTP it is.
fn service_of(name: &str) -> Result<&str, Problem> {
    let named = Some(name).filter(|name| !name.is_empty());
    named.ok_or_else(|| super::v3_search::malformed("service", "name the service"))
}

/// The kind of operations that are asked for; any when it is empty.
fn span_kind(name: &str) -> Result<Option<i32>, Problem> {
    let named = Some(name).filter(|name| !name.is_empty());
    named.map(super::params::kind).transpose().map_err(Problem::bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn large_traces_are_told_in_parts() {
        let request = loadgen::sample_trace(1_700_000_000_000_000_000, 7);
        let spans = SpanBatch::decode(Bytes::from(request)).unwrap();
        assert_eq!(messages(spans.clone()).count(), 1);
        let mut bytes = Vec::new();
        while bytes.len() <= 2 * MESSAGE_BYTES {
            bytes.extend_from_slice(spans.bytes());
        }
        let many = SpanBatch::decode(Bytes::from(bytes)).unwrap();
        let (mut parts, mut found) = (0, 0);
        for part in messages(many.clone()) {
            let part = part.unwrap();
            parts += 1;
            assert!(part.encoded_len() < 2 * MESSAGE_BYTES);
            found += SpanBatch::decode(Bytes::from(part.encode_to_vec())).unwrap().len();
        }
        assert!(parts > 1);
        assert_eq!(found, many.len());
    }
}
