//! How many spans a sampled span stands for.
//!
//! Source: OpenTelemetry, "TraceState: Probability Sampling": the member `ot` of a trace state has
//! `th:…`, up to 14 hexadecimal digits of a rejection threshold of 56 bits. A span was kept with
//! the probability (2^56 - threshold) / 2^56.

use std::collections::HashMap;

use super::slab::Slab;
use crate::columns::name;
use crate::piece::Damaged;

/// The weight of one span. Weights are whole numbers of 4096ths, so that they add up exactly.
pub(super) const ONE: u32 = 1 << 12;

/// The digits of a threshold.
const DIGITS: usize = 14;

/// The weights of a slab's rows: at most a million each. `None` where each span stands for itself.
pub(super) fn weights(slab: &Slab<'_>) -> Result<Option<Vec<u32>>, Damaged> {
    let Some(states) = slab.spans.column(name::TRACE_STATE)? else { return Ok(None) };
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut weights = vec![ONE; slab.len()];
    for row in states.rows_present() {
        let state = states.text_at(row);
        weights[row] = *known.entry(state).or_insert_with(|| weight(state));
    }
    Ok(known.values().any(|weight| *weight != ONE).then_some(weights))
}

/// The weight of a span with this trace state. What says nothing of a threshold, or nothing that
/// can be understood, is that of one span.
fn weight(state: &str) -> u32 {
    let Some(threshold) = threshold(state) else { return ONE };
    let range = 1_u64 << (4 * DIGITS);
    let weight = range as f64 / (range - threshold) as f64;
    // A float that is too large becomes the largest number.
    (weight * f64::from(ONE)).round() as u32
}

fn threshold(state: &str) -> Option<u64> {
    let mut members = state.split(',').filter_map(|member| member.split_once('='));
    let (_, value) = members.find(|(key, _)| key.trim() == "ot")?;
    let digits = value.split(';').find_map(|part| part.trim().strip_prefix("th:"))?;
    let is_right = (1..=DIGITS).contains(&digits.len())
        && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    // Digits that are left out are noughts.
    let shift = 4 * DIGITS.saturating_sub(digits.len());
    u64::from_str_radix(digits, 16).ok().filter(|_| is_right).map(|number| number << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_stands_for_as_many_as_its_threshold_says() {
        for (state, expected) in [
            ("ot=th:0", 1.0),
            ("ot=th:8", 2.0),
            ("ot=th:c", 4.0),
            ("ot=th:c;rv:ffffffffffffff", 4.0),
            ("ot=rv:ffffffffffffff;th:c", 4.0),
            ("a=b, ot=th:fd70a3d70a3d71 ,c=th:8", 100.0),
            ("ot=th:ff", 256.0),
            ("ot=th:ffffffffffffff", f64::from(u32::MAX) / f64::from(ONE)),
            // Nothing that can be understood.
            ("", 1.0),
            ("th:c", 1.0),
            ("ot=", 1.0),
            ("ot=th:", 1.0),
            ("ot=th:C", 1.0),
            ("ot=th:xyz", 1.0),
            ("ot=th:+8", 1.0),
            ("ot=th:000000000000008", 1.0),
            ("ot=p:8;r:62", 1.0),
            ("ott=th:c", 1.0),
            ("é=ot,=,", 1.0),
        ] {
            let weight = f64::from(weight(state)) / f64::from(ONE);
            assert!((weight - expected).abs() <= 1.0 / f64::from(ONE), "{state}: {weight}");
        }
    }
}
