//! OTLP JSON out and in again, here and in `opentelemetry-proto`'s serde.

use bytes::Bytes;
use model::{SpanBatch, json};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use crate::arbitrary::{Shape, damaged, damages};

type Request = ExportTraceServiceRequest;

/// By bytes, which lets NaN equal itself.
fn same(actual: &Request, expected: &Request) -> Result<(), TestCaseError> {
    let equal = actual.encode_to_vec() == expected.encode_to_vec();
    prop_assert!(equal, "{:#?}\ninstead of\n{:#?}", actual, expected);
    Ok(())
}

/// Whatever the text: no panic, and what is taken is protobuf that both sides read.
fn harmless(text: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(bytes) = json::decode(text) {
        prop_assert!(Request::decode(&bytes[..]).is_ok());
        prop_assert!(SpanBatch::decode(Bytes::from(bytes.clone())).is_ok());
        prop_assert!(json::encode(&bytes).is_ok());
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_field_survives(request in Shape::Any.request()) {
        let text = json::encode(&request.encode_to_vec()).unwrap();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        let bytes = json::decode(text.as_bytes()).unwrap();
        same(&Request::decode(&bytes[..]).unwrap(), &request)?;
    }

    #[test]
    fn serde_reads_what_we_write(request in Shape::Tame.request()) {
        let text = json::encode(&request.encode_to_vec()).unwrap();
        let read: Request = serde_json::from_str(&text)
            .map_err(|error| TestCaseError::fail(format!("{error} in {text}")))?;
        same(&read, &request)?;
    }

    #[test]
    fn we_read_what_serde_writes(request in Shape::Tame.request()) {
        let text = serde_json::to_string_pretty(&request).unwrap();
        let bytes = json::decode(text.as_bytes())
            .map_err(|error| TestCaseError::fail(format!("{error} in {text}")))?;
        same(&Request::decode(&bytes[..]).unwrap(), &request)?;
    }

    /// Fields in any order and messages in pieces are the same message.
    #[test]
    fn writes_scattered_messages(one in Shape::Any.request(), other in Shape::Any.request()) {
        let (Some(one), Some(other)) = (one.resource_spans.first(), other.resource_spans.first())
        else {
            return Ok(());
        };
        let pieces = [one.encode_to_vec(), other.encode_to_vec()].concat();
        let mut bytes = Vec::new();
        model::wire::put_bytes_field(&mut bytes, 1, &pieces);
        let merged = Request::decode(&bytes[..]).unwrap();
        let read = json::decode(json::encode(&bytes).unwrap().as_bytes()).unwrap();
        same(&Request::decode(&read[..]).unwrap(), &merged)?;
    }

    #[test]
    fn damaged_documents_do_no_harm(
        request in Shape::Any.request(),
        damages in damages(),
    ) {
        let text = json::encode(&request.encode_to_vec()).unwrap();
        harmless(&damaged(text.into_bytes(), &damages))?;
    }

    #[test]
    fn arbitrary_text_does_no_harm(text in vec(prop::sample::select(
        br#"{}[]",:\u0dD8-+.eE1 tfnrueals"#.to_vec()), 0..40)) {
        harmless(&text)?;
        let inside = [br#"{"resourceSpans":[{"scopeSpans":"#, &text[..], b"}]}"].concat();
        harmless(&inside)?;
    }

    #[test]
    fn damaged_protobuf_is_written_or_refused(
        request in Shape::Any.request(),
        damages in damages(),
    ) {
        let bytes = damaged(request.encode_to_vec(), &damages);
        if let Ok(text) = json::encode(&bytes) {
            prop_assert!(json::decode(text.as_bytes()).is_ok(), "{}", text);
        }
    }
}
