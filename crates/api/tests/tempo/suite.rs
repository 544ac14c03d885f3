//! The whole language over HTTP: the store's suite, whose answers were worked out by hand, asked as
//! clients ask.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use model::SpanBatch;
use prost::Message;
use query::metrics::{Intervals, run};
use serde_json::Value;
use store::Store;
use traceql::QueryKind;

use crate::sent::{request, trace_id};
use crate::{Answer, Bench, encode, traceql_traces};

/// When the fixed traces are, in nanoseconds since the epoch.
pub const NOW: u64 = 1_800_014_400_000_000_000;

/// In nanoseconds.
pub const SECOND: u64 = 1_000_000_000;

const SEARCHES: &str = include_str!("../../../store/tests/all/traceql_suite.txt");
const METRICS: &str = include_str!("../../../store/tests/all/traceql_metrics.txt");

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

async fn filled() -> Bench {
    let bench = Bench::new();
    let bytes = request(&traceql_traces::all()).encode_to_vec();
    let batch = SpanBatch::decode(Bytes::from(bytes)).expect("OTLP");
    assert_eq!(batch.rejection().spans, 0);
    bench.engine.append(batch).await.expect("stored");
    bench
}

/// The path of a search with the options of a line.
fn path(text: &str) -> String {
    let (query, options) = text.split_once(" @ ").unwrap_or((text, ""));
    let mut path = format!("/api/search?q={}&spss=100", encode(query));
    let mut limit = 1000;
    for option in options.split_whitespace() {
        let (name, value) = option.split_once('=').expect("an option");
        let number: f64 = value.parse().expect("a number");
        let before_now = NOW - (number * 1e9) as u64;
        match name {
            "from" => path.push_str(&format!("&start={before_now}")),
            "to" => path.push_str(&format!("&end={before_now}")),
            "min" => path.push_str(&format!("&minDuration={value}ms")),
            "max" => path.push_str(&format!("&maxDuration={value}ms")),
            "limit" => limit = number as usize,
            other => panic!("no option: {other}"),
        }
    }
    format!("{path}&limit={limit}")
}

/// Traces by their numbers, spans by their letters, or names where two share an id; as in the
/// suite, but for what stages noted of spansets.
fn spell(answer: &Value, shared: &BTreeMap<(String, String), usize>) -> String {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut out = String::new();
    for trace in list(&answer["traces"]) {
        let id = text(&trace["traceID"]);
        let number = (1..100).find(|number| trace_id(*number).to_string() == id);
        let number = number.expect("a trace of the suite");
        let _ = write!(out, "{}t{number}:", if out.is_empty() { "" } else { " | " });
        for (at, set) in list(&trace["spanSets"]).iter().enumerate() {
            out.push_str(if at > 0 { " /" } else { "" });
            let spans = list(&set["spans"]);
            assert_eq!(set["matched"].as_u64(), Some(spans.len() as u64), "{set}");
            for span in spans {
                let span_id = text(&span["spanID"]);
                let letter = u8::from_str_radix(&span_id, 16).expect("a letter");
                let name = match shared[&(id.clone(), span_id)] {
                    1 => char::from(letter).to_string(),
                    _ => text(&span["name"]),
                };
                let _ = write!(out, " {name}");
            }
        }
    }
    if out.is_empty() { "nothing".to_owned() } else { out }
}

/// A line's answer without what stages noted: ` [count()=2]`.
fn bare(expected: &str) -> String {
    let mut out = String::new();
    let mut rest = expected;
    while let Some((before, noted)) = rest.split_once(" [") {
        out.push_str(before);
        rest = noted.split_once(']').map_or("", |(_, after)| after);
    }
    out + rest
}

#[tokio::test]
async fn every_search_of_the_suite_has_its_answer() {
    let bench = filled().await;
    let mut shared = BTreeMap::new();
    for sent in traceql_traces::all() {
        let id: [u8; 8] = sent.span.span_id.clone().try_into().expect("an id");
        let id = format!("{:016x}", u64::from_be_bytes(id));
        *shared.entry((sent.trace().to_string(), id)).or_insert(0) += 1;
    }
    let all = spell(&bench.json(&path("{}")).await, &shared);
    let (mut wrong, mut asked) = (String::new(), 0);
    for line in lines(SEARCHES) {
        let (text, expected) = line.split_once(" => ").expect("an answer");
        let answer: Answer = bench.get(&path(text)).await;
        asked += 1;
        // Over HTTP this says nothing and is refused.
        if text.contains("min=100 max=10") {
            assert_eq!(answer.status, 400, "{text}");
            continue;
        }
        let expected = if expected == "all" { all.clone() } else { bare(expected) };
        let found = match answer.status.as_u16() {
            200 => spell(&answer.json(), &shared),
            _ => answer.text().to_owned(),
        };
        if found != expected {
            let _ = writeln!(wrong, "{text} => {found}, not {expected}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(asked > 500, "{asked} queries");
}

#[tokio::test]
async fn every_metrics_query_of_the_suite_has_its_series() {
    let bench = filled().await;
    let (start, end) = (NOW - 3600 * SECOND, NOW);
    let intervals = Intervals::of_range(start, end, Some(600 * SECOND)).expect("a range");
    let mut asked = 0;
    for query in lines(METRICS) {
        let QueryKind::Metrics(parsed) = traceql::parse(query).expect("a query").kind else {
            panic!("no metrics query: {query}")
        };
        let expected =
            run(bench.engine.as_ref(), &parsed, &intervals, 0, false, None).await.expect("series");
        let path = format!(
            "/api/metrics/query_range?start={start}&end={end}&step=600&q={}",
            encode(&format!("{query} with(exemplars=false)"))
        );
        let answer = bench.json(&path).await;
        let series = answer["series"].as_array().cloned().unwrap_or_default();
        assert_eq!(series.len(), expected.series.len(), "{query}");
        for (series, expected) in series.iter().zip(&expected.series) {
            let labels = series["labels"].as_array().expect("labels");
            let names = labels.iter().map(|label| label["key"].as_str().expect("a name"));
            assert!(names.eq(expected.labels.iter().map(|(name, _)| name)), "{query}: {series}");
            let points = intervals.ends().zip(&expected.values);
            let points: Vec<_> = points.filter(|(_, value)| !value.is_nan()).collect();
            let samples = series["samples"].as_array().expect("samples");
            assert_eq!(samples.len(), points.len(), "{query}: {series}");
            for (sample, (time, value)) in samples.iter().zip(points) {
                let told = sample["timestampMs"].as_str().expect("a time").parse::<u64>();
                assert_eq!(told, Ok(time / 1_000_000), "{query}: {sample}");
                let told = sample["value"].as_f64().unwrap_or(0.0);
                let most = 1e-12 * value.abs();
                assert!((told - value).abs() <= most, "{query}: {sample} is not {value}");
            }
        }
        asked += 1;
    }
    assert!(asked > 70, "{asked} queries");
}
