//! Metrics of traces are those that a look at every span of whole traces gives, in every layout.

use std::collections::{BTreeMap, HashSet};

use model::{kind, status_code};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use store::{
    Cells, ConnectionType, MeasureRequest, QueryError, ServiceGraphSeries, SpanMetricsBy,
    SpanMetricsSeries, Store, TraceMetricsFamily, TraceMetricsRequest, TraceMetricsSet,
};

use crate::bench::{Bench, NOW, SECOND};
use crate::layouts::{layouts, spans};
use crate::sent::{Sent, int, request, text, value};

/// Of everything, told apart by everything, without cells and bounds.
fn blank(family: TraceMetricsFamily) -> TraceMetricsRequest {
    let by = SpanMetricsBy { name: true, kind: true, status: true };
    TraceMetricsRequest { family, services: None, edges: Vec::new(), bounds: Vec::new(), by }
}

fn asked(bench: &Bench, request: &TraceMetricsRequest) -> Result<TraceMetricsSet, QueryError> {
    bench.wait(bench.engine().trace_metrics(request.clone()))
}

/// What a look at every span gives.
mod naive {
    use super::*;

    /// Calls, failures, durations of servers and of clients.
    type Counted = (Vec<u64>, Vec<u64>, BTreeMap<u32, Durations>, BTreeMap<u32, Durations>);

    /// Sum and buckets.
    type Durations = (u64, Vec<u64>);

    fn service(sent: &Sent) -> String {
        attribute(&sent.resource.attributes, "service.name").unwrap_or_default()
    }

