//! Building `TracesData`: spans in, grouped by resource and scope, protobuf out.

use std::collections::HashMap;

use bytes::Bytes;

use crate::batch::{Span, SpanBatch, Value};
use crate::request::put_span;
use crate::wire::{
    put_bytes_field, put_bytes_unless_empty, put_fixed64_field, put_message, put_varint_field,
};

/// Appends the `AnyValue` of a batch's value.
pub fn encode_any_value(out: &mut Vec<u8>, batch: &SpanBatch, value: Value) {
    match value {
        Value::Empty => {}
        Value::String(text) => put_bytes_field(out, 1, batch.bytes_of(text)),
        Value::Bool(value) => put_varint_field(out, 2, u64::from(value)),
        Value::Int(value) => put_varint_field(out, 3, value as u64),
        Value::Double(value) => put_fixed64_field(out, 4, value.to_bits()),
        Value::Array(message) => put_bytes_field(out, 5, batch.bytes_of(message)),
        Value::KeyValueList(message) => put_bytes_field(out, 6, batch.bytes_of(message)),
        Value::Bytes(bytes) => put_bytes_field(out, 7, batch.bytes_of(bytes)),
    }
}

/// Appends a field that holds a `KeyValue`; `value` appends the content of its `AnyValue`.
pub fn encode_key_value(
    out: &mut Vec<u8>,
    number: u32,
    key: &[u8],
    value: impl FnOnce(&mut Vec<u8>),
) {
    put_message(out, number, |out| {
        put_bytes_unless_empty(out, 1, key);
        put_message(out, 2, value);
    });
}

/// Where each of a batch's scopes goes, as far as it was needed.
type Places = Vec<Option<(usize, usize)>>;

/// Collects encoded spans under their resources and scopes, each once, in order of appearance.
#[derive(Debug, Default)]
pub struct TracesEncoder {
    resources: Vec<ResourceGroup>,
    index: HashMap<Origin, (usize, usize)>,
    /// The bytes of the batch at hand, held so that no other can take their place, and where its
    /// scopes go: comparing resources costs what they are long.
    current: Option<(Bytes, Places)>,
}

/// Whole messages, so that fields unknown to this version survive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Origin {
    resource: Vec<u8>,
    resource_schema_url: Vec<u8>,
    scope: Vec<u8>,
    scope_schema_url: Vec<u8>,
}

#[derive(Debug)]
struct ResourceGroup {
    message: Vec<u8>,
    schema_url: Vec<u8>,
    scopes: Vec<ScopeGroup>,
}

#[derive(Debug)]
struct ScopeGroup {
    message: Vec<u8>,
    schema_url: Vec<u8>,
    spans: Vec<u8>,
}

impl TracesEncoder {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The place for spans of a resource and scope, given as their messages and schema URLs.
    pub fn origin(
        &mut self,
        resource: &[u8],
        resource_schema_url: &[u8],
        scope: &[u8],
        scope_schema_url: &[u8],
    ) -> (usize, usize) {
        let origin = Origin {
            resource: resource.to_vec(),
            resource_schema_url: resource_schema_url.to_vec(),
            scope: scope.to_vec(),
            scope_schema_url: scope_schema_url.to_vec(),
        };
        if let Some(&place) = self.index.get(&origin) {
            return place;
        }
        let group = self
            .resources
            .iter()
            .position(|group| {
                group.message == origin.resource && group.schema_url == origin.resource_schema_url
            })
            .unwrap_or_else(|| {
                self.resources.push(ResourceGroup {
                    message: origin.resource.clone(),
                    schema_url: origin.resource_schema_url.clone(),
                    scopes: Vec::new(),
                });
                self.resources.len() - 1
            });
        let scopes = &mut self.resources[group].scopes;
        scopes.push(ScopeGroup {
            message: origin.scope.clone(),
            schema_url: origin.scope_schema_url.clone(),
            spans: Vec::new(),
        });
        let place = (group, scopes.len() - 1);
        self.index.insert(origin, place);
        place
    }

    /// Adds a span, whose fields `write` appends, at a place that [`Self::origin`] gave.
    pub fn span(&mut self, (resource, scope): (usize, usize), write: impl FnOnce(&mut Vec<u8>)) {
        put_message(&mut self.resources[resource].scopes[scope].spans, 2, write);
    }

    /// Adds a span of a batch with its resource and scope.
    pub fn span_of(&mut self, batch: &SpanBatch, span: &Span) {
        let at = span.scope as usize;
        let known = match &self.current {
            Some((bytes, places))
                if bytes.as_ptr() == batch.bytes().as_ptr()
                    && bytes.len() == batch.bytes().len()
                    && places.len() == batch.scopes().len() =>
            {
                places[at]
            }
            _ => {
                let places = vec![None; batch.scopes().len()];
                self.current = Some((batch.bytes().clone(), places));
                None
            }
        };
        let place = known.unwrap_or_else(|| {
            let (scope, resource) = batch.origin(span);
            self.origin(
                batch.bytes_of(resource.message),
                batch.bytes_of(resource.schema_url),
                batch.bytes_of(scope.message),
                batch.bytes_of(scope.schema_url),
            )
        });
        if let Some((_, places)) = &mut self.current {
            places[at] = Some(place);
        }
        self.span(place, |out| put_span(out, batch, span));
    }

    /// The `TracesData` message, which is an `ExportTraceServiceRequest` as well.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        for resource in self.resources {
            put_message(&mut out, 1, |out| {
                put_bytes_field(out, 1, &resource.message);
                for scope in resource.scopes {
                    put_message(out, 2, |out| {
                        put_bytes_field(out, 1, &scope.message);
                        out.extend_from_slice(&scope.spans);
                        put_bytes_unless_empty(out, 3, &scope.schema_url);
                    });
                }
                put_bytes_unless_empty(out, 3, &resource.schema_url);
            });
        }
        out
    }
}
