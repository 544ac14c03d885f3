//! Parameters of requests. Unknown ones mean nothing here; clients send some.

use http::Uri;
use traceql::{MetricsQuery, Pipeline, Query, QueryKind};

use super::fault::Fault;

const SECOND: u64 = 1_000_000_000;

/// The parameters of a request, in order.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
    now_unix_nano: u64,
}

impl Parameters {
    pub(crate) fn of(uri: &Uri, now_unix_nano: u64) -> Result<Self, Fault> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Fault::new(http::StatusCode::BAD_REQUEST, error.to_string()))?;
        Ok(Self { pairs: pairs.0, now_unix_nano })
    }

    pub(crate) fn of_pairs(pairs: Vec<(String, String)>, now_unix_nano: u64) -> Self {
        Self { pairs, now_unix_nano }
    }

    /// When the request came.
    pub(crate) fn now(&self) -> u64 {
        self.now_unix_nano
    }

    /// The first value of a parameter that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let mut values =
            self.pairs.iter().filter(|(known, value)| known == name && !value.is_empty());
        values.next().map(|(_, value)| value.as_str())
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn number(
        &self,
        name: &str,
        least: usize,
        most: usize,
    ) -> Result<Option<usize>, Fault> {
        let number = |text: &str| {
            text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
                let problem = format!("{text:?} is not a whole number from {least} to {most}");
                Fault::parameter(name, problem)
            })
        };
        self.text(name).map(number).transpose()
    }

    /// A time in nanoseconds since the epoch.
    pub(crate) fn time(&self, name: &str) -> Result<Option<u64>, Fault> {
        let time = |text: &str| {
            time(text, self.now_unix_nano).ok_or_else(|| {
                let problem = format!(
                    "{text:?} is not a time; write seconds or nanoseconds since 1970, RFC 3339 \
                     such as 2026-01-31T08:00:00Z, now, or a duration from now such as -1h"
                );
                Fault::parameter(name, problem)
            })
        };
        self.text(name).map(time).transpose()
    }

    /// A duration in nanoseconds. A number without a unit counts seconds if `seconds`.
    pub(crate) fn duration(&self, name: &str, seconds: bool) -> Result<Option<u64>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let bare = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if seconds
            && bare
            && let Some(nanos) = query::scaled(text, SECOND)
        {
            return Ok(Some(nanos));
        }
        let nanos = query::parse_duration_nano(text);
        nanos.map(Some).map_err(|error| Fault::parameter(name, error.to_string()))
    }

    /// The start and the end of the range, in order where both are there. Who writes 0 for the end
    /// has none, as in Tempo.
    pub(crate) fn range(&self) -> Result<(Option<u64>, Option<u64>), Fault> {
        let (start, end) = (self.time("start")?, self.time("end")?.filter(|end| *end > 0));
        if let (Some(start), Some(end)) = (start, end)
            && start >= end
        {
            return Err(Fault::parameter("start", "start must be before end"));
        }
        Ok((start, end))
    }

    /// The query, under either of its names.
    pub(crate) fn query(&self) -> Option<(&'static str, &str)> {
        ["q", "query"].into_iter().find_map(|name| Some((name, self.text(name)?)))
    }
}

/// Seconds of up to ten digits, perhaps with a fraction; nanoseconds; or what people write.
fn time(text: &str, now: u64) -> Option<u64> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) if digits(whole) && digits(fraction) => query::scaled(text, SECOND),
        None if digits(text) && text.len() <= 10 => text.parse::<u64>().ok()?.checked_mul(SECOND),
        _ => query::parse_time_unix_nano(text, now).ok(),
    }
}

/// Parses a query.
pub(crate) fn parse(name: &str, text: &str) -> Result<Query, Fault> {
    traceql::parse(text).map_err(|error| Fault::query(name, text, &error))
}

/// Parses a query for traces.
pub(crate) fn pipeline(name: &str, text: &str) -> Result<Pipeline, Fault> {
    match parse(name, text)?.kind {
        QueryKind::Search(pipeline) => Ok(pipeline),
        QueryKind::Metrics(_) => Err(Fault::parameter(
            name,
            "this query asks for metrics; ask /api/metrics/query_range, or leave out the metrics \
             function to find traces",
        )),
    }
}

/// Parses a query for metrics.
pub(crate) fn metrics(name: &str, text: &str) -> Result<(MetricsQuery, traceql::Hints), Fault> {
    let query = parse(name, text)?;
    match query.kind {
        QueryKind::Metrics(metrics) => Ok((metrics, query.hints)),
        QueryKind::Search(_) => Err(Fault::parameter(
            name,
            "this query finds traces; ask /api/search, or end it in a metrics function such as \
             | rate()",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let now = 1_700_000_000 * SECOND;
        for (text, expected) in [
            ("1700000000", Some(now)),
            ("1700000000.5", Some(now + SECOND / 2)),
            ("1700000000000000001", Some(now + 1)),
            ("2023-11-14T22:13:20Z", Some(now)),
            ("-1s", Some(now - SECOND)),
            ("0", Some(0)),
            ("1e9", None),
            (".5", None),
            ("5.", None),
            ("yesterday", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(time(text, now), expected, "{text}");
        }
    }

    #[test]
    fn steps_are_seconds_or_durations() {
        for (text, expected) in [
            ("15", Some(15 * SECOND)),
            ("0.5", Some(SECOND / 2)),
            ("1m30s", Some(90 * SECOND)),
            ("soon", None),
            ("-1", None),
            ("5.5.5", None),
        ] {
            let parameters = Parameters::of_pairs(vec![("step".to_owned(), text.to_owned())], 0);
            assert_eq!(parameters.duration("step", true).ok().flatten(), expected, "{text}");
        }
    }
}
