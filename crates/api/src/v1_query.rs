//! TraceQL on API v1: a query finds traces or makes series, and its answer says which.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Uri};
use query::metrics::{Intervals, MetricsAnswer, exemplars_max, extrapolates, run};
use query::{encode_cursor, static_text};
use serde::Serialize;
use store::{
    FindRequest, FoundPage, FoundSpan, FoundSpanset, FoundTrace, MeasuredSeries, QueryError,
    QueryStats, Watcher,
};
use traceql::{Field, MetricsQuery, QueryKind, Static};

use crate::Api;
use crate::answers::{TraceSummary, text};
use crate::apart::apart;
use crate::error::ApiError;
use crate::extract::Whole;
use crate::steps::steps;
use crate::tempo::parameters::parse;
use crate::tempo::values::type_name;
use crate::tempo::{fault::Fault, search};
use crate::v1::Parameters;
use crate::v1_stream;

const KNOWN: [&str; 10] =
    ["q", "start", "end", "limit", "spans", "cursor", "step", "exemplars", "explain", "stream"];

const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 1000;
const SPANS_DEFAULT: usize = 3;
const SPANS_MAX: usize = 1000;
const HOUR: u64 = 3_600_000_000_000;

/// The content type of parameters in a body.
const FORM: &str = "application/x-www-form-urlencoded";

pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    answer(api, &Parameters::of(&uri, &KNOWN)?, &headers).await
}

