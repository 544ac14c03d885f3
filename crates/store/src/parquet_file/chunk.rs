//! One column of a row group in the making: pages that are complete, and the rows of the next.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, PageType as ParquetPageType, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::bitpack::width_of;
use super::header::{PageHeader, PageType};
use super::numbering::Numbering;
use super::plain::{self, Fixed};
use super::presence::Presence;
use super::writer::Error;
use super::{Coding, ColumnPlan, DICTIONARY_BYTES_MAX, PAGE_ROWS, delta, encoding, hybrid};
use crate::column::{Column, Values};
use crate::columns::Kind;
use crate::texts::Texts;

/// Bloom filters answer wrongly for one in twenty.
const BLOOM_FALSE_POSITIVES: f64 = 0.05;

/// A first page with so many values tells whether a dictionary pays.
const TELLING_VALUES: usize = PAGE_ROWS / 4;

/// Text of a page beyond which it is written as several.
const TEXT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Shorter bodies are stored in a zstd frame as they are.
const COMPRESSED_BYTES_MIN: usize = 64;

/// What all chunks of a file use in turn.
pub(super) struct Tools {
    level: ZstdLevel,
    compressor: Compressor<'static>,
    /// A page before and after its compression.
    body: Vec<u8>,
    frame: Vec<u8>,
    codes: Vec<u32>,
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
    fn append_page(
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

pub(super) struct ChunkWriter {
    plan: ColumnPlan,
    /// Of the page in the making.
    rows: usize,
    present: Presence,
    values: Values,
    /// Rows without a value behind those, which are looked at when there is more.
    nulls: usize,
    /// Rows of pages without values that wait for the first page with one to tell the encoding.
    rows_waiting: usize,
    /// Complete data pages.
    bytes: Vec<u8>,
    /// Of each: its bytes with the header, and its rows.
    pages: Vec<(usize, usize)>,
    /// Data pages by encoding.
    counts: [i32; 10],
    uncompressed_bytes: usize,
    numbering: Numbering,
    /// Pages are still coded by the dictionary.
    dictionary_open: bool,
    /// Of text: how many are in the dictionary, and their PLAIN bytes.
    texts: usize,
    texts_bytes: usize,
    /// The dictionary's page, when the chunk is complete.
    front: Vec<u8>,
}

/// A chunk's bytes in two parts, and what the footer says of it.
pub(super) struct Closed<'a> {
    pub(super) front: &'a [u8],
    pub(super) pages: &'a [u8],
    pub(super) result: ColumnCloseResult,
}

impl ChunkWriter {
    pub(super) fn new(plan: ColumnPlan) -> Self {
        let values = no_values(plan.kind);
        let mut chunk = Self {
            plan,
            rows: 0,
            present: Presence::default(),
            values,
            nulls: 0,
            rows_waiting: 0,
            bytes: Vec::new(),
            pages: Vec::new(),
            counts: [0; 10],
            uncompressed_bytes: 0,
            numbering: Numbering::default(),
            dictionary_open: false,
            texts: 0,
            texts_bytes: 0,
            front: Vec::new(),
        };
        chunk.clear();
        chunk
    }

    /// Begins another row group.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.pages.clear();
        self.counts = [0; 10];
        self.uncompressed_bytes = 0;
        self.numbering.clear();
        let numbers = matches!(self.plan.kind, Kind::Bool | Kind::Id8 | Kind::Id16);
        self.dictionary_open = self.plan.coding == Coding::Dictionary && !numbers;
        self.texts = 0;
        self.texts_bytes = 0;
        self.front.clear();
    }

    pub(super) fn rows(&self) -> usize {
        self.rows_waiting
            + self.rows
            + self.nulls
            + self.pages.iter().map(|(_, rows)| rows).sum::<usize>()
    }

    fn wrong(&self, what: &str) -> Error {
        format!("column {}: {what}", self.plan.name).into()
    }

    pub(super) fn push(
        &mut self,
        column: &Column,
        texts: &Texts,
        tools: &mut Tools,
    ) -> Result<(), Error> {
        if column.present().is_some() && !self.plan.optional {
            return Err(self.wrong("a row lacks its value"));
        }
        self.take_nulls(texts, tools)?;
        let (mut row, mut value) = (0, 0);
        while row < column.len() {
            let rows = (PAGE_ROWS - self.rows).min(column.len() - row);
            let values = match column.present() {
                None => {
                    if self.plan.optional {
                        self.present.push_run(true, rows);
                    }
                    rows
                }
                Some(bits) => {
                    self.present.push_words(bits.words(), row, rows);
                    bits.rank(row + rows) - value
                }
            };
            if !extend(&mut self.values, column.values(), value..value + values) {
                return Err(self.wrong("its values are of another kind"));
            }
            (row, value) = (row + rows, value + values);
            self.rows += rows;
            self.end_full_page(texts, tools)?;
        }
        Ok(())
    }

