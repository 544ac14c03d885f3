//! How the binary starts, and how it says that it cannot.

use std::net::TcpListener;
use std::process::Command;

use tempfile::TempDir;

use crate::otlp::one_span;
use crate::process::{Finished, run};
use crate::server::{PORT_FLAGS, Server, serve, spanfall};

/// Asserts that a start failed with one line of an error, and gives it.
fn failed(command: &mut Command) -> String {
    let Finished { code, stdout, stderr } = run(command, b"");
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("hint: ")).collect();
    let [line] = errors[..] else { panic!("not one line: {stderr}") };
    assert!(line.starts_with("error: "), "{line}");
    line.to_owned()
}

#[test]
fn every_help_has_examples() {
    let help = |arguments: &[&str]| {
        let finished = run(spanfall().args(arguments), b"");
        assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
        finished.stdout
    };
    let main = help(&["--help"]);
    assert!(main.contains("Examples:"), "{main}");
    let commands: Vec<&str> = main
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    for expected in ["serve", "trace", "search", "import", "export", "loadgen"] {
        assert!(commands.contains(&expected), "{expected} is not in {commands:?}");
    }
    for command in commands {
        let text = help(&[command, "--help"]);
        let (_, examples) = text.split_once("Examples:\n").unwrap_or_else(|| panic!("{text}"));
        assert!(examples.contains(&format!("spanfall {command}")), "{command}: {examples}");
    }
    assert!(help(&["--version"]).starts_with("spanfall "));
}

#[test]
fn wrong_usage_exits_2() {
    for arguments in [&["serch"][..], &["serve", "--no-such-flag"], &["trace"], &["trace", "xyz"]] {
        let finished = run(spanfall().args(arguments), b"");
        assert_eq!(finished.code, Some(2), "{arguments:?}: {finished:?}");
    }
}

#[test]
fn a_taken_port_is_named_with_its_flag() {
    let folder = TempDir::new().expect("a temporary folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    for flag in PORT_FLAGS {
        // The one named later holds.
        let mut command = spanfall();
        command.arg("serve").arg("--data-dir").arg(folder.path().join("data"));
        for other in PORT_FLAGS {
            command.args([other, if other == flag { &port } else { "0" }]);
        }
        let line = failed(&mut command);
        assert!(line.contains(&port) && line.contains(flag), "{line}");
        assert!(line.contains("free it"), "{line}");
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    // Root may write anywhere, but not below a file, and not to /proc.
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let mut bad = vec![file.join("data"), file];
    if cfg!(target_os = "linux") {
        bad.push("/proc/spanfall".into());
    }
    for data_dir in bad {
        let line = failed(&mut serve(&data_dir));
        assert!(line.contains(&data_dir.display().to_string()), "{line}");
        assert!(line.contains("--data-dir"), "{line}");
    }
}

#[test]
fn a_value_that_means_nothing_is_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    for (flag, value, allowed) in [
        ("--log", "bogus", "debug"),
        ("--log", "info,stoer", "debug"),
        ("--cors-allowed-origin", "shop.example", "https://shop.example"),
        ("--cors-allowed-origin", "https://shop.example/cart", "without a path"),
    ] {
        let mut command = serve(&folder.path().join("data"));
        let line = failed(command.args([flag, value]));
        for part in [flag, value, allowed] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}

#[test]
fn a_second_process_on_a_folder_is_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    let data_dir = folder.path().join("data");
    let server = Server::on(&data_dir);
    let line = failed(&mut serve(&data_dir));
    assert!(line.contains("in use") && line.contains("--data-dir"), "{line}");
    // The first does not suffer.
    server.export(&one_span(1)).ok();
    server.stop();
    Server::on(&data_dir).api(&format!("/traces/{:032x}", 1)).ok();
}

#[test]
fn an_unknown_format_is_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    let data_dir = folder.path().join("data");
    Server::on(&data_dir).stop();
    let format = data_dir.join("FORMAT");
    let ours = std::fs::read_to_string(&format).expect("FORMAT");
    for theirs in ["spanfall data, format 999\n", "something else\n"] {
        std::fs::write(&format, theirs).expect("FORMAT");
        let line = failed(&mut serve(&data_dir));
        assert!(line.contains(theirs.trim()) && line.contains(ours.trim()), "{line}");
    }
    assert_eq!(std::fs::read_to_string(&format).expect("FORMAT"), "something else\n");
}
