//! A span, event, scope or resource of a batch, as OTTL reads and changes it.

use std::borrow::Cow;
use std::collections::HashMap;

use model::wire::{
    Field as WireField, Reader, put_bytes_field, put_fixed64_field, put_message, put_varint_field,
};
use model::{Attribute, EditError, Owner, SpanBatch, SpanId, Text, TraceId, encode_key_value};
use ottl::{
    ClientField, EventField, Field, Key, Path, Put, Refusal, ResourceField, ScopeField, SpanField,
    Target, Value,
};

use super::matching::kind_name;
use crate::data::Client;

/// How deep values may lie in each other; what the decoder of batches takes.
const DEPTH_MAX: usize = model::VALUE_DEPTH_MAX;

/// An item, and what it lies in.
pub struct Item<'a> {
    batch: &'a mut SpanBatch,
    client: &'a Client,
    resource: usize,
    scope: Option<usize>,
    span: Option<usize>,
    event: Option<usize>,
}

impl<'a> Item<'a> {
    /// A resource.
    pub fn resource(batch: &'a mut SpanBatch, client: &'a Client, resource: usize) -> Self {
        Self { batch, client, resource, scope: None, span: None, event: None }
    }

    /// A scope, in its resource.
    pub fn scope(batch: &'a mut SpanBatch, client: &'a Client, scope: usize) -> Self {
        let resource = batch.scopes()[scope].resource as usize;
        Self { batch, client, resource, scope: Some(scope), span: None, event: None }
    }

    /// A span, in its scope and resource.
    pub fn span(batch: &'a mut SpanBatch, client: &'a Client, span: usize) -> Self {
        let scope = batch.spans()[span].scope as usize;
        Self { span: Some(span), ..Self::scope(batch, client, scope) }
    }

    /// An event, in its span.
    pub fn event(batch: &'a mut SpanBatch, client: &'a Client, span: usize, event: usize) -> Self {
        Self { event: Some(event), ..Self::span(batch, client, span) }
    }

    /// The batch that it is in.
    pub fn batch(&self) -> &SpanBatch {
        self.batch
    }

    /// Whose attributes a path is about.
    fn owner(&self, field: Field) -> Option<Owner> {
        match field {
            Field::Resource(ResourceField::Attributes) => Some(Owner::Resource(self.resource)),
            Field::Scope(ScopeField::Attributes) => self.scope.map(Owner::Scope),
            Field::Span(SpanField::Attributes) => self.span.map(Owner::Span),
            Field::Event(EventField::Attributes) => {
                Some(Owner::Event { span: self.span?, event: self.event? })
            }
            _ => None,
        }
    }

