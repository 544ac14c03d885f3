//! Jaeger's query APIs: the legacy JSON API, api_v3 over HTTP, and api_v2 and api_v3 over gRPC.
//!
//! All of them ask by way of [`ask::Ask`] and load traces by [`traces::load`]; what differs is
//! parameters, answers and the shape of errors. `docs/compatibility.md` lists every endpoint.

mod ask;
mod candidates;
mod dependencies;
mod filter;
pub(crate) mod grpc;
mod legacy;
mod matching;
mod metrics;
mod params;
mod pretty;
mod problem;
mod spans;
#[cfg(test)]
mod tests;
mod time;
mod traces;
mod v3;
mod v3_body;
mod v3_search;
mod v3_url;

use std::sync::Arc;

use axum::Router;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use problem::Problem;

use crate::Api;
use crate::waiting;

/// Jaeger's query services over gRPC, guarded as the HTTP API is.
pub async fn grpc_router(api: Arc<Api>) -> Router {
    grpc::router(api).await
}

/// The service that Jaeger makes of none.
pub(crate) fn shown_service(name: String) -> String {
    if name.is_empty() { formats::jaeger::MISSING_SERVICE.to_owned() } else { name }
}

/// The service that the store knows by that name.
pub(crate) fn stored_service(name: &str) -> String {
    if name == formats::jaeger::MISSING_SERVICE { String::new() } else { name.to_owned() }
}

/// The paths under `/api` that are Jaeger's.
pub(crate) fn router(api: &Arc<Api>) -> Router {
    let json = legacy::router(api.clone()).merge(metrics::router(api.clone()));
    Router::new()
        .merge(json.layer(map_response(|answer: Response| {
            waiting::bound(answer, || legacy::Refusal::from(Problem::busy()).into_response())
        })))
        .nest(
            "/v3",
            v3::router(api.clone()).layer(map_response(|answer: Response| {
                waiting::bound(answer, || v3::Refusal::from(Problem::busy()).into_response())
            })),
        )
}
