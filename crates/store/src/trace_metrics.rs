//! Metrics of traces, as a metrics generator would count them: calls and durations of spans, and
//! calls between services. Counted from the stored spans whenever they are asked for.
//!
//! What a call between services is follows Tempo's service graphs; docs of [`ServiceGraphSeries`]
//! say where it differs.

/// The most edges of cells that a request may have.
const EDGES_MAX: usize = 22_003;

/// The most bounds of buckets that a request may have.
const BOUNDS_MAX: usize = 64;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceMetricsFamily {
    /// Every span, by service, name, kind and status.
    SpanMetrics,
    /// Calls between services.
    ServiceGraph,
}

/// By which labels span metrics are told apart, beside the service; what is not listed is added
/// up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpanMetricsBy {
    /// The span's name.
    pub name: bool,
    /// The span's kind.
    pub kind: bool,
    /// The status code.
    pub status: bool,
}

/// What to count, and when.
///
/// A span counts when it ends: at its start plus its duration, or at its start when it claims to
/// end before it. A call counts when its server's span ends, or its client's where the server is
/// not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceMetricsRequest {
    /// What is counted.
    pub family: TraceMetricsFamily,
    /// Spans of these services, or calls one of whose ends is one of these; all when `None`. Spans
    /// whose resource has no `service.name` are of the service "".
    pub services: Option<Vec<String>>,
    /// Cell `i` counts what happened behind `edges[i]` and not behind `edges[i + 1]`, nanoseconds
    /// since the epoch. Strictly ascending, 2 to 22,003 of them. A first edge of 0 counts all that
    /// came before, what happened at 0 included.
    pub edges: Vec<u64>,
    /// Upper bounds of the buckets of durations in nanoseconds, strictly ascending, at most 64. A
    /// duration counts in the first bucket whose bound it does not exceed, or in a last one that
    /// has no bound.
    pub bounds: Vec<u64>,
    /// How span metrics are told apart.
    pub by: SpanMetricsBy,
}

impl TraceMetricsRequest {
    /// Whether a service is asked for.
    pub(crate) fn asks_for(&self, service: &str) -> bool {
        self.services.as_ref().is_none_or(|services| services.iter().any(|of| of == service))
    }

    /// What is wrong with it, in words for its author.
    pub(crate) fn refusal(&self) -> Option<String> {
        let (edges, bounds) = (self.edges.len(), self.bounds.len());
        let ascends = |numbers: &[u64]| numbers.windows(2).all(|pair| pair[0] < pair[1]);
        if !(2..=EDGES_MAX).contains(&edges) {
            Some(format!("the query has {edges} edges of cells; 2 to {EDGES_MAX} can be counted"))
        } else if bounds > BOUNDS_MAX {
            Some(format!(
                "the query has {bounds} bounds of buckets; at most {BOUNDS_MAX} can be counted"
            ))
        } else if !ascends(&self.edges) {
            Some("the edges of cells must ascend".to_owned())
        } else if !ascends(&self.bounds) {
            Some("the bounds of buckets must ascend".to_owned())
        } else {
            None
        }
    }
}

/// The answer to a [`TraceMetricsRequest`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceMetricsSet {
    /// Span metrics, by service, name, kind and status. Each has counted something.
    pub spans: Vec<SpanMetricsSeries>,
    /// The service graph, by client, server and type of connection. Each has counted something.
    pub edges: Vec<ServiceGraphSeries>,
    /// A damaged block was left out.
    pub partial: bool,
}

/// Spans that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanMetricsSeries {
    /// The resource's `service.name`; empty when it has none.
    pub service: String,
    /// The span's name, when told apart.
    pub name: Option<String>,
    /// A number of [`model::kind`], when told apart; others are possible.
    pub kind: Option<i32>,
    /// A number of [`model::status_code`], when told apart; others are possible.
    pub status: Option<i32>,
    /// The spans and their durations.
    pub cells: Cells,
}

/// What kind of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionType {
    /// A request.
    Direct,
    /// A message: the client is a producer, the server a consumer.
    Messaging,
    /// The server is a database that sends no spans.
    Database,
    /// One end sends no spans: a server that the client names, or whoever calls a root.
    VirtualNode,
}

impl ConnectionType {
    /// The value of the label `connection_type`; empty for a request.
    pub fn label(self) -> &'static str {
        match self {
            Self::Direct => "",
            Self::Messaging => "messaging_system",
            Self::Database => "database",
            Self::VirtualNode => "virtual_node",
        }
    }
}

/// Calls from a client to a server.
///
/// - A span of kind client or producer and a child of kind server or consumer are a call, wherever
///   the two are stored and however long after each other they came. It is
///   [`ConnectionType::Messaging`] between producer and consumer.
/// - A span of kind client without such a child calls a database if it has `db.namespace`,
///   `db.name`, `db.system` or `db.system.name`, else a virtual node if it has `peer.service`. The
///   first of these in this order names the server: attributes of the span, text, numbers and
///   booleans, not empty.
/// - A span of kind server without a parent is called by the virtual node "user".
///
/// Differences from Tempo: a call needs no second half within seconds, and is counted when it
/// ended and not when it was received. A client has as many calls as it has children that are
/// servers; Tempo pairs it with one. A client that has both a server below it and `db.name` calls
/// the server alone. A virtual end has no durations; Tempo counts them as 0, or as those of the
/// client. A root that is a consumer is called by nobody in either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceGraphSeries {
    /// The service that calls, or "user".
    pub client: String,
    /// The service that is called, a database, or a virtual node.
    pub server: String,
    /// What kind of call it is.
    pub connection_type: ConnectionType,
    /// Calls in each cell, as many as cells.
    pub calls: Vec<u64>,
    /// Those of which one span has status error.
    pub failed: Vec<u64>,
    /// Durations of the server's spans; empty where the server is virtual.
    pub server_durations: Cells,
    /// Durations of the client's spans; empty where the client is virtual.
    pub client_durations: Cells,
}

/// What a cell counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell<'a> {
    /// Durations.
    pub count: u64,
    /// All of them added up, saturating.
    pub sum_nanos: u64,
    /// How many fell into each bucket; one more than there are bounds.
    pub buckets: &'a [u64],
}

/// Durations over time: the cells that have some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    /// Ascending.
    at: Vec<u32>,
    sums: Vec<u64>,
    /// Those of each cell, one after the other.
    buckets: Vec<u64>,
}

impl Cells {
    /// Adds a cell behind all others: its number, its sum and its buckets, as many as the others
    /// have.
    pub fn push(&mut self, cell: u32, sum_nanos: u64, buckets: &[u64]) {
        debug_assert!(self.at.last().is_none_or(|last| *last < cell));
        debug_assert!(self.is_empty() || self.buckets.len() == self.at.len() * buckets.len());
        self.at.push(cell);
        self.sums.push(sum_nanos);
        self.buckets.extend_from_slice(buckets);
    }

    /// Cells that have counted something.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// The cells that have counted something, by number.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Cell<'_>)> {
        let width = (self.buckets.len() / self.at.len().max(1)).max(1);
        let parts = self.at.iter().zip(&self.sums).zip(self.buckets.chunks_exact(width));
        parts.map(|((&at, &sum_nanos), buckets)| {
            (at as usize, Cell { count: buckets.iter().sum(), sum_nanos, buckets })
        })
    }
}
