//! One trace that shows everything a trace can show: the encoding of what `sample_story` tells.

use model::wire::{
    put_bytes_field, put_fixed32_field, put_fixed64_field, put_message, put_varint_field,
};
use model::{TracesEncoder, encode_key_value, kind, status_code};

use crate::rng::Rng;
use crate::sample_story;

/// One trace of a small shop: an order by way of seven services with a slow database call, N+1
/// queries, a failed payment with an exception, retries, a gap, work that ends after its parent, a
/// message, a link to another trace, and attributes of every type.
///
/// The seed decides ids and by how much all of it is slower or faster; the last span ends at
/// `now_unix_nano`. The bytes are an `ExportTraceServiceRequest`.
pub fn sample_trace(seed: u64, now_unix_nano: u64) -> Vec<u8> {
    let mut story = Story::default();
    sample_story::tell(&mut story);
    story.encode(&mut Rng::new(seed), now_unix_nano)
}

/// An attribute's value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Val {
    Text(&'static str),
    Int(i64),
    Flag(bool),
    Number(f64),
    Bytes(&'static [u8]),
    List(&'static [Val]),
    Map(&'static [(&'static str, Val)]),
}

pub(crate) type Attributes = &'static [(&'static str, Val)];

/// A service of the story.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Actor {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) pod: &'static str,
    pub(crate) language: &'static str,
}

/// A span of the story; times count from the start of the trace.
#[derive(Debug)]
pub(crate) struct Scene {
    actor: &'static Actor,
    parent: Option<usize>,
    name: &'static str,
    kind: i32,
    start_us: u64,
    end_us: u64,
    attributes: Vec<Attributes>,
    /// The status' message.
    error: Option<&'static str>,
    events: Vec<(u64, &'static str, Attributes)>,
    links: Vec<Attributes>,
}

impl Scene {
    pub(crate) fn with(&mut self, attributes: Attributes) -> &mut Self {
        self.attributes.push(attributes);
        self
    }

    pub(crate) fn fails(&mut self, message: &'static str) -> &mut Self {
        self.error = Some(message);
        self
    }

    pub(crate) fn event(
        &mut self,
        at_us: u64,
        name: &'static str,
        attributes: Attributes,
    ) -> &mut Self {
        self.events.push((at_us, name, attributes));
        self
    }

    /// A link to a span of another trace.
    pub(crate) fn link(&mut self, attributes: Attributes) -> &mut Self {
        self.links.push(attributes);
        self
    }
}

/// All spans, parents before children.
#[derive(Debug, Default)]
pub(crate) struct Story {
    scenes: Vec<Scene>,
}

impl Story {
    /// Adds a span; the number is for its children.
    pub(crate) fn scene(
        &mut self,
        parent: Option<usize>,
        actor: &'static Actor,
        kind: i32,
        name: &'static str,
        (start_us, end_us): (u64, u64),
    ) -> (usize, &mut Scene) {
        let index = self.scenes.len();
        self.scenes.push(Scene {
            actor,
            parent,
            name,
            kind,
            start_us,
            end_us,
            attributes: Vec::new(),
            error: None,
            events: Vec::new(),
            links: Vec::new(),
        });
        (index, &mut self.scenes[index])
    }

