//! What the answer to a query may take in memory while it is counted, by all threads together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that the threads of a query share.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: usize,
    taken: AtomicUsize,
}

impl Budget {
    pub(super) fn of(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, taken: AtomicUsize::new(0) })
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// A part of it, empty yet.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

/// What one thread's state has taken; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Another share of the same budget, empty yet.
    pub(super) fn beside(&self) -> Self {
        self.budget.share()
    }

    /// Takes over what another has.
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Takes or gives back until it has so many bytes; false, and nothing changes, when they are
    /// not there.
    #[must_use]
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        let Budget { bytes_max, taken } = &*self.budget;
        let others = |taken: usize| taken.saturating_sub(self.bytes);
        let fits = |taken: usize| {
            let all = others(taken).checked_add(bytes)?;
            (bytes <= self.bytes || all <= *bytes_max).then_some(all)
        };
        let is_set = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if is_set {
            self.bytes = bytes;
        }
        is_set
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_no_more_than_there_is() {
        let budget = Budget::of(100);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.set(60) && other.set(40));
        assert!(!one.set(61) && !other.set(usize::MAX));
        assert_eq!([one.bytes(), other.bytes()], [60, 40]);
        assert!(one.set(10) && other.set(90) && !one.set(11));
        one.absorb(other);
        assert_eq!(one.bytes(), 100);
        assert!(!budget.share().set(1) && one.set(99) && budget.share().set(1));
    }
}
