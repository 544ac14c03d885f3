//! Every field of every span comes back, wherever the span lies.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use proptest::collection::vec;
use proptest::prelude::*;
use store::Store;

use crate::arbitrary::Shape;
use crate::bench::Bench;
use crate::sent::{Sent, int, request, text, value};

/// Everything in one.
fn joined(requests: &[ExportTraceServiceRequest]) -> ExportTraceServiceRequest {
    let resource_spans = requests.iter().flat_map(|request| request.resource_spans.clone());
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

/// Holds the requests in the head, from the log again, in blocks, compacted, from blocks again.
fn assert_survives(requests: &[ExportTraceServiceRequest], chunk_rows: usize) {
    let all = joined(requests);
    let mut head = Bench::with(move |options| options.chunk_rows = chunk_rows);
    requests.iter().for_each(|request| head.append(request));
    head.assert_holds("head", &all);
    head.reopen();
    head.assert_holds("head from the log", &all);
    head.settle();
    head.assert_holds("a block", &all);

    let mut blocks = Bench::with(move |options| {
        options.chunk_rows = chunk_rows;
        options.merge_blocks = 100;
    });
    for request in requests {
        blocks.append(request);
        blocks.settle();
    }
    blocks.assert_holds("blocks", &all);
    blocks.reopen();
    blocks.assert_holds("blocks from the disk", &all);
    blocks.close();

    let mut compacted = Bench::of_copy(&blocks.folder(), |options| options.merge_blocks = 2);
    compacted.settle();
    compacted.assert_holds("compacted", &all);
    compacted.reopen();
    compacted.assert_holds("compacted, from the disk", &all);
    assert!(compacted.engine().health().problems.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn every_field_survives(
        requests in vec(Shape::Any.request(), 1..5),
        chunk_rows in 1..20usize,
    ) {
        assert_survives(&requests, chunk_rows);
    }

    /// Spans of few traces, so that their parts meet again, with parents here and there.
    #[test]
    fn every_field_survives_in_shared_traces(
        requests in vec(Shape::Any.request(), 2..5),
        chunk_rows in 1..20usize,
    ) {
        let mut requests = requests;
        let mut number = 0u64;
        for request in &mut requests {
            for scope in request.resource_spans.iter_mut().flat_map(|spans| &mut spans.scope_spans) {
                for span in &mut scope.spans {
                    number += 1;
                    span.trace_id = vec![(number % 3) as u8 + 1; 16];
                    span.span_id = number.to_be_bytes().to_vec();
                    span.parent_span_id = (number * 7 % 23).to_be_bytes().to_vec();
                }
            }
        }
        assert_survives(&requests, chunk_rows);
    }
}

fn odd_values() -> Vec<KeyValue> {
    let some = |value| AnyValue { value: Some(value) };
    let nan = f64::from_bits(0x7ff8_0000_dead_beef);
    let list = ArrayValue { values: vec![AnyValue { value: None }, some(Value::DoubleValue(nan))] };
    let map = KeyValueList {
        values: vec![int("", 0), value("deep", Some(Value::ArrayValue(list.clone())))],
    };
    vec![
        text("", ""),
        text("same", "text"),
        int("same", i64::MIN),
        int("same", i64::MIN),
        int("same", 1),
        value("same", Some(Value::DoubleValue(-0.0))),
        value("same", Some(Value::DoubleValue(nan))),
        value("same", Some(Value::DoubleValue(f64::INFINITY))),
        value("same", Some(Value::BoolValue(false))),
        value("same", Some(Value::BytesValue(Vec::new()))),
        value("same", Some(Value::BytesValue(vec![0, 255]))),
        value("same", Some(Value::ArrayValue(list))),
        value("same", Some(Value::KvlistValue(map))),
        value("same", Some(Value::ArrayValue(ArrayValue::default()))),
        value("same", Some(Value::KvlistValue(KeyValueList::default()))),
        value("same", None),
        value("same", None),
        KeyValue { key: "no value".to_owned(), value: None, key_strindex: 0 },
        text("attr.string.a.b", "ein Schlüssel wie eine Spalte"),
        text("\0\u{2028}🦀", "\0\u{10ffff}"),
    ]
}

fn odd_span(trace: u64, id: u64) -> Sent {
    let mut sent = Sent::new(trace, id).name("").status(-7);
    sent.span.kind = i32::MIN;
    sent.span.status.as_mut().unwrap().message = "ünï\0".to_owned();
    sent.span.flags = u32::MAX;
    sent.span.dropped_attributes_count = u32::MAX;
    sent.span.dropped_events_count = u32::MAX;
    sent.span.dropped_links_count = u32::MAX;
    sent.span.trace_state = "a=b,ç=d".to_owned();
    sent.span.attributes = odd_values();
    let times = [0, 1, u64::MAX, sent.span.start_time_unix_nano - 1];
    sent.span.events = times
        .map(|time_unix_nano| Event {
            time_unix_nano,
            name: String::new(),
            attributes: odd_values(),
            dropped_attributes_count: u32::MAX,
        })
        .to_vec();
    let link = Link { attributes: odd_values(), flags: u32::MAX, ..Link::default() };
    let zeros = Link { trace_id: vec![0; 16], span_id: vec![0; 8], ..link.clone() };
    let other = Link { trace_id: vec![7; 16], span_id: vec![8; 8], ..link.clone() };
    sent.span.links = vec![link, zeros, other];
    sent.resource.attributes.extend(odd_values());
    sent.resource.dropped_attributes_count = u32::MAX;
    sent.scope.attributes = odd_values();
    sent.scope.dropped_attributes_count = u32::MAX;
    sent
}

#[test]
fn odd_values_survive_beside_plain_spans() {
    // Many plain spans make the odd ones' attributes rare: they go to the tables of the rest.
    for plain in [0, 3_000] {
        let spans: Vec<Sent> = (0..plain)
            .map(|at| Sent::new(at % 5, 100 + at).attribute(int("n", at as i64)))
            .chain((0..3).map(|at| odd_span(at, at + 1)))
            .collect();
        let requests: Vec<_> = spans.chunks(1_000).map(request).collect();
        assert_survives(&requests, 2_000);
    }
}

/// More keys than a chunk (128) or a block (256) has columns for; keys that every span has, that
/// few have, that change their type.
#[test]
fn spans_with_many_keys_survive() {
    let spans: Vec<Sent> = (0..600u64)
        .map(|at| {
            let mut sent = Sent::new(at % 50, at + 1);
            for key in 0..(if at % 3 == 0 { 300 } else { 5 }) {
                let name = format!("key {key}");
                sent = sent.attribute(match (at + key) % 4 {
                    0 => int(&name, key as i64),
                    1 => value(&name, Some(Value::BoolValue(at % 2 == 0))),
                    2 => value(&name, Some(Value::BytesValue(vec![at as u8]))),
                    _ => text(&name, &format!("{}", at % 9)),
                });
            }
            if at % 200 == 0 {
                let attributes = sent.span.attributes.clone();
                sent.span.events =
                    vec![Event { attributes: attributes.clone(), ..Event::default() }];
                sent.span.links = vec![Link { attributes, ..Link::default() }];
            } else {
                sent.span.events = vec![Event::default(); 2];
                sent.span.links = vec![Link::default(); 2];
            }
            sent.attribute(text(&format!("only {at}"), "rare"))
        })
        .collect();
    let requests: Vec<_> = spans.chunks(200).map(request).collect();
    assert_survives(&requests, 150);
}
