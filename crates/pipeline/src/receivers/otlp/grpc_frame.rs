//! The five bytes before every gRPC message, and compression of answers.
//!
//! Source: gRPC, "PROTOCOL-HTTP2" and "Compression".

use std::io::{self, Write};

use bytes::Bytes;
use http::HeaderMap;

use super::status::{Code, RpcStatus};
use crate::receivers::body::Framing;
use crate::receivers::inflate::Coding;

pub(super) const GRPC_ENCODING: &str = "grpc-encoding";
pub(super) const GRPC_ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// What messages may be compressed with.
pub(super) const ACCEPTED: &str = "identity,gzip,deflate,zstd,snappy";

/// The coding that the headers announce for messages with their flag set.
pub(super) fn request_coding(headers: &HeaderMap) -> Result<Option<Coding>, RpcStatus> {
    let Some(value) = headers.get(GRPC_ENCODING) else {
        return Ok(None);
    };
    let name = value.to_str().unwrap_or("?");
    Coding::from_name(name).ok_or_else(|| {
        let message = format!("messages compressed with {name} are not supported, {ACCEPTED} are");
        RpcStatus::new(Code::Unimplemented, message)
    })
}

/// The single message of a unary call, and its coding if it is compressed.
pub(super) fn unframe(
    body: Bytes,
    coding: Option<Coding>,
) -> Result<(Bytes, Option<Coding>), RpcStatus> {
    let invalid = |message: &str| Err(RpcStatus::new(Code::InvalidArgument, message));
    let &[flag, a, b, c, d, ..] = &body[..] else {
        return invalid("the call carries no message");
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let message = body.slice(Framing::GRPC_PREFIX_BYTES..);
    if message.len() < length {
        return invalid("the message ends too early");
    }
    if message.len() > length {
        return invalid("the call carries more than one message");
    }
    match (flag, coding) {
        (0, _) => Ok((message, None)),
        (1, Some(coding)) => Ok((message, Some(coding))),
        // The code is prescribed ("Compression", "Compressed-Flag").
        (1, None) => Err(RpcStatus::new(
            Code::Internal,
            "the message is flagged as compressed, but grpc-encoding names no compression",
        )),
        _ => invalid("the message has an unknown flag"),
    }
}

/// An answer's message with its prefix, and the name of its compression, the first that the client
/// takes. An empty message, which most are, is not worth compressing.
pub(super) fn frame(message: &[u8], request: &HeaderMap) -> (Bytes, Option<&'static str>) {
    let compressed = if message.is_empty() { None } else { compress(message, request) };
    let (flag, name, content) = match &compressed {
        Some((name, content)) => (1, Some(*name), &content[..]),
        None => (0, None, message),
    };
    let mut framed = Vec::with_capacity(Framing::GRPC_PREFIX_BYTES + content.len());
    framed.push(flag);
    framed.extend_from_slice(&(content.len() as u32).to_be_bytes());
    framed.extend_from_slice(content);
    (framed.into(), name)
}

fn compress(message: &[u8], request: &HeaderMap) -> Option<(&'static str, Vec<u8>)> {
    let accepted = request.get(GRPC_ACCEPT_ENCODING)?.to_str().ok()?;
    accepted.split(',').find_map(|name| match name.trim() {
        "gzip" => Some(("gzip", gzip(message).ok()?)),
        "zstd" => Some(("zstd", zstd::bulk::compress(message, 1).ok()?)),
        _ => None,
    })
}

fn gzip(message: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(message)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_message_is_a_unary_call() {
        for (body, coding, expected) in [
            (&b"\0\0\0\0\x02ab"[..], None, Ok((&b"ab"[..], None))),
            (b"\0\0\0\0\0", None, Ok((b"", None))),
            (b"\0\0\0\0\x02ab", Some(Coding::Gzip), Ok((b"ab", None))),
            (b"\x01\0\0\0\x02ab", Some(Coding::Gzip), Ok((b"ab", Some(Coding::Gzip)))),
            (b"\x01\0\0\0\x02ab", None, Err(Code::Internal)),
            (b"\x02\0\0\0\x02ab", None, Err(Code::InvalidArgument)),
            (b"\0\0\0\0\x03ab", None, Err(Code::InvalidArgument)),
            (b"\0\0\0\0\x01ab", None, Err(Code::InvalidArgument)),
            (b"\0\0\0\0", None, Err(Code::InvalidArgument)),
            (b"", None, Err(Code::InvalidArgument)),
        ] {
            let got = unframe(Bytes::from_static(body), coding);
            let expected = expected.map(|(message, coding)| (Bytes::from_static(message), coding));
            assert_eq!(got.map_err(|status| status.code), expected, "{body:?}");
        }
    }
}