    fn get_span(&self, field: SpanField, keys: &[Key]) -> Value<'_> {
        let Some(at) = self.span else { return Value::Nil };
        let batch = &*self.batch;
        let span = &batch.spans()[at];
        match field {
            SpanField::Attributes => Value::Nil,
            SpanField::Name => batch.text(span.name).into(),
            SpanField::Kind => Value::Int(span.kind.into()),
            SpanField::KindString => short_kind(span.kind).into(),
            SpanField::KindDeprecatedString => kind_name(span.kind).into(),
            SpanField::TraceId => Value::Bytes(Cow::Borrowed(&span.trace_id.0)),
            SpanField::TraceIdString => span.trace_id.to_string().into(),
            SpanField::SpanId => Value::Bytes(Cow::Borrowed(&span.span_id.0)),
            SpanField::SpanIdString => span.span_id.to_string().into(),
            SpanField::ParentSpanId => Value::Bytes(Cow::Borrowed(&span.parent_span_id.0)),
            SpanField::ParentSpanIdString if span.parent_span_id.is_none() => "".into(),
            SpanField::ParentSpanIdString => span.parent_span_id.to_string().into(),
            SpanField::TraceState => {
                let state = batch.text(span.trace_state);
                match keys {
                    [Key::Name(key), ..] => member(state, key).map_or(Value::Nil, Into::into),
                    _ => state.into(),
                }
            }
            SpanField::StatusCode => Value::Int(span.status_code.into()),
            SpanField::StatusMessage => batch.text(span.status_message).into(),
            SpanField::StartTime => Value::Time(span.start_unix_nano as i64),
            SpanField::StartTimeUnixNano => Value::Int(span.start_unix_nano as i64),
            SpanField::EndTime => Value::Time(span.end_unix_nano as i64),
            SpanField::EndTimeUnixNano => Value::Int(span.end_unix_nano as i64),
            SpanField::Events => Value::List(
                (0..batch.span_events(span).len()).map(|event| self.event_map(at, event)).collect(),
            ),
            SpanField::Links => Value::List(
                (0..batch.span_links(span).len()).map(|link| self.link_map(at, link)).collect(),
            ),
            SpanField::DroppedAttributesCount => Value::Int(span.dropped_attributes_count.into()),
            SpanField::DroppedEventsCount => Value::Int(span.dropped_events_count.into()),
            SpanField::DroppedLinksCount => Value::Int(span.dropped_links_count.into()),
            SpanField::Flags => Value::Int(span.flags.into()),
        }
    }

    fn event_map(&self, span: usize, event: usize) -> Value<'_> {
        let of = &self.batch.span_events(&self.batch.spans()[span])[event];
        Value::Map(vec![
            (Cow::Borrowed("name"), self.batch.text(of.name).into()),
            (Cow::Borrowed("time"), Value::Time(of.time_unix_nano as i64)),
            (Cow::Borrowed("attributes"), map(self.batch, Owner::Event { span, event })),
        ])
    }

    fn link_map(&self, span: usize, link: usize) -> Value<'_> {
        let of = &self.batch.span_links(&self.batch.spans()[span])[link];
        Value::Map(vec![
            (Cow::Borrowed("trace_id"), of.trace_id.to_string().into()),
            (Cow::Borrowed("span_id"), of.span_id.to_string().into()),
            (Cow::Borrowed("trace_state"), self.batch.text(of.trace_state).into()),
            (Cow::Borrowed("attributes"), map(self.batch, Owner::Link { span, link })),
        ])
    }

    fn get_event(&self, field: EventField) -> Value<'_> {
        let (Some(span), Some(at)) = (self.span, self.event) else { return Value::Nil };
        let event = &self.batch.span_events(&self.batch.spans()[span])[at];
        match field {
            EventField::Name => self.batch.text(event.name).into(),
            EventField::Time => Value::Time(event.time_unix_nano as i64),
            EventField::TimeUnixNano => Value::Int(event.time_unix_nano as i64),
            EventField::Attributes => Value::Nil,
            EventField::DroppedAttributesCount => Value::Int(event.dropped_attributes_count.into()),
            EventField::EventIndex => Value::Int(at as i64),
        }
    }

    fn get_client(&self, field: ClientField, keys: &[Key]) -> Value<'_> {
        let list = |all: &'a [(String, String)]| -> Value<'a> {
            let mut entries: ottl::Map<'a> = Vec::new();
            for (name, value) in all {
                let value = Value::from(value.as_str());
                let same = entries.iter_mut().find(|(own, _)| own == name);
                match same {
                    Some((_, Value::List(values))) => values.push(value),
                    _ => entries.push((Cow::Borrowed(name), Value::List(vec![value]))),
                }
            }
            Value::Map(entries)
        };
        match field {
            ClientField::Address => {
                self.client.address.map_or(Value::Nil, |address| address.ip().to_string().into())
            }
            ClientField::Metadata | ClientField::GrpcMetadata => {
                pick(list(&self.client.metadata), keys)
            }
            ClientField::AuthAttributes => {
                let entries = self.client.auth.iter();
                let entries =
                    entries.map(|(key, value)| (Cow::from(key.as_str()), value.as_str().into()));
                pick(Value::Map(entries.collect()), keys)
            }
        }
    }

    fn set_span(&mut self, field: SpanField, keys: &[Key], value: Value<'_>) -> Done {
        let Some(at) = self.span else { return Err("there is no span here".into()) };
        match field {
            SpanField::Name => {
                let text = self.text_of(&value)?;
                self.batch.edit_span(at).name = text;
            }
            SpanField::StatusMessage => {
                let text = self.text_of(&value)?;
                self.batch.edit_span(at).status_message = text;
            }
            SpanField::TraceState => {
                let text = match keys {
                    [Key::Name(key), ..] => {
                        let state = self.batch.text(self.batch.spans()[at].trace_state);
                        let state = with_member(state, key, text(&value)?);
                        self.add(state.as_bytes())?
                    }
                    _ => self.text_of(&value)?,
                };
                self.batch.edit_span(at).trace_state = text;
            }
            SpanField::TraceId | SpanField::TraceIdString => {
                let id = trace_id(&value)?;
                self.batch.edit_span(at).trace_id = id;
            }
            SpanField::SpanId | SpanField::SpanIdString => {
                let id = span_id(&value)?.filter(|id| !id.is_none());
                let id = id.ok_or(Refusal::from("a span's id is not zero"))?;
                self.batch.edit_span(at).span_id = id;
            }
            SpanField::ParentSpanId | SpanField::ParentSpanIdString => {
                let id = span_id(&value)?.unwrap_or(SpanId::NONE);
                self.batch.edit_span(at).parent_span_id = id;
            }
            SpanField::KindString | SpanField::KindDeprecatedString => {
                let name = text(&value)?;
                let same = |&kind: &i32| {
                    short_kind(kind).eq_ignore_ascii_case(name) || kind_name(kind) == name
                };
                let kind = (0..6).find(same).ok_or(Refusal::from("there is no such kind"))?;
                self.batch.edit_span(at).kind = kind;
            }
            SpanField::StartTime | SpanField::StartTimeUnixNano => {
                let nanos = nanos(&value)?;
                self.batch.edit_span(at).start_unix_nano = nanos;
            }
            SpanField::EndTime | SpanField::EndTimeUnixNano => {
                let nanos = nanos(&value)?;
                self.batch.edit_span(at).end_unix_nano = nanos;
            }
            SpanField::Attributes | SpanField::Events | SpanField::Links => {
                return Err("this can only be read".into());
            }
            number => {
                let own = integer(&value)?;
                let large = |_| Refusal::from("the number is too large, or below zero");
                let (count, small) =
                    (u32::try_from(own).map_err(large), i32::try_from(own).map_err(large));
                let span = self.batch.edit_span(at);
                match number {
                    SpanField::Kind => span.kind = small?,
                    SpanField::StatusCode => span.status_code = small?,
                    SpanField::DroppedAttributesCount => span.dropped_attributes_count = count?,
                    SpanField::DroppedEventsCount => span.dropped_events_count = count?,
                    SpanField::DroppedLinksCount => span.dropped_links_count = count?,
                    _ => span.flags = count?,
                }
            }
        }
        Ok(())
    }

    fn set_event(&mut self, field: EventField, value: &Value<'_>) -> Done {
        let (Some(span), Some(at)) = (self.span, self.event) else {
            return Err("there is no event here".into());
        };
        match field {
            EventField::Name => {
                let text = self.text_of(value)?;
                self.batch.edit_event(span, at).name = text;
            }
            EventField::Time | EventField::TimeUnixNano => {
                let nanos = nanos(value)?;
                self.batch.edit_event(span, at).time_unix_nano = nanos;
            }
            EventField::DroppedAttributesCount => {
                let count = counted(value)?;
                self.batch.edit_event(span, at).dropped_attributes_count = count;
            }
            EventField::Attributes | EventField::EventIndex => {
                return Err("this can only be read".into());
            }
        }
        Ok(())
    }

    fn set_resource(&mut self, field: ResourceField, value: &Value<'_>) -> Done {
        match field {
            ResourceField::SchemaUrl => {
                let text = self.text_of(value)?;
                self.batch.edit_resource(self.resource).schema_url = text;
            }
            ResourceField::DroppedAttributesCount => {
                let count = counted(value)?;
                self.batch.edit_resource(self.resource).dropped_attributes_count = count;
            }
            ResourceField::Attributes => return Err("this can only be read".into()),
        }
        Ok(())
    }

    fn set_scope(&mut self, field: ScopeField, value: &Value<'_>) -> Done {
        let Some(at) = self.scope else { return Err("there is no scope here".into()) };
        if field == ScopeField::DroppedAttributesCount {
            let count = counted(value)?;
            self.batch.edit_scope(at).dropped_attributes_count = count;
            return Ok(());
        }
        let text = self.text_of(value)?;
        let scope = self.batch.edit_scope(at);
        match field {
            ScopeField::Name => scope.name = text,
            ScopeField::Version => scope.version = text,
            ScopeField::SchemaUrl => scope.schema_url = text,
            ScopeField::Attributes | ScopeField::DroppedAttributesCount => {}
        }
        Ok(())
    }

    fn set_attribute(&mut self, owner: Owner, keys: &[Key], value: Value<'_>) -> Done {
        let Some((first, rest)) = keys.split_first() else {
            return self.set_all(owner, value);
        };
        let Key::Name(key) = first else { return Err("attributes have names".into()) };
        let place = self.batch.find_attribute(owner, key.as_bytes());
        if rest.is_empty() {
            if value.is_nil() {
                self.batch.retain_attributes(owner, |batch, own| {
                    batch.bytes_of(own.key) != key.as_bytes()
                });
                return Ok(());
            }
            return self.write(owner, place, key, &value);
        }
        let mut whole = match place {
            Some(place) => read(self.batch, self.batch.attributes(owner)[place].value).into_owned(),
            None if value.is_nil() => return Ok(()),
            None => Value::Map(Vec::new()),
        };
        whole.put(rest, value.into_owned())?;
        self.write(owner, place, key, &whole)
    }

    fn set_all(&mut self, owner: Owner, value: Value<'_>) -> Done {
        let entries = match value {
            Value::Nil => Vec::new(),
            Value::Map(entries) => entries,
            _ => return Err("attributes are a map".into()),
        };
        self.batch.retain_attributes(owner, |_, _| false);
        // A place for each key: the map may be what an item's text says, and of any length.
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
        for (key, value) in &entries {
            let next = places.len();
            let place = *places.entry(key).or_insert(next);
            self.write(owner, (place < next).then_some(place), key, value)?;
        }
        Ok(())
    }

    fn write(&mut self, owner: Owner, place: Option<usize>, key: &str, value: &Value<'_>) -> Done {
        let value = self.model_value(value)?;
        match place {
            Some(place) => self.batch.set_value(owner, place, value),
            None => {
                let key = self.add(key.as_bytes())?;
                self.batch.push_attribute(owner, Attribute { key, value }).map_err(refusal)?;
            }
        }
        Ok(())
    }

    fn model_value(&mut self, value: &Value<'_>) -> Result<model::Value, Refusal> {
        Ok(match value {
            Value::Nil => model::Value::Empty,
            Value::Bool(value) => model::Value::Bool(*value),
            Value::Int(value) => model::Value::Int(*value),
            Value::Double(value) => model::Value::Double(*value),
            Value::String(text) => model::Value::String(self.add(text.as_bytes())?),
            Value::Bytes(bytes) => model::Value::Bytes(self.add(bytes)?),
            Value::List(values) => {
                let mut message = Vec::new();
                put_list(&mut message, values, DEPTH_MAX)?;
                model::Value::Array(self.add(&message)?)
            }
            Value::Map(entries) => {
                let mut message = Vec::new();
                put_map(&mut message, entries, DEPTH_MAX)?;
                model::Value::KeyValueList(self.add(&message)?)
            }
            Value::Time(_) | Value::Duration(_) => {
                return Err("an attribute is no time: take its number, as with UnixNano()".into());
            }
        })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<Text, Refusal> {
        self.batch.add_text(bytes).map_err(refusal)
    }

    fn text_of(&mut self, value: &Value<'_>) -> Result<Text, Refusal> {
        let text = text(value)?.to_owned();
        self.add(text.as_bytes())
    }
}

