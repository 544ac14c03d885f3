//! The Collector's model of a configuration, and everything about it that needs no knowledge of
//! what components do.

mod connectors;
mod references;
mod service;

use std::collections::HashMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::id::{Id, PipelineId, Section};
use crate::known::{Known, Status};
use crate::node::{Key, Map, Node, Value};
use crate::source::Span;
use crate::suggest;

/// A configuration.
///
/// Two documents are equal if they say the same, wherever it is written.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Receivers in the order in which they are written, as all that follow.
    pub receivers: Vec<Component>,
    /// Processors.
    pub processors: Vec<Component>,
    /// Exporters.
    pub exporters: Vec<Component>,
    /// Connectors.
    pub connectors: Vec<Component>,
    /// Extensions.
    pub extensions: Vec<Component>,
    /// What runs.
    pub service: Service,
    /// All of it, merged and expanded.
    pub(crate) root: Option<Node>,
}

/// A component that is configured.
#[derive(Debug, Clone)]
pub struct Component {
    /// Where it is listed.
    pub section: Section,
    /// Its id as it is written.
    pub id: Id,
    /// The name that its type has today; nothing if there is no such type here, which is reported.
    pub kind: Option<&'static str>,
    /// Its settings: a map, or null for all defaults.
    pub node: Node,
    /// The place of its id.
    pub at: Span,
    /// The key that its id was read from.
    pub(crate) key: Arc<str>,
}

/// What runs.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// The extensions that are started, in this order.
    pub extensions: Vec<Reference>,
    /// The ways that data takes.
    pub pipelines: Vec<Pipeline>,
    /// Settings of own logs and metrics.
    pub telemetry: Option<Node>,
}

/// The name of a component where it is used.
#[derive(Debug, Clone)]
pub struct Reference {
    /// The component's id.
    pub id: Id,
    /// The place where it is named.
    pub at: Span,
    /// As it may be shown.
    pub(crate) node: Node,
}

/// A way that data takes: from receivers through processors, in their order, to exporters.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its id.
    pub id: PipelineId,
    /// The place of its id.
    pub at: Span,
    /// Receivers, and connectors from other pipelines.
    pub receivers: Vec<Reference>,
    /// Processors in their order.
    pub processors: Vec<Reference>,
    /// Exporters, and connectors to other pipelines.
    pub exporters: Vec<Reference>,
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        // Nothing at all says as much as nothing but a comment.
        let said = |document: &Self| document.root.clone().filter(|root| !root.is_null());
        said(self) == said(other)
    }
}

impl Document {
    /// The components of a section.
    pub fn section(&self, section: Section) -> &[Component] {
        match section {
            Section::Receivers => &self.receivers,
            Section::Processors => &self.processors,
            Section::Exporters => &self.exporters,
            Section::Connectors => &self.connectors,
            Section::Extensions => &self.extensions,
        }
    }

    /// A component by its id.
    pub fn component(&self, section: Section, id: &Id) -> Option<&Component> {
        self.section(section).iter().find(|component| component.id == *id)
    }

    /// The merged and expanded YAML; nothing if there was none.
    pub fn root(&self) -> Option<&Node> {
        self.root.as_ref()
    }
}

/// Takes a document apart and reports everything that is wrong with it.
///
/// `is_whole` says that all of its sources could be read; where one could not, nothing is said
/// about what is missing.
pub(crate) fn read(
    root: Node,
    is_whole: bool,
    known: &Known,
    diagnostics: &mut Diagnostics,
) -> Document {
    let mut document = Document { root: Some(root.clone()), ..Document::default() };
    let map = match &root.value {
        Value::Map(map) => map,
        Value::Null => {
            if is_whole && !root.broken {
                let error = Diagnostic::error("empty configuration file")
                    .at_node(&root, "nothing stands here")
                    .help("it needs receivers, exporters and service.pipelines");
                diagnostics.push(error);
            }
            return document;
        }
        _ => {
            let of = "receivers, exporters and service";
            diagnostics.push(wrong_type("otelcol.configSettings", &root, "a map", of));
            return document;
        }
    };
    if map.is_empty() && is_whole {
        let error = Diagnostic::error("empty configuration file").at_node(&root, "this is empty");
        diagnostics.push(error.help("it needs receivers, exporters and service.pipelines"));
        return document;
    }
    if let (Some(entry), true) = (map.entry("apiVersion"), map.get("kind").is_some()) {
        let error = "'otelcol.configSettings' has invalid keys: apiVersion, kind";
        let error = Diagnostic::error(error)
            .at(entry.key.at, "this is a manifest of Kubernetes")
            .via(&entry.node)
            .help("the configuration in it, below `spec.config` or in `data`, needs a file of its own");
        diagnostics.push(error);
        return document;
    }
    let sections = Section::ALL.map(Section::name);
    let keys: Vec<&str> = sections.into_iter().chain(["service"]).collect();
    unknown_keys("otelcol.configSettings", map, &keys, diagnostics);
    for section in Section::ALL {
        let Some(node) = map.get(section.name()) else {
            continue;
        };
        let components = components(section, node, known, diagnostics);
        match section {
            Section::Receivers => document.receivers = components,
            Section::Processors => document.processors = components,
            Section::Exporters => document.exporters = components,
            Section::Connectors => document.connectors = components,
            Section::Extensions => document.extensions = components,
        }
    }
    let is_missing = |section: Section| {
        let node = map.get(section.name());
        node.is_none_or(|node| {
            node.is_null() && !node.broken || node.as_map().is_some_and(Map::is_empty)
        })
    };
    for section in [Section::Receivers, Section::Exporters] {
        if is_whole && is_missing(section) {
            let one = section.one();
            let error = Diagnostic::error(format!("no {one} configuration specified in config"));
            let error = match map.entry(section.name()) {
                Some(entry) => error.at(entry.key.at, "nothing stands here"),
                None => error,
            };
            diagnostics.push(error.help(format!("add {section}: with one {one} at least")));
        }
    }
    document.service = service::read(map.entry("service"), is_whole, diagnostics);
    references::check(&document, diagnostics);
    connectors::check(&document, known, diagnostics);
    document
}

