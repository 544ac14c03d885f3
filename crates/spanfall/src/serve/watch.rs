//! Notices that the files of a configuration have changed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;

/// How often the files are looked at. Asking the system costs a few microseconds; being told by it
/// fails on network file systems, and on folders that are exchanged as a whole, as Kubernetes does
/// with a ConfigMap.
const LOOK: Duration = Duration::from_secs(1);

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(Option<(u64, u64, u64, i64, i64)>);

impl Stamp {
    /// Of a file, which may be missing.
    pub(super) fn of(path: &Path) -> Self {
        // Links are followed: where they lead is what changes.
        let metadata = std::fs::metadata(path).ok();
        Self(metadata.map(|own| (own.dev(), own.ino(), own.len(), own.mtime(), own.mtime_nsec())))
    }
}

type Stamps = BTreeMap<PathBuf, Stamp>;

/// The files of a configuration as they were when it was read.
pub(super) struct Watch {
    files: Stamps,
    /// How they were at the last look, if not as in `files`.
    changed: Option<Stamps>,
    /// A look that is not done: a file system may take its time, and nobody waits for it.
    looking: Option<JoinHandle<Stamps>>,
}

impl Watch {
    pub(super) fn new(files: Stamps) -> Self {
        Self { files, changed: None, looking: None }
    }

    /// Waits until files have changed, and have then stayed the same from one look to the next, so
    /// that none is read while it is being written.
    pub(super) async fn changed(&mut self) {
        if self.files.is_empty() {
            return std::future::pending().await;
        }
        loop {
            if self.looking.is_none() {
                tokio::time::sleep(LOOK).await;
                let paths: Vec<PathBuf> = self.files.keys().cloned().collect();
                self.looking = Some(tokio::task::spawn_blocking(|| look(paths)));
            }
            if let Some(looking) = &mut self.looking {
                let found = looking.await;
                self.looking = None;
                if found.is_ok_and(|now| self.is_over(now)) {
                    return;
                }
            }
        }
    }

    /// Whether a change is over.
    fn is_over(&mut self, now: Stamps) -> bool {
        if now == self.files {
            self.changed = None;
            return false;
        }
        if self.changed.as_ref() == Some(&now) {
            self.files = now;
            self.changed = None;
            return true;
        }
        self.changed = Some(now);
        false
    }
}

fn look(paths: Vec<PathBuf>) -> Stamps {
    paths.into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(watch: &mut Watch) -> bool {
        let now = look(watch.files.keys().cloned().collect());
        watch.is_over(now)
    }

    fn watch(path: &Path) -> Watch {
        Watch::new(BTreeMap::from([(path.to_owned(), Stamp::of(path))]))
    }

    #[test]
    fn a_change_counts_when_it_is_over() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, "a").unwrap();
        let mut watch = watch(&path);
        assert!(!step(&mut watch));
        std::fs::write(&path, "ab").unwrap();
        assert!(!step(&mut watch), "it may be being written");
        std::fs::write(&path, "abc").unwrap();
        assert!(!step(&mut watch), "it still is");
        assert!(step(&mut watch));
        assert!(!step(&mut watch), "told once");
        std::fs::remove_file(&path).unwrap();
        assert!(!step(&mut watch));
        assert!(step(&mut watch), "that it is gone is told, too");
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_a_change() {
        let folder = tempfile::TempDir::new().unwrap();
        for name in ["one", "two"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("a.yaml"), "a").unwrap();
        }
        let link = folder.path().join("data");
        std::os::unix::fs::symlink("one", &link).unwrap();
        let mut watch = watch(&link.join("a.yaml"));
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("two", &link).unwrap();
        assert!(!step(&mut watch));
        assert!(step(&mut watch));
    }
}
