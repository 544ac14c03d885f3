//! TraceQL searches over a fixed set of traces, in every layout, against answers that are written
//! down and against the naive evaluator.
//!
//! `traceql_suite.txt` has a line for each: the query, perhaps `@` and options, `=>` and the answer.
//! That lists the traces found, newest first, and their spans by letter; `/` separates spansets,
//! `[…]` holds what stages noted; `all` is every span. Options are `from` and `to` (seconds before now), `min` and `max`
//! (milliseconds that a trace takes) and `limit`.

use std::collections::BTreeMap;
use std::fmt::Write;

use model::TraceId;
use store::{
    FindRequest, FoundPage, FoundTrace, MeasureRequest, Measured, MeasuredSeries, Position,
    QueryError, Store,
};
use traceql::{MetricsLeaf, MetricsQuery, Pipeline, QueryKind};

use crate::bench::{Bench, NOW, SECOND};
use crate::sent::{Sent, request, trace_id};
use crate::{traceql_oracle, traceql_traces};

pub fn pipeline(query: &str) -> Pipeline {
    match traceql::parse(query) {
        Ok(query) => match query.kind {
            QueryKind::Search(pipeline) => pipeline,
            QueryKind::Metrics(_) => panic!("no search: {query}"),
        },
        Err(error) => panic!("{query}: {error}"),
    }
}

pub fn everything(query: &str) -> FindRequest {
    FindRequest {
        pipeline: pipeline(query),
        start_unix_nano: None,
        end_unix_nano: None,
        duration_min_nano: None,
        duration_max_nano: None,
        limit: usize::MAX,
        spans_per_spanset: usize::MAX,
        after: None,
    }
}

pub fn metrics_leaf(query: &str) -> MetricsLeaf {
    match traceql::parse(query) {
        Ok(query) => match query.kind {
            QueryKind::Metrics(MetricsQuery::Leaf(leaf)) => leaf,
            _ => panic!("no function over spans: {query}"),
        },
        Err(error) => panic!("{query}: {error}"),
    }
}

pub fn measure(bench: &Bench, request: &MeasureRequest) -> Measured {
    bench.wait(bench.engine().measure(request.clone(), None)).unwrap()
}

/// How the answers of the engine and of the naive evaluator differ, if they do.
pub fn difference(bench: &Bench, held: &[Sent], request: &MeasureRequest) -> Option<String> {
    let mut measured = measure(bench, request);
    // Nothing was sampled, so that each span stands for itself.
    let with_exemplars = MeasureRequest { exemplars_max: 7, extrapolate: true, ..request.clone() };
    let exemplars = measure(bench, &with_exemplars);
    if let Some(stray) = traceql_oracle::stray_exemplar(held, request, &exemplars) {
        return Some(format!("an exemplar of nothing: {stray}"));
    }
    let expected = traceql_oracle::measure(held, request);
    for series in [std::mem::take(&mut measured.series), bare(exemplars)] {
        let same = series.len() == expected.len()
            && series.iter().zip(&expected).all(|(series, expected)| alike(series, expected));
        if !same {
            return Some(format!("{series:#?}\ninstead of\n{expected:#?}"));
        }
    }
    None
}

/// Equal but for the order in which values were added up.
fn alike(series: &MeasuredSeries, expected: &MeasuredSeries) -> bool {
    let near = |(&one, &other): (&f64, &f64)| {
        (one.is_nan() && other.is_nan()) || (one - other).abs() <= 1e-12 * other.abs()
    };
    // As text, in which NaN equals itself.
    format!("{:?}", series.labels) == format!("{:?}", expected.labels)
        && series.values.len() == expected.values.len()
        && series.values.iter().zip(&expected.values).all(near)
}

fn bare(measured: Measured) -> Vec<MeasuredSeries> {
    let without = |series| MeasuredSeries { exemplars: Vec::new(), ..series };
    measured.series.into_iter().map(without).collect()
}

/// A query and its options.
fn asked(text: &str) -> FindRequest {
    let (query, options) = text.split_once(" @ ").unwrap_or((text, ""));
    let mut request = everything(query);
    for option in options.split_whitespace() {
        let (name, number) = option.split_once('=').unwrap();
        let number: f64 = number.parse().unwrap();
        let before_now = Some(NOW - (number * 1e9) as u64);
        let millis = Some((number * 1e6) as u64);
        match name {
            "from" => request.start_unix_nano = before_now,
            "to" => request.end_unix_nano = before_now,
            "min" => request.duration_min_nano = millis,
            "max" => request.duration_max_nano = millis,
            "limit" => request.limit = number as usize,
            _ => panic!("no option: {name}"),
        }
    }
    request
}

pub fn find(bench: &Bench, request: &FindRequest) -> FoundPage {
    bench.wait(bench.engine().find(request.clone(), None)).unwrap()
}

