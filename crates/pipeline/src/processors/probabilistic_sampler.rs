//! The processor `probabilistic_sampler`: keeps a share of the traces, the same everywhere.
//!
//! Thresholds and randomness are those of OpenTelemetry's "TraceState: Probability Sampling": 56
//! bits of randomness R, from `rv` or the last seven bytes of the trace id; a span is kept when R is
//! not below the rejection threshold T, which `th` tells whoever comes later. A threshold is never
//! lowered. A span's own `sampling.priority`, above zero or zero, comes before everything else, in
//! every mode.

use model::{Owner, Span, SpanBatch, Value};

use super::Edit;
use crate::consumer::Refusal;
use crate::data::Client;
use crate::tracestate::{RANDOMNESS_MAX, TraceState, trace_randomness};

/// Bits of the hash that `hash_seed` compares.
const HASH_BITS: u32 = 14;
const HASH_BUCKETS: u64 = 1 << HASH_BITS;

/// How a decision is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By a hash of the trace id and a seed; the same for all who share the seed.
    HashSeed,
    /// Keeps the share of what arrives, whatever was dropped before.
    Proportional,
    /// Keeps the share of what there was at first: what was sampled harder already stays.
    Equalizing,
}

/// Settings of the processor.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How.
    pub mode: Mode,
    /// How many of a hundred; 100 or more keeps all.
    pub sampling_percentage: f64,
    /// The seed of [`Mode::HashSeed`].
    pub hash_seed: u32,
    /// Drops what no decision can be made for, such as randomness that contradicts the threshold;
    /// else that is kept, as if by a share of all.
    pub fail_closed: bool,
    /// Hexadecimal digits of the threshold, from 1 to 14.
    pub sampling_precision: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::HashSeed,
            sampling_percentage: 0.0,
            hash_seed: 0,
            fail_closed: true,
            sampling_precision: 4,
        }
    }
}

/// The processor.
pub struct ProbabilisticSampler {
    settings: Settings,
    /// The threshold of the share by itself; `None` drops everything.
    threshold: Option<u64>,
}

/// What becomes of a span.
enum Decision {
    Keep,
    /// With another tracestate.
    KeepWith(TraceState),
    Drop,
}

/// The threshold of who keeps all.
const ALL: u64 = 0;

impl ProbabilisticSampler {
    /// With these settings.
    pub fn new(settings: Settings) -> Self {
        let percentage = settings.sampling_percentage.min(100.0);
        let threshold = match settings.mode {
            _ if percentage <= 0.0 => None,
            Mode::HashSeed => {
                // In 32 bits and rounded down, as the Collector does, so that all agree.
                let buckets = (percentage as f32 * (HASH_BUCKETS as f32 / 100.0)) as u64;
                (buckets > 0).then(|| (HASH_BUCKETS - buckets) << (56 - HASH_BITS))
            }
            _ => Some(threshold(percentage / 100.0, settings.sampling_precision)),
        };
        Self { settings, threshold }
    }