type Done = Result<(), Refusal>;

fn refusal(error: EditError) -> Refusal {
    Refusal(error.to_string().into())
}

impl Target for Item<'_> {
    fn get(&self, path: &Path) -> Value<'_> {
        if let Some(owner) = self.owner(path.field) {
            return match path.keys.split_first() {
                None => map(self.batch, owner),
                Some((Key::Name(key), rest)) => {
                    match self.batch.find_attribute(owner, key.as_bytes()) {
                        Some(at) => {
                            pick(read(self.batch, self.batch.attributes(owner)[at].value), rest)
                        }
                        None => Value::Nil,
                    }
                }
                Some((Key::Index(_), _)) => Value::Nil,
            };
        }
        let batch = &*self.batch;
        match path.field {
            Field::Resource(field) => {
                let resource = &batch.resources()[self.resource];
                match field {
                    ResourceField::SchemaUrl => batch.text(resource.schema_url).into(),
                    ResourceField::DroppedAttributesCount => {
                        Value::Int(resource.dropped_attributes_count.into())
                    }
                    ResourceField::Attributes => Value::Nil,
                }
            }
            Field::Scope(field) => {
                let Some(scope) = self.scope.map(|at| &batch.scopes()[at]) else {
                    return Value::Nil;
                };
                match field {
                    ScopeField::Name => batch.text(scope.name).into(),
                    ScopeField::Version => batch.text(scope.version).into(),
                    ScopeField::SchemaUrl => batch.text(scope.schema_url).into(),
                    ScopeField::DroppedAttributesCount => {
                        Value::Int(scope.dropped_attributes_count.into())
                    }
                    ScopeField::Attributes => Value::Nil,
                }
            }
            Field::Span(field) => self.get_span(field, &path.keys),
            Field::Event(field) => self.get_event(field),
            Field::Client(field) => self.get_client(field, &path.keys),
            Field::Cache => Value::Nil,
        }
    }

    fn set(&mut self, path: &Path, value: Value<'_>) -> Done {
        if let Some(owner) = self.owner(path.field) {
            return self.set_attribute(owner, &path.keys, value);
        }
        match path.field {
            Field::Resource(field) => self.set_resource(field, &value),
            Field::Scope(field) => self.set_scope(field, &value),
            Field::Span(field) => self.set_span(field, &path.keys, value),
            Field::Event(field) => self.set_event(field, &value),
            Field::Client(_) | Field::Cache => Err("this can only be read".into()),
        }
    }

    fn for_each_key(&self, path: &Path, visit: &mut dyn FnMut(&str)) -> Done {
        match (self.owner(path.field), path.keys.is_empty()) {
            (Some(owner), true) => {
                let attributes = self.batch.attributes(owner).iter();
                attributes.for_each(|attribute| visit(self.batch.text(attribute.key)));
                Ok(())
            }
            _ => match self.get(path) {
                Value::Map(entries) => {
                    entries.iter().for_each(|(key, _)| visit(key));
                    Ok(())
                }
                _ => Err("this is not a map".into()),
            },
        }
    }

    fn retain_keys(&mut self, path: &Path, keep: &mut dyn FnMut(&str) -> bool) -> Done {
        match (self.owner(path.field), path.keys.is_empty()) {
            (Some(owner), true) => {
                self.batch.retain_attributes(owner, |batch, own| keep(batch.text(own.key)));
                Ok(())
            }
            _ => match self.get(path).into_owned() {
                Value::Map(mut entries) => {
                    entries.retain(|(key, _)| keep(key));
                    self.set(path, Value::Map(entries))
                }
                _ => Err("this is not a map".into()),
            },
        }
    }

    fn edit_texts(&mut self, path: &Path, edit: &mut dyn FnMut(&str) -> Option<String>) -> Done {
        if let (Some(owner), true) = (self.owner(path.field), path.keys.is_empty()) {
            for place in 0..self.batch.attributes(owner).len() {
                if let model::Value::String(text) = self.batch.attributes(owner)[place].value
                    && let Some(edited) = edit(self.batch.text(text))
                {
                    let text = self.add(edited.as_bytes())?;
                    self.batch.set_value(owner, place, model::Value::String(text));
                }
            }
            return Ok(());
        }
        match self.get(path).into_owned() {
            Value::Map(mut entries) => {
                for (_, value) in &mut entries {
                    if let Value::String(text) = value
                        && let Some(edited) = edit(text)
                    {
                        *text = Cow::Owned(edited);
                    }
                }
                self.set(path, Value::Map(entries))
            }
            _ => Err("this is not a map".into()),
        }
    }

    fn put(&mut self, path: &Path, key: &str, value: Value<'_>, when: Put) -> Done {
        let mut path = path.clone();
        path.keys.push(Key::Name(key.to_owned()));
        let is_there = !self.get(&path).is_nil();
        match (is_there, when) {
            (true, Put::Insert) | (false, Put::Update) => Ok(()),
            _ => self.set(&path, value),
        }
    }
}