/// All pages, one after the other.
pub fn paged(bench: &Bench, request: &FindRequest, limit: usize) -> Vec<FoundTrace> {
    let mut request = FindRequest { limit, ..request.clone() };
    let mut all: Vec<FoundTrace> = Vec::new();
    loop {
        let page = find(bench, &request);
        assert!(page.traces.len() <= limit && !page.partial);
        all.extend(page.traces);
        if !page.more {
            return all;
        }
        request.after = all.last().map(|found| Position {
            start_unix_nano: found.summary.start_unix_nano,
            trace_id: found.summary.trace_id,
        });
        assert!(all.len() < 10_000, "pages without end");
    }
}

/// Traces by their numbers, spans by their letters, or names where two share an id.
struct Names(BTreeMap<TraceId, (u64, Vec<(u64, String)>)>);

impl Names {
    fn of(spans: &[Sent]) -> Self {
        let mut names: BTreeMap<TraceId, (u64, Vec<(u64, String)>)> = BTreeMap::new();
        for sent in spans {
            let trace = sent.trace();
            let number = (1..100).find(|&number| trace_id(number) == trace).unwrap();
            let id = u64::from_be_bytes(sent.span.span_id.clone().try_into().unwrap());
            let own = names.entry(trace).or_insert((number, Vec::new()));
            own.1.push((id, sent.span.name.clone()));
        }
        Self(names)
    }

    fn spell(&self, found: &[FoundTrace]) -> String {
        let mut out = String::new();
        for found in found {
            let (number, spans) = &self.0[&found.summary.trace_id];
            let _ = write!(out, "{}t{number}:", if out.is_empty() { "" } else { " | " });
            for (at, set) in found.spansets.iter().enumerate() {
                out.push_str(if at > 0 { " /" } else { "" });
                assert_eq!(set.matched, set.spans.len() as u64);
                for span in &set.spans {
                    let id = u64::from_be_bytes(span.span_id.0);
                    let is_shared = spans.iter().filter(|(of, _)| *of == id).count() > 1;
                    let letter = char::from(id as u8).to_string();
                    let _ = write!(out, " {}", if is_shared { &span.name } else { &letter });
                }
                for (name, value) in &set.attributes {
                    let _ = write!(out, " [{name}={value}]");
                }
            }
        }
        if out.is_empty() { "nothing".to_owned() } else { out }
    }
}

/// The traces in every layout.
fn layouts(spans: &[Sent]) -> Vec<(&'static str, Bench)> {
    let head = Bench::new();
    head.append(&request(spans));
    let sealed = Bench::new();
    sealed.append(&request(spans));
    sealed.settle();
    let chunks = Bench::with(|options| options.chunk_rows = 3);
    spans.iter().for_each(|span| chunks.append(&request(std::slice::from_ref(span))));

    // Neighbours in a trace are apart, some of them still in the head.
    let split = |merge_blocks: usize| {
        let bench = Bench::with(move |options| options.merge_blocks = merge_blocks);
        for part in 0..4 {
            let some: Vec<Sent> = spans.iter().skip(part).step_by(4).cloned().collect();
            bench.append(&request(&some));
            if part < 3 {
                bench.settle();
            }
        }
        bench
    };
    let merged = split(2);
    merged.settle();
    let mut again = split(100);
    again.append(&request(&spans[..40]));
    again.settle();
    again.reopen();
    vec![
        ("in the head", head),
        ("in a block", sealed),
        ("in chunks", chunks),
        ("in pieces", split(100)),
        ("merged", merged),
        ("in blocks, some twice", again),
    ]
}

