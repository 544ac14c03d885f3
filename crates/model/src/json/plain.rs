//! Attribute values as people read them.

use super::write::{put_base64, put_display, put_double, put_json_text};
use crate::wire::{Field, Reader};
use crate::{SpanBatch, Value};

/// A value of a batch on one line for people: text as it is, numbers and booleans, bytes as
/// base64, arrays and maps as plain JSON such as `["a",1]` and `{"k":true}`; nothing for an
/// empty value, which inside an array or map is `null`. Not reversible: the text `1` looks like
/// the number. For that, see [`encode`](super::encode).
pub fn value_text(batch: &SpanBatch, value: Value) -> String {
    let mut out = String::new();
    match value {
        Value::Empty => {}
        Value::String(text) => out.push_str(batch.text(text)),
        Value::Bool(value) => put_display(&mut out, value),
        Value::Int(value) => put_display(&mut out, value),
        Value::Double(value) if value.is_finite() => put_double(&mut out, value),
        Value::Double(value) if value.is_nan() => out.push_str("NaN"),
        Value::Double(value) => out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Bytes(bytes) => put_base64(&mut out, batch.bytes_of(bytes)),
        Value::Array(message) => put_array(&mut out, batch.bytes_of(message)),
        Value::KeyValueList(message) => put_map(&mut out, batch.bytes_of(message)),
    }
    out
}

/// The fields of a message that the decoder has checked, so that an error means its end.
fn fields(bytes: &[u8]) -> impl Iterator<Item = (u32, Field<'_>)> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || reader.next_field().ok().flatten())
}

/// Appends an `ArrayValue`.
fn put_array(out: &mut String, bytes: &[u8]) {
    out.push('[');
    let mut separator = "";
    for (number, field) in fields(bytes) {
        if let (1, Field::Bytes(value)) = (number, field) {
            out.push_str(separator);
            separator = ",";
            put_value(out, value);
        }
    }
    out.push(']');
}

/// Appends a `KeyValueList`.
fn put_map(out: &mut String, bytes: &[u8]) {
    out.push('{');
    let mut separator = "";
    for (number, field) in fields(bytes) {
        if let (1, Field::Bytes(entry)) = (number, field) {
            let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
            for (number, field) in fields(entry) {
                match (number, field) {
                    (1, Field::Bytes(bytes)) => key = bytes,
                    (2, Field::Bytes(bytes)) => value = bytes,
                    _ => {}
                }
            }
            out.push_str(separator);
            separator = ",";
            put_json_text(out, key);
            out.push(':');
            put_value(out, value);
        }
    }
    out.push('}');
}

/// An encoded `AnyValue` as [`value_text`] has a batch's: a text without quotes, nothing as none.
pub fn any_value_text(message: &[u8]) -> String {
    let mut out = String::new();
    match fields(message).filter(|(number, _)| (1..=7).contains(number)).last() {
        None => {}
        Some((1, Field::Bytes(text))) => out.push_str(&String::from_utf8_lossy(text)),
        Some((7, Field::Bytes(bytes))) => put_base64(&mut out, bytes),
        Some(_) => put_value(&mut out, message),
    }
    out
}

/// Appends an `AnyValue`.
fn put_value(out: &mut String, bytes: &[u8]) {
    let value = fields(bytes).filter(|(number, _)| (1..=7).contains(number)).last();
    match value {
        Some((1, Field::Bytes(text))) => put_json_text(out, text),
        Some((2, Field::Varint(value))) => put_display(out, value != 0),
        Some((3, Field::Varint(value))) => put_display(out, value as i64),
        Some((4, Field::Fixed64(bits))) => put_double(out, f64::from_bits(bits)),
        Some((5, Field::Bytes(message))) => put_array(out, message),
        Some((6, Field::Bytes(message))) => put_map(out, message),
        Some((7, Field::Bytes(bytes))) => {
            out.push('"');
            put_base64(out, bytes);
            out.push('"');
        }
        _ => out.push_str("null"),
    }
}
