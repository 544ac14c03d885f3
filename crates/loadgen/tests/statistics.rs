//! The load is as large and as mixed as promised.

mod common;

use std::collections::{BTreeMap, HashMap, HashSet};

use common::{attribute, load, requests, spans};
use loadgen::Options;
use model::{Span, SpanBatch, Value, kind};

#[test]
fn spans_have_the_promised_size() {
    let batches = load();
    let count = spans(&batches).count() as f64;
    let bytes: usize = batches.iter().map(|batch| batch.bytes().len()).sum();
    let attributes: usize = spans(&batches).map(|(b, span)| b.span_attributes(span).len()).sum();
    let bytes = bytes as f64 / count;
    let attributes = attributes as f64 / count;
    println!("{bytes:.1} bytes and {attributes:.2} attributes a span");
    assert!((370.0..=410.0).contains(&bytes), "{bytes} bytes");
    assert!((11.5..=12.5).contains(&attributes), "{attributes} attributes");
}

#[test]
fn sizes_hold_for_other_seeds() {
    for seed in 2..6 {
        let batches = requests(Options { seed, ..Options::default() }, 100, 512);
        let bytes: usize = batches.iter().map(|batch| batch.bytes().len()).sum();
        let attributes: usize =
            spans(&batches).map(|(b, span)| b.span_attributes(span).len()).sum();
        let bytes = bytes as f64 / 51_200.0;
        let attributes = attributes as f64 / 51_200.0;
        println!("seed {seed}: {bytes:.1} bytes and {attributes:.2} attributes a span");
        assert!((370.0..=410.0).contains(&bytes), "seed {seed}: {bytes} bytes");
        assert!((11.5..=12.5).contains(&attributes), "seed {seed}: {attributes} attributes");
    }
}

#[test]
fn shares_are_as_promised() {
    let batches = load();
    let count = spans(&batches).count() as f64;
    let share = |test: &dyn Fn(&SpanBatch, &Span) -> bool| {
        spans(&batches).filter(|(batch, span)| test(batch, span)).count() as f64 / count
    };
    let events = share(&|batch, span| !batch.span_events(span).is_empty());
    let links = share(&|batch, span| !batch.span_links(span).is_empty());
    println!("events {events:.4}, links {links:.4}");
    assert!((0.025..0.035).contains(&events), "events {events}");
    assert!((0.004..0.006).contains(&links), "links {links}");

    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut users = HashSet::new();
    let mut keys: HashMap<&str, usize> = HashMap::new();
    for (batch, span) in spans(&batches) {
        *kinds.entry(kind::name(span.kind)).or_default() += 1;
        for it in batch.span_attributes(span) {
            *keys.entry(batch.text(it.key)).or_default() += 1;
        }
        if let Some(&Value::String(user)) = attribute(batch, span, "user.id") {
            users.insert(batch.text(user));
        }
    }
    println!("{kinds:?}, {} users, {} keys", users.len(), keys.len());
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    assert!(users.len() > 5000, "{} users", users.len());
    let of_spans = |key| keys.get(key).copied().unwrap_or(0) as f64 / count;
    for rare in ["order.id", "session.id"] {
        assert!((0.001..0.04).contains(&of_spans(rare)), "{rare} {}", of_spans(rare));
    }
    for key in [
        "http.request.method",
        "http.route",
        "url.path",
        "url.full",
        "server.address",
        "server.port",
        "http.response.status_code",
        "user_agent.original",
        "client.address",
        "network.protocol.version",
        "rpc.system",
        "rpc.service",
        "rpc.method",
        "db.system.name",
        "db.namespace",
        "db.query.text",
        "db.operation.name",
        "messaging.system",
        "messaging.destination.name",
        "thread.id",
        "thread.name",
        "code.function.name",
    ] {
        assert!(of_spans(key) > 0.005, "{key} {}", of_spans(key));
    }
}

#[test]
fn durations_have_a_slow_tail() {
    let batches = load();
    let mut roots: Vec<u64> = spans(&batches)
        .filter(|(_, span)| span.parent_span_id.is_none())
        .map(|(_, span)| span.duration_nano())
        .collect();
    roots.sort_unstable();
    let at = |share: f64| roots[(roots.len() as f64 * share) as usize] as f64 / 1e6;
    println!("roots: median {} ms, 99 % {} ms, max {} ms", at(0.5), at(0.99), at(0.99999));
    assert!((3.0..50.0).contains(&at(0.5)), "median {} ms", at(0.5));
    assert!(at(0.99) > 5.0 * at(0.5), "99 % {} ms", at(0.99));
}

#[test]
fn resources_are_those_of_a_cluster() {
    let batches = load();
    let mut instances: BTreeMap<&str, HashSet<&[u8]>> = BTreeMap::new();
    let mut versions: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    let mut scopes: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for batch in &batches {
        let mut seen = HashSet::new();
        for resource in batch.resources() {
            let message = batch.bytes_of(resource.message);
            assert!(seen.insert(message), "a resource twice in a request");
            let service = batch.service_name(resource);
            instances.entry(service).or_default().insert(message);
            for it in batch.resource_attributes(resource) {
                if let (b"service.version", Value::String(version)) =
                    (batch.bytes_of(it.key), it.value)
                {
                    versions.entry(service).or_default().insert(batch.text(version));
                }
            }
        }
        for scope in batch.scopes() {
            let service = batch.service_name(&batch.resources()[scope.resource as usize]);
            assert!(!batch.text(scope.version).is_empty());
            scopes.entry(service).or_default().insert(batch.text(scope.name));
        }
    }
    assert!(instances.len() >= 18, "{:?}", instances.keys());
    for (service, instances) in instances {
        assert!((2..=3).contains(&instances.len()), "{service} has {} pods", instances.len());
        assert_eq!(versions[service].len(), 2, "{service}: {:?}", versions[service]);
        assert!((2..=3).contains(&scopes[service].len()), "{service}: {:?}", scopes[service]);
    }
}
