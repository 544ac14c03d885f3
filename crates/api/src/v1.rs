//! The paths of API v1.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode, Uri};
use model::{SpanBatch, TraceId};
use query::{SearchTexts, SeriesTexts, encode_cursor};
use store::{Level, Position};

use crate::Api;
use crate::answers::{
    Attribute, AttributeValue, AttributeValues, Attributes, Operation, Operations, Sample,
    SearchPage, Series, SeriesList, Services, Share, Status,
};
use crate::apart::apart;
use crate::error::ApiError;
use crate::extract::Segment;
use crate::tempo::fault::Fault;
use crate::v1_query;
use crate::waiting;

const PROTOBUF: &str = "application/x-protobuf";

const OPENAPI: &str = include_str!("../openapi.json");

/// The most services, and the most attributes, that a list has: those that spans have most often.
/// Who sends makes them up, and nobody reads more.
const NAMES_MAX: usize = 10_000;

type Shared = State<Arc<Api>>;
type Answer<T> = Result<Json<T>, ApiError>;

pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/services", get(services))
        .route("/operations", get(operations))
        .route("/attributes", get(attributes))
        .route("/attributes/values", get(attribute_values))
        .route("/traces", get(search))
        .route("/traces/{trace_id}", get(trace))
        .route("/series", get(series))
        .route("/query", get(v1_query::get).post(v1_query::post))
        .route("/sample", post(sample))
        .route("/status", get(status))
        .route("/openapi.json", get(|| async { ([(CONTENT_TYPE, "application/json")], OPENAPI) }))
        .fallback(|| async {
            ApiError::new(StatusCode::NOT_FOUND, "no such path; see /api/v1/openapi.json")
        })
        .method_not_allowed_fallback(|| async {
            let text = "this path takes another method; see /api/v1/openapi.json";
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .with_state(api)
}

/// The parameters that may be given several times.
const REPEATABLE: [&str; 1] = ["attribute"];

/// The parameters of a request, each checked to be known and given as often as it may be.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Result<Self, ApiError> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        for (at, (name, _)) in pairs.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let text = format!("there is no such parameter; known are {}", known.join(", "));
                return Err(ApiError::parameter(name, text));
            }
            let again = pairs.0[..at].iter().any(|(before, _)| before == name);
            if again && !REPEATABLE.contains(&name.as_str()) {
                return Err(ApiError::parameter(name, "given more than once; it takes one value"));
            }
        }
        Ok(Self(pairs.0))
    }

    pub(crate) fn one(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    /// A parameter that is `true` or `false`; an empty one counts as absent.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.one(name).as_deref() {
            None | Some("") => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => {
                let problem = format!("{other:?} is neither true nor false");
                Err(ApiError::parameter(name, problem))
            }
        }
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    fn search(&self) -> SearchTexts {
        SearchTexts {
            service: self.one("service"),
            operation: self.one("operation"),
            attributes: self.all("attribute"),
            status: self.one("status"),
            min_duration: self.one("min_duration"),
            max_duration: self.one("max_duration"),
            start: self.one("start"),
            end: self.one("end"),
            limit: self.one("limit"),
            cursor: self.one("cursor"),
        }
    }
}

const FILTER: [&str; 8] =
    ["service", "operation", "attribute", "status", "min_duration", "max_duration", "start", "end"];

