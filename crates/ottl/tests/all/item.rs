//! A target in memory.

use std::borrow::Cow;

use ottl::{
    ClientField, EventField, Field, Host, Key, Kind, Path, Put, Refusal, ResourceField, ScopeField,
    SpanField, Target, Value,
};

use crate::{list, map, text};

/// A clock that stands and a chance that is none.
pub struct Settled;

impl Host for Settled {
    fn now_nanos(&self) -> i64 {
        1_700_000_000_123_456_789
    }

    fn random(&self) -> u128 {
        0x0123_4567_89ab_cdef_0123_4567_89ab_cdef
    }
}

/// A span with everything around it; attributes are lists of names and values.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    fields: Vec<(Field, Value<'static>)>,
    /// Whether maps are changed where they are, not as a whole.
    pub in_place: bool,
}

pub const ATTRIBUTES: Field = Field::Span(SpanField::Attributes);

impl Item {
    pub fn with(attributes: &[(&str, Value<'static>)]) -> Self {
        Self { fields: vec![(ATTRIBUTES, map(attributes))], in_place: true }
    }

    pub fn in_place(self, in_place: bool) -> Self {
        Self { in_place, ..self }
    }

    /// One with something in every field.
    pub fn usual() -> Self {
        let mut item = Self::with(&[
            ("text", text("hello world")),
            ("int", Value::Int(200)),
            ("double", Value::Double(1.5)),
            ("yes", Value::Bool(true)),
            ("no", Value::Bool(false)),
            ("list", list(&["a", "b", "c"])),
            ("map", map(&[("x", map(&[("y", Value::Int(1))])), ("z", text("s"))])),
            ("bytes", Value::Bytes(Cow::Borrowed(&[1, 2]))),
            ("key", text("text")),
            ("index", Value::Int(1)),
            ("negative", Value::Int(-1)),
            ("zero", Value::Int(0)),
            ("empty", text("")),
            ("umlaut", text("grün")),
        ]);
        let more = [
            (Field::Resource(ResourceField::Attributes), map(&[("service.name", text("cart"))])),
            (Field::Resource(ResourceField::SchemaUrl), text("https://example.com/r")),
            (Field::Resource(ResourceField::DroppedAttributesCount), Value::Int(1)),
            (Field::Scope(ScopeField::Name), text("library")),
            (Field::Scope(ScopeField::Version), text("1.2")),
            (Field::Scope(ScopeField::Attributes), map(&[("k", text("v"))])),
            (Field::Scope(ScopeField::SchemaUrl), text("https://example.com/s")),
            (Field::Scope(ScopeField::DroppedAttributesCount), Value::Int(2)),
            (Field::Span(SpanField::Name), text("GET /cart")),
            (Field::Span(SpanField::Kind), Value::Int(2)),
            (Field::Span(SpanField::KindString), text("Server")),
            (Field::Span(SpanField::KindDeprecatedString), text("SPAN_KIND_SERVER")),
            (Field::Span(SpanField::TraceId), Value::Bytes(Cow::Owned((1..=16).collect()))),
            (Field::Span(SpanField::TraceIdString), text("0102030405060708090a0b0c0d0e0f10")),
            (Field::Span(SpanField::SpanId), Value::Bytes(Cow::Owned((1..=8).collect()))),
            (Field::Span(SpanField::SpanIdString), text("0102030405060708")),
            (Field::Span(SpanField::ParentSpanId), Value::Bytes(Cow::Borrowed(&[0; 8]))),
            (Field::Span(SpanField::ParentSpanIdString), text("")),
            (Field::Span(SpanField::TraceState), text("a=1,b=2")),
            (Field::Span(SpanField::StatusCode), Value::Int(2)),
            (Field::Span(SpanField::StatusMessage), text("boom")),
            (Field::Span(SpanField::StartTime), Value::Time(1_000_000_000)),
            (Field::Span(SpanField::StartTimeUnixNano), Value::Int(1_000_000_000)),
            (Field::Span(SpanField::EndTime), Value::Time(3_500_000_000)),
            (Field::Span(SpanField::EndTimeUnixNano), Value::Int(3_500_000_000)),
            (Field::Span(SpanField::Events), Value::List(vec![map(&[("name", text("e"))])])),
            (Field::Span(SpanField::Links), Value::List(vec![])),
            (Field::Span(SpanField::DroppedAttributesCount), Value::Int(3)),
            (Field::Span(SpanField::DroppedEventsCount), Value::Int(4)),
            (Field::Span(SpanField::DroppedLinksCount), Value::Int(5)),
            (Field::Span(SpanField::Flags), Value::Int(257)),
            (Field::Event(EventField::Name), text("exception")),
            (Field::Event(EventField::Time), Value::Time(2_000_000_000)),
            (Field::Event(EventField::TimeUnixNano), Value::Int(2_000_000_000)),
            (Field::Event(EventField::Attributes), map(&[("exception.type", text("E"))])),
            (Field::Event(EventField::DroppedAttributesCount), Value::Int(6)),
            (Field::Event(EventField::EventIndex), Value::Int(7)),
            (Field::Client(ClientField::Address), text("10.0.0.1")),
            (Field::Client(ClientField::Metadata), map(&[("x-tenant", list(&["a"]))])),
            (Field::Client(ClientField::AuthAttributes), map(&[("subject", text("u"))])),
            (Field::Client(ClientField::GrpcMetadata), map(&[("x-tenant", list(&["b"]))])),
        ];
        item.fields.extend(more);
        item
    }

    pub fn field(&self, field: Field) -> Option<&Value<'static>> {
        self.fields.iter().find(|(other, _)| *other == field).map(|(_, value)| value)
    }

    pub fn attribute(&self, name: &str) -> Option<&Value<'static>> {
        self.field(ATTRIBUTES)?.at(&[Key::Name(name.to_owned())])
    }

