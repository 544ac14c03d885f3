//! What a metrics query adds up, by group and interval of time.

use hashbrown::HashMap;
use traceql::{MetricsFunction, OverTime, Static};

/// Bounds of a histogram are powers of two: values up to 2^63.
const BUCKETS: usize = 64;

/// What is kept for one group in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sums {
    /// A count.
    Count,
    /// Count and sum, least or greatest value.
    Value(OverTime),
    /// A count for each power of two.
    Histogram,
}

impl Sums {
    pub(super) fn of(function: &MetricsFunction) -> Self {
        match function {
            MetricsFunction::OverTime(function, _) => Self::Value(*function),
            MetricsFunction::Quantile { .. } | MetricsFunction::Histogram(_) => Self::Histogram,
            MetricsFunction::Rate
            | MetricsFunction::CountOverTime
            | MetricsFunction::Compare { .. } => Self::Count,
        }
    }

    /// Numbers kept for one group in one interval.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Count => 1,
            Self::Value(_) => 2,
            Self::Histogram => BUCKETS,
        }
    }

    /// Adds a span's value.
    #[inline]
    pub(super) fn add(self, cell: &mut [f64], value: f64) {
        match self {
            Self::Count => cell[0] += 1.0,
            Self::Value(function) if !value.is_nan() => {
                cell[1] = match function {
                    _ if cell[0] == 0.0 => value,
                    OverTime::Min => cell[1].min(value),
                    OverTime::Max => cell[1].max(value),
                    OverTime::Avg | OverTime::Sum => cell[1] + value,
                };
                cell[0] += 1.0;
            }
            Self::Value(_) => {}
            // Less than two has no bucket.
            Self::Histogram => {
                if value >= 2.0 {
                    let bucket = (value as u64 - 1).ilog2() as usize + 1;
                    cell[bucket.min(BUCKETS - 1)] += 1.0;
                }
            }
        }
    }

    /// Adds what another thread added up.
    pub(super) fn join(self, cell: &mut [f64], other: &[f64]) {
        match self {
            Self::Count | Self::Histogram => {
                cell.iter_mut().zip(other).for_each(|(sum, more)| *sum += more);
            }
            Self::Value(function) if other[0] > 0.0 => {
                cell[1] = match function {
                    _ if cell[0] == 0.0 => other[1],
                    OverTime::Min => cell[1].min(other[1]),
                    OverTime::Max => cell[1].max(other[1]),
                    OverTime::Avg | OverTime::Sum => cell[1] + other[1],
                };
                cell[0] += other[0];
            }
            Self::Value(_) => {}
        }
    }
}

/// Sums by group; a group is told by its values.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) sums: Sums,
    pub(super) steps: usize,
    index: HashMap<String, usize>,
    pub(super) keys: Vec<Vec<Static>>,
    cells: Vec<f64>,
}

impl Groups {
    pub(super) fn new(sums: Sums, steps: usize) -> Self {
        Self { sums, steps, index: HashMap::new(), keys: Vec::new(), cells: Vec::new() }
    }

    /// The number of a group.
    pub(super) fn number(&mut self, key: Vec<Static>) -> usize {
        let text = format!("{key:?}");
        let next = self.keys.len();
        let number = *self.index.entry(text).or_insert(next);
        if number == next {
            self.keys.push(key);
            self.cells.resize(self.keys.len() * self.row(), 0.0);
        }
        number
    }

    fn row(&self) -> usize {
        self.steps * self.sums.width()
    }

    /// Bytes that a group takes.
    pub(super) fn group_bytes(&self) -> usize {
        self.row() * 8 + 256
    }

    pub(super) fn cell(&self, group: usize, step: usize) -> &[f64] {
        let width = self.sums.width();
        let start = group * self.row() + step * width;
        &self.cells[start..start + width]
    }

    #[inline]
    pub(super) fn cell_mut(&mut self, group: usize, step: usize) -> &mut [f64] {
        let width = self.sums.width();
        let start = group * self.row() + step * width;
        &mut self.cells[start..start + width]
    }

    /// Adds up with the same of other spans.
    pub(super) fn join(&mut self, other: &Self) {
        for (at, key) in other.keys.iter().enumerate() {
            let group = self.number(key.clone());
            for step in 0..self.steps {
                let (sums, cell) = (self.sums, other.cell(at, step));
                sums.join(self.cell_mut(group, step), cell);
            }
        }
    }
}

/// The value below which a part of a histogram lies; between the bounds of a bucket it grows
/// exponentially. NaN of nothing.
pub(super) fn quantile(buckets: &[f64], part: f64) -> f64 {
    let total: f64 = buckets.iter().sum();
    if total == 0.0 {
        return f64::NAN;
    }
    let wanted = part * total;
    let mut below = 0.0;
    for (at, &count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        if below + count >= wanted {
            let share = ((wanted - below) / count).clamp(0.0, 1.0);
            return ((at as f64 - 1.0) + share).exp2();
        }
        below += count;
    }
    let last = buckets.iter().rposition(|&count| count > 0.0).unwrap_or(0);
    (last as f64).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_end_at_powers_of_two() {
        let mut cell = [0.0; BUCKETS];
        for value in [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 9.0, f64::NAN] {
            Sums::Histogram.add(&mut cell, value);
        }
        assert_eq!(cell[..6], [0.0, 1.0, 2.0, 2.0, 1.0, 0.0]);
    }

    #[test]
    fn quantiles_grow_exponentially_in_a_bucket() {
        let mut buckets = [0.0; BUCKETS];
        buckets[10] = 4.0;
        assert_eq!(quantile(&buckets, 1.0), 1024.0);
        assert_eq!(quantile(&buckets, 0.5), 2f64.powf(9.5));
        assert_eq!(quantile(&buckets, 0.0), 512.0);
        assert!(quantile(&[0.0; BUCKETS], 0.5).is_nan());
    }
}
