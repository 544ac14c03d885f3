//! Values: what literals, paths and converters give.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::path::Key;

/// Which of its variants a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Nil,
    Bool,
    Int,
    Double,
    String,
    Bytes,
    List,
    Map,
    Time,
    Duration,
}

impl Kind {
    /// As messages name it.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool => "a boolean",
            Self::Int => "an integer",
            Self::Double => "a float",
            Self::String => "a string",
            Self::Bytes => "bytes",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Time => "a time",
            Self::Duration => "a duration",
        }
    }
}

/// Names and values in their order; of two with one name the first counts.
pub type Map<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// A value. Text and bytes may be borrowed from the item or the statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value<'a> {
    /// Nothing is there.
    #[default]
    Nil,
    /// A boolean.
    Bool(bool),
    /// An integer; also an enumeration's.
    Int(i64),
    /// A float.
    Double(f64),
    /// A text.
    String(Cow<'a, str>),
    /// Bytes; also the id of a trace or span.
    Bytes(Cow<'a, [u8]>),
    /// A list of values of any kinds.
    List(Vec<Value<'a>>),
    /// A map.
    Map(Map<'a>),
    /// A moment, in nanoseconds since 1970 UTC.
    Time(i64),
    /// A length of time, in nanoseconds.
    Duration(i64),
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::String(Cow::Borrowed(value))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::String(Cow::Owned(value))
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(value: Cow<'a, str>) -> Self {
        Self::String(value)
    }
}

impl<'a> Value<'a> {
    /// Which variant it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Nil => Kind::Nil,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Double(_) => Kind::Double,
            Self::String(_) => Kind::String,
            Self::Bytes(_) => Kind::Bytes,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
            Self::Time(_) => Kind::Time,
            Self::Duration(_) => Kind::Duration,
        }
    }

    /// Whether nothing is there.
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// The same, borrowing its text and bytes.
    pub fn view(&self) -> Value<'_> {
        match self {
            Self::Nil => Value::Nil,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Double(value) => Value::Double(*value),
            Self::String(text) => Value::String(Cow::Borrowed(text)),
            Self::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
            Self::List(list) => Value::List(list.iter().map(Value::view).collect()),
            Self::Map(map) => Value::Map(
                map.iter().map(|(key, value)| (Cow::Borrowed(&**key), value.view())).collect(),
            ),
            Self::Time(nanos) => Value::Time(*nanos),
            Self::Duration(nanos) => Value::Duration(*nanos),
        }
    }

    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Nil => Value::Nil,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Double(value) => Value::Double(value),
            Self::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Self::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Self::List(list) => Value::List(list.into_iter().map(Value::into_owned).collect()),
            Self::Map(map) => Value::Map(
                map.into_iter()
                    .map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned()))
                    .collect(),
            ),
            Self::Time(nanos) => Value::Time(nanos),
            Self::Duration(nanos) => Value::Duration(nanos),
        }
    }

    /// What the keys lead to, if they lead anywhere.
    pub fn at(&self, keys: &[Key]) -> Option<&Value<'a>> {
        keys.iter().try_fold(self, |value, key| match (value, key) {
            (Self::Map(map), Key::Name(name)) => {
                map.iter().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            (Self::List(list), Key::Index(index)) => list.get(*index),
            _ => None,
        })
    }

    /// What the keys lead to, to be changed in place.
    pub fn at_mut(&mut self, keys: &[Key]) -> Option<&mut Value<'a>> {
        keys.iter().try_fold(self, |value, key| match (value, key) {
            (Self::Map(map), Key::Name(name)) => {
                map.iter_mut().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            (Self::List(list), Key::Index(index)) => list.get_mut(*index),
            _ => None,
        })
    }

    /// Puts a value where the keys lead, and makes the maps on the way that are not there; nil
    /// takes the entry of a map away and leaves nil in a list. Refuses a key into what is neither
    /// map nor list, and an index beyond a list's end.
    pub fn put(&mut self, keys: &[Key], value: Value<'a>) -> Result<(), &'static str> {
        let Some((key, rest)) = keys.split_first() else {
            *self = value;
            return Ok(());
        };
        match (self, key) {
            (Self::List(list), Key::Index(index)) => match list.get_mut(*index) {
                Some(slot) => slot.put(rest, value),
                None => Err("the list has no such index"),
            },
            (map @ (Self::Nil | Self::Map(_)), Key::Name(name)) => {
                if map.is_nil() {
                    *map = Self::Map(Vec::new());
                }
                let Self::Map(entries) = map else { return Ok(()) };
                let at = entries.iter().position(|(key, _)| key == name);
                match at {
                    Some(at) if rest.is_empty() && value.is_nil() => {
                        entries.remove(at);
                        Ok(())
                    }
                    Some(at) => match entries.get_mut(at) {
                        Some((_, slot)) => slot.put(rest, value),
                        None => Ok(()),
                    },
                    None if value.is_nil() => Ok(()),
                    None => {
                        let mut slot = Self::Nil;
                        slot.put(rest, value)?;
                        entries.push((Cow::Owned(name.clone()), slot));
                        Ok(())
                    }
                }
            }
            (_, Key::Name(_)) => Err("only a map has names in it"),
            (_, Key::Index(_)) => Err("only a list has indexes"),
        }
    }

    /// The value as text: numbers in decimal, bytes in hexadecimal, lists and maps as JSON, times
    /// as RFC 3339, durations in Go's manner. Nothing for nil.
    pub fn to_text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Nil => return None,
            Self::String(text) => Cow::Borrowed(text),
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Double(value) => Cow::Owned(float_text(*value)),
            Self::Bytes(bytes) => Cow::Owned(hex(bytes)),
            Self::List(_) | Self::Map(_) => {
                let mut out = String::new();
                write_json(self, &mut out);
                Cow::Owned(out)
            }
            Self::Time(nanos) => Cow::Owned(crate::times::rfc3339(*nanos)),
            Self::Duration(nanos) => Cow::Owned(crate::times::duration_text(*nanos)),
        })
    }

    /// `to_text` that keeps a text which is owned already.
    pub(crate) fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::String(text) => Some(text),
            other => other.to_text().map(|text| Cow::Owned(text.into_owned())),
        }
    }
}

