//! Values that have values in them.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Field, Reader};
use crate::diagnostic::Diagnostic;
use crate::node::{Map, Node, Value};
use crate::secret::Secret;

impl<'n> Field<'_, 'n, '_> {
    /// Settings below this key. Nothing where the key is missing; a key without a value is a map
    /// without keys, so that `grpc:` alone turns gRPC on. Keys that `read` did not ask for are
    /// reported when it is done.
    pub fn section<T>(mut self, read: impl FnOnce(&mut Reader<'n, '_>) -> T) -> Option<T> {
        let entry = self.entry?;
        if entry.node.broken {
            return None;
        }
        if !self.is_map_or_null(&entry.node) {
            return None;
        }
        let path = self.reader.path_of(self.key);
        let mut below = self.reader.below(path, &entry.node, entry.key.at);
        let value = read(&mut below);
        below.finish();
        Some(value)
    }

    fn is_map_or_null(&mut self, node: &Node) -> bool {
        let is_right = matches!(node.value, Value::Map(_) | Value::Null);
        if !is_right {
            let text = format!("expected a map, got '{}'", node.type_name());
            self.fault(node, &text, "expected settings by their keys", None);
        }
        is_right
    }

    /// Sections in a list.
    pub fn list_of<T>(mut self, mut read: impl FnMut(&mut Reader<'n, '_>) -> T) -> Option<Vec<T>> {
        let list = self.list("expected a list")?;
        let mut values = Vec::new();
        for (index, node) in list.iter().enumerate() {
            if node.broken || !self.is_map_or_null(node) {
                continue;
            }
            let mut path = self.reader.path_of(self.key);
            path.push(format!("[{index}]").into());
            let mut below = self.reader.below(path, node, node.at);
            values.push(read(&mut below));
            below.finish();
        }
        Some(values)
    }

    /// Sections by names that the user chose.
    pub fn map_of<T>(
        mut self,
        mut read: impl FnMut(&str, &mut Reader<'n, '_>) -> T,
    ) -> Option<Vec<(String, T)>> {
        let map = self.map("expected a map of settings by their names")?;
        let mut values = Vec::new();
        for entry in map.iter() {
            if entry.node.broken || !self.is_map_or_null(&entry.node) {
                continue;
            }
            let mut path = self.reader.path_of(self.key);
            path.push(entry.key.text.clone());
            let mut below = self.reader.below(path, &entry.node, entry.key.at);
            let value = read(&entry.key.text, &mut below);
            below.finish();
            values.push((entry.key.text.as_ref().to_owned(), value));
        }
        Some(values)
    }

    /// A list of texts; also one text with commas, as the Collector takes it.
    pub fn strings(self) -> Option<Vec<String>> {
        self.parsed_strings(|text| Ok(text.to_owned()))
    }

    /// The same, each of which means something. What `parse` says against one, as a message and a
    /// help, is reported where it stands.
    pub fn parsed_strings<T>(
        mut self,
        mut parse: impl FnMut(&str) -> Result<T, (String, Option<String>)>,
    ) -> Option<Vec<T>> {
        let node = self.value()?;
        let mut strings = Vec::new();
        if let Value::String(text) = &node.value {
            for part in text.split(',').filter(|_| !text.is_empty()) {
                match parse(part) {
                    Ok(value) => strings.push(value),
                    Err((message, help)) => self.fault(node, &message, "", help),
                }
            }
            return Some(strings);
        }
        let list = self.list("expected a list of texts")?;
        for (index, node) in list.iter().enumerate() {
            match node.as_text().map(&mut parse) {
                Some(Ok(value)) => {
                    self.mark_text(node, Some(index));
                    strings.push(value);
                }
                Some(Err((message, help))) => self.fault(node, &message, "", help),
                None if node.broken => {}
                None => self.wrong_type(node, "string", "expected text"),
            }
        }
        Some(strings)
    }

    /// A list in which texts and sections stand side by side. What `parse` says against a text, as
    /// a message and a help, is reported at the text.
    pub fn mixed<T>(
        mut self,
        mut parse: impl FnMut(&str) -> Result<T, (String, Option<String>)>,
        mut read: impl FnMut(&mut Reader<'n, '_>) -> T,
    ) -> Option<Vec<T>> {
        let list = self.list("expected a list")?;
        let mut values = Vec::new();
        for (index, node) in list.iter().enumerate() {
            if node.broken {
                continue;
            }
            match (&node.value, node.as_text()) {
                (Value::Map(_), _) => {
                    let mut path = self.reader.path_of(self.key);
                    path.push(format!("[{index}]").into());
                    let mut below = self.reader.below(path, node, node.at);
                    values.push(read(&mut below));
                    below.finish();
                }
                (_, Some(text)) => match parse(text) {
                    Ok(value) => values.push(value),
                    Err((message, help)) => self.fault(node, &message, "", help),
                },
                _ => self.wrong_type(node, "string", "expected text, or settings by their keys"),
            }
        }
        Some(values)
    }

