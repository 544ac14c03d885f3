//! One column of a row group in the making: pages that are complete, and the rows of the next.

use parquet::basic::Compression;
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::schema::types::ColumnDescPtr;

use super::coder::{Coder, no_values_encoding};
use super::footer::Totals;
use super::header::PageType;
use super::page::Tools;
use super::presence::Presence;
use super::values::{clear, extend, no_values};
use super::writer::Error;
use super::{ColumnPlan, PAGE_ROWS, encoding};
use crate::column::{Column, Values};
use crate::columns::Kind;
use crate::texts::Texts;

/// Bloom filters answer wrongly for one in twenty.
const BLOOM_FALSE_POSITIVES: f64 = 0.05;

/// Text of a page beyond which it is written as several.
const TEXT_BYTES_MAX: usize = 32 * 1024 * 1024;

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
    totals: Totals,
    coder: Coder,
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
        let coder = Coder::new(plan.kind, plan.coding);
        Self {
            plan,
            rows: 0,
            present: Presence::default(),
            values,
            nulls: 0,
            rows_waiting: 0,
            bytes: Vec::new(),
            totals: Totals::default(),
            coder,
            front: Vec::new(),
        }
    }

    /// Begins another row group.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.totals.clear();
        self.coder.clear();
        self.front.clear();
    }

    pub(super) fn rows(&self) -> usize {
        self.totals.rows() + self.rows_waiting + self.rows + self.nulls
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
        if self.totals.rows() == 0 && self.values.len() == 0 {
            self.present.clear();
            self.rows_waiting += rows;
            return Ok(());
        }
        // Numbers are coded first, because that can close the dictionary.
        let coded = self.values.len() > 0
            && self.coder.number(&self.values, self.totals.rows() == 0, texts, &mut tools.codes);
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
        let encoding = self.coder.encode(&self.values, coded, texts, &tools.codes, &mut tools.body);
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
        self.totals.uncompressed_bytes +=
            tools.append_page(PageType::Data, rows, encoding, compressed, &mut self.bytes)?;
        self.totals.add(self.bytes.len() - start, rows, encoding);
        Ok(())
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
        let compressed = self.plan.compressed;
        if self.totals.has(encoding::RLE_DICTIONARY) {
            tools.body.clear();
            let entries = self.coder.append_dictionary(texts, &mut tools.body);
            let (page, front) = (PageType::Dictionary, &mut self.front);
            self.totals.uncompressed_bytes +=
                tools.append_page(page, entries, encoding::PLAIN, compressed, front)?;
        }
        let is_text = matches!(self.plan.kind, Kind::Text | Kind::Bytes);
        let is_searched = self.plan.bloom && is_text && self.totals.has(encoding::PLAIN);
        let bloom_filter = if is_searched && texts.len() > 0 {
            let mut filter = Sbbf::new_with_ndv_fpp(texts.len() as u64, BLOOM_FALSE_POSITIVES)?;
            texts.iter().for_each(|text| filter.insert(text));
            Some(filter)
        } else {
            None
        };
        let compression =
            if compressed { Compression::ZSTD(tools.level) } else { Compression::UNCOMPRESSED };
        let result = self.totals.close(descriptor, self.front.len(), compression, bloom_filter)?;
        Ok(Closed { front: &self.front, pages: &self.bytes, result })
    }
}
