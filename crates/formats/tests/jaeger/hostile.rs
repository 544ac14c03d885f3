//! Payloads that are none, that are too much, and spans that cannot be.

use formats::jaeger::{
    json_span_to_otlp, proto_batch_to_otlp, proto_span_to_otlp, thrift_batch_to_otlp,
    thrift_message_to_otlp,
};
use formats::thrift::{MessageKind, Protocol, Writer};
use formats::{Converted, FormatError, Limits};
use model::wire::{put_bytes_field, put_message, put_varint_field};

use super::encodings::ENCODINGS;
use super::*;

const FEW: Limits = Limits { elements_max: 20, span_elements_max: 4 };

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let emit = |name: &str, kind: MessageKind| {
        let mut writer = Writer::new(Protocol::Compact);
        writer.message(name, kind, 1);
        writer.structure(|_| {});
        writer.finish()
    };
    let proto = |bytes: &[u8]| proto_batch_to_otlp(bytes, FEW);
    let thrift = |bytes: &[u8]| thrift_batch_to_otlp(bytes, Protocol::Compact, FEW);
    let call = |bytes: &[u8]| thrift_message_to_otlp(bytes, Protocol::Compact, FEW);
    let json = |text: &str| json_span_to_otlp(text.as_bytes(), FEW);
    for (found, what, position) in [
        (proto(&[0x0a, 9, 1]), "ends inside", 0),
        (proto(&[0x12, 0, 0x08, 1]), "wrong wire type", 2),
        (proto_span_to_otlp(&[0x0a, 9, 1], FEW), "ends inside", 0),
        (proto_span_to_otlp(&[0x1a, 1, 0xff], FEW), "UTF-8", 0),
        (thrift(&[]), "end inside", 0),
        (thrift(&[0]), "without its process", 1),
        (thrift(&[0x2c, 0, 0]), "without its process", 3),
        (thrift(&[0x1c, 0, 0x19, 0xfc, 0xff, 0xff, 0xff, 0x7f]), "268435455 elements", 3),
        (thrift(&[0x1c, 0, 0x19, 0x15, 2, 0]), "a list of I32", 3),
        (call(&emit("emitZipkinBatch", MessageKind::Oneway)), "emitZipkinBatch", 0),
        (call(&emit("emitBatch", MessageKind::Reply)), "no call", 0),
        (call(&emit("emitBatch", MessageKind::Call)), "no batch", 14),
        (json(""), "EOF", 0),
        (json("7"), "invalid", 0),
        (json("{\n \"flags\": \"x\" }"), "whole number", 14),
        (json(r#"{"traceId":"xyz"}"#), "trace id", 15),
        (json(r#"{"startTime":"today"}"#), "RFC 3339", 19),
        (json(r#"{"duration":"5"}"#), "seconds", 14),
        (json(r#"{"tags":[{"vBinary":"?"}]}"#), "base64", 22),
    ] {
        let error = found.expect_err(what);
        assert!(error.what.contains(what), "{what}: {error}");
        assert_eq!(error.position, position, "{error}");
        assert!(!error.what.contains(" column "), "{error}");
    }
}

/// A protobuf batch of spans with so many tags each.
fn tagged(counts: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    for &count in counts {
        put_message(&mut out, 1, |out| {
            put_bytes_field(out, 1, &[1; 16]);
            put_bytes_field(out, 2, &[2; 8]);
            (0..count).for_each(|_| put_bytes_field(out, 8, &[]));
        });
    }
    out
}

fn as_thrift(counts: &[usize]) -> Vec<u8> {
    let mut writer = Writer::new(Protocol::Compact);
    writer.structure(|writer| {
        writer.struct_field(1, |_| {});
        writer.structs_field(2, counts, |writer, &count| {
            writer.i64_field(1, 1);
            writer.i64_field(3, 1);
            writer.structs_field(10, &vec![(); count], |_, ()| {});
        });
    });
    writer.finish()
}

#[test]
fn too_much_is_counted_before_it_is_kept() {
    let proto = |counts: &[usize]| proto_batch_to_otlp(&tagged(counts), FEW);
    let thrift =
        |counts: &[usize]| thrift_batch_to_otlp(&as_thrift(counts), Protocol::Compact, FEW);
    for (name, found) in [("proto", proto(&[4, 5, 0])), ("thrift", thrift(&[4, 5, 0]))] {
        let found = found.unwrap();
        assert_eq!((found.spans, found.rejection.spans), (2, 1), "{name}");
        assert!(found.rejection.reason.contains("more than 4"), "{name}: {:?}", found.rejection);
    }
    for (name, found) in [("proto", proto(&[4; 5])), ("thrift", thrift(&[4; 5]))] {
        let error = found.expect_err(name);
        assert!(error.what.contains("more than 20"), "{name}: {error}");
    }
    let json = |logs: &str| {
        let text = format!(
            r#"{{"traceId":"1","spanId":"1","operationName":"{{\"{{","process":{{}},"logs":{logs}}}"#
        );
        json_span_to_otlp(text.as_bytes(), FEW).unwrap()
    };
    assert_eq!(json(r#"[{"fields":[{},{}]},{}]"#).spans, 1);
    assert_eq!(json(r#"[{"fields":[{},{},{}]},{}]"#).rejection.spans, 1);
    // Processes are bounded as spans are.
    let mut process = Vec::new();
    put_message(&mut process, 2, |out| (0..5).for_each(|_| put_bytes_field(out, 2, &[])));
    assert!(proto_batch_to_otlp(&process, FEW).unwrap_err().what.contains("process"));
}

/// The resource of many spans is neither copied for each nor kept for each scope.
#[test]
fn a_large_process_is_kept_once() {
    let mut bytes = Vec::new();
    put_message(&mut bytes, 2, |out| put_bytes_field(out, 1, &vec![b'a'; 2 << 10]));
    for at in 0..5_000_u32 {
        let scope = KeyValue { ..text_tag("otel.scope.name", &at.to_string()) };
        let span = jaeger_span(vec![scope]).encode_to_vec();
        put_bytes_field(&mut bytes, 1, &span);
    }
    let found = proto_batch_to_otlp(&bytes, Limits::default()).unwrap();
    assert_eq!(found.spans, 5_000);
    assert!(found.otlp.len() < 1 << 20);
    let batch = SpanBatch::decode(found.otlp).unwrap();
    assert_eq!((batch.resources().len(), batch.scopes().len()), (1, 5_000));
}

#[test]
fn spans_without_an_id_are_left_out() {
    for (trace_id, span_id, reason) in [
        (vec![0; 16], vec![1; 8], "trace id is missing"),
        (vec![], vec![1; 8], "trace id is missing"),
        (vec![1; 3], vec![1; 8], "trace id has 3 bytes"),
        (vec![1; 16], vec![0; 8], "span id is missing"),
        (vec![1; 16], vec![1; 7], "span id has 7 bytes"),
    ] {
        let bad = Span { trace_id, span_id, ..Span::default() };
        let batch = Batch { spans: vec![bad, jaeger_span(Vec::new())], process: None };
        let found = proto_batch_to_otlp(&batch.encode_to_vec(), Limits::default()).unwrap();
        assert_eq!((found.spans, found.rejection.spans), (1, 1), "{reason}");
        assert!(found.rejection.reason.contains(reason), "{:?}", found.rejection);
    }
    let reference = SpanRef { trace_id: vec![1; 3], span_id: vec![1; 8], ref_type: 0 };
    let bad = Span { references: vec![reference], ..jaeger_span(Vec::new()) };
    let found = proto_span_to_otlp(&bad.encode_to_vec(), Limits::default()).unwrap();
    assert_eq!(found.rejection.reason, "a span's reference's trace id has 3 bytes");
    let mut bytes = Vec::new();
    put_message(&mut bytes, 1, |out| put_bytes_field(out, 3, &[0xff]));
    let found = proto_batch_to_otlp(&bytes, Limits::default()).unwrap();
    assert!(found.rejection.reason.contains("UTF-8"), "{:?}", found.rejection);
}

/// Whatever is taken is a request that its decoder takes, with all of its spans.
fn holds(found: Result<Converted, FormatError>, length: usize) {
    match found {
        Ok(found) => {
            let batch = SpanBatch::decode(found.otlp).unwrap();
            assert_eq!(batch.len() as u64, found.spans, "{:?}", batch.rejection());
        }
        Err(error) => assert!(error.position <= length, "{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (_, _, read) in ENCODINGS {
            holds(read(&bytes, FEW), bytes.len());
        }
    }

    /// Payloads that are nearly right.
    #[test]
    fn damaged_payloads_are_an_answer(
        request in Shape::Any.request(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<proptest::sample::Index>(),
    ) {
        let batch = decode(request.encode_to_vec());
        for (_, write, read) in ENCODINGS {
            for mut payload in write(&batch) {
                let place = at.index(payload.len());
                payload[place] = byte;
                holds(read(&payload, Limits::default()), payload.len());
                payload.truncate(cut.index(payload.len()));
                holds(read(&payload, Limits::default()), payload.len());
            }
        }
    }
}

#[test]
fn empty_payloads_have_no_spans() {
    for (name, write, _) in ENCODINGS {
        assert!(write(&SpanBatch::default()).is_empty(), "{name}");
    }
    let found = proto_batch_to_otlp(&[], FEW).unwrap();
    assert_eq!(found, Converted::default());
    let mut unknown = Vec::new();
    put_varint_field(&mut unknown, 9, 1);
    assert_eq!(proto_batch_to_otlp(&unknown, FEW).unwrap().spans, 0);
}
