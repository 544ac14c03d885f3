//! Searches: from parameters or messages to what the store is asked, and its pages as answers.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Uri};
use query::{decode_cursor, encode_cursor};
use store::{FindRequest, FoundPage, FoundSpan, FoundSpanset, FoundTrace, Position, QueryStats};
use traceql::{Field, Intrinsic};

use super::fault::Fault;
use super::parameters::{Parameters, pipeline};
use super::proto::{
    SearchMetrics, SearchRequest, SearchResponse, ServiceStats, Span, SpanSet, TraceSearchMetadata,
};
use super::values::{any_value, key_value};
use super::{PARTIAL, Shared, logfmt};
use crate::apart::apart;

/// The header that says where the next page starts: the body of an answer has no room for it, as
/// clients refuse fields that they do not know.
pub(crate) const NEXT_CURSOR: &str = "spanfall-next-cursor";

const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 262_144;
const SPANS_DEFAULT: usize = 3;
const SPANS_MAX: usize = 100;

/// What clients look for where a root is to come.
const NO_ROOT: &str = "<root span not yet received>";

pub(super) async fn search(State(api): Shared, uri: Uri) -> Result<Response, Fault> {
    let parameters = Parameters::of(&uri, (api.clock)())?;
    let page = api.store.find(request(&parameters)?, None).await?;
    let response = apart(move || {
        let mut response = axum::Json(answer(&page)).into_response();
        let headers = response.headers_mut();
        if page.partial {
            headers.insert(PARTIAL, HeaderValue::from_static("true"));
        }
        if let Some(cursor) = next(&page)
            && let Ok(cursor) = HeaderValue::try_from(encode_cursor(cursor))
        {
            headers.insert(NEXT_CURSOR, cursor);
        }
        response
    });
    Ok(response.await?)
}

/// Where the next page starts.
pub(crate) fn next(page: &FoundPage) -> Option<Position> {
    let last = page.traces.last().filter(|_| page.more)?;
    let summary = &last.summary;
    Some(Position { start_unix_nano: summary.start_unix_nano, trace_id: summary.trace_id })
}

/// What parameters ask for.
pub(crate) fn request(parameters: &Parameters) -> Result<FindRequest, Fault> {
    let pipeline = match (parameters.query(), parameters.text("tags")) {
        (Some(_), Some(_)) => {
            return Err(Fault::parameter("tags", "give q or tags, not both"));
        }
        (Some((name, text)), None) => pipeline(name, text)?,
        (None, tags) => {
            let query = logfmt::query(tags.unwrap_or_default());
            let query = query.map_err(|problem| Fault::parameter("tags", problem))?;
            pipeline("tags", &query)?
        }
    };
    let (start_unix_nano, end_unix_nano) = parameters.range()?;
    let cursor = parameters.text("cursor").map(decode_cursor).transpose();
    let duration_min_nano = parameters.duration("minDuration", false)?;
    let duration_max_nano = parameters.duration("maxDuration", false)?;
    if let (Some(min), Some(max)) = (duration_min_nano, duration_max_nano)
        && min > max
    {
        return Err(Fault::parameter("maxDuration", "maxDuration is less than minDuration"));
    }
    Ok(FindRequest {
        pipeline,
        start_unix_nano,
        end_unix_nano,
        duration_min_nano,
        duration_max_nano,
        limit: parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT),
        spans_per_spanset: parameters.number("spss", 1, SPANS_MAX)?.unwrap_or(SPANS_DEFAULT),
        after: cursor.map_err(|error| Fault::parameter("cursor", error.to_string()))?,
    })
}

/// What a message asks for. A number that is 0 was not set.
pub(super) fn request_of(message: SearchRequest, now: u64) -> Result<FindRequest, Fault> {
    let set = |number: u32| (number > 0).then(|| number.to_string());
    let milliseconds = |number: u32| (number > 0).then(|| format!("{number}ms"));
    let tags: Vec<String> =
        message.tags.iter().map(|(key, value)| logfmt::pair(key, value)).collect();
    let pairs = [
        ("q", Some(message.query)),
        ("tags", Some(tags.join(" "))),
        ("start", set(message.start)),
        ("end", set(message.end)),
        ("minDuration", milliseconds(message.min_duration_ms)),
        ("maxDuration", milliseconds(message.max_duration_ms)),
        ("limit", set(message.limit)),
        ("spss", set(message.spans_per_span_set)),
    ];
    let given = pairs.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
    request(&Parameters::of_pairs(given.collect(), now))
}

/// A page as the body of an answer.
pub(crate) fn answer(page: &FoundPage) -> SearchResponse {
    SearchResponse {
        traces: page.traces.iter().map(trace).collect(),
        metrics: Some(metrics(&page.stats, true)),
    }
}

