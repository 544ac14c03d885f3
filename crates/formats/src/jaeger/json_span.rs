//! A single span in protobuf's JSON: a message of Kafka in the encoding `jaeger_json`.
//!
//! Source: protobuf.dev, "ProtoJSON Format", of `jaeger.api_v2.Span`; ids are base64, and
//! hexadecimal digits are understood as well.

use std::fmt::{self, Write as _};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::SpanBatch;
use model::json::put_json_string;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::ids::{parse_span_id, parse_trace_id};
use super::messages::whole_spans;
use super::proto::{KeyValue, Log, Process, Span, SpanRef, SpanRefType, ValueType};
use super::to_otlp::{resource, take};
use crate::payload::{Converted, FormatError, Limits, Sink, few, json_error};

/// A span in JSON as an `ExportTraceServiceRequest`.
pub fn json_span_to_otlp(text: &[u8], limits: Limits) -> Result<Converted, FormatError> {
    let mut sink = Sink::new(limits);
    // All but the span itself and its process are elements.
    if sink.has_room(objects(text).saturating_sub(2), 0)? {
        let span: JsonSpan =
            serde_json::from_slice(text).map_err(|error| json_error(text, &error))?;
        let shared = sink.groups.resource(&resource(None));
        take(&mut sink, shared, &span.into());
    }
    Ok(sink.finish())
}

/// How many objects begin in a JSON text. Counted before anything is kept for them.
fn objects(text: &[u8]) -> usize {
    let (mut count, mut is_text, mut is_escaped) = (0, false, false);
    for &byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b'{' if !is_text => count += 1,
            _ => {}
        }
    }
    count
}

/// `null` is what is absent.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Makes a type around a value that JSON may have as text and, with a visitor's method for each, as
/// something else. `null` is its default.
macro_rules! spelled {
    ($name:ident($type:ty), $expected:literal, |$text:ident| $parse:expr $(, $visit:ident($from:ty) => |$value:ident| $convert:expr)*) => {
        #[derive(Debug, Default)]
        struct $name($type);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Spelled;
                impl Visitor<'_> for Spelled {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_unit<E>(self) -> Result<$name, E> {
                        Ok($name::default())
                    }

                    fn visit_str<E: Error>(self, $text: &str) -> Result<$name, E> {
                        let parsed: Option<$type> = $parse;
                        parsed.map($name).ok_or_else(|| E::custom(concat!("expected ", $expected)))
                    }
                    $(
                        fn $visit<E: Error>(self, $value: $from) -> Result<$name, E> {
                            let converted: Option<$type> = $convert;
                            converted.map($name).ok_or_else(|| E::custom(concat!("expected ", $expected)))
                        }
                    )*
                }
                deserializer.deserialize_any(Spelled)
            }
        }
    };
}

spelled!(Trace(Vec<u8>), "a trace id in base64 or hexadecimal digits", |text| {
    match text {
        "" => Some(Vec::new()),
        _ => parse_trace_id(text).ok().map(|id| id.0.to_vec()),
    }
});
spelled!(Own(Vec<u8>), "a span id in base64 or hexadecimal digits", |text| {
    match text {
        "" => Some(Vec::new()),
        _ => parse_span_id(text).ok().map(|id| id.0.to_vec()),
    }
});
spelled!(Binary(Vec<u8>), "base64", |text| STANDARD.decode(text).ok());
spelled!(Whole(i64), "a whole number", |text| text.parse().ok(),
    visit_i64(i64) => |value| Some(value),
    visit_u64(u64) => |value| i64::try_from(value).ok());
spelled!(Double(f64), "a number", |text| match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    },
    visit_i64(i64) => |value| Some(value as f64),
    visit_u64(u64) => |value| Some(value as f64),
    visit_f64(f64) => |value| Some(value));
spelled!(Type(i32), "a type of tags", |text| ValueType::from_str_name(text).map(|kind| kind as i32),
    visit_i64(i64) => |value| i32::try_from(value).ok(),
    visit_u64(u64) => |value| i32::try_from(value).ok());
