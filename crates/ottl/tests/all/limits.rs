//! Texts that are too much, at the edge.

use ottl::{Context, DEPTH_MAX, TEXT_BYTES_MAX, parse_condition, parse_statement};

use crate::evaluator;
use crate::item::Item;
use crate::text;

#[track_caller]
fn refused(text: &str, fragment: &str) {
    let error = parse_condition(text, Context::Span).unwrap_err();
    assert!(error.to_string().contains(fragment), "{error}");
    // Whatever the length of the text.
    assert!(error.caret(text).len() < 2_000);
    assert!(error.to_string().len() < 2_000);
}

#[test]
fn length() {
    let longest = format!("true{}", " ".repeat(TEXT_BYTES_MAX - 4));
    parse_condition(&longest, Context::Span).unwrap();
    refused(&format!("{longest} "), "the longest has 65536");
}

/// Lists of alternatives are as long as texts.
#[test]
fn long_chains() {
    for between in [" or ", " and "] {
        let chain = vec!["kind == 2"; 4_000].join(between);
        let condition = parse_condition(&chain, Context::Span).unwrap();
        assert_eq!(evaluator().matches(&condition, &Item::usual()), Ok(true));
    }
    let keys = vec!["\"a\""; 9_000].join(",");
    parse_statement(&format!("keep_keys(attributes, [{keys}])"), Context::Span).unwrap();
}

#[test]
fn depth() {
    for (start, open, inside, close, end) in [
        ("", "(", "true", ")", ""),
        ("", "not ", "true", "", ""),
        ("", "not (", "true", ")", ""),
        ("", "(kind == 1 or ", "true", ")", ""),
        ("", "(", "kind", ")", "== 1"),
        ("", "-", " kind", "", "== 1"),
        ("", "kind + (", "1", ")", "== 1"),
        ("", "", "kind", " + kind", "== 1"),
        ("", "", "kind", " * kind - kind", "== 1"),
        ("", "[", "kind", "]", "== 1"),
        ("", "{\"a\": ", "kind", "}", "== 1"),
        ("", "Int(", "kind", ")", "== 1"),
        ("", "attributes[", "kind", "]", "== 1"),
        ("", "Split(name, \"\")[", "kind", "]", "== 1"),
    ] {
        let at = |levels: usize| {
            format!("{start}{}{inside}{}{end}", open.repeat(levels), close.repeat(levels))
        };
        for levels in 0..20 {
            let text = at(levels);
            parse_condition(&text, Context::Span).unwrap_or_else(|e| panic!("{text}: {e}"));
        }
        let width = open.len() + close.len();
        let many = 10_000.min((TEXT_BYTES_MAX - 100) / width);
        refused(&at(many), &format!("{DEPTH_MAX} levels are the most"));
    }
}

#[test]
fn patterns() {
    let of = |count| vec!["IsMatch(name, \"x\")"; count].join(" and ");
    parse_condition(&of(100), Context::Span).unwrap();
    refused(&of(101), "at most 100 patterns");
    refused(&format!("IsMatch(name, \"{}\")", "(a{9}){9}".repeat(5_000)), "it is too large");
}

#[test]
fn keys() {
    let text = format!("attributes{} == nil", "[\"a\"]".repeat(64));
    let condition = parse_condition(&text, Context::Span).unwrap();
    assert_eq!(evaluator().matches(&condition, &Item::usual()), Ok(true));
    // A path of many names makes as many maps.
    let text = format!("set(attributes{}, 1)", "[\"a\"]".repeat(65));
    let error = parse_statement(&text, Context::Span).unwrap_err();
    assert!(error.message.contains("at most 64 keys"), "{error}");
}

#[test]
fn merged_maps() {
    let json = |count: usize| {
        let members: Vec<String> = (0..count).map(|at| format!("\"k{at}\":1")).collect();
        text(&format!("{{{}}}", members.join(",")))
    };
    let merge = "merge_maps(attributes, ParseJSON(attributes[\"json\"]), \"upsert\")";
    let merge = parse_statement(merge, Context::Span).unwrap();
    let mut item = Item::with(&[("json", json(4_096))]);
    assert_eq!(evaluator().execute(&merge, &mut item), Ok(true));
    assert!(item.attribute("k4095").is_some());
    let mut item = Item::with(&[("json", json(4_097))]);
    let error = evaluator().execute(&merge, &mut item).unwrap_err();
    assert_eq!(error.message, "maps of up to 4096 entries are merged");
}

#[test]
fn values_of_a_text() {
    const MOST: usize = 256 * 1024;
    for (converter, repeated, last) in [
        ("Split(attributes[\"text\"], \",\")", ",", ""),
        ("Split(attributes[\"text\"], \"\")", "a", "a"),
        ("Keys(ParseKeyValue(attributes[\"text\"]))", "a=1 ", "a=1"),
    ] {
        let condition = parse_condition(&format!("IsList({converter})"), Context::Span).unwrap();
        let of = |count: usize| Item::with(&[("text", text(&(repeated.repeat(count - 1) + last)))]);
        assert_eq!(evaluator().matches(&condition, &of(MOST)), Ok(true), "{converter}");
        let error = evaluator().matches(&condition, &of(MOST + 1)).unwrap_err();
        assert_eq!(error.message, format!("texts of up to {MOST} values are taken apart"));
    }
    let condition =
        parse_condition("IsList(ParseJSON(attributes[\"text\"]))", Context::Span).unwrap();
    let of = |count: usize| {
        let json = format!("[{}]", vec!["0"; count].join(","));
        Item::with(&[("text", text(&json))])
    };
    assert_eq!(evaluator().matches(&condition, &of(MOST)), Ok(true));
    assert!(evaluator().matches(&condition, &of(MOST + 1)).is_err());
}