fn with_filter(more: &[&'static str]) -> Vec<&'static str> {
    FILTER.iter().chain(more).copied().collect()
}

/// The answer for which there is no room.
pub(crate) fn busy() -> Response {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, waiting::BUSY).into_response()
}

/// The rows with the highest counts, in their order, and whether others were left out.
fn most_frequent<T>(mut rows: Vec<T>, max: usize, count: impl Fn(&T) -> u64) -> (Vec<T>, bool) {
    if rows.len() <= max {
        return (rows, false);
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&at| (Reverse(count(&rows[at])), at));
    let mut is_kept = vec![false; rows.len()];
    order[..max].iter().for_each(|&at| is_kept[at] = true);
    let mut is_kept = is_kept.into_iter();
    rows.retain(|_| is_kept.next().unwrap_or(false));
    (rows, true)
}

async fn services(State(api): Shared) -> Answer<Services> {
    let services = api.store.services().await?;
    let (services, is_cut) = most_frequent(services, NAMES_MAX, |row| row.span_count);
    let share = |row: store::ServiceRow| Share {
        name: row.name,
        span_count: row.span_count,
        error_count: row.error_count,
    };
    let services = services.into_iter().map(share).collect();
    // What a read finds damaged is counted before it answers.
    Ok(Json(Services { services, partial: is_cut || api.store.status().is_partial() }))
}

async fn operations(State(api): Shared, uri: Uri) -> Answer<Operations> {
    let service = Parameters::of(&uri, &["service"])?.one("service");
    let operations = api.store.operations(service).await?;
    let operation = |row: store::OperationRow| Operation {
        service: row.service,
        name: row.name,
        kind: model::kind::name(row.kind),
        span_count: row.span_count,
        error_count: row.error_count,
    };
    let operations = operations.into_iter().map(operation).collect();
    // What a read finds damaged is counted before it answers.
    Ok(Json(Operations { operations, partial: api.store.status().is_partial() }))
}

async fn attributes(State(api): Shared) -> Answer<Attributes> {
    let attributes = api.store.attributes().await?;
    let (attributes, is_cut) = most_frequent(attributes, NAMES_MAX, |row| row.count);
    let attribute = |row: store::AttributeRow| Attribute {
        level: row.level.name(),
        key: row.key,
        value_type: row.value_type.name(),
        count: row.count,
    };
    let attributes = attributes.into_iter().map(attribute).collect();
    // What a read finds damaged is counted before it answers.
    Ok(Json(Attributes { attributes, partial: is_cut || api.store.status().is_partial() }))
}

async fn attribute_values(State(api): Shared, uri: Uri) -> Answer<AttributeValues> {
    let parameters = Parameters::of(&uri, &["key", "level", "limit"])?;
    let key = parameters
        .one("key")
        .filter(|key| !key.is_empty())
        .ok_or_else(|| ApiError::parameter("key", "name the attribute"))?;
    let level = parameters.one("level").map(|name| {
        Level::from_name(&name).ok_or_else(|| {
            let text = format!("{name:?} is none of resource, scope, span, event, link");
            ApiError::parameter("level", text)
        })
    });
    let limit = parameters.one("limit").map_or(Ok(100), |text| {
        text.parse().ok().filter(|limit| (1..=1000).contains(limit)).ok_or_else(|| {
            ApiError::parameter("limit", format!("{text:?} is not a whole number from 1 to 1000"))
        })
    })?;
    let list = api.store.attribute_values(level.transpose()?, key, limit).await?;
    let value = |row: store::ValueRow| AttributeValue {
        value: row.value,
        value_type: row.value_type.name(),
        count: row.count,
    };
    let values = list.values.into_iter().map(value).collect();
    Ok(Json(AttributeValues { values, complete: list.complete }))
}

async fn search(State(api): Shared, uri: Uri) -> Answer<SearchPage> {
    let parameters = Parameters::of(&uri, &with_filter(&["limit", "cursor"]))?;
    let request = parameters.search().to_search((api.clock)())?;
    let page = api.store.search(request).await?;
    let last = page
        .traces
        .last()
        .map(|trace| Position { start_unix_nano: trace.start_unix_nano, trace_id: trace.trace_id });
    Ok(Json(SearchPage {
        traces: page.traces.into_iter().map(Into::into).collect(),
        next_cursor: last.filter(|_| page.more).map(encode_cursor),
        partial: page.partial,
    }))
}

async fn trace(
    State(api): Shared,
    Segment(id, _): Segment<ApiError>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id: TraceId = id
        .parse()
        .map_err(|error: model::IdError| ApiError::parameter("trace_id", error.to_string()))?;
    let read = api.store.trace(id).await?;
    let Some(spans) = read.spans else {
        let mut text = format!("no span of trace {id} is stored");
        if read.partial {
            text.push_str("; a damaged block or part of the log was left out");
        }
        return Err(ApiError::new(StatusCode::NOT_FOUND, text));
    };
    let wants_protobuf = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|accept| accept.to_str().ok())
        .any(|accept| accept.contains(PROTOBUF) || accept.contains("application/protobuf"));
    let mut response = if wants_protobuf {
        ([(CONTENT_TYPE, PROTOBUF)], spans.bytes().clone()).into_response()
    } else {
        let json = apart(move || model::json::encode(spans.bytes())).await.map_err(Fault::from)?;
        let json = json
            .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        ([(CONTENT_TYPE, "application/json")], json).into_response()
    };
    if read.partial {
        response.headers_mut().insert("spanfall-partial", http::HeaderValue::from_static("true"));
    }
    Ok(response)
}

async fn series(State(api): Shared, uri: Uri) -> Answer<SeriesList> {
    let parameters = Parameters::of(&uri, &with_filter(&["steps", "by"]))?;
    let texts = SeriesTexts { steps: parameters.one("steps"), by: parameters.one("by") };
    let request = parameters.search().to_series(&texts, (api.clock)())?;
    let (start_unix_nano, step_nano) = (request.start_unix_nano, request.step_nano);
    let set = api.store.series(request).await?;
    let series = set.series.into_iter().map(|series| Series {
        name: series.name,
        spans: series.spans,
        errors: series.errors,
        duration_sum_nano: series.duration_sum_nano,
    });
    Ok(Json(SeriesList {
        start_unix_nano,
        step_nano,
        series: series.collect(),
        partial: set.partial,
    }))
}

async fn sample(State(api): Shared) -> Answer<Sample> {
    let now = (api.clock)();
    let bytes = Bytes::from(loadgen::sample_trace(now, now));
    let batch = SpanBatch::decode(bytes)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let trace_id = batch.spans().first().map(|span| span.trace_id.to_string()).unwrap_or_default();
    api.store.append(batch).await?;
    Ok(Json(Sample { trace_id }))
}

async fn status(State(api): Shared) -> Answer<Status> {
    let status = api.store.status();
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: api.started.elapsed().as_secs(),
        span_count: status.span_count,
        head_span_count: status.head_span_count,
        block_count: status.block_count,
        disk_bytes: status.disk_bytes,
        disk_limit_bytes: status.disk_limit_bytes,
        retention_seconds: status.retention.as_secs(),
        damaged_block_count: status.damaged_block_count,
        damaged_log_count: status.damaged_log_count,
        listeners: (api.listeners)(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_what_is_frequent() {
        let rows = vec![("a", 5), ("b", 9), ("c", 5), ("d", 1), ("e", 7)];
        let kept = |max| {
            let (rows, is_cut) = most_frequent(rows.clone(), max, |(_, count)| *count);
            (rows.into_iter().map(|(name, _)| name).collect::<String>(), is_cut)
        };
        for (max, expected) in
            [(0, ("", true)), (1, ("b", true)), (3, ("abe", true)), (5, ("abcde", false))]
        {
            assert_eq!(kept(max), (expected.0.to_owned(), expected.1), "{max}");
        }
    }
}
