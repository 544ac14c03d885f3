//! Names and values for those who write queries.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Bench, MS, NOW, checkout, encode, text};

/// Names by scope.
fn scopes(answer: &Value) -> BTreeMap<String, Vec<String>> {
    let scopes = answer["scopes"].as_array().expect("scopes").iter();
    let scopes = scopes.map(|scope| {
        assert_eq!(scope.as_object().expect("an object").len(), 2, "{scope}");
        let tags = scope["tags"].as_array().expect("tags").iter();
        let tags = tags.map(|tag| tag.as_str().expect("a text").to_owned()).collect();
        (scope["name"].as_str().expect("a name").to_owned(), tags)
    });
    scopes.collect()
}

/// The values of a tag as `type value`.
async fn values(bench: &Bench, tag: &str, more: &str) -> Vec<String> {
    let path = format!("/api/v2/search/tag/{}/values?{more}", encode(&encode(tag)));
    let answer = bench.json(&path).await;
    assert_eq!(answer["metrics"], json!({}), "{answer}");
    let value = |value: &Value| {
        assert_eq!(value.as_object().expect("an object").len(), 2, "{value}");
        let text = |name: &str| value[name].as_str().expect("a text").to_owned();
        format!("{} {}", text("type"), text("value"))
    };
    answer["tagValues"].as_array().expect("values").iter().map(value).collect()
}

#[tokio::test]
async fn names_by_scope() {
    let bench = Bench::filled().await;
    let failed = format!("&q={}", encode("{ status = error && }"));
    // All spans; those of a query; one scope after the other.
    for (more, expected) in [
        (
            "",
            [
                "host.name service.name",
                "card http.route http.status_code retry share",
                "exception.type",
                "why",
                "lib",
            ],
        ),
        (failed.as_str(), ["service.name", "card", "exception.type", "why", ""]),
    ] {
        let all = scopes(&bench.json(&format!("/api/v2/search/tags?x=y{more}")).await);
        let none = bench.json(&format!("/api/v2/search/tags?scope=none{more}")).await;
        assert_eq!(scopes(&none), all, "{more}");
        let names = ["resource", "span", "event", "link", "instrumentation"];
        for (name, tags) in names.into_iter().zip(expected) {
            let told = all.get(name).map(|tags| tags.join(" ")).unwrap_or_default();
            assert_eq!(told, tags, "{name}{more}");
            let one = bench.json(&format!("/api/v2/search/tags?scope={name}{more}")).await;
            let one = scopes(&one);
            assert_eq!((one.len(), one.get(name)), (usize::from(!tags.is_empty()), all.get(name)));
            let old = bench.json(&format!("/api/search/tags?scope={name}{more}")).await;
            let tags: Vec<&str> = tags.split_whitespace().collect();
            assert_eq!(old, json!({ "tagNames": tags, "metrics": {} }), "{name}{more}");
        }
        let intrinsics = &all["intrinsic"];
        for name in [
            "duration",
            "event:name",
            "event:timeSinceStart",
            "instrumentation:name",
            "instrumentation:version",
            "kind",
            "name",
            "rootName",
            "rootServiceName",
            "span:duration",
            "span:kind",
            "span:name",
            "span:status",
            "span:statusMessage",
            "status",
            "statusMessage",
            "trace:duration",
            "trace:rootName",
            "trace:rootService",
            "traceDuration",
        ] {
            assert!(intrinsics.iter().any(|known| known == name), "{name} of {intrinsics:?}");
        }
    }
    // The first version without a scope is one list, and has no intrinsics.
    let old = bench.json("/api/search/tags").await;
    let names = [
        "card",
        "exception.type",
        "host.name",
        "http.route",
        "http.status_code",
        "lib",
        "retry",
        "service.name",
        "share",
        "why",
    ];
    assert_eq!(old["tagNames"], json!(names));
    assert_eq!(
        bench.json("/api/search/tags?limit=2").await["tagNames"],
        json!(["card", "exception.type"])
    );
    let few = scopes(&bench.json("/api/v2/search/tags?limit=1&maxStaleValues=3").await);
    assert!(few.values().all(|tags| tags.len() == 1), "{few:?}");
    // No limit.
    let all = scopes(&bench.json("/api/v2/search/tags?limit=0").await);
    assert_eq!(all["span"].len(), 5);
}

