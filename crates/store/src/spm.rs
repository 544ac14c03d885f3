//! Rate, errors and durations of services and their operations, over time.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::status_code;

use crate::columns::{Table, name};
use crate::piece::{Damaged, Piece};
use crate::scan::{Scan, duration, start};
use crate::search::View;
use crate::types::SpanFilter;

/// Steps between two powers of two of a duration: a bucket is at most a 32nd as wide as it is far.
const BUCKETS_OF_POWER: u32 = 32;
const BITS: u32 = BUCKETS_OF_POWER.trailing_zeros();

/// Steps of series that are held at once: some hundred megabytes.
const CELLS_MAX: usize = 1_000_000;

/// Which spans, and how they are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedRequest {
    /// Services; each is a series, or several by operation.
    pub services: Vec<String>,
    /// Numbers of [`model::kind`]; all when empty.
    pub kinds: Vec<i32>,
    /// Start of the first step.
    pub start_unix_nano: u64,
    /// Length of a step; not 0.
    pub step_nano: u64,
    /// How many steps.
    pub steps: usize,
    /// A series for every operation.
    pub by_operation: bool,
    /// How many series at the most; those with most spans stay.
    pub series_max: usize,
}

/// Durations, counted in buckets whose width grows with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    /// Number of the bucket and spans in it, ascending.
    buckets: Vec<(u16, u64)>,
}

impl Durations {
    /// Counts a duration.
    pub fn add(&mut self, nanos: u64) {
        self.add_to(bucket(nanos), 1);
    }

    fn add_to(&mut self, bucket: u16, count: u64) {
        match self.buckets.binary_search_by_key(&bucket, |&(bucket, _)| bucket) {
            Ok(at) => self.buckets[at].1 += count,
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }

    /// Counts all of another.
    pub fn join(&mut self, other: &Self) {
        other.buckets.iter().for_each(|&(bucket, count)| self.add_to(bucket, count));
    }

    /// Takes off all of another that was counted before.
    pub fn part(&mut self, other: &Self) {
        for &(bucket, count) in &other.buckets {
            if let Ok(at) = self.buckets.binary_search_by_key(&bucket, |&(bucket, _)| bucket) {
                self.buckets[at].1 = self.buckets[at].1.saturating_sub(count);
            }
        }
        self.buckets.retain(|(_, count)| *count > 0);
    }

    /// The duration that a share of the spans, from 0 to 1, does not exceed, in nanoseconds;
    /// `None` of no spans.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.buckets.iter().map(|(_, count)| count).sum();
        let rank = share.clamp(0.0, 1.0) * total as f64;
        let mut below = 0;
        for &(bucket, count) in &self.buckets {
            if (below + count) as f64 >= rank {
                let (low, high) = bounds(bucket);
                let inside = ((rank - below as f64) / count as f64).clamp(0.0, 1.0);
                return Some(low as f64 + (high - low) as f64 * inside);
            }
            below += count;
        }
        None
    }
}

fn bucket(nanos: u64) -> u16 {
    if nanos < u64::from(BUCKETS_OF_POWER) {
        return nanos as u16;
    }
    let power = nanos.ilog2() - BITS;
    let inside = (nanos >> power) as u32 - BUCKETS_OF_POWER;
    ((power + 1) * BUCKETS_OF_POWER + inside) as u16
}

/// The least duration of a bucket, and the greatest.
fn bounds(bucket: u16) -> (u64, u64) {
    let bucket = u32::from(bucket);
    if bucket < BUCKETS_OF_POWER {
        return (bucket.into(), bucket.into());
    }
    let power = bucket / BUCKETS_OF_POWER - 1;
    let low = u64::from(bucket % BUCKETS_OF_POWER + BUCKETS_OF_POWER) << power;
    (low, low + ((1 << power) - 1))
}

/// A service, or one of its operations, step by step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedSeries {
    /// The service.
    pub service: String,
    /// The span's name, when told apart.
    pub operation: Option<String>,
    /// Spans that start in the step.
    pub spans: Vec<u64>,
    /// Those with status error.
    pub errors: Vec<u64>,
    /// Their durations.
    pub durations: Vec<Durations>,
}

/// The answer to a [`RedRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedSet {
    /// By service, then by operation.
    pub series: Vec<RedSeries>,
    /// A damaged block was left out, or there were too many operations to be told apart.
    pub partial: bool,
}

/// What one step of one series counts.
#[derive(Default)]
struct Cell {
    spans: u64,
    errors: u64,
    durations: Durations,
}

/// Only steps that have spans are held, so that many operations over many steps cost little.
#[derive(Default)]
struct Counter {
    numbers: HashMap<(String, Option<String>), u32>,
    /// Spans of each series.
    spans: Vec<u64>,
    /// By number of the series and step.
    cells: HashMap<(u32, u32), Cell>,
    gave_up: bool,
}

/// Counts spans.
pub(crate) fn red(view: &mut View, request: &RedRequest) -> RedSet {
    let mut counter = Counter::default();
    for piece in view.pieces.clone() {
        let counted = counter.count_piece(piece.as_ref(), request);
        view.note(counted);
    }
    counter.finish(request, view.is_partial())
}

