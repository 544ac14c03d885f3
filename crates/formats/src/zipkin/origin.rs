//! The resource and the instrumentation that a span's tags name.

use std::borrow::Cow;

use model::encode_key_value;
use model::wire::{put_bytes_field, put_bytes_unless_empty};

use super::span::Span;
use super::tags::{is_of_resource, key};

/// The messages `Resource` and `InstrumentationScope`, made of tags, which are taken away.
pub(super) fn take(span: &mut Span<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut resource = Vec::new();
    let service = span.local_endpoint.as_ref().and_then(|local| local.service_name.as_deref());
    if let Some(service) = service.filter(|service| !service.is_empty()) {
        put_text(&mut resource, 1, key::SERVICE_NAME, service);
        span.tags.remove(key::SERVICE_NAME);
    }
    span.tags.retain(|key, value| {
        let is_of_resource = is_of_resource(&key.0);
        if is_of_resource {
            put_text(&mut resource, 1, &key.0, &value.0);
        }
        !is_of_resource
    });

    let mut take = |names: [&str; 2]| {
        let values = names.map(|name| span.tags.remove(name).map(|value| value.0));
        let [new, old] = values;
        new.or(old).unwrap_or(Cow::Borrowed(""))
    };
    let mut scope = Vec::new();
    let name = take([key::SCOPE_NAME, key::LIBRARY_NAME]);
    let version = take([key::SCOPE_VERSION, key::LIBRARY_VERSION]);
    put_bytes_unless_empty(&mut scope, 1, name.as_bytes());
    put_bytes_unless_empty(&mut scope, 2, version.as_bytes());
    (resource, scope)
}

/// Appends a field that holds a `KeyValue` with a text.
pub(super) fn put_text(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    encode_key_value(out, number, key.as_bytes(), |out| put_bytes_field(out, 1, value.as_bytes()));
}
