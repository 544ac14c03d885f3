//! What `service.telemetry` asks for, read and ready to be started.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::{Diagnostic, Diagnostics, Document, Node, Reader, Value};

use super::otlp_target::{OtlpTarget, target};
use super::resource::{Resource, resource, scalar};
use super::running;
use super::traces::{TracesPlan, traces};
use crate::component::{Running, Surroundings};

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What helps to find faults.
    Debug,
    /// What happens.
    Info,
    /// What may be wrong.
    Warn,
    /// What is.
    Error,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogEncoding {
    /// For people.
    #[default]
    Console,
    /// An object of JSON in each line.
    Json,
}

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// A file, to whose end lines are added.
    File(PathBuf),
}

/// `service.telemetry.logs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The least that is logged; nothing if it is not set.
    pub level: Option<LogLevel>,
    /// How a line looks. Default for people.
    pub encoding: LogEncoding,
    /// Where lines go. Default standard error.
    pub outputs: Vec<LogOutput>,
    /// Added to every line. Default none.
    pub initial_fields: Vec<(String, String)>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: None,
            encoding: LogEncoding::default(),
            outputs: vec![LogOutput::Stderr],
            initial_fields: Vec::new(),
        }
    }
}

/// A port where metrics are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PullPlan {
    /// Host and port.
    pub(super) endpoint: String,
    /// Whether a person asked for it. The default port is no reason not to start.
    pub(super) is_asked: bool,
    /// Counters without `_total`.
    pub(super) without_type_suffix: bool,
    /// Attributes of the resource that every series has as labels: patterns, and those to leave
    /// out again.
    pub(super) constant_labels: (Vec<String>, Vec<String>),
}

impl PullPlan {
    fn at(endpoint: String, is_asked: bool) -> Self {
        let constant_labels = (Vec::new(), Vec::new());
        Self { endpoint, is_asked, without_type_suffix: false, constant_labels }
    }
}

/// A server to which metrics are sent.
pub(super) struct PeriodicPlan {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) target: OtlpTarget,
}

/// What `service.telemetry` asks for.
pub struct TelemetryPlan {
    /// How the process logs; who has the process sees to it.
    pub logs: LogSettings,
    pub(super) pulls: Vec<PullPlan>,
    pub(super) periodics: Vec<PeriodicPlan>,
    pub(super) traces: Option<TracesPlan>,
    pub(super) resource: Resource,
}

const DEFAULT_HOST: &str = "localhost";
const DEFAULT_PORT: u16 = 8888;

impl Default for TelemetryPlan {
    fn default() -> Self {
        Self {
            logs: LogSettings::default(),
            pulls: vec![PullPlan::at(format!("{DEFAULT_HOST}:{DEFAULT_PORT}"), false)],
            periodics: Vec::new(),
            traces: None,
            resource: Resource::default(),
        }
    }
}

impl TelemetryPlan {
    /// Starts what it asks for: ports where metrics are read, exports, own traces. Stop what ran
    /// before first, which has the ports, and stop this after everything else.
    ///
    /// # Errors
    /// What a person can do something about, such as a port that is taken.
    pub async fn start(&self, around: &Surroundings) -> Result<Arc<dyn Running>, String> {
        running::start(self, around).await
    }
}

/// Reads the section and reports what is wrong with it. Without it: metrics on localhost:8888,
/// and nothing else.
pub fn read(document: &Document, diagnostics: &mut Diagnostics) -> TelemetryPlan {
    let mut plan = TelemetryPlan::default();
    let Some(node) = &document.service.telemetry else {
        return plan;
    };
    let mut reader = Reader::new(&["service", "telemetry"], node, diagnostics);
    if let Some(settings) = reader.field("logs").section(logs) {
        plan.logs = settings;
    }
    if let Some((pulls, periodics)) = reader.field("metrics").section(metrics) {
        plan.pulls = pulls;
        plan.periodics = periodics;
    }
    plan.traces = reader.field("traces").section(traces).flatten();
    plan.resource = resource(&mut reader);
    // Who reads a configuration as the SDKs have it finds its version there.
    reader.field("file_format").node();
    reader.finish();
    plan
}

