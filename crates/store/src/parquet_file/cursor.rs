//! Forwards through the pages of column chunks.

use std::ops::Range;
use std::sync::Arc;

use super::PAGE_ROWS;
use super::assemble::Assembler;
use super::decode::{Dictionary, Page};
use crate::column::Column;
use crate::columns::Kind;
use crate::files::CheckedFile;
use crate::spare;

/// Pages that follow each other are read together up to so many bytes.
const WINDOW_BYTES: u64 = 256 * 1024;

/// Where a page is: its header and body.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageSpot {
    pub(super) offset: u64,
    pub(super) bytes: u32,
    /// Its first row within the row group.
    pub(super) row: u32,
}

impl PageSpot {
    fn end(&self) -> u64 {
        self.offset + u64::from(self.bytes)
    }
}

/// What decoding a chunk needs to know.
#[derive(Debug, Clone)]
pub(super) struct ChunkFacts {
    pub(super) kind: Kind,
    pub(super) optional: bool,
    pub(super) compressed: bool,
    /// The place of the dictionary's page: offset and bytes.
    pub(super) dictionary: Option<(u64, u32)>,
}

/// Some pages of a chunk, which are read once, front to back.
pub(super) struct Cursor {
    file: Arc<CheckedFile>,
    facts: ChunkFacts,
    pages: Vec<PageSpot>,
    /// The first row behind the pages.
    end: usize,
    /// The next page to read.
    next: usize,
    page: Page,
    page_rows: Range<usize>,
    dictionary: Option<Dictionary>,
    /// Bytes of the file, and where in it they begin.
    window: Vec<u8>,
    window_at: u64,
}

impl Cursor {
    pub(super) fn new(
        file: Arc<CheckedFile>,
        facts: ChunkFacts,
        pages: Vec<PageSpot>,
        end: usize,
    ) -> Self {
        let start = pages.first().map_or(0, |page| page.row as usize);
        Self {
            file,
            facts,
            pages,
            end,
            next: 0,
            page: Page::default(),
            page_rows: start..start,
            dictionary: None,
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// Rows of the row group, not before those of the call before.
    pub(super) fn take(&mut self, rows: Range<usize>) -> Result<Column, String> {
        let mut column = Assembler::new(self.facts.kind, rows.len());
        while column.rows() < rows.len() {
            let at = rows.start + column.rows();
            while at >= self.page_rows.end {
                self.read_page()?;
            }
            if at < self.page_rows.start {
                return Err("rows are read backwards".to_owned());
            }
            if self.page.needs_dictionary() && self.dictionary.is_none() {
                self.dictionary = Some(self.read_dictionary()?);
            }
            let base = self.page_rows.start;
            let part = at - base..rows.end.min(self.page_rows.end) - base;
            column.append(&self.page, self.dictionary.as_ref(), part)?;
        }
        Ok(column.finish())
    }

    fn read_page(&mut self) -> Result<(), String> {
        let spot = *self.pages.get(self.next).ok_or("a chunk has fewer rows than its row group")?;
        let end = self.pages.get(self.next + 1).map_or(self.end, |page| page.row as usize);
        let bytes = self.bytes(spot.offset, spot.bytes as usize)?;
        let rows = spot.row as usize..end;
        let bytes = &self.window[bytes];
        self.page.read(bytes, rows.len(), self.facts.compressed, self.facts.optional)?;
        self.page_rows = rows;
        self.next += 1;
        Ok(())
    }

    fn read_dictionary(&mut self) -> Result<Dictionary, String> {
        let (offset, bytes) = self.facts.dictionary.ok_or("a chunk has no dictionary")?;
        let range;
        let page = match self.within_window(offset, bytes as usize) {
            Some(within) => &self.window[within],
            None => {
                let read = self.file.range(offset, bytes as usize);
                range = read.map_err(|error| error.to_string())?;
                &range[..]
            }
        };
        Dictionary::read(page, self.facts.kind, self.facts.compressed)
    }

    /// Where in the window the bytes of a range are, if they are there.
    fn within_window(&self, offset: u64, length: usize) -> Option<Range<usize>> {
        let from = usize::try_from(offset.checked_sub(self.window_at)?).ok()?;
        let to = from.checked_add(length).filter(|&to| to <= self.window.len())?;
        Some(from..to)
    }

    /// Where in the window the bytes of the next page are, which is read with those behind it.
    fn bytes(&mut self, offset: u64, length: usize) -> Result<Range<usize>, String> {
        if let Some(within) = self.within_window(offset, length) {
            return Ok(within);
        }
        let first = &self.pages[self.next];
        let mut start = first.offset;
        // The dictionary lies in front of the first page.
        if let Some((dictionary, bytes)) = self.facts.dictionary
            && dictionary + u64::from(bytes) == start
        {
            start = dictionary;
        }
        let mut end = first.end();
        for page in &self.pages[self.next + 1..] {
            if page.offset != end || page.end() - start > WINDOW_BYTES {
                break;
            }
            end = page.end();
        }
        let length_all = (end - start) as usize;
        if self.window.capacity() == 0 {
            self.window = spare::take(length_all);
        }
        let read = self.file.read(start, length_all, &mut self.window);
        let skip = read.map_err(|error| {
            // What it holds now may be of anywhere.
            self.window.clear();
            error.to_string()
        })?;
        self.window_at = start - skip as u64;
        self.within_window(offset, length).ok_or_else(|| "a page is outside the file".to_owned())
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        spare::give(std::mem::take(&mut self.window));
        spare::give(std::mem::take(&mut self.page.body));
    }
}

/// A row group front to back: all columns, [`PAGE_ROWS`] rows at a time.
pub(crate) struct GroupPages {
    columns: Vec<Cursor>,
    row: usize,
    rows: usize,
}

impl GroupPages {
    pub(super) fn new(columns: Vec<Cursor>, rows: usize) -> Self {
        Self { columns, row: 0, rows }
    }

    /// The next rows of all columns. Codes of text are those of the chunk's dictionary, which is
    /// the same `Arc` every time, as far as pages are coded by it.
    pub(crate) fn next(&mut self) -> Option<Result<Vec<Column>, String>> {
        if self.row >= self.rows {
            return None;
        }
        let rows = self.row..(self.row + PAGE_ROWS).min(self.rows);
        self.row = rows.end;
        let columns: Result<_, _> =
            self.columns.iter_mut().map(|column| column.take(rows.clone())).collect();
        if columns.is_err() {
            self.row = self.rows;
        }
        Some(columns)
    }
}
