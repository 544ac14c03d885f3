//! Distinct texts by number, and the interner that makes them.

use hashbrown::HashTable;

/// Texts, or other bytes, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Texts {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of all together.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start as usize..self.ends[number] as usize]
    }

    /// As text; empty when it is none.
    pub(crate) fn text(&self, number: u32) -> &str {
        std::str::from_utf8(self.get(number)).unwrap_or_default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len() as u32).map(|number| self.get(number))
    }

    pub(crate) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
    }
}

/// Distinct texts, numbered in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    table: HashTable<u32>,
    texts: Texts,
    hasher: foldhash::fast::FixedState,
}

impl Interner {
    pub(crate) fn texts(&self) -> &Texts {
        &self.texts
    }

    pub(crate) fn get(&self, number: u32) -> &[u8] {
        self.texts.get(number)
    }

    #[inline]
    pub(crate) fn intern(&mut self, text: &[u8]) -> u32 {
        use std::hash::BuildHasher;
        let Self { table, texts, hasher } = self;
        let hash = hasher.hash_one(text);
        if let Some(&number) = table.find(hash, |&number| texts.get(number) == text) {
            return number;
        }
        let number = texts.len() as u32;
        texts.push(text);
        table.insert_unique(hash, number, |&number| hasher.hash_one(texts.get(number)));
        number
    }
}
