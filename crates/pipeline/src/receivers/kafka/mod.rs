//! Spans from topics of Kafka, as a member of a group.
//!
//! A message's offset is committed after the pipeline took its spans, never before: at least once.
//! A pipeline that refuses for now is asked again, with growing pauses, and nothing more is fetched
//! meanwhile, so that messages wait at the broker. A message that can never be taken (its bytes are
//! no spans, or the pipeline says that they are bad) is counted, logged with its place, and passed
//! over, or blocks its partition where `message_marking` asks for that.
//!
//! Differences to the Collector's receiver (contrib v0.161):
//! - `message_marking.after: false`, its default, marks messages there before they are processed, so
//!   that a crash or a refusal loses them. Here they are marked afterwards in any case; the key only
//!   decides, as there, whether what can never be taken is passed over.
//! - A pipeline that refuses for now is asked again without end, also without `error_backoff`; there,
//!   it loses the message.
//! - Spreading over members is `range` or `roundrobin`.
//! - What `header_extraction` names becomes attributes of resources, `kafka.header.<name>`, as there.
//!   Other headers are at hand as the client's metadata.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kafka::records::{Record, RecordError};
use kafka::{Consumer as Group, ConsumerSettings, ConsumerState, Handled, Handler, Place};
use model::{Attribute, EditError, Owner, SpanBatch, Value};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::BodyError;
use super::budget::ByteBudget;
use super::counters::TransportCounters;
use super::foreign::{Foreign, ZipkinEncoding};
use super::otlp::fault::Fault;
use super::otlp::intake::{Decoded, Encoding, Intake, Message};
use super::settings::ServerSettings;
use crate::exporters::RetrySettings;
use crate::exporters::rarely::Rarely;
use crate::exporters::retry::Backoff;
use crate::net::{KafkaClient, KafkaEncoding, TlsError};
use crate::{Client, Consumer, Data, Refusal, Request};
use formats::zipkin::TagTypes;

/// How long a partition waits that a message blocks.
const BLOCKED_WAIT: Duration = Duration::from_secs(5);
/// The wait for memory that others hold.
const BUSY_WAIT: Duration = Duration::from_millis(100);
/// Headers of a message that are looked at.
const HEADERS_MAX: usize = 64;
/// Between lines about brokers that cannot be reached.
const TROUBLE_PAUSE: Duration = Duration::from_secs(10);

/// What becomes of messages that are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marking {
    /// Passes over what can never be taken; otherwise its partition waits. Default true.
    pub permanent: bool,
    /// Passes over, counted as lost, what was not taken for as long as `max_elapsed_time` says;
    /// otherwise it is tried without end. Default false.
    pub retryable: bool,
}

impl Default for Marking {
    fn default() -> Self {
        Self { permanent: true, retryable: false }
    }
}

/// Settings of the receiver `kafka`.
#[derive(Clone)]
pub struct KafkaReceiverSettings {
    /// How brokers are reached.
    pub client: KafkaClient,
    /// What is read, and how.
    pub consumer: ConsumerSettings,
    /// How spans stand in a message.
    pub encoding: KafkaEncoding,
    /// What becomes of messages that are not taken.
    pub marking: Marking,
    /// The pauses after which a pipeline that refuses for now is asked again. Default 100 ms to 5 s.
    pub backoff: RetrySettings,
    /// Headers that become attributes of resources.
    pub extract_headers: Vec<String>,
}

impl KafkaReceiverSettings {
    /// The defaults, with what is read.
    pub fn new(client: KafkaClient, consumer: ConsumerSettings) -> Self {
        Self {
            client,
            consumer,
            encoding: KafkaEncoding::default(),
            marking: Marking::default(),
            backoff: RetrySettings {
                initial_interval: Duration::from_millis(100),
                max_interval: Duration::from_secs(5),
                ..RetrySettings::default()
            },
            extract_headers: Vec::new(),
        }
    }
}

/// What it counts besides spans.
#[derive(Debug, Default)]
pub struct KafkaCounters {
    /// Spans, and messages that were none.
    pub messages: Arc<TransportCounters>,
    /// Messages that came.
    pub received: AtomicU64,
    /// Messages, or batches of them, that can never be taken.
    pub poisoned: AtomicU64,
    /// Messages given up after `max_elapsed_time`.
    pub given_up: AtomicU64,
}

/// Receives from Kafka.
pub struct KafkaReceiver {
    group: Group,
    work: Arc<Work>,
}

