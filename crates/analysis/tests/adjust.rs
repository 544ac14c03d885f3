//! Traces before and after, each with one thing to adjust.

use analysis::adjust::adjust;
use bytes::Bytes;
use model::SpanBatch;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
}

fn span(id: u64, parent: u64, start: u64, end: u64) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..Span::default()
    }
}

fn of_host(host: Value, spans: Vec<Span>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource { attributes: vec![pair("host.ip", host)], ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

fn adjusted(resource_spans: Vec<ResourceSpans>, max_nano: u64) -> Vec<ResourceSpans> {
    let request = ExportTraceServiceRequest { resource_spans };
    let batch = SpanBatch::decode(Bytes::from(request.encode_to_vec())).unwrap();
    let adjusted = adjust(&batch, max_nano);
    ExportTraceServiceRequest::decode(adjusted.bytes().clone()).unwrap().resource_spans
}

fn spans(resources: &[ResourceSpans]) -> Vec<&Span> {
    let scopes = resources.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans).collect()
}

fn warnings(span: &Span) -> Vec<String> {
    let find = |attribute: &&KeyValue| attribute.key == "@jaeger@warnings";
    let Some(attribute) = span.attributes.iter().find(find) else { return Vec::new() };
    let Some(Value::ArrayValue(array)) = attribute.value.as_ref().and_then(|v| v.value.as_ref())
    else {
        panic!("{attribute:?}")
    };
    let text = |value: &AnyValue| match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    array.values.iter().map(text).collect()
}

#[test]
fn a_skewed_span_moves_with_its_events() {
    let mut child = span(2, 1, 0, 50);
    child.events = vec![Event { time_unix_nano: 5, ..Event::default() }];
    let list = ArrayValue { values: vec![any(text("b")), any(text("c"))] };
    let trace = vec![
        of_host(text("a"), vec![span(1, 0, 10, 110)]),
        of_host(Value::ArrayValue(list), vec![child]),
    ];
    let moved = adjusted(trace.clone(), 100);
    let child = spans(&moved)[1];
    assert_eq!((child.start_time_unix_nano, child.end_time_unix_nano), (35, 85));
    assert_eq!(child.events[0].time_unix_nano, 40);
    assert_eq!(warnings(child), ["This span's timestamps were adjusted by 35ns"]);

    let kept = adjusted(trace, 0);
    let child = spans(&kept)[1];
    assert_eq!((child.start_time_unix_nano, child.events[0].time_unix_nano), (0, 5));
    let off = "clock skew adjustment disabled; not applying calculated delta of 35ns";
    assert_eq!(warnings(child), [off]);
}

#[test]
fn a_server_that_shares_its_clients_id_gets_its_own() {
    let with_kind = |kind: i32, span: Span| Span { kind, ..span };
    let trace = vec![of_host(
        text("a"),
        vec![
            with_kind(3, span(1, 0, 0, 100)),
            with_kind(2, span(1, 0, 10, 90)),
            with_kind(1, span(3, 1, 20, 80)),
        ],
    )];
    let found = adjusted(trace, 0);
    let ids: Vec<(u64, u64)> = spans(&found)
        .into_iter()
        .map(|span| {
            let number = |id: &[u8]| id.iter().fold(0, |all, &byte| all << 8 | u64::from(byte));
            (number(&span.span_id), number(&span.parent_span_id))
        })
        .collect();
    assert_eq!(ids, [(1, 0), (2, 1), (3, 2)]);
}

#[test]
fn attributes_events_and_links_are_put_in_order() {
    let mut one = span(1, 0, 1, 2);
    one.attributes = vec![
        pair("z", Value::IntValue(1)),
        pair("ip", Value::IntValue(0x0102_0304)),
        pair("peer.ipv4", Value::DoubleValue(f64::from(0x7f00_0001))),
        pair("telemetry.sdk.name", text("otel")),
        pair("a", Value::BoolValue(true)),
    ];
    let event = |name: &str, time: u64| Event {
        name: name.to_owned(),
        time_unix_nano: time,
        ..Event::default()
    };
    one.events = vec![event("b", 2), event("a", 3), event("d", 1), event("c", 1)];
    let link = |trace: u8| Link {
        trace_id: if trace == 0 { Vec::new() } else { vec![trace; 16] },
        span_id: vec![1; 8],
        ..Link::default()
    };
    one.links = vec![link(0), link(9)];
    let mut two = span(2, 1, 1, 2);
    two.attributes = vec![pair("telemetry.sdk.name", text("other"))];

    let found = adjusted(vec![of_host(text("a"), vec![one, two])], 0);
    let [one, two] = spans(&found)[..] else { panic!("{found:?}") };
    let keys = |list: &[KeyValue]| list.iter().map(|each| each.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&one.attributes), ["a", "ip", "peer.ipv4", "z", "@jaeger@warnings"]);
    assert_eq!(one.attributes[1].value, Some(any(text("1.2.3.4"))));
    assert_eq!(one.attributes[2].value, Some(any(text("127.0.0.1"))));
    let names: Vec<&str> = one.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["d", "c", "b", "a"]);
    assert_eq!(one.links, [link(9)]);
    assert_eq!(warnings(one), ["Invalid span link removed"]);
    assert_eq!(
        keys(&found[0].resource.as_ref().unwrap().attributes),
        ["host.ip", "telemetry.sdk.name"]
    );
    let conflict = "conflicting values between Span and Resource for attribute telemetry.sdk.name";
    assert_eq!(warnings(two), [conflict]);
}
