//! Every encoding of Jaeger's spans comes to the same OTLP and back.

use formats::jaeger::{
    json_span_to_otlp, otlp_to_json_spans, otlp_to_post_spans, otlp_to_proto_batches,
    otlp_to_proto_spans, otlp_to_thrift_batches, otlp_to_thrift_messages, post_spans_to_otlp,
    proto_batch_to_otlp, proto_span_to_otlp, thrift_batch_to_otlp, thrift_message_to_otlp,
};
use formats::thrift::{Protocol, Writer};
use formats::{Converted, FormatError, Limits};

use super::*;

/// An encoding: what a batch is written as, and what that is read as.
type Encoding = (
    &'static str,
    fn(&SpanBatch) -> Vec<Vec<u8>>,
    fn(&[u8], Limits) -> Result<Converted, FormatError>,
);

fn vecs<T: Into<Vec<u8>>>(payloads: Vec<T>) -> Vec<Vec<u8>> {
    payloads.into_iter().map(Into::into).collect()
}

pub(super) const ENCODINGS: [Encoding; 8] = [
    ("proto batch", |batch| vecs(otlp_to_proto_batches(batch)), proto_batch_to_otlp),
    ("post spans", |batch| vecs(otlp_to_post_spans(batch)), post_spans_to_otlp),
    ("proto span", |batch| vecs(otlp_to_proto_spans(batch)), proto_span_to_otlp),
    ("json span", |batch| vecs(otlp_to_json_spans(batch)), json_span_to_otlp),
    (
        "thrift binary",
        |batch| otlp_to_thrift_batches(batch, Protocol::Binary),
        |bytes, limits| thrift_batch_to_otlp(bytes, Protocol::Binary, limits),
    ),
    (
        "thrift compact",
        |batch| otlp_to_thrift_batches(batch, Protocol::Compact),
        |bytes, limits| thrift_batch_to_otlp(bytes, Protocol::Compact, limits),
    ),
    (
        "thrift binary message",
        |batch| otlp_to_thrift_messages(batch, Protocol::Binary),
        |bytes, limits| thrift_message_to_otlp(bytes, Protocol::Binary, limits),
    ),
    (
        "thrift compact message",
        |batch| otlp_to_thrift_messages(batch, Protocol::Compact),
        |bytes, limits| thrift_message_to_otlp(bytes, Protocol::Compact, limits),
    ),
];

/// What Thrift has no place for, taken away: parts of microseconds, warnings.
fn as_thrift(batches: &mut [Batch]) {
    for span in batches.iter_mut().flat_map(|batch| &mut batch.spans) {
        span.warnings.clear();
        let whole = |nanos: &mut i32| *nanos -= *nanos % 1000;
        span.start_time.iter_mut().for_each(|time| whole(&mut time.nanos));
        span.duration.iter_mut().for_each(|length| whole(&mut length.nanos));
        span.logs.iter_mut().filter_map(|log| log.timestamp.as_mut()).for_each(|time| {
            whole(&mut time.nanos);
        });
    }
}

/// Spans in order, each with its process.
fn spans_of(batches: Vec<Batch>) -> Vec<Span> {
    let of_batch = |Batch { process, spans }: Batch| {
        spans.into_iter().map(move |span| Span { process: process.clone(), ..span })
    };
    batches.into_iter().flat_map(of_batch).collect()
}

