//! The processor `batch`: many small requests into few large ones.
//!
//! The Collector's batch processor acknowledges at once and drops what is refused behind it. This
//! one never does. Where what lies behind keeps data over a crash (the store, a queue on disk), a
//! request is acknowledged when the batch that it went into was taken, and a batch waits no longer
//! than it takes to see that nothing more is coming. Where data would live in memory anyway, a
//! request is acknowledged at once; a batch that is refused for the moment is tried again until it
//! is taken, by those who have not taken it. As long as one is, further requests are acknowledged
//! when they are taken, so that who sends hears of a full queue, and those behind who have room go
//! on to get what is new. When too much waits, requests are refused before they are taken.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use model::SpanBatch;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::consumer::{Consumer, Refusal, Taken};
use crate::data::{Client, Data, Request};
use crate::panics::unpanicked;
use crate::telemetry::{self, SpanContext};

/// A batch whose senders wait is sent when nothing came for so long.
const LINGER: Duration = Duration::from_millis(5);

/// Bytes of requests that were acknowledged or wait for it.
const HELD_BYTES_MAX: usize = 128 * 1024 * 1024;

/// How long a request waits for room.
const ROOM_WAIT: Duration = Duration::from_secs(2);

/// How long a refused batch waits: the first time, and at the most.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Settings of the processor, with the Collector's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Spans with which a batch is sent; 0 sends every request as it is.
    pub send_batch_size: usize,
    /// The longest that a batch waits for more.
    pub timeout: Duration,
    /// The most spans of a batch; 0 for no bound.
    pub send_batch_max_size: usize,
    /// Headers by which batches are kept apart.
    pub metadata_keys: Vec<String>,
    /// Different values of these at the most; further ones are refused.
    pub metadata_cardinality_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            send_batch_size: 8192,
            timeout: Duration::from_millis(200),
            send_batch_max_size: 0,
            metadata_keys: Vec::new(),
            metadata_cardinality_limit: 1000,
        }
    }
}

/// The bounds of the Collector's `otelcol_processor_batch_batch_send_size`, in spans.
pub const SEND_SIZE_BOUNDS: [u64; 22] = [
    10, 25, 50, 75, 100, 250, 500, 750, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000,
    10_000, 20_000, 30_000, 50_000, 100_000,
];

/// What the processor counts; only grows.
#[derive(Debug, Default)]
pub struct Counters {
    /// `otelcol_processor_batch_batch_size_trigger_send`.
    pub size_trigger_send: AtomicU64,
    /// `otelcol_processor_batch_timeout_trigger_send`.
    pub timeout_trigger_send: AtomicU64,
    /// Batches of `otelcol_processor_batch_batch_send_size`, each in the first place whose bound is
    /// not below its size, or in the last.
    pub send_sizes: [AtomicU64; SEND_SIZE_BOUNDS.len() + 1],
    /// Spans in them.
    pub spans_sent: AtomicU64,
    /// `otelcol_processor_batch_metadata_cardinality`: batches that are gathered side by side. Only
    /// grows, as in the Collector.
    pub metadata_cardinality: AtomicU64,
    /// Acknowledged spans that what lies behind refused for good.
    pub spans_dropped: AtomicU64,
}

/// The processor.
pub struct Batch {
    shared: Arc<Shared>,
    lanes: Mutex<HashMap<Vec<String>, Arc<Lane>>>,
}

