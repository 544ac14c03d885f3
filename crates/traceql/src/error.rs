//! What is wrong with a query, and where.

use std::fmt;

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is not of the language.
    Parse,
    /// It is, and means nothing: types that do not go together, a limit, an invalid pattern.
    Validation,
    /// It means something that Spanfall does not do.
    Unsupported,
}

/// Why a text is no query.
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
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            kind,
            message: message.into(),
            start,
            end,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            expected: Vec::new(),
        }
    }

    /// The guilty line with a mark under the spot, for a terminal. `text` is the query that the
    /// error is about.
    pub fn caret(&self, text: &str) -> String {
        let line = text.lines().nth(self.line - 1).unwrap_or_default();
        let characters: Vec<char> =
            line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let spot = (self.column - 1).min(characters.len());
        let from = spot.saturating_sub(SHOWN_CHARACTERS_MAX);
        let to = (spot + SHOWN_CHARACTERS_MAX).min(characters.len());
        let guilty = text.get(self.start..self.end).unwrap_or_default();
        let width = guilty.lines().next().unwrap_or_default().chars().count();
        let (left, right) =
            (if from > 0 { "…" } else { "" }, if to < characters.len() { "…" } else { "" });
        let shown: String = characters[from..to].iter().collect();
        let indent = " ".repeat(spot - from + usize::from(from > 0));
        let marks = "^".repeat(width.clamp(1, (to - spot).max(1)));
        let note = match self.expectation() {
            Some(expectation) => format!("expected {expectation}"),
            None => self.message.clone(),
        };
        format!("{left}{shown}{right}\n{indent}{marks} {note}")
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
            ErrorKind::Validation => "invalid query",
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
