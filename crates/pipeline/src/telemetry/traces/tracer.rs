//! Spans from their beginning to their export.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::SpanContext;
use super::encode::encode;
use super::plan::{SpanProcessor, TracesPlan};
use super::sampler::Sampler;
use crate::data::Signal;
use crate::exporters::Sender;
use crate::telemetry::resource::{Resource, Scalar};
use crate::telemetry::{MetricKind, Metrics, Sample};

/// The longest text of a status.
const ERROR_BYTES_MAX: usize = 1024;

/// What a span does (`Span.SpanKind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Server = 2,
    Client = 3,
}

/// A span that has ended.
pub(super) struct Ended {
    pub(super) context: SpanContext,
    pub(super) parent: Option<SpanContext>,
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    /// Nanoseconds since 1970.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Vec<(&'static str, Scalar)>,
    pub(super) error: Option<String>,
}

/// Begins spans, and keeps those that ended until they are sent.
pub(crate) struct Tracer {
    sampler: Sampler,
    propagates: bool,
    /// What the export of own traces says of itself, so that a server in this process knows it.
    muted: SpanContext,
    random: AtomicU64,
    buffers: Vec<Arc<Buffer>>,
}

impl Tracer {
    /// Takes spans; [`Self::run`] sends them.
    pub(in crate::telemetry) async fn new(
        plan: &TracesPlan,
        resource: &Resource,
    ) -> Result<Arc<Self>, String> {
        let resource: Arc<[u8]> = resource.encoded().into();
        let mut buffers = Vec::new();
        for own in &plan.processors {
            buffers.push(Arc::new(Buffer::new(own, resource.clone()).await?));
        }
        let seed = RandomState::new();
        let mut own = Self {
            sampler: plan.sampler.clone(),
            propagates: plan.propagates,
            muted: SpanContext {
                trace_id: [0; 16],
                span_id: [0; 8],
                is_sampled: false,
                is_remote: false,
                is_muted: true,
                is_told: true,
            },
            random: AtomicU64::new(seed.hash_one(0)),
            buffers,
        };
        own.muted.trace_id = own.trace_id();
        own.muted.span_id = own.span_id();
        Ok(Arc::new(own))
    }

    /// What there is to run: the exports, each until it is told to stop; what waits then is sent.
    pub(in crate::telemetry) fn exports(
        self: &Arc<Self>,
        stop: &CancellationToken,
    ) -> Vec<impl Future<Output = ()> + Send + 'static> {
        let each = self.buffers.iter();
        each.map(|own| own.clone().run(self.muted, stop.clone())).collect()
    }

    /// A parent that a request names, as far as it matters: none if nobody is to be heard, and a
    /// muted one if the request is an export of this process's.
    pub(super) fn known(&self, parent: SpanContext) -> Option<SpanContext> {
        if parent.trace_id == self.muted.trace_id {
            return Some(SpanContext { is_muted: true, ..parent });
        }
        self.propagates.then_some(parent)
    }

    /// Begins a span.
    pub(crate) fn begin(
        self: &Arc<Self>,
        name: &Arc<str>,
        kind: Kind,
        parent: Option<SpanContext>,
    ) -> Active {
        let trace_id = parent.map_or_else(|| self.trace_id(), |parent| parent.trace_id);
        let is_muted = parent.is_some_and(|parent| parent.is_muted);
        let context = SpanContext {
            trace_id,
            span_id: self.span_id(),
            is_sampled: !is_muted && self.sampler.keeps(parent.as_ref(), trace_id),
            is_remote: false,
            is_muted,
            is_told: self.propagates || is_muted,
        };
        let span = context.is_sampled.then(|| Ended {
            context,
            parent,
            name: name.clone(),
            kind,
            start: nanoseconds(),
            end: 0,
            attributes: Vec::new(),
            error: None,
        });
        Active { tracer: self.clone(), context, begun: Instant::now(), span }
    }

    fn end(&self, span: Ended) {
        let span = Arc::new(span);
        for buffer in &self.buffers {
            buffer.push(span.clone());
        }
    }

    /// Not zero, which stands for none.
    fn span_id(&self) -> [u8; 8] {
        self.random().max(1).to_be_bytes()
    }

    fn trace_id(&self) -> [u8; 16] {
        let (high, low) = (u128::from(self.random()), u128::from(self.random().max(1)));
        (high << 64 | low).to_be_bytes()
    }

    /// SplitMix64.
    fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Spans that wait to be sent.
    pub(in crate::telemetry) fn waiting(&self) -> u64 {
        self.buffers.iter().map(|own| own.state.lock().len() as u64).sum()
    }
}

fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A span that has not ended. It ends when it is dropped.
pub(crate) struct Active {
    tracer: Arc<Tracer>,
    context: SpanContext,
    begun: Instant,
    /// Nothing if it is not kept.
    span: Option<Ended>,
}

impl Active {
    /// What works under it knows of it.
    pub(crate) fn context(&self) -> SpanContext {
        self.context
    }

    /// Adds an attribute.
    pub(crate) fn set_text(&mut self, key: &'static str, value: &str) {
        if let Some(span) = &mut self.span {
            span.attributes.push((key, value.into()));
        }
    }

    /// Adds a number.
    pub(crate) fn set(&mut self, key: &'static str, value: u64) {
        if let Some(span) = &mut self.span {
            span.attributes.push((key, Scalar::Int(i64::try_from(value).unwrap_or(i64::MAX))));
        }
    }

    /// It did not do what it was for.
    pub(crate) fn fail(&mut self, why: &str) {
        if let Some(span) = &mut self.span {
            let mut error = why.to_owned();
            let mut end = why.len().min(ERROR_BYTES_MAX);
            while !why.is_char_boundary(end) {
                end -= 1;
            }
            error.truncate(end);
            span.error = Some(error);
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            let took = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            span.end = span.start.saturating_add(took);
            self.tracer.end(span);
        }
    }
}

/// Spans on their way to one server.
struct Buffer {
    settings: BufferSettings,
    resource: Arc<[u8]>,
    sender: Sender,
    state: Mutex<Vec<Arc<Ended>>>,
    full: Notify,
    dropped: AtomicU64,
}

struct BufferSettings {
    delay: std::time::Duration,
    queue_max: usize,
    batch_max: usize,
}

impl Buffer {
    async fn new(plan: &SpanProcessor, resource: Arc<[u8]>) -> Result<Self, String> {
        let sender = plan.target.sender(Signal::Traces, plan.timeout).await?;
        let SpanProcessor { delay, queue_max, batch_max, .. } = *plan;
        let settings = BufferSettings { delay, queue_max, batch_max };
        Ok(Self {
            settings,
            resource,
            sender,
            state: Mutex::default(),
            full: Notify::new(),
            dropped: AtomicU64::new(0),
        })
    }

