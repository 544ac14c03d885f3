//! What a caller asks of a [`Store`](crate::Store) and what it answers.

use std::time::Duration;

use model::{SpanBatch, SpanId, TraceId};

/// Where an attribute sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The sender.
    Resource,
    /// The instrumentation.
    Scope,
    /// A span.
    Span,
    /// An event of a span.
    Event,
    /// A link of a span.
    Link,
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 5] = [Self::Resource, Self::Scope, Self::Span, Self::Event, Self::Link];

    /// The lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Scope => "scope",
            Self::Span => "span",
            Self::Event => "event",
            Self::Link => "link",
        }
    }

    /// The level of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// The type of an attribute's value, as columns know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueType {
    /// UTF-8 text.
    String,
    /// Signed 64-bit integer.
    Int,
    /// 64-bit floating point.
    Double,
    /// Boolean.
    Bool,
    /// Bytes.
    Bytes,
    /// Arrays, maps and the empty value.
    Any,
}

impl ValueType {
    /// All types.
    pub const ALL: [Self; 6] =
        [Self::String, Self::Int, Self::Double, Self::Bool, Self::Bytes, Self::Any];

    /// The lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::Bytes => "bytes",
            Self::Any => "any",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value_type| value_type.name() == name)
    }
}

/// An attribute that must have a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeCondition {
    /// Where; anywhere when `None`.
    pub level: Option<Level>,
    /// The attribute's name.
    pub key: String,
    /// As text. Equal to a string of the same text, and to an integer, double or boolean that
    /// the text spells.
    pub value: String,
}

/// Conditions that one span must meet, all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpanFilter {
    /// The resource's `service.name`.
    pub service: Option<String>,
    /// The span's name.
    pub operation: Option<String>,
    /// Attributes of the span, its events, links, scope or resource.
    pub attributes: Vec<AttributeCondition>,
    /// The status code, a number of [`model::status_code`].
    pub status: Option<i32>,
    /// The shortest duration, in nanoseconds.
    pub duration_min_nano: Option<u64>,
    /// The longest duration, in nanoseconds.
    pub duration_max_nano: Option<u64>,
    /// The earliest start, nanoseconds since the epoch.
    pub start_min_unix_nano: Option<u64>,
    /// The start must be before this, nanoseconds since the epoch.
    pub start_max_unix_nano: Option<u64>,
}

/// Where a page of results ended: the order is by start, newest first, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Start of the last trace of the page.
    pub start_unix_nano: u64,
    /// Its id.
    pub trace_id: TraceId,
}

/// A search for traces of which one span meets the filter.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchRequest {
    /// The conditions.
    pub filter: SpanFilter,
    /// How many traces at the most.
    pub limit: usize,
    /// Only traces behind this place.
    pub after: Option<Position>,
}

/// One page of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchPage {
    /// Newest first.
    pub traces: Vec<TraceSummary>,
    /// More traces match.
    pub more: bool,
    /// A damaged block was left out.
    pub partial: bool,
}

/// A service's share in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceShare {
    /// The name; empty when the resource has none.
    pub name: String,
    /// Its spans.
    pub span_count: u64,
    /// Its spans with status error.
    pub error_count: u64,
}

/// One row per trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSummary {
    /// The trace.
    pub trace_id: TraceId,
    /// Service of the root span, or of the earliest span when the root is missing.
    pub root_service: String,
    /// Name of that span.
    pub root_name: String,
    /// The earliest start that is not 0.
    pub start_unix_nano: u64,
    /// From that to the latest end.
    pub duration_nano: u64,
    /// Spans.
    pub span_count: u64,
    /// Spans with status error.
    pub error_count: u64,
    /// By name.
    pub services: Vec<ServiceShare>,
    /// No span without a parent is stored.
    pub missing_root: bool,
    /// Spans whose parent is not stored.
    pub orphan_count: u64,
}

