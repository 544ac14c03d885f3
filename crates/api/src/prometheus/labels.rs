//! Which series, labels and metrics there are.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use query::promql::{self, Selectors, descriptions};
use serde_json::{Map, Value, json};

use super::Shared;
use super::answer::{listed, object, success};
use super::fault::Fault;
use super::parameters::Parameters;
use super::query::{in_time, now_ms};

const SELECTOR: &str = "match[]";

/// How long it may take to look.
const TIMEOUT_MS: i64 = 120_000;

pub(super) async fn series(State(api): Shared, request: Request) -> Result<Response, Fault> {
    let parameters = Parameters::of(request).await?;
    let selectors = selectors(&parameters)?;
    if selectors.is_empty() {
        return Err(Fault::bad_data("no match[] parameter provided"));
    }
    let (range, limit) = (parameters.range(now_ms(&api))?, parameters.limit("limit")?);
    let looking = async {
        let found = promql::series(api.store.as_ref(), selectors, range).await;
        found.map_err(|error| Fault::of(SELECTOR, &error))
    };
    let (found, partial) = in_time(TIMEOUT_MS, looking).await?;
    Ok(listed(found.iter().map(object).collect(), limit, partial))
}

pub(super) async fn names(State(api): Shared, request: Request) -> Result<Response, Fault> {
    let parameters = Parameters::of(request).await?;
    let selectors = selectors(&parameters)?;
    let (range, limit) = (parameters.range(now_ms(&api))?, parameters.limit("limit")?);
    let looking = async {
        let found = promql::label_names(api.store.as_ref(), selectors, range).await;
        found.map_err(|error| Fault::of(SELECTOR, &error))
    };
    let (found, partial) = in_time(TIMEOUT_MS, looking).await?;
    Ok(listed(found, limit, partial))
}

pub(super) async fn values(
    State(api): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Fault> {
    if name.is_empty() {
        return Err(Fault::bad_data("invalid label name: \"\""));
    }
    let parameters = Parameters::of(request).await?;
    let selectors = selectors(&parameters)?;
    let (range, limit) = (parameters.range(now_ms(&api))?, parameters.limit("limit")?);
    let looking = async {
        let found = promql::label_values(api.store.as_ref(), &name, selectors, range).await;
        found.map_err(|error| Fault::of(SELECTOR, &error))
    };
    let (found, partial) = in_time(TIMEOUT_MS, looking).await?;
    Ok(listed(found, limit, partial))
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
    Ok(success(&Value::Object(described.map(of).collect::<Map<_, _>>()), Vec::new()))
}

fn selectors(parameters: &Parameters) -> Result<Selectors, Fault> {
    Selectors::of(parameters.all(SELECTOR)).map_err(|error| Fault::of(SELECTOR, &error))
}
