//! Spans out of files: whatever the format, and however long the file.
//!
//! Owns everything between a file's bytes and requests of a bounded size: decompression,
//! telling formats apart, cutting into documents, decoding, gathering. Knows nothing of servers.

mod chunks;
mod documents;
mod formats;
mod frames;
mod lines;
mod report;
mod source;

pub use chunks::{Chunk, Chunker};
pub use documents::{Document, Documents};
pub use report::{Place, Position, Report, Trouble};
pub use source::{STDIN, Source};

/// The largest document that is read. All of it has to be in memory, twice.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 30;
