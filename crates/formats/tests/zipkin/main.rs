//! Zipkin's spans, both ways, field by field.

mod hostile;
mod properties;
mod proto;
mod v1;

use bytes::Bytes;
use formats::zipkin::{TagTypes, to_otlp, write_json};
use model::SpanBatch;
use serde_json::{Value, json};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn batch_of(otlp: &Value) -> SpanBatch {
    let bytes = model::json::decode(otlp.to_string().as_bytes()).expect("OTLP JSON");
    SpanBatch::decode(Bytes::from(bytes)).expect("OTLP")
}

/// One span of one resource, in Zipkin's words.
fn zipkin(resource: Value, scope: Value, span: Value) -> Value {
    let mut full = json!({
        "traceId": TRACE, "spanId": "b7ad6b7169203331", "name": "GET /cart",
        "startTimeUnixNano": "1700000000000000999", "endTimeUnixNano": "1700000000001234999",
    });
    full.as_object_mut().unwrap().extend(span.as_object().unwrap().clone());
    let otlp = json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": scope, "spans": [full] }],
    }] });
    let mut out = Vec::new();
    write_json(&mut out, &batch_of(&otlp));
    let mut list: Vec<Value> = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(list.len(), 1);
    list.remove(0)
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn spans(zipkin: &Value, types: TagTypes) -> Result<Value, String> {
    let bytes = to_otlp(zipkin.to_string().as_bytes(), types).map_err(|error| error.to_string())?;
    let json = model::json::encode(&bytes).expect("OTLP");
    Ok(serde_json::from_slice(json.as_ref()).expect("JSON"))
}

#[test]
fn a_whole_span_of_otlp() {
    let span = json!({
        "parentSpanId": "00f067aa0ba902b7", "kind": 3, "traceState": "a=1",
        "attributes": [
            text("http.request.method", "GET"),
            { "key": "status", "value": { "intValue": "503" } },
            { "key": "ratio", "value": { "doubleValue": 0.5 } },
            { "key": "cached", "value": { "boolValue": false } },
            { "key": "ids", "value": { "arrayValue": { "values": [{ "intValue": "1" }, { "stringValue": "b" }] } } },
            text("peer.service", "cart"), text("network.peer.address", "10.1.2.3"),
            { "key": "network.peer.port", "value": { "intValue": "8080" } },
            text("host.name", "of the span"),
        ],
        "droppedAttributesCount": 1, "droppedEventsCount": 2, "droppedLinksCount": 3,
        "events": [
            { "timeUnixNano": "1700000000000500000", "name": "retry" },
            { "timeUnixNano": "1700000000000600000", "name": "exception", "attributes": [
                text("exception.type", "E"), { "key": "n", "value": { "intValue": "2" } },
            ] },
        ],
        "links": [{ "traceId": TRACE, "spanId": "0000000000000007", "traceState": "b=2",
            "attributes": [text("why", "retry|again")], "droppedAttributesCount": 4 }],
        "status": { "code": 2, "message": "no stock" },
    });
    let resource = json!([text("service.name", "Frontend"), text("host.name", "a")]);
    let seen = zipkin(resource, json!({ "name": "http", "version": "1.2" }), span);
    let expected = json!({
        "traceId": TRACE, "id": "b7ad6b7169203331", "parentId": "00f067aa0ba902b7",
        "kind": "CLIENT", "name": "GET /cart",
        "timestamp": 1_700_000_000_000_000_u64, "duration": 1234,
        "localEndpoint": { "serviceName": "Frontend" },
        "remoteEndpoint": { "serviceName": "cart", "ipv4": "10.1.2.3", "port": 8080 },
        "annotations": [
            { "timestamp": 1_700_000_000_000_500_u64, "value": "retry" },
            { "timestamp": 1_700_000_000_000_600_u64,
              "value": "\"exception\": {\"exception.type\":\"E\",\"n\":2}" },
        ],
        "tags": {
            "http.request.method": "GET", "status": "503", "ratio": "0.5", "cached": "false",
            "ids": "[1,\"b\"]", "peer.service": "cart", "network.peer.address": "10.1.2.3",
            "network.peer.port": "8080", "host.name": "of the span",
            "error": "no stock", "otel.status_code": "ERROR",
            "otel.scope.name": "http", "otel.scope.version": "1.2", "w3c.tracestate": "a=1",
            "otel.dropped_attributes_count": "1", "otel.dropped_events_count": "2",
            "otel.dropped_links_count": "3",
            "otlp.link.0": format!("{TRACE}|0000000000000007|b=2|{{\"why\":\"retry|again\"}}|4"),
        },
    });
    assert_eq!(seen, expected, "{seen:#}");
}