    fn encode(&self, rng: &mut Rng, now_unix_nano: u64) -> Vec<u8> {
        let trace_id = [rng.id().to_be_bytes(), rng.id().to_be_bytes()].concat();
        // One pace for all spans, which keeps them inside each other.
        let us_nano = 900 + u64::from(rng.below(200));
        let last_us = self.scenes.iter().map(|scene| scene.end_us).max().unwrap_or(0);
        let start_unix_nano = now_unix_nano.saturating_sub(last_us * us_nano);
        let at = |us: u64| (start_unix_nano + us * us_nano).min(now_unix_nano);
        let ids: Vec<[u8; 8]> = self.scenes.iter().map(|_| rng.id().to_be_bytes()).collect();

        let mut encoder = TracesEncoder::new();
        for (index, scene) in self.scenes.iter().enumerate() {
            let place = encoder.origin(&resource(scene.actor), b"", &scope(scene), b"");
            encoder.span(place, |out| {
                put_bytes_field(out, 1, &trace_id);
                put_bytes_field(out, 2, &ids[index]);
                if let Some(parent) = scene.parent {
                    put_bytes_field(out, 4, &ids[parent]);
                }
                put_bytes_field(out, 5, scene.name.as_bytes());
                put_varint_field(out, 6, scene.kind as u64);
                put_fixed64_field(out, 7, at(scene.start_us));
                put_fixed64_field(out, 8, at(scene.end_us));
                for attributes in &scene.attributes {
                    put_attributes(out, 9, attributes);
                }
                for &(at_us, name, attributes) in &scene.events {
                    put_message(out, 11, |out| {
                        put_fixed64_field(out, 1, at(at_us));
                        put_bytes_field(out, 2, name.as_bytes());
                        put_attributes(out, 3, attributes);
                    });
                }
                for attributes in &scene.links {
                    let other_trace_id = [rng.id().to_be_bytes(), rng.id().to_be_bytes()].concat();
                    put_message(out, 13, |out| {
                        put_bytes_field(out, 1, &other_trace_id);
                        put_bytes_field(out, 2, &rng.id().to_be_bytes());
                        put_attributes(out, 4, attributes);
                    });
                }
                if let Some(message) = scene.error {
                    put_message(out, 15, |out| {
                        put_bytes_field(out, 2, message.as_bytes());
                        put_varint_field(out, 3, status_code::ERROR as u64);
                    });
                }
                let is_remote =
                    matches!(scene.kind, kind::SERVER | kind::CONSUMER) && scene.parent.is_some();
                put_fixed32_field(out, 16, if is_remote { 0x301 } else { 0x101 });
            });
        }
        encoder.finish()
    }
}

fn resource(actor: &'static Actor) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in [
        ("service.name", actor.name),
        ("service.version", actor.version),
        ("service.namespace", "shop"),
        ("service.instance.id", actor.pod),
        ("deployment.environment.name", "demo"),
        ("k8s.pod.name", actor.pod),
        ("host.name", "node-1"),
        ("telemetry.sdk.language", actor.language),
        ("telemetry.sdk.name", "opentelemetry"),
    ] {
        put_text(&mut out, key, value);
    }
    out
}

fn scope(scene: &Scene) -> Vec<u8> {
    let (name, version) = match scene.kind {
        kind::INTERNAL => ("shop", scene.actor.version),
        kind::SERVER => ("shop.instrumentation.server", "2.20.1"),
        _ => ("shop.instrumentation.client", "2.20.1"),
    };
    let mut out = Vec::new();
    put_bytes_field(&mut out, 1, name.as_bytes());
    put_bytes_field(&mut out, 2, version.as_bytes());
    out
}

fn put_text(out: &mut Vec<u8>, key: &str, value: &'static str) {
    encode_key_value(out, 1, key.as_bytes(), |out| put_value(out, Val::Text(value)));
}

fn put_attributes(out: &mut Vec<u8>, number: u32, attributes: Attributes) {
    for &(key, value) in attributes {
        encode_key_value(out, number, key.as_bytes(), |out| put_value(out, value));
    }
}

/// The fields of `AnyValue` (`common.proto`).
fn put_value(out: &mut Vec<u8>, value: Val) {
    match value {
        Val::Text(text) => put_bytes_field(out, 1, text.as_bytes()),
        Val::Flag(flag) => put_varint_field(out, 2, u64::from(flag)),
        Val::Int(number) => put_varint_field(out, 3, number as u64),
        Val::Number(number) => put_fixed64_field(out, 4, number.to_bits()),
        Val::List(values) => put_message(out, 5, |out| {
            for &value in values {
                put_message(out, 1, |out| put_value(out, value));
            }
        }),
        Val::Map(entries) => put_message(out, 6, |out| put_attributes(out, 1, entries)),
        Val::Bytes(bytes) => put_bytes_field(out, 7, bytes),
    }
}
