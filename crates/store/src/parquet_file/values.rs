//! Values of any kind, appended and cleared.

use std::ops::Range;
use std::sync::Arc;

use super::plain;
use crate::column::Values;
use crate::columns::Kind;
use crate::spare;

pub(super) fn no_values(kind: Kind) -> Values {
    match kind {
        Kind::Text | Kind::Bytes => Values::Codes(Vec::new(), Arc::default()),
        Kind::Int32 | Kind::Count => Values::Int32(Vec::new()),
        Kind::Int64 => Values::Int64(Vec::new()),
        Kind::Double => Values::Double(Vec::new()),
        Kind::Bool => Values::Bool(Vec::new()),
        Kind::Id8 => Values::Id8(Vec::new()),
        Kind::Id16 => Values::Id16(Vec::new()),
    }
}

pub(super) fn clear(values: &mut Values) {
    match values {
        Values::Codes(values, _) => values.clear(),
        Values::Int32(values) => values.clear(),
        Values::Int64(values) => values.clear(),
        Values::Double(values) => values.clear(),
        Values::Bool(values) => values.clear(),
        Values::Id8(values) => values.clear(),
        Values::Id16(values) => values.clear(),
    }
}

/// Makes room for so many values where there are none yet.
pub(super) fn reserve(values: &mut Values, count: usize) {
    match values {
        Values::Codes(values, _) => *values = spare::take(count),
        Values::Int32(values) => *values = spare::take(count),
        Values::Int64(values) => *values = spare::take(count),
        Values::Double(values) => *values = spare::take(count),
        Values::Bool(values) => values.reserve_exact(count),
        Values::Id8(values) => values.reserve_exact(count),
        Values::Id16(values) => values.reserve_exact(count),
    }
}

/// Appends some of other values; false when they are of another kind.
pub(super) fn extend(values: &mut Values, other: &Values, range: Range<usize>) -> bool {
    match (values, other) {
        (Values::Codes(values, _), Values::Codes(other, _)) => {
            values.extend_from_slice(&other[range])
        }
        (Values::Int32(values), Values::Int32(other)) => values.extend_from_slice(&other[range]),
        (Values::Int64(values), Values::Int64(other)) => values.extend_from_slice(&other[range]),
        (Values::Double(values), Values::Double(other)) => values.extend_from_slice(&other[range]),
        (Values::Bool(values), Values::Bool(other)) => values.extend_from_slice(&other[range]),
        (Values::Id8(values), Values::Id8(other)) => values.extend_from_slice(&other[range]),
        (Values::Id16(values), Values::Id16(other)) => values.extend_from_slice(&other[range]),
        _ => return false,
    }
    true
}

/// Appends PLAIN values of fixed length.
pub(super) fn extend_plain(
    values: &mut Values,
    bytes: &[u8],
    skip: usize,
    take: usize,
) -> Result<(), String> {
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

/// Appends the numbers that codes stand for. The codes are checked.
pub(super) fn look_up(values: &mut Values, numbers: &Values, codes: &[u32]) -> Result<(), String> {
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
