//! The search by tags from before TraceQL: `key=value key="value with spaces"`, all of which some
//! span has to have.

use std::collections::HashSet;
use std::fmt::Write as _;

/// The TraceQL query that tags stand for, or what is wrong with them.
pub(super) fn query(tags: &str) -> Result<String, String> {
    let mut conditions = Vec::new();
    let mut keys = HashSet::new();
    let mut rest = tags.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .filter(|(key, _)| !key.is_empty() && !key.contains([' ', '"']))
            .ok_or_else(|| format!("{rest:?} does not start with key=value"))?;
        if !keys.insert(key) {
            return Err(format!("{key:?} is there twice"));
        }
        let (value, after) = value(after)?;
        conditions.push(condition(key, &value)?);
        rest = after.trim_start();
    }
    match conditions.is_empty() {
        true => Ok("{}".to_owned()),
        false => Ok(format!("{{ {} }}", conditions.join(" && "))),
    }
}

/// A tag as text.
pub(super) fn pair(key: &str, value: &str) -> String {
    format!("{key}={}", quoted(value))
}

/// The value that a text starts with, and what follows it.
fn value(text: &str) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return match text[..end].contains('"') {
            true => Err(format!("{:?} has a quote inside; put all of it in quotes", &text[..end])),
            false => Ok((text[..end].to_owned(), &text[end..])),
        };
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, escaped)) => value.push(escaped),
                None => break,
            },
            character => value.push(character),
        }
    }
    Err(format!("the quote in {text:?} is not closed"))
}

fn condition(key: &str, value: &str) -> Result<String, String> {
    let text = quoted(value);
    Ok(match key {
        "name" => format!("name = {text}"),
        "root.name" => format!("rootName = {text}"),
        "root.service.name" => format!("rootServiceName = {text}"),
        "error" if value == "true" => "status = error".to_owned(),
        "status.code" | "status" => match value {
            "ok" | "error" | "unset" => format!("status = {value}"),
            _ => return Err(format!("{key} is ok, error or unset, not {value:?}")),
        },
        key => {
            let field = format!(".{}", quoted(key));
            // A tag has no type: a number is looked for as such, too.
            match value.parse::<f64>().is_ok_and(f64::is_finite)
                || matches!(value, "true" | "false")
            {
                true if number_of_traceql(value) => {
                    format!("({field} = {text} || {field} = {value})")
                }
                _ => format!("{field} = {text}"),
            }
        }
    })
}

/// Whether the language reads a number or boolean where this stands.
fn number_of_traceql(value: &str) -> bool {
    traceql::parse(&format!("{{ .a = {value} }}")).is_ok()
}

/// A string of TraceQL.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            character if character.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            character => out.push(character),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_conditions() {
        for (tags, expected) in [
            ("", "{}"),
            ("  ", "{}"),
            ("service.name=cart", "{ .\"service.name\" = \"cart\" }"),
            ("a=\"b c\"  d=e=f", "{ .\"a\" = \"b c\" && .\"d\" = \"e=f\" }"),
            ("a=\"say \\\"hi\\\"\"", "{ .\"a\" = \"say \\\"hi\\\"\" }"),
            ("a=", "{ .\"a\" = \"\" }"),
            ("code=500", "{ (.\"code\" = \"500\" || .\"code\" = 500) }"),
            ("retry=true", "{ (.\"retry\" = \"true\" || .\"retry\" = true) }"),
            ("name=GET root.name=x", "{ name = \"GET\" && rootName = \"x\" }"),
            ("error=true", "{ status = error }"),
            ("status.code=ok", "{ status = ok }"),
        ] {
            let query = query(tags).unwrap();
            assert_eq!(query, expected, "{tags}");
            assert!(traceql::parse(&query).is_ok(), "{query}");
        }
        for tags in ["a", "=b", "a=\"b", "a=b\"c", "a=\"b\\", "status=fine", "a b=c", "a=b c=d a=b"]
        {
            assert!(query(tags).is_err(), "{tags}");
        }
    }

    #[test]
    fn any_tag_is_read_back() {
        for text in ["", "a b", "\"", "\\", "\n\t\r\u{1}", "é=ß", "}{", "inf", "NaN", "1e5", "+1"]
        {
            let query = query(&pair("k", text)).unwrap();
            assert!(traceql::parse(&query).is_ok(), "{query}");
        }
    }
}
