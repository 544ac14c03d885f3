//! `${…}` in values, as the Collector expands them.
//!
//! A text is rewritten, innermost reference first, until there is nothing left to expand: also
//! what a reference expanded to may have references. A text that is one reference takes the type
//! of what it expands to; in the end `$$` becomes `$`. Keys are left as they are.

use std::collections::HashMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Entry, Map, Node, Value, Via};
use crate::reference::{self, Asked};
use crate::source::{Outside, SourceId, Span};
use crate::yaml::{self, DEPTH_MAX, NODES_MAX, Place};

/// The most references in a value as it is written.
pub const REFERENCES_MAX: usize = 100;
/// The most times that a value is rewritten.
pub const REWRITES_MAX: usize = 1000;
/// The most bytes that all rewriting of a configuration may produce.
pub const EXPANDED_BYTES_MAX: usize = 64 << 20;

/// Expands every value. Values that cannot be expanded are reported and become null.
pub(crate) fn expand(root: Node, outside: &dyn Outside, diagnostics: &mut Diagnostics) -> Node {
    let mut expander = Expander {
        outside,
        diagnostics,
        files: HashMap::new(),
        nodes: 0,
        bytes: 0,
        is_quiet: false,
        is_full: false,
    };
    expander.node(root, 0, None)
}

struct Expander<'a> {
    outside: &'a dyn Outside,
    diagnostics: &'a mut Diagnostics,
    /// Files that were included already, and whether their text may not be shown.
    files: HashMap<(String, bool), SourceId>,
    nodes: usize,
    bytes: usize,
    /// Whether a value is expanded once more for its text, and has been reported on.
    is_quiet: bool,
    /// Whether a bound of the whole configuration was reached and reported.
    is_full: bool,
}

/// What became of a text.
enum Expanded {
    /// Nothing was to be done.
    AsWritten,
    /// Text, and whether all of it comes from a reference, so that it has no type of its own.
    Text { text: String, is_whole: bool, facts: Facts },
    /// A value of another type, and the text that it was read from.
    Value { node: Node, text: String, facts: Facts },
    /// It cannot be expanded; this is reported.
    Failed,
}

/// What happened on the way, for a note.
#[derive(Default, Clone)]
struct Facts {
    notes: Vec<String>,
}

impl Expander<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        if !self.is_quiet {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Expands a value that lies so deep, and came by this way.
    fn node(&mut self, mut node: Node, depth: usize, via: Option<&Arc<Via>>) -> Node {
        if node.via.is_none() {
            node.via = via.cloned();
        }
        self.nodes += 1;
        if self.is_full || self.nodes > NODES_MAX {
            self.full(node.at);
            return failed(node);
        }
        match &node.value {
            Value::String(text) => self.text(text.clone(), node, depth),
            Value::List(list) => {
                if depth >= DEPTH_MAX {
                    return self.too_deep(node);
                }
                let list = list.iter().map(|node| self.node(node.clone(), depth + 1, via));
                node.value = Value::List(Arc::new(list.collect()));
                node
            }
            Value::Map(map) => {
                if depth >= DEPTH_MAX {
                    return self.too_deep(node);
                }
                // Keys count, as they do where text is read.
                self.nodes += map.len();
                let entries = map.iter().map(|entry| Entry {
                    key: entry.key.clone(),
                    node: self.node(entry.node.clone(), depth + 1, via),
                });
                node.value = Value::Map(Arc::new(Map { entries: entries.collect() }));
                node
            }
            _ => node,
        }
    }

    fn full(&mut self, at: Span) {
        if !self.is_full {
            self.is_full = true;
            let error = Diagnostic::error("too many recursive expansions")
                .at(at, "here the configuration became too large")
                .note(format!(
                    "it may have {NODES_MAX} values, and {} MiB of expanded text",
                    EXPANDED_BYTES_MAX >> 20
                ));
            self.report(error);
        }
    }

    fn too_deep(&mut self, node: Node) -> Node {
        let error = Diagnostic::error("too many recursive expansions")
            .at(node.at, format!("lists and maps lie more than {DEPTH_MAX} deep in each other"));
        self.report(error.via(&node));
        failed(node)
    }