struct Shared {
    settings: Settings,
    next: Arc<dyn Consumer>,
    /// Whether acknowledgement waits for what lies behind.
    waits: bool,
    counters: Arc<Counters>,
    /// Permits are KiB.
    room: Arc<Semaphore>,
    /// Spans that were acknowledged and are not handed on yet.
    acknowledged: AtomicUsize,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Requests that may go into one batch.
struct Lane {
    client: Arc<Client>,
    pending: Mutex<Pending>,
    came: Notify,
    /// Batches that are tried again.
    retried: AtomicUsize,
}

#[derive(Default)]
struct Pending {
    items: VecDeque<Item>,
    spans: usize,
    first: Option<Instant>,
    last: Option<Instant>,
    /// Nobody looks at it any more.
    ended: bool,
}

/// Spans that wait.
struct Item {
    batch: Arc<SpanBatch>,
    ticket: Arc<Ticket>,
}

/// A request of which parts wait.
struct Ticket {
    parts: AtomicUsize,
    refusal: Mutex<Option<Refusal>>,
    /// Who waits for the answer; nobody once it was acknowledged.
    waiter: Mutex<Option<oneshot::Sender<Result<(), Refusal>>>>,
    is_acknowledged: bool,
    /// The span that it came under.
    parent: Option<SpanContext>,
    _room: OwnedSemaphorePermit,
}

impl Ticket {
    /// A part was taken or refused.
    fn part(&self, answer: &Result<(), Refusal>) {
        let mut refusal = self.refusal.lock();
        if let Err(own) = answer {
            *refusal = Some(match refusal.take() {
                Some(first) => first.or(own.clone()),
                None => own.clone(),
            });
        }
        if self.parts.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(waiter) = self.waiter.lock().take()
        {
            // Whoever waited may have gone.
            let _ = waiter.send(refusal.take().map_or(Ok(()), Err));
        }
    }
}

fn ending() -> Refusal {
    let reason = "shutting down".to_owned();
    Refusal::Unavailable { reason, retry_after: Duration::from_secs(1) }
}

impl Batch {
    /// In front of another. `waits` says that what lies behind keeps data over a crash.
    pub fn new(
        settings: Settings,
        next: Arc<dyn Consumer>,
        waits: bool,
        counters: Arc<Counters>,
    ) -> Self {
        let shared = Shared {
            settings,
            next,
            waits,
            counters,
            room: Arc::new(Semaphore::new(HELD_BYTES_MAX / 1024)),
            acknowledged: AtomicUsize::new(0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared), lanes: Mutex::default() }
    }

    /// Sends what waits and ends, at the latest at the deadline; tells how many spans are left that
    /// were acknowledged. They are still tried for as long as the process goes on.
    pub async fn shutdown(&self, deadline: Instant) -> usize {
        {
            // Who has a lane finds out from it.
            let _no_new_ones = self.lanes.lock();
            self.shared.stop.cancel();
        }
        self.shared.tasks.close();
        let _ = tokio::time::timeout_at(deadline, self.shared.tasks.wait()).await;
        self.shared.acknowledged.load(Ordering::Acquire)
    }

    fn lane(&self, client: &Arc<Client>) -> Result<Arc<Lane>, Refusal> {
        let settings = &self.shared.settings;
        let key: Vec<String> = settings
            .metadata_keys
            .iter()
            .map(|name| client.values(name).collect::<Vec<_>>().join("\0"))
            .collect();
        let mut lanes = self.lanes.lock();
        if self.shared.stop.is_cancelled() {
            return Err(ending());
        }
        if let Some(lane) = lanes.get(&key) {
            return Ok(lane.clone());
        }
        let limit = settings.metadata_cardinality_limit;
        if limit > 0 && lanes.len() >= limit && !settings.metadata_keys.is_empty() {
            let reason = format!("too many batcher metadata-value combinations: {limit}");
            return Err(Refusal::Invalid { reason });
        }
        // What else the first one's client said is not true of the others.
        let is_key = |(name, _): &&(String, String)| {
            settings.metadata_keys.iter().any(|key| key.eq_ignore_ascii_case(name))
        };
        let metadata = client.metadata.iter().filter(is_key).cloned().collect();
        let lane = Arc::new(Lane {
            client: Arc::new(Client { metadata, ..Client::default() }),
            pending: Mutex::default(),
            came: Notify::new(),
            retried: AtomicUsize::new(0),
        });
        lanes.insert(key, lane.clone());
        let count = lanes.len() as u64;
        self.shared.counters.metadata_cardinality.store(count, Ordering::Relaxed);
        self.shared.tasks.spawn(run(self.shared.clone(), lane.clone()));
        Ok(lane)
    }
}

#[async_trait]
impl Consumer for Batch {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let Request { data: Data::Traces(batches), client } = request else {
            // Connectors gather their metrics themselves.
            return self.shared.next.consume(request).await;
        };
        if batches.is_empty() {
            return Ok(());
        }
        let lane = self.lane(&client)?;
        let batches = split(batches, self.shared.settings.send_batch_max_size)?;
        let bytes: usize = batches.iter().map(|b| b.bytes().len() + b.index_bytes()).sum();
        let permits = (bytes / 1024 + 1).min(HELD_BYTES_MAX / 1024) as u32;
        let room =
            tokio::time::timeout(ROOM_WAIT, self.shared.room.clone().acquire_many_owned(permits));
        let Ok(Ok(room)) = room.await else {
            let reason = "the batch processor holds as much as it may".to_owned();
            return Err(Refusal::Exhausted { reason, retry_after: Duration::from_secs(1) });
        };
        let waits = self.shared.waits_for(&lane);
        let (waiter, answer) = oneshot::channel();
        let ticket = Arc::new(Ticket {
            parts: AtomicUsize::new(batches.len()),
            refusal: Mutex::default(),
            waiter: Mutex::new(waits.then_some(waiter)),
            is_acknowledged: !waits,
            parent: telemetry::context(),
            _room: room,
        });
        {
            let mut pending = lane.pending.lock();
            if pending.ended {
                return Err(ending());
            }
            let now = Instant::now();
            pending.first.get_or_insert(now);
            pending.last = Some(now);
            let spans = batches.iter().map(|batch| batch.len()).sum::<usize>();
            pending.spans += spans;
            if !waits {
                self.shared.acknowledged.fetch_add(spans, Ordering::AcqRel);
            }
            let items = batches.into_iter().map(|batch| Item { batch, ticket: ticket.clone() });
            pending.items.extend(items);
        }
        drop(ticket);
        lane.came.notify_one();
        if !waits {
            return Ok(());
        }
        answer.await.unwrap_or_else(|_| Err(ending()))
    }
}

