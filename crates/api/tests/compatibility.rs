//! `docs/compatibility.md` promises a test for each row: the tests that it names are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A test and where it stands.
#[derive(Debug)]
struct Test {
    /// From the root of the repository, with slashes.
    file: String,
    name: String,
    /// In a module `tests` of the file.
    is_inner: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one")) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

/// Tests of a source, by their attributes.
fn tests_of(file: &str, source: &str) -> Vec<Test> {
    let (mut found, mut is_test, mut is_inner) = (Vec::new(), false, false);
    for line in source.lines().map(str::trim) {
        is_inner |= line == "mod tests {";
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some(name) = function.and_then(|rest| rest.split('(').next())
            && std::mem::take(&mut is_test)
        {
            found.push(Test { file: file.to_owned(), name: name.to_owned(), is_inner });
        }
    }
    found
}

fn tests() -> Vec<Test> {
    let root = root();
    let mut files = Vec::new();
    for folder in ["tests/all", "crates"] {
        sources(&root.join(folder), &mut files);
    }
    let mut all = Vec::new();
    for path in files {
        let file = path.strip_prefix(&root).expect("below the root").to_str().expect("UTF-8");
        let source = std::fs::read_to_string(&path).expect("a source");
        all.extend(tests_of(&file.replace('\\', "/"), &source));
    }
    all
}

/// Texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a name such as `errors::what_is_refused`, or `errors::…` of any, is that of a test in
/// one of some folders.
fn is_there(tests: &[Test], name: &str, folders: &[String]) -> bool {
    let (modules, function) = name.rsplit_once("::").unwrap_or(("", name));
    tests.iter().any(|test| {
        let path = test.file.trim_end_matches(".rs").trim_end_matches("/main");
        let mut parts: Vec<&str> = path.split('/').collect();
        parts.extend(test.is_inner.then_some("tests"));
        let wanted: Vec<&str> = modules.split("::").filter(|part| !part.is_empty()).collect();
        folders.iter().any(|folder| test.file.starts_with(folder.as_str()))
            && (function == "…" || function == test.name)
            && (wanted.is_empty() || parts.ends_with(&wanted) || {
                let outer = parts.strip_suffix(&["tests"]).filter(|_| function == "…");
                outer.is_some_and(|outer| outer.ends_with(&wanted))
            })
    })
}

/// What is wrong with the last cell of a row of the part of an API.
fn problems(tests: &[Test], api: &str, cell: &str, has_same: bool) -> Vec<String> {
    let (mut problems, mut named) = (Vec::new(), 0);
    for part in cell.split(';').map(str::trim) {
        if part == "same" && has_same {
            named += 1;
            continue;
        }
        let (names, places): (Vec<&str>, Vec<&str>) =
            quoted(part).partition(|text| !text.contains('/'));
        let folders: Vec<String> = match places.as_slice() {
            [place] if place.starts_with("src/") => vec![format!("crates/api/{place}")],
            [place] => vec![(*place).to_owned()],
            _ if part.starts_with("api:") => {
                vec![format!("crates/api/tests/{api}"), format!("crates/api/src/{api}")]
            }
            _ if part.starts_with("query:") => vec!["crates/query/src".to_owned()],
            _ => vec!["tests/all".to_owned()],
        };
        if names.is_empty() {
            problems.push(format!("{part:?} names no test"));
        }
        for name in names {
            named += 1;
            if !is_there(tests, name, &folders) {
                problems.push(format!("there is no test {name} in {}", folders.join(", ")));
            }
        }
    }
    if named == 0 {
        problems.push("it has no test".to_owned());
    }
    problems
}

#[test]
fn each_row_names_tests_that_exist() {
    let tests = tests();
    let text = std::fs::read_to_string(root().join("docs/compatibility.md")).expect("the page");
    let (mut wrong, mut rows, mut apis) = (Vec::new(), 0, BTreeSet::new());
    let (mut api, mut is_table, mut has_same) = (String::new(), false, false);
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            api = title.to_lowercase();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, .., last, ""] = cells.as_slice() else {
            is_table = false;
            continue;
        };
        if *last == "test" {
            (is_table, has_same) = (true, false);
        } else if is_table && !last.starts_with("---") {
            rows += 1;
            apis.insert(api.clone());
            let found = problems(&tests, &api, last, has_same);
            wrong.extend(found.into_iter().map(|problem| format!("{}: {problem}", cells[1])));
            has_same = true;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(apis.len(), 4, "{apis:?}");
    assert!(rows > 60, "{rows} rows");
}

/// Names of tests and of files in the text between the tables.
#[test]
fn what_the_text_names_exists() {
    let tests = tests();
    let all = [String::new()];
    for page in ["compatibility.md", "traceql.md", "prometheus.md"] {
        let text = std::fs::read_to_string(root().join("docs").join(page)).expect("a page");
        for name in text.lines().filter(|line| !line.starts_with("```")).flat_map(quoted) {
            if name.starts_with("crates/") || name.starts_with("tests/") {
                assert!(root().join(name).exists(), "{page}: there is no {name}");
            }
            let is_word = |part: &str| {
                part == "…"
                    || part.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b))
            };
            if name.contains("::") && name.split("::").all(is_word) {
                assert!(is_there(&tests, name, &all), "{page}: there is no test {name}");
            }
        }
    }
}

#[test]
fn a_row_without_its_test_is_seen() {
    let source =
        "#[tokio::test]\nasync fn here() {}\nfn helper() {}\nmod tests {\n#[test]\nfn in() {}";
    let mut tests = tests_of("crates/api/tests/zipkin/faults.rs", source);
    tests.extend(tests_of("tests/all/zipkin.rs", "#[test]\nfn whole() {}"));
    for (cell, problem) in [
        ("`zipkin::whole`; api: `here`, `faults::here`, `faults::tests::in`", None),
        ("api: `faults::…`", None),
        ("`tests::in` in `crates/api/tests`", None),
        ("api: `helper`", Some("there is no test helper")),
        ("`zipkin::here`", Some("there is no test zipkin::here in tests/all")),
        ("api: `other::…`", Some("there is no test other::…")),
        ("–", Some("names no test")),
        ("", Some("names no test")),
        ("same", Some("names no test")),
    ] {
        let found = problems(&tests, "zipkin", cell, false).join("; ");
        match problem {
            None => assert_eq!(found, "", "{cell}"),
            Some(problem) => assert!(found.contains(problem), "{cell}: {found}"),
        }
    }
    assert!(problems(&tests, "zipkin", "same; api: `here`", true).is_empty());
}
