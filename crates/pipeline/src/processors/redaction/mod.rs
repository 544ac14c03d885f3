//! The processor `redaction`: removes attributes that are not allowed, and masks what must not
//! leave in the values of the others, and in the other texts of spans.

mod masks;
mod nested;
mod presets;
mod summary;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;

use model::json::any_value_text;
use model::wire::put_bytes_field;
use model::{Attribute, Owner, SpanBatch, Text, Value, kind};
use regex::Regex;

pub use self::masks::Hashing;
use self::masks::Masks;
use self::nested::{Edits, Part};
pub use self::presets::Preset;
use self::summary::Notes;
pub use self::summary::Summary;
use super::actions::text_of;
use super::sieve::Sieve;
use super::{Edit, url_sanitizer};
use crate::consumer::Refusal;
use crate::data::Client;

/// Settings of the processor. Patterns are made by [`Regex::new`].
#[derive(Debug, Clone)]
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
    /// Patterns that are masked wherever a text has them.
    pub blocked_values: Vec<Regex>,
    /// Kinds of private text that are masked as well; beyond the Collector's keys.
    pub presets: Vec<Preset>,
    /// Patterns of texts that stay.
    pub allowed_values: Vec<Regex>,
    /// Looks at numbers, arrays and the like as well, as text.
    pub redact_all_types: bool,
    /// Looks at texts beside attributes as well: names of spans, events and scopes, versions of
    /// scopes, messages of statuses, trace states. Beyond the Collector's keys.
    pub redact_all_fields: bool,
    /// Attributes that are URLs, and are cut down to what many URLs have.
    pub url_attributes: Vec<String>,
    /// Does the same to names of spans of clients and servers.
    pub sanitizes_span_names: bool,
    /// Masked text is hashed.
    pub hashing: Option<Hashing>,
    /// What is said about it.
    pub summary: Summary,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_all_keys: false,
            allowed_keys: Vec::new(),
            ignored_keys: Vec::new(),
            ignored_key_patterns: Vec::new(),
            blocked_key_patterns: Vec::new(),
            blocked_values: Vec::new(),
            presets: Vec::new(),
            allowed_values: Vec::new(),
            redact_all_types: false,
            redact_all_fields: true,
            url_attributes: Vec::new(),
            sanitizes_span_names: false,
            hashing: None,
            summary: Summary::Silent,
        }
    }
}

/// The processor.
pub struct Redaction {
    /// `None` allows all keys.
    allowed_keys: Option<HashSet<String>>,
    ignored_keys: HashSet<String>,
    ignored_key_patterns: Vec<Regex>,
    blocked_key_patterns: Vec<Regex>,
    /// What those need.
    blocked_keys: Sieve,
    masks: Masks,
    redact_all_types: bool,
    redact_all_fields: bool,
    url_attributes: Vec<String>,
    sanitizes_span_names: bool,
    summary: Summary,
}

/// What becomes of a value.
enum Redacted {
    Text(String),
    Array(Vec<u8>),
    Map(Vec<u8>),
}

impl Redacted {
    fn into_text(self) -> String {
        let mut value = Vec::new();
        match self {
            Self::Text(text) => return text,
            Self::Array(message) => put_bytes_field(&mut value, 5, &message),
            Self::Map(message) => put_bytes_field(&mut value, 6, &message),
        }
        any_value_text(&value)
    }
}

impl Redaction {
    /// With these settings.
    ///
    /// # Errors
    ///
    /// When a preset's pattern is broken, which a test rules out.
    pub fn new(own: Settings) -> Result<Self, regex::Error> {
        let masks = Masks::new(own.blocked_values, &own.presets, own.allowed_values, own.hashing)?;
        let allowed_keys = own.allowed_keys.into_iter().collect();
        Ok(Self {
            allowed_keys: (!own.allow_all_keys).then_some(allowed_keys),
            ignored_keys: own.ignored_keys.into_iter().collect(),
            ignored_key_patterns: own.ignored_key_patterns,
            blocked_keys: Sieve::new(&own.blocked_key_patterns),
            blocked_key_patterns: own.blocked_key_patterns,
            masks,
            redact_all_types: own.redact_all_types,
            redact_all_fields: own.redact_all_fields,
            url_attributes: own.url_attributes,
            sanitizes_span_names: own.sanitizes_span_names,
            summary: own.summary,
        })
    }

    fn is_ignored(&self, key: &str) -> bool {
        self.ignored_keys.contains(key)
            || self.ignored_key_patterns.iter().any(|pattern| pattern.is_match(key))
    }

    fn is_blocked(&self, key: &str) -> bool {
        self.blocked_key_patterns.iter().any(|pattern| pattern.is_match(key))
    }

    fn is_url(&self, key: &[u8]) -> bool {
        self.url_attributes.iter().any(|own| own.as_bytes() == key)
    }

    /// Whether attributes are counted that nothing is done to.
    fn counts(&self) -> bool {
        let ignores = !self.ignored_keys.is_empty() || !self.ignored_key_patterns.is_empty();
        self.summary != Summary::Silent && (ignores || self.masks.allow_any())
    }

