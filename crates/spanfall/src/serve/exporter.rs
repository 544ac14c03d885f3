//! The exporter `spanfall`: the embedded store at the end of a pipeline.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use config::{Id, Reader, Value};
use model::SpanBatch;
use pipeline::component::{ExporterPlan, Plan, Running, Stage, Surroundings};
use pipeline::telemetry::{MetricKind, Metrics, Sample, Traced};
use pipeline::{Consumer, Data, Refusal, Request};
use store::{AppendError, Engine, Options, Store};
use tokio::time::Instant;

use super::Host;
use crate::values::{DiskLimit, SyncPolicy, parse_positive_duration};

/// Where data lies unless something else is said.
pub const DATA_DIR_DEFAULT: &str = "./spanfall-data";

/// Spans that a head may have.
pub const HEAD_SPANS: std::ops::RangeInclusive<u32> = 1_000..=5_000_000;

/// How often it is looked whether the last query has let go of a store that is closed.
const RELEASE_POLL: Duration = Duration::from_millis(5);

/// `exporters::spanfall`, as it is configured.
pub(super) struct SpanfallPlan {
    options: Options,
    host: Arc<Host>,
}

/// Reads its settings.
pub(super) fn read(reader: &mut Reader<'_, '_>, host: Arc<Host>) -> SpanfallPlan {
    let data_dir = reader.field("data_dir").parsed("the path of a folder", |path| match path {
        "" => Err("must not be empty".to_owned()),
        path => Ok(PathBuf::from(path)),
    });
    let mut options = Options::new(data_dir.unwrap_or_else(|| PathBuf::from(DATA_DIR_DEFAULT)));
    let age = "a duration like 90m, 36h or 14d";
    if let Some(retention) = reader.field("retention").parsed(age, parse_positive_duration) {
        options.retention = retention;
    }
    if let Some(limit) = disk_limit(reader) {
        options.disk_limit = limit;
    }
    let sync = reader.field("sync").parsed("a duration, or always", str::parse::<SyncPolicy>);
    if let Some(sync) = sync {
        options.sync = match sync {
            SyncPolicy::Always => store::SyncPolicy::Always,
            SyncPolicy::Every(interval) => store::SyncPolicy::Interval(interval),
        };
    }
    if let Some(spans) = reader.field("head_max_spans").int(HEAD_SPANS) {
        options.head_spans_max = spans as usize;
    }
    options.head_age_max = head_age_max(options.retention, options.head_age_max);
    SpanfallPlan { options, host }
}

/// `retention_bytes`: a size, or a share of what is free.
fn disk_limit(reader: &mut Reader<'_, '_>) -> Option<store::DiskLimit> {
    let is_text = |node: &config::Node| matches!(node.value, Value::String(_));
    if !reader.field("retention_bytes").node().is_some_and(is_text) {
        let bytes = reader.field("retention_bytes").bytes(1..=u64::MAX);
        return bytes.map(store::DiskLimit::Bytes);
    }
    let limit = reader.field("retention_bytes");
    let limit = limit.parsed("a size like 200GB, or a share like 80%", str::parse::<DiskLimit>);
    limit.map(|limit| match limit {
        DiskLimit::Bytes(bytes) => store::DiskLimit::Bytes(bytes),
        DiskLimit::PercentOfFree(percent) => {
            store::DiskLimit::ShareOfFree(f64::from(percent) / 100.0)
        }
    })
}

/// The log of the head, that of the head that is being sealed, and the block that comes of it.
fn disk_bytes_least(options: &Options) -> u64 {
    3 * options.head_bytes_max as u64
}

/// Spans leave by age once they are in a block, the last of a head with the first: where they are
/// kept for a short time only, a head may not take long beside it.
fn head_age_max(retention: Duration, longest: Duration) -> Duration {
    (retention / 20).max(Duration::from_secs(60)).min(longest)
}

impl Plan for SpanfallPlan {
    /// Of a folder.
    fn is_exclusive(&self) -> bool {
        true
    }
}

#[async_trait]
impl ExporterPlan for SpanfallPlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Stage, String> {
        let (options, host) = (self.options.clone(), self.host.clone());
        let least = disk_bytes_least(&options);
        let open = tokio::task::spawn_blocking(move || {
            Engine::open(options, |read, total| host.notices.recovering(read, total))
        });
        let engine = open.await.map_err(|error| error.to_string())?;
        let engine = Arc::new(engine.map_err(|error| error.to_string())?);
        let limit = engine.status().disk_limit_bytes;
        if limit < least {
            tracing::warn!(
                exporter = %id,
                "retention_bytes comes to {limit} bytes, less than the log and a block may take \
                 before anything can be deleted; the least that makes sense is {} MiB",
                least >> 20
            );
        }
        let own = Arc::new(Spanfall {
            id: id.clone(),
            engine: parking_lot::RwLock::new(Some(engine.clone())),
            host: self.host.clone(),
            sent: AtomicU64::default(),
            failed: AtomicU64::default(),
        });
        let metrics: Arc<dyn Metrics> = own.clone();
        around.telemetry.add(&metrics);
        self.host.stores.set(id, Some(engine));
        let traced = Traced::exporter(id, around.telemetry.own_traces(), own.clone());
        Ok(Stage { consumer: Arc::new(traced), running: own, is_durable: true })
    }
}

