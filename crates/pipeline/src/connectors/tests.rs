//! What connectors count, read back with prost.

use std::sync::Arc;

use async_trait::async_trait;
use model::SpanBatch;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data as MetricData;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use ottl::Context;
use parking_lot::Mutex;
use prost::Message;

use super::count::{Count, Counted, Settings};
use super::exceptions::{Exceptions, default_dimensions};
use crate::consumer::{Consumer, Refusal};
use crate::data::{Data, Request};

#[derive(Default)]
struct Sink(Mutex<Vec<Data>>);

#[async_trait]
impl Consumer for Sink {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        self.0.lock().push(request.data);
        Ok(())
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, key_strindex: 0 }
}

/// Two services; one span of the first has two exceptions and another event.
fn spans() -> SpanBatch {
    let span = |id: u8, name: &str, events: Vec<Event>| Span {
        trace_id: vec![7; 16],
        span_id: vec![id; 8],
        name: name.to_owned(),
        kind: 2,
        attributes: vec![text("route", if id == 3 { "/b" } else { "/a" })],
        events,
        ..Span::default()
    };
    let event = |name: &str, attributes| Event {
        time_unix_nano: 5,
        name: name.to_owned(),
        attributes,
        ..Event::default()
    };
    let exception = |kind: &str| event("exception", vec![text("exception.type", kind)]);
    let of = |service: &str, spans| ResourceSpans {
        resource: Some(Resource {
            attributes: vec![text("service.name", service)],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    let bad = span(1, "x", vec![exception("IO"), event("note", vec![]), exception("IO")]);
    let request = ExportTraceServiceRequest {
        resource_spans: vec![
            of("one", vec![bad, span(2, "y", vec![])]),
            of("two", vec![span(3, "z", vec![])]),
        ],
    };
    SpanBatch::decode(request.encode_to_vec().into()).expect("a request")
}

fn attributes(attributes: &[KeyValue]) -> String {
    let show = |one: &KeyValue| match one.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => format!("{}={text}", one.key),
        other => format!("{}={other:?}", one.key),
    };
    attributes.iter().map(show).collect::<Vec<_>>().join(",")
}

/// Every point, as `service name{attributes} count`.
fn points(sink: &Sink) -> Vec<String> {
    let mut all = Vec::new();
    for data in sink.0.lock().drain(..) {
        let Data::Metrics(encoded) = data else { panic!("no metrics") };
        let request = ExportMetricsServiceRequest::decode(encoded.joined()).unwrap();
        let mut items = 0;
        for resource in request.resource_metrics {
            let service = attributes(&resource.resource.unwrap().attributes);
            for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let Some(MetricData::Sum(sum)) = metric.data else { panic!("no sum") };
                assert!(sum.is_monotonic && sum.aggregation_temporality == 1);
                for point in sum.data_points {
                    items += 1;
                    let Some(Number::AsInt(count)) = point.value else { panic!("no integer") };
                    let labels = attributes(&point.attributes);
                    all.push(format!("{service} {}{{{labels}}} {count}", metric.name));
                }
            }
        }
        assert_eq!(encoded.items, items);
    }
    all
}

#[tokio::test]
async fn spans_and_events_are_counted() {
    let sink = Arc::new(Sink::default());
    let count = Count::new(Settings::all(), sink.clone(), Arc::default());
    count.consume(Request::traces(spans())).await.unwrap();
    assert_eq!(
        points(&sink),
        [
            "service.name=one trace.span.count{} 2",
            "service.name=one trace.span.event.count{} 3",
            "service.name=two trace.span.count{} 1",
        ]
    );
    let condition = ottl::parse_condition(r#"name != "y""#, Context::Span).unwrap();
    let counted = |name: &str, conditions, attributes: &[(&str, Option<&str>)]| Counted {
        name: name.to_owned(),
        description: String::new(),
        conditions,
        attributes: attributes
            .iter()
            .map(|(key, default)| ((*key).to_owned(), default.map(str::to_owned)))
            .collect(),
    };
    let settings = Settings {
        spans: vec![
            counted("some", vec![condition], &[("route", None), ("none", Some("-"))]),
            counted("never", vec![], &[("none", None)]),
        ],
        events: vec![],
    };
    let count = Count::new(settings, sink.clone(), Arc::default());
    count.consume(Request::traces(spans())).await.unwrap();
    assert_eq!(
        points(&sink),
        ["service.name=one some{route=/a,none=-} 1", "service.name=two some{route=/b,none=-} 1",]
    );
}

/// What a processor took out of a resource does not leave by a connector.
#[tokio::test]
async fn resources_are_as_they_were_edited() {
    let (metrics, counted) = (Arc::new(Sink::default()), Arc::new(Sink::default()));
    let logs = Arc::new(Sink::default());
    let mut batch = spans();
    for at in 0..batch.resources().len() {
        let owner = model::Owner::Resource(at);
        batch.retain_attributes(owner, |_, _| false);
        let key = batch.add_text(b"kept").unwrap();
        batch.set_attribute(owner, key, model::Value::Int(1)).unwrap();
    }
    let count = Count::new(Settings::all(), counted.clone(), Arc::default());
    count.consume(Request::traces(batch.clone())).await.unwrap();
    let exceptions = Exceptions::new(vec![], Some(metrics.clone()), Some(logs.clone()));
    exceptions.consume(Request::traces(batch)).await.unwrap();
    for sink in [counted, metrics, logs] {
        for data in &*sink.0.lock() {
            let (Data::Metrics(encoded) | Data::Logs(encoded)) = data else { panic!("spans") };
            let bytes = encoded.joined();
            let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
            assert!(has(b"kept") && !has(b"one"), "{data:?}");
        }
    }
}

#[tokio::test]
async fn exceptions_become_metrics_and_logs() {
    let (metrics, logs) = (Arc::new(Sink::default()), Arc::new(Sink::default()));
    let connector =
        Exceptions::new(default_dimensions(), Some(metrics.clone()), Some(logs.clone()));
    connector.consume(Request::traces(spans())).await.unwrap();
    assert_eq!(
        points(&metrics),
        ["service.name=one exceptions{service.name=one,span.name=x,span.kind=SPAN_KIND_SERVER,\
          status.code=STATUS_CODE_UNSET,exception.type=IO} 2"]
    );
    let Some(Data::Logs(encoded)) = logs.0.lock().pop() else { panic!("no logs") };
    let request = ExportLogsServiceRequest::decode(encoded.joined()).unwrap();
    let records = &request.resource_logs[0].scope_logs[0].log_records;
    assert_eq!((records.len(), encoded.items), (2, 2));
    let record = &records[0];
    assert_eq!((&record.trace_id[..], &record.span_id[..]), (&[7; 16][..], &[1; 8][..]));
    assert_eq!((record.time_unix_nano, record.severity_number), (5, 17));
    assert_eq!(
        attributes(&record.attributes),
        "span.name=x,span.kind=SPAN_KIND_SERVER,status.code=STATUS_CODE_UNSET,exception.type=IO"
    );
}

#[tokio::test]
async fn without_exceptions_nothing_is_sent() {
    let sink = Arc::new(Sink::default());
    let connector = Exceptions::new(default_dimensions(), Some(sink.clone()), None);
    let mut batch = spans();
    batch.retain_spans(|_, at, _| at > 0);
    connector.consume(Request::traces(batch)).await.unwrap();
    assert!(sink.0.lock().is_empty());
}

/// A long name is there for each of many events that share it, but not without end.
#[tokio::test]
async fn what_a_request_is_made_of_is_bounded() {
    let of = |events: usize| {
        let event = Event { name: "exception".to_owned(), ..Event::default() };
        let span = Span {
            trace_id: vec![7; 16],
            span_id: vec![1; 8],
            name: "x".repeat(1 << 20),
            attributes: vec![text("long", &"y".repeat(1 << 20))],
            events: vec![event; events],
            ..Span::default()
        };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
        let resource = ResourceSpans { scope_spans, ..ResourceSpans::default() };
        let request = ExportTraceServiceRequest { resource_spans: vec![resource] };
        SpanBatch::decode(request.encode_to_vec().into()).expect("a request")
    };
    let sink = Arc::new(Sink::default());
    let long = Counted {
        name: "long".to_owned(),
        description: String::new(),
        conditions: vec![],
        attributes: vec![("long".to_owned(), None)],
    };
    let settings = Settings { spans: vec![], events: vec![long] };
    let connectors: [Arc<dyn Consumer>; 2] = [
        Arc::new(Exceptions::new(default_dimensions(), Some(sink.clone()), None)),
        Arc::new(Count::new(settings, sink.clone(), Arc::default())),
    ];
    for connector in connectors {
        assert_eq!(connector.consume(Request::traces(of(60))).await, Ok(()));
        let refusal = connector.consume(Request::traces(of(70))).await.unwrap_err();
        assert!(refusal.to_string().contains("more than 64 MiB"), "{refusal}");
        assert!(!refusal.is_retryable());
    }
}

/// Of a few bytes each, but what is told of them takes a hundred times as much.
#[tokio::test]
async fn what_many_small_events_are_made_into_is_bounded() {
    let of = |events: usize| {
        let event = |number: usize| Event {
            name: "exception".to_owned(),
            attributes: vec![text("number", &number.to_string())],
            ..Event::default()
        };
        let span = |first: usize| Span {
            trace_id: vec![7; 16],
            span_id: vec![1; 8],
            events: (first..first + 1000).map(event).collect(),
            ..Span::default()
        };
        let spans = (0..events).step_by(1000).map(span).collect();
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let resource = ResourceSpans { scope_spans, ..ResourceSpans::default() };
        let request = ExportTraceServiceRequest { resource_spans: vec![resource] };
        SpanBatch::decode(request.encode_to_vec().into()).expect("a request")
    };
    let sink = Arc::new(Sink::default());
    let of_number = |name: usize| Counted {
        name: name.to_string(),
        description: String::new(),
        conditions: vec![],
        attributes: vec![("number".to_owned(), None)],
    };
    let settings = Settings { spans: vec![], events: (0..20).map(of_number).collect() };
    let exceptions = Exceptions::new(default_dimensions(), Some(sink.clone()), None);
    let count = Count::new(settings, sink.clone(), Arc::default());
    for (connector, events) in
        [(&exceptions as &dyn Consumer, 300_000), (&count as &dyn Consumer, 30_000)]
    {
        assert_eq!(connector.consume(Request::traces(of(events / 2))).await, Ok(()));
        let refusal = connector.consume(Request::traces(of(events))).await.unwrap_err();
        assert!(refusal.to_string().contains("more than 64 MiB"), "{refusal}");
    }
}
