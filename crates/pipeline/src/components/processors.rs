//! Processors.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use config::{Id, Reader};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::processor_counts::{
    Around, BatchMetrics, Counted, EditMetrics, GroupMetrics, ProcessorMetrics, told,
};
use super::processors_detection::detection;
use super::selection::{literal, regex, regexes, selection};
use super::statements;
use crate::component::{Plan, ProcessorPlan, Running, Stage, Still, Surroundings};
use crate::consumer::Consumer;
use crate::graph::Registry;
use crate::processors::actions::{Action, Converted, Keys, Literal, Source};
use crate::processors::attributes::{Attributes, Resource};
use crate::processors::batch::{self, Batch};
use crate::processors::groupbytrace::{self, GroupByTrace};
use crate::processors::memory_limiter::{self, MemoryLimiter};
use crate::processors::probabilistic_sampler::{self, Mode, ProbabilisticSampler};
use crate::processors::redaction::{self, Hashing, Preset, Redaction, Summary};
use crate::processors::span::{FromAttributes, Span, Status, ToAttributes};
use crate::processors::{Edit, Editor, ProcessorCounters};
use crate::telemetry::Metrics;

pub(super) fn register(registry: &mut Registry) {
    registry.add_processor("attributes", |reader| {
        let actions = actions(reader, "actions");
        edits(Attributes { actions, selection: selection(reader) })
    });
    registry.add_processor("resource", |reader| {
        edits(Resource { actions: actions(reader, "attributes") })
    });
    registry.add_processor("span", |reader| edits(span(reader)));
    registry.add_processor("redaction", |reader| edits_or(redaction(reader)));
    registry.add_processor("probabilistic_sampler", |reader| edits(sampler(reader)));
    registry.add_processor("filter", |reader| edits(statements::filter(reader)));
    registry.add_processor("transform", |reader| edits(statements::transform(reader)));
    registry.add_processor("resource_detection", |reader| edits_or(detection(reader)));
    registry.add_processor("memory_limiter", |reader| Arc::new(LimiterPlan(limiter(reader))));
    registry.add_processor("batch", |reader| Arc::new(BatchPlan(batch_settings(reader))));
    registry.add_processor("groupbytrace", |reader| Arc::new(GroupPlan(grouping(reader))));
}

/// A processor that is an [`Edit`]; all pipelines share it.
struct EditPlan<E> {
    edit: Arc<E>,
    /// Its own numbers, which are told once, in however many pipelines it is.
    metrics: Mutex<Weak<EditMetrics>>,
}

fn edits<E: Edit>(edit: E) -> Arc<dyn ProcessorPlan> {
    Arc::new(EditPlan { edit: Arc::new(edit), metrics: Mutex::default() })
}

impl<E: Edit> EditPlan<E> {
    fn own_metrics(&self, id: &Id, around: &Surroundings) -> Option<Arc<dyn Metrics>> {
        if self.edit.numbers().is_empty() {
            return None;
        }
        let mut told = self.metrics.lock();
        if let Some(own) = told.upgrade() {
            return Some(own);
        }
        let own = Arc::new(EditMetrics { id: id.clone(), edit: self.edit.clone() });
        *told = Arc::downgrade(&own);
        let own: Arc<dyn Metrics> = own;
        around.telemetry.add(&own);
        Some(own)
    }
}

/// One whose settings may be wrong, which was reported.
fn edits_or<E: Edit>(edit: Option<E>) -> Arc<dyn ProcessorPlan> {
    match edit {
        Some(edit) => edits(edit),
        None => Arc::new(Wrong),
    }
}

struct Wrong;

impl Plan for Wrong {}

#[async_trait]
impl ProcessorPlan for Wrong {
    async fn start(
        &self,
        _: &Id,
        _: &Surroundings,
        _: Arc<dyn Consumer>,
        _: bool,
    ) -> Result<Stage, String> {
        Err("its settings are wrong".to_owned())
    }
}

