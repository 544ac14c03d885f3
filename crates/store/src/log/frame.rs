//! The framing of the log. Knows bytes only, so that the fuzz target can include it alone.
//!
//! A segment starts with eight bytes of magic and version. A record is its length (u32, little
//! endian), the CRC32C of what follows the checksum, the time of arrival (u64, nanoseconds since
//! the epoch) and the request's OTLP bytes.

use bytes::Bytes;

pub(crate) const MAGIC: &[u8; 8] = b"SPANLOG\x01";
pub(crate) const HEADER_BYTES: usize = 16;

/// A record never holds more; a longer length is damage.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// What a segment's bytes hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogScan {
    /// Bytes of the good records and the header before them.
    pub good_bytes: u64,
    /// What is wrong behind them; `None` when all is good.
    pub damage: Option<String>,
}

/// Reads the records of a segment's bytes, in order: arrival time and request. Stops at the first
/// that is not whole.
pub fn scan_segment(segment: &Bytes, mut record: impl FnMut(u64, Bytes)) -> LogScan {
    let damaged = |at: usize, what: &str| LogScan {
        good_bytes: at as u64,
        damage: Some(format!("{what} at byte {at}")),
    };
    if segment.len() < MAGIC.len() || &segment[..MAGIC.len()] != MAGIC {
        return damaged(0, "no log header of this version");
    }
    let mut at = MAGIC.len();
    while at < segment.len() {
        let Some(header) = segment.get(at..at + HEADER_BYTES) else {
            return damaged(at, "a record's header is cut off");
        };
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let crc = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        if length > RECORD_BYTES_MAX {
            return damaged(at, "a record has an impossible length");
        }
        let start = at + HEADER_BYTES;
        let Some(payload) = segment.get(start..start + length) else {
            return damaged(at, "a record is cut off");
        };
        let actual = crc32c::crc32c_append(crc32c::crc32c(&header[8..]), payload);
        if actual != crc {
            return damaged(at, "a record's checksum is wrong");
        }
        let mut time = [0; 8];
        time.copy_from_slice(&header[8..]);
        record(u64::from_le_bytes(time), segment.slice(start..start + length));
        at = start + length;
    }
    LogScan { good_bytes: at as u64, damage: None }
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
