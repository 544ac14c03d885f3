//! `/traces` against a naive evaluation of the same question.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::{Bench, NOW_MS, span};

/// Ids of the traces of an answer, newest first.
fn ids(answer: &Value) -> Vec<u64> {
    let id = |trace: &Value| {
        let id = trace[0]["traceId"].as_str().expect("an id");
        u64::from_str_radix(id, 16).expect("a small id")
    };
    answer.as_array().expect("traces").iter().map(id).collect()
}

async fn search(bench: &Bench, query: &str) -> Vec<u64> {
    ids(&bench.json(&format!("/api/v2/traces?{query}")).await)
}

#[tokio::test]
async fn each_parameter() {
    let bench = Bench::new();
    let tags = |tags: Value| json!({ "tags": tags });
    bench
        .store(&json!([
            span(1, 1, "Web", "get /", 10, tags(json!({ "http.method": "GET", "n": "7" }))),
            span(2, 1, "Web", "post /", 20, tags(json!({ "http.method": "POST", "error": "late" }))),
            span(2, 2, "cart", "put", 19, tags(json!({ "n": "8" }))),
            span(3, 1, "cart", "get /", 30, json!({
                "duration": 5000, "kind": "CLIENT", "remoteEndpoint": { "serviceName": "Redis" },
                "annotations": [{ "timestamp": NOW_MS * 1000, "value": "cache miss" }],
            })),
            span(4, 1, "cart", "old", 90_000_000, json!({ "duration": 1 })),
            span(5, 1, "Web", "get /", 40, tags(json!({ "error": "" }))),
            { "traceId": "6", "id": "1", "name": "nobody", "timestamp": (NOW_MS - 50) * 1000 },
        ]))
        .await;
    for (query, expected) in [
        ("", &[1, 2, 3, 5, 6][..]),
        ("limit=2", &[1, 2]),
        ("serviceName=Web", &[1, 2, 5]),
        ("serviceName=web", &[1, 2, 5]),
        ("serviceName=unknown_service", &[6]),
        ("serviceName=nobody", &[]),
        ("spanName=get+%2F", &[1, 3, 5]),
        ("spanName=GET+%2F", &[1, 3, 5]),
        ("serviceName=cart&spanName=get+%2F", &[3]),
        ("serviceName=cart&spanName=all", &[2, 3]),
        ("remoteServiceName=redis", &[3]),
        ("serviceName=cart&remoteServiceName=Redis", &[3]),
        ("serviceName=web&remoteServiceName=redis", &[]),
        ("annotationQuery=http.method%3DGET", &[1]),
        ("annotationQuery=http.method", &[1, 2]),
        ("annotationQuery=n%3D7", &[1]),
        ("annotationQuery=error", &[2, 5]),
        ("annotationQuery=error%3Dlate", &[2]),
        ("annotationQuery=otel.status_code%3DERROR", &[2, 5]),
        ("annotationQuery=cache+miss", &[3]),
        ("annotationQuery=cache", &[]),
        ("annotationQuery=service.name%3DWeb", &[]),
        // Met by two spans of a trace; of the service, where it is named.
        ("annotationQuery=n%3D8+and+error", &[2]),
        ("annotationQuery=n%3D8+and+error&serviceName=Web", &[]),
        ("annotationQuery=error&serviceName=cart", &[]),
        ("minDuration=1001", &[3]),
        ("minDuration=1000&maxDuration=4999", &[1, 2, 5]),
        ("minDuration=5000&maxDuration=5000", &[3]),
        ("minDuration=5001", &[]),
        ("lookback=15", &[1]),
        ("lookback=100000000", &[1, 2, 3, 5, 6, 4]),
        (&format!("endTs={}", NOW_MS - 25), &[3, 5, 6]),
        (&format!("endTs={}&lookback=10", NOW_MS - 20), &[2, 3]),
        (&format!("endTs={}&lookback=9", NOW_MS - 20), &[2]),
    ] {
        assert_eq!(search(&bench, query).await, expected, "{query}");
    }
}

