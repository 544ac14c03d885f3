//! Zipkin's first format, in JSON and in Thrift.

use formats::thrift::{Protocol, Writer};
use formats::zipkin::{v1_json_to_otlp, v1_thrift_to_otlp};
use formats::{Converted, Limits};

use super::*;

fn read(text: &Value, types: TagTypes) -> Converted {
    v1_json_to_otlp(text.to_string().as_bytes(), types, Limits::default())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What was read, as the v2 spans that would be written: a form without two spellings.
fn as_v2(converted: Converted) -> Vec<Value> {
    assert_eq!(converted.rejection.spans, 0, "{:?}", converted.rejection);
    let batch = SpanBatch::decode(converted.otlp).unwrap();
    assert_eq!(batch.len() as u64, converted.spans);
    let mut out = Vec::new();
    write_json(&mut out, &batch);
    serde_json::from_slice(&out).unwrap()
}

fn service(name: &str) -> Value {
    json!({ "serviceName": name })
}

fn at(time: u64, value: &str, name: &str) -> Value {
    json!({ "timestamp": time, "value": value, "endpoint": service(name) })
}

fn tag(key: &str, value: &str, name: &str) -> Value {
    json!({ "key": key, "value": value, "endpoint": service(name) })
}

/// A v2 span as it is written: ids in full, and what the fields say.
fn v2(fields: Value) -> Value {
    let mut all = json!({ "traceId": format!("{:032x}", 1), "id": format!("{:016x}", 2) });
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    all
}

/// A case: what is sent, and the v2 spans that it is.
fn cases() -> Vec<(&'static str, Value, Vec<Value>)> {
    vec![
        (
            "a client",
            json!({ "name": "get", "parentId": "1", "timestamp": 10, "duration": 7,
                "annotations": [at(11, "cs", "web"), at(12, "ws", "web"), at(15, "cr", "web")],
                "binaryAnnotations": [tag("http.path", "/", "web"),
                    { "key": "sa", "value": true,
                      "endpoint": { "serviceName": "db", "ipv4": "1.2.3.4", "port": 3306 } }] }),
            vec![v2(json!({ "parentId": "0000000000000001", "kind": "CLIENT", "name": "get",
                "timestamp": 10, "duration": 7, "localEndpoint": service("web"),
                "remoteEndpoint": { "serviceName": "db", "ipv4": "1.2.3.4", "port": 3306 },
                "annotations": [{ "timestamp": 12, "value": "ws" }],
                "tags": { "http.path": "/", "net.peer.ip": "1.2.3.4", "net.peer.port": "3306",
                          "peer.service": "db" } }))],
        ),
        (
            "a server whose times are its annotations'",
            json!({ "annotations": [at(20, "sr", "db"), at(25, "ss", "db")],
                "binaryAnnotations": [{ "key": "ca", "value": true, "endpoint": service("web") }] }),
            vec![v2(json!({ "kind": "SERVER", "timestamp": 20, "duration": 5,
                "localEndpoint": service("db"), "remoteEndpoint": service("web"),
                "tags": { "peer.service": "web" } }))],
        ),
        (
            "both in one span",
            json!({ "timestamp": 10, "duration": 9,
                "annotations": [at(10, "cs", "web"), at(12, "sr", "db"), at(13, "read", "db"),
                                at(15, "ss", "db"), at(19, "cr", "web"), at(16, "wait", "web")],
                "binaryAnnotations": [tag("a", "web", "web"), tag("a", "db", "db"),
                    { "key": "sa", "value": true, "endpoint": service("db") },
                    { "key": "ca", "value": true, "endpoint": service("web") }] }),
            vec![
                v2(json!({ "kind": "CLIENT", "timestamp": 10, "duration": 9,
                    "localEndpoint": service("web"), "remoteEndpoint": service("db"),
                    "annotations": [{ "timestamp": 16, "value": "wait" }],
                    "tags": { "a": "web", "peer.service": "db" } })),
                v2(json!({ "kind": "SERVER", "timestamp": 12, "duration": 3, "shared": true,
                    "localEndpoint": service("db"), "remoteEndpoint": service("web"),
                    "annotations": [{ "timestamp": 13, "value": "read" }],
                    "tags": { "a": "db", "peer.service": "web" } })),
            ],
        ),
        (
            "a producer",
            json!({ "annotations": [at(5, "ms", "web"), at(6, "ws", "web")],
                "binaryAnnotations": [{ "key": "ma", "value": "true", "endpoint": service("mq") }] }),
            vec![v2(json!({ "kind": "PRODUCER", "timestamp": 5, "duration": 1,
                "localEndpoint": service("web"), "remoteEndpoint": service("mq"),
                "tags": { "peer.service": "mq" } }))],
        ),
        (
            "a consumer",
            json!({ "annotations": [at(5, "wr", "web"), at(8, "mr", "web")] }),
            vec![v2(json!({ "kind": "CONSUMER", "timestamp": 5, "duration": 3,
                "localEndpoint": service("web") }))],
        ),
        (
            "inside an application",
            json!({ "timestamp": 5, "binaryAnnotations": [tag("lc", "cache", "web")] }),
            vec![v2(json!({ "timestamp": 5, "localEndpoint": service("web"),
                "tags": { "lc": "cache", "span.kind": "internal" } }))],
        ),
        (
            "nothing but an event",
            json!({ "annotations": [at(9, "late", "web"), at(7, "early", "web")] }),
            vec![v2(json!({ "timestamp": 7, "duration": 2, "localEndpoint": service("web"),
                "annotations": [{ "timestamp": 9, "value": "late" },
                                { "timestamp": 7, "value": "early" }] }))],
        ),
        (
            "an error, and no time",
            json!({ "binaryAnnotations": [tag("error", "broken", "web")], "debug": true }),
            vec![v2(json!({ "localEndpoint": service("web"), "debug": true,
                "tags": { "error": "broken", "otel.status_code": "ERROR" } }))],
        ),
        (
            "an address of nobody is a tag",
            json!({ "timestamp": 1, "binaryAnnotations": [{ "key": "sa", "value": "10.0.0.1" }] }),
            vec![v2(json!({ "timestamp": 1, "localEndpoint": service("unknown_service"),
                "tags": { "sa": "10.0.0.1" } }))],
        ),
    ]
}

#[test]
fn annotations_become_fields() {
    for (name, fields, expected) in cases() {
        let mut span = json!({ "traceId": "1", "id": "2" });
        span.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(json!(as_v2(read(&json!([span]), TagTypes::Text))), json!(expected), "{name}");
        let bytes = thrift(&[span]);
        let found = v1_thrift_to_otlp(&bytes, TagTypes::Text, Limits::default()).unwrap();
        assert_eq!(json!(as_v2(found)), json!(expected), "{name} in Thrift");
    }
}

/// The spans of JSON in Thrift's binary protocol, field by field of `zipkinCore.thrift`.
fn thrift(spans: &[Value]) -> Vec<u8> {
    let id = |value: &Value| i64::from_str_radix(value.as_str().unwrap_or("0"), 16).unwrap();
    let list = |span: &Value, key: &str| span[key].as_array().cloned().unwrap_or_default();
    let mut writer = Writer::new(Protocol::Binary);
    writer.structs(spans, |writer, span| {
        writer.i64_field(1, id(&span["traceId"]));
        writer.binary_field(3, span["name"].as_str().unwrap_or_default().as_bytes());
        writer.i64_field(4, id(&span["id"]));
        if span["parentId"].is_string() {
            writer.i64_field(5, id(&span["parentId"]));
        }
        writer.structs_field(6, &list(span, "annotations"), |writer, annotation| {
            writer.i64_field(1, annotation["timestamp"].as_i64().unwrap());
            writer.binary_field(2, annotation["value"].as_str().unwrap().as_bytes());
            writer.struct_field(3, |writer| put_endpoint(writer, &annotation["endpoint"]));
        });
        writer.structs_field(8, &list(span, "binaryAnnotations"), |writer, annotation| {
            writer.binary_field(1, annotation["key"].as_str().unwrap().as_bytes());
            match &annotation["value"] {
                Value::Bool(value) => {
                    writer.binary_field(2, &[u8::from(*value)]);
                    writer.i32_field(3, 0);
                }
                value => {
                    writer.binary_field(2, value.as_str().unwrap().as_bytes());
                    writer.i32_field(3, 6);
                }
            }
            if annotation["endpoint"].is_object() {
                writer.struct_field(4, |writer| put_endpoint(writer, &annotation["endpoint"]));
            }
        });
        writer.bool_field(9, span["debug"] == true);
        for (field, key) in [(10, "timestamp"), (11, "duration")] {
            if let Some(micros) = span[key].as_i64() {
                writer.i64_field(field, micros);
            }
        }
    });
    writer.finish()
}

fn put_endpoint(writer: &mut Writer, endpoint: &Value) {
    let ip: Option<std::net::Ipv4Addr> = endpoint["ipv4"].as_str().map(|ip| ip.parse().unwrap());
    writer.i32_field(1, ip.map_or(0, |ip| ip.to_bits() as i32));
    writer.i16_field(2, endpoint["port"].as_i64().unwrap_or(0) as i16);
    writer.binary_field(3, endpoint["serviceName"].as_str().unwrap_or_default().as_bytes());
}

/// One span in Thrift with a binary annotation of some type, and what of it becomes an attribute.
fn typed(kind: i32, value: &[u8]) -> Value {
    let mut writer = Writer::new(Protocol::Binary);
    writer.structs(&[()], |writer, ()| {
        writer.i64_field(1, -2);
        writer.i64_field(4, -1);
        writer.i64_field(10, 1);
        writer.i64_field(12, 0x0102_0304_0506_0708);
        writer.structs_field(8, &[()], |writer, ()| {
            writer.binary_field(1, b"k");
            writer.binary_field(2, value);
            writer.i32_field(3, kind);
        });
    });
    let found = v1_thrift_to_otlp(&writer.finish(), TagTypes::Text, Limits::default()).unwrap();
    let found: Value = serde_json::from_str(&model::json::encode(&found.otlp).unwrap()).unwrap();
    let span = &found["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert_eq!(span["traceId"], "0102030405060708fffffffffffffffe");
    assert_eq!(span["spanId"], "ffffffffffffffff");
    span["attributes"][0]["value"].clone()
}

#[test]
fn values_of_thrift_keep_their_types() {
    for (kind, value, expected) in [
        (0, &[1][..], json!({ "boolValue": true })),
        (0, &[0], json!({ "boolValue": false })),
        (1, &[1, 2], json!({ "stringValue": "AQI=" })),
        (2, &(-5_i16).to_be_bytes(), json!({ "intValue": "-5" })),
        (3, &(-5_i32).to_be_bytes(), json!({ "intValue": "-5" })),
        (4, &i64::MIN.to_be_bytes(), json!({ "intValue": i64::MIN.to_string() })),
        (5, &1.0_f64.to_be_bytes(), json!({ "doubleValue": 1.0 })),
        (5, &f64::NAN.to_be_bytes(), json!({ "doubleValue": "NaN" })),
        (6, b"12", json!({ "stringValue": "12" })),
        (6, b"a\xff", json!({ "stringValue": "a\u{fffd}" })),
        // Of the wrong length, or of no known type: its bytes.
        (3, &[1], json!({ "stringValue": "AQ==" })),
        (9, &[1], json!({ "stringValue": "AQ==" })),
    ] {
        let found = typed(kind, value);
        let same = found == expected
            || found["doubleValue"]
                .as_f64()
                .is_some_and(|value| expected["doubleValue"].as_f64() == Some(value));
        assert!(same, "{kind} {value:?}: {found} instead of {expected}");
    }
}

#[test]
fn tags_of_v1_become_typed_when_asked() {
    let span = json!([{ "traceId": "1", "id": "2", "timestamp": 1, "binaryAnnotations": [
        { "key": "n", "value": "1.5" }, { "key": "b", "value": true } ] }]);
    let values = |types| {
        let found = read(&span, types);
        let found: Value =
            serde_json::from_str(&model::json::encode(&found.otlp).unwrap()).unwrap();
        let attributes =
            found["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"].clone();
        [attributes[0]["value"].clone(), attributes[1]["value"].clone()]
    };
    let (text, truth) = (json!({ "stringValue": "1.5" }), json!({ "stringValue": "true" }));
    assert_eq!(values(TagTypes::Text), [truth, text]);
    let parsed = [json!({ "boolValue": true }), json!({ "doubleValue": 1.5 })];
    assert_eq!(values(TagTypes::Parsed), parsed);
}
