//! Latencies in constant memory.

use std::time::Duration;

/// Buckets per power of two: a quantile is at most 1/16 too high.
const STEPS: u64 = 16;
const BUCKETS: usize = 64 * STEPS as usize;

/// Counts of durations, by size.
#[derive(Debug, Clone)]
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl Latencies {
    /// Counts one.
    pub fn add(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
        self.total += other.total;
    }

    /// What so large a share of durations does not exceed; `None` when there are none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Duration::from_nanos(end(found)))
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    // The four bits below the highest.
    let power = u64::from(nanos.ilog2()) - STEPS.ilog2() as u64;
    ((power + 1) * STEPS + ((nanos >> power) - STEPS)) as usize
}

/// The largest duration of a bucket.
fn end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let power = bucket / STEPS - 1;
    let next = u128::from(bucket % STEPS + STEPS + 1) << power;
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_narrow() {
        for nanos in [0, 1, 15, 16, 17, 31, 32, 33, 1000, 123_456_789, u64::MAX / 3, u64::MAX] {
            let end = end(bucket(nanos));
            assert!(end >= nanos && end - nanos <= nanos / 16, "{nanos} in a bucket to {end}");
        }
        assert_eq!(bucket(u64::MAX), 61 * 16 - 1);
    }

    #[test]
    fn quantiles() {
        assert_eq!(Latencies::default().quantile(0.5), None);
        let mut one = Latencies::default();
        let mut two = Latencies::default();
        (1..=50).for_each(|millis| one.add(Duration::from_millis(millis)));
        (51..=100).for_each(|millis| two.add(Duration::from_millis(millis)));
        one.merge(&two);
        for (share, millis) in [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = one.quantile(share).unwrap().as_secs_f64() * 1e3;
            assert!((millis..=millis * 1.0625).contains(&found), "{share}: {found}");
        }
    }
}
