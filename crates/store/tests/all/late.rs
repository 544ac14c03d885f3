//! Parts that come hours apart make one trace; what is sent twice is there once.

use model::TraceId;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use store::{SpanFilter, Store};

use crate::bench::{Bench, HOUR, NOW, SECOND};
use crate::oracle::Oracle;
use crate::search::paged;
use crate::sent::{Sent, int, request, trace_id};

/// A trace's spans, each a child of the one before, an hour apart.
fn chain(trace: u64, count: u64) -> Vec<Sent> {
    let span = |at: u64| {
        let start = NOW + at * HOUR;
        let service = if at.is_multiple_of(2) { "api" } else { "cart" };
        Sent::new(trace, at + 1)
            .parent(at)
            .service(service)
            .times(start, start + SECOND)
            .status((at % 3) as i32)
            .attribute(int("at", at as i64))
    };
    (0..count).map(span).collect()
}

fn assert_whole(bench: &Bench, what: &str, held: &[Sent]) {
    bench.assert_holds(what, &request(held));
    let all = SpanFilter::default();
    assert_eq!(paged(bench, &all, 10), Oracle(held).search(&all), "{what}");
}

#[test]
fn parts_hours_apart_are_one_trace() {
    let mut bench = Bench::with(|options| {
        options.merge_blocks = 3;
        options.chunk_rows = 2;
    });
    let spans = [chain(1, 9), chain(2, 9)].concat();
    let mut held: Vec<Sent> = Vec::new();
    // The leaves first: orphans until their parents come.
    for at in (0..9).rev() {
        bench.clock.set(NOW + (20 - at) * HOUR);
        let now: Vec<Sent> = spans
            .iter()
            .filter(|sent| sent.span.start_time_unix_nano == NOW + at * HOUR)
            .cloned()
            .collect();
        bench.append(&request(&now));
        held.extend(now);
        assert_whole(&bench, "with the newest part in the head", &held);
        if at % 2 == 0 {
            bench.settle();
            assert_whole(&bench, "sealed", &held);
        }
        if at % 4 == 1 {
            bench.reopen();
            assert_whole(&bench, "opened again", &held);
        }
    }
    assert_eq!(bench.wait(bench.engine().summaries(vec![trace_id(1)])).unwrap()[0].orphan_count, 0);
}

/// Compacted to one block, every count is that of distinct spans.
fn assert_counted_once(bench: &Bench, what: &str, held: &[Sent]) {
    assert_whole(bench, what, held);
    let (engine, oracle) = (bench.engine(), Oracle(held));
    assert_eq!(bench.wait(engine.services()).unwrap(), oracle.services(), "{what}");
    assert_eq!(bench.wait(engine.operations(None)).unwrap(), oracle.operations(None), "{what}");
    assert_eq!(bench.wait(engine.attributes()).unwrap(), oracle.attributes(), "{what}");
    assert_eq!(engine.status().span_count, held.len() as u64, "{what}");
}

#[test]
fn a_request_sent_twice_is_there_once() {
    let spans = [chain(1, 5), chain(2, 3)].concat();
    let bench = Bench::new();
    // Together in a request, in a chunk, in a head.
    bench.append(&request(&[spans.clone(), spans.clone()].concat()));
    assert_whole(&bench, "twice in a request", &spans);
    bench.append(&request(&spans));
    assert_whole(&bench, "thrice in a chunk", &spans);
    bench.settle();
    assert_counted_once(&bench, "sealed", &spans);
    // Across seals: in the head beside a block, in a block beside another, after compaction.
    bench.append(&request(&spans));
    assert_whole(&bench, "again in the head", &spans);
    bench.settle();
    assert_counted_once(&bench, "compacted", &spans);

    let apart = Bench::with(|options| {
        options.chunk_rows = 1;
        options.merge_blocks = 100;
    });
    for _ in 0..3 {
        apart.append(&request(&spans));
        assert_whole(&apart, "in chunks and blocks", &spans);
        apart.settle();
        assert_whole(&apart, "in blocks", &spans);
    }
}

/// Same ids and times, but another name, kind or sender: other spans, and each of them once.
#[test]
fn spans_that_share_an_id_are_kept_apart() {
    let one = Sent::new(1, 1);
    let mut client = one.clone();
    client.span.kind = 3;
    let spans = [one.clone(), one.clone().name("other"), one.service("cart"), client];
    let bench = Bench::with(|options| options.chunk_rows = 3);
    // In orders that bring the copies of one span apart.
    for order in [[0, 1, 2, 3], [3, 1, 0, 2], [2, 0, 3, 1]] {
        bench.append(&request(&order.map(|at| spans[at].clone())));
        bench.assert_holds("head", &request(&spans));
        bench.settle();
        bench.assert_holds("sealed", &request(&spans));
        assert_eq!(bench.engine().status().span_count, 4);
    }
}

/// A server's span under the id of its client's, as Zipkin has them, is no orphan; a span that
/// names itself is one.
#[test]
fn a_parent_is_another_span() {
    let server = Sent::new(1, 5).parent(5).times(NOW, NOW + SECOND);
    let client = Sent::new(1, 5).times(NOW + 1, NOW + SECOND);
    let own_parent = Sent::new(2, 6).parent(6);
    let spans = [server, client, own_parent];
    for chunk_rows in [1, 10] {
        let bench = Bench::with(move |options| options.chunk_rows = chunk_rows);
        spans.iter().for_each(|span| bench.append(&request(std::slice::from_ref(span))));
        assert_whole(&bench, "head", &spans);
        bench.settle();
        assert_whole(&bench, "sealed", &spans);
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let bench = Bench::new();
    bench.append(&ExportTraceServiceRequest::default());
    let absent = [TraceId::default(), trace_id(1)];
    for sealed in [false, true] {
        for id in absent {
            let read = bench.wait(bench.engine().trace(id)).unwrap();
            assert!(read.spans.is_none() && !read.partial);
        }
        assert!(bench.wait(bench.engine().summaries(absent.to_vec())).unwrap().is_empty());
        if !sealed {
            bench.append(&request(&chain(2, 2)));
            bench.settle();
        }
    }
}