#[test]
fn what_is_not_there_is_left_out() {
    let bare = json!({ "traceId": TRACE, "spanId": "01", "name": "",
        "startTimeUnixNano": "0", "endTimeUnixNano": "0" });
    let bare = json!({ "spanId": "0000000000000001", "name": bare["name"],
        "startTimeUnixNano": "0", "endTimeUnixNano": "0" });
    assert_eq!(
        zipkin(json!([]), json!({}), bare),
        json!({ "traceId": TRACE, "id": "0000000000000001",
            "localEndpoint": { "serviceName": "unknown_service" } })
    );
}

#[test]
fn kinds() {
    for (otlp, zipkin_kind, tag) in [
        (0, Value::Null, Value::Null),
        (1, Value::Null, json!("internal")),
        (2, json!("SERVER"), Value::Null),
        (3, json!("CLIENT"), Value::Null),
        (4, json!("PRODUCER"), Value::Null),
        (5, json!("CONSUMER"), Value::Null),
        (99, Value::Null, Value::Null),
    ] {
        let seen = zipkin(json!([]), json!({}), json!({ "kind": otlp }));
        assert_eq!((&seen["kind"], &seen["tags"]["span.kind"]), (&zipkin_kind, &tag), "{otlp}");
    }
}

#[test]
fn durations_are_whole_microseconds_and_none_is_zero() {
    for (nanos, micros) in
        [(0, Value::Null), (1, json!(1)), (999, json!(1)), (1234, json!(1)), (2000, json!(2))]
    {
        let span = json!({ "startTimeUnixNano": "1000000", "endTimeUnixNano": (1_000_000 + nanos).to_string() });
        assert_eq!(zipkin(json!([]), json!({}), span)["duration"], micros, "{nanos}");
    }
}

#[test]
fn statuses() {
    let error = |value: Value| json!([{ "key": "error", "value": value }]);
    let of = |code: i32, message: &str, attributes: Value| {
        let span =
            json!({ "status": { "code": code, "message": message }, "attributes": attributes });
        let tags = &zipkin(json!([]), json!({}), span)["tags"];
        (tags["otel.status_code"].clone(), tags["error"].clone())
    };
    let none = || Value::Null;
    for (code, message, attributes, expected) in [
        (0, "", json!([]), (none(), none())),
        (1, "", json!([]), (json!("OK"), none())),
        (2, "", json!([]), (json!("ERROR"), json!(""))),
        (2, "late", json!([]), (json!("ERROR"), json!("late"))),
        (2, "", error(json!({ "stringValue": "late" })), (json!("ERROR"), json!("late"))),
        (2, "", error(json!({ "boolValue": false })), (json!("ERROR"), json!(""))),
        (2, "m", error(json!({ "boolValue": true })), (json!("ERROR"), json!("m"))),
        (0, "", error(json!({ "boolValue": false })), (none(), none())),
        (1, "", error(json!({ "stringValue": "false" })), (json!("OK"), none())),
        (0, "", error(json!({ "boolValue": true })), (none(), json!("true"))),
    ] {
        assert_eq!(
            of(code, message, attributes.clone()),
            expected,
            "{code} {message} {attributes}"
        );
    }
}

