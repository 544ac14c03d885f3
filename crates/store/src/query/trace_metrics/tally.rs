//! Numbers by series and cell, held for those that occur.

use std::hash::Hash;
use std::sync::OnceLock;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::query::Stop;

/// What the series of a query may take in memory.
const SERIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes that a slab's cells take before they are added to the totals.
const LOCAL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a cell takes beside its numbers, about.
const CELL_BYTES: usize = 32;

/// How often a series' name is held: by number, by name, and in the answer.
const NAMES_HELD: usize = 3;

type Fast = foldhash::fast::RandomState;

/// What part of a slab counts: some numbers for each cell of each series.
pub(super) struct Local<K> {
    /// How many numbers a cell has.
    width: usize,
    /// Where the numbers of a series' cell are, in units of the width.
    slots: HashMap<(K, u32), u32, Fast>,
    values: Vec<u64>,
}

impl<K: Copy + Eq + Hash> Local<K> {
    pub(super) fn new(width: usize) -> Self {
        Self { width, slots: HashMap::default(), values: Vec::new() }
    }

    /// The numbers of a cell of a series.
    #[inline]
    pub(super) fn cell(&mut self, series: K, cell: u32) -> &mut [u64] {
        let slot = *self.slots.entry((series, cell)).or_insert_with(|| {
            let next = self.values.len() / self.width;
            self.values.resize(self.values.len() + self.width, 0);
            next as u32
        });
        &mut self.values[slot as usize * self.width..][..self.width]
    }

    /// Whether it is time to add it to the totals.
    pub(super) fn is_full(&self) -> bool {
        self.slots.len() * (self.width * size_of::<u64>() + CELL_BYTES) >= LOCAL_BYTES_MAX
    }
}

/// What a series is called.
pub(super) trait Key: Clone + Ord + Hash {
    /// Bytes of its texts.
    fn text_bytes(&self) -> usize;
}

/// What all slabs counted; a series is told by what it is called, and not by numbers of a slab.
pub(super) struct Tally<K> {
    width: usize,
    series: HashMap<K, u32, Fast>,
    keys: Vec<K>,
    slots: HashMap<(u32, u32), u32, Fast>,
    values: Vec<u64>,
    /// Of the series' names.
    text_bytes: usize,
}

impl<K: Key> Tally<K> {
    fn new(width: usize) -> Self {
        Self {
            width,
            series: HashMap::default(),
            keys: Vec::new(),
            slots: HashMap::default(),
            values: Vec::new(),
            text_bytes: 0,
        }
    }

    /// What it takes in memory, about; `series_bytes` is what a series takes beside its cells and
    /// its name.
    fn bytes(&self, series_bytes: usize) -> usize {
        let cell_bytes = self.width * size_of::<u64>() + CELL_BYTES;
        self.keys.len() * series_bytes
            + self.text_bytes * NAMES_HELD
            + self.slots.len() * cell_bytes
    }

    fn number(&mut self, key: K) -> u32 {
        let next = self.keys.len() as u32;
        if let Some(&number) = self.series.get(&key) {
            return number;
        }
        self.text_bytes += key.text_bytes();
        self.series.insert(key.clone(), next);
        self.keys.push(key);
        next
    }

    fn cell(&mut self, series: u32, cell: u32) -> &mut [u64] {
        let slot = *self.slots.entry((series, cell)).or_insert_with(|| {
            let next = self.values.len() / self.width;
            self.values.resize(self.values.len() + self.width, 0);
            next as u32
        });
        &mut self.values[slot as usize * self.width..][..self.width]
    }

    /// The series by their keys, each with its cells in their order: number of the cell and its
    /// numbers.
    pub(super) fn each(&self, mut look: impl FnMut(&K, &mut dyn Iterator<Item = (u32, &[u64])>)) {
        let mut order: Vec<u32> = (0..self.keys.len() as u32).collect();
        order.sort_unstable_by_key(|&series| &self.keys[series as usize]);
        let mut places = vec![0u32; order.len()];
        for (place, &series) in order.iter().enumerate() {
            places[series as usize] = place as u32;
        }
        let place =
            |(&(series, cell), &slot): (&(u32, u32), &u32)| (places[series as usize], cell, slot);
        let mut cells: Vec<(u32, u32, u32)> = self.slots.iter().map(place).collect();
        cells.sort_unstable();
        for same in cells.chunk_by(|a, b| a.0 == b.0) {
            let key = &self.keys[order[same[0].0 as usize] as usize];
            let values = |slot: u32| &self.values[slot as usize * self.width..][..self.width];
            look(key, &mut same.iter().map(|&(_, cell, slot)| (cell, values(slot))));
        }
    }
}

/// A [`Tally`] that several threads add to, and its bound.
pub(super) struct Totals<K> {
    tally: Mutex<Tally<K>>,
    /// Bytes that a series takes beside its cells and its name.
    series_bytes: usize,
    bytes_max: usize,
    /// Why there will be no answer.
    refusal: OnceLock<String>,
}

impl<K: Key> Totals<K> {
    /// `width` is how many numbers a cell has.
    pub(super) fn new(width: usize, series_bytes: usize) -> Self {
        Self::with_bound(width, series_bytes, SERIES_BYTES_MAX)
    }

