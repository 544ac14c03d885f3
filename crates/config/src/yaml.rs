//! Text to nodes with places.
//!
//! Syntax is the parser's; types, duplicate keys, merge keys, aliases and every bound are ours.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Entry, Key, Map, Node, Value, Via};
use crate::scalar;
use crate::source::{SourceId, Span};

/// How deep lists and maps may lie in each other, references and aliases followed.
pub const DEPTH_MAX: usize = 128;
/// The most values of a text, those that aliases repeat counted each time.
pub const NODES_MAX: usize = 250_000;

/// Where the nodes of a text are.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In a source, from a byte on.
    In { source: SourceId, start: usize },
    /// All at one place: the text is what a reference expanded to.
    At(Span),
}

/// Reads the first document of a text; nothing if it is not YAML, which is then reported.
///
/// `via` says of every value how it came, if not by being written where it is.
pub(crate) fn read(
    text: &str,
    place: &Place,
    via: Option<&Arc<Via>>,
    diagnostics: &mut Diagnostics,
) -> Option<Node> {
    let base = match place {
        Place::In { source, start } => diagnostics.sources.span(*source, *start, *start),
        Place::At(span) => *span,
    };
    let is_fixed = matches!(place, Place::At(_));
    let mut builder = Builder {
        base,
        is_fixed,
        via: via.cloned(),
        diagnostics,
        stack: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
    };
    match builder.document(text) {
        Ok(()) => builder.root.or_else(|| Some(Node::new(Value::Null, base))),
        Err(problem) => {
            let problem = match &builder.via {
                Some(via) if !via.note.is_empty() => problem.note(via.note.clone()),
                _ => problem,
            };
            builder.diagnostics.push(problem);
            None
        }
    }
}

struct Builder<'a> {
    base: Span,
    is_fixed: bool,
    via: Option<Arc<Via>>,
    diagnostics: &'a mut Diagnostics,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    root: Option<Node>,
}

/// A list or map that is not closed yet.
struct Frame {
    at: Span,
    anchor: usize,
    nodes_before: usize,
    /// The levels of what is in it.
    depth: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<Arc<str>, Span>, key: Next, merged: Vec<Node> },
}

/// What the next value in a map is.
enum Next {
    Key,
    ValueOf(Key),
    Merged,
    /// Of a key that is there already.
    LeftOut,
}

struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