    fn map_at(&mut self, map: &Path) -> Result<&mut ottl::Map<'static>, Refusal> {
        let field = self.fields.iter_mut().find(|(other, _)| *other == map.field);
        match field.and_then(|(_, value)| value.at_mut(&map.keys)) {
            Some(Value::Map(entries)) => Ok(entries),
            _ => Err("no map".into()),
        }
    }
}

/// A trace state's member.
fn member<'a>(state: &'a Value<'_>, key: &Key) -> Value<'a> {
    let (Value::String(state), Key::Name(key)) = (state, key) else { return Value::Nil };
    let members = state.split(',').filter_map(|member| member.split_once('='));
    members
        .filter(|(name, _)| name == key)
        .map(|(_, value)| Value::from(value))
        .next()
        .unwrap_or_default()
}

impl Target for Item {
    fn get(&self, path: &Path) -> Value<'_> {
        assert_ne!(path.field, Field::Cache, "the cache is the evaluator's");
        let Some(value) = self.field(path.field) else { return Value::Nil };
        match (path.field, path.keys.first()) {
            (Field::Span(SpanField::TraceState), Some(key)) => member(value, key),
            _ => value.at(&path.keys).map(Value::view).unwrap_or_default(),
        }
    }

    fn set(&mut self, path: &Path, value: Value<'_>) -> Result<(), Refusal> {
        assert_ne!(path.field, Field::Cache, "the cache is the evaluator's");
        let number = path.field == Field::Span(SpanField::StatusCode);
        if number && !matches!(value.kind(), Kind::Int | Kind::Nil) {
            return Err(Refusal(format!("{path} is a number").into()));
        }
        let value = value.into_owned();
        let at = self.fields.iter().position(|(other, _)| *other == path.field);
        let at = at.unwrap_or_else(|| {
            self.fields.push((path.field, Value::Nil));
            self.fields.len() - 1
        });
        Ok(self.fields[at].1.put(&path.keys, value)?)
    }

    fn for_each_key(&self, map: &Path, visit: &mut dyn FnMut(&str)) -> Result<(), Refusal> {
        match self.get(map) {
            Value::Map(entries) => entries.iter().for_each(|(key, _)| visit(key)),
            _ => return Err("no map".into()),
        }
        Ok(())
    }

    fn retain_keys(
        &mut self,
        map: &Path,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), Refusal> {
        if !self.in_place {
            return Whole(self).retain_keys(map, keep);
        }
        self.map_at(map)?.retain(|(key, _)| keep(key));
        Ok(())
    }

    fn rename_keys(
        &mut self,
        map: &Path,
        rename: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<(), Refusal> {
        // Keys that become the same are the default's matter.
        Whole(self).rename_keys(map, rename)
    }

    fn edit_texts(
        &mut self,
        map: &Path,
        edit: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<(), Refusal> {
        if !self.in_place {
            return Whole(self).edit_texts(map, edit);
        }
        for (_, value) in self.map_at(map)? {
            if let Value::String(text) = value
                && let Some(edited) = edit(text)
            {
                *text = Cow::Owned(edited);
            }
        }
        Ok(())
    }

    fn put(&mut self, map: &Path, key: &str, value: Value<'_>, when: Put) -> Result<(), Refusal> {
        if !self.in_place {
            return Whole(self).put(map, key, value, when);
        }
        let entries = self.map_at(map)?;
        match (entries.iter_mut().find(|(other, _)| other == key), when) {
            (None, Put::Update) | (Some(_), Put::Insert) => {}
            (Some((_, slot)), _) => *slot = value.into_owned(),
            (None, _) => entries.push((Cow::Owned(key.to_owned()), value.into_owned())),
        }
        Ok(())
    }
}

/// A target that has `get` and `set` alone, so that maps change as a whole.
pub struct Whole<'a>(pub &'a mut Item);

impl Target for Whole<'_> {
    fn get(&self, path: &Path) -> Value<'_> {
        self.0.get(path)
    }

    fn set(&mut self, path: &Path, value: Value<'_>) -> Result<(), Refusal> {
        self.0.set(path, value)
    }
}