spelled!(RefType(i32), "a type of references",
    |text| SpanRefType::from_str_name(text).map(|kind| kind as i32),
    visit_i64(i64) => |value| i32::try_from(value).ok(),
    visit_u64(u64) => |value| i32::try_from(value).ok());
spelled!(Time(Option<prost_types::Timestamp>), "a time of RFC 3339", |text| text
    .parse()
    .ok()
    .map(Some));
spelled!(Length(Option<prost_types::Duration>), "seconds with an s behind them", |text| text
    .parse()
    .ok()
    .map(Some));

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonSpan {
    #[serde(alias = "trace_id", alias = "traceID")]
    trace_id: Trace,
    #[serde(alias = "span_id", alias = "spanID")]
    span_id: Own,
    #[serde(alias = "operation_name", deserialize_with = "nullable")]
    operation_name: String,
    #[serde(deserialize_with = "few")]
    references: Vec<JsonRef>,
    flags: Whole,
    #[serde(alias = "start_time")]
    start_time: Time,
    duration: Length,
    #[serde(deserialize_with = "few")]
    tags: Vec<JsonTag>,
    #[serde(deserialize_with = "few")]
    logs: Vec<JsonLog>,
    process: Option<JsonProcess>,
    #[serde(alias = "process_id", alias = "processID", deserialize_with = "nullable")]
    process_id: String,
    #[serde(deserialize_with = "few")]
    warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonRef {
    #[serde(alias = "trace_id", alias = "traceID")]
    trace_id: Trace,
    #[serde(alias = "span_id", alias = "spanID")]
    span_id: Own,
    #[serde(alias = "ref_type")]
    ref_type: RefType,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonTag {
    #[serde(deserialize_with = "nullable")]
    key: String,
    #[serde(alias = "v_type")]
    v_type: Type,
    #[serde(alias = "v_str", deserialize_with = "nullable")]
    v_str: String,
    #[serde(alias = "v_bool", deserialize_with = "nullable")]
    v_bool: bool,
    #[serde(alias = "v_int64")]
    v_int64: Whole,
    #[serde(alias = "v_float64")]
    v_float64: Double,
    #[serde(alias = "v_binary")]
    v_binary: Binary,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JsonLog {
    timestamp: Time,
    #[serde(deserialize_with = "few")]
    fields: Vec<JsonTag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonProcess {
    #[serde(alias = "service_name", deserialize_with = "nullable")]
    service_name: String,
    #[serde(deserialize_with = "few")]
    tags: Vec<JsonTag>,
}

fn all<T, U>(list: Vec<T>, into: impl FnMut(T) -> U) -> Vec<U> {
    list.into_iter().map(into).collect()
}

impl From<JsonTag> for KeyValue {
    fn from(tag: JsonTag) -> Self {
        Self {
            key: tag.key,
            v_type: tag.v_type.0,
            v_str: tag.v_str,
            v_bool: tag.v_bool,
            v_int64: tag.v_int64.0,
            v_float64: tag.v_float64.0,
            v_binary: tag.v_binary.0,
        }
    }
}

impl From<JsonSpan> for Span {
    fn from(span: JsonSpan) -> Self {
        let reference = |one: JsonRef| SpanRef {
            trace_id: one.trace_id.0,
            span_id: one.span_id.0,
            ref_type: one.ref_type.0,
        };
        let log = |one: JsonLog| Log {
            timestamp: one.timestamp.0,
            fields: all(one.fields, KeyValue::from),
        };
        let process = |one: JsonProcess| Process {
            service_name: one.service_name,
            tags: all(one.tags, KeyValue::from),
        };
        Self {
            trace_id: span.trace_id.0,
            span_id: span.span_id.0,
            operation_name: span.operation_name,
            references: all(span.references, reference),
            flags: span.flags.0 as u32,
            start_time: span.start_time.0,
            duration: span.duration.0,
            tags: all(span.tags, KeyValue::from),
            logs: all(span.logs, log),
            process: span.process.map(process),
            process_id: span.process_id,
            warnings: span.warnings,
        }
    }
}

/// Every span with its process as JSON, in their order.
pub fn otlp_to_json_spans(batch: &SpanBatch) -> Vec<String> {
    whole_spans(batch)
        .map(|span| {
            let mut object = Object::new();
            put_span(&mut object, &span);
            object.finish()
        })
        .collect()
}

/// A JSON object; what is empty or zero is left out, as protobuf has it.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_owned())
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn key(&mut self, key: &str) -> &mut String {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{key}\":");
        &mut self.0
    }

    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            put_json_string(self.key(key), value);
        }
    }

    fn base64(&mut self, key: &str, value: &[u8]) {
        self.text(key, &STANDARD.encode(value));
    }

    fn list<T>(&mut self, key: &str, list: &[T], put: impl Fn(&mut Self, &T)) {
        if list.is_empty() {
            return;
        }
        let out = self.key(key);
        for (at, each) in list.iter().enumerate() {
            out.push(if at == 0 { '[' } else { ',' });
            let mut object = Object::new();
            put(&mut object, each);
            out.push_str(&object.finish());
        }
        out.push(']');
    }
}

