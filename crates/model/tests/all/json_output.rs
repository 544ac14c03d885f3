//! Exactly what is written.

use bytes::Bytes;
use model::wire::{put_bytes_field, put_varint_field};
use model::{Rejection, SpanBatch, json};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use prost::Message;

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn written(data: &TracesData) -> String {
    json::encode(&data.encode_to_vec()).unwrap()
}

fn with_span(span: Span) -> TracesData {
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

#[test]
fn defaults_are_left_out() {
    assert_eq!(written(&TracesData::default()), r#"{"resourceSpans":[]}"#);
    assert_eq!(
        written(&with_span(Span::default())),
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"0","endTimeUnixNano":"0"}]}]}]}"#
    );
    let resource = Some(Resource::default());
    let data =
        TracesData { resource_spans: vec![ResourceSpans { resource, ..ResourceSpans::default() }] };
    assert_eq!(written(&data), r#"{"resourceSpans":[{"resource":{}}]}"#);
}

#[test]
fn a_span() {
    let span = Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0x0c; 8],
        name: "GET /\u{7}\"é".to_owned(),
        kind: 2,
        start_time_unix_nano: u64::MAX,
        end_time_unix_nano: 1,
        attributes: vec![key_value("n", Value::IntValue(0))],
        dropped_attributes_count: 5,
        events: vec![Event { time_unix_nano: 3, ..Event::default() }],
        links: vec![Link { trace_id: vec![1; 16], flags: 256, ..Link::default() }],
        status: Some(Status { message: "m".to_owned(), code: 2 }),
        flags: 257,
        ..Span::default()
    };
    let expected = concat!(
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"#,
        r#""traceId":"abababababababababababababababab","spanId":"0c0c0c0c0c0c0c0c","#,
        r#""name":"GET /\u0007\"é","kind":2,"#,
        r#""startTimeUnixNano":"18446744073709551615","endTimeUnixNano":"1","#,
        r#""attributes":[{"key":"n","value":{"intValue":"0"}}],"droppedAttributesCount":5,"#,
        r#""events":[{"timeUnixNano":"3"}],"#,
        r#""links":[{"traceId":"01010101010101010101010101010101","flags":256}],"#,
        r#""status":{"message":"m","code":2},"flags":257}]}]}]}"#
    );
    assert_eq!(written(&with_span(span)), expected);
}

