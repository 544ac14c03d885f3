//! What was imported, and what was wrong, grouped by reason.

use std::fmt;

use crate::text::{clean, count, counted, cut};

/// Reasons that are told apart; more than a person reads.
const REASONS_MAX: usize = 20;
const REASON_COLUMNS_MAX: usize = 160;

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Where in it, decompressed.
    pub position: Position,
}

/// Where in a file something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The file as a whole.
    File,
    /// In a text, from 1.
    Text {
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// In bytes.
    Byte(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", clean(&self.file))?;
        match self.position {
            Position::File => Ok(()),
            Position::Text { line, column } => write!(f, ":{line}:{column}"),
            Position::Byte(byte) => write!(f, ", byte {byte}"),
        }
    }
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A document that could not be read; counts documents.
    Document,
    /// Spans that are invalid; counts spans.
    Invalid,
    /// Spans that the server left out; counts spans.
    Rejected,
    /// Spans in requests that the server refused; counts spans.
    Refused,
}

#[derive(Debug)]
struct Group {
    trouble: Trouble,
    reason: String,
    count: u64,
    first: String,
}

/// Counts.
#[derive(Debug, Default)]
pub struct Report {
    /// Spans that the server has.
    pub imported: u64,
    groups: Vec<Group>,
}

impl Report {
    /// Counts trouble; `detail` says more about the first of a kind.
    pub fn add(&mut self, trouble: Trouble, count: u64, reason: &str, place: &Place, detail: &str) {
        if count == 0 {
            return;
        }
        let mut reason = cut(&clean(reason), REASON_COLUMNS_MAX, "…");
        let same =
            |group: &&mut Group, reason: &str| group.trouble == trouble && group.reason == reason;
        if let Some(group) = self.groups.iter_mut().find(|group| same(group, &reason)) {
            group.count += count;
            return;
        }
        if self.groups.len() >= REASONS_MAX {
            "other reasons".clone_into(&mut reason);
            if let Some(group) = self.groups.iter_mut().find(|group| same(group, &reason)) {
                group.count += count;
                return;
            }
        }
        let gap = if detail.is_empty() { "" } else { " " };
        let first = format!("{place}{gap}{}", clean(detail));
        self.groups.push(Group { trouble, reason, count, first });
    }

    /// Adds what another report counted.
    pub fn merge(&mut self, other: Self) {
        self.imported += other.imported;
        self.groups.extend(other.groups);
    }

    /// True when nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.groups.is_empty()
    }

    fn count(&self, trouble: Trouble) -> u64 {
        self.groups.iter().filter(|group| group.trouble == trouble).map(|group| group.count).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (trouble, noun, what) in [
            (Trouble::Document, "document", "could not be read"),
            (Trouble::Invalid, "span", "left out as invalid"),
            (Trouble::Rejected, "span", "rejected by the server"),
            (Trouble::Refused, "span", "refused by the server"),
        ] {
            let total = self.count(trouble);
            if total == 0 {
                continue;
            }
            writeln!(f, "{} {what}:", counted(total, noun))?;
            let mut groups: Vec<&Group> =
                self.groups.iter().filter(|group| group.trouble == trouble).collect();
            groups.sort_by_key(|group| std::cmp::Reverse(group.count));
            for group in groups {
                let reason =
                    if group.reason.is_empty() { "no reason given" } else { &group.reason };
                writeln!(f, "{:>9}  {reason}", count(group.count))?;
                let first = if group.count > 1 { "first at" } else { "at" };
                writeln!(f, "{:>9}  {first} {}", "", group.first)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_by_reason() {
        let at = |line| Place {
            file: "a.jsonl".to_owned(),
            position: Position::Text { line, column: 7 },
        };
        let mut report = Report::default();
        report.add(Trouble::Document, 1, "expected a comma", &at(3), "resourceSpans[0]");
        report.add(Trouble::Document, 1, "this string has no end", &at(4), "");
        report.add(Trouble::Document, 1, "expected a comma", &at(5), "resourceSpans[1]");
        report.add(Trouble::Invalid, 1234, "a span's trace id has 8 bytes", &at(9), "");
        report.add(Trouble::Refused, 0, "nothing", &at(9), "");
        assert_eq!(
            report.to_string(),
            "3 documents could not be read:\n\
             \x20       2  expected a comma\n\
             \x20          first at a.jsonl:3:7 resourceSpans[0]\n\
             \x20       1  this string has no end\n\
             \x20          at a.jsonl:4:7\n\
             1,234 spans left out as invalid:\n\
             \x20   1,234  a span's trace id has 8 bytes\n\
             \x20          first at a.jsonl:9:7\n"
        );
    }

    #[test]
    fn reasons_are_bounded() {
        let place = Place { file: "x".to_owned(), position: Position::Byte(0) };
        let mut report = Report::default();
        for number in 0..1000 {
            report.add(Trouble::Document, 1, &format!("reason {number}"), &place, "");
        }
        assert_eq!(report.groups.len(), REASONS_MAX + 1);
        assert_eq!(report.count(Trouble::Document), 1000);
    }
}
