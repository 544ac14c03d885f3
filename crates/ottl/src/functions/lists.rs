//! Lists, maps and lookups in them.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Converter, LIST, MAP, STRING, Takes, may, need};
use crate::compare::equal;
use crate::tree::Arg;
use crate::value::{Kind, Value, keep_last};

const ORDERS: &[&str] = &["asc", "desc"];

pub(super) static TABLE: &[Converter] = &[
    Converter::new(
        "Len",
        &[need("target", Takes::Of(&[Kind::String, Kind::Bytes, Kind::List, Kind::Map]))],
        Some(Kind::Int),
        |call, reader| {
            let value = call.look(0, reader)?;
            let length = match &*value {
                Value::String(text) => text.len(),
                Value::Bytes(bytes) => bytes.len(),
                Value::List(list) => list.len(),
                Value::Map(map) => map.len(),
                other => return Err(call.wrong(0, "a string, list or map", other)),
            };
            Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
        },
    ),
    Converter::new(
        "ContainsValue",
        &[need("target", LIST), need("item", Takes::Any)],
        Some(Kind::Bool),
        |call, reader| {
            let (target, item) = (call.look(0, reader)?, call.look(1, reader)?);
            match &*target {
                Value::List(list) => Ok(Value::Bool(list.iter().any(|one| equal(one, &item)))),
                other => Err(call.wrong(0, "a list", other)),
            }
        },
    ),
    Converter::new("Coalesce", &[need("values", LIST)], None, |call, reader| {
        let values = call.list(0, reader)?;
        Ok(values.into_iter().find(|value| !value.is_nil()).unwrap_or_default())
    })
    .checked(|args| match args.first() {
        Some(Arg::Value(node)) if matches!(node.literal(), Some(Value::List(l)) if l.is_empty()) => {
            Err((0, "at least one value is needed".to_owned()))
        }
        _ => Ok(()),
    }),
    Converter::new("Keys", &[need("target", MAP)], Some(Kind::List), |call, reader| {
        let map = call.map(0, reader)?;
        Ok(Value::List(map.into_iter().map(|(key, _)| Value::String(key)).collect()))
    }),
    Converter::new("Values", &[need("target", MAP)], Some(Kind::List), |call, reader| {
        let map = call.map(0, reader)?;
        Ok(Value::List(map.into_iter().map(|(_, value)| value).collect()))
    }),
    Converter::new(
        "Sort",
        &[need("target", LIST), may("order", Takes::Choice(ORDERS))],
        Some(Kind::List),
        |call, reader| {
            let mut list = call.list(0, reader)?;
            let scalar = |value: &Value<'_>| {
                matches!(
                    value,
                    Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::String(_)
                )
            };
            if let Some(other) = list.iter().find(|value| !scalar(value)) {
                let noun = other.kind().noun();
                return Err(call.fault(format!("{noun} has no order among values of a list")));
            }
            sort(&mut list);
            if call.choice(1) == 1 {
                list.reverse();
            }
            Ok(Value::List(list))
        },
    ),
    Converter::new(
        "SliceToMap",
        &[need("target", LIST), may("key_path", Takes::Texts), may("value_path", Takes::Texts)],
        Some(Kind::Map),
        |call, reader| {
            let mut map: Vec<(Cow<'_, str>, Value<'_>)> = Vec::new();
            for (at, item) in call.list(0, reader)?.into_iter().enumerate() {
                let key = match call.has(1) {
                    false => Some(Cow::Owned(at.to_string())),
                    true => match descend(item.clone(), call.texts(1)) {
                        Some(Value::String(key)) => Some(key),
                        _ => None,
                    },
                };
                let value = if call.has(2) { descend(item, call.texts(2)) } else { Some(item) };
                let (Some(key), Some(value)) = (key, value) else { continue };
                map.push((key, value));
            }
            keep_last(&mut map);
            Ok(Value::Map(map))
        },
    )
    .checked(|args| {
        let empty = |at| matches!(args.get(at), Some(Arg::Texts(texts)) if texts.is_empty());
        match (empty(1), empty(2)) {
            (true, _) => Err((1, "a path has at least one name".to_owned())),
            (_, true) => Err((2, "a path has at least one name".to_owned())),
            _ => Ok(()),
        }
    }),
    Converter::new(
        "IsInCIDR",
        &[need("target", STRING), need("networks", Takes::Networks)],
        Some(Kind::Bool),
        |call, reader| {
            let text = call.text(0, reader)?;
            let address = text.parse().map_err(|_| call.fault("this is no IP address"))?;
            let Arg::Networks(networks) = call.arg(1) else {
                return Err(call.fault("there are no networks"));
            };
            Ok(Value::Bool(networks.iter().any(|network| network.contains(address))))
        },
    ),
    Converter::new(
        "IsValidLuhn",
        &[need("value", Takes::Of(&[Kind::String, Kind::Int]))],
        Some(Kind::Bool),
        |call, reader| {
            let value = call.look(0, reader)?;
            let digits = match &*value {
                Value::Int(_) | Value::String(_) => value.to_text().unwrap_or_default(),
                other => return Err(call.wrong(0, "a string or an integer", other)),
            };
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(call.fault("there are other characters than digits in it"));
            }
            let sum: u64 = digits
                .bytes()
                .rev()
                .zip([1u64, 2].into_iter().cycle())
                .map(|(byte, factor)| u64::from(byte - b'0') * factor)
                .map(|number| number / 10 + number % 10)
                .sum();
            Ok(Value::Bool(sum.is_multiple_of(10)))
        },
    ),
];

/// Numbers by their value, texts by their letters, and a mixture by what each looks like as text.
fn sort(list: &mut [Value<'_>]) {
    let number = |value: &Value<'_>| match value {
        Value::Int(value) => Some(*value as f64),
        Value::Double(value) => Some(*value),
        _ => None,
    };
    if list.iter().all(|value| matches!(value, Value::Int(_))) {
        list.sort_by(|left, right| match (left, right) {
            (Value::Int(left), Value::Int(right)) => left.cmp(right),
            _ => Ordering::Equal,
        });
    } else if list.iter().all(|value| number(value).is_some()) {
        let key = |value: &Value<'_>| number(value).unwrap_or_default();
        list.sort_by(|left, right| key(left).total_cmp(&key(right)));
    } else {
        list.sort_by(|left, right| left.to_text().cmp(&right.to_text()));
    }
}

/// What a path of names leads to in maps.
fn descend<'a>(value: Value<'a>, path: &[String]) -> Option<Value<'a>> {
    path.iter().try_fold(value, |value, name| match value {
        Value::Map(map) => map.into_iter().find(|(key, _)| key == name).map(|(_, value)| value),
        _ => None,
    })
}
