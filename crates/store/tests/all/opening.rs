//! Folders that must not be opened, and what the error tells.

use std::path::Path;

use store::OpenError;

use crate::bench::{Bench, block_folders, files};
use crate::sent::{Sent, request};

fn refusal(bench: &Bench, folder: &Path) -> OpenError {
    match bench.try_open(folder) {
        Ok(_) => panic!("{} was opened", folder.display()),
        Err(error) => error,
    }
}

#[test]
fn a_folder_is_opened_once() {
    let mut bench = Bench::new();
    let error = refusal(&bench, &bench.folder());
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("another folder"), "{error}");
    bench.append(&request(&[Sent::new(1, 1)]));
    bench.reopen();
    bench.assert_holds("after the refusal", &request(&[Sent::new(1, 1)]));
}

#[test]
fn other_formats_are_refused_and_left_alone() {
    let mut bench = Bench::new();
    bench.append(&request(&[Sent::new(1, 1)]));
    bench.close();
    let format = bench.folder().join("FORMAT");
    let ours = std::fs::read_to_string(&format).unwrap();
    for other in ["spanfall data, format 2\n", "something else", "\u{0}"] {
        std::fs::write(&format, other).unwrap();
        let error = refusal(&bench, &bench.folder());
        assert!(matches!(error, OpenError::Format { .. }), "{error}");
        assert!(error.to_string().contains("format 1"), "{error}");
    }
    std::fs::write(&format, b"\xff\xfe\x00").unwrap();
    let text = refusal(&bench, &bench.folder()).to_string();
    assert!(text.contains("not text") && text.contains("another folder"), "{text}");

    // Without a format, whatever is in the log is left as it is.
    for content in [Some(""), None] {
        match content {
            Some(content) => std::fs::write(&format, content).unwrap(),
            None => std::fs::remove_file(&format).unwrap(),
        }
        let error = refusal(&bench, &bench.folder());
        assert!(matches!(error, OpenError::Format { .. }), "{error}");
        assert!(error.to_string().contains("missing or empty"), "{error}");
    }
    std::fs::write(&format, ours).unwrap();
    bench.reopen();
    bench.assert_holds("the spans", &request(&[Sent::new(1, 1)]));
}

/// Nothing at all is what loss of power at the first start leaves.
#[test]
fn a_fresh_folder_gets_a_format() {
    for content in [Some(""), None] {
        let mut bench = Bench::closed(|_| {});
        let format = bench.folder().join("FORMAT");
        std::fs::create_dir_all(bench.folder().join("log")).unwrap();
        if let Some(content) = content {
            std::fs::write(&format, content).unwrap();
        }
        bench.open();
        assert!(std::fs::read_to_string(&format).unwrap().contains("format 1"));
    }
}

#[test]
fn logs_of_other_versions_are_refused_and_left_alone() {
    let mut bench = Bench::new();
    bench.append(&request(&[Sent::new(1, 1)]));
    bench.close();
    let path = files(&bench.folder().join("log")).remove(0);
    let content = std::fs::read(&path).unwrap();
    let mut other = content.clone();
    other[7] = 2;
    std::fs::write(&path, &other).unwrap();
    let error = refusal(&bench, &bench.folder());
    assert!(matches!(&error, OpenError::Format { path: at, .. } if *at == path), "{error}");
    assert!(error.to_string().contains("version 2"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), other);
    std::fs::write(&path, &content).unwrap();
    bench.open();
    bench.assert_holds("the spans", &request(&[Sent::new(1, 1)]));
}

#[test]
fn a_folder_in_the_place_of_a_log_segment_is_told() {
    let mut bench = Bench::new();
    bench.append(&request(&[Sent::new(1, 1)]));
    bench.settle();
    bench.close();
    for number in [1, 900] {
        let stray = bench.folder().join(format!("log/{number:016}.log"));
        std::fs::create_dir(&stray).unwrap();
        let error = refusal(&bench, &bench.folder());
        assert!(matches!(&error, OpenError::StrayFolder { path } if *path == stray), "{error}");
        std::fs::remove_dir(&stray).unwrap();
    }
    bench.open();
    bench.assert_holds("the spans", &request(&[Sent::new(1, 1)]));
}

#[test]
fn blocks_of_other_formats_are_refused() {
    let mut bench = Bench::new();
    bench.append(&request(&[Sent::new(1, 1)]));
    bench.settle();
    bench.close();
    let folder = block_folders(&bench.folder())[0].clone();
    let path = folder.join("block.json");
    let meta = r#"{"format_version":2,"columns":"another way"}"#;
    let crc = crate::log_damage::crc32c_of(meta.as_bytes());
    std::fs::write(&path, format!(r#"{{"crc32c":"{crc:08x}","meta":{meta}}}"#)).unwrap();
    let error = refusal(&bench, &bench.folder());
    assert!(matches!(&error, OpenError::Format { path, .. } if *path == folder), "{error}");
    assert!(error.to_string().contains("format 2"), "{error}");
    assert!(path.exists(), "it is left where it is");
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_that_helps() {
    let bench = Bench::closed(|_| {});
    let root = bench.folder();
    std::fs::create_dir_all(&root).unwrap();
    let file = root.join("file");
    std::fs::write(&file, "").unwrap();
    // Not for permissions: tests may run as root, whom no permission holds.
    for folder in [file.join("data"), Path::new("/proc/spanfall").to_owned()] {
        let error = refusal(&bench, &folder);
        assert!(matches!(error, OpenError::Io { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(folder.to_str().unwrap()), "{text}");
        assert!(text.contains("permissions") && text.contains("another folder"), "{text}");
    }
    // A file where a folder belongs.
    for name in ["log", "blocks"] {
        let folder = root.join(format!("with {name}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), "").unwrap();
        assert_not_a_folder(&refusal(&bench, &folder), &folder.join(name));
    }
    for path in [&file, Path::new("/dev/null")] {
        assert_not_a_folder(&refusal(&bench, path), path);
    }
}

fn assert_not_a_folder(error: &OpenError, wanted: &Path) {
    assert!(matches!(error, OpenError::NotAFolder { path } if path == wanted), "{error}");
    assert_eq!(error.to_string(), format!("{} is not a folder; choose another", wanted.display()));
}
