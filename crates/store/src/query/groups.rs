//! What a metrics query adds up, by group and interval of time.

use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use hashbrown::{HashMap, HashTable};
use traceql::{MetricsFunction, OverTime, Static};

use super::budget::{Budget, Share};
use super::cells::Cells;

/// Bounds of a histogram are powers of two: values up to 2^63.
pub(super) const BUCKETS: usize = 64;

/// Buckets of a histogram come and go by so many.
const BUCKETS_STEP: usize = 4;

/// What a group takes in memory beside its numbers and its key, about.
const GROUP_BYTES: usize = 128;

/// What a value takes in memory.
pub(super) fn value_bytes(value: &Static) -> usize {
    let text = if let Static::String(text) = value { text.len() } else { 0 };
    size_of::<Static>() + text
}

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
}

/// Combinations of values, numbered in order of appearance. Numbers that are none are equal.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    table: HashTable<u32>,
    pub(super) keys: Vec<Vec<Static>>,
    hasher: foldhash::fast::RandomState,
}

impl Distinct {
    /// The number of a combination. The values come as often as they are asked for.
    pub(super) fn number<'v>(&mut self, key: impl Iterator<Item = &'v Static> + Clone) -> usize {
        let Self { table, keys, hasher } = self;
        let hash_of = |key: &mut dyn Iterator<Item = &Static>| {
            let mut state = hasher.build_hasher();
            key.for_each(|value| hash(value, &mut state));
            state.finish()
        };
        let hash = hash_of(&mut key.clone());
        let is_key = |&at: &u32| {
            let known = &keys[at as usize];
            known.len() == key.clone().count()
                && known.iter().zip(key.clone()).all(|(one, other)| same(one, other))
        };
        if let Some(&number) = table.find(hash, is_key) {
            return number as usize;
        }
        let number = keys.len();
        keys.push(key.cloned().collect());
        table.insert_unique(hash, number as u32, |&at| hash_of(&mut keys[at as usize].iter()));
        number
    }

    /// Whether a single value has a number.
    pub(super) fn knows(&self, value: &Static) -> bool {
        let mut state = self.hasher.build_hasher();
        hash(value, &mut state);
        let is_value = |&at: &u32| match &self.keys[at as usize][..] {
            [known] => same(known, value),
            _ => false,
        };
        self.table.find(state.finish(), is_value).is_some()
    }

    /// The number of a single value.
    pub(super) fn number_of(&mut self, value: &Static) -> usize {
        self.number(std::iter::once(value))
    }

    /// The single values by their numbers.
    pub(super) fn into_values(self) -> Vec<Static> {
        self.keys.into_iter().filter_map(|mut key| key.pop()).collect()
    }
}

fn hash(value: &Static, state: &mut impl Hasher) {
    std::mem::discriminant(value).hash(state);
    match value {
        Static::Nil => {}
        Static::String(text) => text.hash(state),
        Static::Int(number) | Static::Duration(number) => number.hash(state),
        Static::Float(number) if number.is_nan() => {}
        Static::Float(number) => number.to_bits().hash(state),
        Static::Bool(truth) => truth.hash(state),
        Static::Status(status) => status.hash(state),
        Static::Kind(kind) => kind.hash(state),
    }
}

fn same(one: &Static, other: &Static) -> bool {
    match (one, other) {
        (Static::Float(one), Static::Float(other)) => {
            one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan())
        }
        _ => one == other,
    }
}

/// The bucket of a histogram that a whole number falls into: bucket `n` ends at 2^n. Less than two
/// has none, as in Tempo (`Log2Bucketize`).
#[inline]
pub(super) fn bucket(value: i64) -> Option<usize> {
    (value >= 2).then(|| BUCKETS - (value - 1).leading_zeros() as usize)
}

/// The same of any number, by its whole part.
#[inline]
pub(super) fn bucket_of_float(value: f64) -> Option<usize> {
    // What is beyond goes to the ends, what is no number to 0.
    bucket(value as i64)
}

/// How many buckets, from the first, hold all that these whole numbers fall into.
#[inline]
pub(super) fn buckets_of(values: impl Iterator<Item = i64>) -> usize {
    // The bits that any has: the greatest has as many, and is not told from the next power of two.
    let bits = values.fold(0, |bits, value| bits | value);
    (BUCKETS - bits.leading_zeros() as usize + 1).min(BUCKETS)
}