    /// Removes the attributes that are not allowed.
    fn remove(&self, batch: &mut SpanBatch, owner: Owner, notes: &mut Notes) {
        let Some(allowed) = &self.allowed_keys else { return };
        batch.retain_attributes(owner, |batch, attribute| {
            let key = batch.text(attribute.key);
            let keep = allowed.contains(key) || summary::is_own_key(key) || self.is_ignored(key);
            if !keep {
                notes.redacted(key);
            }
            keep
        });
    }

    /// The place of the first attribute from this one on that something may be done to, or that is
    /// counted. Most have nothing that a pattern looks for, and are not looked at any further.
    fn next(&self, batch: &SpanBatch, owner: Owner, from: usize) -> Option<usize> {
        let counts = self.counts();
        let concerns = |attribute: &Attribute| {
            let by_value = match attribute.value {
                Value::Empty => false,
                Value::String(content) => self.masks.may_be_in(batch.bytes_of(content)),
                _ if self.redact_all_types => true,
                Value::Array(content) | Value::KeyValueList(content) => {
                    let message = batch.bytes_of(content);
                    self.masks.may_be_in(message) || self.blocked_keys.passes(message)
                }
                _ => false,
            };
            let key = batch.bytes_of(attribute.key);
            by_value || counts || self.blocked_keys.passes(key) || self.is_url(key)
        };
        let rest = batch.attributes(owner).get(from..)?;
        rest.iter().position(concerns).map(|at| from + at)
    }

    /// Does what is to be done to attributes, and says so.
    fn redact(&self, batch: &mut SpanBatch, owner: Owner, mut notes: Notes) -> Result<(), Refusal> {
        self.remove(batch, owner, &mut notes);
        let mut from = 0;
        while let Some(place) = self.next(batch, owner, from) {
            from = place + 1;
            let attribute = batch.attributes(owner)[place];
            let value = match self.redacted(batch, attribute, &mut notes) {
                None => continue,
                Some(Redacted::Text(text)) => Value::String(batch.add_text(text.as_bytes())?),
                Some(Redacted::Array(message)) => Value::Array(batch.add_text(&message)?),
                Some(Redacted::Map(message)) => Value::KeyValueList(batch.add_text(&message)?),
            };
            batch.set_value(owner, place, value);
        }
        notes.write(batch, owner)
    }

    /// What becomes of an attribute's value; nothing if it stays.
    fn redacted(
        &self,
        batch: &SpanBatch,
        Attribute { key, value }: Attribute,
        notes: &mut Notes,
    ) -> Option<Redacted> {
        let key = batch.text(key);
        if self.is_ignored(key) {
            notes.ignored();
            return None;
        }
        let is_blocked = self.is_blocked(key);
        let text = match value {
            Value::String(text) => Some(Cow::Borrowed(batch.text(text))),
            // Of what type a secret is does not matter.
            _ if is_blocked || self.redact_all_types => Some(Cow::Owned(text_of(batch, value))),
            _ => None,
        };
        if text.as_ref().is_some_and(|text| self.masks.allow(text)) {
            notes.allowed(key);
            return None;
        }
        let redacted = match (text, value) {
            (Some(text), _) if is_blocked => Some(Redacted::Text(self.masks.whole(&text))),
            (Some(text), Value::String(_)) => {
                let url = self.is_url(key.as_bytes()).then(|| url_sanitizer::url(&text)).flatten();
                let masked = self.masks.masked(url.as_deref().unwrap_or(&text));
                masked.or(url).map(Redacted::Text)
            }
            (Some(text), _) => {
                let blocked = self.edited_inside(batch, value, &|_| None).map(Redacted::into_text);
                self.masks.masked(blocked.as_deref().unwrap_or(&text)).map(Redacted::Text)
            }
            (None, _) => None,
        };
        let redacted = redacted.or_else(|| self.redacted_inside(batch, value));
        if redacted.is_some() {
            notes.masked(key);
        }
        redacted
    }

    /// A list or map with its texts masked; nothing if there is nothing to mask.
    fn redacted_inside(&self, batch: &SpanBatch, value: Value) -> Option<Redacted> {
        self.edited_inside(batch, value, &|text| match self.masks.allow(text) {
            true => None,
            false => self.masks.masked(text),
        })
    }

