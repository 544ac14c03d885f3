//! What docs/traceql.md says of the differences to Tempo, sentence by sentence.

use serde_json::{Value, json};

use crate::{Bench, encode};

async fn spans(bench: &Bench, query: &str) -> Vec<String> {
    let found = bench.json(&format!("/api/search?q={}", encode(query))).await;
    let sets = found["traces"].as_array().expect("traces").iter();
    let sets = sets.flat_map(|trace| trace["spanSets"].as_array().expect("spansets"));
    let spans = sets.flat_map(|set| set["spans"].as_array().expect("spans"));
    spans.map(|span| span["name"].as_str().expect("a name").to_owned()).collect()
}

async fn value(bench: &Bench, query: &str) -> Value {
    let path = format!("/api/metrics/query?q={}&since=1h", encode(query));
    bench.json(&path).await["series"][0]["value"].take()
}

#[tokio::test]
async fn differences_to_tempo() {
    let bench = Bench::filled().await;
    for (query, expected) in [
        ("{ parent.retry = true }", &["charge"][..]),
        ("{ parent.span.retry = true }", &["charge"]),
        ("{ parent.resource.host.name = `a` }", &["charge"]),
        ("{ parent = nil }", &["/checkout"]),
        ("!{ status = ok } && { kind = client }", &["charge"]),
        ("!({ status = error } | count() > 1)", &["/checkout", "charge"]),
        ("!{ status = error }", &[]),
        ("{} | max(duration) > 2 * min(duration)", &["/checkout", "charge"]),
        ("{} | 2 <= count()", &["/checkout", "charge"]),
        ("{} | count() > 2", &[]),
        ("{ 2 ^ 3 = 8 }", &["/checkout", "charge"]),
        ("{ 2 ^ 3 = 9 }", &[]),
        // One and the same event, but for parts that are not joined by && alone.
        ("{ event:name = `exception` && event.exception.type = `Broke` }", &["charge"]),
        ("{ event.exception.type = `Broke` && event:timeSinceStart < 20ms }", &[]),
        (
            "{ event.exception.type = `Broke` && (event:timeSinceStart < 20ms || false) }",
            &["charge"],
        ),
    ] {
        assert_eq!(spans(&bench, query).await, expected, "{query}");
    }
    let ages = "start=1&end=9999999999";
    let found = bench.json(&format!("/api/search?{ages}")).await;
    assert_eq!(found["traces"].as_array().map(Vec::len), Some(1));
    let counted = encode("{} | count_over_time()");
    let answer = bench.json(&format!("/api/metrics/query?q={counted}&{ages}")).await;
    assert_eq!(answer["series"][0]["value"], json!(2.0));
    let answer = bench.json(&format!("/api/metrics/query_range?q={counted}&{ages}")).await;
    assert!(answer["series"][0]["samples"].as_array().is_some_and(|samples| samples.len() > 200));
    for query in ["{ parent.retry = true } | rate()", "{} | rate() by(parent.retry)"] {
        let path = format!("/api/metrics/query?q={}", encode(query));
        assert_eq!(bench.get(&path).await.status, 200, "{query}");
    }
}

#[tokio::test]
async fn a_trace_without_a_root_has_its_structure() {
    let bench = Bench::new();
    let span = |id: u64, parent: u64, name: &str| {
        json!({
            "traceId": format!("{:032x}", 7), "spanId": format!("{id:016x}"),
            "parentSpanId": format!("{parent:016x}"), "name": name,
            "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000000000000",
        })
    };
    // Child and parent come apart, and lie in two pieces.
    for one in [span(3, 2, "child"), span(2, 1, "parent")] {
        bench.store(&json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [one] }] }] })).await;
        bench.engine.settle();
    }
    assert_eq!(spans(&bench, "{ name = `parent` } > { name = `child` }").await, ["child"]);
}

