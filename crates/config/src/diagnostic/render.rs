//! A diagnostic as rustc would print it.

use std::fmt::Write;
use std::ops::Range;

use unicode_width::UnicodeWidthChar;

use super::{Diagnostic, Hidden, Label, Severity};
use crate::source::{Source, SourceId, Sources, boundary_before};

/// The most columns of a line that are shown.
const SHOWN_COLUMNS_MAX: usize = 110;
/// How many of them stand before the caret where the line is cut on the left.
const BEFORE_CARET_COLUMNS: usize = 40;
/// The most columns of a caret's line that are underlined.
const CARETS_MAX: usize = SHOWN_COLUMNS_MAX - BEFORE_CARET_COLUMNS;
/// The most bytes on either side of a place that are looked at: a line may be the whole text.
const NEAR_BYTES_MAX: usize = 1024;
/// What a tab becomes: wide enough to be seen, the same for every column.
const TAB: &str = "    ";

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BLUE: &str = "\x1b[1;34m";
const GREEN: &str = "\x1b[1;32m";
const RESET: &str = "\x1b[0m";

struct Page<'a> {
    out: &'a mut String,
    with_colours: bool,
    hidden: &'a Hidden,
    /// Columns of the line numbers.
    margin: usize,
}

/// Writes one diagnostic, with a line break at its end. Of the sources no line shows the places that
/// come with them.
pub(super) fn render(
    out: &mut String,
    (sources, hidden): (&Sources, &Hidden),
    diagnostic: &Diagnostic,
    with_colours: bool,
) {
    let margin = diagnostic.labels.iter().map(|label| label.at.line.to_string().len()).max();
    let mut page = Page { out, with_colours, hidden, margin: margin.unwrap_or(0) };
    let colour = match diagnostic.severity {
        Severity::Error => RED,
        Severity::Warning => YELLOW,
        Severity::Note => GREEN,
    };
    page.paint(colour, diagnostic.severity.name());
    page.paint(BOLD, &format!(": {}", visible(&diagnostic.message)));
    page.out.push('\n');
    let mut seen: Vec<SourceId> = Vec::new();
    for label in &diagnostic.labels {
        if !seen.contains(&label.at.source) {
            page.source(sources, diagnostic, label, colour, seen.is_empty());
            seen.push(label.at.source);
        }
    }
    let hidden = seen.iter().filter_map(|id| sources.get(*id)).find(|source| source.hidden);
    let hidden = hidden.map(|source| {
        format!("the text of {} is not shown: it is an environment variable's value", source.name)
    });
    let notes = diagnostic.notes.iter().chain(hidden.as_ref()).map(|note| ("note", note));
    let remarks: Vec<_> = notes.chain(diagnostic.help.iter().map(|help| ("help", help))).collect();
    if !remarks.is_empty() && !diagnostic.labels.is_empty() {
        page.gutter(None, "|");
        page.out.push('\n');
    }
    for (kind, text) in remarks {
        page.gutter(None, "=");
        page.paint(BOLD, &format!(" {kind}"));
        let indent = format!("\n{:1$}", "", page.margin + kind.len() + 5);
        let _ = writeln!(page.out, ": {}", visible(text).replace('\n', &indent));
    }
}

impl Page<'_> {
    fn paint(&mut self, colour: &str, text: &str) {
        if self.with_colours {
            let _ = write!(self.out, "{colour}{text}{RESET}");
        } else {
            self.out.push_str(text);
        }
    }

    fn gutter(&mut self, line: Option<usize>, sign: &str) {
        let number = line.map(|line| line.to_string()).unwrap_or_default();
        self.paint(BLUE, &format!("{number:>0$} {sign}", self.margin));
    }

    /// All labels that are in one source, in the order of its lines.
    fn source(
        &mut self,
        sources: &Sources,
        diagnostic: &Diagnostic,
        first: &Label,
        colour: &str,
        is_first_source: bool,
    ) {
        let Some(source) = sources.get(first.at.source) else {
            return;
        };
        let arrow = if is_first_source { "-->" } else { ":::" };
        self.paint(BLUE, &format!("{:1$}{arrow}", "", self.margin));
        let _ =
            writeln!(self.out, " {}:{}:{}", visible(&source.name), first.at.line, first.at.column);
        if source.hidden || diagnostic.hides_lines {
            return;
        }
        let mut labels: Vec<(&Label, bool)> = diagnostic
            .labels
            .iter()
            .enumerate()
            .filter(|(_, label)| label.at.source == first.at.source)
            .map(|(index, label)| (label, index == 0))
            .collect();
        labels.sort_by_key(|(label, _)| (label.at.line, std::cmp::Reverse(label.at.column)));
        self.gutter(None, "|");
        self.out.push('\n');
        let mut last = None;
        for group in labels.chunk_by(|(left, _), (right, _)| left.at.line == right.at.line) {
            let Some((label, _)) = group.first() else {
                continue;
            };
            if last.is_some_and(|last| label.at.line > last + 1) {
                self.paint(BLUE, "...");
                self.out.push('\n');
            }
            last = Some(label.at.line);
            self.line(source, group, colour);
        }
    }

    /// A line and the marks under it.
    fn line(&mut self, source: &Source, labels: &[(&Label, bool)], colour: &str) {
        let Some((first, _)) = labels.iter().find(|(_, is_guilty)| *is_guilty).or(labels.first())
        else {
            return;
        };
        let mut line = Line::at(&source.text, first.at.start);
        let secrets = self.hidden.iter().filter(|(source, ..)| *source == first.at.source);
        secrets.for_each(|(_, start, end)| line.hide(*start..*end));
        let window = line.window(first);
        self.gutter(Some(first.at.line), "|");
        let blank = if window.text.is_empty() { "" } else { " " };
        let _ = writeln!(self.out, "{blank}{}", window.text);
        for (label, is_guilty) in labels {
            let (from, width) = line.columns(label);
            let last = window.to.saturating_sub(1).max(window.from);
            let from = from.clamp(window.from, last.max(window.from));
            let width = width.clamp(1, (window.to.max(from + 1) - from).min(CARETS_MAX));
            self.gutter(None, "|");
            let indent = from - window.from + window.shift;
            let _ = write!(self.out, " {:indent$}", "");
            let mark = if *is_guilty { "^" } else { "-" };
            let text = visible(&label.text);
            let blank = if text.is_empty() { "" } else { " " };
            let marks = format!("{}{blank}{text}", mark.repeat(width));
            self.paint(if *is_guilty { colour } else { BLUE }, &marks);
            self.out.push('\n');
        }
    }
}