fn values() -> Vec<(Value, &'static str, &'static str)> {
    let any = |value| AnyValue { value };
    let array = vec![
        any(Some(Value::StringValue("a\"b".to_owned()))),
        any(Some(Value::IntValue(-1))),
        any(Some(Value::BytesValue(vec![0xfb, 0xff]))),
        any(Some(Value::DoubleValue(f64::NAN))),
        any(None),
        any(Some(Value::ArrayValue(ArrayValue::default()))),
    ];
    let map = vec![
        key_value("k", Value::DoubleValue(0.1)),
        KeyValue { key: "none".to_owned(), ..KeyValue::default() },
    ];
    vec![
        (Value::StringValue(String::new()), r#"{"stringValue":""}"#, ""),
        (Value::StringValue("a\n".to_owned()), r#"{"stringValue":"a\n"}"#, "a\n"),
        (Value::BoolValue(false), r#"{"boolValue":false}"#, "false"),
        (
            Value::IntValue(i64::MIN),
            r#"{"intValue":"-9223372036854775808"}"#,
            "-9223372036854775808",
        ),
        (Value::DoubleValue(1.0), r#"{"doubleValue":1.0}"#, "1.0"),
        (Value::DoubleValue(-0.0), r#"{"doubleValue":-0.0}"#, "-0.0"),
        (Value::DoubleValue(1e300), r#"{"doubleValue":1e300}"#, "1e300"),
        (Value::DoubleValue(5e-324), r#"{"doubleValue":5e-324}"#, "5e-324"),
        (Value::DoubleValue(f64::NAN), r#"{"doubleValue":"NaN"}"#, "NaN"),
        (Value::DoubleValue(f64::INFINITY), r#"{"doubleValue":"Infinity"}"#, "Infinity"),
        (Value::DoubleValue(f64::NEG_INFINITY), r#"{"doubleValue":"-Infinity"}"#, "-Infinity"),
        (Value::BytesValue(vec![0xfb, 0xff]), r#"{"bytesValue":"+/8="}"#, "+/8="),
        (Value::BytesValue(vec![]), r#"{"bytesValue":""}"#, ""),
        (
            Value::ArrayValue(ArrayValue { values: array }),
            r#"{"arrayValue":{"values":[{"stringValue":"a\"b"},{"intValue":"-1"},{"bytesValue":"+/8="},{"doubleValue":"NaN"},{},{"arrayValue":{}}]}}"#,
            r#"["a\"b",-1,"+/8=","NaN",null,[]]"#,
        ),
        (
            Value::KvlistValue(KeyValueList { values: map }),
            r#"{"kvlistValue":{"values":[{"key":"k","value":{"doubleValue":0.1}},{"key":"none"}]}}"#,
            r#"{"k":0.1,"none":null}"#,
        ),
    ]
}

#[test]
fn every_kind_of_value() {
    for (value, otlp, plain) in values() {
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![1; 8],
            attributes: vec![key_value("k", value)],
            ..Span::default()
        };
        let bytes = with_span(span).encode_to_vec();
        let text = json::encode(&bytes).unwrap();
        let expected = format!(r#""attributes":[{{"key":"k","value":{otlp}}}]"#);
        assert!(text.contains(&expected), "{text} lacks {expected}");

        let batch = SpanBatch::decode(Bytes::from(bytes)).unwrap();
        let attribute = batch.span_attributes(&batch.spans()[0])[0];
        assert_eq!(json::value_text(&batch, attribute.value), plain);
    }
    assert_eq!(json::value_text(&SpanBatch::default(), model::Value::Empty), "");
}

/// A message whose fields come twice or out of order, by hand.
#[test]
fn scattered_fields_are_gathered() {
    let mut span = Vec::new();
    for (number, content) in [
        (11, &b"\x12\x01a"[..]),
        (15, b"\x12\x01m"),
        (5, b"first"),
        (11, b"\x12\x01b"),
        (5, b"last"),
        (15, b"\x18\x02"),
    ] {
        put_bytes_field(&mut span, number, content);
    }
    put_varint_field(&mut span, 99, 1);
    let mut bytes = span;
    for number in [2, 2, 1] {
        let mut outer = Vec::new();
        put_bytes_field(&mut outer, number, &bytes);
        bytes = outer;
    }
    let expected = concat!(
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"last","#,
        r#""events":[{"name":"a"},{"name":"b"}],"status":{"message":"m","code":2},"#,
        r#""startTimeUnixNano":"0","endTimeUnixNano":"0"}]}]}]}"#
    );
    assert_eq!(json::encode(&bytes).unwrap(), expected);
}

/// At every level of a deep value: the work must not double with each.
#[test]
fn scattered_fields_in_each_other() {
    let within = |number, content: &[u8]| {
        let mut outer = Vec::new();
        put_bytes_field(&mut outer, number, content);
        outer
    };
    let mut value = Vec::new();
    for _ in 0..model::VALUE_DEPTH_MAX {
        let key_value = [within(1, b"a"), within(2, &value), within(1, b"b")].concat();
        value = within(6, &within(1, &key_value));
    }
    let resource = within(1, &within(1, &within(2, &value)));
    let text = json::encode(&within(1, &resource)).unwrap();
    assert_eq!(text.matches(r#""key":"b","value""#).count(), model::VALUE_DEPTH_MAX);
}

#[test]
fn text_that_is_not_utf8() {
    let bytes = b"\x0a\x04\x1a\x02a\xff";
    assert_eq!(json::encode(bytes).unwrap(), "{\"resourceSpans\":[{\"schemaUrl\":\"a\u{fffd}\"}]}");
}

#[test]
fn broken_protobuf() {
    for (bytes, error) in [
        (
            &b"\x0a\x05\x01"[..],
            "the message ends inside a field at byte 2 of ExportTraceServiceRequest",
        ),
        (b"\x0a\x02\x18\x00", "field 3 has the wrong wire type at byte 2 of ResourceSpans"),
    ] {
        let text = json::encode(bytes).unwrap_err().to_string();
        assert_eq!(text, format!("not an OTLP trace request: {error}"));
    }
}

#[test]
fn answers() {
    let rejection = Rejection { spans: 3, reason: "a \"bad\" id".to_owned() };
    assert_eq!(
        json::export_response_json(&rejection),
        r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"a \"bad\" id"}}"#
    );
    assert_eq!(json::export_response_json(&Rejection::default()), "{}");
    assert_eq!(json::rpc_status_json(3, "no\n"), r#"{"code":3,"message":"no\n"}"#);
}

#[test]
fn strings_are_escaped() {
    let every: String = (0..=0xffu8).map(char::from).chain("\u{2028}😀".chars()).collect();
    let mut out = String::new();
    json::put_json_string(&mut out, &every);
    assert_eq!(serde_json::from_str::<String>(&out).unwrap(), every);
    assert!(out.bytes().all(|byte| byte >= 0x20));
}

#[test]
fn protobufs_own_json_has_base64_and_names() {
    let mut span = Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0x0c; 8],
        kind: 2,
        status: Some(Status { code: 2, ..Status::default() }),
        ..Span::default()
    };
    let written = |span: &Span| {
        let json = json::encode_proto(&with_span(span.clone()).encode_to_vec()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        json["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone()
    };
    let expected = serde_json::json!({
        "traceId": "q6urq6urq6urq6urq6urqw==",
        "spanId": "DAwMDAwMDAw=",
        "kind": "SPAN_KIND_SERVER",
        "startTimeUnixNano": "0",
        "endTimeUnixNano": "0",
        "status": { "code": "STATUS_CODE_ERROR" },
    });
    assert_eq!(written(&span), expected);
    // What has no name stays a number.
    span.kind = -7;
    assert_eq!(written(&span)["kind"], -7);
}
