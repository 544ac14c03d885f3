//! Errors as people see them.

use traceql::{ErrorKind, parse};

#[test]
fn on_one_line() {
    for (text, shown) in [
        (
            "{ .a == 1 }",
            "parse error at line 1, col 7: unexpected =; equality is written with one =; expected an attribute such as .name, an intrinsic or a value",
        ),
        (
            "{} |\n rats()",
            "parse error at line 2, col 2: unknown function rats; did you mean rate()?; expected { or a function such as count() or rate()",
        ),
        ("{ status > ok }", "invalid query at line 1, col 3: a status has no order; > needs one"),
        (
            "{ parent }",
            "not supported at line 1, col 3: the parent span is only compared to nil; its attributes are written parent.name",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), shown);
    }
}

#[test]
fn with_the_place() {
    for (text, shown) in [
        (
            "{ .a == 1 }",
            "{ .a == 1 }\n      ^ expected an attribute such as .name, an intrinsic or a value",
        ),
        ("{ .a", "{ .a\n    ^ expected }"),
        ("", "\n^ expected { or a function such as count() or rate()"),
        (
            "{}\n| cuont() > 1\n| {}",
            "| cuont() > 1\n  ^^^^^ expected { or a function such as count() or rate()",
        ),
        ("{ `ä` = 1 }", "{ `ä` = 1 }\n  ^^^^^^^ a string cannot be compared to a number"),
        (
            "{\t.a = \t}",
            "{ .a =  }\n        ^ expected an attribute such as .name, an intrinsic or a value",
        ),
        ("{ .a = `x\ny` + 1 }", "{ .a = `x\n       ^^ + takes a number, not a string"),
    ] {
        assert_eq!(parse(text).unwrap_err().caret(text), shown);
    }
}

#[test]
fn long_lines_are_cut() {
    let text = format!(
        "{{ {} || status = 1 || {} }}",
        vec![".a"; 100].join(" || "),
        vec![".b"; 100].join(" || ")
    );
    let error = parse(&text).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Validation);
    let shown = error.caret(&text);
    let (line, marks) = shown.split_once('\n').unwrap();
    assert!(line.starts_with('…') && line.ends_with('…') && line.chars().count() < 130, "{line}");
    let at = marks.find('^').unwrap();
    let guilty: String = line.chars().skip(at).take("status = 1".len()).collect();
    assert_eq!(guilty, "status = 1");
}

#[test]
fn expectations_are_a_list() {
    let error = parse("{} | select(.a .b)").unwrap_err();
    assert_eq!(error.expected, [",", ")"]);
    assert_eq!((error.start, error.end), (15, 17));
}

/// Another text than the one that the error is about is shown wrongly, but shown.
#[test]
fn another_text() {
    let error = parse("{} |\n\n rats()").unwrap_err();
    for text in ["", "ä", "\n\n\n", "ääääääää\nä\nää"] {
        error.caret(text);
    }
}
