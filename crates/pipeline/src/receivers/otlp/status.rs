//! `google.rpc.Status` with the one detail that an answer may carry, in protobuf and JSON.
//!
//! Source: googleapis `google/rpc/{status,code,error_details}.proto`; the JSON mapping of `Any`,
//! `Duration` (protobuf.dev, "ProtoJSON Format").

use std::time::Duration;

use model::wire::{put_bytes_field, put_message, put_varint_unless_zero};
use serde_json::json;

/// The numbers of `google.rpc.Code` in use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// What a status may add to its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Detail {
    None,
    /// `google.rpc.BadRequest`, which OTLP asks for with bad data.
    BadRequest,
    /// `google.rpc.RetryInfo`; its presence is what makes `RESOURCE_EXHAUSTED` retryable.
    RetryInfo(Duration),
}

/// A `google.rpc.Status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RpcStatus {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) detail: Detail,
}

impl RpcStatus {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: Detail::None }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self.detail {
            Detail::RetryInfo(delay) => Some(delay),
            Detail::None | Detail::BadRequest => None,
        }
    }

    pub(crate) fn to_protobuf(&self) -> Vec<u8> {
        let mut out = model::rpc_status(self.code as i32, &self.message);
        match &self.detail {
            Detail::None => {}
            Detail::BadRequest => put_any(&mut out, "google.rpc.BadRequest", |out| {
                put_message(out, 1, |out| put_bytes_field(out, 2, self.message.as_bytes()));
            }),
            Detail::RetryInfo(delay) => put_any(&mut out, "google.rpc.RetryInfo", |out| {
                put_message(out, 1, |out| {
                    put_varint_unless_zero(out, 1, delay.as_secs());
                    put_varint_unless_zero(out, 2, u64::from(delay.subsec_nanos()));
                });
            }),
        }
        out
    }

    pub(crate) fn to_json(&self) -> String {
        let mut status = json!({ "code": self.code as i32, "message": self.message });
        let detail = match &self.detail {
            Detail::None => return status.to_string(),
            Detail::BadRequest => json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{ "description": self.message }],
            }),
            Detail::RetryInfo(delay) => json!({
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": match delay.subsec_nanos() {
                    0 => format!("{}s", delay.as_secs()),
                    nanos => format!("{}.{nanos:09}s", delay.as_secs()),
                },
            }),
        };
        status["details"] = json!([detail]);
        status.to_string()
    }
}

fn put_any(out: &mut Vec<u8>, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    put_message(out, 3, |out| {
        put_bytes_field(out, 1, format!("type.googleapis.com/{name}").as_bytes());
        put_message(out, 2, write);
    });
}
