//! What was read of blocks and is likely to be asked again, within a bound of bytes.
//!
//! What goes is the older of two that are picked at random: if it were always the oldest, a query
//! over all blocks that needs a little more than there is room for would find nothing at all.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::scopes::{ScopeRow, SharedScopes};

type Key = (String, &'static str);

struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
    used: u64,
}

/// Decoded parts of blocks, and scopes that several of them share.
#[derive(Default)]
pub(crate) struct Cache {
    inner: Mutex<Inner>,
    scopes: Mutex<SharedScopes>,
    bytes_max: usize,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    bytes: usize,
    clock: u64,
    /// The last random number.
    random: u64,
}

impl Inner {
    /// One of two entries, the one that was not used for longer; never this one.
    fn victim(&mut self, but: &Key) -> Option<Key> {
        let others = self.entries.len().checked_sub(1).filter(|&others| others > 0)?;
        let first = self.next_random() as usize % others;
        let second = (first + 1 + self.next_random() as usize % (others.max(2) - 1)) % others;
        let mut entries = self.entries.iter().filter(|(key, _)| *key != but);
        let one = entries.nth(first.min(second))?;
        let apart = first.abs_diff(second);
        let other = if apart == 0 { None } else { entries.nth(apart - 1) };
        let older = other.filter(|other| other.1.used < one.1.used).unwrap_or(one);
        Some(older.0.clone())
    }

    /// The generator of Marsaglia, "Xorshift RNGs" (Journal of Statistical Software, 2003).
    fn next_random(&mut self) -> u64 {
        let mut random = self.random.max(1);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random = random;
        random
    }
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), scopes: Mutex::default(), bytes_max }
    }

    /// The row of a scope, the same for all blocks, and its bytes, 0 where another block has it;
    /// `None` for what is no scope.
    pub(crate) fn scope(&self, message: &[u8]) -> Option<(Arc<ScopeRow>, usize)> {
        self.scopes.lock().row(message)
    }

    /// The part of a block, loaded by `load` unless it is here. `load` also gives its size.
    pub(crate) fn get<T: Any + Send + Sync, E>(
        &self,
        block: &str,
        part: &'static str,
        load: impl FnOnce() -> Result<(T, usize), E>,
    ) -> Result<Arc<T>, E> {
        let key = (block.to_owned(), part);
        {
            let mut inner = self.inner.lock();
            inner.clock += 1;
            let now = inner.clock;
            if let Some(entry) = inner.entries.get_mut(&key) {
                entry.used = now;
                if let Ok(value) = entry.value.clone().downcast::<T>() {
                    return Ok(value);
                }
            }
        }
        let (value, bytes) = load()?;
        let value = Arc::new(value);
        let mut inner = self.inner.lock();
        let used = inner.clock;
        let entry = Entry { value: value.clone(), bytes, used };
        if let Some(before) = inner.entries.insert(key.clone(), entry) {
            inner.bytes -= before.bytes;
        }
        inner.bytes += bytes;
        while inner.bytes > self.bytes_max {
            let Some(victim) = inner.victim(&key) else { break };
            if let Some(entry) = inner.entries.remove(&victim) {
                inner.bytes -= entry.bytes;
            }
        }
        Ok(value)
    }

    /// Forgets a block that is gone.
    pub(crate) fn forget(&self, block: &str) {
        let mut inner = self.inner.lock();
        let Inner { entries, bytes, .. } = &mut *inner;
        entries.retain(|(of, _), entry| {
            let keep = of != block;
            if !keep {
                *bytes -= entry.bytes;
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(cache: &Cache, block: &str, value: u32) -> (u32, bool) {
        let mut loaded = false;
        let got = cache
            .get::<u32, ()>(block, "part", || {
                loaded = true;
                Ok((value, 40))
            })
            .unwrap();
        (*got, loaded)
    }

    /// Blocks that are looked at one after the other, again and again.
    #[test]
    fn keeps_most_of_what_does_not_quite_fit() {
        let cache = Cache::new(4000);
        let blocks: Vec<String> = (0..110).map(|block| block.to_string()).collect();
        let round = |_| blocks.iter().filter(|block| load(&cache, block, 1).1).count();
        let loaded: Vec<usize> = (0..20).map(round).collect();
        assert_eq!(loaded[0], 110);
        assert!(loaded[10..].iter().all(|&loaded| loaded < 60), "{loaded:?}");
        assert!(cache.inner.lock().bytes <= 4000);
    }

    #[test]
    fn keeps_what_was_used_last() {
        let cache = Cache::new(100);
        assert_eq!(load(&cache, "a", 1), (1, true));
        assert_eq!(load(&cache, "b", 2), (2, true));
        assert_eq!(load(&cache, "a", 9), (1, false));
        assert_eq!(load(&cache, "c", 3), (3, true));
        assert_eq!(load(&cache, "a", 9), (1, false));
        assert_eq!(load(&cache, "b", 4), (4, true));
        cache.forget("b");
        assert_eq!(load(&cache, "b", 5), (5, true));
    }
}
