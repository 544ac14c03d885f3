//! Spans, their status, events and links.

use super::fault::Fault;
use super::message::{Message, content};
use super::{DecodeError, Decoder, SPAN_ELEMENTS_MAX, reject};
use crate::batch::{Event, Link, Span};
use crate::{SpanId, TraceId};

impl<'a> Decoder<'a> {
    pub(super) fn span(&mut self, bytes: &'a [u8], scope: u32) -> Result<(), DecodeError> {
        let attributes_before = self.batch.attributes.len();
        let events_before = self.batch.events.len();
        let links_before = self.batch.links.len();
        self.fault = None;
        let mut span = Span { scope, message: self.range(bytes), ..Span::default() };
        let mut message = Message::new("Span", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = content!(message, number, field, Bytes);
                    span.trace_id = self.trace_id(bytes, "trace id");
                }
                2 => {
                    let bytes = content!(message, number, field, Bytes);
                    span.span_id = self.span_id(bytes, "span id");
                }
                3 => {
                    let bytes = content!(message, number, field, Bytes);
                    span.trace_state = self.utf8(bytes, "trace state");
                }
                4 => {
                    let bytes = content!(message, number, field, Bytes);
                    span.parent_span_id = self.span_id(bytes, "parent span id");
                }
                5 => {
                    let bytes = content!(message, number, field, Bytes);
                    span.name = self.utf8(bytes, "name");
                }
                6 => span.kind = content!(message, number, field, Varint) as i32,
                7 => span.start_unix_nano = content!(message, number, field, Fixed64),
                8 => span.end_unix_nano = content!(message, number, field, Fixed64),
                9 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.attribute(bytes, "attribute")?;
                    // Most are short, and follow one another.
                    while let Some(bytes) = message.next_short(9 << 3 | 2) {
                        self.attribute(bytes, "attribute")?;
                    }
                }
                10 => {
                    span.dropped_attributes_count = content!(message, number, field, Varint) as u32;
                }
                // Walked after the span, so that the span's own attributes are one range.
                11 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.events.push(bytes);
                    self.bound()?;
                }
                12 => span.dropped_events_count = content!(message, number, field, Varint) as u32,
                13 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.links.push(bytes);
                    self.bound()?;
                }
                14 => span.dropped_links_count = content!(message, number, field, Varint) as u32,
                15 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.status(bytes, &mut span)?;
                }
                16 => span.flags = content!(message, number, field, Fixed32),
                _ => {}
            }
        }
        span.attributes = self.attributes_since(attributes_before);
        for bytes in std::mem::take(&mut self.events) {
            self.event(bytes)?;
        }
        span.events = (events_before as u32, self.batch.events.len() as u32);
        for bytes in std::mem::take(&mut self.links) {
            self.link(bytes)?;
        }
        span.links = (links_before as u32, self.batch.links.len() as u32);

        let elements = (self.batch.attributes.len() - attributes_before)
            + (self.batch.events.len() - events_before)
            + (self.batch.links.len() - links_before);
        if elements > SPAN_ELEMENTS_MAX {
            self.fault.get_or_insert(Fault::TooLarge);
        }
        if self.fault.is_none() {
            if span.trace_id.is_none() {
                self.fault = Some(Fault::ZeroId("trace id"));
            } else if span.span_id.is_none() {
                self.fault = Some(Fault::ZeroId("span id"));
            }
        }
        match self.fault.take() {
            None => {
                self.batch.spans.push(span);
                self.bound()?;
            }
            Some(fault) => {
                self.batch.attributes.truncate(attributes_before);
                self.batch.events.truncate(events_before);
                self.batch.links.truncate(links_before);
                reject(&mut self.batch.rejection, 1, &fault);
            }
        }
        Ok(())
    }

    fn status(&mut self, bytes: &'a [u8], span: &mut Span) -> Result<(), DecodeError> {
        let mut message = Message::new("Status", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                2 => {
                    let bytes = content!(message, number, field, Bytes);
                    span.status_message = self.utf8(bytes, "status message");
                }
                3 => span.status_code = content!(message, number, field, Varint) as i32,
                _ => {}
            }
        }
        Ok(())
    }

    fn event(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let start = self.batch.attributes.len();
        let mut event = Event::default();
        let mut message = Message::new("Span.Event", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => event.time_unix_nano = content!(message, number, field, Fixed64),
                2 => {
                    let bytes = content!(message, number, field, Bytes);
                    event.name = self.utf8(bytes, "event name");
                }
                3 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.attribute(bytes, "event attribute")?;
                }
                4 => {
                    event.dropped_attributes_count =
                        content!(message, number, field, Varint) as u32;
                }
                _ => {}
            }
        }
        event.attributes = self.attributes_since(start);
        self.batch.events.push(event);
        Ok(())
    }

    fn link(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let start = self.batch.attributes.len();
        let mut link = Link::default();
        let mut message = Message::new("Span.Link", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = content!(message, number, field, Bytes);
                    link.trace_id = self.trace_id(bytes, "link's trace id");
                }
                2 => {
                    let bytes = content!(message, number, field, Bytes);
                    link.span_id = self.span_id(bytes, "link's span id");
                }
                3 => {
                    let bytes = content!(message, number, field, Bytes);
                    link.trace_state = self.utf8(bytes, "link's trace state");
                }
                4 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.attribute(bytes, "link attribute")?;
                }
                5 => {
                    link.dropped_attributes_count = content!(message, number, field, Varint) as u32;
                }
                6 => link.flags = content!(message, number, field, Fixed32),
                _ => {}
            }
        }
        link.attributes = self.attributes_since(start);
        self.batch.links.push(link);
        Ok(())
    }

    fn trace_id(&mut self, bytes: &[u8], what: &'static str) -> TraceId {
        TraceId::from_slice(bytes).unwrap_or_else(|| self.bad_id(bytes, what, 16, TraceId::NONE))
    }

    fn span_id(&mut self, bytes: &[u8], what: &'static str) -> SpanId {
        SpanId::from_slice(bytes).unwrap_or_else(|| self.bad_id(bytes, what, 8, SpanId::NONE))
    }

    /// No bytes at all is proto3's way to leave a field out; any other length is a fault.
    fn bad_id<T>(&mut self, bytes: &[u8], what: &'static str, wanted: usize, none: T) -> T {
        if !bytes.is_empty() {
            self.fault.get_or_insert(Fault::Id { what, length: bytes.len(), wanted });
        }
        none
    }
}
