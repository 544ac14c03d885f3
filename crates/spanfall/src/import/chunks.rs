//! Requests of a bounded size, out of documents of any.

use std::collections::HashSet;

use model::{Attribute, Span, SpanBatch, TracesEncoder, Value};

use super::report::Place;

/// OTLP's gRPC servers take no more by default; HTTP servers take more.
pub const CHUNK_BYTES_MAX: usize = 4 << 20;
/// Some servers count spans.
pub const CHUNK_SPANS_MAX: usize = 8192;

/// Tags and lengths of one field or message.
const FRAME_BYTES: usize = 12;
/// Ids, times and numbers of a span, with their tags.
const SPAN_FIXED_BYTES: usize = 160;

/// A request to send.
#[derive(Debug)]
pub struct Chunk {
    /// An `ExportTraceServiceRequest`.
    pub bytes: Vec<u8>,
    /// Spans in it.
    pub spans: usize,
    /// Where the first of them comes from.
    pub first: Place,
}

/// Gathers small documents and cuts large ones.
#[derive(Debug)]
pub struct Chunker {
    bytes_max: usize,
    spans_max: usize,
    /// Requests, one after the other: together they are one request, as protobuf joins repeated
    /// fields ("Last One Wins").
    bytes: Vec<u8>,
    spans: usize,
    first: Option<Place>,
}

impl Default for Chunker {
    fn default() -> Self {
        Self::new(CHUNK_BYTES_MAX, CHUNK_SPANS_MAX)
    }
}

impl Chunker {
    fn new(bytes_max: usize, spans_max: usize) -> Self {
        Self { bytes_max, spans_max, bytes: Vec::new(), spans: 0, first: None }
    }

    /// Adds a document's spans and gives the chunks that are full. Only a chunk of a single span
    /// is ever larger than the limit.
    pub fn add(&mut self, batch: &SpanBatch, place: &Place) -> Vec<Chunk> {
        let mut full = Vec::new();
        // What was left out must not be sent: it would be rejected, and counted, again.
        let is_whole = batch.rejection().spans == 0;
        if is_whole && self.fits(batch.bytes().len(), batch.len()) {
            self.push(batch.bytes(), batch.len(), place, &mut full);
            return full;
        }
        let mut part = Part::default();
        for span in batch.spans() {
            let mut bytes = part.cost(batch, span);
            if part.spans > 0 && !self.fits(part.bytes + bytes, part.spans + 1) {
                self.push_part(std::mem::take(&mut part), place, &mut full);
                bytes = part.cost(batch, span);
            }
            part.add(batch, span, bytes);
        }
        self.push_part(part, place, &mut full);
        full
    }

    /// The rest.
    pub fn finish(&mut self) -> Option<Chunk> {
        let first = self.first.take()?;
        let bytes = std::mem::take(&mut self.bytes);
        Some(Chunk { bytes, spans: std::mem::take(&mut self.spans), first })
    }

    fn fits(&self, bytes: usize, spans: usize) -> bool {
        bytes <= self.bytes_max && spans <= self.spans_max
    }

    fn push_part(&mut self, part: Part, place: &Place, full: &mut Vec<Chunk>) {
        self.push(&part.encoder.finish(), part.spans, place, full);
    }

    fn push(&mut self, bytes: &[u8], spans: usize, place: &Place, full: &mut Vec<Chunk>) {
        if spans == 0 {
            return;
        }
        if !self.fits(self.bytes.len() + bytes.len(), self.spans + spans) {
            full.extend(self.finish());
        }
        self.first.get_or_insert_with(|| place.clone());
        self.bytes.extend_from_slice(bytes);
        self.spans += spans;
    }
}

/// A part of a document.
#[derive(Default)]
struct Part {
    encoder: TracesEncoder,
    /// At most so many once encoded.
    bytes: usize,
    spans: usize,
    scopes: HashSet<u32>,
}

impl Part {
    /// Bytes by which a span makes the part longer, at most.
    fn cost(&self, batch: &SpanBatch, span: &Span) -> usize {
        let origin = if self.scopes.contains(&span.scope) { 0 } else { origin_bytes(batch, span) };
        origin + span_bytes(batch, span)
    }

    fn add(&mut self, batch: &SpanBatch, span: &Span, bytes: usize) {
        self.scopes.insert(span.scope);
        self.encoder.span_of(batch, span);
        self.bytes += bytes;
        self.spans += 1;
    }
}

fn origin_bytes(batch: &SpanBatch, span: &Span) -> usize {
    let (scope, resource) = batch.origin(span);
    let texts = [resource.message, resource.schema_url, scope.message, scope.schema_url];
    texts.iter().map(|text| text.len() + FRAME_BYTES).sum::<usize>() + 2 * FRAME_BYTES
}

fn span_bytes(batch: &SpanBatch, span: &Span) -> usize {
    let attributes =
        |attributes: &[Attribute]| -> usize { attributes.iter().map(attribute_bytes).sum() };
    let events: usize = batch
        .span_events(span)
        .iter()
        .map(|event| event.name.len() + 4 * FRAME_BYTES + attributes(batch.event_attributes(event)))
        .sum();
    let links: usize = batch
        .span_links(span)
        .iter()
        .map(|link| {
            24 + link.trace_state.len() + 6 * FRAME_BYTES + attributes(batch.link_attributes(link))
        })
        .sum();
    let texts = [span.name, span.trace_state, span.status_message];
    SPAN_FIXED_BYTES
        + texts.iter().map(|text| text.len() + FRAME_BYTES).sum::<usize>()
        + attributes(batch.span_attributes(span))
        + events
        + links
}

