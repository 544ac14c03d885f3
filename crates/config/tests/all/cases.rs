//! Configurations and everything that is said about them, as data: `cases/*.txt`.
//!
//! A case begins with `=== title`. Parts begin with `---`: `config NAME` (a file that is a
//! `--config`), `file NAME`, `arg URI` (a `--config` as it is), `set A=B`, `env NAME`, and `expect`,
//! which holds the rendered diagnostics. With `UPDATE_EXPECT=1` what is said is written there.

use std::fmt::Write;
use std::path::PathBuf;

use config::Reader;

use crate::settings;
use crate::world::World;

/// What is said about a case, components' settings included.
fn said(world: &World) -> String {
    let (document, mut diagnostics) = world.load();
    for component in document.receivers.iter().filter(|one| one.kind == Some("tester")) {
        let mut reader = Reader::of(component, &mut diagnostics);
        settings::read(&mut reader);
        reader.finish();
    }
    let said = diagnostics.render(false);
    if said.is_empty() { "nothing\n".to_owned() } else { said.trim_end().to_owned() + "\n" }
}

/// The parts of a case: what stands after `---` and the lines below.
fn parts(case: &str) -> Vec<(&str, String)> {
    let mut parts: Vec<(&str, String)> = Vec::new();
    for line in case.lines() {
        match (line.strip_prefix("--- "), parts.last_mut()) {
            (Some(head), _) => parts.push((head, String::new())),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    parts
}

fn world(parts: &[(&str, String)]) -> World {
    let mut world = World::default();
    for (head, text) in parts {
        let (kind, rest) = head.split_once(' ').unwrap_or((head, ""));
        // `␉` and `␛` are what an editor would not show.
        let text = text.replace('␉', "\t").replace('␛', "\u{1b}");
        match kind {
            "config" => {
                world.files.insert(rest.to_owned(), text.into());
                world.configs.push(rest.to_owned());
            }
            "file" => drop(world.files.insert(rest.to_owned(), text.into())),
            "arg" => world.configs.push(rest.to_owned()),
            "set" => world.sets.push(rest.to_owned()),
            "env" => {
                let value = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                world.variables.insert(rest.to_owned(), value);
            }
            "expect" => {}
            other => panic!("what is a part `{other}`?"),
        }
    }
    world
}

#[track_caller]
fn check(name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/all/cases").join(name);
    let file = std::fs::read_to_string(&path).expect("the cases");
    let mut cases = file.split("=== ");
    let mut updated = cases.next().unwrap_or_default().to_owned();
    let mut wrong = String::new();
    for case in cases {
        let title = case.lines().next().unwrap_or_default();
        let parts = parts(case);
        let said = said(&world(&parts));
        let expected = parts.iter().find(|(head, _)| *head == "expect").map(|(_, text)| text);
        // A blank line stands between cases.
        let expected = expected.map(|text| text.trim_end().to_owned() + "\n");
        if expected.as_deref() != Some(&said) {
            let expected = expected.unwrap_or_default();
            let _ = writeln!(wrong, "{name}: {title}\nexpected\n{expected}\ngot\n{said}");
        }
        let before = case.split("--- expect").next().unwrap_or_default();
        let _ = write!(updated, "=== {before}--- expect\n{said}\n");
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, updated.trim_end().to_owned() + "\n").expect("the cases");
    } else {
        assert!(wrong.is_empty(), "{wrong}");
    }
}

#[test]
fn components() {
    check("components.txt");
}

#[test]
fn expansion() {
    check("expansion.txt");
}

#[test]
fn pipelines() {
    check("pipelines.txt");
}

#[test]
fn settings_of_a_component() {
    check("settings.txt");
}

#[test]
fn sources() {
    check("sources.txt");
}

#[test]
fn yaml() {
    check("yaml.txt");
}
