//! Which context texts are for, where nobody says.

use super::path::starts_path;
use crate::error::{Error, ErrorKind};
use crate::functions::converter;
use crate::lexer::{TokenKind, tokens};
use crate::path::{Context, Owner, find};

/// The innermost context that paths and functions of the texts name: what statements with the
/// prefixes `resource.` and `span.` are for is a span. Every path needs its prefix then.
///
/// Finds out no more than that; the texts are still to be parsed. An error comes with the place of
/// its text.
pub fn infer_context<T: AsRef<str>>(texts: &[T]) -> Result<Context, (usize, Error)> {
    let mut found: Option<Context> = None;
    for (at, text) in texts.iter().enumerate() {
        let context = infer(text.as_ref()).map_err(|error| (at, error))?;
        found = found.max(context);
    }
    found.ok_or_else(|| {
        let text = texts.first().map_or("", AsRef::as_ref);
        let message = "no path says what this is for; write its context, such as span.name";
        (0, Error::new(ErrorKind::Validation, text, 0, text.len(), message))
    })
}

fn infer(text: &str) -> Result<Option<Context>, Error> {
    if text.len() > super::TEXT_BYTES_MAX {
        // The parser says so.
        return Ok(None);
    }
    let (tokens, _) = tokens(text);
    let mut found: Option<Context> = None;
    for (at, token) in tokens.iter().enumerate() {
        if token.kind != TokenKind::Word {
            continue;
        }
        let word = text.get(token.start..token.end).unwrap_or_default();
        let before = at.checked_sub(1).and_then(|at| tokens.get(at)).map(|token| &token.kind);
        let after = tokens.get(at + 1).map(|token| &token.kind);
        if let Some(converter) = converter(word) {
            found = found.max(Some(converter.context).filter(|one| *one != Context::Resource));
        }
        if !starts_path(before, after) || !word.starts_with(|c: char| c.is_ascii_lowercase()) {
            continue;
        }
        let prefixed = after == Some(&TokenKind::Sign("."));
        match Context::from_name(word) {
            Some(context) if prefixed => found = found.max(Some(context)),
            _ if is_keyword(word) || word == "otelcol" => {}
            _ => {
                let owners = Context::ALL.into_iter();
                let owners = owners.filter(|one| find(Owner::Of(*one), word, *one).is_some());
                let mut paths: Vec<String> =
                    owners.map(|owner| format!("{}.{word}", owner.name())).collect();
                if paths.is_empty() && !prefixed {
                    paths.push("span.name".to_owned());
                }
                let message = format!("{word} has no context in front of it");
                let mut error =
                    Error::new(ErrorKind::Validation, text, token.start, token.end, message);
                error.expected = paths;
                return Err(error);
            }
        }
    }
    Ok(found)
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "and" | "or" | "not" | "where" | "true" | "false" | "nil")
}
