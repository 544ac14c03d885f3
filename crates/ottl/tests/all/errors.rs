//! Errors as people see them.

use ottl::{Context, parse_condition, parse_statement};

use crate::evaluator;
use crate::item::Item;

#[test]
fn on_one_line() {
    for (text, shown) in [
        (
            "set(attributes[\"a\"] 1)",
            "parse error at line 1, col 21: unexpected 1; expected , or )",
        ),
        (
            "set(name,\n  Cocnat([\"a\"], \"\"))",
            "invalid at line 2, col 3: there is no converter Cocnat; did you mean Concat?",
        ),
        (
            "set(name, ParseXML(name))",
            "not supported at line 1, col 11: ParseXML of the Collector is not here: XML is not read here",
        ),
    ] {
        assert_eq!(parse_statement(text, Context::Span).unwrap_err().to_string(), shown);
    }
}

#[test]
fn with_the_place() {
    for (text, shown) in [
        ("kind = 1", "kind = 1\n     ^ expected a comparison such as =="),
        (
            "kind ==",
            "kind ==\n       ^ expected a value such as attributes[\"key\"], \"text\" or 1",
        ),
        ("", "\n^ expected a value such as attributes[\"key\"], \"text\" or 1"),
        (
            "kind == 1\n  and IsMatch(name, \"[a\")\n  and true",
            "  and IsMatch(name, \"[a\")\n                    ^^^^ this regular expression is invalid: unclosed character class",
        ),
        (
            "name == \"ä\" and nmae == 1",
            "name == \"ä\" and nmae == 1\n                ^^^^ span has no field nmae; did you mean span.name?",
        ),
    ] {
        assert_eq!(parse_condition(text, Context::Span).unwrap_err().caret(text), shown);
    }
}

#[test]
fn of_evaluation() {
    let text = "set(attributes[\"a\"], 1)\n  where Len(attributes[\"int\"]) > 2";
    let statement = parse_statement(text, Context::Span).unwrap();
    let error = evaluator().execute(&statement, &mut Item::usual()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "error at line 2, col 13: this has to be a string, list or map, and is an integer"
    );
    assert_eq!(
        error.caret(text),
        "  where Len(attributes[\"int\"]) > 2\n            ^^^^^^^^^^^^^^^^^ this has to be a string, list or map, and is an integer"
    );
    assert_eq!(&text[error.start..error.end], "attributes[\"int\"]");
}

/// Another text than the one that the error is about is shown wrongly, but shown.
#[test]
fn another_text() {
    let error = parse_condition("true and\n\n nmae == 1", Context::Span).unwrap_err();
    for text in ["", "ä", "\n\n\n", "ääääääää\nä\nää"] {
        error.caret(text);
    }
}

#[test]
fn long_lines_are_cut() {
    let many = vec!["kind == 1"; 30].join(" or ");
    let text = format!("{many} or nmae == 1 or {many}");
    let shown = parse_condition(&text, Context::Span).unwrap_err().caret(&text);
    let (line, marks) = shown.split_once('\n').unwrap();
    assert!(line.starts_with('…') && line.ends_with('…') && line.chars().count() < 130, "{line}");
    let guilty: String = line.chars().skip(marks.find('^').unwrap()).take(4).collect();
    assert_eq!(guilty, "nmae");
}
