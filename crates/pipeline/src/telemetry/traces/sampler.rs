//! Which spans are kept (OpenTelemetry, "Tracing SDK", "Sampling").

use config::Reader;

use super::SpanContext;

/// Decides when a span begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sampler {
    AlwaysOn,
    AlwaysOff,
    /// A part of all traces, by their ids.
    Ratio(f64),
    /// As the parent was decided, or by what is set for its case.
    ParentBased(Box<ParentBased>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ParentBased {
    root: Sampler,
    remote_sampled: Sampler,
    remote_not_sampled: Sampler,
    local_sampled: Sampler,
    local_not_sampled: Sampler,
}

impl Default for Sampler {
    /// The SDKs' default.
    fn default() -> Self {
        Self::parent_based(Self::AlwaysOn)
    }
}

impl Sampler {
    fn parent_based(root: Self) -> Self {
        Self::ParentBased(Box::new(ParentBased {
            root,
            remote_sampled: Self::AlwaysOn,
            remote_not_sampled: Self::AlwaysOff,
            local_sampled: Self::AlwaysOn,
            local_not_sampled: Self::AlwaysOff,
        }))
    }

    /// Whether a span is kept.
    pub(crate) fn keeps(&self, parent: Option<&SpanContext>, trace_id: [u8; 16]) -> bool {
        match self {
            Self::AlwaysOn => true,
            Self::AlwaysOff => false,
            Self::Ratio(ratio) => {
                // The last 63 bits, as SDKs in Go do, so that they agree on a trace.
                let number = (u128::from_be_bytes(trace_id) as u64) >> 1;
                number < (ratio * (1u64 << 63) as f64) as u64
            }
            Self::ParentBased(own) => {
                let by = match parent {
                    None => &own.root,
                    Some(parent) => match (parent.is_remote, parent.is_sampled) {
                        (true, true) => &own.remote_sampled,
                        (true, false) => &own.remote_not_sampled,
                        (false, true) => &own.local_sampled,
                        (false, false) => &own.local_not_sampled,
                    },
                };
                by.keeps(parent, trace_id)
            }
        }
    }
}

/// A sampler below a sampler below a sampler makes no sense to anybody.
const DEPTH_MAX: usize = 4;

/// `sampler`.
pub(super) fn sampler(reader: &mut Reader<'_, '_>, depth: usize) -> Sampler {
    let kinds = ["always_on", "always_off", "trace_id_ratio_based", "traceidratio", "parent_based"];
    let kind = reader.one_of(&[kinds[0], kinds[1], kinds[2], kinds[3], kinds[4], "parentbased"]);
    for key in ["always_on", "always_off"] {
        reader.field(key).section(|_| ());
    }
    let ratio = reader.field("trace_id_ratio_based").renamed_from("traceidratio");
    let ratio = ratio.section(|reader| reader.field("ratio").float(0.0..=1.0).unwrap_or(1.0));
    let parent = reader.field("parent_based").renamed_from("parentbased").section(|reader| {
        let mut below = |key: &'static str, default: Sampler| {
            let field = reader.field(key);
            let own = field.section(|reader| match depth {
                DEPTH_MAX => {
                    reader.fault("", "is nested too deep");
                    Sampler::AlwaysOn
                }
                _ => sampler(reader, depth + 1),
            });
            own.unwrap_or(default)
        };
        Sampler::ParentBased(Box::new(ParentBased {
            root: below("root", Sampler::AlwaysOn),
            remote_sampled: below("remote_parent_sampled", Sampler::AlwaysOn),
            remote_not_sampled: below("remote_parent_not_sampled", Sampler::AlwaysOff),
            local_sampled: below("local_parent_sampled", Sampler::AlwaysOn),
            local_not_sampled: below("local_parent_not_sampled", Sampler::AlwaysOff),
        }))
    });
    match kind {
        Some("always_on") => Sampler::AlwaysOn,
        Some("always_off") => Sampler::AlwaysOff,
        Some("trace_id_ratio_based" | "traceidratio") => Sampler::Ratio(ratio.unwrap_or(1.0)),
        _ => parent.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(is_remote: bool, is_sampled: bool) -> SpanContext {
        let (trace_id, span_id) = ([1; 16], [1; 8]);
        SpanContext { trace_id, span_id, is_sampled, is_remote, is_muted: false, is_told: true }
    }

    #[test]
    fn a_span_is_kept_as_its_sampler_says() {
        let low = [0; 16];
        let half = (1u128 << 63).to_be_bytes();
        let high = [0xff; 16];
        let based = Sampler::default();
        let off = Sampler::parent_based(Sampler::Ratio(0.0));
        let turned = Sampler::ParentBased(Box::new(ParentBased {
            root: Sampler::AlwaysOff,
            remote_sampled: Sampler::AlwaysOff,
            remote_not_sampled: Sampler::AlwaysOn,
            local_sampled: Sampler::AlwaysOff,
            local_not_sampled: Sampler::AlwaysOn,
        }));
        for (sampler, with, id, kept) in [
            (&Sampler::AlwaysOn, None, low, true),
            (&Sampler::AlwaysOff, Some(parent(true, true)), low, false),
            (&Sampler::Ratio(0.5), None, low, true),
            (&Sampler::Ratio(0.5), None, half, false),
            (&Sampler::Ratio(0.51), None, half, true),
            (&Sampler::Ratio(1.0), None, high, true),
            (&Sampler::Ratio(0.0), None, low, false),
            (&based, None, high, true),
            (&based, Some(parent(true, false)), low, false),
            (&based, Some(parent(false, false)), low, false),
            (&based, Some(parent(true, true)), low, true),
            (&off, None, low, false),
            (&off, Some(parent(true, true)), low, true),
            (&turned, None, low, false),
            (&turned, Some(parent(true, true)), low, false),
            (&turned, Some(parent(true, false)), low, true),
            (&turned, Some(parent(false, true)), low, false),
            (&turned, Some(parent(false, false)), low, true),
        ] {
            assert_eq!(sampler.keeps(with.as_ref(), id), kept, "{sampler:?} {with:?} {id:?}");
        }
    }
}