#[test]
fn remote_endpoints_by_rank() {
    type Texts = &'static [(&'static str, &'static str)];
    let table: [(i32, Texts, Value); 14] = [
        (3, &[("peer.service", "a"), ("server.address", "b")], json!({ "serviceName": "a" })),
        (4, &[("server.address", "b"), ("peer.address", "c")], json!({ "serviceName": "b" })),
        (3, &[("net.peer.name", "n"), ("db.name", "d")], json!({ "serviceName": "n" })),
        (
            3,
            &[("network.peer.address", "::1"), ("network.peer.port", "80"), ("db.name", "d")],
            json!({ "ipv6": "::1", "port": 80 }),
        ),
        (3, &[("network.peer.address", "/run/sock")], json!({ "serviceName": "/run/sock" })),
        (3, &[("server.socket.domain", "s")], json!({ "serviceName": "s" })),
        (3, &[("server.socket.address", "1.2.3.4")], json!({ "ipv4": "1.2.3.4" })),
        (3, &[("net.sock.peer.name", "s")], json!({ "serviceName": "s" })),
        (
            3,
            &[("net.sock.peer.addr", "1.2.3.4"), ("net.sock.peer.port", "x")],
            json!({ "ipv4": "1.2.3.4" }),
        ),
        (3, &[("peer.hostname", "h"), ("db.name", "d")], json!({ "serviceName": "h" })),
        (3, &[("db.name", "d")], json!({ "serviceName": "d" })),
        (2, &[("server.address", "me")], Value::Null),
        (
            2,
            &[("peer.service", "caller"), ("network.peer.address", "1.2.3.4")],
            json!({ "serviceName": "caller", "ipv4": "1.2.3.4" }),
        ),
        (3, &[("http.request.method", "GET")], Value::Null),
    ];
    for (kind, attributes, expected) in table {
        let list: Vec<Value> = attributes.iter().map(|(key, value)| text(key, value)).collect();
        let seen = zipkin(json!([]), json!({}), json!({ "kind": kind, "attributes": list }));
        assert_eq!(seen["remoteEndpoint"], expected, "{kind} {attributes:?}");
    }
}

#[test]
fn a_whole_span_of_zipkin() {
    let seen = spans(
        &json!([{
            "traceId": "463ac35c9f6413ad", "id": "6B221D5BC9E6496C", "parentId": "463ac35c9f6413ad",
            "kind": "SERVER", "name": "get /api", "timestamp": 1_502_787_600_000_000_u64,
            "duration": 150_000, "debug": true, "shared": true,
            "localEndpoint": { "serviceName": "backend", "ipv4": "192.168.99.1", "port": 3306 },
            "remoteEndpoint": { "serviceName": "caller", "ipv6": "2001:db8::c001", "port": 63840 },
            "annotations": [
                { "timestamp": 1_502_787_600_000_001_u64, "value": "brave.flush" },
                { "timestamp": 1_502_787_600_000_002_u64, "value": "retry|{\"n\":1,\"r\":0.5,\"b\":true}|2" },
            ],
            "tags": { "error": "no stock", "http.path": "/api", "count": "7",
                "otel.library.name": "brave", "otel.scope.version": "6",
                "host.name": "h", "service.version": "1.0", "w3c.tracestate": "a=1",
                "otlp.link.0": format!("{TRACE}|0000000000000007|b=2|{{\"why\":\"a|b\"}}|4"),
                "otel.dropped_events_count": "2" },
        }]),
        TagTypes::Text,
    );
    let int = |key: &str, value: &str| json!({ "key": key, "value": { "intValue": value } });
    let flag = |key: &str| json!({ "key": key, "value": { "boolValue": true } });
    let expected = json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", "backend"), text("host.name", "h"), text("service.version", "1.0"),
        ] },
        "scopeSpans": [{ "scope": { "name": "brave", "version": "6" }, "spans": [{
            "traceId": "0000000000000000463ac35c9f6413ad", "spanId": "6b221d5bc9e6496c",
            "parentSpanId": "463ac35c9f6413ad", "traceState": "a=1", "name": "get /api", "kind": 2,
            "startTimeUnixNano": "1502787600000000000", "endTimeUnixNano": "1502787600150000000",
            "droppedEventsCount": 2,
            "attributes": [
                text("count", "7"), text("http.path", "/api"),
                text("net.host.ip", "192.168.99.1"), int("net.host.port", "3306"),
                text("peer.service", "caller"), text("net.peer.ip", "2001:db8::c001"),
                int("net.peer.port", "63840"), flag("zipkin.debug"), flag("zipkin.shared"),
            ],
            "events": [
                { "timeUnixNano": "1502787600000001000", "name": "brave.flush" },
                { "timeUnixNano": "1502787600000002000", "name": "retry",
                  "droppedAttributesCount": 2, "attributes": [
                    flag("b"), int("n", "1"), { "key": "r", "value": { "doubleValue": 0.5 } },
                ] },
            ],
            "links": [{ "traceId": TRACE, "spanId": "0000000000000007", "traceState": "b=2",
                "attributes": [text("why", "a|b")], "droppedAttributesCount": 4 }],
            "status": { "code": 2, "message": "no stock" },
        }] }],
    }] });
    let seen = seen.expect("spans");
    let plain = |value: &Value| batch_bytes(value);
    assert_eq!(plain(&seen), plain(&expected), "{seen:#}\n{expected:#}");
}

