//! Which traces a request means.
//!
//! As in Zipkin (`QueryRequest`), a trace is meant when each condition holds for one of its spans,
//! not all for the same, and only spans of the service count when one is named. Names are compared
//! without regard to case.

use formats::zipkin::Span;

use super::answer::Fault;
use super::parameters::Parameters;

const LIMIT_DEFAULT: u64 = 10;

/// A day.
pub(super) const LOOKBACK_DEFAULT_MS: u64 = 86_400_000;

/// What stands between two conditions.
const AND: &str = " and ";

/// The most conditions of an annotation query.
const CONDITIONS_MAX: usize = 100;

const MILLI_NANO: u64 = 1_000_000;
const MICRO_NANO: u64 = 1_000;

/// A condition of the annotation query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// A tag has this value.
    Tag(String, String),
    /// There is a tag of this name, an annotation of this text, or one of an event of this name
    /// that has attributes.
    Exists(String),
}

/// Nanoseconds since the epoch, the end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start_unix_nano: u64,
    pub(super) end_unix_nano: u64,
}

impl Window {
    /// `lookback` milliseconds up to the moment `end_ts`, included.
    pub(super) fn new(end_ts: u64, lookback: u64) -> Self {
        Self {
            start_unix_nano: end_ts.saturating_sub(lookback).saturating_mul(MILLI_NANO),
            end_unix_nano: end_ts.saturating_mul(MILLI_NANO).saturating_add(MICRO_NANO),
        }
    }
}

/// The parameters of `/traces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TraceQuery {
    pub(super) service: Option<String>,
    pub(super) remote_service: Option<String>,
    pub(super) span_name: Option<String>,
    pub(super) conditions: Vec<Condition>,
    /// Microseconds.
    pub(super) min_duration: Option<u64>,
    /// Microseconds, included.
    pub(super) max_duration: Option<u64>,
    pub(super) window: Window,
    pub(super) limit: usize,
}

impl TraceQuery {
    pub(super) fn from_parameters(
        parameters: &Parameters,
        now_unix_nano: u64,
    ) -> Result<Self, Fault> {
        let text = |name| parameters.text(name).map(|text| text.map(str::to_owned));
        let end_ts = parameters.number("endTs")?.unwrap_or(now_unix_nano / MILLI_NANO);
        let lookback = parameters.number("lookback")?.unwrap_or(LOOKBACK_DEFAULT_MS);
        let min_duration = parameters.number("minDuration")?;
        let max_duration = parameters.number("maxDuration")?;
        match (min_duration, max_duration) {
            (None, Some(_)) => {
                return Err(Fault::parameter("maxDuration", "is only valid with minDuration"));
            }
            (Some(min), Some(max)) if max < min => {
                let problem = format!("{max} is less than minDuration, which is {min}");
                return Err(Fault::parameter("maxDuration", problem));
            }
            _ => {}
        }
        Ok(Self {
            service: text("serviceName")?,
            remote_service: text("remoteServiceName")?,
            span_name: text("spanName")?.filter(|name| !name.eq_ignore_ascii_case("all")),
            conditions: conditions(parameters.text("annotationQuery")?.unwrap_or_default())?,
            min_duration,
            max_duration,
            window: Window::new(end_ts, lookback),
            limit: parameters.number("limit")?.unwrap_or(LIMIT_DEFAULT) as usize,
        })
    }

    /// How many conditions there are beside the service.
    pub(super) fn condition_count(&self) -> usize {
        self.conditions.len()
            + usize::from(self.remote_service.is_some())
            + usize::from(self.span_name.is_some())
            + usize::from(self.min_duration.is_some())
    }
}

