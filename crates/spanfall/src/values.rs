//! Values as they are typed: durations, sizes, addresses, key=value.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;

use model::TraceId;
use query::{number_length, scaled};

const SIZE_UNITS: [(&str, u64); 10] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("", 1),
];

/// Reads what the API takes as a duration, such as `90m` or `1h30m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    query::parse_duration_nano(text).map(Duration::from_nanos).map_err(|error| error.to_string())
}

/// Leaves what the API takes as a time as it is: what it counts from is not known yet.
pub fn parse_time(text: &str) -> Result<String, String> {
    let read = query::parse_time_unix_nano(text, 0);
    read.map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Reads a duration that is not zero.
pub fn parse_positive_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("it has to be more than zero".to_owned()),
        duration => Ok(duration),
    }
}

/// Reads `500MB` (decimal), `10GiB` (binary) and plain bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!("{text:?} is no size; write bytes, or a number with kB, MB, GB, KiB, MiB or GiB")
    };
    let (number, unit) = text.trim().split_at(number_length(text.trim()));
    let unit = unit.trim().to_ascii_lowercase();
    let (_, bytes) = *SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    if number.is_empty() {
        return Err(wrong());
    }
    scaled(number, bytes).ok_or_else(|| format!("{text:?} is out of range"))
}

/// Reads a size that is not zero.
pub fn parse_positive_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("it has to be more than zero".to_owned()),
        size => Ok(size),
    }
}

/// How much disk the spans may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskLimit {
    /// So many bytes.
    Bytes(u64),
    /// A share of what is free when the server starts, 1 to 100.
    PercentOfFree(u8),
}

impl FromStr for DiskLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(number) = text.trim().strip_suffix('%') else {
            return parse_positive_size(text).map(Self::Bytes);
        };
        match number.trim().parse() {
            Ok(percent @ 1..=100) => Ok(Self::PercentOfFree(percent)),
            _ => Err(format!("{text:?} is no share; write 1% to 100%")),
        }
    }
}

/// When what was received has to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before a request is answered.
    Always,
    /// At most so long after it was answered.
    Every(Duration),
}

impl FromStr for SyncPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "always" => Ok(Self::Always),
            other => parse_positive_duration(other)
                .map(Self::Every)
                .map_err(|error| format!("{error}; or \"always\"")),
        }
    }
}

/// Reads an address to listen on.
pub fn parse_address(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        _ => bare.parse().map_err(|_| {
            format!(
                "{text:?} is no IP address; write one such as 127.0.0.1, 0.0.0.0 or ::; ports are \
                 options of their own"
            )
        }),
    }
}

/// Reads a share from 0 to 1.
pub fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?} is no share; write a number from 0 to 1")),
    }
}

/// Reads a number above zero.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    match text.replace('_', "").parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err(format!("{text:?} is no rate; write a number above 0")),
    }
}

/// Reads `key=value` and leaves it as it is; the key may not be empty.
pub fn parse_key_value(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is no condition; write key=value")),
    }
}

/// Reads a trace id, or takes it out of a W3C `traceparent`.
pub fn parse_trace_id(text: &str) -> Result<TraceId, String> {
    let text = text.trim();
    let parts: Vec<&str> = text.split('-').collect();
    let id = match parts[..] {
        [version, id, span, flags]
            if (version.len(), id.len(), span.len(), flags.len()) == (2, 32, 16, 2) =>
        {
            id
        }
        _ => text,
    };
    match id.parse::<TraceId>() {
        Ok(TraceId::NONE) => Err("a trace id is never all zeros".to_owned()),
        Ok(id) => Ok(id),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads `http://…` or `https://…` without a slash at its end.
pub fn parse_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(format!("{text:?} is no URL; write one such as http://127.0.0.1:16686")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        for (text, said) in [("5", "is not a duration"), ("213504d", "out of range")] {
            assert!(parse_duration(text).unwrap_err().contains(said), "{text}");
        }
        assert!(parse_positive_duration("0s").is_err());
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("123", 123),
            ("123B", 123),
            ("500MB", 500_000_000),
            ("500 mb", 500_000_000),
            ("10GiB", 10 << 30),
            ("1.5KiB", 1536),
            ("2TB", 2_000_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "10G", "10k", "-1", "1 2", "0x10", "80%", "20000000TB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn disk_limits_and_sync_policies() {
        for (text, limit) in [
            ("80%", Some(DiskLimit::PercentOfFree(80))),
            ("100 %", Some(DiskLimit::PercentOfFree(100))),
            ("10GiB", Some(DiskLimit::Bytes(10 << 30))),
            ("0%", None),
            ("101%", None),
            ("0", None),
            ("1.5%", None),
        ] {
            assert_eq!(text.parse().ok(), limit, "{text}");
        }
        for (text, policy) in [
            ("always", Some(SyncPolicy::Always)),
            ("200ms", Some(SyncPolicy::Every(Duration::from_millis(200)))),
            ("0ms", None),
            ("never", None),
        ] {
            assert_eq!(text.parse().ok(), policy, "{text}");
        }
    }

    #[test]
    fn addresses_and_urls() {
        for (text, address) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("localhost", Some("127.0.0.1")),
            ("::", Some("::")),
            ("[::1]", Some("::1")),
            ("0.0.0.0:4317", None),
            ("example.org", None),
        ] {
            let expected = address.map(|address| address.parse().unwrap());
            assert_eq!(parse_address(text).ok(), expected, "{text}");
        }
        for (text, url) in [
            ("http://h:1/", Some("http://h:1")),
            ("https://h/base/", Some("https://h/base")),
            ("h:1", None),
            ("http://", None),
            ("ftp://h", None),
        ] {
            assert_eq!(parse_url(text).ok().as_deref(), url, "{text}");
        }
    }

    #[test]
    fn trace_ids() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        for (text, expected) in [
            (id, Some(id)),
            ("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some(id)),
            ("1f", Some("0000000000000000000000000000001f")),
            ("0", None),
            ("", None),
            ("xyz", None),
            ("00-0af7-b7ad6b7169203331-01", None),
        ] {
            let read = parse_trace_id(text).ok().map(|id| id.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn conditions_and_shares() {
        for (text, good) in
            [("a=b", true), ("a=", true), ("a=b=c", true), ("=b", false), ("a", false)]
        {
            assert_eq!(parse_key_value(text).is_ok(), good, "{text}");
        }
        for (text, good) in
            [("0", true), ("1", true), ("0.02", true), ("1.1", false), ("NaN", false)]
        {
            assert_eq!(parse_share(text).is_ok(), good, "{text}");
        }
    }
}
