//! Calls between services are those that a look at every span and its parent counts, in every
//! layout.

use proptest::prelude::*;
use store::{EdgeRequest, EdgeRow, EdgeSet, Store};

use crate::bench::{Bench, NOW, SECOND};
use crate::layouts::{layouts, spans};
use crate::oracle::Oracle;
use crate::sent::{Sent, request};

const ALL: EdgeRequest = EdgeRequest { start_unix_nano: 0, end_unix_nano: u64::MAX };

fn edges(bench: &Bench, request: EdgeRequest) -> EdgeSet {
    bench.wait(bench.engine().edges(request)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn counts_what_a_look_at_every_span_counts(
        spans in spans(),
        layout in layouts(),
        from in 0..12u64,
        length in 0..12u64,
    ) {
        let (bench, held) = layout.lay(&spans);
        let start_unix_nano = NOW + from * SECOND;
        let end_unix_nano = start_unix_nano + length * SECOND;
        for request in [ALL, EdgeRequest { start_unix_nano, end_unix_nano }] {
            let expected = EdgeSet { edges: Oracle(&held).edges(&request), partial: false };
            prop_assert_eq!(edges(&bench, request), expected, "{:?}", request);
        }
    }
}

fn row(parent: &str, child: &str, call_count: u64, error_count: u64) -> EdgeRow {
    EdgeRow { parent: parent.to_owned(), child: child.to_owned(), call_count, error_count }
}

#[test]
fn parents_in_other_pieces_are_found() {
    let client = Sent::new(1, 1).service("web");
    let called = Sent::new(1, 2).parent(1).service("cart").status(2);
    let internal = Sent { span: Sent::new(1, 3).parent(2).span, ..called.clone() };
    let mut internal = internal;
    internal.span.kind = 1;
    let orphan = Sent::new(2, 4).parent(99).service("lost");
    let own_parent = Sent::new(3, 5).parent(5).service("ring");
    for merge_blocks in [2, 100] {
        let bench = Bench::with(move |options| {
            options.chunk_rows = 1;
            options.merge_blocks = merge_blocks;
        });
        // Children first, each in a piece of its own, and twice.
        for _ in 0..2 {
            for span in [&internal, &called, &orphan, &own_parent, &client] {
                bench.append(&request(std::slice::from_ref(span)));
            }
        }
        let found = edges(&bench, ALL).edges;
        let parts: Vec<(&str, &str)> =
            found.iter().map(|row| (row.parent.as_str(), row.child.as_str())).collect();
        assert_eq!(parts, [("web", "cart")]);
        bench.settle();
        assert_eq!(edges(&bench, ALL).edges, [row("web", "cart", 1, 1)]);
        let none = EdgeRequest { start_unix_nano: NOW + 1, end_unix_nano: NOW + 1 };
        assert_eq!(edges(&bench, none), EdgeSet::default());
    }
}
