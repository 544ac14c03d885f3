//! Errors as the API answers them.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use query::SearchError;
use store::{AppendError, ReadError};

use crate::extract::Unreadable;
use crate::tempo::fault::{Fault, FaultBody};
use crate::waiting::again;

/// A status and the body `Error` of the API's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: FaultBody,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Fault::new(status, error).into()
    }

    /// 400 that names the parameter at fault.
    pub(crate) fn parameter(parameter: impl Into<String>, error: impl Into<String>) -> Self {
        Fault::parameter(parameter, error).into()
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        let (status, body) = fault.into_parts();
        Self { status, body }
    }
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        Self::parameter(error.parameter, error.problem)
    }
}

impl From<Unreadable> for ApiError {
    fn from(part: Unreadable) -> Self {
        Self::new(part.status, part.problem)
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Fault::from(error).into()
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        again((self.status, Json(self.body)).into_response())
    }
}
