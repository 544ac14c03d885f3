//! A bad span costs itself and no other.

use bytes::Bytes;
use model::wire::{put_bytes_field, put_message};
use model::{
    DecodeError, ELEMENTS_MAX, SHARED_RESOURCE_BYTES_MAX, SPAN_ELEMENTS_MAX, SpanBatch,
    TracesEncoder, VALUE_DEPTH_MAX, Value,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// The fields of an acceptable span with this name.
fn good(name: &str) -> Vec<u8> {
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.to_owned(),
        ..Span::default()
    };
    span.encode_to_vec()
}

/// A request of one resource and scope; `write` appends the content of its `ResourceSpans`.
fn request(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::new();
    put_message(&mut out, 1, write);
    out.into()
}

fn with_spans(spans: &[&[u8]]) -> Bytes {
    request(|out| {
        put_message(out, 2, |out| {
            spans.iter().for_each(|span| put_bytes_field(out, 2, span));
        });
    })
}

fn names(batch: &SpanBatch) -> Vec<&str> {
    batch.spans().iter().map(|span| batch.text(span.name)).collect()
}

/// Length-delimited fields of a span, by number.
type Fields = &'static [(u32, &'static [u8])];

#[test]
fn one_bad_span_between_good_ones() {
    let cases: &[(&str, Fields)] = &[
        ("a span's trace id is missing or all zeros", &[(2, &[2; 8])]),
        ("a span's trace id is missing or all zeros", &[(1, &[0; 16]), (2, &[2; 8])]),
        ("a span's trace id is missing or all zeros", &[(1, &[]), (2, &[2; 8])]),
        ("a span's span id is missing or all zeros", &[(1, &[1; 16])]),
        ("a span's span id is missing or all zeros", &[(1, &[1; 16]), (2, &[0; 8])]),
        (
            "a span's trace id has 15 bytes, not 16 (in JSON: 32 hexadecimal digits)",
            &[(1, &[1; 15]), (2, &[2; 8])],
        ),
        (
            "a span's trace id has 17 bytes, not 16 (in JSON: 32 hexadecimal digits)",
            &[(1, &[1; 17]), (2, &[2; 8])],
        ),
        (
            "a span's span id has 1 bytes, not 8 (in JSON: 16 hexadecimal digits)",
            &[(1, &[1; 16]), (2, &[2; 1])],
        ),
        (
            "a span's parent span id has 7 bytes, not 8 (in JSON: 16 hexadecimal digits)",
            &[(1, &[1; 16]), (2, &[2; 8]), (4, &[3; 7])],
        ),
        ("a span's name is not valid UTF-8", &[(1, &[1; 16]), (2, &[2; 8]), (5, b"\xff")]),
        ("a span's trace state is not valid UTF-8", &[(1, &[1; 16]), (2, &[2; 8]), (3, b"\xc3")]),
        (
            "a span's attribute is not valid UTF-8",
            &[(1, &[1; 16]), (2, &[2; 8]), (9, b"\x0a\x01\xff")],
        ),
        (
            "a span's attribute is not valid UTF-8",
            &[(1, &[1; 16]), (2, &[2; 8]), (9, b"\x12\x07\x2a\x05\x0a\x03\x0a\x01\xff")],
        ),
        (
            "a span's event name is not valid UTF-8",
            &[(1, &[1; 16]), (2, &[2; 8]), (11, b"\x12\x01\xff")],
        ),
        (
            "a span's link's trace id has 3 bytes, not 16 (in JSON: 32 hexadecimal digits)",
            &[(1, &[1; 16]), (2, &[2; 8]), (13, b"\x0a\x03abc")],
        ),
        (
            "a span's status message is not valid UTF-8",
            &[(1, &[1; 16]), (2, &[2; 8]), (15, b"\x12\x01\xff")],
        ),
    ];
    for (reason, fields) in cases {
        let mut bad = Vec::new();
        fields.iter().for_each(|(number, content)| put_bytes_field(&mut bad, *number, content));
        let bytes = with_spans(&[&good("before"), &bad, &good("after")]);
        let batch = SpanBatch::decode(bytes).unwrap();
        assert_eq!(names(&batch), ["before", "after"], "{reason}");
        assert_eq!((batch.rejection().spans, batch.rejection().reason.as_str()), (1, *reason));
    }
}

