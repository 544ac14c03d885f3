//! Marks of all files, in a folder of a storage extension.
//!
//! One file, `positions.json`, is written anew and renamed, so that it is whole at any moment.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};

use serde_json::{Value, json};

use super::mark::Mark;
use crate::exporters::PersistentSettings;
use crate::private;

const VERSION: u64 = 1;
const NAME: &str = "positions.json";

/// The folder, which nobody else uses as long as this lives.
#[derive(Debug)]
pub(super) struct Positions {
    settings: PersistentSettings,
    _lock: File,
}

/// What was kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) marks: Vec<Mark>,
    /// The patterns of that time.
    pub(super) include: Vec<String>,
}

impl Positions {
    /// Opens the folder, making it if it is not there, and reads what was kept, if anything.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to do.
    pub(super) fn open(settings: PersistentSettings) -> Result<(Self, Option<Kept>), String> {
        let folder = &settings.folder;
        let told = |error: io::Error| format!("{}: {error}", folder.display());
        private::create_dir_all(folder).map_err(told)?;
        let lock = private::create(&folder.join("lock")).map_err(told)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("{} is in use by another process", folder.display()));
            }
            Err(TryLockError::Error(error)) => return Err(told(error)),
        }
        let path = folder.join(NAME);
        let kept = match fs::read(&path) {
            Ok(text) => Some(parse(&text).ok_or_else(|| {
                format!(
                    "{} is damaged or of another version; remove it to have files read as `start_at` says",
                    path.display()
                )
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        Ok((Self { settings, _lock: lock }, kept))
    }

    /// Keeps marks instead of those of before.
    pub(super) fn save<'a>(
        &self,
        marks: impl Iterator<Item = &'a Mark>,
        include: &[String],
    ) -> io::Result<()> {
        let files: Vec<Value> = marks.map(Mark::to_json).collect();
        let text = json!({ "version": VERSION, "include": include, "files": files }).to_string();
        let folder = &self.settings.folder;
        let new = folder.join(format!("{NAME}.new"));
        let mut file = private::create(&new)?;
        file.write_all(text.as_bytes())?;
        if self.settings.fsync {
            file.sync_data()?;
        }
        fs::rename(&new, folder.join(NAME))?;
        if self.settings.fsync {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

fn parse(text: &[u8]) -> Option<Kept> {
    let value: Value = serde_json::from_slice(text).ok()?;
    if value.get("version")?.as_u64()? != VERSION {
        return None;
    }
    let include = value.get("include")?.as_array()?.iter();
    let include = include.map(|text| text.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    let marks =
        value.get("files")?.as_array()?.iter().map(Mark::from_json).collect::<Option<_>>()?;
    Some(Kept { marks, include })
}

#[cfg(test)]
mod tests {
    use super::super::mark::FileId;
    use super::*;

    #[test]
    fn what_was_kept_is_there_after_a_restart_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let settings = PersistentSettings::new(folder.path().join("a"));
        let (positions, kept) = Positions::open(settings.clone()).unwrap();
        assert_eq!(kept, None);
        let busy = Positions::open(settings.clone()).unwrap_err();
        assert!(busy.contains("in use"), "{busy}");
        let marks = [1, 2].map(|inode| Mark::new(FileId { device: 1, inode }));
        let include = ["/a/*".to_owned()];
        positions.save(marks.iter(), &include).unwrap();
        drop(positions);
        let (positions, kept) = Positions::open(settings.clone()).unwrap();
        assert_eq!(kept, Some(Kept { marks: marks.to_vec(), include: include.to_vec() }));
        drop(positions);
        for damage in ["", "{}", "{\"version\":2}", "{\"version\":1,\"include\":[],\"files\":[{}]}"]
        {
            fs::write(folder.path().join("a").join(NAME), damage).unwrap();
            let error = Positions::open(settings.clone()).unwrap_err();
            assert!(error.contains("damaged"), "{damage}: {error}");
        }
    }
}