/// Sums by group; a group is told by its values.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) sums: Sums,
    pub(super) steps: usize,
    groups: Distinct,
    /// Spans by group, interval and bucket, as narrow as they mostly are.
    counts: Cells<u32>,
    /// How often a count began again at 0.
    carried: HashMap<usize, u64>,
    /// The buckets that there are: one of plain counts, as many as are needed of histograms.
    buckets: Range<usize>,
    /// By group and interval: sum, least or greatest value; of [`Sums::Value`] alone.
    values: Cells<f64>,
    /// What the groups' keys take.
    key_bytes: usize,
    share: Share,
    /// There is no more room; what was counted since is wrong.
    overflown: bool,
}

impl Groups {
    /// Groups that take what they need from a budget.
    pub(super) fn new(sums: Sums, steps: usize, budget: &Arc<Budget>) -> Self {
        let buckets = if sums == Sums::Histogram { 0..0 } else { 0..1 };
        let (groups, counts, carried, values, key_bytes, overflown) = Default::default();
        let share = budget.share();
        Self { sums, steps, groups, counts, carried, buckets, values, key_bytes, share, overflown }
    }

    /// Whether they would take too many bytes; then what was counted is of no use.
    pub(super) fn overflown(&self) -> bool {
        self.overflown
    }

    /// What they take in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.share.bytes()
    }

    /// What so many groups and buckets take.
    fn needed(&self, groups: usize, buckets: usize) -> usize {
        let values = if matches!(self.sums, Sums::Value(_)) { size_of::<f64>() } else { 0 };
        let cell = buckets * size_of::<u32>() + values;
        let of_group = self.steps.saturating_mul(cell).saturating_add(GROUP_BYTES);
        groups.saturating_mul(of_group).saturating_add(self.key_bytes)
    }

    /// Whether so many groups and buckets fit, else remembers that they do not.
    fn fits(&mut self, groups: usize, buckets: usize) -> bool {
        let bytes = self.needed(groups, buckets);
        self.overflown |= bytes > self.share.bytes() && !self.share.set(bytes);
        !self.overflown
    }

    /// What the groups' keys take in memory, about.
    pub(super) fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    pub(super) fn keys(&self) -> &[Vec<Static>] {
        &self.groups.keys
    }

    /// The number of a group; of any when there are too many.
    pub(super) fn number<'v>(&mut self, key: impl Iterator<Item = &'v Static> + Clone) -> usize {
        if self.overflown {
            return 0;
        }
        let known = self.groups.keys.len();
        let number = self.groups.number(key);
        if number < known {
            return number;
        }
        self.key_bytes += self.groups.keys[number].iter().map(value_bytes).sum::<usize>();
        if !self.fits(self.groups.keys.len(), self.buckets.len()) {
            return 0;
        }
        let cells = self.groups.keys.len() * self.steps;
        self.counts.grow(cells * self.buckets.len());
        if matches!(self.sums, Sums::Value(_)) {
            self.values.grow(cells);
        }
        number
    }

    /// Makes room for buckets, unless it is too much.
    #[cold]
    fn need(&mut self, buckets: Range<usize>) {
        let (mut start, mut end) = (buckets.start, buckets.end);
        if self.buckets.start <= start && end <= self.buckets.end {
            return;
        }
        if !self.buckets.is_empty() {
            (start, end) = (start.min(self.buckets.start), end.max(self.buckets.end));
        }
        let start = start / BUCKETS_STEP * BUCKETS_STEP;
        let wider = start..end.next_multiple_of(BUCKETS_STEP).min(BUCKETS);
        if !self.fits(self.keys().len(), wider.len()) {
            return;
        }
        let mut counts = Cells::default();
        if !self.buckets.is_empty() {
            let (from, width) = (self.buckets.start - wider.start, self.buckets.len());
            let moved = |at: usize| at / width * wider.len() + from + at % width;
            let held = self.counts.drain().enumerate().filter(|(_, count)| *count > 0);
            for (at, count) in held {
                counts.grow(moved(at) + 1);
                if let Some(place) = counts.get_mut(moved(at)) {
                    *place = count;
                }
            }
            self.carried = self.carried.drain().map(|(at, carried)| (moved(at), carried)).collect();
        }
        counts.grow(self.keys().len() * self.steps * wider.len());
        (self.counts, self.buckets) = (counts, wider);
    }

    /// Counts spans in a bucket.
    #[inline]
    pub(super) fn count(&mut self, group: usize, step: usize, bucket: usize, spans: u32) {
        if !self.buckets.contains(&bucket) {
            self.need(bucket..bucket + 1);
            if self.overflown {
                return;
            }
        }
        let cell = (group * self.steps + step) * self.buckets.len();
        self.count_at(cell + bucket - self.buckets.start, spans);
    }

    #[inline]
    fn count_at(&mut self, at: usize, spans: u32) {
        // There is none when they are too many.
        if let Some(count) = self.counts.get_mut(at) {
            let (sum, over) = count.overflowing_add(spans);
            *count = sum;
            if over {
                *self.carried.entry(at).or_default() += 1;
            }
        }
    }

    fn counted_at(&self, at: usize) -> u64 {
        let carried = if self.carried.is_empty() { None } else { self.carried.get(&at) };
        carried.map_or(0, |carried| carried << 32) + self.counts.get(at).map_or(0, u64::from)
    }

    /// Adds a span's value, which is a number.
    #[inline]
    pub(super) fn value(&mut self, function: OverTime, group: usize, step: usize, value: f64) {
        self.values(function, group, step, value, 1);
    }

    /// Adds what the values of some spans come to.
    #[inline]
    pub(super) fn values(
        &mut self,
        function: OverTime,
        group: usize,
        step: usize,
        value: f64,
        spans: u32,
    ) {
        let at = group * self.steps + step;
        self.join_value(function, at, value);
        self.count_at(at, spans);
    }

    fn join_value(&mut self, function: OverTime, at: usize, value: f64) {
        let is_first = self.counts.get(at) == Some(0) && !self.carried.contains_key(&at);
        let Some(known) = self.values.get_mut(at) else { return };
        *known = match function {
            _ if is_first => value,
            OverTime::Min => known.min(value),
            OverTime::Max => known.max(value),
            OverTime::Avg | OverTime::Sum => *known + value,
        };
    }

    /// The spans counted of a group in an interval, by bucket.
    pub(super) fn counts(&self, group: usize, step: usize) -> impl Iterator<Item = u64> + Clone {
        let width = self.buckets.len();
        let cell = (group * self.steps + step) * width;
        (cell..cell + width).map(|at| self.counted_at(at))
    }

    /// The spans counted of a group in an interval where there are no buckets.
    pub(super) fn spans(&self, group: usize, step: usize) -> u64 {
        self.counts(group, step).next().unwrap_or(0)
    }

    /// What the values of a group's spans in an interval come to.
    pub(super) fn summed(&self, group: usize, step: usize) -> f64 {
        self.values.get(group * self.steps + step).unwrap_or(f64::NAN)
    }

    pub(super) fn buckets(&self) -> Range<usize> {
        self.buckets.clone()
    }

    /// Adds up with the same of other spans, and tells the numbers that their groups have here.
    /// What these had room for, both have.
    pub(super) fn join(&mut self, mut other: Self) -> Vec<usize> {
        let none = self.share.beside();
        self.share.absorb(std::mem::replace(&mut other.share, none));
        self.overflown |= other.overflown;
        let numbers = if other.buckets.is_empty() { Vec::new() } else { self.add(&other) };
        let bytes = self.needed(self.keys().len(), self.buckets.len());
        self.overflown |= !self.share.set(bytes);
        numbers
    }

    fn add(&mut self, other: &Self) -> Vec<usize> {
        let mut numbers = Vec::with_capacity(other.keys().len());
        self.need(other.buckets());
        let width = other.buckets.len();
        for (at, key) in other.keys().iter().enumerate() {
            let group = self.number(key.iter());
            if self.overflown {
                return numbers;
            }
            numbers.push(group);
            for step in 0..self.steps {
                let (from, to) = (at * self.steps + step, group * self.steps + step);
                if let Sums::Value(function) = self.sums
                    && other.counted_at(from) > 0
                    && let Some(value) = other.values.get(from)
                {
                    self.join_value(function, to, value);
                }
                let to = to * self.buckets.len() + (other.buckets.start - self.buckets.start);
                for bucket in 0..width {
                    let from = from * width + bucket;
                    self.count_at(to + bucket, other.counts.get(from).unwrap_or(0));
                    if let Some(carried) = other.carried.get(&from) {
                        *self.carried.entry(to + bucket).or_default() += carried;
                    }
                }
            }
        }
        numbers
    }
}

