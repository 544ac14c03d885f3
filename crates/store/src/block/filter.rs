//! A Bloom filter of the trace ids of a block, in memory while the block is open.
//!
//! Split into blocks of 256 bits, one bit in each of eight words, as Parquet's own (Parquet
//! format, "Bloom filter"); ten bits a trace leave about 1 % false answers.

use bytes::Bytes;
use model::TraceId;

const BLOCK_BYTES: usize = 32;
const BITS_PER_TRACE: usize = 10;
const SALTS: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// Says "no" for certain, "yes" perhaps.
#[derive(Debug, Clone)]
pub(crate) struct TraceFilter {
    bits: Bytes,
}

impl TraceFilter {
    pub(crate) fn of(ids: &[u128]) -> Self {
        let blocks = (ids.len() * BITS_PER_TRACE).div_ceil(BLOCK_BYTES * 8).max(1);
        let mut bits = vec![0u8; blocks * BLOCK_BYTES];
        for &id in ids {
            for (byte, mask) in places(id, blocks) {
                bits[byte] |= mask;
            }
        }
        Self { bits: bits.into() }
    }

    /// `None` when the bytes are no filter.
    pub(crate) fn from_bytes(bits: Bytes) -> Option<Self> {
        (!bits.is_empty() && bits.len().is_multiple_of(BLOCK_BYTES)).then_some(Self { bits })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bits
    }

    pub(crate) fn may_hold(&self, id: TraceId) -> bool {
        let blocks = self.bits.len() / BLOCK_BYTES;
        places(id.to_number(), blocks).all(|(byte, mask)| self.bits[byte] & mask != 0)
    }
}

fn places(id: u128, blocks: usize) -> impl Iterator<Item = (usize, u8)> {
    let hash = mix((id >> 64) as u64 ^ mix(id as u64));
    let block = ((u128::from(hash >> 32) * blocks as u128) >> 32) as usize;
    SALTS.iter().enumerate().map(move |(word, &salt)| {
        let bit = (hash as u32).wrapping_mul(salt) >> 27;
        (block * BLOCK_BYTES + word * 4 + (bit / 8) as usize, 1 << (bit % 8))
    })
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", OOPSLA 2014). Stored filters depend on it.
fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_denies_and_rarely_lies() {
        let ids: Vec<u128> = (0..10_000u128).map(|n| n * 77).collect();
        let filter = TraceFilter::of(&ids);
        let filter = TraceFilter::from_bytes(Bytes::copy_from_slice(filter.bytes())).unwrap();
        assert!(ids.iter().all(|&id| filter.may_hold(TraceId::from_number(id))));
        let lies =
            (0..10_000u128).filter(|n| filter.may_hold(TraceId::from_number(n * 77 + 1))).count();
        assert!(lies < 300, "{lies} of 10,000");
        assert!(!TraceFilter::of(&[]).may_hold(TraceId::from_number(1)));
    }
}
