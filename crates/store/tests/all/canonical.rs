//! Requests made comparable: what OTLP leaves free is chosen, the rest must be equal.

use std::collections::{BTreeMap, BTreeSet};

use model::TraceId;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;

/// One message per span, by trace, sorted. As bytes, which lets NaN equal itself: absent messages
/// are empty, an empty status is absent, ids of zeros are empty, attributes of spans, events and
/// links lie in order of their bytes.
pub fn by_trace(request: &ExportTraceServiceRequest) -> BTreeMap<TraceId, Vec<Vec<u8>>> {
    let mut all: BTreeMap<TraceId, Vec<Vec<u8>>> = BTreeMap::new();
    for resource_spans in &request.resource_spans {
        for scope_spans in &resource_spans.scope_spans {
            for span in &scope_spans.spans {
                let mut span = span.clone();
                span.status = span.status.filter(|status| status.encoded_len() > 0);
                without_zeros(&mut span.parent_span_id);
                sort(&mut span.attributes);
                span.events.iter_mut().for_each(|event| sort(&mut event.attributes));
                for link in &mut span.links {
                    sort(&mut link.attributes);
                    without_zeros(&mut link.trace_id);
                    without_zeros(&mut link.span_id);
                }
                let trace = TraceId(span.trace_id.clone().try_into().unwrap());
                let alone = ResourceSpans {
                    resource: Some(resource_spans.resource.clone().unwrap_or_default()),
                    scope_spans: vec![ScopeSpans {
                        scope: Some(scope_spans.scope.clone().unwrap_or_default()),
                        spans: vec![span],
                        schema_url: scope_spans.schema_url.clone(),
                    }],
                    schema_url: resource_spans.schema_url.clone(),
                };
                all.entry(trace).or_default().push(alone.encode_to_vec());
            }
        }
    }
    all.values_mut().for_each(|spans| spans.sort());
    all
}

fn without_zeros(id: &mut Vec<u8>) {
    if id.iter().all(|&byte| byte == 0) {
        id.clear();
    }
}

fn sort(attributes: &mut [KeyValue]) {
    for attribute in attributes.iter_mut() {
        attribute.value.get_or_insert(AnyValue { value: None });
    }
    attributes.sort_by_cached_key(Message::encode_to_vec);
}

/// Fails with the first span that differs, spelt out.
pub fn assert_same(
    what: &str,
    actual: &ExportTraceServiceRequest,
    expected: &ExportTraceServiceRequest,
) {
    let (actual, expected) = (by_trace(actual), by_trace(expected));
    let traces: BTreeSet<&TraceId> = actual.keys().chain(expected.keys()).collect();
    let none = Vec::new();
    for trace in traces {
        let is = actual.get(trace).unwrap_or(&none);
        let should = expected.get(trace).unwrap_or(&none);
        let spell = |message: Option<&Vec<u8>>| {
            message.map(|message| ResourceSpans::decode(&message[..]).unwrap())
        };
        if let Some(at) = (0..is.len().max(should.len())).find(|&at| is.get(at) != should.get(at)) {
            panic!(
                "{what}: trace {trace} has {} spans instead of {}; {:#?}\ninstead of\n{:#?}",
                is.len(),
                should.len(),
                spell(is.get(at)),
                spell(should.get(at))
            );
        }
    }
}
