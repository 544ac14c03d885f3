//! The JSON API that Jaeger's own UI used, and Grafana and Kiali use: `{"data": …, "errors": …}`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use formats::jaeger::{parse_trace_id, put_trace, trace_id_text};
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{StatusCode, Uri};
use model::{SpanBatch, TraceId};
use serde_json::{Value, json};

use super::ask::{Ask, LIMIT_DEFAULT, LIMIT_MAX};
use super::params::{Params, duration, kind, truth, unescaped, whole};
use super::pretty::pretty;
use super::problem::Problem;
use super::traces::{Loaded, blocking, load, load_all, marked};
use super::{dependencies::dependencies, shown_service, stored_service};
use crate::Api;
use crate::extract::{Segment, Whole};
use crate::waiting::again;

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000_000;
const DAY: u64 = 24 * 3_600 * 1_000_000_000;

/// The largest body to be turned into Jaeger's JSON.
const TRANSFORM_BYTES_MAX: usize = 64 << 20;

type Shared = State<Arc<Api>>;
type Answer = Result<Response, Refusal>;

pub(super) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/services", get(services))
        .route("/services/{service}/operations", get(service_operations))
        .route("/operations", get(operations))
        .route("/traces", get(search))
        .route("/traces/{trace_id}", get(trace))
        .route("/archive/{trace_id}", post(archive))
        .route("/transform", post(transform).layer(DefaultBodyLimit::max(TRANSFORM_BYTES_MAX)))
        .route("/dependencies", get(dependency_links))
        .with_state(api)
}

/// A problem in the shape of this API: the envelope, as text.
pub(super) struct Refusal(pub(super) Problem);

impl<P: Into<Problem>> From<P> for Refusal {
    fn from(problem: P) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Problem { status, message } = self.0;
        let error = json!({ "code": status.as_u16(), "msg": message });
        let body = envelope("null", 0, &json!([error]));
        let headers =
            [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
        again((status, headers, body + "\n").into_response())
    }
}

fn envelope(data: &str, total: usize, errors: &Value) -> String {
    format!("{{\"data\":{data},\"total\":{total},\"limit\":0,\"offset\":0,\"errors\":{errors}}}")
}

