//! Spans that nobody thought of.

use std::borrow::Cow;
use std::collections::BTreeMap;

use formats::zipkin::{Annotation, Endpoint, Kind, Span, TagKey, TagValue, span_of};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use crate::*;

fn tags() -> impl Strategy<Value = BTreeMap<String, String>> {
    let key = prop_oneof!["[a-z]{1,3}(\\.[a-z]{1,3})?", Just("host.name".to_owned())];
    // That one makes a span internal, which is written as a tag of its own.
    let key = key.prop_filter("lc says the kind", |key| key != "lc");
    btree_map(key, ".{0,12}", 0..6)
}

fn endpoint() -> impl Strategy<Value = Endpoint<'static>> {
    let name = "[a-zA-Z][ -~]{0,8}".prop_map(|name| Some(name.into()));
    (name, option::of((any::<u32>(), 1..65536_u64))).prop_map(|(service_name, address)| {
        let (ip, port) = address.unzip();
        let ipv4 = ip.map(|ip| std::net::Ipv4Addr::from(ip).to_string().into());
        Endpoint { service_name, ipv4, ipv6: None, port }
    })
}

prop_compose! {
    fn span()(
        trace_id in 1..=u128::MAX,
        id in 1..=u64::MAX,
        parent in option::of(1..=u64::MAX),
        kind in option::of(prop_oneof![
            Just(Kind::Client), Just(Kind::Server), Just(Kind::Producer), Just(Kind::Consumer)
        ]),
        name in option::of(".{1,10}"),
        timestamp in option::of(1..4_000_000_000_000_000_u64),
        duration in option::of(1..1_000_000_000_000_u64),
        local in endpoint(),
        remote in option::of(endpoint()),
        annotations in vec((1..4_000_000_000_000_000_u64, "[^|\"]{0,10}"), 0..4),
        tags in tags(),
        error in option::of("[a-z ]{0,10}"),
        debug: bool,
        shared: bool,
    ) -> Span<'static> {
        let annotation = |(timestamp, value): (u64, String)| {
            Annotation { timestamp: Some(timestamp), value: value.into() }
        };
        let mut tags: BTreeMap<_, _> =
            tags.into_iter().map(|(key, value)| (TagKey(key.into()), TagValue(value.into()))).collect();
        let mut tag = |key: &'static str, value: Cow<'static, str>| {
            tags.insert(TagKey(key.into()), TagValue(value));
        };
        if let Some(error) = error.filter(|error| error != "true" && error != "false") {
            tag("error", error.into());
            tag("otel.status_code", "ERROR".into());
        }
        if let Some(name) = remote.as_ref().and_then(|remote| remote.service_name.clone()) {
            tag("peer.service", name);
        }
        Span {
            trace_id: format!("{trace_id:032x}").into(),
            id: format!("{id:016x}").into(),
            parent_id: parent.filter(|parent| *parent != id).map(|parent| format!("{parent:016x}").into()),
            kind,
            name: name.map(Into::into),
            timestamp,
            duration,
            local_endpoint: Some(local),
            remote_endpoint: remote,
            annotations: annotations.into_iter().map(annotation).collect(),
            tags,
            debug,
            shared,
        }
    }
}

/// Addresses come back as tags as well; the rest is what it was.
fn without_addresses(span: &Span<'_>) -> Value {
    let mut json = serde_json::to_value(span).unwrap();
    if let Some(tags) = json.get_mut("tags").and_then(Value::as_object_mut) {
        tags.retain(|key, _| !key.starts_with("net."));
        if tags.is_empty() {
            json.as_object_mut().unwrap().remove("tags");
        }
    }
    json
}

