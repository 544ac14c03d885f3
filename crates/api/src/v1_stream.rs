//! Answers of API v1 line by line: what there is so far, as often as the client takes it, and in the
//! end the answer as it is without streaming.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::apart::apart;
use crate::error::ApiError;
use crate::steps::Step;
use crate::tempo::fault::Fault;
use crate::v1::Parameters;
use crate::waiting::{BUSY, Room};

/// A JSON value a line.
const LINES: &str = "application/x-ndjson";

/// Whether a client asks for lines, by the parameter or by what it accepts.
pub(crate) fn is_wanted(parameters: &Parameters, headers: &HeaderMap) -> Result<bool, ApiError> {
    if let Some(wanted) = parameters.flag("stream")? {
        return Ok(wanted);
    }
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    Ok(accepted.any(|accept| accept.contains(LINES)))
}

#[derive(Serialize)]
struct SoFar<B> {
    /// The share of row groups that is done.
    progress: f64,
    #[serde(flatten)]
    body: B,
}

/// How room for a line is found.
type TakeRoom = fn(usize) -> Option<Room>;

/// A query's steps as lines; `body` makes the answer, and is told whether it is the whole one.
///
/// # Errors
/// What ends a query before there is anything to tell.
pub(crate) async fn lines<T, B, S>(
    steps: S,
    body: impl Fn(T, bool) -> B + Send + Sync + 'static,
) -> Result<Response, ApiError>
where
    T: Send + 'static,
    B: Serialize,
    S: Stream<Item = Step<T>> + Send + 'static,
{
    let mut steps = Box::pin(steps);
    let first = match steps.next().await {
        Some(Step::Done(Err(error))) => return Err(Fault::from(error).into()),
        first => first,
    };
    let body = Arc::new(body);
    let lines = stream::iter(first).chain(steps).filter_map(move |step| {
        let body = body.clone();
        let line = apart(move || line(step, &*body, Room::take));
        async {
            line.await.unwrap_or_else(|error| Some(fault(error.into()))).map(Ok::<_, Infallible>)
        }
    });
    Ok(([(CONTENT_TYPE, LINES)], Body::from_stream(lines)).into_response())
}

/// What is told of a step; nothing of what is not the end and finds no room.
fn line<T, B: Serialize>(
    step: Step<T>,
    body: impl Fn(T, bool) -> B,
    room: TakeRoom,
) -> Option<Bytes> {
    match step {
        Step::Progress(progress) => {
            let share = progress.share();
            let line = encoded(&SoFar { progress: share, body: body(progress.so_far, false) })?;
            room(line.len()).map(|room| room.held_in(line))
        }
        Step::Done(Ok(whole)) => {
            let line = encoded(&body(whole, true));
            let held = line.and_then(|line| Some(room(line.len())?.held_in(line)));
            let busy = || fault(Fault::new(StatusCode::SERVICE_UNAVAILABLE, BUSY));
            Some(held.unwrap_or_else(busy))
        }
        Step::Done(Err(error)) => Some(fault(error.into())),
    }
}

/// A fault that comes when the status has been told.
fn fault(fault: Fault) -> Bytes {
    encoded(&fault.into_parts().1).unwrap_or_default().into()
}

fn encoded(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(value).ok()?;
    line.push(b'\n');
    Some(line)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use store::{Progress, QueryError};

    use super::*;

    fn news(so_far: u8) -> Step<u8> {
        Step::Progress(Progress { so_far, spans_done: 1, spans_all: 4 })
    }

    fn body(number: u8, is_whole: bool) -> Value {
        json!({ "number": number, "whole": is_whole })
    }

    async fn told(steps: Vec<Step<u8>>) -> Result<Vec<Value>, ApiError> {
        let answer = lines(stream::iter(steps), body).await?;
        assert_eq!(answer.headers()[CONTENT_TYPE], LINES);
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.ends_with('\n'));
        Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[tokio::test]
    async fn the_last_line_is_the_answer() {
        let so_far = json!({ "progress": 0.25, "number": 1, "whole": false });
        let whole = json!({ "number": 2, "whole": true });
        let all = told(vec![news(1), Step::Done(Ok(2))]).await;
        assert_eq!(all.unwrap(), [so_far.clone(), whole.clone()]);
        assert_eq!(told(vec![Step::Done(Ok(2))]).await.unwrap(), [whole]);
        // What fails at once has a status; later the last line says so.
        let refused = || Step::Done(Err(QueryError::Refused("too much".to_owned())));
        let error = told(vec![refused()]).await.unwrap_err();
        assert_eq!(error.into_response().status(), StatusCode::BAD_REQUEST);
        let late = told(vec![news(1), refused()]).await.unwrap();
        assert_eq!(late, [so_far, json!({ "error": "too much" })]);
    }

    #[test]
    fn where_there_is_no_room_progress_is_left_out_and_the_end_says_so() {
        let full: TakeRoom = |_| None;
        assert_eq!(line(news(1), body, full), None);
        let last = line(Step::Done(Ok(2)), body, full).unwrap();
        let last: Value = serde_json::from_slice(&last).unwrap();
        assert_eq!(last, json!({ "error": BUSY }));
    }
}
