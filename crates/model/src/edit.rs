//! Changing a batch in place: what processors do.
//!
//! An edit touches the index alone and leaves the request's bytes as they are; new text goes into
//! the arena. Every span, scope and resource remembers whether it was edited, so that
//! [`SpanBatch::encoded`] copies the others as they came. A span that only got further attributes
//! is copied as well, with those behind it.

use std::ops::Range;

use crate::batch::{
    Attribute, Event, Link, RECENT_TEXTS, Resource, Scope, Span, SpanBatch, Text, Value,
};

/// What edits of one batch may add, beside the request's own bytes: statements that append a text
/// to itself double it every time.
const ARENA_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Attributes that edits of one batch may add or move, beside those of the request.
const ATTRIBUTES_MAX: usize = 2 * crate::ELEMENTS_MAX;

/// What is longer is not looked for among the texts that were added before.
const RECENT_BYTES_MAX: usize = 128;

/// What has attributes. The numbers are indexes into the batch's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Of [`SpanBatch::resources`].
    Resource(usize),
    /// Of [`SpanBatch::scopes`].
    Scope(usize),
    /// Of [`SpanBatch::spans`].
    Span(usize),
    /// Of a span.
    Event {
        /// The span.
        span: usize,
        /// Its place among the span's events.
        event: usize,
    },
    /// Of a span.
    Link {
        /// The span.
        span: usize,
        /// Its place among the span's links.
        link: usize,
    },
}

/// Why an edit was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The edits of a batch would add too much.
    #[error("the edits of one request add more than {} MiB", ARENA_BYTES_MAX >> 20)]
    TooLarge,
}

impl SpanBatch {
    /// Whether the content differs from [`Self::bytes`].
    pub fn is_edited(&self) -> bool {
        self.edited
    }

    /// Keeps text, for use in this batch and its clones. Whoever wants it as text must have UTF-8.
    pub fn add_text(&mut self, bytes: &[u8]) -> Result<Text, EditError> {
        let is_short = bytes.len() <= RECENT_BYTES_MAX;
        if is_short && let Some(text) = self.added_before(bytes) {
            return Ok(text);
        }
        let offset = self.bytes.len() + self.arena.len();
        let end = offset + bytes.len();
        if self.arena.len() + bytes.len() > ARENA_BYTES_MAX + self.bytes.len() {
            return Err(EditError::TooLarge);
        }
        let end = u32::try_from(end).map_err(|_| EditError::TooLarge)?;
        // An empty text has no place; one at the seam would be taken for a part of `bytes`.
        if bytes.is_empty() {
            return Ok(Text::EMPTY);
        }
        self.arena.extend_from_slice(bytes);
        let text = Text { offset: offset as u32, length: end - offset as u32 };
        if is_short {
            self.recent.copy_within(..RECENT_TEXTS - 1, 1);
            self.recent[0] = text;
        }
        Ok(text)
    }

    fn added_before(&self, bytes: &[u8]) -> Option<Text> {
        let same = |text: &&Text| text.len() == bytes.len() && self.bytes_of(**text) == bytes;
        self.recent.iter().find(same).copied()
    }

    /// The attributes of an owner.
    pub fn attributes(&self, owner: Owner) -> &[Attribute] {
        &self.attributes[self.attribute_range(owner)]
    }

    /// The place of the first attribute with a key.
    pub fn find_attribute(&self, owner: Owner, key: &[u8]) -> Option<usize> {
        let has_key = |attribute: &Attribute| {
            attribute.key.len() == key.len() && self.bytes_of(attribute.key) == key
        };
        self.attributes(owner).iter().position(has_key)
    }

    /// Gives the attribute at a place another value. Nothing happens beyond the last place.
    pub fn set_value(&mut self, owner: Owner, place: usize, value: Value) {
        let range = self.attribute_range(owner);
        let count = range.len();
        if let Some(attribute) = self.attributes[range].get_mut(place) {
            attribute.value = value;
            self.mark_attribute(owner, count - place);
        }
    }

    /// Gives the attribute at a place another key. Nothing happens beyond the last place.
    pub fn set_key(&mut self, owner: Owner, place: usize, key: Text) {
        let range = self.attribute_range(owner);
        let count = range.len();
        if let Some(attribute) = self.attributes[range].get_mut(place) {
            attribute.key = key;
            self.mark_attribute(owner, count - place);
        }
    }

    /// Adds an attribute behind the others, whatever keys they have.
    pub fn push_attribute(&mut self, owner: Owner, attribute: Attribute) -> Result<(), EditError> {
        let range = self.attribute_range(owner);
        let moved = if range.end == self.attributes.len() { 0 } else { range.len() };
        if self.attributes.len() + moved >= ATTRIBUTES_MAX {
            return Err(EditError::TooLarge);
        }
        let start = if moved > 0 || range.is_empty() {
            let start = self.attributes.len();
            if self.attributes.capacity() - start <= moved {
                // Whoever gives one span an attribute often gives every span one.
                self.attributes.reserve(start + self.spans.len());
            }
            self.attributes.extend_from_within(range);
            start
        } else {
            range.start
        };
        self.attributes.push(attribute);
        *self.attributes_of_mut(owner) = (start as u32, self.attributes.len() as u32);
        match owner {
            Owner::Span(at) => {
                self.touch();
                self.spans[at].count_appended();
            }
            _ => self.mark(owner),
        }
        Ok(())
    }

