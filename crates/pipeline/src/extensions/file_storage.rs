//! `file_storage`: a folder in which components keep what has to outlive the process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::component::{Extension, Running};
use crate::exporters::PersistentSettings;
use crate::private;

/// Settings of [`FileStorage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStorageSettings {
    /// Below which every component has a folder. Default `/var/lib/otelcol/file_storage`.
    pub directory: PathBuf,
    /// Makes it if it is not there. Default false.
    pub create_directory: bool,
    /// Permissions of what it makes. Default 0750.
    pub directory_mode: u32,
    /// Makes what is written durable at once, so that it outlives a power cut and not only the
    /// process. Default false.
    pub fsync: bool,
}

impl Default for FileStorageSettings {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("/var/lib/otelcol/file_storage"),
            create_directory: false,
            directory_mode: private::FOLDER_MODE,
            fsync: false,
        }
    }
}

/// Gives components a folder each. Whoever writes there locks it.
#[derive(Debug)]
pub struct FileStorage {
    settings: FileStorageSettings,
}

impl FileStorage {
    /// Looks whether the directory is there and can be written to.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what to do.
    pub fn open(settings: FileStorageSettings) -> Result<Self, String> {
        let directory = &settings.directory;
        let told = |error: io::Error| format!("{}: {error}", directory.display());
        if settings.create_directory {
            private::create_dir_all_as(directory, settings.directory_mode).map_err(told)?;
        }
        let metadata = fs::metadata(directory).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                format!("{} does not exist; `create_directory: true` makes it", directory.display())
            }
            _ => told(error),
        })?;
        if !metadata.is_dir() {
            return Err(format!("{} is not a directory", directory.display()));
        }
        probe(directory).map_err(told)?;
        Ok(Self { settings })
    }
}

/// Finds out now, and not with the first request, that nothing can be written.
fn probe(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".probe-{}", std::process::id()));
    fs::write(&path, b"")?;
    fs::remove_file(&path)
}

/// A name without what a file's cannot have; different names stay different.
fn file_name(component: &str) -> String {
    let mut name = String::new();
    for character in component.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => name.push(character),
            '.' if !name.is_empty() => name.push(character),
            other => name.push_str(&format!("~{:x}~", u32::from(other))),
        }
    }
    name
}

#[async_trait]
impl Running for FileStorage {
    async fn stop(&self, _: Instant) -> u64 {
        0
    }
}

impl Extension for FileStorage {
    fn storage(&self, component: &str) -> Option<PersistentSettings> {
        let folder = self.settings.directory.join(file_name(component));
        Some(PersistentSettings { fsync: self.settings.fsync, ..PersistentSettings::new(folder) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn names_stay_below_the_folder_and_apart() {
        for (component, expected) in [
            ("exporter_otlp_http_traces", "exporter_otlp_http_traces"),
            ("otlp/a", "otlp~2f~a"),
            ("otlp~2f~a", "otlp~7e~2f~7e~a"),
            ("..", "~2e~."),
            ("../../etc", "~2e~.~2f~..~2f~etc"),
            ("a.b", "a.b"),
            ("ä", "~e4~"),
        ] {
            let name = file_name(component);
            assert_eq!(name, expected);
            assert!(!name.starts_with('.') && !name.contains('/'), "{name}");
        }
    }

    #[test]
    fn the_folder_must_be_there_and_writable() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: PathBuf, create_directory| {
            let settings = FileStorageSettings {
                directory: path,
                create_directory,
                directory_mode: 0o710,
                fsync: true,
            };
            FileStorage::open(settings)
        };
        let missing = folder.path().join("a/b");
        let error = at(missing.clone(), false).unwrap_err();
        assert!(error.contains("create_directory: true"), "{error}");
        let storage = at(missing.clone(), true).unwrap();
        assert_eq!(fs::metadata(&missing).unwrap().permissions().mode() & 0o777, 0o710);
        let own = storage.storage("exporter/x").unwrap();
        assert_eq!(own.folder, missing.join("exporter~2f~x"));
        assert!(own.fsync);
        fs::write(folder.path().join("file"), "").unwrap();
        let error = at(folder.path().join("file"), false).unwrap_err();
        assert!(error.contains("not a directory"), "{error}");
        assert_eq!(fs::read_dir(&missing).unwrap().count(), 0, "the probe is gone");
    }
}
