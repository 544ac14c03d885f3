//! Zipkin's query API v2, for a port of its own.
//!
//! Paths, parameters and answers are those of a Zipkin server 3 (`ZipkinQueryApiV2`), with errors
//! as plain text. Everything lies below `/api/v2` and, as Zipkin's UI asks for it behind a proxy,
//! below `/zipkin/api/v2`. [`query`] says which traces a request means, [`candidates`] and
//! [`find`] how they are found.

mod answer;
mod candidates;
mod find;
mod names;
mod parameters;
mod query;
mod sources;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use formats::zipkin::service_name;
use http::{Method, StatusCode, Uri};
use model::TraceId;
use serde_json::{Value, json};
use store::{EdgeRequest, EdgeRow};

use crate::extract::Segment;
use crate::{Api, access};
use answer::{Fault, Partial, json_answer, traces_answer};
use parameters::{Parameters, trace_id};
use query::{LOOKBACK_DEFAULT_MS, TraceQuery, Window};

type Shared = State<Arc<Api>>;
type Answer = Result<Response, Fault>;

/// The most traces that one request may name.
const TRACE_IDS_MAX: usize = 1000;

/// Zipkin's query API.
pub fn router(api: Api) -> Router {
    let api = Arc::new(api);
    let v2 = paths();
    Router::new()
        .nest("/api/v2", v2.clone())
        .nest("/zipkin/api/v2", v2)
        .route(
            "/zipkin/config.json",
            get(|| async { json_answer(&ui_config(), Partial::default()) }),
        )
        .route("/health", get(health))
        .route("/info", get(|| async { json_answer(&info(), Partial::default()) }))
        .fallback(no_such_path)
        .method_not_allowed_fallback(other_method)
        .with_state(api.clone())
        .layer(axum::middleware::from_fn_with_state(api, guard))
        .layer(axum::middleware::map_response(crate::ui::harden))
}

fn paths() -> Router<Arc<Api>> {
    Router::new()
        .route("/services", get(names::services))
        .route("/spans", get(names::spans))
        .route("/remoteServices", get(names::remote_services))
        .route("/autocompleteKeys", get(names::autocomplete_keys))
        .route("/autocompleteValues", get(names::autocomplete_values))
        .route("/traces", get(traces))
        .route("/trace/{trace_id}", get(trace))
        .route("/trace/", get(|| async { Fault::parameter("trace id", "name a trace") }))
        .route("/traceMany", get(trace_many))
        .route("/dependencies", get(dependencies))
}

/// Refuses who may not ask. Health and version hold no data.
async fn guard(State(api): Shared, request: Request, next: Next) -> Response {
    let holds_data = !matches!(request.uri().path(), "/health" | "/info");
    match access::refusal(&api.access, &request, holds_data) {
        Some((status, text)) => access::ask_for_token(Fault::new(status, text).into_response()),
        None => next.run(request).await,
    }
}

async fn no_such_path(uri: Uri) -> Fault {
    Fault::new(StatusCode::NOT_FOUND, format!("{} is no path of Zipkin's query API", uri.path()))
}

async fn other_method(method: Method, uri: Uri) -> Fault {
    let path = uri.path();
    let text = if method == Method::POST && path.ends_with("/spans") {
        "spans in Zipkin's format go to the port of the receiver zipkin, which `spanfall serve \
         --config` runs; this port is for queries. OTLP goes to port 4318"
            .to_owned()
    } else {
        format!("{path} takes GET, not {method}")
    };
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, text)
}

async fn traces(State(api): Shared, uri: Uri) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let query = TraceQuery::from_parameters(&parameters, (api.clock)())?;
    let found = find::find(api.store.as_ref(), &query).await?;
    Ok(traces_answer(found.traces, found.partial))
}

async fn trace(State(api): Shared, Segment(text, _): Segment<Fault>) -> Answer {
    let read = api.store.trace(trace_id("trace id", &text)?).await?;
    let Some(spans) = read.spans else {
        let mut problem = format!("{text} not found");
        if read.partial {
            problem.push_str("; a damaged block was left out");
        }
        return Err(Fault::new(StatusCode::NOT_FOUND, problem));
    };
    Ok(answer::spans_answer(spans, Partial::of_block(read.partial)))
}

async fn trace_many(State(api): Shared, uri: Uri) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let list = parameters.required("traceIds")?;
    let texts: Vec<&str> = list.split(',').collect();
    if texts.len() > TRACE_IDS_MAX {
        let problem = format!("{} ids; a request may name {TRACE_IDS_MAX}", texts.len());
        return Err(Fault::parameter("traceIds", problem));
    }
    let mut ids: Vec<TraceId> = Vec::with_capacity(texts.len());
    for (at, text) in texts.into_iter().enumerate() {
        let id = trace_id(&format!("traceIds, id {}", at + 1), text)?;
        if ids.contains(&id) {
            return Err(Fault::parameter("traceIds", format!("{text} is named twice")));
        }
        ids.push(id);
    }
    if ids.len() == 1 {
        let problem = "only one id; ask /api/v2/trace/{traceId} for a single trace";
        return Err(Fault::parameter("traceIds", problem));
    }
    let mut kept = find::Kept::default();
    for id in ids {
        let read = api.store.trace(id).await?;
        kept.partial.damaged |= read.partial;
        if let Some(spans) = read.spans
            && !kept.add(spans)
        {
            break;
        }
    }
    Ok(traces_answer(kept.traces, kept.partial))
}

/// Who calls whom.
async fn dependencies(State(api): Shared, uri: Uri) -> Answer {
    let parameters = Parameters::of(&uri)?;
    parameters.required("endTs")?;
    let end_ts = parameters.number("endTs")?.unwrap_or_default();
    let lookback = parameters.number("lookback")?.unwrap_or(LOOKBACK_DEFAULT_MS);
    let Window { start_unix_nano, end_unix_nano } = Window::new(end_ts, lookback);
    let set = api.store.edges(EdgeRequest { start_unix_nano, end_unix_nano }).await?;
    let link = |edge: &EdgeRow| {
        let mut link = json!({
            "parent": service_name(&edge.parent),
            "child": service_name(&edge.child),
            "callCount": edge.call_count,
        });
        if edge.error_count > 0 {
            link["errorCount"] = json!(edge.error_count);
        }
        link
    };
    let links: Vec<Value> = set.edges.iter().map(link).collect();
    let limited = set.partial.then_some("some spans or their parents could not be read");
    Ok(json_answer(&links, Partial { damaged: set.partial, limited }))
}

/// As a Zipkin server tells it: one component, which is the store.
async fn health(State(api): Shared) -> Response {
    let problems = api.store.health().problems;
    let (status, word) = if problems.is_empty() {
        (StatusCode::OK, "UP")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "DOWN")
    };
    let mut component = json!({ "status": word });
    if !problems.is_empty() {
        component["details"] = json!({ "error": problems.join("; ") });
    }
    let zipkin = json!({ "status": word, "details": { "Spanfall": component } });
    let mut answer = json_answer(&json!({ "status": word, "zipkin": zipkin }), Partial::default());
    *answer.status_mut() = status;
    answer
}

fn info() -> Value {
    json!({ "zipkin": { "version": env!("CARGO_PKG_VERSION"), "server": "spanfall" } })
}

/// What Zipkin's UI asks its server about itself.
fn ui_config() -> Value {
    json!({
        "environment": "",
        "queryLimit": 10,
        "defaultLookback": 900_000,
        "searchEnabled": true,
        "dependency": { "enabled": true, "lowErrorRate": 0.5, "highErrorRate": 0.75 },
    })
}
