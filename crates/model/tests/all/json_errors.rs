//! What each fault of a document says, and where.

use model::{VALUE_DEPTH_MAX, json};

#[test]
fn documents() {
    for (document, position, problem) in [
        ("", (1, 1), "the body is empty; an empty request is {}"),
        (" \n ", (2, 2), "the body is empty; an empty request is {}"),
        ("[]", (1, 1), "expected an object, found an array"),
        ("null", (1, 1), "expected an object, found null"),
        ("\"{}\"", (1, 1), "expected an object, found \"{}\""),
        ("<html>", (1, 1), "expected an object, found <html>"),
        ("{} {}", (1, 4), "expected nothing after the document's object, found an object"),
        ("{\n\"a\":1,\n}", (3, 1), "expected something after the comma, found }"),
        ("{\"a\" 1}", (1, 6), "expected a colon after a field's name, found 1"),
        ("{a:1}", (1, 2), "expected a field's name in quotes, found a"),
        ("{\"a\":1 \"b\":2}", (1, 8), "expected a comma or the end of the object, found \"b\""),
        ("{\"a\":[1 2]}", (1, 9), "expected a comma or the end of the array, found 2"),
        ("{\"a\":[1,]}", (1, 9), "expected something after the comma, found ]"),
        ("{\"a\":", (1, 6), "expected a value, found the end of the document"),
        ("{\"é\":tru}", (1, 6), "expected true, found tru"),
        ("{\"a\":nul}", (1, 6), "expected null, found nul"),
        ("{\"a\":01}", (1, 6), "expected a number, found 01"),
        ("{\"a\":-}", (1, 6), "expected a number, found -"),
        ("{\"a\":'b'}", (1, 6), "expected a value, found 'b'"),
        ("{\"a\":\"b}", (1, 6), "this string has no end"),
        ("{\"a\":\"\n\"}", (1, 7), "a control character in a string has to be escaped"),
        ("{\"a\":\"\\x\"}", (1, 7), "no character is escaped like this in JSON"),
        ("{\"a\":\"\\u12g4\"}", (1, 7), "\\u has to be followed by four hexadecimal digits"),
        ("{\"a\":\"\\u+123\"}", (1, 7), "\\u has to be followed by four hexadecimal digits"),
        ("{\"a\":\"\\u12é\"}", (1, 7), "\\u has to be followed by four hexadecimal digits"),
        ("{\"a\":\"\\ud800\\u\"}", (1, 13), "\\u has to be followed by four hexadecimal digits"),
    ] {
        let error = json::decode(document.as_bytes()).unwrap_err();
        assert_eq!((error.line, error.column), position, "{document}: {error}");
        assert_eq!((error.problem.as_str(), error.path.as_str()), (problem, ""), "{document}");
    }
}

#[test]
fn bytes_that_are_not_utf8() {
    let error = json::decode(b"{\n \"\xc3\xa9\":\"\xff\"}").unwrap_err();
    assert_eq!(error.to_string(), "this byte is not valid UTF-8 (line 2, column 7)");
}

