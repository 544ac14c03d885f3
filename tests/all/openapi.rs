//! `openapi.json` held against the server: every path, rightly and wrongly asked.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::http::{self, Answer, encode};
use crate::otlp::{Small, now, request};
use crate::process::run;
use crate::server::Server;
use crate::tools;

fn document() -> Value {
    let path = tools::repository().join("crates/api/openapi.json");
    let text = std::fs::read_to_string(path).expect("openapi.json");
    serde_json::from_str(&text).expect("JSON")
}

/// Asserts that the document describes this answer to an operation.
fn is_documented(document: &Value, path: &str, method: &str, answer: &Answer, asked: &str) {
    let responses = &document["paths"][path][method]["responses"];
    let mut response = &responses[answer.status.to_string()];
    assert!(!response.is_null(), "{asked}: {} is not documented: {}", answer.status, answer.text());
    if let Some(reference) = response["$ref"].as_str() {
        response = document.pointer(reference.trim_start_matches('#')).expect("a component");
    }
    let kind = answer.header("content-type").split(';').next().unwrap_or_default();
    let schema = &response["content"][kind]["schema"];
    assert!(!schema.is_null(), "{asked}: {kind} is not documented for {}", answer.status);
    let bodies = match kind {
        "application/json" => vec![answer.json()],
        "application/x-ndjson" => {
            let text = answer.text();
            assert!(text.ends_with('\n'), "{asked}: {text}");
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
        }
        _ => return,
    };
    let schema = json!({ "allOf": [schema], "components": document["components"] });
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for body in bodies {
        let errors = validator.iter_errors(&body).map(|error| error.to_string());
        let errors: Vec<String> = errors.collect();
        assert!(errors.is_empty(), "{asked}: {errors:#?} in {body}");
    }
}

/// A server with load and a sample, and the sample's trace id.
fn loaded() -> (Server, String) {
    let server = Server::start();
    let mut load = server.client(&["loadgen", "--spans", "1500", "--seed", "3"]);
    assert_eq!(run(&mut load, b"").code, Some(0));
    let sample = http::request("POST", &format!("{}/api/v1/sample", server.url()), &[], Some(b""));
    is_documented(&document(), "/sample", "post", &sample, "POST /sample");
    let id = sample.ok().json()["trace_id"].as_str().expect("an id").to_owned();
    (server, id)
}

/// Parameters of a filter, right ones.
fn right_filters() -> Vec<String> {
    let past = now() - 3_600_000_000_000;
    [
        "service=frontend".to_owned(),
        "operation=no+such+operation".to_owned(),
        format!("attribute={}", encode("http.request.method=GET")),
        format!(
            "attribute={}&attribute={}",
            encode("span.http.route=/cart"),
            encode("resource.a=b=c")
        ),
        "status=error".to_owned(),
        "status=ok&min_duration=1ms".to_owned(),
        "min_duration=1.5us&max_duration=2h".to_owned(),
        format!("start={past}"),
        "start=-1h&end=2099-01-01T00%3A00%3A00Z".to_owned(),
        String::new(),
    ]
    .to_vec()
}

/// Wrong ones, and the parameter at fault.
const WRONG_FILTERS: [(&str, &str); 13] = [
    ("status=bad", "status"),
    ("min_duration=5", "min_duration"),
    ("min_duration=-5ms", "min_duration"),
    ("max_duration=soon", "max_duration"),
    ("start=yesterday", "start"),
    ("end=2026-13-01T00:00:00Z", "end"),
    ("start=-1h&end=-2h", "start"),
    ("service=a&service=b", "service"),
    ("service=a&service=a", "service"),
    ("start=-1h&attribute=a=b&start=-1h", "start"),
    ("attribute=nothing", "attribute"),
    ("attribute==x", "attribute"),
    ("nonsense=1", "nonsense"),
];

/// Asks for each of these and holds the answers against the document.
fn ask(
    document: &Value,
    server: &Server,
    path: &str,
    queries: &[String],
    status: u16,
) -> Vec<Answer> {
    let answer = |query: &String| {
        let asked = format!("{path}?{query}");
        let answer = server.api(&asked);
        assert_eq!(answer.status, status, "{asked}: {}", answer.text());
        is_documented(document, path, "get", &answer, &asked);
        answer
    };
    queries.iter().map(answer).collect()
}

