//! A record of the queue on disk.
//!
//! | bytes | content |
//! |---|---|
//! | 1 | state: `P` pending, `D` done; the only byte that is written again |
//! | 1 | kind: 1 |
//! | 2 | zeros |
//! | 4 | length of the payload |
//! | 8 | items in it |
//! | 4 | CRC-32C of the 15 bytes behind the state |
//! | 4 | CRC-32C of the payload |
//! | … | the payload: an encoded request |
//!
//! Numbers are little-endian. The header has a checksum of its own, so that the record behind a
//! damaged payload is found by its length, and the one behind a damaged header by searching.

/// Length of a header.
pub(super) const HEADER_BYTES: usize = 24;
/// Where a record's state stands in it.
pub(super) const PENDING: u8 = b'P';
/// Differs from `PENDING` in two bits, so that one that flips does not lose a record.
pub(super) const DONE: u8 = b'D';
const KIND: u8 = 1;

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) done: bool,
    pub(super) length: u32,
    pub(super) items: u64,
    pub(super) payload_crc: u32,
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0] = if self.done { DONE } else { PENDING };
        out[1] = KIND;
        out[4..8].copy_from_slice(&self.length.to_le_bytes());
        out[8..16].copy_from_slice(&self.items.to_le_bytes());
        let crc = crc32c::crc32c(&out[1..16]);
        out[16..20].copy_from_slice(&crc.to_le_bytes());
        out[20..24].copy_from_slice(&self.payload_crc.to_le_bytes());
        out
    }

    /// `None` for what is no header. A state that is neither is pending: better twice than never.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let [state, kind, 0, 0, a, b, c, d, rest @ ..] = bytes else {
            return None;
        };
        let (items, rest) = rest.split_first_chunk::<8>()?;
        let (crc, payload_crc) = rest.split_first_chunk::<4>()?;
        if *kind != KIND || crc32c::crc32c(&bytes[1..16]) != u32::from_le_bytes(*crc) {
            return None;
        }
        Some(Self {
            done: *state == DONE,
            length: u32::from_le_bytes([*a, *b, *c, *d]),
            items: u64::from_le_bytes(*items),
            payload_crc: u32::from_le_bytes(payload_crc.try_into().ok()?),
        })
    }

    /// Length of the whole record.
    pub(super) fn record_bytes(self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.length)
    }
}
