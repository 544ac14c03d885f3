//! What becomes of a payload: spans as OTLP, how many were left out, or why it is none.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use model::{ELEMENTS_MAX, Rejection, SPAN_ELEMENTS_MAX};

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::groups::Groups;

/// Bounds on what a payload may hold. They hold before anything is kept for what they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Spans, tags, logs, annotations and references of a payload together. More refuse it.
    pub elements_max: usize,
    /// The same of one span. More leave the span out.
    pub span_elements_max: usize,
}

impl Default for Limits {
    /// Those of [`model::SpanBatch`].
    fn default() -> Self {
        Self { elements_max: ELEMENTS_MAX, span_elements_max: SPAN_ELEMENTS_MAX }
    }
}

/// Why bytes are not what they were said to be. Nothing of them is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at byte {position}")]
pub struct FormatError {
    /// What is wrong.
    pub what: String,
    /// Where, in bytes from the start.
    pub position: usize,
}

impl FormatError {
    pub(crate) fn new(what: impl Into<String>, position: usize) -> Self {
        Self { what: what.into(), position }
    }
}

/// A payload as OTLP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Converted {
    /// An `ExportTraceServiceRequest`, for [`model::SpanBatch::decode`].
    pub otlp: Bytes,
    /// How many spans are in it. Its decoder may leave out some that grew beyond its own bounds.
    pub spans: u64,
    /// Those that are not, and why the first of them is not.
    pub rejection: Rejection,
}

/// Takes the spans of a payload one at a time, so that one at most is held decoded.
pub(crate) struct Sink {
    pub(crate) groups: Groups,
    pub(crate) limits: Limits,
    elements: usize,
    /// How many were added.
    pub(crate) spans: u64,
    rejection: Rejection,
}

impl Sink {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            groups: Groups::default(),
            limits,
            elements: 0,
            spans: 0,
            rejection: Rejection::default(),
        }
    }

    /// Counts a span that begins at a place and what it has; false when that is too much for one
    /// span, which is left out.
    pub(crate) fn has_room(
        &mut self,
        elements: usize,
        position: usize,
    ) -> Result<bool, FormatError> {
        self.elements = self.elements.saturating_add(elements).saturating_add(1);
        if self.elements > self.limits.elements_max {
            return Err(too_many(self.limits.elements_max, position));
        }
        let fits = elements <= self.limits.span_elements_max;
        if !fits {
            let most = self.limits.span_elements_max;
            self.leave_out(format!("a span has more than {most} tags, logs and references"));
        }
        Ok(fits)
    }

    /// Counts a span that cannot be taken.
    pub(crate) fn leave_out(&mut self, reason: String) {
        if self.rejection.spans == 0 {
            self.rejection.reason = reason;
        }
        self.rejection.spans += 1;
    }

    pub(crate) fn finish(self) -> Converted {
        let Self { groups, spans, rejection, .. } = self;
        Converted { otlp: groups.finish().into(), spans, rejection }
    }
}

pub(crate) fn too_many(most: usize, position: usize) -> FormatError {
    let what = format!("more than {most} spans, tags, logs and references; send smaller batches");
    FormatError::new(what, position)
}

/// The error of a parser of JSON, at a byte of the text.
pub(crate) fn json_error(text: &[u8], error: &serde_json::Error) -> FormatError {
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    let before: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let position = (before + error.column().saturating_sub(1)).min(text.len());
    let message = error.to_string();
    // The place is told once.
    let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    FormatError::new(what, position)
}

/// A list in JSON, or `null`, of no more elements than a span may have.
pub(crate) fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Few<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut few = Vec::new();
            while let Some(each) = list.next_element()? {
                if few.len() == SPAN_ELEMENTS_MAX {
                    let most = format!("a list of more than {SPAN_ELEMENTS_MAX} elements");
                    return Err(A::Error::custom(most));
                }
                few.push(each);
            }
            Ok(few)
        }
    }
    deserializer.deserialize_any(Few(PhantomData))
}
