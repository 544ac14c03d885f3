//! The tree of a trace.

use bytes::Bytes;
use model::SpanBatch;
use model::tree::TraceTree;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message;

/// A batch of spans given as (id, parent, start); parent 0 is none.
fn batch(spans: impl IntoIterator<Item = (u64, u64, u64)>) -> SpanBatch {
    let spans = spans
        .into_iter()
        .map(|(id, parent, start)| Span {
            trace_id: vec![1; 16],
            span_id: id.to_be_bytes().to_vec(),
            parent_span_id: if parent == 0 { vec![] } else { parent.to_be_bytes().to_vec() },
            start_time_unix_nano: start,
            ..Span::default()
        })
        .collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let bytes = TracesData { resource_spans }.encode_to_vec();
    SpanBatch::decode(Bytes::from(bytes)).unwrap()
}

/// A line per node: id, indented by depth; orphans with a `?`; behind it the size of the subtree.
fn drawn(spans: &[(u64, u64, u64)]) -> String {
    let batch = batch(spans.iter().copied());
    let tree = TraceTree::new(&batch);
    for (index, node) in tree.nodes.iter().enumerate() {
        // A parent lies before, one level up, and its subtree spans this node.
        if let Some(parent) = node.parent {
            assert!(parent < index && index < parent + tree.nodes[parent].subtree);
            assert_eq!(tree.nodes[parent].depth + 1, node.depth);
        }
    }
    let lines = tree.nodes.iter().map(|node| {
        let id = batch.spans()[node.span].span_id.to_number();
        let mark = if node.orphan { "?" } else { "" };
        format!("{}{id}{mark}:{}", "-".repeat(node.depth), node.subtree)
    });
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn shapes() {
    for (what, spans, expected) in [
        ("nothing", &[][..], ""),
        ("one root", &[(1, 0, 5)], "1:1"),
        (
            "children by start, below their parents",
            &[(4, 1, 30), (1, 0, 0), (3, 2, 25), (2, 1, 20)],
            "1:4 -2:2 --3:1 -4:1",
        ),
        ("equal starts by id", &[(3, 1, 5), (1, 0, 5), (2, 1, 5)], "1:3 -2:1 -3:1"),
        ("a child that starts before its parent", &[(1, 0, 9), (2, 1, 3)], "1:2 -2:1"),
        ("several roots by start", &[(1, 0, 9), (2, 0, 3), (3, 1, 10)], "2:1 1:2 -3:1"),
        ("an orphan and its child", &[(1, 0, 0), (2, 9, 1), (3, 2, 2)], "1:1 2?:2 -3:1"),
        ("orphans alone, by start", &[(2, 9, 7), (3, 8, 1)], "3?:1 2?:1"),
        ("its own parent", &[(1, 1, 0), (2, 1, 1)], "1?:2 -2:1"),
        ("a circle of two, cut at the earlier", &[(1, 2, 5), (2, 1, 3)], "2?:2 -1:1"),
        (
            "a circle with a tail beside a root",
            &[(1, 0, 9), (2, 4, 3), (3, 2, 4), (4, 3, 5), (5, 4, 6)],
            "1:1 2?:4 -3:3 --4:2 ---5:1",
        ),
        (
            "one id twice: children go to the first",
            &[(1, 0, 0), (2, 1, 1), (2, 1, 2), (3, 2, 3)],
            "1:4 -2:2 --3:1 -2:1",
        ),
    ] {
        assert_eq!(drawn(spans), expected, "{what}");
    }
}

#[test]
fn a_chain_of_a_hundred_thousand() {
    let length = 100_000;
    let tree = TraceTree::new(&batch((1..=length).rev().map(|id| (id, id - 1, id))));
    assert_eq!(tree.nodes.len() as u64, length);
    assert_eq!(tree.nodes[0].subtree as u64, length);
    assert_eq!(tree.nodes[tree.nodes.len() - 1].depth as u64, length - 1);
    assert!(tree.nodes.iter().all(|node| !node.orphan));
}