    pub(super) fn push_nulls(&mut self, rows: usize) {
        self.nulls += rows;
    }

    fn take_nulls(&mut self, texts: &Texts, tools: &mut Tools) -> Result<(), Error> {
        let mut rows = std::mem::take(&mut self.nulls);
        if rows > 0 && !self.plan.optional {
            return Err(self.wrong("a row lacks its value"));
        }
        while rows > 0 {
            let now = (PAGE_ROWS - self.rows).min(rows);
            self.present.push_run(false, now);
            self.rows += now;
            rows -= now;
            self.end_full_page(texts, tools)?;
        }
        Ok(())
    }

    fn end_full_page(&mut self, texts: &Texts, tools: &mut Tools) -> Result<(), Error> {
        if self.rows == PAGE_ROWS { self.end_page(texts, tools) } else { Ok(()) }
    }

    fn end_page(&mut self, texts: &Texts, tools: &mut Tools) -> Result<(), Error> {
        let rows = std::mem::take(&mut self.rows);
        if self.pages.is_empty() && self.values.len() == 0 {
            self.present.clear();
            self.rows_waiting += rows;
            return Ok(());
        }
        // Numbers are coded first, because that can close the dictionary.
        let coded = self.values.len() > 0 && self.number_values(texts, tools);
        self.append_waiting(coded, tools)?;
        if let (Values::Codes(codes, _), false) = (&self.values, coded) {
            let bytes: usize = codes.iter().map(|&code| texts.get(code).len()).sum();
            if bytes > TEXT_BYTES_MAX {
                return self.end_large_page(rows, texts, tools);
            }
        }
        self.write_page(rows, coded, texts, tools)
    }

    fn write_page(
        &mut self,
        rows: usize,
        coded: bool,
        texts: &Texts,
        tools: &mut Tools,
    ) -> Result<(), Error> {
        tools.body.clear();
        if self.plan.optional {
            self.present.encode(&mut tools.body);
        }
        let encoding = self.encode_values(coded, texts, tools);
        self.append(rows, encoding, tools)?;
        self.present.clear();
        clear(&mut self.values);
        Ok(())
    }

    /// Several pages instead of one that a reader would refuse for its size.
    fn end_large_page(
        &mut self,
        rows: usize,
        texts: &Texts,
        tools: &mut Tools,
    ) -> Result<(), Error> {
        let present = std::mem::take(&mut self.present);
        let Values::Codes(codes, _) =
            std::mem::replace(&mut self.values, no_values(self.plan.kind))
        else {
            return Ok(());
        };
        let mut codes = codes.into_iter();
        let (mut pending, mut bytes) = (0, 0);
        for row in 0..rows {
            let is_present =
                !self.plan.optional || present.words()[row / 64] >> (row % 64) & 1 == 1;
            let code = if is_present { codes.next() } else { None };
            let more = code.map_or(0, |code| texts.get(code).len());
            if pending > 0 && bytes + more > TEXT_BYTES_MAX {
                self.write_page(pending, false, texts, tools)?;
                (pending, bytes) = (0, 0);
            }
            if let (Values::Codes(values, _), Some(code)) = (&mut self.values, code) {
                values.push(code);
            }
            if self.plan.optional {
                self.present.push_run(is_present, 1);
            }
            (pending, bytes) = (pending + 1, bytes + more);
        }
        self.write_page(pending, false, texts, tools)
    }

    /// Pages of rows without values, which come before all others.
    fn append_waiting(&mut self, coded: bool, tools: &mut Tools) -> Result<(), Error> {
        let mut waiting = std::mem::take(&mut self.rows_waiting);
        while waiting > 0 {
            let rows = waiting.min(PAGE_ROWS);
            waiting -= rows;
            let mut present = Presence::default();
            present.push_run(false, rows);
            tools.body.clear();
            present.encode(&mut tools.body);
            let encoding = no_values_encoding(coded, &mut tools.body);
            self.append(rows, encoding, tools)?;
        }
        Ok(())
    }

    fn append(&mut self, rows: usize, encoding: i32, tools: &mut Tools) -> Result<(), Error> {
        let start = self.bytes.len();
        let compressed = self.plan.compressed;
        self.uncompressed_bytes +=
            tools.append_page(PageType::Data, rows, encoding, compressed, &mut self.bytes)?;
        self.pages.push((self.bytes.len() - start, rows));
        self.counts[encoding as usize] += 1;
        Ok(())
    }