    fn decide(&self, batch: &SpanBatch, at: usize) -> Decision {
        let span = &batch.spans()[at];
        let priority = priority(batch, at);
        if priority == Some(Priority::Drop) {
            return Decision::Drop;
        }
        let is_kept = priority == Some(Priority::Keep);
        let Some(mut state) = TraceState::parse(batch.text(span.trace_state)) else {
            // Nothing can be added to what cannot be read.
            let keeps = is_kept || self.threshold.is_some() && !self.settings.fail_closed;
            return if keeps { Decision::Keep } else { Decision::Drop };
        };
        let is_hash = self.settings.mode == Mode::HashSeed;
        let mut is_sound = true;
        let randomness = if is_hash && self.threshold.is_some() {
            // Somebody has sampled by other rules; to sample by this one would make `th` lie.
            if state.threshold().is_some() || state.randomness().is_some() {
                let keeps = is_kept || !self.settings.fail_closed;
                return if keeps { Decision::Keep } else { Decision::Drop };
            }
            let randomness = hash_randomness(span, self.settings.hash_seed);
            state.set_randomness(randomness);
            randomness
        } else {
            state.randomness().unwrap_or_else(|| trace_randomness(span.trace_id))
        };
        if state.threshold().is_some_and(|threshold| randomness < threshold) {
            // It should have been dropped: the threshold is a lie.
            state.clear_threshold();
            is_sound = false;
        }
        let threshold = match (is_kept, is_sound, self.threshold) {
            (true, ..) => ALL,
            (false, _, None) => return Decision::Drop,
            (false, false, _) if self.settings.fail_closed => return Decision::Drop,
            (false, false, _) => ALL,
            (false, true, Some(_)) if self.settings.mode == Mode::Proportional => {
                let before = state.threshold().unwrap_or(ALL);
                let was = 1.0 - before as f64 / RANDOMNESS_MAX as f64;
                let share = (self.settings.sampling_percentage / 100.0).min(1.0);
                threshold(was * share, self.settings.sampling_precision)
            }
            (false, true, Some(threshold)) => threshold,
        };
        let threshold = threshold.max(state.threshold().unwrap_or(ALL));
        if !is_kept && randomness < threshold {
            return Decision::Drop;
        }
        state.set_threshold(threshold);
        Decision::KeepWith(state)
    }
}

impl Edit for ProbabilisticSampler {
    fn edit(&self, batch: &mut SpanBatch, _: &Client) -> Result<(), Refusal> {
        let decisions: Vec<Decision> = (0..batch.len()).map(|at| self.decide(batch, at)).collect();
        for (at, decision) in decisions.iter().enumerate() {
            if let Decision::KeepWith(state) = decision {
                let text = state.to_string();
                if text.as_bytes() != batch.bytes_of(batch.spans()[at].trace_state) {
                    let text = batch.add_text(text.as_bytes())?;
                    batch.edit_span(at).trace_state = text;
                }
            }
        }
        batch.retain_spans(|_, at, _| !matches!(decisions[at], Decision::Drop));
        Ok(())
    }
}

/// A span's own wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Priority {
    Keep,
    Drop,
}

/// `sampling.priority` (OpenTracing semantic conventions): above zero to be kept, zero to be
/// dropped; anything else says nothing.
fn priority(batch: &SpanBatch, at: usize) -> Option<Priority> {
    let owner = Owner::Span(at);
    let place = batch.find_attribute(owner, b"sampling.priority")?;
    let number = match batch.attributes(owner)[place].value {
        Value::Int(value) => value as f64,
        Value::Double(value) => value,
        Value::String(text) => batch.text(text).parse().ok()?,
        _ => return None,
    };
    if number > 0.0 {
        return Some(Priority::Keep);
    }
    (number == 0.0).then_some(Priority::Drop)
}

/// FNV-1a of seed and trace id: fourteen bits of it, such that a small hash is much randomness, and
/// behind them what else the hash has, as the Collector mixes it, for samplers that come later.
fn hash_randomness(span: &Span, seed: u32) -> u64 {
    let seed = seed.to_le_bytes();
    let bytes = seed.iter().chain(&span.trace_id.0);
    let hash = bytes
        .fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let compared = u64::from(hash) & (HASH_BUCKETS - 1);
    let others = u64::from(hash >> (32 - HASH_BITS));
    let others = others ^ others << 10;
    (HASH_BUCKETS - 1 - compared) << (56 - HASH_BITS) | others << HASH_BITS | compared
}