    fn text(&mut self, written: Arc<str>, mut node: Node, depth: usize) -> Node {
        let (at, outer) = (node.at, node.via.clone());
        let via = |facts: &Facts| match &outer {
            Some(outer) if outer.hidden => outer.clone(),
            _ => Arc::new(Via {
                written: written.clone(),
                note: facts.notes.join("\n"),
                at: outer.as_ref().and_then(|outer| outer.at),
                hidden: true,
            }),
        };
        match self.rewrite(&written, at, outer.as_ref()) {
            Expanded::AsWritten => {
                if written.contains("$$") {
                    node.value = Value::String(unescape(&written));
                }
                node
            }
            Expanded::Failed => failed(node),
            Expanded::Text { text, is_whole, facts } => {
                node.via = Some(via(&facts));
                let text = unescape(&text);
                node.value = Value::String(text.clone());
                node.plain = is_whole;
                node.loose = is_whole;
                node.text = Some(text);
                node
            }
            Expanded::Value { node: value, text, facts } => {
                let is_deep = matches!(value.value, Value::List(_) | Value::Map(_));
                // A file's own places are better, and it is a configuration like any other; what a
                // variable holds has no place and is not shown.
                let is_file = value.at != at;
                let via = Arc::new(Via {
                    written: written.clone(),
                    note: facts.notes.join("\n"),
                    at: (is_file && is_deep).then_some(at),
                    hidden: !(is_file && is_deep) || outer.as_ref().is_some_and(|via| via.hidden),
                });
                let mut value = value;
                value.via = None;
                if !is_deep {
                    value.at = at;
                }
                let mut node = self.node(value, depth, Some(&via));
                let text = if is_deep && outer.is_none() { self.quietly(text, at) } else { text };
                node.text = Some(unescape(&text));
                node.loose = true;
                node
            }
        }
    }

    /// The expanded text of a value that has been expanded, and reported on, already.
    fn quietly(&mut self, text: String, at: Span) -> String {
        let was_quiet = std::mem::replace(&mut self.is_quiet, true);
        let expanded = self.rewrite(&text, at, None);
        self.is_quiet = was_quiet;
        match expanded {
            Expanded::Text { text, .. } | Expanded::Value { text, .. } => text,
            Expanded::AsWritten | Expanded::Failed => text,
        }
    }

    /// Rewrites a text until there is nothing left to expand.
    fn rewrite(&mut self, written: &str, at: Span, outer: Option<&Arc<Via>>) -> Expanded {
        if !written.contains("${") {
            return Expanded::AsWritten;
        }
        if reference::find(written).is_none() {
            self.warn_if_open(written, at);
            return Expanded::AsWritten;
        }
        if written.matches("${").count() > REFERENCES_MAX {
            let error = format!("a value may have {REFERENCES_MAX} references at most");
            self.report(Diagnostic::error(error).at(at, "this has more"));
            return Expanded::Failed;
        }
        let mut text = written.to_owned();
        let (mut is_whole, mut facts) = (false, Facts::default());
        for rewrites in 0.. {
            let Some(range) = reference::find(&text) else {
                return Expanded::Text { text, is_whole, facts };
            };
            self.bytes = self.bytes.saturating_add(text.len());
            if self.is_full || self.bytes > EXPANDED_BYTES_MAX {
                self.full(at);
                return Expanded::Failed;
            }
            if rewrites >= REWRITES_MAX {
                let error = Diagnostic::error("too many recursive expansions")
                    .at(at, "this never comes to an end")
                    .help("a variable or file that it names names itself again");
                self.report(error);
                return Expanded::Failed;
            }
            let asked = text.get(range.clone()).unwrap_or_default().to_owned();
            let Some((found, place)) = self.retrieve(&asked, written, at, outer, &mut facts) else {
                return Expanded::Failed;
            };
            if range.len() < text.len() {
                text.replace_range(range, &found);
                continue;
            }
            is_whole = true;
            text = found;
            let (node, problem) = self.parse(&text, &place);
            if let Some(node) = node {
                return Expanded::Value { node, text, facts };
            }
            if matches!(place, Place::In { .. }) {
                facts.notes.extend(problem.map(|why| format!("its content is not YAML: {why}")));
            }
        }
        Expanded::Failed
    }

    /// `${` without `}` stays as it is, which is hardly meant.
    fn warn_if_open(&mut self, written: &str, at: Span) {
        let is_open = written.rfind("${").is_some_and(|open| {
            let before = written.get(..open).unwrap_or_default();
            let dollars = before.len() - before.trim_end_matches('$').len();
            dollars % 2 == 0 && !written.get(open..).unwrap_or_default().contains('}')
        });
        if is_open {
            let warning = Diagnostic::warning("this `${` has no `}` and stays as it is")
                .at(at, "nothing is expanded here")
                .help("write `$${` if it is meant so");
            self.report(warning);
        }
    }

