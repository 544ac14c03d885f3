//! What a sender that is no more has not sent, one after the other: a queue on disk may hold more
//! than memory does.

use std::collections::VecDeque;
use std::sync::Arc;

use super::counters::ExporterCounters;
use super::queue::{Gather, Group, OpenError, PersistentQueue, Queue};
use super::settings::{PersistentSettings, QueueSettings};
use crate::Signal;

/// Groups that nobody sends. To drop one counts it, or keeps it on disk.
#[derive(Default)]
pub(super) struct Unsent {
    stopped: VecDeque<Group>,
    queue: Option<(Queue, Arc<Gather>)>,
}

impl Unsent {
    /// Of groups whose attempts were stopped, and a queue that takes nothing more.
    pub(super) fn new(stopped: Vec<Group>, queue: Option<(Queue, Arc<Gather>)>) -> Self {
        Self { stopped: stopped.into(), queue }
    }

    /// What lies in a queue on disk that nobody has opened.
    ///
    /// # Errors
    /// It is in use, or cannot be read.
    pub(super) async fn open(
        storage: &PersistentSettings,
        signal: Signal,
        counters: Arc<ExporterCounters>,
    ) -> Result<Self, OpenError> {
        let queue = PersistentQueue::open(storage, &QueueSettings::default(), counters).await?;
        let queue = Queue::Persistent(queue);
        queue.close();
        let gather = Arc::new(Gather::new(queue.clone(), signal, None));
        Ok(Self { stopped: VecDeque::new(), queue: Some((queue, gather)) })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Option<Group> {
        match (self.stopped.pop_front(), &self.queue) {
            (None, Some((_, gather))) => gather.next_left().await,
            (group, _) => group,
        }
    }

    /// Requests that stay on disk.
    pub(super) async fn stored(&self) -> u64 {
        match &self.queue {
            Some((Queue::Persistent(queue), _)) => queue.records().await,
            _ => 0,
        }
    }

    /// Lets another have the files.
    pub(super) async fn release(mut self) {
        self.stopped.clear();
        if let Some((Queue::Persistent(queue), _)) = &self.queue {
            queue.unlock().await;
        }
    }
}
