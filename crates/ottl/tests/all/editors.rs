//! What editors leave.

use ottl::{Context, Value, parse_condition, parse_statement};

use crate::item::Item;
use crate::{evaluator, leaves, list, map, run, text};

/// The attributes that statements of these tables start with.
fn before() -> Vec<(&'static str, Value<'static>)> {
    vec![
        ("http.method", text("get")),
        ("http.path", text("/health")),
        ("http.url", text("http://localhost/health")),
        ("flags", text("A|B|C")),
        ("count", Value::Int(7)),
        (
            "foo",
            map(&[
                ("bar", text("pass")),
                ("flags", text("pass")),
                ("slice", list(&["val"])),
                ("nested", map(&[("test", text("pass"))])),
            ]),
        ),
    ]
}

/// `before` without some and with others, changed or at the end.
fn but(
    without: &[&str],
    with: &[(&'static str, Value<'static>)],
) -> Vec<(&'static str, Value<'static>)> {
    let mut all = before();
    all.retain(|(key, _)| !without.contains(key));
    for (key, value) in with {
        match all.iter_mut().find(|(other, _)| other == key) {
            Some((_, slot)) => *slot = value.clone(),
            None => all.push((key, value.clone())),
        }
    }
    all
}

#[track_caller]
fn check(table: &[(&str, Vec<(&'static str, Value<'static>)>)]) {
    for (text, after) in table {
        leaves(&before(), &[(text, after)]);
    }
}

/// Each statement is parsed and fails on the attributes of `before` with a message that says this,
/// and changes nothing.
#[track_caller]
fn fail_and_leave(table: &[(&str, usize, &str)]) {
    for (text, column, fragment) in table {
        let statement = parse_statement(text, Context::Span).unwrap();
        let mut item = Item::with(&before());
        let error = evaluator().execute(&statement, &mut item).unwrap_err();
        assert!(error.message.contains(fragment), "{text}: {error}");
        assert_eq!(error.column, *column, "{text}: {error}");
        assert!(text.get(error.start..error.end).is_some(), "{text}: {error}");
        assert_eq!(item, Item::with(&before()), "{text}");
    }
}

#[test]
fn set() {
    check(&[
        ("set(attributes[\"test\"], \"pass\")", but(&[], &[("test", text("pass"))])),
        ("set(attributes[\"flags\"], 1)", but(&[], &[("flags", Value::Int(1))])),
        ("set(attributes[\"flags\"], nil)", but(&["flags"], &[])),
        ("set(attributes[\"flags\"], attributes[\"absent\"])", but(&["flags"], &[])),
        ("set(attributes[\"absent\"], nil)", before()),
        ("set(attributes[\"copy\"], attributes[\"flags\"])", but(&[], &[("copy", text("A|B|C"))])),
        ("set(attributes[\"new\"][\"a\"][\"b\"], 1)", {
            but(&[], &[("new", map(&[("a", map(&[("b", Value::Int(1))]))]))])
        }),
        ("set(attributes[\"foo\"][\"slice\"][0], 1)", {
            let mut after = before();
            let Value::Map(foo) = &mut after[5].1 else { panic!() };
            foo[2].1 = Value::List(vec![Value::Int(1)]);
            after
        }),
        ("set(attributes[Concat([\"a\", \"b\"], \".\")], 1)", but(&[], &[("a.b", Value::Int(1))])),
        ("set(attributes[attributes[\"flags\"]], 1)", but(&[], &[("A|B|C", Value::Int(1))])),
        ("set(attributes, {\"a\": 1})", vec![("a", Value::Int(1))]),
        ("set(attributes, attributes[\"foo\"][\"nested\"])", vec![("test", text("pass"))]),
        ("set(attributes[\"x\"], 1) where attributes[\"count\"] == 8", before()),
        ("set(attributes[\"x\"], 1) where attributes[\"count\"] == 7", {
            but(&[], &[("x", Value::Int(1))])
        }),
    ]);
    fail_and_leave(&[
        ("set(attributes[\"foo\"][\"slice\"][5], 1)", 5, "the list has no such index"),
        ("set(attributes[\"flags\"][\"a\"], 1)", 5, "only a map has names in it"),
        ("set(attributes[\"flags\"][0], 1)", 5, "only a list has indexes"),
        ("set(status.code, attributes[\"flags\"])", 5, "span.status.code is a number"),
        (
            "set(attributes[attributes[\"foo\"]], 1)",
            16,
            "a key is a string or an integer, not a map",
        ),
    ]);
}

