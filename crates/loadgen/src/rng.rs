//! Random numbers that stay the same across versions and platforms; a library's "small" generator
//! may change with any release.

/// xoshiro256++ 1.0 by David Blackman and Sebastiano Vigna, public domain
/// (<https://prng.di.unimi.it/xoshiro256plusplus.c>).
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// Seeds through splitmix64, as the authors advise.
    pub(crate) fn new(seed: u64) -> Self {
        let mut at = seed;
        let state = std::array::from_fn(|_| {
            let value = mix(at);
            at = at.wrapping_add(GOLDEN);
            value
        });
        Self { state }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number under `bound`; its bias of `bound / 2^32` does not matter to a load.
    #[inline]
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        scaled(self.next(), bound)
    }

    /// One of a list that is not empty.
    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u32) as usize]
    }

    /// True in `share` of 1024 cases.
    pub(crate) fn chance_of_1024(&mut self, share: u32) -> bool {
        self.below(1024) < share
    }

    /// Never zero, which an id must not be.
    #[inline]
    pub(crate) fn id(&mut self) -> u64 {
        self.next().max(1)
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A step of splitmix64 by Sebastiano Vigna, public domain
/// (<https://prng.di.unimi.it/splitmix64.c>).
#[inline]
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The high half of a random number, scaled to under `bound`.
#[inline]
pub(crate) fn scaled(random: u64, bound: u32) -> u32 {
    (((random >> 32) * u64::from(bound)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of the authors' C code for the state 1, 2, 3, 4.
    #[test]
    fn is_the_published_generator() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let first: [u64; 4] = std::array::from_fn(|_| rng.next());
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    /// The first output of the authors' C code for seed 0.
    #[test]
    fn mixes_as_published() {
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }
}
