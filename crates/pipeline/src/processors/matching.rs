//! `include` and `exclude`: which spans a processor looks at.

use model::{Attribute, Scope, Span, SpanBatch, Value, kind};
use regex::Regex;

use super::actions::{Literal, text_of};

/// One text, or a pattern that is found in it.
#[derive(Debug, Clone)]
pub enum TextMatch {
    /// Equal.
    Strict(String),
    /// Found anywhere.
    Pattern(Regex),
}

impl TextMatch {
    fn meets(&self, text: &str) -> bool {
        match self {
            Self::Strict(own) => own == text,
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

/// What is asked of an attribute.
#[derive(Debug, Clone)]
pub enum ValueMatch {
    /// That it is there.
    Present,
    /// That it has this value, type included.
    Equal(Literal),
    /// That its text has this pattern.
    Pattern(Regex),
}

impl ValueMatch {
    fn meets(&self, batch: &SpanBatch, value: Value) -> bool {
        match (self, value) {
            (Self::Present, _) => true,
            (Self::Equal(Literal::Text(own)), Value::String(text)) => {
                own.as_bytes() == batch.bytes_of(text)
            }
            (Self::Equal(Literal::Int(own)), Value::Int(value)) => *own == value,
            (Self::Equal(Literal::Double(own)), Value::Double(value)) => *own == value,
            (Self::Equal(Literal::Bool(own)), Value::Bool(value)) => *own == value,
            (Self::Equal(_), _) => false,
            (Self::Pattern(pattern), Value::String(text)) => pattern.is_match(batch.text(text)),
            (Self::Pattern(pattern), value) => pattern.is_match(&text_of(batch, value)),
        }
    }
}

/// The instrumentation that made a span.
#[derive(Debug, Clone)]
pub struct LibraryMatch {
    /// Its name.
    pub name: TextMatch,
    /// Its version; any when `None`.
    pub version: Option<TextMatch>,
}

/// Conditions that must all hold; what is empty is not asked.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// One of these has the resource's `service.name`.
    pub services: Vec<TextMatch>,
    /// One of these has the span's name.
    pub span_names: Vec<TextMatch>,
    /// One of these has the span's kind, as `SPAN_KIND_SERVER`.
    pub span_kinds: Vec<TextMatch>,
    /// The span has all of these.
    pub attributes: Vec<(String, ValueMatch)>,
    /// The resource has all of these.
    pub resources: Vec<(String, ValueMatch)>,
    /// One of these made it.
    pub libraries: Vec<LibraryMatch>,
}

impl Conditions {
    fn meets(&self, batch: &SpanBatch, span: &Span) -> bool {
        let (scope, resource) = batch.origin(span);
        any(&self.services, batch.service_name(resource))
            && any(&self.span_names, batch.text(span.name))
            && any(&self.span_kinds, kind_name(span.kind))
            && self.meets_library(batch, scope)
            && all(&self.attributes, batch, batch.span_attributes(span))
            && all(&self.resources, batch, batch.resource_attributes(resource))
    }

    fn meets_library(&self, batch: &SpanBatch, scope: &Scope) -> bool {
        let meets = |library: &LibraryMatch| {
            let version = batch.text(scope.version);
            library.name.meets(batch.text(scope.name))
                && library.version.as_ref().is_none_or(|own| own.meets(version))
        };
        self.libraries.is_empty() || self.libraries.iter().any(meets)
    }
}

fn any(of: &[TextMatch], text: &str) -> bool {
    of.is_empty() || of.iter().any(|one| one.meets(text))
}

fn all(asked: &[(String, ValueMatch)], batch: &SpanBatch, attributes: &[Attribute]) -> bool {
    asked.iter().all(|(key, asked)| {
        attributes
            .iter()
            .find(|attribute| batch.bytes_of(attribute.key) == key.as_bytes())
            .is_some_and(|attribute| asked.meets(batch, attribute.value))
    })
}

/// The name of a span's kind in `trace.proto`.
pub fn kind_name(kind: i32) -> &'static str {
    match kind {
        kind::INTERNAL => "SPAN_KIND_INTERNAL",
        kind::SERVER => "SPAN_KIND_SERVER",
        kind::CLIENT => "SPAN_KIND_CLIENT",
        kind::PRODUCER => "SPAN_KIND_PRODUCER",
        kind::CONSUMER => "SPAN_KIND_CONSUMER",
        _ => "SPAN_KIND_UNSPECIFIED",
    }
}

/// `include`, then `exclude`.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only spans that meet this.
    pub include: Option<Conditions>,
    /// Not those that meet this.
    pub exclude: Option<Conditions>,
}

impl Selection {
    /// Whether it has every span.
    pub fn is_all(&self) -> bool {
        self.include.is_none() && self.exclude.is_none()
    }

    /// Whether a span is looked at.
    pub fn has(&self, batch: &SpanBatch, span: &Span) -> bool {
        self.include.as_ref().is_none_or(|include| include.meets(batch, span))
            && !self.exclude.as_ref().is_some_and(|exclude| exclude.meets(batch, span))
    }
}
