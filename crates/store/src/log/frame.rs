//! The framing of the log. Knows bytes only, so that the fuzz target can include it alone.
//!
//! A segment starts with eight bytes of magic and version. A record is its length (u32, little
//! endian), the CRC32C of what follows the checksum, the time of arrival (u64, nanoseconds since
//! the epoch) and the request's OTLP bytes.

use std::io::{self, Read};

use bytes::Bytes;

pub(crate) const MAGIC: &[u8; 8] = b"SPANLOG\x01";
/// What the segments of every version start with; the last byte of [`MAGIC`] is the version.
const ANY_VERSION: &[u8; 7] = b"SPANLOG";

pub(crate) const HEADER_BYTES: usize = 16;

/// A record never holds more; a longer length is damage.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// A record gets memory for so many bytes before they are read.
const TRUSTED_BYTES: usize = 1 << 20;

const CUT_OFF: &str = "is cut off";

/// What a segment's bytes hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogScan {
    /// Bytes of the good records and the header before them.
    pub good_bytes: u64,
    /// What is wrong behind them; `None` when all is good.
    pub damage: Option<String>,
    /// It ends within a record, as when a process ends while it writes.
    pub cut_off: bool,
}

/// Reads the records of a segment, in order: arrival time and request. Stops at the first that is
/// not whole. An error is one of reading; [`io::ErrorKind::Unsupported`] is another version.
pub fn scan_segment(
    mut segment: impl Read,
    mut record: impl FnMut(u64, Bytes),
) -> io::Result<LogScan> {
    let damaged = |at: usize, what: &str| {
        let damage = Some(format!("{what} at byte {at}"));
        Ok(LogScan { good_bytes: at as u64, damage, cut_off: what.ends_with(CUT_OFF) })
    };
    let mut magic = [0; MAGIC.len()];
    let whole = read_up_to(&mut segment, &mut magic)? == MAGIC.len();
    if !whole || !magic.starts_with(ANY_VERSION) {
        return damaged(0, "no log header");
    }
    let [.., ours] = *MAGIC;
    let [.., version] = magic;
    if version != ours {
        let text = format!("it is a log of version {version}, this program reads {ours}");
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    let mut at = MAGIC.len();
    loop {
        let mut header = [0; HEADER_BYTES];
        match read_up_to(&mut segment, &mut header)? {
            0 => return Ok(LogScan { good_bytes: at as u64, damage: None, cut_off: false }),
            HEADER_BYTES => {}
            _ => return damaged(at, &format!("a record's header {CUT_OFF}")),
        }
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let crc = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        if length > RECORD_BYTES_MAX {
            return damaged(at, "a record has an impossible length");
        }
        // A length that is not true must not take its memory.
        let mut payload = Vec::with_capacity(length.min(TRUSTED_BYTES));
        segment.by_ref().take(length as u64).read_to_end(&mut payload)?;
        if payload.len() < length {
            return damaged(at, &format!("a record {CUT_OFF}"));
        }
        let actual = crc32c::crc32c_append(crc32c::crc32c(&header[8..]), &payload);
        if actual != crc {
            return damaged(at, "a record's checksum is wrong");
        }
        let mut time = [0; 8];
        time.copy_from_slice(&header[8..]);
        record(u64::from_le_bytes(time), Bytes::from(payload));
        at += HEADER_BYTES + length;
    }
}

/// Whether a whole record lies anywhere in bytes that were cut off a segment, behind their first:
/// then more is lost than the request that was being written when the process ended.
pub(crate) fn holds_record(cut: &[u8]) -> bool {
    // Bytes that are made to look like headers must not cost their square.
    let mut checks = cut.len().saturating_mul(64);
    (1..cut.len().saturating_sub(HEADER_BYTES)).any(|at| {
        let header = &cut[at..at + HEADER_BYTES];
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let crc = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let start = at + HEADER_BYTES;
        // An empty record has nothing to lose, and zeros look like many.
        let payload = cut.get(start..start + length.min(RECORD_BYTES_MAX)).filter(|_| length > 0);
        payload.is_some_and(|payload| {
            let Some(left) = checks.checked_sub(length) else { return true };
            checks = left;
            crc32c::crc32c_append(crc32c::crc32c(&header[8..]), payload) == crc
        })
    })
}

/// Fills the buffer, or as much of it as there is.
fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What stands before a record's payload.
pub(crate) fn record_header(time: u64, payload: &[u8]) -> [u8; HEADER_BYTES] {
    let time = time.to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&time), payload);
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[4..8].copy_from_slice(&crc.to_le_bytes());
    header[8..].copy_from_slice(&time);
    header
}
