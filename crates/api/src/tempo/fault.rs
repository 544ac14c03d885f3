//! What is wrong with a request, as each transport says it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use query::SearchError;
use serde::Serialize;
use store::{QueryError, ReadError};
use tonic::Status;

use crate::extract::Unreadable;
use crate::waiting::again;

/// Why a request has no answer.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    status: StatusCode,
    body: FaultBody,
}

/// The body of a fault in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FaultBody {
    /// What is wrong.
    pub(crate) error: String,
    /// The parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameter: Option<String>,
    /// Where in a query.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
}

/// A place in a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
    /// What could have stood there.
    pub(crate) expected: Vec<String>,
    /// The guilty line, and a mark under the spot.
    pub(crate) caret: String,
}

impl Place {
    /// Where an error is in its query.
    pub(crate) fn of(error: &traceql::Error, query: &str) -> Self {
        Self {
            line: error.line,
            column: error.column,
            expected: error.expected.clone(),
            caret: error.caret(query),
        }
    }
}

impl Fault {
    /// Any fault.
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: FaultBody { error: error.into(), parameter: None, place: None } }
    }

    /// A parameter that means nothing.
    pub(crate) fn parameter(name: impl Into<String>, problem: impl Into<String>) -> Self {
        let name = name.into();
        let mut fault = Self::new(StatusCode::BAD_REQUEST, problem);
        fault.body.parameter = Some(name);
        fault
    }

    /// A text that is no query.
    pub(crate) fn query(name: &str, query: &str, error: &traceql::Error) -> Self {
        let mut fault = Self::parameter(name, error.to_string());
        fault.body.place = Some(Place::of(error, query));
        fault
    }

    /// The status of HTTP and the body in JSON.
    pub(crate) fn into_parts(self) -> (StatusCode, FaultBody) {
        (self.status, self.body)
    }

    /// The fault in one text. A query's starts with what is wrong, as clients look for it.
    fn text(&self) -> String {
        match (&self.body.parameter, &self.body.place) {
            (Some(name), None) => format!("invalid {name}: {}", self.body.error),
            _ => self.body.error.clone(),
        }
    }

    /// The fault in gRPC's words.
    pub(crate) fn status(&self) -> Status {
        let text = match &self.body.place {
            Some(place) => format!("{}\n{}", self.text(), place.caret),
            None => self.text(),
        };
        match self.status {
            StatusCode::BAD_REQUEST => Status::invalid_argument(text),
            StatusCode::NOT_FOUND => Status::not_found(text),
            StatusCode::FORBIDDEN => Status::permission_denied(text),
            StatusCode::UNAUTHORIZED => Status::unauthenticated(text),
            StatusCode::SERVICE_UNAVAILABLE => Status::unavailable(text),
            _ => Status::internal(text),
        }
    }

    /// The fault as JSON if that is asked for by name, otherwise as plain text.
    pub(crate) fn response(self, json: bool) -> Response {
        again(match json {
            true => (self.status, Json(self.body)).into_response(),
            false => (self.status, self.text()).into_response(),
        })
    }
}

/// Whether a client asks for JSON by name.
pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accept.into_iter().any(|accept| accept.contains("application/json"))
}

/// In an answer's extensions until the guard, which knows what the client asks for, writes it.
impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<SearchError> for Fault {
    fn from(error: SearchError) -> Self {
        Self::parameter(error.parameter, error.problem)
    }
}

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        let status = match error {
            QueryError::Refused(_) => StatusCode::BAD_REQUEST,
            QueryError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            QueryError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Unreadable> for Fault {
    fn from(part: Unreadable) -> Self {
        Self::new(part.status, part.problem)
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        QueryError::from(error).into()
    }
}
