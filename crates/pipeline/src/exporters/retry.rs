//! The waits between attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::settings::RetrySettings;

/// An interval of nothing would be a loop without pause.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// Exponential backoff with a random part, so that those who failed together do not come again
/// together.
pub(crate) struct Backoff {
    interval: Duration,
    settings: RetrySettings,
    random: u64,
}

impl Backoff {
    pub(crate) fn new(settings: RetrySettings) -> Self {
        Self {
            interval: settings.initial_interval.max(INTERVAL_MIN),
            settings,
            // The standard library seeds each from the system's randomness.
            random: RandomState::new().hash_one(0),
        }
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let factor = self.settings.randomization_factor;
        let factor = if factor.is_nan() { 0.0 } else { factor.clamp(0.0, 1.0) };
        let drawn = 1.0 - factor + 2.0 * factor * self.random();
        let wait = self.interval.min(self.settings.max_interval).max(INTERVAL_MIN).mul_f64(drawn);
        let grown = self.interval.as_secs_f64() * self.settings.multiplier.max(1.0);
        let max = self.settings.max_interval;
        self.interval = Duration::try_from_secs_f64(grown).unwrap_or(max).min(max);
        wait
    }

    /// In [0, 1); SplitMix64.
    fn random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_largest_and_keep_within_their_factor() {
        let settings = RetrySettings { randomization_factor: 0.0, ..RetrySettings::default() };
        let mut backoff = Backoff::new(settings);
        let waits: Vec<f64> = (0..7).map(|_| backoff.next().as_secs_f64()).collect();
        assert_eq!(waits, [5.0, 7.5, 11.25, 16.875, 25.3125, 30.0, 30.0]);

        let settings = RetrySettings { multiplier: 1.0, ..RetrySettings::default() };
        let mut backoff = Backoff::new(settings);
        let waits: Vec<f64> = (0..1000).map(|_| backoff.next().as_secs_f64()).collect();
        assert!(waits.iter().all(|wait| (2.5..7.5).contains(wait)));
        assert!(waits.iter().any(|&wait| wait < 3.0) && waits.iter().any(|&wait| wait > 7.0));
    }

    #[test]
    fn odd_numbers_do_no_harm() {
        for (factor, multiplier) in [(7.0, f64::NAN), (f64::NAN, f64::INFINITY), (-1.0, 0.0)] {
            let settings = RetrySettings {
                randomization_factor: factor,
                multiplier,
                ..RetrySettings::default()
            };
            let mut backoff = Backoff::new(settings);
            for _ in 0..100 {
                assert!(backoff.next() <= Duration::from_secs(60));
            }
        }
    }
}
