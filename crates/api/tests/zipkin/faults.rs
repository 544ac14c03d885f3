//! Every wrong request is told what is wrong, as text.

use axum::body::Body;
use http::{Method, Request, StatusCode};

use crate::{Access, Bench};

#[tokio::test]
async fn the_wrong_parameter_is_named() {
    let bench = Bench::new();
    for (path, words) in [
        ("traces?limit=0", &["limit", "\"0\"", "from 1"][..]),
        ("traces?limit=-1", &["limit", "\"-1\""]),
        ("traces?limit=x", &["limit", "\"x\""]),
        ("traces?limit=", &["limit", "\"\""]),
        ("traces?limit=9223372036854775808", &["limit", "9223372036854775807"]),
        ("traces?endTs=0", &["endTs"]),
        ("traces?endTs=now", &["endTs", "\"now\""]),
        ("traces?endTs=1.5", &["endTs"]),
        ("traces?lookback=1h", &["lookback", "\"1h\""]),
        ("traces?minDuration=0", &["minDuration"]),
        ("traces?minDuration=+5", &["minDuration"]),
        ("traces?maxDuration=5", &["maxDuration", "only valid with minDuration"]),
        ("traces?minDuration=5&maxDuration=4", &["maxDuration", "less than minDuration"]),
        ("traces?minDuration=1&minDuration=2", &["minDuration", "more than once"]),
        ("traces?annotationQuery=error+and+%3D1", &["annotationQuery", "character 11", "no name"]),
        ("traces?annotationQuery=+and+a", &["annotationQuery", "character 1"]),
        ("trace/xyz", &["trace id", "'x'", "position 1"]),
        ("trace/12%204", &["trace id", "' '", "position 3"]),
        ("trace/%FF", &["UTF-8"]),
        ("trace/0", &["trace id", "zeros"]),
        ("trace/", &["trace id"]),
        ("trace/000000000000000000000000000000001", &["trace id", "33"]),
        ("traceMany", &["traceIds", "missing"]),
        ("traceMany?traceIds=", &["traceIds", "missing"]),
        ("traceMany?traceIds=1", &["traceIds", "/api/v2/trace/"]),
        ("traceMany?traceIds=1,", &["traceIds, id 2", "digits"]),
        ("traceMany?traceIds=1,x", &["traceIds, id 2", "'x'"]),
        ("traceMany?traceIds=1,2,01", &["traceIds", "01 is named twice"]),
        ("dependencies", &["endTs", "missing"]),
        ("dependencies?endTs=x", &["endTs", "\"x\""]),
        ("dependencies?endTs=0", &["endTs", "from 1"]),
        ("dependencies?endTs=1&lookback=0", &["lookback", "from 1"]),
        ("spans", &["serviceName", "missing"]),
        ("spans?serviceName=", &["serviceName", "missing"]),
        ("remoteServices", &["serviceName", "missing"]),
        ("autocompleteValues", &["key", "missing"]),
    ] {
        let answer = bench.get(&format!("/api/v2/{path}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {answer:?}");
        assert_eq!(answer.kind, "text/plain; charset=utf-8", "{path}");
        for word in words {
            assert!(answer.text.contains(word), "{path}: {word:?} is not in {}", answer.text);
        }
    }
    let many = (1..=1001).map(|id| format!("{id:x}")).collect::<Vec<_>>();
    let ask = |count: usize| format!("/api/v2/traceMany?traceIds={}", many[..count].join(","));
    assert_eq!(bench.get(&ask(1000)).await.status, StatusCode::OK);
    let answer = bench.get(&ask(1001)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text.contains("1001") && answer.text.contains("1000"), "{}", answer.text);
}

#[tokio::test]
async fn what_a_zipkin_server_takes_is_taken() {
    let bench = Bench::new();
    for path in [
        "traces?limit=9223372036854775807&lookback=9223372036854775807&endTs=9223372036854775807",
        "traces?serviceName=&spanName=&remoteServiceName=&annotationQuery=",
        "traces?spanName=all&serviceName=x",
        "traces?minDuration=1&maxDuration=9223372036854775807",
        "traces?tagQuery=&unknown=1",
        "services?x=1",
    ] {
        assert_eq!(bench.json(&format!("/api/v2/{path}")).await, serde_json::json!([]), "{path}");
    }
}

#[tokio::test]
async fn other_paths_and_methods() {
    let bench = Bench::new();
    for path in ["/", "/api/v2", "/api/v2/nothing", "/api/v1/spans", "/zipkin", "/api/v2/trace/1/2"]
    {
        let answer = bench.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {answer:?}");
        assert_eq!(answer.kind, "text/plain; charset=utf-8", "{path}");
    }
    let post = |path: &str| {
        Request::builder().method(Method::POST).uri(path).body(Body::from("[]")).expect("a request")
    };
    let answer = bench.request(post("/api/v2/spans")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    for words in ["the receiver zipkin", "serve --config", "OTLP"] {
        assert!(answer.text.contains(words), "{words:?} is not in {}", answer.text);
    }
    let answer = bench.request(post("/api/v2/traces")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.text.contains("GET"), "{}", answer.text);
    assert_eq!(bench.request(post("/api/v1/spans")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_token_is_asked_for_everywhere_but_health() {
    let bench = Bench::with(Access { token: Some("s3cret".to_owned()), local_only: false });
    for path in [
        "/api/v2/services",
        "/api/v2/traces",
        "/zipkin/api/v2/traces",
        "/zipkin/config.json",
        "/nothing",
    ] {
        let answer = bench.get(path).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}: {answer:?}");
        assert_eq!(answer.kind, "text/plain; charset=utf-8");
    }
    let request = Request::get("/zipkin/api/v2/services").header("authorization", "Bearer s3cret");
    let answer = bench.request(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::OK);
    for path in ["/health", "/info"] {
        assert_eq!(bench.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn other_names_for_this_machine_are_refused() {
    let bench = Bench::with(Access { token: None, local_only: true });
    for path in ["/api/v2/services", "/health"] {
        let request = Request::get(path).header("host", "evil.example");
        let answer = bench.request(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
}
