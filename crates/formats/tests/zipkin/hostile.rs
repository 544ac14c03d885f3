//! Payloads that are none, that are too much, and spans that cannot be.

use formats::thrift::{Protocol, Writer};
use formats::zipkin::{
    json_to_otlp, otlp_to_proto, proto_to_otlp, v1_json_to_otlp, v1_thrift_to_otlp,
};
use formats::{Converted, FormatError, Limits};
use model::wire::{put_bytes_field, put_message, put_varint_field};
use proptest::prelude::*;

use super::*;

const FEW: Limits = Limits { elements_max: 20, span_elements_max: 4 };

type Read = fn(&[u8], TagTypes, Limits) -> Result<Converted, FormatError>;

const ALL: [(&str, Read); 4] = [
    ("v2 json", json_to_otlp),
    ("v2 proto", proto_to_otlp),
    ("v1 json", v1_json_to_otlp),
    ("v1 thrift", v1_thrift_to_otlp),
];

fn text(read: Read, text: &str) -> Result<Converted, FormatError> {
    read(text.as_bytes(), TagTypes::Text, FEW)
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let bytes = |read: Read, bytes: &[u8]| read(bytes, TagTypes::Text, FEW);
    for (found, what, position) in [
        (text(json_to_otlp, ""), "EOF", 0),
        (text(json_to_otlp, "{}"), "a list of Zipkin spans", 0),
        (text(json_to_otlp, "[\n {\"traceId\": 1}]"), "integer", 15),
        (text(json_to_otlp, "[] x"), "trailing", 3),
        (text(json_to_otlp, "[[[[["), "string", 1),
        (text(v1_json_to_otlp, "[{\"annotations\": 7}]"), "a list", 17),
        (text(v1_json_to_otlp, "[{\"binaryAnnotations\":[{\"value\":[]}]}]"), "tag", 33),
        (bytes(proto_to_otlp, &[0x0a, 9, 1]), "ends inside", 0),
        (bytes(proto_to_otlp, &[0x08, 1]), "wrong wire type", 0),
        (bytes(proto_to_otlp, &[0x10, 1, 0x0a, 2, 0x08, 1]), "wrong wire type", 2),
        (bytes(v1_thrift_to_otlp, &[]), "end inside", 0),
        (bytes(v1_thrift_to_otlp, &[10, 0, 0, 0, 1, 0]), "a list of I64", 0),
        (bytes(v1_thrift_to_otlp, &[12, 0x7f, 0, 0, 0, 0]), "elements where 1", 0),
    ] {
        let error = found.expect_err(what);
        assert!(error.what.contains(what), "{what}: {error}");
        assert_eq!(error.position, position, "{error}");
    }
}

/// Spans with so many tags or annotations each, in every encoding.
fn filled(counts: &[usize]) -> [Vec<u8>; 4] {
    let json = |key: &str| {
        let span = |count: &usize| {
            let list: Vec<_> =
                (0..*count).map(|_| json!({ "timestamp": 1, "value": "a" })).collect();
            json!({ "traceId": "1", "id": "1", (key): list })
        };
        let spans: Vec<_> = counts.iter().map(span).collect();
        json!(spans).to_string().into_bytes()
    };
    let mut proto = Vec::new();
    for &count in counts {
        put_message(&mut proto, 1, |out| {
            put_bytes_field(out, 1, &[1; 16]);
            put_bytes_field(out, 3, &[1; 8]);
            (0..count).for_each(|_| put_bytes_field(out, 10, &[]));
        });
    }
    let mut thrift = Writer::new(Protocol::Binary);
    thrift.structs(counts, |writer, &count| {
        writer.i64_field(1, 1);
        writer.i64_field(4, 1);
        writer.structs_field(6, &vec![(); count], |_, ()| {});
    });
    [json("annotations"), proto, json("annotations"), thrift.finish()]
}

