//! The connector `round_robin`: each request to the next pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use crate::consumer::{Consumer, Refusal};
use crate::data::Request;

/// The connector.
pub struct RoundRobin {
    to: Vec<Arc<dyn Consumer>>,
    next: AtomicUsize,
}

impl RoundRobin {
    /// To these, in turn.
    pub fn new(to: Vec<Arc<dyn Consumer>>) -> Self {
        Self { to, next: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Consumer for RoundRobin {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        match self.to.get(turn % self.to.len().max(1)) {
            Some(to) => to.consume(request).await,
            None => Ok(()),
        }
    }
}
