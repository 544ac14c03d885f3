//! What is of the language.

use ottl::{Context, ErrorKind, Value, parse_condition, parse_statement};

use crate::{gives, holds, list, map, refused, text};

#[test]
fn literals() {
    gives([
        ("\"\"", text("")),
        (r#""\a\b\f\n\r\t\v\"\\""#, text("\u{7}\u{8}\u{c}\n\r\t\u{b}\"\\")),
        (r#""\101\x42\u0043\U00000044""#, text("ABCD")),
        (r#""\xc3\xa9 é""#, text("é é")),
        ("\"a\nb\"", text("a\nb")),
        ("0", Value::Int(0)),
        ("007", Value::Int(7)),
        ("-5", Value::Int(-5)),
        ("+5", Value::Int(5)),
        ("9223372036854775807", Value::Int(i64::MAX)),
        ("-9223372036854775808", Value::Int(i64::MIN)),
        ("1.5", Value::Double(1.5)),
        ("-.5", Value::Double(-0.5)),
        ("1.5e-3", Value::Double(0.0015)),
        ("true", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("nil", Value::Nil),
        ("0x00fF", Value::Bytes(vec![0, 255].into())),
        ("[]", list(&[])),
        ("[1, [\"a\"], nil]", Value::List(vec![Value::Int(1), list(&["a"]), Value::Nil])),
        ("{}", map(&[])),
        (
            "{\"a\": 1, \"b\": {\"c\": [2]}}",
            map(&[("a", Value::Int(1)), ("b", map(&[("c", Value::List(vec![Value::Int(2)]))]))]),
        ),
        (
            "{\"a\": attributes[\"int\"], \"b\": [name]}",
            map(&[("a", Value::Int(200)), ("b", list(&["GET /cart"]))]),
        ),
        ("STATUS_CODE_UNSET", Value::Int(0)),
        ("STATUS_CODE_OK", Value::Int(1)),
        ("STATUS_CODE_ERROR", Value::Int(2)),
        ("SPAN_KIND_UNSPECIFIED", Value::Int(0)),
        ("SPAN_KIND_INTERNAL", Value::Int(1)),
        ("SPAN_KIND_SERVER", Value::Int(2)),
        ("SPAN_KIND_CLIENT", Value::Int(3)),
        ("SPAN_KIND_PRODUCER", Value::Int(4)),
        ("SPAN_KIND_CONSUMER", Value::Int(5)),
    ]);
    refused(
        ErrorKind::Parse,
        &[
            ("set(name, \"x)", 11, "this string has no end"),
            (r#"set(name, "\d")"#, 12, "a backslash is written \\\\"),
            (r#"set(name, "\xff")"#, 11, "no UTF-8 text"),
            (r#"set(name, "\ud800")"#, 12, "there is no such escape"),
            ("set(name, 'x')", 11, "double quotes"),
            ("set(name, 9223372036854775808)", 11, "beyond the greatest integer"),
            ("set(name, 99999999999999999999)", 11, "beyond the greatest integer"),
            ("set(name, 1.0e999)", 11, "beyond the greatest float"),
            ("set(name, 10s)", 11, "a duration is written Duration"),
            ("set(name, 0x1)", 11, "two hexadecimal digits"),
            ("set(name, 0x)", 11, "two hexadecimal digits"),
            ("set(name, {a: 1})", 12, "a key in quotes"),
            ("set(name, [1 2])", 14, "expected , or ]"),
            ("set(name, {\"a\" 1})", 16, "expected :"),
        ],
    );
    refused(
        ErrorKind::Validation,
        &[
            ("set(name, {\"a\": 1, \"a\": 2})", 20, "has this key twice"),
            ("set(kind, SPAN_KIND_SERVR)", 11, "did you mean SPAN_KIND_SERVER?"),
            ("set(kind, ERROR)", 11, "there is no ERROR"),
            ("set(name, SHA256)", 11, "SHA256 is a converter; write SHA256(…)"),
        ],
    );
}

#[test]
fn booleans() {
    holds(&[
        ("true", true),
        ("not true", false),
        ("not not true", true),
        ("true or false and false", true),
        ("(true or false) and false", false),
        ("not true or true", true),
        ("not (true or true)", false),
        ("not name == \"x\"", true),
        ("not name == \"GET /cart\" or kind == 3", false),
        ("true and true and not false", true),
        ("false or false or true", true),
        ("false and attributes[\"text\"] * 2 == 1", false),
        ("true or attributes[\"text\"] * 2 == 1", true),
        ("IsMatch(name, \"GET\") and IsRootSpan()", true),
        ("(attributes[\"int\"] + 1) * 2 == 402", true),
        ("((attributes[\"int\"])) == 200", true),
        ("(kind == 2)", true),
        ("ParseJSON(\"{\\\"a\\\": true}\")[\"a\"]", true),
        ("Bool(\"true\")", true),
        ("attributes[\"yes\"] == true", true),
    ]);
    refused(
        ErrorKind::Validation,
        &[
            (
                "? attributes[\"yes\"]",
                1,
                "compare it to something, such as attributes[\"yes\"] == true",
            ),
            ("? 1", 1, "a condition is true or false, not an integer"),
            ("? \"a\" and true", 1, "not a string"),
            ("? true or 1 + attributes[\"int\"]", 9, "not a number"),
            ("? Len(name)", 1, "not an integer"),
            ("? not name", 5, "a path alone is no condition"),
            ("? (kind == 1) == true", 1, "no value to work with"),
            ("? kind == 1 == 2", 1, "no value to work with"),
            ("? (true and false) + 1 == 1", 1, "no value to work with"),
            ("set(attributes[\"a\"], (kind == 1))", 22, "no value to work with"),
        ],
    );
    refused(
        ErrorKind::Parse,
        &[
            ("? ", 1, "unexpected end"),
            ("? true and", 9, "unexpected end"),
            ("? kind = 1", 6, "equality is written =="),
            ("? true and kind = 1", 15, "equality is written ==; expected a comparison"),
            ("? kind 1", 6, "unexpected 1; expected a comparison"),
            ("? true && false", 6, "it is written and"),
            ("? true || false", 6, "it is written or"),
            ("? !true", 1, "negation is written not"),
            ("? (true", 6, "expected )"),
            ("? true)", 5, "unexpected ); expected the end"),
            ("? true false", 6, "unexpected false"),
            ("? and true", 1, "unexpected and"),
        ],
    );
    let condition = parse_condition("Bool(attributes[\"text\"])", Context::Span).unwrap();
    let error = crate::evaluator().matches(&condition, &crate::Item::usual()).unwrap_err();
    assert_eq!(error.message, "a condition is true or false, not nil");
}

#[test]
fn statements() {
    for text in [
        "set(name, \"a\")",
        "  set ( name , \"a\" )\n\twhere\nkind == 1 ",
        "set(target=name, value=\"a\")",
        "set(name, value=\"a\") where true",
        "replace_pattern(name, \"a\", \"b\", function=SHA256)",
        "replace_pattern(name, \"a\", \"b\", replacementFormat=\"<%s>\", function=SHA256())",
        "replace_pattern(name, \"a\", \"b\", replacement_format=\"<%s>\")",
        "set(name, Concat(values=[\"a\"], delimiter=\"\"))",
    ] {
        let statement =
            parse_statement(text, Context::Span).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(statement.as_str(), text);
        assert_eq!(statement.has_condition(), text.contains("where"));
        assert_eq!(statement.context(), Context::Span);
        assert_eq!(statement.target().map(ToString::to_string).as_deref(), Some("span.name"));
    }
    refused(
        ErrorKind::Parse,
        &[
            ("", 1, "expected an editor such as set"),
            ("1", 1, "expected an editor such as set"),
            ("set", 4, "expected ("),
            ("set(name, \"a\"", 14, "expected , or )"),
            ("set(name \"a\")", 10, "expected , or )"),
            ("set(name, \"a\",)", 15, "unexpected )"),
            ("set(name, \"a\") kind == 1", 16, "expected where or the end"),
            ("set(name, \"a\") where", 21, "unexpected end"),
            ("set(name, \"a\") where true true", 27, "expected the end"),
            ("set(name, \"a\")[0]", 15, "an editor has no value to index"),
            ("set(value=\"a\", name)", 16, "all have names"),
            ("set(name, where)", 11, "unexpected where"),
            ("set(name, kind == 1)", 16, "expected , or )"),
            ("set(name, #)", 11, "unexpected character '#'"),
            ("set(name, kind => v)", 16, "functions of functions are not here"),
        ],
    );
    refused(
        ErrorKind::Validation,
        &[
            ("sett(name, \"a\")", 1, "there is no editor sett; did you mean set?"),
            (
                "set(name, Conat([\"a\"], \"\"))",
                11,
                "there is no converter Conat; did you mean Concat?",
            ),
            ("Concat([\"a\"], \"\")", 1, "Concat is a converter and changes nothing"),
            ("set(name, delete_key(attributes, \"a\"))", 11, "delete_key is an editor"),
            ("set(name, nothing())", 11, "there is no converter nothing"),
            ("set(name)", 1, "set takes 2 arguments; value is missing"),
            ("set()", 1, "target and value is missing"),
            ("set(name, \"a\", \"b\")", 16, "set takes 2 arguments"),
            ("set(name, name=\"a\")", 11, "set has no parameter name; there are target, value"),
            ("set(name, valeu=\"a\")", 11, "did you mean value?"),
            ("set(name, target=kind, value=1)", 18, "target is given twice"),
            ("set(\"a\", 1)", 5, "target of set has to be a path that can be written to"),
            ("set(Len(name), 1)", 5, "has to be a path that can be written to"),
            ("set(event_index, 1)", 5, "span has no field event_index"),
            ("set(events, [])", 5, "span.events can only be read"),
            ("set(otelcol.client.addr, \"a\")", 5, "otelcol.client.addr can only be read"),
            ("delete_key(name, \"a\")", 12, "has to be a map, such as attributes, and is a string"),
            ("delete_key(\"a\", \"a\")", 12, "has to be a map, such as attributes"),
            (
                "delete_key(attributes, 1)",
                24,
                "key of delete_key has to be a string, and is an integer",
            ),
            ("keep_keys(attributes, [1])", 23, "has only strings in it"),
            (
                "keep_keys(attributes, \"a\")",
                23,
                "a list of strings written as they are, and is a string",
            ),
            ("keep_keys(attributes, [name])", 23, "a list of strings written as they are"),
            ("limit(attributes, -1, [])", 19, "a limit is not negative"),
            ("limit(attributes, 1, [\"a\", \"b\"])", 22, "more priority keys than the limit"),
            ("limit(attributes, kind, [])", 19, "an integer written as it is, and is a path"),
            ("truncate_all(attributes, -1)", 26, "a limit is not negative"),
            (
                "truncate_all(attributes, 1, true, \"...\")",
                35,
                "the marker is longer than the limit",
            ),
            ("flatten(attributes, \"\", -1)", 25, "a depth is not negative"),
            ("set(name, 1)", 11, "span.name is a string, and this is an integer"),
            ("set(start_time, 1)", 17, "span.start_time is a time, and this is an integer"),
            ("set(attributes, [])", 17, "span.attributes is a map, and this is a list"),
            ("set(kind, kind.string)", 11, "span.kind is an integer, and this is a string"),
            ("append(attributes[\"a\"])", 8, "append takes a value or a list of values"),
            ("merge_maps(attributes, {}, \"upset\")", 28, "did you mean upsert?"),
            (
                "replace_all_patterns(attributes, \"keys\", \"a\", \"b\")",
                34,
                "expected \"key\" or \"value\"",
            ),
            (
                "replace_pattern(name, \"(\", \"b\")",
                23,
                "this regular expression is invalid: unclosed group",
            ),
            ("replace_pattern(name, \"a\\\\\", \"b\")", 23, "a backslash escapes what follows"),
            (
                "replace_match(name, \"[a\", \"b\")",
                21,
                "this glob is invalid: a class is not closed",
            ),
            (
                "replace_match(name, \"{a\", \"b\")",
                21,
                "this glob is invalid: a brace is not closed",
            ),
            (
                "replace_pattern(name, \"a\", \"b\", Concat)",
                33,
                "Concat makes no string of one string",
            ),
            ("replace_pattern(name, \"a\", \"b\", SHA265)", 33, "did you mean SHA256?"),
            ("replace_pattern(name, \"a\", \"b\", SHA256, \"%d\")", 41, "the format has %s once"),
            ("replace_match(name, \"a\", \"b\", SHA256, \"%s%s\")", 39, "the format has %s once"),
            ("set(name, 1 / 0)", 11, "division by zero"),
            ("set(name, \"a\") where Len(1) == 1", 26, "target of Len has to be"),
        ],
    );
    refused(
        ErrorKind::Unsupported,
        &[
            ("stringify_all(attributes)", 1, "stringify_all of the Collector is not here"),
            ("set(name, UserAgent(\"a\"))", 11, "UserAgent of the Collector is not here"),
            ("set(name, When(1, 2, 3))", 11, "When of the Collector is not here"),
        ],
    );
}

/// Every regular expression of RE2 means what it means there.
#[test]
fn patterns() {
    holds(&[
        ("IsMatch(\"٣\", \"\\\\d\")", false),
        ("IsMatch(\"ä\", \"^\\\\W$\")", true),
        ("IsMatch(\"a{b\", \"a{b\")", true),
        ("IsMatch(\"aa\", \"^a{2}$\")", true),
        ("IsMatch(\"[\", \"^[[]$\")", true),
        ("IsMatch(\"&\", \"^[a&&b]$\")", true),
        ("IsMatch(\"]\", \"^[]a]$\")", true),
        ("IsMatch(\"b\", \"^[^]a]$\")", true),
        ("IsMatch(\"a.b\", \"^\\\\Qa.b\\\\E$\")", true),
        ("IsMatch(\"axb\", \"^\\\\Qa.b\\\\E$\")", false),
        ("IsMatch(\"É\", \"^\\\\p{Lu}$\")", true),
        ("IsMatch(\"a\\nb\", \"a.b\")", false),
        ("IsMatch(\"a\\nb\", \"(?s)a.b\")", true),
        ("IsMatch(\"a\", \"^[[:alpha:]]$\")", true),
        ("IsMatch(\"a b\", \"\\\\bb\")", true),
        ("IsMatch(\"xAx\", \"(?i)a\")", true),
        ("IsMatch(\"\", \"\")", true),
    ]);
}

#[test]
fn globs() {
    for (glob, matching, other) in [
        ("abc", "abc", "abcd"),
        ("*", "", "-"),
        ("a*c", "a/b/c", "a/b"),
        ("a*a", "aa", "a"),
        ("*b*b*", "xbyb", "xby"),
        ("a?c", "aäc", "ac"),
        ("[a-c]x", "bx", "dx"),
        ("[^a-c]x", "dx", "bx"),
        ("[!a]", "b", "a"),
        ("[]]", "]", "["),
        ("\\\\*", "*", "a"),
        ("{a,b*}/", "bcd/", "c/"),
        ("a.c", "a.c", "abc"),
        ("a*\\nb", "ax\ny\nb", "ab"),
    ] {
        let text = format!("replace_match(attributes[\"a\"], \"{glob}\", \"matched\")");
        for (value, expected) in [(matching, "matched"), (other, other)] {
            let mut item = crate::Item::with(&[("a", crate::text(value))]);
            crate::run(&text, &mut item);
            let expected = if value == "-" { "matched" } else { expected };
            assert_eq!(item.attribute("a"), Some(&crate::text(expected)), "{glob} {value}");
        }
    }
}
