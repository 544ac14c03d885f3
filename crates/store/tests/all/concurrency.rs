//! Many at once: what was acknowledged is found by whoever asks next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::{AppendError, SearchRequest, SpanFilter, Store};

use crate::bench::{Bench, NOW, batch, decoded, eventually};
use crate::canonical::by_trace;
use crate::sent::{Sent, request, trace_id};

const WRITERS: u64 = 8;
const REQUESTS: u64 = 30;

#[test]
fn what_was_acknowledged_is_found_at_once() {
    let mut bench = Bench::with(|options| {
        options.chunk_rows = 7;
        options.head_spans_max = 50;
        options.merge_blocks = 3;
    });
    let spans = |writer: u64, number: u64| -> Vec<Sent> {
        let id = 1_000 * (writer + 1) + 3 * number;
        // A trace of the writer's own, and one that all share.
        [Sent::new(writer + 1, id), Sent::new(writer + 1, id + 1), Sent::new(99, id + 2)].to_vec()
    };
    let engine = bench.engine();
    let write = async |writer: u64| {
        let mut sent = Vec::new();
        for number in 0..REQUESTS {
            let now = spans(writer, number);
            engine.append(batch(&request(&now))).await.unwrap();
            sent.extend(now);
            let own: Vec<Sent> =
                sent.iter().filter(|sent| sent.trace() != trace_id(99)).cloned().collect();
            let read = engine.trace(trace_id(writer + 1)).await.unwrap();
            assert!(!read.partial);
            assert!(by_trace(&decoded(&read.spans.unwrap())) == by_trace(&request(&own)));
            let rows = engine.summaries(vec![trace_id(writer + 1), trace_id(99)]).await.unwrap();
            assert_eq!(rows[0].span_count, own.len() as u64);
            assert!(rows[1].span_count > number);
            let search = SearchRequest { filter: SpanFilter::default(), limit: 20, after: None };
            let page = engine.search(search).await.unwrap();
            assert!(page.traces.iter().any(|row| row.trace_id == trace_id(writer + 1)));
        }
    };
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (bench, write) = (&bench, &write);
            scope.spawn(move || bench.wait(write(writer)));
        }
    });
    let all: Vec<Sent> = (0..WRITERS)
        .flat_map(|writer| (0..REQUESTS).flat_map(move |number| spans(writer, number)))
        .collect();
    bench.assert_holds("at the end", &request(&all));
    bench.reopen();
    bench.assert_holds("opened again", &request(&all));
    bench.settle();
    bench.assert_holds("settled", &request(&all));
    assert_eq!(bench.engine().status().span_count, all.len() as u64);
}

#[test]
fn a_closed_store_refuses_and_still_answers() {
    let mut bench = Bench::new();
    bench.append(&request(&[Sent::new(1, 1)]));
    bench.engine().close();
    let refused = bench.try_append(&request(&[Sent::new(1, 2)]));
    assert_eq!(refused, Err(AppendError::Closed));
    bench.assert_holds("closed", &request(&[Sent::new(1, 1)]));
    bench.reopen();
    bench.assert_holds("opened again", &request(&[Sent::new(1, 1)]));
}

/// The clock is the one place where a test gets into a worker: a bug there kills it.
#[test]
fn a_worker_that_dies_is_reported() {
    let fails = Arc::new(AtomicBool::new(false));
    let fails_too = fails.clone();
    let bench = Bench::with(move |options| {
        let fails = fails_too.clone();
        options.clock = Arc::new(move || {
            assert!(!fails.load(Ordering::Relaxed), "a bug in a worker");
            NOW
        });
    });
    bench.append(&request(&[Sent::new(1, 1)]));
    assert!(bench.engine().health().problems.is_empty());
    fails.store(true, Ordering::Relaxed);
    assert_eq!(bench.try_append(&request(&[Sent::new(1, 2)])), Err(AppendError::Closed));
    eventually("health tells", || {
        let problems = bench.engine().health().problems;
        problems.iter().any(|problem| problem.contains("log writer died"))
    });
    fails.store(false, Ordering::Relaxed);
    bench.assert_holds("what was taken", &request(&[Sent::new(1, 1)]));
}
