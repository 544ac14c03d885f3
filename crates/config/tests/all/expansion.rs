//! What references expand to, row by row as the Collector does it.

use config::{Node, Value};

use crate::world::World;

/// The variables of every row.
fn world(text: &str) -> World {
    let mut world = World::of(format!("receivers:\n  tester:\n    v: {text}\n"));
    for (name, value) in [
        ("N", "10"),
        ("K", "N"),
        ("TEXT", "some text"),
        ("EMPTY", ""),
        ("OCTAL", "0123"),
        ("YES", "yes"),
        ("TRUE", "true"),
        ("FLOAT", "1.5"),
        ("QUOTED", "\"0123\""),
        ("LIST", "[1, 2]"),
        ("MAP", "a: ${env:N}\nb: [\"${env:TEXT}\"]"),
        ("HASH", "pass#word"),
        ("COMMENT", "pass #word"),
        ("NUMBER_COMMENT", "12 # a dozen"),
        ("COLON", "a: b"),
        ("BROKEN", "[1, 2"),
        ("DOLLARS", "a$$b"),
        ("DOLLAR", "a$b"),
        ("REFERENCE", "${env:N}"),
        ("ESCAPED", "$${env:N}"),
        ("NULL", "null"),
    ] {
        world = world.with(name, value);
    }
    world.files.insert("text".to_owned(), b"from a file".to_vec());
    world.files.insert("map.yaml".to_owned(), b"a: ${env:N}\n".to_vec());
    world.files.insert("path".to_owned(), b"text".to_vec());
    world
}

/// A value as JSON would show it, with `as TEXT` behind it where a reader of text takes another.
fn shown(node: &Node) -> String {
    let value = match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::List(list) => {
            let list: Vec<_> = list.iter().map(shown).collect();
            format!("[{}]", list.join(", "))
        }
        Value::Map(map) => {
            let entry =
                |entry: &config::Entry| format!("{}: {}", entry.key.text, shown(&entry.node));
            let entries: Vec<_> = map.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    };
    match (&node.value, node.as_text()) {
        (Value::String(_), _) | (_, None) => value,
        (_, Some(text)) => format!("{value} as {text:?}"),
    }
}

fn expanded(text: &str) -> String {
    let (document, diagnostics) = world(text).load();
    let errors: Vec<_> = diagnostics
        .iter()
        .filter(|one| one.labels.first().is_some_and(|label| label.at.line == 3))
        .map(|one| format!("{}: {}", one.severity.name(), one.message))
        .collect();
    let receiver = document.receivers.first();
    let node = receiver.and_then(|one| one.node.as_map()?.get("v"));
    let node = node.unwrap_or_else(|| panic!("{text}: {errors:?}"));
    let mut out = shown(node);
    for error in errors {
        out.push_str("; ");
        out.push_str(&error);
    }
    out
}

const UNSET: &str = "warning: Configuration references unset environment variable";
const EMPTY: &str = "note: Configuration references empty environment variable";
const RECURSIVE: &str = "error: too many recursive expansions";