#[test]
fn the_first_reason_is_told_and_all_are_counted() {
    let mut no_span_id = Vec::new();
    put_bytes_field(&mut no_span_id, 1, &[1; 16]);
    let batch = SpanBatch::decode(with_spans(&[&no_span_id, b"", &good("n"), b""])).unwrap();
    assert_eq!(batch.rejection().spans, 3);
    assert_eq!(batch.rejection().reason, "a span's span id is missing or all zeros");
}

/// Of two resources, only the one that is not UTF-8 loses its spans.
#[test]
fn a_bad_resource_or_scope_costs_its_own_spans() {
    for (number, message, reason) in [
        (1, &b"\x0a\x03\x0a\x01\xff"[..], "a span's resource attribute is not valid UTF-8"),
        (1, b"\x1a\x03\x12\x01\xff", "a span's resource entity is not valid UTF-8"),
        (3, b"\xff", "a span's resource schema URL is not valid UTF-8"),
        (2, b"\x0a\x03\x0a\x01\xff", "a span's scope name is not valid UTF-8"),
        (2, b"\x1a\x01\xff", "a span's scope schema URL is not valid UTF-8"),
    ] {
        let bad = request(|out| {
            put_message(out, 2, |out| {
                if number == 2 {
                    out.extend_from_slice(message);
                }
                put_bytes_field(out, 2, &good("a"));
                put_bytes_field(out, 2, &good("b"));
            });
            if number != 2 {
                put_bytes_field(out, number, message);
            }
        });
        let both = [&bad[..], &with_spans(&[&good("c")])].concat();
        let batch = SpanBatch::decode(both.into()).unwrap();
        assert_eq!(names(&batch), ["c"], "{reason}");
        assert_eq!((batch.rejection().spans, batch.rejection().reason.as_str()), (2, reason));
    }
}

#[test]
fn a_message_in_two_fields_is_one() {
    let bytes = request(|out| {
        // Attributes "a" and "b", with spans and a dropped count between and after.
        put_bytes_field(out, 1, b"\x0a\x03\x0a\x01a");
        put_message(out, 2, |out| {
            put_bytes_field(out, 1, b"\x0a\x01n");
            put_bytes_field(out, 2, &good("s"));
            put_bytes_field(out, 1, b"\x12\x01v");
        });
        put_bytes_field(out, 1, b"\x0a\x03\x0a\x01b\x10\x07");
    });
    let batch = SpanBatch::decode(bytes.clone()).unwrap();
    let resource = &batch.resources()[0];
    let keys: Vec<_> =
        batch.resource_attributes(resource).iter().map(|a| batch.text(a.key)).collect();
    assert_eq!((keys, resource.dropped_attributes_count), (vec!["a", "b"], 7));
    let scope = &batch.scopes()[0];
    assert_eq!((batch.text(scope.name), batch.text(scope.version)), ("n", "v"));

    let mut encoder = TracesEncoder::new();
    encoder.span_of(&batch, &batch.spans()[0]);
    let again = ExportTraceServiceRequest::decode(&encoder.finish()[..]).unwrap();
    let was = ExportTraceServiceRequest::decode(bytes).unwrap();
    assert_eq!(again.resource_spans[0].resource, was.resource_spans[0].resource);
    assert_eq!(
        again.resource_spans[0].scope_spans[0].scope,
        was.resource_spans[0].scope_spans[0].scope
    );
}

/// Whoever keeps scopes keeps the resource with each: two megabytes must not become gigabytes.
#[test]
fn a_large_resource_has_few_scopes() {
    const RESOURCE: usize = 1 << 20;
    let of = |scopes: usize| {
        request(|out| {
            let mut resource = Vec::new();
            put_message(&mut resource, 1, |out| {
                put_bytes_field(out, 1, b"k");
                put_message(out, 2, |out| put_bytes_field(out, 1, &vec![b'x'; RESOURCE]));
            });
            put_bytes_field(out, 1, &resource);
            for _ in 0..scopes {
                put_message(out, 2, |out| put_bytes_field(out, 2, &good("s")));
            }
        })
    };
    assert_eq!(SpanBatch::decode(of(1)).unwrap().len(), 1);
    let most = SHARED_RESOURCE_BYTES_MAX / (RESOURCE + 16);
    assert_eq!(SpanBatch::decode(of(most)).unwrap().len(), most);
    let error = SpanBatch::decode(of(most + 2)).unwrap_err();
    assert_eq!(error, DecodeError::TooManyScopes);
    assert!(error.to_string().contains("16 MiB"), "{error}");
}

