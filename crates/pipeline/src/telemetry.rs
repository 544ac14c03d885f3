//! What the parts of a pipeline say of themselves, for whoever shows it.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Whether a number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It does.
    Counter,
    /// It comes and goes.
    Gauge,
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

/// What has numbers.
pub trait Metrics: Send + Sync {
    /// Appends them.
    fn collect(&self, out: &mut Vec<Sample>);
}

/// All that have numbers, as long as they live.
#[derive(Default, Clone)]
pub struct Telemetry {
    sources: Arc<Mutex<Vec<Weak<dyn Metrics>>>>,
}

impl Telemetry {
    /// Asks a component from now on.
    pub fn add(&self, source: &Arc<dyn Metrics>) {
        let mut sources = self.sources.lock();
        sources.retain(|source| source.strong_count() > 0);
        sources.push(Arc::downgrade(source));
    }

    /// All numbers, those of one name together.
    pub fn collect(&self) -> Vec<Sample> {
        let sources: Vec<Arc<dyn Metrics>> =
            self.sources.lock().iter().filter_map(Weak::upgrade).collect();
        let mut samples = Vec::new();
        sources.iter().for_each(|source| source.collect(&mut samples));
        samples.sort_by(|a, b| (a.name, &a.labels).cmp(&(b.name, &b.labels)));
        samples
    }
}
