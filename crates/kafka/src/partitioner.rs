//! Which partition a record goes to.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How partitions are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Partitioner {
    /// By FNV-1a of the key, as the Go client Sarama does and the Collector with it. Records without
    /// a key go to one partition after the other.
    #[default]
    SaramaCompatible,
    /// By Murmur2 of the key, as Kafka's own clients do.
    Murmur2,
    /// One partition after the other, whatever the key.
    RoundRobin,
}

impl Partitioner {
    /// A place below `count`, which is not zero.
    pub(crate) fn choose(self, key: Option<&[u8]>, count: usize, turn: &AtomicUsize) -> usize {
        match (self, key) {
            (Self::RoundRobin, _) | (_, None) => turn.fetch_add(1, Ordering::Relaxed) % count,
            (Self::SaramaCompatible, Some(key)) => {
                // The remainder of a signed number, without its sign.
                let rest = i64::from(fnv1a(key) as i32) % count as i64;
                rest.unsigned_abs() as usize
            }
            (Self::Murmur2, Some(key)) => (murmur2(key) & 0x7fff_ffff) as usize % count,
        }
    }
}

fn fnv1a(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Kafka's Murmur2, of 32 bits, with its own seed.
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> 24;
        hash = hash.wrapping_mul(M) ^ word.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let word = rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ word).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that Kafka's own tests of its client have.
    #[test]
    fn murmur2_is_kafkas() {
        for (key, hash) in [
            ("21", -973932308),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            ("abc", 479470107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn partitions_are_chosen() {
        let turn = AtomicUsize::new(0);
        // FNV-1a of "foobar" is 0xbf9cf968, a negative number of 32 bits.
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
        let sarama = Partitioner::SaramaCompatible.choose(Some(b"foobar"), 10, &turn);
        assert_eq!(sarama, (i64::from(0xbf9c_f968_u32 as i32) % 10).unsigned_abs() as usize);
        let all = (0..4).map(|_| Partitioner::RoundRobin.choose(Some(b"a"), 3, &turn));
        assert_eq!(all.collect::<Vec<_>>(), [0, 1, 2, 0]);
        assert_eq!(Partitioner::Murmur2.choose(None, 3, &turn), 1);
    }
}
