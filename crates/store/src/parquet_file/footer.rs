//! What the footer says of a chunk.

use parquet::basic::{Compression, Encoding, PageType};
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats};
use parquet::schema::types::ColumnDescPtr;

use super::encoding;
use super::writer::Error;

/// Of the pages of a chunk.
#[derive(Default)]
pub(super) struct Totals {
    /// Data pages: the bytes of each with its header, and its rows.
    pages: Vec<(usize, usize)>,
    rows: usize,
    /// Data pages by encoding.
    counts: [i32; 10],
    /// Bytes of all pages with their headers.
    pub(super) uncompressed_bytes: usize,
}

impl Totals {
    pub(super) fn clear(&mut self) {
        self.pages.clear();
        *self = Self { pages: std::mem::take(&mut self.pages), ..Self::default() };
    }

    pub(super) fn add(&mut self, bytes: usize, rows: usize, encoding: i32) {
        self.pages.push((bytes, rows));
        self.rows += rows;
        self.counts[encoding as usize] += 1;
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn has(&self, encoding: i32) -> bool {
        self.counts[encoding as usize] > 0
    }

    /// What the footer says. Offsets are from the start of the chunk, where the dictionary's
    /// page has `front` bytes.
    pub(super) fn close(
        &self,
        descriptor: ColumnDescPtr,
        front: usize,
        compression: Compression,
        bloom_filter: Option<Sbbf>,
    ) -> Result<ColumnCloseResult, Error> {
        let mut encodings = vec![Encoding::RLE];
        let mut stats = Vec::new();
        let coded = self.has(encoding::RLE_DICTIONARY);
        if coded {
            encodings.push(Encoding::PLAIN);
            let page_type = PageType::DICTIONARY_PAGE;
            stats.push(PageEncodingStats { page_type, encoding: Encoding::PLAIN, count: 1 });
        }
        for encoding in [
            Encoding::PLAIN,
            Encoding::DELTA_BINARY_PACKED,
            Encoding::RLE_DICTIONARY,
            Encoding::BYTE_STREAM_SPLIT,
        ] {
            let count = self.counts[encoding as usize];
            if count > 0 {
                encodings.push(encoding);
                let page_type = PageType::DATA_PAGE;
                stats.push(PageEncodingStats { page_type, encoding, count });
            }
        }
        let mut index = OffsetIndexBuilder::new();
        let mut offset = front;
        for &(bytes, rows) in &self.pages {
            index.append_row_count(rows as i64);
            index.append_offset_and_size(offset as i64, i32::try_from(bytes)?);
            offset += bytes;
        }
        let rows = self.rows;
        let metadata = ColumnChunkMetaData::builder(descriptor)
            .set_compression(compression)
            .set_encodings(encodings)
            .set_page_encoding_stats(stats)
            .set_num_values(rows as i64)
            .set_total_compressed_size(offset as i64)
            .set_total_uncompressed_size(self.uncompressed_bytes as i64)
            .set_dictionary_page_offset(coded.then_some(0))
            .set_data_page_offset(front as i64)
            .build()?;
        Ok(ColumnCloseResult {
            bytes_written: offset as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter,
            column_index: None,
            offset_index: Some(index.build()),
        })
    }
}
