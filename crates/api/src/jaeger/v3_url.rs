//! Searches of api_v3 that come as parameters of a URL, in either spelling of names.

use serde_json::Value;

use super::ask::Ask;
use super::filter::{Predicate, call_of, check};
use super::params::{Params, duration, truth};
use super::problem::Problem;
use super::spans::{self, SpanRank, SpanSearch};
use super::time::parse_rfc3339;
use super::v3_search::{
    Search, alone, limit, malformed, no_such_field, no_trace_on_page, ordered, page_token, range,
    unsorted,
};

/// A parameter by any of its names, read; the name that was given is that of a problem.
pub(super) fn read<T>(
    params: &Params,
    names: &[&str],
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Problem> {
    let Some((name, text)) = params.either(names) else { return Ok(None) };
    read(text).map(Some).map_err(|error| malformed(name, error))
}

/// A structured filter in the text of a parameter.
fn filter(params: &Params) -> Result<Option<Predicate>, Problem> {
    let Some(text) = params.get(FILTER) else { return Ok(None) };
    let value: Value = serde_json::from_str(text)
        .map_err(|error| malformed(FILTER, format!("expecting a JSON object: {error}")))?;
    check(FILTER, &call_of(FILTER, &value)?).map(Some)
}

/// What stands in front of the fields of a query.
const QUERY: &str = "query.";

const TIMES: [&str; 4] =
    ["query.startTimeMin", "query.start_time_min", "query.startTimeMax", "query.start_time_max"];
const PAGE_SIZES: [&str; 2] = ["query.pagination.pageSize", "query.pagination.page_size"];
const PAGE_TOKENS: [&str; 2] = ["query.pagination.pageToken", "query.pagination.page_token"];
const ORDERS: [&str; 2] = ["query.orderBy", "query.order_by"];
const SERVICES: [&str; 2] = ["query.serviceName", "query.service_name"];
const OPERATIONS: [&str; 2] = ["query.operationName", "query.operation_name"];
const DEPTHS: [&str; 3] = ["query.searchDepth", "query.search_depth", "query.num_traces"];
const SHORTEST: [&str; 2] = ["query.durationMin", "query.duration_min"];
const LONGEST: [&str; 2] = ["query.durationMax", "query.duration_max"];
const RAW: [&str; 2] = ["query.rawTraces", "query.raw_traces"];
const ATTRIBUTES: &str = "query.attributes";
const FILTER: &str = "query.filter";

/// Refuses fields of a query that are none of these, and these without the `query.` in front: more
/// would be found than is asked for. All other parameters mean nothing, as in Jaeger: proxies and
/// browsers add some.
fn only(params: &Params, known: &[&[&'static str]]) -> Result<(), Problem> {
    let known = known.concat();
    let is_wrong = |name: &&str| match name.strip_prefix(QUERY) {
        Some(_) => !known.contains(name),
        None => known.iter().any(|known| known.strip_prefix(QUERY) == Some(*name)),
    };
    match params.names().find(is_wrong) {
        Some(name) if name.starts_with(QUERY) => Err(no_such_field(name)),
        Some(name) => Err(malformed(name, format!("it is written {QUERY}{name}"))),
        None => Ok(()),
    }
}

fn whole(text: &str) -> Result<u64, String> {
    text.parse::<u64>().map_err(|_| format!("{text:?} is not a whole number above 0"))
}

fn times(params: &Params) -> Result<(u64, u64), Problem> {
    let time = |names: &[&str]| read(params, names, parse_rfc3339);
    range(time(&TIMES[..2])?, time(&TIMES[2..])?)
}

/// What parameters that search for spans ask for.
pub(super) fn span_search(params: &Params) -> Result<SpanSearch, Problem> {
    only(params, &[&TIMES, &PAGE_SIZES, &PAGE_TOKENS, &ORDERS, &[FILTER]])?;
    let (start_unix_nano, end_unix_nano) = times(params)?;
    if let Some((name, _)) = params.either(&ORDERS) {
        return Err(unsorted(name));
    }
    let token = params.either(&PAGE_TOKENS).map(|(_, token)| token).unwrap_or_default();
    Ok(SpanSearch {
        filter: filter(params)?,
        start_unix_nano,
        end_unix_nano,
        limit: spans::page_size(read(params, &PAGE_SIZES, whole)?)?,
        after: SpanRank::of_token(token)?,
    })
}

/// What parameters that search for traces ask for.
pub(super) fn search(params: &Params) -> Result<Search, Problem> {
    only(
        params,
        &[
            &TIMES,
            &PAGE_SIZES,
            &PAGE_TOKENS,
            &SERVICES,
            &OPERATIONS,
            &DEPTHS,
            &SHORTEST,
            &LONGEST,
            &RAW,
            &[ATTRIBUTES, FILTER],
        ],
    )?;
    let (start, end) = times(params)?;
    let depth = read(params, &DEPTHS, whole)?;
    let page_size = read(params, &PAGE_SIZES, whole)?;
    let token = params.either(&PAGE_TOKENS).map(|(_, token)| token);
    let is_paged = page_size.is_some() || token.is_some();
    if is_paged && depth.is_some() {
        return Err(Problem::bad("query.pagination and query.searchDepth exclude each other"));
    }
    if is_paged && page_size.unwrap_or(0) == 0 {
        return Err(no_trace_on_page());
    }
    let shortest = read(params, &SHORTEST, duration)?;
    let longest = read(params, &LONGEST, duration)?.filter(|&longest| longest > 0);
    ordered(shortest, longest)?;
    let tags = read(params, &[ATTRIBUTES], |text| {
        serde_json::from_str::<std::collections::BTreeMap<String, String>>(text)
            .map_err(|error| format!("expecting a JSON object of texts: {error}"))
    })?;
    let text = |names: &[&str]| params.either(names).map(|(_, text)| text.to_owned());
    let name = if is_paged { PAGE_SIZES[0] } else { DEPTHS[0] };
    Ok(Search {
        ask: alone(Ask {
            filter: filter(params)?,
            service: text(&SERVICES),
            operation: text(&OPERATIONS),
            tags: tags.unwrap_or_default().into_iter().collect(),
            start_unix_nano: Some(start),
            end_unix_nano: Some(end),
            duration_min_nano: shortest,
            duration_max_nano: longest,
            limit: limit(name, page_size.or(depth))?,
            after: page_token(token.unwrap_or_default())?,
        })?,
        raw: read(params, &RAW, truth)?.unwrap_or(false),
        is_paged,
    })
}