    fn with_bound(width: usize, series_bytes: usize, bytes_max: usize) -> Self {
        let tally = Mutex::new(Tally::new(width));
        Self { tally, series_bytes, bytes_max, refusal: OnceLock::new() }
    }

    /// Whether there can still be an answer.
    pub(super) fn check(&self) -> Result<(), Stop> {
        self.refusal.get().map_or(Ok(()), |reason| Err(Stop::Refused(reason.clone())))
    }

    /// Adds what was counted, and empties it. `name` tells what a series is called.
    pub(super) fn add<L: Copy + Eq + Hash>(
        &self,
        local: &mut Local<L>,
        name: impl Fn(L) -> K,
    ) -> Result<(), Stop> {
        let mut tally = self.tally.lock();
        self.check()?;
        let mut numbers: HashMap<L, u32, Fast> = HashMap::default();
        for ((key, cell), slot) in local.slots.drain() {
            let series = *numbers.entry(key).or_insert_with(|| tally.number(name(key)));
            let more = &local.values[slot as usize * local.width..][..local.width];
            let sums = tally.cell(series, cell).iter_mut();
            sums.zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(*more));
            if tally.bytes(self.series_bytes) > self.bytes_max {
                let reason = self.refusal.get_or_init(|| refusal(&tally, self.bytes_max)).clone();
                *tally = Tally::new(tally.width);
                return Err(Stop::Refused(reason));
            }
        }
        local.values.clear();
        Ok(())
    }

    /// What was counted.
    pub(super) fn finish(self) -> Tally<K> {
        self.tally.into_inner()
    }
}

fn refusal<K>(tally: &Tally<K>, bytes_max: usize) -> String {
    let (series, cells) = (tally.keys.len(), tally.slots.len());
    format!(
        "the query has at least {series} series with {cells} values, which take more than {} MiB: \
         ask for fewer services or labels, a shorter time, or a longer step",
        bytes_max >> 20
    )
}

/// Durations among the numbers of a cell: their sum, then how many fell into each bucket.
#[derive(Clone, Copy)]
pub(super) struct Durations<'a> {
    /// Upper bounds of all buckets but the last.
    pub(super) bounds: &'a [u64],
}

impl Durations<'_> {
    /// How many numbers there are.
    pub(super) fn width(self) -> usize {
        self.bounds.len() + 2
    }

    /// Counts a duration.
    #[inline]
    pub(super) fn add(self, numbers: &mut [u64], nanos: u64) {
        numbers[0] = numbers[0].saturating_add(nanos);
        numbers[1 + self.bounds.partition_point(|&bound| bound < nanos)] += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    impl Key for String {
        fn text_bytes(&self) -> usize {
            self.len()
        }
    }

    /// Cells of series that are told by numbers.
    fn counted(series: std::ops::Range<u32>, cells: u32) -> Local<u32> {
        let mut local = Local::new(4);
        for series in series {
            (0..cells).for_each(|cell| local.cell(series, cell)[0] += 1);
        }
        local
    }

    #[test]
    fn what_does_not_fit_ends_all_threads() {
        let totals: Totals<String> = Totals::with_bound(4, 100, 64 * 1024);
        let name = |number: u32| number.to_string();
        assert!(totals.add(&mut counted(0..10, 5), name).is_ok());
        assert!(totals.add(&mut counted(0..10, 5), name).is_ok() && totals.check().is_ok());
        // Some hundred of them fit; the others are not even given a name.
        let named = AtomicUsize::new(0);
        let count = |number: u32| {
            named.fetch_add(1, Ordering::Relaxed);
            number.to_string()
        };
        let refused = totals.add(&mut counted(10..10_000, 1), count);
        assert!(matches!(refused, Err(Stop::Refused(_))), "{refused:?}");
        let before = named.load(Ordering::Relaxed);
        assert!(before < 1_000, "{before}");
        // Nothing is held or counted any more.
        assert!(matches!(totals.check(), Err(Stop::Refused(_))));
        assert!(totals.add(&mut counted(0..1, 1), count).is_err());
        assert_eq!(named.load(Ordering::Relaxed), before);
        assert_eq!(totals.finish().bytes(100), 0);
    }

    #[test]
    fn texts_count() {
        let totals: Totals<String> = Totals::with_bound(4, 100, 256 * 1024);
        let name = |number: u32| format!("{number}{}", "x".repeat(8 * 1024));
        assert!(totals.add(&mut counted(0..10, 1), name).is_ok());
        assert!(totals.add(&mut counted(0..10, 1), name).is_ok());
        assert!(totals.add(&mut counted(10..12, 1), name).is_err());
    }

    #[test]
    fn wide_cells_are_added_sooner() {
        for (width, cells) in [(2, 1 << 17), (64, 1 << 13)] {
            let mut local: Local<u32> = Local::new(width);
            let full = (0..cells).find(|&cell| {
                local.cell(0, cell);
                local.is_full()
            });
            let held = full.map_or(0, |last| (last as usize + 1) * (width * 8 + CELL_BYTES));
            assert!((LOCAL_BYTES_MAX..LOCAL_BYTES_MAX + 1024).contains(&held), "{width}: {held}");
        }
    }
}