/// Floating-point numbers as exact as the encoding is: the parser of JSON may miss by the last bit,
/// and proto3 leaves out a zero of either sign.
fn round(spans: &mut [Span], is_json: bool) {
    for span in spans {
        let process = span.process.iter_mut().flat_map(|process| &mut process.tags);
        let logs = span.logs.iter_mut().flat_map(|log| &mut log.fields);
        for tag in span.tags.iter_mut().chain(process).chain(logs) {
            tag.v_float64 += 0.0;
            if is_json {
                tag.v_float64 = format!("{:.12e}", tag.v_float64).parse().unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn all_come_back_the_same(request in Shape::Any.request()) {
        let batch = decode(request.encode_to_vec());
        // Once there and back: whatever is ambiguous is decided.
        let batch = decode(to_otlp(&batches(&batch)));
        for (name, write, read) in ENCODINGS {
            let mut expected = batches(&decode(to_otlp(&batches(&batch))));
            if name.starts_with("thrift") {
                as_thrift(&mut expected);
                expected = batches(&decode(to_otlp(&expected)));
                as_thrift(&mut expected);
            }
            let (mut found, mut count) = (Vec::new(), 0);
            for payload in write(&batch) {
                let converted = read(&payload, Limits::default())
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                prop_assert_eq!(converted.rejection.spans, 0, "{}: {:?}", name, converted.rejection);
                count += converted.spans;
                found.extend(batches(&SpanBatch::decode(converted.otlp).unwrap()));
            }
            prop_assert_eq!(count, batch.len() as u64, "{}", name);
            let mut found = spans_of(found);
            let mut expected = spans_of(expected);
            round(&mut found, name.starts_with("json"));
            round(&mut expected, name.starts_with("json"));
            if name.ends_with("span") {
                // Those are in the order of the batch's spans.
                found.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
                expected.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
            }
            for (found, expected) in found.iter().zip(&expected) {
                let (found, expected) = (format!("{found:#?}"), format!("{expected:#?}"));
                let mut lines = found.lines().zip(expected.lines()).enumerate();
                let differ = lines.find(|(_, (found, expected))| found != expected);
                prop_assert_eq!(differ, None, "{}: {}\n{}", name, found, expected);
            }
            prop_assert_eq!(found.len(), expected.len(), "{}", name);
        }
    }
}

/// OTLP JSON, without what is empty, of what was read.
fn json_of(converted: &Converted) -> Value {
    serde_json::from_str(&model::json::encode(&converted.otlp).unwrap()).unwrap()
}

fn put_tag(writer: &mut Writer, key: &str, kind: i32, value: impl FnOnce(&mut Writer)) {
    writer.binary_field(1, key.as_bytes());
    writer.i32_field(2, kind);
    value(writer);
}

/// A batch written field by field as the interface definition has it.
fn thrift_batch(writer: &mut Writer) {
    writer.struct_field(1, |writer| {
        writer.binary_field(1, b"cart");
        writer.structs_field(2, &["hostname"], |writer, key| {
            put_tag(writer, key, 0, |writer| writer.binary_field(3, b"h1"));
        });
    });
    writer.structs_field(2, &[()], |writer, ()| {
        writer.i64_field(1, 0x0102_0304_0506_0708);
        writer.i64_field(2, 0);
        writer.i64_field(3, -1);
        writer.i64_field(4, 9);
        writer.binary_field(5, b"buy \xff");
        writer.structs_field(6, &[(0, 9), (1, 10)], |writer, &(kind, span)| {
            writer.i32_field(1, kind);
            writer.i64_field(2, 0x0102_0304_0506_0708);
            writer.i64_field(3, 0);
            writer.i64_field(4, span);
        });
        writer.i32_field(7, 3);
        writer.i64_field(8, 1_700_000_000_000_001);
        writer.i64_field(9, 2_500_000);
        writer.structs_field(10, &[0, 1, 2, 3, 4, 7, 8], |writer, &at| match at {
            0 => put_tag(writer, "span.kind", 0, |out| out.binary_field(3, b"client")),
            1 => put_tag(writer, "d", 1, |out| out.double_field(4, -0.5)),
            2 => put_tag(writer, "error", 2, |out| out.bool_field(5, true)),
            3 => put_tag(writer, "l", 3, |out| out.i64_field(6, i64::MIN)),
            4 => put_tag(writer, "b", 4, |out| out.binary_field(7, &[1, 2])),
            7 => put_tag(writer, "u", 7, |_| {}),
            _ => put_tag(writer, "otel.status_description", 0, |out| out.binary_field(3, b"no")),
        });
        writer.structs_field(11, &[()], |writer, ()| {
            writer.i64_field(1, 1_700_000_000_000_002);
            writer.structs_field(2, &["event", "k"], |writer, key| {
                put_tag(writer, key, 0, |writer| writer.binary_field(3, b"retry"));
            });
        });
        writer.bool_field(12, false);
        writer
            .structs_field(99, &["unknown"], |writer, key| writer.binary_field(1, key.as_bytes()));
    });
}

#[test]
fn a_batch_of_thrift_by_its_definition() {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let expected = json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", "cart"), text("host.name", "h1")] },
        "scopeSpans": [{ "scope": {}, "spans": [{
            "traceId": "00000000000000000102030405060708",
            "spanId": "ffffffffffffffff",
            "parentSpanId": "0000000000000009",
            "name": "buy \u{fffd}",
            "kind": 3,
            "flags": 1,
            "startTimeUnixNano": "1700000000000001000",
            "endTimeUnixNano": "1700000002500001000",
            "attributes": [
                { "key": "d", "value": { "doubleValue": -0.5 } },
                { "key": "l", "value": { "intValue": i64::MIN.to_string() } },
                { "key": "b", "value": { "bytesValue": "AQI=" } },
                text("u", "<Unknown Jaeger TagType \"7\">"),
            ],
            "events": [{ "timeUnixNano": "1700000000000002000", "name": "retry",
                         "attributes": [text("k", "retry")] }],
            "links": [{ "traceId": "00000000000000000102030405060708",
                        "spanId": "000000000000000a",
                        "attributes": [text("opentracing.ref_type", "follows_from")] }],
            "status": { "code": 2, "message": "no" },
        }] }],
    }] });
    for protocol in [Protocol::Binary, Protocol::Compact] {
        let mut writer = Writer::new(protocol);
        writer.structure(thrift_batch);
        let bytes = writer.finish();
        let found = thrift_batch_to_otlp(&bytes, protocol, Limits::default()).unwrap();
        let plain = |value: &Value| model::json::decode(value.to_string().as_bytes()).unwrap();
        assert_eq!(plain(&json_of(&found)), plain(&expected), "{:#}", json_of(&found));
        assert_eq!((found.spans, found.rejection.spans), (1, 0));
    }
}

