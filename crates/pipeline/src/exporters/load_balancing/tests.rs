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
