//! The conditions of a search, as options and as parameters.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::values::{parse_duration, parse_key_value, parse_time};

/// "Within the last hour" takes in clocks that are a little ahead of this one, and no year 2554.
const AHEAD_MAX: Duration = Duration::from_secs(300);

/// Which traces; one of a trace's spans has to meet all of it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Conditions (one span of the trace has to meet all)")]
pub struct FilterArgs {
    /// The service's name
    #[arg(short, long, value_name = "NAME")]
    pub service: Option<String>,
    /// The span's name, whole
    #[arg(short = 'O', long, value_name = "NAME")]
    pub operation: Option<String>,
    /// An attribute's value; span., resource., scope., event. or link. may stand before the key;
    /// repeatable
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse_key_value)]
    pub attribute: Vec<String>,
    /// The span's status
    #[arg(long, value_name = "STATUS")]
    pub status: Option<Status>,
    /// The span took at least this long, such as 100ms
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub min_duration: Option<Duration>,
    /// The span took at most this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub max_duration: Option<Duration>,
    /// The span started within this time before now, such as 1h; clocks may be 5 minutes ahead
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "start")]
    pub since: Option<Duration>,
    /// The span started at or after this: RFC 3339, nanoseconds since 1970, now, or -2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_time)]
    pub start: Option<String>,
    /// The span started before this
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_time)]
    pub end: Option<String>,
}

/// A span's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Status {
    /// Not set
    Unset,
    /// Declared a success
    Ok,
    /// An error
    Error,
}

impl FilterArgs {
    /// True when every trace meets it.
    pub fn is_empty(&self) -> bool {
        self.query().is_empty()
    }

    /// Makes times that count from now fixed ones, so that all pages of a search mean the same.
    pub fn fixed_at(mut self, now: SystemTime) -> anyhow::Result<Self> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let before = |back: Duration| now.saturating_sub(back).as_nanos().to_string();
        if let Some(since) = self.since.take() {
            self.start = Some(before(since));
            let ahead = now.saturating_add(AHEAD_MAX).as_nanos().to_string();
            self.end.get_or_insert(ahead);
        }
        for (name, time) in [("--start", &mut self.start), ("--end", &mut self.end)] {
            if let Some(text) = time.as_deref().filter(|text| text.starts_with(['-', '+'])) {
                let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
                let fixed = query::parse_time_unix_nano(text, now)
                    .with_context(|| format!("reading {name}"))?;
                *time = Some(fixed.to_string());
            }
        }
        Ok(self)
    }

    /// The parameters of the API.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let nanos = |duration: Duration| format!("{}ns", duration.as_nanos());
        let mut query = Vec::new();
        let mut put = |name, value: Option<String>| query.extend(value.map(|value| (name, value)));
        put("service", self.service.clone());
        put("operation", self.operation.clone());
        for attribute in &self.attribute {
            put("attribute", Some(attribute.clone()));
        }
        let status = self.status.as_ref().and_then(ValueEnum::to_possible_value);
        put("status", status.map(|status| status.get_name().to_owned()));
        put("min_duration", self.min_duration.map(nanos));
        put("max_duration", self.max_duration.map(nanos));
        put("start", self.since.map(|since| format!("-{}", nanos(since))).or(self.start.clone()));
        put("end", self.end.clone());
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_parameters() {
        let filter = FilterArgs {
            service: Some("cart & co".to_owned()),
            attribute: vec!["a=1".to_owned(), "span.b=x=y".to_owned()],
            status: Some(Status::Error),
            min_duration: Some(Duration::from_millis(100)),
            since: Some(Duration::from_secs(3600)),
            end: Some("-10m".to_owned()),
            ..FilterArgs::default()
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let query = filter.fixed_at(now).unwrap().query();
        let query: Vec<String> =
            query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            query,
            [
                "service=cart & co",
                "attribute=a=1",
                "attribute=span.b=x=y",
                "status=error",
                "min_duration=100000000ns",
                "start=1699996400000000000",
                "end=1699999400000000000",
            ]
        );
    }

    #[test]
    fn since_has_an_end() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let since = FilterArgs { since: Some(Duration::from_secs(60)), ..FilterArgs::default() };
        let until = FilterArgs { end: Some("-10s".to_owned()), ..since.clone() };
        for (filter, start, end) in [
            (since, "1699999940000000000", "1700000300000000000"),
            (until, "1699999940000000000", "1699999990000000000"),
        ] {
            let fixed = filter.fixed_at(now).unwrap();
            assert_eq!(fixed.query(), [("start", start.to_owned()), ("end", end.to_owned())]);
        }
    }

    #[test]
    fn an_empty_service_is_asked_for() {
        let unnamed = FilterArgs { service: Some(String::new()), ..FilterArgs::default() };
        assert_eq!(unnamed.query(), [("service", String::new())]);
    }

    #[test]
    fn no_option_no_parameter() {
        assert!(FilterArgs::default().is_empty());
        let wrong = FilterArgs { start: Some("-1 week".to_owned()), ..FilterArgs::default() };
        assert!(wrong.fixed_at(SystemTime::now()).is_err());
    }
}
