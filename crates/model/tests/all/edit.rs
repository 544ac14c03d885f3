//! Edits of a batch, with the same edits of prost's messages as the oracle.

use bytes::Bytes;
use model::wire::{put_bytes_field, put_varint_field};
use model::{Attribute, Owner, SpanBatch, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValueKind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;

use crate::arbitrary::Shape;
use crate::protobuf::spans_alone;

#[derive(Debug, Clone)]
enum Edit {
    Set(Place, String, i64),
    Push(Place, String, String),
    RemoveNth(Place, usize),
    Rename(String),
    Status(i32, String),
    DropSpans(u8),
    DropEvents(u8),
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Resource,
    Scope,
    Span,
    Event,
    Link,
}

fn edits() -> impl Strategy<Value = Vec<(Index, Edit)>> {
    let place = || {
        use Place::{Event, Link, Resource, Scope, Span};
        prop::sample::select(vec![Resource, Scope, Span, Span, Span, Event, Link])
    };
    let key = || prop::sample::select(vec!["a", "b", "", "service.name"]).prop_map(str::to_owned);
    let edit = prop_oneof![
        4 => (place(), key(), any::<i64>()).prop_map(|(at, key, value)| Edit::Set(at, key, value)),
        4 => (place(), key(), ".{0,9}").prop_map(|(at, key, text)| Edit::Push(at, key, text)),
        3 => (place(), 0..3usize).prop_map(|(at, nth)| Edit::RemoveNth(at, nth)),
        1 => ".{0,9}".prop_map(Edit::Rename),
        1 => (-1..3i32, ".{0,9}").prop_map(|(code, message)| Edit::Status(code, message)),
        1 => any::<u8>().prop_map(Edit::DropSpans),
        1 => any::<u8>().prop_map(Edit::DropEvents),
    ];
    vec((any::<Index>(), edit), 0..12)
}

/// Applies an edit at the span of that number.
fn edit_batch(batch: &mut SpanBatch, at: usize, edit: &Edit) {
    let owner = |batch: &SpanBatch, place: &Place| {
        let span = &batch.spans()[at];
        let scope = span_scope(batch, at);
        Some(match place {
            Place::Resource => Owner::Resource(batch.scopes()[scope].resource as usize),
            Place::Scope => Owner::Scope(scope),
            Place::Span => Owner::Span(at),
            Place::Event if batch.span_events(span).is_empty() => return None,
            Place::Event => Owner::Event { span: at, event: 0 },
            Place::Link if batch.span_links(span).is_empty() => return None,
            Place::Link => Owner::Link { span: at, link: 0 },
        })
    };
    match edit {
        Edit::Set(place, key, value) => {
            let Some(owner) = owner(batch, place) else { return };
            let key = batch.add_text(key.as_bytes()).unwrap();
            batch.set_attribute(owner, key, Value::Int(*value)).unwrap();
        }
        Edit::Push(place, key, text) => {
            let Some(owner) = owner(batch, place) else { return };
            let key = batch.add_text(key.as_bytes()).unwrap();
            let value = Value::String(batch.add_text(text.as_bytes()).unwrap());
            batch.push_attribute(owner, Attribute { key, value }).unwrap();
        }
        Edit::RemoveNth(place, nth) => {
            let Some(owner) = owner(batch, place) else { return };
            let mut place = 0;
            batch.retain_attributes(owner, |_, _| {
                place += 1;
                place - 1 != *nth
            });
        }
        Edit::Rename(name) => {
            let name = batch.add_text(name.as_bytes()).unwrap();
            batch.edit_span(at).name = name;
        }
        Edit::Status(code, message) => {
            let message = batch.add_text(message.as_bytes()).unwrap();
            let span = batch.edit_span(at);
            (span.status_code, span.status_message) = (*code, message);
        }
        Edit::DropSpans(salt) => {
            batch.retain_spans(|_, _, span| !(span.span_id.0[7] ^ salt).is_multiple_of(4));
        }
        Edit::DropEvents(salt) => {
            batch.retain_events(at, |_, place, _| !(place as u8 ^ salt).is_multiple_of(2));
        }
    }
}

fn span_scope(batch: &SpanBatch, at: usize) -> usize {
    batch.spans()[at].scope as usize
}

/// What an edit does to a list of attributes.
type Change = Box<dyn FnMut(&mut Vec<KeyValue>)>;

fn edit_prost(request: &mut ExportTraceServiceRequest, at: usize, edit: &Edit) {
    if let Edit::DropSpans(salt) = edit {
        let scopes = request.resource_spans.iter_mut().flat_map(|one| &mut one.scope_spans);
        scopes.for_each(|scope| {
            scope.spans.retain(|span| !(span.span_id[7] ^ salt).is_multiple_of(4))
        });
        return;
    }
    let mut left = at;
    for resource_spans in &mut request.resource_spans {
        for scope_spans in &mut resource_spans.scope_spans {
            let count = scope_spans.spans.len();
            if left >= count {
                left -= count;
                continue;
            }
            let span = &mut scope_spans.spans[left];
            let change: Change = match edit.clone() {
                Edit::Set(_, key, number) => Box::new(move |list| {
                    let value = Some(AnyValue { value: Some(AnyValueKind::IntValue(number)) });
                    match list.iter_mut().find(|one| one.key == key) {
                        Some(one) => one.value = value,
                        None => list.push(key_value(&key, value)),
                    }
                }),
                Edit::Push(_, key, text) => Box::new(move |list| {
                    let value = AnyValueKind::StringValue(text.clone());
                    list.push(key_value(&key, Some(AnyValue { value: Some(value) })));
                }),
                Edit::RemoveNth(_, nth) => Box::new(move |list| {
                    if nth < list.len() {
                        list.remove(nth);
                    }
                }),
                _ => Box::new(|_| {}),
            };
            match edit {
                Edit::Set(place, ..) | Edit::Push(place, ..) | Edit::RemoveNth(place, _) => {
                    let list = match place {
                        Place::Resource => {
                            Some(&mut resource_spans.resource.get_or_insert_default().attributes)
                        }
                        Place::Scope => {
                            Some(&mut scope_spans.scope.get_or_insert_default().attributes)
                        }
                        Place::Span => Some(&mut span.attributes),
                        Place::Event => span.events.first_mut().map(|event| &mut event.attributes),
                        Place::Link => span.links.first_mut().map(|link| &mut link.attributes),
                    };
                    list.into_iter().for_each(change);
                }
                Edit::Rename(name) => span.name = name.clone(),
                Edit::Status(code, message) => {
                    let status = span.status.get_or_insert_default();
                    (status.code, status.message) = (*code, message.clone());
                }
                Edit::DropEvents(salt) => {
                    let mut place = 0u8;
                    span.events.retain(|_| {
                        place += 1;
                        !((place - 1) ^ salt).is_multiple_of(2)
                    });
                }
                Edit::DropSpans(_) => {}
            }
            return;
        }
    }
}

fn key_value(key: &str, value: Option<AnyValue>) -> KeyValue {
    KeyValue { key: key.to_owned(), value, key_strindex: 0 }
}

/// Bytes alone: NaN is not equal to itself.
fn alone(request: &ExportTraceServiceRequest) -> Vec<Vec<u8>> {
    spans_alone(request).into_iter().map(|(bytes, _)| bytes).collect()
}

proptest! {
    #[test]
    fn edits_do_what_they_do_to_prosts_messages(
        request in Shape::Any.request(),
        edits in edits(),
    ) {
        let mut request = request;
        let mut batch = SpanBatch::decode(Bytes::from(request.encode_to_vec())).unwrap();
        for (at, edit) in &edits {
            if batch.is_empty() {
                break;
            }
            let at = at.index(batch.len());
            // What it was encoded to before is not what it is after.
            let _ = batch.encoded();
            edit_batch(&mut batch, at, edit);
            edit_prost(&mut request, at, edit);
        }
        let encoded = batch.encoded();
        let ours = ExportTraceServiceRequest::decode(encoded.clone()).unwrap();
        prop_assert_eq!(alone(&ours), alone(&request));
        let again = SpanBatch::decode(encoded).unwrap();
        prop_assert_eq!((again.len(), again.rejection().spans), (batch.len(), 0));
    }

    #[test]
    fn some_spans_are_a_request_of_their_own(
        request in Shape::Any.request(),
        salt in any::<u8>(),
    ) {
        let batch = SpanBatch::decode(Bytes::from(request.encode_to_vec())).unwrap();
        let keep = |id: u8| (id ^ salt).is_multiple_of(2);
        let some: Vec<u32> = (0..batch.len() as u32)
            .filter(|&at| keep(batch.spans()[at as usize].span_id.0[7]))
            .collect();
        let ours = ExportTraceServiceRequest::decode(batch.encoded_some(&some)).unwrap();
        let mut wanted = request;
        let scopes = wanted.resource_spans.iter_mut().flat_map(|one| &mut one.scope_spans);
        scopes.for_each(|scope| scope.spans.retain(|span| keep(span.span_id[7])));
        prop_assert_eq!(alone(&ours), alone(&wanted));
    }
}

/// A request of one span whose messages all have a field 999 that no version knows.
fn with_unknown_fields() -> Vec<u8> {
    let unknown = |out: &mut Vec<u8>| put_varint_field(out, 999, 7);
    let message = |fields: &[(u32, &[u8])]| {
        let mut out = Vec::new();
        fields.iter().for_each(|(number, bytes)| put_bytes_field(&mut out, *number, bytes));
        unknown(&mut out);
        out
    };
    let span = message(&[(1, &[1; 16]), (2, &[2; 8]), (5, b"name")]);
    let scope = message(&[(1, b"scope")]);
    let resource = message(&[]);
    let mut scope_spans = Vec::new();
    put_bytes_field(&mut scope_spans, 1, &scope);
    put_bytes_field(&mut scope_spans, 2, &span);
    let mut resource_spans = Vec::new();
    put_bytes_field(&mut resource_spans, 1, &resource);
    put_bytes_field(&mut resource_spans, 2, &scope_spans);
    let mut request = Vec::new();
    put_bytes_field(&mut request, 1, &resource_spans);
    request
}

#[test]
fn fields_that_nobody_knows_survive_edits() {
    let bytes = with_unknown_fields();
    let unknown = {
        let mut field = Vec::new();
        put_varint_field(&mut field, 999, 7);
        field
    };
    let count = |bytes: &[u8]| bytes.windows(unknown.len()).filter(|at| *at == unknown).count();
    assert_eq!(count(&bytes), 3);
    let mut batch = SpanBatch::decode(bytes.clone().into()).unwrap();
    assert_eq!(batch.encoded(), bytes, "untouched bytes are handed on as they came");
    let key = batch.add_text(b"k").unwrap();
    for owner in [Owner::Resource(0), Owner::Scope(0), Owner::Span(0)] {
        batch.set_attribute(owner, key, Value::Bool(true)).unwrap();
    }
    assert!(batch.is_edited());
    let encoded = batch.encoded();
    assert_eq!(count(&encoded), 3);
    // Nothing but the attributes is new.
    assert_eq!(encoded.len(), bytes.len() + 3 * 9);
    let name = batch.add_text(b"new").unwrap();
    batch.edit_span(0).name = name;
    let encoded = batch.encoded();
    assert_eq!(count(&encoded), 3);
    // The name is shorter by one; two times of zero are there that an encoder may leave out.
    assert_eq!(encoded.len(), bytes.len() + 3 * 9 + 18 - 1);
}

#[test]
fn spans_that_were_left_out_are_not_handed_on() {
    let mut bytes = with_unknown_fields();
    let mut bad = with_unknown_fields();
    // The trace id.
    let at = bad.windows(16).position(|at| at == [1; 16]).unwrap();
    bad[at..at + 16].fill(0);
    bytes.extend_from_slice(&bad);
    let batch = SpanBatch::decode(bytes.into()).unwrap();
    assert_eq!((batch.len(), batch.rejection().spans), (1, 1));
    let again = SpanBatch::decode(batch.encoded()).unwrap();
    assert_eq!((again.len(), again.rejection().spans), (1, 0));
}

#[test]
fn an_edited_batch_is_encoded_once() {
    let mut batch = SpanBatch::decode(with_unknown_fields().into()).unwrap();
    let name = batch.add_text(b"renamed").unwrap();
    batch.edit_span(0).name = name;
    let first = batch.encoded();
    assert_eq!(first.as_ptr(), batch.encoded().as_ptr());
    assert_eq!(first.as_ptr(), batch.clone().encoded().as_ptr());
    batch.retain_spans(|_, _, _| false);
    assert!(batch.encoded().is_empty());
}

#[test]
fn spans_that_got_attributes_are_copied_with_them_behind() {
    let mut bytes = Vec::new();
    (0..4).for_each(|_| bytes.extend_from_slice(&with_unknown_fields()));
    let mut batch = SpanBatch::decode(bytes.into()).unwrap();
    let keys = [batch.add_text(b"k").unwrap(), batch.add_text(b"l").unwrap()];
    let added = [
        vec![(keys[0], Value::Double(0.0))],
        vec![(keys[0], Value::Double(-0.0))],
        vec![(keys[0], Value::Bool(true)), (keys[1], Value::Int(7))],
        vec![(keys[0], Value::Bool(true))],
    ];
    for (at, list) in added.iter().enumerate() {
        for &(key, value) in list {
            batch.push_attribute(Owner::Span(at), Attribute { key, value }).unwrap();
        }
    }
    // What was added may be changed, and is still all that is new.
    batch.set_value(Owner::Span(3), 0, Value::Bool(false));
    let again = SpanBatch::decode(batch.encoded()).unwrap();
    let values = |at| -> Vec<Value> {
        again.attributes(Owner::Span(at)).iter().map(|one| one.value).collect()
    };
    let bits = |at| match values(at)[..] {
        [Value::Double(number)] => number.to_bits(),
        _ => panic!("{:?}", values(at)),
    };
    assert_eq!((bits(0), bits(1)), (0.0f64.to_bits(), (-0.0f64).to_bits()));
    assert_eq!(values(2), [Value::Bool(true), Value::Int(7)]);
    assert_eq!(values(3), [Value::Bool(false)]);
}

#[test]
fn a_span_may_get_more_attributes_than_are_counted() {
    let mut batch = SpanBatch::decode(with_unknown_fields().into()).unwrap();
    let key = batch.add_text(b"k").unwrap();
    let attributes = 70_000;
    for number in 0..attributes {
        let attribute = Attribute { key, value: Value::Int(number) };
        batch.push_attribute(Owner::Span(0), attribute).unwrap();
    }
    let again = SpanBatch::decode(batch.encoded()).unwrap();
    let last = again.attributes(Owner::Span(0)).last().map(|last| last.value);
    let found = again.attributes(Owner::Span(0)).len();
    assert_eq!((found, last), (attributes as usize, Some(Value::Int(attributes - 1))));
}

#[test]
fn a_text_that_is_added_again_takes_no_room() {
    let mut batch = SpanBatch::decode(with_unknown_fields().into()).unwrap();
    let first = batch.add_text(b"team").unwrap();
    let room = batch.index_bytes();
    assert_eq!(batch.add_text(b"team").unwrap(), first);
    assert_eq!(batch.index_bytes(), room);
    let others: Vec<String> = (0..20).map(|number| format!("text {number}")).collect();
    let added: Vec<_> =
        others.iter().map(|text| batch.add_text(text.as_bytes()).unwrap()).collect();
    let again = batch.add_text(b"team").unwrap();
    assert_eq!(batch.text(again), "team");
    for (text, place) in others.iter().zip(added) {
        assert_eq!(batch.text(place), text);
    }
}

#[test]
fn edits_have_a_bound() {
    let mut batch = SpanBatch::decode(with_unknown_fields().into()).unwrap();
    let text = vec![b'x'; 1 << 20];
    let added = (0..100).take_while(|_| batch.add_text(&text).is_ok()).count();
    assert_eq!(added, 64);
    let key = batch.add_text(b"k").unwrap_or_default();
    let attribute = Attribute { key, value: Value::Empty };
    let pushed = (0..5_000_000)
        .take_while(|_| batch.push_attribute(Owner::Span(0), attribute).is_ok())
        .count();
    assert!((1 << 20..5_000_000).contains(&pushed), "{pushed}");
}
