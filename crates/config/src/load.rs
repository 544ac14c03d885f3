//! `--config` and `--set` to one merged, expanded document.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{self, Document};
use crate::known::Known;
use crate::merge;
use crate::node::{Entry, Key, Map, Node, Value, Via};
use crate::secret::{is_reference, is_secret_path};
use crate::source::{Outside, Span, TEXT_BYTES_MAX};
use crate::suggest;
use crate::yaml::{self, Place};
use crate::{expand, reference};

/// Where a configuration is, as the command line says it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The values of `--config`: a path, `file:PATH`, `env:NAME` or `yaml:TEXT`. Later ones win.
    pub configs: &'a [String],
    /// The values of `--set`: `a.b.c=VALUE`. They win over every file.
    pub sets: &'a [String],
}

/// Reads, merges, expands and checks a configuration.
///
/// The document holds as much as was understood, so that components' settings can be checked, too,
/// where something else is wrong. It may be run only if the diagnostics, after the components have
/// read their settings, have no errors.
pub fn load(request: Request<'_>, outside: &dyn Outside, known: &Known) -> (Document, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    if request.configs.is_empty() {
        let error = Diagnostic::error("at least one config flag must be provided")
            .help("name a file: --config FILE");
        diagnostics.push(error);
    }
    let mut merged: Option<Node> = None;
    let mut is_whole = !request.configs.is_empty();
    let mut add = |node: Option<Node>, diagnostics: &mut Diagnostics| match node {
        None => is_whole = false,
        Some(node) => {
            let node = split_keys(node);
            hide_secrets(&node, &mut Vec::new(), diagnostics);
            merged = Some(match merged.take() {
                None => node,
                Some(earlier) => merge::merge(earlier, node, diagnostics),
            });
        }
    };
    for uri in request.configs {
        let node = config(uri, outside, &mut diagnostics);
        add(node, &mut diagnostics);
    }
    for set in request.sets {
        let node = assignment(set, &mut diagnostics);
        add(node, &mut diagnostics);
    }
    let Some(root) = merged else {
        return (Document::default(), diagnostics);
    };
    let root = expand::expand(root, outside, &mut diagnostics);
    let document = document::read(root, is_whole, known, &mut diagnostics);
    (document, diagnostics)
}

/// Lines are shown without secrets, also those that another source replaces. What is written as a
/// reference is shown: it is no secret itself.
fn hide_secrets(node: &Node, path: &mut Vec<Arc<str>>, diagnostics: &mut Diagnostics) {
    let keys: Vec<&str> = path.iter().map(|key| &**key).collect();
    if is_secret_path(&keys) {
        if !node.is_null() && !node.as_text().map(str::trim).is_some_and(is_reference) {
            diagnostics.hide(node.at);
        }
        return;
    }
    let mut below = |key: Arc<str>, node: &Node| {
        path.push(key);
        hide_secrets(node, path, diagnostics);
        path.pop();
    };
    match &node.value {
        Value::Map(map) => map.iter().for_each(|entry| below(entry.key.text.clone(), &entry.node)),
        Value::List(list) => {
            list.iter().enumerate().for_each(|(at, node)| below(format!("[{at}]").into(), node));
        }
        _ => {}
    }
}

/// The YAML that a value of `--config` names. Nothing if there is none, which is then reported.
fn config(uri: &str, outside: &dyn Outside, diagnostics: &mut Diagnostics) -> Option<Node> {
    let (scheme, rest) = match reference::scheme(uri) {
        None => ("file", uri),
        Some((scheme, rest)) => (scheme, rest),
    };
    match scheme {
        "file" => {
            let bytes = match outside.read(rest) {
                Ok(bytes) => bytes,
                Err(error) => {
                    diagnostics.push(cannot_read(rest, &error));
                    return None;
                }
            };
            let text = text_of(rest, bytes, diagnostics)?;
            let source = diagnostics.add_source(rest, &text, false);
            yaml::read(&text, &Place::In { source, start: 0 }, None, diagnostics)
        }
        "env" => {
            if !reference::is_variable_name(rest) {
                diagnostics.push(Diagnostic::error(reference::bad_name(rest)));
                return None;
            }
            let Some(text) = outside.variable(rest) else {
                let error = format!("the environment variable {rest:?} is not set");
                diagnostics.push(Diagnostic::error(error).help("it has to hold the YAML itself"));
                return None;
            };
            let text = bounded(uri, text, diagnostics)?;
            let source = diagnostics.add_source(uri, &text, true);
            let written = "[not shown]".into();
            let via = Arc::new(Via { written, note: String::new(), at: None, hidden: true });
            yaml::read(&text, &Place::In { source, start: 0 }, Some(&via), diagnostics)
        }
        "yaml" => {
            let text = bounded("yaml:", rest.to_owned(), diagnostics)?;
            let source = diagnostics.add_source("--config yaml", &text, false);
            yaml::read(&text, &Place::In { source, start: 0 }, None, diagnostics)
        }
        "http" | "https" => {
            let error = format!("scheme {scheme:?} is not supported for uri {uri:?}");
            diagnostics.push(
                Diagnostic::error(error)
                    .note(
                        "a configuration is not read over the network: whoever answers there \
                           would decide what this process does",
                    )
                    .help("fetch it to a file first: --config FILE"),
            );
            None
        }
        scheme => {
            let near = suggest::nearest(scheme, ["file", "env", "yaml"]);
            let help = match near {
                Some(near) => format!("did you mean `{near}:{rest}`?"),
                None => {
                    format!("schemes are file, env and yaml; a file of that name is `file:{uri}`")
                }
            };
            let error = format!("scheme {scheme:?} is not supported for uri {uri:?}");
            diagnostics.push(Diagnostic::error(error).help(help));
            None
        }
    }
}

