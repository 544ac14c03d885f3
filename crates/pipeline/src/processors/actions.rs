//! Actions on attributes: what the `attributes` and `resource` processors are made of.

use std::borrow::Cow;

use model::{Owner, SpanBatch, Text, Value};
use regex::Regex;
use sha2::{Digest, Sha256};

use crate::consumer::Refusal;
use crate::data::Client;

/// A value as configuration gives it.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// Text.
    Text(String),
    /// A number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Yes or no.
    Bool(bool),
}

impl Literal {
    /// As text.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Int(value) => value.to_string(),
            Self::Double(value) => value.to_string(),
            Self::Bool(value) => value.to_string(),
        }
    }

    /// As a value of a batch.
    pub fn value(&self, batch: &mut SpanBatch) -> Result<Value, model::EditError> {
        Ok(match self {
            Self::Text(text) => Value::String(batch.add_text(text.as_bytes())?),
            Self::Int(value) => Value::Int(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Bool(value) => Value::Bool(*value),
        })
    }
}

/// Where the value of an action comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The configuration.
    Value(Literal),
    /// Another attribute of the same owner.
    Attribute(String),
    /// The request: `metadata.<header>`, also without `metadata.`, `auth.<attribute>` or
    /// `client.address`.
    Context(String),
    /// The first, or this where it has nothing.
    Or(Box<Source>, Literal),
}

impl Source {
    /// The attribute that is looked at.
    fn attribute(&self) -> Option<&str> {
        match self {
            Self::Attribute(name) => Some(name),
            Self::Or(first, _) => first.attribute(),
            Self::Value(_) | Self::Context(_) => None,
        }
    }

    /// What is the same for all spans of a batch; nothing where only an attribute says it.
    fn of_batch(
        &self,
        batch: &mut SpanBatch,
        client: &Client,
    ) -> Result<Option<Value>, model::EditError> {
        Ok(match self {
            Self::Value(literal) => Some(literal.value(batch)?),
            Self::Context(name) => match from_context(client, name) {
                Some(text) => Some(Value::String(batch.add_text(text.as_bytes())?)),
                None => None,
            },
            Self::Attribute(_) => None,
            Self::Or(first, default) => match first.of_batch(batch, client)? {
                Some(value) => Some(value),
                None => Some(default.value(batch)?),
            },
        })
    }
}

/// To what type a value is converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Converted {
    /// A whole number.
    Int,
    /// A floating-point number.
    Double,
    /// Text.
    String,
}

/// One action; they are done in order.
#[derive(Debug, Clone)]
pub enum Action {
    /// Adds the key where it is missing.
    Insert(String, Source),
    /// Changes the key where it is.
    Update(String, Source),
    /// Both.
    Upsert(String, Source),
    /// Removes keys.
    Delete(Keys),
    /// Replaces the values of keys by their SHA-256, in hexadecimal.
    Hash(Keys),
    /// Sets a key for every named group of a pattern that the key's text matches.
    Extract(String, Regex),
    /// Changes the type of a key's value; one that cannot be converted stays.
    Convert(String, Converted),
}

/// Which keys.
#[derive(Debug, Clone)]
pub struct Keys {
    /// This one.
    pub key: Option<String>,
    /// And all in which this pattern is found.
    pub pattern: Option<Regex>,
}

impl Keys {
    fn has(&self, key: &[u8]) -> bool {
        self.key.as_ref().is_some_and(|own| own.as_bytes() == key)
            || self.pattern.as_ref().is_some_and(|pattern| {
                std::str::from_utf8(key).is_ok_and(|key| pattern.is_match(key))
            })
    }
}

/// Actions, with the texts that they add to a batch.
pub struct Prepared<'a> {
    actions: Vec<(&'a Action, Text, Option<Value>)>,
}

impl<'a> Prepared<'a> {
    /// Texts go into the batch once, however many spans get them.
    pub fn new(
        actions: &'a [Action],
        batch: &mut SpanBatch,
        client: &Client,
    ) -> Result<Self, Refusal> {
        let mut prepared = Vec::with_capacity(actions.len());
        for action in actions {
            let (key, value) = match action {
                Action::Insert(key, source)
                | Action::Update(key, source)
                | Action::Upsert(key, source) => {
                    let value = source.of_batch(batch, client)?;
                    (batch.add_text(key.as_bytes())?, value)
                }
                _ => (Text::EMPTY, None),
            };
            prepared.push((action, key, value));
        }
        Ok(Self { actions: prepared })
    }

