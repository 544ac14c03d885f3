//! Jaeger's mapping: known spans by hand, random ones there and back.

#[allow(dead_code, reason = "the model's generator, of which a part serves here")]
#[path = "../../../model/tests/all/arbitrary.rs"]
mod arbitrary;
mod encodings;
mod hostile;
mod thrift_wire;

use std::collections::BTreeMap;

use arbitrary::Shape;
use bytes::Bytes;
use formats::jaeger::proto::{Batch, KeyValue, Log, Process, Span, SpanRef, ValueType};
use formats::jaeger::{batches, put_trace, to_otlp};
use model::SpanBatch;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};

fn decode(bytes: Vec<u8>) -> SpanBatch {
    SpanBatch::decode(Bytes::from(bytes)).unwrap()
}

fn from_json(value: &Value) -> SpanBatch {
    decode(model::json::decode(value.to_string().as_bytes()).unwrap())
}

fn trace_json(batch: &SpanBatch) -> Value {
    let mut out = String::new();
    put_trace(&mut out, batch.spans()[0].trace_id, batch, batch.spans());
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// OTLP JSON of one span with these fields, its resource and scope.
fn otlp(span: Value) -> Value {
    let mut all = json!({
        "traceId": "83a9efd15c1c98a977e0711cc93ee28b",
        "spanId": "e127af99e3b3e074",
        "startTimeUnixNano": "1706678909209712123",
        "endTimeUnixNano": "1706678909209835999",
    });
    all.as_object_mut().unwrap().extend(span.as_object().unwrap().clone());
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            { "key": "service.name", "value": { "stringValue": "cart" } },
            { "key": "host.name", "value": { "stringValue": "h1" } },
        ] },
        "scopeSpans": [{ "scope": { "name": "lib", "version": "1.2" }, "spans": [all] }],
    }] })
}

#[test]
fn a_span_with_everything() {
    let found = trace_json(&from_json(&otlp(json!({
        "parentSpanId": "909541b92cf05311",
        "name": "checkout",
        "kind": 2,
        "flags": 257,
        "traceState": "a=b",
        "status": { "code": 2, "message": "no stock" },
        "attributes": [
            { "key": "s", "value": { "stringValue": "x\"y" } },
            { "key": "b", "value": { "boolValue": true } },
            { "key": "i", "value": { "intValue": "9007199254740991" } },
            { "key": "big", "value": { "intValue": "-9007199254740992" } },
            { "key": "d", "value": { "doubleValue": 0.5 } },
            { "key": "nan", "value": { "doubleValue": "NaN" } },
            { "key": "bytes", "value": { "bytesValue": "AQI=" } },
            { "key": "list", "value": { "arrayValue": { "values": [
                { "stringValue": "a" }, { "intValue": "1" } ] } } },
            { "key": "@jaeger@warnings", "value": { "arrayValue": { "values": [
                { "stringValue": "late" } ] } } },
        ],
        "events": [
            { "timeUnixNano": "1706678909209713999", "name": "oops",
              "attributes": [{ "key": "k", "value": { "intValue": "1" } }] },
            { "timeUnixNano": "1706678909209714000", "name": "left out",
              "attributes": [{ "key": "event", "value": { "stringValue": "kept" } }] },
        ],
        "links": [
            { "traceId": "0000000000000000000000000000000a", "spanId": "000000000000000b" },
            { "traceId": "0000000000000000000000000000000a", "spanId": "000000000000000c",
              "attributes": [{ "key": "opentracing.ref_type",
                               "value": { "stringValue": "child_of" } }] },
        ],
    }))));
    let id = "83a9efd15c1c98a977e0711cc93ee28b";
    let tag =
        |key: &str, kind: &str, value: Value| json!({ "key": key, "type": kind, "value": value });
    let text = |key: &str, value: &str| tag(key, "string", json!(value));
    let reference = |kind: &str, trace: &str, span: &str| json!({ "refType": kind, "traceID": trace, "spanID": span });
    assert_eq!(
        found,
        json!({
            "traceID": id,
            "spans": [{
                "traceID": id,
                "spanID": "e127af99e3b3e074",
                "flags": 1,
                "operationName": "checkout",
                "references": [
                    reference("CHILD_OF", id, "909541b92cf05311"),
                    reference("FOLLOWS_FROM", "000000000000000a", "000000000000000b"),
                    reference("CHILD_OF", "000000000000000a", "000000000000000c"),
                ],
                "startTime": 1706678909209712u64,
                "duration": 123,
                "tags": [
                    text("otel.scope.name", "lib"),
                    text("otel.scope.version", "1.2"),
                    text("s", "x\"y"),
                    tag("b", "bool", json!(true)),
                    tag("i", "int64", json!(9007199254740991u64)),
                    text("big", "-9007199254740992").as_object().map(|tag| {
                        let mut tag = tag.clone();
                        tag.insert("type".to_owned(), json!("int64"));
                        json!(tag)
                    }).unwrap(),
                    tag("d", "float64", json!(0.5)),
                    tag("nan", "float64", json!("NaN")),
                    tag("bytes", "binary", json!("AQI=")),
                    text("list", "[\"a\",1]"),
                    text("span.kind", "server"),
                    text("otel.status_code", "ERROR"),
                    tag("error", "bool", json!(true)),
                    text("otel.status_description", "no stock"),
                    text("w3c.tracestate", "a=b"),
                ],
                "logs": [
                    { "timestamp": 1706678909209713u64,
                      "fields": [text("event", "oops"), tag("k", "int64", json!(1))] },
                    { "timestamp": 1706678909209714u64, "fields": [text("event", "kept")] },
                ],
                "processID": "p1",
                "warnings": ["late"],
            }],
            "processes": { "p1": { "serviceName": "cart", "tags": [text("host.name", "h1")] } },
            "warnings": null,
        })
    );
}

