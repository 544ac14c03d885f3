//! What expressions are worth: series of numbers over the steps of a grid, some of them missing.

use std::collections::BTreeSet;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::error::PromqlError;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// The most bytes that the values of an evaluation may take at a time.
pub(super) const BYTES_MAX: usize = 256 << 20;

/// The longest value that a function may give a label.
pub(super) const LABEL_BYTES_MAX: usize = 64 << 10;

/// What a series takes beside its labels and values, roughly.
const SERIES_BYTES: usize = 128;

/// What a label takes beside its texts, roughly.
const LABEL_BYTES: usize = 64;

/// A value that is not there: a NaN that no arithmetic makes.
pub(super) const ABSENT: f64 = f64::from_bits(0x7ff8_0000_5350_414e);

/// Whether a value is not there. NaN as a result is there.
pub(super) fn is_absent(value: f64) -> bool {
    value.to_bits() == ABSENT.to_bits()
}

/// Instants of one distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// The first, milliseconds since the epoch.
    pub start_ms: i64,
    /// Their distance in milliseconds; at least 1.
    pub step_ms: i64,
    /// How many; at least 1.
    pub count: usize,
}

impl Grid {
    /// One instant.
    pub fn instant(time_ms: i64) -> Self {
        Self { start_ms: time_ms, step_ms: 1, count: 1 }
    }

    /// An instant by its number.
    pub fn time(&self, at: usize) -> i64 {
        self.start_ms.saturating_add(self.step_ms.saturating_mul(at as i64))
    }

    /// All of them.
    pub fn times(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.count).map(|at| self.time(at))
    }

    pub(super) fn last(&self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }
}

/// Labels in order of their names, none of them empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Vec<(Arc<str>, Arc<str>)>);

impl Labels {
    /// A label's value; empty when it has none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| &**known == name).map_or("", |(_, value)| value)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Sets a label, or removes it with an empty value.
    pub fn set(&mut self, name: &str, value: impl Into<Arc<str>>) {
        let value = value.into();
        let place = self.0.binary_search_by(|(known, _)| (**known).cmp(name));
        match (place, value.is_empty()) {
            (Ok(at), false) => self.0[at].1 = value,
            (Ok(at), true) => drop(self.0.remove(at)),
            (Err(at), false) => self.0.insert(at, (name.into(), value)),
            (Err(_), true) => {}
        }
    }

    /// What they take in memory, roughly. Texts that series share count for each of them.
    fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| LABEL_BYTES + name.len() + value.len()).sum()
    }

    pub(super) fn without_name(mut self) -> Self {
        self.set(METRIC_NAME, "");
        self
    }

    /// Those whose name meets a condition.
    pub(super) fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }
}

/// As PromQL writes them: `{a="b", c="d"}`, a metric's name in front.
impl std::fmt::Display for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.get(METRIC_NAME))?;
        f.write_str("{")?;
        for (at, (name, value)) in self.iter().filter(|(name, _)| *name != METRIC_NAME).enumerate()
        {
            write!(f, "{}{name}={value:?}", if at == 0 { "" } else { ", " })?;
        }
        f.write_str("}")
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Labels {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let mut labels = Self::default();
        pairs.into_iter().for_each(|(name, value)| labels.set(name, value));
        labels
    }
}

/// A series: a value or [`ABSENT`] for each step.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) values: Vec<f64>,
}

/// What evaluations may take, and whether they shall end.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    bytes: Arc<AtomicUsize>,
    stop: &'a AtomicBool,
}

impl<'a> Budget<'a> {
    pub(super) fn new(stop: &'a AtomicBool) -> Self {
        Self { bytes: Arc::default(), stop }
    }

    /// An empty vector that counts towards the budget.
    pub(super) fn vector(&self) -> Vector {
        Vector { series: Vec::new(), held: 0, bytes: self.bytes.clone() }
    }

    /// Adds a series to a vector.
    pub(super) fn push(
        &self,
        vector: &mut Vector,
        labels: Labels,
        values: Vec<f64>,
    ) -> Result<(), PromqlError> {
        self.take(vector, &labels, values.len())?;
        vector.series.push(Series { labels, values });
        Ok(())
    }

    /// Counts a series of so many steps, before its values are made.
    pub(super) fn take(
        &self,
        vector: &mut Vector,
        labels: &Labels,
        steps: usize,
    ) -> Result<(), PromqlError> {
        let bytes = SERIES_BYTES + labels.bytes() + steps * size_of::<f64>();
        self.hold(&mut vector.held, bytes)
    }

    /// Counts a label that a series of a vector is given, before it is.
    pub(super) fn take_label(
        &self,
        held: &mut usize,
        name: &str,
        value: &str,
    ) -> Result<(), PromqlError> {
        self.hold(held, LABEL_BYTES + name.len() + value.len())
    }

    /// Fails once the evaluation shall end.
    pub(super) fn go_on(&self) -> Result<(), PromqlError> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(PromqlError::stopped()),
            false => Ok(()),
        }
    }

    fn hold(&self, held: &mut usize, bytes: usize) -> Result<(), PromqlError> {
        self.go_on()?;
        *held += bytes;
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > BYTES_MAX {
            return Err(PromqlError::execution(format!(
                "the query's series take more than {} MiB; ask for fewer labels, a shorter range \
                 or a longer step",
                BYTES_MAX >> 20
            )));
        }
        Ok(())
    }
}

/// Series of an instant vector, over all steps.
#[derive(Debug)]
pub(super) struct Vector {
    pub(super) series: Vec<Series>,
    /// Its bytes of the budget.
    pub(super) held: usize,
    bytes: Arc<AtomicUsize>,
}

impl Drop for Vector {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.held, Ordering::Relaxed);
    }
}

impl Vector {
    /// Takes over the series of another.
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.series.append(&mut other.series);
        self.held += std::mem::take(&mut other.held);
    }

    /// Leaves out series without any value, and joins those that came to have the same labels.
    ///
    /// # Errors
    /// Two of the same labels that both have a value at a step.
    pub(super) fn settle(&mut self) -> Result<(), PromqlError> {
        self.series.retain(|series| series.values.iter().any(|value| !is_absent(*value)));
        let mut known: HashMap<&Labels, usize> = HashMap::with_capacity(self.series.len());
        let mut doubles = Vec::new();
        for (at, series) in self.series.iter().enumerate() {
            match known.entry(&series.labels) {
                Entry::Occupied(first) => doubles.push((*first.get(), at)),
                Entry::Vacant(place) => drop(place.insert(at)),
            }
        }
        if doubles.is_empty() {
            return Ok(());
        }
        for &(first, double) in &doubles {
            let values = std::mem::take(&mut self.series[double].values);
            let target = &mut self.series[first];
            for (value, more) in target.values.iter_mut().zip(values) {
                match (is_absent(*value), is_absent(more)) {
                    (_, true) => {}
                    (true, false) => *value = more,
                    (false, false) => {
                        return Err(PromqlError::execution(format!(
                            "vector cannot contain metrics with the same labelset: {}",
                            target.labels
                        )));
                    }
                }
            }
        }
        let gone: BTreeSet<usize> = doubles.into_iter().map(|(_, double)| double).collect();
        let mut at = 0;
        self.series.retain(|_| {
            at += 1;
            !gone.contains(&(at - 1))
        });
        Ok(())
    }
}
