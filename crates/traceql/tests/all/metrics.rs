//! Series over time.

use traceql::{ErrorKind, MetricsFunction, MetricsQuery, QueryKind};

use crate::{print_as, query, refused};

#[test]
fn first_stages() {
    print_as(&[
        ("{} | rate()", "{ true } | rate()"),
        ("{} | count_over_time()", "{ true } | count_over_time()"),
        ("{} | min_over_time(duration)", "{ true } | min_over_time(duration)"),
        ("{} | max_over_time(.a)", "{ true } | max_over_time(.a)"),
        ("{} | avg_over_time(span.a)", "{ true } | avg_over_time(span.a)"),
        (
            "{} | sum_over_time(event:timeSinceStart)",
            "{ true } | sum_over_time(event:timeSinceStart)",
        ),
        ("{} | quantile_over_time(duration, .5)", "{ true } | quantile_over_time(duration, 0.5)"),
        (
            "{} | quantile_over_time(duration, 0, 0.99, 1)",
            "{ true } | quantile_over_time(duration, 0, 0.99, 1)",
        ),
        (
            "{} | histogram_over_time(duration) with(sample=true)",
            "{ true } | histogram_over_time(duration) with(sample=true)",
        ),
        ("{} | rate() by(name)", "{ true } | rate() by(name)"),
        (
            "{} | rate()by(.a, span.b,resource.service.name)",
            "{ true } | rate() by(.a, span.b, resource.service.name)",
        ),
        ("{} | rate() by(.a, .b, .c, .d, .e)", "{ true } | rate() by(.a, .b, .c, .d, .e)"),
        (
            "{} | quantile_over_time(.x, .5) by(.a, .b, .c, .d)",
            "{ true } | quantile_over_time(.x, 0.5) by(.a, .b, .c, .d)",
        ),
        ("{} | rate() by(parent.span.a)", "{ true } | rate() by(parent.span.a)"),
        ("{.a} >> {.b} | rate()", "{ .a } >> { .b } | rate()"),
        ("({.a} && !{.b}) | rate()", "{ .a } && !{ .b } | rate()"),
        ("{} | count() > 1 | rate()", "{ true } | count() > 1 | rate()"),
        ("{} | compare({status=error})", "{ true } | compare({ status = error }, 10)"),
        ("{} | compare({}, 5)", "{ true } | compare({ true }, 5)"),
        ("{} | compare({.a}, 1000, 1, 2)", "{ true } | compare({ .a }, 1000, 1, 2)"),
        ("{} | compare({.a}, 1, 0, 0)", "{ true } | compare({ .a }, 1)"),
    ]);
}

#[test]
fn second_stages() {
    print_as(&[
        ("{} | rate() | topk(5)", "{ true } | rate() | topk(5)"),
        ("{} | rate() by(.a) | bottomk(1)", "{ true } | rate() by(.a) | bottomk(1)"),
        ("{} | rate() > 10", "{ true } | rate() > 10"),
        ("{} | rate() != -1.5", "{ true } | rate() != -1.5"),
        ("{} | rate() <= 2 * 3 + 1", "{ true } | rate() <= 7"),
        ("{} | avg_over_time(duration) > 100ms", "{ true } | avg_over_time(duration) > 0.1"),
        ("{} | rate() | topk(5) > 10", "{ true } | rate() | topk(5) > 10"),
        ("{} | rate() > 10 | topk(5)", "{ true } | rate() > 10 | topk(5)"),
        ("{} | rate() | topk(10) | bottomk(2)", "{ true } | rate() | topk(10) | bottomk(2)"),
        ("{} | rate() > 1 < 5", "{ true } | rate() > 1 < 5"),
    ]);
}