impl Shared {
    /// Whether acknowledgement waits for what lies behind.
    fn waits_for(&self, lane: &Lane) -> bool {
        self.waits || lane.retried.load(Ordering::Acquire) > 0
    }
}

/// Requests with more spans than a batch may have, in pieces.
fn split(batches: Vec<Arc<SpanBatch>>, most: usize) -> Result<Vec<Arc<SpanBatch>>, Refusal> {
    if most == 0 || batches.iter().all(|batch| batch.len() <= most) {
        return Ok(batches);
    }
    let mut pieces = Vec::new();
    for batch in batches {
        let spans: Vec<u32> = (0..batch.len() as u32).collect();
        for some in spans.chunks(most) {
            let piece = SpanBatch::decode(batch.encoded_some(some));
            let piece = piece.map_err(|error| Refusal::Internal { reason: error.to_string() })?;
            pieces.push(Arc::new(piece));
        }
    }
    Ok(pieces)
}

/// Sends a lane's batches until the end.
async fn run(shared: Arc<Shared>, lane: Arc<Lane>) {
    loop {
        let stopping = shared.stop.is_cancelled();
        let (wait, is_full) = {
            let mut pending = lane.pending.lock();
            if stopping && pending.items.is_empty() {
                pending.ended = true;
                return;
            }
            let full = pending.spans >= shared.settings.send_batch_size.max(1);
            (pending.due(shared.settings.timeout, shared.waits_for(&lane)), full)
        };
        match wait {
            None => {
                tokio::select! {
                    () = lane.came.notified() => {}
                    () = shared.stop.cancelled() => {}
                }
                continue;
            }
            Some(due) if !is_full && !stopping && due > Instant::now() => {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = lane.came.notified() => {}
                    () = shared.stop.cancelled() => {}
                }
                continue;
            }
            Some(_) => {}
        }
        let trigger = if is_full {
            &shared.counters.size_trigger_send
        } else {
            &shared.counters.timeout_trigger_send
        };
        trigger.fetch_add(1, Ordering::Relaxed);
        let items = lane.pending.lock().take(shared.settings.send_batch_max_size);
        send(&shared, &lane, items).await;
    }
}

impl Pending {
    /// When the batch is to be sent at the latest; `None` when there is none.
    fn due(&self, timeout: Duration, waits: bool) -> Option<Instant> {
        let due = self.first? + timeout;
        Some(match self.last {
            Some(last) if waits => due.min(last + LINGER.min(timeout)),
            _ => due,
        })
    }

