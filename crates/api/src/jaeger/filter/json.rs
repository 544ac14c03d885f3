//! Filters as JSON: protobuf's mapping, in which the name of a field says which term it is.

use serde_json::{Map, Value};

use super::DEPTH_MAX;
use crate::jaeger::grpc::expression::v1::expression::Term;
use crate::jaeger::grpc::expression::v1::{
    AttributeReference, Call, Expression, FieldReference, List, NestedReference, Scalar,
};
use crate::jaeger::problem::Problem;
use crate::jaeger::v3_search::malformed;

/// The call that a JSON value spells. `place` is the parameter that has it.
pub(in crate::jaeger) fn call_of(place: &str, value: &Value) -> Result<Call, Problem> {
    call(place, value, 0)
}

fn call(place: &str, value: &Value, depth: usize) -> Result<Call, Problem> {
    if depth >= DEPTH_MAX {
        return Err(malformed(place, format!("calls nest more than {DEPTH_MAX} deep")));
    }
    let fields = object(place, value, &["op", "args"])?;
    let args = match fields.get("args") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(args)) => args
            .iter()
            .enumerate()
            .map(|(at, arg)| expression(&format!("{place}.args[{at}]"), arg, depth))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(malformed(&format!("{place}.args"), "it is no list")),
    };
    Ok(Call { op: text(place, fields, "op")?, args })
}

fn expression(place: &str, value: &Value, depth: usize) -> Result<Expression, Problem> {
    let names = ["attr", "field", "nested", "scalar", "list", "call"];
    let fields = object(place, value, &names)?;
    let mut given = fields.iter().filter(|(_, value)| !value.is_null());
    let (Some((name, value)), None) = (given.next(), given.next()) else {
        return Err(malformed(place, format!("expecting one of {}", names.join(", "))));
    };
    let place = format!("{place}.{name}");
    let of = |names: &[&str]| object(&place, value, names);
    let term = match name.as_str() {
        "attr" => {
            let fields = of(&["key", "level"])?;
            let (key, level) = (text(&place, fields, "key")?, text(&place, fields, "level")?);
            Term::Attr(AttributeReference { key, level })
        }
        "field" => {
            let fields = of(&["name", "level"])?;
            let (name, level) = (text(&place, fields, "name")?, text(&place, fields, "level")?);
            Term::Field(FieldReference { name, level })
        }
        "nested" => {
            let level = text(&place, of(&["level"])?, "level")?;
            Term::Nested(NestedReference { level })
        }
        "scalar" => {
            let fields = of(&["value", "type"])?;
            let (value, r#type) = (text(&place, fields, "value")?, text(&place, fields, "type")?);
            Term::Scalar(Scalar { value, r#type })
        }
        "list" => {
            let fields = of(&["values", "type"])?;
            let wrong = || malformed(&format!("{place}.values"), "it is no list of texts");
            let values = match fields.get("values") {
                None | Some(Value::Null) => Vec::new(),
                Some(values) => values
                    .as_array()
                    .ok_or_else(wrong)?
                    .iter()
                    .map(|value| value.as_str().map(str::to_owned).ok_or_else(wrong))
                    .collect::<Result<_, _>>()?,
            };
            Term::List(List { values, r#type: text(&place, fields, "type")? })
        }
        _ => Term::Call(call(&place, value, depth + 1)?),
    };
    Ok(Expression { term: Some(term) })
}

fn object<'v>(
    place: &str,
    value: &'v Value,
    names: &[&str],
) -> Result<&'v Map<String, Value>, Problem> {
    let fields = value.as_object().ok_or_else(|| malformed(place, "it is no object"))?;
    match fields.keys().find(|name| !names.contains(&name.as_str())) {
        Some(unknown) => Err(malformed(&format!("{place}.{unknown}"), "there is no such field")),
        None => Ok(fields),
    }
}

fn text(place: &str, fields: &Map<String, Value>, name: &str) -> Result<String, Problem> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(malformed(&format!("{place}.{name}"), format!("{other} is no text"))),
    }
}
