//! What is refused and in which words.

use serde_json::Value;

use crate::{Bench, encode};

/// Texts that are not what any parameter of that kind takes.
const NUMBERS: [&str; 6] = ["-1", "x", "1.5", "1e3", "99999999999999999999", "0x1"];
const TIMES: [&str; 7] =
    ["x", "1e9", ".5", "5.", "99999999999999999999", "-", "1969-01-01T00:00:00Z"];
const DURATIONS: [&str; 6] = ["x", "-5ms", "5", "1e3s", "99999999999999999999s", "5 parsecs"];

#[tokio::test]
async fn the_parameter_at_fault_is_named() {
    let bench = Bench::filled().await;
    let rate = format!("q={}", encode("{} | rate()"));
    let (range, instant) =
        (format!("/api/metrics/query_range?{rate}"), format!("/api/metrics/query?{rate}"));
    let mut table: Vec<(String, &str)> = Vec::new();
    let mut all = |path: &str, name: &'static str, texts: &[&str]| {
        let mark = if path.contains('?') { '&' } else { '?' };
        for text in texts {
            table.push((format!("{path}{mark}{name}={}", encode(text)), name));
        }
    };
    let timed = [
        "/api/traces/abc",
        "/api/v2/traces/abc",
        "/api/search",
        "/api/search/tags",
        "/api/v2/search/tags",
        "/api/search/tag/name/values",
        "/api/v2/search/tag/name/values",
        "/api/v2/search/tag/status/values",
        &range,
        &instant,
    ];
    for path in timed {
        all(path, "start", &TIMES);
        all(path, "end", &TIMES);
    }
    all("/api/search", "limit", &NUMBERS);
    all("/api/search", "limit", &["0", "262145"]);
    all("/api/search", "spss", &NUMBERS);
    all("/api/search", "spss", &["0", "101"]);
    all("/api/search", "minDuration", &DURATIONS);
    all("/api/search", "maxDuration", &DURATIONS);
    all("/api/search", "tags", &["x", "=x", "a=\"b", "a=b\"c", "status=fine"]);
    all("/api/search", "cursor", &["x", "1-2", "zz-00000000000000000000000000000001"]);
    for path in &timed[3..8] {
        all(path, "limit", &NUMBERS);
        all(path, "maxStaleValues", &NUMBERS);
    }
    for path in &timed[3..5] {
        all(path, "scope", &["planet", "Span", "parent"]);
    }
    for path in &timed[8..] {
        all(path, "exemplars", &NUMBERS);
        all(path, "maxSeries", &NUMBERS);
        all(path, "since", &DURATIONS);
    }
    all(&range, "step", &["x", "0", "-1", "1e3", "1ns", "0s", "99999999999999999999"]);
    for path in timed {
        let mark = if path.contains('?') { '&' } else { '?' };
        table.push((format!("{path}{mark}start=200&end=100"), "start"));
        table.push((format!("{path}{mark}start=200&end=200"), "start"));
    }
    table.push(("/api/search?minDuration=2s&maxDuration=1s".to_owned(), "maxDuration"));
    table.push(("/api/search?tags=a%3Db&q=%7B%7D".to_owned(), "tags"));
    table.push(("/api/metrics/query_range".to_owned(), "q"));
    table.push(("/api/metrics/query?q=".to_owned(), "q"));
    table.push((format!("{range}&start=1&end=9999999999&step=1"), "step"));
    table.push((format!("{range}&since=10h&step=1ms"), "step"));
    // Two digits too many, among others.
    for id in ["xyz", "-1", "%20", "0x1f", "000000000000000000000000000000abc1"] {
        for version in ["/api/traces", "/api/v2/traces"] {
            table.push((format!("{version}/{id}"), "trace id"));
        }
    }
    for (path, name) in &table {
        let text = bench.get(path).await;
        assert_eq!(text.status, 400, "{path}: {text:?}");
        assert!(text.kind.starts_with("text/plain"), "{path}: {text:?}");
        let said = text.text();
        assert!(said.starts_with(&format!("invalid {name}: ")), "{path}: {said}");
        let json = bench.ask(path, "application/json").await;
        let body: Value = serde_json::from_slice(&json.body).expect("JSON");
        assert_eq!((json.status.as_u16(), &body["parameter"]), (400, &(*name).into()), "{path}");
    }
    assert!(table.len() > 200, "{}", table.len());
}