    /// Does all actions on an owner.
    pub fn apply(&self, batch: &mut SpanBatch, owner: Owner) -> Result<(), Refusal> {
        for (action, key, value) in &self.actions {
            match action {
                Action::Insert(name, source)
                | Action::Update(name, source)
                | Action::Upsert(name, source) => {
                    let found = source
                        .attribute()
                        .and_then(|from| batch.find_attribute(owner, from.as_bytes()))
                        .map(|at| batch.attributes(owner)[at].value);
                    let Some(value) = found.or(*value) else { continue };
                    match (batch.find_attribute(owner, name.as_bytes()), action) {
                        (Some(_), Action::Insert(..)) | (None, Action::Update(..)) => {}
                        (Some(place), _) => batch.set_value(owner, place, value),
                        (None, _) => {
                            let attribute = model::Attribute { key: *key, value };
                            batch.push_attribute(owner, attribute)?;
                        }
                    }
                }
                Action::Delete(keys) => {
                    batch.retain_attributes(owner, |batch, attribute| {
                        !keys.has(batch.bytes_of(attribute.key))
                    });
                }
                Action::Hash(keys) => {
                    for place in 0..batch.attributes(owner).len() {
                        let attribute = batch.attributes(owner)[place];
                        if keys.has(batch.bytes_of(attribute.key)) {
                            let hash = sha256_hex(&hashed_bytes(batch, attribute.value));
                            let hash = batch.add_text(hash.as_bytes())?;
                            batch.set_value(owner, place, Value::String(hash));
                        }
                    }
                }
                Action::Extract(name, pattern) => extract(batch, owner, name, pattern)?,
                Action::Convert(name, to) => convert(batch, owner, name, *to)?,
            }
        }
        Ok(())
    }
}

/// What the request says of itself.
fn from_context(client: &Client, name: &str) -> Option<String> {
    if name == "client.address" {
        return client.address.map(|at| at.ip().to_string());
    }
    if let Some(key) = name.strip_prefix("auth.") {
        return client.auth.iter().find(|(own, _)| own == key).map(|(_, value)| value.clone());
    }
    // As it was written before there was anything else.
    let header = name.strip_prefix("metadata.").unwrap_or(name);
    let values: Vec<&str> = client.values(header).collect();
    (!values.is_empty()).then(|| values.join(";"))
}

/// A value as text, numbers as Go writes them: 2 and not 2.0.
pub(crate) fn text_of(batch: &SpanBatch, value: Value) -> String {
    match value {
        Value::Double(number) if number.is_finite() => {
            let size = number.abs();
            if size == 0.0 || (1e-6..1e21).contains(&size) {
                return number.to_string();
            }
            let text = format!("{number:e}");
            if text.contains("e-") { text } else { text.replace('e', "e+") }
        }
        other => model::json::value_text(batch, other),
    }
}

/// The bytes that are hashed: text as it is, numbers as 8 bytes, little end first.
pub(crate) fn hashed_bytes(batch: &SpanBatch, value: Value) -> Cow<'_, [u8]> {
    match value {
        Value::String(text) | Value::Bytes(text) => Cow::Borrowed(batch.bytes_of(text)),
        Value::Int(value) => Cow::Owned(value.to_le_bytes().to_vec()),
        Value::Double(value) => Cow::Owned(value.to_bits().to_le_bytes().to_vec()),
        Value::Bool(value) => Cow::Owned(vec![u8::from(value)]),
        other => Cow::Owned(model::json::value_text(batch, other).into_bytes()),
    }
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn extract(
    batch: &mut SpanBatch,
    owner: Owner,
    name: &str,
    pattern: &Regex,
) -> Result<(), Refusal> {
    let Some(place) = batch.find_attribute(owner, name.as_bytes()) else { return Ok(()) };
    let Value::String(text) = batch.attributes(owner)[place].value else { return Ok(()) };
    let Some(found) = pattern.captures(batch.text(text)) else { return Ok(()) };
    let groups: Vec<(String, String)> = pattern
        .capture_names()
        .flatten()
        .map(|group| {
            let text = found.name(group).map_or("", |text| text.as_str());
            (group.to_owned(), text.to_owned())
        })
        .collect();
    for (key, text) in groups {
        let key = batch.add_text(key.as_bytes())?;
        let text = batch.add_text(text.as_bytes())?;
        batch.set_attribute(owner, key, Value::String(text))?;
    }
    Ok(())
}

fn convert(batch: &mut SpanBatch, owner: Owner, name: &str, to: Converted) -> Result<(), Refusal> {
    let Some(place) = batch.find_attribute(owner, name.as_bytes()) else { return Ok(()) };
    let value = batch.attributes(owner)[place].value;
    let converted = match (to, value) {
        (Converted::Int, Value::String(text)) => {
            batch.text(text).trim().parse().ok().map(Value::Int)
        }
        (Converted::Int, Value::Double(value)) => Some(Value::Int(value as i64)),
        (Converted::Int, Value::Bool(value)) => Some(Value::Int(value.into())),
        (Converted::Double, Value::String(text)) => {
            batch.text(text).trim().parse().ok().map(Value::Double)
        }
        (Converted::Double, Value::Int(value)) => Some(Value::Double(value as f64)),
        (Converted::Double, Value::Bool(value)) => Some(Value::Double(value.into())),
        (Converted::String, Value::String(_)) => None,
        (Converted::String, value) => {
            let text = text_of(batch, value);
            Some(Value::String(batch.add_text(text.as_bytes())?))
        }
        _ => None,
    };
    if let Some(value) = converted {
        batch.set_value(owner, place, value);
    }
    Ok(())
}