#[test]
fn spans_of_two_batches_find_their_own_scopes() {
    let batch = |name: &[u8]| {
        let bytes = request(|out| {
            put_message(out, 2, |out| {
                put_message(out, 1, |out| put_bytes_field(out, 1, name));
                put_bytes_field(out, 2, &good("s"));
                put_bytes_field(out, 2, &good("t"));
            });
        });
        SpanBatch::decode(bytes).unwrap()
    };
    let (one, other) = (batch(b"one"), batch(b"two"));
    let mut encoder = TracesEncoder::new();
    for (one, other) in one.spans().iter().zip(other.spans()) {
        encoder.span_of(&batch(b"one"), one);
        encoder.span_of(&batch(b"two"), other);
    }
    let again = SpanBatch::decode(encoder.finish().into()).unwrap();
    let scopes: Vec<&str> = again.scopes().iter().map(|scope| again.text(scope.name)).collect();
    assert_eq!(scopes, ["one", "two"]);
    let of: Vec<u32> = again.spans().iter().map(|span| span.scope).collect();
    assert_eq!(of, [0, 0, 1, 1]);
}

/// Parts of a message cost their own bytes, however many there are and whatever lies between.
#[test]
fn a_message_in_many_fields_is_joined_once() {
    const PARTS: usize = 20_000;
    // Resource and scope: the field of the attribute, and of the message in its parent.
    for (attribute, inside_scope) in [(1, false), (3, true)] {
        let write = |out: &mut Vec<u8>| {
            for _ in 0..PARTS {
                put_message(out, 1, |out| put_bytes_field(out, attribute, b"\x0a\x01a"));
            }
        };
        let spans = |out: &mut Vec<u8>| put_bytes_field(out, 2, &good("n"));
        let bytes = request(|out| {
            if inside_scope {
                put_message(out, 2, |out| {
                    write(out);
                    spans(out);
                });
            } else {
                write(out);
                put_message(out, 2, spans);
            }
        });
        let body_bytes = bytes.len();
        let mut most = 0;
        let batch = SpanBatch::decode_within(bytes, |index_bytes| {
            most = most.max(index_bytes);
            true
        });
        let batch = batch.unwrap();
        let (scope, resource) = batch.origin(&batch.spans()[0]);
        let (attributes, message) = if inside_scope {
            (batch.scope_attributes(scope), scope.message)
        } else {
            (batch.resource_attributes(resource), resource.message)
        };
        assert_eq!((attributes.len(), message.len()), (PARTS, PARTS * 5));
        let part = [attribute as u8 * 8 + 2, 3, 0x0a, 1, b'a'];
        assert_eq!(batch.bytes_of(message), part.repeat(PARTS));
        assert!(most < 10 * body_bytes, "{most} bytes of index for {body_bytes} of body");
        assert!(batch.index_bytes() <= most);
    }
}

