use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::exporters::{BatchSettings, ExportError, Nop, PersistentSettings, QueueSettings};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Exports to nobody if the endpoint is called so.
struct To {
    down: bool,
    taken: Arc<AtomicU64>,
}

#[async_trait]
impl Export for To {
    async fn export(&self, _: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        if self.down {
            return Err(ExportError::retryable("down"));
        }
        self.taken.fetch_add(encoded.items, Ordering::SeqCst);
        Ok(())
    }
}

fn spans(traces: u8) -> Request {
    let mut encoder = model::TracesEncoder::new();
    let place = encoder.origin(b"", b"", b"", b"");
    for trace in 1..=traces {
        encoder.span(place, |out| {
            model::wire::put_bytes_field(out, 1, &[trace; 16]);
            model::wire::put_bytes_field(out, 2, &[trace; 8]);
        });
    }
    Request::traces(SpanBatch::decode(encoder.finish().into()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_an_endpoint_leaves_behind_goes_to_the_others() {
    let dir = tempfile::tempdir().unwrap();
    for (on_disk, batched) in [(false, false), (false, true), (true, false), (true, true)] {
        let storage = on_disk.then(|| PersistentSettings::new(dir.path()));
        // A batch that waits for more is moved, too.
        let batch = batched.then(|| BatchSettings {
            min_size: 200,
            max_size: 210,
            flush_timeout: Duration::from_secs(15),
            ..BatchSettings::default()
        });
        let queue = QueueSettings { storage, batch, num_consumers: 1, ..QueueSettings::default() };
        let settings = LoadBalancingSettings {
            routing_key: RoutingKey::TraceId,
            resolver: Resolver::Static { hostnames: names(&["down-1", "down-2"]) },
            sender: SenderSettings { queue, ..SenderSettings::default() },
        };
        let taken = Arc::<AtomicU64>::default();
        let make = {
            let taken = Arc::clone(&taken);
            Box::new(move |endpoint: &str| {
                let down = endpoint.starts_with("down");
                Ok(Arc::new(To { down, taken: Arc::clone(&taken) }) as Arc<dyn Export>)
            })
        };
        let balancer = LoadBalancer::new("x", settings, make);
        balancer.start().await;
        for _ in 0..5 {
            balancer.consume(spans(100)).await.unwrap();
        }
        balancer.shared.apply(names(&["down-1", "up-1"])).await;
        sleep(Duration::from_secs(20)).await;
        let some = taken.load(Ordering::SeqCst);
        assert!(some > 0 && some < 500, "{some}: one still waits for its endpoint");
        balancer.shared.apply(names(&["up-1", "up-2"])).await;
        for _ in 0..1000 {
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(taken.load(Ordering::SeqCst), 500, "on disk: {on_disk}, batched: {batched}");
        let counters = balancer.snapshot();
        assert_eq!(
            (counters.sent, counters.send_failed()),
            (500, 0),
            "on disk: {on_disk}, batched: {batched}"
        );
        let left = balancer.shutdown(Instant::now() + LEAVE_TIMEOUT).await;
        assert_eq!(left, Left::default(), "on disk: {on_disk}, batched: {batched}");
    }
}

/// A balancer with queues on disk, to endpoints that take everything unless they are called down.
fn on_disk(dir: &std::path::Path, hostnames: &[&str], taken: &Arc<AtomicU64>) -> LoadBalancer {
    let storage = Some(PersistentSettings::new(dir));
    let queue = QueueSettings { storage, num_consumers: 1, ..QueueSettings::default() };
    let settings = LoadBalancingSettings {
        routing_key: RoutingKey::TraceId,
        resolver: Resolver::Static { hostnames: names(hostnames) },
        sender: SenderSettings { queue, ..SenderSettings::default() },
    };
    let taken = Arc::clone(taken);
    let make = move |endpoint: &str| {
        if endpoint.starts_with("none") {
            return Err(EndpointError::Missing);
        }
        let down = endpoint.starts_with("down");
        Ok(Arc::new(To { down, taken: Arc::clone(&taken) }) as Arc<dyn Export>)
    };
    LoadBalancer::new("x", settings, Box::new(make))
}

fn folders(dir: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Waits for something that happens on threads that no paused clock knows of.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_old_is_sent_to_the_endpoints_of_now() {
    let dir = tempfile::tempdir().unwrap();
    let taken = Arc::<AtomicU64>::default();
    let before = on_disk(dir.path(), &["down-1", "down-2"], &taken);
    before.start().await;
    before.consume(spans(100)).await.unwrap();
    let left = before.shutdown(Instant::now()).await;
    assert_eq!((left.dropped, left.stored), (0, 2));
    assert_eq!(folders(dir.path()), ["down_1_4317", "down_2_4317"]);
    // The names that they had then are nobody's now.
    let now = on_disk(dir.path(), &["up-1"], &taken);
    now.start().await;
    until("all are sent", || taken.load(Ordering::SeqCst) == 100).await;
    until("and nothing is left of them", || folders(dir.path()) == ["up_1_4317"]).await;
    assert_eq!(now.shutdown(Instant::now() + LEAVE_TIMEOUT).await, Left::default());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_back_has_its_queue_again() {
    let dir = tempfile::tempdir().unwrap();
    let balancer = on_disk(dir.path(), &["down-1"], &Arc::default());
    balancer.start().await;
    balancer.consume(spans(100)).await.unwrap();
    let shared = &balancer.shared;
    // Where there is nobody else, its queue waits, and its folder is locked.
    shared.apply(names(&["none"])).await;
    sleep(Duration::from_secs(30)).await;
    assert!(balancer.endpoints().is_empty());
    for _ in 0..10_000 {
        shared.apply(names(&["down-1"])).await;
        if !balancer.endpoints().is_empty() {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(balancer.endpoints()["down-1"].queue_size, 1);
    let left = balancer.shutdown(Instant::now()).await;
    assert_eq!((left.dropped, left.stored), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn endpoints_come_and_go() {
    let settings = LoadBalancingSettings {
        routing_key: RoutingKey::TraceId,
        resolver: Resolver::Static { hostnames: names(&["a", "b:1"]) },
        sender: SenderSettings { queue: QueueSettings::default(), ..SenderSettings::default() },
    };
    let made = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let make = {
        let made = Arc::clone(&made);
        Box::new(move |endpoint: &str| {
            made.lock().push(endpoint.to_owned());
            match endpoint {
                "bad:4317" => Err(EndpointError::Missing),
                _ => Ok(Arc::new(Nop) as Arc<dyn Export>),
            }
        })
    };
    let balancer = LoadBalancer::new("x", settings, make);
    balancer.start().await;
    let shared = &balancer.shared;
    assert_eq!(*made.lock(), ["a:4317", "b:1"]);
    let sent = |count: u64| async move {
        let now = Arc::clone(&shared.now.read());
        for sender in now.senders.iter().flatten() {
            let bytes = bytes::Bytes::from_static(b"x");
            sender.send(Encoded { parts: vec![bytes], items: count }).await.unwrap();
        }
    };
    sent(10).await;
    shared.apply(names(&["c", "b:1"])).await;
    assert_eq!(*made.lock(), ["a:4317", "b:1", "c:4317"], "b is kept");
    sent(1).await;
    shared.apply(names(&["bad"])).await;
    let request = Request::traces(model::SpanBatch::default());
    assert_eq!(balancer.consume(request).await, Ok(()), "there is nothing in it");
    shared.apply(names(&["bad"])).await;
    assert_eq!(made.lock().len(), 5, "it is tried again");
    assert_eq!(balancer.endpoints().len(), 0);
    let left = balancer.shutdown(Instant::now() + LEAVE_TIMEOUT).await;
    assert_eq!((left, balancer.snapshot().sent), (Left::default(), 22));
}
