//! Errors as the API answers them.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use query::SearchError;
use serde::Serialize;
use store::{AppendError, ReadError};

/// A status and the body `Error` of the API's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Body {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: Body { error: error.into(), parameter: None } }
    }

    /// 400 that names the parameter at fault.
    pub(crate) fn parameter(parameter: impl Into<String>, error: impl Into<String>) -> Self {
        let body = Body { error: error.into(), parameter: Some(parameter.into()) };
        Self { status: StatusCode::BAD_REQUEST, body }
    }
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        Self::parameter(error.parameter, error.problem)
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
