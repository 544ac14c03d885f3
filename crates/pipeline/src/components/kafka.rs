//! The receiver and the exporter `kafka`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use config::{Diagnostic, Id, Reader};
use kafka::records::Compression;
use kafka::{
    ClusterSettings, ConsumerSettings, ConsumerState, GroupSettings, Mechanism, Partitioner,
    ProducerSettings, Sasl, Strategy, Topics, parse_address,
};
use parking_lot::Mutex;
use regex::Regex;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clients::{SenderPlan, sender, tls};
use super::exporters::Senders;
use super::ports::{Link, samples};
use crate::component::{ExporterPlan, Need, Plan, ReceiverPlan, Running, Stage, Surroundings};
use crate::consumer::Consumer;
use crate::exporters::RetrySettings;
use crate::exporters::kafka::{KafkaExporter, KafkaExporterSettings};
use crate::graph::Registry;
use crate::net::{KafkaClient, KafkaEncoding};
use crate::receivers::kafka::{KafkaCounters, KafkaReceiver, KafkaReceiverSettings, Marking};
use crate::telemetry::{MetricKind, Metrics, Sample};

/// The Collector's `timeout` of most exporters.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What a broker may be asked for at once, so that its answer stays below
/// [`kafka::ANSWER_BYTES_MAX`] by one large batch.
const FETCH_BYTES_MAX: i32 = 100 << 20;

pub(super) fn register(registry: &mut Registry) {
    registry.add_receiver("kafka", |reader| Arc::new(receiver(reader)));
    registry.add_exporter("kafka", |reader| Arc::new(exporter(reader)));
}

/// The keys that receiver and exporter share.
fn client(reader: &mut Reader<'_, '_>) -> KafkaClient {
    let defaults = ClusterSettings::default();
    let brokers = reader.field("brokers").strings();
    if brokers.as_ref().is_some_and(Vec::is_empty) {
        reader.fault("brokers", "brokers must be specified");
    }
    for address in brokers.iter().flatten() {
        if let Err(error) = parse_address(address) {
            reader.fault("brokers", &error);
        }
    }
    // The versions that are spoken fit all brokers from 2.1 on.
    reader.field("protocol_version").parsed("a version of Kafka", |text| {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<&str> = text.split('.').collect();
        let is_version = (2..=4).contains(&parts.len()) && parts.iter().all(|part| is_number(part));
        if is_version { Ok(()) } else { Err(format!("invalid protocol version {text:?}")) }
    });
    if reader.field("resolve_canonical_bootstrap_servers_only").bool().unwrap_or_default() {
        let key = "resolve_canonical_bootstrap_servers_only";
        reader.fault(key, "names are not looked up in reverse here: name the brokers as they are");
    }
    let metadata = reader.field("metadata").section(|reader| {
        reader.field("full").bool();
        let refresh = reader.field("refresh_interval").duration();
        let retry = reader.field("retry").section(|reader| {
            (reader.field("max").int(0..=1000u32), reader.field("backoff").duration())
        });
        (refresh, retry.unwrap_or_default())
    });
    let (refresh_interval, (retries_max, retry_backoff)) = metadata.unwrap_or_default();
    let client_id = reader.field("client_id").string().filter(|id| !id.is_empty());
    // What Go's client does with connections and epochs is done otherwise here; records are read
    // from leaders alone, wherever they stand.
    reader.field("conn_idle_timeout").duration();
    reader.field("use_leader_epoch").bool();
    reader.field("rack_id").string();
    let (sasl, old_tls) = reader.field("auth").section(auth).unwrap_or_default();
    let has_tls = reader.field("tls").unless_null().is_present();
    let own_tls = tls(reader);
    KafkaClient {
        cluster: ClusterSettings {
            brokers: brokers.filter(|list| !list.is_empty()).unwrap_or(defaults.brokers),
            client_id: client_id.unwrap_or_else(|| "otel-collector".to_owned()),
            sasl,
            refresh_interval: refresh_interval.unwrap_or(defaults.refresh_interval),
            retries_max: retries_max.unwrap_or(defaults.retries_max),
            retry_backoff: retry_backoff.unwrap_or(defaults.retry_backoff),
            ..ClusterSettings::default()
        },
        tls: if has_tls { Some(own_tls) } else { old_tls },
    }
}