fn put_span(out: &mut Object, span: &Span) {
    out.base64("traceId", &span.trace_id);
    out.base64("spanId", &span.span_id);
    out.text("operationName", &span.operation_name);
    out.list("references", &span.references, |out, reference| {
        out.base64("traceId", &reference.trace_id);
        out.base64("spanId", &reference.span_id);
        if reference.ref_type == SpanRefType::FollowsFrom as i32 {
            out.text("refType", SpanRefType::FollowsFrom.as_str_name());
        }
    });
    if span.flags != 0 {
        let _ = write!(out.key("flags"), "{}", span.flags);
    }
    put_time(out, "startTime", span.start_time.as_ref());
    if let Some(duration) = &span.duration {
        let _ = write!(out.key("duration"), "\"{duration}\"");
    }
    out.list("tags", &span.tags, put_tag);
    out.list("logs", &span.logs, |out, log| {
        put_time(out, "timestamp", log.timestamp.as_ref());
        out.list("fields", &log.fields, put_tag);
    });
    if let Some(process) = &span.process {
        let mut object = Object::new();
        object.text("serviceName", &process.service_name);
        object.list("tags", &process.tags, put_tag);
        out.key("process").push_str(&object.finish());
    }
    if !span.warnings.is_empty() {
        let out = out.key("warnings");
        for (at, warning) in span.warnings.iter().enumerate() {
            out.push(if at == 0 { '[' } else { ',' });
            put_json_string(out, warning);
        }
        out.push(']');
    }
}

fn put_time(out: &mut Object, key: &str, time: Option<&prost_types::Timestamp>) {
    if let Some(time) = time {
        let _ = write!(out.key(key), "\"{time}\"");
    }
}

fn put_tag(out: &mut Object, tag: &KeyValue) {
    out.text("key", &tag.key);
    let kind = ValueType::try_from(tag.v_type).unwrap_or(ValueType::String);
    if kind != ValueType::String {
        out.text("vType", kind.as_str_name());
    }
    match kind {
        ValueType::String => out.text("vStr", &tag.v_str),
        ValueType::Bool if tag.v_bool => out.key("vBool").push_str("true"),
        ValueType::Int64 if tag.v_int64 != 0 => {
            out.text("vInt64", &tag.v_int64.to_string());
        }
        ValueType::Float64 if tag.v_float64.is_finite() && tag.v_float64 != 0.0 => {
            let _ = write!(out.key("vFloat64"), "{:?}", tag.v_float64);
        }
        ValueType::Float64 if !tag.v_float64.is_finite() => {
            let name = match tag.v_float64 {
                value if value.is_nan() => "NaN",
                value if value > 0.0 => "Infinity",
                _ => "-Infinity",
            };
            out.text("vFloat64", name);
        }
        ValueType::Binary => out.base64("vBinary", &tag.v_binary),
        ValueType::Bool | ValueType::Int64 | ValueType::Float64 => {}
    }
}
