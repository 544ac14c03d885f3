//! JSON.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Converter, STRING, VALUES_MAX, need, too_many_values};
use crate::value::{Value, keep_last};

pub(super) static TABLE: &[Converter] =
    &[Converter::new("ParseJSON", &[need("target", STRING)], None, |call, reader| {
        let text = call.text(0, reader)?;
        // Before every value but the first stands one of these.
        let before_values = |byte: &u8| matches!(byte, b',' | b'[' | b'{');
        if text.as_bytes().iter().filter(|byte| before_values(byte)).count() > VALUES_MAX {
            return Err(too_many_values(call));
        }
        match serde_json::from_str(&text) {
            Ok(Parsed(value @ (Value::Map(_) | Value::List(_)))) => Ok(value),
            Ok(Parsed(_)) => Err(call.fault("the JSON is neither an object nor an array")),
            Err(error) => Err(call.fault(format!("this is not JSON: {error}"))),
        }
    })];

/// A value as JSON has it: every number a float, the members of objects in their order.
struct Parsed(Value<'static>);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

struct Shape;

impl<'de> Visitor<'de> for Shape {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Parsed, E> {
        Ok(Parsed(Value::Nil))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Parsed, E> {
        Ok(Parsed(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Parsed, E> {
        Ok(Parsed(Value::Double(value as f64)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Parsed, E> {
        Ok(Parsed(Value::Double(value as f64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Parsed, E> {
        Ok(Parsed(Value::Double(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Parsed, E> {
        Ok(Parsed(Value::from(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Parsed, E> {
        Ok(Parsed(Value::from(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Parsed, A::Error> {
        let mut list = Vec::new();
        while let Some(Parsed(value)) = access.next_element()? {
            list.push(value);
        }
        Ok(Parsed(Value::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Parsed, A::Error> {
        let mut map = Vec::new();
        while let Some((key, Parsed(value))) = access.next_entry::<String, _>()? {
            map.push((Cow::Owned(key), value));
        }
        keep_last(&mut map);
        Ok(Parsed(Value::Map(map)))
    }
}
