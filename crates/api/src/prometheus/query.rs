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

const QUERY: &str = "query";

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
pub(super) async fn formatted(parameters: &Parameters) -> Result<String, Fault> {
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
    let timeout_ms = parameters.duration_ms("timeout")?.unwrap_or(TIMEOUT_MS).min(TIMEOUT_MS);
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
    let done = match timeout.is_zero() {
        true => None,
        false => tokio::time::timeout(timeout, work).await.ok(),
    };
    match done {
        Some(done) => done,
        None => Err(Fault::timeout(format!(
            "the query was given up after {} seconds; ask for a shorter range or a longer step",
            timeout.as_secs_f64()
        ))),
    }
}