    fn attribute(list: &[KeyValue], key: &str) -> Option<String> {
        let found = list.iter().find(|attribute| attribute.key == key)?;
        match found.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => Some(text.clone()),
            Value::IntValue(number) => Some(number.to_string()),
            Value::BoolValue(truth) => Some(truth.to_string()),
            _ => None,
        }
    }

    fn status(sent: &Sent) -> i32 {
        sent.span.status.as_ref().map_or(0, |status| status.code)
    }

    /// An end 2^63 nanoseconds behind the start is one before it.
    fn duration(sent: &Sent) -> u64 {
        let (start, end) = (sent.span.start_time_unix_nano, sent.span.end_time_unix_nano);
        (end.wrapping_sub(start) as i64).max(0) as u64
    }

    fn cell(request: &TraceMetricsRequest, sent: &Sent) -> Option<usize> {
        let start = sent.span.start_time_unix_nano;
        // An end beyond the end of time is one before the start.
        let end = start.checked_add(duration(sent)).unwrap_or(start);
        let first = request.edges[0];
        let holds = |pair: &[u64]| {
            (pair[0] < end || end == 0 && pair[0] == 0 && first == 0) && end <= pair[1]
        };
        request.edges.windows(2).position(holds)
    }

    fn add(request: &TraceMetricsRequest, cell: &mut Durations, sent: &Sent) {
        cell.0 = cell.0.saturating_add(duration(sent));
        cell.1.resize(request.bounds.len() + 1, 0);
        let fits = request.bounds.iter().position(|&bound| duration(sent) <= bound);
        cell.1[fits.unwrap_or(request.bounds.len())] += 1;
    }

    fn cells(of: BTreeMap<u32, Durations>) -> Cells {
        let mut cells = Cells::default();
        of.into_iter().for_each(|(at, (sum, buckets))| cells.push(at, sum, &buckets));
        cells
    }

    fn wanted(request: &TraceMetricsRequest, names: &[&str]) -> bool {
        let any = |of: &Vec<String>| of.iter().any(|name| names.contains(&name.as_str()));
        request.services.as_ref().is_none_or(any)
    }

    pub fn spans(held: &[Sent], request: &TraceMetricsRequest) -> Vec<SpanMetricsSeries> {
        let mut all: BTreeMap<_, BTreeMap<u32, Durations>> = BTreeMap::new();
        for sent in held.iter().filter(|sent| wanted(request, &[&service(sent)])) {
            let Some(cell) = cell(request, sent) else { continue };
            let key = (
                service(sent),
                request.by.name.then(|| sent.span.name.clone()),
                request.by.kind.then_some(sent.span.kind),
                request.by.status.then(|| status(sent)),
            );
            add(request, all.entry(key).or_default().entry(cell as u32).or_default(), sent);
        }
        all.into_iter()
            .map(|((service, name, kind, status), of)| SpanMetricsSeries {
                service,
                name,
                kind,
                status,
                cells: cells(of),
            })
            .collect()
    }

    /// For each span another of the id that it names; of several one that may be above it.
    fn parents(held: &[Sent]) -> Vec<Option<usize>> {
        let mut by_id: BTreeMap<(&[u8], &[u8]), Vec<usize>> = BTreeMap::new();
        for (at, sent) in held.iter().enumerate() {
            by_id.entry((&sent.span.trace_id, &sent.span.span_id)).or_default().push(at);
        }
        let order = |at: &usize| {
            let span = &held[*at].span;
            (span.start_time_unix_nano, span.end_time_unix_nano, span.kind)
        };
        by_id.values_mut().for_each(|same| same.sort_by_key(order));
        let parent = |(at, sent): (usize, &Sent)| {
            let named = by_id.get(&(&sent.span.trace_id[..], &sent.span.parent_span_id[..]));
            let others: Vec<usize> =
                named.into_iter().flatten().copied().filter(|&other| other != at).collect();
            let above = match sent.span.kind {
                kind::SERVER | kind::CONSUMER => [kind::CLIENT, kind::PRODUCER],
                _ => [kind::SERVER, kind::CONSUMER],
            };
            let fits = |other: &usize| above.contains(&held[*other].span.kind);
            others.iter().copied().find(fits).or(others.first().copied())
        };
        held.iter().enumerate().map(parent).collect()
    }

    pub fn graph(held: &[Sent], request: &TraceMetricsRequest) -> Vec<ServiceGraphSeries> {
        let mut all: BTreeMap<(String, String, ConnectionType), Counted> = BTreeMap::new();
        let mut add = |client: Option<&Sent>, server: Option<&Sent>, names: [&str; 2], of| {
            let Some(cell) = server.or(client).and_then(|sent| cell(request, sent)) else { return };
            if !wanted(request, &names) {
                return;
            }
            let key = (names[0].to_owned(), names[1].to_owned(), of);
            let zeros = || vec![0; request.edges.len() - 1];
            let none = || (zeros(), zeros(), BTreeMap::new(), BTreeMap::new());
            let (calls, failed, servers, clients) = all.entry(key).or_insert_with(none);
            let both = client.into_iter().chain(server);
            calls[cell] += 1;
            failed[cell] += u64::from(both.into_iter().any(|of| status(of) == status_code::ERROR));
            for (durations, sent) in [(servers, server), (clients, client)] {
                if let Some(sent) = sent {
                    super::naive::add(request, durations.entry(cell as u32).or_default(), sent);
                }
            }
        };
        let parents = parents(held);
        let mut is_answered = vec![false; held.len()];
        for (sent, parent) in held.iter().zip(&parents) {
            if let (kind::SERVER | kind::CONSUMER, Some(parent)) = (sent.span.kind, *parent) {
                is_answered[parent] = true;
            }
        }
        for (at, sent) in held.iter().enumerate() {
            let name = service(sent);
            match sent.span.kind {
                kind::SERVER | kind::CONSUMER => match parents[at].map(|above| &held[above]) {
                    Some(above) => {
                        let of = match (above.span.kind, sent.span.kind) {
                            (kind::PRODUCER, kind::CONSUMER) => ConnectionType::Messaging,
                            (kind::CLIENT | kind::PRODUCER, _) => ConnectionType::Direct,
                            _ => continue,
                        };
                        add(Some(above), Some(sent), [&service(above), &name], of);
                    }
                    None if sent.span.kind == kind::SERVER
                        && sent.span.parent_span_id.is_empty() =>
                    {
                        add(None, Some(sent), ["user", &name], ConnectionType::VirtualNode);
                    }
                    None => {}
                },
                kind::CLIENT => {
                    let known = |key: &&str| {
                        attribute(&sent.span.attributes, key).is_some_and(|name| !name.is_empty())
                    };
                    let keys =
                        ["db.namespace", "db.name", "db.system", "db.system.name", "peer.service"];
                    let Some(key) = keys.iter().find(|key| known(key)) else { continue };
                    if !is_answered[at] {
                        let of = match *key {
                            "peer.service" => ConnectionType::VirtualNode,
                            _ => ConnectionType::Database,
                        };
                        let peer = attribute(&sent.span.attributes, key).unwrap();
                        add(Some(sent), None, [&name, &peer], of);
                    }
                }
                _ => {}
            }
        }
        all.into_iter()
            .map(|((client, server, connection_type), of)| ServiceGraphSeries {
                client,
                server,
                connection_type,
                calls: of.0,
                failed: of.1,
                server_durations: cells(of.2),
                client_durations: cells(of.3),
            })
            .collect()
    }
}

