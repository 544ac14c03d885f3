//! Figures and foreign text as people read them.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const MINUTE_SECONDS: u64 = 60;
const HOUR_SECONDS: u64 = 3600;
const DAY_SECONDS: u64 = 86_400;

/// A duration in three significant digits: `412ns`, `1.23ms`, `2m 05s`, `3h 07m`, `12d 04h`.
pub fn duration(nanos: u64) -> String {
    if nanos < 1_000 {
        return format!("{nanos}ns");
    }
    for (unit, size, digits_end) in [("µs", 1e3, 1e3), ("ms", 1e6, 1e3), ("s", 1e9, 60.0)] {
        let value = nanos as f64 / size;
        for (decimals, below) in [(2, 9.995), (1, 99.95), (0, 999.5)] {
            if value < below && value.round() < digits_end {
                return format!("{value:.decimals$}{unit}");
            }
        }
    }
    let seconds = nanos / 1_000_000_000 + u64::from(nanos % 1_000_000_000 >= 500_000_000);
    let (large, per, small, part) = if seconds < HOUR_SECONDS {
        ("m", MINUTE_SECONDS, "s", 1)
    } else if seconds < DAY_SECONDS {
        ("h", HOUR_SECONDS, "m", MINUTE_SECONDS)
    } else {
        ("d", DAY_SECONDS, "h", HOUR_SECONDS)
    };
    format!("{}{large} {:02}{small}", seconds / per, seconds % per / part)
}

/// A moment as RFC 3339 in UTC with milliseconds.
pub fn time(unix_nano: u64) -> String {
    // 2^64 nanoseconds end in 2554, which jiff reaches.
    let moment = jiff::Timestamp::from_nanosecond(i128::from(unix_nano / 1_000_000 * 1_000_000));
    moment.map_or_else(|_| unix_nano.to_string(), |moment| format!("{moment:.3}"))
}

/// A count with its digits in groups: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun: `1 span`, `2 spans`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A size in decimal units: `512 B`, `41.2 MB`.
pub fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        value /= 1e3;
        unit = next;
    }
    let decimals = usize::from(unit != "B" && value < 99.95);
    format!("{value:.decimals$} {unit}")
}

/// An error of the system's without its number.
pub fn io_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}

/// `text` on one line without characters that would steer the terminal.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let replaced = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_unsafe(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    Cow::Owned(text.chars().map(replaced).collect())
}

/// Control characters, and those that change the direction of what follows on the line.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns that a clean text takes.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// A clean text cut to so many columns, an ellipsis at its end where it was longer.
pub fn cut(text: &str, columns_max: usize, ellipsis: &str) -> String {
    if columns(text) <= columns_max {
        return text.to_owned();
    }
    let mut room = columns_max.saturating_sub(columns(ellipsis));
    let mut out = String::new();
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if width > room {
            break;
        }
        room -= width;
        out.push(c);
    }
    if columns_max >= columns(ellipsis) {
        out.push_str(ellipsis);
    }
    out
}

/// Spaces that fill a text up to so many columns.
pub fn padding(text: &str, columns_wanted: usize) -> String {
    " ".repeat(columns_wanted.saturating_sub(columns(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (nanos, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1.00µs"),
            (12_340, "12.3µs"),
            (999_499, "999µs"),
            (999_500, "1.00ms"),
            (1_234_567, "1.23ms"),
            (123_456_789, "123ms"),
            (59_400_000_000, "59.4s"),
            (59_600_000_000, "1m 00s"),
            (125_000_000_000, "2m 05s"),
            (3_599_600_000_000, "1h 00m"),
            (11_220_000_000_000, "3h 07m"),
            (100_000_000_000_000, "1d 03h"),
            (u64::MAX, "213503d 23h"),
        ] {
            assert_eq!(duration(nanos), text, "{nanos}");
        }
    }

    #[test]
    fn times() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_123_999_999, "2023-11-14T22:13:20.123Z"),
            (u64::MAX, "2554-07-21T23:34:33.709Z"),
        ] {
            assert_eq!(time(nanos), text);
        }
    }

    #[test]
    fn counts_and_sizes() {
        for (number, grouped, size) in [
            (0, "0", "0 B"),
            (999, "999", "999 B"),
            (1_000, "1,000", "1.0 kB"),
            (41_234_567, "41,234,567", "41.2 MB"),
            (123_456, "123,456", "123 kB"),
            (u64::MAX, "18,446,744,073,709,551,615", "18446744 TB"),
        ] {
            assert_eq!(count(number), grouped);
            assert_eq!(bytes(number), size);
        }
        assert_eq!(counted(1, "span"), "1 span");
        assert_eq!(counted(0, "span"), "0 spans");
    }

    #[test]
    fn cuts_by_columns() {
        for (text, columns_max, expected) in [
            ("checkout", 8, "checkout"),
            ("checkout", 7, "checko…"),
            ("checkout", 1, "…"),
            ("checkout", 0, ""),
            ("注文処理", 8, "注文処理"),
            ("注文処理", 7, "注文処…"),
            ("注文処理", 6, "注文…"),
            ("né", 2, "né"),
        ] {
            assert_eq!(cut(text, columns_max, "…"), expected, "{text} {columns_max}");
        }
    }

    #[test]
    fn errors_without_numbers() {
        use std::io::{Error, ErrorKind};
        assert_eq!(io_error(&Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(io_error(&ErrorKind::UnexpectedEof.into()), "unexpected end of file");
        assert_eq!(io_error(&Error::other("Own words")), "Own words");
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(clean("\x1b[31mred\x07\nnext\u{202e}"), "\u{fffd}[31mred\u{fffd} next\u{fffd}");
        assert_eq!(clean("plain 注文"), "plain 注文");
    }
}
