//! Searches of api_v3 that come as a JSON body: `{"query": {…}}`, in either spelling of names.

use serde_json::{Map, Value};

use super::ask::Ask;
use super::filter::{Predicate, call_of, check};
use super::params::duration;
use super::problem::Problem;
use super::spans::{self, SpanRank, SpanSearch};
use super::time::parse_rfc3339;
use super::v3_search::{
    Search, alone, limit, malformed, no_such_field, no_trace_on_page, ordered, page_token, range,
    unsorted,
};

/// Both spellings of the fields of `TraceQueryParameters`.
const FIELDS: [(&str, &str); 11] = [
    ("serviceName", "service_name"),
    ("operationName", "operation_name"),
    ("attributes", "attributes"),
    ("startTimeMin", "start_time_min"),
    ("startTimeMax", "start_time_max"),
    ("durationMin", "duration_min"),
    ("durationMax", "duration_max"),
    ("searchDepth", "search_depth"),
    ("rawTraces", "raw_traces"),
    ("filter", "filter"),
    ("pagination", "pagination"),
];

/// Both spellings of the fields of `SpanQueryParameters`.
const SPAN_FIELDS: [(&str, &str); 5] = [
    ("startTimeMin", "start_time_min"),
    ("startTimeMax", "start_time_max"),
    ("filter", "filter"),
    ("pagination", "pagination"),
    ("orderBy", "order_by"),
];

/// The query of a body, with fields of these names alone.
fn query(body: &[u8], names: &[(&str, &str)]) -> Result<Map<String, Value>, Problem> {
    let mut body: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::bad(format!("the body is no JSON: {error}")))?;
    let query = match body.get_mut("query").map(Value::take) {
        None | Some(Value::Null) => return Err(Problem::bad("the body has no query")),
        Some(Value::Object(query)) => query,
        Some(_) => return Err(malformed("query", "it is no object")),
    };
    // What is no object has no query.
    let beside = body.as_object().and_then(|body| body.keys().find(|name| *name != "query"));
    if let Some(unknown) = beside {
        return Err(no_such_field(unknown));
    }
    let is_known = |name: &str| names.iter().any(|(camel, snake)| [*camel, *snake].contains(&name));
    match query.keys().find(|name| !is_known(name)) {
        Some(unknown) => Err(no_such_field(&format!("query.{unknown}"))),
        None => Ok(query),
    }
}

/// What a body that searches for spans asks for.
pub(super) fn span_search(body: &[u8]) -> Result<SpanSearch, Problem> {
    let query = query(body, &SPAN_FIELDS)?;
    let fields = Fields(&query);
    let time = |name: &str| fields.read_text(name, parse_rfc3339);
    let (start_unix_nano, end_unix_nano) = range(time("startTimeMin")?, time("startTimeMax")?)?;
    if fields.get("orderBy").is_some_and(|order| *order != Value::Array(Vec::new())) {
        return Err(unsorted("query.orderBy"));
    }
    let (page_size, token, _) = pagination(&fields)?;
    Ok(SpanSearch {
        filter: filter(&fields)?,
        start_unix_nano,
        end_unix_nano,
        limit: spans::page_size(page_size)?,
        after: SpanRank::of_token(&token)?,
    })
}

fn filter(fields: &Fields<'_>) -> Result<Option<Predicate>, Problem> {
    let Some(value) = fields.get("filter") else { return Ok(None) };
    check("query.filter", &call_of("query.filter", value)?).map(Some)
}