fn peer() -> impl Strategy<Value = Option<KeyValue>> {
    let key = select(vec![
        "db.namespace",
        "db.name",
        "db.system",
        "db.system.name",
        "peer.service",
        "peer.service",
        "server.address",
    ]);
    let content = select(vec![
        Some(Value::StringValue("mysql".to_owned())),
        Some(Value::StringValue("cart".to_owned())),
        Some(Value::StringValue(String::new())),
        Some(Value::IntValue(3)),
        Some(Value::BoolValue(true)),
        Some(Value::BytesValue(vec![0x35])),
        None,
    ]);
    proptest::option::weighted(0.5, (key, content).prop_map(|(key, content)| value(key, content)))
}

/// Spans that call each other: few ids, kinds that matter, peers; some are sent twice, and some
/// share their id with the span above them.
fn callers() -> impl Strategy<Value = Vec<Sent>> {
    let kinds = vec(select(vec![1, 2, 2, 3, 3, 3, 4, 5]), 60);
    let parents = vec(prop_oneof![1 => Just(0u64), 2 => 1..40u64], 60);
    let peers = vec(vec(peer(), 2), 60);
    let traces = vec(0..3u64, 60);
    let again = vec((0..60usize, 0..90usize), 0..6);
    let shared = vec(0..60usize, 0..3);
    (spans(), kinds, parents, peers, traces, again, shared).prop_map(
        |(mut all, kinds, parents, peers, traces, again, shared)| {
            for (at, sent) in all.iter_mut().enumerate() {
                let origin = Sent::new(traces[at], 0).parent(parents[at]).span;
                sent.span.trace_id = origin.trace_id;
                sent.span.parent_span_id = origin.parent_span_id;
                sent.span.kind = kinds[at];
                for peer in peers[at].iter().flatten() {
                    sent.span.attributes.retain(|attribute| attribute.key != peer.key);
                    sent.span.attributes.push(peer.clone());
                }
            }
            for at in shared {
                if let Some(mut twin) = all.get(at).cloned()
                    && twin.span.kind == kind::CLIENT
                    && all.iter().filter(|of| of.span.span_id == twin.span.span_id).count() == 1
                {
                    twin.span.kind = kind::SERVER;
                    twin.span.parent_span_id = twin.span.span_id.clone();
                    all.push(twin);
                }
            }
            for (from, to) in again {
                if let Some(sent) = all.get(from).cloned() {
                    all.insert(to.min(all.len()), sent);
                }
            }
            all
        },
    )
}

