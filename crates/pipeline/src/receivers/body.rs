//! Reading a request's body into one piece of memory, within limits.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::budget::{Reservation, Spent};

/// A buffer for a body of this size or less is allocated at once, as announced. Larger ones grow
/// with what arrives.
const PRESIZE_BYTES_MAX: usize = 1 << 20;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the request is larger than the limit of {bytes_max} bytes; send smaller batches")]
    TooLarge { bytes_max: usize },
    #[error(
        "the request's spans take more than the {bytes_max} bytes of memory that there are for all requests; send smaller batches"
    )]
    TooManySpans { bytes_max: usize },
    #[error("too many bytes of requests are in flight")]
    Busy,
    #[error("the request's body did not arrive within {} s", .timeout.as_secs_f64())]
    Slow { timeout: Duration },
    #[error("the request's body broke off: {0}")]
    Broken(String),
    #[error("{0}")]
    Corrupt(String),
}

impl From<Spent> for BodyError {
    fn from(_: Spent) -> Self {
        Self::Busy
    }
}

/// What the first bytes of a body say about all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The body is the message.
    Bare,
    /// One gRPC message: a flag, four bytes of length, the message.
    Grpc,
}

impl Framing {
    pub(crate) const GRPC_PREFIX_BYTES: usize = 5;

    fn prefix_bytes(self) -> usize {
        match self {
            Self::Bare => 0,
            Self::Grpc => Self::GRPC_PREFIX_BYTES,
        }
    }

    fn announced(self, first: &[u8]) -> Option<usize> {
        match (self, first) {
            (Self::Grpc, &[_, a, b, c, d, ..]) => {
                Some(Self::GRPC_PREFIX_BYTES + u32::from_be_bytes([a, b, c, d]) as usize)
            }
            _ => None,
        }
    }
}

/// Limits for one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    /// Of the message, without its framing.
    pub(crate) bytes_max: usize,
    pub(crate) timeout: Duration,
}

/// Reads a body, framing included. A body that comes in one frame is not copied. Refuses at once
/// what announces itself as too large for the limit or for what is left of the budget.
pub(crate) async fn collect<B>(
    body: &mut B,
    framing: Framing,
    limits: BodyLimits,
    reservation: &mut Reservation,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let gather = gather(body, framing, limits.bytes_max, reservation);
    match tokio::time::timeout(limits.timeout, gather).await {
        Ok(result) => result,
        Err(_) => Err(BodyError::Slow { timeout: limits.timeout }),
    }
}

async fn gather<B>(
    body: &mut B,
    framing: Framing,
    bytes_max: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let framed_bytes_max = bytes_max + framing.prefix_bytes();
    let admit = |announced: usize, reservation: &Reservation| {
        if announced > framed_bytes_max {
            return Err(BodyError::TooLarge { bytes_max });
        }
        if announced > reservation.bytes() + reservation.budget().available() {
            return Err(BodyError::Busy);
        }
        Ok(announced)
    };
    let mut expected = match body.size_hint().exact() {
        Some(exact) => Some(admit(usize::try_from(exact).unwrap_or(usize::MAX), reservation)?),
        None => None,
    };
    let Some(first) = next_data(body).await? else {
        return Ok(Bytes::new());
    };
    if let Some(announced) = framing.announced(&first) {
        expected = Some(admit(announced, reservation)?);
    }
    if first.len() > framed_bytes_max {
        return Err(BodyError::TooLarge { bytes_max });
    }
    reservation.resize(first.len())?;
    let Some(second) = next_data(body).await? else {
        return Ok(first);
    };
    let mut buffer = Vec::new();
    let mut next = Some(first);
    let mut after = Some(second);
    while let Some(data) = next {
        let needed = buffer.len() + data.len();
        if needed > framed_bytes_max {
            return Err(BodyError::TooLarge { bytes_max });
        }
        if needed > buffer.capacity() {
            let grown = (buffer.capacity() * 2).max(PRESIZE_BYTES_MAX);
            let capacity = grown.min(expected.unwrap_or(needed * 2)).min(framed_bytes_max);
            let capacity = capacity.max(needed);
            reservation.resize(capacity)?;
            buffer.reserve_exact(capacity - buffer.len());
        }
        buffer.extend_from_slice(&data);
        next = match after.take() {
            Some(second) => Some(second),
            None => next_data(body).await?,
        };
    }
    Ok(Bytes::from(buffer))
}

