//! Values of a page to bytes, and the dictionary of a chunk.

use super::bitpack::width_of;
use super::numbering::Numbering;
use super::plain::{self, Fixed};
use super::{Coding, DICTIONARY_BYTES_MAX, PAGE_ROWS, delta, encoding, hybrid};
use crate::column::Values;
use crate::columns::Kind;
use crate::texts::Texts;

/// A first page with so many values tells whether a dictionary pays.
const TELLING_VALUES: usize = PAGE_ROWS / 4;

/// How the values of one column become bytes, page by page.
pub(super) struct Coder {
    kind: Kind,
    coding: Coding,
    numbering: Numbering,
    /// Pages are still coded by the dictionary.
    open: bool,
    /// Of text: how many are in the dictionary, and their PLAIN bytes.
    texts: usize,
    texts_bytes: usize,
}

impl Coder {
    pub(super) fn new(kind: Kind, coding: Coding) -> Self {
        let numbering = Numbering::default();
        let mut coder = Self { kind, coding, numbering, open: false, texts: 0, texts_bytes: 0 };
        coder.clear();
        coder
    }

    /// Begins another row group.
    pub(super) fn clear(&mut self) {
        self.numbering.clear();
        let has_codes = !matches!(self.kind, Kind::Bool | Kind::Id8 | Kind::Id16);
        self.open = self.coding == Coding::Dictionary && has_codes;
        self.texts = 0;
        self.texts_bytes = 0;
    }

    /// Adds a page's values to the dictionary, and leaves the codes of numbers in `codes`; false
    /// when there is no dictionary or it would grow too large.
    pub(super) fn number(
        &mut self,
        values: &Values,
        is_first: bool,
        texts: &Texts,
        numbers: &mut Vec<u32>,
    ) -> bool {
        if !self.open {
            return false;
        }
        let telling = is_first && values.len() >= TELLING_VALUES;
        let before = self.numbering.keys().len();
        let bytes = match values {
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
                number(&mut self.numbering, values, |value| u64::from(value as u32), numbers);
                self.numbering.keys().len() * 4
            }
            Values::Int64(values) => {
                number(&mut self.numbering, values, |value| value as u64, numbers);
                self.numbering.keys().len() * 8
            }
            Values::Double(values) => {
                number(&mut self.numbering, values, f64::to_bits, numbers);
                self.numbering.keys().len() * 8
            }
            Values::Bool(_) | Values::Id8(_) | Values::Id16(_) => usize::MAX,
        };
        let distinct = telling && self.numbering.keys().len() * 4 > values.len() * 3;
        if bytes > DICTIONARY_BYTES_MAX || distinct {
            self.numbering.truncate(before);
            self.open = false;
        }
        self.open
    }

    /// Appends a page's values to the body and says how they are encoded.
    pub(super) fn encode(
        &self,
        values: &Values,
        coded: bool,
        texts: &Texts,
        numbers: &[u32],
        body: &mut Vec<u8>,
    ) -> i32 {
        if values.len() == 0 {
            return no_values_encoding(self.open, body);
        }
        if coded {
            let (codes, largest) = match values {
                Values::Codes(codes, _) => (&codes[..], self.texts - 1),
                _ => (numbers, self.numbering.keys().len() - 1),
            };
            let width = width_of(largest as u32).max(1);
            body.push(width as u8);
            hybrid::encode(codes, width, body);
            return encoding::RLE_DICTIONARY;
        }
        match (values, self.coding) {
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

    /// Appends the dictionary, PLAIN, and says how many values it has.
    pub(super) fn append_dictionary(&self, texts: &Texts, body: &mut Vec<u8>) -> usize {
        let keys = self.numbering.keys();
        match self.kind {
            Kind::Text | Kind::Bytes => {
                texts.iter().take(self.texts).for_each(|text| plain::append_text(text, body));
                return self.texts;
            }
            Kind::Int32 | Kind::Count => {
                keys.iter().for_each(|&key| body.extend_from_slice(&(key as u32).to_le_bytes()));
            }
            _ => keys.iter().for_each(|key| body.extend_from_slice(&key.to_le_bytes())),
        }
        keys.len()
    }
}

/// A page's values when there are none: with a dictionary, codes of a bit that nothing follows.
pub(super) fn no_values_encoding(coded: bool, body: &mut Vec<u8>) -> i32 {
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
