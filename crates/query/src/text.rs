//! Durations, times and attribute conditions as people write them.

use store::{AttributeCondition, Level};

/// Why a text was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Not a duration.
    #[error(
        "{0:?} is not a duration; write a number with ns, us, ms, s, m, h, d, w or y, such as 250ms or 1h30m"
    )]
    Duration(String),
    /// A duration of more than 64 bits of nanoseconds.
    #[error("{0:?} is out of range; the longest duration is 213503d")]
    Range(String),
    /// Not a time.
    #[error(
        "{0:?} is not a time; write nanoseconds since 1970, RFC 3339 such as 2026-01-31T08:00:00Z, now, or a duration from now such as -1h or +5m"
    )]
    Time(String),
    /// Not a condition on an attribute.
    #[error("{0:?} is not a condition; write key=value, such as http.response.status_code=500")]
    Attribute(String),
}

/// Those of Go and those of Prometheus, whose year has 365 days: Tempo's parameters take both.
const UNITS: [(&str, u64); 11] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
    ("y", 31_536_000_000_000_000),
];

/// A duration in nanoseconds: `90m`, `14d`, `1h30m`, `1.5s`. Zero needs no unit.
pub fn parse_duration_nano(text: &str) -> Result<u64, TextError> {
    let wrong = || TextError::Duration(text.to_owned());
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(number_length(rest));
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, nanos) = *UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .filter(|_| !number.is_empty())
            .ok_or_else(wrong)?;
        total = scaled(number, nanos)
            .and_then(|nanos| total.checked_add(nanos))
            .ok_or_else(|| TextError::Range(text.to_owned()))?;
        rest = after;
    }
    Ok(total)
}

/// The length of the digits, with at most one point among them, that `text` starts with.
pub fn number_length(text: &str) -> usize {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    match text[whole..].strip_prefix('.') {
        Some(rest) if whole > 0 => whole + 1 + digits(rest),
        _ => whole,
    }
}

/// A decimal number times a whole unit, exactly but for what is less than one; `None` beyond 64
/// bits.
pub fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // No unit has more than 15 digits, so that further ones count for less than one.
    let fraction = &fraction[..fraction.len().min(15)];
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit)
        / 10_u128.pow(fraction.len() as u32);
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(u64::try_from(part).ok()?)
}

/// A time in nanoseconds since the Unix epoch. `now` is what a duration counts from.
pub fn parse_time_unix_nano(text: &str, now_unix_nano: u64) -> Result<u64, TextError> {
    let fail = || TextError::Time(text.to_owned());
    if let Some(back) = text.strip_prefix('-') {
        let back = parse_duration_nano(back).map_err(|_| fail())?;
        return Ok(now_unix_nano.saturating_sub(back));
    }
    if let Some(ahead) = text.strip_prefix('+') {
        let ahead = parse_duration_nano(ahead).map_err(|_| fail())?;
        return Ok(now_unix_nano.saturating_add(ahead));
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
            ("0s", 0),
            ("17ns", 17),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            ("0.0000000019s", 1),
            ("90m", 5_400_000_000_000),
            ("2h", 7_200_000_000_000),
            ("14d", 1_209_600_000_000_000),
            ("2w", 1_209_600_000_000_000),
            ("1y", 31_536_000_000_000_000),
            ("1h30m", 5_400_000_000_000),
            (" 1h 30m ", 5_400_000_000_000),
            ("213503d", 18_446_659_200_000_000_000),
            ("18446744073709551615ns", u64::MAX),
        ] {
            assert_eq!(parse_duration_nano(text), Ok(nanos), "{text}");
        }
        for text in [
            "",
            "5",
            "ms",
            "-1s",
            "1..2s",
            "1.h.",
            "1e3s",
            ".5s",
            "5M",
            "1x",
            "1h5",
            "1 fortnight",
            "é",
        ] {
            let wrong = TextError::Duration(text.to_owned());
            assert_eq!(parse_duration_nano(text), Err(wrong), "{text}");
        }
        for text in ["213504d", "99999999999999999999s", "200000d 200000d"] {
            let far = TextError::Range(text.to_owned());
            assert_eq!(parse_duration_nano(text), Err(far), "{text}");
        }
    }

    #[test]
    fn times() {
        let now = 1_700_000_000_000_000_000;
        for (text, nanos) in [
            ("0", 0),
            ("1700000000000000001", now + 1),
            ("-1s", now - 1_000_000_000),
            ("+5m", now + 300_000_000_000),
            ("now", now),
            ("2023-11-14T22:13:20Z", now),
            ("2023-11-14T23:13:20.5+01:00", now + 500_000_000),
        ] {
            assert_eq!(parse_time_unix_nano(text, now), Ok(nanos), "{text}");
        }
        for text in
            ["", "yesterday", "-", "+", "+ 5", "99999999999999999999", "1969-01-01T00:00:00Z"]
        {
            let wrong = parse_time_unix_nano(text, now).unwrap_err();
            assert_eq!(wrong, TextError::Time(text.to_owned()));
            let said = wrong.to_string();
            for form in ["1970", "2026-01-31T08:00:00Z", " now,", " -1h", " +5m"] {
                assert!(said.contains(form), "{form:?} is not in {said}");
            }
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
