//! `service.telemetry.traces`.

use std::time::Duration;

use config::Reader;

use super::sampler::{Sampler, sampler};
use crate::telemetry::otlp_target::{OtlpTarget, target};
use crate::telemetry::plan::{level, millis, warn_at};

/// Where spans go, and in what batches.
pub(in crate::telemetry) struct SpanProcessor {
    /// The longest that a span waits for others.
    pub(super) delay: Duration,
    pub(super) timeout: Duration,
    /// Spans that wait at the most; further ones are dropped and counted.
    pub(super) queue_max: usize,
    pub(super) batch_max: usize,
    pub(super) target: OtlpTarget,
}

/// What is asked for.
pub(in crate::telemetry) struct TracesPlan {
    pub(super) sampler: Sampler,
    /// Who sends is heard, and servers are told, whose trace it is.
    pub(super) propagates: bool,
    pub(super) processors: Vec<SpanProcessor>,
}

/// The SDKs' defaults.
const DELAY: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
const QUEUE_MAX: usize = 2048;
const BATCH_MAX: usize = 512;

/// A span takes some 300 bytes.
const QUEUE_MOST: usize = 1 << 20;

/// `traces`; nothing if it asks for nothing.
pub(in crate::telemetry) fn traces(reader: &mut Reader<'_, '_>) -> Option<TracesPlan> {
    let is_on = level(reader);
    let names = reader.field("propagators").strings();
    let knows_w3c =
        names.as_ref().is_none_or(|names| names.iter().any(|own| own == "tracecontext"));
    if names.iter().flatten().any(|own| !matches!(&**own, "tracecontext" | "baggage" | "none")) {
        let message = "has names that have no effect: there is `tracecontext`";
        warn_at(reader, "propagators", "traces.propagators", message, "leave the others out");
    }
    reader.field("limits").node();
    let sampler = reader.field("sampler").section(|reader| sampler(reader, 0));
    let processors = reader.field("processors").list_of(|reader| {
        let kind = reader.one_of(&["batch", "simple"]);
        let batch = reader.field("batch").section(batch);
        let simple = reader.field("simple").section(simple);
        kind.and(batch.or(simple)).flatten()
    });
    let processors: Vec<SpanProcessor> = processors.into_iter().flatten().flatten().collect();
    let is_asked = is_on && !processors.is_empty();
    is_asked.then(|| TracesPlan {
        sampler: sampler.unwrap_or_default(),
        propagates: knows_w3c,
        processors,
    })
}

fn batch(reader: &mut Reader<'_, '_>) -> Option<SpanProcessor> {
    let delay = millis(reader, "schedule_delay", DELAY);
    let timeout = millis(reader, "export_timeout", TIMEOUT);
    let queue_max = reader.field("max_queue_size").int(1..=QUEUE_MOST).unwrap_or(QUEUE_MAX);
    let batch_max = reader.field("max_export_batch_size").int(1..=QUEUE_MOST).unwrap_or(BATCH_MAX);
    let batch_max = batch_max.min(queue_max);
    Some(SpanProcessor { delay, timeout, queue_max, batch_max, target: target(reader)? })
}

/// Every span at once; those that end while one is sent go together.
fn simple(reader: &mut Reader<'_, '_>) -> Option<SpanProcessor> {
    let target = target(reader)?;
    let (delay, timeout) = (Duration::ZERO, TIMEOUT);
    Some(SpanProcessor { delay, timeout, queue_max: QUEUE_MAX, batch_max: BATCH_MAX, target })
}
