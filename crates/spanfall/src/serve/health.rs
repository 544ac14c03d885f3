//! Whether the server can do its work: every worker alive, the log writable.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::FutureExt;
use serde_json::json;
use store::Store;
use tokio_util::sync::CancellationToken;

use super::Task;

/// Knows of every part that could fail.
pub(super) struct Health {
    store: Arc<dyn Store>,
    /// Parts that ended before they were told to.
    dead: Mutex<BTreeMap<&'static str, String>>,
}

impl Health {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, dead: Mutex::default() }
    }

    /// Runs a part of the server and notes if it ends too early.
    pub(super) async fn watch(
        self: Arc<Self>,
        name: &'static str,
        stop: CancellationToken,
        part: Task,
    ) {
        let ended = AssertUnwindSafe(part).catch_unwind().await;
        if ended.is_err() || !stop.is_cancelled() {
            tracing::error!(part = name, "a part of the server died");
            let problem = format!("the {name} died; restart Spanfall and report this");
            self.dead.lock().unwrap_or_else(PoisonError::into_inner).insert(name, problem);
        }
    }

    fn problems(&self) -> Vec<String> {
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        dead.values().cloned().chain(self.store.health().problems).collect()
    }
}

/// `/` and `/status`.
pub(super) fn router(health: Arc<Health>) -> Router {
    Router::new().route("/", get(answer)).route("/status", get(answer)).with_state(health)
}

async fn answer(State(health): State<Arc<Health>>) -> Response {
    let problems = health.problems();
    let (status, word) = if problems.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    (status, Json(json!({ "status": word, "problems": problems }))).into_response()
}
