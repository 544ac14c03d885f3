//! What searches of api_v3 have in common, however they come: by URL, as a body, over gRPC.

use query::decode_cursor;
use store::Position;

use super::ask::{Ask, LIMIT_DEFAULT, LIMIT_MAX};
use super::problem::Problem;

/// What a search of this API asks for.
pub(super) struct Search {
    pub(super) ask: Ask,
    pub(super) raw: bool,
    pub(super) is_paged: bool,
}

pub(super) fn malformed(name: &str, error: impl std::fmt::Display) -> Problem {
    Problem::bad(format!("malformed parameter {name}: {error}"))
}

/// How many traces, from a count of any size.
pub(super) fn limit(name: &str, depth: Option<u64>) -> Result<usize, Problem> {
    match depth {
        None | Some(0) => Ok(LIMIT_DEFAULT),
        Some(depth) => usize::try_from(depth)
            .ok()
            .filter(|&depth| depth <= LIMIT_MAX)
            .ok_or_else(|| malformed(name, format!("it must be at most {LIMIT_MAX}"))),
    }
}

/// The two bounds, both of which have to be given.
pub(super) fn range(start: Option<u64>, end: Option<u64>) -> Result<(u64, u64), Problem> {
    let (Some(start), Some(end)) = (start, end) else {
        let text = "query.startTimeMin and query.startTimeMax are required";
        return Err(Problem::bad(text));
    };
    if start >= end {
        return Err(Problem::bad("query.startTimeMin must be before query.startTimeMax"));
    }
    Ok((start, end))
}

pub(super) fn ordered(shortest: Option<u64>, longest: Option<u64>) -> Result<(), Problem> {
    match (shortest, longest) {
        (Some(shortest), Some(longest)) if longest < shortest => {
            Err(Problem::bad("query.durationMax must not be below query.durationMin"))
        }
        _ => Ok(()),
    }
}

pub(super) fn page_token(text: &str) -> Result<Option<Position>, Problem> {
    let given = Some(text).filter(|text| !text.is_empty());
    let position = given.map(decode_cursor).transpose();
    position.map_err(|error| malformed("query.pagination.pageToken", error))
}

/// Refuses a search that says the same in two ways: filters stand alone.
pub(super) fn alone(ask: Ask) -> Result<Ask, Problem> {
    let is_given = [
        ("query.serviceName", ask.service.is_some()),
        ("query.operationName", ask.operation.is_some()),
        ("query.attributes", !ask.tags.is_empty()),
        ("query.durationMin", ask.duration_min_nano.is_some()),
        ("query.durationMax", ask.duration_max_nano.is_some()),
    ];
    match is_given.iter().find(|(_, is_given)| *is_given && ask.filter.is_some()) {
        Some((name, _)) => Err(malformed("query.filter", format!("it excludes {name}"))),
        None => Ok(ask),
    }
}

pub(super) fn no_such_field(name: &str) -> Problem {
    malformed(name, "there is no such field")
}

/// A search for traces is paged by who says how many.
pub(super) fn no_trace_on_page() -> Problem {
    malformed("query.pagination.pageSize", "a page has at least one trace")
}

pub(super) fn unsorted(name: &str) -> Problem {
    malformed(name, "spans come newest first; no other order is served")
}
