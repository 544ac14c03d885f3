//! OpenTelemetry's member of the W3C tracestate, `ot`: thresholds and randomness of sampling.
//!
//! Source: OpenTelemetry specification, "TraceState Handling" and "TraceState: Probability
//! Sampling".

use std::fmt;

use model::TraceId;

/// Randomness and thresholds are below this: 56 bits.
pub const RANDOMNESS_MAX: u64 = 1 << 56;

/// Digits of a threshold or a randomness at the most.
const DIGITS: usize = 14;

/// A parsed tracestate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceState {
    threshold: Option<u64>,
    randomness: Option<u64>,
    /// The other parts of `ot`, as they came.
    other: Vec<String>,
    /// The other members, as they came.
    members: Vec<String>,
}

impl TraceState {
    /// `None` when `ot` is not what the specification says.
    pub fn parse(text: &str) -> Option<Self> {
        let mut state = Self::default();
        for member in text.split(',') {
            let member = member.trim_matches([' ', '\t']);
            match member.strip_prefix("ot=") {
                Some(parts) => state.parse_own(parts)?,
                None if member.is_empty() => {}
                None => state.members.push(member.to_owned()),
            }
        }
        Some(state)
    }

    fn parse_own(&mut self, parts: &str) -> Option<()> {
        for part in parts.split(';').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once(':')?;
            match key {
                "th" => {
                    let digits = value.len();
                    let number = number(value)?;
                    self.threshold = Some(number << (4 * (DIGITS - digits)));
                }
                "rv" if value.len() == DIGITS => self.randomness = Some(number(value)?),
                "rv" => return None,
                _ => self.other.push(part.to_owned()),
            }
        }
        Some(())
    }

    /// The rejection threshold, below [`RANDOMNESS_MAX`].
    pub fn threshold(&self) -> Option<u64> {
        self.threshold
    }

    /// The explicit randomness, below [`RANDOMNESS_MAX`].
    pub fn randomness(&self) -> Option<u64> {
        self.randomness
    }

    /// Sets the threshold.
    pub fn set_threshold(&mut self, threshold: u64) {
        self.threshold = Some(threshold.min(RANDOMNESS_MAX - 1));
    }

    /// Takes the threshold away.
    pub fn clear_threshold(&mut self) {
        self.threshold = None;
    }

    /// Sets the randomness.
    pub fn set_randomness(&mut self, randomness: u64) {
        self.randomness = Some(randomness.min(RANDOMNESS_MAX - 1));
    }
}

fn number(digits: &str) -> Option<u64> {
    let fits = (1..=DIGITS).contains(&digits.len());
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if fits && digits.bytes().all(hex) { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// The last seven bytes of a trace id.
pub fn trace_randomness(id: TraceId) -> u64 {
    id.to_number() as u64 & (RANDOMNESS_MAX - 1)
}

/// As it is sent: `ot` first, because it was changed last.
impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut own: Vec<String> = Vec::new();
        if let Some(threshold) = self.threshold {
            let digits = format!("{threshold:014x}");
            let digits = digits.trim_end_matches('0');
            own.push(format!("th:{}", if digits.is_empty() { "0" } else { digits }));
        }
        if let Some(randomness) = self.randomness {
            own.push(format!("rv:{randomness:014x}"));
        }
        own.extend(self.other.iter().cloned());
        let own = (!own.is_empty()).then(|| format!("ot={}", own.join(";")));
        let members: Vec<String> = own.into_iter().chain(self.members.iter().cloned()).collect();
        f.write_str(&members.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, written) in [
            ("", Some("")),
            ("a=1,b=2", Some("a=1,b=2")),
            ("a=1, ot=th:8;rv:00000000000001 ,b=2", Some("ot=th:8;rv:00000000000001,a=1,b=2")),
            ("ot=th:0", Some("ot=th:0")),
            ("ot=th:c0", Some("ot=th:c")),
            ("ot=p:8;th:fd70a4;x:y", Some("ot=th:fd70a4;p:8;x:y")),
            ("ot=rv:1", None),
            ("ot=th:", None),
            ("ot=th:123456789abcdef", None),
            ("ot=th:G", None),
            ("ot=th:A", None),
            ("ot=nonsense", None),
        ] {
            let state = TraceState::parse(text).map(|state| state.to_string());
            assert_eq!(state.as_deref(), written, "{text}");
        }
    }
}