/// The same with parameters in the body, for long queries.
pub(crate) async fn post(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
    Whole(body, _): Whole<ApiError>,
) -> Result<Response, ApiError> {
    if uri.query().is_some_and(|query| !query.is_empty()) {
        let text = "parameters of a POST are in its body, as a form";
        return Err(ApiError::new(http::StatusCode::BAD_REQUEST, text));
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let other = kind.filter(|kind| !kind.to_ascii_lowercase().starts_with(FORM));
    // A form has the syntax of a query.
    let form = std::str::from_utf8(&body).ok().filter(|form| form.is_ascii() && other.is_none());
    let form =
        form.and_then(|form| Uri::builder().path_and_query(format!("/?{form}")).build().ok());
    let form = form.ok_or_else(|| {
        let came = other.map_or(String::new(), |kind| format!("; it came as {kind}"));
        let text = format!("the body is no form, as {FORM} has it{came}");
        ApiError::new(http::StatusCode::BAD_REQUEST, text)
    })?;
    answer(api, &Parameters::of(&form, &KNOWN)?, &headers).await
}

async fn answer(
    api: Arc<Api>,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let explain = parameters.flag("explain")?.unwrap_or_default();
    let is_streamed = v1_stream::is_wanted(parameters, headers)?;
    match (Asked::of(parameters, (api.clock)())?, is_streamed) {
        (Asked::Find(request), false) => {
            let page = api.store.find(request, None).await.map_err(Fault::from)?;
            let body = apart(move || Json(Traces::of(page, true, explain)).into_response());
            Ok(body.await.map_err(Fault::from)?)
        }
        (Asked::Find(request), true) => {
            let find = |watcher| async move { api.store.find(request, Some(watcher)).await };
            let body = move |page, is_whole| Traces::of(page, is_whole, explain);
            v1_stream::lines(steps(find), body).await
        }
        (Asked::Measure(measuring), false) => {
            let found = measuring.run(&api, None).await.map_err(Fault::from)?;
            let intervals = measuring.intervals;
            let body = move || SeriesList::of(found, &intervals, true, explain);
            Ok(apart(|| Json(body()).into_response()).await.map_err(Fault::from)?)
        }
        (Asked::Measure(measuring), true) => {
            let intervals = measuring.intervals;
            let run = |watcher| async move { measuring.run(&api, Some(watcher)).await };
            let body = move |found, is_whole| SeriesList::of(found, &intervals, is_whole, explain);
            v1_stream::lines(steps(run), body).await
        }
    }
}

/// What parameters ask for.
enum Asked {
    Find(FindRequest),
    Measure(Measuring),
}

struct Measuring {
    query: MetricsQuery,
    intervals: Intervals,
    exemplars_max: usize,
    extrapolate: bool,
}

impl Measuring {
    async fn run(
        &self,
        api: &Api,
        watcher: Option<Watcher<MetricsAnswer>>,
    ) -> Result<MetricsAnswer, QueryError> {
        let Self { query, intervals, exemplars_max, extrapolate } = self;
        run(api.store.as_ref(), query, intervals, *exemplars_max, *extrapolate, watcher).await
    }
}

impl Asked {
    fn of(parameters: &Parameters, now: u64) -> Result<Self, ApiError> {
        let text = parameters.one("q").filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| ApiError::parameter("q", "write a TraceQL query"))?;
        let query = parse("q", &text)?;
        let time = |name: &str| {
            let text = parameters.one(name).filter(|text| !text.is_empty());
            let time = text.map(|text| query::parse_time_unix_nano(&text, now)).transpose();
            time.map_err(|error| ApiError::parameter(name, error.to_string()))
        };
        let (start, end) = (time("start")?, time("end")?);
        if let (Some(start), Some(end)) = (start, end)
            && start >= end
        {
            return Err(ApiError::parameter("start", "start must be before end"));
        }
        let number = |name: &str, least: usize, most: usize| {
            let text = parameters.one(name).filter(|text| !text.is_empty());
            let number = text.map(|text| {
                let number = text.parse().ok().filter(|number| (least..=most).contains(number));
                number.ok_or_else(|| {
                    let problem = format!("{text:?} is not a whole number from {least} to {most}");
                    ApiError::parameter(name, problem)
                })
            });
            number.transpose()
        };
        let only_with = |names: &[&str], kind: &str| {
            let given = names.iter().find(|name| parameters.one(name).is_some());
            let wrong = |name| Err(ApiError::parameter(name, format!("this is for {kind}")));
            given.map_or(Ok(()), |name| wrong(*name))
        };
        match query.kind {
            QueryKind::Search(pipeline) => {
                only_with(&["step", "exemplars"], "metrics queries, and this one finds traces")?;
                let cursor = parameters.one("cursor").filter(|text| !text.is_empty());
                let after = cursor.map(|cursor| query::decode_cursor(&cursor)).transpose();
                Ok(Self::Find(FindRequest {
                    pipeline,
                    start_unix_nano: start,
                    end_unix_nano: end,
                    duration_min_nano: None,
                    duration_max_nano: None,
                    limit: number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT),
                    spans_per_spanset: number("spans", 1, SPANS_MAX)?.unwrap_or(SPANS_DEFAULT),
                    after: after
                        .map_err(|error| ApiError::parameter("cursor", error.to_string()))?,
                }))
            }
            QueryKind::Metrics(metrics) => {
                let kind = "searches, and this query makes series";
                only_with(&["limit", "spans", "cursor"], kind)?;
                let end = end.unwrap_or(now);
                let start = start.unwrap_or(end.saturating_sub(HOUR));
                let step = parameters.one("step").filter(|text| !text.is_empty());
                let step = step.map(|step| query::parse_duration_nano(&step)).transpose();
                let step = step.map_err(|error| ApiError::parameter("step", error.to_string()))?;
                let intervals = Intervals::of_range(start, end, step)?;
                let exemplars =
                    number("exemplars", 0, query::metrics::EXEMPLARS_MAX)?.unwrap_or_default();
                Ok(Self::Measure(Measuring {
                    exemplars_max: exemplars_max(&query.hints, Some(exemplars)),
                    extrapolate: extrapolates(&query.hints),
                    query: metrics,
                    intervals,
                }))
            }
        }
    }
}

#[derive(Serialize)]
struct Traces {
    traces: Vec<Trace>,
    next_cursor: Option<String>,
    partial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
}

impl Traces {
    /// What is not whole is partial, and has no page behind it yet.
    fn of(page: FoundPage, is_whole: bool, explain: bool) -> Self {
        Self {
            next_cursor: search::next(&page).filter(|_| is_whole).map(encode_cursor),
            traces: page.traces.into_iter().map(trace).collect(),
            partial: page.partial || !is_whole,
            stats: (explain && is_whole).then(|| page.stats.into()),
        }
    }
}

#[derive(Serialize)]
struct Trace {
    #[serde(flatten)]
    summary: TraceSummary,
    spansets: Vec<Spanset>,
}

#[derive(Serialize)]
struct Spanset {
    matched: u64,
    attributes: Vec<Value>,
    spans: Vec<Span>,
}

#[derive(Serialize)]
struct Span {
    span_id: String,
    name: String,
    #[serde(serialize_with = "text")]
    start_unix_nano: u64,
    #[serde(serialize_with = "text")]
    duration_nano: u64,
    fields: Vec<Value>,
}

/// A named value as text, and its type.
#[derive(Serialize)]
struct Value {
    name: String,
    #[serde(rename = "type")]
    value_type: &'static str,
    value: String,
}