    /// Adds the page's values to the dictionary and leaves their codes in `tools`; false when
    /// there is no dictionary or it would grow too large.
    fn number_values(&mut self, texts: &Texts, tools: &mut Tools) -> bool {
        if !self.dictionary_open {
            return false;
        }
        let telling = self.pages.is_empty() && self.values.len() >= TELLING_VALUES;
        let before = self.numbering.keys().len();
        let bytes = match &self.values {
            Values::Codes(codes, _) => {
                let end = codes.iter().max().map_or(0, |&code| code as usize + 1).max(self.texts);
                let new = self.texts..end;
                // Counting stops where the answer is known.
                let mut bytes = self.texts_bytes;
                for code in new {
                    bytes += texts.get(code as u32).len() + 4;
                    if bytes > DICTIONARY_BYTES_MAX {
                        break;
                    }
                }
                if bytes <= DICTIONARY_BYTES_MAX {
                    (self.texts, self.texts_bytes) = (end, bytes);
                }
                bytes
            }
            Values::Int32(values) => {
                number(
                    &mut self.numbering,
                    values,
                    |value| u64::from(value as u32),
                    &mut tools.codes,
                );
                self.numbering.keys().len() * 4
            }
            Values::Int64(values) => {
                number(&mut self.numbering, values, |value| value as u64, &mut tools.codes);
                self.numbering.keys().len() * 8
            }
            Values::Double(values) => {
                number(&mut self.numbering, values, f64::to_bits, &mut tools.codes);
                self.numbering.keys().len() * 8
            }
            Values::Bool(_) | Values::Id8(_) | Values::Id16(_) => usize::MAX,
        };
        let distinct = telling && self.numbering.keys().len() * 4 > self.values.len() * 3;
        if bytes > DICTIONARY_BYTES_MAX || distinct {
            self.numbering.truncate(before);
            self.dictionary_open = false;
        }
        self.dictionary_open
    }

    /// Appends the page's values to the body and says how they are encoded.
    fn encode_values(&self, coded: bool, texts: &Texts, tools: &mut Tools) -> i32 {
        if self.values.len() == 0 {
            return no_values_encoding(self.dictionary_open, &mut tools.body);
        }
        let body = &mut tools.body;
        if coded {
            let (codes, largest) = match &self.values {
                Values::Codes(codes, _) => (codes, self.texts - 1),
                _ => (&tools.codes, self.numbering.keys().len() - 1),
            };
            let width = width_of(largest as u32).max(1);
            body.push(width as u8);
            hybrid::encode(codes, width, body);
            return encoding::RLE_DICTIONARY;
        }
        match (&self.values, self.plan.coding) {
            (Values::Int32(values), Coding::Delta) => {
                delta::encode(values, body);
                return encoding::DELTA_BINARY_PACKED;
            }
            (Values::Int64(values), Coding::Delta) => {
                delta::encode(values, body);
                return encoding::DELTA_BINARY_PACKED;
            }
            (Values::Int64(values), Coding::ByteStreamSplit) => {
                plain::append_split(values, body);
                return encoding::BYTE_STREAM_SPLIT;
            }
            (Values::Codes(codes, _), _) => {
                codes.iter().for_each(|&code| plain::append_text(texts.get(code), body));
            }
            (Values::Int32(values), _) => Fixed::append(values, body),
            (Values::Int64(values), _) => Fixed::append(values, body),
            (Values::Double(values), _) => Fixed::append(values, body),
            (Values::Bool(values), _) => plain::append_bools(values, body),
            (Values::Id8(values), _) => Fixed::append(values, body),
            (Values::Id16(values), _) => Fixed::append(values, body),
        }
        encoding::PLAIN
    }

