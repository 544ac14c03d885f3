//! What takes a processor's time for long: away from those who answer requests, and little of it at
//! a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::response::Response;
use query::promql::{Counted, Planned, PromqlError};
use store::QueryError;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::fault::Fault;
use crate::Api;

/// Requests at a time; others wait. Each may hold what two counts, an evaluation and an answer may
/// take.
static TURNS: Semaphore = Semaphore::const_new(2);

/// The right to work. Work that was begun holds it until it ends, even when nobody waits for it
/// any more; it is told to end then.
pub(super) struct Turn {
    permit: Arc<SemaphorePermit<'static>>,
    stop: Arc<AtomicBool>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Turn {
    /// Waits for one.
    pub(super) async fn come() -> Result<Self, Fault> {
        let permit = TURNS.acquire().await.map_err(|error| Fault::internal(error.to_string()))?;
        Ok(Self { permit: Arc::new(permit), stop: Arc::default() })
    }

    /// Works on a thread that may be held up. The work is given what tells it to end.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let (permit, stop) = (self.permit.clone(), self.stop.clone());
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&stop)
        });
        done.await.map_err(|error| Fault::internal(error.to_string()))
    }
}

/// Understands what is asked, has the store count what it needs, and answers. `parameter` is where
/// it was asked.
pub(super) async fn answered<P: Planned>(
    api: &Api,
    parameter: &'static str,
    plan: impl FnOnce() -> Result<P, PromqlError> + Send + 'static,
    answer: impl FnOnce(&P, &Counted, &AtomicBool) -> Result<Response, Fault> + Send + 'static,
) -> Result<Response, Fault> {
    let of = |error: PromqlError| Fault::of(parameter, &error);
    let turn = Turn::come().await?;
    let plan = turn.work(move |_| plan()).await?.map_err(of)?;
    let services = match plan.names_services() {
        true => api.store.services().await.map_err(|error| of(QueryError::from(error).into()))?,
        false => Vec::new(),
    };
    let demands = turn.work(move |stop| {
        let demands = plan.demands(&services, stop);
        (plan, demands)
    });
    let (plan, demands) = demands.await?;
    let counted = demands.map_err(of)?.count(api.store.as_ref()).await.map_err(of)?;
    turn.work(move |stop| answer(&plan, &counted, stop)).await?
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use axum::Router;
    use axum::body::Body;
    use futures_util::FutureExt;
    use http::Request;
    use store::{Engine, Options};
    use tempfile::TempDir;
    use tower::ServiceExt;

    use super::*;
    use crate::Access;

    fn router(folder: &TempDir) -> Router {
        let options = Options::new(folder.path().join("data"));
        crate::router(Api {
            store: Arc::new(Engine::open(options, |_, _| {}).unwrap()),
            access: Access::default(),
            listeners: Arc::new(Vec::new),
            started: Instant::now(),
            clock: Arc::new(|| 0),
            clock_skew_max_nano: 0,
        })
    }

    /// One test, as all share the same turns.
    #[tokio::test]
    async fn work_is_done_elsewhere_in_turn_and_ends() {
        let turn = Turn::come().await.unwrap();
        let here = std::thread::current().id();
        let there = turn.work(|_| std::thread::current().id()).await.unwrap();
        assert_ne!(here, there);
        drop(turn);

        // Who goes ends the work, which holds its place until then.
        assert_eq!(TURNS.available_permits(), 2);
        let (begun, begins) = mpsc::channel();
        let (ended, ends) = mpsc::channel();
        let mut asked = Box::pin(async move {
            let turn = Turn::come().await.unwrap();
            let work = turn.work(move |stop| {
                begun.send(()).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                ended.send(TURNS.available_permits()).unwrap();
            });
            work.await.unwrap();
        });
        assert_eq!((&mut asked).now_or_never(), None);
        begins.recv().unwrap();
        drop(asked);
        assert_eq!(ends.recv(), Ok(1));
        let all = TURNS.acquire_many(2).await.unwrap();

        // Whatever has to read a query waits for its turn.
        let folder = TempDir::new().unwrap();
        let router = router(&folder);
        for path in [
            "query?query=1",
            "query_range?query=1&start=1&end=2&step=1",
            "query_exemplars?query=up&start=1&end=2",
            "format_query?query=1",
            "series?match[]=up",
            "labels",
            "label/service/values",
        ] {
            let path = format!("/prometheus/api/v1/{path}");
            let request = Request::get(path.as_str()).body(Body::empty()).unwrap();
            let mut answer = Box::pin(router.clone().oneshot(request));
            let mut waits = 0;
            for _ in 0..1000 {
                waits += usize::from((&mut answer).now_or_never().is_none());
                tokio::task::yield_now().await;
            }
            assert_eq!(waits, 1000, "{path}");
        }
        drop(all);
    }
}
