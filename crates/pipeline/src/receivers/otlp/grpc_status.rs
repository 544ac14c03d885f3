//! A status as gRPC headers. The only place that knows `tonic`, whose API is about to move.
//!
//! Source: gRPC, "PROTOCOL-HTTP2": percent-encoding of `grpc-message`, base64 of `-bin` headers.

use http::Response;
use tonic::{Code, Status};

use super::status::{Detail, RpcStatus};

/// An answer without a message: `grpc-status` and the rest in the headers of a stream that ends
/// with them. The body must therefore be empty by default.
pub(super) fn trailers_only<B: Default>(status: &RpcStatus) -> Response<B> {
    let code = Code::from_i32(status.code as i32);
    match status.detail {
        Detail::None => Status::new(code, &status.message),
        Detail::BadRequest | Detail::RetryInfo(_) => {
            Status::with_details(code, &status.message, status.to_protobuf().into())
        }
    }
    .into_http()
}