fn ask_wrongly(document: &Value, server: &Server, path: &str, queries: &[(&str, &str)]) {
    for (query, parameter) in queries {
        let answers = ask(document, server, path, &[(*query).to_owned()], 400);
        assert_eq!(answers[0].json()["parameter"], *parameter, "{path}?{query}");
    }
}

#[test]
fn every_documented_path_answers_as_documented() {
    let document = document();
    let (server, id) = loaded();
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let right = |path: &str, queries: &[String]| ask(&document, &server, path, queries, 200);
    let mut asked = BTreeSet::from(["/sample"]);

    for path in ["/services", "/attributes", "/status"] {
        asked.insert(path);
        right(path, &strings(&[""]));
    }
    let services = server.json("/services");
    let service = services["services"][0]["name"].as_str().expect("a service").to_owned();

    asked.insert("/operations");
    let of_all = &right("/operations", &strings(&["", "service=", "service=none"]))[0];
    ask_wrongly(&document, &server, "/operations", &[("service=a&service=b", "service")]);
    let of_one = &right("/operations", &[format!("service={}", encode(&service))])[0];
    let count = |answer: &Answer| answer.json()["operations"].as_array().map_or(0, Vec::len);
    assert!(count(of_one) > 0 && count(of_one) < count(of_all));
    ask_wrongly(&document, &server, "/operations", &[("servce=x", "servce")]);

    asked.insert("/attributes/values");
    let values = strings(&[
        "key=http.request.method",
        "key=service.name&level=resource&limit=1",
        "key=none&level=link",
    ]);
    right("/attributes/values", &values);
    let wrong = [
        ("", "key"),
        ("key=", "key"),
        ("key=a&level=x", "level"),
        ("key=a&key=a", "key"),
        ("key=a&limit=0", "limit"),
        ("key=a&limit=1001", "limit"),
    ];
    ask_wrongly(&document, &server, "/attributes/values", &wrong);

    asked.insert("/traces");
    right("/traces", &right_filters());
    let page = right("/traces", &strings(&["limit=2"])).remove(0).json();
    let cursor = page["next_cursor"].as_str().expect("a second page");
    let next =
        right("/traces", &[format!("limit=1000&cursor={}", encode(cursor))]).remove(0).json();
    assert_eq!(next["next_cursor"], Value::Null);
    assert!(!next["traces"].to_string().contains(&page["traces"][0]["trace_id"].to_string()));
    ask_wrongly(&document, &server, "/traces", &WRONG_FILTERS);
    let wrong = [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
    ];
    ask_wrongly(&document, &server, "/traces", &wrong);

    asked.insert("/series");
    right("/series", &right_filters());
    right("/series", &strings(&["by=service&steps=1", "by=operation&steps=1000"]));
    ask_wrongly(&document, &server, "/series", &WRONG_FILTERS);
    let wrong =
        [("steps=0", "steps"), ("steps=1001", "steps"), ("by=kind", "by"), ("limit=5", "limit")];
    ask_wrongly(&document, &server, "/series", &wrong);

    asked.insert("/query");
    ask_queries(&document, &server);

    asked.insert("/traces/{trace_id}");
    for (id, accept, status) in [
        (id.as_str(), "application/json", 200),
        (&id.to_uppercase(), "*/*", 200),
        (&id, "application/x-protobuf", 200),
        ("1", "application/json", 404),
        ("xyz", "application/json", 400),
        (&format!("{id}0"), "application/json", 400),
    ] {
        let url = format!("{}/api/v1/traces/{id}", server.url());
        let answer = http::request("GET", &url, &[("accept", accept)], None);
        assert_eq!(answer.status, status, "{url}: {}", answer.text());
        is_documented(&document, "/traces/{trace_id}", "get", &answer, &url);
    }

    let documented = document["paths"].as_object().expect("paths");
    let documented: BTreeSet<&str> = documented.keys().map(String::as_str).collect();
    assert_eq!(asked, documented, "this test asks for every path");
}

