//! Writing.

use model::wire::put_varint;

use super::{Kind, MessageKind, Protocol, STOP};

/// Appends values.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    protocol: Protocol,
    /// The last field of the struct that is open; compact headers count from it.
    last: i16,
}

impl Writer {
    /// Nothing yet.
    pub fn new(protocol: Protocol) -> Self {
        Self { out: Vec::new(), protocol, last: 0 }
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// The envelope of a message; the struct of its arguments is to follow.
    pub fn message(&mut self, name: &str, kind: MessageKind, sequence: i32) {
        match self.protocol {
            Protocol::Binary => {
                self.out.extend_from_slice(&[0x80, 1, 0, kind.number()]);
                self.binary(name.as_bytes());
                self.i32(sequence);
            }
            Protocol::Compact => {
                self.out.extend_from_slice(&[0x82, kind.number() << 5 | 1]);
                put_varint(&mut self.out, u64::from(sequence as u32));
                self.binary(name.as_bytes());
            }
        }
    }

    /// A struct, whose fields `write` writes.
    pub fn structure(&mut self, write: impl FnOnce(&mut Self)) {
        let outer = std::mem::take(&mut self.last);
        write(self);
        self.out.push(STOP);
        self.last = outer;
    }

    /// A field's header, with its type's number.
    fn header(&mut self, id: i16, number: u8) {
        match self.protocol {
            Protocol::Binary => {
                self.out.push(number);
                self.out.extend_from_slice(&id.to_be_bytes());
            }
            Protocol::Compact => match id.checked_sub(self.last) {
                Some(step @ 1..=15) => self.out.push((step as u8) << 4 | number),
                _ => {
                    self.out.push(number);
                    put_varint(&mut self.out, zigzag(i64::from(id)));
                }
            },
        }
        self.last = id;
    }

    fn begin(&mut self, id: i16, kind: Kind) {
        self.header(id, kind.number(self.protocol));
    }

    /// A field that is a boolean.
    pub fn bool_field(&mut self, id: i16, value: bool) {
        match self.protocol {
            Protocol::Binary => {
                self.begin(id, Kind::Bool);
                self.out.push(u8::from(value));
            }
            Protocol::Compact => self.header(id, if value { 1 } else { 2 }),
        }
    }

    /// A field of 16 bits.
    pub fn i16_field(&mut self, id: i16, value: i16) {
        self.begin(id, Kind::I16);
        match self.protocol {
            Protocol::Binary => self.out.extend_from_slice(&value.to_be_bytes()),
            Protocol::Compact => put_varint(&mut self.out, zigzag(i64::from(value))),
        }
    }

    /// A field of 32 bits.
    pub fn i32_field(&mut self, id: i16, value: i32) {
        self.begin(id, Kind::I32);
        self.i32(value);
    }

    /// A field of 64 bits.
    pub fn i64_field(&mut self, id: i16, value: i64) {
        self.begin(id, Kind::I64);
        match self.protocol {
            Protocol::Binary => self.out.extend_from_slice(&value.to_be_bytes()),
            Protocol::Compact => put_varint(&mut self.out, zigzag(value)),
        }
    }

    /// A field that is a floating-point number.
    pub fn double_field(&mut self, id: i16, value: f64) {
        self.begin(id, Kind::Double);
        match self.protocol {
            Protocol::Binary => self.out.extend_from_slice(&value.to_be_bytes()),
            Protocol::Compact => self.out.extend_from_slice(&value.to_le_bytes()),
        }
    }

    /// A field that is bytes or text.
    pub fn binary_field(&mut self, id: i16, value: &[u8]) {
        self.begin(id, Kind::Binary);
        self.binary(value);
    }

    /// A field that is a struct, whose fields `write` writes.
    pub fn struct_field(&mut self, id: i16, write: impl FnOnce(&mut Self)) {
        self.begin(id, Kind::Struct);
        self.structure(write);
    }

    /// A field that is a list of structs; `write` writes the fields of each.
    pub fn structs_field<T>(&mut self, id: i16, list: &[T], write: impl FnMut(&mut Self, &T)) {
        self.begin(id, Kind::List);
        self.structs(list, write);
    }

    /// A list of structs; `write` writes the fields of each.
    pub fn structs<T>(&mut self, list: &[T], mut write: impl FnMut(&mut Self, &T)) {
        let number = Kind::Struct.number(self.protocol);
        match self.protocol {
            Protocol::Binary => {
                self.out.push(number);
                self.i32(i32::try_from(list.len()).unwrap_or(i32::MAX));
            }
            Protocol::Compact if list.len() < 15 => self.out.push((list.len() as u8) << 4 | number),
            Protocol::Compact => {
                self.out.push(0xf0 | number);
                put_varint(&mut self.out, list.len() as u64);
            }
        }
        for each in list {
            self.structure(|writer| write(writer, each));
        }
    }

    fn i32(&mut self, value: i32) {
        match self.protocol {
            Protocol::Binary => self.out.extend_from_slice(&value.to_be_bytes()),
            Protocol::Compact => put_varint(&mut self.out, zigzag(i64::from(value))),
        }
    }

    fn binary(&mut self, value: &[u8]) {
        match self.protocol {
            Protocol::Binary => self.i32(i32::try_from(value.len()).unwrap_or(i32::MAX)),
            Protocol::Compact => put_varint(&mut self.out, value.len() as u64),
        }
        self.out.extend_from_slice(value);
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}
