//! Integers, floats and durations.

use super::{Lexer, TokenKind};
use crate::error::Error;

const DAY: u64 = 86_400_000_000_000;

/// The units that whole numbers may have, from long to short, each at most once: `1d12h`.
const CALENDAR: [(&str, u64); 7] = [
    ("y", 365 * DAY),
    ("w", 7 * DAY),
    ("d", DAY),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// The units that decimal numbers may have, in any order: `1.5s`.
const CLOCK: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl Lexer<'_> {
    pub(super) fn number(&mut self) -> Result<TokenKind, Error> {
        let start = self.at;
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut end = digits(0);
        let mut whole = true;
        if bytes.get(end) == Some(&b'.') {
            end = digits(end + 1);
            whole = false;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent > end + 1 + sign {
                end = exponent;
                whole = false;
            }
        }
        let with_unit = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let long = rest.find(|c: char| !with_unit(c)).unwrap_or(rest.len());
        if long > end {
            self.at += long;
            let text = &rest[..long];
            return match duration(text).map(u64::try_from) {
                // The least duration has one more than the greatest.
                Some(Ok(nanos)) if nanos <= i64::MAX as u64 + 1 => Ok(TokenKind::Duration(nanos)),
                Some(_) => {
                    let message = format!("{text} is beyond the greatest duration, 292 years");
                    Err(self.error(start, self.at, message))
                }
                None => {
                    let message = format!(
                        "{text:?} is neither a number nor a duration such as 1h30m or 1.5s"
                    );
                    Err(self.error(start, self.at, message))
                }
            };
        }
        self.at += end;
        let text = &rest[..end];
        if !whole {
            let value = text.parse().ok().filter(|value: &f64| value.is_finite());
            return value.map(TokenKind::Float).ok_or_else(|| {
                self.error(start, self.at, format!("{text} is beyond the greatest float"))
            });
        }
        // The least integer has one more than the greatest.
        let value = text.parse().ok().filter(|value| *value <= i64::MAX as u64 + 1);
        value.map(TokenKind::Int).ok_or_else(|| {
            self.error(start, self.at, format!("{text} is beyond the greatest integer"))
        })
    }
}

/// A duration in nanoseconds, however long; `None` for what is none.
fn duration(text: &str) -> Option<u128> {
    calendar(text).or_else(|| clock(text))
}

/// So many units in nanoseconds; `None` if the text is not all digits.
fn nanos(digits: &str, unit: u64) -> Option<u128> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| digits.parse().unwrap_or(u128::MAX))?;
    Some(number.saturating_mul(u128::from(unit)))
}

fn calendar(text: &str) -> Option<u128> {
    let mut rest = text;
    let mut units = CALENDAR.iter();
    let mut total = 0u128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, unit) = units.find(|(name, _)| *name == unit)?;
        total = total.saturating_add(nanos(number, *unit)?);
        rest = tail;
    }
    Some(total)
}

fn clock(text: &str) -> Option<u128> {
    let mut rest = text;
    let mut total = 0u128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, unit) = CLOCK.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let part = if whole.is_empty() { 0 } else { nanos(whole, *unit)? };
        // What is below a nanosecond is cut off.
        let shown = &fraction[..fraction.len().min(18)];
        let scale = 10u128.pow(shown.len() as u32);
        let shown: u128 = shown.parse().unwrap_or(0);
        let below = u128::from(*unit) * shown / scale;
        total = total.saturating_add(part).saturating_add(below);
        rest = tail;
    }
    Some(total)
}

/// A duration as the language writes it: hours, minutes and seconds, or the one unit below a
/// second that leaves no leading zero.
pub(crate) fn duration_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let decimal = |unit: u64| {
        let fraction = format!("{:0width$}", total % unit, width = unit.ilog10() as usize);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        (total / unit, format!("{point}{fraction}"))
    };
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => {
            let (whole, fraction) = decimal(1_000);
            format!("{sign}{whole}{fraction}µs")
        }
        1_000_000..1_000_000_000 => {
            let (whole, fraction) = decimal(1_000_000);
            format!("{sign}{whole}{fraction}ms")
        }
        _ => {
            let (whole, fraction) = decimal(1_000_000_000);
            let (hours, minutes, seconds) = (whole / 3_600, whole / 60 % 60, whole % 60);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}{fraction}s"),
                (0, _) => format!("{sign}{minutes}m{seconds}{fraction}s"),
                _ => format!("{sign}{hours}h{minutes}m{seconds}{fraction}s"),
            }
        }
    }
}
