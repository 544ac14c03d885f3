//! A batch as a request again: what was not edited is copied as it came.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::batch::{Attribute, Event, Link, Resource, Scope, Span, SpanBatch, Text, Value};
use crate::wire::{
    Reader, put_bytes_field, put_bytes_unless_empty, put_fixed32_field, put_fixed64_field,
    put_varint, put_varint_unless_zero, varint_length,
};

/// The fields of `Span` that the index holds; the others are copied.
const SPAN_FIELDS: Range<u32> = 1..17;
/// Those of `Resource`.
const RESOURCE_FIELDS: Range<u32> = 1..3;
/// Those of `InstrumentationScope`.
const SCOPE_FIELDS: Range<u32> = 1..5;

impl SpanBatch {
    /// The content as an `ExportTraceServiceRequest`: the bytes that came, when nothing was edited.
    /// An edited one is encoded once, for all who share it, and kept until it is edited again.
    /// Fields that this version does not know survive in all but the events and links of spans
    /// that were edited by more than giving them further attributes.
    pub fn encoded(&self) -> Bytes {
        if !self.edited {
            return self.bytes.clone();
        }
        let encode = || Layout::of(self, self.spans.iter()).write().into();
        self.encoded.get_or_init(encode).clone()
    }

    /// A resource as a message of its own: as it came, when it was not edited.
    pub fn resource_message(&self, resource: &Resource) -> Cow<'_, [u8]> {
        if !resource.edited {
            return Cow::Borrowed(self.bytes_of(resource.message));
        }
        let mut out = Vec::new();
        encode_resource(&mut out, self, resource);
        Cow::Owned(out)
    }

    /// Some of the spans as a request of their own, with their resources and scopes. The numbers
    /// are indexes into [`Self::spans`], ascending.
    pub fn encoded_some(&self, spans: &[u32]) -> Bytes {
        let spans = spans.iter().filter_map(|&at| self.spans.get(at as usize));
        Layout::of(self, spans).write().into()
    }

    /// The attributes that a span's message lacks, if it was not edited otherwise.
    fn appended(&self, span: &Span) -> &[Attribute] {
        let attributes = self.span_attributes(span);
        &attributes[attributes.len().saturating_sub(span.appended.into())..]
    }
}

/// Content, or a part of it: as it came, or newly encoded.
#[derive(Clone, Copy)]
enum Piece {
    Old(Text),
    New { start: usize, end: usize },
}

/// Spans that are written at once.
#[derive(Clone, Copy)]
enum Run {
    /// One after the other as they came, with the fields' headers between them. The first one's
    /// length, because its header is written anew.
    Old { first: u32, spans: Text },
    /// One, as it came as far as it did, and what is new behind that.
    New { old: Text, start: usize, end: usize },
}

/// What a request is made of, with the length of everything, so that it is written in one pass.
struct Layout<'a> {
    batch: &'a SpanBatch,
    /// The messages that had to be encoded.
    new: Vec<u8>,
    resources: Vec<(u32, Piece, usize)>,
    /// With its resource's place among `resources`.
    scopes: Vec<(usize, u32, Piece, usize)>,
    /// With its scope's place among `scopes`.
    runs: Vec<(usize, Run)>,
    /// The attributes that were appended to a span, and what they were encoded to: the next span
    /// often got the same.
    appended: (&'a [Attribute], usize, usize),
}

impl<'a> Layout<'a> {
    fn of(batch: &'a SpanBatch, spans: impl Iterator<Item = &'a Span>) -> Self {
        let mut layout = Self {
            batch,
            new: Vec::new(),
            resources: Vec::new(),
            scopes: Vec::new(),
            runs: Vec::new(),
            appended: (&[], 0, 0),
        };
        for span in spans {
            layout.add(span);
        }
        for (resource, _, _, length) in &layout.scopes {
            layout.resources[*resource].2 += field_length(*length);
        }
        layout
    }

