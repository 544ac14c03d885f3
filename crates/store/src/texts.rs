//! Text columns as Arrow dictionaries, and the interner that makes them.

use std::sync::Arc;

use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use hashbrown::HashTable;

/// Distinct texts, numbered in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    table: HashTable<i32>,
    bytes: Vec<u8>,
    /// One entry more than texts.
    offsets: Vec<i32>,
    hasher: foldhash::fast::FixedState,
}

impl Interner {
    pub(crate) fn get(&self, number: i32) -> &[u8] {
        let number = number as usize;
        &self.bytes[self.offsets[number] as usize..self.offsets[number + 1] as usize]
    }

    #[inline]
    pub(crate) fn intern(&mut self, text: &[u8]) -> i32 {
        use std::hash::BuildHasher;
        let Self { table, bytes, offsets, hasher } = self;
        let at = |number: i32| {
            let number = number as usize;
            offsets[number] as usize..offsets[number + 1] as usize
        };
        let hash = hasher.hash_one(text);
        if let Some(&number) = table.find(hash, |&number| &bytes[at(number)] == text) {
            return number;
        }
        if offsets.is_empty() {
            offsets.push(0);
        }
        let number = (offsets.len() - 1) as i32;
        bytes.extend_from_slice(text);
        offsets.push(bytes.len() as i32);
        table.insert_unique(hash, number, |&number| {
            let number = number as usize;
            hasher.hash_one(&bytes[offsets[number] as usize..offsets[number + 1] as usize])
        });
        number
    }

    /// The texts as an Arrow array. They came from checked UTF-8.
    pub(crate) fn values(&self) -> StringArray {
        let offsets = if self.offsets.is_empty() { vec![0] } else { self.offsets.clone() };
        StringArray::new(
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Buffer::from_slice_ref(&self.bytes),
            None,
        )
    }
}

/// A text column from codes into distinct texts.
pub(crate) fn dictionary(keys: Int32Array, values: StringArray) -> ArrayRef {
    Arc::new(DictionaryArray::new(keys, Arc::new(values)))
}
