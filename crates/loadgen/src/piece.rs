//! Pre-encoded protobuf with holes: what is the same for every span of an operation is encoded
//! once; what differs has a fixed width and is stamped over the copy.

use model::encode_key_value;
use model::wire::{put_bytes_field, put_fixed64_field, put_message, put_varint, put_varint_field};

use crate::rng::{mix, scaled};

/// What goes into a hole.
#[derive(Debug, Clone, Copy)]
enum Fill {
    /// Decimal digits.
    Digits { count: u8, of_trace: bool },
    /// Hexadecimal digits.
    Hex { count: u8, of_trace: bool },
    /// A varint whose width does not depend on the value.
    Varint { width: u8, min: u32, count: u32 },
    /// A double with two decimals.
    Hundredths { count: u32 },
    /// A time inside the span.
    Moment,
}

#[derive(Debug, Clone, Copy)]
struct Hole {
    at: u16,
    fill: Fill,
}

/// A piece in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) bytes: Vec<u8>,
    holes: Vec<Hole>,
    /// Field number of the attributes.
    attribute_field: u32,
}

impl Draft {
    /// Attributes go into field 9 of `Span`.
    pub(crate) fn of_span() -> Self {
        Self { attribute_field: 9, ..Self::default() }
    }

    /// An event of a span: field 11, with a time inside the span.
    pub(crate) fn event(name: &str, attributes: impl FnOnce(&mut Draft) -> &mut Draft) -> Self {
        let mut event = Self { attribute_field: 3, ..Self::default() };
        put_fixed64_field(&mut event.bytes, 1, 0);
        event.holes.push(Hole { at: 1, fill: Fill::Moment });
        put_bytes_field(&mut event.bytes, 2, name.as_bytes());
        attributes(&mut event);
        let mut whole = Self::of_span();
        put_bytes_field(&mut whole.bytes, 11, &event.bytes);
        let shift = (whole.bytes.len() - event.bytes.len()) as u16;
        whole.holes =
            event.holes.iter().map(|hole| Hole { at: hole.at + shift, ..*hole }).collect();
        whole
    }

    /// A text. Runs of these characters are holes: `#` digits and `~` hexadecimal digits of the
    /// span; `@` and `^` the same for all spans of a trace.
    pub(crate) fn text(&mut self, key: &str, pattern: &str) -> &mut Self {
        encode_key_value(&mut self.bytes, self.attribute_field, key.as_bytes(), |out| {
            put_bytes_field(out, 1, pattern.as_bytes());
        });
        let start = self.bytes.len() - pattern.len();
        let pattern = pattern.as_bytes();
        let mut at = 0;
        while at < pattern.len() {
            let kind = pattern[at];
            let run = pattern[at..].iter().take_while(|&&byte| byte == kind).count();
            let count = run as u8;
            let fill = match kind {
                b'#' | b'@' => Some(Fill::Digits { count, of_trace: kind == b'@' }),
                b'~' | b'^' => Some(Fill::Hex { count, of_trace: kind == b'^' }),
                _ => None,
            };
            if let Some(fill) = fill {
                self.holes.push(Hole { at: (start + at) as u16, fill });
            }
            at += run;
        }
        self
    }

    /// A whole number.
    pub(crate) fn int(&mut self, key: &str, value: u32) -> &mut Self {
        encode_key_value(&mut self.bytes, self.attribute_field, key.as_bytes(), |out| {
            put_varint_field(out, 3, u64::from(value));
        });
        self
    }

    /// A whole number from `min` to `max`, which must be of the same varint width.
    pub(crate) fn int_between(&mut self, key: &str, min: u32, max: u32) -> &mut Self {
        let width = varint_length(min as usize);
        assert_eq!(width, varint_length(max as usize), "{key} would change the span's length");
        self.int(key, min);
        let at = (self.bytes.len() - width) as u16;
        let fill = Fill::Varint { width: width as u8, min, count: max - min + 1 };
        self.holes.push(Hole { at, fill });
        self
    }

    /// An amount from 0 to `max` with two decimals.
    pub(crate) fn amount(&mut self, key: &str, max: u32) -> &mut Self {
        encode_key_value(&mut self.bytes, self.attribute_field, key.as_bytes(), |out| {
            put_fixed64_field(out, 4, 0);
        });
        let at = (self.bytes.len() - 8) as u16;
        self.holes.push(Hole { at, fill: Fill::Hundredths { count: max * 100 } });
        self
    }

    /// A boolean.
    pub(crate) fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        encode_key_value(&mut self.bytes, self.attribute_field, key.as_bytes(), |out| {
            put_varint_field(out, 2, u64::from(value));
        });
        self
    }

    /// An array of texts.
    pub(crate) fn list(&mut self, key: &str, values: &[&str]) -> &mut Self {
        encode_key_value(&mut self.bytes, self.attribute_field, key.as_bytes(), |out| {
            put_message(out, 5, |out| {
                for value in values {
                    put_message(out, 1, |out| put_bytes_field(out, 1, value.as_bytes()));
                }
            });
        });
        self
    }
}

/// The length of a varint.
#[inline]
pub(crate) fn varint_length(value: usize) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// A finished piece's place; 0 is the empty piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PieceId(u16);

#[derive(Debug, Clone, Copy)]
struct Piece {
    start: u32,
    length: u16,
    hole_count: u16,
    hole_start: u32,
}

