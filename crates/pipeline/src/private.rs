//! Files and folders that hold spans: other users of the machine may not read them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Of folders: the owner's, and its group may look.
pub(crate) const FOLDER_MODE: u32 = 0o750;
/// Of files: the owner's alone.
const FILE_MODE: u32 = 0o600;

/// Makes a folder and those above it, where they are not there.
pub(crate) fn create_dir_all(path: &Path) -> io::Result<()> {
    create_dir_all_as(path, FOLDER_MODE)
}

/// The same with other permissions.
pub(crate) fn create_dir_all_as(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// To open a file, or make one.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE);
    options
}

/// Makes a file, or empties the one that is there.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    options().write(true).create(true).truncate(true).open(path)
}
