//! Pages to values.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use zstd::bulk::Decompressor;

use super::chunk::no_values;
use super::header::{PageHeader, PageType};
use super::plain::{self, PlainTexts};
use super::presence::{Presence, ones_before};
use super::{delta, encoding, hybrid};
use crate::bits::Bits;
use crate::column::{Column, Values};
use crate::columns::Kind;
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

/// Appends PLAIN values of fixed length.
fn extend_plain(values: &mut Values, bytes: &[u8], skip: usize, take: usize) -> Result<(), String> {
    match values {
        Values::Int32(out) => plain::extend(bytes, skip, take, out),
        Values::Int64(out) => plain::extend(bytes, skip, take, out),
        Values::Double(out) => plain::extend(bytes, skip, take, out),
        Values::Id8(out) => plain::extend(bytes, skip, take, out),
        Values::Id16(out) => plain::extend(bytes, skip, take, out),
        Values::Bool(out) => plain::extend_bools(bytes, skip, take, out),
        Values::Codes(..) => Err("text has no fixed length".to_owned()),
    }
}

/// A data page whose levels are decoded. It is used for one after the other.
#[derive(Debug, Default)]
pub(super) struct Page {
    rows: usize,
    /// Values, which are fewer than rows when some have none.
    ones: usize,
    /// Rows that have a value, unless all do.
    present: Presence,
    encoding: i32,
    body: Vec<u8>,
    /// Where values begin in the body.
    values_at: usize,
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
    fn values_of(&self, rows: &Range<usize>) -> Range<usize> {
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

/// Rows of one or several pages on their way to a column.
pub(super) struct Assembler {
    rows: usize,
    /// `None` as long as all rows have a value.
    present: Option<Presence>,
    values: Values,
    texts: Numbered,
    codes: Vec<u32>,
}

/// What the codes of a text column stand for.
enum Numbered {
    Nothing,
    Dictionary(Arc<Texts>),
    /// Texts of pages without a dictionary, and where the dictionary begins if it is among them.
    Own(Texts, Option<u32>),
}

impl Assembler {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            rows: 0,
            present: None,
            values: no_values(kind),
            texts: Numbered::Nothing,
            codes: Vec::new(),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends rows of a page.
    pub(super) fn append(
        &mut self,
        page: &Page,
        dictionary: Option<&Dictionary>,
        rows: Range<usize>,
    ) -> Result<(), String> {
        let count = rows.len();
        if page.ones < page.rows && self.present.is_none() {
            let mut present = Presence::default();
            present.push_run(true, self.rows);
            self.present = Some(present);
        }
        if let Some(present) = &mut self.present {
            if page.ones < page.rows {
                present.push_words(page.present.words(), rows.start, count);
            } else {
                present.push_run(true, count);
            }
        }
        self.rows += count;
        let values = page.values_of(&rows);
        if values.is_empty() {
            return Ok(());
        }
        let bytes = &page.body[page.values_at..];
        if !page.needs_dictionary() {
            return self.append_values(page, bytes, values);
        }
        let dictionary = dictionary.ok_or("a chunk has no dictionary")?;
        self.append_codes(bytes, values, dictionary)
    }

    fn append_values(
        &mut self,
        page: &Page,
        bytes: &[u8],
        range: Range<usize>,
    ) -> Result<(), String> {
        let (skip, take) = (range.start, range.len());
        match (page.encoding, &mut self.values) {
            (encoding::PLAIN, Values::Codes(codes, _)) => {
                let texts = self.texts.own();
                plain::extend_texts(bytes, skip, take, texts, codes)
            }
            (encoding::PLAIN, values) => extend_plain(values, bytes, skip, take),
            (encoding::DELTA_BINARY_PACKED, Values::Int32(out)) => {
                delta::decode(bytes, page.ones, skip, take, out)
            }
            (encoding::DELTA_BINARY_PACKED, Values::Int64(out)) => {
                delta::decode(bytes, page.ones, skip, take, out)
            }
            (encoding::BYTE_STREAM_SPLIT, Values::Int64(out)) => {
                plain::extend_split(bytes, page.ones, skip, take, out)
            }
            (other, _) => Err(format!("values {} are not read", encoding::name(other))),
        }
    }

    fn append_codes(
        &mut self,
        bytes: &[u8],
        range: Range<usize>,
        dictionary: &Dictionary,
    ) -> Result<(), String> {
        let (&width, bytes) = bytes.split_first().ok_or("a page ends before its codes")?;
        let width = usize::from(width);
        match (dictionary, &mut self.values) {
            (Dictionary::Texts(texts), Values::Codes(codes, _)) => {
                let base = self.texts.base(texts)?;
                let start = codes.len();
                hybrid::decode(bytes, width, range, codes)?;
                check_codes(&codes[start..], texts.len())?;
                if base > 0 {
                    codes[start..].iter_mut().for_each(|code| *code += base);
                }
                Ok(())
            }
            (Dictionary::Numbers(numbers), values) => {
                self.codes.clear();
                hybrid::decode(bytes, width, range, &mut self.codes)?;
                check_codes(&self.codes, numbers.len())?;
                look_up(values, numbers, &self.codes)
            }
            _ => Err("a dictionary is of another kind".to_owned()),
        }
    }

    pub(super) fn finish(self) -> Column {
        let values = match self.values {
            Values::Codes(codes, _) => Values::Codes(
                codes,
                match self.texts {
                    Numbered::Nothing => Arc::default(),
                    Numbered::Dictionary(texts) => texts,
                    Numbered::Own(texts, _) => Arc::new(texts),
                },
            ),
            values => values,
        };
        match self.present {
            Some(present) => {
                let rows = present.len();
                Column::sparse(Bits::new(present.into_words(), rows), values)
            }
            None => Column::full(values),
        }
    }
}

impl Numbered {
    /// Texts to which those of a page can be added.
    fn own(&mut self) -> &mut Texts {
        match self {
            Self::Nothing => *self = Self::Own(Texts::default(), None),
            Self::Dictionary(texts) => *self = Self::Own(Texts::clone(texts), Some(0)),
            Self::Own(..) => {}
        }
        match self {
            Self::Own(texts, _) => texts,
            // Made so above.
            _ => unreachable!(),
        }
    }

    /// The number of the dictionary's first text.
    fn base(&mut self, dictionary: &Arc<Texts>) -> Result<u32, String> {
        match self {
            Self::Nothing => *self = Self::Dictionary(dictionary.clone()),
            Self::Dictionary(_) | Self::Own(_, Some(_)) => {}
            Self::Own(texts, base) => {
                plain::check_room(texts, dictionary.byte_len())?;
                *base = Some(texts.len() as u32);
                dictionary.iter().for_each(|text| texts.push(text));
            }
        }
        Ok(if let Self::Own(_, Some(base)) = self { *base } else { 0 })
    }
}

fn check_codes(codes: &[u32], entries: usize) -> Result<(), String> {
    let largest = codes.iter().fold(0, |largest, &code| largest.max(code));
    if largest as usize >= entries && !codes.is_empty() {
        return Err(format!("code {largest} in a dictionary of {entries}"));
    }
    Ok(())
}

/// Appends the numbers that codes stand for. The codes are checked.
fn look_up(values: &mut Values, numbers: &Values, codes: &[u32]) -> Result<(), String> {
    fn gather<T: Copy>(out: &mut Vec<T>, numbers: &[T], codes: &[u32]) {
        out.extend(codes.iter().map(|&code| numbers[code as usize]));
    }
    match (values, numbers) {
        (Values::Int32(out), Values::Int32(numbers)) => gather(out, numbers, codes),
        (Values::Int64(out), Values::Int64(numbers)) => gather(out, numbers, codes),
        (Values::Double(out), Values::Double(numbers)) => gather(out, numbers, codes),
        (Values::Bool(out), Values::Bool(numbers)) => gather(out, numbers, codes),
        (Values::Id8(out), Values::Id8(numbers)) => gather(out, numbers, codes),
        (Values::Id16(out), Values::Id16(numbers)) => gather(out, numbers, codes),
        _ => return Err("a dictionary is of another kind".to_owned()),
    }
    Ok(())
}
