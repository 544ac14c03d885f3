//! Conditions on labels.

use promql_parser::label::{MatchOp, Matcher as Parsed};
use regex::{Regex, RegexBuilder};

use super::error::PromqlError;
use super::value::METRIC_NAME;

/// The longest regular expression.
pub(super) const PATTERN_BYTES_MAX: usize = 4 << 10;

/// What a compiled regular expression may take, and what its matching may keep.
const REGEX_BYTES_MAX: usize = 1 << 20;

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

    /// Whether it is a regular expression.
    pub(super) fn is_regex(&self) -> bool {
        matches!(self.test, Test::Like(_) | Test::Unlike(_))
    }

    /// The text of a regular expression that a value has to meet.
    pub(super) fn pattern(&self) -> Option<&str> {
        match &self.test {
            Test::Like(regex) => Some(regex.as_str()),
            _ => None,
        }
    }

    /// The one value that it does not let through.
    pub(super) fn all_but(&self) -> Option<&str> {
        match &self.test {
            Test::NotEqual(value) => Some(value),
            _ => None,
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
    match pattern(text) {
        // The parser takes repetitions that only Go's library understands; it has put them right.
        Err(Pattern::Wrong) => compiled(parsed.as_str()).map_err(|wrong| wrong.error(text)),
        told => told.map_err(|wrong| wrong.error(text)),
    }
}

/// A regular expression that has to meet a text from its start to its end.
pub(super) fn whole(text: &str) -> Result<Regex, PromqlError> {
    pattern(text).map_err(|wrong| wrong.error(text))
}

/// Why a text is no regular expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    Wrong,
    TooLarge,
}

impl Pattern {
    pub(super) fn error(self, text: &str) -> PromqlError {
        PromqlError::query(match self {
            Self::Wrong => format!("{text:?} is no regular expression"),
            Self::TooLarge => format!(
                "a regular expression is too large: it may have {PATTERN_BYTES_MAX} bytes, and \
                 {} KiB when it is compiled",
                REGEX_BYTES_MAX >> 10
            ),
        })
    }
}

/// The same, with what is wrong.
pub(super) fn pattern(text: &str) -> Result<Regex, Pattern> {
    match text.len() > PATTERN_BYTES_MAX {
        true => Err(Pattern::TooLarge),
        false => compiled(&format!("^(?s:{text})$")),
    }
}

fn compiled(pattern: &str) -> Result<Regex, Pattern> {
    let mut builder = RegexBuilder::new(pattern);
    let built = builder.size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => Pattern::TooLarge,
        _ => Pattern::Wrong,
    })
}
