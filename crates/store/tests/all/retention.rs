//! Data leaves by age and by size, the oldest first, while the store runs.

use std::sync::atomic::{AtomicBool, Ordering};

use store::{DiskLimit, Store};

use crate::bench::{Bench, HOUR, NOW, block_folders, eventually};
use crate::sent::{Sent, request, text, trace_id};

const DAY: u64 = 24 * HOUR;

fn spans(trace: u64) -> Vec<Sent> {
    (0..20)
        .map(|at| Sent::new(trace, 100 * trace + at).attribute(text("at", &at.to_string())))
        .collect()
}

fn stored(bench: &Bench) -> Vec<u64> {
    let has = |trace: &u64| {
        let read = bench.wait(bench.engine().trace(trace_id(*trace))).unwrap();
        assert!(!read.partial);
        read.spans.is_some()
    };
    (1..=9).filter(has).collect()
}

#[test]
fn by_age() {
    let mut bench = Bench::with(|options| options.merge_blocks = 100);
    for day in 1..=4 {
        bench.clock.set(NOW + day * DAY);
        bench.append(&request(&spans(day)));
        bench.settle();
    }
    bench.clock.set(NOW + 14 * DAY + DAY - 1);
    bench.append(&request(&spans(5)));
    bench.settle();
    assert_eq!(stored(&bench), [1, 2, 3, 4, 5]);
    for (now, left) in [(14 * DAY + DAY, 2), (14 * DAY + 3 * DAY, 4), (27 * DAY, 5)] {
        bench.clock.set(NOW + now);
        eventually("old blocks leave", || stored(&bench).first() == Some(&left));
        eventually("folders go too", || block_folders(&bench.folder()).len() as u64 == 6 - left);
    }
    bench.reopen();
    assert_eq!(stored(&bench), [5]);
}

#[test]
fn by_bytes() {
    let probe = Bench::with(|options| options.merge_blocks = 100);
    probe.append(&request(&spans(1)));
    probe.settle();
    // With the empty log.
    let block = probe.engine().status().disk_bytes;

    let mut bench = Bench::with(move |options| {
        options.merge_blocks = 100;
        options.disk_limit = DiskLimit::Bytes(block * 7 / 2);
    });
    for trace in 1..=9 {
        bench.clock.set(NOW + trace * HOUR);
        bench.append(&request(&spans(trace)));
        bench.settle();
        eventually("the oldest leave", || {
            let status = bench.engine().status();
            status.disk_bytes <= status.disk_limit_bytes
        });
        let first = trace.saturating_sub(2).max(1);
        assert_eq!(stored(&bench), (first..=trace).collect::<Vec<_>>());
    }
    bench.reopen();
    assert_eq!(stored(&bench), [7, 8, 9]);
}

/// Whoever reads a block that leaves gets all of it or nothing of it, and no error.
#[test]
fn readers_of_a_block_that_leaves_finish() {
    let bench = Bench::with(|options| options.merge_blocks = 100);
    let gone = AtomicBool::new(false);
    let read = || {
        let read = bench.wait(bench.engine().trace(trace_id(1))).unwrap();
        assert!(!read.partial, "a block that left is no damaged block");
        read.spans.map_or(0, |spans| spans.len())
    };
    for round in 0..4 {
        bench.clock.set(NOW + round * 100 * DAY);
        bench.append(&request(&spans(1)));
        bench.settle();
        gone.store(false, Ordering::Relaxed);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !gone.load(Ordering::Relaxed) {
                        let count = read();
                        assert!(count == 20 || count == 0, "{count} spans");
                    }
                });
            }
            bench.clock.set(NOW + (round * 100 + 50) * DAY);
            // Something new wakes the compactor at once.
            bench.append(&request(&spans(2)));
            bench.settle();
            eventually("the block leaves", || read() == 0);
            gone.store(true, Ordering::Relaxed);
        });
        assert_eq!(bench.engine().status().damaged_block_count, 0);
    }
}
