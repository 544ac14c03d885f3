//! RLE / bit-packing hybrid: runs of one number, and groups of eight packed ones (Parquet format,
//! "Run Length Encoding / Bit-Packing Hybrid").

use std::ops::Range;

use super::bitpack;
use super::header::{Input, write_varint};

/// A run must save more than its own header and that of the packed groups behind it.
const RUN_BITS_MIN: usize = 32;

/// Appends numbers below `2^width`.
pub(super) fn encode(values: &[u32], width: usize, out: &mut Vec<u8>) {
    let run_min = (RUN_BITS_MIN / width.max(1)).max(8);
    let mut packed_from = 0;
    let mut at = 0;
    while at + run_min <= values.len() {
        let first = values[at];
        let run = if values[at + 7] == first && values[at + 1] == first {
            values[at..].iter().take_while(|&&value| value == first).count()
        } else {
            0
        };
        if run < run_min {
            at += 8;
            continue;
        }
        pack_groups(&values[packed_from..at], width, out);
        write_varint((run as u64) << 1, out);
        out.extend_from_slice(&first.to_le_bytes()[..width.div_ceil(8)]);
        at += run;
        packed_from = at;
    }
    pack_groups(&values[packed_from..], width, out);
}

fn pack_groups(values: &[u32], width: usize, out: &mut Vec<u8>) {
    if !values.is_empty() {
        write_varint((values.len().div_ceil(8) as u64) << 1 | 1, out);
        bitpack::pack(values, width, out);
    }
}

/// A run of numbers.
pub(super) enum Run<'a> {
    Same(u32),
    /// Packed eight by eight.
    Packed(&'a [u8]),
}

/// The runs of bytes: how many numbers, and which.
pub(super) struct Runs<'a> {
    input: Input<'a>,
    width: usize,
}

impl<'a> Runs<'a> {
    pub(super) fn new(bytes: &'a [u8], width: usize) -> Self {
        Self { input: Input { bytes, at: 0 }, width }
    }
}

impl<'a> Iterator for Runs<'a> {
    type Item = (usize, Run<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.input.varint()?;
        let count = usize::try_from(header >> 1).ok()?;
        let rest = &self.input.bytes[self.input.at..];
        if header & 1 == 0 {
            let (bytes, mut value) = (self.width.div_ceil(8), [0; 4]);
            value[..bytes].copy_from_slice(rest.get(..bytes)?);
            self.input.at += bytes;
            return Some((count, Run::Same(u32::from_le_bytes(value))));
        }
        // The last groups may be cut short.
        let bytes = count.saturating_mul(self.width).min(rest.len());
        let count =
            count.saturating_mul(8).min((bytes * 8).checked_div(self.width).unwrap_or(usize::MAX));
        self.input.at += bytes;
        Some((count, Run::Packed(&rest[..bytes])))
    }
}

/// Appends a range of the numbers.
pub(super) fn decode(
    bytes: &[u8],
    width: usize,
    range: Range<usize>,
    out: &mut Vec<u32>,
) -> Result<(), String> {
    if width > 32 {
        return Err(format!("codes have {width} bits"));
    }
    let mut at = 0usize;
    let mut runs = Runs::new(bytes, width);
    while at < range.end {
        let (count, run) = runs.next().ok_or("there are fewer codes than values")?;
        let (from, to) = (range.start.max(at) - at, range.end.min(at.saturating_add(count)) - at);
        at = at.saturating_add(count);
        if from >= to {
            continue;
        }
        match run {
            Run::Same(value) => out.resize(out.len() + (to - from), value),
            Run::Packed(_) if width == 0 => out.resize(out.len() + (to - from), 0),
            Run::Packed(packed) => {
                let group = from / 8;
                let start = out.len();
                bitpack::unpack(&packed[group * width..], width, to - group * 8, out);
                out.drain(start..start + from % 8);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decodes_what_it_encodes(
            runs in prop::collection::vec((any::<u32>(), 1usize..40), 0..60),
            width in 1usize..=32,
            cut in any::<(u16, u16)>(),
        ) {
            let values: Vec<u32> =
                runs.iter().flat_map(|&(value, run)| vec![value >> (32 - width); if run > 20 { run } else { 1 }]).collect();
            let mut bytes = Vec::new();
            encode(&values, width, &mut bytes);
            let mut range = [cut.0 as usize % (values.len() + 1), cut.1 as usize % (values.len() + 1)];
            range.sort_unstable();
            let mut back = Vec::new();
            decode(&bytes, width, range[0]..range[1], &mut back).unwrap();
            prop_assert_eq!(&back[..], &values[range[0]..range[1]]);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), width in 0usize..40) {
            let mut out = Vec::new();
            let _ = decode(&bytes, width, 3..1000, &mut out);
            prop_assert!(out.len() <= 997);
        }
    }
}
