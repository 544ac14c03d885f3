//! What processors count, under the Collector's names.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use config::Id;
use tokio::time::Instant;

use crate::component::{Running, Stage, Surroundings};
use crate::consumer::{Consumer, Refusal, Taken};
use crate::data::{Request, Signal};
use crate::processors::batch::{self, SEND_SIZE_BOUNDS};
use crate::processors::{Edit, ProcessorCounters, groupbytrace};
use crate::telemetry::{HistogramPart, MetricKind, Metrics, Sample};

/// Numbers of a component, for as long as it runs.
pub(super) struct Counted<T> {
    pub(super) running: T,
    pub(super) _metrics: Vec<Arc<dyn Metrics>>,
}

#[async_trait]
impl<T: Running> Running for Counted<T> {
    async fn stop(&self, deadline: Instant) -> u64 {
        self.running.stop(deadline).await
    }

    fn problem(&self) -> Option<String> {
        self.running.problem()
    }
}

/// Asks from now on; to be kept for as long as the component runs.
pub(super) fn told<M: Metrics + 'static>(around: &Surroundings, metrics: M) -> Arc<dyn Metrics> {
    let metrics: Arc<dyn Metrics> = Arc::new(metrics);
    around.telemetry.add(&metrics);
    metrics
}

/// A number of a processor.
fn sample(
    name: &'static str,
    help: &'static str,
    kind: MetricKind,
    id: &Id,
    value: &AtomicU64,
) -> Sample {
    let labels = vec![("processor", id.to_string())];
    Sample { name, help, kind, labels, value: value.load(Ordering::Relaxed) as f64 }
}

/// What every processor counts.
pub(super) struct ProcessorMetrics {
    pub(super) id: Id,
    pub(super) counters: Arc<ProcessorCounters>,
    /// The memory limiter counts under names of its own as well.
    pub(super) is_limiter: bool,
}

impl Metrics for ProcessorMetrics {
    fn collect(&self, out: &mut Vec<Sample>) {
        const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];
        let counters = &self.counters;
        for (name, help, items) in [
            (
                "otelcol_processor_incoming_items",
                "Items that came to the processor",
                &counters.incoming_items,
            ),
            (
                "otelcol_processor_outgoing_items",
                "Items that the processor handed on",
                &counters.outgoing_items,
            ),
            (
                "otelcol_processor_refused_items",
                "Items that the processor refused",
                &counters.refused_items,
            ),
            (
                "spanfall_processor_dropped_items",
                "Items that the processor took out",
                &counters.dropped_items,
            ),
        ] {
            for signal in SIGNALS {
                // What no pipeline carries has no place on a dashboard.
                if signal == Signal::Traces || items.of(signal) > 0 {
                    let id = self.id.to_string();
                    let labels = vec![("processor", id), ("otel_signal", signal.name().to_owned())];
                    let (kind, value) = (MetricKind::Counter, items.of(signal) as f64);
                    out.push(Sample { name, help, kind, labels, value });
                }
            }
        }
        if self.is_limiter {
            let help = "Items that were let pass, or not, for the memory that the process takes";
            for (names, items) in [
                (
                    [
                        "otelcol_processor_accepted_spans",
                        "otelcol_processor_accepted_metric_points",
                        "otelcol_processor_accepted_log_records",
                    ],
                    &counters.outgoing_items,
                ),
                (
                    [
                        "otelcol_processor_refused_spans",
                        "otelcol_processor_refused_metric_points",
                        "otelcol_processor_refused_log_records",
                    ],
                    &counters.refused_items,
                ),
            ] {
                for (name, signal) in names.into_iter().zip(SIGNALS) {
                    if signal == Signal::Traces || items.of(signal) > 0 {
                        let labels = vec![("processor", self.id.to_string())];
                        let (kind, value) = (MetricKind::Counter, items.of(signal) as f64);
                        out.push(Sample { name, help, kind, labels, value });
                    }
                }
            }
        }
    }
}

/// What an edit counts itself.
pub(super) struct EditMetrics {
    pub(super) id: Id,
    pub(super) edit: Arc<dyn Edit>,
}

impl Metrics for EditMetrics {
    fn collect(&self, out: &mut Vec<Sample>) {
        for (name, help, value) in self.edit.numbers() {
            let labels = vec![("processor", self.id.to_string())];
            let (kind, value) = (MetricKind::Counter, value as f64);
            out.push(Sample { name, help, kind, labels, value });
        }
    }
}

/// Counts what comes to a processor that is no edit.
struct Entrance {
    counters: Arc<ProcessorCounters>,
    own: Arc<dyn Consumer>,
}

/// Counts what it hands on and what is taken of that.
struct Exit {
    counters: Arc<ProcessorCounters>,
    next: Arc<dyn Consumer>,
}

