//! What is masked in a text, and by what.

use config::Secret;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use regex::{Captures, Regex};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};
use sha3::Sha3_256;

use super::Preset;
use crate::processors::actions::hex;
use crate::processors::sieve::Sieve;

/// What stands for masked text.
const MASK: &str = "****";

/// What masked text becomes instead of `****`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hashing {
    /// MD5, in hexadecimal like all of them.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA3-256.
    Sha3,
    /// HMAC of SHA-256, with a key.
    HmacSha256(Secret),
    /// HMAC of SHA-512, with a key.
    HmacSha512(Secret),
}

impl Hashing {
    fn of(&self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha1 => hex(&Sha1::digest(text)),
            Self::Sha3 => hex(&Sha3_256::digest(text)),
            // A key of any length is a key.
            Self::HmacSha256(key) => Hmac::<Sha256>::new_from_slice(bytes(key)).map_or_else(
                |_| MASK.to_owned(),
                |hash| hex(&hash.chain_update(text).finalize().into_bytes()),
            ),
            Self::HmacSha512(key) => Hmac::<Sha512>::new_from_slice(bytes(key)).map_or_else(
                |_| MASK.to_owned(),
                |hash| hex(&hash.chain_update(text).finalize().into_bytes()),
            ),
        }
    }
}

fn bytes(key: &Secret) -> &[u8] {
    key.expose().as_bytes()
}

/// What is masked in texts.
pub(super) struct Masks {
    /// Of the configuration, and of presets.
    patterns: Vec<(Option<Preset>, Regex)>,
    /// Texts in which one of these is found stay.
    allowed: Vec<Regex>,
    hashing: Option<Hashing>,
    sieve: Sieve,
}

impl Masks {
    /// Masks what is found by these patterns and presets, in texts that are not allowed.
    ///
    /// # Errors
    ///
    /// When a preset's pattern is broken, which a test rules out.
    pub fn new(
        blocked: Vec<Regex>,
        presets: &[Preset],
        allowed: Vec<Regex>,
        hashing: Option<Hashing>,
    ) -> Result<Self, regex::Error> {
        let mut patterns: Vec<_> = blocked.into_iter().map(|pattern| (None, pattern)).collect();
        for &preset in presets {
            patterns.push((Some(preset), Regex::new(preset.pattern())?));
        }
        let sieve = Sieve::new(patterns.iter().map(|(_, pattern)| pattern));
        Ok(Self { patterns, allowed, hashing, sieve })
    }

    /// Whether a text, or messages with texts, may have something to mask. Most have not, and this
    /// costs a fraction of looking for it.
    pub fn may_be_in(&self, bytes: &[u8]) -> bool {
        self.sieve.passes(bytes)
    }

    /// Whether the text stays whatever it has.
    pub fn allow(&self, text: &str) -> bool {
        self.allowed.iter().any(|pattern| pattern.is_match(text))
    }

    /// Whether there is anything that [`Self::allow`] could find.
    pub fn allow_any(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// What stands for a text that is masked whole.
    pub fn whole(&self, text: &str) -> String {
        self.hashing.as_ref().map_or_else(|| MASK.to_owned(), |hashing| hashing.of(text))
    }

    /// The text with what must not leave masked; nothing when there is nothing of the kind.
    pub fn masked(&self, text: &str) -> Option<String> {
        let mut masked: Option<String> = None;
        for (preset, pattern) in &self.patterns {
            let text = masked.as_deref().unwrap_or(text);
            if !pattern.is_match(text) {
                continue;
            }
            let replace = |found: &Captures<'_>| match preset {
                Some(preset) => self.masked_places(*preset, text, found),
                None => self.whole(&found[0]),
            };
            let replaced = pattern.replace_all(text, replace);
            if replaced != text {
                masked = Some(replaced.into_owned());
            }
        }
        masked
    }

    /// What a preset's pattern found, with those places masked that are of its kind.
    fn masked_places(&self, preset: Preset, text: &str, found: &Captures<'_>) -> String {
        let Some(found) = found.get(0) else { return String::new() };
        let (mut out, mut end) = (String::new(), found.start());
        for place in preset.places(text, found.range()) {
            out.push_str(&text[end..place.start]);
            out.push_str(&self.whole(&text[place.clone()]));
            end = place.end;
        }
        out.push_str(&text[end..found.end()]);
        out
    }
}
