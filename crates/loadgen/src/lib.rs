//! Realistic OTLP traces, the same ones for the same seed.
//!
//! Owns the making up of load: a shop's services, their operations and call trees, durations and
//! errors, written as `ExportTraceServiceRequest` at the cost of little more than a copy. Knows
//! nothing of servers, clocks or files: the caller says what time it is and sends the bytes.
//!
//! Time of day enters only as an argument, so a seed, a series of request sizes and a series of
//! times give the same bytes on every platform and in every version that keeps the vocabulary.

mod catalog;
mod latency;
mod names;
mod operation;
mod piece;
mod plan;
mod request;
mod rng;
mod sample;
mod sample_order;
mod sample_story;
mod service_operations;
mod trace;
mod window;

pub use sample::sample_trace;

use request::Encoder;
use trace::{Record, Tracer};
use window::{Clock, Window};

/// What load to make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Decides everything but the time of day.
    pub seed: u64,
    /// Share of traces with an error, from 0 to 1.
    pub error_rate: f64,
    /// Services, from 1 to [`SERVICES_MAX`]; what is outside counts as the nearer end.
    pub services: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, error_rate: 0.02, services: 20 }
    }
}

/// The most services that [`Options::services`] can ask for.
pub const SERVICES_MAX: usize = catalog::SERVICES_MAX;

/// Once this many spans were taken after one of a trace, the trace is complete.
pub const COMPLETE_AFTER_SPANS: usize = window::COMPLETE_AFTER_SPANS;

/// Traces end within this time before now, unless requests show another rhythm.
const INTERVAL_NANO: u32 = 50_000_000;
const INTERVAL_NANO_MAX: u64 = 1_000_000_000;

/// Makes requests.
///
/// Traces start while requests are taken, a few at a time, and their spans leave in the order in
/// which they end. With the default options and 512 spans a request, a span has 12 attributes and
/// takes 395 bytes, its share of resource and scope included. More services mean more resources in
/// a request and so more bytes a span; larger requests mean fewer.
#[derive(Debug, Clone)]
pub struct Generator {
    tracer: Tracer,
    window: Window,
    encoder: Encoder,
    records: Vec<Record>,
    now_unix_nano: u64,
    interval_nano: u32,
}

impl Generator {
    /// Makes up services, operations and call trees; takes a few milliseconds.
    pub fn new(options: Options) -> Self {
        Self::with_spans(options, u64::MAX)
    }

    /// A generator that ends once its traces have so many spans together: all of them are whole,
    /// so that the last one may bring more.
    pub fn with_spans(options: Options, spans_min: u64) -> Self {
        Self {
            tracer: Tracer::new(options.seed, options.services, options.error_rate),
            window: Window::new(spans_min),
            encoder: Encoder::default(),
            records: Vec::new(),
            now_unix_nano: 0,
            interval_nano: INTERVAL_NANO,
        }
    }

    /// Clears `out` and writes an `ExportTraceServiceRequest` of exactly `spans` spans of many
    /// traces and services, grouped by resource and scope as a Collector's batch would be. Gives
    /// the number of spans, which is less than asked for at the end of a generator that has one.
    ///
    /// No span ends after `now_unix_nano`. Where it goes back, what was not yet taken moves back
    /// as far, out of step with the spans of the same traces that were.
    pub fn request(&mut self, spans: usize, now_unix_nano: u64, out: &mut Vec<u8>) -> usize {
        self.turn_to(now_unix_nano);
        let clock = Clock { now_unix_nano, interval_nano: self.interval_nano };
        self.records.clear();
        self.window.take(&mut self.tracer, clock, spans, &mut self.records);
        out.clear();
        let Tracer { catalog, links, .. } = &mut self.tracer;
        self.encoder.encode(catalog, links, &self.records, out);
        self.records.len()
    }

    fn turn_to(&mut self, now_unix_nano: u64) {
        let before = std::mem::replace(&mut self.now_unix_nano, now_unix_nano);
        if now_unix_nano < before {
            self.window.shift(before - now_unix_nano);
        } else if before != 0 && now_unix_nano > before {
            // The time between two requests, so that traces end evenly over all of it.
            self.interval_nano = (now_unix_nano - before).min(INTERVAL_NANO_MAX) as u32;
        }
    }
}
