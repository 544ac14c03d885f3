//! Maps from and to text such as `a=1 b=2`.

use std::borrow::Cow;

use super::args::literal_text;
use super::{BOOL, Check, Converter, MAP, STRING, VALUES_MAX, may, need, too_many_values};
use crate::error::Fault;
use crate::eval::Reader;
use crate::tree::Call;
use crate::value::{Kind, Value, keep_last};

pub(super) static TABLE: &[Converter] = &[
    Converter::new(
        "ParseKeyValue",
        &[need("target", STRING), may("delimiter", STRING), may("pair_delimiter", STRING)],
        Some(Kind::Map),
        |call, reader| {
            let text = call.text(0, reader)?;
            let (delimiter, between) = delimiters(call, reader)?;
            if text.is_empty() {
                return Err(call.fault("there are no pairs in an empty text"));
            }
            let mut map = Vec::new();
            for pair in split_quoted(&text, &between) {
                let pair = pair.map_err(|message| call.fault(message))?;
                let Some((key, value)) = pair.split_once(&*delimiter) else {
                    let shown: String = pair.chars().take(64).collect();
                    return Err(call.fault(format!("{shown:?} has no {delimiter:?} in it")));
                };
                if map.len() == VALUES_MAX {
                    return Err(too_many_values(call));
                }
                let (key, value) = (key.trim().to_owned(), Value::from(value.trim().to_owned()));
                map.push((Cow::Owned(key), value));
            }
            keep_last(&mut map);
            Ok(Value::Map(map))
        },
    )
    .checked(DIFFERENT),
    Converter::new(
        "ToKeyValueString",
        &[
            need("target", MAP),
            may("delimiter", STRING),
            may("pair_delimiter", STRING),
            may("sort_output", BOOL),
        ],
        Some(Kind::String),
        |call, reader| {
            let mut map = call.map(0, reader)?;
            let (delimiter, between) = delimiters(call, reader)?;
            if call.has(3) && call.boolean(3, reader)? {
                map.sort_by(|(left, _), (right, _)| left.cmp(right));
            }
            let quoted = |text: &str| {
                let text = text.replace('"', "\\\"");
                let delimited = text.contains(&*delimiter) || text.contains(&*between);
                if delimited { format!("\"{text}\"") } else { text }
            };
            let pair = |(key, value): &(Cow<'_, str>, Value<'_>)| {
                let value = quoted(&value.to_text().unwrap_or_default());
                format!("{}{delimiter}{value}", quoted(key))
            };
            Ok(Value::from(map.iter().map(pair).collect::<Vec<_>>().join(&between)))
        },
    )
    .checked(DIFFERENT),
];

type Delimiters<'a> = (Cow<'a, str>, Cow<'a, str>);

/// What stands in a pair and what between pairs.
fn delimiters<'a>(call: &'a Call, reader: &Reader<'a>) -> Result<Delimiters<'a>, Fault> {
    let (in_pair, between) = (call.text_or(1, reader, "=")?, call.text_or(2, reader, " ")?);
    if in_pair.is_empty() || between.is_empty() {
        return Err(call.fault("a delimiter has at least one character"));
    }
    if in_pair == between {
        return Err(call.fault("the delimiters in pairs and between them are the same"));
    }
    Ok((in_pair, between))
}

/// The same of literals, before anything runs.
const DIFFERENT: Check = |args| {
    let in_pair = literal_text(args, 1).unwrap_or("=");
    let between = literal_text(args, 2).unwrap_or(" ");
    if in_pair == between {
        return Err((2, "the delimiters in pairs and between them are the same".to_owned()));
    }
    Ok(())
};

/// The parts of a text between delimiters that are in no quotes, without the quotes around whole
/// parts; empty ones are left out.
fn split_quoted<'t>(
    text: &'t str,
    delimiter: &str,
) -> impl Iterator<Item = Result<String, &'static str>> + use<'t> {
    let delimiter = delimiter.to_owned();
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        loop {
            let text = rest.take()?;
            let mut part = String::new();
            let mut quote = None;
            let mut at = 0;
            loop {
                let tail = text.get(at..).unwrap_or_default();
                if quote.is_none() && tail.starts_with(&delimiter) {
                    rest = text.get(at + delimiter.len()..);
                    break;
                }
                let Some(c) = tail.chars().next() else { break };
                at += c.len_utf8();
                match (c, quote) {
                    ('"' | '\'', None) => quote = Some(c),
                    (c, Some(open)) if c == open => quote = None,
                    _ => part.push(c),
                }
            }
            if quote.is_some() {
                rest = None;
                return Some(Err("a quote is not closed"));
            }
            if !part.is_empty() {
                return Some(Ok(part));
            }
        }
    })
}
