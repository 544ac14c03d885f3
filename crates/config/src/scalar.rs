//! What a scalar without quotes means, and texts that stand for durations and sizes.
//!
//! The types are those of go-yaml v3, which the Collector reads with: YAML 1.2's, but for octal
//! numbers, which may be written `0123`, and for `yes` and `no`, which are text until a truth value
//! is asked for.

use std::time::Duration;

use crate::node::Value;

/// The value of a scalar without quotes and without a tag.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let starts_a_number =
        text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.'));
    let number = starts_a_number.then(|| number(text)).flatten();
    number.unwrap_or_else(|| Value::String(text.into()))
}

fn number(text: &str) -> Option<Value> {
    let digits = if text.starts_with('.') { text.to_owned() } else { text.replace('_', "") };
    match whole_number(&digits) {
        Some(number) => Some(Value::Int(number)),
        None if is_float(&digits) => digits.parse().ok().map(Value::Float),
        None => None,
    }
}

/// A whole number in the bases of Go's literals; nothing if 64 bits do not hold it.
fn whole_number(text: &str) -> Option<i128> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.get(..2) {
        Some("0x") => (16, lower.get(2..)?),
        Some("0o") => (8, lower.get(2..)?),
        Some("0b") => (2, lower.get(2..)?),
        Some(start) if start.starts_with('0') => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    if !digits.starts_with(|first: char| first.is_digit(base)) {
        return None;
    }
    let number = i128::from(u64::from_str_radix(digits, base).ok()?);
    let number = if is_negative { -number } else { number };
    (number >= i128::from(i64::MIN)).then_some(number)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_mantissa =
        are_digits(whole) && are_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    is_mantissa
        && exponent.is_none_or(|exponent| {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !digits.is_empty() && are_digits(digits)
        })
}

/// The truth value of a YAML 1.1 word, which counts where a truth value is asked for.
pub(crate) fn old_bool(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// Why a text is no duration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoDuration {
    /// It is not of Go's syntax at all.
    Invalid,
    /// A number without a unit.
    MissingUnit,
    /// A number with a unit that there is not.
    UnknownUnit(String),
    /// Less than zero.
    Negative,
    /// More than 64 bits of nanoseconds.
    TooLong,
}

/// A duration in Go's syntax: numbers with units, such as `1h30m`, `1.5s` or `200ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, NoDuration> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(NoDuration::Invalid);
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let digits_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, after) = rest.split_at(digits_end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(NoDuration::Invalid);
        }
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let size: u128 = match unit {
            "" => return Err(NoDuration::MissingUnit),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            unit => return Err(NoDuration::UnknownUnit(unit.to_owned())),
        };
        let whole: u64 = match whole {
            "" => 0,
            whole => whole.parse().map_err(|_| NoDuration::TooLong)?,
        };
        // More decimals than these are less than a nanosecond of an hour.
        let decimals = fraction.get(..fraction.len().min(15)).unwrap_or_default();
        let scale = 10_u128.pow(u32::try_from(decimals.len()).unwrap_or(0));
        let part = decimals.parse::<u128>().unwrap_or(0) * size / scale;
        nanos += u128::from(whole) * size + part;
        if nanos > i64::MAX as u128 {
            return Err(NoDuration::TooLong);
        }
        rest = after;
    }
    match u64::try_from(nanos) {
        Ok(0) => Ok(Duration::ZERO),
        Ok(_) if is_negative => Err(NoDuration::Negative),
        Ok(nanos) => Ok(Duration::from_nanos(nanos)),
        Err(_) => Err(NoDuration::TooLong),
    }
}

/// A number of bytes: `512`, `64MiB`, `1.5 GB`, `10k`. Units are of 1024 with an `i`, else of 1000.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let prefix = unit.strip_suffix('b').unwrap_or(&unit);
    let size: u64 = match prefix {
        "" => 1,
        "k" => 1_000,
        "ki" => 1 << 10,
        "m" => 1_000_000,
        "mi" => 1 << 20,
        "g" => 1_000_000_000,
        "gi" => 1 << 30,
        "t" => 1_000_000_000_000,
        "ti" => 1 << 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(size);
    }
    let bytes = is_float(number).then(|| number.parse::<f64>().ok()).flatten()? * size as f64;
    (bytes.fract() == 0.0 && bytes < 2_f64.powi(64)).then_some(bytes as u64)
}
