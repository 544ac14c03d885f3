//! Service performance: latencies, calls and errors over time, computed from the spans.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::Uri;
use http::header::CONTENT_TYPE;
use serde::{Serialize, Serializer};
use serde_json::json;
use store::{Durations, RedRequest, RedSeries};

use super::legacy::Refusal;
use super::params::{Params, kind, truth};
use super::problem::Problem;
use super::time::rfc3339;
use super::traces::{blocking, marked};
use super::{shown_service, stored_service};
use crate::Api;

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

/// Points of a series, and steps of the window that each looks back over.
const STEPS_MAX: u64 = 20_000;

/// Series of one answer; those with most spans stay.
const SERIES_MAX: usize = 500;

/// Steps of all series of one answer together: as many series as [`SERIES_MAX`] for two days by the
/// minute. Of more steps there are fewer series. They take about 60 MB, and their text 130 MB.
const CELLS_MAX: u64 = 1_500_000;

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
            series_max: SERIES_MAX.min((CELLS_MAX / self.steps()) as usize),
        }
    }

    /// When each point is.
    fn times(&self) -> Vec<String> {
        let back = (0..self.points).rev().map(|steps| steps * self.step_nano);
        back.map(|back| rfc3339(self.end_unix_nano.saturating_sub(back))).collect()
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
    let body = blocking(move || {
        let times = ask.times();
        let metric =
            |series| Metric::of(&ask, &times, family, quantile.unwrap_or_default(), series);
        let metrics = set.series.into_iter().map(metric).collect();
        serde_json::to_string(&MetricFamily { name, r#type: "GAUGE", help, metrics })
    });
    let body = body.await?.map_err(|error| Problem::internal(error.to_string()))?;
    let answer = ([(CONTENT_TYPE, "application/json")], body).into_response();
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

/// Jaeger's message of that name, in ProtoJSON (jaeger-idl, `openmetrics.proto`).
#[derive(Serialize)]
struct MetricFamily<'a> {
    name: String,
    r#type: &'static str,
    help: String,
    metrics: Vec<Metric<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metric<'a> {
    labels: Vec<Label>,
    metric_points: Points<'a>,
}

#[derive(Serialize)]
struct Label {
    name: &'static str,
    value: String,
}

impl<'a> Metric<'a> {
    fn of(
        ask: &Ask,
        times: &'a [String],
        family: Family,
        quantile: f64,
        series: RedSeries,
    ) -> Self {
        let window = ask.window as usize;
        let values = match family {
            Family::Calls => {
                let seconds = (ask.window * ask.step_nano) as f64 / SECOND as f64;
                sums(&series.spans, window).map(|calls| calls as f64 / seconds).collect()
            }
            // No calls have no share of errors.
            Family::Errors => sums(&series.errors, window)
                .zip(sums(&series.spans, window))
                .map(|(errors, calls)| errors as f64 / calls as f64)
                .collect(),
            Family::Latencies => quantiles(&series.durations, window, quantile),
        };
        let mut labels = vec![Label { name: "service_name", value: shown_service(series.service) }];
        let operation = series.operation.map(|value| Label { name: "operation", value });
        labels.extend(operation);
        Self { labels, metric_points: Points { times, values } }
    }
}

/// The sums of all runs of `window` counts. What leaves a window is taken off rather than all of
/// the window added up again: windows may have thousands of steps.
fn sums(counts: &[u64], window: usize) -> impl Iterator<Item = u64> {
    let mut sum: u64 = counts[..window - 1].iter().sum();
    counts[window - 1..].iter().zip(counts).map(move |(enters, leaves)| {
        let of_window = sum + enters;
        sum = of_window - leaves;
        of_window
    })
}

/// A quantile in milliseconds of all runs of `window` steps.
fn quantiles(steps: &[Durations], window: usize, quantile: f64) -> Vec<f64> {
    let mut all = Durations::default();
    steps[..window - 1].iter().for_each(|step| all.join(step));
    let of_windows = steps[window - 1..].iter().zip(steps).map(|(enters, leaves)| {
        all.join(enters);
        let nanos = all.quantile(quantile);
        all.part(leaves);
        nanos.map_or(f64::NAN, |nanos| nanos / MILLI as f64)
    });
    of_windows.collect()
}

/// Values and when they are; one that is no number is a text, as JSON has none for it.
struct Points<'a> {
    times: &'a [String],
    values: Vec<f64>,
}

impl Serialize for Points<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Point<'a> {
            gauge_value: Gauge,
            timestamp: &'a str,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Gauge {
            #[serde(serialize_with = "crate::tempo::json::double")]
            double_value: f64,
        }
        let points = self.values.iter().zip(self.times).map(|(&double_value, timestamp)| Point {
            gauge_value: Gauge { double_value },
            timestamp,
        });
        out.collect_seq(points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_slide() {
        let counts = [1, 0, 2, 5, 0, 3];
        for window in 1..=counts.len() {
            let expected: Vec<u64> = counts.windows(window).map(|run| run.iter().sum()).collect();
            assert_eq!(sums(&counts, window).collect::<Vec<_>>(), expected, "{window}");

            let step = |count: &u64| {
                let mut step = Durations::default();
                (0..*count).for_each(|at| step.add((at + 1) * 1_000_000 * (at + *count)));
                step
            };
            let steps: Vec<Durations> = counts.iter().map(step).collect();
            let expected = steps.windows(window).map(|run| {
                let mut all = Durations::default();
                run.iter().for_each(|step| all.join(step));
                all.quantile(0.5).map(|nanos| nanos / 1e6)
            });
            let found = quantiles(&steps, window, 0.5);
            let found = found.into_iter().map(|value| Some(value).filter(|value| !value.is_nan()));
            assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{window}");
        }
    }

    #[test]
    fn an_answer_has_a_bound() {
        let ask = |query: &str| {
            let params = Params::of(&format!("/x?service=a&{query}").parse().unwrap()).unwrap();
            Ask::of(&params, 1_700_000_000 * SECOND).map(|ask| ask.request())
        };
        // Two days by the minute, as Jaeger's UI asks at the most.
        let wide = ask("lookback=172800000&step=60000&ratePer=600000").unwrap();
        assert_eq!((wide.series_max, wide.steps), (SERIES_MAX, 2890));
        let long = ask("lookback=10000&step=1&ratePer=9999").unwrap();
        assert_eq!((long.series_max, long.steps), (75, 19_999));
        assert!(ask("lookback=10000&step=1&ratePer=10000").is_err());
    }
}