impl<E: Edit> Plan for EditPlan<E> {}

impl<E: Edit> Edit for Arc<E> {
    fn edit(
        &self,
        batch: &mut model::SpanBatch,
        client: &crate::data::Client,
    ) -> Result<(), crate::consumer::Refusal> {
        (**self).edit(batch, client)
    }

    fn concerns(&self, batch: &model::SpanBatch) -> bool {
        (**self).concerns(batch)
    }

    fn admit(&self) -> Result<(), crate::consumer::Refusal> {
        (**self).admit()
    }

    fn numbers(&self) -> Vec<(&'static str, &'static str, u64)> {
        (**self).numbers()
    }
}

/// An edit as a part of a pipeline, with its numbers.
fn editor<E: Edit>(
    id: &Id,
    around: &Surroundings,
    edit: E,
    next: Arc<dyn Consumer>,
    running: impl Running,
    is_limiter: bool,
) -> Stage {
    let counters = Arc::new(ProcessorCounters::default());
    let metrics = ProcessorMetrics { id: id.clone(), counters: counters.clone(), is_limiter };
    let metrics = told(around, metrics);
    let consumer = Editor::new(edit, next, counters);
    let running = Counted { running, _metrics: vec![metrics] };
    Stage { running: Arc::new(running), ..Stage::still(Arc::new(consumer)) }
}

