//! Whose turn it is: as many queries run at once as there are cores, for more would only take
//! memory, and time from those who send. One turn more is for searches, which mostly end in
//! milliseconds, so that they do not wait behind queries that count everything; and for names and
//! values, which somebody waits for who writes a query.
//!
//! A search that turns out to be long leaves that turn to the next one and waits for an ordinary
//! turn where it is: between two parts of its work, or of its answer, with the results that it
//! holds. One that asks for very many spans is long from the beginning, and waits without any.
//!
//! One turn is for queries that count and end as fast as a search does. One that turns out to be long
//! gives up what it has counted, which may be much, and waits for an ordinary turn to begin anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a search may keep the turn that is for searches alone, and a query that counts that of
/// short ones.
const QUICK_TIME: Duration = Duration::from_millis(100);

/// Searches that wait in the middle: each holds a thread, and its results so far. Beyond that a
/// search keeps its turn.
const WAITING_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Turns {
    ordinary: Arc<Semaphore>,
    quick: Arc<Semaphore>,
    short: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    quick_time: Duration,
}

/// A query's turn, which ends when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    /// `None` only while it waits for another.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    /// Of a quick one when it began, and what an ordinary one is to be had from.
    quick: Option<Quick>,
}

#[derive(Debug)]
struct Quick {
    since: Instant,
    time: Duration,
    ordinary: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    is_left: Mutex<bool>,
}

impl Turns {
    pub(super) fn new(queries_max: usize) -> Self {
        Self::with(queries_max, QUICK_TIME, WAITING_MAX)
    }

    fn with(queries_max: usize, quick_time: Duration, waiting_max: usize) -> Self {
        Self {
            ordinary: Arc::new(Semaphore::new(queries_max)),
            quick: Arc::new(Semaphore::new(1)),
            short: Arc::new(Semaphore::new(1)),
            waiting: Arc::new(Semaphore::new(waiting_max)),
            quick_time,
        }
    }

    /// Waits for the turn of a query that may take long.
    pub(super) async fn ordinary(&self) -> Turn {
        Turn { permit: Mutex::new(acquire(&self.ordinary).await), quick: None }
    }

    /// Waits for the turn of a query that counts, and tells when it ends where it is that of short
    /// ones.
    pub(super) async fn measure(&self) -> (Turn, Option<Instant>) {
        tokio::select! {
            biased;
            turn = self.ordinary() => (turn, None),
            permit = acquire(&self.short) => {
                let turn = Turn { permit: Mutex::new(permit), quick: None };
                (turn, Some(Instant::now() + self.quick_time))
            }
        }
    }

    /// Waits for the turn of a search.
    pub(super) async fn search(&self) -> Turn {
        tokio::select! {
            biased;
            turn = self.ordinary() => turn,
            permit = acquire(&self.quick) => Turn {
                permit: Mutex::new(permit),
                quick: Some(Quick {
                    since: Instant::now(),
                    time: self.quick_time,
                    ordinary: self.ordinary.clone(),
                    waiting: self.waiting.clone(),
                    is_left: Mutex::new(false),
                }),
            },
        }
    }
}

/// `None` of a semaphore that was closed, which none of these is.
async fn acquire(semaphore: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    semaphore.clone().acquire_owned().await.ok()
}

impl Turn {
    /// Between two parts of a search's work, on a thread that may block: leaves the turn that is for
    /// searches alone when its time is over, and waits for another.
    pub(super) fn pause(&self, runtime: &tokio::runtime::Handle) {
        let Some(quick) = &self.quick else { return };
        let mut is_left = quick.is_left.lock();
        if *is_left || quick.since.elapsed() < quick.time {
            return;
        }
        let Ok(_waiting) = quick.waiting.clone().try_acquire_owned() else { return };
        *is_left = true;
        let permit = self.permit.lock().take();
        drop(permit);
        *self.permit.lock() = runtime.block_on(acquire(&quick.ordinary));
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What is there at once.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_search_does_not_wait_behind_long_queries() {
        let turns = Turns::with(2, Duration::MAX, 1);
        let mut long = vec![now(turns.ordinary()).unwrap(), now(turns.ordinary()).unwrap()];
        assert!(now(turns.ordinary()).is_none());
        let search = now(turns.search()).unwrap();
        assert!(now(turns.search()).is_none() && now(turns.ordinary()).is_none());
        drop(search);
        let search = now(turns.search()).unwrap();
        // Any turn will do, the ordinary first.
        long.pop();
        let other = now(turns.search()).unwrap();
        assert!(search.quick.is_some() && other.quick.is_none());
        assert!(now(turns.ordinary()).is_none() && now(turns.search()).is_none());
    }

    #[test]
    fn a_long_search_leaves_the_quick_turn_to_the_next() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let turns = Turns::with(1, Duration::ZERO, 1);
        let long = now(turns.ordinary()).unwrap();
        let first = now(turns.search()).unwrap();
        std::thread::scope(|scope| {
            let first = &first;
            let paused = scope.spawn(|| first.pause(runtime.handle()));
            // Its turn is free as soon as it waits.
            let second = runtime.block_on(turns.search());
            assert!(!paused.is_finished() && first.permit.lock().is_none());
            // No more than one waits: the second goes on with the turn it has.
            second.pause(runtime.handle());
            assert!(second.permit.lock().is_some() && now(turns.search()).is_none());
            drop(long);
            paused.join().unwrap();
        });
        assert!(first.permit.lock().is_some() && now(turns.ordinary()).is_none());
        // It has an ordinary one now and keeps it.
        first.pause(runtime.handle());
        assert!(first.permit.lock().is_some());
    }