#[test]
fn append() {
    let some = ["set(attributes[\"l\"], [\"a\"])"];
    check(&[
        ("append(attributes[\"l\"], \"b\")", but(&[], &[("l", list(&["b"]))])),
        ("append(attributes[\"flags\"], \"b\")", but(&[], &[("flags", list(&["A|B|C", "b"]))])),
        ("append(attributes[\"l\"], values=[\"b\", attributes[\"flags\"]])", {
            but(&[], &[("l", list(&["b", "A|B|C"]))])
        }),
        ("append(attributes[\"l\"], 1, [2])", {
            but(&[], &[("l", Value::List(vec![Value::Int(1), Value::Int(2)]))])
        }),
    ]);
    let mut item = Item::with(&[]);
    run(some[0], &mut item);
    run("append(attributes[\"l\"], attributes[\"l\"][0])", &mut item);
    assert_eq!(item.attribute("l"), Some(&list(&["a", "a"])));
    fail_and_leave(&[(
        "append(attributes[\"l\"], values=attributes[\"flags\"])",
        32,
        "has to be a list, and is a string",
    )]);
}

#[test]
fn delete_and_keep() {
    check(&[
        ("delete_key(attributes, \"http.method\")", but(&["http.method"], &[])),
        ("delete_key(attributes, \"absent\")", before()),
        ("delete_key(attributes, Concat([\"http\", \"path\"], \".\"))", but(&["http.path"], &[])),
        ("delete_key(attributes[\"foo\"], \"bar\") where true", {
            let mut after = before();
            let Value::Map(foo) = &mut after[5].1 else { panic!() };
            foo.remove(0);
            after
        }),
        (
            "delete_matching_keys(attributes, \"^http\")",
            but(&["http.method", "http.path", "http.url"], &[]),
        ),
        ("delete_matching_keys(attributes, \"(?i)FLAG\")", but(&["flags"], &[])),
        ("keep_keys(attributes, [\"flags\", \"absent\"])", vec![("flags", text("A|B|C"))]),
        ("keep_keys(attributes, [])", vec![]),
        ("keep_matching_keys(attributes, \"^(flags|count)$\")", {
            but(&["http.method", "http.path", "http.url", "foo"], &[])
        }),
        ("limit(attributes, 100, [])", before()),
        ("limit(attributes, 2, [])", before()[..2].to_vec()),
        ("limit(attributes, 2, [\"count\"])", {
            vec![("http.method", text("get")), ("count", Value::Int(7))]
        }),
        ("limit(attributes, 1, [\"count\"])", vec![("count", Value::Int(7))]),
        ("limit(attributes, 1, [\"absent\"])", before()[..1].to_vec()),
        ("limit(attributes, 0, [])", vec![]),
    ]);
    fail_and_leave(&[
        ("delete_key(attributes[\"flags\"], \"a\")", 12, "map"),
        ("delete_key(attributes[\"absent\"], \"a\")", 12, "map"),
        (
            "delete_key(attributes, attributes[\"count\"])",
            24,
            "has to be a string, and is an integer",
        ),
        ("delete_matching_keys(attributes[\"flags\"], \"a\")", 22, "map"),
        ("keep_keys(attributes[\"flags\"], [\"a\"])", 11, "map"),
        ("keep_matching_keys(attributes[\"flags\"], \"a\")", 20, "map"),
        ("limit(attributes[\"flags\"], 1, [])", 7, "map"),
    ]);
}

