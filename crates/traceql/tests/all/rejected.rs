//! Texts that are not of the language.

use traceql::ErrorKind;

use crate::refused;

#[test]
fn filters() {
    refused(
        ErrorKind::Parse,
        &[
            ("", 1, "unexpected end of the query; expected {"),
            ("   ", 4, "unexpected end of the query"),
            ("{", 2, "unexpected end of the query"),
            ("}", 1, "unexpected }"),
            ("{}}", 3, "unexpected }"),
            ("{{}}", 2, "unexpected {"),
            ("{ .a", 5, "unexpected end of the query; expected }"),
            ("{ .a = }", 8, "unexpected }; expected an attribute"),
            ("{ = 1 }", 3, "unexpected ="),
            ("{ .a == 1 }", 7, "equality is written with one ="),
            ("{ .a = 1 .b }", 10, "unexpected .b; expected }"),
            ("{ .a & .b }", 6, "unexpected &"),
            ("{ .a && }", 9, "unexpected }"),
            ("{ && .a }", 3, "unexpected &&"),
            ("{ .a > > 1 }", 8, "unexpected >"),
            ("{ .a >> 1 }", 6, "unexpected >>"),
            ("{ .a ~ 1 }", 6, "unexpected ~"),
            ("{ (.a }", 7, "unexpected }; expected )"),
            ("{ .a) }", 5, "unexpected )"),
            ("{ () }", 4, "unexpected )"),
            ("{ .a = [1, 2] }", 8, "unexpected character '['; expected an attribute"),
            ("{ .a ? 1 }", 6, "unexpected character '?'; expected }"),
            ("{ .a ?? }", 6, "unexpected character '?'; expected }"),
            ("{ .a = 1; }", 9, "unexpected character ';'; expected }"),
            ("\u{feff}{}", 1, "unexpected character '\\u{feff}'; expected { or a function"),
            ("{}?", 3, "unexpected character '?'; expected the end of the query"),
            ("{ .a and .b }", 6, "unexpected and; expected }"),
            ("{ not .a }", 3, "unknown name not"),
            ("{ foo = 1 }", 3, "an attribute is written .foo"),
            (
                "{ foo.bar = 1 }",
                3,
                "there is no scope \"foo\"; an attribute of any scope starts with a dot",
            ),
            ("{ spam.bar = 1 }", 3, "did you mean span.?"),
            ("{ ressource.bar = 1 }", 3, "did you mean resource.?"),
            ("{ trace.x = 1 }", 3, "a trace has no attributes"),
            ("{ span = 1 }", 3, "span is a scope"),
            ("{ durations > 1s }", 3, "did you mean duration"),
            ("{ staus = error }", 3, "did you mean status"),
            ("{ status = eror }", 12, "did you mean error"),
            ("{ Status = error }", 3, "did you mean status"),
            ("{ kind = srever }", 10, "did you mean server"),
            ("{ True }", 3, "did you mean true"),
            ("{ .a = null }", 8, "unknown name null"),
            ("{ count() > 1 }", 3, "unknown name count"),
        ],
    );
}

#[test]
fn intrinsics() {
    refused(
        ErrorKind::Parse,
        &[
            ("{ trace:rootServiceName = `x` }", 3, "did you mean trace:rootService?"),
            ("{ trace:status = error }", 3, "there is no intrinsic trace:status"),
            ("{ trace:kind = server }", 3, "there is no intrinsic trace:kind"),
            ("{ trace:name = `x` }", 3, "there is no intrinsic trace:name"),
            ("{ span:rootName = `x` }", 3, "there is no intrinsic span:rootName"),
            ("{ span:nam = `x` }", 3, "did you mean span:name?"),
            ("{ event:nme = `x` }", 3, "did you mean event:name?"),
            ("{ resource:name = `x` }", 3, "there is no intrinsic resource:name"),
            ("{ foo:bar = `x` }", 3, "there is no intrinsic foo:bar"),
            ("{ childCount > 1 }", 3, "unknown name childCount"),
            ("{ span: }", 3, "there is no intrinsic span:"),
        ],
    );
}

