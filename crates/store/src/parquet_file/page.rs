//! Bodies of pages to pages.

use parquet::basic::ZstdLevel;
use zstd::bulk::Compressor;

use super::header::{PageHeader, PageType};
use super::writer::Error;

/// Shorter bodies are stored in a zstd frame as they are.
const COMPRESSED_BYTES_MIN: usize = 64;

/// What all chunks of a file use in turn.
pub(super) struct Tools {
    pub(super) level: ZstdLevel,
    compressor: Compressor<'static>,
    /// A page before and after its compression.
    pub(super) body: Vec<u8>,
    frame: Vec<u8>,
    pub(super) codes: Vec<u32>,
}

impl Tools {
    pub(super) fn new(zstd_level: i32) -> Result<Self, Error> {
        Ok(Self {
            level: ZstdLevel::try_new(zstd_level)?,
            compressor: Compressor::new(zstd_level)?,
            body: Vec::new(),
            frame: Vec::new(),
            codes: Vec::new(),
        })
    }

    /// Appends the body as a page, and gives the bytes it would have uncompressed.
    pub(super) fn append_page(
        &mut self,
        page: PageType,
        values: usize,
        encoding: i32,
        compressed: bool,
        out: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let start = out.len();
        let frame = if !compressed {
            &self.body
        } else if self.body.len() < COMPRESSED_BYTES_MIN {
            store_frame(&self.body, &mut self.frame);
            &self.frame
        } else {
            self.frame.clear();
            self.frame.reserve(zstd::zstd_safe::compress_bound(self.body.len()));
            self.compressor.compress_to_buffer(&self.body, &mut self.frame)?;
            &self.frame
        };
        let header = PageHeader {
            page,
            values,
            encoding,
            uncompressed_bytes: self.body.len(),
            compressed_bytes: frame.len(),
        };
        header.write(out);
        let header_bytes = out.len() - start;
        out.extend_from_slice(frame);
        Ok(header_bytes + self.body.len())
    }
}

/// A zstd frame of one raw block with its length in a byte (RFC 8878, 3.1.1). Compressing so
/// little costs more than it saves.
fn store_frame(body: &[u8], frame: &mut Vec<u8>) {
    let block = (body.len() as u32) << 3 | 1;
    frame.clear();
    frame.extend_from_slice(&[0x28, 0xb5, 0x2f, 0xfd, 0x20, body.len() as u8]);
    frame.extend_from_slice(&block.to_le_bytes()[..3]);
    frame.extend_from_slice(body);
}