    /// Ends the last page and writes the dictionary's.
    pub(super) fn close(
        &mut self,
        descriptor: ColumnDescPtr,
        texts: &Texts,
        tools: &mut Tools,
    ) -> Result<Closed<'_>, Error> {
        self.take_nulls(texts, tools)?;
        if self.rows > 0 {
            self.end_page(texts, tools)?;
        }
        self.append_waiting(false, tools)?;
        let entries = self.texts.max(self.numbering.keys().len());
        let coded = self.counts[encoding::RLE_DICTIONARY as usize] > 0;
        if coded {
            tools.body.clear();
            let keys = self.numbering.keys().iter();
            match self.plan.kind {
                Kind::Text | Kind::Bytes => texts
                    .iter()
                    .take(self.texts)
                    .for_each(|text| plain::append_text(text, &mut tools.body)),
                Kind::Int32 | Kind::Count => {
                    keys.for_each(|&key| tools.body.extend_from_slice(&(key as u32).to_le_bytes()));
                }
                _ => keys.for_each(|key| tools.body.extend_from_slice(&key.to_le_bytes())),
            }
            let compressed = self.plan.compressed;
            self.uncompressed_bytes += tools.append_page(
                PageType::Dictionary,
                entries,
                encoding::PLAIN,
                compressed,
                &mut self.front,
            )?;
        }
        let is_text = matches!(self.plan.kind, Kind::Text | Kind::Bytes);
        let plain_pages = self.counts[encoding::PLAIN as usize] > 0;
        let bloom_filter = if self.plan.bloom && is_text && plain_pages && texts.len() > 0 {
            let mut filter = Sbbf::new_with_ndv_fpp(texts.len() as u64, BLOOM_FALSE_POSITIVES)?;
            texts.iter().for_each(|text| filter.insert(text));
            Some(filter)
        } else {
            None
        };
        let result = self.facts(descriptor, coded, bloom_filter, tools.level)?;
        Ok(Closed { front: &self.front, pages: &self.bytes, result })
    }

    /// What the footer says; offsets are from the start of the chunk.
    fn facts(
        &self,
        descriptor: ColumnDescPtr,
        coded: bool,
        bloom_filter: Option<Sbbf>,
        level: ZstdLevel,
    ) -> Result<ColumnCloseResult, Error> {
        let mut encodings = vec![Encoding::RLE];
        let mut stats = Vec::new();
        if coded {
            encodings.push(Encoding::PLAIN);
            let page_type = ParquetPageType::DICTIONARY_PAGE;
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
                let page_type = ParquetPageType::DATA_PAGE;
                stats.push(PageEncodingStats { page_type, encoding, count });
            }
        }
        let mut index = OffsetIndexBuilder::new();
        let mut offset = self.front.len();
        for &(bytes, rows) in &self.pages {
            index.append_row_count(rows as i64);
            index.append_offset_and_size(offset as i64, i32::try_from(bytes)?);
            offset += bytes;
        }
        let compression =
            if self.plan.compressed { Compression::ZSTD(level) } else { Compression::UNCOMPRESSED };
        let rows = self.rows();
        let metadata = ColumnChunkMetaData::builder(descriptor)
            .set_compression(compression)
            .set_encodings(encodings)
            .set_page_encoding_stats(stats)
            .set_num_values(rows as i64)
            .set_total_compressed_size(offset as i64)
            .set_total_uncompressed_size(self.uncompressed_bytes as i64)
            .set_dictionary_page_offset(coded.then_some(0))
            .set_data_page_offset(self.front.len() as i64)
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

/// A page's values when there are none: with a dictionary, codes of a bit that nothing follows.
fn no_values_encoding(coded: bool, body: &mut Vec<u8>) -> i32 {
    if !coded {
        return encoding::PLAIN;
    }
    body.push(1);
    encoding::RLE_DICTIONARY
}

fn number<T: Copy>(
    numbering: &mut Numbering,
    values: &[T],
    key: impl Fn(T) -> u64,
    codes: &mut Vec<u32>,
) {
    codes.clear();
    let Some(&first) = values.first() else { return };
    let mut last = (key(first), numbering.code(key(first)));
    codes.extend(values.iter().map(|&value| {
        let key = key(value);
        if key != last.0 {
            last = (key, numbering.code(key));
        }
        last.1
    }));
}

pub(super) fn no_values(kind: Kind) -> Values {
    match kind {
        Kind::Text | Kind::Bytes => Values::Codes(Vec::new(), Arc::default()),
        Kind::Int32 | Kind::Count => Values::Int32(Vec::new()),
        Kind::Int64 => Values::Int64(Vec::new()),
        Kind::Double => Values::Double(Vec::new()),
        Kind::Bool => Values::Bool(Vec::new()),
        Kind::Id8 => Values::Id8(Vec::new()),
        Kind::Id16 => Values::Id16(Vec::new()),
    }
}

fn clear(values: &mut Values) {
    match values {
        Values::Codes(values, _) => values.clear(),
        Values::Int32(values) => values.clear(),
        Values::Int64(values) => values.clear(),
        Values::Double(values) => values.clear(),
        Values::Bool(values) => values.clear(),
        Values::Id8(values) => values.clear(),
        Values::Id16(values) => values.clear(),
    }
}

/// Appends some of other values; false when they are of another kind.
fn extend(values: &mut Values, other: &Values, range: std::ops::Range<usize>) -> bool {
    match (values, other) {
        (Values::Codes(values, _), Values::Codes(other, _)) => {
            values.extend_from_slice(&other[range])
        }
        (Values::Int32(values), Values::Int32(other)) => values.extend_from_slice(&other[range]),
        (Values::Int64(values), Values::Int64(other)) => values.extend_from_slice(&other[range]),
        (Values::Double(values), Values::Double(other)) => values.extend_from_slice(&other[range]),
        (Values::Bool(values), Values::Bool(other)) => values.extend_from_slice(&other[range]),
        (Values::Id8(values), Values::Id8(other)) => values.extend_from_slice(&other[range]),
        (Values::Id16(values), Values::Id16(other)) => values.extend_from_slice(&other[range]),
        _ => return false,
    }
    true
}
