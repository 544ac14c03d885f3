//! The HTTP API and the web UI, as one [`axum::Router`].
//!
//! Owns paths, parameters, answers and who may ask. `openapi.json` beside this crate's manifest
//! documents every path; a test holds the server to it. Knows nothing of how spans are stored, and
//! nothing of sockets.

mod access;
mod answers;
mod apart;
mod error;
mod extract;
mod jaeger;
mod prometheus;
mod steps;
pub mod tempo;
mod ui;
mod v1;
mod v1_query;
mod v1_stream;
mod waiting;
pub mod zipkin;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use store::Store;

pub use access::Access;
pub use jaeger::grpc_router;

/// Where something listens.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Listener {
    /// `otlp_grpc`, `otlp_http`, `ui`, `jaeger_grpc`, `zipkin`, `tempo`, `health` or `metrics`; of
    /// other components their id, and what the port is for.
    pub name: Cow<'static, str>,
    /// Host and port.
    pub address: String,
}

/// What the API answers from.
#[derive(Clone)]
pub struct Api {
    /// Where the spans are.
    pub store: Arc<dyn Store>,
    /// Who may ask.
    pub access: Access,
    /// What listens where at the moment, for the UI's instructions.
    pub listeners: Arc<dyn Fn() -> Vec<Listener> + Send + Sync>,
    /// When the server started.
    pub started: Instant,
    /// Nanoseconds since the Unix epoch.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// By how much Jaeger's APIs set a span's clock right at the most; with 0 they only say by how
    /// much it is wrong.
    pub clock_skew_max_nano: u64,
}

/// The API under `/api/v1` and the UI everywhere else.
pub fn router(api: Api) -> Router {
    let api = Arc::new(api);
    Router::new()
        .nest(
            "/api/v1",
            v1::router(api.clone())
                .layer(map_response(|answer: Response| waiting::bound(answer, v1::busy))),
        )
        .nest("/api", jaeger::router(&api))
        .merge(prometheus::router(&api))
        .fallback(ui::serve)
        .layer(axum::middleware::from_fn_with_state(api, access::guard))
        .layer(map_response(ui::harden))
}
