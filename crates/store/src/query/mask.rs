//! A set of rows.

/// Which of a number of rows are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mask {
    words: Vec<u64>,
    len: usize,
}

impl Mask {
    pub(super) fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    pub(super) fn all(len: usize) -> Self {
        let mut mask = Self { words: vec![u64::MAX; len.div_ceil(64)], len };
        if let Some(last) = mask.words.last_mut().filter(|_| !len.is_multiple_of(64)) {
            *last = u64::MAX >> (64 - len % 64);
        }
        mask
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn set(&mut self, row: usize) {
        self.words[row / 64] |= 1 << (row % 64);
    }

    #[inline]
    pub(super) fn get(&self, row: usize) -> bool {
        self.words[row / 64] >> (row % 64) & 1 == 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Whether all rows are in it.
    pub(super) fn is_full(&self) -> bool {
        self.words.iter().map(|word| word.count_ones() as usize).sum::<usize>() == self.len
    }

    /// Keeps the rows that the other has, too.
    pub(super) fn and(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    /// Adds the rows of the other.
    pub(super) fn or(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// Takes the rows of the other away.
    pub(super) fn minus(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    /// The rows, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.iter_in(0..self.len)
    }

    /// The rows of a range, ascending.
    pub(super) fn iter_in(&self, rows: std::ops::Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let first = rows.start / 64;
        let end = rows.end.div_ceil(64).max(first);
        self.words[first..end].iter().enumerate().flat_map(move |(index, &word)| {
            let base = (first + index) * 64;
            let mut word = word;
            if base < rows.start {
                word &= u64::MAX << (rows.start - base);
            }
            if base + 64 > rows.end {
                word &= u64::MAX >> (base + 64 - rows.end);
            }
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                (word != 0).then(|| {
                    word &= word - 1;
                    base + bit
                })
            })
        })
    }

    /// The rows for which this holds, among those that are in it.
    pub(super) fn filtered(&self, holds: impl Fn(usize) -> bool) -> Self {
        let mut out = Self::none(self.len);
        self.iter().filter(|&row| holds(row)).for_each(|row| out.set(row));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_both_ends() {
        let mut mask = Mask::none(200);
        [0, 63, 64, 65, 127, 128, 199].into_iter().for_each(|row| mask.set(row));
        assert_eq!(mask.iter().collect::<Vec<_>>(), [0, 63, 64, 65, 127, 128, 199]);
        assert_eq!(mask.iter_in(63..128).collect::<Vec<_>>(), [63, 64, 65, 127]);
        assert_eq!(mask.iter_in(64..64).count(), 0);
        assert_eq!(mask.iter_in(129..200).collect::<Vec<_>>(), [199]);
        assert_eq!(Mask::all(70).iter().count(), 70);
    }
}
