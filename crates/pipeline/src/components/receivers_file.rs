//! The receiver `otlp_json_file`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use config::{Id, Reader};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clients::id;
use super::ports::{Link, samples};
use crate::component::{Need, Plan, ReceiverPlan, Role, Running, Surroundings};
use crate::consumer::Consumer;
use crate::exporters::PersistentSettings;
use crate::receivers::otlp_json_file::{FileCounters, FileReceiver, FileSettings, Glob, StartAt};
use crate::telemetry::{MetricKind, Metrics, Sample};

/// A fingerprint is read whenever a file has grown.
const FINGERPRINT_BYTES: std::ops::RangeInclusive<u64> = 16..=1 << 20;

/// As large as any request may be.
const LINE_BYTES: std::ops::RangeInclusive<u64> = 1..=1 << 30;

pub(super) struct FilePlan {
    settings: FileSettings,
    storage: Option<Id>,
}

/// The Collector's keys of file consumers, `storage` and `replay_file`.
pub(super) fn otlp_json_file(reader: &mut Reader<'_, '_>) -> FilePlan {
    let defaults = FileSettings::default();
    let _ = reader.field("include").required();
    let include = patterns(reader, "include");
    if include.as_ref().is_some_and(Vec::is_empty) {
        reader.fault("include", "must have a pattern, such as /var/log/spans/*.json");
    }
    let exclude = patterns(reader, "exclude");
    let start_at = reader
        .field("start_at")
        .choice(&[("beginning", StartAt::Beginning), ("end", StartAt::End)]);
    let poll_interval = reader.field("poll_interval").duration();
    if poll_interval.is_some_and(|interval| interval.is_zero()) {
        reader.fault("poll_interval", "must be greater than zero");
    }
    let replay = reader.field("replay_file").bool().unwrap_or_default();
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let line = reader.field("max_log_size").bytes(LINE_BYTES).map(bytes);
    let fingerprint = reader.field("fingerprint_size").bytes(FINGERPRINT_BYTES).map(bytes);
    let open_files = reader.field("max_concurrent_files").int(2..=1 << 20usize);
    let flush_period = reader.field("force_flush_period").duration();
    let older_than = reader.field("exclude_older_than").duration().filter(|age| !age.is_zero());
    let storage = id(reader, "storage");
    without_effect(reader);
    not_supported(reader);
    FilePlan {
        settings: FileSettings {
            include: include.unwrap_or_default(),
            exclude: exclude.unwrap_or_default(),
            start_at: start_at.unwrap_or_default(),
            poll_interval: poll_interval.unwrap_or(defaults.poll_interval),
            replay,
            line_bytes_max: line.unwrap_or(defaults.line_bytes_max),
            fingerprint_bytes: fingerprint.unwrap_or(defaults.fingerprint_bytes),
            open_files_max: open_files.unwrap_or(defaults.open_files_max),
            flush_period: flush_period.unwrap_or(defaults.flush_period),
            older_than,
        },
        storage,
    }
}

fn patterns(reader: &mut Reader<'_, '_>, key: &'static str) -> Option<Vec<Glob>> {
    reader.field(key).parsed_list(|text| Glob::parse(text).map_err(|error| (error, None)))
}

/// Keys that are about logs, or ask for what needs no asking here.
fn without_effect(reader: &mut Reader<'_, '_>) {
    for key in [
        "include_file_name",
        "include_file_path",
        "include_file_name_resolved",
        "include_file_path_resolved",
        "include_file_owner_name",
        "include_file_owner_group_name",
        "include_file_record_number",
        "include_file_record_offset",
        "preserve_leading_whitespaces",
        "preserve_trailing_whitespaces",
        "acquire_fs_lock",
    ] {
        reader.field(key).bool();
    }
    // Of all files a part is read in turn.
    for key in ["max_batches", "polls_to_archive"] {
        reader.field(key).int::<i64>(0..=i64::MAX);
    }
    reader.field("initial_buffer_size").bytes(0..=1 << 30);
}