    /// A list or map with the values of blocked keys masked, and the other texts edited; nothing if
    /// all stay.
    fn edited_inside(
        &self,
        batch: &SpanBatch,
        value: Value,
        text: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Redacted> {
        let entry = |key: &str, value: &[u8]| {
            if !self.is_blocked(key) || self.is_ignored(key) {
                return None;
            }
            let text = any_value_text(value);
            (!self.masks.allow(&text)).then(|| self.masks.whole(&text))
        };
        let edits = Edits { text, entry: &entry };
        match value {
            Value::Array(message) => {
                Part::Array.edited(batch.bytes_of(message), &edits).map(Redacted::Array)
            }
            Value::KeyValueList(message) => {
                Part::Map.edited(batch.bytes_of(message), &edits).map(Redacted::Map)
            }
            _ => None,
        }
    }

    /// What becomes of a text beside the attributes; nothing if it stays.
    fn field(
        &self,
        batch: &mut SpanBatch,
        text: Text,
        name: &str,
        notes: &mut Notes,
    ) -> Result<Option<Text>, Refusal> {
        if !self.redact_all_fields || !self.masks.may_be_in(batch.bytes_of(text)) {
            return Ok(None);
        }
        let text = batch.text(text);
        if self.masks.allow(text) {
            return Ok(None);
        }
        let Some(masked) = self.masks.masked(text) else { return Ok(None) };
        notes.masked(name);
        Ok(Some(batch.add_text(masked.as_bytes())?))
    }

    /// As [`Self::field`]. A member with something to mask goes: what a mask would leave of it may
    /// be no member. OpenTelemetry's own is made of numbers, and what samples reads it.
    fn trace_state(
        &self,
        batch: &mut SpanBatch,
        state: Text,
        name: &str,
        notes: &mut Notes,
    ) -> Result<Option<Text>, Refusal> {
        if !self.redact_all_fields || !self.masks.may_be_in(batch.bytes_of(state)) {
            return Ok(None);
        }
        let state = batch.text(state);
        let stays = |member: &&str| {
            member.trim_start().starts_with("ot=")
                || self.masks.allow(member)
                || self.masks.masked(member).is_none()
        };
        let kept = state.split(',').filter(stays).collect::<Vec<_>>().join(",");
        if kept == state {
            return Ok(None);
        }
        notes.masked(name);
        Ok(Some(batch.add_text(kept.as_bytes())?))
    }

    fn redact_scope(&self, batch: &mut SpanBatch, at: usize) -> Result<(), Refusal> {
        let mut notes = Notes::new(self.summary);
        let scope = batch.scopes()[at];
        if let Some(name) = self.field(batch, scope.name, "scope.name", &mut notes)? {
            batch.edit_scope(at).name = name;
        }
        if let Some(version) = self.field(batch, scope.version, "scope.version", &mut notes)? {
            batch.edit_scope(at).version = version;
        }
        self.redact(batch, Owner::Scope(at), notes)
    }

    fn redact_span(&self, batch: &mut SpanBatch, at: usize) -> Result<(), Refusal> {
        let mut notes = Notes::new(self.summary);
        self.sanitize_name(batch, at)?;
        let span = batch.spans()[at];
        if let Some(name) = self.field(batch, span.name, "span.name", &mut notes)? {
            batch.edit_span(at).name = name;
        }
        let message = self.field(batch, span.status_message, "span.status.message", &mut notes)?;
        if let Some(message) = message {
            batch.edit_span(at).status_message = message;
        }
        let state = self.trace_state(batch, span.trace_state, "span.trace_state", &mut notes)?;
        if let Some(state) = state {
            batch.edit_span(at).trace_state = state;
        }
        self.redact(batch, Owner::Span(at), notes)
    }

    fn redact_event(&self, batch: &mut SpanBatch, span: usize, at: usize) -> Result<(), Refusal> {
        let mut notes = Notes::new(self.summary);
        let event = batch.span_events(&batch.spans()[span])[at];
        if let Some(name) = self.field(batch, event.name, "spanevent.name", &mut notes)? {
            batch.edit_event(span, at).name = name;
        }
        self.redact(batch, Owner::Event { span, event: at }, notes)
    }

    fn redact_link(&self, batch: &mut SpanBatch, span: usize, at: usize) -> Result<(), Refusal> {
        let mut notes = Notes::new(self.summary);
        let link = batch.span_links(&batch.spans()[span])[at];
        let state =
            self.trace_state(batch, link.trace_state, "spanlink.trace_state", &mut notes)?;
        if let Some(state) = state {
            batch.edit_link(span, at).trace_state = state;
        }
        self.redact(batch, Owner::Link { span, link: at }, notes)
    }

    /// Names of spans of other kinds have no URLs.
    fn sanitize_name(&self, batch: &mut SpanBatch, at: usize) -> Result<(), Refusal> {
        let span = batch.spans()[at];
        if !self.sanitizes_span_names || !matches!(span.kind, kind::CLIENT | kind::SERVER) {
            return Ok(());
        }
        let name = batch.text(span.name);
        if let Some(name) = url_sanitizer::span_name(name)
            && !self.masks.allow(batch.text(span.name))
        {
            let name = batch.add_text(name.as_bytes())?;
            batch.edit_span(at).name = name;
        }
        Ok(())
    }
}

impl Edit for Redaction {
    fn edit(&self, batch: &mut SpanBatch, _: &Client) -> Result<(), Refusal> {
        for at in 0..batch.resources().len() {
            self.redact(batch, Owner::Resource(at), Notes::new(self.summary))?;
        }
        for at in 0..batch.scopes().len() {
            self.redact_scope(batch, at)?;
        }
        for span in 0..batch.len() {
            self.redact_span(batch, span)?;
            for event in 0..batch.span_events(&batch.spans()[span]).len() {
                self.redact_event(batch, span, event)?;
            }
            for link in 0..batch.span_links(&batch.spans()[span]).len() {
                self.redact_link(batch, span, link)?;
            }
        }
        Ok(())
    }
}
