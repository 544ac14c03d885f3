//! Numbers, texts and lists as Kafka writes them: big-endian, with lengths in front.
//!
//! A length is a broker's word and may be a lie: nothing is allocated for what has not arrived.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A list of more is refused. No cluster has as many partitions.
const ELEMENTS_MAX: usize = 1 << 20;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It ends before its end.
    #[error("it is cut off")]
    Short,
    /// A length that cannot be.
    #[error("a length in it is impossible")]
    Length,
    /// Text that is not UTF-8.
    #[error("a text in it is not UTF-8")]
    Text,
    /// A number with more bits than its kind has.
    #[error("a number in it is too long")]
    Varint,
}

/// Takes a message apart. What it gives as [`Bytes`] is not copied.
#[derive(Debug, Clone)]
pub struct Reader {
    bytes: Bytes,
}

macro_rules! number {
    ($name:ident, $get:ident, $type:ty) => {
        /// A number.
        pub fn $name(&mut self) -> Result<$type, WireError> {
            self.bytes.$get().map_err(|_| WireError::Short)
        }
    };
}

impl Reader {
    /// At the start of some bytes.
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    /// What has not been read.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// What has not been read, as it is.
    pub fn rest(self) -> Bytes {
        self.bytes
    }

    number!(i8, try_get_i8, i8);
    number!(i16, try_get_i16, i16);
    number!(i32, try_get_i32, i32);
    number!(u32, try_get_u32, u32);
    number!(i64, try_get_i64, i64);

    /// A byte that is true unless it is zero.
    pub fn bool(&mut self) -> Result<bool, WireError> {
        Ok(self.i8()? != 0)
    }

    /// So many bytes.
    pub fn take(&mut self, length: usize) -> Result<Bytes, WireError> {
        if length > self.bytes.len() {
            return Err(WireError::Short);
        }
        Ok(self.bytes.split_to(length))
    }

    /// Bytes, or null, which is the length -1.
    pub fn bytes(&mut self) -> Result<Option<Bytes>, WireError> {
        match self.i32()? {
            -1 => Ok(None),
            length => self.take(usize::try_from(length).map_err(|_| WireError::Length)?).map(Some),
        }
    }

    /// Text, or null, which is the length -1.
    pub fn text_or_null(&mut self) -> Result<Option<String>, WireError> {
        match self.i16()? {
            -1 => Ok(None),
            length => {
                let bytes = self.take(usize::try_from(length).map_err(|_| WireError::Length)?)?;
                let text = std::str::from_utf8(&bytes).map_err(|_| WireError::Text)?;
                Ok(Some(text.to_owned()))
            }
        }
    }

    /// Text; null is empty.
    pub fn text(&mut self) -> Result<String, WireError> {
        Ok(self.text_or_null()?.unwrap_or_default())
    }

    /// A list; null is empty.
    pub fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let count = self.i32()?;
        if count == -1 {
            return Ok(Vec::new());
        }
        // Every element takes a byte at least.
        let count = usize::try_from(count).map_err(|_| WireError::Length)?;
        if count > self.remaining().min(ELEMENTS_MAX) {
            return Err(WireError::Length);
        }
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(element(self)?);
        }
        Ok(list)
    }

    /// A number of 64 bits in groups of seven, the sign in the lowest (Protocol Buffers, `sint64`).
    pub fn varlong(&mut self) -> Result<i64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes.try_get_u8().map_err(|_| WireError::Short)?;
            if shift == 63 && byte > 1 {
                return Err(WireError::Varint);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(WireError::Varint)
    }

    /// The same of 32 bits.
    pub fn varint(&mut self) -> Result<i32, WireError> {
        i32::try_from(self.varlong()?).map_err(|_| WireError::Varint)
    }

    /// Bytes of a record, or null, with a length of that kind.
    pub fn record_bytes(&mut self) -> Result<Option<Bytes>, WireError> {
        match self.varint()? {
            -1 => Ok(None),
            length => self.take(usize::try_from(length).map_err(|_| WireError::Length)?).map(Some),
        }
    }
}

/// Writes a message.
#[derive(Debug, Default)]
pub struct Writer {
    /// What is written.
    pub bytes: BytesMut,
}

