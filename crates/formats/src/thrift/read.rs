//! Reading, within bounds: nothing is kept for a length or a count before its bytes are there.

use super::{DEPTH_MAX, Kind, MessageKind, Protocol, STOP};
use crate::payload::{FormatError, too_many};

/// Pulls values out of bytes, front to back.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    protocol: Protocol,
    depth: usize,
    /// List elements, map entries and structs that may still come.
    elements_left: usize,
    elements_max: usize,
    /// The compact protocol has a field's boolean in the field's header.
    boolean: Option<bool>,
}

/// The header of a struct's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its number.
    pub id: i16,
    /// The type of its value.
    pub kind: Kind,
}

/// The header of a list or a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// The type of its elements.
    pub kind: Kind,
    /// How many it says it has: no more than there are bytes left.
    pub count: usize,
}

/// The envelope of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// The method.
    pub name: &'a [u8],
    /// What the message is for.
    pub kind: MessageKind,
    /// The caller's number for it.
    pub sequence: i32,
}

impl<'a> Reader<'a> {
    /// A reader of bytes with at most so many elements of lists and maps in them.
    pub fn new(bytes: &'a [u8], protocol: Protocol, elements_max: usize) -> Self {
        let elements_left = elements_max;
        Self { bytes, at: 0, protocol, depth: 0, elements_left, elements_max, boolean: None }
    }

    /// Where the reader is, in bytes.
    pub fn position(&self) -> usize {
        self.at
    }

    /// An error at this place.
    pub fn error(&self, what: impl Into<String>) -> FormatError {
        FormatError::new(what, self.at)
    }

