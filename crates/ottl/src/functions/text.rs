//! Converters of text.

use std::borrow::Cow;

use super::{
    BOOL, Converter, INT, LIST, Param, STRING, Takes, VALUES_MAX, format, may, need,
    too_many_values,
};
use crate::compare::equal;
use crate::error::Fault;
use crate::eval::Reader;
use crate::tree::{Arg, Call};
use crate::value::{Kind, Value};

const TARGET: &[Param] = &[need("target", STRING)];
const CASES: &[&str] = &["lower", "upper", "snake", "camel"];

pub(super) static TABLE: &[Converter] = &[
    Converter::new(
        "IsMatch",
        &[need("target", Takes::Any), need("pattern", Takes::Pattern)],
        Some(Kind::Bool),
        |call, reader| {
            let value = call.look(0, reader)?;
            let pattern = call.pattern(1)?;
            Ok(Value::Bool(match &*value {
                Value::String(text) => pattern.is_match(text),
                other => other.to_text().is_some_and(|text| pattern.is_match(&text)),
            }))
        },
    ),
    Converter::new(
        "Concat",
        &[need("values", LIST), need("delimiter", STRING)],
        Some(Kind::String),
        concat,
    ),
    Converter::new(
        "Split",
        &[need("target", STRING), need("delimiter", STRING)],
        Some(Kind::List),
        |call, reader| {
            let (text, delimiter) = (call.text(0, reader)?, call.text(1, reader)?);
            let too_many = match &*delimiter {
                "" => text.chars().nth(VALUES_MAX).is_some(),
                delimiter => text.split(delimiter).nth(VALUES_MAX).is_some(),
            };
            if too_many {
                return Err(too_many_values(call));
            }
            let owned = |part: &str| Value::from(part.to_owned());
            Ok(Value::List(match &*delimiter {
                "" => text.chars().map(|c| Value::from(String::from(c))).collect(),
                delimiter => text.split(delimiter).map(owned).collect(),
            }))
        },
    ),
    Converter::new(
        "Substring",
        &[need("target", STRING), need("start", INT), need("length", INT), may("utf8_safe", BOOL)],
        Some(Kind::String),
        substring,
    ),
    Converter::new(
        "HasPrefix",
        &[need("value", STRING), need("prefix", STRING)],
        Some(Kind::Bool),
        |call, reader| Ok(Value::Bool(call.text(0, reader)?.starts_with(&*call.text(1, reader)?))),
    ),
    Converter::new(
        "HasSuffix",
        &[need("value", STRING), need("suffix", STRING)],
        Some(Kind::Bool),
        |call, reader| Ok(Value::Bool(call.text(0, reader)?.ends_with(&*call.text(1, reader)?))),
    ),
    Converter::new(
        "Trim",
        &[need("target", STRING), may("replacement", STRING)],
        Some(Kind::String),
        |call, reader| {
            let set = call.text_or(1, reader, " ")?;
            let text = call.text(0, reader)?;
            Ok(cut(text, |text| text.trim_matches(|c| set.contains(c))))
        },
    ),
    Converter::new(
        "TrimPrefix",
        &[need("value", STRING), need("prefix", STRING)],
        Some(Kind::String),
        |call, reader| {
            let (text, prefix) = (call.text(0, reader)?, call.text(1, reader)?);
            Ok(cut(text, |text| text.strip_prefix(&*prefix).unwrap_or(text)))
        },
    ),
    Converter::new(
        "TrimSuffix",
        &[need("value", STRING), need("suffix", STRING)],
        Some(Kind::String),
        |call, reader| {
            let (text, suffix) = (call.text(0, reader)?, call.text(1, reader)?);
            Ok(cut(text, |text| text.strip_suffix(&*suffix).unwrap_or(text)))
        },
    ),
    Converter::new("ToLowerCase", TARGET, Some(Kind::String), |call, reader| {
        Ok(Value::from(call.text(0, reader)?.to_lowercase()))
    }),
    Converter::new("ToUpperCase", TARGET, Some(Kind::String), |call, reader| {
        Ok(Value::from(call.text(0, reader)?.to_uppercase()))
    }),
    Converter::new("ToSnakeCase", TARGET, Some(Kind::String), |call, reader| {
        Ok(Value::from(snake(&call.text(0, reader)?)))
    }),
    Converter::new("ToCamelCase", TARGET, Some(Kind::String), |call, reader| {
        Ok(Value::from(camel(&call.text(0, reader)?)))
    }),
    Converter::new(
        "ConvertCase",
        &[need("target", STRING), need("to_case", Takes::Choice(CASES))],
        Some(Kind::String),
        |call, reader| {
            let text = call.text(0, reader)?;
            Ok(Value::from(match call.choice(1) {
                0 => text.to_lowercase(),
                1 => text.to_uppercase(),
                2 => snake(&text),
                _ => camel(&text),
            }))
        },
    ),
    Converter::new(
        "Format",
        &[need("format_string", STRING), need("values", LIST)],
        Some(Kind::String),
        |call, reader| {
            let (text, values) = (call.text(0, reader)?, call.list(1, reader)?);
            format::format(&text, &values).map(Value::from).map_err(|message| call.fault(message))
        },
    ),
    Converter::new(
        "ExtractPatterns",
        &[need("target", STRING), need("pattern", Takes::Pattern)],
        Some(Kind::Map),
        |call, reader| {
            let text = call.text(0, reader)?;
            let pattern = call.pattern(1)?;
            let Some(captures) = pattern.captures(&text) else {
                return Ok(Value::Map(Vec::new()));
            };
            let entry = |name| {
                let found = captures.name(name).map_or("", |found| found.as_str());
                (Cow::Borrowed(name), Value::from(found.to_owned()))
            };
            Ok(Value::Map(pattern.names().map(entry).collect()))
        },
    )
    .checked(|args| match args.get(1) {
        Some(Arg::Pattern(pattern)) if pattern.names().next().is_none() => {
            Err((1, "the pattern needs a group with a name, such as (?P<name>.*)".to_owned()))
        }
        _ => Ok(()),
    }),
    Converter::new(
        "Index",
        &[need("target", Takes::Of(&[Kind::String, Kind::List])), need("value", Takes::Any)],
        Some(Kind::Int),
        |call, reader| {
            let (target, value) = (call.look(0, reader)?, call.look(1, reader)?);
            let at = match &*target {
                Value::List(list) => list.iter().position(|one| equal(one, &value)),
                Value::String(text) => match &*value {
                    Value::String(part) => text.find(&**part),
                    other => return Err(call.wrong(1, "a string", other)),
                },
                other => return Err(call.wrong(0, "a string or a list", other)),
            };
            Ok(Value::Int(at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1)))
        },
    ),
];