fn cannot_read(path: &str, error: &std::io::Error) -> Diagnostic {
    let why = match error.kind() {
        std::io::ErrorKind::FileTooLarge => {
            format!("it is larger than {} MiB", TEXT_BYTES_MAX >> 20)
        }
        _ => error.to_string(),
    };
    Diagnostic::error(format!("unable to read the file {path:?}: {why}"))
}

/// A text that is not too long.
fn bounded(name: &str, text: String, diagnostics: &mut Diagnostics) -> Option<String> {
    if text.len() <= TEXT_BYTES_MAX {
        return Some(text);
    }
    let error = format!("the text of {name:?} is larger than {} MiB", TEXT_BYTES_MAX >> 20);
    diagnostics.push(Diagnostic::error(error));
    None
}

/// The text of a file.
fn text_of(path: &str, bytes: Vec<u8>, diagnostics: &mut Diagnostics) -> Option<String> {
    match String::from_utf8(bytes) {
        Ok(text) => bounded(path, text, diagnostics),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            // The good part and a mark, so that the line can be shown.
            let lossy = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let source = diagnostics.add_source(path, &lossy, false);
            let at = diagnostics.sources.span(source, at, at + '\u{fffd}'.len_utf8());
            let error = Diagnostic::error(format!("the file {path:?} is not UTF-8"))
                .at(at, "this byte is none of a character")
                .help("save the file as UTF-8");
            diagnostics.push(error);
            None
        }
    }
}

/// `a.b.c=VALUE` as nested maps.
fn assignment(set: &str, diagnostics: &mut Diagnostics) -> Option<Node> {
    let set = bounded("--set", set.to_owned(), diagnostics)?;
    let source = diagnostics.add_source("--set", &set, false);
    let Some((path, value)) = set.split_once('=') else {
        let at = diagnostics.sources.span(source, 0, set.len());
        let error = Diagnostic::error("missing equal sign")
            .at(at, "expected `key.key=value`")
            .help("for example --set exporters.debug.verbosity=detailed");
        diagnostics.push(error);
        return None;
    };
    let start = path.len() + 1;
    let mut node = yaml::read(value, &Place::In { source, start }, None, diagnostics)?;
    let mut keys = Vec::new();
    let mut start = 0;
    for part in path.split('.') {
        let key = part.trim();
        let from = start + (part.len() - part.trim_start().len());
        let at = diagnostics.sources.span(source, from, from + key.len());
        if key.is_empty() {
            let error = Diagnostic::error("--set has a key that is empty")
                .at(at, "expected a key here")
                .help("dots stand between keys; a key that has a dot needs a file or `yaml:`");
            diagnostics.push(error);
            return None;
        }
        if keys.len() >= yaml::DEPTH_MAX {
            let error = format!("--set has more than {} keys", yaml::DEPTH_MAX);
            diagnostics.push(Diagnostic::error(error).at(at, "here is one too many"));
            return None;
        }
        keys.push(Key { text: key.into(), at });
        start += part.len() + 1;
    }
    for key in keys.into_iter().rev() {
        node = nested(key, node);
    }
    Some(node)
}

fn nested(key: Key, node: Node) -> Node {
    let at = key.at;
    let mut map = Node::new(Value::Null, at);
    map.via.clone_from(&node.via);
    map.value = Value::Map(Arc::new(Map { entries: vec![Entry { key, node }] }));
    map
}

/// `a::b: c` at the top stands for `a: {b: c}`.
fn split_keys(mut root: Node) -> Node {
    let Value::Map(map) = &root.value else {
        return root;
    };
    if !map.iter().any(|entry| entry.key.text.contains("::")) {
        return root;
    }
    let mut whole: Option<Node> = None;
    for entry in map.iter() {
        let parts = parts(&entry.key);
        let mut node = entry.node.clone();
        for key in parts.into_iter().rev() {
            node = nested(key, node);
        }
        whole = Some(match whole {
            None => node,
            Some(earlier) => merge::merge_quietly(earlier, node),
        });
    }
    if let Some(whole) = whole {
        root.value = whole.value;
    }
    root
}

/// The keys of `a::b`, each with its place as far as the key was written without escapes.
fn parts(key: &Key) -> Vec<Key> {
    let is_verbatim = key.at.end - key.at.start == key.text.len();
    let mut start = 0;
    let split = key.text.splitn(yaml::DEPTH_MAX / 2, "::").map(|part| {
        let mut at = key.at;
        if is_verbatim {
            at = Span {
                start: at.start + start,
                end: at.start + start + part.len(),
                column: at.column + key.text.get(..start).unwrap_or_default().chars().count(),
                ..at
            };
        }
        start += part.len() + 2;
        Key { text: part.trim().into(), at }
    });
    split.collect()
}