/// All attributes of an owner.
fn map(batch: &SpanBatch, owner: Owner) -> Value<'_> {
    let entry = |attribute: &Attribute| {
        (Cow::Borrowed(batch.text(attribute.key)), read(batch, attribute.value))
    };
    Value::Map(batch.attributes(owner).iter().map(entry).collect())
}

fn read(batch: &SpanBatch, value: model::Value) -> Value<'_> {
    match value {
        model::Value::Empty => Value::Nil,
        model::Value::String(text) => batch.text(text).into(),
        model::Value::Bool(value) => Value::Bool(value),
        model::Value::Int(value) => Value::Int(value),
        model::Value::Double(value) => Value::Double(value),
        model::Value::Bytes(bytes) => Value::Bytes(Cow::Borrowed(batch.bytes_of(bytes))),
        model::Value::Array(message) => list_in(batch.bytes_of(message)),
        model::Value::KeyValueList(message) => map_in(batch.bytes_of(message)),
    }
}

/// The fields of a message that the decoder has checked, so that an error means its end.
fn fields(bytes: &[u8]) -> impl Iterator<Item = (u32, WireField<'_>)> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || reader.next_field().ok().flatten())
}

/// An `ArrayValue`.
fn list_in(bytes: &[u8]) -> Value<'_> {
    let values = fields(bytes).filter_map(|(number, field)| match (number, field) {
        (1, WireField::Bytes(value)) => Some(value_in(value)),
        _ => None,
    });
    Value::List(values.collect())
}

