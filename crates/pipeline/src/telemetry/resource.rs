//! What Spanfall says it is.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use config::{Diagnostic, Node, Reader, Value};
use model::encode_key_value;
use model::wire::{put_bytes_field, put_fixed64_field, put_varint_field};

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
}

impl Scalar {
    /// As text.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Int(number) => number.to_string(),
            Self::Double(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
        }
    }

    /// As an `AnyValue`'s content.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => put_bytes_field(out, 1, text.as_bytes()),
            Self::Bool(value) => put_varint_field(out, 2, u64::from(*value)),
            Self::Int(number) => put_varint_field(out, 3, number.cast_unsigned()),
            Self::Double(number) => put_fixed64_field(out, 4, number.to_bits()),
        }
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A value of YAML that is neither a map nor a list nor null.
pub(super) fn scalar(node: &Node) -> Option<Scalar> {
    match &node.value {
        Value::Bool(value) => Some(Scalar::Bool(*value)),
        Value::Int(number) => i64::try_from(*number).ok().map(Scalar::Int),
        Value::Float(number) => Some(Scalar::Double(*number)),
        _ => node.as_text().map(|text| Scalar::Text(text.to_owned())),
    }
}

/// The attributes of the resource.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resource {
    pub(super) attributes: Vec<(String, Scalar)>,
}

impl Default for Resource {
    fn default() -> Self {
        let own = [
            ("service.name", "spanfall"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", instance()),
        ];
        let own = own.into_iter().map(|(key, value)| (key.to_owned(), value.into()));
        Self { attributes: own.collect() }
    }
}

impl Resource {
    fn set(&mut self, key: &str, value: Option<Scalar>) {
        self.attributes.retain(|(own, _)| own != key);
        if let Some(value) = value {
            self.attributes.push((key.to_owned(), value));
        }
    }

    /// As a `Resource` message's content.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, value) in &self.attributes {
            encode_key_value(&mut out, 1, key.as_bytes(), |out| value.put(out));
        }
        out
    }
}

/// The same for as long as the process lives, so that a reload makes no new instance of it
/// (RFC 9562, version 4).
fn instance() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let random = RandomState::new();
        let (high, low) = (random.hash_one(0), random.hash_one(1));
        let id = (u128::from(high) << 64) | u128::from(low);
        let id = id & !(0xf000 << 64) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
        let hex = format!("{id:032x}");
        let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
        let parts = parts.map(|(from, to)| hex.get(from..to).unwrap_or_default());
        parts.join("-")
    })
}

/// `resource`: a map of attributes, of which null takes away what is set by itself; or the SDKs'
/// way, a list below `attributes`.
pub(super) fn resource(reader: &mut Reader<'_, '_>) -> Resource {
    let mut resource = Resource::default();
    let Some(node) = reader.field("resource").node() else {
        return resource;
    };
    let Some(map) = node.as_map() else {
        reader.fault("resource", "expected a map of attributes");
        return resource;
    };
    let is_list = |key: &str| map.get(key).is_some_and(|node| node.as_list().is_some());
    if is_list("attributes") || map.get("attributes_list").is_some() {
        reader.field("resource").section(|reader| declared(reader, &mut resource));
        return resource;
    }
    for entry in map.iter() {
        let value = scalar(&entry.node);
        if value.is_none() && !entry.node.is_null() {
            wrong(reader, &entry.node, &entry.key.text);
            continue;
        }
        resource.set(&entry.key.text, value);
    }
    resource
}

fn wrong(reader: &mut Reader<'_, '_>, node: &Node, key: &str) {
    reader.report(|owner, _| {
        let error = Diagnostic::error(format!("{owner}: 'resource.{key}' is no text or number"));
        error.at_node(node, "expected text, a number, true or false, or null to leave it out")
    });
}

/// As the SDKs' configuration has it. What is in the list goes before what is in the text.
fn declared(reader: &mut Reader<'_, '_>, resource: &mut Resource) {
    reader.field("schema_url").string();
    for key in ["detectors", "detection/development"] {
        reader.field(key).node();
    }
    let list = reader.field("attributes_list").string().unwrap_or_default();
    for pair in list.split(',').filter(|pair| !pair.trim().is_empty()) {
        match pair.split_once('=') {
            Some((key, value)) => resource.set(key.trim(), Some(value.trim().into())),
            None => reader.fault("attributes_list", "is pairs like a=b,c=d"),
        }
    }
    let attributes = reader.field("attributes").list_of(|reader| {
        reader.field("type").string();
        let name = reader.field("name").required().string();
        let value = reader.field("value").node();
        (name, value)
    });
    for (name, node) in attributes.into_iter().flatten() {
        let Some(name) = name else { continue };
        let value = node.and_then(scalar);
        match node {
            Some(node) if value.is_none() => wrong(reader, node, &name),
            _ => resource.set(&name, value),
        }
    }
}
