//! Names and values to choose from are those that the spans of a query have, wherever spans lie.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use store::{ChoiceRequest, Level, Store};
use traceql::Static;

use crate::bench::{Bench, NOW, SECOND};
use crate::layouts::{layouts, spans};
use crate::oracle::lists;
use crate::sent::{Sent, request, text};
use crate::traceql_oracle;
use crate::traceql_suite::{everything, pipeline};

const QUERIES: [&str; 7] = [
    "{}",
    "{ name = `pay` }",
    "{ resource.service.name = `cart` } | { kind = server }",
    "{ status = error }",
    "{} > { name = `pay` }",
    "{ rootName = `pay` }",
    "{} | count() > 3",
];

fn ranges() -> impl Strategy<Value = RangeInclusive<u64>> {
    let of = |seconds: RangeInclusive<u64>| {
        NOW + seconds.start() * SECOND..=NOW + seconds.end() * SECOND
    };
    select(vec![0..=u64::MAX, 0..=NOW, NOW..=u64::MAX, of(3..=3), of(2..=6), 1..=1])
}

/// The spans that a query finds and that start in a range, however each of them lies.
fn chosen<'s>(held: &'s [Sent], query: &str, starts: &RangeInclusive<u64>) -> Vec<&'s Sent> {
    let found = traceql_oracle::find(held, &everything(query));
    let mut ids = BTreeSet::new();
    for trace in &found {
        let spans = trace.spansets.iter().flat_map(|set| &set.spans);
        ids.extend(spans.map(|span| (trace.summary.trace_id, span.span_id.0)));
    }
    let is_chosen = |sent: &&Sent| {
        let id = sent.span.span_id.clone().try_into().unwrap();
        starts.contains(&sent.span.start_time_unix_nano) && ids.contains(&(sent.trace(), id))
    };
    held.iter().filter(is_chosen).collect()
}

fn names(spans: &[&Sent]) -> BTreeSet<(Level, String)> {
    let all = spans.iter().flat_map(|sent| lists(sent));
    let keys = |(level, list): (Level, &[KeyValue])| -> Vec<_> {
        list.iter().map(|attribute| (level, attribute.key.clone())).collect()
    };
    all.flat_map(keys).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn choices_are_those_of_the_spans(
        spans in spans(),
        layout in layouts().prop_filter("too many spans for loops in loops", |l| l.is_light()),
        asked in prop::collection::vec((option::of(select(&QUERIES[..])), ranges()), 1..6),
    ) {
        let (bench, held) = layout.lay(&spans);
        for (query, starts) in asked {
            let expected = chosen(&held, query.unwrap_or("{}"), &starts);
            let request = ChoiceRequest { pipeline: query.map(pipeline), starts: starts.clone() };
            let told = bench.wait(bench.engine().names(request.clone())).unwrap();
            prop_assert!(!told.partial);
            if query.is_some() || starts == (0..=u64::MAX) {
                prop_assert_eq!(&told.names, &names(&expected), "{:?} {:?}", query, starts);
            } else {
                // As fine as pieces are.
                let all: Vec<&Sent> = held.iter().collect();
                prop_assert!(told.names.is_superset(&names(&expected)), "{:?}", starts);
                prop_assert!(told.names.is_subset(&names(&all)), "{:?}", starts);
            }

            let field = traceql::attribute("name").unwrap();
            let values = bench.engine().field_values(request.clone(), field, 100);
            let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
            for sent in expected.iter().filter(|sent| !sent.span.name.is_empty()) {
                *counts.entry(&sent.span.name).or_default() += 1;
            }
            let told: BTreeMap<String, u64> = bench
                .wait(values)
                .unwrap()
                .values
                .into_iter()
                .map(|(value, spans)| match value {
                    Static::String(text) => (text, spans),
                    other => panic!("{other:?}"),
                })
                .collect();
            let counts = counts.into_iter().map(|(name, spans)| (name.to_owned(), spans)).collect();
            prop_assert_eq!(told, counts, "{:?} {:?}", query, starts);

            // Events: each value of any.
            let field = traceql::attribute("event.k").unwrap();
            let told = bench.wait(bench.engine().field_values(request, field, 100)).unwrap();
            let events = || expected.iter().flat_map(|sent| &sent.span.events);
            let of_event = |event: &Event| {
                let all = event.attributes.iter().filter(|of| of.key == "k");
                (all.clone().count(), all.filter(|of| is_simple(of)).count())
            };
            // What counts of a key that comes twice, against the specification, is open.
            if query.is_some() && events().all(|event| of_event(event).0 < 2) {
                let has = events().any(|event| of_event(event).1 > 0);
                prop_assert_eq!(!told.values.is_empty(), has, "{:?} {:?}", query, starts);
            }
        }
    }
}

#[test]
fn spans_that_start_at_zero_have_names_and_values() {
    for settle in [false, true] {
        let bench = Bench::new();
        let span = |id, start| Sent::new(id, id).times(start, start + 1).name(&format!("n{id}"));
        bench.append(&request(&[
            span(1, 0).attribute(text("a", "x")),
            span(2, NOW).attribute(text("b", "y")),
            span(3, 9).attribute(text("c", "z")),
        ]));
        if settle {
            bench.settle();
        }
        for (starts, expected) in [
            (0..=u64::MAX, "abc"),
            (0..=NOW - 1, "ac"),
            (0..=0, "a"),
            (1..=NOW, "bc"),
            (1..=NOW - 1, "c"),
        ] {
            let request = ChoiceRequest { pipeline: Some(pipeline("{ kind = server }")), starts };
            let told = bench.wait(bench.engine().names(request.clone())).unwrap().names;
            let of_spans = told.iter().filter(|(level, _)| *level == Level::Span);
            let found: String = of_spans.map(|(_, name)| name.as_str()).collect();
            assert_eq!(found, expected, "{request:?}, sealed: {settle}");
            let field = traceql::attribute("name").unwrap();
            let told = bench.wait(bench.engine().field_values(request.clone(), field, 100));
            assert_eq!(told.unwrap().values.len(), expected.len(), "{request:?}");
        }
    }
}

#[test]
fn names_of_a_level_are_at_most_ten_thousand() {
    let bench = Bench::with(|options| options.merge_blocks = 100);
    for part in 0..2u64 {
        let spans: Vec<Sent> = (0..60u64)
            .map(|at| {
                let mut sent = Sent::new(1 + at, part * 60 + at + 1);
                let name = |of| text(&format!("{part} {at} {of}"), "x");
                sent.span.attributes = (0..100).map(name).collect();
                sent
            })
            .collect();
        bench.append(&request(&spans));
        bench.settle();
    }
    for query in [None, Some("{ name != `` }")] {
        let asked = ChoiceRequest { pipeline: query.map(pipeline), starts: 0..=u64::MAX };
        let told = bench.wait(bench.engine().names(asked)).unwrap().names;
        let of_spans = told.iter().filter(|(level, _)| *level == Level::Span).count();
        assert_eq!(of_spans, 10_000, "{query:?}");
        assert!(told.contains(&(Level::Resource, "service.name".to_owned())));
    }
}

/// Whether it is a value that the language compares.
fn is_simple(attribute: &KeyValue) -> bool {
    let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
    value.is_some_and(|value| !matches!(value, Value::BytesValue(_)))
}
