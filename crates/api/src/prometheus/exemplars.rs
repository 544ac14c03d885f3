//! Exemplars of a query.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use query::promql::{ExemplarSeries, Exemplars, number_text};
use serde::Serialize;

use super::Shared;
use super::answer::{Object, listed};
use super::fault::Fault;
use super::parameters::Parameters;
use super::query::{QUERY, TIMEOUT_MS, in_time, now_ms};
use super::turn::Turn;
use crate::Api;

pub(super) async fn query(State(api): Shared, request: Request) -> Result<Response, Fault> {
    let parameters = Parameters::of(request).await?;
    in_time(TIMEOUT_MS, found(&api, &parameters)).await
}

async fn found(api: &Arc<Api>, parameters: &Parameters) -> Result<Response, Fault> {
    let range = parameters.range(now_ms(api))?;
    let query = parameters.required(QUERY)?.to_owned();
    let turn = Turn::come().await?;
    let exemplars = turn.work(move |_| Exemplars::of(&query)).await?;
    let exemplars = exemplars.map_err(|error| Fault::of(QUERY, &error))?;
    let found = exemplars.find(api.store.as_ref(), range).await;
    let found = found.map_err(|error| Fault::of(QUERY, &error))?;
    turn.work(move |stop| {
        let series = found.series.iter().map(Series::of).collect();
        listed(series, usize::MAX, found.partial, stop)
    })
    .await?
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Series<'a> {
    series_labels: Object<'a>,
    exemplars: Vec<Exemplar<'a>>,
}

#[derive(Serialize)]
struct Exemplar<'a> {
    labels: Object<'a>,
    value: String,
    /// Seconds since the epoch.
    timestamp: f64,
}

impl<'a> Series<'a> {
    fn of(series: &'a ExemplarSeries) -> Self {
        let exemplars = series.exemplars.iter().map(|exemplar| Exemplar {
            labels: Object(&exemplar.labels),
            value: number_text(exemplar.value),
            timestamp: exemplar.time_ms as f64 / 1000.0,
        });
        Self { series_labels: Object(&series.labels), exemplars: exemplars.collect() }
    }
}
