//! Half-typed queries.

use traceql::{QUERY_BYTES_MAX, lenient};

#[track_caller]
fn reads_as(table: &[(&str, &str)]) {
    for (text, expected) in table {
        let found = lenient(text).map_or("no filter".to_owned(), |expr| expr.to_string());
        assert_eq!(found, *expected, "{text}");
    }
}

#[test]
fn whole_queries() {
    reads_as(&[
        ("{ .a = 1 }", "{ .a = 1 }"),
        ("{ .a = 1 } >> { .b = 2 } | select(.c)", "{ .a = 1 } >> { .b = 2 }"),
        ("{ .a = 1 } | rate() by(.c)", "{ .a = 1 }"),
        ("{ .a = 1 } | rate() by(.c) | topk(5) > 2", "{ .a = 1 }"),
        ("{}", "no filter"),
        ("{ true && true }", "no filter"),
        ("by(.a)", "no filter"),
        ("({.a} | rate()) / ({} | rate())", "no filter"),
    ]);
}

#[test]
fn half_typed_conditions_are_true() {
    reads_as(&[
        ("{ .a = 1 && }", "{ (.a = 1) && true }"),
        ("{ .a = 1 && .b }", "{ (.a = 1) && .b }"),
        ("{ .a = 1 && .b = }", "{ (.a = 1) && true }"),
        ("{ .a = && .b = 1 }", "{ true && (.b = 1) }"),
        ("{ .a = 1 && span. }", "{ (.a = 1) && true }"),
        ("{ .a = 1 && resource.service.name=\"", "{ (.a = 1) && true }"),
        ("{ .a = 1 && resource.service.name=\"fro", "{ (.a = 1) && true }"),
        ("{ .a = 1 && .b =~ `(` }", "{ (.a = 1) && true }"),
        ("{ .a = 1 && status = `x` }", "{ (.a = 1) && true }"),
        ("{ .a = 1 && foo }", "{ (.a = 1) && true }"),
        ("{ (.a = 1 || .b = ) && .c = 2 }", "{ ((.a = 1) || true) && (.c = 2) }"),
        ("{ .a = 1 && ( .b = 2", "{ (.a = 1) && (.b = 2) }"),
        ("{ .a = 1 && (.b = 2 && (.c = 3 &&", "{ (.a = 1) && (.b = 2) && (.c = 3) && true }"),
        (
            "{ .a = 1 && !(.b = 2 || .c = 3) && .d",
            "{ (.a = 1) && (!((.b = 2) || (.c = 3))) && .d }",
        ),
        ("{ .a = (.b", "no filter"),
        ("{ .a = ", "no filter"),
        ("{ .a = 1 || .b = ", "no filter"),
    ]);
}

#[test]
fn braces_are_closed() {
    reads_as(&[
        ("{ .a = 1", "{ .a = 1 }"),
        ("{ .a = 1 } >> {", "{ .a = 1 } >> { true }"),
        ("{ .a = 1 } >>", "{ .a = 1 } >> { true }"),
        ("({ .a = 1 } && { .b = ", "{ .a = 1 } && { true }"),
        ("({ .a = 1 } && (", "{ .a = 1 } && { true }"),
        ("{ .a = 1 } && !{ .b = ", "{ .a = 1 } && !{ true }"),
        ("{ .a = 1 } | cou", "{ .a = 1 }"),
        ("{ .a = 1 } | rate() by(", "{ .a = 1 }"),
        ("{ .a = 1 } | select(.b, ", "{ .a = 1 }"),
        ("{", "no filter"),
    ]);
}

#[test]
fn hopeless() {
    reads_as(&[
        ("", "no filter"),
        ("foo", "no filter"),
        ("service.name=x", "no filter"),
        ("} { .a = 1 }", "no filter"),
        (") { .a = 1 }", "no filter"),
        ("{ .a = 1 } { .b = 1 }", "no filter"),
        ("{ .a = 1 } > > { .b = 1 }", "no filter"),
        ("{ .a = 1 } + { .b = 1", "no filter"),
        ("'", "no filter"),
    ]);
    assert_eq!(lenient(&"{ .a = 1 && (".repeat(QUERY_BYTES_MAX)), None);
    assert_eq!(lenient(&"(".repeat(QUERY_BYTES_MAX)), None);
    lenient(&format!("{{ {}", "(.a && ".repeat(10_000)));
    lenient(&format!("{{ {}", ".a =~ `(\\pL{900}){900}` && ".repeat(5_000)));
}