#[test]
fn a_bare_span() {
    let batch = from_json(&json!({ "resourceSpans": [
        { "scopeSpans": [{ "spans": [
            { "traceId": "0000000000000000000000000000000a", "spanId": "000000000000000b",
              "startTimeUnixNano": "5000", "endTimeUnixNano": "1" },
        ] }] },
        { "resource": { "attributes": [{ "key": "a", "value": { "intValue": "1" } }] },
          "scopeSpans": [{ "spans": [
            { "traceId": "0000000000000000000000000000000a", "spanId": "000000000000000c",
              "startTimeUnixNano": "0", "endTimeUnixNano": "0" },
        ] }] },
    ] }));
    let found = trace_json(&batch);
    let span = |id: &str, start: u64, process: &str| {
        json!({ "traceID": "000000000000000a", "spanID": id, "operationName": "",
                "references": [], "startTime": start, "duration": 0, "tags": [], "logs": [],
                "processID": process, "warnings": null })
    };
    assert_eq!(
        found["spans"],
        json!([span("000000000000000b", 5, "p1"), span("000000000000000c", 0, "p2")])
    );
    assert_eq!(found["processes"]["p1"]["serviceName"], "missing-service-name");
    assert_eq!(found["processes"]["p2"]["tags"][0]["key"], "a");
    let names: Vec<String> =
        batches(&batch).into_iter().map(|batch| batch.process.unwrap().service_name).collect();
    assert_eq!(names, ["OTLPResourceNoServiceName", ""]);
}

fn text_tag(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), v_str: value.to_owned(), ..KeyValue::default() }
}

fn int_tag(key: &str, value: i64) -> KeyValue {
    let v_type = ValueType::Int64 as i32;
    KeyValue { key: key.to_owned(), v_type, v_int64: value, ..KeyValue::default() }
}

fn jaeger_span(tags: Vec<KeyValue>) -> Span {
    Span { trace_id: vec![7; 16], span_id: vec![8; 8], tags, ..Span::default() }
}

/// The only span of a batch, as OTLP.
fn one(span: Span, process: Option<Process>) -> SpanBatch {
    decode(to_otlp(&[Batch { spans: vec![span], process }]))
}

#[test]
fn status_comes_from_what_says_it_first() {
    let error = || KeyValue {
        key: "error".to_owned(),
        v_type: ValueType::Bool as i32,
        v_bool: true,
        ..KeyValue::default()
    };
    let server = || text_tag("span.kind", "server");
    let client = || text_tag("span.kind", "client");
    let http = |code| int_tag("http.status_code", code);
    let said = |message: &str| text_tag("otel.status_description", message);
    let table: [(Vec<KeyValue>, i32, &str, usize); 14] = [
        (vec![], 0, "", 0),
        (vec![error()], 2, "", 0),
        (vec![error(), said("why")], 2, "why", 0),
        (vec![error(), text_tag("http.status_message", "Bad")], 2, "Bad", 1),
        (vec![error(), text_tag("otel.status_code", "OK")], 2, "", 0),
        (vec![text_tag("error", "true")], 0, "", 1),
        (vec![text_tag("otel.status_code", "ok")], 1, "", 0),
        (vec![text_tag("otel.status_code", "ERROR"), said("why")], 2, "why", 0),
        (vec![text_tag("otel.status_code", "OK"), http(500)], 1, "", 1),
        (vec![http(200)], 0, "", 1),
        (vec![http(503)], 2, "", 1),
        (vec![http(404), server()], 0, "", 1),
        (vec![http(404), client()], 2, "", 1),
        (vec![text_tag("http.status_code", "503")], 2, "", 1),
    ];
    for (tags, code, message, left) in table {
        let batch = one(jaeger_span(tags.clone()), None);
        let span = &batch.spans()[0];
        assert_eq!(span.status_code, code, "{tags:?}");
        assert_eq!(batch.text(span.status_message), message, "{tags:?}");
        assert_eq!(batch.span_attributes(span).len(), left, "{tags:?}");
    }
}

