//! Why a request has no answer, before it takes the shape of one of the APIs.

use http::StatusCode;
use store::{QueryError, ReadError};

use crate::extract::Unreadable;

/// What went wrong, in words for who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// There is no room for the answer.
    pub(super) fn busy() -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: crate::waiting::BUSY.to_owned() }
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: message.into() }
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into() }
    }
}

impl From<Unreadable> for Problem {
    fn from(part: Unreadable) -> Self {
        Self { status: part.status, message: part.problem }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let status = match error {
            QueryError::Refused(_) => StatusCode::BAD_REQUEST,
            QueryError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            QueryError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { status, message: error.to_string() }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        QueryError::from(error).into()
    }
}

impl From<Problem> for tonic::Status {
    fn from(problem: Problem) -> Self {
        match problem.status {
            StatusCode::BAD_REQUEST => Self::invalid_argument(problem.message),
            StatusCode::NOT_FOUND => Self::not_found(problem.message),
            StatusCode::SERVICE_UNAVAILABLE => Self::unavailable(problem.message),
            _ => Self::internal(problem.message),
        }
    }
}