/// The protobuf of OTLP JSON, which has no two spellings.
fn batch_bytes(otlp: &Value) -> Vec<u8> {
    model::json::decode(otlp.to_string().as_bytes()).expect("OTLP JSON").to_vec()
}

fn one(span: Value, types: TagTypes) -> Value {
    let mut full = json!({ "traceId": "1", "id": "2", "timestamp": 1 });
    full.as_object_mut().unwrap().extend(span.as_object().unwrap().clone());
    spans(&json!([full]), types).expect("a span")["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        .clone()
}

#[test]
fn kinds_and_statuses_of_zipkin() {
    for (span, kind, status, message) in [
        (json!({}), 0, 0, ""),
        (json!({ "kind": "CLIENT" }), 3, 0, ""),
        (json!({ "kind": null }), 0, 0, ""),
        (json!({ "kind": "PRODUCER" }), 4, 0, ""),
        (json!({ "kind": "CONSUMER" }), 5, 0, ""),
        (json!({ "tags": { "lc": "worker" } }), 1, 0, ""),
        (json!({ "tags": { "span.kind": "internal" } }), 1, 0, ""),
        (json!({ "tags": { "error": "" } }), 0, 2, ""),
        (json!({ "tags": { "error": "true" } }), 0, 2, ""),
        (json!({ "tags": { "error": true } }), 0, 2, ""),
        (json!({ "tags": { "error": "false" } }), 0, 0, ""),
        (json!({ "tags": { "error": "late" } }), 0, 2, "late"),
        (json!({ "tags": { "otel.status_code": "OK", "error": "late" } }), 0, 1, ""),
        (
            json!({ "tags": { "otel.status_code": "Error", "otel.status_description": "d" } }),
            0,
            2,
            "d",
        ),
        (json!({ "tags": { "otel.status_code": "STATUS_CODE_OK" } }), 0, 1, ""),
        (json!({ "tags": { "otel.status_code": "UNSET" } }), 0, 0, ""),
        (json!({ "tags": { "otel.status_code": "ERROR", "error": "late" } }), 0, 2, "late"),
    ] {
        let seen = one(span.clone(), TagTypes::Text);
        assert_eq!(seen["kind"].as_i64().unwrap_or(0), kind, "{span}: {seen}");
        assert_eq!(seen["status"]["code"].as_i64().unwrap_or(0), status, "{span}: {seen}");
        assert_eq!(seen["status"]["message"].as_str().unwrap_or(""), message, "{span}: {seen}");
    }
}

#[test]
fn tags_become_typed_when_asked() {
    let tags = json!({ "tags": { "a": "1", "b": "-2.5", "c": "true", "d": "x", "e": "", "f": 3 } });
    let value = |seen: &Value, at: usize| seen["attributes"][at]["value"].clone();
    let texts = one(tags.clone(), TagTypes::Text);
    let typed = one(tags, TagTypes::Parsed);
    for (at, (as_text, parsed)) in [
        ("1", json!({ "intValue": "1" })),
        ("-2.5", json!({ "doubleValue": -2.5 })),
        ("true", json!({ "boolValue": true })),
        ("x", json!({ "stringValue": "x" })),
        ("", json!({ "stringValue": "" })),
        ("3", json!({ "intValue": "3" })),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(value(&texts, at), json!({ "stringValue": as_text }));
        assert_eq!(value(&typed, at), parsed);
    }
}

#[test]
fn odd_spans_of_zipkin_are_understood() {
    // No timestamp: noted, and left out again.
    let seen = one(json!({ "timestamp": null, "duration": 5 }), TagTypes::Text);
    assert_eq!(seen["attributes"][0]["key"], "otel.zipkin.absentField.startTime");
    assert_eq!(seen["endTimeUnixNano"], "5000");
    // A root that names itself, and parents that are none.
    for parent in [json!("2"), json!("0000000000000002"), json!("0"), json!(""), Value::Null] {
        let seen = one(json!({ "parentId": parent }), TagTypes::Text);
        assert_eq!(seen["parentSpanId"].as_str().unwrap_or(""), "", "{parent}");
    }
    for number in [json!(1000), json!(1000.0), json!("1000")] {
        assert_eq!(
            one(json!({ "timestamp": number }), TagTypes::Text)["startTimeUnixNano"],
            "1000000"
        );
    }
    // A link that is none stays a tag.
    let seen = one(json!({ "tags": { "otlp.link.0": "x|y|z" } }), TagTypes::Text);
    assert_eq!(seen["attributes"][0]["key"], "otlp.link.0");
}

#[test]
fn what_is_wrong_is_named() {
    let error = |text: &str| to_otlp(text.as_bytes(), TagTypes::Text).unwrap_err().to_string();
    for (text, words) in [
        ("", &["line 1"][..]),
        ("{}", &["line 1", "map"]),
        ("[{]", &["line 1"]),
        ("[1]", &["line 1"]),
        (r#"[{"id":"1"}]"#, &["span 0, traceId", "hexadecimal"]),
        (r#"[{"traceId":"1","id":"1"},{"traceId":"1"}]"#, &["span 1, id"]),
        (r#"[{"traceId":"xyz","id":"1"}]"#, &["span 0, traceId", "'x'", "position 1"]),
        (r#"[{"traceId":"0","id":"1"}]"#, &["span 0, traceId", "zeros"]),
        (r#"[{"traceId":"1","id":"00000000000000000"}]"#, &["span 0, id", "17"]),
        (r#"[{"traceId":"1","id":"1","parentId":"g"}]"#, &["span 0, parentId"]),
        (r#"[{"traceId":"1","id":"1","kind":"FRIEND"}]"#, &["FRIEND", "CLIENT", "line 1"]),
        (r#"[{"traceId":"1","id":"1","timestamp":-1}]"#, &["-1", "not negative"]),
        (r#"[{"traceId":"1","id":"1","timestamp":18446744073709551}]"#, &[]),
        (r#"[{"traceId":"1","id":"1","timestamp":18446744073709552}]"#, &["timestamp", "2554"]),
        (
            r#"[{"traceId":"1","id":"1","timestamp":9446744073709551,"duration":9446744073709551}]"#,
            &["duration"],
        ),
        (r#"[{"traceId":"1","id":"1","tags":{"a":[]}}]"#, &["tag", "line 1"]),
    ] {
        if words.is_empty() {
            assert!(to_otlp(text.as_bytes(), TagTypes::Text).is_ok(), "{text}");
            continue;
        }
        let error = error(text);
        for word in words {
            assert!(error.contains(word), "{text}: {word:?} is not in {error}");
        }
    }
}
