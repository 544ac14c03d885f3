//! A bound on the bytes of answers that wait to be read.
//!
//! A trace can take 40 MB, and a client that asks for it and does not read keeps it in memory. What
//! is small enough to lie in a socket's buffer is not counted.

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Answers up to this size are not counted.
const SMALL_BYTES_MAX: usize = 64 * 1024;

/// All other answers of all APIs together: 256 MiB, in KiB. A larger one goes out when it is alone.
const WAITING_KIB_MAX: usize = 256 * 1024;

static WAITING: Semaphore = Semaphore::const_new(WAITING_KIB_MAX);

/// What a client is told that came when there was no room.
pub(crate) const BUSY: &str = "answers that are not sent yet, those of others among them, take all the room there is for them \
     (256 MiB); ask again in a second, or for less";

/// A part of the room; it is given back when this is dropped.
pub(crate) struct Room {
    _permit: Option<SemaphorePermit<'static>>,
}

impl Room {
    /// Room for what a streamed answer is made from; `None` when there is none.
    pub(crate) fn take(bytes: usize) -> Option<Self> {
        Self::take_of(&WAITING, WAITING_KIB_MAX, bytes)
    }

    fn take_of(waiting: &'static Semaphore, kib_max: usize, bytes: usize) -> Option<Self> {
        if bytes <= SMALL_BYTES_MAX {
            return Some(Self { _permit: None });
        }
        let kib = bytes.div_ceil(1024).min(kib_max) as u32;
        waiting.try_acquire_many(kib).ok().map(|permit| Self { _permit: Some(permit) })
    }

    /// Bytes that hold the room until the last part of them is sent.
    pub(crate) fn held_in(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Held { bytes: bytes.into(), _room: self })
    }

    /// The same parts; the room is held as long as they are.
    pub(crate) fn held_by<T>(self, parts: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        parts.inspect(move |_| {
            let _held = &self;
        })
    }
}

/// The answer; one with 503 says that what was asked may be asked again in a second (RFC 9110,
/// section 10.2.3).
pub(crate) fn again(mut answer: Response) -> Response {
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// The answer, or `busy` and a `Retry-After` when there is no room for it. Streams pass: they are
/// made as they are read, and hold a [`Room`] of their own.
pub(crate) async fn bound(answer: Response, busy: fn() -> Response) -> Response {
    bound_by(&WAITING, WAITING_KIB_MAX, answer, busy).await
}

async fn bound_by(
    waiting: &'static Semaphore,
    kib_max: usize,
    answer: Response,
    busy: fn() -> Response,
) -> Response {
    let bytes = match answer.body().size_hint().exact() {
        Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        None => return answer,
    };
    if bytes <= SMALL_BYTES_MAX {
        return answer;
    }
    let Some(room) = Room::take_of(waiting, kib_max, bytes) else { return again(busy()) };
    let (parts, body) = answer.into_parts();
    // A body whose size is known is whole already, and this neither waits nor fails.
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else { return busy() };
    let held = Bytes::from_owner(Held { bytes, _room: room });
    Response::from_parts(parts, Body::from(held))
}

/// Bytes that give their room back when the last part of them is sent.
struct Held {
    bytes: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;

    use super::*;

    const KIB_MAX: usize = 300;

    fn busy() -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, BUSY).into_response()
    }

    async fn asked(waiting: &'static Semaphore, body: Body) -> Response {
        bound_by(waiting, KIB_MAX, Response::new(body), busy).await
    }

    #[tokio::test]
    async fn answers_wait_up_to_the_bound() {
        let waiting: &'static Semaphore = Box::leak(Box::new(Semaphore::new(KIB_MAX)));
        let large = || Body::from(vec![7; 140 << 10]);
        let first = asked(waiting, large()).await;
        let second = asked(waiting, large()).await;
        assert_eq!(second.body().size_hint().exact(), Some(140 << 10));
        let refused = asked(waiting, large()).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[RETRY_AFTER], "1");
        // What is small, and what is made as it is read, always finds room.
        for body in [Body::from(vec![7; SMALL_BYTES_MAX]), Body::new(large().map_frame(|f| f))] {
            let is_stream = body.size_hint().exact().is_none();
            let answer = asked(waiting, body).await;
            assert_eq!(answer.status(), StatusCode::OK, "{is_stream}");
        }

        // The bytes hold the permit, not the body: a connection has taken them out of it by then.
        let bytes = second.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(waiting.available_permits(), KIB_MAX - 280);
        let part = bytes.slice(..10);
        drop(bytes);
        assert_eq!(waiting.available_permits(), KIB_MAX - 280);
        drop(part);
        assert_eq!(waiting.available_permits(), KIB_MAX - 140);
        drop(first);

        let alone = asked(waiting, Body::from(vec![7; 1 << 20])).await;
        assert_eq!((alone.status(), waiting.available_permits()), (StatusCode::OK, 0));
    }

    #[test]
    fn streams_hold_their_room_as_long_as_they_last() {
        let waiting: &'static Semaphore = Box::leak(Box::new(Semaphore::new(KIB_MAX)));
        let take = |bytes| Room::take_of(waiting, KIB_MAX, bytes);
        let mut stream = take(200 << 10).unwrap().held_by([1, 2].into_iter());
        assert_eq!((stream.next(), waiting.available_permits()), (Some(1), KIB_MAX - 200));
        assert!(take(140 << 10).is_none() && take(SMALL_BYTES_MAX).is_some());
        assert_eq!((stream.next(), stream.next()), (Some(2), None));
        drop(stream);
        assert_eq!(waiting.available_permits(), KIB_MAX);
        let all = take(1 << 30);
        assert!(all.is_some() && waiting.available_permits() == 0);
    }
}
