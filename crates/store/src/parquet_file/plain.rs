//! PLAIN and BYTE_STREAM_SPLIT values, and PLAIN byte arrays.

use crate::texts::Texts;

/// A value of fixed length as PLAIN bytes.
pub(super) trait Fixed: Copy {
    const BYTES: usize;
    fn append(values: &[Self], out: &mut Vec<u8>);
    /// `bytes` are a multiple of the length.
    fn extend(bytes: &[u8], out: &mut Vec<Self>);
}

/// Little endian for numbers, big endian for ids, which are byte arrays of fixed length.
macro_rules! fixed {
    ($type:ty, $to:ident, $from:ident) => {
        impl Fixed for $type {
            const BYTES: usize = size_of::<Self>();
            fn append(values: &[Self], out: &mut Vec<u8>) {
                let start = out.len();
                out.resize(start + size_of_val(values), 0);
                let (places, _) = out[start..].as_chunks_mut();
                places.iter_mut().zip(values).for_each(|(place, value)| *place = value.$to());
            }
            fn extend(bytes: &[u8], out: &mut Vec<Self>) {
                let (places, _) = bytes.as_chunks();
                out.extend(places.iter().map(|place| Self::$from(*place)));
            }
        }
    };
}

fixed!(i32, to_le_bytes, from_le_bytes);
fixed!(i64, to_le_bytes, from_le_bytes);
fixed!(f64, to_le_bytes, from_le_bytes);
fixed!(u64, to_be_bytes, from_be_bytes);
fixed!(u128, to_be_bytes, from_be_bytes);

/// Appends values `skip..skip + take` of a page.
pub(super) fn extend<T: Fixed>(
    bytes: &[u8],
    skip: usize,
    take: usize,
    out: &mut Vec<T>,
) -> Result<(), String> {
    let values = bytes.get(skip * T::BYTES..(skip + take) * T::BYTES);
    T::extend(values.ok_or("a page ends before its values")?, out);
    Ok(())
}

/// Appends a bit per value.
pub(super) fn append_bools(values: &[bool], out: &mut Vec<u8>) {
    out.extend(values.chunks(8).map(|eight| {
        eight.iter().enumerate().fold(0, |byte, (bit, &value)| byte | u8::from(value) << bit)
    }));
}

pub(super) fn extend_bools(
    bytes: &[u8],
    skip: usize,
    take: usize,
    out: &mut Vec<bool>,
) -> Result<(), String> {
    if bytes.len() < (skip + take).div_ceil(8) {
        return Err("a page ends before its values".to_owned());
    }
    out.extend((skip..skip + take).map(|at| bytes[at / 8] >> (at % 8) & 1 == 1));
    Ok(())
}

/// Appends the first bytes of all values, then the second, and so on.
pub(super) fn append_split(values: &[i64], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + size_of_val(values), 0);
    for (byte, stream) in out[start..].chunks_exact_mut(values.len().max(1)).enumerate() {
        let shift = byte * 8;
        stream.iter_mut().zip(values).for_each(|(place, value)| *place = (value >> shift) as u8);
    }
}

/// Appends values `skip..skip + take` of a page of so many.
pub(super) fn extend_split(
    bytes: &[u8],
    values: usize,
    skip: usize,
    take: usize,
    out: &mut Vec<i64>,
) -> Result<(), String> {
    if bytes.len() < values * 8 || skip + take > values {
        return Err("a page ends before its values".to_owned());
    }
    // Without values there are no streams.
    let mut streams = bytes[..values * 8].chunks_exact(values.max(1));
    let mut half =
        || std::array::from_fn(|_| streams.next().map_or(&[][..], |of| &of[skip..skip + take]));
    let (low, high): ([&[u8]; 4], [&[u8]; 4]) = (half(), half());
    // Numbers that are not large have no high bytes.
    let is_zero = |stream: &&[u8]| stream.iter().fold(0, |bits, part| bits | part) == 0;
    if high.iter().all(is_zero) {
        out.extend(together(low).map(i64::from));
    } else {
        let whole = |(low, high)| i64::from(low) | i64::from(high) << 32;
        out.extend(together(low).zip(together(high)).map(whole));
    }
    Ok(())
}