#[test]
fn too_much_is_counted_before_it_is_kept() {
    for ((name, read), bytes) in ALL.iter().zip(filled(&[4, 5, 0])) {
        let found = read(&bytes, TagTypes::Text, FEW).unwrap();
        assert_eq!((found.spans, found.rejection.spans), (2, 1), "{name}");
        assert!(found.rejection.reason.contains("more than 4"), "{name}: {:?}", found.rejection);
    }
    for ((name, read), bytes) in ALL.iter().zip(filled(&[4; 5])) {
        let error = read(&bytes, TagTypes::Text, FEW).expect_err(name);
        assert!(error.what.contains("more than 20"), "{name}: {error}");
        assert!(error.position > 0, "{name}: {error}");
    }
    let many = format!("[{{\"annotations\":[{}{{}}]}}]", "{},".repeat(model::SPAN_ELEMENTS_MAX));
    for read in [json_to_otlp, v1_json_to_otlp] {
        let error = read(many.as_bytes(), TagTypes::Text, Limits::default()).unwrap_err();
        assert!(error.what.contains("more than 131072 elements"), "{error}");
    }
}

#[test]
fn spans_that_cannot_be_are_left_out() {
    let good = r#"{"traceId":"1","id":"2"}"#;
    for (bad, reason) in [
        (r#"{"traceId":"0","id":"2"}"#, "traceId: all zeros"),
        (r#"{"id":"2"}"#, "traceId"),
        (r#"{"traceId":"1","id":"xyz"}"#, "id: \"xyz\""),
        (r#"{"traceId":"1","id":"2","parentId":"-"}"#, "parentId"),
        (r#"{"traceId":"1","id":"2","timestamp":18446744073709552}"#, "timestamp"),
    ] {
        for read in [json_to_otlp, v1_json_to_otlp] {
            let found = text(read, &format!("[{bad},{good}]")).unwrap();
            assert_eq!((found.spans, found.rejection.spans), (1, 1), "{bad}");
            assert!(found.rejection.reason.contains(reason), "{bad}: {:?}", found.rejection);
        }
    }
    let with = |trace_id: &[u8], id: &[u8], name: &[u8]| {
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            put_bytes_field(out, 1, trace_id);
            put_bytes_field(out, 3, id);
            put_bytes_field(out, 5, name);
        });
        proto_to_otlp(&out, TagTypes::Text, FEW).unwrap().rejection.reason
    };
    for (found, reason) in [
        (with(&[1; 3], &[1; 8], b""), "a span's trace id has 3 bytes"),
        (with(&[1; 16], &[1; 16], b""), "a span's id has 16 bytes"),
        (with(&[0; 16], &[1; 8], b""), "a span's traceId: all zeros mean no id"),
        (with(&[1; 16], &[1; 8], &[0xff]), "a span's text is not valid UTF-8"),
        (with(&[1; 16], &[1; 8], b"fine"), ""),
    ] {
        assert_eq!(found, reason);
    }
    // A span of Thrift without ids, and one with both.
    let mut thrift = Writer::new(Protocol::Binary);
    thrift.structs(&[0, 1], |writer, &id| {
        writer.i64_field(1, id);
        writer.i64_field(4, id);
        writer.i64_field(10, -5);
    });
    let found = v1_thrift_to_otlp(&thrift.finish(), TagTypes::Text, FEW).unwrap();
    assert_eq!((found.spans, found.rejection.spans), (1, 1));
}

#[test]
fn empty_lists_have_no_spans() {
    assert!(otlp_to_proto(&SpanBatch::default(), "").is_empty());
    let mut unknown = Vec::new();
    put_varint_field(&mut unknown, 9, 1);
    for (read, bytes) in [
        (json_to_otlp as Read, &b"[]"[..]),
        (v1_json_to_otlp, b" [ ] "),
        (proto_to_otlp, b""),
        (proto_to_otlp, &unknown),
        (v1_thrift_to_otlp, &[12, 0, 0, 0, 0]),
        (v1_thrift_to_otlp, &[0, 0, 0, 0, 0]),
    ] {
        assert_eq!(read(bytes, TagTypes::Text, FEW).unwrap(), Converted::default(), "{bytes:?}");
    }
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
    #[test]
    fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (_, read) in ALL {
            holds(read(&bytes, TagTypes::Parsed, FEW), bytes.len());
        }
    }

    /// Payloads that are nearly right.
    #[test]
    fn damaged_payloads_are_an_answer(
        counts in proptest::collection::vec(0..5_usize, 1..5),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<proptest::sample::Index>(),
    ) {
        for ((_, read), mut payload) in ALL.iter().zip(filled(&counts)) {
            let place = at.index(payload.len());
            payload[place] = byte;
            holds(read(&payload, TagTypes::Parsed, Limits::default()), payload.len());
            payload.truncate(cut.index(payload.len()));
            holds(read(&payload, TagTypes::Parsed, Limits::default()), payload.len());
        }
    }
}