/// `auth`: SASL, and TLS as it stood there of old.
fn auth(reader: &mut Reader<'_, '_>) -> (Option<Sasl>, Option<crate::net::TlsClientSettings>) {
    let sasl = reader.field("sasl").section(|reader| {
        let mechanism = reader.field("mechanism").required().parsed("a mechanism", |name| {
            Mechanism::from_name(name).ok_or_else(|| {
                format!(
                    "{name:?} is not supported: there are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512"
                )
            })
        });
        reader.field("version").int(0..=1);
        reader.field("aws_msk").node();
        user(reader, mechanism)
    });
    let instead = "it is `sasl` with `mechanism: PLAIN` today";
    let plain = reader
        .field("plain_text")
        .deprecated(instead)
        .section(|reader| user(reader, Some(Mechanism::Plain)));
    reader.refused("kerberos", "Kerberos is not supported: there are PLAIN and SCRAM in `sasl`");
    let has_tls = reader.field("tls").unless_null().is_present();
    if has_tls {
        reader.field("tls").deprecated("it belongs beside `brokers` today").is_present();
    }
    let tls = tls(reader);
    (sasl.or(plain).flatten(), has_tls.then_some(tls))
}

fn user(reader: &mut Reader<'_, '_>, mechanism: Option<Mechanism>) -> Option<Sasl> {
    let username = reader.field("username").required().string();
    let password = reader.field("password").required().secret();
    let (username, password) = (username?, password?.expose().to_owned());
    if username.is_empty() {
        reader.fault("username", "username is required");
    }
    if password.is_empty() {
        reader.fault("password", "password is required");
    }
    Some(Sasl { mechanism: mechanism?, username, password })
}

const ENCODINGS: [(&str, KafkaEncoding); 7] = [
    ("otlp_proto", KafkaEncoding::OtlpProto),
    ("otlp_json", KafkaEncoding::OtlpJson),
    ("jaeger_proto", KafkaEncoding::JaegerProto),
    ("jaeger_json", KafkaEncoding::JaegerJson),
    ("zipkin_proto", KafkaEncoding::ZipkinProto),
    ("zipkin_json", KafkaEncoding::ZipkinJson),
    ("zipkin_thrift", KafkaEncoding::ZipkinThrift),
];

/// Those that are written: all but Zipkin's Thrift, which nobody writes any more.
fn written() -> &'static [(&'static str, KafkaEncoding)] {
    ENCODINGS.split_last().map_or(&[], |(_, written)| written)
}

/// `topic` and `encoding` beside `brokers`, as they stood before v0.124.
fn old_topic(
    reader: &mut Reader<'_, '_>,
    encodings: &'static [(&'static str, KafkaEncoding)],
) -> (Option<String>, Option<KafkaEncoding>) {
    let instead = "it belongs below `traces` today";
    let topic = reader.field("topic").deprecated(instead).string();
    let encoding = reader.field("encoding").deprecated(instead).choice(encodings);
    (topic.filter(|topic| !topic.is_empty()), encoding)
}

struct KafkaExporterPlan {
    settings: KafkaExporterSettings,
    sender: SenderPlan,
}

fn exporter(reader: &mut Reader<'_, '_>) -> KafkaExporterPlan {
    let defaults = KafkaExporterSettings::default();
    let mut client = client(reader);
    let (old_topic, old_encoding) = old_topic(reader, written());
    let (topic, encoding) = signal(reader, "traces", written());
    // Metrics and logs are written in one way, so that there is one to choose.
    let only = written().get(..1).unwrap_or_default();
    let (metrics_topic, _) = signal(reader, "metrics", only);
    let (logs_topic, _) = signal(reader, "logs", only);
    reader.field("profiles").node();
    for key in [
        "partition_metrics_by_resource_attributes",
        "partition_logs_by_resource_attributes",
        "partition_logs_by_trace_id",
    ] {
        if reader.field(key).bool().unwrap_or_default() {
            reader.fault(key, "only traces can be given partitions here");
        }
    }
    if reader.field("include_metadata_keys").strings().is_some_and(|keys| !keys.is_empty()) {
        reader.fault("include_metadata_keys", NO_METADATA);
    }
    let headers = reader.field("record_headers").headers().unwrap_or_default();
    let partitioner = reader.field("record_partitioner").section(partitioner);
    let mut may_create = true;
    let producer = reader.field("producer").section(|reader| {
        let (producer, create) = producer(reader);
        may_create = create;
        producer
    });
    client.cluster.may_create_topics = may_create;
    let settings = KafkaExporterSettings {
        producer: ProducerSettings {
            partitioner: partitioner.unwrap_or_default(),
            ..producer.unwrap_or_default()
        },
        client,
        traces_topic: topic.or(old_topic).unwrap_or(defaults.traces_topic),
        metrics_topic: metrics_topic.unwrap_or(defaults.metrics_topic),
        logs_topic: logs_topic.unwrap_or(defaults.logs_topic),
        encoding: encoding.or(old_encoding).unwrap_or_default(),
        topic_from_attribute: reader
            .field("topic_from_attribute")
            .string()
            .filter(|name| !name.is_empty()),
        partition_traces_by_id: reader.field("partition_traces_by_id").bool().unwrap_or_default(),
        headers: headers
            .into_iter()
            .map(|(name, value)| (name, value.expose().to_owned()))
            .collect(),
        signal_header: reader.field("signal_header").bool().unwrap_or_default(),
    };
    KafkaExporterPlan { settings, sender: sender(reader, TIMEOUT) }
}

