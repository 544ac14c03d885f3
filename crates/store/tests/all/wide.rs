//! A trace far larger than a chunk, a page, a row group or a stretch of a merge.

use std::collections::HashSet;

use store::Store;

use crate::bench::{Bench, NOW};
use crate::sent::{Sent, int, request, trace_id};

const SPANS: u64 = 200_000;

fn span(id: u64) -> Sent {
    let mut sent = Sent::new(1, id).parent(id / 2).times(NOW + id, NOW + id + 1_000);
    if id.is_multiple_of(4) {
        sent = sent.attribute(int("n", id as i64));
    }
    sent
}

fn assert_whole(bench: &Bench, what: &str, count: u64) {
    let read = bench.wait(bench.engine().trace(trace_id(1))).unwrap();
    let batch = read.spans.unwrap();
    let ids: HashSet<u64> = batch.spans().iter().map(|span| span.span_id.to_number()).collect();
    assert_eq!((batch.len() as u64, ids.len() as u64), (count, count), "{what}");
    for span in batch.spans() {
        let id = span.span_id.to_number();
        assert_eq!(span.parent_span_id.to_number(), id / 2, "{what}");
        assert_eq!(span.start_unix_nano, NOW + id, "{what}");
        assert_eq!(batch.span_attributes(span).len(), usize::from(id.is_multiple_of(4)), "{what}");
    }
    let summary = &bench.wait(bench.engine().summaries(vec![trace_id(1)])).unwrap()[0];
    assert_eq!((summary.span_count, summary.orphan_count), (count, 0), "{what}");
    assert!(!summary.missing_root, "{what}");
}

#[test]
fn a_trace_of_many_spans_is_whole_everywhere() {
    let bench = Bench::new();
    let append = |ids: std::ops::RangeInclusive<u64>| {
        let spans: Vec<Sent> = ids.map(span).collect();
        spans.chunks(20_000).for_each(|spans| bench.append(&request(spans)));
    };
    append(1..=SPANS / 2);
    assert_whole(&bench, "head", SPANS / 2);
    bench.settle();
    assert_whole(&bench, "sealed", SPANS / 2);
    append(SPANS / 2 + 1..=SPANS);
    assert_whole(&bench, "a block and the head", SPANS);
    bench.settle();
    assert_eq!(bench.engine().status().block_count, 1);
    assert_whole(&bench, "compacted", SPANS);
}
