//! The processor `redaction`: removes attributes that are not allowed, and masks what must not
//! leave in the values of the others.

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

use config::Secret;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use model::{Attribute, Owner, SpanBatch, Value, kind};
use regex::{Captures, Regex};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};
use sha3::Sha3_256;

use super::Edit;
use super::actions::hex;
use super::sieve::Sieve;
use super::url_sanitizer;
use crate::consumer::Refusal;
use crate::data::Client;

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

/// What the processor says of its work, in attributes of the span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Summary {
    /// Nothing.
    #[default]
    Silent,
    /// How many keys.
    Info,
    /// Which keys, as well.
    Debug,
}

/// A kind of private text that is known without a pattern of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Numbers of payment cards: 13 to 19 digits, perhaps in groups, whose check digit is right
    /// (ISO/IEC 7812-1, annex B).
    CreditCard,
    /// E-mail addresses.
    Email,
}

impl Preset {
    fn pattern(self) -> &'static str {
        match self {
            // As many digits as there are: before or behind a card's number stand others.
            Self::CreditCard => r"\b[0-9](?:[ -]?[0-9]){12,}\b",
            Self::Email => r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+",
        }
    }

    /// Where in what the pattern found it is.
    fn places(self, found: &str) -> Vec<Range<usize>> {
        match self {
            Self::CreditCard => cards(found),
            Self::Email => std::iter::once(0..found.len()).collect(),
        }
    }
}

/// Digits of a card's number.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Numbers of cards among groups of digits. A number begins and ends with a group; of several that
/// begin with the same one, the longest counts.
fn cards(text: &str) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        match groups.last_mut() {
            _ if !byte.is_ascii_digit() => {}
            Some(last) if last.end == at => last.end += 1,
            _ => groups.push(at..at + 1),
        }
    }
    let mut found = Vec::new();
    let mut first = 0;
    while let Some(begin) = groups.get(first) {
        let mut digits = 0;
        let mut best = None;
        for (at, group) in groups.iter().enumerate().skip(first) {
            digits += group.len();
            if digits > *CARD_DIGITS.end() {
                break;
            }
            let place = begin.start..group.end;
            if CARD_DIGITS.contains(&digits) && has_check_digit(&text[place.clone()]) {
                best = Some((at, place));
            }
        }
        first = match best {
            Some((last, place)) => {
                found.push(place);
                last + 1
            }
            None => first + 1,
        };
    }
    found
}

/// Luhn's formula.
fn has_check_digit(text: &str) -> bool {
    let digits = text.bytes().rev().filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0'));
    let sum: u32 = digits
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit * 2) {
            (0, _) => digit,
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Settings of the processor. Patterns are made by [`Regex::new`].
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Keeps keys that nobody listed.
    pub allow_all_keys: bool,
    /// Keys that stay.
    pub allowed_keys: Vec<String>,
    /// Keys that nothing is done to.
    pub ignored_keys: Vec<String>,
    /// Patterns of such keys.
    pub ignored_key_patterns: Vec<Regex>,
    /// Patterns of keys whose whole value is masked.
    pub blocked_key_patterns: Vec<Regex>,
    /// Patterns that are masked wherever a value has them.
    pub blocked_values: Vec<Regex>,
    /// Kinds of private text that are masked as well; beyond the Collector's keys.
    pub presets: Vec<Preset>,
    /// Patterns of values that stay.
    pub allowed_values: Vec<Regex>,
    /// Looks at numbers, arrays and the like as well, as text.
    pub redact_all_types: bool,
    /// Attributes that are URLs, and are cut down to what many URLs have.
    pub url_attributes: Vec<String>,
    /// Does the same to names of spans of clients and servers.
    pub sanitizes_span_names: bool,
    /// Masked text is hashed.
    pub hashing: Option<Hashing>,
    /// What is said about it.
    pub summary: Summary,
}

/// The processor.
pub struct Redaction {
    settings: Settings,
    presets: Vec<(Preset, Regex)>,
    /// What blocks keys.
    keys: Sieve,
    /// What is masked in values.
    values: Sieve,
}

