//! A graph of one receiver in front of a [`Recorder`], and spans to send it.

use std::net::SocketAddr;
use std::sync::Arc;

use model::SpanBatch;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pipeline::receivers::ByteBudget;
use prost::Message;

use crate::components::House;
use crate::support::Recorder;

/// A receiver that runs.
pub struct Receiver {
    pub house: House,
    pub consumer: Arc<Recorder>,
}

impl Receiver {
    /// From the receiver's settings, with their id, and extensions.
    pub async fn with(receiver: &str, extensions: &str, budget: ByteBudget) -> Self {
        let consumer = Recorder::new();
        let mut house = House::with(consumer.clone(), budget);
        house.apply(&Self::config(receiver, extensions)).await.unwrap();
        Self { house, consumer }
    }

    pub async fn of(receiver: &str) -> Self {
        Self::with(receiver, "{}", ByteBudget::default()).await
    }

    pub fn config(receiver: &str, extensions: &str) -> String {
        let id = receiver.split(':').next().unwrap();
        let names: Vec<&str> = ["basicauth", "file_storage"]
            .into_iter()
            .filter(|name| extensions.contains(name))
            .collect();
        format!(
            "
receivers: {{{receiver}}}
exporters: {{nop: }}
extensions: {extensions}
service:
  extensions: [{}]
  pipelines: {{traces: {{receivers: [{id}], exporters: [nop]}}}}
",
            names.join(", ")
        )
    }

    /// Where it listens, for one of its purposes.
    pub fn at(&self, name: &str) -> SocketAddr {
        let addresses = self.house.graph.addresses();
        let found = addresses.iter().find(|(_, _, own, _)| *own == name);
        found.unwrap_or_else(|| panic!("{name} among {addresses:?}")).3.tcp().unwrap()
    }

    /// Names of the spans that came out, in order.
    pub fn names(&self) -> Vec<String> {
        self.consumer.spans().into_iter().map(|span| span.name).collect()
    }

    /// Accepted, refused and failed spans of a transport.
    pub fn spans(&self, transport: &str) -> [u64; 3] {
        ["accepted", "refused", "failed"].map(|what| {
            let name = format!("otelcol_receiver_{what}_spans");
            self.house.counted(&name, transport, None) as u64
        })
    }

    /// Requests of a transport that failed for a reason.
    pub fn failed(&self, transport: &str, reason: &str) -> u64 {
        let name = "spanfall_receiver_failed_requests";
        self.house.counted(name, transport, Some(reason)) as u64
    }

    /// Ends it as the process's end does.
    pub async fn stop(mut self) -> Arc<Recorder> {
        self.house.graph.stop().await;
        self.consumer
    }
}

/// So many spans of the service `shop`, of one trace, named from a number on.
pub fn request(first: usize, spans: usize) -> ExportTraceServiceRequest {
    let span = |index: usize| Span {
        trace_id: [7; 16].to_vec(),
        span_id: (index as u64 + 1).to_be_bytes().to_vec(),
        name: format!("span {index}"),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000 + index as u64 * 1000,
        end_time_unix_nano: 1_700_000_001_000_000_000 + index as u64 * 1000,
        attributes: vec![attribute("http.route", "/cart")],
        ..Span::default()
    };
    let spans = (first..first + spans).map(span).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![attribute("service.name", "shop")],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

pub fn batch(spans: usize) -> SpanBatch {
    SpanBatch::decode(request(0, spans).encode_to_vec().into()).unwrap()
}

/// What every format carries of a span: name, trace id, span id, start, end, service.
pub type Core = (String, Vec<u8>, Vec<u8>, u64, u64, String);

/// That of all spans, in order.
pub fn core(requests: &[ExportTraceServiceRequest]) -> Vec<Core> {
    let mut all = Vec::new();
    for resource in requests.iter().flat_map(|request| &request.resource_spans) {
        let attributes = resource.resource.iter().flat_map(|resource| &resource.attributes);
        let service =
            attributes.filter(|own| own.key == "service.name").find_map(|own| {
                match own.value.clone()?.value? {
                    Value::StringValue(text) => Some(text),
                    _ => None,
                }
            });
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            all.push((
                span.name.clone(),
                span.trace_id.clone(),
                span.span_id.clone(),
                span.start_time_unix_nano,
                span.end_time_unix_nano,
                service.clone().unwrap_or_default(),
            ));
        }
    }
    all.sort();
    all
}

/// What is said of a receiver's settings, one message a line.
pub fn diagnosed(receiver: &str) -> String {
    crate::components::diagnosed(&Receiver::config(receiver, "{}")).join("\n")
}