#[test]
fn delete_index() {
    let three = [("l", list(&["a", "b", "c"]))];
    leaves(
        &three,
        &[
            ("delete_index(attributes[\"l\"], 0)", &[("l", list(&["b", "c"]))]),
            (
                "delete_index(attributes[\"l\"], Len(attributes[\"l\"]) - 1)",
                &[("l", list(&["a", "b"]))],
            ),
            ("delete_index(attributes[\"l\"], 0, 3)", &[("l", list(&[]))]),
            ("delete_index(attributes[\"l\"], 1, end_index=1)", &three),
            (
                "delete_index(attributes[\"l\"], Index(attributes[\"l\"], \"b\"))",
                &[("l", list(&["a", "c"]))],
            ),
        ],
    );
    fail_and_leave(&[
        ("delete_index(attributes[\"flags\"], 0)", 14, "this is a string, not a list"),
        ("delete_index(attributes[\"foo\"][\"slice\"], 1)", 1, "the list has 1 values, not 1 to 2"),
        ("delete_index(attributes[\"foo\"][\"slice\"], 1, 0)", 1, "not 1 to 0"),
        (
            "delete_index(attributes[\"foo\"][\"slice\"], Index(attributes[\"foo\"][\"slice\"], 1))",
            42,
            "not to be negative",
        ),
    ]);
}

#[test]
fn replace() {
    check(&[
        ("replace_match(attributes[\"http.path\"], \"*/*\", \"test\")", {
            but(&[], &[("http.path", text("test"))])
        }),
        ("replace_match(attributes[\"http.path\"], \"/hea\", \"test\")", before()),
        ("replace_match(attributes[\"http.path\"], \"/h*\", \"a\", SHA1, \"/user/%s\")", {
            but(&[], &[("http.path", text("/user/86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"))])
        }),
        ("replace_match(attributes[\"count\"], \"*\", \"test\")", before()),
        ("replace_match(attributes[\"absent\"], \"*\", \"test\")", before()),
        ("replace_pattern(attributes[\"http.path\"], \"/\", \"@\")", {
            but(&[], &[("http.path", text("@health"))])
        }),
        (
            "replace_pattern(attributes[\"http.url\"], \"(\\\\w+)://(?P<host>\\\\w+)\", \"${host}-$1\")",
            { but(&[], &[("http.url", text("localhost-http/health"))]) },
        ),
        (
            "replace_pattern(attributes[\"flags\"], \"[BC]\", \"$$\")",
            but(&[], &[("flags", text("A|$|$"))]),
        ),
        ("replace_pattern(attributes[\"flags\"], \"[BC]\", \"<$0>\", ToLowerCase, \"(%s)\")", {
            but(&[], &[("flags", text("A|(<b>)|(<c>)"))])
        }),
        ("replace_pattern(attributes[\"flags\"], \"x\", \"y\", SHA256)", before()),
        ("replace_pattern(attributes[\"flags\"], \"^A\", attributes[\"http.method\"])", {
            but(&[], &[("flags", text("get|B|C"))])
        }),
        ("replace_pattern(attributes[\"count\"], \"7\", \"8\")", before()),
        ("replace_all_matches(attributes, \"*/*\", \"test\")", {
            but(&[], &[("http.path", text("test")), ("http.url", text("test"))])
        }),
        ("replace_all_matches(attributes, \"g?t\", \"POST\", ToLowerCase)", {
            but(&[], &[("http.method", text("post"))])
        }),
        ("replace_all_matches(attributes, \"{get,/[a-i]*}\", \"x\")", {
            but(&[], &[("http.method", text("x")), ("http.path", text("x"))])
        }),
        ("replace_all_patterns(attributes, \"value\", \"/\", \"@\")", {
            but(
                &[],
                &[("http.path", text("@health")), ("http.url", text("http:@@localhost@health"))],
            )
        }),
        ("replace_all_patterns(attributes, \"key\", \"^http\\\\.(m|p)\", \"test.$1\")", {
            let mut after = before();
            (after[0].0, after[1].0) = ("test.method", "test.path");
            after
        }),
        ("replace_all_patterns(attributes, \"key\", \"^http\\\\..*\", \"h\")", {
            let mut after = before();
            after.drain(0..3);
            after.insert(0, ("h", text("http://localhost/health")));
            after
        }),
        ("replace_all_patterns(attributes, \"value\", \"get\", \"$0\", ToUpperCase, \"<%s>\")", {
            but(&[], &[("http.method", text("<GET>"))])
        }),
    ]);
    fail_and_leave(&[
        (
            "replace_match(attributes[\"flags\"], \"*\", attributes[\"count\"])",
            41,
            "and is an integer",
        ),
        (
            "replace_pattern(attributes[\"flags\"], \"A\", attributes[\"count\"])",
            43,
            "and is an integer",
        ),
        ("replace_all_matches(attributes[\"flags\"], \"*\", \"a\")", 21, "map"),
        ("replace_all_patterns(attributes[\"flags\"], \"key\", \"a\", \"a\")", 22, "map"),
        ("replace_all_patterns(attributes[\"flags\"], \"value\", \"a\", \"a\")", 22, "map"),
        (
            "replace_pattern(attributes[\"flags\"], \"A\", \"?\", Base64Decode)",
            1,
            "this is not base64",
        ),
        (
            "replace_all_patterns(attributes, \"value\", \"A\", \"?\", Base64Decode)",
            1,
            "this is not base64",
        ),
        ("replace_all_matches(attributes, \"A*\", \"?\", Base64Decode)", 1, "this is not base64"),
        (
            "replace_pattern(attributes[\"flags\"], \"A\", \"1\", Int)",
            1,
            "Int gave an integer, not a string",
        ),
        (
            "replace_pattern(attributes[\"flags\"], \"A\", \"1\", SHA1, attributes[\"flags\"])",
            1,
            "the format has %s once",
        ),
    ]);
}