/// The numbers whose bytes are in four streams.
fn together([a, b, c, d]: [&[u8]; 4]) -> impl Iterator<Item = u32> + '_ {
    let bytes = a.iter().zip(b).zip(c.iter().zip(d));
    bytes.map(|((&a, &b), (&c, &d))| u32::from_le_bytes([a, b, c, d]))
}

/// Appends one with its length.
pub(super) fn append_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

/// Byte arrays one after the other.
pub(super) struct PlainTexts<'a>(pub(super) &'a [u8]);

impl<'a> PlainTexts<'a> {
    /// The next; an error when the bytes end before it does.
    #[inline]
    pub(super) fn next(&mut self) -> Result<&'a [u8], String> {
        let end = || "a page ends before its values".to_owned();
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or_else(end)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (text, rest) = rest.split_at_checked(length).ok_or_else(end)?;
        self.0 = rest;
        Ok(text)
    }
}

/// Appends values `skip..skip + take` of a page to texts, and their numbers to codes. A value
/// that is the same as the one before it has its number.
pub(super) fn extend_texts(
    bytes: &[u8],
    skip: usize,
    take: usize,
    texts: &mut Texts,
    codes: &mut Vec<u32>,
) -> Result<(), String> {
    check_room(texts, bytes.len())?;
    let mut values = PlainTexts(bytes);
    for _ in 0..skip {
        values.next()?;
    }
    codes.reserve(take);
    let mut last = None;
    for _ in 0..take {
        let text = values.next()?;
        if last != Some(text) {
            texts.push(text);
            last = Some(text);
        }
        codes.push(texts.len() as u32 - 1);
    }
    Ok(())
}

/// The places of texts have 32 bits.
pub(super) fn check_room(texts: &Texts, bytes: usize) -> Result<(), String> {
    match texts.byte_len().checked_add(bytes) {
        Some(total) if total <= u32::MAX as usize => Ok(()),
        _ => Err("the texts of a range of rows are too large".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn extend_what_was_appended(values in prop::collection::vec(any::<i64>(), 0..100), cut in any::<(u8, u8)>()) {
            let mut range = [cut.0 as usize % (values.len() + 1), cut.1 as usize % (values.len() + 1)];
            range.sort_unstable();
            let (skip, take) = (range[0], range[1] - range[0]);
            let part = &values[range[0]..range[1]];
            let mut plain = Vec::new();
            Fixed::append(&values, &mut plain);
            let mut back: Vec<i64> = Vec::new();
            extend(&plain, skip, take, &mut back).unwrap();
            prop_assert_eq!(&back[..], part);
            let mut split = Vec::new();
            append_split(&values, &mut split);
            let mut back = Vec::new();
            extend_split(&split, values.len(), skip, take, &mut back).unwrap();
            prop_assert_eq!(&back[..], part);
            let bools: Vec<bool> = values.iter().map(|value| value % 2 == 0).collect();
            let mut bits = Vec::new();
            append_bools(&bools, &mut bits);
            let mut back = Vec::new();
            extend_bools(&bits, skip, take, &mut back).unwrap();
            prop_assert_eq!(&back[..], &bools[range[0]..range[1]]);
        }
    }

    #[test]
    fn texts_that_end_early_are_refused() {
        let mut page = Vec::new();
        for text in ["a", "a", "", "longer"] {
            append_text(text.as_bytes(), &mut page);
        }
        let (mut texts, mut codes) = (Texts::default(), Vec::new());
        extend_texts(&page, 0, 4, &mut texts, &mut codes).unwrap();
        assert_eq!((codes, texts.len()), (vec![0, 0, 1, 2], 3));
        for end in 0..page.len() {
            assert!(
                extend_texts(&page[..end], 1, 3, &mut Texts::default(), &mut Vec::new()).is_err()
            );
        }
    }
}
