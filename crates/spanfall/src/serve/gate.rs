//! A store as those see it who read: one that can be closed while they hold it.
//!
//! A data folder is free for another store when nobody holds the old one. Queries may take long,
//! and whoever reads an answer that is streamed, longer: closing does not wait for them.

use std::sync::Arc;

use async_trait::async_trait;
use model::{SpanBatch, TraceId};
use parking_lot::RwLock;
use store::{
    AppendError, AttributeRow, ChoiceRequest, EdgeRequest, EdgeSet, FieldValues, FindRequest,
    FoundPage, Health, Level, MeasureRequest, Measured, NameSet, OperationRow, QueryError,
    ReadError, RedRequest, RedSet, SearchPage, SearchRequest, SeriesRequest, SeriesSet, ServiceRow,
    Store, StoreStatus, TraceMetricsRequest, TraceMetricsSet, TraceRead, TraceSummary, ValueList,
    Watcher,
};
use tokio_util::sync::CancellationToken;

/// A store until it is closed. Clones share it.
#[derive(Clone)]
pub(super) struct Gate {
    store: Arc<RwLock<Option<Arc<dyn Store>>>>,
    closed: CancellationToken,
}

impl Gate {
    /// Open.
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store: Arc::new(RwLock::new(Some(store))), closed: CancellationToken::new() }
    }

    /// Ends queries, and lets go of the store as they end.
    pub(super) fn close(&self) {
        *self.store.write() = None;
        self.closed.cancel();
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        self.store.read().clone()
    }
}

/// The store's answer, or an error if it is closed before there is one.
macro_rules! ask {
    ($own:ident, $store:ident => $question:expr) => {{
        let Some($store) = $own.store() else { return Err(ReadError::Closed.into()) };
        tokio::select! {
            answer = $question => answer,
            () = $own.closed.cancelled() => Err(ReadError::Closed.into()),
        }
    }};
}

#[async_trait]
impl Store for Gate {
    /// Not cut short: who asks wants to know whether it is stored.
    async fn append(&self, batch: SpanBatch) -> Result<(), AppendError> {
        let store = self.store().ok_or(AppendError::Closed)?;
        store.append(batch).await
    }

    async fn trace(&self, id: TraceId) -> Result<TraceRead, ReadError> {
        ask!(self, store => store.trace(id))
    }

    async fn search(&self, request: SearchRequest) -> Result<SearchPage, ReadError> {
        ask!(self, store => store.search(request))
    }

    async fn find(
        &self,
        request: FindRequest,
        watcher: Option<Watcher<FoundPage>>,
    ) -> Result<FoundPage, QueryError> {
        ask!(self, store => store.find(request, watcher))
    }

    async fn measure(
        &self,
        request: MeasureRequest,
        watcher: Option<Watcher<Measured>>,
    ) -> Result<Measured, QueryError> {
        ask!(self, store => store.measure(request, watcher))
    }

    async fn series(&self, request: SeriesRequest) -> Result<SeriesSet, ReadError> {
        ask!(self, store => store.series(request))
    }

    async fn edges(&self, request: EdgeRequest) -> Result<EdgeSet, ReadError> {
        ask!(self, store => store.edges(request))
    }

    async fn red(&self, request: RedRequest) -> Result<RedSet, ReadError> {
        ask!(self, store => store.red(request))
    }

    async fn trace_metrics(
        &self,
        request: TraceMetricsRequest,
    ) -> Result<TraceMetricsSet, QueryError> {
        ask!(self, store => store.trace_metrics(request))
    }

    async fn summaries(&self, ids: Vec<TraceId>) -> Result<Vec<TraceSummary>, ReadError> {
        ask!(self, store => store.summaries(ids))
    }

    async fn services(&self) -> Result<Vec<ServiceRow>, ReadError> {
        ask!(self, store => store.services())
    }

    async fn operations(&self, service: Option<String>) -> Result<Vec<OperationRow>, ReadError> {
        ask!(self, store => store.operations(service))
    }

    async fn attributes(&self) -> Result<Vec<AttributeRow>, ReadError> {
        ask!(self, store => store.attributes())
    }

    async fn attribute_values(
        &self,
        level: Option<Level>,
        key: String,
        limit: usize,
    ) -> Result<ValueList, ReadError> {
        ask!(self, store => store.attribute_values(level, key, limit))
    }

    async fn names(&self, request: ChoiceRequest) -> Result<NameSet, QueryError> {
        ask!(self, store => store.names(request))
    }

    async fn field_values(
        &self,
        request: ChoiceRequest,
        field: traceql::Field,
        limit: usize,
    ) -> Result<FieldValues, QueryError> {
        ask!(self, store => store.field_values(request, field, limit))
    }

    fn status(&self) -> StoreStatus {
        self.store().map(|store| store.status()).unwrap_or_default()
    }

    fn health(&self) -> Health {
        let closed = || Health { problems: vec![ReadError::Closed.to_string()] };
        self.store().map_or_else(closed, |store| store.health())
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use store::{Engine, Options};

    use super::*;

    #[test]
    fn who_asks_or_holds_it_keeps_no_store_from_being_closed() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // The only thread that could answer is busy.
        let runtime = runtime.max_blocking_threads(1).build().unwrap();
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        runtime.spawn_blocking(move || is_done.recv());
        let folder = tempfile::TempDir::new().unwrap();
        let engine = Engine::open(Options::new(folder.path().to_owned()), |_, _| ()).unwrap();
        let engine: Arc<dyn Store> = Arc::new(engine);
        let gate = Gate::new(Arc::clone(&engine));
        let held: Arc<dyn Store> = Arc::new(gate.clone());
        runtime.block_on(async {
            let mut asks = pin!(held.services());
            let mut context = Context::from_waker(Waker::noop());
            assert!(asks.as_mut().poll(&mut context).is_pending());
            assert_eq!(Arc::strong_count(&engine), 3);
            gate.close();
            assert_eq!(asks.await, Err(ReadError::Closed));
            assert_eq!(Arc::strong_count(&engine), 1);
            assert_eq!(held.services().await, Err(ReadError::Closed));
            let nothing = SpanBatch::decode(bytes::Bytes::new()).unwrap();
            assert!(matches!(held.append(nothing).await, Err(AppendError::Closed)));
        });
        assert_eq!(held.health().problems, [ReadError::Closed.to_string()]);
        drop(done);
    }
}
