//! Why a query has no answer.

use std::fmt;

use store::QueryError;

/// Who or what is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromqlFault {
    /// The query, or a parameter of it.
    Query,
    /// The query meets series that it cannot be computed for, or too many of them.
    Execution,
    /// It was given up, because it took too long or its client went.
    Stopped,
    /// The store.
    Store,
    /// The store is being closed.
    Closed,
}

/// A query that has no answer, in words for its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromqlError {
    /// Who or what is at fault.
    pub fault: PromqlFault,
    /// What is wrong.
    pub message: String,
    /// Where in the text: line and column, in characters and from 1.
    pub place: Option<(usize, usize)>,
}

impl PromqlError {
    pub(super) fn query(message: impl Into<String>) -> Self {
        Self { fault: PromqlFault::Query, message: message.into(), place: None }
    }

    pub(super) fn execution(message: impl Into<String>) -> Self {
        Self { fault: PromqlFault::Execution, message: message.into(), place: None }
    }

    pub(super) fn stopped() -> Self {
        let message = "the query was given up".to_owned();
        Self { fault: PromqlFault::Stopped, message, place: None }
    }

    /// The same at a byte of a text.
    pub(super) fn at(mut self, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        self.place = Some((line, last.chars().count() + 1));
        self
    }
}

impl From<QueryError> for PromqlError {
    fn from(error: QueryError) -> Self {
        let fault = match error {
            QueryError::Refused(_) => PromqlFault::Execution,
            QueryError::Failed(_) => PromqlFault::Store,
            QueryError::Closed => PromqlFault::Closed,
        };
        Self { fault, message: error.to_string(), place: None }
    }
}

/// As Prometheus writes it: `1:5: parse error: …`.
impl fmt::Display for PromqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{line}:{column}: parse error: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for PromqlError {}
