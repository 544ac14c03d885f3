//! What converters give.

use std::borrow::Cow;
use std::collections::BTreeSet;

use ottl::{Context, Value, parse_statement};

use crate::{fails, gives, list, map, text, value};

#[test]
fn kinds() {
    gives([
        ("Int(\"12\")", Value::Int(12)),
        ("Int(\"2.0\")", Value::Nil),
        ("Int(\"x\")", Value::Nil),
        ("Int(2.9)", Value::Int(2)),
        ("Int(-2.9)", Value::Int(-2)),
        ("Int(true)", Value::Int(1)),
        ("Int(nil)", Value::Nil),
        ("Int(attributes[\"int\"])", Value::Int(200)),
        ("Int(attributes[\"list\"])", Value::Nil),
        ("Double(\"1.5\")", Value::Double(1.5)),
        ("Double(true)", Value::Double(1.0)),
        ("Double(attributes[\"int\"])", Value::Double(200.0)),
        ("Double(\"x\")", Value::Nil),
        ("Bool(\"TRUE\")", Value::Bool(true)),
        ("Bool(\"f\")", Value::Bool(false)),
        ("Bool(\"yes\")", Value::Nil),
        ("Bool(0)", Value::Bool(false)),
        ("Bool(0.5)", Value::Bool(true)),
        ("Bool(nil)", Value::Nil),
        ("String(\"a\")", text("a")),
        ("String(5)", text("5")),
        ("String(1.0)", text("1")),
        ("String(1.5)", text("1.5")),
        ("String(true)", text("true")),
        ("String(nil)", Value::Nil),
        ("String(0x0aff)", text("0aff")),
        ("String([1, \"a\", nil, 1.5, true])", text("[1,\"a\",null,1.5,true]")),
        ("String({\"a\": {\"b\\n\": 0x01}})", text("{\"a\":{\"b\\n\":\"AQ==\"}}")),
        ("String(span_id)", text("0102030405060708")),
        ("String(Duration(\"90m\"))", text("1h30m0s")),
        ("String(Unix(0))", text("1970-01-01T00:00:00Z")),
        ("Log(1)", Value::Double(0.0)),
        ("Log(\"1\")", Value::Double(0.0)),
    ]);
    fails(&[
        ("Log(0)", "of positive numbers only"),
        ("Log(attributes[\"no\"])", "of positive numbers only"),
        ("Log(nil)", "has to be a number, and is nil"),
        ("Log(\"x\")", "has to be a number, and is a string"),
        ("Int()", "Int takes 1 argument; value is missing"),
        ("Int(1, 2)", "Int takes 1 argument"),
    ]);
}

