//! A bit per row that says whether it has a value: in pages, definition levels of one bit.

use super::header::write_varint;
use super::hybrid::{Run, Runs};

/// Zeros that are worth a run of their own amid packed bits.
const LONG_RUN_BITS: usize = 32;

/// Bits that are appended in runs, from words and from bytes. Those behind the last are 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Presence {
    words: Vec<u64>,
    len: usize,
}

impl Presence {
    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.len = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(super) fn into_words(self) -> Vec<u64> {
        self.words
    }

    pub(super) fn push_run(&mut self, bit: bool, count: usize) {
        let end = self.len + count;
        if bit {
            let whole = self.words.len() * 64;
            if self.len < whole {
                let mask = u64::MAX << (self.len % 64);
                let last = self.words.len() - 1;
                self.words[last] |=
                    if end < whole { mask & !(u64::MAX << (end % 64)) } else { mask };
            }
            self.words.resize(end.div_ceil(64), u64::MAX);
            if !end.is_multiple_of(64) && end > whole {
                let last = self.words.len() - 1;
                self.words[last] = u64::MAX >> (64 - end % 64);
            }
        } else {
            self.words.resize(end.div_ceil(64), 0);
        }
        self.len = end;
    }

    /// Bits `from` and the following of words.
    pub(super) fn push_words(&mut self, words: &[u64], from: usize, count: usize) {
        let mut at = from;
        let end = from + count;
        if self.len.is_multiple_of(64) && from.is_multiple_of(64) {
            self.words.extend_from_slice(&words[from / 64..end.div_ceil(64)]);
            self.len += count;
            if let Some(last) = self.words.last_mut().filter(|_| !count.is_multiple_of(64)) {
                *last &= u64::MAX >> (64 - count % 64);
            }
            return;
        }
        while at < end {
            let bits = (64 - at % 64).min(end - at);
            self.push_bits(words[at / 64] >> (at % 64), bits);
            at += bits;
        }
    }

    /// Bits of bytes, the lowest first.
    fn push_bytes(&mut self, bytes: &[u8], count: usize) {
        let mut left = count;
        for chunk in bytes[..count.div_ceil(8)].chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let bits = left.min(64);
            self.push_bits(u64::from_le_bytes(word), bits);
            left -= bits;
        }
    }

    /// The lowest bits of a word, up to all.
    fn push_bits(&mut self, word: u64, count: usize) {
        if count == 0 {
            return;
        }
        let word = word & (u64::MAX >> (64 - count));
        let filled = self.len % 64;
        self.len += count;
        if filled == 0 {
            self.words.push(word);
            return;
        }
        let last = self.words.len() - 1;
        self.words[last] |= word << filled;
        if filled + count > 64 {
            self.words.push(word >> (64 - filled));
        }
    }

    /// Appends them as definition levels: runs where words are all 0 or all 1, else as they are
    /// but for zeros at either end.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        let bits = |index: usize| (self.len - index * 64).min(64);
        let uniform = |index: usize| match self.words[index] {
            0 => Some(0),
            word if word == u64::MAX >> (64 - bits(index)) => Some(1),
            _ => None,
        };
        let mut at = 0;
        let mut zeros = 0;
        while at < self.words.len() {
            let first = uniform(at);
            let end = (at + 1..self.words.len()).find(|&index| uniform(index) != first);
            let end = end.unwrap_or(self.words.len());
            let count = (end * 64).min(self.len) - at * 64;
            match first {
                Some(0) => zeros += count,
                Some(level) => {
                    append_run(0, std::mem::take(&mut zeros), out);
                    append_run(level, count, out);
                }
                None => {
                    let last = self.words[end - 1] << (64 - bits(end - 1));
                    let skip = self.words[at].trailing_zeros() as usize / 8 * 8;
                    let skip = if zeros > 0 || skip >= LONG_RUN_BITS { skip } else { 0 };
                    append_run(0, std::mem::take(&mut zeros) + skip, out);
                    let rest = last.leading_zeros() as usize;
                    let more_zeros = end < self.words.len() && uniform(end) == Some(0);
                    let rest = if more_zeros || rest >= LONG_RUN_BITS { rest } else { 0 };
                    let bytes = (count - skip - rest).div_ceil(8);
                    zeros = (count - skip).saturating_sub(bytes * 8);
                    write_varint((bytes as u64) << 1 | 1, out);
                    let from = out.len();
                    for word in &self.words[at..end] {
                        out.extend_from_slice(&word.to_le_bytes());
                    }
                    out.drain(from..from + skip / 8);
                    out.truncate(from + bytes);
                }
            }
            at = end;
        }
        append_run(0, zeros, out);
        let length = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// The definition levels of so many rows, without their length. Returns whether all rows have
    /// a value; then there are no bits.
    pub(super) fn decode(&mut self, bytes: &[u8], rows: usize) -> Result<bool, String> {
        self.clear();
        let mut runs = Runs::new(bytes, 1);
        while self.len < rows {
            let (count, run) = runs.next().ok_or("there are fewer definition levels than rows")?;
            let count = count.min(rows - self.len);
            match run {
                Run::Same(1) if count == rows => return Ok(true),
                Run::Same(level @ (0 | 1)) => self.push_run(level == 1, count),
                Run::Same(level) => return Err(format!("a definition level is {level}")),
                Run::Packed(packed) => self.push_bytes(packed, count),
            }
        }
        Ok(false)
    }
}

