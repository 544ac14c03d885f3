//! A process that ends at any moment: every acknowledged span is there, once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use store::{Options, Store};

use crate::bench::{Bench, HOUR, NOW, block_folders, copy_folder};
use crate::sent::{Sent, request, trace_id};

fn spans(number: u64) -> Vec<Sent> {
    (0..3).map(|at| Sent::new(number % 5, 10 * number + at + 1).parent(10 * number)).collect()
}

#[test]
fn a_copy_after_every_step_has_every_span_once() {
    let mut bench = Bench::with(|options| options.chunk_rows = 4);
    let mut held = Vec::new();
    for number in 0..12 {
        held.extend(spans(number));
        bench.append(&request(&spans(number)));
        Bench::of_copy(&bench.folder(), |_| {}).assert_holds("appended", &request(&held));
        if number % 3 == 2 {
            bench.settle();
            // Closed, so that what is deleted late is not copied half.
            bench.reopen();
            let copy = Bench::of_copy(&bench.folder(), |_| {});
            copy.assert_holds("sealed and merged", &request(&held));
            assert_eq!(copy.engine().status().span_count, held.len() as u64);
        }
    }
}

#[test]
fn a_block_whose_log_is_still_there_counts_once() {
    let mut bench = Bench::new();
    bench.append(&request(&spans(1)));
    let log = tempfile::tempdir().unwrap();
    copy_folder(&bench.folder().join("log"), log.path());
    bench.settle();
    bench.append(&request(&spans(2)));
    bench.close();
    copy_folder(log.path(), &bench.folder().join("log"));
    bench.open();
    bench.assert_holds("with its log", &request(&[spans(1), spans(2)].concat()));
    assert_eq!(bench.engine().status().span_count, 6);
}

/// The old blocks of a merge come back, whole or in part.
#[test]
fn a_merge_whose_old_blocks_are_still_there_counts_once() {
    for lost in [None, Some("block.json"), Some("spans.parquet")] {
        let mut bench = Bench::with(|options| options.merge_blocks = 100);
        for number in [1, 2] {
            bench.append(&request(&spans(number)));
            bench.settle();
        }
        bench.close();
        let old = tempfile::tempdir().unwrap();
        copy_folder(&bench.folder().join("blocks"), old.path());
        let mut merged = Bench::of_copy(&bench.folder(), |_| {});
        merged.settle();
        merged.close();
        assert_eq!(block_folders(&merged.folder()).len(), 1);
        copy_folder(old.path(), &merged.folder().join("blocks"));
        let folders = block_folders(&merged.folder());
        assert_eq!(folders.len(), 3);
        if let Some(name) = lost {
            std::fs::remove_file(folders[0].join(name)).unwrap();
        }
        merged.open();
        merged.assert_holds("merged", &request(&[spans(1), spans(2)].concat()));
        let status = merged.engine().status();
        assert_eq!((status.span_count, status.block_count, status.damaged_block_count), (6, 1, 0));
        assert_eq!(block_folders(&merged.folder()).len(), 1, "{lost:?}");
    }
}

/// A merged block that cannot be read does not take the blocks that it replaces with it.
#[test]
fn a_broken_merge_leaves_the_old_blocks() {
    let mut bench = Bench::with(|options| options.merge_blocks = 100);
    for number in [1, 2] {
        bench.append(&request(&spans(number)));
        bench.settle();
    }
    bench.close();
    let mut merged = Bench::of_copy(&bench.folder(), |_| {});
    merged.settle();
    merged.close();
    let whole = block_folders(&merged.folder())[0].clone();
    std::fs::write(whole.join("spans.parquet"), "cut off").unwrap();
    copy_folder(&bench.folder().join("blocks"), &merged.folder().join("blocks"));
    merged.open();
    merged.settle();
    merged.assert_holds("old blocks", &request(&[spans(1), spans(2)].concat()));
    assert_eq!(merged.engine().status().damaged_block_count, 1);
}

