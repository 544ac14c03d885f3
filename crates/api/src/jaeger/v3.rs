//! api_v3 over HTTP: OTLP JSON in `{"result": …}`, errors in `{"error": …}`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use formats::jaeger::parse_trace_id;
use http::Uri;
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use model::SpanBatch;
use query::{decode_cursor, encode_cursor};
use serde_json::{Value, json};
use store::{Position, TraceSummary};

use super::ask::{Ask, Found, LIMIT_DEFAULT, LIMIT_MAX};
use super::dependencies::dependencies;
use super::filter::{LEVELS, OPERATORS, Predicate, call_of, check};
use super::legacy::{operation_names, service_names};
use super::params::{Params, duration, kind, truth};
use super::problem::Problem;
use super::shown_service;
use super::spans::{self, SpanPage, SpanRank, SpanSearch};
use super::time::parse_rfc3339;
use super::traces::{Loaded, blocking, load, load_all, marked};
use super::v3_body;
use crate::Api;
use crate::extract::{Segment, Whole};

type Shared = State<Arc<Api>>;
type Answer = Result<Response, Refusal>;

pub(super) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/services", get(services))
        .route("/operations", get(operations))
        .route("/traces", get(find_traces).post(post_traces))
        .route("/traces/{trace_id}", get(trace))
        .route("/spans", get(find_spans).post(post_spans))
        .route("/trace-summaries", get(find_summaries).post(post_summaries))
        .route("/dependencies", get(get_dependencies))
        .route("/capabilities", get(capabilities))
        .with_state(api)
}

/// A problem in the shape of this API.
pub(super) struct Refusal(Problem);

impl<P: Into<Problem>> From<P> for Refusal {
    fn from(problem: P) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Problem { status, message } = self.0;
        let body = json!({ "error": { "httpCode": status.as_u16(), "message": message } });
        let headers =
            [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
        (status, headers, format!("{body}\n")).into_response()
    }
}

/// What a search of this API asks for.
pub(super) struct Search {
    pub(super) ask: Ask,
    pub(super) raw: bool,
    pub(super) is_paged: bool,
}

