//! The two small messages that a receiver answers with.

use crate::Rejection;
use crate::wire::{put_bytes_unless_empty, put_message, put_varint_unless_zero};

/// An `ExportTraceServiceResponse`; partial success is left unset when nothing was rejected
/// (OTLP specification, "Partial Success").
pub fn export_response(rejection: &Rejection) -> Vec<u8> {
    let mut out = Vec::new();
    if rejection.spans > 0 {
        put_message(&mut out, 1, |out| {
            put_varint_unless_zero(out, 1, rejection.spans);
            put_bytes_unless_empty(out, 2, rejection.reason.as_bytes());
        });
    }
    out
}

/// A `google.rpc.Status` without details.
pub fn rpc_status(code: i32, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint_unless_zero(&mut out, 1, code as u64);
    put_bytes_unless_empty(&mut out, 2, message.as_bytes());
    out
}
