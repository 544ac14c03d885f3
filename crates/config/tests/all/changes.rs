//! What a reload has to change.

use config::{Change, Changes, PipelineId, Section, diff};

use crate::world::World;

const BASE: &str = "
receivers: {otlp: {endpoint: a}, zipkin: }
processors: {batch: {timeout: 1s, size: 1}}
exporters: {debug: }
extensions: {health_check: }
service:
  extensions: [health_check]
  telemetry: {logs: {level: info}}
  pipelines:
    traces: {receivers: [otlp, zipkin], processors: [batch], exporters: [debug]}
    logs: {receivers: [otlp], exporters: [debug]}
";

fn changes(text: &str) -> String {
    let (old, said) = World::of(BASE).load();
    assert!(said.is_empty(), "{}", said.render(false));
    let (new, _) = World::of(text).with("N", "1").with("T", "01").load();
    shown(&diff(&old, &new))
}

fn shown(changes: &Changes) -> String {
    let mut out = Vec::new();
    for (section, id, change) in &changes.components {
        out.push(format!("{section}::{id} {change:?}"));
    }
    for (id, change) in &changes.pipelines {
        out.push(format!("{id} {change:?}"));
    }
    if changes.extensions {
        out.push("extensions".to_owned());
    }
    if changes.telemetry {
        out.push("telemetry".to_owned());
    }
    assert_eq!(out.is_empty(), changes.is_empty());
    out.join(", ")
}

#[test]
fn places_and_order_of_keys_do_not_matter() {
    assert_eq!(changes(BASE), "");
    assert_eq!(changes(&BASE.replace("\nreceivers", "\n# a comment\n\nreceivers")), "");
    assert_eq!(changes(&BASE.replace("timeout: 1s, size: 1", "size: 0x1, timeout: '1s'")), "");
    assert_eq!(
        changes(&BASE.replace("size: 1", "size: \"${env:N}\"")),
        "processors::batch Changed"
    );
}

#[test]
fn what_changed_is_named_and_nothing_else() {
    let rows = [
        ("endpoint: a", "endpoint: b", "receivers::otlp Changed"),
        ("zipkin: }", "zipkin: {a: b}}", "receivers::zipkin Changed"),
        ("debug: }", "debug: , debug/2: }", "exporters::debug/2 Came"),
        ("[otlp, zipkin]", "[zipkin, otlp]", "traces Changed"),
        ("[otlp, zipkin]", "[otlp]", "traces Changed"),
        (", processors: [batch]", "", "traces Changed"),
        ("    logs:", "    logs/2:", "logs/2 Came, logs Went"),
        ("  extensions: [health_check]\n", "", "extensions"),
        ("level: info", "level: debug", "telemetry"),
        ("  telemetry: {logs: {level: info}}\n", "", "telemetry"),
        (
            "otlp: {endpoint: a}",
            "otlp/2: {endpoint: a}",
            "receivers::otlp/2 Came, receivers::otlp Went",
        ),
    ];
    for (from, to, expected) in rows {
        assert!(BASE.contains(from), "{from}");
        assert_eq!(changes(&BASE.replacen(from, to, 1)), expected, "{from} -> {to}");
    }
}

#[test]
fn text_that_a_reader_could_tell_apart_is_a_change() {
    let load = |value: &str| {
        World::of(BASE.replace("size: 1", "size: \"${V}\"")).with("V", value).load().0
    };
    assert_eq!(shown(&diff(&load("0123"), &load("83"))), "processors::batch Changed");
    assert!(diff(&load("0123"), &load("0123")).is_empty());
}

#[test]
fn everything_comes_and_goes() {
    let (old, new) = (World::default().load().0, World::of(BASE).load().0);
    let came = diff(&old, &new);
    assert_eq!(came.components.len(), 5);
    assert!(came.components.iter().all(|(.., change)| *change == Change::Came));
    let went = diff(&new, &old);
    let id = PipelineId::parse("logs").expect("an id");
    assert!(went.pipelines.contains(&(id, Change::Went)));
    assert_eq!(went.components[0].0, Section::Receivers);
}
