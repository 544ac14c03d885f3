//! A bound on the bytes of all requests in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Default of [`ByteBudget`]: 256 MiB, two requests of the largest size or 700 of the usual one.
pub const IN_FLIGHT_BYTES_MAX_DEFAULT: usize = 256 << 20;

/// The bytes that request bodies and the batches decoded from them may take together, from the
/// first byte read until the consumer has answered. Counts what is allocated, not what clients announce, so that a client that announces
/// much and sends little blocks nobody. Clones share the same budget: give one to every receiver.
///
/// The index of a batch is about as large as its body, or twenty times that when a client sends
/// elements without content.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bytes_max: usize,
    used: AtomicUsize,
}

/// The budget is spent.
#[derive(Debug)]
pub(crate) struct Spent;

impl ByteBudget {
    /// A budget of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { shared: Arc::new(Shared { bytes_max, used: AtomicUsize::new(0) }) }
    }

    /// The bound, in bytes.
    pub fn bytes_max(&self) -> usize {
        self.shared.bytes_max
    }

    /// Bytes in use now.
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed)
    }

    pub(crate) fn available(&self) -> usize {
        self.bytes_max().saturating_sub(self.used())
    }

    pub(crate) fn reservation(&self) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }
}

impl Default for ByteBudget {
    fn default() -> Self {
        Self::new(IN_FLIGHT_BYTES_MAX_DEFAULT)
    }
}

/// One request's part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: ByteBudget,
    bytes: usize,
}

impl Reservation {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn budget(&self) -> &ByteBudget {
        &self.budget
    }

    /// Makes the part so large. On failure it stays as it was.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), Spent> {
        let shared = &self.budget.shared;
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            shared
                .used
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                    used.checked_add(more).filter(|&sum| sum <= shared.bytes_max)
                })
                .map_err(|_| Spent)?;
            self.bytes = bytes;
        } else {
            self.shrink(bytes);
        }
        Ok(())
    }

    /// Gives back all but so many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.budget.shared.used.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.shared.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_at_its_edge_and_gives_back() {
        let budget = ByteBudget::new(100);
        let mut first = budget.reservation();
        let mut second = budget.reservation();
        assert!(first.resize(60).is_ok());
        assert!(second.resize(41).is_err());
        assert_eq!(budget.used(), 60);
        assert!(second.resize(40).is_ok());
        assert!(first.resize(61).is_err());
        assert!(first.resize(10).is_ok());
        assert_eq!(budget.available(), 50);
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }
}
