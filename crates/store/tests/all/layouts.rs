//! Random spans with few distinct words, so that filters hit, and random ways to lay them out:
//! how many to a request, chunk and block, what is compacted, what lies in which piece.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue,
};
use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::bench::{Bench, NOW, SECOND};
use crate::sent::{Sent, request, value};

pub const KEYS: [&str; 4] = ["http.status", "k", "", "ключ"];
pub const SERVICES: [&str; 3] = ["", "api", "cart"];
pub const NAMES: [&str; 3] = ["", "GET /", "pay"];
pub const TRACES: u64 = 6;

fn any_value() -> impl Strategy<Value = Option<Value>> {
    let text = |text: &str| Some(Value::StringValue(text.to_owned()));
    select(vec![
        text("5"),
        text("true"),
        text(""),
        text("ünï"),
        Some(Value::IntValue(5)),
        Some(Value::IntValue(-1)),
        Some(Value::DoubleValue(5.0)),
        Some(Value::DoubleValue(0.5)),
        Some(Value::DoubleValue(f64::NAN)),
        Some(Value::BoolValue(true)),
        Some(Value::BytesValue(vec![0x35])),
        Some(Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: text("5") }] })),
        None,
    ])
}

/// Keys may repeat, with the same type or another.
fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let one = (select(&KEYS[..]), any_value()).prop_map(|(key, content)| value(key, content));
    vec(one, 0..4)
}

/// Mostly near now and often the same, sometimes absurd.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => (0..12u64).prop_map(|seconds| NOW + seconds * SECOND),
        1 => select(vec![0, 1, NOW - 90 * 24 * 3_600 * SECOND, NOW * 2, u64::MAX]),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let origin = (select(&SERVICES[..]), attributes(), option::weighted(0.3, attributes()));
    let head = (0..TRACES, prop_oneof![1 => Just(0u64), 2 => 1..70u64], select(&NAMES[..]));
    let times = (time(), time(), -1..4i32, option::of(-1..4i32));
    let event = attributes().prop_map(|attributes| Event {
        time_unix_nano: NOW,
        name: "event".to_owned(),
        attributes,
        ..Event::default()
    });
    let link = attributes().prop_map(|attributes| Link { attributes, ..Link::default() });
    let lists = (attributes(), vec(event, 0..3), vec(link, 0..2));
    (origin, head, times, lists).prop_map(|(origin, head, times, lists)| {
        let mut sent = Sent::new(head.0, 1).name(head.2).parent(head.1);
        sent = if origin.0.is_empty() { sent.without_service() } else { sent.service(origin.0) };
        sent.resource.attributes.extend(origin.1);
        if let Some(attributes) = origin.2 {
            sent.scope = InstrumentationScope { attributes, ..Default::default() };
        }
        sent = sent.times(times.0, times.1);
        sent.span.kind = times.2;
        sent.span.status = times.3.map(|code| Status { code, message: String::new() });
        sent.span.attributes = lists.0;
        sent.span.events = lists.1;
        sent.span.links = lists.2;
        sent
    })
}

/// Spans with distinct ids, many of which have parents among them.
pub fn spans() -> impl Strategy<Value = Vec<Sent>> {
    vec(sent(), 1..60).prop_map(|mut all| {
        for (at, sent) in all.iter_mut().enumerate() {
            sent.span.span_id = (at as u64 + 1).to_be_bytes().to_vec();
        }
        all
    })
}

/// How spans lie in the store.
#[derive(Debug, Clone)]
pub struct Layout {
    chunk_rows: usize,
    merge_blocks: usize,
    /// Spans of each request, over and over, and whether the head is sealed after it.
    requests: Vec<(usize, bool)>,
    /// Plain spans beside them, which make every attribute a rare one.
    filler: bool,
    reopen: bool,
}

pub fn layouts() -> impl Strategy<Value = Layout> {
    let requests = vec((1..25usize, any::<bool>()), 1..6);
    // Without fillers a piece has too few rows for an attribute to be rare.
    let filler = prop::bool::weighted(0.3);
    (1..12usize, select(vec![2, 3, 100]), requests, filler, any::<bool>()).prop_map(
        |(chunk_rows, merge_blocks, requests, filler, reopen)| Layout {
            chunk_rows: if filler { 1_000 } else { chunk_rows },
            merge_blocks,
            requests,
            filler,
            reopen,
        },
    )
}

impl Layout {
    /// Fillers come with few requests, so that slow oracles can answer.
    pub fn is_light(&self) -> bool {
        !self.filler || self.requests.iter().all(|(count, _)| *count > 8)
    }

    /// A store with these spans, and all that it holds.
    pub fn lay(&self, spans: &[Sent]) -> (Bench, Vec<Sent>) {
        let (chunk_rows, merge_blocks) = (self.chunk_rows, self.merge_blocks);
        let mut bench = Bench::with(move |options| {
            options.chunk_rows = chunk_rows;
            options.merge_blocks = merge_blocks;
        });
        let mut held = spans.to_vec();
        let mut rest = spans;
        let mut next_id = 1_000;
        for &(count, seal) in self.requests.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(count.min(rest.len()));
            rest = later;
            let mut batch = now.to_vec();
            if self.filler {
                for at in 0..600 {
                    next_id += 1;
                    let time = NOW + at % 12 * SECOND;
                    let filler = Sent::new(TRACES + at % 9, next_id).times(time, time + SECOND);
                    batch.push(filler);
                }
                held.extend_from_slice(&batch[now.len()..]);
            }
            bench.append(&request(&batch));
            if seal {
                bench.settle();
            }
        }
        if self.reopen {
            bench.reopen();
        }
        (bench, held)
    }
}