#[test]
fn questions() {
    gives([
        ("IsString(\"\")", true),
        ("IsString(attributes[\"int\"])", false),
        ("IsInt(attributes[\"int\"])", true),
        ("IsInt(1.0)", false),
        ("IsDouble(1.0)", true),
        ("IsBool(false)", true),
        ("IsBool(nil)", false),
        ("IsMap(attributes)", true),
        ("IsMap(attributes[\"list\"])", false),
        ("IsList(attributes[\"list\"])", true),
        ("IsList(\"a\")", false),
        ("IsEmpty(nil)", true),
        ("IsEmpty(\"\")", true),
        ("IsEmpty(0)", true),
        ("IsEmpty(0.0)", true),
        ("IsEmpty(false)", true),
        ("IsEmpty([])", true),
        ("IsEmpty({})", true),
        ("IsEmpty(parent_span_id)", true),
        ("IsEmpty(span_id)", false),
        ("IsEmpty(attributes[\"text\"])", false),
        ("IsRootSpan()", true),
        ("HasPrefix(name, \"GET\")", true),
        ("HasPrefix(name, \"POST\")", false),
        ("HasSuffix(name, attributes[\"empty\"])", true),
        ("HasSuffix(name, \"/cart\")", true),
        ("IsMatch(name, \"^G.T\")", true),
        ("IsMatch(name, \"^g\")", false),
        ("IsMatch(attributes[\"int\"], \"^2\\\\d+$\")", true),
        ("IsMatch(attributes[\"double\"], \"^1\\\\.5$\")", true),
        ("IsMatch(attributes[\"bytes\"], \"^0102$\")", true),
        ("IsMatch(attributes[\"list\"], \"\\\"b\\\"\")", true),
        ("IsMatch(attributes[\"absent\"], \"\")", false),
        ("IsInCIDR(\"10.1.2.3\", [\"192.168.0.0/16\", \"10.0.0.0/8\"])", true),
        ("IsInCIDR(\"11.1.2.3\", [\"192.168.0.0/16\", \"10.0.0.0/8\"])", false),
        ("IsInCIDR(\"::ffff:10.1.2.3\", [\"10.0.0.0/8\"])", true),
        ("IsInCIDR(\"2001:db8::1\", [\"2001:db8::/32\"])", true),
        ("IsInCIDR(\"2001:db9::1\", [\"2001:db8::/32\"])", false),
        ("IsInCIDR(\"1.2.3.4\", [\"0.0.0.0/0\"])", true),
        ("IsInCIDR(\"::1\", [\"0.0.0.0/0\"])", false),
        ("IsValidLuhn(\"17893729974\")", true),
        ("IsValidLuhn(17893729974)", true),
        ("IsValidLuhn(\"17893729975\")", false),
        ("ContainsValue(attributes[\"list\"], \"b\")", true),
        ("ContainsValue([1, 2], 2.0)", true),
        ("ContainsValue([1, 2], \"2\")", false),
    ]);
    fails(&[
        ("HasPrefix(attributes[\"int\"], \"a\")", "has to be a string, and is an integer"),
        ("HasPrefix(1, \"a\")", "value of HasPrefix has to be a string, and is an integer"),
        ("HasSuffix(attributes[\"absent\"], \"a\")", "and is nil"),
        ("IsMatch(name, \"(\")", "this regular expression is invalid: unclosed group"),
        ("IsMatch(name, name)", "has to be a string written as it is, and is a path"),
        ("IsInCIDR(\"x\", [\"10.0.0.0/8\"])", "this is no IP address"),
        ("IsInCIDR(\"1.2.3.4\", [\"10.0.0.0/33\"])", "such as 10.0.0.0/8"),
        ("IsInCIDR(\"1.2.3.4\", [\"10.0.0.0\"])", "such as 10.0.0.0/8"),
        ("IsValidLuhn(\"12a\")", "other characters than digits"),
        ("IsValidLuhn(-1)", "other characters than digits"),
        ("ContainsValue(attributes[\"text\"], \"a\")", "has to be a list, and is a string"),
        ("IsRootSpan(1)", "IsRootSpan takes no arguments"),
    ]);
    let error = parse_statement("set(attributes[\"a\"], IsRootSpan())", Context::Resource);
    assert_eq!(
        error.unwrap_err().message,
        "IsRootSpan is about a span, and this is for a resource"
    );
}

