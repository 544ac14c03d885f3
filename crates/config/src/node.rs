//! A value of a configuration and the place it was written at.

use std::sync::Arc;

use crate::source::Span;

/// A YAML value that knows where it stands.
///
/// Two nodes are equal if their values are; places do not matter, nor does the order of keys.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// The place in the source; of an expanded value, that of the reference.
    pub at: Span,
    /// A scalar as it was written; of an expanded value, the text that it expanded to.
    pub(crate) text: Option<Arc<str>>,
    /// Whether the scalar was written without quotes.
    pub(crate) plain: bool,
    /// Whether a reader of text takes `text` although the value is of another type: the value is
    /// that of a reference, whose type nobody chose.
    pub(crate) loose: bool,
    /// Whether a value stood here that could not be had. That has been reported.
    pub(crate) broken: bool,
    /// How the value came here, if not by being written at `at`.
    pub(crate) via: Option<Arc<Via>>,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing: a key without a value, `null` or `~`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number between the least of `i64` and the greatest of `u64`.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    String(Arc<str>),
    /// Values in order.
    List(Arc<Vec<Node>>),
    /// Values by key.
    Map(Arc<Map>),
}

/// Keys and values in the order in which they were written.
#[derive(Debug, Clone, Default)]
pub struct Map {
    pub(crate) entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub node: Node,
}

/// A key and where it was written.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key as it was written, without quotes.
    pub text: Arc<str>,
    /// Its place.
    pub at: Span,
}

/// How a value came to where it is.
#[derive(Debug)]
pub(crate) struct Via {
    /// What was written instead of the value. It is shown where the value may not be.
    pub written: Arc<str>,
    /// What became of it, for a person. Never the value itself.
    pub note: String,
    /// Where it was written, if the node's own place is elsewhere.
    pub at: Option<Span>,
    /// Whether the value may not be shown.
    pub hidden: bool,
}

impl Node {
    pub(crate) fn new(value: Value, at: Span) -> Self {
        Self { value, at, text: None, plain: false, loose: false, broken: false, via: None }
    }

    /// The entries, if this is a map.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The values, if this is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// The text, if this is text, or if it is what a reference expanded to and may be taken so.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ if self.loose => self.text.as_deref(),
            _ => None,
        }
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The type's name as the Collector's messages give it.
    pub fn type_name(&self) -> &'static str {
        match self.value {
            Value::Null => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::String(_) => "string",
            Value::List(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
        }
    }

    /// What to call the value in a message. Never what a variable or a file expanded to.
    pub(crate) fn shown(&self) -> &str {
        match (&self.via, &self.value) {
            (Some(via), _) if via.hidden => &via.written,
            (_, Value::String(text)) => text,
            _ => self.text.as_deref().unwrap_or_default(),
        }
    }

    /// Whether a reader of settings could tell the two apart.
    pub fn is_same(&self, other: &Self) -> bool {
        let texts = self.as_text() == other.as_text();
        texts && compare(self, other, Self::is_same)
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        compare(self, other, Self::eq)
    }
}

fn compare(left: &Node, right: &Node, same: fn(&Node, &Node) -> bool) -> bool {
    match (&left.value, &right.value) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::Float(left), Value::Float(right)) => {
            left == right || left.is_nan() && right.is_nan()
        }
        (Value::String(left), Value::String(right)) => left == right,
        (Value::List(left), Value::List(right)) => {
            let pairs = || left.iter().zip(right.iter());
            Arc::ptr_eq(left, right)
                || left.len() == right.len() && pairs().all(|(left, right)| same(left, right))
        }
        (Value::Map(left), Value::Map(right)) => {
            let is_in_right = |index: &std::collections::HashMap<&str, usize>, entry: &Entry| {
                let at = index.get(&*entry.key.text).and_then(|at| right.entries.get(*at));
                at.is_some_and(|other| same(&entry.node, &other.node))
            };
            Arc::ptr_eq(left, right)
                || left.len() == right.len() && {
                    let index = right.index();
                    left.entries.iter().all(|entry| is_in_right(&index, entry))
                }
        }
        _ => false,
    }
}

impl Map {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// A key and its value.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| &*entry.key.text == key)
    }

    /// All entries in the order in which they were written.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where each key is among the entries.
    pub(crate) fn index(&self) -> std::collections::HashMap<&str, usize> {
        self.entries.iter().enumerate().map(|(at, entry)| (&*entry.key.text, at)).collect()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
