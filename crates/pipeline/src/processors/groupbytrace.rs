//! The processor `groupbytrace`: waits for the spans of a trace and hands them on together.
//!
//! What waits is in memory alone and was acknowledged, as in the Collector; when the process ends
//! in good order, it is handed on first. When too much waits, because what lies behind takes
//! nothing, requests are refused before they are taken.

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

use crate::consumer::{Consumer, Refusal, Taken};
use crate::data::{Data, Request};
use crate::panics::unpanicked;

/// Bytes that wait, with what is being handed on; beyond it requests are refused.
const HELD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Beyond it the oldest traces do not wait any longer.
const EARLY_BYTES: usize = HELD_BYTES_MAX / 4 * 3;

/// What a part of a trace takes beside its bytes, about.
const PART_BYTES: usize = 128;

/// A request of a sensible size.
const RELEASED_BYTES: usize = 4 << 20;

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

/// Spans of one trace that came together.
struct Part {
    bytes: Bytes,
    spans: usize,
}

impl Part {
    fn held_bytes(&self) -> usize {
        self.bytes.len() + PART_BYTES
    }
}

#[derive(Default)]
struct Waiting {
    traces: HashMap<TraceId, Vec<Part>>,
    /// In order of arrival.
    due: VecDeque<(Instant, TraceId)>,
    /// With what is being handed on, like the spans.
    bytes: usize,
    spans: usize,
    /// Nobody looks at it any more.
    ended: bool,
}

/// Traces on their way out.
#[derive(Default)]
struct Released {
    batches: Vec<Arc<SpanBatch>>,
    traces: u64,
    spans: usize,
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

    /// Hands on what waits and ends, at the latest at the deadline; tells how many spans are left.
    pub async fn shutdown(&self, deadline: Instant) -> usize {
        self.shared.stop.cancel();
        self.tasks.close();
        // Whether in time or not: the answer is what is left.
        let _ = tokio::time::timeout_at(deadline, self.tasks.wait()).await;
        self.shared.waiting.lock().spans
    }
}

#[async_trait]
impl Consumer for GroupByTrace {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let Data::Traces(batches) = &request.data else {
            return self.shared.next.consume(request).await;
        };
        let mut parts: Vec<(TraceId, Part)> = Vec::new();
        for batch in batches {
            let mut traces: HashMap<TraceId, Vec<u32>> = HashMap::new();
            for (at, span) in batch.spans().iter().enumerate() {
                traces.entry(span.trace_id).or_default().push(at as u32);
            }
            let part =
                |spans: &[u32]| Part { bytes: batch.encoded_some(spans), spans: spans.len() };
            parts.extend(traces.iter().map(|(&id, spans)| (id, part(spans))));
        }
        self.shared.hold(parts)?;
        self.shared.came.notify_one();
        Ok(())
    }
}

