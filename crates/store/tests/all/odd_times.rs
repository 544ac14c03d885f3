//! Spans that claim absurd times are stored as they are and change nothing for the others.

use store::{SeriesRequest, SpanFilter, Store};

use crate::bench::{Bench, HOUR, NOW, SECOND, block_folders, eventually};
use crate::oracle::Oracle;
use crate::search::paged;
use crate::sent::{Sent, request};

const YEAR: u64 = 365 * 24 * HOUR;

/// Start and end of one span each.
const ODD: [(u64, u64); 9] = [
    (0, 0),
    (0, NOW),
    (0, u64::MAX),
    (1, NOW),
    (NOW, NOW - SECOND),
    (NOW - 30 * YEAR, NOW),
    (NOW + 30 * YEAR, NOW + 31 * YEAR),
    (u64::MAX, u64::MAX),
    (u64::MAX, 0),
];

fn odd_spans() -> Vec<Sent> {
    let alone = ODD.iter().enumerate().map(|(at, &(start, end))| {
        Sent::new(at as u64 + 1, at as u64 + 1).times(start, end).name("odd")
    });
    // And each together with a span of now.
    let beside = ODD.iter().enumerate().flat_map(|(at, &(start, end))| {
        let at = at as u64 + 100;
        [
            Sent::new(at, 2 * at).times(start, end).name("odd"),
            Sent::new(at, 2 * at + 1).times(NOW + at, NOW + at + SECOND).parent(2 * at),
        ]
    });
    alone.chain(beside).collect()
}

fn plain_spans() -> Vec<Sent> {
    let span = |at: u64| Sent::new(1_000 + at, 1_000 + at).times(NOW + at, NOW + 2 * SECOND);
    (0..20).map(span).collect()
}

fn filters() -> Vec<SpanFilter> {
    let mut all = vec![SpanFilter::default()];
    let moments = [0, 1, NOW - HOUR, NOW, NOW + HOUR, NOW + 40 * YEAR, u64::MAX];
    for (at, &from) in moments.iter().enumerate() {
        for &to in &moments[at..] {
            for operation in [None, Some("odd".to_owned())] {
                all.push(SpanFilter {
                    start_min_unix_nano: Some(from),
                    start_max_unix_nano: Some(to),
                    service: operation.is_none().then(|| "api".to_owned()),
                    operation,
                    ..SpanFilter::default()
                });
            }
        }
    }
    all
}

fn assert_found(bench: &Bench, what: &str, held: &[Sent]) {
    bench.assert_holds(what, &request(held));
    for filter in filters() {
        let expected = Oracle(held).search(&filter);
        for limit in [1, 7, 100] {
            assert_eq!(paged(bench, &filter, limit), expected, "{what}: {filter:?} by {limit}");
        }
    }
}

#[test]
fn odd_times_are_kept_and_found() {
    let mut held = [odd_spans(), plain_spans()].concat();
    let apart = Bench::with(|options| {
        options.merge_blocks = 100;
        options.chunk_rows = 3;
    });
    // Mixed, so that every piece has both; then the odd ones once more in a piece of their own.
    held.sort_by_key(|sent| sent.span.span_id[7] % 7);
    for part in held.chunks(12) {
        apart.append(&request(part));
        apart.settle();
    }
    assert_found(&apart, "blocks", &held);

    let mut together = Bench::new();
    together.append(&request(&odd_spans()));
    together.settle();
    together.append(&request(&plain_spans()));
    assert_found(&together, "a block and the head", &held);
    together.settle();
    together.reopen();
    assert_found(&together, "compacted", &held);
}

/// A part without any time ranks by the rest of its trace, in whichever piece that lies.
#[test]
fn a_part_without_times_is_found_where_its_trace_ranks() {
    let bench = Bench::with(|options| options.merge_blocks = 100);
    let untimed = Sent::new(7, 1).times(0, 0).name("odd");
    bench.append(&request(std::slice::from_ref(&untimed)));
    bench.settle();
    let timed = Sent::new(7, 2).parent(1).times(NOW + HOUR, NOW + HOUR);
    let others = (0..5).map(|at| Sent::new(20 + at, 20 + at).times(NOW + at, NOW + at).name("odd"));
    let newer: Vec<Sent> = others.chain([timed]).collect();
    bench.append(&request(&newer));
    assert_found(&bench, "apart", &[newer, vec![untimed]].concat());
}

#[test]
fn they_change_neither_partitions_nor_retention_nor_series() {
    let bench = Bench::with(|options| options.merge_blocks = 100);
    bench.append(&request(&odd_spans()));
    bench.settle();
    let day = |bench: &Bench| {
        let folder = block_folders(&bench.folder())[0].clone();
        folder.parent().unwrap().file_name().unwrap().to_owned()
    };
    assert_eq!(day(&bench), "2027-01-15", "the day they came");

    // The block stays as long as any that came then, and no longer.
    bench.clock.set(NOW + 13 * 24 * HOUR);
    bench.append(&request(&plain_spans()));
    bench.settle();
    assert_eq!(bench.engine().status().block_count, 2);
    bench.clock.set(NOW + 15 * 24 * HOUR);
    bench.append(&request(&[Sent::new(1, 1)]));
    bench.settle();
    eventually("the first block leaves", || bench.engine().status().block_count == 2);

    let series = SeriesRequest {
        filter: SpanFilter::default(),
        start_unix_nano: NOW,
        step_nano: SECOND,
        steps: 3,
        by: None,
        series_max: 9,
    };
    let held = [plain_spans(), vec![Sent::new(1, 1)]].concat();
    let set = bench.wait(bench.engine().series(series.clone())).unwrap();
    assert_eq!(set.series, Oracle(&held).series(&series));
}
