//! Traces as a test wants to see them, and requests as it wants to send them.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use model::wire::{put_bytes_field, put_fixed64_field, put_message, put_varint_field};
use serde_json::Value;

/// A span out of OTLP JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The resource's `service.name`.
    pub service: String,
    /// The scope's name.
    pub scope: String,
    /// Its own name.
    pub name: String,
    /// `SPAN_KIND_…` as a number.
    pub kind: i64,
    /// Hexadecimal.
    pub id: String,
    /// Hexadecimal; empty at a root.
    pub parent: String,
    /// `end - start`.
    pub duration_nano: u64,
    /// Own attributes, values as their text.
    pub attributes: BTreeMap<String, String>,
    /// The resource's attributes.
    pub resource: BTreeMap<String, String>,
    /// Names of events.
    pub events: Vec<String>,
    /// `STATUS_CODE_…` as a number.
    pub status: i64,
}

/// Kinds in OTLP.
pub const SERVER: i64 = 2;
/// See [`SERVER`].
pub const CLIENT: i64 = 3;

/// All spans of a trace in OTLP JSON.
pub fn spans(trace: &Value) -> Vec<Span> {
    let mut all = Vec::new();
    for resource_spans in array(&trace["resourceSpans"]) {
        let resource = attributes(&resource_spans["resource"]["attributes"]);
        for scope_spans in array(&resource_spans["scopeSpans"]) {
            for span in array(&scope_spans["spans"]) {
                all.push(Span {
                    service: resource.get("service.name").cloned().unwrap_or_default(),
                    scope: text(&scope_spans["scope"]["name"]),
                    name: text(&span["name"]),
                    kind: span["kind"].as_i64().unwrap_or(0),
                    id: text(&span["spanId"]),
                    parent: text(&span["parentSpanId"]),
                    duration_nano: number(&span["endTimeUnixNano"])
                        .saturating_sub(number(&span["startTimeUnixNano"])),
                    attributes: attributes(&span["attributes"]),
                    resource: resource.clone(),
                    events: array(&span["events"])
                        .iter()
                        .map(|event| text(&event["name"]))
                        .collect(),
                    status: span["status"]["code"].as_i64().unwrap_or(0),
                });
            }
        }
    }
    all
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A 64-bit number, which OTLP JSON writes as text.
fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).or(value.as_u64()).unwrap_or(0)
}

fn attributes(list: &Value) -> BTreeMap<String, String> {
    let value = |any: &Value| {
        let only = any.as_object().and_then(|any| any.values().next());
        only.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    array(list)
        .iter()
        .map(|pair| (text(&pair["key"]), value(&pair["value"]).unwrap_or_default()))
        .collect()
}

/// Nanoseconds since the epoch.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(now.as_nanos()).expect("a clock before 2554")
}

/// A small span to be sent.
#[derive(Debug, Clone)]
pub struct Small {
    /// The trace's id.
    pub trace_id: u128,
    /// The span's id.
    pub span_id: u64,
    /// 0 at a root.
    pub parent_id: u64,
    /// The name.
    pub name: String,
    /// The start, nanoseconds since the epoch.
    pub start: u64,
    /// The duration.
    pub duration_nano: u64,
}

/// An `ExportTraceServiceRequest` of one service.
pub fn request(service: &str, spans: &[Small]) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_message(out, 1, |out| {
            put_message(out, 1, |out| {
                put_bytes_field(out, 1, b"service.name");
                put_message(out, 2, |out| put_bytes_field(out, 1, service.as_bytes()));
            });
        });
        put_message(out, 2, |out| {
            for span in spans {
                put_message(out, 2, |out| put_span(out, span));
            }
        });
    });
    out
}

fn put_span(out: &mut Vec<u8>, span: &Small) {
    put_bytes_field(out, 1, &span.trace_id.to_be_bytes());
    put_bytes_field(out, 2, &span.span_id.to_be_bytes());
    if span.parent_id != 0 {
        put_bytes_field(out, 4, &span.parent_id.to_be_bytes());
    }
    put_bytes_field(out, 5, span.name.as_bytes());
    put_varint_field(out, 6, 1);
    put_fixed64_field(out, 7, span.start);
    put_fixed64_field(out, 8, span.start + span.duration_nano);
}

/// A request with one trace of one span.
pub fn one_span(trace_id: u128) -> Vec<u8> {
    let span = Small {
        trace_id,
        span_id: 1,
        parent_id: 0,
        name: "only".to_owned(),
        start: now(),
        duration_nano: 1_000_000,
    };
    request("test", &[span])
}