fn append_run(level: u8, count: usize, out: &mut Vec<u8>) {
    if count > 0 {
        write_varint((count as u64) << 1, out);
        out.push(level);
    }
}

/// Ones among the first bits of words.
pub(super) fn ones_before(words: &[u64], at: usize) -> usize {
    let whole: u32 = words[..at / 64].iter().map(|word| word.count_ones()).sum();
    let part = if at.is_multiple_of(64) {
        0
    } else {
        (words[at / 64] & !(u64::MAX << (at % 64))).count_ones()
    };
    (whole + part) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(presence: &Presence) -> Vec<bool> {
        (0..presence.len).map(|at| presence.words[at / 64] >> (at % 64) & 1 == 1).collect()
    }

    proptest! {
        #[test]
        fn runs_words_and_levels_agree_with_a_list(
            parts in prop::collection::vec((0u8..3, any::<u64>(), 0usize..200), 0..20),
        ) {
            let mut presence = Presence::default();
            let mut list = Vec::new();
            for (kind, word, count) in parts {
                if kind < 2 {
                    presence.push_run(kind == 1, count);
                    list.extend(vec![kind == 1; count]);
                } else {
                    let words = [word, !word, word.reverse_bits(), 0, u64::MAX];
                    let from = count / 3;
                    presence.push_words(&words, from, count);
                    list.extend((from..from + count).map(|at| words[at / 64] >> (at % 64) & 1 == 1));
                }
                prop_assert_eq!(bits(&presence), list.clone());
                prop_assert_eq!(presence.words.len(), list.len().div_ceil(64));
            }
            for at in 0..=list.len() {
                let ones = list[..at].iter().filter(|bit| **bit).count();
                prop_assert_eq!(ones_before(&presence.words, at), ones);
            }
            let mut bytes = Vec::new();
            presence.encode(&mut bytes);
            prop_assert_eq!(bytes[..4].to_vec(), (bytes.len() as u32 - 4).to_le_bytes().to_vec());
            let mut back = Presence::default();
            if !back.decode(&bytes[4..], list.len()).unwrap() {
                prop_assert_eq!(bits(&back), list);
            } else {
                prop_assert!(list.iter().all(|bit| *bit));
            }
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut presence = Presence::default();
            if presence.decode(&bytes, 1000) == Ok(false) {
                prop_assert_eq!(presence.len, 1000);
            }
        }
    }
}
