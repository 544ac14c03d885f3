//! Texts inside lists and maps, edited where they are: messages of `common.proto`.

use model::wire::{Field, Reader, put_bytes_field, put_message};

/// What is done to texts and entries.
pub(super) struct Edits<'a> {
    /// What a text becomes; nothing if it stays.
    pub text: &'a dyn Fn(&str) -> Option<String>,
    /// The text that an entry's value becomes whole, by its key and the `AnyValue`; nothing if it
    /// is looked into as others are.
    pub entry: &'a dyn Fn(&str, &[u8]) -> Option<String>,
}

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

    /// The message with its texts and entries edited; nothing if all stay as they are. The decoder
    /// of batches has checked the message, and bounds how deep it nests.
    pub fn edited(self, message: &[u8], edits: &Edits<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(message.len());
        self.put_edited(&mut out, message, edits).then_some(out)
    }

    fn put_edited(self, out: &mut Vec<u8>, message: &[u8], edits: &Edits<'_>) -> bool {
        let mut is_edited = false;
        let mut reader = Reader::new(message);
        let mut start = 0;
        let key = if self == Self::Entry { key(message) } else { "" };
        while let Ok(Some((number, field))) = reader.next_field() {
            match (self.inner(number), field) {
                (Some(Self::Text), Field::Bytes(bytes)) => {
                    let edited = std::str::from_utf8(bytes).ok().and_then(edits.text);
                    is_edited |= edited.is_some();
                    put_bytes_field(out, number, edited.as_deref().map_or(bytes, str::as_bytes));
                }
                (Some(part), Field::Bytes(bytes)) => put_message(out, number, |out| {
                    let whole = (self == Self::Entry).then(|| (edits.entry)(key, bytes)).flatten();
                    is_edited |= match whole {
                        Some(text) => {
                            put_bytes_field(out, 1, text.as_bytes());
                            true
                        }
                        None => part.put_edited(out, bytes, edits),
                    };
                }),
                _ => out.extend_from_slice(&message[start..reader.position()]),
            }
            start = reader.position();
        }
        is_edited
    }
}

/// The key of a `KeyValue`, which may stand behind its value.
fn key(message: &[u8]) -> &str {
    let mut key = "";
    let mut reader = Reader::new(message);
    while let Ok(Some((number, field))) = reader.next_field() {
        if let (1, Field::Bytes(bytes)) = (number, field) {
            key = std::str::from_utf8(bytes).unwrap_or_default();
        }
    }
    key
}