/// What was done to one owner.
#[derive(Default)]
struct Done {
    redacted: Vec<String>,
    masked: Vec<String>,
    ignored: usize,
}

impl Redaction {
    /// With these settings.
    ///
    /// # Errors
    ///
    /// When a preset's pattern is broken, which a test rules out.
    pub fn new(settings: Settings) -> Result<Self, regex::Error> {
        let compiled = |&preset: &Preset| Ok((preset, Regex::new(preset.pattern())?));
        let presets = settings.presets.iter().map(compiled).collect::<Result<Vec<_>, _>>()?;
        let keys = Sieve::new(&settings.blocked_key_patterns);
        let of_presets = presets.iter().map(|(_, pattern)| pattern);
        let values = Sieve::new(settings.blocked_values.iter().chain(of_presets));
        Ok(Self { settings, presets, keys, values })
    }

    fn is_ignored(&self, key: &str) -> bool {
        let settings = &self.settings;
        settings.ignored_keys.iter().any(|own| own == key)
            || settings.ignored_key_patterns.iter().any(|pattern| pattern.is_match(key))
    }

    fn is_allowed(&self, key: &str) -> bool {
        self.settings.allow_all_keys || self.settings.allowed_keys.iter().any(|own| own == key)
    }

    fn is_url(&self, key: &[u8]) -> bool {
        self.settings.url_attributes.iter().any(|own| own.as_bytes() == key)
    }

    fn mask(&self, text: &str) -> String {
        self.settings.hashing.as_ref().map_or_else(|| MASK.to_owned(), |hashing| hashing.of(text))
    }

