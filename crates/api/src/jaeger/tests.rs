//! Searches find what a look at every span finds, on values that clients should not send but do.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use model::{SpanBatch, TraceId};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use store::{Engine, Options, Position, Store};
use tempfile::TempDir;

use super::ask::Ask;
use super::filter::{OPERATORS, Predicate, call_of, check};
use super::matching::matches;
use super::spans::SpanSearch;
use crate::{Access, Api};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_700_000_000 * SECOND;

/// Values that spell the same in part.
fn values() -> Vec<Value> {
    let texts = ["500", "500.0", "500.5", "true", "True", "", "NaN", "inf", "-0", "a 500 b", "2s"];
    let mut values: Vec<Value> = texts.iter().map(|text| json!({ "stringValue": text })).collect();
    values.extend([
        json!({ "intValue": "500" }),
        json!({ "intValue": "9007199254740993" }),
        json!({ "intValue": "-9223372036854775808" }),
        json!({ "intValue": "0" }),
        json!({ "doubleValue": 500.0 }),
        json!({ "doubleValue": 500.5 }),
        json!({ "doubleValue": -0.0 }),
        json!({ "doubleValue": "NaN" }),
        json!({ "doubleValue": "Infinity" }),
        json!({ "doubleValue": 9007199254740992.0 }),
        json!({ "boolValue": true }),
        json!({ "bytesValue": "NTAw" }),
        json!({ "arrayValue": { "values": [{ "stringValue": "500" }] } }),
        json!({ "kvlistValue": { "values": [] } }),
        json!({}),
    ]);
    values
}

/// What tags are asked for.
const TEXTS: [&str; 16] = [
    "500",
    "500.0",
    "500.5",
    "5e2",
    "+500",
    "true",
    "True",
    "false",
    "",
    "NaN",
    "inf",
    "-0",
    "9007199254740993",
    "9007199254740992",
    "-9223372036854775808",
    "server",
];

const KEYS: [&str; 6] = ["k", "event", "resource.k", "span.kind", "error", "rare"];

fn pick<T: Copy>(random: &mut SmallRng, list: &[T]) -> T {
    list[random.random_range(0..list.len())]
}

/// A trace of some spans with odd attributes anywhere.
fn trace(random: &mut SmallRng, id: u64) -> Value {
    let all = values();
    let attributes = |random: &mut SmallRng| {
        let mut list = Vec::new();
        for key in KEYS {
            // Keys are there once at the most.
            if random.random_bool(0.25) {
                list.push(json!({ "key": key, "value": all.choose(random) }));
            }
        }
        list
    };
    let start = NOW - random.random_range(0..300) * SECOND;
    let span = |random: &mut SmallRng, number: u64| {
        let start = if random.random_bool(0.05) { 0 } else { start + number * SECOND };
        let end = match random.random_range(0..20) {
            0 => start.saturating_sub(SECOND),
            1 => u64::MAX,
            _ => start + random.random_range(0..4) * 500_000_000,
        };
        let event = |random: &mut SmallRng| {
            let name = ["exception", "500", ""].choose(random);
            let time = (start + 500_000_000).to_string();
            json!({ "name": name, "timeUnixNano": time, "attributes": attributes(random) })
        };
        let link = |random: &mut SmallRng| {
            let trace = format!("{:032x}", random.random_range(1..4));
            json!({ "traceId": trace, "spanId": "00000000000000ab", "traceState": "",
                    "attributes": attributes(random) })
        };
        let parent = match number {
            1 => String::new(),
            number => format!("{:016x}", number / 2),
        };
        let events: Vec<Value> = (0..random.random_range(0..3)).map(|_| event(random)).collect();
        let links: Vec<Value> = (0..random.random_range(0..2)).map(|_| link(random)).collect();
        json!({
            "traceId": format!("{id:032x}"),
            "spanId": format!("{number:016x}"),
            "parentSpanId": parent,
            "traceState": pick(random, &["", "a=1"]),
            "name": pick(random, &["load", "500", ""]),
            "kind": pick(random, &[0, 1, 2, 3, 9]),
            "startTimeUnixNano": start.to_string(),
            "endTimeUnixNano": end.to_string(),
            "attributes": attributes(random),
            "events": events,
            "links": links,
            "status": { "code": pick(random, &[0, 0, 1, 2, 7]),
                        "message": pick(random, &["", "no stock"]) },
        })
    };
    let resources = (0..random.random_range(1..3)).map(|at| {
        let mut resource = attributes(random);
        let service = [
            json!([{ "key": "service.name", "value": { "stringValue": "web" } }]),
            json!([{ "key": "service.name", "value": { "stringValue": "" } }]),
            json!([{ "key": "service.name", "value": { "intValue": "500" } }]),
            json!([]),
        ];
        let service = service.choose(random).and_then(Value::as_array).cloned();
        resource.extend(service.unwrap_or_default());
        let spans: Vec<Value> =
            (1..random.random_range(2..4)).map(|number| span(random, at * 4 + number)).collect();
        let (name, version) = (pick(random, &["", "lib"]), pick(random, &["", "1"]));
        let scope = json!({ "name": name, "version": version, "attributes": attributes(random) });
        json!({ "resource": { "attributes": resource }, "schemaUrl": pick(random, &["", "s"]),
                "scopeSpans": [{ "scope": scope, "spans": spans }] })
    });
    json!({ "resourceSpans": resources.collect::<Vec<Value>>() })
}

