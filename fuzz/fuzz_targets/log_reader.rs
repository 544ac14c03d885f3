//! Any bytes are a log segment up to a point, and what is good of them is good again.

#![no_main]

use std::io::ErrorKind;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

// Alone: the crate around it would bring Arrow and Parquet.
#[path = "../../crates/store/src/log/frame.rs"]
mod frame;

use frame::{LogScan, MAGIC, record_header, scan_segment};

/// The records and what else is there; nothing where the log is of another version.
fn scan(segment: &[u8]) -> Option<(Vec<(u64, Bytes)>, LogScan)> {
    let mut records = Vec::new();
    match scan_segment(segment, |time, payload| records.push((time, payload))) {
        Ok(scan) => Some((records, scan)),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "memory can be read");
            assert!(records.is_empty() && segment[..7] == MAGIC[..7] && segment[7] != MAGIC[7]);
            None
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((records, found)) = scan(bytes) else { return };
    assert!(found.good_bytes <= bytes.len() as u64);
    assert_eq!(found.damage.is_none(), found.good_bytes == bytes.len() as u64 && !bytes.is_empty());

    // What is cut off is looked through, whatever it is.
    frame::holds_record(&bytes[found.good_bytes as usize..]);

    // The good part alone is whole; nothing at all has no header.
    let (again, scan_again) = scan(&bytes[..found.good_bytes as usize]).expect("the same version");
    assert_eq!(again, records);
    assert_eq!(scan_again.good_bytes, found.good_bytes);
    assert_eq!(scan_again.damage.is_none(), found.good_bytes > 0);

    // The records written again are that part, byte by byte.
    if found.good_bytes > 0 {
        let mut written = MAGIC.to_vec();
        for (time, payload) in &records {
            written.extend_from_slice(&record_header(*time, payload));
            written.extend_from_slice(payload);
        }
        assert_eq!(written, &bytes[..found.good_bytes as usize]);
    }
});
