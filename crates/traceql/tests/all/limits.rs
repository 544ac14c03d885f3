//! Texts that are too much, at the edge.

use traceql::{DEPTH_MAX, ErrorKind, QUERY_BYTES_MAX, parse};

use crate::query;

#[track_caller]
fn refused(text: &str, fragment: &str) {
    let error = parse(text).unwrap_err();
    assert!(error.to_string().contains(fragment), "{error}");
    // Whatever the length of the text.
    assert!(error.caret(text).len() < 2_000);
    assert!(error.to_string().len() < 2_000);
}

#[test]
fn length() {
    let longest = format!("{{}}{}", " ".repeat(QUERY_BYTES_MAX - 2));
    query(&longest);
    let error = parse(&format!("{longest} ")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Parse);
    assert!(error.message.contains("the longest has 131072"), "{error}");
}

/// Lists of alternatives are as long as texts.
#[test]
fn long_chains() {
    for between in [" || ", " && "] {
        let conditions: Vec<_> = (0..5_000).map(|at| format!(".a = {at}")).collect();
        let tree = query(&format!("{{ {} }}", conditions.join(between)));
        assert_eq!(query(&tree.to_string()), tree);
        let spansets = vec!["{.a}"; 5_000].join(between);
        let tree = query(&spansets);
        assert_eq!(query(&tree.to_string()), tree);
    }
    query(&vec!["{.a}"; 5_000].join(" | "));
    query(&format!("{{}} | select({})", vec![".a"; 5_000].join(", ")));
}

#[test]
fn depth() {
    let nested = |levels: usize, open: &str, inside: &str, close: &str| {
        format!("{}{inside}{}", open.repeat(levels), close.repeat(levels))
    };
    for (start, open, inside, close, end) in [
        ("{", "(", ".a", ")", "}"),
        ("{", "!", ".a", "", "}"),
        ("{", "!(", ".a", ")", "}"),
        ("{", "- ", ".a", "", "= 1}"),
        ("{", ".a + (", "1", ")", "= 1}"),
        ("{", ".a ^ ", ".b", "", "= 1}"),
        ("{", ".a && (.b || (", ".b", "))", "}"),
        ("{", ".a = (.b = ", ".b", ")", "}"),
        ("{", "", ".a", " + .b", "= 1}"),
        ("{", "", ".a", " = .b", "}"),
        ("{", "", ".a", " && .b || .c", "}"),
        ("", "(", "{}", ")", ""),
        ("", "!", "{}", "", ""),
        ("", "!(", "{} | count() > 1", ")", ""),
        ("", "", "{}", " > {}", ""),
        ("", "", "{}", " && {} || {}", ""),
        ("", "({} | {}) && (({} | {}) > ", "({} | {})", ")", ""),
        ("{} |", "(", "count()", ")", "> 1"),
        ("{} |", "-", " count()", "", "> 1"),
        ("{} |", "", "count()", " + 1", "> 1"),
        ("", "(", "{} | rate()", ")", ""),
        ("", "", "({} | rate())", " + 1", ""),
        ("", "(", "({} | rate())", " + 1)", ""),
        ("", "", "{} | rate()", " > 1", ""),
        ("", "", "{} | rate()", " | topk(1)", ""),
        ("{} | avg(", "(", ".a", ")", ") > 1"),
    ] {
        let at = |levels| format!("{start}{}{end}", nested(levels, open, inside, close));
        for levels in 0..45 {
            let tree = query(&at(levels));
            assert_eq!(query(&tree.to_string()), tree, "{}", at(levels));
        }
        // The deepest that is accepted prints as text that is accepted.
        let deepest = (0..4 * DEPTH_MAX).rev().find_map(|levels| parse(&at(levels)).ok()).unwrap();
        assert_eq!(query(&deepest.to_string()), deepest, "{}", at(1));
        let width = open.len() + close.len();
        refused(&at(10_000.min((QUERY_BYTES_MAX - 100) / width)), "nested too deeply");
    }
}

#[test]
fn patterns() {
    let of = |count| vec!["name =~ `x`"; count].join(" && ");
    query(&format!("{{ {} }}", of(100)));
    refused(&format!("{{ {} }}", of(101)), "at most 100 patterns");
    refused(&format!("{{ name =~ `{}` }}", "{1".repeat(40_000)), "too large");
}
