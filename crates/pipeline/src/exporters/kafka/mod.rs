//! Spans, data points and log records into topics of Kafka.
//!
//! An attempt has succeeded when the brokers said that they have every message (with
//! `required_acks: 0` nobody says so, and what a broker loses is lost). When some messages of a
//! request were written and others not, all are written again by the next attempt: at least once.
//!
//! Differences to the Collector's exporter (contrib v0.161):
//! - Traces whose message would be larger than `producer.max_message_bytes` are cut, first between
//!   traces, then between spans. A span that is too large alone is refused for good and counted; the
//!   Collector refuses the whole request.
//! - With `topic_from_attribute` every resource goes to its own topic; there, a whole request goes to
//!   that of its first resource.
//! - Topics and keys from the sender's metadata are not supported, because a queue on disk does not
//!   keep it.

mod messages;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use kafka::records::NewRecord;
use kafka::{Producer, ProducerSettings, Unsent};

use super::{Export, ExportError};
use crate::net::{KafkaClient, KafkaEncoding, TlsError};
use crate::{Encoded, Signal};

use messages::{Message, Messages, messages};

/// Up to this many bytes are written anew on the runtime's own threads: a few milliseconds of work.
const INLINE_BYTES_MAX: usize = 256 << 10;

/// Settings of the exporter `kafka`.
#[derive(Debug, Clone)]
pub struct KafkaExporterSettings {
    /// How brokers are reached.
    pub client: KafkaClient,
    /// How messages are written.
    pub producer: ProducerSettings,
    /// The topic of traces. Default `otlp_spans`.
    pub traces_topic: String,
    /// The topic of metrics. Default `otlp_metrics`.
    pub metrics_topic: String,
    /// The topic of logs. Default `otlp_logs`.
    pub logs_topic: String,
    /// How spans stand in a message. Metrics and logs are OTLP protobuf.
    pub encoding: KafkaEncoding,
    /// An attribute of resources that names the topic of their spans instead.
    pub topic_from_attribute: Option<String>,
    /// Gives each trace a message of its own, whose key is the trace's id in hex. Messages of Jaeger's
    /// have it always.
    pub partition_traces_by_id: bool,
    /// Headers of every message.
    pub headers: Vec<(String, String)>,
    /// Adds the header `otelcol.signal`.
    pub signal_header: bool,
}

impl Default for KafkaExporterSettings {
    fn default() -> Self {
        Self {
            client: KafkaClient::default(),
            producer: ProducerSettings::default(),
            traces_topic: "otlp_spans".to_owned(),
            metrics_topic: "otlp_metrics".to_owned(),
            logs_topic: "otlp_logs".to_owned(),
            encoding: KafkaEncoding::default(),
            topic_from_attribute: None,
            partition_traces_by_id: false,
            headers: Vec::new(),
            signal_header: false,
        }
    }
}

impl KafkaExporterSettings {
    fn topic(&self, signal: Signal) -> &str {
        match signal {
            Signal::Traces => &self.traces_topic,
            Signal::Metrics => &self.metrics_topic,
            Signal::Logs => &self.logs_topic,
        }
    }

    fn headers(&self, signal: Signal) -> Vec<(String, Bytes)> {
        let own = self.headers.iter();
        let mut headers: Vec<(String, Bytes)> =
            own.map(|(name, value)| (name.clone(), Bytes::from(value.clone()))).collect();
        if self.signal_header {
            let name = "otelcol.signal".to_owned();
            headers.push((name, Bytes::from_static(signal.name().as_bytes())));
        }
        headers
    }
}

/// Exports to Kafka.
pub struct KafkaExporter {
    producer: Producer,
    settings: Arc<KafkaExporterSettings>,
}

impl KafkaExporter {
    /// An exporter. Nothing is connected yet.
    ///
    /// # Errors
    /// TLS files that cannot be read or do not fit.
    pub fn new(settings: KafkaExporterSettings) -> Result<Self, TlsError> {
        let cluster = settings.client.cluster()?;
        let producer = Producer::new(cluster, settings.producer.clone());
        Ok(Self { producer, settings: Arc::new(settings) })
    }

    async fn messages(&self, signal: Signal, encoded: &Encoded) -> Result<Messages, ExportError> {
        let (bytes, items) = (encoded.joined(), encoded.items);
        let settings = Arc::clone(&self.settings);
        let is_small = bytes.len() <= INLINE_BYTES_MAX;
        let work = move || messages(&settings, signal, bytes, items);
        let done = if is_small {
            work()
        } else {
            let done = tokio::task::spawn_blocking(work).await;
            done.map_err(|error| ExportError::permanent(error.to_string()))?
        };
        done.map_err(ExportError::permanent)
    }

    async fn send(&self, topic: &str, messages: Vec<Message>) -> Sent {
        let (records, items): (Vec<NewRecord>, Vec<u64>) =
            messages.into_iter().map(|message| (message.record, message.items)).unzip();
        let unsent = self.producer.send(topic, &records).await;
        let mut sent = Sent { taken: items.iter().sum(), ..Sent::default() };
        for one in unsent {
            let items = items.get(one.index).copied().unwrap_or_default();
            sent.taken -= items;
            sent.add(&one, items);
        }
        sent
    }
}

/// What became of messages.
#[derive(Default)]
struct Sent {
    taken: u64,
    refused: u64,
    why_refused: String,
    why_again: Option<String>,
}

impl Sent {
    fn add(&mut self, unsent: &Unsent, items: u64) {
        if unsent.is_permanent() {
            self.refuse(items, unsent.error.to_string());
        } else {
            self.why_again.get_or_insert_with(|| unsent.error.to_string());
        }
    }

    fn refuse(&mut self, items: u64, why: String) {
        self.refused += items;
        if self.why_refused.is_empty() {
            self.why_refused = why;
        }
    }

    fn join(&mut self, other: Self) {
        self.taken += other.taken;
        if other.refused > 0 {
            self.refuse(other.refused, other.why_refused);
        }
        self.why_again = self.why_again.take().or(other.why_again);
    }

    fn result(self) -> Result<(), ExportError> {
        match self.why_again {
            Some(reason) => Err(ExportError::retryable(reason)),
            None if self.refused == 0 => Ok(()),
            None if self.taken == 0 => Err(ExportError::permanent(self.why_refused)),
            None => Err(ExportError::Partial { rejected: self.refused, reason: self.why_refused }),
        }
    }
}

#[async_trait]
impl Export for KafkaExporter {
    async fn export(&self, signal: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        let Messages { topics, refused, why } = self.messages(signal, encoded).await?;
        let mut sum = Sent::default();
        if refused > 0 {
            sum.refuse(refused, why);
        }
        let sending =
            topics.into_iter().map(async |(topic, messages)| self.send(&topic, messages).await);
        join_all(sending).await.into_iter().for_each(|sent| sum.join(sent));
        sum.result()
    }
}
