//! Metrics queries: series over a range, and single values.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::Uri;
use query::metrics::{EXEMPLARS_MAX, Intervals, MetricsAnswer, exemplars_max, extrapolates, run};
use store::{MeasuredSeries, MeasuredSpan, QueryError, Store, Watcher};
use traceql::{MetricsFunction, MetricsQuery, Static};

use super::fault::Fault;
use super::parameters::{Parameters, metrics};
use super::proto::{
    Exemplar, InstantSeries, PartialStatus, QueryInstantResponse, QueryRangeResponse, Sample,
    TimeSeries,
};
use super::values::key_value;
use super::{Shared, search};
use crate::apart::apart;

const HOUR: u64 = 3_600_000_000_000;
const MILLISECOND: u64 = 1_000_000;

const DAMAGED: &str = "a damaged block was left out";

/// A metrics query and what it is asked of.
#[derive(Debug)]
pub(crate) struct Asked {
    query: MetricsQuery,
    pub(crate) intervals: Intervals,
    exemplars_max: usize,
    extrapolate: bool,
    series_max: Option<usize>,
}

impl Asked {
    /// What parameters ask for; an instant query has no step.
    pub(crate) fn of(parameters: &Parameters, instant: bool) -> Result<Self, Fault> {
        let (name, text) =
            parameters.query().ok_or_else(|| Fault::parameter("q", "give a query"))?;
        let (query, hints) = metrics(name, text)?;
        let (start, end) = parameters.range()?;
        let since = parameters.duration("since", false)?.unwrap_or(HOUR);
        let end = end.unwrap_or(parameters.now());
        let start = start.unwrap_or(end.saturating_sub(since));
        let intervals = match instant {
            true => Intervals::instant(start, end)?,
            false => Intervals::of_range(start, end, parameters.duration("step", true)?)?,
        };
        // 0 is not set: who wants none says so in a hint.
        let exemplars = parameters.number("exemplars", 0, usize::MAX)?.filter(|max| *max > 0);
        Ok(Self {
            query,
            intervals,
            exemplars_max: if instant { 0 } else { exemplars_max(&hints, exemplars) },
            extrapolate: extrapolates(&hints),
            // 0 is no limit.
            series_max: parameters.number("maxSeries", 0, usize::MAX)?.filter(|max| *max > 0),
        })
    }

    /// Asks.
    pub(crate) async fn run(&self, store: &dyn Store) -> Result<Measured, Fault> {
        Ok(self.measured(self.answer(store, None).await?))
    }

    /// The whole answer of the store.
    pub(super) async fn answer(
        &self,
        store: &dyn Store,
        watcher: Option<Watcher<MetricsAnswer>>,
    ) -> Result<MetricsAnswer, QueryError> {
        let Self { query, intervals, .. } = self;
        run(store, query, intervals, self.exemplars_max, self.extrapolate, watcher).await
    }

    /// Whether every point that is there before the end is there in the end, too. Clients replace
    /// points and forget none: what ranks, filters and compares may take some back.
    pub(super) fn grows(&self) -> bool {
        let grows = match &self.query {
            MetricsQuery::Leaf(leaf) => !matches!(leaf.function, MetricsFunction::Compare { .. }),
            _ => false,
        };
        grows && self.series_max.is_none()
    }

    /// Series with points by time.
    pub(super) fn series(&self, series: &[MeasuredSeries]) -> Vec<TimeSeries> {
        series.iter().map(|series| time_series(series, &self.intervals)).collect()
    }

    /// What is told of the store's answer.
    pub(super) fn measured(&self, mut answer: MetricsAnswer) -> Measured {
        let left_out = self.series_max.is_some_and(|max| answer.series.len() > max);
        answer.series.truncate(self.series_max.unwrap_or(usize::MAX));
        let message = match (left_out, answer.partial) {
            (true, _) => format!("there are more than {} series", answer.series.len()),
            (false, true) => DAMAGED.to_owned(),
            (false, false) => String::new(),
        };
        Measured { answer, message, intervals: self.intervals }
    }
}

/// The answer to a metrics query.
pub(crate) struct Measured {
    pub(crate) answer: MetricsAnswer,
    /// Why it is not whole; empty if it is.
    message: String,
    intervals: Intervals,
}

impl Measured {
    fn status(&self) -> i32 {
        match self.message.is_empty() {
            true => PartialStatus::Complete.into(),
            false => PartialStatus::Partial.into(),
        }
    }

    /// Points by time.
    pub(crate) fn range(self) -> QueryRangeResponse {
        let series = self.answer.series.iter().map(|series| time_series(series, &self.intervals));
        QueryRangeResponse {
            series: series.collect(),
            metrics: Some(search::metrics(&self.answer.stats, true)),
            status: self.status(),
            message: self.message,
        }
    }

    /// The one point of each series.
    pub(crate) fn instant(self) -> QueryInstantResponse {
        let series = self.answer.series.iter().filter_map(|series| {
            let value = series.values.first().copied().filter(|value| !value.is_nan())?;
            Some(InstantSeries { labels: labels(series), value })
        });
        QueryInstantResponse {
            series: series.collect(),
            metrics: Some(search::metrics(&self.answer.stats, true)),
            status: self.status(),
            message: self.message,
        }
    }
}

pub(super) async fn query_range(State(api): Shared, uri: Uri) -> Result<Response, Fault> {
    let asked = Asked::of(&Parameters::of(&uri, (api.clock)())?, false)?;
    let measured = asked.run(api.store.as_ref()).await?;
    Ok(apart(|| Json(measured.range()).into_response()).await?)
}

pub(super) async fn query_instant(State(api): Shared, uri: Uri) -> Result<Response, Fault> {
    let asked = Asked::of(&Parameters::of(&uri, (api.clock)())?, true)?;
    let measured = asked.run(api.store.as_ref()).await?;
    Ok(apart(|| Json(measured.instant()).into_response()).await?)
}

fn labels(series: &MeasuredSeries) -> Vec<super::proto::KeyValue> {
    series.labels.iter().map(|(label, value)| key_value(label, value)).collect()
}

/// A series without its missing points.
fn time_series(series: &MeasuredSeries, intervals: &Intervals) -> TimeSeries {
    let points = intervals.ends().zip(&series.values).filter(|(_, value)| !value.is_nan());
    let mut exemplars: Vec<Exemplar> =
        series.exemplars.iter().map(|span| exemplar(span, series, intervals)).collect();
    exemplars.sort_by_key(|exemplar| exemplar.timestamp_ms);
    exemplars.truncate(EXEMPLARS_MAX);
    TimeSeries {
        labels: labels(series),
        samples: points
            .map(|(time, value)| Sample { value: *value, timestamp_ms: milliseconds(time) })
            .collect(),
        exemplars,
    }
}

/// A span that is only counted has no value of its own; it is shown on the line.
fn exemplar(span: &MeasuredSpan, series: &MeasuredSeries, intervals: &Intervals) -> Exemplar {
    let point = intervals.index(span.start_unix_nano).and_then(|at| series.values.get(at));
    let value = if span.value.is_nan() { point.copied().unwrap_or(0.0) } else { span.value };
    let id = |key: &str, id: String| key_value(key, &Static::String(id));
    Exemplar {
        labels: vec![
            id("trace:id", span.trace_id.to_string()),
            id("span:id", span.span_id.to_string()),
        ],
        value,
        timestamp_ms: milliseconds(span.start_unix_nano),
    }
}

/// A time of 64 bits in nanoseconds is one in milliseconds.
fn milliseconds(time: u64) -> i64 {
    (time / MILLISECOND).cast_signed()
}
