//! Spans of Spanfall's own work: one for each request that a receiver hands on, and one for each
//! that an exporter sends.
//!
//! Whose work it is goes along in the task's own storage, so that nothing that flows has to carry
//! it: an exporter without a queue, or with one in memory, finds the request that it works for.
//! What gathers requests on the way (`batch`) ends that. Without `traces.processors` all of this is
//! a look at one flag.

mod context;
mod encode;
mod plan;
mod sampler;
mod traced;
mod tracer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

pub(crate) use context::{Incoming, SpanContext, context, incoming, traceparent};
pub(super) use plan::{TracesPlan, traces};
pub use traced::Traced;
pub(crate) use traced::sent;
pub(crate) use tracer::{Kind, Tracer};

/// Where spans of own work are left, if anybody wants them. Clones share it.
///
/// Settings that differ in nothing else are equal: it is no setting.
#[derive(Clone, Default)]
pub struct OwnTraces {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_on: AtomicBool,
    tracer: RwLock<Option<Arc<Tracer>>>,
}

impl OwnTraces {
    /// Who takes spans now.
    pub(crate) fn tracer(&self) -> Option<Arc<Tracer>> {
        if !self.shared.is_on.load(Ordering::Relaxed) {
            return None;
        }
        self.shared.tracer.read().clone()
    }

    /// Spans are taken from now on.
    pub(super) fn set(&self, tracer: Arc<Tracer>) {
        *self.shared.tracer.write() = Some(tracer);
        self.shared.is_on.store(true, Ordering::Relaxed);
    }

    /// They are not any more, unless another takes them by now.
    pub(super) fn unset(&self, tracer: &Arc<Tracer>) {
        let mut own = self.shared.tracer.write();
        if own.as_ref().is_some_and(|own| Arc::ptr_eq(own, tracer)) {
            self.shared.is_on.store(false, Ordering::Relaxed);
            *own = None;
        }
    }
}

impl fmt::Debug for OwnTraces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_on = self.shared.is_on.load(Ordering::Relaxed);
        f.write_str(if is_on { "OwnTraces(on)" } else { "OwnTraces(off)" })
    }
}

impl PartialEq for OwnTraces {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for OwnTraces {}
