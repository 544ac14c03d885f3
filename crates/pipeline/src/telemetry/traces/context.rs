//! Whose work is done: the current span, and what a request said of the sender's.
//!
//! Source: W3C, "Trace Context", level 1.

use std::future::Future;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use tokio::task::futures::TaskLocalFuture;

use super::OwnTraces;

tokio::task_local! {
    static CURRENT: SpanContext;
    static INCOMING: Incoming;
}

/// What is handed on of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanContext {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) is_sampled: bool,
    /// It came from elsewhere.
    pub(crate) is_remote: bool,
    /// Part of the export of own traces, of which there are no spans, whatever the sampler says.
    pub(crate) is_muted: bool,
    /// Servers are told of it.
    pub(crate) is_told: bool,
}

impl SpanContext {
    /// Work under this span.
    pub(crate) fn scope<F: Future>(self, work: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, work)
    }

    /// Whose work it is to send several requests as one: nobody's in particular, if they are not of
    /// one span; but an export of own traces stays one.
    pub(crate) fn common(of: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let mut of = of.into_iter();
        let first = of.next()??;
        let is_same = |own: Option<Self>| {
            own.is_some_and(|own| own == first || own.is_muted && first.is_muted)
        };
        of.all(is_same).then_some(first)
    }

    /// Of a header `traceparent`; nothing if it is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = byte(version)?;
        // Later versions may add parts, and this one has none.
        if version == 0xff || version == 0 && parts.next().is_some() {
            return None;
        }
        let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
        hex(trace, &mut trace_id)?;
        hex(span, &mut span_id)?;
        let flags = byte(flags)?;
        let is_valid = trace_id != [0; 16] && span_id != [0; 8];
        let is_sampled = flags & 1 != 0;
        is_valid.then_some(Self {
            trace_id,
            span_id,
            is_sampled,
            is_remote: true,
            is_muted: false,
            is_told: true,
        })
    }

    fn header(&self) -> String {
        let (trace_id, span_id) =
            (u128::from_be_bytes(self.trace_id), u64::from_be_bytes(self.span_id));
        format!("00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(self.is_sampled))
    }
}

fn byte(text: &str) -> Option<u8> {
    let mut one = [0];
    hex(text, &mut one)?;
    Some(one[0])
}

/// Small letters only, as the specification has it.
fn hex(text: &str, out: &mut [u8]) -> Option<()> {
    if text.len() != out.len() * 2 {
        return None;
    }
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = match pair {
            [high, low] => digit(*high)? << 4 | digit(*low)?,
            _ => return None,
        };
    }
    Some(())
}

/// The span that this task works under.
pub(crate) fn context() -> Option<SpanContext> {
    CURRENT.try_with(|own| *own).ok()
}

/// The header that tells a server of it. Off, there is none.
pub(crate) fn traceparent() -> Option<HeaderValue> {
    let context = context().filter(|own| own.is_told)?;
    HeaderValue::from_str(&context.header()).ok()
}

/// What a request's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(super) transport: &'static str,
    pub(super) parent: Option<SpanContext>,
}

impl Incoming {
    /// Of a head; nothing if own traces are off.
    pub(crate) fn of(traces: &OwnTraces, headers: &HeaderMap) -> Option<Self> {
        let tracer = traces.tracer()?;
        let media = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let transport = if media.starts_with(b"application/grpc") { "grpc" } else { "http" };
        let parent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let parent = parent.and_then(SpanContext::parse).and_then(|parent| tracer.known(parent));
        Some(Self { transport, parent })
    }

    /// Work for the request.
    pub(crate) fn scope<F: Future>(self, work: F) -> TaskLocalFuture<Self, F> {
        INCOMING.scope(self, work)
    }
}

/// The request that this task works for, to be handed to another task.
pub(crate) fn incoming() -> Option<Incoming> {
    INCOMING.try_with(|own| *own).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_requests_have_a_span_in_common_or_none() {
        let one = SpanContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let two = SpanContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01");
        let mute = |own: Option<SpanContext>| own.map(|own| SpanContext { is_muted: true, ..own });
        let (first, second) = (mute(one), mute(two));
        for (of, common) in [
            (&[][..], None),
            (&[None], None),
            (&[one], one),
            (&[one, one], one),
            (&[one, two], None),
            (&[one, None], None),
            (&[None, one], None),
            (&[first, second], first),
            (&[first, two], None),
        ] {
            assert_eq!(SpanContext::common(of.iter().copied()), common, "{of:?}");
        }
    }

    #[test]
    fn headers_are_read_as_the_specification_says() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (text, sampled) in [
            (good, Some(true)),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", Some(false)),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02", Some(false)),
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more", Some(true)),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", None),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", None),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", None),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None),
            ("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", None),
            ("00-ïaf7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", None),
            ("", None),
            ("----", None),
        ] {
            let parsed = SpanContext::parse(text);
            assert_eq!(parsed.map(|own| own.is_sampled), sampled, "{text}");
        }
        assert_eq!(SpanContext::parse(good).unwrap().header(), good);
    }
}
