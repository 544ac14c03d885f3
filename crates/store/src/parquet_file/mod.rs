//! Flat Parquet files: columns of [`Column`](crate::column::Column)s to pages, and back.
//!
//! The `parquet` crate reads and writes the frame of a file: schema, footer, offset index and
//! Bloom filters. Pages are made and read here, because a page already has the form of a column
//! in memory: a bit per row that says whether there is a value, and the values of those rows
//! alone. Nothing is done per row that has none, and text keeps its numbers from the dictionary
//! of a row group in one file to that of another.
//!
//! Pages are version 1, and are cut at the same rows in all columns that are written here. This
//! module knows nothing of what the columns mean.

mod assemble;
mod bitpack;
mod chunk;
mod coder;
mod cursor;
mod decode;
mod delta;
mod footer;
mod header;
mod hybrid;
mod numbering;
mod page;
mod plain;
mod presence;
mod reader;
#[cfg(test)]
mod tests;
mod values;
mod writer;

pub(crate) use cursor::GroupPages;
pub(crate) use numbering::Numbering;
pub(crate) use reader::TableFile;
pub(crate) use writer::TableWriter;

use crate::columns::Kind;

/// Rows in a page: what a trace by id decodes of every column.
pub(crate) const PAGE_ROWS: usize = 4 * 1024;

/// A column chunk with more distinct values than this, as PLAIN bytes, goes on without a
/// dictionary.
pub(crate) const DICTIONARY_BYTES_MAX: usize = 64 * 1024;

/// The largest page that is read: far beyond what is written, and small enough to hold.
const PAGE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How the values of a column become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// For text, bytes and numbers; others are plain.
    Dictionary,
    Plain,
    /// For integers; others are plain.
    Delta,
    /// For integers of 64 bits; others are plain.
    ByteStreamSplit,
}

/// How a column is written.
#[derive(Debug, Clone)]
pub(crate) struct ColumnPlan {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Rows may lack a value.
    pub(crate) optional: bool,
    pub(crate) coding: Coding,
    pub(crate) compressed: bool,
    /// Chunks of text whose dictionary grew too large get a Bloom filter.
    pub(crate) bloom: bool,
}

/// The encodings of Parquet, by their numbers in its Thrift definition.
mod encoding {
    pub(super) const PLAIN: i32 = 0;
    pub(super) const PLAIN_DICTIONARY: i32 = 2;
    pub(super) const RLE: i32 = 3;
    pub(super) const DELTA_BINARY_PACKED: i32 = 5;
    pub(super) const RLE_DICTIONARY: i32 = 8;
    pub(super) const BYTE_STREAM_SPLIT: i32 = 9;

    /// The name, for errors.
    pub(super) fn name(number: i32) -> &'static str {
        match number {
            PLAIN => "PLAIN",
            PLAIN_DICTIONARY => "PLAIN_DICTIONARY",
            RLE => "RLE",
            4 => "BIT_PACKED",
            DELTA_BINARY_PACKED => "DELTA_BINARY_PACKED",
            6 => "DELTA_LENGTH_BYTE_ARRAY",
            7 => "DELTA_BYTE_ARRAY",
            RLE_DICTIONARY => "RLE_DICTIONARY",
            BYTE_STREAM_SPLIT => "BYTE_STREAM_SPLIT",
            _ => "of an unknown encoding",
        }
    }
}