/// The index asks for room as it grows, and not after it has grown.
#[test]
fn an_index_without_room_is_refused() {
    let mut span = good("crowded");
    span.extend([0x4a, 0].repeat(SPAN_ELEMENTS_MAX));
    let crowded = with_spans(&[&span, &span]);
    let mut plain = good("plain");
    plain.extend(b"\x4a\x06\x0a\x00\x12\x02\x10\x01".repeat(SPAN_ELEMENTS_MAX));
    for bytes in [crowded, with_spans(&[&plain]), Bytes::from([0x0a, 0].repeat(200_000))] {
        let whole = SpanBatch::decode(bytes.clone()).unwrap().index_bytes();
        let room = |bytes_max: usize| move |index_bytes: usize| index_bytes <= bytes_max;
        assert!(SpanBatch::decode_within(bytes.clone(), room(whole)).is_ok());
        for bytes_max in [0, 1_000_000, whole - 1] {
            match SpanBatch::decode_within(bytes.clone(), room(bytes_max)) {
                Err(DecodeError::NoRoom { index_bytes }) => {
                    assert!(index_bytes <= whole && index_bytes > bytes_max, "{bytes_max}");
                    // Room for ordinary spans is taken ahead: about the size of the body.
                    let most = 2 * bytes_max.max(bytes.len());
                    assert!(index_bytes < most, "{index_bytes}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn values_nest_to_the_limit_and_no_deeper() {
    for field in [5, 6] {
        let with_depth = |depth: usize| {
            let mut value = Vec::new();
            for _ in 0..depth {
                // AnyValue ← ArrayValue or KeyValueList ← AnyValue, the latter by way of KeyValue.
                let steps: &[u32] = if field == 5 { &[1, 5] } else { &[2, 1, 6] };
                for &number in steps {
                    let mut outer = Vec::with_capacity(value.len() + 8);
                    put_bytes_field(&mut outer, number, &value);
                    value = outer;
                }
            }
            let mut span = good("n");
            put_message(&mut span, 9, |out| put_bytes_field(out, 2, &value));
            span
        };
        let batch = SpanBatch::decode(with_spans(&[&with_depth(VALUE_DEPTH_MAX)])).unwrap();
        let attribute = batch.span_attributes(&batch.spans()[0])[0];
        assert!(matches!(attribute.value, Value::Array(_) | Value::KeyValueList(_)));
        assert!(!model::json::value_text(&batch, attribute.value).is_empty());
        for depth in [VALUE_DEPTH_MAX + 1, 3_000] {
            let spans = [&good("before")[..], &with_depth(depth), &good("after")];
            let batch = SpanBatch::decode(with_spans(&spans)).unwrap();
            assert_eq!(names(&batch), ["before", "after"], "{depth}");
            let rejection = batch.rejection();
            assert_eq!(rejection.spans, 1, "{depth}");
            assert_eq!(rejection.reason, "a span's attribute is nested deeper than 64 levels");
        }
    }
}

#[test]
fn what_breaks_the_framing_refuses_the_request() {
    for (bytes, text) in [
        (
            &b"\x0a\x05\x01"[..],
            "the message ends inside a field at byte 2 of ExportTraceServiceRequest",
        ),
        (b"\x08\x01", "field 1 has the wrong wire type at byte 2 of ExportTraceServiceRequest"),
        (b"\x0a\x04\x12\x02\x12\x05", "the message ends inside a field at byte 2 of ScopeSpans"),
        (
            b"\x0a\x06\x0a\x04\x1a\x02\x1a\x05",
            "the message ends inside a field at byte 2 of EntityRef",
        ),
        (b"\x0a\x01\x0b", "wire type 3 is not in use at byte 1 of ResourceSpans"),
    ] {
        let error = SpanBatch::decode(Bytes::from_static(bytes)).unwrap_err();
        assert_eq!(error.to_string(), format!("not an OTLP trace request: {text}"));
    }
}

#[test]
fn elements_without_content_are_bounded() {
    let crowded = |field: u8, count: usize| {
        let mut span = good("crowded");
        span.extend([field, 0].repeat(count));
        SpanBatch::decode(with_spans(&[&good("good"), &span])).unwrap()
    };
    // Attributes, events and links: their tags, each with an empty message.
    for field in [0x4a, 0x5a, 0x6a] {
        assert_eq!(crowded(field, SPAN_ELEMENTS_MAX).len(), 2);
        let batch = crowded(field, SPAN_ELEMENTS_MAX + 1);
        assert_eq!((batch.len(), batch.rejection().spans), (1, 1));
        let reason = &batch.rejection().reason;
        assert!(reason.starts_with("a span has more than 131072 attributes"), "{reason}");
    }
    // Resources alone, and the attributes of one span alone.
    let resources = Bytes::from([0x0a, 0].repeat(ELEMENTS_MAX + 1));
    assert_eq!(SpanBatch::decode(resources).unwrap_err(), DecodeError::TooMany);
    // And parts of one resource.
    let parts = request(|out| out.extend([0x0a, 0].repeat(ELEMENTS_MAX + 1)));
    assert_eq!(SpanBatch::decode(parts).unwrap_err(), DecodeError::TooMany);
    let mut span = good("vast");
    span.extend([0x4a, 0].repeat(ELEMENTS_MAX + 1));
    let vast = SpanBatch::decode(with_spans(&[&span]));
    assert_eq!(vast.unwrap_err(), DecodeError::TooMany);
}