#[test]
fn texts() {
    gives([
        ("Concat([\"a\", 1, 1.5, true, 0x0a, nil], \"-\")", text("a-1-1.5-true-0a-<nil>")),
        ("Concat([], \"-\")", text("")),
        ("Concat([name, attributes[\"int\"]], \": \")", text("GET /cart: 200")),
        ("Split(\"a|b|\", \"|\")", list(&["a", "b", ""])),
        ("Split(attributes[\"text\"], \" \")", list(&["hello", "world"])),
        ("Split(\"grün\", \"\")", list(&["g", "r", "ü", "n"])),
        ("Split(\"a,b\", \",\")[1]", text("b")),
        ("Substring(\"123456789\", 3, 3)", text("456")),
        ("Substring(attributes[\"text\"], 0, 5)", text("hello")),
        ("Substring(\"grün\", 0, 3, true)", text("gr")),
        ("Substring(\"grün\", 3, 2, utf8_safe=true)", text("n")),
        ("Substring(\"abc\", 3, 0)", text("")),
        ("Trim(\"  a b  \")", text("a b")),
        ("Trim(\"!?a!\", \"!?\")", text("a")),
        ("TrimPrefix(name, \"GET \")", text("/cart")),
        ("TrimPrefix(name, \"POST \")", text("GET /cart")),
        ("TrimSuffix(\"a_service\", \"_service\")", text("a")),
        ("ToLowerCase(\"ÄB\")", text("äb")),
        ("ToUpperCase(attributes[\"umlaut\"])", text("GRÜN")),
        ("ToSnakeCase(\"myMetricName\")", text("my_metric_name")),
        ("ToSnakeCase(\"HTTPServer-requests total\")", text("http_server_requests_total")),
        ("ToSnakeCase(\"http2name\")", text("http_2_name")),
        ("ToCamelCase(\"my_metric-name x\")", text("MyMetricNameX")),
        ("ConvertCase(\"fooBar\", \"snake\")", text("foo_bar")),
        ("ConvertCase(\"foo_bar\", \"camel\")", text("FooBar")),
        ("ConvertCase(\"fooBar\", \"upper\")", text("FOOBAR")),
        ("ConvertCase(\"fooBar\", \"lower\")", text("foobar")),
        ("Index(\"hello world\", \"world\")", Value::Int(6)),
        ("Index(attributes[\"list\"], \"c\")", Value::Int(2)),
        ("Index([1, 2.0], 2)", Value::Int(1)),
        ("Index(attributes[\"list\"], \"x\")", Value::Int(-1)),
        (
            "ExtractPatterns(\"aa123bb\", \"(?P<numbers>\\\\d+)(?P<rest>.*)\")",
            map(&[("numbers", text("123")), ("rest", text("bb"))]),
        ),
        ("ExtractPatterns(name, \"(?<verb>POST)\")", map(&[])),
        ("ExtractPatterns(name, \"(?<verb>[A-Z]+) \")[\"verb\"]", text("GET")),
    ]);
    fails(&[
        ("Concat(\"a\", \"\")", "values of Concat has to be a list, and is a string"),
        ("Split(nil, \"a\")", "has to be a string, and is nil"),
        ("Split(\"a,b\", \",\")[2]", "the list has 2 values"),
        ("Split(\"a,b\", \",\")[\"x\"]", "only a map has names in it, not a list"),
        ("Substring(name, 5, 5)", "5 bytes from 5 are beyond the text's 9"),
        ("Substring(name, -1, 1)", "not to be negative, and is -1"),
        ("Substring(name, 0, attributes[\"negative\"])", "not to be negative, and is -1"),
        ("Substring(\"grün\", 0, 3)", "cuts a character in two"),
        ("Trim(1)", "has to be a string"),
        ("TrimPrefix(attributes[\"int\"], \"a\")", "has to be a string"),
        ("TrimSuffix(\"a\")", "TrimSuffix takes 2 arguments; suffix is missing"),
        ("ToLowerCase(1)", "has to be a string"),
        ("ToUpperCase(nil)", "has to be a string"),
        ("ToSnakeCase(true)", "has to be a string"),
        ("ToCamelCase([])", "has to be a string"),
        (
            "ConvertCase(name, \"snaek\")",
            "did you mean snake?; expected \"lower\", \"upper\", \"snake\" or \"camel\"",
        ),
        ("Index(attributes[\"int\"], 1)", "has to be a string or a list"),
        ("Index(name, 1)", "has to be a string, and is an integer"),
        ("ExtractPatterns(name, \"a\")", "needs a group with a name"),
        ("ExtractPatterns(1, \"(?<a>b)\")", "has to be a string"),
    ]);
}

