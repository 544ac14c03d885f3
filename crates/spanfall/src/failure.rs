//! Errors with advice.

use std::fmt;
use std::io;

/// An error, and what the reader may try.
#[derive(Debug)]
pub struct Hinted {
    message: String,
    hints: Vec<String>,
}

impl Hinted {
    /// An error with one piece of advice.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hints: vec![hint.into()] }
    }

    /// An error without advice as yet.
    pub fn plain(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new() }
    }

    /// The same with more advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {}

/// All advice in an error's chain, outermost first.
pub fn hints(error: &anyhow::Error) -> impl Iterator<Item = &str> {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<Hinted>())
        .flat_map(|hinted| hinted.hints.iter().map(String::as_str))
}

/// Whoever reads stdout has gone, as `head` does.
#[derive(Debug)]
pub struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads stdout any more")
    }
}

impl std::error::Error for ReaderGone {}

/// True when a failure means no more than [`ReaderGone`]. Other broken pipes, to a server say, are
/// failures like any other.
pub fn is_reader_gone(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref())
        .any(|inner| inner.is::<ReaderGone>())
}