/// A span counts as many as it stands for, when that is asked for.
#[tokio::test]
async fn sampled_spans_stand_for_others_when_asked() {
    let bench = Bench::new();
    let start = 1_700_000_000_000_000_000_u64;
    let spans = [
        (1, "a", 10, "ot=th:8"),
        (2, "a", 20, "x=y,ot=rv:ffffffffffffff;th:c"),
        (3, "b", 30, ""),
        (4, "b", 40, "ot=th:fd70a3d70a3d71"),
    ];
    for (id, name, number, state) in spans {
        let span = json!({
            "traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"), "name": name,
            "traceState": state, "startTimeUnixNano": start.to_string(),
            "endTimeUnixNano": (start + 1).to_string(),
            "attributes": [{ "key": "n", "value": { "intValue": number.to_string() } }],
        });
        bench.store(&json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span] }] }] })).await;
    }
    for settled in [false, true] {
        if settled {
            bench.engine.settle();
        }
        for (query, plain, weighed) in [
            ("{} | count_over_time()", vec![4.0], vec![107.0]),
            ("{} | rate()", vec![4.0 / 3600.0], vec![107.0 / 3600.0]),
            ("{} | count_over_time() by(name)", vec![2.0, 2.0], vec![6.0, 101.0]),
            ("{ .n > 15 } | sum_over_time(.n)", vec![90.0], vec![80.0 + 30.0 + 4000.0]),
            ("{} | avg_over_time(.n)", vec![25.0], vec![4130.0 / 107.0]),
            ("{} | min_over_time(.n)", vec![10.0], vec![10.0]),
            ("{} | max_over_time(.n) by(name)", vec![20.0, 40.0], vec![20.0, 40.0]),
            ("{} | histogram_over_time(.n)", vec![1.0, 2.0, 1.0], vec![2.0, 5.0, 100.0]),
            ("{} | quantile_over_time(.n, 0)", vec![8.0], vec![8.0]),
            (
                "100 * ({ name = `b` } | count_over_time()) / ({} | count_over_time())",
                vec![50.0],
                vec![100.0 * 101.0 / 107.0],
            ),
        ] {
            for (hint, expected) in [
                ("", &plain),
                ("with(extrapolate=false)", &plain),
                ("with(extrapolate=true)", &weighed),
                ("with(sample=true, extrapolate=true, exemplars=true)", &weighed),
            ] {
                let query = encode(&format!("{query} {hint}"));
                let path = format!("/api/metrics/query?q={query}&since=1h");
                let answer = bench.json(&path).await;
                let series = answer["series"].as_array().expect("series").iter();
                let found: Vec<f64> =
                    series.map(|series| series["value"].as_f64().expect("a number")).collect();
                let is_near = |(one, other): (&f64, &f64)| (one - other).abs() <= 1e-9 * other;
                let alike = found.len() == expected.len();
                let alike = alike && found.iter().zip(expected).all(is_near);
                assert!(alike, "{query}: {found:?} is not {expected:?}");
            }
        }
        // Each side of a comparison; what starts at the start of its range is selected, and what
        // starts at its end is not.
        for (range, hint, expected) in [
            ("", "", [("baseline", "a", 2.0), ("selection", "b", 2.0)]),
            ("", "with(extrapolate=true)", [("baseline", "a", 6.0), ("selection", "b", 101.0)]),
            (", 10, 9, START", "", [("baseline", "a", 2.0), ("baseline", "b", 2.0)]),
            (", 10, START, 9e", "", [("baseline", "a", 2.0), ("selection", "b", 2.0)]),
        ] {
            let range = range.replace("START", &start.to_string());
            let range = range.replace("9e", &i64::MAX.to_string());
            let query = encode(&format!("{{}} | compare({{ name = `b` }}{range}) {hint}"));
            let answer = bench.json(&format!("/api/metrics/query?q={query}&since=1h")).await;
            let series = answer["series"].as_array().expect("series").iter();
            let of_name = series.filter_map(|series| {
                let [side, name] = [0, 1].map(|at| &series["labels"][at]);
                let value = name["value"]["stringValue"].as_str().filter(|_| name["key"] == "name");
                Some((side["value"]["stringValue"].as_str()?, value?, series["value"].as_f64()?))
            });
            let told = of_name.filter(|(side, ..)| !side.ends_with("_total"));
            let told: Vec<_> = told.map(|(side, value, n)| (side, value, n.round())).collect();
            assert_eq!(told, expected, "{query}");
        }
    }
}

/// Metrics are exact whatever part a hint allows them to be computed of.
#[tokio::test]
async fn hints_change_nothing_but_exemplars() {
    let bench = Bench::filled().await;
    for hints in [
        "",
        "with(sample=true)",
        "with(sample=false)",
        "with(sample=0.1)",
        "with(sample=1)",
        "with(sample=0)",
        "with(sample=`much`)",
        "with(span_sample=0.01)",
        "with(trace_sample=0.01)",
        "with(extrapolate=true)",
        "with(sample=true, extrapolate=true)",
        "with(most_recent=true)",
        "with(debug=true, job_size=7)",
        "with(anything=`at all`)",
    ] {
        for (query, expected) in [
            ("{} | count_over_time()", json!(2.0)),
            ("{} | max_over_time(duration)", json!(0.25)),
            ("({ status = error } | count_over_time()) / ({} | count_over_time())", json!(0.5)),
        ] {
            assert_eq!(
                value(&bench, &format!("{query} {hints}")).await,
                expected,
                "{query} {hints}"
            );
        }
        assert_eq!(spans(&bench, &format!("{{ status = error }} {hints}")).await, ["charge"]);
    }
    for (hint, expected) in [("exemplars=true", 1), ("exemplars=false", 0), ("exemplars=1", 1)] {
        let query = encode(&format!("{{ status = error }} | rate() with({hint})"));
        let answer = bench.json(&format!("/api/metrics/query_range?q={query}&exemplars=5")).await;
        let exemplars = answer["series"][0]["exemplars"].as_array().map_or(0, Vec::len);
        assert_eq!(exemplars, expected, "{hint}");
    }
}
