//! What holds for every text and every item.

use ottl::{Context, Error, infer_context, parse_condition, parse_statement};
use proptest::prelude::*;

use crate::evaluator;
use crate::item::Item;

/// Pieces of the language, so that not all of what is made of them is refused at its start.
const PIECES: &[&str] = &[
    "set(",
    "delete_key(",
    "replace_pattern(",
    "flatten(",
    "merge_maps(",
    "limit(",
    "append(",
    "keep_keys(",
    "truncate_all(",
    "attributes",
    "span.",
    "resource.",
    "name",
    "kind",
    "cache",
    "[\"a\"]",
    "[0]",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    ".",
    " where ",
    " and ",
    " or ",
    " not ",
    "==",
    "!=",
    "<",
    ">=",
    "=",
    "+",
    "-",
    "*",
    "/",
    "\"a\"",
    "\"(\"",
    "\"%s\"",
    "1",
    "0.5",
    "0x01",
    "true",
    "nil",
    "STATUS_CODE_OK",
    "IsMatch(",
    "Concat(",
    "Len(",
    "ParseJSON(",
    "Substring(",
    "Time(",
    "Format(",
    "Split(",
    "Duration(",
    "SHA256",
    "start_time",
    "end_time",
    "value=",
    "target=",
    " ",
    "\n",
    "ä",
    "\\",
    "\"",
];

fn check(text: &str) {
    let place = |error: Error| {
        assert!(text.get(error.start..error.end).is_some(), "{text}: {error}");
        assert!(!error.caret(text).is_empty() && !error.to_string().is_empty());
    };
    let mut item = Item::usual();
    let mut evaluator = evaluator();
    for context in Context::ALL {
        match parse_statement(text, context) {
            Ok(statement) => {
                if let Err(error) = evaluator.execute(&statement, &mut item) {
                    assert!(text.get(error.start..error.end).is_some(), "{text}: {error}");
                    error.caret(text);
                }
            }
            Err(error) => place(error),
        }
        match parse_condition(text, context) {
            Ok(condition) => {
                if let Err(error) = evaluator.matches(&condition, &item) {
                    assert!(text.get(error.start..error.end).is_some(), "{text}: {error}");
                }
            }
            Err(error) => place(error),
        }
    }
    if let Err((_, error)) = infer_context(&[text]) {
        place(error);
    }
}

/// Values that attributes have and functions have to cope with.
fn operand() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "attributes[\"text\"]",
        "attributes[\"int\"]",
        "attributes[\"double\"]",
        "attributes[\"yes\"]",
        "attributes[\"list\"]",
        "attributes[\"map\"]",
        "attributes[\"bytes\"]",
        "attributes[\"absent\"]",
        "attributes[\"negative\"]",
        "attributes[\"umlaut\"]",
        "attributes",
        "name",
        "start_time",
        "end_time - start_time",
        "Now()",
        "9223372036854775807",
        "-9223372036854775808",
        "0",
        "0.0",
        "\"\"",
        "\"%Y\"",
        "\"=\"",
        "\"base64\"",
        "\"lower\"",
        "\"10.0.0.0/8\"",
        "[\"10.0.0.0/8\"]",
        "[]",
        "{}",
        "nil",
        "true",
        "0x00",
        "\"(?P<a>b)\"",
    ])
}

fn converter() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        "Base64Decode Base64Encode Bool Coalesce Concat ContainsValue ConvertCase Day Decode Double Duration ExtractPatterns FNV Format FormatTime HasPrefix HasSuffix Hex Hour Hours Index Int IsBool IsDouble IsEmpty IsInCIDR IsInt IsList IsMap IsMatch IsRootSpan IsString IsValidLuhn Keys Len Log MD5 Microseconds Milliseconds Minute Minutes Month Murmur3Hash Nanosecond Nanoseconds Now ParseInt ParseJSON ParseKeyValue SHA1 SHA256 SHA512 Second Seconds SliceToMap Sort SpanID Split String Substring Time ToCamelCase ToKeyValueString ToLowerCase ToSnakeCase ToUpperCase TraceID Trim TrimPrefix TrimSuffix TruncateTime URL UUID UUIDv7 Unix UnixMicro UnixMilli UnixNano UnixSeconds Values Weekday XXH128 XXH3 Year"
            .split(' ')
            .collect::<Vec<_>>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_taken_or_refused_at_a_place_in_it(text: String) {
        check(&text);
    }

    #[test]
    fn so_is_any_mixture_of_the_language(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24)) {
        check(&pieces.concat());
    }

    #[test]
    fn functions_take_any_values(
        name in converter(),
        arguments in prop::collection::vec(operand(), 0..4),
        editor in prop::sample::select(vec!["set", "append"]),
    ) {
        check(&format!("{editor}(attributes[\"out\"], {name}({}))", arguments.join(", ")));
    }

    #[test]
    fn a_format_reads_what_it_writes(nanos in any::<i64>()) {
        let text = format!(
            "Time(FormatTime(Unix(0, {nanos}), \"%Y-%m-%dT%H:%M:%S.%s%z\"), \"%Y-%m-%dT%H:%M:%S.%s%z\") == Unix(0, {nanos})"
        );
        let condition = parse_condition(&text, Context::Span).unwrap();
        prop_assert_eq!(evaluator().matches(&condition, &Item::usual()), Ok(true));
    }

    #[test]
    fn a_duration_reads_what_it_writes(nanos in -i64::MAX..=i64::MAX) {
        let text = format!("Nanoseconds(Duration(String(Unix(0, {nanos}) - Unix(0)))) == {nanos}");
        let condition = parse_condition(&text, Context::Span).unwrap();
        prop_assert_eq!(evaluator().matches(&condition, &Item::usual()), Ok(true));
    }

    #[test]
    fn any_string_is_a_literal(value: String) {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let mut item = Item::with(&[]);
        crate::run(&format!("set(attributes[\"a\"], \"{quoted}\")"), &mut item);
        prop_assert_eq!(item.attribute("a"), Some(&crate::text(&value)));
    }
}