/// The exporter at work.
struct Spanfall {
    id: Id,
    /// Nothing once it is closed.
    engine: parking_lot::RwLock<Option<Arc<Engine>>>,
    host: Arc<Host>,
    sent: AtomicU64,
    failed: AtomicU64,
}

impl Spanfall {
    fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.read().clone()
    }

    async fn store(&self, data: Data) -> Result<(), Refusal> {
        let Data::Traces(batches) = data else {
            let reason = "the store takes traces only".to_owned();
            return Err(Refusal::Invalid { reason });
        };
        let engine = self.engine().ok_or_else(|| refusal(AppendError::Closed))?;
        for batch in batches {
            // Its own bytes go into the log, so they must be what it holds.
            let batch = if batch.is_edited() {
                let edited = SpanBatch::decode(batch.encoded());
                edited.map_err(|error| Refusal::Internal { reason: error.to_string() })?
            } else {
                Arc::unwrap_or_clone(batch)
            };
            if !batch.is_empty() {
                engine.append(batch).await.map_err(refusal)?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Consumer for Spanfall {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let items = request.data.items();
        let stored = self.store(request.data).await;
        let counter = if stored.is_ok() { &self.sent } else { &self.failed };
        counter.fetch_add(items, Ordering::Relaxed);
        stored
    }
}

fn refusal(error: AppendError) -> Refusal {
    let reason = error.to_string();
    match error {
        AppendError::Busy => Refusal::Exhausted { reason, retry_after: Duration::from_secs(1) },
        AppendError::DiskFull { .. } => {
            Refusal::Unavailable { reason, retry_after: Duration::from_secs(10) }
        }
        AppendError::Log { .. } | AppendError::Closed => {
            Refusal::Unavailable { reason, retry_after: Duration::from_secs(5) }
        }
    }
}

#[async_trait]
impl Running for Spanfall {
    /// Nothing is left: what was taken is in the log.
    async fn stop(&self, deadline: Instant) -> u64 {
        self.host.stores.set(&self.id, None);
        let Some(engine) = self.engine.write().take() else { return 0 };
        let closing = engine.clone();
        if tokio::task::spawn_blocking(move || closing.close()).await.is_err() {
            tracing::error!(exporter = %self.id, "closing the store met a bug");
        }
        // The folder is free when the last query has let go of it.
        while Arc::strong_count(&engine) > 1 && Instant::now() < deadline {
            tokio::time::sleep(RELEASE_POLL).await;
        }
        0
    }

    fn problem(&self) -> Option<String> {
        let problems = self.engine()?.health().problems;
        (!problems.is_empty()).then(|| problems.join("; "))
    }
}

impl Metrics for Spanfall {
    fn collect(&self, out: &mut Vec<Sample>) {
        let mut put = |name, help, kind, value: f64| {
            let labels = vec![("exporter", self.id.to_string())];
            out.push(Sample { name, help, kind, labels, value });
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let counter = MetricKind::Counter;
        put("otelcol_exporter_sent_spans", "Spans handed on", counter, count(&self.sent));
        let name = "otelcol_exporter_send_failed_spans";
        put(name, "Spans that could not be handed on", counter, count(&self.failed));
        let Some(engine) = self.engine() else { return };
        let status = engine.status();
        let gauges = [
            ("spanfall_store_spans", "Spans stored", status.span_count),
            ("spanfall_store_head_spans", "Spans not yet in a block", status.head_span_count),
            ("spanfall_store_blocks", "Sealed blocks", status.block_count),
            (
                "spanfall_store_damaged_blocks",
                "Blocks set aside as damaged",
                status.damaged_block_count,
            ),
            (
                "spanfall_store_damaged_log_pieces",
                "Pieces of log set aside as damaged",
                status.damaged_log_count,
            ),
            ("spanfall_store_disk_bytes", "Bytes of blocks and log", status.disk_bytes),
            (
                "spanfall_store_disk_limit_bytes",
                "The most bytes that blocks and log may take",
                status.disk_limit_bytes,
            ),
            (
                "spanfall_store_problems",
                "What keeps the store from its work",
                engine.health().problems.len() as u64,
            ),
        ];
        for (name, help, value) in gauges {
            put(name, help, MetricKind::Gauge, value as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_disk_is_two_logs_and_a_block() {
        let mut options = Options::new(PathBuf::from("data"));
        options.head_bytes_max = 1 << 20;
        assert_eq!(disk_bytes_least(&options), 3 << 20);
    }

    #[test]
    fn a_head_is_young_beside_the_retention() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        for (retention, age) in [(0, 1), (1, 1), (20, 1), (100, 5), (300, 15), (14 * 24 * 60, 15)] {
            assert_eq!(head_age_max(minutes(retention), minutes(15)), minutes(age), "{retention}");
        }
    }
}
