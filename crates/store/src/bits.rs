//! A bit per row.

/// Words whose ones are counted together.
const RANK_WORDS: usize = 8;

/// A fixed number of bits, with the number of ones before any of them at hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    len: usize,
    ones: usize,
    /// Ones before each [`RANK_WORDS`] words.
    ranks: Vec<u32>,
}

impl Bits {
    /// From words of 64 bits, lowest first. Bits behind `len` are ignored.
    pub(crate) fn new(mut words: Vec<u64>, len: usize) -> Self {
        words.resize(len.div_ceil(64), 0);
        if let Some(last) = words.last_mut().filter(|_| !len.is_multiple_of(64)) {
            *last &= u64::MAX >> (64 - len % 64);
        }
        let mut ones = 0;
        let mut ranks = Vec::with_capacity(words.len().div_ceil(RANK_WORDS));
        for group in words.chunks(RANK_WORDS) {
            ranks.push(ones as u32);
            ones += group.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        }
        Self { words, len, ones, ranks }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many are set.
    pub(crate) fn ones(&self) -> usize {
        self.ones
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(crate) fn get(&self, at: usize) -> bool {
        self.words[at / 64] >> (at % 64) & 1 == 1
    }

    /// How many are set before `at`, which may be the length.
    pub(crate) fn rank(&self, at: usize) -> usize {
        let word = at / 64;
        let Some(&before) = self.ranks.get(word / RANK_WORDS) else { return self.ones };
        let group = word / RANK_WORDS * RANK_WORDS;
        let whole: u32 = self.words[group..word].iter().map(|word| word.count_ones()).sum();
        let part = match self.words.get(word) {
            Some(bits) if !at.is_multiple_of(64) => (bits & !(u64::MAX << (at % 64))).count_ones(),
            _ => 0,
        };
        (before + whole + part) as usize
    }

    /// The places of those that are set, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(index, &word)| Ones(word).map(move |bit| index * 64 + bit))
    }

    /// Up to 64 of them, the first lowest.
    fn word(&self, range: std::ops::Range<usize>) -> u64 {
        let (index, shift) = (range.start / 64, range.start % 64);
        let high = if shift == 0 { 0 } else { self.words.get(index + 1).copied().unwrap_or(0) };
        let word = self.words[index] >> shift | high.checked_shl(64 - shift as u32).unwrap_or(0);
        if range.len() < 64 { word & !(u64::MAX << range.len()) } else { word }
    }

    /// Those of some ranges, one behind the other.
    pub(crate) fn pick(&self, ranges: &[std::ops::Range<usize>]) -> Self {
        let len = ranges.iter().map(ExactSizeIterator::len).sum::<usize>();
        let mut words = vec![0u64; len.div_ceil(64)];
        let mut to = 0;
        for range in ranges {
            for from in range.clone().step_by(64) {
                let part = from..range.end.min(from + 64);
                let word = self.word(part.clone());
                words[to / 64] |= word << (to % 64);
                if to % 64 + part.len() > 64 {
                    words[to / 64 + 1] |= word >> (64 - to % 64);
                }
                to += part.len();
            }
        }
        Self::new(words, len)
    }

    /// Some of them as bits of their own.
    pub(crate) fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let (first, shift) = (range.start / 64, range.start % 64);
        let words = (0..range.len().div_ceil(64))
            .map(|index| {
                let low = self.words[first + index] >> shift;
                let high = self.words.get(first + index + 1).copied().unwrap_or(0);
                if shift == 0 { low } else { low | high << (64 - shift) }
            })
            .collect();
        Self::new(words, range.len())
    }
}

/// The places of ones in a word.
struct Ones(u64);

impl Iterator for Ones {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agree_with_a_list(list in prop::collection::vec(any::<bool>(), 0..2000), cut in any::<(u16, u16)>()) {
            let mut words = vec![0u64; list.len().div_ceil(64)];
            for (at, _) in list.iter().enumerate().filter(|(_, bit)| **bit) {
                words[at / 64] |= 1 << (at % 64);
            }
            let bits = Bits::new(words, list.len());
            let set: Vec<usize> = (0..list.len()).filter(|&at| list[at]).collect();
            prop_assert_eq!(bits.iter().collect::<Vec<_>>(), set.clone());
            prop_assert_eq!(bits.ones(), set.len());
            for at in 0..=list.len() {
                prop_assert_eq!(bits.rank(at), set.iter().filter(|&&one| one < at).count());
            }
            let mut range = [cut.0 as usize % (list.len() + 1), cut.1 as usize % (list.len() + 1)];
            range.sort_unstable();
            let part = bits.slice(range[0]..range[1]);
            for at in 0..part.len() {
                prop_assert_eq!(part.get(at), list[range[0] + at]);
            }
            let ranges = [range[1]..list.len(), 0..range[0] / 2, range[0]..range[1]];
            let picked = bits.pick(&ranges);
            let expected: Vec<bool> =
                ranges.into_iter().flat_map(|range| list[range].to_vec()).collect();
            prop_assert_eq!(picked.len(), expected.len());
            for (at, &expected) in expected.iter().enumerate() {
                prop_assert_eq!(picked.get(at), expected);
            }
        }
    }
}
