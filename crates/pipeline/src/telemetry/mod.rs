//! What the parts of a pipeline say of themselves, and how it is told: metrics as text on a port
//! and over OTLP, own traces over OTLP, as `service.telemetry` asks.

mod otlp;
mod otlp_target;
mod plan;
mod process;
mod resource;
mod running;
mod server;
mod text;
mod traces;

use std::cmp::Ordering;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

pub use plan::{LogEncoding, LogLevel, LogOutput, LogSettings, TelemetryPlan, read};
pub use traces::{OwnTraces, Traced};

pub(crate) use traces::{Incoming, Kind, SpanContext, context, incoming, sent, traceparent};

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It comes and goes.
    Gauge,
    /// A part of a distribution; all of a series' have the same name and labels.
    Histogram(HistogramPart),
}

/// A part of a distribution, each of which only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HistogramPart {
    /// How many values there were up to a bound, which belongs to it; `u64::MAX` for all.
    Bucket(u64),
    /// Their sum.
    Sum,
    /// How many.
    Count,
}

impl MetricKind {
    /// The part of a distribution.
    fn part(self) -> Option<HistogramPart> {
        match self {
            Self::Histogram(part) => Some(part),
            Self::Counter | Self::Gauge => None,
        }
    }
}

/// A number at this moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The name that dashboards know, without the suffix `_total`.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: MetricKind,
    /// Which component, and the like.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
}

impl Sample {
    /// One series after the other, and those of one name together.
    fn order(&self, other: &Self) -> Ordering {
        (self.name, &self.labels, self.kind.part()).cmp(&(
            other.name,
            &other.labels,
            other.kind.part(),
        ))
    }
}

/// What has numbers.
pub trait Metrics: Send + Sync {
    /// Appends them.
    fn collect(&self, out: &mut Vec<Sample>);
}

/// All that have numbers, as long as they live, and where they leave spans of their work.
#[derive(Default, Clone)]
pub struct Telemetry {
    sources: Arc<Mutex<Vec<Weak<dyn Metrics>>>>,
    traces: OwnTraces,
}

impl Telemetry {
    /// Asks a component from now on.
    pub fn add(&self, source: &Arc<dyn Metrics>) {
        let mut sources = self.sources.lock();
        sources.retain(|source| source.strong_count() > 0);
        sources.push(Arc::downgrade(source));
    }

    /// Where spans of own work are left.
    pub fn own_traces(&self) -> &OwnTraces {
        &self.traces
    }

    /// All numbers, those of one name together. A processor that several pipelines have runs in
    /// each of them: what is the same of them is added up, as is what a component has that takes
    /// the place of another.
    pub fn collect(&self) -> Vec<Sample> {
        let sources: Vec<Arc<dyn Metrics>> =
            self.sources.lock().iter().filter_map(Weak::upgrade).collect();
        let mut samples = Vec::new();
        sources.iter().for_each(|source| source.collect(&mut samples));
        samples.sort_by(Sample::order);
        samples.dedup_by(|next, first| {
            let is_same = first.order(next).is_eq();
            if is_same {
                first.value += next.value;
            }
            is_same
        });
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Of(&'static [(&'static str, &'static str, MetricKind, f64)]);

    impl Metrics for Of {
        fn collect(&self, out: &mut Vec<Sample>) {
            for &(name, label, kind, value) in self.0 {
                let labels = vec![("processor", label.to_owned())];
                out.push(Sample { name, help: "", kind, labels, value });
            }
        }
    }

    #[test]
    fn what_several_say_of_the_same_is_said_once() {
        let counter = MetricKind::Counter;
        let bucket = |bound| MetricKind::Histogram(HistogramPart::Bucket(bound));
        let sizes: &[_] = &[("sizes", "b", bucket(100), 2.0), ("sizes", "b", bucket(25), 1.0)];
        let telemetry = Telemetry::default();
        let sources: [Arc<dyn Metrics>; 4] = [
            Arc::new(Of(&[
                ("spans", "b", MetricKind::Counter, 1.0),
                ("a", "x", MetricKind::Gauge, 5.0),
            ])),
            Arc::new(Of(&[("spans", "a", MetricKind::Counter, 2.0)])),
            Arc::new(Of(&[("spans", "b", MetricKind::Counter, 4.0)])),
            Arc::new(Of(Box::leak(Box::new([sizes[0], sizes[1]])))),
        ];
        sources.iter().for_each(|source| telemetry.add(source));
        let gone: Arc<dyn Metrics> = Arc::new(Of(&[("gone", "", MetricKind::Gauge, 1.0)]));
        telemetry.add(&gone);
        drop(gone);
        let told: Vec<(&str, String, MetricKind, f64)> = telemetry
            .collect()
            .into_iter()
            .map(|sample| (sample.name, sample.labels[0].1.clone(), sample.kind, sample.value))
            .collect();
        let expected = [
            ("a", "x", MetricKind::Gauge, 5.0),
            ("sizes", "b", bucket(25), 1.0),
            ("sizes", "b", bucket(100), 2.0),
            ("spans", "a", counter, 2.0),
            ("spans", "b", counter, 5.0),
        ];
        let expected =
            expected.map(|(name, label, kind, value)| (name, label.to_owned(), kind, value));
        assert_eq!(told, expected);
    }
}