#[test]
fn formats() {
    gives([
        ("Format(\"%02d:%5d|%-5d|%+d\", [7, 42, 42, 1])", "07:   42|42   |+1"),
        ("Format(\"%s/%v/%q\", [name, true, \"a\\\"\"])", "GET /cart/true/\"a\\\"\""),
        ("Format(\"%5.2f|%e|%g\", [3.14159, 1500.0, 0.00001])", " 3.14|1.500000e+03|1e-05"),
        ("Format(\"%x %X %#x %b %o %c\", [255, 255, 255, 5, 8, 65])", "ff FF 0xff 101 10 A"),
        ("Format(\"%x\", [\"hi\"])", "6869"),
        ("Format(\"%05d|%6.1f|%06.1f\", [-42, 1.25, -1.25])", "-0042|   1.2|-001.2"),
        ("Format(\"100%%\", [])", "100%"),
        ("Format(\"%d\", [\"a\"])", "%!d(string=a)"),
        ("Format(\"%d %d\", [1])", "1 %!d(MISSING)"),
        ("Format(\"a\", [1, \"b\"])", "a%!(EXTRA int64=1, string=b)"),
        ("Format(\"%\", [])", "%!(NOVERB)"),
        ("Format(\"%z\", [1])", "%!z(int64=1)"),
        ("Format(\"%v\", [nil])", "<nil>"),
        ("Format(\"%.2s|%t\", [\"grün\", false])", "gr|false"),
    ]);
    fails(&[
        ("Format(\"%9999d\", [1])", "widths and precisions go up to 1000"),
        ("Format(1, [1])", "has to be a string"),
        ("Format(\"%d\", 1)", "has to be a list"),
    ]);
}

#[test]
fn hashes() {
    gives([
        ("MD5(attributes[\"text\"])", "5eb63bbbe01eeed093cb22bb8f5acdc3"),
        ("SHA1(\"hello world\")", "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed"),
        (
            "SHA256(\"hello world\")",
            "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
        ),
        (
            "SHA512(\"hello world\")",
            "309ecc489c12d6eb4cc40f50c902f2b4d0ed77ee511a7c7a9bcd3ca86d4cd86f989dd35bc5ff499670da34255b45b0cfd830e81f605dcf7dc5542e93ae9cd76f",
        ),
        ("Murmur3Hash(\"Hello World\")", "ce837619"),
        ("Murmur3Hash(\"\")", "00000000"),
        ("XXH3(\"hello world\")", "d447b1ea40e6988b"),
        ("XXH3(\"\")", "2d06800538d394c2"),
        ("XXH128(\"\")", "99aa06d3014798d86001c324468d497f"),
        ("UUID()", "01234567-89ab-4def-8123-456789abcdef"),
        ("UUIDv7()", "018bcfe5-687b-7123-8567-89abcdef0123"),
    ]);
    gives([("FNV(\"pass\")", 266877920130663416_i64)]);
    for name in ["MD5", "SHA1", "SHA256", "SHA512", "FNV", "Murmur3Hash", "XXH3", "XXH128"] {
        let expression = format!("{name}(attributes[\"int\"])");
        let error = value(&expression).unwrap_err();
        assert!(error.contains("has to be a string, and is an integer"), "{name}: {error}");
    }
    fails(&[("UUID(1)", "UUID takes no arguments"), ("UUIDv7(1)", "no arguments")]);
}

#[test]
fn encodings() {
    gives([
        ("Base64Encode(\"test string\")", text("dGVzdCBzdHJpbmc=")),
        ("Base64Encode(\"a?>~\", \"base64-raw-url\")", text("YT8-fg")),
        ("Base64Encode(\"a?>~\", \"base64-url\")", text("YT8-fg==")),
        ("Base64Encode(\"a?>~\", variant=\"base64-raw\")", text("YT8+fg")),
        ("Base64Decode(\"cGFzcw==\")", text("pass")),
        ("Decode(\"cGFzcw==\", \"base64\")", text("pass")),
        ("Decode(\"cGFzcw\", \"base64-raw\")", text("pass")),
        ("Decode(\"YT8-fg==\", \"base64-url\")", text("a?>~")),
        ("Decode(\"YT8-fg\", \"base64-raw-url\")", text("a?>~")),
        ("Decode(0xfc, \"iso-8859-1\")", text("ü")),
        ("Decode(0x00fc, \"utf-16be\")", text("ü")),
        ("Decode(0xfc00, \"utf-16le\")", text("ü")),
        ("Decode(0xc3bc, \"utf-8\")", text("ü")),
        ("Decode(\"a\", \"us-ascii\")", text("a")),
        ("Hex(12)", text("c")),
        ("Hex(1.1)", text("3ff199999999999a")),
        ("Hex(\"1\")", text("31")),
        ("Hex(true)", text("01")),
        ("Hex(0x02ff)", text("02ff")),
        ("Hex(nil)", Value::Nil),
        ("Hex([1])", Value::Nil),
        (
            "TraceID(\"0102030405060708090a0b0c0d0e0f10\")",
            Value::Bytes(Cow::Owned((1..=16).collect())),
        ),
        ("SpanID(0x0102030405060708)", Value::Bytes(Cow::Owned((1..=8).collect()))),
    ]);
    fails(&[
        ("Base64Encode(1)", "has to be a string"),
        ("Base64Encode(\"a\", \"x\")", "is not one of its words"),
        ("Base64Decode(\"?\")", "this is not base64"),
        ("Base64Decode(\"/w==\")", "what was encoded is not UTF-8"),
        ("Decode(1, \"base64\")", "has to be a string or bytes"),
        ("Decode(0xff, \"ascii\")", "this is not ASCII"),
        ("Decode(0xd800, \"utf-16be\")", "this is not UTF-16"),
        ("Decode(\"a\", \"ebcdic\")", "is not one of its words"),
        ("Hex()", "value is missing"),
        ("TraceID(0x01)", "this id has 16 bytes, not 1"),
        ("TraceID(\"xyz\")", "in hexadecimal digits"),
        ("SpanID(\"01\")", "this id has 8 bytes, not 1"),
        ("SpanID(1)", "has to be bytes or a string"),
    ]);
}