    /// Gives the first attribute with a key this value, or adds one.
    pub fn set_attribute(
        &mut self,
        owner: Owner,
        key: Text,
        value: Value,
    ) -> Result<(), EditError> {
        let place = self.find_attribute(owner, self.bytes_of(key));
        match place {
            Some(place) => {
                self.set_value(owner, place, value);
                Ok(())
            }
            None => self.push_attribute(owner, Attribute { key, value }),
        }
    }

    /// Removes the attributes for which `keep` says no, and tells how many.
    pub fn retain_attributes(
        &mut self,
        owner: Owner,
        mut keep: impl FnMut(&Self, &Attribute) -> bool,
    ) -> usize {
        let range = self.attribute_range(owner);
        let mut kept = range.start;
        for at in range.clone() {
            let attribute = self.attributes[at];
            if keep(self, &attribute) {
                self.attributes[kept] = attribute;
                kept += 1;
            }
        }
        let removed = range.end - kept;
        if removed > 0 {
            *self.attributes_of_mut(owner) = (range.start as u32, kept as u32);
            self.mark(owner);
        }
        removed
    }

    /// A span, to change its own fields. Text must come from [`Self::add_text`] or the batch.
    pub fn edit_span(&mut self, span: usize) -> &mut Span {
        self.touch();
        let span = &mut self.spans[span];
        span.edited = true;
        span
    }

    /// A span's event, to change its own fields.
    pub fn edit_event(&mut self, span: usize, event: usize) -> &mut Event {
        let at = self.edit_span(span).events.0 as usize + event;
        &mut self.events[at]
    }

    /// A span's link, to change its own fields.
    pub fn edit_link(&mut self, span: usize, link: usize) -> &mut Link {
        let at = self.edit_span(span).links.0 as usize + link;
        &mut self.links[at]
    }

    /// A resource, to change its own fields.
    pub fn edit_resource(&mut self, resource: usize) -> &mut Resource {
        self.touch();
        let resource = &mut self.resources[resource];
        resource.edited = true;
        resource
    }

    /// A scope, to change its own fields. It stays under its resource.
    pub fn edit_scope(&mut self, scope: usize) -> &mut Scope {
        self.touch();
        let scope = &mut self.scopes[scope];
        scope.edited = true;
        scope
    }

    /// Removes the spans for which `keep` says no, and tells how many. A scope or resource that is
    /// left without spans is not encoded any more.
    pub fn retain_spans(&mut self, mut keep: impl FnMut(&Self, usize, &Span) -> bool) -> usize {
        let mut spans = std::mem::take(&mut self.spans);
        let before = spans.len();
        let mut index = 0;
        spans.retain(|span| {
            index += 1;
            keep(self, index - 1, span)
        });
        let removed = before - spans.len();
        self.spans = spans;
        if removed > 0 {
            self.touch();
        }
        removed
    }

    /// Removes those events of a span for which `keep` says no, and tells how many.
    pub fn retain_events(
        &mut self,
        span: usize,
        mut keep: impl FnMut(&Self, usize, &Event) -> bool,
    ) -> usize {
        let (start, end) = self.spans[span].events;
        let mut kept = start as usize;
        for at in start as usize..end as usize {
            let event = self.events[at];
            if keep(self, at - start as usize, &event) {
                self.events[kept] = event;
                kept += 1;
            }
        }
        let removed = end as usize - kept;
        if removed > 0 {
            self.edit_span(span).events.1 = kept as u32;
        }
        removed
    }

    fn attribute_range(&self, owner: Owner) -> Range<usize> {
        let (start, end) = match owner {
            Owner::Resource(at) => self.resources[at].attributes,
            Owner::Scope(at) => self.scopes[at].attributes,
            Owner::Span(at) => self.spans[at].attributes,
            Owner::Event { span, event } => self.span_events(&self.spans[span])[event].attributes,
            Owner::Link { span, link } => self.span_links(&self.spans[span])[link].attributes,
        };
        start as usize..end as usize
    }

    fn attributes_of_mut(&mut self, owner: Owner) -> &mut (u32, u32) {
        match owner {
            Owner::Resource(at) => &mut self.resources[at].attributes,
            Owner::Scope(at) => &mut self.scopes[at].attributes,
            Owner::Span(at) => &mut self.spans[at].attributes,
            Owner::Event { span, event } => {
                let at = self.spans[span].events.0 as usize + event;
                &mut self.events[at].attributes
            }
            Owner::Link { span, link } => {
                let at = self.spans[span].links.0 as usize + link;
                &mut self.links[at].attributes
            }
        }
    }

    /// It differs from the request from here on, and from what it was encoded to.
    fn touch(&mut self) {
        self.edited = true;
        self.encoded.take();
    }

    /// An attribute was changed, which is so many from the end of its owner's.
    fn mark_attribute(&mut self, owner: Owner, from_end: usize) {
        match owner {
            Owner::Span(at) if from_end <= usize::from(self.spans[at].appended) => self.touch(),
            _ => self.mark(owner),
        }
    }

    fn mark(&mut self, owner: Owner) {
        self.touch();
        match owner {
            Owner::Resource(at) => self.resources[at].edited = true,
            Owner::Scope(at) => self.scopes[at].edited = true,
            Owner::Span(span) | Owner::Event { span, .. } | Owner::Link { span, .. } => {
                self.spans[span].edited = true;
            }
        }
    }
}

impl Span {
    /// It has one more attribute at the end.
    fn count_appended(&mut self) {
        match self.appended.checked_add(1) {
            Some(appended) => self.appended = appended,
            None => self.edited = true,
        }
    }
}
