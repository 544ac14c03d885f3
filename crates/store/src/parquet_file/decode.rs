//! Pages to values.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use zstd::bulk::Decompressor;

use super::encoding;
use super::header::{PageHeader, PageType};
use super::plain::{self, PlainTexts};
use super::presence::{Presence, ones_before};
use super::values::{extend_plain, no_values};
use crate::column::Values;
use crate::columns::Kind;
use crate::spare;
use crate::texts::Texts;

thread_local! {
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The header of a page and its body, decompressed.
fn open_page(
    bytes: &[u8],
    compressed: bool,
    wanted: PageType,
    body: &mut Vec<u8>,
) -> Result<PageHeader, String> {
    let (header, length) = PageHeader::read(bytes)?;
    if header.page != wanted {
        return Err(format!("a page is not of type {wanted:?}"));
    }
    let content = bytes[length..].get(..header.compressed_bytes);
    let content = content.ok_or("a page is longer than its place")?;
    body.clear();
    if compressed {
        if body.capacity() == 0 {
            *body = spare::take(header.uncompressed_bytes);
        }
        body.reserve(header.uncompressed_bytes);
        DECOMPRESSOR
            .with_borrow_mut(|decompressor| -> std::io::Result<()> {
                let decompressor = match decompressor {
                    Some(decompressor) => decompressor,
                    None => decompressor.insert(Decompressor::new()?),
                };
                // No more than the capacity is written.
                decompressor.decompress_to_buffer(content, body).map(|_| ())
            })
            .map_err(|error| format!("a page cannot be decompressed: {error}"))?;
    } else {
        body.extend_from_slice(content);
    }
    if body.len() != header.uncompressed_bytes {
        return Err("a page has not its length".to_owned());
    }
    Ok(header)
}

/// The distinct values of a chunk.
#[derive(Debug, Clone)]
pub(super) enum Dictionary {
    Texts(Arc<Texts>),
    Numbers(Values),
}

impl Dictionary {
    pub(super) fn read(bytes: &[u8], kind: Kind, compressed: bool) -> Result<Self, String> {
        let mut body = Vec::new();
        let values = open_dictionary(bytes, compressed, &mut body)?;
        let mut dictionary = no_values(kind);
        if let Values::Codes(..) = dictionary {
            let mut texts = Texts::default();
            plain::check_room(&texts, body.len())?;
            let mut page = PlainTexts(&body);
            for _ in 0..values {
                texts.push(page.next()?);
            }
            return Ok(Self::Texts(Arc::new(texts)));
        }
        extend_plain(&mut dictionary, &body, 0, values)?;
        Ok(Self::Numbers(dictionary))
    }

    /// Whether a text is in a dictionary's page.
    pub(super) fn page_contains(
        bytes: &[u8],
        compressed: bool,
        text: &[u8],
    ) -> Result<bool, String> {
        let mut body = Vec::new();
        let values = open_dictionary(bytes, compressed, &mut body)?;
        let mut page = PlainTexts(&body);
        for _ in 0..values {
            if page.next()? == text {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// How many values a dictionary has.
fn open_dictionary(bytes: &[u8], compressed: bool, body: &mut Vec<u8>) -> Result<usize, String> {
    let header = open_page(bytes, compressed, PageType::Dictionary, body)?;
    if ![encoding::PLAIN, encoding::PLAIN_DICTIONARY].contains(&header.encoding) {
        return Err(format!("a dictionary is {}", encoding::name(header.encoding)));
    }
    if header.values > super::PAGE_BYTES_MAX {
        return Err("a dictionary is too large".to_owned());
    }
    Ok(header.values)
}

/// A data page whose levels are decoded. It is used for one after the other.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) rows: usize,
    /// Values, which are fewer than rows when some have none.
    pub(super) ones: usize,
    /// Rows that have a value, unless all do.
    pub(super) present: Presence,
    pub(super) encoding: i32,
    pub(super) body: Vec<u8>,
    /// Where values begin in the body.
    pub(super) values_at: usize,
}

impl Page {
    /// Reads a page that must have so many rows.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        rows: usize,
        compressed: bool,
        optional: bool,
    ) -> Result<(), String> {
        let header = open_page(bytes, compressed, PageType::Data, &mut self.body)?;
        if header.values != rows {
            return Err(format!("a page has {} rows where {rows} were written", header.values));
        }
        (self.rows, self.ones, self.values_at) = (rows, rows, 0);
        self.encoding = header.encoding;
        self.present.clear();
        if !optional {
            return Ok(());
        }
        let (length, rest) =
            self.body.split_first_chunk::<4>().ok_or("a page ends before its levels")?;
        let length = u32::from_le_bytes(*length) as usize;
        let levels = rest.get(..length).ok_or("a page ends before its levels")?;
        if self.present.decode(levels, rows)? {
            self.present.clear();
        } else {
            self.ones = ones_before(self.present.words(), rows);
        }
        self.values_at = 4 + length;
        Ok(())
    }

    pub(super) fn needs_dictionary(&self) -> bool {
        let coded = [encoding::RLE_DICTIONARY, encoding::PLAIN_DICTIONARY].contains(&self.encoding);
        coded && self.ones > 0
    }

    /// The places of the values of some rows.
    pub(super) fn values_of(&self, rows: &Range<usize>) -> Range<usize> {
        if self.ones == self.rows {
            return rows.clone();
        }
        let start = ones_before(self.present.words(), rows.start);
        let end = match rows.end == self.rows {
            true => self.ones,
            false => ones_before(self.present.words(), rows.end),
        };
        start..end
    }
}
