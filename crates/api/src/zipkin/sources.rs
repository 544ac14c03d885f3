//! What to search the store for: filters that every trace which is meant passes.
//!
//! The store wants one span to meet a whole filter; Zipkin's conditions may be met by several. So
//! one condition is searched for, the one that leaves the fewest, and the others are looked for in
//! the traces that it leaves.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use formats::zipkin::{NAME_KEYS, UNKNOWN_SERVICE, key};
use model::status_code;
use store::{AttributeCondition, ReadError, SpanFilter, Store, ValueType};

use super::query::{Condition, TraceQuery, same_name};

/// Values of an attribute that are tried as names or errors.
const VALUES_MAX: usize = 200;

/// Spellings of one name that are searched for, each in a search of its own: who sends makes up as
/// many as a name has letters, and more.
const SPELLINGS_MAX: usize = 20;

/// Tags that are no attributes, beside those of the status.
const COMPUTED: [&str; 9] = [
    key::SERVICE_NAME,
    key::SCOPE_NAME,
    key::SCOPE_VERSION,
    key::TRACE_STATE,
    key::SPAN_KIND,
    key::DROPPED_ATTRIBUTES,
    key::DROPPED_EVENTS,
    key::DROPPED_LINKS,
    key::START_ABSENT,
];

/// Filters of which a trace passes at least one.
pub(super) struct Sources {
    pub(super) filters: Vec<SpanFilter>,
    /// Every trace that passes one is meant.
    pub(super) are_exact: bool,
}

/// `None` when no trace can be meant.
pub(super) async fn sources(
    store: &dyn Store,
    query: &TraceQuery,
) -> Result<Option<Sources>, ReadError> {
    let services = match &query.service {
        None => vec![None],
        Some(name) => service_spellings(store, name).await?.into_iter().map(Some).collect(),
    };
    if services.is_empty() {
        return Ok(None);
    }
    let (alternatives, is_exact) = alternatives(store, query).await?;
    let mut filters = Vec::with_capacity(services.len() * alternatives.len());
    for service in services {
        for alternative in &alternatives {
            filters.push(SpanFilter {
                service: service.clone(),
                start_min_unix_nano: Some(query.window.start_unix_nano),
                start_max_unix_nano: Some(query.window.end_unix_nano),
                ..alternative.clone()
            });
        }
    }
    Ok(Some(Sources { filters, are_exact: is_exact }))
}

/// The services of a name that differ in case alone.
pub(super) async fn service_spellings(
    store: &dyn Store,
    name: &str,
) -> Result<Vec<String>, ReadError> {
    let services = store.services().await?;
    let is_wanted = |service: &str| {
        same_name(service, name) || (service.is_empty() && same_name(UNKNOWN_SERVICE, name))
    };
    let services = services.into_iter().filter(|row| is_wanted(&row.name));
    Ok(spellings(name, services.map(|row| (row.name, row.span_count))))
}

/// The spellings of a name that are searched for, of those that so many spans have: itself, and the
/// most frequent others.
fn spellings(name: &str, known: impl Iterator<Item = (String, u64)>) -> Vec<String> {
    let mut spans: BTreeMap<String, u64> = BTreeMap::new();
    known.for_each(|(spelling, count)| *spans.entry(spelling).or_default() += count);
    let mut all: Vec<(String, u64)> = spans.into_iter().collect();
    all.sort_by_key(|(spelling, count)| (spelling != name, Reverse(*count)));
    all.truncate(SPELLINGS_MAX);
    all.into_iter().map(|(spelling, _)| spelling).collect()
}