/// The parent that a span names counts before its references, of either kind.
#[test]
fn parents_of_thrift() {
    for (parent, references, expected, links) in [
        (0, &[][..], 0, 0),
        (5, &[], 5, 0),
        (5, &[(0, 5)], 5, 0),
        (5, &[(1, 5)], 5, 1),
        (5, &[(0, 6)], 5, 1),
        (0, &[(0, 6)], 6, 0),
        (0, &[(1, 7), (0, 6)], 6, 1),
        (0, &[(1, 7)], 7, 1),
    ] {
        let mut writer = Writer::new(Protocol::Compact);
        writer.structure(|writer| {
            // The process comes last.
            writer.structs_field(2, &[()], |writer, ()| {
                writer.i64_field(1, 1);
                writer.i64_field(3, 2);
                writer.i64_field(4, parent);
                writer.structs_field(6, references, |writer, &(kind, span)| {
                    writer.i32_field(1, kind);
                    writer.i64_field(2, 1);
                    writer.i64_field(4, span);
                });
            });
            writer.struct_field(1, |writer| writer.binary_field(1, b"late"));
        });
        let bytes = writer.finish();
        let found = thrift_batch_to_otlp(&bytes, Protocol::Compact, Limits::default()).unwrap();
        let batch = SpanBatch::decode(found.otlp).unwrap();
        let span = &batch.spans()[0];
        let seen = (span.parent_span_id.to_number(), batch.span_links(span).len());
        assert_eq!(seen, (expected, links), "{parent} {references:?}");
        assert_eq!(batch.service_name(&batch.resources()[0]), "late");
    }
}

#[test]
fn spans_of_json_in_every_spelling() {
    let id = "AAAAAAAAAAAAAAAAAAAACg==";
    let span = "AAAAAAAAAAs=";
    for (text, start, end, attributes, service) in [
        (json!({ "traceId": id, "spanId": span }), "0", "0", 0, ""),
        (json!({ "trace_id": "a", "span_id": "b" }), "0", "0", 0, ""),
        (
            json!({ "traceId": id, "spanId": span, "startTime": "2023-11-14T22:13:20.000000001Z",
                    "duration": "1.5s", "flags": "1", "references": null,
                    "process": { "serviceName": "cart", "tags": [] } }),
            "1700000000000000001",
            "1700000001500000001",
            0,
            "cart",
        ),
        (
            json!({ "traceID": id, "spanID": span, "start_time": "2023-11-14T23:13:20+01:00",
                    "process": { "service_name": "shop" },
                    "tags": [{ "key": "a", "vStr": "x" }, { "key": "b", "v_type": 2, "v_int64": "7" },
                             { "key": "c", "vType": "FLOAT64", "vFloat64": "NaN" },
                             { "key": "d", "vType": "BINARY", "vBinary": "AQI=" },
                             { "key": "e", "vType": "BOOL", "vBool": true },
                             { "key": "f", "vType": "INT64", "vInt64": 8 }] }),
            "1700000000000000000",
            "1700000000000000000",
            6,
            "shop",
        ),
    ] {
        let found = json_span_to_otlp(text.to_string().as_bytes(), Limits::default())
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        let batch = SpanBatch::decode(found.otlp).unwrap();
        let span = &batch.spans()[0];
        assert_eq!((span.trace_id.to_number(), span.span_id.to_number()), (10, 11), "{text}");
        assert_eq!(span.start_unix_nano.to_string(), start, "{text}");
        assert_eq!(span.end_unix_nano.to_string(), end, "{text}");
        assert_eq!(batch.span_attributes(span).len(), attributes, "{text}");
        assert_eq!(batch.service_name(&batch.resources()[0]), service, "{text}");
    }
}

#[test]
fn a_span_in_json_is_what_others_read() {
    let span = jaeger_span(vec![text_tag("a", "1"), int_tag("n", 7), int_tag("zero", 0)]);
    let time = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5_000 };
    let length = prost_types::Duration { seconds: 1, nanos: 500_000_000 };
    let process = Process { service_name: "cart".to_owned(), tags: Vec::new() };
    let span = Span { start_time: Some(time), duration: Some(length), flags: 1, ..span };
    let found = otlp_to_json_spans(&one(span, Some(process)));
    let found: Value = serde_json::from_str(&found[0]).unwrap();
    assert_eq!(
        found,
        json!({
            "traceId": "BwcHBwcHBwcHBwcHBwcHBw==",
            "spanId": "CAgICAgICAg=",
            "flags": 1,
            "startTime": "2023-11-14T22:13:20.000005Z",
            "duration": "1.500s",
            "tags": [
                { "key": "a", "vStr": "1" },
                { "key": "n", "vType": "INT64", "vInt64": "7" },
                { "key": "zero", "vType": "INT64" },
            ],
            "process": { "serviceName": "cart" },
        })
    );
}