    /// The next batch: all of it, or as much as it may have.
    fn take(&mut self, most: usize) -> Vec<Item> {
        let mut count = 0;
        let mut spans = 0;
        for item in &self.items {
            if most > 0 && count > 0 && spans + item.batch.len() > most {
                break;
            }
            spans += item.batch.len();
            count += 1;
        }
        self.spans -= spans;
        let taken = self.items.drain(..count).collect();
        if self.items.is_empty() {
            (self.first, self.last) = (None, None);
        }
        taken
    }
}

/// Hands a batch on, and its senders the answer. What was acknowledged and is refused for the moment
/// is tried again beside the batches that come next.
async fn send(shared: &Arc<Shared>, lane: &Arc<Lane>, items: Vec<Item>) {
    let taken = Taken::default();
    let answer = offer(shared, lane, &items, &taken).await;
    let Err(refusal) = &answer else { return conclude(shared, items, &answer) };
    let is_retried = |item: &Item| refusal.is_retryable() && item.ticket.is_acknowledged;
    let (retried, told): (Vec<_>, Vec<_>) = items.into_iter().partition(is_retried);
    conclude(shared, told, &answer);
    if !retried.is_empty() {
        lane.retried.fetch_add(1, Ordering::AcqRel);
        let again = send_again(shared.clone(), lane.clone(), retried, taken, refusal.clone());
        shared.tasks.spawn(again);
    }
}

async fn offer(shared: &Shared, lane: &Lane, items: &[Item], taken: &Taken) -> Result<(), Refusal> {
    let batches = items.iter().map(|item| item.batch.clone()).collect();
    let request = Request { data: Data::Traces(batches), client: lane.client.clone() };
    let offered = shared.next.offer(request, taken);
    // A lane outlives a fault in what lies behind.
    let answer = match SpanContext::common(items.iter().map(|item| item.ticket.parent)) {
        Some(parent) => unpanicked(parent.scope(offered)).await,
        None => unpanicked(offered).await,
    };
    answer.unwrap_or_else(|_| {
        let reason = "a component behind the batch processor panicked".to_owned();
        Err(Refusal::Internal { reason })
    })
}

/// Until it is taken, or refused for good.
async fn send_again(
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    items: Vec<Item>,
    taken: Taken,
    mut refusal: Refusal,
) {
    let mut delay = RETRY_FIRST;
    let answer = loop {
        let asked = match &refusal {
            Refusal::Exhausted { retry_after, .. } | Refusal::Unavailable { retry_after, .. } => {
                *retry_after
            }
            _ => delay,
        };
        tokio::time::sleep(delay.max(asked.min(RETRY_MAX))).await;
        delay = (delay * 2).min(RETRY_MAX);
        match offer(&shared, &lane, &items, &taken).await {
            Err(again) if again.is_retryable() => refusal = again,
            answer => break answer,
        }
    };
    lane.retried.fetch_sub(1, Ordering::AcqRel);
    conclude(&shared, items, &answer);
}

