//! Strict reading of settings: every key is asked for by name, what nobody asked for is an error,
//! and all errors are reported, not the first alone.
//!
//! ```
//! # use config::{Diagnostics, Reader};
//! # fn read(component: &config::Component, diagnostics: &mut Diagnostics) {
//! let mut reader = Reader::of(component, diagnostics);
//! let endpoint = reader.field("endpoint").required().string();
//! let timeout = reader.field("timeout").duration().unwrap_or(std::time::Duration::from_secs(5));
//! let tls = reader.field("tls").section(|tls| tls.field("insecure").bool().unwrap_or(false));
//! reader.finish();
//! # }
//! ```

mod field;
mod lists;

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::Component;
use crate::node::{Entry, Map, Node, Value};
use crate::source::Span;
use crate::suggest;

pub use field::Field;

/// Reads the settings of one map.
///
/// A value of the wrong type is reported and read as if it were not there, so that reading goes on
/// and finds what else is wrong; whether all is well, [`Diagnostics::has_errors`] says.
#[derive(Debug)]
pub struct Reader<'n, 'd> {
    diagnostics: &'d mut Diagnostics,
    /// What the settings are of, as the Collector names it: `receivers::otlp`.
    owner: Arc<str>,
    /// Keys from the document's root to this map.
    path: Vec<Arc<str>>,
    /// How many of them belong to the owner.
    owner_keys: usize,
    map: Option<&'n Map>,
    /// How the map came here.
    node: &'n Node,
    /// The place of the key that has this map.
    at: Span,
    /// Keys that were asked for, and are named where another is wrong.
    asked: Vec<&'static str>,
    /// Keys that are known, and not named.
    old: Vec<&'static str>,
    is_used: bool,
}

impl<'n, 'd> Reader<'n, 'd> {
    /// Reads a component's settings.
    pub fn of(component: &'n Component, diagnostics: &'d mut Diagnostics) -> Self {
        let owner = format!("{}::{}", component.section, component.id);
        let path = vec![component.section.name().into(), component.key.clone()];
        // A component that is no map is reported already.
        Self::at_path(owner.into(), path, &component.node, component.at, diagnostics)
    }

    /// Reads a map that lies at some keys from the document's root, such as `service.telemetry`.
    pub fn new(keys: &[&str], node: &'n Node, diagnostics: &'d mut Diagnostics) -> Self {
        let owner = keys.join("::");
        if !matches!(node.value, Value::Map(_) | Value::Null) {
            diagnostics.push(crate::document::wrong_type(&owner, node, "a map", ""));
        }
        let path = keys.iter().map(|key| (*key).into()).collect();
        Self::at_path(owner.into(), path, node, node.at, diagnostics)
    }

    fn at_path(
        owner: Arc<str>,
        path: Vec<Arc<str>>,
        node: &'n Node,
        at: Span,
        diagnostics: &'d mut Diagnostics,
    ) -> Self {
        let owner_keys = path.len();
        let (asked, old) = (Vec::new(), Vec::new());
        let (map, is_used) = (node.as_map(), true);
        Self { diagnostics, owner, path, owner_keys, map, node, at, asked, old, is_used }
    }

    /// With the word on whether they are of something that will run: a component may be configured
    /// and named by no pipeline.
    pub fn used(self, is_used: bool) -> Self {
        Self { is_used, ..self }
    }

    /// Whether the settings are of something that will run, so that what they name, such as files,
    /// has to be there.
    pub fn is_used(&self) -> bool {
        self.is_used
    }