/// The components that a section lists.
fn components(
    section: Section,
    node: &Node,
    known: &Known,
    diagnostics: &mut Diagnostics,
) -> Vec<Component> {
    let map = match &node.value {
        Value::Map(map) => map,
        Value::Null => return Vec::new(),
        _ => {
            let expected = format!("{} by their ids", section.name());
            diagnostics.push(wrong_type(section.name(), node, "a map", &expected));
            return Vec::new();
        }
    };
    let mut components: Vec<Component> = Vec::new();
    let mut first: HashMap<Id, &Key> = HashMap::new();
    for entry in map.iter() {
        let at = entry.key.at;
        let id = match Id::parse(&entry.key.text) {
            Ok(id) => id,
            Err(error) => {
                let error = Diagnostic::error(format!("{section}: {error}"))
                    .at(at, "expected `type` or `type/name`");
                diagnostics.push(error.via(&entry.node));
                continue;
            }
        };
        if let Some(first) = first.get(&id) {
            // The same key twice is reported by who read the YAML.
            if first.text != entry.key.text {
                let error = format!("{section}: duplicate name \"{id}\"");
                let error = Diagnostic::error(error).at(at, "the same id again");
                diagnostics.push(error.at(first.at, "first here"));
            }
            continue;
        }
        first.insert(id.clone(), &entry.key);
        let kind = kind_of(section, &id, at, known, diagnostics);
        if !matches!(entry.node.value, Value::Map(_) | Value::Null) {
            let path = format!("{section}::{id}");
            diagnostics.push(wrong_type(&path, &entry.node, "a map", "settings by their keys"));
        }
        let (node, key) = (entry.node.clone(), entry.key.text.clone());
        components.push(Component { section, id, kind, node, at, key });
    }
    components
}

/// Today's name of a type. Reports names that are not to be had.
fn kind_of(
    section: Section,
    id: &Id,
    at: Span,
    known: &Known,
    diagnostics: &mut Diagnostics,
) -> Option<&'static str> {
    let one = section.one();
    let kind = known.find(section, &id.kind);
    let (label, note, help) = match kind.map(|kind| kind.status) {
        Some(Status::Here(_) | Status::Connects(_)) => return kind.map(|kind| kind.name),
        Some(Status::Alias(today)) => {
            let warning = format!("{section}: {:?} is called {today:?} today", id.kind);
            let new_id = Id { kind: today.to_owned(), name: id.name.clone() };
            let warning = Diagnostic::warning(warning)
                .at(at, "an old name of the same component")
                .help(format!("write `{new_id}` here and wherever it is used"));
            diagnostics.push(warning);
            return Some(today);
        }
        Some(Status::Elsewhere(instead)) => (
            format!("the Collector has this {one}, Spanfall does not"),
            None,
            Some(instead.to_owned()),
        ),
        Some(Status::Removed(instead)) => {
            (format!("this {one} was removed from the Collector"), None, Some(instead.to_owned()))
        }
        None => {
            let names = known.names(section);
            let near = suggest::nearest(&id.kind, names.iter().copied());
            let elsewhere = Section::ALL
                .into_iter()
                .find(|other| *other != section && known.find(*other, &id.kind).is_some());
            let label = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there is no such {one}"),
            };
            let note =
                elsewhere.map(|other| format!("there is one of this name among the {other}"));
            (label, note, None)
        }
    };
    let names = known.names(section).join(" ");
    let error = format!(
        "'{section}' unknown type: {:?} for id: \"{id}\" (valid values: [{names}])",
        id.kind
    );
    let mut error = Diagnostic::error(error).at(at, label).maybe_help(help);
    error.notes.extend(note);
    diagnostics.push(error);
    None
}

/// Reports keys that mean nothing. Keys are told apart by case.
pub(crate) fn unknown_keys(path: &str, map: &Map, keys: &[&str], diagnostics: &mut Diagnostics) {
    for entry in map.iter().filter(|entry| !keys.contains(&&*entry.key.text)) {
        diagnostics.push(unknown_key(path, &entry.key.text, entry.key.at, keys).via(&entry.node));
    }
}

/// One key that means nothing.
pub(crate) fn unknown_key(path: &str, key: &str, at: Span, keys: &[&str]) -> Diagnostic {
    let near = suggest::nearest(key, keys.iter().copied());
    let label = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "there is no such key".to_owned(),
    };
    let error = Diagnostic::error(format!("'{path}' has invalid keys: {key}")).at(at, label);
    match keys {
        [] => error.help("no keys are valid here"),
        keys => error.help(format!("valid keys are {}", keys.join(", "))),
    }
}

/// A value of another type than what is asked for.
pub(crate) fn wrong_type(path: &str, node: &Node, expected: &str, of: &str) -> Diagnostic {
    let got = node.type_name();
    let of = if of.is_empty() { String::new() } else { format!(": {of}") };
    Diagnostic::error(format!("'{path}' expected {expected}, got '{got}'"))
        .at_node(node, format!("expected {expected}{of}"))
}
