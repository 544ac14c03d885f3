//! Traces that grow while they are asked for: their spans lie in blocks, in chunks of the head,
//! merged or not, and in its open end, and are found as if they lay together.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use store::{MeasureRequest, SpanFilter, Store};

use crate::bench::{Bench, NOW, SECOND, eventually};
use crate::search::paged as listed;
use crate::sent::{Sent, request};
use crate::traceql_suite::{difference, everything, find, metrics_leaf, paged};
use crate::{oracle::Oracle, traceql_oracle};

const TRACES: u64 = 7;

/// Each span but the first of a trace is a child of the one before.
fn span(at: u64) -> Sent {
    let (trace, place) = (at % TRACES, at / TRACES + 1);
    let start = NOW + at * SECOND / 10;
    let mut sent = Sent::new(trace, at + 1)
        .parent(if place == 1 { 0 } else { at + 1 - TRACES })
        .name(["GET /", "pay"][(at % 2) as usize])
        .service(["api", "cart"][(at % 3 % 2) as usize])
        .times(start, start + SECOND)
        .status((at % 3) as i32);
    sent.span.kind = [2, 3][(place % 2) as usize];
    sent
}

/// Queries that need whole traces.
const SEARCHES: [&str; 4] = [
    "{ kind = server } >> { kind = client && status = error }",
    "{ name = `pay` } | count() > 1",
    "{ span:childCount = 0 }",
    "{ rootServiceName = `cart` } ~ { status = error }",
];

fn assert_found(bench: &Bench, held: &[Sent], what: &str) {
    for query in SEARCHES {
        let request = everything(query);
        let found = paged(bench, &request, 100);
        assert_eq!(found, traceql_oracle::find(held, &request), "{query}, {what}");
    }
    // Of whole traces, of spans by themselves, and of a part of the time, for which some of the
    // pieces are enough.
    for (query, first, steps) in [
        ("{ kind = client } << { } | count_over_time() by (status)", 0, 10),
        ("{ kind = client } | count_over_time() by (status)", 0, 10),
        ("{ kind = client } | count_over_time() by (status)", 2, 2),
        ("{ } | rate()", 3, 1),
        ("{ } | rate() by (rootName)", 3, 1),
    ] {
        let measured = MeasureRequest {
            leaf: metrics_leaf(query),
            start_unix_nano: NOW - 1 + first * SECOND,
            step_nano: SECOND,
            steps,
            exemplars_max: 0,
            extrapolate: false,
        };
        let difference = difference(bench, held, &measured);
        assert!(difference.is_none(), "{query} from {first}, {what}: {difference:?}");
    }
}

#[derive(Debug, Clone, Copy)]
enum Then {
    Nothing,
    Settle,
    Reopen,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// What is kept from one query for the next is never out of date.
    #[test]
    fn traces_are_whole_while_they_grow(
        steps in vec((vec(0..60u64, 1..8), select(vec![
            Then::Nothing, Then::Nothing, Then::Nothing, Then::Settle, Then::Reopen,
        ])), 1..12),
        chunk_rows in 1..6usize,
        merge_blocks in select(vec![2, 3, 100]),
    ) {
        let mut bench = Bench::with(move |options| {
            options.chunk_rows = chunk_rows;
            options.merge_blocks = merge_blocks;
        });
        let mut held: Vec<Sent> = Vec::new();
        for (at, (spans, then)) in steps.into_iter().enumerate() {
            // Some for the second time.
            let now: Vec<Sent> = spans.into_iter().map(span).collect();
            bench.append(&request(&now));
            for sent in now {
                if !held.contains(&sent) {
                    held.push(sent);
                }
            }
            assert_found(&bench, &held, &format!("after step {at}"));
            match then {
                Then::Nothing => continue,
                Then::Settle => bench.settle(),
                Then::Reopen => bench.reopen(),
            }
            assert_found(&bench, &held, &format!("after step {at}, {then:?}"));
        }
    }
}

/// The pieces of the store.
fn pieces(bench: &Bench) -> u64 {
    find(bench, &everything("{}")).stats.pieces
}

#[test]
fn chunks_of_the_head_are_merged() {
    let mut bench = Bench::with(|options| options.chunk_rows = 2);
    let held: Vec<Sent> = (0..42).map(span).collect();
    // Every chunk twice: the second time beside the first, in the same merged piece.
    for chunk in held.chunks(2) {
        bench.append(&request(chunk));
        bench.append(&request(chunk));
    }
    // 42 chunks: five times eight, and two.
    for what in ["head", "opened again"] {
        eventually("chunks are merged", || pieces(&bench) == 7);
        bench.assert_holds(what, &request(&held));
        assert_found(&bench, &held, what);
        let all = SpanFilter::default();
        assert_eq!(listed(&bench, &all, 10), Oracle(&held).search(&all), "{what}");
        // Merged pieces have their spans once; the last two chunks are alike and not merged.
        let services = bench.wait(bench.engine().services()).unwrap();
        let counted: u64 = services.iter().map(|row| row.span_count).sum();
        assert_eq!(counted, 42 + 2, "{what}");
        bench.reopen();
    }
    bench.settle();
    assert_eq!(pieces(&bench), 1);
    bench.assert_holds("sealed", &request(&held));
    assert_eq!(bench.engine().status().span_count, 42);
}