    /// The value of a key. Asking for it makes it valid.
    pub fn field(&mut self, key: &'static str) -> Field<'_, 'n, 'd> {
        self.asked.push(key);
        let entry = self.map.and_then(|map| map.entry(key));
        Field::new(self, key, entry)
    }

    /// The one of some keys that is there; reports none and several. Does not make them valid:
    /// that is [`field`](Self::field)'s.
    pub fn one_of(&mut self, keys: &[&'static str]) -> Option<&'static str> {
        let present: Vec<(&'static str, &Entry)> =
            keys.iter().filter_map(|key| Some((*key, self.map?.entry(key)?))).collect();
        let list = keys.join(", ");
        match present.as_slice() {
            [(key, _)] => Some(key),
            [] => {
                if !self.node.broken {
                    let error = self.message("", &format!("one of {list} must be specified"));
                    let error = Diagnostic::error(error).at(self.at, "none of them is here");
                    self.diagnostics.push(error.via(self.node));
                }
                None
            }
            [(first, entry), rest @ ..] => {
                let error = self.message("", &format!("only one of {list} may be specified"));
                let mut error = Diagnostic::error(error);
                for (key, entry) in rest {
                    error = error.at(entry.key.at, format!("`{key}` as well"));
                }
                self.diagnostics.push(error.at(entry.key.at, format!("`{first}` is here")));
                None
            }
        }
    }

    /// Reports a key that there is no longer, and says what to do instead.
    pub fn removed(&mut self, key: &'static str, instead: &str) {
        self.old.push(key);
        if let Some(entry) = self.map.and_then(|map| map.entry(key)) {
            let error = self.message("", &format!("has invalid keys: {key}"));
            let error = Diagnostic::error(error).at(entry.key.at, "this key was removed");
            self.diagnostics.push(error.via(&entry.node).help(instead));
        }
    }

    /// Reports a key that is known only to be refused, and says why. It is not named among those
    /// that are valid.
    pub fn refused(&mut self, key: &'static str, why: &str) {
        self.old.push(key);
        if let Some(entry) = self.map.and_then(|map| map.entry(key)) {
            let error = Diagnostic::error(self.message(key, why));
            self.diagnostics.push(error.at(entry.key.at, "").via(&entry.node));
        }
    }

    /// Reports that a value is wrong for a reason that only its owner knows, such as `must be
    /// greater than zero`. The place is the key's value, or the map where the key is missing.
    pub fn fault(&mut self, key: &str, message: &str) {
        let entry = self.map.and_then(|map| map.entry(key));
        let error = Diagnostic::error(self.message(key, message));
        let error = match entry {
            Some(entry) => error.at_node(&entry.node, ""),
            None => error.at(self.at, format!("`{key}` is not set here")).via(self.node),
        };
        self.diagnostics.push(error);
    }

    /// Reports something about this map that is no fault of one key.
    pub fn report(&mut self, make: impl FnOnce(&str, Span) -> Diagnostic) {
        let diagnostic = make(&self.owner, self.at);
        self.diagnostics.push(diagnostic.via(self.node));
    }

    /// Whose settings these are, such as `processors::batch/a`.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Whether a key is there, with or without a value.
    pub fn has(&self, key: &str) -> bool {
        self.map.is_some_and(|map| map.get(key).is_some())
    }

    /// Keys as they were written, for maps whose keys are names that the user chose.
    pub fn keys(&self) -> impl Iterator<Item = &'n str> + use<'n> {
        self.map.into_iter().flat_map(|map| map.iter().map(|entry| &*entry.key.text))
    }

    /// The place of the key that has this map.
    pub fn at(&self) -> Span {
        self.at
    }

    /// Reports every key that was not asked for.
    pub fn finish(self) {
        let Some(map) = self.map else {
            return;
        };
        let is_unknown = |entry: &&Entry| {
            let key = &*entry.key.text;
            !self.asked.contains(&key) && !self.old.contains(&key)
        };
        let mut keys = self.asked.clone();
        keys.sort_unstable();
        keys.dedup();
        let is_secret = |key: &str| self.diagnostics.is_secret(&self.path_of(key));
        let secrets: Vec<&str> = keys.iter().copied().filter(|key| is_secret(key)).collect();
        for entry in map.iter().filter(is_unknown) {
            let key = &*entry.key.text;
            let near = suggest::nearest(key, keys.iter().copied());
            let hides = match near {
                Some(near) => near == "headers" || secrets.contains(&near),
                None => !secrets.is_empty(),
            };
            if hides {
                // This is likely the secret, by another name.
                hide(&entry.node, self.diagnostics);
            }
            let label = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "there is no such key".to_owned(),
            };
            let error = self.message("", &format!("has invalid keys: {key}"));
            let error = Diagnostic::error(error).at(entry.key.at, label).via(&entry.node);
            let help = match keys.as_slice() {
                [] => "this takes no settings".to_owned(),
                keys => format!("valid keys are {}", keys.join(", ")),
            };
            self.diagnostics.push(error.help(help));
        }
    }

    /// `owner: 'outer.key' text`
    fn message(&self, key: &str, text: &str) -> String {
        let own = self.path.get(self.owner_keys..).unwrap_or_default();
        let mut dotted = String::new();
        for part in own.iter().map(|part| &**part).chain([key]).filter(|part| !part.is_empty()) {
            if !dotted.is_empty() && !part.starts_with('[') {
                dotted.push('.');
            }
            dotted.push_str(part);
        }
        match dotted.as_str() {
            "" => format!("{}: {text}", self.owner),
            dotted => format!("{}: '{dotted}' {text}", self.owner),
        }
    }

    fn path_of(&self, key: &str) -> Vec<Arc<str>> {
        self.path.iter().cloned().chain([key.into()]).collect()
    }

    /// A reader of a map below this one.
    fn below<'s>(&'s mut self, path: Vec<Arc<str>>, node: &'n Node, at: Span) -> Reader<'n, 's> {
        let owner_keys = self.owner_keys;
        let owner = self.owner.clone();
        let is_used = self.is_used;
        let below = Reader::at_path(owner, path, node, at, self.diagnostics);
        Reader { owner_keys, is_used, ..below }
    }
}

/// Hides all values below a node that are written where they are.
fn hide(node: &Node, diagnostics: &mut Diagnostics) {
    match &node.value {
        Value::List(list) => list.iter().for_each(|node| hide(node, diagnostics)),
        Value::Map(map) => map.iter().for_each(|entry| hide(&entry.node, diagnostics)),
        _ if node.via.is_none() => diagnostics.hide(node.at),
        _ => {}
    }
}
