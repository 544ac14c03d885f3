//! Converters between kinds, and questions about them.

use super::{Convert, Converter, Takes, need};
use crate::compare::equal;
use crate::path::{Context, Field, SpanField};
use crate::value::{Kind, Value};

const VALUE: &[super::Param] = &[need("value", Takes::Any)];

const fn question(name: &'static str, run: Convert) -> Converter {
    Converter::new(name, VALUE, Some(Kind::Bool), run)
}

pub(super) static TABLE: &[Converter] = &[
    Converter::new("Bool", VALUE, Some(Kind::Bool), |call, reader| {
        Ok(match &*call.look(0, reader)? {
            Value::Bool(value) => Value::Bool(*value),
            Value::Int(value) => Value::Bool(*value != 0),
            Value::Double(value) => Value::Bool(*value != 0.0),
            Value::String(text) => match &**text {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Value::Bool(true),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Value::Bool(false),
                _ => Value::Nil,
            },
            _ => Value::Nil,
        })
    }),
    Converter::new("Int", VALUE, Some(Kind::Int), |call, reader| {
        Ok(match &*call.look(0, reader)? {
            Value::Bool(value) => Value::Int(i64::from(*value)),
            Value::Int(value) => Value::Int(*value),
            Value::Double(value) => Value::Int(*value as i64),
            Value::String(text) => text.parse().map_or(Value::Nil, Value::Int),
            _ => Value::Nil,
        })
    }),
    Converter::new("Double", VALUE, Some(Kind::Double), |call, reader| {
        Ok(number(&*call.look(0, reader)?).map_or(Value::Nil, Value::Double))
    }),
    Converter::new("String", VALUE, Some(Kind::String), |call, reader| {
        Ok(call.value(0, reader)?.into_text().map_or(Value::Nil, Value::String))
    }),
    Converter::new("Log", VALUE, Some(Kind::Double), |call, reader| {
        let value = call.look(0, reader)?;
        let number = number(&value).ok_or_else(|| call.wrong(0, "a number", &value))?;
        if number > 0.0 {
            Ok(Value::Double(number.ln()))
        } else {
            Err(call.fault("there are logarithms of positive numbers only"))
        }
    }),
    question("IsBool", |call, reader| {
        Ok(Value::Bool(matches!(&*call.look(0, reader)?, Value::Bool(_))))
    }),
    question("IsInt", |call, reader| {
        Ok(Value::Bool(matches!(&*call.look(0, reader)?, Value::Int(_))))
    }),
    question("IsDouble", |call, reader| {
        Ok(Value::Bool(matches!(&*call.look(0, reader)?, Value::Double(_))))
    }),
    question("IsString", |call, reader| {
        Ok(Value::Bool(matches!(&*call.look(0, reader)?, Value::String(_))))
    }),
    question("IsMap", |call, reader| {
        Ok(Value::Bool(matches!(&*call.look(0, reader)?, Value::Map(_))))
    }),
    question("IsList", |call, reader| {
        Ok(Value::Bool(matches!(&*call.look(0, reader)?, Value::List(_))))
    }),
    question("IsEmpty", |call, reader| {
        let value = call.look(0, reader)?;
        Ok(Value::Bool(match &*value {
            Value::Bytes(bytes) => bytes.iter().all(|byte| *byte == 0),
            Value::List(list) => list.is_empty(),
            Value::Map(map) => map.is_empty(),
            Value::String(text) => text.is_empty(),
            Value::Time(nanos) | Value::Duration(nanos) => *nanos == 0,
            Value::Bool(value) => !value,
            Value::Nil => true,
            other => equal(other, &Value::Int(0)),
        }))
    }),
    Converter::new("IsRootSpan", &[], Some(Kind::Bool), |_, reader| {
        let parent = reader.field(Field::Span(SpanField::ParentSpanId));
        Ok(Value::Bool(match parent {
            Value::Bytes(id) => id.iter().all(|byte| *byte == 0),
            _ => true,
        }))
    })
    .within(Context::Span),
];

fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Int(value) => Some(*value as f64),
        Value::Double(value) => Some(*value),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
