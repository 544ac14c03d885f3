//! Conditions on labels.

use promql_parser::label::{MatchOp, Matcher as Parsed};
use regex::Regex;

use super::error::PromqlError;
use super::value::METRIC_NAME;

/// A condition on a label. One that is not there is the empty text.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    pub(super) name: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Equal(String),
    NotEqual(String),
    Like(Regex),
    Unlike(Regex),
}

impl Matcher {
    pub(super) fn of(parsed: &Parsed) -> Result<Self, PromqlError> {
        let value = || parsed.value.clone();
        let test = match &parsed.op {
            MatchOp::Equal => Test::Equal(value()),
            MatchOp::NotEqual => Test::NotEqual(value()),
            MatchOp::Re(regex) => Test::Like(anchored(regex, &parsed.value)?),
            MatchOp::NotRe(regex) => Test::Unlike(anchored(regex, &parsed.value)?),
        };
        Ok(Self { name: parsed.name.clone(), test })
    }

    pub(super) fn name_is(name: &str) -> Self {
        Self { name: METRIC_NAME.to_owned(), test: Test::Equal(name.to_owned()) }
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::NotEqual(unwanted) => value != unwanted,
            Test::Like(regex) => regex.is_match(value),
            Test::Unlike(regex) => !regex.is_match(value),
        }
    }

    /// The one value that it lets through.
    pub(super) fn only(&self) -> Option<&str> {
        match &self.test {
            Test::Equal(value) => Some(value),
            _ => None,
        }
    }
}

/// Since Prometheus 3 a dot is any character, a newline included.
fn anchored(parsed: &Regex, text: &str) -> Result<Regex, PromqlError> {
    match whole(text) {
        // The parser takes repetitions that only Go's library understands; it has put them right.
        Err(_) => Ok(parsed.clone()),
        regex => regex,
    }
}

/// A regular expression that has to meet a text from its start to its end.
pub(super) fn whole(text: &str) -> Result<Regex, PromqlError> {
    Regex::new(&format!("^(?s:{text})$"))
        .map_err(|_| PromqlError::query(format!("{text:?} is no regular expression")))
}