/// A store, and all its traces, newest first.
struct Odd {
    engine: Arc<Engine>,
    traces: Vec<(u64, TraceId, SpanBatch)>,
    _folder: TempDir,
}

impl Odd {
    /// `chunk_rows` and `head_spans` say how spans lie: in the open head, in chunks, in blocks.
    async fn new(random: &mut SmallRng, chunk_rows: usize, head_spans: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let mut options = Options::new(folder.path().join("data"));
        options.chunk_rows = chunk_rows;
        options.head_spans_max = head_spans;
        let engine = Arc::new(Engine::open(options, |_, _| {}).unwrap());
        for id in 1..=80 {
            let otlp = model::json::decode(trace(random, id).to_string().as_bytes()).unwrap();
            let batch = SpanBatch::decode(Bytes::from(otlp)).unwrap();
            assert_eq!(batch.rejection().spans, 0);
            engine.append(batch).await.unwrap();
        }
        let ids: Vec<TraceId> = (1..=80).map(TraceId::from_number).collect();
        let mut traces = Vec::new();
        for summary in engine.summaries(ids).await.unwrap() {
            let read = engine.trace(summary.trace_id).await.unwrap();
            traces.push((summary.start_unix_nano, summary.trace_id, read.spans.unwrap()));
        }
        assert_eq!(traces.len(), 80);
        traces.sort_by_key(|(start, id, _)| (Reverse(*start), *id));
        Self { engine, traces, _folder: folder }
    }

    /// Asks page by page, and looks at every span.
    async fn check(&self, ask: Ask, of: &str) -> usize {
        let (filter, residual) = ask.conditions();
        let wanted: Vec<TraceId> = self
            .traces
            .iter()
            .filter(|(_, _, spans)| matches(spans, &filter, &residual))
            .map(|(_, id, _)| *id)
            .collect();
        let mut found: Vec<TraceId> = Vec::new();
        let mut page = Ask { limit: 30, ..ask };
        loop {
            let answer = page.find(&*self.engine).await.unwrap();
            assert!(!answer.partial);
            found.extend(answer.traces.iter().map(|summary| summary.trace_id));
            let Some(last) = answer.traces.last().filter(|_| answer.more) else { break };
            let (start_unix_nano, trace_id) = (last.start_unix_nano, last.trace_id);
            page.after = Some(Position { start_unix_nano, trace_id });
        }
        assert_eq!(found, wanted, "{of}");
        found.len()
    }
}

const LAYOUTS: [(usize, usize); 3] = [(8192, 500_000), (16, 500_000), (16, 40)];