#[derive(Serialize)]
struct SeriesList {
    #[serde(serialize_with = "text")]
    start_unix_nano: u64,
    #[serde(serialize_with = "text")]
    step_nano: u64,
    series: Vec<Series>,
    partial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
}

impl SeriesList {
    fn of(found: MetricsAnswer, intervals: &Intervals, is_whole: bool, explain: bool) -> Self {
        Self {
            start_unix_nano: intervals.start_unix_nano,
            step_nano: intervals.step_nano,
            series: found.series.into_iter().map(series).collect(),
            partial: found.partial || !is_whole,
            stats: (explain && is_whole).then(|| found.stats.into()),
        }
    }
}

#[derive(Serialize)]
struct Series {
    labels: Vec<Value>,
    /// `null` where there is none.
    values: Vec<f64>,
    exemplars: Vec<Exemplar>,
}

#[derive(Serialize)]
struct Exemplar {
    trace_id: String,
    span_id: String,
    #[serde(serialize_with = "text")]
    start_unix_nano: u64,
    value: f64,
}

/// What a query took.
#[derive(Serialize)]
struct Stats {
    pieces: u64,
    pieces_skipped: u64,
    pieces_behind: u64,
    row_groups: u64,
    row_groups_skipped_by_statistics: u64,
    row_groups_skipped_by_filters: u64,
    spans: u64,
    traces: u64,
    candidates: u64,
    traces_joined: u64,
    bytes_read: u64,
    steps: Vec<StepTime>,
    columns: Vec<ReadColumn>,
}

#[derive(Serialize)]
struct StepTime {
    name: &'static str,
    wall_ms: f64,
    work_ms: f64,
}

#[derive(Serialize)]
struct ReadColumn {
    name: String,
    rows: u64,
    bytes: u64,
}

impl From<QueryStats> for Stats {
    fn from(stats: QueryStats) -> Self {
        let milliseconds = |nanos: u64| nanos as f64 / 1e6;
        let step = |time: &store::StepTime| StepTime {
            name: time.step.name(),
            wall_ms: milliseconds(time.wall_nano),
            work_ms: milliseconds(time.work_nano),
        };
        let column = |store::ReadColumn { name, rows, bytes }| ReadColumn { name, rows, bytes };
        Self {
            pieces: stats.pieces,
            pieces_skipped: stats.pieces_skipped,
            pieces_behind: stats.pieces_behind,
            row_groups: stats.slabs,
            row_groups_skipped_by_statistics: stats.slabs_skipped_by_statistics,
            row_groups_skipped_by_filters: stats.slabs_skipped_by_filters,
            spans: stats.spans,
            traces: stats.traces,
            candidates: stats.candidates,
            traces_joined: stats.traces_joined,
            bytes_read: stats.bytes_read,
            steps: stats.steps.iter().map(step).collect(),
            columns: stats.columns.into_iter().map(column).collect(),
        }
    }
}

fn value(name: String, value: &Static) -> Value {
    Value { name, value_type: type_name(value), value: static_text(value) }
}

fn trace(found: FoundTrace) -> Trace {
    Trace {
        summary: found.summary.into(),
        spansets: found.spansets.into_iter().map(spanset).collect(),
    }
}

fn spanset(found: FoundSpanset) -> Spanset {
    Spanset {
        matched: found.matched,
        attributes: found.attributes.into_iter().map(|(name, of)| value(name, &of)).collect(),
        spans: found.spans.into_iter().map(span).collect(),
    }
}

fn span(found: FoundSpan) -> Span {
    // One entry for each of several values.
    let fields = found.fields.iter().flat_map(|(field, values): &(Field, Vec<Static>)| {
        values.iter().map(|of| value(field.to_string(), of))
    });
    Span {
        span_id: found.span_id.to_string(),
        start_unix_nano: found.start_unix_nano,
        duration_nano: found.duration_nano,
        fields: fields.collect(),
        name: found.name,
    }
}

fn series(found: MeasuredSeries) -> Series {
    let exemplar = |span: store::MeasuredSpan| Exemplar {
        trace_id: span.trace_id.to_string(),
        span_id: span.span_id.to_string(),
        start_unix_nano: span.start_unix_nano,
        value: span.value,
    };
    Series {
        labels: found.labels.into_iter().map(|(name, of)| value(name, &of)).collect(),
        values: found.values,
        exemplars: found.exemplars.into_iter().map(exemplar).collect(),
    }
}