/// Each fault in the second of two spans, in the field that is named first.
#[test]
fn fields() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "startTimeUnixNano",
            r#""later""#,
            r#"expected an unsigned 64-bit integer, found "later""#,
        ),
        ("startTimeUnixNano", "-1", "expected an unsigned 64-bit integer, found -1"),
        ("startTimeUnixNano", "1.5", "expected an unsigned 64-bit integer, found 1.5"),
        (
            "startTimeUnixNano",
            "18446744073709551616",
            "expected an unsigned 64-bit integer, found 18446744073709551616",
        ),
        ("startTimeUnixNano", r#""""#, r#"expected an unsigned 64-bit integer, found """#),
        ("startTimeUnixNano", r#"" 1""#, r#"expected an unsigned 64-bit integer, found " 1""#),
        ("endTimeUnixNano", "{}", "expected an unsigned 64-bit integer, found an object"),
        (
            "droppedEventsCount",
            "4294967296",
            "expected an unsigned 32-bit integer, found 4294967296",
        ),
        ("flags", "-1", "expected an unsigned 32-bit integer, found -1"),
        ("flags", "true", "expected an unsigned 32-bit integer, found true"),
        ("name", "7", "expected a string, found 7"),
        ("name", "tru", "expected a string, found tru"),
        ("traceId", "[1,2]", "expected a string of hexadecimal digits, found an array"),
        ("attributes", "{}", "expected an array, found an object"),
        ("attributes", r#"["a"]"#, r#"[0]: expected an object, found "a""#),
        ("attributes", r#"[{},{"key":1}]"#, "[1].key: expected a string, found 1"),
        (
            "attributes",
            r#"[{"value":{"boolValue":"true"}}]"#,
            r#"[0].value.boolValue: expected true or false, found "true""#,
        ),
        (
            "attributes",
            r#"[{"value":{"intValue":"9223372036854775808"}}]"#,
            r#"[0].value.intValue: expected a signed 64-bit integer, found "9223372036854775808""#,
        ),
        (
            "attributes",
            r#"[{"value":{"doubleValue":"nan"}}]"#,
            r#"[0].value.doubleValue: expected a 64-bit floating-point number, found "nan""#,
        ),
        (
            "attributes",
            r#"[{"value":{"doubleValue":1e999}}]"#,
            "[0].value.doubleValue: expected a 64-bit floating-point number, found 1e999",
        ),
        (
            "attributes",
            r#"[{"value":{"bytesValue":"a*b"}}]"#,
            r#"[0].value.bytesValue: expected base64 in a string, found "a*b""#,
        ),
        (
            "attributes",
            r#"[{"value":{"bytesValue":[1]}}]"#,
            "[0].value.bytesValue: expected base64 in a string, found an array",
        ),
        ("attributes", r#"[{"value":"bare"}]"#, r#"[0].value: expected an object, found "bare""#),
        (
            "status",
            r#"{"code":"ERROR"}"#,
            r#".code: expected a status code, a number or one of STATUS_CODE_UNSET, STATUS_CODE_OK, STATUS_CODE_ERROR, found "ERROR""#,
        ),
        (
            "kind",
            "2147483648",
            "expected a span kind, a number or one of SPAN_KIND_UNSPECIFIED, SPAN_KIND_INTERNAL, SPAN_KIND_SERVER, SPAN_KIND_CLIENT, SPAN_KIND_PRODUCER, SPAN_KIND_CONSUMER, found 2147483648",
        ),
        ("name", r#"{"a":1}"#, "expected a string, found an object"),
        (
            "links",
            r#"[{"flags":"a very long text that no number can be, ever"}]"#,
            r#"[0].flags: expected an unsigned 32-bit integer, found "a very long text that no number …""#,
        ),
    ];
    for (field, content, expected) in cases {
        let document = format!(
            "{{\"resourceSpans\":[{{\"scopeSpans\":[{{}},{{\"spans\":[{{}},\n{{\"{field}\":{content}}}]}}]}}]}}"
        );
        let error = json::decode(document.as_bytes()).unwrap_err();
        let at = format!("resourceSpans[0].scopeSpans[1].spans[1].{field}");
        let expected = match expected.starts_with(['.', '[']) {
            true => format!("{at}{expected}"),
            false => format!("{at}: {expected}"),
        };
        assert_eq!(format!("{}: {}", error.path, error.problem), expected);
        assert_eq!(error.line, 2, "{error}");
    }
}

#[test]
fn an_error_reads_well() {
    let document =
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"soon"}]}]}]}"#;
    assert_eq!(
        json::decode(document.as_bytes()).unwrap_err().to_string(),
        "resourceSpans[0].scopeSpans[0].spans[0].startTimeUnixNano: \
         expected an unsigned 64-bit integer, found \"soon\" (line 1, column 65)"
    );
}

#[test]
fn values_nest_to_the_limit_and_no_deeper() {
    let decode = |attributes_of: &str, (open, close): (&str, &str), depth: usize| {
        let value = format!("{}{{}}{}", open.repeat(depth), close.repeat(depth));
        let attributes = |at: &str| match at == attributes_of {
            true => format!(r#""attributes":[{{"value":{value}}}]"#),
            false => r#""attributes":[]"#.to_owned(),
        };
        let span = |name: &str| {
            format!(
                r#"{{"traceId":"{:032x}","spanId":"{:016x}","name":"{name}",{}}}"#,
                1,
                2,
                attributes(name)
            )
        };
        let document = format!(
            r#"{{"resourceSpans":[{{"resource":{{{}}},"scopeSpans":[{{"spans":[{},{}]}}]}}]}}"#,
            attributes("resource"),
            span("first"),
            span("second"),
        );
        let bytes = json::decode(document.as_bytes()).unwrap();
        let batch = model::SpanBatch::decode(bytes.clone().into()).unwrap();
        let names: Vec<String> =
            batch.spans().iter().map(|span| batch.text(span.name).to_owned()).collect();
        (bytes, names, batch.rejection().clone())
    };
    for wrapper in [
        (r#"{"arrayValue":{"values":["#, "]}}"),
        (r#"{"kvlistValue":{"values":[{"value":"#, "}]}}"),
    ] {
        for (at, left, reason) in [
            ("first", &["second"][..], "a span's attribute is nested deeper than 64 levels"),
            ("resource", &[], "a span's resource attribute is nested deeper than 64 levels"),
        ] {
            let (bytes, names, _) = decode(at, wrapper, VALUE_DEPTH_MAX);
            assert_eq!(names, ["first", "second"]);
            assert!(json::encode(&bytes).is_ok());
            for depth in [VALUE_DEPTH_MAX + 1, 100_000] {
                let (_, names, rejection) = decode(at, wrapper, depth);
                assert_eq!(names, left, "{at} {depth}");
                assert_eq!(rejection.spans as usize, 2 - left.len(), "{at} {depth}");
                assert_eq!(rejection.reason, reason, "{at} {depth}");
            }
        }
    }
}
