//! Tempo's query API, for a port of its own: HTTP, and the streaming service over gRPC beside it.
//!
//! Paths, parameters and answers are those of Tempo 3. Clients decode answers strictly, so that
//! they have the fields of [`proto`] and no other; what else there is to say stands in headers.
//! Errors are plain text, as clients show them, and JSON where that is asked for by name.

pub(crate) mod fault;
mod grpc;
pub(crate) mod json;
mod logfmt;
pub(crate) mod metrics;
pub(crate) mod parameters;
pub(crate) mod search;
mod stream;
mod tags;
#[cfg(test)]
mod tests;
mod traces;
pub(crate) mod values;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tonic::Status;

use crate::{Api, access};
use fault::Fault;

/// The messages of Tempo's API, in protobuf and in JSON.
#[allow(missing_docs, clippy::all)]
pub(crate) mod proto {
    pub(crate) use common::v1::{AnyValue, ArrayValue, KeyValue, any_value};

    tonic::include_proto!("tempopb");

    pub(crate) mod common {
        pub(crate) mod v1 {
            tonic::include_proto!("tempopb.common.v1");
        }
    }
}

type Shared = State<Arc<Api>>;

/// The header that says that a damaged block was left out.
const PARTIAL: &str = "spanfall-partial";

/// The version of Tempo whose API this is: clients choose by it what to ask for.
const VERSION: &str = "3.1.0";

/// Tempo's query API.
pub fn router(api: Api) -> Router {
    let api = Arc::new(api);
    grpc::router(&api)
        .merge(paths().with_state(api.clone()))
        .merge(crate::prometheus::router(&api))
        .fallback(no_such_path)
        .method_not_allowed_fallback(other_method)
        .layer(axum::middleware::from_fn_with_state(api, guard))
        .layer(axum::middleware::map_response(|answer: Response| {
            crate::waiting::bound(answer, || {
                Fault::new(StatusCode::SERVICE_UNAVAILABLE, crate::waiting::BUSY).response(false)
            })
        }))
        .layer(axum::middleware::map_response(crate::ui::harden))
}

fn paths() -> Router<Arc<Api>> {
    Router::new()
        .route("/ready", get(ready))
        .route("/status/version", get(|| async { format!("tempo, version {VERSION}\n") }))
        .route("/status/services", get(services))
        .route("/api/echo", get(|| async { "echo" }))
        .route("/api/status/buildinfo", get(|| async { Json(build_info()) }))
        .route("/api/traces/{trace_id}", get(traces::v1))
        .route("/api/v2/traces/{trace_id}", get(traces::v2))
        .route("/api/search", get(search::search))
        .route("/api/search/tags", get(tags::names_v1))
        .route("/api/v2/search/tags", get(tags::names_v2))
        .route("/api/search/tag/{tag}/values", get(tags::values_v1))
        .route("/api/v2/search/tag/{tag}/values", get(tags::values_v2))
        .route("/api/metrics/query_range", get(metrics::query_range))
        .route("/api/metrics/query", get(metrics::query_instant))
}

/// Refuses who may not ask, and writes faults as the client reads them.
async fn guard(State(api): Shared, request: Request, next: Next) -> Response {
    let json = fault::wants_json(request.headers());
    let grpc = is_grpc(request.headers());
    let holds_data = request.uri().path() != "/ready";
    let mut answer = match access::refusal(&api.access, &request, holds_data) {
        Some((status, text)) => Fault::new(status, text).into_response(),
        None => next.run(request).await,
    };
    match answer.extensions_mut().remove::<Fault>() {
        Some(fault) if grpc => fault.status().into_http(),
        Some(fault) => access::ask_for_token(fault.response(json)),
        None => answer,
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/grpc"))
}

async fn no_such_path(uri: Uri, headers: HeaderMap) -> Response {
    let text = format!("{} is no path of Tempo's query API", uri.path());
    match is_grpc(&headers) {
        true => Status::unimplemented(text).into_http(),
        false => Fault::new(StatusCode::NOT_FOUND, text).into_response(),
    }
}

async fn other_method(method: Method, uri: Uri) -> Fault {
    let text = format!("{} takes GET, not {method}", uri.path());
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, text)
}

async fn ready(State(api): Shared) -> Result<&'static str, Fault> {
    let problems = api.store.health().problems;
    match problems.is_empty() {
        true => Ok("ready\n"),
        false => Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, problems.join("; "))),
    }
}

/// What runs, as Tempo tells it of its modules: Kiali asks for it to see whether there is a Tempo.
async fn services(State(api): Shared) -> String {
    match api.store.health().problems.join("; ") {
        none if none.is_empty() => "store: Running\n".to_owned(),
        problems => format!("store: Failed ({problems})\n"),
    }
}

fn build_info() -> Value {
    json!({
        "version": VERSION,
        "revision": concat!("spanfall-", env!("CARGO_PKG_VERSION")),
        "branch": "",
        "buildDate": "",
        "buildUser": "",
        "goVersion": "",
    })
}
