//! The exporter `spanfall`: the embedded store at the end of a pipeline.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use config::{Diagnostic, Diagnostics, Document, Id, Node, Reader, Value};
use model::{Rejection, SpanBatch};
use pipeline::component::{ExporterPlan, Plan, Running, Stage, Surroundings};
use pipeline::telemetry::{MetricKind, Metrics, Sample, Traced};
use pipeline::{Consumer, Data, Refusal, Request};
use store::{AppendError, Engine, Options, Store};
use tokio::time::Instant;

use super::Host;
use super::gate::Gate;
use crate::values::{DiskLimit, SyncPolicy, parse_positive_duration};

/// Where data lies unless something else is said.
pub const DATA_DIR_DEFAULT: &str = "./spanfall-data";

/// Spans that a head may have.
pub const HEAD_SPANS: std::ops::RangeInclusive<u32> = 1_000..=5_000_000;

/// How often it is looked whether the last one has let go of a store that is closed.
const RELEASE_POLL: Duration = Duration::from_millis(5);

/// Between lines about spans that are none any more.
const LINE_PAUSE: Duration = Duration::from_secs(10);

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

/// A folder has one store: of two that pipelines write to, one could not be opened. A file has one
/// exporter: two would overwrite each other's lines.
pub(super) fn check_places(document: &Document, diagnostics: &mut Diagnostics) {
    let pipelines = &document.service.pipelines;
    let is_used = |id: &Id| pipelines.iter().any(|own| own.exporters.iter().any(|to| to.id == *id));
    for (kind, key, default, what) in [
        ("spanfall", "data_dir", DATA_DIR_DEFAULT, "each store needs a folder of its own"),
        ("file", "path", "", "each exporter needs a file of its own"),
    ] {
        let all = document.exporters.iter().filter(|own| own.kind == Some(kind));
        let mut owners: BTreeMap<PathBuf, &Id> = BTreeMap::new();
        for own in all.filter(|own| is_used(&own.id)) {
            let written = own.node.as_map().and_then(|map| map.get(key));
            let written = written.filter(|node| !node.is_null());
            let place = Path::new(written.and_then(Node::as_text).unwrap_or(default));
            // Devices and pipes take what several write.
            if place.as_os_str().is_empty() || place.starts_with("/dev") {
                continue;
            }
            let parts = place.components();
            let place: PathBuf = parts.filter(|part| *part != Component::CurDir).collect();
            let Some(owner) = owners.get(&place) else {
                owners.insert(place, &own.id);
                continue;
            };
            let error = format!("exporters::{}: '{key}' is that of exporters::{owner}", own.id);
            let error = Diagnostic::error(error).help(what);
            diagnostics.push(match written {
                Some(node) => error.at_node(node, "this is taken"),
                None => error.at(own.at, format!("`{key}` is not set here: {default}")),
            });
        }
    }
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
            gate: Gate::new(engine),
            host: self.host.clone(),
            sent: AtomicU64::default(),
            failed: AtomicU64::default(),
            told: parking_lot::Mutex::default(),
        });
        let metrics: Arc<dyn Metrics> = own.clone();
        around.telemetry.add(&metrics);
        self.host.stores.set(id, Some(Arc::new(own.gate.clone())));
        let traced = Traced::exporter(id, around.telemetry.own_traces(), own.clone());
        Ok(Stage { consumer: Arc::new(traced), running: own, is_durable: true })
    }
}

/// The exporter at work.
struct Spanfall {
    id: Id,
    /// Nothing once it is closed.
    engine: parking_lot::RwLock<Option<Arc<Engine>>>,
    /// What those hold who read.
    gate: Gate,
    host: Arc<Host>,
    sent: AtomicU64,
    failed: AtomicU64,
    /// When a line about spans that are none any more was written.
    told: parking_lot::Mutex<Option<Instant>>,
}

impl Spanfall {
    fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.read().clone()
    }

    /// Tells how many spans were left out, for good.
    async fn store(&self, data: Data) -> Result<u64, Refusal> {
        let Data::Traces(batches) = data else {
            let reason = "the store takes traces only".to_owned();
            return Err(Refusal::Invalid { reason });
        };
        let engine = self.engine().ok_or_else(|| refusal(AppendError::Closed))?;
        let mut left_out = 0;
        for batch in batches {
            // Its own bytes go into the log, so they must be what it holds.
            let batch = if batch.is_edited() {
                let edited = SpanBatch::decode(batch.encoded());
                let edited =
                    edited.map_err(|error| Refusal::Internal { reason: error.to_string() })?;
                left_out += edited.rejection().spans;
                self.tell(edited.rejection());
                edited
            } else {
                Arc::unwrap_or_clone(batch)
            };
            if !batch.is_empty() {
                engine.append(batch).await.map_err(refusal)?;
            }
        }
        Ok(left_out)
    }

    /// A processor can make of a span what is none any more.
    fn tell(&self, rejection: &Rejection) {
        let Rejection { spans, reason } = rejection;
        let mut told = self.told.lock();
        if *spans > 0 && told.is_none_or(|told| told.elapsed() >= LINE_PAUSE) {
            *told = Some(Instant::now());
            tracing::error!(exporter = %self.id, spans, reason, "spans are invalid and not stored");
        }
    }
}

