//! Queue, retries and shutdown around an exporter that does as told. Time is the runtime's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::SpanBatch;
use pipeline::exporters::{
    BatchSettings, Export, ExportError, FailReason, Left, QueueSettings, RetrySettings, Sender,
    SenderSettings, Sizer,
};
use pipeline::{Consumer, Encoded, Refusal, Request, Signal};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::support::protobuf;

#[derive(Debug, Clone)]
pub enum Step {
    Take,
    Retry(Option<u64>),
    Refuse,
    Reject(u64),
    Hang,
    Panic,
    /// Take once the gate opens.
    Gate,
}

/// Does one step after the other, then takes all. Remembers attempts and what it took.
pub struct Scripted {
    steps: Mutex<VecDeque<Step>>,
    begun: Instant,
    /// Seconds after the beginning at which attempts came.
    attempts: Mutex<Vec<f64>>,
    /// Spans of each request taken.
    taken: Mutex<Vec<u64>>,
    spans: AtomicU64,
    gate: Semaphore,
}

impl Scripted {
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Arc<Self> {
        Arc::new(Self {
            steps: Mutex::new(steps.into_iter().collect()),
            begun: Instant::now(),
            attempts: Mutex::default(),
            taken: Mutex::default(),
            spans: AtomicU64::new(0),
            gate: Semaphore::new(0),
        })
    }

    pub fn attempts(&self) -> Vec<f64> {
        self.attempts.lock().unwrap().clone()
    }

    pub fn taken(&self) -> Vec<u64> {
        self.taken.lock().unwrap().clone()
    }

