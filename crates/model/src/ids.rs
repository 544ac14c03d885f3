//! Trace and span ids: 16 and 8 bytes, all zeros meaning "none" (OTLP `trace.proto`, `Span`).

use std::fmt;
use std::str::FromStr;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// More digits than the id has, or none.
    #[error("an id has 1 to {max} hexadecimal digits, this has {actual}")]
    Length {
        /// Digits in the text.
        actual: usize,
        /// Digits that the id has.
        max: usize,
    },
    /// A character that is no hexadecimal digit.
    #[error("{character:?} at position {position} is no hexadecimal digit")]
    Digit {
        /// The character.
        character: char,
        /// Its position in the text, from 1.
        position: usize,
    },
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $number:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// All zeros: no id.
            pub const NONE: Self = Self([0; $bytes]);

            /// The id in these bytes; `None` when the length is wrong.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// True when all bytes are zero.
            pub fn is_none(self) -> bool {
                self == Self::NONE
            }

            /// The id as a big-endian number, which sorts as the bytes do.
            pub fn to_number(self) -> $number {
                <$number>::from_be_bytes(self.0)
            }

            /// The id of a big-endian number.
            pub fn from_number(number: $number) -> Self {
                Self(number.to_be_bytes())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Reads hexadecimal digits of either case; fewer than the id has stand for its end.
            fn from_str(text: &str) -> Result<Self, IdError> {
                let digits = text.chars().count();
                if digits == 0 || digits > 2 * $bytes {
                    return Err(IdError::Length { actual: digits, max: 2 * $bytes });
                }
                let mut number: $number = 0;
                for (index, character) in text.chars().enumerate() {
                    let digit = character
                        .to_digit(16)
                        .ok_or(IdError::Digit { character, position: index + 1 })?;
                    number = (number << 4) | <$number>::from(digit as u8);
                }
                Ok(Self::from_number(number))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$x}", self.to_number(), width = 2 * $bytes)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// The id that all spans of a trace share.
    TraceId,
    16,
    u128
);
id!(
    /// The id of a span, unique within its trace.
    SpanId,
    8,
    u64
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_hexadecimal() {
        let id: TraceId = "0AF7651916cd43dd8448eb211c80319c".parse().unwrap();
        assert_eq!(id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        let short: TraceId = "1f".parse().unwrap();
        assert_eq!(short.to_string(), "0000000000000000000000000000001f");
        assert_eq!(SpanId::from_number(7).0, [0, 0, 0, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn refuses_what_is_no_id() {
        assert_eq!("".parse::<SpanId>(), Err(IdError::Length { actual: 0, max: 16 }));
        assert_eq!("0".repeat(17).parse::<SpanId>(), Err(IdError::Length { actual: 17, max: 16 }));
        assert_eq!("00g0".parse::<SpanId>(), Err(IdError::Digit { character: 'g', position: 3 }));
        assert_eq!("0é".parse::<TraceId>(), Err(IdError::Digit { character: 'é', position: 2 }));
    }
}
