//! Which stores are open, for those that read what an exporter stores.

use std::collections::HashMap;
use std::sync::Arc;

use config::Id;
use parking_lot::Mutex;
use store::Store;
use tokio::sync::watch;

/// A store, while it is open.
pub(super) type Opened = Option<Arc<dyn Store>>;

/// The stores of the exporters `spanfall`, by the exporters' ids. Who reads starts before who
/// stores, and a reload may close a store and open another: readers watch.
#[derive(Default)]
pub(super) struct Stores {
    all: Mutex<HashMap<Id, watch::Sender<Opened>>>,
}

impl Stores {
    /// Tells that a store is open, or that it is about to be closed.
    pub(super) fn set(&self, exporter: &Id, store: Opened) {
        self.all.lock().entry(exporter.clone()).or_default().send_replace(store);
    }

    /// What becomes of a store, open yet or not.
    pub(super) fn watch(&self, exporter: &Id) -> watch::Receiver<Opened> {
        self.all.lock().entry(exporter.clone()).or_default().subscribe()
    }
}