    /// The text without what must not leave; as it is when there is nothing of the kind.
    fn masked<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        let patterns = self.settings.blocked_values.iter().map(|pattern| (None, pattern));
        let presets = self.presets.iter().map(|(preset, pattern)| (Some(*preset), pattern));
        for (preset, pattern) in patterns.chain(presets) {
            if !pattern.is_match(&text) {
                continue;
            }
            let replace = |found: &Captures<'_>| {
                let found = &found[0];
                let Some(preset) = preset else { return self.mask(found) };
                let (mut out, mut end) = (String::new(), 0);
                for place in preset.places(found) {
                    out.push_str(&found[end..place.start]);
                    out.push_str(&self.mask(&found[place.clone()]));
                    end = place.end;
                }
                out.push_str(&found[end..]);
                out
            };
            if let Cow::Owned(replaced) = pattern.replace_all(&text, replace)
                && replaced != text
            {
                text = Cow::Owned(replaced);
            }
        }
        text
    }

    /// The place of the first attribute from this one on that something may be done to, or that is
    /// counted. Most have nothing that a pattern looks for, and are not looked at any further.
    fn next(&self, batch: &SpanBatch, owner: Owner, from: usize) -> Option<usize> {
        let settings = &self.settings;
        let counts = settings.summary != Summary::Silent
            && (!settings.ignored_keys.is_empty() || !settings.ignored_key_patterns.is_empty());
        let concerns = |attribute: &Attribute| {
            let by_value = match attribute.value {
                Value::String(text) => self.values.passes(batch.bytes_of(text)),
                Value::Empty => return counts,
                _ if !settings.redact_all_types => return counts,
                _ => true,
            };
            let key = batch.bytes_of(attribute.key);
            by_value || counts || self.keys.passes(key) || self.is_url(key)
        };
        let rest = batch.attributes(owner).get(from..)?;
        rest.iter().position(concerns).map(|at| from + at)
    }

    fn redact(&self, batch: &mut SpanBatch, owner: Owner) -> Result<Done, Refusal> {
        let mut done = Done::default();
        if !self.settings.allow_all_keys {
            batch.retain_attributes(owner, |batch, attribute| {
                let key = batch.text(attribute.key);
                let keep = self.is_allowed(key) || self.is_ignored(key);
                if !keep {
                    done.redacted.push(key.to_owned());
                }
                keep
            });
        }
        let mut from = 0;
        while let Some(place) = self.next(batch, owner, from) {
            from = place + 1;
            let Attribute { key, value } = batch.attributes(owner)[place];
            let key = batch.text(key);
            if self.is_ignored(key) {
                done.ignored += 1;
                continue;
            }
            let text = match value {
                Value::String(text) => Cow::Borrowed(batch.text(text)),
                Value::Empty => continue,
                _ if !self.settings.redact_all_types => continue,
                other => Cow::Owned(model::json::value_text(batch, other)),
            };
            if self.settings.allowed_values.iter().any(|pattern| pattern.is_match(&text)) {
                continue;
            }
            let is_url = matches!(value, Value::String(_)) && self.is_url(key.as_bytes());
            let url = if is_url { url_sanitizer::url(&text) } else { None };
            let text = url.as_deref().unwrap_or(&text);
            let blocks = |pattern: &Regex| pattern.is_match(key);
            let masked = if self.settings.blocked_key_patterns.iter().any(blocks) {
                Cow::Owned(self.mask(text))
            } else {
                self.masked(text)
            };
            let masked = match masked {
                Cow::Owned(masked) if masked != text => Some(masked),
                _ => None,
            };
            if masked.is_some() {
                done.masked.push(key.to_owned());
            }
            if let Some(text) = masked.or(url) {
                let text = batch.add_text(text.as_bytes())?;
                batch.set_value(owner, place, Value::String(text));
            }
        }
        if self.settings.summary != Summary::Silent {
            self.say(batch, owner, &mut done)?;
        }
        Ok(done)
    }

    /// Adds the summary to the owner's attributes.
    fn say(&self, batch: &mut SpanBatch, owner: Owner, done: &mut Done) -> Result<(), Refusal> {
        let lists = [("redacted", &mut done.redacted), ("masked", &mut done.masked)];
        for (what, keys) in lists {
            if keys.is_empty() {
                continue;
            }
            keys.sort();
            let mut name = String::new();
            if self.settings.summary == Summary::Debug {
                // Writing to a text does not fail.
                let _ = write!(name, "redaction.{what}.keys");
                let key = batch.add_text(name.as_bytes())?;
                let text = batch.add_text(keys.join(",").as_bytes())?;
                batch.set_attribute(owner, key, Value::String(text))?;
                name.clear();
            }
            let _ = write!(name, "redaction.{what}.count");
            let key = batch.add_text(name.as_bytes())?;
            batch.set_attribute(owner, key, Value::Int(keys.len() as i64))?;
        }
        if done.ignored > 0 {
            let key = batch.add_text(b"redaction.ignored.count")?;
            batch.set_attribute(owner, key, Value::Int(done.ignored as i64))?;
        }
        Ok(())
    }
}

/// Names of other kinds have no URLs.
fn sanitize_name(batch: &mut SpanBatch, at: usize) -> Result<(), Refusal> {
    let span = batch.spans()[at];
    if matches!(span.kind, kind::CLIENT | kind::SERVER)
        && let Some(name) = url_sanitizer::span_name(batch.text(span.name))
    {
        let name = batch.add_text(name.as_bytes())?;
        batch.edit_span(at).name = name;
    }
    Ok(())
}