/// Filters for one condition, and whether they say all that the query says.
async fn alternatives(
    store: &dyn Store,
    query: &TraceQuery,
) -> Result<(Vec<SpanFilter>, bool), ReadError> {
    for condition in &query.conditions {
        if let Condition::Tag(key, value) = condition
            && let Some(filters) = tag_filters(store, key, value).await?
        {
            return Ok((filters, false));
        }
    }
    if let Some(remote) = &query.remote_service {
        return Ok((remote_filters(store, remote).await?, false));
    }
    let is_only = query.condition_count() <= 1;
    if let Some(name) = &query.span_name {
        let operations = store.operations(None).await?;
        let known = operations.into_iter().filter(|row| same_name(&row.name, name));
        let known = known.map(|row| (row.name, row.span_count));
        // The table of operations has a bound.
        let names = spellings(name, known.chain([(name.clone(), 0)]));
        let filter = |name| SpanFilter { operation: Some(name), ..SpanFilter::default() };
        return Ok((names.into_iter().map(filter).collect(), is_only));
    }
    if query.conditions.contains(&Condition::Exists(key::ERROR.to_owned()))
        && let Some(filters) = error_filters(store).await?
    {
        return Ok((filters, false));
    }
    let filter = SpanFilter {
        // Zipkin's durations are cut to whole microseconds, those below one are one.
        duration_min_nano: query
            .min_duration
            .map(|min| if min == 1 { 1 } else { min.saturating_mul(1000) }),
        duration_max_nano: query
            .max_duration
            .map(|max| max.saturating_mul(1000).saturating_add(999)),
        ..SpanFilter::default()
    };
    let is_exact = query.condition_count() == usize::from(query.min_duration.is_some());
    Ok((vec![filter], is_exact))
}

fn attribute(key: &str, value: &str) -> SpanFilter {
    let condition =
        AttributeCondition { level: None, key: key.to_owned(), value: value.to_owned() };
    SpanFilter { attributes: vec![condition], ..SpanFilter::default() }
}

fn with_status(code: i32) -> SpanFilter {
    SpanFilter { status: Some(code), ..SpanFilter::default() }
}

/// Filters for a tag with a value; `None` when the store cannot search for it.
async fn tag_filters(
    store: &dyn Store,
    key: &str,
    value: &str,
) -> Result<Option<Vec<SpanFilter>>, ReadError> {
    if COMPUTED.contains(&key) || key.starts_with(key::LINK_PREFIX) {
        return Ok(None);
    }
    let has_other_texts =
        store.attributes().await?.into_iter().any(|row| {
            row.key == key && matches!(row.value_type, ValueType::Any | ValueType::Bytes)
        });
    if has_other_texts {
        return Ok(None);
    }
    let mut filters = vec![attribute(key, value)];
    match (key, value) {
        (key::STATUS_CODE, "ERROR") | (key::ERROR, _) => {
            filters.push(with_status(status_code::ERROR));
        }
        (key::STATUS_CODE, "OK") => filters.push(with_status(status_code::OK)),
        _ => {}
    }
    Ok(Some(filters))
}

/// Filters for the tag `error`, whatever its value: the status, or an attribute of that name.
async fn error_filters(store: &dyn Store) -> Result<Option<Vec<SpanFilter>>, ReadError> {
    let mut filters = vec![with_status(status_code::ERROR)];
    let list = store.attribute_values(None, key::ERROR.to_owned(), VALUES_MAX).await?;
    let is_text = |value_type| !matches!(value_type, ValueType::Any | ValueType::Bytes);
    if !list.complete || !list.values.iter().all(|row| is_text(row.value_type)) {
        return Ok(None);
    }
    filters.extend(list.values.iter().map(|row| attribute(key::ERROR, &row.value)));
    Ok(Some(filters))
}

/// Filters for a remote service, in every spelling that is known.
async fn remote_filters(store: &dyn Store, name: &str) -> Result<Vec<SpanFilter>, ReadError> {
    let mut filters = Vec::new();
    let known: Vec<String> = store.attributes().await?.into_iter().map(|row| row.key).collect();
    for key in NAME_KEYS.into_iter().filter(|key| known.iter().any(|known| known == key)) {
        let list = store.attribute_values(None, key.to_owned(), VALUES_MAX).await?;
        let mut values: Vec<String> = list.values.into_iter().map(|row| row.value).collect();
        values.retain(|value| same_name(value, name));
        values.push(name.to_owned());
        values.sort();
        values.dedup();
        filters.extend(values.iter().map(|value| attribute(key, value)));
    }
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_spellings_are_searched_for() {
        let known = |count: u64| (0..count).map(|at| (format!("Name{at}"), at % 7));
        let few = spellings("name", [("NAME".into(), 1), ("name".into(), 1)].into_iter());
        assert_eq!(few, ["name", "NAME"]);
        // Of several services, a name is as frequent as in all of them.
        let one = [("A".into(), 2), ("B".into(), 3), ("A".into(), 2)];
        assert_eq!(spellings("a", one.into_iter()), ["A", "B"]);
        let many = spellings("name", known(100).chain([("name".into(), 0)]));
        assert_eq!((many.len(), &many[..2]), (20, &["name".to_owned(), "Name13".to_owned()][..]));
    }
}