async fn run(shared: Arc<Shared>) {
    loop {
        let stopping = shared.stop.is_cancelled();
        let (released, next_due) = shared.release(stopping);
        if released.traces > 0 {
            shared.hand_on(released).await;
            continue;
        }
        if stopping {
            let mut waiting = shared.waiting.lock();
            if waiting.traces.is_empty() {
                waiting.ended = true;
                return;
            }
            continue;
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
    }
}

impl Shared {
    /// Takes all parts of a request, or none.
    fn hold(&self, parts: Vec<(TraceId, Part)>) -> Result<(), Refusal> {
        let bytes: usize = parts.iter().map(|(_, part)| part.held_bytes()).sum();
        let mut waiting = self.waiting.lock();
        if waiting.ended || self.stop.is_cancelled() {
            let reason = "shutting down".to_owned();
            return Err(Refusal::Unavailable { reason, retry_after: RETRY_DELAY });
        }
        // One that is larger than all the room has to find it empty.
        if waiting.bytes > 0 && waiting.bytes + bytes > HELD_BYTES_MAX {
            let reason = "the processor groupbytrace holds as much as it may".to_owned();
            return Err(Refusal::Exhausted { reason, retry_after: RETRY_DELAY });
        }
        waiting.bytes += bytes;
        let due = Instant::now() + self.settings.wait_duration;
        for (id, part) in parts {
            waiting.spans += part.spans;
            let own = waiting.traces.entry(id).or_default();
            own.push(part);
            if own.len() == 1 {
                waiting.due.push_back((due, id));
            }
        }
        Ok(())
    }

    /// Takes out the traces that need not wait any longer, and tells when the next need not.
    fn release(&self, all: bool) -> (Released, Option<Instant>) {
        let now = Instant::now();
        let mut waiting = self.waiting.lock();
        let mut released = Released::default();
        while let Some(&(due, id)) = waiting.due.front() {
            let in_time = all || due <= now;
            let too_many = waiting.traces.len() > self.settings.num_traces
                || waiting.bytes - released.bytes > EARLY_BYTES;
            if !(in_time || too_many) || released.bytes > RELEASED_BYTES {
                break;
            }
            waiting.due.pop_front();
            let Some(parts) = waiting.traces.remove(&id) else { continue };
            let early = u64::from(!in_time);
            self.counters.traces_released_early.fetch_add(early, Ordering::Relaxed);
            released.traces += 1;
            released.bytes += parts.iter().map(Part::held_bytes).sum::<usize>();
            released.spans += parts.iter().map(|part| part.spans).sum::<usize>();
            self.put_together(&parts, &mut released.batches);
        }
        (released, waiting.due.front().map(|(due, _)| *due))
    }

    /// A trace as one batch, or, where that would be too large for one, as several.
    fn put_together(&self, parts: &[Part], out: &mut Vec<Arc<SpanBatch>>) {
        let whole: Vec<&[u8]> = parts.iter().map(|part| &*part.bytes).collect();
        if let Ok(batch) = SpanBatch::decode(whole.concat().into()) {
            out.push(Arc::new(batch));
            return;
        }
        for part in parts {
            match SpanBatch::decode(part.bytes.clone()) {
                Ok(batch) => out.push(Arc::new(batch)),
                // What was encoded here is decoded here.
                Err(error) => {
                    self.counters.spans_dropped.fetch_add(part.spans as u64, Ordering::Relaxed);
                    tracing::error!(spans = part.spans, %error, "a part of a trace is lost");
                }
            }
        }
    }

    async fn hand_on(&self, released: Released) {
        let Released { batches, traces, spans, bytes } = released;
        let request = Request { data: Data::Traces(batches), client: Arc::default() };
        let taken = Taken::default();
        loop {
            // The task outlives a fault in what lies behind.
            let answer = unpanicked(self.next.offer(request.clone(), &taken)).await;
            match answer {
                Ok(Ok(())) => {
                    self.counters.traces_released.fetch_add(traces, Ordering::Relaxed);
                    break;
                }
                Ok(Err(refusal)) if refusal.is_retryable() => {
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                refused => {
                    let reason = match refused {
                        Ok(Err(refusal)) => refusal.to_string(),
                        _ => "a component behind it panicked".to_owned(),
                    };
                    self.counters.spans_dropped.fetch_add(spans as u64, Ordering::Relaxed);
                    tracing::error!(spans, reason, "traces were refused for good and are lost");
                    break;
                }
            }
        }
        let mut waiting = self.waiting.lock();
        waiting.bytes -= bytes;
        waiting.spans -= spans;
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

    fn unstarted() -> (Arc<Behind>, Shared) {
        let behind = Arc::new(Behind::default());
        let shared = Shared {
            settings: Settings::default(),
            next: behind.clone(),
            counters: Arc::default(),
            waiting: Mutex::default(),
            came: tokio::sync::Notify::new(),
            stop: CancellationToken::new(),
        };
        (behind, shared)
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
    async fn what_is_too_much_is_refused_and_what_is_left_is_told_in_spans() {
        let (behind, processor) = start(100);
        *behind.refuse.lock() = usize::MAX;
        processor.consume(spans(3)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(processor.shared.waiting.lock().traces.len(), 0, "all are on their way");
        // As if they were as large as all the room.
        processor.shared.waiting.lock().bytes += HELD_BYTES_MAX;
        let refusal = processor.consume(spans(1)).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Exhausted { .. }), "{refusal}");
        processor.shared.waiting.lock().bytes -= HELD_BYTES_MAX;
        processor.consume(spans(1)).await.unwrap();
        assert_eq!(processor.shutdown(Instant::now() + Duration::from_secs(5)).await, 4);
        *behind.refuse.lock() = 0;
        assert_eq!(processor.shutdown(Instant::now() + Duration::from_secs(5)).await, 0);
    }

    /// Panics with the first request.
    struct Faulty(AtomicU64);

    #[async_trait]
    impl Consumer for Faulty {
        async fn consume(&self, _: Request) -> Result<(), Refusal> {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "as the test wants");
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_behind_it_costs_one_request() {
        let behind = Arc::new(Faulty(AtomicU64::new(0)));
        let counters = Arc::new(Counters::default());
        let processor = GroupByTrace::start(Settings::default(), behind.clone(), counters.clone());
        for _ in 0..2 {
            processor.consume(spans(2)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert_eq!(behind.0.load(Ordering::Relaxed), 2);
        assert_eq!(counters.spans_dropped.load(Ordering::Relaxed), 2);
        assert_eq!(counters.traces_released.load(Ordering::Relaxed), 2);
    }

    /// A trace that is too large to be decoded as one request.
    #[test]
    fn a_trace_of_any_size_is_handed_on() {
        let attributes = || vec![("a", super::super::testing::Plain::Int(1)); 100_000];
        let span = || TestSpan { service: "s", name: "n", kind: 1, attributes: attributes() };
        let bytes = batch(&[span()]).encoded();
        let parts: Vec<Part> = (0..22).map(|_| Part { bytes: bytes.clone(), spans: 1 }).collect();
        let (_, shared) = unstarted();
        let mut batches = Vec::new();
        shared.put_together(&parts, &mut batches);
        assert_eq!(batches.iter().map(|batch| batch.len()).sum::<usize>(), 22);
        assert_eq!(shared.counters.spans_dropped.load(Ordering::Relaxed), 0);
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
