//! The processor `groupbytrace`: waits for the spans of a trace and hands them on together.
//!
//! What waits is in memory alone and was acknowledged, as in the Collector; when the process ends
//! in good order, it is handed on first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::{SpanBatch, TraceId};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::consumer::{Consumer, Refusal};
use crate::data::{Data, Request};

/// Bytes that wait at the most; beyond it the oldest traces do not wait any longer.
const HELD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long traces that were refused wait.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Settings of the processor, with the Collector's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a trace waits, counted from its first span.
    pub wait_duration: Duration,
    /// Traces that wait at the most; beyond it the oldest do not wait any longer.
    pub num_traces: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { wait_duration: Duration::from_secs(1), num_traces: 1_000_000 }
    }
}

/// What the processor counts; only grows.
#[derive(Debug, Default)]
pub struct Counters {
    /// Traces handed on.
    pub traces_released: AtomicU64,
    /// Traces that could not wait as long as they should.
    pub traces_released_early: AtomicU64,
    /// Spans that what lies behind refused for good.
    pub spans_dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    traces: HashMap<TraceId, Vec<Bytes>>,
    /// In order of arrival.
    due: VecDeque<(Instant, TraceId)>,
    bytes: usize,
}

struct Shared {
    settings: Settings,
    next: Arc<dyn Consumer>,
    counters: Arc<Counters>,
    waiting: Mutex<Waiting>,
    came: tokio::sync::Notify,
    stop: CancellationToken,
}

/// The processor.
pub struct GroupByTrace {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

impl GroupByTrace {
    /// In front of another.
    pub fn start(settings: Settings, next: Arc<dyn Consumer>, counters: Arc<Counters>) -> Self {
        let shared = Arc::new(Shared {
            settings,
            next,
            counters,
            waiting: Mutex::default(),
            came: tokio::sync::Notify::new(),
            stop: CancellationToken::new(),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(run(shared.clone()));
        Self { shared, tasks }
    }

    /// Hands on what waits and ends, at the latest at the deadline; tells how many traces are left.
    pub async fn shutdown(&self, deadline: Instant) -> usize {
        self.shared.stop.cancel();
        self.tasks.close();
        // Whether in time or not: the answer is what is left.
        let _ = tokio::time::timeout_at(deadline, self.tasks.wait()).await;
        self.shared.waiting.lock().traces.len()
    }
}

#[async_trait]
impl Consumer for GroupByTrace {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let Data::Traces(batches) = &request.data else {
            return self.shared.next.consume(request).await;
        };
        if self.shared.stop.is_cancelled() {
            let reason = "shutting down".to_owned();
            return Err(Refusal::Unavailable { reason, retry_after: RETRY_DELAY });
        }
        for batch in batches {
            let mut traces: HashMap<TraceId, Vec<u32>> = HashMap::new();
            for (at, span) in batch.spans().iter().enumerate() {
                traces.entry(span.trace_id).or_default().push(at as u32);
            }
            let parts: Vec<(TraceId, Bytes)> =
                traces.iter().map(|(&id, spans)| (id, batch.encoded_some(spans))).collect();
            let mut waiting = self.shared.waiting.lock();
            let due = Instant::now() + self.shared.settings.wait_duration;
            for (id, part) in parts {
                waiting.bytes += part.len();
                let own = waiting.traces.entry(id).or_default();
                own.push(part);
                if own.len() == 1 {
                    waiting.due.push_back((due, id));
                }
            }
        }
        self.shared.came.notify_one();
        Ok(())
    }
}

async fn run(shared: Arc<Shared>) {
    loop {
        let stopping = shared.stop.is_cancelled();
        let (released, next_due) = shared.release(stopping);
        if released.is_empty() {
            if stopping {
                return;
            }
            let sleep = async {
                match next_due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {}
                () = shared.came.notified() => {}
                () = shared.stop.cancelled() => {}
            }
            continue;
        }
        shared.hand_on(released).await;
    }
}

impl Shared {
    /// Takes out the traces that need not wait any longer, and tells when the next need not.
    fn release(&self, all: bool) -> (Vec<Arc<SpanBatch>>, Option<Instant>) {
        let now = Instant::now();
        let mut waiting = self.waiting.lock();
        let mut released = Vec::new();
        let mut bytes = 0;
        while let Some(&(due, id)) = waiting.due.front() {
            let in_time = all || due <= now;
            let too_many =
                waiting.traces.len() > self.settings.num_traces || waiting.bytes > HELD_BYTES_MAX;
            // A request of a sensible size.
            if !(in_time || too_many) || bytes > 4 << 20 {
                break;
            }
            waiting.due.pop_front();
            let Some(parts) = waiting.traces.remove(&id) else { continue };
            let trace = parts.concat();
            waiting.bytes -= trace.len();
            bytes += trace.len();
            let early = u64::from(!in_time);
            self.counters.traces_released_early.fetch_add(early, Ordering::Relaxed);
            // What was encoded here is decoded here.
            match SpanBatch::decode(trace.into()) {
                Ok(batch) => released.push(Arc::new(batch)),
                Err(error) => tracing::error!(%error, "a trace could not be put together"),
            }
        }
        (released, waiting.due.front().map(|(due, _)| *due))
    }