/// What the holes of a span are filled from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filling {
    /// Differs from span to span.
    pub(crate) random: u64,
    /// The same for all spans of a trace.
    pub(crate) trace: u64,
    /// When its events happen.
    pub(crate) moment_unix_nano: u64,
}

/// All pieces, side by side.
#[derive(Debug, Clone)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    holes: Vec<Hole>,
    pieces: Vec<Piece>,
}

impl Pieces {
    /// Holds only the empty piece.
    pub(crate) fn new() -> Self {
        let empty = Piece { start: 0, length: 0, hole_count: 0, hole_start: 0 };
        Self { bytes: Vec::new(), holes: Vec::new(), pieces: vec![empty] }
    }

    pub(crate) fn add(&mut self, draft: &Draft) -> PieceId {
        let piece = Piece {
            start: self.bytes.len() as u32,
            length: u16::try_from(draft.bytes.len()).expect("pieces are a few hundred bytes"),
            hole_count: draft.holes.len() as u16,
            hole_start: self.holes.len() as u32,
        };
        self.bytes.extend_from_slice(&draft.bytes);
        self.holes.extend_from_slice(&draft.holes);
        self.pieces.push(piece);
        PieceId(
            u16::try_from(self.pieces.len() - 1).expect("200 services have under 20,000 pieces"),
        )
    }

    /// Length in bytes.
    #[inline]
    pub(crate) fn length(&self, id: PieceId) -> usize {
        usize::from(self.pieces[usize::from(id.0)].length)
    }

    /// Appends a piece, holes filled, and gives the appended bytes.
    #[inline]
    pub(crate) fn put<'out>(
        &self,
        out: &'out mut Vec<u8>,
        id: PieceId,
        filling: &mut Filling,
    ) -> &'out mut [u8] {
        let piece = &self.pieces[usize::from(id.0)];
        let from = piece.start as usize;
        let base = out.len();
        out.extend_from_slice(&self.bytes[from..from + usize::from(piece.length)]);
        let target = &mut out[base..];
        let from = piece.hole_start as usize;
        for hole in &self.holes[from..from + usize::from(piece.hole_count)] {
            fill(&mut target[usize::from(hole.at)..], hole.fill, filling);
        }
        target
    }
}

#[inline]
fn fill(target: &mut [u8], fill: Fill, filling: &mut Filling) {
    // Knuth's MMIX generator: only its high bits are used, and one multiplication is all it costs.
    filling.random = filling
        .random
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    let random = filling.random;
    match fill {
        Fill::Digits { count, of_trace } => {
            let random = if of_trace { filling.trace } else { random };
            let digits = digits(scaled(random, 100_000_000));
            let count = usize::from(count);
            target[..count].copy_from_slice(&digits[..count]);
        }
        Fill::Hex { count, of_trace } => {
            let random = if of_trace { filling.trace } else { random };
            for (index, chunk) in target[..usize::from(count)].chunks_mut(8).enumerate() {
                let digits = hex_digits(mix(random.wrapping_add(index as u64)) as u32);
                chunk.copy_from_slice(&digits[..chunk.len()]);
            }
        }
        Fill::Varint { width, min, count } => {
            let mut value = min + scaled(random, count);
            let (last, first) = target[..usize::from(width)].split_last_mut().expect("width > 0");
            for byte in first {
                *byte = value as u8 | 0x80;
                value >>= 7;
            }
            *last = value as u8;
        }
        Fill::Hundredths { count } => {
            let value = f64::from(scaled(random, count)) / 100.0;
            target[..8].copy_from_slice(&value.to_le_bytes());
        }
        Fill::Moment => target[..8].copy_from_slice(&filling.moment_unix_nano.to_le_bytes()),
    }
}

/// The eight decimal digits of a number, all at once in the bytes of one register.
#[inline]
fn digits(value: u32) -> [u8; 8] {
    let halves = u64::from(value / 10_000) | (u64::from(value % 10_000) << 32);
    let hundreds = ((halves * 10_486) >> 20) & 0x7f_0000_007f;
    let pairs = hundreds | ((halves - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    let all = tens | ((pairs - tens * 10) << 8);
    (all | 0x3030_3030_3030_3030).to_le_bytes()
}

/// The eight hexadecimal digits of a number, all at once.
#[inline]
fn hex_digits(value: u32) -> [u8; 8] {
    let mut x = u64::from(value);
    x = (x | (x << 16)) & 0x0000_ffff_0000_ffff;
    x = (x | (x << 8)) & 0x00ff_00ff_00ff_00ff;
    x = (x | (x << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((x + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (x + 0x3030_3030_3030_3030 + letters * 0x27).to_be_bytes()
}

/// Appends the varint of a length.
#[inline]
pub(crate) fn put_length(out: &mut Vec<u8>, length: usize) {
    put_varint(out, length as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_numbers() {
        for value in [0, 7, 12_345_678, 99_999_999, 10_000, 9_999, 40_506_070] {
            assert_eq!(&digits(value)[..], format!("{value:08}").as_bytes());
        }
        for value in [0, 0xffff_ffff, 0x0123_4567, 0x89ab_cdef] {
            assert_eq!(&hex_digits(value)[..], format!("{value:08x}").as_bytes());
        }
    }

    #[test]
    fn knows_the_length_of_a_varint() {
        for value in [0usize, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let mut out = Vec::new();
            put_length(&mut out, value);
            assert_eq!(varint_length(value), out.len(), "{value}");
        }
    }
}