#[test]
fn truncate() {
    check(&[
        ("truncate_all(attributes, 100)", before()),
        ("truncate_all(attributes, 3)", {
            but(
                &[],
                &[("http.path", text("/he")), ("http.url", text("htt")), ("flags", text("A|B"))],
            )
        }),
        ("truncate_all(attributes, 5, truncation_marker=\"...\")", {
            but(&[], &[("http.path", text("/h...")), ("http.url", text("ht..."))])
        }),
        ("truncate_all(attributes, 0, false)", {
            but(
                &[],
                &[
                    ("http.method", text("")),
                    ("http.path", text("")),
                    ("http.url", text("")),
                    ("flags", text("")),
                ],
            )
        }),
    ]);
    leaves(&[("a", text("grün"))], &[("truncate_all(attributes, 3)", &[("a", text("gr"))])]);
    fail_and_leave(&[("truncate_all(attributes[\"flags\"], 1)", 14, "map")]);
}

#[test]
fn merge() {
    check(&[
        ("merge_maps(attributes, attributes[\"foo\"], \"insert\")", {
            but(
                &[],
                &[
                    ("bar", text("pass")),
                    ("slice", list(&["val"])),
                    ("nested", map(&[("test", text("pass"))])),
                ],
            )
        }),
        (
            "merge_maps(attributes, attributes[\"foo\"], \"update\")",
            but(&[], &[("flags", text("pass"))]),
        ),
        ("merge_maps(attributes, {\"flags\": 1, \"new\": attributes[\"count\"]}, \"upsert\")", {
            but(&[], &[("flags", Value::Int(1)), ("new", Value::Int(7))])
        }),
        ("merge_maps(attributes, ParseJSON(\"{\\\"a\\\": 1}\"), \"upsert\")", {
            but(&[], &[("a", Value::Double(1.0))])
        }),
    ]);
    fail_and_leave(&[
        (
            "merge_maps(attributes, attributes[\"flags\"], \"insert\")",
            24,
            "has to be a map, and is a string",
        ),
        ("merge_maps(attributes[\"flags\"], {\"a\": 1}, \"insert\")", 12, "map"),
    ]);
}

