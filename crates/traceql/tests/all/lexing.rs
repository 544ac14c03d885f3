//! Letters to values: strings, numbers, durations and names.

use traceql::{ErrorKind, Field, FieldExpr, QueryKind, SpansetExpr, Stage, Static};

use crate::{print_as, query, refused};

/// The right side of a query's only comparison.
#[track_caller]
fn constant(text: &str) -> Static {
    let text = format!("{{ .x = {text} }}");
    let QueryKind::Search(pipeline) = query(&text).kind else { panic!("{text}") };
    match pipeline.stages.into_iter().next() {
        Some(Stage::Spansets(SpansetExpr::Filter(FieldExpr::Compare { right, .. }))) => {
            match *right {
                FieldExpr::Static(value) => value,
                other => panic!("{text}: {other}"),
            }
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn strings() {
    for (text, value) in [
        (r#""""#, ""),
        (r#""a b""#, "a b"),
        (r#""\"\\""#, "\"\\"),
        (r#""\a\b\f\n\r\t\v""#, "\u{7}\u{8}\u{c}\n\r\t\u{b}"),
        (r#""\101\x42\u0043\U00000044""#, "ABCD"),
        (r#""\xc3\xa9 é""#, "é é"),
        (r#""// no /* comment""#, "// no /* comment"),
        ("`a\\n\"b\"`", "a\\n\"b\""),
        ("`a\r\nb`", "a\nb"),
        ("``", ""),
    ] {
        assert_eq!(constant(text), Static::String(value.to_owned()), "{text}");
    }
    refused(
        ErrorKind::Parse,
        &[
            (r#"{ .a = "x }"#, 8, "this string has no end"),
            ("{ .a = `x }", 8, "this string has no end"),
            ("{ .a = \"x\ny\" }", 8, "this string has no end"),
            (r#"{ .a = "\d" }"#, 9, "there is no such escape"),
            (r#"{ .a = "\x4" }"#, 9, "there is no such escape"),
            (r#"{ .a = "\ud800" }"#, 9, "there is no such escape"),
            (r#"{ .a = "\400" }"#, 9, "there is no such escape"),
            (r#"{ .a = "\xff" }"#, 8, "no UTF-8 text"),
            (r#"{ .a = "\u+041" }"#, 9, "there is no such escape"),
            ("{ .a = 'x' }", 8, "double quotes or backticks"),
        ],
    );
}

#[test]
fn numbers() {
    for (text, value) in [
        ("0", Static::Int(0)),
        ("007", Static::Int(7)),
        ("-5", Static::Int(-5)),
        ("9223372036854775807", Static::Int(i64::MAX)),
        ("-9223372036854775808", Static::Int(i64::MIN)),
        ("minInt", Static::Int(i64::MIN)),
        ("maxInt", Static::Int(i64::MAX)),
        ("1.5", Static::Float(1.5)),
        (".5", Static::Float(0.5)),
        ("1.", Static::Float(1.0)),
        ("1e3", Static::Float(1000.0)),
        ("1.5E-3", Static::Float(0.0015)),
        ("-.5", Static::Float(-0.5)),
    ] {
        assert_eq!(constant(text), value, "{text}");
    }
    refused(
        ErrorKind::Parse,
        &[
            ("{ .a = 9223372036854775808 }", 8, "beyond the greatest integer"),
            ("{ .a = 99999999999999999999 }", 8, "beyond the greatest integer"),
            ("{ .a = 1e999 }", 8, "beyond the greatest float"),
            ("{ .a = 0x10 }", 8, "neither a number nor a duration"),
            ("{ .a = 1_000 }", 8, "neither a number nor a duration"),
            ("{ .a = 5e }", 8, "neither a number nor a duration"),
        ],
    );
}

#[test]
fn durations() {
    const S: i64 = 1_000_000_000;
    for (text, nanos) in [
        ("0s", 0),
        ("5ns", 5),
        ("5us", 5_000),
        ("5µs", 5_000),
        ("5μs", 5_000),
        ("5ms", 5_000_000),
        ("5s", 5 * S),
        ("5m", 300 * S),
        ("5h", 18_000 * S),
        ("5d", 5 * 86_400 * S),
        ("2w", 14 * 86_400 * S),
        ("1y", 365 * 86_400 * S),
        ("1h30m", 5_400 * S),
        ("1d12h5ms", 36 * 3_600 * S + 5_000_000),
        ("1.5s", S * 3 / 2),
        (".5s", S / 2),
        ("1.s", S),
        ("1.5h30m", 2 * 3_600 * S),
        ("5s1h", 3_605 * S),
        ("0.0000000019s", 1),
        ("0.1234567891234567891234s", 123_456_789),
        ("-1h", -3_600 * S),
        ("2562047h47m16.854775807s", i64::MAX),
        ("-2562047h47m16.854775808s", i64::MIN),
    ] {
        assert_eq!(constant(text), Static::Duration(nanos), "{text}");
    }
    let (none, beyond) = ("neither a number nor a duration", "beyond the greatest duration");
    for (text, said) in [
        ("5x", none),
        ("1.5d", none),
        ("1h1d", none),
        ("5sec", none),
        ("1..5s", none),
        ("1h.s", none),
        ("999999999999999999999x", none),
        ("300y", beyond),
        ("-300y", beyond),
        ("9e", none),
        ("292y1000000d", beyond),
        ("9999999999999999999999h", beyond),
        ("340282366920938463463374607431768211456.5s", beyond),
        ("2562047h47m16.854775808s", beyond),
    ] {
        let column = if text.starts_with('-') { 9 } else { 8 };
        refused(ErrorKind::Parse, &[(&format!("{{ .a = {text} }}"), column, said)]);
    }
}

#[test]
fn durations_print() {
    let print = |nanos| Static::Duration(nanos).to_string();
    for (nanos, text) in [
        (0, "0s"),
        (1, "1ns"),
        (999, "999ns"),
        (1_000, "1µs"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (245_000_000_000, "4m5s"),
        (245_001_000_000, "4m5.001s"),
        (18_367_001_000_000, "5h6m7.001s"),
        (-1_500_000_000, "-1.5s"),
        (i64::MAX, "2562047h47m16.854775807s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
    ] {
        assert_eq!(print(nanos), text);
    }
}

#[test]
fn attribute_names() {
    print_as(&[
        ("{ .a-b = 1 }", "{ .a-b = 1 }"),
        ("{ .a+b*c/d%e = 1 }", "{ .a+b*c/d%e = 1 }"),
        ("{ .a//b = 1 }", "{ .a//b = 1 }"),
        ("{ .a/*b*/=1 }", "{ .a/*b*/ = 1 }"),
        ("{ .a:b;c?d[0]'$@# = 1 }", "{ .a:b;c?d[0]'$@# = 1 }"),
        ("{ .a - .b = 1 }", "{ (.a - .b) = 1 }"),
        ("{ .a -.b = 1 }", "{ (.a - .b) = 1 }"),
        ("{ .日本 = 1 }", "{ .日本 = 1 }"),
        ("{ .\"x y\" = 1 }", "{ .\"x y\" = 1 }"),
        ("{ span.\"foo bar\".baz = 1 }", "{ span.\"foo bar.baz\" = 1 }"),
        ("{ span.foo.\"bar\" = 1 }", "{ span.foo.bar = 1 }"),
        (r#"{ .a"\"\\" = 1 }"#, r#"{ ."a\"\\" = 1 }"#),
        (r"{ .a\b = 1 }", r"{ .a\b = 1 }"),
        ("{ .\"5\" = 1 }", "{ .\"5\" = 1 }"),
        ("{ span.5 = 1 }", "{ span.5 = 1 }"),
        ("{ ..a = 1 }", "{ ..a = 1 }"),
        ("{ .span.a = 1 }", "{ .span.a = 1 }"),
        ("{ parent.\"span.a\" = 1 }", "{ parent.\"span.a\" = 1 }"),
        ("{ parent.\"span\".a = 1 }", "{ parent.\"span.a\" = 1 }"),
        ("{ span.parent.a = 1 }", "{ span.parent.a = 1 }"),
        ("{.a=1&&.b=~`x`}", "{ (.a = 1) && (.b =~ `x`) }"),
        ("{.a>1||.b<2}", "{ (.a > 1) || (.b < 2) }"),
        ("{.a!~`x`}", "{ .a !~ `x` }"),
        ("{.a!=1}", "{ .a != 1 }"),
        ("{.a^2=4}", "{ (.a ^ 2) = 4 }"),
        ("{duration-1s>0}", "{ (duration - 1s) > 0 }"),
    ]);
    refused(
        ErrorKind::Parse,
        &[
            ("{ . }", 3, "this attribute has no name"),
            ("{ span. = 1 }", 3, "this attribute has no name"),
            ("{ .\"\" = 1 }", 3, "this attribute has no name"),
            ("{ .\"a = 1 }", 4, "this quoted name has no end"),
            (r#"{ ."a\n" = 1 }"#, 6, r#"only \" and \\ are escapes"#),
        ],
    );
}

#[test]
fn a_name_keeps_its_scope() {
    use traceql::{Attribute, Scope};
    for (text, scope, parent, name) in [
        (".a.b", Scope::Any, false, "a.b"),
        ("span.a", Scope::Span, false, "a"),
        ("resource.service.name", Scope::Resource, false, "service.name"),
        ("event.a", Scope::Event, false, "a"),
        ("link.a", Scope::Link, false, "a"),
        ("instrumentation.a", Scope::Instrumentation, false, "a"),
        ("parent.a", Scope::Any, true, "a"),
        ("parent.span.a", Scope::Span, true, "a"),
        ("parent.resource.a", Scope::Resource, true, "a"),
        ("parent.link.a", Scope::Any, true, "link.a"),
    ] {
        let expected = Attribute { scope, parent, name: name.to_owned() };
        assert_eq!(traceql::attribute(text), Ok(Field::Attribute(expected)), "{text}");
    }
}

#[test]
fn comments() {
    print_as(&[
        ("{ .a // and\n && .b }", "{ .a && .b }"),
        ("/**/{/* } */}//", "{ true }"),
        ("{} | /* ** / */ count() > 1", "{ true } | count() > 1"),
    ]);
    refused(ErrorKind::Parse, &[("{} /* x", 4, "this comment has no end")]);
}
