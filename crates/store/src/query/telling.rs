//! How far a query is, told to whoever watches it: not more often than is of use, and not at all
//! while what was told before has not been taken.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::types::{Progress, Watcher};

/// The most that is told of results before the last, in bytes; of larger ones only how far it is.
pub(crate) const TOLD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Tells at a pace.
pub(crate) struct Teller<T> {
    watcher: Watcher<T>,
    every: Duration,
    next: Mutex<Instant>,
}

impl<T> Teller<T> {
    /// Tells first after `first`, then `every` so often at the most.
    pub(crate) fn new(watcher: Watcher<T>, first: Duration, every: Duration) -> Self {
        Self { watcher, every, next: Mutex::new(Instant::now() + first) }
    }

    /// Whether it is time, and would be heard.
    pub(crate) fn is_due(&self) -> bool {
        Instant::now() >= *self.next.lock() && self.watcher.is_free()
    }

    pub(crate) fn tell(&self, progress: Progress<T>) {
        self.watcher.tell(progress);
        *self.next.lock() = Instant::now() + self.every;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn news_have_their_time_and_wait_for_the_news_before() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let watcher: Watcher<u8> = Arc::new(sender);
        let news = |so_far| Progress { so_far, spans_done: 1, spans_all: 4 };
        assert!(!Teller::new(watcher.clone(), Duration::MAX / 4, Duration::ZERO).is_due());
        let teller = Teller::new(watcher.clone(), Duration::ZERO, Duration::ZERO);
        assert!(teller.is_due());
        teller.tell(news(1));
        assert!(!teller.is_due());
        // Told all the same it is lost, and nobody waits.
        teller.tell(news(2));
        let told = receiver.try_recv().unwrap();
        assert_eq!((told.so_far, told.share()), (1, 0.25));
        assert!(teller.is_due() && receiver.try_recv().is_err());
        let teller = Teller::new(watcher, Duration::ZERO, Duration::MAX / 4);
        teller.tell(news(3));
        receiver.try_recv().unwrap();
        assert!(!teller.is_due());
        drop(receiver);
        assert!(!teller.is_due());
    }
}
