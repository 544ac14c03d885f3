//! The log as a power cut or a bad disk leaves it: what was whole is there, the rest is kept aside.

use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use store::{SearchRequest, SpanFilter, Store};

use crate::bench::{Bench, files};
use crate::sent::{Sent, int, request};

fn requests() -> Vec<ExportTraceServiceRequest> {
    (0..4u64).map(|at| request(&[Sent::new(1, at + 1).attribute(int("at", at as i64))])).collect()
}

fn segment(data: &Path) -> PathBuf {
    let segments = files(&data.join("log"));
    segments.into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

/// A closed store with a log of some requests, the log's bytes, and where each record ends.
fn logged() -> (Bench, Vec<u8>, Vec<usize>) {
    let mut bench = Bench::new();
    let mut ends = vec![segment(&bench.folder()).metadata().unwrap().len() as usize];
    for request in requests() {
        bench.append(&request);
        ends.push(segment(&bench.folder()).metadata().unwrap().len() as usize);
    }
    bench.close();
    let content = std::fs::read(segment(&bench.folder())).unwrap();
    (bench, content, ends)
}

/// Opens a copy with another log in the place of the old one.
fn with_log(bench: &Bench, content: &[u8]) -> Bench {
    let mut copy = Bench::closed(|_| {});
    crate::bench::copy_folder(&bench.folder(), &copy.folder());
    std::fs::write(segment(&copy.folder()), content).unwrap();
    copy.open();
    copy
}

fn joined(requests: &[ExportTraceServiceRequest]) -> ExportTraceServiceRequest {
    let resource_spans = requests.iter().flat_map(|request| request.resource_spans.clone());
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

/// The first `count` requests are there, spans can be added, and all of it survives.
fn assert_goes_on(mut store: Bench, what: &str, count: usize) {
    let mut expected = requests()[..count].to_vec();
    assert_eq!(store.engine().status().span_count, count as u64, "{what}");
    if count > 0 {
        store.assert_holds(what, &joined(&expected));
    }
    let more = request(&[Sent::new(1, 99)]);
    store.append(&more);
    expected.push(more);
    store.reopen();
    store.assert_holds(what, &joined(&expected));
    store.settle();
    store.assert_holds(what, &joined(&expected));
}

fn tail(store: &Bench) -> Vec<u8> {
    let damaged = store.folder().join("damaged");
    let kept = if damaged.exists() { files(&damaged) } else { Vec::new() };
    kept.iter().flat_map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn a_log_cut_anywhere_in_its_last_record_keeps_the_records_before() {
    let (bench, content, ends) = logged();
    let before = ends[ends.len() - 2];
    for length in before..=content.len() {
        let store = with_log(&bench, &content[..length]);
        let whole = if length == content.len() { 4 } else { 3 };
        let kept = if whole == 4 { &[][..] } else { &content[before..length] };
        assert_eq!(tail(&store), kept, "cut at {length}");
        // Only the request that was being written is lost.
        assert_eq!(store.engine().status().damaged_log_count, 0, "cut at {length}");
        assert_goes_on(store, &format!("cut at {length}"), whole);
    }
}

#[test]
fn a_log_cut_in_its_header_is_an_empty_one() {
    let (bench, content, _) = logged();
    for length in [0, 1, 7, 8] {
        let store = with_log(&bench, &content[..length]);
        assert_goes_on(store, &format!("cut at {length}"), 0);
    }
}

#[test]
fn a_flipped_byte_costs_its_record_and_those_behind_it_alone() {
    let (bench, content, ends) = logged();
    // The byte before the records is the version.
    for at in (0..content.len()).step_by(3).filter(|at| *at != 7) {
        let mut wrong = content.clone();
        wrong[at] ^= 0x41;
        let store = with_log(&bench, &wrong);
        let whole = ends.iter().filter(|&&end| end <= at).count();
        let good = if whole == 0 { 0 } else { ends[whole - 1] };
        assert_eq!(tail(&store), &wrong[good..], "byte {at}");
        assert_goes_on(store, &format!("byte {at}"), whole.saturating_sub(1));
    }
}

/// Told and remembered as long as the part that was cut off lies there.
#[test]
fn answers_without_a_part_of_the_log_say_so() {
    let (bench, content, ends) = logged();
    // Torn as the process ended: nobody was told that this request is safe.
    let torn = with_log(&bench, &content[..content.len() - 1]);
    assert_eq!(torn.engine().status().damaged_log_count, 0);
    assert!(!torn.engine().status().is_partial());
    let mut wrong = content.clone();
    wrong[ends[3] + 20] ^= 1;
    let mut store = with_log(&bench, &wrong);
    for (what, lost) in [("at once", 1), ("after a restart", 1), ("accepted", 0)] {
        if lost == 0 {
            std::fs::remove_dir_all(store.folder().join("damaged")).unwrap();
        }
        if what != "at once" {
            store.reopen();
        }
        let engine = store.engine();
        let status = engine.status();
        assert_eq!((status.damaged_log_count, status.damaged_block_count), (lost, 0), "{what}");
        assert_eq!(status.is_partial(), lost > 0, "{what}");
        let search = SearchRequest { filter: SpanFilter::default(), limit: 9, after: None };
        assert_eq!(store.wait(engine.search(search)).unwrap().partial, lost > 0, "{what}");
        store.assert_holds(what, &joined(&requests()[..3]));
    }
}

/// What is cut off twice under one name is kept twice.
#[test]
fn nothing_that_was_cut_off_is_overwritten() {
    let (bench, content, ends) = logged();
    let mut store = with_log(&bench, &content[..content.len() - 1]);
    let path = segment(&store.folder());
    store.close();
    let good = std::fs::read(&path).unwrap();
    assert_eq!(good.len(), ends[3]);
    std::fs::write(&path, [&good[..], b"more that is no record"].concat()).unwrap();
    store.open();
    let kept = tail(&store);
    assert_eq!(kept.len(), content.len() - 1 - ends[3] + b"more that is no record".len());
}

#[test]
fn a_record_that_is_no_request_is_left_out() {
    let (bench, content, _) = logged();
    let payload = b"\xff\xff\xff";
    let time = 7u64.to_le_bytes();
    let crc = crc32c_of(&[&time[..], payload].concat());
    let record =
        [&(payload.len() as u32).to_le_bytes()[..], &crc.to_le_bytes(), &time, payload].concat();
    let store = with_log(&bench, &[&content[..], &record].concat());
    assert_goes_on(store, "a record that is no request", 4);
}

/// CRC32C by the bit (RFC 3720, appendix B.4).
pub fn crc32c_of(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let mut crc = crc ^ u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
        crc
    };
    !bytes.iter().fold(!0, step)
}