/// The spans of a trace.
#[derive(Debug, Clone, Default)]
pub struct TraceRead {
    /// Its spans in order of start, each once; `None` when there are none.
    pub spans: Option<SpanBatch>,
    /// A damaged block was left out.
    pub partial: bool,
}

/// What the series of a [`SeriesRequest`] are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesBy {
    /// The resource's `service.name`.
    Service,
    /// The span's name.
    Operation,
}

/// Spans counted over time.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesRequest {
    /// Which spans. The range of starts is that of the series.
    pub filter: SpanFilter,
    /// Start of the first step.
    pub start_unix_nano: u64,
    /// Length of a step; not 0.
    pub step_nano: u64,
    /// How many steps.
    pub steps: usize,
    /// One series for each of these; a single one when `None`.
    pub by: Option<SeriesBy>,
    /// How many series at the most; those with most spans stay.
    pub series_max: usize,
}

/// Spans, errors and summed durations, one number a step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Series {
    /// What it is of; `None` for the only one.
    pub name: Option<String>,
    /// Spans that start in the step.
    pub spans: Vec<u64>,
    /// Those with status error.
    pub errors: Vec<u64>,
    /// Their durations added up, in nanoseconds, saturating.
    pub duration_sum_nano: Vec<u64>,
}

/// The answer to a [`SeriesRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeriesSet {
    /// Most spans first.
    pub series: Vec<Series>,
    /// A damaged block was left out.
    pub partial: bool,
}

/// A row of the small table of services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRow {
    /// The name.
    pub name: String,
    /// Its spans.
    pub span_count: u64,
    /// Its spans with status error.
    pub error_count: u64,
}

/// A row of the small table of operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRow {
    /// The service.
    pub service: String,
    /// The span name.
    pub name: String,
    /// A number of [`model::kind`].
    pub kind: i32,
    /// Its spans.
    pub span_count: u64,
    /// Its spans with status error.
    pub error_count: u64,
}

/// A row of the small table of attribute names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeRow {
    /// Where.
    pub level: Level,
    /// The name.
    pub key: String,
    /// The type.
    pub value_type: ValueType,
    /// How often spans, events and links have it; of resources and scopes, their spans.
    pub count: u64,
}

/// A frequent value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueRow {
    /// As text.
    pub value: String,
    /// Its type.
    pub value_type: ValueType,
    /// How often; a lower bound when rarer values were left out.
    pub count: u64,
}

/// The frequent values of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ValueList {
    /// Most frequent first.
    pub values: Vec<ValueRow>,
    /// No value was left out.
    pub complete: bool,
}

/// How much is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreStatus {
    /// Spans, those in memory included.
    pub span_count: u64,
    /// Spans that are in the log and memory only.
    pub head_span_count: u64,
    /// Sealed blocks.
    pub block_count: u64,
    /// Blocks set aside because they are damaged.
    pub damaged_block_count: u64,
    /// Pieces of log set aside because they are damaged.
    pub damaged_log_count: u64,
    /// Bytes of blocks and log.
    pub disk_bytes: u64,
    /// The most that blocks and log may take.
    pub disk_limit_bytes: u64,
    /// How long spans are kept.
    pub retention: Duration,
}

impl StoreStatus {
    /// Whether something was set aside, so that answers may lack spans.
    pub fn is_partial(&self) -> bool {
        self.damaged_block_count + self.damaged_log_count > 0
    }
}

/// Why spans were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Memory for spans that are not yet in a block is used up.
    #[error("spans arrive faster than they can be stored; try again later")]
    Busy,
    /// The disk cannot take more.
    #[error("the disk that holds {path} is full ({reason}); make room or lower --retention-bytes")]
    DiskFull {
        /// The data folder.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The log cannot be written.
    #[error("the log in {path} cannot be written: {reason}")]
    Log {
        /// The log folder.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The store is closing.
    #[error("the store is shutting down")]
    Closed,
}

/// Why a question was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A task ended without an answer.
    #[error("the query ended without an answer: {0}")]
    Failed(String),
    /// The store is being closed; another may take its place.
    #[error("{CLOSED}")]
    Closed,
}

