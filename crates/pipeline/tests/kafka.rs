//! The receiver and the exporter `kafka`, with a real broker.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use kafka::records::{Compression, NewRecord};
use kafka::{
    ClusterSettings, ConsumerSettings, GroupSettings, Mechanism, Producer, ProducerSettings, Sasl,
    Strategy, Topics,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pipeline::exporters::kafka::{KafkaExporter, KafkaExporterSettings};
use pipeline::exporters::{Export, ExportError, RetrySettings, Sender, SenderSettings};
use pipeline::net::{KafkaClient, KafkaEncoding, Pem, TlsClientSettings};
use pipeline::receivers::ByteBudget;
use pipeline::receivers::kafka::{KafkaCounters, KafkaReceiver, KafkaReceiverSettings, Marking};
use pipeline::{Consumer, Encoded, Refusal, Request, Signal};
use prost::Message;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, name, shared};
use crate::components::House;
use crate::support::{Behaviour, Recorder};

/// Longer than a rebalance takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(Value::StringValue(value.to_owned()));
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), ..KeyValue::default() }
}

/// Spans with what every format can carry, one to a trace, numbered from `from`.
fn request(from: u32, spans: u32) -> Bytes {
    let span = |number: u32| Span {
        trace_id: [&[7; 12], &(number + 1).to_be_bytes()[..]].concat(),
        span_id: [&[9; 4], &(number + 1).to_be_bytes()[..]].concat(),
        parent_span_id: vec![1, 2, 3, 4, 5, 6, 7, 8],
        name: format!("operation {number}"),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000 + u64::from(number) * 1000,
        end_time_unix_nano: 1_700_000_000_500_000_000 + u64::from(number) * 1000,
        attributes: vec![attribute("city", "Köln"), attribute("number", &number.to_string())],
        ..Span::default()
    };
    let scope =
        ScopeSpans { spans: (from..from + spans).map(span).collect(), ..ScopeSpans::default() };
    let resource =
        Resource { attributes: vec![attribute("service.name", "shop")], ..Resource::default() };
    let resource =
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope], ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec().into()
}

fn encoded(from: u32, spans: u32) -> Encoded {
    Encoded { parts: vec![request(from, spans)], items: spans.into() }
}

/// What of a span survives every format.
fn told(recorder: &Recorder) -> BTreeSet<String> {
    let value = |attributes: &[KeyValue], key: &str| {
        let found = attributes.iter().find(|own| own.key == key);
        match found.and_then(|own| own.value.clone()?.value) {
            Some(Value::StringValue(text)) => text,
            other => format!("{other:?}"),
        }
    };
    let mut lines = BTreeSet::new();
    for resource in recorder.requests().into_iter().flat_map(|request| request.resource_spans) {
        let service = value(&resource.resource.unwrap_or_default().attributes, "service.name");
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let (city, number) =
                (value(&span.attributes, "city"), value(&span.attributes, "number"));
            lines.insert(format!(
                "{:x?} {:x?} {:x?} {} {} {} {} {service} {city} {number}",
                span.trace_id,
                span.span_id,
                span.parent_span_id,
                span.name,
                span.kind,
                span.start_time_unix_nano,
                span.end_time_unix_nano,
            ));
        }
    }
    lines
}

/// The same of requests that were sent.
async fn sent(requests: &[Bytes]) -> BTreeSet<String> {
    let recorder = Recorder::new();
    for bytes in requests {
        let batch = model::SpanBatch::decode(bytes.clone()).unwrap();
        recorder.consume(Request::traces(batch)).await.unwrap();
    }
    told(&recorder)
}

fn client(broker: &Broker) -> KafkaClient {
    let cluster = ClusterSettings { brokers: vec![broker.address()], ..Default::default() };
    KafkaClient { cluster, tls: None }
}

fn exporter(broker: &Broker, topic: &str) -> KafkaExporterSettings {
    KafkaExporterSettings {
        client: client(broker),
        traces_topic: topic.to_owned(),
        ..KafkaExporterSettings::default()
    }
}

async fn export(settings: KafkaExporterSettings, what: &Encoded) -> Result<(), ExportError> {
    KafkaExporter::new(settings).unwrap().export(Signal::Traces, what).await
}

