//! `ExportTraceServiceRequest` and `TracesData` (the same fields) into a [`SpanBatch`].
//!
//! What breaks the framing refuses the request; what breaks one span (an id that is zero or of the
//! wrong length, text that is not UTF-8, values that nest too deep) leaves out that span alone and
//! is counted.

mod fault;
mod message;
mod scopes;
mod spans;
mod values;

use bytes::Bytes;

use crate::batch::{Rejection, SpanBatch, Text};
use crate::wire::WireError;

use fault::Fault;
use message::{Message, content};

/// How deep arrays and maps may lie in each other. The encoders of SDKs cannot make more than a
/// handful; protobuf implementations refuse 100.
pub const VALUE_DEPTH_MAX: usize = 64;

/// The most resources, scopes, spans, attributes, events and links of a request together: what 64
/// MiB of ordinary spans hold. Empty elements take two bytes each to send and far more to keep.
pub const ELEMENTS_MAX: usize = 2 * 1024 * 1024;

/// The most attributes, events and links of one span together; a span with more is left out.
pub const SPAN_ELEMENTS_MAX: usize = 128 * 1024;

/// The most bytes that the resources of a request may take when every scope has its own, the first
/// of each left aside: whoever keeps scopes keeps their resource with them.
pub const SHARED_RESOURCE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How far the index of a request grows before it asks for room again.
const CHARGE_STEP_BYTES: usize = 64 * 1024;

/// Why bytes are no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes break the protobuf format.
    #[error("not an OTLP trace request: {error} at byte {position} of {message}")]
    Wire {
        /// What is wrong.
        error: WireError,
        /// The message inside which it is.
        message: &'static str,
        /// The position in that message.
        position: usize,
    },
    /// More than 4 GiB.
    #[error("a request of {0} bytes is too large; the most is 4 GiB")]
    TooLarge(usize),
    /// Arrays and maps in each other, too deep.
    #[error("an attribute's value is nested deeper than {VALUE_DEPTH_MAX} levels")]
    TooDeep,
    /// Elements without content would take many times the memory of the request.
    #[error(
        "more than {ELEMENTS_MAX} spans, attributes, events and links in one request; send smaller batches"
    )]
    TooMany,
    /// A large resource with very many scopes.
    #[error(
        "the scopes of one request share resources of more than {} MiB, counted once for each scope; \
         send them in several requests",
        SHARED_RESOURCE_BYTES_MAX >> 20
    )]
    TooManyScopes,
    /// The caller of [`SpanBatch::decode_within`] had no room.
    #[error("there is no room for the {index_bytes} bytes that the spans of a request take")]
    NoRoom {
        /// Bytes of index up to there.
        index_bytes: usize,
    },
}

impl SpanBatch {
    /// Decodes a request. Keeps `bytes`; allocates for the whole batch, not per attribute.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        Self::decode_within(bytes, |_| true)
    }

    /// Decodes a request whose index needs room: `room` is told its bytes every now and then as it
    /// grows, and at the end what [`Self::index_bytes`] tells. A `false` ends it.
    pub fn decode_within(
        bytes: Bytes,
        mut room: impl FnMut(usize) -> bool,
    ) -> Result<Self, DecodeError> {
        // Half, so that the arena has room under the same 32-bit offsets.
        if bytes.len() > u32::MAX as usize / 2 {
            return Err(DecodeError::TooLarge(bytes.len()));
        }
        let mut decoder = Decoder::new(&bytes, &mut room);
        decoder.request()?;
        decoder.charge(decoder.batch.index_bytes())?;
        let Decoder { mut batch, .. } = decoder;
        batch.bytes = bytes;
        // Spans that were left out are in the bytes still.
        batch.edited = batch.rejection.spans > 0;
        Ok(batch)
    }
}

