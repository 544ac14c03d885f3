//! The exporters debug, file, nop and load_balancing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::SpanBatch;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use parking_lot::Mutex;
use pipeline::exporters::debug::{Debug, DebugOutput, DebugSettings, Verbosity};
use pipeline::exporters::file::{FileExporter, FileFormat, FileSettings, Rotation};
use pipeline::exporters::load_balancing::{
    LoadBalancer, LoadBalancingSettings, Resolver, RoutingKey,
};
use pipeline::exporters::{Export, ExportError, Nop, QueueSettings};
use pipeline::net::Algorithm;
use pipeline::{Consumer, Encoded, Request, Signal};
use prost::Message;
use tokio::time::Instant;

use crate::exporters_otlp::{eager, grpc, plain};
use crate::support::{Server, protobuf, until};

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn rich() -> Encoded {
    let first = Span {
        trace_id: (1..=16).collect(),
        span_id: (0x11..=0x18).collect(),
        name: "operationA".to_owned(),
        trace_state: "ot=th:0".to_owned(),
        start_time_unix_nano: 1_581_452_772_000_000_321,
        end_time_unix_nano: 1_581_452_773_000_000_789,
        kind: 2,
        dropped_attributes_count: 1,
        dropped_events_count: 1,
        attributes: vec![
            text("text", "a b"),
            attribute("n", any_value::Value::IntValue(-7)),
            attribute("whole", any_value::Value::DoubleValue(2.0)),
            attribute("small", any_value::Value::DoubleValue(2.5e-9)),
        ],
        events: vec![
            Event {
                name: "event-with-attr".to_owned(),
                time_unix_nano: 1_581_452_773_000_000_123,
                attributes: vec![text("span-event-attr", "val")],
                dropped_attributes_count: 2,
            },
            Event { name: "event".to_owned(), ..Event::default() },
        ],
        status: Some(Status { code: 2, message: "status-cancelled".to_owned() }),
        ..Span::default()
    };
    let second = Span {
        parent_span_id: vec![2; 8],
        name: "operationB".to_owned(),
        links: vec![Link {
            trace_id: vec![3; 16],
            span_id: vec![4; 8],
            attributes: vec![text("span-link-attr", "val")],
            dropped_attributes_count: 4,
            ..Link::default()
        }],
        dropped_links_count: 3,
        attributes: Vec::new(),
        events: Vec::new(),
        trace_state: String::new(),
        status: None,
        kind: 0,
        dropped_attributes_count: 0,
        dropped_events_count: 0,
        ..first.clone()
    };
    let scope = InstrumentationScope {
        name: "lib".to_owned(),
        version: "1.2".to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = vec![ScopeSpans {
        scope: Some(scope),
        spans: vec![first, second],
        schema_url: "https://schema".to_owned(),
    }];
    let resource =
        Resource { attributes: vec![text("service.name", "shop")], ..Resource::default() };
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    Encoded { parts: vec![bytes.into()], items: 2 }
}

const NORMAL: &str = "\
ResourceTraces #0 service.name=shop
ScopeTraces #0 lib@1.2 [https://schema]
operationA 0102030405060708090a0b0c0d0e0f10 1112131415161718 text=a b n=-7 whole=2 small=2.5e-9
operationB 0102030405060708090a0b0c0d0e0f10 1112131415161718
";

const DETAILED: &str = "\
ResourceSpans #0
Resource SchemaURL: \n\
Resource attributes:
     -> service.name: Str(shop)
ScopeSpans #0
ScopeSpans SchemaURL: https://schema
InstrumentationScope lib 1.2
Span #0
    Trace ID       : 0102030405060708090a0b0c0d0e0f10
    Parent ID      : \n    ID             : 1112131415161718
    Name           : operationA
    Kind           : Server
    TraceState     : ot=th:0
    Start time     : 2020-02-11 20:26:12.000000321 +0000 UTC
    End time       : 2020-02-11 20:26:13.000000789 +0000 UTC
    Status code    : Error
    Status message : status-cancelled
    DroppedAttributesCount: 1
Attributes:
     -> text: Str(a b)
     -> n: Int(-7)
     -> whole: Double(2)
     -> small: Double(2.5e-9)
Events:
SpanEvent #0
     -> Name: event-with-attr
     -> Timestamp: 2020-02-11 20:26:13.000000123 +0000 UTC
     -> DroppedAttributesCount: 2
     -> Attributes::
          -> span-event-attr: Str(val)
SpanEvent #1
     -> Name: event
     -> Timestamp: 1970-01-01 00:00:00 +0000 UTC
     -> DroppedAttributesCount: 0
    DroppedEventsCount: 1
    DroppedLinksCount: 0
Span #1
    Trace ID       : 0102030405060708090a0b0c0d0e0f10
    Parent ID      : 0202020202020202
    ID             : 1112131415161718
    Name           : operationB
    Kind           : Unspecified
    Start time     : 2020-02-11 20:26:12.000000321 +0000 UTC
    End time       : 2020-02-11 20:26:13.000000789 +0000 UTC
    Status code    : Unset
    Status message : \n    DroppedAttributesCount: 0
    DroppedEventsCount: 0
Links:
SpanLink #0
     -> Trace ID: 03030303030303030303030303030303
     -> ID: 0404040404040404
     -> TraceState: \n     -> DroppedAttributesCount: 4
     -> Attributes::
          -> span-link-attr: Str(val)
    DroppedLinksCount: 3
";

fn debug(settings: DebugSettings) -> (Debug, Arc<Mutex<Vec<u8>>>) {
    let written = Arc::<Mutex<Vec<u8>>>::default();
    (Debug::new(settings, DebugOutput::Writer(written.clone())), written)
}

fn written(written: &Mutex<Vec<u8>>) -> String {
    String::from_utf8(written.lock().clone()).unwrap()
}

#[tokio::test]
async fn debug_writes_what_the_collector_writes() {
    let counts = "Traces\t{\"resource spans\": 1, \"spans\": 2}\n";
    for (verbosity, expected) in [
        (Verbosity::Basic, counts.to_owned()),
        (Verbosity::Normal, format!("{counts}{NORMAL}")),
        (Verbosity::Detailed, format!("{counts}{DETAILED}")),
    ] {
        let (exporter, out) = debug(DebugSettings { verbosity, ..DebugSettings::default() });
        exporter.export(Signal::Traces, &rich()).await.unwrap();
        assert_eq!(written(&out), expected);
    }
}

/// It only looks: what it does not understand is others' to refuse.
#[tokio::test]
async fn debug_takes_what_it_cannot_read() {
    for verbosity in [Verbosity::Basic, Verbosity::Detailed] {
        let (exporter, out) = debug(DebugSettings { verbosity, ..DebugSettings::default() });
        let encoded = Encoded { parts: vec![vec![0xff; 9].into()], items: 7 };
        exporter.export(Signal::Traces, &encoded).await.unwrap();
        assert_eq!(written(&out), "Traces\t{\"spans\": 7}\n");
    }
}

#[tokio::test(start_paused = true)]
async fn debug_samples_by_the_second() {
    for (sampling_initial, sampling_thereafter, lines) in
        [(2, 1, 20), (2, 4, 8), (3, 0, 6), (0, 5, 4)]
    {
        let settings =
            DebugSettings { sampling_initial, sampling_thereafter, ..DebugSettings::default() };
        let (exporter, out) = debug(settings);
        for _ in 0..2 {
            for _ in 0..10 {
                exporter.export(Signal::Logs, &Encoded::default()).await.unwrap();
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let count = written(&out).lines().count();
        assert_eq!(count, lines, "{sampling_initial} {sampling_thereafter}");
    }
}

/// Requests behind four bytes of length each.
fn prefixed(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (one, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        all.push(one.to_vec());
        bytes = rest;
    }
    assert!(bytes.is_empty());
    all
}

fn two_parts() -> Encoded {
    Encoded { parts: vec![protobuf(2, 0).into(), protobuf(3, 0).into()], items: 5 }
}

#[tokio::test]
async fn a_file_holds_every_request_and_is_continued() {
    let dir = tempfile::tempdir().unwrap();
    for (format, zstd) in [
        (FileFormat::Json, false),
        (FileFormat::Json, true),
        (FileFormat::Proto, false),
        (FileFormat::Proto, true),
    ] {
        let settings = FileSettings {
            format,
            zstd,
            append: true,
            create_directory: true,
            ..FileSettings::new(dir.path().join(format!("{format:?}{zstd}/traces")))
        };
        for _ in 0..2 {
            let exporter = FileExporter::new(settings.clone()).unwrap();
            for _ in 0..2 {
                exporter.export(Signal::Traces, &two_parts()).await.unwrap();
            }
        }
        let bytes = std::fs::read(&settings.path).unwrap();
        let mut requests: Vec<Vec<u8>> = match (format, zstd) {
            (FileFormat::Json, false) => {
                bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
            }
            _ => prefixed(&bytes),
        };
        for request in &mut requests {
            if zstd {
                *request = zstd::decode_all(&request[..]).unwrap();
            }
            if format == FileFormat::Json {
                *request = model::json::decode(request).unwrap();
            }
        }
        assert_eq!(requests.len(), 4, "{format:?} {zstd}");
        for request in requests {
            assert_eq!(SpanBatch::decode(request.into()).unwrap().len(), 5);
        }
        let fresh = FileSettings { append: false, ..settings.clone() };
        FileExporter::new(fresh).unwrap();
        assert_eq!(std::fs::metadata(&settings.path).unwrap().len(), 0, "without append");
    }
}

#[tokio::test]
async fn a_file_rotates_and_old_ones_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("traces.bin");
    let rotation = Rotation { max_megabytes: 1, max_days: 0, max_backups: 2 };
    let settings = FileSettings {
        format: FileFormat::Proto,
        rotation: Some(rotation),
        ..FileSettings::new(&path)
    };
    std::fs::write(dir.path().join("traces-other.bin"), "not ours").unwrap();
    let exporter = FileExporter::new(settings).unwrap();
    let encoded = Encoded { parts: vec![vec![7; 600 << 10].into()], items: 1 };
    for _ in 0..6 {
        exporter.export(Signal::Metrics, &encoded).await.unwrap();
    }
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(names[2..], ["traces-other.bin", "traces.bin"], "{names:?}");
    for name in &names {
        if name != "traces-other.bin" {
            let bytes = std::fs::read(dir.path().join(name)).unwrap();
            assert_eq!(prefixed(&bytes).len(), 1, "{name}");
        }
    }
}

#[tokio::test]
async fn a_file_that_was_taken_away_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("traces.bin");
    let rotation = Rotation { max_megabytes: 1, ..Rotation::default() };
    let settings = FileSettings {
        format: FileFormat::Proto,
        rotation: Some(rotation),
        ..FileSettings::new(&path)
    };
    let exporter = FileExporter::new(settings).unwrap();
    let encoded = Encoded { parts: vec![vec![7; 600 << 10].into()], items: 1 };
    exporter.export(Signal::Metrics, &encoded).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    for _ in 0..3 {
        exporter.export(Signal::Metrics, &encoded).await.unwrap();
    }
    assert_eq!(prefixed(&std::fs::read(&path).unwrap()).len(), 1);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_refuses() {
    assert!(FileExporter::new(FileSettings::new("/nowhere/at/all")).is_err());
    if Path::new("/dev/full").exists() {
        let exporter = FileExporter::new(FileSettings::new("/dev/full")).unwrap();
        let error = exporter.export(Signal::Traces, &two_parts()).await.unwrap_err();
        assert!(matches!(error, ExportError::Retryable { .. }), "{error:?}");
    }
    Nop.export(Signal::Traces, &two_parts()).await.unwrap();
}

/// A request of a span for each of so many traces, of one of three services.
fn many_traces(traces: u8) -> Request {
    let spans = |service: u8| {
        let own = (0..traces).filter(move |trace| trace % 3 == service);
        own.flat_map(|trace| (1..=2).map(move |span| (trace, span)))
            .map(|(trace, span)| Span {
                trace_id: vec![trace + 1; 16],
                span_id: vec![span; 8],
                attributes: vec![text("shard", &(trace % 5).to_string())],
                ..Span::default()
            })
            .collect::<Vec<_>>()
    };
    let resource_spans = (0..3)
        .map(|service| ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", &format!("service-{service}"))],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans { spans: spans(service), ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        })
        .collect();
    let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    Request::traces(SpanBatch::decode(bytes.into()).unwrap())
}

/// Keeps what it is given, by the endpoint that it was made for.
type Kept = Arc<Mutex<BTreeMap<String, Vec<SpanBatch>>>>;

struct Keeps(String, Kept);

#[async_trait::async_trait]
impl Export for Keeps {
    async fn export(&self, _: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        let batch = SpanBatch::decode(encoded.joined()).unwrap();
        assert_eq!(batch.len() as u64, encoded.items);
        self.1.lock().entry(self.0.clone()).or_default().push(batch);
        Ok(())
    }
}

#[tokio::test]
async fn spans_that_belong_together_stay_together() {
    type KeyOf = fn(&SpanBatch, &model::Span) -> String;
    let trace: KeyOf = |_, span| span.trace_id.to_string();
    let service: KeyOf = |batch, span| batch.service_name(batch.origin(span).1).to_owned();
    let shard: KeyOf =
        |batch, span| model::json::value_text(batch, batch.span_attributes(span)[0].value);
    for (routing_key, key_of, keys) in [
        (RoutingKey::TraceId, trace, 90),
        (RoutingKey::Service, service, 3),
        (RoutingKey::Resource, service, 3),
        (RoutingKey::Attributes(vec!["shard".to_owned()]), shard, 5),
        (
            RoutingKey::Attributes(vec!["span.name".to_owned(), "service.name".to_owned()]),
            service,
            3,
        ),
    ] {
        let row = format!("{routing_key:?}");
        let kept = Kept::default();
        let hostnames = ["one", "two", "three:99"].map(str::to_owned).to_vec();
        let settings = LoadBalancingSettings {
            routing_key,
            resolver: Resolver::Static { hostnames },
            sender: eager(QueueSettings { wait_for_result: true, ..QueueSettings::default() }),
        };
        let make = {
            let kept = kept.clone();
            move |endpoint: &str| {
                Ok(Arc::new(Keeps(endpoint.to_owned(), kept.clone())) as Arc<dyn Export>)
            }
        };
        let balancer = LoadBalancer::new("lb", settings, Box::new(make));
        assert!(balancer.consume(many_traces(1)).await.unwrap_err().is_retryable(), "not started");
        balancer.start().await;
        for _ in 0..2 {
            balancer.consume(many_traces(90)).await.unwrap();
        }
        let mut home: BTreeMap<String, String> = BTreeMap::new();
        let mut spans = 0;
        for (endpoint, batches) in kept.lock().iter() {
            assert!(["one:4317", "two:4317", "three:99"].contains(&endpoint.as_str()), "{row}");
            for batch in batches {
                for span in batch.spans() {
                    let before = home.insert(key_of(batch, span), endpoint.clone());
                    assert!(before.is_none_or(|before| before == *endpoint), "{row}");
                    spans += 1;
                }
            }
        }
        assert_eq!((spans, home.len()), (360, keys), "{row}");
        assert_eq!(balancer.snapshot().sent, 360, "{row}");
        if keys == 90 {
            assert_eq!(kept.lock().len(), 3, "{row}: all have some");
        }
        balancer.shutdown(Instant::now() + Duration::from_secs(10)).await;
    }
}

#[tokio::test]
async fn load_balancing_over_dns_to_real_receivers() {
    let backend = Server::grpc().await;
    let settings = LoadBalancingSettings {
        routing_key: RoutingKey::TraceId,
        resolver: Resolver::Dns {
            hostname: "127.0.0.1".to_owned(),
            port: backend.addr.port(),
            interval: Duration::from_millis(20),
            timeout: Duration::from_secs(5),
        },
        sender: eager(QueueSettings::default()),
    };
    let make = |endpoint: &str| {
        let exporter = grpc(endpoint.parse().unwrap(), plain(Algorithm::Gzip));
        Ok(Arc::new(exporter) as Arc<dyn Export>)
    };
    let balancer = LoadBalancer::new("lb", settings, Box::new(make));
    balancer.start().await;
    balancer.consume(many_traces(30)).await.unwrap();
    until("all have left", || balancer.snapshot().sent == 60).await;
    assert_eq!(backend.consumer.taken(), [60]);
    assert_eq!(balancer.endpoints().keys().collect::<Vec<_>>(), [&backend.addr.to_string()]);
    balancer.shutdown(Instant::now() + Duration::from_secs(10)).await;
    assert!(balancer.consume(many_traces(1)).await.unwrap_err().is_retryable());
}
