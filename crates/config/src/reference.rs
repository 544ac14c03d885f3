//! What stands between `${` and `}`.

use std::ops::Range;

/// Where the first reference of a text is that can be expanded: an innermost one, and not escaped
/// by an odd number of dollar signs before it.
pub(crate) fn find(text: &str) -> Option<Range<usize>> {
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let close = rest.find('}')?;
        if let Some(open) = rest.get(..close).and_then(|before| before.rfind("${")) {
            let before = rest.get(..open).unwrap_or_default();
            let dollars = before.len() - before.trim_end_matches('$').len();
            if dollars % 2 == 0 {
                return Some(from + open..from + close + 1);
            }
        }
        from += close + 1;
    }
}

/// What a reference asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// A variable, and what stands for it if it is not set.
    Variable { name: &'a str, default: Option<&'a str> },
    /// A file's content.
    File(&'a str),
    /// The text itself.
    Yaml(&'a str),
    /// Something that is not to be had: the Collector's message, and what to write instead.
    Wrong { message: String, help: Option<String> },
}

/// Takes apart what stands between the braces.
pub(crate) fn parse(text: &str) -> Asked<'_> {
    let wrong = |message: String, help: Option<String>| Asked::Wrong { message, help };
    // The shell's form. A scheme would win, if there were one of that name.
    if let Some((name, default)) = text.split_once(":-")
        && is_variable_name(name)
        && !matches!(name, "env" | "file" | "yaml")
    {
        return Asked::Variable { name, default: Some(default) };
    }
    let (scheme, rest) = match scheme(text) {
        Some(parts) => parts,
        None if text.contains(':') => {
            let help = other_shell_form(text).unwrap_or_else(|| {
                "a reference is ${env:NAME}, ${env:NAME:-default} or ${file:PATH}".to_owned()
            });
            return wrong(format!("invalid uri: {text:?}"), Some(help));
        }
        None => ("env", text),
    };
    if rest.contains('$') {
        return wrong(format!("the uri {text:?} contains unsupported characters ('$')"), None);
    }
    match scheme {
        "env" => {
            let (name, default) = match rest.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (rest, None),
            };
            match is_variable_name(name) {
                true => Asked::Variable { name, default },
                false => wrong(bad_name(name), other_shell_form(name)),
            }
        }
        "file" => Asked::File(rest),
        "yaml" => Asked::Yaml(rest),
        _ => {
            let message = format!("scheme {scheme:?} is not supported for uri {text:?}");
            let help = match scheme {
                "http" | "https" => "nothing is read over the network; fetch it to a file first",
                _ => "schemes are env, file and yaml; text that has `${` in it is written `$${`",
            };
            wrong(message, Some(other_shell_form(text).unwrap_or_else(|| help.to_owned())))
        }
    }
}

/// `${X-d}`, `${X:=d}`, `${X:?d}` and their like are the shell's and nobody else's.
fn other_shell_form(text: &str) -> Option<String> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    let (name, sign) = text.split_at(end);
    let signs = ["-", ":=", "=", ":?", "?", ":+", "+"];
    let sign = signs.iter().find(|start| sign.starts_with(**start))?;
    is_variable_name(name)
        .then(|| format!("`{sign}` is the shell's; a default is written ${{env:{name}:-default}}"))
}

pub(crate) fn bad_name(name: &str) -> String {
    format!(
        "environment variable {name:?} has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$"
    )
}

/// `^[a-zA-Z_][a-zA-Z0-9_]*$`
pub(crate) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The scheme of a URI, `[A-Za-z][A-Za-z0-9+.-]+`, and what follows its colon. A single letter is
/// a drive and no scheme.
pub(crate) fn scheme(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-');
    let is_scheme = scheme.len() >= 2
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(is_inner);
    is_scheme.then_some((scheme, rest))
}
