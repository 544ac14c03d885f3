//! What decides where a span goes.

use model::{Attribute, Span, SpanBatch, json};

/// `routing_key`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RoutingKey {
    /// All spans of a trace to the same endpoint.
    #[default]
    TraceId,
    /// All spans of a service.
    Service,
    /// All spans of a resource, which are its attributes. The Collector has it for metrics only.
    Resource,
    /// All spans with the same values of these: attributes of the resource, the scope or the span,
    /// in this order, or `span.name` or `span.kind`.
    Attributes(Vec<String>),
}

impl RoutingKey {
    /// Writes a span's key into `out`. That of several attributes is `name=value|` for each.
    pub(super) fn put(&self, out: &mut Vec<u8>, batch: &SpanBatch, span: &Span) {
        out.clear();
        match self {
            Self::TraceId => out.extend_from_slice(&span.trace_id.0),
            Self::Service => {
                let (_, resource) = batch.origin(span);
                put_pair(out, "service.name", batch.service_name(resource));
            }
            Self::Resource => {
                let (_, resource) = batch.origin(span);
                for attribute in batch.resource_attributes(resource) {
                    put_pair(
                        out,
                        batch.text(attribute.key),
                        &json::value_text(batch, attribute.value),
                    );
                }
            }
            Self::Attributes(names) => {
                for name in names {
                    put_pair(out, name, &value(name, batch, span));
                }
            }
        }
    }
}

fn put_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value.as_bytes());
    out.push(b'|');
}

fn value(name: &str, batch: &SpanBatch, span: &Span) -> String {
    let (scope, resource) = batch.origin(span);
    let find = |attributes: &[Attribute]| {
        let own = attributes.iter().find(|own| batch.bytes_of(own.key) == name.as_bytes())?;
        Some(json::value_text(batch, own.value))
    };
    find(batch.resource_attributes(resource))
        .or_else(|| find(batch.scope_attributes(scope)))
        .or_else(|| match name {
            "span.name" => Some(batch.text(span.name).to_owned()),
            "span.kind" => Some(kind(span.kind).to_owned()),
            _ => find(batch.span_attributes(span)),
        })
        .unwrap_or_default()
}

fn kind(kind: i32) -> &'static str {
    ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"]
        .get(usize::try_from(kind).unwrap_or(usize::MAX))
        .copied()
        .unwrap_or_default()
}
