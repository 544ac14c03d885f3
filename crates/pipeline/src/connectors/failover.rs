//! The connector `failover`: to the first level of pipelines that takes the data.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::consumer::{Consumer, Refusal};
use crate::data::Request;

/// The connector. A level that refused is passed over until it is tried again.
pub struct Failover {
    levels: Vec<Arc<dyn Consumer>>,
    retry_interval: Duration,
    /// When a level that refused is tried again.
    rests_until: Mutex<Vec<Option<Instant>>>,
}

impl Failover {
    /// With levels, the best first.
    pub fn new(levels: Vec<Arc<dyn Consumer>>, retry_interval: Duration) -> Self {
        let rests_until = Mutex::new(vec![None; levels.len()]);
        Self { levels, retry_interval, rests_until }
    }

    fn is_resting(&self, level: usize) -> bool {
        let mut rests = self.rests_until.lock();
        match rests[level] {
            Some(until) if Instant::now() < until => true,
            _ => {
                rests[level] = None;
                false
            }
        }
    }

    fn rest(&self, level: usize, refusal: &Refusal) {
        tracing::warn!(level = level + 1, %refusal, "failover passes over a level");
        self.rests_until.lock()[level] = Some(Instant::now() + self.retry_interval);
    }
}

#[async_trait]
impl Consumer for Failover {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let mut refused = None;
        let mut passed_over = Vec::new();
        for (level, to) in self.levels.iter().enumerate() {
            if self.is_resting(level) {
                passed_over.push(to);
                continue;
            }
            match to.consume(request.clone()).await {
                Ok(()) => return Ok(()),
                Err(refusal) => {
                    // Bad data is no fault of the level, which would rest for minutes.
                    if !matches!(refusal, Refusal::Invalid { .. }) {
                        self.rest(level, &refusal);
                    }
                    refused = Some(refusal);
                }
            }
        }
        // Rather a level that rests than nobody.
        for to in passed_over {
            match to.consume(request.clone()).await {
                Ok(()) => return Ok(()),
                Err(refusal) => refused = Some(refusal),
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use model::SpanBatch;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Level {
        finds_bad: AtomicBool,
        refuses: AtomicBool,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl Consumer for Level {
        async fn consume(&self, _: Request) -> Result<(), Refusal> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.finds_bad.load(Ordering::Relaxed) {
                return Err(Refusal::Invalid { reason: "bad".to_owned() });
            }
            if self.refuses.load(Ordering::Relaxed) {
                return Err(Refusal::Internal { reason: "down".to_owned() });
            }
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_best_level_that_takes_data_gets_it() {
        let levels: Vec<Arc<Level>> = (0..3).map(|_| Arc::default()).collect();
        let to = levels.iter().map(|level| level.clone() as Arc<dyn Consumer>).collect();
        let failover = Failover::new(to, Duration::from_secs(60));
        let send = || failover.consume(Request::traces(SpanBatch::default()));
        let asked = || {
            let asked = levels.iter().map(|level| level.asked.swap(0, Ordering::Relaxed));
            asked.collect::<Vec<_>>()
        };
        let refuse =
            |level: usize, refuses| levels[level].refuses.store(refuses, Ordering::Relaxed);

        assert_eq!((send().await, asked()), (Ok(()), vec![1, 0, 0]));
        refuse(0, true);
        assert_eq!((send().await, asked()), (Ok(()), vec![1, 1, 0]));
        assert_eq!((send().await, asked()), (Ok(()), vec![0, 1, 0]), "the first rests");
        refuse(0, false);
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!((send().await, asked()), (Ok(()), vec![1, 0, 0]), "and is tried again");
        (0..3).for_each(|level| refuse(level, true));
        assert!(send().await.is_err());
        assert_eq!(asked(), [1, 1, 1]);
        refuse(0, false);
        assert_eq!((send().await, asked()), (Ok(()), vec![1, 0, 0]), "rather than nobody");
        tokio::time::sleep(Duration::from_secs(61)).await;
        levels[0].finds_bad.store(true, Ordering::Relaxed);
        refuse(1, false);
        assert_eq!((send().await, asked()), (Ok(()), vec![1, 1, 0]));
        levels[0].finds_bad.store(false, Ordering::Relaxed);
        assert_eq!((send().await, asked()), (Ok(()), vec![1, 0, 0]), "bad data is not its fault");
    }
}
