//! Rows of pages to columns.

use std::ops::Range;
use std::sync::Arc;

use super::decode::{Dictionary, Page};
use super::presence::Presence;
use super::values::{extend_plain, look_up, no_values, reserve};
use super::{delta, encoding, hybrid, plain};
use crate::bits::Bits;
use crate::column::{Column, Values};
use crate::columns::Kind;
use crate::texts::Texts;

/// Rows of one or several pages on their way to a column.
pub(super) struct Assembler {
    rows: usize,
    /// How many it will have.
    wanted: usize,
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
    /// For so many rows.
    pub(super) fn new(kind: Kind, wanted: usize) -> Self {
        Self {
            rows: 0,
            wanted,
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
        let values = page.values_of(&rows);
        // Where all rows of a page have a value, those of the others mostly have one, too.
        if self.rows == 0 && values.len() == count {
            // Codes are unpacked eight by eight.
            reserve(&mut self.values, self.wanted + 8);
        }
        self.rows += count;
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
