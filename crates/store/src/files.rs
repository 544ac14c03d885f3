//! Files whose content is checked as it is read: a CRC32C for every page of 64 KiB, kept outside
//! the file.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use serde::{Deserialize, Serialize};

/// Bytes under one checksum.
const PAGE_BYTES: usize = 64 * 1024;

/// What a file must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileFacts {
    pub(crate) bytes: u64,
    /// CRC32C of every page, eight hexadecimal digits each.
    pub(crate) page_crc32c: String,
}

/// Writes a file and its checksums.
pub(crate) struct CheckedWriter {
    file: io::BufWriter<File>,
    bytes: u64,
    page: u32,
    page_bytes: usize,
    crcs: String,
}

impl CheckedWriter {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = io::BufWriter::with_capacity(256 * 1024, File::create_new(path)?);
        Ok(Self { file, bytes: 0, page: 0, page_bytes: 0, crcs: String::new() })
    }

    fn end_page(&mut self) {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ = write!(self.crcs, "{:08x}", self.page);
        self.page = 0;
        self.page_bytes = 0;
    }

    /// Makes the file durable.
    pub(crate) fn finish(mut self) -> io::Result<FileFacts> {
        if self.page_bytes > 0 {
            self.end_page();
        }
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(FileFacts { bytes: self.bytes, page_crc32c: self.crcs })
    }
}

impl Write for CheckedWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write_all(buffer)?;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(PAGE_BYTES - self.page_bytes));
            self.page = crc32c::crc32c_append(self.page, now);
            self.page_bytes += now.len();
            if self.page_bytes == PAGE_BYTES {
                self.end_page();
            }
            rest = later;
        }
        self.bytes += buffer.len() as u64;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file that is read by ranges; each page is checked when it is first touched.
#[derive(Debug)]
pub(crate) struct CheckedFile {
    file: File,
    bytes: u64,
    crcs: Vec<u32>,
    /// A bit per page: it was read and found right.
    checked: Vec<AtomicU64>,
}

impl CheckedFile {
    /// Opens a file; its length must be right.
    pub(crate) fn open(path: &Path, facts: &FileFacts) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        if bytes != facts.bytes {
            return Err(damage(format!("{bytes} bytes where {} were written", facts.bytes)));
        }
        let crcs: Option<Vec<u32>> = facts
            .page_crc32c
            .as_bytes()
            .chunks(8)
            .map(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
            .collect();
        let pages = bytes.div_ceil(PAGE_BYTES as u64) as usize;
        let crcs = crcs
            .filter(|crcs| crcs.len() == pages)
            .ok_or_else(|| damage("there is not a checksum for every page".to_owned()))?;
        let checked = (0..pages.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { file, bytes, crcs, checked })
    }

    /// The bytes of a range.
    pub(crate) fn range(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let mut buffer = Vec::new();
        let skip = self.read(start, length, &mut buffer)?;
        Ok(Bytes::from(buffer).slice(skip..skip + length))
    }

    /// Puts the bytes of a range in the place of what a buffer has, and says where in the buffer
    /// they begin: to be checked, whole pages are read.
    pub(crate) fn read(&self, start: u64, length: usize, to: &mut Vec<u8>) -> io::Result<usize> {
        note_read(length as u64);
        let end = start.checked_add(length as u64).filter(|&end| end <= self.bytes);
        let end = end.ok_or_else(|| damage("a range outside the file".to_owned()))?;
        let first = start as usize / PAGE_BYTES;
        let last = (end as usize).div_ceil(PAGE_BYTES).max(first + 1);
        let unchecked = (first..last.min(self.crcs.len())).any(|page| !self.is_checked(page));
        if !unchecked {
            to.resize(length, 0);
            self.file.read_exact_at(to, start)?;
            return Ok(0);
        }
        let from = first * PAGE_BYTES;
        to.resize((last * PAGE_BYTES).min(self.bytes as usize) - from, 0);
        self.file.read_exact_at(to, from as u64)?;
        for (index, content) in to.chunks(PAGE_BYTES).enumerate() {
            let page = first + index;
            if crc32c::crc32c(content) != self.crcs[page] {
                return Err(damage(format!(
                    "the checksum of bytes {} to {} is wrong",
                    page * PAGE_BYTES,
                    page * PAGE_BYTES + content.len()
                )));
            }
            self.checked[page / 64].fetch_or(1 << (page % 64), Ordering::Relaxed);
        }
        Ok(start as usize - from)
    }

    pub(crate) fn all(&self) -> io::Result<Bytes> {
        self.range(0, self.bytes as usize)
    }

    fn is_checked(&self, page: usize) -> bool {
        self.checked[page / 64].load(Ordering::Relaxed) & (1 << (page % 64)) != 0
    }
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for CheckedFile {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        // Only headers are read this way; a page holds any of them.
        let length = (self.bytes.saturating_sub(start) as usize).min(PAGE_BYTES);
        let bytes = self.get_bytes(start, length)?;
        Ok(Box::new(io::Cursor::new(bytes)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.range(start, length).map_err(|error| ParquetError::External(Box::new(error)))
    }
}

thread_local! {
    static READ: Cell<u64> = const { Cell::new(0) };
}

/// Bytes that this thread has asked files for since it began.
pub(crate) fn bytes_read() -> u64 {
    READ.with(Cell::get)
}

/// Adds to them.
pub(crate) fn note_read(bytes: u64) {
    READ.with(|read| read.set(read.get() + bytes));
}

/// The file is not what was written.
fn damage(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The bytes of all files below a folder; 0 for what cannot be read.
pub(crate) fn folder_bytes(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf, FileFacts) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut writer = CheckedWriter::create(&path).unwrap();
        for part in content.chunks(50_000) {
            writer.write_all(part).unwrap();
        }
        let facts = writer.finish().unwrap();
        (folder, path, facts)
    }

    #[test]
    fn any_range_reads_as_written() {
        let content: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let (_folder, path, facts) = written(&content);
        let file = CheckedFile::open(&path, &facts).unwrap();
        for (start, length) in [(0, 0), (0, 10), (65_530, 20), (65_536, 65_536), (299_999, 1)] {
            let range = file.range(start, length).unwrap();
            assert_eq!(&range[..], &content[start as usize..start as usize + length]);
        }
        assert_eq!(&file.all().unwrap()[..], &content[..]);
        assert!(file.range(299_999, 2).is_err());
        assert!(file.range(u64::MAX, 2).is_err());
    }

    #[test]
    fn a_flipped_bit_is_found_in_its_page_alone() {
        let (_folder, path, facts) = written(&[7; 200_000]);
        let mut content = std::fs::read(&path).unwrap();
        content[100_000] ^= 1;
        std::fs::write(&path, content).unwrap();
        let file = CheckedFile::open(&path, &facts).unwrap();
        assert!(file.range(0, 65_536).is_ok());
        let error = file.range(100_001, 1).unwrap_err().to_string();
        assert!(error.contains("checksum of bytes 65536 to 131072"), "{error}");
    }

    #[test]
    fn a_shorter_file_is_refused() {
        let (_folder, path, facts) = written(&[7; 1000]);
        std::fs::write(&path, [7; 999]).unwrap();
        assert!(CheckedFile::open(&path, &facts).unwrap_err().to_string().contains("999 bytes"));
    }
}
