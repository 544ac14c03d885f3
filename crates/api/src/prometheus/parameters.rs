//! Parameters in a URL or in a form, which Prometheus takes alike. Unknown ones mean nothing here;
//! clients send some.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use http::header::CONTENT_TYPE;
use http::{Method, Uri};
use query::promql::{Range, duration_ms};

use super::fault::Fault;

/// The largest form. A URL cannot be longer.
const FORM_BYTES_MAX: usize = 60_000;

/// Times in seconds go to this one, in the year 33,658.
const SECONDS_MAX: f64 = 1e12;

/// The parameters of a request, in order; those of a form come first.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters of a request and of its form.
    pub(super) async fn of(request: Request) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        let mut pairs = Vec::new();
        if parts.method == Method::POST {
            let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let is_form = |kind: &str| kind.to_ascii_lowercase().contains("x-www-form-urlencoded");
            if let Some(kind) = kind.filter(|kind| !is_form(kind)) {
                let text = "a body has to be of the type application/x-www-form-urlencoded, not";
                return Err(Fault::bad_data(format!("{text} {kind}")));
            }
            pairs = form(body).await?;
        }
        pairs.extend(of_uri(&parts.uri)?);
        Ok(Self(pairs))
    }

    /// The first value of a parameter, unless it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let first = self.0.iter().find(|(known, _)| known == name);
        first.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Fault> {
        self.text(name).ok_or_else(|| Fault::parameter(name, "it is missing"))
    }

    /// A time in milliseconds since the epoch.
    pub(super) fn time_ms(&self, name: &str) -> Result<Option<i64>, Fault> {
        let time = |text: &str| {
            time_ms(text).ok_or_else(|| {
                let problem = format!(
                    "cannot parse {text:?} to a valid timestamp; write seconds since 1970 or RFC \
                     3339 such as 2026-01-31T08:00:00Z"
                );
                Fault::parameter(name, problem)
            })
        };
        self.text(name).map(time).transpose()
    }

    /// A duration in milliseconds.
    pub(super) fn duration_ms(&self, name: &str) -> Result<Option<i64>, Fault> {
        let duration = |text: &str| {
            duration_ms(text).ok_or_else(|| {
                let problem = format!(
                    "cannot parse {text:?} to a valid duration; write seconds, or a number with \
                     ms, s, m, h, d, w or y"
                );
                Fault::parameter(name, problem)
            })
        };
        self.text(name).map(duration).transpose()
    }

    /// How many of something at the most; 0 is no limit.
    pub(super) fn limit(&self, name: &str) -> Result<usize, Fault> {
        let limit = |text: &str| {
            text.parse::<usize>().map_err(|_| {
                Fault::parameter(name, format!("{text:?} is not a whole number from 0"))
            })
        };
        let limit = self.text(name).map(limit).transpose()?.unwrap_or(0);
        Ok(if limit == 0 { usize::MAX } else { limit })
    }

    /// The range of `start` and `end`: everything unless told otherwise.
    pub(super) fn range(&self, now_ms: i64) -> Result<Range, Fault> {
        let (start, end) = (self.time_ms("start")?, self.time_ms("end")?);
        let range = Range { start_ms: start.unwrap_or(0), end_ms: end.unwrap_or(now_ms) };
        match range.end_ms < range.start_ms {
            true => Err(Fault::parameter("end", "end timestamp must not be before start time")),
            false => Ok(range),
        }
    }
}

async fn form(body: Body) -> Result<Vec<(String, String)>, Fault> {
    let bytes = to_bytes(body, FORM_BYTES_MAX).await.map_err(|_| {
        Fault::bad_data(format!("the form cannot be read, or has more than {FORM_BYTES_MAX} bytes"))
    })?;
    // Some clients leave characters as they are that a URL may not have.
    let mut query = String::with_capacity(bytes.len());
    for byte in &bytes {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~%+=&:/?@!$'()*,;[]".contains(byte);
        match is_plain {
            true => query.push(char::from(*byte)),
            false => query.push_str(&format!("%{byte:02X}")),
        }
    }
    let uri = Uri::builder().path_and_query(format!("/?{query}")).build();
    of_uri(&uri.map_err(|_| Fault::bad_data("the form is too long"))?)
}

fn of_uri(uri: &Uri) -> Result<Vec<(String, String)>, Fault> {
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
    pairs.map(|pairs| pairs.0).map_err(|error| Fault::bad_data(error.to_string()))
}

/// Seconds since the epoch, perhaps with a fraction, or RFC 3339.
fn time_ms(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.abs() <= SECONDS_MAX => Some((seconds * 1000.0).round() as i64),
        Ok(_) => None,
        Err(_) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, expected) in [
            ("1700000000", Some(1_700_000_000_000)),
            ("1700000000.1234", Some(1_700_000_000_123)),
            ("1.7e9", Some(1_700_000_000_000)),
            ("-1", Some(-1000)),
            ("2023-11-14T22:13:20.5Z", Some(1_700_000_000_500)),
            ("2023-11-14T23:13:20+01:00", Some(1_700_000_000_000)),
            ("1e300", None),
            ("NaN", None),
            ("Inf", None),
            ("now", None),
        ] {
            assert_eq!(time_ms(text), expected, "{text}");
        }
    }
}