/// A parameter by any of its names, read; the name that was given is that of a problem.
fn read<T>(
    params: &Params,
    names: &[&str],
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Problem> {
    let Some((name, text)) = params.either(names) else { return Ok(None) };
    read(text).map(Some).map_err(|error| malformed(name, error))
}

pub(super) fn malformed(name: &str, error: impl std::fmt::Display) -> Problem {
    Problem::bad(format!("malformed parameter {name}: {error}"))
}

/// How many traces, from a count of any size.
pub(super) fn limit(name: &str, depth: Option<u64>) -> Result<usize, Problem> {
    match depth {
        None | Some(0) => Ok(LIMIT_DEFAULT),
        Some(depth) => usize::try_from(depth)
            .ok()
            .filter(|&depth| depth <= LIMIT_MAX)
            .ok_or_else(|| malformed(name, format!("it must be at most {LIMIT_MAX}"))),
    }
}

/// The two bounds, both of which have to be given.
pub(super) fn range(start: Option<u64>, end: Option<u64>) -> Result<(u64, u64), Problem> {
    let (Some(start), Some(end)) = (start, end) else {
        let text = "query.startTimeMin and query.startTimeMax are required";
        return Err(Problem::bad(text));
    };
    if start >= end {
        return Err(Problem::bad("query.startTimeMin must be before query.startTimeMax"));
    }
    Ok((start, end))
}

pub(super) fn ordered(shortest: Option<u64>, longest: Option<u64>) -> Result<(), Problem> {
    match (shortest, longest) {
        (Some(shortest), Some(longest)) if longest < shortest => {
            Err(Problem::bad("query.durationMax must not be below query.durationMin"))
        }
        _ => Ok(()),
    }
}

pub(super) fn page_token(text: &str) -> Result<Option<Position>, Problem> {
    let given = Some(text).filter(|text| !text.is_empty());
    let position = given.map(decode_cursor).transpose();
    position.map_err(|error| malformed("query.pagination.pageToken", error))
}

/// Refuses a search that says the same in two ways: filters stand alone.
pub(super) fn alone(ask: Ask) -> Result<Ask, Problem> {
    let is_given = [
        ("query.serviceName", ask.service.is_some()),
        ("query.operationName", ask.operation.is_some()),
        ("query.attributes", !ask.tags.is_empty()),
        ("query.durationMin", ask.duration_min_nano.is_some()),
        ("query.durationMax", ask.duration_max_nano.is_some()),
    ];
    match is_given.iter().find(|(_, is_given)| *is_given && ask.filter.is_some()) {
        Some((name, _)) => Err(malformed("query.filter", format!("it excludes {name}"))),
        None => Ok(ask),
    }
}

/// A structured filter in the text of a parameter.
fn filter(params: &Params) -> Result<Option<Predicate>, Problem> {
    let Some(text) = params.get(FILTER) else { return Ok(None) };
    let value: Value = serde_json::from_str(text)
        .map_err(|error| malformed(FILTER, format!("expecting a JSON object: {error}")))?;
    check(FILTER, &call_of(FILTER, &value)?).map(Some)
}

const TIMES: [&str; 4] =
    ["query.startTimeMin", "query.start_time_min", "query.startTimeMax", "query.start_time_max"];
const PAGE_SIZES: [&str; 2] = ["query.pagination.pageSize", "query.pagination.page_size"];
const PAGE_TOKENS: [&str; 2] = ["query.pagination.pageToken", "query.pagination.page_token"];
const ORDERS: [&str; 2] = ["query.orderBy", "query.order_by"];
const SERVICES: [&str; 2] = ["query.serviceName", "query.service_name"];
const OPERATIONS: [&str; 2] = ["query.operationName", "query.operation_name"];
const DEPTHS: [&str; 3] = ["query.searchDepth", "query.search_depth", "query.num_traces"];
const SHORTEST: [&str; 2] = ["query.durationMin", "query.duration_min"];
const LONGEST: [&str; 2] = ["query.durationMax", "query.duration_max"];
const RAW: [&str; 2] = ["query.rawTraces", "query.raw_traces"];
const ATTRIBUTES: &str = "query.attributes";
const FILTER: &str = "query.filter";

/// Refuses parameters that are none of these: a misspelt one would change what is found.
fn only(params: &Params, known: &[&[&'static str]]) -> Result<(), Problem> {
    match params.unknown(&known.concat()) {
        Some(name) => Err(no_such_field(name)),
        None => Ok(()),
    }
}

pub(super) fn no_such_field(name: &str) -> Problem {
    malformed(name, "there is no such field")
}

fn whole(text: &str) -> Result<u64, String> {
    text.parse::<u64>().map_err(|_| format!("{text:?} is not a whole number above 0"))
}

fn times(params: &Params) -> Result<(u64, u64), Problem> {
    let time = |names: &[&str]| read(params, names, parse_rfc3339);
    range(time(&TIMES[..2])?, time(&TIMES[2..])?)
}

fn span_search(params: &Params) -> Result<SpanSearch, Problem> {
    only(params, &[&TIMES, &PAGE_SIZES, &PAGE_TOKENS, &ORDERS, &[FILTER]])?;
    let (start_unix_nano, end_unix_nano) = times(params)?;
    if let Some((name, _)) = params.either(&ORDERS) {
        return Err(unsorted(name));
    }
    let token = params.either(&PAGE_TOKENS).map(|(_, token)| token).unwrap_or_default();
    Ok(SpanSearch {
        filter: filter(params)?,
        start_unix_nano,
        end_unix_nano,
        limit: spans::page_size(read(params, &PAGE_SIZES, whole)?)?,
        after: SpanRank::of_token(token)?,
    })
}

pub(super) fn unsorted(name: &str) -> Problem {
    malformed(name, "spans come newest first; no other order is served")
}

fn search(params: &Params) -> Result<Search, Problem> {
    only(
        params,
        &[
            &TIMES,
            &PAGE_SIZES,
            &PAGE_TOKENS,
            &SERVICES,
            &OPERATIONS,
            &DEPTHS,
            &SHORTEST,
            &LONGEST,
            &RAW,
            &[ATTRIBUTES, FILTER],
        ],
    )?;
    let (start, end) = times(params)?;
    let depth = read(params, &DEPTHS, whole)?;
    let page_size = read(params, &PAGE_SIZES, whole)?;
    let token = params.either(&PAGE_TOKENS).map(|(_, token)| token);
    let is_paged = page_size.is_some() || token.is_some();
    if is_paged && depth.is_some() {
        return Err(Problem::bad("query.pagination and query.searchDepth exclude each other"));
    }
    if is_paged && page_size.unwrap_or(0) == 0 {
        return Err(malformed("query.pagination.pageSize", "a page has at least one trace"));
    }
    let shortest = read(params, &SHORTEST, duration)?;
    let longest = read(params, &LONGEST, duration)?.filter(|&longest| longest > 0);
    ordered(shortest, longest)?;
    let tags = read(params, &[ATTRIBUTES], |text| {
        serde_json::from_str::<std::collections::BTreeMap<String, String>>(text)
            .map_err(|error| format!("expecting a JSON object of texts: {error}"))
    })?;
    let text = |names: &[&str]| params.either(names).map(|(_, text)| text.to_owned());
    let name = if is_paged { PAGE_SIZES[0] } else { DEPTHS[0] };
    Ok(Search {
        ask: alone(Ask {
            filter: filter(params)?,
            service: text(&SERVICES),
            operation: text(&OPERATIONS),
            tags: tags.unwrap_or_default().into_iter().collect(),
            start_unix_nano: Some(start),
            end_unix_nano: Some(end),
            duration_min_nano: shortest,
            duration_max_nano: longest,
            limit: limit(name, page_size.or(depth))?,
            after: page_token(token.unwrap_or_default())?,
        })?,
        raw: read(params, &RAW, truth)?.unwrap_or(false),
        is_paged,
    })
}

async fn services(State(api): Shared) -> Answer {
    Ok(Json(json!({ "services": service_names(&api).await? })).into_response())
}

async fn operations(State(api): Shared, uri: Uri) -> Answer {
    let params = Params::of(&uri)?;
    let kind = read(&params, &["spanKind", "span_kind"], kind)?;
    let service = params.get("service");
    let service = service.ok_or_else(|| malformed("service", "name the service"))?;
    let rows = operation_names(&api, service, kind).await?;
    let row = |(name, kind): (String, i32)| {
        let kind = model::kind::name(kind);
        // Over HTTP an unspecified kind is what SDKs make of it.
        let kind = if kind == "unspecified" { "internal" } else { kind };
        json!({ "name": name, "spanKind": kind })
    };
    let rows: Vec<Value> = rows.into_iter().map(row).collect();
    Ok(Json(json!({ "operations": rows })).into_response())
}

async fn trace(State(api): Shared, Segment(id, _): Segment<Refusal>, uri: Uri) -> Answer {
    let params = Params::of(&uri)?;
    let id = parse_trace_id(&id).map_err(|error| malformed("trace_id", error))?;
    read(&params, &["startTime", "start_time"], parse_rfc3339)?;
    read(&params, &["endTime", "end_time"], parse_rfc3339)?;
    let raw = read(&params, &["rawTraces", "raw_traces"], truth)?.unwrap_or(false);
    result(vec![load(&api, id, raw).await?]).await
}

async fn find_traces(State(api): Shared, uri: Uri) -> Answer {
    let search = search(&Params::of(&uri)?)?;
    traces(&api, search).await
}

async fn post_traces(State(api): Shared, Whole(body, _): Whole<Refusal>) -> Answer {
    traces(&api, v3_body::search(&body)?).await
}

async fn traces(api: &Arc<Api>, search: Search) -> Answer {
    if search.is_paged {
        let text = "whole traces are not paged; use query.searchDepth or /api/v3/trace-summaries";
        return Err(malformed("query.pagination", text).into());
    }
    let found = search.ask.find(&*api.store).await?;
    let ids = found.traces.iter().map(|summary| summary.trace_id);
    let answer = result(load_all(api, ids, search.raw).await?).await?;
    Ok(marked(answer, found.partial))
}

/// The traces as one message: messages one behind the other are one.
async fn result(traces: Vec<Loaded>) -> Answer {
    let partial = traces.iter().any(|loaded| loaded.partial);
    let spans: Vec<SpanBatch> = traces.into_iter().filter_map(|loaded| loaded.spans).collect();
    if spans.is_empty() {
        let refusal = Refusal(Problem::not_found("No traces found"));
        return Ok(marked(refusal.into_response(), partial));
    }
    let json = blocking(move || {
        let bytes: Vec<u8> = spans.iter().flat_map(|spans| spans.bytes().iter().copied()).collect();
        drop(spans);
        model::json::encode(&bytes).map(|json| format!("{{\"result\":{json}}}"))
    });
    let json = json.await?.map_err(|error| Problem::internal(error.to_string()))?;
    let answer = ([(CONTENT_TYPE, "application/json")], json).into_response();
    Ok(marked(answer, partial))
}

async fn find_spans(State(api): Shared, uri: Uri) -> Answer {
    let search = span_search(&Params::of(&uri)?)?;
    spans_answer(&api, search).await
}

async fn post_spans(State(api): Shared, Whole(body, _): Whole<Refusal>) -> Answer {
    spans_answer(&api, v3_body::span_search(&body)?).await
}

async fn spans_answer(api: &Arc<Api>, search: SpanSearch) -> Answer {
    let SpanPage { parts, next, partial } = search.find(api, usize::MAX).await?;
    let json = blocking(move || model::json::encode(&parts.concat())).await?;
    let json = json.map_err(|error| Problem::internal(error.to_string()))?;
    let token = next.map(|next| format!(",\"nextPageToken\":\"{}\"", next.token()));
    let body = format!("{{\"spans\":{json}{}}}", token.unwrap_or_default());
    let answer = ([(CONTENT_TYPE, "application/json")], body).into_response();
    Ok(marked(answer, partial))
}

async fn find_summaries(State(api): Shared, uri: Uri) -> Answer {
    let search = search(&Params::of(&uri)?)?;
    summaries(&api, search).await
}

async fn post_summaries(State(api): Shared, Whole(body, _): Whole<Refusal>) -> Answer {
    summaries(&api, v3_body::search(&body)?).await
}

async fn summaries(api: &Api, search: Search) -> Answer {
    let found = search.ask.find(&*api.store).await?;
    let token = search.is_paged.then(|| next_page_token(&found)).flatten();
    let rows: Vec<Value> = found.traces.into_iter().map(summary).collect();
    let mut body = json!({ "summaries": rows });
    if let Some(token) = token {
        body["nextPageToken"] = token.into();
    }
    Ok(marked(Json(body).into_response(), found.partial))
}

/// Where the next page starts, if there is one.
pub(super) fn next_page_token(found: &Found) -> Option<String> {
    let last = found.traces.last().filter(|_| found.more)?;
    let (start_unix_nano, trace_id) = (last.start_unix_nano, last.trace_id);
    Some(encode_cursor(Position { start_unix_nano, trace_id }))
}

fn summary(summary: TraceSummary) -> Value {
    let end = summary.start_unix_nano.saturating_add(summary.duration_nano);
    let services: Vec<Value> = summary
        .services
        .into_iter()
        .map(|share| {
            json!({
                "name": shown_service(share.name),
                "spanCount": share.span_count,
                "errorSpanCount": share.error_count,
            })
        })
        .collect();
    json!({
        "traceId": summary.trace_id.to_string(),
        "rootServiceName": shown_service(summary.root_service),
        "rootOperationName": summary.root_name,
        "minStartTimeUnixNano": summary.start_unix_nano.to_string(),
        "maxEndTimeUnixNano": end.to_string(),
        "spanCount": summary.span_count,
        "errorSpanCount": summary.error_count,
        "orphanSpanCount": summary.orphan_count,
        "services": services,
    })
}

async fn get_dependencies(State(api): Shared, uri: Uri) -> Answer {
    let params = Params::of(&uri)?;
    let start = read(&params, &["startTime", "start_time"], parse_rfc3339)?;
    let end = read(&params, &["endTime", "end_time"], parse_rfc3339)?;
    let (Some(start), Some(end)) = (start, end) else {
        return Err(Problem::bad("startTime and endTime are required").into());
    };
    if start >= end {
        return Err(Problem::bad("startTime must be before endTime").into());
    }
    let found = dependencies(&*api.store, start, end).await?;
    let rows: Vec<Value> = found
        .links
        .into_iter()
        .map(|link| {
            // ProtoJSON writes numbers of 64 bits as texts.
            let calls = link.call_count.to_string();
            json!({ "parent": link.parent, "child": link.child, "callCount": calls })
        })
        .collect();
    Ok(marked(Json(json!({ "dependencies": rows })).into_response(), found.partial))
}

/// What a client may rely on.
async fn capabilities() -> Response {
    let search = json!({
        "withoutServiceName": true,
        "sameSpanConjunction": true,
        "filter": { "levels": LEVELS, "operators": OPERATORS },
        "paginated": true,
        "spanSearch": true,
        "spanSorting": false,
    });
    Json(json!({ "search": search })).into_response()
}
