//! How the parts of a pipeline are joined: places that can be given another occupant while data
//! flows, and fan-out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::RwLock;

use crate::consumer::{Consumer, Refusal, Taken};
use crate::data::Request;

/// Where a part hands on. Whoever stands behind it can be replaced while data flows: requests
/// under way end with the one that they began with.
#[derive(Clone)]
pub struct Slot {
    behind: Arc<RwLock<Arc<dyn Consumer>>>,
}

impl Slot {
    /// With an occupant.
    pub fn new(behind: Arc<dyn Consumer>) -> Self {
        Self { behind: Arc::new(RwLock::new(behind)) }
    }

    /// One behind which nobody stands yet; it asks to come again.
    pub fn empty() -> Self {
        Self::new(Arc::new(Nobody))
    }

    /// Gives it another occupant.
    pub fn set(&self, behind: Arc<dyn Consumer>) {
        *self.behind.write() = behind;
    }

    /// Who stands behind it now.
    pub fn get(&self) -> Arc<dyn Consumer> {
        self.behind.read().clone()
    }
}

#[async_trait]
impl Consumer for Slot {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        self.get().consume(request).await
    }

    async fn offer(&self, request: Request, taken: &Taken) -> Result<(), Refusal> {
        self.get().offer(request, taken).await
    }
}

struct Nobody;

#[async_trait]
impl Consumer for Nobody {
    async fn consume(&self, _: Request) -> Result<(), Refusal> {
        Err(Refusal::Unavailable {
            reason: "the pipeline is being built".to_owned(),
            retry_after: std::time::Duration::from_secs(1),
        })
    }
}

/// The same to several. All are asked at once, so that a slow one holds up the answer and not the
/// others; what one refuses, the others may have taken.
pub struct FanOut {
    to: Vec<Arc<dyn Consumer>>,
    place: u64,
}

/// A number that tells a place where ways part from all others.
pub(crate) fn place() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl FanOut {
    /// To all of these; to the only one without a detour.
    pub fn of(mut to: Vec<Arc<dyn Consumer>>) -> Arc<dyn Consumer> {
        match to.pop() {
            Some(only) if to.is_empty() => only,
            last => {
                to.extend(last);
                Arc::new(Self { to, place: place() })
            }
        }
    }
}

#[async_trait]
impl Consumer for FanOut {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let asked = self.to.iter().map(|to| to.consume(request.clone()));
        all(futures_util::future::join_all(asked).await)
    }

    async fn offer(&self, request: Request, taken: &Taken) -> Result<(), Refusal> {
        let asked = self.to.iter().enumerate().map(|(way, to)| {
            let request = request.clone();
            async move {
                if let Some(answer) = taken.answer(self.place, way) {
                    return answer;
                }
                let answer = to.offer(request, taken).await;
                taken.keep(self.place, way, &answer);
                answer
            }
        });
        all(futures_util::future::join_all(asked).await)
    }
}

/// One word of several.
pub(crate) fn all(answers: impl IntoIterator<Item = Result<(), Refusal>>) -> Result<(), Refusal> {
    answers.into_iter().filter_map(Result::err).reduce(Refusal::or).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::SpanBatch;

    use super::*;

    struct Says(Option<Refusal>);

    #[async_trait]
    impl Consumer for Says {
        async fn consume(&self, _: Request) -> Result<(), Refusal> {
            self.0.clone().map_or(Ok(()), Err)
        }
    }

    fn busy() -> Refusal {
        Refusal::Exhausted { reason: "full".to_owned(), retry_after: Duration::from_secs(1) }
    }

    fn invalid() -> Refusal {
        Refusal::Invalid { reason: "bad".to_owned() }
    }

    #[tokio::test]
    async fn a_fan_out_asks_to_come_again_when_anyone_does() {
        for (says, answer) in [
            (vec![], Ok(())),
            (vec![None], Ok(())),
            (vec![None, Some(invalid()), None], Err(invalid())),
            (vec![Some(invalid()), Some(busy())], Err(busy())),
            (vec![Some(busy()), Some(invalid()), None], Err(busy())),
        ] {
            let to = says.iter().map(|says| Arc::new(Says(says.clone())) as Arc<dyn Consumer>);
            let fan_out = FanOut::of(to.collect());
            let request = Request::traces(SpanBatch::default());
            assert_eq!(fan_out.consume(request).await, answer, "{says:?}");
        }
    }

    /// Takes after so many refusals, and counts what it took.
    struct Later {
        refuses: AtomicU64,
        took: AtomicU64,
    }

    #[async_trait]
    impl Consumer for Later {
        async fn consume(&self, _: Request) -> Result<(), Refusal> {
            let before = self.refuses.load(Ordering::Relaxed);
            if before > 0 {
                self.refuses.store(before - 1, Ordering::Relaxed);
                return Err(busy());
            }
            self.took.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    #[tokio::test]
    async fn who_has_taken_a_request_does_not_get_it_again() {
        let later = |refuses| {
            let refuses = AtomicU64::new(refuses);
            Arc::new(Later { refuses, took: AtomicU64::new(0) })
        };
        let [ready, slow, behind] = [0, 2, 1].map(later);
        let inner = FanOut::of(vec![Arc::new(Slot::new(behind.clone())), ready.clone()]);
        let bad: Arc<dyn Consumer> = Arc::new(Says(Some(invalid())));
        let outer = FanOut::of(vec![slow.clone(), inner, bad]);
        let taken = Taken::default();
        let mut answers = Vec::new();
        for _ in 0..4 {
            let request = Request::traces(SpanBatch::default());
            answers.push(outer.offer(request, &taken).await);
        }
        // What one refused for good is told when nobody asks to come again.
        assert_eq!(answers, [Err(busy()), Err(busy()), Err(invalid()), Err(invalid())]);
        for one in [ready, slow, behind] {
            assert_eq!(one.took.load(Ordering::Relaxed), 1);
        }
    }

    #[tokio::test]
    async fn a_slot_has_one_occupant_after_the_other() {
        let slot = Slot::empty();
        let request = Request::traces(SpanBatch::default());
        assert!(slot.consume(request.clone()).await.unwrap_err().is_retryable());
        let held = slot.get();
        slot.set(Arc::new(Says(None)));
        assert_eq!(slot.consume(request.clone()).await, Ok(()));
        assert!(held.consume(request).await.is_err(), "who began with the first ends with it");
    }
}