/// As much of a line as may be shown.
struct Line {
    start: usize,
    end: usize,
    /// Each character: its byte in the source, what is shown for it, and how wide that is.
    shown: Vec<(usize, Shown, usize)>,
    /// Whether there is more of the line before and after that.
    is_cut: (bool, bool),
}

enum Shown {
    Tab,
    Character(char),
}

struct Window {
    text: String,
    /// The columns of the line that are shown.
    from: usize,
    to: usize,
    /// Columns that the mark of the cut takes.
    shift: usize,
}

impl Line {
    /// The line that a byte is in, as far as it is near the byte.
    fn at(text: &str, byte: usize) -> Self {
        let byte = boundary_before(text, byte);
        let (before, after) = text.split_at_checked(byte).unwrap_or((text, ""));
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let near = after.get(..boundary_before(after, NEAR_BYTES_MAX)).unwrap_or_default();
        let line_end = near.find('\n').map_or(byte + near.len(), |at| byte + at);
        let start = line_start.max(boundary_before(text, byte.saturating_sub(NEAR_BYTES_MAX)));
        let line = text.get(start..line_end).unwrap_or_default();
        let is_cut = (start > line_start, near.len() < after.len() && !near.contains('\n'));
        let line = if is_cut.1 { line } else { line.trim_end_matches('\r') };
        let shown = line.char_indices().map(|(at, letter)| {
            let letter = if is_unsafe(letter) && letter != '\t' { '\u{fffd}' } else { letter };
            match letter {
                '\t' => (start + at, Shown::Tab, TAB.len()),
                letter => (start + at, Shown::Character(letter), letter.width().unwrap_or(1)),
            }
        });
        Self { start, end: start + line.len(), shown: shown.collect(), is_cut }
    }

    /// What stands at a place is a secret.
    fn hide(&mut self, secret: Range<usize>) {
        for (at, shown, width) in &mut self.shown {
            if secret.contains(at) {
                (*shown, *width) = (Shown::Character('*'), 1);
            }
        }
    }

    /// The first column of a label and how many columns it covers in this line.
    fn columns(&self, label: &Label) -> (usize, usize) {
        let start = label.at.start.clamp(self.start, self.end);
        let end = label.at.end.clamp(start, self.end);
        let width = |from: usize, to: usize| -> usize {
            let inside = self.shown.iter().filter(|(at, ..)| (from..to).contains(at));
            inside.map(|(_, _, width)| width).sum()
        };
        (width(self.start, start), width(start, end))
    }

    /// As much of the line around a label as fits.
    fn window(&self, label: &Label) -> Window {
        let total: usize = self.shown.iter().map(|(_, _, width)| width).sum();
        let (caret, _) = self.columns(label);
        let fits = total <= SHOWN_COLUMNS_MAX && self.is_cut == (false, false);
        let from = if fits { 0 } else { caret.saturating_sub(BEFORE_CARET_COLUMNS) };
        let (mut text, mut column, mut first, mut to) = (String::new(), 0, None, from);
        for (_, shown, width) in &self.shown {
            if column >= from && column + width <= from + SHOWN_COLUMNS_MAX {
                first.get_or_insert(column);
                match shown {
                    Shown::Tab => text.push_str(TAB),
                    Shown::Character(letter) => text.push(*letter),
                }
                to = column + width;
            }
            column += width;
        }
        let from = first.unwrap_or(from);
        let shift = usize::from(from > 0 || self.is_cut.0);
        if shift > 0 {
            text.insert(0, '…');
        }
        if to < total || self.is_cut.1 {
            text.push('…');
        }
        // The caret of an empty place after the last character stands behind it.
        let to = if to >= total { to + 1 } else { to };
        Window { text: text.trim_end().to_owned(), from, to, shift }
    }
}

/// Characters that would move the cursor or turn the text around.
fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Foreign text without what a terminal would obey.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_unsafe(letter) && letter != '\n' {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}
