//! Any bytes are refused at a place in them, or become a request with all of their spans, which go
//! through every other encoding. The first byte chooses the encoding.

#![no_main]

use formats::thrift::Protocol::{Binary, Compact};
use formats::zipkin::TagTypes;
use formats::{Converted, FormatError, Limits, jaeger, zipkin};
use libfuzzer_sys::fuzz_target;
use model::SpanBatch;

type Read = fn(&[u8], Limits) -> Result<Converted, FormatError>;
type Write = fn(&SpanBatch) -> Vec<Vec<u8>>;

/// Encodings as they are read and, where they are, written.
const ALL: [(Read, Option<Write>); 12] = [
    (jaeger::proto_batch_to_otlp, Some(|batch| vecs(jaeger::otlp_to_proto_batches(batch)))),
    (jaeger::post_spans_to_otlp, Some(|batch| vecs(jaeger::otlp_to_post_spans(batch)))),
    (jaeger::proto_span_to_otlp, Some(|batch| vecs(jaeger::otlp_to_proto_spans(batch)))),
    (jaeger::json_span_to_otlp, Some(|batch| vecs(jaeger::otlp_to_json_spans(batch)))),
    (
        |bytes, limits| jaeger::thrift_batch_to_otlp(bytes, Binary, limits),
        Some(|batch| jaeger::otlp_to_thrift_batches(batch, Binary)),
    ),
    (
        |bytes, limits| jaeger::thrift_batch_to_otlp(bytes, Compact, limits),
        Some(|batch| jaeger::otlp_to_thrift_batches(batch, Compact)),
    ),
    (
        |bytes, limits| jaeger::thrift_message_to_otlp(bytes, Binary, limits),
        Some(|batch| jaeger::otlp_to_thrift_messages(batch, Binary)),
    ),
    (
        |bytes, limits| jaeger::thrift_message_to_otlp(bytes, Compact, limits),
        Some(|batch| jaeger::otlp_to_thrift_messages(batch, Compact)),
    ),
    (
        |bytes, limits| zipkin::json_to_otlp(bytes, TagTypes::Parsed, limits),
        Some(|batch| {
            let mut out = Vec::new();
            zipkin::write_json(&mut out, batch);
            vec![out]
        }),
    ),
    (
        |bytes, limits| zipkin::proto_to_otlp(bytes, TagTypes::Text, limits),
        Some(|batch| vec![zipkin::otlp_to_proto(batch, "unknown")]),
    ),
    (|bytes, limits| zipkin::v1_json_to_otlp(bytes, TagTypes::Parsed, limits), None),
    (|bytes, limits| zipkin::v1_thrift_to_otlp(bytes, TagTypes::Text, limits), None),
];

fn vecs<T: Into<Vec<u8>>>(payloads: Vec<T>) -> Vec<Vec<u8>> {
    payloads.into_iter().map(Into::into).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, payload)) = bytes.split_first() else {
        return;
    };
    let (read, _) = ALL[usize::from(choice) % ALL.len()];
    let found = match read(payload, Limits::default()) {
        Ok(found) => found,
        Err(error) => return assert!(error.position <= payload.len(), "{error}"),
    };
    let batch = SpanBatch::decode(found.otlp).expect("what is taken is OTLP");
    assert_eq!(batch.len() as u64, found.spans, "{:?}", batch.rejection());
    for (read, write) in ALL {
        let Some(write) = write else { continue };
        let again = write(&batch).into_iter().map(|payload| {
            let found = read(&payload, Limits::default()).expect("what is written is read");
            assert_eq!(found.rejection.spans, 0, "{:?}", found.rejection);
            found.spans
        });
        assert_eq!(again.sum::<u64>(), found.spans);
    }
});
