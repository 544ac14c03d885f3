//! Distinct numbers in order of appearance: the dictionary of a column of numbers.

/// Numbers below this have a place of their own.
const DIRECT: usize = 1024;
const NONE: u32 = u32::MAX;

/// Numbers by code.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    keys: Vec<u64>,
    /// The codes of small numbers.
    direct: Vec<u32>,
    /// Codes by hash, open addressing, at most half full.
    slots: Vec<u32>,
}

impl Numbering {
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.direct.fill(NONE);
        self.slots.fill(NONE);
    }

    /// The numbers by code.
    pub(crate) fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// Forgets the codes behind the first ones. No further codes can be asked for.
    pub(crate) fn truncate(&mut self, codes: usize) {
        self.keys.truncate(codes);
    }

    /// The code of a number.
    #[inline]
    pub(crate) fn code(&mut self, key: u64) -> u32 {
        if key < DIRECT as u64 {
            if self.direct.is_empty() {
                self.direct.resize(DIRECT, NONE);
            }
            let place = &mut self.direct[key as usize];
            if *place == NONE {
                *place = self.keys.len() as u32;
                self.keys.push(key);
            }
            return *place;
        }
        if self.keys.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash(key) as usize & mask;
        loop {
            let code = self.slots[at];
            if code == NONE {
                self.slots[at] = self.keys.len() as u32;
                self.keys.push(key);
                return self.slots[at];
            }
            if self.keys[code as usize] == key {
                return code;
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let len = (self.keys.len() * 4).next_power_of_two().max(256);
        self.slots.clear();
        self.slots.resize(len, NONE);
        for (code, &key) in self.keys.iter().enumerate().filter(|(_, key)| **key >= DIRECT as u64) {
            let mut at = hash(key) as usize & (len - 1);
            while self.slots[at] != NONE {
                at = (at + 1) & (len - 1);
            }
            self.slots[at] = code as u32;
        }
    }
}

fn hash(key: u64) -> u64 {
    let product = u128::from(key ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_in_order_of_appearance(keys in prop::collection::vec(0u64..3000, 0..3000)) {
            let mut numbering = Numbering::default();
            for _ in 0..2 {
                numbering.clear();
                let mut seen = Vec::new();
                for &key in &keys {
                    // Also large ones, as those of doubles.
                    let key = if key % 2 == 0 { key } else { key << 50 };
                    let code = seen.iter().position(|&other| other == key).unwrap_or_else(|| {
                        seen.push(key);
                        seen.len() - 1
                    });
                    prop_assert_eq!(numbering.code(key), code as u32);
                }
                prop_assert_eq!(numbering.keys(), &seen[..]);
            }
        }
    }
}
