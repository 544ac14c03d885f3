//! Structured filters of api_v3, asked for spans and for traces.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{Bench, MS, NOW};

const RANGE: &str =
    "query.startTimeMin=2020-01-01T00:00:00Z&query.startTimeMax=2030-01-01T00:00:00Z";

fn call(op: &str, args: &[Value]) -> Value {
    json!({ "op": op, "args": args })
}

/// A call as an argument.
fn sub(op: &str, args: &[Value]) -> Value {
    json!({ "call": call(op, args) })
}

fn attr(key: &str) -> Value {
    json!({ "attr": { "key": key } })
}

fn attr_of(level: &str, key: &str) -> Value {
    json!({ "attr": { "key": key, "level": level } })
}

fn field(level: &str, name: &str) -> Value {
    json!({ "field": { "name": name, "level": level } })
}

fn is(value: &str) -> Value {
    json!({ "scalar": { "value": value } })
}

fn typed(value: &str, of: &str) -> Value {
    json!({ "scalar": { "value": value, "type": of } })
}

fn list(values: &[&str]) -> Value {
    json!({ "list": { "values": values } })
}

fn nested(level: &str) -> Value {
    json!({ "nested": { "level": level } })
}

/// Spans `a` of service `web`, `b` and its child `c` of service `cart`.
async fn bench() -> Bench {
    let bench = Bench::new();
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let span = |trace: &str, id: u64, name: &str, age_ms: u64, fields: Value| {
        let start = NOW - age_ms * MS;
        let mut span = json!({
            "traceId": format!("{trace:0>32}"),
            "spanId": format!("{id:016x}"),
            "name": name,
            "startTimeUnixNano": start.to_string(),
            "endTimeUnixNano": (start + 80 * MS).to_string(),
        });
        span.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        span
    };
    let a = span(
        "10",
        1,
        "a",
        2000,
        json!({
            "kind": 2,
            "traceState": "v=1",
            "status": { "code": 2, "message": "no stock left" },
            "attributes": [
                { "key": "n", "value": { "intValue": "500" } },
                { "key": "d", "value": { "doubleValue": 1.5 } },
                { "key": "t", "value": { "boolValue": true } },
                { "key": "many",
                  "value": { "arrayValue": { "values": [{ "stringValue": "x" }] } } },
                text("s", "The quick, brown fox"),
                text("empty", ""),
                text("host", "other"),
                text("took", "90ms"),
            ],
            "events": [
                { "name": "exception", "timeUnixNano": (NOW - 1990 * MS).to_string(),
                  "attributes": [text("type", "Timeout")] },
                { "name": "retry", "timeUnixNano": (NOW - 1950 * MS).to_string(),
                  "attributes": [text("type", "Other")] },
            ],
            "links": [{ "traceId": format!("{:0>32}", "99"), "spanId": format!("{:0>16}", "ab") }],
        }),
    );
    let b = span(
        "20",
        1,
        "b",
        1000,
        json!({
            "kind": 3,
            "attributes": [text("n", "500"), text("s", "brown quick")],
        }),
    );
    let c = span("20", 2, "c", 990, json!({ "kind": 9, "parentSpanId": format!("{:016x}", 1) }));
    let resource = |service: &str, spans: Vec<Value>| {
        json!({
            "resource": { "attributes": [text("service.name", service), text("host", "h1")] },
            "scopeSpans": [{ "scope": { "name": format!("{service}.lib") }, "spans": spans }],
        })
    };
    bench.store(&json!({ "resourceSpans": [resource("web", vec![a])] })).await;
    bench.store(&json!({ "resourceSpans": [resource("cart", vec![b, c])] })).await;
    bench
}

