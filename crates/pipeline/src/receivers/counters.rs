//! What receivers count. The binary exposes these under the Collector's names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a receiver's transports.
#[derive(Debug, Default)]
pub struct ReceiverCounters {
    /// `transport="http"`.
    pub http: Arc<TransportCounters>,
    /// `transport="grpc"`.
    pub grpc: Arc<TransportCounters>,
}

/// Connections to one port.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    /// Now open.
    pub open: AtomicU64,
    /// Turned away because as many were open as may be; only grows.
    pub refused: AtomicU64,
}

/// Counters of one transport; they only grow.
#[derive(Debug, Default)]
pub struct TransportCounters {
    /// Spans that the consumer took: `otelcol_receiver_accepted_spans`.
    pub accepted_spans: AtomicU64,
    /// Spans that the consumer refused: `otelcol_receiver_refused_spans`.
    pub refused_spans: AtomicU64,
    /// Spans that were left out as invalid and reported as partial success.
    pub rejected_spans: AtomicU64,
    /// Requests over the size limit.
    pub oversize_requests: AtomicU64,
    /// Requests turned away because the budget of bytes in flight was spent.
    pub busy_requests: AtomicU64,
    /// Datagrams dropped because as many were waiting as may.
    pub dropped_requests: AtomicU64,
    /// Requests whose body did not arrive in time.
    pub slow_requests: AtomicU64,
    /// Requests that were not what the receiver takes, or not decompressible.
    pub undecodable_requests: AtomicU64,
    /// Requests of senders who may not send.
    pub unauthenticated_requests: AtomicU64,
    /// Requests during which the consumer panicked.
    pub panicked_requests: AtomicU64,
    /// Its port's.
    pub connections: ConnectionCounters,
}

impl TransportCounters {
    pub(crate) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }
}