/// Counts what became of a batch, and tells those who wait.
fn conclude(shared: &Shared, items: Vec<Item>, answer: &Result<(), Refusal>) {
    if items.is_empty() {
        return;
    }
    let spans: usize = items.iter().map(|item| item.batch.len()).sum();
    let acknowledged = items.iter().filter(|item| item.ticket.is_acknowledged);
    let acknowledged: usize = acknowledged.map(|item| item.batch.len()).sum();
    shared.acknowledged.fetch_sub(acknowledged, Ordering::AcqRel);
    match answer {
        Ok(()) => {
            let place = SEND_SIZE_BOUNDS.partition_point(|&bound| bound < spans as u64);
            if let Some(count) = shared.counters.send_sizes.get(place) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            shared.counters.spans_sent.fetch_add(spans as u64, Ordering::Relaxed);
        }
        Err(refusal) if acknowledged > 0 => {
            shared.counters.spans_dropped.fetch_add(acknowledged as u64, Ordering::Relaxed);
            tracing::error!(
                spans = acknowledged,
                %refusal,
                "a batch was refused for good and is lost"
            );
        }
        Err(_) => {}
    }
    items.iter().for_each(|item| item.ticket.part(answer));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestSpan, batch};
    use super::*;

    /// Takes or refuses as told, and notes sizes.
    #[derive(Default)]
    struct Behind {
        sizes: Mutex<Vec<u64>>,
        clients: Mutex<Vec<Arc<Client>>>,
        answers: Mutex<Vec<Refusal>>,
    }

    #[async_trait]
    impl Consumer for Behind {
        async fn consume(&self, request: Request) -> Result<(), Refusal> {
            if let Some(refusal) = self.answers.lock().pop() {
                return Err(refusal);
            }
            self.sizes.lock().push(request.data.items());
            self.clients.lock().push(request.client);
            Ok(())
        }
    }

    fn request(spans: usize, tenant: &str) -> Request {
        let span = || TestSpan { service: "s", name: "n", kind: 1, attributes: vec![] };
        let batch = batch(&(0..spans).map(|_| span()).collect::<Vec<_>>());
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let metadata = vec![header("tenant", tenant), header("x-user", "me")];
        let address = Some(([10, 0, 0, 1], 4000).into());
        let client = Arc::new(Client { metadata, address, ..Client::default() });
        Request { client, ..Request::traces(batch) }
    }

    fn processor(settings: Settings, waits: bool) -> (Arc<Behind>, Arc<Batch>) {
        let behind = Arc::new(Behind::default());
        let batch = Batch::new(settings, behind.clone(), waits, Arc::default());
        (behind, Arc::new(batch))
    }

    fn sized(send_batch_size: usize, send_batch_max_size: usize) -> Settings {
        Settings { send_batch_size, send_batch_max_size, ..Settings::default() }
    }

    async fn end(processor: &Batch) {
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(processor.shutdown(deadline).await, 0);
    }

    fn busy() -> Refusal {
        Refusal::Exhausted { reason: "full".to_owned(), retry_after: Duration::from_secs(3) }
    }

    #[tokio::test(start_paused = true)]
    async fn small_requests_become_large_ones() {
        let (behind, processor) = processor(sized(100, 0), false);
        for _ in 0..25 {
            processor.consume(request(10, "")).await.unwrap();
            // Long enough for the lane to look, too short for the timeout.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(*behind.sizes.lock(), [100, 100]);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(*behind.sizes.lock(), [100, 100, 50]);
        end(&processor).await;
    }

    #[tokio::test(start_paused = true)]
    async fn large_requests_are_split() {
        let (behind, processor) = processor(sized(40, 40), true);
        processor.consume(request(100, "")).await.unwrap();
        assert_eq!(*behind.sizes.lock(), [40, 40, 20]);
        end(&processor).await;
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_hears_what_was_said_behind() {
        let (behind, processor) = processor(Settings::default(), true);
        behind.answers.lock().push(busy());
        assert_eq!(processor.consume(request(1, "")).await, Err(busy()));
        let started = Instant::now();
        let both =
            tokio::join!(processor.consume(request(1, "")), processor.consume(request(2, "")));
        assert_eq!(both, (Ok(()), Ok(())));
        assert_eq!(*behind.sizes.lock(), [3], "one batch of both");
        assert!(started.elapsed() < Duration::from_millis(50), "nothing more was coming");
        end(&processor).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_acknowledged_is_tried_again() {
        let (behind, processor) = processor(sized(1, 0), false);
        *behind.answers.lock() = vec![busy(); 5];
        processor.consume(request(7, "")).await.unwrap();
        end(&processor).await;
        assert_eq!(*behind.sizes.lock(), [7]);
        assert!(processor.consume(request(1, "")).await.is_err(), "after the end");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_good_is_counted() {
        let (behind, processor) = processor(sized(1, 0), false);
        behind.answers.lock().push(Refusal::Invalid { reason: "bad".to_owned() });
        processor.consume(request(7, "")).await.unwrap();
        end(&processor).await;
        assert_eq!(processor.shared.counters.spans_dropped.load(Ordering::Relaxed), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn too_much_is_refused_before_it_is_taken() {
        let (behind, processor) = processor(sized(1, 0), false);
        *behind.answers.lock() = vec![busy(); 1000];
        // As large as all the room, by what it says of itself.
        let held = processor.shared.room.clone().acquire_many_owned((HELD_BYTES_MAX / 1024) as u32);
        let held = held.await.unwrap();
        let refusal = processor.consume(request(1, "")).await.unwrap_err();
        assert!(refusal.is_retryable(), "{refusal}");
        drop(held);
        assert_eq!(processor.consume(request(1, "")).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn senders_are_kept_apart_by_their_headers() {
        let settings = Settings {
            metadata_keys: vec!["Tenant".to_owned()],
            metadata_cardinality_limit: 2,
            ..sized(1000, 0)
        };
        let (behind, processor) = processor(settings, false);
        for tenant in ["a", "b", "a"] {
            processor.consume(request(1, tenant)).await.unwrap();
        }
        let refusal = processor.consume(request(1, "c")).await.unwrap_err();
        assert!(!refusal.is_retryable());
        end(&processor).await;
        let mut sizes = behind.sizes.lock().clone();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 2]);
        for client in &*behind.clients.lock() {
            let names = client.metadata.iter().map(|(name, _)| &**name).collect::<Vec<_>>();
            assert_eq!((&names[..], client.address), (&["tenant"][..], None), "nobody else's");
        }
    }

    /// Panics with its first request.
    struct Faulty(AtomicUsize);

    #[async_trait]
    impl Consumer for Faulty {
        async fn consume(&self, _: Request) -> Result<(), Refusal> {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "as the test wants");
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_behind_it_costs_one_batch() {
        for waits in [true, false] {
            let behind = Arc::new(Faulty(AtomicUsize::new(0)));
            let counters = Arc::new(Counters::default());
            let batch = Batch::new(sized(1, 0), behind.clone(), waits, counters.clone());
            let first = batch.consume(request(7, "")).await;
            assert_eq!(matches!(first, Err(Refusal::Internal { .. })), waits, "{first:?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(batch.consume(request(1, "")).await, Ok(()));
            end(&batch).await;
            assert_eq!(behind.0.load(Ordering::Relaxed), 2);
            let dropped = if waits { 0 } else { 7 };
            assert_eq!(counters.spans_dropped.load(Ordering::Relaxed), dropped, "told or counted");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_full_does_not_hold_up_the_others() {
        let [full, ready] = [(); 2].map(|()| Arc::new(Behind::default()));
        *full.answers.lock() = vec![busy(); 1000];
        let next = crate::flow::FanOut::of(vec![full.clone(), ready.clone()]);
        let processor = Batch::new(sized(1, 0), next, false, Arc::default());
        assert_eq!(processor.consume(request(1, "")).await, Ok(()), "acknowledged at once");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(*ready.sizes.lock(), [1], "once, however often the other is asked again");
        // From here on who sends hears of it, and the one that is ready gets what is new.
        for spans in [2, 3] {
            assert_eq!(processor.consume(request(spans, "")).await, Err(busy()));
        }
        assert_eq!(*ready.sizes.lock(), [1, 2, 3]);
        full.answers.lock().clear();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!((&*full.sizes.lock(), &*ready.sizes.lock()), (&vec![1], &vec![1, 2, 3]));
        assert_eq!(processor.consume(request(4, "")).await, Ok(()));
        end(&processor).await;
        assert_eq!((&*full.sizes.lock(), &*ready.sizes.lock()), (&vec![1, 4], &vec![1, 2, 3, 4]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_too_late_is_refused_and_not_forgotten() {
        for waits in [true, false] {
            let (behind, processor) = processor(sized(1000, 0), waits);
            let all = (HELD_BYTES_MAX / 1024) as u32;
            let held = processor.shared.room.clone().acquire_many_owned(all).await.unwrap();
            let late = {
                let processor = processor.clone();
                tokio::spawn(async move { processor.consume(request(1, "")).await })
            };
            // It has a lane, and waits for room.
            tokio::time::sleep(Duration::from_millis(10)).await;
            end(&processor).await;
            drop(held);
            let answer = late.await.unwrap();
            assert!(answer.is_err_and(|refusal| refusal.is_retryable()), "{waits}");
            assert!(behind.sizes.lock().is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_counts_what_is_under_way() {
        let (behind, processor) = processor(sized(1, 0), false);
        *behind.answers.lock() = vec![busy(); 1000];
        processor.consume(request(7, "")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(processor.consume(request(5, "")).await.is_err(), "its sender has it still");
        let deadline = Instant::now() + Duration::from_secs(10);
        assert_eq!(processor.shutdown(deadline).await, 7);
    }
}
