//! Zipkin's first format, whose annotations say what later fields do, as spans of the second.
//!
//! Source: `zipkin-api.yaml` and `zipkinCore.thrift` of Zipkin's interface definitions.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;

use super::span::{
    Annotation, Endpoint, Kind, Span, TagKey, TagValue, null_is_default, whole_number,
};
use crate::payload::few;

/// A span in v1.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SpanV1<'a> {
    #[serde(borrow)]
    pub(super) trace_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) parent_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "whole_number")]
    pub(super) timestamp: Option<u64>,
    #[serde(deserialize_with = "whole_number")]
    pub(super) duration: Option<u64>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) debug: bool,
    #[serde(borrow, deserialize_with = "few")]
    pub(super) annotations: Vec<AnnotationV1<'a>>,
    #[serde(borrow, deserialize_with = "few")]
    pub(super) binary_annotations: Vec<BinaryAnnotation<'a>>,
}

/// What happened when, and who says so.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AnnotationV1<'a> {
    #[serde(deserialize_with = "whole_number")]
    pub(super) timestamp: Option<u64>,
    #[serde(borrow)]
    pub(super) value: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) endpoint: Option<Endpoint<'a>>,
}

/// A tag, and who says so; or the address of the other side.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct BinaryAnnotation<'a> {
    #[serde(borrow)]
    pub(super) key: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) value: TagValue<'a>,
    #[serde(borrow)]
    pub(super) endpoint: Option<Endpoint<'a>>,
    /// The value is a number or boolean, of which this is the text.
    #[serde(skip)]
    pub(super) is_typed: bool,
}

/// Annotations that begin and end one side of a call, and the binary annotation that has the
/// address of the other.
struct Side {
    kind: Kind,
    begin: &'static str,
    end: &'static str,
    other: &'static str,
}

const SIDES: [Side; 4] = [
    Side { kind: Kind::Client, begin: "cs", end: "cr", other: SERVER_ADDRESS },
    Side { kind: Kind::Server, begin: "sr", end: "ss", other: CLIENT_ADDRESS },
    Side { kind: Kind::Producer, begin: "ms", end: "ws", other: MESSAGE_ADDRESS },
    Side { kind: Kind::Consumer, begin: "wr", end: "mr", other: MESSAGE_ADDRESS },
];

const SERVER_ADDRESS: &str = "sa";
const CLIENT_ADDRESS: &str = "ca";
const MESSAGE_ADDRESS: &str = "ma";
const ADDRESSES: [&str; 3] = [SERVER_ADDRESS, CLIENT_ADDRESS, MESSAGE_ADDRESS];

impl Side {
    /// Whether an annotation alone tells that a span is of this side. What is sent or received on
    /// the wire may be of any.
    fn is_told_by(&self, value: &str) -> bool {
        value.len() == 2 && !value.starts_with('w') && [self.begin, self.end].contains(&value)
    }
}

/// A span of v2, and the names of those of its tags that have a type.
pub(super) struct Half<'a> {
    pub(super) span: Span<'a>,
    pub(super) typed: BTreeSet<String>,
}

/// The span; two of them where client and server wrote into one. The server's is then `shared`.
pub(super) fn halves(v1: SpanV1<'_>) -> Vec<Half<'_>> {
    let told = |side: &&Side| v1.annotations.iter().any(|each| side.is_told_by(&each.value));
    let first = v1
        .annotations
        .iter()
        .find_map(|each| SIDES.iter().find(|side| side.is_told_by(&each.value)));
    let sides: Vec<&Side> = match first.map(|side| side.kind) {
        Some(Kind::Client | Kind::Server) => SIDES[..2].iter().filter(told).collect(),
        _ => first.into_iter().collect(),
    };
    match sides[..] {
        [client, server] => split(v1, client, server).into(),
        _ => vec![half(v1, sides.first().copied())],
    }
}

/// Gives what the server said to the server, and all else to the client.
fn split<'a>(v1: SpanV1<'a>, client: &Side, server: &Side) -> [Half<'a>; 2] {
    let service = |side| {
        let named = recorder(&v1, Some(side)).and_then(|endpoint| endpoint.service_name.as_deref());
        named.map(str::to_owned)
    };
    let (ours, theirs) = (service(client), service(server));
    let is_servers = |endpoint: &Option<Endpoint<'_>>| {
        let name = endpoint.as_ref().and_then(|endpoint| endpoint.service_name.as_deref());
        name.is_some() && name == theirs.as_deref() && name != ours.as_deref()
    };
    let event_is_servers =
        |each: &AnnotationV1<'_>| server.is_told_by(&each.value) || is_servers(&each.endpoint);
    // An address is of the side that it is the other side of, whomever it names.
    let tag_is_servers = |each: &BinaryAnnotation<'_>| {
        each.key == server.other || (each.key != client.other && is_servers(&each.endpoint))
    };
    let mut of_server = SpanV1 { timestamp: None, duration: None, ..v1.clone() };
    of_server.annotations.retain(&event_is_servers);
    of_server.binary_annotations.retain(&tag_is_servers);
    let mut of_client = v1;
    of_client.annotations.retain(|each| !event_is_servers(each));
    of_client.binary_annotations.retain(|each| !tag_is_servers(each));

    let mut of_server = half(of_server, Some(server));
    of_server.span.shared = true;
    [half(of_client, Some(client)), of_server]
}