const NO_METADATA: &str = "headers of the sender are not at hand here, because a queue on disk does \
                           not keep them";

/// What is set for a signal.
fn signal(
    reader: &mut Reader<'_, '_>,
    name: &'static str,
    encodings: &'static [(&'static str, KafkaEncoding)],
) -> (Option<String>, Option<KafkaEncoding>) {
    let section = reader.field(name).section(|reader| {
        for key in ["topic_from_metadata_key", "message_key_from_metadata_key"] {
            if reader.field(key).string().is_some_and(|text| !text.is_empty()) {
                reader.fault(key, NO_METADATA);
            }
        }
        let topic = reader.field("topic").string().filter(|topic| !topic.is_empty());
        (topic, reader.field("encoding").choice(encodings))
    });
    section.unwrap_or_default()
}

fn partitioner(reader: &mut Reader<'_, '_>) -> Partitioner {
    let hasher = reader.field("sticky_key").section(|reader| {
        let hashers =
            [("sarama_compat", Partitioner::SaramaCompatible), ("murmur2", Partitioner::Murmur2)];
        reader.field("hasher").choice(&hashers).unwrap_or_default()
    });
    let round_robin = reader.field("round_robin").section(|_| Partitioner::RoundRobin);
    for key in ["least_backup", "extension"] {
        reader.refused(key, "is not supported: there are sticky_key and round_robin");
    }
    hasher.or(round_robin).unwrap_or_default()
}

/// `producer`, and whether brokers may make topics.
fn producer(reader: &mut Reader<'_, '_>) -> (ProducerSettings, bool) {
    let defaults = ProducerSettings::default();
    let acks = reader.field("required_acks");
    let acks = match acks.node().map(|node| &node.value) {
        None => defaults.acks,
        Some(config::Value::Int(number @ -1..=1)) => *number as i16,
        Some(config::Value::String(text)) if &**text == "all" => -1,
        Some(_) => {
            reader.fault("required_acks", "expected 'all' (-1), 0, or 1");
            defaults.acks
        }
    };
    let compression = reader.field("compression").parsed("a compression", |name| {
        Compression::from_name(name).ok_or_else(|| {
            format!(
                "compression should be one of 'none', 'gzip', 'snappy', 'lz4', or 'zstd'. \
                 configured value is {name:?}"
            )
        })
    });
    reader.field("compression_params").section(|reader| reader.field("level").int(-1..=22));
    // Messages of a request are sent at once.
    reader.field("linger").duration();
    let bytes = reader.field("max_message_bytes").int(1..=100_000_000usize);
    let records = reader.field("flush_max_messages").int(0..=1_000_000usize);
    let may_create = reader.field("allow_auto_topic_creation").bool().unwrap_or(true);
    let settings = ProducerSettings {
        acks,
        compression: compression.unwrap_or_default(),
        message_bytes_max: bytes.unwrap_or(defaults.message_bytes_max),
        batch_records_max: records.unwrap_or_default(),
        ..defaults
    };
    (settings, may_create)
}

impl Plan for KafkaExporterPlan {
    fn needs(&self) -> Vec<Need> {
        self.sender.needs()
    }