#[test]
fn structures() {
    let parsed = map(&[
        ("b", Value::Double(1.0)),
        ("a", Value::List(vec![Value::Bool(true), Value::Nil, text("x")])),
    ]);
    gives([
        ("ParseJSON(\"{\\\"b\\\": 1, \\\"a\\\": [true, null, \\\"x\\\"]}\")", parsed),
        ("ParseJSON(\"{\\\"a\\\": [0, {\\\"b\\\": \\\"c\\\"}]}\")[\"a\"][1][\"b\"]", text("c")),
        ("ParseJSON(\"{\\\"a\\\": 1, \\\"a\\\": 2}\")", map(&[("a", Value::Double(2.0))])),
        ("ParseJSON(\"[]\")", list(&[])),
        ("ParseKeyValue(\"k1=v1 k2=v2\")", map(&[("k1", text("v1")), ("k2", text("v2"))])),
        (
            "ParseKeyValue(\"k1!v1_k2!v2\", \"!\", \"_\")",
            map(&[("k1", text("v1")), ("k2", text("v2"))]),
        ),
        (
            "ParseKeyValue(\"k1=\\\"a b=c\\\"  k2='x y'\")",
            map(&[("k1", text("a b=c")), ("k2", text("x y"))]),
        ),
        ("ParseKeyValue(\"a=1 a=2\")", map(&[("a", text("2"))])),
        ("ToKeyValueString({\"k1\": \"v1\", \"k2\": 2})", text("k1=v1 k2=2")),
        ("ToKeyValueString({\"b\": 1, \"a\": \"x:y\"}, \":\", \",\", true)", text("a:\"x:y\",b:1")),
        ("ToKeyValueString({\"a\": \"\\\"q=\\\"\"})", text("a=\"\\\"q=\\\"\"")),
        ("ToKeyValueString(attributes[\"map\"])", text("x={\\\"y\\\":1} z=s")),
        ("Len(\"grün\")", Value::Int(5)),
        ("Len(attributes[\"list\"])", Value::Int(3)),
        ("Len(attributes[\"map\"])", Value::Int(2)),
        ("Len(0x0102)", Value::Int(2)),
        ("Coalesce([attributes[\"absent\"], nil, attributes[\"int\"], 1])", Value::Int(200)),
        ("Coalesce([attributes[\"absent\"]])", Value::Nil),
        ("Keys(attributes[\"map\"])", list(&["x", "z"])),
        ("Values({\"a\": \"b\", \"c\": \"d\"})", list(&["b", "d"])),
        ("Sort([3, 1, 2])", Value::List(vec![Value::Int(1), Value::Int(2), Value::Int(3)])),
        ("Sort([3, 1.5])", Value::List(vec![Value::Double(1.5), Value::Int(3)])),
        ("Sort(attributes[\"list\"], \"desc\")", list(&["c", "b", "a"])),
        (
            "Sort([\"b\", 10, true])",
            Value::List(vec![Value::Int(10), text("b"), Value::Bool(true)]),
        ),
        (
            "SliceToMap([{\"name\": \"foo\", \"v\": 2}, {\"name\": \"bar\", \"v\": 5}, {\"v\": 1}], [\"name\"], [\"v\"])",
            map(&[("foo", Value::Int(2)), ("bar", Value::Int(5))]),
        ),
        ("SliceToMap([{\"a\": 1}])", map(&[("0", map(&[("a", Value::Int(1))]))])),
        (
            "SliceToMap([{\"a\": {\"b\": \"k\"}}], [\"a\", \"b\"])",
            map(&[("k", map(&[("a", map(&[("b", text("k"))]))]))]),
        ),
        (
            "URL(\"http://u:p@www.example.com:80/foo.gif?k=v&l=w#frag\")",
            map(&[
                ("url.original", text("http://u:p@www.example.com:80/foo.gif?k=v&l=w#frag")),
                ("url.scheme", text("http")),
                ("url.domain", text("www.example.com")),
                ("url.port", Value::Int(80)),
                ("url.extension", text("gif")),
                ("url.path", text("/foo.gif")),
                ("url.query", text("k=v&l=w")),
                ("url.fragment", text("frag")),
                ("url.user_info", text("u:p")),
                ("url.username", text("u")),
                ("url.password", text("p")),
            ]),
        ),
        (
            "URL(\"http://www.example.com\")",
            map(&[
                ("url.original", text("http://www.example.com")),
                ("url.scheme", text("http")),
                ("url.domain", text("www.example.com")),
                ("url.path", text("")),
            ]),
        ),
        ("URL(\"/a%20b?\")[\"url.path\"]", text("/a b")),
        ("URL(\"https://[::1]:443/\")[\"url.domain\"]", text("::1")),
    ]);
    fails(&[
        ("ParseJSON(\"{\")", "this is not JSON"),
        ("ParseJSON(\"1\")", "neither an object nor an array"),
        ("ParseJSON(attributes[\"int\"])", "has to be a string"),
        ("ParseJSON(\"{}\")[\"a\"]", "the map has no key \"a\""),
        ("ParseKeyValue(\"a\")", "\"a\" has no \"=\" in it"),
        ("ParseKeyValue(\"\")", "no pairs in an empty text"),
        ("ParseKeyValue(\"a='b\")", "a quote is not closed"),
        ("ParseKeyValue(name, \" \")", "are the same"),
        ("ParseKeyValue(name, attributes[\"empty\"])", "at least one character"),
        ("ToKeyValueString(\"a\")", "has to be a map"),
        ("ToKeyValueString({}, \"a\", \"a\")", "are the same"),
        ("Len(1)", "has to be a string or bytes or a list or a map"),
        ("Len(attributes[\"absent\"])", "has to be a string, list or map, and is nil"),
        ("Coalesce([])", "at least one value is needed"),
        ("Coalesce(1)", "has to be a list"),
        ("Keys(attributes[\"list\"])", "has to be a map, and is a list"),
        ("Values(1)", "has to be a map"),
        ("Sort([nil])", "nil has no order"),
        ("Sort([1], \"up\")", "is not one of its words"),
        ("SliceToMap([1], [])", "a path has at least one name"),
        ("SliceToMap({})", "has to be a list"),
        ("URL(\"\")", "this is no URL: it is empty"),
        ("URL(\"1http://a\")", "does not start with a letter"),
        ("URL(\"http://a:99999/\")", "its port"),
        ("URL(\"http://a/%zz\")", "without two hexadecimal digits"),
        ("URL(\"http://[::1\")", "only one bracket"),
    ]);
}

