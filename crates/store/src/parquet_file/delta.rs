//! DELTA_BINARY_PACKED: integers as differences, packed in miniblocks as wide as each needs.

use super::bitpack::{pack_wide, unpack_wide};
use super::header::{Input, write_varint};

const BLOCK: usize = 128;
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// The largest block that is read.
const BLOCK_MAX: usize = 64 * 1024;

/// An integer whose differences wrap at its own width.
pub(super) trait Integer: Copy {
    fn wide(self) -> i64;
    /// The lowest bits.
    fn narrow(value: i64) -> Self;
    /// `self - other`, as its own type and then widened.
    fn minus(self, other: Self) -> i64;
    /// What is left of a difference above the least, as bits without sign.
    fn above(delta: i64, least: i64) -> u64;
    const BITS: usize;
}

impl Integer for i32 {
    fn wide(self) -> i64 {
        i64::from(self)
    }
    fn narrow(value: i64) -> Self {
        value as Self
    }
    fn minus(self, other: Self) -> i64 {
        i64::from(self.wrapping_sub(other))
    }
    fn above(delta: i64, least: i64) -> u64 {
        u64::from((delta as Self).wrapping_sub(least as Self) as u32)
    }
    const BITS: usize = 32;
}

impl Integer for i64 {
    fn wide(self) -> i64 {
        self
    }
    fn narrow(value: i64) -> Self {
        value
    }
    fn minus(self, other: Self) -> i64 {
        self.wrapping_sub(other)
    }
    fn above(delta: i64, least: i64) -> u64 {
        delta.wrapping_sub(least) as u64
    }
    const BITS: usize = 64;
}

fn write_zigzag(value: i64, out: &mut Vec<u8>) {
    write_varint((value << 1 ^ value >> 63) as u64, out);
}

/// Appends a page of them.
pub(super) fn encode<T: Integer>(values: &[T], out: &mut Vec<u8>) {
    write_varint(BLOCK as u64, out);
    write_varint(MINIBLOCKS as u64, out);
    write_varint(values.len() as u64, out);
    write_zigzag(values.first().map_or(0, |first| first.wide()), out);
    let mut deltas = [0i64; BLOCK];
    let mut packed = [0u64; BLOCK];
    let mut at = 1;
    while at < values.len() {
        let count = (values.len() - at).min(BLOCK);
        let (before, these) = (&values[at - 1..at - 1 + count], &values[at..at + count]);
        for ((delta, value), previous) in deltas.iter_mut().zip(these).zip(before) {
            *delta = value.minus(*previous);
        }
        let least = deltas[..count].iter().copied().min().unwrap_or(0);
        write_zigzag(least, out);
        packed.fill(0);
        for (above, delta) in packed.iter_mut().zip(&deltas[..count]) {
            *above = T::above(*delta, least);
        }
        let widths = out.len();
        out.resize(widths + MINIBLOCKS, 0);
        for (index, miniblock) in
            packed[..count.next_multiple_of(MINIBLOCK)].chunks(MINIBLOCK).enumerate()
        {
            let all = miniblock.iter().fold(0, |all, value| all | value);
            let width = 64 - all.leading_zeros() as usize;
            out[widths + index] = width as u8;
            pack_wide(miniblock, width, out);
        }
        at += count;
    }
}

/// Appends values `skip..skip + take` of a page of so many.
pub(super) fn decode<T: Integer>(
    bytes: &[u8],
    values: usize,
    skip: usize,
    take: usize,
    out: &mut Vec<T>,
) -> Result<(), String> {
    decode_checked(bytes, values, skip, take, out).ok_or_else(|| "deltas cannot be read".to_owned())
}

fn decode_checked<T: Integer>(
    bytes: &[u8],
    values: usize,
    skip: usize,
    take: usize,
    out: &mut Vec<T>,
) -> Option<()> {
    let mut input = Input { bytes, at: 0 };
    let block = usize::try_from(input.varint()?).ok()?;
    let miniblocks = usize::try_from(input.varint()?).ok()?;
    let count = usize::try_from(input.varint()?).ok()?;
    let mut value = input.zigzag()?;
    let miniblock = block.checked_div(miniblocks)?;
    if count != values || block > BLOCK_MAX || miniblock == 0 || !miniblock.is_multiple_of(8) {
        return None;
    }
    let end = skip + take;
    let start = out.len();
    if skip == 0 && take > 0 {
        out.push(T::narrow(value));
    }
    let mut scratch = vec![0u64; miniblock];
    let mut at = 1;
    while at < end {
        let least = input.zigzag()?;
        let widths = input.bytes.get(input.at..input.at + miniblocks)?;
        input.at += miniblocks;
        for &width in widths {
            if at >= end {
                break;
            }
            let width = usize::from(width);
            if width > T::BITS {
                return None;
            }
            let length = width * miniblock / 8;
            let rest = input.bytes.get(input.at..)?;
            // The last miniblock may end with its last value.
            let packed = &rest[..length.min(rest.len())];
            input.at += packed.len();
            let here = (values - at).min(miniblock);
            if packed.len() * 8 < here * width {
                return None;
            }
            unpack_wide(packed, width, &mut scratch[..here]);
            let from = skip.clamp(at, at + here) - at;
            let to = end.min(at + here) - at;
            let step = |value: &mut i64, above: u64| {
                *value = value.wrapping_add(least).wrapping_add(above as i64);
                T::narrow(*value)
            };
            for &above in &scratch[..from] {
                step(&mut value, above);
            }
            if from < to {
                out.extend(scratch[from..to].iter().map(|&above| step(&mut value, above)));
            }
            at += here;
        }
    }
    (out.len() - start == take).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<T: Integer + PartialEq + std::fmt::Debug>(values: &[T], cut: (u16, u16)) {
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        let mut range = [cut.0 as usize % (values.len() + 1), cut.1 as usize % (values.len() + 1)];
        range.sort_unstable();
        let mut back: Vec<T> = Vec::new();
        decode(&bytes, values.len(), range[0], range[1] - range[0], &mut back).unwrap();
        assert_eq!(&back[..], &values[range[0]..range[1]]);
    }

    proptest! {
        #[test]
        fn decodes_what_it_encodes(
            values in prop::collection::vec((any::<i64>(), 0u32..64), 0..400),
            cut in any::<(u16, u16)>(),
        ) {
            let values: Vec<i64> = values.iter().map(|(value, shift)| value >> shift).collect();
            check(&values, cut);
            check(&values.iter().map(|&value| value as i32).collect::<Vec<_>>(), cut);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..100), values in 0usize..300) {
            let mut out: Vec<i32> = Vec::new();
            let _ = decode(&bytes, values, values / 3, values - values / 3, &mut out);
            let mut good = Vec::new();
            encode(&(0..values as i64).map(|value| value * value).collect::<Vec<_>>(), &mut good);
            for (at, byte) in bytes.iter_mut().enumerate() {
                let place = at * 31 % good.len();
                good[place] ^= *byte;
                let mut out: Vec<i64> = Vec::new();
                let _ = decode(&good, values, values / 3, values - values / 3, &mut out);
            }
        }
    }
}