    fn add(&mut self, span: &'a Span) {
        let batch = self.batch;
        if self.scopes.last().is_none_or(|last| last.1 != span.scope) {
            let scope = &batch.scopes[span.scope as usize];
            if self.resources.last().is_none_or(|last| last.0 != scope.resource) {
                let resource = &batch.resources[scope.resource as usize];
                let piece = self.piece(resource.edited, resource.message, |out| {
                    encode_resource(out, batch, resource);
                });
                let length = self.field_length_unless_empty(piece)
                    + text_length_unless_empty(resource.schema_url);
                self.resources.push((scope.resource, piece, length));
            }
            let piece =
                self.piece(scope.edited, scope.message, |out| encode_scope(out, batch, scope));
            let length =
                self.field_length_unless_empty(piece) + text_length_unless_empty(scope.schema_url);
            self.scopes.push((self.resources.len() - 1, span.scope, piece, length));
        }
        let at = self.scopes.len() - 1;
        self.scopes[at].3 += self.add_to(at, span);
    }

    /// Adds a span to the scope at a place, and tells what it takes as a field.
    fn add_to(&mut self, at: usize, span: &'a Span) -> usize {
        let message = span.message;
        if span.edited {
            let start = self.new.len();
            encode_span(&mut self.new, self.batch, span);
            let end = self.new.len();
            self.runs.push((at, Run::New { old: Text::EMPTY, start, end }));
            return field_length(end - start);
        }
        if span.appended > 0 {
            let attributes = self.batch.appended(span);
            if !are_same(attributes, self.appended.0) {
                let start = self.new.len();
                put_attributes(&mut self.new, 9, self.batch, attributes);
                self.appended = (attributes, start, self.new.len());
            }
            let (_, start, end) = self.appended;
            self.runs.push((at, Run::New { old: message, start, end }));
            return field_length(message.len() + end - start);
        }
        let length = field_length(message.len());
        let header = length - message.len();
        let start = message.offset as usize;
        match self.runs.last_mut() {
            // So many bytes between two spans are the header of the second, as short as it can be.
            Some((own, Run::Old { spans, .. }))
                if *own == at
                    && spans.offset as usize + spans.len() + header == start
                    && start + message.len() <= self.batch.bytes.len() =>
            {
                spans.length += header as u32 + message.length;
            }
            _ => self.runs.push((at, Run::Old { first: message.length, spans: message })),
        }
        length
    }

    fn piece(&mut self, edited: bool, message: Text, encode: impl FnOnce(&mut Vec<u8>)) -> Piece {
        if !edited {
            return Piece::Old(message);
        }
        let start = self.new.len();
        encode(&mut self.new);
        Piece::New { start, end: self.new.len() }
    }

    fn length(&self, piece: Piece) -> usize {
        match piece {
            Piece::Old(text) => text.len(),
            Piece::New { start, end } => end - start,
        }
    }

    fn field_length_unless_empty(&self, piece: Piece) -> usize {
        match self.length(piece) {
            0 => 0,
            length => field_length(length),
        }
    }

    fn put_unless_empty(&self, out: &mut Vec<u8>, number: u32, piece: Piece) {
        let bytes = match piece {
            Piece::Old(text) => self.batch.bytes_of(text),
            Piece::New { start, end } => &self.new[start..end],
        };
        put_bytes_unless_empty(out, number, bytes);
    }

    fn put_run(&self, out: &mut Vec<u8>, number: u32, run: Run) {
        match run {
            Run::Old { first, spans } => {
                put_header(out, number, first as usize);
                out.extend_from_slice(self.batch.bytes_of(spans));
            }
            Run::New { old, start, end } => {
                put_header(out, number, old.len() + end - start);
                out.extend_from_slice(self.batch.bytes_of(old));
                out.extend_from_slice(&self.new[start..end]);
            }
        }
    }