#[test]
fn integers_in_a_base() {
    gives([
        ("ParseInt(\"12345\", 10)", 12345_i64),
        ("ParseInt(\"0b1111_0000\", 0)", 240),
        ("ParseInt(\"0xFF\", 0)", 255),
        ("ParseInt(\"-0xFF\", 0)", -255),
        ("ParseInt(\"-0o123\", 0)", -83),
        ("ParseInt(\"0123\", 0)", 83),
        ("ParseInt(\"0\", 0)", 0),
        ("ParseInt(\"AA\", 16)", 170),
        ("ParseInt(\"+zz\", 36)", 1295),
        ("ParseInt(\"-9223372036854775808\", 10)", i64::MIN),
    ]);
    fails(&[
        ("ParseInt(\"x\", 10)", "no integer in the base"),
        ("ParseInt(\"1_0\", 10)", "no integer in the base"),
        ("ParseInt(\"--1\", 10)", "no integer in the base"),
        ("ParseInt(\"9223372036854775808\", 10)", "too large"),
        ("ParseInt(\"1\", 37)", "a base is 0 or from 2 to 36"),
        ("ParseInt(\"1\", -1)", "a base is 0 or from 2 to 36"),
        ("ParseInt(1, 10)", "has to be a string"),
    ]);
}

