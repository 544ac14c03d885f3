//! When the next request is due, and how to wait for it.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Ends all waiting.
#[derive(Debug, Default)]
pub struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Stops.
    pub fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// True from then on.
    pub fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long; false when stopped before.
    pub fn wait(&self, duration: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let (stopped, _) = self
            .changed
            .wait_timeout_while(stopped, duration, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        !*stopped
    }
}

/// One connection's even share of a rate.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    spans_per_second: f64,
    offset: Duration,
}

impl Pace {
    /// The share of connection `index` of so many; `None` is as fast as possible.
    pub fn new(rate: Option<f64>, batch: usize, index: usize, connections: usize) -> Option<Self> {
        let spans_per_second = rate? / connections as f64;
        // The connections take turns.
        let turn = index as f64 / connections as f64;
        let offset = Duration::try_from_secs_f64(batch as f64 / spans_per_second * turn);
        Some(Self { spans_per_second, offset: offset.unwrap_or(Duration::MAX) })
    }

    /// When to send once so many spans were sent. After a delay it is in the past, so that the
    /// rate holds in the mean.
    pub fn due(&self, started: Instant, sent: u64) -> Option<Instant> {
        let after = Duration::try_from_secs_f64(sent as f64 / self.spans_per_second).ok()?;
        started.checked_add(self.offset)?.checked_add(after)
    }
}

/// Spans of a request, such that every connection sends about once a second even at a low rate.
pub fn batch_for(batch: usize, rate: Option<f64>, connections: usize) -> usize {
    match rate {
        None => batch,
        Some(rate) => ((rate / connections as f64).ceil() as usize).clamp(1, batch.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_a_rate_and_take_turns() {
        let started = Instant::now();
        let due = |index, sent| {
            let pace = Pace::new(Some(1000.0), 100, index, 4).unwrap();
            pace.due(started, sent).unwrap().duration_since(started).as_millis()
        };
        assert_eq!([due(0, 0), due(1, 0), due(2, 0), due(3, 0)], [0, 100, 200, 300]);
        assert_eq!([due(0, 100), due(3, 100), due(0, 1000)], [400, 700, 4000]);
        assert!(Pace::new(None, 100, 0, 4).is_none());
    }

    #[test]
    fn low_rates_make_small_requests() {
        for (rate, batch) in
            [(None, 512), (Some(1e6), 512), (Some(100.0), 25), (Some(1.0), 1), (Some(0.001), 1)]
        {
            assert_eq!(batch_for(512, rate, 4), batch, "{rate:?}");
        }
    }

    #[test]
    fn stopping_ends_waiting() {
        let stop = Stop::default();
        assert!(stop.wait(Duration::ZERO));
        stop.stop();
        assert!(!stop.wait(Duration::MAX));
        assert!(stop.is_stopped());
    }
}
