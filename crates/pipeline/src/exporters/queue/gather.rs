//! Requests out of the queue, joined and cut as `batch` wants them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use model::SpanBatch;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::{Part, Queue, Ticket};
use crate::exporters::settings::{BatchSettings, Sizer};
use crate::telemetry::SpanContext;
use crate::{Encoded, Refusal, Signal};

/// The end of the queue at which exporters stand. One of them gathers at a time.
pub(in crate::exporters) struct Gather {
    queue: Queue,
    signal: Signal,
    batch: Option<BatchSettings>,
    /// Out of the queue, and in no group yet: pieces of one request, or one that did not fit.
    carried: Mutex<VecDeque<Part>>,
}

/// What is exported at once.
pub(in crate::exporters) struct Group {
    pub(in crate::exporters) data: Encoded,
    /// Whose items it holds, and how many.
    pub(in crate::exporters) of: Vec<(Arc<Ticket>, u64)>,
}

impl Group {
    fn new(part: Part) -> Self {
        let of = vec![(part.ticket, part.data.items)];
        Self { data: part.data, of }
    }

    /// Whose work it is.
    pub(in crate::exporters) fn parent(&self) -> Option<SpanContext> {
        SpanContext::common(self.of.iter().map(|(ticket, _)| ticket.parent))
    }

    /// What all of it came to.
    pub(in crate::exporters) fn settle(self, result: Result<(), Refusal>) {
        for (ticket, items) in self.of {
            ticket.settle(items, result.clone());
        }
    }

    fn add(&mut self, part: Part) {
        self.of.push((part.ticket, part.data.items));
        self.data.items += part.data.items;
        self.data.parts.extend(part.data.parts);
    }
}

impl Gather {
    pub(in crate::exporters) fn new(
        queue: Queue,
        signal: Signal,
        batch: Option<BatchSettings>,
    ) -> Self {
        Self { queue, signal, batch, carried: Mutex::default() }
    }

    /// The next group; `None` when the queue has ended.
    pub(in crate::exporters) async fn next(&self) -> Option<Group> {
        let mut carried = self.carried.lock().await;
        let mut group = loop {
            if let Some(part) = carried.pop_front() {
                break Group::new(part);
            }
            if !self.queue.ready().await {
                return None;
            }
            self.pull(&mut carried).await;
        };
        let Some(batch) = &self.batch else {
            return Some(group);
        };
        let flush = Instant::now() + batch.flush_timeout;
        while size(batch, &group.data) < batch.min_size {
            let Some(part) = carried.pop_front() else {
                let ready = tokio::select! {
                    biased;
                    ready = self.queue.ready() => ready,
                    () = sleep_until(flush) => false,
                };
                if !ready {
                    break;
                }
                self.pull(&mut carried).await;
                continue;
            };
            let together = size(batch, &group.data) + size(batch, &part.data);
            if batch.max_size > 0 && together > batch.max_size {
                carried.push_front(part);
                break;
            }
            group.add(part);
        }
        Some(group)
    }

    async fn pull(&self, carried: &mut VecDeque<Part>) {
        let Some(part) = self.queue.pop().await else {
            return;
        };
        let max = self.batch.as_ref().filter(|batch| {
            self.signal == Signal::Traces
                && batch.max_size > 0
                && size(batch, &part.data) > batch.max_size
        });
        let Some(batch) = max else {
            carried.push_back(part);
            return;
        };
        let spans_max = match batch.sizer {
            Sizer::Bytes => {
                let bytes = part.data.len().max(1) as u128;
                (u128::from(batch.max_size) * u128::from(part.data.items) / bytes) as usize
            }
            Sizer::Items | Sizer::Requests => batch.max_size as usize,
        };
        let whole = part.data.clone();
        let cut = tokio::task::spawn_blocking(move || cut(&whole, spans_max.max(1))).await;
        match cut {
            Ok(Some(pieces)) => carried.extend(
                pieces.into_iter().map(|data| Part { data, ticket: Arc::clone(&part.ticket) }),
            ),
            // As it is, rather than not at all.
            Ok(None) | Err(_) => carried.push_back(part),
        }
    }

    /// Takes out what is left, piece by piece. To drop one counts it, or keeps it on disk.
    pub(in crate::exporters) async fn next_left(&self) -> Option<Group> {
        let carried = self.carried.lock().await.pop_front();
        match carried {
            Some(part) => Some(Group::new(part)),
            None => self.queue.pop().await.map(Group::new),
        }
    }
}

fn size(batch: &BatchSettings, data: &Encoded) -> u64 {
    batch.sizer.size(data.items, data.len())
}

/// Requests of so many spans at most; `None` if these are not spans or not as many as counted.
fn cut(whole: &Encoded, spans_max: usize) -> Option<Vec<Encoded>> {
    let mut pieces = Vec::new();
    for part in &whole.parts {
        let batch = SpanBatch::decode(part.clone()).ok()?;
        let all: Vec<u32> = (0..u32::try_from(batch.len()).ok()?).collect();
        for some in all.chunks(spans_max) {
            let bytes: Bytes = batch.encoded_some(some);
            pieces.push(Encoded { parts: vec![bytes], items: some.len() as u64 });
        }
    }
    let items: u64 = pieces.iter().map(|piece| piece.items).sum();
    (items == whole.items).then_some(pieces)
}