/// What a constant gives when it is parsed, it gives of an attribute when it runs.
#[test]
fn constants_are_computed_alike() {
    for (constant, computed) in [
        ("SHA256(\"hello world\")", "SHA256(attributes[\"text\"])"),
        (
            "Concat([\"hello world\", 200], \"\")",
            "Concat([attributes[\"text\"], attributes[\"int\"]], \"\")",
        ),
        (
            "Split(\"hello world\", \" \")[1]",
            "Split(attributes[\"text\"], \" \")[attributes[\"index\"]]",
        ),
        ("Trim(\"hello world\", \"hd\")", "Trim(attributes[\"text\"], \"hd\")"),
        ("200 * 2 - 1.5", "attributes[\"int\"] * 2 - attributes[\"double\"]"),
        ("-200", "-attributes[\"int\"]"),
    ] {
        assert_eq!(value(constant), value(computed), "{constant}");
    }
}

/// The Collector's converters are here, or it is said why not.
#[test]
fn every_function_is_here_or_said_to_be_missing() {
    const CONVERTERS: &str = "All Any Base64Decode Base64Encode Bool Coalesce CommunityID Concat ContainsValue ConvertAttributesToElementsXML ConvertCase ConvertTextToElementsXML Day Decode Double Duration ExtractGrokPatterns ExtractPatterns FNV Filter Find Format FormatTime GetXML HasPrefix HasSuffix Hex Hour Hours Index InsertXML Int IsBool IsDouble IsEmpty IsInCIDR IsInt IsList IsMap IsMatch IsRootSpan IsString IsValidLuhn Keys Len Log MD5 MapEach MapKeys Microseconds Milliseconds Minute Minutes Month Murmur3Hash Murmur3Hash128 Nanosecond Nanoseconds Now ParseCSV ParseInt ParseJSON ParseKeyValue ParseSeverity ParseSimplifiedXML ParseXML ProfileID Reduce RemoveXML SHA1 SHA256 SHA512 Second Seconds SliceToMap Sort SpanID Split String Substring Time ToCamelCase ToKeyValueString ToLowerCase ToSnakeCase ToUpperCase TraceID Trim TrimPrefix TrimSuffix TruncateTime URL UUID UUIDv7 Unix UnixMicro UnixMilli UnixNano UnixSeconds UserAgent Values Weekday When XXH128 XXH3 Year";
    const EDITORS: &str = "append delete_index delete_key delete_matching_keys flatten keep_keys keep_matching_keys limit merge_maps replace_all_matches replace_all_patterns replace_match replace_pattern set stringify_all truncate_all";
    let mut missing = BTreeSet::new();
    for name in CONVERTERS.split(' ') {
        let error =
            parse_statement(&format!("set(name, {name}(1, 2, 3, 4, 5, 6, 7, 8))"), Context::Span)
                .unwrap_err();
        assert!(!error.message.contains("there is no converter"), "{name}: {error}");
        if error.message.contains("of the Collector is not here") {
            missing.insert(name);
        }
    }
    for name in EDITORS.split(' ') {
        let error = parse_statement(&format!("{name}()"), Context::Span).unwrap_err();
        assert!(!error.message.contains("there is no editor"), "{name}: {error}");
        if error.message.contains("of the Collector is not here") {
            missing.insert(name);
        }
    }
    assert_eq!(missing.len(), 23, "{missing:?}");
}
