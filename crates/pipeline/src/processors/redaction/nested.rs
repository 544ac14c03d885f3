//! Texts inside lists and maps, edited where they are: messages of `common.proto`.

use model::wire::{Field, Reader, put_bytes_field, put_message};

/// A message that has texts, or one of its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `ArrayValue`.
    Array,
    /// `KeyValueList`.
    Map,
    /// `KeyValue`.
    Entry,
    /// `AnyValue`.
    Value,
    Text,
}

impl Part {
    /// What a field of it holds, as far as that has texts. Keys are none.
    fn inner(self, number: u32) -> Option<Self> {
        match (self, number) {
            (Self::Array, 1) | (Self::Entry, 2) => Some(Self::Value),
            (Self::Map, 1) => Some(Self::Entry),
            (Self::Value, 1) => Some(Self::Text),
            (Self::Value, 5) => Some(Self::Array),
            (Self::Value, 6) => Some(Self::Map),
            _ => None,
        }
    }

    /// The message with its texts as `edit` gives them; nothing if it leaves them all as they are.
    /// The decoder of batches has checked the message, and bounds how deep it nests.
    pub fn edited(
        self,
        message: &[u8],
        edit: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(message.len());
        self.put_edited(&mut out, message, edit).then_some(out)
    }

    fn put_edited(
        self,
        out: &mut Vec<u8>,
        message: &[u8],
        edit: &mut dyn FnMut(&str) -> Option<String>,
    ) -> bool {
        let mut is_edited = false;
        let mut reader = Reader::new(message);
        let mut start = 0;
        while let Ok(Some((number, field))) = reader.next_field() {
            match (self.inner(number), field) {
                (Some(Self::Text), Field::Bytes(bytes)) => {
                    let edited = std::str::from_utf8(bytes).ok().and_then(&mut *edit);
                    is_edited |= edited.is_some();
                    put_bytes_field(out, number, edited.as_deref().map_or(bytes, str::as_bytes));
                }
                (Some(part), Field::Bytes(bytes)) => put_message(out, number, |out| {
                    is_edited |= part.put_edited(out, bytes, edit);
                }),
                _ => out.extend_from_slice(&message[start..reader.position()]),
            }
            start = reader.position();
        }
        is_edited
    }
}