#[tokio::test]
async fn values_with_their_types() {
    let bench = Bench::filled().await;
    let failed = format!("q={}", encode("{ status = error }"));
    let fine = format!("q={}", encode("{ status != error && }"));
    let half = format!("q={}", encode("{ resource.service.name = }"));
    let wrong = format!("q={}", encode("no query"));
    for (tag, more, expected) in [
        ("resource.service.name", "", &["string cart", "string web"][..]),
        ("resource.service.name", &failed, &["string cart"]),
        ("resource.service.name", &half, &["string cart", "string web"]),
        ("resource.service.name", &wrong, &["string cart", "string web"]),
        (".service.name", &fine, &["string web"]),
        ("span.http.status_code", "", &["int 500"]),
        ("span.http.status_code", &fine, &["int 500"]),
        ("span.http.status_code", &failed, &[]),
        (".share", "", &["float 0.5"]),
        (".share", &fine, &["float 0.5"]),
        (".retry", "", &["bool true"]),
        (".retry", &fine, &["bool true"]),
        // A value that looks like none.
        (".card", "", &["string nil"]),
        (".card", &failed, &["string nil"]),
        // Of all events of a span.
        ("event.exception.type", "", &["string Broke", "string Timeout"]),
        ("event.exception.type", &failed, &["string Broke", "string Timeout"]),
        (".exception.type", &failed, &["string Broke", "string Timeout"]),
        ("event.exception.type", &fine, &[]),
        ("link.why", &failed, &["string batch"]),
        ("instrumentation.lib", &fine, &["string x"]),
        ("parent.span.retry", &failed, &["bool true"]),
        ("name", "", &["string /checkout", "string charge"]),
        ("name", &failed, &["string charge"]),
        ("span:name", &failed, &["string charge"]),
        ("rootName", &failed, &["string /checkout"]),
        ("rootServiceName", &failed, &["string web"]),
        ("trace:rootService", "", &["string web"]),
        ("statusMessage", "", &["string no money"]),
        ("event:name", "", &["string exception"]),
        ("instrumentation:name", "", &["string http"]),
        ("instrumentation:version", &fine, &["string 1.2"]),
        ("status", &failed, &["keyword error", "keyword ok", "keyword unset"]),
        ("span:status", "", &["keyword error", "keyword ok", "keyword unset"]),
        ("duration", "", &[]),
        ("trace:id", "", &[]),
        ("nestedSetLeft", "", &[]),
        ("span.\"no such\"", "", &[]),
        ("span.\"no such\"", &failed, &[]),
        ("resource.service.name", "limit=0&maxStaleValues=1", &["string cart", "string web"]),
    ] {
        let mut told = values(&bench, tag, more).await;
        told.sort();
        assert_eq!(told, expected, "{tag} {more}");
    }
    assert_eq!(values(&bench, "kind", "").await.len(), 6);
    assert_eq!(values(&bench, "kind", "limit=2").await.len(), 2);
    assert_eq!(values(&bench, "resource.service.name", "limit=1").await.len(), 1);
    for (tag, expected) in [
        ("service.name", json!(["cart", "web"])),
        ("http.status_code", json!(["500"])),
        ("name", json!(["/checkout", "charge"])),
        ("root.name", json!(["/checkout"])),
        ("root.service.name", json!(["web"])),
        ("status.code", json!(["error", "ok", "unset"])),
        ("duration", json!([])),
        ("no such", json!([])),
    ] {
        let answer = bench.json(&format!("/api/search/tag/{}/values", encode(tag))).await;
        assert_eq!(answer, json!({ "tagValues": expected, "metrics": {} }), "{tag}");
    }
}

