//! Whether a span meets a predicate.

use model::{Attribute, Event, Link, Span, SpanBatch, TraceId, Value, kind, status_code};
use traceql::CompareOp;

use super::field::Field;
use super::{Constant, Level, Many, Operand, Predicate, Reference};
use crate::jaeger::params::duration;
use crate::jaeger::time::parse_rfc3339;

/// A value of a span.
#[derive(Debug, Clone, PartialEq)]
enum Own<'a> {
    Text(&'a str),
    /// Written for the comparison: ids.
    Id(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// Nanoseconds.
    Duration(i128),
    /// Nanoseconds since the epoch.
    Instant(u64),
    /// There, and equal to nothing: bytes, arrays, maps.
    Other,
}

/// What references read from: a span, and the one event or link that a `some` looks at.
#[derive(Clone, Copy)]
struct Place<'a> {
    batch: &'a SpanBatch,
    span: &'a Span,
    event: Option<&'a Event>,
    link: Option<&'a Link>,
}

impl Predicate {
    /// Whether a span of the batch meets it.
    pub(in crate::jaeger) fn holds(&self, batch: &SpanBatch, span: &Span) -> bool {
        Place { batch, span, event: None, link: None }.meets(self)
    }
}

impl<'a> Place<'a> {
    fn meets(&self, predicate: &Predicate) -> bool {
        match predicate {
            Predicate::All(all) => all.iter().all(|one| self.meets(one)),
            Predicate::Any(any) => any.iter().any(|one| self.meets(one)),
            Predicate::Not(inner) => !self.meets(inner),
            Predicate::Some(Many::Events, inner) => {
                self.events().iter().any(|event| Self { event: Some(event), ..*self }.meets(inner))
            }
            Predicate::Some(Many::Links, inner) => {
                self.links().iter().any(|link| Self { link: Some(link), ..*self }.meets(inner))
            }
            Predicate::Compare { op, left, right } => self.compares(*op, left, right),
            Predicate::Matches(value, pattern) => self
                .values(value)
                .iter()
                .any(|own| own.text().is_some_and(|text| pattern.is_match(text))),
            Predicate::Exists(value) => self.exists(value),
            Predicate::In { value, list, negated } => {
                let own = self.values(value);
                let is_in =
                    |own: &Own<'_>| list.iter().any(|one| own.compares(CompareOp::Equal, one));
                !own.is_empty() && own.iter().any(is_in) != *negated
            }
            Predicate::Words { value, words: wanted, is_phrase } => self
                .values(value)
                .iter()
                .any(|own| own.text().is_some_and(|text| has_words(text, wanted, *is_phrase))),
        }
    }

    fn compares(&self, op: CompareOp, left: &Operand, right: &Operand) -> bool {
        let (own, op, right) = match (left, right) {
            (Operand::Reference(own), right) => (own, op, right),
            (left, Operand::Reference(own)) => (own, op.flipped(), left),
            (Operand::Constant(_), Operand::Constant(_)) => return false,
        };
        // `!=` holds when no two are equal.
        let (positive, negated) = match op {
            CompareOp::NotEqual => (CompareOp::Equal, true),
            op => (op, false),
        };
        let own = self.values(own);
        let (any, others) = match right {
            Operand::Constant(constant) => {
                (own.iter().any(|own| own.compares(positive, constant)), true)
            }
            Operand::Reference(other) => {
                let others = self.values(other);
                let fits = |own: &Own<'_>| others.iter().any(|other| own.fits(positive, other));
                (own.iter().any(fits), !others.is_empty())
            }
        };
        !own.is_empty() && others && any != negated
    }