/// Some of the times at which spans start and end, and times beside them.
fn edges() -> impl Strategy<Value = Vec<u64>> {
    let times: Vec<u64> = (0..13u64)
        .flat_map(|at| [NOW + at * SECOND - 1, NOW + at * SECOND, NOW + at * SECOND + 1])
        .chain([0, 1, 2, NOW * 2, u64::MAX - 1, u64::MAX])
        .collect();
    subsequence(times.clone(), 2..times.len()).prop_map(|mut edges| {
        edges.sort_unstable();
        edges
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn counts_what_a_look_at_every_span_counts(
        sent in callers(),
        layout in layouts(),
        grids in vec(edges(), 3),
        bounds in subsequence(vec![0, 1, SECOND - 1, SECOND, 2 * SECOND, 5 * SECOND], 0..=6),
        services in proptest::option::of(subsequence(
            vec!["", "api", "cart", "user", "mysql", "nobody"],
            0..4,
        )),
        by in (any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let (bench, held) = layout.lay(&sent);
        let mut once: Vec<Sent> = Vec::new();
        let mut known = HashSet::new();
        for sent in held {
            let scope = format!("{:?} {:?}", sent.resource, sent.scope);
            if known.insert((scope, format!("{:?}", sent.span))) {
                once.push(sent);
            }
        }
        for edges in grids {
            let request = TraceMetricsRequest {
                services: services.iter().flatten().map(|of| (*of).to_owned()).map(Some).collect(),
                edges,
                bounds: bounds.clone(),
                by: SpanMetricsBy { name: by.0, kind: by.1, status: by.2 },
                ..blank(TraceMetricsFamily::SpanMetrics)
            };
            let request = TraceMetricsRequest {
                services: services.as_ref().and(request.services),
                ..request
            };
            let expected = TraceMetricsSet {
                spans: naive::spans(&once, &request),
                ..TraceMetricsSet::default()
            };
            prop_assert_eq!(asked(&bench, &request).unwrap(), expected, "{:?}", &request);
            let family = TraceMetricsFamily::ServiceGraph;
            let request = TraceMetricsRequest { family, ..request };
            let expected = TraceMetricsSet {
                edges: naive::graph(&once, &request),
                ..TraceMetricsSet::default()
            };
            prop_assert_eq!(asked(&bench, &request).unwrap(), expected, "{:?}", &request);
        }
    }
}

/// Calls and failures by client, server and type; everything counts in one cell.
fn calls(bench: &Bench, services: Option<&[&str]>) -> Vec<(String, u64, u64)> {
    let request = TraceMetricsRequest {
        services: services.map(|of| of.iter().map(|&name| name.to_owned()).collect()),
        edges: vec![0, u64::MAX],
        ..blank(TraceMetricsFamily::ServiceGraph)
    };
    let row = |of: &ServiceGraphSeries| {
        let label = of.connection_type.label();
        (format!("{} > {} {label}", of.client, of.server), of.calls[0], of.failed[0])
    };
    asked(bench, &request).unwrap().edges.iter().map(row).collect()
}

fn of_kind(kind: i32, mut sent: Sent) -> Sent {
    sent.span.kind = kind;
    sent
}

/// A name, spans of one trace, and the calls they make: both ends, how many, how many failed.
type WhatIsACall<'a> = (&'a str, Vec<Sent>, &'a [(&'a str, u64, u64)]);

