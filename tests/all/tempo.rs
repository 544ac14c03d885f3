//! Tempo's query API of the binary, asked as Grafana's Tempo data source and its app Traces
//! Drilldown ask it.

mod refusals;
mod strict;

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use serde_json::{Value, json};

use crate::http::{self, Answer, encode};
use crate::otlp::{Small, now, one_span, request};
use crate::process::run;
use crate::server::Server;
use strict::{are_attributes, are_metrics, has_only, is_a_search, is_text_of_digits};

const SECOND: u64 = 1_000_000_000;

fn get(server: &Server, path: &str, accept: &str) -> Answer {
    let url = format!("http://{}{path}", server.at.tempo);
    http::request("GET", &url, &[("accept", accept)], None)
}

fn json(server: &Server, path: &str) -> Value {
    let answer = get(server, path, "*/*").ok();
    assert_eq!(answer.header("content-type"), "application/json", "{path}");
    answer.json()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn texts(value: &Value) -> BTreeSet<&str> {
    list(value).iter().map(|text| text.as_str().expect("a text")).collect()
}

/// A server with load and the sample trace, and that trace's id.
fn loaded() -> (Server, String) {
    let server = Server::start();
    let mut load = server.client(&["loadgen", "--spans", "1500", "--seed", "3"]);
    assert_eq!(run(&mut load, b"").code, Some(0));
    let sample = http::request("POST", &format!("{}/api/v1/sample", server.url()), &[], Some(b""));
    let id = sample.ok().json()["trace_id"].as_str().expect("an id").to_owned();
    (server, id)
}

/// The last hour as the data source writes it.
fn last_hour() -> String {
    let end = now() / SECOND + 60;
    format!("&start={}&end={end}", end - 3600)
}

fn search(server: &Server, query: &str, more: &str) -> Value {
    let answer = json(server, &format!("/api/search?q={}{more}", encode(query)));
    is_a_search(&answer);
    answer
}

fn range(server: &Server, query: &str, more: &str) -> Value {
    let answer = json(server, &format!("/api/metrics/query_range?q={}{more}", encode(query)));
    has_only(&answer, &["series", "metrics"]);
    are_metrics(&answer["metrics"]);
    for series in list(&answer["series"]) {
        has_only(series, &["labels", "samples", "exemplars"]);
        are_attributes(&series["labels"]);
        for sample in list(&series["samples"]) {
            has_only(sample, &["timestampMs", "value"]);
            is_text_of_digits(&sample["timestampMs"]);
            assert!(sample["value"].is_number(), "{sample}");
        }
        for exemplar in series["exemplars"].as_array().into_iter().flatten() {
            has_only(exemplar, &["labels", "value", "timestampMs"]);
            assert_eq!(exemplar["labels"][0]["key"], "trace:id");
            assert!(exemplar["value"].is_number(), "{exemplar}");
        }
    }
    answer
}

/// The sum of all values of all series.
fn total(answer: &Value) -> f64 {
    let samples = list(&answer["series"]).iter().flat_map(|series| list(&series["samples"]));
    samples.filter_map(|sample| sample["value"].as_f64()).sum()
}

#[test]
fn the_data_source_is_healthy_and_knows_the_version() {
    let server = Server::start();
    let echo = get(&server, "/api/echo", "*/*").ok();
    assert_eq!((echo.text().as_str(), get(&server, "/ready", "*/*").status), ("echo", 200));
    let info = json(&server, "/api/status/buildinfo");
    let names = ["version", "revision", "branch", "buildDate", "buildUser", "goVersion"];
    has_only(&info, &names);
    assert!(info["version"].as_str().is_some_and(|version| version >= "2.8"), "{info}");
}

#[test]
fn a_trace_in_every_form() {
    let (server, id) = loaded();
    let spans = |trace: &TracesData| -> usize {
        let scopes = trace.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    };
    // As the data source asks first.
    let path = format!("/api/v2/traces/{id}?{}", &last_hour()[1..]);
    let answer = get(&server, &path, "application/protobuf").ok();
    assert_eq!(answer.header("content-type"), "application/protobuf");
    #[derive(Clone, PartialEq, Message)]
    struct TraceById {
        #[prost(message, optional, tag = "1")]
        trace: Option<TracesData>,
        #[prost(message, optional, tag = "2")]
        metrics: Option<Empty>,
        #[prost(int32, tag = "3")]
        status: i32,
        #[prost(string, tag = "4")]
        message: String,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Empty {}
    let v2 = TraceById::decode(answer.body.as_slice()).expect("a TraceByIDResponse");
    let trace = v2.trace.expect("a trace");
    let count = spans(&trace);
    assert!(count > 5 && v2.status == 0 && v2.message.is_empty());

    let old = get(&server, &format!("/api/traces/{id}"), "application/protobuf").ok();
    assert_eq!(TracesData::decode(old.body.as_slice()).expect("a trace"), trace);
    let old = json(&server, &format!("/api/traces/{id}"));
    has_only(&old, &["batches"]);
    let new = json(&server, &format!("/api/v2/traces/{id}"));
    has_only(&new, &["trace", "metrics"]);
    assert_eq!(new["trace"]["resourceSpans"], old["batches"]);
    let span = &old["batches"][0]["scopeSpans"][0]["spans"][0];
    // Protobuf's JSON: base64 and names, where OTLP's has hexadecimal and numbers.
    assert_eq!(span["traceId"].as_str().map(str::len), Some(24), "{span}");
    assert!(span["kind"].as_str().is_some_and(|kind| kind.starts_with("SPAN_KIND_")), "{span}");

    // Leading zeros may be left out.
    server.export(&one_span(0x1f)).ok();
    assert_eq!(list(&json(&server, "/api/traces/1f")["batches"]).len(), 1);
    // One that is not there: empty, and for old clients not found.
    let unknown = "/api/v2/traces/00000000000000000000000000abcdef";
    assert_eq!(json(&server, unknown), json!({ "trace": {}, "metrics": {} }));
    let answer = get(&server, unknown, "application/protobuf").ok();
    let empty = TraceById::decode(answer.body.as_slice()).expect("a TraceByIDResponse");
    assert_eq!(empty.trace.map(|trace| spans(&trace)), Some(0));
    let missing = get(&server, "/api/traces/abcdef", "*/*");
    assert_eq!((missing.status, missing.text().as_str()), (404, "trace not found"));
}

#[test]
fn a_search_is_newest_first_page_by_page() {
    let (server, _) = loaded();
    let query = "{ kind = server } | select(resource.service.name, .http.response.status_code)";
    let all = search(&server, query, "&limit=1000&spss=2");
    let traces = list(&all["traces"]);
    assert!(traces.len() > 20, "{} traces", traces.len());
    let starts: Vec<u64> = traces
        .iter()
        .filter_map(|trace| trace["startTimeUnixNano"].as_str()?.parse().ok())
        .collect();
    assert!(starts.is_sorted_by(|one, other| one >= other), "{starts:?}");
    let span = &traces[0]["spanSets"][0]["spans"][0];
    let keys: BTreeSet<_> = list(&span["attributes"])
        .iter()
        .filter_map(|attribute| attribute["key"].as_str())
        .collect();
    assert!(keys.contains("service.name"), "keys are without their scope: {span}");

    let mut path = format!("/api/search?q={}&limit=15&spss=2", encode(query));
    let first = path.clone();
    let mut paged = Vec::new();
    loop {
        let answer = get(&server, &path, "*/*").ok();
        paged.extend(list(&answer.json()["traces"]).iter().cloned());
        let cursor = answer.header("spanfall-next-cursor").to_owned();
        if cursor.is_empty() {
            break;
        }
        path = format!("{first}&cursor={}", encode(&cursor));
    }
    assert_eq!(paged, traces);
    // 20 traces, 3 spans of each, if nobody says.
    assert_eq!(list(&search(&server, "{}", "")["traces"]).len(), 20);
    let none = search(&server, "{}", "&start=100&end=200");
    assert_eq!(none["traces"], json!([]));
}

#[test]
fn a_search_by_tags_from_before_traceql() {
    let server = Server::start();
    for (id, name) in [(1, "fast"), (2, "slow one")] {
        let duration_nano = id as u64 * 40_000_000;
        let start = now() - SECOND;
        let name = name.to_owned();
        let span = Small { trace_id: id, span_id: 1, parent_id: 0, name, start, duration_nano };
        server.export(&request("shop", &[span])).ok();
    }
    for (query, names) in [
        ("tags=service.name%3Dshop", &["fast", "slow one"][..]),
        (&format!("tags={}", encode("service.name=shop name=\"slow one\"")), &["slow one"]),
        ("tags=&minDuration=50ms", &["slow one"]),
        ("maxDuration=50ms", &["fast"]),
        ("tags=service.name%3Dother", &[]),
    ] {
        let answer = json(&server, &format!("/api/search?{query}"));
        is_a_search(&answer);
        let found =
            list(&answer["traces"]).iter().filter_map(|trace| trace["rootTraceName"].as_str());
        let names = names.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(found.collect::<BTreeSet<_>>(), names, "{query}");
    }
}

#[test]
fn a_root_that_is_missing_is_said_so() {
    let server = Server::start();
    let span = Small {
        trace_id: 7,
        span_id: 2,
        parent_id: 1,
        name: "child".to_owned(),
        start: now(),
        duration_nano: 5_000_000,
    };
    server.export(&request("shop", &[span])).ok();
    let found = search(&server, "{}", "");
    assert_eq!(found["traces"][0]["rootServiceName"], "<root span not yet received>");
    assert!(found["traces"][0]["rootTraceName"].as_str().is_none_or(str::is_empty));
}

#[test]
fn names_and_values_for_the_query_editor() {
    let (server, _) = loaded();
    let names = json(&server, "/api/search/tags");
    assert!(texts(&names["tagNames"]).is_superset(&BTreeSet::from(["service.name", "http.route"])));
    let scoped = json(&server, "/api/v2/search/tags?limit=5000&maxStaleValues=5");
    has_only(&scoped, &["scopes", "metrics"]);
    let scope = |answer: &Value, name: &str| -> BTreeSet<String> {
        let scope = list(&answer["scopes"]).iter().find(|scope| scope["name"] == name);
        let tags =
            scope.map(|scope| texts(&scope["tags"]).into_iter().map(str::to_owned).collect());
        tags.unwrap_or_default()
    };
    assert!(scope(&scoped, "resource").contains("service.name"));
    assert!(scope(&scoped, "span").contains("http.route"));
    assert!(
        scope(&scoped, "intrinsic")
            .is_superset(&BTreeSet::from(["name", "duration"].map(str::to_owned)))
    );
    let only = json(&server, "/api/v2/search/tags?scope=span&limit=2");
    assert_eq!((list(&only["scopes"]).len(), scope(&only, "span").len()), (1, 2));
    let filter = encode("{ .messaging.system != nil && }");
    let filtered = json(&server, &format!("/api/v2/search/tags?scope=span&q={filter}"));
    let (some, all) = (scope(&filtered, "span"), scope(&scoped, "span"));
    assert!(some.contains("messaging.system") && some.is_subset(&all) && some.len() < all.len());

    let values = |ident: &str, more: &str| {
        // The data source encodes a name before it makes a URL of it.
        let ident = encode(&encode(ident));
        let answer = json(&server, &format!("/api/v2/search/tag/{ident}/values?limit=5000{more}"));
        has_only(&answer, &["tagValues", "metrics"]);
        let value = |value: &Value| {
            has_only(value, &["type", "value"]);
            (
                value["type"].as_str().expect("a type").to_owned(),
                value["value"].as_str().expect("a value").to_owned(),
            )
        };
        list(&answer["tagValues"]).iter().map(value).collect::<BTreeSet<(String, String)>>()
    };
    let pair = |kind: &str, value: &str| (kind.to_owned(), value.to_owned());
    assert!(values("resource.service.name", "").contains(&pair("string", "frontend")));
    assert!(values(".service.name", "").contains(&pair("string", "frontend")));
    assert!(values("span.http.response.status_code", "").contains(&pair("int", "200")));
    assert_eq!(values("span.\"no such\"", ""), BTreeSet::new());
    let keywords = |names: &[&str]| names.iter().map(|name| pair("keyword", name)).collect();
    assert_eq!(values("status", ""), keywords(&["ok", "error", "unset"]));
    assert_eq!(values("span:kind", "").len(), 6);
    assert_eq!(values("duration", ""), BTreeSet::new());
    assert!(values("name", "").contains(&pair("string", "POST /checkout")));
    assert!(values("rootServiceName", "").len() < values("resource.service.name", "").len());
    // Half a query counts for what is whole of it.
    let filter =
        format!("&q={}", encode("{ name = \"POST /checkout\" && resource.service.name = }"));
    assert_eq!(values("resource.service.name", &filter), [pair("string", "frontend")].into());
    // Of events, and of those alone that spans of a query or of a time have.
    let failed = encode("{ status = error }");
    let events = json(&server, &format!("/api/v2/search/tags?scope=event&q={failed}"));
    assert!(scope(&events, "event").contains("exception.message"), "{events}");
    assert!(!values("event.exception.message", &format!("&q={failed}")).is_empty());
    let long_ago = "&start=100&end=200";
    let names = json(&server, &format!("/api/v2/search/tags?limit=10{long_ago}"));
    assert_eq!(list(&names["scopes"]).len(), 1, "intrinsics alone: {names}");
    for name in ["name", "resource.service.name", ".http.route"] {
        assert_eq!(values(name, long_ago), BTreeSet::new(), "{name}");
        assert_eq!(values(name, &last_hour()), values(name, ""), "{name}");
    }
    let old = json(&server, "/api/search/tag/service.name/values");
    assert!(texts(&old["tagValues"]).contains("frontend"));
}

#[test]
fn series_and_values() {
    let (server, _) = loaded();
    let query = "{} | count_over_time() by(resource.service.name)";
    let counted = range(&server, query, &format!("&step=60{}&exemplars=10", last_hour()));
    let all = server.json("/status")["span_count"].as_f64().expect("a count");
    assert_eq!(total(&counted), all, "every span is counted once");
    assert!(list(&counted["series"]).iter().any(|series| series["exemplars"].is_array()));
    let sample = &counted["series"][0]["samples"][0]["timestampMs"];
    let time: u64 = sample.as_str().and_then(|time| time.parse().ok()).expect("a time");
    assert_eq!(time % 60_000, 0, "intervals end on multiples of their length");
    // Steps and times in the other forms that clients write.
    let nanos = format!("&start={}&end={}", now() - 3600 * SECOND, now() + 60 * SECOND);
    for more in
        [format!("&step=1m{nanos}"), format!("&step=0.5{}", &last_hour()), "&since=30m".to_owned()]
    {
        range(&server, "{} | rate()", &more);
    }
    assert!(list(&range(&server, &format!("{query} | topk(1)"), "")["series"]).len() < 10);

    let instant = |query: &str| {
        let path = format!("/api/metrics/query?q={}{}", encode(query), last_hour());
        let answer = json(&server, &path);
        has_only(&answer, &["series", "metrics"]);
        for series in list(&answer["series"]) {
            has_only(series, &["labels", "value"]);
        }
        answer
    };
    let value = |query: &str| instant(query)["series"][0]["value"].as_f64().expect("a number");
    assert_eq!(value("{} | count_over_time()"), all);
    let errors = value("{ status = error } | count_over_time()");
    let share = value("100 * ({ status = error } | rate()) / ({} | rate())");
    assert!((share - 100.0 * errors / all).abs() < 1e-9, "{share} {errors} {all}");
    assert_eq!(instant("{ .no = `such` } | rate()")["series"], json!([]));
}

#[test]
fn what_traces_drilldown_asks() {
    let (server, _) = loaded();
    let hour = last_hour();
    for query in [
        "{nestedSetParent<0 && true} | rate()",
        "{nestedSetParent<0 && true && status=error} | rate() by(resource.service.name) with(exemplars=true)",
        "{nestedSetParent<0 && resource.service.name != nil} | rate() by(resource.service.name)",
        "{nestedSetParent<0} | quantile_over_time(duration, 0.9) by(resource.service.name)",
        "{nestedSetParent<0} | histogram_over_time(duration) with(sample=true)",
    ] {
        assert!(total(&range(&server, query, &format!("&step=30s{hour}"))) > 0.0, "{query}");
    }
    let compare = "{nestedSetParent<0 && true} | compare({status = error}, 10)";
    let compared = range(&server, compare, &format!("&step=3600s{hour}"));
    let types: BTreeSet<&str> = list(&compared["series"])
        .iter()
        .filter_map(|series| {
            let mut labels = list(&series["labels"]).iter();
            labels.find(|label| label["key"] == "__meta_type")?["value"]["stringValue"].as_str()
        })
        .collect();
    assert!(types.contains("baseline") && types.contains("baseline_total"), "{types:?}");

    let structure = "({nestedSetParent<0 && true} &>> { kind = client }) || ({nestedSetParent<0 && true}) \
        | select(status, resource.service.name, name, nestedSetParent, nestedSetLeft, nestedSetRight)";
    let found = search(&server, structure, &format!("&limit=200&spss=20{hour}"));
    let span = &found["traces"][0]["spanSets"][0]["spans"][0];
    let attribute = |key: &str| {
        let attributes = list(&span["attributes"]).iter();
        attributes
            .filter(|attribute| attribute["key"] == key)
            .map(|attribute| attribute["value"].clone())
            .next()
    };
    assert_eq!(attribute("nestedSetParent"), Some(json!({ "intValue": "-1" })), "{span}");
    assert_eq!(attribute("nestedSetLeft"), Some(json!({ "intValue": "1" })), "{span}");
    let exceptions = "{nestedSetParent<0 && status = error} \
        | select(resource.service.name, event.exception.message, event.exception.stacktrace, event.exception.type) with(most_recent=true)";
    search(&server, exceptions, &format!("&limit=400{hour}"));
}
