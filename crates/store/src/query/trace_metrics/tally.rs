//! Numbers by series and cell, held for those that occur.

use std::hash::Hash;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::query::Stop;

/// What the series of a query may take in memory.
const SERIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Cells that a slab counts before they are added to the totals: some megabytes.
const LOCAL_CELLS_MAX: usize = 1 << 15;

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
        self.slots.len() >= LOCAL_CELLS_MAX
    }
}

/// What all slabs counted; a series is told by what it is called, and not by numbers of a slab.
pub(super) struct Tally<K> {
    width: usize,
    series: HashMap<K, u32, Fast>,
    keys: Vec<K>,
    slots: HashMap<(u32, u32), u32, Fast>,
    values: Vec<u64>,
}

impl<K: Clone + Ord + Hash> Tally<K> {
    fn number(&mut self, key: K) -> u32 {
        let next = self.keys.len() as u32;
        let number = *self.series.entry(key.clone()).or_insert(next);
        if number == next {
            self.keys.push(key);
        }
        number
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
    /// Bytes that a series takes beside its cells.
    series_bytes: usize,
}

impl<K: Clone + Ord + Hash> Totals<K> {
    /// `width` is how many numbers a cell has.
    pub(super) fn new(width: usize, series_bytes: usize) -> Self {
        let tally = Tally {
            width,
            series: HashMap::default(),
            keys: Vec::new(),
            slots: HashMap::default(),
            values: Vec::new(),
        };
        Self { tally: Mutex::new(tally), series_bytes }
    }

    /// Adds what was counted, and empties it. `name` tells what a series is called.
    pub(super) fn add<L: Copy + Eq + Hash>(
        &self,
        local: &mut Local<L>,
        name: impl Fn(L) -> K,
    ) -> Result<(), Stop> {
        let mut tally = self.tally.lock();
        let mut numbers: HashMap<L, u32, Fast> = HashMap::default();
        for ((key, cell), slot) in local.slots.drain() {
            let series = *numbers.entry(key).or_insert_with(|| tally.number(name(key)));
            let more = &local.values[slot as usize * local.width..][..local.width];
            let sums = tally.cell(series, cell).iter_mut();
            sums.zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(*more));
        }
        local.values.clear();
        let (series, cells) = (tally.keys.len(), tally.slots.len());
        let cell_bytes = tally.width * 8 + 32;
        if series * self.series_bytes + cells * cell_bytes <= SERIES_BYTES_MAX {
            return Ok(());
        }
        Err(Stop::Refused(format!(
            "the query has more than {series} series with {cells} values, which take more than {} \
             MiB: ask for fewer services or labels, a shorter time, or a longer step",
            SERIES_BYTES_MAX >> 20
        )))
    }

    /// What was counted.
    pub(super) fn finish(self) -> Tally<K> {
        self.tally.into_inner()
    }
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