    fn write(&self) -> Vec<u8> {
        let length = self.resources.iter().map(|resource| field_length(resource.2)).sum();
        let mut out = Vec::with_capacity(length);
        let mut scopes = self.scopes.iter().enumerate().peekable();
        let mut runs = self.runs.iter().peekable();
        for (at, &(index, piece, length)) in self.resources.iter().enumerate() {
            put_header(&mut out, 1, length);
            self.put_unless_empty(&mut out, 1, piece);
            while let Some((place, &(_, index, piece, length))) =
                scopes.next_if(|(_, scope)| scope.0 == at)
            {
                put_header(&mut out, 2, length);
                self.put_unless_empty(&mut out, 1, piece);
                while let Some(&(_, run)) = runs.next_if(|run| run.0 == place) {
                    self.put_run(&mut out, 2, run);
                }
                let schema_url = self.batch.scopes[index as usize].schema_url;
                put_bytes_unless_empty(&mut out, 3, self.batch.bytes_of(schema_url));
            }
            let schema_url = self.batch.resources[index as usize].schema_url;
            put_bytes_unless_empty(&mut out, 3, self.batch.bytes_of(schema_url));
        }
        out
    }
}

/// Whether attributes are encoded to the same bytes, as far as their texts' places tell.
fn are_same(left: &[Attribute], right: &[Attribute]) -> bool {
    let same = |(left, right): (&Attribute, &Attribute)| match (left.value, right.value) {
        // There are two zeros.
        (Value::Double(_), Value::Double(_)) => false,
        _ => left == right,
    };
    left.len() == right.len() && left.iter().zip(right).all(same)
}

/// What a length-delimited field takes, its number being below 16.
fn field_length(content: usize) -> usize {
    1 + varint_length(content as u64) + content
}

fn text_length_unless_empty(text: Text) -> usize {
    if text.is_empty() { 0 } else { field_length(text.len()) }
}

fn put_header(out: &mut Vec<u8>, number: u32, length: usize) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, length as u64);
}

/// Appends the fields of a message that the index does not hold.
fn copy_unknown(out: &mut Vec<u8>, message: &[u8], known: Range<u32>) {
    let mut reader = Reader::new(message);
    let mut start = 0;
    // The decoder went through it before.
    while let Ok(Some((number, _))) = reader.next_field() {
        if !known.contains(&number) {
            out.extend_from_slice(&message[start..reader.position()]);
        }
        start = reader.position();
    }
}

fn encode_resource(out: &mut Vec<u8>, batch: &SpanBatch, resource: &Resource) {
    put_attributes(out, 1, batch, batch.resource_attributes(resource));
    put_varint_unless_zero(out, 2, u64::from(resource.dropped_attributes_count));
    copy_unknown(out, batch.bytes_of(resource.message), RESOURCE_FIELDS);
}

fn encode_scope(out: &mut Vec<u8>, batch: &SpanBatch, scope: &Scope) {
    put_bytes_unless_empty(out, 1, batch.bytes_of(scope.name));
    put_bytes_unless_empty(out, 2, batch.bytes_of(scope.version));
    put_attributes(out, 3, batch, batch.scope_attributes(scope));
    put_varint_unless_zero(out, 4, u64::from(scope.dropped_attributes_count));
    copy_unknown(out, batch.bytes_of(scope.message), SCOPE_FIELDS);
}

fn encode_span(out: &mut Vec<u8>, batch: &SpanBatch, span: &Span) {
    put_span(out, batch, span);
    copy_unknown(out, batch.bytes_of(span.message), SPAN_FIELDS);
}

