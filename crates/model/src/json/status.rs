//! The two small messages that a receiver answers with, as JSON.

use super::write::{put_display, put_json_string};
use crate::Rejection;

/// An `ExportTraceServiceResponse` as OTLP JSON: `{}` on full success, else
/// `{"partialSuccess":{"rejectedSpans":"3","errorMessage":"…"}}` (OTLP specification, "Partial
/// Success"). [`export_response`](crate::export_response) is its protobuf form.
pub fn export_response_json(rejection: &Rejection) -> String {
    let mut out = String::from("{");
    if rejection.spans > 0 {
        out.push_str("\"partialSuccess\":{\"rejectedSpans\":\"");
        put_display(&mut out, rejection.spans);
        out.push('"');
        if !rejection.reason.is_empty() {
            out.push_str(",\"errorMessage\":");
            put_json_string(&mut out, &rejection.reason);
        }
        out.push('}');
    }
    out.push('}');
    out
}

/// A `google.rpc.Status` without details as JSON: `{"code":3,"message":"…"}`, which OTLP/HTTP
/// wants in the body of every 4xx and 5xx answer to JSON. `code` is a gRPC code.
/// [`rpc_status`](crate::rpc_status) is its protobuf form.
pub fn rpc_status_json(code: i32, message: &str) -> String {
    let mut out = String::from("{\"code\":");
    put_display(&mut out, code);
    out.push_str(",\"message\":");
    put_json_string(&mut out, message);
    out.push('}');
    out
}
