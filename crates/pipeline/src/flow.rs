//! How the parts of a pipeline are joined: places that can be given another occupant while data
//! flows, and fan-out.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;

use crate::consumer::{Consumer, Refusal};
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
}

impl FanOut {
    /// To all of these; to the only one without a detour.
    pub fn of(mut to: Vec<Arc<dyn Consumer>>) -> Arc<dyn Consumer> {
        match to.pop() {
            Some(only) if to.is_empty() => only,
            Some(last) => {
                to.push(last);
                Arc::new(Self { to })
            }
            None => Arc::new(Self { to }),
        }
    }
}

#[async_trait]
impl Consumer for FanOut {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let asked = self.to.iter().map(|to| to.consume(request.clone()));
        let mut refused: Option<Refusal> = None;
        for answer in futures_util::future::join_all(asked).await {
            if let Err(refusal) = answer {
                refused = Some(match refused {
                    Some(first) => first.or(refusal),
                    None => refusal,
                });
            }
        }
        refused.map_or(Ok(()), Err)
    }
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
