//! What holds for every text.

use config::{Format, Reader, Secrets, print};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::settings;
use crate::world::World;

/// Reads a world in every way; the diagnostics are rendered in every way.
fn read(world: &World) -> String {
    let (document, mut diagnostics) = world.load();
    for component in &document.receivers {
        let mut reader = Reader::of(component, &mut diagnostics);
        settings::read(&mut reader);
        reader.finish();
    }
    for diagnostic in diagnostics.iter() {
        for label in &diagnostic.labels {
            let source = diagnostics.sources().get(label.at.source).expect("a source");
            assert!(source.text.get(label.at.start..label.at.end).is_some(), "{diagnostic:?}");
        }
    }
    print(&document, &diagnostics, Format::Json, Secrets::Redacted);
    let printed = print(&document, &diagnostics, Format::Yaml, Secrets::Shown);
    if printed.len() < 1 << 20 {
        assert_eq!(World::of(&printed).load().0, document, "{printed}");
    }
    diagnostics.render(true) + &diagnostics.json_lines()
}

/// Pieces of configurations in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("receivers:"),
        Just("exporters: "),
        Just("service:"),
        Just("pipelines:"),
        Just("\n"),
        Just("\n  "),
        Just("\n    "),
        Just("\t"),
        Just("tester:"),
        Just("otlp/a"),
        Just(": "),
        Just("- "),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(", "),
        Just("&a "),
        Just("*a"),
        Just("<<: "),
        Just("!!int "),
        Just("!x "),
        Just("'"),
        Just("\""),
        Just("|\n"),
        Just(">-\n"),
        Just("# "),
        Just("---\n"),
        Just("? "),
        Just("%YAML 1.2\n"),
        Just("${env:N}"),
        Just("${"),
        Just("$$"),
        Just("${UNSET:-"),
        Just("}"),
        Just("${file:c.yaml}"),
        Just("::"),
        Just("traces"),
        Just("é"),
        Just("日本"),
        Just("\u{feff}"),
        Just("\0"),
        Just("\r\n"),
        Just("size: 1"),
        Just("timeout: 1s"),
        Just("headers: {a: b}"),
        Just("policies: [{}]"),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Values that YAML can write.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".*".prop_map(Into::into),
        "[$}{a:#-]{0,6}".prop_map(Into::into),
        "[0-9xob_.e+-]{1,6}".prop_map(Into::into),
        prop_oneof![Just("yes"), Just("null"), Just("~"), Just(""), Just("..."), Just("- a")]
            .prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Into::into),
            vec((".{0,8}|[a-z<.]{1,3}", inner), 0..6)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Dollar signs as they are written.
fn escaped(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) => text.replace('$', "$$").into(),
        serde_json::Value::Array(list) => list.into_iter().map(escaped).collect(),
        serde_json::Value::Object(map) => serde_json::Value::Object(
            map.into_iter().map(|(key, value)| (key, escaped(value))).collect(),
        ),
        other => other,
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        read(&World::of(bytes).with("N", "1"));
    }

    #[test]
    fn any_pieces_are_read_or_refused(
        text in pieces(),
        other in pieces(),
        variable in pieces(),
        set in "[a-z.=:{$]{0,20}",
    ) {
        let mut world = World::of(text).with("N", &variable).with("C", &other);
        world.configs.push("env:C".to_owned());
        world.configs.push(format!("yaml:{other}"));
        world.sets.push(set);
        read(&world);
    }

    #[test]
    fn what_is_printed_is_read_again_as_the_same(value in value()) {
        let text = serde_json::json!({"receivers": {"tester": {"v": escaped(value)}}}).to_string();
        // The parser refuses what JSON may hold and YAML may not.
        let (document, said) = World::of(&text).load();
        prop_assume!(!said.render(false).contains("error: yaml"));
        for format in [Format::Yaml, Format::Json] {
            let printed = print(&document, &said, format, Secrets::Shown);
            let (again, diagnostics) = World::of(&printed).load();
            prop_assert_eq!(&again, &document, "{}\n{}", printed, diagnostics.render(false));
        }
    }
}

#[test]
fn what_is_too_large_or_too_deep_is_refused() {
    let refused = |text: String, why: &str| {
        let said = read(&World::of(&text));
        let shown: String = said.chars().take(2000).collect();
        assert!(said.contains(why), "{shown}");
    };
    refused("[".repeat(100_000), "more than 128 deep");
    refused("{a: ".repeat(100_000), "more than 128 deep");
    let deep: String = (0..200).map(|depth| format!("{:depth$}a:\n", "")).collect();
    refused(deep, "more than 128 deep");
    refused(format!("a: [{}]", "1, ".repeat(300_000)), "more than 250000 values");
    refused("#".repeat((16 << 20) + 1), "larger than 16 MiB");
    // Aliases of aliases, each deeper than the last.
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..200 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    refused(text, "more than 128 deep");
}

/// As many lines as would make anything that is quadratic take minutes.
fn many(line: impl Fn(usize) -> String) -> String {
    (0..20_000).map(line).collect()
}

#[test]
fn many_components_are_read_and_merged() {
    let text = format!("receivers:\n{}", many(|number| format!("  k{number}: 1\n")));
    let mut world = World::of(&text);
    world.files.insert("d.yaml".to_owned(), text.into());
    world.configs.push("d.yaml".to_owned());
    read(&world);
}

#[test]
fn many_pipelines_are_read() {
    let line = |number| format!("    traces/{number}: {{receivers: [a/{number}]}}\n");
    read(&World::of(format!("service:\n  pipelines:\n{}", many(line))));
}

#[test]
fn many_references_are_read() {
    let list = many(|number| format!("a/{number}, "));
    read(&World::of(format!("service: {{extensions: [{list}]}}")));
}