#[test]
fn references_expand_as_in_the_collector() {
    let rows: &[(&str, String)] = &[
        // Schemes.
        ("${N}", "10 as \"10\"".into()),
        ("${env:N}", "10 as \"10\"".into()),
        ("\"${env:N}\"", "10 as \"10\"".into()),
        ("'${env:N}'", "10 as \"10\"".into()),
        ("$N", "\"$N\"".into()),
        ("${file:text}", "\"from a file\"".into()),
        ("${file:map.yaml}", "{a: 10 as \"10\"} as \"a: 10\\n\"".into()),
        ("${file:${file:path}}", "\"from a file\"".into()),
        ("\"${yaml:[1, a]}\"", "[1, \"a\"] as \"[1, a]\"".into()),
        // Defaults: only where nothing is set.
        ("${env:N:-5}", "10 as \"10\"".into()),
        ("${env:UNSET:-5}", "5 as \"5\"".into()),
        ("${UNSET:-5}", "5 as \"5\"".into()),
        ("${UNSET:-}", "null as \"\"".into()),
        ("${UNSET:-a:-b}", "\"a:-b\"".into()),
        ("${X:-single letter}", "\"single letter\"".into()),
        ("${env:EMPTY:-d}", format!("null as \"\"; {EMPTY}")),
        ("${EMPTY:-d}", format!("null as \"\"; {EMPTY}")),
        ("${env:UNSET}", format!("null as \"\"; {UNSET}")),
        ("${env:EMPTY}", format!("null as \"\"; {EMPTY}")),
        ("a-${env:UNSET}-b", format!("\"a--b\"; {UNSET}")),
        // Nested.
        ("${env:${env:K}}", "10 as \"10\"".into()),
        ("${env:UNSET:-${env:N}}", "10 as \"10\"".into()),
        ("${UNSET:-${UNSET:-${N}}}", "10 as \"10\"".into()),
        ("${env:REFERENCE}", "10 as \"10\"".into()),
        ("a${env:REFERENCE}", "\"a10\"".into()),
        // Dollar signs.
        ("$${env:N}", "\"${env:N}\"".into()),
        ("$$${env:N}", "\"$10\"".into()),
        ("$$$${env:N}", "\"$${env:N}\"".into()),
        ("a$$b", "\"a$b\"".into()),
        ("${env:DOLLARS}", "\"a$b\"".into()),
        ("${env:DOLLAR}", "\"a$b\"".into()),
        ("${env:ESCAPED}", "\"${env:N}\"".into()),
        ("${env:N} $${env:N}", "\"10 ${env:N}\"".into()),
        ("${env:$${N}}", "\"${env:${N}}\"".into()),
        // Types.
        ("${env:TEXT}", "\"some text\"".into()),
        ("${env:OCTAL}", "83 as \"0123\"".into()),
        ("${env:YES}", "\"yes\"".into()),
        ("${env:TRUE}", "true as \"true\"".into()),
        ("${env:FLOAT}", "1.5 as \"1.5\"".into()),
        ("${env:QUOTED}", "\"\\\"0123\\\"\"".into()),
        ("${env:NULL}", "null as \"null\"".into()),
        ("${env:LIST}", "[1, 2] as \"[1, 2]\"".into()),
        (
            "${env:MAP}",
            "{a: 10 as \"10\", b: [\"some text\"]} as \"a: 10\\nb: [\\\"some text\\\"]\"".into(),
        ),
        ("${env:HASH}", "\"pass#word\"".into()),
        // The value is text, so that all of the text counts.
        ("${env:COMMENT}", "\"pass #word\"".into()),
        ("${env:NUMBER_COMMENT}", "12 as \"12 # a dozen\"".into()),
        ("${env:COLON}", "{a: \"b\"} as \"a: b\"".into()),
        ("${env:BROKEN}", "\"[1, 2\"".into()),
        // Text around a reference makes it text.
        ("a-${env:N}", "\"a-10\"".into()),
        ("${env:N}${env:N}", "\"1010\"".into()),
        ("a-${env:LIST}", "\"a-[1, 2]\"".into()),
        ("[\"${env:N}\", {a: \"${env:LIST}\"}]", {
            "[10 as \"10\", {a: [1, 2] as \"[1, 2]\"}]".into()
        }),
        // Keys stay.
        ("{\"${env:N}\": 1}", "{${env:N}: 1}".into()),
        // What is no reference.
        ("a}b", "\"a}b\"".into()),
        ("${N} and $", "\"10 and $\"".into()),
        ("{a}", "{a: null}".into()),
        // Bounds.
        ("${env:N}".repeat(100).leak(), format!("{:?}", "10".repeat(100))),
        (
            "${env:N}".repeat(101).leak(),
            "null; error: a value may have 100 references at most".into(),
        ),
        ("${env:UNSET:-a${b}", format!("\"${{env:UNSET:-a\"; {UNSET}")),
    ];
    for (text, expected) in rows {
        assert_eq!(expanded(text), *expected, "{text}");
    }
}

#[test]
fn what_names_itself_ends() {
    let mut world = world("${env:A}").with("A", "${env:B}").with("B", "${env:A}");
    world = world.with("GROW", "x${env:GROW}y${env:GROW}");
    let (_, diagnostics) = world.load();
    assert!(diagnostics.render(false).contains(RECURSIVE));
    // Twice on every level: what is included is bounded, not only how deep.
    let text = "receivers: {tester: '${file:c.yaml}'}\nother: ${file:c.yaml}\n";
    let (_, diagnostics) = World::of(text).load();
    assert!(diagnostics.render(false).contains(RECURSIVE));
}

#[test]
fn no_diagnostic_holds_a_variables_value() {
    let texts = [
        "${env:SECRET}",
        "a${env:SECRET}b",
        "${env:MAP_OF_SECRETS}",
        "${env:LIST_OF_SECRETS}",
        "${env:${env:SECRET}}",
        "${file:${env:SECRET}}",
        "${${env:SECRET}}",
        "${${env:SECRET}:x}",
        "${nev:${env:SECRET}}",
    ];
    let fields = [
        "enabled",
        "size",
        "ratio",
        "timeout",
        "limit",
        "compression",
        "pattern",
        "address",
        "hosts",
        "labels",
        "headers",
        "grpc",
        "policies",
        "named",
        "batcher",
    ];
    for text in texts {
        for field in fields {
            let yaml = format!(
                "receivers: {{tester: {{{field}: \"{text}\"}}, \"a\": \"{text}\"}}\n\
                 exporters: \"{text}\"\n\
                 service: {{extensions: [\"{text}\"], pipelines: {{traces: {{receivers: [\"{text}\"], \
                 exporters: [\"{text}\", \"{text}\"]}}, logs: \"{text}\"}}}}\n"
            );
            let world = World::of(yaml)
                .with("SECRET", "hunter2")
                .with("MAP_OF_SECRETS", "{key: hunter2, other: [hunter2]}")
                .with("LIST_OF_SECRETS", "[hunter2, {a: hunter2}, [hunter2]]");
            let (document, mut diagnostics) = world.load();
            for component in &document.receivers {
                let mut reader = config::Reader::of(component, &mut diagnostics);
                crate::settings::read(&mut reader);
                reader.finish();
            }
            let said = diagnostics.render(true) + &diagnostics.json_lines();
            assert!(said.len() > 100, "something is wrong with {text}");
            assert!(!said.contains("hunter2"), "{field}: {text}\n{said}");
        }
    }
}
