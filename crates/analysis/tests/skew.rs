//! Cases of clock skew, worked out by hand. Times are milliseconds.

use analysis::skew::{Adjusted, Timed, adjust, duration_text};
use model::SpanId;

const MS: i64 = 1_000_000;

/// Id, parent, start, duration, host.
type Row = (u64, u64, u64, u64, &'static str);

/// What it is about, spans, the most in milliseconds; starts and warnings.
type Case<'a> = (&'a str, &'a [Row], u64, &'a [i64], &'a [&'a str]);

fn spans(rows: &[Row]) -> Vec<Timed<'static>> {
    let span = |&(id, parent, start, length, host): &Row| Timed {
        id: SpanId::from_number(id),
        parent: SpanId::from_number(parent),
        start_unix_nano: start * MS as u64,
        end_unix_nano: (start + length) * MS as u64,
        host,
    };
    rows.iter().map(span).collect()
}

/// Starts after the adjustment, and all warnings.
fn result(rows: &[Row], max_ms: u64) -> (Vec<i64>, Vec<String>) {
    let adjusted: Vec<Adjusted> = adjust(&spans(rows), max_ms * MS as u64);
    let starts = rows.iter().zip(&adjusted).map(|(row, adjusted)| {
        assert_eq!(adjusted.shift_nano % MS, 0);
        row.2 as i64 + adjusted.shift_nano / MS
    });
    (starts.collect(), adjusted.iter().flat_map(|each| each.warnings.clone()).collect())
}

#[test]
fn one_step() {
    let missing =
        "parent span ID=0000000000000063 is not in the trace; skipping clock skew adjustment";
    let twice = "duplicate span IDs; skipping clock skew adjustment";
    let moved = |by: &str| format!("This span's timestamps were adjusted by {by}");
    let table: [Case<'_>; 16] = [
        ("parent missing", &[(1, 99, 0, 100, "a")], 0, &[0], &[missing]),
        ("no host, no parent", &[(1, 0, 0, 100, "")], 0, &[0], &[]),
        ("an id twice", &[(1, 0, 0, 10, "a"), (1, 0, 5, 10, "a")], 0, &[0, 5], &[twice]),
        ("inside", &[(1, 0, 0, 100, "a"), (2, 1, 10, 50, "a")], 0, &[0, 10], &[]),
        ("one host, untouched", &[(1, 0, 10, 100, "a"), (2, 1, 0, 50, "a")], 0, &[10, 0], &[]),
        ("fits", &[(1, 0, 10, 100, "a"), (2, 1, 20, 50, "b")], 0, &[10, 20], &[]),
        ("fits to the edges", &[(1, 0, 10, 100, "a"), (2, 1, 10, 100, "b")], 0, &[10, 10], &[]),
        ("outlasts", &[(1, 0, 10, 100, "a"), (2, 1, 20, 150, "b")], 0, &[10, 20], &[]),
        (
            "too far back",
            &[(1, 0, 10, 100, "a"), (2, 1, 0, 50, "b")],
            10,
            &[10, 0],
            &[
                "max clock skew adjustment delta of 10ms exceeded; not applying calculated delta of \
               35ms",
            ],
        ),
        (
            "too far ahead",
            &[(1, 0, 10, 100, "a"), (2, 1, 80, 50, "b")],
            10,
            &[10, 80],
            &[
                "max clock skew adjustment delta of 10ms exceeded; not applying calculated delta of \
               -45ms",
            ],
        ),
        (
            "off",
            &[(1, 0, 10, 100, "a"), (2, 1, 0, 50, "b")],
            0,
            &[10, 0],
            &["clock skew adjustment disabled; not applying calculated delta of 35ms"],
        ),
        (
            "to the middle",
            &[(1, 0, 10, 100, "a"), (2, 1, 0, 50, "b")],
            1000,
            &[10, 35],
            &[&moved("35ms")],
        ),
        (
            "just as far as allowed",
            &[(1, 0, 10, 100, "a"), (2, 1, 0, 50, "b")],
            35,
            &[10, 35],
            &[&moved("35ms")],
        ),
        (
            "outlasts and starts early",
            &[(1, 0, 10, 100, "a"), (2, 1, 0, 150, "b")],
            1000,
            &[10, 10],
            &[&moved("10ms")],
        ),
        (
            "those below on the same host go along",
            &[(1, 0, 10, 100, "a"), (2, 1, 50, 70, "b"), (3, 2, 60, 20, "b")],
            1000,
            &[10, 25, 35],
            &[&moved("-25ms"), &moved("-25ms")],
        ),
        // The child of an unknown host is compared with its parent as that was moved: 35..85; 0..10
        // goes to its middle.
        (
            "hosts that nothing tells apart are compared each time",
            &[(1, 0, 10, 100, ""), (2, 1, 0, 50, ""), (3, 2, 0, 10, "")],
            1000,
            &[10, 35, 55],
            &[&moved("35ms"), &moved("55ms")],
        ),
    ];
    for (what, rows, max_ms, starts, warnings) in table {
        let (found_starts, found_warnings) = result(rows, max_ms);
        assert_eq!(found_starts, starts, "{what}");
        assert_eq!(found_warnings, warnings, "{what}");
    }
}

