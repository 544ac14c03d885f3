//! What is wrong with a configuration, where, and what to write instead.

mod json;
mod render;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::node::Node;
use crate::secret::written;
use crate::source::{Source, SourceId, Sources, Span, boundary_before};

/// The most diagnostics that are kept. More help nobody.
const DIAGNOSTICS_MAX: usize = 1000;

/// The most bytes of a message, a label or a note: keys and texts in them may be of any length.
const TEXT_BYTES_MAX: usize = 4096;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be run.
    Error,
    /// It can, and does perhaps not what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word before the message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A place and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub at: Span,
    /// What stands beside the caret; may be empty.
    pub text: String,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in the Collector's words where it has some.
    pub message: String,
    /// The guilty place, and other places that explain it.
    pub labels: Vec<Label>,
    /// Facts that explain it.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// Whether the lines of its places are left out, because there is a secret in them.
    pub(crate) hides_lines: bool,
}

impl Diagnostic {
    fn new(severity: Severity, message: String) -> Self {
        Self {
            severity,
            message: cut(message),
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
            hides_lines: false,
        }
    }

    /// Something without which nothing can run.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// Something that is perhaps not meant so.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message.into())
    }

    /// Something worth knowing.
    pub fn remark(message: impl Into<String>) -> Self {
        Self::new(Severity::Note, message.into())
    }

    /// Names a place. The first is the guilty one.
    pub fn at(mut self, at: Span, label: impl Into<String>) -> Self {
        self.labels.push(Label { at, text: cut(label.into()) });
        self
    }

    /// Names the place of a value, and how the value came there.
    pub fn at_node(self, node: &Node, label: impl Into<String>) -> Self {
        self.at(node.at, label).via(node)
    }

    /// Says how a value came to where it is, if not by being written there.
    pub fn via(mut self, node: &Node) -> Self {
        let Some(via) = &node.via else {
            return self;
        };
        if let Some(at) = via.at {
            self = self.at(at, "included here");
        }
        if !via.note.is_empty() {
            self.notes.push(via.note.clone());
        }
        self
    }

    /// Leaves out the lines of its places.
    pub(crate) fn without_lines(mut self) -> Self {
        self.hides_lines = true;
        self
    }

    /// Adds a fact.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(cut(note.into()));
        self
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(cut(help.into()));
        self
    }

    /// Says what to do, if there is something.
    pub(crate) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.map(cut).or(self.help);
        self
    }

    fn place(&self) -> Option<(SourceId, usize)> {
        self.labels.first().map(|label| (label.at.source, label.at.start))
    }
}

/// A text that is not too long.
fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(boundary_before(&text, TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

/// Places of secrets, which no line shows: in which source, from which byte to which.
type Hidden = BTreeSet<(SourceId, usize, usize)>;

/// What was found wrong with one configuration, and the texts that it was found in.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    pub(crate) sources: Sources,
    all: Vec<Diagnostic>,
    left_out: usize,
    secrets: BTreeSet<Vec<Arc<str>>>,
    texts: BTreeSet<Vec<Arc<str>>>,
    hidden: Hidden,
}

impl Diagnostics {
    /// None yet, about these texts.
    pub(crate) fn of(sources: Sources) -> Self {
        Self { sources, ..Self::default() }
    }

    /// Adds one, unless it is there already.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.is_full() {
            self.left_out += 1;
        } else if !self.all.contains(&diagnostic) {
            self.all.push(diagnostic);
        }
    }

    /// Whether the configuration cannot be run.
    pub fn has_errors(&self) -> bool {
        self.left_out > 0 || self.all.iter().any(|one| one.severity == Severity::Error)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether further ones would only be counted, so that it is no use to make them.
    pub(crate) fn is_full(&self) -> bool {
        self.all.len() >= DIAGNOSTICS_MAX
    }

    /// Counts one that was not made.
    pub(crate) fn leave_out(&mut self) {
        self.left_out += 1;
    }

    /// Those with a place in the order of the sources, after those without.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.all.iter().collect();
        sorted.sort_by_key(|one| one.place());
        sorted.into_iter()
    }

    /// All of them as a compiler prints them; `with_colours` for a terminal that has some.
    pub fn render(&self, with_colours: bool) -> String {
        let mut out = String::new();
        for diagnostic in self.iter() {
            render::render(&mut out, (&self.sources, &self.hidden), diagnostic, with_colours);
            out.push('\n');
        }
        if self.left_out > 0 {
            out.push_str(&format!("error: {} more were left out\n", self.left_out));
        }
        out
    }

    /// All of them, a JSON object a line.
    pub fn json_lines(&self) -> String {
        self.iter().map(|one| json::line(&self.sources, one)).collect()
    }

    /// The texts that places are in.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Keeps a text.
    pub(crate) fn add_source(&mut self, name: &str, text: &str, hidden: bool) -> SourceId {
        let source = self.sources.add(Source { name: name.into(), text: text.into(), hidden });
        // Also where it turns out to be no YAML.
        self.hidden.extend(written(text).into_iter().map(|at| (source, at.start, at.end)));
        source
    }

    /// Remembers that the value at a path of keys is not to be printed.
    pub(crate) fn mark_secret(&mut self, path: Vec<Arc<str>>) {
        self.secrets.insert(path);
    }

    /// Remembers that what a reference expanded to at a path of keys was read as text, although it
    /// is a number by its looks.
    pub(crate) fn mark_text(&mut self, path: Vec<Arc<str>>) {
        self.texts.insert(path);
    }

    pub(crate) fn is_text(&self, path: &[Arc<str>]) -> bool {
        self.texts.contains(path)
    }

    /// Lines are shown without what stands at a place.
    pub(crate) fn hide(&mut self, at: Span) {
        self.hidden.insert((at.source, at.start, at.end));
    }

    /// Whether what stands at a place is a secret, which nothing may repeat.
    pub(crate) fn is_hidden(&self, at: Span) -> bool {
        self.hidden.contains(&(at.source, at.start, at.end))
    }

    pub(crate) fn is_secret(&self, path: &[Arc<str>]) -> bool {
        self.secrets.contains(path)
    }
}
