//! `docs/collector.md` against the readers of settings: every key that somebody asks for is there.
//!
//! Which keys there are is found by asking for one that there is not, at every place: the answer
//! lists the right ones.

use std::collections::BTreeSet;

use config::{Diagnostics, Document, Section, Status, System};
use ottl::Context;

use super::{known, register};
use crate::graph::{Plans, Registry};

const DOCS: &str = include_str!("../../../../docs/collector.md");

/// Nobody asks for it.
const UNKNOWN: &str = "zzq";

/// How deep settings lie at the most.
const DEPTH_MAX: usize = 8;

/// Samplers lie in samplers without end.
const ENDLESS: &str = "traces.sampler.parent_based.";

/// The binary has these, and a test that does the same.
const OF_THE_BINARY: [&str; 2] = ["spanfall", "spanfall_query"];

/// A text under a heading, up to the next.
struct Part {
    heading: &'static str,
    anchor: String,
    rows: Vec<Row>,
}

/// A row of a table of keys.
struct Row {
    /// What stands in backticks in its first cell.
    keys: Vec<&'static str>,
    /// Whether it stands for all keys of the parts that it links to.
    is_all: bool,
    links: Vec<&'static str>,
}

/// What stands between `open` and `close`, again and again.
fn between(text: &'static str, open: &str, close: &str) -> Vec<&'static str> {
    let parts = text.split(open).skip(1);
    parts.filter_map(|rest| rest.split_once(close).map(|(found, _)| found)).collect()
}

fn row(line: &'static str) -> Option<Row> {
    let cells = line.strip_prefix("| ")?;
    let first = cells.split(" | ").next().unwrap_or_default();
    let keys = first.split('`').skip(1).step_by(2).collect();
    let links = between(line, "](#", ")");
    Some(Row { keys, is_all: first.contains("all keys"), links })
}

/// As GitHub makes anchors of headings.
fn anchor(heading: &str) -> String {
    let keeps = |c: &char| c.is_ascii_alphanumeric() || " -_".contains(*c);
    heading.to_lowercase().chars().filter(keeps).collect::<String>().replace(' ', "-")
}

fn parts() -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in DOCS.lines() {
        if line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim();
            parts.push(Part { heading, anchor: anchor(heading), rows: Vec::new() });
        } else if let Some(part) = parts.last_mut() {
            part.rows.extend(row(line));
        }
    }
    parts
}

/// Whether a part, or one that it links to, has a key.
fn has(parts: &[Part], anchor: &str, path: &str, depth: usize) -> bool {
    let Some(part) = parts.iter().find(|part| part.anchor == anchor) else { return false };
    let linked = |row: &Row, rest: &str| row.links.iter().any(|to| has(parts, to, rest, depth + 1));
    depth < DEPTH_MAX
        && part.rows.iter().any(|row| {
            row.is_all && linked(row, path)
                || row.keys.iter().any(|key| match path.strip_prefix(key) {
                    Some("") => true,
                    Some(rest) if rest.starts_with(['.', '[']) => {
                        linked(row, rest.trim_start_matches('.'))
                    }
                    // A section, of which there are keys.
                    _ => key.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '['])),
                })
        })
}

fn load(text: &str) -> (Document, Diagnostics) {
    let configs = [format!("yaml:{text}")];
    let request = config::Request { configs: &configs, sets: &[] };
    config::load(request, &System, &known())
}

/// Settings with an unknown key at a path of keys, `[]` for lists.
fn settings(path: &[String]) -> String {
    let inner = format!("{{{UNKNOWN}: 1}}");
    path.iter().rev().fold(inner, |inner, step| match step.as_str() {
        "[]" => format!("[{inner}]"),
        key => format!("{{\"{key}\": {inner}}}"),
    })
}

fn dotted(path: &[String]) -> String {
    path.join(".").replace(".[]", "[]")
}

/// The right keys at a path, if settings are read there.
fn keys_at(path: &[String], diagnostics: &Diagnostics) -> Option<Vec<String>> {
    let place = match dotted(path).replace("[]", "[0]") {
        own if own.is_empty() => ": ".to_owned(),
        own => format!(": '{own}' "),
    };
    let end = format!("{place}has invalid keys: {UNKNOWN}");
    let found = diagnostics.iter().find(|one| one.message.ends_with(&end))?;
    let list = found.help.as_deref()?.strip_prefix("valid keys are ").unwrap_or_default();
    Some(list.split(", ").filter(|key| !key.is_empty()).map(str::to_owned).collect())
}

/// Every key of some settings, as paths. `read` reads settings with an unknown key.
fn all_keys(read: impl Fn(&str) -> Diagnostics) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut left: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(path) = left.pop() {
        // A map of its own, a list of them, or maps by names that the user chose.
        let shapes: &[&str] = if path.is_empty() { &[""] } else { &["", "[]", "NAME"] };
        for shape in shapes {
            let mut place = path.clone();
            place.extend((!shape.is_empty()).then(|| (*shape).to_owned()));
            for key in keys_at(&place, &read(&settings(&place))).unwrap_or_default() {
                let mut deeper = place.clone();
                deeper.push(key);
                let own = dotted(&deeper);
                if deeper.len() < DEPTH_MAX && !own.starts_with(ENDLESS) {
                    left.push(deeper);
                }
                all.insert(own);
            }
        }
    }
    all
}

/// Kinds that are here, by section.
fn here() -> impl Iterator<Item = (Section, &'static str)> {
    let all = Section::ALL.into_iter().flat_map(|section| {
        known().section(section).iter().map(move |kind| (section, kind.name, kind.status))
    });
    all.filter(|(.., status)| matches!(status, Status::Here(_) | Status::Connects(_)))
        .map(|(section, name, _)| (section, name))
}