impl Edit for Redaction {
    fn edit(&self, batch: &mut SpanBatch, _: &Client) -> Result<(), Refusal> {
        for at in 0..batch.resources().len() {
            self.redact(batch, Owner::Resource(at))?;
        }
        for at in 0..batch.scopes().len() {
            self.redact(batch, Owner::Scope(at))?;
        }
        for span in 0..batch.len() {
            if self.settings.sanitizes_span_names {
                sanitize_name(batch, span)?;
            }
            self.redact(batch, Owner::Span(span))?;
            for event in 0..batch.span_events(&batch.spans()[span]).len() {
                self.redact(batch, Owner::Event { span, event })?;
            }
            for link in 0..batch.span_links(&batch.spans()[span]).len() {
                self.redact(batch, Owner::Link { span, link })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Plain::{Int, Text};
    use super::super::testing::{attributes, one};
    use super::*;

    fn patterns(patterns: &[&str]) -> Vec<Regex> {
        patterns.iter().map(|pattern| Regex::new(pattern).unwrap()).collect()
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn all() -> Settings {
        Settings { allow_all_keys: true, ..Settings::default() }
    }

    #[test]
    fn what_must_not_leave_does_not() {
        let before = || {
            vec![
                ("card", Text("pay 4111 1111 1111 1111 now")),
                ("user.token", Text("abc")),
                ("mail", Text("to me@example.org")),
                ("number", Int(4_111_111_111_111_111)),
            ]
        };
        let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        let hmac = "9c196e32dc0175f86f4b1cb89289d6619de6bee699e4c378e68309ed97a1a6ab";
        let token = || patterns(&["token$"]);
        let card = "card='pay 4111 1111 1111 1111 now'";
        let mail = "mail='to me@example.org'";
        let number = "number=4111111111111111";
        for (settings, after) in [
            (all(), format!("{card} user.token='abc' {mail} {number}")),
            (Settings::default(), String::new()),
            (
                Settings { allowed_keys: texts(&["mail", "number"]), ..Settings::default() },
                format!("{mail} {number}"),
            ),
            (Settings { ignored_keys: texts(&["card"]), ..Settings::default() }, card.to_owned()),
            (
                Settings { blocked_key_patterns: token(), ..all() },
                format!("{card} user.token='****' {mail} {number}"),
            ),
            (
                Settings { blocked_key_patterns: token(), hashing: Some(Hashing::Sha1), ..all() },
                format!("{card} user.token='{sha1}' {mail} {number}"),
            ),
            (
                Settings { blocked_key_patterns: token(), hashing: Some(Hashing::Md5), ..all() },
                format!("{card} user.token='{md5}' {mail} {number}"),
            ),
            (
                Settings {
                    blocked_key_patterns: token(),
                    hashing: Some(Hashing::HmacSha256(Secret::new("key"))),
                    ..all()
                },
                format!("{card} user.token='{hmac}' {mail} {number}"),
            ),
            (
                Settings { blocked_values: patterns(&["[0-9]{4}"]), ..all() },
                format!("card='pay **** **** **** **** now' user.token='abc' {mail} {number}"),
            ),
            (
                Settings {
                    blocked_values: patterns(&["[0-9]{4}"]),
                    redact_all_types: true,
                    ..all()
                },
                format!(
                    "card='pay **** **** **** **** now' user.token='abc' {mail} \
                     number='****************'"
                ),
            ),
            (
                Settings {
                    blocked_values: patterns(&["[0-9]{4}"]),
                    allowed_values: patterns(&["^pay"]),
                    ..all()
                },
                format!("{card} user.token='abc' {mail} {number}"),
            ),
            (
                Settings { presets: vec![Preset::CreditCard, Preset::Email], ..all() },
                format!("card='pay **** now' user.token='abc' mail='to ****' {number}"),
            ),
            (
                Settings {
                    allowed_keys: texts(&["card", "user.token", "number"]),
                    blocked_key_patterns: token(),
                    ignored_key_patterns: patterns(&["^num"]),
                    summary: Summary::Debug,
                    ..Settings::default()
                },
                format!(
                    "{card} user.token='****' {number} redaction.redacted.keys='mail' \
                     redaction.redacted.count=1 redaction.masked.keys='user.token' \
                     redaction.masked.count=1 redaction.ignored.count=1"
                ),
            ),
        ] {
            let mut batch = one(before());
            Redaction::new(settings.clone()).unwrap().edit(&mut batch, &Client::default()).unwrap();
            assert_eq!(attributes(&batch, Owner::Span(0)), after, "{settings:?}");
        }
    }

    #[test]
    fn a_card_has_the_right_check_digit() {
        let settings = Settings { presets: vec![Preset::CreditCard, Preset::Email], ..all() };
        let redaction = Redaction::new(settings).unwrap();
        for (text, masked) in [
            ("4111111111111111", "****"),
            ("4111111111111112", "4111111111111112"),
            ("5500-0000-0000-0004", "****"),
            ("order 1234567890123", "order 1234567890123"),
            ("4111 1111 1111 1111 12/26", "**** 12/26"),
            ("4111111111111111 123", "**** 123"),
            ("order 12 4111111111111111", "order 12 ****"),
            ("2 5500-0000-0000-0004 4111111111111111 7", "2 **** **** 7"),
            // Two that run into each other are none.
            ("41111111111111114111111111111111", "41111111111111114111111111111111"),
            ("x4111111111111111", "x4111111111111111"),
            ("a.b+c@mail.example.co.uk!", "****!"),
            ("@example", "@example"),
            ("", ""),
        ] {
            assert_eq!(redaction.masked(text), masked);
        }
    }

    #[test]
    fn urls_are_cut_down_to_what_many_have() {
        let before = || {
            vec![
                ("http.url", Text("https://shop.example/users/42?token=abc")),
                ("url.path", Text("/users/42")),
                ("note", Text("/users/42")),
                ("http.target", Int(42)),
            ]
        };
        let rest = "note='/users/42' http.target=42";
        let urls = || texts(&["http.url", "http.target"]);
        for (settings, name, after) in [
            (
                Settings { url_attributes: urls(), ..all() },
                "GET /cart/42",
                format!("http.url='https://shop.example/users/*' url.path='/users/42' {rest}"),
            ),
            (
                Settings { sanitizes_span_names: true, ..all() },
                "GET /cart/*",
                format!(
                    "http.url='https://shop.example/users/42?token=abc' url.path='/users/42' {rest}"
                ),
            ),
            (
                Settings {
                    url_attributes: urls(),
                    blocked_values: patterns(&["shop"]),
                    summary: Summary::Info,
                    ..all()
                },
                "GET /cart/42",
                format!(
                    "http.url='https://****.example/users/*' url.path='/users/42' {rest} \
                     redaction.masked.count=1"
                ),
            ),
            (
                Settings {
                    url_attributes: texts(&["url.path"]),
                    ignored_keys: texts(&["url.path"]),
                    ..Settings::default()
                },
                "GET /cart/42",
                "url.path='/users/42'".to_owned(),
            ),
        ] {
            let mut batch = one(before());
            Redaction::new(settings.clone()).unwrap().edit(&mut batch, &Client::default()).unwrap();
            assert_eq!(attributes(&batch, Owner::Span(0)), after, "{settings:?}");
            assert_eq!(super::super::testing::names(&batch), [name], "{settings:?}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let settings = Settings {
            hashing: Some(Hashing::HmacSha512(Secret::new("hunter2"))),
            ..Settings::default()
        };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn links_are_redacted_too() {
        let mut batch = linked();
        let settings = Settings { blocked_values: patterns(&["[0-9]{4}"]), ..all() };
        Redaction::new(settings).unwrap().edit(&mut batch, &Client::default()).unwrap();
        let again = SpanBatch::decode(batch.encoded()).unwrap();
        assert_eq!(attributes(&again, Owner::Link { span: 0, link: 0 }), "card='pay **** now'");
    }

    /// A span with a link that has an attribute.
    fn linked() -> SpanBatch {
        use model::wire::put_bytes_field;
        let mut encoder = model::TracesEncoder::new();
        let place = encoder.origin(b"", b"", b"", b"");
        encoder.span(place, |out| {
            put_bytes_field(out, 1, &[1; 16]);
            put_bytes_field(out, 2, &[2; 8]);
            let mut link = Vec::new();
            put_bytes_field(&mut link, 1, &[3; 16]);
            put_bytes_field(&mut link, 2, &[4; 8]);
            model::encode_key_value(&mut link, 4, b"card", |out| {
                put_bytes_field(out, 1, b"pay 1234 now");
            });
            put_bytes_field(out, 13, &link);
        });
        SpanBatch::decode(encoder.finish().into()).expect("a batch")
    }

    #[test]
    fn resources_scopes_and_events_are_redacted_too() {
        let mut batch = one(vec![]);
        Redaction::new(Settings::default()).unwrap().edit(&mut batch, &Client::default()).unwrap();
        assert_eq!(attributes(&batch, Owner::Resource(0)), "");
    }
}