    fn events(&self) -> &'a [Event] {
        self.event.map_or_else(|| self.batch.span_events(self.span), std::slice::from_ref)
    }

    fn links(&self) -> &'a [Link] {
        self.link.map_or_else(|| self.batch.span_links(self.span), std::slice::from_ref)
    }

    fn exists(&self, value: &Reference) -> bool {
        match value {
            Reference::Field(field) if field.level() == Level::Event => !self.events().is_empty(),
            Reference::Field(field) if field.level() == Level::Link => !self.links().is_empty(),
            value => !self.values(value).is_empty(),
        }
    }

    /// The values that a reference resolves to: none where it is missing, several where events or
    /// links have some each, or span and resource one.
    fn values(&self, reference: &Reference) -> Vec<Own<'a>> {
        match reference {
            Reference::Field(field) => self.field(*field),
            Reference::Attribute { level, key } => {
                let mut found = Vec::new();
                match level {
                    None => {
                        self.attributes(Level::Span, key, &mut found);
                        self.attributes(Level::Resource, key, &mut found);
                    }
                    Some(level) => self.attributes(*level, key, &mut found),
                }
                found
            }
        }
    }

    fn attributes(&self, level: Level, key: &str, found: &mut Vec<Own<'a>>) {
        let batch = self.batch;
        let (scope, resource) = batch.origin(self.span);
        let mut add = |list: &'a [Attribute]| {
            let named = |one: &&Attribute| batch.bytes_of(one.key) == key.as_bytes();
            found.extend(list.iter().filter(named).filter_map(|one| own(batch, one.value)));
        };
        match level {
            Level::Span => add(batch.span_attributes(self.span)),
            Level::Resource => add(batch.resource_attributes(resource)),
            Level::Scope => add(batch.scope_attributes(scope)),
            Level::Event => {
                self.events().iter().for_each(|event| add(batch.event_attributes(event)));
            }
            Level::Link => self.links().iter().for_each(|link| add(batch.link_attributes(link))),
        }
    }

    fn field(&self, field: Field) -> Vec<Own<'a>> {
        let (batch, span) = (self.batch, self.span);
        let (scope, resource) = batch.origin(span);
        let text = |text: &'a str| Own::Text(text);
        // What OTLP leaves at its zero is not there.
        let set = |own: &'a str| if own.is_empty() { Vec::new() } else { vec![text(own)] };
        let trace = |id: TraceId| Own::Id(id.to_string());
        match field {
            Field::TraceId => vec![trace(span.trace_id)],
            Field::SpanId => vec![Own::Id(span.span_id.to_string())],
            Field::ParentSpanId if span.parent_span_id.is_none() => Vec::new(),
            Field::ParentSpanId => vec![Own::Id(span.parent_span_id.to_string())],
            Field::TraceState => set(batch.text(span.trace_state)),
            Field::Name => vec![text(batch.text(span.name))],
            Field::Kind => vec![text(kind::name(span.kind))],
            Field::StartTime => vec![Own::Instant(span.start_unix_nano)],
            Field::EndTime => vec![Own::Instant(span.end_unix_nano)],
            Field::Status => vec![text(match span.status_code {
                status_code::OK => "ok",
                status_code::ERROR => "error",
                _ => "unset",
            })],
            Field::StatusMessage => set(batch.text(span.status_message)),
            Field::Duration => vec![Own::Duration(span.duration_nano().into())],
            Field::Service => set(batch.service_name(resource)),
            Field::ResourceSchemaUrl => set(batch.text(resource.schema_url)),
            Field::ScopeName => set(batch.text(scope.name)),
            Field::ScopeVersion => set(batch.text(scope.version)),
            Field::ScopeSchemaUrl => set(batch.text(scope.schema_url)),
            Field::EventName => self.of_events(|event| Some(text(batch.text(event.name)))),
            Field::EventTime => self.of_events(|event| Some(Own::Instant(event.time_unix_nano))),
            Field::EventTimeSinceStart => self.of_events(|event| {
                let since = i128::from(event.time_unix_nano) - i128::from(span.start_unix_nano);
                Some(Own::Duration(since))
            }),
            Field::LinkTraceId => self.of_links(|link| Some(trace(link.trace_id))),
            Field::LinkSpanId => self.of_links(|link| Some(Own::Id(link.span_id.to_string()))),
            Field::LinkTraceState => self.of_links(|link| set(batch.text(link.trace_state)).pop()),
        }
    }

    fn of_events(&self, own: impl Fn(&'a Event) -> Option<Own<'a>>) -> Vec<Own<'a>> {
        self.events().iter().filter_map(own).collect()
    }

    fn of_links(&self, own: impl Fn(&'a Link) -> Option<Own<'a>>) -> Vec<Own<'a>> {
        self.links().iter().filter_map(own).collect()
    }
}

