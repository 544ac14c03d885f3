//! Ids as Jaeger writes and reads them.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use model::{IdError, SpanId, TraceId};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdTextError(IdError);

impl std::fmt::Display for IdTextError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; nor is it an id in base64", self.0)
    }
}

impl std::error::Error for IdTextError {}

/// A trace id: 16 digits where the first half is zero, 32 otherwise.
pub fn trace_id_text(id: TraceId) -> String {
    let number = id.to_number();
    if number >> 64 == 0 { format!("{number:016x}") } else { format!("{number:032x}") }
}

/// A trace id of 1 to 32 hexadecimal digits, or of base64 in either alphabet, padded or not.
pub fn parse_trace_id(text: &str) -> Result<TraceId, IdTextError> {
    let error = match text.parse() {
        Ok(id) => return Ok(id),
        Err(error) => error,
    };
    match base64_bytes(text).as_deref() {
        Some(bytes @ [_, _, _, _, _, _, _, _]) => {
            let mut padded = [0; 16];
            padded[8..].copy_from_slice(bytes);
            Ok(TraceId(padded))
        }
        Some(bytes) => TraceId::from_slice(bytes).ok_or(IdTextError(error)),
        None => Err(IdTextError(error)),
    }
}

/// A span id, alike.
pub fn parse_span_id(text: &str) -> Result<SpanId, IdTextError> {
    let parsed = text.parse();
    parsed.or_else(|error| {
        let bytes = base64_bytes(text);
        bytes.and_then(|bytes| SpanId::from_slice(&bytes)).ok_or(IdTextError(error))
    })
}

fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    // No id is longer.
    if text.len() > 24 {
        return None;
    }
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, LENIENT).decode(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_ids_of_either_spelling() {
        for (text, number) in [
            ("1", 1),
            ("0000000000000001", 1),
            ("83A9efd15c1c98a977e0711cc93ee28b", 0x83a9_efd1_5c1c_98a9_77e0_711c_c93e_e28b),
            ("g6nv0VwcmKl34HEcyT7iiw==", 0x83a9_efd1_5c1c_98a9_77e0_711c_c93e_e28b),
            ("g6nv0VwcmKl34HEcyT7iiw", 0x83a9_efd1_5c1c_98a9_77e0_711c_c93e_e28b),
            ("/////////////////////w==", u128::MAX),
            ("_____________________w", u128::MAX),
            ("AAAAAAAAAAE=", 1),
        ] {
            assert_eq!(parse_trace_id(text).map(TraceId::to_number), Ok(number), "{text}");
        }
        for text in ["", "xyz", "ünï", "0".repeat(33).as_str(), "g6nv0VwcmKl34HEcyT7iiwAA"] {
            assert!(parse_trace_id(text).is_err(), "{text}");
        }
        assert_eq!(parse_span_id("AAAAAAAAAAE=").map(SpanId::to_number), Ok(1));
        assert_eq!(parse_span_id("0a").map(SpanId::to_number), Ok(10));
        assert!(parse_span_id("zz").is_err());
    }

    #[test]
    fn the_first_half_is_left_out_when_it_is_zero() {
        assert_eq!(trace_id_text(TraceId::from_number(0x1f)), "000000000000001f");
        let long = trace_id_text(TraceId::from_number(1 << 64));
        assert_eq!(long, "00000000000000010000000000000000");
    }
}
