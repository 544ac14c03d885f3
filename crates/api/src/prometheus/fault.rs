//! What is wrong with a request, as Prometheus says it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use query::promql::{PromqlError, PromqlFault};
use serde_json::json;

use crate::extract::Unreadable;
use crate::waiting::again;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    status: StatusCode,
    kind: &'static str,
    error: String,
}

impl From<Unreadable> for Fault {
    fn from(part: Unreadable) -> Self {
        Self::new(part.status, "bad_data", part.problem)
    }
}

impl Fault {
    fn new(status: StatusCode, kind: &'static str, error: impl Into<String>) -> Self {
        Self { status, kind, error: error.into() }
    }

    pub(super) fn bad_data(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_data", error)
    }

    /// A parameter that means nothing.
    pub(super) fn parameter(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {problem}"))
    }

    pub(super) fn execution(error: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "execution", error)
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", error)
    }

    pub(super) fn other_method(error: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "bad_data", error)
    }

    pub(super) fn unavailable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error)
    }

    pub(super) fn timeout(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", error)
    }

    pub(super) fn internal(error: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error)
    }

    /// Why a query has no answer; `name` is the parameter that held it.
    pub(super) fn of(name: &str, error: &PromqlError) -> Self {
        match error.fault {
            PromqlFault::Query => Self::parameter(name, error),
            PromqlFault::Execution => Self::execution(error.to_string()),
            PromqlFault::Stopped => Self::timeout(error.to_string()),
            PromqlFault::Store => Self::internal(error.to_string()),
            PromqlFault::Closed => Self::unavailable(error.to_string()),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = json!({ "status": "error", "errorType": self.kind, "error": self.error });
        let answer = (self.status, Json(body)).into_response();
        // What took too long takes as long in a second.
        if self.kind == "timeout" { answer } else { again(answer) }
    }
}