#[test]
fn arithmetic() {
    print_as(&[
        ("({} | rate())", "{ true } | rate()"),
        ("({.a} | rate()) / ({} | rate())", "({ .a } | rate()) / ({ true } | rate())"),
        ("({.a} | rate()) + ({} | rate())", "({ .a } | rate()) + ({ true } | rate())"),
        ("({.a} | rate()) - ({} | rate())", "({ .a } | rate()) - ({ true } | rate())"),
        (
            "100 * ({status=error} | rate()) / ({} | rate())",
            "(100 * ({ status = error } | rate())) / ({ true } | rate())",
        ),
        ("({} | rate()) * 1.5", "({ true } | rate()) * 1.5"),
        ("-1 * ({} | rate())", "-1 * ({ true } | rate())"),
        ("(1 + 2) * ({} | rate())", "3 * ({ true } | rate())"),
        ("({} | rate()) / (1 / 4)", "({ true } | rate()) / 0.25"),
        ("-(2) * ({} | rate())", "-2 * ({ true } | rate())"),
        ("(({} | rate()) + 1) * 2", "(({ true } | rate()) + 1) * 2"),
        (
            "({} | rate()) / ({} | rate()) | topk(5) > 10",
            "({ true } | rate()) / ({ true } | rate()) | topk(5) > 10",
        ),
        ("({} | rate() > 6) * 100 > 5", "({ true } | rate() > 6) * 100 > 5"),
        ("({} | rate()) > 1 | topk(2)", "{ true } | rate() > 1 | topk(2)"),
        ("({} | rate() by(.a) | topk(3)) * 2", "({ true } | rate() by(.a) | topk(3)) * 2"),
        ("({} | rate()) + 1 with(exemplars=3)", "({ true } | rate()) + 1 with(exemplars=3)"),
        ("({} | rate()) * 1e300", "({ true } | rate()) * 1e300"),
        ("({} | rate()) * 0.0000001", "({ true } | rate()) * 1e-7"),
    ]);
}

#[test]
fn parse_failures() {
    refused(
        ErrorKind::Parse,
        &[
            ("rate()", 1, "unexpected rate; expected {"),
            ("{} | rate(", 11, "unexpected end of the query; expected )"),
            ("{} | rate", 6, "unexpected rate"),
            ("{} | rate(.a)", 11, "unexpected .a; expected )"),
            ("{} | count_over_time(duration)", 22, "unexpected duration"),
            ("{} | avg_over_time()", 20, "unexpected )"),
            ("{} | avg_over_time(.a + 1)", 23, "unexpected +"),
            ("{} | avg_over_time(1)", 20, "unexpected 1"),
            ("{} | quantile_over_time(duration)", 33, "unexpected ); expected ,"),
            ("{} | quantile_over_time(.a, 1s)", 29, "unexpected 1s; expected a quantile"),
            ("{} | quantile_over_time(.a, )", 29, "expected a quantile"),
            ("{} | rate() by()", 16, "unexpected )"),
            ("{} | rate() by(.a + 1)", 19, "unexpected +"),
            ("{} | rate() by(.a) by(.b)", 20, "unexpected by"),
            ("{} | rate() | {}", 15, "unexpected {; expected topk() or bottomk()"),
            ("{} | rate() | count() > 1", 15, "expected topk() or bottomk()"),
            ("{} | rate() | rate()", 15, "expected topk() or bottomk()"),
            ("{} | rate() | topk()", 20, "unexpected ); expected a number"),
            ("{} | rate() | topk(1.5)", 20, "unexpected 1.5"),
            ("{} | rate() | topk(5", 21, "expected )"),
            ("{} | topk(5)", 6, "unexpected topk"),
            ("{} | rate() topk(5)", 13, "unexpected topk"),
            ("{} | rate() | > 5", 15, "expected topk() or bottomk()"),
            ("{} | rate() =~ 5", 13, "unexpected =~"),
            ("{} | rate() > ", 15, "unexpected end of the query"),
            ("{} | rate() > `a`", 15, "series are computed with numbers alone"),
            ("{} | rate() > .a", 15, "unexpected .a"),
            ("{} | rate() > ({} | rate())", 15, "expected a number"),
            ("{} | rate() > 1s + 1s", 15, "series are not computed with durations"),
            ("{} | rate() > count()", 15, "an aggregate of spansets"),
            ("{} | rate() * 2", 13, "unexpected *"),
            ("{} | rate() / {} | rate()", 13, "unexpected /"),
            ("({} | rate()) % 2", 15, "% cannot join"),
            ("({} | rate()) ^ 2", 15, "^ cannot join"),
            ("({} | rate()) ** 2", 16, "unexpected *"),
            (
                "({} | rate()) && ({} | rate())",
                15,
                "&& cannot join a metrics query and a metrics query",
            ),
            (
                "({} | rate()) > ({} | rate())",
                15,
                "> cannot join a metrics query and a metrics query",
            ),
            ("5 < ({} | rate())", 3, "< cannot join a number and a metrics query"),
            ("({} | rate()) + {}", 15, "+ cannot join a metrics query and spansets"),
            ("({} | rate()) + ({})", 15, "+ cannot join a metrics query and spansets"),
            ("({} | rate()) * 10s", 17, "write seconds"),
            ("10s * ({} | rate())", 1, "write seconds"),
            ("({} | rate()) * (2 * 10s)", 17, "series are not computed with durations"),
            ("({} | rate()) * (5 % 3)", 17, "there are only + - * and /"),
            ("({} | rate()) / (1 / 0)", 17, "no finite number"),
            ("({} | rate()) + count()", 17, "an aggregate of spansets"),
            ("-({} | rate())", 2, "expected a number after -"),
            ("{} | ({} | rate())", 6, "only stand at the start"),
            ("{} | compare()", 14, "unexpected ); expected {"),
            ("{} | compare(.a)", 14, "unexpected .a; expected {"),
            ("{} | compare({} > {})", 17, "unexpected >"),
            ("{} | compare({}, 10, 1)", 23, "unexpected ); expected ,"),
            ("{} | compare({}) by(.a)", 18, "unexpected by"),
            ("{} | compare({}, `a`)", 18, "unexpected `a`"),
        ],
    );
}