/// Events have no attributes in Zipkin: an annotation shows them behind the name.
#[tokio::test]
async fn an_event_with_attributes_is_found_by_what_its_annotation_shows() {
    let bench = Bench::new();
    let event =
        |value: &str| json!({ "annotations": [{ "timestamp": NOW_MS * 1000, "value": value }] });
    let thrown = r#""exception": {"exception.message":"a=b and c","n":2}"#;
    bench
        .store(&json!([
            span(1, 1, "web", "a", 10, event(thrown)),
            span(2, 1, "web", "a", 20, event(r#""exception": {"exception.message":"other"}"#)),
            span(3, 1, "web", "a", 30, event("exception")),
            span(4, 1, "web", "a", 40, event("exceptional")),
        ]))
        .await;
    let shown = bench.json("/api/v2/trace/1").await;
    let shown = shown[0]["annotations"][0]["value"].as_str().expect("a text");
    assert!(shown.starts_with("\"exception\": {\"") && shown.contains("a=b and c"), "{shown}");
    for (query, expected) in [
        (shown.to_owned(), &[1][..]),
        (thrown.to_owned(), &[1]),
        (format!("{thrown} and exception"), &[1]),
        (format!("exception and {thrown}"), &[1]),
        ("exception".to_owned(), &[1, 2, 3]),
        (r#""exception": {"exception.message":"none"}"#.to_owned(), &[]),
    ] {
        let byte = |byte: u8| format!("%{byte:02X}");
        let encoded: String = query.bytes().map(byte).collect();
        let found = search(&bench, &format!("annotationQuery={encoded}")).await;
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn an_old_match_is_found_behind_many_that_are_none() {
    let bench = Bench::new();
    let event =
        |value: &str| json!({ "annotations": [{ "timestamp": NOW_MS * 1000, "value": value }] });
    let mut spans: Vec<Value> =
        (1..=1500).map(|trace| span(trace, 1, "web", "a", trace, event("hit"))).collect();
    spans.push(span(9000, 1, "web", "a", 9_000, event("rare")));
    bench.store(&Value::from(spans)).await;
    assert_eq!(search(&bench, "annotationQuery=rare").await, [9000]);
}

#[tokio::test]
async fn a_search_that_gives_up_says_so() {
    let bench = Bench::new();
    let spans: Vec<Value> =
        (1..=5100).map(|trace| span(trace, 1, "web", "a", trace, json!({}))).collect();
    bench.store(&Value::from(spans)).await;
    let answer = bench.get("/api/v2/traces?annotationQuery=nowhere").await;
    assert!(answer.partial, "{answer:?}");
    assert_eq!(answer.json(), json!([]));
    // No such limit where the store decides.
    let answer = bench.get("/api/v2/traces?serviceName=web&limit=5200").await;
    assert!(!answer.partial);
    assert_eq!(ids(&answer.json()).len(), 5100);
}

const SERVICES: [&str; 3] = ["web", "Cart", "db"];
const NAMES: [&str; 3] = ["get", "Put", "scan"];
const EVENTS: [&str; 3] = ["retry", "error", "flush"];

/// Whether a trace is meant, on its spans in Zipkin's JSON.
fn is_meant(query: &[(&str, String)], trace: &Value) -> bool {
    let given = |name: &str| {
        query.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    };
    let same = |value: &Value, wanted: &str| {
        value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(wanted))
    };
    let spans: Vec<&Value> = trace.as_array().unwrap().iter().collect();
    let spans: Vec<&Value> = spans
        .into_iter()
        .filter(|span| {
            given("serviceName")
                .is_none_or(|name| same(&span["localEndpoint"]["serviceName"], name))
        })
        .collect();
    let any = |holds: &dyn Fn(&Value) -> bool| spans.iter().any(|span| holds(span));
    let number = |name: &str| given(name).map(|text| text.parse::<u64>().unwrap());
    any(&|_| true)
        && given("spanName").is_none_or(|name| any(&|span| same(&span["name"], name)))
        && given("remoteServiceName")
            .is_none_or(|name| any(&|span| same(&span["remoteEndpoint"]["serviceName"], name)))
        && number("minDuration").is_none_or(|min| {
            let max = number("maxDuration").unwrap_or(u64::MAX);
            any(&|span| (min..=max).contains(&span["duration"].as_u64().unwrap_or(0)))
        })
        && given("annotationQuery").is_none_or(|text| {
            text.split(" and ").all(|part| match part.split_once('=') {
                Some((key, value)) => any(&|span| span["tags"][key] == value),
                None => any(&|span| {
                    let events = span["annotations"].as_array();
                    span["tags"].get(part).is_some()
                        || events
                            .is_some_and(|events| events.iter().any(|event| event["value"] == part))
                }),
            })
        })
}

fn random_span(random: &mut StdRng, trace: u64, id: u64) -> Value {
    let mut tags = serde_json::Map::new();
    for key in ["k", "m"] {
        if random.random_bool(0.5) {
            tags.insert(key.to_owned(), json!(random.random_range(0..3).to_string()));
        }
    }
    let is_error = random.random_bool(0.2);
    if is_error {
        tags.insert("error".to_owned(), json!(["", "late"][random.random_range(0..2)]));
    }
    let mut more = json!({ "tags": tags, "duration": random.random_range(1..5) * 1000 });
    // The store is asked for `error` by status, so that it stands on failed spans alone.
    let event = EVENTS.iter().filter(|event| is_error || **event != "error").collect::<Vec<_>>();
    if random.random_bool(0.3) {
        let value = event.choose(random).unwrap();
        more["annotations"] = json!([{ "timestamp": NOW_MS * 1000, "value": value }]);
    }
    if random.random_bool(0.4) {
        more["kind"] = json!(["CLIENT", "SERVER"][random.random_range(0..2)]);
        more["remoteEndpoint"] = json!({ "serviceName": SERVICES.choose(random) });
    }
    let service = SERVICES.choose(random).unwrap();
    span(trace, id, service, NAMES.choose(random).unwrap(), 100 + trace * 10, more)
}

fn random_query(random: &mut StdRng) -> Vec<(&'static str, String)> {
    let mut query = Vec::new();
    let mut text = |name, random: &mut StdRng, values: &[&str], share: f64| {
        if random.random_bool(share) {
            query.push((name, values.choose(random).unwrap().to_string()));
        }
    };
    text("serviceName", random, &SERVICES, 0.5);
    text("spanName", random, &["GET", "put", "scan"], 0.3);
    text("remoteServiceName", random, &["WEB", "cart", "db"], 0.2);
    let conditions = [
        "k=0",
        "k=1 and m=2",
        "k",
        "error",
        "retry",
        "error=late",
        "m=1 and error",
        "flush and k=2",
    ];
    text("annotationQuery", random, &conditions, 0.5);
    if random.random_bool(0.3) {
        query.push(("minDuration", (random.random_range(1..5) * 1000).to_string()));
        if random.random_bool(0.5) {
            query.push(("maxDuration", "4000".to_owned()));
        }
    }
    query
}

#[tokio::test]
async fn any_question_is_answered_as_naively() {
    let seed = std::env::var("SPANFALL_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        let now = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
        now.as_nanos() as u64
    });
    let mut random = StdRng::seed_from_u64(seed);
    let bench = Bench::new();
    let mut all = Vec::new();
    for trace in 1..=150 {
        let count = random.random_range(1..5);
        let spans: Vec<Value> = (1..=count).map(|id| random_span(&mut random, trace, id)).collect();
        bench.store(&Value::from(spans.clone())).await;
        all.push(bench.json(&format!("/api/v2/trace/{trace:x}")).await);
    }
    let mut hits = 0;
    for _ in 0..300 {
        let query = random_query(&mut random);
        let limit = [3, 10, 1000][random.random_range(0..3)];
        let mut text = format!("limit={limit}");
        for (name, value) in &query {
            text.push_str(&format!("&{name}={}", value.replace('=', "%3D").replace(' ', "+")));
        }
        // The ids count up as the traces get older.
        let expected: Vec<u64> = (1..)
            .zip(&all)
            .filter(|(_, trace)| is_meant(&query, trace))
            .map(|(id, _)| id)
            .take(limit)
            .collect();
        hits += expected.len();
        assert_eq!(search(&bench, &text).await, expected, "{text}, SPANFALL_TEST_SEED={seed}");
    }
    assert!(hits > 300, "{hits} hits say little; SPANFALL_TEST_SEED={seed}");
}
