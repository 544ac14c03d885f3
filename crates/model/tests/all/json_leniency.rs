//! Every spelling that OTLP JSON or protobuf's JSON allows, beside the canonical one.

use bytes::Bytes;
use model::{SpanBatch, json};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

fn read(document: &str) -> ExportTraceServiceRequest {
    let bytes =
        json::decode(document.as_bytes()).unwrap_or_else(|error| panic!("{error} in {document}"));
    ExportTraceServiceRequest::decode(&bytes[..]).unwrap()
}

fn with_span(fields: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#)
}

fn with_value(value: &str) -> String {
    with_span(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#))
}

/// Each pair means the same; the second is what the encoder writes.
fn assert_same(pairs: &[(&str, &str)], document: impl Fn(&str) -> String) {
    for (spelling, canonical) in pairs {
        let (actual, expected) = (read(&document(spelling)), read(&document(canonical)));
        // By bytes: NaN equals itself.
        assert_eq!(actual.encode_to_vec(), expected.encode_to_vec(), "{spelling}: {actual:?}");
    }
}

#[test]
fn spans() {
    let pairs = [
        // Ids in either case.
        (
            r#""traceId":"0AF7651916CD43DD8448EB211C80319C""#,
            r#""traceId":"0af7651916cd43dd8448eb211c80319c""#,
        ),
        (r#""spanId":"00F067AA0BA902B7""#, r#""spanId":"00f067aa0ba902b7""#),
        (r#""parentSpanId":"""#, ""),
        // Names as in the .proto file.
        (
            r#""trace_state":"a=b","start_time_unix_nano":7"#,
            r#""traceState":"a=b","startTimeUnixNano":"7""#,
        ),
        (r#""dropped_events_count":1"#, r#""droppedEventsCount":1"#),
        // Unknown fields, whatever they hold.
        (
            r#""x":{"y":[1,{"z":null},"\"}",[[]],{}],"n":-1.5e-3},"name":"n","t":true,"f":false"#,
            r#""name":"n""#,
        ),
        // Integers.
        (
            r#""startTimeUnixNano":1544712660000000000"#,
            r#""startTimeUnixNano":"1544712660000000000""#,
        ),
        (
            r#""startTimeUnixNano":18446744073709551615"#,
            r#""startTimeUnixNano":"18446744073709551615""#,
        ),
        (r#""startTimeUnixNano":1.5e3"#, r#""startTimeUnixNano":"1500""#),
        (r#""startTimeUnixNano":"1.5E+3""#, r#""startTimeUnixNano":"1500""#),
        (r#""startTimeUnixNano":-0.0"#, r#""startTimeUnixNano":"0""#),
        (r#""droppedLinksCount":"4294967295""#, r#""droppedLinksCount":4294967295"#),
        (r#""flags":"257""#, r#""flags":257"#),
        (r#""flags":2.57e2"#, r#""flags":257"#),
        // Enumerations.
        (r#""kind":"SPAN_KIND_SERVER""#, r#""kind":2"#),
        (r#""kind":"2""#, r#""kind":2"#),
        (r#""kind":2.0"#, r#""kind":2"#),
        (r#""status":{"code":"STATUS_CODE_ERROR"}"#, r#""status":{"code":2}"#),
        (r#""status":{"code":"1"}"#, r#""status":{"code":1}"#),
        // Null is absent; in a list it is an empty element.
        (
            r#""name":null,"kind":null,"status":null,"attributes":null,"startTimeUnixNano":null,"traceId":null"#,
            "",
        ),
        (r#""attributes":[null],"events":[null]"#, r#""attributes":[{}],"events":[{}]"#),
        // Twice: the last scalar counts, lists are joined, messages merged.
        (r#""name":"a","name":"b""#, r#""name":"b""#),
        (r#""name":"a","name":"""#, ""),
        (r#""kind":2,"kind":0"#, ""),
        (
            r#""events":[{"name":"a"}],"events":[{"name":"b"}]"#,
            r#""events":[{"name":"a"},{"name":"b"}]"#,
        ),
        (r#""status":{"message":"m"},"status":{"code":2}"#, r#""status":{"message":"m","code":2}"#),
        // Strings and names with escapes.
        (
            r#""na\u006de":"\u0041\n\/\"\\\b\f\r\t\uD83D\uDE00""#,
            "\"name\":\"A\\n/\\\"\\\\\\u0008\\u000c\\r\\t\u{1f600}\"",
        ),
        (r#""name":"\ud800""#, "\"name\":\"\u{fffd}\""),
        (
            r#""name":"\udc00x\ud800\u0041\ud800\ud83d\ude00""#,
            "\"name\":\"\u{fffd}x\u{fffd}A\u{fffd}\u{1f600}\"",
        ),
        // White space.
        ("\r\n\t \"name\" : \"n\" , \"kind\"\n:\n1 ", r#""name":"n","kind":1"#),
    ];
    assert_same(&pairs, with_span);
}

#[test]
fn values() {
    let pairs = [
        (r#"{"string_value":"s"}"#, r#"{"stringValue":"s"}"#),
        (r#"{"intValue":-5}"#, r#"{"intValue":"-5"}"#),
        (r#"{"intValue":-9223372036854775808}"#, r#"{"intValue":"-9223372036854775808"}"#),
        (r#"{"doubleValue":1}"#, r#"{"doubleValue":1.0}"#),
        (r#"{"doubleValue":"-1.5e300"}"#, r#"{"doubleValue":-1.5e300}"#),
        (r#"{"doubleValue":"1"}"#, r#"{"doubleValue":1.0}"#),
        (r#"{"bytesValue":"-_8="}"#, r#"{"bytesValue":"+/8="}"#),
        (r#"{"bytesValue":"+/8"}"#, r#"{"bytesValue":"+/8="}"#),
        (r#"{"bytesValue":"-_8"}"#, r#"{"bytesValue":"+/8="}"#),
        (r#"{"bytesValue":"\u002b/8="}"#, r#"{"bytesValue":"+/8="}"#),
        (r#"{"stringValue":null}"#, "{}"),
        (r#"{"stringValueStrindex":7}"#, "{}"),
        ("null", "null"),
        (
            r#"{"array_value":{"values":[{"int_value":1},null]}}"#,
            r#"{"arrayValue":{"values":[{"intValue":"1"},{}]}}"#,
        ),
        (
            r#"{"kvlist_value":{"values":[{"value":{"boolValue":true},"key":"a"}]}}"#,
            r#"{"kvlistValue":{"values":[{"key":"a","value":{"boolValue":true}}]}}"#,
        ),
        (r#"{"intValue":1,"stringValue":"last"}"#, r#"{"stringValue":"last"}"#),
    ];
    assert_same(&pairs, with_value);
}

#[test]
fn doubles_that_json_has_no_number_for() {
    for (text, bits) in [
        ("NaN", f64::NAN.to_bits()),
        ("Infinity", f64::INFINITY.to_bits()),
        ("-Infinity", f64::NEG_INFINITY.to_bits()),
    ] {
        let bytes = json::decode(with_value(&format!(r#"{{"doubleValue":"{text}"}}"#)).as_bytes());
        let batch = bytes.map(|bytes| bytes.windows(8).any(|w| w == bits.to_le_bytes()));
        assert_eq!(batch, Ok(true), "{text}");
    }
}

#[test]
fn whole_documents() {
    for document in
        ["{}", " \n{ }\n", "\u{feff}{}", r#"{"resourceSpans":[]}"#, r#"{"resource_spans":null}"#]
    {
        assert_eq!(read(document).resource_spans.len(), 0, "{document}");
    }
    // However deep: unknown fields are passed over without recursion.
    let depth = 1_000_000;
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(read(&deep).resource_spans.len(), 0);
}

/// A malformed id costs its span and no other.
#[test]
fn ids() {
    let good = r#"{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"00f067aa0ba902b7"}"#;
    for (fields, reason) in [
        (
            r#""traceId":"xyz","spanId":"00f067aa0ba902b7""#,
            "a span's trace id has 1 bytes, not 16 (in JSON: 32 hexadecimal digits)",
        ),
        (
            r#""traceId":"0af7651916cd43dd8448eb211c8031é","spanId":"00f067aa0ba902b7""#,
            "a span's trace id has 1 bytes, not 16 (in JSON: 32 hexadecimal digits)",
        ),
        (
            r#""traceId":"CvdlGRbNQ92ESOshHIAxnA==","spanId":"APBnqgupArc=""#,
            "a span's trace id has 1 bytes, not 16 (in JSON: 32 hexadecimal digits)",
        ),
        (
            r#""traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"00f067aa0ba902b""#,
            "a span's span id has 1 bytes, not 8 (in JSON: 16 hexadecimal digits)",
        ),
        (
            r#""traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"00f067aa""#,
            "a span's span id has 4 bytes, not 8 (in JSON: 16 hexadecimal digits)",
        ),
        (
            r#""traceId":"","spanId":"00f067aa0ba902b7""#,
            "a span's trace id is missing or all zeros",
        ),
        (
            r#""traceId":"0af7651916cd43dd8448eb211c80319c""#,
            "a span's span id is missing or all zeros",
        ),
    ] {
        let document = format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{good},{{{fields}}},{good}]}}]}}]}}"#
        );
        let bytes = json::decode(document.as_bytes()).unwrap();
        let batch = SpanBatch::decode(Bytes::from(bytes)).unwrap();
        assert_eq!((batch.len(), batch.rejection().spans), (2, 1), "{fields}");
        assert_eq!(batch.rejection().reason, reason, "{fields}");
    }
}
