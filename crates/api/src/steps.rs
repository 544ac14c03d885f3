//! A query step by step: how far it is, as often as someone takes that, and how it ends.

use std::sync::Arc;

use futures_util::stream::{self, PollNext, Stream, StreamExt};
use store::{Progress, QueryError, Watcher};

/// Steps that wait for a slow client; more are not made.
const WAITING_MAX: usize = 1;

/// What a query says.
pub(crate) enum Step<T> {
    Progress(Progress<T>),
    /// Nothing follows.
    Done(Result<T, QueryError>),
}

/// The steps of a query that is asked with whom to tell. Dropping the stream ends the query.
pub(crate) fn steps<T, F>(
    ask: impl FnOnce(Watcher<T>) -> F,
) -> impl Stream<Item = Step<T>> + Send + 'static
where
    T: Send + 'static,
    F: Future<Output = Result<T, QueryError>> + Send + 'static,
{
    let (sender, mut receiver) = tokio::sync::mpsc::channel(WAITING_MAX);
    let asked = ask(Arc::new(sender));
    let progress = stream::poll_fn(move |context| receiver.poll_recv(context));
    let done = stream::once(async move { Step::Done(asked.await) });
    let mut is_done = false;
    let progress = progress.map(Step::Progress);
    // What was told before the end comes before it.
    let first = |_: &mut ()| PollNext::Left;
    stream::select_with_strategy(progress, done, first).take_while(move |step| {
        let goes_on = !is_done;
        is_done |= matches!(step, Step::Done(_));
        std::future::ready(goes_on)
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::{self, error::TryRecvError};

    use super::*;

    fn news(so_far: u8) -> Progress<u8> {
        Progress { so_far, spans_done: 1, spans_all: 2 }
    }

    fn shown(step: &Step<u8>) -> (u8, bool) {
        match step {
            Step::Progress(progress) => (progress.so_far, false),
            Step::Done(Ok(all)) => (*all, true),
            Step::Done(Err(error)) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn a_slow_reader_holds_one_step() {
        let mut steps = Box::pin(steps(|watcher: Watcher<u8>| async move {
            for at in 1..=9 {
                watcher.tell(news(at));
            }
            assert!(!watcher.is_free());
            while !watcher.is_free() {
                tokio::task::yield_now().await;
            }
            Ok(10)
        }));
        let mut told = Vec::new();
        while let Some(step) = steps.next().await {
            told.push(shown(&step));
        }
        assert_eq!(told, [(1, false), (10, true)]);
    }

    #[tokio::test]
    async fn who_goes_ends_the_query() {
        /// Tells when it goes.
        struct Guard(oneshot::Sender<()>);
        let (sender, mut ended) = oneshot::channel();
        let guard = Guard(sender);
        let mut steps = Box::pin(steps(|watcher: Watcher<u8>| async move {
            let guard = guard;
            watcher.tell(news(1));
            std::future::pending::<()>().await;
            drop(guard.0);
            Ok(2)
        }));
        assert_eq!(shown(&steps.next().await.unwrap()), (1, false));
        assert!(ended.try_recv().is_err_and(|error| error == TryRecvError::Empty));
        drop(steps);
        assert!(ended.try_recv().is_err_and(|error| error == TryRecvError::Closed));
    }
}