    /// The envelope of a message; its arguments are a struct that follows.
    pub fn message(&mut self) -> Result<Message<'a>, FormatError> {
        match self.protocol {
            Protocol::Binary => self.binary_message(),
            Protocol::Compact => self.compact_message(),
        }
    }

    fn binary_message(&mut self) -> Result<Message<'a>, FormatError> {
        let start = self.at;
        let first = self.i32()?;
        if first >= 0 {
            // Without a version, a message begins with the length of its name.
            let name = self.take(first as usize)?;
            let kind = self.message_kind()?;
            return Ok(Message { name, kind, sequence: self.i32()? });
        }
        let [high, version, _, kind] = first.to_be_bytes();
        if [high, version] != [0x80, 1] {
            return Err(FormatError::new("a Thrift message of an unknown version", start));
        }
        let kind = MessageKind::of(kind)
            .ok_or_else(|| FormatError::new("a Thrift message of an unknown type", start))?;
        Ok(Message { name: self.binary()?, kind, sequence: self.i32()? })
    }

    fn compact_message(&mut self) -> Result<Message<'a>, FormatError> {
        if self.byte()? != 0x82 {
            return Err(FormatError::new(
                "not a message of Thrift's compact protocol",
                self.at - 1,
            ));
        }
        let start = self.at;
        let head = self.byte()?;
        if head & 0x1f != 1 {
            return Err(FormatError::new("a Thrift message of an unknown version", start));
        }
        let kind = MessageKind::of(head >> 5)
            .ok_or_else(|| FormatError::new("a Thrift message of an unknown type", start))?;
        let sequence = self.varint()? as u32 as i32;
        Ok(Message { name: self.binary()?, kind, sequence })
    }

    fn message_kind(&mut self) -> Result<MessageKind, FormatError> {
        let start = self.at;
        MessageKind::of(self.byte()?)
            .ok_or_else(|| FormatError::new("a Thrift message of an unknown type", start))
    }

    /// Reads a struct: `take` is given each field and reads or skips its value.
    pub fn structure(
        &mut self,
        mut take: impl FnMut(&mut Self, Field) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        self.deeper()?;
        let mut last = 0;
        while let Some(field) = self.field(last)? {
            last = field.id;
            take(self, field)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn field(&mut self, last: i16) -> Result<Option<Field>, FormatError> {
        let start = self.at;
        let head = self.byte()?;
        if head == STOP {
            return Ok(None);
        }
        let number = match self.protocol {
            Protocol::Binary => head,
            Protocol::Compact => head & 0x0f,
        };
        let kind = self.kind(number, start)?;
        let id = match self.protocol {
            Protocol::Binary => i16::from_be_bytes(self.array()?),
            Protocol::Compact if head >> 4 == 0 => {
                let id = zigzag(self.varint()?);
                i16::try_from(id)
                    .map_err(|_| FormatError::new("an impossible field number", start))?
            }
            Protocol::Compact => last
                .checked_add(i16::from(head >> 4))
                .ok_or_else(|| FormatError::new("an impossible field number", start))?,
        };
        if self.protocol == Protocol::Compact && kind == Kind::Bool {
            self.boolean = Some(number == 1);
        }
        Ok(Some(Field { id, kind }))
    }

    fn kind(&self, number: u8, position: usize) -> Result<Kind, FormatError> {
        Kind::of(self.protocol, number)
            .ok_or_else(|| FormatError::new(format!("there is no Thrift type {number}"), position))
    }

    /// The header of a list or set. Its elements follow.
    pub fn list(&mut self) -> Result<List, FormatError> {
        let start = self.at;
        let head = self.byte()?;
        let (number, count) = match self.protocol {
            Protocol::Binary => (head, i64::from(self.i32()?)),
            Protocol::Compact if head >> 4 == 0x0f => (head & 0x0f, self.count()?),
            Protocol::Compact => (head & 0x0f, i64::from(head >> 4)),
        };
        // Old encoders give an empty list no type.
        if count == 0 {
            return Ok(List { kind: Kind::Struct, count: 0 });
        }
        let kind = self.kind(number, start)?;
        Ok(List { kind, count: self.announced(count, 1, start)? })
    }

    /// Reads a list of one type: `take` reads an element each time.
    pub fn elements(
        &mut self,
        kind: Kind,
        mut take: impl FnMut(&mut Self) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let start = self.at;
        let list = self.list()?;
        if list.count > 0 && list.kind != kind {
            let what = format!("a list of {:?} instead of {kind:?}", list.kind);
            return Err(FormatError::new(what, start));
        }
        (0..list.count).try_for_each(|_| take(self))
    }

    fn count(&mut self) -> Result<i64, FormatError> {
        Ok(i64::try_from(self.varint()?).unwrap_or(i64::MAX))
    }

    /// A count that the rest can hold, each element taking some bytes, and that is within bounds.
    fn announced(
        &mut self,
        count: i64,
        bytes_each: usize,
        position: usize,
    ) -> Result<usize, FormatError> {
        let left = self.bytes.len() - self.at;
        let count = usize::try_from(count)
            .ok()
            .filter(|count| count.checked_mul(bytes_each).is_some_and(|bytes| bytes <= left))
            .ok_or_else(|| {
                FormatError::new(format!("{count} elements where {left} bytes follow"), position)
            })?;
        self.elements_left = self
            .elements_left
            .checked_sub(count)
            .ok_or_else(|| too_many(self.elements_max, position))?;
        Ok(count)
    }

    /// A boolean, of the field whose header was read last or of a list.
    pub fn bool(&mut self) -> Result<bool, FormatError> {
        match self.boolean.take() {
            Some(value) => Ok(value),
            None => self.byte().map(|byte| byte == 1),
        }
    }

    /// A byte.
    pub fn byte(&mut self) -> Result<u8, FormatError> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    /// 16 bits.
    pub fn i16(&mut self) -> Result<i16, FormatError> {
        match self.protocol {
            Protocol::Binary => self.array().map(i16::from_be_bytes),
            Protocol::Compact => self.varint().map(|value| zigzag(value) as i16),
        }
    }

    /// 32 bits.
    pub fn i32(&mut self) -> Result<i32, FormatError> {
        match self.protocol {
            Protocol::Binary => self.array().map(i32::from_be_bytes),
            Protocol::Compact => self.varint().map(|value| zigzag(value) as i32),
        }
    }

    /// 64 bits.
    pub fn i64(&mut self) -> Result<i64, FormatError> {
        match self.protocol {
            Protocol::Binary => self.array().map(i64::from_be_bytes),
            Protocol::Compact => self.varint().map(zigzag),
        }
    }

    /// A floating-point number.
    pub fn double(&mut self) -> Result<f64, FormatError> {
        match self.protocol {
            Protocol::Binary => self.array().map(f64::from_be_bytes),
            Protocol::Compact => self.array().map(f64::from_le_bytes),
        }
    }

    /// Bytes, where they lie.
    pub fn binary(&mut self) -> Result<&'a [u8], FormatError> {
        let start = self.at;
        let length = match self.protocol {
            Protocol::Binary => i64::from(self.i32()?),
            Protocol::Compact => self.count()?,
        };
        let length = usize::try_from(length)
            .map_err(|_| FormatError::new(format!("a length of {length} bytes"), start))?;
        self.take(length)
    }

    /// Goes past a value.
    pub fn skip(&mut self, kind: Kind) -> Result<(), FormatError> {
        match kind {
            Kind::Bool => self.bool().map(drop),
            Kind::I8 => self.byte().map(drop),
            Kind::I16 => self.i16().map(drop),
            Kind::I32 => self.i32().map(drop),
            Kind::I64 => self.i64().map(drop),
            Kind::Double => self.double().map(drop),
            Kind::Binary => self.binary().map(drop),
            Kind::Uuid => self.take(16).map(drop),
            Kind::Struct => self.structure(|reader, field| reader.skip(field.kind)),
            Kind::List | Kind::Set => {
                self.deeper()?;
                let list = self.list()?;
                (0..list.count).try_for_each(|_| self.skip(list.kind))?;
                self.depth -= 1;
                Ok(())
            }
            Kind::Map => self.skip_map(),
        }
    }

    fn skip_map(&mut self) -> Result<(), FormatError> {
        self.deeper()?;
        let start = self.at;
        let (kinds, count) = match self.protocol {
            Protocol::Binary => {
                let kinds = [self.byte()?, self.byte()?];
                (kinds, i64::from(self.i32()?))
            }
            Protocol::Compact => match self.count()? {
                0 => ([0, 0], 0),
                count => {
                    let kinds = self.byte()?;
                    ([kinds >> 4, kinds & 0x0f], count)
                }
            },
        };
        if count != 0 {
            let [key, value] = [self.kind(kinds[0], start)?, self.kind(kinds[1], start)?];
            for _ in 0..self.announced(count, 2, start)? {
                self.skip(key)?;
                self.skip(value)?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), FormatError> {
        self.depth += 1;
        // A boolean in a header belongs to a field, and this value is another.
        self.boolean = None;
        if self.depth > DEPTH_MAX {
            return Err(self.error(format!("values nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, FormatError> {
        let start = self.at;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(FormatError::new("a varint is longer than ten bytes", start))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..length).ok_or_else(|| {
            self.error(format!("{length} bytes are announced where {} follow", rest.len()))
        })?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (taken, _) =
            rest.split_first_chunk().ok_or_else(|| self.error("the bytes end inside a value"))?;
        self.at += N;
        Ok(*taken)
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
