//! Any bytes are refused, or become spans that survive being written, as protobuf and as JSON.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use model::{SpanBatch, TracesEncoder, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(batch) = SpanBatch::decode(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let mut encoder = TracesEncoder::new();
    for span in batch.spans() {
        encoder.span_of(&batch, span);
        for attribute in batch.span_attributes(span) {
            json::value_text(&batch, attribute.value);
        }
    }
    let again = SpanBatch::decode(encoder.finish().into()).expect("the encoder writes protobuf");
    assert_eq!(again.len(), batch.len());
    assert_eq!(again.rejection().spans, 0, "{}", again.rejection().reason);
    json::encode(bytes).expect("what SpanBatch took, JSON can show");
});
