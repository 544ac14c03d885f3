//! A sender whose queue lies on disk: what it took outlives it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{SpanBatch, TraceId};
use pipeline::exporters::{
    BatchSettings, Export, ExportError, FailReason, Left, PersistentSettings, QueueSettings,
    RetrySettings, SenderSettings,
};
use pipeline::{Consumer, Encoded, Refusal, Request, Signal};
use prost::Message;
use tokio::time::Instant;

use crate::exporters_otlp::{eager, grpc, plain};
use crate::exporters_sender::{Scripted, Step, spans, started};
use crate::support::{PATIENCE, Server, request, until};

fn on_disk(folder: &Path) -> QueueSettings {
    QueueSettings {
        num_consumers: 2,
        storage: Some(PersistentSettings::new(folder)),
        ..QueueSettings::default()
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// Health hears of a queue that cannot be written, until it can, and damage is counted.
#[tokio::test]
async fn a_queue_that_cannot_be_written_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = Scripted::new(vec![Step::Retry(Some(3600)); 100]);
    let sender = started(eager(on_disk(dir.path())), nobody.clone()).await;
    assert_eq!(sender.problem(), None);
    // Where its first file would be.
    let first = dir.path().join("0000000000000000.queue");
    std::fs::create_dir(&first).unwrap();
    sender.consume(spans(1)).await.unwrap_err();
    let problem = sender.problem().expect("a problem");
    assert!(problem.starts_with("its queue of spans on disk cannot be written: "), "{problem}");
    std::fs::remove_dir(&first).unwrap();
    for _ in 0..3 {
        sender.consume(spans(4)).await.unwrap();
    }
    assert_eq!(sender.problem(), None);
    sender.shutdown(soon()).await;
    drop(sender);
    let mut bytes = std::fs::read(&first).unwrap();
    // The first record's header.
    bytes[1] ^= 0xff;
    std::fs::write(&first, bytes).unwrap();
    let sender = started(eager(on_disk(dir.path())), nobody).await;
    assert_eq!(sender.counters().snapshot().failed_for(FailReason::Damaged), 4);
    assert_eq!(sender.shutdown(soon()).await, Left { dropped: 0, stored: 2 });
}

#[tokio::test]
async fn what_was_not_sent_is_sent_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = Scripted::new(vec![Step::Retry(Some(3600)); 100]);
    let settings = SenderSettings {
        retry: RetrySettings { max_elapsed_time: Some(Duration::ZERO), ..RetrySettings::default() },
        ..eager(on_disk(dir.path()))
    };
    for round in 1..=3 {
        let sender = started(settings.clone(), nobody.clone()).await;
        for count in 1..=4 {
            sender.consume(spans(count)).await.unwrap();
        }
        let left = sender.shutdown(soon()).await;
        assert_eq!(left, Left { dropped: 0, stored: 4 * round });
        assert_eq!(sender.counters().snapshot().send_failed(), 0);
        let refusal = sender.consume(spans(1)).await.unwrap_err();
        assert!(refusal.is_retryable(), "{refusal:?}");
    }
    let backend = Server::grpc().await;
    let exporter = Arc::new(grpc(backend.addr, plain(pipeline::net::Algorithm::Gzip)));
    let sender = started(eager(on_disk(dir.path())), exporter).await;
    until("all have left", || sender.counters().snapshot().sent == 30).await;
    let mut taken = backend.consumer.taken();
    taken.sort();
    assert_eq!(taken, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
    assert_eq!(sender.shutdown(soon()).await, Left::default());
}

#[tokio::test]
async fn it_is_full_at_its_bound_and_keeps_one_process_out() {
    let dir = tempfile::tempdir().unwrap();
    let queue = QueueSettings { queue_size: 2, ..on_disk(dir.path()) };
    let export = Scripted::new(vec![Step::Hang; 100]);
    let settings = SenderSettings { timeout: Duration::ZERO, ..eager(queue) };
    let sender = started(settings.clone(), export).await;
    sender.consume(spans(1)).await.unwrap();
    sender.consume(spans(1)).await.unwrap();
    let refusal = sender.consume(spans(1)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Exhausted { .. }), "{refusal:?}");

    let other = pipeline::exporters::Sender::new("x", Signal::Traces, settings, Scripted::new([]));
    let error = other.start().await.unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");

    let left = sender.shutdown(Instant::now()).await;
    assert_eq!(left, Left { dropped: 0, stored: 2 });
    other.start().await.expect("it is free now");
    until("all have left", || other.counters().snapshot().sent == 2).await;
}