#[async_trait]
impl<E: Edit> ProcessorPlan for EditPlan<E> {
    async fn start(
        &self,
        id: &Id,
        around: &Surroundings,
        next: Arc<dyn Consumer>,
        _: bool,
    ) -> Result<Stage, String> {
        let own = self.own_metrics(id, around);
        let running = Counted { running: Still, _metrics: own.into_iter().collect() };
        Ok(editor(id, around, self.edit.clone(), next, running, false))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Verb {
    Insert,
    Update,
    Upsert,
    Delete,
    Hash,
    Extract,
    Convert,
}

/// A list of actions on attributes.
fn actions(reader: &mut Reader<'_, '_>, key: &'static str) -> Vec<Action> {
    let actions = reader.field(key).required().list_of(action).unwrap_or_default();
    if actions.is_empty() && reader.has(key) {
        reader.fault(key, "missing required field \"actions\": at least one is needed");
    }
    actions.into_iter().flatten().collect()
}

fn action(reader: &mut Reader<'_, '_>) -> Option<Action> {
    let verb = reader.field("action").required().parsed("an action", |text| {
        Ok(match text.to_lowercase().as_str() {
            "insert" => Verb::Insert,
            "update" => Verb::Update,
            "upsert" => Verb::Upsert,
            "delete" => Verb::Delete,
            "hash" => Verb::Hash,
            "extract" => Verb::Extract,
            "convert" => Verb::Convert,
            _ => {
                return Err(format!(
                    "unsupported action {text:?}: must be one of insert, update, upsert, delete, \
                     hash, extract, convert"
                ));
            }
        })
    });
    let key = reader.field("key").string();
    let pattern = reader.field("pattern").string();
    let value = reader.field("value").node();
    let default = reader.field("default_value").node();
    let from_attribute = reader.field("from_attribute").string();
    let from_context = reader.field("from_context").string();
    let converted_type = reader.field("converted_type").choice(&[
        ("int", Converted::Int),
        ("double", Converted::Double),
        ("string", Converted::String),
    ]);
    let verb = verb?;
    let own_key = |reader: &mut Reader<'_, '_>| {
        if key.as_deref().unwrap_or_default().is_empty() {
            reader.fault("key", "missing required field \"key\"");
        }
        key.clone().unwrap_or_default()
    };
    let keys = |reader: &mut Reader<'_, '_>| {
        if key.is_none() && pattern.is_none() {
            reader.fault("key", "either field \"key\" or \"pattern\" must be specified");
        }
        let pattern = pattern.as_ref().and_then(|text| regex(reader, "pattern", text));
        Keys { key: key.clone(), pattern }
    };
    match verb {
        Verb::Delete => Some(Action::Delete(keys(reader))),
        Verb::Hash => Some(Action::Hash(keys(reader))),
        Verb::Convert => {
            if converted_type.is_none() && !reader.has("converted_type") {
                reader.fault("converted_type", "missing required field \"converted_type\"");
            }
            Some(Action::Convert(own_key(reader), converted_type?))
        }
        Verb::Extract => {
            let Some(text) = &pattern else {
                reader.fault("pattern", "missing required field \"pattern\"");
                return None;
            };
            let pattern = regex(reader, "pattern", text)?;
            if pattern.capture_names().flatten().count() == 0 {
                let message = "the pattern must have at least one group with a name, as in \
                               `(?P<name>…)`";
                reader.fault("pattern", message);
            }
            Some(Action::Extract(own_key(reader), pattern))
        }
        Verb::Insert | Verb::Update | Verb::Upsert => {
            let key = own_key(reader);
            let given = [value.is_some(), from_attribute.is_some(), from_context.is_some()];
            let given = given.into_iter().filter(|given| *given).count();
            if given > 1 || given == 0 && default.is_none() {
                let message = "exactly one of \"value\", \"from_attribute\" and \"from_context\" \
                               must be specified";
                // One without a value, such as a variable that is not set, is no value.
                let place = if reader.has("value") { "value" } else { "action" };
                reader.fault(place, message);
            }
            let mut read = |key, node| {
                literal(node).unwrap_or_else(|| {
                    reader.fault(key, "must be text, a number or a boolean");
                    Literal::Bool(false)
                })
            };
            let default = default.map(|node| read("default_value", node));
            let source = if let Some(node) = value {
                Some(Source::Value(read("value", node)))
            } else if let Some(from) = from_attribute {
                Some(Source::Attribute(from))
            } else {
                from_context.map(Source::Context)
            };
            let source = match (source, default) {
                (Some(source), Some(default)) => Source::Or(Box::new(source), default),
                (None, Some(default)) => Source::Value(default),
                (source, None) => source?,
            };
            Some(match verb {
                Verb::Insert => Action::Insert(key, source),
                Verb::Update => Action::Update(key, source),
                _ => Action::Upsert(key, source),
            })
        }
    }
}

fn span(reader: &mut Reader<'_, '_>) -> Span {
    let name = reader.field("name").section(|reader| {
        let keys = reader.field("from_attributes").strings().unwrap_or_default();
        let separator = reader.field("separator").string().unwrap_or_default();
        let to = reader.field("to_attributes").section(|reader| {
            let rules = regexes(reader, "rules");
            if rules.is_empty() {
                reader.fault("rules", "at least one rule is needed");
            }
            ToAttributes {
                rules,
                break_after_match: reader.field("break_after_match").bool().unwrap_or_default(),
                keep_original_name: reader.field("keep_original_name").bool().unwrap_or_default(),
            }
        });
        let from = (!keys.is_empty()).then_some(FromAttributes { keys, separator });
        (from, to)
    });
    let status = reader.field("status").section(|reader| {
        let code = reader.field("code").required().choice(&[
            ("Ok", model::status_code::OK),
            ("Error", model::status_code::ERROR),
            ("Unset", model::status_code::UNSET),
        ]);
        let description = reader.field("description").string().unwrap_or_default();
        if !description.is_empty() && code != Some(model::status_code::ERROR) {
            reader.fault("description", "is only for the code \"Error\"");
        }
        Status { code: code.unwrap_or_default(), description }
    });
    let (from_attributes, to_attributes) = name.unwrap_or_default();
    if from_attributes.is_none() && to_attributes.is_none() && status.is_none() {
        let message = "either \"from_attributes\" or \"to_attributes\" must be specified in \
                       \"name:\" field or \"setStatus\" must be specified";
        reader.fault("name", message);
    }
    Span { selection: selection(reader), from_attributes, to_attributes, status }
}

#[derive(Clone, Copy)]
enum HashName {
    Md5,
    Sha1,
    Sha3,
    Hmac256,
    Hmac512,
}

fn redaction(reader: &mut Reader<'_, '_>) -> Option<Redaction> {
    let hash = reader.field("hash_function").choice(&[
        ("md5", HashName::Md5),
        ("sha1", HashName::Sha1),
        ("sha3", HashName::Sha3),
        ("hmac-sha256", HashName::Hmac256),
        ("hmac-sha512", HashName::Hmac512),
    ]);
    let key = reader.field("hmac_key").secret();
    let own_key = || key.clone().unwrap_or_default();
    let hashing = hash.map(|hash| match hash {
        HashName::Md5 => Hashing::Md5,
        HashName::Sha1 => Hashing::Sha1,
        HashName::Sha3 => Hashing::Sha3,
        HashName::Hmac256 => Hashing::HmacSha256(own_key()),
        HashName::Hmac512 => Hashing::HmacSha512(own_key()),
    });
    if matches!(hash, Some(HashName::Hmac256 | HashName::Hmac512)) && own_key().expose().is_empty()
    {
        reader.fault("hmac_key", "must be specified with this hash_function");
    }
    let presets = reader.field("presets").strings().unwrap_or_default();
    let presets = presets.iter().filter_map(|name| match name.as_str() {
        "credit_card" => Some(Preset::CreditCard),
        "email" => Some(Preset::Email),
        _ => {
            let message = format!("{name:?} is no preset: there are credit_card and email");
            reader.fault("presets", &message);
            None
        }
    });
    let presets = presets.collect();
    let urls = reader.field("url_sanitizer").section(|reader| {
        let is_on = reader.field("enabled").bool().unwrap_or_default();
        let attributes = reader.field("attributes").strings().unwrap_or_default();
        let names = reader.field("sanitize_span_name").bool().unwrap_or(true);
        // Spans have no bodies.
        reader.field("sanitize_log_body").bool();
        is_on.then_some((attributes, names))
    });
    let (url_attributes, sanitizes_span_names) = urls.flatten().unwrap_or_default();
    let words = "is not there: cut literals out of queries by the processor `transform`, with \
                 `replace_pattern`";
    reader.refused("db_sanitizer", words);
    let settings = redaction::Settings {
        url_attributes,
        sanitizes_span_names,
        allow_all_keys: reader.field("allow_all_keys").bool().unwrap_or_default(),
        allowed_keys: reader.field("allowed_keys").strings().unwrap_or_default(),
        ignored_keys: reader.field("ignored_keys").strings().unwrap_or_default(),
        ignored_key_patterns: regexes(reader, "ignored_key_patterns"),
        blocked_key_patterns: regexes(reader, "blocked_key_patterns"),
        blocked_values: regexes(reader, "blocked_values"),
        presets,
        allowed_values: regexes(reader, "allowed_values"),
        redact_all_types: reader.field("redact_all_types").bool().unwrap_or_default(),
        redact_all_fields: reader.field("redact_all_fields").bool().unwrap_or(true),
        hashing,
        summary: reader
            .field("summary")
            .choice(&[
                ("debug", Summary::Debug),
                ("info", Summary::Info),
                ("silent", Summary::Silent),
            ])
            .unwrap_or_default(),
    };
    Redaction::new(settings).ok()
}

fn sampler(reader: &mut Reader<'_, '_>) -> ProbabilisticSampler {
    let defaults = probabilistic_sampler::Settings::default();
    let percentage = reader.field("sampling_percentage").float(0.0..=f64::MAX);
    for key in ["attribute_source", "from_attribute", "sampling_priority"] {
        reader.field(key).without_effect("is for logs: the trace id decides about spans").string();
    }
    ProbabilisticSampler::new(probabilistic_sampler::Settings {
        mode: reader
            .field("mode")
            .choice(&[
                ("hash_seed", Mode::HashSeed),
                ("proportional", Mode::Proportional),
                ("equalizing", Mode::Equalizing),
            ])
            .unwrap_or(defaults.mode),
        sampling_percentage: percentage.unwrap_or(defaults.sampling_percentage),
        hash_seed: reader.field("hash_seed").int(0..=u32::MAX).unwrap_or(defaults.hash_seed),
        fail_closed: reader.field("fail_closed").bool().unwrap_or(defaults.fail_closed),
        sampling_precision: reader
            .field("sampling_precision")
            .int(1..=14)
            .unwrap_or(defaults.sampling_precision),
    })
}

struct LimiterPlan(memory_limiter::Settings);

fn limiter(reader: &mut Reader<'_, '_>) -> memory_limiter::Settings {
    const MIB: u64 = 1 << 20;
    let check_interval = reader.field("check_interval").duration().unwrap_or_default();
    if check_interval.is_zero() {
        reader.fault("check_interval", "must be greater than zero");
    }
    let most = u64::MAX / MIB;
    let limit = reader.field("limit_mib").int(0..=most).unwrap_or_default() * MIB;
    let spike = reader.field("spike_limit_mib").int(0..=most).unwrap_or_default() * MIB;
    let percentage = reader.field("limit_percentage").int(0..=100u64).unwrap_or_default();
    let spike_percentage =
        reader.field("spike_limit_percentage").int(0..=100u64).unwrap_or_default();
    // Those of Go's garbage collector, which there is none of here.
    for key in ["min_gc_interval_when_soft_limited", "min_gc_interval_when_hard_limited"] {
        reader.field(key).duration();
    }
    for key in ["max_gc_interval_when_soft_limited", "max_gc_interval_when_hard_limited"] {
        reader.field(key).duration();
    }
    let why = "was memory for Go's garbage collector, which there is none of here";
    reader.field("ballast_size_mib").without_effect(why).int(0..=most);
    if limit == 0 && percentage == 0 {
        reader.fault("limit_mib", "limit_mib or limit_percentage must be greater than zero");
    }
    let total = memory_limiter::total_bytes();
    if limit == 0 && percentage > 0 && total == 0 {
        let message = "the system does not tell how much memory there is: use limit_mib";
        reader.fault("limit_percentage", message);
    }
    let share = |percent: u64| (u128::from(total) * u128::from(percent) / 100) as u64;
    let limit_bytes = if limit > 0 { limit } else { share(percentage) };
    let spike_bytes = match (spike, spike_percentage) {
        (0, 0) => limit_bytes / 5,
        (0, percent) if limit == 0 => share(percent),
        (0, _) => limit_bytes / 5,
        (spike, _) => spike,
    };
    if spike_bytes >= limit_bytes && limit_bytes > 0 {
        reader.fault("spike_limit_mib", "must be smaller than the limit");
    }
    memory_limiter::Settings { check_interval, limit_bytes, spike_bytes }
}

impl Plan for LimiterPlan {}

struct UntilStopped(CancellationToken);

#[async_trait]
impl Running for UntilStopped {
    async fn stop(&self, _: Instant) -> u64 {
        self.0.cancel();
        0
    }
}

#[async_trait]
impl ProcessorPlan for LimiterPlan {
    async fn start(
        &self,
        id: &Id,
        around: &Surroundings,
        next: Arc<dyn Consumer>,
        _: bool,
    ) -> Result<Stage, String> {
        let stop = CancellationToken::new();
        let edit = MemoryLimiter::start(&self.0, memory_limiter::private_bytes, stop.clone());
        Ok(editor(id, around, edit, next, UntilStopped(stop), true))
    }
}

struct BatchPlan(batch::Settings);

fn batch_settings(reader: &mut Reader<'_, '_>) -> batch::Settings {
    let defaults = batch::Settings::default();
    let most = u32::MAX as usize;
    let settings = batch::Settings {
        send_batch_size: reader
            .field("send_batch_size")
            .int(0..=most)
            .unwrap_or(defaults.send_batch_size),
        timeout: reader.field("timeout").duration().unwrap_or(defaults.timeout),
        send_batch_max_size: reader.field("send_batch_max_size").int(0..=most).unwrap_or_default(),
        metadata_keys: reader.field("metadata_keys").strings().unwrap_or_default(),
        metadata_cardinality_limit: reader
            .field("metadata_cardinality_limit")
            .int(0..=most)
            .unwrap_or(defaults.metadata_cardinality_limit),
    };
    if settings.send_batch_max_size > 0 && settings.send_batch_max_size < settings.send_batch_size {
        let message = "must be greater or equal to send_batch_size";
        reader.fault("send_batch_max_size", message);
    }
    let mut seen: Vec<String> = Vec::new();
    for key in &settings.metadata_keys {
        let key = key.to_lowercase();
        if seen.contains(&key) {
            let message = format!("duplicate entry in metadata_keys: {key:?} (case-insensitive)");
            reader.fault("metadata_keys", &message);
        }
        seen.push(key);
    }
    settings
}

impl Plan for BatchPlan {}

struct BatchRunning(Arc<Batch>);

#[async_trait]
impl Running for BatchRunning {
    async fn stop(&self, deadline: Instant) -> u64 {
        self.0.shutdown(deadline).await as u64
    }
}

#[async_trait]
impl ProcessorPlan for BatchPlan {
    async fn start(
        &self,
        id: &Id,
        around: &Surroundings,
        next: Arc<dyn Consumer>,
        durable_behind: bool,
    ) -> Result<Stage, String> {
        let counters = Arc::new(batch::Counters::default());
        let own = BatchMetrics { id: id.clone(), counters: counters.clone() };
        let metrics = told(around, own);
        let (counted, next) = Around::of(id, around, next);
        let batch = Arc::new(Batch::new(self.0.clone(), next, durable_behind, counters));
        Ok(counted.stage(batch.clone(), BatchRunning(batch), metrics))
    }
}

struct GroupPlan(groupbytrace::Settings);

fn grouping(reader: &mut Reader<'_, '_>) -> groupbytrace::Settings {
    let defaults = groupbytrace::Settings::default();
    reader.field("num_workers").int::<u32>(1..=u32::MAX);
    for key in ["store_on_disk", "discard_orphans"] {
        if reader.field(key).bool() == Some(true) {
            reader.fault(key, "option not implemented");
        }
    }
    groupbytrace::Settings {
        wait_duration: reader
            .field("wait_duration")
            .duration()
            .unwrap_or(defaults.wait_duration)
            .min(Duration::from_secs(24 * 3600)),
        num_traces: reader
            .field("num_traces")
            .int(1..=u32::MAX as usize)
            .unwrap_or(defaults.num_traces),
    }
}

impl Plan for GroupPlan {}

/// Ends once.
struct GroupRunning(Mutex<Option<Arc<GroupByTrace>>>);

#[async_trait]
impl Running for GroupRunning {
    async fn stop(&self, deadline: Instant) -> u64 {
        let own = self.0.lock().take();
        match own {
            Some(own) => own.shutdown(deadline).await as u64,
            None => 0,
        }
    }
}

#[async_trait]
impl ProcessorPlan for GroupPlan {
    async fn start(
        &self,
        id: &Id,
        around: &Surroundings,
        next: Arc<dyn Consumer>,
        _: bool,
    ) -> Result<Stage, String> {
        let counters = Arc::new(groupbytrace::Counters::default());
        let own = GroupMetrics { id: id.clone(), counters: counters.clone() };
        let metrics = told(around, own);
        let (counted, next) = Around::of(id, around, next);
        let own = Arc::new(GroupByTrace::start(self.0.clone(), next, counters));
        let running = GroupRunning(Mutex::new(Some(own.clone())));
        Ok(counted.stage(own, running, metrics))
    }
}
