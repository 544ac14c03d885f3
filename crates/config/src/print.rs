//! A document as text: what the sources came to when they were merged and expanded.

use std::fmt::Write;
use std::sync::Arc;

use crate::diagnostic::Diagnostics;
use crate::document::Document;
use crate::node::{Map, Node, Value};
use crate::scalar;
use crate::secret::{REDACTED, is_secret_key, is_secret_path, password};

/// The most bytes of a key that is written on the line of its value.
const SIMPLE_KEY_BYTES_MAX: usize = 1000;

/// The language of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML, in block style.
    Yaml,
    /// JSON, indented.
    Json,
}

/// What becomes of passwords, tokens and headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// They are replaced by [`REDACTED`].
    Redacted,
    /// They are written.
    Shown,
}

/// Writes a document, with a line break at its end. Read again, it is the same document, if
/// secrets are shown.
///
/// Secret is what readers took as a secret, which `diagnostics` remembers, and where nobody read
/// it, what stands under a key like `password` or in `headers`.
pub fn print(
    document: &Document,
    diagnostics: &Diagnostics,
    format: Format,
    secrets: Secrets,
) -> String {
    let mut printer = Printer { out: String::new(), diagnostics, secrets, path: Vec::new() };
    if let Some(root) = &document.root {
        match format {
            Format::Yaml => printer.yaml(root, 0, false),
            Format::Json => printer.json(root, 0),
        }
    }
    if !printer.out.ends_with('\n') {
        printer.out.push('\n');
    }
    printer.out
}

struct Printer<'a> {
    out: String,
    /// What knows how values were read.
    diagnostics: &'a Diagnostics,
    secrets: Secrets,
    /// Keys from the root to the value.
    path: Vec<Arc<str>>,
}

/// What is written for a value.
enum Shape<'a> {
    Scalar(String),
    List(&'a [Node]),
    Map(&'a Map),
}

impl Printer<'_> {
    fn shape<'n>(&self, node: &'n Node, format: Format) -> Shape<'n> {
        if self.is_secret() && !node.is_null() {
            return Shape::Scalar(quoted(REDACTED));
        }
        // What was read as text although it looks like a number, nobody would read again without
        // quotes.
        if let Some(text) = node.as_text().filter(|_| self.diagnostics.is_text(&self.path)) {
            return self.text(text, format);
        }
        match &node.value {
            Value::List(list) if !list.is_empty() => Shape::List(list),
            Value::Map(map) if !map.is_empty() => Shape::Map(map),
            Value::List(_) => Shape::Scalar("[]".to_owned()),
            Value::Map(_) => Shape::Scalar("{}".to_owned()),
            Value::String(text) => self.text(text, format),
            Value::Null => Shape::Scalar("null".to_owned()),
            Value::Bool(value) => Shape::Scalar(value.to_string()),
            Value::Int(number) => Shape::Scalar(match (format, &node.text) {
                // Who reads it as text again finds the digits that there were.
                (Format::Yaml, Some(text)) if node.loose && is_plain_number(text, node) => {
                    text.trim().to_owned()
                }
                _ => number.to_string(),
            }),
            Value::Float(number) => Shape::Scalar(float(*number, format)),
        }
    }

    fn is_secret(&self) -> bool {
        if self.secrets == Secrets::Shown {
            return false;
        }
        let keys: Vec<&str> = self.path.iter().map(|key| &**key).collect();
        self.diagnostics.is_secret(&self.path) || is_secret_path(&keys)
    }

    fn text(&self, text: &str, format: Format) -> Shape<'static> {
        let text = match self.secrets {
            Secrets::Redacted => without_secrets(text),
            Secrets::Shown => text.to_owned(),
        };
        Shape::Scalar(match format {
            Format::Yaml => yaml_text(&escaped(&text)),
            Format::Json => quoted(&escaped(&text)),
        })
    }

    /// `is_inline` says that the line is begun already, by a key or by the mark of a list.
    fn yaml(&mut self, node: &Node, indent: usize, is_inline: bool) {
        match self.shape(node, Format::Yaml) {
            Shape::Scalar(text) => {
                self.out.push_str(&text);
                self.out.push('\n');
            }
            Shape::List(list) => {
                for (index, node) in list.iter().enumerate() {
                    self.start(indent, is_inline && index == 0);
                    self.out.push_str("- ");
                    self.path.push(format!("[{index}]").into());
                    self.yaml(node, indent + 2, true);
                    self.path.pop();
                }
            }
            Shape::Map(map) => {
                for (index, entry) in map.iter().enumerate() {
                    self.start(indent, is_inline && index == 0);
                    let key = yaml_text(&entry.key.text);
                    if key.len() > SIMPLE_KEY_BYTES_MAX {
                        let _ = write!(self.out, "? {key}\n{:indent$}:", "");
                    } else {
                        let _ = write!(self.out, "{key}:");
                    }
                    self.path.push(entry.key.text.clone());
                    match self.shape(&entry.node, Format::Yaml) {
                        Shape::Scalar(text) => {
                            let _ = writeln!(self.out, " {text}");
                        }
                        _ => {
                            self.out.push('\n');
                            self.yaml(&entry.node, indent + 2, false);
                        }
                    }
                    self.path.pop();
                }
            }
        }
    }

    fn start(&mut self, indent: usize, is_begun: bool) {
        if !is_begun {
            let _ = write!(self.out, "{:indent$}", "");
        }
    }

    fn json(&mut self, node: &Node, indent: usize) {
        let inner = indent + 2;
        match self.shape(node, Format::Json) {
            Shape::Scalar(text) => self.out.push_str(&text),
            Shape::List(list) => {
                self.out.push('[');
                for (index, node) in list.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    let _ = write!(self.out, "{comma}\n{:inner$}", "");
                    self.path.push(format!("[{index}]").into());
                    self.json(node, inner);
                    self.path.pop();
                }
                let _ = write!(self.out, "\n{:indent$}]", "");
            }
            Shape::Map(map) => {
                self.out.push('{');
                for (index, entry) in map.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    let key = quoted(&entry.key.text);
                    let _ = write!(self.out, "{comma}\n{:inner$}{key}: ", "");
                    self.path.push(entry.key.text.clone());
                    self.json(&entry.node, inner);
                    self.path.pop();
                }
                let _ = write!(self.out, "\n{:indent$}}}", "");
            }
        }
    }
}