/// What a body that searches for traces asks for.
pub(super) fn search(body: &[u8]) -> Result<Search, Problem> {
    let query = query(body, &FIELDS)?;
    let fields = Fields(&query);
    let time = |name: &str| fields.read_text(name, parse_rfc3339);
    let (start, end) = range(time("startTimeMin")?, time("startTimeMax")?)?;
    let shortest = fields.read_text("durationMin", duration)?;
    let longest = fields.read_text("durationMax", duration)?.filter(|&longest| longest > 0);
    ordered(shortest, longest)?;
    let (page_size, token, is_paged) = pagination(&fields)?;
    let depth = fields.number("searchDepth")?;
    if is_paged && depth.is_some() {
        return Err(Problem::bad("query.pagination and query.searchDepth exclude each other"));
    }
    if is_paged && page_size.unwrap_or(0) == 0 {
        return Err(no_trace_on_page());
    }
    let name = if is_paged { "query.pagination.pageSize" } else { "query.searchDepth" };
    Ok(Search {
        ask: alone(Ask {
            filter: filter(&fields)?,
            service: fields.text("serviceName")?,
            operation: fields.text("operationName")?,
            tags: tags(&fields)?,
            start_unix_nano: Some(start),
            end_unix_nano: Some(end),
            duration_min_nano: shortest,
            duration_max_nano: longest,
            limit: limit(name, page_size.or(depth))?,
            after: page_token(&token)?,
        })?,
        raw: match fields.get("rawTraces") {
            None => false,
            Some(value) => value
                .as_bool()
                .ok_or_else(|| malformed("query.rawTraces", "it is neither true nor false"))?,
        },
        is_paged,
    })
}

/// The fields that are set.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn get(&self, camel: &str) -> Option<&'a Value> {
        let mut both = FIELDS.iter().chain(&SPAN_FIELDS);
        let snake = both.find(|(name, _)| *name == camel).map_or(camel, |(_, snake)| snake);
        let value = self.0.get(camel).or_else(|| self.0.get(snake));
        value.filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        self.read_text(name, |text| Ok(text.to_owned()))
    }

    /// What `read` makes of a text; an empty one is as good as none.
    fn read_text<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let wrong = |error: String| malformed(&format!("query.{name}"), error);
        let text = value.as_str().ok_or_else(|| wrong(format!("{value} is no text")))?;
        if text.is_empty() {
            return Ok(None);
        }
        read(text).map(Some).map_err(wrong)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = count(value);
        let wrong = || {
            malformed(&format!("query.{name}"), format!("{value} is not a whole number above 0"))
        };
        number.map(Some).ok_or_else(wrong)
    }
}

/// A count, as a number or, as ProtoJSON allows, as a text.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn tags(fields: &Fields<'_>) -> Result<Vec<(String, String)>, Problem> {
    let Some(value) = fields.get("attributes") else { return Ok(Vec::new()) };
    let wrong = || malformed("query.attributes", "expecting an object of texts");
    let map = value.as_object().ok_or_else(wrong)?;
    map.iter()
        .map(|(key, value)| Ok((key.clone(), value.as_str().ok_or_else(wrong)?.to_owned())))
        .collect()
}

fn pagination(fields: &Fields<'_>) -> Result<(Option<u64>, String, bool), Problem> {
    let Some(value) = fields.get("pagination") else { return Ok((None, String::new(), false)) };
    let wrong = |name: &str, error: &str| malformed(&format!("query.pagination{name}"), error);
    let map = value.as_object().ok_or_else(|| wrong("", "it is no object"))?;
    let known = ["pageSize", "page_size", "pageToken", "page_token"];
    if let Some(unknown) = map.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(no_such_field(&format!("query.pagination.{unknown}")));
    }
    let field = |camel: &str, snake: &str| {
        map.get(camel).or_else(|| map.get(snake)).filter(|value| !value.is_null())
    };
    let read = |size| count(size).ok_or_else(|| wrong(".pageSize", "it is no whole number"));
    let size = field("pageSize", "page_size").map(read).transpose()?;
    let token = match field("pageToken", "page_token") {
        None => String::new(),
        Some(token) => {
            token.as_str().ok_or_else(|| wrong(".pageToken", "it is no text"))?.to_owned()
        }
    };
    Ok((size, token, true))
}
