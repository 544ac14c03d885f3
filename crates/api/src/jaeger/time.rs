//! Times as texts.

/// RFC 3339 in UTC, with as many digits of a second as it takes.
pub(super) fn rfc3339(unix_nano: u64) -> String {
    jiff::Timestamp::from_nanosecond(unix_nano.into())
        .map(|time| time.to_string())
        .unwrap_or_default()
}

/// Nanoseconds since 1970 of an RFC 3339 text.
pub(super) fn parse_rfc3339(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("{text:?} is not a time after 1970 of RFC 3339, such as 2026-01-31T08:00:00Z");
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    u64::try_from(time.as_nanosecond()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-11-14T22:13:20.000000001Z", 1_700_000_000_000_000_001),
        ] {
            assert_eq!(parse_rfc3339(text), Ok(nanos));
            assert_eq!(rfc3339(nanos), text);
        }
        assert_eq!(parse_rfc3339("1970-01-01T01:00:00+01:00"), Ok(0));
        for wrong in ["", "0", "yesterday", "1969-01-01T00:00:00Z"] {
            assert!(parse_rfc3339(wrong).is_err(), "{wrong}");
        }
    }
}