/// The value below which a part of a histogram lies whose first bucket is this one; between the
/// bounds of a bucket it grows exponentially. NaN of nothing.
pub(super) fn quantile(first: usize, buckets: impl Iterator<Item = u64> + Clone, part: f64) -> f64 {
    let total: u64 = buckets.clone().sum();
    if total == 0 {
        return f64::NAN;
    }
    let wanted = part * total as f64;
    let (mut below, mut last) = (0, 0);
    for (at, count) in buckets.enumerate().filter(|(_, count)| *count > 0) {
        if (below + count) as f64 >= wanted {
            let share = ((wanted - below as f64) / count as f64).clamp(0.0, 1.0);
            return (((first + at) as f64 - 1.0) + share).exp2();
        }
        below += count;
        last = at;
    }
    ((first + last) as f64).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_end_at_powers_of_two() {
        for (value, expected) in [
            (i64::MIN, None),
            (0, None),
            (1, None),
            (2, Some(1)),
            (3, Some(2)),
            (4, Some(2)),
            (5, Some(3)),
            (8, Some(3)),
            (9, Some(4)),
            (i64::MAX, Some(63)),
        ] {
            assert_eq!(bucket(value), expected, "{value}");
        }
        for (value, expected) in [(f64::NAN, None), (2.9, Some(1)), (f64::INFINITY, Some(63))] {
            assert_eq!(bucket_of_float(value), expected, "{value}");
        }
    }

    #[test]
    fn buckets_of_values_hold_them_all() {
        for values in [&[][..], &[0], &[-5, 1], &[2], &[3, 4], &[8, 9], &[1 << 40, 7], &[i64::MAX]]
        {
            let width = buckets_of(values.iter().copied());
            let last = values.iter().filter_map(|&value| bucket(value)).max().unwrap_or(0);
            assert!(last < width && width <= BUCKETS, "{values:?}: {width}");
            assert!(values.iter().any(|&value| value < 0) || width <= last + 2, "{values:?}");
        }
    }

    #[test]
    fn quantiles_grow_exponentially_in_a_bucket() {
        let of = |first, buckets: &[u64], part| quantile(first, buckets.iter().copied(), part);
        assert_eq!(of(10, &[4, 0], 1.0), 1024.0);
        assert_eq!(of(8, &[0, 0, 4, 0], 0.5), 2f64.powf(9.5));
        assert_eq!(of(0, &[0, 0, 0, 4], 0.0), 4.0);
        assert!(of(0, &[0; BUCKETS], 0.5).is_nan());
        assert!(of(0, &[], 0.5).is_nan());
    }

    fn text(text: &str) -> [Static; 1] {
        [Static::String(text.to_owned())]
    }

    /// What is counted of a group in an interval, by bucket.
    fn held(groups: &Groups, group: usize, step: usize) -> Vec<(usize, u64)> {
        let all = groups.buckets().zip(groups.counts(group, step));
        all.filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn histograms_grow_at_both_ends() {
        let mut groups = Groups::new(Sums::Histogram, 2, &Budget::of(1 << 20));
        let one = groups.number(text("one").iter());
        groups.count(one, 1, 20, 5);
        groups.count(one, 0, 9, 1);
        let mut other = Groups::new(Sums::Histogram, 2, &Budget::of(1 << 20));
        let both = [other.number(text("two").iter()), other.number(text("one").iter())];
        both.into_iter().for_each(|group| other.count(group, 1, 63, 2));
        groups.join(other);
        assert_eq!(groups.buckets(), 8..64);
        let all = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(group, step)| held(&groups, group, step));
        assert_eq!(all, [vec![(9, 1)], vec![(20, 5), (63, 2)], vec![], vec![(63, 2)]]);
    }

    #[test]
    fn counts_beyond_32_bits_are_carried() {
        let mut groups = Groups::new(Sums::Histogram, 3, &Budget::of(1 << 20));
        let mut other = Groups::new(Sums::Histogram, 3, &Budget::of(1 << 20));
        for groups in [&mut groups, &mut other] {
            let group = groups.number(text("one").iter());
            groups.count(group, 1, 20, u32::MAX);
            groups.count(group, 1, 20, 3);
            groups.count(group, 2, 40, 1);
        }
        groups.join(other);
        assert_eq!(held(&groups, 0, 1), [(20, 2 * (u64::from(u32::MAX) + 3))]);
        assert_eq!(held(&groups, 0, 2), [(40, 2)]);
    }

    #[test]
    fn values_of_several_threads_come_together() {
        for (function, one, two) in [
            (OverTime::Min, 3.0, -2.0),
            (OverTime::Max, 7.0, 1.0),
            (OverTime::Sum, 13.0, -1.0),
            (OverTime::Avg, 13.0, -1.0),
        ] {
            let mut groups = Groups::new(Sums::Value(function), 3, &Budget::of(1 << 20));
            let mut other = Groups::new(Sums::Value(function), 3, &Budget::of(1 << 20));
            let mine = [("one", 3.0), ("two", 1.0), ("one", 3.0)];
            for (groups, values) in
                [(&mut groups, &mine[..]), (&mut other, &[("two", -2.0), ("one", 7.0)])]
            {
                for (name, value) in values {
                    let group = groups.number(text(name).iter());
                    groups.value(function, group, 2, *value);
                }
            }
            groups.join(other);
            assert_eq!([groups.summed(0, 2), groups.summed(1, 2)], [one, two], "{function:?}");
            assert_eq!([groups.spans(0, 2), groups.spans(1, 2), groups.spans(0, 1)], [3, 2, 0]);
        }
    }

    #[test]
    fn groups_and_buckets_have_a_bound() {
        let mut groups = Groups::new(Sums::Histogram, 100, &Budget::of(64 * 1024));
        for number in 0..10_000 {
            let group = groups.number([Static::Int(number)].iter());
            groups.count(group, 99, 20, 1);
        }
        assert!(groups.overflown() && groups.counts.len() * 4 <= 64 * 1024);
        let mut groups = Groups::new(Sums::Histogram, 100, &Budget::of(64 * 1024));
        for number in 0..20 {
            assert_eq!(groups.number([Static::Int(number as i64)].iter()), number);
        }
        groups.count(0, 0, 20, 1);
        assert!(!groups.overflown());
        groups.count(0, 0, 63, 1);
        assert!(groups.overflown() && groups.counts.len() * 4 <= 64 * 1024);
    }

    #[test]
    fn texts_of_keys_count() {
        let mut groups = Groups::new(Sums::Count, 1, &Budget::of(64 * 1024));
        for at in 0..7 {
            groups.number(text(&format!("{at}{}", "x".repeat(8 * 1024))).iter());
            assert!(!groups.overflown() && groups.bytes() > at * 8 * 1024);
        }
        groups.number(text(&"y".repeat(8 * 1024)).iter());
        assert!(groups.overflown());
    }

    #[test]
    fn groups_of_several_threads_have_one_bound() {
        let budget = Budget::of(64 * 1024);
        let mut all: Vec<Groups> =
            (0..4).map(|_| Groups::new(Sums::Count, 1_000, &budget)).collect();
        // Four of four kilobytes each; alone, each would have room for 15.
        for groups in &mut all[..3] {
            for at in 0..4 {
                groups.number([Static::Int(at)].iter());
            }
            assert!(!groups.overflown());
        }
        for at in 0..4 {
            all[3].number([Static::Int(at)].iter());
        }
        assert!(all[3].overflown());
        // What another had is there again.
        all.remove(0);
        all[0].number([Static::Int(4)].iter());
        assert!(!all[0].overflown());
    }

    #[test]
    fn equal_texts_of_other_types_are_other_groups() {
        let mut distinct = Distinct::default();
        let values = [
            Static::Nil,
            Static::Int(1),
            Static::Float(1.0),
            Static::Duration(1),
            Static::String("1".to_owned()),
            Static::Float(f64::NAN),
        ];
        for _ in 0..2 {
            let numbers: Vec<usize> =
                values.iter().map(|value| distinct.number_of(value)).collect();
            assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
        }
        assert_eq!(distinct.number_of(&Static::Float(-f64::NAN)), 5);
        assert!(values.iter().all(|value| distinct.knows(value)));
        assert!(!distinct.knows(&Static::Int(2)) && !distinct.knows(&Static::Bool(true)));
        assert_eq!(distinct.number([&values[0], &values[1]].into_iter()), 6);
    }
}
