//! A trace in Jaeger's own JSON: microseconds, typed tags, processes by key.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::json::put_json_string;
use model::{Span, SpanBatch, SpanId, TraceId};
use prost::Message;

use super::from_otlp::{process, span};
use super::ids::trace_id_text;
use super::proto::{self, KeyValue, SpanRefType, ValueType};
use super::time::unix_nano;
use super::{MISSING_SERVICE, NO_SERVICE};

/// The largest integer that every reader of JSON takes for what it is: 2^53 - 1.
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// Appends a trace: some spans of a batch, which are all of that trace.
pub fn put_trace<'a>(
    out: &mut String,
    id: TraceId,
    batch: &SpanBatch,
    spans: impl IntoIterator<Item = &'a Span>,
) {
    let mut processes = Processes::new(batch);
    out.push_str("{\"traceID\":");
    put_json_string(out, &trace_id_text(id));
    out.push_str(",\"spans\":[");
    let mut separator = "";
    for each in spans {
        out.push_str(separator);
        separator = ",";
        let key = processes.key(each);
        put_span(out, &span(batch, each), each.duration_nano() / 1000, key);
    }
    out.push_str("],\"processes\":{");
    let mut separator = "";
    for (at, process) in processes.list.iter().enumerate() {
        let _ = write!(out, "{separator}\"p{}\":{{\"serviceName\":", at + 1);
        separator = ",";
        put_json_string(out, &process.service_name);
        out.push_str(",\"tags\":");
        put_tags(out, &process.tags);
        out.push('}');
    }
    out.push_str("},\"warnings\":null}");
}

/// Equal processes share a key, numbered by first appearance.
struct Processes<'a> {
    batch: &'a SpanBatch,
    of_resource: Vec<Option<usize>>,
    places: HashMap<Vec<u8>, usize>,
    list: Vec<proto::Process>,
}

impl<'a> Processes<'a> {
    fn new(batch: &'a SpanBatch) -> Self {
        let of_resource = vec![None; batch.resources().len()];
        Self { batch, of_resource, places: HashMap::new(), list: Vec::new() }
    }

    fn key(&mut self, span: &Span) -> usize {
        let at = self.batch.scopes()[span.scope as usize].resource as usize;
        if let Some(place) = self.of_resource[at] {
            return place + 1;
        }
        let mut process = process(self.batch, &self.batch.resources()[at]);
        if process.service_name.is_empty() || process.service_name == NO_SERVICE {
            process.service_name = MISSING_SERVICE.to_owned();
        }
        let place = *self.places.entry(process.encode_to_vec()).or_insert(self.list.len());
        if place == self.list.len() {
            self.list.push(process);
        }
        self.of_resource[at] = Some(place);
        place + 1
    }
}

fn put_ids(out: &mut String, trace_id: &[u8], span_id: &[u8]) {
    let trace_id = TraceId::from_slice(trace_id).unwrap_or_default();
    let span_id = SpanId::from_slice(span_id).unwrap_or_default();
    let _ = write!(out, "\"traceID\":\"{}\",\"spanID\":\"{span_id}\"", trace_id_text(trace_id));
}

fn put_span(out: &mut String, span: &proto::Span, duration_micros: u64, process: usize) {
    out.push('{');
    put_ids(out, &span.trace_id, &span.span_id);
    if span.flags != 0 {
        let _ = write!(out, ",\"flags\":{}", span.flags);
    }
    out.push_str(",\"operationName\":");
    put_json_string(out, &span.operation_name);
    out.push_str(",\"references\":");
    put_list(out, &span.references, |out, reference| {
        let is_child = reference.ref_type == SpanRefType::ChildOf as i32;
        let name = if is_child { "CHILD_OF" } else { "FOLLOWS_FROM" };
        let _ = write!(out, "{{\"refType\":\"{name}\",");
        put_ids(out, &reference.trace_id, &reference.span_id);
        out.push('}');
    });
    let start = span.start_time.as_ref().map_or(0, unix_nano) / 1000;
    let _ = write!(out, ",\"startTime\":{start},\"duration\":{duration_micros},\"tags\":");
    put_tags(out, &span.tags);
    out.push_str(",\"logs\":");
    put_list(out, &span.logs, |out, log| {
        let time = log.timestamp.as_ref().map_or(0, unix_nano) / 1000;
        let _ = write!(out, "{{\"timestamp\":{time},\"fields\":");
        put_tags(out, &log.fields);
        out.push('}');
    });
    let _ = write!(out, ",\"processID\":\"p{process}\",\"warnings\":");
    if span.warnings.is_empty() {
        out.push_str("null}");
    } else {
        put_list(out, &span.warnings, |out, warning| put_json_string(out, warning));
        out.push('}');
    }
}

fn put_list<T>(out: &mut String, list: &[T], mut put: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (at, each) in list.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        put(out, each);
    }
    out.push(']');
}

fn put_tags(out: &mut String, tags: &[KeyValue]) {
    put_list(out, tags, |out, tag| {
        out.push_str("{\"key\":");
        put_json_string(out, &tag.key);
        let kind = ValueType::try_from(tag.v_type).unwrap_or(ValueType::String);
        let name = kind.as_str_name().to_ascii_lowercase();
        let _ = write!(out, ",\"type\":\"{name}\",\"value\":");
        match kind {
            ValueType::String => put_json_string(out, &tag.v_str),
            ValueType::Bool => out.push_str(if tag.v_bool { "true" } else { "false" }),
            ValueType::Int64 if tag.v_int64.unsigned_abs() > SAFE_INTEGER_MAX => {
                let _ = write!(out, "\"{}\"", tag.v_int64);
            }
            ValueType::Int64 => {
                let _ = write!(out, "{}", tag.v_int64);
            }
            ValueType::Float64 if tag.v_float64.is_finite() => {
                let _ = write!(out, "{}", tag.v_float64);
            }
            // JSON has no such numbers.
            ValueType::Float64 => {
                let _ = write!(out, "\"{}\"", tag.v_float64);
            }
            ValueType::Binary => put_json_string(out, &STANDARD.encode(&tag.v_binary)),
        }
        out.push('}');
    });
}
