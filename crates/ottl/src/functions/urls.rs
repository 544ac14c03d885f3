//! URLs taken apart.

use std::borrow::Cow;

use super::{Converter, STRING, need};
use crate::value::{Kind, Map, Value};

pub(super) static TABLE: &[Converter] =
    &[Converter::new("URL", &[need("url", STRING)], Some(Kind::Map), |call, reader| {
        let text = call.text(0, reader)?;
        let parts = parse(&text).map_err(|why| call.fault(format!("this is no URL: {why}")))?;
        Ok(Value::Map(parts))
    })];

/// The parts of a URL under the names of the semantic conventions.
fn parse(text: &str) -> Result<Map<'static>, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err("there are control characters in it");
    }
    let (rest, fragment) = split(text, '#');
    let (rest, query) = split(rest, '?');
    let (scheme, rest) = match rest.find([':', '/']) {
        Some(at) if rest[at..].starts_with(':') => (&rest[..at], &rest[at + 1..]),
        _ => ("", rest),
    };
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let no_scheme = scheme.is_empty() && text.starts_with(':');
    if no_scheme || !scheme.is_empty() && !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("its scheme does not start with a letter");
    }
    if !scheme.chars().all(is_scheme) {
        return Err("its scheme has other characters than letters, digits, + - and .");
    }
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let (domain, port) = match host.rsplit_once(':') {
        Some((domain, port)) if !port.contains(']') => (domain, port),
        _ => (host, ""),
    };
    if host.starts_with('[') != host.contains(']') {
        return Err("its host has only one bracket");
    }
    let path = unescape(path)?;

    let mut parts: Map<'static> = Vec::new();
    let mut add = |name: &'static str, value: Value<'static>| {
        parts.push((Cow::Borrowed(name), value));
    };
    let owned = |text: &str| Value::from(text.to_owned());
    add("url.original", owned(text));
    add("url.scheme", Value::from(scheme.to_ascii_lowercase()));
    add("url.domain", owned(domain.trim_start_matches('[').trim_end_matches(']')));
    if !port.is_empty() {
        let port: u16 = port.parse().map_err(|_| "its port is no number up to 65535")?;
        add("url.port", Value::Int(i64::from(port)));
    }
    if let Some((_, extension)) = path.rsplit_once('.')
        && !extension.is_empty()
    {
        add("url.extension", owned(extension));
    }
    add("url.path", Value::from(path));
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        add("url.query", owned(query));
    }
    if let Some(fragment) = fragment.filter(|fragment| !fragment.is_empty()) {
        add("url.fragment", Value::from(unescape(fragment)?));
    }
    if let Some(user) = user {
        let (name, password) = split(user, ':');
        add("url.user_info", owned(user));
        if !name.is_empty() {
            add("url.username", Value::from(unescape(name)?));
        }
        if let Some(password) = password {
            add("url.password", Value::from(unescape(password)?));
        }
    }
    Ok(parts)
}

/// What stands before and after the first of a character.
fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Text without percent escapes; what they give that is no UTF-8 is replaced.
fn unescape(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        let digits = escaped.get(..2).and_then(crate::value::from_hex);
        bytes.extend(digits.ok_or("it has a % without two hexadecimal digits")?);
        rest = escaped.get(2..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