#[test]
fn flatten() {
    check(&[
        ("flatten(attributes)", {
            but(
                &["foo"],
                &[
                    ("foo.bar", text("pass")),
                    ("foo.flags", text("pass")),
                    ("foo.slice.0", text("val")),
                    ("foo.nested.test", text("pass")),
                ],
            )
        }),
        ("flatten(attributes, depth=0)", before()),
        ("flatten(attributes, depth=1)", {
            but(
                &["foo"],
                &[
                    ("foo.bar", text("pass")),
                    ("foo.flags", text("pass")),
                    ("foo.slice.0", text("val")),
                    ("foo.nested", map(&[("test", text("pass"))])),
                ],
            )
        }),
    ]);
    let address = [
        ("address", map(&[("street", map(&[("number", text("first"))])), ("house", text("1234"))])),
        ("address.street", map(&[("number", list(&["second", "third"]))])),
        ("address.street.number", text("fourth")),
        ("occupants", list(&["user 1", "user 2"])),
    ];
    leaves(
        &address,
        &[(
            "flatten(attributes, resolveConflicts=true)",
            &[
                ("address.street.number", text("first")),
                ("address.house", text("1234")),
                ("address.street.number.0", text("second")),
                ("address.street.number.1", text("third")),
                ("address.street.number.2", text("fourth")),
                ("occupants", text("user 1")),
                ("occupants.0", text("user 2")),
            ],
        )],
    );
    leaves(
        &[("a", Value::Int(1)), ("b", map(&[("c", Value::Int(2))]))],
        &[(
            "flatten(attributes, \"app\")",
            &[("app.a", Value::Int(1)), ("app.b.c", Value::Int(2))],
        )],
    );
    fail_and_leave(&[("flatten(attributes[\"flags\"])", 9, "this is not a map")]);
}

/// The cache is kept between statements until it is cleared, and every editor works on it.
#[test]
fn cache() {
    let mut item = Item::with(&[]);
    let mut evaluator = evaluator();
    for text in [
        "merge_maps(cache, {\"a\": \"x1\", \"b\": {\"c\": \"x2\"}, \"drop\": 1, \"l\": [1, 2]}, \"upsert\")",
        "set(span.cache[\"d\"][\"e\"], \"new\")",
        "delete_key(cache, \"drop\")",
        "delete_index(cache[\"l\"], 0)",
        "replace_all_patterns(cache, \"value\", \"x(.)\", \"y$1\")",
        "replace_all_patterns(cache[\"b\"], \"key\", \"c\", \"k\")",
        "truncate_all(cache[\"d\"], 2)",
        "merge_maps(cache[\"f\"], {\"g\": 1}, \"insert\")",
        "limit(cache, 100, [])",
        "set(attributes[\"out\"], cache)",
    ] {
        let statement = parse_statement(text, Context::Span).unwrap();
        evaluator.execute(&statement, &mut item).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let expected = map(&[
        ("a", text("y1")),
        ("b", map(&[("k", text("x2"))])),
        ("l", Value::List(vec![Value::Int(2)])),
        ("d", map(&[("e", text("ne"))])),
        ("f", map(&[("g", Value::Int(1))])),
    ]);
    assert_eq!(item.attribute("out"), Some(&expected));
    let full =
        parse_condition("cache[\"a\"] == \"y1\" and Len(cache) == 5", Context::Span).unwrap();
    assert_eq!(evaluator.matches(&full, &item), Ok(true));
    let shared = parse_statement("set(cache[\"l\"], [1])", Context::Span).unwrap();
    evaluator.clear_cache();
    let empty = parse_condition("cache[\"a\"] == nil and cache == {}", Context::Span).unwrap();
    assert_eq!(evaluator.matches(&empty, &item), Ok(true));
    evaluator.execute(&shared, &mut item).unwrap();
    for (text, fragment) in [
        ("set(cache, cache[\"l\"])", "the cache is a map"),
        ("delete_key(cache[\"x\"], \"a\")", "no map in the cache"),
        ("limit(cache[\"x\"], 1, [])", "no map in the cache"),
        ("set(cache[\"l\"][7], 1)", "the list has no such index"),
    ] {
        let statement = parse_statement(text, Context::Span).unwrap();
        let error = evaluator.execute(&statement, &mut item).unwrap_err();
        assert!(error.message.contains(fragment), "{text}: {error}");
    }
}
