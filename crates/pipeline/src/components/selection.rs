//! `include` and `exclude`, patterns, and literals.

use config::{Node, Reader, Value};
use regex::Regex;

use crate::processors::actions::Literal;
use crate::processors::matching::{Conditions, LibraryMatch, Selection, TextMatch, ValueMatch};

/// `include` and `exclude`.
pub(super) fn selection(reader: &mut Reader<'_, '_>) -> Selection {
    Selection {
        include: reader.field("include").section(conditions),
        exclude: reader.field("exclude").section(conditions),
    }
}

/// How texts are compared.
#[derive(Clone, Copy, PartialEq)]
enum Match {
    Strict,
    Regexp,
}

fn conditions(reader: &mut Reader<'_, '_>) -> Conditions {
    let how = reader
        .field("match_type")
        .required()
        .choice(&[("strict", Match::Strict), ("regexp", Match::Regexp)])
        .unwrap_or(Match::Strict);
    // A cache of Go's regular expressions; ours need none.
    reader.field("regexp").section(|reader| {
        reader.field("cacheenabled").bool();
        reader.field("cachemaxnumentries").int::<i64>(0..=i64::MAX);
    });
    let mut texts = |key: &'static str| {
        let texts = reader.field(key).strings().unwrap_or_default();
        texts.into_iter().filter_map(|text| text_match(reader, key, how, text)).collect::<Vec<_>>()
    };
    let services = texts("services");
    let span_names = texts("span_names");
    let span_kinds = texts("span_kinds");
    let mut pairs = |key: &'static str| {
        let read = |reader: &mut Reader<'_, '_>| {
            let name = reader.field("key").required().string().unwrap_or_default();
            let value = reader.field("value").node().cloned();
            let asked = match value {
                None => ValueMatch::Present,
                Some(node) => match (how, literal(&node)) {
                    (Match::Strict, Some(literal)) => ValueMatch::Equal(literal),
                    (Match::Regexp, Some(Literal::Text(text))) => regex(reader, "value", &text)
                        .map_or(ValueMatch::Present, ValueMatch::Pattern),
                    (Match::Regexp, Some(_)) => {
                        reader.fault("value", "with match_type regexp, it must be text");
                        ValueMatch::Present
                    }
                    (_, None) => {
                        reader.fault("value", "must be text, a number or a boolean");
                        ValueMatch::Present
                    }
                },
            };
            (name, asked)
        };
        reader.field(key).list_of(read).unwrap_or_default()
    };
    let attributes = pairs("attributes");
    let resources = pairs("resources");
    let libraries = reader
        .field("libraries")
        .list_of(|reader| {
            let name = reader.field("name").required().string().unwrap_or_default();
            let version = reader.field("version").string();
            let name = text_match(reader, "name", how, name);
            let version = version.map(|text| text_match(reader, "version", how, text));
            Some(LibraryMatch { name: name?, version: version.flatten() })
        })
        .unwrap_or_default();
    let libraries: Vec<LibraryMatch> = libraries.into_iter().flatten().collect();
    let is_empty = services.is_empty()
        && span_names.is_empty()
        && span_kinds.is_empty()
        && attributes.is_empty()
        && resources.is_empty()
        && libraries.is_empty();
    if is_empty {
        let keys = "\"services\", \"span_names\", \"span_kinds\", \"attributes\", \"libraries\" or \
                    \"resources\"";
        reader.fault("match_type", &format!("at least one of {keys} must be specified"));
    }
    Conditions { services, span_names, span_kinds, attributes, resources, libraries }
}

fn text_match(
    reader: &mut Reader<'_, '_>,
    key: &str,
    how: Match,
    text: String,
) -> Option<TextMatch> {
    match how {
        Match::Strict => Some(TextMatch::Strict(text)),
        Match::Regexp => regex(reader, key, &text).map(TextMatch::Pattern),
    }
}

/// A pattern in the Collector's syntax; reports one that is none.
pub(super) fn regex(reader: &mut Reader<'_, '_>, key: &str, text: &str) -> Option<Regex> {
    let made = ottl::from_re2(text).map_err(str::to_owned).and_then(|pattern| {
        Regex::new(&pattern).map_err(|error| {
            // The error shows the pattern on lines of its own, which one line cannot.
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default();
            reason.trim_start_matches("error: ").to_owned()
        })
    });
    match made {
        Ok(pattern) => Some(pattern),
        Err(reason) => {
            reader.fault(key, &format!("{text:?} is no regular expression: {reason}"));
            None
        }
    }
}

/// A list of patterns.
pub(super) fn regexes(reader: &mut Reader<'_, '_>, key: &'static str) -> Vec<Regex> {
    let texts = reader.field(key).strings().unwrap_or_default();
    texts.iter().filter_map(|text| regex(reader, key, text)).collect()
}

/// A scalar of YAML as a value.
pub(super) fn literal(node: &Node) -> Option<Literal> {
    match &node.value {
        Value::Bool(value) => Some(Literal::Bool(*value)),
        Value::Int(value) => i64::try_from(*value).ok().map(Literal::Int),
        Value::Float(value) => Some(Literal::Double(*value)),
        Value::String(text) => Some(Literal::Text(text.to_string())),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}
