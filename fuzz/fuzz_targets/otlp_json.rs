//! Any text is refused, or becomes protobuf that every reader takes and that can be written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{SpanBatch, json};

fuzz_target!(|document: &[u8]| {
    let Ok(bytes) = json::decode(document) else {
        return;
    };
    let written = json::encode(&bytes).expect("what decode wrote, encode reads");
    let again = json::decode(written.as_bytes()).expect("what encode wrote, decode reads");
    let batch = SpanBatch::decode(bytes.into()).expect("decode writes whole messages");
    let batch_again = SpanBatch::decode(again.into()).expect("decode writes whole messages");
    // A malformed id costs its span even where a good one under the same name follows; encode
    // writes only the latter. So rejections may become fewer, but no span is lost or made up.
    assert!(batch.len() <= batch_again.len());
    let spans = |batch: &SpanBatch| batch.len() as u64 + batch.rejection().spans;
    assert_eq!(spans(&batch), spans(&batch_again));
});
