//! Metrics as `ExportMetricsServiceRequest` (opentelemetry-proto, `metrics.proto`).

use std::collections::HashMap;

use model::encode_key_value;
use model::wire::{
    put_bytes_field, put_bytes_unless_empty, put_fixed64_field, put_message, put_varint_field,
};

use super::resource::Resource;
use super::{HistogramPart, MetricKind, Sample};
use crate::Encoded;

/// `AggregationTemporality.CUMULATIVE`.
const CUMULATIVE: u64 = 2;

/// The scope of all that Spanfall says of itself.
pub(super) const SCOPE: &str = "spanfall";

/// What identifies a series.
type Key = (&'static str, Vec<(&'static str, String)>);

/// Since when a sum grows, and what it was last.
#[derive(Clone, Copy)]
struct Since {
    start: u64,
    last: f64,
}

/// Writes requests one after the other. A counter that has become less belongs to a component that
/// was started anew: its sum begins anew at the time of the request before.
pub(super) struct Writer {
    resource: Vec<u8>,
    before: u64,
    sums: HashMap<Key, Since>,
}

impl Writer {
    /// Sums begin at a time, in nanoseconds since 1970.
    pub(super) fn new(resource: &Resource, start: u64) -> Self {
        Self { resource: resource.encoded(), before: start, sums: HashMap::new() }
    }

    /// A request with all samples, which are in order: those of one name together.
    pub(super) fn write(&mut self, samples: &[Sample], now: u64) -> Encoded {
        let mut points = 0;
        let mut out = Vec::new();
        let resource = std::mem::take(&mut self.resource);
        put_message(&mut out, 1, |out| {
            put_bytes_field(out, 1, &resource);
            put_message(out, 2, |out| {
                put_message(out, 1, |out| {
                    put_bytes_field(out, 1, SCOPE.as_bytes());
                    put_bytes_field(out, 2, env!("CARGO_PKG_VERSION").as_bytes());
                });
                for family in samples.chunk_by(|a, b| a.name == b.name) {
                    put_message(out, 2, |out| points += self.metric(out, family, now));
                }
            });
        });
        self.resource = resource;
        // Series that are gone are forgotten.
        let is_there = |key: &Key| {
            let from = samples.partition_point(|sample| sample.name < key.0);
            let family = samples.iter().skip(from).take_while(|sample| sample.name == key.0);
            family.into_iter().any(|sample| sample.labels == key.1)
        };
        self.sums.retain(|key, _| is_there(key));
        self.before = now;
        Encoded { parts: vec![out.into()], items: points }
    }

    /// Since when a sum grows.
    fn since(&mut self, sample: &Sample) -> u64 {
        let start = self.before;
        let key = (sample.name, sample.labels.clone());
        let since = self.sums.entry(key).or_insert(Since { start, last: 0.0 });
        if sample.value < since.last {
            since.start = start;
        }
        since.last = sample.value;
        since.start
    }

    fn metric(&mut self, out: &mut Vec<u8>, family: &[Sample], now: u64) -> u64 {
        let Some(first) = family.first() else { return 0 };
        put_bytes_field(out, 1, first.name.as_bytes());
        put_bytes_unless_empty(out, 2, first.help.as_bytes());
        let unit = unit(first.name);
        put_bytes_unless_empty(out, 3, unit.as_bytes());
        let is_whole = unit != "s";
        match first.kind {
            MetricKind::Gauge => put_message(out, 5, |out| {
                for sample in family {
                    put_message(out, 1, |out| put_point(out, sample, None, now, is_whole));
                }
            }),
            MetricKind::Counter => put_message(out, 7, |out| {
                for sample in family {
                    let since = self.since(sample);
                    put_message(out, 1, |out| put_point(out, sample, Some(since), now, is_whole));
                }
                put_varint_field(out, 2, CUMULATIVE);
                put_varint_field(out, 3, 1);
            }),
            MetricKind::Histogram(_) => {
                let mut points = 0;
                put_message(out, 9, |out| {
                    for own in family.chunk_by(|a, b| a.labels == b.labels) {
                        points += 1;
                        put_message(out, 1, |out| self.histogram(out, own, now));
                    }
                    put_varint_field(out, 2, CUMULATIVE);
                });
                return points;
            }
        }
        family.len() as u64
    }

    /// `HistogramDataPoint` of one series' parts. Its count tells whether it began anew.
    fn histogram(&mut self, out: &mut Vec<u8>, parts: &[Sample], now: u64) {
        let mut counts: Vec<u8> = Vec::new();
        let mut bounds: Vec<u8> = Vec::new();
        let mut below = 0.0;
        for part in parts {
            let MetricKind::Histogram(part_of) = part.kind else { continue };
            match part_of {
                HistogramPart::Bucket(bound) => {
                    // Not what is below as well.
                    counts.extend_from_slice(&whole(part.value - below).to_le_bytes());
                    below = part.value;
                    if bound != u64::MAX {
                        bounds.extend_from_slice(&(bound as f64).to_le_bytes());
                    }
                }
                HistogramPart::Sum => put_fixed64_field(out, 5, part.value.to_bits()),
                HistogramPart::Count => {
                    put_fixed64_field(out, 2, self.since(part));
                    put_fixed64_field(out, 4, whole(part.value));
                }
            }
        }
        put_fixed64_field(out, 3, now);
        put_bytes_field(out, 6, &counts);
        put_bytes_field(out, 7, &bounds);
        if let Some(part) = parts.first() {
            put_attributes(out, 9, &part.labels);
        }
    }
}

/// `NumberDataPoint`.
fn put_point(out: &mut Vec<u8>, sample: &Sample, since: Option<u64>, now: u64, is_whole: bool) {
    if let Some(since) = since {
        put_fixed64_field(out, 2, since);
    }
    put_fixed64_field(out, 3, now);
    if is_whole {
        put_fixed64_field(out, 6, whole(sample.value));
    } else {
        put_fixed64_field(out, 4, sample.value.to_bits());
    }
    put_attributes(out, 7, &sample.labels);
}

fn put_attributes(out: &mut Vec<u8>, number: u32, labels: &[(&'static str, String)]) {
    for (key, value) in labels {
        encode_key_value(out, number, key.as_bytes(), |out| {
            put_bytes_field(out, 1, value.as_bytes());
        });
    }
}

/// The bits of a whole number; negative ones as those of a signed one.
fn whole(value: f64) -> u64 {
    (value as i64).cast_unsigned()
}

/// By the end of a metric's name (UCUM).
fn unit(name: &str) -> &'static str {
    match name {
        name if name.ends_with("_seconds") => "s",
        name if name.ends_with("_bytes") || name.ends_with("_memory_rss") => "By",
        _ => "",
    }
}