/// What a query took; clients take one whose jobs are done for one that is finished.
pub(super) fn metrics(stats: &QueryStats, done: bool) -> SearchMetrics {
    let blocks = small(stats.pieces);
    SearchMetrics {
        inspected_traces: small(stats.traces),
        total_blocks: blocks,
        completed_jobs: if done { blocks.max(1) } else { 0 },
        total_jobs: blocks.max(1),
        inspected_spans: stats.spans,
        ..SearchMetrics::default()
    }
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A trace as answers list it.
pub(super) fn trace(found: &FoundTrace) -> TraceSearchMetadata {
    let summary = &found.summary;
    let stats = |share: &store::ServiceShare| {
        let stats = ServiceStats {
            span_count: small(share.span_count),
            error_count: small(share.error_count),
        };
        (share.name.clone(), stats)
    };
    let span_sets: Vec<SpanSet> = found.spansets.iter().map(spanset).collect();
    let root = |text: &str| match summary.missing_root {
        true => String::new(),
        false => text.to_owned(),
    };
    TraceSearchMetadata {
        trace_id: summary.trace_id.to_string(),
        root_service_name: match summary.missing_root {
            true => NO_ROOT.to_owned(),
            false => summary.root_service.clone(),
        },
        root_trace_name: root(&summary.root_name),
        start_time_unix_nano: summary.start_unix_nano,
        duration_ms: small(summary.duration_nano / 1_000_000),
        span_set: span_sets.first().cloned(),
        span_sets,
        service_stats: summary.services.iter().map(stats).collect(),
    }
}

fn spanset(found: &FoundSpanset) -> SpanSet {
    SpanSet {
        spans: found.spans.iter().map(span).collect(),
        matched: small(found.matched),
        attributes: found.attributes.iter().map(|(key, value)| key_value(key, value)).collect(),
    }
}

fn span(found: &FoundSpan) -> Span {
    let attributes = found.fields.iter().filter_map(|(field, values)| {
        let key = attribute_key(field)?;
        Some(super::proto::KeyValue { key: key.to_owned(), value: Some(any_value(values)) })
    });
    Span {
        span_id: found.span_id.to_string(),
        name: found.name.clone(),
        start_time_unix_nano: found.start_unix_nano,
        duration_nanos: found.duration_nano,
        attributes: attributes.collect(),
    }
}

/// The key of a field among a span's attributes; `None` for what an answer says anyway.
fn attribute_key(field: &Field) -> Option<&str> {
    use Intrinsic::{Duration, Name, RootName, RootServiceName, SpanId, TraceDuration, TraceId};
    match field {
        Field::Attribute(attribute) => Some(&attribute.name),
        Field::Intrinsic(
            Name | Duration | SpanId | TraceId | TraceDuration | RootName | RootServiceName,
        ) => None,
        Field::Intrinsic(intrinsic) => Some(intrinsic.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &[(&str, &str)]) -> Result<FindRequest, Fault> {
        let pairs = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        request(&Parameters::of_pairs(pairs.collect(), 1_700_000_000_000_000_000))
    }

    #[test]
    fn parameters_of_a_search() {
        let request = asked(&[
            ("q", "{ status = error }"),
            ("start", "100"),
            ("end", "200"),
            ("minDuration", "5ms"),
            ("maxDuration", "1.5s"),
            ("limit", "7"),
            ("spss", "9"),
            ("unknown", "x"),
        ])
        .unwrap();
        assert_eq!(request.pipeline.to_string(), "{ status = error }");
        assert_eq!(request.start_unix_nano, Some(100_000_000_000));
        assert_eq!(request.end_unix_nano, Some(200_000_000_000));
        assert_eq!(request.duration_min_nano, Some(5_000_000));
        assert_eq!(request.duration_max_nano, Some(1_500_000_000));
        assert_eq!((request.limit, request.spans_per_spanset), (7, 9));
        let request = asked(&[]).unwrap();
        assert_eq!(request.pipeline.to_string(), "{ true }");
        assert_eq!((request.limit, request.spans_per_spanset), (20, 3));
    }

    #[test]
    fn wrong_parameters_are_named() {
        for (query, parameter) in [
            (&[("q", "{")][..], "q"),
            (&[("q", "{} | rate()")], "q"),
            (&[("q", "{}"), ("tags", "a=b")], "tags"),
            (&[("tags", "a=\"b")], "tags"),
            (&[("limit", "0")], "limit"),
            (&[("limit", "262145")], "limit"),
            (&[("limit", "ten")], "limit"),
            (&[("spss", "0")], "spss"),
            (&[("spss", "101")], "spss"),
            (&[("start", "soon")], "start"),
            (&[("end", "-")], "end"),
            (&[("start", "200"), ("end", "200")], "start"),
            (&[("minDuration", "5")], "minDuration"),
            (&[("maxDuration", "-5ms")], "maxDuration"),
            (&[("minDuration", "2s"), ("maxDuration", "1s")], "maxDuration"),
            (&[("cursor", "x")], "cursor"),
        ] {
            let (status, body) = asked(query).unwrap_err().into_parts();
            assert_eq!(status, 400, "{query:?}");
            assert_eq!(body.parameter.as_deref(), Some(parameter), "{query:?}");
        }
    }
}
