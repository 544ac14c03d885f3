//! The tree of a trace: who called whom, in the order a waterfall shows it.

use std::collections::HashMap;

use crate::{SpanBatch, SpanId};

/// A span's place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Index into the batch's spans.
    pub span: usize,
    /// Index of the parent in [`TraceTree::nodes`].
    pub parent: Option<usize>,
    /// 0 for roots and orphans.
    pub depth: usize,
    /// This node and all below it.
    pub subtree: usize,
    /// The span names a parent that is not there.
    pub orphan: bool,
}

/// The spans of one trace in pre-order: roots by start, then children by start.
#[derive(Debug, Clone, Default)]
pub struct TraceTree {
    /// Pre-order.
    pub nodes: Vec<Node>,
}

impl TraceTree {
    /// The tree of all spans of a batch, which are of one trace. A circle of parents is cut at its
    /// earliest span, which then counts as an orphan.
    pub fn new(batch: &SpanBatch) -> Self {
        let spans = batch.spans();
        let mut by_id: HashMap<SpanId, usize> = HashMap::with_capacity(spans.len());
        for (index, span) in spans.iter().enumerate() {
            by_id.entry(span.span_id).or_insert(index);
        }
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by_key(|&index| (spans[index].start_unix_nano, spans[index].span_id));

        let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
        let mut tops = Vec::new();
        for &index in &order {
            let parent = spans[index].parent_span_id;
            match by_id.get(&parent) {
                _ if parent.is_none() => tops.push((index, false)),
                Some(&parent) if parent != index => children[parent].push(index),
                _ => tops.push((index, true)),
            }
        }

        let mut tree = Self { nodes: Vec::with_capacity(spans.len()) };
        let mut placed = vec![false; spans.len()];
        for (top, orphan) in tops {
            tree.place(top, orphan, &children, &mut placed);
        }
        // What is left hangs in circles.
        for index in order {
            if !placed[index] {
                tree.place(index, true, &children, &mut placed);
            }
        }
        tree
    }

    fn place(&mut self, top: usize, orphan: bool, children: &[Vec<usize>], placed: &mut [bool]) {
        let first = self.nodes.len();
        let mut stack = vec![(top, None, 0)];
        while let Some((span, parent, depth)) = stack.pop() {
            if std::mem::replace(&mut placed[span], true) {
                continue;
            }
            let node = self.nodes.len();
            self.nodes.push(Node { span, parent, depth, subtree: 1, orphan: orphan && depth == 0 });
            stack.extend(children[span].iter().rev().map(|&child| (child, Some(node), depth + 1)));
        }
        for node in (first..self.nodes.len()).rev() {
            if let Some(parent) = self.nodes[node].parent {
                self.nodes[parent].subtree += self.nodes[node].subtree;
            }
        }
    }
}