struct Decoder<'a> {
    all: &'a [u8],
    batch: SpanBatch,
    /// Of the span, resource or scope at hand.
    fault: Option<Fault>,
    events: Vec<&'a [u8]>,
    links: Vec<&'a [u8]>,
    /// The messages of the scope and resource at hand, which may come in parts. The parts of the
    /// scope lie behind those of its resource.
    parts: Vec<&'a [u8]>,
    room: &'a mut dyn FnMut(usize) -> bool,
    /// The bytes that `room` was told of.
    charged_bytes: usize,
    /// Bytes of resources, counted for each of their scopes but the first.
    shared_resource_bytes: usize,
}

impl<'a> Decoder<'a> {
    fn new(all: &'a [u8], room: &'a mut dyn FnMut(usize) -> bool) -> Self {
        // A span with its attributes is rarely under 200 bytes; the guess saves regrowth.
        let spans = all.len() / 256 + 1;
        let batch = SpanBatch {
            spans: Vec::with_capacity(spans),
            attributes: Vec::with_capacity(spans * 12),
            ..SpanBatch::default()
        };
        Self {
            all,
            batch,
            fault: None,
            events: Vec::new(),
            links: Vec::new(),
            parts: Vec::new(),
            room,
            charged_bytes: 0,
            shared_resource_bytes: 0,
        }
    }

    /// The range of a slice of the request. Every slice that the readers give is one.
    #[inline]
    fn range(&self, slice: &[u8]) -> Text {
        let offset = slice.as_ptr() as usize - self.all.as_ptr() as usize;
        Text { offset: offset as u32, length: slice.len() as u32 }
    }

    /// The range of a text; notes a fault when it is not UTF-8.
    #[inline]
    fn utf8(&mut self, slice: &[u8], what: &'static str) -> Text {
        if !slice.is_ascii() && simdutf8::basic::from_utf8(slice).is_err() {
            self.fault.get_or_insert(Fault::Utf8(what));
        }
        self.range(slice)
    }

    fn request(&mut self) -> Result<(), DecodeError> {
        let mut message = Message::new("ExportTraceServiceRequest", self.all);
        while let Some((number, field)) = message.next()? {
            if number == 1 {
                let bytes = content!(message, number, field, Bytes);
                self.resource_spans(bytes)?;
            }
        }
        Ok(())
    }

    /// Counts a span, or a resource or scope, whose messages may be empty and so without bound.
    fn bound(&mut self) -> Result<(), DecodeError> {
        let SpanBatch { resources, scopes, spans, attributes, events, links, .. } = &self.batch;
        let waiting = self.events.len() + self.links.len() + self.parts.len();
        let owners = resources.len() + scopes.len() + spans.len();
        if owners + attributes.len() + events.len() + links.len() + waiting > ELEMENTS_MAX {
            return Err(DecodeError::TooMany);
        }
        let bytes = self.batch.index_bytes() + waiting * size_of::<&[u8]>();
        if bytes > self.charged_bytes + CHARGE_STEP_BYTES {
            self.charge(bytes)?;
        }
        Ok(())
    }

    fn charge(&mut self, index_bytes: usize) -> Result<(), DecodeError> {
        self.charged_bytes = index_bytes;
        if (self.room)(index_bytes) { Ok(()) } else { Err(DecodeError::NoRoom { index_bytes }) }
    }

    fn attributes_since(&self, start: usize) -> (u32, u32) {
        (start as u32, self.batch.attributes.len() as u32)
    }

    /// Leaves out all spans of a resource or scope that has a fault itself.
    fn leave_out_from(&mut self, first_span: usize, fault: Option<Fault>) {
        if let Some(fault) = fault {
            let spans = self.batch.spans.len() - first_span;
            self.batch.spans.truncate(first_span);
            if spans > 0 {
                reject(&mut self.batch.rejection, spans as u64, &fault);
            }
        }
    }
}

fn reject(rejection: &mut Rejection, spans: u64, fault: &Fault) {
    if rejection.spans == 0 {
        rejection.reason = fault.describe();
    }
    rejection.spans += spans;
}
