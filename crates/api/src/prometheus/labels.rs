//! Which series, labels and metrics there are.

use std::sync::atomic::AtomicBool;

use axum::extract::{Request, State};
use axum::response::Response;
use query::promql::{self, Browse, Counted, Found, Listed, descriptions};
use serde_json::{Map, Value, json};

use super::Shared;
use super::answer::{Object, listed, success};
use super::fault::Fault;
use super::parameters::Parameters;
use super::query::{TIMEOUT_MS, in_time, now_ms};
use super::turn;
use crate::Api;
use crate::extract::Segment;

const SELECTOR: &str = "match[]";

pub(super) async fn series(State(api): Shared, request: Request) -> Result<Response, Fault> {
    let parameters = Parameters::of(request).await?;
    if parameters.all(SELECTOR).next().is_none() {
        return Err(Fault::bad_data("no match[] parameter provided"));
    }
    look(&api, &parameters, Listed::Series).await
}

pub(super) async fn names(State(api): Shared, request: Request) -> Result<Response, Fault> {
    look(&api, &Parameters::of(request).await?, Listed::Names).await
}

pub(super) async fn values(
    State(api): Shared,
    Segment(name, _): Segment<Fault>,
    request: Request,
) -> Result<Response, Fault> {
    if name.is_empty() {
        return Err(Fault::bad_data("invalid label name: \"\""));
    }
    look(&api, &Parameters::of(request).await?, Listed::Values(name)).await
}

async fn look(api: &Api, parameters: &Parameters, what: Listed) -> Result<Response, Fault> {
    let (range, limit) = (parameters.range(now_ms(api))?, parameters.limit("limit")?);
    let selectors: Vec<String> = parameters.all(SELECTOR).map(str::to_owned).collect();
    let browse = move || Browse::of(what, selectors.iter().map(String::as_str), range);
    let answer = move |browse: &Browse, counted: &Counted, stop: &AtomicBool| {
        let found = browse.found(counted, stop).map_err(|error| Fault::of(SELECTOR, &error))?;
        let partial = counted.is_partial();
        match found {
            Found::Series(all) => listed(all.iter().map(Object).collect(), limit, partial, stop),
            Found::Texts(all) => listed(all, limit, partial, stop),
        }
    };
    in_time(TIMEOUT_MS, turn::answered(api, SELECTOR, browse, answer)).await
}

/// What the metrics are.
pub(super) async fn metadata(request: Request) -> Result<Response, Fault> {
    let parameters = Parameters::of(request).await?;
    let (wanted, limit) = (parameters.text("metric"), parameters.limit("limit")?);
    let described = descriptions().into_iter();
    let described = described.filter(|one| wanted.is_none_or(|name| name == one.name)).take(limit);
    let of = |one: promql::Description| {
        let told = json!([{ "type": one.kind, "help": one.help, "unit": one.unit }]);
        (one.name.to_owned(), told)
    };
    success(&Value::Object(described.map(of).collect::<Map<_, _>>()), Vec::new())
}