    fn is_exclusive(&self) -> bool {
        self.sender.is_durable()
    }
}

#[async_trait]
impl ExporterPlan for KafkaExporterPlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Stage, String> {
        let export =
            KafkaExporter::new(self.settings.clone()).map_err(|error| error.to_string())?;
        Senders::start(id, around, &self.sender, Arc::new(export)).await
    }
}

struct KafkaReceiverPlan(KafkaReceiverSettings);

fn receiver(reader: &mut Reader<'_, '_>) -> KafkaReceiverPlan {
    let client = client(reader);
    let (old_topic, old_encoding) = old_topic(reader, &ENCODINGS);
    let traces = reader.field("traces").section(|reader| {
        let one = reader.field("topic").deprecated("it is a list today, `topics`").string();
        let topics = reader.field("topics").strings().or(one.map(|topic| vec![topic]));
        let exclude = patterns(reader, "exclude_topics");
        if !exclude.is_empty() && !topics.iter().flatten().any(|topic| topic.starts_with('^')) {
            reader.fault("exclude_topics", "needs a pattern in topics, one that begins with ^");
        }
        (topics, exclude, reader.field("encoding").choice(&ENCODINGS))
    });
    // Of signals that are not received.
    for key in ["metrics", "logs", "profiles", "telemetry", "partition_processing"] {
        reader.field(key).node();
    }
    let (topics, exclude, encoding) = traces.unwrap_or_default();
    let names = topics
        .or(old_topic.map(|topic| vec![topic]))
        .filter(|topics| !topics.is_empty())
        .unwrap_or_else(|| vec!["otlp_spans".to_owned()]);
    let topics = chosen(reader, names, exclude);
    let consumer = consumer(reader, topics);
    let mut settings = KafkaReceiverSettings::new(client, consumer);
    settings.encoding = encoding.or(old_encoding).unwrap_or_default();
    settings.marking = reader.field("message_marking").section(marking).unwrap_or_default();
    if let Some(Some(backoff)) = reader.field("error_backoff").section(error_backoff) {
        settings.backoff = backoff;
    }
    let headers = reader.field("header_extraction").section(|reader| {
        let is_on = reader.field("extract_headers").bool().unwrap_or_default();
        let headers = reader.field("headers").strings().unwrap_or_default();
        if is_on { headers } else { Vec::new() }
    });
    settings.extract_headers = headers.unwrap_or_default();
    KafkaReceiverPlan(settings)
}

fn patterns(reader: &mut Reader<'_, '_>, key: &'static str) -> Vec<Regex> {
    let read = |text: &str| Regex::new(text).map_err(|error| (error.to_string(), None));
    reader.field(key).parsed_list(read).unwrap_or_default()
}

/// Topics by name, or by pattern where one begins with `^`.
fn chosen(reader: &mut Reader<'_, '_>, names: Vec<String>, exclude: Vec<Regex>) -> Topics {
    if !names.iter().any(|name| name.starts_with('^')) {
        return Topics::Named(names);
    }
    let mut patterns = Vec::new();
    for name in names {
        let pattern =
            if name.starts_with('^') { name } else { format!("^{}$", regex::escape(&name)) };
        match Regex::new(&pattern) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => reader.fault("traces", &format!("{pattern:?} is no pattern: {error}")),
        }
    }
    Topics::Matching(Arc::new(move |name| {
        let is_in = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(name));
        is_in(&patterns) && !is_in(&exclude)
    }))
}