#[test]
fn what_is_a_call_and_to_whom() {
    let span = |trace, id, parent| Sent::new(trace, id).parent(parent);
    let (server, client) = (|sent| of_kind(kind::SERVER, sent), |sent| of_kind(kind::CLIENT, sent));
    let (producer, consumer) =
        (|sent| of_kind(kind::PRODUCER, sent), |sent| of_kind(kind::CONSUMER, sent));
    let internal = |sent| of_kind(kind::INTERNAL, sent);
    let shop = |id, parent| span(1, id, parent).service("shop");
    let cart = |id, parent| span(1, id, parent).service("cart");
    let cases: [WhatIsACall; 18] = [
        ("a request", vec![client(shop(1, 9)), server(cart(2, 1))], &[("shop > cart ", 1, 0)]),
        (
            "a message",
            vec![producer(shop(1, 9)), consumer(cart(2, 1))],
            &[("shop > cart messaging_system", 1, 0)],
        ),
        (
            "several that take a message",
            vec![producer(shop(1, 9)), consumer(cart(2, 1)), consumer(cart(3, 1))],
            &[("shop > cart messaging_system", 2, 0)],
        ),
        (
            "a producer whose message a server takes",
            vec![producer(shop(1, 9)), server(cart(2, 1))],
            &[("shop > cart ", 1, 0)],
        ),
        ("not of a client", vec![internal(shop(1, 9)), server(cart(2, 1))], &[]),
        ("not by a server", vec![client(shop(1, 9)), internal(cart(2, 1))], &[]),
        (
            "inside one service",
            vec![client(shop(1, 9)), server(shop(2, 1))],
            &[("shop > shop ", 1, 0)],
        ),
        (
            "the client failed",
            vec![client(shop(1, 9)).status(2), server(cart(2, 1)).status(1)],
            &[("shop > cart ", 1, 1)],
        ),
        (
            "the server failed",
            vec![client(shop(1, 9)), server(cart(2, 1)).status(2)],
            &[("shop > cart ", 1, 1)],
        ),
        ("a root", vec![server(cart(1, 0)).status(2)], &[("user > cart virtual_node", 1, 1)]),
        ("a root that takes a message", vec![consumer(cart(1, 0))], &[]),
        ("a server whose client is not stored", vec![server(cart(1, 9))], &[]),
        (
            "a database, by the first of its names",
            vec![
                client(shop(1, 9)).attribute(text("db.system.name", "pg")),
                client(shop(2, 9))
                    .attribute(text("db.system.name", "pg"))
                    .attribute(text("db.system", "mysql")),
                client(shop(3, 9))
                    .attribute(text("db.system", "mysql"))
                    .attribute(text("db.name", "orders")),
                client(shop(4, 9))
                    .attribute(text("db.name", "orders"))
                    .attribute(text("db.namespace", "space"))
                    .status(2),
            ],
            &[
                ("shop > mysql database", 1, 0),
                ("shop > orders database", 1, 0),
                ("shop > pg database", 1, 0),
                ("shop > space database", 1, 1),
            ],
        ),
        (
            "a peer, unless it is a database",
            vec![
                client(shop(1, 9)).attribute(text("peer.service", "pay")),
                client(shop(2, 9))
                    .attribute(text("peer.service", "pay"))
                    .attribute(text("db.system", "mysql")),
            ],
            &[("shop > mysql database", 1, 0), ("shop > pay virtual_node", 1, 0)],
        ),
        (
            "names are text or numbers, and not empty",
            vec![
                client(shop(1, 9)).attribute(text("db.name", "")),
                client(shop(2, 9)).attribute(int("db.name", 7)),
                client(shop(3, 9)).attribute(text("server.address", "db:5432")),
            ],
            &[("shop > 7 database", 1, 0)],
        ),
        (
            "a server that is stored goes before a name",
            vec![
                client(shop(1, 9)).attribute(text("db.name", "orders")),
                server(cart(2, 1)),
                internal(cart(3, 1)),
            ],
            &[("shop > cart ", 1, 0)],
        ),
        (
            "nobody but clients calls by name",
            vec![
                producer(shop(1, 9)).attribute(text("peer.service", "pay")),
                internal(shop(2, 9)).attribute(text("db.name", "orders")),
            ],
            &[],
        ),
        (
            "client and server of one id",
            vec![client(shop(5, 9)).attribute(text("peer.service", "x")), server(cart(5, 5))],
            &[("shop > cart ", 1, 0)],
        ),
    ];
    for (what, spans, expected) in cases {
        for (chunk_rows, settle) in [(100, false), (1, false), (1, true)] {
            let bench = Bench::with(move |options| {
                options.chunk_rows = chunk_rows;
                options.merge_blocks = 100;
            });
            // The last first, each in a piece of its own, and twice.
            for sent in spans.iter().rev().chain(&spans) {
                bench.append(&request(std::slice::from_ref(sent)));
                if settle {
                    bench.settle();
                }
            }
            let found = calls(&bench, None);
            let found: Vec<(&str, u64, u64)> = found
                .iter()
                .map(|(name, calls, failed)| (name.as_str(), *calls, *failed))
                .collect();
            assert_eq!(found, expected, "{what}, {chunk_rows} rows to a chunk, settle: {settle}");
        }
    }
}

#[test]
fn a_service_is_asked_for_at_either_end() {
    let bench = Bench::new();
    let sent =
        |id, parent, service, kind| of_kind(kind, Sent::new(1, id).parent(parent).service(service));
    bench.append(&request(&[
        sent(1, 0, "web", kind::SERVER),
        sent(2, 1, "web", kind::CLIENT),
        sent(3, 2, "cart", kind::SERVER),
        sent(4, 3, "cart", kind::CLIENT).attribute(text("db.name", "orders")),
        sent(5, 3, "", kind::CLIENT),
        sent(6, 5, "", kind::SERVER),
    ]));
    let names = |services: &[&str]| {
        let rows = calls(&bench, Some(services)).into_iter();
        rows.map(|(name, ..)| name.trim_end().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["cart"]), ["cart > orders database", "web > cart"]);
    assert_eq!(names(&["user", "orders"]), ["cart > orders database", "user > web virtual_node"]);
    assert_eq!(names(&[""]), [" >"]);
    assert_eq!(names(&["nobody"]), Vec::<String>::new());
    assert_eq!(names(&[]), Vec::<String>::new());
}

