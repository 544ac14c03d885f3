//! Reading a segment of the queue on disk, whole or damaged.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::frame::{DONE, HEADER_BYTES, Header, PENDING};

/// How much of a damaged segment is searched at a time.
const SEARCH_BYTES: usize = 1 << 20;

/// A record's content, unless it is damaged.
pub(super) fn read_payload(file: &File, offset: u64, header: Header) -> io::Result<Option<Bytes>> {
    let mut payload = vec![0; header.length as usize];
    file.read_exact_at(&mut payload, offset + HEADER_BYTES as u64)?;
    Ok((crc32c::crc32c(&payload) == header.payload_crc).then(|| payload.into()))
}

/// What a segment holds.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Offsets and headers of the records that are there in full length.
    pub(super) records: Vec<(u64, Header)>,
    /// Bytes that belong to none.
    pub(super) damaged_bytes: u64,
    /// Of these, the ones without a header that tells what they were.
    pub(super) unknown_bytes: u64,
    /// Items of records whose header is whole and whose end is cut off.
    pub(super) cut_items: u64,
    /// Where a record begins that ends with the file before it is whole.
    pub(super) unfinished: Option<u64>,
}

/// The records of a file of so many bytes, and what is damaged in it.
pub(super) fn scan(file: &File, bytes: u64) -> io::Result<Scanned> {
    let (mut scanned, mut at) = (Scanned::default(), 0);
    while at < bytes {
        let header = header_at(file, at, bytes)?;
        if let Some(header) = header.filter(|header| at + header.record_bytes() <= bytes) {
            scanned.records.push((at, header));
            at += header.record_bytes();
            continue;
        }
        let next = search(file, at + 1, bytes)?;
        // A header of which only the beginning was written is none yet.
        if next == bytes && (header.is_some() || bytes - at < HEADER_BYTES as u64) {
            scanned.unfinished = Some(at);
        }
        scanned.damaged_bytes += next - at;
        match header {
            Some(header) if header.done => {}
            Some(header) => scanned.cut_items = scanned.cut_items.saturating_add(header.items),
            None => scanned.unknown_bytes += next - at,
        }
        at = next;
    }
    Ok(scanned)
}

fn header_at(file: &File, at: u64, bytes: u64) -> io::Result<Option<Header>> {
    if at + HEADER_BYTES as u64 > bytes {
        return Ok(None);
    }
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, at)?;
    Ok(Header::decode(&header))
}

/// Where the next whole record begins, or the end.
fn search(file: &File, from: u64, bytes: u64) -> io::Result<u64> {
    let mut from = from;
    while from + (HEADER_BYTES as u64) <= bytes {
        let length = (bytes - from).min(SEARCH_BYTES as u64) as usize;
        let mut stretch = vec![0; length];
        file.read_exact_at(&mut stretch, from)?;
        let mut windows = stretch.windows(HEADER_BYTES).enumerate();
        let found = windows.find_map(|(at, window)| {
            if !matches!(window, [PENDING | DONE, 1, 0, 0, ..]) {
                return None;
            }
            let header = Header::decode(window.first_chunk()?)?;
            let start = from + at as u64;
            (start + header.record_bytes() <= bytes).then_some(start)
        });
        if let Some(start) = found {
            return Ok(start);
        }
        from += (length - HEADER_BYTES + 1) as u64;
    }
    Ok(bytes)
}