/// A `KeyValueList`.
fn map_in(bytes: &[u8]) -> Value<'_> {
    let entries = fields(bytes).filter_map(|(number, field)| {
        let (1, WireField::Bytes(entry)) = (number, field) else { return None };
        let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
        for (number, field) in fields(entry) {
            match (number, field) {
                (1, WireField::Bytes(bytes)) => key = bytes,
                (2, WireField::Bytes(bytes)) => value = bytes,
                _ => {}
            }
        }
        Some((String::from_utf8_lossy(key), value_in(value)))
    });
    Value::Map(entries.collect())
}

/// An `AnyValue`.
fn value_in(bytes: &[u8]) -> Value<'_> {
    match fields(bytes).filter(|(number, _)| (1..=7).contains(number)).last() {
        Some((1, WireField::Bytes(text))) => Value::String(String::from_utf8_lossy(text)),
        Some((2, WireField::Varint(value))) => Value::Bool(value != 0),
        Some((3, WireField::Varint(value))) => Value::Int(value as i64),
        Some((4, WireField::Fixed64(bits))) => Value::Double(f64::from_bits(bits)),
        Some((5, WireField::Bytes(message))) => list_in(message),
        Some((6, WireField::Bytes(message))) => map_in(message),
        Some((7, WireField::Bytes(bytes))) => Value::Bytes(Cow::Borrowed(bytes)),
        _ => Value::Nil,
    }
}