impl KafkaReceiver {
    /// A receiver. Nothing is connected yet.
    ///
    /// # Errors
    /// TLS files that cannot be read or do not fit.
    pub fn new(
        settings: &KafkaReceiverSettings,
        budget: ByteBudget,
        next: Arc<dyn Consumer>,
        counters: Arc<KafkaCounters>,
    ) -> Result<Self, TlsError> {
        let cluster = settings.client.cluster()?;
        let server = ServerSettings::default();
        let messages = Arc::clone(&counters.messages);
        let work = Arc::new(Work {
            intake: Intake::new(&server, budget, Arc::clone(&next), messages),
            next,
            counters,
            encoding: encoding(settings.encoding),
            marking: settings.marking,
            backoff: settings.backoff,
            extract_headers: settings.extract_headers.clone(),
            tasks: TaskTracker::new(),
            trouble: Mutex::default(),
            trouble_line: Rarely::every(TROUBLE_PAUSE),
            poison_line: Rarely::default(),
        });
        let group = Group::new(cluster, settings.consumer.clone(), Arc::new(Own(work.clone())));
        Ok(Self { group, work })
    }

    /// How far it is.
    pub fn state(&self) -> &Arc<ConsumerState> {
        self.group.state()
    }

    /// What keeps it from its work.
    pub fn trouble(&self) -> impl Fn() -> Option<String> + Send + Sync + 'static {
        let (work, state) = (Arc::clone(&self.work), Arc::clone(self.state()));
        move || work.trouble.lock().clone().or_else(|| state.commit_trouble())
    }

    /// Receives until `stop`; then what is under way is finished and committed. Dropping it loses
    /// nothing.
    pub async fn run(self, stop: CancellationToken) {
        self.group.run(&stop).await;
        self.work.tasks.close();
        self.work.tasks.wait().await;
    }
}

fn encoding(encoding: KafkaEncoding) -> Encoding {
    let zipkin = |encoding| Encoding::Foreign(Foreign::Zipkin(encoding, TagTypes::Text));
    match encoding {
        KafkaEncoding::OtlpProto => Encoding::Protobuf,
        KafkaEncoding::OtlpJson => Encoding::Json,
        KafkaEncoding::JaegerProto => Encoding::Foreign(Foreign::JaegerSpanProto),
        KafkaEncoding::JaegerJson => Encoding::Foreign(Foreign::JaegerSpanJson),
        KafkaEncoding::ZipkinProto => zipkin(ZipkinEncoding::V2Proto),
        KafkaEncoding::ZipkinJson => zipkin(ZipkinEncoding::V2Json),
        KafkaEncoding::ZipkinThrift => zipkin(ZipkinEncoding::V1Thrift),
    }
}

/// What handles messages.
struct Work {
    intake: Arc<Intake>,
    next: Arc<dyn Consumer>,
    counters: Arc<KafkaCounters>,
    encoding: Encoding,
    marking: Marking,
    backoff: RetrySettings,
    extract_headers: Vec<String>,
    tasks: TaskTracker,
    trouble: Mutex<Option<String>>,
    trouble_line: Rarely,
    poison_line: Rarely,
}

struct Own(Arc<Work>);

#[async_trait]
impl Handler for Own {
    /// In a task of its own, so that a panic stays there and the pipeline is not dropped half-way.
    async fn handle(&self, place: Place, record: Record, ending: &CancellationToken) -> Handled {
        TransportCounters::add(&self.0.counters.received, 1);
        let Some(bytes) = record.value.clone().filter(|bytes| !bytes.is_empty()) else {
            // No spans.
            return Handled::Done;
        };
        let (work, ending, own) = (Arc::clone(&self.0), ending.clone(), place.clone());
        let task = self.0.tasks.spawn(async move { work.take(own, &record, bytes, &ending).await });
        match task.await {
            Ok(handled) => handled,
            // The runtime ends.
            Err(error) if error.is_cancelled() => Handled::Ended,
            Err(error) => {
                TransportCounters::add(&self.0.counters.messages.panicked_requests, 1);
                self.0.poisoned(&place, &error.to_string())
            }
        }
    }

    fn unreadable(&self, place: &Place, error: &RecordError) -> Handled {
        TransportCounters::add(&self.0.counters.messages.undecodable_requests, 1);
        self.0.poisoned(place, &error.to_string())
    }

    fn trouble(&self, error: Option<&kafka::Error>) {
        let text = error.map(ToString::to_string);
        if let Some(error) = &text
            && self.0.trouble_line.add(0).is_some()
        {
            tracing::warn!(error, "Kafka cannot be read for now; it is tried again");
        }
        let mut trouble = self.0.trouble.lock();
        if *trouble != text {
            *trouble = text;
        }
    }
}

impl Work {
    /// What can never be taken.
    fn poisoned(&self, place: &Place, why: &str) -> Handled {
        TransportCounters::add(&self.counters.poisoned, 1);
        let Place { topic, partition, offset } = place;
        if let Some(sum) = self.poison_line.add(1) {
            tracing::error!(
                %topic, partition, offset, why, messages = sum.items,
                "a message is no spans that can be taken; {}",
                if self.marking.permanent { "it is passed over" } else { "its partition waits" },
            );
        }
        if self.marking.permanent { Handled::Done } else { Handled::Again(BLOCKED_WAIT) }
    }