    async fn hand_on(&self, traces: Vec<Arc<SpanBatch>>) {
        let count = traces.len() as u64;
        let request = Request { data: Data::Traces(traces), client: Arc::default() };
        let spans = request.data.items();
        loop {
            match self.next.consume(request.clone()).await {
                Ok(()) => {
                    self.counters.traces_released.fetch_add(count, Ordering::Relaxed);
                    return;
                }
                Err(refusal) if refusal.is_retryable() => tokio::time::sleep(RETRY_DELAY).await,
                Err(refusal) => {
                    self.counters.spans_dropped.fetch_add(spans, Ordering::Relaxed);
                    tracing::error!(spans, %refusal, "traces were refused for good and are lost");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestSpan, batch};
    use super::*;

    #[derive(Default)]
    struct Behind {
        /// The traces of each request, as the number of its spans.
        requests: Mutex<Vec<Vec<usize>>>,
        refuse: Mutex<usize>,
    }

    #[async_trait]
    impl Consumer for Behind {
        async fn consume(&self, request: Request) -> Result<(), Refusal> {
            {
                let mut refuse = self.refuse.lock();
                if *refuse > 0 {
                    *refuse -= 1;
                    let reason = "later".to_owned();
                    return Err(Refusal::Unavailable { reason, retry_after: RETRY_DELAY });
                }
            }
            let Data::Traces(traces) = request.data else { return Ok(()) };
            for trace in &traces {
                let first = trace.spans()[0].trace_id;
                assert!(trace.spans().iter().all(|span| span.trace_id == first));
            }
            self.requests.lock().push(traces.iter().map(|trace| trace.len()).collect());
            Ok(())
        }
    }

    /// Spans of the traces 1 to `traces`, one each.
    fn spans(traces: usize) -> Request {
        let span = || TestSpan { service: "s", name: "n", kind: 1, attributes: vec![] };
        Request::traces(batch(&(0..traces).map(|_| span()).collect::<Vec<_>>()))
    }

    fn start(num_traces: usize) -> (Arc<Behind>, GroupByTrace) {
        let behind = Arc::new(Behind::default());
        let settings = Settings { num_traces, ..Settings::default() };
        let processor = GroupByTrace::start(settings, behind.clone(), Arc::default());
        (behind, processor)
    }

    #[tokio::test(start_paused = true)]
    async fn spans_of_a_trace_leave_together() {
        let (behind, processor) = start(100);
        processor.consume(spans(2)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        processor.consume(spans(3)).await.unwrap();
        assert!(behind.requests.lock().is_empty());
        tokio::time::sleep(Duration::from_millis(501)).await;
        assert_eq!(*behind.requests.lock(), [vec![2, 2]]);
        tokio::time::sleep(Duration::from_millis(501)).await;
        assert_eq!(*behind.requests.lock(), [vec![2, 2], vec![1]]);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_do_not_wait_and_the_end_waits_for_all() {
        let (behind, processor) = start(2);
        *behind.refuse.lock() = 2;
        processor.consume(spans(5)).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(processor.shutdown(deadline).await, 0);
        let handed_on: usize = behind.requests.lock().iter().flatten().sum();
        assert_eq!(handed_on, 5);
        assert!(processor.consume(spans(1)).await.is_err(), "after the end");
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_make_room() {
        let (behind, processor) = start(2);
        processor.consume(spans(5)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(behind.requests.lock().iter().flatten().count(), 3);
        assert_eq!(processor.shared.counters.traces_released_early.load(Ordering::Relaxed), 3);
    }
}