/// An answer; laid out for people when asked for.
fn answer(params: &Params, data: &str, total: usize, errors: &Value) -> Response {
    let body = envelope(data, total, errors);
    let is_pretty = params.get("prettyPrint").is_some_and(|text| text != "false");
    let body = if is_pretty { pretty(&body) } else { body };
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn list(params: &Params, values: &[Value], total: usize) -> Response {
    answer(params, &Value::from(values).to_string(), total, &Value::Null)
}

async fn services(State(api): Shared, uri: Uri) -> Answer {
    let params = Params::of(&uri)?;
    let names = service_names(&api).await?;
    let names: Vec<Value> = names.into_iter().map(Value::from).collect();
    Ok(list(&params, &names, names.len()))
}

/// The services' names, sorted.
pub(super) async fn service_names(api: &Api) -> Result<Vec<String>, Problem> {
    let rows = api.store.services().await?;
    let mut names: Vec<String> = rows.into_iter().map(|row| shown_service(row.name)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Names and kinds of a service's operations, or of those of one kind.
pub(super) async fn operation_names(
    api: &Api,
    service: &str,
    kind: Option<i32>,
) -> Result<Vec<(String, i32)>, Problem> {
    let rows = api.store.operations(Some(stored_service(service))).await?;
    let fits = |row: &store::OperationRow| kind.is_none_or(|kind| row.kind == kind);
    Ok(rows.into_iter().filter(fits).map(|row| (row.name, row.kind)).collect())
}

/// A span kind as Jaeger writes it: nothing when it is unspecified.
pub(super) fn kind_text(kind: i32) -> &'static str {
    let name = model::kind::name(kind);
    if name == "unspecified" { "" } else { name }
}

async fn service_operations(
    State(api): Shared,
    Segment(service, _): Segment<Refusal>,
    uri: Uri,
) -> Answer {
    let params = Params::of(&uri)?;
    let mut rows = operation_names(&api, &service, None).await?;
    // Some clients escape the name twice, as for a query, where a plus stands for a space.
    if rows.is_empty() && service.contains(['+', '%']) {
        rows = operation_names(&api, &named(&service)?, None).await?;
    }
    let mut names: Vec<String> = rows.into_iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    let names: Vec<Value> = names.into_iter().map(Value::from).collect();
    Ok(list(&params, &names, names.len()))
}

/// A service's name that is still escaped.
fn named(text: &str) -> Result<String, Problem> {
    unescaped(text).map_err(|error| Problem::bad(format!("malformed service {text:?}: {error}")))
}

async fn operations(State(api): Shared, uri: Uri) -> Answer {
    let params = Params::of(&uri)?;
    let service =
        params.get("service").ok_or_else(|| Problem::bad("parameter 'service' is required"))?;
    let kind = params.read("spanKind", kind)?;
    let rows = operation_names(&api, service, kind).await?;
    let row = |(name, kind): (String, i32)| json!({ "name": name, "spanKind": kind_text(kind) });
    let rows: Vec<Value> = rows.into_iter().map(row).collect();
    Ok(list(&params, &rows, rows.len()))
}

async fn search(State(api): Shared, uri: Uri) -> Answer {
    let params = Params::of(&uri)?;
    let raw = params.read("raw", truth)?.unwrap_or(false);
    let ask = ask(&params, (api.clock)())?;
    let mut ids: Vec<TraceId> = Vec::new();
    for text in params.all("traceID") {
        ids.push(parse_trace_id(text).map_err(|error| {
            Problem::bad(format!("cannot parse traceID param {text:?}: {error}"))
        })?);
    }
    if !ids.is_empty() {
        let loaded = load_all(&api, ids, raw).await?;
        let errors: Vec<Value> = loaded
            .iter()
            .filter(|loaded| loaded.spans.is_none())
            .map(|loaded| json!({ "msg": "trace not found", "traceID": trace_id_text(loaded.id) }))
            .collect();
        let errors = if errors.is_empty() { Value::Null } else { Value::from(errors) };
        return traces_answer(&params, loaded, errors).await;
    }
    if ask.service.is_none() {
        return Err(Problem::bad("parameter 'service' is required").into());
    }
    let found = ask.find(&*api.store).await?;
    let ids = found.traces.iter().map(|summary| summary.trace_id);
    let loaded = load_all(&api, ids, raw).await?;
    Ok(marked(traces_answer(&params, loaded, Value::Null).await?, found.partial))
}

async fn traces_answer(params: &Params, traces: Vec<Loaded>, errors: Value) -> Answer {
    let partial = traces.iter().any(|loaded| loaded.partial);
    let data = blocking(move || {
        let mut data = String::from("[");
        for Loaded { id, spans, .. } in traces {
            let Some(spans) = spans else { continue };
            if data.len() > 1 {
                data.push(',');
            }
            put_trace(&mut data, id, &spans, spans.spans());
        }
        data.push(']');
        data
    })
    .await?;
    Ok(marked(answer(params, &data, 0, &errors), partial))
}

fn ask(params: &Params, now_unix_nano: u64) -> Result<Ask, Problem> {
    let start = params.time("start", MICRO)?;
    let end = params.time("end", MICRO)?.unwrap_or(now_unix_nano);
    let start = start.unwrap_or(now_unix_nano.saturating_sub(2 * DAY));
    let limit = params.read("limit", whole)?.unwrap_or(LIMIT_DEFAULT as i64);
    let limit = usize::try_from(limit).ok().filter(|&limit| limit > 0);
    let limit =
        limit.ok_or_else(|| Problem::bad("invalid parameter: limit must be greater than 0"))?;
    if limit > LIMIT_MAX {
        return Err(Problem::bad(format!("invalid parameter: limit must be at most {LIMIT_MAX}")));
    }
    if start > end {
        let text = "invalid parameter: start time must be before end time";
        return Err(Problem::bad(text));
    }
    let shortest = params.read("minDuration", duration)?;
    let longest = params.read("maxDuration", duration)?.filter(|&longest| longest > 0);
    if let (Some(shortest), Some(longest)) = (shortest, longest)
        && longest < shortest
    {
        return Err(Problem::bad("'maxDuration' should be greater than 'minDuration'"));
    }
    Ok(Ask {
        service: params.get("service").map(str::to_owned),
        operation: params.get("operation").map(str::to_owned),
        tags: tags(params)?,
        start_unix_nano: Some(start),
        // The end is included, to the last nanosecond of its microsecond.
        end_unix_nano: Some(end.saturating_add(MICRO)),
        duration_min_nano: shortest,
        duration_max_nano: longest,
        limit,
        after: None,
        filter: None,
    })
}

fn tags(params: &Params) -> Result<Vec<(String, String)>, Problem> {
    let mut tags = Vec::new();
    for text in params.all("tag") {
        let (key, value) = text.split_once(':').ok_or_else(|| {
            Problem::bad(format!(
                "malformed 'tag' parameter, expecting key:value, received: {text}"
            ))
        })?;
        tags.push((key.to_owned(), value.to_owned()));
    }
    for text in params.all("tags").filter(|text| !text.is_empty()) {
        let map: std::collections::BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|error| {
                Problem::bad(format!("malformed 'tags' parameter, cannot unmarshal JSON: {error}"))
            })?;
        tags.extend(map);
    }
    Ok(tags)
}

fn path_id(text: &str) -> Result<TraceId, Problem> {
    parse_trace_id(text)
        .map_err(|error| Problem::bad(format!("cannot parse trace id {text:?}: {error}")))
}

async fn trace(State(api): Shared, Segment(id, _): Segment<Refusal>, uri: Uri) -> Answer {
    let params = Params::of(&uri)?;
    let id = path_id(&id)?;
    // A store that knows its traces by id needs no hint of when they were.
    params.time("start", MICRO)?;
    params.time("end", MICRO)?;
    let raw = params.read("raw", truth)?.unwrap_or(false);
    let loaded = load(&api, id, raw).await?;
    if loaded.spans.is_none() {
        let refusal = Refusal(Problem::not_found("trace not found"));
        return Ok(marked(refusal.into_response(), loaded.partial));
    }
    traces_answer(&params, vec![loaded], Value::Null).await
}

async fn archive(Segment(id, _): Segment<Refusal>) -> Answer {
    path_id(&id)?;
    let message = "archive storage was not configured; every trace is kept for the whole retention";
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Err(Problem { status, message: message.to_owned() }.into())
}

async fn transform(uri: Uri, Whole(body, _): Whole<Refusal>) -> Answer {
    let params = Params::of(&uri)?;
    let data = blocking(move || {
        let wrong = |error: String| Problem::bad(format!("cannot read OTLP JSON: {error}"));
        let bytes = model::json::decode(&body).map_err(|error| wrong(error.to_string()))?;
        let batch =
            SpanBatch::decode(Bytes::from(bytes)).map_err(|error| wrong(error.to_string()))?;
        if batch.rejection().spans > 0 {
            return Err(wrong(batch.rejection().reason.clone()));
        }
        let mut order: Vec<TraceId> = Vec::new();
        let mut by_trace: std::collections::HashMap<TraceId, Vec<&model::Span>> =
            std::collections::HashMap::new();
        for span in batch.spans() {
            let spans = by_trace.entry(span.trace_id).or_insert_with(|| {
                order.push(span.trace_id);
                Vec::new()
            });
            spans.push(span);
        }
        let mut data = String::from("[");
        for id in order {
            if data.len() > 1 {
                data.push(',');
            }
            put_trace(&mut data, id, &batch, by_trace.remove(&id).unwrap_or_default());
        }
        data.push(']');
        Ok(data)
    })
    .await??;
    Ok(answer(&params, &data, 0, &Value::Null))
}

async fn dependency_links(State(api): Shared, uri: Uri) -> Answer {
    let params = Params::of(&uri)?;
    let end = params.time("endTs", MILLI)?.unwrap_or((api.clock)());
    let lookback = params.time("lookback", MILLI)?.unwrap_or(DAY);
    let service = params.get("service");
    let found = dependencies(&*api.store, end.saturating_sub(lookback), end).await?;
    let links: Vec<Value> = found
        .links
        .into_iter()
        .filter(|link| service.is_none_or(|name| link.parent == name || link.child == name))
        .map(|link| {
            json!({
                "parent": link.parent,
                "child": link.child,
                "callCount": link.call_count,
            })
        })
        .collect();
    Ok(marked(list(&params, &links, 0), found.partial))
}
