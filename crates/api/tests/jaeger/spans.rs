//! Searches for spans (api_v3).

use http::StatusCode;
use serde_json::{Value, json};

use crate::filter::names;
use crate::{Bench, NOW};

const SECOND: u64 = 1_000_000_000;
const ALL: &str = "query.startTimeMin=1970-01-01T00:00:00Z&query.startTimeMax=2030-01-01T00:00:00Z";

/// Spans of several traces that reach into one another, with the order that results come in. One
/// starts at 0, and some are days old.
async fn bench() -> (Bench, Vec<String>) {
    let bench = Bench::new();
    let mut order = Vec::new();
    for trace in 1..=5u64 {
        let mut spans = Vec::new();
        for id in 1..=8u64 {
            let age = match id {
                7 => 40 * 3_600 + trace,
                // The same start in all traces.
                8 => 30,
                _ => id * 7 + trace * 3,
            };
            let start = if (trace, id) == (3, 2) { 0 } else { NOW - age * SECOND };
            let name = format!("{trace}-{id}");
            spans.push(json!({
                "traceId": format!("{trace:032x}"),
                "spanId": format!("{id:016x}"),
                "name": name,
                "startTimeUnixNano": start.to_string(),
                "endTimeUnixNano": (start + SECOND).to_string(),
                "attributes": [{ "key": "odd", "value": { "boolValue": id % 2 == 1 } }],
            }));
            order.push((std::cmp::Reverse(start), trace, id, name));
        }
        bench.store(&json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] })).await;
    }
    order.sort();
    (bench, order.into_iter().map(|(_, _, _, name)| name).collect())
}

async fn pages(bench: &Bench, query: &str, size: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!(
            "/api/v3/spans?{query}&query.pagination.pageSize={size}\
             &query.pagination.pageToken={token}"
        );
        let page = bench.json(&path).await;
        let names = names(&page["spans"]);
        assert!(names.len() <= size, "{page}");
        found.extend(names);
        match page.get("nextPageToken").and_then(Value::as_str) {
            Some(next) => token = next.to_owned(),
            None => return found,
        }
    }
}

#[tokio::test]
async fn spans_come_newest_first_page_by_page() {
    let (bench, order) = bench().await;
    for size in [1, 3, 7, 40, 1000] {
        assert_eq!(pages(&bench, ALL, size).await, order, "{size}");
    }
    let odd = "%7B%22op%22%3A%22eq%22%2C%22args%22%3A%5B%7B%22attr%22%3A%7B%22key%22%3A%22odd%22\
               %7D%7D%2C%7B%22scalar%22%3A%7B%22value%22%3A%22true%22%7D%7D%5D%7D";
    let is_odd = |name: &&String| name.ends_with(['1', '3', '5', '7']);
    let expected: Vec<String> = order.iter().filter(is_odd).cloned().collect();
    assert_eq!(pages(&bench, &format!("{ALL}&query.filter={odd}"), 4).await, expected);
    // The first instant is in the range, 30 seconds ago; the last is not, 17 seconds ago.
    let range = "query.startTimeMin=2023-11-14T22:12:50Z&query.startTimeMax=2023-11-14T22:13:03Z";
    let is_in_range = |name: &&String| {
        let (trace, id) = name.split_once('-').expect("trace and span");
        let (trace, id): (u64, u64) = (trace.parse().unwrap(), id.parse().unwrap());
        let age = id * 7 + trace * 3;
        id == 8 || (id < 7 && age > 17 && age <= 30 && (trace, id) != (3, 2))
    };
    let expected: Vec<String> = order.iter().filter(is_in_range).cloned().collect();
    assert!(expected.len() > 5 && expected.len() < 30, "{expected:?}");
    assert_eq!(pages(&bench, range, 2).await, expected);
}

#[tokio::test]
async fn nothing_found_is_no_spans() {
    let bench = Bench::new();
    let found = bench.json(&format!("/api/v3/spans?{ALL}")).await;
    assert_eq!(found, json!({ "spans": { "resourceSpans": [] } }));
}

#[tokio::test]
async fn spans_are_as_they_were_sent() {
    let bench = Bench::filled().await;
    let found = bench.json(&format!("/api/v3/spans?{ALL}&query.pagination.pageSize=1")).await;
    let resource = &found["spans"]["resourceSpans"][0];
    assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "cart");
    assert_eq!(resource["scopeSpans"][0]["scope"]["name"], "cart.lib");
    let span = &resource["scopeSpans"][0]["spans"][0];
    assert_eq!((&span["name"], &span["kind"]), (&json!("load"), &json!(1)));
    assert_eq!(span["traceId"], format!("{:032x}", 0x20));
    assert!(span["startTimeUnixNano"].is_string());
}

#[tokio::test]
async fn a_search_for_spans_names_what_is_wrong() {
    let bench = Bench::new();
    for (query, said) in [
        ("", "query.startTimeMin and query.startTimeMax are required"),
        ("query.startTimeMin=x", "malformed parameter query.startTimeMin"),
        ("ALL&query.filter=x", "query.filter: expecting a JSON object"),
        ("ALL&query.pagination.pageSize=-1", "malformed parameter query.pagination.pageSize"),
        ("ALL&query.pagination.pageSize=1001", "it must be at most 1000"),
        ("ALL&query.pagination.pageToken=x", "query.pagination.pageToken: it is no token"),
        ("ALL&query.orderBy=duration", "no other order is served"),
        (
            "ALL&query.serviceName=a",
            "malformed parameter query.serviceName: there is no such field",
        ),
        ("ALL&query.searchDepth=5", "query.searchDepth: there is no such field"),
        ("ALL&query.pagination.size=5", "query.pagination.size: there is no such field"),
        ("ALL&query.Filter=", "query.Filter: there is no such field"),
        ("ALL&filter=", "malformed parameter filter: it is written query.filter"),
    ] {
        let path = format!("/api/v3/spans?{}", query.replace("ALL", ALL));
        let answer = bench.get(&path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {answer:?}");
        assert!(answer.text.contains(said), "{path}: {answer:?}");
    }
    let range = json!({ "startTimeMin": "2020-01-01T00:00:00Z",
                        "startTimeMax": "2030-01-01T00:00:00Z" });
    for (field, value, said) in [
        ("serviceName", json!("a"), "query.serviceName: there is no such field"),
        ("orderBy", json!([{ "direction": "asc" }]), "no other order is served"),
        ("pagination", json!({ "pageSize": -1 }), "query.pagination.pageSize"),
        ("pagination", json!({ "pageSize": 1, "size": 5 }), "query.pagination.size: there is no"),
        ("filter", json!(5), "query.filter: it is no object"),
    ] {
        let mut query = range.clone();
        query[field] = value;
        let answer = bench.post("/api/v3/spans", &json!({ "query": query }).to_string()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}: {answer:?}");
        assert!(answer.text.contains(said), "{field}: {answer:?}");
    }
    for (field, value) in [
        ("order_by", json!([])),
        ("pagination", json!({})),
        ("pagination", json!({ "pageSize": 0, "pageToken": null })),
    ] {
        let mut query = range.clone();
        query[field] = value;
        let answer = bench.post("/api/v3/spans", &json!({ "query": query }).to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
}