/// The threshold of a probability, rounded to so many hexadecimal digits behind those that are all
/// the same at its beginning.
fn threshold(probability: f64, precision: u32) -> u64 {
    if probability >= 1.0 {
        return 0;
    }
    // The digits that a small share, or a share close to one, begins with for nothing.
    let digits = |value: f64| match value.log2().floor() as i32 + 1 {
        exponent if exponent < 0 => (-exponent / 4) as u32,
        _ => 0,
    };
    let precision = precision + digits(probability).max(digits(1.0 - probability));
    let precision = precision.min(14);
    let exact = RANDOMNESS_MAX - (probability * RANDOMNESS_MAX as f64).round() as u64;
    let shift = 4 * (14 - precision);
    if shift == 0 {
        return exact.min(RANDOMNESS_MAX - 1);
    }
    let rounded = ((exact + (1 << (shift - 1))) >> shift) << shift;
    rounded.min(RANDOMNESS_MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Plain::{Int, Text};
    use super::super::testing::{Plain, TestSpan, batch, one};
    use super::*;

    fn sampler(mode: Mode, percent: f64) -> ProbabilisticSampler {
        let settings = Settings { mode, sampling_percentage: percent, ..Settings::default() };
        ProbabilisticSampler::new(settings)
    }

    fn many(count: usize) -> SpanBatch {
        let span = || TestSpan { service: "s", name: "n", kind: 1, attributes: vec![] };
        let mut spans = batch(&(0..count).map(|_| span()).collect::<Vec<_>>());
        // Ids that are spread over all 128 bits.
        for at in 0..count {
            let spread = (at as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            spans.edit_span(at).trace_id = model::TraceId::from_number(spread);
        }
        spans
    }

    fn state_of(batch: &SpanBatch, at: usize) -> &str {
        batch.text(batch.spans()[at].trace_state)
    }

    #[test]
    fn thresholds_have_the_digits_that_they_need() {
        for (probability, precision, expected) in [
            (1.0, 4, 0),
            (0.5, 4, 0x80_0000_0000_0000),
            (0.25, 4, 0xc0_0000_0000_0000),
            (0.1, 4, 0xe6_6600_0000_0000),
            (0.01, 5, 0xfd_70a4_0000_0000),
            (1.0 / 3.0, 2, 0xab_0000_0000_0000),
            (0.999, 4, 0x00_4189_0000_0000),
        ] {
            let found = threshold(probability, precision);
            assert_eq!(found, expected, "{probability} {precision}: {found:014x}");
        }
    }

    #[test]
    fn about_the_share_is_kept_and_the_same_by_everybody() {
        for mode in [Mode::HashSeed, Mode::Proportional, Mode::Equalizing] {
            for percent in [0.0, 1.0, 10.0, 50.0, 100.0] {
                let keep = |mut batch: SpanBatch| {
                    sampler(mode, percent).edit(&mut batch, &Client::default()).unwrap();
                    batch
                };
                let first = keep(many(20_000));
                let share = first.len() as f64 / 20_000.0;
                assert!((share - percent / 100.0).abs() < 0.01, "{mode:?} {percent}: {share}");
                let ids = |batch: &SpanBatch| {
                    batch.spans().iter().map(|span| span.trace_id).collect::<Vec<_>>()
                };
                assert_eq!(ids(&first), ids(&keep(many(20_000))));
            }
        }
    }

    #[test]
    fn the_hash_is_the_collectors() {
        // FNV-1a of four bytes of seed and the trace id; its last fourteen bits.
        for (seed, id, hash) in [(0, 1, 8898), (0, 2, 8495), (22, 1, 11568), (22, 3, 12374)] {
            let mut span = Span::default();
            span.trace_id = model::TraceId::from_number(id);
            assert_eq!(hash_randomness(&span, seed) >> 42, 16383 - hash, "{seed} {id}");
        }
        let kept = |percent| {
            let mut spans = one(vec![]);
            sampler(Mode::HashSeed, percent).edit(&mut spans, &Client::default()).unwrap();
            spans.len()
        };
        // 8898 of 16384 is 54.309 %: kept as soon as the share reaches the next bucket.
        assert_eq!((kept(54.30), kept(54.32)), (0, 1));
    }

    #[test]
    fn a_spans_own_priority_comes_first() {
        for mode in [Mode::HashSeed, Mode::Proportional, Mode::Equalizing] {
            for (value, kept_of_none, kept_of_all) in [
                (Int(1), 1, 1),
                (Plain::Double(0.5), 1, 1),
                (Text("2"), 1, 1),
                (Int(0), 0, 0),
                (Plain::Double(0.0), 0, 0),
                // Says nothing.
                (Text("-1"), 0, 1),
                (Int(-1), 0, 1),
                (Text("high"), 0, 1),
                (Plain::Bool(true), 0, 1),
            ] {
                for (percent, kept) in [(0.0, kept_of_none), (100.0, kept_of_all)] {
                    let mut spans = one(vec![("sampling.priority", value.clone())]);
                    sampler(mode, percent).edit(&mut spans, &Client::default()).unwrap();
                    assert_eq!(spans.len(), kept, "{value:?} {mode:?} {percent}");
                    if kept == 1 {
                        assert!(state_of(&spans, 0).starts_with("ot=th:0"), "{value:?} {mode:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn tracestate_says_what_was_done() {
        use Mode::{Equalizing, HashSeed, Proportional};
        let rv = "rv:ffffffffffffff";
        for (mode, percent, before, after) in [
            (Equalizing, 50.0, "ot=rv:ffffffffffffff", Some(format!("ot=th:8;{rv}"))),
            (Equalizing, 50.0, "a=b,ot=rv:ffffffffffffff", Some(format!("ot=th:8;{rv},a=b"))),
            (Equalizing, 50.0, "ot=rv:70000000000000", None),
            // Sampled harder before: stays as it was.
            (Equalizing, 50.0, "ot=th:c;rv:ffffffffffffff", Some(format!("ot=th:c;{rv}"))),
            // Half of a half.
            (Proportional, 50.0, "ot=th:8;rv:ffffffffffffff", Some(format!("ot=th:c;{rv}"))),
            (Proportional, 50.0, "ot=th:8;rv:90000000000000", None),
            (Proportional, 100.0, "ot=rv:00000000000000", Some("ot=th:0;rv:00000000000000".into())),
            // It should have been dropped before.
            (Equalizing, 100.0, "ot=th:8;rv:10000000000000", None),
            (Proportional, 100.0, "ot=th:8;rv:10000000000000", None),
            // Somebody else's rules, and no rules at all.
            (HashSeed, 100.0, "ot=th:8;rv:ffffffffffffff", None),
            (Equalizing, 100.0, "ot=rv:xyz", None),
        ] {
            let mut spans = one(vec![]);
            let text = spans.add_text(before.as_bytes()).unwrap();
            spans.edit_span(0).trace_state = text;
            sampler(mode, percent).edit(&mut spans, &Client::default()).unwrap();
            let found = (!spans.is_empty()).then(|| state_of(&spans, 0).to_owned());
            assert_eq!(found, after, "{mode:?} {percent} {before}");
        }
        let mut hashed = one(vec![]);
        sampler(HashSeed, 75.0).edit(&mut hashed, &Client::default()).unwrap();
        assert_eq!(state_of(&hashed, 0), "ot=th:4;rv:74f42e348fe2c2");
    }

    #[test]
    fn what_cannot_be_decided_fails_open_when_told_so() {
        let lie = "ot=th:8;rv:10000000000000";
        for (mode, before, after) in [
            (Mode::Proportional, "ot=rv:xyz", "ot=rv:xyz"),
            (Mode::HashSeed, lie, lie),
            (Mode::Proportional, lie, "ot=th:0;rv:10000000000000"),
            (Mode::Equalizing, lie, "ot=th:0;rv:10000000000000"),
        ] {
            let mut spans = one(vec![]);
            let text = spans.add_text(before.as_bytes()).unwrap();
            spans.edit_span(0).trace_state = text;
            let settings = Settings {
                mode,
                sampling_percentage: 1.0,
                fail_closed: false,
                ..Settings::default()
            };
            ProbabilisticSampler::new(settings).edit(&mut spans, &Client::default()).unwrap();
            assert_eq!(state_of(&spans, 0), after, "{mode:?} {before}");
        }
    }
}