/// From the earliest message, committed at once, in a session as short as the broker allows.
fn receiver(broker: &Broker, topic: &str, group: &str) -> KafkaReceiverSettings {
    let group = GroupSettings {
        group: group.to_owned(),
        session_timeout: Duration::from_secs(3),
        heartbeat_interval: Duration::from_millis(200),
        ..GroupSettings::default()
    };
    let mut consumer = ConsumerSettings::new(Topics::Named(vec![topic.to_owned()]), group);
    consumer.from_earliest = true;
    consumer.commit_interval = Some(Duration::from_millis(50));
    KafkaReceiverSettings::new(client(broker), consumer)
}

/// A receiver that runs.
struct Receiving {
    recorder: Arc<Recorder>,
    counters: Arc<KafkaCounters>,
    state: Arc<kafka::ConsumerState>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Receiving {
    fn start(settings: &KafkaReceiverSettings) -> Self {
        Self::into(settings, Recorder::new())
    }

    fn into(settings: &KafkaReceiverSettings, recorder: Arc<Recorder>) -> Self {
        let counters = Arc::new(KafkaCounters::default());
        let next: Arc<dyn Consumer> = recorder.clone();
        let (budget, own) = (ByteBudget::default(), counters.clone());
        let receiver = KafkaReceiver::new(settings, budget, next, own).unwrap();
        let state = receiver.state().clone();
        let stop = CancellationToken::new();
        let running = tokio::spawn(receiver.run(stop.clone()));
        Self { recorder, counters, state, stop, running }
    }

    /// Waits until so many spans have come, some perhaps twice.
    async fn has(&self, spans: usize) {
        until(&format!("{spans} spans"), async || told(&self.recorder).len() >= spans).await;
    }

    /// Waits until it reads so many partitions.
    async fn reads(&self, partitions: usize) {
        let reads = async || self.state.partitions().len() == partitions;
        until(&format!("{partitions} partitions"), reads).await;
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_encoding_arrives_as_it_left() {
    for (encoding, compression) in [
        (KafkaEncoding::OtlpProto, Compression::None),
        (KafkaEncoding::OtlpJson, Compression::Gzip),
        (KafkaEncoding::JaegerProto, Compression::Snappy),
        (KafkaEncoding::JaegerJson, Compression::Lz4),
        (KafkaEncoding::ZipkinProto, Compression::Zstd),
        (KafkaEncoding::ZipkinJson, Compression::None),
    ] {
        let topic = name("encoding");
        let mut settings = exporter(shared(), &topic);
        settings.encoding = encoding;
        settings.producer.compression = compression;
        export(settings, &encoded(0, 50)).await.unwrap();
        let mut settings = receiver(shared(), &topic, &topic);
        settings.encoding = encoding;
        let receiving = Receiving::start(&settings);
        receiving.has(50).await;
        assert_eq!(told(&receiving.recorder), sent(&[request(0, 50)]).await, "{encoding:?}");
        receiving.stop().await;
    }
}

/// The broker takes apart what we compressed, and we what it compressed with Kafka's own libraries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressions_are_kafkas_own() {
    let all = [
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
        ("uncompressed", Compression::None),
    ];
    for (at, (theirs, _)) in all.into_iter().enumerate() {
        let topic = name(theirs);
        shared().create_topic(&topic, theirs);
        // Another one than the broker's, so that it has to.
        let mut settings = exporter(shared(), &topic);
        settings.producer.compression = all[(at + 1) % all.len()].1;
        // More than a block of any of them.
        export(settings, &encoded(0, 2000)).await.unwrap();
        let receiving = Receiving::start(&receiver(shared(), &topic, &topic));
        receiving.has(2000).await;
        assert_eq!(told(&receiving.recorder), sent(&[request(0, 2000)]).await, "{theirs}");
        receiving.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_killed_loses_nothing_and_one_that_stops_repeats_nothing() {
    let topic = name("killed");
    for batch in 0..10 {
        export(exporter(shared(), &topic), &encoded(batch * 10, 10)).await.unwrap();
    }
    let mut settings = receiver(shared(), &topic, &topic);
    let recorder = Recorder::new();
    recorder.behave(Behaviour::Wait);
    recorder.release(5);
    let first = Receiving::into(&settings, recorder.clone());
    // It has others, too, and waits for the pipeline while it commits what it can.
    until("half of it", async || recorder.taken().len() == 5).await;
    until("others", async || first.counters.received.load(Ordering::Relaxed) > 5).await;
    tokio::time::sleep(4 * settings.consumer.commit_interval.unwrap()).await;
    first.running.abort();
    let _ = first.running.await;
    settings.consumer.commit_interval = Some(Duration::from_secs(3600));
    let second = Receiving::start(&settings);
    until("what the first had not", async || {
        let (mut all, own) = (told(&recorder), told(&second.recorder));
        all.extend(own);
        all.len() == 100
    })
    .await;
    // Commits as it ends.
    second.stop().await;
    export(exporter(shared(), &topic), &encoded(100, 10)).await.unwrap();
    let third = Receiving::start(&settings);
    third.has(10).await;
    assert_eq!(told(&third.recorder), sent(&[request(100, 10)]).await);
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_delivers_all_when_the_broker_was_down() {
    let mut broker = Broker::start();
    let topic = name("down");
    let export = KafkaExporter::new(exporter(&broker, &topic)).unwrap();
    let soon = Duration::from_millis(100);
    let settings = SenderSettings {
        timeout: Duration::from_secs(10),
        retry: RetrySettings {
            initial_interval: soon,
            max_interval: soon,
            max_elapsed_time: Some(Duration::ZERO),
            ..RetrySettings::default()
        },
        ..SenderSettings::default()
    };
    let sender = Sender::new("kafka", Signal::Traces, settings, Arc::new(export));
    sender.start().await.unwrap();
    let mut requests = Vec::new();
    let mut send = async |from: u32| {
        let bytes = request(from, 10);
        let batch = model::SpanBatch::decode(bytes.clone()).unwrap();
        sender.consume(Request::traces(batch)).await.unwrap();
        requests.push(bytes);
    };
    send(0).await;
    until("the first request", async || sender.counters().snapshot().sent == 10).await;
    let receiving = Receiving::start(&receiver(&broker, &topic, &topic));
    receiving.has(10).await;
    broker.stop();
    for from in 1..20 {
        send(from * 10).await;
    }
    until("a retry", async || sender.counters().snapshot().retries > 0).await;
    assert_eq!(sender.counters().snapshot().sent, 10);
    broker.run();
    until("all requests", async || sender.counters().snapshot().sent == 200).await;
    // The receiver, too, finds the broker again.
    receiving.has(200).await;
    assert_eq!(told(&receiving.recorder), sent(&requests).await);
    receiving.stop().await;
    sender.shutdown(Instant::now() + PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_partitions_and_take_over_what_one_leaves() {
    let topic = name("shared");
    let mut by_trace = exporter(shared(), &topic);
    by_trace.partition_traces_by_id = true;
    export(by_trace.clone(), &encoded(0, 30)).await.unwrap();
    let mut settings = receiver(shared(), &topic, &name("group"));
    settings.consumer.group.strategies = vec![Strategy::RoundRobin];
    let all = Recorder::new();
    let first = Receiving::into(&settings, all.clone());
    first.reads(3).await;
    let second = Receiving::into(&settings, all.clone());
    until("the partitions are shared", async || {
        let (own, other) = (first.state.partitions(), second.state.partitions());
        let both: BTreeSet<_> = own.iter().chain(&other).map(|view| view.partition).collect();
        own.len() < 3 && own.len() + other.len() == 3 && both.len() == 3
    })
    .await;
    export(by_trace.clone(), &encoded(100, 30)).await.unwrap();
    first.stop().await;
    second.reads(3).await;
    export(by_trace.clone(), &encoded(200, 30)).await.unwrap();
    let wanted = sent(&[request(0, 30), request(100, 30), request(200, 30)]).await;
    until("all spans", async || told(&all).is_superset(&wanted)).await;
    assert_eq!(told(&all), wanted);
    // What the first had committed as it left did not come again.
    assert_eq!(all.spans().len(), 90);
    second.stop().await;
}

/// With a lasting name, from the latest message, committed after each answer's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_comes_back_and_misses_nothing() {
    let topic = name("static");
    let mut settings = receiver(shared(), &topic, &topic);
    settings.consumer.group.instance = Some("one".to_owned());
    settings.consumer.from_earliest = false;
    settings.consumer.commit_interval = None;
    // Before there is a topic.
    let first = Receiving::start(&settings);
    first.reads(3).await;
    export(exporter(shared(), &topic), &encoded(0, 5)).await.unwrap();
    first.has(5).await;
    first.stop().await;
    // While nobody reads.
    export(exporter(shared(), &topic), &encoded(10, 5)).await.unwrap();
    export(exporter(shared(), &topic), &encoded(20, 5)).await.unwrap();
    let second = Receiving::start(&settings);
    second.has(10).await;
    let wanted = sent(&[request(10, 5), request(20, 5)]).await;
    assert_eq!(told(&second.recorder), wanted);
    assert_eq!(second.state.commits_failed.load(Ordering::Relaxed), 0);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn back_pressure_leaves_messages_at_the_broker_uncommitted() {
    let topic = name("pressure");
    for batch in 0..30 {
        export(exporter(shared(), &topic), &encoded(batch, 1)).await.unwrap();
    }
    let recorder = Recorder::new();
    let retry_after = Duration::from_millis(10);
    let reason = "full".to_owned();
    recorder.behave(Behaviour::Refuse(Refusal::Exhausted { reason, retry_after }));
    let mut settings = receiver(shared(), &topic, &topic);
    settings.backoff.initial_interval = Duration::from_millis(10);
    settings.backoff.max_interval = Duration::from_millis(10);
    let first = Receiving::into(&settings, recorder.clone());
    until("retries", async || recorder.calls() > 100).await;
    // Eight messages a partition at a time, three partitions.
    assert!(first.counters.received.load(Ordering::Relaxed) <= 24);
    assert_eq!(recorder.taken().len(), 0);
    first.stop().await;
    // None was committed: all come to the next.
    recorder.behave(Behaviour::Accept);
    let second = Receiving::into(&settings, recorder.clone());
    second.has(30).await;
    assert_eq!(recorder.spans().len(), 30);
    second.stop().await;
}

async fn produce(broker: &Broker, topic: &str, values: Vec<Bytes>) {
    let cluster = client(broker).cluster().unwrap();
    let producer = Producer::new(cluster, ProducerSettings::default());
    let key = Some(Bytes::from_static(b"one partition"));
    let record = |value| NewRecord { key: key.clone(), value, headers: Vec::new() };
    let records: Vec<_> = values.into_iter().map(record).collect();
    let unsent = producer.send(topic, &records).await;
    assert!(unsent.is_empty(), "{unsent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_spans_is_passed_over_or_blocks_its_partition() {
    for permanent in [true, false] {
        let topic = name("poison");
        let values = vec![request(0, 5), Bytes::from_static(b"no spans"), request(10, 5)];
        produce(shared(), &topic, values).await;
        let mut settings = receiver(shared(), &topic, &topic);
        settings.marking = Marking { permanent, retryable: false };
        let receiving = Receiving::start(&settings);
        until("the poison", async || receiving.counters.poisoned.load(Ordering::Relaxed) > 0).await;
        let next = async || receiving.state.partitions().iter().map(|view| view.next).sum::<i64>();
        let expected = if permanent { 3 } else { 1 };
        until("its offset", async || next().await == expected).await;
        let came = told(&receiving.recorder);
        assert!(came.is_superset(&sent(&[request(0, 5)]).await));
        assert_eq!(receiving.counters.messages.undecodable_requests.load(Ordering::Relaxed), 1);
        receiving.stop().await;
        // What was passed over does not come again, and what was not does.
        let again = Receiving::start(&settings);
        if permanent {
            produce(shared(), &topic, vec![request(20, 5)]).await;
            again.has(5).await;
            assert_eq!(told(&again.recorder), sent(&[request(20, 5)]).await);
        } else {
            until("it again", async || again.counters.poisoned.load(Ordering::Relaxed) > 1).await;
            // What stands behind it came once, with the first try.
            assert!(again.recorder.spans().len() <= 5);
        }
        again.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_too_large_is_cut_and_the_broker_takes_it() {
    let topic = name("large");
    let mut settings = exporter(shared(), &topic);
    settings.producer.message_bytes_max = 2000;
    settings.producer.batch_records_max = 3;
    export(settings, &encoded(0, 200)).await.unwrap();
    // The broker's own bound is what it says for good.
    let mut settings = exporter(shared(), &topic);
    settings.producer.message_bytes_max = 100_000_000;
    let refused = export(settings, &encoded(0, 10_000)).await.unwrap_err();
    let is_permanent =
        matches!(&refused, ExportError::Permanent { reason } if reason.contains("TOO_LARGE"));
    assert!(is_permanent, "{refused:?}");
    let receiving = Receiving::start(&receiver(shared(), &topic, &topic));
    receiving.has(200).await;
    assert_eq!(told(&receiving.recorder), sent(&[request(0, 200)]).await);
    assert!(receiving.recorder.taken().iter().all(|spans| *spans < 20));
    receiving.stop().await;
}

fn secure(user: &str, mechanism: Mechanism, ca: &str) -> KafkaClient {
    let password = format!("{user}-secret");
    let sasl = Some(Sasl { mechanism, username: user.to_owned(), password });
    let cluster = ClusterSettings {
        brokers: vec![shared().secure_address()],
        sasl,
        ..ClusterSettings::default()
    };
    let ca = Some(Pem::Text(ca.to_owned()));
    KafkaClient { cluster, tls: Some(TlsClientSettings { ca, ..TlsClientSettings::default() }) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_let_in_over_tls_by_each_mechanism_and_others_are_not() {
    let ca = &shared().authority_pem;
    for (user, mechanism) in [
        ("plain", Mechanism::Plain),
        ("small", Mechanism::ScramSha256),
        ("large", Mechanism::ScramSha512),
    ] {
        let topic = name("secure");
        let client = secure(user, mechanism, ca);
        let settings =
            KafkaExporterSettings { client: client.clone(), ..exporter(shared(), &topic) };
        export(settings, &encoded(0, 5)).await.unwrap();
        let settings = KafkaReceiverSettings { client, ..receiver(shared(), &topic, &topic) };
        let receiving = Receiving::start(&settings);
        receiving.has(5).await;
        receiving.stop().await;
        let mut wrong = secure(user, mechanism, ca);
        wrong.cluster.sasl.as_mut().unwrap().password = "guess".to_owned();
        wrong.cluster.retries_max = 0;
        let settings = KafkaExporterSettings { client: wrong, ..exporter(shared(), &topic) };
        let refused = export(settings, &encoded(0, 5)).await.unwrap_err().to_string();
        assert!(refused.contains("authentication failed"), "{refused}");
    }
    let mut stranger = secure("plain", Mechanism::Plain, ca);
    stranger.tls = Some(TlsClientSettings::default());
    stranger.cluster.retries_max = 0;
    let settings = KafkaExporterSettings { client: stranger, ..exporter(shared(), "none") };
    let refused = export(settings, &encoded(0, 5)).await.unwrap_err().to_string();
    assert!(refused.contains("certificate"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_configuration_goes_by_way_of_kafka() {
    let (broker, topic) = (shared(), name("whole"));
    let recorder = Recorder::new();
    let mut house = House::with(recorder.clone(), ByteBudget::default());
    let text = format!(
        "
receivers:
  otlp: {{protocols: {{http: {{endpoint: 'localhost:0'}}}}}}
  kafka:
    brokers: ['{secure}']
    traces: {{topics: ['^{topic}$'], exclude_topics: ['^other']}}
    group_id: {topic}
    initial_offset: earliest
    group_rebalance_strategies: [roundrobin]
    metadata: {{refresh_interval: 200ms}}
    header_extraction: {{extract_headers: true, headers: [tenant]}}
    auth: {{sasl: {{mechanism: SCRAM-SHA-512, username: large, password: large-secret}}}}
    tls:
      ca_pem: \"{ca}\"
exporters:
  nop:
  kafka:
    brokers: '{plain}'
    protocol_version: 2.0.0
    topic: {topic}
    encoding: jaeger_proto
    record_headers: {{tenant: acme}}
    producer: {{compression: zstd, required_acks: all}}
  kafka/otlp:
    brokers: ['{plain}']
    traces: {{topic: {topic}}}
    record_headers: [{{name: tenant, value: acme}}]
service:
  pipelines:
    traces/out: {{receivers: [otlp], exporters: [kafka/otlp]}}
    traces/in: {{receivers: [kafka], exporters: [nop]}}
",
        secure = broker.secure_address(),
        plain = broker.address(),
        ca = broker.authority_pem.replace('\n', "\\n"),
    );
    house.apply(&text).await.unwrap();
    house.post_spans(20).await;
    until("spans", async || recorder.spans().len() == 20).await;
    let samples = house.telemetry.collect();
    let told: BTreeMap<_, _> = samples.iter().map(|one| (one.name, one.value)).collect();
    assert_eq!(told["otelcol_kafka_receiver_messages"], 1.0);
    assert_eq!(told["otelcol_kafka_receiver_partition_start"], 3.0);
    assert_eq!(house.counted("otelcol_receiver_accepted_spans", "kafka", None), 20.0);
    let resource = recorder.requests()[0].resource_spans[0].resource.clone().unwrap();
    let header = attribute("kafka.header.tenant", "acme");
    assert!(resource.attributes.contains(&header), "{resource:?}");
    house.graph.stop().await;
}