impl Builder<'_> {
    fn document(&mut self, text: &str) -> Result<(), Diagnostic> {
        let options = granit_parser::options! {
            flow_nesting_limit: DEPTH_MAX,
            block_nesting_limit: DEPTH_MAX,
        };
        let mut is_over = false;
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = match event {
                // Like the Collector, which reads the first document alone.
                Err(_) if is_over => break,
                Err(error) => return Err(self.syntax(&error, text)),
                Ok(event) => event,
            };
            let at = self.span(span.start, span.end);
            match event {
                Event::DocumentStart(..) if is_over => {
                    let warning = Diagnostic::warning("only the first YAML document is read")
                        .at(at, "what follows is ignored")
                        .help("give each document a file of its own and a --config of its own");
                    self.diagnostics.push(warning);
                    break;
                }
                Event::DocumentEnd => is_over = true,
                Event::Scalar(text, style, anchor, tag) => {
                    let node = self.scalar(&text, style, tag.as_deref(), at)?;
                    let is_plain = style == ScalarStyle::Plain;
                    self.add(node, anchor, 1, 0, is_plain)?;
                }
                Event::Alias(id) => self.alias(id, at)?,
                Event::SequenceStart(_, anchor, tag) => {
                    self.warn_of_tag(tag.as_deref(), "seq", at);
                    self.open(at, anchor, Kind::List(Vec::new()))?;
                }
                Event::MappingStart(_, anchor, tag) => {
                    self.warn_of_tag(tag.as_deref(), "map", at);
                    let kind = Kind::Map {
                        entries: Vec::new(),
                        seen: HashMap::new(),
                        key: Next::Key,
                        merged: Vec::new(),
                    };
                    self.open(at, anchor, kind)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(at)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn span(&self, start: Marker, end: Marker) -> Span {
        if self.is_fixed {
            return self.base;
        }
        let base = self.base;
        let is_first_line = start.line() <= 1;
        let from = base.start + start.byte_offset().unwrap_or(0);
        Span {
            source: base.source,
            start: from,
            end: (base.start + end.byte_offset().unwrap_or(0)).max(from),
            line: base.line + start.line().saturating_sub(1),
            column: if is_first_line { base.column + start.col() } else { start.col() + 1 },
        }
    }

    /// The parser's error in our words.
    fn syntax(&self, error: &ScanError, text: &str) -> Diagnostic {
        let mark = *error.marker();
        let mut at = self.span(mark, mark);
        if !self.is_fixed {
            let mut offset = mark.byte_offset().unwrap_or(0);
            if is_about_tabs(error.kind()) {
                // The mark stands behind them.
                let before = text.get(..offset).unwrap_or_default();
                let tabs = before.len() - before.trim_end_matches('\t').len();
                offset -= tabs;
                at.start -= tabs;
                at.column = at.column.saturating_sub(tabs).max(1);
            }
            let letter = text.get(offset..).and_then(|rest| rest.chars().next());
            at.end = at.start + letter.filter(|letter| *letter != '\n').map_or(0, char::len_utf8);
        }
        let before = text.get(..mark.byte_offset().unwrap_or(0)).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let help = match error.kind() {
            ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator
                if line.contains("${") || line.ends_with('$') =>
            {
                Some(
                    "inside of `{…}` and `[…]` a reference has to stand in quotes: \"${env:NAME}\"",
                )
            }
            ErrorKind::RecursionLimitExceeded => return too_deep(at),
            kind if is_about_tabs(kind) => Some("YAML is indented with spaces, never with tabs"),
            ErrorKind::InvalidIndentation
            | ErrorKind::ExpectedBlockMappingKey
            | ErrorKind::InvalidSimpleKey
            | ErrorKind::SimpleKeyExpected => Some(
                "keys of one map start in the same column, and a key ends with `:` and a blank",
            ),
            ErrorKind::MappingValueNotAllowed => {
                Some("text that has `: ` in it has to stand in quotes")
            }
            ErrorKind::UnclosedQuotedScalar
            | ErrorKind::InvalidTrailingDoubleQuotedScalar
            | ErrorKind::InvalidTrailingSingleQuotedScalar => {
                Some("perhaps a quote before this is never closed")
            }
            ErrorKind::InvalidQuotedScalarIndent => Some(
                "the lines of a text in quotes are indented more than its key; or perhaps a quote \
                 before this is never closed",
            ),
            ErrorKind::UnexpectedCharacter { character: '@' | '`' | '%' } => {
                Some("text that starts so has to stand in quotes")
            }
            ErrorKind::UnknownAnchor => Some("an alias `*name` needs an anchor `&name` before it"),
            _ => None,
        };
        Diagnostic::error(format!("yaml: {}", error.info()))
            .at(at, "here the text stops being YAML")
            .maybe_help(help.map(str::to_owned))
    }

    fn open(&mut self, at: Span, anchor: usize, kind: Kind) -> Result<(), Diagnostic> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(too_deep(at));
        }
        self.count(1, at)?;
        self.stack.push(Frame { at, anchor, nodes_before: self.nodes - 1, depth: 0, kind });
        Ok(())
    }

    fn count(&mut self, nodes: usize, at: Span) -> Result<(), Diagnostic> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        let problem = format!("the document has more than {NODES_MAX} values");
        Err(Diagnostic::error(problem)
            .at(at, "here is one too many")
            .note("aliases count as often as they repeat their anchor's values"))
    }

    fn close(&mut self, end: Span) -> Result<(), Diagnostic> {
        let Some(mut frame) = self.stack.pop() else {
            return Ok(());
        };
        if !self.is_fixed {
            frame.at.end = end.end.max(frame.at.start);
        }
        let value = match frame.kind {
            Kind::List(list) => Value::List(Arc::new(list)),
            Kind::Map { mut entries, seen, merged, .. } => {
                self.merge(&mut entries, seen, &merged);
                Value::Map(Arc::new(Map { entries }))
            }
        };
        let mut node = Node::new(value, frame.at);
        node.via.clone_from(&self.via);
        let nodes = self.nodes - frame.nodes_before;
        self.place(node, frame.anchor, nodes, frame.depth + 1, false)
    }

    /// What `<<` names counts where the map itself and earlier ones say nothing.
    fn merge(&mut self, entries: &mut Vec<Entry>, seen: HashMap<Arc<str>, Span>, merged: &[Node]) {
        if merged.is_empty() {
            return;
        }
        let mut taken: HashSet<Arc<str>> = seen.into_keys().collect();
        for node in merged {
            let maps = match &node.value {
                Value::Map(_) => std::slice::from_ref(node),
                Value::List(list) => list.as_slice(),
                _ => &[],
            };
            if maps.is_empty() || maps.iter().any(|map| map.as_map().is_none()) {
                let problem = "map merge requires map or sequence of maps as the value";
                self.diagnostics.push(Diagnostic::error(problem).at_node(node, "this is neither"));
            }
            for entry in maps.iter().filter_map(Node::as_map).flatten() {
                if taken.insert(entry.key.text.clone()) {
                    entries.push(entry.clone());
                }
            }
        }
    }

    fn alias(&mut self, id: usize, at: Span) -> Result<(), Diagnostic> {
        let Some(Anchored { node, nodes, depth }) = self.anchors.get(&id) else {
            return Err(Diagnostic::error("yaml: anchor value contains itself")
                .at(at, "the anchor that this names is not finished here"));
        };
        let (mut node, nodes, depth) = (node.clone(), *nodes, *depth);
        node.at = at;
        if self.stack.len() + depth > DEPTH_MAX {
            return Err(too_deep(at));
        }
        self.add(node, 0, nodes, depth, false)
    }

    /// Puts a value that is not counted yet where it belongs.
    fn add(
        &mut self,
        node: Node,
        anchor: usize,
        nodes: usize,
        depth: usize,
        is_plain: bool,
    ) -> Result<(), Diagnostic> {
        self.count(nodes, node.at)?;
        self.place(node, anchor, nodes, depth, is_plain)
    }

    fn place(
        &mut self,
        mut node: Node,
        anchor: usize,
        nodes: usize,
        depth: usize,
        is_plain: bool,
    ) -> Result<(), Diagnostic> {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.depth = frame.depth.max(depth);
        let (entries, seen, key, merged) = match &mut frame.kind {
            Kind::List(list) => {
                list.push(node);
                return Ok(());
            }
            Kind::Map { entries, seen, key, merged } => (entries, seen, key, merged),
        };
        match std::mem::replace(key, Next::Key) {
            Next::Merged => merged.push(node),
            Next::LeftOut => {}
            Next::ValueOf(of) => {
                // A value that is not there is best shown by its key.
                if node.at.start == node.at.end && matches!(node.value, Value::Null) {
                    node.at = of.at;
                }
                entries.push(Entry { key: of, node });
            }
            Next::Key => {
                let Some(text) = node.text.clone() else {
                    return Err(Diagnostic::error("yaml: invalid map key")
                        .at(node.at, "a key has to be text, not a list or a map"));
                };
                if is_plain && &*text == "<<" {
                    *key = Next::Merged;
                    return Ok(());
                }
                let at = node.at;
                if let Some(first) = seen.get(&text).copied() {
                    let problem = format!(
                        "yaml: mapping key {text:?} already defined at line {}",
                        first.line
                    );
                    let problem = Diagnostic::error(problem)
                        .at(at, "the same key again")
                        .at(first, "first here")
                        .help("keep one of the two");
                    self.diagnostics.push(problem);
                    *key = Next::LeftOut;
                    return Ok(());
                }
                seen.insert(text.clone(), at);
                *key = Next::ValueOf(Key { text, at });
            }
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: Span,
    ) -> Result<Node, Diagnostic> {
        let is_plain = style == ScalarStyle::Plain;
        let text: Arc<str> = text.into();
        let value = match tag.map(|tag| (tag.core_suffix(), tag.suffix())) {
            None if is_plain => scalar::resolve(&text),
            None | Some((Some("str"), _) | (None, "")) => Value::String(text.clone()),
            Some((Some(suffix), _)) => tagged(suffix, &text, at)?,
            Some((None, _)) => {
                self.warn_of_tag(tag, "", at);
                Value::String(text.clone())
            }
        };
        let mut node = Node::new(value, at);
        node.text = Some(text);
        node.plain = is_plain && tag.is_none();
        node.via.clone_from(&self.via);
        Ok(node)
    }

    fn warn_of_tag(&mut self, tag: Option<&Tag>, known: &str, at: Span) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema_tag(known)) {
            let warning = Diagnostic::warning(format!("the tag {tag} means nothing here"))
                .at(at, "it is ignored");
            self.diagnostics.push(warning);
        }
    }
}

/// The value of a scalar whose type a tag names.
fn tagged(suffix: &str, text: &Arc<str>, at: Span) -> Result<Value, Diagnostic> {
    let value = match (suffix, scalar::resolve(text)) {
        ("int", value @ Value::Int(_))
        | ("float", value @ Value::Float(_))
        | ("bool", value @ Value::Bool(_))
        | ("null", value @ Value::Null) => Some(value),
        #[allow(clippy::cast_precision_loss)]
        ("float", Value::Int(number)) => Some(Value::Float(number as f64)),
        ("bool", _) => scalar::old_bool(text).map(Value::Bool),
        _ => None,
    };
    value.ok_or_else(|| {
        Diagnostic::error(format!("yaml: cannot decode this value as a !!{suffix}"))
            .at(at, format!("this is no {suffix}"))
    })
}

fn is_about_tabs(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabInIndentation | ErrorKind::TabInBlockIndentation | ErrorKind::TabNotAllowed
    )
}

fn too_deep(at: Span) -> Diagnostic {
    Diagnostic::error(format!("yaml: lists and maps lie more than {DEPTH_MAX} deep in each other"))
        .at(at, "here is one too deep")
}
