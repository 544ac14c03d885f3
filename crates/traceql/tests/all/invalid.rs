//! Queries of the language that mean nothing, or something that is not done.

use traceql::ErrorKind;

use crate::refused;

#[test]
fn types() {
    refused(
        ErrorKind::Validation,
        &[
            ("{ 1 }", 3, "a filter is true or false, and this is a number"),
            ("{ 1 + 1 }", 3, "and this is a number"),
            ("{ `a` }", 3, "and this is a string"),
            ("{ status }", 3, "and this is a status"),
            ("{ kind }", 3, "and this is a kind"),
            ("{ name }", 3, "and this is a string"),
            ("{ duration }", 3, "and this is a number"),
            ("{ ok }", 3, "and this is a status"),
            ("{ nil }", 3, "not nil"),
            ("{ .a + 1 }", 3, "and this is a number"),
            ("{ 1 = `a` }", 3, "a number cannot be compared to a string"),
            ("{ .b && 1 = `a` }", 9, "a number cannot be compared to a string"),
            ("{ name = 1 }", 3, "a string cannot be compared to a number"),
            ("{ duration = `1s` }", 3, "a number cannot be compared to a string"),
            ("{ true = 1 }", 3, "a boolean cannot be compared to a number"),
            ("{ status = `error` }", 3, "without quotes, such as error"),
            ("{ `server` = kind }", 3, "without quotes, such as server"),
            ("{ status = server }", 3, "a status cannot be compared to a kind"),
            ("{ status = 2 }", 3, "a status cannot be compared to a number"),
            ("{ status > ok }", 3, "a status has no order"),
            ("{ .a <= error }", 9, "a status has no order"),
            ("{ kind >= server }", 3, "a kind has no order"),
            ("{ true < false }", 3, "a boolean has no order"),
            ("{ .a > true }", 8, "a boolean has no order"),
            ("{ .a > nil }", 8, "nil has no order"),
            ("{ (.a = 1) > (.b = 2) }", 3, "a boolean has no order"),
            ("{ name && .a }", 3, "&& takes a boolean, not a string"),
            ("{ .a || 1 }", 9, "|| takes a boolean, not a number"),
            ("{ !1 }", 4, "! takes a boolean, not a number"),
            ("{ !status }", 4, "! takes a boolean"),
            ("{ -`a` = 1 }", 4, "- takes a number, not a string"),
            ("{ -true }", 4, "- takes a number, not a boolean"),
            ("{ .a + `b` = `c` }", 8, "+ takes a number, not a string"),
            ("{ name + .a = 1 }", 3, "+ takes a number, not a string"),
            ("{ status * 2 = 1 }", 3, "* takes a number, not a status"),
            ("{ nil + 1 = 1 }", 3, "+ takes a number, not nil"),
            ("{ 2 ^ true = 1 }", 7, "^ takes a number, not a boolean"),
        ],
    );
}

#[test]
fn nil() {
    refused(
        ErrorKind::Validation,
        &[
            ("{ name = nil }", 3, "name is never nil"),
            ("{ nil = duration }", 9, "duration is never nil"),
            ("{ span:status = nil }", 3, "status is never nil"),
            ("{ trace:id = nil }", 3, "trace:id is never nil"),
            ("{ event:name = nil }", 3, "event:name is never nil"),
            ("{ resource.service.name = nil }", 3, "resource.service.name is never nil"),
            ("{ 1 = nil }", 3, "a constant is never nil"),
            ("{ nil != `a` }", 10, "a constant is never nil"),
        ],
    );
}

#[test]
fn patterns() {
    refused(
        ErrorKind::Validation,
        &[
            ("{ .a =~ .b }", 9, "the right side of =~ is a pattern in quotes"),
            ("{ .a !~ 1 }", 9, "the right side of !~ is a pattern in quotes"),
            ("{ `a` =~ .b }", 10, "a pattern in quotes"),
            ("{ .a =~ nil }", 9, "a pattern in quotes"),
            ("{ 1 =~ `a` }", 3, "=~ takes a string, not a number"),
            ("{ duration =~ `a` }", 3, "=~ takes a string, not a number"),
            ("{ status =~ `err.*` }", 3, "=~ takes a string, not a status"),
            ("{ .a =~ `(` }", 9, "this is no regular expression"),
            ("{ .a =~ `a)|(b` }", 9, "a group is closed that was not opened"),
            ("{ .a =~ `*` }", 9, "this is no regular expression"),
            ("{ .a =~ `(?=x)` }", 9, "this is no regular expression"),
            ("{ .a =~ `[b-a]` }", 9, "this is no regular expression"),
            (r"{ .a =~ `x\` }", 9, "a backslash escapes"),
            (r"{ .a =~ `(a{500}){500}` }", 9, "it is too large"),
        ],
    );
}

#[test]
fn aggregates() {
    refused(
        ErrorKind::Validation,
        &[
            ("{} | avg(name) > 1", 10, "avg() takes a number, not a string"),
            ("{} | max(status) > 1", 10, "max() takes a number, not a status"),
            ("{} | sum(.a = 1) > 1", 10, "sum() takes a number, not a boolean"),
            ("{} | min(1) > 1", 10, "min() needs an attribute or intrinsic"),
            ("{} | sum(1 / 0) > 1", 10, "sum() needs an attribute or intrinsic"),
            ("{} | count() > `a`", 16, "`a` is no number"),
            ("{} | count() = nil", 16, "nil is no number"),
            ("{} | max(.a) = ok", 16, "ok is no number"),
            ("{} | count() > true", 16, "true is no number"),
            ("{} | 1 > 2", 6, "one side needs an aggregate"),
            ("{} | by(1)", 9, "by() needs an attribute or intrinsic"),
            ("{} | by(`a`)", 9, "by() needs an attribute or intrinsic"),
            ("{} | by(1 + 1)", 9, "by() needs an attribute or intrinsic"),
        ],
    );
}

#[test]
fn unsupported() {
    refused(
        ErrorKind::Unsupported,
        &[
            ("{ parent }", 3, "the parent span is only compared to nil"),
            ("{ parent = 1 }", 3, "the parent span is only compared to nil"),
            ("{ .a = parent }", 8, "the parent span is only compared to nil"),
            ("{ !parent }", 4, "the parent span is only compared to nil"),
            ("{} | by(parent)", 9, "the parent span is only compared to nil"),
            ("{} | avg(parent) > 1", 10, "the parent span is only compared to nil"),
            ("{} | select(parent)", 13, "select() takes no span"),
            ("{} | rate() by(parent)", 16, "by() takes no span"),
            ("({} | count()) > 1", 1, "aggregates of pipelines in parentheses"),
            ("({} | count()) > ({.a} | count())", 1, "aggregates of pipelines in parentheses"),
            ("({} | max(.a)) + 1 = ({.a} | min(.a))", 1, "aggregates of pipelines in parentheses"),
        ],
    );
}

/// A slip of the pen is told before what the rest would mean.
#[test]
fn parse_errors_come_first() {
    refused(
        ErrorKind::Parse,
        &[
            ("{ 1 = `a` } | foo()", 15, "unknown function foo"),
            ("{ status = 1 } {}", 16, "unexpected {"),
        ],
    );
    refused(ErrorKind::Validation, &[("{ 1 = `a` } | count() > `b`", 3, "a number cannot")]);
}
