//! What is wrong with a text, and where; and what went wrong when it ran.

use std::borrow::Cow;
use std::fmt;

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is not of the language.
    Parse,
    /// It is, and means nothing: an unknown name, a wrong argument, a limit, an invalid pattern.
    Validation,
    /// It means something to the Collector that Spanfall does not do.
    Unsupported,
}

/// Why a text is no statement or condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Who is at fault.
    pub kind: ErrorKind,
    /// What is wrong and what to write instead.
    pub message: String,
    /// The byte at which the guilty part starts.
    pub start: usize,
    /// The byte after it.
    pub end: usize,
    /// The line of `start`, from 1.
    pub line: usize,
    /// The character in that line, from 1.
    pub column: usize,
    /// What could have stood there; empty where a list would not help.
    pub expected: Vec<String>,
}

/// The most characters of a line that `caret` shows on either side of the spot.
const SHOWN_CHARACTERS_MAX: usize = 60;

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        text: &str,
        start: usize,
        end: usize,
        message: impl Into<String>,
    ) -> Self {
        let (line, column) = position(text, start);
        let message = message.into();
        Self { kind, message, start, end, line, column, expected: Vec::new() }
    }

    /// The guilty line with a mark under the spot, for a terminal. `text` is the text that the
    /// error is about.
    pub fn caret(&self, text: &str) -> String {
        let note = match self.expectation() {
            Some(expectation) => format!("expected {expectation}"),
            None => self.message.clone(),
        };
        mark(text, self.start, self.end, &note)
    }

    fn expectation(&self) -> Option<String> {
        match self.expected.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            [most @ .., last] => Some(format!("{} or {last}", most.join(", "))),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ErrorKind::Parse => "parse error",
            ErrorKind::Validation => "invalid",
            ErrorKind::Unsupported => "not supported",
        };
        write!(f, "{what} at line {}, col {}: {}", self.line, self.column, self.message)?;
        match self.expectation() {
            Some(expectation) => write!(f, "; expected {expectation}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Why a statement or condition could not be carried out on one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalError {
    /// What went wrong.
    pub message: Cow<'static, str>,
    /// The byte of the text at which the guilty part starts.
    pub start: usize,
    /// The byte after it.
    pub end: usize,
    /// The line of `start`, from 1.
    pub line: usize,
    /// The character in that line, from 1.
    pub column: usize,
}

impl EvalError {
    pub(crate) fn new(text: &str, fault: Fault) -> Self {
        let (start, end) = (fault.start as usize, fault.end as usize);
        let (line, column) = position(text, start);
        Self { message: fault.message, start, end, line, column }
    }

    /// The guilty line with a mark under the spot. `text` is the statement's or condition's.
    pub fn caret(&self, text: &str) -> String {
        mark(text, self.start, self.end, &self.message)
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error at line {}, col {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for EvalError {}

/// An evaluation's error before it is looked up where in the text it is: small, for it is in every
/// result.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) message: Cow<'static, str>,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// Line and character of a byte, both from 1.
fn position(text: &str, start: usize) -> (usize, usize) {
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The line that holds `start`, cut to what a terminal shows, and marks under the guilty part.
fn mark(text: &str, start: usize, end: usize, note: &str) -> String {
    let (line, column) = position(text, start);
    let line = text.lines().nth(line - 1).unwrap_or_default();
    let characters: Vec<char> =
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let spot = (column - 1).min(characters.len());
    let from = spot.saturating_sub(SHOWN_CHARACTERS_MAX);
    let to = (spot + SHOWN_CHARACTERS_MAX).min(characters.len());
    let guilty = text.get(start..end).unwrap_or_default();
    let width = guilty.lines().next().unwrap_or_default().chars().count();
    let left = if from > 0 { "…" } else { "" };
    let right = if to < characters.len() { "…" } else { "" };
    let shown: String = characters[from..to].iter().collect();
    let indent = " ".repeat(spot - from + usize::from(from > 0));
    let marks = "^".repeat(width.clamp(1, (to - spot).max(1)));
    format!("{left}{shown}{right}\n{indent}{marks} {note}")
}
