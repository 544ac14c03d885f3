//! The tree of a trace: who called whom, in the order a waterfall shows it.
//!
//! `ui/src/model/tree.ts` makes the same tree; `tests/data/trees.json` holds both to it.

use std::collections::HashMap;

use crate::{Span, SpanBatch, SpanId};

/// A span's place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Index into the batch's spans.
    pub span: usize,
    /// Index of the parent in [`TraceTree::nodes`].
    pub parent: Option<usize>,
    /// 0 for roots, orphans and cut circles.
    pub depth: usize,
    /// This node and all below it.
    pub subtree: usize,
    /// How it hangs in the tree.
    pub hold: Hold,
}

/// How a span hangs in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It names no parent.
    Root,
    /// Below its parent.
    Child,
    /// The parent that it names is not there; a span that names itself has none either.
    Orphan,
    /// Its parents lead back to it. It is the earliest of their circle, which is cut here.
    Circle,
}

/// The spans of one trace in pre-order: roots by start, then orphans and cut circles by start; the
/// children of each by start. Equal starts go by span id, and spans without a start come last.
#[derive(Debug, Clone, Default)]
pub struct TraceTree {
    /// Pre-order.
    pub nodes: Vec<Node>,
    /// The node that a trace is named after: the first root, or the earliest span where no root is
    /// stored. As in the store's summaries, a start of 0 is the earliest.
    pub named: Option<usize>,
}

impl TraceTree {
    /// The tree of all spans of a batch, which are of one trace.
    pub fn new(batch: &SpanBatch) -> Self {
        let spans = batch.spans();
        let mut order: Vec<usize> = (0..spans.len()).collect();
        let has_no_start = |span: &Span| span.start_unix_nano == 0;
        order.sort_by_key(|&index| {
            let span = &spans[index];
            (has_no_start(span), span.start_unix_nano, span.span_id)
        });
        let mut up = parents(spans);
        let mut holds: Vec<Hold> = spans
            .iter()
            .zip(&up)
            .map(|(span, up)| match up {
                _ if span.parent_span_id.is_none() => Hold::Root,
                Some(_) => Hold::Child,
                None => Hold::Orphan,
            })
            .collect();
        cut_circles(&order, &mut up, &mut holds);

        let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
        for &index in &order {
            if let Some(parent) = up[index] {
                children[parent].push(index);
            }
        }
        let is_root = |index: &usize| holds[*index] == Hold::Root;
        let (roots, others): (Vec<usize>, Vec<usize>) =
            order.into_iter().filter(|&index| up[index].is_none()).partition(is_root);
        let mut tree = Self { nodes: Vec::with_capacity(spans.len()), named: None };
        for top in roots.into_iter().chain(others) {
            tree.place(top, &children, &holds);
        }
        tree.named = (0..tree.nodes.len()).min_by_key(|&node| {
            let Node { span, hold, .. } = tree.nodes[node];
            (hold != Hold::Root, spans[span].start_unix_nano, spans[span].span_id)
        });
        tree
    }

    fn place(&mut self, top: usize, children: &[Vec<usize>], holds: &[Hold]) {
        let first = self.nodes.len();
        let mut stack = vec![(top, None, 0)];
        while let Some((span, parent, depth)) = stack.pop() {
            let node = self.nodes.len();
            self.nodes.push(Node { span, parent, depth, subtree: 1, hold: holds[span] });
            stack.extend(children[span].iter().rev().map(|&child| (child, Some(node), depth + 1)));
        }
        for node in (first..self.nodes.len()).rev() {
            if let Some(parent) = self.nodes[node].parent {
                self.nodes[parent].subtree += self.nodes[node].subtree;
            }
        }
    }
}

/// The parent of each span: the first other span with the id that it names. Ids may be shared, as
/// by the two sides of a call in Zipkin's model.
fn parents(spans: &[Span]) -> Vec<Option<usize>> {
    // The first two spans of each id: one of them is another span, whoever asks.
    let mut by_id: HashMap<SpanId, (usize, Option<usize>)> = HashMap::with_capacity(spans.len());
    for (index, span) in spans.iter().enumerate() {
        by_id
            .entry(span.span_id)
            .and_modify(|(_, second)| {
                second.get_or_insert(index);
            })
            .or_insert((index, None));
    }
    let parent = |(index, span): (usize, &Span)| {
        let &(first, second) = by_id.get(&span.parent_span_id)?;
        if first == index { second } else { Some(first) }
    };
    spans.iter().enumerate().map(parent).collect()
}

/// Cuts every circle at its earliest span. Each span has one parent at most, so that a walk
/// upwards ends at a top or in a circle.
fn cut_circles(order: &[usize], up: &mut [Option<usize>], holds: &mut [Hold]) {
    let mut rank = vec![0; order.len()];
    for (at, &index) in order.iter().enumerate() {
        rank[index] = at;
    }
    // The walk that came by, from 1.
    let mut walked = vec![0; order.len()];
    for (start, &first) in order.iter().enumerate() {
        let walk = start + 1;
        let mut next = Some(first);
        while let Some(index) = next.filter(|&index| walked[index] == 0) {
            walked[index] = walk;
            next = up[index];
        }
        let Some(entry) = next.filter(|&index| walked[index] == walk) else { continue };
        let circle = std::iter::successors(up[entry], |&at| up[at].filter(|_| at != entry));
        if let Some(earliest) = circle.min_by_key(|&index| rank[index]) {
            up[earliest] = None;
            holds[earliest] = Hold::Circle;
        }
    }
}
