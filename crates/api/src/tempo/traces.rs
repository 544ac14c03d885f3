//! Single traces, whole.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use model::TraceId;
use prost::encoding::{WireType, encode_key, encode_varint};
use store::TraceRead;

use super::fault::Fault;
use super::parameters::Parameters;
use super::proto::PartialStatus;
use super::{PARTIAL, Shared};
use crate::apart::apart;
use crate::extract::Segment;

const PROTOBUF: &str = "application/protobuf";

const DAMAGED: &str = "a damaged block was left out";

/// A trace as its spans, in Tempo's first shape.
pub(super) async fn v1(
    State(api): Shared,
    Segment(id, _): Segment<Fault>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let id = trace_id(&id, &uri)?;
    let read = api.store.trace(id).await?;
    let Some(spans) = read.spans else {
        // Tempo's own words, which clients show.
        let text = match read.partial {
            true => format!("trace not found; {DAMAGED}"),
            false => "trace not found".to_owned(),
        };
        return Err(Fault::new(StatusCode::NOT_FOUND, text));
    };
    let mut response = if wants_protobuf(&headers) {
        ([(CONTENT_TYPE, PROTOBUF)], spans.bytes().clone()).into_response()
    } else {
        let json = apart(move || json(spans.bytes())).await??;
        let json = json.replacen("\"resourceSpans\"", "\"batches\"", 1);
        ([(CONTENT_TYPE, "application/json")], json).into_response()
    };
    if read.partial {
        response.headers_mut().insert(PARTIAL, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// A trace, and how complete it is. One that is not there is an empty one.
pub(super) async fn v2(
    State(api): Shared,
    Segment(id, _): Segment<Fault>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let id = trace_id(&id, &uri)?;
    let read = api.store.trace(id).await?;
    if wants_protobuf(&headers) {
        return Ok(([(CONTENT_TYPE, PROTOBUF)], message(&read)).into_response());
    }
    let trace = match read.spans {
        Some(spans) => apart(move || json(spans.bytes())).await??,
        None => "{}".to_owned(),
    };
    let partial = match read.partial {
        true => format!(",\"status\":\"PARTIAL\",\"message\":\"{DAMAGED}\""),
        false => String::new(),
    };
    let json = format!("{{\"trace\":{trace},\"metrics\":{{}}{partial}}}");
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

/// A `TraceByIDResponse`: the spans are encoded already.
fn message(read: &TraceRead) -> Bytes {
    let spans = read.spans.as_ref().map(|spans| spans.bytes().clone()).unwrap_or_default();
    let mut out = BytesMut::with_capacity(spans.len() + 64);
    encode_key(1, WireType::LengthDelimited, &mut out);
    encode_varint(spans.len() as u64, &mut out);
    out.put_slice(&spans);
    encode_key(2, WireType::LengthDelimited, &mut out);
    encode_varint(0, &mut out);
    if read.partial {
        prost::encoding::int32::encode(3, &PartialStatus::Partial.into(), &mut out);
        prost::encoding::string::encode(4, &DAMAGED.to_owned(), &mut out);
    }
    out.freeze()
}

fn json(bytes: &[u8]) -> Result<String, Fault> {
    model::json::encode_proto(bytes)
        .map_err(|error| Fault::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// The id of a request, whose times have to be times, too: a trace is found whatever they are.
fn trace_id(text: &str, uri: &Uri) -> Result<TraceId, Fault> {
    let parameters = Parameters::of(uri, 0)?;
    parameters.range()?;
    let id: Result<TraceId, _> = text.parse();
    id.map_err(|error| Fault::parameter("trace id", error.to_string()))
}

fn wants_protobuf(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accept
        .into_iter()
        .any(|accept| accept.contains(PROTOBUF) || accept.contains("application/x-protobuf"))
}