fn put_list(out: &mut Vec<u8>, values: &[Value<'_>], depth: usize) -> Done {
    for value in values {
        let mut failed = Ok(());
        put_message(out, 1, |out| failed = put_value(out, value, depth));
        failed?;
    }
    Ok(())
}

fn put_map(out: &mut Vec<u8>, entries: &[(Cow<'_, str>, Value<'_>)], depth: usize) -> Done {
    for (key, value) in entries {
        let mut failed = Ok(());
        encode_key_value(out, 1, key.as_bytes(), |out| failed = put_value(out, value, depth));
        failed?;
    }
    Ok(())
}

/// Appends the content of an `AnyValue`.
fn put_value(out: &mut Vec<u8>, value: &Value<'_>, depth: usize) -> Done {
    let Some(depth) = depth.checked_sub(1) else { return Err("values nest too deep".into()) };
    let mut failed = Ok(());
    match value {
        Value::Nil => {}
        Value::String(text) => put_bytes_field(out, 1, text.as_bytes()),
        Value::Bool(value) => put_varint_field(out, 2, u64::from(*value)),
        Value::Int(value) => put_varint_field(out, 3, *value as u64),
        Value::Double(value) => put_fixed64_field(out, 4, value.to_bits()),
        Value::List(values) => put_message(out, 5, |out| failed = put_list(out, values, depth)),
        Value::Map(entries) => put_message(out, 6, |out| failed = put_map(out, entries, depth)),
        Value::Bytes(bytes) => put_bytes_field(out, 7, bytes),
        Value::Time(_) | Value::Duration(_) => {
            return Err("an attribute is no time: take its number, as with UnixNano()".into());
        }
    }
    failed
}

/// What keys lead to inside a value.
fn pick<'a>(value: Value<'a>, keys: &[Key]) -> Value<'a> {
    let Some((first, rest)) = keys.split_first() else { return value };
    match (first, value) {
        (Key::Name(key), Value::Map(entries)) => entries
            .into_iter()
            .find(|(own, _)| own == key)
            .map_or(Value::Nil, |(_, value)| pick(value, rest)),
        (Key::Index(at), Value::List(values)) => {
            values.into_iter().nth(*at).map_or(Value::Nil, |value| pick(value, rest))
        }
        _ => Value::Nil,
    }
}

