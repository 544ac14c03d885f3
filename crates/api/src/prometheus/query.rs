//! Queries for an instant and over a range.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use query::promql::{self, Counted, Grid, Plan, STEPS_MAX};

use super::Shared;
use super::answer::{answered, success};
use super::fault::Fault;
use super::parameters::Parameters;
use super::turn::{self, Turn};
use crate::Api;

pub(super) const QUERY: &str = "query";

/// How long a query may take; a parameter can only shorten it.
pub(super) const TIMEOUT_MS: i64 = 120_000;

pub(super) async fn instant(State(api): Shared, request: Request) -> Result<Response, Fault> {
    let parameters = Parameters::of(request).await?;
    let time = parameters.time_ms("time")?.unwrap_or_else(|| now_ms(&api));
    run(&api, &parameters, Grid::instant(time), true).await
}

pub(super) async fn range(State(api): Shared, request: Request) -> Result<Response, Fault> {
    let parameters = Parameters::of(request).await?;
    let required = |name: &str| parameters.required(name).map(|_| ());
    required("start")?;
    let start_ms = parameters.time_ms("start")?.unwrap_or(0);
    required("end")?;
    let end_ms = parameters.time_ms("end")?.unwrap_or(0);
    required("step")?;
    let step_ms = parameters.duration_ms("step")?.unwrap_or(0);
    if end_ms < start_ms {
        return Err(Fault::parameter("end", "end timestamp must not be before start time"));
    }
    if step_ms <= 0 {
        let problem = "zero or negative query resolution step widths are not accepted. Try a \
                       positive integer";
        return Err(Fault::parameter("step", problem));
    }
    let steps = (end_ms - start_ms) / step_ms;
    if steps > STEPS_MAX as i64 {
        return Err(Fault::bad_data(format!(
            "exceeded maximum resolution of {STEPS_MAX} points per timeseries. Try decreasing the \
             query resolution (?step=XX)"
        )));
    }
    run(&api, &parameters, Grid { start_ms, step_ms, count: steps as usize + 1 }, false).await
}

pub(super) async fn format(request: Request) -> Result<Response, Fault> {
    let parameters = Parameters::of(request).await?;
    success(&formatted(&parameters).await?, Vec::new())
}

/// The query as people lay it out.
async fn formatted(parameters: &Parameters) -> Result<String, Fault> {
    let query = parameters.required(QUERY)?.to_owned();
    let formatted = async {
        let turn = Turn::come().await?;
        turn.work(move |_| promql::formatted(&query)).await
    };
    in_time(TIMEOUT_MS, formatted).await?.map_err(|error| Fault::of(QUERY, &error))
}

pub(super) fn now_ms(api: &Api) -> i64 {
    (api.clock)().cast_signed() / 1_000_000
}

async fn run(
    api: &Api,
    parameters: &Parameters,
    grid: Grid,
    is_instant: bool,
) -> Result<Response, Fault> {
    let limit = parameters.limit("limit")?;
    // Counters are exact at every instant: nothing is looked back for.
    parameters.duration_ms("lookback_delta")?;
    let timeout_ms = parameters.duration_ms("timeout")?.unwrap_or(TIMEOUT_MS).min(TIMEOUT_MS);
    if timeout_ms == 0 {
        let problem = "it must be at least a millisecond, as no query can be answered in no time";
        return Err(Fault::parameter("timeout", problem));
    }
    let query = parameters.required(QUERY)?.to_owned();
    let answer = move |plan: &Plan, counted: &Counted, stop: &AtomicBool| {
        let answer = plan.evaluate(counted, stop).map_err(|error| Fault::of(QUERY, &error))?;
        answered(answer, limit, counted.is_partial(), stop)
    };
    let plan = move || Plan::of(&query, grid, is_instant);
    in_time(timeout_ms, turn::answered(api, QUERY, plan, answer)).await
}

/// Gives something up that takes too long.
pub(super) async fn in_time<T>(
    timeout_ms: i64,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    match tokio::time::timeout(timeout, work).await {
        Ok(done) => done,
        Err(_) => Err(Fault::timeout(format!(
            "the query was given up after {} seconds; ask for a shorter range or a longer step",
            timeout.as_secs_f64()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn a_query_that_takes_too_long_is_given_up() {
        let given_up = in_time::<()>(1, std::future::pending()).await.unwrap_err();
        let text = "the query was given up after 0.001 seconds; ask for a shorter range or a \
                    longer step";
        assert_eq!(given_up, Fault::timeout(text));
        let response = axum::response::IntoResponse::into_response(given_up);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(in_time(1, std::future::ready(Ok(5))).await, Ok(5));
    }
}