const CLOSED: &str = "the store is being closed; ask again in a second";

/// Why a TraceQL query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The query cannot be answered, in words for its author.
    #[error("{0}")]
    Refused(String),
    /// It ended without an answer.
    #[error("the query ended without an answer: {0}")]
    Failed(String),
    /// The store is being closed; another may take its place.
    #[error("{CLOSED}")]
    Closed,
}

impl From<ReadError> for QueryError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Failed(reason) => Self::Failed(reason),
            ReadError::Closed => Self::Closed,
        }
    }
}

/// Whether a store can do its work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// What keeps it from working, in words; empty when ready.
    pub problems: Vec<String>,
}

/// A TraceQL search.
#[derive(Debug, Clone)]
pub struct FindRequest {
    /// What to find.
    pub pipeline: traceql::Pipeline,
    /// Traces that end at or after this time, nanoseconds since the epoch.
    pub start_unix_nano: Option<u64>,
    /// Traces that start before this time.
    pub end_unix_nano: Option<u64>,
    /// Traces that take at least this long.
    pub duration_min_nano: Option<u64>,
    /// Traces that take at most this long.
    pub duration_max_nano: Option<u64>,
    /// The most traces to return.
    pub limit: usize,
    /// The most spans to return of a spanset.
    pub spans_per_spanset: usize,
    /// Only what ranks behind this.
    pub after: Option<Position>,
}

impl FindRequest {
    /// The first and the last instant that a trace may touch.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        let last = self.end_unix_nano.map_or(u64::MAX, |end| end.saturating_sub(1));
        (self.start_unix_nano.unwrap_or(0), last)
    }

    /// Whether a trace touches the range of time and takes as long as it should.
    pub(crate) fn trace_fits(&self, start: u64, end: u64) -> bool {
        let (first, last) = self.bounds();
        let duration = end.saturating_sub(start);
        start <= last
            && end >= first
            && duration >= self.duration_min_nano.unwrap_or(0)
            && duration <= self.duration_max_nano.unwrap_or(u64::MAX)
    }
}

/// Traces that a TraceQL search found, newest first.
#[derive(Debug, Clone, Default)]
pub struct FoundPage {
    /// The traces.
    pub traces: Vec<FoundTrace>,
    /// There are more behind the last.
    pub more: bool,
    /// A damaged block is left out.
    pub partial: bool,
    /// What it took.
    pub stats: QueryStats,
}

/// A trace and the spans of it that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundTrace {
    /// Its row.
    pub summary: TraceSummary,
    /// At least one.
    pub spansets: Vec<FoundSpanset>,
}

/// Some spans of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundSpanset {
    /// How many spans it has.
    pub matched: u64,
    /// What the stages of the pipeline said of it, such as `count()` and `by(.x)`.
    pub attributes: Vec<(String, traceql::Static)>,
    /// The earliest of its spans.
    pub spans: Vec<FoundSpan>,
}

/// A span as results show it.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundSpan {
    /// Its id.
    pub span_id: SpanId,
    /// Its name.
    pub name: String,
    /// When it starts, nanoseconds since the epoch.
    pub start_unix_nano: u64,
    /// How long it takes, in nanoseconds; 0 for an end before the start.
    pub duration_nano: u64,
    /// The fields that the query names and the span has; several values of a list, or of several
    /// events or links.
    pub fields: Vec<(traceql::Field, Vec<traceql::Static>)>,
}

/// How far a query is.
#[derive(Debug, Clone, Default)]
pub struct Progress<T> {
    /// What it has found so far.
    pub so_far: T,
    /// Spans in row groups that were looked at, or that cannot matter any more.
    pub spans_done: u64,
    /// Spans in all row groups that may have results. Traces in several pieces come last and are
    /// not among them.
    pub spans_all: u64,
}

impl<T> Progress<T> {
    /// The share of row groups that is done, by their spans: from 0 to 1.
    pub fn share(&self) -> f64 {
        match self.spans_all {
            0 => 1.0,
            all => self.spans_done.min(all) as f64 / all as f64,
        }
    }
}

