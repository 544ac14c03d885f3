//! Page headers: the part of Parquet's Thrift definition that stands before every page, in the
//! compact protocol.

/// What a page header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub(super) page: PageType,
    /// Rows of a data page, distinct values of a dictionary.
    pub(super) values: usize,
    pub(super) encoding: i32,
    pub(super) uncompressed_bytes: usize,
    pub(super) compressed_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageType {
    Data,
    Dictionary,
}

/// Types of the compact protocol.
const STOP: u8 = 0;
const I32: u8 = 5;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Structs within structs that are skipped.
const DEPTH_MAX: usize = 8;

impl PageHeader {
    /// Appends it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let number = |out: &mut Vec<u8>, value: i64| {
            out.push(1 << 4 | I32);
            write_varint((value << 1 ^ value >> 63) as u64, out);
        };
        number(out, if self.page == PageType::Data { 0 } else { 2 });
        number(out, self.uncompressed_bytes as i64);
        number(out, self.compressed_bytes as i64);
        // Field 5 for data, field 7 for a dictionary.
        out.push(if self.page == PageType::Data { 2 } else { 4 } << 4 | STRUCT);
        number(out, self.values as i64);
        number(out, i64::from(self.encoding));
        if self.page == PageType::Data {
            number(out, i64::from(super::encoding::RLE));
            number(out, i64::from(super::encoding::RLE));
        }
        out.extend_from_slice(&[STOP, STOP]);
    }

    /// Reads it from the start of bytes, and says how long it is.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), String> {
        let mut input = Input { bytes, at: 0 };
        let header = input.page_header().ok_or("a page header cannot be read")??;
        Ok((header, input.at))
    }
}

/// Seven bits a byte, the lowest first.
pub(super) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes with a place in them; `None` when they end or make no sense.
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl Input<'_> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn skip_bytes(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|&at| at <= self.bytes.len())?;
        Some(())
    }

    /// The number and type of the next field; the type is [`STOP`] at the end.
    fn field(&mut self, last: i64) -> Option<(i64, u8)> {
        let byte = self.byte()?;
        let delta = i64::from(byte >> 4);
        let kind = byte & 0x0f;
        if kind == STOP {
            return Some((0, STOP));
        }
        let number = if delta == 0 { self.zigzag()? } else { last.checked_add(delta)? };
        Some((number, kind))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            // A boolean field is its type.
            1 | 2 => Some(()),
            3 => self.skip_bytes(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.skip_bytes(8),
            8 => {
                let length = self.varint()?;
                self.skip_bytes(usize::try_from(length).ok()?)
            }
            LIST | 10 => {
                let head = self.byte()?;
                let element = head & 0x0f;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                if depth == 0 || count > self.bytes.len() as u64 {
                    return None;
                }
                for _ in 0..count {
                    // A boolean in a list is a byte.
                    self.skip(if element <= 2 { 3 } else { element }, depth - 1)?;
                }
                Some(())
            }
            STRUCT if depth > 0 => {
                let mut last = 0;
                loop {
                    let (number, kind) = self.field(last)?;
                    if kind == STOP {
                        return Some(());
                    }
                    self.skip(kind, depth - 1)?;
                    last = number;
                }
            }
            _ => None,
        }
    }

    fn page_header(&mut self) -> Option<Result<PageHeader, String>> {
        let (mut page, mut uncompressed, mut compressed) = (None, None, None);
        let (mut data, mut dictionary) = (None, None);
        let mut last = 0;
        loop {
            let (number, kind) = self.field(last)?;
            match (number, kind) {
                (_, STOP) => break,
                (1, I32) => page = Some(self.zigzag()?),
                (2, I32) => uncompressed = Some(self.zigzag()?),
                (3, I32) => compressed = Some(self.zigzag()?),
                (5, STRUCT) => data = Some(self.values_and_encoding()?),
                (7, STRUCT) => dictionary = Some(self.values_and_encoding()?),
                _ => self.skip(kind, DEPTH_MAX)?,
            }
            last = number;
        }
        let (page, content) = match page? {
            0 => (PageType::Data, data?),
            2 => (PageType::Dictionary, dictionary?),
            3 => return Some(Err("data pages of version 2 are not read".to_owned())),
            other => return Some(Err(format!("pages of type {other} are not read"))),
        };
        let size = |bytes: i64| {
            usize::try_from(bytes).ok().filter(|&bytes| bytes <= super::PAGE_BYTES_MAX)
        };
        Some(Ok(PageHeader {
            page,
            values: usize::try_from(content.0).ok()?,
            encoding: content.1,
            uncompressed_bytes: size(uncompressed?)?,
            compressed_bytes: size(compressed?)?,
        }))
    }

    /// The first two fields of the header of a data page and of a dictionary.
    fn values_and_encoding(&mut self) -> Option<(i64, i32)> {
        let (mut values, mut encoding) = (None, None);
        let mut last = 0;
        loop {
            let (number, kind) = self.field(last)?;
            match (number, kind) {
                (_, STOP) => break,
                (1, I32) => values = Some(self.zigzag()?),
                (2, I32) => encoding = Some(i32::try_from(self.zigzag()?).ok()?),
                _ => self.skip(kind, DEPTH_MAX)?,
            }
            last = number;
        }
        Some((values?, encoding?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_it_writes() {
        for page in [PageType::Data, PageType::Dictionary] {
            let header = PageHeader {
                page,
                values: 4096,
                encoding: 8,
                uncompressed_bytes: 100_000,
                compressed_bytes: 0,
            };
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            let length = bytes.len();
            bytes.push(9);
            assert_eq!(PageHeader::read(&bytes), Ok((header, length)));
            for end in 0..length {
                assert!(PageHeader::read(&bytes[..end]).is_err());
            }
        }
    }

    #[test]
    fn skips_statistics() {
        // Data page with statistics (field 5 of its header: a struct of binaries and a number).
        let bytes = [
            0x15, 0, 0x15, 20, 0x15, 20, 0x2c, 0x15, 8, 0x15, 0, 0x15, 6, 0x15, 6, 0x1c, 0x18, 1,
            9, 0x18, 1, 9, 0x16, 0, 0, 0, 0,
        ];
        let (header, length) = PageHeader::read(&bytes).unwrap();
        assert_eq!((header.values, header.uncompressed_bytes, length), (4, 10, bytes.len()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = PageHeader::read(&bytes);
        }
    }
}
