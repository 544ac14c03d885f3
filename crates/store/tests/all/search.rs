//! Search finds what a look at every span finds, in the same order, in every layout.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use store::{AttributeCondition, Level, Position, SearchRequest, SpanFilter, Store, TraceSummary};

use crate::bench::{Bench, NOW, SECOND};
use crate::layouts::{KEYS, NAMES, SERVICES, layouts, spans};
use crate::oracle::Oracle;

fn condition() -> impl Strategy<Value = AttributeCondition> {
    let level = option::of(select(&Level::ALL[..]));
    let value = select(vec!["5", "5.0", "0.5", "-1", "true", "", "ünï", "NaN", "absent"]);
    (level, select(&KEYS[..]), value).prop_map(|(level, key, value)| AttributeCondition {
        level,
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    option::weighted(0.25, select(words).prop_map(str::to_owned))
}

fn moment() -> impl Strategy<Value = Option<u64>> {
    let time = prop_oneof![
        6 => (0..13u64).prop_map(|seconds| NOW + seconds * SECOND),
        1 => select(vec![0, 1, NOW / 2, u64::MAX]),
    ];
    option::weighted(0.3, time)
}

pub fn filter() -> impl Strategy<Value = SpanFilter> {
    let length = || option::weighted(0.2, (0..12u64).prop_map(|seconds| seconds * SECOND));
    let attributes = prop_oneof![2 => vec(condition(), 0..1), 1 => vec(condition(), 1..3)];
    (
        (word(&SERVICES), word(&NAMES), attributes, option::weighted(0.2, -1..4i32)),
        (length(), length(), moment(), moment()),
    )
        .prop_map(
            |((service, operation, attributes, status), (shortest, longest, from, to))| {
                SpanFilter {
                    service,
                    operation,
                    attributes,
                    status,
                    duration_min_nano: shortest,
                    duration_max_nano: longest,
                    start_min_unix_nano: from,
                    start_max_unix_nano: to,
                }
            },
        )
}

/// All results, page by page.
pub fn paged(bench: &Bench, filter: &SpanFilter, limit: usize) -> Vec<TraceSummary> {
    let mut all: Vec<TraceSummary> = Vec::new();
    loop {
        let after = all
            .last()
            .map(|row| Position { start_unix_nano: row.start_unix_nano, trace_id: row.trace_id });
        let request = SearchRequest { filter: filter.clone(), limit, after };
        let page = bench.wait(bench.engine().search(request)).unwrap();
        assert_eq!(page.partial, bench.engine().status().damaged_block_count > 0);
        assert!(page.traces.len() <= limit);
        all.extend(page.traces);
        if !page.more {
            return all;
        }
        assert!(all.len() < 10_000, "pages without end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn finds_what_a_look_at_every_span_finds(
        spans in spans(),
        layout in layouts(),
        filters in vec(filter(), 1..12),
    ) {
        let (bench, held) = layout.lay(&spans);
        let oracle = Oracle(&held);
        for filter in &filters {
            let expected = oracle.search(filter);
            for limit in [1, 2, 3, 50, usize::MAX] {
                let found = paged(&bench, filter, limit);
                prop_assert_eq!(&found, &expected, "{:?} by {}", filter, limit);
            }
        }
    }

    #[test]
    fn summaries_come_in_the_order_asked(spans in spans(), layout in layouts()) {
        let (bench, held) = layout.lay(&spans);
        let oracle = Oracle(&held);
        let mut ids: Vec<_> = oracle.traces().into_iter().rev().collect();
        let expected: Vec<_> = ids.iter().map(|&id| oracle.summary(id)).collect();
        ids.insert(1, crate::sent::trace_id(999));
        let summaries = bench.wait(bench.engine().summaries(ids)).unwrap();
        prop_assert_eq!(summaries, expected);
    }
}
