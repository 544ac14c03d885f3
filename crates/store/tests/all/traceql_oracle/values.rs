//! The values of a span, by the tables of docs/traceql.md.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Otlp;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use traceql::{CompareOp, Field, Intrinsic, Kind, Scope, Static, Status};

use super::{Judge, duration, number};

/// A value of a span.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Missing,
    One(Static),
    Many(Vec<Static>),
    /// There, and no value of the language.
    Odd,
}

impl Value {
    pub(super) fn one(&self) -> Option<&Static> {
        if let Self::One(value) = self { Some(value) } else { None }
    }
}

/// Which event or link of a span is looked at.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum At {
    Span,
    Event(usize),
    Link(usize),
}

fn hex(id: &[u8], digits: usize) -> String {
    if number(id) == 0 { String::new() } else { format!("{:0digits$x}", number(id)) }
}

fn of_any(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Otlp::StringValue(text)) => Value::One(Static::String(text.clone())),
        Some(Otlp::IntValue(number)) => Value::One(Static::Int(*number)),
        Some(Otlp::DoubleValue(number)) => Value::One(Static::Float(*number)),
        Some(Otlp::BoolValue(truth)) => Value::One(Static::Bool(*truth)),
        Some(Otlp::ArrayValue(array)) => {
            let each = array.values.iter().map(|value| of_any(Some(value)));
            Value::Many(each.filter_map(|value| value.one().cloned()).collect())
        }
        _ => Value::Odd,
    }
}

fn attribute(list: &[KeyValue], key: &str) -> Value {
    match list.iter().find(|attribute| attribute.key == key) {
        Some(attribute) => of_any(attribute.value.as_ref()),
        None => Value::Missing,
    }
}

/// The values of all events or links as one.
fn joined(each: Vec<Value>) -> Value {
    let mut list = Vec::new();
    let mut there = None;
    for value in each {
        match value {
            Value::Missing => continue,
            Value::One(value) => list.push(value),
            Value::Many(values) => {
                there = Some(Value::Many(Vec::new()));
                list.extend(values);
            }
            Value::Odd => there = there.or(Some(Value::Odd)),
        }
    }
    match list.len() {
        0 => there.unwrap_or(Value::Missing),
        1 => Value::One(list.remove(0)),
        _ => Value::Many(list),
    }
}

pub(super) fn is_number(value: &Static) -> Option<f64> {
    match value {
        Static::Int(value) | Static::Duration(value) => Some(*value as f64),
        Static::Float(value) => Some(*value),
        _ => None,
    }
}

pub(super) fn compare_one(left: &Static, op: CompareOp, right: &Static) -> bool {
    let unordered = |equal: bool| match op {
        CompareOp::Equal => equal,
        CompareOp::NotEqual => !equal,
        _ => false,
    };
    match (left, right) {
        (Static::String(left), Static::String(right)) => op.holds(left.cmp(right)),
        (Static::Bool(left), Static::Bool(right)) => unordered(left == right),
        (Static::Status(left), Static::Status(right)) => unordered(left == right),
        (Static::Kind(left), Static::Kind(right)) => unordered(left == right),
        _ => match (is_number(left), is_number(right)) {
            (Some(left), Some(right)) => {
                left.partial_cmp(&right).is_some_and(|order| op.holds(order))
            }
            _ => false,
        },
    }
}

pub(super) fn compare(left: &Value, op: CompareOp, right: &Value) -> bool {
    match (left, right) {
        (Value::One(left), Value::One(right)) => compare_one(left, op, right),
        (Value::Many(list), Value::One(right)) if op == CompareOp::NotEqual => {
            list.iter().all(|left| !compare_one(left, CompareOp::Equal, right))
        }
        (Value::Many(list), Value::One(right)) => {
            list.iter().any(|left| compare_one(left, op, right))
        }
        (Value::One(_), Value::Many(_)) => compare(right, op.flipped(), left),
        _ => false,
    }
}

/// The id as a number and the text that it is compared with; what spells no id is a text.
pub(super) fn compare_id(id: &Value, op: CompareOp, wanted: &str, digits: usize) -> bool {
    let bare = wanted.trim_start_matches('0');
    let spelled = bare.len() <= digits && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wanted = match spelled {
        true if bare.is_empty() => String::new(),
        true => format!("{:0>digits$}", bare.to_lowercase()),
        false => wanted.to_owned(),
    };
    compare(id, op, &Value::One(Static::String(wanted)))
}