fn attribute_bytes(attribute: &Attribute) -> usize {
    let value = match attribute.value {
        Value::String(text)
        | Value::Bytes(text)
        | Value::Array(text)
        | Value::KeyValueList(text) => text.len(),
        Value::Empty | Value::Bool(_) | Value::Int(_) | Value::Double(_) => 0,
    };
    attribute.key.len() + value + 3 * FRAME_BYTES
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::import::report::Position;

    fn request(seed: u64, spans: usize) -> SpanBatch {
        let options = loadgen::Options { seed, ..loadgen::Options::default() };
        let mut out = Vec::new();
        loadgen::Generator::new(options).request(spans, 1_700_000_000_000_000_000, &mut out);
        SpanBatch::decode(Bytes::from(out)).unwrap()
    }

    fn at(line: usize) -> Place {
        Place { file: "x".to_owned(), position: Position::Text { line, column: 1 } }
    }

    /// What has to survive: the JSON of every span by itself.
    fn spans(batches: &[SpanBatch]) -> Vec<String> {
        let mut all: Vec<String> = batches
            .iter()
            .flat_map(|batch| batch.spans().iter().map(move |span| (batch, span)))
            .map(|(batch, span)| {
                let mut encoder = TracesEncoder::new();
                encoder.span_of(batch, span);
                model::json::encode(&encoder.finish()).unwrap()
            })
            .collect();
        all.sort();
        all
    }

    fn chunk(documents: &[SpanBatch], bytes_max: usize, spans_max: usize) -> Vec<Chunk> {
        let mut chunker = Chunker::new(bytes_max, spans_max);
        let mut chunks: Vec<Chunk> = documents
            .iter()
            .enumerate()
            .flat_map(|(index, batch)| chunker.add(batch, &at(index + 1)))
            .collect();
        chunks.extend(chunker.finish());
        chunks
    }

    fn decoded(chunks: &[Chunk]) -> Vec<SpanBatch> {
        let decode = |chunk: &Chunk| SpanBatch::decode(Bytes::from(chunk.bytes.clone())).unwrap();
        let batches: Vec<SpanBatch> = chunks.iter().map(decode).collect();
        for (chunk, batch) in chunks.iter().zip(&batches) {
            assert_eq!(chunk.spans, batch.len());
        }
        batches
    }

    #[test]
    fn cuts_large_documents() {
        let document = [request(1, 2000)];
        for (bytes_max, spans_max) in [(64 << 10, 8192), (1 << 30, 100), (20 << 10, 50)] {
            let chunks = chunk(&document, bytes_max, spans_max);
            assert!(chunks.len() > 10);
            for chunk in &chunks {
                assert!(chunk.bytes.len() <= bytes_max, "{}", chunk.bytes.len());
                assert!(chunk.spans <= spans_max);
            }
            assert_eq!(spans(&decoded(&chunks)), spans(&document));
        }
    }

    #[test]
    fn cuts_no_finer_than_spans() {
        let document = [request(2, 5)];
        let chunks = chunk(&document, 1, 8192);
        assert_eq!(chunks.len(), 5);
        assert_eq!(spans(&decoded(&chunks)), spans(&document));
    }

    #[test]
    fn gathers_small_documents() {
        let documents: Vec<SpanBatch> = (0..40).map(|seed| request(seed, 10)).collect();
        let chunks = chunk(&documents, 64 << 10, 100);
        assert_eq!(chunks.len(), 4);
        assert_eq!(chunks[1].first, at(11));
        assert_eq!(spans(&decoded(&chunks)), spans(&documents));
        assert!(chunk(&[request(1, 0)], 100, 100).is_empty());
    }

    #[test]
    fn leaves_out_what_is_invalid() {
        let good = request(3, 2);
        let mut bytes = good.bytes().to_vec();
        // A span without ids.
        bytes.extend_from_slice(&[0x0a, 4, 0x12, 2, 0x12, 0]);
        let document = SpanBatch::decode(Bytes::from(bytes)).unwrap();
        assert_eq!(document.rejection().spans, 1);
        let chunks = decoded(&chunk(&[document], 64 << 10, 100));
        assert_eq!(chunks[0].rejection().spans, 0);
        assert_eq!(spans(&chunks), spans(&[good]));
    }

    #[test]
    fn costs_are_upper_bounds() {
        let sample = Bytes::from(loadgen::sample_trace(1, 1_700_000_000_000_000_000));
        for batch in [request(4, 300), SpanBatch::decode(sample).unwrap()] {
            for span in batch.spans() {
                let mut part = Part::default();
                let cost = part.cost(&batch, span);
                part.add(&batch, span, cost);
                let actual = part.encoder.finish().len();
                assert!(actual <= cost && cost < actual + 1500, "{actual} bytes cost {cost}");
            }
        }
    }
}
