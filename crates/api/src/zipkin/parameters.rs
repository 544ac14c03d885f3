//! The parameters of a request. As for a Zipkin server, a name that nobody knows is no fault.

use axum::extract::Query;
use http::{StatusCode, Uri};
use model::TraceId;

use super::answer::Fault;

/// Names and values.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn of(uri: &Uri) -> Result<Self, Fault> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Fault::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        Ok(Self(pairs.0))
    }

    /// A value, if it is there.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Fault> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        let first = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            Some(_) => Err(Fault::parameter(name, "given more than once; it takes one value")),
            None => Ok(first),
        }
    }

    /// A text, if it is there and not empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Fault> {
        Ok(self.one(name)?.filter(|text| !text.is_empty()))
    }

    /// A text that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Fault> {
        self.text(name)?.ok_or_else(|| Fault::parameter(name, "is missing; this path needs it"))
    }

    /// A whole number above 0, if it is there.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Fault> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        // Zipkin's numbers are Java's.
        let number = text.parse::<i64>().ok().filter(|number| digits && *number > 0);
        number.map(|number| Some(number.unsigned_abs())).ok_or_else(|| {
            Fault::parameter(name, format!("{text:?} is not a whole number from 1 to {}", i64::MAX))
        })
    }
}

/// A trace's id; `name` is where it was read.
pub(super) fn trace_id(name: &str, text: &str) -> Result<TraceId, Fault> {
    let id: TraceId = text
        .parse()
        .map_err(|error: model::IdError| Fault::parameter(name, format!("{text:?}: {error}")))?;
    if id.is_none() {
        return Err(Fault::parameter(name, "all zeros are no trace"));
    }
    Ok(id)
}