/// Reports something that is accepted and does nothing, because a person may rely on it.
pub(super) fn warn_at(
    reader: &mut Reader<'_, '_>,
    key: &'static str,
    path: &str,
    message: &str,
    help: &str,
) {
    let Some(node) = reader.field(key).node() else {
        return;
    };
    if node.as_list().is_some_and(<[Node]>::is_empty) {
        return;
    }
    reader.report(|owner, _| {
        let warning = Diagnostic::warning(format!("{owner}: '{path}' {message}"));
        warning.at_node(node, "this has no effect").help(help)
    });
}

/// Milliseconds, as the SDKs' configuration writes times; with a unit as the Collector does.
pub(super) fn millis(
    reader: &mut Reader<'_, '_>,
    key: &'static str,
    default: Duration,
) -> Duration {
    let node = reader.field(key).node();
    let is_text = node.is_some_and(|node| matches!(node.value, Value::String(_)));
    let time = if is_text {
        reader.field(key).duration()
    } else {
        reader.field(key).int(0..=MILLIS_MAX).map(Duration::from_millis)
    };
    time.unwrap_or(default)
}

/// A year.
const MILLIS_MAX: u64 = 366 * 24 * 3600 * 1000;

fn logs(reader: &mut Reader<'_, '_>) -> LogSettings {
    let level =
        reader.field("level").parsed("a level", |text| match text.to_ascii_lowercase().as_str() {
            "debug" => Ok(LogLevel::Debug),
            "info" | "" => Ok(LogLevel::Info),
            "warn" | "warning" => Ok(LogLevel::Warn),
            "error" | "dpanic" | "panic" | "fatal" => Ok(LogLevel::Error),
            _ => Err(format!("unrecognized level: {text:?}: there are debug, info, warn, error")),
        });
    let encoding = reader
        .field("encoding")
        .choice(&[("console", LogEncoding::Console), ("json", LogEncoding::Json)]);
    let outputs = reader.field("output_paths").strings();
    let outputs = outputs.map(|paths| paths.iter().map(|path| output(path)).collect());
    // What repeats itself is logged rarely in any case.
    reader.field("sampling").section(|reader| {
        reader.field("enabled").bool();
        reader.field("tick").duration();
        reader.field("initial").int::<i64>(0..=i64::MAX);
        reader.field("thereafter").int::<i64>(0..=i64::MAX);
    });
    for key in ["development", "disable_caller", "disable_stacktrace", "disable_zap_resource"] {
        reader.field(key).bool();
    }
    reader.field("error_output_paths").strings();
    warn_at(
        reader,
        "processors",
        "logs.processors",
        "has no effect: Spanfall does not send its own log over OTLP",
        "write it with `encoding: json` and have it collected from there",
    );
    let fields = reader.field("initial_fields").node();
    let mut initial_fields = Vec::new();
    match fields.map(Node::as_map) {
        Some(Some(map)) => {
            for entry in map.iter() {
                match scalar(&entry.node) {
                    Some(value) => initial_fields.push((entry.key.text.to_string(), value.text())),
                    None => reader.fault("initial_fields", "expected texts by their names"),
                }
            }
        }
        Some(None) => reader.fault("initial_fields", "expected a map"),
        None => {}
    }
    LogSettings {
        level,
        encoding: encoding.unwrap_or_default(),
        outputs: outputs.unwrap_or_else(|| vec![LogOutput::Stderr]),
        initial_fields,
    }
}

fn output(path: &str) -> LogOutput {
    match path {
        "stderr" => LogOutput::Stderr,
        "stdout" => LogOutput::Stdout,
        path => LogOutput::File(PathBuf::from(path.strip_prefix("file://").unwrap_or(path))),
    }
}

/// `level`; false for `none`. The others tell the same here: what they add is cheap.
pub(super) fn level(reader: &mut Reader<'_, '_>) -> bool {
    let level =
        reader.field("level").parsed("a level", |text| match text.to_ascii_lowercase().as_str() {
            "none" => Ok(false),
            "" | "basic" | "normal" | "detailed" => Ok(true),
            _ => Err(format!("unknown level {text:?}: there are none, basic, normal, detailed")),
        });
    level.unwrap_or(true)
}