proptest! {
    #[test]
    fn a_span_of_zipkin_comes_back(span in span()) {
        let json = serde_json::to_vec(&[&span]).unwrap();
        let bytes = to_otlp(&json, TagTypes::Text).unwrap();
        let batch = SpanBatch::decode(Bytes::from(bytes)).unwrap();
        prop_assert_eq!(batch.len(), 1);
        let back = span_of(&batch, &batch.spans()[0]);
        prop_assert_eq!(without_addresses(&back), without_addresses(&span));
    }

    #[test]
    fn otlp_comes_back_after_one_round(span in span()) {
        let json = serde_json::to_vec(&[&span]).unwrap();
        let first = to_otlp(&json, TagTypes::Text).unwrap();
        let batch = SpanBatch::decode(Bytes::from(first)).unwrap();
        let mut written = Vec::new();
        write_json(&mut written, &batch);
        let again = to_otlp(&written, TagTypes::Text).unwrap();
        let again = SpanBatch::decode(Bytes::from(again)).unwrap();
        let mut rewritten = Vec::new();
        write_json(&mut rewritten, &again);
        prop_assert_eq!(String::from_utf8(rewritten), String::from_utf8(written));
    }

    #[test]
    fn any_bytes_are_an_answer(bytes in vec(any::<u8>(), 0..200)) {
        let _ = to_otlp(&bytes, TagTypes::Parsed);
    }

    #[test]
    fn any_values_are_an_answer(
        texts in vec(".{0,30}", 8),
        numbers in vec(any::<u64>(), 3),
    ) {
        let span = json!([{
            "traceId": "1", "id": "1", "name": texts[0], "timestamp": numbers[0] % 10_000_000_000_000_000,
            "tags": { (texts[1].as_str()): texts[2], "otlp.link.0": texts[3], "otel.status_code": texts[4] },
            "annotations": [{ "timestamp": 1, "value": texts[5] },
                { "timestamp": 1, "value": format!("{}|{}|{}", texts[6], texts[7], numbers[1]) },
                { "timestamp": 1, "value": format!("\"{}\": {}", texts[6], texts[7]) }],
        }]);
        let bytes = to_otlp(span.to_string().as_bytes(), TagTypes::Parsed).unwrap();
        let batch = SpanBatch::decode(Bytes::from(bytes)).unwrap();
        prop_assert_eq!(batch.len(), 1, "{:?}", batch.rejection());
        let mut out = Vec::new();
        write_json(&mut out, &batch);
        let list: Vec<Value> = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(list.len(), 1);
    }
}

#[test]
fn values_nested_too_deep_become_text() {
    let deep = format!("e|{{\"a\":{}1{}}}|0", "[".repeat(100), "]".repeat(100));
    let span =
        json!([{ "traceId": "1", "id": "1", "annotations": [{ "timestamp": 1, "value": deep }] }]);
    let bytes = to_otlp(span.to_string().as_bytes(), TagTypes::Text).unwrap();
    let batch = SpanBatch::decode(Bytes::from(bytes)).unwrap();
    assert_eq!(batch.len(), 1, "{:?}", batch.rejection());
    let deeper = "[".repeat(100_000);
    assert!(to_otlp(deeper.as_bytes(), TagTypes::Text).is_err());
}

proptest! {
    /// Protobuf and JSON carry the same.
    #[test]
    fn a_span_in_protobuf_is_the_same_as_in_json(span in span()) {
        use formats::Limits;
        use formats::zipkin::{json_to_otlp, otlp_to_proto, proto_to_otlp};

        let json = serde_json::to_vec(&[&span]).unwrap();
        let found = json_to_otlp(&json, TagTypes::Text, Limits::default()).unwrap();
        let batch = SpanBatch::decode(found.otlp).unwrap();
        let proto = otlp_to_proto(&batch, "unknown_service");
        let again = proto_to_otlp(&proto, TagTypes::Text, Limits::default()).unwrap();
        let again = SpanBatch::decode(again.otlp).unwrap();
        prop_assert_eq!(span_of(&again, &again.spans()[0]), span_of(&batch, &batch.spans()[0]));
    }
}