    async fn take(
        &self,
        place: Place,
        record: &Record,
        bytes: Bytes,
        ending: &CancellationToken,
    ) -> Handled {
        let headers = record.headers(HEADERS_MAX);
        let decoded = match self.decode(bytes, ending).await {
            Ok(Some(decoded)) => decoded,
            Ok(None) => return Handled::Ended,
            Err(fault) => {
                TransportCounters::add(&self.counters.messages.undecodable_requests, 1);
                return self.poisoned(&place, &fault.to_string());
            }
        };
        let left_out = &decoded.rejection;
        TransportCounters::add(&self.counters.messages.rejected_spans, left_out.spans);
        if decoded.batch.is_empty() {
            let is_empty = left_out.spans == 0;
            return if is_empty { Handled::Done } else { self.poisoned(&place, &left_out.reason) };
        }
        // Covers them until they are taken.
        let (mut spans, _reservation) = (decoded.batch, decoded._reservation);
        if let Err(error) = self.extract(&mut spans, &headers) {
            return self.poisoned(&place, &error.to_string());
        }
        self.hand_on(&place, Arc::new(spans), headers, ending).await
    }

    /// `None` when all came to an end before there was memory for it.
    async fn decode(
        &self,
        bytes: Bytes,
        ending: &CancellationToken,
    ) -> Result<Option<Decoded>, Fault> {
        loop {
            let mut reservation = self.intake.reservation();
            let decoded = match reservation.resize(bytes.len()) {
                Err(_) if bytes.len() > reservation.budget().bytes_max() => {
                    let bytes_max = reservation.budget().bytes_max();
                    Err(Fault::Body(BodyError::TooManySpans { bytes_max }))
                }
                Err(_) => Err(Fault::Body(BodyError::Busy)),
                Ok(()) => {
                    let (encoding, bytes) = (self.encoding, bytes.clone());
                    let client = Arc::default();
                    let message = Message { encoding, coding: None, client, bytes, reservation };
                    self.intake.decode(message).await
                }
            };
            match decoded {
                Err(Fault::Body(BodyError::Busy)) => {
                    TransportCounters::add(&self.counters.messages.busy_requests, 1);
                    tokio::select! {
                        () = sleep(BUSY_WAIT) => {}
                        () = ending.cancelled() => return Ok(None),
                    }
                }
                decoded => return decoded.map(Some),
            }
        }
    }

    fn extract(&self, spans: &mut SpanBatch, headers: &[(String, Bytes)]) -> Result<(), EditError> {
        for name in &self.extract_headers {
            let Some((_, value)) = headers.iter().find(|(own, _)| own == name) else { continue };
            let key = spans.add_text(format!("kafka.header.{name}").as_bytes())?;
            let value = spans.add_text(String::from_utf8_lossy(value).as_bytes())?;
            for resource in 0..spans.resources().len() {
                let owner = Owner::Resource(resource);
                let attribute = Attribute { key, value: Value::String(value) };
                spans.set_attribute(owner, attribute.key, attribute.value)?;
            }
        }
        Ok(())
    }

    /// Until the pipeline takes it, or says that it never will.
    async fn hand_on(
        &self,
        place: &Place,
        spans: Arc<SpanBatch>,
        headers: Vec<(String, Bytes)>,
        ending: &CancellationToken,
    ) -> Handled {
        let metadata = headers
            .into_iter()
            .map(|(name, value)| {
                (name.to_ascii_lowercase(), String::from_utf8_lossy(&value).into_owned())
            })
            .collect();
        let client = Arc::new(Client { metadata, ..Client::default() });
        let counters = &self.counters.messages;
        let items = spans.len() as u64;
        let mut backoff = Backoff::new(self.backoff);
        let begun = Instant::now();
        let elapsed_max = self.backoff.max_elapsed_time.filter(|most| !most.is_zero());
        loop {
            let data = Data::Traces(vec![Arc::clone(&spans)]);
            let request = Request { data, client: Arc::clone(&client) };
            let Err(refusal) = self.next.consume(request).await else {
                TransportCounters::add(&counters.accepted_spans, items);
                return Handled::Done;
            };
            TransportCounters::add(&counters.refused_spans, items);
            let retry_after = match refusal {
                Refusal::Exhausted { retry_after, .. }
                | Refusal::Unavailable { retry_after, .. } => retry_after,
                Refusal::Invalid { reason } | Refusal::Internal { reason } => {
                    return self.poisoned(place, &reason);
                }
            };
            let is_late = elapsed_max.is_some_and(|most| begun.elapsed() > most);
            if is_late && self.marking.retryable {
                TransportCounters::add(&self.counters.given_up, 1);
                let Place { topic, partition, offset } = place;
                tracing::error!(
                    %topic, partition, offset,
                    "a message was not taken for as long as max_elapsed_time says; it is passed over"
                );
                return Handled::Done;
            }
            let wait = backoff.next().max(retry_after.min(self.backoff.max_interval));
            tokio::select! {
                () = sleep(wait) => {}
                () = ending.cancelled() => return Handled::Ended,
            }
        }
    }
}