fn not_supported(reader: &mut Reader<'_, '_>) {
    reader.field("encoding").parsed("utf-8", |name| match name.to_ascii_lowercase().as_str() {
        "" | "utf-8" | "utf8" | "utf-8-raw" | "ascii" | "us-ascii" => Ok(()),
        _ => Err(format!("unsupported encoding {name:?}: JSON is UTF-8")),
    });
    reader.field("compression").parsed("none", |name| match name {
        "" | "none" => Ok(()),
        _ => Err(format!("unsupported compression {name:?}: files are read as they are")),
    });
    reader.field("max_log_size_behavior").parsed("a word", |name| match name {
        // A part of a document is none: the line is left out as a whole either way.
        "" | "truncate" | "split" => Ok(()),
        _ => Err(format!("unsupported value {name:?}")),
    });
    if reader.field("delete_after_read").bool() == Some(true) {
        reader.fault("delete_after_read", "is not supported: files are never removed");
    }
    for (key, why) in [
        ("header", "is not supported: every line is a document of its own"),
        ("multiline", "is not supported: a document is a line"),
        ("ordering_criteria", "is not supported: all files that match are read"),
    ] {
        reader.refused(key, why);
    }
}

impl FilePlan {
    fn storage(
        &self,
        id: &Id,
        around: &Surroundings,
    ) -> Result<Option<PersistentSettings>, String> {
        let Some(extension) = &self.storage else { return Ok(None) };
        let found = around
            .extensions
            .get(extension)
            .ok_or_else(|| format!("the extension {extension} is not among service::extensions"))?;
        let storage = found.storage(&format!("receiver_{id}"));
        storage.map(Some).ok_or_else(|| format!("the extension {extension} is no storage"))
    }
}

impl Plan for FilePlan {
    fn needs(&self) -> Vec<Need> {
        Need::of(self.storage.as_ref(), Role::Storage).into_iter().collect()
    }

    /// Two would read everything twice.
    fn is_exclusive(&self) -> bool {
        true
    }
}

#[async_trait]
impl ReceiverPlan for FilePlan {
    async fn start(
        &self,
        id: &Id,
        around: &Surroundings,
        next: Arc<dyn Consumer>,
    ) -> Result<Arc<dyn Running>, String> {
        let storage = self.storage(id, around)?;
        let counters = Arc::new(FileCounters::default());
        let (settings, budget, own) =
            (self.settings.clone(), around.budget.clone(), Arc::clone(&counters));
        let open = move || FileReceiver::open(settings, storage, budget, next, own);
        let receiver = tokio::task::spawn_blocking(open).await;
        let receiver = receiver.map_err(|error| error.to_string())??;
        let stop = CancellationToken::new();
        let reading = receiver.run(stop.clone()).map_err(|error| error.to_string())?;
        let running = Arc::new(Files {
            id: id.clone(),
            counters,
            stop,
            reading: Mutex::new(Some(tokio::spawn(reading))),
            ended: AtomicBool::new(false),
        });
        let metrics: Arc<dyn Metrics> = running.clone();
        around.telemetry.add(&metrics);
        Ok(running)
    }
}

struct Files {
    id: Id,
    counters: Arc<FileCounters>,
    stop: CancellationToken,
    reading: Mutex<Option<JoinHandle<()>>>,
    ended: AtomicBool,
}

impl Drop for Files {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Running for Files {
    /// What is not read stays in its file.
    async fn stop(&self, deadline: Instant) -> u64 {
        self.stop.cancel();
        let reading = self.reading.lock().take();
        if let Some(reading) = reading
            && tokio::time::timeout_at(deadline, reading).await.is_err()
        {
            tracing::warn!(receiver = %self.id, "a line was still with the pipeline at the deadline");
        }
        0
    }

    fn problem(&self) -> Option<String> {
        let has_ended = self.reading.lock().as_ref().is_some_and(JoinHandle::is_finished);
        if has_ended && !self.stop.is_cancelled() {
            self.ended.store(true, Ordering::Relaxed);
        }
        self.ended.load(Ordering::Relaxed).then(|| "it has stopped to read".to_owned())
    }
}

impl Metrics for Files {
    fn collect(&self, out: &mut Vec<Sample>) {
        samples(out, &self.id, "file", &self.counters.lines, Link::Files);
        out.push(Sample {
            name: "otelcol_fileconsumer_open_files",
            help: "Files that are open",
            kind: MetricKind::Gauge,
            labels: vec![("receiver", self.id.to_string())],
            value: self.counters.open_files.load(Ordering::Relaxed) as f64,
        });
    }
}
