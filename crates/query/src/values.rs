//! Values of spans as text.

use std::fmt::Write as _;

use traceql::Static;

/// A value as labels and lists show it: text as it is, durations such as `1m30s`, `nil` for none.
pub fn static_text(value: &Static) -> String {
    match value {
        Static::Nil => "nil".to_owned(),
        Static::String(text) => text.clone(),
        Static::Int(number) => number.to_string(),
        Static::Float(number) => number.to_string(),
        Static::Bool(truth) => truth.to_string(),
        Static::Duration(nanos) => duration_text(*nanos),
        Static::Status(status) => status.name().to_owned(),
        Static::Kind(kind) => kind.name().to_owned(),
    }
}

/// Nanoseconds as hours, minutes and seconds, or in the greatest unit below a second: `1h0m2.5s`,
/// `250ms`, `1.5µs`. Reads back as the same duration.
pub fn duration_text(nanos: i64) -> String {
    let mut text = if nanos < 0 { "-".to_owned() } else { String::new() };
    let size = nanos.unsigned_abs();
    const SECOND: u64 = 1_000_000_000;
    if size < SECOND {
        let (unit, name) = match size {
            0 => return "0s".to_owned(),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        put_decimal(&mut text, size, unit);
        text.push_str(name);
        return text;
    }
    let minutes = size / (60 * SECOND);
    if minutes >= 60 {
        let _ = write!(text, "{}h", minutes / 60);
    }
    if minutes > 0 {
        let _ = write!(text, "{}m", minutes % 60);
    }
    put_decimal(&mut text, size % (60 * SECOND), SECOND);
    text.push('s');
    text
}

/// Writes `size / unit` without zeros at its end; `unit` is a power of ten.
fn put_decimal(text: &mut String, size: u64, unit: u64) {
    let _ = write!(text, "{}", size / unit);
    if !size.is_multiple_of(unit) {
        let digits = unit.ilog10() as usize;
        let fraction = format!("{:0digits$}", size % unit);
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (1_000_001, "1.000001ms"),
            (250_000_000, "250ms"),
            (1_000_000_000, "1s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_602_500_000_000, "1h0m2.5s"),
            (-1_500_000_000, "-1.5s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(duration_text(nanos), text);
            if nanos > 0 {
                assert_eq!(crate::parse_duration_nano(text), Ok(nanos.unsigned_abs()), "{text}");
            }
        }
    }

    #[test]
    fn values() {
        for (value, text) in [
            (Static::Nil, "nil"),
            (Static::String("nil".to_owned()), "nil"),
            (Static::Int(-3), "-3"),
            (Static::Float(0.5), "0.5"),
            (Static::Float(2.0), "2"),
            (Static::Bool(true), "true"),
            (Static::Duration(1_000_000), "1ms"),
            (Static::Status(traceql::Status::Error), "error"),
            (Static::Kind(traceql::Kind::Server), "server"),
        ] {
            assert_eq!(static_text(&value), text);
        }
    }
}
