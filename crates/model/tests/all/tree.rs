//! The tree of a trace.

use bytes::Bytes;
use model::SpanBatch;
use model::tree::{Hold, Node, TraceTree};
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

/// A line per node: a point for each level, the id, `?` behind an orphan, `@` behind a cut circle.
fn drawn(batch: &SpanBatch, tree: &TraceTree) -> Vec<String> {
    for (index, node) in tree.nodes.iter().enumerate() {
        // A parent lies before, one level up, and its subtree spans this node.
        if let Some(parent) = node.parent {
            assert!(parent < index && index < parent + tree.nodes[parent].subtree);
            assert_eq!(tree.nodes[parent].depth + 1, node.depth);
        }
        assert_eq!(node.parent.is_some(), node.hold == Hold::Child);
    }
    let line = |node: &Node| {
        let mark = match node.hold {
            Hold::Root | Hold::Child => "",
            Hold::Orphan => "?",
            Hold::Circle => "@",
        };
        format!("{}{}{mark}", ".".repeat(node.depth), id(batch, node))
    };
    tree.nodes.iter().map(line).collect()
}

fn id(batch: &SpanBatch, node: &Node) -> u64 {
    batch.spans()[node.span].span_id.to_number()
}

/// `tests/data/trees.json`, to which `ui/test/tree.test.ts` holds the UI.
#[test]
fn shapes() {
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../data/trees.json")).unwrap();
    for case in cases {
        let what = &case["what"];
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        let spans = case["spans"].as_array().unwrap().iter();
        let batch = batch(spans.map(|span| (number(&span[0]), number(&span[1]), number(&span[2]))));
        let tree = TraceTree::new(&batch);
        assert_eq!(serde_json::json!(drawn(&batch, &tree)), case["tree"], "{what}");
        if let Some(named) = case["named"].as_str() {
            let node = tree.named.map(|node| id(&batch, &tree.nodes[node]).to_string());
            assert_eq!(node.as_deref(), Some(named), "{what}");
        }
    }
}

#[test]
fn a_circle_of_a_hundred_thousand_is_cut_once() {
    let length = 100_000;
    let tree = TraceTree::new(&batch((1..=length).map(|id| (id, id % length + 1, id))));
    assert_eq!(tree.nodes[0].subtree as u64, length);
    let cut = tree.nodes.iter().filter(|node| node.hold == Hold::Circle);
    assert_eq!(cut.map(|node| node.span).collect::<Vec<_>>(), [0]);
}

#[test]
fn a_chain_of_a_hundred_thousand() {
    let length = 100_000;
    let tree = TraceTree::new(&batch((1..=length).rev().map(|id| (id, id - 1, id))));
    assert_eq!(tree.nodes.len() as u64, length);
    assert_eq!(tree.nodes[0].subtree as u64, length);
    assert_eq!(tree.nodes[tree.nodes.len() - 1].depth as u64, length - 1);
    assert!(tree.nodes.iter().all(|node| node.hold != Hold::Orphan));
}
