//! Texts that a configuration comes from, and places in them.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// The most bytes of one file, variable or `--config` argument.
pub const TEXT_BYTES_MAX: usize = 16 << 20;

/// Which of the texts in [`Sources`] a place is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// A place in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// The byte at which the place starts.
    pub start: usize,
    /// The byte after it.
    pub end: usize,
    /// The line of `start`, from 1.
    pub line: usize,
    /// The character in that line, from 1.
    pub column: usize,
}

/// A text that a configuration was read from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file's path, or the argument that held the text.
    pub name: Arc<str>,
    /// What was read.
    pub text: Arc<str>,
    /// Whether the text may not be shown: it is an environment variable's value.
    pub hidden: bool,
}

/// All texts of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    all: Vec<Source>,
}

impl Sources {
    /// Keeps a text.
    pub fn add(&mut self, source: Source) -> SourceId {
        self.all.push(source);
        SourceId(u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX))
    }

    /// The text of an id that `add` gave.
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.all.get(id.0 as usize)
    }

    /// The piece of text that a place covers.
    pub fn slice(&self, at: Span) -> &str {
        self.get(at.source).and_then(|source| source.text.get(at.start..at.end)).unwrap_or_default()
    }

    /// The place of some bytes of a source. Bytes outside of the text stand for its end.
    pub fn span(&self, source: SourceId, start: usize, end: usize) -> Span {
        let text = self.get(source).map_or("", |source| &source.text);
        let start = boundary_before(text, start);
        let end = boundary_before(text, end).max(start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Span { source, start, end, line, column }
    }
}

/// The last boundary between characters that is not after a byte.
pub(crate) fn boundary_before(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// What a configuration reads from the world: variables and files. Tests bring their own.
pub trait Outside {
    /// The value of an environment variable, if it is set. Bytes that are not UTF-8 are replaced.
    fn variable(&self, name: &str) -> Option<String>;

    /// The content of a file.
    ///
    /// # Errors
    /// The system's; or `FileTooLarge` where there are more than [`TEXT_BYTES_MAX`] bytes.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
}

/// The process's variables and files.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Outside for System {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        read_file(Path::new(path))
    }
}

/// The content of a file that a configuration names, be it a pipe.
///
/// # Errors
/// The system's; or `FileTooLarge` where there are more than [`TEXT_BYTES_MAX`] bytes.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Not by the file's length: a pipe or a device has none.
    std::fs::File::open(path)?.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > TEXT_BYTES_MAX {
        let reason = format!("it is larger than {} MiB", TEXT_BYTES_MAX >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}
