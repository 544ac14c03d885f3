//! What is wrong with a request, in Prometheus' words and with its statuses.

use api::Access;
use axum::body::Body;
use http::{Request, StatusCode};

use super::{Bench, NOW, encode};

#[tokio::test]
async fn what_is_wrong_is_told_and_where() {
    let bench = Bench::filled().await;
    let range = |rest: &str| format!("/api/v1/query_range?query=up&{rest}");
    let doubled = format!(
        "{}label_replace(vector(1), 'a', 'text', '', ''){}",
        "label_replace(".repeat(40),
        ", 'a', '$1$1', 'a', '(.*)')".repeat(40)
    );
    let regexes = format!("match[]={}&", encode(&format!("up{{{}}}", "a=~\"b\",".repeat(8))));
    for (path, status, kind, text) in [
        ("/api/v1/query".to_owned(), 400, "bad_data", "invalid parameter \"query\": it is missing"),
        (
            format!("/api/v1/query?query={}", encode("sum(rate(up))")),
            400,
            "bad_data",
            "invalid parameter \"query\": 1:5: parse error: expected type range vector in call to \
             function 'rate', got instant vector",
        ),
        (
            format!("/api/v1/query?query={}", encode("up +\n  deriv(up[5m])")),
            400,
            "bad_data",
            "invalid parameter \"query\": 2:3: parse error: the function deriv is not served",
        ),
        (
            "/api/v1/query?query=up&time=soon".to_owned(),
            400,
            "bad_data",
            "invalid parameter \"time\": cannot parse \"soon\" to a valid timestamp; write seconds \
             since 1970 or RFC 3339 such as 2026-01-31T08:00:00Z",
        ),
        (
            "/api/v1/query?query=up&timeout=-1".to_owned(),
            400,
            "bad_data",
            "invalid parameter \"timeout\": cannot parse \"-1\" to a valid duration; write \
             seconds, or a number with ms, s, m, h, d, w or y",
        ),
        (
            "/api/v1/query?query=up&limit=few".to_owned(),
            400,
            "bad_data",
            "invalid parameter \"limit\": \"few\" is not a whole number from 0",
        ),
        (range("end=2&step=1"), 400, "bad_data", "invalid parameter \"start\": it is missing"),
        (range("start=1&end=2"), 400, "bad_data", "invalid parameter \"step\": it is missing"),
        (
            range("start=2&end=1&step=1"),
            400,
            "bad_data",
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        (
            range("start=1&end=2&step=0"),
            400,
            "bad_data",
            "invalid parameter \"step\": zero or negative query resolution step widths are not \
             accepted. Try a positive integer",
        ),
        (
            range("start=0&end=11001&step=1"),
            400,
            "bad_data",
            "exceeded maximum resolution of 11000 points per timeseries. Try decreasing the query \
             resolution (?step=XX)",
        ),
        (
            format!(
                "/api/v1/query_range?start={}&end={NOW}&step=1&query={}",
                NOW - 11_000,
                encode(
                    "rate(traces_spanmetrics_calls_total[1500ms]) + \
                     rate(traces_spanmetrics_calls_total[1700ms])"
                )
            ),
            422,
            "execution",
            "the query needs the counters at 33003 instants or more; they are read at 22003 at the \
             most. Ask for a longer step or a shorter time, or make the ranges in brackets \
             multiples of the step",
        ),
        (
            format!(
                "/api/v1/query?query={}",
                encode("traces_spanmetrics_calls_total + on () traces_spanmetrics_calls_total")
            ),
            422,
            "execution",
            "found duplicate series for the match group {} on the right hand-side",
        ),
        (
            format!("/api/v1/query?query={}", encode(&doubled)),
            422,
            "execution",
            "the label a would have more than 64 KiB",
        ),
        (
            format!("/api/v1/query?query={}", encode("up{a=~\"\\\\w{5000}\"}")),
            400,
            "bad_data",
            "invalid parameter \"query\": 1:7: parse error: a regular expression is too large",
        ),
        (
            format!("/api/v1/series?match[]=up{}", "&match[]=up".repeat(32)),
            400,
            "bad_data",
            "invalid parameter \"match[]\": there are more than 32 selectors",
        ),
        (
            format!("/api/v1/label/a/values?{}", regexes.repeat(3)),
            400,
            "bad_data",
            "invalid parameter \"match[]\": there are more than 16 regular expressions",
        ),
        ("/api/v1/label/a%FF/values".to_owned(), 400, "bad_data", "the path is not UTF-8"),
        ("/api/v1/series".to_owned(), 400, "bad_data", "no match[] parameter provided"),
        (
            format!("/api/v1/series?match[]={}", encode("rate(up[5m])")),
            400,
            "bad_data",
            "invalid parameter \"match[]\": \"rate(up[5m])\" is more than a selector of series",
        ),
        (
            format!("/api/v1/labels?match[]={}", encode("{}")),
            400,
            "bad_data",
            "invalid parameter \"match[]\": 1:1: parse error: vector selector must contain at \
             least one non-empty matcher",
        ),
        (
            "/api/v1/labels?start=2&end=1".to_owned(),
            400,
            "bad_data",
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        (
            "/api/v1/status/tsdb".to_owned(),
            404,
            "not_found",
            "/prometheus/api/v1/status/tsdb is no path of Prometheus' API that is served",
        ),
    ] {
        let (found_status, found_kind, found) = bench.get(&path).await.error();
        assert_eq!((found_status, found_kind.as_str()), (status, kind), "{path}: {found}");
        assert!(found.starts_with(text), "{path}: {found}");
    }
    let other = bench.post("/api/v1/query", "application/json", "{}").await.error();
    assert_eq!((other.0, other.1.as_str()), (400, "bad_data"));
    assert!(other.2.ends_with("x-www-form-urlencoded, not application/json"), "{}", other.2);
    let form = "application/x-www-form-urlencoded";
    let other = bench.post("/api/v1/metadata", form, "").await.error();
    assert_eq!((other.0, other.1.as_str()), (405, "bad_data"));
    let long = format!("query={}", "1".repeat(60_000));
    assert_eq!(bench.post("/api/v1/query", form, &long).await.error().0, 400);
}

/// What is no duration, no time and no limit, wherever one is read.
#[tokio::test]
async fn numbers_that_mean_nothing_are_refused_everywhere() {
    let bench = Bench::filled().await;
    let form = "application/x-www-form-urlencoded";
    let durations = [
        "0",
        "-0",
        "0s",
        "0.0004",
        "-1",
        "-5s",
        "NaN",
        "nan",
        "Inf",
        "-Inf",
        "1e300",
        "1e999",
        "99999999999999999999",
        "9999999999y",
        "5x",
        "1h-1m",
        "s",
        "soon",
        " ",
    ];
    let times = ["NaN", "Inf", "-Inf", "1e300", "-1e13", "99999999999999999999", "soon", "1h"];
    let limits = ["-1", "-0", "1.5", "NaN", "1e3", "99999999999999999999999", "few"];
    let instant = "/api/v1/query?query=vector(1)";
    let range = "/api/v1/query_range?query=vector(1)";
    let span = "&start=1&end=2&step=1";
    let calls = "traces_spanmetrics_calls_total";
    let series = format!("/api/v1/series?match[]={calls}");
    let exemplars = format!("/api/v1/query_exemplars?query={calls}");
    let (names, values) = ("/api/v1/labels?a=b", "/api/v1/label/service/values?a=b");
    for (path, parameter, wrong) in [
        (instant.to_owned(), "timeout", &durations[..]),
        (format!("{range}{span}"), "timeout", &durations),
        (format!("{range}&start=1&end=2"), "step", &durations),
        // As long ago as it may be, 0 is no fault: it is not looked back.
        (instant.to_owned(), "lookback_delta", &durations[4..]),
        (format!("{range}{span}"), "lookback_delta", &durations[4..]),
        (instant.to_owned(), "time", &times),
        (format!("{range}&end=2&step=1"), "start", &times),
        (format!("{range}&start=1&step=1"), "end", &times),
        (series.clone(), "start", &times),
        (series.clone(), "end", &times),
        (names.to_owned(), "start", &times),
        (names.to_owned(), "end", &times),
        (values.to_owned(), "start", &times),
        (values.to_owned(), "end", &times),
        (exemplars.clone(), "start", &times),
        (exemplars, "end", &times),
        (instant.to_owned(), "limit", &limits),
        (format!("{range}{span}"), "limit", &limits),
        (series, "limit", &limits),
        (names.to_owned(), "limit", &limits),
        (values.to_owned(), "limit", &limits),
        ("/api/v1/metadata?a=b".to_owned(), "limit", &limits),
    ] {
        for value in wrong {
            let said = format!("invalid parameter \"{parameter}\": ");
            let asked = format!("{path}&{parameter}={}", encode(value));
            let (status, kind, text) = bench.get(&asked).await.error();
            assert_eq!((status, kind.as_str()), (400, "bad_data"), "{asked}: {text}");
            assert!(text.starts_with(&said), "{asked}: {text}");
            let Some((path, query)) = asked.split_once('?') else { continue };
            if path.contains("/label/") || path.contains("/metadata") {
                continue;
            }
            let posted = bench.post(path, form, query).await.error();
            assert_eq!(posted, (status, kind, text), "POST {asked}");
        }
    }
    // The furthest that there may be.
    for path in [
        format!("{instant}&timeout=1e9&time=1e12"),
        format!("{instant}&timeout=100y&time=-1e12"),
        format!("{range}&start=-1e12&end=1e12&step=3153600000"),
        "/api/v1/labels?start=-1e12&end=1e12".to_owned(),
        format!("/api/v1/query_exemplars?query={calls}&start=-1e12&end=1e12"),
        "/api/v1/query_exemplars?query=traces_spanmetrics_latency_bucket&start=-1e12&end=1e12"
            .to_owned(),
        format!("{instant}&limit=0"),
    ] {
        assert_eq!(bench.get(&path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_token_is_asked_for() {
    let bench = Bench::with(Access { token: Some("secret".to_owned()), local_only: false });
    for router in [&bench.ui, &bench.tempo] {
        for path in
            ["/prometheus/api/v1/query?query=1", "/prometheus/api/v1/labels", "/prometheus/"]
        {
            let asked = || Request::get(path);
            let without = asked().body(Body::empty()).expect("one");
            let without = bench.request(router, without).await;
            assert_eq!(without.status, StatusCode::UNAUTHORIZED, "{path}");
            let with = asked().header("authorization", "Bearer secret").body(Body::empty());
            let with = bench.request(router, with.expect("one")).await;
            assert_eq!(with.status, StatusCode::OK, "{path}");
        }
    }
}
