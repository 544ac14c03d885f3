//! The scalars of JSON, appended to a text.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::lexer::plain_end;

/// Appends a text as a JSON string, quotes included. Escapes what RFC 8259 section 7 demands and
/// no more.
pub fn put_json_string(out: &mut String, text: &str) {
    out.push('"');
    let mut done = 0;
    loop {
        let at = plain_end(text.as_bytes(), done);
        out.push_str(&text[done..at]);
        let Some(byte) = text.as_bytes().get(at) else {
            break;
        };
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => put_display(out, format_args!("\\u{byte:04x}")),
        }
        done = at + 1;
    }
    out.push('"');
}

/// Appends bytes that ought to be UTF-8 as a JSON string; U+FFFD stands for what is not.
pub(super) fn put_json_text(out: &mut String, bytes: &[u8]) {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => put_json_string(out, text),
        Err(_) => put_json_string(out, &String::from_utf8_lossy(bytes)),
    }
}

/// Appends what formats itself as JSON.
pub(super) fn put_display(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{value}");
}

/// Appends the shortest digits that read back as the same number; JSON has no NaN and no
/// infinities, ProtoJSON spells them as strings.
pub(super) fn put_double(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("\"NaN\"");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        // Debug and not Display, which spells 1e300 with 301 digits.
        let _ = write!(out, "{value:?}");
    }
}

/// Appends bytes as lower-case hexadecimal digits, without quotes.
pub(super) fn put_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // A trace id at a time.
    for chunk in bytes.chunks(16) {
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(chunk) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        out.push_str(std::str::from_utf8(&digits[..2 * chunk.len()]).unwrap_or_default());
    }
}

/// Appends bytes as base64 with padding, without quotes.
pub(super) fn put_base64(out: &mut String, bytes: &[u8]) {
    STANDARD.encode_string(bytes, out);
}
