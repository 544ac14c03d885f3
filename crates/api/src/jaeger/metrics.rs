//! Service performance: latencies, calls and errors over time, computed from the spans.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::Uri;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use store::{Durations, RedRequest, RedSeries};

use super::legacy::Refusal;
use super::params::{Params, kind, truth};
use super::problem::Problem;
use super::time::rfc3339;
use super::traces::marked;
use super::{shown_service, stored_service};
use crate::Api;

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

/// Points of a series, and steps of the window that each looks back over.
const STEPS_MAX: u64 = 20_000;

/// Series of one answer; those with most spans stay.
const SERIES_MAX: usize = 500;

type Shared = State<Arc<Api>>;

pub(super) fn router(api: Arc<Api>) -> Router {
    let handler = |family: Family| {
        get(move |State(api): Shared, uri: Uri| async move { metrics(&api, &uri, family).await })
    };
    Router::new()
        .route("/metrics/latencies", handler(Family::Latencies))
        .route("/metrics/calls", handler(Family::Calls))
        .route("/metrics/errors", handler(Family::Errors))
        .route("/metrics/minstep", get(min_step))
        .with_state(api)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Latencies,
    Calls,
    Errors,
}

/// Steps may be as short as a millisecond.
async fn min_step() -> Response {
    let body = json!({ "data": 1, "total": 0, "limit": 0, "offset": 0, "errors": null });
    ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// What is asked, in nanoseconds.
struct Ask {
    services: Vec<String>,
    kinds: Vec<i32>,
    by_operation: bool,
    end_unix_nano: u64,
    step_nano: u64,
    /// Points; the last is at the end.
    points: u64,
    /// Steps that each point looks back over.
    window: u64,
}

impl Ask {
    fn of(params: &Params, now_unix_nano: u64) -> Result<Self, Problem> {
        let services: Vec<String> =
            params.all("service").filter(|name| !name.is_empty()).map(stored_service).collect();
        if services.is_empty() {
            let text = "unable to parse param 'service': please provide at least one service name";
            return Err(Problem::bad(text));
        }
        let mut kinds = Vec::new();
        for name in params.all("spanKind") {
            kinds.push(kind(name).map_err(|error| {
                Problem::bad(format!("unable to parse param 'spanKind': {error}"))
            })?);
        }
        if kinds.is_empty() {
            kinds.push(model::kind::SERVER);
        }
        let length = |name: &str, default: u64| {
            let length = params.time(name, MILLI)?.unwrap_or(default);
            if length == 0 {
                let text = format!("unable to parse param '{name}': it must be greater than 0");
                return Err(Problem::bad(text));
            }
            Ok(length)
        };
        let lookback = length("lookback", 60 * MINUTE)?;
        let step_nano = length("step", 5 * SECOND)?;
        let rate_per = length("ratePer", 10 * MINUTE)?;
        let (points, window) = (lookback / step_nano + 1, rate_per.div_ceil(step_nano));
        if points.saturating_add(window) > STEPS_MAX {
            return Err(Problem::bad(format!(
                "unable to parse param 'step': lookback and ratePer together have more than \
                 {STEPS_MAX} such steps"
            )));
        }
        let end_unix_nano = params.time("endTs", MILLI)?.unwrap_or(now_unix_nano);
        let reach = step_nano.checked_mul(points + window - 1);
        if reach.is_none_or(|reach| reach > end_unix_nano) {
            let text = "unable to parse param 'lookback': it reaches back behind 1970";
            return Err(Problem::bad(text));
        }
        Ok(Self {
            services,
            kinds,
            by_operation: params.read("groupByOperation", truth)?.unwrap_or(false),
            end_unix_nano,
            step_nano,
            points,
            window,
        })
    }

    /// Every step that some point looks back over.
    fn steps(&self) -> u64 {
        self.points + self.window - 1
    }

    fn request(&self) -> RedRequest {
        RedRequest {
            services: self.services.clone(),
            kinds: self.kinds.clone(),
            start_unix_nano: self.end_unix_nano - self.steps() * self.step_nano,
            step_nano: self.step_nano,
            steps: self.steps() as usize,
            by_operation: self.by_operation,
            series_max: SERIES_MAX,
        }
    }

    fn time(&self, point: u64) -> String {
        let back = (self.points - 1 - point) * self.step_nano;
        rfc3339(self.end_unix_nano.saturating_sub(back))
    }
}

async fn metrics(api: &Api, uri: &Uri, family: Family) -> Result<Response, Refusal> {
    let params = Params::of(uri)?;
    let quantile = match family {
        Family::Latencies => Some(quantile(&params)?),
        Family::Calls | Family::Errors => None,
    };
    let ask = Ask::of(&params, (api.clock)())?;
    let set = api.store.red(ask.request()).await?;
    let metrics: Vec<Value> = set
        .series
        .into_iter()
        .map(|series| metric(&ask, family, quantile.unwrap_or_default(), series))
        .collect();
    let grouped = if ask.by_operation { "service & operation" } else { "service" };
    let level = if ask.by_operation { "service_operation" } else { "service" };
    let (name, help) = match family {
        Family::Latencies => (
            format!("{level}_latencies"),
            format!("{}th quantile latency, grouped by {grouped}", quantile.unwrap_or_default()),
        ),
        Family::Calls => (format!("{level}_call_rate"), format!("calls/sec, grouped by {grouped}")),
        Family::Errors => (
            format!("{level}_error_rate"),
            format!(
                "error rate, computed as a fraction of errors/sec over calls/sec, grouped by \
                 {grouped}"
            ),
        ),
    };
    let body = json!({ "name": name, "type": "GAUGE", "help": help, "metrics": metrics });
    let answer = ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    Ok(marked(answer, set.partial))
}

fn quantile(params: &Params) -> Result<f64, Problem> {
    let wrong = |text: &str| Problem::bad(format!("unable to parse param 'quantile': {text}"));
    let text = params.get("quantile").ok_or_else(|| wrong("please provide a quantile"))?;
    let quantile: f64 = text.parse().map_err(|_| wrong("it is not a number"))?;
    if !(0.0..=1.0).contains(&quantile) {
        return Err(wrong("it must be from 0 to 1"));
    }
    Ok(quantile)
}

fn metric(ask: &Ask, family: Family, quantile: f64, series: RedSeries) -> Value {
    let label = |name: &str, value: String| json!({ "name": name, "value": value });
    let mut labels = vec![label("service_name", shown_service(series.service.clone()))];
    labels.extend(series.operation.clone().map(|operation| label("operation", operation)));
    let window = ask.window as usize;
    let seconds = (ask.window * ask.step_nano) as f64 / SECOND as f64;
    let points: Vec<Value> = (0..ask.points)
        .map(|point| {
            let steps = point as usize..point as usize + window;
            let sum = |counts: &[u64]| counts[steps.clone()].iter().sum::<u64>() as f64;
            let value = match family {
                Family::Calls => sum(&series.spans) / seconds,
                // No calls have no share of errors.
                Family::Errors => sum(&series.errors) / sum(&series.spans),
                Family::Latencies => {
                    let mut all = Durations::default();
                    series.durations[steps.clone()].iter().for_each(|part| all.join(part));
                    all.quantile(quantile).map_or(f64::NAN, |nanos| nanos / MILLI as f64)
                }
            };
            let value = if value.is_nan() { json!("NaN") } else { json!(value) };
            json!({ "gaugeValue": { "doubleValue": value }, "timestamp": ask.time(point) })
        })
        .collect();
    json!({ "labels": labels, "metricPoints": points })
}