async fn next_data<B>(body: &mut B) -> Result<Option<Bytes>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Reads the rest of a refused body and forgets it. An HTTP/1 client that is still writing when the
/// server closes loses the answer to a connection reset; HTTP/2 needs none of this.
pub(crate) fn discard(request: &http::request::Parts, mut body: Incoming, limits: BodyLimits) {
    let bytes_max = limits.bytes_max as u64 * 2;
    // A client that expects "100 Continue" has not begun to write.
    if request.version > http::Version::HTTP_11
        || request.headers.contains_key(http::header::EXPECT)
        || body.is_end_stream()
        || body.size_hint().lower() > bytes_max
    {
        return;
    }
    tokio::spawn(tokio::time::timeout(limits.timeout, async move {
        let mut discarded = 0;
        while discarded <= bytes_max {
            match body.frame().await {
                Some(Ok(frame)) => discarded += frame.data_ref().map_or(0, Bytes::len) as u64,
                Some(Err(_)) | None => break,
            }
        }
    }));
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper::body::Frame;

    use super::*;
    use crate::receivers::ByteBudget;

    const LIMITS: BodyLimits = BodyLimits { bytes_max: 100, timeout: Duration::from_secs(60) };

    struct Frames(std::vec::IntoIter<Bytes>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Ready(self.0.next().map(|data| Ok(Frame::data(data))))
        }
    }

    async fn read(frames: &[&'static [u8]], framing: Framing) -> (Result<Bytes, BodyError>, usize) {
        let budget = ByteBudget::new(1000);
        let mut reservation = budget.reservation();
        let frames: Vec<Bytes> = frames.iter().copied().map(Bytes::from_static).collect();
        let mut body = Frames(frames.into_iter());
        let result = collect(&mut body, framing, LIMITS, &mut reservation).await;
        (result, reservation.bytes())
    }

    #[tokio::test]
    async fn one_frame_is_not_copied() {
        let data = Bytes::from(vec![7; 100]);
        let budget = ByteBudget::new(100);
        let mut reservation = budget.reservation();
        let mut body = Full::new(data.clone());
        let read = collect(&mut body, Framing::Bare, LIMITS, &mut reservation).await.unwrap();
        assert_eq!(read.as_ptr(), data.as_ptr());
        assert_eq!(reservation.bytes(), 100);
    }

    #[tokio::test]
    async fn frames_are_joined_up_to_the_limit() {
        let (read_bytes, reserved) = read(&[b"ab", b"", b"cd", b"e"], Framing::Bare).await;
        assert_eq!(&read_bytes.unwrap()[..], b"abcde");
        assert!((5..=100).contains(&reserved), "{reserved}");
        assert_eq!(read(&[&[0; 60], &[1; 40]], Framing::Bare).await.0.unwrap().len(), 100);
        let (over, _) = read(&[&[0; 60], &[1; 41]], Framing::Bare).await;
        assert!(matches!(over, Err(BodyError::TooLarge { bytes_max: 100 })), "{over:?}");
    }

    #[tokio::test]
    async fn a_grpc_prefix_is_believed_before_the_rest_comes() {
        let (over, reserved) = read(&[&[0, 0, 0, 0, 101, 1]], Framing::Grpc).await;
        assert!(matches!(over, Err(BodyError::TooLarge { .. })), "{over:?}");
        assert_eq!(reserved, 0);
        let edge = read(&[&[0, 0, 0, 0, 100], &[1; 100]], Framing::Grpc).await.0;
        assert_eq!(edge.unwrap().len(), 105);
    }

    #[tokio::test]
    async fn what_the_budget_cannot_hold_is_refused_unread() {
        let budget = ByteBudget::new(50);
        let mut reservation = budget.reservation();
        let mut body = Full::new(Bytes::from(vec![7; 51]));
        let read = collect(&mut body, Framing::Bare, LIMITS, &mut reservation).await;
        assert!(matches!(read, Err(BodyError::Busy)), "{read:?}");
        assert_eq!(body.size_hint().exact(), Some(51));
    }
}