/// Appends the fields of a span that the index holds.
pub(crate) fn put_span(out: &mut Vec<u8>, batch: &SpanBatch, span: &Span) {
    put_bytes_field(out, 1, &span.trace_id.0);
    put_bytes_field(out, 2, &span.span_id.0);
    put_bytes_unless_empty(out, 3, batch.bytes_of(span.trace_state));
    if !span.parent_span_id.is_none() {
        put_bytes_field(out, 4, &span.parent_span_id.0);
    }
    put_bytes_unless_empty(out, 5, batch.bytes_of(span.name));
    put_varint_unless_zero(out, 6, span.kind as u64);
    put_fixed64_field(out, 7, span.start_unix_nano);
    put_fixed64_field(out, 8, span.end_unix_nano);
    put_attributes(out, 9, batch, batch.span_attributes(span));
    put_varint_unless_zero(out, 10, u64::from(span.dropped_attributes_count));
    for event in batch.span_events(span) {
        put_header(out, 11, event_length(batch, event));
        put_fixed64_field(out, 1, event.time_unix_nano);
        put_bytes_unless_empty(out, 2, batch.bytes_of(event.name));
        put_attributes(out, 3, batch, batch.event_attributes(event));
        put_varint_unless_zero(out, 4, u64::from(event.dropped_attributes_count));
    }
    put_varint_unless_zero(out, 12, u64::from(span.dropped_events_count));
    for link in batch.span_links(span) {
        put_link(out, batch, link);
    }
    put_varint_unless_zero(out, 14, u64::from(span.dropped_links_count));
    if span.status_code != 0 || !span.status_message.is_empty() {
        let code = span.status_code as u64;
        let code_length = if code == 0 { 0 } else { 1 + varint_length(code) };
        put_header(out, 15, text_length_unless_empty(span.status_message) + code_length);
        put_bytes_unless_empty(out, 2, batch.bytes_of(span.status_message));
        put_varint_unless_zero(out, 3, code);
    }
    if span.flags != 0 {
        put_fixed32_field(out, 16, span.flags);
    }
}

fn event_length(batch: &SpanBatch, event: &Event) -> usize {
    9 + text_length_unless_empty(event.name)
        + attributes_length(batch.event_attributes(event))
        + count_length(event.dropped_attributes_count)
}

fn put_link(out: &mut Vec<u8>, batch: &SpanBatch, link: &Link) {
    let trace_length = if link.trace_id.is_none() { 0 } else { 18 };
    let span_length = if link.span_id.is_none() { 0 } else { 10 };
    let length = trace_length
        + span_length
        + text_length_unless_empty(link.trace_state)
        + attributes_length(batch.link_attributes(link))
        + count_length(link.dropped_attributes_count)
        + if link.flags == 0 { 0 } else { 5 };
    put_header(out, 13, length);
    if trace_length > 0 {
        put_bytes_field(out, 1, &link.trace_id.0);
    }
    if span_length > 0 {
        put_bytes_field(out, 2, &link.span_id.0);
    }
    put_bytes_unless_empty(out, 3, batch.bytes_of(link.trace_state));
    put_attributes(out, 4, batch, batch.link_attributes(link));
    put_varint_unless_zero(out, 5, u64::from(link.dropped_attributes_count));
    if link.flags != 0 {
        put_fixed32_field(out, 6, link.flags);
    }
}

fn count_length(count: u32) -> usize {
    if count == 0 { 0 } else { 1 + varint_length(count.into()) }
}

/// What the attributes take as fields of a number below 16.
fn attributes_length(attributes: &[Attribute]) -> usize {
    attributes.iter().map(|attribute| field_length(key_value_length(attribute))).sum()
}

fn key_value_length(attribute: &Attribute) -> usize {
    text_length_unless_empty(attribute.key) + field_length(value_length(attribute.value))
}

/// What a value takes as an `AnyValue`.
fn value_length(value: Value) -> usize {
    match value {
        Value::Empty => 0,
        Value::Bool(_) => 2,
        Value::Int(number) => 1 + varint_length(number as u64),
        Value::Double(_) => 9,
        Value::String(text)
        | Value::Bytes(text)
        | Value::Array(text)
        | Value::KeyValueList(text) => field_length(text.len()),
    }
}

/// Appends attributes as fields of a number below 16.
fn put_attributes(out: &mut Vec<u8>, number: u32, batch: &SpanBatch, attributes: &[Attribute]) {
    for attribute in attributes {
        put_header(out, number, key_value_length(attribute));
        put_bytes_unless_empty(out, 1, batch.bytes_of(attribute.key));
        put_header(out, 2, value_length(attribute.value));
        crate::encode_any_value(out, batch, attribute.value);
    }
}