    fn push(&self, span: Arc<Ended>) {
        let waiting = {
            let mut waiting = self.state.lock();
            if waiting.len() >= self.settings.queue_max {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            waiting.push(span);
            waiting.len()
        };
        if waiting >= self.settings.batch_max || self.settings.delay.is_zero() {
            self.full.notify_one();
        }
    }

    async fn run(self: Arc<Self>, muted: SpanContext, stop: CancellationToken) {
        loop {
            let is_last = stop.is_cancelled();
            let is_empty = self.state.lock().is_empty();
            if !is_last && (is_empty || !self.settings.delay.is_zero()) {
                // Zero waits for a span, not for time.
                let delay = self.settings.delay;
                let wait = async {
                    match delay.is_zero() {
                        true => std::future::pending().await,
                        false => tokio::time::sleep(delay).await,
                    }
                };
                tokio::select! {
                    () = wait => {}
                    () = self.full.notified() => {}
                    () = stop.cancelled() => {}
                }
            }
            loop {
                let batch: Vec<Arc<Ended>> = {
                    let mut waiting = self.state.lock();
                    let count = waiting.len().min(self.settings.batch_max);
                    waiting.drain(..count).collect()
                };
                if batch.is_empty() {
                    break;
                }
                let request = encode(&self.resource, &batch);
                // Counted by the sender, and logged now and then.
                let _ = muted.scope(self.sender.send(request)).await;
            }
            if is_last {
                return;
            }
        }
    }
}

impl Metrics for Tracer {
    fn collect(&self, out: &mut Vec<Sample>) {
        let mut push = |name, help, value: u64| {
            let (kind, labels, value) = (MetricKind::Counter, Vec::new(), value as f64);
            out.push(Sample { name, help, kind, labels, value });
        };
        for own in &self.buffers {
            let counters = own.sender.counters().snapshot();
            push("spanfall_telemetry_sent_spans", "Own spans that a server took", counters.sent);
            push(
                "spanfall_telemetry_send_failed_spans",
                "Own spans that did not leave",
                counters.send_failed() + counters.rejected,
            );
            push(
                "spanfall_telemetry_dropped_spans",
                "Own spans for which there was no room",
                own.dropped.load(Ordering::Relaxed),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use config::{System, load};

    use super::*;
    use crate::components::known;

    fn plan(telemetry: &str) -> TracesPlan {
        let configs = [format!("yaml:service: {{telemetry: {telemetry}}}")];
        let request = config::Request { configs: &configs, sets: &[] };
        let (document, mut diagnostics) = load(request, &System, &known());
        crate::telemetry::read(&document, &mut diagnostics).traces.unwrap()
    }

    #[tokio::test]
    async fn what_finds_no_room_is_counted() {
        let plan = plan(
            "{traces: {processors: [{batch: {max_queue_size: 3, exporter: {otlp: }}}, {batch: \
             {max_queue_size: 4, exporter: {otlp: }}}]}}",
        );
        let tracer = Tracer::new(&plan, &Resource::default()).await.unwrap();
        let name: Arc<str> = "work".into();
        for _ in 0..5 {
            drop(tracer.begin(&name, Kind::Server, None));
        }
        assert_eq!(tracer.waiting(), 3 + 4);
        let mut samples = Vec::new();
        tracer.collect(&mut samples);
        let dropped: Vec<f64> = samples
            .iter()
            .filter(|sample| sample.name == "spanfall_telemetry_dropped_spans")
            .map(|sample| sample.value)
            .collect();
        assert_eq!(dropped, [2.0, 1.0]);
    }

    #[tokio::test]
    async fn ids_differ_and_stay_within_their_trace() {
        let plan = plan("{traces: {processors: [{simple: {exporter: {otlp: }}}]}}");
        let tracer = Tracer::new(&plan, &Resource::default()).await.unwrap();
        let name: Arc<str> = "work".into();
        let (one, two) =
            (tracer.begin(&name, Kind::Server, None), tracer.begin(&name, Kind::Server, None));
        let below = tracer.begin(&name, Kind::Client, Some(one.context()));
        assert_ne!(one.context().trace_id, two.context().trace_id);
        assert_eq!(below.context().trace_id, one.context().trace_id);
        assert_ne!(below.context().span_id, one.context().span_id);
        let own = SpanContext { trace_id: tracer.muted.trace_id, ..one.context() };
        let muted = tracer.known(own).unwrap();
        assert!(!tracer.begin(&name, Kind::Server, Some(muted)).context().is_sampled);
    }

    #[tokio::test]
    async fn a_status_is_cut_between_characters() {
        let plan = plan("{traces: {processors: [{simple: {exporter: {otlp: }}}]}}");
        let tracer = Tracer::new(&plan, &Resource::default()).await.unwrap();
        let mut span = tracer.begin(&"work".into(), Kind::Server, None);
        span.fail(&"ü".repeat(1000));
        let error = span.span.as_ref().unwrap().error.clone().unwrap();
        assert_eq!(error, "ü".repeat(512));
        span.fail(&format!("x{}", "ü".repeat(1000)));
        assert_eq!(span.span.as_ref().unwrap().error.as_ref().unwrap().len(), 1023);
    }
}