impl Counter {
    fn number(&mut self, service: &str, operation: Option<&str>) -> u32 {
        let key = (service.to_owned(), operation.map(str::to_owned));
        let next = self.spans.len() as u32;
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.spans.push(0);
        }
        number
    }

    fn add(&mut self, series: u32, step: u32, is_error: bool, nanos: u64) {
        let is_full = self.cells.len() >= CELLS_MAX;
        let cell = match self.cells.entry((series, step)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if is_full => {
                self.gave_up = true;
                return;
            }
            Entry::Vacant(entry) => entry.insert(Cell::default()),
        };
        cell.spans += 1;
        cell.errors += u64::from(is_error);
        cell.durations.add(nanos);
        self.spans[series as usize] += 1;
    }

    fn count_piece(&mut self, piece: &dyn Piece, request: &RedRequest) -> Result<(), Damaged> {
        // `None` behind the end of time.
        let length = request.step_nano.checked_mul(request.steps as u64);
        let filter = SpanFilter {
            // Scanning passes over pieces without the service where only one is asked for.
            service: match &request.services[..] {
                [only] => Some(only.clone()),
                _ => None,
            },
            start_min_unix_nano: Some(request.start_unix_nano),
            start_max_unix_nano: length
                .and_then(|length| request.start_unix_nano.checked_add(length)),
            ..SpanFilter::default()
        };
        let Some(scan) = Scan::new(piece, &filter)? else { return Ok(()) };
        let is_wanted: Vec<bool> = scan
            .scopes()
            .iter()
            .map(|scope| request.services.iter().any(|service| service == scope.service()))
            .collect();
        for (group, rows) in scan.groups()? {
            let matched = scan.rows(group, rows.clone())?;
            if matched.is_empty() {
                continue;
            }
            let columns =
                [name::START, name::DURATION, name::STATUS, name::SCOPE, name::KIND, name::NAME];
            let columns = if request.by_operation { &columns[..] } else { &columns[..5] };
            let read = piece.read(Table::Spans, rows.clone(), columns)?;
            let [Some(starts), Some(lengths), Some(statuses), Some(scopes), Some(kinds), ..] =
                &read[..]
            else {
                continue;
            };
            let names = read.get(5).and_then(Option::as_ref);
            for row in matched {
                let at = row as usize - rows.start;
                let scope = scopes.int32s()[at] as usize;
                let kind = kinds.int32s()[at];
                let is_kind = request.kinds.is_empty() || request.kinds.contains(&kind);
                if !is_wanted[scope] || !is_kind {
                    continue;
                }
                let start = start(scan.traces()?, row, starts.int64s()[at]);
                let step = (start - request.start_unix_nano) / request.step_nano;
                let service = scan.scopes()[scope].service();
                let series = self.number(service, names.map(|names| names.text_at(at)));
                let is_error = statuses.int32s()[at] == status_code::ERROR;
                self.add(series, step as u32, is_error, duration(lengths.int64s()[at]));
            }
        }
        Ok(())
    }

    fn finish(mut self, request: &RedRequest, partial: bool) -> RedSet {
        let mut keys: Vec<((String, Option<String>), u32)> = self.numbers.drain().collect();
        keys.sort_by(|(a, a_number), (b, b_number)| {
            let spans = |number: &u32| self.spans[*number as usize];
            spans(b_number).cmp(&spans(a_number)).then_with(|| a.cmp(b))
        });
        keys.truncate(request.series_max);
        keys.sort();
        let mut places: Vec<Option<usize>> = vec![None; self.spans.len()];
        let mut series: Vec<RedSeries> = Vec::with_capacity(keys.len());
        for ((service, operation), number) in keys {
            places[number as usize] = Some(series.len());
            series.push(RedSeries {
                service,
                operation,
                spans: vec![0; request.steps],
                errors: vec![0; request.steps],
                durations: vec![Durations::default(); request.steps],
            });
        }
        for ((number, step), cell) in self.cells {
            if let Some(place) = places[number as usize] {
                let (series, step) = (&mut series[place], step as usize);
                series.spans[step] = cell.spans;
                series.errors[step] = cell.errors;
                series.durations[step] = cell.durations;
            }
        }
        RedSet { series, partial: partial || self.gave_up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_its_bucket() {
        let mut last = 0;
        for nanos in (0..70).chain([1_000, 999_999, 1 << 40, u64::MAX / 2, u64::MAX]) {
            let (low, high) = bounds(bucket(nanos));
            assert!((low..=high).contains(&nanos), "{nanos} is not in {low}..={high}");
            assert!((high - low) as f64 <= nanos as f64 / 32.0, "{nanos}: {low}..={high}");
            assert!(bucket(nanos) >= last);
            last = bucket(nanos);
        }
    }

    #[test]
    fn quantiles() {
        let mut durations = Durations::default();
        assert_eq!(durations.quantile(0.5), None);
        (1..=100).for_each(|ms| durations.add(ms * 1_000_000));
        for (share, ms) in [(0.0, 1.0), (0.5, 50.0), (0.95, 95.0), (1.0, 100.0)] {
            let found = durations.quantile(share).unwrap() / 1e6;
            assert!((found - ms).abs() <= ms / 25.0, "{share}: {found}, not {ms}");
        }
        let mut twice = durations.clone();
        twice.join(&durations);
        assert_eq!(twice.quantile(0.5), durations.quantile(0.5));
        twice.part(&durations);
        assert_eq!(twice, durations);
        twice.part(&durations);
        assert_eq!(twice, Durations::default());
    }
}