fn consumer(reader: &mut Reader<'_, '_>, topics: Topics) -> ConsumerSettings {
    let group = GroupSettings::default();
    let name = reader.field("group_id").string().filter(|name| !name.is_empty());
    let instance = reader.field("group_instance_id").string().filter(|name| !name.is_empty());
    let session_timeout = reader.field("session_timeout").duration();
    let heartbeat_interval = reader.field("heartbeat_interval").duration();
    let rebalance_timeout = reader.field("rebalance_timeout").duration();
    let group = GroupSettings {
        group: name.unwrap_or_else(|| "otel-collector".to_owned()),
        instance,
        session_timeout: session_timeout.unwrap_or(group.session_timeout),
        heartbeat_interval: heartbeat_interval.unwrap_or(group.heartbeat_interval),
        rebalance_timeout: rebalance_timeout.unwrap_or(group.rebalance_timeout),
        strategies: strategies(reader).unwrap_or(group.strategies),
    };
    if group.heartbeat_interval.is_zero() || group.heartbeat_interval >= group.session_timeout {
        reader
            .fault("heartbeat_interval", "must be greater than zero and less than session_timeout");
    }
    let defaults = ConsumerSettings::new(topics, group);
    let from_earliest =
        reader.field("initial_offset").choice(&[("latest", false), ("earliest", true)]);
    let autocommit = reader.field("autocommit").section(|reader| {
        let is_on = reader.field("enable").bool().unwrap_or(true);
        let interval = reader.field("interval").duration();
        is_on.then(|| interval.filter(|time| !time.is_zero()).unwrap_or(Duration::from_secs(1)))
    });
    let min = reader.field("min_fetch_size").int(0..=FETCH_BYTES_MAX);
    let default = reader.field("default_fetch_size").int(1..=FETCH_BYTES_MAX);
    let partition = reader.field("max_partition_fetch_size").int(1..=FETCH_BYTES_MAX);
    // Zero is without bound, which is none at all with brokers that send as much as there is.
    let max = reader.field("max_fetch_size").int(0..=FETCH_BYTES_MAX).filter(|max| *max > 0);
    let wait = reader.field("max_fetch_wait").duration();
    ConsumerSettings {
        from_earliest: from_earliest.unwrap_or_default(),
        fetch_bytes_min: min.unwrap_or(defaults.fetch_bytes_min),
        fetch_bytes_max: max.unwrap_or(defaults.fetch_bytes_max),
        partition_bytes_max: partition.or(default).unwrap_or(defaults.partition_bytes_max),
        fetch_wait_max: wait.unwrap_or(defaults.fetch_wait_max),
        commit_interval: autocommit.unwrap_or(defaults.commit_interval),
        ..defaults
    }
}

/// `group_rebalance_strategies`, and its old name for one.
fn strategies(reader: &mut Reader<'_, '_>) -> Option<Vec<Strategy>> {
    let mut names = None;
    for key in ["group_rebalance_strategy", "group_rebalance_strategies"] {
        let Some(own) = reader.field(key).strings() else { continue };
        for name in own.iter().filter(|name| Strategy::from_name(name).is_none()) {
            if matches!(name.as_str(), "sticky" | "cooperative-sticky") {
                reader.report(|owner, at| {
                    Diagnostic::warning(format!("{owner}: {key}: {name} is not there"))
                        .at(at, "range and roundrobin are")
                        .help("all members of a group must have one in common")
                });
            } else {
                let words = format!("{name:?} is no strategy: there are range and roundrobin");
                reader.fault(key, &words);
            }
        }
        names = Some(own);
    }
    let own: Vec<_> = names?.iter().filter_map(|name| Strategy::from_name(name)).collect();
    Some(own).filter(|own| !own.is_empty())
}

/// What cannot be taken is passed over unless `after` is set and neither of the others is, as in the
/// Collector.
fn marking(reader: &mut Reader<'_, '_>) -> Marking {
    let after = reader.field("after").bool().unwrap_or_default();
    let on_error = reader.field("on_error").bool();
    let on_permanent = reader.field("on_permanent_error").bool();
    let retryable = after && on_error.unwrap_or_default();
    Marking { permanent: !after || on_permanent.unwrap_or(retryable), retryable }
}

fn error_backoff(reader: &mut Reader<'_, '_>) -> Option<RetrySettings> {
    let defaults = RetrySettings::default();
    let mut duration = |key: &'static str| reader.field(key).duration();
    let initial = duration("initial_interval");
    let max = duration("max_interval");
    let elapsed = duration("max_elapsed_time");
    let settings = RetrySettings {
        enabled: true,
        initial_interval: initial.unwrap_or(defaults.initial_interval),
        randomization_factor: reader
            .field("randomization_factor")
            .float(0.0..=1.0)
            .unwrap_or(defaults.randomization_factor),
        multiplier: reader.field("multiplier").float(0.0..=1e6).unwrap_or(defaults.multiplier),
        max_interval: max.unwrap_or(defaults.max_interval),
        max_elapsed_time: Some(elapsed.unwrap_or(Duration::from_secs(300))),
    };
    reader.field("enabled").bool().unwrap_or_default().then_some(settings)
}

