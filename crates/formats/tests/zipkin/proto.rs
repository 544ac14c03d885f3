//! Zipkin's v2 spans in protobuf.

use formats::Limits;
use formats::zipkin::{json_to_otlp, otlp_to_proto, proto_to_otlp, write_json_with};
use model::wire::{put_bytes_field, put_fixed64_field, put_message, put_varint_field};

use super::*;

fn bytes_field(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_bytes_field(out, number, value);
}

/// Every field of `zipkin.proto`, written by number, and the same in JSON.
#[test]
fn every_field_by_its_number() {
    let mut bytes = Vec::new();
    put_message(&mut bytes, 1, |out| {
        bytes_field(out, 1, &[1, 2, 3, 4, 5, 6, 7, 8]);
        bytes_field(out, 2, &[9; 8]);
        bytes_field(out, 3, &[7; 8]);
        put_varint_field(out, 4, 2);
        bytes_field(out, 5, b"get");
        put_fixed64_field(out, 6, 1_700_000_000_000_000);
        put_varint_field(out, 7, 300);
        put_message(out, 8, |out| {
            bytes_field(out, 1, b"web");
            bytes_field(out, 2, &[10, 0, 0, 1]);
            put_varint_field(out, 4, 65535);
        });
        put_message(out, 9, |out| {
            bytes_field(out, 1, b"db");
            bytes_field(out, 3, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        });
        put_message(out, 10, |out| {
            put_fixed64_field(out, 1, 1_700_000_000_000_100);
            bytes_field(out, 2, b"retry");
        });
        for (key, value) in [("a", "1"), ("otlp.link.0", "x")] {
            put_message(out, 11, |out| {
                bytes_field(out, 1, key.as_bytes());
                bytes_field(out, 2, value.as_bytes());
            });
        }
        put_varint_field(out, 12, 1);
        put_varint_field(out, 13, 1);
        put_varint_field(out, 99, 1);
    });
    let json = json!([{
        "traceId": "102030405060708", "parentId": "0909090909090909", "id": "0707070707070707",
        "kind": "SERVER", "name": "get", "timestamp": 1_700_000_000_000_000_u64, "duration": 300,
        "localEndpoint": { "serviceName": "web", "ipv4": "10.0.0.1", "port": 65535 },
        "remoteEndpoint": { "serviceName": "db", "ipv6": "2001:db8::1" },
        "annotations": [{ "timestamp": 1_700_000_000_000_100_u64, "value": "retry" }],
        "tags": { "a": "1", "otlp.link.0": "x" }, "debug": true, "shared": true,
    }]);
    for types in [TagTypes::Text, TagTypes::Parsed] {
        let found = proto_to_otlp(&bytes, types, Limits::default()).unwrap();
        let same = json_to_otlp(json.to_string().as_bytes(), types, Limits::default()).unwrap();
        assert_eq!(found, same);
        assert_eq!((found.spans, found.rejection.spans), (1, 0));
    }
    let batch =
        SpanBatch::decode(proto_to_otlp(&bytes, TagTypes::Text, Limits::default()).unwrap().otlp)
            .unwrap();
    let again = otlp_to_proto(&batch, "none");
    let again = proto_to_otlp(&again, TagTypes::Text, Limits::default()).unwrap();
    let same = SpanBatch::decode(again.otlp).unwrap();
    let json_of = |batch: &SpanBatch| {
        let mut out = Vec::new();
        write_json(&mut out, batch);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(json_of(&same), json_of(&batch));
}

#[test]
fn a_resource_without_a_service_gets_the_one_asked_for() {
    let batch = batch_of(&json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [{
        "traceId": TRACE, "spanId": "0000000000000001",
        "startTimeUnixNano": "1000", "endTimeUnixNano": "2000",
    }] }] }] }));
    let mut out = Vec::new();
    write_json_with(&mut out, &batch, "nobody");
    let json: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json[0]["localEndpoint"]["serviceName"], "nobody");
    let proto = otlp_to_proto(&batch, "nobody");
    let found = proto_to_otlp(&proto, TagTypes::Text, Limits::default()).unwrap();
    let found = SpanBatch::decode(found.otlp).unwrap();
    assert_eq!(found.service_name(&found.resources()[0]), "nobody");
}