    #[test]
    fn the_engine_answers_searches_while_long_queries_run() {
        use crate::{ChoiceRequest, Engine, FindRequest, Options, Store};

        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let folder = tempfile::tempdir().unwrap();
        let options = Options { queries_max: 1, ..Options::new(folder.path().join("data")) };
        let engine = Engine::open(options, |_, _| {}).unwrap();
        let long = now(engine.turns.ordinary()).unwrap();
        let request = FindRequest {
            pipeline: traceql::Pipeline { stages: Vec::new() },
            start_unix_nano: None,
            end_unix_nano: None,
            duration_min_nano: None,
            duration_max_nano: None,
            limit: 20,
            spans_per_spanset: 3,
            after: None,
        };
        let many = FindRequest { limit: 5_000, ..request.clone() };
        assert!(runtime.block_on(engine.find(request, None)).unwrap().traces.is_empty());
        // Names and values for those who write a query, narrowed by it or not.
        for pipeline in [None, Some(many.pipeline.clone())] {
            let choices = ChoiceRequest { pipeline, starts: 0..=u64::MAX };
            let names = runtime.block_on(engine.names(choices.clone())).unwrap();
            assert!(names.names.is_empty());
            let field = traceql::Field::Intrinsic(traceql::Intrinsic::Name);
            let values = runtime.block_on(engine.field_values(choices, field, 10)).unwrap();
            assert!(values.values.is_empty());
        }
        // What asks for very many spans waits for its turn from the beginning.
        let mut finding = pin!(engine.find(many, None));
        let mut context = Context::from_waker(Waker::noop());
        assert!(finding.as_mut().poll(&mut context).is_pending());
        let quick = now(engine.turns.search()).expect("the turn of searches is free");
        assert!(quick.quick.is_some() && finding.as_mut().poll(&mut context).is_pending());
        drop(quick);
        drop(long);
        assert!(runtime.block_on(finding).unwrap().traces.is_empty());
    }

    #[test]
    fn the_engine_counts_while_long_queries_run() {
        use traceql::{MetricsQuery, QueryKind};

        use crate::{Engine, MeasureRequest, Options, Store};

        let QueryKind::Metrics(MetricsQuery::Leaf(leaf)) =
            traceql::parse("{} | rate()").unwrap().kind
        else {
            panic!("no function over spans");
        };
        let request = MeasureRequest {
            leaf,
            start_unix_nano: 0,
            step_nano: 1,
            steps: 1,
            exemplars_max: 0,
            extrapolate: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let folder = tempfile::tempdir().unwrap();
        let options = Options { queries_max: 1, ..Options::new(folder.path().join("data")) };
        let mut engine = Engine::open(options, |_, _| {}).unwrap();
        engine.turns = Turns::with(1, Duration::from_secs(3600), 1);
        let long = now(engine.turns.ordinary()).unwrap();
        let measured = runtime.block_on(engine.measure(request.clone(), None));
        assert!(measured.unwrap().series.is_empty());
        // One whose time is over gives the turn back, and waits for an ordinary one.
        drop(long);
        engine.turns = Turns::with(1, Duration::ZERO, 1);
        let long = now(engine.turns.ordinary()).unwrap();
        let mut measuring = pin!(engine.measure(request, None));
        let short = runtime.block_on(async {
            tokio::select! {
                biased;
                _ = &mut measuring => panic!("there was no turn"),
                short = acquire(&engine.turns.short) => short,
            }
        });
        assert!(short.is_some());
        drop(long);
        assert!(runtime.block_on(measuring).unwrap().series.is_empty());
    }

    #[test]
    fn a_quick_search_keeps_its_turn() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let turns = Turns::with(1, Duration::MAX, 1);
        let _long = now(turns.ordinary()).unwrap();
        let search = now(turns.search()).unwrap();
        search.pause(runtime.handle());
        assert!(search.permit.lock().is_some() && now(turns.search()).is_none());
    }
}