#[tokio::test]
async fn a_damaged_record_is_counted_and_the_others_are_sent() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = Scripted::new(vec![Step::Retry(Some(3600)); 100]);
    let sender = started(eager(on_disk(dir.path())), nobody).await;
    for count in [3, 7] {
        sender.consume(spans(count)).await.unwrap();
    }
    sender.shutdown(soon()).await;
    drop(sender);
    let file = dir.path().join("0000000000000000.queue");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let export = Scripted::new([]);
    let sender = started(eager(on_disk(dir.path())), export.clone()).await;
    until("the other is sent", || export.taken() == [7]).await;
    assert_eq!(sender.counters().snapshot().failed_for(FailReason::Damaged), 3);
    until("both are gone", || sender.counters().snapshot().queue_size == 0).await;
}

#[tokio::test]
async fn a_result_is_waited_for_here_too() {
    let dir = tempfile::tempdir().unwrap();
    let queue = QueueSettings { wait_for_result: true, ..on_disk(dir.path()) };
    let export = Scripted::new([Step::Take, Step::Refuse]);
    let sender = started(eager(queue), export.clone()).await;
    assert_eq!(sender.consume(spans(1)).await, Ok(()));
    let refusal = sender.consume(spans(1)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Invalid { .. }), "{refusal:?}");
}

/// A backend that is down for half a day. The waits are the defaults; time is the runtime's.
#[tokio::test(start_paused = true)]
async fn a_long_outage_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let export = Scripted::new(vec![Step::Retry(None); 2000]);
    let queue = QueueSettings { num_consumers: 1, ..on_disk(dir.path()) };
    let sender =
        started(SenderSettings { queue, ..SenderSettings::default() }, export.clone()).await;
    for _ in 0..10 {
        sender.consume(spans(3)).await.unwrap();
    }
    while export.spans() < 30 {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert!(export.attempts().last().is_some_and(|&seconds| seconds > 40_000.0));
    assert_eq!(sender.counters().snapshot().send_failed(), 0);
}

/// Fails two of three attempts, and remembers the traces of the others.
struct Flaky {
    attempts: AtomicU64,
    traces: Mutex<BTreeMap<TraceId, u32>>,
}

#[async_trait::async_trait]
impl Export for Flaky {
    async fn export(&self, _: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        tokio::task::yield_now().await;
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst);
        if !attempt.is_multiple_of(3) {
            return Err(ExportError::Retryable { reason: "flaky".to_owned(), after: None });
        }
        for part in &encoded.parts {
            let batch = SpanBatch::decode(part.clone()).unwrap();
            for span in batch.spans() {
                *self.traces.lock().unwrap().entry(span.trace_id).or_default() += 1;
            }
        }
        Ok(())
    }
}

/// Many senders at once, a backend that fails, restarts in the middle: each span that was
/// acknowledged arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_span_is_lost_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let batch = BatchSettings { min_size: 20, max_size: 30, ..BatchSettings::default() };
    let queue = QueueSettings {
        queue_size: 100,
        num_consumers: 4,
        block_on_overflow: true,
        batch: Some(batch),
        ..on_disk(dir.path())
    };
    let export = Arc::new(Flaky { attempts: AtomicU64::new(0), traces: Mutex::default() });
    let mut acknowledged = BTreeSet::new();
    for round in 0..5u8 {
        let sender = started(eager(queue.clone()), export.clone()).await;
        let pushing: Vec<_> = (0..4u8)
            .map(|task| {
                let sender = Arc::clone(&sender);
                tokio::spawn(async move {
                    let mut taken = Vec::new();
                    for request in 0..60u8 {
                        let id =
                            |span: u8| [[round, task, request, span]; 4].as_flattened().to_vec();
                        let ids: Vec<_> = (1..=7).map(id).collect();
                        if sender.consume(with_ids(&ids)).await.is_ok() {
                            taken.extend(ids);
                        }
                    }
                    taken
                })
            })
            .collect();
        if round < 4 {
            until("some were sent", || sender.counters().snapshot().sent > 100).await;
            sender.shutdown(Instant::now()).await;
        }
        for pushing in pushing {
            let pushed = tokio::time::timeout(PATIENCE, pushing).await;
            acknowledged.extend(pushed.expect("room in time").unwrap());
        }
        if round == 4 {
            until("all have left", || sender.counters().snapshot().queue_size == 0).await;
        }
    }
    let arrived = export.traces.lock().unwrap();
    let arrived: BTreeSet<Vec<u8>> = arrived.keys().map(|id| id.0.to_vec()).collect();
    assert!(acknowledged.len() > 4 * 60 * 7, "{}", acknowledged.len());
    let lost = acknowledged.difference(&arrived).count();
    assert_eq!(lost, 0, "of {}", acknowledged.len());
}

fn with_ids(ids: &[Vec<u8>]) -> Request {
    let mut request = request(ids.len(), 0);
    let spans = &mut request.resource_spans[0].scope_spans[0].spans;
    for (span, id) in spans.iter_mut().zip(ids) {
        span.trace_id = id.clone();
    }
    Request::traces(SpanBatch::decode(request.encode_to_vec().into()).unwrap())
}