/// TraceQL, rightly and wrongly written.
fn ask_queries(document: &Value, server: &Server) {
    let query = |text: &str, more: &str| format!("q={}{more}", encode(text));
    let right = [
        query("{ status = error } | select(kind, .http.route) | by(name)", "&limit=3&spans=2"),
        query("{}", "&start=-1h&end=%2B1h&explain=true"),
        query("{ .no = `such` }", "&explain=false"),
        query("{} | rate() by(resource.service.name)", "&step=1m&exemplars=5&explain=true"),
        query("{ .no = `such` } | rate()", "&start=-2h&end=now"),
        query("{} | quantile_over_time(duration, .5) by(kind) | topk(2)", ""),
    ];
    let answers = ask(document, server, "/query", &right, 200);
    assert!(answers[1].json()["stats"]["spans"].as_u64() > Some(1000));
    assert!(answers[2].json()["stats"].is_null());
    let page = ask(document, server, "/query", &[query("{}", "&limit=2")], 200).remove(0).json();
    let cursor = page["next_cursor"].as_str().expect("a second page");
    let next = query("{}", &format!("&limit=1000&cursor={}", encode(cursor)));
    let next = ask(document, server, "/query", std::slice::from_ref(&next), 200).remove(0).json();
    assert_eq!(next["next_cursor"], Value::Null);
    assert!(!next["traces"].to_string().contains(&page["traces"][0]["trace_id"].to_string()));

    // The last line is what the answer is without lines.
    let hour = 3_600_000_000_000;
    let times = format!("&start={}&end={}", now() - hour, now() + hour);
    for right in [
        query("{ status = error } | by(name)", &format!("{times}&limit=3")),
        query("{ .no = `such` }", &times),
        query("{} | rate() by(resource.service.name)", &format!("{times}&step=1m")),
    ] {
        let url = format!("{}/api/v1/query?{right}", server.url());
        let whole = http::get(&url).ok().json();
        for (more, accept) in [("&stream=true", "*/*"), ("", "application/x-ndjson")] {
            let asked = format!("{url}{more}");
            let lines = http::request("GET", &asked, &[("accept", accept)], None).ok();
            is_documented(document, "/query", "get", &lines, &asked);
            assert_eq!(lines.header("content-type"), "application/x-ndjson");
            let text = lines.text();
            let last = text.lines().last().expect("a line");
            assert_eq!(serde_json::from_str::<Value>(last).expect("JSON"), whole, "{asked}");
        }
        let asked = format!("{url}&stream=false");
        let plain = http::request("GET", &asked, &[("accept", "application/x-ndjson")], None);
        assert_eq!(plain.ok().json(), whole);
    }

    let traces = query("{}", "");
    let series = query("{} | rate()", "");
    for (wrong, parameter) in [
        (String::new(), "q"),
        ("q=".to_owned(), "q"),
        (query("{", ""), "q"),
        (format!("{traces}&nonsense=1"), "nonsense"),
        (format!("{traces}&{traces}"), "q"),
        (format!("{traces}&limit=0"), "limit"),
        (format!("{traces}&limit=1001"), "limit"),
        (format!("{traces}&spans=0"), "spans"),
        (format!("{traces}&cursor=x"), "cursor"),
        (format!("{traces}&step=1m"), "step"),
        (format!("{traces}&exemplars=1"), "exemplars"),
        (format!("{traces}&start=soon"), "start"),
        (format!("{traces}&start=now&end=-1h"), "start"),
        (format!("{traces}&explain=yes"), "explain"),
        (format!("{traces}&stream=1"), "stream"),
        (format!("{series}&limit=5"), "limit"),
        (format!("{series}&step=0s"), "step"),
        (format!("{series}&step=1ms"), "step"),
        (format!("{series}&exemplars=101"), "exemplars"),
        (format!("{series}&end=-"), "end"),
    ] {
        ask_wrongly(document, server, "/query", &[(&wrong, parameter)]);
    }
    let misspelt = ask(document, server, "/query", &[query("{ status = }", "")], 400).remove(0);
    let misspelt = misspelt.json();
    assert_eq!((&misspelt["line"], &misspelt["column"]), (&json!(1), &json!(12)));
    assert!(misspelt["expected"].as_array().is_some_and(|list| !list.is_empty()), "{misspelt}");
    assert!(misspelt["caret"].as_str().is_some_and(|caret| caret.contains("\n           ^ ")));

    let url = format!("{}/api/v1/query", server.url());
    for (url, body, status) in [
        (url.clone(), right[0].as_str(), 200),
        (url.clone(), &format!("{}&stream=true", right[0]), 200),
        (url.clone(), "q=%7B", 400),
        (url.clone(), "é", 400),
        (url.clone(), "", 400),
        (format!("{url}?q=%7B%7D"), "q=%7B%7D", 400),
    ] {
        let answer = http::request("POST", &url, &[], Some(body.as_bytes()));
        assert_eq!(answer.status, status, "{url} {body}: {}", answer.text());
        is_documented(document, "/query", "post", &answer, &url);
    }
    let json = http::request("POST", &url, &[("content-type", "application/json")], Some(b"{}"));
    assert_eq!(json.status, 400);
    assert!(json.text().contains("; it came as application/json"), "{}", json.text());
}

