//! The value of one key as what its owner takes it for.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use regex::Regex;

use super::Reader;
use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Node, Value};
use crate::scalar::{self, NoDuration};
use crate::secret::Secret;
use crate::suggest;

/// A key that was asked for and what stands there.
///
/// Each way to read it gives nothing where nothing stands there, or null, which means the default,
/// or where something is wrong, which is then reported.
#[derive(Debug)]
#[must_use]
pub struct Field<'r, 'n, 'd> {
    pub(super) reader: &'r mut Reader<'n, 'd>,
    pub(super) key: &'static str,
    pub(super) entry: Option<&'n Entry>,
}

impl<'r, 'n, 'd> Field<'r, 'n, 'd> {
    pub(super) fn new(
        reader: &'r mut Reader<'n, 'd>,
        key: &'static str,
        entry: Option<&'n Entry>,
    ) -> Self {
        Self { reader, key, entry }
    }

    /// Reports it if nothing stands there.
    pub fn required(self) -> Self {
        let is_broken = self.entry.map_or(self.reader.node, |entry| &entry.node).broken;
        if self.value().is_none() && !is_broken {
            let error = self.reader.message(self.key, "must be specified");
            let error = Diagnostic::error(error);
            let error = match self.entry {
                Some(entry) => error.at_node(&entry.node, "a value is missing here"),
                None => {
                    let label = format!("`{}` is missing here", self.key);
                    error.at(self.reader.at, label).via(self.reader.node)
                }
            };
            self.reader.diagnostics.push(error);
        }
        self
    }

    /// Reads an old name of the key, too, with a warning.
    pub fn renamed_from(mut self, old: &'static str) -> Self {
        self.reader.old.push(old);
        let Some(entry) = self.reader.map.and_then(|map| map.entry(old)) else {
            return self;
        };
        let key = self.key;
        if let Some(current) = self.entry {
            let error = self.reader.message(old, &format!("is the old name of '{key}'"));
            let error = Diagnostic::error(error).at(entry.key.at, "the old name");
            let error = error.at(current.key.at, "the name of today, which is here, too");
            self.reader.diagnostics.push(error.help(format!("keep `{key}`")));
            return self;
        }
        let warning = self.reader.message(old, &format!("is called '{key}' today"));
        let warning = Diagnostic::warning(warning).at(entry.key.at, "an old name of the same key");
        let warning = warning.via(&entry.node).help(format!("write `{key}`"));
        self.reader.diagnostics.push(warning);
        self.entry = Some(entry);
        // What is wrong with the value is said of the key that was written.
        self.key = old;
        self
    }

    /// Warns that the key has no future, if it is there.
    pub fn deprecated(self, instead: &str) -> Self {
        if let Some(entry) = self.entry {
            let warning = self.reader.message(self.key, "is deprecated");
            let warning = Diagnostic::warning(warning).at(entry.key.at, "this will go away");
            self.reader.diagnostics.push(warning.via(&entry.node).help(instead));
        }
        self
    }

    /// Warns that the key does nothing here, if it has a value. `why` follows the key.
    pub fn without_effect(self, why: &str) -> Self {
        if let Some(entry) = self.entry.filter(|entry| !entry.node.is_null()) {
            let warning = self.reader.message(self.key, why);
            let warning = Diagnostic::warning(warning).at(entry.key.at, "it has no effect here");
            self.reader.diagnostics.push(warning.via(&entry.node).help("leave it out"));
        }
        self
    }

    /// Takes a key without a value for one that is not there, where [`section`](Self::section)
    /// would turn it on.
    pub fn unless_null(mut self) -> Self {
        self.entry = self.entry.filter(|entry| !entry.node.is_null());
        self
    }

    /// Whether the key is there, with or without a value.
    pub fn is_present(&self) -> bool {
        self.entry.is_some()
    }

