//! Text that is not to be shown.

use std::fmt;

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

/// Whether the value of a key is to be redacted although no reader has said so.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
        && !NO_SECRET_ENDS.iter().any(|end| key.ends_with(end))
}
