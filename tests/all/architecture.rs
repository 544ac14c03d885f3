//! Who may depend on whom: the table of DESIGN.md, held against `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::process::run;
use crate::tools;

/// Each room and the rooms that it may know. What is not here does not exist yet, and gets a row
/// with its first commit.
const MAY_KNOW: [(&str, &[&str]); 17] = [
    ("model", &[]),
    ("config", &[]),
    ("kafka", &[]),
    ("instrument", &[]),
    ("formats", &["model"]),
    ("ottl", &[]),
    ("traceql", &[]),
    ("analysis", &["model"]),
    ("loadgen", &["model"]),
    ("store", &["model", "traceql"]),
    ("query", &["model", "store", "traceql", "analysis"]),
    ("pipeline", &["model", "formats", "ottl", "config", "kafka"]),
    ("api", &["model", "query", "store", "traceql", "formats", "analysis", "loadgen"]),
    ("demo", &["instrument"]),
    (
        "spanfall",
        &[
            "model", "config", "formats", "ottl", "traceql", "analysis", "loadgen", "store",
            "query", "pipeline", "api",
        ],
    ),
    ("bench", &["loadgen", "model"]),
    ("system-tests", &[]),
];

/// Libraries that only these rooms may name as their own dependency. A name that ends in `*` stands
/// for all that begin so.
const ONLY_IN: [(&str, &[&str]); 6] = [
    ("arrow*", &["store"]),
    ("parquet", &["store"]),
    // The tests' Rust SDK brings its own.
    ("tonic*", &["pipeline", "api"]),
    ("hyper*", &["pipeline", "api", "spanfall", "bench"]),
    ("axum", &["pipeline", "api", "spanfall"]),
    ("clap", &["spanfall", "bench"]),
];

/// Libraries that a room may not even reach by way of others.
const MUST_NOT_REACH: [(&str, &[&str]); 9] = [
    ("kafka", &["hyper", "axum", "tonic", "rustls", "arrow*", "parquet", "clap"]),
    ("config", &["tokio", "hyper", "axum", "tonic", "arrow*", "parquet"]),
    ("model", &["tokio", "hyper", "axum", "tonic", "arrow*", "parquet", "serde_yaml"]),
    ("formats", &["tokio", "hyper", "axum", "tonic", "arrow*", "parquet"]),
    ("ottl", &["tokio", "hyper", "axum", "tonic", "arrow*", "parquet", "rand"]),
    ("loadgen", &["tokio", "hyper", "axum", "tonic", "arrow*", "parquet", "rand"]),
    ("store", &["hyper", "axum", "tonic", "clap"]),
    ("query", &["hyper", "axum", "tonic", "clap"]),
    ("pipeline", &["arrow*", "parquet", "clap"]),
];

/// The platform that tests run on, as rustc names it.
fn platform() -> String {
    let finished = run(Command::new("rustc").arg("-vV"), b"");
    let host = finished.stdout.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap_or_else(|| panic!("{finished:?}")).to_owned()
}

/// The workspace's packages and what they depend on, development and build aside.
struct Graph {
    members: BTreeMap<String, String>,
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        // Of this platform alone: crates of others may not be downloaded.
        command.args(["metadata", "--format-version", "1", "--locked", "--offline"]);
        command.args(["--filter-platform", &platform()]);
        command.current_dir(tools::repository());
        let finished = run(&mut command, b"");
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let metadata: Value = serde_json::from_str(&finished.stdout).expect("cargo's JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let names: BTreeMap<String, String> = array(&metadata["packages"])
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let members = array(&metadata["workspace_members"])
            .iter()
            .map(|id| (names[&text(id)].clone(), text(id)))
            .collect();
        let is_normal =
            |dep: &Value| array(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
        let edges = array(&metadata["resolve"]["nodes"])
            .iter()
            .map(|node| {
                let deps = array(&node["deps"]);
                let deps = deps.iter().filter(|dep| is_normal(dep)).map(|dep| text(&dep["pkg"]));
                (text(&node["id"]), deps.collect())
            })
            .collect();
        Self { members, names, edges }
    }

    /// Names of a member's own dependencies.
    fn own(&self, member: &str) -> BTreeSet<&str> {
        let edges = &self.edges[&self.members[member]];
        edges.iter().map(|id| self.names[id].as_str()).collect()
    }

    /// Names of all that a member reaches.
    fn reached(&self, member: &str) -> BTreeSet<&str> {
        let mut open = vec![&self.members[member]];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            for next in &self.edges[id] {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

#[test]
fn rooms_know_only_what_they_may() {
    let graph = Graph::read();
    for member in graph.members.keys() {
        let row = MAY_KNOW.iter().find(|(name, _)| name == member);
        let (_, allowed) = row.unwrap_or_else(|| panic!("{member} has no row in the table"));
        for other in graph.own(member).into_iter().filter(|name| graph.members.contains_key(*name))
        {
            assert!(allowed.contains(&other), "{member} must not know {other}");
        }
    }
}

#[test]
fn libraries_stay_in_their_rooms() {
    let graph = Graph::read();
    for member in graph.members.keys().filter(|member| *member != "system-tests") {
        for name in graph.own(member) {
            for (library, rooms) in ONLY_IN {
                let is_allowed = !matches(library, name) || rooms.contains(&member.as_str());
                assert!(is_allowed, "{member} must not use {name}: only {rooms:?} may");
            }
        }
    }
    for (member, libraries) in MUST_NOT_REACH {
        if !graph.members.contains_key(member) {
            continue;
        }
        for name in graph.reached(member) {
            let found = libraries.iter().find(|library| matches(library, name));
            assert!(found.is_none(), "{member} must not reach {name}");
        }
    }
}
