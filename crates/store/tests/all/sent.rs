//! A span with its origin: the unit in which the tests think.

use model::TraceId;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::bench::{NOW, SECOND};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sent {
    pub resource: Resource,
    pub scope: InstrumentationScope,
    pub span: Span,
}

impl Sent {
    /// A root span of a second of the service "api", now.
    pub fn new(trace: u64, id: u64) -> Self {
        let span = Span {
            trace_id: trace_id(trace).0.to_vec(),
            span_id: id.to_be_bytes().to_vec(),
            name: "GET /".to_owned(),
            kind: 2,
            start_time_unix_nano: NOW,
            end_time_unix_nano: NOW + SECOND,
            ..Span::default()
        };
        Self { span, ..Self::default() }.service("api")
    }

    pub fn service(mut self, name: &str) -> Self {
        self.resource.attributes.retain(|attribute| attribute.key != "service.name");
        self.resource.attributes.push(text("service.name", name));
        self
    }

    pub fn without_service(mut self) -> Self {
        self.resource.attributes.clear();
        self
    }

    pub fn name(mut self, name: &str) -> Self {
        self.span.name = name.to_owned();
        self
    }

    pub fn parent(mut self, parent: u64) -> Self {
        self.span.parent_span_id =
            if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() };
        self
    }

    pub fn times(mut self, start: u64, end: u64) -> Self {
        self.span.start_time_unix_nano = start;
        self.span.end_time_unix_nano = end;
        self
    }

    pub fn status(mut self, code: i32) -> Self {
        self.span.status = Some(Status { code, message: String::new() });
        self
    }

    pub fn attribute(mut self, attribute: KeyValue) -> Self {
        self.span.attributes.push(attribute);
        self
    }

    pub fn trace(&self) -> TraceId {
        TraceId(self.span.trace_id.clone().try_into().unwrap())
    }
}

pub fn trace_id(number: u64) -> TraceId {
    TraceId::from_number(u128::from(number) << 64 | 0xabc)
}

pub fn value(key: &str, value: Option<Value>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), key_strindex: 0 }
}

pub fn text(key: &str, content: &str) -> KeyValue {
    value(key, Some(Value::StringValue(content.to_owned())))
}

pub fn int(key: &str, number: i64) -> KeyValue {
    value(key, Some(Value::IntValue(number)))
}

/// A request of these spans, neighbours of one origin together.
pub fn request(spans: &[Sent]) -> ExportTraceServiceRequest {
    let mut resource_spans = Vec::new();
    for group in spans.chunk_by(|a, b| a.resource == b.resource && a.scope == b.scope) {
        resource_spans.push(ResourceSpans {
            resource: Some(group[0].resource.clone()),
            scope_spans: vec![ScopeSpans {
                scope: Some(group[0].scope.clone()),
                spans: group.iter().map(|sent| sent.span.clone()).collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        });
    }
    ExportTraceServiceRequest { resource_spans }
}