fn ranges() -> [(Option<u64>, Option<u64>); 5] {
    let middle = NOW - 150 * SECOND;
    [
        (None, None),
        (Some(0), Some(middle)),
        (Some(middle), None),
        (Some(middle), Some(middle + 20 * SECOND)),
        (Some(middle), Some(middle + 1)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_found_as_on_the_spans_themselves() {
    let mut random = SmallRng::seed_from_u64(7);
    for (chunk_rows, head_spans) in LAYOUTS {
        let odd = Odd::new(&mut random, chunk_rows, head_spans).await;
        let mut found = 0;
        let mut tags: Vec<Vec<(&str, &str)>> = Vec::new();
        for key in ["k", "resource.k", "event", "rare", "error"] {
            tags.extend(TEXTS.map(|text| vec![(key, text), ("error", "false")]));
        }
        for kind in ["server", "CLIENT", "internal", "unspecified", "producer", "none", ""] {
            tags.push(vec![("span.kind", kind)]);
            tags.push(vec![("span.kind", kind), ("k", "500")]);
        }
        tags.extend(["", "no stock"].map(|text| vec![("otel.status_description", text)]));
        tags.extend(
            ["ok", "ERROR", "Unset"]
                .map(|code| vec![("otel.status_code", code), ("otel.scope.name", "lib")]),
        );
        tags.extend(["", "1"].map(|text| vec![("otel.scope.version", text)]));
        tags.extend(["", "a=1"].map(|text| vec![("w3c.tracestate", text)]));
        tags.extend(["exception", "500", "", "true"].map(|text| vec![("event", text)]));
        tags.push(vec![("span.kind", "server"), ("k", "500"), ("event", "exception")]);
        for (at, tags) in tags.into_iter().enumerate() {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            let (start_unix_nano, end_unix_nano) = ranges()[at % 5];
            let service = [None, None, Some("web"), Some("missing-service-name")][at % 4];
            let ask = Ask {
                service: service.map(str::to_owned),
                operation: (at % 7 == 0).then(|| "500".to_owned()),
                tags: tags.iter().map(owned).collect(),
                start_unix_nano,
                end_unix_nano,
                duration_min_nano: (at % 6 == 1).then_some(SECOND / 2),
                duration_max_nano: (at % 6 == 2).then_some(SECOND),
                ..Ask::default()
            };
            let of = format!("{ask:?} {chunk_rows} {head_spans}");
            found += odd.check(ask, &of).await;
        }
        assert!(found > 300, "{found}");
    }
}

/// Any filter, as it comes over the wire.
fn any_filter(random: &mut SmallRng, depth: usize) -> Value {
    let fields = [
        ("span", "name", &["load", "500", ""][..]),
        ("span", "kind", &["server", "client", "unspecified"]),
        ("span", "status", &["ok", "error", "unset"]),
        ("span", "statusMessage", &["no stock", ""]),
        ("span", "duration", &["0s", "500ms", "1s"]),
        ("span", "startTime", &["2023-11-14T22:10:50Z"]),
        ("span", "traceID", &["2a", "0000000000000000000000000000000B"]),
        ("span", "spanID", &["1", "0000000000000002"]),
        ("span", "parentSpanID", &["1"]),
        ("span", "traceState", &["a=1"]),
        ("resource", "service", &["web", "", "500"]),
        ("resource", "schemaURL", &["s"]),
        ("scope", "name", &["lib"]),
        ("scope", "version", &["1", ""]),
        ("event", "name", &["exception", "500", ""]),
        ("event", "timeSinceStart", &["500ms", "-1s", "0s"]),
        ("link", "traceID", &["1", "2"]),
        ("link", "spanID", &["ab"]),
    ];
    let levels = ["", "", "span", "resource", "scope", "event", "link"];
    let attr = |random: &mut SmallRng| {
        let (key, level) = (KEYS.choose(random), levels.choose(random));
        json!({ "attr": { "key": key, "level": level } })
    };
    let call = |op: &str, args: Vec<Value>| json!({ "op": op, "args": args });
    let inner = |random: &mut SmallRng| json!({ "call": any_filter(random, depth - 1) });
    let is_leaf = depth == 0 || random.random_bool(0.3);
    let op = *OPERATORS[if is_leaf { 3 } else { 0 }..].choose(random).unwrap();
    match op {
        "and" | "or" => call(op, vec![inner(random), inner(random)]),
        "not" => call(op, vec![inner(random)]),
        "some" if is_leaf => call("exists", vec![attr(random)]),
        "some" => {
            let level = ["event", "link"].choose(random);
            call(op, vec![json!({ "nested": { "level": level } }), inner(random)])
        }
        "exists" => call(op, vec![attr(random)]),
        "phrase" | "fulltext" => {
            let words = [json!(["500"]), json!(["a", "500"]), json!(["b", "A"])];
            call(op, vec![attr(random), json!({ "list": { "values": words.choose(random) } })])
        }
        "regex" => {
            let pattern = ["5.0", "[a-c]", "(?:true|inf)", "x*"].choose(random);
            let name = json!({ "field": { "name": "name", "level": "event" } });
            let value = if random.random_bool(0.3) { name } else { attr(random) };
            call(op, vec![value, json!({ "scalar": { "value": pattern } })])
        }
        "in" | "not_in" => {
            let list =
                json!({ "list": { "values": [TEXTS.choose(random), TEXTS.choose(random)] } });
            call(op, vec![attr(random), list])
        }
        _ if random.random_bool(0.5) => {
            let (level, name, texts) = fields.choose(random).unwrap();
            let has_no_order = ["kind", "status"].contains(name);
            let op = if has_no_order && op != "ne" { "eq" } else { op };
            let field = json!({ "field": { "name": name, "level": level } });
            call(op, vec![field, json!({ "scalar": { "value": texts.choose(random) } })])
        }
        _ if random.random_bool(0.1) => call(op, vec![attr(random), attr(random)]),
        _ => {
            let typed = [("500", "int"), ("500", "double"), ("500", "string")];
            let (value, kind) = match random.random_bool(0.5) {
                true => (*TEXTS.choose(random).unwrap(), ""),
                false => *typed.choose(random).unwrap(),
            };
            let scalar = json!({ "scalar": { "value": value, "type": kind } });
            let mut sides = vec![attr(random), scalar];
            if random.random_bool(0.3) {
                sides.reverse();
            }
            call(op, sides)
        }
    }
}

fn filter(json: &Value) -> Predicate {
    let call = call_of("query.filter", json).unwrap();
    check("query.filter", &call).unwrap_or_else(|error| panic!("{json}: {error:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_found_as_on_the_spans_themselves() {
    let mut random = SmallRng::seed_from_u64(11);
    for (chunk_rows, head_spans) in LAYOUTS {
        let odd = Odd::new(&mut random, chunk_rows, head_spans).await;
        let mut found = 0;
        for at in 0..150 {
            let json = any_filter(&mut random, at % 4);
            let (start_unix_nano, end_unix_nano) = ranges()[at % 5];
            let filter = Some(filter(&json));
            let ask = Ask { filter, start_unix_nano, end_unix_nano, ..Ask::default() };
            let range = (start_unix_nano, end_unix_nano);
            let of = format!("{json} {range:?} {chunk_rows} {head_spans}");
            found += odd.check(ask, &of).await;
        }
        assert!(found > 1000, "{found}");
    }
}

/// Spans of traces that are too large for one page: none is left out between two pages, and none
/// comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_cut_short_go_on_where_they_ended() {
    let folder = TempDir::new().unwrap();
    let options = Options::new(folder.path().join("data"));
    let engine = Arc::new(Engine::open(options, |_, _| {}).unwrap());
    let mut order = Vec::new();
    for trace in 1..=6_u64 {
        // A trace's spans lie between those of others, and half of each trace is not wanted.
        let span = |id: u64| {
            let start = NOW - (id * 6 + trace * 5 % 6) * SECOND;
            let name = if id.is_multiple_of(2) { "wanted" } else { "other" };
            let bytes = if id.is_multiple_of(2) { 1_000 } else { 100_000 };
            json!({
                "traceId": format!("{trace:032x}"),
                "spanId": format!("{id:016x}"),
                "name": name,
                "startTimeUnixNano": start.to_string(),
                "endTimeUnixNano": start.to_string(),
                "attributes": [{ "key": "k", "value": { "stringValue": "v".repeat(bytes) } }],
            })
        };
        let spans: Vec<Value> = (1..=8).map(span).collect();
        let request = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] });
        let otlp = model::json::decode(request.to_string().as_bytes()).unwrap();
        let batch = SpanBatch::decode(Bytes::from(otlp)).unwrap();
        let wanted = batch.spans().iter().filter(|span| batch.text(span.name) == "wanted");
        order.extend(
            wanted.map(|span| (Reverse(span.start_unix_nano), span.trace_id, span.span_id)),
        );
        engine.append(batch).await.unwrap();
    }
    order.sort();
    let api = Arc::new(Api {
        store: engine,
        access: Access::default(),
        listeners: Arc::new(Vec::new),
        started: Instant::now(),
        clock: Arc::new(|| NOW),
        clock_skew_max_nano: 0,
    });
    let wanted = json!({ "op": "eq", "args": [
        { "field": { "name": "name", "level": "span" } }, { "scalar": { "value": "wanted" } }] });
    // Six traces have 24 kB that are wanted, and 2.4 MB in all.
    for (bytes_max, pages_expected) in [(100_000, 1..2), (9_000, 2..12), (0, 6..25)] {
        let (mut found, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let filter = Some(filter(&wanted));
            let (start_unix_nano, end_unix_nano) = (0, NOW);
            let search = SpanSearch { filter, start_unix_nano, end_unix_nano, limit: 1000, after };
            let page = search.find_within(&api, usize::MAX, bytes_max).await.unwrap();
            assert!(!page.partial);
            for part in page.parts {
                let batch = SpanBatch::decode(part).unwrap();
                let spans = batch.spans().iter();
                found.extend(
                    spans.map(|span| (Reverse(span.start_unix_nano), span.trace_id, span.span_id)),
                );
            }
            pages += 1;
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, order, "{bytes_max}");
        assert!(pages_expected.contains(&pages), "{bytes_max}: {pages}");
    }
}
