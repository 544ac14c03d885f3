//! The processor `span`: names made of attributes, attributes made of names, and the status.

use model::{Owner, SpanBatch, Value};
use regex::Regex;

use super::Edit;
use super::actions::text_of;
use super::matching::Selection;
use crate::consumer::Refusal;
use crate::data::Client;

/// How a span is named after its attributes.
#[derive(Debug, Clone)]
pub struct FromAttributes {
    /// Keys whose values make the name; all of them must be there.
    pub keys: Vec<String>,
    /// What stands between the values.
    pub separator: String,
}

/// How attributes are taken out of a name.
#[derive(Debug, Clone)]
pub struct ToAttributes {
    /// Patterns with named groups. Each group becomes an attribute, and its place in the name
    /// `{group}`.
    pub rules: Vec<Regex>,
    /// Whether the first pattern that is found is the last that is tried.
    pub break_after_match: bool,
    /// Whether the name stays as it is.
    pub keep_original_name: bool,
}

/// A status to be set.
#[derive(Debug, Clone)]
pub struct Status {
    /// A number of [`model::status_code`].
    pub code: i32,
    /// The message.
    pub description: String,
}

/// Changes spans themselves.
#[derive(Debug, Clone, Default)]
pub struct Span {
    /// Of which spans.
    pub selection: Selection,
    /// The name, from attributes.
    pub from_attributes: Option<FromAttributes>,
    /// Attributes, from the name.
    pub to_attributes: Option<ToAttributes>,
    /// The status.
    pub status: Option<Status>,
}

impl Edit for Span {
    fn edit(&self, batch: &mut SpanBatch, _: &Client) -> Result<(), Refusal> {
        for at in 0..batch.len() {
            if !self.selection.has(batch, &batch.spans()[at]) {
                continue;
            }
            if let Some(from) = &self.from_attributes {
                name_from_attributes(batch, at, from)?;
            }
            if let Some(to) = &self.to_attributes {
                name_to_attributes(batch, at, to)?;
            }
            if let Some(status) = &self.status {
                let message = batch.add_text(status.description.as_bytes())?;
                let span = batch.edit_span(at);
                (span.status_code, span.status_message) = (status.code, message);
            }
        }
        Ok(())
    }
}

fn name_from_attributes(
    batch: &mut SpanBatch,
    at: usize,
    from: &FromAttributes,
) -> Result<(), Refusal> {
    let mut name = String::new();
    for (place, key) in from.keys.iter().enumerate() {
        let Some(found) = batch.find_attribute(Owner::Span(at), key.as_bytes()) else {
            return Ok(());
        };
        if place > 0 {
            name.push_str(&from.separator);
        }
        let value = batch.attributes(Owner::Span(at))[found].value;
        name.push_str(&text_of(batch, value));
    }
    if !from.keys.is_empty() {
        let name = batch.add_text(name.as_bytes())?;
        batch.edit_span(at).name = name;
    }
    Ok(())
}

fn name_to_attributes(batch: &mut SpanBatch, at: usize, to: &ToAttributes) -> Result<(), Refusal> {
    let mut name = batch.text(batch.spans()[at].name).to_owned();
    let original = name.clone();
    for rule in &to.rules {
        let Some(found) = rule.captures(&name) else { continue };
        let mut renamed = String::new();
        let mut end = 0;
        let mut taken: Vec<(String, String)> = Vec::new();
        for (group, text) in rule.capture_names().zip(found.iter()).skip(1) {
            let (Some(group), Some(text)) = (group, text) else { continue };
            taken.push((group.to_owned(), text.as_str().to_owned()));
            // A group inside another one has no place of its own in the name.
            if text.start() >= end {
                renamed.push_str(&name[end..text.start()]);
                renamed.push_str(&format!("{{{group}}}"));
                end = text.end();
            }
        }
        renamed.push_str(&name[end..]);
        for (key, text) in taken {
            let key = batch.add_text(key.as_bytes())?;
            let text = batch.add_text(text.as_bytes())?;
            batch.set_attribute(Owner::Span(at), key, Value::String(text))?;
        }
        name = renamed;
        if to.break_after_match {
            break;
        }
    }
    if !to.keep_original_name && name != original {
        let name = batch.add_text(name.as_bytes())?;
        batch.edit_span(at).name = name;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Plain::{Bool, Int, Text};
    use super::super::testing::{attributes, names, one};
    use super::*;

    fn from(keys: &[&str], separator: &str) -> Span {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        let from = FromAttributes { keys, separator: separator.to_owned() };
        Span { from_attributes: Some(from), ..Span::default() }
    }

    fn to(rules: &[&str], break_after_match: bool, keep_original_name: bool) -> Span {
        let rules = rules.iter().map(|rule| Regex::new(rule).unwrap()).collect();
        let to = ToAttributes { rules, break_after_match, keep_original_name };
        Span { to_attributes: Some(to), ..Span::default() }
    }

    #[test]
    fn names_and_attributes_become_each_other() {
        let before = || vec![("db", Text("pg")), ("n", Int(7)), ("ok", Bool(true))];
        for (edit, name, after) in [
            (from(&["db", "n", "ok"], "::"), "pg::7::true", "db='pg' n=7 ok=true"),
            (from(&["n", "none"], "::"), "GET /cart/42", "db='pg' n=7 ok=true"),
            (from(&[], "::"), "GET /cart/42", "db='pg' n=7 ok=true"),
            (
                to(&["/(?P<what>[a-z]+)/(?P<id>[0-9]+)$"], false, false),
                "GET /{what}/{id}",
                "db='pg' n=7 ok=true what='cart' id='42'",
            ),
            (to(&["/(?P<id>[0-9]+)$"], false, true), "GET /cart/42", "db='pg' n=7 ok=true id='42'"),
            (
                to(&["^(?P<verb>[A-Z]+)", "(?P<id>[0-9]+)"], false, false),
                "{verb} /cart/{id}",
                "db='pg' n=7 ok=true verb='GET' id='42'",
            ),
            (
                to(&["^(?P<verb>[A-Z]+)", "(?P<id>[0-9]+)"], true, false),
                "{verb} /cart/42",
                "db='pg' n=7 ok=true verb='GET'",
            ),
            (to(&["(?P<id>x)"], false, false), "GET /cart/42", "db='pg' n=7 ok=true"),
        ] {
            let mut batch = one(before());
            edit.edit(&mut batch, &Client::default()).unwrap();
            assert_eq!(names(&batch), [name], "{edit:?}");
            assert_eq!(attributes(&batch, Owner::Span(0)), after, "{edit:?}");
        }
    }

    #[test]
    fn a_status_is_set() {
        let mut batch = one(vec![]);
        let status = Status { code: 2, description: "too late".to_owned() };
        let edit = Span { status: Some(status), ..Span::default() };
        edit.edit(&mut batch, &Client::default()).unwrap();
        let again = SpanBatch::decode(batch.encoded()).unwrap();
        let span = &again.spans()[0];
        assert_eq!((span.status_code, again.text(span.status_message)), (2, "too late"));
    }
}