/// As in Tempo: what an endpoint does not read may say anything.
#[tokio::test]
async fn what_an_endpoint_does_not_know_means_nothing() {
    let bench = Bench::filled().await;
    let all = encode("{}");
    let rate = format!("q={}&start=1699999900&end=1700000000", encode("{} | rate()"));
    for (path, unknown) in [
        (format!("/api/search?q={all}"), &["since=1ns", "since=x", "step=x", "x=%00"][..]),
        (format!("/api/metrics/query_range?{rate}"), &["limit=-1", "limit=0", "spss=0"]),
        (format!("/api/metrics/query?{rate}"), &["limit=-1", "step=x", "step=0"]),
        ("/api/v2/search/tags?a=b".to_owned(), &["since=x", "spss=-1"]),
        ("/api/v2/traces/abc?a=b".to_owned(), &["limit=-1"]),
    ] {
        let plain = bench.json(&path).await;
        assert!(plain.to_string().len() > 60, "{path}: {plain}");
        for parameter in unknown {
            assert_eq!(bench.json(&format!("{path}&{parameter}")).await, plain, "{parameter}");
        }
    }
}

#[tokio::test]
async fn the_place_in_a_query_is_told() {
    let bench = Bench::filled().await;
    let long = format!("{{ .a = `{}` }}", "x".repeat(130 * 1024));
    let deep = format!("{{ {}true }}", "!".repeat(200));
    for (query, search, metrics) in [
        ("{", Some("line 1, col 2"), Some("line 1, col 2")),
        ("{ status = }", Some("line 1, col 12"), Some("line 1, col 12")),
        ("{ status =\n\n erro }", Some("line 3, col 2"), Some("line 3, col 2")),
        ("{ .a =~ `(` }", Some("line 1, col "), Some("line 1, col ")),
        ("{ `x` }", Some("line 1, col "), Some("line 1, col ")),
        ("{} | rate()", Some("/api/metrics/query_range"), None),
        ("{}", None, Some("/api/search")),
        ("{} | quantile_over_time(duration, 2)", Some("line 1, col "), Some("line 1, col ")),
        ("{} | rate() by(.a,.b,.c,.d,.e,.f)", Some("line 1, col "), Some("line 1, col ")),
        (&deep, Some("line 1, col "), Some("line 1, col ")),
        (&long, Some(""), Some("")),
    ] {
        for (path, said) in [
            ("/api/search", search),
            ("/api/metrics/query_range", metrics),
            ("/api/metrics/query", metrics),
        ] {
            // Longer than a URI may be, and than a query may be.
            if query.len() > 64 * 1024 {
                continue;
            }
            let answer = bench.get(&format!("{path}?q={}", encode(query))).await;
            match said {
                Some(said) => {
                    assert_eq!(answer.status, 400, "{path} {query}");
                    assert!(answer.text().contains(said), "{query}: {}", answer.text());
                }
                None => assert_eq!(answer.status, 200, "{path} {query}: {}", answer.text()),
            }
        }
    }
    for tag in ["", " ", "resource.", "span", "{}", "a b"] {
        let answer = bench.get(&format!("/api/v2/search/tag/{}/values", encode(tag))).await;
        assert_eq!(answer.status, 400, "{tag:?}: {}", answer.text());
        assert!(answer.text().contains("line 1, col "), "{tag:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn paths_that_are_not_there() {
    let bench = Bench::new();
    for path in [
        "/",
        "/api",
        "/api/search/",
        "/api/overrides",
        "/api/mcp",
        "/api/v2/traces/diff/x",
        "/api/v3/search",
        "/usage_metrics",
    ] {
        let answer = bench.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert!(answer.text().contains(path), "{answer:?}");
    }
}
