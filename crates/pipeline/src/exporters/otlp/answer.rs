//! What the other side says: partial success, statuses, delays.

use std::time::{Duration, SystemTime};

use model::wire::{Field, Reader};

/// At most so much of what the other side says is logged.
const WORDS_MAX: usize = 500;

/// `ExportTraceServiceResponse` and its sisters: rejected items and why, if either is there.
pub(super) fn partial_success(message: &[u8]) -> Option<(u64, String)> {
    let (mut rejected, mut reason) = (0, String::new());
    each_field(message, |number, field| {
        if let (1, Field::Bytes(partial)) = (number, field) {
            each_field(partial, |number, field| match (number, field) {
                (1, Field::Varint(count)) => rejected = count,
                (2, Field::Bytes(text)) => reason = words(text),
                _ => {}
            });
        }
    });
    partial(rejected as i64, reason)
}

/// The same in OTLP JSON.
pub(super) fn partial_success_json(body: &[u8]) -> Option<(u64, String)> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let said = answer.get("partialSuccess")?.as_object()?;
    // A 64-bit integer is text in JSON; each signal has a name of its own for the count.
    let rejected = said
        .iter()
        .filter(|(name, _)| name.starts_with("rejected"))
        .find_map(|(_, value)| value.as_i64().or_else(|| value.as_str()?.parse().ok()))
        .unwrap_or(0);
    let reason = said.get("errorMessage").and_then(|value| value.as_str()).unwrap_or_default();
    partial(rejected, words(reason.as_bytes()))
}

fn partial(rejected: i64, reason: String) -> Option<(u64, String)> {
    let rejected = u64::try_from(rejected).unwrap_or(0);
    (rejected > 0 || !reason.is_empty()).then_some((rejected, reason))
}

/// A `google.rpc.Status`: its message, and the delay of its `RetryInfo`.
pub(in crate::exporters) fn rpc_status(message: &[u8]) -> (String, Option<Duration>) {
    let (mut text, mut delay) = (String::new(), None);
    each_field(message, |number, field| match (number, field) {
        (2, Field::Bytes(said)) => text = words(said),
        (3, Field::Bytes(any)) => delay = delay.or_else(|| retry_info(any)),
        _ => {}
    });
    (text, delay)
}

fn retry_info(any: &[u8]) -> Option<Duration> {
    let (mut is_retry_info, mut delay) = (false, None);
    each_field(any, |number, field| match (number, field) {
        (1, Field::Bytes(url)) => is_retry_info = url.ends_with(b"/google.rpc.RetryInfo"),
        (2, Field::Bytes(info)) => {
            delay = Some(Duration::ZERO);
            each_field(info, |number, field| {
                if let (1, Field::Bytes(duration)) = (number, field) {
                    delay = Some(proto_duration(duration));
                }
            });
        }
        _ => {}
    });
    delay.filter(|_| is_retry_info)
}

/// `google.protobuf.Duration`; a negative one is none at all.
fn proto_duration(message: &[u8]) -> Duration {
    let (mut seconds, mut nanos) = (0, 0);
    each_field(message, |number, field| match (number, field) {
        (1, Field::Varint(value)) => seconds = value as i64,
        (2, Field::Varint(value)) => nanos = value as i64,
        _ => {}
    });
    match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Duration::new(seconds, nanos),
        _ => Duration::ZERO,
    }
}

/// `Retry-After` (RFC 9110 10.2.3): seconds or a date.
pub(in crate::exporters) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Text of the other side's, fit for a log.
pub(in crate::exporters) fn words(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(WORDS_MAX)]);
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.trim().to_owned()
}

/// Walks a message; what is broken ends the walk.
fn each_field<'a>(message: &'a [u8], mut each: impl FnMut(u32, Field<'a>)) {
    let mut reader = Reader::new(message);
    while let Ok(Some((number, field))) = reader.next_field() {
        each(number, field);
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn partial_success_in_both_encodings() {
        for (protobuf, json, expected) in [
            (&b""[..], &b"{}"[..], None),
            (b"\x0a\x00", br#"{"partialSuccess":{}}"#, None),
            (b"\x0a\x02\x08\x05", br#"{"partialSuccess":{"rejectedSpans":"5"}}"#, Some((5, ""))),
            (
                b"\x0a\x06\x08\x05\x12\x02no",
                br#"{"partialSuccess":{"rejectedSpans":5,"errorMessage":"no"}}"#,
                Some((5, "no")),
            ),
            (
                b"\x0a\x04\x12\x02hm",
                br#"{"partialSuccess":{"errorMessage":"hm"}}"#,
                Some((0, "hm")),
            ),
            (b"\x0a\xff", b"nonsense", None),
        ] {
            let expected = expected.map(|(rejected, reason)| (rejected, reason.to_owned()));
            assert_eq!(partial_success(protobuf), expected, "{protobuf:?}");
            assert_eq!(partial_success_json(json), expected, "{protobuf:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        }
    }
}