#[async_trait]
impl Consumer for Spanfall {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let items = request.data.items();
        let stored = self.store(request.data).await;
        let failed = stored.as_ref().map_or(items, |left_out| *left_out);
        self.sent.fetch_add(items.saturating_sub(failed), Ordering::Relaxed);
        self.failed.fetch_add(failed, Ordering::Relaxed);
        stored.map(drop)
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
        self.gate.close();
        let Some(engine) = self.engine.write().take() else { return 0 };
        let closing = engine.clone();
        if tokio::task::spawn_blocking(move || closing.close()).await.is_err() {
            tracing::error!(exporter = %self.id, "closing the store met a bug");
        }
        // The folder is free when the last one has let go of it: who reads was told to.
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
    use super::super::testing::around;
    use super::*;

    #[test]
    fn two_exporters_have_two_places() {
        for (exporters, used, is_wrong) in [
            ("spanfall: , spanfall/b: ", "spanfall, spanfall/b", true),
            ("spanfall: , spanfall/b: {data_dir: spanfall-data/}", "spanfall, spanfall/b", true),
            (
                "spanfall: {data_dir: /x//y/}, spanfall/b: {data_dir: /x/y}",
                "spanfall, spanfall/b",
                true,
            ),
            ("file: {path: x.json}, file/2: {path: ./x.json, append: true}", "file, file/2", true),
            ("file: {path: x.json}, file/2: {path: y.json}", "file, file/2", false),
            ("file: {path: /dev/stdout}, file/2: {path: /dev/stdout}", "file, file/2", false),
            ("spanfall: , spanfall/b: ", "spanfall", false),
            ("spanfall: , spanfall/b: {data_dir: b}", "spanfall, spanfall/b", false),
        ] {
            let text = format!(
                "yaml:{{receivers: {{otlp: {{protocols: {{grpc: }}}}}}, exporters: {{{exporters}}}, \
                 service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [{used}]}}}}}}}}"
            );
            let place = super::super::Where { configs: vec![text], ..Default::default() };
            let loaded = super::super::load(&place, &Host::new(super::super::Silent));
            let said = loaded.diagnostics.render(false);
            assert_eq!(said.contains("' is that of exporters::"), is_wrong, "{said}");
            assert_eq!(loaded.diagnostics.has_errors(), is_wrong, "{said}");
        }
    }

    fn plan(folder: &std::path::Path) -> SpanfallPlan {
        SpanfallPlan {
            options: Options::new(folder.to_owned()),
            host: Host::new(super::super::Silent),
        }
    }

    /// As at a reload with other settings, while a query runs or an answer is streamed.
    #[tokio::test]
    async fn a_folder_is_free_again_whoever_reads() {
        let folder = tempfile::TempDir::new().unwrap();
        let (plan, id) = (plan(folder.path()), Id::parse("spanfall").unwrap());
        let stage = plan.start(&id, &around()).await.unwrap();
        let reads = plan.host.stores.watch(&id).borrow().clone().unwrap();
        let deadline = Instant::now() + Duration::from_millis(100);
        assert_eq!(stage.running.stop(deadline).await, 0);
        assert!(reads.services().await.is_err());
        let again = plan.start(&id, &around()).await;
        assert_eq!(again.err(), None);
        let reads = plan.host.stores.watch(&id).borrow().clone().unwrap();
        assert_eq!(reads.services().await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn spans_that_are_none_any_more_are_not_told_to_be_stored() {
        let folder = tempfile::TempDir::new().unwrap();
        let (plan, id) = (plan(folder.path()), Id::parse("spanfall").unwrap());
        let around = around();
        let stage = plan.start(&id, &around).await.unwrap();
        let mut bytes = Vec::new();
        let mut generator = loadgen::Generator::new(loadgen::Options::default());
        let spans = generator.request(3, 1 << 60, &mut bytes);
        let mut batch = SpanBatch::decode(bytes.into()).unwrap();
        batch.edit_span(0).trace_id = model::TraceId([0; 16]);
        let request = Request { data: Data::Traces(vec![Arc::new(batch)]), client: Arc::default() };
        stage.consumer.consume(request).await.unwrap();
        let samples = around.telemetry.collect();
        let value = |name: &str| samples.iter().find(|own| own.name == name).unwrap().value;
        assert_eq!(value("otelcol_exporter_send_failed_spans"), 1.0);
        assert_eq!(value("otelcol_exporter_sent_spans"), (spans - 1) as f64);
        assert_eq!(value("spanfall_store_spans"), (spans - 1) as f64);
    }

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