#[test]
fn a_delta_that_was_refused_is_inherited() {
    let rows = [(1, 0, 10, 100, "a"), (2, 1, 0, 50, "b"), (3, 2, 5, 5, "b"), (4, 3, 5, 5, "a")];
    let (starts, warnings) = result(&rows, 10);
    // The last is on the first's host again, and fits the third as that lies.
    assert_eq!(starts, [10, 0, 5, 5]);
    let refused =
        "max clock skew adjustment delta of 10ms exceeded; not applying calculated delta of 35ms";
    assert_eq!(warnings, [refused, refused]);
    let adjusted = adjust(&spans(&rows), 0);
    let deltas: Vec<i64> = adjusted.iter().map(|each| each.delta_nano / MS).collect();
    assert_eq!(deltas, [0, 35, 35, 0]);
}

#[test]
fn circles_are_left_alone() {
    let (starts, warnings) =
        result(&[(1, 2, 10, 5, "a"), (2, 1, 0, 5, "b"), (3, 3, 0, 1, "c")], 1000);
    assert_eq!((starts, warnings), (vec![10, 0, 0], Vec::<String>::new()));
}

#[test]
fn absurd_times_are_survived() {
    let rows = [(0, u64::MAX), (u64::MAX, 0), (u64::MAX, u64::MAX), (0, 0)];
    let spans: Vec<Timed<'_>> = rows
        .iter()
        .enumerate()
        .map(|(at, &(start_unix_nano, end_unix_nano))| Timed {
            id: SpanId::from_number(at as u64 + 1),
            parent: SpanId::from_number(at as u64),
            start_unix_nano,
            end_unix_nano,
            host: "",
        })
        .collect();
    for max in [0, 1, u64::MAX] {
        assert_eq!(adjust(&spans, max).len(), 4);
    }
}

#[test]
fn a_deep_trace_is_no_recursion() {
    let rows: Vec<Row> = (1..200_000).map(|id| (id, id - 1, id, 1, "a")).collect();
    assert!(result(&rows, 10).1.is_empty());
}

#[test]
fn durations_are_written_as_go_does() {
    for (nanos, text) in [
        (0, "0s"),
        (1, "1ns"),
        (-999, "-999ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (-45 * MS, "-45ms"),
        (3_300_000_000, "3.3s"),
        (60_000_000_000, "1m0s"),
        (245_000_000_000, "4m5s"),
        (3_600_000_000_000, "1h0m0s"),
        (5 * 3_600_000_000_000 + 6 * 60_000_000_000 + 7_001_000_000, "5h6m7.001s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
    ] {
        assert_eq!(duration_text(nanos), text);
    }
}
