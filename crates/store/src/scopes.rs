//! Who sent a span: its resource and instrumentation scope, kept once and named by a number.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
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
    rows: HashMap<Bytes, Arc<ScopeRow>>,
}

impl ScopePool {
    /// The shared row of a batch's scope.
    pub(crate) fn row(&mut self, batch: &SpanBatch, scope: &Scope) -> Option<Arc<ScopeRow>> {
        let resource = &batch.resources()[scope.resource as usize];
        let mut encoder = TracesEncoder::new();
        encoder.origin(
            batch.bytes_of(resource.message),
            batch.bytes_of(resource.schema_url),
            batch.bytes_of(scope.message),
            batch.bytes_of(scope.schema_url),
        );
        let message = encoder.finish();
        if let Some(row) = self.rows.get(message.as_slice()) {
            return Some(row.clone());
        }
        let row = Arc::new(ScopeRow::new(Bytes::from(message))?);
        self.rows.insert(row.message.clone(), row.clone());
        Some(row)
    }

    /// Forgets all rows; those in use live on with their pieces.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
    }
}

/// A piece's scopes in the order of their numbers, each once.
#[derive(Debug, Default, Clone)]
pub(crate) struct ScopeList {
    rows: Vec<Arc<ScopeRow>>,
    numbers: HashMap<Bytes, i32>,
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
