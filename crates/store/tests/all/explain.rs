//! What is told of a query: what was read, what was not and why, and how long each step took.

use store::{FindRequest, MeasureRequest, QueryStats, QueryStep, Store};

use crate::bench::{Bench, HOUR, NOW, SECOND};
use crate::sent::{Sent, int, request, text};
use crate::traceql_suite::{everything, find, measure, metrics_leaf};

/// Blocks, each with the traces of an hour, the first the oldest; the last hour's are in the head.
fn hours(blocks: u64) -> Bench {
    let bench = Bench::with(|options| options.merge_blocks = 100);
    for hour in 0..=blocks {
        let traces = (0..20).map(|trace| hour * 100 + trace);
        let sent: Vec<Sent> = traces.flat_map(|trace| spans(trace, hour)).collect();
        bench.append(&request(&sent));
        if hour < blocks {
            bench.settle();
        }
    }
    bench
}

/// A server's span and a client's below it.
fn spans(trace: u64, hour: u64) -> [Sent; 2] {
    let start = NOW + hour * HOUR + trace % 100 * SECOND;
    let service = if hour == 1 { "cart" } else { "api" };
    let span = |id: u64| {
        Sent::new(trace, trace * 10 + id)
            .service(service)
            .times(start, start + SECOND)
            .attribute(text("order.id", &format!("order {trace}")))
            .attribute(int("size", trace as i64))
    };
    let mut client = span(2).parent(trace * 10 + 1).name("pay").status(2);
    client.span.kind = 3;
    [span(1), client]
}

fn found(bench: &Bench, query: &str, bend: impl FnOnce(&mut FindRequest)) -> (usize, QueryStats) {
    let mut request = everything(query);
    bend(&mut request);
    let page = find(bench, &request);
    (page.traces.len(), page.stats)
}

fn measured(bench: &Bench, query: &str, start: u64, end: u64) -> QueryStats {
    let request = MeasureRequest {
        leaf: metrics_leaf(query),
        start_unix_nano: start,
        step_nano: end - start,
        steps: 1,
        exemplars_max: 0,
        extrapolate: false,
    };
    measure(bench, &request).stats
}

fn columns(stats: &QueryStats) -> Vec<&str> {
    stats.columns.iter().map(|column| column.name.as_str()).collect()
}

#[test]
fn pieces_outside_of_the_time_are_told() {
    let bench = hours(3);
    let (count, stats) = found(&bench, "{ kind = server }", |request| {
        request.start_unix_nano = Some(NOW + HOUR);
        request.end_unix_nano = Some(NOW + 2 * HOUR);
    });
    assert_eq!((count, stats.pieces, stats.pieces_skipped, stats.slabs), (20, 4, 3, 1));
    assert_eq!((stats.spans, stats.traces, stats.candidates), (40, 20, 20));
    let stats = measured(&bench, "{ } | rate()", NOW + HOUR - 1, NOW + 2 * HOUR - 1);
    assert_eq!((stats.pieces, stats.pieces_skipped, stats.slabs), (4, 3, 1));
    let (_, stats) = found(&bench, "{ kind = server }", |_| {});
    assert_eq!((stats.pieces_skipped, stats.slabs), (0, 4));
}

#[test]
fn row_groups_that_cannot_meet_a_query_are_told_and_not_read() {
    let bench = hours(3);
    for (query, found_count, read, by_statistics, by_filters) in [
        ("{ resource.service.name = `cart` }", 20, 1, 3, 0),
        ("{ resource.service.name = `no such` }", 0, 0, 4, 0),
        ("{ .service.name =~ `c.*` }", 20, 1, 3, 0),
        ("{ span.nosuch = 1 }", 0, 0, 4, 0),
        ("{ event.any != nil }", 0, 0, 4, 0),
        ("{ instrumentation.any = `a` || link.any = `b` }", 0, 0, 4, 0),
        // What is in memory has no filters.
        ("{ span.order.id = `order 105` }", 1, 2, 0, 2),
        ("{ .order.id = `order 105` }", 1, 2, 0, 2),
        ("{ span.order.id = `no such` }", 0, 1, 0, 3),
        ("{ name = `no such` }", 0, 1, 0, 3),
        (
            "{ kind = server && resource.service.name = `api` && span.order.id = `order 5` }",
            1,
            2,
            1,
            1,
        ),
        ("{ span.order.id = `order 5` || resource.service.name = `cart` }", 21, 3, 0, 1),
        ("{ span.order.id = `order 5` } >> { name = `pay` }", 1, 2, 0, 2),
        ("{ span.order.id = `no such` } !>> { name = `pay` }", 80, 4, 0, 0),
        ("{ name = `pay` } !>> { span.order.id = `no such` }", 0, 1, 0, 3),
        ("{ resource.service.name = `cart` } && { kind = server } | count() > 1", 20, 1, 3, 0),
        ("{ !(span.order.id = `no such`) }", 80, 4, 0, 0),
        ("{ span.size = 105 }", 1, 4, 0, 0),
        // A number is no text.
        ("{ span.size = `105` }", 0, 0, 4, 0),
        ("{ span.order.id != nil }", 80, 4, 0, 0),
        ("{ span.nosuch = nil }", 80, 4, 0, 0),
    ] {
        let (count, stats) = found(&bench, query, |_| {});
        let told = (stats.slabs, stats.slabs_skipped_by_statistics, stats.slabs_skipped_by_filters);
        assert_eq!((count, told), (found_count, (read, by_statistics, by_filters)), "{query}");
        if !query.contains(['>', '|']) {
            let rate = measured(&bench, &format!("{query} | rate()"), NOW - 1, NOW + 9 * HOUR);
            let told =
                (rate.slabs, rate.slabs_skipped_by_statistics, rate.slabs_skipped_by_filters);
            assert_eq!(told, (read, by_statistics, by_filters), "{query} | rate()");
        }
    }
}