/// Spans of a resource without `service.name`, and what finds them.
#[test]
fn an_empty_service_is_the_unnamed_one() {
    let server = Server::start();
    server.export(&request("", &small(1))).ok();
    server.export(&request("named", &small(2))).ok();
    let traces = |query: &str| {
        let page = server.json(&format!("/traces?{query}"));
        let id = |trace: &Value| trace["trace_id"].as_str().map(str::to_owned);
        let ids = page["traces"].as_array().expect("traces").iter().filter_map(id);
        ids.collect::<BTreeSet<String>>()
    };
    let [unnamed, named] = [1_u128, 2].map(|id| format!("{id:032x}"));
    let spans = |query: &str| {
        let list = server.json(&format!("/series?steps=1&{query}"));
        list["series"][0]["spans"][0].as_u64().unwrap_or(0)
    };
    let operations = |query: &str| {
        let list = server.json(&format!("/operations?{query}"));
        list["operations"].as_array().map_or(0, Vec::len)
    };
    for (query, found) in [
        ("", &[&unnamed, &named][..]),
        ("service=", &[&unnamed]),
        ("service=named", &[&named]),
        ("operation=", &[]),
    ] {
        let found: BTreeSet<String> = found.iter().map(|id| (*id).clone()).collect();
        assert_eq!(traces(query), found, "{query}");
        assert_eq!(spans(query), found.len() as u64, "{query}");
        if !query.starts_with("operation") {
            assert_eq!(operations(query), found.len(), "{query}");
        }
    }
}

fn small(trace_id: u128) -> [Small; 1] {
    let name = "x".to_owned();
    [Small { trace_id, span_id: 1, parent_id: 0, name, start: now() - 1_000, duration_nano: 1 }]
}

#[test]
fn what_is_not_documented_is_not_there() {
    let server = Server::start();
    let document = document();
    assert_eq!(server.json("/openapi.json"), document, "the document that is served");
    let error = json!({ "allOf": [{ "$ref": "#/components/schemas/Error" }], "components": document["components"] });
    let error = jsonschema::validator_for(&error).expect("a schema");
    let refused = |method: &str, path: &str, status: u16| {
        let body = matches!(method, "POST" | "PUT" | "PATCH").then_some(&b""[..]);
        let url = format!("{}{path}", server.url());
        let answer = http::request(method, &url, &[], body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert!(error.is_valid(&answer.json()), "{method} {path}: {}", answer.text());
    };
    for path in ["/api/v1/nope", "/api/v1/traces/a/b", "/api/v1", "/api/v2/traces", "/api/nope"] {
        refused("GET", path, 404);
    }
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let path = format!("/api/v1{}", path.replace("{trace_id}", "1"));
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if operations[method.to_ascii_lowercase()].is_null() {
                refused(method, &path, 405);
            }
        }
    }
}

#[test]
fn every_path_asks_for_the_token() {
    let document = document();
    let server = Server::start_with(&["--token", "s3cret"]);
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            let url = format!("{}/api/v1{}", server.url(), path.replace("{trace_id}", "1"));
            let body = (method == "post").then_some(&b""[..]);
            let answer = http::request(&method.to_ascii_uppercase(), &url, &[], body);
            assert_eq!(answer.status, 401, "{method} {path}");
            is_documented(&document, path, method, &answer, &url);
        }
    }
}