/// Reads `http.method=GET and error`.
fn conditions(text: &str) -> Result<Vec<Condition>, Fault> {
    let mut out = Vec::new();
    if text.is_empty() {
        return Ok(out);
    }
    let mut rest = Some(text);
    while let Some(left) = rest {
        let at = text.len() - left.len();
        let (key, value, next) = match shown_annotation(left) {
            Some((annotation, next)) => (annotation, "", next),
            None => {
                let (part, next) = match left.split_once(AND) {
                    Some((part, next)) => (part, Some(next)),
                    None => (left, None),
                };
                let (key, value) = part.split_once('=').unwrap_or((part, ""));
                (key, value, next)
            }
        };
        let (key, value) = (key.trim(), value.trim());
        let wrong = |problem: &str| {
            let position = text[..at].chars().count() + 1;
            Fault::parameter("annotationQuery", format!("at character {position}: {problem}"))
        };
        if out.len() == CONDITIONS_MAX {
            return Err(wrong(&format!("more than {CONDITIONS_MAX} conditions")));
        }
        if key.is_empty() {
            return Err(wrong(
                "a condition has no name; write name or name=value, with \" and \" between them",
            ));
        }
        out.push(match value {
            "" => Condition::Exists(key.to_owned()),
            value => Condition::Tag(key.to_owned(), value.to_owned()),
        });
        rest = next;
    }
    Ok(out)
}

/// An event with attributes, as annotations show it (`"name": {"key":"value"}`), at the beginning
/// of a text, and the conditions behind it. What stands in its quotes is no `=` or ` and ` of the
/// query.
fn shown_annotation(text: &str) -> Option<(&str, Option<&str>)> {
    fn length<T: serde::de::DeserializeOwned>(text: &str) -> Option<usize> {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<T>();
        values.next()?.ok()?;
        Some(values.byte_offset())
    }
    let name = Some(text).filter(|text| text.trim_start().starts_with('"'));
    let name = length::<String>(name?)?;
    let attributes = text.get(name..)?.strip_prefix(':')?;
    let end = name + 1 + length::<serde_json::Map<String, serde_json::Value>>(attributes)?;
    let (annotation, behind) = text.split_at_checked(end)?;
    match behind.trim().is_empty() {
        true => Some((annotation, None)),
        false => Some((annotation, Some(behind.strip_prefix(AND)?))),
    }
}

/// Equal but for case.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

/// Whether an annotation has this text, or shows an event of this name with its attributes. Their
/// order is not told apart: it need not be that in which they were sent.
fn is_of(annotation: &str, text: &str) -> bool {
    if annotation == text {
        return true;
    }
    let Some((name, attributes)) = event_shown(annotation) else { return false };
    match event_shown(text) {
        Some(wanted) => wanted == (name, attributes),
        None => name == text,
    }
}

/// The name and the attributes of an event that a text shows: `"name": {"key":"value"}`.
fn event_shown(text: &str) -> Option<(String, serde_json::Map<String, serde_json::Value>)> {
    // Only those are quoted.
    let text = text.strip_prefix('"').map(|_| text)?;
    let (_, None) = shown_annotation(text)? else { return None };
    let mut names = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let name = names.next()?.ok()?;
    let attributes = text.get(names.byte_offset()..)?.strip_prefix(':')?;
    Some((name, serde_json::from_str(attributes).ok()?))
}

/// Which conditions the spans of a trace have met so far.
pub(super) struct Progress<'q> {
    query: &'q TraceQuery,
    service: bool,
    remote_service: bool,
    span_name: bool,
    duration: bool,
    conditions: Vec<bool>,
}

impl<'q> Progress<'q> {
    pub(super) fn new(query: &'q TraceQuery) -> Self {
        Self {
            query,
            service: query.service.is_none(),
            remote_service: query.remote_service.is_none(),
            span_name: query.span_name.is_none(),
            duration: query.min_duration.is_none(),
            conditions: vec![false; query.conditions.len()],
        }
    }