#[test]
fn edges_belong_to_the_cell_that_they_end_and_bounds_to_their_bucket() {
    let bench = Bench::new();
    let ends = [NOW - 1, NOW, NOW + 1, NOW + 10, NOW + 11];
    let spans = ends.iter().zip(1..).map(|(&end, id)| Sent::new(id, id).times(end - 5, end));
    bench.append(&request(&spans.collect::<Vec<_>>()));
    let long = [4, 5, 6].map(|length| Sent::new(9, 90 + length).times(NOW + 20, NOW + 20 + length));
    bench.append(&request(&long));
    // An end before the start is no time at all.
    bench.append(&request(&[Sent::new(10, 10).times(NOW + 31, NOW)]));
    let request = TraceMetricsRequest {
        edges: vec![NOW - 1, NOW, NOW + 10, NOW + 20, NOW + 30, NOW + 31],
        bounds: vec![0, 5],
        by: SpanMetricsBy::default(),
        ..blank(TraceMetricsFamily::SpanMetrics)
    };
    let found = asked(&bench, &request).unwrap().spans;
    let [series] = &found[..] else { panic!("one service: {found:?}") };
    assert_eq!((series.service.as_str(), series.name.as_ref()), ("api", None));
    let cells: Vec<(usize, u64, u64, &[u64])> = series
        .cells
        .iter()
        .map(|(at, cell)| (at, cell.count, cell.sum_nanos, cell.buckets))
        .collect();
    let expected: [(usize, u64, u64, &[u64]); 5] = [
        (0, 1, 5, &[0, 1, 0]),
        (1, 2, 10, &[0, 2, 0]),
        (2, 1, 5, &[0, 1, 0]),
        (3, 3, 15, &[0, 2, 1]),
        (4, 1, 0, &[1, 0, 0]),
    ];
    assert_eq!(cells, expected);
    let all = TraceMetricsRequest { edges: vec![0, u64::MAX], ..request };
    bench.append(&crate::sent::request(&[Sent::new(11, 11).times(0, 0)]));
    let found = asked(&bench, &all).unwrap().spans;
    assert_eq!(found[0].cells.iter().map(|(_, cell)| cell.count).collect::<Vec<_>>(), [10]);
}

/// A name, spans of one trace, edges of cells, and what is in the cells.
type WhereItCounts<'a> = (&'a str, Vec<Sent>, &'a [u64], &'a [(usize, u64)]);

#[test]
fn a_span_counts_where_it_ends_whatever_else_its_trace_and_its_block_do() {
    let span = |id, start, end| Sent::new(1, id).times(start, end);
    let cases: [WhereItCounts; 10] = [
        ("at the first instant", vec![span(1, NOW - 9, NOW)], &[NOW - 1, NOW + 5], &[(0, 1)]),
        ("before it", vec![span(1, NOW - 9, NOW)], &[NOW, NOW + 5], &[]),
        ("at the last instant", vec![span(1, NOW, NOW)], &[NOW - 5, NOW], &[(0, 1)]),
        ("behind it", vec![span(1, NOW - 9, NOW)], &[NOW - 5, NOW - 1], &[]),
        (
            "started long before",
            vec![span(1, NOW - SECOND, NOW), span(2, NOW - SECOND, NOW - SECOND)],
            &[NOW - 1, NOW, NOW + 1],
            &[(0, 1)],
        ),
        (
            "ends long after its trace began",
            vec![span(1, NOW, NOW + SECOND), span(2, NOW, NOW + 1)],
            &[NOW, NOW + 1, NOW + 2],
            &[(0, 1)],
        ),
        (
            "a start of 0, in a trace of now",
            vec![span(1, 0, 0), span(2, 0, 7), span(3, NOW, NOW + 1)],
            &[0, 5, NOW - 1, NOW + 1],
            &[(0, 1), (1, 1), (2, 1)],
        ),
        (
            "a start of 0 is outside, its trace is not",
            vec![span(1, 0, 0), span(2, 0, 7), span(3, NOW, NOW + 1)],
            &[NOW, NOW + 1],
            &[(0, 1)],
        ),
        (
            "a start of 0 is inside, its trace is not",
            vec![span(1, 0, 7), span(2, NOW, NOW + 1)],
            &[6, 7],
            &[(0, 1)],
        ),
        ("the end of time", vec![span(1, u64::MAX, 3)], &[NOW, u64::MAX], &[(0, 1)]),
    ];
    for (what, spans, edges, expected) in cases {
        let bench = Bench::new();
        bench.append(&request(&spans));
        for settle in [false, true] {
            if settle {
                bench.settle();
            }
            let request = TraceMetricsRequest {
                edges: edges.to_vec(),
                by: SpanMetricsBy::default(),
                ..blank(TraceMetricsFamily::SpanMetrics)
            };
            let found = asked(&bench, &request).unwrap().spans;
            let cells: Vec<(usize, u64)> = found
                .iter()
                .flat_map(|of| of.cells.iter())
                .map(|(at, of)| (at, of.count))
                .collect();
            assert_eq!(cells, expected, "{what}, sealed: {settle}");
        }
    }
}