/// `Receiver `otlp``
fn heading(section: Section, name: &str) -> String {
    let one = section.one();
    let (first, rest) = one.split_at(1);
    format!("{}{rest} `{name}`", first.to_uppercase())
}

#[test]
fn every_component_has_its_part() {
    let parts = parts();
    for (section, name) in here() {
        let heading = heading(section, name);
        assert!(parts.iter().any(|part| part.heading == heading), "### {heading} is missing");
    }
    let mut anchors = BTreeSet::new();
    for part in &parts {
        assert!(anchors.insert(&*part.anchor), "two headings have the anchor {}", part.anchor);
    }
    for link in between(DOCS, "](#", ")") {
        assert!(anchors.contains(link), "#{link} leads nowhere");
    }
}

#[test]
fn what_is_not_here_is_said() {
    let of = |heading: &str| {
        let (_, rest) = DOCS.split_once(&format!("\n## {heading}\n")).unwrap();
        rest.split("\n## ").next().unwrap()
    };
    let (old, missing) = (of("Old names"), of("What is not there"));
    for section in Section::ALL {
        for kind in known().section(section) {
            let name = format!("`{}`", kind.name);
            let is_told = match kind.status {
                Status::Here(_) | Status::Connects(_) => true,
                Status::Alias(_) | Status::Removed(_) => old.contains(&name),
                Status::Elsewhere(_) => missing.contains(&name),
            };
            assert!(is_told, "{section}: {name}");
        }
    }
}

/// What stands in backticks in the line about OTTL that begins so.
fn listed(start: &str) -> Vec<&'static str> {
    let (_, ottl) = DOCS.split_once("\n## OTTL\n").unwrap();
    let line = ottl.lines().find(|line| line.starts_with(start)).unwrap();
    line.split('`').skip(1).step_by(2).collect()
}

/// What is said of a call with arguments that nobody takes.
fn said_of(function: &str) -> String {
    let call = format!("{function}(1, 2, 3, 4, 5, 6, 7, 8, 9)");
    let is_editor = function.starts_with(|first: char| first.is_ascii_lowercase());
    let error = match is_editor {
        true => ottl::parse_statement(&call, Context::Span).map(drop),
        false => ottl::parse_condition(&format!("{call} == nil"), Context::Span).map(drop),
    };
    error.unwrap_err().message
}

#[test]
fn functions_and_paths_of_ottl_are_as_listed() {
    let here = [listed("**Editors**"), listed("**Converters**")].concat();
    assert!(here.len() > 90, "{here:?}");
    for function in here {
        let said = said_of(function);
        assert!(!said.contains("there is no") && !said.contains("is not here"), "{said}");
    }
    let (_, missing) = DOCS.split_once("| not here | instead |").unwrap();
    let rows = missing.lines().skip(2).take_while(|line| line.starts_with('|'));
    for row in rows {
        let first = row.split(" | ").next().unwrap();
        for function in first.split('`').skip(1).step_by(2) {
            let said = said_of(function);
            assert!(said.contains("is not here"), "{function}: {said}");
        }
    }
    for context in Context::ALL {
        for path in listed(&format!("| `{}` |", context.name())).into_iter().skip(1) {
            let text = format!("{}.{path} == nil", context.name());
            ottl::parse_condition(&text, context).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }
    for path in listed("| any | `otelcol.") {
        let text = format!("{path} == nil");
        ottl::parse_condition(&text, Context::Resource).unwrap();
    }
}

#[test]
fn every_key_is_described() {
    let parts = parts();
    let mut registry = Registry::default();
    register(&mut registry);
    let mut missing = Vec::new();
    for (section, name) in here().filter(|(_, name)| !OF_THE_BINARY.contains(name)) {
        let keys = all_keys(|settings| {
            let text = format!("{{{section}: {{{name}: {settings}}}}}");
            let (document, mut diagnostics) = load(&text);
            Plans::read(&document, &registry, &mut diagnostics);
            diagnostics
        });
        // `nop` and the like have none.
        let has_none = ["forward", "round_robin", "nop"].contains(&name);
        assert_eq!(keys.is_empty(), has_none, "{section}::{name}");
        let anchor = anchor(&heading(section, name));
        let unsaid = keys.into_iter().filter(|key| !has(&parts, &anchor, key, 0));
        missing.extend(unsaid.map(|key| format!("{section}::{name}: {key}")));
    }
    assert!(missing.is_empty(), "not in docs/collector.md:\n{}", missing.join("\n"));
}

#[test]
fn every_key_of_telemetry_is_described() {
    let parts = parts();
    let keys = all_keys(|settings| {
        let text = format!("{{service: {{telemetry: {settings}}}}}");
        let (document, mut diagnostics) = load(&text);
        let _ = crate::telemetry::read(&document, &mut diagnostics);
        diagnostics
    });
    assert!(keys.contains("metrics.readers[].pull.exporter"), "{keys:?}");
    let missing: Vec<String> = keys
        .into_iter()
        // The same keys again.
        .map(|key| key.replace(".otlp_http.", ".otlp.").replace(".otlp_grpc.", ".otlp."))
        .map(|key| key.replace("prometheus/development", "prometheus"))
        .filter(|key| {
            let places = ["servicetelemetry", "logs", "metrics", "own-traces"];
            !places.iter().any(|place| has(&parts, place, key, 0))
        })
        .collect();
    assert!(missing.is_empty(), "not in docs/collector.md:\n{}", missing.join("\n"));
}