/// Of several entries with one key the last stays, in the place of the first. In one go: maps may
/// come from the texts of items and have any length.
pub(crate) fn keep_last(map: &mut Map<'_>) {
    let mut places = HashMap::with_capacity(map.len());
    let mut kept: Map<'_> = Vec::with_capacity(map.len());
    for (key, value) in std::mem::take(map) {
        match places.get(&key).and_then(|at: &usize| kept.get_mut(*at)) {
            Some((_, slot)) => *slot = value,
            None => {
                places.insert(key.clone(), kept.len());
                kept.push((key, value));
            }
        }
    }
    *map = kept;
}

/// A float without an exponent, as short as it reads back the same.
fn float_text(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

/// Two lower case digits for a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The bytes of hexadecimal digits, of either case.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

fn write_json(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Double(value) if !value.is_finite() => out.push_str("null"),
        Value::Bool(_) | Value::Int(_) | Value::Double(_) => {
            out.push_str(&value.to_text().unwrap_or_default());
        }
        Value::String(text) => write_quoted(text, out),
        Value::Bytes(bytes) => write_quoted(&STANDARD.encode(bytes), out),
        Value::Time(_) | Value::Duration(_) => {
            write_quoted(&value.to_text().unwrap_or_default(), out);
        }
        Value::List(list) => {
            out.push('[');
            for (at, value) in list.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write_json(value, out);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (at, (key, value)) in map.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write_quoted(key, out);
                out.push(':');
                write_json(value, out);
            }
            out.push('}');
        }
    }
}

fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