#[test]
fn parents_links_and_processes() {
    let reference = |trace: u8, span: u8, ref_type: i32| SpanRef {
        trace_id: vec![trace; 16],
        span_id: vec![span; 8],
        ref_type,
    };
    let parent_and_links = |references: Vec<SpanRef>| {
        let batch = one(Span { references, ..jaeger_span(Vec::new()) }, None);
        let span = &batch.spans()[0];
        (span.parent_span_id.0[0], batch.span_links(span).len())
    };
    assert_eq!(parent_and_links(vec![]), (0, 0));
    assert_eq!(parent_and_links(vec![reference(7, 1, 0)]), (1, 0));
    // The first that follows is the parent where none is a child's, and stays a link.
    assert_eq!(parent_and_links(vec![reference(7, 1, 1)]), (1, 1));
    assert_eq!(parent_and_links(vec![reference(7, 1, 1), reference(7, 2, 0)]), (2, 1));
    assert_eq!(parent_and_links(vec![reference(9, 1, 0)]), (0, 1));

    // One trace in either length.
    let short = SpanRef { trace_id: vec![7; 8], span_id: vec![1; 8], ref_type: 0 };
    let span = Span {
        trace_id: [[0; 8], [7; 8]].concat(),
        references: vec![short],
        ..jaeger_span(Vec::new())
    };
    assert_eq!(one(span, None).spans()[0].parent_span_id.0, [1; 8]);

    let process = Process {
        service_name: "cart".to_owned(),
        tags: vec![text_tag("hostname", "h"), text_tag("jaeger.version", "Go-2")],
    };
    let resource = |batch: &SpanBatch| -> BTreeMap<String, String> {
        let attributes = batch.resource_attributes(&batch.resources()[0]).iter();
        attributes
            .map(|attribute| {
                let key = batch.text(attribute.key).to_owned();
                (key, model::json::value_text(batch, attribute.value))
            })
            .collect()
    };
    let expected = [
        ("host.name", "h"),
        ("opencensus.exporterversion", "Jaeger-Go-2"),
        ("service.name", "cart"),
    ];
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let found = resource(&one(jaeger_span(Vec::new()), Some(process.clone())));
    assert_eq!(found, expected.map(owned).into());
    // A span's own process counts before its batch's.
    let span = Span { process: Some(process), ..jaeger_span(Vec::new()) };
    let found = resource(&one(span, Some(Process::default())));
    assert_eq!(found.len(), 3);
}

#[test]
fn what_is_no_span_is_left_to_the_decoder() {
    let short = Span { trace_id: vec![1; 8], ..jaeger_span(Vec::new()) };
    assert_eq!(one(short, None).spans()[0].trace_id.to_number(), 0x0101_0101_0101_0101);
    for bad in [
        Span { trace_id: vec![1; 3], ..jaeger_span(Vec::new()) },
        Span { span_id: Vec::new(), ..jaeger_span(Vec::new()) },
        Span { trace_id: vec![0; 16], ..jaeger_span(Vec::new()) },
    ] {
        let batch = one(bad, None);
        assert_eq!((batch.len(), batch.rejection().spans), (0, 1));
    }
    let unknown = KeyValue { v_type: 9, ..text_tag("k", "v") };
    let log = Log { timestamp: None, fields: vec![unknown.clone(), unknown] };
    let span =
        Span { logs: vec![log], ..jaeger_span(vec![text_tag("a", "1"), text_tag("a", "2")]) };
    let batch = one(span, None);
    let span = &batch.spans()[0];
    assert_eq!(batch.span_attributes(span).len(), 1);
    let event = &batch.span_events(span)[0];
    assert_eq!(batch.event_attributes(event).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What Jaeger can say survives the way to OTLP and back.
    #[test]
    fn there_and_back(request in Shape::Any.request()) {
        let batch = decode(request.encode_to_vec());
        let once = batches(&batch);
        let again = decode(to_otlp(&once));
        prop_assert_eq!(again.len(), once.iter().map(|batch| batch.spans.len()).sum::<usize>());
        let twice = batches(&again);
        let third = batches(&decode(to_otlp(&twice)));
        // Whatever is ambiguous is decided on the first way.
        prop_assert_eq!(format!("{twice:?}"), format!("{third:?}"));
        for (span, kept) in batch.spans().iter().zip(again.spans()) {
            if batch.resources().len() > 1 || batch.scopes().len() > 1 {
                break;
            }
            prop_assert_eq!(span.trace_id, kept.trace_id);
            prop_assert_eq!(span.span_id, kept.span_id);
            prop_assert_eq!(span.start_unix_nano, kept.start_unix_nano);
            prop_assert_eq!(span.end_unix_nano, kept.end_unix_nano);
            prop_assert_eq!(batch.text(span.name), again.text(kept.name));
        }
    }

    /// Any span is JSON that a parser reads.
    #[test]
    fn all_is_json(request in Shape::Any.request()) {
        let batch = decode(request.encode_to_vec());
        if !batch.is_empty() {
            let found = trace_json(&batch);
            prop_assert_eq!(found["spans"].as_array().map(Vec::len), Some(batch.len()));
        }
    }

    /// Any bytes that are a Jaeger batch become a request that its decoder takes.
    #[test]
    fn any_batch_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(batch) = Batch::decode(&bytes[..]) {
            decode(to_otlp(&[batch]));
        }
    }
}
