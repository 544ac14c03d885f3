//! Protobuf in and out, with prost as the oracle.

use bytes::Bytes;
use model::wire::WireError;
use model::{DecodeError, SpanBatch, TracesEncoder, json};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use crate::arbitrary::{Shape, damaged, damages};

/// One request per span with what the encoder is free to choose chosen: absent messages empty,
/// an empty status absent, absent attribute values empty. Sorted by bytes, which also lets NaN
/// equal itself.
pub fn spans_alone(request: &ExportTraceServiceRequest) -> Vec<(Vec<u8>, ResourceSpans)> {
    let mut alone = Vec::new();
    for resource_spans in &request.resource_spans {
        for scope_spans in &resource_spans.scope_spans {
            for span in &scope_spans.spans {
                let mut span = span.clone();
                span.status = span.status.filter(|status| status.encoded_len() > 0);
                present(&mut span.attributes);
                span.events.iter_mut().for_each(|event| present(&mut event.attributes));
                span.links.iter_mut().for_each(|link| present(&mut link.attributes));
                let mut resource = resource_spans.resource.clone().unwrap_or_default();
                let mut scope = scope_spans.scope.clone().unwrap_or_default();
                present(&mut resource.attributes);
                present(&mut scope.attributes);
                let one = ResourceSpans {
                    resource: Some(resource),
                    scope_spans: vec![ScopeSpans {
                        scope: Some(scope),
                        spans: vec![span],
                        schema_url: scope_spans.schema_url.clone(),
                    }],
                    schema_url: resource_spans.schema_url.clone(),
                };
                alone.push((one.encode_to_vec(), one));
            }
        }
    }
    alone.sort_by(|(one, _), (other, _)| one.cmp(other));
    alone
}

fn present(attributes: &mut [KeyValue]) {
    for attribute in attributes {
        attribute.value.get_or_insert(AnyValue { value: None });
    }
}

fn encoded_again(batch: &SpanBatch) -> Vec<u8> {
    let mut encoder = TracesEncoder::new();
    for span in batch.spans() {
        encoder.span_of(batch, span);
    }
    encoder.finish()
}

fn spans_in(request: &ExportTraceServiceRequest) -> usize {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

/// Why prost refuses what `SpanBatch` takes, all by design:
/// text that is not UTF-8 costs one span; attribute values may be 64 deep, which are more than
/// prost's 100 messages; what only profiles use passes through unread; a varint's bits above 64
/// are dropped, as protobuf's own C++ reader does.
const STRICTER_IN_PROST: [&str; 4] = ["UTF-8", "recursion limit", "strindex", "invalid varint"];

fn agree(bytes: Vec<u8>) -> Result<(), TestCaseError> {
    let ours = SpanBatch::decode(Bytes::from(bytes.clone()));
    let theirs = ExportTraceServiceRequest::decode(&bytes[..]);
    match (ours, theirs) {
        (Ok(batch), Ok(request)) => {
            let ours = batch.len() as u64 + batch.rejection().spans;
            prop_assert_eq!(ours, spans_in(&request) as u64);
        }
        (Ok(_), Err(error)) => {
            let text = error.to_string();
            prop_assert!(STRICTER_IN_PROST.iter().any(|known| text.contains(known)), "{}", text);
        }
        (Err(error), Ok(_)) => {
            // Groups, which prost skips in unknown fields.
            let group =
                matches!(error, DecodeError::Wire { error: WireError::WireType(3 | 4), .. });
            prop_assert!(group, "{}", error);
        }
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_field_survives(request in Shape::Any.request()) {
        let batch = SpanBatch::decode(request.encode_to_vec().into()).unwrap();
        prop_assert_eq!(batch.rejection().spans, 0, "{}", batch.rejection().reason);
        let again = ExportTraceServiceRequest::decode(&encoded_again(&batch)[..]).unwrap();
        let (before, after) = (spans_alone(&request), spans_alone(&again));
        prop_assert_eq!(before.len(), after.len());
        for ((before, was), (after, is)) in before.iter().zip(&after) {
            prop_assert!(before == after, "{:#?}\nbecame\n{:#?}", was, is);
        }
    }

    #[test]
    fn agrees_with_prost_on_damaged_requests(
        request in Shape::Any.request(),
        damages in damages(),
    ) {
        agree(damaged(request.encode_to_vec(), &damages))?;
    }

    #[test]
    fn agrees_with_prost_on_arbitrary_bytes(bytes in vec(any::<u8>(), 0..64)) {
        agree(bytes)?;
    }

    #[test]
    fn encodes_again_what_it_took_from_damaged_requests(
        request in Shape::Any.request(),
        damages in damages(),
    ) {
        let bytes = damaged(request.encode_to_vec(), &damages);
        if let Ok(batch) = SpanBatch::decode(bytes.into()) {
            prop_assert!(json::encode(batch.bytes()).is_ok());
            let again = SpanBatch::decode(encoded_again(&batch).into()).unwrap();
            prop_assert_eq!(again.len(), batch.len());
            prop_assert_eq!(again.rejection().spans, 0, "{}", again.rejection().reason);
        }
    }
}
