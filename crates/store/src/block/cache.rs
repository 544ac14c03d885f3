//! What was read of blocks and is likely to be asked again, within a bound of bytes.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

type Key = (String, &'static str);

struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
    used: u64,
}

/// Decoded parts of blocks; those not used for longest leave first.
#[derive(Default)]
pub(crate) struct Cache {
    inner: Mutex<Inner>,
    bytes_max: usize,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    bytes: usize,
    clock: u64,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), bytes_max }
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
        if let Some(before) = inner.entries.insert(key, entry) {
            inner.bytes -= before.bytes;
        }
        inner.bytes += bytes;
        while inner.bytes > self.bytes_max && inner.entries.len() > 1 {
            let oldest = inner.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            if let Some(entry) = inner.entries.remove(&key) {
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