/// Part of a text, borrowed where the text is.
fn cut<'a>(text: Cow<'a, str>, part: impl Fn(&str) -> &str) -> Value<'a> {
    let kept = part(&text);
    let start = kept.as_ptr().addr() - text.as_ptr().addr();
    let range = start..start + kept.len();
    match text {
        Cow::Borrowed(text) => Value::from(text.get(range).unwrap_or_default()),
        Cow::Owned(text) => Value::from(text.get(range).unwrap_or_default().to_owned()),
    }
}

fn concat<'a>(call: &'a Call, reader: &Reader<'a>) -> Result<Value<'a>, Fault> {
    let values = call.list(0, reader)?;
    let delimiter = call.text(1, reader)?;
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push_str(&delimiter);
        }
        match value {
            Value::Nil => out.push_str("<nil>"),
            value => out.push_str(&value.to_text().unwrap_or_default()),
        }
    }
    Ok(Value::from(out))
}

fn substring<'a>(call: &'a Call, reader: &Reader<'a>) -> Result<Value<'a>, Fault> {
    let text = call.text(0, reader)?;
    let (mut start, length) = (call.count(1, reader)?, call.count(2, reader)?);
    let safe = call.has(3) && call.boolean(3, reader)?;
    let end = start.checked_add(length).filter(|end| *end <= text.len());
    let Some(mut end) = end else {
        let bytes = text.len();
        return Err(
            call.fault(format!("{length} bytes from {start} are beyond the text's {bytes}"))
        );
    };
    if safe {
        while !text.is_char_boundary(start) {
            start += 1;
        }
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        end = end.max(start);
    } else if !text.is_char_boundary(start) || !text.is_char_boundary(end) {
        // Half a character is no text; the Collector would send on bytes that are none.
        return Err(call.fault("this cuts a character in two; utf8_safe=true keeps them whole"));
    }
    Ok(match text {
        Cow::Borrowed(text) => Value::from(text.get(start..end).unwrap_or_default()),
        Cow::Owned(text) => Value::from(text.get(start..end).unwrap_or_default().to_owned()),
    })
}

/// Words in lower case with `_` between them. A word begins where a capital follows a small letter,
/// before the last of several capitals, and between letters and digits.
fn snake(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let ends_capitals = characters.peek().is_some_and(|after| after.is_lowercase());
        let begins = before.is_alphabetic() && c.is_numeric()
            || before.is_numeric() && c.is_alphabetic()
            || before.is_lowercase() && c.is_uppercase()
            || before.is_uppercase() && c.is_uppercase() && ends_capitals;
        if begins {
            out.push('_');
        }
        match c {
            ' ' | '-' | '.' => out.push('_'),
            c => out.extend(c.to_lowercase()),
        }
        before = c;
    }
    out
}

/// Words with a capital at their start and nothing between them. Digits end a word too.
fn camel(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        if matches!(c, ' ' | '-' | '_' | '.') {
            begins = true;
        } else if c.is_numeric() {
            out.push(c);
            begins = true;
        } else if std::mem::take(&mut begins) {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}