impl Judge<'_> {
    fn intrinsic(&self, span: usize, at: At, intrinsic: Intrinsic) -> Value {
        let sent = self.sent(span);
        let of = &sent.span;
        let text = |text: &str| Value::One(Static::String(text.to_owned()));
        let each_event = |value: &dyn Fn(usize) -> Value| match at {
            At::Event(event) => value(event),
            _ => joined((0..of.events.len()).map(value).collect()),
        };
        let each_link = |value: &dyn Fn(usize) -> Value| match at {
            At::Link(link) => value(link),
            _ => joined((0..of.links.len()).map(value).collect()),
        };
        match intrinsic {
            Intrinsic::TraceId => text(&format!("{:032x}", self.trace_id)),
            Intrinsic::TraceDuration => Value::One(Static::Duration(self.duration)),
            Intrinsic::RootName => text(&self.root_name),
            Intrinsic::RootServiceName => text(&self.root_service),
            Intrinsic::SpanId => text(&hex(&of.span_id, 16)),
            Intrinsic::ParentId => text(&hex(&of.parent_span_id, 16)),
            Intrinsic::Duration => {
                Value::One(Static::Duration(duration(sent).min(i64::MAX as u64) as i64))
            }
            Intrinsic::Name => text(&of.name),
            Intrinsic::Kind => match Kind::ALL.get(of.kind as usize) {
                Some(kind) => Value::One(Static::Kind(*kind)),
                None => Value::Missing,
            },
            Intrinsic::Status => {
                let code = of.status.as_ref().map_or(0, |status| status.code);
                match Status::ALL.get(code as usize) {
                    Some(status) => Value::One(Static::Status(*status)),
                    None => Value::Missing,
                }
            }
            Intrinsic::StatusMessage => {
                text(of.status.as_ref().map_or("", |status| &status.message))
            }
            Intrinsic::ChildCount => {
                let children = (0..self.spans.len()).filter(|&at| self.parent(at) == Some(span));
                Value::One(Static::Int(children.count() as i64))
            }
            Intrinsic::EventName => each_event(&|event| text(&of.events[event].name)),
            Intrinsic::EventTimeSinceStart => each_event(&|event| {
                let since = of.events[event].time_unix_nano.wrapping_sub(of.start_time_unix_nano);
                Value::One(Static::Duration(since as i64))
            }),
            Intrinsic::LinkTraceId => each_link(&|link| text(&hex(&of.links[link].trace_id, 32))),
            Intrinsic::LinkSpanId => each_link(&|link| text(&hex(&of.links[link].span_id, 16))),
            Intrinsic::InstrumentationName => text(&sent.scope.name),
            Intrinsic::InstrumentationVersion => text(&sent.scope.version),
            Intrinsic::NestedSetLeft => Value::One(Static::Int(self.nested_set[span].0)),
            Intrinsic::NestedSetRight => Value::One(Static::Int(self.nested_set[span].1)),
            Intrinsic::NestedSetParent => Value::One(Static::Int(self.nested_set[span].2)),
            Intrinsic::Parent => match self.parent(span) {
                Some(_) => Value::One(Static::Bool(true)),
                None => Value::Missing,
            },
        }
    }

    pub(super) fn field(&self, span: usize, at: At, field: &Field) -> Value {
        let of = match field {
            Field::Intrinsic(intrinsic) => return self.intrinsic(span, at, *intrinsic),
            Field::Attribute(attribute) => attribute,
        };
        let (span, at) = match self.parent(span) {
            // `.x` is of the span, whatever event or link is looked at beside it.
            _ if !of.parent && of.scope == Scope::Any => (span, At::Span),
            _ if !of.parent => (span, at),
            Some(parent) => (parent, At::Span),
            None => return Value::Missing,
        };
        match self.level(span, of.scope, &of.name) {
            Some(scope) => self.attribute(span, at, scope, &of.name),
            None => Value::Missing,
        }
    }

    fn attribute(&self, span: usize, at: At, scope: Scope, key: &str) -> Value {
        let sent = self.sent(span);
        match scope {
            Scope::Span => attribute(&sent.span.attributes, key),
            Scope::Resource => attribute(&sent.resource.attributes, key),
            Scope::Instrumentation => attribute(&sent.scope.attributes, key),
            Scope::Event => {
                let of = |event: usize| attribute(&sent.span.events[event].attributes, key);
                match at {
                    At::Event(event) => of(event),
                    _ => joined((0..sent.span.events.len()).map(of).collect()),
                }
            }
            Scope::Link => {
                let of = |link: usize| attribute(&sent.span.links[link].attributes, key);
                match at {
                    At::Link(link) => of(link),
                    _ => joined((0..sent.span.links.len()).map(of).collect()),
                }
            }
            Scope::Any => Value::Missing,
        }
    }

    /// Where `.key` is found.
    pub(super) fn level(&self, span: usize, scope: Scope, key: &str) -> Option<Scope> {
        if scope != Scope::Any {
            return Some(scope);
        }
        [Scope::Span, Scope::Resource, Scope::Event, Scope::Link, Scope::Instrumentation]
            .into_iter()
            .find(|&scope| !matches!(self.attribute(span, At::Span, scope, key), Value::Missing))
    }
}