    /// A list of texts that the owner takes apart; faults as with [`mixed`](Self::mixed).
    pub fn parsed_list<T>(
        mut self,
        mut parse: impl FnMut(&str) -> Result<T, (String, Option<String>)>,
    ) -> Option<Vec<T>> {
        let list = self.list("expected a list of texts")?;
        let mut values = Vec::new();
        for node in list.iter().filter(|node| !node.broken) {
            match node.as_text().map(&mut parse) {
                Some(Ok(value)) => values.push(value),
                Some(Err((message, help))) => self.fault(node, &message, "", help),
                None => self.wrong_type(node, "string", "expected text"),
            }
        }
        Some(values)
    }

    /// The values of a list as they are.
    pub fn nodes(mut self) -> Option<&'n [Node]> {
        self.list("expected a list")
    }

    /// Texts by names that the user chose.
    pub fn string_map(mut self) -> Option<Vec<(String, String)>> {
        let map = self.map("expected a map of texts")?;
        Some(self.texts(map).into_iter().map(|(key, text)| (key, text.to_owned())).collect())
    }

    fn texts(&mut self, map: &'n Map) -> Vec<(String, &'n str)> {
        let mut texts = Vec::new();
        for entry in map.iter() {
            match entry.node.as_text() {
                Some(text) => texts.push((entry.key.text.as_ref().to_owned(), text)),
                None if entry.node.broken => {}
                None => self.wrong_type(&entry.node, "string", "expected text"),
            }
        }
        texts
    }

    /// Headers: a map, or a list of `{name, value}`. Their values are not printed from here on.
    pub fn headers(mut self) -> Option<Vec<(String, Secret)>> {
        let node = self.value()?;
        let path = self.reader.path_of(self.key);
        let mut mark = |below: &[&str], value: Option<&Node>| {
            let below = below.iter().map(|key| Arc::<str>::from(*key));
            self.reader.diagnostics.mark_secret(path.iter().cloned().chain(below).collect());
            if let Some(value) = value.filter(|value| value.via.is_none()) {
                self.reader.diagnostics.hide(value.at);
            }
        };
        if let Some(map) = node.as_map() {
            map.iter().for_each(|entry| mark(&[&entry.key.text], Some(&entry.node)));
            let texts = self.texts(map);
            return Some(texts.into_iter().map(|(name, text)| (name, Secret::new(text))).collect());
        }
        let Some(list) = node.as_list() else {
            self.wrong_type(node, "map[string]string", "expected headers by their names");
            return None;
        };
        for (index, header) in list.iter().enumerate() {
            let value = header.as_map().and_then(|map| map.get("value"));
            mark(&[&format!("[{index}]"), "value"], value);
        }
        let headers = self.list_of(|header| {
            let name = header.field("name").required().string();
            let value = header.field("value").required().string();
            Some((name?, Secret::new(value?)))
        });
        headers.map(|headers| headers.into_iter().flatten().collect())
    }

    fn list(&mut self, label: &str) -> Option<&'n [Node]> {
        let node = self.value()?;
        let list = node.as_list();
        if list.is_none() {
            let text = format!("source data must be an array or slice, got {}", node.type_name());
            let is_shown = node.via.is_none() && !self.reader.diagnostics.is_hidden(node.at);
            let help = node.as_text().filter(|_| is_shown);
            let help = help.map(|text| format!("a list of one is written [{}]", quoted(text)));
            self.fault(node, &text, label, help);
        }
        list
    }

    fn map(&mut self, label: &str) -> Option<&'n Map> {
        let node = self.value()?;
        let map = node.as_map();
        if map.is_none() {
            let text = format!("expected a map, got '{}'", node.type_name());
            let message = self.reader.message(self.key, &text);
            self.reader.diagnostics.push(Diagnostic::error(message).at_node(node, label));
        }
        map
    }
}

/// Text as it may stand in a list between brackets.
fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./".contains(letter);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.into(),
        false => format!("'{}'", text.replace('\'', "''")).into(),
    }
}
