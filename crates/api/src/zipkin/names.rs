//! Lists of names: services, spans, remote services, tags and their values.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use formats::zipkin::{NAME_KEYS, PEER_SERVICE, key, service_name, span_of};
use http::Uri;
use store::{AttributeCondition, Level, SpanFilter, Store};

use super::answer::{Fault, Partial, json_answer};
use super::candidates::Candidates;
use super::parameters::Parameters;
use super::sources::service_spellings;
use super::{Answer, Shared};

/// The most names of tags, and the most values of one.
const NAMES_MAX: usize = 1000;

/// Attributes that are no tags but fields of the span.
const NO_TAGS: [&str; 4] = [key::SERVICE_NAME, key::START_ABSENT, key::DEBUG, key::SHARED];

/// Newest traces of a service that are read for the names of whom it calls.
const NEWEST_TRACES: usize = 50;

/// The most values of attributes that are tried as the name of a remote service.
const TRIES_MAX: usize = 200;

/// Traces that are read to see whether such a value is one.
const TRACES_PER_TRY: usize = 3;

fn names(names: &BTreeSet<String>) -> Response {
    json_answer(names, Partial::default())
}

pub(super) async fn services(State(api): Shared) -> Answer {
    let services = api.store.services().await?;
    Ok(names(&services.iter().map(|row| service_name(&row.name).to_owned()).collect()))
}

pub(super) async fn spans(State(api): Shared, uri: Uri) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let service = parameters.required("serviceName")?;
    let mut found = BTreeSet::new();
    for service in service_spellings(api.store.as_ref(), service).await? {
        let operations = api.store.operations(Some(service)).await?;
        found.extend(operations.into_iter().map(|row| row.name).filter(|name| !name.is_empty()));
    }
    Ok(names(&found))
}

pub(super) async fn remote_services(State(api): Shared, uri: Uri) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let name = parameters.required("serviceName")?;
    let store = api.store.as_ref();
    let services = service_spellings(store, name).await?;
    let mut remote = RemoteServices { store, services, found: BTreeSet::new() };
    remote.read(SpanFilter::default(), NEWEST_TRACES).await?;
    let limited = remote.try_values().await?;
    let limited = limited.then_some("rare names were not looked for");
    Ok(json_answer(&remote.found, Partial { limited, ..Partial::default() }))
}

/// Whom some services call. The newest traces show most of them; an attribute that may name one
/// which is not among them is looked for.
struct RemoteServices<'a> {
    store: &'a dyn Store,
    services: Vec<String>,
    found: BTreeSet<String>,
}

impl RemoteServices<'_> {
    /// Reads the newest traces with a span of the services that meets a filter.
    async fn read(&mut self, filter: SpanFilter, count: usize) -> Result<(), Fault> {
        let of_service =
            |service: &String| SpanFilter { service: Some(service.clone()), ..filter.clone() };
        let filters = self.services.iter().map(of_service).collect();
        let mut candidates = Candidates::new(self.store, filters, count);
        for _ in 0..count {
            let Some(id) = candidates.next().await? else { break };
            let Some(batch) = self.store.trace(id).await?.spans else { continue };
            for span in batch.spans() {
                let (_, resource) = batch.origin(span);
                let service = batch.service_name(resource);
                if self.services.iter().any(|wanted| wanted == service) {
                    let remote = span_of(&batch, span).remote_endpoint;
                    self.found.extend(remote.and_then(|it| it.service_name).map(Into::into));
                }
            }
        }
        Ok(())
    }

    /// Looks for names that were not in the newest traces; true when there are too many.
    async fn try_values(&mut self) -> Result<bool, Fault> {
        let known = self.store.attributes().await?;
        let mut tries = 0;
        for key in NAME_KEYS {
            if !known.iter().any(|row| row.level == Level::Span && row.key == key) {
                continue;
            }
            let list = self.store.attribute_values(Some(Level::Span), key.to_owned(), TRIES_MAX);
            for row in list.await?.values {
                if self.found.contains(&row.value) {
                    continue;
                }
                if tries == TRIES_MAX {
                    return Ok(true);
                }
                tries += 1;
                let condition = AttributeCondition {
                    level: Some(Level::Span),
                    key: key.to_owned(),
                    value: row.value,
                };
                let filter = SpanFilter { attributes: vec![condition], ..SpanFilter::default() };
                // The first of the keys always names the other side.
                let count = if key == PEER_SERVICE { 1 } else { TRACES_PER_TRY };
                self.read(filter, count).await?;
            }
        }
        Ok(false)
    }
}

pub(super) async fn autocomplete_keys(State(api): Shared) -> Answer {
    let mut attributes = api.store.attributes().await?;
    attributes.retain(|row| {
        matches!(row.level, Level::Span | Level::Resource) && !NO_TAGS.contains(&row.key.as_str())
    });
    attributes.sort_by_key(|row| std::cmp::Reverse(row.count));
    let mut keys = BTreeSet::from([key::STATUS_CODE.to_owned()]);
    for row in attributes {
        if keys.len() == NAMES_MAX {
            break;
        }
        keys.insert(row.key);
    }
    Ok(names(&keys))
}

pub(super) async fn autocomplete_values(State(api): Shared, uri: Uri) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let wanted = parameters.required("key")?;
    let mut values = BTreeSet::new();
    for level in [Level::Span, Level::Resource] {
        let list = api.store.attribute_values(Some(level), wanted.to_owned(), NAMES_MAX).await?;
        values.extend(list.values.into_iter().map(|row| row.value));
    }
    if wanted == key::STATUS_CODE {
        values.extend(["ERROR", "OK"].map(str::to_owned));
    }
    Ok(names(&values))
}
