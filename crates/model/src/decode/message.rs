//! A protobuf message that is being read, and what its errors name.

use super::DecodeError;
use crate::wire::{Field, Reader, WireError};

/// A reader and the name of its message, for errors.
pub(super) struct Message<'a> {
    reader: Reader<'a>,
    name: &'static str,
}

impl<'a> Message<'a> {
    pub(super) fn new(name: &'static str, bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes), name }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, DecodeError> {
        self.reader.next_field().map_err(|error| self.error(error))
    }

    /// As [`Reader::next_short`].
    #[inline(always)]
    pub(super) fn next_short(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.reader.next_short(tag)
    }

    fn error(&self, error: WireError) -> DecodeError {
        DecodeError::Wire { error, message: self.name, position: self.reader.position() }
    }

    pub(super) fn mismatch(&self, number: u32) -> DecodeError {
        self.error(WireError::Mismatch(number))
    }
}

/// The content of a field of the expected wire type, or an error from this function.
macro_rules! content {
    ($message:ident, $number:ident, $field:ident, $variant:ident) => {
        match $field {
            $crate::wire::Field::$variant(value) => value,
            _ => return Err($message.mismatch($number)),
        }
    };
}

pub(super) use content;
