//! Moments and lengths of time: their text, and the parts of a date. All in UTC.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

pub(crate) const MICRO: i64 = 1_000;
pub(crate) const MILLI: i64 = 1_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;

/// From the year 1, in which Go's times begin, to 1970.
const YEAR_1_TO_1970_SECONDS: i128 = 62_135_596_800;

/// Date and time of day of a moment.
pub(crate) fn civil(nanos: i64) -> DateTime {
    let timestamp = Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::UNIX_EPOCH);
    TimeZone::UTC.to_datetime(timestamp)
}

/// `2026-11-21T17:00:00.5Z`.
pub(crate) fn rfc3339(nanos: i64) -> String {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// The moment rounded down to a multiple of a length, counted from the year 1.
pub(crate) fn truncate(nanos: i64, length_nanos: i64) -> i64 {
    if length_nanos <= 0 {
        return nanos;
    }
    let since = i128::from(nanos) + YEAR_1_TO_1970_SECONDS * i128::from(SECOND);
    let over = since.rem_euclid(i128::from(length_nanos));
    i64::try_from(i128::from(nanos) - over).unwrap_or(i64::MIN)
}

/// A duration as Go writes it: `1h30m0s`, `1.5s`, `20ms`.
pub(crate) fn duration_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let decimal = |total: u64, unit: u64| {
        let whole = total / unit;
        let digits = unit.ilog10() as usize;
        let fraction = format!("{:0digits$}", total % unit);
        match fraction.trim_end_matches('0') {
            "" => whole.to_string(),
            fraction => format!("{whole}.{fraction}"),
        }
    };
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(total, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(total, 1_000_000)),
        _ => {
            let minutes = total / MINUTE.unsigned_abs();
            let seconds = decimal(total % MINUTE.unsigned_abs(), SECOND.unsigned_abs());
            let mut out = sign.to_owned();
            // Writing to a String does not fail.
            let _ = match minutes {
                0 => write!(out, "{seconds}s"),
                1..60 => write!(out, "{minutes}m{seconds}s"),
                _ => write!(out, "{}h{}m{seconds}s", minutes / 60, minutes % 60),
            };
            out
        }
    }
}

/// A duration as Go reads it: decimal numbers with units from `ns` to `h`, in any order.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0i128;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => MICRO,
            "ms" => MILLI,
            "s" => SECOND,
            "m" => MINUTE,
            "h" => HOUR,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        // What is below a nanosecond is cut off.
        let fraction = fraction.get(..fraction.len().min(18))?;
        let scale = 10i128.pow(u32::try_from(fraction.len()).ok()?);
        let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        total += i128::from(whole) * i128::from(unit) + i128::from(unit) * fraction / scale;
        if total > i128::from(i64::MAX) {
            return None;
        }
        rest = tail;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}
