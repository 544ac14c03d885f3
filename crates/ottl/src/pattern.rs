//! Regular expressions in RE2's syntax, and globs.

use std::borrow::Cow;

use regex::{Captures, Regex, RegexBuilder};

/// What one compiled pattern may take. 100 of them (`PATTERNS_MAX`) stay below 50 MB.
const PATTERN_BYTES_MAX: usize = 512 * 1024;

/// How many patterns a text may have.
pub(crate) const PATTERNS_MAX: usize = 100;

/// A regular expression that matches anywhere in a text.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
}

impl Pattern {
    /// Compiles a pattern, or says why not.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(&from_re2(text)?)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .nest_limit(100)
            .build()
            .map_err(|error| explain(&error))?;
        Ok(Self { regex })
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The groups that have names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.regex.capture_names().flatten()
    }

    pub(crate) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.regex.captures(text)
    }

    pub(crate) fn captures_iter<'t>(&self, text: &'t str) -> impl Iterator<Item = Captures<'t>> {
        self.regex.captures_iter(text)
    }

    /// Every match replaced, `$1` and `${name}` in the replacement being groups; nothing if none
    /// matches.
    pub(crate) fn replace_all(&self, text: &str, replacement: &str) -> Option<String> {
        match self.regex.replace_all(text, replacement) {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text),
        }
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

/// A regular expression of RE2, whose syntax the Collector's are of, in that of the crate `regex`:
/// classes such as `\d` are of ASCII, a brace that starts no repetition is itself, and in `[…]`
/// neither `[` nor `&&`, `--` and `~~` are operators.
///
/// # Errors
///
/// When it ends in a backslash. What else is wrong with it the crate says.
pub fn from_re2(text: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    // In a class; at its first member.
    let (mut class, mut first) = (false, false);
    while let Some(next) = rest.chars().next() {
        let at_first = std::mem::take(&mut first);
        let mut taken = next.len_utf8();
        match next {
            '\\' => {
                let escaped = rest[1..].chars().next();
                let escaped =
                    escaped.ok_or("a backslash escapes what follows, and nothing does")?;
                taken += escaped.len_utf8();
                match (escaped, class) {
                    ('d', _) => out.push_str("[0-9]"),
                    ('D', _) => out.push_str("[^0-9]"),
                    ('w', _) => out.push_str("[0-9A-Za-z_]"),
                    ('W', _) => out.push_str("[^0-9A-Za-z_]"),
                    ('s', _) => out.push_str("[\\t\\n\\f\\r ]"),
                    ('S', _) => out.push_str("[^\\t\\n\\f\\r ]"),
                    ('b', false) => out.push_str("(?-u:\\b)"),
                    ('Q', false) => {
                        let literal = rest[taken..].split("\\E").next().unwrap_or_default();
                        out.push_str(&regex::escape(literal));
                        taken = (taken + literal.len() + 2).min(rest.len());
                    }
                    // The braces of `\p{…}` and `\x{…}` are no repetition.
                    ('p' | 'P' | 'x', _) if rest[taken..].starts_with('{') => {
                        taken += rest[taken..].find('}').map_or(1, |length| length + 1);
                        out.push_str(&rest[..taken]);
                    }
                    _ => out.push_str(&rest[..taken]),
                }
            }
            '[' if class => match named_class(rest) {
                Some(name) => {
                    taken = name.len();
                    out.push_str(name);
                }
                None => out.push_str("\\["),
            },
            '[' => {
                (class, first) = (true, true);
                taken += usize::from(rest[1..].starts_with('^'));
                out.push_str(&rest[..taken]);
            }
            ']' if class && at_first => out.push_str("\\]"),
            ']' => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => out.extend(['\\', next]),
            '-' if class && rest[1..].starts_with('-') => out.push_str("\\-"),
            '{' if !class && !is_repetition(rest) => out.push_str("\\{"),
            _ => out.push(next),
        }
        rest = &rest[taken..];
    }
    Ok(out)
}

/// `[:alpha:]` at the start of a text.
fn named_class(text: &str) -> Option<&str> {
    let name = text.strip_prefix("[:")?;
    let end = name.find(|c: char| c != '^' && !c.is_ascii_lowercase())?;
    name[end..].starts_with(":]").then(|| &text[..end + 4])
}

/// Whether a text starts with `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(text: &str) -> bool {
    let inside = text[1..].split('}').next().unwrap_or_default();
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    inside.len() + 1 < text.len() && !least.is_empty() && digits(least) && digits(most)
}

/// A glob that matches a whole text: `*` is any run of characters, `?` any one, `[a-z]` one of a
/// class, `[^a]` one that is not in it, `{a,b}` one of several, and `\` takes the meaning from what
/// follows. As in the Collector, `*` and `?` match `/` too.
#[derive(Debug)]
pub(crate) struct Glob {
    /// Where the glob has no other sign than `*`, the parts between them: most are of this kind,
    /// and need no engine.
    parts: Option<Vec<String>>,
    regex: Regex,
}

impl Glob {
    /// Compiles a glob, or says why not.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let mut out = String::from("^(?s:");
        let mut characters = text.chars().peekable();
        let mut choices = 0usize;
        while let Some(next) = characters.next() {
            match next {
                '*' => out.push_str(".*"),
                '?' => out.push('.'),
                '{' => {
                    choices += 1;
                    out.push_str("(?:");
                }
                ',' if choices > 0 => out.push('|'),
                '}' if choices > 0 => {
                    choices -= 1;
                    out.push(')');
                }
                '\\' => {
                    let escaped = characters.next();
                    let escaped = escaped.ok_or("a backslash escapes what follows")?;
                    out.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4])));
                }
                '[' => {
                    out.push('[');
                    if let Some('^' | '!') = characters.peek() {
                        characters.next();
                        out.push('^');
                    }
                    let mut empty = true;
                    loop {
                        let mut member = characters.next().ok_or("a class is not closed")?;
                        match member {
                            ']' if !empty => break,
                            '-' if !empty => {
                                out.push('-');
                                continue;
                            }
                            '\\' => {
                                member = characters.next().ok_or("a class is not closed")?;
                            }
                            _ => {}
                        }
                        empty = false;
                        out.push_str(&format!("\\x{{{:x}}}", u32::from(member)));
                    }
                    out.push(']');
                }
                other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
            }
        }
        if choices > 0 {
            return Err("a brace is not closed".to_owned());
        }
        out.push_str(")$");
        let regex = RegexBuilder::new(&out)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .nest_limit(100)
            .build()
            .map_err(|error| explain(&error))?;
        let plain = !text.contains(['?', '\\', '[', '{']);
        let parts = plain.then(|| text.split('*').map(str::to_owned).collect());
        Ok(Self { parts, regex })
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        match self.parts.as_deref() {
            Some([whole]) => text == whole,
            Some([first, middle @ .., last]) => {
                let rest = text.strip_prefix(first.as_str());
                let Some(mut rest) = rest.and_then(|rest| rest.strip_suffix(last.as_str())) else {
                    return false;
                };
                middle.iter().all(|part| {
                    let at = rest.find(part.as_str());
                    rest = at.map_or("", |at| &rest[at + part.len()..]);
                    at.is_some()
                })
            }
            _ => self.regex.is_match(text),
        }
    }
}
