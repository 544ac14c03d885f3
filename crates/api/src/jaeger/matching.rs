//! Whether a span meets a search: all of it, as the store's own search has the rest.

use model::{Attribute, Span, SpanBatch, Value, status_code};
use store::{AttributeCondition, Level, SpanFilter};

use super::filter::Predicate;

/// A condition on fields that are tags to Jaeger.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Residual {
    /// Any status but error.
    NoError,
    /// A number of [`model::kind`].
    Kind(i32),
    StatusMessage(String),
    ScopeName(String),
    ScopeVersion(String),
    TraceState(String),
    /// An event of that name, or an attribute `event` with that text.
    Event(String),
    /// A structured filter.
    Filter(Predicate),
    /// What no span meets.
    Never,
}

/// Whether one span meets a filter and all the rest.
pub(super) fn matches(batch: &SpanBatch, filter: &SpanFilter, residual: &[Residual]) -> bool {
    matching(batch, filter, residual).next().is_some()
}

/// The spans that meet a filter and all the rest.
pub(super) fn matching<'b>(
    batch: &'b SpanBatch,
    filter: &'b SpanFilter,
    residual: &'b [Residual],
) -> impl Iterator<Item = &'b Span> {
    batch.spans().iter().filter(move |span| {
        meets(batch, span, filter) && residual.iter().all(|condition| condition.holds(batch, span))
    })
}

impl Residual {
    fn holds(&self, batch: &SpanBatch, span: &Span) -> bool {
        let (scope, _) = batch.origin(span);
        match self {
            Self::NoError => span.status_code != status_code::ERROR,
            Self::Kind(kind) => span.kind == *kind,
            Self::StatusMessage(text) => batch.text(span.status_message) == text,
            Self::ScopeName(text) => batch.text(scope.name) == text,
            Self::ScopeVersion(text) => batch.text(scope.version) == text,
            Self::TraceState(text) => batch.text(span.trace_state) == text,
            Self::Event(text) => {
                let named = |event: &model::Event| batch.text(event.name) == text;
                let condition = AttributeCondition {
                    level: None,
                    key: "event".to_owned(),
                    value: text.clone(),
                };
                batch.span_events(span).iter().any(named) || has(batch, span, &condition)
            }
            Self::Filter(predicate) => predicate.holds(batch, span),
            Self::Never => false,
        }
    }
}

/// Whether a span meets a filter, as the store's search has it.
fn meets(batch: &SpanBatch, span: &Span, filter: &SpanFilter) -> bool {
    let (_, resource) = batch.origin(span);
    let duration = span.duration_nano();
    filter.service.as_ref().is_none_or(|service| service == batch.service_name(resource))
        && filter.operation.as_ref().is_none_or(|name| name == batch.text(span.name))
        && filter.status.is_none_or(|status| status == span.status_code)
        && filter.duration_min_nano.is_none_or(|least| duration >= least)
        && filter.duration_max_nano.is_none_or(|most| duration <= most)
        && filter.start_min_unix_nano.is_none_or(|first| span.start_unix_nano >= first)
        && filter.start_max_unix_nano.is_none_or(|end| span.start_unix_nano < end)
        && filter.attributes.iter().all(|condition| has(batch, span, condition))
}

fn has(batch: &SpanBatch, span: &Span, condition: &AttributeCondition) -> bool {
    let (scope, resource) = batch.origin(span);
    let any = |level: Level, list: &[Attribute]| {
        condition.level.is_none_or(|wanted| wanted == level)
            && list.iter().any(|attribute| {
                batch.bytes_of(attribute.key) == condition.key.as_bytes()
                    && equals(batch, attribute.value, &condition.value)
            })
    };
    any(Level::Span, batch.span_attributes(span))
        || any(Level::Resource, batch.resource_attributes(resource))
        || any(Level::Scope, batch.scope_attributes(scope))
        || batch
            .span_events(span)
            .iter()
            .any(|event| any(Level::Event, batch.event_attributes(event)))
        || batch.span_links(span).iter().any(|link| any(Level::Link, batch.link_attributes(link)))
}

fn equals(batch: &SpanBatch, value: Value, text: &str) -> bool {
    match value {
        Value::String(own) => batch.bytes_of(own) == text.as_bytes(),
        Value::Int(own) => text.parse() == Ok(own),
        Value::Double(own) => text.parse() == Ok(own),
        Value::Bool(own) => text.parse() == Ok(own),
        Value::Empty | Value::Bytes(_) | Value::Array(_) | Value::KeyValueList(_) => false,
    }
}