/// Watches how far a query is. It is told on the query's own thread, and should not hold that up.
pub trait Watch<T>: Send + Sync {
    /// Whether news would be taken; they are not gathered for nobody.
    fn is_free(&self) -> bool;

    /// What there is to say.
    fn tell(&self, progress: Progress<T>);
}

/// Shared by those who tell.
pub type Watcher<T> = std::sync::Arc<dyn Watch<T>>;

/// News for which there is no room are left out.
impl<T: Send> Watch<T> for tokio::sync::mpsc::Sender<Progress<T>> {
    fn is_free(&self) -> bool {
        self.capacity() > 0 && !self.is_closed()
    }

    fn tell(&self, progress: Progress<T>) {
        // Who does not listen any more, or not quickly enough, misses nothing of the end.
        let _ = self.try_send(progress);
    }
}

/// A step of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum QueryStep {
    /// What the query needs, and which pieces may have it.
    Plan,
    /// Which traces lie in several pieces, and spans of them put together.
    Seams,
    /// Row groups told apart by statistics and filters, without their columns.
    Prune,
    /// Conditions on columns, which leave candidates.
    Filter,
    /// Candidates judged whole: structure, and all later stages of the pipeline.
    Judge,
    /// Spans counted into series.
    Count,
    /// Results brought together and read.
    Answer,
}

impl QueryStep {
    /// All steps, in the order they are told.
    pub const ALL: [Self; 7] = [
        Self::Plan,
        Self::Seams,
        Self::Prune,
        Self::Filter,
        Self::Judge,
        Self::Count,
        Self::Answer,
    ];

    /// Its name: a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Seams => "seams",
            Self::Prune => "prune",
            Self::Filter => "filter",
            Self::Judge => "judge",
            Self::Count => "count",
            Self::Answer => "answer",
        }
    }
}

/// How long a step took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepTime {
    /// The step.
    pub step: QueryStep,
    /// Nanoseconds in which at least one thread was at it.
    pub wall_nano: u64,
    /// Nanoseconds of all threads together.
    pub work_nano: u64,
}

/// A column that a query read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadColumn {
    /// An attribute as TraceQL names it, with its type unless it is text; `level:column` for what
    /// is in every span, event or link; `level.*` for attributes without a column of their own.
    pub name: String,
    /// Rows that were decoded.
    pub rows: u64,
    /// Bytes that were read from files; none for what is in memory.
    pub bytes: u64,
}

/// What a query took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Pieces (blocks, and chunks of the head) of the store, and those in memory that traces of
    /// several of them were put together in.
    pub pieces: u64,
    /// Pieces that were not read, by their times.
    pub pieces_skipped: u64,
    /// Pieces that were not read because all of their spans are older than results enough.
    pub pieces_behind: u64,
    /// Row groups that were not read because no scope or column of the piece can meet the query.
    pub slabs_skipped_by_statistics: u64,
    /// Row groups that were not read because a Bloom filter or dictionary lacks what is asked for.
    pub slabs_skipped_by_filters: u64,
    /// Traces in several pieces that were put together for this query alone.
    pub traces_joined: u64,
    /// Bytes that were read from files: those of the columns, and beside them footers, indexes of
    /// pages, filters, and the table of traces.
    pub bytes_read: u64,
    /// How long each step took; those that there were.
    pub steps: Vec<StepTime>,
    /// The columns that were read, by name. Of the traces that are told in the end, those that the
    /// answer shows are among them.
    pub columns: Vec<ReadColumn>,
    /// Row groups that were looked at.
    pub slabs: u64,
    /// Spans in them.
    pub spans: u64,
    /// Traces in them.
    pub traces: u64,
    /// Traces that the filters left to be judged.
    pub candidates: u64,
}