    pub fn spans(&self) -> u64 {
        self.spans.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Export for Scripted {
    async fn export(&self, _: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        self.attempts.lock().unwrap().push(self.begun.elapsed().as_secs_f64());
        let step = self.steps.lock().unwrap().pop_front().unwrap_or(Step::Take);
        let reason = "as the test wants".to_owned();
        match step {
            Step::Take => {}
            Step::Retry(after) => {
                let after = after.map(Duration::from_secs);
                return Err(ExportError::Retryable { reason, after });
            }
            Step::Refuse => return Err(ExportError::Permanent { reason }),
            Step::Hang => std::future::pending().await,
            Step::Panic => panic!("as the test wants"),
            Step::Gate => self.gate.acquire().await.unwrap().forget(),
            Step::Reject(rejected) => {
                self.spans.fetch_add(encoded.items - rejected, Ordering::SeqCst);
                return Err(ExportError::Partial { rejected, reason });
            }
        }
        let batch = SpanBatch::decode(encoded.joined()).unwrap();
        assert_eq!(batch.len() as u64, encoded.items);
        self.taken.lock().unwrap().push(encoded.items);
        self.spans.fetch_add(encoded.items, Ordering::SeqCst);
        Ok(())
    }
}

pub fn spans(count: usize) -> Request {
    Request::traces(SpanBatch::decode(protobuf(count, 0).into()).unwrap())
}

/// Waits without chance: 5, 7.5, 11.25 … s.
fn even() -> RetrySettings {
    RetrySettings { randomization_factor: 0.0, ..RetrySettings::default() }
}

fn queued(queue: QueueSettings) -> SenderSettings {
    SenderSettings { retry: even(), queue, ..SenderSettings::default() }
}

/// Attempts may take as long as they want, and retries go on for ever.
fn unhurried(queue: QueueSettings) -> SenderSettings {
    let retry = RetrySettings { max_elapsed_time: Some(Duration::ZERO), ..even() };
    SenderSettings { timeout: Duration::ZERO, retry, queue, ..SenderSettings::default() }
}

fn direct() -> SenderSettings {
    queued(QueueSettings { enabled: false, ..QueueSettings::default() })
}

/// Waits until the condition holds, while time goes on.
async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1_000_000 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("never: {what}");
}

pub async fn started(settings: SenderSettings, export: Arc<dyn Export>) -> Arc<Sender> {
    let sender = Arc::new(Sender::new("test", Signal::Traces, settings, export));
    sender.start().await.unwrap();
    sender
}

fn in_seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_who_sends_hears_the_result() {
    let seconds = Duration::from_secs;
    type Row = (Vec<Step>, Vec<f64>, Result<(), (bool, Duration)>, u64, [u64; 6]);
    let rows: Vec<Row> = vec![
        (vec![], vec![0.0], Ok(()), 3, [0; 6]),
        (vec![Step::Retry(None), Step::Retry(None)], vec![0.0, 5.0, 12.5], Ok(()), 3, [0; 6]),
        // What the server asks for, when it is longer.
        (
            vec![Step::Retry(Some(20)), Step::Retry(Some(1))],
            vec![0.0, 20.0, 27.5],
            Ok(()),
            3,
            [0; 6],
        ),
        // An attempt that takes too long is made again.
        (vec![Step::Hang], vec![0.0, 10.0], Ok(()), 3, [0; 6]),
        (vec![Step::Reject(2)], vec![0.0], Ok(()), 1, [0; 6]),
        (vec![Step::Refuse], vec![0.0], Err((false, seconds(0))), 0, [3, 0, 0, 0, 0, 0]),
        (vec![Step::Panic], vec![0.0], Err((false, seconds(0))), 0, [0, 0, 0, 0, 0, 3]),
        // A wait that would end too late is not begun.
        (vec![Step::Retry(Some(301))], vec![0.0], Err((true, seconds(301))), 0, [0, 0, 3, 0, 0, 0]),
    ];
    for (steps, attempts, expected, sent, failed) in rows {
        let export = Scripted::new(steps.clone());
        let sender = started(direct(), export.clone()).await;
        let result = sender.consume(spans(3)).await;
        assert_eq!(export.attempts(), attempts, "{steps:?}");
        let retry_after = |refusal: &Refusal| match refusal {
            Refusal::Unavailable { retry_after, .. } => *retry_after,
            _ => Duration::ZERO,
        };
        let told = result.map_err(|refusal| (refusal.is_retryable(), retry_after(&refusal)));
        assert_eq!(told, expected, "{steps:?}");
        let counters = sender.counters().snapshot();
        assert_eq!((counters.sent, counters.failed), (sent, failed), "{steps:?}");
        assert_eq!(counters.retries, attempts.len() as u64 - 1, "{steps:?}");
        assert_eq!(counters.in_flight, 0, "{steps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_end_when_off_or_when_time_is_up() {
    let off = RetrySettings { enabled: false, ..even() };
    let short = RetrySettings { max_elapsed_time: Some(Duration::from_secs(12)), ..even() };
    for (retry, attempts) in [(off, vec![0.0]), (short, vec![0.0, 5.0])] {
        let export = Scripted::new(vec![Step::Retry(None); 10]);
        let settings = SenderSettings { retry, ..queued(QueueSettings::default()) };
        let sender = started(settings, export.clone()).await;
        sender.consume(spans(3)).await.unwrap();
        let failed = || sender.counters().snapshot().failed_for(FailReason::RetriesEnded);
        until("they are given up", || failed() == 3).await;
        assert_eq!(export.attempts(), attempts);
        assert_eq!(sender.counters().snapshot().queue_size, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_does_not_cost_a_consumer() {
    let export = Scripted::new([Step::Panic, Step::Refuse, Step::Take]);
    let queue = QueueSettings { num_consumers: 1, ..QueueSettings::default() };
    let sender = started(queued(queue), export.clone()).await;
    for count in 1..=3 {
        sender.consume(spans(count)).await.unwrap();
    }
    until("the last is taken", || export.taken() == [3]).await;
    let counters = sender.counters().snapshot();
    assert_eq!(counters.failed_for(FailReason::Panicked), 1);
    assert_eq!(counters.failed_for(FailReason::Permanent), 2);
    assert_eq!(counters.send_failed(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_in_its_own_unit() {
    let bytes = protobuf(10, 0).len() as u64;
    let usual = QueueSettings { num_consumers: 1, ..QueueSettings::default() };
    // Ten spans a request; what is being exported has its place.
    for (queue, fit, capacity) in [
        (QueueSettings { queue_size: 3, ..usual.clone() }, 3, 3),
        (QueueSettings { queue_size: 25, sizer: Sizer::Items, ..usual.clone() }, 2, 25),
        (
            QueueSettings { queue_size: 4 * bytes, sizer: Sizer::Bytes, ..usual.clone() },
            4,
            4 * bytes,
        ),
        (QueueSettings { memory_bytes_max: 2 * (bytes + 256), ..usual.clone() }, 2, 1000),
    ] {
        let export = Scripted::new(vec![Step::Gate; 10]);
        let sender = started(unhurried(queue.clone()), export.clone()).await;
        for _ in 0..fit {
            sender.consume(spans(10)).await.unwrap();
        }
        until("one is under way", || export.attempts().len() == 1).await;
        let refusal = sender.consume(spans(10)).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Exhausted { .. }), "{queue:?}: {refusal:?}");
        let counters = sender.counters().snapshot();
        assert_eq!(counters.enqueue_failed, 10, "{queue:?}");
        assert_eq!(counters.queue_capacity, capacity, "{queue:?}");
        assert_eq!((counters.send_failed(), counters.in_flight), (0, 1), "{queue:?}");

        export.gate.add_permits(100);
        until("there is room", || sender.counters().snapshot().queue_size == 0).await;
        sender.consume(spans(10)).await.unwrap();
        until("all are taken", || export.spans() == 10 * (fit + 1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_the_queue_is_no_use_to_send_again() {
    let queue = QueueSettings { queue_size: 9, sizer: Sizer::Items, ..QueueSettings::default() };
    let sender = started(queued(queue), Scripted::new([])).await;
    let refusal = sender.consume(spans(10)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Invalid { .. }), "{refusal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_may_make_who_sends_wait() {
    let queue = QueueSettings {
        queue_size: 1,
        num_consumers: 1,
        block_on_overflow: true,
        ..QueueSettings::default()
    };
    let export = Scripted::new([Step::Gate]);
    let sender = started(unhurried(queue), export.clone()).await;
    sender.consume(spans(1)).await.unwrap();
    let second = tokio::spawn({
        let sender = Arc::clone(&sender);
        async move { sender.consume(spans(2)).await }
    });
    until("one is under way", || export.attempts().len() == 1).await;
    sleep(Duration::from_secs(60)).await;
    assert!(!second.is_finished());
    export.gate.add_permits(1);
    second.await.unwrap().unwrap();
    until("both are taken", || export.taken() == [1, 2]).await;
    assert_eq!(sender.counters().snapshot().enqueue_failed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_queue_may_make_who_sends_wait_for_the_result() {
    let queue = QueueSettings { wait_for_result: true, ..QueueSettings::default() };
    let export = Scripted::new([Step::Retry(None), Step::Take, Step::Refuse]);
    let sender = started(queued(queue), export.clone()).await;
    assert_eq!(sender.consume(spans(1)).await, Ok(()));
    assert_eq!(export.attempts(), [0.0, 5.0]);
    let refusal = sender.consume(spans(1)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Invalid { .. }), "{refusal:?}");
}

/// Who waits for the result has the data still: that is no loss, unless it is refused for good.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_not_counted_as_lost() {
    let retry = RetrySettings { enabled: false, ..even() };
    for (wait_for_result, step, reason) in [
        (true, Step::Retry(None), FailReason::Returned),
        (true, Step::Refuse, FailReason::Permanent),
        (false, Step::Retry(None), FailReason::RetriesEnded),
    ] {
        let queue = QueueSettings { wait_for_result, ..QueueSettings::default() };
        let export = Scripted::new([step.clone()]);
        let sender = started(SenderSettings { retry, ..queued(queue) }, export).await;
        let result = sender.consume(spans(3)).await;
        assert_eq!(result.is_err(), wait_for_result, "{step:?}");
        until("it is counted", || sender.counters().snapshot().failed_for(reason) == 3).await;
        assert_eq!(sender.counters().snapshot().failed.iter().sum::<u64>(), 3, "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn batches_join_and_cut() {
    // Spans of the requests that come at once, and of what is exported. The rest is flushed.
    for (min, max, come, exported, seconds) in [
        (8, 0, vec![4, 4, 4, 4], vec![8, 8], 0.0),
        (8, 0, vec![5, 5, 5], vec![10, 5], 0.2),
        (8, 8, vec![5, 5, 6], vec![5, 5, 6], 0.2),
        (1, 4, vec![10, 1], vec![4, 4, 2, 1], 0.0),
        (4, 4, vec![10, 1], vec![4, 4, 3], 0.2),
        (0, 0, vec![1, 1], vec![1, 1], 0.0),
    ] {
        let batch = BatchSettings { min_size: min, max_size: max, ..BatchSettings::default() };
        let queue =
            QueueSettings { num_consumers: 1, batch: Some(batch), ..QueueSettings::default() };
        let export = Scripted::new([]);
        let sender = Arc::new(Sender::new("x", Signal::Traces, queued(queue), export.clone()));
        sender.start().await.unwrap();
        for &count in &come {
            sender.consume(spans(count)).await.unwrap();
        }
        let total: u64 = exported.iter().sum();
        let row = format!("{min} {max} {come:?}");
        until(&row, || export.spans() >= total).await;
        assert_eq!(export.taken(), exported, "{row}");
        let last = export.attempts().last().copied().unwrap();
        assert!((seconds..seconds + 0.1).contains(&last), "{row}: {last}");
        until("all room is given back", || sender.counters().snapshot().queue_size == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_empties_the_queue() {
    let queue = QueueSettings {
        num_consumers: 2,
        batch: Some(BatchSettings {
            min_size: 1000,
            flush_timeout: Duration::from_secs(3600),
            ..BatchSettings::default()
        }),
        ..QueueSettings::default()
    };
    let export = Scripted::new([Step::Retry(None)]);
    let sender = started(queued(queue), export.clone()).await;
    for _ in 0..5 {
        sender.consume(spans(2)).await.unwrap();
    }
    assert_eq!(sender.shutdown(in_seconds(60)).await, Left::default());
    assert_eq!(export.taken(), [10], "retried, and not waiting for more");
    let refusal = sender.consume(spans(1)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Unavailable { .. }), "{refusal:?}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_says_what_it_could_not_send() {
    let queue = QueueSettings { num_consumers: 2, ..QueueSettings::default() };
    let export = Scripted::new([Step::Take, Step::Hang, Step::Retry(Some(3600))]);
    let sender = started(unhurried(queue), export.clone()).await;
    for count in 1..=5 {
        sender.consume(spans(count)).await.unwrap();
    }
    assert_eq!(sender.shutdown(in_seconds(10)).await, Left { dropped: 14, stored: 0 });
    let counters = sender.counters().snapshot();
    assert_eq!((counters.sent, counters.failed_for(FailReason::Shutdown)), (1, 14));
    assert_eq!((counters.queue_size, counters.in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_shutdown_ends_the_retries() {
    let export = Scripted::new(vec![Step::Retry(None); 10]);
    let sender = started(direct(), export.clone()).await;
    let sending = tokio::spawn({
        let sender = Arc::clone(&sender);
        async move { sender.consume(spans(1)).await }
    });
    until("an attempt was made", || export.attempts().len() == 1).await;
    sender.shutdown(in_seconds(600)).await;
    let refusal = sending.await.unwrap().unwrap_err();
    assert!(refusal.is_retryable(), "{refusal:?}");
    assert_eq!(export.attempts(), [0.0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_before_the_start_nor_of_another_signal() {
    let sender = Sender::new("x", Signal::Logs, direct(), Scripted::new([]));
    sender.start().await.unwrap();
    let refusal = sender.consume(spans(1)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Internal { .. }), "{refusal:?}");
    assert!(sender.start().await.is_err(), "twice");

    let sender = Sender::new("x", Signal::Traces, direct(), Scripted::new([]));
    assert!(sender.consume(spans(1)).await.unwrap_err().is_retryable());
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_without_shutdown_still_sends_what_it_took() {
    let export = Scripted::new([Step::Retry(None)]);
    let sender = started(queued(QueueSettings::default()), export.clone()).await;
    for _ in 0..5 {
        sender.consume(spans(2)).await.unwrap();
    }
    drop(sender);
    until("all are taken", || export.spans() == 10).await;
    until("its tasks have ended", || Arc::strong_count(&export) == 1).await;
}
