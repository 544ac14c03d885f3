//! What goes back: JSON, or a plain text that says what is wrong.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use formats::zipkin::span_of;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use model::SpanBatch;
use serde::Serialize;
use store::ReadError;

use crate::extract::Unreadable;
use crate::waiting::{BUSY, Room, again};

/// How much of an answer is made before the client takes it.
const CHUNK_BYTES: usize = 64 * 1024;

/// A status and a text, as a Zipkin server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Fault {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// 400 that names the parameter at fault.
    pub(super) fn parameter(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{name}: {problem}"))
    }
}

impl From<Unreadable> for Fault {
    fn from(part: Unreadable) -> Self {
        Self::new(part.status, part.problem)
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        let status = match error {
            ReadError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ReadError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        again((self.status, headers, self.text).into_response())
    }
}

/// What an answer lacks. Zipkin's answers have no place for it, so that headers say it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Partial {
    /// A damaged block was left out.
    pub(super) damaged: bool,
    /// A limit was reached before everything was looked at.
    pub(super) limited: Option<&'static str>,
}

impl Partial {
    pub(super) fn of_block(damaged: bool) -> Self {
        Self { damaged, limited: None }
    }

    fn mark(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        if self.damaged || self.limited.is_some() {
            headers.insert("spanfall-partial", HeaderValue::from_static("true"));
        }
        if let Some(limit) = self.limited {
            headers.insert("spanfall-limit", HeaderValue::from_static(limit));
        }
        response
    }
}

/// Any JSON.
pub(super) fn json_answer(value: &impl Serialize, partial: Partial) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => with_type(Body::from(body), partial),
        Err(error) => {
            Fault::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

/// The spans of a trace: a list.
pub(super) fn spans_answer(spans: SpanBatch, partial: Partial) -> Response {
    spans_streamed(vec![spans], false, partial)
}

/// Traces: a list of lists.
pub(super) fn traces_answer(traces: Vec<SpanBatch>, partial: Partial) -> Response {
    spans_streamed(traces, true, partial)
}

/// The spans wait with the answers of all other APIs until the last of them is written.
fn spans_streamed(traces: Vec<SpanBatch>, is_outer: bool, partial: Partial) -> Response {
    let bytes = traces.iter().map(|trace| trace.bytes().len()).sum();
    let Some(room) = Room::take(bytes) else {
        return Fault::new(StatusCode::SERVICE_UNAVAILABLE, BUSY).into_response();
    };
    with_type(streamed(room, Writer::new(traces, is_outer)), partial)
}

fn with_type(body: Body, partial: Partial) -> Response {
    partial.mark(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// JSON takes several times the room of the spans that it is made of: it is made as it is taken.
fn streamed(room: Room, mut writer: Writer) -> Body {
    let chunks = std::iter::from_fn(move || writer.chunk().map(Ok::<Bytes, Infallible>));
    Body::from_stream(stream::iter(room.held_by(chunks)))
}

/// Writes traces a chunk at a time.
struct Writer {
    traces: Vec<SpanBatch>,
    /// A list around the traces.
    is_outer: bool,
    trace: usize,
    span: usize,
    is_open: bool,
    is_done: bool,
}

impl Writer {
    fn new(traces: Vec<SpanBatch>, is_outer: bool) -> Self {
        Self { traces, is_outer, trace: 0, span: 0, is_open: false, is_done: false }
    }

    fn chunk(&mut self) -> Option<Bytes> {
        if self.is_done {
            return None;
        }
        let mut out = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        if !self.is_open {
            self.is_open = true;
            if self.is_outer {
                out.push(b'[');
            }
        }
        while out.len() < CHUNK_BYTES {
            let Some(batch) = self.traces.get_mut(self.trace) else {
                if self.is_outer {
                    out.push(b']');
                }
                self.is_done = true;
                break;
            };
            if self.span == 0 {
                out.extend_from_slice(if self.trace > 0 { b",[" } else { b"[" });
            }
            if let Some(span) = batch.spans().get(self.span) {
                if self.span > 0 {
                    out.push(b',');
                }
                // Neither texts nor numbers can fail, and memory does not.
                let _ = serde_json::to_writer(&mut out, &span_of(batch, span));
                self.span += 1;
            }
            if self.span >= batch.len() {
                out.push(b']');
                *batch = SpanBatch::default();
                self.trace += 1;
                self.span = 0;
            }
        }
        Some(Bytes::from(out))
    }
}
