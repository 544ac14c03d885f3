//! Durations, times and attribute conditions as people write them.

use std::str::FromStr;

use store::{AttributeCondition, Level};

/// Why a text was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Not a duration.
    #[error("{0:?} is not a duration; write a number with ns, us, ms, s, m, h or d, such as 250ms")]
    Duration(String),
    /// Not a time.
    #[error(
        "{0:?} is not a time; write nanoseconds since 1970, RFC 3339 such as 2026-01-31T08:00:00Z, or a duration back from now such as -1h"
    )]
    Time(String),
    /// Not a condition on an attribute.
    #[error("{0:?} is not a condition; write key=value, such as http.response.status_code=500")]
    Attribute(String),
}

const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
    ("d", 86_400e9),
];

/// A duration in nanoseconds: a decimal number and its unit. Zero needs none.
pub fn parse_duration_nano(text: &str) -> Result<u64, TextError> {
    let fail = || TextError::Duration(text.to_owned());
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(0);
    }
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fail)?;
    let (number, unit) = trimmed.split_at(split);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(fail)?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*factor as u64).ok_or_else(fail);
    }
    let number = f64::from_str(number).map_err(|_| fail())?;
    let nanos = number * factor;
    if nanos >= u64::MAX as f64 { Err(fail()) } else { Ok(nanos.round() as u64) }
}

/// A time in nanoseconds since the Unix epoch. `now` is what a duration counts back from.
pub fn parse_time_unix_nano(text: &str, now_unix_nano: u64) -> Result<u64, TextError> {
    let fail = || TextError::Time(text.to_owned());
    if let Some(back) = text.strip_prefix('-') {
        let back = parse_duration_nano(back).map_err(|_| fail())?;
        return Ok(now_unix_nano.saturating_sub(back));
    }
    if text == "now" {
        return Ok(now_unix_nano);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| fail());
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| fail())?;
    u64::try_from(time.as_nanosecond()).map_err(|_| fail())
}

/// A condition `key=value`, the key perhaps with its level in front: `resource.host.name=a`.
pub fn parse_attribute(text: &str) -> Result<AttributeCondition, TextError> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| TextError::Attribute(text.to_owned()))?;
    let levelled = key.split_once('.').and_then(|(level, key)| {
        let level = Level::from_name(level)?;
        (!key.is_empty()).then_some((level, key))
    });
    let (level, key) = match levelled {
        Some((level, key)) => (Some(level), key),
        None => (None, key),
    };
    Ok(AttributeCondition { level, key: key.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("0", 0),
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            ("2h", 7_200_000_000_000),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("1d", 86_400_000_000_000),
            ("18446744073709551615ns", u64::MAX),
        ] {
            assert_eq!(parse_duration_nano(text), Ok(nanos), "{text}");
        }
        for text in ["", "5", "ms", "1 s", "-1s", "1..2s", "1e3s", "99999999999d", "1.8e19ns", "1x"]
        {
            assert!(parse_duration_nano(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        let now = 1_700_000_000_000_000_000;
        for (text, nanos) in [
            ("0", 0),
            ("1700000000000000001", now + 1),
            ("-1s", now - 1_000_000_000),
            ("now", now),
            ("2023-11-14T22:13:20Z", now),
            ("2023-11-14T23:13:20.5+01:00", now + 500_000_000),
        ] {
            assert_eq!(parse_time_unix_nano(text, now), Ok(nanos), "{text}");
        }
        for text in ["", "yesterday", "-", "99999999999999999999", "1969-01-01T00:00:00Z"] {
            assert!(parse_time_unix_nano(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn attributes() {
        let condition = |level, key: &str, value: &str| {
            Ok(AttributeCondition { level, key: key.to_owned(), value: value.to_owned() })
        };
        for (text, expected) in [
            ("http.route=/a=b", condition(None, "http.route", "/a=b")),
            ("span.http.route=/", condition(Some(Level::Span), "http.route", "/")),
            ("resource.host.name=", condition(Some(Level::Resource), "host.name", "")),
            ("event.=x", condition(None, "event.", "x")),
            ("link=x", condition(None, "link", "x")),
        ] {
            assert_eq!(parse_attribute(text), expected, "{text}");
        }
        for text in ["", "=x", "key"] {
            assert!(parse_attribute(text).is_err(), "{text}");
        }
    }
}
