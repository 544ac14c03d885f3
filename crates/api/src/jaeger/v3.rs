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
use query::encode_cursor;
use serde_json::{Value, json};
use store::{Position, TraceSummary};

use super::ask::Found;
use super::dependencies::dependencies;
use super::filter::{LEVELS, OPERATORS};
use super::legacy::{operation_names, service_names};
use super::params::{Params, kind, truth};
use super::problem::Problem;
use super::shown_service;
use super::spans::{SpanPage, SpanSearch};
use super::time::parse_rfc3339;
use super::traces::{Loaded, blocking, load, load_all, marked};
use super::v3_body;
use super::v3_search::{Search, malformed};
use super::v3_url::{self, read};
use crate::Api;
use crate::extract::{Segment, Whole};
use crate::waiting::again;

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
        again((status, headers, format!("{body}\n")).into_response())
    }
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
    let search = v3_url::search(&Params::of(&uri)?)?;
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
        let parts: Vec<&[u8]> = spans.iter().map(|spans| &spans.bytes()[..]).collect();
        let bytes = parts.concat();
        drop(spans);
        model::json::encode(&bytes).map(|json| format!("{{\"result\":{json}}}"))
    });
    let json = json.await?.map_err(|error| Problem::internal(error.to_string()))?;
    let answer = ([(CONTENT_TYPE, "application/json")], json).into_response();
    Ok(marked(answer, partial))
}

async fn find_spans(State(api): Shared, uri: Uri) -> Answer {
    let search = v3_url::span_search(&Params::of(&uri)?)?;
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
    let search = v3_url::search(&Params::of(&uri)?)?;
    summaries(&api, search).await
}

async fn post_summaries(State(api): Shared, Whole(body, _): Whole<Refusal>) -> Answer {
    summaries(&api, v3_body::search(&body)?).await
}

async fn summaries(api: &Api, search: Search) -> Answer {
    let found = search.ask.find(&*api.store).await?;
    let token = search.is_paged.then(|| next_page_token(&found)).flatten();
    let answer = blocking(move || {
        let rows: Vec<Value> = found.traces.into_iter().map(summary).collect();
        let mut body = json!({ "summaries": rows });
        if let Some(token) = token {
            body["nextPageToken"] = token.into();
        }
        Json(body).into_response()
    });
    Ok(marked(answer.await?, found.partial))
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