#[test]
fn validation_failures() {
    refused(
        ErrorKind::Validation,
        &[
            ("{} | rate() by(.a, .b, .c, .d, .e, .f)", 13, "rate() has at most 5 labels, not 6"),
            ("{} | histogram_over_time(.x) by(.a, .b, .c, .d, .e)", 30, "at most 4 labels"),
            ("{} | quantile_over_time(.x, .5) by(.a, .b, .c, .d, .e)", 33, "at most 4 labels"),
            ("{} | quantile_over_time(duration, 1.1)", 35, "a quantile is from 0 to 1"),
            ("{} | quantile_over_time(duration, .5, -0.1)", 39, "a quantile is from 0 to 1"),
            ("{} | rate() | topk(0)", 20, "at least 1"),
            ("{} | rate() | bottomk(-1)", 23, "at least 1"),
            ("{} | compare({.a}, 0)", 20, "1 to 1000"),
            ("{} | compare({.a}, 1001)", 20, "1 to 1000"),
            ("{} | compare({.a}, -1)", 20, "1 to 1000"),
            ("{} | compare({.a}, 10, 5, 5)", 24, "a later end"),
            ("{} | compare({.a}, 10, -5, 5)", 24, "a positive start"),
            ("{} | compare({name})", 15, "a filter is true or false"),
            ("{} | compare({.a}) | topk(5)", 1, "nothing can follow compare()"),
            ("{} | compare({.a}) > 5", 1, "nothing can follow compare()"),
            ("({} | compare({.a})) * 2", 1, "nothing can follow compare()"),
            ("({} | compare({.a})) > 2", 1, "nothing can follow compare()"),
            ("{ status = 1 } | rate()", 3, "a status cannot be compared to a number"),
        ],
    );
}

#[test]
fn functions_have_names() {
    for (text, name) in [
        ("{} | rate()", "rate"),
        ("{} | count_over_time()", "count_over_time"),
        ("{} | min_over_time(.a)", "min_over_time"),
        ("{} | max_over_time(.a)", "max_over_time"),
        ("{} | avg_over_time(.a)", "avg_over_time"),
        ("{} | sum_over_time(.a)", "sum_over_time"),
        ("{} | quantile_over_time(.a, .5)", "quantile_over_time"),
        ("{} | histogram_over_time(.a)", "histogram_over_time"),
        ("{} | compare({})", "compare"),
    ] {
        let QueryKind::Metrics(MetricsQuery::Leaf(leaf)) = query(text).kind else {
            panic!("{text}")
        };
        assert_eq!(leaf.function.name(), name);
    }
}

#[test]
fn compare_keeps_ten_values_unasked() {
    let QueryKind::Metrics(MetricsQuery::Leaf(leaf)) = query("{} | compare({.a})").kind else {
        panic!()
    };
    assert!(matches!(leaf.function, MetricsFunction::Compare { top_n: 10, range: None, .. }));
}