    /// The value as it is.
    pub fn node(self) -> Option<&'n Node> {
        self.value()
    }

    /// The value, unless it is null.
    pub(super) fn value(&self) -> Option<&'n Node> {
        self.entry.map(|entry| &entry.node).filter(|node| !node.is_null())
    }

    /// Reports that the value, or a part of it, is not what it should be.
    pub(super) fn fault(&mut self, node: &Node, text: &str, label: &str, help: Option<String>) {
        let message = self.reader.message(self.key, text);
        self.reader
            .diagnostics
            .push(Diagnostic::error(message).at_node(node, label).maybe_help(help));
    }

    /// Reports another type than what is read, in the Collector's words.
    pub(super) fn wrong_type(&mut self, node: &Node, go_type: &str, label: &str) {
        let got = node.type_name();
        let text = format!("expected type '{go_type}', got unconvertible type '{got}'");
        let is_number = matches!(node.value, Value::Bool(_) | Value::Int(_) | Value::Float(_));
        let is_secret = self.reader.diagnostics.is_secret(&self.reader.path_of(self.key))
            || self.reader.diagnostics.is_hidden(node.at);
        let help = (go_type == "string" && is_number && node.via.is_none() && !is_secret)
            .then(|| format!("text is written in quotes: \"{}\"", node.shown()));
        self.fault(node, &text, label, help);
    }

    /// `true` or `false`; also `yes`, `no`, `on`, `off`, `y` and `n` without quotes.
    pub fn bool(mut self) -> Option<bool> {
        let node = self.value()?;
        let value = match &node.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) if node.plain => scalar::old_bool(text),
            _ => None,
        };
        if value.is_none() {
            self.wrong_type(node, "bool", "expected true or false");
        }
        value
    }

    /// A whole number in a range.
    pub fn int<T>(mut self, range: RangeInclusive<T>) -> Option<T>
    where
        T: Copy + Display + TryFrom<i128> + TryInto<i128>,
    {
        let node = self.value()?;
        #[allow(clippy::cast_possible_truncation)]
        let number = match node.value {
            Value::Int(number) => number,
            // Like 1e6, which is a float that stands for a whole number.
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e18 => number as i128,
            Value::Float(_) => {
                self.wrong_type(node, "int", "expected a whole number");
                return None;
            }
            _ => {
                self.wrong_type(node, "int", "expected a whole number without quotes");
                return None;
            }
        };
        let (low, high) = (*range.start(), *range.end());
        let is_inside = low.try_into().is_ok_and(|low: i128| low <= number)
            && high.try_into().is_ok_and(|high: i128| number <= high);
        if let (true, Ok(value)) = (is_inside, T::try_from(number)) {
            return Some(value);
        }
        self.out_of_range(node, low, high);
        None
    }

    fn out_of_range(&mut self, node: &Node, low: impl Display, high: impl Display) {
        let (low, high) = (low.to_string(), high.to_string());
        let is_open = high == u64::MAX.to_string() || high == i64::MAX.to_string();
        let bounds = match is_open {
            true => format!("{low} or more"),
            false => format!("from {low} to {high}"),
        };
        let label = format!("expected {bounds}");
        self.fault(node, &format!("must be {bounds}"), &label, None);
    }

    /// A number in a range.
    pub fn float(mut self, range: RangeInclusive<f64>) -> Option<f64> {
        let node = self.value()?;
        #[allow(clippy::cast_precision_loss)]
        let number = match node.value {
            Value::Int(number) => number as f64,
            Value::Float(number) => number,
            _ => {
                self.wrong_type(node, "float64", "expected a number without quotes");
                return None;
            }
        };
        if range.contains(&number) {
            return Some(number);
        }
        match *range.end() == f64::MAX {
            true => self.out_of_range(node, *range.start(), u64::MAX),
            false => self.out_of_range(node, *range.start(), *range.end()),
        }
        None
    }

    /// Text.
    pub fn string(mut self) -> Option<String> {
        self.text("string", "expected text").map(|(_, text)| text.to_owned())
    }

    fn text(&mut self, go_type: &str, label: &str) -> Option<(&'n Node, &'n str)> {
        let node = self.value()?;
        let text = node.as_text();
        match text {
            None => self.wrong_type(node, go_type, label),
            Some(_) => self.mark_text(node, None),
        }
        Some((node, text?))
    }

    /// Remembers that a value was taken as text, or that of a list at an index.
    pub(super) fn mark_text(&mut self, node: &Node, index: Option<usize>) {
        if !matches!(node.value, Value::String(_)) {
            let mut path = self.reader.path_of(self.key);
            path.extend(index.map(|index| format!("[{index}]").into()));
            self.reader.diagnostics.mark_text(path);
        }
    }

    /// Text that a pattern matches. `expected` says in words what that is.
    pub fn matching(self, pattern: &Regex, expected: &str) -> Option<String> {
        let check = |text: &str| match pattern.is_match(text) {
            true => Ok(text.to_owned()),
            false => Err(format!("must be {expected}")),
        };
        self.parsed(expected, check)
    }

    /// Text that the owner takes apart. `expected` says in words what it is; the error of `parse`
    /// says what is wrong with it, such as `must end with a port`, and is left out where the text
    /// may not be shown.
    pub fn parsed<T>(
        mut self,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (node, text) = self.text("string", &format!("expected {expected}"))?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                let is_hidden = node.via.as_ref().is_some_and(|via| via.hidden);
                let error = if is_hidden { format!("must be {expected}") } else { error };
                self.fault(node, &error, &format!("expected {expected}"), None);
                None
            }
        }
    }

    /// A password, a token or a key. It is not printed from here on.
    pub fn secret(mut self) -> Option<Secret> {
        let path = self.reader.path_of(self.key);
        self.reader.diagnostics.mark_secret(path);
        let node = self.value()?;
        if node.via.is_none() {
            self.reader.diagnostics.hide(node.at);
        }
        let Some(text) = node.as_text() else {
            let got = node.type_name();
            let text = format!("expected type 'string', got unconvertible type '{got}'");
            let error = Diagnostic::error(self.reader.message(self.key, &text));
            let error = error.at_node(node, "expected text").without_lines();
            let error = error.note("the line is not shown: there is a secret in it");
            self.reader.diagnostics.push(error.help("text is written in quotes"));
            return None;
        };
        self.mark_text(node, None);
        Some(Secret::new(text))
    }

    /// A duration in Go's syntax: `200ms`, `1.5s`, `1h30m`. A bare whole number is nanoseconds, as
    /// the Collector reads it, with a warning.
    pub fn duration(mut self) -> Option<Duration> {
        let node = self.value()?;
        if let Value::Int(number) = node.value {
            return self.nanoseconds(node, number);
        }
        let (node, text) = self.text("time.Duration", "expected a duration")?;
        let shown = node.shown();
        let (problem, label) = match scalar::duration(text) {
            Ok(duration) => return Some(duration),
            Err(NoDuration::Invalid) => (format!("time: invalid duration {shown:?}"), ""),
            Err(NoDuration::MissingUnit) => {
                (format!("time: missing unit in duration {shown:?}"), "a unit is missing")
            }
            Err(NoDuration::UnknownUnit(_)) if shown != text => {
                (format!("time: unknown unit in duration {shown:?}"), "")
            }
            Err(NoDuration::UnknownUnit(unit)) => {
                (format!("time: unknown unit {unit:?} in duration {shown:?}"), "")
            }
            Err(NoDuration::Negative) => ("must not be negative".to_owned(), "less than zero"),
            Err(NoDuration::TooLong) => {
                (format!("time: invalid duration {shown:?}"), "longer than 292 years")
            }
        };
        let label = if label.is_empty() { "expected a duration" } else { label };
        let help = "a duration is numbers with units ns, us, ms, s, m and h, like 200ms or 1h30m";
        self.fault(node, &problem, label, Some(help.to_owned()));
        None
    }

    fn nanoseconds(&mut self, node: &Node, number: i128) -> Option<Duration> {
        let Ok(nanos) = u64::try_from(number) else {
            self.fault(node, "must not be negative", "less than zero", None);
            return None;
        };
        if nanos > 0 {
            let message = self.reader.message(self.key, "is a number without a unit");
            let label = "this is nanoseconds";
            let warning = Diagnostic::warning(message).at_node(node, label);
            let help = match node.via {
                Some(_) => "write the unit, too, like 200ms or 5s".to_owned(),
                None => format!("write the unit, too: {nanos}ns if it is meant so, or {nanos}s"),
            };
            self.reader.diagnostics.push(warning.help(help));
        }
        Some(Duration::from_nanos(nanos))
    }

    /// A number of bytes: `1048576`, or with a unit: `1MiB`, `10 MB`.
    pub fn bytes(mut self, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.value()?;
        let bytes = match &node.value {
            Value::Int(number) => u64::try_from(*number).ok(),
            Value::String(text) => scalar::bytes(text),
            _ => {
                self.wrong_type(node, "int", "expected a number of bytes");
                return None;
            }
        };
        match bytes {
            Some(bytes) if range.contains(&bytes) => Some(bytes),
            Some(_) => {
                self.out_of_range(node, range.start(), range.end());
                None
            }
            None => {
                let text = format!("{:?} is no number of bytes", node.shown());
                let help = "a size is a whole number, alone or with B, kB, KiB, MB, MiB, GB, GiB";
                self.fault(node, &text, "expected a size", Some(help.to_owned()));
                None
            }
        }
    }

    /// One of some words, and what it stands for.
    pub fn choice<T: Copy>(self, choices: &[(&'static str, T)]) -> Option<T> {
        self.chosen(choices, str::eq)
    }

    /// The same, for words that the Collector reads in capitals, too.
    pub fn choice_in_any_case<T: Copy>(self, choices: &[(&'static str, T)]) -> Option<T> {
        self.chosen(choices, str::eq_ignore_ascii_case)
    }

    fn chosen<T: Copy>(
        mut self,
        choices: &[(&'static str, T)],
        is_same: impl Fn(&str, &str) -> bool,
    ) -> Option<T> {
        let (node, text) = self.text("string", "expected one of some words")?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| is_same(word, text)) {
            return Some(*value);
        }
        let words = choices.iter().map(|(word, _)| *word);
        let near = suggest::nearest(text, words.clone());
        let is_hidden = node.shown() != text;
        let label = match near {
            Some(near) if !is_hidden => format!("did you mean `{near}`?"),
            _ => "this is none of them".to_owned(),
        };
        let list: Vec<String> = words.map(|word| format!("{word:?}")).collect();
        let text =
            format!("unsupported value {:?}: must be one of {}", node.shown(), list.join(", "));
        self.fault(node, &text, &label, None);
        None
    }
}