    /// Takes a span into account.
    pub(super) fn see(&mut self, span: &Span<'_>) {
        let name_of = |endpoint: &Option<formats::zipkin::Endpoint<'_>>, wanted: &str| {
            let name = endpoint.as_ref().and_then(|endpoint| endpoint.service_name.as_deref());
            name.is_some_and(|name| same_name(name, wanted))
        };
        let query = self.query;
        if let Some(service) = &query.service {
            if !name_of(&span.local_endpoint, service) {
                return;
            }
            self.service = true;
        }
        if let Some(remote) = &query.remote_service {
            self.remote_service |= name_of(&span.remote_endpoint, remote);
        }
        if let Some(wanted) = &query.span_name {
            self.span_name |= span.name.as_deref().is_some_and(|name| same_name(name, wanted));
        }
        if let Some(min) = query.min_duration {
            let duration = span.duration.unwrap_or(0);
            self.duration |=
                duration >= min && query.max_duration.is_none_or(|max| duration <= max);
        }
        for (condition, met) in query.conditions.iter().zip(&mut self.conditions) {
            *met |= match condition {
                Condition::Tag(key, value) => span.tag(key) == Some(value),
                Condition::Exists(key) => {
                    span.tag(key).is_some()
                        || span.annotations.iter().any(|annotation| is_of(&annotation.value, key))
                }
            };
        }
    }

    /// Whether every condition is met.
    pub(super) fn is_met(&self) -> bool {
        self.service
            && self.remote_service
            && self.span_name
            && self.duration
            && self.conditions.iter().all(|met| *met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotation_queries() {
        let tag = |key: &str, value: &str| Condition::Tag(key.to_owned(), value.to_owned());
        let exists = |key: &str| Condition::Exists(key.to_owned());
        for (text, expected) in [
            ("", vec![]),
            ("error", vec![exists("error")]),
            ("http.method=GET", vec![tag("http.method", "GET")]),
            ("http.method=GET and error", vec![tag("http.method", "GET"), exists("error")]),
            (" a = b and c= ", vec![tag("a", "b"), exists("c")]),
            ("a=b=c", vec![tag("a", "b=c")]),
            ("sand and band", vec![exists("sand"), exists("band")]),
            ("finagle.retry x", vec![exists("finagle.retry x")]),
            // As the annotation of an event with attributes reads.
            (
                r#"a=b and "exception": {"m":"x = y and \"z\"","n":{"k":[1]}} and c"#,
                vec![
                    tag("a", "b"),
                    exists(r#""exception": {"m":"x = y and \"z\"","n":{"k":[1]}}"#),
                    exists("c"),
                ],
            ),
            (r#" "e":{} "#, vec![exists(r#""e":{}"#)]),
            // What only begins like one is read as ever.
            (r#""exception": {"m":"x"#, vec![exists(r#""exception": {"m":"x"#)]),
            (r#""a": {}=b"#, vec![tag(r#""a": {}"#, "b")]),
            (r#""a" and "b""#, vec![exists(r#""a""#), exists(r#""b""#)]),
        ] {
            assert_eq!(conditions(text).unwrap(), expected, "{text:?}");
        }
        for (text, position) in
            [(" ", 1), ("=b", 1), ("a=1 and ", 9), ("é=1 and =2", 9), ("a and  and b", 7)]
        {
            let fault = conditions(text).unwrap_err();
            let expected = format!("annotationQuery: at character {position}: ");
            assert!(fault.text.starts_with(&expected), "{text:?}: {}", fault.text);
        }
        let many = |count| vec!["a"; count].join(" and ");
        assert_eq!(conditions(&many(CONDITIONS_MAX)).unwrap().len(), CONDITIONS_MAX);
        assert!(conditions(&many(CONDITIONS_MAX + 1)).is_err());
    }

    #[test]
    fn annotations_of_events() {
        for (annotation, text, is_one) in [
            ("retry", "retry", true),
            ("retry", "ret", false),
            (r#""exception": {"m":"x"}"#, "exception", true),
            (r#""exception": {"m":"x"}"#, r#""exception": {"m":"x"}"#, true),
            (r#""exception": {"m":"x","n":1}"#, r#""exception":{"n":1, "m":"x"}"#, true),
            (r#""exception": {"m":"x","n":1}"#, r#""exception": {"m":"x"}"#, false),
            (r#""exception": {"m":"x"}"#, r#""exception": {"#, false),
            (r#""exception": {"m":"x"}"#, "exceptio", false),
            (r#""a\"b": {"m":"x"}"#, "a\"b", true),
            (r#""exception""#, "exception", false),
        ] {
            assert_eq!(is_of(annotation, text), is_one, "{annotation} {text}");
        }
    }

    #[test]
    fn the_window_ends_with_its_last_microsecond() {
        let window = Window::new(2000, 500);
        assert_eq!((window.start_unix_nano, window.end_unix_nano), (1_500_000_000, 2_000_001_000));
        assert_eq!(Window::new(5, 10).start_unix_nano, 0);
        assert_eq!(Window::new(i64::MAX as u64, 1).end_unix_nano, u64::MAX);
    }
}
