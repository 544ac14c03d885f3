//! How tightly operators bind: pairs of texts that are the same query.

use crate::query;

#[track_caller]
fn same(table: &[(&str, &str)]) {
    for (text, explicit) in table {
        assert_eq!(query(text), query(explicit), "{text}\n{}\n{}", query(text), query(explicit));
    }
}

#[test]
fn between_values() {
    same(&[
        // `&&` and `||` are one level.
        ("{ .a || .b && .c }", "{ (.a || .b) && .c }"),
        ("{ .a && .b || .c }", "{ (.a && .b) || .c }"),
        ("{ .a || .b && .c || .d }", "{ ((.a || .b) && .c) || .d }"),
        // Comparisons are one level, from the left.
        ("{ .a = .b = .c }", "{ (.a = .b) = .c }"),
        ("{ .a = .b != .c }", "{ (.a = .b) != .c }"),
        ("{ .a && .b = .c }", "{ .a && (.b = .c) }"),
        ("{ .a = .b && .c =~ `x` || .d !~ `y` }", "{ ((.a = .b) && (.c =~ `x`)) || (.d !~ `y`) }"),
        ("{ .a = .b + .c }", "{ .a = (.b + .c) }"),
        ("{ .a + .b > .c - .d }", "{ (.a + .b) > (.c - .d) }"),
        ("{ .a - .b - .c = 0 }", "{ ((.a - .b) - .c) = 0 }"),
        ("{ .a - .b + .c = 0 }", "{ ((.a - .b) + .c) = 0 }"),
        ("{ .a + .b * .c = 0 }", "{ (.a + (.b * .c)) = 0 }"),
        ("{ .a / .b * .c % .d = 0 }", "{ (((.a / .b) * .c) % .d) = 0 }"),
        ("{ .a * .b ^ .c = 0 }", "{ (.a * (.b ^ .c)) = 0 }"),
        ("{ .a ^ .b ^ .c = 0 }", "{ (.a ^ (.b ^ .c)) = 0 }"),
        ("{ -.a ^ .b = 0 }", "{ ((-.a) ^ .b) = 0 }"),
        ("{ .a ^ -.b = 0 }", "{ (.a ^ (-.b)) = 0 }"),
        ("{ -.a * .b = 0 }", "{ ((-.a) * .b) = 0 }"),
        ("{ .a - -.b = 0 }", "{ (.a - (-.b)) = 0 }"),
        // `!` is looser than `*` and tighter than `+` and all else.
        ("{ !.a && .b }", "{ (!.a) && .b }"),
        ("{ !.a = .b }", "{ (!.a) = .b }"),
        ("{ !.a || !.b }", "{ (!.a) || (!.b) }"),
        ("{ !!.a }", "{ !(!.a) }"),
        ("{ !(.a = .b) && .c }", "{ (!(.a = .b)) && .c }"),
    ]);
    // Not one query of these is the other.
    for (left, right) in [
        ("{ .a || .b && .c }", "{ .a || (.b && .c) }"),
        ("{ .a - .b - .c = 0 }", "{ .a - (.b - .c) = 0 }"),
        ("{ .a ^ .b ^ .c = 0 }", "{ (.a ^ .b) ^ .c = 0 }"),
        ("{ !.a = .b }", "{ !(.a = .b) }"),
    ] {
        assert_ne!(query(left), query(right), "{left}");
    }
}

#[test]
fn between_spansets() {
    same(&[
        ("{.a} || {.b} && {.c}", "({.a} || {.b}) && {.c}"),
        ("{.a} && {.b} || {.c}", "({.a} && {.b}) || {.c}"),
        ("{.a} && {.b} > {.c}", "{.a} && ({.b} > {.c})"),
        ("{.a} >> {.b} || {.c} ~ {.d}", "({.a} >> {.b}) || ({.c} ~ {.d})"),
        ("{.a} > {.b} > {.c}", "({.a} > {.b}) > {.c}"),
        ("{.a} > {.b} !<< {.c} &~ {.d}", "(({.a} > {.b}) !<< {.c}) &~ {.d}"),
        ("!{.a} > {.b}", "(!{.a}) > {.b}"),
        ("!{.a} && {.b}", "(!{.a}) && {.b}"),
        ("{.a} && !{.b} || {.c}", "({.a} && (!{.b})) || {.c}"),
        ("{.a} | {.b} && {.c} | {.d}", "{.a} | ({.b} && {.c}) | {.d}"),
    ]);
    assert_ne!(query("{.a} > {.b} > {.c}"), query("{.a} > ({.b} > {.c})"));
}

#[test]
fn between_aggregates() {
    same(&[
        ("{} | count() + 1 > sum(.a) * 2 - 1", "{} | (count() + 1) > ((sum(.a) * 2) - 1)"),
        ("{} | count() ^ 2 * 3 > 1", "{} | ((count() ^ 2) * 3) > 1"),
        ("{} | -count() + 1 < 0", "{} | ((-count()) + 1) < 0"),
    ]);
}

#[test]
fn between_series() {
    same(&[
        (
            "({} | rate()) + ({.a} | rate()) * ({.b} | rate())",
            "({} | rate()) + (({.a} | rate()) * ({.b} | rate()))",
        ),
        (
            "({} | rate()) - ({.a} | rate()) - ({.b} | rate())",
            "(({} | rate()) - ({.a} | rate())) - ({.b} | rate())",
        ),
        ("({} | rate()) * 100 > 5", "(({} | rate()) * 100) > 5"),
        ("100 * ({} | rate()) / ({.a} | rate())", "(100 * ({} | rate())) / ({.a} | rate())"),
        ("1 / 2 * ({} | rate())", "0.5 * ({} | rate())"),
    ]);
}