impl QueryStats {
    /// Adds what another query, or another part of this one, took.
    pub fn add(&mut self, other: &Self) {
        self.pieces += other.pieces;
        self.pieces_skipped += other.pieces_skipped;
        self.pieces_behind += other.pieces_behind;
        self.slabs_skipped_by_statistics += other.slabs_skipped_by_statistics;
        self.slabs_skipped_by_filters += other.slabs_skipped_by_filters;
        self.traces_joined += other.traces_joined;
        self.bytes_read += other.bytes_read;
        for time in &other.steps {
            match self.steps.iter_mut().find(|known| known.step == time.step) {
                Some(known) => {
                    known.wall_nano += time.wall_nano;
                    known.work_nano += time.work_nano;
                }
                None => self.steps.push(*time),
            }
        }
        self.steps.sort_by_key(|time| time.step);
        for column in &other.columns {
            match self.columns.iter_mut().find(|known| known.name == column.name) {
                Some(known) => {
                    known.rows += column.rows;
                    known.bytes += column.bytes;
                }
                None => self.columns.push(column.clone()),
            }
        }
        self.columns.sort_by(|a, b| a.name.cmp(&b.name));
        self.slabs += other.slabs;
        self.spans += other.spans;
        self.traces += other.traces;
        self.candidates += other.candidates;
    }
}

/// A TraceQL metrics query without what follows its first stage.
#[derive(Debug, Clone)]
pub struct MeasureRequest {
    /// What to count.
    pub leaf: traceql::MetricsLeaf,
    /// Spans that start after this time, nanoseconds since the epoch.
    pub start_unix_nano: u64,
    /// The length of an interval in nanoseconds; at least 1. Intervals are open at their start and
    /// closed at their end.
    pub step_nano: u64,
    /// How many intervals follow each other; at least 1.
    pub steps: usize,
    /// The most exemplars to return with all series together.
    pub exemplars_max: usize,
    /// Whether a span of which the trace state says with what probability it was kept (`ot=th:…`)
    /// counts as one divided by that, in counts, sums, averages, histograms and comparisons. Least
    /// and greatest values are those of the stored spans.
    pub extrapolate: bool,
}

/// Spans of which a query's author wants to know what they have.
#[derive(Debug, Clone)]
pub struct ChoiceRequest {
    /// What leaves the spans; `None` for all.
    pub pipeline: Option<traceql::Pipeline>,
    /// When they start, nanoseconds since the epoch. Where there is no pipeline, names and values of
    /// other spans that lie in the same blocks may be told, too.
    pub starts: std::ops::RangeInclusive<u64>,
}

/// Names of attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameSet {
    /// By level; at most 10,000 of each.
    pub names: std::collections::BTreeSet<(Level, String)>,
    /// A damaged block is left out.
    pub partial: bool,
}

/// Values of a field.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldValues {
    /// Values and how many spans, events or links have each, most frequent first.
    pub values: Vec<(traceql::Static, u64)>,
    /// A damaged block is left out.
    pub partial: bool,
}

/// Series over time.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// The series, by their labels.
    pub series: Vec<MeasuredSeries>,
    /// A damaged block is left out.
    pub partial: bool,
    /// What it took.
    pub stats: QueryStats,
}

/// A value for every interval.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredSeries {
    /// What tells it from the others; never empty.
    pub labels: Vec<(String, traceql::Static)>,
    /// NaN where there is none.
    pub values: Vec<f64>,
    /// Spans that stand for the others, in the order of time. Of a bucket those that are in it, of
    /// quantiles each with the least that is not below it.
    pub exemplars: Vec<MeasuredSpan>,
}

impl MeasuredSeries {
    /// Leaves so many exemplars, in the order they have, which is that of time: the greatest value,
    /// and the others spread over values and over time.
    pub fn thin_exemplars(&mut self, wanted: usize) {
        crate::query::thin_series(&mut self.exemplars, wanted);
    }
}

/// A span that a series counted.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredSpan {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// When it starts, nanoseconds since the epoch.
    pub start_unix_nano: u64,
    /// What it added to the series; NaN where spans are only counted.
    pub value: f64,
}
