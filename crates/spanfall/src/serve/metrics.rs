//! Own metrics in Prometheus' text format, under the Collector's names where it has one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pipeline::receivers::{ConnectionCounters, ReceiverCounters, TransportCounters};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use store::Store;

use super::listen::PortCounters;

/// `/metrics`.
pub(super) fn router(
    store: Arc<dyn Store>,
    receivers: Arc<ReceiverCounters>,
    ports: Arc<PortCounters>,
    started: Instant,
) -> Router {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Own { store, receivers, ports, started }));
    let registry = Arc::new(registry);
    Router::new().route("/metrics", get(move || async move { answer(&registry) }))
}

fn answer(registry: &Registry) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], body).into_response()
        }
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

struct Own {
    store: Arc<dyn Store>,
    receivers: Arc<ReceiverCounters>,
    ports: Arc<PortCounters>,
    started: Instant,
}

impl Own {
    /// Every port's connections, by the names that the API's status gives the listeners.
    fn connections(&self) -> [(&'static str, &ConnectionCounters); 8] {
        [
            ("otlp_grpc", &self.receivers.grpc.connections),
            ("otlp_http", &self.receivers.http.connections),
            ("ui", &self.ports.ui),
            ("jaeger_grpc", &self.ports.jaeger_grpc),
            ("zipkin", &self.ports.zipkin),
            ("tempo", &self.ports.tempo),
            ("health", &self.ports.health),
            ("metrics", &self.ports.metrics),
        ]
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own")
    }
}

type Read = fn(&TransportCounters) -> &AtomicU64;

/// Name, help and source of what receivers count.
const RECEIVER_COUNTERS: [(&str, &str, Read); 8] = [
    ("otelcol_receiver_accepted_spans", "Spans taken", |c| &c.accepted_spans),
    ("otelcol_receiver_refused_spans", "Spans that the store refused", |c| &c.refused_spans),
    ("spanfall_receiver_rejected_spans", "Spans left out as invalid", |c| &c.rejected_spans),
    ("spanfall_receiver_oversize_requests", "Requests over the limit", |c| &c.oversize_requests),
    ("spanfall_receiver_busy_requests", "Requests turned away for memory", |c| &c.busy_requests),
    ("spanfall_receiver_slow_requests", "Requests that took too long", |c| &c.slow_requests),
    ("spanfall_receiver_undecodable_requests", "Requests that are not OTLP", |c| {
        &c.undecodable_requests
    }),
    ("spanfall_receiver_panicked_requests", "Requests that met a bug", |c| &c.panicked_requests),
];

impl Collector for Own {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, read) in RECEIVER_COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (transport, counters) in
                [("grpc", &self.receivers.grpc), ("http", &self.receivers.http)]
            {
                let value = ConstCounter::new(read(counters).load(Ordering::Relaxed));
                let labels = [("receiver", "otlp"), ("transport", transport)];
                value.encode(family.encode_family(&labels)?)?;
            }
        }
        let (name, help) = ("spanfall_refused_connections", "Connections turned away as too many");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (listener, connections) in self.connections() {
            let value = ConstCounter::new(connections.refused.load(Ordering::Relaxed));
            value.encode(family.encode_family(&[("listener", listener)])?)?;
        }
        let (name, help) = ("spanfall_open_connections", "Connections now open");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (listener, connections) in self.connections() {
            let value = i64::try_from(connections.open.load(Ordering::Relaxed));
            let value = ConstGauge::new(value.unwrap_or(i64::MAX));
            value.encode(family.encode_family(&[("listener", listener)])?)?;
        }
        let mut gauge = |name, help, value: i64| -> Result<(), fmt::Error> {
            let value = ConstGauge::new(value);
            value.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        let status = self.store.status();
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        gauge("spanfall_store_spans", "Spans stored", number(status.span_count))?;
        gauge(
            "spanfall_store_head_spans",
            "Spans not yet in a block",
            number(status.head_span_count),
        )?;
        gauge("spanfall_store_blocks", "Sealed blocks", number(status.block_count))?;
        gauge(
            "spanfall_store_damaged_blocks",
            "Blocks set aside as damaged",
            number(status.damaged_block_count),
        )?;
        gauge(
            "spanfall_store_damaged_log_pieces",
            "Pieces of log set aside as damaged",
            number(status.damaged_log_count),
        )?;
        gauge("spanfall_store_disk_bytes", "Bytes of blocks and log", number(status.disk_bytes))?;
        gauge(
            "spanfall_store_disk_limit_bytes",
            "The most bytes that blocks and log may take",
            number(status.disk_limit_bytes),
        )?;
        let problems = self.store.health().problems.len() as u64;
        gauge("spanfall_store_problems", "What keeps the store from its work", number(problems))?;
        let uptime = ConstCounter::new(self.started.elapsed().as_secs_f64());
        let name = "otelcol_process_uptime_seconds";
        uptime.encode(encoder.encode_descriptor(
            name,
            "Time since start",
            None,
            MetricType::Counter,
        )?)
    }
}
