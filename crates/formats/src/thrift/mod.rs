//! Thrift's binary and compact protocols, read by pulling and written by appending.
//!
//! Source: Apache Thrift, "Thrift Binary protocol encoding" and "Thrift Compact protocol
//! encoding". Knows nothing of what the messages mean.

mod read;
mod write;

pub use read::{Field, List, Message, Reader};
pub use write::Writer;

/// How deep structs, lists and maps may lie in each other. Spans need five levels.
pub const DEPTH_MAX: usize = 64;

/// An encoding of Thrift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Fixed widths, big-endian. Messages are read with and without a version ("strict" and
    /// "old") and written with one.
    Binary,
    /// Varints and packed field headers.
    Compact,
}

/// The type of a field or element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A boolean.
    Bool,
    /// 8 bits, signed.
    I8,
    /// 16 bits, signed.
    I16,
    /// 32 bits, signed; enumerations as well.
    I32,
    /// 64 bits, signed.
    I64,
    /// IEEE 754 of 64 bits.
    Double,
    /// Bytes or text.
    Binary,
    /// Elements of one type.
    List,
    /// As a list.
    Set,
    /// Keys and values, each of one type.
    Map,
    /// Numbered fields.
    Struct,
    /// 16 bytes.
    Uuid,
}

/// Kinds by their number on the wire: binary, compact. A compact boolean that is false is 2 in a
/// field and has a byte of its own in a list.
const KINDS: [(Kind, u8, u8); 12] = [
    (Kind::Bool, 2, 1),
    (Kind::I8, 3, 3),
    (Kind::I16, 6, 4),
    (Kind::I32, 8, 5),
    (Kind::I64, 10, 6),
    (Kind::Double, 4, 7),
    (Kind::Binary, 11, 8),
    (Kind::List, 15, 9),
    (Kind::Set, 14, 10),
    (Kind::Map, 13, 11),
    (Kind::Struct, 12, 12),
    (Kind::Uuid, 16, 13),
];

/// The end of a struct, where a field's type would be.
const STOP: u8 = 0;

impl Kind {
    fn of(protocol: Protocol, number: u8) -> Option<Self> {
        let is_it = |(_, binary, compact): &&(Self, u8, u8)| match protocol {
            Protocol::Binary => *binary == number,
            Protocol::Compact => *compact == number || (number == 2 && *compact == 1),
        };
        KINDS.iter().find(is_it).map(|(kind, ..)| *kind)
    }

    fn number(self, protocol: Protocol) -> u8 {
        let known = KINDS.iter().find(|(kind, ..)| *kind == self);
        known.map_or(STOP, |(_, binary, compact)| match protocol {
            Protocol::Binary => *binary,
            Protocol::Compact => *compact,
        })
    }
}

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A request that waits for an answer.
    Call,
    /// An answer.
    Reply,
    /// An answer that is an error.
    Exception,
    /// A request without an answer.
    Oneway,
}

impl MessageKind {
    fn of(number: u8) -> Option<Self> {
        [Self::Call, Self::Reply, Self::Exception, Self::Oneway]
            .into_iter()
            .find(|kind| kind.number() == number)
    }

    fn number(self) -> u8 {
        match self {
            Self::Call => 1,
            Self::Reply => 2,
            Self::Exception => 3,
            Self::Oneway => 4,
        }
    }
}