#[test]
fn pieces_behind_the_newest_results_are_not_opened() {
    let bench = hours(8);
    for query in ["{ kind = server }", "{ kind = server } >> { kind = client }"] {
        let (count, stats) = found(&bench, query, |request| request.limit = 3);
        // Four row groups are looked at together.
        assert_eq!(
            (count, stats.pieces, stats.pieces_behind, stats.slabs),
            (3, 9, 5, 4),
            "{query}"
        );
    }
    let (count, stats) = found(&bench, "{ span.order.id = `order 5` }", |of| of.limit = 1);
    assert_eq!((count, stats.pieces_behind), (1, 0));
}

#[test]
fn the_columns_that_are_told_are_those_that_a_query_needs() {
    let bench = hours(1);
    let always = ["span:duration_nano", "span:name", "span:span_id", "span:start_offset_nano"];
    for (query, more) in [
        ("{ }", &[][..]),
        ("{ status = error }", &["span:status_code"]),
        ("{ resource.service.name != `cart` }", &["span:scope"]),
        ("{ span.order.id =~ `order 1.` }", &["span.order.id"]),
        ("{ span.size > 3 && kind = client }", &["span.size (int)", "span:kind"]),
        (
            "{ kind = server } >> { status = error }",
            &["span:kind", "span:parent_distance", "span:status_code"],
        ),
        ("{ } | select(span.size)", &["span.size (int)"]),
    ] {
        let (_, stats) = found(&bench, query, |_| {});
        let mut expected: Vec<&str> = always.iter().chain(more).copied().collect();
        expected.sort_unstable();
        assert_eq!(columns(&stats), expected, "{query}");
        for column in &stats.columns {
            assert!(column.rows > 0 && column.bytes > 0, "{query}: {column:?}");
        }
        let bytes: u64 = stats.columns.iter().map(|column| column.bytes).sum();
        assert!(stats.bytes_read >= bytes, "{query}: {stats:?}");
    }
    for (query, expected) in [
        ("{ } | rate()", &[][..]),
        ("{ } | rate() by (resource.service.name)", &["span:scope"]),
        ("{ } | max_over_time(duration) by (name)", &["span:duration_nano", "span:name"]),
        (
            "{ status = error } | count_over_time() by (span.size)",
            &["span.size (int)", "span:status_code"],
        ),
    ] {
        let stats = measured(&bench, query, NOW - 1, NOW + 9 * HOUR);
        assert_eq!(columns(&stats), expected, "{query}");
    }
    // What is in memory is read from no file.
    let head = hours(0);
    let (_, stats) = found(&head, "{ span.size > 3 }", |_| {});
    assert_eq!((stats.bytes_read, stats.pieces), (0, 1));
    assert!(stats.columns.iter().all(|column| column.bytes == 0 && column.rows > 0), "{stats:?}");
}

#[test]
fn steps_are_told_in_their_order() {
    let bench = hours(2);
    let steps = |stats: &QueryStats| -> Vec<QueryStep> {
        for time in &stats.steps {
            assert!(time.work_nano >= time.wall_nano.min(1) && time.wall_nano > 0, "{time:?}");
        }
        stats.steps.iter().map(|time| time.step).collect()
    };
    use QueryStep::{Answer, Count, Filter, Judge, Plan, Prune, Seams};
    let (_, stats) = found(&bench, "{ kind = server } >> { status = error }", |_| {});
    assert_eq!(steps(&stats), [Plan, Seams, Prune, Filter, Judge, Answer]);
    let stats = measured(&bench, "{ status = error } | rate()", NOW - 1, NOW + 9 * HOUR);
    assert_eq!(steps(&stats), [Seams, Prune, Filter, Count, Answer]);
    let names: Vec<&str> = QueryStep::ALL.iter().map(|step| step.name()).collect();
    assert_eq!(names, ["plan", "seams", "prune", "filter", "judge", "count", "answer"]);
}

/// Traces with spans in two blocks each: few are put together where few can have a result.
#[test]
fn traces_of_several_pieces_are_put_together_where_they_can_matter() {
    let bench = Bench::with(|options| options.merge_blocks = 100);
    for part in 0..2 {
        let parts = (0..300).map(|trace| spans(trace, 0)[part].clone());
        bench.append(&request(&parts.collect::<Vec<Sent>>()));
        bench.settle();
    }
    for (query, limit, count, joined) in [
        // All are whole there, as each has its server in one and its client in the other.
        ("{ kind = server } >> { kind = client }", usize::MAX, 300, 300),
        ("{ kind = server } >> { span.size = 7 && status = error }", usize::MAX, 1, 1),
        ("{ span.order.id = `no such` } >> { }", usize::MAX, 0, 0),
        // Enough newest ones.
        ("{ kind = server } >> { kind = client }", 5, 5, 32),
        // Each of its spans by itself: those that are listed.
        ("{ span.size = 7 }", usize::MAX, 1, 1),
    ] {
        let (found_count, stats) = found(&bench, query, |request| request.limit = limit);
        assert_eq!((found_count, stats.traces_joined), (count, joined), "{query} {limit}");
    }
    let services = bench.wait(bench.engine().services()).unwrap();
    assert_eq!(services[0].span_count, 600);
}
