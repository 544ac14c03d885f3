//! Encoded spans under their resources and scopes.
//!
//! As [`model::TracesEncoder`], but a resource is looked up once for all spans that share it, and
//! kept once for all of its scopes: a sender may have one of many bytes and a scope for each span.

use std::collections::HashMap;
use std::sync::Arc;

use model::wire::{put_bytes_field, put_message};

/// A resource among those of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ResourceAt(usize);

/// Messages `Resource` and `InstrumentationScope`, each once, in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    resources: Vec<(Arc<[u8]>, Vec<usize>)>,
    /// A scope's message and the encoded spans under it.
    scopes: Vec<(Arc<[u8]>, Vec<u8>)>,
    resource_index: HashMap<Arc<[u8]>, usize>,
    scope_index: HashMap<(usize, Arc<[u8]>), usize>,
}

impl Groups {
    /// The place of a resource, given as its message.
    pub(crate) fn resource(&mut self, message: &[u8]) -> ResourceAt {
        if let Some(&known) = self.resource_index.get(message) {
            return ResourceAt(known);
        }
        let message: Arc<[u8]> = message.into();
        self.resource_index.insert(Arc::clone(&message), self.resources.len());
        self.resources.push((message, Vec::new()));
        ResourceAt(self.resources.len() - 1)
    }

    /// The fields `spans` of a resource's scope, to append to.
    pub(crate) fn spans(&mut self, ResourceAt(resource): ResourceAt, scope: &[u8]) -> &mut Vec<u8> {
        let key = (resource, Arc::from(scope));
        let at = match self.scope_index.get(&key) {
            Some(&known) => known,
            None => {
                let new = self.scopes.len();
                self.scopes.push((Arc::clone(&key.1), Vec::new()));
                self.resources[resource].1.push(new);
                self.scope_index.insert(key, new);
                new
            }
        };
        &mut self.scopes[at].1
    }

    /// The `ExportTraceServiceRequest`. Resources without spans are left out.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for (resource, scopes) in self.resources {
            if scopes.is_empty() {
                continue;
            }
            put_message(&mut out, 1, |out| {
                put_bytes_field(out, 1, &resource);
                for scope in scopes {
                    let (scope, spans) = std::mem::take(&mut self.scopes[scope]);
                    put_message(out, 2, |out| {
                        put_bytes_field(out, 1, &scope);
                        out.extend_from_slice(&spans);
                    });
                }
            });
        }
        out
    }
}