/// Three hours, the first two in a block and the last in memory, each with a name of its own.
#[tokio::test]
async fn a_range_of_time_is_looked_at() {
    let bench = Bench::new();
    for hour in (0..3_u64).rev() {
        bench.store(&shifted(hour, &format!("key{hour}"), "word")).await;
        if hour == 1 {
            bench.engine.settle();
        }
    }
    let seconds = |hour: u64| NOW - 10 - hour * 3600;
    let query = "{ span:kind = client || name != `` }";
    for (hour, query) in [(0, ""), (1, ""), (1, "{}"), (0, query), (1, query), (2, query)] {
        let range =
            format!("start={}&end={}&q={}", seconds(hour) - 5, seconds(hour) + 5, encode(query));
        let told = scopes(&bench.json(&format!("/api/v2/search/tags?scope=span&{range}")).await);
        let keys: Vec<&str> =
            told["span"].iter().map(String::as_str).filter(|key| key.starts_with("key")).collect();
        // With a query as fine as spans are, otherwise as blocks are.
        let is_fine = hour == 0 || query.len() > 2;
        if is_fine {
            assert_eq!(keys, [format!("key{hour}")], "{hour} {query:?}");
        } else {
            assert_eq!(keys, ["key1", "key2"], "{hour} {query:?}");
        }
        for key in 0..3_u64 {
            let found = values(&bench, &format!("span.key{key}"), &range).await;
            let there = key == hour || (!is_fine && key > 0);
            assert_eq!(found.len(), usize::from(there), "{hour} {query:?} {key}");
        }
        // Intrinsics are counted on the spans.
        assert_eq!(values(&bench, "name", &range).await.len(), 2, "{hour} {query:?}");
    }
    let before = format!("end={}", seconds(9));
    assert_eq!(scopes(&bench.json(&format!("/api/v2/search/tags?{before}")).await).len(), 1);
    assert_eq!(values(&bench, "name", &before).await, [""; 0]);
}

/// The checkout, hours earlier, with an attribute more on the failed span.
fn shifted(hours: u64, key: &str, value: &str) -> Value {
    let mut trace = checkout();
    for batch in trace["resourceSpans"].as_array_mut().expect("a list") {
        let span = &mut batch["scopeSpans"][0]["spans"][0];
        span["traceId"] = json!(format!("{:032x}", 0xabc0 + hours));
        for time in ["startTimeUnixNano", "endTimeUnixNano"] {
            let nanos: u64 =
                span[time].as_str().and_then(|time| time.parse().ok()).expect("a time");
            span[time] = json!((nanos - hours * 3_600_000 * MS).to_string());
        }
        if span["name"] == "charge" {
            span["attributes"].as_array_mut().expect("a list").push(text(key, value));
        }
    }
    trace
}

/// In a block, attributes of a few spans have no column of their own.
#[tokio::test]
async fn rare_names_are_told_too() {
    let bench = Bench::new();
    let span = |number: usize| {
        let mut attributes = vec![text("often", "x")];
        let mut event = vec![text("seen", "x")];
        if number == 1234 {
            attributes.push(text("once", "here"));
            event.push(text("struck", "twice"));
        }
        let start = (NOW - 60) * 1000 * MS;
        json!({
            "traceId": format!("{:032x}", number + 1), "spanId": format!("{:016x}", 1),
            "name": if number == 1234 { "odd" } else { "even" },
            "startTimeUnixNano": start.to_string(), "endTimeUnixNano": start.to_string(),
            "attributes": attributes,
            "events": [{ "name": "e", "timeUnixNano": start.to_string(), "attributes": event }],
        })
    };
    let spans: Vec<Value> = (0..5000).map(span).collect();
    bench.store(&json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] })).await;
    for sealed in [false, true] {
        if sealed {
            bench.engine.settle();
        }
        for (query, span, event) in [
            ("{ name = `odd` }", &["often", "once"][..], &["seen", "struck"][..]),
            ("{ name = `even` }", &["often"], &["seen"]),
            ("", &["often", "once"], &["seen", "struck"]),
        ] {
            let path = format!("/api/v2/search/tags?q={}", encode(query));
            let told = scopes(&bench.json(&path).await);
            assert_eq!(
                (&told["span"][..], &told["event"][..]),
                (&strings(span)[..], &strings(event)[..]),
                "{query} {sealed}"
            );
            let more = format!("q={}", encode(query));
            let once = values(&bench, "span.once", &more).await;
            assert_eq!(once.is_empty(), query.contains("even"), "{query} {sealed}: {once:?}");
        }
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