#[test]
fn a_damaged_block_is_left_out_and_said_so() {
    let mut bench = Bench::with(|options| options.merge_blocks = 100);
    let root = |id| Sent::new(id, id).service(&format!("service {id}"));
    for id in 1..3 {
        bench.append(&request(&[root(id)]));
        bench.settle();
    }
    bench.close();
    let spans = crate::bench::block_folders(&bench.folder())[0].join("spans.parquet");
    let mut bytes = std::fs::read(&spans).unwrap();
    bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
    std::fs::write(&spans, bytes).unwrap();
    bench.open();
    for family in [TraceMetricsFamily::SpanMetrics, TraceMetricsFamily::ServiceGraph] {
        let request = TraceMetricsRequest { edges: vec![0, u64::MAX], ..blank(family) };
        let found = asked(&bench, &request).unwrap();
        assert_eq!((found.spans.len() + found.edges.len(), found.partial), (1, true), "{found:?}");
    }
}

#[test]
fn spans_of_other_times_are_not_read() {
    let mut bench = Bench::with(|options| options.merge_blocks = 100);
    let old = |id| Sent::new(1, id).times(NOW - 3_600 * SECOND, NOW - 3_599 * SECOND);
    let new = Sent::new(2, 3).times(NOW - 2 * SECOND, NOW - SECOND);
    // The old trace lies in two blocks, the new one in a block and, sent again, in the head.
    for sent in [old(1), old(2), new.clone()] {
        bench.append(&request(&[sent]));
        bench.settle();
    }
    bench.append(&request(&[new]));
    bench.close();
    for folder in &crate::bench::block_folders(&bench.folder())[..2] {
        let mut bytes = std::fs::read(folder.join("spans.parquet")).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
        std::fs::write(folder.join("spans.parquet"), bytes).unwrap();
    }
    bench.open();
    let request = TraceMetricsRequest {
        edges: vec![NOW - 60 * SECOND, NOW],
        ..blank(TraceMetricsFamily::SpanMetrics)
    };
    let counted = |request: &TraceMetricsRequest| {
        let found = asked(&bench, request).unwrap();
        let cells = found.spans.iter().flat_map(|of| of.cells.iter());
        (cells.map(|(_, cell)| cell.count).sum::<u64>(), found.partial)
    };
    assert_eq!(counted(&request), (1, false));
    let leaf = crate::traceql_suite::metrics_leaf("{ name = `GET /` } | rate() by (kind)");
    let (start_unix_nano, step_nano) = (NOW - 60 * SECOND, 60 * SECOND);
    let asked = MeasureRequest {
        leaf,
        start_unix_nano,
        step_nano,
        steps: 1,
        exemplars_max: 0,
        extrapolate: false,
    };
    let measured = crate::traceql_suite::measure(&bench, &asked);
    assert_eq!((measured.series[0].values[0] * 60.0, measured.partial), (1.0, false));
    // Two blocks were left out, which nothing was put together for; one is looked at, and the head.
    assert_eq!((measured.stats.pieces_skipped, measured.stats.pieces), (2, 5));
    assert_eq!(counted(&TraceMetricsRequest { edges: vec![0, NOW], ..request }), (1, true));
}

