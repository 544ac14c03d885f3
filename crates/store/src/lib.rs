//! Where spans rest: the trait [`Store`] and the embedded engine behind it.
//!
//! The engine owns the write-ahead log, the in-memory head, sealed Parquet blocks, compaction and
//! retention. Nothing outside this crate knows Arrow or Parquet; nothing in it knows HTTP or YAML.
//! Spans come in and go out as [`model::SpanBatch`], which is OTLP.

mod attributes;
mod bits;
mod block;
mod builder;
mod catalog;
mod column;
mod columns;
mod edges;
mod engine;
mod fields;
mod files;
mod gather;
mod log;
mod memory;
mod merge;
mod parquet_file;
mod piece;
mod query;
mod scan;
mod scopes;
mod search;
mod spare;
mod spm;
mod summary;
mod texts;
mod trace;
mod trace_metrics;
mod types;

use async_trait::async_trait;
use model::{SpanBatch, TraceId};

pub use edges::{EdgeRequest, EdgeRow, EdgeSet};
pub use engine::{DiskLimit, Engine, OpenError, Options, SyncPolicy};
pub use log::{LogScan, scan_segment};
pub use spm::{Durations, RedRequest, RedSeries, RedSet};
pub use trace_metrics::{
    Cell, Cells, ConnectionType, ServiceGraphSeries, SpanMetricsBy, SpanMetricsSeries,
    TraceMetricsFamily, TraceMetricsRequest, TraceMetricsSet,
};
pub use types::*;

/// What the rest of Spanfall needs of a place for spans.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Stores a request's spans. On `Ok` they survive as the store promises and are found by
    /// every read from then on.
    async fn append(&self, batch: SpanBatch) -> Result<(), AppendError>;

    /// All spans of a trace.
    async fn trace(&self, id: TraceId) -> Result<TraceRead, ReadError>;

    /// Traces of which a span meets a filter, newest first.
    async fn search(&self, request: SearchRequest) -> Result<SearchPage, ReadError>;

    /// Traces for which a TraceQL pipeline leaves spans, newest first. `watcher` is told a few times
    /// a second what was found so far. Dropping the future ends the query.
    async fn find(
        &self,
        request: FindRequest,
        watcher: Option<Watcher<FoundPage>>,
    ) -> Result<FoundPage, QueryError>;

    /// Spans that a TraceQL metrics query counts over time. `watcher` is told a few times a second
    /// what was counted so far, without exemplars; of a comparison, and of series that are large,
    /// only how far it is. Dropping the future ends the query.
    async fn measure(
        &self,
        request: MeasureRequest,
        watcher: Option<Watcher<Measured>>,
    ) -> Result<Measured, QueryError>;

    /// Spans that meet a filter, counted over time.
    async fn series(&self, request: SeriesRequest) -> Result<SeriesSet, ReadError>;

    /// Which service called which, how often.
    async fn edges(&self, request: EdgeRequest) -> Result<EdgeSet, ReadError>;

    /// Rate, errors and durations of services, over time.
    async fn red(&self, request: RedRequest) -> Result<RedSet, ReadError>;

    /// Metrics of traces, over time. Dropping the future ends the query.
    async fn trace_metrics(
        &self,
        request: TraceMetricsRequest,
    ) -> Result<TraceMetricsSet, QueryError>;

    /// The summaries of traces, for those that exist, in the order asked.
    async fn summaries(&self, ids: Vec<TraceId>) -> Result<Vec<TraceSummary>, ReadError>;

    /// Services by name.
    async fn services(&self) -> Result<Vec<ServiceRow>, ReadError>;

    /// Operations of a service, or of all, by service, name and kind.
    async fn operations(&self, service: Option<String>) -> Result<Vec<OperationRow>, ReadError>;

    /// Attribute names by level and name.
    async fn attributes(&self) -> Result<Vec<AttributeRow>, ReadError>;

    /// The frequent values of an attribute, at a level or at all.
    async fn attribute_values(
        &self,
        level: Option<Level>,
        key: String,
        limit: usize,
    ) -> Result<ValueList, ReadError>;

    /// Names of attributes that some spans have. Dropping the future ends the query.
    async fn names(&self, request: ChoiceRequest) -> Result<NameSet, QueryError>;

    /// The values of a field that some spans have, at most `limit`. Without a pipeline those of an
    /// attribute are the frequent ones. Dropping the future ends the query.
    async fn field_values(
        &self,
        request: ChoiceRequest,
        field: traceql::Field,
        limit: usize,
    ) -> Result<FieldValues, QueryError>;

    /// How much is stored.
    fn status(&self) -> StoreStatus;

    /// Whether every worker lives and the log can be written.
    fn health(&self) -> Health;
}
