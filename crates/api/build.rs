//! Copies the built web UI to where the crate embeds it. Without one, as after a bare `cargo
//! build`, a page that says so takes its place.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const MISSING: &str = "<!doctype html><meta charset=utf-8><title>Spanfall</title>\
<p>This Spanfall was built without its web UI. Build it with <code>make build</code>.\
<p>The HTTP API is under <code>/api/v1</code>.\n";

fn main() -> io::Result<()> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui/dist");
    // The folder's own time changes with every build of the UI; a missing one is looked for anew.
    println!("cargo::rerun-if-changed={}", built.display());
    let target = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("ui");
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    if built.join("index.html").exists() {
        copy(&built, &target)
    } else {
        fs::create_dir_all(&target)?;
        fs::write(target.join("index.html"), MISSING)
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