/// More cells than a thread holds at once, all of one trace.
#[test]
fn a_trace_of_many_cells_is_counted_in_parts() {
    let bench = Bench::new();
    let spans = (0..9_000).map(|at| Sent::new(1, at + 1).times(NOW, NOW + at + 1));
    bench.append(&request(&spans.collect::<Vec<_>>()));
    for family in [TraceMetricsFamily::SpanMetrics, TraceMetricsFamily::ServiceGraph] {
        let request = TraceMetricsRequest {
            edges: (NOW..=NOW + 9_000).collect(),
            bounds: (0..64).collect(),
            ..blank(family)
        };
        let found = asked(&bench, &request).unwrap();
        let of_spans = found.spans.iter().flat_map(|of| of.cells.iter());
        let of_calls = found.edges.iter().flat_map(|of| of.server_durations.iter());
        let cells: Vec<(usize, u64, u64)> =
            of_spans.chain(of_calls).map(|(at, of)| (at, of.count, of.sum_nanos)).collect();
        let expected: Vec<(usize, u64, u64)> =
            (0..9_000).map(|at| (at, 1, at as u64 + 1)).collect();
        assert!(cells == expected, "{family:?}: {} cells", cells.len());
    }
}

#[test]
fn what_cannot_be_counted_is_refused() {
    let bench = Bench::new();
    let cases: [(Vec<u64>, Vec<u64>, &str); 7] = [
        (vec![], vec![], "the query has 0 edges of cells; 2 to 22003 can be counted"),
        (vec![5], vec![], "the query has 1 edges of cells; 2 to 22003 can be counted"),
        (
            (0..22_004).collect(),
            vec![],
            "the query has 22004 edges of cells; 2 to 22003 can be counted",
        ),
        (vec![1, 1], vec![], "the edges of cells must ascend"),
        (vec![2, 1], vec![], "the edges of cells must ascend"),
        (vec![0, 1], vec![7, 7], "the bounds of buckets must ascend"),
        (
            vec![0, 1],
            (0..65).collect(),
            "the query has 65 bounds of buckets; at most 64 can be counted",
        ),
    ];
    for (edges, bounds, expected) in cases {
        let refused = asked(
            &bench,
            &TraceMetricsRequest { edges, bounds, ..blank(TraceMetricsFamily::ServiceGraph) },
        );
        assert_eq!(refused, Err(QueryError::Refused(expected.to_owned())));
    }
}

#[test]
fn series_that_take_too_much_memory_are_refused() {
    let bench = Bench::new();
    // Each is a series of 10,000 cells of which 16 bytes are held for every one, counted or not.
    let spans = (1..1_700).map(|id| Sent::new(id, id).service(&format!("service {id}")));
    bench.append(&request(&spans.collect::<Vec<_>>()));
    let few = TraceMetricsRequest {
        edges: (NOW..NOW + 10_001).chain([u64::MAX]).collect(),
        services: Some(vec!["service 7".to_owned()]),
        ..blank(TraceMetricsFamily::ServiceGraph)
    };
    assert_eq!(asked(&bench, &few).unwrap().edges.len(), 1);
    let all = TraceMetricsRequest { services: None, ..few };
    let refused = asked(&bench, &all).unwrap_err().to_string();
    let what = " values, which take more than 256 MiB: ask for fewer services";
    assert!(refused.contains(what), "{refused}");
    let fewer_cells = TraceMetricsRequest { edges: vec![0, u64::MAX], ..all };
    assert_eq!(asked(&bench, &fewer_cells).unwrap().edges.len(), 1_699);
}

#[test]
fn the_most_edges_and_bounds_are_taken() {
    let bench = Bench::new();
    let most = TraceMetricsRequest {
        edges: (0..22_003).collect(),
        bounds: (0..64).collect(),
        ..blank(TraceMetricsFamily::SpanMetrics)
    };
    assert_eq!(asked(&bench, &most), Ok(TraceMetricsSet::default()));
}