/// The block that was written last is broken, its log still there: the log has the spans.
#[test]
fn a_broken_block_does_not_vouch_for_its_log() {
    let mut bench = Bench::new();
    bench.append(&request(&spans(1)));
    let log = tempfile::tempdir().unwrap();
    copy_folder(&bench.folder().join("log"), log.path());
    bench.settle();
    bench.close();
    copy_folder(log.path(), &bench.folder().join("log"));
    std::fs::remove_file(block_folders(&bench.folder())[0].join("events.parquet")).ok();
    std::fs::write(block_folders(&bench.folder())[0].join("spans.parquet"), "cut off").unwrap();
    bench.open();
    bench.assert_holds("from the log", &request(&spans(1)));
    bench.append(&request(&spans(2)));
    bench.settle();
    bench.reopen();
    bench.assert_holds("sealed again", &request(&[spans(1), spans(2)].concat()));
}

#[test]
fn what_an_interrupted_writer_left_is_cleared() {
    let mut bench = Bench::new();
    bench.append(&request(&spans(1)));
    bench.settle();
    bench.close();
    let block = block_folders(&bench.folder())[0].clone();
    let stray = bench.folder().join("tmp").join("half a block");
    copy_folder(&block, &stray);
    bench.open();
    assert!(!stray.exists());
    bench.assert_holds("with stray files", &request(&spans(1)));
    assert_eq!(bench.engine().status().damaged_block_count, 0);
}

const DATA: &str = "SPANFALL_TEST_DATA";
const FIRST: &str = "SPANFALL_TEST_FIRST";

fn busy(options: &mut Options) {
    options.chunk_rows = 5;
    options.head_spans_max = 20;
}

/// The process that is killed: not a test of its own. Appends and tells what was acknowledged.
#[test]
fn child() {
    let Some(data) = std::env::var_os(DATA) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let bench = Bench::closed(busy);
    bench.clock.set(NOW + first % 7 * HOUR);
    let engine = bench.try_open(Path::new(&data)).unwrap();
    for number in first..first + 5_000 {
        bench.wait(engine.append(crate::bench::batch(&request(&spans(number))))).unwrap();
        eprintln!("acknowledged {number}");
    }
}

/// Appends from `first` in another process until it has told of `count`, kills it, and returns
/// the requests that it told of.
fn killed(data: &Path, first: u64, count: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(DATA, data)
        .env(FIRST, first.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = |line: std::io::Result<String>| -> Option<u64> {
        line.ok()?.strip_prefix("acknowledged ")?.parse().ok()
    };
    let mut acknowledged: Vec<u64> = lines.by_ref().filter_map(told).take(count).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged.extend(lines.filter_map(told));
    assert!(acknowledged.len() >= count, "the child ended early");
    acknowledged
}

#[test]
fn a_killed_process_loses_and_doubles_nothing() {
    let bench = Bench::closed(busy);
    let mut acknowledged: BTreeSet<u64> = BTreeSet::new();
    let mut first = 1;
    for round in 0..8 {
        let now = killed(&bench.folder(), first, 15 + 23 * round);
        acknowledged.extend(&now);
        first = now.last().unwrap() + 2;

        let mut stored: Vec<u64> = Vec::new();
        let engine = bench.try_open(&bench.folder()).unwrap();
        for trace in 0..5 {
            let read = bench.wait(engine.trace(trace_id(trace))).unwrap();
            assert!(!read.partial);
            let ids = read.spans.iter().flat_map(|batch| batch.spans());
            stored.extend(ids.map(|span| span.span_id.to_number()));
        }
        assert_eq!(engine.status().damaged_block_count, 0);
        let distinct: BTreeSet<u64> = stored.iter().copied().collect();
        assert_eq!(distinct.len(), stored.len(), "spans came twice");
        let numbers: BTreeSet<u64> = stored.iter().map(|id| id / 10).collect();
        assert_eq!(stored.len(), 3 * numbers.len(), "a request is there in part");
        assert!(numbers.is_superset(&acknowledged), "round {round} lost spans");
        // Requests that were on their way when the process ended may be there: one a round.
        assert!(numbers.len() <= acknowledged.len() + round + 1);
    }
}
