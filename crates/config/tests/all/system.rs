//! The process's own files.

use std::io::ErrorKind;

use config::{Outside, System};

#[test]
fn files_are_read_up_to_a_bound() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let read = System.read(manifest).expect("a file");
    assert_eq!(read, std::fs::read(manifest).expect("a file"));
    let error = |path: &str| System.read(path).map(|bytes| bytes.len()).map_err(|it| it.kind());
    assert_eq!(error("/no/such/file"), Err(ErrorKind::NotFound));
    // A device never ends.
    #[cfg(target_os = "linux")]
    assert_eq!(error("/dev/zero"), Err(ErrorKind::FileTooLarge));
}

#[test]
fn variables_are_those_of_the_process() {
    assert_eq!(System.variable("CARGO_PKG_NAME"), std::env::var("CARGO_PKG_NAME").ok());
    assert_eq!(System.variable("A_VARIABLE_THAT_NOBODY_SETS"), None);
}