/// The names of the spans of an answer, in order.
pub(crate) fn names(spans: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for resource in spans["resourceSpans"].as_array().into_iter().flatten() {
        for scope in resource["scopeSpans"].as_array().expect("scopes") {
            for span in scope["spans"].as_array().expect("spans") {
                names.push(span["name"].as_str().expect("a name").to_owned());
            }
        }
    }
    names
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn filters_find_spans_and_their_traces() {
    let bench = bench().await;
    let timeout = sub("eq", &[attr_of("event", "type"), is("Timeout")]);
    let exception = sub("eq", &[field("event", "name"), is("exception")]);
    let retry = sub("eq", &[field("event", "name"), is("retry")]);
    let table: Vec<(Value, &[&str])> = vec![
        // A constant without a type is read as whatever it meets; one with a type meets no other.
        (call("eq", &[attr("n"), is("500")]), &["b", "a"]),
        (call("eq", &[is("500"), attr("n")]), &["b", "a"]),
        (call("eq", &[attr("n"), typed("500", "int")]), &["a"]),
        (call("eq", &[attr("n"), typed("500", "string")]), &["b"]),
        (call("eq", &[attr("n"), typed("500", "double")]), &[]),
        (call("gt", &[attr("d"), is("1")]), &["a"]),
        (call("lt", &[is("1.4"), attr("d")]), &["a"]),
        (call("gte", &[attr("d"), typed("1.5", "double")]), &["a"]),
        (call("lt", &[attr("d"), is("1.5")]), &[]),
        (call("eq", &[attr("t"), is("true")]), &["a"]),
        (call("eq", &[attr("t"), typed("true", "bool")]), &["a"]),
        (call("eq", &[attr("many"), is("x")]), &[]),
        // What is missing is neither equal nor different; `not` turns that.
        (call("ne", &[attr("n"), is("1")]), &["b", "a"]),
        (call("ne", &[attr("n"), is("500")]), &[]),
        (call("not", &[sub("eq", &[attr("n"), is("1")])]), &["c", "b", "a"]),
        (call("not", &[sub("exists", &[attr("n")])]), &["c"]),
        (call("exists", &[attr("empty")]), &["a"]),
        (call("exists", &[attr("many")]), &["a"]),
        (call("in", &[attr("n"), list(&["1", "500"])]), &["b", "a"]),
        (call("not_in", &[attr("n"), list(&["1", "2"])]), &["b", "a"]),
        // Levels: the span or its resource when none is named, and all of several values.
        (call("eq", &[attr("host"), is("h1")]), &["c", "b", "a"]),
        (call("ne", &[attr("host"), is("h1")]), &[]),
        (call("eq", &[attr_of("span", "host"), is("h1")]), &[]),
        (call("eq", &[attr_of("resource", "host"), is("h1")]), &["c", "b", "a"]),
        (call("eq", &[attr("type"), is("Timeout")]), &[]),
        (call("eq", &[field("resource", "service"), is("cart")]), &["c", "b"]),
        (call("eq", &[field("scope", "name"), is("web.lib")]), &["a"]),
        // Fields.
        (call("eq", &[field("span", "name"), is("b")]), &["b"]),
        (call("gt", &[field("span", "name"), is("a")]), &["c", "b"]),
        (call("eq", &[field("span", "kind"), is("client")]), &["b"]),
        (call("ne", &[field("span", "kind"), is("client")]), &["c", "a"]),
        (call("in", &[field("span", "kind"), list(&["client", "server"])]), &["b", "a"]),
        (call("eq", &[field("span", "status"), is("error")]), &["a"]),
        (call("eq", &[field("span", "status"), is("unset")]), &["c", "b"]),
        (call("exists", &[field("span", "statusMessage")]), &["a"]),
        (call("exists", &[field("span", "parentSpanID")]), &["c"]),
        (call("exists", &[field("span", "traceState")]), &["a"]),
        (call("eq", &[field("span", "traceState"), is("v=1")]), &["a"]),
        (call("eq", &[field("span", "traceID"), is("20")]), &["c", "b"]),
        (call("eq", &[field("span", "parentSpanID"), is("1")]), &["c"]),
        (call("gte", &[field("span", "duration"), is("80ms")]), &["c", "b", "a"]),
        (call("gt", &[field("span", "duration"), is("0.08s")]), &[]),
        (call("lt", &[field("span", "startTime"), is("2023-11-14T22:13:19Z")]), &["a"]),
        (call("gt", &[field("span", "endTime"), field("span", "startTime")]), &["c", "b", "a"]),
        (call("gt", &[attr("took"), field("span", "duration")]), &["a"]),
        (call("eq", &[field("event", "timeSinceStart"), is("10ms")]), &["a"]),
        (call("exists", &[field("event", "name")]), &["a"]),
        (call("eq", &[field("link", "traceID"), is("99")]), &["a"]),
        (call("eq", &[field("link", "spanID"), is("AB")]), &["a"]),
        // One event that has both, or two that have one each.
        (call("and", &[retry.clone(), timeout.clone()]), &["a"]),
        (call("some", &[nested("event"), sub("and", &[retry.clone(), timeout.clone()])]), &[]),
        (call("some", &[nested("event"), sub("and", &[exception.clone(), timeout])]), &["a"]),
        (call("some", &[nested("event"), sub("not", &[exception])]), &["a"]),
        (call("some", &[nested("link"), retry.clone()]), &["a"]),
        (call("or", &[retry, sub("eq", &[field("span", "name"), is("c")])]), &["c", "a"]),
        // Texts.
        (call("regex", &[attr("s"), is("qu[a-z]+k")]), &["b", "a"]),
        (call("regex", &[attr("s"), is("THE")]), &[]),
        (call("regex", &[attr("n"), is("5")]), &["b"]),
        (call("regex", &[field("span", "statusMessage"), is("st.ck")]), &["a"]),
        (call("fulltext", &[attr("s"), list(&["BROWN", "quick"])]), &["b", "a"]),
        (call("phrase", &[attr("s"), list(&["quick", "brown"])]), &["a"]),
        (call("phrase", &[attr("s"), list(&["quic", "brown"])]), &[]),
    ];
    for (filter, expected) in table {
        let query = format!("{RANGE}&query.filter={}", escaped(&filter.to_string()));
        let found = bench.json(&format!("/api/v3/spans?{query}")).await;
        assert_eq!(names(&found["spans"]), expected, "{filter}");
        let body = json!({ "query": { "startTimeMin": "2020-01-01T00:00:00Z",
            "start_time_max": "2030-01-01T00:00:00Z", "filter": filter } });
        let posted = bench.post("/api/v3/spans", &body.to_string()).await.json();
        assert_eq!(posted, found, "{filter}");

        let mut traces: Vec<&str> =
            expected.iter().map(|name| if *name == "a" { "10" } else { "20" }).collect();
        traces.dedup();
        let found = bench.json(&format!("/api/v3/trace-summaries?{query}")).await;
        let rows = found["summaries"].as_array().unwrap().iter();
        let ids: Vec<&str> =
            rows.map(|row| row["traceId"].as_str().unwrap().trim_start_matches('0')).collect();
        assert_eq!(ids, traces, "{filter}");
    }
}

#[tokio::test]
async fn a_filter_says_which_part_of_it_is_wrong() {
    let bench = Bench::new();
    let deep = |depth: usize| {
        let leaf = call("exists", &[attr("k")]);
        (1..depth).fold(leaf, |inner, _| json!({ "op": "not", "args": [{ "call": inner }] }))
    };
    let many: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (k, name) = (attr("k"), field("span", "name"));
    let table: Vec<(Value, &str)> = vec![
        (json!([]), "query.filter: it is no object"),
        (json!({}), "query.filter.op: \"\" is no operator; known are and, or, not"),
        (json!({ "op": 5 }), "query.filter.op: 5 is no text"),
        (json!({ "op": "eq", "arg": [] }), "query.filter.arg: there is no such field"),
        (json!({ "op": "eq", "args": {} }), "query.filter.args: it is no list"),
        (call("eq", &[]), "query.filter: eq takes two arguments, not 0"),
        (
            call("and", &[sub("exists", std::slice::from_ref(&k))]),
            "and takes two arguments or more, not 1",
        ),
        (call("not", std::slice::from_ref(&k)), "query.filter.args[0]: expecting a call"),
        (call("not", &[json!({})]), "query.filter.args[0]: expecting one of attr, field"),
        (
            call("not", &[sub("xor", &[k.clone(), k.clone()])]),
            "query.filter.args[0].call.op: \"xor\" is no operator",
        ),
        (call("eq", &[is("1"), is("1")]), "args[0]: expecting an attribute or a field on one"),
        (call("eq", &[attr(""), is("1")]), "args[0]: an attribute has a key"),
        (call("eq", &[attr_of("trace", "k"), is("1")]), "\"trace\" is no level; known are span"),
        (call("eq", &[field("", "name"), is("1")]), "args[0]: \"\" is no level"),
        (
            call("eq", &[field("link", "name"), is("1")]),
            "\"name\" is no field of link; known are traceID, spanID, traceState",
        ),
        (call("eq", &[k.clone(), typed("x", "int")]), "args[1]: \"x\" is no int"),
        (call("eq", &[k.clone(), typed("x", "text")]), "\"text\" is no type; known are string"),
        (call("eq", &[field("span", "duration"), is("5")]), "args[1]: \"5\" is not a duration"),
        (call("eq", &[field("span", "startTime"), is("5")]), "args[1]: \"5\" is not a time"),
        (
            call("eq", &[field("span", "kind"), is("SERVER")]),
            "\"SERVER\" is no span kind; known are unspecified, internal",
        ),
        (call("eq", &[field("span", "status"), is("bad")]), "\"bad\" is no status"),
        (call("eq", &[name.clone(), typed("1", "int")]), "span.name is a text, not a int"),
        (call("gt", &[field("span", "kind"), is("server")]), "have no order"),
        (call("gt", &[k.clone(), typed("true", "bool")]), "have no order"),
        (
            call("eq", &[field("span", "duration"), name.clone()]),
            "args[1]: a text does not compare with a duration",
        ),
        (call("exists", &[is("1")]), "args[0]: expecting an attribute or a field"),
        (call("in", &[k.clone(), list(&[])]), "args[1]: the list is empty"),
        (call("in", &[k.clone(), is("1")]), "args[1]: expecting a list"),
        (call("in", &[k.clone(), list(&many)]), "it has more than 2000 parts"),
        (
            call("some", &[nested("span"), sub("exists", std::slice::from_ref(&k))]),
            "nested event or link",
        ),
        (call("or", &vec![sub("regex", &[k.clone(), is("a")]); 101]), "more than 100 patterns"),
        (call("regex", &[k.clone(), k.clone()]), "args[1]: expecting a scalar"),
        (call("regex", &[k.clone(), is("(")]), "args[1]: "),
        (call("regex", &[k.clone(), is("a)|(b")]), "a group is closed that was not opened"),
        (call("regex", &[k.clone(), is("^a")]), "anchors are not allowed"),
        (call("regex", &[k.clone(), is("a\\b")]), "word boundaries are not allowed"),
        (call("regex", &[k.clone(), is("a+?")]), "lazy repetitions are not allowed"),
        (call("regex", &[k.clone(), is("(?i)a")]), "flags are not allowed"),
        (call("regex", &[field("span", "duration"), is("a")]), "not a duration"),
        (call("phrase", &[name, list(&["a"])]), "args[0]: expecting an attribute"),
        (call("phrase", &[k, list(&["a b"])]), "\"a b\" is not one word"),
        (deep(21), "calls nest more than 20 deep"),
    ];
    for (filter, said) in table {
        let body = json!({ "query": { "startTimeMin": "2020-01-01T00:00:00Z",
            "startTimeMax": "2030-01-01T00:00:00Z", "filter": filter } });
        for path in ["/api/v3/spans", "/api/v3/traces"] {
            let answer = bench.post(path, &body.to_string()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{filter}: {answer:?}");
            let error: Value = serde_json::from_str(&answer.text).expect("JSON");
            let message = error["error"]["message"].as_str().expect("a message");
            assert!(message.contains(said), "{filter}: {message}");
        }
    }
    let body = json!({ "query": { "startTimeMin": "2020-01-01T00:00:00Z",
        "startTimeMax": "2030-01-01T00:00:00Z", "filter": deep(20) } });
    assert_eq!(bench.post("/api/v3/spans", &body.to_string()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_filter_stands_alone() {
    let bench = Bench::new();
    let filter = escaped(&call("exists", &[attr("k")]).to_string());
    for (given, said) in [
        ("query.serviceName=a", "it excludes query.serviceName"),
        ("query.operationName=a", "it excludes query.operationName"),
        ("query.attributes=%7B%22a%22%3A%221%22%7D", "it excludes query.attributes"),
        ("query.durationMin=1s", "it excludes query.durationMin"),
        ("query.duration_max=1s", "it excludes query.durationMax"),
    ] {
        let path = format!("/api/v3/trace-summaries?{RANGE}&query.filter={filter}&{given}");
        let answer = bench.get(&path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{given}: {answer:?}");
        assert!(answer.text.contains(said), "{given}: {answer:?}");
    }
    let path = format!("/api/v3/trace-summaries?{RANGE}&query.filter={filter}&query.searchDepth=1");
    assert_eq!(bench.get(&path).await.status, StatusCode::OK);
}
