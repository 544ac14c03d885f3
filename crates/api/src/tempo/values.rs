//! Values of the language as values of Tempo's messages.

use query::static_text;
use traceql::Static;

use super::proto::any_value::Value;
use super::proto::{AnyValue, ArrayValue, KeyValue};

/// A pair of key and value.
pub(crate) fn key_value(key: &str, value: &Static) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(one(value)) }
}

/// A value, or a list of several.
pub(crate) fn any_value(values: &[Static]) -> AnyValue {
    match values {
        [value] => one(value),
        values => {
            let values = values.iter().map(one).collect();
            AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) }
        }
    }
}

fn one(value: &Static) -> AnyValue {
    AnyValue {
        value: Some(match value {
            Static::Int(number) => Value::IntValue(*number),
            Static::Float(number) => Value::DoubleValue(*number),
            Static::Bool(truth) => Value::BoolValue(*truth),
            other => Value::StringValue(static_text(other)),
        }),
    }
}

/// The name of a value's type in lists of values.
pub(crate) fn type_name(value: &Static) -> &'static str {
    match value {
        Static::String(_) | Static::Nil => "string",
        Static::Int(_) => "int",
        Static::Float(_) => "float",
        Static::Bool(_) => "bool",
        Static::Duration(_) => "duration",
        Static::Status(_) | Static::Kind(_) => "keyword",
    }
}
