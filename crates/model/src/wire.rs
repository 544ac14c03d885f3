//! The protobuf wire format, read by pulling and written by appending.
//!
//! Source: protobuf.dev, "Encoding". Groups (wire types 3 and 4) are deprecated, appear nowhere in
//! OTLP and are refused.

/// What a field holds, by wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: bytes, text or a message.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

/// Why bytes are not protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end inside a field.
    #[error("the message ends inside a field")]
    Truncated,
    /// A varint of more than ten bytes.
    #[error("a varint is longer than ten bytes")]
    Varint,
    /// Field number 0, or above 2^29 - 1.
    #[error("a field has an impossible number")]
    FieldNumber,
    /// A wire type that is not 0, 1, 2 or 5.
    #[error("wire type {0} is not in use")]
    WireType(u8),
    /// A known field with another wire type than its own.
    #[error("field {0} has the wrong wire type")]
    Mismatch(u32),
}

/// Pulls fields out of a message, front to back.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of a message.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where in the message the reader is, in bytes.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next field and its number; `None` at the end.
    #[inline(always)]
    pub fn next_field(&mut self) -> Result<Option<(u32, Field<'a>)>, WireError> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| WireError::FieldNumber)?;
        if number == 0 || number >= 1 << 29 {
            return Err(WireError::FieldNumber);
        }
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(WireError::WireType(other as u8)),
        };
        Ok(Some((number, field)))
    }

    /// The content of the next field if it has this tag, which is a small number's and of wire type
    /// 2, and is shorter than 128 bytes; otherwise nothing is read.
    #[inline(always)]
    pub fn next_short(&mut self, tag: u8) -> Option<&'a [u8]> {
        match self.bytes.get(self.at..)? {
            [own, length @ ..0x80, rest @ ..] if *own == tag => {
                let content = rest.get(..usize::from(*length))?;
                self.at += 2 + content.len();
                Some(content)
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, WireError> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let mut value = 0;
        for (index, &byte) in rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(if rest.len() < 10 { WireError::Truncated } else { WireError::Varint })
    }

    #[inline(always)]
    fn take(&mut self, length: u64) -> Result<&'a [u8], WireError> {
        let rest = &self.bytes[self.at..];
        if length > rest.len() as u64 {
            return Err(WireError::Truncated);
        }
        self.at += length as usize;
        Ok(&rest[..length as usize])
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let taken = self.take(N as u64)?;
        taken.try_into().map_err(|_| WireError::Truncated)
    }
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes a varint takes.
#[inline]
pub fn varint_length(value: u64) -> usize {
    ((64 - (value | 1).leading_zeros()) as usize).div_ceil(7)
}

/// Appends a varint field, even when zero.
#[inline]
pub fn put_varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Appends a varint field unless it is zero, as proto3 does.
#[inline]
pub fn put_varint_unless_zero(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint_field(out, number, value);
    }
}

/// Appends a fixed64 field, even when zero.
#[inline]
pub fn put_fixed64_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a fixed32 field, even when zero.
#[inline]
pub fn put_fixed32_field(out: &mut Vec<u8>, number: u32, value: u32) {
    put_varint(out, u64::from(number) << 3 | 5);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a length-delimited field, even when empty.
#[inline]
pub fn put_bytes_field(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a length-delimited field unless it is empty, as proto3 does.
#[inline]
pub fn put_bytes_unless_empty(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    if !value.is_empty() {
        put_bytes_field(out, number, value);
    }
}

/// Appends a message field whose content `write` appends.
pub fn put_message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, u64::from(number) << 3 | 2);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    let mut prefix = [0u8; 10];
    let mut used = 0;
    let mut rest = length as u64;
    while rest >= 0x80 {
        prefix[used] = rest as u8 | 0x80;
        rest >>= 7;
        used += 1;
    }
    prefix[used] = rest as u8;
    used += 1;
    out.extend_from_slice(&prefix[..used]);
    out[start..].rotate_right(used);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Field<'_>)>, WireError> {
        let mut reader = Reader::new(bytes);
        let mut all = Vec::new();
        while let Some(field) = reader.next_field()? {
            all.push(field);
        }
        Ok(all)
    }

    #[test]
    fn reads_what_it_writes() {
        let mut out = Vec::new();
        put_varint_field(&mut out, 1, u64::MAX);
        put_fixed64_field(&mut out, 2, 7);
        put_fixed32_field(&mut out, 3, 8);
        put_message(&mut out, 4, |out| put_bytes_field(out, 1, &[9; 200]));
        let inner = {
            let mut inner = Vec::new();
            put_bytes_field(&mut inner, 1, &[9; 200]);
            inner
        };
        assert_eq!(
            fields(&out).unwrap(),
            vec![
                (1, Field::Varint(u64::MAX)),
                (2, Field::Fixed64(7)),
                (3, Field::Fixed32(8)),
                (4, Field::Bytes(&inner)),
            ]
        );
    }

    #[test]
    fn refuses_what_is_no_protobuf() {
        for (bytes, error) in [
            (&[0x08][..], WireError::Truncated),
            (&[0x0a, 5, 1, 2], WireError::Truncated),
            (&[0x09, 1, 2, 3], WireError::Truncated),
            (&[0x00, 1], WireError::FieldNumber),
            (&[0x0b], WireError::WireType(3)),
            (&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], WireError::Varint),
        ] {
            assert_eq!(fields(bytes), Err(error), "{bytes:?}");
        }
    }
}
