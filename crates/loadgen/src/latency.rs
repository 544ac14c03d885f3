//! Log-normal durations with a slow tail, drawn from tables.
//!
//! The tables need only the four operations that IEEE 754 rounds exactly, so that a seed gives the
//! same load on every platform; `exp` and `ln` of the system's library do not promise that.

use crate::rng::{Rng, scaled};

const ENTRIES: usize = 1024;
/// Factors are fixed-point numbers with this many bits behind the point.
const FRACTION_BITS: u32 = 10;

/// How far durations stray from their median.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Computing: sigma 0.35.
    Narrow,
    /// Waiting for others: sigma 0.75.
    Wide,
}

/// Factors by which a duration differs from its median.
#[derive(Debug, Clone)]
pub(crate) struct Latency {
    narrow: Box<[u32; ENTRIES]>,
    wide: Box<[u32; ENTRIES]>,
}

impl Latency {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self { narrow: table(rng, 0.35), wide: table(rng, 0.75) }
    }

    /// A duration in nanoseconds. Uses the lower half of `random`.
    #[inline]
    pub(crate) fn draw(&self, median_nano: u32, spread: Spread, random: u64) -> u64 {
        let table = match spread {
            Spread::Narrow => &self.narrow,
            Spread::Wide => &self.wide,
        };
        let factor = u64::from(table[random as usize % ENTRIES]);
        let duration = (u64::from(median_nano) * factor) >> FRACTION_BITS;
        // Up to 1/8 more: a table alone would give every operation only 1,024 durations.
        duration + ((duration * ((random >> 10) & 0xffff)) >> 19)
    }
}

fn table(rng: &mut Rng, sigma: f64) -> Box<[u32; ENTRIES]> {
    let mut factors = Box::new([0; ENTRIES]);
    for (index, factor) in factors.iter_mut().enumerate() {
        // One in 128 is stuck: a lock, a cold cache, a garbage collection.
        let stuck = if index % 128 == 0 { f64::from(4 + scaled(rng.next(), 12)) } else { 1.0 };
        let value = exp(sigma * normal(rng)) * stuck;
        *factor = (value * f64::from(1 << FRACTION_BITS)) as u32;
    }
    factors
}

/// Irwin-Hall: twelve uniform numbers minus 6 are normal enough, and end at 6 sigma.
fn normal(rng: &mut Rng) -> f64 {
    let sum: f64 = (0..12).map(|_| f64::from(rng.below(1 << 20)) / f64::from(1 << 20)).sum();
    sum - 6.0
}

/// `(1 + x / 2^20)^(2^20)`: within 0.002 % of the exponential for the few units used here.
fn exp(x: f64) -> f64 {
    let mut power = 1.0 + x / f64::from(1 << 20);
    for _ in 0..20 {
        power *= power;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_log_normal_with_a_tail() {
        let mut rng = Rng::new(1);
        let latency = Latency::new(&mut rng);
        let mut all: Vec<u64> =
            (0..100_000).map(|_| latency.draw(1_000_000, Spread::Wide, rng.next())).collect();
        all.sort_unstable();
        let at = |share: f64| all[(all.len() as f64 * share) as usize] as f64 / 1e6;
        assert!((0.95..1.2).contains(&at(0.5)), "median {}", at(0.5));
        // One sigma up is a factor of e^0.75 = 2.1.
        assert!((1.8..2.6).contains(&at(0.84)), "84 % {}", at(0.84));
        assert!(at(0.998) > 7.0, "tail {}", at(0.998));
    }
}
