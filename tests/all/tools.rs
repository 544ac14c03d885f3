//! What `tests/setup.sh` installs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of this package.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    folder().parent().expect("a package inside the repository")
}

/// Where the Python programs are.
pub fn python() -> PathBuf {
    must_exist(downloads().join("python/bin"))
}

/// Where the Python program is that has Jaeger's and Zipkin's clients.
pub fn legacy_python() -> PathBuf {
    must_exist(downloads().join("python-legacy/bin/python"))
}

/// Node.js in the folder of Jaeger's and Zipkin's clients.
pub fn legacy_node() -> Command {
    let folder = folder().join("apps/legacy");
    must_exist(folder.join("node_modules/jaeger-client"));
    let mut command = Command::new("node");
    command.current_dir(folder);
    command
}

fn downloads() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let target = test.ancestors().nth(3).expect("target/<profile>/deps/all");
    target.join("test-tools")
}

/// The `.proto` files that Jaeger publishes.
pub fn jaeger_interfaces() -> PathBuf {
    must_exist(downloads().join("jaeger-idl"))
}

/// Node.js in this package's folder, whose packages are there.
pub fn node() -> Command {
    must_exist(folder().join("node_modules/playwright-core"));
    let mut command = Command::new("node");
    command.current_dir(folder());
    command
}

/// A Chromium.
pub fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|candidate| candidate.exists())
        .unwrap_or_else(|| panic!("no Chromium: `tests/setup.sh` or `make test` installs it"))
}

fn must_exist(path: PathBuf) -> PathBuf {
    let shown = path.display();
    assert!(path.exists(), "{shown} is missing: `tests/setup.sh` or `make test` installs it");
    path
}
