//! Numbers of a fixed width in bits, the lowest bit first.

/// Calls a function with the width as a constant, for the widths that dictionaries have.
macro_rules! with_width {
    ($width:expr, $call:ident($($argument:expr),*), $other:expr) => {
        match $width {
            1 => $call::<1>($($argument),*),
            2 => $call::<2>($($argument),*),
            3 => $call::<3>($($argument),*),
            4 => $call::<4>($($argument),*),
            5 => $call::<5>($($argument),*),
            6 => $call::<6>($($argument),*),
            7 => $call::<7>($($argument),*),
            8 => $call::<8>($($argument),*),
            9 => $call::<9>($($argument),*),
            10 => $call::<10>($($argument),*),
            11 => $call::<11>($($argument),*),
            12 => $call::<12>($($argument),*),
            13 => $call::<13>($($argument),*),
            14 => $call::<14>($($argument),*),
            15 => $call::<15>($($argument),*),
            16 => $call::<16>($($argument),*),
            _ => $other,
        }
    };
}

/// Bits that hold every number up to this one.
pub(super) fn width_of(largest: u32) -> usize {
    (32 - largest.leading_zeros()) as usize
}

/// Appends numbers below `2^width`. Zeros complete the last eight.
pub(super) fn pack(values: &[u32], width: usize, out: &mut Vec<u8>) {
    with_width!(width, pack_groups(values, out), pack_any(values, width, out));
}

fn pack_groups<const WIDTH: usize>(values: &[u32], out: &mut Vec<u8>) {
    let start = out.len();
    let end = start + values.len().div_ceil(8) * WIDTH;
    // Each eight are stored as sixteen bytes, of which the next overwrite what is too much.
    out.resize(end + 16, 0);
    let (groups, rest) = values.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(&last);
    for (index, group) in groups.iter().chain(last).enumerate() {
        let at = start + index * WIDTH;
        let half = |values: &[u32]| -> u64 {
            values
                .iter()
                .enumerate()
                .fold(0, |word, (i, &value)| word | u64::from(value) << (i * WIDTH))
        };
        if WIDTH <= 8 {
            out[at..at + 8].copy_from_slice(&half(group).to_le_bytes());
        } else {
            let (low, high) = (half(&group[..4]), half(&group[4..]));
            let word = u128::from(low) | u128::from(high) << (4 * WIDTH);
            out[at..at + 16].copy_from_slice(&word.to_le_bytes());
        }
    }
    out.truncate(end);
}

fn pack_any(values: &[u32], width: usize, out: &mut Vec<u8>) {
    let wide: Vec<u64> = values.iter().map(|&value| u64::from(value)).collect();
    let end = out.len() + values.len().div_ceil(8) * width;
    pack_wide(&wide, width, out);
    out.resize(end, 0);
}

/// Appends so many numbers. `bytes` must hold them: `count * width` bits.
pub(super) fn unpack(bytes: &[u8], width: usize, count: usize, out: &mut Vec<u32>) {
    with_width!(width, unpack_groups(bytes, count, out), unpack_any(bytes, width, count, out));
}

fn unpack_groups<const WIDTH: usize>(bytes: &[u8], count: usize, out: &mut Vec<u32>) {
    let start = out.len();
    out.resize(start + count.next_multiple_of(8), 0);
    let mask = (1u64 << WIDTH) - 1;
    let (groups, _) = out[start..].as_chunks_mut::<8>();
    for (index, group) in groups.iter_mut().enumerate() {
        let at = index * WIDTH;
        let mut copy = [0; 16];
        let source: &[u8; 16] = match bytes.get(at..).and_then(<[u8]>::first_chunk) {
            Some(source) => source,
            None => {
                let rest = &bytes[at.min(bytes.len())..];
                copy[..rest.len()].copy_from_slice(rest);
                &copy
            }
        };
        let word = u128::from_le_bytes(*source);
        let (low, high) = (word as u64, (word >> (4 * WIDTH)) as u64);
        for i in 0..4 {
            group[i] = (low >> (i * WIDTH) & mask) as u32;
            group[4 + i] = (high >> (i * WIDTH) & mask) as u32;
        }
    }
    out.truncate(start + count);
}

fn unpack_any(bytes: &[u8], width: usize, count: usize, out: &mut Vec<u32>) {
    let mut wide = vec![0; count];
    unpack_wide(bytes, width, &mut wide);
    out.extend(wide.into_iter().map(|value| value as u32));
}

/// Appends numbers of up to 64 bits each, and zeros to the next byte.
pub(super) fn pack_wide(values: &[u64], width: usize, out: &mut Vec<u8>) {
    let (mut word, mut filled) = (0u128, 0);
    for &value in values {
        word |= u128::from(value) << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&(word as u64).to_le_bytes());
            word >>= 64;
            filled -= 64;
        }
    }
    out.extend_from_slice(&(word as u64).to_le_bytes()[..filled.div_ceil(8)]);
}

/// Numbers of up to 64 bits each. Behind the end of the bytes are zeros.
pub(super) fn unpack_wide(bytes: &[u8], width: usize, out: &mut [u64]) {
    if width == 0 {
        out.fill(0);
        return;
    }
    let mask = u64::MAX >> (64 - width);
    // Eight bytes hold a narrow number wherever it begins in the first of them.
    let narrow = if width <= 57 { bytes.len().saturating_sub(7) * 8 / width } else { 0 };
    let narrow = narrow.min(out.len());
    for (index, value) in out[..narrow].iter_mut().enumerate() {
        let bit = index * width;
        if let Some(source) = bytes.get(bit / 8..).and_then(<[u8]>::first_chunk) {
            *value = u64::from_le_bytes(*source) >> (bit % 8) & mask;
        }
    }
    for (index, value) in out.iter_mut().enumerate().skip(narrow) {
        let bit = index * width;
        let mut copy = [0; 16];
        let source: &[u8; 16] = match bytes.get(bit / 8..).and_then(<[u8]>::first_chunk) {
            Some(source) => source,
            None => {
                let rest = &bytes[(bit / 8).min(bytes.len())..];
                copy[..rest.len()].copy_from_slice(rest);
                &copy
            }
        };
        *value = (u128::from_le_bytes(*source) >> (bit % 8)) as u64 & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn unpacks_what_it_packs(values in prop::collection::vec(any::<u64>(), 0..100), width in 1usize..=64) {
            let values: Vec<u64> = values.iter().map(|value| value >> (64 - width)).collect();
            let mut bytes = Vec::new();
            pack_wide(&values, width, &mut bytes);
            prop_assert_eq!(bytes.len(), (values.len() * width).div_ceil(8));
            let mut back = vec![0; values.len()];
            unpack_wide(&bytes, width, &mut back);
            prop_assert_eq!(&back, &values);
            if width > 32 {
                return Ok(());
            }
            let narrow: Vec<u32> = values.iter().map(|&value| value as u32).collect();
            let mut groups = Vec::new();
            pack(&narrow, width, &mut groups);
            prop_assert_eq!(groups.len(), narrow.len().div_ceil(8) * width);
            prop_assert_eq!(&groups[..bytes.len()], &bytes[..]);
            let mut back = vec![7];
            unpack(&groups, width, narrow.len(), &mut back);
            prop_assert_eq!(&back[1..], &narrow[..]);
        }
    }
}