#[test]
fn spansets() {
    refused(
        ErrorKind::Parse,
        &[
            ("{} &&", 6, "unexpected end of the query"),
            ("&& {}", 1, "unexpected &&"),
            ("{} {}", 4, "unexpected {; expected the end of the query"),
            ("{} + {}", 4, "+ cannot join spansets and spansets"),
            ("{} - {}", 4, "- cannot join"),
            ("{} * {}", 4, "* cannot join"),
            ("{} / {}", 4, "/ cannot join"),
            ("{} % {}", 4, "% cannot join"),
            ("{} ^ {}", 4, "^ cannot join"),
            ("{} = {}", 4, "= cannot join"),
            ("{} != {}", 4, "!= cannot join"),
            ("{} <= {}", 4, "<= cannot join"),
            ("{} >= {}", 4, ">= cannot join"),
            ("{} =~ {}", 4, "unexpected =~"),
            ("{} & {}", 4, "unexpected &"),
            ("{} >>> {}", 6, "unexpected >"),
            ("{} && .a", 7, "unexpected .a; expected {"),
            (".a = 1", 1, "unexpected .a; expected {"),
            ("({}", 4, "unexpected end of the query; expected )"),
            ("{})", 3, "unexpected )"),
            ("()", 2, "unexpected )"),
            ("{} && 1", 4, "&& cannot join spansets and a number"),
            ("{} && count() > 1", 4, "&& cannot join spansets and a comparison"),
            ("!", 2, "unexpected end of the query"),
            ("!1", 2, "unexpected 1; expected { or ( after !"),
            ("!count() > 1", 2, "expected { or ( after !"),
            ("-{}", 2, "expected a number after -"),
            ("{} && ({} | count() > 1)", 1, "in parentheses too"),
            ("({} | count() > 1) > {.a}", 22, "in parentheses too"),
        ],
    );
}

#[test]
fn pipelines() {
    refused(
        ErrorKind::Parse,
        &[
            ("{} |", 5, "unexpected end of the query"),
            ("| {}", 1, "unexpected |"),
            ("{} | | {}", 6, "unexpected |"),
            ("{} | count()", 13, "unexpected end of the query; expected a comparison"),
            ("count()", 8, "expected a comparison"),
            ("{} | avg(.a) | {}", 14, "unexpected |; expected a comparison"),
            ("{} | count() + 1", 17, "expected a comparison"),
            ("1", 2, "expected a comparison"),
            ("1 + 2", 6, "expected a comparison"),
            ("({} | count())", 15, "expected a comparison"),
            ("{} | count() > ", 16, "unexpected end of the query"),
            ("{} | count() > 1 > 2", 18, "> cannot join a comparison and a number"),
            ("{} | count() =~ `x`", 14, "unexpected =~"),
            ("{} | count() && 1", 14, "&& cannot join a number and a number"),
            ("{} | count(.a) > 1", 12, "unexpected .a; expected )"),
            ("{} | avg() > 1", 10, "unexpected ); expected an attribute"),
            ("{} | avg(.a, .b) > 1", 12, "unexpected ,; expected )"),
            ("{} | max > 1", 6, "unexpected max"),
            ("{} | avgg(.a) > 1", 6, "unknown function avgg; did you mean avg()?"),
            ("{} | cuont() > 1", 6, "did you mean count()?"),
            ("{} | selct(.a)", 6, "did you mean select()?"),
            ("{} | rat()", 6, "did you mean rate()?"),
            ("{} | foo()", 6, "unknown function foo"),
            ("{} | .a", 6, "unexpected .a"),
            ("coalesce()", 1, "unexpected coalesce"),
            ("{} | coalesce(.a)", 15, "unexpected .a; expected )"),
            ("{} | by()", 9, "unexpected )"),
            ("{} | by(.a, .b)", 11, "unexpected ,"),
            ("{} | select()", 13, "unexpected )"),
            ("{} | select(.a .b)", 16, "unexpected .b; expected , or )"),
            ("{} | select(.a + 1)", 16, "unexpected +"),
            ("{} | select(`a`)", 13, "unexpected `a`"),
            ("{} | select(.a,)", 16, "unexpected )"),
            ("({} | count() > 1) | {.a}", 20, "unexpected |"),
            ("{} | ({} | count() > 1)", 6, "only stands at the start"),
            ("({} | count() > 1) | rate()", 20, "unexpected |"),
        ],
    );
}

#[test]
fn later_lines() {
    let text = "{ .a = 1\n  && .ä = }";
    let error = traceql::parse(text).unwrap_err();
    assert_eq!((error.line, error.column), (2, 11), "{error}");
    assert_eq!(&text[error.start..error.end], "}");
}
