//! Text that is not to be shown.

use std::fmt;
use std::ops::Range;

/// A password, a token or a key. Its `Debug` is redacted, and it has no `Display`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Secret(String);

/// What stands where a secret would.
pub const REDACTED: &str = "[REDACTED]";

impl Secret {
    /// Takes a text out of sight.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the peer that asks for it, never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Words of a key whose value is a secret.
const SECRET_WORDS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "authorization",
    "credential",
    "access_key",
    "key_pem",
    "hmac_key",
    "private_key",
];

/// Ends of keys that hold one of the words and name a place or a number instead.
const NO_SECRET_ENDS: [&str; 8] =
    ["_file", "_path", "_url", "_ttl", "_size", "_header", "_scheme", "_endpoint"];

/// Whether the value at a path of keys is to be redacted although no reader has said so. Places in
/// lists are written `[0]`.
pub(crate) fn is_secret_path(keys: &[&str]) -> bool {
    let is_header = match keys {
        [.., "headers", item, "value"] => item.starts_with('['),
        [.., "headers", item] => !item.starts_with('['),
        _ => false,
    };
    // A component or a pipeline may be called `token`; only settings are secret.
    let is_setting = keys.len() > 2 && !keys.starts_with(&["service", "pipelines"]);
    let key = keys.iter().rev().find(|key| !key.starts_with('['));
    is_setting && (is_header || key.is_some_and(|key| is_secret_key(key)))
}

/// Whether the value of a key is to be redacted.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
        && !NO_SECRET_ENDS.iter().any(|end| key.ends_with(end))
}

/// Where values of keys that are secret by their names stand in a text that may be no YAML: behind
/// a colon, or behind an equals sign as in `--set`, up to the end of a line or of the value; and
/// passwords in URLs. References are none.
pub(crate) fn written(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        let passwords = line.match_indices("://").filter_map(|(at, _)| {
            let end = line[at..].find(char::is_whitespace).map_or(line.len(), |end| at + end);
            password(&line[..end], at + 3)
        });
        found.extend(passwords.map(|at| begin + at.start..begin + at.end));
        let (mut from, mut is_flow) = (0, false);
        while let Some(at) = line[from..].find([':', '=']).map(|at| from + at) {
            let before = line[from..at].trim_end().trim_end_matches(['"', '\'']);
            is_flow |= before.contains(['{', '[']);
            let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
            let key = before.rsplit(|letter| !is_part(letter)).next().unwrap_or_default();
            from = at + 1;
            if !is_secret_key(key) {
                continue;
            }
            let rest = line[from..].trim_start();
            let start = line.len() - rest.len();
            let length = match rest.chars().next() {
                None | Some('{' | '[' | '#') => continue,
                Some(quote @ ('"' | '\'')) => rest[1..].find(quote).map(|end| end + 2),
                Some(_) if is_flow => rest.find([',', '}', ']']),
                Some(_) => None,
            };
            let value = rest[..length.unwrap_or(rest.len())].trim_end();
            from = start + value.len();
            if !is_reference(value.trim_matches(['"', '\''])) {
                found.push(begin + start..begin + from);
            }
        }
        begin += line.len();
    }
    found
}

/// Where the password of a user stands in a URL, of which what follows `://` begins at `start`.
pub(crate) fn password(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = text.get(start..)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (user, _) = rest.get(..end)?.rsplit_once('@')?;
    let (name, password) = user.split_once(':')?;
    let start = start + name.len() + 1;
    let is_shown = password.is_empty() || is_reference(password);
    (!is_shown).then(|| start..start + password.len())
}

/// Whether a text is a reference and nothing else: that is no secret itself.
pub(crate) fn is_reference(text: &str) -> bool {
    text.starts_with("${") && text.ends_with('}')
}
