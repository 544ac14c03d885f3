//! What README.md tells a new user to type works. Blocks that begin with ```` ```sh quickstart ````
//! are run, command by command.

use std::process::Command;

use tempfile::TempDir;

use crate::process::run;
use crate::server::{Server, binary};
use crate::tools;

/// The lines of the marked blocks, without comments and prompts.
fn commands(readme: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut is_inside = false;
    for line in readme.lines() {
        if line.starts_with("```") {
            is_inside = line.trim_end() == "```sh quickstart";
        } else if is_inside && !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            all.push(line);
        }
    }
    all
}

fn has_target(target: &str) -> bool {
    let mut command = Command::new("make");
    command.args(["--dry-run", "--question", target]).current_dir(tools::repository());
    let makefile = std::fs::read_to_string(tools::repository().join("Makefile")).expect("Makefile");
    // 2 means that make knows no such target, or cannot read the file.
    run(&mut command, b"").code != Some(2)
        && makefile.lines().any(|line| line.starts_with(&format!("{target}:")))
}

#[test]
fn the_quick_start_works() {
    let readme = std::fs::read_to_string(tools::repository().join("README.md")).expect("README.md");
    let commands = commands(&readme);
    assert_eq!(commands.first(), Some(&"make run"), "the first thing to type");
    assert!(commands.len() > 1, "README.md has no block that can be run");

    let server = Server::start();
    let folder = TempDir::new().expect("a temporary folder");
    std::os::unix::fs::symlink(binary(), folder.path().join("spanfall")).expect("a link");
    let path = std::env::var("PATH").unwrap_or_default();
    for line in commands {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["make", target] => assert!(has_target(target), "the Makefile has no {target}"),
            ["spanfall" | "curl", ..] => {
                let line = line
                    .replace("localhost:4318", &server.at.otlp_http)
                    .replace("localhost:16686", &server.at.ui);
                let mut command = Command::new("sh");
                command.args(["-euc", &line]).current_dir(folder.path());
                command.env("PATH", format!("{}:{path}", folder.path().display()));
                // Elsewhere than the defaults only so that tests can run side by side.
                command.env("SPANFALL_SERVER", server.url());
                let otlp = format!("http://{}", server.at.otlp_http);
                command.env("OTEL_EXPORTER_OTLP_ENDPOINT", otlp).env("NO_PROXY", "*");
                command.env_remove("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
                command.env_remove("SPANFALL_TOKEN");
                let finished = run(&mut command, b"");
                assert_eq!(finished.code, Some(0), "{line}: {finished:#?}");
            }
            _ => panic!("a quick start is made of make, spanfall and curl, not of {line}"),
        }
    }
    let stored = server.json("/status")["span_count"].as_u64();
    assert!(stored.is_some_and(|spans| spans > 0), "the quick start stores spans");
}
