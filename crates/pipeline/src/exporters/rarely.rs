//! Log lines that come once a while at most, with the sum of what happened in between.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Between lines, unless asked otherwise.
const PAUSE: Duration = Duration::from_secs(1);

/// One kind of line. A backend that refuses everything would otherwise fill the log.
pub(crate) struct Rarely {
    pause: Duration,
    state: Mutex<(Option<Instant>, Sum)>,
}

/// What happened since the last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sum {
    pub(crate) requests: u64,
    pub(crate) items: u64,
}

impl Default for Rarely {
    fn default() -> Self {
        Self::every(PAUSE)
    }
}

impl Rarely {
    /// Lines with so much time between them.
    pub(crate) fn every(pause: Duration) -> Self {
        Self { pause, state: Mutex::default() }
    }

    /// Adds a request of so many items; gives the sum when it is time for a line.
    pub(crate) fn add(&self, items: u64) -> Option<Sum> {
        let mut state = self.state.lock();
        state.1.requests += 1;
        state.1.items += items;
        if state.0.is_some_and(|last| last.elapsed() < self.pause) {
            return None;
        }
        state.0 = Some(Instant::now());
        Some(std::mem::take(&mut state.1))
    }

    /// What no line has told yet.
    pub(crate) fn rest(&self) -> Option<Sum> {
        let sum = std::mem::take(&mut self.state.lock().1);
        (sum.requests > 0).then_some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_out_of_the_sums() {
        let rarely = Rarely::default();
        let sum = |requests, items| Some(Sum { requests, items });
        assert_eq!(rarely.add(5), sum(1, 5));
        assert_eq!(rarely.add(1), None);
        assert_eq!(rarely.add(2), None);
        tokio::time::advance(PAUSE).await;
        assert_eq!(rarely.add(3), sum(3, 6));
        assert_eq!(rarely.add(4), None);
        assert_eq!(rarely.rest(), sum(1, 4));
        assert_eq!(rarely.rest(), None);
    }
}
