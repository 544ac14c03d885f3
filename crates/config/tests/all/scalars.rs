//! What scalars without quotes are.

use config::{Node, Value};

use crate::world::World;

fn value(text: &str) -> Value {
    let (document, diagnostics) = World::of(format!("receivers: {{tester: {{v: {text}}}}}")).load();
    let node = document.receivers.first().and_then(|one| one.node.as_map()?.get("v").cloned());
    node.unwrap_or_else(|| panic!("{text}\n{}", diagnostics.render(false))).value
}

#[track_caller]
fn is(text: &str, expected: Value) {
    let (document, _) = World::of("a").load();
    let node = |value: Value| {
        let mut node: Node = document.root().cloned().expect("a value");
        node.value = value;
        node
    };
    assert_eq!(node(value(text)), node(expected), "{text}");
}

#[test]
fn types_are_those_of_go_yaml() {
    for text in ["", "~", "null", "Null", "NULL", "!!null ''"] {
        is(text, Value::Null);
    }
    for text in ["true", "True", "TRUE", "!!bool yes"] {
        is(text, Value::Bool(true));
    }
    for text in ["false", "False", "FALSE", "!!bool off"] {
        is(text, Value::Bool(false));
    }
    // Truth values of YAML 1.1 are text until one asks for a truth value.
    for text in ["yes", "no", "on", "off", "y", "N", "tRUE", "nUll", "'true'", "\"1\"", "!!str 1"] {
        let plain = text.trim_start_matches("!!str ").trim_matches(['\'', '"']);
        is(text, Value::String(plain.into()));
    }
    for (text, number) in [
        ("0", 0),
        ("-0", 0),
        ("+12", 12),
        ("0123", 83),
        ("-010", -8),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0x1f", -31),
        ("0b101", 5),
        ("1_000", 1000),
        ("0x_1F", 31),
        ("-9223372036854775808", i128::from(i64::MIN)),
        ("18446744073709551615", i128::from(u64::MAX)),
        ("!!int '3'", 3),
    ] {
        is(text, Value::Int(number));
    }
    for (text, number) in [
        ("1.5", 1.5),
        ("-.5", -0.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("1E-2", 0.01),
        ("1_0.5", 10.5),
        ("08", 8.0),
        ("18446744073709551616", 18_446_744_073_709_551_616.0),
        ("-9223372036854775809", -9_223_372_036_854_775_809.0),
        (".inf", f64::INFINITY),
        ("+.Inf", f64::INFINITY),
        ("-.INF", f64::NEG_INFINITY),
        (".nan", f64::NAN),
        ("!!float 3", 3.0),
    ] {
        is(text, Value::Float(number));
    }
    for text in [
        "0x",
        "0xg",
        "1.2.3",
        "1e",
        "+",
        ".",
        "1h",
        "127.0.0.1",
        "2001-01-01",
        "12:30",
        "._5",
        ".1_0",
        "+.",
        "0b2",
        "inf",
        "NaN",
        "1 2",
        "-x",
        "--1",
    ] {
        is(text, Value::String(text.into()));
    }
}
