//! Events as the text of annotations, and back.

use model::json::{put_json_string, value_text};
use model::{Attribute, Event, SpanBatch, Value};
use serde_json::Value as Json;

/// The text of an event: its name, or `"name": {"key":"value"}` when it has attributes.
pub(super) fn text(batch: &SpanBatch, event: &Event) -> String {
    let attributes = batch.event_attributes(event);
    let name = batch.text(event.name);
    if attributes.is_empty() {
        return name.to_owned();
    }
    let mut out = String::new();
    put_json_string(&mut out, name);
    out.push_str(": ");
    put_object(&mut out, batch, attributes);
    out
}

/// Appends attributes as a JSON object.
pub(super) fn put_object(out: &mut String, batch: &SpanBatch, attributes: &[Attribute]) {
    out.push('{');
    for (at, attribute) in attributes.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        put_json_string(out, batch.text(attribute.key));
        out.push(':');
        let text = value_text(batch, attribute.value);
        match attribute.value {
            Value::Empty => out.push_str("null"),
            Value::Double(value) if !value.is_finite() => put_json_string(out, &text),
            Value::String(_) | Value::Bytes(_) => put_json_string(out, &text),
            _ => out.push_str(&text),
        }
    }
    out.push('}');
}

/// An event's parts.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, Json)>,
    pub(super) dropped: u32,
}

/// The event that a text tells of: what [`text()`] writes, what the Collector writes
/// (`name|{"key":"value"}|dropped`), or a mere name.
pub(super) fn parts(text: &str) -> Parts {
    specified(text)
        .or_else(|| collected(text))
        .unwrap_or_else(|| Parts { name: text.to_owned(), ..Parts::default() })
}

fn specified(text: &str) -> Option<Parts> {
    if !text.starts_with('"') {
        return None;
    }
    let mut names = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let name = names.next()?.ok()?;
    let rest = text.get(names.byte_offset()..)?.strip_prefix(':')?;
    Some(Parts { name, attributes: object(rest)?, dropped: 0 })
}

fn collected(text: &str) -> Option<Parts> {
    let (name, rest) = text.split_once('|')?;
    let (attributes, dropped) = rest.rsplit_once('|')?;
    Some(Parts {
        name: name.to_owned(),
        attributes: object(attributes)?,
        dropped: dropped.parse().ok()?,
    })
}

/// The fields of a JSON object, in their order.
pub(super) fn object(text: &str) -> Option<Vec<(String, Json)>> {
    match serde_json::from_str(text).ok()? {
        Json::Object(fields) => Some(fields.into_iter().collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_that_tell_of_events() {
        let fields = || vec![("k".to_owned(), json!("a|b")), ("n".to_owned(), json!(1))];
        for (text, name, attributes, dropped) in [
            (r#""retry": {"k":"a|b","n":1}"#, "retry", fields(), 0),
            (r#""a \"b\"":{"k":"a|b","n":1}"#, "a \"b\"", fields(), 0),
            (r#"retry|{"k":"a|b","n":1}|7"#, "retry", fields(), 7),
            (r#"retry|{}|0"#, "retry", vec![], 0),
            (r#""retry": {"k":"a"#, r#""retry": {"k":"a"#, vec![], 0),
            (r#""retry": [1]"#, r#""retry": [1]"#, vec![], 0),
            ("retry|{}|-1", "retry|{}|-1", vec![], 0),
            ("a|b|1", "a|b|1", vec![], 0),
            ("a|b", "a|b", vec![], 0),
            ("\"", "\"", vec![], 0),
            ("", "", vec![], 0),
        ] {
            assert_eq!(parts(text), Parts { name: name.to_owned(), attributes, dropped }, "{text}");
        }
    }
}