impl Writer {
    /// A number.
    pub fn i8(&mut self, value: i8) {
        self.bytes.put_i8(value);
    }

    /// A number.
    pub fn i16(&mut self, value: i16) {
        self.bytes.put_i16(value);
    }

    /// A number.
    pub fn i32(&mut self, value: i32) {
        self.bytes.put_i32(value);
    }

    /// A number.
    pub fn i64(&mut self, value: i64) {
        self.bytes.put_i64(value);
    }

    /// True or false.
    pub fn bool(&mut self, value: bool) {
        self.bytes.put_i8(value.into());
    }

    /// A text. Longer ones than 32,767 bytes cannot be said and are cut at a character.
    pub fn text(&mut self, text: &str) {
        let mut end = text.len().min(i16::MAX as usize);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        self.i16(text.len() as i16);
        self.bytes.put_slice(text.as_bytes());
    }

    /// A text or null.
    pub fn text_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.i16(-1),
        }
    }

    /// Bytes. The caller's bounds keep them below 2 GiB.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.i32(length(bytes.len()));
        self.bytes.put_slice(bytes);
    }

    /// A list.
    pub fn list<T>(
        &mut self,
        list: impl ExactSizeIterator<Item = T>,
        mut element: impl FnMut(&mut Self, T),
    ) {
        self.i32(length(list.len()));
        list.for_each(|each| element(self, each));
    }

    /// A number as [`Reader::varlong`] reads it.
    pub fn varlong(&mut self, value: i64) {
        let mut value = ((value << 1) ^ (value >> 63)) as u64;
        while value >= 0x80 {
            self.bytes.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.put_u8(value as u8);
    }

    /// Bytes of a record, or null.
    pub fn record_bytes(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.varlong(bytes.len() as i64);
                self.bytes.put_slice(bytes);
            }
            None => self.varlong(-1),
        }
    }
}

/// A length on the wire.
fn length(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Writer::default();
        out.i8(-1);
        out.i64(i64::MIN);
        out.text("größe");
        out.text_or_null(None);
        out.bytes(b"ab");
        out.list([1, 2, 3].into_iter(), Writer::i32);
        let numbers = [0, -1, 63, 64, -65, i64::MAX, i64::MIN];
        numbers.into_iter().for_each(|number| out.varlong(number));
        out.record_bytes(None);
        out.record_bytes(Some(b""));
        let mut reader = Reader::new(out.bytes.freeze());
        assert_eq!(reader.i8(), Ok(-1));
        assert_eq!(reader.i64(), Ok(i64::MIN));
        assert_eq!(reader.text().as_deref(), Ok("größe"));
        assert_eq!(reader.text_or_null(), Ok(None));
        assert_eq!(reader.bytes(), Ok(Some(Bytes::from_static(b"ab"))));
        assert_eq!(reader.list(Reader::i32), Ok(vec![1, 2, 3]));
        for number in numbers {
            assert_eq!(reader.varlong(), Ok(number));
        }
        assert_eq!(reader.record_bytes(), Ok(None));
        assert_eq!(reader.record_bytes(), Ok(Some(Bytes::new())));
        assert_eq!(reader.remaining(), 0);
        assert_eq!(reader.i8(), Err(WireError::Short));
    }

    #[test]
    fn a_length_that_lies_is_refused() {
        let reader = |bytes: &'static [u8]| Reader::new(Bytes::from_static(bytes));
        assert_eq!(reader(&[0x7f, 0xff, 0xff, 0xff, 1]).bytes(), Err(WireError::Short));
        assert_eq!(reader(&[0x80, 0, 0, 0]).bytes(), Err(WireError::Length));
        assert_eq!(reader(&[0x7f, 0xff, 0xff, 0xff, 1]).list(Reader::i8), Err(WireError::Length));
        assert_eq!(reader(&[0x80, 0]).text(), Err(WireError::Length));
        assert_eq!(reader(&[0, 1, 0xff]).text(), Err(WireError::Text));
        assert_eq!(reader(&[0xff; 10]).varlong(), Err(WireError::Varint));
        assert_eq!(reader(&[0xff, 0xff, 0xff, 0xff, 0x7f]).varint(), Err(WireError::Varint));
    }
}