/// Whether a text stands for the same number again.
fn is_plain_number(text: &str, node: &Node) -> bool {
    let value = scalar::resolve(text.trim());
    Node::new(value, node.at) == *node
}

fn float(number: f64, format: Format) -> String {
    let text = match number {
        number if number.is_nan() => ".nan",
        f64::INFINITY => ".inf",
        f64::NEG_INFINITY => "-.inf",
        number => return format!("{number:?}"),
    };
    match format {
        Format::Yaml => text.to_owned(),
        // JSON has no such numbers.
        Format::Json => quoted(text),
    }
}

/// Dollar signs as they have to be written to be left alone.
fn escaped(text: &str) -> String {
    match text.contains("${") || text.contains("$$") {
        true => text.replace('$', "$$"),
        false => text.to_owned(),
    }
}

/// A URL without the password of its user, and without secrets in its query.
fn without_secrets(text: &str) -> String {
    let Some(start) = text.find("://").map(|at| at + 3) else {
        return text.to_owned();
    };
    let mut text = text.to_owned();
    if let Some(at) = password(&text, start) {
        text.replace_range(at, REDACTED);
    }
    let Some((address, query)) = text.split_once('?') else {
        return text;
    };
    let shown = |pair: &str| match pair.split_once('=') {
        Some((key, _)) if is_secret_key(key) => format!("{key}={REDACTED}"),
        _ => pair.to_owned(),
    };
    let pairs: Vec<String> = query.split('&').map(shown).collect();
    format!("{address}?{}", pairs.join("&"))
}

/// Text without quotes where every reader of YAML takes it as text, else in quotes.
fn yaml_text(text: &str) -> String {
    let is_inner = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':' | b'+')
    };
    let starts = text.starts_with(|first: char| {
        first.is_ascii_alphanumeric() || matches!(first, '_' | '/' | '.')
    });
    let is_date_or_time =
        text.starts_with(|first: char| first.is_ascii_digit()) && text.contains(['-', ':']);
    let is_plain = starts
        && text.bytes().all(is_inner)
        && !text.ends_with(':')
        && !is_date_or_time
        && !text.starts_with("...")
        && scalar::old_bool(text).is_none()
        && matches!(scalar::resolve(text), Value::String(_));
    if is_plain { text.to_owned() } else { quoted(text) }
}

/// Text in double quotes, as JSON and YAML both read it.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // What YAML may not hold as it is, and what breaks lines.
            letter
                if letter.is_control()
                    || matches!(
                        letter,
                        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
                    ) =>
            {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}
