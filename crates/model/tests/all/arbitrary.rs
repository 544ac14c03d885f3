//! Random requests that use every field of the trace messages, and ways to damage bytes.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;

/// What a comparison cannot do without.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    /// Anything goes. NaN is the usual one: JSON knows only one.
    Any,
    /// No empty text or list, only whole doubles: opentelemetry-proto's serde JSON misses some
    /// defaults and serde_json rounds.
    Tame,
}

impl Shape {
    fn text(self) -> BoxedStrategy<String> {
        let character = prop_oneof![
            4 => prop::char::range('a', 'z'),
            1 => prop::sample::select(vec!['"', '\\', '/', '\0', '\n', '\u{7f}', '\u{2028}']),
            1 => any::<char>(),
        ];
        vec(character, self.least()..12).prop_map(String::from_iter).boxed()
    }

    fn list<T: std::fmt::Debug>(
        self,
        element: impl Strategy<Value = T>,
    ) -> impl Strategy<Value = Vec<T>> {
        vec(element, self.least()..4)
    }

    fn least(self) -> usize {
        usize::from(self == Self::Tame)
    }

    fn double(self) -> BoxedStrategy<f64> {
        match self {
            Self::Any => prop::num::f64::ANY
                .prop_map(|value| if value.is_nan() { f64::NAN } else { value })
                .boxed(),
            Self::Tame => any::<i32>().prop_map(f64::from).boxed(),
        }
    }

    fn value(self) -> impl Strategy<Value = AnyValue> {
        let some = |value| AnyValue { value: Some(value) };
        let leaf = prop_oneof![
            self.text().prop_map(Value::StringValue),
            any::<bool>().prop_map(Value::BoolValue),
            any::<i64>().prop_map(Value::IntValue),
            self.double().prop_map(Value::DoubleValue),
            vec(any::<u8>(), 0..9).prop_map(Value::BytesValue),
        ]
        .prop_map(some);
        let leaf = prop_oneof![9 => leaf, 1 => Just(AnyValue { value: None })];
        leaf.prop_recursive(4, 16, 4, move |inner| {
            let array = self.list(inner.clone());
            let map = self.list(self.key_value_of(inner));
            prop_oneof![
                array.prop_map(move |values| some(Value::ArrayValue(ArrayValue { values }))),
                map.prop_map(move |values| some(Value::KvlistValue(KeyValueList { values }))),
            ]
        })
    }

    fn key_value_of(
        self,
        value: impl Strategy<Value = AnyValue>,
    ) -> impl Strategy<Value = KeyValue> {
        (self.text(), option::weighted(0.9, value)).prop_map(|(key, value)| KeyValue {
            key,
            value,
            key_strindex: 0,
        })
    }

    fn attributes(self) -> impl Strategy<Value = Vec<KeyValue>> {
        self.list(self.key_value_of(self.value()))
    }

    fn event(self) -> impl Strategy<Value = Event> {
        (any::<u64>(), self.text(), self.attributes(), any::<u32>()).prop_map(
            |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
                time_unix_nano,
                name,
                attributes,
                dropped_attributes_count,
            },
        )
    }

    fn link(self) -> impl Strategy<Value = Link> {
        let ids = (maybe(id(16)), maybe(id(8)));
        (ids, self.text(), self.attributes(), any::<u32>(), any::<u32>()).prop_map(
            |((trace_id, span_id), trace_state, attributes, dropped_attributes_count, flags)| {
                Link { trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags }
            },
        )
    }

    fn span(self) -> impl Strategy<Value = Span> {
        let status = (self.text(), -1..4i32).prop_map(|(message, code)| Status { message, code });
        (
            (id(16), id(8), maybe(id(8)), self.text(), any::<u32>()),
            (self.text(), -1..7i32, any::<u64>(), any::<u64>()),
            (self.attributes(), self.list(self.event()), self.list(self.link())),
            (any::<u32>(), any::<u32>(), any::<u32>(), option::of(status)),
        )
            .prop_map(|(head, body, lists, counts)| Span {
                trace_id: head.0,
                span_id: head.1,
                parent_span_id: head.2,
                trace_state: head.3,
                flags: head.4,
                name: body.0,
                kind: body.1,
                start_time_unix_nano: body.2,
                end_time_unix_nano: body.3,
                attributes: lists.0,
                events: lists.1,
                links: lists.2,
                dropped_attributes_count: counts.0,
                dropped_events_count: counts.1,
                dropped_links_count: counts.2,
                status: counts.3,
            })
    }

    fn resource(self) -> impl Strategy<Value = Resource> {
        let names = (self.text(), self.text(), self.list(self.text()), self.list(self.text()));
        let entity = names.prop_map(|(schema_url, r#type, id_keys, description_keys)| EntityRef {
            schema_url,
            r#type,
            id_keys,
            description_keys,
        });
        (self.attributes(), any::<u32>(), self.list(entity)).prop_map(
            |(attributes, dropped_attributes_count, entity_refs)| Resource {
                attributes,
                dropped_attributes_count,
                entity_refs,
            },
        )
    }

    fn scope_spans(self) -> impl Strategy<Value = ScopeSpans> {
        let scope = (self.text(), self.text(), self.attributes(), any::<u32>()).prop_map(
            |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
                name,
                version,
                attributes,
                dropped_attributes_count,
            },
        );
        (option::of(scope), self.list(self.span()), self.text())
            .prop_map(|(scope, spans, schema_url)| ScopeSpans { scope, spans, schema_url })
    }

    /// A request whose spans are all acceptable.
    pub fn request(self) -> impl Strategy<Value = ExportTraceServiceRequest> {
        let resource_spans =
            (option::of(self.resource()), self.list(self.scope_spans()), self.text()).prop_map(
                |(resource, scope_spans, schema_url)| ResourceSpans {
                    resource,
                    scope_spans,
                    schema_url,
                },
            );
        self.list(resource_spans)
            .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
    }
}

/// An id that is not all zeros.
fn id(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), bytes).prop_map(|mut id| {
        id[0] |= 1;
        id
    })
}

fn maybe(id: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    option::of(id).prop_map(Option::unwrap_or_default)
}

/// One damage to a text of bytes.
#[derive(Debug, Clone)]
pub enum Damage {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    /// Repeats a stretch, which in protobuf makes fields come twice.
    Repeat(Index, Index),
}

pub fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let place = any::<Index>;
    let damage = prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        2 => (place(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        2 => place().prop_map(Damage::Remove),
        1 => place().prop_map(Damage::Cut),
        1 => (place(), place()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ];
    vec(damage, 1..4)
}

pub fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let at = |index: &Index| index.index(bytes.len());
        match damage {
            Damage::Set(index, byte) => {
                let at = at(index);
                bytes[at] = *byte;
            }
            Damage::Insert(index, byte) => bytes.insert(at(index), *byte),
            Damage::Remove(index) => drop(bytes.remove(at(index))),
            Damage::Cut(index) => bytes.truncate(at(index)),
            Damage::Repeat(from, to) => {
                let (from, to) = (at(from).min(at(to)), at(from).max(at(to)));
                let stretch = bytes[from..to].to_vec();
                bytes.splice(to..to, stretch);
            }
        }
    }
    bytes
}
