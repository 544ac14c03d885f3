//! What is refused, in the shape that each API's clients know.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::{Answer, Bench};

/// The only error of an envelope.
fn legacy(answer: &Answer) -> String {
    assert_eq!(answer.kind, "text/plain; charset=utf-8", "{answer:?}");
    let body: Value = serde_json::from_str(&answer.text).expect("JSON");
    let message = body["errors"][0]["msg"].as_str().expect("a message").to_owned();
    let error = json!({ "code": answer.status.as_u16(), "msg": message });
    let expected = json!({ "data": null, "total": 0, "limit": 0, "offset": 0, "errors": [error] });
    assert_eq!(body, expected);
    message
}

#[tokio::test]
async fn the_legacy_api_names_the_parameter() {
    let bench = Bench::filled().await;
    for (path, said) in [
        ("/api/traces", "parameter 'service' is required"),
        ("/api/traces?service=", "parameter 'service' is required"),
        ("/api/traces?service=a&start=x", "param 'start': \"x\" is not a whole number"),
        ("/api/traces?service=a&end=1.5", "param 'end'"),
        ("/api/traces?service=a&end=-1", "param 'end': \"-1\" is negative"),
        ("/api/traces?service=a&start=99999999999999999", "param 'start'"),
        ("/api/traces?service=a&limit=ten", "param 'limit'"),
        ("/api/traces?service=a&limit=0", "limit must be greater than 0"),
        ("/api/traces?service=a&limit=-1", "limit must be greater than 0"),
        ("/api/traces?service=a&limit=99999999", "limit must be at most 10000"),
        ("/api/traces?service=a&start=2&end=1", "start time must be before end time"),
        ("/api/traces?service=a&minDuration=5", "param 'minDuration': \"5\" is not a duration"),
        ("/api/traces?service=a&maxDuration=-5s", "param 'maxDuration'"),
        (
            "/api/traces?service=a&minDuration=2s&maxDuration=1s",
            "'maxDuration' should be greater than 'minDuration'",
        ),
        ("/api/traces?service=a&tag=x", "malformed 'tag' parameter, expecting key:value"),
        ("/api/traces?service=a&tags=x", "malformed 'tags' parameter, cannot unmarshal JSON"),
        ("/api/traces?service=a&tags=%7B%22a%22%3A1%7D", "malformed 'tags' parameter"),
        ("/api/traces?service=a&raw=maybe", "param 'raw': \"maybe\" is neither true nor false"),
        ("/api/traces?traceID=xyz", "cannot parse traceID param \"xyz\""),
        ("/api/traces?service=%FF", "malformed query string"),
        ("/api/traces/xyz", "cannot parse trace id \"xyz\""),
        ("/api/traces/10?start=x", "param 'start'"),
        ("/api/traces/10?raw=2", "param 'raw'"),
        ("/api/operations", "parameter 'service' is required"),
        ("/api/operations?service=a&spanKind=x", "param 'spanKind': unsupported span kind: 'x'"),
        ("/api/services/a%25zz/operations", "invalid URL escape"),
        ("/api/services/%FF/operations", "the path is not UTF-8"),
        ("/api/traces/%FF", "the path is not UTF-8"),
        ("/api/dependencies?endTs=x", "param 'endTs'"),
        ("/api/dependencies?lookback=1h", "param 'lookback'"),
        ("/api/metrics/calls", "param 'service': please provide at least one service name"),
        ("/api/metrics/latencies?service=a", "param 'quantile': please provide a quantile"),
        ("/api/metrics/latencies?service=a&quantile=95", "param 'quantile': it must be from 0"),
        ("/api/metrics/latencies?service=a&quantile=NaN", "param 'quantile': it must be from 0"),
        ("/api/metrics/errors?service=a&spanKind=x", "param 'spanKind'"),
        ("/api/metrics/calls?service=a&step=0", "param 'step': it must be greater than 0"),
        ("/api/metrics/calls?service=a&endTs=1000", "param 'lookback': it reaches back"),
        ("/api/metrics/calls?service=a&step=18446744073709&lookback=18446744073709", "'lookback'"),
        ("/api/metrics/calls?service=a&step=1&lookback=9999999", "param 'step'"),
        ("/api/metrics/calls?service=a&groupByOperation=yes", "param 'groupByOperation'"),
    ] {
        let answer = bench.get(path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {answer:?}");
        let message = legacy(&answer);
        assert!(message.contains(said), "{path}: {message}");
    }
    let unknown = bench.get("/api/traces/99").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(legacy(&unknown), "trace not found");
    let archive = bench.post("/api/archive/10", "").await;
    assert_eq!(archive.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(legacy(&archive).contains("archive storage was not configured"));
    assert_eq!(bench.post("/api/archive/xyz", "").await.status, StatusCode::BAD_REQUEST);
}

/// Jaeger's own are hard-coded.
#[tokio::test]
async fn what_jaeger_makes_up_is_not_there() {
    let bench = Bench::filled().await;
    for path in ["/api/deep-dependencies", "/api/quality-metrics?service=web"] {
        assert_eq!(bench.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

/// Its neighbour on the port has a shape of its own.
#[tokio::test]
async fn a_path_that_is_no_text_is_refused_by_api_v1() {
    let answer = Bench::new().get("/api/v1/traces/%FF").await;
    let body: Value = serde_json::from_str(&answer.text).expect("JSON");
    assert_eq!(
        (answer.status, answer.kind.as_str()),
        (StatusCode::BAD_REQUEST, "application/json")
    );
    assert_eq!(body, json!({ "error": "the path is not UTF-8" }));
}

/// The error of api_v3.
fn v3(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.text).expect("JSON");
    let message = body["error"]["message"].as_str().expect("a message").to_owned();
    let expected = json!({ "error": { "httpCode": answer.status.as_u16(), "message": message } });
    assert_eq!(body, expected);
    message
}

const RANGE: &str =
    "query.startTimeMin=2020-01-01T00:00:00Z&query.startTimeMax=2030-01-01T00:00:00Z";

#[tokio::test]
async fn api_v3_names_the_parameter() {
    let bench = Bench::filled().await;
    for (query, said) in [
        ("", "query.startTimeMin and query.startTimeMax are required"),
        ("query.startTimeMin=2020-01-01T00:00:00Z", "query.startTimeMax are required"),
        (
            "query.startTimeMin=2020-01-01T00:00:00Z&query.startTimeMax=2020-01-01T00:00:00Z",
            "query.startTimeMin must be before query.startTimeMax",
        ),
        ("query.startTimeMin=x", "malformed parameter query.startTimeMin: \"x\""),
        ("query.start_time_max=5", "malformed parameter query.start_time_max"),
        ("RANGE&query.searchDepth=x", "malformed parameter query.searchDepth"),
        ("RANGE&query.num_traces=-1", "malformed parameter query.num_traces"),
        ("RANGE&query.searchDepth=10001", "it must be at most 10000"),
        ("RANGE&query.durationMin=5", "malformed parameter query.durationMin"),
        ("RANGE&query.durationMin=2s&query.durationMax=1s", "query.durationMax must not be below"),
        ("RANGE&query.attributes=x", "malformed parameter query.attributes"),
        ("RANGE&query.attributes=%7B%22a%22%3A1%7D", "malformed parameter query.attributes"),
        ("RANGE&query.rawTraces=maybe", "malformed parameter query.rawTraces"),
        ("RANGE&query.filter=%7B%7D", "malformed parameter query.filter.op"),
        ("RANGE&query.pagination.pageSize=0", "a page has at least one trace"),
        ("RANGE&query.pagination.pageSize=1&query.searchDepth=1", "exclude each other"),
        (
            "RANGE&query.pagination.pageSize=1&query.pagination.pageToken=x",
            "malformed parameter query.pagination.pageToken",
        ),
        ("RANGE&query.servicename=a", "query.servicename: there is no such field"),
        ("RANGE&query.orderBy=a", "query.orderBy: there is no such field"),
        ("RANGE&query.=a", "malformed parameter query.: there is no such field"),
        ("RANGE&serviceName=a", "malformed parameter serviceName: it is written query.serviceName"),
        ("RANGE&num_traces=5", "malformed parameter num_traces: it is written query.num_traces"),
    ] {
        for path in ["/api/v3/traces", "/api/v3/trace-summaries"] {
            let path = format!("{path}?{}", query.replace("RANGE", RANGE));
            let answer = bench.get(&path).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {answer:?}");
            let message = v3(&answer);
            assert!(message.contains(said), "{path}: {message}");
        }
    }
    for (path, said) in [
        ("/api/v3/traces/xyz", "malformed parameter trace_id"),
        ("/api/v3/traces/%FF", "the path is not UTF-8"),
        ("/api/v3/traces/10?startTime=x", "malformed parameter startTime"),
        ("/api/v3/traces/10?end_time=x", "malformed parameter end_time"),
        ("/api/v3/traces/10?rawTraces=x", "malformed parameter rawTraces"),
        ("/api/v3/operations", "malformed parameter service"),
        ("/api/v3/operations?service=a&spanKind=x", "malformed parameter spanKind"),
        ("/api/v3/dependencies", "startTime and endTime are required"),
        ("/api/v3/dependencies?startTime=x", "malformed parameter startTime"),
        (
            "/api/v3/dependencies?startTime=2020-01-01T00:00:00Z&endTime=2019-01-01T00:00:00Z",
            "startTime must be before endTime",
        ),
    ] {
        let answer = bench.get(path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {answer:?}");
        assert!(v3(&answer).contains(said), "{path}: {answer:?}");
    }
    for path in ["/api/v3/traces/99", &format!("/api/v3/traces?{RANGE}&query.serviceName=none")] {
        let answer = bench.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(v3(&answer), "No traces found");
    }
}

#[tokio::test]
async fn bodies_of_api_v3_are_checked_alike() {
    let bench = Bench::new();
    let range = r#""startTimeMin":"2020-01-01T00:00:00Z","startTimeMax":"2030-01-01T00:00:00Z""#;
    for (body, said) in [
        ("", "the body is no JSON"),
        ("{}", "the body has no query"),
        (r#"{"query":[]}"#, "malformed parameter query: it is no object"),
        (r#"{"query":{}}"#, "are required"),
        (r#"{"query":{RANGE,"servicename":"a"}}"#, "query.servicename: there is no such field"),
        (r#"{"query":{RANGE},"bar":1}"#, "malformed parameter bar: there is no such field"),
        (r#"{"query":{RANGE,"serviceName":1}}"#, "query.serviceName: 1 is no text"),
        (r#"{"query":{RANGE,"startTimeMin":"x"}}"#, "malformed parameter query.startTimeMin"),
        (r#"{"query":{RANGE,"durationMin":"5"}}"#, "malformed parameter query.durationMin"),
        (r#"{"query":{RANGE,"searchDepth":-1}}"#, "malformed parameter query.searchDepth"),
        (r#"{"query":{RANGE,"attributes":{"a":1}}}"#, "malformed parameter query.attributes"),
        (r#"{"query":{RANGE,"rawTraces":"x"}}"#, "malformed parameter query.rawTraces"),
        (r#"{"query":{RANGE,"filter":{}}}"#, "malformed parameter query.filter.op"),
        (r#"{"query":{RANGE,"pagination":{}}}"#, "query.pagination.pageSize"),
        (r#"{"query":{RANGE,"pagination":{"pageSize":1,"pageToken":5}}}"#, "pageToken"),
    ] {
        for path in ["/api/v3/traces", "/api/v3/trace-summaries"] {
            let answer = bench.post(path, &body.replace("RANGE", range)).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}: {answer:?}");
            assert!(v3(&answer).contains(said), "{path} {body}: {answer:?}");
        }
    }
    let long = bench.post("/api/v3/traces", &" ".repeat(3 << 20)).await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(v3(&long), "the body is too large");
    let request = Request::delete("/api/v3/services").body(Body::empty()).unwrap();
    assert_eq!(bench.request(request).await.status, StatusCode::METHOD_NOT_ALLOWED);
}