impl Plan for KafkaReceiverPlan {}

#[async_trait]
impl ReceiverPlan for KafkaReceiverPlan {
    async fn start(
        &self,
        id: &Id,
        around: &Surroundings,
        next: Arc<dyn Consumer>,
    ) -> Result<Arc<dyn Running>, String> {
        let counters = Arc::new(KafkaCounters::default());
        let (budget, own) = (around.budget.clone(), Arc::clone(&counters));
        let receiver = KafkaReceiver::new(&self.0, budget, next, own);
        let receiver = receiver.map_err(|error| error.to_string())?;
        let state = Arc::clone(receiver.state());
        let trouble = Box::new(receiver.trouble());
        let stop = CancellationToken::new();
        let receiving = tokio::spawn(receiver.run(stop.clone()));
        let running = Arc::new(Receiving {
            id: id.clone(),
            counters,
            state,
            trouble,
            stop,
            receiving: Mutex::new(Some(receiving)),
            ended: AtomicBool::new(false),
        });
        let metrics: Arc<dyn Metrics> = running.clone();
        around.telemetry.add(&metrics);
        Ok(running)
    }
}

struct Receiving {
    id: Id,
    counters: Arc<KafkaCounters>,
    state: Arc<ConsumerState>,
    trouble: Box<dyn Fn() -> Option<String> + Send + Sync>,
    stop: CancellationToken,
    receiving: Mutex<Option<JoinHandle<()>>>,
    ended: AtomicBool,
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Running for Receiving {
    /// What was not committed comes again.
    async fn stop(&self, deadline: Instant) -> u64 {
        self.stop.cancel();
        let receiving = self.receiving.lock().take();
        if let Some(mut receiving) = receiving
            && tokio::time::timeout_at(deadline, &mut receiving).await.is_err()
        {
            receiving.abort();
            tracing::warn!(receiver = %self.id, "messages were still in flight at the deadline");
        }
        0
    }

    fn problem(&self) -> Option<String> {
        let has_ended = self.receiving.lock().as_ref().is_some_and(JoinHandle::is_finished);
        if has_ended && !self.stop.is_cancelled() {
            self.ended.store(true, Ordering::Relaxed);
        }
        if self.ended.load(Ordering::Relaxed) {
            return Some("it has stopped to receive".to_owned());
        }
        (self.trouble)()
    }
}

impl Metrics for Receiving {
    fn collect(&self, out: &mut Vec<Sample>) {
        samples(out, &self.id, "kafka", &self.counters.messages, Link::Files);
        let name = || vec![("name", self.id.to_string())];
        let mut push = |name, help, kind, labels, value: f64| {
            out.push(Sample { name, help, kind, labels, value });
        };
        let state = &self.state;
        for (metric, help, counter) in [
            ("otelcol_kafka_receiver_messages", "Messages that came", &self.counters.received),
            (
                "otelcol_kafka_receiver_partition_start",
                "Partitions that it began to read",
                &state.partitions_begun,
            ),
            (
                "otelcol_kafka_receiver_partition_close",
                "Partitions that it ceased to read",
                &state.partitions_ended,
            ),
            (
                "spanfall_kafka_receiver_poisoned_messages",
                "Messages that can never be taken",
                &self.counters.poisoned,
            ),
            (
                "spanfall_kafka_receiver_given_up_messages",
                "Messages that were not taken for as long as max_elapsed_time says",
                &self.counters.given_up,
            ),
            (
                "spanfall_kafka_receiver_failed_commits",
                "Commits that the group's coordinator did not take",
                &state.commits_failed,
            ),
        ] {
            push(metric, help, MetricKind::Counter, name(), read(counter));
        }
        for view in state.partitions() {
            let labels = || {
                let mut labels = name();
                labels.push(("topic", view.topic.to_string()));
                labels.push(("partition", view.partition.to_string()));
                labels
            };
            let gauge = MetricKind::Gauge;
            let (next, lag) = (view.next as f64, (view.end - view.next).max(0) as f64);
            let metric = "otelcol_kafka_receiver_current_offset";
            push(metric, "The next message to take", gauge, labels(), next);
            let metric = "otelcol_kafka_receiver_offset_lag";
            push(metric, "Messages that wait", gauge, labels(), lag);
        }
    }
}

fn read(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}