fn own(batch: &SpanBatch, value: Value) -> Option<Own<'_>> {
    Some(match value {
        Value::Empty => return None,
        Value::String(text) => Own::Text(batch.text(text)),
        Value::Int(number) => Own::Int(number),
        Value::Double(number) => Own::Double(number),
        Value::Bool(truth) => Own::Bool(truth),
        Value::Bytes(_) | Value::Array(_) | Value::KeyValueList(_) => Own::Other,
    })
}

impl Own<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Id(text) => Some(text),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// `self op constant`, for an operator other than `!=`.
    fn compares(&self, op: CompareOp, constant: &Constant) -> bool {
        match (self, constant) {
            // A declared type is that of the values it meets.
            (Self::Text(_) | Self::Id(_), Constant::Text(text)) => self.fits(op, &Own::Text(text)),
            (Self::Int(_), Constant::Int(number)) => self.fits(op, &Own::Int(*number)),
            (Self::Double(_), Constant::Double(number)) => self.fits(op, &Own::Double(*number)),
            (Self::Bool(_), Constant::Bool(truth)) => self.fits(op, &Own::Bool(*truth)),
            (_, Constant::Duration(nanos)) => self.fits(op, &Own::Duration(*nanos)),
            (_, Constant::Instant(nanos)) => self.fits(op, &Own::Instant(*nanos)),
            (Self::Text(_) | Self::Id(_), Constant::Any(text)) => self.fits(op, &Own::Text(text)),
            (Self::Int(_) | Self::Double(_), Constant::Any(text)) => {
                let int = text.parse().ok().map(Own::Int);
                let number = int.or_else(|| text.parse().ok().map(Own::Double));
                number.is_some_and(|number| self.fits(op, &number))
            }
            (Self::Bool(_), Constant::Any(text)) => {
                text.parse().is_ok_and(|truth| self.fits(op, &Own::Bool(truth)))
            }
            _ => false,
        }
    }

    /// `self op other`, for an operator other than `!=`, between values of one domain.
    fn fits(&self, op: CompareOp, other: &Own<'_>) -> bool {
        let ordering = match (self, other) {
            (Self::Int(one), Own::Int(other)) => Some(one.cmp(other)),
            (Self::Bool(one), Own::Bool(other)) => {
                return op == CompareOp::Equal && one == other;
            }
            (Self::Duration(one), Own::Duration(other)) => Some(one.cmp(other)),
            (Self::Instant(one), Own::Instant(other)) => Some(one.cmp(other)),
            // An attribute beside a field is read as the field's values are written.
            (Self::Text(text), Own::Duration(other)) => {
                duration(text).ok().map(|one| i128::from(one).cmp(other))
            }
            (Self::Duration(one), Own::Text(text)) => {
                duration(text).ok().map(|other| one.cmp(&i128::from(other)))
            }
            (Self::Text(text), Own::Instant(other)) => {
                parse_rfc3339(text).ok().map(|one| one.cmp(other))
            }
            (Self::Instant(one), Own::Text(text)) => {
                parse_rfc3339(text).ok().map(|other| one.cmp(&other))
            }
            _ => match (self.text(), other.text()) {
                (Some(one), Some(other)) => Some(one.as_bytes().cmp(other.as_bytes())),
                _ => match (self.number(), other.number()) {
                    (Some(one), Some(other)) => one.partial_cmp(&other),
                    _ => None,
                },
            },
        };
        ordering.is_some_and(|ordering| op.holds(ordering))
    }
}

/// The words of a text: runs of letters, digits and the marks on them.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_part =
        |letter: char| letter.is_alphanumeric() || ('\u{300}'..'\u{370}').contains(&letter);
    text.split(move |letter| !is_part(letter)).filter(|word| !word.is_empty())
}

fn has_words(text: &str, wanted: &[String], is_phrase: bool) -> bool {
    let own: Vec<&str> = words(text).collect();
    let same = |own: &&str, wanted: &String| own.eq_ignore_ascii_case(wanted);
    match is_phrase {
        true => {
            own.windows(wanted.len()).any(|run| run.iter().zip(wanted).all(|(a, b)| same(a, b)))
        }
        false => wanted.iter().all(|wanted| own.iter().any(|own| same(own, wanted))),
    }
}