#[test]
fn every_query_has_its_answer_in_every_layout() {
    let spans = traceql_traces::all();
    let names = Names::of(&spans);
    let layouts = layouts(&spans);
    let lines: Vec<&str> = include_str!("traceql_suite.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    assert!(lines.len() >= 400, "{} queries", lines.len());
    let all = names.spell(&traceql_oracle::find(&spans, &everything("{}")));
    let mut wrong = String::new();
    for line in lines {
        let (text, expected) = line.split_once(" => ").unwrap();
        let expected = if expected == "all" { &all } else { expected };
        let request = asked(text);
        let mut naive = traceql_oracle::find(&spans, &request);
        naive.truncate(request.limit);
        if names.spell(&naive) != expected {
            let _ = writeln!(wrong, "naively: {text} => {}", names.spell(&naive));
        }
        for (layout, bench) in &layouts {
            let page = bench.wait(bench.engine().find(request.clone(), None));
            let found = page.unwrap_or_else(|error| panic!("{text}: {error}")).traces;
            if names.spell(&found) != expected {
                let _ = writeln!(wrong, "{layout}: {text} => {}", names.spell(&found));
            } else if format!("{found:?}") != format!("{naive:?}") {
                let _ = writeln!(wrong, "{layout}: {text}: {found:#?}\ninstead of\n{naive:#?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn metrics_count_what_a_naive_evaluator_counts_in_every_layout() {
    let spans = traceql_traces::all();
    let layouts = layouts(&spans);
    let lines: Vec<&str> = include_str!("traceql_metrics.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    assert!(lines.len() >= 60, "{} queries", lines.len());
    // All in one interval; minutes, some traces on their edges; and a part of the time.
    let windows = [
        (0, u64::MAX / 2, 2),
        (NOW - 30 * 60 * SECOND, 60 * SECOND, 32),
        (NOW - 400 * SECOND, 7_000_000_001, 50),
    ];
    let mut wrong = String::new();
    for line in lines {
        for (start_unix_nano, step_nano, steps) in windows {
            let leaf = metrics_leaf(line);
            let request = MeasureRequest {
                leaf,
                start_unix_nano,
                step_nano,
                steps,
                exemplars_max: 0,
                extrapolate: false,
            };
            for (layout, bench) in &layouts {
                if let Some(difference) = difference(bench, &spans, &request) {
                    let _ = writeln!(wrong, "{layout}: {line} by {step_nano}: {difference}");
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// An attribute with an id for every span is told by its totals on that side, by its values on the
/// other.
#[test]
fn too_many_values_are_not_compared_one_by_one() {
    let spans: Vec<Sent> = (0..10_100u64)
        .map(|at| {
            let mut sent =
                Sent::new(at % 50, at + 1).name(if at % 1_000 == 7 { "odd" } else { "" });
            sent.span.attributes = vec![crate::sent::int("id", at as i64)];
            sent
        })
        .collect();
    let bench = Bench::new();
    for some in spans.chunks(3_000) {
        bench.append(&request(some));
    }
    bench.settle();
    let leaf = metrics_leaf("{} | compare({ name = `odd` }, 3)");
    let (start_unix_nano, step_nano) = (NOW - SECOND, 2 * SECOND);
    let request = MeasureRequest {
        leaf,
        start_unix_nano,
        step_nano,
        steps: 1,
        exemplars_max: 0,
        extrapolate: false,
    };
    let series = measure(&bench, &request).series;
    let of_id = series.iter().filter(|series| series.labels[1].0 == "span.id");
    let told: Vec<String> = of_id
        .map(|series| {
            let labels: Vec<String> =
                series.labels.iter().map(|(_, value)| value.to_string()).collect();
            format!("{} {}", labels.join(" "), series.values[0])
        })
        .collect();
    let expected = [
        "`baseline` nil `__too_many_values__` 0",
        "`baseline_total` nil 10089",
        "`selection` 10007 1",
        "`selection` 1007 1",
        "`selection` 2007 1",
        "`selection_total` nil 11",
    ];
    assert_eq!(told, expected);
}

#[test]
fn pages_follow_each_other_without_gaps() {
    let spans = traceql_traces::all();
    let queries = [
        "{}",
        "{ status = error }",
        "{ kind = server } >> {}",
        "{ duration > 20ms } | count() > 1",
        "!{ kind = server }",
        "{ rootName =~ `.+` } | by(kind)",
    ];
    for (layout, bench) in layouts(&spans) {
        for query in queries {
            let request = everything(query);
            let expected = format!("{:?}", traceql_oracle::find(&spans, &request));
            for limit in [1, 2, 3, 7, 100] {
                let found = format!("{:?}", paged(&bench, &request, limit));
                assert_eq!(found, expected, "{layout}: {query} by {limit}");
            }
            let none = find(&bench, &FindRequest { limit: 0, ..request });
            assert!(none.traces.is_empty() && none.more, "{layout}: {query}");
        }
    }
}

/// The span that is found starts before the range of time, another one of its trace lies in it:
/// in another piece, while the piece of the first lies outside.
#[test]
fn a_trace_is_in_a_range_by_all_its_parts() {
    let early = Sent::new(1, 1).times(NOW - 5_000 * SECOND, NOW - 4_999 * SECOND).name("early");
    let late = Sent::new(1, 2).parent(1).times(NOW - 10 * SECOND, NOW - 9 * SECOND).name("late");
    let spans = [early, late];
    let bench = Bench::with(|options| options.merge_blocks = 100);
    for span in &spans {
        bench.append(&request(std::slice::from_ref(span)));
        bench.settle();
    }
    for query in ["{ name = `early` }", "{ name = `late` }", "{} > { name = `late` }", "{}"] {
        for (from, to) in [(20, 0), (5_000, 4_990), (3_000, 2_000), (9_000, 5_001), (5, 1)] {
            let asked = FindRequest {
                start_unix_nano: Some(NOW - from * SECOND),
                end_unix_nano: Some(NOW - to * SECOND),
                ..everything(query)
            };
            let found = find(&bench, &asked).traces;
            let expected = traceql_oracle::find(&spans, &asked);
            assert_eq!(found, expected, "{query} from {from} to {to}");
        }
    }
}

/// Whatever there is in the store, and how it lies there.
#[test]
fn structure_of_several_spansets_is_refused() {
    let bench = Bench::new();
    let refused = |query: &str| {
        let answer = bench.wait(bench.engine().find(everything(query), None));
        matches!(answer, Err(QueryError::Refused(reason)) if reason.contains("coalesce()"))
    };
    assert!(refused("({} | by(name)) > ({})"));
    assert!(refused("({}) !~ ({} | by(name) | count() > 1)"));
    assert!(refused("(({}) > ({} | by(name))) && ({ .a })"));
    assert!(!refused("({} | by(name) | coalesce()) > ({})"));
    assert!(!refused("({} | by(name)) && ({})"));
}
