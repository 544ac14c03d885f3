//! Who sent a span: its resource and instrumentation scope, kept once and named by a number.

use std::hash::BuildHasher;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use hashbrown::{HashMap, HashTable};
use model::{Resource, Scope, SpanBatch, TracesEncoder};

/// A resource and a scope under it.
#[derive(Debug)]
pub(crate) struct ScopeRow {
    /// The two as a `TracesData` message without spans.
    message: Bytes,
    batch: SpanBatch,
    service: String,
}

impl ScopeRow {
    /// `None` when the message is not one resource with one scope.
    pub(crate) fn new(message: Bytes) -> Option<Self> {
        let batch = SpanBatch::decode(message.clone()).ok()?;
        let ([resource], [_]) = (batch.resources(), batch.scopes()) else {
            return None;
        };
        let service = batch.service_name(resource).to_owned();
        Some(Self { message, batch, service })
    }

    /// What it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.message.len() + self.batch.index_bytes() + self.service.len()
    }

    pub(crate) fn message(&self) -> &Bytes {
        &self.message
    }

    /// The resource's `service.name`; empty when it has none.
    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    pub(crate) fn batch(&self) -> &SpanBatch {
        &self.batch
    }

    pub(crate) fn resource(&self) -> &Resource {
        &self.batch.resources()[0]
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.batch.scopes()[0]
    }
}

/// Scopes by their content, shared by the pieces that name them.
#[derive(Debug, Default)]
pub(crate) struct ScopePool {
    rows: HashTable<Arc<ScopeRow>>,
    hasher: foldhash::fast::RandomState,
}

/// What tells scopes apart: both messages and both schema URLs.
fn parts<'a>(batch: &'a SpanBatch, scope: &Scope) -> [&'a [u8]; 4] {
    let resource = &batch.resources()[scope.resource as usize];
    [resource.message, resource.schema_url, scope.message, scope.schema_url]
        .map(|text| batch.bytes_of(text))
}

impl ScopePool {
    /// The shared row of a batch's scope.
    pub(crate) fn row(&mut self, batch: &SpanBatch, scope: &Scope) -> Option<Arc<ScopeRow>> {
        let Self { rows, hasher } = self;
        let wanted = parts(batch, scope);
        let hash = hasher.hash_one(wanted);
        let same = |row: &Arc<ScopeRow>| parts(&row.batch, row.scope()) == wanted;
        if let Some(row) = rows.find(hash, same) {
            return Some(row.clone());
        }
        let mut encoder = TracesEncoder::new();
        encoder.origin(wanted[0], wanted[1], wanted[2], wanted[3]);
        let row = Arc::new(ScopeRow::new(Bytes::from(encoder.finish()))?);
        rows.insert_unique(hash, row.clone(), |row| {
            hasher.hash_one(parts(&row.batch, row.scope()))
        });
        Some(row)
    }

    /// Forgets all rows; those in use live on with their pieces.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
    }
}

/// Scopes that blocks have in common, as long as one of them is in memory.
#[derive(Debug, Default)]
pub(crate) struct SharedScopes {
    rows: HashMap<Bytes, Weak<ScopeRow>, foldhash::fast::RandomState>,
    /// With so many entries those that are gone are looked for.
    clean_at: usize,
}

impl SharedScopes {
    /// The row of a message, and its bytes unless it was here before.
    pub(crate) fn row(&mut self, message: &[u8]) -> Option<(Arc<ScopeRow>, usize)> {
        if let Some(row) = self.rows.get(message).and_then(Weak::upgrade) {
            return Some((row, 0));
        }
        let row = Arc::new(ScopeRow::new(Bytes::copy_from_slice(message))?);
        if self.rows.len() >= self.clean_at {
            self.rows.retain(|_, row| row.strong_count() > 0);
            self.clean_at = 2 * self.rows.len() + 64;
        }
        self.rows.insert(row.message().clone(), Arc::downgrade(&row));
        let bytes = row.bytes();
        Some((row, bytes))
    }
}

/// A piece's scopes in the order of their numbers, each once.
#[derive(Debug, Default, Clone)]
pub(crate) struct ScopeList {
    rows: Vec<Arc<ScopeRow>>,
    numbers: HashMap<Bytes, i32, foldhash::fast::RandomState>,
}

impl ScopeList {
    /// The scope's number in this list.
    pub(crate) fn number(&mut self, row: &Arc<ScopeRow>) -> i32 {
        if let Some(&number) = self.numbers.get(row.message()) {
            return number;
        }
        let number = self.rows.len() as i32;
        self.rows.push(row.clone());
        self.numbers.insert(row.message().clone(), number);
        number
    }

    pub(crate) fn rows(&self) -> &[Arc<ScopeRow>] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(service: usize) -> Vec<u8> {
        let mut encoder = TracesEncoder::new();
        encoder.origin(b"", format!("service {service}").as_bytes(), b"", b"");
        encoder.finish()
    }

    #[test]
    fn blocks_share_scopes_as_long_as_one_has_them() {
        let mut shared = SharedScopes::default();
        let (first, bytes) = shared.row(&message(1)).unwrap();
        let (again, own) = shared.row(&message(1)).unwrap();
        assert!(Arc::ptr_eq(&first, &again) && bytes > 0 && own == 0);
        assert!(shared.row(b"no scope").is_none());
        for service in 0..1000 {
            shared.row(&message(service + 2)).unwrap();
        }
        assert!(shared.rows.len() <= 66, "{}", shared.rows.len());
        drop((first, again));
        assert!(shared.row(&message(1)).unwrap().1 > 0);
    }
}