    /// The text that one reference stands for, and where it is; nothing, and a report, if it
    /// cannot be had.
    fn retrieve(
        &mut self,
        asked: &str,
        written: &str,
        at: Span,
        outer: Option<&Arc<Via>>,
        facts: &mut Facts,
    ) -> Option<(String, Place)> {
        // What a variable holds may name further references, and is not shown.
        let is_written = written.contains(asked) && outer.is_none_or(|via| !via.hidden);
        let place = if is_written { self.narrow(at, asked) } else { at };
        // What a reference that is all of the value becomes; elsewhere it leaves a gap.
        let empty = if asked == written { "it becomes null" } else { "nothing stands for it" };
        let name = if is_written { asked } else { "a reference in what it expanded to" };
        let inside = asked.get(2..asked.len() - 1).unwrap_or_default();
        match reference::parse(inside) {
            Asked::Wrong { message, help } => {
                let message = match is_written {
                    true => message,
                    false => "a reference expanded to one that cannot be read".to_owned(),
                };
                let error = Diagnostic::error(message).at(place, "in this reference");
                self.report(error.maybe_help(help.filter(|_| is_written)));
                None
            }
            Asked::Variable { name: variable, default } => {
                let text = match (self.outside.variable(variable), default) {
                    (Some(text), _) if text.is_empty() => {
                        let remark =
                            "Configuration references empty environment variable".to_owned();
                        let remark = Diagnostic::remark(remark)
                            .at(place, format!("this is set, and empty: {empty}"));
                        self.report(match default.is_some() {
                            true => {
                                remark.note("a default counts only where the variable is unset")
                            }
                            false => remark,
                        });
                        facts.notes.push(format!("{name} is empty"));
                        text
                    }
                    (Some(text), _) => {
                        let length = text.chars().count();
                        facts.notes.push(format!("{name} expanded to {length} characters"));
                        text
                    }
                    (None, Some(default)) => {
                        facts.notes.push(format!("{name} is not set: its default counts"));
                        default.to_owned()
                    }
                    (None, None) => {
                        let warning = "Configuration references unset environment variable";
                        let mut warning = Diagnostic::warning(warning)
                            .at(place, format!("this is not set: {empty}"));
                        if is_written {
                            let help = format!("a default is written ${{env:{variable}:-default}}");
                            warning = warning.help(help);
                        }
                        self.report(warning);
                        facts.notes.push(format!("{name} is not set"));
                        String::new()
                    }
                };
                Some((text, Place::At(at)))
            }
            Asked::Yaml(text) => {
                facts.notes.push(format!("{name} is text that was read as YAML"));
                Some((text.to_owned(), Place::At(at)))
            }
            Asked::File(path) => {
                let text = match self.outside.read(path).map(String::from_utf8) {
                    Ok(Ok(text)) => text,
                    Ok(Err(_)) => {
                        self.report(
                            Diagnostic::error("a file that is to be included is not UTF-8")
                                .at(place, "of this reference"),
                        );
                        return None;
                    }
                    Err(error) => {
                        let error = match is_written {
                            true => format!("unable to read the file {path:?}: {error}"),
                            false => format!("unable to read a file: {error}"),
                        };
                        self.report(Diagnostic::error(error).at(place, "named here"));
                        return None;
                    }
                };
                self.bytes = self.bytes.saturating_add(text.len());
                if self.bytes > EXPANDED_BYTES_MAX {
                    self.full(at);
                    return None;
                }
                let length = text.chars().count();
                facts.notes.push(format!("{name} expanded to {length} characters"));
                let hidden = outer.is_some_and(|via| via.hidden);
                let known = self.files.get(&(path.to_owned(), hidden)).copied();
                let source = known.filter(|known| {
                    let before = self.diagnostics.sources.get(*known);
                    before.is_some_and(|before| *before.text == text)
                });
                let source = source.unwrap_or_else(|| {
                    let source = self.diagnostics.add_source(path, &text, hidden);
                    self.files.insert((path.to_owned(), hidden), source);
                    source
                });
                Some((text, Place::In { source, start: 0 }))
            }
        }
    }

    /// The text as YAML, unless it is not, or is a text in YAML, too. And why it is not, with the
    /// place in the source that it has.
    fn parse(&mut self, text: &str, place: &Place) -> (Option<Node>, Option<String>) {
        let sources = std::mem::take(&mut self.diagnostics.sources);
        let mut scratch = Diagnostics::of(sources);
        let node = yaml::read(text, place, None, &mut scratch);
        let is_value = |node: &Node| !matches!(node.value, Value::String(_));
        let node = node.filter(|node| is_value(node) && !scratch.has_errors());
        let problem = scratch.iter().next().filter(|_| scratch.has_errors()).map(|problem| {
            let place = problem.labels.first().map(|label| label.at);
            let place = place.map(|at| format!(" at line {}, column {}", at.line, at.column));
            format!("{}{}", problem.message, place.unwrap_or_default())
        });
        self.diagnostics.sources = scratch.sources;
        (node, problem)
    }

    /// The place of a reference inside of the text that has it, where the text is as it was written.
    fn narrow(&self, at: Span, asked: &str) -> Span {
        let found = self.diagnostics.sources.slice(at).find(asked);
        match found {
            Some(offset) => {
                let start = at.start + offset;
                self.diagnostics.sources.span(at.source, start, start + asked.len())
            }
            None => at,
        }
    }
}

/// Null, without another word about it.
fn failed(mut node: Node) -> Node {
    node.value = Value::Null;
    node.text = None;
    node.loose = false;
    node.broken = true;
    node
}

fn unescape(text: &str) -> Arc<str> {
    text.replace("$$", "$").into()
}
