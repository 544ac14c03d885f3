//! Everything that can stand between a request and success, and what each protocol says of it.

use std::time::Duration;

use http::StatusCode;

use super::status::{Code, Detail, RpcStatus};
use crate::Refusal;
use crate::receivers::TransportCounters;
use crate::receivers::body::BodyError;

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("{0}")]
    Unauthenticated(String),
    #[error("{0}")]
    Undecodable(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("an internal error; the server's log has the details")]
    Panicked,
}

impl Fault {
    /// The answer's HTTP status, and its `google.rpc.Status`, which gRPC uses alone.
    pub(crate) fn verdict(&self, busy_retry_after: Duration) -> (StatusCode, RpcStatus) {
        let (http, code, detail) = match self {
            Self::Body(BodyError::TooLarge { .. } | BodyError::TooManySpans { .. }) => {
                (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, Detail::None)
            }
            Self::Unauthenticated(_) => {
                (StatusCode::UNAUTHORIZED, Code::Unauthenticated, Detail::None)
            }
            Self::Body(BodyError::Busy) => (
                StatusCode::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
                Detail::RetryInfo(busy_retry_after),
            ),
            Self::Body(BodyError::Slow { .. }) => {
                (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, Detail::None)
            }
            Self::Body(BodyError::Broken(_) | BodyError::Corrupt(_))
            | Self::Undecodable(_)
            | Self::Refused(Refusal::Invalid { .. }) => {
                (StatusCode::BAD_REQUEST, Code::InvalidArgument, Detail::BadRequest)
            }
            Self::Refused(Refusal::Exhausted { retry_after, .. }) => (
                StatusCode::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
                Detail::RetryInfo(*retry_after),
            ),
            Self::Refused(Refusal::Unavailable { retry_after, .. }) => (
                StatusCode::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                Detail::RetryInfo(*retry_after),
            ),
            Self::Refused(Refusal::Internal { .. }) | Self::Panicked => {
                (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, Detail::None)
            }
        };
        (http, RpcStatus { code, message: self.to_string(), detail })
    }

    pub(crate) fn count(&self, counters: &TransportCounters) {
        let counter = match self {
            Self::Body(BodyError::TooLarge { .. } | BodyError::TooManySpans { .. }) => {
                &counters.oversize_requests
            }
            Self::Body(BodyError::Busy) => &counters.busy_requests,
            Self::Body(BodyError::Slow { .. }) => &counters.slow_requests,
            Self::Body(BodyError::Corrupt(_)) | Self::Undecodable(_) => {
                &counters.undecodable_requests
            }
            Self::Unauthenticated(_) => &counters.unauthenticated_requests,
            Self::Panicked => &counters.panicked_requests,
            // A disconnect is nobody's fault; the spans of a refusal are counted as such.
            Self::Body(BodyError::Broken(_)) | Self::Refused(_) => return,
        };
        TransportCounters::add(counter, 1);
    }
}