/// Who recorded a span: by its side's annotations, by others, by tags.
fn recorder<'v, 'a>(v1: &'v SpanV1<'a>, side: Option<&Side>) -> Option<&'v Endpoint<'a>> {
    let own = |each: &&AnnotationV1<'a>| side.is_some_and(|side| side.is_told_by(&each.value));
    let of_side = v1.annotations.iter().filter(own).filter_map(|each| each.endpoint.as_ref());
    let of_any = v1.annotations.iter().filter_map(|each| each.endpoint.as_ref());
    let tags = v1.binary_annotations.iter().filter(|each| !ADDRESSES.contains(&&*each.key));
    let of_tags = tags.filter_map(|each| each.endpoint.as_ref());
    let mut known = of_side.chain(of_any).chain(of_tags);
    let is_named =
        |one: &&Endpoint<'_>| one.service_name.as_deref().is_some_and(|name| !name.is_empty());
    known.clone().find(is_named).or_else(|| known.next())
}

fn half<'a>(v1: SpanV1<'a>, side: Option<&Side>) -> Half<'a> {
    let (timestamp, duration) = times(&v1, side);
    let local_endpoint = recorder(&v1, side).cloned();
    let is_event = |each: &AnnotationV1<'_>| {
        !side.is_some_and(|side| [side.begin, side.end].contains(&&*each.value))
    };
    let events = v1.annotations.into_iter().filter(is_event);
    let annotations =
        events.map(|each| Annotation { timestamp: each.timestamp, value: each.value }).collect();
    let span = Span {
        trace_id: v1.trace_id,
        parent_id: v1.parent_id,
        id: v1.id,
        kind: side.map(|side| side.kind),
        name: v1.name,
        timestamp,
        duration,
        local_endpoint,
        annotations,
        debug: v1.debug,
        ..Span::default()
    };
    let mut half = Half { span, typed: BTreeSet::new() };
    add_tags(&mut half, v1.binary_annotations, side);
    half
}

/// Start and duration: what the span says, or its side's annotations, or any.
fn times(v1: &SpanV1<'_>, side: Option<&Side>) -> (Option<u64>, Option<u64>) {
    let known = |time: &u64| *time > 0;
    let at = |value: &str| {
        let told = v1.annotations.iter().find(|each| each.value == value)?;
        told.timestamp.filter(known)
    };
    let any = || v1.annotations.iter().filter_map(|each| each.timestamp).filter(known);
    let said = v1.timestamp.filter(known);
    let begin = said.or_else(|| at(side?.begin)).or_else(|| any().min());
    let end = side.and_then(|side| at(side.end));
    let end = end.or_else(|| if said.is_none() { any().max() } else { None });
    let measured = || end?.checked_sub(begin?).filter(known);
    (begin, v1.duration.filter(known).or_else(measured))
}

/// Binary annotations as tags, but for the address of the other side.
fn add_tags<'a>(half: &mut Half<'a>, tags: Vec<BinaryAnnotation<'a>>, side: Option<&Side>) {
    let mut addresses = Vec::new();
    for each in tags {
        let is_address = ADDRESSES.contains(&&*each.key) && matches!(&*each.value.0, "true" | "1");
        match each.endpoint {
            Some(endpoint) if is_address => addresses.push((each.key, endpoint)),
            _ => {
                if each.is_typed {
                    half.typed.insert(each.key.clone().into_owned());
                }
                half.span.tags.insert(TagKey(each.key), each.value);
            }
        }
    }
    let is_wanted = |key: &str| side.is_none_or(|side| side.other == key);
    let wanted = addresses.into_iter().find(|(key, _)| is_wanted(key));
    half.span.remote_endpoint = wanted.map(|(_, endpoint)| endpoint);
}
