//! Sealed blocks: a folder of Parquet files and `block.json`, written once. The layout is public:
//! docs/block-format.md.

mod cache;
mod filter;
mod reader;
mod traces;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::files::FileFacts;
use crate::piece::StartRanges;

pub(crate) use cache::Cache;
pub(crate) use reader::{Block, Forward};
pub(crate) use writer::{BlockFacts, BlockWriter, TableColumns};

/// The version of the layout that this program writes and the only one it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;

pub(crate) const META_FILE: &str = "block.json";
const TRACES_FILE: &str = "traces.parquet";
const SCOPES_FILE: &str = "scopes.parquet";
const FILTER_FILE: &str = "traces.filter";
const CATALOG_FILE: &str = "catalog.json.zst";

/// What `block.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockMeta {
    pub(crate) format_version: u32,
    pub(crate) id: String,
    pub(crate) created_unix_nano: u64,
    /// When the first and the last of its spans came.
    pub(crate) received_min_unix_nano: u64,
    pub(crate) received_max_unix_nano: u64,
    pub(crate) span_count: u64,
    pub(crate) trace_count: u64,
    pub(crate) start_ranges: StartRanges,
    /// Log segments up to this number are in blocks.
    pub(crate) log_through: u64,
    /// Blocks whose spans this one holds.
    pub(crate) replaces: Vec<String>,
    /// Rows by file.
    pub(crate) rows: BTreeMap<String, u64>,
    pub(crate) files: BTreeMap<String, FileFacts>,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    crc32c: String,
    meta: Box<RawValue>,
}

impl BlockMeta {
    /// Bytes of the block's files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|facts| facts.bytes).sum()
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        let meta = serde_json::to_string(self)?;
        let envelope = Envelope {
            crc32c: format!("{:08x}", crc32c::crc32c(meta.as_bytes())),
            meta: RawValue::from_string(meta)?,
        };
        let path = folder.join(META_FILE);
        std::fs::write(&path, serde_json::to_vec(&envelope)?)?;
        std::fs::File::open(path)?.sync_all()
    }

    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        let envelope: Envelope = serde_json::from_slice(&std::fs::read(folder.join(META_FILE))?)?;
        let text = envelope.meta.get();
        if envelope.crc32c != format!("{:08x}", crc32c::crc32c(text.as_bytes())) {
            return Err(io::Error::other(format!("the checksum of {META_FILE} is wrong")));
        }
        // The version before the rest: another one may have other fields.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let Version { format_version } = serde_json::from_str(text)?;
        if format_version != FORMAT_VERSION {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("it has format {format_version}, this program reads {FORMAT_VERSION}"),
            ));
        }
        Ok(serde_json::from_str(text)?)
    }
}