fn metrics(reader: &mut Reader<'_, '_>) -> (Vec<PullPlan>, Vec<PeriodicPlan>) {
    let is_on = level(reader);
    let old = address(reader);
    let given = reader.field("readers").list_of(metric_reader);
    warn_at(
        reader,
        "views",
        "metrics.views",
        "has no effect: Spanfall tells all of its metrics",
        "leave out what is not wanted where metrics are read",
    );
    if !is_on {
        return (Vec::new(), Vec::new());
    }
    let (mut pulls, mut periodics) = (Vec::new(), Vec::new());
    match (given, old) {
        (Some(readers), _) => {
            for (pull, periodic) in readers {
                pulls.extend(pull);
                periodics.extend(periodic);
            }
        }
        (None, Some(endpoint)) => pulls.push(PullPlan::at(endpoint, true)),
        (None, None) => pulls = TelemetryPlan::default().pulls,
    }
    (pulls, periodics)
}

/// The `address` of old.
fn address(reader: &mut Reader<'_, '_>) -> Option<String> {
    let text = reader.field("address").node().and_then(Node::as_text);
    let parts = text.and_then(|text| text.rsplit_once(':'));
    let (host, port) = parts.unwrap_or((DEFAULT_HOST, "8888"));
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let readers = format!(
        "write `readers: [{{pull: {{exporter: {{prometheus: {{host: '{host}', port: {port}}}}}}}}}]`"
    );
    reader.field("address").deprecated(&readers).parsed("host and port", |text| {
        let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => Ok(text.to_owned()),
            _ => Err(format!("{text:?} is no address to listen on, like 0.0.0.0:8888")),
        }
    })
}

fn metric_reader(reader: &mut Reader<'_, '_>) -> (Option<PullPlan>, Option<PeriodicPlan>) {
    reader.one_of(&["pull", "periodic"]);
    let pull = reader.field("pull").section(pull);
    let periodic = reader.field("periodic").section(periodic);
    (pull.flatten(), periodic.flatten())
}

/// Of the SDKs' configuration; nothing here is read of them.
fn unused(reader: &mut Reader<'_, '_>) {
    for key in ["producers", "cardinality_limits"] {
        reader.field(key).node();
    }
}

fn pull(reader: &mut Reader<'_, '_>) -> Option<PullPlan> {
    unused(reader);
    let exporter = reader.field("exporter").required().section(|reader| {
        let names = ["prometheus", "prometheus/development"];
        reader.one_of(&names);
        let own = reader.field("prometheus").section(prometheus);
        own.or(reader.field("prometheus/development").section(prometheus))
    });
    exporter.flatten()
}

fn prometheus(reader: &mut Reader<'_, '_>) -> PullPlan {
    let host = reader.field("host").string().filter(|host| !host.is_empty());
    let port = reader.field("port").int(0..=u16::MAX).unwrap_or(DEFAULT_PORT);
    let host = host.unwrap_or_else(|| DEFAULT_HOST.to_owned());
    let host = match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]"),
        false => host,
    };
    let mut plan = PullPlan::at(format!("{host}:{port}"), true);
    plan.without_type_suffix = reader.field("without_type_suffix").bool().unwrap_or_default();
    // Names have the units that dashboards know, and series no labels of a scope.
    for key in ["without_units", "without_scope_info", "scope_info_enabled", "target_info_enabled"]
    {
        reader.field(key).bool();
    }
    reader.field("translation_strategy").string();
    let labels = reader.field("with_resource_constant_labels").section(|reader| {
        let included = reader.field("included").strings().unwrap_or_default();
        (included, reader.field("excluded").strings().unwrap_or_default())
    });
    plan.constant_labels = labels.unwrap_or_default();
    plan
}

fn periodic(reader: &mut Reader<'_, '_>) -> Option<PeriodicPlan> {
    unused(reader);
    let interval = millis(reader, "interval", Duration::from_secs(60));
    let timeout = millis(reader, "timeout", Duration::from_secs(30));
    if interval.is_zero() {
        reader.fault("interval", "must be greater than zero");
    }
    let target = target(reader)?;
    Some(PeriodicPlan { interval, timeout, target })
}
