//! Data to a file: a line of OTLP JSON for each request, or protobuf behind its length.
//!
//! A request is written whole before it counts as sent, so that `flush_interval` has no meaning. A
//! write that fails is undone and made again later.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{Export, ExportError};
use crate::{Encoded, Signal};

/// How requests are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileFormat {
    /// One OTLP JSON object a line; traces only. Compressed ones stand behind their length.
    #[default]
    Json,
    /// Protobuf, each behind four bytes of length, most significant first.
    Proto,
}

/// `rotation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// A file is closed before it grows beyond. Default 100 MB, each 2^20 bytes.
    pub max_megabytes: u64,
    /// Older files are deleted; 0 is never. Default 0.
    pub max_days: u64,
    /// How many older files are kept; 0 is all. Default 100.
    pub max_backups: usize,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { max_megabytes: 100, max_days: 0, max_backups: 100 }
    }
}

/// Settings of the exporter `file`. `group_by` is not there; names of older files are in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    /// The file.
    pub path: PathBuf,
    /// Default JSON.
    pub format: FileFormat,
    /// Each request is a zstd frame of its own, behind its length. Default false.
    pub zstd: bool,
    /// Keeps what is in the file, which rotation always does. Default false.
    pub append: bool,
    /// Makes the folder. Default false.
    pub create_directory: bool,
    /// Default none.
    pub rotation: Option<Rotation>,
}

impl FileSettings {
    /// The defaults, at a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: FileFormat::Json,
            zstd: false,
            append: false,
            create_directory: false,
            rotation: None,
        }
    }
}

/// Exports to a file.
pub struct FileExporter {
    shared: Arc<Shared>,
}

struct Shared {
    settings: FileSettings,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    bytes: u64,
}

impl FileExporter {
    /// Opens the file.
    ///
    /// # Errors
    /// The system's.
    pub fn new(settings: FileSettings) -> io::Result<Self> {
        if let Some(folder) = settings.path.parent().filter(|_| settings.create_directory) {
            fs::create_dir_all(folder)?;
        }
        let keep = settings.append || settings.rotation.is_some();
        let open = Open::new(&settings.path, keep)?;
        Ok(Self { shared: Arc::new(Shared { settings, open: Mutex::new(open) }) })
    }
}

impl Open {
    fn new(path: &Path, keep: bool) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(!keep).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }
}

#[async_trait]
impl Export for FileExporter {
    async fn export(&self, signal: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        let (shared, encoded) = (Arc::clone(&self.shared), encoded.clone());
        tokio::task::spawn_blocking(move || shared.export(signal, &encoded))
            .await
            .unwrap_or_else(|error| Err(ExportError::permanent(error.to_string())))
    }
}

impl Shared {
    fn export(&self, signal: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        let record = self.record(signal, encoded)?;
        let path = &self.settings.path;
        self.write(&record)
            .map_err(|error| ExportError::retryable(format!("{}: {error}", path.display())))
    }

    /// What is written of a request.
    fn record(&self, signal: Signal, encoded: &Encoded) -> Result<Vec<u8>, ExportError> {
        let failed = |error: &dyn std::error::Error| ExportError::permanent(error.to_string());
        let bytes = encoded.joined();
        let mut content = match self.settings.format {
            FileFormat::Proto => bytes.to_vec(),
            FileFormat::Json if signal != Signal::Traces => {
                let reason = format!("{signal} cannot be written as JSON; format: proto can");
                return Err(ExportError::permanent(reason));
            }
            FileFormat::Json => {
                model::json::encode(&bytes).map_err(|error| failed(&error))?.into_bytes()
            }
        };
        if self.settings.zstd {
            content = zstd::bulk::compress(&content, 0).map_err(|error| failed(&error))?;
        } else if self.settings.format == FileFormat::Json {
            content.push(b'\n');
            return Ok(content);
        }
        let length = u32::try_from(content.len()).map_err(|error| failed(&error))?;
        let mut record = length.to_be_bytes().to_vec();
        record.append(&mut content);
        Ok(record)
    }

    fn write(&self, record: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock();
        if let Some(rotation) = self.settings.rotation {
            let max = rotation.max_megabytes.max(1) << 20;
            if open.bytes > 0 && open.bytes + record.len() as u64 > max {
                self.rotate(&mut open, rotation)?;
            }
        }
        let written = open.file.write_all_at(record, open.bytes);
        if written.is_err() {
            // A part of a request would spoil what comes behind it.
            let _ = open.file.set_len(open.bytes);
        } else {
            open.bytes += record.len() as u64;
        }
        written
    }

    /// Renames the file to `name-2026-01-31T23-59-59.999.ext` and begins another.
    fn rotate(&self, open: &mut Open, rotation: Rotation) -> io::Result<()> {
        let path = &self.settings.path;
        let now = SystemTime::now();
        let mut at = now;
        let mut older = backup(path, at);
        while older.exists() {
            at += Duration::from_millis(1);
            older = backup(path, at);
        }
        match fs::rename(path, &older) {
            // Taken away by somebody else, or renamed by an attempt that failed after it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
        *open = Open::new(path, false)?;
        for old in stale(path, rotation, now)? {
            if let Err(error) = fs::remove_file(&old) {
                tracing::warn!(path = %old.display(), %error, "an old file could not be deleted");
            }
        }
        Ok(())
    }
}

/// Name without extension and a dash; extension with its dot.
fn affixes(path: &Path) -> (String, String) {
    let part =
        |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let stem = part(path.file_stem()).unwrap_or_default();
    (format!("{stem}-"), part(path.extension()).map_or(String::new(), |ext| format!(".{ext}")))
}

fn backup(path: &Path, at: SystemTime) -> PathBuf {
    let (prefix, suffix) = affixes(path);
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = super::time::date(since.as_secs() / 86_400);
    let (hour, minute, second) = super::time::clock(since.as_secs());
    let millis = since.subsec_millis();
    let time =
        format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}.{millis:03}");
    path.with_file_name(format!("{prefix}{time}{suffix}"))
}

/// Older files that are too many or too old. Their names sort by time.
fn stale(path: &Path, rotation: Rotation, now: SystemTime) -> io::Result<Vec<PathBuf>> {
    let (prefix, suffix) = affixes(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut older = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let time = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(&suffix));
        if time.is_some_and(is_time) {
            older.push(entry.path());
        }
    }
    older.sort();
    let excess = match rotation.max_backups {
        0 => 0,
        max => older.len().saturating_sub(max),
    };
    let mut stale: Vec<PathBuf> = older.drain(..excess).collect();
    if rotation.max_days > 0 {
        let age = Duration::from_secs(rotation.max_days.saturating_mul(86_400));
        let first = now.checked_sub(age).map(|first| backup(path, first));
        stale.extend(
            older.into_iter().filter(|old| first.as_ref().is_some_and(|first| old < first)),
        );
    }
    Ok(stale)
}

fn is_time(text: &str) -> bool {
    let shape = b"0000-00-00T00-00-00.000";
    text.len() == shape.len()
        && text.bytes().zip(shape).all(|(byte, &like)| match like {
            b'0' => byte.is_ascii_digit(),
            _ => byte == like,
        })
}