/// The value of a member of a W3C tracestate.
fn member<'a>(state: &'a str, key: &str) -> Option<&'a str> {
    let members = state.split(',').filter_map(|member| member.trim().split_once('='));
    members.into_iter().find(|(own, _)| *own == key).map(|(_, value)| value)
}

/// The tracestate with a member set, which then comes first; without it when the text is empty.
fn with_member(state: &str, key: &str, value: &str) -> String {
    let own = (!value.is_empty()).then(|| format!("{key}={value}"));
    let others = state.split(',').map(str::trim).filter(|member| {
        !member.is_empty() && member.split_once('=').is_none_or(|(own, _)| own != key)
    });
    own.iter().map(String::as_str).chain(others).collect::<Vec<_>>().join(",")
}

fn text<'v>(value: &'v Value<'_>) -> Result<&'v str, Refusal> {
    match value {
        Value::String(text) => Ok(text),
        Value::Nil => Ok(""),
        _ => Err("a text belongs here".into()),
    }
}

fn integer(value: &Value<'_>) -> Result<i64, Refusal> {
    match value {
        Value::Int(value) => Ok(*value),
        Value::Nil => Ok(0),
        _ => Err("an integer belongs here".into()),
    }
}

fn counted(value: &Value<'_>) -> Result<u32, Refusal> {
    u32::try_from(integer(value)?).map_err(|_| "the number is too large, or below zero".into())
}

fn nanos(value: &Value<'_>) -> Result<u64, Refusal> {
    let nanos = match value {
        Value::Time(nanos) => *nanos,
        value => integer(value)?,
    };
    u64::try_from(nanos).map_err(|_| "times before 1970 cannot be sent".into())
}

fn trace_id(value: &Value<'_>) -> Result<TraceId, Refusal> {
    let id = match value {
        Value::Bytes(bytes) => TraceId::from_slice(bytes),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    id.filter(|id: &TraceId| !id.is_none())
        .ok_or(Refusal::from("a trace id is 16 bytes or 32 hexadecimal digits, not all zero"))
}

fn span_id(value: &Value<'_>) -> Result<Option<SpanId>, Refusal> {
    let id = match value {
        Value::Nil => return Ok(None),
        Value::Bytes(bytes) if bytes.is_empty() => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::Bytes(bytes) => SpanId::from_slice(bytes),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    id.map(Some).ok_or(Refusal::from("a span id is 8 bytes or 16 hexadecimal digits"))
}

/// As the Collector's `span.kind.string` spells it.
fn short_kind(kind: i32) -> &'static str {
    match kind {
        model::kind::INTERNAL => "Internal",
        model::kind::SERVER => "Server",
        model::kind::CLIENT => "Client",
        model::kind::PRODUCER => "Producer",
        model::kind::CONSUMER => "Consumer",
        _ => "Unspecified",
    }
}
