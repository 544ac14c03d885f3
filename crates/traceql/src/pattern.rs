//! Regular expressions. They are those of RE2; the engine's own dialect differs in a few places,
//! which are translated.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// What one compiled pattern may take. 100 of them (`PATTERNS_MAX`) stay below 50 MB.
const PATTERN_BYTES_MAX: usize = 512 * 1024;

/// How many patterns a query may have.
pub(crate) const PATTERNS_MAX: usize = 100;

/// A regular expression that has to match a whole text; `.` matches line breaks too.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles a pattern, or says why not.
    pub fn new(text: &str) -> Result<Self, String> {
        let translated = translate(text)?;
        let regex = RegexBuilder::new(&format!("^(?s:{translated})$"))
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .nest_limit(100)
            .build()
            .map_err(|error| explain(&error))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pattern as it runs: anchored at both ends.
    pub fn regex(&self) -> &Regex {
        &self.regex
    }

    /// Whether it matches the whole of a text.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

/// The engine's error on one line: the last line of a syntax error says what is wrong, those above
/// show a pattern that the user did not write.
fn explain(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    }
}

/// RE2's syntax in the engine's: classes such as `\d` are of ASCII, a brace that starts no
/// repetition is itself, and in `[…]` neither `[` nor `&&`, `--` and `~~` are operators.
fn translate(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len() + 8);
    let mut in_class = false;
    let mut class_start = false;
    let mut groups = 0usize;
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        at += next.len_utf8();
        let first_of_class = std::mem::take(&mut class_start);
        match next {
            '\\' => {
                let Some(escaped) = text[at..].chars().next() else {
                    return Err("a backslash escapes what follows, and nothing does".to_owned());
                };
                at += escaped.len_utf8();
                match escaped {
                    'd' => out.push_str("[0-9]"),
                    'D' => out.push_str("[^0-9]"),
                    'w' => out.push_str("[0-9A-Za-z_]"),
                    'W' => out.push_str("[^0-9A-Za-z_]"),
                    's' => out.push_str("[\\t\\n\\f\\r ]"),
                    'S' => out.push_str("[^\\t\\n\\f\\r ]"),
                    'b' if !in_class => out.push_str("(?-u:\\b)"),
                    'Q' if !in_class => {
                        let literal = &text[at..];
                        let literal = &literal[..literal.find("\\E").unwrap_or(literal.len())];
                        out.push_str(&regex::escape(literal));
                        at = (at + literal.len() + 2).min(text.len());
                    }
                    _ => {
                        out.push('\\');
                        out.push(escaped);
                        // The braces of `\p{…}` and `\x{…}` are no repetition.
                        if "pPx".contains(escaped) && text[at..].starts_with('{') {
                            let length = text[at..].find('}').map_or(1, |length| length + 1);
                            out.push_str(&text[at..at + length]);
                            at += length;
                        }
                    }
                }
            }
            '[' if in_class => {
                let name = rest.strip_prefix("[:").unwrap_or_default();
                let letters = name.find(|c: char| c != '^' && !c.is_ascii_lowercase());
                match letters.filter(|letters| name[*letters..].starts_with(":]")) {
                    Some(letters) => {
                        out.push_str(&rest[..letters + 4]);
                        at += letters + 3;
                    }
                    None => out.push_str("\\["),
                }
            }
            '[' => {
                (in_class, class_start) = (true, true);
                out.push('[');
                if text[at..].starts_with('^') {
                    at += 1;
                    out.push('^');
                }
            }
            ']' if in_class && first_of_class => out.push_str("\\]"),
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(next);
            }
            '-' if in_class && text[at..].starts_with('-') => out.push_str("\\-"),
            '(' if !in_class => {
                groups += 1;
                out.push('(');
            }
            ')' if !in_class => {
                groups = groups.checked_sub(1).ok_or("a group is closed that was not opened")?;
                out.push(')');
            }
            '{' if !in_class && !is_repetition(rest) => out.push_str("\\{"),
            _ => out.push(next),
        }
    }
    Ok(out)
}

/// Whether a text starts with `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(text: &str) -> bool {
    let text = &text[1..];
    let end = text.find(|c: char| c != ',' && !c.is_ascii_digit());
    let Some(inside) = end.filter(|end| text[*end..].starts_with('}')).map(|end| &text[..end])
    else {
        return false;
    };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    !least.is_empty() && !most.contains(',')
}
