//! Prometheus' query API over metrics of traces, below `/prometheus`: Prometheus' own paths begin
//! with `/api/v1` and so do those of this server's API.
//!
//! Answers and errors are those of Prometheus 3. `docs/prometheus.md` says which metrics there
//! are and what of PromQL is served.

mod answer;
mod exemplars;
mod fault;
mod labels;
mod parameters;
mod query;
mod turn;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{Method, StatusCode, Uri};
use serde_json::{Value, json};

use crate::Api;
use answer::success;
use fault::Fault;

type Shared = State<Arc<Api>>;

/// The version of Prometheus whose API this is: clients choose by it what to ask for.
const VERSION: &str = "3.8.0";

/// The API, for a port that has other things beside it.
pub(crate) fn router(api: &Arc<Api>) -> Router {
    let at = |path: &str| format!("/prometheus/api/v1/{path}");
    let still = |data: fn() -> Value| get(move || async move { success(&data(), Vec::new()) });
    Router::new()
        .route(&at("query"), get(query::instant).post(query::instant))
        .route(&at("query_range"), get(query::range).post(query::range))
        .route(&at("query_exemplars"), get(exemplars::query).post(exemplars::query))
        .route(&at("format_query"), get(query::format).post(query::format))
        .route(&at("series"), get(labels::series).post(labels::series))
        .route(&at("labels"), get(labels::names).post(labels::names))
        .route(&at("label/{name}/values"), get(labels::values))
        .route(&at("metadata"), get(labels::metadata))
        .route(&at("status/buildinfo"), still(build_info))
        .route(&at("rules"), still(|| json!({ "groups": [] })))
        .route(&at("alerts"), still(|| json!({ "alerts": [] })))
        .route("/prometheus/-/healthy", get(|| async { "Spanfall is healthy.\n" }))
        .route("/prometheus/-/ready", get(ready))
        .route("/prometheus", get(about))
        .route("/prometheus/", get(about))
        .route("/prometheus/{*path}", any(no_such_path))
        .method_not_allowed_fallback(other_method)
        .layer(axum::middleware::map_response(|answer: Response| {
            crate::waiting::bound(answer, || {
                Fault::unavailable(crate::waiting::BUSY).into_response()
            })
        }))
        .with_state(api.clone())
}

async fn about() -> &'static str {
    "Prometheus' query API over metrics of traces. The URL of this page is that of the data \
     source.\n"
}

async fn ready(State(api): Shared) -> Response {
    let problems = api.store.health().problems;
    match problems.is_empty() {
        true => "Spanfall is ready.\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, problems.join("; ")).into_response(),
    }
}

async fn no_such_path(uri: Uri) -> Fault {
    Fault::not_found(format!("{} is no path of Prometheus' API that is served", uri.path()))
}

async fn other_method(method: Method, uri: Uri) -> Fault {
    Fault::other_method(format!("{} does not take {method}", uri.path()))
}

fn build_info() -> Value {
    json!({
        "version": VERSION,
        "revision": concat!("spanfall-", env!("CARGO_PKG_VERSION")),
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    })
}