impl Consumer for Entrance {
    /// Written out, so that nothing is allocated for it.
    fn consume<'own, 'out>(
        &'own self,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'out>>
    where
        'own: 'out,
        Self: 'out,
    {
        self.counters.incoming_items.add(request.data.signal(), request.data.items());
        self.own.consume(request)
    }

    fn offer<'own, 'taken, 'out>(
        &'own self,
        request: Request,
        taken: &'taken Taken,
    ) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'out>>
    where
        'own: 'out,
        'taken: 'out,
        Self: 'out,
    {
        self.counters.incoming_items.add(request.data.signal(), request.data.items());
        self.own.offer(request, taken)
    }
}

#[async_trait]
impl Consumer for Exit {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let (signal, items) = (request.data.signal(), request.data.items());
        let answer = self.next.consume(request).await;
        if answer.is_ok() {
            self.counters.outgoing_items.add(signal, items);
        }
        answer
    }

    async fn offer(&self, request: Request, taken: &Taken) -> Result<(), Refusal> {
        let (signal, items) = (request.data.signal(), request.data.items());
        let answer = self.next.offer(request, taken).await;
        if answer.is_ok() {
            self.counters.outgoing_items.add(signal, items);
        }
        answer
    }
}

/// Around a processor that is no edit: what it hands on goes to the consumer that this gives, and
/// what comes goes through the entrance that [`Around::entrance`] makes.
pub(super) struct Around {
    counters: Arc<ProcessorCounters>,
    metrics: Arc<dyn Metrics>,
}

impl Around {
    pub(super) fn of(
        id: &Id,
        around: &Surroundings,
        next: Arc<dyn Consumer>,
    ) -> (Self, Arc<dyn Consumer>) {
        let counters = Arc::new(ProcessorCounters::default());
        let own = counters.clone();
        let metrics =
            told(around, ProcessorMetrics { id: id.clone(), counters: own, is_limiter: false });
        let exit = Arc::new(Exit { counters: counters.clone(), next });
        (Self { counters, metrics }, exit)
    }

    pub(super) fn stage<T: Running>(
        self,
        own: Arc<dyn Consumer>,
        running: T,
        metrics: Arc<dyn Metrics>,
    ) -> Stage {
        let running = Counted { running, _metrics: vec![self.metrics, metrics] };
        let entrance = Entrance { counters: self.counters, own };
        Stage { running: Arc::new(running), ..Stage::still(Arc::new(entrance)) }
    }
}

/// What `batch` counts besides.
pub(super) struct BatchMetrics {
    pub(super) id: Id,
    pub(super) counters: Arc<batch::Counters>,
}

impl Metrics for BatchMetrics {
    fn collect(&self, out: &mut Vec<Sample>) {
        let (id, counters) = (&self.id, &self.counters);
        let counter = MetricKind::Counter;
        for (name, help, kind, value) in [
            (
                "otelcol_processor_batch_batch_size_trigger_send",
                "Batches that were sent because they were large enough",
                counter,
                &counters.size_trigger_send,
            ),
            (
                "otelcol_processor_batch_timeout_trigger_send",
                "Batches that were sent because they had waited",
                counter,
                &counters.timeout_trigger_send,
            ),
            (
                "otelcol_processor_batch_metadata_cardinality",
                "Senders that are told apart by their metadata",
                MetricKind::Gauge,
                &counters.metadata_cardinality,
            ),
            (
                "spanfall_processor_batch_dropped_spans",
                "Acknowledged spans that were refused for good",
                counter,
                &counters.spans_dropped,
            ),
        ] {
            out.push(sample(name, help, kind, id, value));
        }
        let (name, help) = ("otelcol_processor_batch_batch_send_size", "Spans in a batch");
        let mut push = |part, value| {
            let kind = MetricKind::Histogram(part);
            let labels = vec![("processor", id.to_string())];
            out.push(Sample { name, help, kind, labels, value });
        };
        // Read first, so that no bucket has more than there are.
        let read: Vec<u64> =
            counters.send_sizes.iter().map(|own| own.load(Ordering::Relaxed)).collect();
        let mut below = 0;
        let bounds = SEND_SIZE_BOUNDS.into_iter().chain([u64::MAX]);
        for (bound, count) in bounds.zip(&read) {
            below += count;
            push(HistogramPart::Bucket(bound), below as f64);
        }
        push(HistogramPart::Sum, counters.spans_sent.load(Ordering::Relaxed) as f64);
        push(HistogramPart::Count, below as f64);
    }
}

/// What `groupbytrace` counts besides.
pub(super) struct GroupMetrics {
    pub(super) id: Id,
    pub(super) counters: Arc<groupbytrace::Counters>,
}

impl Metrics for GroupMetrics {
    fn collect(&self, out: &mut Vec<Sample>) {
        let counters = &self.counters;
        for (name, help, value) in [
            (
                "otelcol_processor_groupbytrace_traces_released",
                "Traces that were handed on",
                &counters.traces_released,
            ),
            (
                "otelcol_processor_groupbytrace_traces_evicted",
                "Traces that could not wait as long as they should",
                &counters.traces_released_early,
            ),
            (
                "spanfall_processor_groupbytrace_dropped_spans",
                "Acknowledged spans that were refused for good",
                &counters.spans_dropped,
            ),
        ] {
            out.push(sample(name, help, MetricKind::Counter, &self.id, value));
        }
    }
}
